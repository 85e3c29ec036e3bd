//! Section 16: maps.

use super::error::Error;
use super::guard::{guard, question};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::kinds::{MAPS_OF_REFERENCES, MAPS_WITH_UPDATE};
use super::nested;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::tree::{Block, Node, syncline_value};
use super::types::*;

/// Keys with values: a map, an OR-map, or a map of references.
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
/// @param listener          who is told; `deep` includes all that a map of references leads to
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_subscribe(
    map: *mut syncline_map,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller.object(map)?.subscribe(subscription)
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

fn done_or_not_found(done: bool) -> syncline_status {
    if done {
        SYNCLINE_OK
    } else {
        SYNCLINE_NOT_FOUND
    }
}

/// Sets a key (Dart's put of an OR-map).
///
/// @param key    any text
/// @param value  with codec BYTES it must be BYTES, in maps of references REF
/// @return UNSUPPORTED for undefined and big integers; INVALID_ARGUMENT for what the map cannot
///         store (NaN, infinity, bytes in JSON)
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
/// @return NOT_FOUND if it is not present; TYPE_MISMATCH for an OR-map, which has no such
///         operation; else as syncline_map_set
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_update(
    map: *mut syncline_map,
    key: syncline_string,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let key = caller.text(key, "key")?;
        let value = Node::read(caller, value)?.into_value()?;
        let map = caller.object(map)?;
        map.ensure_kind(MAPS_WITH_UPDATE)?;
        let done = map.edit(|d, h| {
            let present = d.map_contains(h, key);
            if present {
                d.map_update(h, key, &value)?;
            }
            Ok::<bool, Error>(present)
        })?;
        Ok(done_or_not_found(done))
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
        Ok(done_or_not_found(done))
    })
}

/// All entries: key and value. A key of an OR-map that is no string is its JSON text; of keys with
/// the same text only the first is here.
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

/// The values of a key that lost against the one it has, written without knowledge of it and of
/// each other: value = {"value", "peer", "clock"}, newest first. What was pruned is not found, and
/// while the open transaction has set the key there are none.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_iterate_conflicts(
    map: *const syncline_map,
    key: syncline_string,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let key = caller.text(key, "key")?;
        let conflicts = caller
            .object(map)?
            .read(|d, h| Ok(d.map_conflicts(h, key)))?;
        out.give_handle(IteratorCore::of_conflicts(conflicts))
    })
}

/// The whole map as an OBJECT.
///
/// @param resolve_refs  whether references are replaced by what they refer to: null for one that
///                      leads nowhere or into a circle
/// @param out_object    free it with syncline_value_free
/// @return LIMIT as syncline_handler_to_json
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_to_value(
    map: *const syncline_map,
    resolve_refs: BoolArg,
    out_object: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_object, "out_object")?;
        let value = nested::value_of(caller.object(map)?, resolve_refs)?;
        out.give(Block::from_value(&value).into_raw())
    })
}

/// Puts a reference to a handler at a key.
///
/// @param child  of the same document
/// @return TYPE_MISMATCH unless it is a map of references; INVALID_ARGUMENT for a child of another
///         document
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_set_ref(
    map: *mut syncline_map,
    key: syncline_string,
    child: *const syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let key = caller.text(key, "key")?;
        let map = caller.object(map)?;
        let child = map.sibling(caller.object(child)?)?.index();
        map.ensure_kind(MAPS_OF_REFERENCES)?;
        map.edit(|d, h| Ok(d.set_ref(h, key, child)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// The handler that the reference at a key leads to, made if it is not there and its type is
/// registered.
///
/// @param out_child  free it with syncline_handler_free
/// @return NOT_FOUND, with out_child unchanged, without such a key or if it leads nowhere;
///         TYPE_MISMATCH unless it is a map of references
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_get_ref(
    map: *const syncline_map,
    key: syncline_string,
    out_child: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_child, "out_child")?;
        let key = caller.text(key, "key")?;
        let map = caller.object(map)?;
        map.ensure_kind(MAPS_OF_REFERENCES)?;
        let child = map.edit(|d, h| {
            let reference = d.get_ref(h, key);
            Ok(reference.and_then(|reference| map.document().resolve(d, &reference)))
        })?;
        child.map_or(Ok(SYNCLINE_NOT_FOUND), |child| out.give_handle(child))
    })
}

/// As syncline_map_get, for an OR-map with keys of any type.
///
/// @param key        any JSON value; maps of other kinds have string keys only
/// @param out_value  free it with syncline_value_free
/// @return NOT_FOUND, with *out_value set to NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_get_any(
    map: *const syncline_map,
    key: *const syncline_value,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let key = Node::read(caller, key)?.into_value()?;
        let found = caller.object(map)?.read(|d, h| {
            let value = d.map_get_any(h, &key);
            Ok(value.map(|value| Block::from_value(&value)))
        })?;
        give_or_not_found(out, found)
    })
}

/// As syncline_map_set, for an OR-map with keys of any type.
///
/// @return as syncline_map_set, also for the key
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_set_any(
    map: *mut syncline_map,
    key: *const syncline_value,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let key = Node::read(caller, key)?.into_value()?;
        let value = Node::read(caller, value)?.into_value()?;
        caller
            .object(map)?
            .edit(|d, h| Ok(d.map_set_any(h, &key, &value)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// As syncline_map_remove, for an OR-map with keys of any type.
///
/// @return NOT_FOUND if it is not present
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_map_remove_any(
    map: *mut syncline_map,
    key: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let key = Node::read(caller, key)?.into_value()?;
        let done = caller.object(map)?.edit(|d, h| {
            let present = d.map_get_any(h, &key).is_some();
            if present {
                d.map_remove_any(h, &key)?;
            }
            Ok::<bool, Error>(present)
        })?;
        Ok(done_or_not_found(done))
    })
}
