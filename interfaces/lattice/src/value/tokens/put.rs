//! Tokens appended to bytes, each in the one form that the rule set gives it, so that equal values are equal bytes.

use super::super::EncodeError;

/// Appends nil.
pub fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Appends a truth value.
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Appends an integer that is not negative, in its shortest form.
pub fn unsigned(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let [_, _, _, _, _, _, _, low] = bytes;
    match value {
        0..=0x7f => out.push(low),
        0x80..=0xff => marked(out, 0xcc, &[low]),
        0x100..=0xffff => marked(out, 0xcd, tail(&bytes, 2)),
        0x1_0000..=0xffff_ffff => marked(out, 0xce, tail(&bytes, 4)),
        _ => marked(out, 0xcf, &bytes),
    }
}

/// Appends an integer in its shortest form; one that is not negative in an unsigned one.
pub fn signed(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        return unsigned(out, value);
    }
    let bytes = value.to_be_bytes();
    let [_, _, _, _, _, _, _, low] = bytes;
    match value {
        -0x20.. => out.push(low),
        -0x80.. => marked(out, 0xd0, &[low]),
        -0x8000.. => marked(out, 0xd1, tail(&bytes, 2)),
        -0x8000_0000.. => marked(out, 0xd2, tail(&bytes, 4)),
        _ => marked(out, 0xd3, &bytes),
    }
}

/// Appends a float of 32 bits; every NaN as the canonical one.
pub fn f32(out: &mut Vec<u8>, value: f32) {
    let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
    marked(out, 0xca, &bits.to_be_bytes());
}

/// Appends a float of 64 bits; every NaN as the canonical one.
pub fn f64(out: &mut Vec<u8>, value: f64) {
    let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
    marked(out, 0xcb, &bits.to_be_bytes());
}

/// Appends text.
///
/// # Errors
///
/// Where it is longer than MessagePack can say.
pub fn string(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    length(out, text.len(), (0xa0, 32), [Some(0xd9), Some(0xda), Some(0xdb)])?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends binary.
///
/// # Errors
///
/// Where it is longer than MessagePack can say.
pub fn binary(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    binary_head(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends the head of binary; as many bytes have to follow.
///
/// # Errors
///
/// Where it is longer than MessagePack can say.
pub fn binary_head(out: &mut Vec<u8>, bytes: usize) -> Result<(), EncodeError> {
    length(out, bytes, (0, 0), [Some(0xc4), Some(0xc5), Some(0xc6)])
}

/// Appends the head of an array; as many values have to follow.
///
/// # Errors
///
/// Where it is longer than MessagePack can say.
pub fn array(out: &mut Vec<u8>, values: usize) -> Result<(), EncodeError> {
    length(out, values, (0x90, 16), [None, Some(0xdc), Some(0xdd)])
}

/// Appends the head of a map; as many names with a value each have to follow.
///
/// # Errors
///
/// Where it is longer than MessagePack can say.
pub fn map(out: &mut Vec<u8>, entries: usize) -> Result<(), EncodeError> {
    length(out, entries, (0x80, 16), [None, Some(0xde), Some(0xdf)])
}

fn marked(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

/// The head of something that has a length: in its marker, or in one, two or four bytes behind one.
fn length(out: &mut Vec<u8>, length: usize, short: (u8, usize), markers: [Option<u8>; 3]) -> Result<(), EncodeError> {
    let [one, two, four] = markers;
    let bytes = u32::try_from(length).map_err(|_| EncodeError::TooLarge)?.to_be_bytes();
    let [_, _, _, low] = bytes;
    match (length, one, two, four) {
        (length, ..) if length < short.1 => out.push(short.0 | low),
        (0..=0xff, Some(marker), ..) => marked(out, marker, &[low]),
        (0..=0xffff, _, Some(marker), _) => marked(out, marker, tail(&bytes, 2)),
        (_, _, _, Some(marker)) => marked(out, marker, &bytes),
        _ => return Err(EncodeError::TooLarge),
    }
    Ok(())
}

/// The last `width` bytes.
fn tail(bytes: &[u8], width: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(width)..).unwrap_or(bytes)
}
