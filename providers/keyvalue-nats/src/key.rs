//! Any key as one that a bucket takes, and back.
//!
//! A bucket takes letters, digits and `-/_=.`, no dot first, last or after a dot, and nothing empty. Such a key stays as
//! it is; any other becomes `=m=` and its bytes, each that cannot stand there as `=` and two hexadecimal digits. A key
//! that begins with `=m=` itself is encoded too, so that no two keys meet.

const PREFIX: &str = "=m=";

/// The key as it stands in the bucket.
#[must_use]
pub fn encode(key: &str) -> String {
    if stands(key) && !key.starts_with(PREFIX) {
        return key.to_owned();
    }
    let mut encoded = String::with_capacity(PREFIX.len() + key.len() * 2);
    encoded.push_str(PREFIX);
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('=');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// The key that stands in the bucket as `encoded`. What no [`encode`] wrote is a key of its own.
#[must_use]
pub fn decode(encoded: &str) -> String {
    let decoded = encoded.strip_prefix(PREFIX).and_then(unescape);
    match decoded {
        Some(key) if encode(&key) == encoded => key,
        _ => encoded.to_owned(),
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn stands(key: &str) -> bool {
    let dots = key.starts_with('.') || key.ends_with('.') || key.contains("..");
    let bytes = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/_=.".contains(&b));
    !key.is_empty() && !dots && bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_a_bucket_takes_stay_and_all_others_come_back() {
        for key in ["a", "a.b", "A/b_c-d=e", "=", "==m=", "0"] {
            assert_eq!(encode(key), key);
        }
        for key in ["", ".", "..", ".a", "a.", "a..b", " ", "*", ">", "é", "=m=a", "=m=", "\u{0}\r\n", "日本 語"] {
            let encoded = encode(key);
            assert!(stands(&encoded) && encoded.starts_with(PREFIX), "{key:?} is {encoded:?}");
            assert_eq!(decode(&encoded), key);
        }
        assert_eq!(encode("a b"), "=m=a=20b");
    }

    #[test]
    fn what_others_wrote_is_a_key_of_its_own() {
        for key in ["=m=a", "=m==zz", "=m==20", "=m=a=2", "=m==ff", "=m==3d"] {
            let decoded = decode(key);
            assert!(decoded == key || encode(&decoded) == key, "{key}");
        }
        assert_eq!(decode("=m=a"), "=m=a");
    }
}
