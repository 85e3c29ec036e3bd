//! Ids of sequence elements, as the wire has them (specification 3.3).

use super::bytes::write_uvarint;
use super::{DecodeError, Reader};
use crate::clock::{ParseError, PeerId};
use std::fmt;

/// Id of one sequence element. The null id is `None::<ElementId>`, which sorts first, as it must.
/// Ordered by peer, then by number: the order of siblings in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementId {
    /// Who made the element.
    pub peer: PeerId,
    /// Number of the element among those of its peer; below 2^63.
    pub counter: u64,
}

impl ElementId {
    /// Reads one id.
    ///
    /// # Errors
    /// A flag other than 0 and 1, or too few bytes.
    pub fn read(reader: &mut Reader<'_>) -> Result<Option<ElementId>, DecodeError> {
        let flag = reader.clone();
        match reader.byte("an element id")? {
            0 => Ok(None),
            1 => {
                let peer = PeerId::from_bytes(reader.array("the peer of an element id")?);
                let counter = reader.uvarint()?;
                Ok(Some(ElementId { peer, counter }))
            }
            _ => Err(flag.error("the flag of an element id is 0 or 1")),
        }
    }

    /// Appends one id: 1 byte for the null id, else 18 to 26.
    pub fn write(id: Option<ElementId>, out: &mut Vec<u8>) {
        let Some(id) = id else {
            return out.push(0);
        };
        out.push(1);
        out.extend_from_slice(id.peer.bytes());
        write_uvarint(out, id.counter);
    }

    /// An id that is all there is, as a caret position is.
    ///
    /// # Errors
    /// As [`read`](Self::read), and trailing bytes.
    pub fn decode(bytes: &[u8]) -> Result<Option<ElementId>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let id = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(id)
    }

    /// Reads `"null"` or `"<peer>:<counter>"`.
    ///
    /// # Errors
    /// Anything else, and counters that are negative or need more than 63 bits.
    pub fn parse(text: &str) -> Result<Option<ElementId>, ParseError> {
        const EXPECTED: ParseError = ParseError("an element id is written <peer>:<counter>");
        if text == "null" {
            return Ok(None);
        }
        let (peer, counter) = text.split_once(':').ok_or(EXPECTED)?;
        let peer = PeerId::parse(peer)?;
        let counter: u64 = counter.parse().map_err(|_| EXPECTED)?;
        if counter > i64::MAX as u64 {
            return Err(EXPECTED);
        }
        Ok(Some(ElementId { peer, counter }))
    }
}

impl fmt::Display for ElementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.peer, self.counter)
    }
}
