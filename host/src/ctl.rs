//! Where a control request arrives. The leader takes them, one after the other: it has the whole state, and commits
//! that are judged one by one do not race with each other.
//!
//! Reading needs nothing but the lattice's NATS credentials. The only change is a commit of values that users signed:
//! [`commit`] judges it, the state takes it as one batch or not at all.

mod commit;
mod effect;
mod fit;
mod signatures;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use mesh_lattice::{
    Digest, HostId, LatticeName, Name,
    control::{
        Commit, Committed, ControlCode, ControlError, Judged, Read, ReadRequest, ReadValue, Signed, SignedRequest,
        Status, StatusRequest, operation,
    },
    key::Key,
};
use mesh_scheduler::{Placement, World};
use mesh_transport::{Artifacts, Entry, RawWrite, Request, Requests, State, StateError, Write};
use serde_bytes::ByteBuf;

pub(crate) use self::{commit::Kind, status::UNREPORTED};
use self::{
    effect::Wants,
    signatures::Reader,
    status::{Facts, Since},
};
use crate::{lead::Told, mirror::Mirror};

/// Keys that one read may name.
const MAX_READ: usize = 1_000;
/// Commits that may wait for artifacts to be read.
const MAX_PARKED: usize = 16;
/// How long one waits: shorter than the silence after which it is sent again.
const PARKED_FOR: Duration = Duration::from_millis(1_500);

/// What stays between two requests.
pub(crate) struct Desk {
    kinds: BTreeMap<Name, Kind>,
    since: Since,
    placements: BTreeMap<Name, Placement>,
    store: Artifacts,
    reader: Reader,
    parked: Vec<Parked>,
}

/// A commit that waits until the artifacts at the ends of its links are read.
struct Parked {
    request: Request,
    commit: Commit,
    missing: BTreeSet<Digest>,
    until: Instant,
}

/// What a request is answered from.
pub(crate) struct Office<'a> {
    pub(crate) host: &'a HostId,
    pub(crate) lattice: &'a LatticeName,
    pub(crate) state: &'a State,
    pub(crate) mirror: &'a Mirror,
    pub(crate) world: &'a World,
    pub(crate) leader: Option<&'a HostId>,
    pub(crate) told: &'a Told,
}

/// The next request; waits for ever while there is nowhere to take them from.
pub(crate) async fn next(requests: &mut Option<Requests>) -> Request {
    loop {
        match requests {
            Some(open) => match open.next().await {
                Some(request) => return request,
                None => *requests = None,
            },
            None => std::future::pending::<()>().await,
        }
    }
}

impl Desk {
    /// A desk that has answered nothing yet.
    pub(crate) fn new(kinds: BTreeMap<Name, Kind>, store: Artifacts) -> Self {
        Self {
            kinds,
            since: Since::default(),
            placements: BTreeMap::new(),
            store,
            reader: Reader::default(),
            parked: Vec::new(),
        }
    }

    /// Takes in where the last plan puts everything, and why it does not put it elsewhere.
    pub(crate) fn learn(&mut self, placements: BTreeMap<Name, Placement>) {
        self.placements = placements;
    }

    /// Begins to read the artifacts of all actors that links begin or end at, so that they are known when somebody asks.
    pub(crate) fn read_ahead(&mut self, world: &World) {
        let all: Vec<_> = status::wanted(world).map(|(_, _, application)| application).collect();
        let links = all.iter().flat_map(|application| &application.links);
        let ends: BTreeSet<&Name> = links.flat_map(|link| [&link.source, &link.target]).collect();
        let actors = all.iter().flat_map(|application| &application.actors);
        let actors = actors.filter(|actor| ends.contains(&actor.name));
        let wanted: BTreeSet<Digest> = actors.map(|actor| actor.artifact.digest).collect();
        self.reader.keep(&wanted);
        self.reader.want(wanted, &self.store, Instant::now());
    }

    /// Waits until an artifact has been read.
    pub(crate) async fn next_read(&mut self) {
        self.reader.next().await;
    }

    /// Answers the commits whose artifacts are read by now, or that waited for long enough.
    pub(crate) async fn answer_parked(&mut self, office: Office<'_>) {
        let now = Instant::now();
        self.reader.begin(&self.store);
        let mut index = 0;
        while let Some(parked) = self.parked.get_mut(index) {
            parked.missing = self.reader.want(std::mem::take(&mut parked.missing), &self.store, now);
            if !parked.missing.is_empty() && now < parked.until {
                index += 1;
                continue;
            }
            let Parked { request, commit, .. } = self.parked.swap_remove(index);
            self.finish(request, &commit, &office).await;
        }
    }

    /// Whether commits wait.
    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// The artifacts that a commit is judged by and that nobody has read yet.
    fn missing(&mut self, commit: &Commit, office: &Office<'_>) -> BTreeSet<Digest> {
        let Ok(writes) = commit::parse(commit) else { return BTreeSet::new() };
        self.reader.want(commit::artifacts(&writes, office.world), &self.store, Instant::now())
    }

    /// Answers one request, whatever it is, exactly once.
    pub(crate) async fn answer(&mut self, request: Request, office: Office<'_>) {
        let answered = match request.operation() {
            operation::STATUS => {
                let status = request.decode().map(|asked| self.status(&asked, &office));
                request.answer(status).await
            }
            operation::READ => {
                let found = match request.decode() {
                    Ok(asked) => read(&asked, &office).await,
                    Err(error) => Err(error),
                };
                request.answer(found).await
            }
            operation::SIGNED => {
                let signed = request.decode().map(|asked| signed(&asked, &office));
                request.answer(signed).await
            }
            operation::COMMIT | operation::JUDGE => {
                let commit: Commit = match request.decode() {
                    Ok(commit) => commit,
                    Err(error) => return tell(request.answer::<Committed>(Err(error)).await),
                };
                let missing = self.missing(&commit, &office);
                if !missing.is_empty() && self.parked.len() < MAX_PARKED {
                    self.parked.push(Parked { request, commit, missing, until: Instant::now() + PARKED_FOR });
                    return;
                }
                return self.finish(request, &commit, &office).await;
            }
            other => {
                let message = format!("there is no operation {other:.40}");
                request.answer::<()>(Err(error(ControlCode::Invalid, message))).await
            }
        };
        tell(answered);
    }

    /// Everything as it is now.
    pub(crate) fn status(&mut self, asked: &StatusRequest, office: &Office<'_>) -> Status {
        let facts = Facts {
            answered_by: office.host,
            lattice: office.lattice,
            world: office.world,
            kinds: &self.kinds,
            read: self.reader.read(),
            links: &office.mirror.links(),
            placements: &self.placements,
            leader: office.leader,
            config: office.mirror.config(),
            trust: office.mirror.trust().list(),
            events: if asked.events { office.told.list() } else { Vec::new() },
            now: crate::trust::now(),
        };
        let mut status = status::status(facts, &mut self.since);
        for app in status.apps.iter_mut().filter(|app| app.reason.is_empty() || app.revision == 0) {
            if let Some(doubt) = office.mirror.doubt_about(&app.name, app.revision) {
                app.reason = doubt;
            }
        }
        status
    }

    /// Answers a commit whose artifacts are read: writes it, or only judges it.
    async fn finish(&self, request: Request, commit: &Commit, office: &Office<'_>) {
        let answered = if request.operation() == operation::JUDGE {
            let judged = self.judge(commit, office).await;
            request.answer(judged).await
        } else {
            let done = self.commit(commit, office).await;
            request.answer(done).await
        };
        tell(answered);
    }

    async fn commit(&self, commit: &Commit, office: &Office<'_>) -> Result<Committed, ControlError> {
        let (_, raw) = self.check(commit, office).await?;
        let keys: Vec<_> = raw.iter().map(|write| write.key.to_string()).collect();
        office.state.commit_raw(raw).await.map_err(|failure| from_state(&failure))?;
        tracing::info!(target: "audit", keys = keys.join(" "), "a commit was written");
        Ok(Committed { by: office.host.clone() })
    }

    /// What the commit would do, where it may be written.
    async fn judge(&self, commit: &Commit, office: &Office<'_>) -> Result<Judged, ControlError> {
        let (writes, _) = self.check(commit, office).await?;
        let mirror = office.mirror;
        let before = Wants { world: office.world.clone(), apps: mirror.wanted_apps(), config: mirror.config().clone() };
        let after = before.clone().with(&writes, |name, revision| mirror.revision(name, revision));
        let apps = writes.iter().filter_map(|write| match &write.key {
            Key::App(name) => Some(name.clone()),
            _ => None,
        });
        let effects = effect::effects(&before, &after, &apps.collect());
        Ok(Judged { by: office.host.clone(), effects })
    }

    /// The writes of a commit that may be written, parsed and as they came.
    async fn check(&self, commit: &Commit, office: &Office<'_>) -> Result<(Vec<Write>, Vec<RawWrite>), ControlError> {
        let writes = commit::parse(commit)?;
        let stored = stored(commit::keys(&writes), office).await?;
        let judge = commit::Judge {
            incarnation: office.mirror.incarnation(),
            trust: office.mirror.trust(),
            world: office.world,
            stored: &stored,
            mirror: office.mirror,
            kinds: &self.kinds,
            shared: office.mirror.config(),
            read: self.reader.read(),
        };
        let raw = judge.check(commit, &writes)?;
        Ok((writes, raw))
    }
}

fn tell(answered: Result<(), mesh_transport::Disconnected>) {
    if answered.is_err() {
        tracing::debug!("an answer could not be sent: who asked will ask again");
    }
}

/// What is stored now, read from the bucket itself: the mirror may be a moment behind.
async fn stored(
    keys: impl IntoIterator<Item = Key>,
    office: &Office<'_>,
) -> Result<BTreeMap<Key, Entry>, ControlError> {
    let mut stored = BTreeMap::new();
    for key in keys {
        if let Some(entry) = office.state.entry(&key).await.map_err(|failure| from_state(&failure))? {
            stored.insert(key, entry);
        }
    }
    Ok(stored)
}

/// What a change starts from: as fresh as the bucket itself, so that a client that was told of a conflict and asks
/// again is not shown the same again.
async fn read(asked: &ReadRequest, office: &Office<'_>) -> Result<Read, ControlError> {
    if asked.keys.len() > MAX_READ {
        return Err(error(ControlCode::Invalid, format!("a read names at most {MAX_READ} keys")));
    }
    let parse =
        |text: &String| Key::parse(text).ok_or_else(|| error(ControlCode::Invalid, format!("{text:?} is no key")));
    let keys: Vec<Key> = asked.keys.iter().map(parse).collect::<Result<_, _>>()?;
    let stored = stored(keys.iter().cloned(), office).await?;
    let values = keys.iter().map(|key| {
        let entry = stored.get(key);
        ReadValue {
            key: key.to_string(),
            revision: entry.map_or(0, |entry| entry.revision),
            envelope: entry.map(|entry| ByteBuf::from(entry.envelope.encode())),
            at: entry.and_then(|entry| entry.at),
            believed: office.mirror.instead(key).map(|entry| ByteBuf::from(entry.envelope.encode())),
        }
    });
    Ok(Read { incarnation: office.mirror.incarnation(), values: values.collect() })
}

/// What a user signed last, of what the lattice goes by.
fn signed(asked: &SignedRequest, office: &Office<'_>) -> Signed {
    Signed { keys: office.mirror.signed_by(&asked.signer).iter().map(ToString::to_string).collect() }
}

fn error(code: ControlCode, message: String) -> ControlError {
    ControlError { code, message, hint: String::new() }
}

fn from_state(failure: &StateError) -> ControlError {
    let code = match failure {
        StateError::Conflict { .. } => ControlCode::Conflict,
        StateError::TooLarge { .. } | StateError::Malformed(_) => ControlCode::Invalid,
        StateError::Refused(_) => ControlCode::Refused,
        StateError::Disconnected(_) | StateError::Timeout | StateError::Missing | StateError::Backend(_) => {
            ControlCode::Unavailable
        }
    };
    error(code, failure.to_string())
}
