//! The messages of the sync mode, of the relay mode and of the awareness plugin (specification,
//! chapter 2). They share the envelope, the frames and most of the rules.

use crate::clock::{PeerId, VersionVector};
use crate::codec::{Change, DecodeError, Snapshot, Value, Wtf8String};
use std::fmt;

/// One protocol message. A document id may hold lone surrogates, as any Dart string.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Type 0: a client joins.
    HandshakeRequest {
        /// The document.
        document_id: Wtf8String,
        /// The client's peer id.
        author: PeerId,
        /// What the client has seen.
        version_vector: VersionVector,
    },
    /// Type 1: the server's answer to 0.
    HandshakeResponse {
        /// The document.
        document_id: Wtf8String,
        /// The server's snapshot, if the client needs it.
        snapshot: Option<Snapshot>,
        /// What the client lacks.
        changes: Option<Vec<Change>>,
        /// The session's name.
        session_id: String,
        /// What the server has.
        version_vector: VersionVector,
    },
    /// Type 2: one change.
    Change {
        /// The document.
        document_id: Wtf8String,
        /// The change.
        change: Change,
    },
    /// Type 3: the server's answer to 4, or unasked.
    DocumentStatus {
        /// The document.
        document_id: Wtf8String,
        /// The server's snapshot, if the client needs it.
        snapshot: Option<Snapshot>,
        /// What the client lacks.
        changes: Option<Vec<Change>>,
        /// What the server has.
        version_vector: VersionVector,
    },
    /// Type 4: a client asks for what it lacks.
    DocumentStatusRequest {
        /// The document.
        document_id: Wtf8String,
        /// What the client has seen; none: send everything.
        version_vector: Option<VersionVector>,
    },
    /// Type 5.
    Ping {
        /// The document.
        document_id: Wtf8String,
        /// The sender's time in milliseconds since 1970.
        timestamp: i64,
        /// What the sender has seen.
        version_vector: Option<VersionVector>,
    },
    /// Type 6: the answer to 5.
    Pong {
        /// The document.
        document_id: Wtf8String,
        /// Copied from the ping.
        original_timestamp: i64,
        /// The sender's time in milliseconds since 1970.
        response_timestamp: i64,
    },
    /// Type 7.
    Error {
        /// The document.
        document_id: Wtf8String,
        /// One of [`error_code`](super::constants::error_code), or anything.
        code: String,
        /// Text for people.
        message: String,
    },
    /// Type 8: changes of a client.
    Changes {
        /// The document.
        document_id: Wtf8String,
        /// The changes, grouped by author when a Dart client sent them.
        changes: Vec<Change>,
    },
    /// Type 20: a client joins a room of a relay, which is named as its document.
    RelayHello {
        /// The room.
        document_id: Wtf8String,
        /// The client's peer id.
        author: PeerId,
    },
    /// Type 21: the relay's answer to 20 and 26.
    RelayWelcome(Box<RelayWelcome>),
    /// Type 22: a client adds to the log.
    RelayPush {
        /// The room.
        document_id: Wtf8String,
        /// Opaque, one per change.
        changes: Vec<Wtf8String>,
    },
    /// Type 23: a push is in the log.
    RelayAck {
        /// The room.
        document_id: Wtf8String,
        /// The sequence number of the last blob of the push.
        seq: i64,
        /// How many blobs it had.
        count: i64,
        /// Entries of the log after the snapshot.
        log_length: i64,
        /// Please upload a snapshot.
        compact: bool,
    },
    /// Type 24: entries of the log.
    RelayChanges {
        /// The room.
        document_id: Wtf8String,
        /// Opaque, one per change.
        changes: Vec<Wtf8String>,
        /// The sequence number of the last of them.
        seq: i64,
        /// The session that pushed them.
        from: Option<Wtf8String>,
    },
    /// Type 25: a client's snapshot, to take the place of the log.
    RelaySnapshotUpload {
        /// The room.
        document_id: Wtf8String,
        /// Opaque.
        snapshot: Wtf8String,
        /// The last entry that it covers.
        up_to_seq: i64,
    },
    /// Type 26: a client asks for a welcome.
    RelayStateRequest {
        /// The room.
        document_id: Wtf8String,
    },
    /// Type 100: the presence of one session.
    AwarenessUpdate {
        /// The document.
        document_id: Wtf8String,
        /// The session.
        client_id: Wtf8String,
        /// An object.
        metadata: Value,
    },
    /// Type 101: a client asks for 102.
    AwarenessQuery {
        /// The document.
        document_id: Wtf8String,
    },
    /// Type 102: the presence of every session.
    AwarenessState {
        /// The document.
        document_id: Wtf8String,
        /// Sessions, and an object for each.
        states: Vec<(Wtf8String, Value)>,
    },
    /// Any other type: plugins of applications, the future.
    Unknown {
        /// The type.
        message_type: i64,
        /// The document, if there is such a field.
        document_id: Option<Wtf8String>,
        /// The whole object.
        body: Value,
    },
}

/// The content of a welcome.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayWelcome {
    /// The room.
    pub document_id: Wtf8String,
    /// The session's name.
    pub session_id: String,
    /// Opaque; what the entries come after.
    pub snapshot: Option<Wtf8String>,
    /// Opaque, one per change.
    pub changes: Vec<Wtf8String>,
    /// The sequence number of the last of them.
    pub seq: i64,
    /// Entries of the log after the snapshot.
    pub log_length: i64,
    /// Please upload a snapshot.
    pub compact: bool,
}

/// Why a frame is not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// A named limit is exceeded.
    Limit(&'static str),
    /// The gzip data is damaged.
    Gzip,
    /// Not JSON.
    Json(DecodeError),
    /// JSON, but not an object with an integer `type`.
    NotAMessage,
    /// A field is missing or is of the wrong kind.
    Field {
        /// The type of the message.
        message_type: i64,
        /// The key.
        field: &'static str,
    },
    /// A base64 payload does not decode.
    Payload {
        /// The type of the message.
        message_type: i64,
        /// The key.
        field: &'static str,
        /// Where, within the payload.
        error: DecodeError,
    },
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::Limit(limit) => write!(f, "the frame exceeds {limit}"),
            MessageError::Gzip => f.write_str("the gzip data is damaged"),
            MessageError::Json(error) => write!(f, "not JSON: {error}"),
            MessageError::NotAMessage => f.write_str("not an object with an integer type"),
            MessageError::Field {
                message_type,
                field,
            } => {
                write!(f, "message of type {message_type}: no valid field {field}")
            }
            MessageError::Payload {
                message_type,
                field,
                error,
            } => {
                write!(f, "message of type {message_type}: field {field}: {error}")
            }
        }
    }
}

impl std::error::Error for MessageError {}
