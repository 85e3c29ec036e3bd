//! State of a register (specification 9.6): the last `set` in replay order wins.
//!
//! The history of a map's single key, without deletes and updates.

use super::history::{Effect, KeyHistory, Present, Written};
use super::operation::{Events, Operation, Place, QueuedOperation, kind};
use crate::clock::OrderKey;
use crate::codec::bytes::write_prefixed;
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value};
use crate::document::{MapOp, ValueCodec};

/// What the operations on a register add up to.
#[derive(Clone, Debug)]
pub(crate) struct RegisterState {
    codec: ValueCodec,
    history: KeyHistory,
    /// Number of operations of the open transaction.
    pending_count: u32,
}

impl RegisterState {
    /// A register that was never set.
    pub(crate) fn new(codec: ValueCodec) -> Self {
        RegisterState {
            codec,
            history: KeyHistory::default(),
            pending_count: 0,
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
                let value = self.codec.canonical(reader.prefixed()?)?;
                seeded
                    .history
                    .insert(Place::Seed(0), Effect::Set, Some(value));
            }
            _ => return Err(Reader::new(blob).error("the flag of a register is 0 or 1")),
        }
        *self = seeded;
        Ok(())
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
        let number = self.pending_count;
        self.apply_at(Place::Pending(number), kind, body, events)?;
        self.pending_count = number.checked_add(1).expect("fewer than 2^32 operations");
        Ok(())
    }

    /// Takes back all operations of the open transaction. O(their number).
    pub(crate) fn discard_pending(&mut self, events: Events<'_>) {
        self.pending_count = 0;
        self.change(events, KeyHistory::discard_pending);
    }

    fn apply_at(
        &mut self,
        place: Place,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        if kind != kind::INSERT {
            return Ok(());
        }
        let value = self.codec.canonical(Reader::new(body).prefixed()?)?;
        self.change(events, |history| {
            history.insert(place, Effect::Set, Some(value));
        });
        Ok(())
    }

    fn change(&mut self, events: Events<'_>, change: impl FnOnce(&mut KeyHistory)) {
        let Some(events) = events else {
            return change(&mut self.history);
        };
        let old = self.get();
        change(&mut self.history);
        let new = self.get();
        if old != new {
            let key = String::new();
            events.push(MapOp { key, old, new });
        }
    }

    /// The value; None when unset or null. O(value).
    pub(crate) fn get(&self) -> Option<Value> {
        self.value(self.history.current())
    }

    /// What it holds, encoded, and the change that decided it. O(value).
    pub(crate) fn written(&self) -> Written {
        Written::of(&self.history)
    }

    fn value(&self, present: Option<Present<'_>>) -> Option<Value> {
        let value = self.codec.stored(present?.value);
        (value != Value::Null).then_some(value)
    }

    /// The blob of a snapshot; committed state only (defect 13.6).
    pub(crate) fn snapshot_state(&self) -> Vec<u8> {
        let present = self.history.committed();
        if self.value(present).is_none() {
            return vec![0];
        }
        let mut blob = vec![1];
        write_prefixed(&mut blob, present.expect("it has a value").value);
        blob
    }

    /// The operation that sets the value.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn set(&self, value: &Value) -> Result<Operation, UnsupportedValue> {
        let mut body = Vec::new();
        write_prefixed(&mut body, &self.codec.encode(value)?);
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
        self.history.heap_bytes()
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self) {
        self.history.check();
    }
}
