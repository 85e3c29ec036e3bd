//! The numbers and names both sides agree on (specification, chapter 3).

/// A client that gets no answer to its handshake within this time gives the attempt up.
pub const HANDSHAKE_TIMEOUT_MS: i64 = 5_000;
/// Time between two pings of a client.
pub const PING_INTERVAL_MS: i64 = 15_000;
/// A client that hears nothing for this long after a ping takes the connection for dead.
pub const PING_TIMEOUT_MS: i64 = 30_000;
/// A server that hears nothing for this long takes the client for gone.
pub const CLIENT_TIMEOUT_MS: i64 = 60_000;
/// Largest frame that a Dart peer sends.
pub const DART_FRAME_BYTES_MAX: usize = 1_048_576;
/// Length of a session id.
pub const SESSION_ID_LEN: usize = 22;

/// Message types (specification 2.2).
pub mod message_type {
    /// Client to server: who I am and what I have seen.
    pub const HANDSHAKE_REQUEST: i64 = 0;
    /// Server to client: what you lack, your session id, what I have.
    pub const HANDSHAKE_RESPONSE: i64 = 1;
    /// Both ways: one change.
    pub const CHANGE: i64 = 2;
    /// Server to client: what you lack and what I have.
    pub const DOCUMENT_STATUS: i64 = 3;
    /// Client to server: tell me what I lack.
    pub const DOCUMENT_STATUS_REQUEST: i64 = 4;
    /// Are you there? With what the sender has seen.
    pub const PING: i64 = 5;
    /// Answer to a ping.
    pub const PONG: i64 = 6;
    /// Server to client: a code and a text.
    pub const ERROR: i64 = 7;
    /// Client to server only: several changes.
    pub const CHANGES: i64 = 8;
    /// Client to relay: who I am.
    pub const RELAY_HELLO: i64 = 20;
    /// Relay to client: snapshot, log, session id.
    pub const RELAY_WELCOME: i64 = 21;
    /// Client to relay: to be added to the log.
    pub const RELAY_PUSH: i64 = 22;
    /// Relay to client: a push is in the log.
    pub const RELAY_ACK: i64 = 23;
    /// Relay to client: entries of the log.
    pub const RELAY_CHANGES: i64 = 24;
    /// Client to relay: to take the place of the log.
    pub const RELAY_SNAPSHOT_UPLOAD: i64 = 25;
    /// Client to relay: welcome me again.
    pub const RELAY_STATE_REQUEST: i64 = 26;
    /// Both ways: the presence of one session.
    pub const AWARENESS_UPDATE: i64 = 100;
    /// Client to server: tell me the presence of all sessions.
    pub const AWARENESS_QUERY: i64 = 101;
    /// Server to client: the presence of all sessions.
    pub const AWARENESS_STATE: i64 = 102;
}

/// Codes of error messages.
pub mod error_code {
    /// The handshake was refused.
    pub const HANDSHAKE_FAILED: &str = "HANDSHAKE_FAILED";
    /// Never sent by Dart servers.
    pub const CONNECTION_CLOSED: &str = "CONNECTION_CLOSED";
    /// A frame the server cannot use.
    pub const INVALID_MESSAGE: &str = "INVALID_MESSAGE";
    /// Never sent by Dart servers.
    pub const TIMEOUT: &str = "TIMEOUT";
    /// Never sent by Dart servers.
    pub const INTERNAL_ERROR: &str = "INTERNAL_ERROR";
    /// The server does not have the document.
    pub const DOCUMENT_NOT_FOUND: &str = "DOCUMENT_NOT_FOUND";
    /// The client may not edit the document. Not known to Dart peers.
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// A change lacks a dependency: ask for the status.
    pub const OUT_OF_SYNC: &str = "OUT_OF_SYNC";
}

/// WebSocket close codes used in this dialect (it reads none).
pub mod close_code {
    /// Normal end.
    pub const NORMAL: u16 = 1000;
    /// The peer was silent for too long.
    pub const IDLE: u16 = 1001;
    /// A frame exceeds a limit of the transport.
    pub const TOO_BIG: u16 = 1009;
    /// The peer reads too slowly; try again later.
    pub const OVERLOADED: u16 = 1013;
}
