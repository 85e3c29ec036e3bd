//! The thread that writes: one for all documents of a store.
//!
//! Layer: `store`. Group commit: it sleeps until a document is on the list, waits a moment for
//! company (not at all if somebody waits for the result), takes what each document has to store,
//! and writes all of it in one transaction. While that runs the next list fills.

use super::document_store::Registry;
use super::raw_log::{LogCore, LogJob, Logs};
use super::tracker::{Delta, Tracker, Waiter, Written};
use super::{Content, DocumentStoreOptions, Store, StoreError, StoreObserver, Write};
use crate::document::{LockError, SharedDocument};
use parking_lot::{Condvar, Mutex, RwLock};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No further document joins a transaction that reached this size.
const TRANSACTION_BYTES_MAX: usize = 32 << 20;
/// First and longest pause after a failed write.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// Pause before trying again to read a document that is locked.
const BUSY_DELAY: Duration = Duration::from_millis(20);

/// What became of a list.
enum Outcome {
    Stored,
    /// A document was locked by a transaction.
    Busy,
    /// A write failed.
    Failed,
}

/// What the writer, the trackers and the store share.
pub(super) struct Hub {
    backend: Arc<dyn Store>,
    options: DocumentStoreOptions,
    queue: Mutex<Queue>,
    wake: Condvar,
    observers: RwLock<Vec<Arc<dyn StoreObserver>>>,
    pub registry: Registry,
    pub logs: Logs,
}

#[derive(Default)]
struct Queue {
    /// Documents with something to store. Holds them alive.
    dirty: Vec<(Arc<Tracker>, Arc<SharedDocument>)>,
    /// Logs with something to store.
    logs: Vec<Arc<LogCore>>,
    /// When the first of them came.
    dirty_since: Option<Instant>,
    /// Documents that were dropped, with their session.
    closed: Vec<(String, u64)>,
    /// The writer looks at nothing any more.
    ended: bool,
    /// Somebody waits.
    urgent: bool,
    /// Not before, unless somebody waits.
    retry_at: Option<Instant>,
    /// No thread writes any more, or it is about to end.
    stopped: bool,
    thread: Option<JoinHandle<()>>,
}

/// What the writer takes from the queue.
#[derive(Default)]
struct Work {
    dirty: Vec<(Arc<Tracker>, Arc<SharedDocument>)>,
    logs: Vec<Arc<LogCore>>,
    closed: Vec<(String, u64)>,
    stopped: bool,
}

/// One document's part of a transaction, ready to be written.
struct DocumentJob {
    tracker: Arc<Tracker>,
    document: Arc<SharedDocument>,
    delta: Delta,
}

enum Job {
    Document(Box<DocumentJob>),
    Log(LogJob),
}

impl Hub {
    pub fn new(backend: Arc<dyn Store>, options: DocumentStoreOptions) -> Arc<Self> {
        Arc::new(Hub {
            backend,
            options,
            queue: Mutex::default(),
            wake: Condvar::new(),
            observers: RwLock::default(),
            registry: Registry::default(),
            logs: Logs::default(),
        })
    }

    pub fn backend(&self) -> &dyn Store {
        &*self.backend
    }

    pub fn options(&self) -> &DocumentStoreOptions {
        &self.options
    }

    pub fn add_observer(&self, observer: Arc<dyn StoreObserver>) {
        self.observers.write().push(observer);
    }

    pub fn remove_observer(&self, observer: &Arc<dyn StoreObserver>) {
        self.observers
            .write()
            .retain(|known| !Arc::ptr_eq(known, observer));
    }

    /// Starts the thread if it does not run.
    pub fn start(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut queue = self.queue.lock();
        if queue.stopped {
            return Err(StoreError::Closed);
        }
        if queue.thread.is_none() {
            let hub = self.clone();
            let thread = std::thread::Builder::new().name("syncline-store".into());
            let thread = thread
                .spawn(move || hub.run())
                .map_err(|error| StoreError::Io {
                    code: 0,
                    message: format!("no thread for the store: {error}"),
                })?;
            queue.thread = Some(thread);
        }
        Ok(())
    }

    /// Ends the thread after its present transaction. What is not stored stays unstored.
    pub fn stop(&self) {
        let thread = {
            let mut queue = self.queue.lock();
            queue.stopped = true;
            queue.thread.take()
        };
        self.wake.notify_all();
        // A waiter's callback may drop the last user of the store on the writer's own thread.
        let thread = thread.filter(|thread| thread.thread().id() != std::thread::current().id());
        if let Some(thread) = thread {
            // A panic in it was reported by the panic hook; here it only means that it ended.
            let _ = thread.join();
        }
        let logs = std::mem::take(&mut self.queue.lock().logs);
        logs.iter().for_each(|log| log.close());
        let abandoned = std::mem::take(&mut self.queue.lock().dirty);
        for (tracker, _document) in abandoned {
            tell(tracker.fail(&StoreError::Closed), &StoreError::Closed);
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.queue.lock().stopped
    }

    /// A document has something to store. False: nobody will do it.
    pub fn push(&self, tracker: Arc<Tracker>, document: Arc<SharedDocument>) -> bool {
        let mut queue = self.queue.lock();
        if queue.stopped {
            return false;
        }
        queue.dirty_since.get_or_insert_with(Instant::now);
        queue.dirty.push((tracker, document));
        true
    }

    /// A log has something to store. False: nobody will do it.
    pub fn push_log(&self, log: Arc<LogCore>) -> bool {
        let mut queue = self.queue.lock();
        if queue.stopped {
            return false;
        }
        queue.dirty_since.get_or_insert_with(Instant::now);
        queue.logs.push(log);
        true
    }

    /// A document was dropped.
    pub fn push_closed(&self, name: &str, session: u64) {
        let mut queue = self.queue.lock();
        if !queue.ended {
            queue.closed.push((name.to_owned(), session));
            drop(queue);
            self.wake.notify_all();
        }
    }

    pub fn wake(&self) {
        self.wake.notify_all();
    }

    /// Somebody waits for what is on the list.
    pub fn hurry(&self) {
        self.queue.lock().urgent = true;
        self.wake.notify_all();
    }

    fn run(self: Arc<Self>) {
        let mut retry_delay = RETRY_DELAY_MIN;
        loop {
            let work = self.wait_for_work();
            let outcome = self.write(work.dirty, work.logs);
            self.mark_closed(work.closed);
            if work.stopped {
                // The last write may have been the last user of a document.
                let mut queue = self.queue.lock();
                queue.ended = true;
                let closed = std::mem::take(&mut queue.closed);
                drop(queue);
                return self.mark_closed(closed);
            }
            let pause = match outcome {
                Outcome::Stored => None,
                Outcome::Busy => Some(BUSY_DELAY),
                Outcome::Failed => Some(retry_delay),
            };
            retry_delay = match outcome {
                Outcome::Failed => (retry_delay * 2).min(RETRY_DELAY_MAX),
                _ => RETRY_DELAY_MIN,
            };
            if let Some(pause) = pause {
                // Somebody who waits may still have one attempt made at once.
                self.queue.lock().retry_at = Some(Instant::now() + pause);
            }
        }
    }

    fn wait_for_work(&self) -> Work {
        let mut queue = self.queue.lock();
        loop {
            let due = match (queue.dirty_since, queue.retry_at) {
                (Some(_), Some(retry_at)) => Some(retry_at),
                (Some(since), None) => {
                    Some(since + Duration::from_millis(self.options.flush_delay_ms.into()))
                }
                (None, _) if !queue.closed.is_empty() => Some(Instant::now()),
                (None, _) => None,
            };
            let now = Instant::now();
            let waited_for = queue.urgent && queue.dirty_since.is_some();
            if queue.stopped || waited_for || due.is_some_and(|due| due <= now) {
                break;
            }
            match due {
                Some(due) => drop(self.wake.wait_until(&mut queue, due)),
                None => self.wake.wait(&mut queue),
            }
        }
        queue.urgent = false;
        queue.retry_at = None;
        queue.dirty_since = None;
        Work {
            dirty: std::mem::take(&mut queue.dirty),
            logs: std::mem::take(&mut queue.logs),
            closed: std::mem::take(&mut queue.closed),
            stopped: queue.stopped,
        }
    }

    /// Stores the documents and logs of a list.
    fn write(
        &self,
        dirty: Vec<(Arc<Tracker>, Arc<SharedDocument>)>,
        logs: Vec<Arc<LogCore>>,
    ) -> Outcome {
        let (mut sound, mut busy, mut poisoned) = (true, false, false);
        let mut jobs = Vec::new();
        let mut bytes = 0;
        let mut add = |job: Job| {
            bytes += job.bytes();
            jobs.push(job);
            if bytes >= TRANSACTION_BYTES_MAX {
                sound &= self.commit(std::mem::take(&mut jobs));
                bytes = 0;
            }
        };
        logs.into_iter()
            .for_each(|log| add(Job::Log(log.collect())));
        for (tracker, document) in dirty {
            tracker.taken();
            match tracker.collect(&document) {
                Ok(None) => {}
                Ok(Some(delta)) => {
                    let job = DocumentJob {
                        tracker,
                        document,
                        delta,
                    };
                    if job.delta.is_empty() {
                        self.stored(job);
                        continue;
                    }
                    add(Job::Document(Box::new(job)));
                }
                Err(LockError::Poisoned) => {
                    let message = format!("document {:?} is poisoned", tracker.name);
                    self.report(&tracker, &StoreError::Io { code: 0, message });
                    poisoned = true;
                }
                Err(_) => {
                    tracker.postpone();
                    busy = true;
                }
            }
        }
        match sound & !poisoned & self.commit(jobs) {
            false => Outcome::Failed,
            true if busy => Outcome::Busy,
            true => Outcome::Stored,
        }
    }

    fn commit(&self, jobs: Vec<Job>) -> bool {
        let writes: Vec<Write<'_>> = jobs.iter().flat_map(Job::writes).collect();
        let result = match writes.is_empty() {
            true => Ok(Vec::new()),
            false => self.backend.commit(&writes),
        };
        match result {
            Ok(committed) => {
                let mut rest = committed.as_slice();
                for job in jobs {
                    let (own, others) = rest.split_at(job.writes().len());
                    rest = others;
                    match job {
                        Job::Document(job) => self.stored(*job),
                        Job::Log(job) => job.stored(own),
                    }
                }
                true
            }
            // One document must not keep the others from being stored.
            Err(error) if jobs.len() > 1 && !error.is_transient() => {
                let mut sound = true;
                for job in jobs {
                    sound &= self.commit(vec![job]);
                }
                sound
            }
            Err(error) => {
                for job in jobs {
                    match job {
                        Job::Document(job) => self.report(&job.tracker, &error),
                        Job::Log(job) => self.log_failed(job, &error),
                    }
                }
                false
            }
        }
    }

    fn log_failed(&self, job: LogJob, error: &StoreError) {
        let name = job.name().to_owned();
        log::warn!(target: "store", "log {name:?} is not stored yet: {error}");
        job.failed(error.clone());
        for observer in self.observers.read().iter() {
            observer.failed(&name, error);
        }
    }

    fn stored(&self, job: DocumentJob) {
        let written = Written {
            log_bytes: job
                .delta
                .records
                .iter()
                .map(|record| record.len() as u64)
                .sum(),
            records: job.delta.records.len() as u64,
            snapshot_bytes: job.delta.snapshot_bytes(),
        };
        let advance = job.tracker.advance(job.delta, &written);
        for observer in self.observers.read().iter() {
            observer.stored(&job.tracker.name, &advance.vector);
            if let Some(bytes) = advance.compacted {
                observer.compacted(&job.tracker.name, bytes);
            }
        }
        advance
            .done
            .into_iter()
            .for_each(|waiter| (waiter.then)(Ok(())));
        // May be the last user: then the tracker reports the document as closed.
        drop(job.document);
    }

    fn report(&self, tracker: &Tracker, error: &StoreError) {
        log::warn!(target: "store", "document {:?} is not stored yet: {error}", tracker.name);
        let told = tracker.fail(error);
        for observer in self.observers.read().iter() {
            observer.failed(&tracker.name, error);
        }
        tell(told, error);
    }

    /// Remembers on the device that documents were closed with everything stored. Should that fail,
    /// the next opening takes a new peer id, which is harmless.
    fn mark_closed(&self, closed: Vec<(String, u64)>) {
        let result = self.registry.retire(closed, |metas| {
            let writes: Vec<Write<'_>> = metas
                .iter()
                .map(|(name, meta)| Write::new(name, *meta, Content::Keep))
                .collect();
            if writes.is_empty() {
                Ok(())
            } else {
                self.backend.commit(&writes).map(drop)
            }
        });
        if let Err(error) = result {
            log::warn!(target: "store", "closed documents could not be marked: {error}");
        }
    }
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Job::Document(job) => job.bytes(),
            Job::Log(job) => job.bytes(),
        }
    }

    fn writes(&self) -> Vec<Write<'_>> {
        match self {
            Job::Document(job) => vec![job.write()],
            Job::Log(job) => job.writes().collect(),
        }
    }
}

impl DocumentJob {
    fn bytes(&self) -> usize {
        let attachments = self.delta.attachments.iter();
        let attached =
            attachments.map(|attachment| attachment.content.as_ref().map_or(0, Vec::len));
        self.delta.records.iter().map(Vec::len).sum::<usize>()
            + self.delta.snapshot_bytes() as usize
            + attached.sum::<usize>()
    }

    fn write(&self) -> Write<'_> {
        let content = match &self.delta.replace {
            Some(snapshot) => Content::Replace {
                snapshot: snapshot.as_deref(),
                records: &self.delta.records,
            },
            None => Content::Append(&self.delta.records),
        };
        Write {
            document: &self.tracker.name,
            meta: self.delta.meta,
            content,
            attachments: &self.delta.attachments,
            expected: None,
        }
    }
}

fn tell(waiters: Vec<Waiter>, error: &StoreError) {
    waiters
        .into_iter()
        .for_each(|waiter| (waiter.then)(Err(error.clone())));
}
