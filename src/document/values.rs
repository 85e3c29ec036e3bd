//! Maps, registers and sets: editing and reading.

use super::Document;
use super::handler::State;
use super::handlers::map::MapState;
use super::handlers::operation::Operation as LocalOperation;
use super::handlers::or_set::OrSetState;
use super::handlers::register::RegisterState;
use super::transaction::QueuedOp;
use super::types::{DocumentError, HandlerIdx};
use crate::clock::OperationId;
use crate::codec::Value;

impl Document {
    fn map(&self, handler: HandlerIdx) -> Result<&MapState, DocumentError> {
        match self
            .handlers
            .get(handler.0 as usize)
            .map(|handler| &handler.state)
        {
            Some(State::Map(map)) => Ok(map),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    fn register(&self, handler: HandlerIdx) -> Result<&RegisterState, DocumentError> {
        match self
            .handlers
            .get(handler.0 as usize)
            .map(|handler| &handler.state)
        {
            Some(State::Register(register)) => Ok(register),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    fn set(&self, handler: HandlerIdx) -> Result<&OrSetState, DocumentError> {
        match self
            .handlers
            .get(handler.0 as usize)
            .map(|handler| &handler.state)
        {
            Some(State::Set(set)) => Ok(set),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// Queues or commits a local operation that was encoded without error.
    pub(super) fn submit_value(
        &mut self,
        handler: HandlerIdx,
        op: LocalOperation,
    ) -> Result<(), DocumentError> {
        self.ensure_open()?;
        self.ensure_editable(op.body.len())?;
        self.record(handler, false);
        if self.in_transaction() {
            self.apply_pending(handler, op.kind, &op.body);
        }
        self.submit(
            handler,
            QueuedOp::Bytes {
                kind: op.kind,
                body: op.body,
            },
        );
        Ok(())
    }

    /// Number of keys.
    pub fn map_len(&self, handler: HandlerIdx) -> u64 {
        self.map(handler).map_or(0, |map| map.len() as u64)
    }

    /// The value of a key.
    pub fn map_get(&self, handler: HandlerIdx, key: &str) -> Option<Value> {
        self.map(handler).ok()?.get(key)
    }

    /// Whether the key is there.
    pub fn map_contains(&self, handler: HandlerIdx, key: &str) -> bool {
        self.map(handler).is_ok_and(|map| map.contains(key))
    }

    /// All keys and values, in map order. O(n log n).
    pub fn map_entries(&self, handler: HandlerIdx) -> Vec<(String, Value)> {
        self.map(handler)
            .map_or_else(|_| Vec::new(), MapState::entries)
    }

    /// Sets a key.
    ///
    /// # Errors
    /// `UnsupportedValue` if the codec cannot carry the value; `Closed`.
    pub fn map_set(
        &mut self,
        handler: HandlerIdx,
        key: &str,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let op = self
            .map(handler)?
            .set(key, value)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, op)
    }

    /// Replaces the value of a key that exists when all peers have replayed; a concurrent removal
    /// wins over it.
    ///
    /// # Errors
    /// As [`map_set`](Self::map_set).
    pub fn map_update(
        &mut self,
        handler: HandlerIdx,
        key: &str,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let op = self
            .map(handler)?
            .update(key, value)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, op)
    }

    /// Removes a key. Removing an absent one is a change, too, as in crdt_lf.
    pub fn map_remove(&mut self, handler: HandlerIdx, key: &str) -> Result<(), DocumentError> {
        self.map(handler)?;
        self.submit_value(handler, MapState::delete(key))
    }

    /// The value of a register; None before the first set.
    pub fn register_get(&self, handler: HandlerIdx) -> Option<Value> {
        self.register(handler).ok()?.get()
    }

    /// Sets a register.
    ///
    /// # Errors
    /// As [`map_set`](Self::map_set).
    pub fn register_set(
        &mut self,
        handler: HandlerIdx,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let op = self
            .register(handler)?
            .set(value)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, op)
    }

    /// Number of elements.
    pub fn set_len(&self, handler: HandlerIdx) -> u64 {
        self.set(handler).map_or(0, |set| set.len() as u64)
    }

    /// Whether an equal element is there (specification 9.7: numbers by value; lists and objects
    /// equal nothing).
    pub fn set_contains(&self, handler: HandlerIdx, value: &Value) -> bool {
        self.set(handler).is_ok_and(|set| set.contains(value))
    }

    /// The elements in order. O(n log n).
    pub fn set_values(&self, handler: HandlerIdx) -> Vec<Value> {
        self.set(handler)
            .map_or_else(|_| Vec::new(), OrSetState::values)
    }

    /// Adds an element.
    ///
    /// # Errors
    /// As [`map_set`](Self::map_set).
    pub fn set_add(&mut self, handler: HandlerIdx, value: &Value) -> Result<(), DocumentError> {
        self.ensure_open()?;
        let before = self.clock();
        let tag = OperationId::new(self.peer_id(), before.local_event(self.wall_clock.now_ms()));
        let op = self
            .set(handler)?
            .add_operation(value, tag)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        // The tag's tick counts only once nothing can fail any more.
        self.ensure_editable(op.body.len())?;
        self.clock = tag.hlc;
        self.submit_value(handler, op)
    }

    /// Removes an element: the additions seen here. Concurrent additions win.
    ///
    /// # Errors
    /// As [`map_set`](Self::map_set).
    pub fn set_remove(&mut self, handler: HandlerIdx, value: &Value) -> Result<(), DocumentError> {
        let op = self
            .set(handler)?
            .remove_operation(value)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, op)
    }
}
