//! Which documents this thread is inside of with a hook of the application.
//!
//! Hooks of custom handlers run under their document's lock. A call back into that document could
//! only wait for itself, so it is refused; calls to other objects are free.

use super::error::Error;
use super::types::SYNCLINE_ERROR_IN_HOOK;
use crate::document::SharedDocument;
use std::cell::RefCell;
use std::sync::Arc;

/// Names a document without keeping it alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DocumentName(usize);

impl DocumentName {
    pub(crate) fn of(document: &Arc<SharedDocument>) -> Self {
        DocumentName(Arc::as_ptr(document).addr())
    }
}

thread_local! {
    static INSIDE: RefCell<Vec<DocumentName>> = const { RefCell::new(Vec::new()) };
}

/// Takes the last name off when the hook has returned.
struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}

/// Runs a hook of a document.
pub(crate) fn run<R>(document: DocumentName, hook: impl FnOnce() -> R) -> R {
    // A thread that is ending has no list any more; then nothing is noticed.
    let _ = INSIDE.try_with(|inside| inside.borrow_mut().push(document));
    let _inside = Inside(());
    hook()
}

/// Whether this thread is inside of a hook of the document.
pub(crate) fn is_inside(document: &Arc<SharedDocument>) -> bool {
    let name = DocumentName::of(document);
    INSIDE
        .try_with(|inside| inside.borrow().contains(&name))
        .unwrap_or(false)
}

/// IN_HOOK inside of a hook of the document.
pub(crate) fn ensure_outside(document: &Arc<SharedDocument>) -> Result<(), Error> {
    if is_inside(document) {
        return Err(Error::new(
            SYNCLINE_ERROR_IN_HOOK,
            "a hook of this document runs on this thread",
        ));
    }
    Ok(())
}
