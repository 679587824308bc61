//! What a person types: the global flags and the commands, as clap reads them. Each command's own flags are in its
//! file under `commands/`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use mesh_lattice::LatticeName;

use crate::{commands, time};

/// What the options of every command stand under.
const GLOBAL: &str = "Global options";

/// A lattice from a terminal: start signed actors, link them, look at what runs.
#[derive(Debug, Parser)]
#[command(name = "meshctl", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads what was typed. The global options are told of once, by `meshctl --help`: in the help of each command they
    /// would bury its own.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let matches = brief().try_get_matches()?;
        Self::from_arg_matches(&matches)
    }
}

/// The commands with their own options alone in their help.
fn brief() -> clap::Command {
    let whole = Cli::command();
    let help = whole.clone().render_help().to_string();
    let globals = help.split_once(GLOBAL).map(|(_, globals)| format!("{GLOBAL}{globals}")).unwrap_or_default();
    let command = whole.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    let command = command.mut_subcommands(point_to_globals);
    command.after_help(globals.trim_end().to_owned())
}

fn point_to_globals(command: clap::Command) -> clap::Command {
    command.mut_subcommands(point_to_globals).after_help("`meshctl --help` lists the options of every command")
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = GLOBAL)]
pub(crate) struct Global {
    /// Where NATS listens
    #[arg(short, long, value_name = "URL", env = "MESH_SERVER", global = true)]
    pub(crate) server: Option<String>,
    /// The NATS credentials
    #[arg(long, value_name = "FILE", env = "MESH_CREDS", global = true)]
    pub(crate) creds: Option<PathBuf>,
    /// The user's seed, which signs what changes anything
    #[arg(long, value_name = "FILE", env = "MESH_KEY", global = true)]
    pub(crate) key: Option<PathBuf>,
    /// The lattice [default: default]
    #[arg(short, long, value_name = "NAME", env = "MESH_LATTICE", global = true)]
    pub(crate) lattice: Option<LatticeName>,
    /// The root of the lattice's trust: its public key (O...), or a file that holds the seed
    #[arg(long, value_name = "KEY", env = "MESH_ROOT", global = true)]
    pub(crate) root: Option<String>,
    /// A context that was saved under this name, instead of the `.mesh/lattice.json` of this folder
    #[arg(long, value_name = "NAME", env = "MESH_CONTEXT", global = true)]
    pub(crate) context: Option<String>,
    /// The JetStream domain
    #[arg(long, value_name = "DOMAIN", global = true)]
    pub(crate) js_domain: Option<String>,
    /// The certificates that the server's is checked with
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The certificate to show to the server
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) tls_key: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
    /// How long one request may take
    #[arg(long, value_name = "TIME", value_parser = time::parse, default_value = "5s", global = true)]
    pub(crate) timeout: Duration,
    /// Say more on stderr
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a lattice on this machine: nats-server and hosts
    Up(commands::up::Up),
    /// Stop the lattice that `up` started; its keys and its state stay
    Down(commands::down::Down),
    #[command(hide = true)]
    Hold(crate::lattice::hold::Hold),
    /// List what is there
    Get(commands::get::Get),
    /// Show everything about one thing, and why it is in its state
    Describe(commands::describe::Describe),
    /// Want what manifests say
    Apply(commands::apply::Apply),
    /// Show what applying manifests would change, and what each change would do
    Diff(commands::apply::Diff),
    /// Look at the revisions of an application, or go back to one
    #[command(subcommand)]
    Rollout(commands::rollout::Rollout),
    /// Delete applications
    Delete(commands::delete::Delete),
    /// Keep all desired state as files, or bring it back
    #[command(subcommand)]
    State(commands::state::State),
    /// Start an actor or a provider
    #[command(subcommand)]
    Start(commands::start::Start),
    /// Stop an actor or a provider
    #[command(subcommand)]
    Stop(commands::stop::Stop),
    /// Say on how many hosts an actor runs
    #[command(subcommand)]
    Scale(commands::scale::Scale),
    /// Say who may call whom
    #[command(subcommand)]
    Link(commands::link::Link),
    /// Wait until something is as it was wanted
    Wait(commands::wait::Wait),
    /// Show what happened
    Events(commands::get::Events),
    /// Show what an actor prints and logs
    Logs(commands::logs::Logs),
    /// Show what is busy
    Top(commands::top::Top),
    /// Say where a call of SOURCE on INTERFACE goes, or why it goes nowhere
    Explain(commands::explain::Explain),
    /// Give a host no new work
    Cordon(commands::node::Cordon),
    /// Give a host work again
    Uncordon(commands::node::Uncordon),
    /// Move away what is on a host, and give it no more
    Drain(commands::node::Drain),
    /// Set and take away labels of a host
    Label(commands::node::Label),
    /// Keep lattices by name
    #[command(subcommand)]
    Context(commands::context::Context),
    /// Call a function of an actor or a provider
    Call(commands::call::Call),
    /// Keep shared configuration
    #[command(subcommand)]
    Config(commands::config::Config),
    /// Begin an actor, a provider or an application of one's own
    New(commands::new::New),
    /// Make keys
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// Sign an artifact, or show what its signature says
    #[command(subcommand)]
    Claims(commands::claims::Claims),
    /// Show an artifact: who signed it, what it imports and exports
    Inspect(commands::inspect::Inspect),
    /// Put an artifact into a registry
    Push(commands::push::Push),
    /// Get an artifact from a registry
    Pull(commands::pull::Pull),
    /// Say whom the lattice trusts
    #[command(subcommand)]
    Trust(commands::trust::Trust),
    /// Revoke a key or an artifact
    Revoke(commands::revoke::Revoke),
    /// Print the JSON Schema of manifests, for editors
    Schema(commands::schema::Schema),
    /// Print an OAM manifest in our format
    Convert(commands::convert::Convert),
    /// Look at what the lattice stands on, and say what to do
    Doctor(commands::doctor::Doctor),
    /// Print the version
    Version(commands::version::Version),
    /// Print the completion script of a shell
    Completion(commands::completion::Completion),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_options_are_told_of_once_and_understood_everywhere() {
        let mut command = brief();
        let help = command.render_help().to_string();
        assert!(help.contains("--server") && help.contains("--js-domain"), "{help}");
        command.build();
        let put = command.find_subcommand_mut("link").and_then(|link| link.find_subcommand_mut("put")).unwrap();
        let help = put.render_long_help().to_string();
        assert!(help.contains("--target-config") && !help.contains("--js-domain"), "{help}");
        assert!(help.contains("`meshctl --help`") && help.lines().count() < 40, "{help}");
        let typed = ["meshctl", "get", "hosts", "--server", "nats://a", "-o", "json"];
        let cli = Cli::from_arg_matches(&brief().try_get_matches_from(typed).unwrap()).unwrap();
        assert_eq!((cli.global.server.as_deref(), cli.global.output), (Some("nats://a"), Format::Json));
    }
}
