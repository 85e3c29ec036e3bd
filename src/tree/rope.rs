//! A long sequence of small elements, kept in chunks below a run tree: positions are found in
//! O(log n), edits move one chunk's worth of memory, and reading is a walk over slices. Knows
//! neither text nor lists; wide elements are counted for those who skip what is not wide.

use super::{Measure, Run, RunPos, RunTree, TextSums};
use std::ops::Range;

/// What a rope holds.
pub trait Element: Copy {
    /// Whether it counts as wide (see [`Measure::wide`]).
    fn is_wide(self) -> bool;
}

/// Most elements of a chunk.
const CHUNK: usize = if cfg!(any(test, fuzzing)) { 6 } else { 512 };

/// A chunk, as the tree sees it.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    buffer: u32,
    len: u32,
    wide: u32,
}

impl Run for Chunk {
    fn measure(&self) -> Measure {
        Measure {
            visible: self.len,
            wide: self.wide,
        }
    }
}

/// See the module. Holds fewer than 2^32 elements.
#[derive(Clone, Debug)]
pub struct Rope<T> {
    /// Invariant: a chunk is only empty if it is alone in its leaf.
    tree: RunTree<Chunk>,
    buffers: Vec<Vec<T>>,
    /// Buffers that no chunk has.
    free: Vec<u32>,
}

impl<T> Default for Rope<T> {
    fn default() -> Self {
        Rope {
            tree: RunTree::default(),
            buffers: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T: Element> Rope<T> {
    /// Number of elements.
    pub fn len(&self) -> u32 {
        self.tree.measure().visible
    }

    /// How many of them are wide.
    pub fn wide(&self) -> u32 {
        self.tree.measure().wide
    }

    /// Inserts elements before position `at`, which is at most the length. O(log n + elements).
    pub fn insert(&mut self, at: u32, elements: &[T]) {
        if elements.is_empty() {
            return;
        }
        debug_assert!(at <= self.len());
        let Some(first) = self.tree.first() else {
            self.insert_chunks(self.tree.start(), elements);
            return;
        };
        let (pos, offset) = match at.checked_sub(1) {
            None => (first, 0),
            Some(before) => {
                let (pos, offset) = self.tree.locate(before);
                (pos, offset as usize + 1)
            }
        };
        let len = self.tree.run(pos).len as usize;
        if len + elements.len() <= CHUNK {
            let buffer = self.tree.run(pos).buffer as usize;
            self.buffers[buffer].splice(offset..offset, elements.iter().copied());
            self.tree.update(pos, |chunk| {
                chunk.len += elements.len() as u32;
                chunk.wide += wide(elements);
            });
        } else if len == 0 {
            // First the empty chunk, which may have no neighbours in its leaf.
            let (head, rest) = elements.split_at(CHUNK);
            self.insert(at, head);
            self.insert(at + CHUNK as u32, rest);
        } else if offset == len {
            self.insert_chunks(pos.behind(), elements);
        } else if offset == 0 {
            self.insert_chunks(pos, elements);
        } else if elements.len() <= CHUNK / 2 {
            // In halves, so that more insertions here find room.
            self.split(pos, len / 2);
            self.insert(at, elements);
        } else {
            self.split(pos, offset);
            self.insert(at, elements);
        }
    }

    /// Puts the elements behind `offset` of a chunk into a chunk of their own. Both parts have
    /// some.
    fn split(&mut self, pos: RunPos, offset: usize) {
        let buffer = self.tree.run(pos).buffer as usize;
        let tail = self.buffers[buffer].split_off(offset);
        let (tail_len, tail_wide) = (tail.len() as u32, wide(&tail));
        self.tree.update(pos, |chunk| {
            chunk.len -= tail_len;
            chunk.wide -= tail_wide;
        });
        self.insert_chunk(pos.behind(), tail);
    }

    fn insert_chunks(&mut self, mut place: RunPos, elements: &[T]) {
        for part in elements.chunks(CHUNK) {
            place = self.insert_chunk(place, part.to_vec()).behind();
        }
    }

    fn insert_chunk(&mut self, place: RunPos, elements: Vec<T>) -> RunPos {
        let (len, wide) = (elements.len() as u32, wide(&elements));
        let buffer = match self.free.pop() {
            Some(buffer) => {
                self.buffers[buffer as usize] = elements;
                buffer
            }
            None => {
                self.buffers.push(elements);
                (self.buffers.len() - 1) as u32
            }
        };
        self.tree.insert(place, Chunk { buffer, len, wide }).0
    }

    /// Removes `count` elements from position `at` on, which must exist; appends them to `out`.
    /// O(log n + elements).
    pub fn remove(&mut self, at: u32, count: u32, out: &mut Vec<T>) {
        debug_assert!(u64::from(at) + u64::from(count) <= u64::from(self.len()));
        let mut left = count as usize;
        while left > 0 {
            let (pos, offset) = self.tree.locate(at);
            let chunk = *self.tree.run(pos);
            let offset = offset as usize;
            let end = (offset + left).min(chunk.len as usize);
            let start = out.len();
            out.extend(self.buffers[chunk.buffer as usize].drain(offset..end));
            left -= end - offset;
            let gone = wide(&out[start..]);
            self.tree.update(pos, |chunk| {
                chunk.len -= (end - offset) as u32;
                chunk.wide -= gone;
            });
            self.tidy(pos);
        }
    }

    /// Drops a chunk that became empty; joins one that became small with the one behind it.
    fn tidy(&mut self, pos: RunPos) {
        let chunk = *self.tree.run(pos);
        let runs = self.tree.leaf_runs(pos.leaf);
        if chunk.len == 0 {
            self.buffers[chunk.buffer as usize] = Vec::new();
            if runs.len() > 1 {
                self.tree.remove(pos);
                self.free.push(chunk.buffer);
            }
            return;
        }
        let Some(next) = runs.get(pos.at + 1).copied() else {
            return;
        };
        if (chunk.len + next.len) as usize <= CHUNK / 2 {
            let tail = std::mem::take(&mut self.buffers[next.buffer as usize]);
            self.buffers[chunk.buffer as usize].extend(tail);
            self.tree.remove(pos.behind());
            self.free.push(next.buffer);
            self.tree.update(pos, |chunk| {
                chunk.len += next.len;
                chunk.wide += next.wide;
            });
        }
    }

    /// Overwrites the elements from position `at` on, which must exist; appends the old ones to
    /// `out`. O(log n + elements).
    pub fn replace(&mut self, at: u32, elements: &[T], out: &mut Vec<T>) {
        debug_assert!(u64::from(at) + elements.len() as u64 <= u64::from(self.len()));
        let mut done = 0;
        while done < elements.len() {
            let (pos, offset) = self.tree.locate(at + done as u32);
            let chunk = *self.tree.run(pos);
            let offset = offset as usize;
            let count = (chunk.len as usize - offset).min(elements.len() - done);
            let new = &elements[done..done + count];
            let old = &mut self.buffers[chunk.buffer as usize][offset..offset + count];
            let gone = wide(old);
            out.extend_from_slice(old);
            old.copy_from_slice(new);
            self.tree.update(pos, |chunk| {
                chunk.wide = chunk.wide - gone + wide(new);
            });
            done += count;
        }
    }

    /// The element at a position. O(log n).
    pub fn get(&self, at: u32) -> Option<T> {
        self.slices(at..at.checked_add(1)?)
            .next()
            .map(|(slice, _)| slice[0])
    }

    /// The elements of a range in order, as slices that are not empty, and whether there may be
    /// wide ones. What lies past the end is left out. O(log n + what is taken).
    pub fn slices(&self, range: Range<u32>) -> impl Iterator<Item = (&[T], bool)> {
        let (leaf, before) = self.tree.leaf_where(|sum| sum.visible > range.start);
        let mut pos = leaf
            .filter(|_| range.start < self.len())
            .map(|leaf| RunPos { leaf, at: 0 });
        let mut start = before.visible;
        std::iter::from_fn(move || {
            loop {
                let chunk = self.tree.run(pos?);
                if start >= range.end {
                    return None;
                }
                let from = range.start.saturating_sub(start).min(chunk.len);
                let to = (range.end - start).min(chunk.len);
                pos = self.tree.next(pos?);
                start += chunk.len;
                if from < to {
                    let buffer = &self.buffers[chunk.buffer as usize];
                    return Some((&buffer[from as usize..to as usize], chunk.wide > 0));
                }
            }
        })
    }

    /// Appends the elements of a range to `out`; what lies past the end is left out.
    pub fn copy(&self, range: Range<u32>, out: &mut Vec<T>) {
        for (slice, _) in self.slices(range) {
            out.extend_from_slice(slice);
        }
    }

    /// The elements before the chunks through which `reached` first holds of the text; None, and
    /// the whole text, if it never does. `of` gives the text of elements of which some are wide.
    /// O(log n) and the chunks that changed since the last call, and their neighbours.
    pub fn text_where(
        &self,
        of: impl Fn(&[T]) -> TextSums,
        reached: impl Fn(&TextSums) -> bool,
    ) -> (bool, TextSums) {
        let of_chunk = |chunk: &Chunk| match chunk.wide {
            0 => TextSums::ascii(u64::from(chunk.len)),
            _ => of(&self.buffers[chunk.buffer as usize]),
        };
        let (leaf, before) = self.tree.text_where(of_chunk, reached);
        (leaf.is_some(), before)
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let elements: usize = self.buffers.iter().map(Vec::capacity).sum();
        elements * size_of::<T>()
            + self.buffers.capacity() * size_of::<Vec<T>>()
            + self.free.capacity() * size_of::<u32>()
            + self.tree.heap_bytes()
    }

    /// Panics if an invariant is broken. Walks everything: for tests.
    pub fn check(&self) {
        self.tree.check();
        let mut used = vec![false; self.buffers.len()];
        for chunk in self.tree.iter() {
            let buffer = &self.buffers[chunk.buffer as usize];
            assert_eq!(buffer.len(), chunk.len as usize);
            assert_eq!(wide(buffer), chunk.wide);
            assert!(buffer.len() <= CHUNK);
            assert!(!std::mem::replace(&mut used[chunk.buffer as usize], true));
        }
        for buffer in &self.free {
            assert!(!std::mem::replace(&mut used[*buffer as usize], true));
            assert!(self.buffers[*buffer as usize].is_empty());
        }
        assert!(used.into_iter().all(|used| used));
    }
}

fn wide<T: Element>(elements: &[T]) -> u32 {
    elements.iter().filter(|element| element.is_wide()).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    impl Element for u8 {
        fn is_wide(self) -> bool {
            self > 100
        }
    }

    /// Oracle: a plain vector.
    #[test]
    fn agrees_with_a_plain_vector() {
        for seed in 0..400 {
            let mut rng = Rng::new(seed);
            let mut rope = Rope::default();
            let mut plain: Vec<u8> = Vec::new();
            let growth = 4 + rng.below(3);
            for _ in 0..80 {
                let at = rng.below(plain.len() + 1);
                let limit = [3, 30][rng.below(2)];
                let count = rng.below(limit);
                let new: Vec<u8> = (0..count).map(|_| rng.below(120) as u8).collect();
                let mut out = vec![7];
                let rest = plain.len() - at;
                match rng.below(9) {
                    step if step < growth => {
                        rope.insert(at as u32, &new);
                        plain.splice(at..at, new);
                    }
                    8 => {
                        let new = &new[..new.len().min(rest)];
                        rope.replace(at as u32, new, &mut out);
                        assert_eq!(out[1..], plain[at..at + new.len()], "seed {seed}");
                        plain[at..at + new.len()].copy_from_slice(new);
                    }
                    _ => {
                        let count = rng.below(rest + 1).min(rng.below(40) + 1);
                        rope.remove(at as u32, count as u32, &mut out);
                        let gone: Vec<u8> = plain.drain(at..at + count).collect();
                        assert_eq!(out[1..], gone, "seed {seed}");
                    }
                }
                rope.check();
                compare(&rope, &plain, &mut rng);
            }
        }
    }

    fn compare(rope: &Rope<u8>, plain: &[u8], rng: &mut Rng) {
        assert_eq!(rope.len() as usize, plain.len());
        assert_eq!(rope.wide(), wide(plain));
        let mut all = Vec::new();
        rope.copy(0..u32::MAX, &mut all);
        assert_eq!(all, plain);
        let (a, b) = (rng.below(plain.len() + 3), rng.below(plain.len() + 3));
        let mut part = Vec::new();
        rope.copy(a as u32..b as u32, &mut part);
        let clip = |at: usize| at.min(plain.len());
        assert_eq!(part, plain[clip(a)..clip(b).max(clip(a))]);
        assert!(rope.slices(0..u32::MAX).all(|(slice, _)| !slice.is_empty()));
        assert_eq!(rope.get(a as u32), plain.get(a).copied());
        let of = |part: &[u8]| TextSums {
            utf8: u64::from(wide(part)) + part.len() as u64,
            ..TextSums::ascii(part.len() as u64)
        };
        let (found, before) = rope.text_where(of, |text| text.utf8 > a as u64);
        assert_eq!(found, of(plain).utf8 > a as u64);
        assert_eq!(before, of(&plain[..before.utf16 as usize]));
        assert!(before.utf8 <= a as u64 || !found);
    }
}
