//! Reads arguments, starts, waits for a signal.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use folkmoot::VERSION;
use folkmoot::edge::settings::Source;
use folkmoot::edge::{archive, cli, end, serve};
use folkmoot::load::{self, Load};

/// A federated chat server: IRC for people, a self-healing mesh between servers.
#[derive(Parser)]
#[command(name = "folkmoot", version = VERSION, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server (also without any command)
    Serve(Serve),
    /// Say every fault of the settings
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// List the servers on this LAN
    Discover {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        /// The UDP port that the servers use
        #[arg(long, default_value_t = 6900, value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
    },
    /// Print a join code for the server that runs on this data directory
    Invite {
        #[command(flatten)]
        place: Place,
    },
    /// Give the network of the server that runs on this data directory a new secret, on all its servers
    RotateSecret {
        #[command(flatten)]
        place: Place,
    },
    /// Write all that the server on this data directory keeps into a new file; it may run meanwhile
    Export {
        #[command(flatten)]
        place: Place,
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// Add what an export holds to what the stopped server on this data directory keeps
    Import {
        #[command(flatten)]
        place: Place,
        /// Import the rest where lines are at fault, instead of nothing
        #[arg(long)]
        despite_faults: bool,
        file: PathBuf,
    },
    /// Make a password hash for the settings
    HashPassword,
    /// Put load on any IRC server, check that no line is lost, and say what it cost
    #[command(subcommand)]
    Load(Load),
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// Join the network that this code is from; `folkmoot invite` prints one
    #[arg(long, value_name = "CODE")]
    join: Option<String>,
}

#[derive(Args)]
struct Place {
    /// The settings file; without one, the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, whatever the settings say
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl From<Place> for Source {
    fn from(place: Place) -> Source {
        Source { file: place.config, data: place.data }
    }
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    cli::start_log();
    let outcome = match line.command.unwrap_or(Command::Serve(line.serve)) {
        Command::Serve(Serve { place, join }) => match serve::serve(place.into(), join.as_deref()) {
            Ok(true) => Err(end::run_again()),
            outcome => outcome.map(|_| String::new()),
        },
        Command::Check { place } => cli::check(&place.into()),
        Command::Discover { json, port } => cli::discover(port, json),
        Command::Invite { place } => cli::invite(&place.into()),
        Command::RotateSecret { place } => cli::rotate_secret(&place.into()),
        Command::Export { place, file } => archive::export(&place.into(), &file),
        Command::Import { place, despite_faults, file } => {
            archive::import(&place.into(), &file, despite_faults)
        }
        Command::HashPassword => cli::hash_password(),
        Command::Load(load) => load::run(load),
    };
    match outcome {
        Ok(text) => print(&text),
        Err(fault) => fail(&fault),
    }
}

fn print(text: &str) -> ExitCode {
    let mut output = std::io::stdout();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // Whoever closed our output does not want the rest of it.
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            fail(&format!("the output could not be written: {why}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

fn fail(fault: &str) -> ExitCode {
    eprintln!("{fault}");
    ExitCode::FAILURE
}
