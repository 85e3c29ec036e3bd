//! Values of handlers as bytes: JSON, or whatever the application's codec made.

use crate::codec::json::{self, UnsupportedValue};
use crate::codec::{DecodeError, HandlerRef, Value};
use crate::document::ValueCodec;

impl ValueCodec {
    /// Reads the bytes of one value.
    ///
    /// # Errors
    /// They are not JSON; bytes of the application are never refused.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Value, DecodeError> {
        match self {
            ValueCodec::Json => json::decode(bytes),
            ValueCodec::Bytes => Ok(Value::Bytes(bytes.to_vec())),
            ValueCodec::Reference => HandlerRef::decode(bytes).map(Value::Reference),
        }
    }

    /// Writes a value.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn encode(self, value: &Value) -> Result<Vec<u8>, UnsupportedValue> {
        match (self, value) {
            (ValueCodec::Json, _) => {
                let mut bytes = Vec::new();
                json::encode(value, &mut bytes)?;
                Ok(bytes)
            }
            (ValueCodec::Bytes, Value::Bytes(bytes)) => Ok(bytes.clone()),
            (ValueCodec::Reference, Value::Reference(target)) => {
                let mut bytes = Vec::new();
                target.encode(&mut bytes);
                Ok(bytes)
            }
            (ValueCodec::Bytes | ValueCodec::Reference, _) => Err(UnsupportedValue),
        }
    }

    /// The bytes as Dart writes them into snapshots: decoded and encoded again, so that foreign
    /// spacing and escapes are gone. A number that overflows to infinity cannot be encoded; it
    /// keeps the bytes it came with, so that it is not lost.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn canonical(self, bytes: &[u8]) -> Result<Box<[u8]>, DecodeError> {
        let value = self.decode(bytes)?;
        let canonical = self.encode(&value);
        Ok(canonical.unwrap_or_else(|_| bytes.to_vec()).into())
    }

    /// Reads bytes that [`canonical`](Self::canonical) has accepted.
    pub(crate) fn stored(self, bytes: &[u8]) -> Value {
        self.decode(bytes).expect("checked when it was stored")
    }
}
