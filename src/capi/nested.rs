//! Section 12, third part: handlers that other handlers refer to, and types that a document makes
//! by itself.

use super::document::syncline_document;
use super::error::Error;
use super::guard::guard;
use super::handler::{HandlerRef, syncline_handler};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::kinds::{syncline_handler_options, type_spec};
use super::tree::{VALUE_DEPTH_MAX, is_within_depth};
use super::types::*;
use super::version_vector::give_json;
use crate::codec::{self, Value};
use crate::document::{Document, HandlerIdx, new_handler_id};

/// The value of a handler, for as deep as all that follows can go.
pub(crate) fn value_of(handler: &HandlerRef, resolve_refs: BoolArg) -> Result<Value, Error> {
    if resolve_refs == 0 || !handler.kind().is_container() {
        return handler.read(|d, h| Ok(d.handler_value(h)));
    }
    let core = handler.document();
    handler.edit(|d, h| {
        let value = resolved(d, h);
        core.handlers_added(d);
        value
    })
}

fn resolved(document: &mut Document, handler: HandlerIdx) -> Result<Value, Error> {
    let value = document.resolved(handler)?;
    if is_within_depth(&value, VALUE_DEPTH_MAX) {
        Ok(value)
    } else {
        Err(Error::new(
            SYNCLINE_ERROR_LIMIT,
            "what the references lead to is nested too deeply",
        ))
    }
}

/// An iterator over handlers.
pub(crate) fn iterate(handlers: impl Iterator<Item = HandlerRef>) -> IteratorCore {
    IteratorCore::new(handlers.map(|handler| Item {
        key: handler.id().to_owned(),
        handler: Some(handler),
        ..Item::default()
    }))
}

/// Lets the document make handlers of a type whenever an imported change or a reference names one
/// (Dart's registerFactory). Registering a type again changes what is made from then on.
///
/// @param type  its type_name is the tag; 0 as kind: what Dart's tag says
/// @return INVALID_ARGUMENT if neither says what kind it is
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_register_type(
    document: *mut syncline_document,
    r#type: *const syncline_handler_options,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(document)?;
        let spec = type_spec(caller, r#type)?;
        core.edit(|d| Ok(d.register_type(&spec)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// Registers the types whose tags carry no type arguments: texts and the kinds of references. New
/// documents have them, unless no_default_types was set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_register_default_types(
    document: *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        caller.object(document)?.edit(|d| {
            d.register_default_types();
            Ok(())
        })?;
        Ok(SYNCLINE_OK)
    })
}

/// The handler that a reference (a REF value) leads to, made if it is not there and its type is
/// registered (Dart's resolveHandler).
///
/// @param type_name    of the reference; one that is registered with another type is given as it is
/// @param out_handler  free it with syncline_handler_free
/// @return NOT_FOUND, with out_handler unchanged
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_resolve(
    document: *mut syncline_document,
    id: syncline_string,
    type_name: syncline_string,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        let core = caller.object(document)?;
        let reference = codec::HandlerRef {
            id: caller.text(id, "id")?.to_owned(),
            type_tag: caller.text(type_name, "type_name")?.to_owned(),
        };
        let found = core.edit(|d| Ok(core.resolve(d, &reference)))?;
        found.map_or(Ok(SYNCLINE_NOT_FOUND), |handler| out.give_handle(handler))
    })
}

/// Makes the handlers that stored changes, the last snapshot and references name and whose types
/// are registered: for a document that was loaded before its types were registered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_reconstruct(
    document: *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(document)?;
        core.edit(|d| {
            d.reconstruct();
            core.handlers_added(d);
            Ok(())
        })?;
        Ok(SYNCLINE_OK)
    })
}

/// The handlers that no other one refers to, in order of registration: key = id, and
/// syncline_iterator_handler.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_iterate_roots(
    document: *const syncline_document,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let core = caller.object(document)?;
        let roots = core.read(|d| {
            let roots = d.roots().into_iter();
            Ok(iterate(roots.map(|at| HandlerRef::new(core, d, at))))
        })?;
        out.give_handle(roots)
    })
}

/// A new id for a handler: a random UUID.
///
/// @param out_id  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_new_handler_id(
    document: *mut syncline_document,
    out_id: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_id, "out_id")?;
        caller.object(document)?;
        out.give(syncline_buffer::from_vec(new_handler_id().into_bytes()))
    })
}

/// The content of all handlers that no other one refers to as a JSON object: handler id to value,
/// references replaced by what they lead to.
///
/// @param out_json  free it with syncline_buffer_free
/// @return INVALID_ARGUMENT if a handler holds what JSON does not have (bytes); LIMIT as
///         syncline_handler_to_json
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_to_json(
    document: *const syncline_document,
    out_json: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_json, "out_json")?;
        let core = caller.object(document)?;
        let value = core.edit(|d| {
            let mut entries = Vec::new();
            for root in d.roots() {
                let value = resolved(d, root)?;
                entries.push((d.handler_id(root).into(), value));
            }
            core.handlers_added(d);
            Ok(Value::Object(entries))
        })?;
        give_json(out, value)
    })
}
