//! Live documents that keep themselves stored.
//!
//! Layer: `store`. A document is live at most once per store, however often it is opened: two copies
//! with one peer id would make two different changes of the same name.
//!
//! The same danger lurks in a crash: changes that were sent to a peer, but not stored, exist in the
//! world under this device's peer id. So the store remembers whether a document was closed with
//! everything stored; if it was not, the next opening continues under a new peer id.

use super::tracker::{LogSize, Tracker};
use super::verify::{self, Report};
use super::writer::Hub;
use super::{
    Attachment, Content, DocumentInfo, DocumentMeta, Head, KIND_CRDT, RawLog, Store, StoreError,
    StoreObserver, Write, check_name, loading, new_epoch, stacks,
};
use crate::clock::{PeerId, VersionVector};
use crate::document::{Document, DocumentOptions, SharedDocument, UndoIdx};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How documents are written.
#[derive(Clone, Debug)]
pub struct DocumentStoreOptions {
    /// How long an edit waits for others to share its transaction, milliseconds. Nobody waits when
    /// somebody flushes.
    pub flush_delay_ms: u32,
    /// Appended bytes at which the log of a document is rewritten as few large records; 0: four
    /// times the snapshot, at least 1 MiB.
    pub compact_bytes: u64,
    /// How long is remembered what went when a document was put back, days. Until then peers from
    /// before are recognised.
    pub retired_days: u32,
    /// How long dropping the store may take to store the rest, milliseconds.
    pub drop_timeout_ms: u32,
}

impl Default for DocumentStoreOptions {
    fn default() -> Self {
        DocumentStoreOptions {
            flush_delay_ms: 20,
            compact_bytes: 0,
            retired_days: 90,
            drop_timeout_ms: 5_000,
        }
    }
}

/// How one document is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The document. `document_id` is replaced by the name; `peer_id` should be left empty, then
    /// the stored one (or a new one) is taken.
    pub document: DocumentOptions,
    /// How long to wait for another thread's transaction.
    pub lock_timeout: Duration,
    /// Makes the document if it is not stored.
    pub create: bool,
    /// Whether local edits may reach peers before they are stored: true, unless the caller holds
    /// them back. Costs a transaction when opening.
    pub edits_leave_unstored: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions {
            document: DocumentOptions::default(),
            lock_timeout: Duration::from_secs(10),
            create: true,
            edits_leave_unstored: true,
        }
    }
}

/// How long is waited for the last edits of a document that nobody uses any more.
const LAST_WRITE_WAIT: Duration = Duration::from_secs(1);

/// A store with live documents. Dropping it closes it.
pub struct DocumentStore {
    hub: Arc<Hub>,
}

/// A live document of a store. The store follows the document as long as anybody uses it.
#[derive(Clone)]
pub struct StoredDocument {
    document: Arc<SharedDocument>,
    /// `None` in a read-only store.
    tracker: Option<Arc<Tracker>>,
    epoch: u64,
}

impl DocumentStore {
    /// Binds documents to `backend`, which must not be used by anybody else.
    pub fn new(backend: Arc<dyn Store>, options: DocumentStoreOptions) -> Self {
        DocumentStore {
            hub: Hub::new(backend, options),
        }
    }

    /// The live document of this name: loaded, made, or the one that is open already (then
    /// `options` matter little). Waits while another thread opens the same document.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without `create`; what is wrong with its stored state.
    pub fn open(&self, name: &str, options: &OpenOptions) -> Result<StoredDocument, StoreError> {
        check_name(name)?;
        loop {
            if self.hub.is_stopped() {
                return Err(StoreError::Closed);
            }
            let slot = self.hub.registry.slot(name);
            let mut state = slot.state.lock();
            if state.retired {
                continue;
            }
            if let Some(document) = state.document.upgrade() {
                let tracker = state.tracker.upgrade();
                let epoch = state.epoch;
                let stored = StoredDocument {
                    document,
                    tracker,
                    epoch,
                };
                if options.edits_leave_unstored {
                    self.expect_unstored_edits(name, &mut state, &stored)?;
                }
                return Ok(stored);
            }
            let opened = self.load(name, options, &mut state);
            if matches!(opened, Err(StoreError::Conflict { .. })) {
                // Another process opened it at the same moment.
                continue;
            }
            if opened.is_err() && state.session == 0 {
                self.hub.registry.remove(name, &mut state);
            }
            return opened;
        }
    }

    fn load(
        &self,
        name: &str,
        options: &OpenOptions,
        slot: &mut SlotState,
    ) -> Result<StoredDocument, StoreError> {
        let backend = self.hub.backend();
        let found = backend.load(name);
        let (stored_meta, revision) = match &found {
            Ok(Some(state)) => (Some(state.meta), state.revision),
            Ok(None) if options.create => (None, 0),
            Ok(None) => return Err(StoreError::NotFound),
            Err(StoreError::Corrupt { .. }) => {
                let head = backend.head(name)?;
                head.map_or((None, 0), |head| (Some(head.meta), head.revision))
            }
            Err(error) => return Err(error.clone()),
        };
        // A former session in this process ended with everything stored: its document is gone, and
        // what is not stored keeps its document alive.
        let own_peer = match (slot.meta, stored_meta) {
            (Some(meta), _) => Some(meta.peer_id),
            (None, Some(meta)) if meta.closed_cleanly && !backend.is_read_only() => {
                Some(meta.peer_id)
            }
            _ => None,
        };
        let peer_id = options
            .document
            .peer_id
            .or(own_peer)
            .unwrap_or_else(PeerId::random);
        let meta = DocumentMeta {
            kind: KIND_CRDT,
            peer_id,
            closed_cleanly: !options.edits_leave_unstored,
            epoch: stored_meta.map_or_else(new_epoch, |meta| meta.epoch),
        };
        let mut document_options = options.document.clone();
        document_options.document_id = name.to_owned();
        document_options.peer_id = Some(peer_id);
        let loaded = found.and_then(|found| match found {
            Some(state) => loading::load(name, document_options.clone(), &state),
            None => Ok((Document::new(document_options.clone()), LogSize::default())),
        });
        let (document, size, damage) = match loaded {
            Ok((document, size)) => (document, size, None),
            Err(error @ StoreError::Corrupt { .. }) => {
                match verify::from_previous(backend, name, document_options)? {
                    Some((document, size)) => (document, size, Some(error)),
                    None => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        if let Some(error) = &damage {
            self.hub.tell_recovered(name, error);
        }
        if backend.is_read_only() {
            let document = SharedDocument::new(document, options.lock_timeout);
            *slot = SlotState {
                document: Arc::downgrade(&document),
                session: 1,
                epoch: meta.epoch,
                ..SlotState::default()
            };
            return Ok(StoredDocument {
                document,
                tracker: None,
                epoch: meta.epoch,
            });
        }
        let mut revision = revision;
        if options.edits_leave_unstored {
            let write = Write {
                expected: Some(revision),
                ..Write::new(name, meta, Content::Keep)
            };
            revision = backend.commit(&[write])?[0].revision;
        }
        self.hub.start()?;
        let session = self.hub.registry.next_session();
        let tracker = Tracker::new(
            self.hub.clone(),
            name,
            session,
            (meta, revision),
            &document,
            size,
        );
        let document = SharedDocument::new(document, options.lock_timeout);
        tracker.watch(&document);
        if damage.is_some() {
            // Stored anew, so that there are two sound generations again.
            tracker.touch(true);
        }
        *slot = SlotState {
            session,
            document: Arc::downgrade(&document),
            tracker: Arc::downgrade(&tracker),
            meta: Some(meta),
            epoch: meta.epoch,
            retired: false,
        };
        Ok(StoredDocument {
            document,
            tracker: Some(tracker),
            epoch: meta.epoch,
        })
    }

    /// A document that was opened by somebody who holds edits back is now used by somebody who
    /// does not.
    fn expect_unstored_edits(
        &self,
        name: &str,
        slot: &mut SlotState,
        stored: &StoredDocument,
    ) -> Result<(), StoreError> {
        let Some(tracker) = &stored.tracker else {
            return Ok(());
        };
        let mut meta = tracker.meta();
        if meta.closed_cleanly {
            meta.closed_cleanly = false;
            let write = Write::new(name, meta, Content::Keep);
            let committed = self.hub.backend().commit(&[write])?;
            tracker.set_meta(meta, committed[0].revision);
            slot.meta = Some(meta);
        }
        Ok(())
    }

    /// The document if it is live.
    pub fn live(&self, name: &str) -> Option<StoredDocument> {
        let slot = self.hub.registry.find(name)?;
        let state = slot.state.lock();
        let document = state.document.upgrade()?;
        Some(StoredDocument {
            document,
            tracker: state.tracker.upgrade(),
            epoch: state.epoch,
        })
    }

    /// The log of this name, for records that nobody here understands; it is made if it is
    /// missing. A log that is open already is the same one. Reads no content.
    ///
    /// # Errors
    /// [`StoreError::WrongKind`]: the name is that of a document; [`StoreError::ReadOnly`]: it is
    /// missing and cannot be made.
    pub fn open_log(&self, name: &str) -> Result<RawLog, StoreError> {
        let opened = self.hub.logs.open(&self.hub, name, true)?;
        opened.ok_or(StoreError::NotFound)
    }

    /// The same for a log that is not to be made.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is missing; [`StoreError::WrongKind`].
    pub fn find_log(&self, name: &str) -> Result<RawLog, StoreError> {
        let opened = self.hub.logs.open(&self.hub, name, false)?;
        opened.ok_or(StoreError::NotFound)
    }

    /// What is known of a stored document or log without reading its content.
    pub fn head(&self, name: &str) -> Result<Option<Head>, StoreError> {
        self.hub.backend().head(name)
    }

    /// Drops the stored document or log; false if there was none.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while it is live.
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        self.while_closed(name, || self.hub.backend().remove(name))?
    }

    /// Whether a document is stored. A new document without edits may not be yet.
    pub fn contains(&self, name: &str) -> Result<bool, StoreError> {
        self.hub.backend().contains(name)
    }

    /// All stored documents, in the order of their names' bytes.
    pub fn list(&self) -> Result<Vec<DocumentInfo>, StoreError> {
        self.hub.backend().list()
    }

    /// How many documents are stored.
    pub fn count(&self) -> Result<u64, StoreError> {
        self.hub.backend().count()
    }

    /// Something small that the application keeps beside the documents; `None` if there is none.
    pub fn value(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.hub.backend().value(key)
    }

    /// Sets it, or forgets it. It is on the device when this returns.
    pub fn set_value(&self, key: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        self.hub.backend().set_value(key, value)
    }

    /// Whether nothing is ever written.
    pub fn is_read_only(&self) -> bool {
        self.hub.backend().is_read_only()
    }

    /// Reads and decodes everything that is stored, and says what is damaged. Documents may be in
    /// use meanwhile; it takes as long as opening each of them.
    ///
    /// # Errors
    /// Only of a device that does not work; damage is in the report.
    pub fn verify(&self) -> Result<Report, StoreError> {
        let backend = self.hub.backend();
        let mut report = Report::default();
        for line in backend.check()? {
            report.add(None, line, false);
        }
        for name in backend.names()? {
            verify::verify(backend, &name, &mut report)?;
        }
        Ok(report)
    }

    /// The same; and damaged documents are replaced by what can be read of them. What was damaged
    /// in a log of records that nobody here understands stays as it is; so does what is live, which
    /// is only looked at.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`]; of the device.
    pub fn repair(&self) -> Result<Report, StoreError> {
        let backend = self.hub.backend();
        let mut report = Report::default();
        for line in backend.check()? {
            report.add(None, line, false);
        }
        for name in backend.names()? {
            match self.while_closed(&name, || verify::repair(backend, &name, &mut report)) {
                Ok(repaired) => repaired?,
                Err(_) => verify::verify(backend, &name, &mut report)?,
            }
        }
        Ok(report)
    }

    pub(super) fn backend(&self) -> &dyn Store {
        self.hub.backend()
    }

    /// How long what was retired is remembered.
    pub(super) fn retired_days(&self) -> u32 {
        self.hub.options().retired_days
    }

    /// Runs `body` while nobody can open the document or log.
    pub(super) fn while_closed<R>(
        &self,
        name: &str,
        body: impl FnOnce() -> R,
    ) -> Result<R, StoreError> {
        let in_use = || StoreError::InUse {
            document: name.to_owned(),
        };
        // The last user may be the writer, who has still to store it or is about to let go.
        let tracker = self.hub.registry.find(name);
        let tracker = tracker.and_then(|slot| slot.state.lock().tracker.upgrade());
        if let Some(tracker) = tracker.filter(|_| !self.hub.is_own_thread()) {
            // What cannot be stored keeps the document in use, which is said below.
            let _ = wait_stored(&tracker, Instant::now() + LAST_WRITE_WAIT);
            drop(tracker);
            self.hub.settle();
        }
        let slot = self.hub.registry.slot(name);
        let mut state = slot.state.lock();
        if state.document.strong_count() > 0 {
            return Err(in_use());
        }
        let done = self.hub.logs.while_closed(name, body);
        // What a former opening knew of it may be wrong now.
        if !state.retired {
            self.hub.registry.remove(name, &mut state);
        }
        done.ok_or_else(in_use)
    }

    /// Waits until everything committed so far, in all documents, is on the device.
    ///
    /// # Errors
    /// Of the first write that failed, or [`StoreError::Timeout`].
    pub fn flush(&self, timeout: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + timeout;
        for tracker in self.hub.registry.trackers() {
            wait_stored(&tracker, deadline)?;
        }
        for log in self.hub.logs.all() {
            log.flush(deadline)?;
        }
        if self.hub.is_suspended() {
            // Nothing waits, and the file is closed.
            return Ok(());
        }
        self.hub.backend().flush()
    }

    /// Stores everything, then lets go of the file and its locks, and sleeps: no timer runs. Live
    /// documents can be edited; what is edited is stored after [`resume`](DocumentStore::resume).
    /// Another process may use the file meanwhile.
    ///
    /// # Errors
    /// If not everything could be stored in time; it is suspended nevertheless.
    pub fn suspend(&self, timeout: Duration) -> Result<(), StoreError> {
        if self.hub.is_suspended() {
            return Ok(());
        }
        let flushed = match self.is_read_only() {
            true => Ok(()),
            false => self.flush(timeout),
        };
        self.hub.suspend(true);
        self.hub.backend().suspend().and(flushed)
    }

    /// Takes the file up again, and takes in what other processes wrote to live documents.
    ///
    /// # Errors
    /// Those of opening, [`StoreError::Busy`] among them: then it is still suspended. Those of
    /// [`refresh`](DocumentStore::refresh).
    pub fn resume(&self) -> Result<(), StoreError> {
        self.hub.backend().resume()?;
        self.hub.suspend(false);
        self.refresh()
    }

    /// Takes in what other processes wrote to live documents of a shared file. Costs a look at the
    /// row of each if there is nothing.
    ///
    /// # Errors
    /// [`StoreError::EpochChanged`] and others of the first document that could not be brought up.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let mut result = Ok(());
        for tracker in self.hub.registry.trackers() {
            result = result.and(tracker.refresh());
        }
        result
    }

    /// Flushes, then ends the use of the store. Live documents go on living, but are not stored any
    /// more; drop them before, so that they keep their peer ids.
    pub fn close(&self, timeout: Duration) -> Result<(), StoreError> {
        if self.hub.is_stopped() {
            return Ok(());
        }
        let flushed = self.flush(timeout);
        self.hub.stop();
        flushed.and(self.hub.backend().close())
    }

    /// Adds somebody to be told; see [`StoreObserver`].
    pub fn add_observer(&self, observer: Arc<dyn StoreObserver>) {
        self.hub.add_observer(observer);
    }

    /// Removes an observer. It may still be called by a write that is under way.
    pub fn remove_observer(&self, observer: &Arc<dyn StoreObserver>) {
        self.hub.remove_observer(observer);
    }
}

impl Drop for DocumentStore {
    fn drop(&mut self) {
        let timeout = Duration::from_millis(self.hub.options().drop_timeout_ms.into());
        if let Err(error) = self.close(timeout) {
            log::error!(target: "store", "the store was closed with unstored changes: {error}");
        }
    }
}

impl StoredDocument {
    /// The document.
    pub fn document(&self) -> &Arc<SharedDocument> {
        &self.document
    }

    /// See [`DocumentMeta::epoch`]. 0 in a read-only file of an older version.
    pub fn epoch(&self) -> u64 {
        let tracked = self.tracker.as_ref().map(|tracker| tracker.meta().epoch);
        tracked.unwrap_or(self.epoch)
    }

    /// Puts on the device that there is the document, with its epoch: a new one without edits is
    /// not stored, and an epoch that somebody heard of must not change.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`]; of the device.
    pub fn establish(&self) -> Result<(), StoreError> {
        let tracker = self.tracker.as_ref().ok_or(StoreError::ReadOnly)?;
        tracker.establish()
    }

    /// Waits until everything committed so far is on the device.
    ///
    /// # Errors
    /// [`StoreError::Timeout`], also while another transaction of this thread is open;
    /// [`StoreError::ReadOnly`] in a read-only store; of a write that failed meanwhile.
    pub fn flush(&self, timeout: Duration) -> Result<(), StoreError> {
        match &self.tracker {
            Some(tracker) => wait_stored(tracker, Instant::now() + timeout),
            None => Err(StoreError::ReadOnly),
        }
    }

    /// Calls `then` once when everything committed so far is on the device: at once if it is, else
    /// on the writer's thread, which must not be blocked. A `patient` caller is not told of failed
    /// attempts, but waits until one succeeds or the store is closed.
    pub fn when_stored(
        &self,
        patient: bool,
        then: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) {
        match &self.tracker {
            Some(tracker) => tracker.when_stored(patient, Box::new(then)),
            None => then(Err(StoreError::ReadOnly)),
        }
    }

    /// Stores what changed without a commit (a snapshot that pruned history).
    pub fn touch(&self) {
        if let Some(tracker) = &self.tracker {
            tracker.touch(false);
        }
    }

    /// Rewrites the stored log as few large records.
    pub fn compact(&self) {
        if let Some(tracker) = &self.tracker {
            tracker.touch(true);
        }
    }

    /// What was stored beside the document under a key; `None` if nothing was, or the store is
    /// read-only.
    ///
    /// # Errors
    /// Of the device.
    pub fn attachment(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match &self.tracker {
            Some(tracker) => tracker.attachment(key),
            None => Ok(None),
        }
    }

    /// Stores something beside the document under a key, at once; `None` drops it. Later edits may
    /// be on the device before it, never behind it. Blocks for a transaction.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`]; of the device.
    pub fn attach(&self, key: &str, content: Option<Vec<u8>>) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.attach_all(&[Attachment { key, content }])
    }

    /// Restores the steps of an undo manager as they were stored last, and keeps them stored from
    /// here on: in the transaction that stores the edits which they are about, so that they are
    /// never ahead of the content. At most one manager of a document is kept at a time.
    ///
    /// Steps name what they are about by its ids, so a user's earlier steps can be undone under a
    /// new peer id, too. Stacks that are damaged are left out with a warning in the log.
    ///
    /// # Errors
    /// [`StoreError::InUse`]: another manager is kept; [`StoreError::Busy`]: the document was locked
    /// too long; [`StoreError::ReadOnly`]; if the device fails.
    pub fn keep_undo(&self, manager: UndoIdx) -> Result<(), StoreError> {
        match &self.tracker {
            Some(tracker) => stacks::keep(tracker, &self.document, manager),
            None => Err(StoreError::ReadOnly),
        }
    }

    /// Forgets an undo manager of the document; if its stacks are kept, what they are now is
    /// stored for the next one.
    pub fn remove_undo(&self, manager: UndoIdx) {
        match &self.tracker {
            Some(tracker) => stacks::leave(tracker, &self.document, manager),
            None => drop(self.document.take_undo_manager(manager, false)),
        }
    }

    /// Several at once, in one transaction.
    pub(super) fn attach_all(&self, attachments: &[Attachment]) -> Result<(), StoreError> {
        match &self.tracker {
            Some(tracker) => tracker.attach(attachments),
            None => Err(StoreError::ReadOnly),
        }
    }

    /// Changes that are made but not stored.
    pub fn unstored_changes(&self) -> u64 {
        self.tracker
            .as_ref()
            .map_or(0, |tracker| tracker.changes_unstored())
    }

    /// What is on the device.
    pub fn stored_vector(&self) -> VersionVector {
        self.tracker
            .as_ref()
            .map_or_else(VersionVector::new, |tracker| tracker.vector_stored())
    }

    /// Why the last write failed; `None` after one that succeeded.
    pub fn last_error(&self) -> Option<StoreError> {
        self.tracker.as_ref().and_then(|tracker| tracker.error())
    }
}

fn wait_stored(tracker: &Tracker, deadline: Instant) -> Result<(), StoreError> {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    // The receiver may have stopped waiting; then nobody wants the answer.
    tracker.when_stored(false, Box::new(move |result| drop(sender.send(result))));
    receiver
        .recv_deadline(deadline)
        .unwrap_or(Err(StoreError::Timeout))
}

/// The names that are live, or were until a moment ago.
#[derive(Default)]
pub(super) struct Registry {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    sessions: AtomicU64,
}

/// One name. Its lock is held while the document is loaded, so that it is loaded once. Lock order:
/// slot, then the registry's map.
#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    /// The last opening; 0: none yet.
    session: u64,
    document: Weak<SharedDocument>,
    tracker: Weak<Tracker>,
    /// Of the last opening.
    meta: Option<DocumentMeta>,
    epoch: u64,
    /// Not in the map any more.
    retired: bool,
}

impl Registry {
    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        match slots.get(name) {
            Some(slot) => slot.clone(),
            None => slots.entry(name.to_owned()).or_default().clone(),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Slot>> {
        self.slots.lock().get(name).cloned()
    }

    fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn remove(&self, name: &str, slot: &mut SlotState) {
        slot.retired = true;
        self.slots.lock().remove(name);
    }

    fn trackers(&self) -> Vec<Arc<Tracker>> {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        slots
            .iter()
            .filter_map(|slot| slot.state.lock().tracker.upgrade())
            .collect()
    }

    /// Forgets documents that were dropped and not opened again, after `write` has put on the
    /// device that they are closed. Their names stay locked meanwhile, so that an opening comes
    /// either before (and the name is skipped) or after.
    pub fn retire<E>(
        &self,
        closed: Vec<(String, u64)>,
        write: impl FnOnce(&[(String, DocumentMeta)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let found = closed
            .into_iter()
            .filter_map(|(name, session)| Some((self.find(&name)?, name, session)));
        let found: Vec<(Arc<Slot>, String, u64)> = found.collect();
        let mut locked: Vec<(&str, MutexGuard<'_, SlotState>)> = Vec::new();
        for (slot, name, session) in &found {
            // Not waiting: the lock is held by an opening, which reads the file.
            let Some(state) = slot.state.try_lock() else {
                continue;
            };
            if state.session == *session && !state.retired {
                locked.push((name, state));
            }
        }
        let metas = locked.iter().filter_map(|(name, state)| {
            let meta = state.meta.filter(|meta| !meta.closed_cleanly)?;
            Some((
                (*name).to_owned(),
                DocumentMeta {
                    closed_cleanly: true,
                    ..meta
                },
            ))
        });
        let result = write(&metas.collect::<Vec<_>>());
        for (name, state) in &mut locked {
            self.remove(name, state);
        }
        result
    }
}
