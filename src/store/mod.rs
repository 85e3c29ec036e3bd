//! Documents that survive: a snapshot and a log of changes per document, on a device.
//!
//! Layer: above `sync`, below `net`. Decides nothing about merging; sees documents through
//! `replica` and the log position of `document`.
//!
//! Two halves. A [`Store`] is a dumb, transactional place for bytes ([`MemoryStore`],
//! [`SqliteStore`]). A [`DocumentStore`] binds live documents to one: one writer thread gathers what
//! all documents committed meanwhile into one transaction (group commit), so an edit costs no I/O
//! on the thread that makes it, and many documents share one sync of the device.

mod contents;
mod document_store;
mod error;
#[cfg(feature = "sqlite")]
mod file_identity;
mod loading;
mod memory;
mod raw_log;
pub mod record;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_connection;
#[cfg(feature = "sqlite")]
mod sqlite_content;
#[cfg(feature = "sqlite")]
mod sqlite_row;
#[cfg(feature = "sqlite")]
mod sqlite_schema;
mod stacks;
mod tracker;
mod writer;

pub use document_store::{DocumentStore, DocumentStoreOptions, OpenOptions, StoredDocument};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use raw_log::{LogSnapshot, RawLog};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteOptions, SqliteStore};
pub use tracker::StoreObserver;

use crate::clock::PeerId;
use std::ops::Range;

/// Longest name of a document in a store.
pub const NAME_BYTES_MAX: usize = 1024;

/// What a store keeps beside the content of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentMeta {
    /// What kind of document it is; see [`KIND_CRDT`].
    pub kind: u8,
    /// The peer with which this device writes.
    pub peer_id: PeerId,
    /// False while a program that writes to the document has it open. Still false at the next
    /// open: that program died, and changes of its peer may exist elsewhere that are not here.
    pub closed_cleanly: bool,
    /// Random; another one after the content was put back to an earlier state or emptied. Copies
    /// of different epochs must not be merged.
    pub epoch: u64,
}

/// Kind of a document of the crdt_lf model.
pub const KIND_CRDT: u8 = 1;

/// Kind of a [`RawLog`]: records that nobody here understands.
pub const KIND_RELAY: u8 = 2;

/// What is known of a document without reading its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Beside the content.
    pub meta: DocumentMeta,
    /// Rises with every write to the document.
    pub revision: u64,
    /// The log holds the sequences from here ...
    pub first: u64,
    /// ... up to, not including, this one.
    pub next: u64,
    /// Content of the log, in bytes.
    pub log_bytes: u64,
    /// Content of the snapshot, in bytes.
    pub snapshot_bytes: Option<u64>,
    /// What was stored before the last snapshot, as long as it is kept.
    pub previous: Option<PreviousHead>,
}

/// The generation before the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousHead {
    /// Its log holds the sequences from here up to [`Head::first`], not including.
    pub first: u64,
    /// Content of its snapshot, in bytes.
    pub snapshot_bytes: Option<u64>,
}

/// Which snapshot of a document is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The latest.
    Current,
    /// The one before, which is kept until the next.
    Previous,
}

/// Records of a log that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Oldest first.
    pub records: Vec<StoredRecord>,
    /// The sequence to go on with. The end of what was asked for, unless the page was full before.
    pub next: u64,
}

/// All that is stored of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// Beside the content.
    pub meta: DocumentMeta,
    /// The latest snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// What was appended after it, oldest first.
    pub records: Vec<StoredRecord>,
    /// Number of the next record.
    pub next: u64,
    /// See [`Head::revision`].
    pub revision: u64,
}

/// One record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Rises by one per record of the document, also across replacements.
    pub sequence: u64,
    /// As appended.
    pub content: Vec<u8>,
}

/// One document's part of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The document; it is made if it is not there.
    pub document: &'a str,
    /// Replaces what is stored.
    pub meta: DocumentMeta,
    /// What happens to the content.
    pub content: Content<'a>,
    /// Attachments that change; the others stay.
    pub attachments: &'a [Attachment],
    /// Refuses with [`StoreError::Conflict`] if somebody else wrote since this revision; 0: since
    /// the document was missing.
    pub expected: Option<u64>,
}

impl<'a> Write<'a> {
    /// A write of content, whatever else happened.
    pub fn new(document: &'a str, meta: DocumentMeta, content: Content<'a>) -> Self {
        Write {
            document,
            meta,
            content,
            attachments: &[],
            expected: None,
        }
    }
}

/// What became of a [`Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Number of the document's next record: those just appended end before it.
    pub next: u64,
    /// See [`Head::revision`].
    pub revision: u64,
}

/// Bytes that are kept beside the content of a document, under a key of at most
/// [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Which one of the document.
    pub key: String,
    /// None: it is dropped.
    pub content: Option<Vec<u8>>,
}

/// What a [`Write`] does to the content of its document.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Leaves it alone.
    Keep,
    /// Adds records to the log.
    Append(&'a [Vec<u8>]),
    /// Puts a snapshot and a log in the place of those stored, which become the previous
    /// generation.
    Replace {
        /// The new snapshot.
        snapshot: Option<&'a [u8]>,
        /// The new log.
        records: &'a [Vec<u8>],
    },
    /// Puts a snapshot in the place of the beginning of the log. What it covers becomes the
    /// previous generation; the records behind it keep their numbers.
    Cover {
        /// The new snapshot.
        snapshot: &'a [u8],
        /// The first sequence that it does not cover: within the log, or right behind it.
        end: u64,
    },
    /// Drops the previous generation.
    DropPrevious,
    /// Drops everything, previous generation included. The numbers go on.
    Clear,
}

/// A document as the list of a store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentInfo {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: u8,
    /// Stored content, in bytes.
    pub bytes: u64,
    /// Last write, milliseconds since 1970.
    pub changed_ms: i64,
}

/// A transactional place for the bytes of documents.
///
/// Every call is atomic: an error means that nothing changed. What `commit` accepted is there after
/// a crash of the process; whether also after a loss of power is the store's durability.
pub trait Store: Send + Sync {
    /// What is known of a document without reading its content; `None` if there is none. Costs the
    /// same for every document and number of documents.
    fn head(&self, document: &str) -> Result<Option<Head>, StoreError>;

    /// Reads one document; `None` if there is none. Checks every record.
    fn load(&self, document: &str) -> Result<Option<StoredState>, StoreError>;

    /// Reads records of a log, of the previous generation as well: of those that `range` names, as
    /// many as `bytes_max` allows, but one at least if there is one. Checks every record.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::OutOfRange`]: `range` begins before the oldest record
    /// that is kept.
    fn read_log(
        &self,
        document: &str,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<LogPage, StoreError>;

    /// Reads a snapshot; `None` if there is none.
    fn snapshot(
        &self,
        document: &str,
        generation: Generation,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads one attachment of a document; `None` if there is none. Opening a document reads none of
    /// them: a damaged one must not keep the document shut.
    fn attachment(&self, document: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The keys of a document's attachments that begin with `prefix`, in the order of their bytes.
    fn attachment_keys(&self, document: &str, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Writes all of `batch` in one transaction, in order. Gives what became of each write.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], see [`Write::expected`]; [`StoreError::WrongKind`]: the document is
    /// of another kind; [`StoreError::OutOfRange`]: a snapshot covers what is not in the log.
    fn commit(&self, batch: &[Write<'_>]) -> Result<Vec<Committed>, StoreError>;

    /// Drops a document; false if there was none.
    fn remove(&self, document: &str) -> Result<bool, StoreError>;

    /// Whether a document is there.
    fn contains(&self, document: &str) -> Result<bool, StoreError>;

    /// All documents, in the order of their names' bytes.
    fn list(&self) -> Result<Vec<DocumentInfo>, StoreError>;

    /// How many documents there are.
    fn count(&self) -> Result<u64, StoreError>;

    /// Puts on the device what a weaker durability still holds back.
    fn flush(&self) -> Result<(), StoreError>;

    /// Ends the use of the store: later calls answer [`StoreError::Closed`]. Harmless when repeated.
    fn close(&self) -> Result<(), StoreError>;

    /// Whether `commit` is refused by design.
    fn is_read_only(&self) -> bool {
        false
    }
}

/// Refuses names that no store takes.
pub(crate) fn check_name(document: &str) -> Result<(), StoreError> {
    if document.len() > NAME_BYTES_MAX {
        return Err(StoreError::Limit("NAME_BYTES_MAX"));
    }
    Ok(())
}

/// Refuses a batch with names that no store takes.
fn check_names(batch: &[Write<'_>]) -> Result<(), StoreError> {
    batch.iter().try_for_each(|write| {
        check_name(write.document)?;
        let mut keys = write.attachments.iter();
        keys.try_for_each(|attachment| check_name(&attachment.key))
    })
}

/// Refuses a write that does not fit what is stored.
fn check_write(write: &Write<'_>, stored: Option<&Head>) -> Result<(), StoreError> {
    let revision = stored.map_or(0, |head| head.revision);
    if write.expected.is_some_and(|expected| expected != revision) {
        let document = write.document.to_owned();
        return Err(StoreError::Conflict { document });
    }
    if let Some(found) = stored.map(|head| head.meta.kind) {
        if found != write.meta.kind {
            return Err(StoreError::WrongKind { found });
        }
    }
    if let Content::Cover { end, .. } = write.content {
        let (first, next) = stored.map_or((1, 1), |head| (head.first, head.next));
        if !(first..=next).contains(&end) {
            let nearest = end.clamp(first, next);
            return Err(StoreError::OutOfRange { nearest });
        }
    }
    Ok(())
}

/// A random epoch; never 0.
pub(crate) fn new_epoch() -> u64 {
    let random = getrandom::u64().expect("the operating system has a source of random bytes");
    random.max(1)
}

/// The wall clock, for times that are only shown.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
