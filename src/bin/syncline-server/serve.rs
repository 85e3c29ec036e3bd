//! `serve`: a [`Server`] around a store. Says when it is ready, and drains on SIGTERM or SIGINT.

use crate::arguments::{Argument, Arguments, Failure, unknown};
use crate::logging;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use syncline::net::{Server, ServerOptions};
use syncline::store::{
    DocumentStore, DocumentStoreOptions, MemoryStore, SqliteOptions, SqliteStore, Store, StoreError,
};

pub const USAGE: &str = "\
Usage: syncline-server serve [--listen ADDR:PORT] [--store PATH|memory] [--gzip] [--log LEVEL]

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

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    host: String,
    port: u16,
    /// `None`: memory.
    store: Option<String>,
    log: log::LevelFilter,
}

/// Serves until a signal comes.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = parse(arguments)?;
    logging::start(settings.log);
    serve(&settings).map_err(Failure::Failed)
}

fn serve(settings: &Settings) -> Result<(), String> {
    // Before anything else: a signal that comes early must not kill a server that is starting.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("no event loop: {error}"))?;
    let signals = Signals::listen(&runtime).map_err(|error| format!("no signals: {error}"))?;

    let backend =
        open_store(settings.store.as_deref()).map_err(|error| format!("store: {error}"))?;
    let store = Arc::new(DocumentStore::new(backend, DocumentStoreOptions::default()));
    let options = ServerOptions {
        host: settings.host.clone(),
        port: settings.port,
        ..ServerOptions::default()
    };
    let server = Server::new(options, Some(store.clone()));
    let address = server.start().map_err(|error| {
        format!(
            "cannot listen on {}:{}: {error}",
            settings.host, settings.port
        )
    })?;
    let place = settings.store.as_deref().unwrap_or("memory");
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

fn parse(mut arguments: Arguments) -> Result<Settings, Failure> {
    let mut settings = Settings {
        host: "127.0.0.1".to_owned(),
        port: 8080,
        store: None,
        log: log::LevelFilter::Info,
    };
    while let Some(argument) = arguments.next()? {
        let Argument::Flag(flag) = &argument else {
            return Err(unknown(&argument));
        };
        match flag.as_str() {
            "--listen" => {
                let address = parse_address(&arguments.value()?);
                (settings.host, settings.port) = address.map_err(Failure::Usage)?;
            }
            "--store" => {
                settings.store = Some(arguments.value()?).filter(|store| store != "memory")
            }
            "--log" => settings.log = arguments.parsed()?,
            "--gzip" => {}
            _ => return Err(unknown(&argument)),
        }
    }
    Ok(settings)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Settings, Failure> {
        let words = words.iter().map(|word| (*word).to_owned());
        parse(Arguments::new(words.collect()))
    }

    #[test]
    fn arguments_are_read() {
        let expected = Settings {
            host: "::1".to_owned(),
            port: 0,
            store: Some("a b".to_owned()),
            log: log::LevelFilter::Debug,
        };
        let separate = [
            "--listen", "[::1]:0", "--store", "a b", "--gzip", "--log", "debug",
        ];
        assert_eq!(parsed(&separate), Ok(expected));
        let joined = parsed(&["--listen=localhost:9", "--store=memory"]).unwrap();
        assert_eq!((joined.host.as_str(), joined.port), ("localhost", 9));
        assert_eq!(joined.store, None);
        assert_eq!(parsed(&["--help"]), Err(Failure::Help));
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
            assert!(
                matches!(parsed(arguments), Err(Failure::Usage(_))),
                "{arguments:?}"
            );
        }
    }
}
