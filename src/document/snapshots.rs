//! Snapshots: taking and importing them, and pruning what they cover (specification 8.7, 7).

use super::Document;
use super::handler::State;
use super::handlers::fugue::{FugueBlob, FugueState};
use super::handlers::fugue_body::{Elements, FugueBody};
use super::log::{Operation, Pruned};
use super::types::{CLOCK_AHEAD_MS_MAX, DocumentError, HandlerIdx, Origin};
use crate::clock::{Hlc, PeerId, VersionVector};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{ElementId, Envelope, Snapshot};
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
        for (_, clock) in snapshot.vector().iter() {
            self.check_drift(clock)?;
        }
        let bytes = snapshot.entries().iter().map(|(_, blob)| blob.len()).sum();
        self.ensure_room(bytes)
            .map_err(|_| ApplyError::Limit("4 GiB of history in one document"))?;
        for handler in 0..self.handlers.len() as u32 {
            self.record(HandlerIdx(handler), true);
        }
        if prune {
            self.prune(snapshot.vector());
        }
        let start = self.log.change_count();
        self.snapshot = Some(snapshot.clone());
        self.is_seeded = true;
        self.generation += 1;
        for (_, clock) in snapshot.vector().iter() {
            self.clock = self.clock.receive_event(self.wall_clock.now_ms(), clock);
        }
        for (id, _) in snapshot.entries() {
            match self.find_handler(id) {
                Some(handler) => self.handlers[handler.0 as usize].revision += 1,
                None if id != super::registry::MANIFEST_ID => {
                    *self.early_revisions.entry(id.clone()).or_default() += 1;
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
        Ok(true)
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
        if let Some(type_tag) = self.register_named() {
            if prune {
                return Err(ApplyError::UnknownHandler { type_tag });
            }
        }
        let mut entries = Vec::with_capacity(self.handlers.len());
        for number in self.handlers() {
            entries.push((
                self.handler_id(number).to_owned(),
                self.handler_snapshot_state(number),
            ));
        }
        // Entries of handlers that nobody registered stay as they are.
        if let Some(last) = &self.snapshot {
            for (id, blob) in last.entries() {
                if self.find_handler(id).is_none() && id != super::registry::MANIFEST_ID {
                    entries.push((id.clone(), blob.clone()));
                }
            }
        }
        let snapshot = Snapshot::new(self.vector(), entries);
        if prune {
            let vector = snapshot.vector().clone();
            self.prune(&vector);
        }
        for handler in &mut self.handlers {
            if let State::Fugue(text) = &mut handler.state {
                text.outlives_snapshot = true;
            }
        }
        self.generation += 1;
        Ok(self.snapshot.insert(snapshot))
    }

    /// Forgets changes that both the last snapshot and `protect_until` cover (crdt_lf's
    /// `garbageCollect`); returns how many. O(history).
    pub fn garbage_collect(&mut self, protect_until: &VersionVector) -> Result<u64, DocumentError> {
        self.ensure_open()?;
        let Some(snapshot) = &self.snapshot else {
            return Ok(0);
        };
        let version = VersionVector::intersection([protect_until, snapshot.vector()]);
        let removed = self.prune(&version);
        if removed > 0 {
            self.generation += 1;
        }
        Ok(removed)
    }

    fn prune(&mut self, version: &VersionVector) -> u64 {
        let Some(pruned) = self.rewrite_log(version, false) else {
            return 0;
        };
        self.is_seeded = true;
        self.vector_order.remove_all(&pruned.authors);
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
        log.prune(version, anyway, |old, content| {
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
        match &self.handler_ref(number).state {
            State::Fugue(fugue) => self.fugue_snapshot(number, fugue),
            state => state
                .bytes()
                .map_or_else(Vec::new, |state| state.snapshot_state()),
        }
    }

    fn fugue_snapshot(&self, number: HandlerIdx, fugue: &FugueState) -> Vec<u8> {
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
        let floor = self.counter_floor(number, fugue.elements);
        write_uvarint(&mut blob, floor.len() as u64);
        for (peer, counter) in floor {
            blob.extend_from_slice(peer.bytes());
            write_uvarint(&mut blob, counter);
        }
        blob
    }

    /// The largest element counter that each peer ever used in a sequence, in the order of the
    /// specification (9.9): seeded elements, then what changes produced in replay order, then
    /// peers that only the previous table knows.
    fn counter_floor(&self, number: HandlerIdx, elements: Elements) -> Vec<(PeerId, u64)> {
        let mut floor = Floor::default();
        let blob = self.seed_blob(number, elements);
        for (id, _) in &blob.nodes {
            floor.raise(id.peer, id.counter);
        }
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
                Operation::Other { kind, body } => floor.raise_all(kind, body),
                Operation::Opaque { payload } => {
                    if let Ok(envelope) = Envelope::decode(payload) {
                        floor.raise_all(envelope.kind, envelope.body);
                    }
                }
            });
        }
        for (peer, counter) in blob.floor {
            floor.raise(peer, counter);
        }
        floor.entries
    }

    fn seed_blob(&self, number: HandlerIdx, elements: Elements) -> FugueBlob<'_> {
        let blob = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.entry(self.handler_id(number)));
        blob.and_then(|blob| FugueBlob::decode(blob, elements).ok())
            .unwrap_or_default()
    }

    /// The largest counter of this replica's own elements in a Fugue sequence.
    pub(super) fn largest_own_counter(&self, number: HandlerIdx) -> Option<u32> {
        let elements = self.handler_ref(number).fugue()?.elements;
        let floor = self.counter_floor(number, elements);
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
    fn raise_all(&mut self, kind: u8, body: &[u8]) {
        let _ = FugueBody::for_each_produced(kind, body, |id: ElementId| {
            self.raise(id.peer, id.counter)
        });
    }
}
