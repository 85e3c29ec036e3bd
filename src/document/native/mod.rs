//! The native forms of a document (docs/format.md): changes row by row instead of change by change,
//! streams of updates, and snapshots that keep what merging needs.

mod export;
mod fold;
mod import;
mod sequence_state;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::{NativeReader, NativeWriter};
