//! The oracle: a document that is a list of changes and knows no handlers.

use std::collections::BTreeSet;
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::change::{decode_list, encode_list};
use syncline::codec::{Change, Envelope, Snapshot};
use syncline::replica::{ApplyError, ImportOutcome, Replica};

/// A document as the specification describes it (crdt_lf 8; crdt_socket_sync 2.4, 4.4, 5.4), with
/// linear searches everywhere. Its snapshots hold the changes themselves, so that no content can
/// hide: see [`ids`](Self::ids).
#[derive(Clone, Debug, Default)]
pub struct Model {
    changes: Vec<Change>,
    snapshot: Option<Snapshot>,
    /// The version of the changes and the snapshot.
    vector: VersionVector,
    /// For local changes: the changes nothing depends on.
    heads: BTreeSet<OperationId>,
    clock: Hlc,
}

const ENTRY: &str = "changes";

impl Model {
    /// A local change with some bytes of body.
    pub fn commit(&mut self, peer: PeerId, now_ms: i64, body: &[u8]) -> OperationId {
        self.clock = self.clock.local_event(now_ms);
        let envelope = Envelope {
            handler_type: "Model",
            handler_id: "model",
            kind: 0,
            body,
        };
        let mut payload = Vec::new();
        envelope.encode(&mut payload);
        let id = OperationId::new(peer, self.clock);
        let deps = self.heads.iter().copied().collect();
        assert_eq!(self.apply(Change { id, deps, payload }), Ok(true));
        id
    }

    /// Every change whose content is here, be it in a snapshot of a model.
    pub fn ids(&self) -> BTreeSet<OperationId> {
        let entry = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.entry(ENTRY));
        let inside = entry.map(|bytes| decode_list(bytes).expect("a model's snapshot"));
        let inside = inside.unwrap_or_default();
        inside
            .iter()
            .chain(&self.changes)
            .map(|change| change.id)
            .collect()
    }

    /// Takes over a snapshot that a peer made at this version, as `takeSnapshot` would.
    pub fn set_snapshot(&mut self, vector: VersionVector) {
        self.vector.merge(&vector);
        self.snapshot = Some(Snapshot::new(vector, Vec::new()));
    }

    fn ready(&self, change: &Change) -> Result<(), OperationId> {
        for dep in &change.deps {
            let stored = self.changes.iter().any(|other| other.id == *dep);
            let covered = self
                .snapshot
                .as_ref()
                .is_some_and(|snapshot| snapshot.vector().covers(&dep.peer, dep.hlc));
            if !stored && !covered {
                return Err(*dep);
            }
        }
        Ok(())
    }

    fn prune(&mut self, vector: &VersionVector) {
        self.changes
            .retain(|change| !vector.covers(&change.id.peer, change.id.hlc));
        self.heads.retain(|id| !vector.covers(&id.peer, id.hlc));
    }
}

impl Replica for Model {
    fn version_vector(&self) -> VersionVector {
        self.vector.clone()
    }

    fn last_snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    fn changes_newer_than(&self, seen: &VersionVector) -> Vec<Change> {
        let unseen = |change: &&Change| !seen.covers(&change.id.peer, change.id.hlc);
        let mut newer: Vec<Change> = self.changes.iter().filter(unseen).cloned().collect();
        newer.sort_by_key(|change| (change.id.peer, change.id.hlc));
        newer
    }

    fn all_changes(&self) -> Vec<Change> {
        self.changes.clone()
    }

    fn apply(&mut self, change: Change) -> Result<bool, ApplyError> {
        if self.vector.covers(&change.id.peer, change.id.hlc) {
            return Ok(false);
        }
        self.ready(&change)
            .map_err(|missing| ApplyError::NotReady { missing })?;
        for dep in &change.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(change.id);
        self.clock = self.clock.max(change.id.hlc);
        self.vector.update(change.id.peer, change.id.hlc);
        self.changes.push(change);
        Ok(true)
    }

    fn import(
        &mut self,
        snapshot: Option<&Snapshot>,
        changes: Vec<Change>,
    ) -> Result<ImportOutcome, ApplyError> {
        let mut outcome = ImportOutcome::default();
        if let Some(snapshot) = snapshot {
            let newer = self.snapshot.as_ref().is_none_or(|own| {
                snapshot
                    .vector()
                    .is_strictly_newer_or_equal_than(own.vector())
            });
            if !newer {
                return Ok(outcome);
            }
            self.prune(snapshot.vector());
            self.vector.merge(snapshot.vector());
            self.clock = self
                .clock
                .max(snapshot.vector().latest().unwrap_or_default());
            self.snapshot = Some(snapshot.clone());
            outcome.snapshot_applied = true;
        }
        let mut waiting = changes;
        loop {
            let before = waiting.len();
            let mut later = Vec::new();
            for change in waiting {
                match self.apply(change.clone()) {
                    Ok(new) => outcome.applied += usize::from(new),
                    Err(_) => later.push(change),
                }
            }
            waiting = later;
            if waiting.len() == before {
                outcome.not_ready = waiting.len();
                return Ok(outcome);
            }
        }
    }

    fn take_snapshot(&mut self, prune: bool) -> Result<&Snapshot, ApplyError> {
        let entry = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.entry(ENTRY));
        let mut content = entry
            .map(|bytes| decode_list(bytes).unwrap())
            .unwrap_or_default();
        content.extend(self.changes.iter().cloned());
        let vector = self.version_vector();
        let entries = vec![(ENTRY.to_owned(), encode_list(content.iter()))];
        self.snapshot = Some(Snapshot::new(vector.clone(), entries));
        if prune {
            self.prune(&vector);
        }
        Ok(self.snapshot.as_ref().expect("set above"))
    }
}
