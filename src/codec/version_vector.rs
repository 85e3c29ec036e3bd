//! Version vectors as bytes (specification 4.1): a count, then peer and clock of each entry.

use super::bytes::{uvarint_len, write_uvarint};
use super::{DecodeError, Reader};
use crate::clock::{Hlc, OperationId, PeerId, VersionVector};

/// The bytes, in the order of the entries. Receivers must not depend on it.
pub fn encode(vector: &VersionVector) -> Vec<u8> {
    let count = vector.len();
    let len = uvarint_len(count as u64) + count * OperationId::BYTES;
    let mut out = Vec::with_capacity(len);
    write_uvarint(&mut out, count as u64);
    for (peer, clock) in vector.iter() {
        out.extend_from_slice(&OperationId::new(peer, clock).to_bytes());
    }
    out
}

/// Refuses trailing bytes; a repeated peer keeps its first place and takes the last value.
///
/// # Errors
/// Too few or too many bytes.
pub fn decode(bytes: &[u8]) -> Result<VersionVector, DecodeError> {
    let mut reader = Reader::new(bytes);
    let vector = read(&mut reader)?;
    reader.finish()?;
    Ok(vector)
}

/// As [`decode`], leaving what follows.
///
/// # Errors
/// Too few bytes.
pub fn read(reader: &mut Reader<'_>) -> Result<VersionVector, DecodeError> {
    let count = reader.count(OperationId::BYTES)?;
    let mut vector = VersionVector::with_capacity(count);
    for _ in 0..count {
        let peer = PeerId::from_bytes(reader.array("the peer of a version vector entry")?);
        let clock = Hlc::from_bytes(reader.array("the clock of a version vector entry")?);
        vector.set(peer, clock);
    }
    Ok(vector)
}
