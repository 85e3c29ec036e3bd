//! Section 15: lists of every kind.

use super::error::Error;
use super::guard::{Answer, Caller, guard, question};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::kinds::LISTS_OF_REFERENCES;
use super::nested;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::tree::{Block, Node, syncline_value};
use super::types::*;
use crate::codec::Value;
use crate::document::{Affinity, Document, HandlerIdx};

/// Values in order: a list, a Fugue list, a movable list, or a list of references.
pub struct syncline_list(());

handle!(syncline_list, HandlerRef, List);

/// The values of the caller, as handlers store them.
fn values_of(
    caller: Caller<'_>,
    values: *const syncline_value,
    count: usize,
) -> Result<Vec<Value>, Error> {
    let nodes = Node::read_all(caller, values, count)?;
    nodes.into_iter().map(Node::into_value).collect()
}

/// OUT_OF_RANGE unless there is an element at the index.
fn ensure_element(document: &Document, list: HandlerIdx, index: u64) -> Result<(), Error> {
    let length = document.list_len(list);
    if index < length {
        Ok(())
    } else {
        Err(Error::out_of_range(index, length))
    }
}

/// OUT_OF_RANGE if the index is past the end.
fn ensure_position(document: &Document, list: HandlerIdx, index: u64) -> Result<(), Error> {
    let length = document.list_len(list);
    if index <= length {
        Ok(())
    } else {
        Err(Error::out_of_range(index, length))
    }
}

/// Gives a handle back.
///
/// @param list  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_free(list: *mut syncline_list) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(list) }
}

/// One more handle to the same list.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_retain(list: *mut syncline_list) -> *mut syncline_list {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(list) }
}

/// The same list as a handler.
///
/// @param out_handler  free it with syncline_handler_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_as_handler(
    list: *mut syncline_list,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        out.give_handle(caller.object(list)?.clone())
    })
}

/// Asks for CHANGE events (list deltas) and CLOSED of this list.
///
/// @param listener          who is told; `deep` includes all that a list of references leads to
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_subscribe(
    list: *mut syncline_list,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller.object(list)?.subscribe(subscription)
        })
    )
}

/// Number of elements. 0 when the document is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_length(list: *const syncline_list) -> u64 {
    question!(0, |caller| caller
        .object(list)?
        .read(|d, h| Ok(d.list_len(h))))
}

/// The value of an element.
///
/// @param out_value  free it with syncline_value_free
/// @return OUT_OF_RANGE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_get(
    list: *const syncline_list,
    index: u64,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let value = caller.object(list)?.read(|d, h| {
            let value = d.list_get(h, index);
            value.ok_or_else(|| Error::out_of_range(index, d.list_len(h)))
        })?;
        out.give(Block::from_value(&value).into_raw())
    })
}

/// Inserts elements before a position. A null in a Fugue list or a movable list is never seen, as
/// in Dart.
///
/// @param values  with codec BYTES they must be BYTES, in lists of references REF
/// @param count   how many; 0 changes nothing
/// @return OUT_OF_RANGE if `index` is past the end; UNSUPPORTED for undefined and big integers;
///         INVALID_ARGUMENT for what the list cannot store (NaN, infinity, bytes in JSON);
///         LIMIT for more than 2^20 values, with all that is in them
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_insert(
    list: *mut syncline_list,
    index: u64,
    values: *const syncline_value,
    count: usize,
) -> syncline_status {
    guard!(|caller| {
        let list = caller.object(list)?;
        let values = values_of(caller, values, count)?;
        list.edit(|d, h| Ok(d.list_insert(h, index, &values)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// Inserts elements at the end, wherever that is by now.
///
/// @param values  as syncline_list_insert
/// @param count   how many; 0 changes nothing
/// @return as syncline_list_insert
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_push(
    list: *mut syncline_list,
    values: *const syncline_value,
    count: usize,
) -> syncline_status {
    guard!(|caller| {
        let list = caller.object(list)?;
        let values = values_of(caller, values, count)?;
        list.edit(|d, h| Ok(d.list_push(h, &values)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// Removes elements.
///
/// @param index  where they begin
/// @param count  how many; 0 changes nothing
/// @return OUT_OF_RANGE if they reach past the end
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_remove(
    list: *mut syncline_list,
    index: u64,
    count: u64,
) -> syncline_status {
    guard!(|caller| {
        caller.object(list)?.edit(|d, h| {
            if count == 0 {
                // A list by positions would make a change of it.
                return ensure_position(d, h, index);
            }
            Ok(d.list_remove(h, index, count)?)
        })?;
        Ok(SYNCLINE_OK)
    })
}

/// Replaces an element. If two do so at the same time, both new ones are seen in a Fugue list; in
/// the other kinds the later one wins.
///
/// @param value  as syncline_list_insert
/// @return OUT_OF_RANGE; else as syncline_list_insert
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_update(
    list: *mut syncline_list,
    index: u64,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let list = caller.object(list)?;
        let value = Node::read(caller, value)?.into_value()?;
        list.edit(|d, h| {
            ensure_element(d, h, index)?;
            Ok(d.list_update(h, index, &value)?)
        })?;
        Ok(SYNCLINE_OK)
    })
}

/// Moves an element to where it has `to` others before it; it stays the same element, so what
/// others write into it meanwhile stays with it.
///
/// @param from  where it is
/// @param to    where it shall be; the length means the end, too
/// @return TYPE_MISMATCH unless it is a movable kind; OUT_OF_RANGE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_move(
    list: *mut syncline_list,
    from: u64,
    to: u64,
) -> syncline_status {
    guard!(|caller| {
        caller
            .object(list)?
            .edit(|d, h| Ok(d.list_move(h, from, to)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// Inserts a reference to a handler before a position.
///
/// @param child  of the same document
/// @return TYPE_MISMATCH unless it is a list of references; OUT_OF_RANGE; INVALID_ARGUMENT for a
///         child of another document
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_insert_ref(
    list: *mut syncline_list,
    index: u64,
    child: *const syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let list = caller.object(list)?;
        let child = list.sibling(caller.object(child)?)?.index();
        list.ensure_kind(LISTS_OF_REFERENCES)?;
        list.edit(|d, h| Ok(d.insert_ref(h, index, child)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// The handler that a reference leads to, made if it is not there and its type is registered.
///
/// @param out_child  free it with syncline_handler_free
/// @return NOT_FOUND, with out_child unchanged, if it leads nowhere; TYPE_MISMATCH unless it is a
///         list of references; OUT_OF_RANGE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_get_ref(
    list: *const syncline_list,
    index: u64,
    out_child: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_child, "out_child")?;
        let list = caller.object(list)?;
        list.ensure_kind(LISTS_OF_REFERENCES)?;
        let child = list.edit(|d, h| {
            ensure_element(d, h, index)?;
            let reference = d.get_ref_at(h, index);
            Ok(reference.and_then(|reference| list.document().resolve(d, &reference)))
        })?;
        child.map_or(Ok(SYNCLINE_NOT_FOUND), |child| out.give_handle(child))
    })
}

/// All elements: syncline_iterator_index and _value.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_iterate(
    list: *const syncline_list,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let values = caller.object(list)?.read(|d, h| Ok(d.list_values(h)))?;
        out.give_handle(IteratorCore::new(values.into_iter().map(Item::of_value)))
    })
}

/// The values of an element of a movable list that lost against the one it has, written without
/// knowledge of it and of each other: value = {"value", "peer", "clock"}, newest first. Other
/// kinds have none, and what was pruned is not found.
///
/// @param out_iterator  free it with syncline_iterator_free
/// @return OUT_OF_RANGE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_iterate_conflicts(
    list: *const syncline_list,
    index: u64,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let conflicts = caller.object(list)?.read(|d, h| {
            ensure_element(d, h, index)?;
            Ok(d.list_conflicts(h, index))
        })?;
        out.give_handle(IteratorCore::of_conflicts(conflicts))
    })
}

/// The whole list as an ARRAY.
///
/// @param resolve_refs  whether references are replaced by what they refer to: null for one that
///                      leads nowhere or into a circle
/// @param out_array     free it with syncline_value_free
/// @return LIMIT as syncline_handler_to_json
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_to_value(
    list: *const syncline_list,
    resolve_refs: BoolArg,
    out_array: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_array, "out_array")?;
        let value = nested::value_of(caller.object(list)?, resolve_refs)?;
        out.give(Block::from_value(&value).into_raw())
    })
}

/// A position that stays at its element while the list changes, and follows it where it moves.
///
/// @param index         a position; it stays behind the element before it
/// @param out_position  for syncline_list_position_index; free it with syncline_buffer_free
/// @return OUT_OF_RANGE; TYPE_MISMATCH for the kind LIST, whose elements have no identity
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_position_at(
    list: *const syncline_list,
    index: u64,
    out_position: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| position_at(caller, list, index, Affinity::Before, out_position))
}

/// As syncline_list_position_at, with the element on either side.
///
/// @param out_position  for syncline_list_position_index_beside with the same affinity
/// @return as syncline_list_position_at
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_position_beside(
    list: *const syncline_list,
    index: u64,
    affinity: AffinityArg,
    out_position: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let affinity = affinity_of(affinity)?;
        position_at(caller, list, index, affinity, out_position)
    })
}

/// Where a position of syncline_list_position_at is now.
///
/// @param position  its bytes
/// @return NOT_FOUND, with out_index unchanged, if its element is unknown here; MALFORMED;
///         TYPE_MISMATCH as syncline_list_position_at
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_position_index(
    list: *const syncline_list,
    position: syncline_bytes,
    out_index: *mut u64,
) -> syncline_status {
    guard!(|caller| position_index(caller, list, position, Affinity::Before, out_index))
}

/// Where a position of syncline_list_position_beside is now.
///
/// @param affinity  as it was made
/// @return as syncline_list_position_index
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_list_position_index_beside(
    list: *const syncline_list,
    position: syncline_bytes,
    affinity: AffinityArg,
    out_index: *mut u64,
) -> syncline_status {
    guard!(|caller| {
        let affinity = affinity_of(affinity)?;
        position_index(caller, list, position, affinity, out_index)
    })
}

fn position_at(
    caller: Caller<'_>,
    list: *const syncline_list,
    index: u64,
    affinity: Affinity,
    out_position: *mut syncline_buffer,
) -> Answer {
    let out = caller.out(out_position, "out_position")?;
    let position = caller.object(list)?.read(|d, h| {
        ensure_position(d, h, index)?;
        Ok(d.list_position_beside(h, index, affinity)?)
    })?;
    out.give(syncline_buffer::from_vec(position))
}

fn position_index(
    caller: Caller<'_>,
    list: *const syncline_list,
    position: syncline_bytes,
    affinity: Affinity,
    out_index: *mut u64,
) -> Answer {
    let out = caller.out(out_index, "out_index")?;
    let position = caller.bytes(position, "position")?;
    let list = caller.object(list)?;
    let index = list.read(|d, h| Ok(d.list_position_index_beside(h, position, affinity)?))?;
    index.map_or(Ok(SYNCLINE_NOT_FOUND), |index| out.give(index))
}
