//! Whether a link can ever work: the target serves what the link is for, and the source calls it, with the same types.
//!
//! An actor's side is what its artifact exports and imports, with the types of its functions where they were read. A
//! provider's is what its kind says, with the types of the published interfaces. The leader judges every new link by
//! this, and `meshctl` judges a manifest by it before.

use std::{borrow::Cow, collections::BTreeMap};

use mesh_claims::surface::WASI_RELEASES;
use mesh_lattice::{Interface, InterfacePattern, Name};

use crate::{Function, Signatures, fit, published};

/// One end of a link.
#[derive(Debug, Clone)]
pub struct End<'a> {
    title: String,
    serves: Vec<InterfacePattern>,
    calls: Vec<InterfacePattern>,
    /// Of an actor: its functions, where they were read.
    read: Option<&'a Signatures>,
    is_provider: bool,
}

impl<'a> End<'a> {
    /// An actor by what its artifact imports and exports. `None` where both are empty: it was not read, and nothing is
    /// known of it.
    #[must_use]
    pub fn actor(
        name: &Name,
        imports: &[Interface],
        exports: &[Interface],
        read: Option<&'a Signatures>,
    ) -> Option<Self> {
        let known = !imports.is_empty() || !exports.is_empty();
        known.then(|| Self {
            title: format!("actor {name}"),
            serves: patterns(exports),
            calls: patterns(imports),
            read,
            is_provider: false,
        })
    }

    /// A provider by what its kind serves and calls.
    #[must_use]
    pub fn provider(name: &Name, kind: &Name, serves: Vec<InterfacePattern>, calls: Vec<InterfacePattern>) -> Self {
        Self { title: format!("provider {name} ({kind})"), serves, calls, read: None, is_provider: true }
    }

    /// What it calls along a link; `None` where that is not known.
    fn called(&self, wanted: &InterfacePattern) -> Option<Side<'a>> {
        if self.is_provider {
            return Some(published_along(&self.calls, wanted));
        }
        Some(along(&self.read?.imports, wanted))
    }

    /// What it serves along a link; `None` where that is not known.
    fn served(&self, wanted: &InterfacePattern) -> Option<Side<'a>> {
        if self.is_provider {
            let known = published_along(&self.serves, wanted);
            return (!known.is_empty()).then_some(known);
        }
        Some(along(&self.read?.exports, wanted))
    }
}

/// Why a link on `wanted` between these two cannot work.
#[must_use]
pub fn misfit(wanted: &InterfacePattern, source: &End<'_>, target: &End<'_>) -> Option<String> {
    let serving = target.serves.iter().any(|served| overlap(served, wanted));
    let calling = source.calls.iter().any(|called| overlap(called, wanted));
    if serving && calling {
        return types_differ(wanted, source, target).map(|reason| format!("a link on {wanted} cannot work: {reason}"));
    }
    Some(format!(
        "a link on {wanted} cannot work: {} serves {}, and {} calls {}",
        target.title,
        listed(&target.serves),
        source.title,
        listed(&source.calls)
    ))
}

/// The first function that the source calls along this link and that the target serves otherwise.
fn types_differ(wanted: &InterfacePattern, source: &End<'_>, target: &End<'_>) -> Option<String> {
    let (called, served) = (source.called(wanted)?, target.served(wanted)?);
    let mut met = called.is_empty();
    for (interface, functions) in &called {
        if let Some((_, offered)) = served.iter().find(|(other, _)| interface.fits(other)) {
            met = true;
            if let Some(misfit) = fit::misfit(interface, functions, offered) {
                return Some(misfit.between(&format!("{} calls", source.title), &format!("{} serves", target.title)));
            }
        } else if target.is_provider {
            // What is published is not all that a provider may serve.
            met = true;
        } else if let Some((other, _)) = served.iter().find(|(other, _)| same_name(interface, other)) {
            return Some(format!(
                "{} calls {interface}, and {} serves {other}: these versions do not fit",
                source.title, target.title
            ));
        }
    }
    let names = |side: &Side<'_>| side.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    (!met).then(|| {
        let (calls, serves) = (names(&called), names(&served));
        format!("{} calls {calls}, and {} serves {serves}: none of them is the same", source.title, target.title)
    })
}

/// The functions of one end, interface by interface.
type Side<'a> = Vec<(Cow<'a, Interface>, &'a [Function])>;

fn same_name(one: &Interface, other: &Interface) -> bool {
    one.package() == other.package() && one.interface() == other.interface()
}

/// The interfaces that a link is for. Those of WASI's releases are the host's own business: it checks them where it
/// starts the actor.
fn along<'a>(side: &'a BTreeMap<Interface, Vec<Function>>, wanted: &InterfacePattern) -> Side<'a> {
    let linked = side.iter().filter(|(interface, functions)| {
        !functions.is_empty() && !WASI_RELEASES.contains(&interface.package()) && wanted.names(interface)
    });
    linked.map(|(interface, functions)| (Cow::Borrowed(interface), functions.as_slice())).collect()
}

/// The published interfaces of a provider that a link is for.
fn published_along(patterns: &[InterfacePattern], wanted: &InterfacePattern) -> Side<'static> {
    let known = published::interfaces().filter(|(interface, functions)| {
        !functions.is_empty() && wanted.names(interface) && patterns.iter().any(|pattern| pattern.names(interface))
    });
    known.map(|(interface, functions)| (Cow::Borrowed(interface), functions)).collect()
}

fn patterns(interfaces: &[Interface]) -> Vec<InterfacePattern> {
    interfaces.iter().filter_map(|interface| interface.as_str().parse().ok()).collect()
}

fn listed(patterns: &[InterfacePattern]) -> String {
    let all: Vec<_> = patterns.iter().map(InterfacePattern::as_str).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// Whether there may be an interface that both name.
fn overlap(one: &InterfacePattern, other: &InterfacePattern) -> bool {
    let interface = |pattern: &InterfacePattern| pattern.as_str().parse::<Interface>().ok();
    match (interface(one), interface(other)) {
        (Some(interface), _) => other.names(&interface),
        (None, Some(interface)) => one.names(&interface),
        (None, None) => package(one) == package(other),
    }
}

fn package(pattern: &InterfacePattern) -> &str {
    pattern.as_str().split('@').next().unwrap_or_default()
}
