//! WTF-8: text that may hold lone surrogates (specification 1.3).
//!
//! Dart strings are UTF-16 and may be cut in the middle of a surrogate pair, so UTF-8 cannot carry
//! them. WTF-8 is UTF-8 that also has 3-byte forms of lone surrogates; on well-formed text the two
//! are the same bytes. Reading is as lenient as the reference's table, since peers must agree.

use super::DecodeError;
use std::fmt;

/// Text as Dart has it: UTF-16 that may hold lone surrogates, kept as WTF-8 bytes (identical to
/// UTF-8 where there are none).
///
/// Invariant: the bytes are what [`encode_utf16`] writes, so a surrogate pair is always one 4-byte
/// form and equal bytes mean equal text.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wtf8String {
    bytes: Vec<u8>,
}

impl Wtf8String {
    /// The text of these UTF-16 units. O(units).
    pub fn from_utf16(units: &[u16]) -> Self {
        let mut bytes = Vec::with_capacity(units.len());
        encode_utf16(units, &mut bytes);
        Wtf8String { bytes }
    }

    /// Reads bytes of the wire as leniently as [`decode_to_utf16`] does.
    ///
    /// # Errors
    /// A character is cut off at the end.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, DecodeError> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Ok(text.into());
        }
        let mut units = Vec::with_capacity(bytes.len());
        decode_to_utf16(bytes, &mut units)?;
        Ok(Self::from_utf16(&units))
    }

    /// The UTF-16 units. O(bytes).
    pub fn to_utf16(&self) -> Vec<u16> {
        let mut units = Vec::with_capacity(self.bytes.len());
        decode_to_utf16(&self.bytes, &mut units).expect("the bytes are whole characters");
        units
    }

    /// None when it holds lone surrogates. O(bytes).
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// Lone surrogates become U+FFFD, as when Dart writes UTF-8 (specification 1.2). O(bytes).
    pub fn to_string_lossy(&self) -> String {
        let mut bytes = self.bytes.clone();
        let mut at = 0;
        while at < bytes.len() {
            // U+FFFD has three bytes, too.
            if is_surrogate(&bytes[at..]) {
                bytes[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
            }
            at += form_len(bytes[at]);
        }
        String::from_utf8(bytes).expect("WTF-8 without surrogates is UTF-8")
    }

    /// The WTF-8 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True if there is no text.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends a UTF-16 unit; a low surrogate joins a high one before it.
    pub(crate) fn push_unit(&mut self, unit: u16) {
        let tail = self.bytes.len().saturating_sub(3);
        if is_low(unit) && is_surrogate(&self.bytes[tail..]) {
            let mut pair = Vec::with_capacity(2);
            decode_to_utf16(&self.bytes[tail..], &mut pair).expect("a whole character");
            if is_high(pair[0]) {
                pair.push(unit);
                self.bytes.truncate(tail);
                return encode_utf16(&pair, &mut self.bytes);
            }
        }
        encode_utf16(&[unit], &mut self.bytes);
    }

    /// Appends well-formed text.
    pub(crate) fn push_str(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Heap memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

impl From<&str> for Wtf8String {
    fn from(text: &str) -> Self {
        Wtf8String {
            bytes: text.as_bytes().to_vec(),
        }
    }
}

impl From<String> for Wtf8String {
    fn from(text: String) -> Self {
        Wtf8String {
            bytes: text.into_bytes(),
        }
    }
}

impl fmt::Debug for Wtf8String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => fmt::Debug::fmt(text, f),
            None => write!(f, "{:x?}", self.to_utf16()),
        }
    }
}

/// Length of the form that starts with this byte, as the table of 1.3 has it.
fn form_len(lead: u8) -> usize {
    match lead {
        0x00..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
    }
}

fn is_surrogate(bytes: &[u8]) -> bool {
    matches!(bytes, [0xed, 0xa0..=0xbf, _, ..])
}

fn is_high(unit: u16) -> bool {
    unit & 0xfc00 == 0xd800
}

fn is_low(unit: u16) -> bool {
    unit & 0xfc00 == 0xdc00
}

/// Decodes leniently, exactly as the table of 1.3: continuation bytes are masked, not checked.
/// Appends UTF-16 units, at most one per byte.
///
/// # Errors
/// A character is cut off at the end; the units before it have been appended.
pub fn decode_to_utf16(bytes: &[u8], out: &mut Vec<u16>) -> Result<(), DecodeError> {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        // Most text is ASCII: copy whole stretches of it.
        let ascii = rest.iter().position(|&byte| byte >= 0x80);
        let ascii = ascii.unwrap_or(rest.len());
        if ascii > 0 {
            out.extend(rest[..ascii].iter().map(|&byte| u16::from(byte)));
            at += ascii;
            continue;
        }
        let len = form_len(rest[0]);
        let Some(form) = rest.get(..len) else {
            return Err(DecodeError {
                offset: at,
                expected: "a character is cut off",
            });
        };
        decode_form(form, out);
        at += len;
    }
    Ok(())
}

fn decode_form(form: &[u8], out: &mut Vec<u16>) {
    let bits = |at: usize| i32::from(form[at] & 0x3f);
    let lead = i32::from(form[0]);
    match form.len() {
        2 => out.push(((lead & 0x1f) << 6 | bits(1)) as u16),
        3 => out.push(((lead & 0x0f) << 12 | bits(1) << 6 | bits(2)) as u16),
        _ => {
            let code_point = (lead & 0x07) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
            // Negative for overlong forms; the shift is arithmetic, as in the reference.
            let value = code_point - 0x10000;
            out.push((0xd800 + (value >> 10)) as u16);
            out.push((0xdc00 + (value & 0x3ff)) as u16);
        }
    }
}

/// Appends the WTF-8 form: pairs become 4 bytes, lone surrogates 3.
pub fn encode_utf16(units: &[u16], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < units.len() {
        let rest = &units[at..];
        let ascii = rest.iter().position(|&unit| unit >= 0x80);
        let ascii = ascii.unwrap_or(rest.len());
        if ascii > 0 {
            out.extend(rest[..ascii].iter().map(|&unit| unit as u8));
            at += ascii;
            continue;
        }
        match *rest {
            [high, low, ..] if is_high(high) && is_low(low) => {
                let high = u32::from(high & 0x3ff);
                encode_code_point(0x10000 + (high << 10 | u32::from(low & 0x3ff)), out);
                at += 2;
            }
            _ => {
                encode_code_point(u32::from(rest[0]), out);
                at += 1;
            }
        }
    }
}

fn encode_code_point(code_point: u32, out: &mut Vec<u8>) {
    let bits = |shift: u32| (code_point >> shift & 0x3f) as u8 | 0x80;
    match code_point {
        0..=0x7f => out.push(code_point as u8),
        0x80..=0x7ff => out.extend([(code_point >> 6) as u8 | 0xc0, bits(0)]),
        0x800..=0xffff => out.extend([(code_point >> 12) as u8 | 0xe0, bits(6), bits(0)]),
        _ => out.extend([(code_point >> 18) as u8 | 0xf0, bits(12), bits(6), bits(0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::Wtf8String;

    #[test]
    fn units_pushed_one_by_one_make_the_same_text_as_all_at_once() {
        let samples: &[&[u16]] = &[
            &[0xd83d, 0xde00],
            &[0xd83d, 0xd83d, 0xde00],
            &[0xde00, 0xd83d],
            &[0x41, 0xde00, 0xde00],
            &[0xfffd, 0xde00, 0xd7ff, 0xdfff],
        ];
        for units in samples {
            let mut text = Wtf8String::default();
            units.iter().for_each(|&unit| text.push_unit(unit));
            assert_eq!(text, Wtf8String::from_utf16(units), "{units:x?}");
            assert_eq!(&text.to_utf16(), units);
        }
    }

    #[test]
    fn lone_surrogates_are_replaced_in_utf8() {
        let text = Wtf8String::from_utf16(&[0x61, 0xd83d, 0xe9, 0xd83d, 0xde00, 0xdc00]);
        assert_eq!(text.as_str(), None);
        assert_eq!(text.to_string_lossy(), "a\u{fffd}\u{e9}\u{1f600}\u{fffd}");
        assert_eq!(Wtf8String::from_wire(text.as_bytes()), Ok(text));
    }
}
