//! The lattice, as a command sees it: one connection, the statements of its root, and two ways to use it, looking and
//! changing.
//!
//! A change reads the signed values that it starts from, verifies them with the root's trust, and sends signed values
//! back, all of them or none. Where somebody else was faster, it reads again and decides again.

mod base;
mod depart;
mod edit;
mod history;
mod operate;
mod store;
mod whole;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use mesh_claims::{Envelope, KeyPair, RefusalCode, Trust, authority};
use mesh_lattice::{
    Incarnation,
    control::{self, Commit, Committed, ControlCode, Read, ReadRequest, Status, StatusRequest, TrustView, operation},
    id::{OperatorId, UserId},
    key::{Key, TrustKey},
    stored::TrustStatement,
};
use mesh_transport::{ConnectConfig, Connections, RequestError};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

pub(crate) use self::{
    base::Base,
    edit::Change,
    history::{History, Revision},
    operate::Operation,
    whole::{Applied, Judgement},
};
use crate::{
    cli::Global,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
};

/// Keys in one read.
const MAX_KEYS: usize = 500;
/// How long saying goodbye may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The lattice.
pub(crate) struct Client {
    context: Context,
    connections: Connections,
    timeout: Duration,
}

/// Runs one command's conversation with the lattice. Everything stays on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(future)
}

/// A conversation that is with the lattice from its begin to its end.
pub(crate) fn connected<T>(
    global: &Global,
    out: &Output,
    work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    block_on(with(global, out, work))
}

/// Connects, and closes the connection whatever came of the work.
pub(crate) async fn with<T>(
    global: &Global,
    out: &Output,
    work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let client = Client::connect(global, out).await?;
    let done = work(&client).await;
    client.close().await;
    done
}

/// How to connect.
pub(crate) fn config(context: &Context) -> ConnectConfig {
    ConnectConfig {
        creds: context.creds.clone(),
        js_domain: context.js_domain.clone(),
        tls: context.tls.clone(),
        name: "meshctl".to_owned(),
        ..ConnectConfig::new(context.server.clone(), context.lattice.clone())
    }
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(global: &Global, out: &Output) -> anyhow::Result<Self> {
        let context = Context::find(global)?;
        out.detail(&format!("connecting to {} as lattice {}", context.server, context.lattice));
        if context.guessed {
            let server = &context.server;
            out.say(&format!("no server is named, and no .mesh/lattice.json is here or above: trying {server}"));
        }
        let connections = Connections::connect(config(&context)).await?;
        if let Some(old) = connections.too_old() {
            out.say(&format!("warning: {old}"));
        }
        Ok(Self { context, connections, timeout: global.timeout })
    }

    /// Says goodbye, so that what was sent has left.
    pub(crate) async fn close(self) {
        self.connections.close(CLOSE_WITHIN).await;
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The key that signs changes.
    pub(crate) fn signer(&self) -> anyhow::Result<KeyPair> {
        self.context.signer()
    }

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn request<T: Serialize, R: DeserializeOwned>(
        &self,
        operation: &'static str,
        value: &T,
    ) -> anyhow::Result<R> {
        Ok(mesh_transport::control::request(&self.connections, operation, value, self.timeout).await?)
    }

    /// Everything that can be listed.
    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        self.request(operation::STATUS, &StatusRequest { events: false }).await
    }

    /// Everything that can be listed, and what happened lately.
    pub(crate) async fn status_with_events(&self) -> anyhow::Result<Status> {
        self.request(operation::STATUS, &StatusRequest { events: true }).await
    }

    /// What is stored under these keys, not verified yet.
    async fn read(&self, keys: &[Key]) -> anyhow::Result<Snapshot> {
        let mut snapshot: Option<Snapshot> = None;
        for some in keys.chunks(MAX_KEYS) {
            let request = ReadRequest { keys: some.iter().map(ToString::to_string).collect() };
            let read: Read = self.request(operation::READ, &request).await?;
            let snapshot = snapshot.get_or_insert_with(|| Snapshot::new(read.incarnation));
            snapshot.take(read)?;
        }
        let mut snapshot = snapshot.context("nothing was asked for")?;
        self.read_departed(&mut snapshot).await?;
        Ok(snapshot)
    }

    /// The statements about those who signed what is gone by and not believed any more: they show that the lattice
    /// knew them once.
    async fn read_departed(&self, snapshot: &mut Snapshot) -> anyhow::Result<()> {
        let users: BTreeSet<UserId> = snapshot
            .found
            .values()
            .filter_map(|found| found.believed.as_ref())
            .filter_map(|envelope| envelope.signer.parse().ok())
            .collect();
        let keys: Vec<String> =
            users.into_iter().map(|user| Key::Trust(TrustKey::User(user)).to_string()).take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut about = Snapshot::new(snapshot.incarnation);
        about.take(self.request(operation::READ, &ReadRequest { keys }).await?)?;
        for (key, found) in about.found {
            snapshot.found.entry(key).or_insert(found);
        }
        Ok(())
    }

    /// Whom the lattice trusts, by the word of its root; `None` where the root is not known here.
    pub(crate) async fn trust(&self) -> anyhow::Result<Option<Trust>> {
        let Some(root) = self.context.root()? else { return Ok(None) };
        let status = self.status().await?;
        let keys: Vec<Key> = status.trust.iter().filter_map(key_of).map(Key::Trust).collect();
        let mut trust = Trust::of_incarnation(root, status.incarnation);
        if keys.is_empty() {
            return Ok(Some(trust));
        }
        let snapshot = self.read(&keys).await?;
        for key in &keys {
            if let Some(envelope) = snapshot.envelope(key) {
                // Refused statements count for nothing, which is all that matters here.
                let _ = trust.apply(key, envelope);
            }
        }
        Ok(Some(trust))
    }

    /// The means to judge what is read: the root's trust, or the signer's own word where the root is not known.
    pub(crate) async fn judge(&self, signer: &KeyPair) -> anyhow::Result<Judge> {
        Ok(Judge { trust: self.trust().await?, own: signer.public() })
    }

    /// The same for who only looks, and has no key perhaps.
    pub(crate) async fn onlooker(&self) -> anyhow::Result<Judge> {
        let own = self.signer().map(|signer| signer.public()).unwrap_or_default();
        Ok(Judge { trust: self.trust().await?, own })
    }

    /// The root, where it is known here.
    pub(crate) fn root(&self) -> anyhow::Result<Option<OperatorId>> {
        self.context.root()
    }

    /// Where the server's monitoring listens, where that is known.
    pub(crate) fn monitor(&self) -> Option<&str> {
        self.context.monitor.as_deref()
    }

    async fn commit(&self, writes: Vec<control::Write>) -> anyhow::Result<Committed> {
        self.send(operation::COMMIT, writes).await
    }

    /// Has a commit written, or only judged.
    async fn send<R: DeserializeOwned>(
        &self,
        operation: &'static str,
        writes: Vec<control::Write>,
    ) -> anyhow::Result<R> {
        let statements = writes.iter().all(|write| matches!(Key::parse(&write.key), Some(Key::Trust(_))));
        match self.request(operation, &Commit { writes }).await {
            Err(error) if is_unknown_signer(&error) => Err(self.unknown_signer(statements, &error)),
            done => done,
        }
    }

    /// The lattice does not take this key's word: said with what to do, and not with the names of keys in a store.
    fn unknown_signer(&self, statements: bool, error: &anyhow::Error) -> anyhow::Error {
        let Ok(signer) = self.signer().map(|signer| signer.public()) else {
            return Failure::new(Exit::Refused, format!("{error:#}")).into();
        };
        let failure = if statements {
            Failure::new(Exit::Refused, format!("your key {signer} is not an admin's, and others may not write trust"))
                .hint(format!("the root says who is: `meshctl trust add user {signer} --admin --key ROOT`"))
        } else {
            Failure::new(Exit::Refused, format!("your key {signer} is not a trusted user's here"))
                .hint(format!("an admin runs `meshctl trust add user {signer}`"))
        };
        failure.into()
    }
}

fn is_unknown_signer(error: &anyhow::Error) -> bool {
    error.downcast_ref::<RequestError>().is_some_and(|error| match error {
        RequestError::Refused(refused) => {
            refused.code == ControlCode::Refused && refused.message.contains(RefusalCode::UnknownIssuer.as_str())
        }
        _ => false,
    })
}

/// The key under which a statement is stored.
pub(crate) fn key_of(view: &TrustView) -> Option<TrustKey> {
    match view.kind.as_str() {
        "issuer" => view.id.parse().ok().map(TrustKey::Issuer),
        "host" => view.id.parse().ok().map(TrustKey::Host),
        "user" => view.id.parse().ok().map(TrustKey::User),
        "revoked" => TrustKey::revoked(&view.id),
        _ => None,
    }
}

/// Who may have written what is read.
pub(crate) struct Judge {
    trust: Option<Trust>,
    own: String,
}

impl Judge {
    /// The root's trust, where the root is known.
    pub(crate) fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    fn may_write(&self, key: &Key, signer: &str) -> Result<(), mesh_claims::Refusal> {
        match &self.trust {
            Some(trust) => authority::may_write(key, signer, trust),
            None if signer == self.own => Ok(()),
            None => Err(mesh_claims::Refusal::new(
                mesh_claims::RefusalCode::UnknownIssuer,
                format!("{key} was signed by {signer:.60}, and the lattice's root is not known here"),
            )),
        }
    }
}

/// What is stored under the keys that were asked for.
struct Snapshot {
    incarnation: Incarnation,
    found: BTreeMap<String, Found>,
}

struct Found {
    revision: u64,
    at: Option<u64>,
    envelope: Option<Envelope>,
    /// What the lattice goes by where that one is not believed.
    believed: Option<Envelope>,
}

impl Snapshot {
    fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, found: BTreeMap::new() }
    }

    fn take(&mut self, read: Read) -> anyhow::Result<()> {
        if read.incarnation != self.incarnation {
            return Err(Failure::new(Exit::Failed, "the lattice's state was made anew just now")
                .hint("try again")
                .into());
        }
        for value in read.values {
            let decode = |bytes: Option<ByteBuf>| bytes.map(|bytes| Envelope::decode(&bytes)).transpose();
            let about = || format!("what is stored under {}", value.key);
            let envelope = decode(value.envelope).with_context(about)?;
            let believed = decode(value.believed).with_context(about)?;
            self.found.insert(value.key, Found { revision: value.revision, at: value.at, envelope, believed });
        }
        Ok(())
    }

    fn envelope(&self, key: &Key) -> Option<&Envelope> {
        self.found.get(&key.to_string())?.envelope.as_ref()
    }

    /// Which write of this key was read; 0 where there was none.
    fn position(&self, key: &Key) -> u64 {
        self.found.get(&key.to_string()).map_or(0, |found| found.revision)
    }

    /// When the value under this key was written.
    fn at(&self, key: &Key) -> Option<u64> {
        self.found.get(&key.to_string())?.at
    }

    /// The value under this key, verified.
    fn get<T: DeserializeOwned>(&self, key: &Key, judge: &Judge) -> anyhow::Result<Option<T>> {
        let Some(envelope) = self.envelope(key) else { return Ok(None) };
        let opened = envelope.open(&key.to_string(), self.incarnation, |signer| judge.may_write(key, signer));
        if opened.is_err()
            && let Some(last) = self.last_believed(key, judge)
        {
            return Ok(Some(last.open(&key.to_string(), self.incarnation, |_| Ok(()))?));
        }
        opened.map(Some).map_err(|refusal| {
            let failure = Failure::new(Exit::Refused, format!("what is stored under {key} is not believed: {refusal}"));
            let known = "name the lattice's root with --root or MESH_ROOT";
            if judge.trust.is_none() { failure.hint(known).into() } else { failure.into() }
        })
    }

    /// The value under this key that the lattice goes by, as it was signed; an error where that cannot be told.
    fn believed(&self, key: &Key, judge: &Judge) -> anyhow::Result<Option<&Envelope>> {
        let Some(stored) = self.envelope(key) else { return Ok(None) };
        let authority = |signer: &str| judge.may_write(key, signer);
        match stored.open::<serde::de::IgnoredAny>(&key.to_string(), self.incarnation, authority) {
            Ok(_) => Ok(Some(stored)),
            Err(refusal) => self.last_believed(key, judge).map(Some).ok_or_else(|| refusal.into()),
        }
    }

    /// What the lattice goes by where the stored value is not believed: only where a user signed it of whom the root
    /// or an admin has spoken. Which of his values was the last that counted is the leader's word.
    fn last_believed(&self, key: &Key, judge: &Judge) -> Option<&Envelope> {
        let last = self.found.get(&key.to_string())?.believed.as_ref()?;
        let about = Key::Trust(TrustKey::User(last.signer.parse().ok()?));
        let spoken = self.envelope(&about)?;
        let authority = |signer: &str| judge.may_write(&about, signer);
        spoken.open::<TrustStatement>(&about.to_string(), self.incarnation, authority).ok()?;
        (last.key == key.to_string() && last.incarnation == self.incarnation && last.check_signature().is_ok())
            .then_some(last)
    }

    /// What is gone by under this key, as far as `user` signed it.
    fn held_of(&self, key: &Key, user: &str, judge: &Judge) -> Option<&Envelope> {
        let stored = self.envelope(key)?;
        let believed = stored.check_signature().is_ok()
            && stored.key == key.to_string()
            && stored.incarnation == self.incarnation
            && judge.may_write(key, &stored.signer).is_ok();
        let held = if believed { Some(stored) } else { self.last_believed(key, judge) };
        held.filter(|held| held.signer == user)
    }

    /// The same value as `held`, signed again by `signer`, in place of what is there.
    fn take_over(&self, key: &Key, held: &Envelope, signer: &KeyPair) -> Option<control::Write> {
        let found = self.found.get(&key.to_string())?;
        let envelope = found.envelope.as_ref()?.take_over(held, signer);
        let envelope = ByteBuf::from(envelope.encode());
        Some(control::Write { key: key.to_string(), expected: found.revision, envelope })
    }

    /// The signed value that replaces what is there.
    fn write<T: Serialize>(&self, key: &Key, value: &T, signer: &KeyPair) -> anyhow::Result<control::Write> {
        let found = self.found.get(&key.to_string());
        let envelope = match found.and_then(|found| found.envelope.as_ref()) {
            Some(envelope) => envelope.replace(value, signer),
            None => Envelope::sign(key, self.incarnation, 1, value, signer),
        };
        let envelope = envelope.context("a value cannot be signed")?;
        let expected = found.map_or(0, |found| found.revision);
        Ok(control::Write { key: key.to_string(), expected, envelope: ByteBuf::from(envelope.encode()) })
    }
}
