//! The fault rig as a program: one scenario, a timeline on standard error, a verdict as JSON on standard output.
//!
//! Exit codes: 0 all bounds hold; 1 one is broken; 2 it could not be set up; 130 it was interrupted. However it ends,
//! the processes, folders and network namespaces that it made are gone.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it found")]

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, anyhow};
use clap::Parser;
use mesh_tests::rig::{self, Scenario, Settings};
use tokio::signal::unix::{SignalKind, signal};

/// Breaks a lattice under load and judges what comes of it.
#[derive(Debug, Parser)]
#[command(name = "mesh-rig", version)]
struct Arguments {
    /// What happens
    scenario: Scenario,
    /// Decides the schedule; printed, and any number where nothing is said
    #[arg(long)]
    seed: Option<u64>,
    /// How often it happens
    #[arg(long)]
    rounds: Option<u32>,
    /// Requests a second (nats-restarts, partition, stop, kill); a share of the measured capacity where nothing is said
    #[arg(long)]
    rate: Option<f64>,
    /// How long it lasts, for example 90s, 10m or 2h
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// How many bytes (streams) or connections (slow)
    #[arg(long)]
    amount: Option<u64>,
}

fn duration(text: &str) -> Result<Duration> {
    let wrong = || anyhow!("{text:?} is not a time such as 90s, 10m or 2h");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.parse::<u64>().map_err(|_| wrong())?.saturating_mul(seconds)))
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    mesh_tests::slow::raise_descriptors()?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let settings = Settings {
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        rounds: arguments.rounds,
        rate: arguments.rate,
        duration: arguments.duration,
        amount: arguments.amount,
    };
    // Dropping what runs takes down what it made.
    let verdict = tokio::select! {
        verdict = rig::run(arguments.scenario, settings) => verdict,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(130)),
    };
    match verdict {
        Ok(verdict) => {
            println!("{}", serde_json::to_string_pretty(&verdict)?);
            Ok(ExitCode::from(u8::from(!verdict.pass)))
        }
        Err(error) => {
            eprintln!("seed {}: {error:#}", settings.seed);
            Ok(ExitCode::from(2))
        }
    }
}
