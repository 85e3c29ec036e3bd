//! State of a register (specification 9.6): the last `set` in replay order wins.
//!
//! The history of a map's single key, without deletes and updates.

use super::history::{Effect, KeyHistory, Present, StoredHistory, Writers};
use super::inline_bytes::InlineBytes;
use super::operation::{Events, Operation, Place, QueuedOperation, kind};
use super::stored_places::{PlaceReader, PlaceWriter};
use crate::clock::OrderKey;
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value, bytes::write_prefixed};
use crate::document::{MapOp, ValueCodec};

/// What the operations on a register add up to.
#[derive(Clone, Debug)]
pub(crate) struct RegisterState {
    codec: ValueCodec,
    history: KeyHistory,
    writers: Writers,
    /// The last value that the open transaction set.
    pending: Option<InlineBytes>,
}

impl RegisterState {
    /// A register that was never set.
    pub(crate) fn new(codec: ValueCodec) -> Self {
        RegisterState {
            codec,
            history: KeyHistory::default(),
            writers: Writers::default(),
            pending: None,
        }
    }

    /// Forgets everything and starts from a snapshot's state; an empty blob is unset.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        let mut seeded = RegisterState::new(self.codec);
        let mut reader = Reader::new(blob);
        let flag = if blob.is_empty() {
            0
        } else {
            reader.byte("the flag of a register")?
        };
        match flag {
            0 => {}
            1 => {
                let value = self.codec.canonical_bytes(reader.prefixed()?)?;
                seeded.insert(Place::Seed(0), InlineBytes::from(&*value));
            }
            _ => return Err(Reader::new(blob).error("the flag of a register is 0 or 1")),
        }
        *self = seeded;
        Ok(())
    }

    fn insert(&mut self, place: Place, value: InlineBytes) {
        self.history
            .insert(place, Effect::Set, value, &mut self.writers);
    }

    /// Adds the operation of a change. Kinds other than `set` are ignored. O(1) if it is the
    /// newest, else O(operations).
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
        if let Some(value) = self.read(kind, body)? {
            self.change(events, |register| {
                register.insert(Place::Committed(order), value)
            });
        }
        Ok(())
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
        if let Some(value) = self.read(kind, body)? {
            self.change(events, |register| register.pending = Some(value));
        }
        Ok(())
    }

    /// Takes back all operations of the open transaction. O(1).
    pub(crate) fn discard_pending(&mut self, events: Events<'_>) {
        self.change(events, |register| register.pending = None);
    }

    fn read(&self, kind: u8, body: &[u8]) -> Result<Option<InlineBytes>, DecodeError> {
        if kind != kind::INSERT {
            return Ok(None);
        }
        let value = self.codec.canonical_bytes(Reader::new(body).prefixed()?)?;
        Ok(Some(InlineBytes::from(&*value)))
    }

    /// The value that an operation brings.
    pub(crate) fn value_of(&self, kind: u8, body: &[u8]) -> Option<Value> {
        let value = self.read(kind, body).ok()??;
        Some(self.codec.stored(value.as_slice()))
    }

    fn change(&mut self, events: Events<'_>, change: impl FnOnce(&mut Self)) {
        let Some(events) = events else {
            return change(self);
        };
        let old = self.get();
        change(self);
        let new = self.get();
        if old != new {
            let key = String::new();
            events.push(MapOp { key, old, new });
        }
    }

    /// Forgets operations that `covers` knows, but for the one that shows.
    pub(crate) fn forget(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        self.history.forget(covers, &self.writers);
    }

    /// The committed operations, newest first; none while the open transaction hides them.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (Place, Effect)> + '_ {
        let history = self.history.newest_first(&self.writers);
        history.take_while(|_| self.pending.is_none())
    }

    /// The value; None when unset or null. O(value).
    pub(crate) fn get(&self) -> Option<Value> {
        match &self.pending {
            Some(value) => self.value(value.as_slice()),
            None => self.value(self.committed()?.value),
        }
    }

    /// The encoded value, even of null; None if it was never set. O(1).
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match &self.pending {
            Some(value) => Some(value.as_slice()),
            None => Some(self.committed()?.value),
        }
    }

    fn committed(&self) -> Option<Present<'_>> {
        self.history.present(&self.writers)
    }

    fn value(&self, value: &[u8]) -> Option<Value> {
        let value = self.codec.stored(value);
        (value != Value::Null).then_some(value)
    }

    /// The committed operations as a native state.
    pub(crate) fn native_state(&self) -> Vec<u8> {
        let mut out = PlaceWriter::default();
        self.history.store(&self.writers, &mut out);
        out.finish()
    }

    /// Adds the operations of a native state to those that are here. `Ok(false)`: the order of
    /// some is not known, and nothing happened.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        let mut from = PlaceReader::open(bytes)?;
        let stored = StoredHistory::read(&mut from, self.codec)?;
        from.reader.finish()?;
        let is_empty = self.history.newest_first(&self.writers).next().is_none();
        if stored.is_seeded() && !is_empty {
            return Ok(false);
        }
        self.history.join(stored, &mut self.writers);
        Ok(true)
    }

    /// The blob of a snapshot; committed state only (defect 13.6).
    pub(crate) fn snapshot_state(&self) -> Vec<u8> {
        match self.committed() {
            Some(present) if self.value(present.value).is_some() => {
                let mut blob = vec![1];
                write_prefixed(&mut blob, present.value);
                blob
            }
            _ => vec![0],
        }
    }

    /// The operation that sets the value.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn set(&self, value: &Value) -> Result<Operation, UnsupportedValue> {
        let mut body = Vec::with_capacity(16);
        self.codec.write_prefixed(value, &mut body)?;
        let kind = kind::INSERT;
        Ok(Operation { kind, body })
    }

    /// Joins two neighbours of a transaction's queue: the later one stays (specification 8.8).
    pub(crate) fn compound<'a>(
        (kind, _): &QueuedOperation<'a>,
        next: &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        let both_set = *kind == kind::INSERT && next.0 == kind::INSERT;
        both_set.then(|| next.clone())
    }

    /// Heap memory held, in bytes. O(operations).
    pub(crate) fn heap_bytes(&self) -> usize {
        self.history.heap_bytes() + self.writers.heap_bytes()
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self) {
        self.history.check(&self.writers);
    }
}
