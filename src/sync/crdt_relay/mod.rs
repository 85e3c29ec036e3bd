//! The relay mode of crdt_socket_sync 0.6: the server keeps a log of opaque blobs per room and
//! sends them on; clients merge. Messages, frames and connections are those of the sync mode.
//!
//! - [`RelayRoom`]: one room of a server over its [`RelayLog`].
//! - [`RelayClient`]: one document of a client on one socket.

mod client;
mod compaction;
mod log;
mod room;
mod tracker;

pub use client::RelayClient;
pub use compaction::{Compaction, LOG_LENGTH_MAX};
pub use log::{Blob, MemoryRelayLog, RelayLog, RelayLogError, RelaySnapshot};
pub use room::{RelayInput, RelayRoom};
pub use tracker::SequenceTracker;
