//! Dart's JSON text (specification 1.4). STUB, owned by the codec work.
use super::{DecodeError, Value};
/// A value JSON cannot carry (NaN, infinity, bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedValue;
/// Nesting limit of decoder and encoder.
pub const DEPTH_MAX: usize = 128;
pub fn decode(_bytes: &[u8]) -> Result<Value, DecodeError> { todo!() }
pub fn encode(_value: &Value, _out: &mut Vec<u8>) -> Result<(), UnsupportedValue> { todo!() }
/// Appends a JSON string literal for text.
pub fn encode_string(_text: &super::Wtf8String, _out: &mut Vec<u8>) { todo!() }
