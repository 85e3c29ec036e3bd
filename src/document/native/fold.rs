//! Whole slices into Fugue sequences: a typed word is integrated at once.

use crate::clock::{AuthorIdx, Hlc, OperationId, OrderKey};
use crate::document::handler::{Handler, State};
use crate::document::handlers::fugue::{FugueSink, FugueState};
use crate::document::log::{ChangeKey, Log, Operation, Slice, SliceOp, Span};
use crate::sequence::{Chain, ElementKey};

/// What folding a slice at once came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// It has no such state or such operations, or elements that others made, too: fold change by
    /// change.
    No,
    /// All changes are the youngest ones.
    InOrder,
    /// Some came behind younger ones.
    Late,
}

impl Handler {
    /// Folds the changes of a slice, of which `key` is the first: as [`fold`](Self::fold) one by
    /// one.
    pub(super) fn fold_slice(
        &mut self,
        slice: Slice,
        key: ChangeKey,
        last: Hlc,
        log: &Log,
        own: AuthorIdx,
    ) -> Folded {
        let op = log.slice_op(slice);
        let fold = |fugue: &mut FugueState, sink: &mut FugueSink<'_>| match op {
            SliceOp::Insert(Operation::Insert {
                first,
                len,
                left,
                right,
                content,
            }) => {
                let id = ElementKey {
                    author: key.author,
                    counter: first,
                };
                let len = len * slice.changes;
                let is_new = fugue.sequence.is_behind_all(id);
                if !is_new || !fugue.accepts(content, len, sink.content) {
                    return false;
                }
                let chain = Chain {
                    id,
                    len,
                    units: len,
                    content,
                    left,
                    right,
                };
                fugue.insert(chain, sink);
                true
            }
            SliceOp::Remove {
                author,
                first,
                step,
            } => {
                let len = step.unsigned_abs() * slice.changes;
                let lowest = if step < 0 { first + 1 - len } else { first };
                let id = ElementKey {
                    author,
                    counter: lowest,
                };
                fugue.remove(&[Span { id, len }], sink);
                true
            }
            SliceOp::Insert(_) | SliceOp::Single(_) => false,
        };
        if self.with_fugue(log, own, fold) != Some(true) {
            return Folded::No;
        }
        let first = log.operation_id(key);
        let newest_own = OperationId::new(log.authors.peer(own), self.newest_own);
        let is_late = self.newest.is_some_and(|newest| newest > first) || newest_own > first;
        self.newest = self.newest.max(Some(OperationId::new(first.peer, last)));
        match is_late {
            true => Folded::Late,
            false => Folded::InOrder,
        }
    }

    /// As [`note_late`](Self::note_late) for a slice whose changes are the youngest of their
    /// author.
    pub(super) fn note_late_slice(
        &mut self,
        slice: Slice,
        key: ChangeKey,
        log: &Log,
        own: AuthorIdx,
        queued: Option<u32>,
    ) {
        self.out_of_order = true;
        let order: OrderKey = log.operation_id(key);
        let name = self.name;
        let State::Fugue(text) = &mut self.state else {
            return;
        };
        let mut check = |element: ElementKey| {
            let is_queued =
                element.author == own && queued.is_some_and(|first| element.counter >= first);
            text.order_sensitive |= is_queued || log.is_produced_behind(name, element, order);
        };
        match log.slice_op(slice) {
            SliceOp::Insert(Operation::Insert { left, right, .. }) => {
                [left, right].into_iter().for_each(&mut check);
            }
            SliceOp::Remove {
                author,
                first,
                step,
            } => {
                for nth in 0..slice.changes as i32 {
                    let id = ElementKey {
                        author,
                        counter: first.wrapping_add_signed(step.wrapping_mul(nth)),
                    };
                    check(id.plus(step.unsigned_abs() - 1));
                }
            }
            SliceOp::Insert(_) | SliceOp::Single(_) => (),
        }
    }
}
