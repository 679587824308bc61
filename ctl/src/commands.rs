//! One file for each noun or verb. A command is parse → one client call → render.

mod affected;
pub(crate) mod apply;
pub(crate) mod call;
pub(crate) mod claims;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod convert;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod link;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod node;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod revoke;
pub(crate) mod rollout;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod version;
pub(crate) mod wait;
mod whole;

use mesh_lattice::Name;
use serde::Serialize;

use crate::{
    cli::{Cli, Command},
    client::Change,
    output::{Output, Table},
};

/// Runs what was typed.
pub(crate) fn run(cli: Cli, out: &Output) -> anyhow::Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Up(command) => command.run(global, out),
        Command::Down(command) => command.run(out),
        Command::Hold(command) => match command.run()? {},
        Command::Get(command) => command.run(global, out),
        Command::Describe(command) => command.run(global, out),
        Command::Apply(command) => command.run(global, out),
        Command::Diff(command) => command.run(global, out),
        Command::Rollout(command) => command.run(global, out),
        Command::Delete(command) => command.run(global, out),
        Command::State(command) => command.run(global, out),
        Command::Start(command) => command.run(global, out),
        Command::Stop(command) => command.run(global, out),
        Command::Scale(command) => command.run(global, out),
        Command::Link(command) => command.run(global, out),
        Command::Call(command) => command.run(global, out),
        Command::Wait(command) => command.run(global, out),
        Command::Events(command) => command.run(global, out),
        Command::Logs(command) => command.run(global, out),
        Command::Top(command) => command.run(global, out),
        Command::Explain(command) => command.run(global, out),
        Command::Cordon(command) => command.run(global, out),
        Command::Uncordon(command) => command.run(global, out),
        Command::Drain(command) => command.run(global, out),
        Command::Label(command) => command.run(global, out),
        Command::Context(command) => command.run(global, out),
        Command::Config(command) => command.run(global, out),
        Command::New(command) => command.run(out),
        Command::Keys(command) => command.run(out),
        Command::Claims(command) => command.run(global, out),
        Command::Inspect(command) => command.run(global, out),
        Command::Push(command) => command.run(global, out),
        Command::Pull(command) => command.run(global, out),
        Command::Trust(command) => command.run(global, out),
        Command::Revoke(command) => command.run(global, out),
        Command::Schema(command) => command.run(out),
        Command::Convert(command) => command.run(out),
        Command::Doctor(command) => command.run(global, out),
        Command::Version(command) => command.run(out),
        Command::Completion(command) => command.run(out),
    }
}

/// What a change of an application came to.
fn done(out: &Output, kind: &str, name: &Name, app: &Name, change: Change) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Done<'a> {
        kind: &'a str,
        name: &'a Name,
        app: &'a Name,
        result: Change,
    }
    let done = Done { kind, name, app, result: change };
    out.show(&done, || Table::of_line(format!("{kind} {name} {}", change.word())))
}

/// What a change of anything else came to.
fn done_plain(out: &Output, kind: &str, name: &str, change: Change) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Done<'a> {
        kind: &'a str,
        name: &'a str,
        result: Change,
    }
    let done = Done { kind, name, result: change };
    out.show(&done, || Table::of_line(format!("{kind} {name} {}", change.word())))
}
