//! What a replica has seen: the latest clock of each peer.

use super::{Hlc, PeerId};
use std::collections::HashMap;

/// The latest clock per peer, in order of first appearance (the order is visible on the wire; see
/// the crdt_lf specification 4.1). Equality ignores the order.
#[derive(Clone, Debug, Default)]
pub struct VersionVector {
    entries: Vec<(PeerId, Hlc)>,
    /// Position of each peer in `entries`; filled only past [`INDEX_FROM`] entries.
    index: HashMap<PeerId, u32>,
}

/// A linear search is faster than a keyed hash below this many entries.
const INDEX_FROM: usize = 16;

impl VersionVector {
    /// An empty vector.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty vector with room for so many peers.
    pub(crate) fn with_capacity(peers: usize) -> Self {
        VersionVector {
            entries: Vec::with_capacity(peers),
            ..Self::default()
        }
    }

    /// Number of peers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if no peer has an entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in order of first appearance.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (PeerId, Hlc)> + '_ {
        self.entries.iter().copied()
    }

    /// The clock of `peer`.
    pub fn get(&self, peer: &PeerId) -> Option<Hlc> {
        self.position(peer).map(|at| self.entries[at].1)
    }

    fn position(&self, peer: &PeerId) -> Option<usize> {
        if self.entries.len() < INDEX_FROM {
            return self.entries.iter().position(|(known, _)| known == peer);
        }
        self.index.get(peer).map(|&at| at as usize)
    }

    /// Keeps the larger clock; a new peer is appended.
    pub fn update(&mut self, peer: PeerId, clock: Hlc) {
        match self.position(&peer) {
            Some(at) => self.entries[at].1 = self.entries[at].1.max(clock),
            None => self.push(peer, clock),
        }
    }

    /// Sets the clock, even to a smaller one; a known peer keeps its place.
    pub fn set(&mut self, peer: PeerId, clock: Hlc) {
        match self.position(&peer) {
            Some(at) => self.entries[at].1 = clock,
            None => self.push(peer, clock),
        }
    }

    fn push(&mut self, peer: PeerId, clock: Hlc) {
        self.entries.push((peer, clock));
        let len = self.entries.len();
        if len == INDEX_FROM {
            self.reindex();
        } else if len > INDEX_FROM {
            self.index.insert(peer, (len - 1) as u32);
        }
    }

    fn reindex(&mut self) {
        self.index.clear();
        if self.entries.len() >= INDEX_FROM {
            let numbered = self.entries.iter().enumerate();
            self.index = numbered.map(|(at, (peer, _))| (*peer, at as u32)).collect();
        }
    }

    /// Drops the entry of `peer`; false if there was none.
    pub fn remove(&mut self, peer: &PeerId) -> bool {
        let Some(at) = self.position(peer) else {
            return false;
        };
        self.entries.remove(at);
        self.reindex();
        true
    }

    /// Drops all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.index.clear();
    }

    /// Keeps the larger clock of each peer; new peers follow in the order of `other`.
    pub fn merge(&mut self, other: &VersionVector) {
        for (peer, clock) in other.iter() {
            self.update(peer, clock);
        }
    }

    /// The peers that all vectors have, with their smallest clocks, in the order of the first.
    pub fn intersection<'a>(vectors: impl IntoIterator<Item = &'a VersionVector>) -> Self {
        let mut vectors = vectors.into_iter();
        let mut result = vectors.next().cloned().unwrap_or_default();
        for other in vectors {
            let before = result.entries.len();
            // Vectors of one document mostly have their peers in one order.
            let mut likely = other.entries.iter();
            result.entries.retain_mut(|(peer, clock)| {
                let theirs = match likely.next() {
                    Some((known, theirs)) if known == peer => Some(*theirs),
                    _ => other.get(peer),
                };
                if let Some(theirs) = theirs {
                    *clock = (*clock).min(theirs);
                }
                theirs.is_some()
            });
            if result.entries.len() < before {
                result.reindex();
            }
        }
        result
    }

    /// True if this vector has seen the operation.
    pub fn covers(&self, peer: &PeerId, clock: Hlc) -> bool {
        self.get(peer).is_some_and(|seen| clock <= seen)
    }

    /// Compares only the largest clocks. An empty vector is never newer.
    pub fn is_newer_than(&self, other: &VersionVector) -> bool {
        self.latest() > other.latest()
    }

    /// For every peer of `other`: present here with a larger clock.
    pub fn is_strictly_newer_than(&self, other: &VersionVector) -> bool {
        let mut entries = other.iter();
        entries.all(|(peer, clock)| self.get(&peer).is_some_and(|own| own > clock))
    }

    /// For every peer of `other`: present here with at least that clock. True for an empty `other`.
    pub fn is_strictly_newer_or_equal_than(&self, other: &VersionVector) -> bool {
        other.iter().all(|(peer, clock)| self.covers(&peer, clock))
    }

    /// The largest clock.
    pub fn latest(&self) -> Option<Hlc> {
        self.entries.iter().map(|(_, clock)| *clock).max()
    }

    /// The smallest clock.
    pub fn oldest(&self) -> Option<Hlc> {
        self.entries.iter().map(|(_, clock)| *clock).min()
    }
}

impl PartialEq for VersionVector {
    fn eq(&self, other: &Self) -> bool {
        let mut entries = self.iter();
        self.len() == other.len() && entries.all(|(peer, clock)| other.get(&peer) == Some(clock))
    }
}

impl Eq for VersionVector {}

impl FromIterator<(PeerId, Hlc)> for VersionVector {
    /// A repeated peer keeps its first place and takes the last value.
    fn from_iter<I: IntoIterator<Item = (PeerId, Hlc)>>(entries: I) -> Self {
        let mut vector = VersionVector::new();
        for (peer, clock) in entries {
            vector.set(peer, clock);
        }
        vector
    }
}
