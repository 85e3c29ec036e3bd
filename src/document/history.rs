//! Time travel (specification 8.11): a read-only document that shows the first changes in replay
//! order on top of the snapshot, and whose cursor moves.
//!
//! The view is a document like any other into which the changes of a frozen log are stored one by
//! one: values, heads, revisions, counts and exports follow the cursor by themselves.

use super::Document;
use super::handler::{Handler, Visible};
use super::log::{ChangeKey, Log, NameIdx, Place};
use super::timeline::{Checkpoint, Timeline};
use super::types::{DocumentError, DocumentOptions, HandlerIdx, Origin};
use crate::clock::VersionVector;
use crate::codec::Snapshot;

impl Document {
    /// A history of this document as it is now (crdt_lf's `toTimeTravel`): a read-only document
    /// with the same ids and handlers, whose cursor stands at the end. An open transaction is not
    /// part of it. O(document), and once a sort of its changes.
    ///
    /// Values are canonical: what any peer shows that folds the same changes on top of the same
    /// snapshot. Changes that the snapshot covers and that are still stored occupy places of the
    /// line without effect.
    pub fn to_history(&self) -> Document {
        let source = self.log.clone();
        let mut view = self.view_of(source.without_changes(), self.snapshot.clone());
        let timeline = Timeline::new(source, view.checkpoint(0));
        let end = timeline.length();
        view.move_line(timeline, end);
        view
    }

    /// A document like this one with an empty log, whose handlers show the snapshot alone.
    pub(super) fn view_of(&self, log: Log, snapshot: Option<Box<Snapshot>>) -> Document {
        let mut view = Document::new(DocumentOptions {
            document_id: self.id.to_string(),
            peer_id: Some(self.peer),
            initial_clock: self.clock,
            wall_clock: self.wall_clock,
            clock_drift_ms_max: self.clock_drift_ms_max,
        });
        view.log = log;
        view.own = self.own;
        view.is_seeded = self.is_seeded || snapshot.is_some();
        view.snapshot = snapshot;
        view.factories = self.factories.clone();
        for handler in &self.handlers {
            view.adopt_handler(handler.anew());
        }
        view.replay_all();
        view
    }

    /// The line that this document moves along, if it shows a history.
    pub fn history(&self) -> Option<&Timeline> {
        self.timeline.as_deref()
    }

    /// Shows the first `cursor` changes. `Ok(false)`: that is where it stands, or there are not so
    /// many; nothing happened. Forwards O(log n) per change; backwards as far as from the nearest
    /// checkpoint, and a copy of that.
    ///
    /// # Errors
    /// `NoHistory`; `Closed`.
    pub fn history_jump(&mut self, cursor: u64) -> Result<bool, DocumentError> {
        let timeline = self.take_timeline()?;
        let is_there = timeline.is_on_line && timeline.cursor == cursor;
        if is_there || cursor > timeline.length() {
            self.timeline = Some(timeline);
            return Ok(false);
        }
        self.travel(*timeline, |view, timeline| view.move_line(timeline, cursor));
        Ok(true)
    }

    /// One change on. As [`history_jump`](Self::history_jump).
    pub fn history_next(&mut self) -> Result<bool, DocumentError> {
        let cursor = self.history().ok_or(DocumentError::NoHistory)?.cursor();
        self.history_jump(cursor + 1)
    }

    /// One change back. As [`history_jump`](Self::history_jump).
    pub fn history_previous(&mut self) -> Result<bool, DocumentError> {
        let cursor = self.history().ok_or(DocumentError::NoHistory)?.cursor();
        cursor
            .checked_sub(1)
            .map_or(Ok(false), |cursor| self.history_jump(cursor))
    }

    /// Shows all changes made up to a time, in milliseconds since 1970 by the writers' clocks. As
    /// [`history_jump`](Self::history_jump).
    pub fn history_jump_to_time(&mut self, time_ms: i64) -> Result<bool, DocumentError> {
        let timeline = self.history().ok_or(DocumentError::NoHistory)?;
        let cursor = timeline.cursor_at_time(time_ms);
        self.history_jump(cursor)
    }

    /// Shows the changes that a version covers, whether or not they are the first ones in replay
    /// order. The cursor is then their number. O(history).
    ///
    /// # Errors
    /// `Forgotten` if the version lacks changes that only the snapshot has; `NoHistory`; `Closed`.
    pub fn history_jump_to_version(
        &mut self,
        version: &VersionVector,
    ) -> Result<bool, DocumentError> {
        if self.snapshot_exceeds(version) {
            return Err(DocumentError::Forgotten);
        }
        let timeline = self.take_timeline()?;
        self.travel(*timeline, |view, mut timeline| {
            let prefix = timeline.covered_prefix(version);
            view.move_to(&mut timeline, prefix);
            let mut at = prefix;
            while at < timeline.length() {
                let keys = timeline.keys_at(at, timeline.length());
                for (nth, key) in keys.into_iter().enumerate() {
                    let id = timeline.source.operation_id(key);
                    if version.covers(&id.peer, id.hlc) {
                        view.store_from_line(&timeline, at + nth as u64, key);
                    }
                }
                at = timeline.end_of_stretch(at);
            }
            timeline.cursor = view.log.change_count();
            timeline.is_on_line = timeline.cursor == prefix;
            view.timeline = Some(Box::new(timeline));
        });
        Ok(true)
    }

    /// Whether the snapshot has changes that a version lacks.
    pub(super) fn snapshot_exceeds(&self, version: &VersionVector) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| {
            let mut entries = snapshot.vector().iter();
            entries.any(|(peer, clock)| !version.covers(&peer, clock))
        })
    }

    /// An editable document of another writer with what this one shows: its changes, snapshot and
    /// handlers, not its open transaction. Of a history it is a copy at the cursor. O(history).
    ///
    /// `options` must not name the peer of a writer that goes on elsewhere.
    pub fn fork(&self, options: DocumentOptions) -> Document {
        let mut fork = Document::new(options);
        let (peer, clock) = (fork.peer, fork.clock.max(self.clock));
        fork.log = self.log.clone();
        fork.own = fork.log.authors.intern(peer);
        fork.clock = clock;
        fork.frontiers = self.frontiers.clone();
        fork.vector_order = self.vector_order.clone();
        fork.snapshot = self.snapshot.clone();
        fork.is_seeded = self.is_seeded;
        fork.factories = self.factories.clone();
        fork.early_revisions = self.early_revisions.clone();
        for handler in &self.handlers {
            let mut copy = handler.anew();
            copy.revision = handler.revision;
            fork.adopt_handler(copy);
        }
        for number in 0..fork.handlers.len() as u32 {
            fork.refold(HandlerIdx(number));
        }
        fork
    }

    fn take_timeline(&mut self) -> Result<Box<Timeline>, DocumentError> {
        if self.closed {
            return Err(DocumentError::Closed);
        }
        self.timeline.take().ok_or(DocumentError::NoHistory)
    }

    /// Moves, and records what changed for those who observe.
    fn travel(&mut self, timeline: Timeline, body: impl FnOnce(&mut Self, Timeline)) {
        let watched: Vec<(HandlerIdx, Visible)> = match self.recording {
            false => Vec::new(),
            true => self
                .handlers()
                .filter(|number| {
                    self.observers_of_all > 0 || self.handler_ref(*number).observers > 0
                })
                .map(|number| (number, self.handler_ref(number).visible(&self.log.content)))
                .collect(),
        };
        let recording = std::mem::replace(&mut self.recording, false);
        body(self, timeline);
        self.recording = recording;
        for (number, before) in watched {
            self.record(number, false);
            self.handlers[number.0 as usize].record_difference(before, &self.log.content);
        }
        let start = self.log.change_count();
        self.generation += 1;
        self.note(Origin::History, &[], start, false);
    }

    /// Moves to a cursor of the line and takes the line back.
    fn move_line(&mut self, mut timeline: Timeline, target: u64) {
        self.move_to(&mut timeline, target);
        self.timeline = Some(Box::new(timeline));
    }

    fn move_to(&mut self, timeline: &mut Timeline, target: u64) {
        let goes_back = !timeline.is_on_line || target < timeline.cursor;
        let mut mark = None;
        if goes_back {
            self.restore(timeline, target);
            // Whoever goes back once will go on; others need no checkpoints.
            mark = timeline.next_checkpoint(timeline.cursor, target);
        }
        while timeline.cursor < target {
            let stop = mark.unwrap_or(target);
            let mut at = timeline.cursor;
            for key in timeline.keys_at(at, stop) {
                self.store_from_line(timeline, at, key);
                at += 1;
            }
            timeline.cursor = at;
            if mark == Some(at) {
                timeline.add_checkpoint(self.checkpoint(at), target);
                mark = timeline.next_checkpoint(at, target);
            }
        }
    }

    fn store_from_line(&mut self, timeline: &Timeline, cursor: u64, key: ChangeKey) {
        let place = timeline.place_at(cursor);
        let deps = timeline.source.deps_of(place);
        self.store_copy(&timeline.source, place, key, &deps);
    }

    /// Stores a change of a log that numbers authors and handlers as this one, and folds it.
    pub(super) fn store_copy(
        &mut self,
        source: &Log,
        place: Place,
        key: ChangeKey,
        deps: &[ChangeKey],
    ) {
        self.log.copy_change(source, place, key, deps);
        self.frontiers.replace(deps, key);
        self.note_author(key.author);
        if !self.is_covered(key) {
            self.fold_stored(false);
        }
        let name = source.name_of(place);
        if name == NameIdx::NONE {
            return;
        }
        let number = self
            .handler_of_name(name)
            .or_else(|| self.find_handler(&self.log.name(name).id));
        if let Some(number) = number {
            self.handlers[number.0 as usize].revision += 1;
        }
    }

    fn checkpoint(&self, cursor: u64) -> Checkpoint {
        Checkpoint {
            cursor,
            log: self.log.clone(),
            frontiers: self.frontiers.clone(),
            vector_order: self.vector_order.clone(),
            handlers: self.handlers.clone(),
        }
    }

    /// Goes back to the last checkpoint that is not behind `target`.
    fn restore(&mut self, timeline: &mut Timeline, target: u64) {
        let tags: Vec<Box<str>> = self
            .handlers
            .iter()
            .map(|handler| self.log.name(handler.name).type_tag.clone())
            .collect();
        let checkpoint = timeline.checkpoint_before(target);
        self.log = checkpoint.log.clone();
        self.frontiers = checkpoint.frontiers.clone();
        self.vector_order = checkpoint.vector_order.clone();
        let now = std::mem::replace(&mut self.handlers, checkpoint.handlers.clone());
        let cursor = checkpoint.cursor;
        let mut is_stale = false;
        for (number, handler) in now.into_iter().enumerate() {
            let known = self.handlers.get(number);
            if known.is_some_and(|known| known.codec == handler.codec) {
                self.handlers[number].observers = handler.observers;
                continue;
            }
            // It was registered, or its codec became known, behind the checkpoint.
            is_stale = true;
            self.register_again(number, &tags[number], handler);
        }
        timeline.cursor = cursor;
        timeline.is_on_line = true;
        if is_stale {
            let fresh = self.checkpoint(cursor);
            *timeline.checkpoint_before(cursor) = fresh;
        }
    }

    /// Puts a handler in its place among those of a checkpoint that lacks it, or has it with
    /// another codec. The checkpoint's log numbers its name as every other does: names are given
    /// out in the order of registration.
    fn register_again(&mut self, number: usize, tag: &str, handler: Handler) {
        let name = self.log.intern(tag, &handler.id);
        debug_assert_eq!(name, handler.name);
        let mut again = handler.anew();
        again.observers = handler.observers;
        again.revision = self.handler_change_count(&handler.id);
        match self.handlers.get_mut(number) {
            Some(known) => *known = again,
            None => self.handlers.push(again),
        }
        self.replay(HandlerIdx(number as u32));
    }
}
