//! `doctor`: looks at everything that a lattice stands on, and says what to do where it is not as it should be.

mod monitor;

use mesh_lattice::control::{HostState, Status};
use mesh_transport::Connections;
use serde::Serialize;

use crate::{
    cli::Global,
    client::{self, Client},
    context::Context,
    exit::{Exit, Failure},
    output::{Output, Table},
};

/// Look at what the lattice stands on
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor;

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    Ok,
    Warn,
    Fail,
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    grade: Grade,
    message: String,
    advice: String,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, grade: Grade::Ok, message: message.into(), advice: String::new() }
    }

    fn warn(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, grade: Grade::Warn, message: message.into(), advice: advice.into() }
    }

    fn fail(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, grade: Grade::Fail, message: message.into(), advice: advice.into() }
    }
}

/// A round trip to NATS above this is far.
const FAR: std::time::Duration = std::time::Duration::from_millis(200);

impl Doctor {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        client::block_on(async {
            // Without a server there is nothing to look at: that is its own exit code.
            let client = Client::connect(global, out).await?;
            let mut findings = vec![
                server(client.connections()).await,
                version(client.connections()),
                Finding::ok("jetstream", "JetStream is on for this account"),
            ];
            findings.extend(monitor::look(client.monitor(), global.timeout).await);
            let status = client.status().await;
            findings.extend(lattice(&status));
            findings.push(key(global, &client, status.as_ref().ok()));
            client.close().await;
            out.show(&findings, || table(&findings))?;
            verdict(&findings, status.err())
        })
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(["CHECK", "GRADE", "FOUND", "TO DO"]);
    for finding in findings {
        let grade = match finding.grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        table.row([finding.check.to_owned(), grade.to_owned(), finding.message.clone(), finding.advice.clone()]);
    }
    table
}

fn verdict(findings: &[Finding], silent: Option<anyhow::Error>) -> anyhow::Result<()> {
    if let Some(error) = silent {
        return Err(error);
    }
    match findings.iter().filter(|finding| finding.grade == Grade::Fail).count() {
        0 => Ok(()),
        failed => Err(Failure::new(Exit::Failed, format!("{failed} checks failed")).into()),
    }
}

async fn server(connections: &Connections) -> Finding {
    let at = connections.server();
    match connections.round_trip().await {
        Ok(time) if time > FAR => Finding::warn(
            "server",
            format!("{at} answers after {time:?}"),
            "hosts want a server near them: a leaf node or a cluster member at each site",
        ),
        Ok(time) => Finding::ok("server", format!("{at} answers after {time:?}")),
        Err(error) => Finding::fail("server", format!("{at}: {error}"), "look at nats-server's log"),
    }
}

fn version(connections: &Connections) -> Finding {
    let found = connections.server_version().unwrap_or_else(|| "of an unknown version".to_owned());
    match connections.too_old() {
        None => Finding::ok("version", format!("nats-server {found}")),
        Some(old) => Finding::warn("version", old.to_string(), format!("update nats-server to {} or later", old.floor)),
    }
}

fn lattice(status: &anyhow::Result<Status>) -> Vec<Finding> {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let advice = "start a meshd in this lattice; its log and /readyz say what it waits for";
            return vec![Finding::fail("hosts", format!("no host answers: {error:#}"), advice)];
        }
    };
    vec![hosts(status), leader(status), untrusted(status)]
}

fn hosts(status: &Status) -> Finding {
    let count = |state: HostState| status.hosts.iter().filter(|host| host.state == state).count();
    let (ready, lost) = (count(HostState::Ready), count(HostState::Lost));
    let message = format!("{ready} of {} hosts are ready, {lost} are lost", status.hosts.len());
    match (ready, lost) {
        (0, _) => Finding::fail("hosts", message, "start a host: `meshd`, or `meshctl up` for a development lattice"),
        (_, 0) => Finding::ok("hosts", message),
        _ => Finding::warn(
            "hosts",
            message,
            "start the lost hosts again, or `meshctl trust remove host` those that are gone",
        ),
    }
}

fn leader(status: &Status) -> Finding {
    match status.hosts.iter().find(|host| host.leader) {
        Some(host) => Finding::ok("leader", format!("{} leads", host.name)),
        None => Finding::warn(
            "leader",
            "no host leads",
            "one takes office within 4 s; if none does, look at the hosts' logs",
        ),
    }
}

fn untrusted(status: &Status) -> Finding {
    let is_revoked = |id: &str| status.trust.iter().any(|view| view.kind == "revoked" && view.id == id);
    let untrusted = status.hosts.iter().filter(|host| host.state == HostState::Untrusted);
    let (revoked, strange): (Vec<String>, Vec<String>) =
        untrusted.map(|host| host.id.to_string()).partition(|id| is_revoked(id));
    let mut found = Vec::new();
    let mut advice = Vec::new();
    if !revoked.is_empty() {
        found.push(format!("revoked: {}", revoked.join(", ")));
        advice.push("stop what is revoked, or `meshctl trust remove revoked ID --key ROOT` takes that back");
    }
    if !strange.is_empty() {
        found.push(format!("not enrolled: {}", strange.join(", ")));
        advice.push("`meshctl trust add host ID` enrols one that is yours; of any other, find out who runs it");
    }
    if found.is_empty() {
        return Finding::ok("trust", "every host that is there is enrolled");
    }
    Finding::warn("trust", found.join("; "), advice.join("; "))
}

/// Whether changes can be made from here.
fn key(global: &Global, client: &Client, status: Option<&Status>) -> Finding {
    let advice = "name a user's seed with --key or MESH_KEY";
    let signer = match Context::find(global).and_then(|context| context.signer()) {
        Ok(signer) => signer.public(),
        Err(error) => return Finding::warn("key", format!("nothing can be changed from here: {error:#}"), advice),
    };
    let root = match client.root() {
        Ok(Some(root)) => root,
        Ok(None) => {
            let message = "the lattice's root is not known here: what others changed cannot be verified";
            return Finding::warn("key", message, "name it with --root or MESH_ROOT");
        }
        Err(error) => return Finding::fail("key", format!("{error:#}"), "name the root with --root or MESH_ROOT"),
    };
    let user = |view: &mesh_lattice::control::TrustView| view.kind == "user" && view.id == signer;
    match status.map(|status| status.trust.iter().find(|view| user(view))) {
        _ if signer == root.as_str() => Finding::warn(
            "key",
            "changes are signed with the root itself",
            "keep the root's seed away, and sign with a user's: `meshctl trust add user`",
        ),
        Some(Some(view)) if view.admin => Finding::ok("key", format!("{signer} may change everything")),
        Some(Some(_)) => Finding::ok("key", format!("{signer} may change what runs")),
        Some(None) => {
            Finding::fail("key", format!("{signer} is no user of this lattice"), "`meshctl trust add user` by an admin")
        }
        None => Finding::ok("key", format!("changes are signed by {signer}")),
    }
}
