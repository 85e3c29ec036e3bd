//! A state of a document for those who join: made once, shared, sent in pieces, kept for a while so
//! that a client that was cut off goes on where it stopped.

use super::message::StateKind;
use crate::clock::VersionVector;

/// A state on its way to one or more clients.
#[derive(Debug)]
pub struct SharedState {
    /// Its number: no other state of any room has it.
    pub id: u64,
    /// What it is.
    pub kind: StateKind,
    /// What whoever gets it must have.
    pub since: VersionVector,
    /// What whoever took it in has.
    pub vector: VersionVector,
    /// Stored changes of the document when it was made.
    pub change_count: usize,
    /// The container.
    pub bytes: Vec<u8>,
}
