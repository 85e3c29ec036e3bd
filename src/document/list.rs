//! Editing and reading lists of every kind.

use super::Document;
use super::handler::State;
use super::handlers::fugue::FugueState;
use super::handlers::fugue_body::Elements;
use super::types::{DocumentError, HandlerIdx, ValueCodec};
use crate::codec::Value;

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
            State::PlainList(_) => self.plain_list_update(handler, index, value),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// Moves an element to where it has `to` others before it.
    ///
    /// # Errors
    /// `TypeMismatch` for lists whose elements cannot move; `OutOfRange`; `Closed`; `Limit`.
    pub fn list_move(
        &mut self,
        handler: HandlerIdx,
        from: u64,
        to: u64,
    ) -> Result<(), DocumentError> {
        let _ = (from, to);
        match self.list_state(handler)? {
            State::Fugue(_) | State::PlainList(_) => Err(DocumentError::TypeMismatch),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// A position that stays behind its element while the list changes: the bytes of the element
    /// before the index (specification 9.9, FugueElementID).
    ///
    /// # Errors
    /// `TypeMismatch` for lists whose elements have no ids.
    pub fn list_position_at(
        &self,
        handler: HandlerIdx,
        index: u64,
    ) -> Result<Vec<u8>, DocumentError> {
        match self.list_state(handler)? {
            State::Fugue(_) => {
                self.fugue_list(handler)
                    .ok_or(DocumentError::UnknownHandler)?;
                self.position_at(handler, index)
            }
            State::PlainList(_) => Err(DocumentError::TypeMismatch),
            _ => Err(DocumentError::UnknownHandler),
        }
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
        match self.list_state(handler)? {
            State::Fugue(_) => {
                self.fugue_list(handler)
                    .ok_or(DocumentError::UnknownHandler)?;
                self.position_index(handler, position)
            }
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
        let bytes = self.encoded(number, values)?;
        let size = bytes.iter().map(|value| value.len() + 1).sum();
        let index = self.checked_insertion(number, index, values.len(), size)?;
        if values.is_empty() {
            return Ok(());
        }
        let content = self
            .log
            .content
            .push_values(bytes.iter().map(Vec::as_slice));
        self.insert_elements(number, index, content, values.len() as u32)
    }

    fn fugue_list_update(
        &mut self,
        number: HandlerIdx,
        index: u64,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let bytes = self.encoded(number, std::slice::from_ref(value))?;
        let length = self.list_len(number);
        if index >= length {
            return Err(DocumentError::OutOfRange { index, length });
        }
        let index = self.checked_insertion(number, index, 1, bytes[0].len() + 64)?;
        let content = self.log.content.push_value(&bytes[0]);
        self.update_elements(number, index, content, 1)
    }

    fn encoded(&self, number: HandlerIdx, values: &[Value]) -> Result<Vec<Vec<u8>>, DocumentError> {
        let (_, codec) = self
            .fugue_list(number)
            .ok_or(DocumentError::UnknownHandler)?;
        let encoded: Result<_, _> = values.iter().map(|value| codec.encode(value)).collect();
        encoded.map_err(|_| DocumentError::UnsupportedValue)
    }
}
