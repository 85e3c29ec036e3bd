//! State of an observed-remove set (specification 9.7): elements and nothing else.

use super::identity::Form;
use super::observed_remove::{Held, ObservedRemove, Tag, View};
use super::operation::Operation;
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value};
use crate::document::{MapOp, ValueCodec};

/// What the operations on a set add up to.
pub(crate) type OrSetState = ObservedRemove<()>;

impl Held for () {
    const SEEDED_FIRST: bool = false;

    fn element_codec(codec: ValueCodec) -> ValueCodec {
        codec
    }

    fn read(_: ValueCodec, _: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }

    fn write(&self, _: &mut Vec<u8>) {}

    /// An element that is shown as another of the values equal to it is still there.
    fn event(
        codec: ValueCodec,
        identity: &[u8],
        old: Option<(Form, ())>,
        new: Option<(Form, ())>,
    ) -> Option<MapOp> {
        let show = |seen: Option<(Form, ())>| seen.map(|(form, ())| form.show(codec, identity));
        (old.is_some() != new.is_some()).then(|| MapOp {
            key: String::new(),
            old: show(old),
            new: show(new),
        })
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl OrSetState {
    /// Elements in set order. O(n log n).
    pub(crate) fn values(&self) -> Vec<Value> {
        let sorted = self.sorted(View::Current);
        sorted.iter().map(|shown| self.value(shown)).collect()
    }

    /// The operation that adds an element; `tag` is the author with a clock of its own.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn add_operation(
        &self,
        value: &Value,
        tag: Tag,
    ) -> Result<Operation, UnsupportedValue> {
        self.put_operation(value, &(), tag)
    }
}
