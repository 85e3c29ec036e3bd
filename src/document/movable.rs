//! Movable lists behind the interface of all lists: editing.

use super::Document;
use super::handler::State;
use super::handlers::movable_list::MovableListState;
use super::types::{DocumentError, HandlerIdx};
use crate::codec::Value;

const NO_CLOCK: DocumentError = DocumentError::Limit("the clock of this element is at its end");

impl Document {
    fn movable(&self, handler: HandlerIdx) -> Result<&MovableListState, DocumentError> {
        match self
            .handlers
            .get(handler.0 as usize)
            .map(|handler| &handler.state)
        {
            Some(State::MovableList(list)) => Ok(list),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// The list, and an index in it at which `count` elements begin.
    fn movable_range(
        &self,
        handler: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(&MovableListState, u32), DocumentError> {
        let list = self.movable(handler)?;
        let length = u64::from(list.len());
        match index.checked_add(count) {
            Some(end) if end <= length => Ok((list, index as u32)),
            _ => Err(DocumentError::OutOfRange { index, length }),
        }
    }

    fn movable_counters(
        &self,
        list: &MovableListState,
        count: usize,
    ) -> Result<u32, DocumentError> {
        u32::try_from(count)
            .ok()
            .and_then(|count| list.counters(self.peer, count))
            .ok_or(DocumentError::Limit("2^32 element ids of one peer"))
    }

    /// See [`list_insert`](Self::list_insert).
    pub(super) fn movable_insert(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        values: &[Value],
    ) -> Result<(), DocumentError> {
        let (list, index) = self.movable_range(handler, index, 0)?;
        if values.is_empty() {
            return self.ensure_open();
        }
        let first = self.movable_counters(list, values.len().saturating_mul(2))?;
        let op = list
            .insertion(index, values, self.peer, first)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, op)
    }

    /// See [`list_remove`](Self::list_remove).
    pub(super) fn movable_remove(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(), DocumentError> {
        let (list, index) = self.movable_range(handler, index, count)?;
        if count == 0 {
            return self.ensure_open();
        }
        let op = list.removal(index, count as u32);
        self.submit_value(handler, op)
    }

    /// See [`list_update`](Self::list_update). It wins over all updates known here, those of the open
    /// transaction too.
    pub(super) fn movable_update(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let (list, index) = self.movable_range(handler, index, 1)?;
        let op = list
            .update(index, value, self.clock)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, op.ok_or(NO_CLOCK)?)
    }

    /// See [`list_move`](Self::list_move).
    pub(super) fn movable_move(
        &mut self,
        handler: HandlerIdx,
        from: u64,
        to: u64,
    ) -> Result<(), DocumentError> {
        let (_, to_index) = self.movable_range(handler, to, 0)?;
        let (list, from_index) = self.movable_range(handler, from, 1)?;
        if from == to {
            return self.ensure_open();
        }
        let counter = self.movable_counters(list, 1)?;
        let op = list.relocation(
            from_index,
            to_index.min(list.len() - 1),
            self.peer,
            counter,
            self.clock,
        );
        self.submit_value(handler, op.ok_or(NO_CLOCK)?)
    }
}
