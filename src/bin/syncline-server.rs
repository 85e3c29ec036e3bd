//! The daemon: a [`Server`] around a store, started from the command line.
//!
//! A thin shell: reads the arguments, says when it is ready, and drains on SIGTERM or SIGINT.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use syncline::net::{Server, ServerOptions};
use syncline::store::{
    DocumentStore, DocumentStoreOptions, MemoryStore, SqliteOptions, SqliteStore, Store, StoreError,
};

const USAGE: &str = "\
Usage: syncline-server [--listen ADDR:PORT] [--store PATH|memory] [--gzip] [--log LEVEL]

Serves documents to crdt_socket_sync clients over WebSocket, on any path.

  --listen ADDR:PORT  where to listen (default 127.0.0.1:8080; port 0: any free one)
  --store PATH        the SQLite file of the documents, made if it is missing
  --store memory      keep documents in memory only (default)
  --gzip              accepted for symmetry with clients: compressed clients are always
                      recognised by their first message and answered in kind
  --log LEVEL         off, error, warn, info (default), debug or trace; to standard error
  --help              print this
  --version           print the version

Prints one line to standard output when it is ready. SIGTERM and SIGINT drain: no new
clients, everything stored, the connected ones told (close code 1001), exit code 0.
";

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(10);
/// Exit code for arguments that are not understood.
const EXIT_USAGE: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    host: String,
    port: u16,
    /// `None`: memory.
    store: Option<String>,
    log: log::LevelFilter,
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Serve(Arguments),
    Help,
    Version,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(Command::Serve(arguments)) => arguments,
        Ok(Command::Help) => return print(USAGE),
        Ok(Command::Version) => {
            return print(concat!("syncline-server ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Err(error) => {
            eprint!("syncline-server: {error}\n\n{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    log::set_max_level(arguments.log);
    // Only a second logger could make this fail, and there is none.
    let _ = log::set_logger(&StderrLogger);
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("syncline-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    // Before anything else: a signal that comes early must not kill a server that is starting.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("no event loop: {error}"))?;
    let signals = Signals::listen(&runtime).map_err(|error| format!("no signals: {error}"))?;

    let backend =
        open_store(arguments.store.as_deref()).map_err(|error| format!("store: {error}"))?;
    let store = Arc::new(DocumentStore::new(backend, DocumentStoreOptions::default()));
    let options = ServerOptions {
        host: arguments.host.clone(),
        port: arguments.port,
        ..ServerOptions::default()
    };
    let server = Server::new(options, Some(store.clone()));
    let address = server.start().map_err(|error| {
        format!(
            "cannot listen on {}:{}: {error}",
            arguments.host, arguments.port
        )
    })?;
    let place = arguments.store.as_deref().unwrap_or("memory");
    let mut output = std::io::stdout();
    let ready = writeln!(
        output,
        "syncline-server ready on ws://{address} store={place}"
    )
    .and_then(|()| output.flush());
    if let Err(error) = ready {
        log::warn!("nobody reads standard output: {error}");
    }

    let signal = runtime.block_on(signals.wait());
    log::info!("{signal}: draining");
    let stats = server.stats();
    let stopped = server.stop(DRAIN);
    drop(server);
    log::info!(
        "served connections={} messages_in={} bytes_in={} messages_out={} bytes_out={} changes={}",
        stats.connections_total,
        stats.messages_in,
        stats.bytes_in,
        stats.messages_out,
        stats.bytes_out,
        stats.changes_applied
    );
    stopped
        .and(store.close(DRAIN))
        .map_err(|error| format!("not everything is stored: {error}"))
}

fn open_store(path: Option<&str>) -> Result<Arc<dyn Store>, StoreError> {
    match path {
        None => Ok(Arc::new(MemoryStore::new())),
        Some(path) => Ok(Arc::new(SqliteStore::open(
            path,
            &SqliteOptions::default(),
        )?)),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut parsed = Arguments {
        host: "127.0.0.1".to_owned(),
        port: 8080,
        store: None,
        log: log::LevelFilter::Info,
    };
    while let Some(argument) = arguments.next() {
        // Both `--flag value` and `--flag=value`.
        let (flag, mut inline) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || {
            inline
                .take()
                .or_else(|| arguments.next())
                .ok_or(format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--listen" => (parsed.host, parsed.port) = parse_address(&value()?)?,
            "--store" => parsed.store = Some(value()?).filter(|store| store != "memory"),
            "--log" => {
                parsed.log = value()?
                    .parse()
                    .map_err(|_| "--log: unknown level".to_owned())?
            }
            "--gzip" => {}
            "--help" | "-h" => return Ok(Command::Help),
            "--version" | "-V" => return Ok(Command::Version),
            _ => return Err(format!("unknown argument {flag:?}")),
        }
        if inline.is_some() {
            return Err(format!("{flag} takes no value"));
        }
    }
    Ok(Command::Serve(parsed))
}

fn parse_address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("--listen needs ADDR:PORT")?;
    let port = port
        .parse()
        .map_err(|_| format!("--listen: {port:?} is no port"))?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        return Err("--listen needs ADDR:PORT".to_owned());
    }
    Ok((host.to_owned(), port))
}

fn print(text: &str) -> ExitCode {
    // Into a closed pipe: nobody is there to be told.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen(runtime: &tokio::runtime::Runtime) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let _context = runtime.enter();
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen(_runtime: &tokio::runtime::Runtime) -> std::io::Result<Self> {
        Ok(Signals)
    }

    async fn wait(self) -> &'static str {
        // Without a way to be asked it runs until it is ended.
        match tokio::signal::ctrl_c().await {
            Ok(()) => "interrupt",
            Err(_) => std::future::pending().await,
        }
    }
}

/// One line per record, to standard error.
struct StderrLogger;

impl log::Log for StderrLogger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // The WebSocket and event loop libraries are verbose; their warnings are enough.
        let own = ["server", "store", "client", "syncline"];
        let is_own = own
            .iter()
            .any(|target| metadata.target().starts_with(target));
        is_own || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!(
                "{:5} {}: {}\n",
                record.level(),
                record.target(),
                record.args()
            );
            // Nowhere to complain if standard error is gone.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments_are_read() {
        let expected = Arguments {
            host: "::1".to_owned(),
            port: 0,
            store: Some("a b".to_owned()),
            log: log::LevelFilter::Debug,
        };
        let separate = [
            "--listen", "[::1]:0", "--store", "a b", "--gzip", "--log", "debug",
        ];
        assert_eq!(parsed(&separate), Ok(Command::Serve(expected)));
        let Ok(Command::Serve(joined)) = parsed(&["--listen=localhost:9", "--store=memory"]) else {
            panic!("refused");
        };
        assert_eq!(
            (joined.host.as_str(), joined.port, joined.store),
            ("localhost", 9, None)
        );
        assert_eq!(parsed(&["--help"]), Ok(Command::Help));
        assert_eq!(parsed(&["--version"]), Ok(Command::Version));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for arguments in [
            &["--nonsense"][..],
            &["stray"],
            &["--listen"],
            &["--listen", "nowhere"],
            &["--listen", ":1"],
            &["--listen", "a:70000"],
            &["--log", "loud"],
            &["--gzip=yes"],
            &["--store"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }
}
