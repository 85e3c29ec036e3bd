//! A client: keeps one document in step with a server, from a thread of its own.
//!
//! Layer: `net`. The object is a handle; the thread (`client_driver`) moves the frames. What others
//! ask about (status, versions) is published by the thread after each step.

use super::client_driver;
use super::client_protocol::{ClientMode, Protocol};
use super::clock::SteadyClock;
use super::dial::{check_headers, check_url};
#[cfg(feature = "tls")]
use super::tls::TlsRoots;
use crate::clock::VersionVector;
use crate::codec::Value;
use crate::document::{
    Commit, Document, DocumentObserver, LockError, ObserverId, Origin, SharedDocument,
};
use crate::replica::Replica;
use crate::sync::awareness::{PresenceEntry, PresenceError, PresenceOptions};
use crate::sync::crdt_sync::{
    ClientEvent, ClientOptions as ProtocolOptions, ClientStatus, Framing,
};
use parking_lot::{Condvar, Mutex, RwLock};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How a client works. Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `ws://host:port/anything` or `wss://`.
    pub url: String,
    /// What is spoken.
    pub mode: ClientMode,
    /// More headers of the request, as `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Whom to believe with `wss://`; `None`: the machine's trust store.
    #[cfg(feature = "tls")]
    pub tls_roots: Option<TlsRoots>,
    /// Sends gzip; both kinds are received.
    pub gzip: bool,
    /// Time for name, TCP and WebSocket upgrade.
    pub connect_timeout_ms: u32,
    /// Time from the open socket to the server's answer.
    pub handshake_timeout_ms: u32,
    /// Time between pings.
    pub ping_interval_ms: u32,
    /// Silence that means that the connection is dead.
    pub ping_timeout_ms: u32,
    /// Attempts in a row before giving up; `None`: without end, `Some(0)`: no reconnecting.
    pub reconnect_attempts_max: Option<u32>,
    /// Upper bound of the first delay before reconnecting; doubles with each attempt.
    pub reconnect_delay_ms_min: u32,
    /// Upper bound of every delay.
    pub reconnect_delay_ms_max: u32,
    /// Largest received message, before and after decompression.
    pub message_bytes_max: usize,
    /// Unsent bytes at which no more is made to be sent.
    pub outbound_bytes_max: usize,
    /// Whether to find out what the server has: without it, nothing is ever acknowledged but by
    /// the next handshake.
    pub acknowledgements: bool,
    /// How long edits rest before the server is asked for an acknowledgement.
    pub acknowledgement_delay_ms: u32,
    /// How presence is sent and kept.
    pub presence: PresenceOptions,
}

impl ClientOptions {
    /// The defaults for an address.
    pub fn new(url: impl Into<String>) -> Self {
        ClientOptions {
            url: url.into(),
            mode: ClientMode::Sync,
            headers: Vec::new(),
            #[cfg(feature = "tls")]
            tls_roots: None,
            gzip: false,
            connect_timeout_ms: 10_000,
            handshake_timeout_ms: 5_000,
            ping_interval_ms: 15_000,
            ping_timeout_ms: 30_000,
            reconnect_attempts_max: None,
            reconnect_delay_ms_min: 500,
            reconnect_delay_ms_max: 30_000,
            message_bytes_max: 64 << 20,
            outbound_bytes_max: 8 << 20,
            acknowledgements: true,
            acknowledgement_delay_ms: 250,
            presence: PresenceOptions::default(),
        }
    }

    fn protocol(&self, document: &SharedDocument) -> ProtocolOptions {
        let mut options = ProtocolOptions::new(document.id(), document.peer_id());
        options.framing = if self.gzip {
            Framing::Gzip
        } else {
            Framing::Plain
        };
        options.limits.frame_bytes_max = self.message_bytes_max;
        options.limits.text_bytes_max = self.message_bytes_max;
        options.open_timeout_ms = self.connect_timeout_ms.into();
        options.handshake_timeout_ms = self.handshake_timeout_ms.into();
        options.ping_interval_ms = self.ping_interval_ms.into();
        options.ping_timeout_ms = self.ping_timeout_ms.into();
        options.reconnect_attempts_max = self.reconnect_attempts_max;
        options.reconnect_delay_first_ms = self.reconnect_delay_ms_min.into();
        options.reconnect_delay_max_ms = self.reconnect_delay_ms_max.into();
        options.presence = self.presence.clone();
        options.want_acknowledgement = self.acknowledgements;
        options.acknowledgement_delay_ms = self.acknowledgement_delay_ms.into();
        options.acknowledgement_delay_max_ms = options
            .acknowledgement_delay_max_ms
            .max(self.acknowledgement_delay_ms.into());
        options
    }
}

/// Why a client refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// Not an address this build can use, and why.
    Url(String),
    /// A document is attached already.
    AlreadyAttached,
    /// No document is attached.
    NotAttached,
    /// The document is locked or poisoned.
    Document(LockError),
    /// The thread could not be started, and why.
    Thread(String),
    /// A wait ended first.
    Timeout,
    /// The presence cannot be sent.
    Presence(PresenceError),
    /// A wait cannot end well any more: the client is disconnected or gave up.
    Offline,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Url(why) => write!(f, "not a usable address: {why}"),
            ClientError::AlreadyAttached => f.write_str("the client has a document already"),
            ClientError::NotAttached => f.write_str("the client has no document"),
            ClientError::Document(error) => write!(f, "the document cannot be used: {error:?}"),
            ClientError::Thread(why) => write!(f, "no thread for the client: {why}"),
            ClientError::Timeout => f.write_str("the wait for the server ended first"),
            ClientError::Presence(error) => write!(f, "{error}"),
            ClientError::Offline => f.write_str("the client is not connected"),
        }
    }
}

impl std::error::Error for ClientError {}

/// What the application sees of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientState {
    /// Of the connection.
    pub status: ClientStatus,
    /// Closed by `suspend`; `resume` opens again.
    pub suspended: bool,
    /// The name of the session.
    pub session_id: Option<String>,
    /// Attempts that failed since the last success.
    pub attempt: u32,
    /// Until the next attempt, if one is planned.
    pub retry_in_ms: Option<u64>,
    /// Why the last attempt or connection ended.
    pub last_error: Option<String>,
}

/// "Is my edit safe?"
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientProgress {
    /// Changes of the document that the server does not have for sure.
    pub pending_changes: u64,
    /// Connected, and nothing is pending.
    pub synced: bool,
}

/// Told what happens, on the client's thread, without any lock. Must not block.
pub trait ClientObserver: Send + Sync {
    /// The state changed.
    fn status(&self, _state: &ClientState) {}

    /// Changes became pending or acknowledged. Several steps may be told as one.
    fn progress(&self, _progress: &ClientProgress) {}

    /// Something of the protocol.
    fn event(&self, _event: &ClientEvent) {}
}

/// Keeps a document in step with a server. Dropping it disconnects and waits for its thread.
pub struct Client {
    shared: Arc<ClientShared>,
    attached: Mutex<Option<Attached>>,
}

struct Attached {
    link: Arc<Link>,
    observer: ObserverId,
    thread: Option<JoinHandle<()>>,
}

/// What handle and thread share before a document is known.
pub(super) struct ClientShared {
    pub options: ClientOptions,
    pub observers: RwLock<Vec<Arc<dyn ClientObserver>>>,
}

/// What handle, thread and document share.
pub(super) struct Link {
    pub client: Arc<ClientShared>,
    pub document: Arc<SharedDocument>,
    /// Lock order: document, then this.
    pub protocol: Mutex<Protocol>,
    pub clock: SteadyClock,
    pub notify: Notify,
    pub local_changes: AtomicBool,
    pub stop: AtomicBool,
    /// The client's thread: its own commits are not news to it.
    pub thread: Mutex<Option<ThreadId>>,
    published: Mutex<Published>,
    changed: Condvar,
}

#[derive(Default)]
struct Published {
    state: ClientState,
    retry_at_ms: Option<i64>,
    server: Option<VersionVector>,
    /// The server had everything at the end of a step of this connection.
    synced: bool,
}

impl Client {
    /// A client for an address.
    ///
    /// # Errors
    /// [`ClientError::Url`]: anything but `ws://` and `wss://`, or a header that cannot be sent.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        check_url(&options.url)?;
        check_headers(&options.headers)?;
        let shared = Arc::new(ClientShared {
            options,
            observers: RwLock::default(),
        });
        Ok(Client {
            shared,
            attached: Mutex::new(None),
        })
    }

    /// Gives the client its document; the room is named by the document's id.
    pub fn attach(&self, document: Arc<SharedDocument>) -> Result<(), ClientError> {
        let mut attached = self.attached.lock();
        if attached.is_some() {
            return Err(ClientError::AlreadyAttached);
        }
        let mut seed = [0; 8];
        // Only spreads reconnects: any number will do where there is no randomness.
        let _ = getrandom::fill(&mut seed);
        let protocol = Protocol::new(
            self.shared.options.mode,
            self.shared.options.protocol(&document),
            u64::from_le_bytes(seed),
        );
        let link = Arc::new(Link {
            client: self.shared.clone(),
            document: document.clone(),
            protocol: Mutex::new(protocol),
            clock: SteadyClock::new(),
            notify: Notify::new(),
            local_changes: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
            published: Mutex::default(),
            changed: Condvar::new(),
        });
        // The document's observers hold no document: that would be a circle.
        let observer = document.add_observer(Arc::new(Watch {
            link: Arc::downgrade(&link),
        }));
        *attached = Some(Attached {
            link,
            observer,
            thread: None,
        });
        Ok(())
    }

    /// Gives the document back and ends the thread.
    pub fn detach(&self) -> Result<(), ClientError> {
        let attached = self
            .attached
            .lock()
            .take()
            .ok_or(ClientError::NotAttached)?;
        end(attached);
        Ok(())
    }

    /// Starts connecting and returns at once. Connected stays connected; a planned attempt is made
    /// now.
    pub fn connect(&self) -> Result<(), ClientError> {
        let mut attached = self.attached.lock();
        let attached = attached.as_mut().ok_or(ClientError::NotAttached)?;
        if attached.thread.is_none() {
            let link = attached.link.clone();
            let thread = std::thread::Builder::new().name("syncline-client".into());
            let thread = thread.spawn(move || client_driver::run(&link));
            attached.thread = Some(thread.map_err(|error| ClientError::Thread(error.to_string()))?);
        }
        attached.link.published.lock().state.suspended = false;
        attached
            .link
            .act(|protocol, now_ms| protocol.connect(now_ms));
        Ok(())
    }

    /// Makes a planned attempt now; connects if disconnected.
    pub fn reconnect(&self) -> Result<(), ClientError> {
        self.connect()
    }

    /// Ends the connection and all attempts. The document stays usable.
    pub fn disconnect(&self) -> Result<(), ClientError> {
        let link = self.link()?;
        link.published.lock().state.suspended = false;
        link.act(|protocol, _| protocol.disconnect());
        Ok(())
    }

    /// Ends the connection until `resume`, and waits until the socket is closed: for an app that
    /// goes to the background.
    pub fn suspend(&self, timeout: Duration) -> Result<(), ClientError> {
        let link = self.link()?;
        let wanted = link.protocol.lock().status() != ClientStatus::Disconnected;
        if !wanted {
            return Ok(());
        }
        link.published.lock().state.suspended = true;
        link.act(|protocol, _| protocol.disconnect());
        link.wait(timeout, |published| {
            (published.state.status == ClientStatus::Disconnected).then_some(Ok(()))
        })
    }

    /// Connects again if `suspend` disconnected.
    pub fn resume(&self) -> Result<(), ClientError> {
        let suspended = self.link()?.published.lock().state.suspended;
        if suspended { self.connect() } else { Ok(()) }
    }

    /// Asks the server for everything the document lacks. Never needed on a sound connection.
    pub fn request_sync(&self) -> Result<(), ClientError> {
        let link = self.link()?;
        let now_ms = link.clock.now_ms();
        let asked = link
            .document
            .read(|document| link.protocol.lock().request_sync(now_ms, document));
        link.notify.notify_one();
        asked.map_err(ClientError::Document)
    }

    /// What the connection does.
    pub fn state(&self) -> ClientState {
        let Ok(link) = self.link() else {
            return ClientState::default();
        };
        let published = link.published.lock();
        published.state_at(link.clock.now_ms())
    }

    /// The status alone.
    pub fn status(&self) -> ClientStatus {
        self.state().status
    }

    /// How far the server is. Costs as much as listing what is pending.
    pub fn progress(&self) -> Result<ClientProgress, ClientError> {
        self.link()?.progress()
    }

    /// What the server has for sure; empty before it said so.
    pub fn acknowledged_vector(&self) -> VersionVector {
        let link = self.link().ok();
        let vector = link.and_then(|link| link.published.lock().server.clone());
        vector.unwrap_or_default()
    }

    /// Shows something of this client to the others in the room: an object; `None`: nothing any
    /// more. Kept over reconnects, never stored, and sent at most once per throttle window; the last
    /// state of a burst is always sent. Returns at once.
    ///
    /// # Errors
    /// [`ClientError::Presence`]; what was shown before stays.
    pub fn set_presence(&self, state: Option<Value>) -> Result<(), ClientError> {
        self.show(|link| {
            link.protocol
                .lock()
                .show(|presence| presence.set_local(state))
        })
    }

    /// Changes one member of what [`set_presence`](Self::set_presence) shows; `None` removes it.
    ///
    /// # Errors
    /// As there.
    pub fn set_presence_field(&self, field: &str, value: Option<Value>) -> Result<(), ClientError> {
        self.show(|link| {
            link.protocol
                .lock()
                .show(|presence| presence.set_local_field(field, value))
        })
    }

    fn show(
        &self,
        body: impl FnOnce(&Link) -> Result<(), PresenceError>,
    ) -> Result<(), ClientError> {
        let link = self.link()?;
        body(&link).map_err(ClientError::Presence)?;
        link.notify.notify_one();
        Ok(())
    }

    /// What this client shows.
    pub fn local_presence(&self) -> Option<Value> {
        let link = self.link().ok()?;
        let protocol = link.protocol.lock();
        protocol.presence().local().cloned()
    }

    /// What a session shows, the own one included.
    pub fn presence_of(&self, session_id: &str) -> Option<Value> {
        let link = self.link().ok()?;
        let protocol = link.protocol.lock();
        protocol.presence().state_of(session_id).cloned()
    }

    /// Everybody who is seen in the room: the others by session, then this client.
    pub fn presences(&self) -> Vec<PresenceEntry> {
        let Ok(link) = self.link() else {
            return Vec::new();
        };
        let protocol = link.protocol.lock();
        protocol.presence().entries()
    }

    /// Asks the server who is there. Never needed on a sound connection.
    pub fn request_presence(&self) -> Result<(), ClientError> {
        self.link()?.act(|protocol, _| protocol.request_presence());
        Ok(())
    }

    /// Number of the last entry of a relay's log that was told of; 0 in the sync mode.
    pub fn last_known_seq(&self) -> i64 {
        let link = self.link();
        link.map_or(0, |link| link.protocol.lock().last_known_seq())
    }

    /// Waits until the handshake is done.
    pub fn wait_connected(&self, timeout: Duration) -> Result<(), ClientError> {
        self.link()?
            .wait(timeout, |published| match published.state.status {
                ClientStatus::Connected => Some(Ok(())),
                ClientStatus::Error | ClientStatus::Disconnected => Some(Err(ClientError::Offline)),
                _ => None,
            })
    }

    /// Waits until document and server were equal once since connecting.
    pub fn wait_synced(&self, timeout: Duration) -> Result<(), ClientError> {
        self.link()?
            .wait(timeout, |published| match published.state.status {
                ClientStatus::Connected if published.synced => Some(Ok(())),
                ClientStatus::Error | ClientStatus::Disconnected => Some(Err(ClientError::Offline)),
                _ => None,
            })
    }

    /// Waits until the server has everything the document has now. Waits through reconnects.
    pub fn wait_acknowledged(&self, timeout: Duration) -> Result<(), ClientError> {
        let link = self.link()?;
        let wanted = link.document.read(|document| document.version_vector());
        let wanted = wanted.map_err(ClientError::Document)?;
        link.wait(timeout, |published| {
            let server = published.server.as_ref();
            if server.is_some_and(|server| server.is_strictly_newer_or_equal_than(&wanted)) {
                return Some(Ok(()));
            }
            match published.state.status {
                ClientStatus::Error | ClientStatus::Disconnected => Some(Err(ClientError::Offline)),
                _ => None,
            }
        })
    }

    /// Adds somebody to be told.
    pub fn add_observer(&self, observer: Arc<dyn ClientObserver>) {
        self.shared.observers.write().push(observer);
    }

    /// Removes an observer; it may still be told of what is under way.
    pub fn remove_observer(&self, observer: &Arc<dyn ClientObserver>) {
        self.shared
            .observers
            .write()
            .retain(|known| !Arc::ptr_eq(known, observer));
    }

    fn link(&self) -> Result<Arc<Link>, ClientError> {
        let attached = self.attached.lock();
        Ok(attached
            .as_ref()
            .ok_or(ClientError::NotAttached)?
            .link
            .clone())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(attached) = self.attached.lock().take() {
            end(attached);
        }
    }
}

fn end(attached: Attached) {
    let Attached {
        link,
        observer,
        thread,
    } = attached;
    link.document.remove_observer(observer);
    link.stop.store(true, Ordering::SeqCst);
    link.act(|protocol, _| protocol.disconnect());
    // An observer may drop the last handle on the client's own thread.
    let thread = thread.filter(|thread| thread.thread().id() != std::thread::current().id());
    if let Some(thread) = thread {
        // A panic in it was reported by the panic hook; here it only means that it ended.
        let _ = thread.join();
    }
    link.publish_stopped();
}

impl Link {
    /// Calls the protocol and lets the thread do what follows.
    fn act(&self, body: impl FnOnce(&mut Protocol, i64)) {
        body(&mut self.protocol.lock(), self.clock.now_ms());
        self.publish_protocol();
        self.notify.notify_one();
    }

    /// Makes the protocol's state visible. Cheap when nothing changed.
    pub fn publish_protocol(&self) {
        let protocol = self.protocol.lock();
        let mut published = self.published.lock();
        let status = protocol.status();
        if published.state.status != status {
            published.state.status = status;
            if status == ClientStatus::Connected {
                published.state.attempt = 0;
                published.state.last_error = None;
            } else {
                published.synced = false;
            }
            if status != ClientStatus::Reconnecting {
                published.retry_at_ms = None;
            }
        }
        if published.state.session_id.as_deref() != protocol.session_id() {
            published.state.session_id = protocol.session_id().map(str::to_owned);
        }
        drop(published);
        drop(protocol);
        self.changed.notify_all();
    }

    /// The server's version rose or the document was compared with it.
    pub fn publish_server(&self, server: Option<VersionVector>, synced: bool) {
        let mut published = self.published.lock();
        published.server = server;
        published.synced |= synced;
        drop(published);
        self.changed.notify_all();
    }

    /// An attempt or a connection ended.
    pub fn publish_failure(&self, reason: String, retry_at_ms: Option<i64>) {
        let mut published = self.published.lock();
        published.state.attempt += 1;
        published.state.last_error = Some(reason);
        published.retry_at_ms = retry_at_ms;
    }

    fn publish_stopped(&self) {
        self.published.lock().state.status = ClientStatus::Disconnected;
        self.changed.notify_all();
    }

    pub fn state(&self) -> ClientState {
        self.published.lock().state_at(self.clock.now_ms())
    }

    pub fn progress(&self) -> Result<ClientProgress, ClientError> {
        let progress = self
            .document
            .read(|document| self.protocol.lock().progress(document));
        let progress = progress.map_err(ClientError::Document)?;
        Ok(ClientProgress {
            pending_changes: progress.pending as u64,
            synced: progress.synced,
        })
    }

    /// Calls every observer, outside of the list's lock.
    pub fn tell(&self, call: impl Fn(&dyn ClientObserver)) {
        let observers = self.client.observers.read().clone();
        observers.iter().for_each(|observer| call(&**observer));
    }

    fn wait(
        &self,
        timeout: Duration,
        mut done: impl FnMut(&Published) -> Option<Result<(), ClientError>>,
    ) -> Result<(), ClientError> {
        let deadline = Instant::now() + timeout;
        let mut published = self.published.lock();
        loop {
            if let Some(result) = done(&published) {
                return result;
            }
            if self
                .changed
                .wait_until(&mut published, deadline)
                .timed_out()
            {
                return done(&published).unwrap_or(Err(ClientError::Timeout));
            }
        }
    }
}

impl Published {
    fn state_at(&self, now_ms: i64) -> ClientState {
        let retry_in_ms = self
            .retry_at_ms
            .map(|at| at.saturating_sub(now_ms).max(0) as u64);
        ClientState {
            retry_in_ms,
            ..self.state.clone()
        }
    }
}

/// Notices commits of others.
struct Watch {
    link: std::sync::Weak<Link>,
}

impl DocumentObserver for Watch {
    fn committed(&self, _document: &Document, commit: &Commit) {
        let Some(link) = self.link.upgrade() else {
            return;
        };
        // Local: an observer that runs on the client's thread may edit, too.
        let is_local = commit.origin == Origin::Local;
        if is_local || *link.thread.lock() != Some(std::thread::current().id()) {
            link.local_changes.store(true, Ordering::SeqCst);
        }
    }

    fn after_commit(&self) {
        let link = self
            .link
            .upgrade()
            .filter(|link| link.local_changes.load(Ordering::SeqCst));
        if let Some(link) = link {
            link.notify.notify_one();
        }
    }
}
