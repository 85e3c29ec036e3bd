//! Section 13: what all kinds of handlers have in common.

use super::custom::syncline_custom;
use super::document::syncline_document;
use super::document_core::DocumentCore;
use super::error::Error;
use super::guard::{guard, question};
use super::handle::{self, handle};
use super::hub::Scope;
use super::iterator::{IteratorCore, syncline_iterator};
use super::kinds::{self, Family, syncline_handler_kind};
use super::list::syncline_list;
use super::map::syncline_map;
use super::nested;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::register::syncline_register;
use super::set::syncline_set;
use super::subscription::{Source, Subscription};
use super::text::syncline_text;
use super::tree::{Block, syncline_value};
use super::types::*;
use super::version_vector::{give_json, syncline_version_vector};
use crate::document::{Document, HandlerIdx, HandlerKind};
use std::sync::Arc;

/// A part of a document, whatever its kind.
pub struct syncline_handler(());

/// A handler as C knows it: the object behind syncline_handler and the types of its kinds.
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

    /// Its kind.
    pub(crate) fn kind(&self) -> HandlerKind {
        self.kind
    }

    /// The body of the `_subscribe` functions of all kinds.
    pub(crate) fn subscribe(
        &self,
        subscription: &Arc<Subscription>,
    ) -> Result<Arc<dyn Source>, Error> {
        let scope = match subscription.is_deep() && self.kind.is_container() {
            true => Scope::Below(self.index),
            false => Scope::Handler(self.index),
        };
        self.document.subscribe(subscription, scope)
    }

    /// Another handler of the same document.
    pub(crate) fn sibling<'a>(&self, other: &'a HandlerRef) -> Result<&'a HandlerRef, Error> {
        if Arc::ptr_eq(self.document.shared(), other.document.shared()) {
            Ok(other)
        } else {
            Err(Error::argument("the child is a part of another document"))
        }
    }

    /// Its number in its document.
    pub(crate) fn index(&self) -> HandlerIdx {
        self.index
    }

    /// A TYPE_MISMATCH unless it is of one of these kinds.
    pub(crate) fn ensure_kind(&self, family: &Family) -> Result<(), Error> {
        if family.contains(&self.kind) {
            return Ok(());
        }
        Err(Error::new(
            SYNCLINE_ERROR_TYPE_MISMATCH,
            "the handler is of another kind",
        ))
    }

    fn of_family(&self, family: &Family) -> Result<HandlerRef, Error> {
        self.ensure_kind(family).map(|()| self.clone())
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
    let otherwise = syncline_handler_kind::SYNCLINE_HANDLER_CUSTOM;
    question!(otherwise, |caller| Ok(caller.object(handler)?.kind.into()))
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

/// Its content as JSON text. A reference that is not resolved is {"type", "id"}.
///
/// @param resolve_refs  whether references are replaced by what they refer to: null for one that
///                      leads nowhere or into a circle
/// @param out_json      free it with syncline_buffer_free
/// @return INVALID_ARGUMENT if it holds what JSON does not have (bytes); LIMIT if what it refers
///         to is too large or nested more than 128 times: then take parts of it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_to_json(
    handler: *const syncline_handler,
    resolve_refs: BoolArg,
    out_json: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_json, "out_json")?;
        let value = nested::value_of(caller.object(handler)?, resolve_refs)?;
        give_json(out, value)
    })
}

/// Its content as a value.
///
/// @param resolve_refs  as syncline_handler_to_json; else references are REF values
/// @param out_value     free it with syncline_value_free
/// @return LIMIT as syncline_handler_to_json
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_to_value(
    handler: *const syncline_handler,
    resolve_refs: BoolArg,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let value = nested::value_of(caller.object(handler)?, resolve_refs)?;
        out.give(Block::from_value(&value).into_raw())
    })
}

/// Asks for CHANGE and CLOSED events of this handler.
///
/// @param listener          who is told; `deep` includes all that a container refers to
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_subscribe(
    handler: *mut syncline_handler,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller.object(handler)?.subscribe(subscription)
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
        out.give_handle(caller.object(handler)?.of_family(kinds::TEXTS)?)
    })
}

/// The same handler as a list.
///
/// @param out_list  free it with syncline_list_free
/// @return TYPE_MISMATCH
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_as_list(
    handler: *mut syncline_handler,
    out_list: *mut *mut syncline_list,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_list, "out_list")?;
        out.give_handle(caller.object(handler)?.of_family(kinds::LISTS)?)
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
        out.give_handle(caller.object(handler)?.of_family(kinds::MAPS)?)
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
        out.give_handle(caller.object(handler)?.of_family(kinds::SETS)?)
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
        out.give_handle(caller.object(handler)?.of_family(kinds::REGISTERS)?)
    })
}

/// The same handler as a custom handler.
///
/// @param out_custom  free it with syncline_custom_free
/// @return TYPE_MISMATCH
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_handler_as_custom(
    handler: *mut syncline_handler,
    out_custom: *mut *mut syncline_custom,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_custom, "out_custom")?;
        out.give_handle(caller.object(handler)?.of_family(kinds::CUSTOMS)?)
    })
}
