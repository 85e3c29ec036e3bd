//! What the tasks of a server share: options, sessions, counters, observers.
//!
//! Layer: `net`.

use super::authorize::{Access, Authorizer, Permissions};
use super::clock::SteadyClock;
use super::dialect::Dialect;
use super::http::RequestHead;
use super::outbox::Outbox;
use super::rooms::Rooms;
use super::server::{ServerObserver, ServerOptions};
use super::socket::Meter;
use crate::store::DocumentStore;
use crate::sync::crdt_sync::{Framing, ServerEvent, ServerOptions as ProtocolOptions, SessionId};
use crate::sync::native::{RoomOptions, ServerOptions as NativeOptions};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, watch};

/// Shared by all tasks of a running server.
pub(super) struct ServerShared {
    pub options: ServerOptions,
    pub protocol: Arc<ProtocolOptions>,
    pub native: Arc<NativeOptions>,
    pub native_rooms: Arc<RoomOptions>,
    pub store: Arc<DocumentStore>,
    pub clock: SteadyClock,
    pub rooms: Rooms,
    pub sessions: RwLock<HashMap<SessionId, Arc<Session>>>,
    /// One permit per connection.
    pub connections: Arc<Semaphore>,
    /// One permit per large message that may be unpacked at a time.
    pub unpacking: Semaphore,
    pub counters: Counters,
    pub observers: RwLock<Vec<Arc<dyn ServerObserver>>>,
    /// `None`: everybody may do everything.
    pub authorizer: RwLock<Option<Arc<dyn Authorizer>>>,
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
    pub refused: AtomicU64,
    pub slow_clients_dropped: AtomicU64,
    pub bytes: Arc<Meter>,
}

impl ServerShared {
    /// Reports something. Called without any lock that an observer could want.
    pub fn event(&self, event: &ServerEvent) {
        match event {
            ServerEvent::ClientChangeApplied { .. } => {
                self.counters
                    .changes_applied
                    .fetch_add(1, Ordering::Relaxed);
            }
            ServerEvent::Error { error, .. } => {
                log::debug!(target: "server", "{event:?}: {error:?}")
            }
            _ => log::trace!(target: "server", "{event:?}"),
        }
        self.tell(|observer| observer.event(event));
    }

    /// Calls every observer, outside of the list's lock.
    pub fn tell(&self, call: impl Fn(&dyn ServerObserver)) {
        let observers = self.observers.read().clone();
        observers.iter().for_each(|observer| call(&**observer));
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

    /// Counts and reports a connection that was not served.
    pub fn refuse(&self, address: SocketAddr, reason: &str) {
        self.count(|counters| &counters.refused);
        self.tell(|observer| observer.refused(address, reason));
    }

    pub fn count(&self, counter: impl Fn(&Counters) -> &AtomicU64) {
        counter(&self.counters).fetch_add(1, Ordering::Relaxed);
    }
}
