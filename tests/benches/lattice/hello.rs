//! `hello` on one host, through all of `meshd` and its HTTP server, beside two servers of this process that do no more
//! than call the same guest: the bare loop, and wasmtime's own handler. A fresh instance for each request on all sides,
//! but for one column: the same actor told to reuse its instances.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};

use crate::{bare::Bare, handler::Handler, load};

const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(2);

/// The two servers beside which `hello` is measured; gone when dropped.
pub struct Floors {
    bare: SocketAddr,
    handler: SocketAddr,
    servers: JoinSet<Infallible>,
}

impl Floors {
    /// Serves this component.
    pub async fn serve(component: &[u8]) -> Result<Self> {
        let bare = Arc::new(Bare::new(component).map_err(|error| anyhow!("{error:#}"))?);
        let handler = Arc::new(Handler::new(component).map_err(|error| anyhow!("{error:#}"))?);
        let mut servers = JoinSet::new();
        Ok(Self {
            bare: listen(&mut servers, move |request| Arc::clone(&bare).serve(request)).await?,
            handler: listen(&mut servers, move |request| Arc::clone(&handler).serve(request)).await?,
            servers,
        })
    }

    /// Measures them and a host, fresh instances and reused ones, in turn, and prints the medians.
    pub fn compare(mut self, runtime: &Runtime, fresh: SocketAddr, reused: SocketAddr) -> Result<()> {
        println!("hello on one host over HTTP/1, {ROUNDS} interleaved rounds of {TIME:?}, medians:");
        println!(
            "connections    host/s   bare/s   ProxyHandler/s   host/bare   host/ProxyHandler   reused/s   \
             reused/ProxyHandler"
        );
        for connections in [1, 16, 64] {
            let rounds: Vec<[f64; 4]> = (0..ROUNDS)
                .map(|_| {
                    [fresh, self.bare, self.handler, reused].map(|at| load::measure(runtime, at, connections, TIME))
                })
                .collect();
            let median = |of: fn(&[f64; 4]) -> f64| {
                let mut values: Vec<f64> = rounds.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values.get(ROUNDS / 2).copied().context("no rounds")
            };
            println!(
                "{connections:>11} {:>9.0} {:>8.0} {:>16.0} {:>11.2} {:>19.2} {:>10.0} {:>21.2}",
                median(|[host, ..]| *host)?,
                median(|[_, bare, ..]| *bare)?,
                median(|[_, _, handler, _]| *handler)?,
                median(|[host, bare, ..]| host / bare)?,
                median(|[host, _, handler, _]| host / handler)?,
                median(|[.., reused]| *reused)?,
                median(|[_, _, handler, reused]| reused / handler)?,
            );
        }
        self.servers.abort_all();
        Ok(())
    }
}

/// One server on a port of its own, with the settings of `wasmtime serve`.
async fn listen<F, R, B>(servers: &mut JoinSet<Infallible>, service: F) -> Result<SocketAddr>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    servers.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let service = service_fn(service.clone());
            connections.spawn(async move {
                let _ = stream.set_nodelay(true);
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).keep_alive(true);
                // A load generator hangs up as it likes.
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(address)
}
