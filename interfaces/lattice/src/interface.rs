//! Names of WIT packages and interfaces, and which versions fit each other.
//!
//! Two names fit where namespace, package and interface are the same and the versions are: a WIT package promises
//! nothing before 1.0 but what its own rule says, so only the one rule that is known to hold is applied, that the
//! releases `0.2.x` of the `wasi` namespace fit each other, and the releases `0.3.x`. Drafts (`0.2.0-draft`) fit only
//! themselves. A name without a version fits every version: that is what a person writes into a link.
//!
//! A request of HTTP is the same call in both releases, under two names: an actor is asked by `incoming-handler` of 0.2
//! or by `handler` of 0.3, and asks by `outgoing-handler` or by `client`. So these fit each other, and who is linked by
//! one name need not know which release the actor speaks.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::name::BadName;

const GRAMMAR: &str = "namespace:package, then optionally /interface and @version";

/// The full name of an interface as a component spells it, for example `wasi:keyvalue/store@0.2.0-draft`.
///
/// Cheap to clone: it travels in every invocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interface(Arc<str>);

/// What a link names: a package (`wasi:keyvalue`) or one interface of it (`wasi:keyvalue/store`), with or without a
/// version.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfacePattern(Arc<str>);

/// The interface under which the functions at the root of a component go, in calls and in links: those that belong to
/// none. WIT has no name for it; this is the one that tools print such components with.
pub const ROOT: &str = "root:component/root";

/// The parts of a name, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    package: &'a str,
    interface: Option<&'a str>,
    version: Option<&'a str>,
}

/// The two ends of a request of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Incoming,
    Outgoing,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (package, interface) = match path.split_once('/') {
            Some((package, interface)) => (package, Some(interface)),
            None => (path, None),
        };
        let (namespace, name) = package.split_once(':')?;
        let valid = text.len() <= 200
            && is_label(namespace)
            && is_label(name)
            && interface.is_none_or(is_label)
            && version.is_none_or(is_version);
        valid.then_some(Self { package, interface, version })
    }

    fn fits(&self, wanted: &Parts<'_>) -> bool {
        if let (Some(one), Some(other)) = (self.request(), wanted.request()) {
            return one == other;
        }
        self.package == wanted.package
            && (wanted.interface.is_none() || self.interface == wanted.interface)
            && versions_fit(self.package, self.version, wanted.version)
    }
}

impl Parts<'_> {
    /// Which end of a request of HTTP this names, by the name that it has in its release.
    fn request(&self) -> Option<Request> {
        let (request, release) = match (self.package, self.interface?) {
            ("wasi:http", "incoming-handler") => (Request::Incoming, "0.2."),
            ("wasi:http", "handler") => (Request::Incoming, "0.3."),
            ("wasi:http", "outgoing-handler") => (Request::Outgoing, "0.2."),
            ("wasi:http", "client") => (Request::Outgoing, "0.3."),
            _ => return None,
        };
        self.version.is_none_or(|version| is_minor(version, release)).then_some(request)
    }
}

fn is_minor(version: &str, release: &str) -> bool {
    let patch = version.strip_prefix(release);
    patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

fn is_label(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_version(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b))
}

fn versions_fit(package: &str, one: Option<&str>, other: Option<&str>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let release = |release| is_minor(one, release) && is_minor(other, release);
    one == other || (package.starts_with("wasi:") && (release("0.2.") || release("0.3.")))
}

impl Interface {
    /// Namespace and package, for example `wasi:keyvalue`.
    #[must_use]
    pub fn package(&self) -> &str {
        Parts::parse(&self.0).map_or("", |parts| parts.package)
    }

    /// The interface's own name, for example `store`.
    #[must_use]
    pub fn interface(&self) -> &str {
        Parts::parse(&self.0).and_then(|parts| parts.interface).unwrap_or("")
    }

    /// The version, where it has one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        Parts::parse(&self.0).and_then(|parts| parts.version)
    }

    /// Whether what is called `other` can serve what is called this.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        match (Parts::parse(&self.0), Parts::parse(&other.0)) {
            (Some(one), Some(other)) => one.fits(&other),
            _ => false,
        }
    }

    /// Whether an actor is asked by this with a request of HTTP, in either release.
    #[must_use]
    pub fn is_incoming_http(&self) -> bool {
        Parts::parse(&self.0).and_then(|parts| parts.request()) == Some(Request::Incoming)
    }

    /// Whether an actor asks by this with a request of HTTP, in either release.
    #[must_use]
    pub fn is_outgoing_http(&self) -> bool {
        Parts::parse(&self.0).and_then(|parts| parts.request()) == Some(Request::Outgoing)
    }

    /// The full text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InterfacePattern {
    /// Whether this names `interface`, or the package that it is in.
    #[must_use]
    pub fn names(&self, interface: &Interface) -> bool {
        match (Parts::parse(&interface.0), Parts::parse(&self.0)) {
            (Some(interface), Some(pattern)) => interface.fits(&pattern),
            _ => false,
        }
    }

    /// Whether one interface can be named by both. Versions are left out: what differs in its version only is told
    /// apart by nobody who writes links.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (Parts::parse(&self.0), Parts::parse(&other.0)) {
            (Some(one), Some(other)) => {
                one.package == other.package
                    && (one.interface.is_none() || other.interface.is_none() || one.interface == other.interface)
            }
            _ => false,
        }
    }

    /// The full text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Interface {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Parts::parse(text) {
            Some(Parts { interface: Some(_), .. }) => Ok(Self(text.into())),
            _ => Err(BadName::new(text, "an interface", GRAMMAR)),
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Parts::parse(text)
            .map(|_| Self(text.into()))
            .ok_or_else(|| BadName::new(text, "a package or an interface", GRAMMAR))
    }
}

macro_rules! conversions {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

conversions!(Interface);
conversions!(InterfacePattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(text: &str) -> Interface {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_has_its_parts() {
        let store = interface("wasi:keyvalue/store@0.2.0-draft");
        assert_eq!(store.package(), "wasi:keyvalue");
        assert_eq!(store.interface(), "store");
        assert_eq!(store.version(), Some("0.2.0-draft"));
    }

    #[test]
    fn what_is_no_interface_is_refused() {
        for bad in ["", "store", "wasi:keyvalue", "wasi/store", ":a/b", "wasi:/b", "wasi:a/b@", "wasi:a/b@x", "w.:a/b"]
        {
            assert!(bad.parse::<Interface>().is_err(), "{bad:?}");
        }
        assert!("wasi:keyvalue".parse::<InterfacePattern>().is_ok());
        assert!("keyvalue".parse::<InterfacePattern>().is_err());
    }

    #[test]
    fn releases_of_wasi_0_2_fit_each_other_and_drafts_only_themselves() {
        let table = [
            ("wasi:http/types@0.2.0", "wasi:http/types@0.2.12", true),
            ("wasi:http/types@0.2.0", "wasi:http/types@0.3.0", false),
            ("wasi:http/types@0.3.0", "wasi:http/types@0.3.2", true),
            ("wasi:http/types@0.3.0", "wasi:http/types@0.3.0-rc-1", false),
            ("wasi:http/incoming-handler@0.2.2", "wasi:http/handler@0.3.2", true),
            ("wasi:http/handler@0.3.0", "wasi:http/incoming-handler", true),
            ("wasi:http/client@0.3.0", "wasi:http/outgoing-handler@0.2.0", true),
            ("wasi:http/client@0.3.0", "wasi:http/incoming-handler@0.2.0", false),
            ("wasi:http/handler@0.2.0", "wasi:http/incoming-handler@0.2.0", false),
            ("acme:http/handler@0.3.0", "acme:http/incoming-handler@0.2.0", false),
            ("wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/store@0.2.0-draft2", false),
            ("wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/store@0.2.0", false),
            ("acme:a/b@0.2.0", "acme:a/b@0.2.1", false),
            ("acme:a/b@1.0.0", "acme:a/b@1.0.0", true),
            ("acme:a/b", "acme:a/b@1.0.0", true),
            ("acme:a/b", "acme:a/c", false),
        ];
        for (one, other, fit) in table {
            assert_eq!(interface(one).fits(&interface(other)), fit, "{one} {other}");
        }
    }

    #[test]
    fn a_link_names_a_package_or_one_interface() {
        let table = [
            ("wasi:keyvalue", "wasi:keyvalue/store@0.2.0-draft", true),
            ("wasi:keyvalue", "wasi:keyvalue/atomics@0.2.0-draft", true),
            ("wasi:keyvalue/store", "wasi:keyvalue/store@0.2.0-draft", true),
            ("wasi:keyvalue/store", "wasi:keyvalue/atomics@0.2.0-draft", false),
            ("wasi:http", "wasi:keyvalue/store@0.2.0-draft", false),
            ("wasi:http@0.3.0", "wasi:http/incoming-handler@0.2.0", false),
        ];
        for (pattern, name, named) in table {
            assert_eq!(pattern.parse::<InterfacePattern>().unwrap().names(&interface(name)), named, "{pattern} {name}");
        }
    }
}
