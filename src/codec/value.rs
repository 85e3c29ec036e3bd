//! JSON-like values: what the handlers hold.

use super::bytes::{DecodeError, Reader, write_prefixed};
use super::wtf8::Wtf8String;

/// Any value a handler can hold. Integers and doubles are different values (`1` and `1.0` are
/// written differently); objects keep the order of their members. Copying, comparing and dropping
/// need no recursion (see `value_tree`).
pub enum Value {
    /// JSON `null`.
    Null,
    /// JSON `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent.
    Int(i64),
    /// A number with fraction or exponent, or beyond 64 bits.
    Double(f64),
    /// Text.
    String(Wtf8String),
    /// Opaque bytes of a handler whose codec is the application's. JSON cannot carry them.
    Bytes(Vec<u8>),
    /// A reference to a handler of the same document. JSON cannot carry it.
    Reference(HandlerRef),
    /// A list.
    Array(Vec<Value>),
    /// Members in order; a key appears once.
    Object(Vec<(Wtf8String, Value)>),
}

/// Names a handler: what a container holds in place of its child (specification 3.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HandlerRef {
    /// The child's type tag.
    pub type_tag: String,
    /// The child's handler id.
    pub id: String,
}

impl HandlerRef {
    /// `uv(len(type)) ‖ type ‖ id`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_prefixed(out, self.type_tag.as_bytes());
        out.extend_from_slice(self.id.as_bytes());
    }

    /// Reads what [`encode`](Self::encode) wrote; the id takes the rest.
    ///
    /// # Errors
    /// Empty or truncated bytes, or text that is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let type_tag = reader.text()?.to_owned();
        let id = reader.rest_text()?.to_owned();
        Ok(HandlerRef { type_tag, id })
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Double(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}
