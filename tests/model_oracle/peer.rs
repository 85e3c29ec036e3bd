//! One replica: its changes, clock and open transaction (specification chapter 8).

use super::clock::Clock;
use super::ops::Op;
use super::state::State;
use std::collections::VecDeque;
use syncline::clock::{Hlc, OperationId, PeerId};
use syncline::codec::{Change, ElementId, Value};

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
    next_counter: u64,
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
            next_counter: 0,
        }
    }

    /// 9.1: all stored changes in replay order, then what is queued.
    pub fn state(&self) -> State {
        let mut changes: Vec<&Change> = self.stored.iter().collect();
        changes.sort_by_key(|change| (change.id.hlc, change.id.peer));
        let mut state = State::default();
        changes
            .into_iter()
            .filter_map(Op::of)
            .for_each(|op| state.apply(&op));
        self.queue.iter().flatten().for_each(|op| state.apply(op));
        state
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
        self.next_counter = self
            .stored
            .iter()
            .filter_map(Op::of)
            .map(|op| self.counter_after(&op))
            .max()
            .unwrap_or(0);
    }

    /// One more than the largest own counter that an operation produces.
    fn counter_after(&self, op: &Op) -> u64 {
        let own = |id: &ElementId| {
            if id.peer == self.id {
                id.counter + 1
            } else {
                0
            }
        };
        match op {
            Op::TextInsert { items, .. } => items.iter().map(|(id, _)| own(id)).max().unwrap_or(0),
            Op::TextUpdate(items) => items.iter().map(|(_, new, _)| own(new)).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn submit(&mut self, op: Op) {
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

    fn tick(&mut self) -> OperationId {
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
                self.next_counter = self.next_counter.max(self.counter_after(&op));
            }
            self.stored.push(change.clone());
        }
    }

    fn new_element(&mut self) -> ElementId {
        self.next_counter += 1;
        ElementId {
            peer: self.id,
            counter: self.next_counter - 1,
        }
    }

    pub fn text_insert(&mut self, index: usize, units: &[u16]) {
        let (left, right) = self.state().text.origins(index);
        let items = units
            .iter()
            .map(|unit| (self.new_element(), vec![*unit]))
            .collect();
        self.submit(Op::TextInsert { left, right, items });
    }

    pub fn text_remove(&mut self, index: usize, count: usize) {
        let live = self.state().text.live();
        self.submit(Op::TextDelete(live[index..index + count].to_vec()));
    }

    /// Units past the end are left out; without any there is no change.
    pub fn text_update(&mut self, index: usize, units: &[u16]) {
        let live = self.state().text.live();
        let targets = live[index..].iter().zip(units);
        let items: Vec<_> = targets
            .map(|(old, unit)| (*old, self.new_element(), vec![*unit]))
            .collect();
        if !items.is_empty() {
            self.submit(Op::TextUpdate(items));
        }
    }

    pub fn map_set(&mut self, key: &str, value: &Value) {
        self.submit(Op::MapSet(key.into(), value.clone()));
    }

    pub fn map_update(&mut self, key: &str, value: &Value) {
        self.submit(Op::MapUpdate(key.into(), value.clone()));
    }

    pub fn map_remove(&mut self, key: &str) {
        self.submit(Op::MapDelete(key.into()));
    }

    pub fn register_set(&mut self, value: &Value) {
        self.submit(Op::RegisterSet(value.clone()));
    }

    pub fn set_add(&mut self, value: &Value) {
        let tag = self.tick();
        self.submit(Op::SetAdd(value.clone(), tag));
    }

    pub fn set_remove(&mut self, value: &Value) {
        let tags = self.state().set.tags(value);
        let all = tags.is_empty();
        self.submit(Op::SetRemove(value.clone(), tags, all));
    }
}

/// The compaction table of 8.8: neighbours only.
fn compacted(queue: Vec<Op>) -> Vec<Op> {
    let mut out: Vec<Op> = Vec::new();
    for next in queue {
        match out.last().and_then(|last| compound(last, &next)) {
            Some(joined) => *out.last_mut().expect("joined with it") = joined,
            None => out.push(next),
        }
    }
    out
}

fn compound(acc: &Op, next: &Op) -> Option<Op> {
    let key_of = |op: &Op| match op {
        Op::MapSet(key, _) | Op::MapUpdate(key, _) | Op::MapDelete(key) => Some(key.clone()),
        _ => None,
    };
    match (acc, next) {
        (Op::RegisterSet(_), Op::RegisterSet(_)) => Some(next.clone()),
        _ if key_of(acc).is_none() || key_of(acc) != key_of(next) => None,
        (_, Op::MapDelete(_) | Op::MapSet(..)) => Some(next.clone()),
        (Op::MapSet(key, _), Op::MapUpdate(_, value)) => {
            Some(Op::MapSet(key.clone(), value.clone()))
        }
        (Op::MapDelete(_), Op::MapUpdate(..)) => Some(acc.clone()),
        (Op::MapUpdate(..), Op::MapUpdate(..)) => Some(next.clone()),
        _ => None,
    }
}
