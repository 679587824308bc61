//! What is wrong with a document, each with its place, and how people see it.

use std::{fmt, sync::Arc};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, NamedSource, SourceCode};
use serde::Serialize;

use crate::source::{Source, Span};

/// More than this is no help to anybody, and keeps a document that is wrong everywhere from being multiplied.
const MAX_FAULTS: usize = 100;
/// Bytes of a text that are shown around a fault: a document of one endless line is not.
const MAX_EXCERPT: usize = 4_096;
/// Columns that a report takes.
const WIDTH: usize = 110;

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    message: String,
    help: Option<String>,
    place: Option<(Arc<Source>, Span)>,
    /// Another place of the same text that belongs to it, and what it is.
    other: Option<(Span, &'static str)>,
}

impl Fault {
    /// Something that is wrong with no place in a text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, place: None, other: None }
    }

    /// Something that is wrong at a place.
    pub fn at(source: &Arc<Source>, span: Span, message: impl Into<String>) -> Self {
        Self { place: Some((Arc::clone(source), span)), ..Self::new(message) }
    }

    /// What the person can write instead.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same, where there is something to say.
    #[must_use]
    pub fn maybe_help(self, help: Option<String>) -> Self {
        Self { help: help.or(self.help), ..self }
    }

    /// Another place that belongs to it.
    #[must_use]
    pub fn other(self, span: Span, what: &'static str) -> Self {
        Self { other: Some((span, what)), ..self }
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// File, line and column, where it has a place.
    #[must_use]
    pub fn position(&self) -> Option<(&str, usize, usize)> {
        let (source, span) = self.place.as_ref()?;
        let (line, column) = source.position(span.start);
        Some((source.file(), line, column))
    }

    /// The text that it is about.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let (source, span) = self.place.as_ref()?;
        source.text().get(span.start..span.end)
    }
}

/// `file:line:column: message`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line, column)) = self.position() {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            file: Option<&'a str>,
            line: Option<usize>,
            column: Option<usize>,
            message: &'a str,
            help: Option<&'a str>,
        }
        let position = self.position();
        let view = View {
            file: position.map(|(file, ..)| file),
            line: position.map(|(_, line, _)| line),
            column: position.map(|(.., column)| column),
            message: &self.message,
            help: self.help.as_deref(),
        };
        view.serialize(serializer)
    }
}

/// All that is wrong.
#[derive(Debug, Clone, Default, Serialize, thiserror::Error)]
#[error("{}", self.summary())]
#[serde(transparent)]
pub struct Faults {
    all: Vec<Fault>,
    #[serde(skip)]
    more: usize,
}

impl Faults {
    /// One more.
    pub fn push(&mut self, fault: Fault) {
        if self.all.len() < MAX_FAULTS { self.all.push(fault) } else { self.more += 1 }
    }

    /// Those of somebody else too.
    pub fn extend(&mut self, others: Self) {
        others.all.into_iter().for_each(|fault| self.push(fault));
        self.more += others.more;
    }

    /// One more, of which nothing is kept.
    pub(crate) fn count_one(&mut self) {
        self.more += 1;
    }

    /// Whether one more would only be counted.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= MAX_FAULTS
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len() + self.more
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those that are kept: the first hundred.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.all.iter()
    }

    /// `value` where nothing is wrong.
    ///
    /// # Errors
    ///
    /// All that is wrong, text by text from the top; what has no place comes last.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self.sorted()) }
    }

    /// The same, text by text from the top; what has no place comes last.
    pub(crate) fn sorted(mut self) -> Self {
        let mut sources: Vec<Arc<Source>> = Vec::new();
        for (source, _) in self.all.iter().filter_map(|fault| fault.place.as_ref()) {
            if !sources.iter().any(|known| Arc::ptr_eq(known, source)) {
                sources.push(Arc::clone(source));
            }
        }
        self.all.sort_by_key(|fault| match &fault.place {
            Some((source, span)) => (sources.iter().position(|known| Arc::ptr_eq(known, source)), span.start),
            None => (Some(sources.len()), 0),
        });
        self
    }

    /// Each fault with its line and a mark below what is wrong, for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(WIDTH)
            .with_wrap_lines(false)
            .with_context_lines(1)
            .with_links(false)
            .without_syntax_highlighting();
        let mut out = String::new();
        for fault in &self.all {
            let mut report = String::new();
            if handler.render_report(&mut report, &Shown::of(fault)).is_err() {
                report = format!("{fault}\n");
            }
            out.push_str(report.trim_start_matches('\n'));
            out.push('\n');
        }
        if self.more > 0 {
            out.push_str(&format!("and {} more\n", self.more));
        }
        out
    }

    fn summary(&self) -> String {
        match self.all.as_slice() {
            [] => "nothing is wrong".to_owned(),
            [one] if self.more == 0 => one.to_string(),
            [first, ..] => format!("{first} (and {} more)", self.len() - 1),
        }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self { all: vec![fault], more: 0 }
    }
}

/// A fault as the library that draws it wants it: of its source, the lines around it alone. The whole text would be
/// searched from its start for each fault.
#[derive(Debug)]
struct Shown<'a> {
    fault: &'a Fault,
    source: Option<NamedSource<Excerpt>>,
    shift: usize,
    labels: Vec<(Span, &'static str)>,
}

impl<'a> Shown<'a> {
    fn of(fault: &'a Fault) -> Self {
        let bare = Self { fault, source: None, shift: 0, labels: Vec::new() };
        let Some((source, span)) = &fault.place else { return bare };
        let text = source.text();
        let line_start = |at: usize| text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let line_end = |at: usize| text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| at + end);
        // What reaches over several lines is marked on its first.
        let marked = |span: Span| Span { start: span.start, end: span.end.min(line_end(span.start)).max(span.start) };
        let labels: Vec<(Span, &'static str)> = std::iter::once((marked(*span), "here"))
            .chain(fault.other.map(|(span, what)| (marked(span), what)))
            .collect();
        let from = labels.iter().map(|(span, _)| span.start).min().unwrap_or_default();
        let to = labels.iter().map(|(span, _)| span.end).max().unwrap_or_default();
        let start = line_start(line_start(from).saturating_sub(1));
        let end = line_end((line_end(to) + 1).min(text.len()));
        match text.get(start..end) {
            Some(lines) if lines.len() <= MAX_EXCERPT => {
                let excerpt = Excerpt { text: lines.to_owned(), line: source.position(start).0 };
                Self { fault, source: Some(NamedSource::new(source.file(), excerpt)), shift: start, labels }
            }
            _ => bare,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.is_some() { f.write_str(&self.fault.message) } else { self.fault.fmt(f) }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.fault.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |(span, text): &(Span, &'static str)| {
            let start = span.start.saturating_sub(self.shift);
            LabeledSpan::new(Some((*text).to_owned()), start, span.end.saturating_sub(span.start))
        };
        self.source.as_ref()?;
        Some(Box::new(self.labels.iter().map(label)))
    }
}

/// Some lines of a text, which begin at a line of it.
#[derive(Debug)]
struct Excerpt {
    text: String,
    line: usize,
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, before, after)?;
        Ok(Box::new(miette::MietteSpanContents::new(
            contents.data(),
            *contents.span(),
            contents.line() + self.line - 1,
            contents.column(),
            contents.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_file_its_line_and_a_mark() {
        let source = Source::new("shop.yaml", ".", "one: 1\ntwo: oh\nthree: 3\n".as_bytes().to_vec());
        let fault = Fault::at(&source, (12..14).into(), "`two` is a number").help("write `two: 2`");
        assert_eq!(fault.to_string(), "shop.yaml:2:6: `two` is a number");
        assert_eq!(fault.text(), Some("oh"));
        let shown = Faults::from(fault).render(false);
        for part in ["shop.yaml:2:6", "two: oh", "here", "help: write `two: 2`", "one: 1", "three: 3"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }

    #[test]
    fn a_document_that_is_wrong_everywhere_is_shown_in_part() {
        let mut faults = Faults::default();
        (0..1_000).for_each(|n| faults.push(Fault::new(format!("fault {n}"))));
        assert_eq!((faults.len(), faults.iter().count()), (1_000, MAX_FAULTS));
        assert!(faults.render(false).ends_with("and 900 more\n"));
    }
}
