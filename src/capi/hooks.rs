//! Which documents this thread is inside of with a hook of the application.
//!
//! Hooks of custom handlers run under their document's lock. A call back into that document could
//! only wait for itself, so it is refused; calls to other objects are free.

use super::error::Error;
use super::types::SYNCLINE_ERROR_IN_HOOK;
use crate::document::{HeldDocument, SharedDocument};
use std::cell::RefCell;

thread_local! {
    static INSIDE: RefCell<Vec<HeldDocument>> = const { RefCell::new(Vec::new()) };
}

/// Takes the last name off when the hook has returned.
struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}

/// Runs a hook of the document whose lock this thread took last, be it the one where its type was
/// registered, a copy, or a history's view. Without a lock there is nothing that could wait.
pub(crate) fn run<R>(hook: impl FnOnce() -> R) -> R {
    let Some(document) = HeldDocument::innermost() else {
        return hook();
    };
    // A thread that is ending has no list any more; then nothing is noticed.
    let _ = INSIDE.try_with(|inside| inside.borrow_mut().push(document));
    let _inside = Inside(());
    hook()
}

/// Whether this thread is inside of a hook of the document.
pub(crate) fn is_inside(document: &SharedDocument) -> bool {
    INSIDE
        .try_with(|inside| inside.borrow().iter().any(|held| held.is(document)))
        .unwrap_or(false)
}

/// IN_HOOK inside of a hook of the document.
pub(crate) fn ensure_outside(document: &SharedDocument) -> Result<(), Error> {
    if is_inside(document) {
        return Err(Error::new(
            SYNCLINE_ERROR_IN_HOOK,
            "a hook of this document runs on this thread",
        ));
    }
    Ok(())
}
