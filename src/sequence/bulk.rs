//! Sequences out of runs that are given in order, as a store has them.

use super::index::AuthorIndex;
use super::list::Sequence;
use super::run::Run;
use crate::clock::AuthorIdx;
use crate::tree::{IntervalMap, RunTree};

impl Sequence {
    /// All runs in order, deleted ones too.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.tree.iter()
    }

    /// A sequence of these runs. `by_id` has the places of all of them in the order of their ids;
    /// no two runs share an element, and whatever a run hangs below is among them. O(runs).
    pub fn from_runs(runs: &[Run], by_id: &[u32]) -> Self {
        let mut sequence = Sequence {
            tree: RunTree::from_runs(runs),
            ..Sequence::default()
        };
        let author = |place: &u32| runs[*place as usize].id.author;
        for places in by_id.chunk_by(|place, next| author(place) == author(next)) {
            let entries = places.iter().map(|place| {
                let leaf = RunTree::<Run>::bulk_leaf(*place as usize);
                (runs[*place as usize].id.counter, leaf.0)
            });
            let last = &runs[*places.last().expect("chunks are not empty") as usize];
            *sequence.index.entry(author(&places[0])) = AuthorIndex {
                leaves: IntervalMap::from_ascending(entries),
                end: last.id.counter + last.len,
            };
        }
        sequence
    }

    /// One more than the largest counter of an author's elements; None without elements.
    pub fn end_of(&self, author: AuthorIdx) -> Option<u32> {
        self.index.get(author).map(|index| index.end)
    }
}
