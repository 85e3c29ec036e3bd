//! Section 26: stores, where documents survive.

use super::delivery_thread::with_signals_blocked;
use super::document::{Settings, syncline_document, syncline_document_options};
use super::document_core::{DocumentCore, Parent};
use super::error::{Error, syncline_error_domain};
use super::event::{number, object, other_type, string, syncline_event};
use super::guard::{Answer, OptionStruct, SizeFirst, guard, question};
use super::handle::{self, handle};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::payload::Payload;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::reports::StoreReport;
use super::sources::Listeners;
use super::types::*;
use crate::clock::{PeerId, VersionVector};
use crate::codec::Value;
use crate::store::{
    DocumentStore, DocumentStoreOptions, MemoryStore, OpenOptions, Store, StoreError, StoreObserver,
};
use std::sync::Arc;
use std::time::Duration;

/// Documents on this device.
pub struct syncline_store(());

/// What a stored edit survives.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_durability {
    /// Crash of the program and loss of power.
    SYNCLINE_DURABILITY_FULL = 0,
    /// Crash of the program; after a loss of power the last edits may be missing.
    SYNCLINE_DURABILITY_NORMAL = 1,
    /// Crash of the program; a loss of power may damage the file.
    SYNCLINE_DURABILITY_OFF = 2,
}

/// A durability as C gives it: any integer.
pub type DurabilityArg = u32;

/// Settings of a store.
#[repr(C)]
pub struct syncline_store_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// Encryption at rest. UNSUPPORTED in this version.
    pub key: syncline_bytes,
    /// FULL: on the device before an edit counts as stored.
    pub durability: DurabilityArg,
    /// Group commit: how long edits wait for others; 0 = 20.
    pub flush_delay_ms: u32,
    /// Compact a document when its log grows past this; 0 = automatic.
    pub compact_bytes: u64,
    /// Nothing is written; the file must exist.
    pub read_only: BoolArg,
    /// Other processes use the file, too. UNSUPPORTED in this version.
    pub shared: BoolArg,
    /// Zero.
    pub reserved_1: [u8; 6],
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_store_options {}
// SAFETY: integers and pointers only.
unsafe impl OptionStruct for syncline_store_options {}

/// What a STORE event says. Borrowed from the event.
#[repr(C)]
pub struct syncline_store_info {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// OK: stored or compacted; else what failed. A failed write is tried again.
    pub status: syncline_status,
    /// Zero.
    pub reserved: u32,
    /// Which document.
    pub document_id: syncline_string,
    /// What it takes after it was compacted; else 0.
    pub bytes: u64,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_store_info {}

/// A store as C knows it. It closes when the last handle and the last document of it are gone.
pub(crate) struct StoreCore {
    store: Arc<DocumentStore>,
    listeners: Arc<Listeners>,
}

handle!(syncline_store, Arc<StoreCore>, Store);

impl StoreCore {
    fn new(backend: Arc<dyn Store>, options: DocumentStoreOptions) -> Arc<Self> {
        let store = Arc::new(DocumentStore::new(backend, options));
        let listeners = Arc::new(Listeners::default());
        store.add_observer(Arc::new(Reporter(listeners.clone())));
        Arc::new(StoreCore { store, listeners })
    }

    /// For a server that is to keep its documents here.
    #[cfg(feature = "server")]
    pub(crate) fn store(&self) -> &Arc<DocumentStore> {
        &self.store
    }
}

impl Drop for StoreCore {
    fn drop(&mut self) {
        self.listeners.close();
    }
}

/// Turns what the writer's thread tells into events.
struct Reporter(Arc<Listeners>);

impl StoreObserver for Reporter {
    fn stored(&self, document: &str, _vector: &VersionVector) {
        let report = StoreReport {
            document: document.to_owned(),
            bytes: 0,
            failure: None,
        };
        self.0.tell(Payload::Store(report));
    }

    fn compacted(&self, document: &str, bytes: u64) {
        let report = StoreReport {
            document: document.to_owned(),
            bytes,
            failure: None,
        };
        self.0.tell(Payload::Store(report));
    }

    fn failed(&self, document: &str, error: &StoreError) {
        let failure = Some(Error::from(error.clone()).into());
        self.0.tell(Payload::Store(StoreReport {
            document: document.to_owned(),
            bytes: 0,
            failure,
        }));
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let status = match &error {
            StoreError::Corrupt { .. } => SYNCLINE_ERROR_CORRUPT,
            StoreError::ReadOnly => SYNCLINE_ERROR_READ_ONLY,
            StoreError::UnsupportedVersion { .. } => SYNCLINE_ERROR_UNSUPPORTED_VERSION,
            StoreError::Busy
            | StoreError::InUse { .. }
            | StoreError::Conflict { .. }
            | StoreError::Timeout => SYNCLINE_ERROR_BUSY,
            StoreError::NotFound | StoreError::OutOfRange { .. } => SYNCLINE_ERROR_INVALID_ARGUMENT,
            StoreError::WrongKind { .. } => SYNCLINE_ERROR_TYPE_MISMATCH,
            StoreError::Limit(_) => SYNCLINE_ERROR_LIMIT,
            StoreError::Closed => SYNCLINE_ERROR_CLOSED,
            StoreError::Full | StoreError::Io { .. } => SYNCLINE_ERROR_IO,
        };
        let error = match error {
            StoreError::Full => (
                syncline_error_domain::SYNCLINE_ERROR_DOMAIN_SQLITE,
                SQLITE_FULL,
            ),
            StoreError::Io { code, .. } if code != 0 => (
                syncline_error_domain::SYNCLINE_ERROR_DOMAIN_SQLITE,
                code.into(),
            ),
            _ => (syncline_error_domain::SYNCLINE_ERROR_DOMAIN_NONE, 0),
        };
        Error::new(status, message).coded(error.0, error.1)
    }
}

/// SQLite's number for "no space left", which is the same on every build.
const SQLITE_FULL: i64 = 13;

/// A wait that ended first is an answer, not an error.
fn waited(result: Result<(), StoreError>) -> Answer {
    match result {
        Ok(()) => Ok(SYNCLINE_OK),
        Err(StoreError::Timeout) => Ok(SYNCLINE_TIMEOUT),
        Err(error) => Err(error.into()),
    }
}

/// Opens or makes a store in a file of its own (SQLite).
///
/// @param path       of the file; its folder must exist
/// @param options    NULL: the defaults
/// @param out_store  free it with syncline_store_free
/// @return BUSY if another program has it open; READ_ONLY; CORRUPT; UNSUPPORTED_VERSION; IO;
///         UNSUPPORTED in a build without SQLite
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_open(
    path: syncline_string,
    options: *const syncline_store_options,
    out_store: *mut *mut syncline_store,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_store, "out_store")?;
        let path = caller.text(path, "path")?;
        let options = caller.sized(options, "options")?;
        if options.key.len > 0 || options.shared != 0 {
            return Err(Error::unsupported(
                "this version has no encrypted and no shared stores",
            ));
        }
        if path.is_empty() || path.contains('\0') {
            return Err(Error::argument("this is no path"));
        }
        out.give_handle(open(path, &options)?)
    })
}

#[cfg(feature = "sqlite")]
fn open(path: &str, options: &syncline_store_options) -> Result<Arc<StoreCore>, Error> {
    use crate::store::{Durability, SqliteOptions, SqliteStore};
    let durability = match options.durability {
        d if d == syncline_durability::SYNCLINE_DURABILITY_FULL as u32 => Durability::Full,
        d if d == syncline_durability::SYNCLINE_DURABILITY_NORMAL as u32 => Durability::Normal,
        d if d == syncline_durability::SYNCLINE_DURABILITY_OFF as u32 => Durability::Off,
        _ => return Err(Error::argument("this durability does not exist")),
    };
    let file = SqliteOptions {
        durability,
        read_only: options.read_only != 0,
        ..SqliteOptions::default()
    };
    let backend = Arc::new(SqliteStore::open(path, &file)?);
    let defaults = DocumentStoreOptions::default();
    let flush_delay_ms = match options.flush_delay_ms {
        0 => defaults.flush_delay_ms,
        delay_ms => delay_ms,
    };
    let compact_bytes = options.compact_bytes;
    Ok(StoreCore::new(
        backend,
        DocumentStoreOptions {
            flush_delay_ms,
            compact_bytes,
            ..defaults
        },
    ))
}

#[cfg(not(feature = "sqlite"))]
fn open(_path: &str, _options: &syncline_store_options) -> Result<Arc<StoreCore>, Error> {
    Err(Error::unsupported("this build has no SQLite"))
}

/// Makes a store that lives as long as the program: for servers and tests.
///
/// @param out_store  free it with syncline_store_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_new_memory(
    out_store: *mut *mut syncline_store,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_store, "out_store")?;
        let backend = Arc::new(MemoryStore::new());
        out.give_handle(StoreCore::new(backend, DocumentStoreOptions::default()))
    })
}

/// Stores what is not stored yet and ends the store: later calls give CLOSED. Documents that are
/// still open go on living, but are not stored any more; free them before.
///
/// @param timeout_ms  how long to wait for the device
/// @return TIMEOUT: it is closed, but not everything was stored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_close(
    store: *mut syncline_store,
    timeout_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(store)?;
        let closed = core.store.close(Duration::from_millis(timeout_ms.into()));
        core.listeners.close();
        waited(closed)
    })
}

/// Gives a handle back. Documents keep their store alive; it closes with the last of them, after
/// everything was stored (for up to five seconds).
///
/// @param store  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_free(store: *mut syncline_store) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(store) }
}

/// One more handle to the same store.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_retain(store: *mut syncline_store) -> *mut syncline_store {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(store) }
}

/// Loads a document, or makes it, and keeps it stored. A document that is open already is opened
/// once more: edits show in both. Handlers are made when they are asked for, or all at once by
/// syncline_document_reconstruct.
///
/// @param options       document_id is the name in the store, "" = random UUID; leave peer_id
///                      NULL, then the document goes on under the peer id it had
/// @param out_document  free it with syncline_document_free
/// @return CORRUPT; UNSUPPORTED_VERSION; IO; CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_open_document(
    store: *mut syncline_store,
    options: *const syncline_document_options,
    out_document: *mut *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_document, "out_document")?;
        let core = caller.object(store)?;
        let settings = Settings::read(caller, options)?;
        let name = match settings.options.document_id.as_str() {
            "" => PeerId::random().to_string(),
            name => name.to_owned(),
        };
        let open = OpenOptions {
            document: settings.options,
            lock_timeout: settings.lock_timeout,
            ..OpenOptions::default()
        };
        // The writer's thread may start here.
        let stored = with_signals_blocked(|| core.store.open(&name, &open))?;
        let shared = stored.document().clone();
        let parent = Parent {
            stored: Some(stored),
            _owner: core.clone(),
        };
        let opened = DocumentCore::new(shared, settings.unit, Some(parent));
        if settings.default_types {
            opened.edit(|d| {
                d.register_default_types();
                Ok(())
            })?;
        }
        out.give_handle(opened)
    })
}

/// Whether a document of this name is stored. A new one may not be before its first edit. False
/// when the store is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_contains(
    store: *const syncline_store,
    name: syncline_string,
) -> bool {
    question!(false, |caller| {
        Ok(caller
            .object(store)?
            .store
            .contains(caller.text(name, "name")?)?)
    })
}

/// How many documents are stored. 0 when the store is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_length(store: *const syncline_store) -> u64 {
    question!(0, |caller| Ok(caller.object(store)?.store.count()?))
}

/// The stored documents: key = name, value = {"kind", "bytes", "changed_ms"}.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_iterate(
    store: *const syncline_store,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let list = caller.object(store)?.store.list()?;
        out.give_handle(IteratorCore::new(list.into_iter().map(|info| Item {
            key: info.name,
            value: Some(object([
                (
                    "kind",
                    string(if info.kind == crate::store::KIND_CRDT {
                        "crdt"
                    } else {
                        "?"
                    }),
                ),
                ("bytes", number(info.bytes)),
                ("changed_ms", Value::Int(info.changed_ms)),
            ])),
            ..Item::default()
        })))
    })
}

/// Drops a stored document.
///
/// @return NOT_FOUND; BUSY while it is open
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_remove(
    store: *mut syncline_store,
    name: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let removed = caller
            .object(store)?
            .store
            .remove(caller.text(name, "name")?)?;
        Ok(if removed {
            SYNCLINE_OK
        } else {
            SYNCLINE_NOT_FOUND
        })
    })
}

/// Waits until everything committed so far is on the device.
///
/// @return TIMEOUT; IO and others if a write failed meanwhile (it is tried again)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_flush(
    store: *mut syncline_store,
    timeout_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        waited(
            caller
                .object(store)?
                .store
                .flush(Duration::from_millis(timeout_ms.into())),
        )
    })
}

/// Rewrites the log of a document as few large records, in the background; a STORE event tells.
///
/// @param name  "" = all documents
/// @return NOT_FOUND
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_compact(
    store: *mut syncline_store,
    name: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let store = &caller.object(store)?.store;
        let name = caller.text(name, "name")?;
        if store.is_read_only() {
            return Err(StoreError::ReadOnly.into());
        }
        let names = match name {
            "" => store.list()?.into_iter().map(|info| info.name).collect(),
            name => vec![name.to_owned()],
        };
        for name in names {
            // What is not open is opened for it; then nothing of it leaves unstored.
            let options = OpenOptions {
                create: false,
                edits_leave_unstored: false,
                ..Default::default()
            };
            match with_signals_blocked(|| store.open(&name, &options)) {
                Ok(document) => document.compact(),
                Err(StoreError::NotFound) => return Ok(SYNCLINE_NOT_FOUND),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(SYNCLINE_OK)
    })
}

/// Asks for STORE and CLOSED events. The subscription does not keep the store open.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_store_subscribe(
    store: *mut syncline_store,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            Ok(caller.object(store)?.listeners.add(subscription))
        })
    )
}

/// What a STORE event says.
///
/// @param event     a STORE event
/// @param out_info  struct_size must be set; what it points to belongs to the event
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_store(
    event: *const syncline_event,
    out_info: *mut syncline_store_info,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_info, "out_info")?;
        let Payload::Store(report) = caller.object(event)?.payload() else {
            return Err(other_type());
        };
        out.give(syncline_store_info {
            struct_size: 0,
            status: report
                .failure
                .as_ref()
                .map_or(SYNCLINE_OK, |failure| failure.status()),
            reserved: 0,
            document_id: syncline_string::borrowed(&report.document),
            bytes: report.bytes,
        })
    })
}
