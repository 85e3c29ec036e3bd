//! Texts that were empty when an import began: what was done to them is collected and folded at
//! once, see [`History`]. Whatever does not fit comes after what was collected, one by one.

use super::import::RowImport;
use crate::clock::{AuthorIdx, Hlc, OrderKey};
use crate::document::Document;
use crate::document::handler::{Handler, Recorder};
use crate::document::handlers::fugue::{FugueSink, FugueState};
use crate::document::handlers::fugue_body::Elements;
use crate::document::log::{ChangeKey, Log, NameIdx, Operation, Slice, SliceOp, Span};
use crate::document::types::HandlerIdx;
use crate::sequence::{Chain, ElementKey, History, LazySequence};

/// Imports of fewer changes fold as they go.
const CHANGES_MIN: u64 = if cfg!(any(test, fuzzing)) { 3 } else { 64 };

/// What is to be folded yet.
#[derive(Debug)]
pub(super) struct Deferred {
    handler: HandlerIdx,
    history: History,
    /// By author: what was collected of them.
    clocks: Vec<AuthorClocks>,
    /// The youngest change that was collected.
    newest: Option<ChangeKey>,
    /// Some changes came behind younger ones.
    is_late: bool,
}

/// The changes of one author, which rise.
#[derive(Clone, Debug, Default)]
struct AuthorClocks {
    latest: Hlc,
    /// The insertions: first clock and first counter of each.
    insertions: Vec<(Hlc, u32)>,
}

impl Document {
    /// The texts whose rows an import of so many changes may collect, by handler.
    pub(super) fn deferrable(&self, changes: u64) -> Vec<Option<Deferred>> {
        #[cfg(test)]
        if tests::ONE_BY_ONE.get() {
            return Vec::new();
        }
        if changes < CHANGES_MIN || self.transaction.is_some() {
            return Vec::new();
        }
        let handlers = self.handlers.iter().zip(0..);
        let deferred = handlers.map(|(handler, number)| {
            is_untouched(handler).then(|| Deferred {
                handler: HandlerIdx(number),
                history: History::default(),
                clocks: Vec::new(),
                newest: None,
                is_late: false,
            })
        });
        deferred.collect()
    }
}

/// Whether nothing ever happened to it, and it is a text.
fn is_untouched(handler: &Handler) -> bool {
    let is_empty = |fugue: &FugueState| {
        fugue.elements == Elements::Units
            && fugue.next_counter == 0
            && !fugue.order_sensitive
            && fugue.sequence.runs().next().is_none()
    };
    handler.newest.is_none()
        && handler.newest_own == Hlc::ZERO
        && !handler.out_of_order
        && handler.fugue().is_some_and(is_empty)
}

impl RowImport<'_> {
    /// Collects a slice that was just stored, if it can be; else it is to be folded, behind what
    /// was collected.
    pub(super) fn defer(&mut self, slice: Slice, key: ChangeKey, last: Hlc) -> Option<HandlerIdx> {
        if self.deferred.is_empty() {
            return None;
        }
        let log = &self.document.log;
        let number = self.document.handler_of_name(log.name_of(slice.first))?;
        let deferred = self.deferred.get_mut(number.0 as usize)?;
        if deferred.as_mut()?.add(slice, key, last, log) {
            return Some(number);
        }
        let deferred = deferred.take()?;
        self.document.fold_deferred(deferred, self.many);
        None
    }

    /// Folds everything that was collected.
    pub(super) fn fold_all_deferred(&mut self) {
        for deferred in std::mem::take(&mut self.deferred).into_iter().flatten() {
            self.document.fold_deferred(deferred, self.many);
        }
    }
}

impl Deferred {
    /// False, and nothing is added, if this does not fit what comes before.
    fn add(&mut self, slice: Slice, key: ChangeKey, last: Hlc, log: &Log) -> bool {
        let author = key.author.0 as usize;
        if self.clocks.len() <= author {
            self.clocks.resize_with(author + 1, AuthorClocks::default);
        }
        if self.clocks[author].latest >= key.clock {
            return false;
        }
        let is_late = self
            .newest
            .is_some_and(|newest| is_younger(newest, key, log));
        let op = log.slice_op(slice);
        if is_late && !self.names_older_only(op, slice, key, log) {
            return false;
        }
        let history = &mut self.history;
        let fits = match op {
            SliceOp::Insert(Operation::Insert {
                first,
                len,
                left,
                right,
                content,
            }) if !content.is_value() => {
                let id = ElementKey {
                    author: key.author,
                    counter: first,
                };
                let len = len * slice.changes;
                history.insert(Chain {
                    id,
                    len,
                    units: len,
                    content,
                    left,
                    right,
                })
            }
            SliceOp::Remove {
                author,
                first,
                step,
            } => {
                let (id, len) = removed(author, first, step, slice);
                history.remove(id, len)
            }
            SliceOp::Single(Operation::Remove { spans }) => remove_all(history, spans),
            SliceOp::Insert(_) | SliceOp::Single(_) => false,
        };
        if fits {
            let clocks = &mut self.clocks[author];
            clocks.latest = last;
            if let SliceOp::Insert(Operation::Insert { first, .. }) = op {
                clocks.insertions.push((key.clock, first));
            }
            let last = ChangeKey { clock: last, ..key };
            if self
                .newest
                .is_none_or(|newest| is_younger(last, newest, log))
            {
                self.newest = Some(last);
            }
            self.is_late |= is_late;
        }
        fits
    }

    /// Whether all elements that a late slice names come before it in the order of replays, too: if
    /// not, which only a forged change can bring about, the order of arrival shows.
    fn names_older_only(&self, op: SliceOp<'_>, slice: Slice, key: ChangeKey, log: &Log) -> bool {
        let (name, order) = (log.name_of(slice.first), log.operation_id(key));
        let is_older = |element: ElementKey| self.is_older(name, element, order, log);
        match op {
            SliceOp::Insert(Operation::Insert { left, right, .. }) => {
                is_older(left) && is_older(right)
            }
            SliceOp::Remove {
                author,
                first,
                step,
            } => {
                let (id, len) = removed(author, first, step, slice);
                is_older(id.plus(len - 1))
            }
            SliceOp::Single(Operation::Remove { spans }) => spans
                .iter()
                .all(|span| is_older(span.id.plus(span.len - 1))),
            SliceOp::Insert(_) | SliceOp::Single(_) => true,
        }
    }

    /// Elements rise with the clocks of their author, so the latest of a stretch tells for all.
    fn is_older(&self, name: NameIdx, element: ElementKey, order: OrderKey, log: &Log) -> bool {
        let Some(clocks) = self.clocks.get(element.author.0 as usize) else {
            return true;
        };
        if clocks.latest < order.hlc {
            return true;
        }
        // The slice before these may reach across.
        let later = clocks.insertions.iter().rev();
        let later = later.take_while(|(clock, _)| *clock >= order.hlc).count();
        let across = clocks.insertions.len().checked_sub(later + 1);
        match across.map(|at| clocks.insertions[at]) {
            Some((_, first)) if element.counter < first => true,
            _ => !log.is_produced_behind(name, element, order),
        }
    }
}

/// The order of replays.
fn is_younger(a: ChangeKey, b: ChangeKey, log: &Log) -> bool {
    a.clock > b.clock || a.clock == b.clock && log.operation_id(a) > log.operation_id(b)
}

/// The elements that a slice removes.
fn removed(author: AuthorIdx, first: u32, step: i32, slice: Slice) -> (ElementKey, u32) {
    let len = step.unsigned_abs() * slice.changes;
    let counter = if step < 0 { first + 1 - len } else { first };
    (ElementKey { author, counter }, len)
}

/// All or none.
fn remove_all(history: &mut History, spans: &[Span]) -> bool {
    let fits = spans.iter().all(|span| history.knows(span.id, span.len));
    if fits {
        for span in spans {
            history.remove(span.id, span.len);
        }
    }
    fits
}

impl Document {
    fn fold_deferred(&mut self, deferred: Deferred, many: bool) {
        let Some(newest) = deferred.newest else {
            return;
        };
        let number = deferred.handler;
        self.record(number, many);
        let log = &self.log;
        let handler = &mut self.handlers[number.0 as usize];
        let is_recording_singly = !matches!(handler.recorder, Recorder::Off | Recorder::Before(_));
        let history = deferred.history;
        handler.with_fugue(log, self.own, |fugue, sink| {
            let built = match is_recording_singly {
                true => None,
                false => history.build(sink.authors),
            };
            match built {
                Some(sequence) => {
                    fugue.sequence = LazySequence::from(sequence);
                    let end = history.end_of(sink.own).unwrap_or(0);
                    fugue.next_counter = fugue.next_counter.max(end);
                }
                None => fold_singly(fugue, &history, sink),
            }
        });
        handler.newest = Some(log.operation_id(newest));
        if deferred.is_late {
            handler.out_of_order = true;
            self.unsettled.filled().push(number);
        }
    }
}

/// All elements that are removed are known: the insertions may come first.
fn fold_singly(fugue: &mut FugueState, history: &History, sink: &mut FugueSink<'_>) {
    for chain in history.chains() {
        fugue.insert(*chain, sink);
    }
    for (id, len) in history.removals() {
        let (id, len) = (*id, *len);
        fugue.remove(&[Span { id, len }], sink);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{edit, empty, registered, values};
    use crate::clock::VersionVector;
    use crate::codec::native::{Kind, container};
    use crate::document::types::{Commit, HandlerDelta};
    use crate::document::{Document, Origin};
    use crate::replica::{ImportOutcome, Replica as _};
    use crate::testing::Rng;
    use std::cell::Cell;

    thread_local! {
        /// Nothing is collected: the oracle for imports that collect, of the same bytes.
        pub(super) static ONE_BY_ONE: Cell<bool> = const { Cell::new(false) };
    }

    fn import(copy: &mut Document, native: &[u8], one_by_one: bool) -> ImportOutcome {
        ONE_BY_ONE.set(one_by_one);
        let outcome = copy.import_native(native, &[], Origin::Remote);
        ONE_BY_ONE.set(false);
        copy.check();
        outcome.unwrap()
    }

    /// All that anybody can see of a document, the order of its log included.
    fn ensure_same(a: &Document, b: &Document, context: &str) {
        assert_eq!(values(a), values(b), "{context}");
        assert_eq!(a.export_list(), b.export_list(), "{context}");
        assert_eq!(a.frontiers(), b.frontiers(), "{context}");
        assert_eq!(a.version_vector(), b.version_vector(), "{context}");
        let native = |document: &Document| document.export_native(&VersionVector::new());
        assert_eq!(native(a), native(b), "{context}");
    }

    /// Oracle: the import of the same bytes without collecting, so that everything comes in one
    /// order: whole or in two halves, into nothing or besides other content, watched or not. Then
    /// both are edited on, also by others at the same time, and what was done goes both ways.
    #[test]
    fn collecting_shows_nowhere() {
        for seed in 0..45 {
            let mut rng = Rng::new(seed);
            let writers = 1 + seed as usize % 3;
            let edits = [3, 30, 90][rng.below(3)];
            let source = written(&mut rng, writers, edits);
            let whole = source.export_native(&VersionVector::new());
            let mut early = registered(empty(9));
            let changes = source.all_changes();
            let half = changes[..rng.below(changes.len() + 1)].to_vec();
            early.import_changes(half, &[], Origin::Remote).unwrap();
            let first = early.export_native(&VersionVector::new());
            let rest = source.export_native(&early.version_vector());
            let mut other = registered(empty(3));
            import(&mut other, &whole, true);
            (0..4).for_each(|_| edit(&mut other, &mut rng));
            let theirs = other.export_native(&source.version_vector());
            for case in 0..16 {
                let (peer, is_watched) = ([1, 2][case & 1], case & 2 != 0);
                let (in_halves, has_content) = (case & 4 != 0, case & 8 != 0);
                let context = format!("seed {seed}, case {case}");
                let mut copies = [registered(empty(peer)), registered(empty(peer))];
                let mut outcomes = Vec::new();
                for (nth, copy) in copies.iter_mut().enumerate() {
                    if has_content && peer == 2 {
                        let mut rng = Rng::new(seed + 2000);
                        (0..4).for_each(|_| edit(copy, &mut rng));
                    }
                    copy.set_recording(is_watched);
                    copy.observe_all(is_watched);
                    let parts = if in_halves {
                        vec![&first, &rest]
                    } else {
                        vec![&whole]
                    };
                    for part in parts {
                        outcomes.push(import(copy, part, nth == 1));
                    }
                }
                let (left, right) = outcomes.split_at(outcomes.len() / 2);
                assert_eq!(left, right, "{context}");
                let [copy, expected] = &mut copies;
                ensure_same(copy, expected, &context);
                let commits = |copy: &mut Document| format!("{:?}", copy.take_commits());
                assert_eq!(commits(copy), commits(expected), "{context}");
                let seen = copy.version_vector();
                for copy in &mut copies {
                    let mut rng = Rng::new(seed + 1000);
                    (0..6).for_each(|_| edit(copy, &mut rng));
                    copy.check();
                }
                let [copy, expected] = &mut copies;
                ensure_same(copy, expected, &context);
                assert_eq!(commits(copy), commits(expected), "{context}");
                let mine = copy.export_native(&seen);
                for copy in &mut copies {
                    import(copy, &theirs, false);
                }
                let [copy, expected] = &mut copies;
                ensure_same(copy, expected, &context);
                assert_eq!(commits(copy), commits(expected), "{context}");
                // And to one who knew the rest.
                let mut back = registered(empty(4));
                import(&mut back, &whole, true);
                import(&mut back, &theirs, true);
                if !(has_content && peer == 2) {
                    import(&mut back, &mine, true);
                    let text = |document: &Document| {
                        let text = document.find_handler("text").unwrap();
                        document.handler_value(text)
                    };
                    assert_eq!(text(&back), text(copy), "{context}");
                }
                for copy in &mut copies {
                    copy.replay_all();
                }
                let [copy, expected] = &mut copies;
                ensure_same(copy, expected, &context);
            }
        }
    }

    /// Oracle: as above, for histories whose origins and removals are forged.
    #[test]
    fn collecting_forged_histories_shows_nowhere() {
        let mut taken = 0;
        for seed in 0..12 {
            let mut rng = Rng::new(seed);
            let source = written(&mut rng, 1 + seed as usize % 3, 20);
            let bytes = source.export_native(&VersionVector::new());
            let opened = container::open(&bytes, Kind::Changes).unwrap();
            for at in 0..opened.body.len() {
                let mut body = opened.body.to_vec();
                body[at] ^= 1 << rng.below(8);
                let forged = container::seal(Kind::Changes, opened.columns, &[&body]);
                let context = format!("seed {seed}, byte {at}");
                let mut copies = [registered(empty(2)), registered(empty(2))];
                copies.iter_mut().for_each(|copy| copy.set_recording(true));
                let [copy, expected] = &mut copies;
                let outcome = copy.import_native(&forged, &[], Origin::Remote);
                ONE_BY_ONE.set(true);
                let of_expected = expected.import_native(&forged, &[], Origin::Remote);
                ONE_BY_ONE.set(false);
                assert_eq!(outcome, of_expected, "{context}");
                taken += u32::from(outcome.is_ok());
                copy.check();
                ensure_same(copy, expected, &context);
                for copy in &mut copies {
                    let mut rng = Rng::new(seed + 1000);
                    (0..4).for_each(|_| edit(copy, &mut rng));
                }
                let [copy, expected] = &mut copies;
                ensure_same(copy, expected, &context);
            }
        }
        assert!(taken > 500, "{taken}");
    }

    /// What some people made of a document, now and then taking in what others did.
    fn written(rng: &mut Rng, writers: usize, edits: usize) -> Document {
        let mut copies: Vec<Document> = (0..writers)
            .map(|nth| registered(empty([1, 7, 5][nth])))
            .collect();
        for step in 0..edits + writers {
            // In the end the first one learns of all.
            let (to, from) = match step.checked_sub(edits) {
                Some(from) => (0, from),
                None => (rng.below(writers), rng.below(2 * writers)),
            };
            if from < writers {
                let seen = copies[to].version_vector();
                let changes = copies[from].changes_newer_than(&seen);
                copies[to]
                    .import_changes(changes, &[], Origin::Remote)
                    .unwrap();
            }
            if step < edits {
                edit(&mut copies[to], rng);
            }
        }
        copies.swap_remove(0)
    }

    /// Oracle: the import of the crdt_lf form, which folds change by change. By others and by one
    /// of the writers who starts anew, watched or not; afterwards all are edited on.
    #[test]
    fn what_writers_did_is_folded_as_one_by_one() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let edits = [3, 30, 90][rng.below(3)];
            let writers = 1 + seed as usize % 3;
            let source = written(&mut rng, writers, edits);
            let (native, list) = (
                source.export_native(&VersionVector::new()),
                source.export_list(),
            );
            let mut other = registered(empty(3));
            other.import_list(&list, &[], Origin::Remote).unwrap();
            edit(&mut other, &mut rng);
            for (peer, is_watched) in [(1, false), (2, false), (1, true), (2, true)] {
                let mut copies = [registered(empty(peer)), registered(empty(peer))];
                for copy in &mut copies {
                    copy.set_recording(is_watched);
                    if is_watched {
                        copy.observe_all(true);
                    }
                }
                let [copy, expected] = &mut copies;
                copy.import_native(&native, &[], Origin::Remote).unwrap();
                expected.import_list(&list, &[], Origin::Remote).unwrap();
                copy.check();
                assert_eq!(values(copy), values(expected), "seed {seed}");
                let (commits, of_expected) = (copy.take_commits(), expected.take_commits());
                assert_eq!(commits.len(), of_expected.len(), "seed {seed}");
                for (commit, expected) in commits.iter().zip(&of_expected) {
                    let texts = |commit: &Commit| -> Vec<_> {
                        let deltas = commit.deltas.iter().cloned();
                        deltas
                            .filter(|(_, delta)| matches!(delta, HandlerDelta::Text(_)))
                            .collect()
                    };
                    assert_eq!(texts(commit), texts(expected), "seed {seed}");
                }
                for copy in &mut copies {
                    let mut rng = Rng::new(seed + 1000);
                    (0..5).for_each(|_| edit(copy, &mut rng));
                    let changes = other.changes_newer_than(&copy.version_vector());
                    copy.import_changes(changes, &[], Origin::Remote).unwrap();
                    copy.check();
                }
                let [copy, expected] = &mut copies;
                // Two forms bring the changes of several writers in different orders, which what
                // is done next to maps and sets may show.
                if writers == 1 {
                    assert_eq!(copy.export_list(), expected.export_list(), "seed {seed}");
                    assert_eq!(values(copy), values(expected), "seed {seed}");
                }
                let shown = values(copy);
                copy.replay_all();
                assert_eq!(values(copy), shown, "seed {seed}");
            }
        }
    }
}
