//! What stands between the outside and an actor: both versions of HTTP, request ids, errors that keep to themselves,
//! and a host that is seen to leave before it is gone.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header::CONNECTION};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_tests::{
    http::{self as client, Client, whole},
    lattice::{Lattice, free_address},
    process::signal,
    wait::eventually,
};
use rustix::process::Signal;
use tokio::{net::TcpStream, task::JoinSet};

async fn serve(lattice: &Lattice, guest: &str, config: &[&str]) -> Result<SocketAddr> {
    let file = lattice.signed(guest).await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", guest]).await?;
    let (web, address) = (format!("web-{guest}"), free_address()?);
    let mut start = vec!["start", "provider", "http-server", "--name", &web, "--everywhere"];
    start.extend(config.iter().flat_map(|value| ["--config", value]));
    lattice.ok(start).await?;
    lattice.listen(&web, guest, address).await?;
    lattice.until_ready(guest, 1).await?;
    lattice.until_running(&web, 1).await?;
    lattice.until_answering(address, "/").await?;
    Ok(address)
}

/// Many requests at once on one HTTP/2 connection, and a plain one beside them.
#[tokio::test]
async fn http_2_and_http_1_reach_the_same_actor() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = serve(&lattice, "hello", &[]).await?;
    let first = client::get(address, "/").await?;
    let stream = TcpStream::connect(address).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { connection.await.context("the connection broke off").map(|()| StatusCode::OK) });
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let (mut sender, expected) = (sender.clone(), first.body.clone());
        requests.spawn(async move {
            sender.ready().await?;
            let request = Request::get(format!("http://{address}/")).header("x-request-id", format!("many-{number}"));
            let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
            let (head, body) = response.into_parts();
            anyhow::ensure!(head.headers["x-request-id"] == format!("many-{number}"), "{head:?}");
            anyhow::ensure!(body.collect().await?.to_bytes() == expected, "another answer");
            Ok(head.status)
        });
    }
    while let Some(answered) = requests.join_next().await {
        assert_eq!(answered??, StatusCode::OK);
    }
    let answered = lattice.metric(0, "mesh_http_requests_total", "class=\"2xx\"").await?;
    assert!(answered >= 101, "{answered} counted");
    Ok(())
}

#[tokio::test]
async fn a_failure_tells_the_client_a_code_and_the_log_the_rest() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.signed("trap").await?;
    lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", "trap"]).await?;
    let address = lattice.serve("trap").await?;
    lattice.until_ready("trap", 1).await?;
    lattice.until_running("web-trap", 1).await?;
    let answer = client::get(address, "/").await?;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let said: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let id = said["request_id"].as_str().context("no id")?.to_owned();
    assert_eq!(said, serde_json::json!({ "error": "trap", "request_id": id }), "nothing else");
    assert_eq!(answer.headers["x-request-id"].to_str()?, id);
    eventually("the log has the id and why", Duration::from_secs(10), || async {
        let logs = lattice.logs();
        let line = logs.lines().find(|line| line.contains(&id) && line.contains("unreachable"));
        Ok(line.map(|_| ()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_the_actor_sees_it() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = serve(&lattice, "echo", &["max_body_bytes=65536"]).await?;
    let mut client = Client::keep_alive(address);
    let fits = client.send(Method::POST, "/", whole(vec![7; 65_536])).await?;
    assert_eq!((fits.status, fits.body.len()), (StatusCode::OK, 65_536));
    let calls = lattice.metric(0, "mesh_actor_calls_total", "actor=\"echo\"").await?;
    let large = client.send(Method::POST, "/", whole(vec![7; 65_537])).await?;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", large.text());
    assert_eq!(lattice.metric(0, "mesh_actor_calls_total", "actor=\"echo\"").await?, calls);
    Ok(())
}

/// `/readyz` says no while requests are still answered, so that a balancer has time to leave.
#[tokio::test]
async fn a_host_that_stops_is_unready_before_it_stops_answering() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let address = serve(&lattice, "hello", &[]).await?;
    let (host, admin) = (lattice.host_pid(0)?, lattice.admin(0)?);
    assert_eq!(client::get(admin, "/readyz").await?.status, StatusCode::OK);
    let mut kept = Client::keep_alive(address);
    assert_eq!(kept.get("/").await?.headers.get(CONNECTION), None);
    signal(host, Signal::TERM)?;
    eventually("/readyz says that it leaves", Duration::from_secs(5), || async {
        Ok((client::get(admin, "/readyz").await?.status == StatusCode::SERVICE_UNAVAILABLE).then_some(()))
    })
    .await?;
    let (last, fresh) = (kept.get("/").await?, client::get(address, "/").await?);
    assert_eq!((last.status, fresh.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(last.headers.get(CONNECTION).map(|value| value.as_bytes()), Some(&b"close"[..]));
    eventually("nobody listens", Duration::from_secs(10), || async {
        Ok(TcpStream::connect(address).await.is_err().then_some(()))
    })
    .await?;
    Ok(())
}
