//! Two states of one Fugue sequence become one: runs are integrated by id, what either side has
//! removed is removed.
//!
//! A side that went through a crdt_lf snapshot has forgotten which elements it removed. It still
//! knows how far it had seen each author: what it has seen and does not have, it had removed.

use crate::clock::{AuthorIdx, Authors};
use crate::document::content::ContentPool;
use crate::document::handlers::fugue::FugueState;
use crate::sequence::{Chain, Content, ElementKey, Removed, Run, Sequence};
use std::collections::HashMap;

/// How far each author's elements were seen: the largest counter.
pub(super) type Floor = HashMap<AuthorIdx, u64>;

/// The other side of a merge.
pub(super) struct Theirs<'a> {
    pub sequence: &'a Sequence,
    /// This side's numbers for theirs.
    pub authors: &'a [AuthorIdx],
    /// In this side's numbers.
    pub floor: &'a Floor,
}

/// See the module. `floor` is that of this side before the merge. O(n log n).
pub(super) fn merge(
    state: &mut FugueState,
    content: &mut ContentPool,
    floor: &Floor,
    (theirs, their_state, their_content): (&Theirs<'_>, &FugueState, &ContentPool),
    authors: &Authors,
) {
    let ours: Vec<Run> = state.sequence.runs().copied().collect();
    let mut take = |_, place, units| Some(content.copy_from(their_content, place, units));
    let mut merging = Merging::new(&mut state.sequence, floor, theirs, authors, &mut take);
    merging.integrate_all();
    merging.remove_theirs();
    merging.remove_forgotten(&ours);
    state.order_sensitive |= merging.depends_on_order || their_state.order_sensitive;
}

/// Adds the elements of theirs that are not in a sequence, one by one: `take` tells the content of
/// each, by its id on this side; without content it comes as a removed one. Returns whether the
/// order of arrival showed. O(n log n).
pub(super) fn add_slots(
    sequence: &mut Sequence,
    theirs: &Theirs<'_>,
    authors: &Authors,
    mut take: impl FnMut(ElementKey) -> Option<Content>,
) -> bool {
    let nothing = Floor::new();
    let mut take = |id, _: Content, _: u32| take(id);
    let mut merging = Merging::new(sequence, &nothing, theirs, authors, &mut take);
    merging.elements_max = 1;
    merging.integrate_all();
    merging.depends_on_order
}

/// Takes over the content of so many units, whose first element has an id on this side. None: the
/// element is to come as a removed one.
type Take<'a> = dyn FnMut(ElementKey, Content, u32) -> Option<Content> + 'a;

struct Merging<'a> {
    sequence: &'a mut Sequence,
    floor: &'a Floor,
    theirs: &'a Theirs<'a>,
    authors: &'a Authors,
    take: &'a mut Take<'a>,
    /// How many elements are added at once.
    elements_max: u32,
    /// Theirs, in their order and numbers.
    runs: Vec<Run>,
    /// Places in `runs` by id.
    by_id: Vec<u32>,
    depends_on_order: bool,
}

/// How far a run of theirs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    New,
    /// Its origins come first.
    Waits,
    Done,
}

impl<'a> Merging<'a> {
    fn new(
        sequence: &'a mut Sequence,
        floor: &'a Floor,
        theirs: &'a Theirs<'a>,
        authors: &'a Authors,
        take: &'a mut Take<'a>,
    ) -> Self {
        let runs: Vec<Run> = theirs.sequence.runs().copied().collect();
        Merging {
            by_id: (0..runs.len() as u32).collect(),
            sequence,
            floor,
            theirs,
            authors,
            take,
            elements_max: u32::MAX,
            runs,
            depends_on_order: false,
        }
    }

    /// Our key of an element of theirs.
    fn ours(&self, key: ElementKey) -> ElementKey {
        match key {
            ElementKey::NULL => ElementKey::NULL,
            key => ElementKey {
                author: self.theirs.authors[key.author.0 as usize],
                ..key
            },
        }
    }

    /// Every run, those first that its origins are in.
    fn integrate_all(&mut self) {
        let Merging { by_id, runs, .. } = self;
        by_id.sort_unstable_by_key(|at| runs[*at as usize].id);
        let mut steps = vec![Step::New; self.runs.len()];
        let mut waiting = Vec::new();
        for first in 0..self.runs.len() as u32 {
            waiting.push(first);
            while let Some(at) = waiting.last().copied() {
                let run = self.runs[at as usize];
                if steps[at as usize] == Step::New {
                    steps[at as usize] = Step::Waits;
                    for origin in [run.left, run.right] {
                        let needed = self.find(origin);
                        // Origins in a circle are forged: one of them is then unknown.
                        waiting.extend(needed.filter(|at| steps[*at as usize] == Step::New));
                    }
                    continue;
                }
                waiting.pop();
                if steps[at as usize] == Step::Waits {
                    steps[at as usize] = Step::Done;
                    self.integrate(&run);
                }
            }
        }
    }

    /// The run of theirs that an element is in.
    fn find(&self, key: ElementKey) -> Option<u32> {
        let after = self
            .by_id
            .partition_point(|at| self.runs[*at as usize].id <= key);
        let at = self.by_id[after.checked_sub(1)?];
        self.runs[at as usize].contains(key).then_some(at)
    }

    /// Adds what is not here of a run.
    fn integrate(&mut self, run: &Run) {
        let id = self.ours(run.id);
        let mut offset = 0;
        while offset < run.len {
            let first = id.plus(offset);
            if self.sequence.contains(first) {
                offset += 1;
                continue;
            }
            let rest = (run.len - offset).min(self.elements_max);
            let mut len = match self.sequence.is_behind_all(first) {
                true => rest,
                false => (1..rest)
                    .find(|more| self.sequence.contains(first.plus(*more)))
                    .unwrap_or(rest),
            };
            let seen = self.floor.get(&id.author).copied();
            let seen = seen.and_then(|seen| seen.checked_sub(u64::from(first.counter)));
            let was_removed = seen.is_some();
            if let Some(more) = seen {
                len = len.min(u32::try_from(more + 1).unwrap_or(u32::MAX));
            }
            self.add(run, offset, len, was_removed);
            offset += len;
        }
    }

    /// Adds `len` elements of a run from `offset` on.
    fn add(&mut self, run: &Run, offset: u32, len: u32, was_removed: bool) {
        let id = self.ours(run.id).plus(offset);
        let units = if run.is_dense() { len } else { run.units() };
        let content = match !run.is_deleted() && !was_removed {
            true => {
                let theirs = run.content.plus(if run.is_dense() { offset } else { 0 });
                (self.take)(id, theirs, units)
            }
            false => None,
        };
        let chain = Chain {
            id,
            len,
            units,
            content: content.unwrap_or(Content::new(0, false)),
            left: match offset {
                0 => self.ours(run.left),
                offset => self.ours(run.id).plus(offset - 1),
            },
            right: self.ours(run.right),
        };
        // As an update placed it: below the element that it replaced (specification 10.4).
        let replaces = offset == 0
            && chain.left.is_null()
            && !run.left_was_known()
            && self.sequence.contains(chain.right);
        let done = match replaces {
            true => self
                .sequence
                .integrate_below(chain.right, chain, false, self.authors),
            false => self.sequence.integrate(chain, false, self.authors),
        };
        self.depends_on_order |= done.is_ok_and(|done| done.depends_on_order);
        if content.is_none() {
            self.remove(id, len);
        }
    }

    fn remove(&mut self, id: ElementKey, len: u32) {
        let report: Option<fn(u32, Removed)> = None;
        self.sequence.remove_by_id(id, len, report);
    }

    fn remove_theirs(&mut self) {
        for at in 0..self.runs.len() {
            let run = self.runs[at];
            if run.is_deleted() {
                self.remove(self.ours(run.id), run.len);
            }
        }
    }

    /// What the other side had seen and does not have any more.
    fn remove_forgotten(&mut self, ours: &[Run]) {
        let mut numbers = HashMap::new();
        for (number, author) in self.theirs.authors.iter().enumerate() {
            numbers.insert(*author, AuthorIdx(number as u32));
        }
        let theirs = self.theirs.sequence;
        for run in ours.iter().filter(|run| !run.is_deleted()) {
            let seen = self.theirs.floor.get(&run.id.author);
            let (Some(seen), Some(author)) = (seen, numbers.get(&run.id.author)) else {
                continue;
            };
            for nth in 0..run.len {
                let id = run.id.plus(nth);
                let theirs_has = theirs.contains(ElementKey {
                    author: *author,
                    ..id
                });
                if !theirs_has && u64::from(id.counter) <= *seen {
                    self.remove(id, 1);
                }
            }
        }
    }
}
