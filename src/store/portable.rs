//! One document as bytes of its own: for exports, and for the named versions of a document.
//!
//! Layer: `store`. Magic, version, kind, epoch, snapshot, records, checksum: see [`encode`]. What the
//! records hold is said by their first bytes, as in a store.

use super::record::CONTENT_BYTES_MAX;
use super::{DocumentMeta, StoreError, StoredRecord, StoredState};
use crate::clock::PeerId;

const MAGIC: &[u8; 4] = b"SynD";
const VERSION: u8 = 1;

/// The content of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Portable {
    pub name: String,
    pub kind: u8,
    pub epoch: u64,
    pub snapshot: Option<Vec<u8>>,
    /// Of the first record; those behind it follow.
    pub first: u64,
    pub records: Vec<Vec<u8>>,
}

/// ```text
/// "SynD", version (1 byte), kind (1 byte), epoch (8), number of the first record (8)
/// u64 length of the name; the name in UTF-8
/// u64 length + 1 of the snapshot, or 0; the snapshot
/// u64 number of records; u64 length and content of each
/// CRC-32 of everything before it (4)
/// ```
/// Numbers are little endian.
pub(super) fn encode(content: &Portable) -> Vec<u8> {
    let mut bytes = Vec::from(MAGIC);
    bytes.extend([VERSION, content.kind]);
    let number = |bytes: &mut Vec<u8>, number: u64| bytes.extend(number.to_le_bytes());
    number(&mut bytes, content.epoch);
    number(&mut bytes, content.first);
    number(&mut bytes, content.name.len() as u64);
    bytes.extend(content.name.as_bytes());
    let snapshot = content.snapshot.as_deref();
    number(
        &mut bytes,
        snapshot.map_or(0, |snapshot| snapshot.len() as u64 + 1),
    );
    bytes.extend(snapshot.unwrap_or_default());
    number(&mut bytes, content.records.len() as u64);
    for record in &content.records {
        number(&mut bytes, record.len() as u64);
        bytes.extend(record);
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

/// # Errors
/// [`StoreError::Corrupt`], [`StoreError::UnsupportedVersion`].
pub(super) fn decode(bytes: &[u8]) -> Result<Portable, StoreError> {
    let corrupt = || StoreError::corrupt_bytes("these are not the bytes of an exported document");
    let version = bytes.strip_prefix(MAGIC).and_then(|rest| rest.first());
    match *version.ok_or_else(corrupt)? {
        VERSION => {}
        found => {
            return Err(StoreError::UnsupportedVersion {
                found: found.into(),
                supported: VERSION.into(),
            });
        }
    }
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(corrupt)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return Err(StoreError::corrupt_bytes("the checksum differs"));
    }
    let mut rest = body.get(MAGIC.len() + 1..).ok_or_else(corrupt)?;
    read(&mut rest)
        .filter(|_| rest.is_empty())
        .ok_or_else(corrupt)
}

fn read(rest: &mut &[u8]) -> Option<Portable> {
    let kind = take(rest, 1)?[0];
    let (epoch, first) = (number(rest)?, number(rest)?);
    let length = number(rest)?;
    let name = String::from_utf8(take(rest, length)?.to_vec()).ok()?;
    let snapshot = match number(rest)? {
        0 => None,
        length => Some(take(rest, length - 1)?.to_vec()),
    };
    let count = number(rest)?;
    let mut records = Vec::new();
    for _ in 0..count {
        // A wrong count ends at the end of the bytes.
        let length = number(rest)?;
        records.push(take(rest, length)?.to_vec());
    }
    // Stores number from 1 on, with signed numbers.
    let end = first.checked_add(count)?;
    if first == 0 || i64::try_from(end).is_err() {
        return None;
    }
    let small = |bytes: &Vec<u8>| bytes.len() <= CONTENT_BYTES_MAX;
    let fits = records.iter().chain(&snapshot).all(small);
    fits.then_some(Portable {
        name,
        kind,
        epoch,
        snapshot,
        first,
        records,
    })
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let bytes = take(rest, 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

impl Portable {
    /// As a store has it.
    pub fn into_state(self) -> StoredState {
        let records = self.records.into_iter().zip(self.first..);
        let records: Vec<StoredRecord> = records
            .map(|(content, sequence)| StoredRecord { sequence, content })
            .collect();
        StoredState {
            meta: DocumentMeta {
                kind: self.kind,
                peer_id: PeerId::random(),
                closed_cleanly: false,
                epoch: self.epoch,
            },
            snapshot: self.snapshot,
            next: self.first + records.len() as u64,
            records,
            revision: 0,
        }
    }

    pub fn from_state(name: &str, state: StoredState) -> Self {
        Portable {
            name: name.to_owned(),
            kind: state.meta.kind,
            epoch: state.meta.epoch,
            snapshot: state.snapshot,
            first: state
                .records
                .first()
                .map_or(state.next, |record| record.sequence),
            records: state
                .records
                .into_iter()
                .map(|record| record.content)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Portable {
        Portable {
            name: "näme".into(),
            kind: 2,
            epoch: u64::MAX,
            snapshot: Some(b"snapshot".to_vec()),
            first: 9,
            records: vec![Vec::new(), b"record".to_vec()],
        }
    }

    #[test]
    fn what_is_exported_comes_back() {
        let bare = Portable {
            snapshot: None,
            records: Vec::new(),
            ..sample()
        };
        for content in [sample(), bare] {
            assert_eq!(decode(&encode(&content)), Ok(content));
        }
    }

    #[test]
    fn every_bit_flip_and_truncation_is_refused() {
        let bytes = encode(&sample());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn forged_lengths_are_refused() {
        // Every number in turn becomes huge, with a right checksum.
        let bytes = encode(&sample());
        for at in 6..bytes.len() - 12 {
            let mut forged = bytes.clone();
            forged[at..at + 8].fill(0xff);
            let end = forged.len() - 4;
            let checksum = crc32fast::hash(&forged[..end]);
            forged[end..].copy_from_slice(&checksum.to_le_bytes());
            let _ = decode(&forged);
        }
    }
}
