//! Which ids each peer made in a movable list, and when: where a peer continues to count, and
//! whether an operation from the past names something that in replay order comes only later.

use crate::clock::{AuthorIdx, Authors, Hlc, OperationId, OrderKey};
use crate::sequence::ElementKey;

/// The ids of one author.
#[derive(Clone, Debug, Default)]
struct AuthorIds {
    /// One more than the largest counter.
    end: u64,
    /// First counters of the operations that made ids, and the clocks of their changes; both
    /// rise. What lies before the first came with a snapshot.
    firsts: Vec<u32>,
    clocks: Vec<Hlc>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct MadeIds {
    /// By author number; authors behind the last one made none.
    authors: Vec<AuthorIds>,
}

impl MadeIds {
    fn of(&mut self, author: AuthorIdx) -> &mut AuthorIds {
        let at = author.0 as usize;
        if self.authors.len() <= at {
            self.authors.resize_with(at + 1, AuthorIds::default);
        }
        &mut self.authors[at]
    }

    /// The counter that an author's next id gets.
    pub fn next_counter(&self, author: AuthorIdx) -> u64 {
        self.authors.get(author.0 as usize).map_or(0, |ids| ids.end)
    }

    /// The counter was used.
    pub fn raise(&mut self, author: AuthorIdx, counter: u64) {
        let ids = self.of(author);
        // Counters have 63 bits.
        ids.end = ids.end.max(counter + 1);
    }

    /// Of an author: first counters of the operations that made ids, and the clocks of their
    /// changes.
    pub fn stretches(&self, author: AuthorIdx) -> impl Iterator<Item = (u32, Hlc)> {
        let ids = self.authors.get(author.0 as usize).into_iter();
        ids.flat_map(|ids| ids.firsts.iter().copied().zip(ids.clocks.iter().copied()))
    }

    /// An author without ids gets those that [`stretches`](Self::stretches) told and all below
    /// `end`. False, and nothing changes, if they do not rise.
    pub fn restore(&mut self, author: AuthorIdx, end: u64, stretches: &[(u32, Hlc)]) -> bool {
        let rises = stretches
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
            && stretches.last().is_none_or(|last| u64::from(last.0) < end);
        if rises {
            let (firsts, clocks) = stretches.iter().copied().unzip();
            *self.of(author) = AuthorIds {
                end,
                firsts,
                clocks,
            };
        }
        rises
    }

    /// Notes the ids of an operation by `author` at `clock`. False if they are not all the
    /// author's, rising with the author's clocks: then [`is_behind`](Self::is_behind) means nothing
    /// any more.
    pub fn note(
        &mut self,
        author: AuthorIdx,
        clock: Hlc,
        ids: impl Iterator<Item = ElementKey>,
    ) -> bool {
        let (mut first, mut rises) = (None, true);
        for id in ids {
            if id.is_null() {
                rises = false;
                continue;
            }
            rises &= id.author == author && u64::from(id.counter) >= self.of(id.author).end;
            self.raise(id.author, u64::from(id.counter));
            first = first.or(Some(id.counter));
        }
        let Some(first) = first.filter(|_| rises) else {
            return rises;
        };
        let ids = self.of(author);
        if ids.clocks.last().is_some_and(|last| *last > clock) {
            return false;
        }
        ids.firsts.push(first);
        ids.clocks.push(clock);
        true
    }

    /// The operation that made `id` as its first id got the clock of a change.
    pub fn set_clock(&mut self, id: ElementKey, clock: Hlc) {
        let ids = self.of(id.author);
        if let Ok(at) = ids.firsts.binary_search(&id.counter) {
            ids.clocks[at] = clock;
        }
    }

    /// Forgets when ids were made by the changes that `covers` knows: all that comes now comes
    /// behind them.
    pub fn forget(&mut self, covers: impl Fn(AuthorIdx, Hlc) -> bool) {
        for (number, ids) in self.authors.iter_mut().enumerate() {
            let author = AuthorIdx(number as u32);
            let covered = ids
                .clocks
                .iter()
                .take_while(|clock| covers(author, **clock))
                .count();
            ids.firsts.drain(..covered);
            ids.clocks.drain(..covered);
            ids.firsts.shrink_to_fit();
            ids.clocks.shrink_to_fit();
        }
    }

    /// Whether an id came into being behind `order`. O(log operations of its author).
    pub fn is_behind(&self, id: ElementKey, order: OrderKey, authors: &Authors) -> bool {
        let Some(ids) = self.authors.get(id.author.0 as usize) else {
            // The null id, and those of authors who made none.
            return false;
        };
        let at = ids.firsts.partition_point(|first| *first <= id.counter);
        at > 0 && OperationId::new(authors.peer(id.author), ids.clocks[at - 1]) > order
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let stretches = |ids: &AuthorIds| {
            ids.firsts.capacity() * size_of::<u32>() + ids.clocks.capacity() * size_of::<Hlc>()
        };
        self.authors.capacity() * size_of::<AuthorIds>()
            + self.authors.iter().map(stretches).sum::<usize>()
    }

    /// Panics if an invariant is broken.
    pub fn check(&self) {
        for ids in &self.authors {
            assert_eq!(ids.firsts.len(), ids.clocks.len());
            assert!(ids.firsts.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(ids.clocks.windows(2).all(|pair| pair[0] <= pair[1]));
            assert!(ids.firsts.iter().all(|first| u64::from(*first) < ids.end));
        }
    }
}
