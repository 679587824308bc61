//! All that is printed: data on stdout, talk on stderr. No other file prints.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use mesh_manifest::Faults;
use serde::Serialize;

use crate::{
    cli::{Format, Global},
    exit,
};

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    verbose: bool,
}

/// Columns and rows. A column whose title begins with `+` is shown in the wide format alone.
#[derive(Debug, Default)]
pub(crate) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    untitled: bool,
}

impl Table {
    pub(crate) fn new(titles: impl IntoIterator<Item = &'static str>) -> Self {
        Self { titles: titles.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A table of names and values: no titles.
    pub(crate) fn of_fields(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let rows = fields.into_iter().map(|(name, value)| {
            // A line without a name belongs to the one above.
            vec![if name.is_empty() { String::new() } else { format!("{name}:") }, value]
        });
        let rows = rows.collect();
        Self { titles: vec!["", ""], rows, untitled: true }
    }

    /// One line.
    pub(crate) fn of_line(line: String) -> Self {
        Self { titles: vec![""], rows: vec![vec![line]], untitled: true }
    }

    /// The same table with some of its rows, and its titles where they have not been shown yet.
    pub(crate) fn only(mut self, wanted: &[bool], titles: bool) -> Self {
        let mut wanted = wanted.iter();
        self.rows.retain(|_| wanted.next().copied().unwrap_or(false));
        self.untitled = !titles;
        self
    }

    fn render(&self, wide: bool) -> String {
        let shown: Vec<usize> = self
            .titles
            .iter()
            .enumerate()
            .filter(|(_, title)| wide || !title.starts_with('+'))
            .map(|(n, _)| n)
            .collect();
        let titles: Vec<String> = self.titles.iter().map(|title| title.trim_start_matches('+').to_owned()).collect();
        let has_titles = !self.untitled && titles.iter().any(|title| !title.is_empty());
        let lines: Vec<&Vec<String>> = has_titles.then_some(&titles).into_iter().chain(&self.rows).collect();
        let cell = |line: &Vec<String>, column: usize| {
            line.get(column).map_or_else(String::new, |text| printable(&in_one_line(text)))
        };
        let width = |column: usize| lines.iter().map(|line| cell(line, column).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = shown.iter().map(|column| width(*column)).collect();
        let mut text = String::new();
        for line in &lines {
            let cells = shown.iter().zip(&widths).map(|(column, width)| format!("{:<width$}", cell(line, *column)));
            text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A sentence with lines of its own under it: a row has one line.
fn in_one_line(text: &str) -> String {
    text.replace("\n  ", "; ")
}

/// Text from elsewhere must not move the cursor or forge a line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { format: global.output, verbose: global.verbose }
    }

    /// Shows data: as a table to people, whole to programs.
    pub(crate) fn show<T: Serialize>(&self, value: &T, table: impl FnOnce() -> Table) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Table | Format::Wide => table().render(self.format == Format::Wide),
            Format::Json => serde_json::to_string_pretty(value).context("cannot be written as JSON")? + "\n",
            Format::Yaml => serde_saphyr::to_string(value).context("cannot be written as YAML")?,
        };
        self.text(&text)
    }

    /// Shows what is new in a list that goes on: rows to people, a line of JSON for each to programs.
    pub(crate) fn show_more<T: Serialize>(&self, values: &[T], table: impl FnOnce() -> Table) -> anyhow::Result<()> {
        if self.format != Format::Json {
            return self.show(&values, table);
        }
        let lines = values.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        self.text(&(lines.context("cannot be written as JSON")?.join("\n") + "\n"))
    }

    /// Data that has one form only.
    pub(crate) fn text(&self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Whether people read what is shown, not programs.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Data of any form, as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // Whoever read us has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("stdout cannot be written"),
        }
    }

    /// A sentence about what was done.
    pub(crate) fn say(&self, text: &str) {
        talk(text);
    }

    /// A sentence for who asked to hear more.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            talk(text);
        }
    }

    /// What of a manifest is not wrong and should be known.
    pub(crate) fn warn(&self, warnings: &Faults) {
        for warning in warnings.iter() {
            talk(&format!("warning: {warning}"));
        }
    }

    /// Says why a command failed, and how it ends.
    pub(crate) fn fail(&self, error: &anyhow::Error) -> ExitCode {
        match error.downcast_ref::<Faults>() {
            Some(faults) => talk(faults.render(false).trim_end()),
            None => talk(&format!("error: {error:#}")),
        }
        if let Some(hint) = exit::hint(error) {
            talk(&format!("hint: {hint}"));
        }
        exit::code(error)
    }
}

/// Says what is wrong with what was typed, or shows the help or the version that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render();
    let text = if io::stderr().is_terminal() { text.ansi().to_string() } else { text.to_string() };
    // What cannot be said cannot be complained about either.
    let _ = if error.use_stderr() {
        write!(io::stderr().lock(), "{}", without_seeds(&text))
    } else {
        write!(io::stdout().lock(), "{text}")
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn talk(text: &str) {
    let printable: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    let printable = without_seeds(&printable);
    // What cannot be said cannot be complained about either.
    let _ = writeln!(io::stderr().lock(), "{printable}");
}

/// Characters of a seed as nkeys write it.
const SEED: usize = 58;

/// Whatever somebody put where a name belongs: a seed is never said again.
fn without_seeds(text: &str) -> String {
    let mut said = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('S') {
        let (before, from) = rest.split_at(at);
        said.push_str(before);
        let length = from.bytes().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count();
        let (word, after) = from.split_at(length);
        said.push_str(if length >= SEED { "(a seed)" } else { word });
        rest = after;
    }
    said + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_never_said_and_a_public_key_is() {
        let pair = mesh_claims::KeyPair::generate(mesh_claims::KeyKind::Account);
        let (seed, public) = (pair.seed(), pair.public());
        let said = without_seeds(&format!("./{seed} of {public}: SAY it, {seed}"));
        assert_eq!(said, format!("./(a seed) of {public}: SAY it, (a seed)"));
    }

    #[test]
    fn columns_line_up_and_wide_ones_wait_to_be_asked_for() {
        let mut table = Table::new(["NAME", "+ID", "STATE"]);
        table.row(["counter".into(), "M1".into(), "ready".into()]);
        table.row(["a".into(), "M2".into(), "x\n\x1b[31my".into()]);
        assert_eq!(table.render(false), "NAME      STATE\ncounter   ready\na         x\u{fffd}\u{fffd}[31my\n");
        assert!(table.render(true).starts_with("NAME      ID   STATE\n"));
    }
}
