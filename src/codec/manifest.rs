//! The entry of a snapshot that lists its handlers and their types, so that they can be made from
//! the snapshot alone (specification 7.2).

use super::bytes::{write_prefixed, write_uvarint};
use super::snapshot::ENTRIES_MAX;
use super::{DecodeError, Reader};

/// The reserved handler id under which it stands.
pub const KEY: &str = "crdt_lf/handler-manifest";

/// Writes handler ids and type tags.
pub fn encode<'a>(handlers: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::new();
    write_uvarint(&mut out, handlers.len() as u64);
    for (id, type_tag) in handlers {
        write_prefixed(&mut out, id.as_bytes());
        write_prefixed(&mut out, type_tag.as_bytes());
    }
    out
}

/// Reads handler ids and type tags in order. Of an id that is repeated the last one counts.
///
/// # Errors
/// Truncated bytes, text that is not UTF-8, or more than [`ENTRIES_MAX`] entries.
pub fn decode(bytes: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    let mut reader = Reader::new(bytes);
    // An entry is at least two lengths.
    let at = reader.clone();
    let count = reader.count(2)?;
    if count > ENTRIES_MAX {
        return Err(at.error("a manifest has too many entries"));
    }
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        let id = reader.text()?.to_owned();
        out.push((id, reader.text()?.to_owned()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_is_refused_when_cut() {
        let handlers = [("a", "T<int>"), ("", ""), ("b", "U")];
        let bytes = encode(handlers.into_iter());
        assert_eq!(bytes[..4], [3, 1, b'a', 6]);
        let read = decode(&bytes).unwrap();
        let read: Vec<(&str, &str)> = read.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(read, handlers);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
