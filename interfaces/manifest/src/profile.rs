//! `${key}` and `${key:-default}`: one manifest for several places, filled from `--set key=value`.
//!
//! - Filling happens after parsing, in texts alone, never in keys: no value can add a field, a list or a line, whatever
//!   stands in it.
//! - A value is taken as it is: what looks like `${...}` in it is not filled again.
//! - `${key}` without a value is a fault, and so is a `--set` that no manifest uses. An empty value is a value.
//! - `$${` is a `${` that stays. A `$` in front of anything else is itself.
//! - A key is letters, digits, `-`, `_` and `.`. A default goes to the next `}`.
//! - Where a text was filled, quotes around it do not make it a text: `replicas: "${n:-2}"` is a number.
//!
//! OAM manifests are not filled: `${...}` in them has always been itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_lattice::application::Values;

use crate::{
    fault::{Fault, Faults},
    fields::suggest,
    source::{Source, Span},
    yaml::{Kind, Node},
};

/// Bytes that filling may make of one text, and of all of them.
const MAX_FILLED: usize = 2 << 20;

/// Values to fill in, and which of them were used.
pub(crate) struct Profile<'a> {
    values: &'a Values,
    used: BTreeSet<&'a str>,
    grown: usize,
}

impl<'a> Profile<'a> {
    pub(crate) fn new(values: &'a Values) -> Self {
        Self { values, used: BTreeSet::new(), grown: 0 }
    }

    /// What was given and never asked for.
    pub(crate) fn unused(&self) -> Faults {
        let mut faults = Faults::default();
        for key in self.values.keys().filter(|key| !self.used.contains(key.as_str())) {
            faults.push(
                Fault::new(format!("--set {key}=... is used by no manifest"))
                    .help(format!("leave it out, or write `${{{key}}}` where its value belongs")),
            );
        }
        faults
    }

    /// Fills every text of a document.
    pub(crate) fn fill(&mut self, source: &Arc<Source>, node: &mut Arc<Node>, faults: &mut Faults) {
        if !mentions(node) {
            return;
        }
        let node = Arc::make_mut(node);
        let span = node.span;
        match &mut node.kind {
            Kind::Null | Kind::Unfilled => {}
            Kind::List(items) => items.iter_mut().for_each(|item| self.fill(source, item, faults)),
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| self.fill(source, &mut entry.value, faults)),
            Kind::Scalar(scalar) => match self.filled(&scalar.text) {
                Ok(text) => {
                    scalar.plain |= text != scalar.text;
                    scalar.text = text;
                }
                Err(wrong) => {
                    faults.push(wrong.fault(source, span));
                    node.kind = Kind::Unfilled;
                }
            },
        }
    }

    fn filled(&mut self, text: &str) -> Result<String, Unfilled> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            let inside = from.get(2..).unwrap_or_default();
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = inside;
                continue;
            }
            out.push_str(before);
            let (reference, behind) = inside.split_once('}').ok_or(Unfilled::Open)?;
            out.push_str(self.value(reference)?);
            rest = behind;
            self.grow(&out)?;
        }
        out.push_str(rest);
        self.grow(&out)?;
        self.grown += out.len();
        Ok(out)
    }

    fn grow(&self, out: &str) -> Result<(), Unfilled> {
        if self.grown + out.len() > MAX_FILLED { Err(Unfilled::TooLong) } else { Ok(()) }
    }

    fn value<'r>(&mut self, reference: &'r str) -> Result<&'r str, Unfilled>
    where
        'a: 'r,
    {
        let (key, default) = match reference.split_once(":-") {
            Some((key, default)) => (key, Some(default)),
            None => (reference, None),
        };
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(Unfilled::NoKey(key.chars().take(40).collect()));
        }
        if let Some((key, value)) = self.values.get_key_value(key) {
            self.used.insert(key);
            return Ok(value);
        }
        default.ok_or_else(|| Unfilled::Unset {
            key: key.chars().take(60).collect(),
            meant: suggest(key, self.values.keys().map(String::as_str)),
        })
    }
}

/// Why a text cannot be filled.
enum Unfilled {
    Open,
    NoKey(String),
    Unset { key: String, meant: Option<String> },
    TooLong,
}

impl Unfilled {
    fn fault(self, source: &Arc<Source>, span: Span) -> Fault {
        let at = |message: String| Fault::at(source, span, message);
        match self {
            Self::Open => at("`${` has no `}`".into()).help("write `$${` where you mean the characters themselves"),
            Self::NoKey(key) => at(format!("`{key}` in `${{...}}` is no key")).help(
                "a key is letters, digits, `-`, `_` and `.`; write `$${` where you mean the characters themselves",
            ),
            Self::Unset { key, meant } => at(format!("`${{{key}}}` has no value")).help(match meant {
                Some(meant) => format!("did you mean `${{{meant}}}`? That one was given"),
                None => format!("give it one with `--set {key}=...`, or a default: `${{{key}:-...}}`"),
            }),
            Self::TooLong => at(format!("filled in, this manifest says more than {MAX_FILLED} bytes")),
        }
    }
}

/// Whether anything below asks to be filled.
fn mentions(node: &Node) -> bool {
    match &node.kind {
        Kind::Null | Kind::Unfilled => false,
        Kind::Scalar(scalar) => scalar.text.contains("${"),
        Kind::List(items) => items.iter().any(|item| mentions(item)),
        Kind::Map(entries) => entries.iter().any(|entry| mentions(&entry.value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(text: &str, values: &[(&str, &str)]) -> Option<String> {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Profile::new(&values).filled(text).ok()
    }

    #[test]
    fn keys_are_filled_and_defaults_stand_in() {
        let set: &[(&str, &str)] = &[("zone", "edge"), ("empty", "")];
        for (text, filled) in [
            ("${zone}", "edge"),
            ("a-${zone}-b${zone}", "a-edge-bedge"),
            ("${n:-2}", "2"),
            ("${zone:-cloud}", "edge"),
            ("${empty:-x}", ""),
            ("${n:-}", ""),
            ("$${zone}", "${zone}"),
            ("$5 and $zone", "$5 and $zone"),
            ("${n:-a:-b}", "a:-b"),
        ] {
            assert_eq!(fill(text, set).as_deref(), Some(filled), "{text}");
        }
        for bad in ["${", "${zone", "${}", "${no}", "${a b}", "${ä:-x}", "x${:-y}"] {
            assert_eq!(fill(bad, set), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_taken_as_it_is(value in ".{0,60}", around in "[a-z -]{0,10}") {
            let filled = fill(&format!("{around}${{key}}{around}"), &[("key", &value)]);
            prop_assert_eq!(filled, Some(format!("{around}{value}{around}")));
        }
    }
}
