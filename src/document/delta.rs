//! The difference a transaction makes to a text, composed edit by edit; and the difference of two
//! texts, for when single edits are not known.

use super::types::{ListOp, MapOp, TextOp};
use crate::codec::Value;
use std::collections::HashMap;

/// Edits so far as one delta over the text before. Adjacent edits coalesce, so that a burst of
/// typing stays one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextDelta {
    /// Invariant: no empty step; neighbours differ in kind. The rest of the text is retained.
    steps: Vec<TextOp>,
}

impl TextDelta {
    /// Text appeared before unit `at` of the present text.
    pub fn insert(&mut self, at: u32, units: &[u16]) {
        if units.is_empty() {
            return;
        }
        let (index, offset) = self.seek(u64::from(at));
        match self.steps.get_mut(index) {
            Some(TextOp::Insert(text)) => {
                text.splice(offset as usize..offset as usize, units.iter().copied());
                return;
            }
            Some(TextOp::Retain(count)) if offset > 0 => {
                let rest = *count - offset;
                *count = offset;
                self.steps.insert(index + 1, TextOp::Retain(rest));
                self.steps.insert(index + 1, TextOp::Insert(units.to_vec()));
                return;
            }
            _ => (),
        }
        if let Some(TextOp::Insert(text)) = index
            .checked_sub(1)
            .and_then(|before| self.steps.get_mut(before))
        {
            text.extend_from_slice(units);
            return;
        }
        self.steps.insert(index, TextOp::Insert(units.to_vec()));
    }

    /// `count` units from `at` on of the present text vanished.
    pub fn remove(&mut self, at: u32, count: u32) {
        let mut left = u64::from(count);
        let (mut index, mut offset) = self.seek(u64::from(at));
        while left > 0 {
            match self.steps.get_mut(index) {
                None => {
                    self.add_removal(index, left);
                    return;
                }
                Some(TextOp::Remove(_)) => index += 1,
                Some(TextOp::Insert(text)) => {
                    let end = (text.len() as u64).min(offset + left);
                    text.drain(offset as usize..end as usize);
                    left -= end - offset;
                    if text.is_empty() {
                        self.steps.remove(index);
                    } else {
                        index += 1;
                    }
                }
                Some(TextOp::Retain(kept)) => {
                    let taken = left.min(*kept - offset);
                    let rest = *kept - offset - taken;
                    left -= taken;
                    *kept = offset;
                    if rest > 0 {
                        self.steps.insert(index + 1, TextOp::Retain(rest));
                    }
                    let place = if offset > 0 {
                        index + 1
                    } else {
                        self.steps.remove(index);
                        index
                    };
                    index = self.add_removal(place, taken);
                }
            }
            offset = 0;
        }
        self.join();
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

    /// Adds a removal at a step's place; returns the place behind it.
    fn add_removal(&mut self, index: usize, count: u64) -> usize {
        if let Some(TextOp::Remove(removed)) = index
            .checked_sub(1)
            .and_then(|before| self.steps.get_mut(before))
        {
            *removed += count;
            return index;
        }
        if let Some(TextOp::Remove(removed)) = self.steps.get_mut(index) {
            *removed += count;
            return index + 1;
        }
        self.steps.insert(index, TextOp::Remove(count));
        index + 1
    }

    /// The step in which unit `at` of the present text lies, and where in it. Past all steps a
    /// retain is added up to it.
    fn seek(&mut self, at: u64) -> (usize, u64) {
        let mut passed = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let len = match step {
                TextOp::Retain(count) => *count,
                TextOp::Insert(units) => units.len() as u64,
                TextOp::Remove(_) => 0,
            };
            if at < passed + len {
                return (index, at - passed);
            }
            passed += len;
        }
        if at > passed {
            match self.steps.last_mut() {
                Some(TextOp::Retain(count)) => *count += at - passed,
                _ => self.steps.push(TextOp::Retain(at - passed)),
            }
        }
        (self.steps.len(), 0)
    }

    fn join(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        for step in steps {
            match (self.steps.last_mut(), step) {
                (Some(TextOp::Retain(count)), TextOp::Retain(more)) => *count += more,
                (Some(TextOp::Remove(count)), TextOp::Remove(more)) => *count += more,
                (Some(TextOp::Insert(text)), TextOp::Insert(more)) => text.extend(more),
                (_, step) => self.steps.push(step),
            }
        }
    }

    /// How long the text was before it became `len_now` long.
    pub fn len_before(&self, len_now: u64) -> u64 {
        self.steps.iter().fold(len_now, |len, step| match step {
            TextOp::Retain(_) => len,
            TextOp::Insert(units) => len - units.len() as u64,
            TextOp::Remove(count) => len + count,
        })
    }

    /// Text in place of all that was there.
    pub fn replacement(len_before: u64, after: Vec<u16>) -> Self {
        let mut steps = Vec::new();
        if !after.is_empty() {
            steps.push(TextOp::Insert(after));
        }
        if len_before > 0 {
            steps.push(TextOp::Remove(len_before));
        }
        TextDelta { steps }
    }

    /// The delta: nothing behind the last change.
    pub fn finish(mut self) -> Vec<TextOp> {
        self.join();
        if let Some(TextOp::Retain(_)) = self.steps.last() {
            self.steps.pop();
        }
        self.steps
    }
}

/// The difference of two texts as one replaced stretch. O(length).
pub(crate) fn replaced_stretch(old: &[u16], new: &[u16]) -> Vec<TextOp> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[prefix..], &new[prefix..]);
    let suffix = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (removed, inserted) = (old.len() - suffix, &new[..new.len() - suffix]);
    let mut delta = Vec::new();
    if removed == 0 && inserted.is_empty() {
        return delta;
    }
    if prefix > 0 {
        delta.push(TextOp::Retain(prefix as u64));
    }
    if !inserted.is_empty() {
        delta.push(TextOp::Insert(inserted.to_vec()));
    }
    if removed > 0 {
        delta.push(TextOp::Remove(removed as u64));
    }
    delta
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
                    delta.insert(at as u32, &units);
                    after.splice(at..at, units);
                } else {
                    let count = rng.below(after.len() - at + 1).min(4);
                    delta.remove(at as u32, count as u32);
                    after.drain(at..at + count);
                }
            }
            let steps = delta.finish();
            assert_eq!(apply(&before, &steps), after, "seed {seed}: {steps:?}");
            assert_eq!(
                apply(&before, &replaced_stretch(&before, &after)),
                after,
                "seed {seed}"
            );
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

/// What a transaction does to a list, step by step.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListDelta {
    steps: Vec<ListOp>,
}

impl ListDelta {
    /// The steps of the delta.
    pub fn finish(self) -> Vec<ListOp> {
        self.steps
    }
}
