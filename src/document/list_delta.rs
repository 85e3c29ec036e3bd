//! The difference a transaction makes to a list, composed edit by edit.
//!
//! Insertions and removals are one delta over the list before; updates and moves of elements that
//! were there before follow it as steps with indexes of their own. An insertion or removal that
//! comes behind such steps is taken through them, from the last to the first, into the delta.

use super::delta::{Delta, Removed, Replacement, Step, replaced_stretch};
use super::types::ListOp;
use crate::codec::Value;

/// See the module. Each edit costs O(steps so far).
#[derive(Clone, Debug, Default)]
pub(crate) struct ListDelta {
    /// What came and went.
    base: Delta<Value, Vec<Value>>,
    /// What elements that were there before did then, in order. Their indexes are those of the
    /// list as the steps before leave it.
    then: Vec<Touch>,
}

#[derive(Clone, Debug)]
enum Touch {
    Update {
        index: u64,
        old: Value,
        new: Value,
    },
    /// The element at `from` goes to where it has `to` elements before it.
    Move {
        from: u64,
        to: u64,
    },
}

impl ListDelta {
    /// Elements appeared before index `at` of the present list.
    pub fn insert(&mut self, at: u64, values: &[Value]) {
        let count = values.len() as u64;
        let mut at = at;
        for step in self.then.iter_mut().rev() {
            match step {
                Touch::Update { index, .. } => *index += if *index >= at { count } else { 0 },
                Touch::Move { from, to } => {
                    // The gap among the elements that stayed.
                    let gap = if at <= *to { at } else { at - 1 };
                    *to += if at <= *to { count } else { 0 };
                    at = if gap <= *from { gap } else { gap + 1 };
                    *from += if gap <= *from { count } else { 0 };
                }
            }
        }
        self.base.insert(at, values);
    }

    /// Elements from index `at` on of the present list vanished; `old` are their values.
    pub fn remove(&mut self, at: u64, old: Vec<Value>) {
        if self.then.is_empty() {
            return self.base.remove_all(at, old);
        }
        // What is together now may have been apart.
        for value in old {
            self.remove_one(at, value);
        }
    }

    fn remove_one(&mut self, at: u64, old: Value) {
        let (mut at, mut gone) = (at, old);
        for nth in (0..self.then.len()).rev() {
            match &mut self.then[nth] {
                Touch::Update { index, old, .. } if *index == at => {
                    gone = std::mem::replace(old, Value::Null);
                    self.then.remove(nth);
                }
                Touch::Update { index, .. } => *index -= u64::from(*index > at),
                Touch::Move { from, to } if *to == at => {
                    at = *from;
                    self.then.remove(nth);
                }
                Touch::Move { from, to } => {
                    let stayed = if at < *to { at } else { at - 1 };
                    *to -= u64::from(at < *to);
                    at = if stayed < *from { stayed } else { stayed + 1 };
                    *from -= u64::from(at < *from);
                }
            }
        }
        self.base.remove_all(at, vec![gone]);
    }

    /// The element at index `at` of the present list has another value.
    pub fn update(&mut self, at: u64, old: Value, new: Value) {
        let (origin, last) = self.trace(at);
        if let Some(inserted) = self.base.inserted_mut(origin) {
            *inserted = new;
            return;
        }
        let Some(nth) = last else {
            if old != new {
                let index = at;
                self.then.push(Touch::Update { index, old, new });
            }
            return;
        };
        if let Touch::Update {
            old, new: known, ..
        } = &mut self.then[nth]
        {
            *known = new;
            if old == known {
                self.then.remove(nth);
            }
        }
    }

    /// The element at index `from` of the present list went to where it has `to` elements before
    /// it.
    pub fn move_(&mut self, from: u64, to: u64) {
        if from == to {
            return;
        }
        let (origin, _) = self.trace(from);
        if let Some(value) = self.base.inserted_mut(origin).cloned() {
            // It was not there before: it came to another place.
            self.remove(from, vec![value.clone()]);
            self.insert(to, &[value]);
            return;
        }
        if let Some(Touch::Move {
            from: first,
            to: last,
        }) = self.then.last_mut()
        {
            if *last == from {
                *last = to;
                if *first == to {
                    self.then.pop();
                }
                return;
            }
        }
        self.then.push(Touch::Move { from, to });
    }

    /// Where the element at `at` was before all updates and moves, and its last update.
    fn trace(&self, at: u64) -> (u64, Option<usize>) {
        let (mut at, mut update) = (at, None);
        for (nth, step) in self.then.iter().enumerate().rev() {
            match step {
                Touch::Update { index, .. } if *index == at => update = update.or(Some(nth)),
                Touch::Update { .. } => (),
                Touch::Move { from, to } if *to == at => at = *from,
                Touch::Move { from, to } => {
                    let stayed = if at < *to { at } else { at - 1 };
                    at = if stayed < *from { stayed } else { stayed + 1 };
                }
            }
        }
        (at, update)
    }

    /// Records the difference of the list before an unknown change and the one after it, as one
    /// replaced stretch.
    pub fn replace(&mut self, before: &[Value], after: &[Value]) {
        let Replacement {
            at,
            removed,
            inserted,
        } = replaced_stretch(before, after);
        let old = before[at..at + removed].to_vec();
        self.insert(at as u64, &after[inserted.clone()]);
        self.remove(inserted.end as u64, old);
    }

    /// The list before it became `now`.
    pub fn before(&self, mut now: Vec<Value>) -> Vec<Value> {
        for step in self.then.iter().rev() {
            match step {
                Touch::Update { index, old, .. } => now[*index as usize] = old.clone(),
                Touch::Move { from, to } => {
                    let moved = now.remove(*to as usize);
                    now.insert(*from as usize, moved);
                }
            }
        }
        self.base.before(now)
    }

    /// What another delta does to the present list.
    pub fn then(&mut self, next: &[ListOp]) {
        let mut at = 0;
        for step in next {
            match step {
                ListOp::Retain(count) => at += count,
                ListOp::Insert(values) => {
                    self.insert(at, values);
                    at += values.len() as u64;
                }
                ListOp::Remove(values) => self.remove(at, values.clone()),
                ListOp::Update { index, old, new } => self.update(*index, old.clone(), new.clone()),
                ListOp::Move { from, to } => self.move_(*from, *to),
            }
        }
    }

    /// What takes another delta back that led to the present list.
    pub fn then_inverse(&mut self, last: &[ListOp]) {
        for step in last.iter().rev() {
            match step {
                ListOp::Update { index, old, new } => self.update(*index, new.clone(), old.clone()),
                ListOp::Move { from, to } => self.move_(*to, *from),
                ListOp::Retain(_) | ListOp::Insert(_) | ListOp::Remove(_) => (),
            }
        }
        let mut at = 0;
        for step in last {
            match step {
                ListOp::Retain(count) => at += count,
                ListOp::Insert(values) => self.remove(at, values.clone()),
                ListOp::Remove(values) => {
                    self.insert(at, values);
                    at += values.len() as u64;
                }
                ListOp::Update { .. } | ListOp::Move { .. } => (),
            }
        }
    }

    /// The steps of the delta.
    pub fn finish(self) -> Vec<ListOp> {
        let mut steps: Vec<ListOp> = self.base.finish();
        steps.extend(self.then.into_iter().map(|step| match step {
            Touch::Update { index, old, new } => ListOp::Update { index, old, new },
            Touch::Move { from, to } => ListOp::Move { from, to },
        }));
        steps
    }
}

impl Delta<Value, Vec<Value>> {
    fn before(&self, now: Vec<Value>) -> Vec<Value> {
        let mut before = Vec::with_capacity(now.len());
        let mut now = now.into_iter();
        for step in self.steps() {
            match step {
                Step::Retain(count) => before.extend(now.by_ref().take(*count as usize)),
                Step::Insert(values) => drop(now.by_ref().take(values.len()).count()),
                Step::Remove(values) => before.extend_from_slice(values),
            }
        }
        before.extend(now);
        before
    }
}

impl From<Step<Value, Vec<Value>>> for ListOp {
    fn from(step: Step<Value, Vec<Value>>) -> Self {
        match step {
            Step::Retain(count) => ListOp::Retain(count),
            Step::Insert(values) => ListOp::Insert(values),
            Step::Remove(values) => ListOp::Remove(values),
        }
    }
}

/// Removed elements, themselves.
impl<E> Removed for Vec<E> {
    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn take_front(&mut self, count: u64) -> Self {
        let rest = self.split_off(count as usize);
        std::mem::replace(self, rest)
    }

    fn append(&mut self, following: Self) {
        self.extend(following);
    }
}

/// Applies a delta, and checks that what it says was there is there.
#[cfg(test)]
pub(crate) fn apply(list: &[Value], delta: &[ListOp]) -> Vec<Value> {
    let mut out = list.to_vec();
    let mut at = 0;
    for step in delta {
        match step {
            ListOp::Retain(count) => at += *count as usize,
            ListOp::Insert(values) => {
                out.splice(at..at, values.iter().cloned());
                at += values.len();
            }
            ListOp::Remove(values) => {
                assert!(out.drain(at..at + values.len()).eq(values.iter().cloned()))
            }
            ListOp::Update { index, old, new } => {
                assert_eq!(&out[*index as usize], old);
                out[*index as usize] = new.clone();
            }
            ListOp::Move { from, to } => {
                let moved = out.remove(*from as usize);
                out.insert(*to as usize, moved);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Distinct values, so that no mistake stays hidden; at times old ones again.
    fn new_value(rng: &mut Rng, made: &mut i64) -> Value {
        *made += 1;
        Value::Int(if rng.below(6) == 0 { *made / 2 } else { *made })
    }

    #[test]
    fn composed_edits_lead_from_the_list_before_to_the_list_after() {
        for seed in 0..4000 {
            let mut rng = Rng::new(seed);
            let mut made = 0;
            let before: Vec<Value> = (0..rng.below(9))
                .map(|_| new_value(&mut rng, &mut made))
                .collect();
            let mut after = before.clone();
            let mut delta = ListDelta::default();
            for _ in 0..1 + rng.below(12) {
                edit(&mut rng, &mut made, &mut after, &mut delta);
                assert_eq!(delta.before(after.clone()), before, "seed {seed}");
                let mut back = ListDelta::default();
                back.then_inverse(&delta.clone().finish());
                let back = back.finish();
                assert_eq!(apply(&after, &back), before, "seed {seed}: {back:?}");
                let mut there = ListDelta::default();
                there.then_inverse(&back);
                there.then(&back);
                there.then_inverse(&back);
                assert_eq!(apply(&before, &there.finish()), after, "seed {seed}");
                let steps = delta.clone().finish();
                assert_eq!(apply(&before, &steps), after, "seed {seed}: {steps:?}");
                is_in_documented_form(&steps);
            }
            let mut replaced = ListDelta::default();
            replaced.replace(&before, &after);
            assert_eq!(apply(&before, &replaced.finish()), after, "seed {seed}");
        }
    }

    fn edit(rng: &mut Rng, made: &mut i64, list: &mut Vec<Value>, delta: &mut ListDelta) {
        let at = rng.below(list.len() + 1);
        match rng.below(5) {
            0 => {
                let values: Vec<Value> = (0..rng.below(4)).map(|_| new_value(rng, made)).collect();
                delta.insert(at as u64, &values);
                list.splice(at..at, values);
            }
            1 => {
                let count = rng.below(list.len() - at + 1).min(3);
                let old = list.drain(at..at + count).collect();
                delta.remove(at as u64, old);
            }
            2 if at < list.len() => {
                let new = new_value(rng, made);
                let old = std::mem::replace(&mut list[at], new.clone());
                delta.update(at as u64, old, new);
            }
            3 | 4 if at < list.len() => {
                let to = rng.below(list.len());
                let moved = list.remove(at);
                list.insert(to, moved);
                delta.move_(at as u64, to as u64);
            }
            _ => (),
        }
    }

    fn is_in_documented_form(steps: &[ListOp]) {
        let is_base = |step: &ListOp| !matches!(step, ListOp::Update { .. } | ListOp::Move { .. });
        let base = steps.iter().take_while(|step| is_base(step)).count();
        assert!(!steps[base..].iter().any(is_base));
        for pair in steps[..base].windows(2) {
            assert_ne!(
                std::mem::discriminant(&pair[0]),
                std::mem::discriminant(&pair[1])
            );
        }
    }

    #[test]
    fn what_happens_to_a_new_element_is_part_of_its_insertion() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let mut delta = ListDelta::default();
        delta.insert(3, std::slice::from_ref(&one));
        delta.update(3, one, two.clone());
        delta.move_(3, 1);
        assert_eq!(
            delta.finish(),
            [ListOp::Retain(1), ListOp::Insert(vec![two])]
        );
    }

    #[test]
    fn what_comes_back_to_what_it_was_is_no_step() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let mut delta = ListDelta::default();
        delta.update(4, one.clone(), two.clone());
        delta.move_(1, 4);
        delta.move_(4, 2);
        delta.move_(2, 1);
        delta.update(4, two, one);
        assert_eq!(delta.finish(), []);
    }

    /// An element that was changed and moved goes as what it was, from where it was.
    #[test]
    fn a_removal_names_the_value_before_the_transaction() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let mut delta = ListDelta::default();
        delta.update(2, one.clone(), two.clone());
        delta.move_(2, 0);
        delta.remove(0, vec![two]);
        assert_eq!(
            delta.finish(),
            [ListOp::Retain(2), ListOp::Remove(vec![one])]
        );
    }
}
