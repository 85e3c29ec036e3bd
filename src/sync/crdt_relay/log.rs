//! What a relay keeps of a room. The room sees it as memory: appending assigns numbers at once, and
//! whoever owns the log says when entries are on disk.

use crate::codec::Wtf8String;
use std::collections::VecDeque;
use std::fmt;

/// An opaque string of a client: base64 of a change, of a snapshot, or anything else.
pub type Blob = Wtf8String;

/// A snapshot and the last entry that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaySnapshot {
    /// Opaque.
    pub blob: Blob,
    /// The entries up to this one are in it.
    pub up_to_seq: u64,
}

/// The log could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayLogError(pub String);

impl fmt::Display for RelayLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the relay's log failed: {}", self.0)
    }
}

impl std::error::Error for RelayLogError {}

/// The log of one room: entries numbered from 1 without a gap, and a snapshot of a prefix.
pub trait RelayLog {
    /// The last number that was given out; 0: none. Never falls.
    fn last_seq(&self) -> u64;

    /// The last number whose entry survives a crash.
    fn committed_seq(&self) -> u64;

    /// The last number that the snapshot covers; 0: there is none.
    fn covered_seq(&self) -> u64;

    /// What the entries come after.
    ///
    /// # Errors
    /// The storage failed.
    fn read_snapshot(&self) -> Result<Option<RelaySnapshot>, RelayLogError>;

    /// Entries from `after_seq + 1` on, in order: at least one if there is one, else as many as
    /// `bytes_max` allows. `after_seq` is not below that of the snapshot.
    ///
    /// # Errors
    /// The storage failed.
    fn read(&self, after_seq: u64, bytes_max: usize) -> Result<Vec<Blob>, RelayLogError>;

    /// Adds entries; the last of them has the number that is returned.
    ///
    /// # Errors
    /// The storage failed; nothing was added.
    fn append(&mut self, blobs: Vec<Blob>) -> Result<u64, RelayLogError>;

    /// Replaces the snapshot; entries that it covers need not be kept.
    ///
    /// # Errors
    /// The storage failed; nothing changed.
    fn save_snapshot(&mut self, snapshot: RelaySnapshot) -> Result<(), RelayLogError>;

    /// Entries after the snapshot.
    fn log_length(&self) -> u64 {
        self.last_seq().saturating_sub(self.covered_seq())
    }
}

/// A log in memory. Everything counts as committed.
#[derive(Clone, Debug, Default)]
pub struct MemoryRelayLog {
    /// The entries after `first_after`, the last one with the number `last_seq`.
    entries: VecDeque<Blob>,
    last_seq: u64,
    snapshot: Option<RelaySnapshot>,
}

impl MemoryRelayLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number before the first entry.
    fn first_after(&self) -> u64 {
        self.last_seq - self.entries.len() as u64
    }
}

impl RelayLog for MemoryRelayLog {
    fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn committed_seq(&self) -> u64 {
        self.last_seq
    }

    fn covered_seq(&self) -> u64 {
        self.snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.up_to_seq)
    }

    fn read_snapshot(&self) -> Result<Option<RelaySnapshot>, RelayLogError> {
        Ok(self.snapshot.clone())
    }

    fn read(&self, after_seq: u64, bytes_max: usize) -> Result<Vec<Blob>, RelayLogError> {
        let Some(skipped) = after_seq.checked_sub(self.first_after()) else {
            return Err(RelayLogError("these entries are gone".to_owned()));
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let mut bytes = 0usize;
        let entries = self.entries.iter().skip(skipped).enumerate();
        let taken = entries.take_while(|(nth, blob)| {
            bytes = bytes.saturating_add(blob.as_bytes().len());
            *nth == 0 || bytes <= bytes_max
        });
        Ok(taken.map(|(_, blob)| blob.clone()).collect())
    }

    fn append(&mut self, blobs: Vec<Blob>) -> Result<u64, RelayLogError> {
        self.last_seq += blobs.len() as u64;
        self.entries.extend(blobs);
        Ok(self.last_seq)
    }

    fn save_snapshot(&mut self, snapshot: RelaySnapshot) -> Result<(), RelayLogError> {
        let covered = snapshot.up_to_seq.saturating_sub(self.first_after());
        let covered = usize::try_from(covered).unwrap_or(usize::MAX);
        self.entries.drain(..covered.min(self.entries.len()));
        self.snapshot = Some(snapshot);
        Ok(())
    }
}
