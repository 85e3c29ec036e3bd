//! Updates of elements that lost, while they may be conflicts: made without knowledge of the one
//! that won. Who knew what stands in the log; here is only who wrote what last.

use crate::clock::{AuthorIdx, Hlc};
use std::collections::{HashMap, HashSet};

/// What wrote a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The element's insertion, or a snapshot.
    Origin,
    /// A later change.
    Change { author: AuthorIdx, clock: Hlc },
    /// The open transaction.
    Pending,
}

/// Per element: the last update of each author, where it lost and the winner's author may not have
/// known it. Their values are in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rivals {
    /// Invariant: no list is empty, and none has an author twice.
    by_element: HashMap<u32, Vec<(AuthorIdx, Hlc)>>,
}

impl Rivals {
    /// The changes that wrote an element's value and lost, by author and clock.
    pub fn of(&self, element: u32) -> &[(AuthorIdx, Hlc)] {
        self.by_element.get(&element).map_or(&[], Vec::as_slice)
    }

    /// All elements that have any, with the changes that lost there.
    pub fn all(&self) -> impl Iterator<Item = (u32, &[(AuthorIdx, Hlc)])> {
        let lists = self.by_element.iter();
        lists.map(|(element, rivals)| (*element, rivals.as_slice()))
    }

    /// Rivals of an element that has none, as [`all`](Self::all) told them. False, and nothing
    /// changes, if they are none or share an author.
    pub fn restore(&mut self, element: u32, rivals: Vec<(AuthorIdx, Hlc)>) -> bool {
        let authors: HashSet<AuthorIdx> = rivals.iter().map(|(author, _)| *author).collect();
        let is_sound = !rivals.is_empty()
            && authors.len() == rivals.len()
            && !self.by_element.contains_key(&element);
        if is_sound {
            self.by_element.insert(element, rivals);
        }
        is_sound
    }

    /// An element's value was written by `latest`; what `loser` wrote gave way to `winner`.
    pub fn note(&mut self, element: u32, latest: Writer, loser: Writer, winner: Writer) {
        let Writer::Change { author, clock } = latest else {
            // The open transaction knows all that is here.
            return self.remove(element);
        };
        let rivals = self.by_element.entry(element).or_default();
        // Whoever writes knows what it wrote before.
        rivals.retain(|rival| rival.0 != author || rival.1 > clock);
        if let Writer::Change { author, clock } = loser {
            // Equal: a change that writes an element more than once may lose to itself, or again.
            let is_superseded = |by: AuthorIdx, at: Hlc| by == author && at >= clock;
            let by_winner = match winner {
                Writer::Change { author, clock } => is_superseded(author, clock),
                Writer::Origin | Writer::Pending => false,
            };
            if !by_winner && !rivals.iter().any(|rival| is_superseded(rival.0, rival.1)) {
                rivals.push((author, clock));
            }
        }
        if rivals.is_empty() {
            self.by_element.remove(&element);
        }
    }

    /// Nothing lost against what the element has now.
    pub fn remove(&mut self, element: u32) {
        self.by_element.remove(&element);
    }

    /// Forgets the changes that `covers` knows: the log has their values no longer.
    pub fn forget(&mut self, covers: impl Fn(AuthorIdx, Hlc) -> bool) {
        self.by_element.retain(|_, rivals| {
            rivals.retain(|(author, clock)| !covers(*author, *clock));
            !rivals.is_empty()
        });
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let lists: usize = self
            .by_element
            .values()
            .map(|rivals| rivals.capacity() * size_of::<(AuthorIdx, Hlc)>())
            .sum();
        lists + self.by_element.capacity() * size_of::<(u32, Vec<(AuthorIdx, Hlc)>)>()
    }

    /// Panics if an invariant is broken. `has_value` tells which elements are there.
    pub fn check(&self, has_value: impl Fn(u32) -> bool) {
        for (element, rivals) in &self.by_element {
            assert!(!rivals.is_empty() && has_value(*element));
            for (nth, (author, _)) in rivals.iter().enumerate() {
                assert!(rivals[..nth].iter().all(|(other, _)| other != author));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_writes_an_element_more_than_once_is_one_rival_at_most() {
        let change = |author, clock| Writer::Change {
            author: AuthorIdx(author),
            clock: Hlc::from_u64(clock),
        };
        let mut rivals = Rivals::default();
        rivals.note(7, change(1, 20), change(0, 10), change(1, 20));
        rivals.note(7, change(2, 30), change(0, 10), change(2, 30));
        assert_eq!(rivals.of(7).len(), 1);
        rivals.check(|_| true);

        let mut rivals = Rivals::default();
        rivals.note(7, change(0, 10), change(0, 10), change(0, 10));
        assert!(rivals.of(7).is_empty());
    }
}
