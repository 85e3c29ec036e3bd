//! A B-tree whose leaves hold runs in sequence order. Inner nodes know how much is visible below
//! them, so a position is found in O(log n); a cached cursor makes work near the last position
//! O(1). Runs are never taken out of the order, only split, merged within a leaf, or changed in
//! place: leaves are therefore never emptied and keep their numbers for the life of the tree,
//! which is what id indexes refer to.

mod bulk;
mod kept_sums;

use super::inner::{INNER_MAX, Inner, Measure, NONE};
use kept_sums::KeptSums;

/// What the tree holds.
pub trait Run: Copy {
    /// How much of it is visible.
    fn measure(&self) -> Measure;
}

/// Number of a leaf, stable for the life of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafIdx(pub u32);

/// Place of a run: valid until the next insertion or removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPos {
    /// Which leaf.
    pub leaf: LeafIdx,
    /// Which run of it.
    pub at: usize,
}

impl RunPos {
    /// The place behind it in its leaf.
    pub fn behind(self) -> Self {
        RunPos {
            at: self.at + 1,
            ..self
        }
    }
}

const LEAF_MAX: usize = if cfg!(any(test, fuzzing)) { 4 } else { 32 };

/// Leaves take memory for so many runs more at a time. Most are little more than half full, which
/// is how splitting leaves them: whole leaves would be a third of the memory of a document.
const LEAF_GROWTH: usize = LEAF_MAX / 4;

#[derive(Clone, Debug)]
struct Leaf<R> {
    parent: u32,
    previous: u32,
    next: u32,
    /// Never empty, except in an empty tree.
    runs: Vec<R>,
}

/// The last position found: where its run and its leaf begin, in visible units.
#[derive(Clone, Copy, Debug)]
struct Cache {
    leaf: u32,
    leaf_start: u32,
    at: usize,
    run_start: u32,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct RunTree<R> {
    leaves: Vec<Leaf<R>>,
    inners: Vec<Inner>,
    /// A leaf if `height` is 0, else an inner node.
    root: u32,
    height: u32,
    first: u32,
    last: u32,
    total: Measure,
    /// A leaf whose growth its ancestors have not been told of, and the growth.
    unpropagated: (u32, Measure),
    cache: Option<Cache>,
    kept_sums: KeptSums,
}

impl<R: Run> Default for RunTree<R> {
    fn default() -> Self {
        let leaf = Leaf {
            parent: NONE,
            previous: NONE,
            next: NONE,
            runs: Vec::new(),
        };
        RunTree {
            leaves: vec![leaf],
            inners: Vec::new(),
            root: 0,
            height: 0,
            first: 0,
            last: 0,
            total: Measure::default(),
            unpropagated: (NONE, Measure::default()),
            cache: None,
            kept_sums: KeptSums::default(),
        }
    }
}

impl<R: Run> RunTree<R> {
    /// How much is visible in all.
    pub fn measure(&self) -> Measure {
        self.total
    }

    /// The run at `pos`.
    pub fn run(&self, pos: RunPos) -> &R {
        &self.leaves[pos.leaf.0 as usize].runs[pos.at]
    }

    /// The runs of a leaf.
    pub fn leaf_runs(&self, leaf: LeafIdx) -> &[R] {
        &self.leaves[leaf.0 as usize].runs
    }

    /// All runs in order.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        let leaves = std::iter::successors(Some(self.first), |leaf| {
            let next = self.leaves[*leaf as usize].next;
            (next != NONE).then_some(next)
        });
        leaves.flat_map(|leaf| self.leaves[leaf as usize].runs.iter())
    }

    /// The first run.
    pub fn first(&self) -> Option<RunPos> {
        let leaf = &self.leaves[self.first as usize];
        (!leaf.runs.is_empty()).then_some(RunPos {
            leaf: LeafIdx(self.first),
            at: 0,
        })
    }

    /// The last run.
    pub fn last(&self) -> Option<RunPos> {
        let len = self.leaves[self.last as usize].runs.len();
        (len > 0).then(|| RunPos {
            leaf: LeafIdx(self.last),
            at: len - 1,
        })
    }

    /// The run after `pos`.
    #[inline]
    pub fn next(&self, pos: RunPos) -> Option<RunPos> {
        let leaf = &self.leaves[pos.leaf.0 as usize];
        if pos.at + 1 < leaf.runs.len() {
            return Some(RunPos {
                leaf: pos.leaf,
                at: pos.at + 1,
            });
        }
        (leaf.next != NONE).then_some(RunPos {
            leaf: LeafIdx(leaf.next),
            at: 0,
        })
    }

    /// The run before `pos`.
    pub fn previous(&self, pos: RunPos) -> Option<RunPos> {
        if pos.at > 0 {
            return Some(RunPos {
                leaf: pos.leaf,
                at: pos.at - 1,
            });
        }
        let previous = self.leaves[pos.leaf.0 as usize].previous;
        (previous != NONE).then(|| RunPos {
            leaf: LeafIdx(previous),
            at: self.leaves[previous as usize].runs.len() - 1,
        })
    }

    /// The run that holds visible unit `unit`, and the unit's offset in it. `unit` is less than
    /// what is visible in all. Amortised O(1) near the last position, else O(log n).
    pub fn locate(&mut self, unit: u32) -> (RunPos, u32) {
        debug_assert!(unit < self.total.visible);
        if let Some(found) = self.locate_cached(unit) {
            return found;
        }
        self.propagate();
        let (leaf, start) = self.descend(unit);
        self.scan(leaf, start, 0, start, unit)
            .expect("the sums of the inner nodes are right")
    }

    fn locate_cached(&mut self, unit: u32) -> Option<(RunPos, u32)> {
        let cache = self.cache?;
        if unit >= cache.run_start {
            return self.scan(
                cache.leaf,
                cache.leaf_start,
                cache.at,
                cache.run_start,
                unit,
            );
        }
        if unit < cache.leaf_start {
            return None;
        }
        // Backwards: carets move to the left in small steps.
        let runs = &self.leaves[cache.leaf as usize].runs;
        let (mut at, mut run_start) = (cache.at, cache.run_start);
        while unit < run_start {
            at -= 1;
            run_start -= runs[at].measure().visible;
        }
        self.cache = Some(Cache {
            at,
            run_start,
            ..cache
        });
        Some((
            RunPos {
                leaf: LeafIdx(cache.leaf),
                at,
            },
            unit - run_start,
        ))
    }

    /// Looks for `unit` in a leaf, from run `at` on, which begins at `start`.
    fn scan(
        &mut self,
        leaf: u32,
        leaf_start: u32,
        at: usize,
        mut start: u32,
        unit: u32,
    ) -> Option<(RunPos, u32)> {
        let runs = &self.leaves[leaf as usize].runs;
        for (at, run) in runs.iter().enumerate().skip(at) {
            let visible = run.measure().visible;
            if unit - start < visible {
                self.cache = Some(Cache {
                    leaf,
                    leaf_start,
                    at,
                    run_start: start,
                });
                return Some((
                    RunPos {
                        leaf: LeafIdx(leaf),
                        at,
                    },
                    unit - start,
                ));
            }
            start += visible;
        }
        None
    }

    /// The leaf that holds `unit`, and the unit it begins with.
    fn descend(&self, unit: u32) -> (u32, u32) {
        let mut node = self.root;
        let mut start = 0;
        for _ in 0..self.height {
            let inner = &self.inners[node as usize];
            let mut slot = 0;
            while unit - start >= inner.measures[slot].visible {
                start += inner.measures[slot].visible;
                slot += 1;
            }
            node = inner.children[slot];
        }
        (node, start)
    }

    /// What is visible before the run at `pos`. O(log n).
    pub fn measure_before(&self, pos: RunPos) -> Measure {
        let runs = &self.leaves[pos.leaf.0 as usize].runs[..pos.at];
        let mut sum = runs
            .iter()
            .fold(Measure::default(), |sum, run| sum.plus(run.measure()));
        let mut child = pos.leaf.0;
        let mut node = self.leaves[child as usize].parent;
        while node != NONE {
            let inner = &self.inners[node as usize];
            let slot = inner.slot_of(child);
            sum = inner.measures[..slot]
                .iter()
                .fold(sum, |sum, measure| sum.plus(*measure));
            child = node;
            node = inner.parent;
        }
        if self.unpropagated.0 != NONE && self.is_before(self.unpropagated.0, pos.leaf.0) {
            sum = sum.plus(self.unpropagated.1);
        }
        sum
    }

    /// Whether the run at `pos` is the one at `other` or comes before it. O(log n).
    pub fn is_in_order(&self, pos: RunPos, other: RunPos) -> bool {
        match pos.leaf == other.leaf {
            true => pos.at <= other.at,
            false => self.is_before(pos.leaf.0, other.leaf.0),
        }
    }

    /// Whether one leaf comes before another in the order.
    fn is_before(&self, leaf: u32, other: u32) -> bool {
        let (mut a, mut b) = (leaf, other);
        if a == b {
            return false;
        }
        let (mut parent_a, mut parent_b) = (
            self.leaves[a as usize].parent,
            self.leaves[b as usize].parent,
        );
        while parent_a != parent_b {
            (a, b) = (parent_a, parent_b);
            (parent_a, parent_b) = (
                self.inners[a as usize].parent,
                self.inners[b as usize].parent,
            );
        }
        let inner = &self.inners[parent_a as usize];
        inner.slot_of(a) < inner.slot_of(b)
    }

    /// The first leaf through which `reached` holds of the sum so far, and the sum before that
    /// leaf; the sum must make `reached` change from false to true once. O(log n).
    pub fn leaf_where(&self, reached: impl Fn(Measure) -> bool) -> (Option<LeafIdx>, Measure) {
        let mut node = self.root;
        let mut before = Measure::default();
        for _ in 0..self.height {
            let inner = &self.inners[node as usize];
            let grown = self.grown_slot(node);
            let mut found = None;
            for (slot, measure) in inner.measures[..inner.len].iter().enumerate() {
                let mut through = before.plus(*measure);
                if grown == Some(slot) {
                    through = through.plus(self.unpropagated.1);
                }
                if reached(through) {
                    found = Some(inner.children[slot]);
                    break;
                }
                before = through;
            }
            match found {
                Some(child) => node = child,
                None => return (None, before),
            }
        }
        (Some(LeafIdx(node)), before)
    }

    /// The child of an inner node that has grown without the node being told yet.
    fn grown_slot(&self, node: u32) -> Option<usize> {
        let (mut child, _) = self.unpropagated;
        if child == NONE {
            return None;
        }
        let mut parent = self.leaves[child as usize].parent;
        while parent != NONE {
            let inner = &self.inners[parent as usize];
            if parent == node {
                return Some(inner.slot_of(child));
            }
            child = parent;
            parent = inner.parent;
        }
        None
    }

    /// Changes a run in place. O(1) amortised while the changes stay in one leaf.
    #[inline]
    pub fn update(&mut self, pos: RunPos, change: impl FnOnce(&mut R)) {
        let run = &mut self.leaves[pos.leaf.0 as usize].runs[pos.at];
        let before = run.measure();
        change(run);
        let growth = run.measure().minus(before);
        self.forget_leaf_sum(pos.leaf.0);
        self.grow(pos.leaf.0, growth);
        self.keep_cache_before(pos);
    }

    /// As [`update`](Self::update), for whoever knows by how much the run grows.
    #[inline(always)]
    pub fn update_by(&mut self, pos: RunPos, growth: Measure, change: impl FnOnce(&mut R)) {
        let run = &mut self.leaves[pos.leaf.0 as usize].runs[pos.at];
        change(run);
        self.forget_leaf_sum(pos.leaf.0);
        self.grow(pos.leaf.0, growth);
        self.keep_cache_before(pos);
    }

    /// Changes a run and the one behind it in its leaf, which together grow by `growth`. The
    /// first one keeps its beginning.
    #[inline]
    pub fn update_both_by(
        &mut self,
        pos: RunPos,
        growth: Measure,
        change: impl FnOnce(&mut R, &mut R),
    ) {
        let runs = &mut self.leaves[pos.leaf.0 as usize].runs[pos.at..];
        if let [first, second, ..] = runs {
            change(first, second);
        }
        self.forget_leaf_sum(pos.leaf.0);
        self.grow(pos.leaf.0, growth);
        self.keep_cache_before(pos);
    }

    /// Inserts a run at `pos`, which may be one past the last of its leaf. If the leaf had to be
    /// split, the runs that moved are now in the leaf that is returned beside the place.
    pub fn insert(&mut self, pos: RunPos, run: R) -> (RunPos, Option<LeafIdx>) {
        let RunPos { leaf, mut at } = pos;
        let mut target = leaf.0;
        let mut moved = None;
        if self.leaves[leaf.0 as usize].runs.len() == LEAF_MAX {
            // Appending behind a full leaf keeps it full: documents mostly grow at one place.
            let keep = if at == LEAF_MAX {
                LEAF_MAX
            } else {
                LEAF_MAX / 2
            };
            let right = self.split_leaf(leaf.0, keep, run);
            if at == LEAF_MAX {
                return (
                    RunPos {
                        leaf: LeafIdx(right),
                        at: 0,
                    },
                    None,
                );
            }
            moved = Some(LeafIdx(right));
            if at > keep {
                target = right;
                at -= keep;
            }
        }
        let runs = &mut self.leaves[target as usize].runs;
        if runs.len() == runs.capacity() {
            runs.reserve_exact(runs.len().clamp(1, LEAF_GROWTH));
        }
        runs.insert(at, run);
        self.forget_leaf_sum(target);
        self.grow(target, run.measure());
        let pos = RunPos {
            leaf: LeafIdx(target),
            at,
        };
        self.keep_cache_before(pos);
        (pos, moved)
    }

    /// Removes a run. The leaf must keep another one.
    pub fn remove(&mut self, pos: RunPos) -> R {
        let runs = &mut self.leaves[pos.leaf.0 as usize].runs;
        assert!(runs.len() > 1, "leaves are never emptied");
        let run = runs.remove(pos.at);
        self.forget_leaf_sum(pos.leaf.0);
        self.grow(pos.leaf.0, Measure::default().minus(run.measure()));
        self.keep_cache_before(pos);
        run
    }

    /// Where the first run goes while there is none, or one goes before all others.
    pub fn start(&self) -> RunPos {
        RunPos {
            leaf: LeafIdx(self.first),
            at: 0,
        }
    }

    /// Drops a cached cursor that a change at `pos` may have moved.
    #[inline]
    fn keep_cache_before(&mut self, pos: RunPos) {
        if let Some(cache) = &mut self.cache {
            if cache.leaf != pos.leaf.0 {
                self.cache = None;
            } else if cache.at > pos.at {
                cache.at = 0;
                cache.run_start = cache.leaf_start;
            }
        }
    }

    #[inline]
    fn grow(&mut self, leaf: u32, growth: Measure) {
        if growth == Measure::default() {
            return;
        }
        self.total = self.total.plus(growth);
        if self.height == 0 {
            return;
        }
        if self.unpropagated.0 != leaf {
            self.propagate();
            self.unpropagated.0 = leaf;
        }
        self.unpropagated.1 = self.unpropagated.1.plus(growth);
    }

    /// Tells the ancestors of the last leaf that grew.
    fn propagate(&mut self) {
        let (leaf, growth) = std::mem::replace(&mut self.unpropagated, (NONE, Measure::default()));
        if leaf == NONE {
            return;
        }
        let mut child = leaf;
        let mut node = self.leaves[leaf as usize].parent;
        while node != NONE {
            let inner = &mut self.inners[node as usize];
            let slot = inner.slot_of(child);
            inner.measures[slot] = inner.measures[slot].plus(growth);
            child = node;
            node = inner.parent;
        }
    }

    /// Moves the runs from `keep` on into a new leaf behind `leaf`; `lone` goes there if no run
    /// does, because leaves are never empty.
    fn split_leaf(&mut self, leaf: u32, keep: usize, lone: R) -> u32 {
        self.propagate();
        self.cache = None;
        // All nodes that change are above it, or new.
        self.forget_leaf_sum(leaf);
        let right = self.leaves.len() as u32;
        let left = &mut self.leaves[leaf as usize];
        let mut runs = Vec::with_capacity(LEAF_MAX - keep + LEAF_GROWTH);
        runs.extend(left.runs.drain(keep..));
        left.runs.shrink_to(keep + LEAF_GROWTH);
        if runs.is_empty() {
            runs.push(lone);
            self.total = self.total.plus(lone.measure());
        }
        let sum = |runs: &[R]| {
            runs.iter()
                .fold(Measure::default(), |sum, run| sum.plus(run.measure()))
        };
        let (left_measure, right_measure) = (sum(&left.runs), sum(&runs));
        let next = std::mem::replace(&mut left.next, right);
        let parent = left.parent;
        self.leaves.push(Leaf {
            parent,
            previous: leaf,
            next,
            runs,
        });
        match next {
            NONE => self.last = right,
            next => self.leaves[next as usize].previous = right,
        }
        self.attach(leaf, left_measure, right, right_measure, parent, 0);
        right
    }

    /// Makes `right` the neighbour of its split sibling `left` below `parent`, splitting inner
    /// nodes upwards as needed. `level` is the height of the two above the leaves.
    fn attach(
        &mut self,
        mut left: u32,
        mut left_measure: Measure,
        mut right: u32,
        mut right_measure: Measure,
        mut parent: u32,
        mut level: u32,
    ) {
        loop {
            if parent == NONE {
                self.add_root(left, left_measure, right, right_measure, level);
                return;
            }
            let inner = &mut self.inners[parent as usize];
            let slot = inner.slot_of(left);
            let whole = left_measure.plus(right_measure);
            let growth = whole.minus(inner.measures[slot]);
            inner.measures[slot] = left_measure;
            if inner.len < INNER_MAX {
                inner.insert(slot + 1, right, right_measure);
                self.set_parent(right, parent, level);
                self.grow_ancestors(parent, growth);
                return;
            }
            let mut sibling = inner.split();
            if slot < inner.len {
                inner.insert(slot + 1, right, right_measure);
            } else {
                sibling.insert(slot + 1 - inner.len, right, right_measure);
            }
            let sums = (inner.sum(), sibling.sum());
            let grandparent = inner.parent;
            let new = self.inners.len() as u32;
            let children = sibling.children;
            let count = sibling.len;
            self.inners.push(sibling);
            self.set_parent(right, parent, level);
            for child in &children[..count] {
                self.set_parent(*child, new, level);
            }
            (left, left_measure, right, right_measure) = (parent, sums.0, new, sums.1);
            parent = grandparent;
            level += 1;
        }
    }

    fn add_root(
        &mut self,
        left: u32,
        left_measure: Measure,
        right: u32,
        right_measure: Measure,
        level: u32,
    ) {
        let root = self.inners.len() as u32;
        let mut inner = Inner::new();
        inner.insert(0, left, left_measure);
        inner.insert(1, right, right_measure);
        self.inners.push(inner);
        self.set_parent(left, root, level);
        self.set_parent(right, root, level);
        self.root = root;
        self.height += 1;
    }

    fn set_parent(&mut self, child: u32, parent: u32, level: u32) {
        if level == 0 {
            self.leaves[child as usize].parent = parent;
        } else {
            self.inners[child as usize].parent = parent;
        }
    }

    fn grow_ancestors(&mut self, node: u32, growth: Measure) {
        if growth == Measure::default() {
            return;
        }
        let mut child = node;
        let mut node = self.inners[node as usize].parent;
        while node != NONE {
            let inner = &mut self.inners[node as usize];
            let slot = inner.slot_of(child);
            inner.measures[slot] = inner.measures[slot].plus(growth);
            child = node;
            node = inner.parent;
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let runs: usize = self.leaves.iter().map(|leaf| leaf.runs.capacity()).sum();
        runs * size_of::<R>()
            + self.leaves.capacity() * size_of::<Leaf<R>>()
            + self.inners.capacity() * size_of::<Inner>()
    }

    /// Panics if an invariant is broken. Walks everything.
    pub fn check(&self) {
        let sum = |runs: &[R]| {
            runs.iter()
                .fold(Measure::default(), |sum, run| sum.plus(run.measure()))
        };
        let mut total = Measure::default();
        let mut previous = NONE;
        let mut leaf = self.first;
        let mut count = 0;
        while leaf != NONE {
            let node = &self.leaves[leaf as usize];
            assert_eq!(node.previous, previous);
            assert!(node.runs.len() <= LEAF_MAX);
            assert!(!node.runs.is_empty() || self.leaves.len() == 1);
            let mut measure = sum(&node.runs);
            total = total.plus(measure);
            if leaf == self.unpropagated.0 {
                measure = measure.minus(self.unpropagated.1);
            }
            if node.parent != NONE {
                let parent = &self.inners[node.parent as usize];
                assert_eq!(parent.measures[parent.slot_of(leaf)], measure);
            }
            previous = leaf;
            leaf = node.next;
            count += 1;
        }
        assert_eq!(count, self.leaves.len());
        assert_eq!(previous, self.last);
        assert_eq!(total, self.total);
        for (index, inner) in self.inners.iter().enumerate() {
            assert!(inner.len >= 2 && inner.len <= INNER_MAX);
            if inner.parent != NONE {
                let parent = &self.inners[inner.parent as usize];
                assert_eq!(parent.measures[parent.slot_of(index as u32)], inner.sum());
            }
        }
        if let Some(cache) = self.cache {
            let pos = RunPos {
                leaf: LeafIdx(cache.leaf),
                at: 0,
            };
            assert_eq!(self.measure_before(pos).visible, cache.leaf_start);
            let pos = RunPos {
                leaf: LeafIdx(cache.leaf),
                at: cache.at,
            };
            assert_eq!(self.measure_before(pos).visible, cache.run_start);
        }
    }
}

#[cfg(test)]
mod tests;
