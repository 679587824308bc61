//! Several servers of one guest, asked in turn: each round asks all of them, because a machine drifts, and the ratios
//! of a round are what counts.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};

use crate::load;

const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// Measures each of these servers and prints the medians of their requests per second, and of the ratios of these
/// pairs of them.
pub fn compare<const N: usize>(runtime: &Runtime, servers: [(&str, SocketAddr); N], ratios: &[(&str, &str)]) {
    println!("hello over HTTP/1, {ROUNDS} interleaved rounds of {TIME:?}, medians:");
    let absolute = servers.iter().map(|(name, _)| format!("{name}/s"));
    let relative = ratios.iter().map(|(one, other)| format!("{one}/{other}"));
    let titles: Vec<String> = absolute.chain(relative).collect();
    println!("connections  {}", titles.join("  "));
    for connections in CONNECTIONS {
        let rounds: Vec<Vec<f64>> = (0..ROUNDS)
            .map(|_| servers.iter().map(|(_, at)| load::measure(runtime, *at, connections, TIME)).collect())
            .collect();
        let of = |round: &[f64], wanted: &str| {
            let found = servers.iter().zip(round).find(|((name, _), _)| *name == wanted);
            found.map_or(f64::NAN, |(_, rate)| *rate)
        };
        let rate = |name: &str| median(rounds.iter().map(|round| of(round, name)));
        let ratio = |one: &str, other: &str| median(rounds.iter().map(|round| of(round, one) / of(round, other)));
        let absolute = servers.iter().map(|(name, _)| format!("{:.0}", rate(name)));
        let relative = ratios.iter().map(|(one, other)| format!("{:.2}", ratio(one, other)));
        let cells: Vec<String> = absolute
            .chain(relative)
            .zip(&titles)
            .map(|(cell, title)| format!("{cell:>width$}", width = title.len()))
            .collect();
        println!("{connections:>11}  {}", cells.join("  "));
    }
}

/// The middle one of these.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One server on a port of its own, with the settings of `wasmtime serve`; gone with `servers`.
pub async fn listen<F, R, B>(servers: &mut JoinSet<Infallible>, service: F) -> std::io::Result<SocketAddr>
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
