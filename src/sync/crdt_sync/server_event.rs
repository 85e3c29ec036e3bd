//! What a server reports to the application (specification 4.11).

use crate::clock::{OperationId, PeerId};
use crate::replica::ApplyError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;

/// Names one connection: 22 characters. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// From 16 secure random bytes, as URL-safe base64 without padding.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        SessionId(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something happened on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Listening. Reported by the transport.
    Started,
    /// Not listening any more. Reported by the transport.
    Stopped,
    /// A socket was opened.
    ClientConnected {
        /// The new session.
        session: SessionId,
    },
    /// A client joined a document.
    ClientHandshake {
        /// The session that joined.
        session: SessionId,
        /// The document it joined.
        document_id: Arc<str>,
        /// The peer it says it is.
        peer: PeerId,
    },
    /// A status request was answered.
    ClientDocumentStatusCreated {
        /// The session that asked.
        session: SessionId,
        /// The document it asked about.
        document_id: Arc<str>,
    },
    /// A change of a client was new and is applied.
    ClientChangeApplied {
        /// The session that sent it.
        session: SessionId,
        /// The document it belongs to.
        document_id: Arc<str>,
        /// The change.
        change: OperationId,
    },
    /// Entries of a client are in the log of a relay.
    RelayPushed {
        /// The session that sent them.
        session: SessionId,
        /// The room.
        document_id: Arc<str>,
        /// The number of the last of them.
        seq: u64,
        /// How many.
        count: u64,
    },
    /// A ping was answered.
    ClientPingRequest {
        /// The session that sent it.
        session: SessionId,
    },
    /// A session ended.
    ClientDisconnected {
        /// The session that ended.
        session: SessionId,
    },
    /// A change lacks a dependency; the client was told.
    ClientOutOfSync {
        /// The session that sent it.
        session: SessionId,
        /// The document it belongs to.
        document_id: Arc<str>,
        /// The first dependency that is missing; none: the session had not joined the document.
        missing: Option<OperationId>,
    },
    /// A message went to all other sessions of a document.
    MessageBroadcasted {
        /// The document.
        document_id: Arc<str>,
        /// How many sessions get it; never zero.
        sessions_reached: usize,
    },
    /// A message of the application went to one session. Reported by the transport.
    MessageSent {
        /// The session that gets it.
        session: SessionId,
    },
    /// A snapshot was taken and the history it covers was pruned.
    SnapshotCreated {
        /// The document.
        document_id: Arc<str>,
    },
    /// Something was refused or dropped; the connection goes on unless said otherwise.
    Error {
        /// The session it concerns.
        session: Option<SessionId>,
        /// The document it concerns.
        document_id: Option<Arc<str>>,
        /// What is wrong.
        error: ServerError,
    },
}

/// Why a server dropped something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerError {
    /// A frame that does not decode.
    Frame(super::MessageError),
    /// A type that the sync mode does not handle.
    UnsupportedType(i64),
    /// The server does not have the document.
    DocumentNotFound,
    /// The document cannot be served at the moment.
    DocumentUnavailable,
    /// The session may not do that.
    Forbidden,
    /// A named limit would be exceeded.
    Limit(&'static str),
    /// A change whose structure is not sound.
    InvalidChange {
        /// The change.
        change: OperationId,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A snapshot for a room of a relay that the session did not join.
    NotJoined,
    /// A snapshot for a relay that covers no more than the one that is there.
    StaleSnapshot,
    /// A presence that is no object.
    InvalidPresence,
    /// The document refuses a change.
    ChangeRefused {
        /// The change.
        change: OperationId,
        /// Why.
        error: ApplyError,
    },
    /// A change builds on one that was refused.
    BuildsOnRefused {
        /// The change.
        change: OperationId,
    },
    /// Nothing was heard of the session for too long; it is closed.
    IdleTimeout {
        /// Milliseconds since the last frame.
        silent_ms: i64,
    },
    /// The document refuses to take a snapshot; its history stays.
    SnapshotRefused(ApplyError),
}
