//! Editing and reading text. Positions and lengths are UTF-16 units, as in both wire formats.

use super::Document;
use super::handlers::fugue::FugueState;
use super::myers::{SegmentKind, diff};
use super::types::{Affinity, DocumentError, HandlerIdx};
use std::ops::Range;

impl Document {
    pub(super) fn text_state(&self, handler: HandlerIdx) -> Result<&FugueState, DocumentError> {
        self.handlers
            .get(handler.0 as usize)
            .and_then(|handler| handler.text())
            .ok_or(DocumentError::UnknownHandler)
    }

    /// Length of the text. 0 for handlers that are no text.
    pub fn text_len_utf16(&self, handler: HandlerIdx) -> u64 {
        match self.plain_text(handler) {
            Some(text) => text.len(),
            None => self
                .text_state(handler)
                .map_or(0, |text| u64::from(text.sequence.len_units())),
        }
    }

    /// Inserts text before a position.
    ///
    /// # Errors
    /// `OutOfRange` past the end; `Closed`; `Limit` for more than 2^27 units.
    pub fn text_insert(
        &mut self,
        handler: HandlerIdx,
        index_utf16: u64,
        text: &str,
    ) -> Result<(), DocumentError> {
        if let [byte @ 0..0x80] = text.as_bytes() {
            if self.type_on(handler, index_utf16, *byte) {
                return Ok(());
            }
        }
        if self.plain_text(handler).is_some() {
            let units: Vec<u16> = text.encode_utf16().collect();
            return self.plain_text_insert(handler, index_utf16, &units);
        }
        let index = self.checked_insert(handler, index_utf16, text.len())?;
        if text.is_empty() {
            return Ok(());
        }
        let (content, units) = self.log.content.push_str(text);
        self.insert_elements(handler, index, content, units)
    }

    /// As [`text_insert`](Self::text_insert); lone surrogates survive.
    pub fn text_insert_utf16(
        &mut self,
        handler: HandlerIdx,
        index_utf16: u64,
        units: &[u16],
    ) -> Result<(), DocumentError> {
        if self.plain_text(handler).is_some() {
            return self.plain_text_insert(handler, index_utf16, units);
        }
        let index = self.checked_insert(handler, index_utf16, units.len())?;
        if units.is_empty() {
            return Ok(());
        }
        let content = self.log.content.push_units(units);
        self.insert_elements(handler, index, content, units.len() as u32)
    }

    #[inline]
    fn checked_insert(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        units: usize,
    ) -> Result<u32, DocumentError> {
        self.text_state(handler)?;
        self.checked_insertion(handler, index, units, units)
    }

    /// Removes `count` units from a position on. An element of several units, which only foreign
    /// peers make, goes as a whole.
    ///
    /// # Errors
    /// `OutOfRange` past the end; `Closed`.
    pub fn text_remove(
        &mut self,
        number: HandlerIdx,
        index_utf16: u64,
        count: u64,
    ) -> Result<(), DocumentError> {
        if count == 1 && self.remove_one(number, index_utf16) {
            return Ok(());
        }
        if self.plain_text(number).is_some() {
            return self.plain_text_remove(number, index_utf16, count);
        }
        self.text_state(number)?;
        self.remove_elements(number, index_utf16, count)
    }

    /// Overwrites unit by unit: each replaced element keeps its place even if somebody else
    /// removed it meanwhile (specification 10.4). What reaches past the end is left out, as in
    /// crdt_lf.
    ///
    /// # Errors
    /// `OutOfRange` if the position is past the end; `Closed`; `Limit`.
    pub fn text_update_utf16(
        &mut self,
        number: HandlerIdx,
        index_utf16: u64,
        units: &[u16],
    ) -> Result<(), DocumentError> {
        if self.plain_text(number).is_some() {
            return self.plain_text_update(number, index_utf16, units);
        }
        let index = self.checked_insert(number, index_utf16, units.len())?;
        let content = self.log.content.push_units(units);
        self.update_elements(number, index, content, units.len() as u32)
    }

    /// Turns the text into `units` with few edits, in one transaction (crdt_lf's `change`;
    /// Myers difference).
    pub fn text_set(&mut self, number: HandlerIdx, units: &[u16]) -> Result<(), DocumentError> {
        match self.plain_text(number) {
            Some(_) => self.check_plain_insert(number, 0, units.len())?,
            None => self.checked_insert(number, 0, units.len()).map(|_| ())?,
        }
        let mut old = Vec::new();
        self.text_slice_utf16(number, 0..self.text_len_utf16(number), &mut old);
        self.transact(&[], |document| {
            let mut shift = 0i64;
            for segment in diff(&old, units) {
                let at = segment.old.start as i64 + shift;
                match segment.kind {
                    SegmentKind::Equal => (),
                    SegmentKind::Insert => {
                        document.text_insert_utf16(
                            number,
                            at as u64,
                            &units[segment.new.clone()],
                        )?;
                        shift += segment.new.len() as i64;
                    }
                    SegmentKind::Remove => {
                        document.text_remove(number, at as u64, segment.old.len() as u64)?;
                        shift -= segment.old.len() as i64;
                    }
                }
            }
            Ok(())
        })
    }

    /// Appends the units of a range to `out`; what lies past the end is left out.
    pub fn text_slice_utf16(&self, handler: HandlerIdx, range: Range<u64>, out: &mut Vec<u16>) {
        if let Some(text) = self.plain_text(handler) {
            let clip = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
            return text.rope().copy(clip(range.start)..clip(range.end), out);
        }
        let Ok(text) = self.text_state(handler) else {
            return;
        };
        let length = u64::from(text.sequence.len_units());
        let (start, end) = (range.start.min(length), range.end.min(length));
        if start < end {
            text.copy_utf16(&self.log.content, start as u32, (end - start) as u32, out);
        }
    }

    /// The whole text; lone surrogates become U+FFFD. O(length).
    pub fn text_string(&self, handler: HandlerIdx) -> String {
        match self.plain_text(handler) {
            Some(text) => text.to_utf8(),
            None => self
                .text_state(handler)
                .map_or_else(|_| String::new(), |text| text.to_utf8(&self.log.content)),
        }
    }

    /// A position that stays with its element while the text changes: the bytes of the element
    /// before the index (specification 9.9, FugueElementID).
    ///
    /// # Errors
    /// `TypeMismatch` for texts by positions, whose units have no ids.
    pub fn text_position_at(
        &self,
        handler: HandlerIdx,
        index_utf16: u64,
    ) -> Result<Vec<u8>, DocumentError> {
        self.text_position_beside(handler, index_utf16, Affinity::Before)
    }

    /// Where such a position is now. None: the element is unknown here.
    ///
    /// # Errors
    /// As [`text_position_at`](Self::text_position_at); `Decode` if the bytes are no position.
    pub fn text_position_index(
        &self,
        handler: HandlerIdx,
        position: &[u8],
    ) -> Result<Option<u64>, DocumentError> {
        self.text_position_index_beside(handler, position, Affinity::Before)
    }

    /// As [`text_position_at`](Self::text_position_at), with the element on either side.
    ///
    /// # Errors
    /// As [`text_position_at`](Self::text_position_at).
    pub fn text_position_beside(
        &self,
        handler: HandlerIdx,
        index_utf16: u64,
        affinity: Affinity,
    ) -> Result<Vec<u8>, DocumentError> {
        self.ensure_stable(handler)?;
        self.position_at(handler, index_utf16, affinity)
    }

    /// Where a position of [`text_position_beside`](Self::text_position_beside) is now, given its
    /// affinity. None: the element is unknown here.
    ///
    /// # Errors
    /// As [`text_position_index`](Self::text_position_index).
    pub fn text_position_index_beside(
        &self,
        handler: HandlerIdx,
        position: &[u8],
        affinity: Affinity,
    ) -> Result<Option<u64>, DocumentError> {
        self.ensure_stable(handler)?;
        self.position_index(handler, position, affinity)
    }

    /// Whether positions can stay at elements.
    fn ensure_stable(&self, handler: HandlerIdx) -> Result<(), DocumentError> {
        match self.plain_text(handler) {
            Some(_) => Err(DocumentError::TypeMismatch),
            None => self.text_state(handler).map(|_| ()),
        }
    }
}
