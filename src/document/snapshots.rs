//! Snapshots: taking and importing them, and pruning what they cover (specification 8.7, 7).

use super::Document;
use super::handler::State;
use super::handlers::fugue::{FugueBlob, FugueState};
use super::handlers::fugue_body::FugueBody;
use super::handlers::movable_list_body::{MovableBlob, MovableBody, SeededElement};
use super::handlers::state::ByteState as _;
use super::log::{Operation, Pruned};
use super::types::{CLOCK_AHEAD_MS_MAX, HandlerIdx, Origin};
use crate::clock::{AuthorIdx, Hlc, OperationId, PeerId, VersionVector};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{Change, ElementId, Envelope, Snapshot, manifest};
use crate::replica::ApplyError;

impl Document {
    /// Whether [`import_snapshot`](Self::import_snapshot) would take it.
    pub fn should_apply_snapshot(&self, snapshot: &Snapshot) -> bool {
        let own = self.snapshot.as_ref();
        own.is_none_or(|own| {
            snapshot
                .vector()
                .is_strictly_newer_or_equal_than(own.vector())
        })
    }

    /// Makes a snapshot the base of this document, unless it is older than the one it has. With
    /// `prune`, changes that it covers are forgotten; others stay and are replayed on top.
    /// `Ok(false)`: refused, nothing happened. O(history + snapshot).
    pub fn import_snapshot(
        &mut self,
        snapshot: &Snapshot,
        prune: bool,
    ) -> Result<bool, ApplyError> {
        self.ensure_writable()?;
        if !self.should_apply_snapshot(snapshot) {
            return Ok(false);
        }
        self.take_over(snapshot, snapshot.clone(), prune)?;
        Ok(true)
    }

    /// Joins a snapshot with the one this document has (specification 7.3) and makes the result
    /// the base. Per handler the newer state is taken as a whole: what the other one of two
    /// concurrent snapshots has of that handler is lost, unless its changes are still here. With
    /// `prune`, changes that the result covers are forgotten. O(history + snapshots).
    ///
    /// # Errors
    /// `Closed`, `ClockDrift`, `Limit`: nothing happened.
    pub fn merge_snapshot(&mut self, snapshot: &Snapshot, prune: bool) -> Result<(), ApplyError> {
        if self.is_closed() {
            return Err(ApplyError::Closed);
        }
        let base = match self.crdt_lf_snapshot() {
            None => snapshot.clone(),
            Some(own) => own.merged(snapshot),
        };
        self.take_over(snapshot, base, prune)
    }

    /// Makes `base` the last snapshot, because `given` came.
    fn take_over(
        &mut self,
        given: &Snapshot,
        base: Snapshot,
        prune: bool,
    ) -> Result<(), ApplyError> {
        for (_, clock) in given.vector().iter() {
            self.check_drift(clock)?;
        }
        let bytes = base.entries().iter().map(|(_, blob)| blob.len()).sum();
        self.ensure_room(bytes)
            .map_err(|_| ApplyError::Limit("4 GiB of history in one document"))?;
        for handler in 0..self.handlers.len() as u32 {
            self.record(HandlerIdx(handler), true);
        }
        self.note_missing(base.vector());
        if prune {
            self.prune(base.vector());
        }
        let start = self.log.change_count();
        self.snapshot = Some(Box::new(base));
        self.native_base = None;
        self.is_seeded = true;
        self.generation += 1;
        for (_, clock) in given.vector().iter() {
            self.clock = self.clock.receive_event(self.wall_clock.now_ms(), clock);
        }
        for (id, _) in given.entries() {
            match self.find_handler(id) {
                Some(handler) => self.handlers[handler.0 as usize].revision += 1,
                None if id != manifest::KEY => {
                    *self.early_revisions.filled().entry(id.clone()).or_default() += 1;
                }
                None => (),
            }
        }
        self.replay_all();
        if self.log.content.is_mostly_garbage() {
            // Snapshot after snapshot, without changes to prune: the texts of the old ones go.
            self.rewrite_log(&VersionVector::new(), true);
        }
        self.note(Origin::Remote, &[], start, true);
        Ok(())
    }

    /// Notes the changes that a snapshot brings without bringing them as changes.
    pub(super) fn note_missing(&mut self, vector: &VersionVector) {
        for (peer, clock) in vector.iter() {
            let author = self.log.authors.find(&peer);
            let held = author.and_then(|author| self.log.latest(author));
            if held.is_none_or(|held| held < clock) {
                self.pruned.get_or_insert_default().update(peer, clock);
            }
        }
    }

    /// Whether everything that `seen` lacks is still here as changes.
    ///
    /// # Errors
    /// `HistoryPruned`: whoever has only seen `seen` needs the last snapshot, too.
    pub fn ensure_history_since(&self, seen: &VersionVector) -> Result<(), ApplyError> {
        let mut pruned = self.pruned.iter().flat_map(|pruned| pruned.iter());
        match pruned.find(|(peer, clock)| !seen.covers(peer, *clock)) {
            None => Ok(()),
            Some((peer, clock)) => Err(ApplyError::HistoryPruned {
                lost: OperationId::new(peer, clock),
            }),
        }
    }

    /// The stored changes that `seen` does not cover, grouped by author, clocks ascending. Unlike
    /// `changes_newer_than` it never leaves a gap: changes made right after everything was pruned
    /// have no dependencies, and whoever lacks what was pruned would take them without noticing.
    /// O(log n + result).
    ///
    /// # Errors
    /// `HistoryPruned` if changes that `seen` lacks were pruned: the last snapshot is needed, too.
    pub fn export_changes_newer_than(
        &self,
        seen: &VersionVector,
    ) -> Result<Vec<Change>, ApplyError> {
        self.ensure_history_since(seen)?;
        Ok(self.log.newer_than(seen))
    }

    /// Whether a received clock is close enough to the wall clock.
    pub(super) fn check_drift(&self, clock: Hlc) -> Result<(), ApplyError> {
        let drift_ms_max = self
            .clock_drift_ms_max
            .map_or(CLOCK_AHEAD_MS_MAX, i64::from);
        let checked =
            self.clock
                .receive_event_checked(self.wall_clock.now_ms(), clock, drift_ms_max);
        checked.map(|_| ()).map_err(|drift| ApplyError::ClockDrift {
            ahead_ms: drift.ahead_ms,
        })
    }

    /// Takes a snapshot of what is committed and makes it the base; with `prune`, the changes it
    /// covers are forgotten. What is in memory stays: removed elements keep their places for
    /// those who still refer to them. O(document).
    pub(super) fn snapshot_now(&mut self, prune: bool) -> Result<&Snapshot, ApplyError> {
        self.ensure_writable()?;
        if self.in_transaction() {
            // Otherwise uncommitted edits would be in the snapshot and be replayed on top (13.6).
            return Err(ApplyError::InTransaction);
        }
        self.materialise();
        if let Some(type_tag) = self.register_named() {
            // The snapshot would say that it has changes whose effect it lacks.
            return Err(ApplyError::UnknownHandler { type_tag });
        }
        let snapshot = Snapshot::new(self.vector(), self.snapshot_entries()?);
        if prune {
            let vector = snapshot.vector().clone();
            self.prune(&vector);
        }
        for handler in &mut self.handlers {
            match &mut handler.state {
                State::Fugue(text) => text.outlives_snapshot = true,
                State::MovableList(list) => list.outlives_snapshot = true,
                // With its history a state still places late changes as everybody else does.
                state if prune => state
                    .bytes_mut()
                    .into_iter()
                    .for_each(|state| state.history_pruned(&|_| true)),
                _ => (),
            }
        }
        self.generation += 1;
        self.native_base = None;
        Ok(self.snapshot.insert(Box::new(snapshot)))
    }

    /// The states of all handlers, and the list of handlers if references may need it.
    fn snapshot_entries(&self) -> Result<Vec<(String, Vec<u8>)>, ApplyError> {
        let mut entries = Vec::with_capacity(self.handlers.len() + 1);
        for number in self.handlers() {
            let id = self.handler_id(number).to_owned();
            if let State::Custom(custom) = &self.handler_ref(number).state {
                let saved = custom.save();
                let blob = saved.map_err(|error| ApplyError::Custom {
                    handler_id: id.clone(),
                    message: error.0,
                })?;
                entries.push((id, blob));
            } else {
                entries.push((id, self.handler_snapshot_state(number)));
            }
        }
        // Entries of handlers that nobody registered stay as they are.
        if let Some(last) = &self.snapshot {
            for (id, blob) in last.entries() {
                if self.find_handler(id).is_none() && id != manifest::KEY {
                    entries.push((id.clone(), blob.clone()));
                }
            }
        }
        let known = self.manifest();
        let has_containers = self
            .handlers
            .iter()
            .any(|handler| handler.kind.is_container());
        if has_containers || !known.is_empty() {
            let own = self.handlers().map(|number| {
                let (id, type_tag) = (self.handler_id(number), self.handler_type(number));
                (id, type_tag)
            });
            let others = known
                .iter()
                .filter(|(id, _)| self.find_handler(id).is_none());
            let all: Vec<(&str, &str)> = own
                .chain(others.map(|(id, type_tag)| (id.as_str(), type_tag.as_str())))
                .collect();
            entries.push((manifest::KEY.to_owned(), manifest::encode(all.into_iter())));
        }
        Ok(entries)
    }

    /// Forgets changes that both the last snapshot and `protect_until` cover (crdt_lf's
    /// `garbageCollect`); returns how many. O(history).
    pub fn garbage_collect(&mut self, protect_until: &VersionVector) -> u64 {
        let Some(snapshot) = self.snapshot.as_ref().filter(|_| self.timeline.is_none()) else {
            return 0;
        };
        let version = VersionVector::intersection([protect_until, snapshot.vector()]);
        let removed = self.prune(&version);
        if removed > 0 {
            self.generation += 1;
        }
        removed
    }

    fn prune(&mut self, version: &VersionVector) -> u64 {
        let Some(pruned) = self.rewrite_log(version, false) else {
            return 0;
        };
        for handler in &mut self.handlers {
            if let Some(state) = handler.state.bytes_mut() {
                state.forget(&|order| version.covers(&order.peer, order.hlc));
            }
        }
        self.is_seeded = true;
        let lost = self.pruned.get_or_insert_default();
        for (author, clock) in &pruned.authors {
            lost.update(self.log.authors.peer(*author), *clock);
        }
        let authors: Vec<AuthorIdx> = pruned.authors.iter().map(|(author, _)| *author).collect();
        self.vector_order.remove_all(&authors);
        if let Some(open) = &mut self.transaction {
            open.start = pruned.mark;
        }
        self.frontiers = pruned.frontiers.into_iter().collect();
        pruned.removed
    }

    fn rewrite_log(&mut self, version: &VersionVector, anyway: bool) -> Option<Pruned> {
        let Document {
            log,
            handlers,
            transaction,
            ..
        } = self;
        let mark = transaction.as_ref().map_or(0, |open| open.start);
        log.prune(version, anyway, mark, |old, content| {
            handlers
                .iter_mut()
                .for_each(|handler| handler.move_content(&old.content, content));
            if let Some(open) = transaction {
                open.move_content(|place, units| content.copy_from(&old.content, place, units));
            }
        })
    }

    /// The snapshot blob of a handler: its committed state (specification 9.5 to 9.10).
    pub fn handler_snapshot_state(&self, number: HandlerIdx) -> Vec<u8> {
        let mut blob = match &self.handler_ref(number).state {
            State::Fugue(fugue) => self.fugue_elements(fugue),
            State::MovableList(list) => list.snapshot_state(),
            state => {
                let state = state.bytes();
                return state.map_or_else(Vec::new, |state| state.snapshot_state());
            }
        };
        let floor = self.counter_floor(number);
        write_uvarint(&mut blob, floor.len() as u64);
        for (peer, counter) in floor {
            blob.extend_from_slice(peer.bytes());
            write_uvarint(&mut blob, counter);
        }
        blob
    }

    fn fugue_elements(&self, fugue: &FugueState) -> Vec<u8> {
        let mut blob = Vec::new();
        let live: u64 = fugue
            .sequence
            .live_runs()
            .map(|(_, len, ..)| u64::from(len))
            .sum();
        write_uvarint(&mut blob, live);
        let (mut id, mut bytes) = (Vec::new(), Vec::new());
        for (key, len, content, run_units) in fugue.sequence.live_runs() {
            let per_element = if len == run_units { 1 } else { run_units };
            for nth in 0..len {
                id.clear();
                self.log.write_element(key.plus(nth), &mut id);
                write_prefixed(&mut blob, &id);
                let content = content.plus(nth * per_element);
                bytes.clear();
                fugue.write_content(&self.log.content, content, per_element, &mut bytes);
                write_prefixed(&mut blob, &bytes);
            }
        }
        blob
    }

    /// The largest element counters of a Fugue sequence, see below; none of others.
    pub(super) fn counter_floor_of(&self, number: HandlerIdx) -> Vec<(PeerId, u64)> {
        let fugue = self.handler_ref(number).fugue();
        fugue.map_or_else(Vec::new, |_| self.counter_floor(number))
    }

    /// The largest element counter that each peer ever used in a sequence, in the order of the
    /// specification (9.9): seeded elements, then what changes produced in replay order, then
    /// peers that only the previous table knows.
    fn counter_floor(&self, number: HandlerIdx) -> Vec<(PeerId, u64)> {
        let mut floor = Floor::default();
        let (seeded, known) = self.seeded_ids(number);
        for id in seeded {
            floor.raise(id.peer, id.counter);
        }
        let state = &self.handler_ref(number).state;
        let name = self.handler_ref(number).name;
        for (_, place, count) in self.log.stretches(name, |key| !self.is_covered(key)) {
            let author = self.log.author_of(place);
            self.log.with_operation(place, |op| match op {
                Operation::Insert { first, len, .. } => {
                    // Changes of one row have as many elements each.
                    floor.raise(
                        self.log.authors.peer(author),
                        u64::from(first) + u64::from(len) * u64::from(count) - 1,
                    );
                }
                Operation::Remove { .. } => (),
                Operation::Other { kind, body } => floor.raise_all(state, kind, body),
                Operation::Opaque { payload } => {
                    if let Ok(envelope) = Envelope::decode(payload) {
                        floor.raise_all(state, envelope.kind, envelope.body);
                    }
                }
            });
        }
        for (peer, counter) in known {
            floor.raise(peer, counter);
        }
        floor.entries
    }

    /// The ids of the elements that the snapshot has, and its floor table.
    fn seeded_ids(&self, number: HandlerIdx) -> (Vec<ElementId>, Vec<(PeerId, u64)>) {
        if let Some(floor) = self.native_floor(number) {
            return (Vec::new(), floor);
        }
        let handler = self.handler_ref(number);
        let entry = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.entry(&handler.id));
        match (entry, &handler.state) {
            (Some(entry), State::Fugue(fugue)) => {
                let blob = FugueBlob::decode(entry, fugue.elements).unwrap_or_default();
                (blob.nodes.iter().map(|(id, _)| *id).collect(), blob.floor)
            }
            (Some(entry), State::MovableList(_)) => {
                let blob = MovableBlob::decode(entry, handler.codec).unwrap_or_default();
                let ids = |element: &SeededElement| [element.identity, element.position];
                let ids = blob.elements.iter().flat_map(ids).flatten();
                (ids.collect(), blob.floor)
            }
            _ => Default::default(),
        }
    }

    /// The largest counter of this replica's own elements in a Fugue sequence.
    pub(super) fn largest_own_counter(&self, number: HandlerIdx) -> Option<u32> {
        self.handler_ref(number).fugue()?;
        let floor = self.counter_floor(number);
        let own = floor.iter().find(|(peer, _)| *peer == self.peer)?;
        Some(own.1.min(u64::from(u32::MAX)) as u32)
    }
}

/// Peers and their largest counters in order of first appearance.
#[derive(Default)]
struct Floor {
    entries: Vec<(PeerId, u64)>,
}

impl Floor {
    fn raise(&mut self, peer: PeerId, counter: u64) {
        match self.entries.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, largest)) => *largest = counter.max(*largest),
            None => self.entries.push((peer, counter)),
        }
    }

    /// The ids that a body produces: inserted ones and replacements.
    fn raise_all(&mut self, state: &State, kind: u8, body: &[u8]) {
        let raise = |id: ElementId| self.raise(id.peer, id.counter);
        // What comes before an unreadable part counts.
        let _ = match state {
            State::MovableList(_) => MovableBody::for_each_produced(kind, body, raise),
            _ => FugueBody::for_each_produced(kind, body, raise),
        };
    }
}
