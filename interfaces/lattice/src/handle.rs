//! The handles of resources that hosts mint: bytes that nobody reads but the host that minted them, except where they
//! go, because a call on one has to be made there. Providers mint bytes of any form; those say nothing of a place.
//!
//! ```text
//! mark, 6 bytes │ boot, 16 bytes │ length of the host's id, 1 byte │ the host's id │ what belongs to the minting host
//! ```

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::id::{BootId, HostId};

/// What a minted handle begins with.
const MARK: &[u8; 6] = b"\0mesh\x01";

/// One boot of a host: where a handle was minted, or a call came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The host.
    pub host: HostId,
    /// Its boot: nothing that a handle stands for survives it.
    pub boot: BootId,
}

/// Where a call has to be made, because of the handles that it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// On the caller's own host.
    Here,
    /// On another one.
    On(HostId),
}

/// Says whether the hosts live to which handles were given: what they held ends with them.
pub trait Liveness: std::fmt::Debug + Send + Sync {
    /// Whether this boot lives. Takes as long as it needs to be certain that it does not; as long as that cannot be
    /// told, it does.
    fn lives<'a>(&'a self, boot: &'a Origin) -> BoxFuture<'a, bool>;
}

/// A handle that was minted at `origin`, with what belongs to its minter.
#[must_use]
pub fn mint(origin: &Origin, rest: &[u8]) -> Vec<u8> {
    let host = origin.host.as_str().as_bytes();
    let length = u8::try_from(host.len()).unwrap_or(u8::MAX);
    [MARK.as_slice(), origin.boot.0.as_bytes(), &[length], host, rest].concat()
}

/// Where a handle was minted, and what belongs to its minter; `None` where no host minted it.
#[must_use]
pub fn read(handle: &[u8]) -> Option<(Origin, &[u8])> {
    let rest = handle.strip_prefix(MARK)?;
    let (boot, rest) = rest.split_at_checked(16)?;
    let (length, rest) = rest.split_first()?;
    let (host, rest) = rest.split_at_checked(usize::from(*length))?;
    let host = std::str::from_utf8(host).ok()?.parse().ok()?;
    Some((Origin { host, boot: BootId(Uuid::from_slice(boot).ok()?) }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_says_where_it_was_minted_and_other_bytes_say_nothing() {
        let host: HostId = crate::id::key_text(13 << 3, &[7; 32]).parse().unwrap();
        let origin = Origin { host, boot: BootId::new() };
        let handle = mint(&origin, b"rest");
        assert_eq!(read(&handle), Some((origin, b"rest".as_slice())));
        for end in 0..handle.len() - 4 {
            assert_eq!(read(&handle[..end]), None, "cut off at {end}");
        }
        assert_eq!(read(b"counts"), None, "the handle of a provider");
    }
}
