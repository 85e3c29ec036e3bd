//! How far one live document is stored.
//!
//! Layer: `store`. The tracker watches commits; a commit only raises a number and puts the document
//! on the writer's list. What to write is found later by log position, so a hundred edits between
//! two transactions cost one record. Lock order: document, tracker, writer's queue.

use super::contents::{self, RECORD_BYTES_TARGET};
use super::loading;
use super::stacks::{Stacks, Taken};
use super::writer::Hub;
use super::{Attachment, Content, DocumentMeta, StoreError, StoredRecord, StoredState, Write};
use crate::clock::VersionVector;
use crate::document::{
    Commit, Document, DocumentError, DocumentObserver, LockError, LogPosition, Origin,
    SharedDocument,
};
use crate::replica::Replica;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Told what happens to the documents of a store, on the writer's thread. Must not block: no
/// document is stored meanwhile.
pub trait StoreObserver: Send + Sync {
    /// Everything that `vector` covers is on the device.
    fn stored(&self, _document: &str, _vector: &VersionVector) {}

    /// The document's log was rewritten; it now takes this many bytes.
    fn compacted(&self, _document: &str, _bytes: u64) {}

    /// The document is damaged on the device; all of it was found in the previous generation, and
    /// is stored anew.
    fn recovered(&self, _document: &str, _damage: &StoreError) {}

    /// A write failed. It is tried again; nothing is lost as long as the program runs.
    fn failed(&self, _document: &str, _error: &StoreError) {}
}

/// What to do when everything committed so far is stored.
pub(super) struct Waiter {
    /// Commits that must be stored.
    pub commits: u64,
    /// Waits through failures; only success and the end of the store are told.
    pub patient: bool,
    pub then: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// Content of the stored log, to know when rewriting it pays.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogSize {
    /// Right after the last rewriting.
    pub bytes_rewritten: u64,
    /// Appended since.
    pub bytes_appended: u64,
    pub records_appended: u64,
    pub snapshot_bytes: u64,
}

/// Appended records at which a log is rewritten even if it is small: opening reads each of them.
const RECORDS_APPENDED_MAX: u64 = 4096;
/// How long the writer waits for one document while others wait for the writer.
const LOCK_WAIT: Duration = Duration::from_millis(5);
/// Smallest log that the automatic rule rewrites.
const COMPACT_BYTES_MIN: u64 = 1 << 20;

impl LogSize {
    /// Rewriting costs as much as the log is long, so it must have doubled at least.
    fn wants_compaction(&self, compact_bytes: u64) -> bool {
        let threshold = match compact_bytes {
            0 => COMPACT_BYTES_MIN.max(4 * self.snapshot_bytes),
            bytes => bytes,
        };
        let doubled = self.bytes_appended >= self.bytes_rewritten;
        doubled
            && (self.bytes_appended >= threshold || self.records_appended >= RECORDS_APPENDED_MAX)
            || self.records_appended >= 16 * RECORDS_APPENDED_MAX
    }
}

/// One document that is being stored. Lives as long as the document.
pub(super) struct Tracker {
    pub name: String,
    /// Which opening of the document this is, among those of this process.
    pub session: u64,
    hub: Arc<Hub>,
    myself: Weak<Tracker>,
    document: Mutex<Weak<SharedDocument>>,
    state: Mutex<State>,
}

struct State {
    meta: DocumentMeta,
    /// Of the stored document, as far as this process wrote or read it; 0: it is not stored.
    revision: u64,
    /// Commits seen and stored. Equal: nothing to do.
    commits: u64,
    commits_stored: u64,
    changes: u64,
    changes_stored: u64,
    /// The stored part of the log ends here.
    position: LogPosition,
    vector_stored: VersionVector,
    /// On the writer's list.
    queued: bool,
    /// Why the last write failed.
    error: Option<StoreError>,
    waiters: Vec<Waiter>,
    size: LogSize,
    /// The next write rewrites the log.
    compact: bool,
    /// It was tried, and did not come back whole.
    compaction_refused: bool,
    stacks: Stacks,
}

/// What the writer takes from a document.
pub(super) struct Delta {
    pub meta: DocumentMeta,
    /// What is stored must be of this revision.
    pub revision: u64,
    /// `Some`: rewrite everything, with this snapshot (if there is one).
    pub replace: Option<Option<Vec<u8>>>,
    pub records: Vec<Vec<u8>>,
    /// What is kept beside the content; as it is after these records.
    pub attachments: Vec<Attachment>,
    stacks: Option<Taken>,
    end: Mark,
}

impl Delta {
    /// Of the new snapshot.
    pub fn snapshot_bytes(&self) -> u64 {
        let snapshot = self.replace.as_ref().and_then(Option::as_ref);
        snapshot.map_or(0, |snapshot| snapshot.len() as u64)
    }

    /// Whether what is to take the place of everything that is stored can be read, and has all
    /// versions. Costs as much as opening the document.
    pub fn is_sound(&self, name: &str) -> bool {
        let Some(snapshot) = &self.replace else {
            return true;
        };
        let records = self.records.iter().zip(1..);
        let state = StoredState {
            meta: self.meta,
            snapshot: snapshot.clone(),
            records: records
                .map(|(content, sequence)| StoredRecord {
                    sequence,
                    content: content.clone(),
                })
                .collect(),
            next: 0,
            revision: 0,
        };
        match loading::load(name, Default::default(), &state) {
            Ok((document, _)) => document.version_vector() == self.end.vector,
            Err(error) => {
                log::error!(target: "store", "what was written of document {name:?}: {error}");
                false
            }
        }
    }

    /// Commits that changed nothing.
    pub fn is_empty(&self) -> bool {
        self.replace.is_none() && self.records.is_empty() && self.attachments.is_empty()
    }
}

/// How far a document is stored once a [`Delta`] is.
struct Mark {
    commits: u64,
    changes: u64,
    position: LogPosition,
    vector: VersionVector,
}

/// Sizes of what was written.
pub(super) struct Written {
    pub revision: u64,
    pub log_bytes: u64,
    pub records: u64,
    pub snapshot_bytes: u64,
}

/// What to tell after a write, without any lock.
pub(super) struct Advance {
    pub vector: VersionVector,
    pub done: Vec<Waiter>,
    /// Size after a rewriting.
    pub compacted: Option<u64>,
}

impl Tracker {
    /// Follows a document whose log is stored up to `document`'s present position.
    pub fn new(
        hub: Arc<Hub>,
        name: &str,
        session: u64,
        (meta, revision): (DocumentMeta, u64),
        document: &Document,
        size: LogSize,
    ) -> Arc<Self> {
        let state = State {
            meta,
            revision,
            commits: 0,
            commits_stored: 0,
            changes: 0,
            changes_stored: 0,
            position: document.log_position(),
            vector_stored: document.version_vector(),
            queued: false,
            error: None,
            waiters: Vec::new(),
            size,
            compact: false,
            compaction_refused: false,
            stacks: Stacks::default(),
        };
        Arc::new_cyclic(|myself| Tracker {
            name: name.to_owned(),
            session,
            hub,
            myself: myself.clone(),
            document: Mutex::new(Weak::new()),
            state: Mutex::new(state),
        })
    }

    /// Starts watching.
    pub fn watch(self: &Arc<Self>, document: &Arc<SharedDocument>) {
        *self.document.lock() = Arc::downgrade(document);
        document.add_observer(self.clone());
    }

    pub fn meta(&self) -> DocumentMeta {
        self.state.lock().meta
    }

    /// What was written beside the content, on another thread than the writer's.
    pub fn set_meta(&self, meta: DocumentMeta, revision: u64) {
        let mut state = self.state.lock();
        state.meta = meta;
        state.revision = state.revision.max(revision);
    }

    /// The revision that this process knows.
    pub fn revision(&self) -> u64 {
        self.state.lock().revision
    }

    pub fn vector_stored(&self) -> VersionVector {
        self.state.lock().vector_stored.clone()
    }

    /// Changes that are made, but not stored.
    pub fn changes_unstored(&self) -> u64 {
        let state = self.state.lock();
        state.changes - state.changes_stored
    }

    pub fn error(&self) -> Option<StoreError> {
        self.state.lock().error.clone()
    }

    /// The undo stacks that are stored with the document.
    pub fn with_stacks<R>(&self, body: impl FnOnce(&mut Stacks) -> R) -> R {
        body(&mut self.state.lock().stacks)
    }

    /// One of the document's attachments as the device has it.
    pub fn attachment(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.hub.backend().attachment(&self.name, key)
    }

    /// Stores that there is the document, if that is not stored yet.
    pub fn establish(&self) -> Result<(), StoreError> {
        match self.revision() {
            0 => self.attach(&[]),
            _ => Ok(()),
        }
    }

    /// Stores attachments at once. What is beside the content stays as this process knows it.
    pub fn attach(&self, attachments: &[Attachment]) -> Result<(), StoreError> {
        let meta = self.meta();
        let write = Write {
            attachments,
            ..Write::new(&self.name, meta, Content::Keep)
        };
        let committed = self.hub.backend().commit(&[write])?;
        self.set_meta(meta, committed[0].revision);
        Ok(())
    }

    /// Puts the document on the writer's list although no commit told so.
    pub fn touch(&self, compact: bool) {
        let mut state = self.state.lock();
        state.commits += 1;
        state.compact |= compact;
        self.enqueue(&mut state);
        drop(state);
        self.hub.wake();
    }

    /// Calls `then` when everything committed so far is stored: at once if it is.
    pub fn when_stored(&self, patient: bool, then: Box<dyn FnOnce(Result<(), StoreError>) + Send>) {
        let mut state = self.state.lock();
        if state.commits_stored == state.commits {
            drop(state);
            return then(Ok(()));
        }
        if self.hub.is_stopped() {
            drop(state);
            return then(Err(StoreError::Closed));
        }
        let commits = state.commits;
        state.waiters.push(Waiter {
            commits,
            patient,
            then,
        });
        self.enqueue(&mut state);
        drop(state);
        self.hub.hurry();
    }

    /// The list holds the document itself: what is not stored yet outlives its last user.
    fn enqueue(&self, state: &mut State) {
        if state.queued {
            return;
        }
        let document = self.document.lock().upgrade();
        let (Some(document), Some(myself)) = (document, self.myself.upgrade()) else {
            // Only while the document is being dropped; nobody can commit any more.
            return;
        };
        state.queued = self.hub.push(myself, document);
    }

    /// The writer took the document from its list: commits from here on put it there again.
    pub fn taken(&self) {
        self.state.lock().queued = false;
    }

    /// The document is locked by a transaction: it goes back on the list.
    pub fn postpone(&self) {
        self.enqueue(&mut self.state.lock());
    }

    /// What is to be written. Locks the document, but does not wait for a transaction: it ends with
    /// a commit. `None`: nothing.
    pub fn collect(&self, document: &SharedDocument) -> Result<Option<Delta>, LockError> {
        document.read_within(LOCK_WAIT, |document| {
            let state = self.state.lock();
            if state.commits_stored == state.commits {
                return None;
            }
            let threshold = self.hub.options().compact_bytes;
            let is_due = state.compact || state.size.wants_compaction(threshold);
            let compact = is_due && !state.compaction_refused;
            let appended = if compact {
                None
            } else {
                document.native_changes_since(state.position, RECORD_BYTES_TARGET)
            };
            let (replace, records) = match appended {
                Some(records) => (None, records),
                None => {
                    let (snapshot, records) = contents::whole(document);
                    (Some(snapshot), records)
                }
            };
            let end = Mark {
                commits: state.commits,
                changes: state.changes,
                position: document.log_position(),
                vector: document.version_vector(),
            };
            let (stacks, attachment) = state.stacks.collect(&self.name, document).unzip();
            Some(Delta {
                meta: state.meta,
                revision: state.revision,
                replace,
                records,
                attachments: attachment.into_iter().collect(),
                stacks,
                end,
            })
        })
    }

    /// From here on records are only added.
    pub fn refuse_compaction(&self) {
        let mut state = self.state.lock();
        (state.compact, state.compaction_refused) = (false, true);
    }

    /// A delta is on the device.
    pub fn advance(&self, delta: Delta, written: &Written) -> Advance {
        let mut state = self.state.lock();
        let end = delta.end;
        state.commits_stored = end.commits;
        state.changes_stored = end.changes;
        state.position = end.position;
        state.vector_stored = end.vector;
        state.revision = state.revision.max(written.revision);
        state.error = None;
        if let Some(taken) = delta.stacks {
            state.stacks.stored(taken);
        }
        if delta.replace.is_some() {
            state.compact = false;
            state.size = LogSize {
                bytes_rewritten: written.log_bytes,
                snapshot_bytes: written.snapshot_bytes,
                ..LogSize::default()
            };
        } else {
            state.size.bytes_appended += written.log_bytes;
            state.size.records_appended += written.records;
        }
        let waiters = std::mem::take(&mut state.waiters);
        let (done, waiting) = waiters
            .into_iter()
            .partition(|waiter| waiter.commits <= end.commits);
        state.waiters = waiting;
        Advance {
            vector: state.vector_stored.clone(),
            done,
            compacted: delta
                .replace
                .map(|_| written.log_bytes + written.snapshot_bytes),
        }
    }

    /// Another process wrote to the document: takes in what it wrote. The next attempt to write
    /// builds on it.
    ///
    /// # Errors
    /// [`StoreError::EpochChanged`]; [`StoreError::InUse`] if the document is locked too long; what
    /// is wrong with the stored state.
    pub fn catch_up(&self, document: &SharedDocument) -> Result<(), StoreError> {
        let Some(stored) = self.hub.backend().load(&self.name)? else {
            // It was removed meanwhile; it is made again.
            self.state.lock().revision = 0;
            self.touch(true);
            return Ok(());
        };
        {
            let mut state = self.state.lock();
            let is_new = state.revision == 0;
            if !is_new && state.meta.epoch != stored.meta.epoch {
                let document = self.name.clone();
                return Err(StoreError::EpochChanged { document });
            }
            state.meta.epoch = stored.meta.epoch;
        }
        let (mut other, _) = loading::load(&self.name, Default::default(), &stored)?;
        let merged = document.with(|document| {
            let merged = match other.has_snapshot() {
                false => {
                    let missing = other.export_native(&document.version_vector());
                    let taken = document.import_native(&missing, b"", Origin::Remote);
                    taken.map(drop)
                }
                true => {
                    let snapshot = other.native_snapshot(true);
                    let snapshot = snapshot.map_err(DocumentError::from);
                    snapshot
                        .and_then(|snapshot| document.merge_native_snapshot(&snapshot).map(drop))
                }
            };
            merged.map_err(|error| loading::unreadable(&self.name, None, error))
        });
        merged.map_err(|_| StoreError::InUse {
            document: self.name.clone(),
        })??;
        let mut state = self.state.lock();
        state.revision = stored.revision;
        Ok(())
    }

    /// Takes in what another process wrote, if anything.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let document = self.document.lock().upgrade();
        let stored = self.hub.backend().head(&self.name)?;
        match (document, stored) {
            (Some(document), Some(head)) if head.revision > self.revision() => {
                self.catch_up(&document)
            }
            _ => Ok(()),
        }
    }

    /// A delta could not be written: the document goes back on the list. Gives the waiters to tell.
    pub fn fail(&self, error: &StoreError) -> Vec<Waiter> {
        let mut state = self.state.lock();
        state.error = Some(error.clone());
        self.enqueue(&mut state);
        let waiters = std::mem::take(&mut state.waiters);
        let final_error = *error == StoreError::Closed;
        let (waiting, told) = waiters
            .into_iter()
            .partition(|waiter| waiter.patient && !final_error);
        state.waiters = waiting;
        told
    }
}

impl DocumentObserver for Tracker {
    fn committed(&self, _document: &Document, commit: &Commit) {
        let mut state = self.state.lock();
        state.commits += 1;
        state.changes += commit.change_count;
        self.enqueue(&mut state);
    }

    fn after_commit(&self) {
        self.hub.wake();
    }
}

impl Drop for Tracker {
    /// The document is gone, and everything in it is stored (else the list would hold it).
    fn drop(&mut self) {
        self.hub.push_closed(&self.name, self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_rewritten_when_it_doubled_past_the_threshold() {
        let mut size = LogSize {
            bytes_appended: COMPACT_BYTES_MIN - 1,
            ..LogSize::default()
        };
        assert!(!size.wants_compaction(0));
        size.bytes_appended = COMPACT_BYTES_MIN;
        assert!(size.wants_compaction(0));
        size.snapshot_bytes = COMPACT_BYTES_MIN;
        assert!(!size.wants_compaction(0), "four times the snapshot");
        assert!(size.wants_compaction(1000));
        size.bytes_rewritten = COMPACT_BYTES_MIN + 1;
        assert!(!size.wants_compaction(1000), "not doubled");
    }

    #[test]
    fn many_small_records_are_merged() {
        let size = LogSize {
            records_appended: RECORDS_APPENDED_MAX,
            bytes_appended: 1,
            ..LogSize::default()
        };
        assert!(size.wants_compaction(0));
        let size = LogSize {
            bytes_rewritten: 2,
            ..size
        };
        assert!(!size.wants_compaction(0));
        let size = LogSize {
            records_appended: 16 * RECORDS_APPENDED_MAX,
            ..size
        };
        assert!(size.wants_compaction(0));
    }
}
