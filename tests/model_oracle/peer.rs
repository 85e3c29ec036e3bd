//! One replica: its changes, clock and open transaction (specification chapter 8).

use super::clock::Clock;
use super::compaction::compacted;
use super::ops::{Action, Op};
use super::state::States;
use std::collections::{HashMap, VecDeque};
use syncline::clock::{Hlc, OperationId, PeerId};
use syncline::codec::{Change, ElementId};
use syncline::document::HandlerKind;

/// A change that the engine must have made.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub id: OperationId,
    pub deps: Vec<OperationId>,
    pub op: Op,
}

pub struct ModelPeer {
    pub id: PeerId,
    pub wall_ms: i64,
    pub clock: Clock,
    /// In store order.
    pub stored: Vec<Change>,
    pub frontier: Vec<OperationId>,
    /// Operations of the open transaction, and its depth.
    pub queue: Option<Vec<Op>>,
    pub depth: usize,
    /// Local changes that were not compared with the engine's yet.
    pub expected: Vec<Expected>,
    /// By handler.
    next_counters: HashMap<HandlerKind, u64>,
}

impl ModelPeer {
    pub fn new(id: PeerId, wall_ms: i64) -> Self {
        ModelPeer {
            id,
            wall_ms,
            clock: Clock::default(),
            stored: Vec::new(),
            frontier: Vec::new(),
            queue: None,
            depth: 0,
            expected: Vec::new(),
            next_counters: HashMap::new(),
        }
    }

    /// 9.1: all stored changes in replay order, then what is queued.
    pub fn states(&self) -> States {
        let mut changes: Vec<&Change> = self.stored.iter().collect();
        changes.sort_by_key(|change| (change.id.hlc, change.id.peer));
        let mut states = States::default();
        changes
            .into_iter()
            .filter_map(Op::of)
            .for_each(|op| states.apply(&op));
        self.queue.iter().flatten().for_each(|op| states.apply(op));
        states
    }

    pub fn seen(&self, peer: PeerId) -> Option<Hlc> {
        self.stored
            .iter()
            .filter(|change| change.id.peer == peer)
            .map(|change| change.id.hlc)
            .max()
    }

    fn has(&self, id: &OperationId) -> bool {
        self.stored.iter().any(|change| change.id == *id)
    }

    /// 8.4; false if it is known or not ready.
    pub fn apply(&mut self, change: &Change) -> bool {
        if self.has(&change.id) || !change.deps.iter().all(|dep| self.has(dep)) {
            return false;
        }
        self.stored.push(change.clone());
        self.frontier.retain(|head| !change.deps.contains(head));
        self.frontier.push(change.id);
        self.clock.receive_event(self.wall_ms, change.id.hlc);
        true
    }

    /// 8.5; returns the number applied. Changes listed twice count once (defect 13.9).
    pub fn import(&mut self, changes: &[Change]) -> usize {
        let mut new: Vec<&Change> = Vec::new();
        for change in changes {
            let is_seen = self
                .seen(change.id.peer)
                .is_some_and(|seen| change.id.hlc <= seen);
            if !is_seen && !new.iter().any(|known| known.id == change.id) {
                new.push(change);
            }
        }
        let in_list = |id: &OperationId| new.iter().any(|change| change.id == *id);
        let mut missing: Vec<usize> = new
            .iter()
            .map(|change| change.deps.iter().filter(|dep| in_list(dep)).count())
            .collect();
        let mut queue: VecDeque<usize> = (0..new.len()).filter(|at| missing[*at] == 0).collect();
        let mut applied = 0;
        while let Some(at) = queue.pop_front() {
            applied += usize::from(self.apply(new[at]));
            for (dependent, change) in new.iter().enumerate() {
                if change.deps.contains(&new[at].id) {
                    missing[dependent] -= 1;
                    if missing[dependent] == 0 {
                        queue.push_back(dependent);
                    }
                }
            }
        }
        applied
    }

    pub fn begin(&mut self) {
        self.depth += 1;
        self.queue.get_or_insert_default();
    }

    pub fn commit(&mut self) {
        self.depth -= 1;
        if self.depth == 0 {
            let queue = self.queue.take().expect("open");
            compacted(queue)
                .into_iter()
                .for_each(|op| self.make_change(op));
        }
    }

    pub fn rollback(&mut self) {
        self.depth = 0;
        self.queue = None;
        self.next_counters.clear();
        let stored: Vec<Op> = self.stored.iter().filter_map(Op::of).collect();
        stored.iter().for_each(|op| self.lift_counter(op));
    }

    /// The next own element comes behind all that an operation produces.
    fn lift_counter(&mut self, op: &Op) {
        let produced: Vec<ElementId> = match &op.action {
            Action::Insert { items, .. } => items.iter().map(|(id, _)| *id).collect(),
            Action::Replace(items) => items.iter().map(|(_, new, _)| *new).collect(),
            Action::Place { items, .. } => items
                .iter()
                .flat_map(|(identity, position, _)| [*identity, *position])
                .collect(),
            Action::Move { position, .. } => vec![*position],
            _ => Vec::new(),
        };
        let next = self.next_counters.entry(op.kind).or_default();
        for id in produced.into_iter().filter(|id| id.peer == self.id) {
            *next = (*next).max(id.counter + 1);
        }
    }

    pub fn submit(&mut self, kind: HandlerKind, action: Action) {
        let op = Op { kind, action };
        match &mut self.queue {
            Some(queue) => queue.push(op),
            None => self.make_change(op),
        }
    }

    /// 8.3. The payload is the engine's; see [`adopt`](Self::adopt).
    fn make_change(&mut self, op: Op) {
        let id = self.tick();
        let deps = std::mem::replace(&mut self.frontier, vec![id]);
        self.expected.push(Expected { id, deps, op });
        self.clock.receive_event(self.wall_ms, id.hlc);
    }

    pub fn tick(&mut self) -> OperationId {
        OperationId::new(self.id, self.clock.local_event(self.wall_ms))
    }

    /// Compares the changes that the engine made with the expected ones and keeps them.
    pub fn adopt(&mut self, made: &[Change]) {
        let expected = std::mem::take(&mut self.expected);
        assert_eq!(made.len(), expected.len(), "number of changes");
        for (change, expected) in made.iter().zip(expected) {
            let op = Op::of(change).expect("the engine's own changes can be read");
            assert_eq!(
                Expected {
                    id: change.id,
                    deps: change.deps.clone(),
                    op
                },
                expected
            );
            self.stored.push(change.clone());
        }
    }

    /// Keeps changes that the engine made in a way that is not foreseen here.
    pub fn follow(&mut self, made: &[Change]) {
        for change in made {
            assert_eq!(change.id, self.tick());
            assert_eq!(change.deps, self.frontier);
            self.frontier = vec![change.id];
            self.clock.receive_event(self.wall_ms, change.id.hlc);
            if let Some(op) = Op::of(change) {
                self.lift_counter(&op);
            }
            self.stored.push(change.clone());
        }
    }

    pub fn new_element(&mut self, kind: HandlerKind) -> ElementId {
        let next = self.next_counters.entry(kind).or_default();
        *next += 1;
        ElementId {
            peer: self.id,
            counter: *next - 1,
        }
    }
}
