//! The difference a transaction makes to a sequence, composed edit by edit; the difference of two
//! sequences, for when single edits are not known; and the events of maps and sets, joined. Lists,
//! whose elements also change and move, are in `list_delta`.

use super::types::{MapOp, TextOp};
use crate::codec::Value;
use std::collections::HashMap;

/// What a step that takes elements away says of them.
pub(crate) trait Removed: Default {
    /// How many elements.
    fn count(&self) -> u64;

    /// Takes the first `count` of them out.
    fn take_front(&mut self, count: u64) -> Self;

    /// Adds the elements that followed them.
    fn append(&mut self, following: Self);
}

/// Their number.
impl Removed for u64 {
    fn count(&self) -> u64 {
        *self
    }

    fn take_front(&mut self, count: u64) -> Self {
        *self -= count;
        count
    }

    fn append(&mut self, following: Self) {
        *self += following;
    }
}

/// One step of a delta; steps apply in order from index 0.
#[derive(Clone, Debug)]
pub(crate) enum Step<E, R> {
    Retain(u64),
    Insert(Vec<E>),
    Remove(R),
}

/// Edits so far as one delta over the sequence before. Adjacent edits coalesce, so that a burst of
/// typing stays one step.
#[derive(Clone, Debug)]
pub(crate) struct Delta<E, R> {
    /// Invariant: no empty step; neighbours differ in kind. The rest of the sequence is retained.
    steps: Vec<Step<E, R>>,
}

/// What edits do to a text: UTF-16 units.
pub(crate) type TextDelta = Delta<u16, u64>;

impl<E, R> Default for Delta<E, R> {
    fn default() -> Self {
        Delta { steps: Vec::new() }
    }
}

impl<E: Clone, R: Removed> Delta<E, R> {
    /// Elements appeared before index `at` of the present sequence.
    pub fn insert(&mut self, at: impl Into<u64>, elements: &[E]) {
        if elements.is_empty() {
            return;
        }
        let (index, offset) = self.seek(at.into());
        match self.steps.get_mut(index) {
            Some(Step::Insert(inserted)) => {
                let offset = offset as usize;
                inserted.splice(offset..offset, elements.iter().cloned());
                return;
            }
            Some(Step::Retain(count)) if offset > 0 => {
                let rest = *count - offset;
                *count = offset;
                self.steps.insert(index + 1, Step::Retain(rest));
                self.steps
                    .insert(index + 1, Step::Insert(elements.to_vec()));
                return;
            }
            _ => (),
        }
        if let Some(Step::Insert(inserted)) = index
            .checked_sub(1)
            .and_then(|before| self.steps.get_mut(before))
        {
            inserted.extend_from_slice(elements);
            return;
        }
        self.steps.insert(index, Step::Insert(elements.to_vec()));
    }

    /// Elements from index `at` on of the present sequence vanished.
    pub fn remove_all(&mut self, at: u64, mut removed: R) {
        let (mut index, mut offset) = self.seek(at);
        while removed.count() > 0 {
            match self.steps.get_mut(index) {
                None => {
                    self.add_removal(index, removed);
                    return;
                }
                Some(Step::Remove(_)) => index += 1,
                Some(Step::Insert(inserted)) => {
                    let end = (inserted.len() as u64).min(offset + removed.count());
                    inserted.drain(offset as usize..end as usize);
                    removed.take_front(end - offset);
                    if inserted.is_empty() {
                        self.steps.remove(index);
                    } else {
                        index += 1;
                    }
                }
                Some(Step::Retain(kept)) => {
                    let taken = removed.count().min(*kept - offset);
                    let rest = *kept - offset - taken;
                    *kept = offset;
                    if rest > 0 {
                        self.steps.insert(index + 1, Step::Retain(rest));
                    }
                    let place = if offset > 0 {
                        index + 1
                    } else {
                        self.steps.remove(index);
                        index
                    };
                    index = self.add_removal(place, removed.take_front(taken));
                }
            }
            offset = 0;
        }
        self.join();
    }

    /// Adds a removal at a step's place; returns the place behind it.
    fn add_removal(&mut self, index: usize, mut removed: R) -> usize {
        if let Some(Step::Remove(before)) = index
            .checked_sub(1)
            .and_then(|before| self.steps.get_mut(before))
        {
            before.append(removed);
            return index;
        }
        if let Some(Step::Remove(behind)) = self.steps.get_mut(index) {
            removed.append(std::mem::take(behind));
            *behind = removed;
            return index + 1;
        }
        self.steps.insert(index, Step::Remove(removed));
        index + 1
    }

    /// The element at index `at` of the present sequence, if these edits inserted it.
    pub fn inserted_mut(&mut self, at: u64) -> Option<&mut E> {
        let (index, offset) = self.seek(at);
        match self.steps.get_mut(index) {
            Some(Step::Insert(inserted)) => inserted.get_mut(offset as usize),
            _ => None,
        }
    }

    /// The step in which index `at` of the present sequence lies, and where in it. Past all steps
    /// a retain is added up to it.
    fn seek(&mut self, at: u64) -> (usize, u64) {
        let mut passed = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let len = match step {
                Step::Retain(count) => *count,
                Step::Insert(inserted) => inserted.len() as u64,
                Step::Remove(_) => 0,
            };
            if at < passed + len {
                return (index, at - passed);
            }
            passed += len;
        }
        if at > passed {
            match self.steps.last_mut() {
                Some(Step::Retain(count)) => *count += at - passed,
                _ => self.steps.push(Step::Retain(at - passed)),
            }
        }
        (self.steps.len(), 0)
    }

    fn join(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        for step in steps {
            match (self.steps.last_mut(), step) {
                (Some(Step::Retain(count)), Step::Retain(more)) => *count += more,
                (Some(Step::Remove(removed)), Step::Remove(more)) => removed.append(more),
                (Some(Step::Insert(inserted)), Step::Insert(more)) => inserted.extend(more),
                (_, step) => self.steps.push(step),
            }
        }
    }

    /// How long the sequence was before it became `len_now` long.
    pub fn len_before(&self, len_now: u64) -> u64 {
        self.steps.iter().fold(len_now, |len, step| match step {
            Step::Retain(_) => len,
            Step::Insert(inserted) => len - inserted.len() as u64,
            Step::Remove(removed) => len + removed.count(),
        })
    }

    /// What another delta does to the present sequence.
    pub fn then_all(&mut self, next: &Self)
    where
        R: Clone,
    {
        let mut at = 0;
        for step in &next.steps {
            match step {
                Step::Retain(count) => at += count,
                Step::Insert(elements) => {
                    self.insert(at, elements);
                    at += elements.len() as u64;
                }
                Step::Remove(removed) => self.remove_all(at, removed.clone()),
            }
        }
    }

    /// A delta of steps, which may be empty or of one kind side by side.
    pub fn from_steps(steps: Vec<Step<E, R>>) -> Self {
        let is_empty = |step: &Step<E, R>| match step {
            Step::Retain(count) => *count == 0,
            Step::Insert(elements) => elements.is_empty(),
            Step::Remove(removed) => removed.count() == 0,
        };
        let mut delta = Delta {
            steps: steps.into_iter().filter(|step| !is_empty(step)).collect(),
        };
        delta.join();
        delta
    }

    /// The steps so far.
    pub fn steps(&self) -> &[Step<E, R>] {
        &self.steps
    }

    /// The delta: nothing behind the last change.
    pub fn finish<Op: From<Step<E, R>>>(mut self) -> Vec<Op> {
        self.join();
        if let Some(Step::Retain(_)) = self.steps.last() {
            self.steps.pop();
        }
        self.steps.into_iter().map(Op::from).collect()
    }
}

impl TextDelta {
    /// `count` units from `at` on of the present text vanished.
    pub fn remove(&mut self, at: u32, count: u32) {
        self.remove_all(u64::from(at), u64::from(count));
    }

    /// What another delta does to the present text.
    pub fn then(&mut self, next: &[TextOp]) {
        let mut at = 0;
        for step in next {
            match step {
                TextOp::Retain(count) => at += *count as u32,
                TextOp::Insert(units) => {
                    self.insert(at, units);
                    at += units.len() as u32;
                }
                TextOp::Remove(count) => self.remove(at, *count as u32),
            }
        }
    }

    /// Text in place of all that was there.
    pub fn replacement(len_before: u64, after: Vec<u16>) -> Self {
        let mut delta = TextDelta::default();
        delta.insert(0u32, &after);
        delta.remove_all(after.len() as u64, len_before);
        delta
    }

    /// Records the difference of the text before an unknown change and the one after it.
    pub fn replace(&mut self, before: &[u16], after: &[u16]) {
        let Replacement {
            at,
            removed,
            inserted,
        } = replaced_stretch(before, after);
        self.insert(at as u64, &after[inserted.clone()]);
        self.remove_all(inserted.end as u64, removed as u64);
    }
}

impl From<Step<u16, u64>> for TextOp {
    fn from(step: Step<u16, u64>) -> Self {
        match step {
            Step::Retain(count) => TextOp::Retain(count),
            Step::Insert(units) => TextOp::Insert(units),
            Step::Remove(count) => TextOp::Remove(count),
        }
    }
}

/// A stretch of a sequence with other elements in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// How many elements are before it.
    pub at: usize,
    /// How many went.
    pub removed: usize,
    /// Where in the new sequence the elements are that came.
    pub inserted: std::ops::Range<usize>,
}

/// The difference of two sequences as one replaced stretch. O(length).
pub(crate) fn replaced_stretch<E: PartialEq>(old: &[E], new: &[E]) -> Replacement {
    let at = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, rest) = (&old[at..], &new[at..]);
    let suffix = old
        .iter()
        .rev()
        .zip(rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    Replacement {
        at,
        removed: old.len() - suffix,
        inserted: at..new.len() - suffix,
    }
}

/// Joins the events of a transaction to one per key: from what was before the first to what is
/// after the last; those that cancel out are dropped.
pub(crate) fn joined_events(events: Vec<MapOp>) -> Vec<MapOp> {
    let mut joined: Vec<MapOp> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for event in events {
        let at = *places.entry(event.key.clone()).or_insert(joined.len());
        match joined.get_mut(at) {
            Some(known) => known.new = event.new,
            None => joined.push(event),
        }
    }
    // An element may be shown as another of the values that are equal to it: it is still there.
    joined.retain(|event| event.old != event.new);
    joined
}

/// A text that equal elements of a set share (specification 9.7: numbers by value).
fn element_name(value: Option<&Value>) -> String {
    match value {
        // Within these bounds the cast is exact.
        Some(Value::Double(number)) if number.fract() == 0.0 && number.abs() < 1e18 => {
            format!("{:?}", Some(Value::Int(*number as i64)))
        }
        value => format!("{value:?}"),
    }
}

/// Drops the events of a set that cancel out. Elements that look alike may be several: lists and
/// objects equal nothing, so each arrival is an element of its own.
pub(crate) fn joined_set_events(events: Vec<MapOp>) -> Vec<MapOp> {
    let mut joined: Vec<Option<MapOp>> = Vec::new();
    // Places of the events that nothing has cancelled yet, by element: all arrivals or all
    // departures.
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for event in events {
        let name = element_name(event.old.as_ref().or(event.new.as_ref()));
        let open = places.entry(name).or_default();
        let last = open.last().and_then(|at| joined[*at].as_ref());
        if last.is_some_and(|last| last.old.is_some() != event.old.is_some()) {
            joined[open.pop().expect("there is a last one")] = None;
        } else {
            open.push(joined.len());
            joined.push(Some(event));
        }
    }
    joined.into_iter().flatten().collect()
}

/// Applies a delta.
#[cfg(test)]
pub(crate) fn apply(text: &[u16], delta: &[TextOp]) -> Vec<u16> {
    let mut out = Vec::new();
    let mut at = 0;
    for step in delta {
        match step {
            TextOp::Retain(count) => {
                out.extend_from_slice(&text[at..at + *count as usize]);
                at += *count as usize;
            }
            TextOp::Insert(units) => out.extend_from_slice(units),
            TextOp::Remove(count) => at += *count as usize,
        }
    }
    out.extend_from_slice(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    #[test]
    fn composed_edits_lead_from_the_text_before_to_the_text_after() {
        for seed in 0..2000 {
            let mut rng = Rng::new(seed);
            let before: Vec<u16> = (0..rng.below(12) as u16).collect();
            let mut after = before.clone();
            let mut delta = TextDelta::default();
            for _ in 0..1 + rng.below(12) {
                let at = rng.below(after.len() + 1);
                if rng.below(2) == 0 {
                    let units: Vec<u16> = (0..1 + rng.below(3))
                        .map(|_| 100 + rng.below(100) as u16)
                        .collect();
                    delta.insert(at as u64, &units);
                    after.splice(at..at, units);
                } else {
                    let count = rng.below(after.len() - at + 1).min(4);
                    delta.remove(at as u32, count as u32);
                    after.drain(at..at + count);
                }
            }
            let steps: Vec<TextOp> = delta.finish();
            assert_eq!(apply(&before, &steps), after, "seed {seed}: {steps:?}");
            let mut replaced = TextDelta::default();
            replaced.replace(&before, &after);
            assert_eq!(apply(&before, &replaced.finish()), after, "seed {seed}");
            assert!(
                steps.windows(2).all(
                    |pair| std::mem::discriminant(&pair[0]) != std::mem::discriminant(&pair[1])
                )
            );
        }
    }

    #[test]
    fn an_element_that_goes_and_comes_back_in_another_form_is_one_event() {
        let event = |old: Option<Value>, new: Option<Value>| MapOp {
            key: String::new(),
            old,
            new,
        };
        let (int, double) = (Value::Int(1), Value::Double(1.0));
        let came = [
            event(None, Some(int.clone())),
            event(Some(double.clone()), None),
            event(None, Some(double.clone())),
        ];
        assert_eq!(
            joined_set_events(came.to_vec()),
            [event(None, Some(double.clone()))]
        );
        let stayed = [
            event(Some(int.clone()), None),
            event(None, Some(double.clone())),
        ];
        assert_eq!(joined_set_events(stayed.to_vec()), []);
        // For a map they are different values.
        assert_eq!(
            joined_events(stayed.to_vec()),
            [event(Some(int), Some(double))]
        );
    }
}
