//! One file for each noun or verb. A command is parse → one client call → render.

pub(crate) mod claims;
pub(crate) mod completion;
pub(crate) mod down;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod up;
pub(crate) mod version;

use crate::{
    cli::{Cli, Command},
    output::Output,
};

/// Runs what was typed.
pub(crate) fn run(cli: Cli, out: &Output) -> anyhow::Result<()> {
    match cli.command {
        Command::Up(command) => command.run(&cli.global, out),
        Command::Down(command) => command.run(out),
        Command::Hold(command) => match command.run()? {},
        Command::Keys(command) => command.run(out),
        Command::Claims(command) => command.run(out),
        Command::Inspect(command) => command.run(out),
        Command::Version(command) => command.run(out),
        Command::Completion(command) => command.run(out),
    }
}
