//! The native forms of a document (docs/format.md): changes row by row instead of change by change,
//! streams of updates, and snapshots that keep what merging needs.

mod base;
mod deferred;
mod export;
mod fold;
mod import;
mod merge;
mod merge_movable;
mod merge_sequence;
mod movable_state;
mod removals;
mod replica;
mod sequence_state;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod state;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use base::NativeBase;
pub use stream::{NativeReader, NativeWriter};
