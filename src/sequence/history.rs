//! A sequence out of a whole history: what all its authors did, into a sequence that was empty
//! before. Nothing is placed in a live tree: each insertion hangs below an element that its origins
//! tell, so the Fugue tree (crdt_lf specification 10.2) is built of pieces, walked once, and the
//! tree of runs is built of what is left at the end.
//!
//! Elements are numbers here, author after author. A piece is a stretch of one insertion that
//! nothing was inserted into.
//!
//! Of an element's two origins, which its author saw side by side, the younger one names the older
//! one as its own origin on that side if that is above it. Else neither is above the other; that
//! is assumed at first, and looked at when the whole tree is there: what hangs where never changes,
//! so the first wrong assumption would show. Whatever does not fit, as only a forged history does,
//! is integrated one by one.

use super::bits::{Bits, Ranks};
use super::list::{Chain, Sequence};
use super::run::{ElementKey, Place, Run, Side, UNITS_MAX};
use crate::clock::{AuthorIdx, Authors};

/// Insertions and removals in an order in which they can be taken in.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Invariant: dense; those of an author go on one from the other; origins come before what
    /// names them.
    chains: Vec<Chain>,
    /// Invariant: ids from chains that came before.
    removals: Vec<(ElementKey, u32)>,
    /// By author.
    elements: Vec<Elements>,
    /// Elements of all.
    count: u32,
}

/// The counters of one author's elements; empty if there are none.
#[derive(Clone, Copy, Debug, Default)]
struct Elements {
    begin: u32,
    end: u32,
}

/// Elements are numbered in 31 bits.
const COUNT_MAX: u32 = 1 << 31;

/// No piece, or no chain.
const NONE: u32 = u32::MAX;

impl History {
    /// The insertions in order.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// The removals: first element and length.
    pub fn removals(&self) -> &[(ElementKey, u32)] {
        &self.removals
    }

    /// The counter behind an author's last element; None without elements.
    pub fn end_of(&self, author: AuthorIdx) -> Option<u32> {
        let elements = self.elements.get(author.0 as usize)?;
        (elements.begin < elements.end).then_some(elements.end)
    }

    /// Adds an insertion. False, and nothing is added, if it does not go on where its author's last
    /// one ended, or names what is not there.
    pub fn insert(&mut self, chain: Chain) -> bool {
        let end = self.end_of(chain.id.author);
        let fits = end.is_none_or(|end| end == chain.id.counter)
            && chain.len == chain.units
            && (1..=UNITS_MAX).contains(&chain.len)
            && self.count + chain.len <= COUNT_MAX
            && chain.id.counter.checked_add(chain.len).is_some()
            && [chain.left, chain.right]
                .iter()
                .all(|origin| origin.is_null() || self.knows(*origin, 1));
        if fits {
            let author = chain.id.author.0 as usize;
            if self.elements.len() <= author {
                self.elements.resize(author + 1, Elements::default());
            }
            let elements = &mut self.elements[author];
            if end.is_none() {
                elements.begin = chain.id.counter;
            }
            elements.end = chain.id.counter + chain.len;
            self.count += chain.len;
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
        let elements = self.elements.get(first.author.0 as usize);
        elements.is_some_and(|elements| {
            (elements.begin..elements.end).contains(&first.counter)
                && len <= elements.end - first.counter
        })
    }

    /// The sequence after all edits: the same as integrating one by one. None if that cannot be
    /// told at once. O(edits + elements / 64), and sorting what several people wrote at one place.
    pub fn build(&self, authors: &Authors) -> Option<Sequence> {
        let numbering = Numbering::new(self, authors);
        let tree = Tree::new(self, &numbering)?;
        let runs = tree.runs()?;
        let by_id = numbering.by_id(&runs);
        Some(Sequence::from_runs(&runs, &by_id))
    }
}

/// Elements as numbers: in the order of their ids.
struct Numbering {
    /// By author: what makes a number of a counter; wraps.
    offsets: Vec<u32>,
    /// By author: how many authors have smaller peer ids.
    ranks: Vec<u32>,
    count: u32,
}

impl Numbering {
    fn new(history: &History, authors: &Authors) -> Self {
        let mut count = 0;
        let offsets = history.elements.iter().map(|elements| {
            let offset = count - elements.begin as i64;
            count += i64::from(elements.end - elements.begin);
            offset as u32
        });
        let offsets = offsets.collect();
        let mut order: Vec<u32> = (0..history.elements.len() as u32).collect();
        order.sort_unstable_by_key(|author| authors.peer(AuthorIdx(*author)));
        let mut ranks = vec![0; order.len()];
        for (rank, author) in order.iter().enumerate() {
            ranks[*author as usize] = rank as u32;
        }
        Numbering {
            offsets,
            ranks,
            count: history.count,
        }
    }

    #[inline]
    fn number(&self, key: ElementKey) -> u32 {
        self.offsets[key.author.0 as usize].wrapping_add(key.counter)
    }

    /// Siblings are sorted by this (specification 3.3).
    fn order(&self, key: ElementKey) -> (u32, u32) {
        (self.ranks[key.author.0 as usize], key.counter)
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

/// The pieces as a Fugue tree. A piece is a right child of the piece before it in its chain.
struct Tree<'a> {
    history: &'a History,
    numbering: &'a Numbering,
    /// First elements of the pieces, in order.
    starts: Vec<u32>,
    /// By piece.
    nodes: Vec<Node>,
    /// By chain.
    links: Vec<Link>,
    /// The first chain below the root.
    root: u32,
    /// Pieces of two origins of which the left one is assumed not to be above the right one.
    apart: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Whose piece it is.
    chain: u32,
    /// Chains that hang to the left of the first element, and to the right of the last one: the
    /// latest of each, see [`Link::next`]; without the rest of the piece's own chain.
    left: u32,
    right: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    first_piece: u32,
    /// Another chain at the same place.
    next: u32,
    side: Side,
}

/// What is to be done of the walk yet.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A piece and everything below it.
    Whole(u32),
    /// All but what is to its left.
    Behind(u32),
    /// Nothing: all below it was told.
    Left(u32),
}

impl<'a> Tree<'a> {
    /// None if it cannot be told at once where a chain hangs.
    fn new(history: &'a History, numbering: &'a Numbering) -> Option<Self> {
        let ranks = Ranks::new(piece_starts(history, numbering));
        let starts: Vec<u32> = ranks.bits.iter().collect();
        let unknown = Node {
            chain: NONE,
            left: NONE,
            right: NONE,
        };
        let mut tree = Tree {
            history,
            numbering,
            nodes: vec![unknown; starts.len()],
            links: Vec::with_capacity(history.chains.len()),
            starts,
            root: NONE,
            apart: Vec::new(),
        };
        for (nth, chain) in (0..).zip(&history.chains) {
            tree.add(nth, chain, &ranks)?;
        }
        Some(tree)
    }

    fn add(&mut self, nth: u32, chain: &Chain, ranks: &Ranks) -> Option<()> {
        let begin = self.numbering.number(chain.id);
        let first_piece = ranks.of(begin);
        let end = begin + chain.len;
        let mut piece = first_piece as usize;
        while self.starts.get(piece).is_some_and(|start| *start < end) {
            self.nodes[piece].chain = nth;
            piece += 1;
        }
        let (side, head) = self.place(chain, ranks)?;
        let next = std::mem::replace(head, nth);
        self.links.push(Link {
            first_piece,
            next,
            side,
        });
        Some(())
    }

    /// Where a chain hangs: as `Sequence::integrate` decides, for origins side by side. Its side,
    /// and the list that it joins.
    fn place(&mut self, chain: &Chain, ranks: &Ranks) -> Option<(Side, &mut u32)> {
        let (numbering, chains) = (self.numbering, &self.history.chains);
        let piece_of = |key: ElementKey| ranks.of(numbering.number(key)) as usize;
        if chain.right.is_null() {
            return Some(match chain.left.is_null() {
                true => (Side::Right, &mut self.root),
                false => (Side::Right, &mut self.nodes[piece_of(chain.left)].right),
            });
        }
        if !chain.left.is_null() {
            let left = piece_of(chain.left);
            if chains[self.nodes[left].chain as usize].right == chain.right {
                return Some((Side::Right, &mut self.nodes[left].right));
            }
        }
        let right = piece_of(chain.right);
        let chain_of_right = &chains[self.nodes[right].chain as usize];
        let (is_first, is_below) = match chain_of_right.id == chain.right {
            true => (true, chain_of_right.left == chain.left),
            // Its left origin is the element before.
            false => (false, chain.left.plus(1) == chain.right),
        };
        match chain.left.is_null() {
            true if !is_first => None,
            false if !is_below => {
                let left = piece_of(chain.left);
                self.apart.push((left as u32, right as u32));
                Some((Side::Right, &mut self.nodes[left].right))
            }
            _ => Some((Side::Left, &mut self.nodes[right].left)),
        }
    }

    /// The runs in order; None if an assumption was wrong.
    fn runs(&self) -> Option<Vec<Run>> {
        let mut removed = Bits::new(self.numbering.count);
        for (first, len) in &self.history.removals {
            let first = self.numbering.number(*first);
            removed.set_all(first..first + len);
        }
        let mut runs = Vec::with_capacity(self.starts.len());
        let push = |piece| self.push_piece(piece, &removed, &mut runs);
        let holds = match self.apart.is_empty() {
            true => {
                self.walk(push, |_| (), &Bits::new(0));
                true
            }
            false => self.walk_and_compare(push),
        };
        holds.then_some(runs)
    }

    /// As [`walk`](Self::walk); returns whether all assumptions hold.
    fn walk_and_compare(&self, mut tell: impl FnMut(u32)) -> bool {
        let count = self.starts.len();
        let mut asked = Bits::new(count as u32);
        self.apart.iter().for_each(|(left, _)| asked.set(*left));
        // Where each piece is in the order, and how many are before the end of what is below it.
        let mut places = vec![0; count];
        let mut ends = vec![0; count];
        let told = std::cell::Cell::new(0);
        self.walk(
            |piece| {
                places[piece as usize] = told.get();
                told.set(told.get() + 1);
                tell(piece);
            },
            |piece| ends[piece as usize] = told.get(),
            &asked,
        );
        self.apart.iter().all(|(left, right)| {
            let (left, right) = (*left as usize, *right as usize);
            places[left] < places[right] && ends[left] <= places[right]
        })
    }

    /// Tells all pieces in the order of the sequence, and of `asked` ones when all below was told.
    fn walk(&self, mut tell: impl FnMut(u32), mut left: impl FnMut(u32), asked: &Bits) {
        let is_asking = !self.apart.is_empty();
        let mut waiting = Vec::new();
        self.push_siblings(self.root, None, &mut waiting);
        while let Some(step) = waiting.pop() {
            let piece = match step {
                Step::Whole(piece) => {
                    if is_asking && asked.get(piece) {
                        waiting.push(Step::Left(piece));
                    }
                    let list = self.nodes[piece as usize].left;
                    if list != NONE {
                        waiting.push(Step::Behind(piece));
                        self.push_siblings(list, None, &mut waiting);
                        continue;
                    }
                    piece
                }
                Step::Behind(piece) => piece,
                Step::Left(piece) => {
                    left(piece);
                    continue;
                }
            };
            tell(piece);
            let node = &self.nodes[piece as usize];
            let rest = self.nodes.get(piece as usize + 1);
            let rest = rest.filter(|rest| rest.chain == node.chain);
            let rest = rest.map(|_| piece + 1);
            self.push_siblings(node.right, rest, &mut waiting);
        }
    }

    /// Adds the chains of a list, and a piece that is their sibling, the first one on top.
    #[inline]
    fn push_siblings(&self, list: u32, rest: Option<u32>, waiting: &mut Vec<Step>) {
        if list == NONE {
            waiting.extend(rest.map(Step::Whole));
            return;
        }
        let link = &self.links[list as usize];
        match rest {
            None if link.next == NONE => waiting.push(Step::Whole(link.first_piece)),
            _ => self.push_sorted(list, rest, waiting),
        }
    }

    #[inline(never)]
    fn push_sorted(&self, list: u32, rest: Option<u32>, waiting: &mut Vec<Step>) {
        let start = waiting.len();
        waiting.extend(rest.map(Step::Whole));
        let mut chain = list;
        while chain != NONE {
            let link = &self.links[chain as usize];
            waiting.push(Step::Whole(link.first_piece));
            chain = link.next;
        }
        waiting[start..].sort_unstable_by_key(|step| {
            let (Step::Whole(piece) | Step::Behind(piece) | Step::Left(piece)) = *step;
            let piece = piece as usize;
            let chain = &self.history.chains[self.nodes[piece].chain as usize];
            let inside = self.starts[piece] - self.numbering.number(chain.id);
            std::cmp::Reverse(self.numbering.order(chain.id.plus(inside)))
        });
    }

    /// Adds the runs of a piece: removed elements and others are apart.
    fn push_piece(&self, piece: u32, removed: &Bits, runs: &mut Vec<Run>) {
        let nth = self.nodes[piece as usize].chain as usize;
        let chain = &self.history.chains[nth];
        let start = self.starts[piece as usize];
        let chain_start = self.numbering.number(chain.id);
        let end = chain_start + chain.len;
        let end = self
            .starts
            .get(piece as usize + 1)
            .map_or(end, |next| end.min(*next));
        let mut rest = run_of(
            chain,
            self.links[nth].side,
            start - chain_start,
            end - start,
        );
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
            push(runs, run);
            at = stretch_end;
        }
    }
}

/// The first elements of all pieces.
fn piece_starts(history: &History, numbering: &Numbering) -> Bits {
    let mut starts = Bits::new(numbering.count);
    for chain in &history.chains {
        starts.set(numbering.number(chain.id));
        if !chain.left.is_null() && history.knows(chain.left, 2) {
            starts.set(numbering.number(chain.left) + 1);
        }
    }
    starts
}

/// `len` elements of a chain.
fn run_of(chain: &Chain, side: Side, skip: u32, len: u32) -> Run {
    let id = chain.id.plus(skip);
    let (side, left) = match skip {
        0 => (side, chain.left),
        _ => (Side::Right, chain.id.plus(skip - 1)),
    };
    let place = Place {
        side,
        below_root: left.is_null() && chain.right.is_null(),
        left_unknown: false,
        right_unknown: false,
    };
    let content = chain.content.plus(skip);
    Run::new(id, len, len, content, [left, chain.right], place)
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

    /// An edit, as others learn of it.
    #[derive(Clone, Copy)]
    enum Edit {
        Insert(Chain),
        Remove(ElementKey, u32),
    }

    fn take_in(sequence: &mut Sequence, edit: Edit, authors: &Authors) {
        match edit {
            Edit::Insert(chain) => {
                sequence.integrate(chain, false, authors).unwrap();
            }
            Edit::Remove(id, len) => {
                sequence.remove_by_id(id, len, UNREPORTED);
            }
        }
    }

    /// People who edit, and now and then learn of what the others did, in the order of `edits`.
    struct Writers {
        authors: Authors,
        sequences: Vec<Sequence>,
        /// How many edits each has seen.
        seen: Vec<usize>,
        next: Vec<u32>,
        places: Vec<u32>,
        edits: Vec<(usize, Edit)>,
    }

    impl Writers {
        fn new(count: usize, rng: &mut Rng) -> Self {
            let mut authors = Authors::default();
            for byte in [5, 3, 9, 7, 1] {
                authors.intern(PeerId::from_bytes([byte; 16]));
            }
            Writers {
                authors,
                sequences: vec![Sequence::default(); count],
                seen: vec![0; count],
                next: (0..count).map(|_| rng.below(3) as u32).collect(),
                places: vec![0; count],
                edits: Vec::new(),
            }
        }

        fn catch_up(&mut self, who: usize) {
            for (by, edit) in &self.edits[self.seen[who]..] {
                if *by != who {
                    take_in(&mut self.sequences[who], *edit, &self.authors);
                }
            }
            self.seen[who] = self.edits.len();
        }

        fn edit(&mut self, who: usize, rng: &mut Rng) {
            let sequence = &mut self.sequences[who];
            let units = sequence.len_units();
            let place = match rng.below(3) {
                0 => self.places[who].min(units),
                _ => rng.below(units as usize + 1) as u32,
            };
            if rng.below(3) == 0 && place < units {
                let count = 1 + rng.below(3).min((units - place) as usize - 1) as u32;
                let edits = &mut self.edits;
                sequence.remove_local(place, count, |_, removed| {
                    edits.push((who, Edit::Remove(removed.id, removed.len)));
                });
                return;
            }
            let counter = self.next[who];
            let len = 1 + rng.below(4) as u32 * rng.below(40) as u32;
            let mut chain = Chain {
                id: ElementKey {
                    author: AuthorIdx(who as u32),
                    counter,
                },
                len,
                units: len,
                content: Content::new(
                    counter + who as u32 * 50_000 + rng.below(2) as u32 * 5000,
                    false,
                ),
                left: ElementKey::NULL,
                right: ElementKey::NULL,
            };
            let inserted = sequence.insert_local(place, chain);
            (chain.left, chain.right) = (inserted.left, inserted.right);
            self.edits.push((who, Edit::Insert(chain)));
            self.next[who] += len;
            self.places[who] = place + len;
        }
    }

    /// Oracle: one edit after the other, and then both are edited on by others.
    #[test]
    fn agrees_with_integrating_one_by_one() {
        for seed in 0..600 {
            let mut rng = Rng::new(seed);
            let count = 1 + seed as usize % 4;
            let mut writers = Writers::new(count, &mut rng);
            for _ in 0..1 + rng.below(40) {
                let who = rng.below(count);
                if rng.below(3) == 0 {
                    writers.catch_up(who);
                }
                writers.edit(who, &mut rng);
            }
            let authors = &writers.authors;
            let mut foreign = Sequence::default();
            let mut history = History::default();
            for (_, edit) in &writers.edits {
                take_in(&mut foreign, *edit, authors);
                assert!(
                    match *edit {
                        Edit::Insert(chain) => history.insert(chain),
                        Edit::Remove(id, len) => history.remove(id, len),
                    },
                    "seed {seed}"
                );
            }
            let mut built = history.build(authors).expect("origins side by side");
            built.check();
            assert!(structure(&built) == structure(&foreign), "seed {seed}");
            assert!(text(&built) == text(&foreign), "seed {seed}");
            for step in 0..20 {
                let keys: Vec<ElementKey> = built.elements().map(|(key, _)| key).collect();
                let at = rng.below(keys.len() + 1);
                let origin = |at: usize| keys.get(at).copied().unwrap_or(ElementKey::NULL);
                let chain = Chain {
                    id: ElementKey {
                        author: AuthorIdx(4),
                        counter: step,
                    },
                    len: 1,
                    units: 1,
                    content: Content::new(900_000 + step, false),
                    left: origin(at.wrapping_sub(1)),
                    right: origin(at + rng.below(2)),
                };
                built.integrate(chain, false, authors).unwrap();
                foreign.integrate(chain, false, authors).unwrap();
                built.check();
                assert!(structure(&built) == structure(&foreign), "seed {seed}");
            }
        }
    }

    /// Oracle: as above, for origins that nobody saw side by side. Then it may be refused, not done
    /// otherwise.
    #[test]
    fn forged_origins_are_refused_or_placed_as_one_by_one() {
        let mut built_count = 0;
        for seed in 0..4000 {
            let mut rng = Rng::new(seed);
            let mut authors = Authors::default();
            for byte in [5, 3, 9] {
                authors.intern(PeerId::from_bytes([byte; 16]));
            }
            let mut foreign = Sequence::default();
            let mut history = History::default();
            let mut next = [0, 4, 0];
            let mut depends = false;
            for step in 0..2 + rng.below(5) as u32 {
                let who = rng.below(3);
                let keys: Vec<ElementKey> = foreign.elements().map(|(key, _)| key).collect();
                let at = rng.below(keys.len() + 1);
                let origin = |at: usize| keys.get(at).copied().unwrap_or(ElementKey::NULL);
                let right = match rng.below(3) {
                    0 => at,
                    _ => rng.below(keys.len() + 1),
                };
                let len = 1 + rng.below(3) as u32;
                let chain = Chain {
                    id: ElementKey {
                        author: AuthorIdx(who as u32),
                        counter: next[who],
                    },
                    len,
                    units: len,
                    content: Content::new(step * 10, false),
                    left: origin(at.wrapping_sub(1)),
                    right: origin(right),
                };
                next[who] += len;
                let done = foreign.integrate(chain, false, &authors).unwrap();
                depends |= done.depends_on_order;
                assert!(history.insert(chain));
            }
            if let Some(built) = history.build(&authors) {
                built.check();
                assert!(!depends, "seed {seed}");
                assert!(structure(&built) == structure(&foreign), "seed {seed}");
                built_count += 1;
            }
        }
        assert!(built_count > 400, "{built_count}");
    }

    #[test]
    fn what_nobody_can_have_done_is_refused() {
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
        let mut authors = Authors::default();
        authors.intern(PeerId::from_bytes([5; 16]));
        assert!(history.build(&authors).is_some());
        // 5 hangs below 4, which it was typed behind.
        assert!(history.insert(chain(6, key(4), key(5))));
        assert!(history.build(&authors).is_some());
        assert!(history.insert(chain(8, key(6), key(5))));
        assert!(history.build(&authors).is_some());
        assert!(history.insert(chain(10, key(4), key(7))));
        assert!(history.build(&authors).is_none());
    }
}
