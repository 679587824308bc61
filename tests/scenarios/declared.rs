//! What manifests say is what runs: every change does what `diff` said that it would do, nothing is lost or merged where many
//! apply at once, and what is wrong changes nothing.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use mesh_tests::{
    guest, http,
    lattice::{Lattice, READY_WITHIN, free_address},
    wait::eventually,
};
use rustix::process::Signal;
use serde_json::Value;

/// Clients that apply at the same time.
const CLIENTS: usize = 10;

/// After this long without more, the hosts are done with a change.
const SETTLED: Duration = Duration::from_secs(1);

/// A counter, its store and its web server, with a hole for each thing that changes.
const COUNTER: &str = r#"
apiVersion: mesh/v1
kind: Application
metadata: { name: demo }
spec:
  actors:
    - name: counter
      artifact: "${artifact}"
      replicas: ${replicas:-2}
      config: { greeting: "${greeting:-hello}" }
      limits: { cpu: "${cpu:-500ms}" }
      placement: [ { where: { zone: "${zone:-any}" } } ]
      links:
        - { to: kv, interfaces: [ "wasi:keyvalue" ], config: { bucket: demo } }
  providers:
    - name: kv
      use: keyvalue-nats
      config: { bucket: "${bucket:-one}" }
    - name: web
      use: http-server
      everywhere: true
      links:
        - { to: counter, interfaces: [ "wasi:http/incoming-handler" ], config: { listen: "${listen}", timeout_ms: "${timeout:-30000}" } }
"#;

/// Every host log of a lattice as one text.
fn logs(lattice: &Lattice) -> Result<String> {
    let mut all = String::new();
    for entry in fs::read_dir(lattice.file("logs"))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("host-")) {
            all += &fs::read_to_string(path)?;
        }
    }
    Ok(all)
}

/// What the hosts have really done so far: actors started, providers that came up, and what was stopped.
fn done(lattice: &Lattice) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for line in logs(lattice)?.lines() {
        for (words, what) in [
            ("the actor is started", "start"),
            ("an actor is not wanted here any more", "stop"),
            ("a provider is not wanted here any more", "stop"),
            ("the provider changed its state", "start"),
        ] {
            let up = what == "stop" || words.starts_with("the actor") || line.contains("Running");
            if !line.contains(words) || !up {
                continue;
            }
            for name in ["counter", "kv", "web"] {
                if line.contains(&format!("\"{name}\"")) || line.contains(&format!("={name}")) {
                    *counts.entry(format!("{what} {name}")).or_default() += 1;
                }
            }
        }
    }
    Ok(counts)
}

/// What was done since, without what did not change.
fn since(before: &BTreeMap<String, usize>, now: BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let grown = now.into_iter().map(|(what, count)| {
        let earlier = before.get(&what).copied().unwrap_or_default();
        (what, count - earlier)
    });
    grown.filter(|(_, count)| *count > 0).collect()
}

/// What a diff says of each part.
fn effects(rows: &Value) -> BTreeMap<String, String> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let rows = rows.as_array().into_iter().flatten().filter(|row| row["kind"] != "app" && row["kind"] != "link");
    rows.map(|row| (text(row, "name"), text(row, "effect"))).collect()
}

struct Story {
    lattice: Lattice,
    manifest: PathBuf,
    set: BTreeMap<&'static str, String>,
}

impl Story {
    async fn run(&self, command: &[&str]) -> Result<Value> {
        let mut arguments: Vec<String> = command.iter().map(ToString::to_string).collect();
        arguments.extend(["-f".to_owned(), self.manifest.to_string_lossy().into_owned()]);
        for (key, value) in &self.set {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        arguments.extend(["-o".to_owned(), "json".to_owned()]);
        let text = self.lattice.ok(arguments).await?;
        serde_json::from_str(&text).with_context(|| text)
    }

    /// Applies one more change: what the diff said of each part. The hosts do what is named, and nothing else.
    async fn change(
        &mut self,
        key: &'static str,
        value: &str,
        does: &[(&str, usize)],
    ) -> Result<BTreeMap<String, String>> {
        self.set.insert(key, value.to_owned());
        let does: BTreeMap<_, _> = does.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect();
        let before = done(&self.lattice)?;
        let said = effects(&self.run(&["diff"]).await?);
        self.run(&["apply", "--wait"]).await?;
        // What goes away goes after its replacement serves.
        eventually("the hosts did what the change takes", READY_WITHIN, || {
            let now = done(&self.lattice).map(|now| since(&before, now));
            let does = &does;
            async move {
                let now = now?;
                ensure!(now == *does, "{now:?} was done");
                Ok(Some(()))
            }
        })
        .await
        .with_context(|| format!("{key} is {value}: {does:?}"))?;
        tokio::time::sleep(SETTLED).await;
        assert_eq!(since(&before, done(&self.lattice)?), does, "{key} is {value}");
        Ok(said)
    }
}

#[tokio::test]
async fn each_change_does_what_diff_said_that_it_would_do() -> Result<()> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    for host in ["host-1", "host-2"] {
        lattice.ok(["label", host, "zone=any"]).await?;
    }
    let file = lattice.signed("counter").await?;
    let manifest = lattice.file("mesh.yaml");
    fs::write(&manifest, COUNTER)?;
    let address = free_address()?;
    let set = BTreeMap::from([("artifact", "counter.wasm".to_owned()), ("listen", address.to_string())]);
    let mut story = Story { lattice, manifest, set };
    let dry = story.run(&["apply", "--dry-run"]).await?;
    assert_eq!(dry[0]["action"], "created", "{dry}");
    assert!(story.lattice.get("apps").await?.is_empty(), "a dry run wants nothing");
    let applied = story.run(&["apply", "--wait"]).await?;
    assert_eq!(effects(&applied)["web"], "starts on every host (host-1, host-2)", "{applied}");
    assert_eq!(http::get(address, "/").await?.status, 200);
    let again = story.run(&["apply"]).await?;
    assert_eq!((&again[0]["action"], again.as_array().map(Vec::len)), (&Value::from("unchanged"), Some(1)), "{again}");

    // The same component, signed again: other bytes.
    story.lattice.sign(&file, "counter").await?;
    let said = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let rolled: &[_] = &[("start counter", 2)];
    for (key, value, says, does) in [
        // Nothing but the artifact differs now.
        ("greeting", "hello", said(&[("counter", "rolls 2 replicas")]), rolled),
        ("greeting", "hi", said(&[("counter", "rolls 2 replicas")]), rolled),
        ("cpu", "400ms", said(&[("counter", "rolls 2 replicas")]), rolled),
        ("timeout", "20000", said(&[("web", "is told 1 link")]), &[]),
        ("bucket", "two", said(&[("kv", "restarts on host-1, host-2")]), &[("start kv", 2)]),
    ] {
        let mut diff = story.change(key, value, does).await?;
        diff.retain(|name, _| says.contains_key(name));
        assert_eq!(diff, says, "{key}");
    }
    assert_eq!(http::get(address, "/").await?.status, 200);

    let fewer = [("stop counter", 1), ("stop kv", 1)];
    let diff = story.change("replicas", "1", &fewer).await?;
    assert!(diff["counter"].starts_with("stops on host-") && diff["kv"].starts_with("stops on host-"), "{diff:?}");
    let more = [("start counter", 1), ("start kv", 1)];
    let diff = story.change("replicas", "2", &more).await?;
    assert!(diff["counter"].starts_with("starts on host-") && diff["kv"].starts_with("starts on host-"), "{diff:?}");
    story.change("replicas", "1", &fewer).await?;
    let stays = story.lattice.get_one("actors", "counter").await?["hosts"][0]["id"].clone();
    let names = story.lattice.get("hosts").await?;
    let other = names.iter().find(|host| host["id"] != stays).context("another host")?["name"].clone();
    story.lattice.ok(["label", other.as_str().context("its name")?, "zone=edge"]).await?;
    let diff = story.change("zone", "edge", &[more, fewer].concat()).await?;
    assert!(diff["counter"].starts_with("moves to zone=edge: host-"), "{diff:?}");
    Ok(())
}

/// A manifest of one store.
fn store(app: &str, bucket: &str) -> String {
    format!(
        "apiVersion: mesh/v1\nkind: Application\nmetadata: {{ name: {app} }}\nspec:\n  providers:\n    \
         - {{ name: {app}-kv, use: keyvalue-nats, config: {{ bucket: {bucket} }} }}\n"
    )
}

#[tokio::test]
async fn ten_clients_that_apply_ten_applications_lose_none() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let apply = (0..CLIENTS).map(|client| {
        let lattice = &lattice;
        async move {
            let app = format!("app-{client}");
            let file = lattice.file(&format!("{app}.yaml"));
            fs::write(&file, store(&app, "b"))?;
            lattice.ok(["apply", "-f", &file.to_string_lossy()]).await
        }
    });
    for applied in join_all(apply).await {
        applied?;
    }
    assert_eq!(lattice.get("apps").await?.len(), CLIENTS);
    assert_eq!(lattice.get("providers").await?.len(), CLIENTS);
    Ok(())
}

#[tokio::test]
async fn of_ten_clients_that_apply_one_application_each_wins_or_is_told_of_the_conflict() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let apply = (0..CLIENTS).map(|client| {
        let lattice = &lattice;
        async move {
            let file = lattice.file(&format!("{client}.yaml"));
            fs::write(&file, store("shared", &format!("bucket-{client}")))?;
            Ok::<_, anyhow::Error>((
                client,
                lattice.meshctl(["apply", "-f", &file.to_string_lossy(), "-o", "json"]).await?,
            ))
        }
    });
    let (mut winners, mut conflicts) = (BTreeMap::new(), 0);
    for ran in join_all(apply).await {
        let (client, ran) = ran?;
        match ran.code {
            0 => {
                let rows: Value = serde_json::from_str(&ran.stdout)?;
                let revision = rows[0]["revision"].as_u64().context("a revision")?;
                ensure!(winners.insert(revision, client).is_none(), "revision {revision} was won twice");
            }
            4 => {
                assert!(ran.stderr.contains("somebody else") && ran.stderr.contains("bucket-"), "{ran}");
                conflicts += 1;
            }
            _ => anyhow::bail!("{ran}"),
        }
    }
    let history = lattice.ok(["rollout", "history", "app", "shared", "-o", "json"]).await?;
    let history: Vec<Value> = serde_json::from_str(&history)?;
    println!("{} won and {conflicts} were told of a conflict", winners.len());
    assert_eq!(winners.len() + conflicts, CLIENTS);
    assert_eq!(history.len(), winners.len(), "{history:?}");
    for revision in &history[1..] {
        let client = winners[&revision["revision"].as_u64().context("a number")?];
        let change = revision["change"].as_str().context("a change")?;
        assert!(change.ends_with(&format!("→ bucket-{client}")), "client {client}: {change}");
    }
    Ok(())
}

#[tokio::test]
async fn applying_survives_the_death_of_the_leader_and_is_done_once() -> Result<()> {
    let lattice = Lattice::builder().hosts(3).start().await?;
    let hosts = lattice.get("hosts").await?;
    let leader = hosts.iter().find(|host| host["leader"] == true).context("a leader")?["id"].clone();
    let index =
        (0..3).find(|index| lattice.host_id(*index).is_ok_and(|id| leader == id.as_str())).context("its place")?;
    let pid = lattice.host_pid(index)?;
    let apply = (0..CLIENTS).map(|client| {
        let lattice = &lattice;
        async move {
            let app = format!("app-{client}");
            let file = lattice.file(&format!("{app}.yaml"));
            fs::write(&file, store(&app, "b"))?;
            if client == CLIENTS / 2 {
                lattice.end(pid, Signal::KILL).await?;
            }
            lattice.ok(["apply", "--timeout", "15s", "-f", &file.to_string_lossy()]).await?;
            lattice.ok(["rollout", "history", "app", &app, "-o", "json", "--timeout", "15s"]).await
        }
    });
    for history in join_all(apply).await {
        let history: Vec<Value> = serde_json::from_str(&history?)?;
        assert_eq!(history.len(), 1, "{history:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_leader_refuses_what_is_wrong_before_anything_changes() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let file = lattice.file("good.yaml");
    fs::write(&file, store("good", "b"))?;
    lattice.ok(["apply", "-f", &file.to_string_lossy()]).await?;
    let wrong = [
        // Only the provider itself knows what it understands.
        (store("bad", "b").replace("bucket:", "bukket:"), 2, "bukket"),
        (store("bad", "b").replace("bad-kv", "good-kv"), 2, "good"),
        (store("bad", "b").replace("keyvalue-nats", "keyvalue-floppy"), 2, "keyvalue-floppy"),
    ];
    for (text, code, words) in wrong {
        let (bad, fresh) = (lattice.file("bad.yaml"), lattice.file("fresh.yaml"));
        fs::write(&bad, text)?;
        fs::write(&fresh, store("fresh", "b"))?;
        for command in [&["apply"][..], &["apply", "--dry-run"], &["diff"]] {
            let files = ["-f", &fresh.to_string_lossy(), "-f", &bad.to_string_lossy()].map(str::to_owned);
            let ran = lattice.meshctl(command.iter().map(ToString::to_string).chain(files)).await?;
            assert_eq!(ran.code, code, "{ran}");
            assert!(ran.stderr.contains(words), "{words}: {ran}");
        }
        assert_eq!(lattice.get("apps").await?.len(), 1, "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn the_manifests_of_the_examples_apply_and_apply_again_as_unchanged() -> Result<()> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut applied = Vec::new();
    // The caller asks the greeter.
    for example in ["hello", "counter", "visits", "greeter", "caller"] {
        let manifest = examples.join(example).join("mesh.yaml");
        let file = lattice.signed(example).await?;
        let mut set = vec!["--set".to_owned(), format!("artifact={}", file.display())];
        if fs::read_to_string(&manifest)?.contains("${listen") {
            set.extend(["--set".to_owned(), format!("listen={}", free_address()?)]);
        }
        let arguments = |command: &[&str]| {
            let file = ["-f".to_owned(), manifest.to_string_lossy().into_owned()];
            command.iter().map(ToString::to_string).chain(file).chain(set.clone()).collect::<Vec<_>>()
        };
        lattice.ok(arguments(&["apply", "--wait"])).await.with_context(|| example.to_owned())?;
        let again: Value = serde_json::from_str(&lattice.ok(arguments(&["apply", "-o", "json"])).await?)?;
        assert_eq!(again[0]["action"], "unchanged", "{example}: {again}");
        if example != "greeter" {
            lattice.ok(arguments(&["delete", "--wait"])).await.with_context(|| example.to_owned())?;
        }
        applied.push(example);
    }
    let folders: Vec<_> =
        fs::read_dir(&examples)?.flatten().filter(|entry| entry.path().join("src").is_dir()).collect();
    assert_eq!(folders.len(), applied.len(), "an example has no manifest: {folders:?}");
    assert!(guest::unsigned("hello").is_ok());
    eventually("the greeter alone is left", Duration::from_secs(30), || async {
        Ok((lattice.get("apps").await?.len() == 1).then_some(()))
    })
    .await?;
    Ok(())
}
