//! Taking in what others made: single changes, batches in any order, and the replica's interface
//! for `sync` and `store` (specification 8.4 to 8.6).

use super::Document;
use super::incoming::{Incoming, in_causal_order};
use super::log::{ChangeKey, NameIdx};
use super::types::{DocumentError, HandlerIdx, ImportOptions, Origin, WallClock};
use super::wire::store_foreign;
use crate::clock::{OperationId, VersionVector};
use crate::codec::change::decode_list_views;
use crate::codec::{Change, Snapshot};
use crate::replica::{ApplyError, ImportOutcome, Replica};

/// Imports of more changes record text by comparing before and after.
const RECORDED_SINGLY_MAX: usize = 256;

impl Document {
    /// Applies one change, whatever the version vector says (crdt_lf's `applyChange`).
    /// `Ok(false)`: it is stored already, or covered by the last snapshot.
    pub fn apply_change(&mut self, change: &Change, tag: &[u8]) -> Result<bool, ApplyError> {
        self.ensure_importable(std::slice::from_ref(change))?;
        let start = self.log.change_count();
        if !self.store(change, self.wall_clock.now_ms())? {
            return Ok(false);
        }
        self.fold_or_instantiate(false);
        if let Ok(envelope) = change.envelope() {
            self.count_revision(envelope.handler_id);
        }
        self.settle_replays();
        self.note(Origin::Remote, tag, start, false);
        Ok(true)
    }

    /// Imports changes in any order. Those that the version vector covers are known; those whose
    /// dependencies are missing are counted and forgotten. O(log n) per change, and once the
    /// history of a handler that only a replay brings into order.
    ///
    /// # Errors
    /// `Closed`, `ClockDrift`, `Limit`: then nothing was imported.
    pub fn import_changes(
        &mut self,
        changes: Vec<Change>,
        tag: &[u8],
        origin: Origin,
    ) -> Result<ImportOutcome, ApplyError> {
        self.import_all(changes, tag, origin)
    }

    /// As [`import_changes`](Self::import_changes), from the bytes of an export
    /// (crdt_lf's `binaryImportChanges`), without a copy of each change.
    ///
    /// # Errors
    /// `Decode` if anything in the bytes is malformed, else as for `import_changes`: then nothing
    /// was imported.
    pub fn import_list(
        &mut self,
        bytes: &[u8],
        tag: &[u8],
        origin: Origin,
    ) -> Result<ImportOutcome, DocumentError> {
        let changes = decode_list_views(bytes)?;
        Ok(self.import_all(changes, tag, origin)?)
    }

    /// Imports a snapshot, if one is given, and then changes (crdt_lf's `import`). If the snapshot
    /// is refused as older than the own one, so are the changes: the outcome says that nothing was
    /// applied.
    ///
    /// # Errors
    /// As for `import_snapshot` and `import_changes`: then nothing was imported.
    pub fn import_with(
        &mut self,
        snapshot: Option<&Snapshot>,
        changes: Vec<Change>,
        options: ImportOptions,
    ) -> Result<ImportOutcome, ApplyError> {
        let mut snapshot_applied = false;
        if let Some(snapshot) = snapshot {
            // Whatever would refuse the changes refuses the snapshot, too.
            self.ensure_importable(&changes)?;
            if options.merge {
                self.merge_snapshot(snapshot, options.prune)?;
            } else if !self.import_snapshot(snapshot, options.prune)? {
                return Ok(ImportOutcome::default());
            }
            snapshot_applied = true;
        }
        let outcome = self.import_changes(changes, &[], Origin::Remote)?;
        Ok(ImportOutcome {
            snapshot_applied,
            ..outcome
        })
    }

    fn import_all<C: Incoming>(
        &mut self,
        mut changes: Vec<C>,
        tag: &[u8],
        origin: Origin,
    ) -> Result<ImportOutcome, ApplyError> {
        self.ensure_importable(&changes)?;
        let start = self.log.change_count();
        let mut outcome = ImportOutcome::default();
        let many = changes.len() > RECORDED_SINGLY_MAX;
        let mut touched = vec![false; self.handlers.len()];
        let mut unfolded = NameIdx::NONE;
        let mut clock = ImportClock::new(self.wall_clock);
        self.retain_unseen(&mut changes);
        for change in in_causal_order(changes) {
            match self.store(&change, clock.now_ms()) {
                Ok(true) => {
                    outcome.applied += 1;
                    match self.fold_or_instantiate(many) {
                        Some(handler) => {
                            touched.resize(self.handlers.len(), false);
                            touched[handler.0 as usize] = true;
                        }
                        None => self.touch_named(&mut unfolded, &mut touched),
                    }
                }
                Ok(false) => (),
                Err(_) => outcome.not_ready += 1,
            }
        }
        if outcome.applied > 0 {
            for (handler, _) in self
                .handlers
                .iter_mut()
                .zip(touched)
                .filter(|(_, touched)| *touched)
            {
                handler.revision += 1;
            }
            self.settle_replays();
            self.note(origin, tag, start, false);
        }
        Ok(outcome)
    }

    fn ensure_importable<C: Incoming>(&self, changes: &[C]) -> Result<(), ApplyError> {
        self.ensure_writable()?;
        let bytes = changes
            .iter()
            .map(|change| change.payload().len() + 64)
            .sum();
        self.ensure_room(bytes)
            .map_err(|_| ApplyError::Limit("4 GiB of history in one document"))?;
        let latest = changes.iter().map(|change| change.id().hlc).max();
        latest.map_or(Ok(()), |latest| self.check_drift(latest))
    }

    /// Drops changes that the version vector covers.
    fn retain_unseen<C: Incoming>(&self, changes: &mut Vec<C>) {
        changes.retain(|change| {
            let id = change.id();
            let seen = match self.log.authors.find(&id.peer) {
                Some(author) => self.seen(author),
                None => self
                    .snapshot
                    .as_ref()
                    .and_then(|snapshot| snapshot.vector().get(&id.peer)),
            };
            seen.is_none_or(|seen| id.hlc > seen)
        });
    }

    /// Stores a change if it is new and ready (specification 8.4).
    fn store<C: Incoming>(&mut self, change: &C, now_ms: i64) -> Result<bool, ApplyError> {
        let id = change.id();
        if let Some(author) = self.log.authors.find(&id.peer) {
            if self
                .log
                .find(ChangeKey {
                    author,
                    clock: id.hlc,
                })
                .is_some()
            {
                return Ok(false);
            }
        }
        if self
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.vector().covers(&id.peer, id.hlc))
        {
            return Ok(false);
        }
        let mut deps = change.deps();
        match (deps.len(), deps.next()) {
            // Most changes have one dependency: no list of it in memory.
            (1, Some(dep)) => {
                let dep = self.ready_key(&dep)?;
                self.store_ready(id, &[dep], change.payload(), now_ms);
            }
            (_, first) => {
                let all = first.into_iter().chain(deps);
                let deps: Result<Vec<ChangeKey>, _> = all.map(|dep| self.ready_key(&dep)).collect();
                self.store_ready(id, &deps?, change.payload(), now_ms);
            }
        }
        Ok(true)
    }

    fn store_ready(&mut self, id: OperationId, deps: &[ChangeKey], payload: &[u8], now_ms: i64) {
        let author = self.log.authors.intern(id.peer);
        let key = ChangeKey {
            author,
            clock: id.hlc,
        };
        store_foreign(&mut self.log, key, deps, payload);
        self.frontiers.replace(deps, key);
        self.note_author(author);
        self.clock = self.clock.receive_event(now_ms, key.clock);
    }

    /// The key of a dependency that is stored or covered by the snapshot.
    pub(super) fn ready_key(&mut self, dep: &OperationId) -> Result<ChangeKey, ApplyError> {
        if let Some(key) = self.key_of(dep) {
            if self.frontiers.contains(key) || self.log.find(key).is_some() {
                return Ok(key);
            }
        }
        let covered = self
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.vector().covers(&dep.peer, dep.hlc));
        if !covered {
            return Err(ApplyError::NotReady { missing: *dep });
        }
        Ok(ChangeKey {
            author: self.log.authors.intern(dep.peer),
            clock: dep.hlc,
        })
    }

    /// Folds the change stored last into its handler, which is made now if its type is registered.
    fn fold_or_instantiate(&mut self, many: bool) -> Option<HandlerIdx> {
        self.fold_stored(many).or_else(|| self.instantiate_stored())
    }

    /// Folds the change stored last into its handler, if it is registered.
    pub(super) fn fold_stored(&mut self, many: bool) -> Option<HandlerIdx> {
        let (place, key) = (self.log.last_place()?, self.log.last_change()?);
        let number = self.handler_of_name(self.log.name_of(place))?;
        self.record(number, many);
        // What the open transaction shows already will be the younger change.
        let queued = self.first_queued(number);
        let handler = &mut self.handlers[number.0 as usize];
        let was_settled = !handler.out_of_order;
        if handler.fold(place, key, &mut self.log, self.own) || queued.is_some() {
            handler.note_late(place, key, &self.log, self.own, queued.flatten());
            if was_settled {
                self.unsettled.filled().push(number);
            }
        }
        Some(number)
    }

    /// The change stored last was folded by nobody: its id may be registered with another type.
    /// `last` is the name that was looked up before.
    fn touch_named(&self, last: &mut NameIdx, touched: &mut [bool]) {
        let name = self
            .log
            .last_place()
            .map_or(NameIdx::NONE, |place| self.log.name_of(place));
        if name == *last || name == NameIdx::NONE {
            return;
        }
        *last = name;
        if let Some(handler) = self.find_handler(&self.log.name(name).id) {
            touched[handler.0 as usize] = true;
        }
    }

    pub(super) fn count_revision(&mut self, id: &str) {
        if let Some(handler) = self.find_handler(id) {
            self.handlers[handler.0 as usize].revision += 1;
        }
    }

    /// Settles the handlers for which the order of arrival mattered, or replays them.
    pub(super) fn settle_replays(&mut self) {
        for number in self.unsettled.take() {
            let handler = &mut self.handlers[number.0 as usize];
            if let Some(state) = handler.state.bytes_mut() {
                state.settle(&mut handler.recorder);
            }
            if self.handlers[number.0 as usize].needs_replay() {
                self.replay(number);
            }
            self.handlers[number.0 as usize].out_of_order = false;
        }
    }
}

/// Physical time during an import, read now and then: a reading costs as much as a small change.
struct ImportClock {
    source: WallClock,
    now_ms: i64,
    left: u32,
}

impl ImportClock {
    /// Changes per reading: far less than a millisecond's work.
    const CHANGES: u32 = 256;

    fn new(source: WallClock) -> Self {
        ImportClock {
            source,
            now_ms: 0,
            left: 0,
        }
    }

    fn now_ms(&mut self) -> i64 {
        if self.left == 0 {
            self.left = Self::CHANGES;
            self.now_ms = self.source.now_ms();
        }
        self.left -= 1;
        self.now_ms
    }
}

impl Replica for Document {
    fn version_vector(&self) -> VersionVector {
        self.vector()
    }

    fn last_snapshot(&self) -> Option<&Snapshot> {
        self.crdt_lf_snapshot()
    }

    fn change_count(&self) -> usize {
        usize::try_from(self.log.change_count()).unwrap_or(usize::MAX)
    }

    fn changes_newer_than(&self, seen: &VersionVector) -> Vec<Change> {
        self.log.newer_than(seen)
    }

    fn all_changes(&self) -> Vec<Change> {
        let mut out = Vec::new();
        self.log.for_each_from(0, |_, _, change| {
            out.push(change.clone());
            true
        });
        out
    }

    fn apply(&mut self, change: Change) -> Result<bool, ApplyError> {
        let author = self.log.authors.find(&change.id.peer);
        if author
            .and_then(|author| self.seen(author))
            .is_some_and(|seen| change.id.hlc <= seen)
        {
            return Ok(false);
        }
        self.apply_change(&change, &[])
    }

    fn import(
        &mut self,
        snapshot: Option<&Snapshot>,
        changes: Vec<Change>,
    ) -> Result<ImportOutcome, ApplyError> {
        self.import_with(snapshot, changes, ImportOptions::default())
    }

    fn take_snapshot(&mut self, prune: bool) -> Result<&Snapshot, ApplyError> {
        self.snapshot_now(prune)
    }
}
