//! Applications as a whole: put in the place of exactly what was read, or taken away. Whoever changed one in between is
//! never written over and never merged with: who comes second is told what is there now.
//!
//! ```text
//! base ─► commit ─┬─ done
//!                 ├─ conflict, or nobody knows ─► read again ─┬─ our own signed value is there: done after all
//!                 │                                           ├─ the same was put there by somebody else: unchanged
//!                 │                                           ├─ something else is there: Applied::Conflict
//!                 │                                           └─ nothing has changed: commit again, for a while
//!                 └─ refused
//! ```
//!
//! A commit is sent again on silence, and a leader may die between writing one and saying so; that a conflict is with
//! oneself is told by the signature, which nobody else can make.

use std::time::Duration;

use mesh_lattice::{
    application::Application,
    control::{self, ControlCode, Effect, Judged, operation},
    key::Key,
};
use mesh_transport::RequestError;
use serde_bytes::ByteBuf;
use tokio::time::{Instant, sleep};

use super::{
    Client, Judge,
    base::Base,
    edit::{Change, is_conflict, pause},
};

/// How long a lattice may be without a leader before a change is given up: longer than any election takes.
const SETTLE: Duration = Duration::from_secs(15);

/// What is said of an application that is not written yet.
pub(crate) enum Judgement {
    /// It may be written, and this is what it would do; `None` from hosts that do not know the question.
    Effects(Option<Vec<Effect>>),
    /// Somebody else was faster, and this is there now.
    Conflict(Box<Base>),
}

/// What became of an application.
pub(crate) enum Applied {
    /// It is as it was wanted, in this revision.
    Done(Change, u64),
    /// Somebody else was faster, and this is there now. Nothing was changed.
    Conflict(Box<Base>),
}

impl Client {
    /// Puts an application in the place of what was read; takes it away where none is wanted.
    pub(crate) async fn put_whole(
        &self,
        base: &Base,
        wanted: Option<&Application>,
        judge: &Judge,
    ) -> anyhow::Result<Applied> {
        let change = match (&base.before, wanted) {
            _ if base.is_as(wanted) => return Ok(Applied::Done(Change::Unchanged, base.revision())),
            (None, _) => Change::Created,
            (Some(_), Some(_)) => Change::Updated,
            (Some(_), None) => Change::Removed,
        };
        let revision = if wanted.is_some() { base.next } else { base.revision() };
        let until = Instant::now() + SETTLE;
        let mut sent: Vec<control::Write> = Vec::new();
        for tries in 1.. {
            let writes = self.whole_writes(base, wanted, judge).await?;
            let repeated = same_places(&sent, &writes);
            sent.clone_from(&writes);
            let Err(error) = self.commit(writes).await else { return Ok(Applied::Done(change, revision)) };
            if !is_conflict(&error) && !is_unknown(&error) {
                return Err(error);
            }
            let Some(now) = self.look_again(base, judge, until).await? else { return Err(error) };
            if self.holds(&sent).await? {
                return Ok(Applied::Done(change, revision));
            }
            if !now.is_same(base) {
                let same = now.is_as(wanted);
                let there = now.revision();
                let conflict = || Applied::Conflict(Box::new(now));
                return Ok(if same { Applied::Done(Change::Unchanged, there) } else { conflict() });
            }
            // Nobody changed the application: what stands against it is something else, and will go on to.
            if Instant::now() >= until || (is_conflict(&error) && repeated) {
                return Err(error);
            }
            sleep(pause(tries)).await;
        }
        anyhow::bail!("application {} keeps being changed by somebody else: try again", base.name)
    }

    /// What [`Client::put_whole`] would do, where it may be done.
    pub(crate) async fn judge_whole(
        &self,
        base: &Base,
        wanted: Option<&Application>,
        judge: &Judge,
    ) -> anyhow::Result<Judgement> {
        let writes = self.whole_writes(base, wanted, judge).await?;
        let error = match self.send::<Judged>(operation::JUDGE, writes).await {
            Ok(judged) => return Ok(Judgement::Effects(Some(judged.effects))),
            Err(error) if is_unheard_of(&error) => return Ok(Judgement::Effects(None)),
            Err(error) => error,
        };
        if is_conflict(&error) {
            let now = self.base(&base.name, judge).await?;
            if !now.is_same(base) {
                return Ok(Judgement::Conflict(Box::new(now)));
            }
        }
        Err(error)
    }

    /// The writes that [`Client::put_whole`] would commit.
    async fn whole_writes(
        &self,
        base: &Base,
        wanted: Option<&Application>,
        judge: &Judge,
    ) -> anyhow::Result<Vec<control::Write>> {
        let signer = self.signer()?;
        match wanted {
            Some(wanted) => self.writes(base, wanted, judge, &signer).await,
            None => self.removal(base, judge, &signer).await,
        }
    }

    /// Whether what was sent is there: its first value has a key of its own, and nobody else can sign the same.
    async fn holds(&self, sent: &[control::Write]) -> anyhow::Result<bool> {
        let Some(first) = sent.first() else { return Ok(false) };
        let Some(key) = Key::parse(&first.key) else { return Ok(false) };
        let there = self.read(std::slice::from_ref(&key)).await?;
        Ok(there.envelope(&key).is_some_and(|envelope| ByteBuf::from(envelope.encode()) == first.envelope))
    }

    /// What is there now, as soon as anybody can say so; `None` where nobody can.
    async fn look_again(&self, base: &Base, judge: &Judge, until: Instant) -> anyhow::Result<Option<Base>> {
        for tries in 1.. {
            match self.base(&base.name, judge).await {
                Ok(now) => return Ok(Some(now)),
                Err(error) if !is_unknown(&error) => return Err(error),
                Err(_) if Instant::now() >= until => break,
                Err(_) => sleep(pause(tries)).await,
            }
        }
        Ok(None)
    }
}

/// Whether it is not known what became of a request.
fn is_unknown(error: &anyhow::Error) -> bool {
    error.downcast_ref::<RequestError>().is_some_and(|error| match error {
        RequestError::NoHost | RequestError::Timeout(_) | RequestError::Disconnected(_) => true,
        RequestError::Refused(refused) => refused.code == ControlCode::Unavailable,
        RequestError::Malformed(_) => false,
    })
}

/// Whether the hosts are of a version that cannot judge without writing.
fn is_unheard_of(error: &anyhow::Error) -> bool {
    error.downcast_ref::<RequestError>().is_some_and(|error| match error {
        RequestError::Refused(refused) => {
            refused.code == ControlCode::Invalid && refused.message.starts_with("there is no operation")
        }
        _ => false,
    })
}

fn same_places(one: &[control::Write], other: &[control::Write]) -> bool {
    let place = |write: &control::Write| (write.key.clone(), write.expected);
    !one.is_empty() && one.iter().map(place).eq(other.iter().map(place))
}
