//! Minimal difference of two texts (specification 9.14), for replacing a text by small edits.
//!
//! Layer: `document`; knows only UTF-16 units. The greedy algorithm of Myers with the choices of
//! the reference, so that both emit the same operations for the same replacement.

use std::ops::Range;

/// How many single-unit edits the search goes for; beyond, the differing middle is replaced as a
/// whole. The search keeps about `2 * EDITS_MAX * EDITS_MAX` bytes.
pub const EDITS_MAX: usize = 4096;

/// What a segment does to the old text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// Stays; both ranges hold the same units.
    Equal,
    /// New units; the old range is empty.
    Insert,
    /// Old units go; the new range is empty.
    Remove,
}

/// One step of a difference. Segments follow each other without gaps in both texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What happens.
    pub kind: SegmentKind,
    /// Units of the old text.
    pub old: Range<usize>,
    /// Units of the new text.
    pub new: Range<usize>,
}

/// The difference of two texts. O((old + new) * edits) time, O(edits²) memory up to [`EDITS_MAX`].
pub fn diff(old: &[u16], new: &[u16]) -> Vec<Segment> {
    diff_within(old, new, EDITS_MAX)
}

/// As [`diff`], of any two sequences, and with another limit.
pub(crate) fn diff_within<T: PartialEq>(old: &[T], new: &[T], edits_max: usize) -> Vec<Segment> {
    let both = old.iter().zip(new);
    let prefix = both.take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) = (&old[prefix..], &new[prefix..]);
    let both = old_middle.iter().rev().zip(new_middle.iter().rev());
    let suffix = both.take_while(|(a, b)| a == b).count();
    let old_middle = &old_middle[..old_middle.len() - suffix];
    let new_middle = &new_middle[..new_middle.len() - suffix];

    let mut segments = Segments::default();
    segments.push(SegmentKind::Equal, prefix);
    if old_middle.is_empty() || new_middle.is_empty() {
        segments.push(SegmentKind::Remove, old_middle.len());
        segments.push(SegmentKind::Insert, new_middle.len());
    } else {
        middle(old_middle, new_middle, edits_max, &mut segments);
    }
    segments.push(SegmentKind::Equal, suffix);
    segments.done
}

/// Collects steps, joining neighbours of one kind.
#[derive(Default)]
struct Segments {
    done: Vec<Segment>,
    old_len: usize,
    new_len: usize,
}

impl Segments {
    fn push(&mut self, kind: SegmentKind, count: usize) {
        if count == 0 {
            return;
        }
        let (old_start, new_start) = (self.old_len, self.new_len);
        if kind != SegmentKind::Insert {
            self.old_len += count;
        }
        if kind != SegmentKind::Remove {
            self.new_len += count;
        }
        if let Some(last) = self.done.last_mut() {
            if last.kind == kind {
                last.old.end = self.old_len;
                last.new.end = self.new_len;
                return;
            }
        }
        self.done.push(Segment {
            kind,
            old: old_start..self.old_len,
            new: new_start..self.new_len,
        });
    }
}

/// Texts that share neither their first nor their last unit.
fn middle<T: PartialEq>(old: &[T], new: &[T], edits_max: usize, segments: &mut Segments) {
    let Some(trace) = search(old, new, edits_max) else {
        segments.push(SegmentKind::Remove, old.len());
        segments.push(SegmentKind::Insert, new.len());
        return;
    };
    for (kind, count) in backtrack(&trace, old.len(), new.len()).into_iter().rev() {
        segments.push(kind, count);
    }
}

/// How far the search got with some number of edits: the largest old position on each diagonal
/// `k = old position - new position`. With `d` edits the diagonals -d, -d + 2, …, d can be reached;
/// slot `s` is diagonal `2 * s - d`. Positions may lie past the ends of the texts.
type Reach = Vec<u32>;

/// Where the last of `d` edits that leads to diagonal slot `slot` starts: the old position after
/// that edit, and whether it is an insert. `before` is the reach with one edit less.
fn last_edit(before: &Reach, slot: usize) -> (usize, bool) {
    let edits = before.len();
    let insert = slot == 0 || (slot != edits && before[slot - 1] < before[slot]);
    if insert {
        (before[slot] as usize, true)
    } else {
        (before[slot - 1] as usize + 1, false)
    }
}

/// The reach of 0, 1, … edits, up to the number that turns `old` into `new`; none if that is more
/// than `edits_max`.
fn search<T: PartialEq>(old: &[T], new: &[T], edits_max: usize) -> Option<Vec<Reach>> {
    // The first units differ, so nothing is reached without edits.
    let mut trace = vec![vec![0u32]];
    for edits in 1..=edits_max {
        let before = &trace[edits - 1];
        let mut reach = Vec::with_capacity(edits + 1);
        let mut done = false;
        for slot in 0..=edits {
            let (mut x, _) = last_edit(before, slot);
            let mut y = x + edits - 2 * slot;
            if x < old.len() && y < new.len() {
                let both = old[x..].iter().zip(&new[y..]);
                let equal = both.take_while(|(a, b)| a == b).count();
                x += equal;
                y += equal;
            }
            done |= x >= old.len() && y >= new.len();
            reach.push(u32::try_from(x).expect("texts are shorter than 2^32 units"));
        }
        trace.push(reach);
        if done {
            return Some(trace);
        }
    }
    None
}

/// The steps of the path that the search found, last one first.
fn backtrack(trace: &[Reach], old_len: usize, new_len: usize) -> Vec<(SegmentKind, usize)> {
    let mut steps = Vec::new();
    let (mut x, mut y) = (old_len, new_len);
    for edits in (1..trace.len()).rev() {
        let slot = (x + edits - y) / 2;
        let (edited_x, insert) = last_edit(&trace[edits - 1], slot);
        let edited_y = edited_x + edits - 2 * slot;
        // The diagonal behind the edit; the ends of a path lie within the texts.
        debug_assert!(x >= edited_x && x - edited_x == y - edited_y);
        steps.push((SegmentKind::Equal, x - edited_x));
        let (kind, dx, dy) = if insert {
            (SegmentKind::Insert, 0, 1)
        } else {
            (SegmentKind::Remove, 1, 0)
        };
        steps.push((kind, 1));
        (x, y) = (edited_x - dx, edited_y - dy);
    }
    debug_assert!((x, y) == (0, 0));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays the difference; panics if it is not one of `old` and `new`.
    fn check(old: &[u16], new: &[u16]) -> usize {
        let (mut old_at, mut new_at, mut edits) = (0, 0, 0);
        for segment in diff(old, new) {
            assert_eq!((segment.old.start, segment.new.start), (old_at, new_at));
            (old_at, new_at) = (segment.old.end, segment.new.end);
            match segment.kind {
                SegmentKind::Equal => assert_eq!(old[segment.old], new[segment.new]),
                SegmentKind::Insert => {
                    assert!(segment.old.is_empty());
                    edits += segment.new.len();
                }
                SegmentKind::Remove => {
                    assert!(segment.new.is_empty());
                    edits += segment.old.len();
                }
            }
        }
        assert_eq!((old_at, new_at), (old.len(), new.len()));
        edits
    }

    /// Length of the longest common subsequence, by the textbook table.
    fn common_len(old: &[u16], new: &[u16]) -> usize {
        let mut row = vec![0; new.len() + 1];
        for a in old {
            let mut diagonal = 0;
            for (at, b) in new.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if a == b {
                    diagonal + 1
                } else {
                    above.max(row[at])
                };
                diagonal = above;
            }
        }
        row[new.len()]
    }

    #[test]
    fn differences_are_minimal() {
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for round in 0..500 {
            let mut text = || -> Vec<u16> {
                let len = random(40);
                (0..len).map(|_| random(3) as u16).collect()
            };
            let (old, new) = (text(), text());
            let minimal = old.len() + new.len() - 2 * common_len(&old, &new);
            assert_eq!(check(&old, &new), minimal, "round {round}");
        }
    }

    #[test]
    fn texts_beyond_the_limit_are_replaced_as_a_whole() {
        let old = vec![1; EDITS_MAX];
        let new = vec![2; EDITS_MAX];
        let around = |middle: &[u16]| [&[7, 7], middle, &[8]].concat();
        assert_eq!(check(&around(&old), &around(&new)), 2 * EDITS_MAX);
        assert_eq!(diff(&around(&old), &around(&new)).len(), 4);
    }
}
