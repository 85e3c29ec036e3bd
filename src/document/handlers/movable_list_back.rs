//! What it takes to take edits of a movable list back: looks at single elements, and operations
//! that name elements and slots instead of indexes. Nothing here changes the state.

use super::movable_list::MovableListState;
use super::movable_list_body::{write_delete, write_insert, write_move, write_update};
use super::movable_list_edit::winning_clock;
use super::operation::{Operation, kind};
use crate::clock::{Hlc, PeerId};
use crate::codec::{DecodeError, ElementId, Reader};
use crate::sequence::ElementKey;

/// An element that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its value, encoded.
    pub value: Box<[u8]>,
    /// When that was written, and to which element: those that were never updated share a clock.
    pub written: (ElementId, Hlc),
    pub slot: ElementId,
}

/// What an operation does to one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Insert(ElementId),
    Delete(ElementId),
    Update(ElementId),
    Move(ElementId),
}

/// The elements that a local operation touches, in order.
///
/// # Errors
/// Malformed bytes.
pub(crate) fn touches(kind: u8, body: &[u8]) -> Result<Vec<Touch>, DecodeError> {
    let mut reader = Reader::new(body);
    let reader = &mut reader;
    let mut touched = Vec::new();
    match kind {
        kind::INSERT => {
            ElementId::read(reader)?;
            ElementId::read(reader)?;
            for _ in 0..reader.count(3)? {
                touched.extend(ElementId::read(reader)?.map(Touch::Insert));
                ElementId::read(reader)?;
                reader.prefixed()?;
            }
        }
        kind::DELETE => {
            for _ in 0..reader.count(1)? {
                touched.extend(ElementId::read(reader)?.map(Touch::Delete));
            }
        }
        kind::UPDATE => {
            reader.take(8, "a clock")?;
            for _ in 0..reader.count(2)? {
                touched.extend(ElementId::read(reader)?.map(Touch::Update));
                reader.prefixed()?;
            }
        }
        kind::MOVE => touched.extend(ElementId::read(reader)?.map(Touch::Move)),
        _ => (),
    }
    Ok(touched)
}

impl MovableListState {
    fn key(&self, id: ElementId) -> Option<ElementKey> {
        Some(ElementKey {
            author: self.authors.find(&id.peer)?,
            counter: u32::try_from(id.counter).ok()?,
        })
    }

    /// An element; None if it is unknown or was deleted.
    pub(crate) fn standing(&self, identity: ElementId) -> Option<Standing> {
        let element = self.element(self.key(identity)?)?;
        let is_there = self.slots.is_deleted(element.position.content) == Some(false);
        is_there.then_some(())?;
        Some(Standing {
            value: element.value.content.clone(),
            written: (identity, element.value.clock),
            slot: self.id(element.position.content)?,
        })
    }

    /// The element before another one.
    pub(crate) fn before(&self, identity: ElementId) -> Option<ElementId> {
        let slot = self.key(self.standing(identity)?.slot)?;
        let index = self.slots.units_before(slot)?;
        self.id(self.at(index.checked_sub(1)?)?.identity)
    }

    /// Origins of what comes directly behind a slot; behind none: at the front. None: it is
    /// unknown.
    fn origins_behind(&self, slot: Option<ElementId>) -> Option<[Option<ElementId>; 2]> {
        let Some(slot) = slot else {
            let first = self.at(0).map(|element| element.position.content);
            return Some([None, first.and_then(|first| self.id(first))]);
        };
        let key = self.key(slot).filter(|key| self.slots.contains(*key))?;
        Some([Some(slot), self.id(self.slots.following(key))])
    }

    /// An insertion of one value directly behind a slot.
    pub(crate) fn insertion_behind(
        &self,
        slot: Option<ElementId>,
        value: &[u8],
        own: PeerId,
        first: u32,
    ) -> Option<Operation> {
        let mut body = Vec::new();
        let origins = self.origins_behind(slot)?;
        write_insert(origins, own, first, [value].into_iter(), &mut body);
        let kind = kind::INSERT;
        Some(Operation { kind, body })
    }

    /// The removal of elements.
    pub(crate) fn removal_of(identities: &[ElementId]) -> Operation {
        let mut body = Vec::new();
        write_delete(identities.iter().copied().map(Some), &mut body);
        let kind = kind::DELETE;
        Operation { kind, body }
    }

    /// A new value of one element. None: no clock wins any more.
    pub(crate) fn update_of(
        &self,
        identity: ElementId,
        value: &[u8],
        now: Hlc,
    ) -> Option<Operation> {
        let element = self.element(self.key(identity)?)?;
        let clock = winning_clock(now, element.value.clock)?;
        let mut body = Vec::new();
        write_update(clock, Some(identity), value, &mut body);
        let kind = kind::UPDATE;
        Some(Operation { kind, body })
    }

    /// The element goes directly behind a slot. None: no clock wins any more, or the slot is
    /// unknown.
    pub(crate) fn move_behind(
        &self,
        identity: ElementId,
        slot: ElementId,
        own: PeerId,
        counter: u32,
        now: Hlc,
    ) -> Option<Operation> {
        let element = self.element(self.key(identity)?)?;
        let clock = winning_clock(now, element.position.clock)?;
        let origins = self.origins_behind(Some(slot))?;
        let counter = u64::from(counter);
        let position = ElementId { peer: own, counter };
        let mut body = Vec::new();
        write_move(Some(identity), position, origins, clock, &mut body);
        let kind = kind::MOVE;
        Some(Operation { kind, body })
    }
}
