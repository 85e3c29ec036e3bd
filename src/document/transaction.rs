//! Transactions: local operations show at once, become changes at the outermost commit, and
//! neighbours that cancel or join are compacted first (specification 8.8).

use super::handler::Replaced;
use super::handlers::fugue_body::FugueBody;
use super::handlers::state::ByteState;
use super::log::{ChangeKey, Operation, Span};
use super::types::{Commit, DocumentError, HandlerDelta, HandlerIdx, LogPosition, Origin};
use super::{AuthorIdx, Document};
use crate::clock::{Hlc, OrderKey};
use crate::codec::Change;
use crate::sequence::{Chain, Content, ElementKey};
use crate::tree::sort_by_key;
use std::borrow::Cow;
use std::collections::HashMap;

/// The open transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    depth: u32,
    tag: Vec<u8>,
    queue: Vec<Queued>,
    /// Handlers in the queue, with the first Fugue element that was made of each.
    edited: HashMap<HandlerIdx, Option<u32>>,
    /// How many of the changes that the log has now were there when it began.
    pub start: u64,
    /// That of the document when it began.
    generation: u64,
    pub origin: Option<Origin>,
    /// Something was imported into it.
    is_mixed: bool,
    pub snapshot_applied: bool,
}

/// A local operation that waits for the commit.
#[derive(Debug)]
pub(super) struct Queued {
    pub handler: HandlerIdx,
    pub op: QueuedOp,
}

#[derive(Debug)]
pub(super) enum QueuedOp {
    Insert {
        first: u32,
        len: u32,
        left: ElementKey,
        right: ElementKey,
        content: Content,
    },
    Remove {
        spans: Vec<Span>,
    },
    /// Operations of Fugue texts and lists without a compact row.
    FugueBytes {
        kind: u8,
        body: Vec<u8>,
        decoded: FugueBody,
    },
    /// Operations of value handlers.
    Bytes {
        kind: u8,
        body: Vec<u8>,
    },
}

/// A handler whose pending operations become changes as they are.
struct Promoted {
    handler: HandlerIdx,
    /// The places of those changes.
    places: Vec<OrderKey>,
}

impl QueuedOp {
    fn operation(&self) -> Operation<'_> {
        match self {
            QueuedOp::Insert {
                first,
                len,
                left,
                right,
                content,
            } => Operation::Insert {
                first: *first,
                len: *len,
                left: *left,
                right: *right,
                content: *content,
            },
            QueuedOp::Remove { spans } => Operation::Remove { spans },
            QueuedOp::FugueBytes { kind, body, .. } | QueuedOp::Bytes { kind, body } => {
                Operation::Other { kind: *kind, body }
            }
        }
    }
}

impl QueuedOp {
    /// The first Fugue element that it makes.
    fn first_made(&self) -> Option<u32> {
        match self {
            QueuedOp::Insert { first, .. } => Some(*first),
            QueuedOp::FugueBytes {
                decoded: FugueBody::Update { items },
                ..
            } => items.first().map(|(_, item)| item.id.counter),
            _ => None,
        }
    }
}

impl Transaction {
    /// Content of queued operations moves with the pool.
    pub fn move_content(&mut self, mut moved: impl FnMut(Content, u32) -> Content) {
        for queued in &mut self.queue {
            match &mut queued.op {
                QueuedOp::Insert { content, len, .. } => *content = moved(*content, *len),
                QueuedOp::FugueBytes {
                    decoded: FugueBody::Update { items },
                    ..
                } => {
                    items
                        .iter_mut()
                        .for_each(|(_, item)| item.content = moved(item.content, item.units));
                }
                _ => (),
            }
        }
    }
}

impl Document {
    /// Opens a transaction, or one more level of the open one. `tag` is handed to observers; that
    /// of the outermost level counts.
    pub fn begin(&mut self, tag: &[u8]) -> Result<(), DocumentError> {
        self.ensure_open()?;
        match &mut self.transaction {
            Some(open) => open.depth += 1,
            None => {
                self.transaction = Some(Box::new(Transaction {
                    depth: 1,
                    tag: tag.to_vec(),
                    queue: Vec::new(),
                    edited: HashMap::new(),
                    start: self.log.change_count(),
                    generation: self.generation,
                    origin: None,
                    is_mixed: false,
                    snapshot_applied: false,
                }));
            }
        }
        Ok(())
    }

    /// Ends a level; ending the outermost one makes changes of what was done.
    pub fn commit(&mut self) -> Result<(), DocumentError> {
        let open = self
            .transaction
            .as_mut()
            .ok_or(DocumentError::NoTransaction)?;
        if open.depth > 1 {
            open.depth -= 1;
            return Ok(());
        }
        let mut open = self
            .transaction
            .take()
            .ok_or(DocumentError::NoTransaction)?;
        let queue = self.compacted(std::mem::take(&mut open.queue));
        let mut promoted = self.promoted(&queue);
        self.discard_pending(&queue, &promoted);
        for Queued { handler, op } in &queue {
            self.commit_operation(*handler, op.operation());
            if let QueuedOp::Bytes { .. } = op {
                match promoted.iter_mut().find(|known| known.handler == *handler) {
                    Some(known) => known.places.push(OrderKey::new(
                        self.peer,
                        self.handlers[handler.0 as usize].newest_own,
                    )),
                    None => self.fold_last(*handler),
                }
            }
            open.origin = Some(Origin::Local);
        }
        for Promoted { handler, places } in promoted {
            self.handlers[handler.0 as usize].promote_pending(&places);
        }
        self.finish(*open);
        Ok(())
    }

    /// The handlers that can take what they show of the queue as it is, instead of forgetting it
    /// and folding the changes.
    fn promoted(&self, queue: &[Queued]) -> Vec<Promoted> {
        let mut counts: Vec<(HandlerIdx, usize)> = Vec::new();
        for Queued { handler, op } in queue {
            if matches!(op, QueuedOp::Bytes { .. }) {
                match counts.iter_mut().find(|(known, _)| known == handler) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((*handler, 1)),
                }
            }
        }
        let can = |(handler, count): &(HandlerIdx, usize)| {
            let state = self.handler_ref(*handler).state.bytes();
            state.is_some_and(|state| state.can_promote(*count))
        };
        let promoted = counts.into_iter().filter(can);
        promoted
            .map(|(handler, count)| Promoted {
                handler,
                places: Vec::with_capacity(count),
            })
            .collect()
    }

    /// Takes back the uncommitted local operations of the whole transaction and ends it, all its
    /// levels. Imports stay. O(history of the handlers that were edited).
    pub fn rollback(&mut self) -> Result<(), DocumentError> {
        let mut open = self
            .transaction
            .take()
            .ok_or(DocumentError::NoTransaction)?;
        self.forget_tracked();
        let queue = std::mem::take(&mut open.queue);
        let mut sequences: Vec<(HandlerIdx, Option<Replaced>)> = Vec::new();
        let nothing_imported =
            open.start == self.log.change_count() && open.generation == self.generation;
        for queued in queue.iter().filter(|queued| !self.can_discard(queued)) {
            if sequences.iter().all(|(known, _)| *known != queued.handler) {
                let before = match nothing_imported && self.is_seeded {
                    true => self
                        .handler_ref(queued.handler)
                        .to_replace(&self.log.content),
                    false => None,
                };
                sequences.push((queued.handler, before));
            }
        }
        if nothing_imported {
            // Then nothing will have happened.
            open.origin = None;
            self.forget_records();
        }
        self.discard_pending(&queue, &[]);
        for (number, before) in sequences {
            self.refold(number);
            if let Some(before) = before {
                self.recorded.filled().push(number);
                self.handlers[number.0 as usize].record_replacement(before, &self.log.content);
                open.origin = Some(Origin::Load);
            }
        }
        self.finish(*open);
        Ok(())
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether the open transaction has edited a handler, and the first element it made there.
    pub(super) fn first_queued(&self, number: HandlerIdx) -> Option<Option<u32>> {
        self.transaction.as_ref()?.edited.get(&number).copied()
    }

    /// Whether commits are recorded, for [`take_commits`](Self::take_commits).
    pub fn set_recording(&mut self, on: bool) {
        self.recording = on;
        if !on {
            self.commits.take();
        }
    }

    /// The commits recorded since the last call, oldest first.
    pub fn take_commits(&mut self) -> Vec<Commit> {
        self.commits.take()
    }

    /// The changes that a commit added, in store order; None if history was rewritten since.
    /// O(what was stored since).
    pub fn changes_of(&self, commit: &Commit) -> Option<Vec<Change>> {
        let mut changes = self.changes_since(commit.start)?;
        changes.truncate(usize::try_from(commit.change_count).unwrap_or(usize::MAX));
        Some(changes)
    }

    /// Those of them that were made here, in replay order (crdt_lf's `localChanges`): what others
    /// made is never among them, even if it was imported in the same transaction (defect 13.10).
    pub fn local_changes_of(&self, commit: &Commit) -> Option<Vec<Change>> {
        let mut changes = self.changes_of(commit)?;
        changes.retain(|change| change.id.peer == self.peer);
        sort_by_key(&mut changes, |change| change.id);
        Some(changes)
    }

    /// Runs `body` in a transaction; an error rolls nothing back, as `body` has checked first.
    pub(super) fn transact<R>(
        &mut self,
        tag: &[u8],
        body: impl FnOnce(&mut Self) -> Result<R, DocumentError>,
    ) -> Result<R, DocumentError> {
        self.begin(tag)?;
        let result = body(self);
        self.commit()?;
        result
    }

    /// Notes what an import or load did, as part of the open transaction or as one of its own.
    pub(super) fn note(&mut self, origin: Origin, tag: &[u8], start: u64, snapshot_applied: bool) {
        match &mut self.transaction {
            Some(open) => {
                open.origin.get_or_insert(origin);
                open.is_mixed = true;
                open.snapshot_applied |= snapshot_applied;
            }
            None => {
                let generation = self.generation;
                let transaction = Transaction {
                    depth: 0,
                    tag: tag.to_vec(),
                    queue: Vec::new(),
                    edited: HashMap::new(),
                    start,
                    generation,
                    origin: Some(origin),
                    is_mixed: false,
                    snapshot_applied,
                };
                self.finish(transaction);
            }
        }
    }

    /// Records the commit, if commits are recorded and anything happened.
    fn finish(&mut self, done: Transaction) {
        let (run_origin, moved) = self.close_tracked(&done.tag, done.is_mixed);
        let undo = self.take_undo_events();
        let mut deltas = Vec::new();
        let origin = match done.origin {
            Some(origin) => {
                deltas = self.finish_records();
                origin
            }
            None => {
                self.forget_records();
                // A step of which nothing is left was taken from its stack: that is told.
                if undo.is_empty() {
                    return;
                }
                Origin::Local
            }
        };
        if self.is_tracking() {
            self.note_drift(&deltas, &moved);
            deltas.retain(|(number, _)| self.is_observed(*number));
        }
        if !self.recording {
            return;
        }
        let origin = match origin {
            Origin::Local => run_origin.unwrap_or(origin),
            _ => origin,
        };
        let paths = self.observed_paths(&mut deltas);
        let change_count = self.log.change_count() - done.start;
        self.commit_count += 1;
        let commit = Commit {
            number: self.commit_count,
            origin,
            tag: done.tag,
            author: self.common_author(origin, change_count),
            start: LogPosition {
                generation: self.generation,
                index: done.start,
            },
            change_count,
            snapshot_applied: done.snapshot_applied,
            deltas,
            undo,
            paths,
        };
        self.commits.filled().push(commit);
    }

    /// What changed of the handlers that were recorded, in order of registration.
    fn finish_records(&mut self) -> Vec<(HandlerIdx, HandlerDelta)> {
        let mut deltas = Vec::new();
        let mut recorded = self.recorded.take();
        sort_by_key(&mut recorded, |handler| *handler);
        for number in recorded {
            if let Some(delta) = self.handlers[number.0 as usize].finish_record(&self.log.content) {
                deltas.push((number, delta));
            }
        }
        deltas
    }

    fn forget_records(&mut self) {
        for number in self.recorded.take() {
            self.handlers[number.0 as usize].recorder = Default::default();
        }
    }

    fn common_author(&self, origin: Origin, change_count: u64) -> Option<crate::clock::PeerId> {
        let is_own = matches!(origin, Origin::Local | Origin::Undo | Origin::Redo);
        if is_own && change_count == 0 {
            return Some(self.peer);
        }
        let mut common: Option<AuthorIdx> = None;
        let mut mixed = false;
        let start = self.log.change_count() - change_count;
        self.log.for_each_author_from(start, |author| {
            mixed |= common.is_some_and(|common| common != author);
            common = Some(author);
        });
        common
            .filter(|_| !mixed)
            .map(|author| self.log.authors.peer(author))
    }

    /// Takes a local operation: queued in a transaction, else committed. The state has it already.
    pub(super) fn submit(&mut self, handler: HandlerIdx, op: QueuedOp) {
        match &mut self.transaction {
            Some(open) => {
                let first = open.edited.entry(handler).or_default();
                *first = first.or(op.first_made());
                open.queue.push(Queued { handler, op });
                open.origin = Some(Origin::Local);
            }
            None => {
                let start = self.log.change_count();
                self.commit_operation(handler, op.operation());
                if let QueuedOp::Bytes { .. } = op {
                    self.fold_last(handler);
                }
                if self.recording || self.is_tracking() {
                    self.note(Origin::Local, &[], start, false);
                }
            }
        }
    }

    /// As [`submit`](Self::submit), for insertions into and removals from Fugue texts and lists:
    /// most are committed at once and need no memory of their own.
    #[inline(always)]
    pub(super) fn submit_fugue(&mut self, handler: HandlerIdx, op: Operation<'_>) {
        if self.transaction.is_some() {
            return self.queue_fugue(handler, op);
        }
        let start = self.log.change_count();
        self.commit_operation(handler, op);
        if self.recording || self.is_tracking() {
            self.note(Origin::Local, &[], start, false);
        }
    }

    fn queue_fugue(&mut self, handler: HandlerIdx, op: Operation<'_>) {
        self.submit(
            handler,
            match op {
                Operation::Insert {
                    first,
                    len,
                    left,
                    right,
                    content,
                } => QueuedOp::Insert {
                    first,
                    len,
                    left,
                    right,
                    content,
                },
                Operation::Remove { spans } => QueuedOp::Remove {
                    spans: spans.to_vec(),
                },
                Operation::Other { .. } | Operation::Opaque { .. } => {
                    unreachable!("these are queued with what they mean")
                }
            },
        );
    }

    /// Makes a change of a local operation (specification 8.3). Inlined, so that the log compares
    /// an insertion with nothing but an insertion: a tenth of the time of a typed character.
    #[inline(always)]
    pub(super) fn commit_operation(&mut self, handler: HandlerIdx, op: Operation<'_>) {
        let handler = &mut self.handlers[handler.0 as usize];
        handler.revision += 1;
        let name = handler.name;
        let now = self.wall_clock.now_ms();
        let key = ChangeKey {
            author: self.own,
            clock: self.clock.local_event(now),
        };
        handler.newest_own = key.clock;
        self.log.push(key, self.frontiers.as_slice(), name, op);
        self.frontiers.replace_all(key);
        self.note_author(self.own);
        self.clock = key.clock.receive_event(now, key.clock);
    }

    /// An author has stored changes: it belongs into the version vector.
    #[inline]
    pub(super) fn note_author(&mut self, author: AuthorIdx) {
        self.vector_order.add(author);
    }

    /// Folds the change stored last into a value handler.
    fn fold_last(&mut self, handler: HandlerIdx) {
        let (Some(place), Some(key)) = (self.log.last_place(), self.log.last_change()) else {
            return;
        };
        self.handlers[handler.0 as usize].fold(place, key, &mut self.log, self.own);
    }

    /// Shows a local operation of a value handler before it is committed.
    pub(super) fn apply_pending(&mut self, handler: HandlerIdx, kind: u8, body: &[u8]) {
        let handler = &mut self.handlers[handler.0 as usize];
        if let Some(state) = handler.state.bytes_mut() {
            // The body was encoded here.
            let _ = state.apply_pending(kind, body, &mut handler.recorder);
        }
    }

    /// Whether the state forgets a queued operation without being folded anew.
    fn can_discard(&self, queued: &Queued) -> bool {
        let state = self.handler_ref(queued.handler).state.bytes();
        matches!(queued.op, QueuedOp::Bytes { .. }) && state.is_some_and(ByteState::can_discard)
    }

    /// Value handlers forget what the queue showed; the committed operations are folded instead.
    fn discard_pending(&mut self, queue: &[Queued], except: &[Promoted]) {
        let mut done: Vec<HandlerIdx> = except.iter().map(|known| known.handler).collect();
        for queued in queue {
            let handler = &queued.handler;
            if !self.can_discard(queued) || done.contains(handler) {
                continue;
            }
            done.push(*handler);
            let handler = &mut self.handlers[handler.0 as usize];
            if let Some(state) = handler.state.bytes_mut() {
                state.discard_pending(&mut handler.recorder);
            }
        }
    }

    /// Joins neighbours of the same handler by the compaction table.
    fn compacted(&self, queue: Vec<Queued>) -> Vec<Queued> {
        let mut out: Vec<Queued> = Vec::with_capacity(queue.len());
        for next in queue {
            let joined = out.last().and_then(|last| self.compound(last, &next));
            match joined {
                Some(op) => {
                    let last = out.last_mut().expect("joined with it");
                    last.op = op;
                }
                None => out.push(next),
            }
        }
        out
    }

    fn compound(&self, last: &Queued, next: &Queued) -> Option<QueuedOp> {
        let (
            QueuedOp::Bytes { kind, body },
            QueuedOp::Bytes {
                kind: next_kind,
                body: next_body,
            },
        ) = (&last.op, &next.op)
        else {
            return None;
        };
        if last.handler != next.handler {
            return None;
        }
        let acc = (*kind, Cow::Borrowed(body.as_slice()));
        let next_op = (*next_kind, Cow::Borrowed(next_body.as_slice()));
        let state = self.handler_ref(last.handler).state.bytes()?;
        let (kind, body) = state.compound(&acc, &next_op)?;
        Some(QueuedOp::Bytes {
            kind,
            body: body.into_owned(),
        })
    }

    /// Shows the open transaction's operations in a state that was folded anew.
    pub(super) fn fold_pending(&mut self, number: HandlerIdx) {
        let Some(open) = self.transaction.as_mut() else {
            return;
        };
        let queue = std::mem::take(&mut open.queue);
        for Queued { op, .. } in queue.iter().filter(|queued| queued.handler == number) {
            let own = self.own;
            match op {
                QueuedOp::FugueBytes { decoded, .. } => {
                    self.with_fugue(number, |fugue, sink| fugue.apply(decoded, sink));
                }
                QueuedOp::Bytes { kind, body } => self.apply_pending(number, *kind, body),
                QueuedOp::Insert {
                    first,
                    len,
                    left,
                    right,
                    content,
                } => {
                    let id = ElementKey {
                        author: own,
                        counter: *first,
                    };
                    let chain = Chain {
                        id,
                        len: *len,
                        units: *len,
                        content: *content,
                        left: *left,
                        right: *right,
                    };
                    self.with_fugue(number, |fugue, sink| fugue.insert(chain, sink));
                }
                QueuedOp::Remove { spans } => {
                    self.with_fugue(number, |fugue, sink| fugue.remove(spans, sink));
                }
            }
        }
        if let Some(open) = self.transaction.as_mut() {
            open.queue = queue;
        }
    }

    /// Makes and applies a change of an operation given as payload bytes (crdt_lf's
    /// `createChange`): at once, even inside a transaction.
    pub fn create_change(&mut self, payload: Vec<u8>) -> Result<Change, DocumentError> {
        self.ensure_open()?;
        self.ensure_editable(payload.len())?;
        let envelope = crate::codec::Envelope::decode(&payload)?;
        let id = envelope.handler_id.to_owned();
        let start = self.log.change_count();
        let now = self.wall_clock.now_ms();
        self.clock = self.clock.local_event(now);
        let key = ChangeKey {
            author: self.own,
            clock: self.clock,
        };
        super::wire::store_foreign(&mut self.log, key, self.frontiers.as_slice(), &payload);
        self.frontiers.replace_all(key);
        self.note_author(self.own);
        self.clock = self.clock.receive_event(now, key.clock);
        self.fold_stored(false);
        self.count_revision(&id);
        self.settle_replays();
        self.note(Origin::Local, &[], start, false);
        Ok(self.log.change(self.log.last_place().expect("just stored")))
    }

    /// Whether a local operation of so many bytes can be stored and gets a clock.
    #[inline]
    pub(super) fn ensure_editable(&self, bytes: usize) -> Result<(), DocumentError> {
        // More clocks than a transaction can have operations.
        const CLOCKS_LEFT_MIN: u64 = 1 << 40;
        if self.clock.to_u64() > Hlc::MAX.to_u64() - CLOCKS_LEFT_MIN {
            return Err(DocumentError::Limit("the clock is at its end"));
        }
        self.ensure_room(bytes)
    }

    pub(super) fn ensure_room(&self, bytes: usize) -> Result<(), DocumentError> {
        match self.log.has_room(bytes) {
            true => Ok(()),
            false => Err(DocumentError::Limit("4 GiB of history in one document")),
        }
    }
}
