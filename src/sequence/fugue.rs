//! Where a foreign chain goes (crdt_lf specification 10.2 and 10.3), without building the Fugue
//! tree: runs know parent and side of their first element, and that is enough.
//!
//! A new element hangs below its parent among siblings sorted by id. In the flat order its
//! siblings and their subtrees lie right behind (right children) or right before (left children)
//! the parent, and between the origins there are only elements that the author did not know. So
//! the scan below usually looks at nothing; with concurrent edits at one place it looks at the
//! runs of those edits, never at the document.

use super::list::{Chain, Sequence};
use super::run::{Content, ElementKey, Place, Run, Side};
use crate::clock::Authors;
use crate::tree::RunPos;
use std::cmp::Ordering;

/// A chain that was refused because its first id is already taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateElement;

/// What `integrate` did.
#[derive(Clone, Copy, Debug)]
pub struct Integrated {
    /// Where the first new element is: its visible unit, when it was asked for.
    pub unit: Option<u32>,
    /// How many elements were new: fewer than given if a later id was taken.
    pub len: u32,
    /// An origin was named that is not known here, or the origins in reverse order: the place
    /// depends on what was there before.
    pub depends_on_order: bool,
}

/// A gap between elements: before element `offset` of the run at `pos`, or at the very end.
#[derive(Clone, Copy, Debug)]
enum Gap {
    Before(RunPos, u32),
    End,
}

/// Whether an element is above another one in the tree.
#[derive(Clone, Copy, Debug)]
enum Above {
    No,
    Yes,
    /// Yes, and the other one is to its left. Its run.
    ToTheRight(RunPos),
}

/// Which siblings a right or root child has.
#[derive(Clone, Copy)]
struct Siblings {
    parent: ElementKey,
    side: Side,
}

impl Sequence {
    /// Places a foreign chain. Cost: O(log n) and the concurrent runs between its origins.
    pub fn integrate(
        &mut self,
        mut chain: Chain,
        want_unit: bool,
        authors: &Authors,
    ) -> Result<Integrated, DuplicateElement> {
        self.caret = None;
        let new = self
            .new_prefix(chain.id, chain.len)
            .ok_or(DuplicateElement)?;
        if new < chain.len {
            // Only dense chains have several elements.
            (chain.len, chain.units) = (new, new);
        }
        let left = self.find_origin(chain.left);
        if let Some(unit) = left.and_then(|left| self.continue_typing(left, &chain)) {
            self.remember(unit.0);
            let unit = want_unit.then(|| self.tree.measure_before(unit.0).visible + unit.1);
            return Ok(Integrated {
                unit,
                len: chain.len,
                depends_on_order: false,
            });
        }
        let right = self.find_right(left, chain.right);
        let mut place = Place {
            side: Side::Right,
            below_root: false,
            left_unknown: left.is_none() && !chain.left.is_null(),
            right_unknown: right.is_none() && !chain.right.is_null(),
        };
        let mut depends_on_order = place.left_unknown || place.right_unknown;
        let gap = match (left, right) {
            (Some(left), Some(right)) if self.is_below(left, right, &mut depends_on_order) => {
                place.side = Side::Left;
                self.gap_for_left_child(&chain, right, chain.left, authors)
            }
            (Some(left), right) => {
                let siblings = Siblings {
                    parent: chain.left,
                    side: Side::Right,
                };
                self.gap_for_right_child(&chain, self.after(left), siblings, right, authors)
            }
            (None, Some(right)) => {
                place.side = Side::Left;
                self.gap_for_left_child(&chain, right, self.ancestor_before(right), authors)
            }
            (None, None) => {
                place.below_root = true;
                place.side = if chain.left.is_null() {
                    Side::Right
                } else {
                    Side::Left
                };
                let siblings = Siblings {
                    parent: ElementKey::NULL,
                    side: place.side,
                };
                self.gap_for_right_child(&chain, self.start_gap(), siblings, None, authors)
            }
        };
        let pos = self.fill(gap, &chain, place);
        self.remember(pos.0);
        let unit = want_unit.then(|| {
            let (pos, offset) = pos;
            self.tree.measure_before(pos).visible + offset
        });
        Ok(Integrated {
            unit,
            len: chain.len,
            depends_on_order,
        })
    }

    /// Whether a replacement of an element would stand directly before it: not if somebody else's
    /// insertion, whose author has a larger id, came to stand there.
    pub fn is_replaced_in_place(
        &self,
        old: ElementKey,
        new: ElementKey,
        authors: &Authors,
    ) -> bool {
        let Some((pos, offset)) = self.find(old) else {
            return false;
        };
        let chain = Chain {
            id: new,
            len: 1,
            units: 1,
            content: Content::new(0, false),
            left: self.ancestor_before((pos, offset)),
            right: old,
        };
        match self.gap_for_left_child(&chain, (pos, offset), chain.left, authors) {
            Gap::Before(before, nth) => before == pos && nth == offset,
            Gap::End => false,
        }
    }

    /// The element behind a known one, whether visible or not.
    pub fn following(&self, key: ElementKey) -> ElementKey {
        match self.find(key).map(|place| self.after(place)) {
            Some(Gap::Before(pos, offset)) => self.tree.run(pos).id.plus(offset),
            Some(Gap::End) | None => ElementKey::NULL,
        }
    }

    /// The common case: the chain goes on where the run of its left origin ends, and there is
    /// nothing between its origins, so nothing has to be compared. The run was placed when the
    /// right origin was there: that one is not below it, and the chain becomes a right child.
    fn continue_typing(
        &mut self,
        (pos, offset): (RunPos, u32),
        chain: &Chain,
    ) -> Option<(RunPos, u32)> {
        let len = self.tree.run(pos).len;
        if offset + 1 < len {
            return None;
        }
        let next = self
            .tree
            .next(pos)
            .map_or(ElementKey::NULL, |next| self.tree.run(next).id);
        (next == chain.right && self.try_extend(pos, chain, false)).then_some((pos, len))
    }

    /// Adds `chain` as a left child of `parent`, which is known: a replacement of it (10.4).
    pub fn integrate_below(
        &mut self,
        parent: ElementKey,
        mut chain: Chain,
        want_unit: bool,
        authors: &Authors,
    ) -> Result<Integrated, DuplicateElement> {
        self.caret = None;
        self.new_prefix(chain.id, 1).ok_or(DuplicateElement)?;
        let right = self.find(parent).expect("the caller looked");
        // It names no origin, but the scan for what comes to its left wants a place to stop at.
        chain.left = self.ancestor_before(right);
        chain.right = parent;
        let gap = self.gap_for_left_child(&chain, right, chain.left, authors);
        let place = Place {
            side: Side::Left,
            below_root: false,
            left_unknown: chain.left.is_null(),
            right_unknown: false,
        };
        let (pos, offset) = self.fill(gap, &chain, place);
        let unit = want_unit.then(|| self.tree.measure_before(pos).visible + offset);
        Ok(Integrated {
            unit,
            len: 1,
            depends_on_order: false,
        })
    }

    /// How many of the ids from `first` on are new, until the first that is not. None: not one.
    fn new_prefix(&self, first: ElementKey, len: u32) -> Option<u32> {
        if self.is_behind_all(first) {
            return Some(len);
        }
        if self.contains(first) {
            return None;
        }
        Some(self.unknown_stretch(first, len))
    }

    fn find_origin(&self, origin: ElementKey) -> Option<(RunPos, u32)> {
        if origin.is_null() {
            None
        } else {
            self.find(origin)
        }
    }

    /// Where a right origin is: mostly close behind the left one, at the beginning of a run.
    fn find_right(&self, left: Option<(RunPos, u32)>, right: ElementKey) -> Option<(RunPos, u32)> {
        const NEAR: usize = 4;
        let near = left.and_then(|(pos, _)| {
            let behind = self.tree.leaf_runs(pos.leaf).get(pos.at + 1..)?;
            let nth = behind.iter().take(NEAR).position(|run| run.id == right)?;
            let at = pos.at + 1 + nth;
            Some((RunPos { at, ..pos }, 0))
        });
        near.or_else(|| self.find_origin(right))
    }

    /// 10.2 `below`: whether `left` is a proper ancestor of `right`, and has a right child.
    /// `depends` becomes true if the latter made the difference.
    fn is_below(&self, left: (RunPos, u32), right: (RunPos, u32), depends: &mut bool) -> bool {
        if left.0 == right.0 {
            // Each element of a run is the parent of the next.
            return left.1 < right.1;
        }
        let left_run = self.tree.run(left.0);
        let left_key = left_run.id.plus(left.1);
        // The ancestors of a later element of a run are those of the first, and the run itself,
        // which `left` is not in.
        let above = match right.1 {
            0 => self.find_above(left_run, left_key, right.0),
            _ => self.climb(left_key, right.0),
        };
        match above {
            Above::No => false,
            Above::Yes => true,
            // Only a peer that names its origins in reverse order makes this matter.
            Above::ToTheRight(pos) => {
                *depends = true;
                self.has_right_child(pos, left_key)
            }
        }
    }

    /// Whether `key`, an element of `run`, is a proper ancestor of the first element at `below`,
    /// which comes behind it.
    pub(super) fn is_ancestor(&self, run: &Run, key: ElementKey, below: RunPos) -> bool {
        match self.find_above(run, key, below) {
            Above::No => false,
            Above::Yes => true,
            Above::ToTheRight(pos) => self.has_right_child(pos, key),
        }
    }

    fn find_above(&self, run: &Run, key: ElementKey, below: RunPos) -> Above {
        let right = self.tree.run(below);
        if run.right == right.id && run.right_was_known() {
            // `key` was placed when `right` was there: it is the younger one.
            return Above::No;
        }
        if right.left == key && right.left_was_known() {
            // With its left origin known, an element hangs below it, or to the left of a
            // descendant of it.
            return Above::Yes;
        }
        self.climb(key, below)
    }

    /// Looks for `key` among the ancestors of the first element at `from`. A subtree has no gaps:
    /// once an ancestor comes before `key`, which comes before `from`, `key` is inside of that
    /// ancestor's subtree, and thus not above it.
    fn climb(&self, key: ElementKey, from: RunPos) -> Above {
        let (key_at, _) = self.find(key).expect("the caller looked");
        let is_before = self.tree.is_in_order(key_at, from);
        let mut pos = from;
        // A stored sequence may be forged, and its parents run in a circle.
        for _ in 0..self.tree.run_count_max() {
            let below = self.tree.run(pos);
            let parent = below.parent();
            if parent.is_null() {
                return Above::No;
            }
            let (run, offset) = self.find(parent).expect("a parent is known");
            let run_start = self.tree.run(run).id;
            if key.author == run_start.author
                && key.counter >= run_start.counter
                && key.counter <= run_start.counter + offset
            {
                let is_left_child = key == parent && below.side() == Side::Left;
                return if is_left_child {
                    Above::ToTheRight(run)
                } else {
                    Above::Yes
                };
            }
            // The parent, or the element before it in its run, comes before what is below.
            let comes_before = below.side() == Side::Right || offset > 0;
            if is_before && comes_before && self.tree.is_in_order(run, key_at) {
                return Above::No;
            }
            pos = run;
        }
        Above::No
    }

    /// Whether an element of the run at `pos` has a right child.
    fn has_right_child(&self, pos: RunPos, key: ElementKey) -> bool {
        let run = self.tree.run(pos);
        match self.tree.next(pos) {
            _ if key != run.last() => true,
            Some(next) => self.is_ancestor(run, key, next),
            None => false,
        }
    }

    fn start_gap(&self) -> Gap {
        match self.tree.first() {
            Some(pos) => Gap::Before(pos, 0),
            None => Gap::End,
        }
    }

    fn after(&self, (pos, offset): (RunPos, u32)) -> Gap {
        if offset + 1 < self.tree.run(pos).len {
            return Gap::Before(pos, offset + 1);
        }
        match self.tree.next(pos) {
            Some(next) => Gap::Before(next, 0),
            None => Gap::End,
        }
    }

    /// Scans forwards from behind the parent (or from the start, below the root).
    fn gap_for_right_child(
        &self,
        chain: &Chain,
        start: Gap,
        siblings: Siblings,
        stop: Option<(RunPos, u32)>,
        authors: &Authors,
    ) -> Gap {
        let mut gap = start;
        let mut cursor = start;
        // The last run that is inside: what waited before it hangs below it.
        let mut inside_through = None;
        while let Gap::Before(pos, offset) = cursor {
            if stop == Some((pos, offset)) {
                break;
            }
            let run = self.piece(pos, offset);
            let class = if is_sibling(&run, siblings) {
                if compare(run.id, chain.id, authors) == Ordering::Greater {
                    break;
                }
                Class::Inside
            } else if run.is_below_root() {
                // Left children of the root come before all right ones.
                match siblings.parent.is_null() && run.side() == Side::Left {
                    true => Class::Inside,
                    false => break,
                }
            } else if run.side() == Side::Left {
                Class::Waits
            } else {
                // The parent comes before: has the scan passed it?
                let (parent, at) = self.find(run.parent()).expect("a parent is known");
                let is_passed = match start {
                    Gap::Before(first, skipped) => {
                        self.tree.is_in_order(first, parent) && (first != parent || at >= skipped)
                    }
                    Gap::End => false,
                };
                if !is_passed {
                    break;
                }
                match inside_through {
                    Some(last) if self.tree.is_in_order(parent, last) => Class::Inside,
                    _ => Class::Waits,
                }
            };
            let next = match self.tree.next(pos) {
                Some(next) => Gap::Before(next, 0),
                None => Gap::End,
            };
            if class == Class::Inside {
                inside_through = Some(pos);
                gap = next;
            }
            cursor = next;
        }
        gap
    }

    /// An ancestor of the element: unless its author named origins in reverse order, one that comes
    /// before it and thus before everything to its left below it. Null if there is none or it is
    /// not known at once.
    fn ancestor_before(&self, (pos, offset): (RunPos, u32)) -> ElementKey {
        let run = self.tree.run(pos);
        match offset {
            0 if run.left_was_known() => run.left,
            0 => ElementKey::NULL,
            _ => run.id.plus(offset - 1),
        }
    }

    /// Scans backwards from before the parent: the mirror image. `stop` is an ancestor of it, if one
    /// is known.
    fn gap_for_left_child(
        &self,
        chain: &Chain,
        parent: (RunPos, u32),
        stop: ElementKey,
        authors: &Authors,
    ) -> Gap {
        let (pos, offset) = parent;
        let mut gap = Gap::Before(pos, offset);
        if offset > 0 {
            // The element before is the parent of `parent`: there are no left children.
            return gap;
        }
        let siblings = Siblings {
            parent: self.tree.run(pos).id,
            side: Side::Left,
        };
        let first = self.tree.previous(pos);
        let mut cursor = first;
        // As above, in the other direction.
        let mut inside_through: Option<RunPos> = None;
        while let Some(pos) = cursor {
            let run = *self.tree.run(pos);
            if run.contains(stop) {
                break;
            }
            let class = if is_sibling(&run, siblings) {
                if compare(run.id, chain.id, authors) == Ordering::Less {
                    break;
                }
                Class::Inside
            } else if run.is_below_root() {
                break;
            } else if run.side() == Side::Right {
                Class::Waits
            } else {
                // The parent comes behind: has the scan passed it?
                let (parent, _) = self.find(run.parent()).expect("a parent is known");
                if !first.is_some_and(|first| self.tree.is_in_order(parent, first)) {
                    break;
                }
                match inside_through {
                    Some(last) if self.tree.is_in_order(last, parent) => Class::Inside,
                    _ => Class::Waits,
                }
            };
            if class == Class::Inside {
                inside_through = Some(pos);
                gap = Gap::Before(pos, 0);
            }
            cursor = self.tree.previous(pos);
        }
        gap
    }

    /// The run at `pos` without its first `offset` elements.
    fn piece(&self, pos: RunPos, offset: u32) -> Run {
        let mut run = *self.tree.run(pos);
        if offset > 0 {
            run.drop_front(offset);
        }
        run
    }

    /// Puts the chain into the gap; returns where its first element is.
    fn fill(&mut self, gap: Gap, chain: &Chain, place: Place) -> (RunPos, u32) {
        let before = match gap {
            Gap::Before(pos, 0) => self.tree.previous(pos),
            Gap::Before(..) => None,
            Gap::End => self.tree.last(),
        };
        if let Some(before) = before {
            let offset = self.tree.run(before).len;
            if place.side == Side::Right
                && !place.below_root
                && self.try_extend(before, chain, place.right_unknown)
            {
                return (before, offset);
            }
        }
        let pos = match (gap, before) {
            (Gap::Before(pos, offset), _) if offset > 0 => self.split(pos, offset),
            (_, Some(before)) => RunPos {
                at: before.at + 1,
                ..before
            },
            _ => self.tree.start(),
        };
        (self.insert_run(pos, chain, place), 0)
    }
}

fn is_sibling(run: &Run, siblings: Siblings) -> bool {
    let at_root = siblings.parent.is_null();
    run.side() == siblings.side
        && run.is_below_root() == at_root
        && (at_root || run.parent() == siblings.parent)
}

/// The order of siblings: peer id, then counter (3.3).
fn compare(a: ElementKey, b: ElementKey, authors: &Authors) -> Ordering {
    if a.author == b.author {
        return a.counter.cmp(&b.counter);
    }
    authors.peer(a.author).cmp(&authors.peer(b.author))
}

/// Whether a run that the scan has passed belongs below the siblings already passed, or below
/// something that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Inside,
    Waits,
}
