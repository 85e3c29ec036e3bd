//! Section 17, second part: registers.

use super::guard::guard;
use super::handle::{self, handle};
use super::handler::{HandlerRef, syncline_handler};
use super::iterator::{IteratorCore, syncline_iterator};
use super::map::give_or_not_found;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::tree::{Block, Node, syncline_value};
use super::types::*;

/// One value; the last writer wins.
pub struct syncline_register(());

handle!(syncline_register, HandlerRef, Register);

/// Gives a handle back.
///
/// @param reg  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_register_free(reg: *mut syncline_register) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(reg) }
}

/// One more handle to the same register.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_register_retain(
    reg: *mut syncline_register,
) -> *mut syncline_register {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(reg) }
}

/// The same register as a handler.
///
/// @param out_handler  free it with syncline_handler_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_register_as_handler(
    reg: *mut syncline_register,
    out_handler: *mut *mut syncline_handler,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_handler, "out_handler")?;
        out.give_handle(caller.object(reg)?.clone())
    })
}

/// Asks for CHANGE events (key "" with old and new value) and CLOSED of this register.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_register_subscribe(
    reg: *mut syncline_register,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            caller.object(reg)?.subscribe(subscription)
        })
    )
}

/// The value.
///
/// @param out_value  free it with syncline_value_free
/// @return NOT_FOUND before the first set, with *out_value set to NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_register_get(
    reg: *const syncline_register,
    out_value: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_value, "out_value")?;
        let found = caller
            .object(reg)?
            .read(|d, h| Ok(d.register_get(h).map(|value| Block::from_value(&value))))?;
        give_or_not_found(out, found)
    })
}

/// Sets the value.
///
/// @param value  with codec BYTES it must be BYTES
/// @return UNSUPPORTED for undefined and big integers; INVALID_ARGUMENT for what the codec cannot
///         store
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_register_set(
    reg: *mut syncline_register,
    value: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let value = Node::read(caller, value)?.into_value()?;
        caller
            .object(reg)?
            .edit(|d, h| Ok(d.register_set(h, &value)?))?;
        Ok(SYNCLINE_OK)
    })
}

/// The values that lost against the one it has, written without knowledge of it and of each other:
/// value = {"value", "peer", "clock"}, newest first. What was pruned is not found, and while the
/// open transaction has set the register there are none.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_register_iterate_conflicts(
    reg: *const syncline_register,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let conflicts = caller
            .object(reg)?
            .read(|d, h| Ok(d.register_conflicts(h)))?;
        out.give_handle(IteratorCore::of_conflicts(conflicts))
    })
}
