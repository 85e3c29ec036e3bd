//! Section 18, first half: time travel, and what differs between two versions.

use super::change::syncline_change;
use super::delivery::now_ms;
use super::document::{Settings, syncline_document, syncline_document_options};
use super::document_core::DocumentCore;
use super::error::Error;
use super::event::{EventCore, other_type, syncline_event};
use super::guard::{Answer, Caller, SizeFirst, guard, question};
use super::handle::{self, handle};
use super::hub::{Scope, target_of};
use super::payload::{ChangePayload, Payload, Target, syncline_origin};
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::types::*;
use super::units;
use super::version_vector::syncline_version_vector;
use crate::clock::VersionVector;
use crate::document::{Document, HandlerDelta, SharedDocument, TextUnit, Timeline};
use crate::replica::Replica;
use std::ptr;
use std::sync::Arc;

/// The changes of a document in order, and a read-only document that shows the first ones.
pub struct syncline_history(());

/// What a HISTORY event says.
#[repr(C)]
pub struct syncline_history_info {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// How many changes are shown after the move.
    pub cursor: u64,
    /// How many there are.
    pub length: u64,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_history_info {}

/// A history as C knows it. The view goes on showing what it shows when this is gone.
pub(crate) struct HistoryCore {
    view: Arc<DocumentCore>,
}

handle!(syncline_history, HistoryCore, History);

impl Drop for HistoryCore {
    fn drop(&mut self) {
        self.view.close_scope(Scope::History);
    }
}

impl HistoryCore {
    /// Looks at the line. CLOSED if the view was closed.
    fn read<R>(&self, body: impl FnOnce(&Timeline) -> R) -> Result<R, Error> {
        self.view.read(|view| Ok(body(line(view)?)))
    }

    /// Moves; UNCHANGED if that is where the cursor stands.
    fn travel(&self, body: impl FnOnce(&mut Document) -> Result<bool, Error>) -> Answer {
        let moved = self.view.edit(body)?;
        Ok(if moved {
            SYNCLINE_OK
        } else {
            SYNCLINE_UNCHANGED
        })
    }
}

fn line(view: &Document) -> Result<&Timeline, Error> {
    let line = view.history();
    line.ok_or_else(|| crate::document::DocumentError::NoHistory.into())
}

/// A history of a document as it is now (Dart's toTimeTravel); the cursor stands at the end. Later
/// edits of the document are not part of it, nor is an open transaction, and the document may go.
/// Copies the document and sorts its changes.
///
/// @param out_history  free it with syncline_history_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_new(
    document: *mut syncline_document,
    out_history: *mut *mut syncline_history,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_history, "out_history")?;
        let core = caller.object(document)?;
        let view = core.read(|d| Ok(d.to_history()))?;
        let shared = SharedDocument::new(view, core.shared().lock_timeout());
        let view = DocumentCore::new(shared, core.unit(), None);
        out.give_handle(HistoryCore { view })
    })
}

/// Gives a handle back. Its view stays readable, where it stands.
///
/// @param history  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_free(history: *mut syncline_history) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(history) }
}

/// How many changes there are. 0 when the view is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_length(history: *const syncline_history) -> u64 {
    question!(0, |caller| caller.object(history)?.read(Timeline::length))
}

/// How many of them the view shows. 0 when it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_cursor(history: *const syncline_history) -> u64 {
    question!(0, |caller| caller.object(history)?.read(Timeline::cursor))
}

/// Whether there are changes behind the cursor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_can_next(history: *const syncline_history) -> bool {
    question!(false, |caller| caller
        .object(history)?
        .read(Timeline::can_next))
}

/// Whether there are changes before the cursor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_can_previous(history: *const syncline_history) -> bool {
    question!(false, |caller| caller
        .object(history)?
        .read(Timeline::can_previous))
}

/// One change on.
///
/// @return UNCHANGED at the end
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_next(history: *mut syncline_history) -> syncline_status {
    guard!(|caller| caller
        .object(history)?
        .travel(|view| Ok(view.history_next()?)))
}

/// One change back. Step after step costs little; a single step from afar as much as folding the
/// changes from the nearest checkpoint.
///
/// @return UNCHANGED at the beginning
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_previous(
    history: *mut syncline_history,
) -> syncline_status {
    guard!(|caller| caller
        .object(history)?
        .travel(|view| Ok(view.history_previous()?)))
}

/// Shows the first changes.
///
/// @param cursor  how many
/// @return UNCHANGED if it stands there; OUT_OF_RANGE if there are not so many
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_jump(
    history: *mut syncline_history,
    cursor: u64,
) -> syncline_status {
    guard!(|caller| caller.object(history)?.travel(|view| {
        let length = line(view)?.length();
        if cursor > length {
            return Err(Error::out_of_range(cursor, length));
        }
        Ok(view.history_jump(cursor)?)
    }))
}

/// Shows the changes made up to a time, by the clocks of their writers.
///
/// @param time_ms  in milliseconds since 1970
/// @return UNCHANGED if the cursor stands there
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_jump_to_time(
    history: *mut syncline_history,
    time_ms: i64,
) -> syncline_status {
    guard!(|caller| caller
        .object(history)?
        .travel(|view| Ok(view.history_jump_to_time(time_ms)?)))
}

/// A change by its place.
///
/// @param index       0 is the oldest one; it is shown while the cursor is above index
/// @param out_change  free it with syncline_change_free
/// @return OUT_OF_RANGE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_change(
    history: *const syncline_history,
    index: u64,
    out_change: *mut *mut syncline_change,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_change, "out_change")?;
        let history = caller.object(history)?;
        let (change, length) = history.read(|line| (line.change(index), line.length()))?;
        out.give_handle(change.ok_or_else(|| Error::out_of_range(index, length))?)
    })
}

/// The document that follows the cursor: always the same one, with the ids and handlers of the
/// document the history was made of. It can be read and subscribed to (CHANGE with origin
/// HISTORY); whatever would change it gives READ_ONLY.
///
/// @param out_view  free it with syncline_document_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_document(
    history: *mut syncline_history,
    out_view: *mut *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_view, "out_view")?;
        out.give_handle(caller.object(history)?.view.clone())
    })
}

/// A document of its own with what the view shows: its changes, snapshot and handlers.
///
/// @param options       as syncline_document_new; the peer_id must not be that of a writer who goes
///                      on elsewhere
/// @param out_document  free it with syncline_document_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_fork(
    history: *const syncline_history,
    options: *const syncline_document_options,
    out_document: *mut *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_document, "out_document")?;
        let settings = Settings::read(caller, options)?;
        let history = caller.object(history)?;
        let fork = history.view.read(|view| Ok(view.fork(settings.options)))?;
        let shared = SharedDocument::new(fork, settings.lock_timeout);
        out.give_handle(DocumentCore::new(shared, settings.unit, None))
    })
}

/// Asks for HISTORY events (the cursor moved), CHANGE events of the whole view, and CLOSED, which
/// comes with the last syncline_history_free at the latest. HISTORY comes before the CHANGE of the
/// same move.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_history_subscribe(
    history: *mut syncline_history,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            let history = caller.object(history)?;
            history.view.subscribe(subscription, Scope::History)
        })
    )
}

/// What a HISTORY event says.
///
/// @param event     a HISTORY event
/// @param out_info  struct_size must be set
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_history(
    event: *const syncline_event,
    out_info: *mut syncline_history_info,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_info, "out_info")?;
        let Payload::History(report) = caller.object(event)?.payload() else {
            return Err(other_type());
        };
        out.give(syncline_history_info {
            struct_size: 0,
            cursor: report.cursor,
            length: report.length,
        })
    })
}

/// What differs between two versions of a document, as an event like those of its commits: the
/// deltas of its targets lead from what the handlers show at `from` to what they show at `to`.
/// Handlers without a difference are no targets. What both versions have stays where it is,
/// element by element; contents are not compared. Folds the changes of both versions anew.
///
/// @param from       NULL: the empty version
/// @param to         NULL: the present one
/// @param out_event  a CHANGE event with origin HISTORY, of no queue: syncline_event_change,
///                   syncline_event_to_json; free it with syncline_event_free
/// @return OUT_OF_SYNC if a version lacks what only the snapshot of the document has
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_diff(
    document: *const syncline_document,
    from: *const syncline_version_vector,
    to: *const syncline_version_vector,
    out_event: *mut *mut syncline_event,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_event, "out_event")?;
        let from = version(caller, from)?.unwrap_or_default();
        let to = version(caller, to)?;
        let core = caller.object(document)?;
        let targets = core.read(|d| {
            let to = to.unwrap_or_else(|| d.version_vector());
            differences(d, core.unit(), &from, &to)
        })?;
        let origin = syncline_origin::SYNCLINE_ORIGIN_HISTORY;
        let change = ChangePayload::new(origin, Vec::new(), String::new(), 0, targets);
        let payload = Arc::new(Payload::Change(change));
        out.give_handle(EventCore::new(0, now_ms(), ptr::null_mut(), payload))
    })
}

fn version(
    caller: Caller<'_>,
    vector: *const syncline_version_vector,
) -> Result<Option<VersionVector>, Error> {
    let vector = caller.object_or_null(vector)?;
    Ok(vector.map(|vector| vector.lock().clone()))
}

fn differences(
    document: &Document,
    unit: TextUnit,
    from: &VersionVector,
    to: &VersionVector,
) -> Result<Vec<Target>, Error> {
    let deltas = document.diff(from, to)?;
    let mut texts = deltas.iter().map(|(_, delta)| delta);
    let has_text = texts.any(|delta| matches!(delta, HandlerDelta::Text(_)));
    // Other units than that of the deltas need the texts that these begin with.
    let before = match unit {
        TextUnit::Utf16 => None,
        _ if !has_text => None,
        _ => {
            let mut before = document.to_history();
            before.history_jump_to_version(from)?;
            Some(before)
        }
    };
    let targets = deltas.iter().map(|(handler, delta)| {
        target_of(document, *handler, delta, |ops| match &before {
            None => units::utf16_steps(ops),
            Some(before) => {
                let mut text = Vec::new();
                let length = before.text_len_utf16(*handler);
                before.text_slice_utf16(*handler, 0..length, &mut text);
                units::convert(ops, &mut text, unit)
            }
        })
    });
    Ok(targets.collect())
}
