//! Operations on a sequence by position, joined: typing, and removing character by character in
//! either direction, make one run of all that they do. Layer: `document`, for `indexed`.
//!
//! A run does exactly what its operations do one after the other, whatever is there and however
//! they are clipped: an insertion past the end goes to the end, and so does the next one; of a
//! stretch that is removed or overwritten piece by piece goes what is there. (Not joined: typing
//! backwards, and removing what was just typed. They depend on what is there.)

use crate::clock::Hlc;

/// What the operations of a run do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each behind the one before.
    Insert,
    /// All from one position on.
    Remove,
    /// Each before the one before.
    RemoveBack,
    /// Each behind the one before.
    Replace,
}

/// Author of the operations of the open transaction, which come last.
pub(super) const PENDING: u32 = u32::MAX >> 2;

/// Longest run of removals backwards: what they took out is put in order at each.
const BACK_MAX: u32 = 32;

/// Operations of one author without any other's in between, each with as many elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Of the first operation.
    pub clock: Hlc,
    /// Number of the author above two bits of kind.
    author_and_kind: u32,
    /// The smallest position that any of them names.
    pub index: u32,
    /// How many elements they were to insert, remove or replace together.
    pub count: u32,
    /// How many they did insert, remove or replace when they were done last. Insertions: all or
    /// none.
    pub taken: u32,
    pub operations: u32,
    /// Where the clocks of the operations behind the first begin, among all that are kept.
    clocks: u32,
}

impl Run {
    /// A single operation, not done yet.
    pub fn new(author: u32, kind: Kind, clock: Hlc, index: u64, count: u64) -> Self {
        // Sequences are shorter than 2^32: a larger index or count is as good as the largest.
        let clip = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Run {
            clock,
            author_and_kind: author << 2 | kind as u32,
            index: clip(index),
            count: clip(count),
            taken: 0,
            operations: 1,
            clocks: 0,
        }
    }

    pub fn author(&self) -> u32 {
        self.author_and_kind >> 2
    }

    pub fn kind(&self) -> Kind {
        match self.author_and_kind & 3 {
            0 => Kind::Insert,
            1 => Kind::Remove,
            2 => Kind::RemoveBack,
            _ => Kind::Replace,
        }
    }

    fn set_kind(&mut self, kind: Kind) {
        self.author_and_kind = self.author_and_kind & !3 | kind as u32;
    }

    /// How many elements the operations bring.
    pub fn brought(&self) -> usize {
        match self.kind() {
            Kind::Remove | Kind::RemoveBack => 0,
            Kind::Insert | Kind::Replace => self.count as usize,
        }
    }

    /// How many elements lie on the stack of what was taken out because it was done: those, or
    /// what it brought and had no place for.
    pub fn stacked(&self) -> usize {
        match self.kind() {
            Kind::Insert if self.taken == self.count => 0,
            Kind::Remove | Kind::RemoveBack => self.taken as usize,
            Kind::Insert | Kind::Replace => self.count as usize,
        }
    }

    /// How long the sequence was before it was done, and became `len` elements long.
    pub fn len_before(&self, len: u32) -> u32 {
        match self.kind() {
            Kind::Insert => len - self.taken,
            Kind::Remove | Kind::RemoveBack => len + self.taken,
            Kind::Replace => len,
        }
    }

    /// How many elements each operation has.
    pub fn unit(&self) -> u32 {
        self.count / self.operations
    }

    /// The clocks behind the first, of `clocks`, which has those of all runs.
    pub fn more_clocks<'a>(&self, clocks: &'a [Hlc]) -> &'a [Hlc] {
        let start = self.clocks as usize;
        &clocks[start..start + self.operations as usize - 1]
    }

    /// The clock of an operation.
    pub fn clock_of(&self, nth: u32, clocks: &[Hlc]) -> Hlc {
        match nth.checked_sub(1) {
            None => self.clock,
            Some(behind) => self.more_clocks(clocks)[behind as usize],
        }
    }

    /// The position that an operation names.
    pub fn index_of(&self, nth: u32) -> u32 {
        match self.kind() {
            Kind::Remove => self.index,
            Kind::RemoveBack => self.index + (self.operations - 1 - nth) * self.unit(),
            Kind::Insert | Kind::Replace => self.index + nth * self.unit(),
        }
    }

    /// Takes its clocks from `clocks` to the end of others.
    pub fn move_clocks(&mut self, clocks: &[Hlc], to: &mut Vec<Hlc>) {
        let own = self.more_clocks(clocks);
        self.clocks = to.len() as u32;
        to.extend_from_slice(own);
    }

    /// Adds an operation that was done right after these, if it continues them. Tells how many
    /// elements of the tail of what was taken out have changed places with those before them.
    pub fn join(&mut self, next: &Run, clocks: &mut Vec<Hlc>) -> Option<usize> {
        let follows = self.index.checked_add(self.count) == Some(next.index);
        let (kind, taken) = match (self.kind(), next.kind()) {
            // Those that had no place, or not enough, stay alone: what they left is in their order.
            (Kind::Insert, Kind::Insert) if follows => (Kind::Insert, next.taken == next.count),
            (Kind::Replace, Kind::Replace) if follows => (Kind::Replace, true),
            (Kind::Remove, Kind::Remove) if self.index == next.index => {
                return self.joined(next, Kind::Remove, clocks).then_some(0);
            }
            (kind, Kind::Remove)
                if (kind == Kind::RemoveBack || kind == Kind::Remove && self.operations == 1)
                    && next.index.checked_add(next.count) == Some(self.index)
                    && self.operations < BACK_MAX =>
            {
                let taken = self.taken as usize;
                return self.joined(next, Kind::RemoveBack, clocks).then_some(taken);
            }
            _ => return None,
        };
        (taken && self.taken == self.count && self.joined(next, kind, clocks)).then_some(0)
    }

    fn joined(&mut self, next: &Run, kind: Kind, clocks: &mut Vec<Hlc>) -> bool {
        let Ok(end) = u32::try_from(clocks.len()) else {
            return false;
        };
        let first = self.operations == 1;
        // Others may have added clocks since: then the run is at its end.
        let fits = next.count > 0
            && self.author() == next.author()
            && self.author() != PENDING
            && self.unit() == next.count
            && self.count.checked_add(next.count).is_some()
            && (first || self.clocks + self.operations - 1 == end);
        if fits {
            self.clocks = if first { end } else { self.clocks };
            clocks.push(next.clock);
            self.set_kind(kind);
            self.index = self.index.min(next.index);
            self.count += next.count;
            self.taken += next.taken;
            self.operations += 1;
        }
        fits
    }

    /// The first `older` operations, and the others. Both have some.
    pub fn split(&self, older: u32, clocks: &[Hlc]) -> (Run, Run) {
        debug_assert!(0 < older && older < self.operations);
        let count = self.unit() * older;
        let rest = self.count - count;
        let (mut first, mut second) = (*self, *self);
        (first.operations, second.operations) = (older, self.operations - older);
        (first.count, second.count) = (count, rest);
        second.clock = clocks[(self.clocks + older - 1) as usize];
        second.clocks = self.clocks + older;
        match self.kind() {
            Kind::RemoveBack => {
                first.index += rest;
                first.taken = self.taken.saturating_sub(rest);
            }
            Kind::Insert => {
                second.index += count;
                first.taken = if self.taken == 0 { 0 } else { count };
            }
            Kind::Replace => {
                second.index += count;
                first.taken = self.taken.min(count);
            }
            Kind::Remove => first.taken = self.taken.min(count),
        }
        second.taken = self.taken - first.taken;
        for part in [&mut first, &mut second] {
            if part.operations == 1 && part.kind() == Kind::RemoveBack {
                part.set_kind(Kind::Remove);
            }
        }
        (first, second)
    }

    /// Where what this does, at position `at`, is to be done if others were done meanwhile that
    /// should have come behind it. None: they would have done something else behind it. It does
    /// something, and there is room for it all the time. O(younger).
    pub fn passed(&self, mut at: u32, younger: &[Run]) -> Option<u32> {
        let keeps_len = self.kind() == Kind::Replace;
        for run in younger.iter().filter(|run| run.count > 0) {
            let (start, end) = (u64::from(run.index), u64::from(at) + u64::from(self.taken));
            // What is clipped is so by the length, which matters only if this changes it.
            let count = if keeps_len { run.taken } else { run.count };
            let before = start + u64::from(count) <= u64::from(at);
            let apart = keeps_len && (run.taken == 0 || start >= end);
            match run.kind() {
                // Removals might make room for it.
                Kind::Insert if run.taken == 0 && self.kind() != Kind::Remove => (),
                Kind::Insert if run.taken == 0 => return None,
                Kind::Insert if run.index <= at => at += run.count,
                _ if apart => (),
                Kind::Replace if before => (),
                Kind::Remove | Kind::RemoveBack if before => at -= count,
                _ => return None,
            }
        }
        Some(at)
    }

    /// Panics if an invariant is broken. For tests.
    pub fn check(&self, clocks: &[Hlc]) {
        assert!(self.operations > 0 && self.count % self.operations == 0);
        assert!(self.taken <= self.count);
        assert!(self.kind() != Kind::Insert || self.taken == 0 || self.taken == self.count);
        assert!(self.author() != PENDING || self.operations == 1);
        let mut last = self.clock;
        for clock in self.more_clocks(clocks) {
            assert!(last < *clock);
            last = *clock;
        }
    }
}
