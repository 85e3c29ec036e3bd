//! The snapshot container (specification 7). STUB, owned by the codec work.
use super::DecodeError;
use crate::clock::VersionVector;
/// State of every handler at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot { id: String, vector: VersionVector, entries: Vec<(String, Vec<u8>)> }
impl Snapshot {
    /// Computes the id.
    pub fn new(_vector: VersionVector, _entries: Vec<(String, Vec<u8>)>) -> Self { todo!() }
    pub fn id(&self) -> &str { &self.id }
    pub fn vector(&self) -> &VersionVector { &self.vector }
    pub fn entries(&self) -> &[(String, Vec<u8>)] { &self.entries }
    pub fn entry(&self, _handler_id: &str) -> Option<&[u8]> { todo!() }
    pub fn encode(&self) -> Vec<u8> { todo!() }
    /// Trailing bytes are refused (defect 13.19).
    pub fn decode(_bytes: &[u8]) -> Result<Self, DecodeError> { todo!() }
    /// As `decode`, ignoring trailing bytes as Dart does (the wire of crdt_socket_sync accepts them).
    pub fn decode_lenient(_bytes: &[u8]) -> Result<Self, DecodeError> { todo!() }
    /// 7.3
    pub fn merged(&self, _other: &Snapshot) -> Snapshot { todo!() }
}
