//! Requests under load, counted.
//!
//! | module | the next request is sent | for |
//! |---|---|---|
//! | [`closed`] | when the one before it was answered | finding out what a system can do |
//! | [`open`] | when its time has come, whatever became of those before it | seeing what callers see who do not wait for each other |
//!
//! A closed loop asks less while it is answered slowly, and so it leaves out the very moments that a caller complains
//! about. What is said about latency comes from an open one.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use http::StatusCode;

use crate::http::Response;

pub mod closed;
pub mod open;

pub use closed::{Closed, capacity, send};
pub use open::{Get, Open};

/// What came of the requests.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Answers by their status.
    pub answers: BTreeMap<u16, u64>,
    /// Requests that got no answer, with what was said.
    pub lost: Vec<String>,
    /// The first few answers of another status than 200, as they were.
    pub refusals: Vec<String>,
}

/// Refusals that are kept of each loop.
const REFUSALS: usize = 8;

impl Tally {
    /// Answers with status 200.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.answers.get(&StatusCode::OK.as_u16()).copied().unwrap_or_default()
    }

    /// Answers of any other status, and lost requests.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.sent() - self.ok()
    }

    /// All requests.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.answers.values().sum::<u64>() + self.lost.len() as u64
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.answers {
            *self.answers.entry(status).or_default() += count;
        }
        self.lost.extend(other.lost);
        self.refusals.extend(other.refusals);
    }

    fn note(&mut self, answer: &Response) {
        *self.answers.entry(answer.status.as_u16()).or_default() += 1;
        if answer.status != StatusCode::OK && self.refusals.len() < REFUSALS {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.refusals.push(format!("{:.3}: {}: {}", since.as_secs_f64(), answer.status, answer.text().trim()));
        }
    }
}
