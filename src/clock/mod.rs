//! Logical time and identity: who made a change, and when.
//!
//! Layer: bottom, next to `tree`. Knows no document and no wire; the fixed-width byte forms here
//! are the identity of the values themselves. Source: crdt_lf specification, chapters 2 to 4.

mod author;
mod hlc;
mod operation_id;
mod peer_id;
mod version_vector;
#[allow(unsafe_code)]
mod wall;

pub use author::{AuthorIdx, Authors};
pub use hlc::{ClockDrift, Hlc};
pub use operation_id::{OperationId, OrderKey};
pub use peer_id::PeerId;
pub use version_vector::VersionVector;
pub(crate) use wall::now_ms;

/// A text form that does not parse: what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError(pub(crate) &'static str);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ParseError {}
