//! Version vectors as bytes (specification 4.1). STUB, owned by the codec work.
use super::{DecodeError, Reader};
use crate::clock::VersionVector;
pub fn encode(_vector: &VersionVector) -> Vec<u8> { todo!() }
/// Refuses trailing bytes; a repeated peer keeps its first place and takes the last value.
pub fn decode(_bytes: &[u8]) -> Result<VersionVector, DecodeError> { todo!() }
pub fn read(_reader: &mut Reader<'_>) -> Result<VersionVector, DecodeError> { todo!() }
