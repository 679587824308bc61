//! Answers control requests as a host does. It has no scheduler: what is wanted counts as there, but not ready.

use std::collections::BTreeMap;

use mesh_claims::{Envelope, KeyKind, KeyPair, Trust, authority};
use mesh_lattice::{
    HostId, Name,
    application::{Application, ConfigPart, Replicas, Values},
    control::{
        ActorView, AppState, AppView, Commit, Committed, ConfigView, ControlCode, ControlError, HostState, HostView,
        Judged, LinkState, LinkView, ProviderView, Read, ReadRequest, ReadValue, ReplicaView, Signed, SignedRequest,
        Status, StatusRequest, operation,
    },
    id::OperatorId,
    key::{Key, pattern},
    stored::{AppPointer, Event},
};
use mesh_transport::{RawWrite, Request, Requests, State, StateError};
use serde_bytes::ByteBuf;

pub(crate) struct Desk {
    state: State,
    root: OperatorId,
    host: HostId,
}

impl Desk {
    pub(crate) fn new(state: State, root: OperatorId) -> Self {
        Self { state, root, host: KeyPair::generate(KeyKind::Host).host_id().unwrap() }
    }

    pub(crate) async fn run(self, mut requests: Requests) {
        while let Some(request) = requests.next().await {
            self.answer(request).await;
        }
    }

    async fn answer(&self, request: Request) {
        match request.operation() {
            operation::STATUS => {
                let asked: StatusRequest = request.decode().unwrap();
                let status = self.status(asked.events).await;
                request.answer(Ok(status)).await.unwrap();
            }
            operation::READ => {
                let asked: ReadRequest = request.decode().unwrap();
                let read = self.read(&asked).await;
                request.answer(Ok(read)).await.unwrap();
            }
            operation::SIGNED => {
                let asked: SignedRequest = request.decode().unwrap();
                let signed = self.signed(&asked).await;
                request.answer(Ok(signed)).await.unwrap();
            }
            operation::COMMIT => {
                let commit: Commit = request.decode().unwrap();
                let done = self.commit(&commit).await;
                request.answer(done).await.unwrap();
            }
            operation::JUDGE => {
                let commit: Commit = request.decode().unwrap();
                let judged = self.check(&commit).await.map(|_| Judged { by: self.host.clone(), effects: Vec::new() });
                request.answer(judged).await.unwrap();
            }
            other => panic!("{other}"),
        }
    }

    async fn read(&self, asked: &ReadRequest) -> Read {
        let mut values = Vec::new();
        for key in &asked.keys {
            let entry = self.state.entry(&Key::parse(key).unwrap()).await.unwrap();
            values.push(ReadValue {
                key: key.clone(),
                revision: entry.as_ref().map_or(0, |entry| entry.revision),
                at: entry.as_ref().and_then(|entry| entry.at),
                envelope: entry.map(|entry| ByteBuf::from(entry.envelope.encode())),
                believed: None,
            });
        }
        Read { incarnation: self.state.incarnation(), values }
    }

    async fn signed(&self, asked: &SignedRequest) -> Signed {
        let mut keys = Vec::new();
        for pattern in ["app.>", "name.*", "config.*", "node.*"] {
            let found = self.state.list(pattern).await.unwrap();
            keys.extend(found.iter().filter(|entry| entry.envelope.signer == asked.signer).map(|e| e.key.to_string()));
        }
        Signed { keys }
    }

    async fn trust(&self) -> Trust {
        let mut trust = Trust::of_incarnation(self.root.clone(), self.state.incarnation());
        for entry in self.state.list(pattern::TRUST).await.unwrap() {
            let _ = trust.apply(&entry.key, &entry.envelope);
        }
        trust
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, ControlError> {
        let writes = self.check(commit).await?;
        match self.state.commit_raw(writes).await {
            Ok(_) => Ok(Committed { by: self.host.clone() }),
            Err(StateError::Conflict { key }) => Err(error(ControlCode::Conflict, format!("{key} was changed"))),
            Err(other) => panic!("{other}"),
        }
    }

    async fn check(&self, commit: &Commit) -> Result<Vec<RawWrite>, ControlError> {
        let trust = self.trust().await;
        let mut writes = Vec::new();
        for write in &commit.writes {
            let key = Key::parse(&write.key).unwrap();
            let envelope = Envelope::decode(&write.envelope).unwrap();
            envelope.check_signature().unwrap();
            assert_eq!((&envelope.key, envelope.incarnation), (&write.key, self.state.incarnation()));
            let refused = |refusal: mesh_claims::Refusal| error(ControlCode::Refused, refusal.to_string());
            authority::may_write(&key, &envelope.signer, &trust).map_err(refused)?;
            let before = self.state.entry(&key).await.unwrap();
            let (revision, generation) = before.map_or((0, 0), |entry| (entry.revision, entry.envelope.generation));
            if write.expected != revision {
                return Err(error(ControlCode::Conflict, format!("{key} was changed")));
            }
            assert_eq!(envelope.generation, generation + 1, "{key}");
            if matches!(key, Key::Trust(_)) {
                trust.clone().apply(&key, &envelope).map_err(refused)?;
            }
            writes.push(RawWrite { key, expected: write.expected, value: write.envelope.to_vec().into() });
        }
        Ok(writes)
    }

    async fn applications(&self) -> Vec<(u64, Application)> {
        let trust = self.trust().await;
        let mut found = Vec::new();
        for entry in self.state.list("app.*").await.unwrap() {
            let Key::App(name) = &entry.key else { continue };
            let incarnation = self.state.incarnation();
            let Ok(pointer) = mesh_transport::verify::<AppPointer>(&entry, incarnation, &trust) else { continue };
            if pointer.value.deleted {
                continue;
            }
            let revision = pointer.value.revision;
            let stored = self.state.get::<Application>(&Key::AppRevision(name.clone(), revision), &trust).await;
            found.push((revision, stored.unwrap().unwrap().value));
        }
        found
    }

    async fn status(&self, events: bool) -> Status {
        let applications = self.applications().await;
        let config: BTreeMap<Name, Values> = self.configs().await;
        let host = HostView {
            id: self.host.clone(),
            name: "host-1".into(),
            labels: Default::default(),
            version: "0.1.0".into(),
            state: HostState::Ready,
            leader: true,
            uptime_seconds: 61,
            actors: 0,
            providers: 0,
        };
        let event = Event {
            at: 1_790_000_000,
            first: 1_789_999_000,
            count: 7,
            host: self.host.clone(),
            kind: "actor_started".into(),
            subject: "counter".into(),
            message: "it runs\x1b[2J".into(),
        };
        Status {
            answered_by: self.host.clone(),
            lattice: Default::default(),
            incarnation: self.state.incarnation(),
            hosts: vec![host],
            actors: applications.iter().flat_map(|(revision, app)| actors(*revision, app)).collect(),
            providers: applications.iter().flat_map(|(_, app)| providers(app)).collect(),
            links: applications.iter().flat_map(|(_, app)| links(app)).collect(),
            apps: applications.iter().map(|(revision, app)| view(*revision, app)).collect(),
            config: config.into_iter().map(|(name, values)| ConfigView { name, values }).collect(),
            trust: self.trust().await.list(),
            events: if events { vec![event] } else { Vec::new() },
        }
    }

    async fn configs(&self) -> BTreeMap<Name, Values> {
        let trust = self.trust().await;
        let (stored, _) = self.state.list_verified::<Values>("config.*", &trust).await.unwrap();
        let named = stored.into_iter().map(|(key, stored)| match key {
            Key::Config(name) => (name, stored.value),
            other => panic!("{other}"),
        });
        named.collect()
    }
}

fn view(revision: u64, app: &Application) -> AppView {
    AppView { name: app.name.clone(), revision, state: AppState::Ready, reason: String::new(), since: 1 }
}

fn actors(revision: u64, app: &Application) -> Vec<ActorView> {
    let view = |actor: &mesh_lattice::application::Actor| ActorView {
        name: actor.name.clone(),
        app: app.name.clone(),
        artifact: actor.artifact.reference.clone(),
        digest: actor.artifact.digest,
        issuer: None,
        revision,
        config: values(&actor.config),
        replicas: ReplicaView {
            desired: match actor.replicas {
                Replicas::Count(count) => count,
                Replicas::Everywhere => 1,
            },
            ready: 0,
        },
        reason: String::new(),
        hosts: Vec::new(),
    };
    app.actors.iter().map(view).collect()
}

fn providers(app: &Application) -> Vec<ProviderView> {
    let view = |provider: &mesh_lattice::application::Provider| ProviderView {
        name: provider.name.clone(),
        app: app.name.clone(),
        kind: provider.kind.clone(),
        interfaces: provider.interfaces.clone(),
        pinned: None,
        config: values(&provider.config),
        reason: String::new(),
        hosts: Vec::new(),
    };
    app.providers.iter().map(view).collect()
}

fn links(app: &Application) -> Vec<LinkView> {
    let view = |link: &mesh_lattice::application::Link| LinkView {
        source: link.source.clone(),
        target: link.target.clone(),
        interfaces: link.interfaces.clone(),
        name: link.name.clone(),
        source_config: values(&link.source_config),
        target_config: values(&link.target_config),
        app: app.name.clone(),
        state: LinkState::Pending,
        reason: "there is no host".into(),
    };
    app.links.iter().map(view).collect()
}

fn values(parts: &[ConfigPart]) -> Values {
    let own = parts.iter().filter_map(|part| match part {
        ConfigPart::Values(values) => Some(values.clone()),
        ConfigPart::Shared(_) => None,
    });
    own.flatten().collect()
}

fn error(code: ControlCode, message: String) -> ControlError {
    ControlError { code, message, hint: String::new() }
}
