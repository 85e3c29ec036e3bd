//! State of a list by positions (specification 9.4): the last in replay order acts on what is
//! there. The sequence holds numbers; the values lie behind each other in one buffer.

use super::indexed::{Edit, Indexed};
use super::kept_operations::{Forgotten, Keeping, KeptOperations};
use super::operation::{Operation, QueuedOperation, kind};
use super::plain_body::{
    joined_removals, placed, read_placed, read_removal, removal, unknown_kind,
};
use super::state::ByteState;
use super::watched::Watcher;
use crate::clock::OrderKey;
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value};
use crate::document::ValueCodec;
use crate::document::handler::{Recorder, Visible};
use crate::document::list_delta::ListDelta;
use crate::tree::Element;

/// What the operations on a list add up to.
#[derive(Clone, Debug)]
pub(crate) struct PlainListState {
    indexed: Indexed<ValueNumber>,
    values: Values,
    /// The number of the open transaction's first value, and how many it has.
    pending_values: (u32, u32),
}

/// Which of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ValueNumber(u32);

impl Element for ValueNumber {
    fn is_wide(self) -> bool {
        false
    }
}

/// Encoded values in the order in which they came.
#[derive(Clone, Debug)]
struct Values {
    codec: ValueCodec,
    bytes: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
}

impl Values {
    fn new(codec: ValueCodec) -> Self {
        Values {
            codec,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds a value as it came.
    fn push(&mut self, value: &[u8]) -> Result<ValueNumber, DecodeError> {
        let value = self.codec.canonical(value)?;
        self.bytes.extend_from_slice(&value);
        self.ends.push(self.bytes.len());
        Ok(ValueNumber((self.ends.len() - 1) as u32))
    }

    fn bytes(&self, number: ValueNumber) -> &[u8] {
        let nth = number.0 as usize;
        let start = nth.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[nth]]
    }

    fn get(&self, number: ValueNumber) -> Value {
        self.codec.stored(self.bytes(number))
    }

    fn get_all(&self, numbers: &[ValueNumber]) -> Vec<Value> {
        numbers.iter().map(|number| self.get(*number)).collect()
    }

    fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

/// Records values where the sequence speaks of numbers.
struct Listener<'a> {
    values: &'a Values,
    delta: &'a mut ListDelta,
}

impl Watcher<ValueNumber> for Listener<'_> {
    fn inserted(&mut self, at: u32, numbers: &[ValueNumber]) {
        self.delta
            .insert(u64::from(at), &self.values.get_all(numbers));
    }

    fn removed(&mut self, at: u32, numbers: &[ValueNumber]) {
        self.delta
            .remove(u64::from(at), self.values.get_all(numbers));
    }

    fn replaced(&mut self, at: u32, old: &[ValueNumber], new: &[ValueNumber]) {
        for (nth, (old, new)) in old.iter().zip(new).enumerate() {
            let (old, new) = (self.values.get(*old), self.values.get(*new));
            self.delta.update(u64::from(at) + nth as u64, old, new);
        }
    }
}

/// Calls a method of the sequence that ends with a watcher.
macro_rules! watched {
    ($state:ident, $recorder:ident, $method:ident($($argument:expr),*)) => {
        match $recorder.list() {
            Some(delta) => {
                let values = &$state.values;
                $state.indexed.$method($($argument,)* Some(&mut Listener { values, delta }))
            }
            None => $state.indexed.$method($($argument,)* None),
        }
    };
}

impl PlainListState {
    /// An empty list.
    pub(crate) fn new(codec: ValueCodec) -> Self {
        PlainListState {
            indexed: Indexed::default(),
            values: Values::new(codec),
            pending_values: (0, 0),
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.indexed.rope().len())
    }

    /// The element at an index. O(log n + value).
    pub(crate) fn get(&self, index: u64) -> Option<Value> {
        let number = self.indexed.rope().get(u32::try_from(index).ok()?)?;
        Some(self.values.get(number))
    }

    /// All elements. O(n).
    pub(crate) fn values(&self) -> Vec<Value> {
        self.range(0, u64::MAX)
    }

    /// The elements from `start` to before `end`, as far as they are there.
    pub(crate) fn range(&self, start: u64, end: u64) -> Vec<Value> {
        let clip = |index: u64| u32::try_from(index).unwrap_or(u32::MAX);
        let slices = self.indexed.rope().slices(clip(start)..clip(end));
        slices
            .flat_map(|(numbers, _)| numbers)
            .map(|number| self.values.get(*number))
            .collect()
    }

    /// The operation that inserts a value.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn insert(&self, index: u64, value: &Value) -> Result<Operation, UnsupportedValue> {
        let bytes = self.values.codec.encode(value)?;
        Ok(placed(kind::INSERT, index, &bytes))
    }

    /// The operation that replaces an element.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn update(&self, index: u64, value: &Value) -> Result<Operation, UnsupportedValue> {
        let bytes = self.values.codec.encode(value)?;
        Ok(placed(kind::UPDATE, index, &bytes))
    }

    /// The operation that removes elements.
    pub(crate) fn remove(index: u64, count: u64) -> Operation {
        removal(index, count)
    }

    /// A list that starts from a snapshot's blob; `forgotten` as for [`Indexed::seeded`].
    fn started_from(
        &self,
        blob: &[u8],
        forgotten: Option<Forgotten>,
    ) -> Result<PlainListState, DecodeError> {
        let mut started = PlainListState::new(self.values.codec);
        let mut numbers = Vec::new();
        if !blob.is_empty() {
            let mut reader = Reader::new(blob);
            for _ in 0..reader.count(1)? {
                numbers.push(started.values.push(reader.prefixed()?)?);
            }
        }
        started.indexed = Indexed::seeded(&numbers, forgotten);
        Ok(started)
    }

    /// The blob of a snapshot that has these values.
    fn blob_of(&self, numbers: &[ValueNumber]) -> Vec<u8> {
        let mut blob = Vec::new();
        write_uvarint(&mut blob, numbers.len() as u64);
        for number in numbers {
            write_prefixed(&mut blob, self.values.bytes(*number));
        }
        blob
    }

    /// Reads a body; None: a kind that lists do not have. `number` takes the value's.
    fn read_edit<'a>(
        &mut self,
        kind: u8,
        body: &[u8],
        number: &'a mut [ValueNumber; 1],
    ) -> Result<Option<Edit<'a, ValueNumber>>, DecodeError> {
        Ok(Some(match kind {
            kind::INSERT | kind::UPDATE => {
                let (index, value) = read_placed(body)?;
                number[0] = self.values.push(value)?;
                let elements = number.as_slice();
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
}

impl Keeping for PlainListState {
    fn kept(&self, all: bool) -> KeptOperations {
        let mut kept = KeptOperations::default();
        let bytes = |elements: &[ValueNumber]| match elements {
            [number] => self.values.bytes(*number),
            _ => unreachable!("operations on lists bring one value"),
        };
        let (base, forgotten) = self.indexed.kept(all, |order, edit| {
            let operation = match edit {
                Edit::Insert { index, elements } => placed(kind::INSERT, index, bytes(elements)),
                Edit::Replace { index, elements } => placed(kind::UPDATE, index, bytes(elements)),
                Edit::Remove { index, count } => Self::remove(index, count),
            };
            kept.operations.push((order, operation));
        });
        kept.base = self.blob_of(&base);
        kept.forgotten = forgotten;
        kept
    }

    fn restore(&mut self, kept: &KeptOperations) -> Result<(), DecodeError> {
        let mut restored = self.started_from(&kept.base, kept.forgotten.clone())?;
        let mut number = [ValueNumber(0)];
        for (order, operation) in &kept.operations {
            let edit = restored.read_edit(operation.kind, &operation.body, &mut number)?;
            let edit = edit.ok_or_else(unknown_kind)?;
            restored.indexed.append(*order, edit);
        }
        *self = restored;
        Ok(())
    }
}

impl ByteState for PlainListState {
    fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        *self = self.started_from(blob, None)?;
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
        let mut number = [ValueNumber(0)];
        if let Some(edit) = self.read_edit(kind, body, &mut number)? {
            watched!(self, recorder, apply(order, edit));
        }
        Ok(())
    }

    fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        let known = self.values.ends.len() as u32;
        let mut number = [ValueNumber(0)];
        if let Some(edit) = self.read_edit(kind, body, &mut number)? {
            let (first, count) = &mut self.pending_values;
            *first = if *count == 0 { known } else { *first };
            *count += self.values.ends.len() as u32 - known;
            watched!(self, recorder, apply_pending(edit));
        }
        Ok(())
    }

    fn settle(&mut self, recorder: &mut Recorder) {
        watched!(self, recorder, settle());
    }

    fn discard_pending(&mut self, recorder: &mut Recorder) {
        watched!(self, recorder, discard_pending());
        let (first, count) = std::mem::take(&mut self.pending_values);
        // With values of imports among them they stay: as much again as the transaction had.
        if count > 0 && self.values.ends.len() == first as usize + count as usize {
            self.values.truncate(first as usize);
        }
    }

    fn compound<'a>(
        &self,
        last: &QueuedOperation<'a>,
        next: &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        if (last.0, next.0) == (kind::UPDATE, kind::UPDATE) {
            let (index, _) = read_placed(&last.1).ok()?;
            let (next_index, _) = read_placed(&next.1).ok()?;
            return (index == next_index).then(|| next.clone());
        }
        joined_removals(last, next)
    }

    fn snapshot_state(&self) -> Vec<u8> {
        self.blob_of(&self.indexed.committed())
    }

    fn history_pruned(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        self.indexed.freeze(covers);
    }

    fn visible(&self) -> Visible {
        Visible::Elements(self.values())
    }

    fn recorder(&self) -> Recorder {
        Recorder::List(ListDelta::default())
    }

    fn value(&self) -> Value {
        Value::Array(self.values())
    }

    fn heap_bytes(&self) -> usize {
        let values =
            self.values.bytes.capacity() + self.values.ends.capacity() * size_of::<usize>();
        self.indexed.heap_bytes() + values
    }

    fn check(&self) {
        self.indexed.check();
        let numbers = self.indexed.rope().slices(0..u32::MAX);
        let known = self.values.ends.len();
        assert!(
            numbers
                .flat_map(|(numbers, _)| numbers)
                .all(|number| (number.0 as usize) < known)
        );
    }
}
