//! The runs of one sequence in order, found by visible position and by element id. Local edits
//! work at the cached position of the tree; foreign ones are placed by `fugue`.

use super::index::ElementIndex;
use super::run::{Content, ElementKey, Place, Run, Side};
use crate::clock::AuthorIdx;
use crate::tree::{LeafIdx, Measure, RunPos, RunTree, TextSums};
use std::collections::BTreeMap;
use std::ops::Range;

/// Elements to insert: one author's consecutive ids, in a chain.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Id of the first element.
    pub id: ElementKey,
    /// Number of elements.
    pub len: u32,
    /// Units of content: as many as elements, or any number for a single element.
    pub units: u32,
    /// Where the content is.
    pub content: Content,
    /// Left origin of the first element.
    pub left: ElementKey,
    /// Right origin of all.
    pub right: ElementKey,
}

/// Visible elements: those of one stretch, or what a removal took out of sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// First element.
    pub id: ElementKey,
    /// Elements, with consecutive counters.
    pub len: u32,
    /// Their units.
    pub units: u32,
    /// Their content.
    pub content: Content,
}

/// Where a local insertion went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Its left origin.
    pub left: ElementKey,
    /// Its right origin.
    pub right: ElementKey,
    /// Its first visible unit.
    pub unit: u32,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    pub(super) tree: RunTree<Run>,
    pub(super) index: ElementIndex,
    /// Where the last edit was, if it was a local insertion: typing on needs no search.
    pub(super) caret: Option<Caret>,
    /// Where elements were found last, the latest first: what is looked for next is mostly there or
    /// right behind. Two, because a move goes from one place to another. May be outdated.
    pub(super) hints: [Option<RunPos>; 2],
}

/// The end of a run that the local author made or extended. Invariant: the run is live, ends at
/// visible unit `end`, and what stands behind it is its right origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caret {
    run: RunPos,
    end: u32,
}

/// The short way of typing leaves room for the long one to refuse.
const LEN_MAX: u32 = (1 << 31) - 2;

impl Sequence {
    /// Visible units.
    pub fn len_units(&self) -> u32 {
        self.tree.measure().visible
    }

    /// Visible units of wide content.
    pub fn wide_units(&self) -> u32 {
        self.tree.measure().wide
    }

    /// Whether the element was ever inserted.
    pub fn contains(&self, key: ElementKey) -> bool {
        self.find(key).is_some()
    }

    /// The visible content in order: pool place and units.
    pub fn visible(&self) -> impl Iterator<Item = (Content, u32)> + '_ {
        let live = self.tree.iter().filter(|run| !run.is_deleted());
        live.map(|run| (run.content, run.units()))
    }

    /// The visible content from unit `start` on: pool place and units of each stretch.
    pub fn visible_from(&self, start: u32) -> impl Iterator<Item = (Content, u32)> + '_ {
        let (leaf, before) = self.tree.leaf_where(|through| through.visible > start);
        let mut skip = start - before.visible.min(start);
        // Only the leaf of an empty sequence has no runs.
        let first = leaf
            .filter(|leaf| !self.tree.leaf_runs(*leaf).is_empty())
            .map(|leaf| RunPos { leaf, at: 0 });
        std::iter::successors(first, |pos| self.tree.next(*pos)).filter_map(move |pos| {
            let run = self.tree.run(pos);
            let visible = if run.is_deleted() { 0 } else { run.units() };
            let skipped = skip.min(visible);
            skip -= skipped;
            (skipped < visible).then(|| (run.content.plus(skipped), visible - skipped))
        })
    }

    /// The visible text before the leaf through which `reached` first holds of it; None, and the
    /// whole text, if it never does. `of` gives the text of some content. O(log n) and the leaves
    /// that changed since the last call.
    pub fn text_where(
        &self,
        of: impl Fn(Content, u32) -> TextSums,
        reached: impl Fn(&TextSums) -> bool,
    ) -> (bool, TextSums) {
        let of_run = |run: &Run| match run.is_deleted() {
            true => TextSums::default(),
            false => of(run.content, run.units()),
        };
        let (leaf, before) = self.tree.text_where(of_run, reached);
        (leaf.is_some(), before)
    }

    /// The live elements in order: id, elements, place of content, units.
    pub fn live_runs(&self) -> impl Iterator<Item = (ElementKey, u32, Content, u32)> + '_ {
        let live = self.tree.iter().filter(|run| !run.is_deleted());
        live.map(|run| (run.id, run.len, run.content, run.units()))
    }

    /// Moves the content of every live run: `moved` is given place and units and gives the new
    /// place. What deleted runs say of their content no longer means anything.
    pub fn move_content(&mut self, mut moved: impl FnMut(Content, u32) -> Content) {
        self.caret = None;
        let mut next = self.tree.first();
        while let Some(pos) = next {
            let run = *self.tree.run(pos);
            if !run.is_deleted() {
                let content = moved(run.content, run.units());
                self.tree.update(pos, |run| run.content = content);
            }
            next = self.tree.next(pos);
        }
    }

    /// The live element that holds the unit before `unit`: what a caret there sticks to.
    pub fn element_before(&self, unit: u32) -> ElementKey {
        let unit = unit.min(self.len_units());
        if unit == 0 {
            return ElementKey::NULL;
        }
        let (leaf, before) = self.tree.leaf_where(|through| through.visible >= unit);
        let mut left = unit - before.visible;
        let runs = leaf.map_or(&[][..], |leaf| self.tree.leaf_runs(leaf));
        for run in runs.iter().filter(|run| !run.is_deleted()) {
            if left <= run.units() {
                return if run.is_dense() {
                    run.id.plus(left - 1)
                } else {
                    run.id
                };
            }
            left -= run.units();
        }
        unreachable!("the leaf holds the unit")
    }

    /// Visible units up to and including the element, or before it if it is deleted.
    pub fn units_through(&self, key: ElementKey) -> Option<u32> {
        self.units_around(key).map(|around| around.end)
    }

    /// Visible units before the element.
    pub fn units_before(&self, key: ElementKey) -> Option<u32> {
        self.units_around(key).map(|around| around.start)
    }

    fn units_around(&self, key: ElementKey) -> Option<Range<u32>> {
        let (pos, offset) = self.find(key)?;
        let run = self.tree.run(pos);
        let before = self.tree.measure_before(pos).visible;
        Some(match run.is_deleted() {
            true => before..before,
            false if run.is_dense() => before + offset..before + offset + 1,
            false => before..before + run.units(),
        })
    }

    /// Inserts new elements of the local author before visible unit `unit`, or behind the element
    /// of several units that it lies in. `chain.left` and `chain.right` are found here.
    #[inline]
    pub fn insert_local(&mut self, unit: u32, chain: Chain) -> Inserted {
        match self.caret {
            Some(caret) if caret.end == unit => {
                let run = self.tree.run(caret.run);
                if extends(run, &chain) {
                    let (left, right) = (run.last(), run.right);
                    self.extend(caret.run, &chain);
                    self.caret = Some(Caret {
                        end: unit + chain.units,
                        ..caret
                    });
                    return Inserted { left, right, unit };
                }
            }
            _ => (),
        }
        let (inserted, run) = self.insert_anywhere(unit, chain);
        self.caret = Some(Caret {
            run,
            end: inserted.unit + chain.units,
        });
        inserted
    }

    /// Inserts one unit where the last local insertion ended, if it continues its run; returns its
    /// right origin. The left one is the element before. None: nothing happened.
    #[inline]
    pub fn type_on(&mut self, unit: u64, id: ElementKey, content: Content) -> Option<ElementKey> {
        let caret = self.caret.filter(|caret| u64::from(caret.end) == unit)?;
        if self.len_units() >= LEN_MAX || id.counter >= u32::MAX - 1 {
            return None;
        }
        let chain = Chain {
            id,
            len: 1,
            units: 1,
            content,
            left: ElementKey::NULL,
            right: ElementKey::NULL,
        };
        let run = self.tree.run(caret.run);
        let right = run.right;
        if !extends(run, &chain) {
            return None;
        }
        self.extend(caret.run, &chain);
        self.caret = Some(Caret {
            end: caret.end + 1,
            ..caret
        });
        Some(right)
    }

    /// Removes the element at a visible unit, if it has no other unit; returns it. None: nothing
    /// happened.
    #[inline]
    pub fn remove_one(&mut self, unit: u64) -> Option<ElementKey> {
        if unit >= u64::from(self.len_units()) {
            return None;
        }
        let (pos, offset) = self.tree.locate(unit as u32);
        let run = self.tree.run(pos);
        if !run.is_dense() {
            return None;
        }
        let id = run.id.plus(offset);
        self.caret = None;
        self.mark_deleted(pos, offset, 1);
        Some(id)
    }

    /// Also returns the run that ends with the new elements.
    #[inline(never)]
    fn insert_anywhere(&mut self, unit: u32, mut chain: Chain) -> (Inserted, RunPos) {
        if unit == 0 {
            let first = self.tree.first();
            chain.right = first.map_or(ElementKey::NULL, |pos| self.tree.run(pos).id);
            let side = if chain.right.is_null() {
                Side::Right
            } else {
                Side::Left
            };
            let pos = self.insert_run(
                self.tree.start(),
                &chain,
                local_place(side, chain.right.is_null()),
            );
            return (inserted_at(unit, &chain), pos);
        }
        let (pos, offset) = self.tree.locate(unit - 1);
        let run = *self.tree.run(pos);
        if offset + 1 < run.units() && run.is_dense() {
            // Between two elements of a run: the second is a right child of the first.
            chain.left = run.id.plus(offset);
            chain.right = run.id.plus(offset + 1);
            let tail = self.split(pos, offset + 1);
            let pos = self.insert_run(tail, &chain, local_place(Side::Left, false));
            return (inserted_at(unit, &chain), pos);
        }
        // Behind the run (or behind an element of several units, which cannot be parted).
        let next = self.tree.next(pos);
        chain.left = run.last();
        chain.right = next.map_or(ElementKey::NULL, |next| self.tree.run(next).id);
        let inserted = inserted_at(unit - 1 - offset + run.units(), &chain);
        if extends(&run, &chain) && run.right == chain.right && run.right_was_known() {
            self.extend(pos, &chain);
            return (inserted, pos);
        }
        let below = match next {
            Some(next) => self.is_ancestor(&run, chain.left, next),
            None => false,
        };
        let side = if below { Side::Left } else { Side::Right };
        let behind = RunPos {
            at: pos.at + 1,
            ..pos
        };
        let pos = self.insert_run(behind, &chain, local_place(side, false));
        (inserted, pos)
    }

    /// Removes `count` visible units from `unit` on, which must exist. An element of several
    /// units goes as a whole. `removed` is told of each stretch in order, and where it was.
    pub fn remove_local(
        &mut self,
        mut unit: u32,
        count: u32,
        mut removed: impl FnMut(u32, Removed),
    ) {
        self.caret = None;
        let mut left = count;
        while left > 0 && unit < self.len_units() {
            let (pos, offset) = self.tree.locate(unit);
            let run = *self.tree.run(pos);
            if run.is_dense() {
                let len = left.min(run.len - offset);
                removed(
                    unit,
                    Removed {
                        id: run.id.plus(offset),
                        len,
                        units: len,
                        content: run.content.plus(offset),
                    },
                );
                self.mark_deleted(pos, offset, len);
                left -= len;
            } else {
                // It may have begun before: what is behind moves there.
                unit -= offset;
                removed(
                    unit,
                    Removed {
                        id: run.id,
                        len: 1,
                        units: run.units(),
                        content: run.content,
                    },
                );
                self.mark_deleted(pos, 0, 1);
                left -= left.min(run.units() - offset);
            }
        }
    }

    /// The ids of the visible elements that hold `count` units from `unit` on.
    pub fn elements_at(&mut self, unit: u32, count: u32, mut element: impl FnMut(Removed)) {
        let end = unit.saturating_add(count).min(self.len_units());
        let mut unit = unit;
        while unit < end {
            let (pos, offset) = self.tree.locate(unit);
            let near = |hint: RunPos| hint == pos || hint.behind() == pos;
            if !self.hints[0].is_some_and(near) {
                self.remember(pos);
            }
            let run = self.tree.run(pos);
            if run.is_dense() {
                let len = (end - unit).min(run.len - offset);
                element(Removed {
                    id: run.id.plus(offset),
                    len,
                    units: len,
                    content: run.content.plus(offset),
                });
                unit += len;
            } else {
                element(Removed {
                    id: run.id,
                    len: 1,
                    units: run.units(),
                    content: run.content,
                });
                unit += run.units() - offset;
            }
        }
    }

    /// The elements from `first` on that are visible, of `len`.
    pub fn live_parts(&self, first: ElementKey, len: u32, mut part: impl FnMut(Removed)) {
        let mut done = 0;
        while done < len {
            let id = first.plus(done);
            let Some((pos, offset)) = self.find(id) else {
                done += self.unknown_stretch(id, len - done);
                continue;
            };
            let run = self.tree.run(pos);
            let count = (len - done).min(run.len - offset);
            if !run.is_deleted() {
                let (content, units) = match run.is_dense() {
                    true => (run.content.plus(offset), count),
                    false => (run.content, run.units()),
                };
                part(Removed {
                    id,
                    len: count,
                    units,
                    content,
                });
            }
            done += count;
        }
    }

    /// Whether an element was removed; None if it is unknown.
    pub fn is_deleted(&self, key: ElementKey) -> Option<bool> {
        let (pos, _) = self.find(key)?;
        Some(self.tree.run(pos).is_deleted())
    }

    /// Removes `len` elements from `first` on; those already removed stay so. `removed` is told
    /// the visible position of each stretch at that moment, which costs O(log n). Returns false if
    /// some are unknown.
    pub fn remove_by_id(
        &mut self,
        first: ElementKey,
        len: u32,
        mut removed: Option<impl FnMut(u32, Removed)>,
    ) -> bool {
        self.caret = None;
        let mut all_known = true;
        let mut done = 0;
        while done < len {
            let Some((pos, offset)) = self.find(first.plus(done)) else {
                all_known = false;
                done += self.unknown_stretch(first.plus(done), len - done);
                continue;
            };
            let run = *self.tree.run(pos);
            let count = (len - done).min(run.len - offset);
            if !run.is_deleted() {
                if let Some(removed) = &mut removed {
                    let (inside, units) = if run.is_dense() {
                        (offset, count)
                    } else {
                        (0, run.units())
                    };
                    let unit = self.tree.measure_before(pos).visible + inside;
                    removed(
                        unit,
                        Removed {
                            id: first.plus(done),
                            len: count,
                            units,
                            content: run.content.plus(inside),
                        },
                    );
                }
                self.mark_deleted(pos, offset, count);
            }
            done += count;
            self.remember(pos);
        }
        all_known
    }

    /// How many elements from `key` on are unknown; at most `limit`. `key` is unknown itself, or
    /// behind all known elements of its author.
    pub(super) fn unknown_stretch(&self, key: ElementKey, limit: u32) -> u32 {
        // Runs of an author are few beside the elements that a forged removal may name.
        let Some(index) = self
            .index
            .get(key.author)
            .filter(|index| key.counter < index.end)
        else {
            return limit;
        };
        let here = index
            .leaves
            .find(key.counter)
            .map_or(&[][..], |leaf| self.tree.leaf_runs(LeafIdx(leaf)));
        let later = here
            .iter()
            .filter(|run| run.id.author == key.author && run.id.counter > key.counter);
        let next = later
            .map(|run| run.id.counter)
            .chain(index.leaves.next_start(key.counter))
            .min();
        next.map_or(limit, |next| (next - key.counter).clamp(1, limit))
    }

    /// Whether all elements of an author from `key` on are unknown.
    pub fn is_behind_all(&self, key: ElementKey) -> bool {
        self.index
            .get(key.author)
            .is_none_or(|index| key.counter >= index.end)
    }

    /// Something was found there.
    pub(super) fn remember(&mut self, pos: RunPos) {
        if self.hints[0] != Some(pos) {
            self.hints = [Some(pos), self.hints[0]];
        }
    }

    /// Where an element is: its run and its offset there.
    pub(super) fn find(&self, key: ElementKey) -> Option<(RunPos, u32)> {
        let is_there = |pos: RunPos| {
            let run = self.tree.leaf_runs(pos.leaf).get(pos.at)?;
            run.contains(key)
                .then(|| (pos, key.counter - run.id.counter))
        };
        for hint in self.hints.into_iter().flatten() {
            if let Some(found) = is_there(hint).or_else(|| is_there(hint.behind())) {
                return Some(found);
            }
        }
        // Ids that are new are asked for, too, and must not cost a look at a leaf.
        let index = self.index.get(key.author);
        let index = index.filter(|index| key.counter < index.end)?;
        let leaf = LeafIdx(index.leaves.find(key.counter)?);
        let runs = self.tree.leaf_runs(leaf);
        let at = runs.iter().position(|run| run.contains(key))?;
        Some((RunPos { leaf, at }, key.counter - runs[at].id.counter))
    }

    /// Splits a run before its element `offset`; returns the place of the second part.
    pub(super) fn split(&mut self, pos: RunPos, offset: u32) -> RunPos {
        let mut tail = *self.tree.run(pos);
        self.tree.update(pos, |run| tail = run.split_off(offset));
        let place = self.put(
            RunPos {
                at: pos.at + 1,
                ..pos
            },
            tail,
        );
        if place.leaf != pos.leaf {
            self.index
                .entry(tail.id.author)
                .assign(tail.id.counter, tail.len, place.leaf);
        }
        place
    }

    /// As [`split`](Self::split); returns the place of the first part, which may have moved.
    fn split_before(&mut self, pos: RunPos, offset: u32) -> RunPos {
        let tail = self.split(pos, offset);
        self.tree
            .previous(tail)
            .expect("the first part is before it")
    }

    pub(super) fn insert_run(&mut self, pos: RunPos, chain: &Chain, place: Place) -> RunPos {
        let Chain {
            id,
            len,
            units,
            content,
            left,
            right,
        } = *chain;
        let pos = self.put(pos, Run::new(id, len, units, content, [left, right], place));
        self.index
            .entry(id.author)
            .assign(id.counter, len, pos.leaf);
        pos
    }

    /// Puts a run into the tree. The index is told of the runs that had to move for it, not of
    /// the run itself.
    fn put(&mut self, pos: RunPos, run: Run) -> RunPos {
        let (pos, moved) = self.tree.insert(pos, run);
        if let Some(leaf) = moved {
            for at in 0..self.tree.leaf_runs(leaf).len() {
                let run = *self.tree.run(RunPos { leaf, at });
                self.index
                    .entry(run.id.author)
                    .assign(run.id.counter, run.len, leaf);
            }
        }
        pos
    }

    #[inline(always)]
    fn extend(&mut self, pos: RunPos, chain: &Chain) {
        let growth = self.tree.run(pos).measure_of(chain.units);
        self.tree
            .update_by(pos, growth, |run| run.extend(chain.len));
        let index = self.index.entry(chain.id.author);
        if chain.id.counter < index.end {
            // Between elements that came before: the interval there may lead elsewhere.
            index.assign(chain.id.counter, chain.len, pos.leaf);
        } else {
            index.end = chain.id.counter + chain.len;
        }
    }

    /// Adds a chain behind the run at `pos` without a new run, if it continues that run.
    pub(super) fn try_extend(&mut self, pos: RunPos, chain: &Chain, right_unknown: bool) -> bool {
        let run = self.tree.run(pos);
        let fits = extends(run, chain)
            && chain.left == run.last()
            && chain.right == run.right
            && run.right_was_known() != right_unknown;
        if fits {
            self.extend(pos, chain);
        }
        fits
    }

    /// Marks elements of a live run as deleted, keeping neighbours that are deleted in one run.
    fn mark_deleted(&mut self, pos: RunPos, offset: u32, len: u32) {
        let end = offset + len;
        let run_len = self.tree.run(pos).len;
        if offset == 0 && end == run_len {
            self.tree.update(pos, Run::delete);
            self.merge_deleted(pos);
        } else if end == run_len {
            if !self.give_to_next(pos, len) {
                let tail = self.split(pos, offset);
                self.tree.update(tail, Run::delete);
            }
        } else if offset == 0 {
            if !self.give_to_previous(pos, len) {
                let pos = self.split_before(pos, end);
                self.tree.update(pos, Run::delete);
            }
        } else {
            let pos = self.split_before(pos, end);
            let tail = self.split(pos, offset);
            self.tree.update(tail, Run::delete);
        }
    }

    /// Backspacing: the last `len` elements join the deleted run behind.
    fn give_to_next(&mut self, pos: RunPos, len: u32) -> bool {
        let next = RunPos {
            at: pos.at + 1,
            ..pos
        };
        let runs = self.tree.leaf_runs(pos.leaf);
        let Some(receiver) = runs.get(next.at) else {
            return false;
        };
        let run = &runs[pos.at];
        if !receiver.is_deleted() || !run.is_continued_by(receiver) {
            return false;
        }
        let growth = Measure::default().minus(run.measure_of(len));
        self.tree.update_both_by(pos, growth, |run, receiver| {
            run.drop_back(len);
            receiver.extend_front(len);
        });
        true
    }

    /// Deleting forwards: the first `len` elements join the deleted run before.
    fn give_to_previous(&mut self, pos: RunPos, len: u32) -> bool {
        let Some(at) = pos.at.checked_sub(1) else {
            return false;
        };
        let runs = self.tree.leaf_runs(pos.leaf);
        let (receiver, run) = (&runs[at], &runs[pos.at]);
        if !receiver.is_deleted() || !receiver.is_continued_by(run) {
            return false;
        }
        let growth = Measure::default().minus(run.measure_of(len));
        let both = RunPos { at, ..pos };
        self.tree.update_both_by(both, growth, |receiver, run| {
            receiver.extend(len);
            run.drop_front(len);
        });
        true
    }

    /// Joins a deleted run with its deleted neighbours in the leaf.
    fn merge_deleted(&mut self, pos: RunPos) {
        self.merge_with_next(pos);
        if let Some(at) = pos.at.checked_sub(1) {
            self.merge_with_next(RunPos { at, ..pos });
        }
    }

    fn merge_with_next(&mut self, pos: RunPos) {
        let runs = self.tree.leaf_runs(pos.leaf);
        let (Some(run), Some(next)) = (runs.get(pos.at), runs.get(pos.at + 1)) else {
            return;
        };
        if !run.is_deleted() || !next.is_deleted() || !run.is_continued_by(next) {
            return;
        }
        let next = self.tree.remove(RunPos {
            at: pos.at + 1,
            ..pos
        });
        self.tree.update(pos, |run| run.extend(next.len));
    }

    /// Every element in order, deleted ones too: id and whether it is live.
    #[cfg(test)]
    pub fn elements(&self) -> impl Iterator<Item = (ElementKey, bool)> + '_ {
        self.tree
            .iter()
            .flat_map(|run| (0..run.len).map(|nth| (run.id.plus(nth), !run.is_deleted())))
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.tree.heap_bytes() + self.index.heap_bytes()
    }

    /// Panics if an invariant is broken. Walks everything.
    pub fn check(&self) {
        self.tree.check();
        let mut ends: BTreeMap<AuthorIdx, u32> = BTreeMap::new();
        let mut next = self.tree.first();
        while let Some(pos) = next {
            let run = self.tree.run(pos);
            assert!(run.len > 0);
            assert_eq!(self.find(run.id), Some((pos, 0)));
            assert_eq!(self.find(run.last()), Some((pos, run.len - 1)));
            assert_eq!(
                self.find(run.id.plus(run.len / 2)),
                Some((pos, run.len / 2))
            );
            let end = ends.entry(run.id.author).or_default();
            *end = run.id.plus(run.len).counter.max(*end);
            next = self.tree.next(pos);
        }
        if let Some(caret) = self.caret {
            let run = self.tree.run(caret.run);
            let before = self.tree.measure_before(caret.run).visible;
            assert!(!run.is_deleted() && before + run.units() == caret.end);
            let next = self.tree.next(caret.run);
            let behind = next.map_or(ElementKey::NULL, |next| self.tree.run(next).id);
            assert!(run.right == behind && run.right_was_known());
        }
        for (author, index) in self.index.iter() {
            let end = ends.get(&author).copied().unwrap_or(0);
            index.leaves.check();
            assert_eq!(index.end, end);
            assert!(index.leaves.iter().all(|(start, _)| start < end));
        }
    }
}

/// Whether a chain continues a run in ids and content.
fn extends(run: &Run, chain: &Chain) -> bool {
    chain.id.author == run.id.author
        && chain.id.counter == run.id.counter + run.len
        && chain.content == run.content.plus(run.len)
        && !run.is_deleted()
        && run.is_dense()
        && chain.len == chain.units
        && run.units() + chain.units <= super::UNITS_MAX
}

fn inserted_at(unit: u32, chain: &Chain) -> Inserted {
    Inserted {
        left: chain.left,
        right: chain.right,
        unit,
    }
}

fn local_place(side: Side, below_root: bool) -> Place {
    Place {
        side,
        below_root,
        left_unknown: false,
        right_unknown: false,
    }
}
