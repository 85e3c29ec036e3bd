//! The messages of a connection that belong to rooms of a relay. One port serves both modes, and
//! each message says by its type which one it means; pings and presence go where their document is.

use super::{ConnectionAction, Refusal, ServerConnection};
use crate::codec::Wtf8String;
use crate::sync::crdt_relay::RelayInput;
use crate::sync::crdt_sync::constants::{error_code, message_type};
use crate::sync::crdt_sync::{Message, ServerError};
use std::sync::Arc;

/// What a message is to the relay mode.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made"
)]
pub(super) enum Relayed {
    /// One of its own.
    Input(Wtf8String, RelayInput),
    /// One of the sync mode, which is not served.
    WrongMode(Wtf8String, i64),
    /// Not its business.
    No(Message),
}

impl ServerConnection {
    pub(super) fn relay_input(&self, message: Message) -> Relayed {
        if !self.options.serve_relay {
            return match message_type_of(&message) {
                Some(message_type) => Relayed::No(Message::Unknown {
                    message_type,
                    document_id: None,
                    body: crate::codec::Value::Null,
                }),
                None => Relayed::No(message),
            };
        }
        match message {
            Message::RelayHello {
                document_id,
                author,
            } => Relayed::Input(document_id, RelayInput::Hello { author }),
            Message::RelayPush {
                document_id,
                changes,
            } => Relayed::Input(document_id, RelayInput::Push(changes)),
            Message::RelaySnapshotUpload {
                document_id,
                snapshot,
                up_to_seq,
            } => Relayed::Input(
                document_id,
                RelayInput::Upload {
                    snapshot,
                    up_to_seq,
                },
            ),
            Message::RelayStateRequest { document_id } => {
                Relayed::Input(document_id, RelayInput::StateRequest)
            }
            Message::Ping {
                ref document_id,
                timestamp,
                ref version_vector,
            } if self.is_relayed(document_id, version_vector.is_none()) => {
                Relayed::Input(document_id.clone(), RelayInput::Ping { timestamp })
            }
            Message::AwarenessUpdate {
                ref document_id,
                ref metadata,
                ..
            } if self.is_relayed(document_id, false) => {
                Relayed::Input(document_id.clone(), RelayInput::Presence(metadata.clone()))
            }
            Message::AwarenessQuery { ref document_id } if self.is_relayed(document_id, false) => {
                Relayed::Input(document_id.clone(), RelayInput::PresenceQuery)
            }
            other if self.options.serve_sync => Relayed::No(other),
            Message::HandshakeRequest { document_id, .. } => {
                Relayed::WrongMode(document_id, message_type::HANDSHAKE_REQUEST)
            }
            Message::Change { document_id, .. } => {
                Relayed::WrongMode(document_id, message_type::CHANGE)
            }
            Message::DocumentStatusRequest { document_id, .. } => {
                Relayed::WrongMode(document_id, message_type::DOCUMENT_STATUS_REQUEST)
            }
            Message::Changes { document_id, .. } => {
                Relayed::WrongMode(document_id, message_type::CHANGES)
            }
            Message::HandshakeResponse { document_id, .. } => {
                Relayed::WrongMode(document_id, message_type::HANDSHAKE_RESPONSE)
            }
            Message::DocumentStatus { document_id, .. } => {
                Relayed::WrongMode(document_id, message_type::DOCUMENT_STATUS)
            }
            Message::Unknown {
                document_id,
                message_type: kind @ ..20,
                ..
            } => Relayed::WrongMode(document_id.unwrap_or_default(), kind),
            other => Relayed::No(other),
        }
    }

    /// Whether this connection has the document in a relay. Clients of a relay send no version with
    /// their pings, those of the sync mode always do: that tells them apart after a redial (traps 3
    /// and 4).
    fn is_relayed(&self, document_id: &Wtf8String, without_version: bool) -> bool {
        let Some(name) = document_id.as_str() else {
            return false;
        };
        self.relays.contains(name)
            || !self.options.serve_sync
            || (without_version && self.rooms.is_empty() && self.relays.is_empty())
    }

    pub(super) fn room_count(&self) -> usize {
        self.rooms.len() + self.relays.len()
    }

    pub(super) fn wrong_mode(
        &self,
        document_id: Wtf8String,
        message_type: i64,
    ) -> Vec<ConnectionAction> {
        let reply = Message::Error {
            document_id,
            code: error_code::INVALID_MESSAGE.to_owned(),
            message: "This server runs the relay protocol. Connect with a relay client.".to_owned(),
        };
        vec![
            ConnectionAction::Reply(reply),
            self.error(None, ServerError::UnsupportedType(message_type)),
        ]
    }

    pub(super) fn for_relay(
        &mut self,
        document_id: Wtf8String,
        input: RelayInput,
        now_ms: i64,
    ) -> Vec<ConnectionAction> {
        let Some(name) = document_id.as_str() else {
            let error = ServerError::DocumentNotFound;
            return self.relay_refusal(&document_id, None, &input, error, now_ms);
        };
        let name: Arc<str> = name.into();
        if !self.relays.contains(&name) && self.room_count() >= self.options.rooms_max {
            let error = ServerError::Limit("rooms_max");
            return self.relay_refusal(&document_id, Some(&name), &input, error, now_ms);
        }
        self.relays.insert(name.clone());
        vec![ConnectionAction::ToRelay {
            document_id: name,
            input,
        }]
    }

    /// A message of [`ConnectionAction::ToRelay`] could not be given to a room.
    pub fn relay_refused(
        &mut self,
        document_id: &Arc<str>,
        input: &RelayInput,
        refusal: Refusal,
        now_ms: i64,
    ) -> Vec<ConnectionAction> {
        if self.closed || matches!(input, RelayInput::Leave) {
            return Vec::new();
        }
        self.relays.remove(document_id);
        let wire_id = Wtf8String::from(&**document_id);
        let error = refusal.as_error();
        self.relay_refusal(&wire_id, Some(document_id), input, error, now_ms)
    }

    fn relay_refusal(
        &self,
        wire_id: &Wtf8String,
        document_id: Option<&Arc<str>>,
        input: &RelayInput,
        error: ServerError,
        now_ms: i64,
    ) -> Vec<ConnectionAction> {
        let report = self.error(document_id, error);
        let reply = match input {
            RelayInput::Hello { .. } => Message::Error {
                document_id: wire_id.clone(),
                code: error_code::HANDSHAKE_FAILED.to_owned(),
                message: "Handshake refused".to_owned(),
            },
            RelayInput::StateRequest => Message::Error {
                document_id: wire_id.clone(),
                code: error_code::INTERNAL_ERROR.to_owned(),
                message: "The room is not available".to_owned(),
            },
            RelayInput::Ping { timestamp } => Message::Pong {
                document_id: wire_id.clone(),
                original_timestamp: *timestamp,
                response_timestamp: now_ms,
            },
            _ => return vec![report],
        };
        vec![ConnectionAction::Reply(reply), report]
    }
}

/// The type of a message that only the relay mode has and a client may send.
fn message_type_of(message: &Message) -> Option<i64> {
    match message {
        Message::RelayHello { .. } => Some(message_type::RELAY_HELLO),
        Message::RelayPush { .. } => Some(message_type::RELAY_PUSH),
        Message::RelaySnapshotUpload { .. } => Some(message_type::RELAY_SNAPSHOT_UPLOAD),
        Message::RelayStateRequest { .. } => Some(message_type::RELAY_STATE_REQUEST),
        _ => None,
    }
}
