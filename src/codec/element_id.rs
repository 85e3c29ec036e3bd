//! FugueElementID bytes (specification 3.3). STUB, owned by the codec work.
use super::{DecodeError, Reader};
use crate::clock::PeerId;
/// Id of one sequence element. The null id is `None::<ElementId>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementId { pub peer: PeerId, pub counter: u64 }
impl ElementId {
    pub fn read(_reader: &mut Reader<'_>) -> Result<Option<ElementId>, DecodeError> { todo!() }
    pub fn write(_id: Option<ElementId>, _out: &mut Vec<u8>) { todo!() }
}
