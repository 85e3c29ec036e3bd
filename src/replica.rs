//! What `sync` and `store` see of a document, so that a new kind of document or a new dialect is
//! one file.

use crate::clock::{OperationId, VersionVector};
use crate::codec::native::NativeError;
use crate::codec::{Change, Snapshot};
use std::fmt;

/// Why one change could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyError {
    /// A dependency is neither stored nor covered by the last snapshot.
    NotReady {
        /// The first dependency that is missing.
        missing: OperationId,
    },
    /// A named limit would be exceeded.
    Limit(&'static str),
    /// The clock of the change is too far ahead of the wall clock.
    ClockDrift {
        /// How far ahead, in milliseconds.
        ahead_ms: i64,
    },
    /// The document is closed.
    Closed,
    /// The document shows a history and cannot be changed.
    ReadOnly,
    /// Not while a transaction is open.
    InTransaction,
    /// Changes that the asker has not seen were pruned: it needs the last snapshot.
    HistoryPruned {
        /// One of them.
        lost: OperationId,
    },
    /// The application's part of a custom handler could not write its state.
    Custom {
        /// Which handler.
        handler_id: String,
        /// What it said.
        message: String,
    },
    /// A handler's type is not known here, so its state cannot be written and its changes must
    /// not be pruned.
    UnknownHandler {
        /// The type.
        type_tag: String,
    },
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Whether the snapshot was taken over.
    pub snapshot_applied: bool,
    /// Changes that were new and applied.
    pub applied: usize,
    /// Changes that lack a dependency; nothing is remembered of them.
    pub not_ready: usize,
}

/// A document as the sync protocols and the store see it.
pub trait Replica {
    /// Everything seen: changes and snapshot.
    fn version_vector(&self) -> VersionVector;

    /// The last snapshot, if there is one.
    fn last_snapshot(&self) -> Option<&Snapshot>;

    /// Number of stored changes. Override it where counting is cheaper than listing.
    fn change_count(&self) -> usize {
        self.all_changes().len()
    }

    /// Stored changes that `seen` does not cover: grouped by author, clocks ascending.
    fn changes_newer_than(&self, seen: &VersionVector) -> Vec<Change>;

    /// All stored changes in the order in which they were stored (a causal order).
    fn all_changes(&self) -> Vec<Change>;

    /// Applies one remote change. `Ok(false)`: known already (stored, or covered by the version
    /// vector), nothing happened.
    fn apply(&mut self, change: Change) -> Result<bool, ApplyError>;

    /// Imports a snapshot (if given and not older than the own one) and changes, in any order.
    /// A refused snapshot makes the changes be ignored, too (as crdt_lf 8.7 `import`).
    fn import(
        &mut self,
        snapshot: Option<&Snapshot>,
        changes: Vec<Change>,
    ) -> Result<ImportOutcome, ApplyError>;

    /// Takes a snapshot of everything and, with `prune`, drops the changes it covers.
    fn take_snapshot(&mut self, prune: bool) -> Result<&Snapshot, ApplyError>;
}

/// Why compact native bytes were not taken in. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NativeApplyError {
    /// They do not decode, or do not continue their stream.
    Malformed(NativeError),
    /// The document refuses.
    Refused(ApplyError),
}

impl From<NativeError> for NativeApplyError {
    fn from(error: NativeError) -> Self {
        NativeApplyError::Malformed(error)
    }
}

impl From<ApplyError> for NativeApplyError {
    fn from(error: ApplyError) -> Self {
        NativeApplyError::Refused(error)
    }
}

impl fmt::Display for NativeApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NativeApplyError::Malformed(error) => write!(f, "{error}"),
            NativeApplyError::Refused(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for NativeApplyError {}

/// A document that also speaks the compact native forms (docs/format.md).
///
/// A stream of updates goes from one writer to one reader, in order and without a gap; both belong
/// to the replica that made them.
pub trait NativeReplica: Replica {
    /// Follows this replica and writes what is new.
    type Writer: fmt::Debug + Send;
    /// Takes in what one writer of a peer writes.
    type Reader: fmt::Debug + Send;

    /// A stream to somebody who has what `seen` covers. What `seen` lacks must be in the history:
    /// see [`ensure_history`](Self::ensure_history).
    fn writer_since(&self, seen: &VersionVector) -> Self::Writer;

    /// Appends the update that brings the reader up to date; false if it is.
    ///
    /// # Errors
    /// History was rewritten meanwhile: another stream must begin.
    fn write_update(&self, writer: &mut Self::Writer, out: &mut Vec<u8>)
    -> Result<bool, Rewritten>;

    /// Whether there is nothing to write.
    fn is_current(&self, writer: &Self::Writer) -> bool;

    /// Leaves out all that is new: the reader has it from elsewhere.
    fn skip_update(&self, writer: &mut Self::Writer);

    /// The beginning of a stream from a peer. A `strict` reader refuses what peers of other
    /// dialects could not read.
    fn reader(&self, strict: bool) -> Self::Reader;

    /// Takes in an update of a stream. After an error the stream is at its end.
    ///
    /// # Errors
    /// Nothing was changed.
    fn apply_update(
        &mut self,
        reader: &mut Self::Reader,
        update: &[u8],
    ) -> Result<ImportOutcome, NativeApplyError>;

    /// Whether all that `seen` lacks is here as changes.
    ///
    /// # Errors
    /// [`ApplyError::HistoryPruned`].
    fn ensure_history(&self, seen: &VersionVector) -> Result<(), ApplyError>;

    /// The changes that `seen` does not cover, as containers of about `bytes_target` each; none
    /// if it covers all.
    ///
    /// # Errors
    /// [`ApplyError::HistoryPruned`].
    fn native_changes(
        &self,
        seen: &VersionVector,
        bytes_target: usize,
    ) -> Result<Vec<Vec<u8>>, ApplyError>;

    /// Everything as one container: states with what merging needs, and the history that is here.
    ///
    /// # Errors
    /// As for [`Replica::take_snapshot`].
    fn native_state(&mut self) -> Result<Vec<u8>, ApplyError>;

    /// Takes in a container of changes; `strict` as for [`reader`](Self::reader).
    ///
    /// # Errors
    /// Nothing was changed.
    fn apply_native_changes(
        &mut self,
        container: &[u8],
        strict: bool,
    ) -> Result<ImportOutcome, NativeApplyError>;

    /// Takes in a container of [`native_state`](Self::native_state). `Ok(false)`: all was known.
    ///
    /// # Errors
    /// Nothing was changed.
    fn merge_native_state(&mut self, container: &[u8]) -> Result<bool, NativeApplyError>;
}

/// History was rewritten (a snapshot, pruning): a stream that followed it is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten;

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::NotReady { missing } => {
                write!(f, "change {missing} is missing, on which this one depends")
            }
            ApplyError::Limit(limit) => write!(f, "limit exceeded: {limit}"),
            ApplyError::ClockDrift { ahead_ms } => {
                write!(f, "the clock of the change is {ahead_ms} ms ahead")
            }
            ApplyError::Closed => f.write_str("the document is closed"),
            ApplyError::ReadOnly => f.write_str("a history cannot be changed"),
            ApplyError::InTransaction => f.write_str("not while a transaction is open"),
            ApplyError::HistoryPruned { lost } => {
                write!(f, "the change {lost} was pruned: a snapshot is needed")
            }
            ApplyError::Custom {
                handler_id,
                message,
            } => {
                write!(f, "the custom handler {handler_id:?} failed: {message}")
            }
            ApplyError::UnknownHandler { type_tag } => {
                write!(f, "handlers of type {type_tag} are not known here")
            }
        }
    }
}

impl std::error::Error for ApplyError {}
