//! Values of handlers as bytes: JSON, or whatever the application's codec made.

use crate::codec::bytes::write_uvarint;
use crate::codec::json::{self, UnsupportedValue};
use crate::codec::{DecodeError, HandlerRef, Value};
use crate::document::ValueCodec;
use std::borrow::Cow;

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
        let mut bytes = Vec::new();
        self.write(value, &mut bytes)?;
        Ok(bytes)
    }

    /// Appends a value behind its length.
    ///
    /// # Errors
    /// The codec cannot carry the value; nothing was written.
    pub(crate) fn write_prefixed(
        self,
        value: &Value,
        out: &mut Vec<u8>,
    ) -> Result<(), UnsupportedValue> {
        let start = out.len();
        // Most values are short: room for a length of one byte.
        out.push(0);
        if let Err(error) = self.write(value, out) {
            out.truncate(start);
            return Err(error);
        }
        let len = out.len() - start - 1;
        let mut prefix = Vec::new();
        match u8::try_from(len) {
            Ok(len @ 0..0x80) => out[start] = len,
            _ => {
                write_uvarint(&mut prefix, len as u64);
                out.splice(start..start + 1, prefix);
            }
        }
        Ok(())
    }

    /// Appends a value.
    ///
    /// # Errors
    /// The codec cannot carry the value; nothing was written.
    pub(crate) fn write(self, value: &Value, out: &mut Vec<u8>) -> Result<(), UnsupportedValue> {
        match (self, value) {
            (ValueCodec::Json, _) => json::encode(value, out)?,
            (ValueCodec::Bytes, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
            (ValueCodec::Reference, Value::Reference(target)) => target.encode(out),
            (ValueCodec::Bytes | ValueCodec::Reference, _) => return Err(UnsupportedValue),
        }
        Ok(())
    }

    /// The bytes as Dart writes them into snapshots: decoded and encoded again, so that foreign
    /// spacing and escapes are gone. A number that overflows to infinity cannot be encoded; it
    /// keeps the bytes it came with, so that it is not lost.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn canonical(self, bytes: &[u8]) -> Result<Box<[u8]>, DecodeError> {
        Ok(self.canonical_bytes(bytes)?.into())
    }

    /// As [`canonical`](Self::canonical); the bytes themselves, if they are so already.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn canonical_bytes(self, bytes: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
        if self == ValueCodec::Bytes
            || self == ValueCodec::Json && json::is_plainly_canonical(bytes)
        {
            return Ok(Cow::Borrowed(bytes));
        }
        let value = self.decode(bytes)?;
        Ok(self.encode(&value).map_or(Cow::Borrowed(bytes), Cow::Owned))
    }

    /// Reads bytes that [`canonical`](Self::canonical) has accepted.
    pub(crate) fn stored(self, bytes: &[u8]) -> Value {
        self.decode(bytes).expect("checked when it was stored")
    }
}
