//! Section 6: one type for every iteration. It walks a frozen copy.

use super::change::syncline_change;
use super::error::Error;
use super::event::{object, string};
use super::guard::{Caller, guard, question};
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::tree::{Block, syncline_value};
use super::types::*;
use crate::codec::{Change, Value};
use crate::document::Conflict;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A walk over a frozen copy: edits made meanwhile do not disturb it.
pub struct syncline_iterator(());

/// What an iterator stands on. Everything stays where it is until the iterator is freed, so that
/// what C borrowed never dangles while it has the handle.
#[derive(Default)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) value: Option<Value>,
    pub(crate) change: Option<Change>,
    pub(crate) handler: Option<HandlerRef>,
    pub(crate) bytes: Option<Vec<u8>>,
    /// The value as C sees it, made when somebody looks.
    pub(crate) block: OnceLock<Block>,
    /// The bytes of the change, made when somebody looks.
    pub(crate) encoded: OnceLock<Vec<u8>>,
}

impl Item {
    /// An item that is a value and nothing else.
    pub(crate) fn of_value(value: Value) -> Self {
        Item {
            value: Some(value),
            ..Item::default()
        }
    }
}

/// The copy and the place in it.
pub(crate) struct IteratorCore {
    items: Vec<Item>,
    /// Steps taken: 0 is before the first item, item `n` is current after `n + 1` steps.
    steps: AtomicU64,
}

handle!(syncline_iterator, IteratorCore, Iterator);

impl IteratorCore {
    pub(crate) fn new(items: impl IntoIterator<Item = Item>) -> Self {
        IteratorCore {
            items: items.into_iter().collect(),
            steps: AtomicU64::new(0),
        }
    }

    /// Over changes, keyed by their handler.
    pub(crate) fn of_changes(changes: Vec<Change>) -> Self {
        Self::new(changes.into_iter().map(|change| {
            let key = change
                .envelope()
                .map_or(String::new(), |e| e.handler_id.to_owned());
            Item {
                key,
                change: Some(change),
                ..Item::default()
            }
        }))
    }

    /// Over values that lost.
    pub(crate) fn of_conflicts(conflicts: Vec<Conflict>) -> Self {
        Self::new(conflicts.into_iter().map(|conflict| {
            // Clocks of changes are checked to lie far below the end of their range.
            let clock = i64::try_from(conflict.clock.to_u64()).unwrap_or(i64::MAX);
            Item::of_value(object([
                ("value", conflict.value),
                ("peer", string(&conflict.peer.to_string())),
                ("clock", Value::Int(clock)),
            ]))
        }))
    }

    fn len(&self) -> u64 {
        self.items.len() as u64
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }

    fn current(&self) -> Result<&Item, Error> {
        let at = self
            .steps()
            .checked_sub(1)
            .and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.items.get(at)).ok_or_else(|| {
            Error::new(
                SYNCLINE_ERROR_OUT_OF_RANGE,
                "the iterator does not stand on an item",
            )
        })
    }
}

fn current<'a>(caller: Caller<'a>, iterator: *const syncline_iterator) -> Result<&'a Item, Error> {
    caller.object(iterator)?.current()
}

/// Gives a handle back.
///
/// @param iterator  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_free(iterator: *mut syncline_iterator) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(iterator) }
}

/// Steps to the next item; the first call steps to the first one.
///
/// @return OK: on an item; END: past the last
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_next(
    iterator: *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let iterator = caller.object(iterator)?;
        let past = iterator.len() + 1;
        let step = |steps: u64| (steps < past).then_some(steps + 1);
        let before = iterator
            .steps
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        let after = before.map_or(past, |before| before + 1);
        Ok(if after == past {
            SYNCLINE_END
        } else {
            SYNCLINE_OK
        })
    })
}

/// How many items come after the current one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_remaining(iterator: *const syncline_iterator) -> u64 {
    question!(0, |caller| {
        let iterator = caller.object(iterator)?;
        Ok(iterator.len().saturating_sub(iterator.steps()))
    })
}

/// Position of the current item; 0 before the first step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_index(iterator: *const syncline_iterator) -> u64 {
    question!(0, |caller| Ok(caller
        .object(iterator)?
        .steps()
        .saturating_sub(1)))
}

/// Map key, handler id, room or name of the current item; borrowed until the next step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_key(
    iterator: *const syncline_iterator,
) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        Ok(syncline_string::borrowed(&current(caller, iterator)?.key))
    })
}

/// Value of the current item; borrowed until the next step.
///
/// @return NULL if items have none
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_value(
    iterator: *const syncline_iterator,
) -> *const syncline_value {
    question!(ptr::null(), |caller| {
        let item = current(caller, iterator)?;
        let Some(value) = &item.value else {
            return Ok(ptr::null());
        };
        Ok(item.block.get_or_init(|| Block::from_value(value)).root())
    })
}

/// Raw form of the current item (change, snapshot part); borrowed until the next step. Empty if
/// items have none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_bytes(
    iterator: *const syncline_iterator,
) -> syncline_bytes {
    question!(syncline_bytes::EMPTY, |caller| {
        let item = current(caller, iterator)?;
        Ok(match (&item.bytes, &item.change) {
            (Some(bytes), _) => syncline_bytes::borrowed(bytes),
            (None, Some(change)) => {
                syncline_bytes::borrowed(item.encoded.get_or_init(|| change.encode()))
            }
            (None, None) => syncline_bytes::EMPTY,
        })
    })
}

/// Handler of the current item.
///
/// @param out_handler  free it with syncline_handler_free
/// @return TYPE_MISMATCH if items are no handlers
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_handler(
    iterator: *const syncline_iterator,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        let handler = current(caller, iterator)?.handler.clone();
        out.give_handle(handler.ok_or_else(|| other_items("handlers"))?)
    })
}

/// Change of the current item.
///
/// @param out_change  free it with syncline_change_free
/// @return TYPE_MISMATCH if items are no changes
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_iterator_change(
    iterator: *const syncline_iterator,
    out_change: *mut *mut syncline_change,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_change, "out_change")?;
        let change = current(caller, iterator)?.change.clone();
        out.give_handle(change.ok_or_else(|| other_items("changes"))?)
    })
}

fn other_items(wanted: &str) -> Error {
    Error::new(
        SYNCLINE_ERROR_TYPE_MISMATCH,
        format!("the items are no {wanted}"),
    )
}
