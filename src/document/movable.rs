//! Movable lists behind the interface of all lists: editing, and the updates that lost.

use super::Document;
use super::handler::State;
use super::handlers::movable_list::MovableListState;
use super::handlers::movable_list_body::MovableBody;
use super::handlers::movable_list_edit::Contest;
use super::handlers::operation::{Operation as LocalOperation, kind};
use super::log::{ChangeKey, Operation};
use super::types::{Conflict, DocumentError, HandlerIdx};
use crate::clock::OperationId;
use crate::codec::{ElementId, Envelope, Value};

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
        let op: Option<LocalOperation> = list.relocation(
            from_index,
            to_index.min(list.len() - 1),
            self.peer,
            counter,
            self.clock,
        );
        self.submit_value(handler, op.ok_or(NO_CLOCK)?)
    }

    /// See [`list_conflicts`](Self::list_conflicts).
    pub(super) fn movable_conflicts(&self, handler: HandlerIdx, index: u64) -> Vec<Conflict> {
        let contest = u32::try_from(index)
            .ok()
            .and_then(|index| self.movable(handler).ok()?.contest(index));
        let Some(contest) = contest else {
            return Vec::new();
        };
        let Contest {
            identity,
            winner,
            rivals,
        } = contest;
        // The winner's change may be covered by a snapshot; rivals that are not did not know it,
        // nor it them.
        let stored = winner.into_iter().chain(rivals);
        let keys: Vec<ChangeKey> = stored
            .filter_map(|id| self.key_of(&id))
            .filter(|key| self.log.find(*key).is_some())
            .collect();
        let newest = self.log.unknown_to_others(&keys);
        let mut conflicts: Vec<Conflict> = keys
            .into_iter()
            .zip(newest)
            .filter(|(_, newest)| *newest)
            .map(|(key, _)| self.log.operation_id(key))
            .filter(|id| Some(*id) != winner)
            .filter_map(|id| self.losing_update(handler, identity, id))
            .collect();
        conflicts.sort_by_key(|conflict| std::cmp::Reverse((conflict.clock, conflict.peer)));
        conflicts
    }

    fn losing_update(
        &self,
        handler: HandlerIdx,
        identity: Option<ElementId>,
        id: OperationId,
    ) -> Option<Conflict> {
        let place = self.log.find(self.key_of(&id)?)?;
        let codec = self.handler_codec(handler);
        let value = self.log.with_operation(place, |op| {
            let (kind, body) = match op {
                Operation::Other { kind, body } => (kind, body),
                Operation::Opaque { payload } => {
                    let envelope = Envelope::decode(payload).ok()?;
                    (envelope.kind, envelope.body)
                }
                Operation::Insert { .. } | Operation::Remove { .. } => return None,
            };
            let value = MovableBody::updated_value(body, identity);
            codec.decode(value.filter(|_| kind == kind::UPDATE)?).ok()
        })?;
        Some(Conflict {
            value,
            peer: id.peer,
            clock: id.hlc,
        })
    }
}
