//! Base64 as Dart's decoder takes it: the standard alphabet, the URL-safe one, or a mixture, with
//! padding that may be written `%3D`.

use crate::codec::DecodeError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Decodes a base64 payload; the offset of an error counts characters.
pub(in crate::sync) fn decode(text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let result = if text.iter().any(|byte| matches!(byte, b'-' | b'_' | b'%')) {
        STANDARD.decode(normalised(text))
    } else {
        STANDARD.decode(text)
    };
    result.map_err(|error| DecodeError {
        offset: offset_of(&error),
        expected: "padded base64",
    })
}

/// Appends the standard form.
pub(in crate::sync) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let len = base64::encoded_len(bytes.len(), true).expect("half of the address space");
    out.resize(start + len, 0);
    STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("the length was computed for it");
}

/// Length of the standard form.
pub(in crate::sync) fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

fn normalised(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            [b'%', b'3', b'D' | b'd', ..] => {
                plain.push(b'=');
                at += 2;
            }
            [b'-', ..] => plain.push(b'+'),
            [b'_', ..] => plain.push(b'/'),
            [byte, ..] => plain.push(byte),
            [] => {}
        }
        at += 1;
    }
    plain
}

fn offset_of(error: &base64::DecodeError) -> usize {
    match *error {
        base64::DecodeError::InvalidByte(offset, _) => offset,
        base64::DecodeError::InvalidLength(len) => len,
        base64::DecodeError::InvalidLastSymbol(offset, _) => offset,
        base64::DecodeError::InvalidPadding => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_dart_takes() {
        assert_eq!(decode(b"AA==").unwrap(), [0]);
        assert_eq!(decode(b"AA%3D%3D").unwrap(), [0]);
        assert_eq!(decode(b"-_+/").unwrap(), decode(b"+/-_").unwrap());
        assert!(decode(b"").unwrap().is_empty());
    }

    #[test]
    fn refuses_what_dart_refuses() {
        for text in [
            "AA", "AA=", "AA=\n=", " AA==", "AB==", "A%3DAA", "AA%3", "@@@@", "AA==AA==",
        ] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_length_is_known_in_advance() {
        for len in 0..20 {
            let mut out = b"x".to_vec();
            encode(&vec![7; len], &mut out);
            assert_eq!(out.len(), 1 + encoded_len(len));
            assert_eq!(decode(&out[1..]).unwrap(), vec![7; len]);
        }
    }
}
