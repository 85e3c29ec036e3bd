//! Who may do what in which room, and until when.
//!
//! Layer: `net`. Every dialect asks through [`admit`] when a client joins a room, keeps the
//! [`Permission`] it gets, and looks at it for each change. Whoever revokes changes the permission
//! in place, so nothing that arrives later is taken, and tells the connection.

use super::dialect::Dialect;
use super::http::RequestHead;
use super::limits::{Seat, or_endless};
use super::refusal::RefusalReason;
use super::server_shared::{ServerShared, Session};
use crate::sync::crdt_sync::Refusal;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

/// What a client may do in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nothing.
    #[default]
    Deny = 0,
    /// Receive, and be seen.
    Read = 1,
    /// Edit.
    Write = 2,
}

impl Access {
    fn from_number(number: u8) -> Access {
        match number {
            0 => Access::Deny,
            1 => Access::Read,
            _ => Access::Write,
        }
    }
}

/// The question for an [`Authorizer`].
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The protocol of the connection.
    pub dialect: Dialect,
    /// The document that the client wants to join.
    pub room: Arc<str>,
    /// What the client showed with its join, else with its connection ([`RequestHead::token`]).
    pub token: Option<String>,
    /// Path, query and headers of the connection.
    pub head: Arc<RequestHead>,
    /// Where the client connects from.
    pub address: SocketAddr,
}

/// The answer of an [`Authorizer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Who the client is, for [`Server::evict`](super::Server::evict), logs and lists.
    pub user: Option<Arc<str>>,
    /// What it may do.
    pub access: Access,
    /// Until when, in milliseconds since 1970 by the server's clock; `None`: as long as it stays.
    pub expires_ms: Option<i64>,
    /// Why not, for people, if the access is [`Access::Deny`].
    pub reason: Option<String>,
}

impl Grant {
    /// Access without an end.
    pub fn new(access: Access) -> Self {
        Grant {
            access,
            ..Grant::default()
        }
    }

    /// Access for a user, without an end.
    pub fn user(user: impl Into<Arc<str>>, access: Access) -> Self {
        Grant {
            user: Some(user.into()),
            access,
            ..Grant::default()
        }
    }

    /// No access, and why.
    pub fn deny(reason: impl Into<String>) -> Self {
        Grant {
            reason: Some(reason.into()),
            ..Grant::default()
        }
    }
}

/// What [`Authorizer::authorize`] returns: the answer, later. An error means that nobody knows at
/// the moment; the client is told to try again.
pub type Authorizing<'a> = Pin<Box<dyn Future<Output = Result<Grant, String>> + Send + 'a>>;

/// Decides who may join which room. Called on threads of the server: must not block; what takes
/// time belongs into the future.
pub trait Authorizer: Send + Sync {
    /// Asked for each join of a room, and again when a permission has expired.
    fn authorize(&self, request: JoinRequest) -> Authorizing<'_>;
}

/// What a session may do in one room. Shared by the connection and those who revoke.
#[derive(Debug)]
pub(super) struct Permission {
    pub user: Option<Arc<str>>,
    access: AtomicU8,
    expires_ms: AtomicI64,
    /// Free for another session when nobody holds the permission any more.
    _seat: Seat,
}

impl Permission {
    fn new(grant: Grant, seat: Seat) -> Self {
        Permission {
            _seat: seat,
            user: grant.user,
            access: AtomicU8::new(grant.access as u8),
            expires_ms: AtomicI64::new(grant.expires_ms.unwrap_or(i64::MAX)),
        }
    }

    /// What is allowed now.
    pub fn access(&self, now_ms: i64) -> Access {
        if now_ms >= self.expires_ms.load(Ordering::SeqCst) {
            return Access::Deny;
        }
        Access::from_number(self.access.load(Ordering::SeqCst))
    }

    pub fn can_read(&self, now_ms: i64) -> bool {
        self.access(now_ms) >= Access::Read
    }

    pub fn can_write(&self, now_ms: i64) -> bool {
        self.access(now_ms) == Access::Write
    }

    /// By the server's clock; `i64::MAX`: never.
    pub fn expires_ms(&self) -> i64 {
        self.expires_ms.load(Ordering::SeqCst)
    }
}

/// A room that a session has to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revoked {
    pub room: Arc<str>,
    pub reason: Arc<str>,
}

/// What a session may do in all its rooms. Memory: one entry for each room that it joined.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    state: Mutex<PermissionsState>,
}

#[derive(Debug, Default)]
struct PermissionsState {
    rooms: HashMap<Arc<str>, Arc<Permission>>,
    revoked: VecDeque<Revoked>,
}

impl Permissions {
    pub fn get(&self, room: &str) -> Option<Arc<Permission>> {
        self.state.lock().rooms.get(room).cloned()
    }

    /// The session left the room.
    pub fn forget(&self, room: &str) {
        self.state.lock().rooms.remove(room);
    }

    /// Who the session is, as far as any room knows.
    pub fn user(&self) -> Option<Arc<str>> {
        let state = self.state.lock();
        state
            .rooms
            .values()
            .find_map(|permission| permission.user.clone())
    }

    /// When the first permission ends, by the server's clock; `i64::MAX`: never.
    pub fn next_expiry_ms(&self) -> i64 {
        let state = self.state.lock();
        let expiries = state.rooms.values().map(|room| room.expires_ms());
        expiries.min().unwrap_or(i64::MAX)
    }

    /// The next room that the session has to leave: revoked, or expired.
    pub fn take_revoked(&self, now_ms: i64) -> Option<Revoked> {
        let mut state = self.state.lock();
        if let Some(revoked) = state.revoked.pop_front() {
            return Some(revoked);
        }
        let expired = state
            .rooms
            .iter()
            .find(|(_, permission)| permission.expires_ms() <= now_ms);
        let room = expired?.0.clone();
        state.rooms.remove(&room);
        Some(Revoked {
            room,
            reason: "the permission has expired".into(),
        })
    }

    /// Changes what is allowed in `room` (`None`: in all), where the user is one that it
    /// `concerns`. False: that is nowhere.
    pub fn set_access(
        &self,
        room: Option<&str>,
        access: Access,
        reason: &str,
        concerns: impl Fn(Option<&str>) -> bool,
    ) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut changed = false;
        state.rooms.retain(|name, permission| {
            if room.is_some_and(|room| room != &**name) || !concerns(permission.user.as_deref()) {
                return true;
            }
            changed = true;
            permission.access.store(access as u8, Ordering::SeqCst);
            if access == Access::Deny {
                let (room, reason) = (name.clone(), reason.into());
                state.revoked.push_back(Revoked { room, reason });
            }
            access > Access::Deny
        });
        changed
    }

    /// How many rooms the session is in.
    pub fn len(&self) -> usize {
        self.state.lock().rooms.len()
    }

    /// Keeps what was granted. A permission that stands is changed in place, because the
    /// connection holds it.
    fn grant(
        &self,
        server: &ServerShared,
        room: &Arc<str>,
        grant: Grant,
    ) -> Result<Arc<Permission>, (RefusalReason, &'static str)> {
        let limits = &server.options.limits;
        let mut state = self.state.lock();
        if let Some(known) = state.rooms.get(room) {
            if known.user != grant.user {
                return Err((RefusalReason::Unauthorized, "the token of another user"));
            }
            let expires_ms = grant.expires_ms.unwrap_or(i64::MAX);
            known.expires_ms.store(expires_ms, Ordering::SeqCst);
            known.access.store(grant.access as u8, Ordering::SeqCst);
            return Ok(known.clone());
        }
        if state.rooms.len() >= or_endless(limits.connection_rooms_max) {
            return Err((RefusalReason::ConnectionRooms, "too many rooms"));
        }
        let seat = server
            .seats
            .take(room, or_endless(limits.room_connections_max));
        let seat = seat.ok_or((RefusalReason::RoomConnections, "the room is full"))?;
        let permission = Arc::new(Permission::new(grant, seat));
        state.rooms.insert(room.clone(), permission.clone());
        Ok(permission)
    }
}

/// Asks whether the session may join a room; the permission is kept in the session until
/// [`Permissions::forget`]. `token`: shown with the join; without one the connection's counts. A
/// join with a token asks again even if a permission stands: that is how it is refreshed.
///
/// # Errors
/// [`Refusal::Forbidden`]; [`Refusal::Unavailable`] if nobody could say in time.
pub(super) async fn admit(
    server: &ServerShared,
    session: &Session,
    dialect: Dialect,
    room: &Arc<str>,
    token: Option<String>,
) -> Result<Arc<Permission>, Refusal> {
    let known = session.permissions.get(room);
    if let Some(known) = known.filter(|known| known.can_read(server.clock.now_ms())) {
        if token.is_none() {
            return Ok(known);
        }
    }
    let refuse = |refusal: Refusal, reason: RefusalReason, why: &str| {
        server.refuse(session.address, reason, &format!("room {room:?}: {why}"));
        // A permission that stands outlives an authorizer that is away for a moment.
        if refusal == Refusal::Forbidden {
            session.set_access(Some(room), Access::Deny, why, |_| true);
        }
        Err(refusal)
    };
    let authorizer = server.authorizer.read().clone();
    let grant = match authorizer {
        None => Ok(Ok(Grant::new(Access::Write))),
        Some(authorizer) => {
            let request = JoinRequest {
                dialect,
                room: room.clone(),
                token: token.or_else(|| session.head.token()),
                head: session.head.clone(),
                address: session.address,
            };
            let patience = Duration::from_millis(server.options.authorize_timeout_ms.into());
            tokio::time::timeout(patience, authorizer.authorize(request)).await
        }
    };
    let grant = match grant {
        Ok(Ok(grant)) if grant.access > Access::Deny => grant,
        Ok(Ok(grant)) => {
            let why = grant.reason.as_deref().unwrap_or("not allowed");
            return refuse(Refusal::Forbidden, RefusalReason::Unauthorized, why);
        }
        Ok(Err(why)) => {
            return refuse(Refusal::Unavailable, RefusalReason::AuthorizerFailed, &why);
        }
        Err(_) => {
            let why = "nobody could say in time";
            return refuse(Refusal::Unavailable, RefusalReason::AuthorizerFailed, why);
        }
    };
    match session.permissions.grant(server, room, grant) {
        Ok(permission) => Ok(permission),
        Err((RefusalReason::Unauthorized, why)) => {
            refuse(Refusal::Forbidden, RefusalReason::Unauthorized, why)
        }
        Err((reason, why)) => refuse(Refusal::Unavailable, reason, why),
    }
}
