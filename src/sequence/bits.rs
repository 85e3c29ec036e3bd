//! Sets of small numbers as bits, and how many of them lie before a given one in O(1).

use std::ops::Range;

/// A set of numbers below a bound.
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// One number more than `count` has room: what is behind the last element.
    pub fn new(count: u32) -> Self {
        Bits(vec![0; count as usize / 64 + 1])
    }

    pub fn set(&mut self, number: u32) {
        self.0[number as usize / 64] |= 1 << (number % 64);
    }

    pub fn set_all(&mut self, range: Range<u32>) {
        let mut at = range.start;
        while at < range.end {
            let word_end = range.end.min((at / 64 + 1) * 64);
            let ones = u64::MAX >> (64 - (word_end - at));
            self.0[at as usize / 64] |= ones << (at % 64);
            at = word_end;
        }
    }

    pub fn get(&self, number: u32) -> bool {
        self.0[number as usize / 64] >> (number % 64) & 1 != 0
    }

    /// The first number behind `at` that is in the set if `at` is not, or the reverse; at most
    /// `end`.
    pub fn next_other(&self, at: u32, end: u32) -> u32 {
        let flip = if self.get(at) { u64::MAX } else { 0 };
        let mut at = at;
        while at < end {
            let word = (self.0[at as usize / 64] ^ flip) >> (at % 64);
            if word != 0 {
                return end.min(at + word.trailing_zeros());
            }
            at = (at / 64 + 1) * 64;
        }
        end
    }

    /// The numbers in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().zip(0..).flat_map(|(word, nth)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                (left != 0).then(|| {
                    left &= left - 1;
                    nth * 64 + bit
                })
            })
        })
    }
}

/// How many numbers of a set are not behind a given one.
pub(super) struct Ranks {
    pub bits: Bits,
    /// Per word: how many are in the words before.
    before: Vec<u32>,
}

impl Ranks {
    pub fn new(bits: Bits) -> Self {
        let mut count = 0;
        let before = bits.0.iter().map(|word| {
            let before = count;
            count += word.count_ones();
            before
        });
        let before = before.collect();
        Ranks { bits, before }
    }

    /// Which of the set's numbers is the last one at or before `number`; there is one.
    pub fn of(&self, number: u32) -> u32 {
        let word = self.bits.0[number as usize / 64];
        let through = word & (u64::MAX >> (63 - number % 64));
        self.before[number as usize / 64] + through.count_ones() - 1
    }
}
