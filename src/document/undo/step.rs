//! One step of an undo manager: what it did, by handler.

use super::super::types::HandlerIdx;
use super::elements::ElementsEffect;
use super::keys::KeysEffect;
use super::movable::{MovableEffect, MovableRenamed};
use super::positions::{Drift, PositionsEffect};
use super::tagged::{ElementEffect, TaggedEffect};
use crate::clock::OperationId;
use crate::codec::Value;
use crate::sequence::ElementKey;
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Its number; never reused by the manager.
    pub number: u64,
    /// What the application attached.
    pub meta: Option<Value>,
    pub effects: BTreeMap<HandlerIdx, Effect>,
    /// What others did to texts and lists by positions between this step and the next.
    pub since: BTreeMap<HandlerIdx, Drift>,
}

/// What a step did to one handler, as much as it takes to take it back.
#[derive(Clone, Debug)]
pub(in super::super) enum Effect {
    /// Fugue texts and lists.
    Elements(ElementsEffect),
    /// Maps and registers.
    Keys(KeysEffect),
    /// Observed-remove sets and maps.
    Tagged(TaggedEffect),
    /// Texts and lists by positions.
    Positions(PositionsEffect),
    /// Movable lists.
    Movable(MovableEffect),
}

/// Something that has another in its place since a step was taken back.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Renamed {
    /// Elements of a sequence.
    Elements {
        handler: HandlerIdx,
        old: ElementKey,
        len: u32,
        new: ElementKey,
    },
    /// A write of a key, or an add.
    Stamp { old: OperationId, new: OperationId },
    /// Something in a movable list.
    Movable {
        handler: HandlerIdx,
        what: MovableRenamed,
    },
}

impl Effect {
    pub fn is_empty(&self) -> bool {
        match self {
            Effect::Elements(effect) => effect.is_empty(),
            Effect::Keys(effect) => effect.is_empty(),
            Effect::Tagged(effect) => effect.is_empty(),
            Effect::Positions(effect) => effect.is_empty(),
            Effect::Movable(effect) => effect.is_empty(),
        }
    }

    fn merge(&mut self, later: Effect) {
        match (self, later) {
            (Effect::Elements(effect), Effect::Elements(later)) => effect.merge(later),
            (Effect::Keys(effect), Effect::Keys(later)) => effect.merge(later),
            (Effect::Tagged(effect), Effect::Tagged(later)) => effect.merge(later),
            (Effect::Positions(effect), Effect::Positions(later)) => effect.merge(later),
            (Effect::Movable(effect), Effect::Movable(later)) => effect.merge(later),
            _ => unreachable!("a handler keeps its kind"),
        }
    }

    fn rename(&mut self, number: HandlerIdx, renamed: &Renamed) {
        match (self, renamed) {
            (
                Effect::Elements(effect),
                Renamed::Elements {
                    handler,
                    old,
                    len,
                    new,
                },
            ) if *handler == number => effect.rename(*old, *len, *new),
            (Effect::Keys(effect), Renamed::Stamp { old, new }) => effect.rename(*old, *new),
            (Effect::Tagged(effect), Renamed::Stamp { old, new }) => effect.rename(*old, *new),
            (Effect::Movable(effect), Renamed::Movable { handler, what }) if *handler == number => {
                effect.rename(what);
            }
            _ => (),
        }
    }
}

impl Step {
    /// Adds what a later transaction did.
    pub fn merge(&mut self, later: BTreeMap<HandlerIdx, Effect>) {
        for (handler, effect) in later {
            match self.effects.get_mut(&handler) {
                Some(known) => known.merge(effect),
                None => {
                    self.effects.insert(handler, effect);
                }
            }
        }
    }

    /// Whether others moved positions that these effects name.
    pub fn has_drifted(&self, effects: &BTreeMap<HandlerIdx, Effect>) -> bool {
        let mut positions = effects
            .iter()
            .filter(|(_, effect)| matches!(effect, Effect::Positions(_)));
        positions.any(|(number, _)| self.since.contains_key(number))
    }

    /// What others did since this step, for the step before it, once this one was taken back.
    pub fn since_without(&self) -> impl Iterator<Item = (HandlerIdx, Drift)> + '_ {
        self.since.iter().map(|(number, since)| {
            let drift = match self.effects.get(number) {
                Some(Effect::Positions(effect)) => effect.drift_without(since),
                _ => since.clone(),
            };
            (*number, drift)
        })
    }

    pub fn rename(&mut self, renamed: &Renamed) {
        for (number, effect) in &mut self.effects {
            effect.rename(*number, renamed);
        }
    }

    /// What it did to an element of a set or map.
    pub fn element_effect(&self, number: HandlerIdx, identity: &[u8]) -> Option<&ElementEffect> {
        match self.effects.get(&number)? {
            Effect::Tagged(effect) => effect.items.get(identity),
            _ => None,
        }
    }

    /// Whether it would take back or make again an add.
    pub fn names_tag(&self, tag: OperationId) -> bool {
        self.effects.values().any(|effect| match effect {
            Effect::Tagged(effect) => effect.names(tag),
            _ => false,
        })
    }
}
