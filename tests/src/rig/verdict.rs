//! What a scenario found, as one JSON object, and what happened on the way, as lines on standard error.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::ledger::Findings;

/// A promise in time is judged at so many times itself: the machine is shared. What was measured is said beside it.
const LENIENCY: u32 = 3;

/// One thing that must hold.
#[derive(Debug, Clone, Serialize)]
pub struct Bound {
    /// What.
    pub name: String,
    /// What it was.
    pub measured: f64,
    /// `<=` or `>=`.
    pub relation: &'static str,
    /// What it must be.
    pub limit: f64,
    /// What is promised, where the limit is more lenient than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised: Option<f64>,
    /// Whether it holds.
    pub pass: bool,
}

/// What a scenario found.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Which.
    pub scenario: &'static str,
    /// What decided its schedule.
    pub seed: u64,
    /// Whether all bounds hold.
    pub pass: bool,
    /// How long it took.
    pub seconds: f64,
    /// What must hold.
    pub bounds: Vec<Bound>,
    /// What else was measured.
    pub figures: Map<String, Value>,
    #[serde(skip)]
    start: Instant,
    /// What stands before the names of all that is found now.
    #[serde(skip)]
    part: &'static str,
}

impl Verdict {
    /// Begins a scenario.
    #[must_use]
    pub fn new(scenario: &'static str, seed: u64) -> Self {
        let verdict = Self {
            scenario,
            seed,
            pass: true,
            seconds: 0.0,
            bounds: Vec::new(),
            figures: Map::new(),
            start: Instant::now(),
            part: "",
        };
        verdict.say(&format!("{scenario} with seed {seed}"));
        verdict
    }

    /// Tells what happens now.
    #[expect(clippy::print_stderr, reason = "the timeline is for a person who watches")]
    pub fn say(&self, what: &str) {
        eprintln!("[{:9.3}] {what}", self.start.elapsed().as_secs_f64());
    }

    /// Begins a part of the scenario that finds the same things as another one: they are named with it.
    pub fn part(&mut self, part: &'static str) {
        self.part = part;
    }

    fn name(&self, name: &str) -> String {
        if self.part.is_empty() { name.to_owned() } else { format!("{}: {name}", self.part) }
    }

    /// Keeps a figure.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        let (name, value) = (self.name(name), value.into());
        self.say(&format!("{name}: {value}"));
        self.figures.insert(name, value);
    }

    /// Keeps a figure in milliseconds.
    pub fn millis(&mut self, name: &str, time: Option<Duration>) {
        self.figure(name, time.map(|time| (time.as_secs_f64() * 1e5).round() / 1e2));
    }

    /// What must not be more.
    pub fn at_most(&mut self, name: &str, measured: f64, limit: f64) {
        let name = self.name(name);
        self.bound(Bound { name, measured, relation: "<=", limit, promised: None, pass: measured <= limit });
    }

    /// What must not be less.
    pub fn at_least(&mut self, name: &str, measured: f64, limit: f64) {
        let name = self.name(name);
        self.bound(Bound { name, measured, relation: ">=", limit, promised: None, pass: measured >= limit });
    }

    /// What is promised within a time, in seconds; never, where nothing was measured.
    pub fn within(&mut self, name: &str, measured: Option<Duration>, promised: Duration) {
        let name = self.name(name);
        let measured = measured.map_or(f64::MAX, |time| time.as_secs_f64());
        let limit = (promised * LENIENCY).as_secs_f64();
        let promised = Some(promised.as_secs_f64());
        self.bound(Bound { name, measured, relation: "<=", limit, promised, pass: measured <= limit });
    }

    /// What the check of a ledger must not have found.
    pub fn ledger(&mut self, findings: &Findings) {
        self.figure("ledger", serde_json::to_value(findings).unwrap_or_default());
        self.at_most("requests with another number of ends than one", findings.not_one_end as f64, 0.0);
        self.at_most("requests with more than one effect", findings.twice as f64, 0.0);
        self.at_most("requests answered with 200 and without effect", findings.missing as f64, 0.0);
        self.at_most("effects after the deadline", findings.late as f64, 0.0);
        self.at_most("effects that nobody asked for", findings.unasked as f64, 0.0);
        self.at_least("requests answered with 200", findings.ok as f64, 1.0);
    }

    /// Ends the scenario.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.seconds = (self.start.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        self.pass = !self.bounds.is_empty() && self.bounds.iter().all(|bound| bound.pass);
        self
    }

    /// The bounds that do not hold, for a person.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let broken = self.bounds.iter().filter(|bound| !bound.pass);
        broken
            .map(|bound| format!("{}: {} is not {} {}", bound.name, bound.measured, bound.relation, bound.limit))
            .collect()
    }

    fn bound(&mut self, bound: Bound) {
        let Bound { name, measured, relation, limit, promised, pass } = &bound;
        let promised = promised.map(|promised| format!(" (promised {promised})")).unwrap_or_default();
        let word = if *pass { "holds" } else { "BROKEN" };
        self.say(&format!("{word}: {name}: {measured} {relation} {limit}{promised}"));
        self.bounds.push(bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broken_bound_breaks_the_verdict_and_none_at_all_does_too() {
        assert!(!Verdict::new("nothing", 1).end().pass);
        let mut verdict = Verdict::new("some", 1);
        verdict.at_most("errors", 0.0, 0.0);
        verdict.within("recovery", Some(Duration::from_secs(5)), Duration::from_secs(2));
        let mut verdict = verdict.end();
        assert!(verdict.pass, "{verdict:?}");
        verdict.within("recovery", None, Duration::from_secs(2));
        let mut verdict = verdict.end();
        assert!(!verdict.pass && verdict.broken().len() == 1);
        verdict.at_least("success", 0.998, 0.999);
        verdict.ledger(&Findings::default());
        assert_eq!(verdict.broken().len(), 3, "{:?}", verdict.broken());
        let json = serde_json::to_value(verdict.end()).unwrap();
        assert_eq!((&json["scenario"], &json["seed"], &json["pass"]), (&"some".into(), &1.into(), &false.into()));
    }
}
