//! What an event carries: built once per commit, shared by all subscriptions, immutable.

use super::reports::{
    HistoryReport, ProgressReport, ServerReport, StatusReport, StoreReport, UndoReport,
};
use super::tree::{self, Block};
use super::types::*;
use crate::codec::Value;
use crate::document::{ListOp, MapOp, Origin};
use std::sync::OnceLock;

/// The kinds of events.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_event_type {
    /// Content changed: one per transaction and subscription.
    SYNCLINE_EVENT_CHANGE = 1,
    /// Bytes to hand to other peers: one per transaction; document subscriptions only.
    SYNCLINE_EVENT_UPDATE = 2,
    /// Undo stacks changed.
    SYNCLINE_EVENT_UNDO = 3,
    /// A history cursor moved.
    SYNCLINE_EVENT_HISTORY = 4,
    /// Presence of others changed.
    SYNCLINE_EVENT_AWARENESS = 5,
    /// Connection status of a client.
    SYNCLINE_EVENT_STATUS = 6,
    /// Pending, acknowledged or stored moved.
    SYNCLINE_EVENT_PROGRESS = 7,
    /// A protocol message was received.
    SYNCLINE_EVENT_MESSAGE = 8,
    /// Something happened in a server.
    SYNCLINE_EVENT_SERVER = 9,
    /// A write failed, a document was stored or compacted.
    SYNCLINE_EVENT_STORE = 10,
    /// Nested documents came or went.
    SYNCLINE_EVENT_SUBDOCUMENTS = 11,
    /// A hook asks.
    SYNCLINE_EVENT_REQUEST = 12,
    /// The source is gone; last event of a subscription. Comes whatever the mask says.
    SYNCLINE_EVENT_CLOSED = 13,
    /// Events were dropped: read the state again. Comes whatever the mask says.
    SYNCLINE_EVENT_OVERFLOW = 14,
}

use syncline_event_type::*;

/// Who caused a change.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_origin {
    /// An edit of this process.
    SYNCLINE_ORIGIN_LOCAL = 0,
    /// An import, or a peer.
    SYNCLINE_ORIGIN_REMOTE = 1,
    /// An undo.
    SYNCLINE_ORIGIN_UNDO = 2,
    /// A redo.
    SYNCLINE_ORIGIN_REDO = 3,
    /// Store or snapshot.
    SYNCLINE_ORIGIN_LOAD = 4,
    /// A history cursor.
    SYNCLINE_ORIGIN_HISTORY = 5,
}

impl From<Origin> for syncline_origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Local => syncline_origin::SYNCLINE_ORIGIN_LOCAL,
            Origin::Remote => syncline_origin::SYNCLINE_ORIGIN_REMOTE,
            Origin::Load => syncline_origin::SYNCLINE_ORIGIN_LOAD,
            Origin::Undo => syncline_origin::SYNCLINE_ORIGIN_UNDO,
            Origin::Redo => syncline_origin::SYNCLINE_ORIGIN_REDO,
            Origin::History => syncline_origin::SYNCLINE_ORIGIN_HISTORY,
        }
    }
}

/// What one step of a delta does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_op_kind {
    /// Skip.
    SYNCLINE_OP_RETAIN = 0,
    /// Put in.
    SYNCLINE_OP_INSERT = 1,
    /// Take out.
    SYNCLINE_OP_REMOVE = 2,
    /// Replace.
    SYNCLINE_OP_UPDATE = 3,
    /// Move to another place.
    SYNCLINE_OP_MOVE = 4,
}

use syncline_op_kind::*;

/// One step of a text delta: apply in order from index 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_text_op {
    /// RETAIN, INSERT or REMOVE.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// In the document's text unit. For an INSERT given to the library it may be 0.
    pub length: u64,
    /// INSERT. In events lone surrogates are U+FFFD.
    pub text: syncline_string,
    /// INSERT of an object instead of text, or NULL.
    pub embed: *const syncline_value,
    /// Formatting set by INSERT or changed by RETAIN, or NULL.
    pub attributes: *const syncline_value,
}

/// One step of a list delta: RETAIN, INSERT and REMOVE apply in order from index 0, as those of a
/// text; then MOVE and UPDATE name absolute indexes of the list after the steps before them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_list_op {
    /// A syncline_op_kind.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// UPDATE: where; MOVE: where the element is once it was taken out and put in again.
    pub index: u64,
    /// MOVE: from.
    pub from: u64,
    /// How many.
    pub length: u64,
    /// INSERT, UPDATE: length values.
    pub values: *const syncline_value,
    /// REMOVE, UPDATE: length values, or NULL when not recorded.
    pub old_values: *const syncline_value,
}

/// What happened to one key of a map, to a register (key ""), or to one element of a set (value
/// only).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_map_op {
    /// INSERT, UPDATE or REMOVE.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// The key.
    pub key: syncline_string,
    /// Before, or NULL.
    pub old_value: *const syncline_value,
    /// After, or NULL.
    pub new_value: *const syncline_value,
}

/// One handler of a CHANGE event.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_change_target {
    /// Handler id.
    pub id: syncline_string,
    /// Handler type tag.
    pub type_name: syncline_string,
    /// With a deep listener: ARRAY of keys and indexes from the observed container to the handler,
    /// empty for the container itself. Else NULL.
    pub path: *const syncline_value,
    /// Text.
    pub text_ops: *const syncline_text_op,
    /// How many.
    pub text_op_count: usize,
    /// Lists.
    pub list_ops: *const syncline_list_op,
    /// How many.
    pub list_op_count: usize,
    /// Maps, registers, sets.
    pub map_ops: *const syncline_map_op,
    /// How many.
    pub map_op_count: usize,
}

pub use super::tree::syncline_value;

/// One step of a text delta in the document's text unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextStep {
    Retain(u64),
    Insert { length: u64, text: String },
    Remove(u64),
}

/// One step of a list delta; the values of an insertion or a removal are one array.
#[derive(Clone, Debug)]
pub(crate) enum ListStep {
    Retain(u64),
    Insert(Value),
    Remove(Value),
    Update { index: u64, old: Value, new: Value },
    Move { from: u64, to: u64 },
}

impl From<&ListOp> for ListStep {
    fn from(op: &ListOp) -> Self {
        match op {
            ListOp::Retain(count) => ListStep::Retain(*count),
            ListOp::Insert(values) => ListStep::Insert(Value::Array(values.clone())),
            ListOp::Remove(values) => ListStep::Remove(Value::Array(values.clone())),
            ListOp::Update { index, old, new } => ListStep::Update {
                index: *index,
                old: old.clone(),
                new: new.clone(),
            },
            ListOp::Move { from, to } => ListStep::Move {
                from: *from,
                to: *to,
            },
        }
    }
}

/// What happened to one handler.
#[derive(Clone, Debug)]
pub(crate) enum TargetDelta {
    Text(Vec<TextStep>),
    List(Vec<ListStep>),
    Keys(Vec<MapOp>),
}

/// One handler of a change.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) id: String,
    pub(crate) type_name: String,
    /// Keys and indexes from the observed container.
    pub(crate) path: Option<Value>,
    pub(crate) delta: TargetDelta,
}

/// What a CHANGE event carries.
pub(crate) struct ChangePayload {
    pub(crate) origin: syncline_origin,
    pub(crate) tag: Vec<u8>,
    /// Author of a remote change, or "".
    pub(crate) peer: String,
    pub(crate) transaction: u64,
    pub(crate) targets: Vec<Target>,
    /// Made when somebody looks.
    c_form: OnceLock<CTargets>,
}

/// What an UPDATE event carries.
pub(crate) struct UpdatePayload {
    pub(crate) origin: syncline_origin,
    pub(crate) change_count: u32,
    pub(crate) update: Vec<u8>,
}

/// What an event carries.
pub(crate) enum Payload {
    Change(ChangePayload),
    Update(UpdatePayload),
    Undo(UndoReport),
    History(HistoryReport),
    Store(StoreReport),
    Status(StatusReport),
    Progress(ProgressReport),
    Server(ServerReport),
    Closed,
    Overflow,
}

/// What an event costs at least while it waits.
const EVENT_BYTES: u64 = 128;

impl Payload {
    pub(crate) fn kind(&self) -> syncline_event_type {
        match self {
            Payload::Change(_) => SYNCLINE_EVENT_CHANGE,
            Payload::Update(_) => SYNCLINE_EVENT_UPDATE,
            Payload::Undo(_) => SYNCLINE_EVENT_UNDO,
            Payload::History(_) => SYNCLINE_EVENT_HISTORY,
            Payload::Store(_) => SYNCLINE_EVENT_STORE,
            Payload::Status(_) => SYNCLINE_EVENT_STATUS,
            Payload::Progress(_) => SYNCLINE_EVENT_PROGRESS,
            Payload::Server(_) => SYNCLINE_EVENT_SERVER,
            Payload::Closed => SYNCLINE_EVENT_CLOSED,
            Payload::Overflow => SYNCLINE_EVENT_OVERFLOW,
        }
    }

    /// Memory while it waits, estimated. What several subscriptions share counts for each.
    pub(crate) fn bytes(&self) -> u64 {
        EVENT_BYTES
            + match self {
                Payload::Change(change) => change.bytes(),
                Payload::Update(update) => update.update.len() as u64,
                Payload::Undo(report) => report.meta.as_ref().map_or(0, tree::value_bytes),
                // Names and short texts.
                _ => EVENT_BYTES,
            }
    }
}

impl ChangePayload {
    pub(crate) fn new(
        origin: syncline_origin,
        tag: Vec<u8>,
        peer: String,
        transaction: u64,
        targets: Vec<Target>,
    ) -> Self {
        ChangePayload {
            origin,
            tag,
            peer,
            transaction,
            targets,
            c_form: OnceLock::new(),
        }
    }

    fn bytes(&self) -> u64 {
        let of_target = |target: &Target| {
            let delta = match &target.delta {
                TargetDelta::Text(steps) => steps.iter().map(text_step_bytes).sum::<u64>(),
                TargetDelta::List(steps) => steps.iter().map(list_step_bytes).sum(),
                TargetDelta::Keys(ops) => ops.iter().map(map_op_bytes).sum(),
            };
            let delta = delta + target.path.as_ref().map_or(0, tree::value_bytes);
            delta + (target.id.len() + target.type_name.len() + size_of::<Target>()) as u64
        };
        self.tag.len() as u64 + self.targets.iter().map(of_target).sum::<u64>()
    }

    /// The targets as C sees them; borrowed from this payload.
    pub(crate) fn c_targets(&self) -> &[syncline_change_target] {
        &self
            .c_form
            .get_or_init(|| CTargets::new(&self.targets))
            .targets
    }
}

fn text_step_bytes(step: &TextStep) -> u64 {
    let content = if let TextStep::Insert { text, .. } = step {
        text.len()
    } else {
        0
    };
    (size_of::<TextStep>() + content) as u64
}

fn list_step_bytes(step: &ListStep) -> u64 {
    let content = match step {
        ListStep::Insert(values) | ListStep::Remove(values) => tree::value_bytes(values),
        ListStep::Update { old, new, .. } => tree::value_bytes(old) + tree::value_bytes(new),
        ListStep::Retain(_) | ListStep::Move { .. } => 0,
    };
    size_of::<ListStep>() as u64 + content
}

fn map_op_bytes(op: &MapOp) -> u64 {
    let value = |value: &Option<Value>| value.as_ref().map_or(0, tree::value_bytes);
    (size_of::<MapOp>() + op.key.len()) as u64 + value(&op.old) + value(&op.new)
}

/// The targets in the form of the header, with everything they point to beside the texts, which
/// stay in the payload.
struct CTargets {
    targets: Vec<syncline_change_target>,
    _text_ops: Vec<Vec<syncline_text_op>>,
    _list_ops: Vec<Vec<syncline_list_op>>,
    _map_ops: Vec<Vec<syncline_map_op>>,
    _values: Vec<Block>,
}

// SAFETY: the pointers lead into the payload or the fields beside them; nothing is ever written.
unsafe impl Send for CTargets {}
// SAFETY: as above.
unsafe impl Sync for CTargets {}

impl CTargets {
    fn new(targets: &[Target]) -> Self {
        let mut values = Values::default();
        let mut text_ops = Vec::new();
        let mut list_ops = Vec::new();
        let mut map_ops = Vec::new();
        let mut result = Vec::with_capacity(targets.len());
        for target in targets {
            let mut c = syncline_change_target {
                id: syncline_string::borrowed(&target.id),
                type_name: syncline_string::borrowed(&target.type_name),
                path: values.keep_some(target.path.as_ref()),
                text_ops: std::ptr::null(),
                text_op_count: 0,
                list_ops: std::ptr::null(),
                list_op_count: 0,
                map_ops: std::ptr::null(),
                map_op_count: 0,
            };
            // The vectors are not grown after their address is taken; moving a vector leaves its
            // heap block where it is.
            match &target.delta {
                TargetDelta::Text(steps) => {
                    let ops: Vec<_> = steps.iter().map(text_op).collect();
                    (c.text_ops, c.text_op_count) = (ops.as_ptr(), ops.len());
                    text_ops.push(ops);
                }
                TargetDelta::List(steps) => {
                    let ops: Vec<_> = steps.iter().map(|s| list_op(s, &mut values)).collect();
                    (c.list_ops, c.list_op_count) = (ops.as_ptr(), ops.len());
                    list_ops.push(ops);
                }
                TargetDelta::Keys(keys) => {
                    let ops: Vec<_> = keys.iter().map(|op| map_op(op, &mut values)).collect();
                    (c.map_ops, c.map_op_count) = (ops.as_ptr(), ops.len());
                    map_ops.push(ops);
                }
            }
            result.push(c);
        }
        CTargets {
            targets: result,
            _text_ops: text_ops,
            _list_ops: list_ops,
            _map_ops: map_ops,
            _values: values.0,
        }
    }
}

fn text_op(step: &TextStep) -> syncline_text_op {
    let (kind, length, text) = match step {
        TextStep::Retain(length) => (SYNCLINE_OP_RETAIN, *length, syncline_string::EMPTY),
        TextStep::Insert { length, text } => {
            (SYNCLINE_OP_INSERT, *length, syncline_string::borrowed(text))
        }
        TextStep::Remove(length) => (SYNCLINE_OP_REMOVE, *length, syncline_string::EMPTY),
    };
    syncline_text_op {
        kind: kind as u32,
        reserved: 0,
        length,
        text,
        embed: std::ptr::null(),
        attributes: std::ptr::null(),
    }
}

/// Values in the form of the header, kept alive as long as what points to them.
#[derive(Default)]
struct Values(Vec<Block>);

impl Values {
    fn keep(&mut self, value: &Value) -> *const syncline_value {
        let block = Block::from_value(value);
        let root = block.root();
        self.0.push(block);
        root
    }

    fn keep_some(&mut self, value: Option<&Value>) -> *const syncline_value {
        value.map_or(std::ptr::null(), |value| self.keep(value))
    }

    /// The items of an array, and how many.
    fn keep_items(&mut self, array: &Value) -> (*const syncline_value, u64) {
        let root = self.keep(array);
        // SAFETY: the block of the root was just put into `self`; only arrays come here, for
        // which this field was written.
        let array = unsafe { (*root).data.array };
        (array.items, array.count as u64)
    }
}

fn list_op(step: &ListStep, values: &mut Values) -> syncline_list_op {
    let mut op = syncline_list_op {
        kind: SYNCLINE_OP_RETAIN as u32,
        reserved: 0,
        index: 0,
        from: 0,
        length: 1,
        values: std::ptr::null(),
        old_values: std::ptr::null(),
    };
    match step {
        ListStep::Retain(count) => op.length = *count,
        ListStep::Insert(array) => {
            op.kind = SYNCLINE_OP_INSERT as u32;
            (op.values, op.length) = values.keep_items(array);
        }
        ListStep::Remove(array) => {
            op.kind = SYNCLINE_OP_REMOVE as u32;
            (op.old_values, op.length) = values.keep_items(array);
        }
        ListStep::Update { index, old, new } => {
            op.kind = SYNCLINE_OP_UPDATE as u32;
            op.index = *index;
            (op.values, op.old_values) = (values.keep(new), values.keep(old));
        }
        ListStep::Move { from, to } => {
            op.kind = SYNCLINE_OP_MOVE as u32;
            (op.from, op.index) = (*from, *to);
        }
    }
    op
}

fn map_op(op: &MapOp, values: &mut Values) -> syncline_map_op {
    let kind = match (&op.old, &op.new) {
        (_, None) => SYNCLINE_OP_REMOVE,
        (None, Some(_)) => SYNCLINE_OP_INSERT,
        (Some(_), Some(_)) => SYNCLINE_OP_UPDATE,
    };
    syncline_map_op {
        kind: kind as u32,
        reserved: 0,
        key: syncline_string::borrowed(&op.key),
        old_value: values.keep_some(op.old.as_ref()),
        new_value: values.keep_some(op.new.as_ref()),
    }
}
