//! One socket of a server.

use super::{Framing, Limits, Message, RoomInput, ServerEvent, SessionId};
use std::sync::Arc;

/// How a server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// What is accepted.
    pub limits: Limits,
    /// A connection that is silent for longer is closed, in milliseconds.
    pub idle_timeout_ms: i64,
    /// Documents that one connection may name.
    pub rooms_max: usize,
    /// Whether a handshake creates a document that does not exist. Read by the transport.
    pub create_documents: bool,
    /// Whether a snapshot is taken and history pruned when every client has everything.
    pub automatic_snapshot: bool,
    /// Stored changes below which an automatic snapshot is not worth it.
    pub snapshot_changes_min: usize,
    /// More new changes than this in one message are broadcast as one document status instead of
    /// one message each.
    pub broadcast_changes_max: usize,
    /// Size of a broadcast document status, in bytes, at which it is split.
    pub broadcast_bytes_max: usize,
    /// Dependencies of one change.
    pub dependencies_max: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            limits: Limits::default(),
            idle_timeout_ms: super::constants::CLIENT_TIMEOUT_MS,
            rooms_max: 64,
            create_documents: false,
            automatic_snapshot: true,
            snapshot_changes_min: 200,
            broadcast_changes_max: 64,
            broadcast_bytes_max: 512 << 10,
            dependencies_max: 4096,
        }
    }
}

/// Something a connection wants done, in this order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionAction {
    /// Send on this socket.
    Reply(Message),
    /// Give to the room of a document. If there is no such document (or it may not be created,
    /// opened, or seen), call [`ServerConnection::refused`] instead.
    ToRoom {
        /// The document.
        document_id: Arc<str>,
        /// The message.
        input: RoomInput,
    },
    /// Close the socket.
    Close {
        /// WebSocket close code.
        code: u16,
        /// For people.
        reason: &'static str,
    },
    /// Tell the application.
    Event(ServerEvent),
}

/// Why the transport could not give a message to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such document.
    NotFound,
    /// The document cannot be opened at the moment.
    Unavailable,
    /// The client may not.
    Forbidden,
}

/// Protocol state of one socket.
#[derive(Debug)]
pub struct ServerConnection {
    _p: (),
}

impl ServerConnection {
    /// A socket was opened.
    pub fn new(_options: Arc<ServerOptions>, _session: SessionId, _now_ms: i64) -> Self {
        todo!()
    }

    /// The session's name.
    pub fn session(&self) -> &SessionId {
        todo!()
    }

    /// How frames to this client are packed: as its first frame was.
    pub fn framing(&self) -> Framing {
        todo!()
    }

    /// The socket was opened: call once and report what comes.
    pub fn opened(&mut self) -> Vec<ConnectionAction> {
        todo!()
    }

    /// A text or binary WebSocket message arrived. Never closes the connection.
    pub fn receive(&mut self, _frame: &[u8], _now_ms: i64) -> Vec<ConnectionAction> {
        todo!()
    }

    /// A message of [`ConnectionAction::ToRoom`] could not be given to a room.
    pub fn refused(
        &mut self,
        _document_id: &Arc<str>,
        _input: &RoomInput,
        _refusal: Refusal,
        _now_ms: i64,
    ) -> Vec<ConnectionAction> {
        todo!()
    }

    /// When [`tick`](Self::tick) wants to be called.
    pub fn next_deadline(&self) -> i64 {
        todo!()
    }

    /// Time passed.
    pub fn tick(&mut self, _now_ms: i64) -> Vec<ConnectionAction> {
        todo!()
    }

    /// The socket is closed (by either side, or by [`ConnectionAction::Close`]): leaves all rooms.
    /// Later calls do nothing.
    pub fn closed(&mut self) -> Vec<ConnectionAction> {
        todo!()
    }
}
