//! Protocol state machines: one folder per dialect.
//!
//! Layer: above `replica`, below `store` and `net`. Nothing here does I/O, reads a clock or draws a
//! random number: `now_ms` and seeds come in as arguments; frames, wishes ("wake me at t") and
//! events go out as values. Documents are reached through [`crate::replica::Replica`] only.

pub mod awareness;
mod backoff;
pub mod causal;
pub mod crdt_relay;
pub mod crdt_sync;
pub mod native;
