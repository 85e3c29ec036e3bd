//! A sequence out of what one author did, one edit after the other: each insertion went between
//! two neighbours, so the order follows from linking pieces, without a search or a tree. The tree
//! is built once, of the runs that are left at the end.
//!
//! Elements are numbers here, from the author's first on. A piece is a stretch of one insertion
//! that nothing was inserted into.

use super::list::{Chain, Sequence};
use super::run::{ElementKey, Place, Run, Side, UNITS_MAX};
use crate::clock::AuthorIdx;
use std::ops::Range;

/// Insertions and removals of one author, into a sequence that was empty before.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In order. Invariant: dense, of one author, their counters go on one from the other; origins
    /// come before what names them.
    chains: Vec<Chain>,
    /// Invariant: ids from chains that came before.
    removals: Vec<(ElementKey, u32)>,
}

/// No piece.
const NONE: u32 = u32::MAX;

/// What the first element of a piece hangs on.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The piece behind it.
    next: u32,
    chain: u32,
    /// Where the first element of its chain hangs.
    side: Side,
}

impl History {
    /// The insertions in order.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// The removals: first element and length.
    pub fn removals(&self) -> &[(ElementKey, u32)] {
        &self.removals
    }

    /// The author, and the counter behind the last element.
    pub fn end(&self) -> Option<(AuthorIdx, u32)> {
        let last = self.chains.last()?;
        Some((last.id.author, last.id.counter + last.len))
    }

    /// Adds an insertion. False, and nothing is added, if this is not an edit of the one author
    /// who knew all before.
    pub fn insert(&mut self, chain: Chain) -> bool {
        let is_next = match self.end() {
            Some((author, end)) => chain.id.author == author && chain.id.counter == end,
            None => true,
        };
        let fits = is_next
            && chain.len == chain.units
            && (1..=UNITS_MAX).contains(&chain.len)
            && chain.id.counter.checked_add(chain.len).is_some()
            && [chain.left, chain.right]
                .iter()
                .all(|origin| origin.is_null() || self.knows(*origin, 1));
        if fits {
            self.chains.push(chain);
        }
        fits
    }

    /// Adds a removal; as [`insert`](Self::insert).
    pub fn remove(&mut self, first: ElementKey, len: u32) -> bool {
        let fits = self.knows(first, len);
        if fits {
            self.removals.push((first, len));
        }
        fits
    }

    /// Whether all these elements were inserted.
    pub fn knows(&self, first: ElementKey, len: u32) -> bool {
        let (Some(begin), Some((author, end))) = (self.chains.first(), self.end()) else {
            return false;
        };
        first.author == author
            && first.counter >= begin.id.counter
            && first.counter < end
            && len <= end - first.counter
    }

    /// The sequence after all edits: the same as integrating one by one. None if an insertion was
    /// not between neighbours. O(edits + elements / 64).
    pub fn build(&self) -> Option<Sequence> {
        let Some((author, end)) = self.end() else {
            return Some(Sequence::default());
        };
        let begin = ElementKey {
            author,
            counter: self.chains[0].id.counter,
        };
        let building = Building {
            history: self,
            begin,
            count: end - begin.counter,
        };
        let (starts, ranks) = building.pieces();
        let (first, links) = building.link(&starts, &ranks)?;
        let runs = building.runs(first, &links, &starts);
        let by_id = building.by_id(&runs);
        Some(Sequence::from_runs(&runs, &by_id))
    }
}

struct Building<'a> {
    history: &'a History,
    begin: ElementKey,
    count: u32,
}

impl Building<'_> {
    fn number(&self, key: ElementKey) -> u32 {
        key.counter - self.begin.counter
    }

    /// The first element of each piece, in order; and how to find the piece of an element.
    fn pieces(&self) -> (Vec<u32>, Ranks) {
        let mut starts = Bits::new(self.count);
        for chain in &self.history.chains {
            starts.set(self.number(chain.id));
            if !chain.left.is_null() {
                // Behind its left origin, which has somebody behind it, be it this chain.
                starts.set(self.number(chain.left) + 1);
            }
        }
        let ranks = Ranks::new(starts);
        (ranks.bits.iter().collect(), ranks)
    }

    /// The first piece, and what is behind each of them.
    fn link(&self, starts: &[u32], ranks: &Ranks) -> Option<(u32, Vec<Link>)> {
        let chains = &self.history.chains;
        let mut links: Vec<Link> = Vec::with_capacity(starts.len());
        let mut first = NONE;
        for (nth, chain) in chains.iter().enumerate() {
            let left = match chain.left {
                ElementKey::NULL => NONE,
                left => ranks.of(self.number(left)),
            };
            let right = match left {
                NONE => first,
                left => links[left as usize].next,
            };
            let expected = match right {
                NONE => ElementKey::NULL,
                right => self.begin.plus(starts[right as usize]),
            };
            if chain.right != expected {
                return None;
            }
            // Of two neighbours one is above the other, the older one: the right one is below if
            // it was placed behind the left one.
            let side = match right {
                NONE => Side::Right,
                right => match self.left_of(right, &links, starts) == chain.left {
                    true => Side::Left,
                    false => Side::Right,
                },
            };
            let begin = links.len();
            let end = self.number(chain.id) + chain.len;
            while starts.get(links.len()).is_some_and(|start| *start < end) {
                links.push(Link {
                    next: links.len() as u32 + 1,
                    chain: nth as u32,
                    side,
                });
            }
            links.last_mut()?.next = right;
            match left {
                NONE => first = begin as u32,
                left => links[left as usize].next = begin as u32,
            }
        }
        Some((first, links))
    }

    /// The left origin of the first element of a piece.
    fn left_of(&self, piece: u32, links: &[Link], starts: &[u32]) -> ElementKey {
        let chain = &self.history.chains[links[piece as usize].chain as usize];
        match starts[piece as usize] - self.number(chain.id) {
            0 => chain.left,
            inside => chain.id.plus(inside - 1),
        }
    }

    /// The runs in order.
    fn runs(&self, first: u32, links: &[Link], starts: &[u32]) -> Vec<Run> {
        let mut removed = Bits::new(self.count);
        for (first, len) in &self.history.removals {
            let first = self.number(*first);
            removed.set_all(first..first + len);
        }
        let mut runs: Vec<Run> = Vec::with_capacity(links.len());
        let mut piece = first;
        while piece != NONE {
            let link = links[piece as usize];
            let start = starts[piece as usize];
            let chain = &self.history.chains[link.chain as usize];
            let chain_start = self.number(chain.id);
            let end = chain_start + chain.len;
            let end = starts
                .get(piece as usize + 1)
                .map_or(end, |next| end.min(*next));
            let mut rest = run_of(chain, link.side);
            if start > chain_start {
                rest.drop_front(start - chain_start);
            }
            rest.drop_back(rest.len - (end - start));
            let mut at = start;
            while at < end {
                let is_removed = removed.get(at);
                let stretch_end = removed.next_other(at, end);
                let mut run = rest;
                if stretch_end < end {
                    rest = run.split_off(stretch_end - at);
                }
                if is_removed {
                    run.delete();
                }
                push(&mut runs, run);
                at = stretch_end;
            }
            piece = link.next;
        }
        runs
    }

    /// Places of the runs in the order of their ids.
    fn by_id(&self, runs: &[Run]) -> Vec<u32> {
        let mut starts = Bits::new(self.count);
        for run in runs {
            starts.set(self.number(run.id));
        }
        let ranks = Ranks::new(starts);
        let mut by_id = vec![0; runs.len()];
        for (place, run) in runs.iter().enumerate() {
            by_id[ranks.of(self.number(run.id)) as usize] = place as u32;
        }
        by_id
    }
}

fn run_of(chain: &Chain, side: Side) -> Run {
    let place = Place {
        side,
        below_root: chain.left.is_null() && chain.right.is_null(),
        left_unknown: false,
        right_unknown: false,
    };
    let origins = [chain.left, chain.right];
    Run::new(
        chain.id,
        chain.len,
        chain.units,
        chain.content,
        origins,
        place,
    )
}

/// Adds a run behind the others, to the last one if it continues that.
fn push(runs: &mut Vec<Run>, run: Run) {
    if let Some(last) = runs.last_mut() {
        let content_fits = run.is_deleted() || run.content == last.content.plus(last.len);
        if last.is_deleted() == run.is_deleted()
            && content_fits
            && last.is_continued_by(&run)
            && last.len + run.len <= UNITS_MAX
        {
            last.extend(run.len);
            return;
        }
    }
    runs.push(run);
}

/// A set of numbers below a bound.
struct Bits(Vec<u64>);

impl Bits {
    /// One number more than `count` has room: what is behind the last element.
    fn new(count: u32) -> Self {
        Bits(vec![0; count as usize / 64 + 1])
    }

    fn set(&mut self, number: u32) {
        self.0[number as usize / 64] |= 1 << (number % 64);
    }

    fn set_all(&mut self, range: Range<u32>) {
        let mut at = range.start;
        while at < range.end {
            let word_end = range.end.min((at / 64 + 1) * 64);
            let ones = u64::MAX >> (64 - (word_end - at));
            self.0[at as usize / 64] |= ones << (at % 64);
            at = word_end;
        }
    }

    fn get(&self, number: u32) -> bool {
        self.0[number as usize / 64] >> (number % 64) & 1 != 0
    }

    /// The first number behind `at` that is in the set if `at` is not, or the reverse; at most
    /// `end`.
    fn next_other(&self, at: u32, end: u32) -> u32 {
        let flip = if self.get(at) { u64::MAX } else { 0 };
        let mut at = at;
        while at < end {
            let word = (self.0[at as usize / 64] ^ flip) >> (at % 64);
            if word != 0 {
                return end.min(at + word.trailing_zeros());
            }
            at = (at / 64 + 1) * 64;
        }
        end
    }

    /// The numbers in order.
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().zip(0..).flat_map(|(word, nth)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                (left != 0).then(|| {
                    left &= left - 1;
                    nth * 64 + bit
                })
            })
        })
    }
}

/// How many numbers of a set are not behind a given one.
struct Ranks {
    bits: Bits,
    /// Per word: how many are in the words before.
    before: Vec<u32>,
}

impl Ranks {
    fn new(bits: Bits) -> Self {
        let mut count = 0;
        let before = bits.0.iter().map(|word| {
            let before = count;
            count += word.count_ones();
            before
        });
        let before = before.collect();
        Ranks { bits, before }
    }

    /// Which of the set's numbers is the last one at or before `number`; there is one.
    fn of(&self, number: u32) -> u32 {
        let word = self.bits.0[number as usize / 64];
        let through = word & (u64::MAX >> (63 - number % 64));
        self.before[number as usize / 64] + through.count_ones() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Authors, PeerId};
    use crate::sequence::{Content, Removed};
    use crate::testing::Rng;

    const UNREPORTED: Option<fn(u32, Removed)> = None;

    fn structure(sequence: &Sequence) -> Vec<(ElementKey, bool, ElementKey, ElementKey)> {
        let of_run = |run: &Run| {
            let run = *run;
            (0..run.len).map(move |nth| {
                let mut rest = run;
                if nth > 0 {
                    rest.drop_front(nth);
                }
                (rest.id, rest.is_deleted(), rest.parent(), rest.right)
            })
        };
        sequence.runs().flat_map(of_run).collect()
    }

    fn text(sequence: &Sequence) -> Vec<u32> {
        let of_stretch = |(content, units): (Content, u32)| {
            (0..units).map(move |nth| content.plus(nth).offset())
        };
        sequence.visible().flat_map(of_stretch).collect()
    }

    /// Oracle: one edit after the other, and then both are edited on by others.
    #[test]
    fn agrees_with_integrating_one_by_one() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut authors = Authors::default();
            for byte in [5, 3, 9] {
                authors.intern(PeerId::from_bytes([byte; 16]));
            }
            let mut local = Sequence::default();
            let mut foreign = Sequence::default();
            let mut history = History::default();
            let mut counter = rng.below(3) as u32;
            let mut place = 0;
            for _ in 0..1 + rng.below(40) {
                let units = local.len_units();
                if rng.below(3) > 0 {
                    place = rng.below(units as usize + 1) as u32;
                }
                if rng.below(3) == 0 && place < units {
                    let count = 1 + rng.below(3).min((units - place) as usize - 1) as u32;
                    let mut gone = Vec::new();
                    local.remove_local(place, count, |_, removed| gone.push(removed));
                    for removed in gone {
                        foreign.remove_by_id(removed.id, removed.len, UNREPORTED);
                        assert!(history.remove(removed.id, removed.len));
                    }
                    continue;
                }
                let author = AuthorIdx(0);
                let id = ElementKey { author, counter };
                let len = 1 + rng.below(4) as u32 * rng.below(40) as u32;
                let mut chain = Chain {
                    id,
                    len,
                    units: len,
                    content: Content::new(counter + rng.below(2) as u32 * 5000, false),
                    left: ElementKey::NULL,
                    right: ElementKey::NULL,
                };
                place = place.min(local.len_units());
                let inserted = local.insert_local(place, chain);
                (chain.left, chain.right) = (inserted.left, inserted.right);
                foreign.integrate(chain, false, &authors).unwrap();
                assert!(history.insert(chain), "seed {seed}");
                counter += len;
                place += len;
            }
            let mut built = history
                .build()
                .expect("one author, one edit after the other");
            built.check();
            assert!(structure(&built) == structure(&foreign), "seed {seed}");
            assert!(text(&built) == text(&foreign), "seed {seed}");
            for step in 0..20 {
                let keys: Vec<ElementKey> = built.elements().map(|(key, _)| key).collect();
                let at = rng.below(keys.len() + 1);
                let origin = |at: usize| keys.get(at).copied().unwrap_or(ElementKey::NULL);
                let chain = Chain {
                    id: ElementKey {
                        author: AuthorIdx(1 + step % 2),
                        counter: step,
                    },
                    len: 1,
                    units: 1,
                    content: Content::new(9000 + step, false),
                    left: origin(at.wrapping_sub(1)),
                    right: origin(at + rng.below(2)),
                };
                built.integrate(chain, false, &authors).unwrap();
                foreign.integrate(chain, false, &authors).unwrap();
                built.check();
                assert!(structure(&built) == structure(&foreign), "seed {seed}");
            }
        }
    }

    #[test]
    fn what_one_author_cannot_have_done_is_refused() {
        let key = |counter| ElementKey {
            author: AuthorIdx(0),
            counter,
        };
        let chain = |counter, left, right| Chain {
            id: key(counter),
            len: 2,
            units: 2,
            content: Content::new(counter, false),
            left,
            right,
        };
        let null = ElementKey::NULL;
        let mut history = History::default();
        assert!(!history.remove(key(4), 1));
        assert!(!history.insert(chain(4, key(3), null)));
        assert!(history.insert(chain(4, null, null)));
        assert!(!history.insert(chain(7, null, null)), "a gap");
        assert!(!history.insert(chain(5, null, null)), "ids twice");
        assert!(!history.insert(chain(6, key(6), null)), "its own origin");
        assert!(!history.remove(key(5), 2) && !history.remove(key(3), 1));
        let foreign = ElementKey {
            author: AuthorIdx(1),
            counter: 4,
        };
        assert!(!history.insert(chain(6, foreign, null)) && !history.remove(foreign, 1));
        assert!(history.build().is_some());
        // Behind 4 there is 5, not the end.
        assert!(history.insert(chain(6, key(4), null)));
        assert!(history.build().is_none());
    }
}
