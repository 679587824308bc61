//! MessagePack to Rust types: the one way in for every frame, stored value, control request and record of ours.
//!
//! The bytes are measured before anything is read: that they are one value, how deep it is, what it will become in
//! memory. After that no length can lie.

use serde::de::DeserializeOwned;

use super::{GROWTH, ROOM, is_binary, measure};

/// Bytes that are not a value of the wanted type.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Cut off, followed by something, too deep, of no kind that we write, or too many small values for their bytes.
    #[error("the bytes are not one value, or hold too much")]
    NotAValue,
    /// The value is of another type; these words may quote it, shortened and without control characters.
    #[error("{0}")]
    Type(String),
}

/// An error may quote what it found, and what it found may be a megabyte of escape sequences.
const QUOTED: usize = 160;

/// Binary in a record is an id, a key, a header: no longer than this. Longer ones are what a value carries for others.
const LONGEST: usize = 64 << 10;

/// Reads a record: the whole of `bytes`, and nothing behind it. What it takes in memory meanwhile is at most a megabyte
/// and four times `bytes`. No binary in it is longer than 64 KiB.
///
/// # Errors
///
/// Where `bytes` are not such a value.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    read_within(bytes, LONGEST)
}

/// Reads what carries binary of any length inside: envelopes, values of a store. An error about such a binary may take
/// ten times its length for a moment, where it stands in the place of a name.
///
/// # Errors
///
/// Where `bytes` are not such a value, or nothing but binary.
pub fn read_carrying<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    let carries = bytes.first().is_some_and(|marker| !is_binary(*marker));
    if carries { read_within(bytes, usize::MAX) } else { Err(ReadError::NotAValue) }
}

fn read_within<T: DeserializeOwned>(bytes: &[u8], longest: usize) -> Result<T, ReadError> {
    let most = bytes.len().saturating_mul(GROWTH).saturating_add(ROOM);
    match measure(bytes, most, longest) {
        Ok(length) if length == bytes.len() => rmp_serde::from_slice(bytes).map_err(|error| {
            let words = error.to_string();
            ReadError::Type(words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect())
        }),
        _ => Err(ReadError::NotAValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(length: u32, item: &[u8]) -> Vec<u8> {
        [&[0xdd][..], &length.to_be_bytes(), &item.repeat(length as usize)].concat()
    }

    #[test]
    fn as_many_values_are_read_as_their_bytes_pay_for() {
        assert_eq!(read::<Vec<u8>>(&array(80_000, &[7])).unwrap().len(), 80_000);
        assert_eq!(read::<Vec<String>>(&array(20_000, &[0xa0])).unwrap().len(), 20_000);
        assert!(matches!(read::<Vec<String>>(&array(30_000, &[0xa0])), Err(ReadError::NotAValue)));
        assert!(matches!(read::<Vec<Option<String>>>(&array(30_000, &[0xc0])), Err(ReadError::NotAValue)));
        let long = [&[0xab][..], &[b'a'; 11]].concat();
        assert_eq!(
            read::<Vec<String>>(&array(80_000, &long)).unwrap().len(),
            80_000,
            "twelve bytes pay for themselves"
        );
    }

    #[test]
    fn a_length_that_lies_and_a_byte_behind_the_value_are_refused() {
        assert!(matches!(read::<Vec<u8>>(&[0xdd, 0, 1, 0, 0, 7]), Err(ReadError::NotAValue)));
        assert!(matches!(read::<u8>(&[7, 7]), Err(ReadError::NotAValue)));
        assert!(matches!(read::<u8>(&[]), Err(ReadError::NotAValue)));
        assert!(matches!(read::<u8>(&[0xa1, b'a']), Err(ReadError::Type(_))));
    }
}
