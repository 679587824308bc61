//! Requests that each carry an id, and what became of them: the client's side of the `ledger` guest and the check of
//! its book.
//!
//! The guest writes each effect down as a key `ID-MOMENT` with a count. Client, guest and nats-server are on one
//! machine and read one clock, so the moment of an effect can be held against the deadline of its request.
//!
//! | checked | for |
//! |---|---|
//! | there is one end to each request: an answer, or none within its time | all |
//! | there is at most one effect | all |
//! | there is exactly one effect | those answered with 200 |
//! | the effect came before the deadline | all |

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{self, kv::Operation};
use futures::StreamExt as _;
use http::{Method, StatusCode};
use tokio::time::timeout;

use crate::{
    http::{self as client, Client, whole},
    load::open::{Ask, Outcome, Turn},
};

/// A request is sent by one process and its deadline begins in another: what may lie between both, with the resolution
/// of the clocks.
pub const SLACK: Duration = Duration::from_millis(250);
/// Different refusals that are kept for whoever reads a verdict.
const REFUSALS: usize = 20;
const READS_WITHIN: Duration = Duration::from_secs(60);

/// One request of the ledger.
#[derive(Debug, Clone)]
struct Entry {
    sent: SystemTime,
    ok: bool,
    ends: u32,
}

/// What the clients know.
#[derive(Debug)]
pub struct Ledger {
    prefix: String,
    refusals: Mutex<BTreeMap<String, u64>>,
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// An effect as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Whose request it was.
    pub id: String,
    /// When it was made, as exactly as the store knows.
    pub at: SystemTime,
    /// How often.
    pub count: u64,
}

/// What the check found. All but the first three and the last are to be 0.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Findings {
    /// Requests.
    pub requests: u64,
    /// Of them, those that were answered with 200.
    pub ok: u64,
    /// Effects.
    pub effects: u64,
    /// Requests with another number of ends than one.
    pub not_one_end: u64,
    /// Requests with more than one effect.
    pub twice: u64,
    /// Requests that were answered with 200 and have no effect.
    pub missing: u64,
    /// Effects after the deadline of their request.
    pub late: u64,
    /// Effects that no request asked for.
    pub unasked: u64,
    /// The least time between an effect and the deadline of its request, in milliseconds.
    pub closest_ms: Option<i64>,
}

impl Ledger {
    /// An empty one, whose ids begin with this letter: effects of others are none of its business.
    #[must_use]
    pub fn new(prefix: char) -> Self {
        Self { prefix: prefix.into(), refusals: Mutex::default(), entries: Mutex::default() }
    }

    /// A client that enters requests; each works for `work` before its effect.
    #[must_use]
    pub fn clerk(self: &Arc<Self>, address: SocketAddr, within: Duration, work: Duration) -> Clerk {
        let client = Client::keep_alive(address).within(within);
        Clerk { ledger: self.clone(), client, query: format!("?work={}", work.as_millis()) }
    }

    /// Holds the effects against the requests, whose effects are due within `deadline` of being sent.
    #[must_use]
    pub fn check(&self, effects: &[Effect], deadline: Duration) -> Findings {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut findings = Findings { requests: entries.len() as u64, ..Findings::default() };
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for effect in effects.iter().filter(|effect| effect.id.starts_with(&self.prefix)) {
            findings.effects += effect.count;
            let Some(entry) = entries.get(&effect.id) else {
                findings.unasked += 1;
                continue;
            };
            *counts.entry(&effect.id).or_default() += effect.count;
            let left = millis(entry.sent + deadline) - millis(effect.at);
            findings.closest_ms = Some(findings.closest_ms.map_or(left, |closest| closest.min(left)));
            findings.late += u64::from(effect.at > entry.sent + deadline + SLACK);
        }
        findings.twice = counts.values().filter(|count| **count > 1).count() as u64;
        for (id, entry) in entries.iter() {
            findings.ok += u64::from(entry.ok);
            findings.not_one_end += u64::from(entry.ends != 1);
            findings.missing += u64::from(entry.ok && !counts.contains_key(id.as_str()));
        }
        findings
    }

    /// What was said to the requests that were not answered with 200, and how often.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refused(&self, answer: &Result<client::Response>) {
        let why = match answer {
            Ok(answer) if answer.status == StatusCode::OK => return,
            Ok(answer) => format!("{} {}", answer.status.as_u16(), code(answer)),
            Err(error) => format!("{error:#}"),
        };
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() < REFUSALS || refusals.contains_key(&why) {
            *refusals.entry(why).or_default() += 1;
        }
    }

    fn begin(&self, id: &str) {
        let entry = Entry { sent: SystemTime::now(), ok: false, ends: 0 };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), entry);
    }

    fn end(&self, id: &str, ok: bool) {
        if let Some(entry) = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get_mut(id) {
            entry.ok = ok;
            entry.ends += 1;
        }
    }
}

impl Findings {
    /// What broke a promise.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.not_one_end + self.twice + self.missing + self.late + self.unasked
    }
}

/// Enters one request at a time.
#[derive(Debug)]
pub struct Clerk {
    ledger: Arc<Ledger>,
    client: Client,
    query: String,
}

impl Ask for Clerk {
    async fn ask(&mut self, turn: Turn) -> Outcome {
        let id = format!("{}{}", self.ledger.prefix, turn.number);
        self.ledger.begin(&id);
        // POST, because what has an effect is tried again nowhere else unless it certainly had none.
        let answer = self.client.send(Method::POST, &format!("/{id}{}", self.query), whole("")).await;
        self.ledger.end(&id, answer.as_ref().is_ok_and(|answer| answer.status == StatusCode::OK));
        self.ledger.refused(&answer);
        match answer {
            Ok(answer) => Outcome::Answered(answer.status.as_u16()),
            Err(error) => Outcome::Lost(format!("{error:#}")),
        }
    }
}

/// The effects as the guest itself lists them, through whatever store it has; they were made a moment after the time
/// they carry.
///
/// # Errors
///
/// Where the guest does not answer.
pub async fn listed(address: SocketAddr) -> Result<Vec<Effect>> {
    let (mut effects, mut next) = (Vec::new(), String::new());
    loop {
        let page = client::get(address, &format!("/entries?{next}")).await?;
        ensure!(page.status == StatusCode::OK, "{}: {}", page.status, page.text());
        let text = page.text();
        let mut lines = text.lines();
        next = lines.next().unwrap_or("end").to_owned();
        for line in lines {
            effects.extend(line.split_once(' ').and_then(|(key, count)| effect(key, count)));
        }
        if next == "end" {
            return Ok(effects);
        }
    }
}

/// The effects as they stand in a bucket of JetStream, each with the moment at which the server took it.
///
/// # Errors
///
/// Where the bucket cannot be read.
pub async fn stored(server: SocketAddr, bucket: &str) -> Result<Vec<Effect>> {
    let client = async_nats::connect(format!("nats://{server}")).await?;
    let bucket = jetstream::new(client).get_key_value(bucket).await?;
    let mut effects = Vec::new();
    if bucket.status().await?.values() == 0 {
        return Ok(effects);
    }
    let mut entries = bucket.watch_with_history(">").await?;
    while let Some(entry) = timeout(READS_WITHIN, entries.next()).await.context("the bucket does not end")? {
        let entry = entry?;
        let count = String::from_utf8_lossy(&entry.value);
        if entry.operation == Operation::Put
            && let Some(mut effect) = effect(&entry.key, &count)
        {
            effect.at = entry.created.into();
            effects.push(effect);
        }
        if entry.delta == 0 {
            break;
        }
    }
    Ok(effects)
}

/// The server's word for what went wrong, else the actor's.
fn code(answer: &client::Response) -> String {
    let said: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let code = said.as_ref().and_then(|said| said.get("error")?.as_str());
    code.map_or_else(|| answer.text().trim().to_owned(), str::to_owned)
}

fn effect(key: &str, count: &str) -> Option<Effect> {
    let (id, moment) = key.rsplit_once('-')?;
    let at = UNIX_EPOCH + Duration::from_millis(moment.parse().ok()?);
    Some(Effect { id: id.to_owned(), at, count: count.trim().parse().ok()? })
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(1);

    fn ledger(ids: &[(&str, bool)]) -> Ledger {
        let ledger = Ledger::new('r');
        for (id, ok) in ids {
            ledger.begin(id);
            ledger.end(id, *ok);
        }
        ledger
    }

    fn made(id: &str, count: u64, after: Duration) -> Effect {
        Effect { id: id.into(), at: SystemTime::now() + after, count }
    }

    #[test]
    fn a_good_book_has_nothing_to_find() {
        let ledger = ledger(&[("r0", true), ("r1", false), ("r2", false)]);
        let findings = ledger.check(&[made("r0", 1, Duration::ZERO), made("r1", 1, Duration::ZERO)], DEADLINE);
        assert_eq!((findings.requests, findings.ok, findings.effects, findings.broken()), (3, 1, 2, 0));
        assert!(findings.closest_ms.is_some_and(|left| (900..=1_000).contains(&left)), "{findings:?}");
    }

    #[test]
    fn each_broken_promise_is_found() {
        let one = |ids: &[(&str, bool)], effects: &[Effect]| ledger(ids).check(effects, DEADLINE);
        let (soon, after) = (Duration::ZERO, DEADLINE + SLACK + Duration::from_millis(50));
        assert_eq!(one(&[("r0", true)], &[]).missing, 1);
        assert_eq!(one(&[("r0", true)], &[made("r0", 2, soon)]).twice, 1, "in one millisecond");
        let twice = [made("r0", 1, soon), made("r0", 1, Duration::from_millis(7))];
        assert_eq!(one(&[("r0", false)], &twice).twice, 1, "in two");
        assert_eq!(one(&[("r0", false)], &[made("r0", 1, after)]).late, 1);
        assert_eq!(one(&[("r0", false)], &[made("r1", 1, soon)]).unasked, 1);
        assert_eq!(one(&[("r0", false)], &[made("c1", 1, soon)]).unasked, 0, "another ledger's");
        let answered_twice = ledger(&[("r0", true)]);
        answered_twice.end("r0", true);
        assert_eq!(answered_twice.check(&[made("r0", 1, soon)], DEADLINE).not_one_end, 1);
        let never = Ledger::new('r');
        never.begin("r0");
        assert_eq!(never.check(&[], DEADLINE).broken(), 1);
    }

    #[test]
    fn keys_of_the_guest_are_read() {
        let read = effect("r17-1700000000123", "2\n").unwrap();
        assert_eq!((read.id.as_str(), read.count), ("r17", 2));
        assert_eq!(millis(read.at), 1_700_000_000_123);
        assert_eq!(effect("count", "2"), None);
    }
}
