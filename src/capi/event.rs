//! Section 8: events.

use super::error::Error;
use super::guard::{SizeFirst, guard, question};
use super::handle::{self, handle};
use super::payload::{
    ChangePayload, ListStep, Payload, Target, TargetDelta, TextStep, UpdatePayload,
};
pub use super::payload::{
    syncline_change_target, syncline_event_type, syncline_list_op, syncline_map_op,
    syncline_op_kind, syncline_origin, syncline_text_op,
};
use super::reports::UndoReport;
use super::types::*;
use crate::codec::{HandlerRef, Value, json};
use crate::document::MapOp;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// Something that happened. Immutable; any thread may read it.
pub struct syncline_event(());

/// Takes an event; borrowed for the call (syncline_event_retain keeps it longer). No lock is held:
/// everything may be called from inside, also freeing the subscription.
pub type syncline_event_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const syncline_event)>;

/// What a CHANGE event says. Borrowed from the event.
#[repr(C)]
#[derive(Debug)]
pub struct syncline_change_info {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// Who caused it.
    pub origin: syncline_origin,
    /// Zero.
    pub reserved: u32,
    /// Tag given to begin, or of the connection.
    pub tag: syncline_bytes,
    /// Author of a remote change when there is one, else "".
    pub peer: syncline_string,
    /// Number of the transaction in this document.
    pub transaction: u64,
    /// How many.
    pub target_count: usize,
    /// What was touched.
    pub targets: *const syncline_change_target,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_change_info {}

/// What an UPDATE event says. Borrowed from the event.
#[repr(C)]
#[derive(Debug)]
pub struct syncline_update_info {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// Who caused it.
    pub origin: syncline_origin,
    /// How many changes the update carries. 0: a snapshot replaced state, exchange anew.
    pub change_count: u32,
    /// crdt_lf: list of changes, for syncline_document_import_changes.
    pub update: syncline_bytes,
    /// Yjs only.
    pub update_v2: syncline_bytes,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_update_info {}

/// One delivery of a payload to one subscription.
pub(crate) struct EventCore {
    sequence: u64,
    time_ms: i64,
    user_pointer: UserPointer,
    payload: Arc<Payload>,
}

handle!(syncline_event, EventCore, Event);

impl EventCore {
    pub(crate) fn new(
        sequence: u64,
        time_ms: i64,
        user_pointer: *mut c_void,
        payload: Arc<Payload>,
    ) -> Self {
        EventCore {
            sequence,
            time_ms,
            user_pointer: UserPointer(user_pointer),
            payload,
        }
    }

    /// Its number in its queue.
    #[cfg(test)]
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What it carries.
    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// An event of another type was asked.
pub(crate) fn other_type() -> Error {
    Error::new(SYNCLINE_ERROR_TYPE_MISMATCH, "the event is of another type")
}

/// Gives an event back that was polled or retained; never one that a callback only borrows.
///
/// @param event  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_free(event: *mut syncline_event) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(event) }
}

/// Keeps an event beyond its callback. Free it with syncline_event_free.
///
/// @return the same event; NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_retain(
    event: *const syncline_event,
) -> *mut syncline_event {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(event) }
}

/// What kind of event this is. OVERFLOW for NULL: "read the state again" is always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_get_type(
    event: *const syncline_event,
) -> syncline_event_type {
    question!(syncline_event_type::SYNCLINE_EVENT_OVERFLOW, |caller| {
        Ok(caller.object(event)?.payload.kind())
    })
}

/// Number of the event in its queue; rises by one per event taken. Freed subscriptions and
/// overflows leave no gap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_sequence(event: *const syncline_event) -> u64 {
    question!(0, |caller| Ok(caller.object(event)?.sequence))
}

/// When it happened, in milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_time_ms(event: *const syncline_event) -> i64 {
    question!(0, |caller| Ok(caller.object(event)?.time_ms))
}

/// The user data of the listener it was delivered to. It may be gone when the subscription is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_user_data(event: *const syncline_event) -> *mut c_void {
    question!(ptr::null_mut(), |caller| Ok(caller
        .object(event)?
        .user_pointer
        .0))
}

/// What a CHANGE event says.
///
/// @param event     a CHANGE event
/// @param out_info  struct_size must be set; what it points to belongs to the event
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_change(
    event: *const syncline_event,
    out_info: *mut syncline_change_info,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_info, "out_info")?;
        let Payload::Change(change) = &*caller.object(event)?.payload else {
            return Err(other_type());
        };
        let targets = change.c_targets();
        out.give(syncline_change_info {
            struct_size: 0,
            origin: change.origin,
            reserved: 0,
            tag: syncline_bytes::borrowed(&change.tag),
            peer: syncline_string::borrowed(&change.peer),
            transaction: change.transaction,
            target_count: targets.len(),
            targets: targets.as_ptr(),
        })
    })
}

/// What an UPDATE event says.
///
/// @param event     an UPDATE event
/// @param out_info  struct_size must be set; what it points to belongs to the event
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_update(
    event: *const syncline_event,
    out_info: *mut syncline_update_info,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_info, "out_info")?;
        let Payload::Update(update) = &*caller.object(event)?.payload else {
            return Err(other_type());
        };
        out.give(syncline_update_info {
            struct_size: 0,
            origin: update.origin,
            change_count: update.change_count,
            update: syncline_bytes::borrowed(&update.update),
            update_v2: syncline_bytes::EMPTY,
        })
    })
}

/// Any event as a JSON object, for logs and quick bindings. Bytes are arrays of numbers.
///
/// @param event     any event
/// @param out_json  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_to_json(
    event: *const syncline_event,
    out_json: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_json, "out_json")?;
        let event = caller.object(event)?;
        let mut text = Vec::new();
        json::encode(&event_value(event), &mut text)?;
        out.give(syncline_buffer::from_vec(text))
    })
}

/// An object with these entries.
pub(crate) fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

/// A text value.
pub(crate) fn string(text: &str) -> Value {
    Value::String(text.into())
}

/// A count; counts beyond the range of JSON integers do not occur.
pub(crate) fn number(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn event_value(event: &EventCore) -> Value {
    let (name, details) = match &*event.payload {
        Payload::Change(change) => ("change", change_value(change)),
        Payload::Update(update) => ("update", update_value(update)),
        Payload::Undo(report) => ("undo", undo_value(report)),
        Payload::History(report) => ("history", report.value()),
        Payload::Store(report) => ("store", report.value()),
        Payload::Status(report) => ("status", report.value()),
        Payload::Progress(report) => (
            "progress",
            object([
                ("document", string(&report.document)),
                ("progress", report.progress.value()),
            ]),
        ),
        Payload::Server(report) => ("server", report.value()),
        Payload::Closed => ("closed", Value::Null),
        Payload::Overflow => ("overflow", Value::Null),
    };
    object([
        ("type", string(name)),
        ("sequence", number(event.sequence)),
        ("time_ms", Value::Int(event.time_ms)),
        ("details", details),
    ])
}

fn origin_name(origin: syncline_origin) -> Value {
    string(match origin {
        syncline_origin::SYNCLINE_ORIGIN_LOCAL => "local",
        syncline_origin::SYNCLINE_ORIGIN_REMOTE => "remote",
        syncline_origin::SYNCLINE_ORIGIN_UNDO => "undo",
        syncline_origin::SYNCLINE_ORIGIN_REDO => "redo",
        syncline_origin::SYNCLINE_ORIGIN_LOAD => "load",
        syncline_origin::SYNCLINE_ORIGIN_HISTORY => "history",
    })
}

/// Bytes in a form that JSON has.
pub(crate) fn byte_array(bytes: &[u8]) -> Value {
    Value::Array(
        bytes
            .iter()
            .map(|byte| Value::Int((*byte).into()))
            .collect(),
    )
}

fn update_value(update: &UpdatePayload) -> Value {
    object([
        ("origin", origin_name(update.origin)),
        ("change_count", number(update.change_count.into())),
        ("update", byte_array(&update.update)),
    ])
}

fn undo_value(report: &UndoReport) -> Value {
    object([
        ("step", number(report.step)),
        ("pushed", Value::Bool(report.pushed)),
        ("undo_count", number(report.undo_count)),
        ("redo_count", number(report.redo_count)),
        ("meta", report.meta.as_ref().map_or(Value::Null, printable)),
    ])
}

fn change_value(change: &ChangePayload) -> Value {
    object([
        ("origin", origin_name(change.origin)),
        ("tag", byte_array(&change.tag)),
        ("peer", string(&change.peer)),
        ("transaction", number(change.transaction)),
        (
            "targets",
            Value::Array(change.targets.iter().map(target_value).collect()),
        ),
    ])
}

fn target_value(target: &Target) -> Value {
    let ops = match &target.delta {
        TargetDelta::Text(steps) => steps.iter().map(step_value).collect(),
        TargetDelta::List(steps) => steps.iter().map(list_step_value).collect(),
        TargetDelta::Keys(ops) => ops.iter().map(map_op_value).collect(),
    };
    let mut entries = vec![
        ("id".into(), string(&target.id)),
        ("type".into(), string(&target.type_name)),
        ("ops".into(), Value::Array(ops)),
    ];
    if let Some(path) = &target.path {
        entries.insert(2, ("path".into(), path.clone()));
    }
    Value::Object(entries)
}

/// One step of a list delta; its first key says what it is.
fn list_step_value(step: &ListStep) -> Value {
    match step {
        ListStep::Retain(length) => object([("retain", number(*length))]),
        ListStep::Insert(values) => object([("insert", printable(values))]),
        ListStep::Remove(values) => object([("remove", printable(values))]),
        ListStep::Update { index, old, new } => object([
            ("update", number(*index)),
            ("old", printable(old)),
            ("new", printable(new)),
        ]),
        ListStep::Move { from, to } => object([("move", number(*from)), ("to", number(*to))]),
    }
}

/// One step of a text delta as an object with one key.
pub(crate) fn step_value(step: &TextStep) -> Value {
    match step {
        TextStep::Retain(length) => object([("retain", number(*length))]),
        TextStep::Insert { text, .. } => object([("insert", string(text))]),
        TextStep::Remove(length) => object([("remove", number(*length))]),
    }
}

fn map_op_value(op: &MapOp) -> Value {
    let mut entries = vec![("key".into(), string(&op.key))];
    for (name, value) in [("old", &op.old), ("new", &op.new)] {
        if let Some(value) = value {
            entries.push((name.into(), printable(value)));
        }
    }
    Value::Object(entries)
}

/// The value without what JSON does not have: bytes become arrays, NaN and infinity null,
/// references objects.
fn printable(value: &Value) -> Value {
    match value {
        Value::Bytes(bytes) => byte_array(bytes),
        Value::Reference(target) => reference_value(target),
        Value::Double(number) if !number.is_finite() => Value::Null,
        Value::Array(items) => Value::Array(items.iter().map(printable).collect()),
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), printable(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// A reference in a form that JSON has.
fn reference_value(target: &HandlerRef) -> Value {
    object([
        ("type", string(&target.type_tag)),
        ("id", string(&target.id)),
    ])
}

/// Makes objects of references; bytes and other things that JSON does not have stay.
pub(crate) fn spell_references(value: &mut Value) {
    match value {
        Value::Reference(target) => *value = reference_value(target),
        Value::Array(items) => items.iter_mut().for_each(spell_references),
        Value::Object(entries) => entries
            .iter_mut()
            .for_each(|(_, value)| spell_references(value)),
        _ => {}
    }
}
