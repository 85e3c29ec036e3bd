//! The steps that an undo manager keeps, and what it wants to know of.

use super::Direction;
use super::positions::Drift;
use super::step::{Effect, Renamed, Step};
use crate::codec::Value;
use crate::codec::json;
use crate::document::types::{DocumentError, HandlerIdx, LogPosition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How an undo manager works.
#[derive(Clone, Debug)]
pub struct UndoOptions {
    /// Transactions that are committed within so many milliseconds of the one before belong to
    /// one step, by the document's wall clock. 0: each is a step.
    pub capture_timeout_ms: u32,
    /// Most steps kept; older ones are forgotten. At least 1.
    pub steps_max: usize,
}

impl Default for UndoOptions {
    fn default() -> Self {
        UndoOptions {
            capture_timeout_ms: 500,
            steps_max: 1000,
        }
    }
}

/// Names an undo manager of one document. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UndoIdx(pub(super) u32);

/// A step was made, or was taken from its stack by undo or redo.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoEvent {
    /// Of which manager.
    pub manager: UndoIdx,
    /// Number of the step.
    pub step: u64,
    /// False: it was taken from its stack.
    pub pushed: bool,
    /// Steps that can be undone now.
    pub undo_count: u64,
    /// Steps that can be redone now.
    pub redo_count: u64,
    /// What the application had attached to the step: it goes from stack to stack with it.
    pub meta: Option<Value>,
}

/// Two readings differ if the stacks, or what they mean, changed in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UndoMark {
    revision: u64,
    /// Steps by position mean something at one state of the document only.
    position: Option<LogPosition>,
}

/// The step that undo or redo took back.
#[derive(Clone, Debug, PartialEq)]
pub struct Undone {
    /// Its number.
    pub step: u64,
    /// What the application had attached to it: where the selection was before the edit, say.
    pub meta: Option<Value>,
}

/// Steps of one user. Counts and marks; what happens to the document is in [`Document`].
///
/// [`Document`]: crate::document::Document
#[derive(Clone, Debug)]
pub struct UndoManager {
    options: UndoOptions,
    /// Ids of the handlers whose edits count; empty: all.
    scope: BTreeSet<String>,
    /// Tags of the transactions that count; empty: all.
    tags: BTreeSet<Vec<u8>>,
    /// The last step is at the back of both.
    pub(super) undo: VecDeque<Step>,
    pub(super) redo: VecDeque<Step>,
    pub(super) next_step: u64,
    /// Rises with every change of the stacks.
    revision: u64,
    /// When the last step was added to; None: the next transaction begins a new one.
    last_ms: Option<i64>,
}

/// Whether a value can be attached to a step.
pub(super) fn is_storable(value: &Value) -> bool {
    matches!(value, Value::Bytes(_)) || json::encode(value, &mut Vec::new()).is_ok()
}

impl UndoManager {
    pub(super) fn new(options: UndoOptions) -> Self {
        UndoManager {
            options,
            scope: BTreeSet::new(),
            tags: BTreeSet::new(),
            undo: VecDeque::new(),
            redo: VecDeque::new(),
            next_step: 0,
            revision: 0,
            last_ms: None,
        }
    }

    /// See [`UndoMark`]. `end` is where the document's log ends.
    pub(super) fn mark(&self, end: LogPosition) -> UndoMark {
        let mut effects = self.steps().flat_map(|step| step.effects.values());
        let has_positions = effects.any(|effect| matches!(effect, Effect::Positions(_)));
        UndoMark {
            revision: self.revision,
            position: has_positions.then_some(end),
        }
    }

    /// Whether there is a step to undo. It may turn out that nothing is left of it.
    pub fn can_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Whether there is a step to redo.
    pub fn can_redo(&self) -> bool {
        !self.redo.is_empty()
    }

    /// Steps to undo.
    pub fn undo_count(&self) -> u64 {
        self.undo.len() as u64
    }

    /// Steps to redo.
    pub fn redo_count(&self) -> u64 {
        self.redo.len() as u64
    }

    /// The number of the step that undo takes back next.
    pub fn next_undo(&self) -> Option<u64> {
        self.undo.back().map(|step| step.number)
    }

    /// The number of the step that redo takes back next.
    pub fn next_redo(&self) -> Option<u64> {
        self.redo.back().map(|step| step.number)
    }

    /// The next edit begins a new step.
    pub fn stop_capturing(&mut self) {
        self.last_ms = None;
    }

    /// Forgets all steps.
    pub fn clear(&mut self) {
        self.revision += 1;
        self.undo.clear();
        self.redo.clear();
        self.last_ms = None;
    }

    /// Counts the edits of this handler; those of handlers that were never named do not count any
    /// more.
    pub fn add_scope(&mut self, handler_id: &str) {
        self.scope.insert(handler_id.to_owned());
    }

    /// Counts transactions with this tag; those with tags that were never named do not count any
    /// more.
    pub fn add_tag(&mut self, tag: &[u8]) {
        self.tags.insert(tag.to_vec());
    }

    /// Undoes [`add_tag`](Self::add_tag). Without any tag, all transactions count. False: it was
    /// not there.
    pub fn remove_tag(&mut self, tag: &[u8]) -> bool {
        self.tags.remove(tag)
    }

    /// What the application attached to a step.
    pub fn meta(&self, step: u64) -> Option<&Value> {
        let mut steps = self.steps();
        steps.find(|known| known.number == step)?.meta.as_ref()
    }

    /// Attaches a value to a step, such as the selection before the edit as stable positions: it
    /// comes back with undo, and stays with the step on its way between the stacks. `Ok(false)`:
    /// there is no such step.
    ///
    /// # Errors
    /// `UnsupportedValue` for what is neither bytes nor JSON.
    pub fn set_meta(&mut self, step: u64, meta: Option<Value>) -> Result<bool, DocumentError> {
        if !meta.as_ref().is_none_or(is_storable) {
            return Err(DocumentError::UnsupportedValue);
        }
        self.revision += 1;
        let mut steps = self.undo.iter_mut().chain(&mut self.redo);
        let known = steps.find(|known| known.number == step);
        Ok(known.map(|known| known.meta = meta).is_some())
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.undo.iter().chain(&self.redo)
    }

    pub(super) fn tracks_tag(&self, tag: &[u8]) -> bool {
        self.tags.is_empty() || self.tags.contains(tag)
    }

    pub(super) fn tracks_handler(&self, id: &str) -> bool {
        self.scope.is_empty() || self.scope.contains(id)
    }

    /// Adds what a transaction did; returns the number of the step if it is a new one.
    pub(super) fn add(
        &mut self,
        effects: BTreeMap<HandlerIdx, Effect>,
        now_ms: i64,
    ) -> Option<u64> {
        self.revision += 1;
        self.redo.clear();
        let timeout_ms = i64::from(self.options.capture_timeout_ms);
        let continues = self
            .last_ms
            .replace(now_ms)
            .is_some_and(|last_ms| now_ms.saturating_sub(last_ms) < timeout_ms);
        match self.undo.back_mut() {
            Some(last) if continues && !last.has_drifted(&effects) => {
                last.merge(effects);
                None
            }
            _ => Some(self.push(Direction::Undo, effects, None)),
        }
    }

    /// The step that the other direction takes back.
    pub(super) fn push_inverse(
        &mut self,
        direction: Direction,
        effects: BTreeMap<HandlerIdx, Effect>,
        meta: Option<Value>,
    ) -> u64 {
        let other = match direction {
            Direction::Undo => Direction::Redo,
            Direction::Redo => Direction::Undo,
        };
        self.push(other, effects, meta)
    }

    fn push(
        &mut self,
        stack: Direction,
        effects: BTreeMap<HandlerIdx, Effect>,
        meta: Option<Value>,
    ) -> u64 {
        let number = self.next_step;
        self.next_step += 1;
        let stack = self.stack(stack);
        stack.push_back(Step {
            number,
            meta,
            effects,
            since: BTreeMap::new(),
        });
        self.trim();
        number
    }

    /// Forgets the oldest steps beyond the limit.
    pub(super) fn trim(&mut self) {
        let steps_max = self.options.steps_max.max(1);
        for stack in [&mut self.undo, &mut self.redo] {
            let excess = stack.len().saturating_sub(steps_max);
            stack.drain(..excess);
        }
    }

    fn stack(&mut self, direction: Direction) -> &mut VecDeque<Step> {
        self.revision += 1;
        match direction {
            Direction::Undo => &mut self.undo,
            Direction::Redo => &mut self.redo,
        }
    }

    /// Takes the last step of a stack; the next edit begins a new one.
    pub(super) fn pop(&mut self, direction: Direction) -> Option<Step> {
        self.last_ms = None;
        self.stack(direction).pop_back()
    }

    /// Puts a step back that could not be taken back.
    pub(super) fn push_back(&mut self, direction: Direction, step: Step) {
        self.stack(direction).push_back(step);
    }

    /// A step of this stack was taken back: what others did since it came since the one below.
    pub(super) fn hand_down(&mut self, direction: Direction, taken_back: &Step) {
        if let Some(below) = self.stack(direction).back_mut() {
            for (number, drift) in taken_back.since_without() {
                below.since.entry(number).or_default().then_all(&drift);
            }
        }
    }

    /// Others moved positions.
    pub(super) fn drift(&mut self, number: HandlerIdx, drift: &Drift) {
        self.revision += 1;
        for stack in [&mut self.undo, &mut self.redo] {
            if let Some(last) = stack.back_mut() {
                last.since.entry(number).or_default().then_all(drift);
            }
        }
    }

    pub(super) fn rename(&mut self, renamed: &Renamed) {
        self.revision += 1;
        let steps = self.undo.iter_mut().chain(&mut self.redo);
        steps.for_each(|step| step.rename(renamed));
    }
}
