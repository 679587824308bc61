//! What people write after `--config` and `--limit`: `k=v`, `64MiB`.

use mesh_lattice::application::{ConfigPart, Values};

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

/// Parses a number of bytes: `65536`, `64KiB`, `64MiB`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size: a number, or one with KiB, MiB or GiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit: u64 = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_pairs_are_read_strictly() {
        assert_eq!((bytes("5"), bytes("64MiB"), bytes("2GiB")), (Ok(5), Ok(64 << 20), Ok(2 << 30)));
        for bad in ["", "MiB", "5MB", "-1", "5 MiB", "99999999999GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        for bad in ["", "a", "=b", "a\n=b"] {
            assert!(pair(bad).is_err(), "{bad}");
        }
        assert!(values(&[("a".into(), "1".into()), ("a".into(), "2".into())]).is_err());
    }
}
