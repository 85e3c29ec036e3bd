//! One socket of a server: decodes its frames, gives them to rooms, watches for silence.

mod relay;

use super::constants::{close_code, error_code};
use super::{Framing, Limits, Message, RoomInput, ServerError, ServerEvent, SessionId, frame};
use crate::codec::Wtf8String;
use crate::sync::crdt_relay::RelayInput;
use relay::Relayed;
use std::collections::BTreeSet;
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
    /// Whether a snapshot is taken and history pruned when every client has everything, as a Dart
    /// server does. Off by default: the snapshot of a text holds neither removed elements nor the
    /// places of the others relative to each other, so that whoever starts from it (a late joiner,
    /// the server after a restart) puts some later insertions elsewhere than those who hold the
    /// history (crdt_lf specification 10.5).
    pub automatic_snapshot: bool,
    /// Stored changes below which an automatic snapshot is not worth it.
    pub snapshot_changes_min: usize,
    /// More new changes than this in one message are broadcast as document statuses instead of one
    /// message each.
    pub broadcast_changes_max: usize,
    /// Size of a broadcast document status, in bytes, at which it is split.
    pub broadcast_bytes_max: usize,
    /// Dependencies of one change.
    pub dependencies_max: usize,
    /// Consecutive `OUT_OF_SYNC` answers to one session without a change of it being applied. A
    /// client whose history cannot be completed would otherwise push it again and again for ever.
    pub out_of_sync_max: u32,
    /// Longest presence of a session, as JSON text.
    pub presence_bytes_max: usize,
    /// Whether the sync mode is served; without it, its messages are answered as a Dart relay does.
    pub serve_sync: bool,
    /// Whether the relay mode is served; without it, its messages are ignored as a Dart server of
    /// the sync mode does.
    pub serve_relay: bool,
    /// Entries of a relay's log above which a client is asked for a snapshot.
    pub relay_log_length_max: u64,
    /// Bytes of blobs in one message to a client that is behind.
    pub relay_page_bytes: usize,
    /// Entries of a relay's log that are recognised when they are pushed again.
    pub relay_duplicates_window: usize,
    /// Ids of refused changes remembered per session and document: what builds on them is dropped
    /// without asking for them again.
    pub refused_changes_max: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            limits: Limits::default(),
            idle_timeout_ms: super::constants::CLIENT_TIMEOUT_MS,
            rooms_max: 64,
            create_documents: false,
            automatic_snapshot: false,
            snapshot_changes_min: 200,
            broadcast_changes_max: 64,
            broadcast_bytes_max: 512 << 10,
            dependencies_max: 4096,
            out_of_sync_max: 16,
            presence_bytes_max: crate::sync::awareness::STATE_BYTES_MAX,
            serve_sync: true,
            serve_relay: true,
            relay_log_length_max: crate::sync::crdt_relay::LOG_LENGTH_MAX,
            relay_page_bytes: 512 << 10,
            relay_duplicates_window: 1024,
            refused_changes_max: 256,
        }
    }
}

/// Something a connection wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
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
    /// The same for a room of a relay.
    ToRelay {
        /// The room.
        document_id: Arc<str>,
        /// The message.
        input: RelayInput,
    },
    /// Close the socket, then call [`ServerConnection::closed`].
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

impl Refusal {
    fn as_error(self) -> ServerError {
        match self {
            Refusal::NotFound => ServerError::DocumentNotFound,
            Refusal::Unavailable => ServerError::DocumentUnavailable,
            Refusal::Forbidden => ServerError::Forbidden,
        }
    }
}

/// Protocol state of one socket. Memory: the names of at most
/// [`rooms_max`](ServerOptions::rooms_max) documents.
#[derive(Debug)]
pub struct ServerConnection {
    options: Arc<ServerOptions>,
    session: SessionId,
    /// As the first frame was; none came yet while None.
    framing: Option<Framing>,
    last_frame_ms: i64,
    /// Documents that this connection named and that may hold state for it.
    rooms: BTreeSet<Arc<str>>,
    /// The same, of relays.
    relays: BTreeSet<Arc<str>>,
    closed: bool,
}

impl ServerConnection {
    /// A socket was opened.
    pub fn new(options: Arc<ServerOptions>, session: SessionId, now_ms: i64) -> Self {
        ServerConnection {
            options,
            session,
            framing: None,
            last_frame_ms: now_ms,
            rooms: BTreeSet::new(),
            relays: BTreeSet::new(),
            closed: false,
        }
    }

    /// The session's name.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// How frames to this client are packed: as its first frame was.
    pub fn framing(&self) -> Framing {
        self.framing.unwrap_or_default()
    }

    /// What to report when the socket was opened.
    pub fn opened(&self) -> ConnectionAction {
        ConnectionAction::Event(ServerEvent::ClientConnected {
            session: self.session.clone(),
        })
    }

    /// A text or binary WebSocket message arrived. Never closes the connection: in this dialect a
    /// malformed frame concerns nobody but itself.
    pub fn receive(&mut self, frame: &[u8], now_ms: i64) -> Vec<ConnectionAction> {
        if self.closed {
            return Vec::new();
        }
        self.last_frame_ms = now_ms;
        self.framing.get_or_insert(Framing::of(frame));
        match frame::decode(frame, &self.options.limits) {
            Ok(message) => match self.relay_input(message) {
                Relayed::Input(document_id, input) => self.for_relay(document_id, input, now_ms),
                Relayed::WrongMode(document_id, message_type) => {
                    self.wrong_mode(document_id, message_type)
                }
                Relayed::No(message) => self.message(message, now_ms),
            },
            Err(error) => vec![self.error(None, ServerError::Frame(error))],
        }
    }

    fn message(&mut self, message: Message, now_ms: i64) -> Vec<ConnectionAction> {
        let (document_id, input) = match message {
            Message::HandshakeRequest {
                document_id,
                author,
                version_vector,
            } => (
                document_id,
                RoomInput::Handshake {
                    author,
                    version_vector,
                },
            ),
            Message::DocumentStatusRequest {
                document_id,
                version_vector,
            } => (document_id, RoomInput::StatusRequest { version_vector }),
            Message::Change {
                document_id,
                change,
            } => (document_id, RoomInput::Changes(vec![change])),
            Message::Changes {
                document_id,
                changes,
            } => (document_id, RoomInput::Changes(changes)),
            Message::Ping {
                document_id,
                timestamp,
                version_vector,
            } => (
                document_id,
                RoomInput::Ping {
                    timestamp,
                    version_vector,
                },
            ),
            // Whom it says it is does not count (trap 16).
            Message::AwarenessUpdate {
                document_id,
                metadata,
                ..
            } => (document_id, RoomInput::Presence(metadata)),
            Message::AwarenessQuery { document_id } => (document_id, RoomInput::PresenceQuery),
            Message::Unknown { message_type, .. } => {
                return vec![self.error(None, ServerError::UnsupportedType(message_type))];
            }
            // What only a server sends, and pongs nobody asked for.
            Message::HandshakeResponse { .. }
            | Message::DocumentStatus { .. }
            | Message::Pong { .. }
            | Message::Error { .. }
            | Message::AwarenessState { .. }
            // The relay mode: `relay_input` took what a client may send.
            | Message::RelayHello { .. }
            | Message::RelayWelcome(_)
            | Message::RelayPush { .. }
            | Message::RelayAck { .. }
            | Message::RelayChanges { .. }
            | Message::RelaySnapshotUpload { .. }
            | Message::RelayStateRequest { .. } => return Vec::new(),
        };
        // Names that are no Unicode text exist in Dart only; no document can have one.
        let Some(name) = document_id.as_str() else {
            let error = ServerError::DocumentNotFound;
            return self.refusal(&document_id, None, &input, error, now_ms);
        };
        let name: Arc<str> = name.into();
        if !self.rooms.contains(&name) && self.room_count() >= self.options.rooms_max {
            let error = ServerError::Limit("rooms_max");
            return self.refusal(&document_id, Some(&name), &input, error, now_ms);
        }
        self.rooms.insert(name.clone());
        vec![ConnectionAction::ToRoom {
            document_id: name,
            input,
        }]
    }

    /// A message of [`ConnectionAction::ToRoom`] could not be given to a room.
    pub fn refused(
        &mut self,
        document_id: &Arc<str>,
        input: &RoomInput,
        refusal: Refusal,
        now_ms: i64,
    ) -> Vec<ConnectionAction> {
        if self.closed || matches!(input, RoomInput::Leave) {
            return Vec::new();
        }
        // Who may only read stays in the room.
        if refusal != Refusal::Forbidden || !matches!(input, RoomInput::Changes(_)) {
            self.rooms.remove(document_id);
        }
        let wire_id = Wtf8String::from(&**document_id);
        self.refusal(
            &wire_id,
            Some(document_id),
            input,
            refusal.as_error(),
            now_ms,
        )
    }

    fn refusal(
        &self,
        wire_id: &Wtf8String,
        document_id: Option<&Arc<str>>,
        input: &RoomInput,
        error: ServerError,
        now_ms: i64,
    ) -> Vec<ConnectionAction> {
        let not_found = matches!(error, ServerError::DocumentNotFound);
        let reply = |code: &str, message: String| {
            ConnectionAction::Reply(Message::Error {
                document_id: wire_id.clone(),
                code: code.to_owned(),
                message,
            })
        };
        let missing = || {
            let message = format!("Document not found: {}", wire_id.to_string_lossy());
            reply(error_code::DOCUMENT_NOT_FOUND, message)
        };
        let report = self.error(document_id, error.clone());
        match input {
            // The first of the pair is what Dart servers say; only the second one lets a Dart
            // client fail at once and connect again later (trap 5).
            RoomInput::Handshake { .. } => {
                let failed = reply(error_code::HANDSHAKE_FAILED, "Handshake refused".to_owned());
                if not_found {
                    vec![missing(), failed, report]
                } else {
                    vec![failed, report]
                }
            }
            RoomInput::StatusRequest { .. } if not_found => vec![missing(), report],
            RoomInput::StatusRequest { .. } => {
                let message = "The document is not available".to_owned();
                vec![reply(error_code::INTERNAL_ERROR, message), report]
            }
            // A ping is answered for any document (trap 22).
            RoomInput::Ping { timestamp, .. } => vec![
                ConnectionAction::Reply(Message::Pong {
                    document_id: wire_id.clone(),
                    original_timestamp: *timestamp,
                    response_timestamp: now_ms,
                }),
                ConnectionAction::Event(ServerEvent::ClientPingRequest {
                    session: self.session.clone(),
                }),
            ],
            // A Dart client shows an error that it does not know as its status.
            RoomInput::Changes(_) if matches!(error, ServerError::Forbidden) => {
                let message = "You may only read this document".to_owned();
                vec![reply(error_code::FORBIDDEN, message), report]
            }
            RoomInput::Changes(_)
            | RoomInput::Presence(_)
            | RoomInput::PresenceQuery
            | RoomInput::CatchUp { .. }
            | RoomInput::Leave => vec![report],
        }
    }

    fn error(&self, document_id: Option<&Arc<str>>, error: ServerError) -> ConnectionAction {
        ConnectionAction::Event(ServerEvent::Error {
            session: Some(self.session.clone()),
            document_id: document_id.cloned(),
            error,
        })
    }

    /// When [`tick`](Self::tick) wants to be called, in milliseconds.
    pub fn next_deadline(&self) -> i64 {
        if self.closed {
            return i64::MAX;
        }
        self.last_frame_ms
            .saturating_add(self.options.idle_timeout_ms)
    }

    /// Time passed: closes a connection that was silent for too long. A Dart server leaves such a
    /// socket open and mute (trap 7).
    pub fn tick(&mut self, now_ms: i64) -> Vec<ConnectionAction> {
        if self.closed || now_ms < self.next_deadline() {
            return Vec::new();
        }
        let silent_ms = now_ms.saturating_sub(self.last_frame_ms);
        vec![
            self.error(None, ServerError::IdleTimeout { silent_ms }),
            ConnectionAction::Close {
                code: close_code::IDLE,
                reason: "idle",
            },
        ]
    }

    /// The socket is closed (by either side, or by [`ConnectionAction::Close`]): leaves all rooms.
    /// Later calls do nothing.
    pub fn closed(&mut self) -> Vec<ConnectionAction> {
        if std::mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        let rooms = std::mem::take(&mut self.rooms);
        let leaves = rooms
            .into_iter()
            .map(|document_id| ConnectionAction::ToRoom {
                document_id,
                input: RoomInput::Leave,
            });
        let relays = std::mem::take(&mut self.relays);
        let relays = relays
            .into_iter()
            .map(|document_id| ConnectionAction::ToRelay {
                document_id,
                input: RelayInput::Leave,
            });
        let session = self.session.clone();
        let end = ConnectionAction::Event(ServerEvent::ClientDisconnected { session });
        leaves.chain(relays).chain([end]).collect()
    }
}
