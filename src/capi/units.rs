//! Text lengths in the unit that an application chose, and deltas in it.
//!
//! Documents count UTF-16 units. Of a removal they only report the number, so for other units the
//! observer keeps a copy of each observed text and measures there.

use super::payload::TextStep;
use crate::document::{TextOp, TextUnit};

/// How long `text` is. A lone surrogate counts as U+FFFD does, which is what C gets to see.
pub(crate) fn measure(text: &[u16], unit: TextUnit) -> u64 {
    let decoded = || char::decode_utf16(text.iter().copied());
    match unit {
        TextUnit::Utf16 => text.len() as u64,
        TextUnit::CodePoint => decoded().count() as u64,
        TextUnit::Utf8 => decoded()
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER).len_utf8() as u64)
            .sum(),
    }
}

/// A delta with UTF-16 lengths, as it is.
pub(crate) fn utf16_steps(ops: &[TextOp]) -> Vec<TextStep> {
    let step = |op: &TextOp| match op {
        TextOp::Retain(count) => TextStep::Retain(*count),
        TextOp::Remove(count) => TextStep::Remove(*count),
        TextOp::Insert(units) => insert(units, TextUnit::Utf16),
    };
    ops.iter().map(step).collect()
}

fn insert(units: &[u16], unit: TextUnit) -> TextStep {
    TextStep::Insert {
        length: measure(units, unit),
        text: String::from_utf16_lossy(units),
    }
}

/// The delta in `unit`; `text` is the text before and becomes the text after. No step parts a
/// surrogate pair, even in UTF-16. O(text).
pub(crate) fn convert(ops: &[TextOp], text: &mut Vec<u16>, unit: TextUnit) -> Vec<TextStep> {
    let before = std::mem::take(text);
    let mut steps = Vec::with_capacity(ops.len());
    let mut at = 0;
    // A step that begins or ends inside of a surrogate pair has no length in another unit.
    let mut splits = false;
    for op in ops {
        splits |= is_inside_pair(&before, at);
        match op {
            TextOp::Insert(units) => {
                text.extend_from_slice(units);
                steps.push(insert(units, unit));
            }
            TextOp::Retain(count) => {
                let end = end_of(at, *count, before.len());
                text.extend_from_slice(&before[at..end]);
                steps.push(TextStep::Retain(measure(&before[at..end], unit)));
                at = end;
            }
            TextOp::Remove(count) => {
                let end = end_of(at, *count, before.len());
                steps.push(TextStep::Remove(measure(&before[at..end], unit)));
                at = end;
            }
        }
        splits |= is_inside_pair(&before, at);
    }
    text.extend_from_slice(&before[at..]);
    if splits || joins_pair(ops, text) {
        replace_middle(&before, text, unit)
    } else {
        steps
    }
}

fn end_of(at: usize, count: u64, length: usize) -> usize {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    at.saturating_add(count).min(length)
}

fn is_high(unit: u16) -> bool {
    unit & 0xfc00 == 0xd800
}

fn is_low(unit: u16) -> bool {
    unit & 0xfc00 == 0xdc00
}

fn is_inside_pair(text: &[u16], at: usize) -> bool {
    at > 0 && at < text.len() && is_high(text[at - 1]) && is_low(text[at])
}

/// Whether a step of the delta ends inside of a pair of the text after: two halves met.
fn joins_pair(ops: &[TextOp], after: &[u16]) -> bool {
    let mut at = 0;
    ops.iter().any(|op| {
        at = match op {
            TextOp::Insert(units) => end_of(at, units.len() as u64, after.len()),
            TextOp::Retain(count) => end_of(at, *count, after.len()),
            TextOp::Remove(_) => at,
        };
        is_inside_pair(after, at)
    })
}

/// One replacement of all that differs, widened to whole characters.
fn replace_middle(before: &[u16], after: &[u16], unit: TextUnit) -> Vec<TextStep> {
    let mut prefix = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    if is_inside_pair(before, prefix) || is_inside_pair(after, prefix) {
        prefix -= 1;
    }
    let (old, new) = (&before[prefix..], &after[prefix..]);
    let mut suffix = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let inside = |text: &[u16]| is_inside_pair(text, text.len() - suffix);
    if inside(before) || inside(after) {
        suffix -= 1;
    }
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    vec![
        TextStep::Retain(measure(&before[..prefix], unit)),
        TextStep::Remove(measure(old, unit)),
        insert(new, unit),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Applies a delta in `unit` to a text as a consumer would.
    fn apply(text: &str, steps: &[TextStep], unit: TextUnit) -> String {
        let width = |c: char| match unit {
            TextUnit::Utf16 => c.len_utf16() as u64,
            TextUnit::Utf8 => c.len_utf8() as u64,
            TextUnit::CodePoint => 1,
        };
        let mut chars = text.chars();
        let mut take = |count: u64| {
            let mut taken = String::new();
            let mut width_taken = 0;
            while width_taken < count {
                let c = chars.next().expect("the delta fits the text");
                width_taken += width(c);
                taken.push(c);
            }
            assert_eq!(width_taken, count, "a step ends on a character");
            taken
        };
        let mut result = String::new();
        for step in steps {
            match step {
                TextStep::Retain(count) => result += &take(*count),
                TextStep::Remove(count) => drop(take(*count)),
                TextStep::Insert { text, length } => {
                    assert_eq!(text.chars().map(width).sum::<u64>(), *length);
                    result += text;
                }
            }
        }
        result + chars.as_str()
    }

    /// Texts of few units, so that pairs are split and joined all the time.
    fn random_units(rng: &mut Rng, max: usize) -> Vec<u16> {
        let alphabet = [0x61, 0xe9, 0x20ac, 0xd83d, 0xde00, 0xd83d, 0xde00];
        (0..rng.below(max))
            .map(|_| alphabet[rng.below(7)])
            .collect()
    }

    fn random_ops(rng: &mut Rng, length: usize) -> Vec<TextOp> {
        let mut left = length;
        let mut ops = Vec::new();
        for _ in 0..rng.below(6) {
            let count = rng.below(left + 1);
            match rng.below(3) {
                0 => ops.push(TextOp::Insert(random_units(rng, 4))),
                1 => ops.push(TextOp::Retain(count as u64)),
                _ => ops.push(TextOp::Remove(count as u64)),
            }
            if !matches!(ops.last(), Some(TextOp::Insert(_))) {
                left -= count;
            }
        }
        ops
    }

    #[test]
    fn a_converted_delta_leads_from_the_text_before_to_the_text_after() {
        for seed in 0..4000 {
            let mut rng = Rng::new(seed);
            let mut text = random_units(&mut rng, 12);
            let before = String::from_utf16_lossy(&text);
            let ops = random_ops(&mut rng, text.len());
            let unit = if seed % 2 == 0 {
                TextUnit::Utf8
            } else {
                TextUnit::CodePoint
            };
            let steps = convert(&ops, &mut text, unit);
            let after = String::from_utf16_lossy(&text);
            assert_eq!(apply(&before, &steps, unit), after, "seed {seed}: {ops:?}");
        }
    }
}
