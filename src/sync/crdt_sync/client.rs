//! One document of a client on one socket.

use super::{Framing, Limits};
use crate::clock::{OperationId, PeerId, VersionVector};
use crate::replica::{ApplyError, Replica};

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
    /// Time from opening the transport to the handshake response.
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
    /// Bytes of a `changes` message at which it is split.
    pub push_bytes_max: usize,
    /// Bytes of frames made and not fetched by `poll` at which pushing pauses.
    pub queue_bytes_max: usize,
    /// Bytes of a single change above which it cannot be sent.
    pub change_bytes_max: usize,
    /// Up to so many local changes are sent as one message each, as Dart does.
    pub single_changes_max: usize,
    /// Whether to ask the server what it has after changes were sent (the dialect has no
    /// acknowledgement of its own).
    pub want_acknowledgement: bool,
    /// Quiet time after sending before asking.
    pub acknowledgement_delay_ms: i64,
    /// Longest time between sending and asking while changes keep being made, and longest time
    /// between two questions while the server has nothing new.
    pub acknowledgement_delay_max_ms: i64,
}

impl ClientOptions {
    /// The defaults for a document.
    pub fn new(_document_id: impl Into<String>, _author: PeerId) -> Self {
        todo!()
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Stored changes that the server does not have for sure.
    pub pending: usize,
    /// Connected, and nothing is pending.
    pub synced: bool,
}

/// Why an attempt or a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureReason {
    /// The transport could not be opened or was closed; what it said.
    Transport(String),
    /// No handshake response in time.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The server's version rose: see [`Client::server_vector`].
    ServerAdvanced,
    /// A frame was dropped.
    FrameDropped(super::MessageError),
    /// The server sent an error (not one that ends the attempt).
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAction {
    /// Open a transport; answer with `transport_opened` or `transport_closed`.
    Open,
    /// Send a binary WebSocket message.
    Send(Vec<u8>),
    /// Close the transport (or give up opening it). No answer is expected.
    CloseTransport {
        /// WebSocket close code.
        code: u16,
    },
    /// The status changed.
    Status(ClientStatus),
    /// Tell the application.
    Event(ClientEvent),
}

/// Protocol state of one document on one socket.
#[derive(Debug)]
pub struct Client {
    _p: (),
}

impl Client {
    /// A disconnected client. The seed is for the jitter of reconnects.
    pub fn new(_options: ClientOptions, _seed: u64) -> Self {
        todo!()
    }

    /// What the application sees of the connection.
    pub fn status(&self) -> ClientStatus {
        todo!()
    }

    /// The name of the session, once there was one.
    pub fn session_id(&self) -> Option<&str> {
        todo!()
    }

    /// What the server has for sure, once it said so.
    pub fn server_vector(&self) -> Option<&VersionVector> {
        todo!()
    }

    /// How far the server is. Cheap when nothing is pending.
    pub fn progress(&self, _replica: &dyn Replica) -> Progress {
        todo!()
    }

    /// Starts connecting, at once even if a reconnect is scheduled for later.
    pub fn connect(&mut self, _now_ms: i64) {
        todo!()
    }

    /// Ends the connection and all attempts. The document stays usable.
    pub fn disconnect(&mut self, _now_ms: i64) {
        todo!()
    }

    /// The transport asked for by [`ClientAction::Open`] is open.
    pub fn transport_opened(&mut self, _now_ms: i64, _replica: &mut dyn Replica) {
        todo!()
    }

    /// The transport could not be opened, or is closed.
    pub fn transport_closed(&mut self, _now_ms: i64, _reason: &str) {
        todo!()
    }

    /// A text or binary WebSocket message arrived.
    pub fn receive(&mut self, _frame: &[u8], _now_ms: i64, _replica: &mut dyn Replica) {
        todo!()
    }

    /// The application committed changes: sends what the server lacks.
    pub fn local_changes(&mut self, _now_ms: i64, _replica: &mut dyn Replica) {
        todo!()
    }

    /// When [`tick`](Self::tick) wants to be called; in the past if more can be sent at once.
    pub fn next_deadline(&self) -> Option<i64> {
        todo!()
    }

    /// Time passed, or the queue was emptied.
    pub fn tick(&mut self, _now_ms: i64, _replica: &mut dyn Replica) {
        todo!()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<ClientAction> {
        todo!()
    }
}
