//! Lengths of time as people write them: `250ms`, `5s`, `2m`, `1h`, `90d`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use mesh_lattice::date::utc;

/// Parses a length of time.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a length of time: a number and ms, s, m, h or d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_numbers_with_a_unit() {
        for (text, seconds) in [("5s", 5), ("2m", 120), ("1h", 3_600), ("90d", 7_776_000)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "5", "s", "-5s", "5 s", "5.5s", "5y", "99999999999999999999s", "999999999999999999d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
