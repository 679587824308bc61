//! The last lines of each actor, for people who ask for them. `output` writes here what it also writes into the host's
//! log; the host answers from here.
//!
//! Whatever an actor prints, its journal holds no more than [`MAX_LINES`] lines and [`MAX_BYTES`]; what is older goes. The
//! journal of an actor outlives its instances and its revisions, and the actor itself until [`MAX_GONE`] others are gone as
//! well.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use mesh_lattice::{
    Name,
    logs::{LogLine, LogSource, MAX_PAGE},
};
use parking_lot::Mutex;

/// Lines of one actor.
const MAX_LINES: usize = 1_000;
/// Bytes of them, with what it takes to keep them.
const MAX_BYTES: usize = 256 << 10;
/// What one line takes beside its text.
const AROUND: usize = 96;
/// Actors that do not run here any more whose lines are kept.
const MAX_GONE: usize = 64;

/// The journals of one host.
#[derive(Debug, Default)]
pub struct Journals(Mutex<HashMap<Name, Arc<Journal>>>);

/// The last lines of one actor.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// The number of the next line.
    next: u64,
}

/// Some lines, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// The number to read from next.
    pub next: u64,
    /// Whether there are lines from there on.
    pub more: bool,
}

impl Journals {
    /// The journal of this actor, to write to; made where there is none.
    pub(crate) fn of(&self, actor: &Name) -> Arc<Journal> {
        let mut journals = self.0.lock();
        if let Some(journal) = journals.get(actor) {
            return Arc::clone(journal);
        }
        // Whoever runs holds its journal.
        let gone = journals.iter().filter(|(_, journal)| Arc::strong_count(journal) == 1);
        if gone.clone().count() >= MAX_GONE {
            let quietest = gone.min_by_key(|(_, journal)| journal.last_at()).map(|(name, _)| name.clone());
            quietest.map(|name| journals.remove(&name));
        }
        Arc::clone(journals.entry(actor.clone()).or_default())
    }

    /// The lines of this actor from this number on, as many as fit a page; of those that are kept, no more than the last
    /// so many. `None` where it never ran here.
    #[must_use]
    pub fn read(&self, actor: &Name, from: u64, last: Option<u32>) -> Option<Page> {
        let journal = self.0.lock().get(actor).map(Arc::clone)?;
        Some(journal.read(from, last))
    }
}

impl Journal {
    /// Writes a line, which so many others that nobody sees would have come before.
    pub(crate) fn write(&self, dropped: u64, source: LogSource, context: String, text: String) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        self.0.lock().write(dropped, LogLine { number: 0, at, source, context, text });
    }

    fn read(&self, from: u64, last: Option<u32>) -> Page {
        self.0.lock().read(from, last)
    }

    fn last_at(&self) -> u64 {
        self.0.lock().lines.back().map_or(0, |line| line.at)
    }
}

/// What a line takes.
fn size(line: &LogLine) -> usize {
    AROUND + line.context.len() + line.text.len()
}

impl Kept {
    fn write(&mut self, dropped: u64, line: LogLine) {
        let number = self.next.saturating_add(dropped);
        self.next = number.saturating_add(1);
        self.bytes += size(&line);
        self.lines.push_back(LogLine { number, ..line });
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(size(&oldest));
        }
    }

    fn read(&self, from: u64, last: Option<u32>) -> Page {
        let first = self.lines.partition_point(|line| line.number < from);
        let last = last.map_or(usize::MAX, |last| usize::try_from(last).unwrap_or(usize::MAX));
        let first = first.max(self.lines.len().saturating_sub(last));
        let mut page = Page { next: self.next, ..Page::default() };
        let mut room = MAX_PAGE;
        for line in self.lines.iter().skip(first) {
            if size(line) > room && !page.lines.is_empty() {
                (page.next, page.more) = (line.number, true);
                break;
            }
            room = room.saturating_sub(size(line));
            page.lines.push(line.clone());
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(journal: &Journal, dropped: u64, text: &str) {
        journal.write(dropped, LogSource::Stdout, String::new(), text.to_owned());
    }

    fn numbers(page: &Page) -> Vec<u64> {
        page.lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn lines_are_read_on_from_where_somebody_was() {
        let journal = Journal::default();
        assert_eq!(journal.read(0, None), Page::default());
        for text in ["a", "b", "c"] {
            write(&journal, 0, text);
        }
        assert_eq!(numbers(&journal.read(0, None)), [0, 1, 2]);
        assert_eq!(numbers(&journal.read(0, Some(2))), [1, 2]);
        assert_eq!(numbers(&journal.read(2, Some(9))), [2]);
        assert_eq!(journal.read(3, None), Page { next: 3, ..Page::default() });
        write(&journal, 12, "d");
        let page = journal.read(3, None);
        assert_eq!((numbers(&page), page.next, page.more), (vec![15], 16, false), "twelve were lost before it");
    }

    #[test]
    fn an_actor_that_prints_without_end_is_kept_within_bounds_and_read_by_pages() {
        let journal = Journal::default();
        for _ in 0..10_000 {
            write(&journal, 0, "x");
        }
        assert_eq!(journal.0.lock().lines.len(), MAX_LINES);
        for _ in 0..100 {
            write(&journal, 0, &"y".repeat(16 << 10));
        }
        let (lines, bytes) = {
            let kept = journal.0.lock();
            (kept.lines.len(), kept.bytes)
        };
        assert!(bytes <= MAX_BYTES && lines == MAX_BYTES / ((16 << 10) + AROUND), "{lines} lines, {bytes} bytes");
        let (mut from, mut read) = (0, Vec::new());
        loop {
            let page = journal.read(from, None);
            let sent: usize = page.lines.iter().map(size).sum();
            assert!(sent <= MAX_PAGE && !page.lines.is_empty(), "{sent}");
            read.extend(numbers(&page));
            from = page.next;
            if !page.more {
                break;
            }
        }
        assert_eq!((read.len(), from), (lines, 10_100));
        assert_eq!(read.last(), Some(&10_099));
    }

    #[test]
    fn who_runs_keeps_his_journal_and_of_those_who_are_gone_the_quietest_is_forgotten() {
        let journals = Journals::default();
        let name = |n: usize| -> Name { format!("actor-{n}").parse().unwrap() };
        let runs = journals.of(&name(0));
        write(&runs, 0, "first of all");
        for n in 1..=MAX_GONE {
            write(&journals.of(&name(n)), 0, "last words");
            // The clock of a test may stand still.
            journals.of(&name(n)).0.lock().lines[0].at = u64::try_from(n).unwrap();
        }
        assert!(journals.read(&name(1), 0, None).is_some());
        drop(journals.of(&name(MAX_GONE + 1)));
        assert!(journals.read(&name(1), 0, None).is_none());
        assert!(journals.read(&name(2), 0, None).is_some());
        assert_eq!(journals.read(&name(0), 0, None).unwrap().lines[0].text, "first of all");
        assert_eq!(Arc::as_ptr(&journals.of(&name(0))), Arc::as_ptr(&runs));
    }
}
