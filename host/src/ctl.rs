//! Where a control request arrives. The leader takes them, one after the other: it has the whole state, and commits
//! that are judged one by one do not race with each other.
//!
//! Reading needs nothing but the lattice's NATS credentials. The only change is a commit of values that users signed:
//! [`commit`] judges it, the state takes it as one batch or not at all.

mod commit;
mod fit;
mod status;

use std::collections::{BTreeMap, VecDeque};

use mesh_lattice::{
    HostId, LatticeName, Name,
    control::{
        Commit, Committed, ControlCode, ControlError, Read, ReadRequest, ReadValue, Signed, SignedRequest, Status,
        StatusRequest, operation,
    },
    key::Key,
    stored::Event,
};
use mesh_scheduler::World;
use mesh_transport::{Entry, Request, Requests, State, StateError};
use serde_bytes::ByteBuf;

pub(crate) use self::commit::Kind;
use self::status::{Facts, Since};
use crate::mirror::Mirror;

/// Keys that one read may name.
const MAX_READ: usize = 1_000;

/// What stays between two requests.
pub(crate) struct Desk {
    kinds: BTreeMap<Name, Kind>,
    since: Since,
    events: VecDeque<Event>,
    keep: usize,
}

/// What a request is answered from.
pub(crate) struct Office<'a> {
    pub(crate) host: &'a HostId,
    pub(crate) lattice: &'a LatticeName,
    pub(crate) state: &'a State,
    pub(crate) mirror: &'a Mirror,
    pub(crate) world: &'a World,
    pub(crate) leader: Option<&'a HostId>,
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
    /// A desk that keeps this many events.
    pub(crate) fn new(kinds: BTreeMap<Name, Kind>, keep: usize) -> Self {
        Self { kinds, since: Since::default(), events: VecDeque::new(), keep }
    }

    /// Keeps an event, and forgets the oldest where there are too many.
    pub(crate) fn keep(&mut self, event: Event) {
        if self.events.len() == self.keep {
            self.events.pop_front();
        }
        self.events.push_back(event);
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
            operation::COMMIT => {
                let done = match request.decode() {
                    Ok(commit) => self.commit(&commit, &office).await,
                    Err(error) => Err(error),
                };
                request.answer(done).await
            }
            other => {
                let message = format!("there is no operation {other:.40}");
                request.answer::<()>(Err(error(ControlCode::Invalid, message))).await
            }
        };
        if answered.is_err() {
            tracing::debug!("an answer could not be sent: who asked will ask again");
        }
    }

    fn status(&mut self, asked: &StatusRequest, office: &Office<'_>) -> Status {
        let facts = Facts {
            answered_by: office.host,
            lattice: office.lattice,
            world: office.world,
            kinds: &self.kinds,
            leader: office.leader,
            config: office.mirror.config(),
            trust: office.mirror.trust().list(),
            events: if asked.events { self.events.iter().cloned().collect() } else { Vec::new() },
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

    async fn commit(&self, commit: &Commit, office: &Office<'_>) -> Result<Committed, ControlError> {
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
        };
        let raw = judge.check(commit, &writes)?;
        let keys: Vec<_> = raw.iter().map(|write| write.key.to_string()).collect();
        office.state.commit_raw(raw).await.map_err(|failure| from_state(&failure))?;
        tracing::info!(target: "audit", keys = keys.join(" "), "a commit was written");
        Ok(Committed { by: office.host.clone() })
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
