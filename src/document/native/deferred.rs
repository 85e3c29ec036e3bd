//! Texts that were empty when an import began: what one author did to them is collected and folded
//! at once, see [`History`]. Whatever does not fit comes after what was collected, one by one.

use super::import::RowImport;
use crate::clock::{AuthorIdx, Hlc, OperationId};
use crate::document::Document;
use crate::document::handler::{Handler, Recorder};
use crate::document::handlers::fugue::{FugueSink, FugueState};
use crate::document::handlers::fugue_body::Elements;
use crate::document::log::{ChangeKey, Log, Operation, Slice, SliceOp, Span};
use crate::document::types::HandlerIdx;
use crate::sequence::{Chain, ElementKey, History, LazySequence};

/// Imports of fewer changes fold as they go.
const CHANGES_MIN: u64 = if cfg!(any(test, fuzzing)) { 3 } else { 64 };

/// What is to be folded yet.
#[derive(Debug)]
pub(super) struct Deferred {
    handler: HandlerIdx,
    history: History,
    /// The last change that was collected.
    newest: Option<ChangeKey>,
}

impl Document {
    /// The texts whose rows an import of so many changes may collect, by handler.
    pub(super) fn deferrable(&self, changes: u64) -> Vec<Option<Deferred>> {
        if changes < CHANGES_MIN || self.transaction.is_some() {
            return Vec::new();
        }
        let handlers = self.handlers.iter().zip(0..);
        let deferred = handlers.map(|(handler, number)| {
            is_untouched(handler).then(|| Deferred {
                handler: HandlerIdx(number),
                history: History::default(),
                newest: None,
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
    /// False, and nothing is added, if this is not an edit of the one author behind all before.
    fn add(&mut self, slice: Slice, key: ChangeKey, last: Hlc, log: &Log) -> bool {
        if self.newest.is_some_and(|newest| newest.clock >= key.clock) {
            return false;
        }
        let history = &mut self.history;
        // Somebody else's removal would fit, but makes the order of changes one of two authors.
        let is_one_author =
            |history: &History| history.end().is_none_or(|(author, _)| author == key.author);
        let fits = is_one_author(history)
            && match log.slice_op(slice) {
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
                    let len = step.unsigned_abs() * slice.changes;
                    let counter = if step < 0 { first + 1 - len } else { first };
                    history.remove(ElementKey { author, counter }, len)
                }
                SliceOp::Single(Operation::Remove { spans }) => remove_all(history, spans),
                SliceOp::Insert(_) | SliceOp::Single(_) => false,
            };
        if fits {
            self.newest = Some(ChangeKey { clock: last, ..key });
        }
        fits
    }
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
                false => history.build(),
            };
            match built {
                Some(sequence) => {
                    fugue.sequence = LazySequence::from(sequence);
                    note_own(fugue, &history, sink.own);
                }
                None => fold_singly(fugue, &history, sink),
            }
        });
        handler.newest = Some(OperationId::new(
            log.authors.peer(newest.author),
            newest.clock,
        ));
    }
}

fn note_own(fugue: &mut FugueState, history: &History, own: AuthorIdx) {
    if let Some((author, end)) = history.end() {
        if author == own {
            fugue.next_counter = fugue.next_counter.max(end);
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
    use crate::document::Origin;
    use crate::replica::Replica as _;
    use crate::testing::Rng;

    /// Oracle: the import of the crdt_lf form, which folds change by change. By another author and
    /// by the same one who starts anew, watched or not; afterwards all are edited on.
    #[test]
    fn what_one_author_did_is_folded_as_one_by_one() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let mut source = registered(empty(1));
            for _ in 0..[3, 30, 90][rng.below(3)] {
                edit(&mut source, &mut rng);
            }
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
                    assert_eq!(commit.deltas, expected.deltas, "seed {seed}");
                }
                for copy in &mut copies {
                    let mut rng = Rng::new(seed + 1000);
                    (0..5).for_each(|_| edit(copy, &mut rng));
                    let changes = other.changes_newer_than(&copy.version_vector());
                    copy.import_changes(changes, &[], Origin::Remote).unwrap();
                    copy.check();
                }
                let [copy, expected] = &mut copies;
                assert_eq!(copy.export_list(), expected.export_list(), "seed {seed}");
                assert_eq!(values(copy), values(expected), "seed {seed}");
                let shown = values(copy);
                copy.replay_all();
                assert_eq!(values(copy), shown, "seed {seed}");
            }
        }
    }
}
