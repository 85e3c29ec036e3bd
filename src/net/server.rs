//! A server: listens, serves rooms, keeps them stored.
//!
//! Layer: `net`. The object is a handle; the work is done on a small runtime of its own, which
//! starts with [`Server::start`] and is gone when [`Server::stop`] returns.

use super::accept;
use super::authorize::{Access, Authorizer};
use super::clock::SteadyClock;
use super::dialect::Dialect;
use super::drain;
use super::limits::{ServerLimits, or_endless};
use super::link::CLOSE_STOPPING;
use super::refusal::RefusalReason;
use super::rooms::Rooms;
use super::server_shared::{Counters, ServerShared};
#[cfg(feature = "tls")]
use super::tls::TlsIdentity;
use crate::document::{DocumentOptions, SharedDocument};
use crate::store::{
    DocumentStore, DocumentStoreOptions, MemoryStore, OpenOptions, StoreError, StoreObserver,
};
use crate::sync::crdt_sync::{ServerEvent, ServerOptions as ProtocolOptions, SessionId};
use crate::sync::native::{Code, Message, Outgoing, RoomOptions, ServerOptions as NativeOptions};
use parking_lot::{Mutex, RwLock};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

/// How a server works. Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Name or address to listen on.
    pub host: String,
    /// Port; 0: any free one.
    pub port: u16,
    /// Threads that serve connections.
    pub worker_threads: usize,
    /// Connections at a time; more are closed at once.
    pub connections_max: usize,
    /// Rooms in memory at a time; further documents are unavailable.
    pub rooms_max: usize,
    /// Largest received message, before and after decompression.
    pub message_bytes_max: usize,
    /// Messages unpacked at a time, of those that may become large: each may take a few times
    /// `message_bytes_max` while it lasts.
    pub unpacking_max: usize,
    /// Unsent bytes at which a connection is closed as too slow (a single larger message may go).
    pub outbound_bytes_max: usize,
    /// Silence that ends a connection; also how long a peer may take nothing of what waits for it.
    pub client_timeout_ms: u32,
    /// Time for the WebSocket upgrade.
    pub handshake_timeout_ms: u32,
    /// Largest head of a request.
    pub header_bytes_max: usize,
    /// Time for an [`Authorizer`]'s answer; a client that waited longer is told to try again.
    pub authorize_timeout_ms: u32,
    /// What one peer may have.
    pub limits: ServerLimits,
    /// Whoever wants to see the pages (`/`, `/status.json`, `/healthz`, `/metrics`) has to show
    /// it; `None`: everybody sees them.
    pub admin_token: Option<String>,
    /// The certificate of `wss://`; `None`: no TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<Arc<TlsIdentity>>,
    /// The protocols that are served, the preferred ones first.
    pub dialects: Vec<Dialect>,
    /// How long an empty room stays loaded.
    pub room_idle_ms: u32,
    /// How long a message waits for the application's transaction on a document.
    pub lock_timeout_ms: u32,
    /// How documents are made. Name and peer id are filled in.
    pub document: DocumentOptions,
    /// The protocol's own options. `limits.frame_bytes_max`, `limits.text_bytes_max` and
    /// `idle_timeout_ms` are replaced by those above.
    pub protocol: ProtocolOptions,
    /// Options of the native dialect; `idle_timeout_ms` and `limits.message_bytes_max` are replaced
    /// by those above.
    pub native: NativeOptions,
    /// Options of rooms of the native dialect.
    pub native_rooms: RoomOptions,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            host: "127.0.0.1".to_owned(),
            port: 0,
            worker_threads: 2,
            connections_max: 10_000,
            rooms_max: 10_000,
            message_bytes_max: 64 << 20,
            unpacking_max: 4,
            outbound_bytes_max: 16 << 20,
            client_timeout_ms: 60_000,
            handshake_timeout_ms: 10_000,
            header_bytes_max: 16 << 10,
            authorize_timeout_ms: 10_000,
            limits: ServerLimits::default(),
            admin_token: None,
            #[cfg(feature = "tls")]
            tls: None,
            dialects: vec![Dialect::CrdtSync, Dialect::CrdtRelay, Dialect::Native],
            room_idle_ms: 60_000,
            lock_timeout_ms: 10_000,
            document: DocumentOptions::default(),
            protocol: ProtocolOptions {
                create_documents: true,
                ..ProtocolOptions::default()
            },
            native: NativeOptions::default(),
            native_rooms: RoomOptions::default(),
        }
    }
}

/// Told what happens, on threads of the server. Must not block.
pub trait ServerObserver: Send + Sync {
    /// Something of the protocol.
    fn event(&self, _event: &ServerEvent) {}

    /// A document was loaded.
    fn room_opened(&self, _room: &str) {}

    /// A document was unloaded.
    fn room_closed(&self, _room: &str) {}

    /// Somebody was refused something; the detail is for people.
    fn refused(&self, _address: SocketAddr, _reason: RefusalReason, _detail: &str) {}
    /// A client of the native dialect sent a message of the application's own (types 64 to 127),
    /// about a document or about none.
    fn application_message(
        &self,
        _session: &SessionId,
        _room: Option<&str>,
        _message_type: u8,
        _bytes: &[u8],
    ) {
    }
}

/// Numbers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ServerStats {
    pub connections: u64,
    pub connections_total: u64,
    pub rooms_open: u64,
    pub messages_in: u64,
    pub messages_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub changes_applied: u64,
    pub refused: u64,
    pub slow_clients_dropped: u64,
    pub uptime_ms: u64,
}

/// A connected client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its session id.
    pub id: String,
    /// Where it connects from.
    pub address: SocketAddr,
    /// Who it is, if an [`Authorizer`] said so.
    pub user: Option<String>,
    /// What it speaks, once that is known.
    pub dialect: Option<Dialect>,
    /// Bytes that wait for it.
    pub unsent_bytes: usize,
}

/// A live room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    /// The document.
    pub name: String,
    /// How many sessions are in it.
    pub sessions: usize,
}

/// A WebSocket server for documents of a store.
pub struct Server {
    options: ServerOptions,
    store: Arc<DocumentStore>,
    observers: RwLock<Vec<Arc<dyn ServerObserver>>>,
    authorizer: RwLock<Option<Arc<dyn Authorizer>>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    shared: Arc<ServerShared>,
    runtime: Runtime,
    address: SocketAddr,
}

/// How often empty rooms are looked for.
const UNLOAD_PERIOD: Duration = Duration::from_secs(1);
/// How long clients of the native dialect stay away from a server that stops, before their own
/// random delay.
const GO_AWAY_MS: u64 = 500;
/// What is left of a stop when its time is up.
const STOP_GRACE: Duration = Duration::from_secs(2);

impl Server {
    /// A server that does not run yet. `store: None`: documents live in memory.
    pub fn new(options: ServerOptions, store: Option<Arc<DocumentStore>>) -> Self {
        let in_memory = || {
            let backend = Arc::new(MemoryStore::new());
            Arc::new(DocumentStore::new(backend, DocumentStoreOptions::default()))
        };
        Server {
            options,
            store: store.unwrap_or_else(in_memory),
            observers: RwLock::default(),
            authorizer: RwLock::default(),
            running: Mutex::new(None),
        }
    }

    /// Adds somebody to be told.
    pub fn add_observer(&self, observer: Arc<dyn ServerObserver>) {
        self.observers.write().push(observer.clone());
        if let Some(running) = &*self.running.lock() {
            running.shared.observers.write().push(observer);
        }
    }

    /// Removes an observer; it may still be told of what is under way.
    pub fn remove_observer(&self, observer: &Arc<dyn ServerObserver>) {
        self.observers
            .write()
            .retain(|known| !Arc::ptr_eq(known, observer));
        if let Some(running) = &*self.running.lock() {
            running
                .shared
                .observers
                .write()
                .retain(|known| !Arc::ptr_eq(known, observer));
        }
    }

    /// Who decides about joins; `None`: everybody may do everything. Counts for later joins.
    pub fn set_authorizer(&self, authorizer: Option<Arc<dyn Authorizer>>) {
        (*self.authorizer.write()).clone_from(&authorizer);
        if let Some(running) = &*self.running.lock() {
            *running.shared.authorizer.write() = authorizer;
        }
    }

    /// Starts serving; listening when it returns.
    ///
    /// # Errors
    /// The address cannot be used; the server runs already; the store is read-only.
    pub fn start(&self) -> io::Result<SocketAddr> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the server runs already",
            ));
        }
        if self.store.is_read_only() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the store is read-only",
            ));
        }
        let addresses: Vec<SocketAddr> = (self.options.host.as_str(), self.options.port)
            .to_socket_addrs()?
            .collect();
        let listener = TcpListener::bind(addresses.as_slice())?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.options.worker_threads.max(1))
            .thread_name("syncline-server")
            .enable_all()
            .build()?;
        let shared = self.shared(&runtime);
        {
            let _context = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(accept::run(shared.clone(), listener));
            runtime.spawn(unload(shared.clone()));
        }
        self.store.add_observer(shared.counters.store.clone());
        log::info!(target: "server", "listening on {address}");
        shared.event(&ServerEvent::Started);
        *running = Some(Running {
            shared,
            runtime,
            address,
        });
        Ok(address)
    }

    fn shared(&self, runtime: &Runtime) -> Arc<ServerShared> {
        let mut protocol = self.options.protocol.clone();
        protocol.limits.frame_bytes_max = self.options.message_bytes_max;
        protocol.limits.text_bytes_max = self.options.message_bytes_max;
        protocol.rooms_max = or_endless(self.options.limits.connection_rooms_max);
        protocol.serve_sync = self.options.dialects.contains(&Dialect::CrdtSync);
        protocol.serve_relay = self.options.dialects.contains(&Dialect::CrdtRelay);
        protocol.idle_timeout_ms = self.options.client_timeout_ms.into();
        let mut native = self.options.native.clone();
        native.limits.message_bytes_max = self.options.message_bytes_max;
        native.idle_timeout_ms = self.options.client_timeout_ms.into();
        Arc::new(ServerShared {
            options: self.options.clone(),
            protocol: Arc::new(protocol),
            native: Arc::new(native),
            native_rooms: Arc::new(self.options.native_rooms.clone()),
            store: self.store.clone(),
            clock: SteadyClock::new(),
            rooms: Rooms::default(),
            relays: Rooms::default(),
            sessions: RwLock::default(),
            connections: Arc::new(Semaphore::new(
                self.options.connections_max.min(Semaphore::MAX_PERMITS),
            )),
            addresses: Arc::default(),
            seats: Arc::default(),
            draining: AtomicBool::new(false),
            started: Instant::now(),
            unpacking: Semaphore::new(self.options.unpacking_max.clamp(1, Semaphore::MAX_PERMITS)),
            counters: Counters::default(),
            observers: RwLock::new(self.observers.read().clone()),
            authorizer: RwLock::new(self.authorizer.read().clone()),
            stopping: watch::Sender::new(false),
            runtime: runtime.handle().clone(),
        })
    }

    /// Begins to send the clients away: not ready any more, no new ones, and those that are there
    /// are told (close code 1012) at random moments of `window`, each with a delay after which to
    /// come back. Returns at once; [`is_drained`](Self::is_drained) tells when it is time to
    /// [`stop`](Self::stop), which may also be done before.
    pub fn drain(&self, window: Duration) {
        if let Some(Running {
            shared, runtime, ..
        }) = &*self.running.lock()
        {
            shared.draining.store(true, Ordering::SeqCst);
            runtime.spawn(drain::run(shared.clone(), window));
        }
    }

    /// Whether nobody is connected any more.
    pub fn is_drained(&self) -> bool {
        self.shared_if_running()
            .is_none_or(|shared| shared.sessions.read().is_empty())
    }

    /// Stops: accepts nothing more, stores everything, says goodbye to the clients (1001), and ends
    /// the threads. Takes up to `drain` for that, then cuts what is left. Can be started again.
    ///
    /// # Errors
    /// Not everything could be stored in time.
    pub fn stop(&self, drain: Duration) -> Result<(), StoreError> {
        let Some(Running {
            shared, runtime, ..
        }) = self.running.lock().take()
        else {
            return Ok(());
        };
        let deadline = Instant::now() + drain;
        shared.stopping.send_replace(true);
        let left = || deadline.saturating_duration_since(Instant::now());
        let flushed = self.store.flush(left());
        let go_away = Message::GoAway {
            code: Code::GoingAway,
            delay_ms: GO_AWAY_MS,
            text: "the server stops".to_owned(),
        };
        for session in shared.sessions.read().values() {
            // Outboxes of other dialects do not take it.
            let outgoing = Outgoing::message(0, &go_away);
            session.outbox.push_outgoing(outgoing);
            session.outbox.close(CLOSE_STOPPING, "the server stops");
        }
        let all = u32::try_from(shared.options.connections_max).unwrap_or(u32::MAX);
        let ended = async {
            // Every permit is back when every connection has ended.
            let _ = tokio::time::timeout(left(), shared.connections.acquire_many(all)).await;
        };
        // On a thread of its own: a host may call this inside of a runtime, which must not block.
        std::thread::scope(|scope| {
            let end = scope.spawn(|| {
                runtime.block_on(ended);
                runtime.shutdown_timeout(left().max(STOP_GRACE));
            });
            // A panic there was reported; the runtime is gone either way.
            let _ = end.join();
        });
        shared.sessions.write().clear();
        shared.rooms.clear();
        shared.relays.clear();
        // What connections did while they ended.
        let flushed = flushed.and(self.store.flush(left().max(STOP_GRACE)));
        let counters: Arc<dyn StoreObserver> = shared.counters.store.clone();
        self.store.remove_observer(&counters);
        shared.event(&ServerEvent::Stopped);
        flushed
    }

    /// Whether it listens.
    pub fn is_running(&self) -> bool {
        self.running.lock().is_some()
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.lock().as_ref().map(|running| running.address)
    }

    /// The store.
    pub fn store(&self) -> &Arc<DocumentStore> {
        &self.store
    }

    /// The live document of a room: edits are stored and sent to its clients. Works also while the
    /// server does not run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without `create`.
    pub fn document(&self, room: &str, create: bool) -> Result<Arc<SharedDocument>, StoreError> {
        let options = OpenOptions {
            document: self.options.document.clone(),
            lock_timeout: Duration::from_millis(self.options.lock_timeout_ms.into()),
            create,
            // The application may hand it to a client, too.
            edits_leave_unstored: true,
        };
        Ok(self.store.open(room, &options)?.document().clone())
    }

    /// Whether a room is live or stored.
    pub fn has_room(&self, room: &str) -> Result<bool, StoreError> {
        let live = self.shared_if_running().is_some_and(|shared| {
            shared.rooms.live(room).is_some() || shared.relays.live(room).is_some()
        });
        Ok(live || self.store.contains(room)?)
    }

    /// Drops a room's document; false if there was none.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while clients or the application use it.
    pub fn remove_room(&self, room: &str) -> Result<bool, StoreError> {
        if self.shared_if_running().is_some_and(|shared| {
            !shared.rooms.unload(&shared, room) || !shared.relays.unload(&shared, room)
        }) {
            return Err(StoreError::InUse {
                document: room.to_owned(),
            });
        }
        self.store.remove(room)
    }

    /// Takes a snapshot of a live room's document and prunes its history; false if the room is not
    /// live or the document refuses.
    pub fn take_snapshot(&self, room: &str) -> bool {
        let Some(shared) = self.shared_if_running() else {
            return false;
        };
        shared
            .rooms
            .live(room)
            .is_some_and(|room| room.take_snapshot(&shared))
    }

    /// The live rooms.
    pub fn rooms(&self) -> Vec<RoomInfo> {
        let Some(shared) = self.shared_if_running() else {
            return Vec::new();
        };
        let info = |name: &str, sessions: Arc<[SessionId]>| RoomInfo {
            name: name.to_owned(),
            sessions: sessions.len(),
        };
        let rooms = shared.rooms.all().into_iter();
        let rooms = rooms.map(|room| info(&room.document_id, room.sessions()));
        let relays = shared.relays.all().into_iter();
        rooms
            .chain(relays.map(|room| info(room.name(), room.sessions())))
            .collect()
    }

    /// The connected clients, or those of one room.
    pub fn clients(&self, room: Option<&str>) -> Vec<ClientInfo> {
        let Some(shared) = self.shared_if_running() else {
            return Vec::new();
        };
        let chosen = match room {
            None => shared.sessions.read().values().cloned().collect(),
            Some(room) => {
                let relay = || shared.relays.live(room).map(|room| room.sessions());
                let ids = shared.rooms.live(room).map(|room| room.sessions());
                let ids = ids.or_else(relay);
                let ids = ids.iter().flat_map(|ids| ids.iter());
                ids.filter_map(|id| shared.session(id)).collect::<Vec<_>>()
            }
        };
        let info = chosen.into_iter().map(|session| ClientInfo {
            id: session.id.as_str().to_owned(),
            address: session.address,
            user: session.permissions.user().map(|user| user.to_string()),
            dialect: session.dialect.get().copied(),
            unsent_bytes: session.outbox.unsent_bytes(),
        });
        info.collect()
    }

    /// Ends a client's connection after what waits for it was sent; false if it is not connected.
    pub fn disconnect_client(&self, id: &str, code: u16, reason: &str) -> bool {
        self.with_session(id, |session| session.outbox.close(code, reason))
    }

    /// Changes what a user may do in a room, or in all rooms that it is in now, at once;
    /// [`Access::Deny`] makes it leave, for `reason`. Later joins are the [`Authorizer`]'s to
    /// decide. The number of sessions that it concerned.
    pub fn set_access(
        &self,
        user: &str,
        room: Option<&str>,
        access: Access,
        reason: &str,
    ) -> usize {
        self.revise(room, access, reason, |known| known == Some(user))
    }

    /// Makes a user leave a room, or everybody (`user: None`), or a user every room (`room:
    /// None`), for `reason`. The number of sessions that it concerned.
    pub fn evict(&self, user: Option<&str>, room: Option<&str>, reason: &str) -> usize {
        self.revise(room, Access::Deny, reason, |known| {
            user.is_none() || known == user
        })
    }

    fn revise(
        &self,
        room: Option<&str>,
        access: Access,
        reason: &str,
        concerns: impl Fn(Option<&str>) -> bool,
    ) -> usize {
        let Some(shared) = self.shared_if_running() else {
            return 0;
        };
        let sessions: Vec<_> = shared.sessions.read().values().cloned().collect();
        let revised = sessions
            .iter()
            .filter(|session| session.set_access(room, access, reason, &concerns));
        revised.count()
    }

    /// Sends a frame of the application's own to a client; false if it is not connected or too
    /// slow.
    pub fn send_frame(&self, id: &str, frame: Vec<u8>) -> bool {
        let mut queued = false;
        self.with_session(id, |session| queued = session.outbox.push(frame.into()));
        queued
    }

    fn with_session(&self, id: &str, body: impl FnOnce(&super::server_shared::Session)) -> bool {
        let Some(shared) = self.shared_if_running() else {
            return false;
        };
        let session = shared
            .sessions
            .read()
            .values()
            .find(|session| session.id.as_str() == id)
            .cloned();
        session.inspect(|session| body(session)).is_some()
    }

    /// Numbers since the start; all zero while it does not run.
    pub fn stats(&self) -> ServerStats {
        let running = self.running.lock();
        let Some(Running { shared, .. }) = &*running else {
            return ServerStats::default();
        };
        let counters = &shared.counters;
        ServerStats {
            connections: shared.sessions.read().len() as u64,
            connections_total: counters.connections_total.load(Ordering::Relaxed),
            rooms_open: (shared.rooms.len() + shared.relays.len()) as u64,
            messages_in: counters.messages_in.load(Ordering::Relaxed),
            messages_out: counters.messages_out.load(Ordering::Relaxed),
            bytes_in: counters.bytes.read.load(Ordering::Relaxed),
            bytes_out: counters.bytes.written.load(Ordering::Relaxed),
            changes_applied: counters.changes_applied.load(Ordering::Relaxed),
            refused: counters.refusals.total(),
            slow_clients_dropped: counters.slow_clients_dropped.load(Ordering::Relaxed),
            uptime_ms: shared.uptime_ms(),
        }
    }

    /// How often somebody was refused for this reason since the start.
    pub fn refusals(&self, reason: RefusalReason) -> u64 {
        self.shared_if_running()
            .map_or(0, |shared| shared.counters.refusals.get(reason))
    }

    fn shared_if_running(&self) -> Option<Arc<ServerShared>> {
        self.running
            .lock()
            .as_ref()
            .map(|running| running.shared.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop(STOP_GRACE) {
            log::error!(target: "server", "stopped with unstored changes: {error}");
        }
    }
}

async fn unload(shared: Arc<ServerShared>) {
    let mut stopping = shared.stopping.subscribe();
    let idle = Duration::from_millis(shared.options.room_idle_ms.into());
    loop {
        tokio::select! {
            () = tokio::time::sleep(UNLOAD_PERIOD.min(idle.max(Duration::from_millis(10)))) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        tokio::task::block_in_place(|| {
            shared.rooms.unload_idle(&shared, idle);
            shared.relays.unload_idle(&shared, idle);
        });
    }
}
