//! Reading and writing of the primitive forms (specification chapter 1): fixed width, varint,
//! length-prefixed.

use std::fmt;

/// Malformed input: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Byte offset into the input of the decoder that was called.
    pub offset: usize,
    /// What was expected or is wrong.
    pub expected: &'static str,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.expected, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// A cursor over untrusted bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Of nothing.
    pub const EMPTY: Reader<'static> = Reader {
        bytes: &[],
        offset: 0,
    };

    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, offset: 0 }
    }

    /// Reads a stretch of larger input, in whose offsets it speaks.
    ///
    /// # Panics
    /// If the stretch is not in the input.
    pub fn between(bytes: &'a [u8], start: usize, end: usize) -> Self {
        assert!(start <= end);
        Reader {
            bytes: &bytes[..end],
            offset: start,
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// True at the end.
    pub fn is_at_end(&self) -> bool {
        self.remaining() == 0
    }

    /// An error at the current offset.
    pub fn error(&self, expected: &'static str) -> DecodeError {
        DecodeError {
            offset: self.offset,
            expected,
        }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        if self.remaining() < len {
            return Err(self.error(expected));
        }
        let taken = &self.bytes[self.offset..self.offset + len];
        self.offset += len;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(
        &mut self,
        expected: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N, expected)?;
        Ok(taken.try_into().expect("take gave N bytes"))
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(expected).map(|[byte]| byte)
    }

    /// An unsigned varint (specification 1.1): least significant group first, padding accepted,
    /// values of 64 bits and more refused.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, DecodeError> {
        // Most are short.
        if let Some(byte @ 0..0x80) = self.bytes.get(self.offset) {
            self.offset += 1;
            return Ok(u64::from(*byte));
        }
        self.long_uvarint()
    }

    fn long_uvarint(&mut self) -> Result<u64, DecodeError> {
        let start = self.offset;
        let mut value = 0u64;
        let mut shift = 0u32;
        loop {
            let byte = self.byte("a varint is cut off")?;
            let group = u64::from(byte & 0x7f);
            if group != 0 {
                // 63 bits: the reference has signed integers.
                if shift >= 63 {
                    return Err(DecodeError {
                        offset: start,
                        expected: "a varint exceeds 63 bits",
                    });
                }
                value |= group << shift;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift = shift.saturating_add(7);
        }
    }

    /// A varint that counts things of at least `size_min` bytes each: bounded by what is left, so
    /// that a forged count cannot cause a large allocation.
    pub fn count(&mut self, size_min: usize) -> Result<usize, DecodeError> {
        let start = self.offset;
        let count = self.uvarint()?;
        if count > (self.remaining() / size_min.max(1)) as u64 {
            return Err(DecodeError {
                offset: start,
                expected: "a count exceeds the input",
            });
        }
        Ok(count as usize)
    }

    /// A varint of at most `max`.
    #[inline]
    pub fn count_of(&mut self, max: u64) -> Result<usize, DecodeError> {
        let start = self.offset;
        match self.uvarint()? {
            value if value <= max => Ok(value as usize),
            _ => Err(DecodeError {
                offset: start,
                expected: "a length is out of range",
            }),
        }
    }

    /// `uv(len) ‖ bytes`.
    pub fn prefixed(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.count(1)?;
        self.take(len, "a length exceeds the input")
    }

    /// All that is left as UTF-8, read as [`text`].
    pub fn rest_text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.take(self.remaining(), "")?;
        text(bytes).map_err(|error| DecodeError {
            offset: self.offset - bytes.len() + error.offset,
            ..error
        })
    }

    /// `uv(len) ‖ UTF-8`, read as [`text`].
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.prefixed()?;
        let start = self.offset - bytes.len();
        text(bytes).map_err(|error| DecodeError {
            offset: start + error.offset,
            ..error
        })
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.offset..];
        self.offset = self.bytes.len();
        rest
    }

    /// Refuses trailing bytes.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(self.error("trailing bytes"))
        }
    }
}

/// Strict UTF-8 without one leading byte order mark, as Dart reads names (specification 1.2).
pub fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| DecodeError {
        offset: error.valid_up_to(),
        expected: "UTF-8",
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Appends a minimal varint.
#[inline]
pub fn write_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The length of the minimal varint.
#[inline]
pub fn uvarint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends `uv(len) ‖ bytes`.
pub fn write_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    write_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_a_text_says_where_it_is_in_the_input() {
        let bytes = b"\x01\x04ab\xffd\x00x\xffy";
        let mut reader = Reader::new(bytes);
        reader.take(1, "").unwrap();
        assert_eq!(reader.text().unwrap_err().offset, 4);
        assert_eq!(reader.offset(), 6);
        reader.take(1, "").unwrap();
        assert_eq!(reader.rest_text().unwrap_err().offset, 8);
    }
}
