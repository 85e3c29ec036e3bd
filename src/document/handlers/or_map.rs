//! State of an observed-remove map (specification 9.8): the keys are those of a set, and each
//! shows the value with the largest tag among its living entries.
//!
//! Keys are any JSON value and equal as the elements of a set do: numbers by value, lists and
//! objects never. Where only text fits, in events and in the value of the whole map, a key that is
//! no string stands as its JSON text.

use super::identity::Form;
use super::observed_remove::{Held, ObservedRemove, Shown, Tag, View};
use super::operation::{Operation, Place};
use crate::codec::bytes::write_prefixed;
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value, Wtf8String};
use crate::document::{MapOp, ValueCodec};
use std::collections::HashSet;

/// What the operations on a map add up to.
pub(crate) type OrMapState = ObservedRemove<Encoded>;

/// A value of the map, as its codec writes it.
#[derive(Clone, Debug)]
pub(crate) struct Encoded(Box<[u8]>);

impl Held for Encoded {
    const SEEDED_FIRST: bool = true;

    fn element_codec(_: ValueCodec) -> ValueCodec {
        ValueCodec::Json
    }

    fn read(codec: ValueCodec, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        codec.canonical(reader.prefixed()?).map(Encoded)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_prefixed(out, &self.0);
    }

    fn event(
        codec: ValueCodec,
        identity: &[u8],
        old: Option<(Form, Encoded)>,
        new: Option<(Form, Encoded)>,
    ) -> Option<MapOp> {
        let show = |seen: Option<(Form, Encoded)>| seen.map(|(_, held)| codec.stored(&held.0));
        let (old, new) = (show(old), show(new));
        (old != new).then(|| MapOp {
            key: key_text(identity).to_string_lossy(),
            old,
            new,
        })
    }

    fn heap_bytes(&self) -> usize {
        self.0.len() + 16
    }
}

impl OrMapState {
    /// The value of a key. O(key + entries of the key).
    pub(crate) fn get(&self, key: &Value) -> Option<Value> {
        let shown = self.shown(self.find(key)?, View::Current)?;
        Some(self.codec.stored(&shown.held.0))
    }

    /// The living entries of a key with the places of their puts; that with the largest tag, which
    /// shows, first.
    pub(crate) fn living_values(&self, key: &Value) -> Vec<(Place, Value)> {
        let element = self.find(key).into_iter();
        let living = element.flat_map(|element| self.living(element, View::Current));
        living
            .map(|(place, held)| (place, self.codec.stored(&held.0)))
            .collect()
    }

    /// Keys and values in map order. O(n log n).
    pub(crate) fn entries(&self) -> Vec<(Value, Value)> {
        let sorted = self.sorted(View::Current);
        let entry = |shown: &_| (self.value(shown), self.held_value(shown));
        sorted.iter().map(entry).collect()
    }

    /// As [`entries`](Self::entries), with the keys as text; of keys with one text (`1` and `"1"`)
    /// the first.
    pub(crate) fn text_entries(&self) -> Vec<(Wtf8String, Value)> {
        let sorted = self.sorted(View::Current);
        let mut texts = HashSet::new();
        sorted
            .iter()
            .map(|shown| (key_text(self.identity(shown)), shown))
            .filter(|(text, _)| texts.insert(text.clone()))
            .map(|(text, shown)| (text, self.held_value(shown)))
            .collect()
    }

    fn held_value(&self, shown: &Shown<'_, Encoded>) -> Value {
        self.codec.stored(&shown.held.0)
    }

    /// The operation that puts a value; `tag` is the author with a clock of its own.
    ///
    /// # Errors
    /// JSON cannot carry the key, or the codec the value.
    pub(crate) fn put(
        &self,
        key: &Value,
        value: &Value,
        tag: Tag,
    ) -> Result<Operation, UnsupportedValue> {
        let held = Encoded(self.codec.encode(value)?.into());
        self.put_operation(key, &held, tag)
    }
}

/// A string as it is, another key as its JSON text; equal keys have equal texts.
fn key_text(identity: &[u8]) -> Wtf8String {
    match &ValueCodec::Json.stored(identity) {
        Value::String(text) => text.clone(),
        _ => Wtf8String::from_wire(identity).expect("JSON is UTF-8"),
    }
}
