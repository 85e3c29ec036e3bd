//! Editing and reading text. Positions and lengths are UTF-16 units, as in both wire formats.

use super::Document;
use super::content::ContentPool;
use super::delta::TextDelta;
use super::handler::{Recorder, State};
use super::handlers::fugue::FugueState;
use super::handlers::fugue_body::{FugueBody, Item, write_update};
use super::log::{Operation, Spans};
use super::myers::{SegmentKind, diff};
use super::transaction::QueuedOp;
use super::types::{DocumentError, HandlerIdx};
use crate::codec::ElementId;
use crate::sequence::{Chain, Content, ElementKey, Inserted, UNITS_MAX};
use std::ops::Range;

impl Document {
    fn text_state(&self, handler: HandlerIdx) -> Result<&FugueState, DocumentError> {
        self.handlers
            .get(handler.0 as usize)
            .and_then(|handler| handler.text())
            .ok_or(DocumentError::UnknownHandler)
    }

    /// Length of the text. 0 for handlers that are no text.
    pub fn text_len_utf16(&self, handler: HandlerIdx) -> u64 {
        self.text_state(handler)
            .map_or(0, |text| u64::from(text.sequence.len_units()))
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
        let index = self.checked_insert(handler, index_utf16, text.len())?;
        if text.is_empty() {
            return Ok(());
        }
        let (content, units) = self.log.content.push_str(text);
        self.insert_content(handler, index, content, units)
    }

    /// As [`text_insert`](Self::text_insert); lone surrogates survive.
    pub fn text_insert_utf16(
        &mut self,
        handler: HandlerIdx,
        index_utf16: u64,
        units: &[u16],
    ) -> Result<(), DocumentError> {
        let index = self.checked_insert(handler, index_utf16, units.len())?;
        if units.is_empty() {
            return Ok(());
        }
        let content = self.log.content.push_units(units);
        self.insert_content(handler, index, content, units.len() as u32)
    }

    #[inline]
    fn checked_insert(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        units: usize,
    ) -> Result<u32, DocumentError> {
        self.ensure_open()?;
        let text = self.text_state(handler)?;
        let length = u64::from(text.sequence.len_units());
        if index > length {
            return Err(DocumentError::OutOfRange { index, length });
        }
        let counter_left = u64::from(u32::MAX - text.next_counter);
        if units > UNITS_MAX as usize
            || units as u64 >= counter_left
            || length + units as u64 >= 1 << 31
        {
            return Err(DocumentError::Limit(
                "2^27 units in one insertion, 2^31 in one text",
            ));
        }
        self.ensure_editable(units)?;
        Ok(index as u32)
    }

    #[inline]
    fn insert_content(
        &mut self,
        number: HandlerIdx,
        index: u32,
        content: Content,
        units: u32,
    ) -> Result<(), DocumentError> {
        self.record(number, false);
        let own = self.own;
        let handler = &mut self.handlers[number.0 as usize];
        let State::Fugue(text) = &mut handler.state else {
            return Err(DocumentError::UnknownHandler);
        };
        let id = ElementKey {
            author: own,
            counter: text.next_counter,
        };
        let chain = Chain {
            id,
            len: units,
            units,
            content,
            left: ElementKey::NULL,
            right: ElementKey::NULL,
        };
        let Inserted { left, right, unit } = text.sequence.insert_local(index, chain);
        text.next_counter += units;
        if let Recorder::Text(delta) = &mut handler.recorder {
            record_insertion(delta, unit, content, units, &self.log.content);
        }
        self.submit_text(
            number,
            Operation::Insert {
                first: id.counter,
                len: units,
                left,
                right,
                content,
            },
        );
        Ok(())
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
        let (index, count) = self.checked_range(number, index_utf16, count)?;
        if count == 0 {
            return Ok(());
        }
        self.ensure_editable(0)?;
        self.record(number, false);
        let handler = &mut self.handlers[number.0 as usize];
        let State::Fugue(text) = &mut handler.state else {
            return Err(DocumentError::UnknownHandler);
        };
        let mut spans = Spans::default();
        let recorder = &mut handler.recorder;
        text.sequence.remove_local(index, count, |unit, removed| {
            if let Recorder::Text(delta) = recorder {
                delta.remove(unit, removed.units);
            }
            spans.add(removed.id, removed.len);
        });
        self.submit_text(
            number,
            Operation::Remove {
                spans: spans.as_slice(),
            },
        );
        Ok(())
    }

    fn checked_range(
        &mut self,
        number: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(u32, u32), DocumentError> {
        self.ensure_open()?;
        let length = u64::from(self.text_state(number)?.sequence.len_units());
        match index.checked_add(count) {
            Some(end) if end <= length => Ok((index as u32, count as u32)),
            _ => Err(DocumentError::OutOfRange {
                index: index.saturating_add(count),
                length,
            }),
        }
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
        let index = self.checked_insert(number, index_utf16, units.len())?;
        let targets = self.elements_from(number, index, units.len() as u32)?;
        let mut next = ElementKey {
            author: self.own,
            counter: self.text_state(number)?.next_counter,
        };
        let mut items = Vec::with_capacity(targets.len());
        for (old, unit) in targets.into_iter().zip(units) {
            items.push((old, next, *unit));
            next = next.plus(1);
        }
        if items.is_empty() {
            return Ok(());
        }
        let mut body = Vec::new();
        write_update(
            &items,
            |key, out| self.log.write_element(key, out),
            &mut body,
        );
        let units: Vec<u16> = items.iter().map(|(.., unit)| *unit).collect();
        let content = self.log.content.push_units(&units);
        let decoded = items.iter().enumerate().map(|(nth, (old, new, _))| {
            (
                *old,
                Item {
                    id: *new,
                    content: content.plus(nth as u32),
                    units: 1,
                },
            )
        });
        let decoded = FugueBody::Update {
            items: decoded.collect(),
        };
        self.record(number, false);
        self.handlers[number.0 as usize].fold_pending_text(&decoded, &self.log, self.own);
        self.submit(
            number,
            QueuedOp::FugueBytes {
                kind: 2,
                body,
                decoded,
            },
        );
        Ok(())
    }

    fn elements_from(
        &mut self,
        number: HandlerIdx,
        index: u32,
        count: u32,
    ) -> Result<Vec<ElementKey>, DocumentError> {
        let State::Fugue(text) = &mut self.handlers[number.0 as usize].state else {
            return Err(DocumentError::UnknownHandler);
        };
        let mut found = Vec::new();
        text.sequence.elements_at(index, count, |part| {
            found.extend((0..part.len).map(|nth| part.id.plus(nth)))
        });
        Ok(found)
    }

    /// Turns the text into `units` with few edits, in one transaction (crdt_lf's `change`;
    /// Myers difference).
    pub fn text_set(&mut self, number: HandlerIdx, units: &[u16]) -> Result<(), DocumentError> {
        self.checked_insert(number, 0, units.len())?;
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
        self.text_state(handler)
            .map_or_else(|_| String::new(), |text| text.to_utf8(&self.log.content))
    }

    /// A position that stays at its element while the text changes: the bytes of the element
    /// before the index (specification 9.9, FugueElementID).
    pub fn text_position_at(
        &self,
        handler: HandlerIdx,
        index_utf16: u64,
    ) -> Result<Vec<u8>, DocumentError> {
        let text = self.text_state(handler)?;
        let index = index_utf16.min(u64::from(text.sequence.len_units())) as u32;
        let mut bytes = Vec::new();
        self.log
            .write_element(text.sequence.element_before(index), &mut bytes);
        Ok(bytes)
    }

    /// Where such a position is now. None: the element is unknown here.
    pub fn text_position_index(
        &self,
        handler: HandlerIdx,
        position: &[u8],
    ) -> Result<Option<u64>, DocumentError> {
        let text = self.text_state(handler)?;
        let Some(id) = ElementId::decode(position)? else {
            return Ok(Some(0));
        };
        let (Some(author), Ok(counter)) =
            (self.log.authors.find(&id.peer), u32::try_from(id.counter))
        else {
            return Ok(None);
        };
        Ok(text
            .sequence
            .units_through(ElementKey { author, counter })
            .map(u64::from))
    }
}

/// Out of the way of the edits that nobody observes.
#[inline(never)]
fn record_insertion(
    delta: &mut TextDelta,
    unit: u32,
    content: Content,
    units: u32,
    pool: &ContentPool,
) {
    let mut inserted = Vec::with_capacity(units as usize);
    pool.copy_utf16(content, units, &mut inserted);
    delta.insert(unit, &inserted);
}
