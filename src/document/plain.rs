//! Editing text and lists by position (specification 9.3, 9.4). What crdt_lf writes is written,
//! calls without any effect included; indexes past the end, which it accepts, are refused.

use super::Document;
use super::handler::State;
use super::handlers::plain_list::PlainListState;
use super::handlers::plain_text::PlainTextState;
use super::types::{DocumentError, HandlerIdx};
use crate::codec::Value;
use crate::sequence::UNITS_MAX;

impl Document {
    /// The state of a text by positions.
    #[inline]
    pub(super) fn plain_text(&self, handler: HandlerIdx) -> Option<&PlainTextState> {
        match &self.handlers.get(handler.0 as usize)?.state {
            State::PlainText(text) => Some(text),
            _ => None,
        }
    }

    /// Whether so many units can be inserted before a position, or written over what is there.
    pub(super) fn check_plain_insert(
        &self,
        handler: HandlerIdx,
        index: u64,
        units: usize,
    ) -> Result<(), DocumentError> {
        self.ensure_open()?;
        let length = self.text_len_utf16(handler);
        if index > length {
            return Err(DocumentError::OutOfRange { index, length });
        }
        if units > UNITS_MAX as usize || length + units as u64 >= 1 << 31 {
            return Err(DocumentError::Limit(
                "2^27 units in one insertion, 2^31 in one text",
            ));
        }
        // A unit takes three bytes at most.
        self.ensure_editable(units * 3)
    }

    pub(super) fn plain_text_insert(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        units: &[u16],
    ) -> Result<(), DocumentError> {
        self.check_plain_insert(handler, index, units.len())?;
        self.submit_value(handler, PlainTextState::insert(index, units))
    }

    pub(super) fn plain_text_update(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        units: &[u16],
    ) -> Result<(), DocumentError> {
        self.check_plain_insert(handler, index, units.len())?;
        self.submit_value(handler, PlainTextState::update(index, units))
    }

    pub(super) fn plain_text_remove(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(), DocumentError> {
        self.ensure_open()?;
        ensure_within(index, count, self.text_len_utf16(handler))?;
        self.submit_value(handler, PlainTextState::remove(index, count))
    }

    fn plain_list(&self, handler: HandlerIdx) -> Result<&PlainListState, DocumentError> {
        match self.handlers.get(handler.0 as usize).map(|it| &it.state) {
            Some(State::PlainList(list)) => Ok(list),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    /// One change for each value: crdt_lf has no other form.
    pub(super) fn plain_list_insert(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        values: &[Value],
    ) -> Result<(), DocumentError> {
        self.ensure_open()?;
        let list = self.plain_list(handler)?;
        ensure_within(index, 0, list.len())?;
        let operations: Result<Vec<_>, _> = (index..)
            .zip(values)
            .map(|(index, value)| list.insert(index, value))
            .collect();
        let mut operations = operations.map_err(|_| DocumentError::UnsupportedValue)?;
        if operations.len() == 1 {
            // Without the detour of a transaction.
            return self.submit_value(handler, operations.remove(0));
        }
        let bytes = operations
            .iter()
            .map(|operation| operation.body.len())
            .sum();
        self.ensure_editable(bytes)?;
        self.transact(&[], |document| {
            operations
                .into_iter()
                .try_for_each(|operation| document.submit_value(handler, operation))
        })
    }

    pub(super) fn plain_list_update(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let list = self.plain_list(handler)?;
        let length = list.len();
        if index >= length {
            return Err(DocumentError::OutOfRange { index, length });
        }
        let operation = list
            .update(index, value)
            .map_err(|_| DocumentError::UnsupportedValue)?;
        self.submit_value(handler, operation)
    }

    pub(super) fn plain_list_remove(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(), DocumentError> {
        ensure_within(index, count, self.plain_list(handler)?.len())?;
        self.submit_value(handler, PlainListState::remove(index, count))
    }
}

/// Whether `count` elements exist from `index` on.
fn ensure_within(index: u64, count: u64, length: u64) -> Result<(), DocumentError> {
    match index.checked_add(count) {
        Some(end) if end <= length => Ok(()),
        end => Err(DocumentError::OutOfRange {
            index: end.unwrap_or(u64::MAX),
            length,
        }),
    }
}
