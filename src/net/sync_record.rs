//! What a client remembers of the server beside a stored document: the room's epoch, and what the
//! server has for sure.
//!
//! Layer: `net`. An attachment of the document. It is only ever behind the truth, so a lost or
//! damaged one costs a comparison with the server, nothing else.

use crate::clock::VersionVector;
use crate::codec::{DecodeError, Reader, version_vector};
use crate::store::StoredDocument;

/// Key of the attachment.
const KEY: &str = "syncline.sync";
const VERSION: u8 = 1;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SyncRecord {
    pub epoch: Option<u64>,
    pub acknowledged: VersionVector,
}

impl SyncRecord {
    /// What was stored last; nothing, if that cannot be read.
    pub fn load(stored: &StoredDocument) -> Self {
        let bytes = match stored.attachment(KEY) {
            Ok(bytes) => bytes,
            Err(error) => {
                log::warn!(target: "client", "what the server has is not known: {error}");
                None
            }
        };
        let record = bytes.map(|bytes| Self::decode(&bytes));
        record.and_then(Result::ok).unwrap_or_default()
    }

    /// Stores it. A failure is logged: the next connection finds out again.
    pub fn save(&self, stored: &StoredDocument) {
        if let Err(error) = stored.attach(KEY, Some(self.encode())) {
            log::warn!(target: "client", "what the server has is not stored: {error}");
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.epoch.is_some())];
        out.extend_from_slice(&self.epoch.unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&version_vector::encode(&self.acknowledged));
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let start = reader.clone();
        let has_epoch = match (reader.byte("a version")?, reader.byte("a flag")?) {
            (VERSION, flag @ 0..=1) => flag == 1,
            _ => return Err(start.error("version 1")),
        };
        let epoch = u64::from_be_bytes(reader.array("an epoch")?);
        let acknowledged = version_vector::decode(reader.rest())?;
        Ok(SyncRecord {
            epoch: has_epoch.then_some(epoch),
            acknowledged,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Hlc, PeerId};

    #[test]
    fn records_come_back_and_damaged_ones_are_refused() {
        let mut acknowledged = VersionVector::new();
        acknowledged.update(PeerId::from_bytes([7; 16]), Hlc::new(5, 6));
        for epoch in [None, Some(3)] {
            let record = SyncRecord {
                epoch,
                acknowledged: acknowledged.clone(),
            };
            let bytes = record.encode();
            assert_eq!(SyncRecord::decode(&bytes), Ok(record));
            for len in 0..bytes.len() {
                assert!(SyncRecord::decode(&bytes[..len]).is_err());
            }
        }
    }
}
