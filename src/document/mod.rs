//! The crdt_lf document: a log of changes, and handlers that fold it into values.
//!
//! Layer: above `codec` and `sequence`; knows no wire protocol and no file. [`Document`] is plain
//! data for one thread; [`SharedDocument`] guards one for many. Specification: crdt_lf, chapters
//! 8 to 10.

mod conflicts;
mod content;
pub mod custom;
mod delta;
mod diff;
mod factories;
mod frontiers;
mod fugue;
mod handler;
mod handlers;
mod history;
#[cfg(test)]
mod history_tests;
mod import;
mod incoming;
mod list;
mod list_delta;
mod log;
mod maps;
mod movable;
pub mod myers;
mod native;
mod nested;
mod nested_path;
mod plain;
mod registry;
#[cfg(test)]
mod scripts;
mod shared;
mod snapshots;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod transaction;
mod types;
mod typing;
mod undo;
mod units;
mod values;
mod wide_pool;
mod wire;

pub use custom::{CustomError, CustomHandler, CustomOperation, CustomType};
pub use native::{NativeReader, NativeWriter};
pub use nested::{PathStep, RESOLVED_BYTES_MAX, RESOLVED_VALUES_MAX, new_handler_id};
pub use nested_path::NestedPath;
pub use shared::{DocumentObserver, HeldDocument, LockError, ObserverId, SharedDocument};
pub use timeline::Timeline;
pub use types::{
    Affinity, CLOCK_AHEAD_MS_MAX, Commit, Conflict, DocumentError, DocumentOptions, HandlerDelta,
    HandlerIdx, HandlerKind, HandlerSpec, ImportOptions, ListOp, LogPosition, MapOp, Origin,
    TextOp, TextUnit, ValueCodec, WallClock,
};
pub use undo::{UndoEvent, UndoIdx, UndoManager, UndoMark, UndoOptions, Undone};

use crate::clock::{AuthorIdx, Hlc, OperationId, PeerId, VersionVector};
use crate::codec::change::ListWriter;
use crate::codec::{Change, Snapshot};
use crate::replica::ApplyError;
use crate::tree::{LazyMap, LazyVec};
use factories::Factories;
use frontiers::{AuthorOrder, Frontiers};
use handler::Handler;
use log::{ChangeKey, Log};
use native::NativeBase;
use transaction::Transaction;

/// One replica of a document. Every method is O(1) or O(log n) in the size of the document unless
/// it says otherwise.
#[derive(Debug)]
pub struct Document {
    id: Box<str>,
    peer: PeerId,
    own: AuthorIdx,
    clock: Hlc,
    wall_clock: WallClock,
    clock_drift_ms_max: Option<u32>,
    closed: bool,
    log: Log,
    /// The changes that nothing depends on yet, in the order in which they became so.
    frontiers: Frontiers,
    /// Authors with stored changes, in order of appearance since they last lost some to pruning:
    /// the order of the version vector (specification 4.1, 4.3).
    vector_order: AuthorOrder,
    /// Of a document that was opened from a native one: the version, and the entries of handlers
    /// without a native state; the rest is in `native_base`.
    snapshot: Option<Box<Snapshot>>,
    native_base: Option<Box<NativeBase>>,
    /// Per author the latest change that was part of this document and is not stored any more.
    pruned: Option<Box<VersionVector>>,
    /// The log lacks changes that the states in memory have: a snapshot was imported, or changes
    /// were pruned.
    is_seeded: bool,
    handlers: Vec<Handler>,
    /// By id. Invariant: empty while there are few handlers, else complete.
    handler_numbers: LazyMap<Box<str>, HandlerIdx>,
    factories: Factories,
    /// By name number of the log.
    handler_of_name: LazyVec<Option<HandlerIdx>>,
    /// Revisions of ids that snapshots brought before they were registered.
    early_revisions: LazyMap<String, u64>,
    transaction: Option<Box<Transaction>>,
    recording: bool,
    /// Handlers whose recorder is on.
    recorded: LazyVec<HandlerIdx>,
    /// Handlers that folded a change behind a younger one and may need a replay.
    unsettled: LazyVec<HandlerIdx>,
    commits: LazyVec<Commit>,
    commit_count: u64,
    observers_of_all: u32,
    /// Containers, once per observer of everything in them.
    deeply_observed: LazyVec<HandlerIdx>,
    generation: u64,
    /// The document shows a history: it is read-only.
    timeline: Option<Box<Timeline>>,
    /// What undo managers note; None without any.
    tracker: Option<Box<undo::Tracker>>,
}

impl Document {
    /// An empty document.
    ///
    /// # Panics
    /// If ids are to be made and the operating system gives no random bytes.
    pub fn new(options: DocumentOptions) -> Self {
        let peer = options.peer_id.unwrap_or_else(PeerId::random);
        let id = match options.document_id.is_empty() {
            true => PeerId::random().to_string(),
            false => options.document_id,
        };
        let mut log = Log::default();
        let own = log.authors.intern(peer);
        Document {
            id: id.into(),
            peer,
            own,
            clock: options.initial_clock,
            wall_clock: options.wall_clock,
            clock_drift_ms_max: options.clock_drift_ms_max,
            closed: false,
            log,
            frontiers: Frontiers::default(),
            vector_order: AuthorOrder::default(),
            snapshot: None,
            native_base: None,
            pruned: None,
            is_seeded: false,
            handlers: Vec::new(),
            handler_numbers: LazyMap::default(),
            factories: Factories::new(),
            handler_of_name: LazyVec::default(),
            early_revisions: LazyMap::default(),
            transaction: None,
            recording: false,
            recorded: LazyVec::default(),
            unsettled: LazyVec::default(),
            commits: LazyVec::default(),
            commit_count: 0,
            observers_of_all: 0,
            deeply_observed: LazyVec::default(),
            generation: 0,
            timeline: None,
            tracker: None,
        }
    }

    /// The document's id. It never enters changes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The writer of local changes.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The clock, as the last event left it.
    pub fn clock(&self) -> Hlc {
        self.clock
    }

    /// Advances the clock by a local event (crdt_lf's `prepareMutation`).
    pub fn tick(&mut self) -> Result<Hlc, DocumentError> {
        self.ensure_open()?;
        self.ensure_editable(0)?;
        self.clock = self.clock.local_event(self.wall_clock.now_ms());
        Ok(self.clock)
    }

    /// True without changes and snapshot.
    pub fn is_empty(&self) -> bool {
        self.log.change_count() == 0 && self.snapshot.is_none()
    }

    /// Ends the document: what would change it gives [`DocumentError::Closed`] from now on.
    /// An open transaction is rolled back.
    pub fn close(&mut self) {
        if self.transaction.is_some() {
            // Only fails without a transaction.
            let _ = self.rollback();
        }
        self.closed = true;
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    #[inline]
    fn ensure_open(&self) -> Result<(), DocumentError> {
        if !self.closed && self.timeline.is_none() {
            return Ok(());
        }
        match self.ensure_writable() {
            Ok(()) => Ok(()),
            Err(ApplyError::ReadOnly) => Err(DocumentError::ReadOnly),
            Err(_) => Err(DocumentError::Closed),
        }
    }

    fn ensure_writable(&self) -> Result<(), ApplyError> {
        if self.closed {
            Err(ApplyError::Closed)
        } else if self.timeline.is_some() {
            Err(ApplyError::ReadOnly)
        } else {
            Ok(())
        }
    }

    /// The ids of the changes that nothing depends on yet.
    pub fn frontiers(&self) -> Vec<OperationId> {
        self.frontiers
            .iter()
            .map(|key| self.log.operation_id(key))
            .collect()
    }

    /// Number of stored changes.
    pub fn change_count(&self) -> u64 {
        self.log.change_count()
    }

    /// Whether a change is stored.
    pub fn contains_change(&self, id: &OperationId) -> bool {
        self.key_of(id)
            .is_some_and(|key| self.log.find(key).is_some())
    }

    fn key_of(&self, id: &OperationId) -> Option<ChangeKey> {
        Some(ChangeKey {
            author: self.log.authors.find(&id.peer)?,
            clock: id.hlc,
        })
    }

    /// The latest clock seen of an author.
    fn seen(&self, author: AuthorIdx) -> Option<Hlc> {
        let covered = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.vector().get(&self.log.authors.peer(author)));
        self.log.latest(author).max(covered)
    }

    /// Whether the last snapshot covers a change.
    fn is_covered(&self, key: ChangeKey) -> bool {
        let peer = self.log.authors.peer(key.author);
        self.snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.vector().covers(&peer, key.clock))
    }

    /// Stored changes that are not among `frontiers` nor above them, in store order; empty
    /// `frontiers`: all. O(changes).
    pub fn export_changes_from(
        &self,
        frontiers: &[OperationId],
    ) -> Result<Vec<Change>, DocumentError> {
        let keys: Option<Vec<ChangeKey>> = frontiers.iter().map(|id| self.key_of(id)).collect();
        let keys = keys.ok_or(DocumentError::UnknownChange)?;
        self.log
            .not_above(&keys)
            .map_err(|_| DocumentError::UnknownChange)
    }

    /// All stored changes in the form of an export list (crdt_lf's `binaryExportChanges`), without
    /// a copy of each change. O(changes).
    pub fn export_list(&self) -> Vec<u8> {
        let mut list = ListWriter::new(self.log.change_count() as usize);
        self.log.for_each_from(0, |_, _, change| {
            list.push(change);
            true
        });
        list.finish()
    }

    /// Where the log ends now.
    pub fn log_position(&self) -> LogPosition {
        LogPosition {
            generation: self.generation,
            index: self.log.change_count(),
        }
    }

    /// Changes stored since `position`, in store order; None if history was rewritten meanwhile:
    /// then whoever follows starts over with the snapshot and all changes. O(what is new).
    pub fn changes_since(&self, position: LogPosition) -> Option<Vec<Change>> {
        if position.generation != self.generation {
            return None;
        }
        let mut out = Vec::new();
        self.log.for_each_from(position.index, |_, _, change| {
            out.push(change.clone());
            true
        });
        Some(out)
    }

    /// Changes the limit of [`DocumentOptions::clock_drift_ms_max`].
    pub fn set_clock_drift_ms_max(&mut self, drift_ms_max: Option<u32>) {
        self.clock_drift_ms_max = drift_ms_max;
    }

    /// The exact version vector: what is stored and what the snapshot covers.
    fn vector(&self) -> VersionVector {
        let mut vector = VersionVector::new();
        let mut add = |author: AuthorIdx| {
            if let Some(clock) = self.seen(author) {
                vector.update(self.log.authors.peer(author), clock);
            }
        };
        self.vector_order.iter().for_each(&mut add);
        if let Some(snapshot) = &self.snapshot {
            for (peer, clock) in snapshot.vector().iter() {
                let stored = self
                    .log
                    .authors
                    .find(&peer)
                    .and_then(|author| self.log.latest(author));
                vector.update(peer, stored.map_or(clock, |stored| stored.max(clock)));
            }
        }
        for author in 0..self.log.authors.len() as u32 {
            if let Some(clock) = self.log.latest(AuthorIdx(author)) {
                vector.update(self.log.authors.peer(AuthorIdx(author)), clock);
            }
        }
        vector
    }

    /// Memory held, in bytes; estimated for what handlers keep per key.
    pub fn heap_bytes(&self) -> usize {
        let handlers: usize = self
            .handlers
            .iter()
            .map(|handler| handler.heap_bytes() + size_of::<Handler>())
            .sum();
        let timeline = self.timeline.as_ref().map_or(0, |line| line.heap_bytes());
        self.log.heap_bytes() + self.frontiers.heap_bytes() + handlers + timeline
    }

    /// Panics if an invariant is broken. Walks everything: for tests.
    pub fn check(&self) {
        self.handlers.iter().for_each(Handler::check);
        self.frontiers.check();
        self.timeline.iter().for_each(|line| line.check());
        for key in self.frontiers.iter() {
            assert!(self.log.find(key).is_some() || self.is_covered(key));
        }
    }
}
