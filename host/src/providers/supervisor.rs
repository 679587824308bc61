//! When a provider is started, checked, started again and given up. Pure: `providers.rs` performs what this decides.
//!
//! ```text
//!            ┌──────────────── failed to start ───────────────┐
//!            ▼                                                 │
//!  Starting ───started──► Running ◄──well── Unhealthy          │
//!     ▲                     │  └──unwell──────►▲ │             │
//!     │                     │ silent 3 times     │             │
//!     └──── Backoff ◄───────┴────────────────────┴─────────────┘
//!             │ more than 5 in 30 s, or a configuration that is wrong
//!             ▼
//!           Failed ──── stays until its configuration changes
//! ```
//!
//! A provider that answers its health check with an error is *unhealthy*: what it stands on is away, starting it
//! again would not bring that back, and it says itself when it is well. One that does not answer at all hangs, and is
//! started again. Only a provider that ran and broke counts towards giving up: one that cannot start because its
//! server is away goes on trying, ever more slowly.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use mesh_lattice::stored::ProviderState;

/// The first wait before a start; it doubles up to [`LONGEST_WAIT`].
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// More restarts than this within [`WINDOW`] and it is given up.
const INTENSITY: usize = 5;
/// See [`INTENSITY`].
const WINDOW: Duration = Duration::from_secs(30);
/// Health checks without an answer before it is taken for hung.
const SILENCES: u32 = 3;

/// What happened to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It started and took its links.
    Started,
    /// It did not start, and may the next time.
    StartFailed(String),
    /// It cannot start as it is configured.
    Misconfigured(String),
    /// It is well.
    Well,
    /// It says that it cannot do its work.
    Unwell(String),
    /// It does not answer.
    Silent,
    /// The wait is over.
    Due,
    /// It is wanted with another configuration.
    Changed,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start it; what runs of it is dropped first.
    Start,
    /// Leave it as it is and check its health.
    Watch,
    /// Wait this long, then say [`Event::Due`].
    Wait(Duration),
    /// Leave it stopped.
    GiveUp,
}

/// The state of one provider.
#[derive(Debug)]
pub struct Supervisor {
    state: ProviderState,
    reason: String,
    restarts: u32,
    silences: u32,
    /// Failures in a row: what the next wait grows with.
    failures: u32,
    breaks: VecDeque<Instant>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            state: ProviderState::Starting,
            reason: String::new(),
            restarts: 0,
            silences: 0,
            failures: 0,
            breaks: VecDeque::new(),
        }
    }
}

impl Supervisor {
    /// Its state and why.
    #[must_use]
    pub fn state(&self) -> (ProviderState, &str) {
        (self.state, &self.reason)
    }

    /// How often it was started again.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Takes an event in; `chance` is a random number from 0 to 1.
    pub fn step(&mut self, event: Event, now: Instant, chance: f64) -> Action {
        match event {
            Event::Started => {
                self.silences = 0;
                self.set(ProviderState::Running, "");
                Action::Watch
            }
            Event::Well => {
                (self.silences, self.failures) = (0, 0);
                self.set(ProviderState::Running, "");
                Action::Watch
            }
            Event::Unwell(reason) => {
                self.silences = 0;
                self.set(ProviderState::Unhealthy, &reason);
                Action::Watch
            }
            Event::Silent => self.silent(now, chance),
            Event::StartFailed(reason) => self.back_off(&reason, chance),
            Event::Misconfigured(reason) => {
                self.set(ProviderState::Failed, &reason);
                Action::GiveUp
            }
            Event::Due => {
                self.restarts = self.restarts.saturating_add(1);
                self.set_keeping_reason(ProviderState::Starting);
                Action::Start
            }
            Event::Changed => {
                (self.silences, self.failures) = (0, 0);
                self.breaks.clear();
                self.set(ProviderState::Starting, "");
                Action::Start
            }
        }
    }

    fn silent(&mut self, now: Instant, chance: f64) -> Action {
        self.silences += 1;
        if self.silences < SILENCES {
            self.set(ProviderState::Unhealthy, "it did not answer its health check");
            return Action::Watch;
        }
        self.silences = 0;
        while self.breaks.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.breaks.pop_front();
        }
        self.breaks.push_back(now);
        if self.breaks.len() > INTENSITY {
            let reason = format!("it broke {} times in {} s", self.breaks.len(), WINDOW.as_secs());
            self.set(ProviderState::Failed, &reason);
            return Action::GiveUp;
        }
        self.back_off("it no longer answered its health check", chance)
    }

    fn back_off(&mut self, reason: &str, chance: f64) -> Action {
        let ceiling = SHORTEST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.set(ProviderState::Backoff, reason);
        // Between half of the ceiling and all of it: those who failed together do not come back together, and
        // nobody comes back at once.
        Action::Wait(ceiling.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0)))
    }

    fn set(&mut self, state: ProviderState, reason: &str) {
        self.state = state;
        reason.clone_into(&mut self.reason);
    }

    fn set_keeping_reason(&mut self, state: ProviderState) {
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(action: Action) -> Duration {
        match action {
            Action::Wait(duration) => duration,
            other => panic!("{other:?} is no wait"),
        }
    }

    fn hang(supervisor: &mut Supervisor, now: Instant) -> Action {
        supervisor.step(Event::Silent, now, 1.0);
        supervisor.step(Event::Silent, now, 1.0);
        supervisor.step(Event::Silent, now, 1.0)
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_begins_again_when_it_was_well() {
        let (mut supervisor, now) = (Supervisor::default(), Instant::now());
        let waits: Vec<_> = (0..12)
            .map(|_| wait(supervisor.step(Event::StartFailed("no server".into()), now, 1.0)).as_millis())
            .collect();
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[11], 30_000);
        assert_eq!(supervisor.state(), (ProviderState::Backoff, "no server"));
        assert_eq!(supervisor.step(Event::Due, now, 0.0), Action::Start);
        supervisor.step(Event::Started, now, 0.0);
        supervisor.step(Event::Well, now, 0.0);
        assert_eq!(wait(supervisor.step(Event::StartFailed(String::new()), now, 0.0)).as_millis(), 50);
    }

    #[test]
    fn one_that_breaks_more_than_five_times_in_thirty_seconds_is_given_up() {
        let (mut supervisor, start) = (Supervisor::default(), Instant::now());
        for round in 0..5 {
            supervisor.step(Event::Started, start, 0.0);
            wait(hang(&mut supervisor, start + Duration::from_secs(round)));
        }
        assert_eq!(hang(&mut supervisor, start + Duration::from_secs(6)), Action::GiveUp);
        assert_eq!(supervisor.state().0, ProviderState::Failed);
        assert_eq!(supervisor.step(Event::Changed, start, 0.0), Action::Start);
    }

    #[test]
    fn one_that_breaks_now_and_then_is_started_again_for_ever() {
        let (mut supervisor, start) = (Supervisor::default(), Instant::now());
        for round in 0..100 {
            supervisor.step(Event::Started, start, 0.0);
            supervisor.step(Event::Well, start, 0.0);
            wait(hang(&mut supervisor, start + Duration::from_secs(round * 10)));
        }
    }

    #[test]
    fn one_whose_backend_is_away_keeps_running_and_recovers() {
        let (mut supervisor, now) = (Supervisor::default(), Instant::now());
        supervisor.step(Event::Started, now, 0.0);
        for _ in 0..100 {
            assert_eq!(supervisor.step(Event::Unwell("no server".into()), now, 0.0), Action::Watch);
        }
        assert_eq!(supervisor.state(), (ProviderState::Unhealthy, "no server"));
        supervisor.step(Event::Well, now, 0.0);
        assert_eq!(supervisor.state(), (ProviderState::Running, ""));
    }
}
