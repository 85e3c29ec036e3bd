//! Editing and reading lists of every kind.

use super::Document;
use super::handler::State;
use super::handlers::fugue::FugueState;
use super::handlers::fugue_body::Elements;
use super::types::{Affinity, DocumentError, HandlerIdx, ValueCodec};
use crate::codec::Value;
use crate::sequence::Content;

impl Document {
    /// The state of a Fugue list, and how its values are stored.
    fn fugue_list(&self, handler: HandlerIdx) -> Option<(&FugueState, ValueCodec)> {
        let fugue = self.fugue_state(handler).ok()?;
        match fugue.elements {
            Elements::Values(codec) => Some((fugue, codec)),
            Elements::Units => None,
        }
    }

    fn list_state(&self, handler: HandlerIdx) -> Result<&State, DocumentError> {
        let handler = self.handlers.get(handler.0 as usize);
        handler
            .map(|handler| &handler.state)
            .ok_or(DocumentError::UnknownHandler)
    }

    /// Number of elements. 0 for handlers that are no list.
    pub fn list_len(&self, handler: HandlerIdx) -> u64 {
        match self.list_state(handler) {
            Ok(State::Fugue(_)) => {
                let list = self.fugue_list(handler);
                list.map_or(0, |(fugue, _)| u64::from(fugue.sequence.len_units()))
            }
            Ok(State::MovableList(list)) => u64::from(list.len()),
            Ok(State::PlainList(list)) => list.len(),
            _ => 0,
        }
    }

    /// The element at an index. None past the end.
    pub fn list_get(&self, handler: HandlerIdx, index: u64) -> Option<Value> {
        match self.list_state(handler).ok()? {
            State::Fugue(_) => {
                let (fugue, _) = self.fugue_list(handler)?;
                let index = u32::try_from(index).ok()?;
                fugue.values(&self.log.content, index).next()
            }
            State::MovableList(list) => list.get(u32::try_from(index).ok()?),
            State::PlainList(list) => list.get(index),
            _ => None,
        }
    }

    /// The elements in order. O(n).
    pub fn list_values(&self, handler: HandlerIdx) -> Vec<Value> {
        match self.list_state(handler) {
            Ok(State::Fugue(_)) => {
                let list = self.fugue_list(handler);
                list.map_or_else(Vec::new, |(fugue, _)| {
                    fugue.values(&self.log.content, 0).collect()
                })
            }
            Ok(State::MovableList(list)) => list.values(),
            Ok(State::PlainList(list)) => list.values(),
            _ => Vec::new(),
        }
    }

    /// Inserts elements before an index, in one change; into a list by positions in one change
    /// each. A null in a Fugue list is never seen, as in crdt_lf (specification 9.11).
    ///
    /// # Errors
    /// `OutOfRange` past the end; `UnsupportedValue` if the codec cannot carry a value; `Closed`;
    /// `Limit` for more than 2^27 elements.
    pub fn list_insert(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        values: &[Value],
    ) -> Result<(), DocumentError> {
        match self.list_state(handler)? {
            State::Fugue(_) => self.fugue_list_insert(handler, index, values),
            State::MovableList(_) => self.movable_insert(handler, index, values),
            State::PlainList(_) => self.plain_list_insert(handler, index, values),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// Inserts elements at the end.
    ///
    /// # Errors
    /// As [`list_insert`](Self::list_insert).
    pub fn list_push(
        &mut self,
        handler: HandlerIdx,
        values: &[Value],
    ) -> Result<(), DocumentError> {
        self.list_insert(handler, self.list_len(handler), values)
    }

    /// Removes `count` elements from an index on.
    ///
    /// # Errors
    /// `OutOfRange` past the end; `Closed`.
    pub fn list_remove(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(), DocumentError> {
        match self.list_state(handler)? {
            State::Fugue(_) => {
                self.fugue_list(handler)
                    .ok_or(DocumentError::UnknownHandler)?;
                self.remove_elements(handler, index, count)
            }
            State::MovableList(_) => self.movable_remove(handler, index, count),
            State::PlainList(_) => self.plain_list_remove(handler, index, count),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// Replaces an element. In a Fugue list, the new one is seen even if somebody else removed the
    /// old one meanwhile (specification 10.4).
    ///
    /// # Errors
    /// `OutOfRange` if there is no such element; `UnsupportedValue`; `Closed`; `Limit`.
    pub fn list_update(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        value: &Value,
    ) -> Result<(), DocumentError> {
        match self.list_state(handler)? {
            State::Fugue(_) => self.fugue_list_update(handler, index, value),
            State::MovableList(_) => self.movable_update(handler, index, value),
            State::PlainList(_) => self.plain_list_update(handler, index, value),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// Moves an element to where it has `to` others before it; the length means the end, too, as
    /// in crdt_lf. It wins over all moves known here.
    ///
    /// # Errors
    /// `TypeMismatch` for lists whose elements cannot move; `OutOfRange` if there is no element at
    /// `from`, or `to` is past the end; `Closed`; `Limit`.
    pub fn list_move(
        &mut self,
        handler: HandlerIdx,
        from: u64,
        to: u64,
    ) -> Result<(), DocumentError> {
        match self.list_state(handler)? {
            State::MovableList(_) => self.movable_move(handler, from, to),
            State::Fugue(_) | State::PlainList(_) => Err(DocumentError::TypeMismatch),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// A position that stays with its element while the list changes: the bytes of the element
    /// before the index (specification 9.9, FugueElementID). In a movable list it follows the
    /// element where that moves.
    ///
    /// # Errors
    /// `TypeMismatch` for lists whose elements have no ids.
    pub fn list_position_at(
        &self,
        handler: HandlerIdx,
        index: u64,
    ) -> Result<Vec<u8>, DocumentError> {
        self.list_position_beside(handler, index, Affinity::Before)
    }

    /// Where such a position is now. None: the element is unknown here.
    ///
    /// # Errors
    /// As [`list_position_at`](Self::list_position_at); `Decode` for bytes that are no position.
    pub fn list_position_index(
        &self,
        handler: HandlerIdx,
        position: &[u8],
    ) -> Result<Option<u64>, DocumentError> {
        self.list_position_index_beside(handler, position, Affinity::Before)
    }

    /// As [`list_position_at`](Self::list_position_at), with the element on either side.
    ///
    /// # Errors
    /// As [`list_position_at`](Self::list_position_at).
    pub fn list_position_beside(
        &self,
        handler: HandlerIdx,
        index: u64,
        affinity: Affinity,
    ) -> Result<Vec<u8>, DocumentError> {
        match self.list_state(handler)? {
            State::Fugue(_) => {
                self.fugue_list(handler)
                    .ok_or(DocumentError::UnknownHandler)?;
                self.position_at(handler, index, affinity)
            }
            State::MovableList(list) => Ok(list.position_at(index, affinity)),
            State::PlainList(_) => Err(DocumentError::TypeMismatch),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// Where a position of [`list_position_beside`](Self::list_position_beside) is now, given its
    /// affinity. None: the element is unknown here.
    ///
    /// # Errors
    /// As [`list_position_index`](Self::list_position_index).
    pub fn list_position_index_beside(
        &self,
        handler: HandlerIdx,
        position: &[u8],
        affinity: Affinity,
    ) -> Result<Option<u64>, DocumentError> {
        match self.list_state(handler)? {
            State::Fugue(_) => {
                self.fugue_list(handler)
                    .ok_or(DocumentError::UnknownHandler)?;
                self.position_index(handler, position, affinity)
            }
            State::MovableList(list) => Ok(list.position_index(position, affinity)?),
            State::PlainList(_) => Err(DocumentError::TypeMismatch),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    fn fugue_list_insert(
        &mut self,
        number: HandlerIdx,
        index: u64,
        values: &[Value],
    ) -> Result<(), DocumentError> {
        let index = self.checked_insertion(number, index, values.len(), 0)?;
        let content = self.store_values(number, values)?;
        match values.len() {
            0 => Ok(()),
            count => self.insert_elements(number, index, content, count as u32),
        }
    }

    fn fugue_list_update(
        &mut self,
        number: HandlerIdx,
        index: u64,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let length = self.list_len(number);
        if index >= length {
            return Err(DocumentError::OutOfRange { index, length });
        }
        let index = self.checked_insertion(number, index, 1, 0)?;
        let content = self.store_values(number, std::slice::from_ref(value))?;
        self.update_elements(number, index, content, 1)
    }

    /// Adds values to the pool of content, or none of them.
    fn store_values(
        &mut self,
        number: HandlerIdx,
        values: &[Value],
    ) -> Result<Content, DocumentError> {
        let (_, codec) = self
            .fugue_list(number)
            .ok_or(DocumentError::UnknownHandler)?;
        // An update is also kept as its bytes, with two ids.
        const IDS_BYTES: usize = 64;
        let start = self.log.content.values_end();
        let mut stored = Ok(());
        for value in values {
            let pool = &mut self.log.content;
            stored = pool
                .push_written(|out| codec.write(value, out))
                .map_err(|_| DocumentError::UnsupportedValue)
                .and_then(|len| self.ensure_room(len + IDS_BYTES));
            if stored.is_err() {
                self.log.content.truncate_values(start);
                break;
            }
        }
        stored.map(|()| start)
    }
}
