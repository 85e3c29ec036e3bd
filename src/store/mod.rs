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
pub mod record;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_schema;
mod stacks;
mod tracker;
mod writer;

pub use document_store::{DocumentStore, DocumentStoreOptions, OpenOptions, StoredDocument};
pub use error::StoreError;
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteOptions, SqliteStore};
pub use tracker::StoreObserver;

use crate::clock::PeerId;

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
}

/// Kind of a document of the crdt_lf model.
pub const KIND_CRDT: u8 = 1;

/// All that is stored of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// Beside the content.
    pub meta: DocumentMeta,
    /// The latest snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// What was appended after it, oldest first.
    pub records: Vec<StoredRecord>,
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
    /// Puts a snapshot and a log in the place of those stored.
    Replace {
        /// The new snapshot.
        snapshot: Option<&'a [u8]>,
        /// The new log.
        records: &'a [Vec<u8>],
    },
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
    /// Reads one document; `None` if there is none. Checks every record.
    fn load(&self, document: &str) -> Result<Option<StoredState>, StoreError>;

    /// Reads one attachment of a document; `None` if there is none. Opening a document reads none of
    /// them: a damaged one must not keep the document shut.
    fn attachment(&self, document: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes all of `batch` in one transaction, in order.
    fn commit(&self, batch: &[Write<'_>]) -> Result<(), StoreError>;

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

/// The wall clock, for times that are only shown.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
