//! State of a text by positions (specification 9.3): the last in replay order acts on what is
//! there.

use super::indexed::{Edit, Indexed};
use super::kept_operations::{Keeping, KeptOperations};
use super::operation::{Operation, QueuedOperation, kind};
use super::plain_body::{
    joined_removals, joined_text, placed, read_placed, read_removal, removal, unknown_kind,
};
use super::state::ByteState;
use super::watched::Watcher;
use crate::clock::OrderKey;
use crate::codec::{DecodeError, Value, Wtf8String, wtf8};
use crate::document::content::{Units, Utf8Builder};
use crate::document::delta::TextDelta;
use crate::document::handler::{Recorder, Visible};
use crate::tree::{Element, Rope};

/// What the operations on a text add up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlainTextState {
    indexed: Indexed<u16>,
    /// Units of the operation at hand, kept for their room.
    units: Vec<u16>,
}

/// A UTF-16 unit.
impl Element for u16 {
    fn is_wide(self) -> bool {
        self >= 0x80
    }
}

impl Watcher<u16> for TextDelta {
    fn inserted(&mut self, at: u32, units: &[u16]) {
        self.insert(at, units);
    }

    fn removed(&mut self, at: u32, units: &[u16]) {
        self.remove(at, units.len() as u32);
    }
}

impl PlainTextState {
    /// The UTF-16 units.
    pub(crate) fn rope(&self) -> &Rope<u16> {
        self.indexed.rope()
    }

    /// Length in UTF-16 units.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.rope().len())
    }

    /// All UTF-16 units. O(length).
    pub(crate) fn units(&self) -> Vec<u16> {
        let mut units = Vec::with_capacity(self.rope().len() as usize);
        self.rope().copy(0..u32::MAX, &mut units);
        units
    }

    /// The text; lone surrogates become U+FFFD. O(length).
    pub(crate) fn to_utf8(&self) -> String {
        let mut out = Utf8Builder::with_capacity(self.rope().len() as usize);
        for (units, may_be_wide) in self.rope().slices(0..u32::MAX) {
            match may_be_wide {
                true => out.push(Units::Wide(units)),
                false => out.push_ascii(units),
            }
        }
        out.finish()
    }

    /// The operation that inserts text.
    pub(crate) fn insert(index: u64, units: &[u16]) -> Operation {
        Self::placed(kind::INSERT, index, units)
    }

    /// The operation that overwrites.
    pub(crate) fn update(index: u64, units: &[u16]) -> Operation {
        Self::placed(kind::UPDATE, index, units)
    }

    /// The operation that removes.
    pub(crate) fn remove(index: u64, count: u64) -> Operation {
        removal(index, count)
    }

    fn placed(kind: u8, index: u64, units: &[u16]) -> Operation {
        let mut text = Vec::with_capacity(units.len());
        wtf8::encode_utf16(units, &mut text);
        placed(kind, index, &text)
    }
}

/// Reads a body; None: a kind that text does not have. `units` takes the text.
fn read_edit<'a>(
    kind: u8,
    body: &[u8],
    units: &'a mut Vec<u16>,
) -> Result<Option<Edit<'a, u16>>, DecodeError> {
    Ok(Some(match kind {
        kind::INSERT | kind::UPDATE => {
            let (index, text) = read_placed(body)?;
            units.clear();
            wtf8::decode_to_utf16(text, units)?;
            let elements = units.as_slice();
            match kind {
                kind::INSERT => Edit::Insert { index, elements },
                _ => Edit::Replace { index, elements },
            }
        }
        kind::DELETE => {
            let (index, count) = read_removal(body)?;
            Edit::Remove { index, count }
        }
        _ => return Ok(None),
    }))
}

fn watcher(recorder: &mut Recorder) -> Option<&mut dyn Watcher<u16>> {
    match recorder {
        Recorder::Text(delta) => Some(delta),
        _ => None,
    }
}

impl Keeping for PlainTextState {
    fn kept(&self, all: bool) -> KeptOperations {
        let mut kept = KeptOperations::default();
        let (base, forgotten) = self.indexed.kept(all, |order, edit| {
            let operation = match edit {
                Edit::Insert { index, elements } => Self::insert(index, elements),
                Edit::Replace { index, elements } => Self::update(index, elements),
                Edit::Remove { index, count } => Self::remove(index, count),
            };
            kept.operations.push((order, operation));
        });
        wtf8::encode_utf16(&base, &mut kept.base);
        kept.forgotten = forgotten;
        kept
    }

    fn restore(&mut self, kept: &KeptOperations) -> Result<(), DecodeError> {
        let mut units = Vec::with_capacity(kept.base.len());
        wtf8::decode_to_utf16(&kept.base, &mut units)?;
        let mut indexed = Indexed::seeded(&units, kept.forgotten.clone());
        for (order, operation) in &kept.operations {
            let edit = read_edit(operation.kind, &operation.body, &mut units)?;
            indexed.append(*order, edit.ok_or_else(unknown_kind)?);
        }
        self.indexed = indexed;
        Ok(())
    }
}

impl ByteState for PlainTextState {
    fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        let mut units = Vec::with_capacity(blob.len());
        wtf8::decode_to_utf16(blob, &mut units)?;
        *self = PlainTextState {
            indexed: Indexed::seeded(&units, None),
            units: Vec::new(),
        };
        Ok(())
    }

    fn native_state(&self, all: bool) -> Option<Vec<u8>> {
        Some(self.kept(all).write())
    }

    fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        self.join(&KeptOperations::read(bytes)?)
    }

    fn apply(
        &mut self,
        order: OrderKey,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        if let Some(edit) = read_edit(kind, body, &mut self.units)? {
            self.indexed.apply(order, edit, watcher(recorder));
        }
        self.units.shrink_to(SPARE_MAX);
        Ok(())
    }

    fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        if let Some(edit) = read_edit(kind, body, &mut self.units)? {
            self.indexed.apply_pending(edit, watcher(recorder));
        }
        self.units.shrink_to(SPARE_MAX);
        Ok(())
    }

    fn settle(&mut self, recorder: &mut Recorder) {
        self.indexed.settle(watcher(recorder));
    }

    fn discard_pending(&mut self, recorder: &mut Recorder) {
        self.indexed.discard_pending(watcher(recorder));
    }

    fn compound<'a>(
        &self,
        last: &QueuedOperation<'a>,
        next: &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        joined_text(last, next).or_else(|| joined_removals(last, next))
    }

    fn snapshot_state(&self) -> Vec<u8> {
        let units = self.indexed.committed();
        let mut blob = Vec::with_capacity(units.len());
        wtf8::encode_utf16(&units, &mut blob);
        blob
    }

    fn history_pruned(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        self.indexed.freeze(covers);
    }

    fn visible(&self) -> Visible {
        Visible::Text(self.units())
    }

    fn recorder(&self) -> Recorder {
        Recorder::Text(TextDelta::default())
    }

    fn value(&self) -> Value {
        Value::String(Wtf8String::from_utf16(&self.units()))
    }

    fn heap_bytes(&self) -> usize {
        self.indexed.heap_bytes() + self.units.capacity() * size_of::<u16>()
    }

    fn check(&self) {
        self.indexed.check();
    }
}

/// Room for the units of one operation that is kept.
const SPARE_MAX: usize = 1024;
