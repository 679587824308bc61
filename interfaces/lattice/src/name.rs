//! The grammars of names.
//!
//! A name that reaches this far is a token of a NATS subject and of a key, so it is parsed where it enters and is
//! never a bare `String` further in: nothing that holds a `.`, `*`, `>`, a space or a control character can become
//! one of these types.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the name that it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {grammar}")]
pub struct BadName {
    /// The offending text, shortened.
    pub text: String,
    /// What it was meant to be, with its article.
    pub what: &'static str,
    /// The grammar that it breaks.
    pub grammar: &'static str,
}

impl BadName {
    pub(crate) fn new(text: &str, what: &'static str, grammar: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), what, grammar }
    }
}

/// Defines a cheaply cloned text that obeys a grammar wherever it came from, serde included.
macro_rules! text_type {
    ($(#[$doc:meta])* $type:ident, $what:expr, $grammar:expr, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(::std::sync::Arc<str>);

        impl $type {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = $crate::name::BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) {
                    Ok(Self(text.into()))
                } else {
                    Err($crate::name::BadName::new(text, $what, $grammar))
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::name::BadName;

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
                write!(f, concat!(stringify!($type), "({})"), self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}
pub(crate) use text_type;

text_type!(
    /// The name of an actor, a provider, an application or a configuration: unique in its lattice.
    Name,
    "a name",
    "lower-case letters, digits, `-` and `_`, at most 63, the first a letter or digit",
    is_name
);

text_type!(
    /// The name of a link: tells apart several targets of one source on one interface.
    LinkName,
    "a link name",
    "lower-case letters, digits, `-` and `_`, at most 63, the first a letter or digit",
    is_name
);

text_type!(
    /// The name of a lattice.
    LatticeName,
    "a lattice name",
    "1 to 32 lower-case letters, digits and `-`",
    |text| matches!(text.len(), 1..=32)
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
);

text_type!(
    /// The key of a host's label.
    LabelKey,
    "a label's key",
    "1 to 63 letters, digits, `-`, `_`, `.` and `/`",
    |text| matches!(text.len(), 1..=63)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
);

text_type!(
    /// The value of a host's label.
    LabelValue,
    "a label's value",
    "at most 63 letters, digits, `-`, `_`, `.` and `/`",
    |text| text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
);

/// The labels of a host.
pub type Labels = std::collections::BTreeMap<LabelKey, LabelValue>;

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes.next().is_some_and(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'))
        && bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

impl Default for LinkName {
    /// The name of a link that was given none: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

impl Default for LatticeName {
    /// The lattice that is meant where none is named: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_grammar_are_taken() {
        for good in ["a", "0", "counter", "key-value_2", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in ["", "-a", "_a", "A", "a.b", "a b", "a*", ">", "é", "a\r\n", "a\0", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        for bad in ["", "a_b", "A", "a.b", &"x".repeat(33)] {
            assert!(bad.parse::<LatticeName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn serde_does_not_go_around_the_grammar() {
        assert!(serde_json::from_str::<Name>("\"a.b\"").is_err());
        assert!(serde_json::from_str::<LabelValue>("\"a b\"").is_err());
    }

    proptest! {
        #[test]
        fn no_accepted_name_can_reach_into_another_subject(text in ".{0,80}") {
            let tokens = [
                text.parse::<Name>().map(String::from).ok(),
                text.parse::<LinkName>().map(String::from).ok(),
                text.parse::<LatticeName>().map(String::from).ok(),
            ];
            for token in tokens.into_iter().flatten() {
                prop_assert!(!token.is_empty());
                prop_assert!(token.bytes().all(|b| b.is_ascii_graphic() && !b".*>$:@/\\".contains(&b)));
            }
        }
    }
}
