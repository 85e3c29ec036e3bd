//! Local-first documents that merge, store and sync.
//!
//! Layers, each knowing only those before it: `tree`, `clock`, `sequence`, `codec`, `document`,
//! `replica`, `sync`, `store`, `net`, `capi`. See `docs/architecture.md`.
#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

#[allow(unsafe_code)]
pub mod capi;
pub mod clock;
pub mod codec;
pub mod document;
#[cfg(feature = "net")]
pub mod net;
pub mod replica;
mod sequence;
pub mod store;
pub mod sync;
#[cfg(test)]
mod testing;
mod tree;
