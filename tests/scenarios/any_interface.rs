//! An interface that no host knows: an actor exports it, another one imports it, resources and all; the same where both
//! run on one host and where each has its own.

use std::{path::Path, time::Duration};

use anyhow::Result;
use mesh_tests::{
    http,
    lattice::{Lattice, free_address},
    wait::eventually,
};
use rustix::process::Signal;

const STORY: &str = "Err(\"one takes no EUR\") 5 30 20 Ok(30)";

#[tokio::test]
async fn resources_of_another_actor_are_used_on_one_host_and_across_two() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(1).start().await?;
    lattice.ok(["start", "provider", "http-server", "--name", "web", "--replicas", "1"]).await?;
    lattice.until_running("web", 1).await?;
    let (accounts, custom) = (lattice.signed("accounts").await?, lattice.signed("custom").await?);
    lattice.ok(["start", "actor", &accounts.to_string_lossy(), "--name", "accounts", "--replicas", "1"]).await?;
    lattice.ok(["start", "actor", &custom.to_string_lossy(), "--name", "near", "--replicas", "1"]).await?;
    lattice.ok(["link", "put", "near", "accounts", "acme:billing"]).await?;
    lattice.until_ready("accounts", 1).await?;
    lattice.until_ready("near", 1).await?;
    lattice.up(2).await?;
    lattice.ok(["start", "actor", &custom.to_string_lossy(), "--name", "far", "--replicas", "1"]).await?;
    lattice.ok(["link", "put", "far", "accounts", "acme:billing"]).await?;
    lattice.until_ready("far", 1).await?;
    for (actor, host) in [("accounts", 0), ("near", 0), ("far", 1)] {
        let one = lattice.get_one("actors", actor).await?;
        assert_eq!(one["hosts"][0]["id"], lattice.host_id(host)?, "{actor} is not where this needs it: {one}");
    }
    for actor in ["near", "far"] {
        let address = free_address()?;
        lattice.listen("web", actor, address).await?;
        lattice.until_answering(address, "/").await?;
        eventually("the link is known", Duration::from_secs(30), || async {
            Ok((http::get(address, "/story").await?.status == 200).then_some(()))
        })
        .await?;
        for _ in 0..5 {
            let told = http::get(address, "/story").await?;
            assert_eq!((told.status.as_u16(), told.text().as_str()), (200, STORY), "{actor}");
        }
        assert_eq!(http::get(address, "/never-drops").await?.text(), "3");
    }
    Ok(())
}

#[tokio::test]
async fn asynchronous_functions_are_called_on_one_host_and_across_two() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(1).start().await?;
    let (helps, tasks) = (lattice.signed("helps").await?, lattice.signed("tasks").await?);
    let start = async |lattice: &Lattice, file: &Path, name: &str| {
        lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", name, "--replicas", "1"]).await
    };
    let linked = async |lattice: &Lattice, name: &str| {
        lattice.ok(["link", "put", name, "helps", "acme:tasks"]).await?;
        lattice.until_ready(name, 1).await
    };
    start(&lattice, &helps, "helps").await?;
    start(&lattice, &tasks, "near").await?;
    linked(&lattice, "near").await?;
    lattice.up(2).await?;
    start(&lattice, &tasks, "far").await?;
    linked(&lattice, "far").await?;
    for (actor, host) in [("helps", 0), ("near", 0), ("far", 1)] {
        let one = lattice.get_one("actors", actor).await?;
        assert_eq!(one["hosts"][0]["id"], lattice.host_id(host)?, "{actor} is not where this needs it: {one}");
    }
    for actor in ["near", "far"] {
        let call = async |function: &str, arguments: &[&str]| {
            let function = format!("acme:tasks/work.{function}");
            lattice.meshctl(["call", actor, &function].into_iter().chain(arguments.iter().copied())).await
        };
        let (one, nameless) = (r#"{name: "a", size: 1}"#, r#"{name: "", size: 2}"#);
        for (function, arguments, said) in [
            ("both", &[one, one][..], "ok([\"a of 1\", \"a of 1\"])\n"),
            ("both", &[one, nameless], "err(\"it has no name\")\n"),
            ("double", &["21"], "42\n"),
            ("behind", &["7"], "7\n"),
        ] {
            let ran = call(function, arguments).await?;
            assert_eq!(ran.stdout, said, "{actor} {function} {ran}");
        }
        let refused = call("later", &[]).await?;
        assert!(refused.code != 0 && refused.stderr.contains("future<u32> cannot cross a link"), "{refused}");
    }
    Ok(())
}

/// A host is declared lost within this.
const LOST_AFTER: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn what_a_host_held_ends_when_it_is_killed() -> Result<()> {
    let mut lattice = Lattice::builder().hosts(1).start().await?;
    let (accounts, custom) = (lattice.signed("accounts").await?, lattice.signed("custom").await?);
    lattice.ok(["start", "actor", &accounts.to_string_lossy(), "--name", "accounts", "--replicas", "1"]).await?;
    lattice.until_ready("accounts", 1).await?;
    lattice.up(2).await?;
    // What is there longer than anybody waits here: only its host's end ends it.
    let far = ["start", "actor", &custom.to_string_lossy(), "--name", "far", "--replicas", "1", "--limit", "time=60s"];
    lattice.ok(far).await?;
    lattice.ok(["link", "put", "far", "accounts", "acme:billing"]).await?;
    lattice.until_ready("far", 1).await?;
    let one = lattice.get_one("actors", "far").await?;
    assert_eq!(one["hosts"][0]["id"], lattice.host_id(1)?, "far is not where this needs it: {one}");
    let held = || lattice.metric(0, "mesh_actor_handles", "actor=\"accounts\"");
    // Whoever asks is answered by nobody: its host is killed.
    let call = lattice.meshctl(["call", "far", "http", "GET", "/hold", "--timeout", "50s"]);
    let kill = async {
        eventually("two accounts are held", Duration::from_secs(30), || async {
            Ok((held().await? == 2).then_some(()))
        })
        .await?;
        lattice.end(lattice.host_pid(1)?, Signal::KILL).await?;
        let ended = eventually("nothing is held", LOST_AFTER * 3, || async {
            let instances = lattice.metric(0, "mesh_actor_instances", "actor=\"accounts\"").await?;
            Ok(((held().await?, instances) == (0, 0)).then_some(()))
        });
        let ((), after) = ended.await?;
        println!("what it held ended {after:?} after it was killed");
        anyhow::Ok(())
    };
    let nobody_cares = async {
        drop(call.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = nobody_cares => Ok(()),
        killed = kill => killed,
    }
}
