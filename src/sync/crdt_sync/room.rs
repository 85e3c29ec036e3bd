//! One document of a server: who is subscribed, what each has seen, and what follows from a message.

use super::{Message, ServerEvent, ServerOptions, SessionId, SharedMessage};
use crate::clock::{PeerId, VersionVector};
use crate::codec::Change;
use crate::replica::Replica;
use std::sync::Arc;

/// A message for a room, from the connection that decoded it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RoomInput {
    /// A client joins (type 0).
    Handshake {
        /// Who.
        author: PeerId,
        /// What it has seen.
        version_vector: VersionVector,
    },
    /// A client asks for what it lacks (type 4).
    StatusRequest {
        /// What it has seen.
        version_vector: Option<VersionVector>,
    },
    /// Changes of a client (types 2 and 8).
    Changes(Vec<Change>),
    /// A ping (type 5). Answered by the room so that the answer stays behind what came before it.
    Ping {
        /// Copied into the answer.
        timestamp: i64,
        /// What the client has seen.
        version_vector: Option<VersionVector>,
    },
    /// The session ended.
    Leave,
}

impl RoomInput {
    /// Whether this message may create a document (if the server creates documents on demand).
    pub fn may_create(&self) -> bool {
        matches!(self, RoomInput::Handshake { .. })
    }
}

/// Something a room wants done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RoomOutput {
    /// Send to one session.
    Send {
        /// The session.
        session: SessionId,
        /// The message.
        message: Message,
    },
    /// Send to all of `sessions` but one.
    Broadcast {
        /// Those that were subscribed when it happened, in order of joining.
        sessions: Arc<[SessionId]>,
        /// Who does not get it.
        except: Option<SessionId>,
        /// The message; take `frame(framing)` of it.
        message: Arc<SharedMessage>,
    },
    /// Tell the application.
    Event(ServerEvent),
}

/// What a message led to.
#[derive(Clone, Debug, Default)]
pub struct RoomOutputs {
    /// The document changed: it must be on disk before any of `outputs`, and any of a later
    /// message of this room, leaves.
    pub persist: bool,
    /// In this order.
    pub outputs: Vec<RoomOutput>,
}

/// The sessions of one document. The document itself stays outside.
#[derive(Debug)]
pub struct Room {
    _p: (),
}

impl Room {
    /// A room without sessions.
    pub fn new(_document_id: Arc<str>, _options: Arc<ServerOptions>) -> Self {
        todo!()
    }

    /// The document.
    pub fn document_id(&self) -> &Arc<str> {
        todo!()
    }

    /// The subscribed sessions, in order of joining.
    pub fn sessions(&self) -> Arc<[SessionId]> {
        todo!()
    }

    /// Nobody is subscribed.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// Does what one message asks for.
    pub fn handle(
        &mut self,
        _session: &SessionId,
        _input: RoomInput,
        _replica: &mut dyn Replica,
        _now_ms: i64,
    ) -> RoomOutputs {
        todo!()
    }

    /// Tells the sessions what the application itself did to the document since `seen`: call it
    /// after local edits or a snapshot of the server's own.
    pub fn document_changed(&mut self, _seen: &VersionVector, _replica: &dyn Replica) -> RoomOutputs {
        todo!()
    }
}
