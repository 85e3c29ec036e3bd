//! Logs of records that nobody here understands: what a relay room keeps.
//!
//! Layer: `store`. Records get dense numbers when they are committed, through the writer that serves
//! the documents, so that all rooms share one transaction. In memory is only what waits for it.
//! A snapshot that a client made covers the log up to a number; what it covers is kept beside it
//! until that is dropped or the next snapshot comes.

use super::writer::Hub;
use super::{
    Committed, Content, DocumentMeta, Generation, Head, KIND_RELAY, LogPage, StoreError, Write,
    check_name, new_epoch,
};
use crate::clock::PeerId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Called once on the writer's thread, which must not be blocked.
type Then<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// A log that is open. Cheap to clone; all clones of a name are the same log.
#[derive(Clone)]
pub struct RawLog {
    core: Arc<LogCore>,
}

/// A snapshot, and the first sequence that it does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSnapshot {
    /// As it was given.
    pub content: Vec<u8>,
    /// What a reader of the snapshot reads next.
    pub end: u64,
}

pub(super) struct LogCore {
    name: String,
    hub: Arc<Hub>,
    state: Mutex<LogState>,
}

struct LogState {
    head: Head,
    /// Waits for the writer, in order.
    steps: Vec<Step>,
    /// On the writer's list, or being written.
    queued: bool,
    /// Content of the steps that are not stored.
    backlog_bytes: usize,
    error: Option<StoreError>,
}

/// What is to be written, and whom to tell.
struct Step {
    change: Change,
    then: Then<Committed>,
}

enum Change {
    Append(Vec<Vec<u8>>),
    Cover(Vec<u8>, u64),
    DropPrevious,
    Clear,
}

impl Change {
    fn content(&self) -> Content<'_> {
        match self {
            Change::Append(records) => Content::Append(records),
            Change::Cover(snapshot, end) => Content::Cover {
                snapshot,
                end: *end,
            },
            Change::DropPrevious => Content::DropPrevious,
            Change::Clear => Content::Clear,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Change::Append(records) => records.iter().map(Vec::len).sum(),
            Change::Cover(snapshot, _) => snapshot.len(),
            Change::DropPrevious | Change::Clear => 0,
        }
    }
}

/// The open logs of a store.
#[derive(Default)]
pub(super) struct Logs {
    open: Mutex<HashMap<String, Weak<LogCore>>>,
}

impl Logs {
    /// The log of this name; `None` if there is none and none is to be made.
    pub fn open(
        &self,
        hub: &Arc<Hub>,
        name: &str,
        create: bool,
    ) -> Result<Option<RawLog>, StoreError> {
        check_name(name)?;
        let mut open = self.open.lock();
        if let Some(core) = open.get(name).and_then(Weak::upgrade) {
            return Ok(Some(RawLog { core }));
        }
        let backend = hub.backend();
        let mut head = backend.head(name)?;
        if head.is_none() && create {
            let meta = DocumentMeta {
                kind: KIND_RELAY,
                peer_id: PeerId::random(),
                closed_cleanly: true,
                epoch: new_epoch(),
            };
            // On the device at once: a room's epoch must not change once somebody heard of it.
            backend.commit(&[Write::new(name, meta, Content::Keep)])?;
            head = backend.head(name)?;
        }
        let Some(head) = head else {
            return Ok(None);
        };
        if head.meta.kind != KIND_RELAY {
            let found = head.meta.kind;
            return Err(StoreError::WrongKind { found });
        }
        if !backend.is_read_only() {
            hub.start()?;
        }
        let core = Arc::new(LogCore {
            name: name.to_owned(),
            hub: hub.clone(),
            state: Mutex::new(LogState {
                head,
                steps: Vec::new(),
                queued: false,
                backlog_bytes: 0,
                error: None,
            }),
        });
        open.insert(name.to_owned(), Arc::downgrade(&core));
        Ok(Some(RawLog { core }))
    }

    /// Runs `body` while nobody can open the log; `None` if it is open.
    pub fn while_closed<R>(&self, name: &str, body: impl FnOnce() -> R) -> Option<R> {
        let open = self.open.lock();
        let is_open = open.get(name).is_some_and(|core| core.strong_count() > 0);
        (!is_open).then(body)
    }

    /// The last user of a log is gone.
    fn forget(&self, name: &str) {
        let mut open = self.open.lock();
        // Somebody may have opened it again.
        if open.get(name).is_some_and(|core| core.strong_count() == 0) {
            open.remove(name);
        }
    }

    /// All that are open.
    pub fn all(&self) -> Vec<RawLog> {
        let open = self.open.lock();
        let cores = open.values().filter_map(Weak::upgrade);
        cores.map(|core| RawLog { core }).collect()
    }
}

impl RawLog {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The epoch; another one after [`RawLog::reset`].
    pub fn epoch(&self) -> u64 {
        self.core.state.lock().head.meta.epoch
    }

    /// What is stored: the numbers of the log, sizes, and what is kept of the previous generation.
    pub fn head(&self) -> Head {
        self.core.state.lock().head.clone()
    }

    /// Number of the next record, not counting those that wait to be stored.
    pub fn next(&self) -> u64 {
        self.core.state.lock().head.next
    }

    /// Adds records, in the order of the calls. `then` gets their numbers when they are on the
    /// device. A device that fails is tried again; `then` gets an error only if the records can
    /// never be stored, or the store is closed.
    pub fn append(
        &self,
        records: Vec<Vec<u8>>,
        then: impl FnOnce(Result<Range<u64>, StoreError>) + Send + 'static,
    ) {
        let count = records.len() as u64;
        let then = move |stored: Result<Committed, StoreError>| {
            then(stored.map(|stored| stored.next - count..stored.next));
        };
        self.push(Change::Append(records), Box::new(then));
    }

    /// Puts a snapshot in the place of the records before `end`, in one transaction. The snapshot
    /// before it and the records that the new one covers stay as the previous generation.
    ///
    /// `then` gets [`StoreError::OutOfRange`] if `end` lies before what is covered already, or
    /// behind the next record.
    pub fn cover(
        &self,
        snapshot: Vec<u8>,
        end: u64,
        then: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) {
        self.push(
            Change::Cover(snapshot, end),
            Box::new(|stored| then(stored.map(drop))),
        );
    }

    /// Drops the previous generation: somebody has shown that the snapshot is good.
    pub fn drop_previous(&self, then: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        self.push(
            Change::DropPrevious,
            Box::new(|stored| then(stored.map(drop))),
        );
    }

    /// Drops everything and begins a new epoch, which `then` gets. Numbers go on.
    pub fn reset(&self, then: impl FnOnce(Result<u64, StoreError>) + Send + 'static) {
        let log = self.clone();
        let then = move |stored: Result<Committed, StoreError>| {
            let epoch = stored.map(|_| log.epoch());
            drop(log);
            then(epoch);
        };
        self.push(Change::Clear, Box::new(then));
    }

    /// Reads stored records: those of `range`, as many as `bytes_max` allows, at least one.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`]: the range begins before what is kept; begin with a snapshot.
    /// [`StoreError::Corrupt`].
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<LogPage, StoreError> {
        self.core
            .hub
            .backend()
            .read_log(self.name(), range, bytes_max)
    }

    /// A stored snapshot.
    pub fn snapshot(&self, generation: Generation) -> Result<Option<LogSnapshot>, StoreError> {
        // A snapshot may be replaced in between; then what was read is asked again.
        loop {
            let before = self.head();
            let content = self.core.hub.backend().snapshot(self.name(), generation)?;
            let after = self.head();
            if (before.first, before.previous) != (after.first, after.previous) {
                continue;
            }
            let end = match generation {
                Generation::Current => Some(after.first),
                Generation::Previous => after.previous.map(|previous| previous.first),
            };
            return Ok(content
                .zip(end)
                .map(|(content, end)| LogSnapshot { content, end }));
        }
    }

    /// Content that waits to be stored. Whoever appends must bound it: a device that fails keeps
    /// everything waiting.
    pub fn backlog_bytes(&self) -> usize {
        self.core.state.lock().backlog_bytes
    }

    /// Why the last write failed; `None` after one that succeeded.
    pub fn last_error(&self) -> Option<StoreError> {
        self.core.state.lock().error.clone()
    }

    /// Waits until everything that was asked for so far is on the device.
    ///
    /// # Errors
    /// [`StoreError::Timeout`], [`StoreError::Closed`].
    pub(super) fn flush(&self, deadline: Instant) -> Result<(), StoreError> {
        if !self.core.state.lock().queued {
            return Ok(());
        }
        let (sender, receiver) = crossbeam_channel::bounded(1);
        // An empty append is as late as everything before it.
        self.append(Vec::new(), move |stored| {
            drop(sender.send(stored.map(drop)))
        });
        receiver
            .recv_deadline(deadline)
            .unwrap_or(Err(StoreError::Timeout))
    }

    fn push(&self, change: Change, then: Then<Committed>) {
        if self.core.hub.backend().is_read_only() {
            return then(Err(StoreError::ReadOnly));
        }
        let mut state = self.core.state.lock();
        if !state.queued {
            state.queued = self.core.hub.push_log(self.core.clone());
        }
        if !state.queued {
            drop(state);
            return then(Err(StoreError::Closed));
        }
        state.backlog_bytes += change.bytes();
        state.steps.push(Step { change, then });
        drop(state);
        self.core.hub.hurry();
    }
}

impl LogCore {
    /// What the writer is to write now. Steps that do not fit are refused.
    pub fn collect(self: Arc<Self>) -> LogJob {
        let mut state = self.state.lock();
        let mut meta = state.head.meta;
        let (mut first, mut next) = (state.head.first, state.head.next);
        let mut steps = Vec::new();
        let mut refused = Vec::new();
        for step in std::mem::take(&mut state.steps) {
            match &step.change {
                Change::Append(records) => next += records.len() as u64,
                Change::Cover(_, end) if (first..=next).contains(end) => first = *end,
                Change::Cover(_, end) => {
                    let nearest = (*end).clamp(first, next);
                    refused.push((step, StoreError::OutOfRange { nearest }));
                    continue;
                }
                Change::DropPrevious => {}
                Change::Clear => {
                    first = next;
                    meta.epoch = new_epoch();
                }
            }
            steps.push((step, meta));
        }
        drop(state);
        for (step, error) in refused {
            self.refuse(step, error);
        }
        LogJob { core: self, steps }
    }
}

/// Steps of one log that are being written.
pub(super) struct LogJob {
    core: Arc<LogCore>,
    /// With what is kept beside the content after each.
    steps: Vec<(Step, DocumentMeta)>,
}

impl LogJob {
    pub fn name(&self) -> &str {
        &self.core.name
    }

    pub fn bytes(&self) -> usize {
        self.steps.iter().map(|(step, _)| step.change.bytes()).sum()
    }

    pub fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        self.steps
            .iter()
            .map(|(step, meta)| Write::new(&self.core.name, *meta, step.change.content()))
    }

    /// It is on the device.
    pub fn stored(self, committed: &[Committed]) {
        self.core.advance(&self.steps, committed);
        self.core.requeue(Vec::new());
        drop(self.core);
        for ((step, _), committed) in self.steps.into_iter().zip(committed) {
            (step.then)(Ok(*committed));
        }
    }

    /// It could not be written. What can never be written is refused, what was not the cause is
    /// written, and what can be written later goes back to the front of the line.
    pub fn failed(self, error: StoreError) {
        let LogJob { core, steps } = self;
        let mut steps = steps.into_iter();
        let alone = steps.len() == 1;
        let mut error = Some(error).filter(|error| alone || !is_final(error));
        let (mut again, mut done) = (Vec::new(), Vec::new());
        for (step, meta) in steps.by_ref() {
            let write = Write::new(&core.name, meta, step.change.content());
            let failure = error.take();
            match failure.map_or_else(|| core.hub.backend().commit(&[write]), Err) {
                Ok(committed) => {
                    let stored = [(step, meta)];
                    core.advance(&stored, &committed);
                    let [(step, _)] = stored;
                    done.push((step.then, Ok(committed[0])));
                }
                Err(error) if is_final(&error) => {
                    core.state.lock().backlog_bytes -= step.change.bytes();
                    done.push((step.then, Err(error)));
                }
                Err(error) => {
                    core.state.lock().error = Some(error);
                    again.push(step);
                    break;
                }
            }
        }
        again.extend(steps.map(|(step, _)| step));
        core.requeue(again);
        drop(core);
        done.into_iter().for_each(|(then, result)| then(result));
    }
}

impl LogCore {
    /// Remembers what is stored after `steps`.
    fn advance(&self, steps: &[(Step, DocumentMeta)], committed: &[Committed]) {
        let mut state = self.state.lock();
        state.error = None;
        let bytes: usize = steps.iter().map(|(step, _)| step.change.bytes()).sum();
        state.backlog_bytes -= bytes;
        let Some(last) = committed.last() else {
            return;
        };
        let appends = steps
            .iter()
            .all(|(step, _)| matches!(step.change, Change::Append(_)));
        if appends && last.revision == state.head.revision + steps.len() as u64 {
            (state.head.next, state.head.revision) = (last.next, last.revision);
            state.head.log_bytes += bytes as u64;
            return;
        }
        match self.hub.backend().head(&self.name) {
            Ok(Some(head)) => state.head = head,
            // The numbers are what matters for what comes next.
            _ => state.head.next = last.next,
        }
    }

    /// The writer is done with the log for now; `again` comes before what was added meanwhile.
    fn requeue(self: &Arc<Self>, mut again: Vec<Step>) {
        let mut state = self.state.lock();
        again.append(&mut state.steps);
        state.steps = again;
        state.queued = !state.steps.is_empty() && self.hub.push_log(self.clone());
        let abandoned = match state.queued {
            true => Vec::new(),
            false => std::mem::take(&mut state.steps),
        };
        drop(state);
        self.abandon(abandoned);
    }

    fn abandon(&self, steps: Vec<Step>) {
        for step in steps {
            self.refuse(step, StoreError::Closed);
        }
    }

    fn refuse(&self, step: Step, error: StoreError) {
        self.state.lock().backlog_bytes -= step.change.bytes();
        (step.then)(Err(error));
    }

    /// The store is closed: what waits is not stored.
    pub fn close(&self) {
        let steps = std::mem::take(&mut self.state.lock().steps);
        self.abandon(steps);
    }
}

impl Drop for LogCore {
    fn drop(&mut self) {
        self.hub.logs.forget(&self.name);
    }
}

/// Whether trying again is of no use.
fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Limit(_)
            | StoreError::WrongKind { .. }
            | StoreError::OutOfRange { .. }
            | StoreError::Closed
    )
}
