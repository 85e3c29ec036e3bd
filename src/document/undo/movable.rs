//! Steps on movable lists: the elements that were made and deleted, and for those that were there
//! before, their values and slots before and after.
//!
//! A deletion is final (specification 9.12), so what was deleted comes back as a new element in a
//! new slot beside the old one. Values and places go back only if they are still as the step left
//! them. From then on the other steps mean the new element, slot and clock.

use super::super::Document;
use super::super::handler::State;
use super::super::handlers::movable_list::MovableListState;
use super::super::handlers::movable_list_back::{Standing, Touch, touches};
use super::super::handlers::movable_list_body::MovableBody;
use super::super::types::{DocumentError, HandlerIdx};
use super::step::{Effect, Renamed};
use crate::clock::Hlc;
use crate::codec::ElementId;
use crate::sequence::ElementKey;
use crate::tree::sort_by_key;
use std::collections::BTreeMap;

/// What a step did to a movable list, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct MovableEffect {
    /// By identity.
    pub items: BTreeMap<ElementId, ItemEffect>,
}

/// What a step did to one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum ItemEffect {
    /// It came.
    Made,
    /// It went; it was there before the step.
    Deleted(Deleted),
    /// It has another value or place.
    Changed {
        before: Standing,
        /// Known once the step is committed.
        after: Option<Standing>,
    },
}

/// An element that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Deleted {
    /// As it was before the step.
    pub before: Standing,
    /// The element that was before it when it went.
    pub left: Option<ElementId>,
    /// How many went before it in the step.
    pub number: u32,
}

impl MovableEffect {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds what a later part of the same step did.
    pub fn merge(&mut self, later: MovableEffect) {
        let deleted = self.deleted_count();
        for (identity, later) in later.items {
            let merged = match (self.items.remove(&identity), later) {
                (Some(ItemEffect::Made), ItemEffect::Deleted(_)) => continue,
                (Some(ItemEffect::Made), _) => ItemEffect::Made,
                (Some(ItemEffect::Changed { before, .. }), ItemEffect::Deleted(later)) => {
                    ItemEffect::Deleted(Deleted {
                        before,
                        number: later.number + deleted,
                        ..later
                    })
                }
                (Some(ItemEffect::Changed { before, .. }), ItemEffect::Changed { after, .. }) => {
                    ItemEffect::Changed { before, after }
                }
                (_, ItemEffect::Deleted(later)) => ItemEffect::Deleted(Deleted {
                    number: later.number + deleted,
                    ..later
                }),
                (_, later) => later,
            };
            self.items.insert(identity, merged);
        }
    }

    fn deleted_count(&self) -> u32 {
        let numbers = self.items.values().filter_map(|item| match item {
            ItemEffect::Deleted(deleted) => Some(deleted.number + 1),
            _ => None,
        });
        numbers.max().unwrap_or(0)
    }

    pub fn rename(&mut self, renamed: &MovableRenamed) {
        match *renamed {
            MovableRenamed::Element { old, new } => {
                if let Some(item) = self.items.remove(&old) {
                    self.items.insert(new, item);
                }
                for item in self.items.values_mut() {
                    if let ItemEffect::Deleted(deleted) = item {
                        if deleted.left == Some(old) {
                            deleted.left = Some(new);
                        }
                    }
                }
            }
            MovableRenamed::Slot { old, new } => self.for_each_standing(|standing| {
                if standing.slot == old {
                    standing.slot = new;
                }
            }),
            MovableRenamed::Write { old, new } => self.for_each_standing(|standing| {
                if standing.written == old {
                    standing.written = new;
                }
            }),
        }
    }

    fn for_each_standing(&mut self, mut body: impl FnMut(&mut Standing)) {
        for item in self.items.values_mut() {
            item.for_each_standing(&mut body);
        }
    }
}

impl ItemEffect {
    fn for_each_standing(&mut self, body: &mut impl FnMut(&mut Standing)) {
        match self {
            ItemEffect::Made => (),
            ItemEffect::Deleted(deleted) => body(&mut deleted.before),
            ItemEffect::Changed { before, after } => {
                body(before);
                after.iter_mut().for_each(body);
            }
        }
    }
}

/// Something in a movable list that has another in its place.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum MovableRenamed {
    Element {
        old: ElementId,
        new: ElementId,
    },
    Slot {
        old: ElementId,
        new: ElementId,
    },
    Write {
        old: (ElementId, Hlc),
        new: (ElementId, Hlc),
    },
}

impl Document {
    fn movable_state(&self, number: HandlerIdx) -> Option<&MovableListState> {
        match self.state(number)? {
            State::MovableList(list) => Some(list),
            _ => None,
        }
    }

    /// Notes a local edit of a movable list, before it is applied.
    pub(super) fn track_movable(&mut self, number: HandlerIdx, kind: u8, body: &[u8]) {
        let Some(list) = self.movable_state(number) else {
            return;
        };
        let mut later = MovableEffect::default();
        let mut deleted = Vec::new();
        for touch in touches(kind, body).unwrap_or_default() {
            let (identity, item) = match touch {
                Touch::Insert(identity) => (identity, Some(ItemEffect::Made)),
                Touch::Delete(identity) => {
                    // Those before it in the operation are gone by then.
                    let mut left = list.before(identity);
                    while let Some(before) = left.filter(|left| deleted.contains(left)) {
                        left = list.before(before);
                    }
                    deleted.push(identity);
                    let item = list.standing(identity).map(|before| {
                        ItemEffect::Deleted(Deleted {
                            before,
                            left,
                            number: deleted.len() as u32 - 1,
                        })
                    });
                    (identity, item)
                }
                Touch::Update(identity) | Touch::Move(identity) => {
                    let item = list.standing(identity).map(|before| ItemEffect::Changed {
                        before,
                        after: None,
                    });
                    (identity, item)
                }
            };
            later.items.extend(item.map(|item| (identity, item)));
        }
        let effect = self.tracked(number, || Effect::Movable(MovableEffect::default()));
        if let Some(Effect::Movable(effect)) = effect {
            effect.merge(later);
        }
    }

    /// Notes how elements stand after the transaction.
    pub(super) fn complete_movable(&self, number: HandlerIdx, effect: &mut MovableEffect) {
        for (identity, item) in &mut effect.items {
            if let ItemEffect::Changed { after, .. } = item {
                let list = self.movable_state(number);
                *after = list.and_then(|list| list.standing(*identity));
            }
        }
    }

    /// Takes back what a step did to a movable list.
    pub(super) fn take_back_movable(
        &mut self,
        number: HandlerIdx,
        effect: &MovableEffect,
    ) -> Result<(), DocumentError> {
        let (mut made, mut deleted) = (Vec::new(), Vec::new());
        for (identity, item) in &effect.items {
            let now = self
                .movable_state(number)
                .and_then(|list| list.standing(*identity));
            match (item, now) {
                (ItemEffect::Made, Some(_)) => made.push(*identity),
                (ItemEffect::Deleted(item), None) => deleted.push((*identity, item)),
                (
                    ItemEffect::Changed {
                        before,
                        after: Some(after),
                    },
                    Some(now),
                ) => self.change_back(number, *identity, before, after, &now)?,
                _ => (),
            }
        }
        if !made.is_empty() {
            let body = self
                .movable_state(number)
                .map(|list| list.removal_of(&made));
            self.submit_body(number, body)?;
        }
        // What went last comes first: the others were beside it.
        sort_by_key(&mut deleted, |(_, item)| std::cmp::Reverse(item.number));
        deleted
            .into_iter()
            .try_for_each(|(identity, item)| self.insert_again(number, identity, item))
    }

    fn change_back(
        &mut self,
        number: HandlerIdx,
        identity: ElementId,
        before: &Standing,
        after: &Standing,
        now: &Standing,
    ) -> Result<(), DocumentError> {
        let is_as_left = (now.written, &now.value) == (after.written, &after.value);
        if is_as_left && before.written != after.written {
            if before.value != now.value {
                let list = self.movable_state(number);
                let body =
                    list.and_then(|list| list.update_of(identity, &before.value, self.clock));
                self.submit_body(number, body)?;
            }
            self.rename_movable(number, |list| {
                Some(MovableRenamed::Write {
                    old: before.written,
                    new: list.standing(identity)?.written,
                })
            });
        }
        if now.slot == after.slot && before.slot != after.slot {
            let clock = self.clock;
            let (list, author) = self.movable(number)?;
            let body = list.counters(author, 1).and_then(|counter| {
                let position = ElementKey { author, counter };
                list.move_behind(identity, before.slot, position, clock)
            });
            self.submit_body(number, body)?;
            self.rename_movable(number, |list| {
                Some(MovableRenamed::Slot {
                    old: before.slot,
                    new: list.standing(identity)?.slot,
                })
            });
        }
        Ok(())
    }

    /// Without an operation there is nothing left to do: no clock wins, or the place is unknown.
    fn submit_body(
        &mut self,
        number: HandlerIdx,
        body: Option<MovableBody>,
    ) -> Result<(), DocumentError> {
        let (_, author) = self.movable(number)?;
        body.map_or(Ok(()), |body| self.submit_movable(number, author, body))
    }

    /// Inserts what a deleted element held, beside its slot, or behind the element before it if
    /// the slot is forgotten.
    fn insert_again(
        &mut self,
        number: HandlerIdx,
        identity: ElementId,
        item: &Deleted,
    ) -> Result<(), DocumentError> {
        let own = self.peer_id();
        let left = item.left.map(|left| self.renamed_item(number, left));
        let (list, author) = self.movable(number)?;
        let Some(counter) = list.counters(author, 2) else {
            return Err(DocumentError::Limit("2^32 element ids of one peer"));
        };
        let value = &item.before.value;
        let beside = list.insertion_behind(Some(item.before.slot), value, author, counter);
        let body = beside.or_else(|| {
            let slot = match left {
                None => None,
                Some(left) => Some(list.standing(left)?.slot),
            };
            list.insertion_behind(slot, value, author, counter)
        });
        if body.is_none() {
            return Ok(());
        }
        self.submit_body(number, body)?;
        let new = |counter: u32| ElementId {
            peer: own,
            counter: u64::from(counter),
        };
        let (element, slot) = (new(counter), new(counter + 1));
        for renamed in [
            MovableRenamed::Write {
                old: item.before.written,
                new: (element, Hlc::ZERO),
            },
            MovableRenamed::Element {
                old: identity,
                new: element,
            },
            MovableRenamed::Slot {
                old: item.before.slot,
                new: slot,
            },
        ] {
            self.rename_movable(number, |_| Some(renamed));
        }
        Ok(())
    }

    /// What stands for an element in the step that is being taken back.
    fn renamed_item(&self, number: HandlerIdx, element: ElementId) -> ElementId {
        let run = self
            .tracker
            .as_ref()
            .and_then(|tracker| tracker.run.as_ref());
        let mut renamed = run.into_iter().flat_map(|run| run.renamed.iter());
        let found = renamed.find_map(|renamed| match renamed {
            Renamed::Movable {
                handler,
                what: MovableRenamed::Element { old, new },
            } if *handler == number && *old == element => Some(*new),
            _ => None,
        });
        found.unwrap_or(element)
    }

    fn rename_movable(
        &mut self,
        number: HandlerIdx,
        what: impl FnOnce(&MovableListState) -> Option<MovableRenamed>,
    ) {
        let what = self.movable_state(number).and_then(what);
        let run = self
            .tracker
            .as_mut()
            .and_then(|tracker| tracker.run.as_mut());
        if let (Some(what), Some(run)) = (what, run) {
            let handler = number;
            run.renamed.push(Renamed::Movable { handler, what });
        }
    }
}
