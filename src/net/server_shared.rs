//! What the tasks of a server share: options, sessions, counters, observers.
//!
//! Layer: `net`.

use super::authorize::{Access, Authorizer, Permissions};
use super::clock::SteadyClock;
use super::dialect::Dialect;
use super::http::RequestHead;
use super::limits::{Addresses, Seats};
use super::metrics::Histogram;
use super::outbox::Outbox;
use super::refusal::{RefusalReason, Refusals};
use super::relay_room::LiveRelay;
use super::room::LiveRoom;
use super::rooms::Rooms;
use super::server::{ServerObserver, ServerOptions};
use super::socket::Meter;
use crate::clock::VersionVector;
use crate::store::{DocumentStore, StoreError, StoreObserver};
use crate::sync::crdt_sync::{Framing, ServerEvent, ServerOptions as ProtocolOptions, SessionId};
use crate::sync::native::{RoomOptions, ServerOptions as NativeOptions};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// Shared by all tasks of a running server.
pub(super) struct ServerShared {
    pub options: ServerOptions,
    pub protocol: Arc<ProtocolOptions>,
    pub native: Arc<NativeOptions>,
    pub native_rooms: Arc<RoomOptions>,
    pub store: Arc<DocumentStore>,
    pub clock: SteadyClock,
    pub rooms: Rooms<LiveRoom>,
    pub relays: Rooms<LiveRelay>,
    pub sessions: RwLock<HashMap<SessionId, Arc<Session>>>,
    /// One permit per connection.
    pub connections: Arc<Semaphore>,
    /// Connections by address.
    pub addresses: Arc<Addresses>,
    /// Sessions by room, whatever they speak.
    pub seats: Arc<Seats>,
    /// One permit per large message that may be unpacked at a time.
    pub unpacking: Semaphore,
    pub counters: Counters,
    pub observers: RwLock<Vec<Arc<dyn ServerObserver>>>,
    /// `None`: everybody may do everything.
    pub authorizer: RwLock<Option<Arc<dyn Authorizer>>>,
    /// True: about to stop; not ready for new clients.
    pub draining: AtomicBool,
    pub started: Instant,
    /// True: accept nothing more.
    pub stopping: watch::Sender<bool>,
    pub runtime: tokio::runtime::Handle,
}

/// One connection, as the others see it.
pub(super) struct Session {
    pub id: SessionId,
    pub address: SocketAddr,
    /// The request that it came with.
    pub head: Arc<RequestHead>,
    pub outbox: Arc<Outbox>,
    /// What it may do in the rooms that it joined.
    pub permissions: Permissions,
    /// Known after the first message at the latest.
    pub dialect: OnceLock<Dialect>,
    /// Known before the first message of a room can go out: rooms answer frames.
    pub framing: OnceLock<Framing>,
    /// It sent something new since its rate was looked at.
    pub has_updated: AtomicBool,
}

impl Session {
    /// [`Permissions::set_access`], told to the connection.
    pub fn set_access(
        &self,
        room: Option<&str>,
        access: Access,
        reason: &str,
        concerns: impl Fn(Option<&str>) -> bool,
    ) -> bool {
        let changed = self.permissions.set_access(room, access, reason, concerns);
        self.outbox.wake();
        changed
    }

    pub fn framing(&self) -> Framing {
        self.framing.get().copied().unwrap_or_default()
    }
}

/// Numbers since the start.
#[derive(Default)]
pub(super) struct Counters {
    pub connections_total: AtomicU64,
    pub messages_in: AtomicU64,
    pub messages_out: AtomicU64,
    pub changes_applied: AtomicU64,
    pub refusals: Refusals,
    /// From a handled message to its changes on disk.
    pub commit: Histogram,
    /// From a received message to its consequences being sent.
    pub settled: Histogram,
    pub store: Arc<StoreCounters>,
    pub slow_clients_dropped: AtomicU64,
    pub bytes: Arc<Meter>,
}

impl ServerShared {
    /// Reports something. Called without any lock that an observer could want.
    pub fn event(&self, event: &ServerEvent) {
        match event {
            ServerEvent::ClientChangeApplied { session, .. } => {
                if let Some(session) = self.session(session) {
                    session.has_updated.store(true, Ordering::Relaxed);
                }
                self.counters
                    .changes_applied
                    .fetch_add(1, Ordering::Relaxed);
            }
            ServerEvent::RelayPushed { count, .. } => {
                self.counters
                    .changes_applied
                    .fetch_add(*count, Ordering::Relaxed);
            }
            ServerEvent::Error { error, .. } => {
                log::debug!(target: "server", "{event:?}: {error:?}")
            }
            _ => log::trace!(target: "server", "{event:?}"),
        }
        self.tell(|observer| observer.event(event));
    }

    /// Calls every observer, outside of the list's lock. A panic of one is its own: what the caller
    /// delivers must reach the others, and may be on the store's thread.
    pub fn tell(&self, call: impl Fn(&dyn ServerObserver)) {
        let observers = self.observers.read().clone();
        for observer in observers.iter() {
            if catch_unwind(AssertUnwindSafe(|| call(&**observer))).is_err() {
                log::error!(target: "server", "an observer panicked");
            }
        }
    }

    /// Whether so much waits for a session that rooms send it no more.
    pub fn is_full(&self, id: &SessionId) -> bool {
        let sessions = self.sessions.read();
        sessions
            .get(id)
            .is_some_and(|session| session.outbox.is_full())
    }

    pub fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.read().get(id).cloned()
    }

    /// Counts, logs and reports that somebody was refused something.
    pub fn refuse(&self, address: SocketAddr, reason: RefusalReason, detail: &str) {
        let now_ms = self.clock.now_ms();
        self.counters
            .refusals
            .count(address, reason, detail, now_ms);
        self.tell(|observer| observer.refused(address, reason, detail));
    }

    /// About to stop, or stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst) || *self.stopping.borrow()
    }

    pub fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub fn backlog(&self) -> Backlog {
        let mut backlog = Backlog::default();
        for session in self.sessions.read().values() {
            backlog.unsent_bytes += session.outbox.unsent_bytes() as u64;
            backlog.unsettled_bytes += session.outbox.unsettled_bytes() as u64;
        }
        backlog
    }

    /// Names of dialects and how many connections speak them.
    pub fn connections_by_dialect(&self) -> Vec<(&'static str, usize)> {
        let sessions = self.sessions.read();
        let count = |dialect: Option<Dialect>| {
            let sessions = sessions.values();
            sessions
                .filter(|session| session.dialect.get().copied() == dialect)
                .count()
        };
        let mut counts = vec![("unknown", count(None))];
        counts.extend(Dialect::ALL.map(|dialect| (dialect.name(), count(Some(dialect)))));
        counts
    }

    pub fn count(&self, counter: impl Fn(&Counters) -> &AtomicU64) {
        counter(&self.counters).fetch_add(1, Ordering::Relaxed);
    }
}

/// What waits for somebody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    /// For the clients to read it.
    pub unsent_bytes: u64,
    /// For the disk.
    pub unsettled_bytes: u64,
}

/// What the store reports.
#[derive(Debug, Default)]
pub(super) struct StoreCounters {
    pub failed: AtomicU64,
    pub compacted: AtomicU64,
    failing: AtomicBool,
}

impl StoreCounters {
    /// The last write failed: nothing is acknowledged at the moment.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::SeqCst)
    }
}

impl StoreObserver for StoreCounters {
    fn stored(&self, _document: &str, _vector: &VersionVector) {
        self.failing.store(false, Ordering::SeqCst);
    }

    fn compacted(&self, _document: &str, _bytes: u64) {
        self.compacted.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, _document: &str, _error: &StoreError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::SeqCst);
    }
}
