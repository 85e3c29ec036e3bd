//! Steps on Fugue texts and lists: the elements that they made and those that they removed, with
//! what these held.
//!
//! Taking a step back removes by id what is left of the elements it made, and puts a new element
//! in the place of each one it removed: an update of the removed one (specification 10.4), or an
//! insertion directly behind it where others' text has come to stand. From then on the other steps
//! mean the new element where they named the old one.

use super::super::Document;
use super::super::content::ContentPool;
use super::super::handlers::fugue_body::{Elements, FugueBody, Item, write_update};
use super::super::log::{Operation, Span, Spans};
use super::super::transaction::QueuedOp;
use super::super::types::{DocumentError, HandlerIdx};
use super::spans::SpanSet;
use super::step::{Effect, Renamed};
use crate::sequence::{Chain, Content, ElementKey, Removed};

/// What a step did to a sequence, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ElementsEffect {
    /// Elements that came. Others may have removed some since.
    pub made: SpanSet,
    /// Elements that went and were there before the step.
    pub removed: Vec<RemovedRun>,
}

/// Consecutive elements of one author that went, from left to right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemovedRun {
    pub id: ElementKey,
    /// One unit or value each, or a single element of any number of units.
    pub len: u32,
    /// What was visible before them.
    pub left: ElementKey,
    pub held: Held,
}

/// What elements held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Units(Vec<u16>),
    Values(Vec<Box<[u8]>>),
}

impl Held {
    fn read(elements: Elements, pool: &ContentPool, content: Content, units: u32) -> Self {
        match elements {
            Elements::Units => {
                let mut text = Vec::new();
                pool.copy_utf16(content, units, &mut text);
                Held::Units(text)
            }
            Elements::Values(_) => {
                Held::Values(pool.values(content, units).map(Box::from).collect())
            }
        }
    }

    /// Number of units or values.
    pub fn count(&self) -> usize {
        match self {
            Held::Units(units) => units.len(),
            Held::Values(values) => values.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Held::Units(units) => units.len() * 3,
            Held::Values(values) => values.iter().map(|value| value.len() + 8).sum(),
        }
    }

    fn append(&mut self, other: Held) {
        match (self, other) {
            (Held::Units(units), Held::Units(more)) => units.extend(more),
            (Held::Values(values), Held::Values(more)) => values.extend(more),
            _ => unreachable!("a sequence holds text or values"),
        }
    }

    fn store(&self, pool: &mut ContentPool) -> Content {
        match self {
            Held::Units(units) => pool.push_units(units),
            Held::Values(values) => pool.push_values(values.iter().map(|value| &**value)),
        }
    }
}

impl RemovedRun {
    fn is_dense(&self) -> bool {
        self.held.count() == self.len as usize
    }

    /// A part of the run, whose elements are dense.
    fn part(&self, offset: u32, len: u32) -> RemovedRun {
        let range = offset as usize..(offset + len) as usize;
        let held = match &self.held {
            _ if !self.is_dense() => self.held.clone(),
            Held::Units(units) => Held::Units(units[range].to_vec()),
            Held::Values(values) => Held::Values(values[range].to_vec()),
        };
        let id = self.id.plus(offset);
        RemovedRun {
            id,
            len,
            left: self.left,
            held,
        }
    }
}

impl ElementsEffect {
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.removed.is_empty()
    }

    /// Elements went. What the step made itself is forgotten: it came and went.
    fn note_removed(&mut self, run: RemovedRun) {
        let own = self.made.take(run.id, run.len);
        if own.is_empty() {
            return self.push_removed(run);
        }
        let mut at = 0;
        let end = [(run.id.plus(run.len), 0)];
        for (first, len) in own.into_iter().chain(end) {
            let stop = first.counter - run.id.counter;
            if at < stop {
                self.push_removed(run.part(at, stop - at));
            }
            at = stop + len;
        }
    }

    fn push_removed(&mut self, run: RemovedRun) {
        if let Some(last) = self.removed.last_mut() {
            if last.id.plus(last.len) == run.id && last.is_dense() && run.is_dense() {
                last.len += run.len;
                last.held.append(run.held);
                return;
            }
        }
        self.removed.push(run);
    }

    /// Adds what a later part of the same step did.
    pub fn merge(&mut self, later: ElementsEffect) {
        later
            .removed
            .into_iter()
            .for_each(|run| self.note_removed(run));
        for (first, len) in later.made.iter() {
            self.made.insert(first, len);
        }
    }

    /// Elements have others in their places from now on.
    pub fn rename(&mut self, old: ElementKey, len: u32, new: ElementKey) {
        for (first, count) in self.made.take(old, len) {
            let offset = first.counter - old.counter;
            self.made.insert(new.plus(offset), count);
        }
        for run in &mut self.removed {
            let left = run.left;
            if left.author == old.author && left >= old && left < old.plus(len) {
                run.left = new.plus(left.counter - old.counter);
            }
        }
    }
}

impl Document {
    /// Notes new elements of a local edit, for those who take it back.
    pub(in super::super) fn track_made(&mut self, number: HandlerIdx, first: ElementKey, len: u32) {
        self.track_elements(number, |effect| effect.made.insert(first, len));
    }

    /// Notes elements that a local edit removed, from left to right, and what is before them.
    pub(in super::super) fn track_removed(
        &mut self,
        number: HandlerIdx,
        left: ElementKey,
        removed: &[Removed],
    ) {
        let Ok(fugue) = self.fugue_state(number) else {
            return;
        };
        let runs: Vec<RemovedRun> = removed
            .iter()
            .map(|part| RemovedRun {
                id: part.id,
                len: part.len,
                left,
                held: Held::read(fugue.elements, &self.log.content, part.content, part.units),
            })
            .collect();
        self.track_elements(number, |effect| {
            runs.into_iter().for_each(|run| effect.note_removed(run));
        });
    }

    fn track_elements(&mut self, number: HandlerIdx, body: impl FnOnce(&mut ElementsEffect)) {
        let Some(tracker) = &mut self.tracker else {
            return;
        };
        let effect = tracker
            .captured
            .entry(number)
            .or_insert_with(|| Effect::Elements(ElementsEffect::default()));
        if let Effect::Elements(effect) = effect {
            body(effect);
        }
    }

    /// Takes back what a step did to a sequence.
    pub(super) fn take_back_elements(
        &mut self,
        number: HandlerIdx,
        effect: &ElementsEffect,
    ) -> Result<(), DocumentError> {
        self.remove_made(number, &effect.made)?;
        self.revive(number, &effect.removed)
    }

    fn remove_made(&mut self, number: HandlerIdx, made: &SpanSet) -> Result<(), DocumentError> {
        let mut parts = Vec::new();
        let fugue = self.fugue_state(number)?;
        for (first, len) in made.iter() {
            fugue
                .sequence
                .live_parts(first, len, |part| parts.push(part));
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.ensure_editable(parts.len())?;
        self.record(number, false);
        let mut spans = Spans::default();
        for part in parts {
            let sequence = &self.fugue_state(number)?.sequence;
            let through = sequence.units_through(part.id).unwrap_or(0);
            let own = if part.len == part.units {
                1
            } else {
                part.units
            };
            let left = sequence.element_before(through.saturating_sub(own));
            self.track_removed(number, left, &[part]);
            let (id, len) = (part.id, part.len);
            self.with_fugue(number, |fugue, sink| {
                fugue.remove(&[Span { id, len }], sink)
            });
            spans.add(id, len);
        }
        let spans = spans.as_slice();
        self.submit_fugue(number, Operation::Remove { spans });
        Ok(())
    }

    /// Puts new elements in the places of removed ones.
    fn revive(&mut self, number: HandlerIdx, removed: &[RemovedRun]) -> Result<(), DocumentError> {
        let bytes = removed.iter().map(|run| run.held.bytes()).sum::<usize>();
        let count = removed.iter().map(|run| run.held.count()).sum::<usize>();
        self.checked_insertion(number, 0, count, bytes)?;
        let first = ElementKey {
            author: self.own,
            counter: self.fugue_state(number)?.next_counter,
        };
        let mut new = first;
        let mut items: Vec<(ElementKey, Item)> = Vec::new();
        let (mut beside, mut forgotten) = (Vec::new(), Vec::new());
        for run in removed.iter().filter(|run| run.held.count() > 0) {
            let mut content = run.held.store(&mut self.log.content);
            let units = match run.is_dense() {
                true => 1,
                false => run.held.count() as u32,
            };
            for old in (0..run.len).map(|nth| run.id.plus(nth)) {
                let sequence = &self.fugue_state(number)?.sequence;
                let authors = &self.log.authors;
                match sequence.is_deleted(old) {
                    Some(true) if sequence.is_replaced_in_place(old, new, authors) => {
                        let id = new;
                        items.push((old, Item { id, content, units }));
                        new = new.plus(1);
                    }
                    Some(true) => beside.push((old, content, units)),
                    Some(false) => (),
                    None => forgotten.push((run, old)),
                }
                content = content.plus(units);
            }
        }
        self.replace_removed(number, items);
        for (old, content, units) in beside {
            self.insert_behind(number, old, content, units)?;
        }
        self.insert_forgotten(number, &forgotten)
    }

    /// Replaces removed elements, in one change.
    fn replace_removed(&mut self, number: HandlerIdx, items: Vec<(ElementKey, Item)>) {
        let Some((_, Item { id, .. })) = items.first() else {
            return;
        };
        self.track_made(number, *id, items.len() as u32);
        for (old, new) in &items {
            self.rename_element(number, *old, new.id);
        }
        let mut body = Vec::new();
        write_update(&items, &self.log, &mut body);
        let decoded = FugueBody::Update { items };
        self.record(number, false);
        self.with_fugue(number, |fugue, sink| fugue.apply(&decoded, sink));
        self.submit(
            number,
            QueuedOp::FugueBytes {
                kind: 2,
                body,
                decoded,
            },
        );
    }

    /// Inserts what a removed element held directly behind it. Others have inserted text before
    /// it, and a replacement would come to stand before that.
    fn insert_behind(
        &mut self,
        number: HandlerIdx,
        old: ElementKey,
        content: Content,
        units: u32,
    ) -> Result<(), DocumentError> {
        let fugue = self.fugue_state(number)?;
        let (left, right) = (old, fugue.sequence.following(old));
        let id = ElementKey {
            author: self.own,
            counter: fugue.next_counter,
        };
        // An element of several units, which only foreign peers make, becomes as many.
        let chain = Chain {
            id,
            len: units,
            units,
            content,
            left,
            right,
        };
        self.track_made(number, id, units);
        if units == 1 {
            self.rename_element(number, old, id);
        }
        self.record(number, false);
        self.with_fugue(number, |fugue, sink| fugue.insert(chain, sink));
        self.submit_fugue(
            number,
            Operation::Insert {
                first: id.counter,
                len: units,
                left,
                right,
                content,
            },
        );
        Ok(())
    }

    /// Inserts what elements held that are not known here any more, since a snapshot forgot them,
    /// behind what was before them. What went last comes first: the others were beside it.
    fn insert_forgotten(
        &mut self,
        number: HandlerIdx,
        forgotten: &[(&RemovedRun, ElementKey)],
    ) -> Result<(), DocumentError> {
        let follow = |a: &(&RemovedRun, ElementKey), b: &(&RemovedRun, ElementKey)| {
            std::ptr::eq(a.0, b.0) && a.1.plus(1) == b.1
        };
        let parts: Vec<&[(&RemovedRun, ElementKey)]> = forgotten.chunk_by(follow).collect();
        for part in parts.into_iter().rev() {
            let (run, first) = part[0];
            let left = self.renamed_element(number, run.left);
            let fugue = self.fugue_state(number)?;
            let index = match left.is_null() {
                true => Some(0),
                false => fugue.sequence.units_through(left),
            };
            let Some(index) = index else {
                continue;
            };
            let part = run.part(first.counter - run.id.counter, part.len() as u32);
            let new = ElementKey {
                author: self.own,
                counter: fugue.next_counter,
            };
            let count = part.held.count() as u32;
            let content = part.held.store(&mut self.log.content);
            self.insert_elements(number, index, content, count)?;
            if part.is_dense() {
                for nth in 0..count {
                    self.rename_element(number, first.plus(nth), new.plus(nth));
                }
            }
        }
        Ok(())
    }

    /// What stands in the place of an element in the step that is being taken back.
    fn renamed_element(&self, number: HandlerIdx, key: ElementKey) -> ElementKey {
        let run = self
            .tracker
            .as_ref()
            .and_then(|tracker| tracker.run.as_ref());
        let renamed = run.into_iter().flat_map(|run| run.renamed.iter());
        let mut found = renamed.filter_map(|renamed| match renamed {
            Renamed::Elements {
                handler,
                old,
                len,
                new,
            } => {
                let is_it = *handler == number
                    && old.author == key.author
                    && (*old..old.plus(*len)).contains(&key);
                is_it.then(|| new.plus(key.counter - old.counter))
            }
            _ => None,
        });
        found.next().unwrap_or(key)
    }

    fn rename_element(&mut self, number: HandlerIdx, old: ElementKey, new: ElementKey) {
        let Some(run) = self
            .tracker
            .as_mut()
            .and_then(|tracker| tracker.run.as_mut())
        else {
            return;
        };
        if let Some(Renamed::Elements {
            handler,
            old: first,
            len,
            new: first_new,
        }) = run.renamed.last_mut()
        {
            if *handler == number && first.plus(*len) == old && first_new.plus(*len) == new {
                *len += 1;
                return;
            }
        }
        run.renamed.push(Renamed::Elements {
            handler: number,
            old,
            len: 1,
            new,
        });
    }
}
