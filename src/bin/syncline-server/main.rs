//! The daemon and its tools: one command, a file per subcommand.
//!
//! A thin shell around the library. Each subcommand reads its own arguments; without a name of one
//! the arguments are those of `serve`.

mod arguments;
mod backup;
mod exchange;
mod inspect;
mod logging;
mod serve;
mod settings;
mod stores;
mod token;
mod verify;

use arguments::{Arguments, Failure};
use std::io::Write;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: syncline-server [serve] [OPTIONS]

  serve     serves documents over WebSocket (the default)
  inspect   says what is in a store
  verify    reads and decodes everything in a store; repairs
  backup    copies a store into a verified file
  restore   makes a store of a backup, or puts one document back
  export    writes one document into a file
  import    makes a document of such a file, or takes over a crdt_lf database
  token     makes a token for a client

  --help     print this; behind a subcommand: what it takes
  --version  print the version

Exit codes: 0 done, 1 failed, 2 arguments not understood, 3 stored data is damaged.
";

type Subcommand = fn(Arguments) -> Result<(), Failure>;

/// Name, what to print for `--help`, and what to do.
const SUBCOMMANDS: [(&str, &str, Subcommand); 8] = [
    ("serve", serve::USAGE, serve::run),
    ("inspect", inspect::USAGE, inspect::run),
    ("verify", verify::USAGE, verify::run),
    ("backup", backup::USAGE, backup::run),
    ("restore", backup::RESTORE_USAGE, backup::restore),
    ("export", exchange::EXPORT_USAGE, exchange::export),
    ("import", exchange::IMPORT_USAGE, exchange::import),
    ("token", token::USAGE, token::run),
];

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let named = words.first().filter(|word| !word.starts_with('-')).cloned();
    if let Some(name) = &named {
        words.remove(0);
        if !SUBCOMMANDS.iter().any(|(known, ..)| known == name) {
            return refuse(&format!("unknown subcommand {name:?}"), USAGE);
        }
    }
    let is_named = |known: &str| known == named.as_deref().unwrap_or("serve");
    let (_, usage, run) = SUBCOMMANDS
        .into_iter()
        .find(|(known, ..)| is_named(known))
        .expect("checked above");
    match run(Arguments::new(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Help) if named.is_none() => print(&format!("{USAGE}\n{usage}")),
        Err(Failure::Help) => print(usage),
        Err(Failure::Version) => {
            print(concat!("syncline-server ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Err(Failure::Usage(error)) => refuse(&error, usage),
        Err(Failure::Damaged) => ExitCode::from(3),
        Err(Failure::Failed(error)) => {
            eprintln!("syncline-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(error: &str, usage: &str) -> ExitCode {
    eprint!("syncline-server: {error}\n\n{usage}");
    ExitCode::from(2)
}

fn print(text: &str) -> ExitCode {
    // Into a closed pipe: nobody is there to be told.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
