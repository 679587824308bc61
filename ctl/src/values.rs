//! What people write after `--config` and `--limit`: `k=v`, `64MiB`.

use mesh_lattice::application::{ConfigPart, Values};
pub(crate) use mesh_manifest::quantity::bytes;

use crate::exit::Failure;

/// Parses `k=v`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !key.contains(char::is_control) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!("{text:?} is not key=value")),
    }
}

/// One value for each key.
pub(crate) fn values(pairs: &[(String, String)]) -> Result<Values, Failure> {
    let mut values = Values::new();
    for (key, value) in pairs {
        if values.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::invalid(format!("{key:?} is given twice")));
        }
    }
    Ok(values)
}

/// A configuration of these values; nothing where there are none.
pub(crate) fn config(pairs: &[(String, String)]) -> Result<Vec<ConfigPart>, Failure> {
    Ok(if pairs.is_empty() { Vec::new() } else { vec![ConfigPart::Values(values(pairs)?)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_strictly() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        for bad in ["", "a", "=b", "a\n=b"] {
            assert!(pair(bad).is_err(), "{bad}");
        }
        assert!(values(&[("a".into(), "1".into()), ("a".into(), "2".into())]).is_err());
    }
}
