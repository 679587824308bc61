//! The bombs, made when they are wanted: kept as files they would take megabytes and say nothing to a reader.

mod artifact;
mod messagepack;

use std::sync::LazyLock;

use mesh_claims::{Envelope, KeyKind, KeyPair};
use mesh_lattice::{
    BootId, CallId, Digest, HostId, Incarnation, LatticeName, Name,
    application::{Application, Values},
    control,
    frame::{Cancel, Frame},
    id::OperatorId,
    key::{Key, TrustKey},
    name::Labels,
    stored, wit,
};
use serde::Serialize;

static ROOT: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeyKind::Operator));

/// Whom the statements of the corpus are signed by.
pub(crate) fn root() -> OperatorId {
    ROOT.operator_id().unwrap()
}

/// Every bomb with a name.
pub(crate) fn bombs() -> Vec<(String, Vec<u8>)> {
    let mut all = messagepack::bombs();
    all.extend(artifact::bombs());
    // What is honest and was cut or changed goes everywhere too: a decoder fails latest on what it nearly understands.
    for (name, bytes) in honest() {
        let mut changed = bytes.clone();
        if let Some(byte) = changed.get_mut(bytes.len() / 2) {
            *byte ^= 0xff;
        }
        all.push((format!("{name}, changed"), changed));
        all.push((format!("{name}, cut"), bytes.get(..bytes.len() * 2 / 3).unwrap_or_default().to_vec()));
    }
    all
}

fn record(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

/// What honest writers write, for every decoder at least one.
pub(crate) fn honest() -> Vec<(&'static str, Vec<u8>)> {
    let host = KeyPair::generate(KeyKind::Host).host_id().unwrap();
    let mut all = stored_values(&host);
    all.extend(control_values(&host));
    let key = Key::Trust(TrustKey::Host(host.clone()));
    let statement = stored::TrustStatement::Host { id: host, labels: None };
    all.push(("statement", Envelope::sign(&key, Incarnation::new(), 1, &statement, &ROOT).unwrap().encode()));
    all.push(("frame", Frame::Cancel(Cancel { id: CallId::new() }).encode()));
    all.push(("artifact", artifact::honest()));
    let headers = vec![("accept".to_owned(), serde_bytes::ByteBuf::from(b"text/html".to_vec()))];
    let head = wit::http::RequestHead {
        method: "GET".into(),
        scheme: None,
        authority: Some("example.com".into()),
        path_with_query: Some("/".into()),
        headers: headers.clone(),
    };
    all.push(("http request", record(&(head,))));
    let head = wit::Outcome::<_, String>::Ok(wit::http::ResponseHead { status: 200, headers });
    all.push(("http response", record(&head)));
    all.push(("keys", record(&("bucket", vec!["a", "b"]))));
    all.push(("list of options", vec![0x92, 0xc0, 0xa1, b'a']));
    all.push(("numbers", vec![0x91, 0x92, 1, 2]));
    all.push(("record", vec![0x81, 0xa1, b'a', 0x91, 0xa1, b'x']));
    all.push(("deep", [vec![0x91; 63], vec![1]].concat()));
    all
}

fn stored_values(host: &HostId) -> Vec<(&'static str, Vec<u8>)> {
    let name: Name = "counter".parse().unwrap();
    let (boot, incarnation) = (BootId::new(), Incarnation::new());
    let item = stored::Item { app: name.clone(), revision: 1, name: name.clone(), kind: stored::ItemKind::Actor };
    let actor = stored::ObservedActor {
        name: name.clone(),
        app: name.clone(),
        revision: 1,
        digest: Digest::of(b"artifact"),
        issuer: None,
        claims_revision: None,
        state: stored::ActorState::Ready,
        reason: String::new(),
        behind: false,
        instances: 1,
        calls: 1,
        breakdowns: 1,
        last_breakdown: "trap".into(),
        exports: Vec::new(),
    };
    let observed = stored::Observed {
        boot,
        name: "host-1".into(),
        version: "1".into(),
        labels: Labels::new(),
        uptime_seconds: 1,
        draining: false,
        term: 1,
        actors: vec![actor],
        providers: Vec::new(),
    };
    let site = stored::RouteHost { id: host.clone(), site: String::new() };
    let event = stored::Event {
        at: 1,
        first: 1,
        count: 1,
        host: host.clone(),
        kind: "actor_started".into(),
        subject: "counter".into(),
        message: "started".into(),
    };
    vec![
        ("lattice record", record(&stored::LatticeRecord { incarnation })),
        ("pointer", record(&stored::AppPointer { revision: 1, deleted: false })),
        ("application", record(&Application::empty(name.clone()))),
        ("values", record(&Values::from([("key".into(), "value".into())]))),
        ("owner", record(&stored::OwnerRecord { app: Some(name) })),
        ("trust statement", record(&stored::TrustStatement::Withdrawn)),
        ("node", record(&stored::NodeRecord::default())),
        ("pin", record(&stored::Pin { host: host.clone() })),
        ("assignment", record(&stored::Assignment { incarnation, term: 1, items: vec![item] })),
        ("observed", record(&observed)),
        ("route", record(&stored::Route { term: 1, hosts: vec![site] })),
        ("leader", record(&stored::Leader { host: host.clone(), boot, term: 1, renewal: 1 })),
        ("lease", record(&stored::Lease { boot, lost_after_ms: 1, renewal: 1, draining: false })),
        ("event", record(&event)),
    ]
}

fn control_values(host: &HostId) -> Vec<(&'static str, Vec<u8>)> {
    let (key, envelope) = ("app.counter".to_owned(), serde_bytes::ByteBuf::from(vec![1; 100]));
    let write = control::Write { key: key.clone(), expected: 0, envelope: envelope.clone() };
    let incarnation = Incarnation::new();
    let read = control::ReadValue { key: key.clone(), revision: 1, envelope: Some(envelope), at: None, believed: None };
    let status = control::Status {
        answered_by: host.clone(),
        lattice: LatticeName::default(),
        incarnation,
        hosts: Vec::new(),
        actors: Vec::new(),
        providers: Vec::new(),
        links: Vec::new(),
        apps: Vec::new(),
        config: Vec::new(),
        trust: Vec::new(),
        events: Vec::new(),
    };
    let ok = |value: Vec<u8>| [&[0x81, 0xa2][..], b"ok", &value].concat();
    vec![
        ("status request", record(&control::StatusRequest { events: true })),
        ("read request", record(&control::ReadRequest { keys: vec![key] })),
        ("commit", record(&control::Commit { writes: vec![write] })),
        ("status", ok(record(&status))),
        ("read", ok(record(&control::Read { incarnation, values: vec![read] }))),
        ("committed", ok(record(&control::Committed { by: host.clone() }))),
    ]
}
