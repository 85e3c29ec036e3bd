//! Undo and redo of one user's own edits (crdt_lf has none).
//!
//! Layer: `document`. While a document has an undo manager, local edits are noted as they happen:
//! what was made, and what was removed or overwritten. At commit they become a step, or part of
//! the last one. Taking a step back makes ordinary changes, which every peer understands, and what
//! these do is noted in the same way: it is the step that redo takes back. Steps name elements and
//! writes by their ids, so what others do in between stays as it is.

mod codec;
mod decode;
mod elements;
mod encode;
mod keys;
mod manager;
mod movable;
mod positions;
mod spans;
mod step;
mod tagged;
#[cfg(test)]
mod tests;

pub use manager::{UndoEvent, UndoIdx, UndoManager, UndoMark, UndoOptions, Undone};

use super::Document;
use super::handler::State;
use super::types::{DocumentError, HandlerDelta, HandlerIdx, Origin};
use crate::clock::OperationId;
use crate::codec::Value;
use crate::replica::ApplyError;
use positions::drift_of;
use std::collections::BTreeMap;
use step::{Effect, Renamed, Step};

/// Which way through the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Undo,
    Redo,
}

/// A step that is being taken back.
#[derive(Debug)]
pub(super) struct Run {
    manager: UndoIdx,
    direction: Direction,
    meta: Option<Value>,
    undone: BTreeMap<HandlerIdx, Effect>,
    renamed: Vec<Renamed>,
    /// The adds that the present operation removes.
    listed: Option<Vec<OperationId>>,
}

/// What a document notes for its undo managers.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// By number; freed ones stay empty.
    managers: Vec<Option<UndoManager>>,
    /// Whether there is any.
    is_active: bool,
    /// What the open transaction did so far.
    captured: BTreeMap<HandlerIdx, Effect>,
    run: Option<Run>,
    events: Vec<UndoEvent>,
}

impl Tracker {
    fn managers(&self) -> impl Iterator<Item = &UndoManager> {
        self.managers.iter().flatten()
    }

    fn manager_mut(&mut self, index: UndoIdx) -> Option<&mut UndoManager> {
        self.managers.get_mut(index.0 as usize)?.as_mut()
    }
}

impl Document {
    /// A new undo manager, which notes local edits from now on.
    pub fn add_undo_manager(&mut self, options: UndoOptions) -> UndoIdx {
        let tracker = self.tracker.get_or_insert_default();
        tracker.is_active = true;
        tracker.managers.push(Some(UndoManager::new(options)));
        UndoIdx(tracker.managers.len() as u32 - 1)
    }

    /// Forgets an undo manager and its steps. Without any, edits are not noted.
    pub fn remove_undo_manager(&mut self, index: UndoIdx) {
        let Some(tracker) = &mut self.tracker else {
            return;
        };
        if let Some(manager) = tracker.managers.get_mut(index.0 as usize) {
            *manager = None;
        }
        // Numbers are never given out twice, so the list stays.
        tracker.is_active = tracker.managers.iter().any(Option::is_some);
        if !tracker.is_active {
            tracker.captured.clear();
        }
    }

    /// An undo manager.
    pub fn undo_manager(&self, index: UndoIdx) -> Option<&UndoManager> {
        let managers = &self.tracker.as_ref()?.managers;
        managers.get(index.0 as usize)?.as_ref()
    }

    /// An undo manager, to change what it notes and what it keeps.
    pub fn undo_manager_mut(&mut self, index: UndoIdx) -> Option<&mut UndoManager> {
        self.tracker.as_mut()?.manager_mut(index)
    }

    /// Takes the last step back, as one transaction with [`Origin::Undo`]. None: there is none, or
    /// nothing that is left of any. A step of which nothing is left is passed over.
    ///
    /// # Errors
    /// `UnknownManager`; `Closed`; `InTransaction`; `Limit`: then nothing happened.
    pub fn undo(&mut self, index: UndoIdx) -> Result<Option<Undone>, DocumentError> {
        self.run_steps(index, Direction::Undo)
    }

    /// Makes the step again that was taken back last, with [`Origin::Redo`]. As
    /// [`undo`](Self::undo).
    ///
    /// # Errors
    /// As [`undo`](Self::undo).
    pub fn redo(&mut self, index: UndoIdx) -> Result<Option<Undone>, DocumentError> {
        self.run_steps(index, Direction::Redo)
    }

    fn run_steps(
        &mut self,
        index: UndoIdx,
        direction: Direction,
    ) -> Result<Option<Undone>, DocumentError> {
        self.ensure_open()?;
        if self.in_transaction() {
            return Err(DocumentError::Apply(ApplyError::InTransaction));
        }
        if self.undo_manager(index).is_none() {
            return Err(DocumentError::UnknownManager);
        }
        loop {
            let manager = self.undo_manager_mut(index).expect("looked at above");
            let Some(step) = manager.pop(direction) else {
                return Ok(None);
            };
            let before = self.log.change_count();
            if let Err(error) = self.run_step(index, direction, &step) {
                let manager = self.undo_manager_mut(index).expect("looked at above");
                manager.push_back(direction, step);
                return Err(error);
            }
            let manager = self.undo_manager_mut(index).expect("looked at above");
            manager.hand_down(direction, &step);
            if self.log.change_count() > before {
                let Step { number, meta, .. } = step;
                return Ok(Some(Undone { step: number, meta }));
            }
        }
    }

    fn run_step(
        &mut self,
        manager: UndoIdx,
        direction: Direction,
        step: &Step,
    ) -> Result<(), DocumentError> {
        self.begin(&[])?;
        let tracker = self.tracker.as_mut().expect("it has the manager");
        tracker.captured.clear();
        tracker.run = Some(Run {
            manager,
            direction,
            meta: step.meta.clone(),
            undone: step.effects.clone(),
            renamed: Vec::new(),
            listed: None,
        });
        tracker.note(manager, step.number, false, step.meta.clone());
        let effects = step.effects.iter();
        let mut results = effects.map(|(number, effect)| match effect {
            Effect::Elements(effect) => self.take_back_elements(*number, effect),
            Effect::Keys(effect) => self.take_back_keys(*number, effect),
            Effect::Tagged(effect) => self.take_back_tags(*number, effect),
            Effect::Movable(effect) => self.take_back_movable(*number, effect),
            Effect::Positions(effect) => {
                self.take_back_positions(*number, effect, step.since.get(number))
            }
        });
        let result: Result<(), DocumentError> = results.try_for_each(|result| result);
        if result.is_err() {
            self.rollback()?;
            return result;
        }
        self.commit()
    }

    /// Whether local edits are noted.
    #[inline]
    pub(super) fn is_tracking(&self) -> bool {
        self.tracker
            .as_ref()
            .is_some_and(|tracker| tracker.is_active)
    }

    /// What the open transaction did to a handler so far.
    fn tracked(&mut self, number: HandlerIdx, new: impl FnOnce() -> Effect) -> Option<&mut Effect> {
        let tracker = self.tracker.as_mut()?;
        Some(tracker.captured.entry(number).or_insert_with(new))
    }

    /// Notes a local operation of a handler whose operations are bytes, before it is applied.
    pub(super) fn track_value(&mut self, number: HandlerIdx, kind: u8, body: &[u8]) {
        match self.state(number) {
            Some(State::Map(_) | State::Register(_)) => self.track_key(number, body),
            Some(State::Set(_) | State::OrMap(_)) => self.track_tags(number, kind, body),
            Some(State::MovableList(_)) => self.track_movable(number, kind, body),
            Some(State::PlainText(_)) => self.track_text_positions(number, kind, body),
            Some(State::PlainList(_)) => self.track_list_positions(number, kind, body),
            _ => (),
        }
    }

    /// Forgets what the transaction noted: it was rolled back.
    pub(super) fn forget_tracked(&mut self) {
        if let Some(tracker) = &mut self.tracker {
            tracker.captured.clear();
            tracker.events.clear();
            tracker.run = None;
        }
    }

    /// Whether deltas of a handler are needed to follow its positions.
    pub(super) fn tracks_positions(&self, number: HandlerIdx) -> bool {
        let state = &self.handlers[number.0 as usize].state;
        self.is_tracking() && matches!(state, State::PlainText(_) | State::PlainList(_))
    }

    /// Makes a step, or a part of one, of what the transaction noted. `is_mixed`: it also imported
    /// changes, so that positions in it mean nothing. Returns who caused the transaction if a step
    /// was taken back, and the handlers whose positions moved by edits that were noted.
    pub(super) fn close_tracked(
        &mut self,
        tag: &[u8],
        is_mixed: bool,
    ) -> (Option<Origin>, Vec<HandlerIdx>) {
        let Some(tracker) = &mut self.tracker else {
            return (None, Vec::new());
        };
        if !self.recording {
            // Nobody listens.
            tracker.events.clear();
        }
        let mut captured = std::mem::take(&mut tracker.captured);
        let origin = tracker.run.as_ref().map(|run| match run.direction {
            Direction::Undo => Origin::Undo,
            Direction::Redo => Origin::Redo,
        });
        let mut moved = Vec::new();
        for (number, effect) in &mut captured {
            match effect {
                Effect::Elements(_) => (),
                Effect::Keys(effect) => self.complete_keys(*number, effect),
                Effect::Tagged(effect) => self.complete_tags(*number, effect),
                Effect::Movable(effect) => self.complete_movable(*number, effect),
                Effect::Positions(_) => moved.push(*number),
            }
        }
        if is_mixed {
            captured.retain(|_, effect| !matches!(effect, Effect::Positions(_)));
            moved.clear();
        }
        captured.retain(|_, effect| !effect.is_empty());
        if origin.is_some() {
            self.close_run(captured);
        } else if !captured.is_empty() {
            self.add_step(captured, tag);
        }
        (origin, moved)
    }

    /// Others edited texts and lists by positions; `own` edits were noted.
    pub(super) fn note_drift(&mut self, deltas: &[(HandlerIdx, HandlerDelta)], own: &[HandlerIdx]) {
        for (number, delta) in deltas {
            if own.contains(number) || !self.tracks_positions(*number) {
                continue;
            }
            let id = &self.handlers[number.0 as usize].id;
            let (Some(drift), Some(tracker)) = (drift_of(delta), &mut self.tracker) else {
                continue;
            };
            for manager in tracker.managers.iter_mut().flatten() {
                if manager.tracks_handler(id) {
                    manager.drift(*number, &drift);
                }
            }
        }
    }

    /// What there is to tell of steps.
    pub(super) fn take_undo_events(&mut self) -> Vec<UndoEvent> {
        self.tracker
            .as_mut()
            .map_or_else(Vec::new, |tracker| std::mem::take(&mut tracker.events))
    }

    /// A step was taken back: what that did goes to the other stack.
    fn close_run(&mut self, captured: BTreeMap<HandlerIdx, Effect>) {
        let undone = self
            .tracker
            .as_mut()
            .and_then(|tracker| tracker.run.as_mut())
            .map(|run| std::mem::take(&mut run.undone));
        for (number, undone) in undone.iter().flatten() {
            if let (Effect::Keys(undone), Some(Effect::Keys(done))) = (undone, captured.get(number))
            {
                self.rename_keys(undone, done);
            }
        }
        let Some(tracker) = &mut self.tracker else {
            return;
        };
        let Some(run) = tracker.run.take() else {
            return;
        };
        for (index, manager) in tracker.managers.iter_mut().enumerate() {
            let Some(manager) = manager else {
                continue;
            };
            run.renamed
                .iter()
                .for_each(|renamed| manager.rename(renamed));
            if run.manager != UndoIdx(index as u32) {
                drift_by(manager, &captured);
            }
        }
        if captured.is_empty() {
            return;
        }
        if let Some(manager) = tracker.manager_mut(run.manager) {
            let step = manager.push_inverse(run.direction, captured, run.meta.clone());
            tracker.note(run.manager, step, true, run.meta);
        }
    }

    /// A local transaction was committed.
    fn add_step(&mut self, captured: BTreeMap<HandlerIdx, Effect>, tag: &[u8]) {
        let now_ms = self.wall_clock.now_ms();
        let handlers = &self.handlers;
        let tracker = self.tracker.as_mut().expect("it noted something");
        let mut pushed = Vec::new();
        for (index, manager) in tracker.managers.iter_mut().enumerate() {
            let Some(manager) = manager else {
                continue;
            };
            if !manager.tracks_tag(tag) {
                drift_by(manager, &captured);
                continue;
            }
            let mut wanted = BTreeMap::new();
            for (number, effect) in &captured {
                if manager.tracks_handler(&handlers[number.0 as usize].id) {
                    wanted.insert(*number, effect.clone());
                }
            }
            if !wanted.is_empty() {
                let step = manager.add(wanted, now_ms);
                pushed.extend(step.map(|step| (UndoIdx(index as u32), step)));
            }
        }
        for (index, step) in pushed {
            tracker.note(index, step, true, None);
        }
    }
}

/// Edits that a manager does not count move positions in its steps.
fn drift_by(manager: &mut UndoManager, effects: &BTreeMap<HandlerIdx, Effect>) {
    for (number, effect) in effects {
        if let Effect::Positions(effect) = effect {
            manager.drift(*number, &effect.drift());
        }
    }
}

impl Tracker {
    fn note(&mut self, index: UndoIdx, step: u64, pushed: bool, meta: Option<Value>) {
        if let Some(manager) = self.manager_mut(index) {
            let (undo_count, redo_count) = (manager.undo_count(), manager.redo_count());
            self.events.push(UndoEvent {
                manager: index,
                step,
                pushed,
                undo_count,
                redo_count,
                meta,
            });
        }
    }
}
