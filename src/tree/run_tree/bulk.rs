//! A tree of many runs at once, level by level: what a stored sequence is opened into.

use super::super::inner::{INNER_MAX, Inner, Measure, NONE};
use super::{LEAF_MAX, Leaf, LeafIdx, Run, RunTree};

/// Runs per leaf and children per node, with room for what comes later.
const LEAF_FILL: usize = LEAF_MAX * 3 / 4;
const INNER_FILL: usize = INNER_MAX * 3 / 4;

impl<R: Run> RunTree<R> {
    /// A tree of these runs. O(runs).
    pub fn from_runs(runs: &[R]) -> Self {
        let mut tree = RunTree::default();
        if runs.is_empty() {
            return tree;
        }
        tree.leaves.clear();
        let mut level: Vec<(u32, Measure)> = Vec::with_capacity(runs.len().div_ceil(LEAF_FILL));
        for (number, runs) in runs.chunks(LEAF_FILL).enumerate() {
            let number = number as u32;
            let mut held = Vec::with_capacity(LEAF_MAX);
            held.extend_from_slice(runs);
            tree.leaves.push(Leaf {
                parent: NONE,
                previous: number.checked_sub(1).unwrap_or(NONE),
                next: number + 1,
                runs: held,
            });
            level.push((number, sum(runs.iter().map(Run::measure))));
        }
        tree.last = level.len() as u32 - 1;
        tree.leaves[tree.last as usize].next = NONE;
        while level.len() > 1 {
            level = tree.add_level(&level);
        }
        (tree.root, tree.total) = level[0];
        tree
    }

    /// The leaf that run number `at` goes to.
    pub fn bulk_leaf(at: usize) -> LeafIdx {
        LeafIdx((at / LEAF_FILL) as u32)
    }

    /// No more runs than this.
    pub fn run_count_max(&self) -> usize {
        self.leaves.len() * LEAF_MAX
    }

    fn add_level(&mut self, children: &[(u32, Measure)]) -> Vec<(u32, Measure)> {
        let groups = children.len().div_ceil(INNER_FILL);
        let mut level = Vec::with_capacity(groups);
        for group in 0..groups {
            // Evenly, so that no node has a single child.
            let range = children.len() * group / groups..children.len() * (group + 1) / groups;
            let number = self.inners.len() as u32;
            let mut inner = Inner::new();
            for (child, measure) in &children[range] {
                inner.insert(inner.len, *child, *measure);
                self.set_parent(*child, number, self.height);
            }
            level.push((number, inner.sum()));
            self.inners.push(inner);
        }
        self.height += 1;
        level
    }
}

fn sum(measures: impl Iterator<Item = Measure>) -> Measure {
    measures.fold(Measure::default(), Measure::plus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Piece(u32);

    impl Run for Piece {
        fn measure(&self) -> Measure {
            Measure {
                visible: self.0 % 3,
                wide: 0,
            }
        }
    }

    #[test]
    fn trees_of_any_size_are_sound() {
        for count in 0..200 {
            let runs: Vec<Piece> = (0..count).map(Piece).collect();
            let mut tree = RunTree::from_runs(&runs);
            tree.check();
            assert!(tree.iter().eq(runs.iter()));
            let mut pos = tree.first();
            for at in 0..count as usize {
                let found = pos.expect("as many as given");
                assert_eq!(found.leaf, RunTree::<Piece>::bulk_leaf(at));
                pos = tree.next(found);
            }
            for unit in 0..tree.measure().visible {
                tree.locate(unit);
            }
            if let Some(last) = tree.last() {
                tree.insert(last, Piece(500));
                tree.check();
            }
        }
    }
}
