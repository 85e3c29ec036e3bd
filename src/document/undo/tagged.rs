//! Steps on observed-remove sets and maps: the adds that they made, and those that they removed,
//! with what these brought.
//!
//! Taking a step back removes just its own adds: what others added concurrently stays and shows.
//! Adds that it removed are made again, if the element is still as the step left it; from then on
//! the other steps mean the new adds.
//!
//! A crdt_lf snapshot forgets adds: of what it brought, what shows tells whether it is still as the
//! step left it.

use super::super::Document;
use super::super::handler::State;
use super::super::handlers::observed_remove::ElementEntries;
use super::super::handlers::operation::{Operation, kind};
use super::super::types::{DocumentError, HandlerIdx};
use super::step::Effect;
use crate::clock::OperationId;
use crate::codec::bytes::{write_prefixed, write_uvarint};
use std::collections::BTreeMap;

/// What a step did to a set or map, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct TaggedEffect {
    /// By what equal elements or keys share.
    pub items: BTreeMap<Box<[u8]>, ElementEffect>,
}

/// What a step did to one element or key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct ElementEffect {
    /// The element, encoded.
    pub element: Box<[u8]>,
    /// The adds that it made and did not remove itself.
    pub added: Vec<OperationId>,
    /// The adds that it removed, smallest tag first, and what they brought; without a tag: what
    /// the snapshot had.
    pub removed: Vec<(Option<OperationId>, Box<[u8]>)>,
    /// Whether the adds that it removed were what showed.
    pub showed: bool,
    /// The largest tag after the step. Known once it is committed.
    pub after: Option<OperationId>,
    /// The largest tag before the step; None: only a snapshot had the element, or it was not there.
    pub before: Option<OperationId>,
    /// What the element showed before the step and after it; None: it was not there.
    pub shown: [Option<Box<[u8]>>; 2],
}

impl ElementEffect {
    fn merge(&mut self, later: ElementEffect) {
        for (tag, held) in later.removed {
            match self.added.iter().position(|own| Some(*own) == tag) {
                Some(own) => drop(self.added.remove(own)),
                None => self.removed.push((tag, held)),
            }
        }
        self.added.extend(later.added);
        self.showed |= later.showed;
        self.after = later.after;
        let [_, after] = later.shown;
        self.shown[1] = after;
    }
}

impl TaggedEffect {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds what a later part of the same step did.
    pub fn merge(&mut self, later: TaggedEffect) {
        for (identity, later) in later.items {
            match self.items.get_mut(&identity) {
                Some(known) => known.merge(later),
                None => {
                    self.items.insert(identity, later);
                }
            }
        }
    }

    pub fn rename(&mut self, old: OperationId, new: OperationId) {
        for item in self.items.values_mut() {
            let removed = item.removed.iter_mut().filter_map(|(tag, _)| tag.as_mut());
            let tags = item.added.iter_mut().chain(removed);
            tags.chain(item.after.as_mut())
                .chain(item.before.as_mut())
                .filter(|tag| **tag == old)
                .for_each(|tag| *tag = new);
        }
    }

    /// Whether it made or removed this add.
    pub fn names(&self, tag: OperationId) -> bool {
        self.items.values().any(|item| {
            item.added.contains(&tag) || item.removed.iter().any(|(known, _)| *known == Some(tag))
        })
    }
}

/// The largest tag of what is there.
fn winner(entries: &ElementEntries) -> Option<OperationId> {
    entries.entries.last().and_then(|(tag, _)| *tag)
}

/// What an element shows.
fn shown(entries: &ElementEntries) -> Option<Box<[u8]>> {
    entries.entries.last().map(|(_, held)| held.clone())
}

impl Document {
    /// Whether an add of an element was forgotten by a snapshot.
    fn is_forgotten(&self, number: HandlerIdx, identity: &[u8], tag: OperationId) -> bool {
        match self.state(number) {
            Some(State::Set(set)) => !set.knows_add(identity, tag),
            Some(State::OrMap(map)) => !map.knows_add(identity, tag),
            _ => false,
        }
    }

    pub(super) fn entries_of(&self, number: HandlerIdx, body: &[u8]) -> Option<ElementEntries> {
        match self.state(number)? {
            State::Set(set) => set.entries_of(body),
            State::OrMap(map) => map.entries_of(body),
            _ => None,
        }
    }

    /// Notes what a local edit of a set or map is about to add or remove.
    pub(super) fn track_tags(&mut self, number: HandlerIdx, op_kind: u8, body: &[u8]) {
        let Some(entries) = self.entries_of(number, body) else {
            return;
        };
        let before = (winner(&entries), shown(&entries));
        let mut later = ElementEffect {
            element: entries.element,
            ..ElementEffect::default()
        };
        match op_kind {
            kind::INSERT => {
                let at = body.len().saturating_sub(OperationId::BYTES);
                let tag = body[at..].try_into().expect("an add ends with its tag");
                later.added.push(OperationId::from_bytes(tag));
            }
            // Only what a removal lists goes, and that is all that is there, unless a step is
            // being taken back.
            _ => later.removed = entries.entries,
        }
        let run = self
            .tracker
            .as_ref()
            .and_then(|tracker| tracker.run.as_ref());
        let listed = run.and_then(|run| run.listed.as_ref());
        let goes = |tag: &Option<OperationId>| {
            listed.is_none_or(|listed| tag.is_some_and(|tag| listed.contains(&tag)))
        };
        later.showed = later.removed.last().is_some_and(|(tag, _)| goes(tag));
        later.removed.retain(|(tag, _)| goes(tag));
        let effect = self.tracked(number, || Effect::Tagged(TaggedEffect::default()));
        if let Some(Effect::Tagged(effect)) = effect {
            effect
                .items
                .entry(entries.identity)
                .or_insert_with(|| ElementEffect {
                    element: later.element.clone(),
                    before: before.0,
                    shown: [before.1, None],
                    ..ElementEffect::default()
                })
                .merge(later);
        }
    }

    /// Notes which adds decide after the transaction.
    pub(super) fn complete_tags(&self, number: HandlerIdx, effect: &mut TaggedEffect) {
        for item in effect.items.values_mut() {
            let mut body = Vec::new();
            write_prefixed(&mut body, &item.element);
            let entries = self.entries_of(number, &body);
            item.after = entries.as_ref().and_then(winner);
            item.shown[1] = entries.as_ref().and_then(shown);
        }
        effect
            .items
            .retain(|_, item| !item.added.is_empty() || !item.removed.is_empty());
    }

    /// Takes back what a step did to a set or map.
    pub(super) fn take_back_tags(
        &mut self,
        number: HandlerIdx,
        effect: &TaggedEffect,
    ) -> Result<(), DocumentError> {
        for (identity, item) in &effect.items {
            let mut body = Vec::new();
            write_prefixed(&mut body, &item.element);
            let Some(entries) = self.entries_of(number, &body) else {
                continue;
            };
            let is_seeded = matches!(entries.entries.as_slice(), [(None, _)]);
            let was_forgotten = |tag| self.is_forgotten(number, identity, tag);
            if is_seeded && item.after.is_some_and(was_forgotten) {
                if shown(&entries) == item.shown[1] && item.shown[0] != item.shown[1] {
                    // No adds: what the snapshot has goes.
                    body.extend_from_slice(&[0, 1]);
                    let kind = kind::DELETE;
                    self.submit_value(number, Operation { kind, body })?;
                    self.show_before(number, identity, item)?;
                }
                continue;
            }
            let is_as_left = winner(&entries) == item.after
                && (item.after.is_some() || entries.entries.is_empty());
            let living = |tag: &&OperationId| {
                let mut tags = entries.entries.iter();
                tags.any(|(known, _)| *known == Some(**tag))
            };
            let listed: Vec<OperationId> = item.added.iter().filter(living).copied().collect();
            if !listed.is_empty() {
                self.remove_adds(number, body, listed)?;
            }
            if is_as_left {
                self.add_again(number, identity, item)?;
                self.show_before(number, identity, item)?;
            }
        }
        Ok(())
    }

    /// If nothing shows of an element any more, but before a step something did that a snapshot
    /// forgot, it is added again.
    fn show_before(
        &mut self,
        number: HandlerIdx,
        identity: &[u8],
        item: &ElementEffect,
    ) -> Result<(), DocumentError> {
        let mut body = Vec::new();
        write_prefixed(&mut body, &item.element);
        let now = self.entries_of(number, &body);
        let is_forgotten = |tag| self.is_forgotten(number, identity, tag);
        match &item.shown[0] {
            Some(held)
                if now.is_some_and(|now| now.entries.is_empty())
                    && item.before.is_none_or(is_forgotten) =>
            {
                self.add_for_forgotten(number, identity, (&item.element, held), item.before)
            }
            _ => Ok(()),
        }
    }

    /// An add in the place of one that a snapshot forgot. Without its tag it stands for all that
    /// steps left with the same value.
    fn add_for_forgotten(
        &mut self,
        number: HandlerIdx,
        identity: &[u8],
        (element, held): (&[u8], &[u8]),
        forgotten: Option<OperationId>,
    ) -> Result<(), DocumentError> {
        let forgotten = match forgotten {
            Some(tag) => vec![tag],
            None => self.forgotten_alike(number, identity, held),
        };
        let made = self.add_held(number, element, held)?;
        for old in forgotten {
            self.rename_stamp(Some(old), made);
        }
        Ok(())
    }

    /// The forgotten adds that decided after steps which left the element with this value.
    fn forgotten_alike(
        &self,
        number: HandlerIdx,
        identity: &[u8],
        held: &[u8],
    ) -> Vec<OperationId> {
        let tracker = self.tracker.as_ref();
        let managers = tracker.into_iter().flat_map(|tracker| tracker.managers());
        let steps = managers.flat_map(|manager| manager.steps());
        let items = steps.filter_map(|step| step.element_effect(number, identity));
        items
            .filter(|item| item.shown[1].as_deref() == Some(held))
            .filter_map(|item| item.after)
            .filter(|tag| self.is_forgotten(number, identity, *tag))
            .collect()
    }

    /// Removes single adds of an element, with which `body` begins.
    fn remove_adds(
        &mut self,
        number: HandlerIdx,
        mut body: Vec<u8>,
        listed: Vec<OperationId>,
    ) -> Result<(), DocumentError> {
        write_uvarint(&mut body, listed.len() as u64);
        listed
            .iter()
            .for_each(|tag| body.extend_from_slice(&tag.to_bytes()));
        body.push(0);
        self.set_listed(Some(listed));
        let kind = kind::DELETE;
        let result = self.submit_value(number, Operation { kind, body });
        self.set_listed(None);
        result
    }

    fn set_listed(&mut self, listed: Option<Vec<OperationId>>) {
        if let Some(run) = self
            .tracker
            .as_mut()
            .and_then(|tracker| tracker.run.as_mut())
        {
            run.listed = listed;
        }
    }

    /// Makes adds again: those that other steps refer to, and the largest of the rest, which shows
    /// when all of those are taken back.
    fn add_again(
        &mut self,
        number: HandlerIdx,
        identity: &[u8],
        item: &ElementEffect,
    ) -> Result<(), DocumentError> {
        if !item.showed {
            return Ok(());
        }
        let is_named =
            |(tag, _): &(Option<OperationId>, _)| tag.is_some_and(|tag| self.is_tag_named(tag));
        let named: Vec<bool> = item.removed.iter().map(is_named).collect();
        let rest = named.iter().rposition(|named| !named);
        for (nth, (old, held)) in item.removed.iter().enumerate() {
            if !named[nth] && rest != Some(nth) {
                continue;
            }
            match old {
                Some(_) => {
                    let made = self.add_held(number, &item.element, held)?;
                    self.rename_stamp(*old, made);
                }
                None => self.add_for_forgotten(number, identity, (&item.element, held), None)?,
            }
        }
        Ok(())
    }

    /// Adds an element with what an add of it brought; returns the tag.
    fn add_held(
        &mut self,
        number: HandlerIdx,
        element: &[u8],
        held: &[u8],
    ) -> Result<Option<OperationId>, DocumentError> {
        let mut made = None;
        self.submit_tagged(number, |_, tag| {
            made = Some(tag);
            let mut body = Vec::new();
            write_prefixed(&mut body, element);
            body.extend_from_slice(held);
            body.extend_from_slice(&tag.to_bytes());
            let kind = kind::INSERT;
            Ok(Operation { kind, body })
        })?;
        Ok(made)
    }

    fn is_tag_named(&self, tag: OperationId) -> bool {
        let tracker = self.tracker.as_ref();
        let managers = tracker.into_iter().flat_map(|tracker| tracker.managers());
        let mut steps = managers.flat_map(|manager| manager.steps());
        steps.any(|step| step.names_tag(tag))
    }
}
