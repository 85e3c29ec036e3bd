//! Steps on texts and lists by position. Their elements have no ids, so a step is a delta over
//! what was there before it, and what others do afterwards is kept beside it as a delta, too:
//! taking the step back applies the inverse, transformed over what came since. What came since,
//! transformed over the inverse, then came since the step before.

use super::super::Document;
use super::super::delta::{Delta, Removed, Step as DeltaStep};
use super::super::handler::State;
use super::super::handlers::operation::kind;
use super::super::handlers::plain_body::{read_placed, read_removal};
use super::super::types::{DocumentError, HandlerDelta, HandlerIdx, ListOp, TextOp};
use super::step::Effect;
use crate::codec::{Value, wtf8};

/// What others did, as far as it moves positions.
pub(in super::super) type Drift = Delta<(), u64>;

/// What a step did, in all: a delta over what was there before it.
#[derive(Clone, Debug)]
pub(in super::super) enum PositionsEffect {
    Text(Delta<u16, Vec<u16>>),
    List(Delta<Value, Vec<Value>>),
}

impl PositionsEffect {
    pub fn is_empty(&self) -> bool {
        match self {
            PositionsEffect::Text(delta) => is_identity(delta.steps()),
            PositionsEffect::List(delta) => is_identity(delta.steps()),
        }
    }

    /// Adds what a later part of the same step did.
    pub fn merge(&mut self, later: PositionsEffect) {
        match (self, later) {
            (PositionsEffect::Text(delta), PositionsEffect::Text(later)) => delta.then_all(&later),
            (PositionsEffect::List(delta), PositionsEffect::List(later)) => delta.then_all(&later),
            _ => unreachable!("a handler keeps its kind"),
        }
    }

    /// How it moves positions.
    pub fn drift(&self) -> Drift {
        match self {
            PositionsEffect::Text(delta) => lengths(delta.steps()),
            PositionsEffect::List(delta) => lengths(delta.steps()),
        }
    }

    /// What came since the step, as it would have come without it.
    pub fn drift_without(&self, since: &Drift) -> Drift {
        let inverse = self.drift();
        let inverse: Vec<DeltaStep<(), u64>> = inverse.steps().iter().map(swapped).collect();
        Delta::from_steps(transformed(since.steps(), &inverse, false))
    }
}

fn swapped(step: &DeltaStep<(), u64>) -> DeltaStep<(), u64> {
    match step {
        DeltaStep::Retain(count) => DeltaStep::Retain(*count),
        DeltaStep::Insert(units) => DeltaStep::Remove(units.len() as u64),
        DeltaStep::Remove(count) => DeltaStep::Insert(vec![(); *count as usize]),
    }
}

fn is_identity<E, R>(steps: &[DeltaStep<E, R>]) -> bool {
    let mut steps = steps.iter();
    steps.all(|step| matches!(step, DeltaStep::Retain(_)))
}

fn lengths<E: Clone, R: Removed + Clone>(steps: &[DeltaStep<E, R>]) -> Drift {
    let steps = steps.iter().map(|step| match step {
        DeltaStep::Retain(count) => DeltaStep::Retain(*count),
        DeltaStep::Insert(elements) => DeltaStep::Insert(vec![(); elements.len()]),
        DeltaStep::Remove(removed) => DeltaStep::Remove(removed.count()),
    });
    Delta::from_steps(steps.collect())
}

/// The inverse of a delta that knows what it removed.
fn inverse<E: Clone>(delta: &Delta<E, Vec<E>>) -> Vec<DeltaStep<E, u64>> {
    let steps = delta.steps().iter().map(|step| match step {
        DeltaStep::Retain(count) => DeltaStep::Retain(*count),
        DeltaStep::Insert(elements) => DeltaStep::Remove(elements.len() as u64),
        DeltaStep::Remove(removed) => DeltaStep::Insert(removed.clone()),
    });
    steps.collect()
}

/// Delta `a` after `b`, where both were made for the same sequence. Where both insert at one
/// place, what `a` inserts comes first if `a_first`. What `b` inserted where `a` removes stays;
/// what both remove is gone once.
fn transformed<E: Clone>(
    a: &[DeltaStep<E, u64>],
    b: &[DeltaStep<(), u64>],
    a_first: bool,
) -> Vec<DeltaStep<E, u64>> {
    let mut out = Vec::new();
    let (mut a, mut b) = (a.iter(), b.iter());
    let (mut next_a, mut next_b) = (a.next(), b.next());
    // How much of the present steps is done.
    let (mut done_a, mut done_b) = (0, 0);
    while let Some(step) = next_a {
        let inserts_first = a_first || !matches!(next_b, Some(DeltaStep::Insert(_)));
        if let (DeltaStep::Insert(_), true) = (step, inserts_first) {
            out.push(step.clone());
            next_a = a.next();
            continue;
        }
        if let Some(DeltaStep::Insert(inserted)) = next_b {
            out.push(DeltaStep::Retain(inserted.len() as u64));
            next_b = b.next();
            continue;
        }
        let (DeltaStep::Retain(len) | DeltaStep::Remove(len)) = *step else {
            unreachable!("insertions are done")
        };
        let left_a = len - done_a;
        // Behind its steps `b` retains all.
        let left_b = match next_b {
            Some(DeltaStep::Retain(len) | DeltaStep::Remove(len)) => len - done_b,
            _ => left_a,
        };
        let both = left_a.min(left_b);
        match (step, next_b) {
            (_, Some(DeltaStep::Remove(_))) => (),
            (DeltaStep::Retain(_), _) => out.push(DeltaStep::Retain(both)),
            _ => out.push(DeltaStep::Remove(both)),
        }
        (done_a, done_b) = (done_a + both, done_b + both);
        if done_a == len {
            (next_a, done_a) = (a.next(), 0);
        }
        if both == left_b && next_b.is_some() {
            (next_b, done_b) = (b.next(), 0);
        }
    }
    out
}

/// How the delta of a text or list moves positions; None for others.
pub(in super::super) fn drift_of(delta: &HandlerDelta) -> Option<Drift> {
    let mut drift = Drift::default();
    let mut at = 0u64;
    match delta {
        HandlerDelta::Text(steps) => {
            for step in steps {
                match step {
                    TextOp::Retain(count) => at += count,
                    TextOp::Insert(units) => {
                        drift.insert(at, &vec![(); units.len()]);
                        at += units.len() as u64;
                    }
                    TextOp::Remove(count) => drift.remove_all(at, *count),
                }
            }
        }
        HandlerDelta::List(steps) => {
            for step in steps {
                match step {
                    ListOp::Retain(count) => at += count,
                    ListOp::Insert(values) => {
                        drift.insert(at, &vec![(); values.len()]);
                        at += values.len() as u64;
                    }
                    ListOp::Remove(values) => drift.remove_all(at, values.len() as u64),
                    ListOp::Update { index, .. } => {
                        drift.insert(*index, &[()]);
                        drift.remove_all(index + 1, 1);
                    }
                    ListOp::Move { from, to } => {
                        drift.remove_all(*from, 1);
                        drift.insert(*to, &[()]);
                    }
                }
            }
        }
        _ => return None,
    }
    Some(drift)
}

impl Document {
    /// Notes a local edit of a text by positions, before it is applied.
    pub(super) fn track_text_positions(&mut self, number: HandlerIdx, op_kind: u8, body: &[u8]) {
        let Some(State::PlainText(text)) = self.state(number) else {
            return;
        };
        let read = |at: u64, count: u64| {
            let end = at.saturating_add(count).min(text.len());
            let mut units = Vec::new();
            text.rope().copy(at.min(end) as u32..end as u32, &mut units);
            units
        };
        let (at, removed, inserted) = match op_kind {
            kind::DELETE => {
                let (at, count) = read_removal(body).unwrap_or_default();
                (at, read(at, count), Vec::new())
            }
            _ => {
                let (at, bytes) = read_placed(body).unwrap_or_default();
                let mut units = Vec::new();
                // The body was written here.
                let _ = wtf8::decode_to_utf16(bytes, &mut units);
                let removed = match op_kind {
                    kind::UPDATE => read(at, units.len() as u64),
                    _ => Vec::new(),
                };
                if op_kind == kind::UPDATE {
                    units.truncate(removed.len());
                }
                (at, removed, units)
            }
        };
        let effect = self.tracked(number, || {
            Effect::Positions(PositionsEffect::Text(Delta::default()))
        });
        if let Some(Effect::Positions(PositionsEffect::Text(delta))) = effect {
            delta.remove_all(at, removed);
            delta.insert(at, &inserted);
        }
    }

    /// Notes a local edit of a list by positions, before it is applied.
    pub(super) fn track_list_positions(&mut self, number: HandlerIdx, op_kind: u8, body: &[u8]) {
        let (at, count, inserted) = match op_kind {
            kind::DELETE => {
                let (at, count) = read_removal(body).unwrap_or_default();
                (at, count, None)
            }
            _ => {
                let (at, bytes) = read_placed(body).unwrap_or_default();
                let value = self.handler_codec(number).decode(bytes).ok();
                (at, u64::from(op_kind == kind::UPDATE), value)
            }
        };
        let end = at.saturating_add(count).min(self.list_len(number));
        let codec = self.handler_codec(number);
        let removed: Vec<Value> = (at..end)
            .filter_map(|index| self.list_get(number, index))
            // A number that overflowed cannot be written again.
            .map(|value| codec.encode(&value).map_or(Value::Null, |_| value))
            .collect();
        let effect = self.tracked(number, || {
            Effect::Positions(PositionsEffect::List(Delta::default()))
        });
        if let Some(Effect::Positions(PositionsEffect::List(delta))) = effect {
            delta.remove_all(at, removed);
            delta.insert(at, inserted.as_slice());
        }
    }

    /// Takes back what a step did to a text or list by positions; `since` came after it.
    pub(super) fn take_back_positions(
        &mut self,
        number: HandlerIdx,
        effect: &PositionsEffect,
        since: Option<&Drift>,
    ) -> Result<(), DocumentError> {
        let since = since.map_or(&[][..], |since| since.steps());
        let mut at = 0u64;
        match effect {
            PositionsEffect::Text(delta) => {
                for step in transformed(&inverse(delta), since, true) {
                    match step {
                        DeltaStep::Retain(count) => at += count,
                        DeltaStep::Insert(units) => {
                            let at_most = self.text_len_utf16(number);
                            self.text_insert_utf16(number, at.min(at_most), &units)?;
                            at += units.len() as u64;
                        }
                        DeltaStep::Remove(count) => {
                            let left = self.text_len_utf16(number).saturating_sub(at);
                            if left > 0 {
                                self.text_remove(number, at, count.min(left))?;
                            }
                        }
                    }
                }
            }
            PositionsEffect::List(delta) => {
                for step in transformed(&inverse(delta), since, true) {
                    match step {
                        DeltaStep::Retain(count) => at += count,
                        DeltaStep::Insert(values) => {
                            let at_most = self.list_len(number);
                            self.list_insert(number, at.min(at_most), &values)?;
                            at += values.len() as u64;
                        }
                        DeltaStep::Remove(count) => {
                            let left = self.list_len(number).saturating_sub(at);
                            if left > 0 {
                                self.list_remove(number, at, count.min(left))?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    fn random(rng: &mut Rng, len: usize) -> Delta<u16, u64> {
        let mut delta: Delta<u16, u64> = Delta::default();
        let mut len = len;
        for _ in 0..rng.below(4) {
            let at = rng.below(len + 1);
            if rng.below(2) == 0 {
                let units: Vec<u16> = (0..1 + rng.below(2))
                    .map(|_| rng.below(900) as u16)
                    .collect();
                delta.insert(at as u64, &units);
                len += units.len();
            } else {
                let count = rng.below(len - at + 1).min(3);
                delta.remove_all(at as u64, count as u64);
                len -= count;
            }
        }
        delta
    }

    fn applied(base: &[u16], steps: &[DeltaStep<u16, u64>]) -> Vec<u16> {
        let mut out = base.to_vec();
        let mut at = 0;
        for step in steps {
            match step {
                DeltaStep::Retain(count) => at += *count as usize,
                DeltaStep::Insert(units) => {
                    out.splice(at..at, units.iter().copied());
                    at += units.len();
                }
                DeltaStep::Remove(count) => drop(out.drain(at..at + *count as usize)),
            }
        }
        out
    }

    #[test]
    fn either_order_gives_the_same() {
        for seed in 0..3000 {
            let mut rng = Rng::new(seed);
            let base: Vec<u16> = (1000..1000 + rng.below(9) as u16).collect();
            let (a, b) = (random(&mut rng, base.len()), random(&mut rng, base.len()));
            let (lengths_a, lengths_b) = (lengths(a.steps()), lengths(b.steps()));
            let a_after = transformed(a.steps(), lengths_b.steps(), true);
            let b_after = transformed(b.steps(), lengths_a.steps(), false);
            let one = applied(&applied(&base, b.steps()), &a_after);
            let other = applied(&applied(&base, a.steps()), &b_after);
            assert_eq!(one, other, "seed {seed}: {a:?}, {b:?}");
        }
    }
}
