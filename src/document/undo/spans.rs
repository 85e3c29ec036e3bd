//! Elements of a sequence as stretches of their authors' consecutive ids.

use crate::sequence::ElementKey;
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SpanSet {
    /// First element and number of elements. Invariant: not empty, without overlap, and no
    /// stretch continues the one before.
    spans: BTreeMap<ElementKey, u32>,
}

impl SpanSet {
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The stretches, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ElementKey, u32)> + '_ {
        self.spans.iter().map(|(first, len)| (*first, *len))
    }

    /// Adds elements that are not in the set. O(log n).
    pub fn insert(&mut self, first: ElementKey, len: u32) {
        if len == 0 {
            return;
        }
        let (mut first, mut len) = (first, len);
        if let Some((before, known)) = self.before(first) {
            debug_assert!(before.author != first.author || before.plus(known) <= first);
            if before.plus(known) == first {
                self.spans.remove(&before);
                (first, len) = (before, known + len);
            }
        }
        if let Some(known) = self.spans.remove(&first.plus(len)) {
            len += known;
        }
        self.spans.insert(first, len);
    }

    /// Takes elements out of the set; returns those that were in it, ascending.
    /// O(stretches taken * log n).
    pub fn take(&mut self, first: ElementKey, len: u32) -> Vec<(ElementKey, u32)> {
        let end = first.plus(len);
        let mut found: Vec<(ElementKey, u32)> = self.before(first).into_iter().collect();
        let range = self.spans.range(first..end);
        found.extend(range.map(|(first, len)| (*first, *len)));
        let mut taken = Vec::new();
        for (known, count) in found {
            let (start, stop) = (known.max(first), known.plus(count).min(end));
            if known.author != first.author || start >= stop {
                continue;
            }
            self.spans.remove(&known);
            if known < start {
                self.spans.insert(known, start.counter - known.counter);
            }
            if stop < known.plus(count) {
                let rest = known.plus(count).counter - stop.counter;
                self.spans.insert(stop, rest);
            }
            taken.push((start, stop.counter - start.counter));
        }
        taken
    }

    /// The stretch that begins before an element.
    fn before(&self, key: ElementKey) -> Option<(ElementKey, u32)> {
        let last = self.spans.range(..key).next_back();
        last.map(|(first, len)| (*first, *len))
    }

    /// Panics if the invariant is broken. For tests.
    #[cfg(test)]
    pub fn check(&self) {
        let spans: Vec<_> = self.iter().collect();
        assert!(spans.iter().all(|(_, len)| *len > 0));
        assert!(spans.windows(2).all(|pair| {
            let end = pair[0].0.plus(pair[0].1);
            end < pair[1].0
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::AuthorIdx;
    use crate::testing::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_one_entry_per_element() {
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut set = SpanSet::default();
            let mut oracle: BTreeSet<ElementKey> = BTreeSet::new();
            for _ in 0..40 {
                let first = ElementKey {
                    author: AuthorIdx(rng.below(2) as u32),
                    counter: rng.below(30) as u32,
                };
                let len = rng.below(5) as u32;
                let keys: Vec<ElementKey> = (0..len).map(|nth| first.plus(nth)).collect();
                if rng.below(2) == 0 {
                    if keys.iter().all(|key| !oracle.contains(key)) {
                        oracle.extend(&keys);
                        set.insert(first, len);
                    }
                } else {
                    let taken = set.take(first, len);
                    let taken: Vec<ElementKey> = taken
                        .into_iter()
                        .flat_map(|(first, len)| (0..len).map(move |nth| first.plus(nth)))
                        .collect();
                    let expected: Vec<ElementKey> =
                        keys.into_iter().filter(|key| oracle.remove(key)).collect();
                    assert_eq!(taken, expected, "seed {seed}");
                }
                set.check();
                let all = set.iter();
                let all = all.flat_map(|(first, len)| (0..len).map(move |nth| first.plus(nth)));
                assert!(all.eq(oracle.iter().copied()), "seed {seed}");
            }
        }
    }
}
