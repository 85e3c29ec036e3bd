//! Lengths of text per node, for positions in other units than UTF-16. They are kept once somebody
//! has asked for such a position; from then on edits note which nodes they change, and the next
//! question sums these anew. Who never asks pays for nothing.

use super::super::inner::NONE;
use super::super::text_sums::TextSums;
use super::{LeafIdx, Run, RunTree};
use parking_lot::Mutex;

/// The sums of a tree. A copy of a tree begins without.
#[derive(Debug, Default)]
pub(super) struct KeptSums(Mutex<Option<Box<Sums>>>);

impl Clone for KeptSums {
    fn clone(&self) -> Self {
        KeptSums::default()
    }
}

/// By number of leaf or inner node. None: not summed since the last change. Invariant: above what
/// is not summed, nothing is.
#[derive(Debug, Default)]
struct Sums {
    leaves: Vec<Option<TextSums>>,
    inners: Vec<Option<TextSums>>,
}

impl<R: Run> RunTree<R> {
    /// The first leaf through which `reached` holds of the text so far, and the text before that
    /// leaf; None and the whole text if it never holds. `of` gives the text of a run. `reached`
    /// must change from false to true once. O(log n) and the leaves that changed since the last
    /// call.
    pub fn text_where(
        &self,
        of: impl Fn(&R) -> TextSums,
        reached: impl Fn(&TextSums) -> bool,
    ) -> (Option<LeafIdx>, TextSums) {
        let mut kept = self.kept_sums.0.lock();
        let sums = kept.get_or_insert_with(Box::default);
        sums.leaves.resize(self.leaves.len(), None);
        sums.inners.resize(self.inners.len(), None);
        let whole = self.summed(sums, self.root, self.height, &of);
        if !reached(&whole) {
            return (None, whole);
        }
        let mut node = self.root;
        let mut before = TextSums::default();
        for level in (0..self.height).rev() {
            for child in self.inners[node as usize].children() {
                let through = before.plus(self.summed(sums, *child, level, &of));
                if reached(&through) {
                    node = *child;
                    break;
                }
                before = through;
            }
        }
        (Some(LeafIdx(node)), before)
    }

    /// The sum of a node so many levels above the leaves.
    fn summed(
        &self,
        sums: &mut Sums,
        node: u32,
        level: u32,
        of: &impl Fn(&R) -> TextSums,
    ) -> TextSums {
        let at = node as usize;
        let kept = if level == 0 {
            sums.leaves[at]
        } else {
            sums.inners[at]
        };
        if let Some(kept) = kept {
            return kept;
        }
        let mut sum = TextSums::default();
        if level == 0 {
            for run in &self.leaves[at].runs {
                sum = sum.plus(of(run));
            }
            sums.leaves[at] = Some(sum);
        } else {
            for child in self.inners[at].children() {
                sum = sum.plus(self.summed(sums, *child, level - 1, of));
            }
            sums.inners[at] = Some(sum);
        }
        sum
    }

    /// The runs of a leaf changed.
    #[inline]
    pub(super) fn forget_leaf_sum(&mut self, leaf: u32) {
        if self.kept_sums.0.get_mut().is_some() {
            self.forget_sums_above(leaf);
        }
    }

    fn forget_sums_above(&mut self, leaf: u32) {
        let Some(sums) = self.kept_sums.0.get_mut() else {
            return;
        };
        if let Some(kept) = sums.leaves.get_mut(leaf as usize) {
            if kept.take().is_none() {
                // Then nothing above it is summed, either.
                return;
            }
        }
        forget_path(sums, &self.inners, self.leaves[leaf as usize].parent);
    }

    /// Panics if a sum is not what it would be now, or is known above one that is not.
    #[cfg(test)]
    pub fn check_text(&self, of: impl Fn(&R) -> TextSums) {
        let mut kept = self.kept_sums.0.lock();
        let Some(sums) = kept.as_mut() else {
            return;
        };
        let mut fresh = Sums {
            leaves: vec![None; self.leaves.len()],
            inners: vec![None; self.inners.len()],
        };
        self.summed(&mut fresh, self.root, self.height, &of);
        let same = |kept: &[Option<TextSums>], fresh: &[Option<TextSums>]| {
            let mut both = kept.iter().zip(fresh);
            both.all(|(kept, fresh)| kept.is_none() || kept == fresh)
        };
        assert!(same(&sums.leaves, &fresh.leaves));
        assert!(same(&sums.inners, &fresh.inners));
    }
}

/// Forgets the sum of an inner node and all above it.
fn forget_path(sums: &mut Sums, inners: &[super::super::inner::Inner], mut node: u32) {
    while node != NONE {
        if let Some(kept) = sums.inners.get_mut(node as usize) {
            *kept = None;
        }
        node = inners[node as usize].parent;
    }
}
