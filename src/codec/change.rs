//! Changes as bytes (specification 6). STUB, owned by the codec work.
use super::{DecodeError, Envelope};
use crate::clock::OperationId;
/// One change as it travels: who and when, what it builds on, and the operation as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change { pub id: OperationId, pub deps: Vec<OperationId>, pub payload: Vec<u8> }
impl Change {
    /// `Change.toBytes` (6.2): schema byte 2.
    pub fn encode(&self) -> Vec<u8> { todo!() }
    pub fn decode(_bytes: &[u8]) -> Result<Self, DecodeError> { todo!() }
    /// The blob of `binaryExportChanges` (6.3).
    pub fn encode_blob(&self, _out: &mut Vec<u8>) { todo!() }
    pub fn decode_blob(_bytes: &[u8]) -> Result<Self, DecodeError> { todo!() }
    pub fn envelope(&self) -> Result<Envelope<'_>, DecodeError> { Envelope::decode(&self.payload) }
}
/// `CRDTLF` framing of `binaryExportChanges` blobs.
pub fn encode_list<'a>(_changes: impl ExactSizeIterator<Item = &'a Change>) -> Vec<u8> { todo!() }
pub fn decode_list(_bytes: &[u8]) -> Result<Vec<Change>, DecodeError> { todo!() }
