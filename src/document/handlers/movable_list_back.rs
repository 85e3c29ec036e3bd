//! What it takes to take edits of a movable list back: looks at single elements, and operations
//! that name elements and slots instead of indexes. Nothing here changes the state.

use super::movable_list::MovableListState;
use super::movable_list_body::{MovableBody, NewElement};
use super::movable_list_edit::winning_clock;
use super::operation::kind;
use crate::clock::{AuthorIdx, Hlc};
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
    fn origins_behind(&self, slot: Option<ElementId>) -> Option<[ElementKey; 2]> {
        let Some(slot) = slot else {
            let first = self.at(0).map(|element| element.position.content);
            return Some([ElementKey::NULL, first.unwrap_or(ElementKey::NULL)]);
        };
        let key = self.key(slot).filter(|key| self.slots.contains(*key))?;
        Some([key, self.slots.following(key)])
    }

    /// An insertion of one value directly behind a slot; its ids are the author's from `first` on.
    pub(crate) fn insertion_behind(
        &self,
        slot: Option<ElementId>,
        value: &[u8],
        author: AuthorIdx,
        first: u32,
    ) -> Option<MovableBody> {
        let [left, right] = self.origins_behind(slot)?;
        let identity = ElementKey {
            author,
            counter: first,
        };
        let item = NewElement {
            identity,
            position: identity.plus(1),
            value: value.into(),
        };
        let items = vec![item];
        Some(MovableBody::Insert { left, right, items })
    }

    /// The removal of elements.
    pub(crate) fn removal_of(&self, identities: &[ElementId]) -> MovableBody {
        let keys = identities.iter().filter_map(|identity| self.key(*identity));
        MovableBody::Delete {
            identities: keys.collect(),
        }
    }

    /// A new value of one element. None: no clock wins any more.
    pub(crate) fn update_of(
        &self,
        identity: ElementId,
        value: &[u8],
        now: Hlc,
    ) -> Option<MovableBody> {
        let element = self.element(self.key(identity)?)?;
        let clock = winning_clock(now, element.value.clock)?;
        let items = vec![(element.identity, value.into())];
        Some(MovableBody::Update { clock, items })
    }

    /// The element goes directly behind a slot, to a new one. None: no clock wins any more, or the
    /// slot is unknown.
    pub(crate) fn move_behind(
        &self,
        identity: ElementId,
        slot: ElementId,
        position: ElementKey,
        now: Hlc,
    ) -> Option<MovableBody> {
        let element = self.element(self.key(identity)?)?;
        let clock = winning_clock(now, element.position.clock)?;
        let [left, right] = self.origins_behind(Some(slot))?;
        Some(MovableBody::Move {
            identity: element.identity,
            position,
            left,
            right,
            clock,
        })
    }
}
