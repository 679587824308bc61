//! From the parser's events to a tree, counted at every step.
//!
//! ```text
//! open collections:  [ map (key seen) | list | ... ]   a finished value goes into the innermost one
//! anchors:           id ─► finished value              an alias shares it, and costs what it weighs
//! ```

use std::{collections::BTreeMap, sync::Arc};

use granit_parser::{Event, ScalarStyle};

use super::{Entry, Kind, MAX_ALIASES, MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES, MAX_TEXT, Node, Scalar, Weight};
use crate::{
    fault::{Fault, Faults},
    source::{Source, Span, Spanned},
};

/// A collection that is not finished.
struct Open {
    span: Span,
    anchor: usize,
    weight: Weight,
    parts: Parts,
}

enum Parts {
    List(Vec<Arc<Node>>),
    Map { entries: Vec<Entry>, keys: BTreeMap<String, Span>, key: Option<Spanned<String>> },
}

/// A tree in the making.
pub(super) struct Tree<'a> {
    source: &'a Arc<Source>,
    open: Vec<Open>,
    /// `None`: its value is not finished.
    anchors: BTreeMap<usize, Option<Arc<Node>>>,
    aliases: usize,
    seen: usize,
    spent: Weight,
    documents: Vec<Arc<Node>>,
    /// What is wrong and does not keep the rest from being read.
    faults: Faults,
}

impl<'a> Tree<'a> {
    pub(super) fn new(source: &'a Arc<Source>) -> Self {
        Self {
            source,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            aliases: 0,
            seen: 0,
            spent: Weight::default(),
            documents: Vec::new(),
            faults: Faults::default(),
        }
    }

    /// The documents that are whole.
    pub(super) fn finish(self, faults: &mut Faults) -> Vec<Arc<Node>> {
        // What was found on the way stands before what ended the text.
        let ending = std::mem::replace(faults, self.faults);
        faults.extend(ending);
        self.documents
    }

    fn at(&self, span: Span, message: impl Into<String>) -> Fault {
        Fault::at(self.source, span, message)
    }

    /// One event; an error where nothing behind it can be read.
    pub(super) fn step(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.seen += 1;
                if self.seen > MAX_DOCUMENTS {
                    return Err(self.at(span, format!("a file has at most {MAX_DOCUMENTS} documents")));
                }
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                self.scalar(text.into_owned(), style == ScalarStyle::Plain, anchor, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                self.begin(Parts::List(Vec::new()), anchor, span)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                self.begin(Parts::Map { entries: Vec::new(), keys: BTreeMap::new(), key: None }, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => Err(self.at(span, format!("there is no anchor `&{name}` before this"))),
            _ => Ok(()),
        }
    }

    fn no_tag(&self, tagged: bool, span: Span) -> Result<(), Fault> {
        if tagged {
            let fault = self.at(span, "a manifest has no tags (`!...`)");
            return Err(fault.help("leave the tag out: what a value is, its field says"));
        }
        Ok(())
    }

    fn scalar(&mut self, text: String, plain: bool, anchor: usize, span: Span) -> Result<(), Fault> {
        if self.awaits_key() {
            return self.key(text, plain, anchor, span);
        }
        let weight = Weight { nodes: 1, text: text.len() };
        let null = plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        let kind = if null { Kind::Null } else { Kind::Scalar(Scalar { text, plain }) };
        self.spend(weight, span)?;
        self.value(Arc::new(Node { span, kind, weight }), anchor, span)
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { parts: Parts::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: String, plain: bool, anchor: usize, span: Span) -> Result<(), Fault> {
        if anchor != 0 {
            return Err(self.at(span, "a key carries no anchor"));
        }
        if plain && text == "<<" {
            let fault = self.at(span, "a manifest has no merge keys (`<<`)");
            return Err(
                fault.help("write the fields out, or give a whole value an anchor (`&name`) and use it as `*name`")
            );
        }
        self.spend(Weight { nodes: 1, text: text.len() }, span)?;
        let Some(Open { parts: Parts::Map { keys, key, .. }, .. }) = self.open.last_mut() else { return Ok(()) };
        *key = Some(Spanned::new(text.clone(), span));
        if let Some(first) = keys.insert(text.clone(), span) {
            let fault = self.at(span, format!("`{text}` stands here twice")).other(first, "first here");
            self.faults.push(fault.help("leave one of them out"));
        }
        Ok(())
    }

    fn begin(&mut self, parts: Parts, anchor: usize, span: Span) -> Result<(), Fault> {
        if self.awaits_key() {
            return Err(self.at(span, "a key is a text, not a list or a map"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.at(span, format!("nothing in a manifest is nested deeper than {MAX_DEPTH}")));
        }
        if anchor != 0 {
            self.anchor(anchor, None, span)?;
        }
        self.spend(Weight { nodes: 1, text: 0 }, span)?;
        self.open.push(Open { span, anchor, weight: Weight { nodes: 1, text: 0 }, parts });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { mut span, anchor, weight, parts }) = self.open.pop() else { return Ok(()) };
        let kind = match parts {
            Parts::List(items) => Kind::List(items),
            Parts::Map { entries, .. } => {
                // A map is shown by its first key: that is where a person looks for what is missing in it.
                span = entries.first().map_or(span, |entry| entry.key.span);
                Kind::Map(entries)
            }
        };
        self.value(Arc::new(Node { span, kind, weight }), anchor, span)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Fault> {
        if self.awaits_key() {
            return Err(self.at(span, "a key is a text, not an alias"));
        }
        self.aliases += 1;
        if self.aliases > MAX_ALIASES {
            return Err(self.at(span, format!("a file has at most {MAX_ALIASES} aliases")));
        }
        let Some(Some(node)) = self.anchors.get(&anchor).cloned() else {
            return Err(self.at(span, "this would contain itself"));
        };
        self.spend(node.weight, span)?;
        self.value(node, 0, span)
    }

    fn anchor(&mut self, anchor: usize, node: Option<Arc<Node>>, span: Span) -> Result<(), Fault> {
        if self.anchors.len() >= MAX_ALIASES && !self.anchors.contains_key(&anchor) {
            return Err(self.at(span, format!("a file has at most {MAX_ALIASES} anchors")));
        }
        self.anchors.insert(anchor, node);
        Ok(())
    }

    /// A finished value goes to where it belongs.
    fn value(&mut self, node: Arc<Node>, anchor: usize, span: Span) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchor(anchor, Some(Arc::clone(&node)), span)?;
        }
        let weight = node.weight;
        let Some(open) = self.open.last_mut() else {
            if !matches!(node.kind, Kind::Null) {
                self.documents.push(node);
            }
            return Ok(());
        };
        open.weight.nodes = open.weight.nodes.saturating_add(weight.nodes);
        open.weight.text = open.weight.text.saturating_add(weight.text);
        match &mut open.parts {
            Parts::List(items) => items.push(node),
            Parts::Map { entries, key, .. } => {
                if let Some(key) = key.take() {
                    open.weight.text = open.weight.text.saturating_add(key.value.len());
                    open.weight.nodes = open.weight.nodes.saturating_add(1);
                    entries.push(Entry { key, value: node });
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self, cost: Weight, span: Span) -> Result<(), Fault> {
        self.spent.nodes = self.spent.nodes.saturating_add(cost.nodes);
        self.spent.text = self.spent.text.saturating_add(cost.text);
        if self.spent.nodes > MAX_NODES {
            let fault = self.at(span, format!("a file has at most {MAX_NODES} values, aliases written out"));
            return Err(fault.help("split it into several files"));
        }
        if self.spent.text > MAX_TEXT {
            return Err(self.at(span, format!("a file says at most {MAX_TEXT} bytes, aliases written out")));
        }
        Ok(())
    }
}
