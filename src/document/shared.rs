//! A document that threads share: one lock, transactions bound to the thread that began them, and
//! observers that are told of every commit.

use super::Document;
use super::types::{Commit, DocumentError};
use super::undo::{UndoIdx, UndoMark};
use crate::clock::PeerId;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Why a document could not be locked, or a transaction not be ended. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockError {
    /// Another thread had it for longer than the lock timeout, or this thread is inside of
    /// [`SharedDocument::with`] already.
    Busy,
    /// The transaction was begun on another thread.
    WrongThread,
    /// There is no transaction to end.
    NoTransaction,
    /// A panic happened while the document was being changed: its state is unknown.
    Poisoned,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockError::Busy => "another thread held the document for too long",
            LockError::WrongThread => "the transaction was begun on another thread",
            LockError::NoTransaction => "no transaction is open",
            LockError::Poisoned => "an earlier internal error left the document unusable",
        })
    }
}

impl std::error::Error for LockError {}

/// Told of commits.
pub trait DocumentObserver: Send + Sync {
    /// Under the document's lock, on the committing thread: encode, enqueue, note. Must not call
    /// back into the [`SharedDocument`].
    fn committed(&self, document: &Document, commit: &Commit);

    /// After the lock was released, on the same thread. May call anything.
    fn after_commit(&self) {}
}

/// Names an observer of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObserverId(u64);

struct Inner {
    document: Document,
    /// The thread with the open transaction; 0: none.
    owner: u64,
    /// Set while the document is being changed: still set afterwards, it was a panic.
    changing: bool,
    observers: Vec<(ObserverId, Arc<dyn DocumentObserver>)>,
    next_observer: u64,
}

/// See the module. The lock order of the library is: server room, document, store.
pub struct SharedDocument {
    id: String,
    peer: PeerId,
    lock_timeout: Duration,
    inner: Mutex<Inner>,
    released: Condvar,
}

impl fmt::Debug for SharedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDocument")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The document whose lock a call on this thread took last; 0 for none.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Names a document whose lock a call on this thread holds, without keeping it alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldDocument(usize);

impl HeldDocument {
    /// The one that was taken last.
    pub fn innermost() -> Option<Self> {
        let held = HELD.get();
        (held != 0).then_some(HeldDocument(held))
    }

    /// Whether it is this one.
    pub fn is(self, document: &SharedDocument) -> bool {
        self.0 == std::ptr::from_ref(document).addr()
    }
}

/// From taking a lock until the call is over. Brings back what was held before.
struct Holding(usize);

impl Holding {
    #[inline]
    fn of(document: &SharedDocument) -> Self {
        Holding(HELD.replace(std::ptr::from_ref(document).addr()))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        HELD.set(self.0);
    }
}

impl SharedDocument {
    /// Shares a document. No call waits for longer than `lock_timeout`.
    pub fn new(document: Document, lock_timeout: Duration) -> Arc<Self> {
        let inner = Inner {
            owner: 0,
            changing: false,
            observers: Vec::new(),
            next_observer: 0,
            document,
        };
        Arc::new(SharedDocument {
            id: inner.document.id().to_owned(),
            peer: inner.document.peer_id(),
            lock_timeout,
            inner: Mutex::new(inner),
            released: Condvar::new(),
        })
    }

    /// The document's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The writer of local changes.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// Runs `body` under the lock. Edits in it are transactions of one, unless this thread has a
    /// transaction open. Observers are told before this returns.
    #[inline]
    pub fn with<R>(&self, body: impl FnOnce(&mut Document) -> R) -> Result<R, LockError> {
        let mut inner = self.lock()?;
        let holding = Holding::of(self);
        inner.changing = true;
        let result = body(&mut inner.document);
        inner.changing = false;
        drop(holding);
        self.tell(inner);
        Ok(result)
    }

    /// Reads under the lock.
    pub fn read<R>(&self, body: impl FnOnce(&Document) -> R) -> Result<R, LockError> {
        self.read_within(self.lock_timeout, body)
    }

    /// As [`read`](Self::read), with a time limit of its own: for those who have other work.
    pub fn read_within<R>(
        &self,
        timeout: Duration,
        body: impl FnOnce(&Document) -> R,
    ) -> Result<R, LockError> {
        let inner = self.lock_within(timeout)?;
        let _holding = Holding::of(self);
        Ok(body(&inner.document))
    }

    /// Begins a transaction on this thread, or one more level of it; other threads wait until
    /// it has ended.
    pub fn begin(&self, tag: &[u8]) -> Result<Result<(), DocumentError>, LockError> {
        let mut inner = self.lock()?;
        let result = inner.document.begin(tag);
        if result.is_ok() {
            inner.owner = this_thread();
        }
        Ok(result)
    }

    /// Ends a level of the transaction that this thread has open.
    pub fn commit(&self) -> Result<Result<(), DocumentError>, LockError> {
        self.end(Document::commit)
    }

    /// Takes back the uncommitted local operations of the whole transaction and ends it.
    pub fn rollback(&self) -> Result<Result<(), DocumentError>, LockError> {
        self.end(Document::rollback)
    }

    fn end(
        &self,
        end: impl FnOnce(&mut Document) -> Result<(), DocumentError>,
    ) -> Result<Result<(), DocumentError>, LockError> {
        let mut inner = self
            .inner
            .try_lock_for(self.lock_timeout)
            .ok_or(LockError::Busy)?;
        match inner.owner {
            _ if inner.changing => return Err(LockError::Poisoned),
            0 => return Err(LockError::NoTransaction),
            owner if owner != this_thread() => return Err(LockError::WrongThread),
            _ => (),
        }
        let holding = Holding::of(self);
        inner.changing = true;
        let result = end(&mut inner.document);
        inner.changing = false;
        drop(holding);
        if !inner.document.in_transaction() {
            inner.owner = 0;
            self.released.notify_all();
        }
        self.tell(inner);
        Ok(result)
    }

    /// Tells `observer` of every commit from now on.
    pub fn add_observer(&self, observer: Arc<dyn DocumentObserver>) -> ObserverId {
        let mut inner = self.inner.lock();
        let id = ObserverId(inner.next_observer);
        inner.next_observer += 1;
        inner.observers.push((id, observer));
        inner.document.set_recording(true);
        id
    }

    /// Ends it. A call that runs on another thread may still finish.
    pub fn remove_observer(&self, id: ObserverId) {
        let mut inner = self.inner.lock();
        inner.observers.retain(|(known, _)| *known != id);
        if inner.observers.is_empty() {
            inner.document.set_recording(false);
        }
    }

    /// How long calls wait for another thread's transaction.
    pub fn lock_timeout(&self) -> Duration {
        self.lock_timeout
    }

    /// Forgets an undo manager, also while another thread has a transaction open. Gives its last
    /// stacks with their mark if they are wanted, unless the document is poisoned.
    pub fn take_undo_manager(&self, manager: UndoIdx, wanted: bool) -> Option<(Vec<u8>, UndoMark)> {
        let mut inner = self.inner.lock();
        if inner.changing {
            return None;
        }
        let document = &mut inner.document;
        let mark = document.undo_mark(manager).filter(|_| wanted);
        let last = mark.and_then(|mark| Some((document.undo_encode(manager)?, mark)));
        document.remove_undo_manager(manager);
        last
    }

    /// Waits for the lock, and for the end of another thread's transaction.
    #[inline]
    fn lock(&self) -> Result<MutexGuard<'_, Inner>, LockError> {
        self.lock_within(self.lock_timeout)
    }

    #[inline]
    fn lock_within(&self, timeout: Duration) -> Result<MutexGuard<'_, Inner>, LockError> {
        match self.inner.try_lock() {
            Some(inner) if inner.owner == 0 && !inner.changing => Ok(inner),
            tried => self.wait_for_lock(tried, timeout),
        }
    }

    /// Out of the way of the calls that find the document free.
    #[inline(never)]
    fn wait_for_lock<'a>(
        &'a self,
        tried: Option<MutexGuard<'a, Inner>>,
        timeout: Duration,
    ) -> Result<MutexGuard<'a, Inner>, LockError> {
        let mut inner = match tried {
            Some(inner) => inner,
            None => self.inner.try_lock_for(timeout).ok_or(LockError::Busy)?,
        };
        if inner.owner != 0 && inner.owner != this_thread() {
            let deadline = Instant::now() + timeout;
            while inner.owner != 0 {
                if self.released.wait_until(&mut inner, deadline).timed_out() && inner.owner != 0 {
                    return Err(LockError::Busy);
                }
            }
        }
        if inner.changing {
            Err(LockError::Poisoned)
        } else {
            Ok(inner)
        }
    }

    /// Hands out the commits and releases the lock.
    #[inline]
    fn tell(&self, inner: MutexGuard<'_, Inner>) {
        if !inner.observers.is_empty() {
            self.tell_observers(inner);
        }
    }

    #[inline(never)]
    fn tell_observers(&self, mut inner: MutexGuard<'_, Inner>) {
        let commits = inner.document.take_commits();
        if commits.is_empty() {
            return;
        }
        let observers: Vec<_> = inner
            .observers
            .iter()
            .map(|(_, observer)| observer.clone())
            .collect();
        let holding = Holding::of(self);
        for commit in &commits {
            for observer in &observers {
                observer.committed(&inner.document, commit);
            }
        }
        drop(holding);
        drop(inner);
        observers
            .iter()
            .for_each(|observer| observer.after_commit());
    }
}

/// A number of this thread that no other has or will have; never 0.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::super::{DocumentOptions, HandlerKind, HandlerSpec};
    use super::*;

    fn shared(timeout_ms: u64) -> Arc<SharedDocument> {
        SharedDocument::new(
            Document::new(DocumentOptions::default()),
            Duration::from_millis(timeout_ms),
        )
    }

    #[test]
    fn a_transaction_keeps_other_threads_out() {
        let document = shared(30);
        document.begin(b"tag").unwrap().unwrap();
        let other = document.clone();
        std::thread::spawn(move || {
            assert_eq!(other.read(|_| ()), Err(LockError::Busy));
            assert_eq!(other.commit().unwrap_err(), LockError::WrongThread);
        })
        .join()
        .unwrap();
        assert_eq!(document.read(|_| ()), Ok(()));
        document.commit().unwrap().unwrap();
        assert_eq!(document.commit().unwrap_err(), LockError::NoTransaction);
        let other = document.clone();
        std::thread::spawn(move || assert_eq!(other.read(|_| ()), Ok(())))
            .join()
            .unwrap();
    }

    #[test]
    fn a_panic_poisons_the_document_alone() {
        let document = shared(1000);
        let other = shared(1000);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            document.with(|_| panic!("on purpose")).unwrap()
        }));
        assert!(result.is_err());
        assert_eq!(document.read(|_| ()), Err(LockError::Poisoned));
        assert_eq!(other.read(|_| ()), Ok(()));
    }

    #[test]
    fn observers_hear_of_each_outermost_commit_once() {
        #[derive(Default)]
        struct Counter(Mutex<Vec<(u64, u64)>>);
        impl DocumentObserver for Counter {
            fn committed(&self, document: &Document, commit: &Commit) {
                assert!(document.change_count() >= commit.change_count);
                self.0.lock().push((commit.number, commit.change_count));
            }
        }
        let document = shared(1000);
        let counter = Arc::new(Counter::default());
        let id = document.add_observer(counter.clone());
        let text = document
            .with(|d| {
                d.handler("t", &HandlerSpec::new(HandlerKind::FugueText))
                    .unwrap()
            })
            .unwrap();
        document
            .with(|d| d.text_insert(text, 0, "a").unwrap())
            .unwrap();
        document.begin(&[]).unwrap().unwrap();
        document.begin(&[]).unwrap().unwrap();
        document
            .with(|d| d.text_insert(text, 1, "b").unwrap())
            .unwrap();
        document.commit().unwrap().unwrap();
        document
            .with(|d| d.text_insert(text, 0, "c").unwrap())
            .unwrap();
        document.commit().unwrap().unwrap();
        assert_eq!(*counter.0.lock(), [(1, 1), (2, 2)]);
        document.remove_observer(id);
        document
            .with(|d| d.text_insert(text, 1, "b").unwrap())
            .unwrap();
        assert_eq!(counter.0.lock().len(), 2);
    }
}
