//! The heads of a document: the changes that nothing depends on yet. Mostly one, sometimes one per
//! writer; but whoever sends changes without dependencies makes as many as they like, so beyond a
//! few they are found by a table.

use super::log::ChangeKey;
use crate::clock::{AuthorIdx, Hlc};
use crate::tree::{LazyMap, LazyVec, push_few};
use std::collections::HashSet;

/// Heads in the order in which they became so.
#[derive(Clone, Debug, Default)]
pub(super) struct Frontiers {
    /// Those that are none any more are [`GONE`]. Invariant: never more of them than heads, and
    /// none while there are few slots.
    slots: Vec<ChangeKey>,
    gone: usize,
    /// Head -> slot. Invariant: empty while there are few slots, else complete.
    places: LazyMap<ChangeKey, u32>,
}

/// A linear search is faster than a keyed hash up to this many.
const FEW: usize = if cfg!(any(test, fuzzing)) { 3 } else { 16 };

/// No author has this number: a document has fewer.
const GONE: ChangeKey = ChangeKey {
    author: AuthorIdx(u32::MAX),
    clock: Hlc::ZERO,
};

impl Frontiers {
    /// The heads in order.
    pub fn iter(&self) -> impl Iterator<Item = ChangeKey> + '_ {
        self.slots.iter().copied().filter(|key| *key != GONE)
    }

    /// The same as a list. O(heads) after removals, else O(1).
    #[inline]
    pub fn as_slice(&mut self) -> &[ChangeKey] {
        if self.gone > 0 {
            self.close_gaps();
        }
        &self.slots
    }

    /// Whether a change is a head.
    pub fn contains(&self, key: ChangeKey) -> bool {
        if self.slots.len() <= FEW {
            self.slots.contains(&key)
        } else {
            self.places.get(&key).is_some()
        }
    }

    /// A change became a head that depends on all others.
    #[inline]
    pub fn replace_all(&mut self, key: ChangeKey) {
        if let [only] = self.slots.as_mut_slice() {
            // Typing: neither gaps nor a table can be there.
            *only = key;
            return;
        }
        self.slots.clear();
        self.gone = 0;
        self.places.clear();
        push_few(&mut self.slots, key);
    }

    /// A change became a head that depends on `deps`. O(deps), amortised.
    pub fn replace(&mut self, deps: &[ChangeKey], key: ChangeKey) {
        if let ([dep], [only]) = (deps, self.slots.as_mut_slice()) {
            if dep == only {
                *only = key;
                return;
            }
        }
        if self.slots.len() > FEW {
            for dep in deps {
                if let Some(place) = self.places.remove(dep) {
                    self.slots[place as usize] = GONE;
                    self.gone += 1;
                }
            }
            if self.gone * 2 > self.slots.len() {
                self.close_gaps();
            }
        } else if deps.len() <= FEW {
            self.slots.retain(|head| !deps.contains(head));
        } else {
            let deps: HashSet<&ChangeKey> = deps.iter().collect();
            self.slots.retain(|head| !deps.contains(head));
        }
        self.slots.push(key);
        if self.slots.len() > FEW + 1 {
            self.places
                .filled()
                .insert(key, self.slots.len() as u32 - 1);
        } else if self.slots.len() == FEW + 1 {
            self.number();
        }
    }

    fn close_gaps(&mut self) {
        self.slots.retain(|key| *key != GONE);
        self.gone = 0;
        self.number();
    }

    fn number(&mut self) {
        self.places.clear();
        if self.slots.len() > FEW {
            self.places.filled().extend(
                self.slots
                    .iter()
                    .enumerate()
                    .map(|(at, key)| (*key, at as u32)),
            );
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<ChangeKey>()
            + self.places.capacity() * (size_of::<ChangeKey>() + 5)
    }

    /// Panics if an invariant is broken.
    pub fn check(&self) {
        assert_eq!(
            self.slots.iter().filter(|key| **key == GONE).count(),
            self.gone
        );
        assert!(self.gone * 2 <= self.slots.len());
        if self.slots.len() <= FEW {
            assert!(self.gone == 0 && self.places.is_empty());
        } else {
            assert_eq!(self.places.len(), self.slots.len() - self.gone);
            assert!(
                self.places
                    .iter()
                    .all(|(key, place)| self.slots[*place as usize] == *key)
            );
        }
    }
}

impl FromIterator<ChangeKey> for Frontiers {
    fn from_iter<I: IntoIterator<Item = ChangeKey>>(heads: I) -> Self {
        let mut frontiers = Frontiers {
            slots: heads.into_iter().collect(),
            ..Frontiers::default()
        };
        frontiers.number();
        frontiers
    }
}

/// Authors in order of appearance, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthorOrder {
    order: Vec<AuthorIdx>,
    /// By author. Invariant: true for exactly those in `order`.
    is_in: LazyVec<bool>,
}

impl AuthorOrder {
    /// Adds an author at the end, unless it is there. O(1).
    #[inline]
    pub fn add(&mut self, author: AuthorIdx) {
        // One writer: nothing else to look at.
        if self.order.last() == Some(&author) {
            return;
        }
        self.add_another(author);
    }

    fn add_another(&mut self, author: AuthorIdx) {
        let at = author.0 as usize;
        if self.is_in.get(at) == Some(&true) {
            return;
        }
        let is_in = self.is_in.filled();
        if is_in.len() <= at {
            is_in.resize(at + 1, false);
        }
        is_in[at] = true;
        push_few(&mut self.order, author);
    }

    /// Removes authors.
    pub fn remove_all(&mut self, authors: &[AuthorIdx]) {
        for author in authors {
            if let Some(is_in) = self.is_in.filled().get_mut(author.0 as usize) {
                *is_in = false;
            }
        }
        let is_in = &self.is_in;
        self.order.retain(|author| is_in[author.0 as usize]);
    }

    /// The authors in order.
    pub fn iter(&self) -> impl Iterator<Item = AuthorIdx> + '_ {
        self.order.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    fn key(number: usize) -> ChangeKey {
        ChangeKey {
            author: AuthorIdx(number as u32 % 5),
            clock: Hlc::from_u64(number as u64),
        }
    }

    /// Oracle: a plain list.
    #[test]
    fn heads_agree_with_a_plain_list() {
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut frontiers = Frontiers::default();
            let mut oracle: Vec<ChangeKey> = Vec::new();
            for number in 0..60 {
                if rng.below(20) == 0 {
                    assert_eq!(frontiers.as_slice(), oracle);
                    frontiers.replace_all(key(number));
                    oracle = vec![key(number)];
                } else {
                    let deps: Vec<ChangeKey> = (0..rng.below(4))
                        .map(|_| key(rng.below(number + 1)))
                        .collect();
                    let deps = if rng.below(9) == 0 {
                        oracle.clone()
                    } else {
                        deps
                    };
                    let deps: Vec<ChangeKey> =
                        deps.into_iter().filter(|dep| *dep != key(number)).collect();
                    frontiers.replace(&deps, key(number));
                    oracle.retain(|head| !deps.contains(head));
                    oracle.push(key(number));
                }
                frontiers.check();
                assert!(frontiers.iter().eq(oracle.iter().copied()), "seed {seed}");
                let any = key(rng.below(number + 1));
                assert_eq!(
                    frontiers.contains(any),
                    oracle.contains(&any),
                    "seed {seed}"
                );
            }
            let copy: Frontiers = oracle.iter().copied().collect();
            copy.check();
            assert!(copy.iter().eq(oracle));
        }
    }

    #[test]
    fn authors_stand_once_in_the_order_of_their_last_appearance() {
        let mut order = AuthorOrder::default();
        [3, 1, 3, 0]
            .into_iter()
            .for_each(|author| order.add(AuthorIdx(author)));
        order.remove_all(&[AuthorIdx(3), AuthorIdx(9)]);
        [1, 3]
            .into_iter()
            .for_each(|author| order.add(AuthorIdx(author)));
        assert!(order.iter().eq([1, 0, 3].map(AuthorIdx)));
    }
}
