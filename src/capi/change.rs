//! Section 11, second half: changes.

use super::clock::{syncline_hlc, syncline_operation_id, syncline_peer_id};
use super::error::Error;
use super::event::{byte_array, object, string};
use super::guard::{guard, question};
use super::handle::{self, handle};
use super::types::*;
use super::version_vector::{clock_value, give_json};
use crate::codec::{Change, Value};
use std::ffi::c_int;

/// One change as it travels between peers. Immutable.
pub struct syncline_change(());

handle!(syncline_change, Change, Change);

/// Joins the parts of a change; nothing is applied.
///
/// @param id          its id
/// @param deps        ids of the changes it builds on
/// @param dep_count   how many
/// @param payload     the operation in its envelope
/// @param out_change  free it with syncline_change_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_new(
    id: *const syncline_operation_id,
    deps: *const syncline_operation_id,
    dep_count: usize,
    payload: syncline_bytes,
    out_change: *mut *mut syncline_change,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_change, "out_change")?;
        let id = *caller.read(id, "id")?;
        let deps = caller.slice(deps, dep_count, "deps")?;
        out.give_handle(Change {
            id: id.into(),
            deps: deps.iter().map(|dep| (*dep).into()).collect(),
            payload: caller.bytes(payload, "payload")?.to_vec(),
        })
    })
}

/// Gives a handle back.
///
/// @param change  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_free(change: *mut syncline_change) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(change) }
}

/// Reads the bytes of one change.
///
/// @param out_change  free it with syncline_change_free
/// @return MALFORMED with the byte offset
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_decode(
    bytes: syncline_bytes,
    out_change: *mut *mut syncline_change,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_change, "out_change")?;
        out.give_handle(Change::decode(caller.bytes(bytes, "bytes")?)?)
    })
}

/// Writes the bytes of one change.
///
/// @param out_bytes  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_encode(
    change: *const syncline_change,
    out_bytes: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_bytes, "out_bytes")?;
        out.give(syncline_buffer::from_vec(caller.object(change)?.encode()))
    })
}

/// The id of a change; all zeroes for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_id(
    change: *const syncline_change,
) -> syncline_operation_id {
    question!(Default::default(), |caller| Ok(caller
        .object(change)?
        .id
        .into()))
}

/// Who made it; all zeroes for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_author(
    change: *const syncline_change,
) -> syncline_peer_id {
    question!(Default::default(), |caller| Ok(caller
        .object(change)?
        .id
        .peer
        .into()))
}

/// When it was made; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_clock(change: *const syncline_change) -> syncline_hlc {
    question!(0, |caller| Ok(caller.object(change)?.id.hlc.to_u64()))
}

/// On how many changes it builds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_dep_count(change: *const syncline_change) -> u64 {
    question!(0, |caller| Ok(caller.object(change)?.deps.len() as u64))
}

/// One of the changes it builds on; all zeroes past the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_dep(
    change: *const syncline_change,
    index: u64,
) -> syncline_operation_id {
    question!(Default::default(), |caller| {
        let deps = &caller.object(change)?.deps;
        let dep = usize::try_from(index).ok().and_then(|at| deps.get(at));
        dep.map(|dep| (*dep).into())
            .ok_or_else(|| Error::out_of_range(index, deps.len() as u64))
    })
}

/// The operation in its envelope, borrowed from the change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_payload(change: *const syncline_change) -> syncline_bytes {
    question!(syncline_bytes::EMPTY, |caller| {
        Ok(syncline_bytes::borrowed(&caller.object(change)?.payload))
    })
}

/// The handler a change is for, borrowed from the change; "" if the envelope cannot be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_handler_id(
    change: *const syncline_change,
) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        Ok(syncline_string::borrowed(
            caller.object(change)?.envelope()?.handler_id,
        ))
    })
}

/// The type tag of that handler, borrowed from the change; "" if the envelope cannot be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_handler_type(
    change: *const syncline_change,
) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        Ok(syncline_string::borrowed(
            caller.object(change)?.envelope()?.handler_type,
        ))
    })
}

/// Compares by clock, then by author: the replay order.
///
/// @return negative, 0 or positive; 0 if one is NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_compare(
    a: *const syncline_change,
    b: *const syncline_change,
) -> c_int {
    question!(0, |caller| Ok(
        caller.object(a)?.id.cmp(&caller.object(b)?.id) as c_int
    ))
}

/// A change as a JSON object: id, author, clock, deps, handler, and the payload as numbers.
///
/// @param out_json  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_change_to_json(
    change: *const syncline_change,
    out_json: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_json, "out_json")?;
        let change = caller.object(change)?;
        let envelope = change.envelope();
        let handler = envelope.map_or(Value::Null, |envelope| {
            object([
                ("id", string(envelope.handler_id)),
                ("type", string(envelope.handler_type)),
                ("kind", Value::Int(envelope.kind.into())),
            ])
        });
        let deps = change.deps.iter().map(|dep| string(&dep.to_string()));
        give_json(
            out,
            object([
                ("id", string(&change.id.to_string())),
                ("author", string(&change.id.peer.to_string())),
                ("clock", clock_value(change.id.hlc)),
                ("deps", Value::Array(deps.collect())),
                ("handler", handler),
                ("payload", byte_array(&change.payload)),
            ]),
        )
    })
}
