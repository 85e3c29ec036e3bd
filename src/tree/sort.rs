//! Sorting that is compiled once: a slice's own sort is compiled anew for every type and key, at
//! six kilobytes each. For what is sorted seldom or is small; whole histories sort for themselves.

use std::cmp::Ordering;

/// The places of `len` items in ascending order; equal ones stay in theirs. O(n log n).
///
/// # Panics
/// If there are more than a `u32` counts.
#[inline(never)]
fn sorted_places(len: usize, compare: &mut dyn FnMut(u32, u32) -> Ordering) -> Vec<u32> {
    let mut places: Vec<u32> = (0..u32::try_from(len).expect("memory ends before")).collect();
    places.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
    places
}

/// Sorts by a key; equal items stay in their order. O(n log n), O(n) if nothing is to be done.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    if items.is_sorted_by_key(&key) {
        return;
    }
    let mut places = sorted_places(items.len(), &mut |a, b| {
        key(&items[a as usize]).cmp(&key(&items[b as usize]))
    });
    for start in 0..items.len() {
        // Round the circle of those that change places; each is where it belongs afterwards.
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut places[at], at as u32) as usize;
            if from == start {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sort_by_key;
    use crate::testing::Rng;

    /// Oracle: the slice's own stable sort. Few distinct keys, so that many are equal.
    #[test]
    fn agrees_with_the_stable_sort_of_slices() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let len = rng.below(80);
            let mut items: Vec<(u32, u32)> = (0..len as u32)
                .map(|number| (rng.below(20) as u32, number))
                .collect();
            let mut oracle = items.clone();
            oracle.sort_by_key(|item| item.0);
            sort_by_key(&mut items, |item| item.0);
            assert_eq!(items, oracle, "seed {seed}");
        }
    }
}
