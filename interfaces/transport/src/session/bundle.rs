//! Several sealed messages in one: `[2]`, then each as `[length: 4][sealed message]`.
//!
//! A server and two connections do about as much for a message as two hosts for a short call, so what goes to the same
//! boot at the same time goes together. A bundle promises nothing itself: each of its messages is opened, judged and
//! counted as if it had come alone, and one that is refused takes none of the others with it.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::Rejected;

/// The form of bundles.
const FORM: u8 = 2;

/// In front of each message.
const LENGTH: usize = 4;

/// Messages in one bundle at most; it is opened in one go, while others wait.
pub(crate) const MOST: usize = 32;

/// What a bundle takes beside its messages.
pub(crate) const EMPTY: usize = 1;

/// What a message takes in a bundle.
pub(crate) fn room_for(message: &Bytes) -> usize {
    LENGTH + message.len()
}

/// These messages as one.
pub(crate) fn join(messages: &[Bytes]) -> Bytes {
    let mut bundle = BytesMut::with_capacity(EMPTY + messages.iter().map(room_for).sum::<usize>());
    bundle.put_u8(FORM);
    for message in messages {
        bundle.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        bundle.put_slice(message);
    }
    bundle.freeze()
}

/// The messages of a bundle, or the one that is none.
pub(crate) fn split(message: Bytes) -> Split {
    if message.len() > 1 && message.first() == Some(&FORM) {
        Split { rest: message.slice(1..), left: Some(MOST) }
    } else {
        Split { rest: message, left: None }
    }
}

/// See [`split`]. What is not well-formed ends it.
pub(crate) struct Split {
    rest: Bytes,
    /// How many may follow; `None` where there is no bundle.
    left: Option<usize>,
}

impl Iterator for Split {
    type Item = Result<Bytes, Rejected>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left else {
            self.left = Some(0);
            return Some(Ok(std::mem::take(&mut self.rest)));
        };
        if self.rest.is_empty() {
            return None;
        }
        let next = left.checked_sub(1).and_then(|left| {
            self.left = Some(left);
            let length = usize::try_from(self.rest.try_get_u32().ok()?).ok()?;
            (length <= self.rest.len()).then(|| self.rest.split_to(length))
        });
        if next.is_none() {
            self.rest.clear();
        }
        Some(next.ok_or(Rejected::Malformed))
    }
}

/// Panics where any bytes come apart into more than came, or into more than a bundle may hold.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(message: Bytes) {
    let length = message.len();
    let parts: Vec<_> = split(message).collect();
    assert!(parts.len() <= MOST + 1);
    assert!(parts.iter().flatten().map(Bytes::len).sum::<usize>() <= length);
    assert!(parts.iter().rev().skip(1).all(Result::is_ok), "what is not well-formed ends it");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(message: Bytes) -> Vec<Result<Bytes, Rejected>> {
        split(message).collect()
    }

    #[test]
    fn what_is_joined_comes_apart_again_and_what_is_not_a_bundle_is_itself() {
        let messages = [Bytes::from_static(b"one"), Bytes::new(), Bytes::from(vec![2; 70_000])];
        let joined = join(&messages);
        assert_eq!(joined.len(), EMPTY + messages.iter().map(room_for).sum::<usize>());
        assert_eq!(all(joined), messages.map(Ok));
        for alone in [Bytes::from_static(&[1, 2, 3]), Bytes::from_static(&[7])] {
            assert_eq!(all(alone.clone()), [Ok(alone)]);
        }
        assert_eq!(all(Bytes::new()), [Ok(Bytes::new())], "judged, and refused, as what it is");
    }

    #[test]
    fn a_bundle_that_is_cut_short_or_too_full_gives_what_is_whole_and_one_refusal() {
        let joined = join(&[Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        assert_eq!(all(joined.slice(..joined.len() - 1)), [Ok("one".into()), Err(Rejected::Malformed)]);
        assert_eq!(all(joined.slice(..10)), [Ok("one".into()), Err(Rejected::Malformed)]);
        assert_eq!(all(joined.slice(..1)), [Ok(joined.slice(..1))], "nothing is in it, and that is no sealed message");
        assert_eq!(all(Bytes::from_static(&[2, 255, 255, 255, 255, 0])), [Err(Rejected::Malformed)]);
        let full = all(join(&vec![Bytes::from_static(b"x"); MOST + 5]));
        assert_eq!(full.len(), MOST + 1);
        assert_eq!(full.last(), Some(&Err(Rejected::Malformed)));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_at_most_so_many_parts_of_what_came(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            check([&[FORM][..], &bytes].concat().into());
            check(bytes.into());
        }
    }
}
