//! Sizes and lengths of time as people write them: `64MiB`, `500ms`.

use std::time::Duration;

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a number of bytes: `65536`, `64KiB`, `64MiB`, `1GiB`.
///
/// # Errors
///
/// Where it is none.
pub fn bytes(text: &str) -> Result<u64, String> {
    read(text, &SIZES).ok_or_else(|| format!("{text:?} is not a size: a number, or one with KiB, MiB or GiB"))
}

/// Reads a length of time: `250ms`, `5s`, `2m`, `1h`, `90d`.
///
/// # Errors
///
/// Where it is none.
pub fn time(text: &str) -> Result<Duration, String> {
    read(text, &TIMES)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a length of time: a number and ms, s, m, h or d"))
}

/// A number of bytes as [`bytes`] reads it.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    show(bytes, &SIZES)
}

/// Milliseconds as [`time`] reads them.
#[must_use]
pub fn show_millis(millis: u64) -> String {
    show(millis, &TIMES)
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, unit) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*unit)
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, unit)| number > 0 && number.is_multiple_of(*unit));
    let (name, unit) = whole.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{name}", number / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_times_are_read_strictly() {
        assert_eq!((bytes("5"), bytes("64MiB"), bytes("2GiB")), (Ok(5), Ok(64 << 20), Ok(2 << 30)));
        for bad in ["", "MiB", "5MB", "-1", "5 MiB", "99999999999GiB", "1e3", "0x10", "1_000"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("90d"), Ok(Duration::from_secs(7_776_000)));
        for bad in ["", "5", "s", "-5s", "5 s", "5.5s", "5y", "99999999999999999999s", "999999999999999999d"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!((show_bytes(64 << 20).as_str(), show_millis(90_000).as_str()), ("64MiB", "90s"));
        assert_eq!((show_bytes(0).as_str(), show_millis(0).as_str()), ("0", "0ms"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(number in any::<u32>().prop_map(u64::from)) {
            prop_assert_eq!(bytes(&show_bytes(number)), Ok(number));
            prop_assert_eq!(time(&show_millis(number)), Ok(Duration::from_millis(number)));
        }
    }
}
