//! What local calls on a movable list make of it: the bodies of operations, positions, and the
//! updates that lost (specification 9.12). Nothing here changes the list.

use super::fugue_body::COUNTER_MAX;
use super::movable_list::MovableListState;
use super::movable_list_body::{MovableBody, NewElement, ValueBytes};
use super::movable_list_rivals::Writer;
use super::operation::kind;
use crate::clock::{AuthorIdx, Hlc, OperationId, PeerId};
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
    /// The number of a peer among those of this list.
    pub(crate) fn author(&mut self, peer: PeerId) -> AuthorIdx {
        self.authors.intern(peer)
    }

    /// The next `count` counters of an author; None if there are not so many any more.
    pub(crate) fn counters(&self, author: AuthorIdx, count: usize) -> Option<u32> {
        let first = self.made.next_counter(author);
        let end = first.checked_add(count as u64)?;
        (end <= COUNTER_MAX).then_some(first as u32)
    }

    /// Appends the bytes of an operation.
    pub(crate) fn write(&self, body: &MovableBody, out: &mut Vec<u8>) {
        body.write(&self.authors, out);
    }

    /// A value as it is stored, and written.
    ///
    /// # Errors
    /// The codec cannot carry it.
    pub(crate) fn encoded(&self, value: &Value) -> Result<ValueBytes, UnsupportedValue> {
        let bytes = self.codec.encode(value)?;
        match value {
            // What others read may differ: names twice in one object, marks that are dropped.
            Value::Array(_) | Value::Object(_) | Value::Reference(_) => {
                self.codec.canonical(&bytes).map_err(|_| UnsupportedValue)
            }
            _ => Ok(bytes.into()),
        }
    }

    /// The slot at an index, and the number of the element in it. O(1) behind the one before.
    fn slot_at(&mut self, index: u32) -> Option<(ElementKey, usize)> {
        let mut found = None;
        self.slots.elements_at(index, 1, |part| {
            found = Some((part.id, part.content.offset() as usize));
        });
        found
    }

    /// The id of the slot at an index; null where there is none.
    fn origin_at(&mut self, index: Option<u32>) -> ElementKey {
        let slot = index.and_then(|index| self.slot_at(index));
        slot.map_or(ElementKey::NULL, |(id, _)| id)
    }

    /// An insertion of values before an index, which is in range; `first` are two counters each:
    /// identity, then position.
    pub(crate) fn insertion(
        &mut self,
        index: u32,
        values: Vec<ValueBytes>,
        author: AuthorIdx,
        first: u32,
    ) -> MovableBody {
        let left = self.origin_at(index.checked_sub(1));
        let right = self.origin_at(Some(index));
        let mut counter = first;
        let mut id = || {
            counter += 1;
            ElementKey {
                author,
                counter: counter - 1,
            }
        };
        let items = values.into_iter().map(|value| NewElement {
            identity: id(),
            position: id(),
            value,
        });
        MovableBody::Insert {
            left,
            right,
            items: items.collect(),
        }
    }

    /// The removal of elements, of which there are so many.
    pub(crate) fn removal(&self, index: u32, count: u32) -> MovableBody {
        let found = self.shown_from(index).take(count as usize);
        MovableBody::Delete {
            identities: found.map(|element| element.identity).collect(),
        }
    }

    /// A new value of the element at an index, which exists. None: no clock wins any more.
    pub(crate) fn update(&self, index: u32, value: ValueBytes, now: Hlc) -> Option<MovableBody> {
        let element = self.at(index)?;
        Some(MovableBody::Update {
            clock: winning_clock(now, element.value.clock)?,
            items: vec![(element.identity, value)],
        })
    }

    /// The element at `from` goes to where it has `to` others before it; both exist.
    /// None: no clock wins any more.
    pub(crate) fn relocation(
        &mut self,
        from: u32,
        to: u32,
        position: ElementKey,
        now: Hlc,
    ) -> Option<MovableBody> {
        let (_, number) = self.slot_at(from)?;
        let element = &self.elements[number];
        let (identity, known) = (element.identity, element.position.clock);
        // Among the others those behind it have one more before them.
        let other = |index: u32| index + u32::from(index >= from);
        Some(MovableBody::Move {
            identity,
            position,
            left: self.origin_at(to.checked_sub(1).map(other)),
            right: self.origin_at(Some(other(to))),
            clock: winning_clock(now, known)?,
        })
    }

    /// Who wrote the value at an index. None if there is none, or the open transaction did.
    pub(crate) fn contest(&self, index: u32) -> Option<Contest> {
        let element = self.at(index)?;
        let change = |author, clock| OperationId::new(self.authors.peer(author), clock);
        let winner = match element.value.writer {
            Writer::Change { author, clock } => Some(change(author, clock)),
            // It knows all that is here.
            Writer::Pending => return None,
            Writer::Origin => None,
        };
        let rivals = self.rivals(element.identity);
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
