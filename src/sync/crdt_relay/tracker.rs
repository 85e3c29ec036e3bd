//! Which entries of a relay's log a client has imported: it may offer a snapshot only of a prefix
//! without gaps.

use std::collections::BTreeMap;

/// Imported sequence numbers. Memory: one entry per gap, at most `GAPS_MAX`.
#[derive(Clone, Debug, Default)]
pub struct SequenceTracker {
    contiguous: i64,
    /// Begin (exclusive) to end (inclusive) of what lies beyond a gap. Invariant: begins ascend
    /// above `contiguous`.
    beyond: BTreeMap<i64, i64>,
}

/// Gaps that are remembered; beyond that, ranges are forgotten and a welcome has to fill them.
const GAPS_MAX: usize = 10_000;

impl SequenceTracker {
    /// Everything through `seq` is imported.
    pub fn through(&mut self, seq: i64) {
        self.contiguous = self.contiguous.max(seq);
        self.close_gaps();
    }

    /// Everything above `after` through `seq` is imported.
    pub fn range(&mut self, after: i64, seq: i64) {
        if seq <= after {
            return;
        }
        if after <= self.contiguous {
            return self.through(seq);
        }
        if self.beyond.len() < GAPS_MAX || self.beyond.contains_key(&after) {
            let end = self.beyond.entry(after).or_insert(seq);
            *end = seq.max(*end);
        }
    }

    /// The largest number up to which nothing is missing; 0 in the beginning.
    pub fn contiguous(&self) -> i64 {
        self.contiguous
    }

    /// The largest number seen.
    pub fn last(&self) -> i64 {
        let beyond = self.beyond.values().copied().max();
        beyond.unwrap_or(0).max(self.contiguous)
    }

    fn close_gaps(&mut self) {
        while let Some(entry) = self.beyond.first_entry() {
            if *entry.key() > self.contiguous {
                return;
            }
            self.contiguous = self.contiguous.max(entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_set_of_numbers() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut tracker = SequenceTracker::default();
            let mut oracle = BTreeSet::new();
            for _ in 0..30 {
                let after = rng.below(40) as i64 - 3;
                let seq = after + rng.below(6) as i64 - 1;
                if rng.below(8) == 0 {
                    tracker.through(seq);
                    oracle.extend(1..=seq);
                } else {
                    tracker.range(after, seq);
                    oracle.extend((after + 1).max(1)..=seq);
                }
                let contiguous = (1..).find(|seq| !oracle.contains(seq)).unwrap() - 1;
                assert_eq!(tracker.contiguous(), contiguous, "seed {seed}");
                let last = oracle.last().copied().unwrap_or(0);
                assert_eq!(tracker.last(), last, "seed {seed}");
            }
        }
    }
}
