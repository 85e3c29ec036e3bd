//! `serve`: a [`Server`] around a store. Says when it is ready, and drains on SIGTERM or SIGINT.

use crate::arguments::{Arguments, Failure};
use crate::logging;
use crate::settings::Settings;
use crate::token::read_secrets;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use syncline::net::{Server, TlsIdentity, TokenAuthorizer};
use syncline::store::{
    DocumentStore, DocumentStoreOptions, MemoryStore, SqliteOptions, SqliteStore, Store, StoreError,
};

pub const USAGE: &str = "\
Usage: syncline-server serve [--config PATH] [--listen ADDR:PORT] [--store PATH|memory] [OPTIONS]

Serves documents over WebSocket, on any path. A GET of /, /healthz or /metrics shows how it does.

  --config PATH           a TOML file; its keys are the options below, with _ for -, those of
                          --limits-NAME as NAME in the section [limits]
  --listen ADDR:PORT      where to listen (default 127.0.0.1:8080; port 0: any free one)
  --store PATH            the SQLite file of the documents, made if it is missing
  --store memory          keep documents in memory only (default)
  --tls-certificate PATH  PEM: the certificate and those that signed it; read again on SIGHUP
  --tls-key PATH          PEM: its private key
  --token-secrets PATH    let in only who shows a token (see `syncline-server token`) signed with
                          a line of this file; read again on SIGHUP
  --admin-token PATH      file with the token that the pages ask for
  --drain-ms MS           how long clients are sent away before the end (default 10000)
  --log LEVEL             off, error, warn, info (default), debug or trace; to standard error
  --log-format FORMAT     text (default) or json
  --gzip                  accepted for symmetry with clients: compressed clients are always
                          recognised by their first message and answered in kind

  --worker-threads --connections-max --rooms-max --room-idle-ms --message-bytes-max
  --outbound-bytes-max --header-bytes-max --handshake-timeout-ms --client-timeout-ms
  --limits-address-connections-max --limits-address-accepts-per-s --limits-limit-loopback
  --limits-connection-rooms-max --limits-room-connections-max --limits-updates-per-s
  --limits-updates-burst --limits-bytes-per-s --limits-bytes-burst
                          see docs/deploy.md; 0 means no limit for those of --limits

  --help                  print this
  --version               print the version

Prints one line to standard output when it is ready. SIGTERM and SIGINT drain: not ready any
more, clients sent away (close code 1012) spread over --drain-ms, everything stored, exit code 0.
A second signal ends at once.
";

/// How long the end may take after the drain.
const STOP: Duration = Duration::from_secs(10);
/// How often a drain looks whether everybody has gone.
const DRAIN_PERIOD: Duration = Duration::from_millis(50);

/// Serves until a signal comes.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = Settings::read(arguments)?;
    logging::start(settings.log, settings.log_format);
    serve(settings).map_err(Failure::Failed)
}

fn serve(mut settings: Settings) -> Result<(), String> {
    // Before anything else: a signal that comes early must not kill a server that is starting.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("no event loop: {error}"))?;
    let signals = Signals::listen(&runtime).map_err(|error| format!("no signals: {error}"))?;

    let identity = identity(&settings)?;
    settings.options.tls.clone_from(&identity);
    settings.options.admin_token = admin_token(&settings)?;
    let authorizer = authorizer(&settings)?;
    let backend =
        open_store(settings.store.as_deref()).map_err(|error| format!("store: {error}"))?;
    let store = Arc::new(DocumentStore::new(backend, DocumentStoreOptions::default()));
    let server = Server::new(settings.options.clone(), Some(store.clone()));
    server.set_authorizer(authorizer.map(|authorizer| authorizer as _));
    let address = server.start().map_err(|error| {
        let (host, port) = (&settings.options.host, settings.options.port);
        format!("cannot listen on {host}:{port}: {error}")
    })?;
    let scheme = if identity.is_some() { "wss" } else { "ws" };
    let place = settings.store.as_deref().unwrap_or("memory");
    let mut output = std::io::stdout();
    let ready = writeln!(
        output,
        "syncline-server ready on {scheme}://{address} store={place}"
    )
    .and_then(|()| output.flush());
    if let Err(error) = ready {
        log::warn!("nobody reads standard output: {error}");
    }
    let reload = || {
        if let Err(error) = reload(&settings, identity.as_deref(), &server) {
            log::error!("nothing changed: {error}");
        }
    };
    let told = runtime.block_on(until_told(signals, &server, settings.drain, reload));
    finish(server, &store, told)
}

/// Waits for the first signal, drains, and returns how long the stop may take.
async fn until_told(
    mut signals: Signals,
    server: &Server,
    drain: Duration,
    reload: impl Fn(),
) -> Duration {
    loop {
        match signals.next().await {
            Signal::Reload => reload(),
            Signal::End(name) => {
                log::info!("{name}: draining");
                break;
            }
        }
    }
    server.drain(drain);
    let gone = async {
        while !server.is_drained() {
            tokio::time::sleep(DRAIN_PERIOD).await;
        }
    };
    let ended = async {
        loop {
            if let Signal::End(name) = signals.next().await {
                return name;
            }
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(drain, gone) => STOP,
        name = ended => {
            log::warn!("{name}: ending at once");
            Duration::ZERO
        }
    }
}

fn finish(server: Server, store: &DocumentStore, patience: Duration) -> Result<(), String> {
    let stats = server.stats();
    let stopped = server.stop(patience);
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
        .and(store.close(STOP))
        .map_err(|error| format!("not everything is stored: {error}"))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

fn identity(settings: &Settings) -> Result<Option<Arc<TlsIdentity>>, String> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let identity = TlsIdentity::from_pem(&read(certificate)?, &read(key)?);
    identity
        .map(Some)
        .map_err(|error| format!("{certificate}, {key}: {error}"))
}

fn authorizer(settings: &Settings) -> Result<Option<Arc<TokenAuthorizer>>, String> {
    let Some(path) = &settings.token_secrets else {
        return Ok(None);
    };
    let authorizer = TokenAuthorizer::new(read_secrets(path)?);
    authorizer
        .map(|authorizer| Some(Arc::new(authorizer)))
        .map_err(|error| format!("{path}: {error}"))
}

fn admin_token(settings: &Settings) -> Result<Option<String>, String> {
    let Some(path) = &settings.admin_token else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    match text.trim() {
        "" => Err(format!("{path}: there is no token in it")),
        token => Ok(Some(token.to_owned())),
    }
}

/// Reads certificate, key and secrets again; connections that are open keep what they have.
fn reload(
    settings: &Settings,
    identity: Option<&TlsIdentity>,
    server: &Server,
) -> Result<(), String> {
    let authorizer = authorizer(settings)?;
    if let (Some(identity), Some(certificate), Some(key)) =
        (identity, &settings.tls_certificate, &settings.tls_key)
    {
        let replaced = identity.replace(&read(certificate)?, &read(key)?);
        replaced.map_err(|error| format!("{certificate}, {key}: {error}"))?;
    }
    server.set_authorizer(authorizer.map(|authorizer| authorizer as _));
    log::info!("SIGHUP: certificate and secrets were read again");
    Ok(())
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

/// What the process is told.
enum Signal {
    /// Read certificate and secrets again.
    Reload,
    End(&'static str),
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen(runtime: &tokio::runtime::Runtime) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let _context = runtime.enter();
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End("SIGTERM"),
            _ = self.interrupt.recv() => Signal::End("SIGINT"),
            _ = self.hang_up.recv() => Signal::Reload,
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

    async fn next(&mut self) -> Signal {
        // Without a way to be asked it runs until it is ended.
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::End("interrupt"),
            Err(_) => std::future::pending().await,
        }
    }
}
