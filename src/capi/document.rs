//! Section 12, first half: a document's life, transactions, and its handlers by id.
//! Exchange of changes and snapshots: `exchange`.

use super::clock::{syncline_hlc, syncline_peer_id};
use super::document_core::DocumentCore;
use super::error::Error;
use super::guard::{Caller, OptionStruct, SizeFirst, guard, question};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::hub::Scope;
use super::iterator::syncline_iterator;
use super::kinds::{self, Family, syncline_handler_options};
use super::list::syncline_list;
use super::map::syncline_map;
use super::nested;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::register::syncline_register;
use super::set::syncline_set;
use super::text::syncline_text;
use super::types::*;
use crate::clock::{Hlc, PeerId};
use crate::document::{Document, DocumentOptions, SharedDocument, TextUnit};
use crate::replica::Replica;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

/// A document: handlers (texts, lists, maps, sets, registers) that merge with those of other replicas.
pub struct syncline_document(());

/// What text indexes and lengths count.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_text_unit {
    /// As Dart, JavaScript, Java, NSString; the unit of both wire formats.
    SYNCLINE_TEXT_UNIT_UTF16 = 0,
    /// Bytes.
    SYNCLINE_TEXT_UNIT_UTF8 = 1,
    /// Unicode code points.
    SYNCLINE_TEXT_UNIT_CODE_POINT = 2,
}

use syncline_text_unit::*;

/// A text unit as C gives it: any integer.
pub type TextUnitArg = u32;

/// Settings of a new or opened document.
#[repr(C)]
pub struct syncline_document_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// "" = random UUID.
    pub document_id: syncline_string,
    /// NULL = random. Two writers must never have the same.
    pub peer_id: *const syncline_peer_id,
    /// 0 = start at zero as Dart does.
    pub initial_clock: syncline_hlc,
    /// Unit of all text indexes and lengths of this handle.
    pub text_unit: TextUnitArg,
    /// How long a call waits for the transaction of another thread; 0 = 10000.
    pub lock_timeout_ms: u32,
    /// How far clocks of received changes may be ahead of the wall clock; 0 = no check.
    pub clock_drift_ms_max: u32,
    /// Do not register the built-in handler types for automatic creation: see
    /// syncline_document_register_default_types.
    pub no_default_types: BoolArg,
    /// Zero.
    pub reserved_1: [u8; 3],
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_document_options {}
// SAFETY: integers and nullable pointers only.
unsafe impl OptionStruct for syncline_document_options {}

/// What a document consists of.
#[repr(C)]
pub struct syncline_document_stats {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// Registered handlers.
    pub handler_count: u64,
    /// Changes in the log.
    pub change_count: u64,
    /// Size of the last snapshot; 0 if there is none.
    pub snapshot_bytes: u64,
    /// Memory, estimated.
    pub heap_bytes: u64,
    /// Changes that wait for others: always 0, because changes that are not ready are refused.
    pub waiting_changes: u64,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_document_stats {}

/// What runs inside of a transaction.
pub type syncline_transact_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// How long a call waits for another thread's transaction, by default.
pub(crate) const LOCK_TIMEOUT_MS: u32 = 10_000;

handle!(syncline_document, Arc<DocumentCore>, Document);

/// A text unit as C gives it.
pub(crate) fn text_unit(unit: TextUnitArg) -> Result<TextUnit, Error> {
    match unit {
        u if u == SYNCLINE_TEXT_UNIT_UTF16 as u32 => Ok(TextUnit::Utf16),
        u if u == SYNCLINE_TEXT_UNIT_UTF8 as u32 => Ok(TextUnit::Utf8),
        u if u == SYNCLINE_TEXT_UNIT_CODE_POINT as u32 => Ok(TextUnit::CodePoint),
        _ => Err(Error::argument("this text unit does not exist")),
    }
}

/// The options in the terms of `document`.
pub(crate) struct Settings {
    pub(crate) options: DocumentOptions,
    pub(crate) unit: TextUnit,
    pub(crate) lock_timeout: Duration,
    /// Whether the built-in types are registered.
    pub(crate) default_types: bool,
}

impl Settings {
    pub(crate) fn read(
        caller: Caller<'_>,
        options: *const syncline_document_options,
    ) -> Result<Self, Error> {
        let given = caller.sized(options, "options")?;
        let peer_id = if given.peer_id.is_null() {
            None
        } else {
            Some(PeerId::from(*caller.read(given.peer_id, "peer_id")?))
        };
        let timeout_ms = if given.lock_timeout_ms == 0 {
            LOCK_TIMEOUT_MS
        } else {
            given.lock_timeout_ms
        };
        Ok(Settings {
            options: DocumentOptions {
                document_id: caller.text(given.document_id, "document_id")?.to_owned(),
                peer_id,
                initial_clock: Hlc::from_u64(given.initial_clock),
                clock_drift_ms_max: Some(given.clock_drift_ms_max).filter(|max| *max > 0),
                ..DocumentOptions::default()
            },
            unit: text_unit(given.text_unit)?,
            lock_timeout: Duration::from_millis(timeout_ms.into()),
            default_types: given.no_default_types == 0,
        })
    }
}

/// Makes an empty document in memory.
///
/// @param options       NULL: the defaults
/// @param out_document  free it with syncline_document_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_new(
    options: *const syncline_document_options,
    out_document: *mut *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_document, "out_document")?;
        let settings = Settings::read(caller, options)?;
        let mut document = Document::new(settings.options);
        if settings.default_types {
            document.register_default_types();
        }
        let shared = SharedDocument::new(document, settings.lock_timeout);
        out.give_handle(DocumentCore::new(shared, settings.unit, None))
    })
}

/// Gives a handle back. Handlers, iterators and subscriptions keep the document alive.
///
/// @param document  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_free(document: *mut syncline_document) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(document) }
}

/// One more handle to the same document.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_retain(
    document: *mut syncline_document,
) -> *mut syncline_document {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(document) }
}

/// Ends the document (Dart's dispose): later calls with any handle to it or its handlers give
/// CLOSED, and subscriptions get CLOSED as their last event. Closing twice is harmless.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_close(
    document: *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        caller.object(document)?.close()?;
        Ok(SYNCLINE_OK)
    })
}

/// Whether the document was closed. False for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_is_closed(document: *const syncline_document) -> bool {
    question!(false, |caller| { caller.object(document)?.is_closed() })
}

/// The document id; borrowed while the handle lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_id(
    document: *const syncline_document,
) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        Ok(syncline_string::borrowed(
            caller.object(document)?.shared().id(),
        ))
    })
}

/// Who writes in this replica; all zeroes for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_peer_id(
    document: *const syncline_document,
) -> syncline_peer_id {
    question!(Default::default(), |caller| Ok(caller
        .object(document)?
        .shared()
        .peer_id()
        .into()))
}

/// The clock of the document; 0 when it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_clock(
    document: *const syncline_document,
) -> syncline_hlc {
    question!(0, |caller| caller
        .object(document)?
        .read(|d| Ok(d.clock().to_u64())))
}

/// Moves the clock on without an edit (Dart's prepareMutation).
///
/// @param out_clock  the clock after it; NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_tick(
    document: *mut syncline_document,
    out_clock: *mut syncline_hlc,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_or_null(out_clock, "out_clock")?;
        let clock = caller.object(document)?.edit(|d| Ok(d.tick()?))?;
        if let Some(out) = out {
            out.put(clock.to_u64());
        }
        Ok(SYNCLINE_OK)
    })
}

/// Unit of text indexes and lengths of this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_text_unit(
    document: *const syncline_document,
) -> syncline_text_unit {
    question!(SYNCLINE_TEXT_UNIT_UTF16, |caller| {
        Ok(match caller.object(document)?.unit() {
            TextUnit::Utf16 => SYNCLINE_TEXT_UNIT_UTF16,
            TextUnit::Utf8 => SYNCLINE_TEXT_UNIT_UTF8,
            TextUnit::CodePoint => SYNCLINE_TEXT_UNIT_CODE_POINT,
        })
    })
}

/// Whether there are neither changes nor a snapshot. True when it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_is_empty(document: *const syncline_document) -> bool {
    question!(true, |caller| caller
        .object(document)?
        .read(|d| Ok(d.is_empty())))
}

/// Counts what a document consists of. Encodes the last snapshot to know its size.
///
/// @param out_stats  struct_size must be set
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_stats(
    document: *const syncline_document,
    out_stats: *mut syncline_document_stats,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_stats, "out_stats")?;
        let stats = caller.object(document)?.read(|d| {
            Ok(syncline_document_stats {
                struct_size: 0,
                handler_count: d.handlers().count() as u64,
                change_count: d.change_count(),
                snapshot_bytes: d.last_snapshot().map_or(0, |s| s.encode().len() as u64),
                heap_bytes: d.heap_bytes() as u64,
                waiting_changes: 0,
            })
        })?;
        out.give(stats)
    })
}

/// Asks for CHANGE, UPDATE and CLOSED events of the document.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_subscribe(
    document: *mut syncline_document,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller
                .object(document)?
                .subscribe(subscription, Scope::Document)
        })
    )
}

/// Begins a transaction on this thread: edits until the matching commit become one, and other
/// threads wait. Transactions nest; the outermost commit counts.
///
/// @param tag  found in the events of the transaction; may be empty
/// @return BUSY if another thread's transaction lasts longer than lock_timeout_ms
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_begin(
    document: *mut syncline_document,
    tag: syncline_bytes,
) -> syncline_status {
    guard!(|caller| {
        let tag = caller.bytes(tag, "tag")?;
        caller.object(document)?.begin(tag)?;
        Ok(SYNCLINE_OK)
    })
}

/// Ends a transaction of this thread; the outermost end makes its edits visible to peers.
///
/// @return NO_TRANSACTION; WRONG_THREAD
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_commit(
    document: *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        caller.object(document)?.commit()?;
        Ok(SYNCLINE_OK)
    })
}

/// Ends the whole transaction of this thread and drops its local edits; imports stay.
///
/// @return NO_TRANSACTION; WRONG_THREAD
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_rollback(
    document: *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        caller.object(document)?.rollback()?;
        Ok(SYNCLINE_OK)
    })
}

/// Begins a transaction, runs `body` on this thread, commits. The body may call everything, also
/// free the document.
///
/// @param tag        as syncline_document_begin
/// @param body       what to do; returns normally, never by longjmp
/// @param user_data  given to it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_transact(
    document: *mut syncline_document,
    tag: syncline_bytes,
    body: syncline_transact_fn,
    user_data: *mut c_void,
) -> syncline_status {
    guard!(|caller| {
        let tag = caller.bytes(tag, "tag")?;
        let core = caller.object(document)?.clone();
        let body = body.ok_or_else(|| Error::argument("body is NULL"))?;
        core.begin(tag)?;
        // SAFETY: the caller gives this function for this user data.
        unsafe { body(user_data) };
        core.commit()?;
        Ok(SYNCLINE_OK)
    })
}

/// Whether this thread is inside of a transaction of the document. Waits while another thread is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_in_transaction(
    document: *const syncline_document,
) -> bool {
    question!(false, |caller| caller
        .object(document)?
        .read(|d| Ok(d.in_transaction())))
}

fn get_handler(
    caller: Caller<'_>,
    document: *mut syncline_document,
    id: syncline_string,
    options: *const syncline_handler_options,
    family: &Family,
) -> Result<HandlerRef, Error> {
    let core = caller.object(document)?;
    let id = caller.text(id, "id")?;
    let spec = kinds::spec(caller, options, family)?;
    core.handler(id, &spec)
}

/// The text with this id, made if it is not there.
///
/// @param id        any text; the same in all replicas
/// @param options   NULL: a Fugue text; the other kind is TEXT
/// @param out_text  free it with syncline_text_free
/// @return TYPE_MISMATCH if the id is in use with another type
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_text(
    document: *mut syncline_document,
    id: syncline_string,
    options: *const syncline_handler_options,
    out_text: *mut *mut syncline_text,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_text, "out_text")?;
        let family = kinds::TEXTS;
        out.give_handle(get_handler(caller, document, id, options, family)?)
    })
}

/// The list with this id, made if it is not there.
///
/// @param options   NULL: a Fugue list of JSON values; other kinds: LIST, MOVABLE_LIST, LIST_REF,
///                  MOVABLE_LIST_REF
/// @param out_list  free it with syncline_list_free
/// @return TYPE_MISMATCH if the id is in use with another type
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_list(
    document: *mut syncline_document,
    id: syncline_string,
    options: *const syncline_handler_options,
    out_list: *mut *mut syncline_list,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_list, "out_list")?;
        let family = kinds::LISTS;
        out.give_handle(get_handler(caller, document, id, options, family)?)
    })
}

/// The map with this id, made if it is not there.
///
/// @param options  NULL: a map of JSON values; other kinds: OR_MAP, MAP_REF
/// @param out_map  free it with syncline_map_free
/// @return TYPE_MISMATCH if the id is in use with another type
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_map(
    document: *mut syncline_document,
    id: syncline_string,
    options: *const syncline_handler_options,
    out_map: *mut *mut syncline_map,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_map, "out_map")?;
        let family = kinds::MAPS;
        out.give_handle(get_handler(caller, document, id, options, family)?)
    })
}

/// The set with this id, made if it is not there.
///
/// @param options  NULL: an OR-set of JSON values
/// @param out_set  free it with syncline_set_free
/// @return TYPE_MISMATCH if the id is in use with another type
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_set(
    document: *mut syncline_document,
    id: syncline_string,
    options: *const syncline_handler_options,
    out_set: *mut *mut syncline_set,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_set, "out_set")?;
        let family = kinds::SETS;
        out.give_handle(get_handler(caller, document, id, options, family)?)
    })
}

/// The register with this id, made if it is not there.
///
/// @param options       NULL: a register of a JSON value
/// @param out_register  free it with syncline_register_free
/// @return TYPE_MISMATCH if the id is in use with another type
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_register(
    document: *mut syncline_document,
    id: syncline_string,
    options: *const syncline_handler_options,
    out_register: *mut *mut syncline_register,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_register, "out_register")?;
        let family = kinds::REGISTERS;
        out.give_handle(get_handler(caller, document, id, options, family)?)
    })
}

/// The handler with this id, whatever its kind; none is made.
///
/// @param out_handler  free it with syncline_handler_free
/// @return NOT_FOUND, with out_handler unchanged
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_get_handler(
    document: *mut syncline_document,
    id: syncline_string,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        let core = caller.object(document)?;
        let id = caller.text(id, "id")?;
        let found = core.read(|d| Ok(d.find_handler(id).map(|at| HandlerRef::new(core, d, at))))?;
        found.map_or(Ok(SYNCLINE_NOT_FOUND), |handler| out.give_handle(handler))
    })
}

/// Whether a handler with this id is registered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_has_handler(
    document: *const syncline_document,
    id: syncline_string,
) -> bool {
    question!(false, |caller| {
        let id = caller.text(id, "id")?;
        caller
            .object(document)?
            .read(|d| Ok(d.find_handler(id).is_some()))
    })
}

/// All handlers in order of registration: key = id, and syncline_iterator_handler.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_iterate_handlers(
    document: *const syncline_document,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let core = caller.object(document)?;
        let items = core.read(|d| {
            let all = d.handlers().map(|at| HandlerRef::new(core, d, at));
            Ok(nested::iterate(all))
        })?;
        out.give_handle(items)
    })
}
