//! `hello` on one host, through all of `meshd` and its HTTP server, beside two servers of this process that do no more
//! than call the same guest: the bare loop, and wasmtime's own handler. A fresh instance for each request on all sides,
//! but for two columns: the same actor told to reuse its instances, and hyper alone, which answers the same bytes and calls
//! no guest. No server over HTTP is faster than that one.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    bare::Bare,
    compare::{compare, listen},
    handler::Handler,
};

/// Measures a host with fresh instances, and with reused ones, beside the two floors of this component.
pub fn beside_floors(runtime: &Runtime, component: &[u8], fresh: SocketAddr, reused: SocketAddr) -> Result<()> {
    let mut servers = JoinSet::new();
    let (bare, handler, hyper) = runtime.block_on(async {
        let bare = Arc::new(Bare::new(component).map_err(|error| anyhow!("{error:#}"))?);
        let handler = Arc::new(Handler::new(component).map_err(|error| anyhow!("{error:#}"))?);
        let bare = listen(&mut servers, move |request| Arc::clone(&bare).serve(request)).await?;
        let handler = listen(&mut servers, move |request| Arc::clone(&handler).serve(request)).await?;
        let hyper = listen(&mut servers, |_| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"1\n"))))
        });
        anyhow::Ok((bare, handler, hyper.await?))
    })?;
    let all = [("host", fresh), ("bare", bare), ("ProxyHandler", handler), ("reused", reused), ("hyper", hyper)];
    let ratios = [("host", "bare"), ("host", "ProxyHandler"), ("reused", "ProxyHandler"), ("hyper", "ProxyHandler")];
    compare(runtime, all, &ratios);
    Ok(())
}
