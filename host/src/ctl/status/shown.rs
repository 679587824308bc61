//! Configuration as it is shown to whoever may look: complete, but for what looks like a secret. Reading needs nothing
//! but the lattice's NATS credentials, so what must stay among few is left out here, not where it is printed.

use std::collections::BTreeMap;

use mesh_lattice::{
    Name,
    application::{ConfigPart, Values},
    secret,
};

/// A configuration put together from its parts. A shared one that is missing is told of by the state of what uses it.
pub(super) fn shown(shared: &BTreeMap<Name, Values>, parts: &[ConfigPart]) -> Values {
    let mut all = Values::new();
    for part in parts {
        match part {
            ConfigPart::Values(own) => all.extend(own.clone()),
            ConfigPart::Shared(name) => all.extend(shared.get(name).cloned().unwrap_or_default()),
        }
    }
    values(&all)
}

/// These values.
pub(super) fn values(values: &Values) -> Values {
    values.iter().map(|(key, value)| (key.clone(), secret::shown(key, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_together_later_ones_win() {
        let shared = BTreeMap::from([("s".parse().unwrap(), Values::from([("a".to_owned(), "1".to_owned())]))]);
        let own = Values::from([("a".to_owned(), "2".to_owned())]);
        let parts = [ConfigPart::Shared("s".parse().unwrap()), ConfigPart::Values(own.clone())];
        assert_eq!(shown(&shared, &parts), own);
        assert_eq!(shown(&shared, &[ConfigPart::Shared("missing".parse().unwrap())]), Values::new());
    }
}
