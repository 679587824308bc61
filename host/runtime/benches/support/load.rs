//! Requests over loopback: `wrk -t1` where there is one, else tasks of this process.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// Requests per second over so many connections.
pub fn measure(runtime: &tokio::runtime::Runtime, address: SocketAddr, connections: usize, time: Duration) -> f64 {
    wrk(address, connections, time).unwrap_or_else(|| runtime.block_on(tasks(address, connections, time)))
}

fn wrk(address: SocketAddr, connections: usize, time: Duration) -> Option<f64> {
    let seconds = format!("-d{}s", time.as_secs().max(1));
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &seconds, &format!("http://{address}/")])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?.trim().parse().ok()
}

async fn tasks(address: SocketAddr, connections: usize, time: Duration) -> f64 {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..connections {
        tasks.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            let requests = async {
                let mut done = 0u32;
                while start.elapsed() < time {
                    let request = Request::get("/").header("host", "bench").body(Empty::<Bytes>::new()).unwrap();
                    let response = sender.send_request(request).await.unwrap();
                    assert_eq!(response.status(), 200);
                    response.into_body().collect().await.unwrap();
                    done += 1;
                }
                done
            };
            tokio::select! {
                done = requests => done,
                ended = connection => panic!("the connection ended: {ended:?}"),
            }
        });
    }
    let done: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(done) / start.elapsed().as_secs_f64()
}
