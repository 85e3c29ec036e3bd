//! The sync mode of crdt_socket_sync 0.6: JSON messages with base64 payloads, one WebSocket
//! message each, optionally gzip; the server holds the documents and computes differences.
//!
//! - [`Message`] and [`frame`]: bytes to messages and back, with limits.
//! - [`ServerConnection`]: one socket of a server. [`Room`]: one document of a server. They are
//!   apart so that each room can live under its own lock: a connection turns a frame into
//!   [`ConnectionAction`]s, some of which are [`RoomInput`]s for the room of a document.
//! - [`Client`]: one document of a client on one socket.
//!
//! The relay mode ([`crdt_relay`](super::crdt_relay)) shares messages, frames and connections.

pub(in crate::sync) mod batch;
pub mod client;
pub mod constants;
mod decode;
mod encode;
pub mod frame;
pub(in crate::sync) mod lobby;
mod message;
pub(in crate::sync) mod payload;
mod room;
mod server;
mod server_event;

pub use client::{
    Client, ClientAction, ClientEvent, ClientOptions, ClientStatus, FailureReason, Progress,
};
pub use frame::{Framing, Limits, SharedMessage};
pub use message::{Message, MessageError, RelayWelcome};
pub use room::{Missed, Room, RoomInput, RoomOutput, RoomOutputs};
pub use server::{ConnectionAction, Refusal, ServerConnection, ServerOptions};
pub use server_event::{ServerError, ServerEvent, SessionId};
