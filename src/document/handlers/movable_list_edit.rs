//! What local calls on a movable list make of it: the bodies of operations, positions, and the
//! updates that lost (specification 9.12). Nothing here changes the state.

use super::fugue_body::COUNTER_MAX;
use super::movable_list::{MovableListState, Writer};
use super::movable_list_body::{MovableBody, write_delete, write_insert, write_move, write_update};
use super::operation::{Operation, kind};
use crate::clock::{Hlc, OperationId, PeerId};
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, ElementId, Value};
use crate::document::Affinity;
use crate::sequence::ElementKey;

/// An element whose value several authors wrote.
pub(crate) struct Contest {
    /// The element.
    pub identity: Option<ElementId>,
    /// The change that gave it its value, if that is known.
    pub winner: Option<OperationId>,
    /// The last updates of others; the winner's author may have known them.
    pub rivals: Vec<OperationId>,
}

impl MovableListState {
    /// The id of the slot at an index; None where there is none.
    fn slot_id(&self, index: Option<u32>) -> Option<ElementId> {
        self.id(self.at(index?)?.position.content)
    }

    /// The next `count` counters of a peer; None if there are not so many any more.
    pub(crate) fn counters(&self, own: PeerId, count: u32) -> Option<u32> {
        let author = self.authors.find(&own);
        let first = author.map_or(0, |author| self.made.next_counter(author));
        let end = first.checked_add(u64::from(count))?;
        (end <= COUNTER_MAX).then_some(first as u32)
    }

    /// An insertion of `values` before an index, which is in range, with two counters each.
    ///
    /// # Errors
    /// The codec cannot carry a value.
    pub(crate) fn insertion(
        &self,
        index: u32,
        values: &[Value],
        own: PeerId,
        first: u32,
    ) -> Result<Operation, UnsupportedValue> {
        let values: Result<Vec<Vec<u8>>, _> = values
            .iter()
            .map(|value| self.codec.encode(value))
            .collect();
        let origins = [
            self.slot_id(index.checked_sub(1)),
            self.slot_id(Some(index)),
        ];
        let mut body = Vec::new();
        write_insert(
            origins,
            own,
            first,
            values?.iter().map(Vec::as_slice),
            &mut body,
        );
        Ok(Operation {
            kind: kind::INSERT,
            body,
        })
    }

    /// The removal of elements, of which there are so many.
    pub(crate) fn removal(&self, index: u32, count: u32) -> Operation {
        let found = self.shown_from(index).take(count as usize);
        let identities: Vec<_> = found.map(|element| self.id(element.identity)).collect();
        let mut body = Vec::new();
        write_delete(identities.into_iter(), &mut body);
        Operation {
            kind: kind::DELETE,
            body,
        }
    }

    /// A new value of the element at an index, which exists. None: no clock wins any more.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn update(
        &self,
        index: u32,
        value: &Value,
        now: Hlc,
    ) -> Result<Option<Operation>, UnsupportedValue> {
        let value = self.codec.encode(value)?;
        let operation = self.at(index).and_then(|element| {
            let mut body = Vec::new();
            let clock = winning_clock(now, element.value.clock)?;
            write_update(clock, self.id(element.identity), &value, &mut body);
            Some(Operation {
                kind: kind::UPDATE,
                body,
            })
        });
        Ok(operation)
    }

    /// The element at `from` goes to where it has `to` others before it; both exist.
    /// None: no clock wins any more.
    pub(crate) fn relocation(
        &self,
        from: u32,
        to: u32,
        own: PeerId,
        counter: u32,
        now: Hlc,
    ) -> Option<Operation> {
        let element = self.at(from)?;
        let clock = winning_clock(now, element.position.clock)?;
        // Among the others those behind it have one more before them.
        let other = |index: u32| index + u32::from(index >= from);
        let origins = [
            self.slot_id(to.checked_sub(1).map(other)),
            self.slot_id(Some(other(to))),
        ];
        let position = ElementId {
            peer: own,
            counter: u64::from(counter),
        };
        let mut body = Vec::new();
        write_move(
            self.id(element.identity),
            position,
            origins,
            clock,
            &mut body,
        );
        Some(Operation {
            kind: kind::MOVE,
            body,
        })
    }

    /// Who wrote the value at an index; None if nobody else did.
    pub(crate) fn contest(&self, index: u32) -> Option<Contest> {
        let element = self.at(index)?;
        let change = |author, clock| OperationId::new(self.authors.peer(author), clock);
        let winner = match element.value.writer {
            Writer::Change { author, clock } => Some(change(author, clock)),
            // It knows all that is here.
            Writer::Pending => return None,
            Writer::Origin => None,
        };
        let rivals = self.rivals(element.identity)?;
        let rivals = rivals.iter().map(|(author, clock)| change(*author, *clock));
        Some(Contest {
            identity: self.id(element.identity),
            winner,
            rivals: rivals.collect(),
        })
    }

    /// The value that the body of an update has for an element.
    pub(crate) fn value_of(
        &self,
        identity: Option<ElementId>,
        kind: u8,
        body: &[u8],
    ) -> Option<Value> {
        let value = (kind == kind::UPDATE).then(|| MovableBody::updated_value(body, identity));
        self.codec.decode(value??).ok()
    }

    /// A position that follows the element beside an index: its identity.
    pub(crate) fn position_at(&self, index: u64, affinity: Affinity) -> Vec<u8> {
        let index = index.min(u64::from(self.len())) as u32;
        let element = match affinity {
            Affinity::Before => index.checked_sub(1).and_then(|before| self.at(before)),
            Affinity::After => self.at(index),
        };
        let mut bytes = Vec::new();
        ElementId::write(
            element.and_then(|element| self.id(element.identity)),
            &mut bytes,
        );
        bytes
    }

    /// Where a position is now; None if its element is unknown.
    ///
    /// # Errors
    /// The bytes are no position.
    pub(crate) fn position_index(
        &self,
        position: &[u8],
        affinity: Affinity,
    ) -> Result<Option<u64>, DecodeError> {
        let Some(id) = ElementId::decode(position)? else {
            return Ok(Some(match affinity {
                Affinity::Before => 0,
                Affinity::After => u64::from(self.len()),
            }));
        };
        let author = self.authors.find(&id.peer);
        let key = author.zip(u32::try_from(id.counter).ok());
        let element =
            key.and_then(|(author, counter)| self.element(ElementKey { author, counter }));
        let index = element.and_then(|element| match affinity {
            Affinity::Before => self.slots.units_through(element.position.content),
            Affinity::After => self.slots.units_before(element.position.content),
        });
        Ok(index.map(u64::from))
    }
}

/// The clock of a write: the document's, unless that would lose (defect 13.12). None if no clock
/// wins.
pub(super) fn winning_clock(now: Hlc, known: Hlc) -> Option<Hlc> {
    // Without wall time a local event is the next clock.
    let next = known.local_event(0);
    (next > known).then_some(now.max(next))
}
