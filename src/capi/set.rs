//! Section 17, first part: sets.

use super::guard::{guard, question};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::tree::{Block, Node, syncline_value};
use super::types::*;

/// Values without order; adding wins over removing at the same time.
pub struct syncline_set(());

handle!(syncline_set, HandlerRef, Set);

/// Gives a handle back.
///
/// @param set  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_free(set: *mut syncline_set) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(set) }
}

/// One more handle to the same set.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_retain(set: *mut syncline_set) -> *mut syncline_set {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(set) }
}

/// The same set as a handler.
///
/// @param out_handler  free it with syncline_handler_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_as_handler(
    set: *mut syncline_set,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        out.give_handle(caller.object(set)?.clone())
    })
}

/// Asks for CHANGE events (elements that came or went) and CLOSED of this set.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_subscribe(
    set: *mut syncline_set,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller.object(set)?.subscribe(subscription)
        })
    )
}

/// Number of elements. 0 when the document is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_length(set: *const syncline_set) -> u64 {
    question!(0, |caller| caller
        .object(set)?
        .read(|d, h| Ok(d.set_len(h))))
}

/// Whether an element is present. Numbers compare by value; lists and objects never equal others,
/// as in Dart.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_contains(
    set: *const syncline_set,
    value: *const syncline_value,
) -> bool {
    question!(false, |caller| {
        let value = Node::read(caller, value)?.into_value()?;
        caller
            .object(set)?
            .read(|d, h| Ok(d.set_contains(h, &value)))
    })
}

/// Adds an element. Adding one that is present again protects it from removals at the same time.
///
/// @param value  with codec BYTES it must be BYTES
/// @return UNSUPPORTED for undefined, big integers and references; INVALID_ARGUMENT for what the
///         codec cannot store
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_insert(
    set: *mut syncline_set,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let value = Node::read(caller, value)?.into_value()?;
        caller.object(set)?.edit(|d, h| Ok(d.set_add(h, &value)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// Removes an element.
///
/// @return NOT_FOUND if it is not present; else as syncline_set_insert
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_remove(
    set: *mut syncline_set,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let value = Node::read(caller, value)?.into_value()?;
        let done = caller.object(set)?.edit(|d, h| {
            let present = d.set_contains(h, &value);
            if present {
                d.set_remove(h, &value)?;
            }
            Ok(present)
        })?;
        Ok(if done {
            SYNCLINE_OK
        } else {
            SYNCLINE_NOT_FOUND
        })
    })
}

/// All elements: values without keys.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_iterate(
    set: *const syncline_set,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let values = caller.object(set)?.read(|d, h| Ok(d.set_values(h)))?;
        out.give_handle(IteratorCore::new(values.into_iter().map(Item::of_value)))
    })
}

/// The whole set as an ARRAY.
///
/// @param out_array  free it with syncline_value_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_set_to_value(
    set: *const syncline_set,
    out_array: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_array, "out_array")?;
        let value = caller.object(set)?.read(|d, h| Ok(d.handler_value(h)))?;
        out.give(Block::from_value(&value).into_raw())
    })
}
