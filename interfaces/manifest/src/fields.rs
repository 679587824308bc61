//! The fields of a map: which there may be, which there must be, and what was probably meant by another.
//!
//! A [`Shape`] is a table that the reader of a format and its JSON Schema share, so that what an editor underlines is what
//! `meshctl` refuses.

use std::sync::Arc;

use crate::{
    fault::{Fault, Faults},
    source::{Source, Span, Spanned},
    yaml::{Entry, Kind, Node},
};

/// What a map may hold.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What the map describes, with its article.
    pub(crate) title: &'static str,
    pub(crate) fields: &'static [Field],
}

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) value: Value,
    pub(crate) doc: &'static str,
}

/// What stands in a field.
#[derive(Debug)]
pub(crate) enum Value {
    /// Another map of fields.
    Object(&'static Shape),
    /// A list of these.
    List(&'static Value),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A name of the lattice.
    Name,
    /// Any text.
    Text,
    /// A package or an interface.
    Interface,
    Bool,
    /// A whole number in this range.
    Count(u64, u64),
    /// Bytes: `64MiB`.
    Bytes,
    /// A length of time: `500ms`.
    Time,
    /// Labels of hosts.
    Labels,
    /// A configuration: a map of texts, or a list of such and of `@name`.
    Config,
    /// A list of texts that has to be empty as yet.
    Nothing,
    /// Something that is there for later and must not be said as yet.
    Later,
}

/// Reads values of one text and collects what is wrong.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Arc<Source>,
    pub(crate) faults: Faults,
    pub(crate) warnings: Faults,
    /// Whether fields that nobody knows are only warned about.
    lenient: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Arc<Source>) -> Self {
        Self { source, faults: Faults::default(), warnings: Faults::default(), lenient: false }
    }

    /// One that lets fields pass that nobody knows, with a warning.
    pub(crate) fn lenient(source: &'a Arc<Source>) -> Self {
        Self { lenient: true, ..Self::new(source) }
    }

    /// A fault at a place of this text.
    pub(crate) fn fault(&mut self, span: Span, message: impl Into<String>) {
        self.faults.push(Fault::at(self.source, span, message));
    }

    /// A fault, and what to write instead.
    pub(crate) fn fault_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::at(self.source, span, message).help(help));
    }

    /// The value as a map with the fields of `shape`; others and missing ones are faults.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, shape: &'static Shape) -> Option<&'n Node> {
        let Kind::Map(entries) = &node.kind else {
            if matches!(node.kind, Kind::Unfilled) {
                return None;
            }
            self.fault_help(
                node.span,
                format!("{} is a map of fields, not {}", shape.title, node.what()),
                format!("its fields are {}", listed(shape.fields.iter().map(|field| field.name))),
            );
            return None;
        };
        let mut meant = Vec::new();
        for Entry { key, .. } in entries {
            if !shape.fields.iter().any(|field| field.name == key.value) {
                meant.extend(self.unknown(key, shape));
            }
        }
        // What is there under another name is not missing; but where that name is let pass, nobody would say so.
        if self.lenient {
            meant.clear();
        }
        let is_missing =
            |field: &&Field| field.required && node.get(field.name).is_none() && !meant.contains(&field.name);
        for field in shape.fields.iter().filter(is_missing) {
            let message = format!("{} needs `{}`", shape.title, field.name);
            self.fault_help(node.span, message, format!("`{}`: {}", field.name, field.doc));
        }
        Some(node)
    }

    /// A field that there is not, and the one that was probably meant.
    fn unknown(&mut self, key: &Spanned<String>, shape: &'static Shape) -> Option<&'static str> {
        let found = if self.lenient { &mut self.warnings } else { &mut self.faults };
        if found.is_full() {
            // Comparing is dear, and nobody reads what is only counted.
            found.count_one();
            return None;
        }
        let names = || shape.fields.iter().map(|field| field.name);
        let meant = suggest(&key.value, names());
        let help = match &meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("its fields are {}", listed(names())),
        };
        let message = format!("{} has no field `{}`", shape.title, shown(&key.value));
        found.push(Fault::at(self.source, key.span, message).help(help));
        names().find(|name| Some(*name) == meant.as_deref())
    }

    /// The items of a list.
    pub(crate) fn items<'n>(&mut self, node: Option<&'n Arc<Node>>, name: &str) -> &'n [Arc<Node>] {
        let Some(node) = node else { return &[] };
        match &node.kind {
            Kind::List(items) => items,
            Kind::Unfilled => &[],
            Kind::Null => {
                self.fault_help(node.span, format!("`{name}` has no value"), "leave it out, or write `[]`");
                &[]
            }
            _ => {
                self.fault_help(
                    node.span,
                    format!("`{name}` is a list, not {}", node.what()),
                    "write each item on a line of its own behind a `-`, or all of them in `[ ]`",
                );
                &[]
            }
        }
    }
}

/// The one that was probably meant.
pub(crate) fn suggest<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<String> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    // Long texts are no slips of the pen, and comparing them takes their lengths multiplied.
    let short: String = plain(written).chars().take(40).collect();
    // One letter is near to every other one.
    let length = short.chars().count();
    let most = if length < 2 { 0 } else { (length / 3).max(1) };
    candidates
        .map(|candidate| (strsim::osa_distance(&short, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Names in a sentence.
pub(crate) fn listed<'c>(names: impl Iterator<Item = &'c str>) -> String {
    joined(names, "and")
}

/// Names of which one is chosen, in a sentence.
pub(crate) fn either<'c>(names: impl Iterator<Item = &'c str>) -> String {
    joined(names, "or")
}

fn joined<'c>(names: impl Iterator<Item = &'c str>, word: &str) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((one, [])) => one.clone(),
        Some((last, others)) => format!("{} {word} {last}", others.join(", ")),
    }
}

/// A text as it may stand in a sentence.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('\u{2026}');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_recognised_and_other_words_are_not() {
        let fields = ["name", "artifact", "replicas", "config"];
        for (written, meant) in
            [("nmae", Some("name")), ("Replicas", Some("replicas")), ("artefact", Some("artifact")), ("image", None)]
        {
            assert_eq!(suggest(written, fields.into_iter()).as_deref(), meant, "{written}");
        }
        assert_eq!(suggest("maxsurge", ["maxSurge"].into_iter()).as_deref(), Some("maxSurge"));
    }
}
