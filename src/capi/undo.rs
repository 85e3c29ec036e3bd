//! Section 18, second half: undo and redo of the user's own edits.

use super::document::syncline_document;
use super::document_core::DocumentCore;
use super::error::Error;
use super::event::{other_type, syncline_event};
use super::guard::{Answer, OptionStruct, SizeFirst, guard, question};
use super::handle::{self, handle};
use super::hooks;
use super::hub::Scope;
use super::map::give_or_not_found;
use super::payload::Payload;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::tree::{Block, Node, syncline_value};
use super::types::*;
use crate::document::{Document, DocumentError, UndoIdx, UndoManager, UndoOptions, Undone};
use crate::store::StoreError;
use std::sync::Arc;

/// Steps that can be undone and redone. Notes the edits made through this document in this process,
/// whoever is their peer; never those of others.
pub struct syncline_undo(());

/// Settings of an undo manager.
#[repr(C)]
pub struct syncline_undo_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// Edits closer than this form one step; 0 = 500.
    pub capture_timeout_ms: u32,
    /// Most steps kept, of each stack; 0 = 1000.
    pub steps_max: u32,
    /// Keep the stacks in the document's store. They are restored by the next persistent undo
    /// manager of the document, also after a crash.
    pub persistent: BoolArg,
    /// Zero.
    pub reserved_1: [u8; 7],
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_undo_options {}
// SAFETY: integers only.
unsafe impl OptionStruct for syncline_undo_options {}

/// What an UNDO event says. Borrowed from the event.
#[repr(C)]
pub struct syncline_undo_info {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// Steps that can be undone.
    pub undo_count: u64,
    /// Steps that can be redone.
    pub redo_count: u64,
    /// Number of the step pushed or popped; never reused.
    pub step: u64,
    /// False: popped by undo or redo.
    pub pushed: bool,
    /// Zero.
    pub reserved_1: [u8; 7],
    /// What is attached to the step, or NULL.
    pub meta: *const syncline_value,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_undo_info {}

/// An undo manager as C knows it.
pub(crate) struct UndoCore {
    document: Arc<DocumentCore>,
    manager: UndoIdx,
    /// Its stacks are kept in the store.
    is_kept: bool,
}

handle!(syncline_undo, UndoCore, Undo);

impl Drop for UndoCore {
    fn drop(&mut self) {
        let document = &self.document;
        // Inside of a hook the document is locked: the manager stays in it, for nobody.
        if !hooks::is_inside(document.shared()) {
            remove(document, self.manager);
        }
        document.close_scope(Scope::Undo(self.manager));
    }
}

fn remove(document: &DocumentCore, manager: UndoIdx) {
    match document.stored() {
        Some(stored) => stored.remove_undo(manager),
        None => drop(document.shared().take_undo_manager(manager, false)),
    }
}

impl UndoCore {
    fn read<R>(&self, body: impl FnOnce(&UndoManager) -> Result<R, Error>) -> Result<R, Error> {
        self.document.read(|document| {
            let manager = document.undo_manager(self.manager);
            body(manager.ok_or(DocumentError::UnknownManager)?)
        })
    }

    fn edit<R>(&self, body: impl FnOnce(&mut UndoManager) -> Result<R, Error>) -> Result<R, Error> {
        self.document.edit(|document| {
            let manager = document.undo_manager_mut(self.manager);
            body(manager.ok_or(DocumentError::UnknownManager)?)
        })
    }

    /// Takes a step back.
    fn run(
        &self,
        step: impl FnOnce(&mut Document, UndoIdx) -> Result<Option<Undone>, DocumentError>,
    ) -> Answer {
        let undone = self
            .document
            .edit(|document| Ok(step(document, self.manager)?))?;
        Ok(match undone {
            Some(_) => SYNCLINE_OK,
            None => SYNCLINE_UNCHANGED,
        })
    }

    /// The stacks changed without an edit.
    fn touch(&self) {
        if let Some(stored) = self.document.stored().filter(|_| self.is_kept) {
            stored.touch();
        }
    }
}

/// Begins to note edits. Without scopes and tags it notes all edits of the document made from here
/// on in this process; imports, and what others undo, are not its business.
///
/// With `persistent`, the stacks are written to the store in the transaction that stores the edits,
/// so that a crash never leaves them ahead of the content, and steps are restored here that an
/// earlier manager kept. Steps name what they are about by its ids: the user's own earlier steps
/// can be undone although a document goes on under a new peer id after a crash. Steps on plain
/// texts and lists are restored only if nothing changed since. Damaged stacks are left out, with a
/// warning in the log; so are those above 16 MiB.
///
/// @param options   NULL: the defaults
/// @param out_undo  free it with syncline_undo_free
/// @return READ_ONLY for the view of a history or (if persistent) a store that is; UNSUPPORTED if
///         persistent and the document is in no store; ALREADY_EXISTS if it has a persistent one
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_new(
    document: *mut syncline_document,
    options: *const syncline_undo_options,
    out_undo: *mut *mut syncline_undo,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_undo, "out_undo")?;
        let given = caller.sized(options, "options")?;
        let core = caller.object(document)?;
        let is_kept = given.persistent != 0;
        if is_kept && core.stored().is_none() {
            return Err(Error::unsupported("the document is in no store"));
        }
        let defaults = UndoOptions::default();
        let options = UndoOptions {
            capture_timeout_ms: match given.capture_timeout_ms {
                0 => defaults.capture_timeout_ms,
                timeout_ms => timeout_ms,
            },
            steps_max: match given.steps_max {
                0 => defaults.steps_max,
                steps_max => steps_max as usize,
            },
        };
        let manager = core.edit(|document| {
            if document.history().is_some() {
                return Err(DocumentError::ReadOnly.into());
            }
            Ok(document.add_undo_manager(options))
        })?;
        if is_kept {
            keep(core, manager).inspect_err(|_| remove(core, manager))?;
        }
        out.give_handle(UndoCore {
            document: core.clone(),
            manager,
            is_kept,
        })
    })
}

fn keep(core: &Arc<DocumentCore>, manager: UndoIdx) -> Result<(), Error> {
    let stored = core.stored().ok_or(StoreError::NotFound)?;
    stored.keep_undo(manager).map_err(|error| match error {
        StoreError::InUse { .. } => Error::new(
            SYNCLINE_ERROR_ALREADY_EXISTS,
            "the document has a persistent undo manager",
        ),
        error => error.into(),
    })?;
    core.edit(|document| {
        core.handlers_added(document);
        Ok(())
    })
}

/// Gives a handle back. With the last one the manager stops to note edits; its steps are forgotten,
/// unless it is persistent. Subscriptions get CLOSED.
///
/// @param undo  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_free(undo: *mut syncline_undo) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(undo) }
}

/// Notes the edits of this handler; those of handlers that were never named are not noted any more.
///
/// @param id  of a handler, present or not
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_add_scope(
    undo: *mut syncline_undo,
    id: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let id = caller.text(id, "id")?;
        caller.object(undo)?.edit(|manager| {
            manager.add_scope(id);
            Ok(SYNCLINE_OK)
        })
    })
}

/// Notes transactions with this tag; those with tags that were never named are not noted any more.
///
/// @param tag  as given to syncline_document_begin; the empty one means edits without a tag
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_add_tag(
    undo: *mut syncline_undo,
    tag: syncline_bytes,
) -> syncline_status {
    guard!(|caller| {
        let tag = caller.bytes(tag, "tag")?;
        caller.object(undo)?.edit(|manager| {
            manager.add_tag(tag);
            Ok(SYNCLINE_OK)
        })
    })
}

/// Takes syncline_undo_add_tag back. When no tag is left, all transactions are noted.
///
/// @return NOT_FOUND
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_remove_tag(
    undo: *mut syncline_undo,
    tag: syncline_bytes,
) -> syncline_status {
    guard!(|caller| {
        let tag = caller.bytes(tag, "tag")?;
        caller.object(undo)?.edit(|manager| {
            Ok(if manager.remove_tag(tag) {
                SYNCLINE_OK
            } else {
                SYNCLINE_NOT_FOUND
            })
        })
    })
}

/// Whether there is a step to undo. It may turn out that others left nothing of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_can_undo(undo: *const syncline_undo) -> bool {
    question!(false, |caller| caller
        .object(undo)?
        .read(|manager| Ok(manager.can_undo())))
}

/// Whether there is a step to redo.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_can_redo(undo: *const syncline_undo) -> bool {
    question!(false, |caller| caller
        .object(undo)?
        .read(|manager| Ok(manager.can_redo())))
}

/// Steps that can be undone. 0 when the document is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_undo_count(undo: *const syncline_undo) -> u64 {
    question!(0, |caller| caller
        .object(undo)?
        .read(|manager| Ok(manager.undo_count())))
}

/// Steps that can be redone. 0 when the document is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_redo_count(undo: *const syncline_undo) -> u64 {
    question!(0, |caller| caller
        .object(undo)?
        .read(|manager| Ok(manager.redo_count())))
}

/// Takes the last step back, by ordinary edits in one transaction: CHANGE has origin UNDO. What
/// others did meanwhile stays. Steps of which nothing is left are passed over.
///
/// @return UNCHANGED if there is nothing to undo; IN_TRANSACTION
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_undo(undo: *mut syncline_undo) -> syncline_status {
    guard!(|caller| caller.object(undo)?.run(Document::undo))
}

/// Makes the step again that was undone last; CHANGE has origin REDO.
///
/// @return as syncline_undo_undo
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_redo(undo: *mut syncline_undo) -> syncline_status {
    guard!(|caller| caller.object(undo)?.run(Document::redo))
}

/// The next edit begins a new step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_stop_capturing(undo: *mut syncline_undo) -> syncline_status {
    guard!(|caller| caller.object(undo)?.edit(|manager| {
        manager.stop_capturing();
        Ok(SYNCLINE_OK)
    }))
}

/// Forgets all steps. No event tells of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_clear(undo: *mut syncline_undo) -> syncline_status {
    guard!(|caller| {
        let undo = caller.object(undo)?;
        undo.edit(|manager| {
            manager.clear();
            Ok(())
        })?;
        undo.touch();
        Ok(SYNCLINE_OK)
    })
}

/// Attaches a value to a step, such as the selection before the edit, as stable positions
/// (syncline_text_position_at). It stays with the step on its way between the stacks and comes back
/// in the UNDO events.
///
/// @param step  from an UNDO event
/// @param meta  BYTES, or what JSON has; NULL: nothing
/// @return NOT_FOUND if there is no such step (any more)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_set_meta(
    undo: *mut syncline_undo,
    step: u64,
    meta: *const syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let meta = match meta.is_null() {
            true => None,
            false => Some(Node::read(caller, meta)?.into_value()?),
        };
        let undo = caller.object(undo)?;
        if !undo.edit(|manager| Ok(manager.set_meta(step, meta)?))? {
            return Ok(SYNCLINE_NOT_FOUND);
        }
        undo.touch();
        Ok(SYNCLINE_OK)
    })
}

/// What is attached to a step on one of the stacks.
///
/// @param out_meta  free it with syncline_value_free
/// @return NOT_FOUND, with *out_meta set to NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_get_meta(
    undo: *const syncline_undo,
    step: u64,
    out_meta: *mut *mut syncline_value,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_meta, "out_meta")?;
        let undo = caller.object(undo)?;
        let found = undo.read(|manager| Ok(manager.meta(step).map(Block::from_value)))?;
        give_or_not_found(out, found)
    })
}

/// Asks for UNDO events (a step was pushed or popped) and CLOSED. An undo pops a step from one
/// stack and pushes its inverse, with a new number and the same meta, to the other.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_undo_subscribe(
    undo: *mut syncline_undo,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            let undo = caller.object(undo)?;
            let scope = Scope::Undo(undo.manager);
            undo.document.subscribe(subscription, scope)
        })
    )
}

/// What an UNDO event says.
///
/// @param event     an UNDO event
/// @param out_info  struct_size must be set; what it points to belongs to the event
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_undo(
    event: *const syncline_event,
    out_info: *mut syncline_undo_info,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_info, "out_info")?;
        let Payload::Undo(report) = caller.object(event)?.payload() else {
            return Err(other_type());
        };
        out.give(syncline_undo_info {
            struct_size: 0,
            undo_count: report.undo_count,
            redo_count: report.redo_count,
            step: report.step,
            pushed: report.pushed,
            reserved_1: [0; 7],
            meta: report.c_meta(),
        })
    })
}
