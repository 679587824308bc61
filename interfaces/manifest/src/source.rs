//! Texts and places in them.
//!
//! A place is a range of bytes of one text; the line and the column that a person counts are computed where they are
//! shown.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A document's text and where it came from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    file: String,
    folder: PathBuf,
    bytes: Vec<u8>,
}

impl Source {
    /// The text of `file`, as people are shown it; paths in it start at `folder`.
    pub fn new(file: impl Into<String>, folder: impl Into<PathBuf>, bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { file: file.into(), folder: folder.into(), bytes })
    }

    /// What people know it by.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where its relative paths start.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it says, as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its text, up to the first byte that is no text.
    #[must_use]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => text,
            Err(error) => {
                self.bytes.get(..error.valid_up_to()).map_or("", |good| std::str::from_utf8(good).unwrap_or(""))
            }
        }
    }

    /// Line and column of a byte, both from 1; columns are characters.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.bytes.get(..offset.min(self.bytes.len())).unwrap_or_default();
        let lines = before.split(|byte| *byte == b'\n');
        let last = lines.clone().next_back().unwrap_or_default();
        (lines.count(), String::from_utf8_lossy(last).chars().count() + 1)
    }
}

/// A range of bytes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The first byte behind it.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and the place that says it. Two are equal where their values are: the same thing can be written in two
/// places.
#[derive(Debug, Clone, Default)]
pub struct Spanned<T> {
    /// What is said.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_as_people_count_them() {
        let source = Source::new("a.yaml", ".", "a: 1\nbé: 2\n".as_bytes().to_vec());
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(3), (1, 4));
        assert_eq!(source.position(5), (2, 1));
        assert_eq!(source.position(8), (2, 3), "é is one column");
        assert_eq!(source.position(999), (3, 1));
    }

    #[test]
    fn what_is_no_text_ends_it() {
        let source = Source::new("a.yaml", ".", b"a: \xff".to_vec());
        assert_eq!(source.text(), "a: ");
    }
}
