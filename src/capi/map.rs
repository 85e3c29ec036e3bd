//! Section 16: maps.

use super::error::Error;
use super::guard::{guard, question};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::tree::{Block, Node, syncline_value};
use super::types::*;

/// Keys with values; for each key the last writer wins.
pub struct syncline_map(());

handle!(syncline_map, HandlerRef, Map);

/// Gives a handle back.
///
/// @param map  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_free(map: *mut syncline_map) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(map) }
}

/// One more handle to the same map.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_retain(map: *mut syncline_map) -> *mut syncline_map {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(map) }
}

/// The same map as a handler.
///
/// @param out_handler  free it with syncline_handler_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_as_handler(
    map: *mut syncline_map,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        out.give_handle(caller.object(map)?.clone())
    })
}

/// Asks for CHANGE events (keys with old and new value) and CLOSED of this map.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_subscribe(
    map: *mut syncline_map,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            let map = caller.object(map)?;
            map.document().subscribe(subscription, map.scope())
        })
    )
}

/// Number of keys. 0 when the document is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_length(map: *const syncline_map) -> u64 {
    question!(0, |caller| caller
        .object(map)?
        .read(|d, h| Ok(d.map_len(h))))
}

/// Whether a key is present.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_contains(
    map: *const syncline_map,
    key: syncline_string,
) -> bool {
    question!(false, |caller| {
        let key = caller.text(key, "key")?;
        caller.object(map)?.read(|d, h| Ok(d.map_contains(h, key)))
    })
}

/// The value of a key.
///
/// @param out_value  free it with syncline_value_free
/// @return NOT_FOUND, with *out_value set to NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_get(
    map: *const syncline_map,
    key: syncline_string,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let key = caller.text(key, "key")?;
        let found = caller.object(map)?.read(|d, h| {
            // The tree is built from the value where it is, without a copy in between.
            Ok(d.map_get(h, key).map(|value| Block::from_value(&value)))
        })?;
        give_or_not_found(out, found)
    })
}

/// Gives a value, or NULL with NOT_FOUND.
pub(crate) fn give_or_not_found(
    out: super::guard::Out<'_, *mut syncline_value>,
    found: Option<Block>,
) -> super::guard::Answer {
    match found {
        Some(block) => out.give(block.into_raw()),
        None => {
            out.put(std::ptr::null_mut());
            Ok(SYNCLINE_NOT_FOUND)
        }
    }
}

/// Sets a key.
///
/// @param key    any text
/// @param value  with codec BYTES it must be BYTES
/// @return UNSUPPORTED for undefined, big integers and references; INVALID_ARGUMENT for what the
///         codec cannot store (NaN, infinity, bytes in JSON)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_set(
    map: *mut syncline_map,
    key: syncline_string,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let key = caller.text(key, "key")?;
        let value = Node::read(caller, value)?.into_value()?;
        caller
            .object(map)?
            .edit(|d, h| Ok(d.map_set(h, key, &value)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// Sets a key only where it is present: if somebody removes it at the same time, it stays removed.
///
/// @return NOT_FOUND if it is not present; else as syncline_map_set
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_update(
    map: *mut syncline_map,
    key: syncline_string,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let key = caller.text(key, "key")?;
        let value = Node::read(caller, value)?.into_value()?;
        let done = caller.object(map)?.edit(|d, h| {
            let present = d.map_contains(h, key);
            if present {
                d.map_update(h, key, &value)?;
            }
            Ok::<bool, Error>(present)
        })?;
        Ok(if done {
            SYNCLINE_OK
        } else {
            SYNCLINE_NOT_FOUND
        })
    })
}

/// Removes a key.
///
/// @return NOT_FOUND if it is not present
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_remove(
    map: *mut syncline_map,
    key: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let key = caller.text(key, "key")?;
        let done = caller.object(map)?.edit(|d, h| {
            let present = d.map_contains(h, key);
            if present {
                d.map_remove(h, key)?;
            }
            Ok::<bool, Error>(present)
        })?;
        Ok(if done {
            SYNCLINE_OK
        } else {
            SYNCLINE_NOT_FOUND
        })
    })
}

/// All entries: key and value.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_iterate(
    map: *const syncline_map,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let entries = caller.object(map)?.read(|d, h| Ok(d.map_entries(h)))?;
        out.give_handle(IteratorCore::new(entries.into_iter().map(
            |(key, value)| Item {
                key,
                value: Some(value),
                ..Item::default()
            },
        )))
    })
}

/// The whole map as an OBJECT.
///
/// @param resolve_refs  whether references are replaced by what they refer to; maps of this
///                      version hold none
/// @param out_object    free it with syncline_value_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_to_value(
    map: *const syncline_map,
    resolve_refs: BoolArg,
    out_object: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let _ = resolve_refs;
        let out = caller.out(out_object, "out_object")?;
        let value = caller.object(map)?.read(|d, h| Ok(d.handler_value(h)))?;
        out.give(Block::from_value(&value).into_raw())
    })
}
