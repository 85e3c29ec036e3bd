//! The 16 bytes that name one writer of a document.

use super::ParseError;
use std::fmt;

/// Names a writer (one device, one app instance). A UUID version 4 when made here; any 16 bytes
/// when read from the wire. Ordered by its bytes, which equals the order of the lower-case text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 16]);

impl PeerId {
    /// Length of the byte form.
    pub const BYTES: usize = 16;

    /// Takes the bytes as they are, as the wire does.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        PeerId(bytes)
    }

    /// The byte form.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether the bytes are a UUID version 4: peers of crdt_lf can read no other.
    pub const fn is_uuid_v4(&self) -> bool {
        self.0[6] >> 4 == 4 && self.0[8] >> 6 == 0b10
    }

    /// A new random id (UUID version 4).
    ///
    /// # Panics
    /// If the operating system gives no random bytes: two writers with one id would corrupt
    /// documents, so there is no fallback.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has a source of random bytes");
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        PeerId(bytes)
    }

    /// Reads the text form of a UUID version 4; upper case is accepted and normalised.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: ParseError = ParseError("a peer id is a UUID version 4");
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(EXPECTED);
        }
        let mut bytes = [0u8; 16];
        let mut nibbles = 0;
        for (at, &byte) in text.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(EXPECTED);
                }
                continue;
            }
            let digit = (byte as char).to_digit(16).ok_or(EXPECTED)? as u8;
            bytes[nibbles / 2] = bytes[nibbles / 2] << 4 | digit;
            nibbles += 1;
        }
        if bytes[6] >> 4 != 4 || bytes[8] >> 6 != 0b10 {
            return Err(EXPECTED);
        }
        Ok(PeerId(bytes))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
