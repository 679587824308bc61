//! Whether one end serves what the other calls, function by function.

use std::fmt::{self, Display, Formatter};

use mesh_lattice::Interface;

use crate::signature::Function;

/// A function that is called otherwise than it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The interface as the caller spells it.
    pub interface: Interface,
    /// The function's name.
    pub function: String,
    /// How it is called.
    pub called: String,
    /// How it is served; `None` where it is not.
    pub served: Option<String>,
}

impl Misfit {
    /// The two signatures, one under the other, each behind who it belongs to.
    #[must_use]
    pub fn between(&self, caller: &str, callee: &str) -> String {
        let width = caller.chars().count().max(callee.chars().count());
        let served = self.served.as_deref().unwrap_or("(no such function)");
        let what = if self.served.is_some() { "has other types at its two ends" } else { "is not served" };
        let Self { interface, function, called, .. } = self;
        format!("{function} of {interface} {what}\n  {caller:<width$}  {called}\n  {callee:<width$}  {served}")
    }
}

impl Display for Misfit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.between("called as", "served as"))
    }
}

/// The first function that is called and not served with the same types; functions that are served and not called do
/// no harm.
#[must_use]
pub fn misfit(interface: &Interface, called: &[Function], served: &[Function]) -> Option<Misfit> {
    called.iter().find_map(|wanted| {
        let found = served.iter().find(|function| function.name == wanted.name);
        if found.is_some_and(|found| wanted.same(found)) {
            return None;
        }
        let (mut one, mut other) = (wanted.to_string(), found.map(ToString::to_string));
        // What reads the same differs in what the names stand for.
        if other.as_ref() == Some(&one) {
            (one, other) = (format!("{wanted:#}"), found.map(|found| format!("{found:#}")));
        }
        Some(Misfit { interface: interface.clone(), function: wanted.name.clone(), called: one, served: other })
    })
}
