//! An actor reaches the outside where its link says so, from whichever host it runs on, and nowhere else.

use anyhow::Result;
use mesh_tests::{
    http::{self, Client},
    lattice::Lattice,
};

#[tokio::test]
async fn a_request_leaves_the_lattice_only_where_the_link_allows_it() -> Result<()> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    let (fetch, hello) = (lattice.signed("fetch").await?, lattice.signed("hello").await?);
    // What stands for the outside is an address of this machine, which is not public.
    lattice.ok(["start", "actor", &hello.to_string_lossy(), "--name", "hello"]).await?;
    let outside = lattice.serve("hello").await?;
    lattice.ok(["start", "actor", &fetch.to_string_lossy(), "--name", "fetch", "--replicas", "2"]).await?;
    lattice.ok(["start", "provider", "http-client", "--name", "out", "--replicas", "1"]).await?;
    let allow =
        |list: &'static str| ["link", "put", "fetch", "out", "wasi:http/outgoing-handler", "--target-config", list];
    lattice.ok(allow("allow=*")).await?;
    let address = lattice.serve("fetch").await?;
    lattice.until_ready("fetch", 2).await?;
    lattice.until_answering(address, "/").await?;
    lattice.until_answering(outside, "/").await?;

    let path = format!("/{outside}/from-a-guest");
    let mut client = Client::one_shot(address);
    for _ in 0..4 {
        let refused = client.get(&path).await?;
        assert_eq!((refused.status.as_u16(), refused.text().as_str()), (502, "ErrorCode::HttpRequestDenied"));
    }
    let put = [&allow("allow=127.0.0.1")[..], &["--target-config", "allow_networks=127.0.0.1"]].concat();
    lattice.ok(put).await?;
    lattice.until_answering(address, &path).await?;
    for _ in 0..4 {
        let fetched = http::get(address, &path).await?;
        assert_eq!(fetched.status, 200, "{}", fetched.text());
        assert!(fetched.text().starts_with("200 "), "{}", fetched.text());
    }
    Ok(())
}
