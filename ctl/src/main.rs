//! meshctl: a lattice from a terminal.

use std::process::ExitCode;

mod admission;
mod artifact;
mod cli;
mod client;
mod commands;
mod context;
mod difference;
mod effect;
mod exit;
mod lattice;
mod manifest;
mod output;
mod registry;
mod replacement;
mod seed;
mod templates;
mod time;
mod values;
mod wave;

fn main() -> ExitCode {
    let cli = match cli::Cli::read() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let out = output::Output::new(&cli.global);
    match commands::run(cli, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => out.fail(&error),
    }
}
