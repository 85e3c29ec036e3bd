//! What changed between two versions, as deltas.
//!
//! From the changes that both versions have, one document goes on with those that only `to` has,
//! and another with those that only `from` has; both report the edits. The inverse of the latter,
//! then the former, lead from one version to the other. So what both have stays where it is,
//! element by element, and nothing is guessed by comparing contents.

use super::Document;
use super::delta::{TextDelta, joined_events, joined_set_events};
use super::handler::Visible;
use super::list_delta::ListDelta;
use super::types::{DocumentError, HandlerDelta, HandlerIdx, MapOp, Origin, TextOp};
use crate::clock::{OperationId, VersionVector};
use std::collections::BTreeMap;

impl Document {
    /// How the registered handlers differ between two versions: applied to what each shows at
    /// `from`, its delta gives what it shows at `to`. Handlers without a difference are left out;
    /// the others come in order of registration. What only one of the versions covers is not
    /// invented: changes that are not stored here belong to neither. O(history).
    ///
    /// # Errors
    /// `Forgotten` if a version lacks changes that only the snapshot has.
    pub fn diff(
        &self,
        from: &VersionVector,
        to: &VersionVector,
    ) -> Result<Vec<(HandlerIdx, HandlerDelta)>, DocumentError> {
        let snapshot = self.snapshot.clone().filter(|_| self.is_seeded);
        if self.is_seeded && [from, to].into_iter().any(|one| self.snapshot_exceeds(one)) {
            return Err(DocumentError::Forgotten);
        }
        let has = |version: &VersionVector, id: &OperationId| version.covers(&id.peer, id.hlc);
        let mut base = self.view_of(self.log.without_changes(), snapshot);
        base.store_all(self, |id| has(from, id) && has(to, id));
        let mut other = base.twin();
        let forwards = base.recorded(self, |id| has(to, id) && !has(from, id));
        let before: Vec<Visible> = other
            .handlers
            .iter()
            .map(|handler| handler.visible(&other.log.content))
            .collect();
        let backwards = other.recorded(self, |id| has(from, id) && !has(to, id));
        let mut deltas: BTreeMap<HandlerIdx, HandlerDelta> = backwards
            .into_iter()
            .map(|(number, delta)| (number, inverted(delta, &before[number.0 as usize])))
            .collect();
        for (number, next) in forwards {
            let delta = match deltas.remove(&number) {
                Some(first) => composed(first, next),
                None => next,
            };
            deltas.insert(number, delta);
        }
        deltas.retain(|_, delta| !delta.is_empty());
        Ok(deltas.into_iter().collect())
    }

    /// Stores and folds the changes of another document that `wanted` names, in replay order.
    fn store_all(&mut self, source: &Document, wanted: impl Fn(&OperationId) -> bool) {
        for stretch in source.log.replay_stretches() {
            let mut place = stretch.place;
            for key in source.log.keys_from(place, stretch.len) {
                if wanted(&source.log.operation_id(key)) {
                    let deps = source.log.deps_of(place);
                    self.store_copy(&source.log, place, key, &deps);
                }
                place.nth += 1;
            }
        }
        self.settle_replays();
    }

    /// As [`store_all`](Self::store_all); returns what it did.
    fn recorded(
        &mut self,
        source: &Document,
        wanted: impl Fn(&OperationId) -> bool,
    ) -> Vec<(HandlerIdx, HandlerDelta)> {
        self.set_recording(true);
        self.observe_all(true);
        let start = self.log.change_count();
        self.store_all(source, wanted);
        self.note(Origin::History, &[], start, false);
        let commits = self.take_commits().into_iter();
        commits.flat_map(|commit| commit.deltas).collect()
    }

    /// A copy.
    fn twin(&self) -> Document {
        let mut twin = self.view_of(self.log.without_changes(), None);
        twin.snapshot = self.snapshot.clone();
        twin.is_seeded = self.is_seeded;
        twin.log = self.log.clone();
        twin.frontiers = self.frontiers.clone();
        twin.vector_order = self.vector_order.clone();
        twin.handlers = self.handlers.clone();
        twin
    }
}

/// The delta that takes another one back; `before` is what was there before that.
fn inverted(delta: HandlerDelta, before: &Visible) -> HandlerDelta {
    let swapped = |events: Vec<MapOp>| -> Vec<MapOp> {
        let events = events.into_iter().rev();
        events
            .map(|MapOp { key, old, new }| MapOp {
                key,
                old: new,
                new: old,
            })
            .collect()
    };
    match (delta, before) {
        (HandlerDelta::Text(steps), Visible::Text(before)) => {
            HandlerDelta::Text(inverted_text(steps, before))
        }
        (HandlerDelta::List(steps), _) => {
            let mut inverse = ListDelta::default();
            inverse.then_inverse(&steps);
            HandlerDelta::List(inverse.finish())
        }
        (HandlerDelta::Map(events), _) => HandlerDelta::Map(swapped(events)),
        (HandlerDelta::Set(events), _) => HandlerDelta::Set(swapped(events)),
        (HandlerDelta::Register(events), _) => HandlerDelta::Register(swapped(events)),
        (delta, _) => unreachable!("a delta of another kind than its handler: {delta:?}"),
    }
}

fn inverted_text(steps: Vec<TextOp>, before: &[u16]) -> Vec<TextOp> {
    let mut at = 0;
    let inverse = steps.into_iter().map(|step| match step {
        TextOp::Retain(count) => {
            at += count as usize;
            step
        }
        TextOp::Insert(units) => TextOp::Remove(units.len() as u64),
        TextOp::Remove(count) => {
            let start = at;
            at += count as usize;
            TextOp::Insert(before[start..at].to_vec())
        }
    });
    inverse.collect()
}

/// One delta after another, as one.
fn composed(first: HandlerDelta, next: HandlerDelta) -> HandlerDelta {
    let joined = |mut events: Vec<MapOp>, next: Vec<MapOp>| {
        events.extend(next);
        events
    };
    match (first, next) {
        (HandlerDelta::Text(first), HandlerDelta::Text(next)) => {
            let mut delta = TextDelta::default();
            delta.then(&first);
            delta.then(&next);
            HandlerDelta::Text(delta.finish())
        }
        (HandlerDelta::List(first), HandlerDelta::List(next)) => {
            let mut delta = ListDelta::default();
            delta.then(&first);
            delta.then(&next);
            HandlerDelta::List(delta.finish())
        }
        (HandlerDelta::Map(first), HandlerDelta::Map(next)) => {
            HandlerDelta::Map(joined_events(joined(first, next)))
        }
        (HandlerDelta::Set(first), HandlerDelta::Set(next)) => {
            HandlerDelta::Set(joined_set_events(joined(first, next)))
        }
        (HandlerDelta::Register(first), HandlerDelta::Register(next)) => {
            HandlerDelta::Register(joined_events(joined(first, next)))
        }
        (first, next) => unreachable!("deltas of different kinds: {first:?}, {next:?}"),
    }
}
