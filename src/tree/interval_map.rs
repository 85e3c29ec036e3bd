//! From a number to the value of the interval it lies in. The intervals are named by their first
//! numbers and reach to the next one. Ascending insertions (the common case: an author's new
//! elements) append; others shift at most one small chunk.

/// Sorted starts with a value each.
#[derive(Clone, Debug, Default)]
pub struct IntervalMap {
    /// First start of each chunk, for the search. Invariant: strictly ascending.
    firsts: Vec<u32>,
    /// Invariant: no chunk is empty or longer than `CHUNK`; starts ascend strictly throughout.
    chunks: Vec<Vec<(u32, u32)>>,
}

const CHUNK: usize = if cfg!(any(test, fuzzing)) { 4 } else { 64 };

impl IntervalMap {
    /// From starts that ascend, each with its value; neighbours with one value are one interval.
    pub fn from_ascending(entries: impl Iterator<Item = (u32, u32)>) -> Self {
        // Room for what comes later.
        const FILL: usize = CHUNK * 3 / 4;
        let mut map = IntervalMap::default();
        let mut last = None;
        for (start, value) in entries {
            debug_assert!(last.is_none_or(|(before, _)| before < start));
            if last.replace((start, value)).map(|(_, before)| before) == Some(value) {
                continue;
            }
            match map.chunks.last_mut() {
                Some(chunk) if chunk.len() < FILL => chunk.push((start, value)),
                _ => {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    chunk.push((start, value));
                    map.firsts.push(start);
                    map.chunks.push(chunk);
                }
            }
        }
        map
    }

    /// The value of the last interval that starts at or before `number`.
    pub fn find(&self, number: u32) -> Option<u32> {
        let chunk = self.chunk_of(number)?;
        let entries = &self.chunks[chunk];
        let after = entries.partition_point(|entry| entry.0 <= number);
        Some(entries[after - 1].1)
    }

    /// The first start after `number`.
    pub fn next_start(&self, number: u32) -> Option<u32> {
        let chunk = self.chunk_of(number).unwrap_or(0);
        let entries = self.chunks.get(chunk)?;
        let after = entries.partition_point(|entry| entry.0 <= number);
        match entries.get(after) {
            Some(entry) => Some(entry.0),
            None => self.firsts.get(chunk + 1).copied(),
        }
    }

    /// Starts an interval at `start`, or changes the value of the one that starts there.
    pub fn set(&mut self, start: u32, value: u32) {
        let Some(chunk) = self.chunk_of(start) else {
            // Before everything.
            match self.chunks.first() {
                Some(first) if first.len() < CHUNK => {
                    self.chunks[0].insert(0, (start, value));
                    self.firsts[0] = start;
                }
                _ => self.insert_chunk(0, vec![(start, value)]),
            }
            return;
        };
        let entries = &mut self.chunks[chunk];
        let after = entries.partition_point(|entry| entry.0 <= start);
        if entries[after - 1].0 == start {
            entries[after - 1].1 = value;
            return;
        }
        if entries.len() < CHUNK {
            entries.insert(after, (start, value));
            return;
        }
        if after == CHUNK {
            // Past a full chunk: appending keeps ascending insertions dense.
            self.insert_chunk(chunk + 1, vec![(start, value)]);
            return;
        }
        let mut tail = entries.split_off(CHUNK / 2);
        let half = entries.len();
        if after <= half {
            entries.insert(after, (start, value));
        } else {
            tail.insert(after - half, (start, value));
        }
        self.insert_chunk(chunk + 1, tail);
    }

    /// Gives all numbers from `start` up to `end` a value; with `u32::MAX`, all from `start` on.
    /// Numbers behind keep theirs; if they had none, they may get this one. Neighbours with one
    /// value become one interval.
    pub fn assign(&mut self, start: u32, end: u32, value: u32) {
        let Some(chunk) = self.chunk_of(start) else {
            return self.assign_across(start, end, value);
        };
        let is_last = chunk + 1 == self.chunks.len();
        let entries = &mut self.chunks[chunk];
        let first = entries.partition_point(|entry| entry.0 < start);
        let after = first
            + entries[first..]
                .iter()
                .take_while(|entry| entry.0 <= end)
                .count();
        if first == entries.len() && is_last && end == u32::MAX {
            // Behind everything, as an author's new elements.
            if entries[first - 1].1 != value {
                self.set(start, value);
            }
            return;
        }
        // What goes and what comes lies in this chunk, behind its first entry.
        let ends_here = after < entries.len() || is_last;
        if first == 0 || !ends_here {
            return self.assign_across(start, end, value);
        }
        if entries.len() + 2 > CHUNK {
            // Elsewhere than at its end, a full chunk will be changed again.
            let tail = entries.split_off(CHUNK / 2);
            entries.shrink_to_fit();
            self.insert_chunk(chunk + 1, tail);
            return self.assign(start, end, value);
        }
        let (before, behind) = (entries[first - 1].1, entries[after - 1].1);
        // Over what goes, as far as there is something; mostly nothing goes.
        let mut at = first;
        let mut put = |entry| {
            match at < after {
                true => entries[at] = entry,
                false => entries.insert(at, entry),
            }
            at += 1;
        };
        if before != value {
            put((start, value));
        }
        if end != u32::MAX && behind != value {
            put((end, behind));
        }
        if at < after {
            entries.drain(at..after);
        }
    }

    /// As [`assign`](Self::assign), step by step.
    fn assign_across(&mut self, start: u32, end: u32, value: u32) {
        let behind = if end == u32::MAX {
            None
        } else {
            self.find(end)
        };
        while let Some(inside) = self.next_start(start).filter(|inside| *inside <= end) {
            self.remove(inside);
        }
        match behind {
            Some(behind) if behind != value => self.set(end, behind),
            Some(_) => (),
            None => {
                if let Some(next) = self
                    .next_start(start)
                    .filter(|next| self.find(*next) == Some(value))
                {
                    self.remove(next);
                }
            }
        }
        match start.checked_sub(1).and_then(|before| self.find(before)) {
            Some(before) if before == value => self.remove(start),
            _ => self.set(start, value),
        }
    }

    /// Joins the interval that starts at `start` to the one before it.
    pub fn remove(&mut self, start: u32) {
        let Some(chunk) = self.chunk_of(start) else {
            return;
        };
        let entries = &mut self.chunks[chunk];
        let Ok(at) = entries.binary_search_by_key(&start, |entry| entry.0) else {
            return;
        };
        entries.remove(at);
        match entries.first() {
            Some(first) => self.firsts[chunk] = first.0,
            None => {
                self.chunks.remove(chunk);
                self.firsts.remove(chunk);
            }
        }
    }

    /// All intervals in order: start and value.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.chunks.iter().flatten().copied()
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let entries: usize = self.chunks.iter().map(Vec::capacity).sum();
        entries * 8
            + self.chunks.capacity() * size_of::<Vec<(u32, u32)>>()
            + self.firsts.capacity() * 4
    }

    /// Panics if an invariant is broken.
    pub fn check(&self) {
        assert_eq!(self.firsts.len(), self.chunks.len());
        for (first, chunk) in self.firsts.iter().zip(&self.chunks) {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK);
            assert_eq!(*first, chunk[0].0);
        }
        let starts: Vec<u32> = self.iter().map(|(start, _)| start).collect();
        assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
    }

    fn chunk_of(&self, number: u32) -> Option<usize> {
        // New elements have the largest counters: look at the last chunk first.
        if let Some(last) = self.firsts.last() {
            if *last <= number {
                return Some(self.firsts.len() - 1);
            }
        }
        self.firsts
            .partition_point(|first| *first <= number)
            .checked_sub(1)
    }

    fn insert_chunk(&mut self, at: usize, chunk: Vec<(u32, u32)>) {
        if self.chunks.is_empty() {
            // Most sequences have few elements: no room for three chunks more.
            self.firsts.reserve_exact(1);
            self.chunks.reserve_exact(1);
        }
        self.firsts.insert(at, chunk[0].0);
        self.chunks.insert(at, chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_an_ordered_map() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut map = IntervalMap::default();
            let mut oracle = BTreeMap::new();
            for step in 0..120 {
                let start = rng.below(60) as u32;
                if rng.below(4) == 0 {
                    map.remove(start);
                    oracle.remove(&start);
                } else {
                    map.set(start, step);
                    oracle.insert(start, step);
                }
                map.check();
                assert!(
                    map.iter().eq(oracle.iter().map(|(a, b)| (*a, *b))),
                    "seed {seed}"
                );
                let number = rng.below(64) as u32;
                let expected = oracle.range(..=number).next_back().map(|(_, value)| *value);
                assert_eq!(map.find(number), expected, "seed {seed}");
                let expected = oracle.range(number + 1..).next().map(|(start, _)| *start);
                assert_eq!(map.next_start(number), expected, "seed {seed}");
            }
        }
    }

    #[test]
    fn ascending_entries_are_found() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut start = 0;
            let entries: Vec<(u32, u32)> = (0..rng.below(40))
                .map(|_| {
                    start += 1 + rng.below(3) as u32;
                    (start, rng.below(3) as u32)
                })
                .collect();
            let mut map = IntervalMap::from_ascending(entries.iter().copied());
            map.check();
            for number in 0..start + 2 {
                let mut before = entries.iter().rev();
                let expected = before.find(|(start, _)| *start <= number);
                assert_eq!(map.find(number), expected.map(|(_, value)| *value));
            }
            map.assign(3, 9, 7);
            map.check();
            assert_eq!(map.find(5), Some(7), "seed {seed}");
        }
    }

    #[test]
    fn assigned_ranges_agree_with_one_value_per_number() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut map = IntervalMap::default();
            let mut oracle: Vec<Option<u32>> = vec![None; 64];
            for _ in 0..60 {
                let start = rng.below(64);
                let is_open = rng.below(4) == 0;
                let end = if is_open {
                    64
                } else {
                    (start + 1 + rng.below(12)).min(64)
                };
                let value = rng.below(5) as u32;
                map.assign(
                    start as u32,
                    if is_open { u32::MAX } else { end as u32 },
                    value,
                );
                oracle[start..end].fill(Some(value));
                map.check();
                for (number, expected) in oracle
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| value.is_some())
                {
                    assert_eq!(map.find(number as u32), *expected, "seed {seed}");
                }
                let values: Vec<u32> = map.iter().map(|(_, value)| value).collect();
                assert!(
                    values.windows(2).all(|pair| pair[0] != pair[1]),
                    "seed {seed}: {values:?}"
                );
            }
        }
    }
}
