//! State of a map (specification 9.5): the last operation of each key in replay order wins.
//!
//! A hash table of short histories (see `history`); the order of the keys is the place of the
//! operation that made each one present, and is sorted out only when somebody asks.

use super::history::{Effect, KeyHistory, Present, Written};
use super::operation::{Events, Operation, Place, QueuedOperation, kind};
use crate::clock::OrderKey;
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value};
use crate::document::{MapOp, ValueCodec};
use std::collections::HashMap;

/// What the operations on a map add up to.
#[derive(Clone, Debug)]
pub(crate) struct MapState {
    codec: ValueCodec,
    /// Keys come from outside: the default hasher is keyed. No history is empty.
    keys: HashMap<Box<str>, KeyHistory>,
    /// How many keys are present.
    len: usize,
    /// The key of each operation of the open transaction.
    pending: Vec<Box<str>>,
}

impl MapState {
    /// An empty map.
    pub(crate) fn new(codec: ValueCodec) -> Self {
        MapState {
            codec,
            keys: HashMap::new(),
            len: 0,
            pending: Vec::new(),
        }
    }

    /// Forgets everything and starts from a snapshot's state; an empty blob is an empty map.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        let mut seeded = MapState::new(self.codec);
        let mut reader = Reader::new(blob);
        let count = if blob.is_empty() { 0 } else { reader.count(2)? };
        let mut values: HashMap<&str, (u32, Box<[u8]>)> = HashMap::new();
        for _ in 0..count {
            let key = reader.text()?;
            let value = self.codec.canonical(reader.prefixed()?)?;
            let number = values.len() as u32;
            // A repeated key keeps its place.
            values.entry(key).or_insert((number, Box::default())).1 = value;
        }
        for (key, (number, value)) in values {
            seeded.insert(key, Place::Seed(number), Effect::Set, Some(value), None);
        }
        *self = seeded;
        Ok(())
    }

    /// Adds the operation of a change. Kinds other than those of maps are ignored. O(1) if it is
    /// the newest of its key, else O(operations of the key).
    ///
    /// # Errors
    /// The body cannot be decoded; the state is unchanged.
    pub(crate) fn apply(
        &mut self,
        order: OrderKey,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        self.apply_at(Place::Committed(order), kind, body, events)
    }

    /// Adds an operation of the open transaction, behind all others.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(crate) fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        let number = u32::try_from(self.pending.len()).expect("fewer than 2^32 operations");
        self.apply_at(Place::Pending(number), kind, body, events)
    }

    /// Takes back all operations of the open transaction. O(their number).
    pub(crate) fn discard_pending(&mut self, mut events: Events<'_>) {
        for key in std::mem::take(&mut self.pending) {
            let Some(history) = self.keys.get_mut(&key) else {
                continue;
            };
            let old = events.as_ref().map(|_| view(self.codec, history.current()));
            let before = history.current().is_some();
            history.discard_pending();
            self.len = self.len - usize::from(before) + usize::from(history.current().is_some());
            if let (Some(events), Some(old)) = (events.as_deref_mut(), old) {
                report(events, &key, old, view(self.codec, history.current()));
            }
            if history.is_empty() {
                self.keys.remove(&key);
            }
        }
    }

    fn apply_at(
        &mut self,
        place: Place,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        let effect = match kind {
            kind::INSERT => Effect::Set,
            kind::DELETE => Effect::Delete,
            kind::UPDATE => Effect::Update,
            _ => return Ok(()),
        };
        let mut reader = Reader::new(body);
        let key = reader.text()?;
        let value = match effect {
            Effect::Delete => None,
            Effect::Set | Effect::Update => Some(self.codec.canonical(reader.prefixed()?)?),
        };
        self.insert(key, place, effect, value, events);
        if place.is_pending() {
            self.pending.push(key.into());
        }
        Ok(())
    }

    fn insert(
        &mut self,
        key: &str,
        place: Place,
        effect: Effect,
        value: Option<Box<[u8]>>,
        events: Events<'_>,
    ) {
        // Most keys exist; `entry` would allocate the key each time.
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), KeyHistory::default());
        }
        let history = self.keys.get_mut(key).expect("inserted above");
        let old = events.as_ref().map(|_| view(self.codec, history.current()));
        let before = history.current().is_some();
        history.insert(place, effect, value);
        self.len = self.len - usize::from(before) + usize::from(history.current().is_some());
        if let (Some(events), Some(old)) = (events, old) {
            report(events, key, old, view(self.codec, history.current()));
        }
    }

    /// Number of keys present. O(1).
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The value of a key. O(value).
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        view(self.codec, self.keys.get(key)?.current())
    }

    /// What a key holds, encoded, and the change that decided it. O(value).
    pub(crate) fn written(&self, key: &str) -> Written {
        self.keys
            .get(key)
            .map_or_else(Written::default, Written::of)
    }

    /// True if the key is present. O(1).
    pub(crate) fn contains(&self, key: &str) -> bool {
        let history = self.keys.get(key);
        history.is_some_and(|history| history.current().is_some())
    }

    /// Keys and values in map order. O(n log n).
    pub(crate) fn entries(&self) -> Vec<(String, Value)> {
        let entries = self.sorted(KeyHistory::current).into_iter();
        entries
            .map(|(key, value)| (key.to_owned(), self.codec.stored(value)))
            .collect()
    }

    fn sorted<'a>(
        &'a self,
        look: impl Fn(&'a KeyHistory) -> Option<Present<'a>>,
    ) -> Vec<(&'a str, &'a [u8])> {
        let keys = self.keys.iter();
        let mut present: Vec<_> = keys
            .filter_map(|(key, history)| Some((&**key, look(history)?)))
            .collect();
        present.sort_unstable_by_key(|(_, present)| present.since);
        let present = present.into_iter();
        present.map(|(key, present)| (key, present.value)).collect()
    }

    /// The blob of a snapshot; committed state only (defect 13.6). O(n log n).
    pub(crate) fn snapshot_state(&self) -> Vec<u8> {
        let entries = self.sorted(KeyHistory::committed);
        let mut blob = Vec::new();
        write_uvarint(&mut blob, entries.len() as u64);
        for (key, value) in entries {
            write_prefixed(&mut blob, key.as_bytes());
            write_prefixed(&mut blob, value);
        }
        blob
    }

    /// The operation that puts a value. A leading U+FEFF of the key does not survive (1.2).
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn set(&self, key: &str, value: &Value) -> Result<Operation, UnsupportedValue> {
        let mut body = key_body(key);
        write_prefixed(&mut body, &self.codec.encode(value)?);
        let kind = kind::INSERT;
        Ok(Operation { kind, body })
    }

    /// The operation that replaces a value if the key is there when it is replayed.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn update(&self, key: &str, value: &Value) -> Result<Operation, UnsupportedValue> {
        let kind = kind::UPDATE;
        let set = self.set(key, value)?;
        Ok(Operation { kind, ..set })
    }

    /// The operation that takes a key away.
    pub(crate) fn delete(key: &str) -> Operation {
        let kind = kind::DELETE;
        let body = key_body(key);
        Operation { kind, body }
    }

    /// Joins two neighbours of a transaction's queue (specification 8.8).
    pub(crate) fn compound<'a>(
        (kind, body): &QueuedOperation<'a>,
        (next_kind, next_body): &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        let key = |body| Reader::new(body).text().ok();
        if key(body)? != key(next_body)? {
            return None;
        }
        match (*kind, *next_kind) {
            (_, kind::DELETE | kind::INSERT) => Some((*next_kind, next_body.clone())),
            (kind::INSERT | kind::UPDATE, kind::UPDATE) => Some((*kind, next_body.clone())),
            (kind::DELETE, kind::UPDATE) => Some((kind::DELETE, body.clone())),
            _ => None,
        }
    }

    /// Heap memory held, in bytes (the table and the allocator's part estimated). O(operations).
    pub(crate) fn heap_bytes(&self) -> usize {
        let slot = size_of::<(Box<str>, KeyHistory)>() + 1;
        let keys = self.keys.iter();
        let owned = keys.map(|(key, history)| key.len() + 16 + history.heap_bytes());
        // A table is never fuller than seven eighths.
        self.keys.capacity() * 8 / 7 * slot + owned.sum::<usize>()
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self) {
        let present = self
            .keys
            .values()
            .filter(|history| history.current().is_some());
        assert_eq!(present.count(), self.len);
        for history in self.keys.values() {
            assert!(!history.is_empty());
            history.check();
        }
    }
}

fn key_body(key: &str) -> Vec<u8> {
    let mut body = Vec::new();
    write_prefixed(&mut body, key.as_bytes());
    body
}

fn view(codec: ValueCodec, present: Option<Present<'_>>) -> Option<Value> {
    present.map(|present| codec.stored(present.value))
}

fn report(events: &mut Vec<MapOp>, key: &str, old: Option<Value>, new: Option<Value>) {
    if old != new {
        let key = key.to_owned();
        events.push(MapOp { key, old, new });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Hlc, PeerId};
    use std::borrow::Cow;

    fn order(clock: u64) -> OrderKey {
        OrderKey::new(PeerId::from_bytes([1; 16]), Hlc::from_u64(clock))
    }

    /// The table of 8.8, and that a joined operation does what the two did.
    #[test]
    fn neighbours_join_by_the_table() {
        let map = MapState::new(ValueCodec::Json);
        let operations = |key: &str, value: i64| {
            let set = map.set(key, &value.into()).unwrap();
            let update = map.update(key, &value.into()).unwrap();
            [set, MapState::delete(key), update]
        };
        let queued = |operation: &Operation| (operation.kind, Cow::from(operation.body.clone()));
        let (first, second) = (operations("k", 1), operations("k", 2));
        let table = [
            [Some(&second[0]), Some(&second[1]), Some(&second[0])],
            [Some(&second[0]), Some(&second[1]), Some(&first[1])],
            [Some(&second[0]), Some(&second[1]), Some(&second[2])],
        ];
        for (a, row) in first.iter().zip(table) {
            for (b, expected) in second.iter().zip(row) {
                let joined = MapState::compound(&queued(a), &queued(b));
                assert_eq!(joined, expected.map(queued));
                let (kind, body) = joined.unwrap();
                for before in [None, Some(map.set("k", &0.into()).unwrap())] {
                    let mut one_by_one = MapState::new(ValueCodec::Json);
                    let mut at_once = MapState::new(ValueCodec::Json);
                    for state in [&mut one_by_one, &mut at_once] {
                        let before = before.iter();
                        before.for_each(|set| {
                            state.apply(order(1), set.kind, &set.body, None).unwrap()
                        });
                    }
                    one_by_one.apply(order(2), a.kind, &a.body, None).unwrap();
                    one_by_one.apply(order(3), b.kind, &b.body, None).unwrap();
                    at_once.apply(order(2), kind, &body, None).unwrap();
                    assert_eq!(one_by_one.entries(), at_once.entries());
                }
            }
        }
        for other in operations("other", 2) {
            assert_eq!(
                MapState::compound(&queued(&first[0]), &queued(&other)),
                None
            );
        }
    }

    #[test]
    fn values_that_the_codec_cannot_carry_are_refused_before_they_are_queued() {
        let json = MapState::new(ValueCodec::Json);
        assert!(json.set("k", &f64::NAN.into()).is_err());
        assert!(json.update("k", &Value::Bytes(vec![1])).is_err());
        let bytes = MapState::new(ValueCodec::Bytes);
        assert!(bytes.set("k", &1.into()).is_err());
        let operation = bytes.set("k", &Value::Bytes(vec![0xff, 0])).unwrap();
        assert_eq!(operation.body, [1, b'k', 2, 0xff, 0]);
    }

    /// A key that is deleted and put again moves to the end; one that is only put again does not.
    #[test]
    fn keys_stand_where_they_last_appeared() {
        let mut map = MapState::new(ValueCodec::Json);
        map.seed(&[2, 1, b'x', 1, b'0', 1, b'y', 1, b'0']).unwrap();
        let mut apply = |clock, operation: Operation| {
            map.apply(order(clock), operation.kind, &operation.body, None)
                .unwrap();
            map.check();
            let keys: String = map.entries().into_iter().map(|(key, _)| key).collect();
            keys
        };
        let set = |key: &str| MapState::new(ValueCodec::Json).set(key, &1.into()).unwrap();
        assert_eq!(apply(10, set("a")), "xya");
        assert_eq!(apply(20, set("x")), "xya");
        assert_eq!(apply(15, MapState::delete("x")), "yax");
        assert_eq!(apply(5, set("b")), "ybax");
    }
}
