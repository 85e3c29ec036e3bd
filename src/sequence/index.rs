//! Where elements are, by author and counter. A document may know many authors of whom only a few
//! wrote in a sequence: only those take room in its index.

use crate::clock::AuthorIdx;
use crate::tree::{IntervalMap, LeafIdx};
use std::collections::BTreeMap;

/// Where the elements of one author are.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthorIndex {
    /// Counter -> the leaf that holds the run with it. Runs of one leaf need no boundaries
    /// between them, so splitting and merging within a leaf leaves this alone. Invariant: right for
    /// every known element; no interval starts at or behind `end`.
    pub leaves: IntervalMap,
    /// One more than the largest counter.
    pub end: u32,
}

impl AuthorIndex {
    pub fn assign(&mut self, first: u32, len: u32, leaf: LeafIdx) {
        let end = first + len;
        self.end = self.end.max(end);
        // What nobody knows belongs to the last interval, so that typing extends it for free.
        self.leaves
            .assign(first, if end == self.end { u32::MAX } else { end }, leaf.0);
    }
}

/// The authors of a sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct ElementIndex {
    /// The first authors of the document, by number.
    near: Vec<AuthorIndex>,
    /// All others that wrote here.
    far: BTreeMap<AuthorIdx, AuthorIndex>,
}

/// So many authors are found without a search.
const NEAR_MAX: usize = if cfg!(any(test, fuzzing)) { 2 } else { 64 };

impl ElementIndex {
    #[inline]
    pub fn get(&self, author: AuthorIdx) -> Option<&AuthorIndex> {
        let at = author.0 as usize;
        if at < NEAR_MAX {
            self.near.get(at)
        } else {
            self.far.get(&author)
        }
    }

    /// That of an author who may not have written before.
    #[inline]
    pub fn entry(&mut self, author: AuthorIdx) -> &mut AuthorIndex {
        let at = author.0 as usize;
        if at >= NEAR_MAX {
            return self.far.entry(author).or_default();
        }
        if self.near.len() <= at {
            self.near.reserve_exact(at + 1 - self.near.len());
            self.near.resize_with(at + 1, AuthorIndex::default);
        }
        &mut self.near[at]
    }

    /// All that there are.
    pub fn iter(&self) -> impl Iterator<Item = (AuthorIdx, &AuthorIndex)> {
        let near = self
            .near
            .iter()
            .enumerate()
            .map(|(at, index)| (AuthorIdx(at as u32), index));
        near.chain(self.far.iter().map(|(author, index)| (*author, index)))
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let leaves: usize = self
            .iter()
            .map(|(_, index)| index.leaves.heap_bytes())
            .sum();
        // Nodes of the tree are half full at least.
        let far = self.far.len() * 2 * (size_of::<AuthorIdx>() + size_of::<AuthorIndex>());
        leaves + self.near.capacity() * size_of::<AuthorIndex>() + far
    }
}
