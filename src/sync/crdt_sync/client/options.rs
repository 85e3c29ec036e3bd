//! What goes into a client and what comes out of it.

use crate::clock::{OperationId, PeerId};
use crate::replica::ApplyError;
use crate::sync::awareness::{PresenceChange, PresenceOptions};
use crate::sync::backoff::Delays;
use crate::sync::crdt_sync::{Framing, Limits, MessageError, constants};
use std::sync::Arc;

/// How a client behaves. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// The document.
    pub document_id: String,
    /// The peer id of the document.
    pub author: PeerId,
    /// How frames are sent; both kinds are received.
    pub framing: Framing,
    /// What is accepted.
    pub limits: Limits,
    /// Time for opening the transport.
    pub open_timeout_ms: i64,
    /// Time from the open transport to the handshake response.
    pub handshake_timeout_ms: i64,
    /// Time between two pings.
    pub ping_interval_ms: i64,
    /// Silence after a ping that means the connection is dead.
    pub ping_timeout_ms: i64,
    /// Attempts to reconnect in a row before giving up; none: without limit.
    pub reconnect_attempts_max: Option<u32>,
    /// Upper bound of the first delay before reconnecting; doubles with each attempt.
    pub reconnect_delay_first_ms: i64,
    /// Upper bound of every delay before reconnecting.
    pub reconnect_delay_max_ms: i64,
    /// A connection that lasted this long makes the next delay start small again.
    pub reconnect_healthy_after_ms: i64,
    /// Bytes of a `changes` message at which it is split. A Dart server that sends on what it
    /// gets has no limit of its own here; ours has [`Limits`].
    pub push_bytes_max: usize,
    /// Bytes of frames made and not fetched by `poll` at which pushing pauses.
    pub queue_bytes_max: usize,
    /// Actions that wait for `poll` above which further events are dropped.
    pub actions_max: usize,
    /// Bytes of a single change above which it cannot be sent.
    pub change_bytes_max: usize,
    /// Up to so many local changes are sent as one message each, as Dart does.
    pub single_changes_max: usize,
    /// Whether to ask the server what it has after changes were sent (the dialect has no
    /// acknowledgement of its own).
    pub want_acknowledgement: bool,
    /// What is shown of oneself, and how long others are seen.
    pub presence: PresenceOptions,
    /// Quiet time after sending before asking.
    pub acknowledgement_delay_ms: i64,
    /// Longest time between sending and asking while changes keep being made.
    pub acknowledgement_delay_max_ms: i64,
}

impl ClientOptions {
    /// The defaults for a document.
    pub fn new(document_id: impl Into<String>, author: PeerId) -> Self {
        ClientOptions {
            document_id: document_id.into(),
            author,
            framing: Framing::Plain,
            limits: Limits::default(),
            open_timeout_ms: 10_000,
            handshake_timeout_ms: constants::HANDSHAKE_TIMEOUT_MS,
            ping_interval_ms: constants::PING_INTERVAL_MS,
            ping_timeout_ms: constants::PING_TIMEOUT_MS,
            reconnect_attempts_max: None,
            reconnect_delay_first_ms: 500,
            reconnect_delay_max_ms: 30_000,
            reconnect_healthy_after_ms: 10_000,
            push_bytes_max: 256 << 10,
            queue_bytes_max: 2 << 20,
            actions_max: 4096,
            change_bytes_max: 8 << 20,
            single_changes_max: 8,
            want_acknowledgement: true,
            presence: PresenceOptions::default(),
            acknowledgement_delay_ms: 250,
            acknowledgement_delay_max_ms: 2_000,
        }
    }

    pub(in crate::sync) fn delays(&self) -> Delays {
        Delays {
            first_ms: self.reconnect_delay_first_ms,
            max_ms: self.reconnect_delay_max_ms,
            healthy_after_ms: self.reconnect_healthy_after_ms,
            attempts_max: self.reconnect_attempts_max,
        }
    }
}

/// What the application sees of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientStatus {
    /// Not connected and not trying.
    #[default]
    Disconnected,
    /// First attempt since `connect`.
    Connecting,
    /// The handshake is done.
    Connected,
    /// The connection was lost or an attempt failed; trying, or waiting to try.
    Reconnecting,
    /// Given up; only `connect` helps.
    Error,
}

/// How far the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Stored changes that the server does not have for sure.
    pub pending: usize,
    /// Joined, and the server has everything the document has.
    pub synced: bool,
}

/// Why an attempt or a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureReason {
    /// The transport could not be opened or was closed; what it said.
    Transport(String),
    /// No open transport or no handshake response in time.
    HandshakeTimeout,
    /// No answer to a ping.
    PingTimeout,
    /// The server refused the handshake.
    Refused {
        /// The code of the server's error.
        code: String,
        /// The text of the server's error.
        message: String,
    },
}

/// Something the application may want to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The handshake is done.
    SessionStarted {
        /// The session's name.
        session_id: String,
    },
    /// An attempt failed or the connection was lost.
    ConnectionFailed {
        /// Why.
        reason: FailureReason,
        /// When the next attempt starts; none: given up.
        retry_at_ms: Option<i64>,
    },
    /// Remote changes or a snapshot were applied.
    RemoteChanges {
        /// How many changes.
        applied: usize,
        /// Whether a snapshot was taken over.
        snapshot_applied: bool,
    },
    /// Remote changes lack a dependency and were dropped; the server will be asked for them when
    /// the next change arrives.
    RemoteChangesNotReady {
        /// How many changes.
        count: usize,
    },
    /// What the server has for sure changed: see
    /// [`Client::server_vector`](super::Client::server_vector).
    ServerAdvanced,
    /// Others, or this client, came, show something else, or left.
    Presence(Arc<PresenceChange>),
    /// A relay has entries that this document could not take in: they are no changes.
    EntriesSkipped {
        /// How many.
        count: usize,
    },
    /// A relay has a snapshot that neither precedes nor follows the document's own one.
    SnapshotNotTaken,
    /// The document refuses to take the snapshot that a relay asked for.
    SnapshotRefused(ApplyError),
    /// A frame was dropped.
    FrameDropped(MessageError),
    /// The server sent an error that does not end the attempt.
    ServerError {
        /// Its code.
        code: String,
        /// Its text.
        message: String,
    },
    /// The document refuses a remote change.
    ChangeRefused {
        /// The change.
        change: OperationId,
        /// Why.
        error: ApplyError,
    },
    /// The document refuses an import.
    ImportRefused(ApplyError),
    /// A local change is too large to be sent; pushing stops until the next connection.
    ChangeTooLarge {
        /// The change.
        change: OperationId,
        /// Its size.
        bytes: usize,
    },
}

/// Something a client wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientAction {
    /// Open a transport; answer with `transport_opened` or `transport_closed`.
    Open,
    /// Send a binary WebSocket message.
    Send(Vec<u8>),
    /// Close the transport, or give up opening it. Its end is not reported to the client, nor any
    /// frame that still comes out of it.
    CloseTransport {
        /// WebSocket close code.
        code: u16,
    },
    /// The status changed.
    Status(ClientStatus),
    /// Tell the application.
    Event(ClientEvent),
}
