//! Who may write which key. Every reader asks this before it believes a stored value.
//!
//! | key | who |
//! |---|---|
//! | `trust.*` | the root, or an admin that the root names |
//! | `lattice`, `app.*`, `name.*`, `config.*`, `node.*` | the root, or a user |
//! | `assign.*`, `route.*`, `pin.*`, `leader` | any enrolled host: the one that leads is told by its term |
//! | `observed.<host>`, and a host's lease | that host, enrolled or not: what it says is shown, and earns it nothing |

use mesh_lattice::{id::HostId, key::Key};

use crate::{
    keys::{self, KeyKind},
    refusal::{Refusal, RefusalCode},
    trust::Trust,
};

/// Whether `signer` may write `key`.
///
/// # Errors
///
/// `wrong_kind`, where a key of that kind never writes there; `revoked`; `unknown_issuer`.
pub fn may_write(key: &Key, signer: &str, trust: &Trust) -> Result<(), Refusal> {
    let kind = keys::kind_of(signer)
        .ok_or_else(|| Refusal::new(RefusalCode::WrongKind, format!("{signer:.60} is not a public key")))?;
    let fitting: &[KeyKind] = match key {
        Key::Trust(_)
        | Key::Lattice
        | Key::App(_)
        | Key::AppRevision(..)
        | Key::Owner(_)
        | Key::Config(_)
        | Key::Node(_) => &[KeyKind::Operator, KeyKind::User],
        Key::Assign(_) | Key::Route(_) | Key::Pin(_) | Key::Leader | Key::Observed(_) => &[KeyKind::Host],
    };
    if !fitting.contains(&kind) {
        return Err(Refusal::new(RefusalCode::WrongKind, format!("a key of the kind {kind} does not write {key}")));
    }
    if trust.is_revoked(signer) {
        return Err(Refusal::new(RefusalCode::Revoked, format!("{signer} is revoked")));
    }
    let known = match key {
        Key::Trust(_) => trust.is_root(signer) || signer.parse().is_ok_and(|user| trust.is_admin(&user)),
        Key::Assign(_) | Key::Route(_) | Key::Pin(_) | Key::Leader => {
            signer.parse().is_ok_and(|host| trust.is_host(&host))
        }
        Key::Observed(host) => host.as_str() == signer,
        _ => trust.is_root(signer) || signer.parse().is_ok_and(|user| trust.is_user(&user)),
    };
    if known {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::UnknownIssuer, format!("{signer} may not write {key}")))
}

/// Whether `signer` may renew the lease of `host`.
///
/// # Errors
///
/// `revoked`; `unknown_issuer`, where another signed than the host itself.
pub fn may_renew(host: &HostId, signer: &str, trust: &Trust) -> Result<(), Refusal> {
    may_write(&Key::Observed(host.clone()), signer, trust)
}
