//! Counters as text: what stands there, what is added, what comes of it. Pure; backends that cannot count by
//! themselves use it.

use mesh_lattice::wit::keyvalue::Error;

use super::StoreError;

/// What is added to a counter, and with it the range that the counter stays in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta {
    /// From 0 to 2^64 - 1.
    Unsigned(u64),
    /// From -2^63 to 2^63 - 1.
    Signed(i64),
}

/// What a counter is after `delta` was added to what stands there.
///
/// # Errors
///
/// Where that is no decimal number within the range of `delta`, or the sum would leave it.
pub fn add(current: Option<&[u8]>, delta: Delta) -> Result<i128, StoreError> {
    let text = match current {
        None => "0",
        Some(text) => std::str::from_utf8(text).map_err(|_| refused("the value is not a decimal number"))?.trim(),
    };
    let not_a_number = || refused("the value is not a decimal number");
    match delta {
        Delta::Unsigned(delta) => {
            let number: u64 = text.parse().map_err(|_| not_a_number())?;
            number.checked_add(delta).map(i128::from).ok_or_else(|| refused("the counter would pass 2^64 - 1"))
        }
        Delta::Signed(delta) => {
            let number: i64 = text.parse().map_err(|_| not_a_number())?;
            let passed = || refused("the counter would leave the range from -2^63 to 2^63 - 1");
            number.checked_add(delta).map(i128::from).ok_or_else(passed)
        }
    }
}

/// A sum in the type that the interface has for it.
pub(super) fn narrow<T: TryFrom<i128>>(sum: i128) -> Result<T, StoreError> {
    T::try_from(sum).map_err(|_| refused("the counter is outside of the numbers that this interface has"))
}

fn refused(message: &str) -> StoreError {
    StoreError::Guest(Error::Other(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(current: &[u8], delta: Delta) -> bool {
        matches!(add(Some(current), delta), Err(StoreError::Guest(Error::Other(_))))
    }

    #[test]
    fn a_counter_is_its_decimal_text() {
        assert_eq!(add(None, Delta::Unsigned(3)), Ok(3));
        assert_eq!(add(Some(b"39"), Delta::Unsigned(3)), Ok(42));
        assert_eq!(add(Some(b"41\n"), Delta::Unsigned(1)), Ok(42));
        assert_eq!(add(Some(b"2"), Delta::Signed(-44)), Ok(-42));
        assert_eq!(add(Some(b"-2"), Delta::Signed(44)), Ok(42));
        for text in [&b""[..], b"x", b"-1", b"1.5", b"\xff", b"18446744073709551615"] {
            assert!(refuses(text, Delta::Unsigned(1)), "{text:?}");
        }
        for text in [&b""[..], b"x", b"1.5", b"9223372036854775807", b"9223372036854775808"] {
            assert!(refuses(text, Delta::Signed(1)), "{text:?}");
        }
        assert!(refuses(b"-9223372036854775808", Delta::Signed(-1)));
    }

    #[test]
    fn a_sum_that_the_interface_cannot_say_is_no_other_sum() {
        assert_eq!(narrow::<u64>(7), Ok(7));
        assert!(narrow::<u64>(-1).is_err() && narrow::<i64>(i128::from(u64::MAX)).is_err());
    }
}
