//! Text that is not all ASCII, as UTF-16 units, with how long it is in other units up to every so
//! many of them: a long stretch is measured without looking at all of it.

use super::types::TextUnit;
use crate::tree::{LazyVec, TextSums};
use std::ops::Range;

/// See the module. Only grows.
#[derive(Clone, Debug, Default)]
pub(super) struct WidePool {
    units: LazyVec<u16>,
    /// Of the first `STRIDE` units, of twice as many, and so on.
    samples: LazyVec<Sample>,
}

/// Units between samples.
const STRIDE: usize = if cfg!(any(test, fuzzing)) { 4 } else { 256 };

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    utf8: u64,
    code_points: u64,
}

impl WidePool {
    /// Number of units.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// The units of a range.
    pub fn slice(&self, range: Range<usize>) -> &[u16] {
        &self.units[range]
    }

    /// Appends.
    pub fn extend_from_slice(&mut self, units: &[u16]) {
        super::content::reserve(self.units.filled(), units.len());
        self.units.filled().extend_from_slice(units);
        self.sample();
    }

    /// Appends the UTF-16 form of a text.
    pub fn push_str(&mut self, text: &str) {
        super::content::reserve(self.units.filled(), text.len());
        self.units.filled().extend(text.encode_utf16());
        self.sample();
    }

    fn sample(&mut self) {
        let mut done = self.samples.len();
        while (done + 1) * STRIDE <= self.units.len() {
            let block = TextSums::of(&self.units[done * STRIDE..(done + 1) * STRIDE]);
            let before = self.sums_before(done);
            let both = before.plus(block);
            self.samples.filled().push(Sample {
                utf8: both.utf8,
                code_points: both.code_points,
            });
            done += 1;
        }
    }

    /// All units before sample block `block`.
    fn sums_before(&self, block: usize) -> TextSums {
        let Some(sample) = block.checked_sub(1).map(|last| self.samples[last]) else {
            return TextSums::default();
        };
        let end = block * STRIDE;
        TextSums {
            utf16: end as u64,
            utf8: sample.utf8,
            code_points: sample.code_points,
            begins_low: TextSums::of_unit(self.units[0]).begins_low,
            ends_high: TextSums::of_unit(self.units[end - 1]).ends_high,
        }
    }

    /// Whole blocks.
    fn block_sums(&self, blocks: Range<usize>) -> TextSums {
        if blocks.is_empty() {
            return TextSums::default();
        }
        let (before, through) = (self.sums_before(blocks.start), self.sums_before(blocks.end));
        let begins_low = TextSums::of_unit(self.units[blocks.start * STRIDE]).begins_low;
        // A character that the beginning cuts was counted as one; here its second half is alone.
        let is_cut = before.ends_high && begins_low;
        TextSums {
            utf16: (blocks.len() * STRIDE) as u64,
            utf8: through.utf8 - before.utf8 + if is_cut { 2 } else { 0 },
            code_points: through.code_points - before.code_points + u64::from(is_cut),
            begins_low,
            ends_high: through.ends_high,
        }
    }

    /// How long a range is. O(1).
    pub fn sums(&self, range: Range<usize>) -> TextSums {
        let blocks = range.start.div_ceil(STRIDE)..range.end / STRIDE;
        if blocks.len() < 2 {
            return TextSums::of(&self.units[range]);
        }
        TextSums::of(&self.units[range.start..blocks.start * STRIDE])
            .plus(self.block_sums(blocks.clone()))
            .plus(TextSums::of(&self.units[blocks.end * STRIDE..range.end]))
    }

    /// Skips a part of a range whose end is not behind `index`: from a text `reached` on, where
    /// the range begins. What is left is short. O(log units).
    pub fn skip(
        &self,
        range: Range<usize>,
        reached: TextSums,
        index: u64,
        unit: TextUnit,
    ) -> (usize, TextSums) {
        let blocks = range.start.div_ceil(STRIDE)..range.end / STRIDE;
        if blocks.is_empty() {
            return (range.start, reached);
        }
        let first = reached.plus(TextSums::of(
            &self.units[range.start..blocks.start * STRIDE],
        ));
        let at = |block: usize| first.plus(self.block_sums(blocks.start..block));
        // The first block boundary that is behind the index.
        let (mut low, mut high) = (blocks.start, blocks.end + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if unit.of(&at(middle)) > index {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        match low.checked_sub(1).filter(|block| *block >= blocks.start) {
            Some(block) => (block * STRIDE, at(block)),
            None => (range.start, reached),
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        2 * self.units.capacity() + self.samples.capacity() * size_of::<Sample>()
    }
}

impl TextUnit {
    /// The length of a text in this unit.
    pub(super) fn of(self, sums: &TextSums) -> u64 {
        match self {
            TextUnit::Utf16 => sums.utf16,
            TextUnit::Utf8 => sums.utf8,
            TextUnit::CodePoint => sums.code_points,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Oracle: the units themselves.
    #[test]
    fn ranges_are_measured_as_their_units_are() {
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut pool = WidePool::default();
            let mut all = Vec::new();
            for _ in 0..rng.below(6) {
                let units: Vec<u16> = (0..rng.below(20))
                    .map(|_| [0x61, 0xe9, 0x20ac, 0xd83d, 0xde00][rng.below(5)])
                    .collect();
                pool.extend_from_slice(&units);
                all.extend(units);
            }
            let (a, b) = (rng.below(all.len() + 1), rng.below(all.len() + 1));
            let range = a.min(b)..a.max(b);
            assert_eq!(pool.slice(range.clone()), &all[range.clone()]);
            let sums = pool.sums(range.clone());
            assert_eq!(sums, TextSums::of(&all[range.clone()]), "seed {seed}");
            let before = TextSums::ascii(3);
            for unit in [TextUnit::Utf16, TextUnit::Utf8, TextUnit::CodePoint] {
                let index = 3 + rng.below(unit.of(&sums) as usize + 2) as u64;
                let (at, reached) = pool.skip(range.clone(), before, index, unit);
                assert!(range.contains(&at) || at == range.end, "seed {seed}");
                let skipped = TextSums::of(&all[range.start..at]);
                assert_eq!(reached, before.plus(skipped), "seed {seed}");
                assert!(unit.of(&reached) <= index);
                // Of what follows, less than two blocks are before the index.
                let far = (at + 2 * STRIDE).min(range.end);
                let through = before.plus(TextSums::of(&all[range.start..far]));
                assert!(
                    far == range.end || unit.of(&through) >= index,
                    "seed {seed}"
                );
            }
        }
    }
}
