//! Local-first documents that merge, store and sync.
//!
//! Layers, each knowing only those before it: `tree` and `clock`, `sequence`, `codec`, `document`,
//! `replica`, `sync`, `store`, `net`, `capi`. See `docs/architecture.md`.
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod clock;
pub mod codec;
pub mod document;
pub mod replica;
mod sequence;
pub mod sync;
#[cfg(test)]
mod testing;
mod tree;
