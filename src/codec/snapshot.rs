//! The snapshot container (specification 7): the state of every handler at a version.

use super::bytes::{write_prefixed, write_uvarint};
use super::{DecodeError, Reader, manifest, version_vector};
use crate::clock::VersionVector;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// How many handlers a snapshot that is read may have: far above any real document, far below
/// what a hostile frame of short entries could ask memory for.
pub const ENTRIES_MAX: usize = 1 << 20;

/// State of every handler at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    id: String,
    vector: VersionVector,
    /// Handler id and state, in the order of the wire. Invariant: no id twice.
    entries: Vec<(String, Vec<u8>)>,
    /// Places in `entries`, ascending by handler id.
    sorted: Box<[u32]>,
}

impl Snapshot {
    /// Computes the id: a digest of the version, not of the entries. A repeated key keeps its
    /// first place and takes the last value.
    pub fn new(vector: VersionVector, entries: Vec<(String, Vec<u8>)>) -> Self {
        let mut unique = Entries::default();
        for (key, state) in &entries {
            unique.put(key, state);
        }
        let entries = if unique.entries.len() == entries.len() {
            // The usual case: the states, which may be large, are not copied.
            entries
        } else {
            unique.into_owned()
        };
        Snapshot {
            id: vector_id(&vector),
            vector,
            sorted: sorted(&entries),
            entries,
        }
    }

    /// Names the version; not verified when read from outside.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Everything the state contains.
    pub fn vector(&self) -> &VersionVector {
        &self.vector
    }

    /// Handler ids and states.
    pub fn entries(&self) -> &[(String, Vec<u8>)] {
        &self.entries
    }

    /// The state of one handler. O(log entries).
    pub fn entry(&self, handler_id: &str) -> Option<&[u8]> {
        let key = |place: &u32| self.entries[*place as usize].0.as_str();
        let at = self
            .sorted
            .binary_search_by(|place| key(place).cmp(handler_id))
            .ok()?;
        Some(&self.entries[self.sorted[at] as usize].1)
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_prefixed(&mut out, self.id.as_bytes());
        write_prefixed(&mut out, &version_vector::encode(&self.vector));
        write_uvarint(&mut out, self.entries.len() as u64);
        for (key, state) in &self.entries {
            write_prefixed(&mut out, key.as_bytes());
            write_prefixed(&mut out, state);
        }
        out
    }

    /// Reads a snapshot. Trailing bytes are refused (defect 13.19).
    ///
    /// # Errors
    /// Malformed bytes, or more than [`ENTRIES_MAX`] entries.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let snapshot = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(snapshot)
    }

    /// As `decode`, ignoring trailing bytes as Dart does (the wire of crdt_socket_sync accepts
    /// them).
    ///
    /// # Errors
    /// As [`decode`](Self::decode), but for trailing bytes.
    pub fn decode_lenient(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&mut Reader::new(bytes))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = reader.text()?.to_owned();
        let vector = reader.prefixed()?;
        let vector_start = reader.offset() - vector.len();
        let vector = version_vector::decode(vector).map_err(|error| DecodeError {
            offset: vector_start + error.offset,
            ..error
        })?;
        let count_at = reader.clone();
        // An entry is at least two lengths.
        let count = reader.count(2)?;
        if count > ENTRIES_MAX {
            return Err(count_at.error("a snapshot has too many entries"));
        }
        let mut entries = Entries::default();
        for _ in 0..count {
            let key = reader.text()?;
            entries.put(key, reader.prefixed()?);
        }
        let entries = entries.into_owned();
        Ok(Snapshot {
            id,
            vector,
            sorted: sorted(&entries),
            entries,
        })
    }

    /// Joins two snapshots (7.3): per handler one whole blob, that of the newer snapshot. Merging
    /// concurrent snapshots therefore loses one side's edits per handler. Only the lists of
    /// handlers are joined: the result has the handlers of both.
    pub fn merged(&self, other: &Snapshot) -> Snapshot {
        let other_wins = other.vector.is_strictly_newer_or_equal_than(&self.vector);
        let (older, newer) = if other_wins {
            (self, other)
        } else {
            (other, self)
        };
        let mut entries = Entries::default();
        for (key, state) in older.entries.iter().chain(&newer.entries) {
            entries.put(key, state);
        }
        let listed = joined_manifests(older, newer);
        if let Some(listed) = &listed {
            entries.put(manifest::KEY, listed);
        }
        let mut vector = self.vector.clone();
        vector.merge(&other.vector);
        Snapshot::new(vector, entries.into_owned())
    }
}

/// The handlers that either lists, as `newer` has them where both do. One that is unreadable
/// counts as none.
fn joined_manifests(older: &Snapshot, newer: &Snapshot) -> Option<Vec<u8>> {
    let listed = |snapshot: &Snapshot| manifest::decode(snapshot.entry(manifest::KEY)?).ok();
    let (older, newer) = match (listed(older), listed(newer)) {
        (None, None) => return None,
        (older, newer) => (older.unwrap_or_default(), newer.unwrap_or_default()),
    };
    let known: HashSet<&str> = newer.iter().map(|(id, _)| id.as_str()).collect();
    let others = older.iter().filter(|(id, _)| !known.contains(id.as_str()));
    let all: Vec<(&str, &str)> = others
        .chain(&newer)
        .map(|(id, type_tag)| (id.as_str(), type_tag.as_str()))
        .collect();
    Some(manifest::encode(all.into_iter()))
}

fn sorted(entries: &[(String, Vec<u8>)]) -> Box<[u32]> {
    let mut places: Vec<u32> = (0..entries.len() as u32).collect();
    places.sort_unstable_by_key(|place| &entries[*place as usize].0);
    places.into()
}

/// A map that keeps the order of first appearance.
#[derive(Default)]
struct Entries<'a> {
    entries: Vec<(&'a str, &'a [u8])>,
    /// Keys come from outside: the default hasher is keyed.
    places: HashMap<&'a str, usize>,
}

impl<'a> Entries<'a> {
    fn put(&mut self, key: &'a str, state: &'a [u8]) {
        let place = *self.places.entry(key).or_insert(self.entries.len());
        match self.entries.get_mut(place) {
            Some(entry) => entry.1 = state,
            None => self.entries.push((key, state)),
        }
    }

    fn into_owned(self) -> Vec<(String, Vec<u8>)> {
        let entries = self.entries.into_iter();
        entries
            .map(|(key, state)| (key.to_owned(), state.to_vec()))
            .collect()
    }
}

/// Lower-case hex SHA-256 of the sorted `"<peer>:<clock>"` texts.
fn vector_id(vector: &VersionVector) -> String {
    let entries = vector.iter();
    let mut texts: Vec<String> = entries
        .map(|(peer, clock)| format!("{peer}:{clock}"))
        .collect();
    texts.sort_unstable();
    let mut digest = Sha256::new();
    texts.iter().for_each(|text| digest.update(text));
    let mut id = String::with_capacity(64);
    for byte in digest.finalize() {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_keep_the_first_place_and_the_last_value() {
        let entry = |key: &str, state: u8| (key.to_owned(), vec![state]);
        let entries = vec![entry("b", 1), entry("a", 2), entry("b", 3)];
        let snapshot = Snapshot::new(VersionVector::new(), entries.clone());
        assert_eq!(snapshot.entries(), [entry("b", 3), entry("a", 2)]);
        assert_eq!(snapshot.entry("b"), Some(&[3][..]));
        assert_eq!(snapshot.entry("c"), None);

        let mut bytes = Snapshot::new(VersionVector::new(), vec![]).encode();
        bytes.pop();
        bytes.push(3);
        for (key, state) in &entries {
            write_prefixed(&mut bytes, key.as_bytes());
            write_prefixed(&mut bytes, state);
        }
        assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
    }
}
