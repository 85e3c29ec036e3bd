//! What text and lists by position share: a sequence, and the operations that made it.
//!
//! Positions are not transformed: an operation acts on what is there when its turn comes in the
//! order of replay (specification 9.3, 9.4). A change from the past therefore undoes the younger
//! operations, acts, and has them done again. For that the operations are kept, joined to runs, and
//! what they took out lies on a stack; undone, what they put in lies on another. So each element is
//! in one place only, in the sequence or on one of the stacks. A run is undone and done again at
//! once: what was typed in one go costs as much as one operation, and a copy. Of that nothing is
//! done for an operation that the younger ones would not have noticed. Changes from the past wait
//! until [`settle`](Indexed::settle), so that all of an import together undo and do again only once.

use super::indexed_run::{Kind, PENDING, Run};
use super::watched::{Watch, Watched, Watcher};
use crate::clock::{Hlc, OrderKey, PeerId};
use crate::tree::{Element, Rope};
use std::cmp::Ordering;
use std::collections::HashMap;

/// An operation. Positions past the end and counts beyond it are clipped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit<'a, T> {
    /// Before `index`, at the end if there is less.
    Insert { index: u64, elements: &'a [T] },
    /// As far as they are there.
    Remove { index: u64, count: u64 },
    /// Overwrites as far as there is something; the rest has no effect.
    Replace { index: u64, elements: &'a [T] },
}

impl<'a, T> Edit<'a, T> {
    /// The elements that it brings.
    fn elements(self) -> &'a [T] {
        match self {
            Edit::Insert { elements, .. } | Edit::Replace { elements, .. } => elements,
            Edit::Remove { .. } => &[],
        }
    }
}

impl<T> Edit<'_, T> {
    fn run(self, author: u32, clock: Hlc) -> Run {
        let (kind, index, count) = match self {
            Edit::Insert { index, elements } => (Kind::Insert, index, elements.len() as u64),
            Edit::Remove { index, count } => (Kind::Remove, index, count),
            Edit::Replace { index, elements } => (Kind::Replace, index, elements.len() as u64),
        };
        Run::new(author, kind, clock, index, count)
    }
}

/// So many operations from the past are tried one by one, each against all younger runs.
const FEW_LATE: usize = 4;

/// Stacks that grew beyond so many elements are given back when they are empty.
const SPARE_MAX: usize = 4096;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Indexed<T> {
    sequence: Watched<T>,
    /// What the sequence shows, in the order of replay; last the open transaction's.
    done: Vec<Run>,
    /// Younger ones that are to be done again, from the last to the first. Empty, except while
    /// changes from the past are settled.
    undone: Vec<Run>,
    /// Those of the operations of runs, but the first of each. Only grows.
    clocks: Vec<Hlc>,
    /// What the done operations took out, or had no place for.
    taken: Vec<T>,
    /// What the undone operations are to put in.
    held: Vec<T>,
    authors: Vec<PeerId>,
    author_numbers: HashMap<PeerId, u32>,
    /// How many operations are of the open transaction.
    pending: usize,
    /// An insertion that would make the sequence longer has no effect.
    len_max: u32,
    /// Changes from the past that wait to be settled, and what they bring, in order of arrival.
    waiting: Vec<Run>,
    waiting_elements: Vec<T>,
}

impl<T> Default for Indexed<T> {
    fn default() -> Self {
        Indexed {
            sequence: Watched::default(),
            done: Vec::new(),
            undone: Vec::new(),
            clocks: Vec::new(),
            taken: Vec::new(),
            held: Vec::new(),
            authors: Vec::new(),
            author_numbers: HashMap::new(),
            pending: 0,
            len_max: u32::MAX - 1,
            waiting: Vec::new(),
            waiting_elements: Vec::new(),
        }
    }
}

impl<T: Element + PartialEq> Indexed<T> {
    /// A sequence without history.
    pub fn seeded(elements: &[T]) -> Self {
        let mut seeded = Indexed::default();
        seeded.sequence.insert(0, elements, &mut Watch::Off);
        seeded
    }

    /// The sequence, with the open transaction. After changes from the past it has to be settled.
    pub fn rope(&self) -> &Rope<T> {
        debug_assert!(self.waiting.is_empty(), "read before it was settled");
        self.sequence.rope()
    }

    /// The sequence without the open transaction. O(1), or O(all) inside a transaction.
    pub fn committed(&self) -> Vec<T> {
        let mut out = Vec::new();
        if self.pending == 0 {
            self.rope().copy(0..u32::MAX, &mut out);
        } else {
            let mut committed = self.clone();
            committed.discard_pending(None);
            committed.rope().copy(0..u32::MAX, &mut out);
        }
        out
    }

    /// Adds the operation of a change; one that is known already has no effect. Amortised O(1)
    /// plus O(log n) for the youngest; others wait to be settled.
    pub fn apply(
        &mut self,
        order: OrderKey,
        edit: Edit<'_, T>,
        watcher: Option<&mut dyn Watcher<T>>,
    ) {
        let run = edit.run(self.author(order.peer), order.hlc);
        let last = self.done.last();
        if last.is_none_or(|last| self.compare(last, self.last_clock(last), order).is_lt()) {
            let watch = &mut watcher.map_or(Watch::Off, Watch::Each);
            self.do_new(run, edit.elements(), watch);
        } else {
            self.waiting.push(run);
            self.waiting_elements.extend_from_slice(edit.elements());
        }
    }

    /// Does and undoes until all older operations are done and no younger one. Returns whether
    /// the operation itself is among the done ones.
    fn seek(&mut self, order: OrderKey, watch: &mut Watch<'_, T>) -> bool {
        while let Some(next) = self.undone.last() {
            match self.older(next, order) {
                0 => break,
                older => {
                    self.split_undone(older);
                    self.redo(watch);
                }
            }
        }
        while let Some(last) = self.done.last() {
            let older = self.older(last, order);
            if older == last.operations {
                return self.compare(last, self.last_clock(last), order).is_eq();
            }
            self.split_done(self.done.len() - 1, older, self.taken.len());
            self.undo(watch);
        }
        false
    }

    /// Does a single operation from the past where it is to be done now, and undoes nothing, if
    /// all younger ones would do the same behind it. Returns whether it did, or knew it. No run is
    /// undone at the time. O(younger runs + log n).
    fn slip_in(
        &mut self,
        mut late: Run,
        order: OrderKey,
        brought: &[T],
        watch: &mut Watch<'_, T>,
    ) -> bool {
        let mut nth = self.done.len();
        let mut taken_end = self.taken.len();
        let mut len = self.sequence.rope().len();
        let mut longest = len;
        while let Some(before) = nth.checked_sub(1) {
            let last = self.done[before];
            let older = self.older(&last, order);
            if older == last.operations {
                if self.compare(&last, self.last_clock(&last), order).is_eq() {
                    return true;
                }
                break;
            }
            if older > 0 {
                self.split_done(before, older, taken_end);
                nth += 1;
                continue;
            }
            taken_end -= last.stacked();
            len = last.len_before(len);
            longest = longest.max(len);
            nth = before;
        }
        if late.kind() == Kind::Insert {
            if late.count > self.len_max.saturating_sub(longest) {
                return false;
            }
            late.taken = late.count;
        } else {
            late.taken = late.count.min(len.saturating_sub(late.index));
        }
        if late.taken > 0 {
            let Some(at) = late.passed(late.index.min(len), &self.done[nth..]) else {
                return false;
            };
            let mut out = Vec::new();
            let used = &brought[..brought.len().min(late.taken as usize)];
            match late.kind() {
                Kind::Insert => self.sequence.insert(at, used, watch),
                Kind::Replace => self.sequence.replace(at, used, &mut out, watch),
                _ => self.sequence.remove(at, late.taken, &mut out, watch),
            }
            self.taken.splice(taken_end..taken_end, out);
        }
        if late.kind() == Kind::Replace {
            let rest = brought[late.taken as usize..].iter().copied();
            let at = taken_end + late.taken as usize;
            self.taken.splice(at..at, rest);
        }
        self.done.insert(nth, late);
        true
    }

    /// How an operation of a run is ordered.
    fn compare(&self, run: &Run, clock: Hlc, order: OrderKey) -> Ordering {
        match self.authors.get(run.author() as usize) {
            Some(author) => (clock, *author).cmp(&(order.hlc, order.peer)),
            None => Ordering::Greater,
        }
    }

    fn last_clock(&self, run: &Run) -> Hlc {
        *run.more_clocks(&self.clocks).last().unwrap_or(&run.clock)
    }

    /// How many operations of a run are older than one, or this one.
    fn older(&self, run: &Run, order: OrderKey) -> u32 {
        if self.compare(run, run.clock, order).is_gt() {
            return 0;
        }
        let more = run.more_clocks(&self.clocks);
        if more
            .last()
            .is_none_or(|last| self.compare(run, *last, order).is_le())
        {
            return run.operations;
        }
        more.partition_point(|clock| self.compare(run, *clock, order).is_le()) as u32 + 1
    }

    /// Splits a done run behind so many operations, if both parts have some. What the runs up to it
    /// took out ends at `taken_end`.
    fn split_done(&mut self, nth: usize, older: u32, taken_end: usize) {
        let run = self.done[nth];
        if older == 0 || older == run.operations {
            return;
        }
        let (first, second) = run.split(older, &self.clocks);
        if run.kind() == Kind::RemoveBack {
            // Of the whole run what the last operation took comes first.
            let start = taken_end - run.taken as usize;
            self.taken[start..taken_end].rotate_left(second.taken as usize);
        }
        self.done[nth] = first;
        self.done.insert(nth + 1, second);
    }

    /// As [`split_done`](Self::split_done), of the oldest of the undone runs.
    fn split_undone(&mut self, older: u32) {
        let Some(run) = self
            .undone
            .last_mut()
            .filter(|run| older > 0 && older < run.operations)
        else {
            return;
        };
        let (first, second) = run.split(older, &self.clocks);
        let start = self.held.len() - run.brought();
        self.held[start..].rotate_left(first.brought());
        *run = second;
        self.undone.push(first);
    }

    fn author(&mut self, peer: PeerId) -> u32 {
        let last = self.done.last().map_or(PENDING, Run::author);
        if self.authors.get(last as usize) == Some(&peer) {
            return last;
        }
        let authors = &mut self.authors;
        *self.author_numbers.entry(peer).or_insert_with(|| {
            authors.push(peer);
            (authors.len() - 1) as u32
        })
    }

    /// Adds an operation of the open transaction, behind all others.
    pub fn apply_pending(&mut self, edit: Edit<'_, T>, mut watcher: Option<&mut dyn Watcher<T>>) {
        self.settle(reborrowed(&mut watcher));
        let watch = &mut watcher.map_or(Watch::Off, Watch::Each);
        self.do_new(edit.run(PENDING, Hlc::ZERO), edit.elements(), watch);
        self.pending += 1;
    }

    /// Takes back all operations of the open transaction. O(their number · log n).
    pub fn discard_pending(&mut self, mut watcher: Option<&mut dyn Watcher<T>>) {
        self.settle(reborrowed(&mut watcher));
        let watch = &mut watcher.map_or(Watch::Off, Watch::Each);
        for _ in 0..std::mem::take(&mut self.pending) {
            self.undo(watch);
        }
        self.undone.clear();
        self.held.clear();
        self.shrink();
    }

    /// Gives the changes from the past that wait their places, and tells what they all did
    /// together. O(log n) for each operation behind the oldest of them; O(1) if there are none.
    pub fn settle(&mut self, watcher: Option<&mut dyn Watcher<T>>) {
        if self.waiting.is_empty() {
            return;
        }
        let elements = std::mem::take(&mut self.waiting_elements);
        let mut rest = elements.as_slice();
        let mut waiting: Vec<(OrderKey, Run, &[T])> = Vec::with_capacity(self.waiting.len());
        for run in std::mem::take(&mut self.waiting) {
            let brought;
            (brought, rest) = rest.split_at(run.brought());
            let author = self.authors[run.author() as usize];
            waiting.push((OrderKey::new(author, run.clock), run, brought));
        }
        // Stable: of two with one place the first one counts.
        waiting.sort_by_key(|(order, ..)| *order);
        let watch = &mut match watcher {
            Some(_) => Watch::Together,
            None => Watch::Off,
        };
        let few = waiting.len() <= FEW_LATE;
        for (order, run, brought) in waiting {
            if few && self.undone.is_empty() && self.slip_in(run, order, brought, watch) {
                continue;
            }
            if !self.seek(order, watch) {
                self.do_new(run, brought, watch);
            }
        }
        while !self.undone.is_empty() {
            self.redo(watch);
        }
        if let Some(watcher) = watcher {
            self.sequence.tell(watcher);
        }
        self.shrink();
    }

    /// Makes the sequence one without history, as if it were seeded with it: a snapshot was taken,
    /// and changes that it does not cover are folded on top of it (specification 9.1).
    pub fn forget_history(&mut self) {
        if self.pending == 0 && self.waiting.is_empty() {
            *self = Indexed {
                sequence: std::mem::take(&mut self.sequence),
                ..Indexed::default()
            };
        }
    }

    /// Does an operation that is new, and joins it to those before.
    fn do_new(&mut self, mut run: Run, elements: &[T], watch: &mut Watch<'_, T>) {
        self.sequence
            .act(&mut run, elements, self.len_max, &mut self.taken, watch);
        let last = self.done.last_mut();
        match last.and_then(|last| last.join(&run, &mut self.clocks)) {
            Some(0) => (),
            Some(behind) => {
                let start = self.taken.len() - behind - run.taken as usize;
                self.taken[start..].rotate_left(behind);
            }
            None => self.done.push(run),
        }
    }

    /// Does the oldest of the undone runs again, as far as there is room for it: the rest stays
    /// for the next call.
    fn redo(&mut self, watch: &mut Watch<'_, T>) {
        if let Some(next) = self.undone.last() {
            let room = self.len_max.saturating_sub(self.sequence.rope().len());
            if next.kind() == Kind::Insert && next.count > room {
                // What has no room has none later on, either: then it is refused as a whole.
                self.split_undone(room / next.unit());
            }
        }
        let Some(mut run) = self.undone.pop() else {
            return;
        };
        let start = self.held.len() - run.brought();
        let brought = &self.held[start..];
        self.sequence
            .act(&mut run, brought, self.len_max, &mut self.taken, watch);
        self.held.truncate(start);
        self.done.push(run);
    }

    /// Undoes the youngest of the done runs.
    fn undo(&mut self, watch: &mut Watch<'_, T>) {
        let Some(run) = self.done.pop() else {
            return;
        };
        let Run {
            index,
            count,
            taken,
            ..
        } = run;
        match run.kind() {
            Kind::Insert if taken == count => {
                let at = index.min(self.sequence.rope().len() - count);
                self.sequence.remove(at, count, &mut self.held, watch);
            }
            Kind::Remove | Kind::RemoveBack => {
                let start = self.taken.len() - taken as usize;
                if taken > 0 {
                    self.sequence.insert(index, &self.taken[start..], watch);
                }
                self.taken.truncate(start);
            }
            Kind::Insert | Kind::Replace => {
                let start = self.taken.len() - count as usize;
                let (old, rest) = self.taken[start..].split_at(taken as usize);
                if taken > 0 {
                    self.sequence.replace(index, old, &mut self.held, watch);
                }
                self.held.extend_from_slice(rest);
                self.taken.truncate(start);
            }
        }
        self.undone.push(run);
    }

    fn shrink(&mut self) {
        if self.held.is_empty() && self.held.capacity() > SPARE_MAX {
            self.held = Vec::new();
        }
        if self.undone.is_empty() && self.undone.capacity() > SPARE_MAX {
            self.undone = Vec::new();
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.sequence.heap_bytes()
            + (self.done.capacity() + self.undone.capacity()) * size_of::<Run>()
            + self.clocks.capacity() * size_of::<Hlc>()
            + (self.taken.capacity() + self.held.capacity()) * size_of::<T>()
            + self.waiting.capacity() * size_of::<Run>()
            + self.waiting_elements.capacity() * size_of::<T>()
            + self.authors.capacity() * size_of::<PeerId>()
            + self.author_numbers.capacity() * size_of::<(PeerId, u32)>()
    }

    /// Panics if an invariant is broken. For tests.
    pub fn check(&self) {
        self.sequence.check();
        assert!(
            self.undone.is_empty() && self.held.is_empty(),
            "not settled"
        );
        let committed = self.done.len() - self.pending;
        self.done.iter().for_each(|run| run.check(&self.clocks));
        let order = |run: &Run, clock: Hlc| (clock, self.authors[run.author() as usize]);
        assert!(self.done[..committed].windows(2).all(|pair| {
            order(&pair[0], self.last_clock(&pair[0])) < order(&pair[1], pair[1].clock)
        }));
        assert!(
            self.done[committed..]
                .iter()
                .all(|run| run.author() == PENDING)
        );
        let taken = self.done.iter().map(Run::stacked);
        assert_eq!(taken.sum::<usize>(), self.taken.len());
    }
}

impl<T: Element + PartialEq> Watched<T> {
    /// Does a run with the elements that it brings. What it takes out, and what it brings but has
    /// no place for, goes to `taken`.
    fn act(
        &mut self,
        run: &mut Run,
        elements: &[T],
        len_max: u32,
        taken: &mut Vec<T>,
        watch: &mut Watch<'_, T>,
    ) {
        let len = self.rope().len();
        run.taken = match run.kind() {
            Kind::Insert if run.count > len_max.saturating_sub(len) => 0,
            Kind::Insert => run.count,
            // As many as there are from the index on.
            Kind::Remove | Kind::RemoveBack | Kind::Replace => {
                run.count.min(len.saturating_sub(run.index))
            }
        };
        let (used, rest) = match run.kind() {
            Kind::Remove | Kind::RemoveBack => (elements, elements),
            Kind::Insert | Kind::Replace => elements.split_at(run.taken as usize),
        };
        match run.kind() {
            _ if run.taken == 0 => (),
            Kind::Insert => self.insert(run.index.min(len), used, watch),
            Kind::Remove | Kind::RemoveBack => self.remove(run.index, run.taken, taken, watch),
            Kind::Replace => self.replace(run.index, used, taken, watch),
        }
        taken.extend_from_slice(rest);
    }
}

/// The watcher once more, for a shorter time.
fn reborrowed<'a, T>(
    watcher: &'a mut Option<&mut dyn Watcher<T>>,
) -> Option<&'a mut dyn Watcher<T>> {
    match watcher {
        Some(watcher) => Some(&mut **watcher),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Documents hold less than 4 GiB of changes, but what snapshots and pruning leave behind may
    /// grow beyond.
    #[test]
    fn an_insertion_that_would_make_it_too_long_has_no_effect() {
        const LEN_MAX: usize = 6;
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut indexed = Indexed {
                len_max: LEN_MAX as u32,
                ..Indexed::default()
            };
            let mut known: Vec<(u64, usize, Vec<u16>)> = Vec::new();
            for _ in 0..20 {
                let clock = rng.below(1000) as u64;
                if known.iter().any(|(other, ..)| *other == clock) {
                    continue;
                }
                let index = rng.below(LEN_MAX);
                let elements: Vec<u16> = (0..rng.below(4)).map(|nth| nth as u16).collect();
                let order = OrderKey::new(PeerId::from_bytes([0; 16]), Hlc::from_u64(clock));
                let edit = match elements.len() {
                    0 => Edit::Remove {
                        index: index as u64,
                        count: 2,
                    },
                    _ => Edit::Insert {
                        index: index as u64,
                        elements: &elements,
                    },
                };
                indexed.apply(order, edit, None);
                indexed.settle(None);
                indexed.check();
                known.push((clock, index, elements));
                known.sort();
                let mut expected: Vec<u16> = Vec::new();
                for (_, index, elements) in &known {
                    let at = (*index).min(expected.len());
                    if elements.is_empty() {
                        expected.drain(at..expected.len().min(at + 2));
                    } else if expected.len() + elements.len() <= LEN_MAX {
                        expected.splice(at..at, elements.iter().copied());
                    }
                }
                assert_eq!(indexed.committed(), expected, "seed {seed}");
            }
        }
    }

    /// An operation of the test: author, clock, and what it does.
    type Known = (Hlc, PeerId, Edit<'static, u16>);

    const LETTERS: [u16; 8] = [1, 2, 3, 4, 500, 600, 700, 800];

    /// What people do: typing, removing in both directions, overwriting, and anything else.
    fn session(rng: &mut Rng) -> Vec<Edit<'static, u16>> {
        let mut index = rng.below(14) as u64;
        let unit = 1 + rng.below(2);
        let kind = rng.below(6);
        let mut edits = Vec::new();
        for _ in 0..1 + rng.below(7) {
            let start = rng.below(LETTERS.len() - unit);
            let elements = &LETTERS[start..start + unit];
            let count = unit as u64;
            edits.push(match kind {
                0 | 1 => Edit::Insert { index, elements },
                2 => Edit::Replace { index, elements },
                3 | 4 => Edit::Remove { index, count },
                _ => match rng.below(3) {
                    0 => Edit::Insert {
                        index: 0,
                        elements: &[],
                    },
                    1 => Edit::Replace { index, elements },
                    _ => Edit::Insert { index, elements },
                },
            });
            match kind {
                0..=2 => index += count,
                3 => (),
                4 => index = index.saturating_sub(count),
                _ => index = rng.below(14) as u64,
            }
        }
        edits
    }

    /// The obvious way: all of it, from the beginning.
    fn replayed(known: &[Known], len_max: usize) -> Vec<u16> {
        let mut all = Vec::new();
        for (_, _, edit) in known {
            match *edit {
                Edit::Insert { index, elements } if all.len() + elements.len() <= len_max => {
                    let at = (index as usize).min(all.len());
                    all.splice(at..at, elements.iter().copied());
                }
                Edit::Insert { .. } => (),
                Edit::Remove { index, count } => {
                    let at = (index as usize).min(all.len());
                    let end = (at + count as usize).min(all.len());
                    all.drain(at..end);
                }
                Edit::Replace { index, elements } => {
                    let places = all.iter_mut().skip(index as usize);
                    places.zip(elements).for_each(|(old, new)| *old = *new);
                }
            }
        }
        all
    }

    #[test]
    fn runs_in_any_order_of_arrival_agree_with_a_replay() {
        let (mut joined, mut late) = (0, 0);
        for seed in 0..3000 {
            let mut rng = Rng::new(seed);
            let len_max = [9, 1000][rng.below(2)];
            let mut indexed = Indexed {
                len_max: len_max as u32,
                ..Indexed::default()
            };
            let mut clock = 0;
            let mut coming: Vec<Known> = Vec::new();
            for _ in 0..1 + rng.below(8) {
                let peer = PeerId::from_bytes([rng.below(3) as u8; 16]);
                for edit in session(&mut rng) {
                    clock += rng.below(2) as u64;
                    // Two of one author have two clocks, those of two authors may have the same.
                    let last = coming.last().filter(|last| last.1 == peer);
                    clock += u64::from(last.is_some_and(|last| last.0.to_u64() == clock));
                    coming.push((Hlc::from_u64(clock), peer, edit));
                }
            }
            coming.sort_by_key(|(clock, peer, _)| (*clock, *peer));
            coming.dedup_by_key(|(clock, peer, _)| (*clock, *peer));
            let mut known: Vec<Known> = Vec::new();
            while !coming.is_empty() {
                for _ in 0..1 + rng.below(4) {
                    // Mostly in order, and sometimes once more.
                    let at = match rng.below(6) {
                        0 => rng.below(coming.len() + 1),
                        _ => 0,
                    };
                    let next = match coming.get(at) {
                        Some(_) => coming.remove(at),
                        None => match known.get(rng.below(known.len() + 1)) {
                            Some(again) => *again,
                            None => break,
                        },
                    };
                    indexed.apply(OrderKey::new(next.1, next.0), next.2, None);
                    late += usize::from(!indexed.waiting.is_empty());
                    let place = known.binary_search_by_key(&(next.0, next.1), |it| (it.0, it.1));
                    if let Err(place) = place {
                        known.insert(place, next);
                    }
                }
                indexed.settle(None);
                indexed.check();
                let expected = replayed(&known, len_max);
                assert_eq!(indexed.committed(), expected, "seed {seed}");
                joined += known.len() - indexed.done.len();
            }
        }
        assert!(joined > 10_000 && late > 10_000, "{joined} {late}");
    }
}
