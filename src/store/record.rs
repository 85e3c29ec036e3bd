//! How one record looks on the device: version, length, checksum, content.
//!
//! Layer: `store`. The checksum also covers what the record is, the document's name and the record's
//! number, so that a record that turns up in another place is as wrong as one with a flipped bit.

use super::StoreError;

/// The version this program writes and the newest it reads. The contents of version 1 are crdt_lf
/// forms, those of version 2 native ones as well.
pub const RECORD_VERSION: u8 = 2;

/// Version, length (u32, little endian) and checksum (u32, little endian).
pub const HEADER_BYTES: usize = 9;

/// Largest content of one record. Below the largest value SQLite stores (10^9 bytes).
pub const CONTENT_BYTES_MAX: usize = 900_000_000;

/// What a record holds; part of its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Changes.
    Log,
    /// A snapshot; its number is the generation.
    Snapshot,
    /// An attachment; its number is the checksum of its key.
    Attachment,
    /// A setting of the store; its key stands for the document.
    Setting,
}

/// Frames `content`.
pub fn encode(
    kind: RecordKind,
    document: &str,
    sequence: u64,
    content: &[u8],
) -> Result<Vec<u8>, StoreError> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(StoreError::Limit("CONTENT_BYTES_MAX"));
    }
    let mut record = Vec::with_capacity(HEADER_BYTES + content.len());
    record.push(RECORD_VERSION);
    record.extend_from_slice(&(content.len() as u32).to_le_bytes());
    record.extend_from_slice(
        &checksum(RECORD_VERSION, kind, document, sequence, content).to_le_bytes(),
    );
    record.extend_from_slice(content);
    Ok(record)
}

/// Checks a record and removes its header in place.
pub fn decode(
    kind: RecordKind,
    document: &str,
    sequence: u64,
    mut record: Vec<u8>,
) -> Result<Vec<u8>, StoreError> {
    let corrupt = |detail| StoreError::corrupt(document, Some(sequence), detail);
    let Some((header, content)) = record.split_at_checked(HEADER_BYTES) else {
        return Err(corrupt("shorter than a record header"));
    };
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let (length, expected) = (word(1), word(5));
    let sound = length as usize == content.len()
        && checksum(header[0], kind, document, sequence, content) == expected;
    match header[0] {
        1..=RECORD_VERSION if sound => {}
        1..=RECORD_VERSION => return Err(corrupt("length or checksum differ")),
        // The frame of a later version may differ, so its checksum cannot be asked.
        later if later > RECORD_VERSION && !sound => {
            return Err(StoreError::UnsupportedVersion {
                found: later.into(),
                supported: RECORD_VERSION.into(),
            });
        }
        _ => return Err(corrupt("unknown record version")),
    }
    record.drain(..HEADER_BYTES);
    Ok(record)
}

fn checksum(version: u8, kind: RecordKind, document: &str, sequence: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version, kind as u8]);
    hasher.update(&(document.len() as u32).to_le_bytes());
    hasher.update(document.as_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&(content.len() as u32).to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        encode(RecordKind::Log, "notes", 7, b"some content").unwrap()
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        assert_eq!(
            decode(RecordKind::Log, "notes", 7, sample()).unwrap(),
            b"some content"
        );
        let empty = encode(RecordKind::Snapshot, "", 0, b"").unwrap();
        assert_eq!(decode(RecordKind::Snapshot, "", 0, empty).unwrap(), b"");
    }

    #[test]
    fn every_bit_flip_and_truncation_is_refused() {
        for bit in 0..sample().len() * 8 {
            let mut record = sample();
            record[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode(RecordKind::Log, "notes", 7, record).is_err(),
                "bit {bit}"
            );
        }
        for len in 0..sample().len() {
            let cut = sample()[..len].to_vec();
            assert!(
                decode(RecordKind::Log, "notes", 7, cut).is_err(),
                "length {len}"
            );
        }
    }

    #[test]
    fn a_record_in_another_place_is_refused() {
        for (kind, document, sequence) in [
            (RecordKind::Snapshot, "notes", 7),
            (RecordKind::Log, "note", 7),
            (RecordKind::Log, "notes", 8),
        ] {
            let refused = decode(kind, document, sequence, sample());
            assert!(
                matches!(refused, Err(StoreError::Corrupt { .. })),
                "{kind:?} {document} {sequence}"
            );
        }
    }

    #[test]
    fn a_later_version_has_its_own_error() {
        let mut record = sample();
        record[0] = RECORD_VERSION + 1;
        record.push(0);
        let refused = decode(RecordKind::Log, "notes", 7, record);
        assert_eq!(
            refused,
            Err(StoreError::UnsupportedVersion {
                found: 3,
                supported: 2
            })
        );
    }
}
