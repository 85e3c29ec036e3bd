//! Section 13: what all kinds of handlers have in common.

use super::document::syncline_document;
use super::document_core::DocumentCore;
use super::error::Error;
use super::guard::{Caller, OptionStruct, SizeFirst, guard, question};
use super::handle::{self, handle};
use super::hub::Scope;
use super::iterator::{IteratorCore, syncline_iterator};
use super::map::syncline_map;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::register::syncline_register;
use super::set::syncline_set;
use super::text::syncline_text;
use super::tree::{Block, syncline_value};
use super::types::*;
use super::version_vector::{give_json, syncline_version_vector};
use crate::document::{Document, HandlerIdx, HandlerKind, HandlerSpec, ValueCodec};
use std::sync::Arc;

/// A part of a document, whatever its kind.
pub struct syncline_handler(());

/// The kinds of handlers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_handler_kind {
    /// Plain text.
    SYNCLINE_HANDLER_TEXT = 1,
    /// Text that keeps concurrent passages together.
    SYNCLINE_HANDLER_FUGUE_TEXT = 2,
    /// Plain list.
    SYNCLINE_HANDLER_LIST = 3,
    /// List that keeps concurrent passages together.
    SYNCLINE_HANDLER_FUGUE_LIST = 4,
    /// List whose items can be moved.
    SYNCLINE_HANDLER_MOVABLE_LIST = 5,
    /// Map; the last writer of a key wins.
    SYNCLINE_HANDLER_MAP = 6,
    /// Map; adding wins over removing.
    SYNCLINE_HANDLER_OR_MAP = 7,
    /// One value; the last writer wins.
    SYNCLINE_HANDLER_REGISTER = 8,
    /// Set; adding wins over removing.
    SYNCLINE_HANDLER_OR_SET = 9,
    /// Map of handlers.
    SYNCLINE_HANDLER_MAP_REF = 10,
    /// List of handlers.
    SYNCLINE_HANDLER_LIST_REF = 11,
    /// Movable list of handlers.
    SYNCLINE_HANDLER_MOVABLE_LIST_REF = 12,
    /// Type of the application.
    SYNCLINE_HANDLER_CUSTOM = 13,
}

use syncline_handler_kind::*;

/// How values of a handler are stored.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_codec {
    /// As JSON text.
    SYNCLINE_CODEC_JSON = 0,
    /// Values are BYTES, stored as they are.
    SYNCLINE_CODEC_BYTES = 1,
}

/// A handler kind as C gives it: any integer.
pub type HandlerKindArg = u32;
/// A codec as C gives it: any integer.
pub type CodecArg = u32;

/// What to make when a handler is not there yet.
#[repr(C)]
pub struct syncline_handler_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// 0: FUGUE_TEXT, MAP, OR_SET or REGISTER by the function used. Kinds this version does not
    /// have are UNSUPPORTED.
    pub kind: HandlerKindArg,
    /// How values are stored.
    pub codec: CodecArg,
    /// Wire tag, for example `CRDTMapHandler<num>`; "" = Dart's tag for values of any type.
    pub type_name: syncline_string,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_handler_options {}
// SAFETY: integers and nullable pointers only.
unsafe impl OptionStruct for syncline_handler_options {}

/// The options in the terms of `document`. `kind` is the only one the function makes.
pub(crate) fn spec(
    caller: Caller<'_>,
    options: *const syncline_handler_options,
    (kind_number, kind): (syncline_handler_kind, HandlerKind),
) -> Result<HandlerSpec, Error> {
    let given = caller.sized(options, "options")?;
    let supported = [
        SYNCLINE_HANDLER_FUGUE_TEXT,
        SYNCLINE_HANDLER_MAP,
        SYNCLINE_HANDLER_REGISTER,
        SYNCLINE_HANDLER_OR_SET,
    ];
    match given.kind {
        0 => {}
        number if number == kind_number as u32 => {}
        number if supported.iter().any(|known| *known as u32 == number) => {
            return Err(Error::argument(
                "this function does not make handlers of this kind",
            ));
        }
        1..=13 => {
            return Err(Error::unsupported(
                "this version does not have this handler kind",
            ));
        }
        _ => return Err(Error::argument("this handler kind does not exist")),
    }
    let codec = match given.codec {
        c if c == syncline_codec::SYNCLINE_CODEC_JSON as u32 => ValueCodec::Json,
        c if c == syncline_codec::SYNCLINE_CODEC_BYTES as u32 => ValueCodec::Bytes,
        _ => return Err(Error::argument("this codec does not exist")),
    };
    if kind == HandlerKind::FugueText && codec != ValueCodec::Json {
        return Err(Error::argument("a text has no values to encode"));
    }
    let type_tag = caller.text(given.type_name, "type_name")?.to_owned();
    Ok(HandlerSpec {
        kind,
        codec,
        type_tag,
    })
}

/// A handler as C knows it: the object behind syncline_handler, syncline_text, syncline_map,
/// syncline_set and syncline_register.
#[derive(Clone)]
pub(crate) struct HandlerRef {
    document: Arc<DocumentCore>,
    index: HandlerIdx,
    kind: HandlerKind,
    id: Arc<str>,
    type_name: Arc<str>,
}

handle!(syncline_handler, HandlerRef, Handler);

impl HandlerRef {
    pub(crate) fn new(core: &Arc<DocumentCore>, document: &Document, index: HandlerIdx) -> Self {
        HandlerRef {
            document: core.clone(),
            index,
            kind: document.handler_kind(index),
            id: document.handler_id(index).into(),
            type_name: document.handler_type(index).into(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn document(&self) -> &Arc<DocumentCore> {
        &self.document
    }

    /// Runs `body` under the document's lock.
    #[inline]
    pub(crate) fn edit<R>(
        &self,
        body: impl FnOnce(&mut Document, HandlerIdx) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.document.edit(|document| body(document, self.index))
    }

    /// As `edit`, reading only.
    pub(crate) fn read<R>(
        &self,
        body: impl FnOnce(&Document, HandlerIdx) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.document.read(|document| body(document, self.index))
    }

    /// The body of the `_subscribe` functions of all kinds.
    pub(crate) fn scope(&self) -> Scope {
        Scope::Handler(self.index)
    }

    fn of_kind(&self, kind: HandlerKind) -> Result<HandlerRef, Error> {
        if self.kind == kind {
            return Ok(self.clone());
        }
        Err(Error::new(
            SYNCLINE_ERROR_TYPE_MISMATCH,
            "the handler is of another kind",
        ))
    }
}

/// Gives a handle back. The handler itself stays in its document.
///
/// @param handler  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_free(handler: *mut syncline_handler) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(handler) }
}

/// One more handle to the same handler.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_retain(
    handler: *mut syncline_handler,
) -> *mut syncline_handler {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(handler) }
}

/// Its kind. CUSTOM for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_get_kind(
    handler: *const syncline_handler,
) -> syncline_handler_kind {
    question!(SYNCLINE_HANDLER_CUSTOM, |caller| {
        Ok(match caller.object(handler)?.kind {
            HandlerKind::Text => SYNCLINE_HANDLER_TEXT,
            HandlerKind::FugueText => SYNCLINE_HANDLER_FUGUE_TEXT,
            HandlerKind::List => SYNCLINE_HANDLER_LIST,
            HandlerKind::FugueList => SYNCLINE_HANDLER_FUGUE_LIST,
            HandlerKind::MovableList => SYNCLINE_HANDLER_MOVABLE_LIST,
            HandlerKind::Map => SYNCLINE_HANDLER_MAP,
            HandlerKind::OrMap => SYNCLINE_HANDLER_OR_MAP,
            HandlerKind::Register => SYNCLINE_HANDLER_REGISTER,
            HandlerKind::OrSet => SYNCLINE_HANDLER_OR_SET,
            HandlerKind::MapRef => SYNCLINE_HANDLER_MAP_REF,
            HandlerKind::ListRef => SYNCLINE_HANDLER_LIST_REF,
            HandlerKind::MovableListRef => SYNCLINE_HANDLER_MOVABLE_LIST_REF,
            HandlerKind::Custom => SYNCLINE_HANDLER_CUSTOM,
        })
    })
}

/// Its id, borrowed while the handle lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_id(handler: *const syncline_handler) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        Ok(syncline_string::borrowed(&caller.object(handler)?.id))
    })
}

/// Its type tag on the wire, borrowed while the handle lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_type_name(
    handler: *const syncline_handler,
) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        Ok(syncline_string::borrowed(
            &caller.object(handler)?.type_name,
        ))
    })
}

/// The document it is a part of.
///
/// @param out_document  free it with syncline_document_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_document(
    handler: *const syncline_handler,
    out_document: *mut *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_document, "out_document")?;
        out.give_handle(caller.object(handler)?.document.clone())
    })
}

/// Number of commits that touched it; equal readings: nothing changed in between.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_revision(handler: *const syncline_handler) -> u64 {
    question!(0, |caller| caller
        .object(handler)?
        .read(|d, h| Ok(d.handler_revision(h))))
}

/// How many changes of the log are for this handler. Walks the log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_change_count(handler: *const syncline_handler) -> u64 {
    question!(0, |caller| {
        let handler = caller.object(handler)?;
        handler.read(|d, _| Ok(d.handler_change_count(&handler.id)))
    })
}

/// The changes for this handler: syncline_iterator_change and _bytes.
///
/// @param since         what to leave out; NULL = nothing
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_iterate_changes(
    handler: *const syncline_handler,
    since: *const syncline_version_vector,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let since = caller
            .object_or_null(since)?
            .map(|vector| vector.lock().clone());
        let handler = caller.object(handler)?;
        let changes = handler.read(|d, _| Ok(d.handler_changes(&handler.id, since.as_ref())))?;
        out.give_handle(IteratorCore::of_changes(changes))
    })
}

/// Its part of a snapshot.
///
/// @param out_state  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_snapshot_state(
    handler: *const syncline_handler,
    out_state: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_state, "out_state")?;
        let state = caller
            .object(handler)?
            .read(|d, h| Ok(d.handler_snapshot_state(h)))?;
        out.give(syncline_buffer::from_vec(state))
    })
}

/// Its content as JSON text.
///
/// @param resolve_refs  whether references are replaced by what they refer to; the kinds of this
///                      version hold none
/// @param out_json      free it with syncline_buffer_free
/// @return INVALID_ARGUMENT if it holds what JSON does not have (bytes)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_to_json(
    handler: *const syncline_handler,
    resolve_refs: BoolArg,
    out_json: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let _ = resolve_refs;
        let out = caller.out(out_json, "out_json")?;
        let value = caller
            .object(handler)?
            .read(|d, h| Ok(d.handler_value(h)))?;
        give_json(out, &value)
    })
}

/// Its content as a value.
///
/// @param resolve_refs  as syncline_handler_to_json
/// @param out_value     free it with syncline_value_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_to_value(
    handler: *const syncline_handler,
    resolve_refs: BoolArg,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let _ = resolve_refs;
        let out = caller.out(out_value, "out_value")?;
        let value = caller
            .object(handler)?
            .read(|d, h| Ok(d.handler_value(h)))?;
        out.give(Block::from_value(&value).into_raw())
    })
}

/// Asks for CHANGE and CLOSED events of this handler.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_subscribe(
    handler: *mut syncline_handler,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            let handler = caller.object(handler)?;
            handler.document.subscribe(subscription, handler.scope())
        })
    )
}

/// The same handler as a text.
///
/// @param out_text  free it with syncline_text_free
/// @return TYPE_MISMATCH
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_as_text(
    handler: *mut syncline_handler,
    out_text: *mut *mut syncline_text,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_text, "out_text")?;
        out.give_handle(caller.object(handler)?.of_kind(HandlerKind::FugueText)?)
    })
}

/// The same handler as a map.
///
/// @param out_map  free it with syncline_map_free
/// @return TYPE_MISMATCH
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_as_map(
    handler: *mut syncline_handler,
    out_map: *mut *mut syncline_map,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_map, "out_map")?;
        out.give_handle(caller.object(handler)?.of_kind(HandlerKind::Map)?)
    })
}

/// The same handler as a set.
///
/// @param out_set  free it with syncline_set_free
/// @return TYPE_MISMATCH
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_as_set(
    handler: *mut syncline_handler,
    out_set: *mut *mut syncline_set,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_set, "out_set")?;
        out.give_handle(caller.object(handler)?.of_kind(HandlerKind::OrSet)?)
    })
}

/// The same handler as a register.
///
/// @param out_register  free it with syncline_register_free
/// @return TYPE_MISMATCH
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_as_register(
    handler: *mut syncline_handler,
    out_register: *mut *mut syncline_register,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_register, "out_register")?;
        out.give_handle(caller.object(handler)?.of_kind(HandlerKind::Register)?)
    })
}
