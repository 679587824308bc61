//! A lattice for the tests of commits, and what a client would send to it.

use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_claims::{Envelope, KeyKind, KeyPair};
use mesh_lattice::{application::Link, control};
use mesh_provider::{ConfigError, Context, End, LinkError, ProviderLink, StartError};
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::*;

/// A lattice with one user, one application `adhoc` of one actor `counter`, and two kinds of providers.
pub(super) struct Rig {
    pub(super) user: KeyPair,
    pub(super) trust: Trust,
    pub(super) world: World,
    pub(super) stored: BTreeMap<Key, Entry>,
    pub(super) mirror: Mirror,
    pub(super) root: KeyPair,
    pub(super) kinds: BTreeMap<Name, Kind>,
    pub(super) shared: BTreeMap<Name, Values>,
}

/// Providers that know the one key `bucket`; those with local state call nobody.
pub(in crate::ctl) struct Picky {
    pub(in crate::ctl) local_state: bool,
    pub(in crate::ctl) serves: String,
    pub(in crate::ctl) calls: String,
}

impl Factory for Picky {
    fn kind(&self) -> Name {
        name("picky")
    }

    fn interfaces(&self) -> Vec<mesh_lattice::InterfacePattern> {
        self.serves.parse().into_iter().collect()
    }

    fn calls(&self) -> Vec<mesh_lattice::InterfacePattern> {
        self.calls.parse().into_iter().collect()
    }

    fn local_state(&self) -> bool {
        self.local_state
    }

    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        let mut settings = mesh_provider::Settings::new(config);
        settings.text("bucket");
        settings.refuse_unknown(config)
    }

    fn check_link(&self, _: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        match link.end {
            End::Source if self.local_state => Err(LinkError::Unsupported("it calls nobody".into())),
            End::Source | End::Target => Ok(self.check(&link.config)?),
        }
    }

    fn start(&self, _: Context) -> BoxFuture<'_, Result<Arc<dyn mesh_provider::Provider>, StartError>> {
        Box::pin(std::future::ready(Err(StartError::Backend("a test starts nothing".into()))))
    }
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn actor(text: &str) -> mesh_lattice::application::Actor {
    let digest = mesh_lattice::Digest::of(text.as_bytes());
    serde_json::from_value(serde_json::json!({ "name": text, "artifact": { "digest": digest } })).unwrap()
}

pub(super) fn link(source: &str, target: &str) -> Link {
    serde_json::from_value(serde_json::json!({
        "source": source, "target": target, "interfaces": ["wasi:keyvalue"]
    }))
    .unwrap()
}

pub(super) fn provider(text: &str, kind: &str, local_state: bool) -> Provider {
    serde_json::from_value(serde_json::json!({ "name": text, "use": kind, "local_state": local_state })).unwrap()
}

pub(super) fn app(text: &str, actors: &[&str]) -> Application {
    Application { actors: actors.iter().map(|text| actor(text)).collect(), ..Application::empty(name(text)) }
}

impl Rig {
    pub(super) fn new() -> Self {
        let root = KeyPair::generate(KeyKind::Operator);
        let user = KeyPair::generate(KeyKind::User);
        let incarnation = Incarnation::new();
        let mut trust = Trust::of_incarnation(root.operator_id().unwrap(), incarnation);
        let id = user.user_id().unwrap();
        let key = Key::Trust(TrustKey::User(id.clone()));
        let statement = TrustStatement::User { id, admin: false };
        trust.apply(&key, &Envelope::sign(&key, incarnation, 1, &statement, &root).unwrap()).unwrap();
        let mut mirror = Mirror::new(root.operator_id().unwrap(), incarnation);
        let envelope = Envelope::sign(&key, incarnation, 1, &statement, &root).unwrap();
        mirror.apply(mesh_transport::Change::Put(Entry { key, envelope, revision: 1, at: None })).unwrap();
        let kind = |local_state, serves: &str, calls: &str| Kind {
            factory: Arc::new(Picky { local_state, serves: serves.into(), calls: calls.into() }),
        };
        let world = World {
            incarnation,
            term: 1,
            apps: BTreeMap::new(),
            hosts: BTreeMap::new(),
            assigned: BTreeMap::new(),
            pins: BTreeMap::new(),
            routes: BTreeMap::new(),
        };
        let mut rig = Self {
            user,
            trust,
            world,
            stored: BTreeMap::new(),
            mirror,
            root,
            shared: BTreeMap::from([(name("shared"), Values::from([("bukket".to_owned(), "b".to_owned())]))]),
            kinds: BTreeMap::from([
                (name("keyvalue-nats"), kind(false, "wasi:keyvalue", "")),
                (name("keyvalue-redb"), kind(true, "wasi:keyvalue", "")),
                (name("http-server"), kind(false, "", "wasi:http/incoming-handler")),
            ]),
        };
        rig.accept("adhoc", &app("adhoc", &["counter"]));
        rig
    }

    /// Stores an application as if its commit had been written.
    pub(super) fn accept(&mut self, text: &str, application: &Application) {
        let commit = self.apply(text, application);
        self.judge(&commit).unwrap();
        for write in parse(&commit).unwrap() {
            let entry = Entry { key: write.key.clone(), envelope: write.envelope, revision: 10, at: None };
            self.mirror.apply(mesh_transport::Change::Put(entry.clone())).unwrap();
            self.stored.insert(write.key, entry);
        }
        let desired = Desired::Wanted { revision: 1, application: Arc::new(application.clone()) };
        self.world.apps.insert(name(text), desired);
    }

    pub(super) fn write<T: Serialize>(&self, key: &Key, value: &T) -> control::Write {
        let (expected, generation) =
            self.stored.get(key).map_or((0, 1), |entry| (entry.revision, entry.envelope.generation + 1));
        let envelope = Envelope::sign(key, self.world.incarnation, generation, value, &self.user).unwrap();
        control::Write { key: key.to_string(), expected, envelope: ByteBuf::from(envelope.encode()) }
    }

    /// The commit that a client would make of an application: the next revision, the pointer, the names.
    pub(super) fn apply(&self, text: &str, application: &Application) -> Commit {
        let taken = |revision: &u64| self.stored.contains_key(&Key::AppRevision(name(text), *revision));
        let revision = (1..).find(|revision| !taken(revision)).unwrap();
        let mut writes = vec![
            self.write(&Key::AppRevision(name(text), revision), application),
            self.write(&Key::App(name(text)), &AppPointer { revision, deleted: false }),
        ];
        let claimed = application.names().filter(|name| self.world_owner(name).is_none());
        writes.extend(
            claimed.map(|owned| self.write(&Key::Owner(owned.clone()), &OwnerRecord { app: Some(name(text)) })),
        );
        Commit { writes }
    }

    pub(super) fn world_owner(&self, owned: &Name) -> Option<&Name> {
        self.world.apps.iter().find_map(|(app, desired)| match desired {
            Desired::Wanted { application, .. } => application.names().any(|name| name == owned).then_some(app),
            _ => None,
        })
    }

    pub(super) fn judge(&self, commit: &Commit) -> Result<Vec<RawWrite>, ControlError> {
        let writes = parse(commit)?;
        let keys = keys(&writes);
        let stored: BTreeMap<_, _> =
            keys.iter().filter_map(|key| Some((key.clone(), self.stored.get(key)?.clone()))).collect();
        let judge = Judge {
            incarnation: self.world.incarnation,
            trust: &self.trust,
            world: &self.world,
            stored: &stored,
            mirror: &self.mirror,
            kinds: &self.kinds,
            shared: &self.shared,
            read: &Default::default(),
        };
        judge.check(commit, &writes)
    }

    pub(super) fn refuse(&self, commit: &Commit, code: ControlCode, words: &str) {
        let error = self.judge(commit).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}
