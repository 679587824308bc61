//! WIT values as MessagePack: THE rule set, for any type. Whoever writes a provider in another language implements
//! this table; `tests/vectors/values.json` holds golden vectors and `tests/vectors/reader.py` a second implementation.
//!
//! | WIT | written as |
//! |---|---|
//! | `bool` | true or false |
//! | `u8` ... `s64` | an integer in its shortest form; one that is not negative in an unsigned form |
//! | `f32`, `f64` | a float of its own width; every NaN as the canonical one (`7fc00000`, `7ff8000000000000`) |
//! | `char` | a string of that one character |
//! | `string` | a string, UTF-8 |
//! | `list<u8>` | binary |
//! | any other `list` | an array |
//! | `tuple` | an array of exactly its members |
//! | `record` | a map from field name to value, in declared order |
//! | `enum` | the case's name |
//! | `variant` | the bare name of a case without payload; a map of one entry, name to payload, where there is one |
//! | `option<T>` | nil, or the value; where `T` is itself an option, nil or an array of the one value |
//! | `result<T, E>` | `{"ok": value}` or `{"err": error}`, nil where it has none |
//! | `flags` | an array of the names that are set, in declared order |
//! | a resource's handle | binary that its server minted and nobody else reads |
//!
//! Parameters are an array in declared order: a tuple. A reply is the result, nil where the function returns nothing.
//!
//! A reader takes what a writer in another language may well send and what means the same: an integer in any form
//! that fits its type, a float in either width and a whole number where a float is wanted if nothing is lost by it,
//! fields and flags in any order. It skips fields that it does not know, and takes a missing field of an option's type
//! as none. It refuses everything else: what is out of range, a field or a flag that stands twice, a name that the
//! type does not have, text that is not UTF-8, a list of bytes as an array, extensions, bytes behind the value, types
//! that nest deeper than [`MAX_DEPTH`], more than [`MAX_ITEMS`] values, any length that is larger than the bytes
//! which are there, before it allocates for it, and what would take more than a megabyte and four times its bytes.

mod decode;
mod encode;
pub mod form;
mod read;
pub mod tokens;
mod types;

pub use decode::{DecodeError, check, decode, decode_into};
pub use encode::{EncodeError, encode, encode_from, encode_tuple_from};
pub use read::{ReadError, read, read_carrying};
pub use types::{Type, Value};

/// Values nest at most this deep.
pub const MAX_DEPTH: usize = 64;

/// One value holds at most this many.
pub const MAX_ITEMS: usize = 1_000_000;

/// What a value takes in memory is at most this many times its bytes, and [`ROOM`]: many small values in few bytes would
/// otherwise let a message of a megabyte take fifty.
const GROWTH: usize = 4;

/// See [`GROWTH`].
const ROOM: usize = 1 << 20;

/// The value is cut off, nests too deep, holds too many values or is of no kind that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one value")]
pub struct NotAValue;

/// How many bytes the first value of `bytes` takes, found without reading or allocating any of it.
///
/// # Errors
///
/// Where it is cut off, nests deeper than [`MAX_DEPTH`], holds more than [`MAX_ITEMS`] or is an extension.
pub fn skip(bytes: &[u8]) -> Result<usize, NotAValue> {
    measure(bytes, usize::MAX, usize::MAX)
}

/// The same, where what the value becomes in memory beside its own bytes is `most` at most, and no binary in it longer
/// than `longest`. Text is UTF-8, and a name is text: what is not would be made ten times as long by those who complain
/// about it.
fn measure(bytes: &[u8], most: usize, longest: usize) -> Result<usize, NotAValue> {
    let (mut at, mut items, mut cost) = (0, 0, 0);
    // How many values are still to come on each open level; the stack is fixed, so depth costs nothing.
    let mut pending = [0u64; MAX_DEPTH];
    let mut maps = [false; MAX_DEPTH];
    let mut depth = 0;
    *pending.first_mut().ok_or(NotAValue)? = 1;
    loop {
        let (children, length) = head(bytes.get(at..).ok_or(NotAValue)?)?;
        let value = bytes.get(at..).and_then(|rest| rest.get(..length)).ok_or(NotAValue)?;
        let marker = *value.first().ok_or(NotAValue)?;
        cost += cost_of(marker);
        let open = pending.get_mut(depth).ok_or(NotAValue)?;
        let is_name = maps.get(depth) == Some(&true) && *open % 2 == 0;
        if !is_text(marker, value) || (is_binary(marker) && (is_name || length > longest)) {
            return Err(NotAValue);
        }
        at += length;
        items += 1;
        if items > MAX_ITEMS || cost > most {
            return Err(NotAValue);
        }
        *open -= 1;
        if children > 0 {
            depth += 1;
            *maps.get_mut(depth).ok_or(NotAValue)? = matches!(marker, 0x80..=0x8f | 0xde | 0xdf);
            *pending.get_mut(depth).ok_or(NotAValue)? = children;
        }
        while pending.get(depth) == Some(&0) {
            if depth == 0 {
                return Ok(at);
            }
            depth -= 1;
        }
    }
}

/// What a value becomes beside its own bytes, by its marker: a place in a vector that has just grown to twice its
/// length. Text, bytes and what holds others have three words there; so has what could be text and is missing.
fn cost_of(marker: u8) -> usize {
    match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc2 | 0xc3 | 0xca..=0xd3 => 16,
        _ => 48,
    }
}

fn is_binary(marker: u8) -> bool {
    matches!(marker, 0xc4..=0xc6)
}

/// Whether a value that says that it is text is text.
fn is_text(marker: u8, value: &[u8]) -> bool {
    let front = match marker {
        0xa0..=0xbf => 1,
        0xd9 => 2,
        0xda => 3,
        0xdb => 5,
        _ => return true,
    };
    value.get(front..).is_some_and(|text| std::str::from_utf8(text).is_ok())
}

/// The number of values inside the first value of `bytes`, and the bytes that it takes beside them.
fn head(bytes: &[u8]) -> Result<(u64, usize), NotAValue> {
    let (marker, rest) = bytes.split_first().ok_or(NotAValue)?;
    let number = |width: usize| -> Result<u64, NotAValue> {
        let digits = rest.get(..width).ok_or(NotAValue)?;
        Ok(digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)))
    };
    let long = |width: usize| -> Result<(u64, usize), NotAValue> {
        Ok((0, usize::try_from(number(width)?).map_err(|_| NotAValue)?.saturating_add(1 + width)))
    };
    Ok(match *marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 1),
        0x80..=0x8f => (u64::from(marker & 0x0f) * 2, 1),
        0x90..=0x9f => (u64::from(marker & 0x0f), 1),
        0xa0..=0xbf => (0, 1 + usize::from(marker & 0x1f)),
        0xc4 | 0xd9 => long(1)?,
        0xc5 | 0xda => long(2)?,
        0xc6 | 0xdb => long(4)?,
        0xcc | 0xd0 => (0, 2),
        0xcd | 0xd1 => (0, 3),
        0xca | 0xce | 0xd2 => (0, 5),
        0xcb | 0xcf | 0xd3 => (0, 9),
        0xdc => (number(2)?, 3),
        0xdd => (number(4)?, 5),
        0xde => (number(2)? * 2, 3),
        0xdf => (number(4)? * 2, 5),
        _ => return Err(NotAValue),
    })
}
