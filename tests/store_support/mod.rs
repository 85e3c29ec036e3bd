//! A store around another one that counts, waits and fails as a test tells it.

use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use syncline::store::{
    Committed, DocumentInfo, Generation, Head, LogPage, MemoryStore, Store, StoreError,
    StoredState, Write,
};

/// Sees the number of a commit and what is in it, before it is made; may block, or refuse it.
type BeforeCommit = Arc<dyn Fn(usize, &[Write<'_>]) -> Option<StoreError> + Send + Sync>;

/// See the module. Closing it leaves what is stored, as closing a file would.
pub struct Rigged<S = MemoryStore> {
    pub inner: S,
    /// Commits so far, failed ones included.
    pub commits: AtomicUsize,
    pub loads: AtomicUsize,
    before_commit: Mutex<Option<BeforeCommit>>,
}

impl<S: Store> Rigged<S> {
    pub fn new(inner: S) -> Arc<Self> {
        Arc::new(Rigged {
            inner,
            commits: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
            before_commit: Mutex::new(None),
        })
    }

    /// From here on `hook` is asked before each commit.
    pub fn before_commit(
        &self,
        hook: impl Fn(usize, &[Write<'_>]) -> Option<StoreError> + Send + Sync + 'static,
    ) {
        *self.before_commit.lock() = Some(Arc::new(hook));
    }
}

impl<S: Store> Store for Rigged<S> {
    fn head(&self, document: &str) -> Result<Option<Head>, StoreError> {
        self.inner.head(document)
    }

    fn load(&self, document: &str) -> Result<Option<StoredState>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.inner.load(document)
    }

    fn read_log(
        &self,
        document: &str,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<LogPage, StoreError> {
        self.inner.read_log(document, range, bytes_max)
    }

    fn snapshot(
        &self,
        document: &str,
        generation: Generation,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.snapshot(document, generation)
    }

    fn attachment(&self, document: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.attachment(document, key)
    }

    fn attachment_keys(&self, document: &str, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.attachment_keys(document, prefix)
    }

    fn commit(&self, batch: &[Write<'_>]) -> Result<Vec<Committed>, StoreError> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        let hook = self.before_commit.lock().clone();
        let failure = hook.and_then(|hook| hook(number, batch));
        failure.map_or_else(|| self.inner.commit(batch), Err)
    }

    fn remove(&self, document: &str) -> Result<bool, StoreError> {
        self.inner.remove(document)
    }

    fn contains(&self, document: &str) -> Result<bool, StoreError> {
        self.inner.contains(document)
    }

    fn list(&self) -> Result<Vec<DocumentInfo>, StoreError> {
        self.inner.list()
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.inner.count()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }
}
