//! The tree of a document, and every limit against documents that are made to hurt.
//!
//! A scalar keeps the text that was written: whether `1e3`, `0x10` or `yes` is a number, a text or a mistake is for the
//! field to say that it stands in, not for YAML's many rules. So `on: yes` in a configuration is the text `yes`, and
//! `replicas: 1e3` is refused with a sentence.
//!
//! | limit | why |
//! |---|---|
//! | [`MAX_BYTES`] before anything is parsed | memory and time grow with the text |
//! | depth | what walks the tree may recurse |
//! | nodes and bytes of text, counted as if every alias were written out | an alias is a pointer here, and a copy later |
//! | documents, anchors, aliases | nobody needs more |
//! | tags, merge keys, keys that are no text, keys twice | each means something else to each reader of YAML |
//!
//! A syntax error ends the text; the documents before it are still judged.

mod tree;

use std::sync::Arc;

use granit_parser::{Event, Parser};

use crate::{
    fault::{Fault, Faults},
    source::{Source, Span, Spanned},
};

/// Bytes of one text.
pub const MAX_BYTES: usize = 1 << 20;
/// Collections within collections.
pub(crate) const MAX_DEPTH: usize = 32;
/// Nodes of one text, aliases written out.
const MAX_NODES: usize = 20_000;
/// Bytes of all scalars of one text, aliases written out.
const MAX_TEXT: usize = 2 << 20;
/// Documents in one text.
const MAX_DOCUMENTS: usize = 64;
/// Anchors, and aliases, in one text.
const MAX_ALIASES: usize = 512;

/// One value of a document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
    weight: Weight,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Nothing: a key without a value, `~` or `null`.
    Null,
    /// A text that could not be filled; that was said.
    Unfilled,
    Scalar(Scalar),
    List(Vec<Arc<Node>>),
    Map(Vec<Entry>),
}

/// A text.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Whether it was written without quotes, so that it may be a number.
    pub(crate) plain: bool,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Spanned<String>,
    pub(crate) value: Arc<Node>,
}

/// What a value costs whoever walks over it.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    text: usize,
}

impl Node {
    /// What it is, with its article.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Scalar(_) | Kind::Unfilled => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The value of a key, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Self>> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key.value == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// Its text, where it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }
}

/// The documents of a text, those that are empty left out.
pub(crate) fn parse(source: &Arc<Source>, faults: &mut Faults) -> Vec<Arc<Node>> {
    if source.bytes().len() > MAX_BYTES {
        let size = source.bytes().len();
        faults.push(
            Fault::at(
                source,
                Span::default(),
                format!("the file has {size} bytes, and a manifest at most {MAX_BYTES}"),
            )
            .help("split it into several files"),
        );
        return Vec::new();
    }
    let text = source.text();
    if text.len() < source.bytes().len() {
        faults.push(Fault::at(source, (text.len()..text.len()).into(), "from here on this is not UTF-8 text"));
        return Vec::new();
    }
    let mut tree = tree::Tree::new(source);
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
        disallow_directives: true,
        emit_unresolved_aliases: true,
    };
    options.set_emit_comments(false);
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                let span = span.byte_range().map_or_else(Span::default, Span::from);
                tree.step(event, span)
            }
            Err(error) => Err(syntax(source, &error)),
        };
        if let Err(fault) = step {
            faults.push(fault);
            break;
        }
    }
    tree.finish(faults)
}

/// Where the text stops being YAML.
fn syntax(source: &Arc<Source>, error: &granit_parser::ScanError) -> Fault {
    let text = source.text();
    let start = error.marker().byte_offset().unwrap_or_default().min(text.len());
    let end = text.get(start..).and_then(|rest| rest.chars().next()).map_or(start, |first| start + first.len_utf8());
    let tab = text.get(start..end) == Some("\t") || error.info().contains("tab");
    let fault = Fault::at(source, (start..end).into(), format!("this is not YAML: {}", error.info()));
    if tab { fault.help("indent with spaces: YAML takes no tabs there") } else { fault }
}
