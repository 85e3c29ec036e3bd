//! The operation envelope (specification 5). STUB, owned by the codec work.
use super::DecodeError;
/// Payload of a change: which handler, what kind of operation, and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> { pub handler_type: &'a str, pub handler_id: &'a str, pub kind: u8, pub body: &'a [u8] }
impl<'a> Envelope<'a> {
    pub fn decode(_payload: &'a [u8]) -> Result<Self, DecodeError> { todo!() }
    pub fn encode(&self, _out: &mut Vec<u8>) { todo!() }
}
