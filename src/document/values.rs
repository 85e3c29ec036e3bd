//! Registers and sets: editing and reading. Maps: see `maps`.

use super::Document;
use super::handler::State;
use super::handlers::operation::Operation as LocalOperation;
use super::handlers::or_set::OrSetState;
use super::handlers::register::RegisterState;
use super::transaction::QueuedOp;
use super::types::{DocumentError, HandlerIdx};
use crate::clock::OperationId;
use crate::codec::Value;
use crate::codec::json::UnsupportedValue;

impl Document {
    pub(super) fn state(&self, handler: HandlerIdx) -> Option<&State> {
        let handler = self.handlers.get(handler.0 as usize);
        handler.map(|handler| &handler.state)
    }

    fn register(&self, handler: HandlerIdx) -> Result<&RegisterState, DocumentError> {
        match self.state(handler) {
            Some(State::Register(register)) => Ok(register),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    fn set(&self, handler: HandlerIdx) -> Result<&OrSetState, DocumentError> {
        match self.state(handler) {
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
        if self.is_tracking() {
            self.track_value(handler, op.kind, &op.body);
        }
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

    /// As [`submit_value`](Self::submit_value), for an operation that is named by a tag: this
    /// author with a tick of the clock (crdt_lf's `prepareMutation`).
    pub(super) fn submit_tagged(
        &mut self,
        handler: HandlerIdx,
        encode: impl FnOnce(&Self, OperationId) -> Result<LocalOperation, UnsupportedValue>,
    ) -> Result<(), DocumentError> {
        self.ensure_open()?;
        let clock = self.clock().local_event(self.wall_clock.now_ms());
        let op = encode(self, OperationId::new(self.peer_id(), clock))
            .map_err(|_| DocumentError::UnsupportedValue)?;
        // The tick counts only once nothing can fail any more.
        self.ensure_editable(op.body.len())?;
        self.clock = clock;
        self.submit_value(handler, op)
    }

    /// The value of a register; None before the first set.
    pub fn register_get(&self, handler: HandlerIdx) -> Option<Value> {
        self.register(handler).ok()?.get()
    }

    /// Sets a register.
    ///
    /// # Errors
    /// `UnsupportedValue` if the codec cannot carry the value; `Closed`.
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
    /// As [`register_set`](Self::register_set).
    pub fn set_add(&mut self, handler: HandlerIdx, value: &Value) -> Result<(), DocumentError> {
        self.ensure_open()?;
        self.set(handler)?;
        self.submit_tagged(handler, |document, tag| {
            let set = document.set(handler).expect("it is a set");
            set.add_operation(value, tag)
        })
    }

    /// Removes an element: the additions seen here. Concurrent additions win.
    ///
    /// # Errors
    /// As [`register_set`](Self::register_set).
    pub fn set_remove(&mut self, handler: HandlerIdx, value: &Value) -> Result<(), DocumentError> {
        let op = self
            .set(handler)?
            .remove_operation(value)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, op)
    }
}
