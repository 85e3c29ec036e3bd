//! The native dialect `syncline.v1` (docs/protocol.md): binary frames, many documents on one
//! connection, each a numbered channel.
//!
//! - [`Message`] and [`frame`]: bytes to messages and back, with limits.
//! - [`parts`]: what waits to be sent. Large messages leave in parts, so that a keystroke of another
//!   document passes between two of them.
//! - [`ServerConnection`]: one socket of a server. [`Room`]: one document of a server.
//! - [`Client`]: one socket of a client, with all its documents.
//!
//! What the changes are about is in the forms of docs/format.md; this layer carries them.

pub mod client;
pub mod frame;
mod message;
pub mod parts;
mod room;
mod server;
mod state;

pub use client::{
    Client, ClientAction, ClientEvent, ClientOptions, ClientStatus, DocumentKey, DocumentPhase,
    Incoming, Progress,
};
pub use frame::{FrameError, Limits};
pub use message::{
    Access, Code, Hello, Join, Joined, Level, Message, PresenceEntry, StateKind, Welcome, feature,
};
pub use parts::{FairQueue, Outgoing};
pub use room::{Room, RoomInput, RoomOptions, RoomOutput, RoomOutputs, Surroundings};
pub use server::{ConnectionAction, ServerConnection, ServerOptions};
pub use state::SharedState;

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "syncline.v1";
/// The version of the protocol that is spoken here; the oldest, too.
pub const VERSION: u64 = 1;
