//! What actors print reaches the person who asks, from every host and in one order; what was lost is said, and an actor
//! that prints without end costs a bound.

use std::{collections::HashSet, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use mesh_tests::{
    guest, http,
    lattice::{Lattice, READY_WITHIN},
    wait::eventually,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// What a host keeps of one actor, as is promised.
const KEPT_LINES: usize = 1_000;
const KEPT_BYTES: usize = 256 << 10;

/// `meshctl logs -f`, gone with the test.
struct Following {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn start(lattice: &Lattice, actor: &str) -> Result<Self> {
        let mut command = Command::new(guest::program("meshctl")?);
        command.args(["logs", actor, "-f", "-o", "json"]);
        for (variable, field) in [("MESH_SERVER", "server"), ("MESH_LATTICE", "lattice"), ("MESH_ROOT", "root")] {
            command.env(variable, lattice.says(field)?);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok(Self { _child: child, lines: BufReader::new(stdout).lines() })
    }

    /// The first line from here on of which this is true.
    async fn until(&mut self, mut so: impl FnMut(&Value) -> bool) -> Result<Value> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                let line: Value = serde_json::from_str(&line)?;
                if so(&line) {
                    return Ok(line);
                }
            }
            anyhow::bail!("it ended")
        };
        timeout(READY_WITHIN, found).await.context("no such line came")?
    }
}

async fn printed(lattice: &Lattice, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = lattice.ok([&["logs", "print", "-o", "json"], arguments].concat()).await?;
    Ok(serde_json::from_str(&text)?)
}

async fn print_on(lattice: &Lattice, hosts: usize) -> Result<()> {
    let file = lattice.signed("print").await?;
    let (file, replicas) = (file.to_string_lossy(), hosts.to_string());
    lattice.ok(["start", "actor", &file, "--name", "print", "--replicas", &replicas, "--wait"]).await?;
    lattice.until_ready("print", hosts).await?;
    Ok(())
}

#[tokio::test]
async fn what_an_actor_prints_on_any_host_reaches_who_asks_and_who_follows() -> Result<()> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    print_on(&lattice, 2).await?;
    assert_eq!(printed(&lattice, &[]).await?, [] as [Value; 0]);
    let mut following = Following::start(&lattice, "print")?;
    // Both hosts take requests at this address.
    let address = lattice.serve("print").await?;
    lattice.until_answering(address, "/").await?;
    eventually("both hosts have printed", READY_WITHIN, || async {
        http::get(address, "/").await?;
        let lines = printed(&lattice, &[]).await?;
        // A line that a guest does not finish ends with its instance, which may be after the answer.
        let last = |id: &str| lines.iter().any(|line| line["host"] == id && line["source"] == "stderr");
        let on = |index| lattice.host_id(index).map(|id| last(&id));
        Ok((on(0)? && on(1)?).then_some(()))
    })
    .await?;
    let lines = printed(&lattice, &[]).await?;
    assert!(lines.is_sorted_by_key(|line| line["at"].as_u64()), "{lines:?}");
    assert!(lines.iter().all(|line| line["dropped"] == 0), "{lines:?}");
    let has = |source: &str, text: &str| lines.iter().any(|line| line["source"] == source && line["line"] == text);
    assert!(has("stdout", "a line \\u{1b}[31mthat is red"), "{lines:?}");
    assert!(has("stderr", "an unfinished one"), "{lines:?}");
    let hosts = [lattice.host_id(0)?, lattice.host_id(1)?];
    let mut unheard: HashSet<&str> = hosts.iter().map(String::as_str).collect();
    let heard = |line: &Value| {
        unheard.remove(line["host"].as_str().unwrap_or_default());
        unheard.is_empty()
    };
    following.until(heard).await?;
    for host in hosts {
        let alone = printed(&lattice, &["--host", &host]).await?;
        assert!(!alone.is_empty() && alone.iter().all(|line| line["host"] == host), "{alone:?}");
        assert_eq!(printed(&lattice, &["--host", &host, "--tail", "1"]).await?.len(), 1);
    }
    let shown = lattice.ok(["logs", "print"]).await?;
    assert!(shown.starts_with("TIME") && shown.contains("an unfinished one") && !shown.contains('\x1b'), "{shown}");

    // Who follows hears a host that was killed and runs again.
    let killed = lattice.host_id(0)?;
    let mut lattice = lattice;
    lattice.end(lattice.host_pid(0)?, rustix::process::Signal::KILL).await?;
    lattice.up(2).await?;
    lattice.until_ready("print", 2).await?;
    let again = async {
        loop {
            // The one that was killed may have taken it.
            let _ = http::get(address, "/").await;
            let lines = printed(&lattice, &["--host", &killed]).await.unwrap_or_default();
            if !lines.is_empty() {
                return anyhow::Ok(lines[0]["at"].clone());
            }
        }
    };
    let at = timeout(READY_WITHIN, again).await.context("it does not print again")??;
    following.until(|line| line["host"] == killed && line["at"] == at).await?;

    let none = lattice.meshctl(["logs", "nobody"]).await?;
    assert!(none.code == 3 && none.stderr.contains("nobody"), "{none}");
    lattice.ok(["start", "provider", "keyvalue-redb", "--name", "kv"]).await?;
    let provider = lattice.meshctl(["logs", "kv"]).await?;
    assert!(provider.code == 2 && provider.stderr.contains("is a provider"), "{provider}");
    Ok(())
}

#[tokio::test]
async fn an_actor_that_prints_without_end_costs_a_bound_and_what_is_lost_is_said() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    print_on(&lattice, 1).await?;
    lattice.ok(["call", "print", "http", "GET", "/"]).await?;
    let mut following = Following::start(&lattice, "print")?;
    following.until(|line| line["line"] == "an unfinished one").await?;
    let flood = lattice.meshctl(["call", "print", "http", "GET", "/flood"]).await?;
    assert_ne!(flood.code, 0, "{flood}");
    // It prints again once it may; the lines between were not kept for anybody.
    let lost = async {
        loop {
            lattice.ok(["call", "print", "http", "GET", "/"]).await?;
            let lines = printed(&lattice, &["--tail", "2"]).await?;
            if lines.iter().any(|line| line["line"] == "an unfinished one") {
                return anyhow::Ok(());
            }
        }
    };
    timeout(READY_WITHIN, lost).await.context("it is not heard again")??;
    let line = following.until(|line| line["dropped"].as_u64().is_some_and(|dropped| dropped > 0)).await?;
    println!("lost before one line: {}", line["dropped"]);
    let kept = printed(&lattice, &["--tail", "1000000"]).await?;
    let bytes: usize = kept.iter().filter_map(|line| line["line"].as_str()).map(str::len).sum();
    println!("kept: {} lines, {bytes} bytes", kept.len());
    ensure!(kept.len() <= KEPT_LINES && bytes <= KEPT_BYTES, "{} lines, {bytes} bytes", kept.len());
    ensure!(
        kept.len() > 10 && kept.iter().all(|line| line["line"].as_str().is_some_and(|line| line.len() <= 16 << 10))
    );
    let shown = lattice.ok(["logs", "print", "--tail", "1000000"]).await?;
    assert!(shown.contains("lines dropped)"), "nobody is told");
    Ok(())
}
