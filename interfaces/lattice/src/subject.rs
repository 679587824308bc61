//! Every NATS subject that the mesh uses. No other file formats one.
//!
//! ```text
//! mesh.<lattice>.ctl.<operation>             control requests, taken by one host of many
//! mesh.<lattice>.h.<host>.hello              finds the boot of a host and makes a session
//! mesh.<lattice>.h.<host>.<boot>.call        new calls
//! mesh.<lattice>.h.<host>.<boot>.io.>        what belongs to calls already taken
//! mesh.<lattice>.h.<host>.<boot>.pulse       signs of life beside the calls
//! mesh.<lattice>.h.<host>.hail               finds the boot of a host for a person's call
//! mesh.<lattice>.h.<host>.<boot>.operate     calls that people sign
//! mesh.<lattice>.h.<host>.logs               asks a host for what its actors printed
//! mesh.<lattice>.evt.<place>                 events as they happen; the stream of events keeps the last of each place
//! ```
//!
//! Every token is a parsed type, so nothing that comes from outside can widen a subject.

use std::fmt::Write as _;

use crate::{
    id::{BootId, CallId, Digest, HostId},
    name::LatticeName,
};

/// Where the control requests of a lattice go; `operation` is one of [`crate::control`]'s own words.
#[must_use]
pub fn control(lattice: &LatticeName, operation: &'static str) -> String {
    format!("mesh.{lattice}.ctl.{operation}")
}

/// Every control request of a lattice.
#[must_use]
pub fn control_all(lattice: &LatticeName) -> String {
    format!("mesh.{lattice}.ctl.*")
}

/// Where a host answers who it is.
#[must_use]
pub fn hello(lattice: &LatticeName, host: &HostId) -> String {
    format!("mesh.{lattice}.h.{host}.hello")
}

/// Where one boot of a host takes new calls.
#[must_use]
pub fn call(lattice: &LatticeName, host: &HostId, boot: BootId) -> String {
    format!("mesh.{lattice}.h.{host}.{boot}.call")
}

/// Where one boot of a host takes what belongs to the call `call`.
#[must_use]
pub fn io(lattice: &LatticeName, host: &HostId, boot: BootId, call: CallId) -> String {
    format!("mesh.{lattice}.h.{host}.{boot}.io.{call}")
}

/// Where one boot of a host takes messages that belong to several calls.
#[must_use]
pub fn io_shared(lattice: &LatticeName, host: &HostId, boot: BootId) -> String {
    format!("mesh.{lattice}.h.{host}.{boot}.io.shared")
}

/// Where the server tells one boot that nobody took a message with these copies of its calls: beside [`io`].
#[must_use]
pub fn io_copies(lattice: &LatticeName, host: &HostId, boot: BootId, copies: &[(CallId, u32)]) -> String {
    let mut subject = format!("mesh.{lattice}.h.{host}.{boot}.io");
    for (index, (call, copy)) in copies.iter().enumerate() {
        let between = if index == 0 { '.' } else { '~' };
        // Writing to a string does not fail.
        let _ = write!(subject, "{between}{call}_{copy}");
    }
    subject
}

/// The calls and the copies of them that an [`io_copies`] is about.
pub fn copies_of(subject: &str) -> impl Iterator<Item = (CallId, u32)> {
    let copies = subject.rsplit('.').next().into_iter().flat_map(|token| token.split('~'));
    copies.filter_map(|copy| {
        let (call, copy) = copy.split_once('_')?;
        Some((call.parse().ok()?, copy.parse().ok()?))
    })
}

/// Where one boot of a host is asked for signs of life beside its calls, and answered.
#[must_use]
pub fn pulse(lattice: &LatticeName, host: &HostId, boot: BootId) -> String {
    format!("mesh.{lattice}.h.{host}.{boot}.pulse")
}

/// Everything that belongs to calls in the hands of one boot of a host.
#[must_use]
pub fn io_all(lattice: &LatticeName, host: &HostId, boot: BootId) -> String {
    format!("mesh.{lattice}.h.{host}.{boot}.io.*")
}

/// Where a host tells people which boot it is.
#[must_use]
pub fn hail(lattice: &LatticeName, host: &HostId) -> String {
    format!("mesh.{lattice}.h.{host}.hail")
}

/// Where one boot of a host takes calls that people sign.
#[must_use]
pub fn operate(lattice: &LatticeName, host: &HostId, boot: BootId) -> String {
    format!("mesh.{lattice}.h.{host}.{boot}.operate")
}

/// Where a host tells what its actors printed.
#[must_use]
pub fn logs(lattice: &LatticeName, host: &HostId) -> String {
    format!("mesh.{lattice}.h.{host}.logs")
}

/// Where the leader says what happens: each event has one place.
#[must_use]
pub fn event(lattice: &LatticeName, place: &Digest) -> String {
    format!("mesh.{lattice}.evt.{place}")
}

/// Every event.
#[must_use]
pub fn events(lattice: &LatticeName) -> String {
    format!("mesh.{lattice}.evt.*")
}

/// Subjects that only hosts may speak on: a provider's own connection is refused them.
#[must_use]
pub fn is_reserved(subject: &str) -> bool {
    ["mesh.", "$", "_INBOX."].iter().any(|prefix| subject.starts_with(prefix))
        || subject == "mesh"
        || subject.split('.').next().is_some_and(|token| matches!(token, "*" | ">" | "_INBOX"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_found_again_in_its_subject() {
        let host: HostId = crate::id::key_text(13 << 3, &[7; 32]).parse().unwrap();
        let (lattice, boot, call) = (LatticeName::default(), BootId::new(), CallId::new());
        let all = io_all(&lattice, &host, boot).matches('.').count();
        for copies in [&[(call, 3)][..], &[(call, 0), (CallId::new(), 2), (CallId::new(), 0)]] {
            let subject = io_copies(&lattice, &host, boot, copies);
            assert_eq!(copies_of(&subject).collect::<Vec<_>>(), copies);
            assert_eq!(subject.matches('.').count(), all, "it is among what the boot listens to");
        }
        for other in [io(&lattice, &host, boot, call), io_shared(&lattice, &host, boot), String::new()] {
            assert_eq!(copies_of(&other).count(), 0, "{other}");
        }
    }

    #[test]
    fn what_could_see_the_hosts_traffic_is_reserved() {
        for reserved in ["mesh.x.h.>", "mesh", ">", "*", "*.x", "$JS.API.>", "_INBOX.a", "_INBOX"] {
            assert!(is_reserved(reserved), "{reserved}");
        }
        for free in ["orders.new", "meshwork.a", "a.>"] {
            assert!(!is_reserved(free), "{free}");
        }
    }
}
