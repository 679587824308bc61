//! The ids of the calls that were taken, each until it is too late to send it again.

use std::collections::HashMap;

use mesh_lattice::{CallId, Monotonic};

/// Ids that are kept at once: more than people type, few enough to hold.
const MOST: usize = 4096;

/// The ids.
#[derive(Debug, Default)]
pub(super) struct Taken(HashMap<CallId, Monotonic>);

/// What a call's id says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// It was not here before.
    New,
    /// It was.
    Again,
    /// Nobody can tell, because too many are kept.
    Full,
}

impl Taken {
    /// Takes a call that may come again until `until`.
    pub(super) fn take(&mut self, id: CallId, until: Monotonic, now: Monotonic) -> Take {
        if self.0.contains_key(&id) {
            return Take::Again;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() >= MOST {
            return Take::Full;
        }
        self.0.insert(id, until);
        Take::New
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_id_is_kept_for_as_long_as_it_could_come_again() {
        let (mut taken, now) = (Taken::default(), Monotonic(1_000_000));
        let (id, until) = (CallId::new(), now.plus(Duration::from_secs(5)));
        assert_eq!(taken.take(id, until, now), Take::New);
        assert_eq!(taken.take(id, until, until), Take::Again);
        for _ in 1..MOST {
            assert_eq!(taken.take(CallId::new(), until, now), Take::New);
        }
        assert_eq!(taken.take(CallId::new(), until, now), Take::Full);
        assert_eq!(taken.take(id, until, now), Take::Again, "a flood pushes nothing out");
        assert_eq!(taken.take(CallId::new(), until, until), Take::New, "what is too late is forgotten");
    }
}
