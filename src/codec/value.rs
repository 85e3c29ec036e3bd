//! JSON-like values. STUB, owned by the codec work.
use super::wtf8::Wtf8String;
/// Any value a handler can hold. Integers and doubles are different values; objects keep order.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null, Bool(bool), Int(i64), Double(f64), String(Wtf8String), Bytes(Vec<u8>), Array(Vec<Value>), Object(Vec<(Wtf8String, Value)>),
}
