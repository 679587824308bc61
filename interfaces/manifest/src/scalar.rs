//! Texts that mean something: names, numbers, sizes, labels. Each is read strictly, and what is refused is answered with
//! what to write.
//!
//! YAML 1.1 and 1.2 disagree about `010`, `0x10`, `1_000`, `1e3`, `yes` and `.inf`. Here a number is digits, and a truth
//! is `true` or `false`; everything else that looks like one is refused where a number or a truth has to stand, and is a
//! plain text where a text does.

use std::{ops::RangeInclusive, str::FromStr, sync::Arc};

use mesh_lattice::{
    InterfacePattern, Name,
    application::{ConfigPart, Values},
    name::{Labels, LinkName},
};

use crate::{
    fields::{Reader, either, shown, suggest},
    quantity,
    source::Spanned,
    yaml::{Entry, Kind, Node, Scalar},
};

/// Bytes of one value of a configuration.
const MAX_VALUE: usize = 128 << 10;

impl Reader<'_> {
    /// A text.
    pub(crate) fn text<'n>(&mut self, node: Option<&'n Arc<Node>>, name: &str) -> Option<Spanned<&'n str>> {
        let scalar = self.scalar(node?, name, "a text")?;
        Some(scalar.map(|scalar| scalar.text.as_str()))
    }

    /// Whether.
    pub(crate) fn truth(&mut self, node: Option<&Arc<Node>>, name: &str) -> Option<Spanned<bool>> {
        let scalar = self.scalar(node?, name, "`true` or `false`")?;
        match (scalar.plain, scalar.text.as_str()) {
            (true, "true") => Some(Spanned::new(true, scalar.span)),
            (true, "false") => Some(Spanned::new(false, scalar.span)),
            (true, text) => {
                self.fault(scalar.span, format!("`{name}` is `true` or `false`, not `{}`", shown(text)));
                None
            }
            (false, _) => {
                let message = format!("`{name}` is `true` or `false`, and this is a text");
                self.fault_help(scalar.span, message, "write it without quotes");
                None
            }
        }
    }

    /// A whole number.
    pub(crate) fn count(
        &mut self,
        node: Option<&Arc<Node>>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Spanned<u64>> {
        let (least, most) = (*range.start(), *range.end());
        let scalar = self.scalar(node?, name, "a whole number")?;
        let text = &scalar.text;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let rule = format!("`{name}` is a whole number from {least} to {most}");
        let help = match (scalar.plain, digits) {
            (false, true) => "write it without quotes",
            (true, true) if text.len() > 1 && text.starts_with('0') => {
                "write it without the leading zeros: some readers of YAML take such a number as an octal one"
            }
            (true, true) => match text.parse() {
                Ok(number) if range.contains(&number) => return Some(Spanned::new(number, scalar.span)),
                _ => "choose a number in this range",
            },
            _ => "write it in digits alone, for example `3`",
        };
        self.fault_help(scalar.span, format!("{rule}, not `{}`", shown(text)), help);
        None
    }

    /// A number of bytes in a range.
    pub(crate) fn bytes(
        &mut self,
        node: Option<&Arc<Node>>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Spanned<u64>> {
        let scalar = self.scalar(node?, name, "a size, for example `64MiB`")?;
        match quantity::bytes(&scalar.text) {
            Ok(bytes) if range.contains(&bytes) => Some(Spanned::new(bytes, scalar.span)),
            Ok(_) => {
                let (least, most) = (quantity::show_bytes(*range.start()), quantity::show_bytes(*range.end()));
                self.fault(scalar.span, format!("`{name}` is {least} to {most}, not `{}`", shown(&scalar.text)));
                None
            }
            Err(_) => {
                let message = format!("`{name}` is a size, not `{}`", shown(&scalar.text));
                self.fault_help(scalar.span, message, "a number, or one with KiB, MiB or GiB: `64MiB`");
                None
            }
        }
    }

    /// A length of time in milliseconds, in a range.
    pub(crate) fn millis(
        &mut self,
        node: Option<&Arc<Node>>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Spanned<u64>> {
        let scalar = self.scalar(node?, name, "a length of time, for example `500ms`")?;
        let time = quantity::time(&scalar.text).ok().and_then(|time| u64::try_from(time.as_millis()).ok());
        match time {
            Some(time) if range.contains(&time) => Some(Spanned::new(time, scalar.span)),
            Some(_) => {
                let (least, most) = (quantity::show_millis(*range.start()), quantity::show_millis(*range.end()));
                self.fault(scalar.span, format!("`{name}` is {least} to {most}, not `{}`", shown(&scalar.text)));
                None
            }
            None => {
                let message = format!("`{name}` is a length of time, not `{}`", shown(&scalar.text));
                self.fault_help(scalar.span, message, "a whole number with ms, s, m, h or d: `500ms`, `5s`");
                None
            }
        }
    }

    /// One of these texts.
    pub(crate) fn one_of(
        &mut self,
        node: Option<&Arc<Node>>,
        name: &str,
        choices: &[&'static str],
    ) -> Option<Spanned<&'static str>> {
        let text = self.text(node, name)?;
        if let Some(choice) = choices.iter().find(|choice| **choice == text.value) {
            return Some(Spanned::new(*choice, text.span));
        }
        let message = format!("`{name}` is {}, not `{}`", either(choices.iter().copied()), shown(text.value));
        match suggest(text.value, choices.iter().copied()) {
            Some(meant) => self.fault_help(text.span, message, format!("did you mean `{meant}`?")),
            None => self.fault(text.span, message),
        }
        None
    }

    /// A name of the lattice.
    pub(crate) fn name(&mut self, node: Option<&Arc<Node>>, name: &str) -> Option<Spanned<Name>> {
        let text = self.text(node, name)?;
        self.parsed(text, |text| {
            let lower: Option<Name> = text.to_lowercase().replace([' ', '.', '/', ':'], "-").parse().ok();
            lower.map(|lower| format!("for example `{lower}`"))
        })
    }

    /// The name of a link.
    pub(crate) fn link_name(&mut self, node: Option<&Arc<Node>>, name: &str) -> Option<Spanned<LinkName>> {
        let text = self.text(node, name)?;
        self.parsed(text, |_| None)
    }

    /// A package or an interface.
    pub(crate) fn interface(&mut self, node: &Arc<Node>) -> Option<Spanned<InterfacePattern>> {
        if matches!(node.kind, Kind::Map(_)) {
            self.fault_help(
                node.span,
                "an interface is a text, not a map",
                "write it in quotes: `[ \"wasi:keyvalue\" ]`",
            );
            return None;
        }
        let text = self.text(Some(node), "interfaces")?;
        self.parsed(text, |_| Some("for example `wasi:keyvalue`, or `wasi:keyvalue/store` alone".into()))
    }

    fn parsed<T: FromStr<Err = mesh_lattice::name::BadName>>(
        &mut self,
        text: Spanned<&str>,
        help: impl Fn(&str) -> Option<String>,
    ) -> Option<Spanned<T>> {
        match text.value.parse() {
            Ok(value) => Some(Spanned::new(value, text.span)),
            Err(bad) => {
                let message = format!("`{}` is not {}: {}", shown(text.value), bad.what, bad.grammar);
                match help(text.value) {
                    Some(help) => self.fault_help(text.span, message, help),
                    None => self.fault(text.span, message),
                }
                None
            }
        }
    }

    /// Labels of hosts.
    pub(crate) fn labels(&mut self, node: Option<&Arc<Node>>, name: &str) -> Labels {
        let mut labels = Labels::new();
        for (key, value) in self.pairs(node, name) {
            match (key.value.parse(), value.value.parse()) {
                (Ok(key), Ok(value)) => _ = labels.insert(key, value),
                (Err(bad), _) => {
                    self.fault(key.span, format!("`{}` is not {}: {}", shown(key.value), bad.what, bad.grammar))
                }
                (_, Err(bad)) => {
                    self.fault(value.span, format!("`{}` is not {}: {}", shown(value.value), bad.what, bad.grammar));
                }
            }
        }
        labels
    }

    /// A configuration: a map, or a list of maps and of `@name`, later ones win.
    pub(crate) fn config(&mut self, node: Option<&Arc<Node>>, name: &str) -> Vec<Spanned<ConfigPart>> {
        let Some(node) = node else { return Vec::new() };
        match &node.kind {
            Kind::List(items) => items.iter().filter_map(|item| self.config_part(item, name)).collect(),
            Kind::Scalar(Scalar { text, .. }) if text.starts_with('@') => {
                self.fault_help(
                    node.span,
                    format!("`{name}` is a map, or a list of maps and shared configurations"),
                    format!("write `[ \"{}\" ]`", shown(text)),
                );
                Vec::new()
            }
            _ => self.values(node, name).into_iter().collect(),
        }
    }

    fn config_part(&mut self, node: &Arc<Node>, name: &str) -> Option<Spanned<ConfigPart>> {
        let Some(text) = node.text() else { return self.values(node, name) };
        let Some(shared) = text.strip_prefix('@') else {
            self.fault_help(
                node.span,
                format!(
                    "a part of `{name}` is a map or `@` and the name of a shared configuration, not `{}`",
                    shown(text)
                ),
                "for example `[ \"@shared\", { greeting: hello } ]`",
            );
            return None;
        };
        let shared = self.parsed(Spanned::new(shared, node.span), |_| None)?;
        Some(Spanned::new(ConfigPart::Shared(shared.value), node.span))
    }

    /// The values of a configuration.
    pub(crate) fn values(&mut self, node: &Arc<Node>, name: &str) -> Option<Spanned<ConfigPart>> {
        let mut values = Values::new();
        for (key, value) in self.pairs(Some(node), name) {
            if key.value.is_empty() || key.value.contains(char::is_control) {
                self.fault(key.span, "the key of a configuration is a text without control characters");
            } else if value.value.len() > MAX_VALUE {
                self.fault(value.span, format!("a value of a configuration has at most {MAX_VALUE} bytes"));
            } else {
                values.insert(key.value.to_owned(), value.value.to_owned());
            }
        }
        (!values.is_empty()).then(|| Spanned::new(ConfigPart::Values(values), node.span))
    }

    /// A map of texts by texts, as they are written.
    pub(crate) fn pairs<'n>(
        &mut self,
        node: Option<&'n Arc<Node>>,
        name: &str,
    ) -> Vec<(Spanned<&'n str>, Spanned<&'n str>)> {
        let Some(node) = node else { return Vec::new() };
        let Kind::Map(entries) = &node.kind else {
            if matches!(node.kind, Kind::Unfilled) {
                return Vec::new();
            }
            let help =
                if matches!(node.kind, Kind::Null) { "leave it out, or write `{}`" } else { "write `{ key: value }`" };
            self.fault_help(node.span, format!("`{name}` is a map of texts, not {}", node.what()), help);
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(entries.len());
        for Entry { key, value } in entries {
            match &value.kind {
                Kind::Scalar(scalar) => {
                    pairs.push((
                        Spanned::new(key.value.as_str(), key.span),
                        Spanned::new(scalar.text.as_str(), value.span),
                    ));
                }
                Kind::Unfilled => {}
                Kind::Null => {
                    let message = format!("`{}` in `{name}` has no value", shown(&key.value));
                    self.fault_help(key.span, message, "write `\"\"` for an empty text, or leave it out");
                }
                _ => {
                    let message = format!("`{}` in `{name}` is a text, not {}", shown(&key.value), value.what());
                    self.fault_help(
                        value.span,
                        message,
                        "write it as one text: what reads the configuration takes it apart",
                    );
                }
            }
        }
        pairs
    }

    /// A number that the caller has a range for, and what it is for people.
    fn scalar<'n>(&mut self, node: &'n Arc<Node>, name: &str, wanted: &str) -> Option<Spanned<&'n Scalar>> {
        match &node.kind {
            Kind::Scalar(scalar) => Some(Spanned::new(scalar, node.span)),
            Kind::Null => {
                self.fault_help(node.span, format!("`{name}` has no value"), format!("it is {wanted}"));
                None
            }
            Kind::Unfilled => None,
            _ => {
                self.fault(node.span, format!("`{name}` is {wanted}, not {}", node.what()));
                None
            }
        }
    }
}

impl<'n> Spanned<&'n Scalar> {
    fn map<T>(self, of: impl FnOnce(&'n Scalar) -> T) -> Spanned<T> {
        Spanned::new(of(self.value), self.span)
    }
}
