//! Lines of actors as programs read them, and as people do.

use std::collections::BTreeMap;

use mesh_lattice::{
    HostId,
    logs::{LogLine, LogSource},
};
use serde::Serialize;

use crate::{
    output::{Output, Table},
    time,
};

/// One line of one host.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// Milliseconds since 1970, on the clock of its host.
    at: u64,
    host: HostId,
    source: LogSource,
    #[serde(skip_serializing_if = "String::is_empty")]
    context: String,
    line: String,
    /// Lines of this host that were lost just before this one.
    dropped: u64,
}

impl Shown {
    pub(super) fn new(host: &HostId, line: LogLine, dropped: u64) -> Self {
        let LogLine { at, source, context, text, .. } = line;
        Self { at, host: host.clone(), source, context, line: text, dropped }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }
}

/// How lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// There is nothing more.
    Whole,
    /// The first of a list that goes on.
    First,
    /// What came since.
    More,
}

pub(super) fn show(lines: &[Shown], hosts: &BTreeMap<HostId, String>, part: Part, out: &Output) -> anyhow::Result<()> {
    let rows = || table(lines, hosts, part != Part::More);
    match part {
        Part::Whole => out.show(&lines, rows),
        Part::First | Part::More if lines.is_empty() => Ok(()),
        Part::First | Part::More => out.show_more(lines, rows),
    }
}

fn table(lines: &[Shown], hosts: &BTreeMap<HostId, String>, titles: bool) -> Table {
    let mut table = Table::new(["TIME", "HOST", "SOURCE", "LINE"]);
    let mut rows = 0;
    let mut row = |cells: [String; 4]| {
        table.row(cells);
        rows += 1;
    };
    for shown in lines {
        let host = hosts.get(&shown.host).filter(|name| !name.is_empty());
        let (at, host) = (moment(shown.at), host.cloned().unwrap_or_else(|| shown.host.to_string()));
        if shown.dropped > 0 {
            let lost = match shown.dropped {
                1 => "(1 line dropped)".to_owned(),
                lost => format!("({lost} lines dropped)"),
            };
            row([at.clone(), host.clone(), "-".to_owned(), lost]);
        }
        let text = shown.line.replace('\t', "    ");
        let line = match shown.context.as_str() {
            "" => text,
            context => format!("[{context}] {text}"),
        };
        row([at, host, shown.source.as_str().to_owned(), line]);
    }
    table.only(&vec![true; rows], titles)
}

/// A moment with its milliseconds.
fn moment(milliseconds: u64) -> String {
    let seconds = time::utc(milliseconds / 1_000);
    format!("{}.{:03}", seconds.trim_end_matches(" UTC"), milliseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_their_milliseconds() {
        assert_eq!(moment(951_782_399_007), "2000-02-28 23:59:59.007");
    }
}
