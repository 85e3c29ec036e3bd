//! Local edits and positions of Fugue sequences: what texts and lists share. Positions and lengths
//! are UTF-16 units or values.

use super::Document;
use super::handler::State;
use super::handlers::fugue::{FugueSink, FugueState};
use super::handlers::fugue_body::{FugueBody, Item, write_update};
use super::log::{Operation, Spans};
use super::transaction::QueuedOp;
use super::types::{Affinity, DocumentError, HandlerIdx};
use crate::codec::ElementId;
use crate::sequence::{Chain, Content, ElementKey, Inserted, Removed, UNITS_MAX};

impl Document {
    pub(super) fn fugue_state(&self, handler: HandlerIdx) -> Result<&FugueState, DocumentError> {
        self.handlers
            .get(handler.0 as usize)
            .and_then(|handler| handler.fugue())
            .ok_or(DocumentError::UnknownHandler)
    }

    /// Hands a sequence to `body`, and where it reports.
    #[inline]
    pub(super) fn with_fugue<R>(
        &mut self,
        number: HandlerIdx,
        body: impl FnOnce(&mut FugueState, &mut FugueSink<'_>) -> R,
    ) -> Option<R> {
        self.handlers[number.0 as usize].with_fugue(&self.log, self.own, body)
    }

    /// Whether `count` elements of so many bytes may be inserted at a position; gives the position.
    #[inline]
    pub(super) fn checked_insertion(
        &mut self,
        handler: HandlerIdx,
        index: u64,
        count: usize,
        bytes: usize,
    ) -> Result<u32, DocumentError> {
        self.ensure_open()?;
        let fugue = self.fugue_state(handler)?;
        let length = u64::from(fugue.sequence.len_units());
        if index > length {
            return Err(DocumentError::OutOfRange { index, length });
        }
        let counter_left = u64::from(u32::MAX - fugue.next_counter);
        if count > UNITS_MAX as usize
            || count as u64 >= counter_left
            || length + count as u64 >= 1 << 31
        {
            return Err(DocumentError::Limit(
                "2^27 units in one insertion, 2^31 in one text",
            ));
        }
        self.ensure_editable(bytes)?;
        Ok(index as u32)
    }

    /// Inserts `count` new elements, whose content is in the pool, before a position.
    #[inline]
    pub(super) fn insert_elements(
        &mut self,
        number: HandlerIdx,
        index: u32,
        content: Content,
        count: u32,
    ) -> Result<(), DocumentError> {
        self.record(number, false);
        let author = self.own;
        let inserted = self.with_fugue(number, |fugue, sink| {
            let id = ElementKey {
                author,
                counter: fugue.next_counter,
            };
            let chain = Chain {
                id,
                len: count,
                units: count,
                content,
                left: ElementKey::NULL,
                right: ElementKey::NULL,
            };
            let inserted = fugue.sequence.insert_local(index, chain);
            fugue.next_counter += count;
            sink.appeared(fugue.elements, inserted.unit, content, count);
            fugue.hide_nulls(id, count, content, sink);
            (id, inserted)
        });
        let (id, inserted) = inserted.ok_or(DocumentError::UnknownHandler)?;
        let Inserted { left, right, .. } = inserted;
        if self.is_tracking() {
            self.track_made(number, id, count);
        }
        self.submit_fugue(
            number,
            Operation::Insert {
                first: id.counter,
                len: count,
                left,
                right,
                content,
            },
        );
        Ok(())
    }

    /// Removes what is at `count` positions from one on. An element of several units, which only
    /// foreign peers make, goes as a whole.
    pub(super) fn remove_elements(
        &mut self,
        number: HandlerIdx,
        index: u64,
        count: u64,
    ) -> Result<(), DocumentError> {
        let (index, count) = self.checked_range(number, index, count)?;
        if count == 0 {
            return Ok(());
        }
        self.ensure_editable(0)?;
        self.record(number, false);
        let mut spans = Spans::default();
        let is_tracking = self.is_tracking();
        let mut tracked = Vec::new();
        let left = self.with_fugue(number, |fugue, sink| {
            let elements = fugue.elements;
            let removed = |unit, removed: Removed| {
                sink.vanished(elements, unit, removed);
                spans.add(removed.id, removed.len);
                if is_tracking {
                    tracked.push(removed);
                }
            };
            fugue.sequence.remove_local(index, count, removed);
            is_tracking.then(|| fugue.sequence.element_before(index))
        });
        if let Some(left) = left.flatten() {
            self.track_removed(number, left, &tracked);
        }
        self.submit_fugue(
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
        let length = u64::from(self.fugue_state(number)?.sequence.len_units());
        match index.checked_add(count) {
            Some(end) if end <= length => Ok((index as u32, count as u32)),
            _ => Err(DocumentError::OutOfRange {
                index: index.saturating_add(count),
                length,
            }),
        }
    }

    /// Replaces the elements at `count` positions by new ones, whose content is in the pool; what
    /// reaches past the end is left out (specification 10.4).
    pub(super) fn update_elements(
        &mut self,
        number: HandlerIdx,
        index: u32,
        content: Content,
        count: u32,
    ) -> Result<(), DocumentError> {
        let mut new = Item {
            id: ElementKey {
                author: self.own,
                counter: self.fugue_state(number)?.next_counter,
            },
            content,
            units: 1,
        };
        let State::Fugue(fugue) = &mut self.handlers[number.0 as usize].state else {
            return Err(DocumentError::UnknownHandler);
        };
        let first = new.id;
        let (mut items, mut replaced) = (Vec::new(), Vec::new());
        fugue.sequence.elements_at(index, count, |part| {
            replaced.push(part);
            for old in (0..part.len).map(|nth| part.id.plus(nth)) {
                items.push((old, new));
                new.id = new.id.plus(1);
                new.content = new.content.plus(1);
            }
        });
        if items.is_empty() {
            return Ok(());
        }
        if self.is_tracking() {
            let left = self.fugue_state(number)?.sequence.element_before(index);
            self.track_removed(number, left, &replaced);
            self.track_made(number, first, items.len() as u32);
        }
        let mut body = Vec::new();
        write_update(&items, &self.log, &mut body);
        let decoded = FugueBody::Update { items };
        self.record(number, false);
        self.with_fugue(number, |fugue, sink| fugue.apply(&decoded, sink));
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

    /// The bytes of the element beside a position (specification 9.9, FugueElementID).
    pub(super) fn position_at(
        &self,
        handler: HandlerIdx,
        index: u64,
        affinity: Affinity,
    ) -> Result<Vec<u8>, DocumentError> {
        let sequence = &self.fugue_state(handler)?.sequence;
        let length = sequence.len_units();
        let index = index.min(u64::from(length)) as u32;
        let element = match affinity {
            Affinity::Before => sequence.element_before(index),
            Affinity::After if index < length => sequence.element_before(index + 1),
            Affinity::After => ElementKey::NULL,
        };
        let mut bytes = Vec::new();
        self.log.write_element(element, &mut bytes);
        Ok(bytes)
    }

    /// The position beside such an element, or where it was. None: it is unknown here.
    pub(super) fn position_index(
        &self,
        handler: HandlerIdx,
        position: &[u8],
        affinity: Affinity,
    ) -> Result<Option<u64>, DocumentError> {
        let sequence = &self.fugue_state(handler)?.sequence;
        let Some(id) = ElementId::decode(position)? else {
            return Ok(Some(match affinity {
                Affinity::Before => 0,
                Affinity::After => u64::from(sequence.len_units()),
            }));
        };
        let (Some(author), Ok(counter)) =
            (self.log.authors.find(&id.peer), u32::try_from(id.counter))
        else {
            return Ok(None);
        };
        let key = ElementKey { author, counter };
        let index = match affinity {
            Affinity::Before => sequence.units_through(key),
            Affinity::After => sequence.units_before(key),
        };
        Ok(index.map(u64::from))
    }
}
