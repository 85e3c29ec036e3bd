//! Movable lists behind the interface of all lists: editing.

use super::Document;
use super::handler::State;
use super::handlers::movable_list::MovableListState;
use super::handlers::movable_list_body::MovableBody;
use super::log::Operation;
use super::transaction::QueuedOp;
use super::types::{DocumentError, HandlerIdx, Origin};
use crate::clock::AuthorIdx;
use crate::codec::Value;
use crate::sequence::ElementKey;

const NO_CLOCK: DocumentError = DocumentError::Limit("the clock of this element is at its end");

/// Whether `count` elements begin at the index; the index as the list has it.
fn range(list: &MovableListState, index: u64, count: u64) -> Result<u32, DocumentError> {
    let length = u64::from(list.len());
    match index.checked_add(count) {
        Some(end) if end <= length => Ok(index as u32),
        _ => Err(DocumentError::OutOfRange { index, length }),
    }
}

fn counters(
    list: &MovableListState,
    author: AuthorIdx,
    count: usize,
) -> Result<u32, DocumentError> {
    list.counters(author, count)
        .ok_or(DocumentError::Limit("2^32 element ids of one peer"))
}

impl Document {
    /// A movable list, and the number of this replica's peer in it.
    pub(super) fn movable(
        &mut self,
        handler: HandlerIdx,
    ) -> Result<(&mut MovableListState, AuthorIdx), DocumentError> {
        self.ensure_open()?;
        let handler = self.handlers.get_mut(handler.0 as usize);
        match handler.map(|handler| &mut handler.state) {
            Some(State::MovableList(list)) => {
                let author = list.author(self.peer);
                Ok((list, author))
            }
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// See [`list_insert`](Self::list_insert).
    pub(super) fn movable_insert(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        values: &[Value],
    ) -> Result<(), DocumentError> {
        let (list, author) = self.movable(handler)?;
        let index = range(list, index, 0)?;
        if values.is_empty() {
            return Ok(());
        }
        let first = counters(list, author, values.len().saturating_mul(2))?;
        let values: Result<_, _> = values.iter().map(|value| list.encoded(value)).collect();
        let values = values.map_err(|_| DocumentError::UnsupportedValue)?;
        let body = list.insertion(index, values, author, first);
        self.submit_movable(handler, author, body)
    }

    /// See [`list_remove`](Self::list_remove).
    pub(super) fn movable_remove(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(), DocumentError> {
        let (list, author) = self.movable(handler)?;
        let index = range(list, index, count)?;
        if count == 0 {
            return Ok(());
        }
        let body = list.removal(index, count as u32);
        self.submit_movable(handler, author, body)
    }

    /// See [`list_update`](Self::list_update). It wins over all updates known here, those of the
    /// open transaction too.
    pub(super) fn movable_update(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let now = self.clock;
        let (list, author) = self.movable(handler)?;
        let index = range(list, index, 1)?;
        let value = list.encoded(value);
        let value = value.map_err(|_| DocumentError::UnsupportedValue)?;
        let body = list.update(index, value, now).ok_or(NO_CLOCK)?;
        self.submit_movable(handler, author, body)
    }

    /// See [`list_move`](Self::list_move).
    pub(super) fn movable_move(
        &mut self,
        handler: HandlerIdx,
        from: u64,
        to: u64,
    ) -> Result<(), DocumentError> {
        let now = self.clock;
        let (list, author) = self.movable(handler)?;
        let (from_index, to_index) = (range(list, from, 1)?, range(list, to, 0)?);
        if from == to {
            return Ok(());
        }
        let position = ElementKey {
            author,
            counter: counters(list, author, 1)?,
        };
        let to_index = to_index.min(list.len() - 1);
        let body = list.relocation(from_index, to_index, position, now);
        self.submit_movable(handler, author, body.ok_or(NO_CLOCK)?)
    }

    /// Queues or commits a local operation and shows it. Its ids were just made or are known: there
    /// is nothing to read back from its bytes.
    pub(super) fn submit_movable(
        &mut self,
        number: HandlerIdx,
        author: AuthorIdx,
        body: MovableBody,
    ) -> Result<(), DocumentError> {
        let mut bytes = Vec::with_capacity(128);
        let (list, _) = self.movable(number)?;
        list.write(&body, &mut bytes);
        self.ensure_editable(bytes.len())?;
        self.record(number, false);
        if self.is_tracking() {
            self.track_value(number, body.kind(), &bytes);
        }
        let (start, kind) = (self.log.change_count(), body.kind());
        let is_open = self.in_transaction();
        if !is_open {
            let op = Operation::Other { kind, body: &bytes };
            self.commit_operation(number, op);
        }
        let handler = &mut self.handlers[number.0 as usize];
        let State::MovableList(list) = &mut handler.state else {
            return Err(DocumentError::UnknownHandler);
        };
        let delta = handler.recorder.list();
        if is_open {
            list.fold_pending(body, delta);
            self.submit(number, QueuedOp::Bytes { kind, body: bytes });
        } else {
            list.fold_change(body, author, handler.newest_own, delta);
            if self.recording || self.is_tracking() {
                self.note(Origin::Local, &[], start, false);
            }
        }
        Ok(())
    }
}
