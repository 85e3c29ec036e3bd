//! The operation envelope (specification 5): the payload of a change, as handlers see it.

use super::bytes::{uvarint_len, write_prefixed};
use super::{DecodeError, Reader};

/// Which handler an operation is for, of what kind it is, and its body. A view of the payload: the
/// log keeps and exports the payload's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The type tag of the handler (specification 9.2), without a leading byte order mark.
    pub handler_type: &'a str,
    /// The id of the handler, without a leading byte order mark.
    pub handler_id: &'a str,
    /// 0 insert, 1 delete, 2 update, 3 move; others are carried, and ignored by handlers.
    pub kind: u8,
    /// What the handler's own decoder reads.
    pub body: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads a payload. Peers drop one leading U+FEFF of both names (specification 1.2), so this
    /// does, too: otherwise a handler would match here and nowhere else.
    ///
    /// # Errors
    /// A length past the end, no kind, or names that are not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        Ok(Envelope {
            handler_type: reader.text()?,
            handler_id: reader.text()?,
            kind: reader.byte("the kind of an operation")?,
            body: reader.rest(),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        write_prefixed(out, self.handler_type.as_bytes());
        write_prefixed(out, self.handler_id.as_bytes());
        out.push(self.kind);
        out.extend_from_slice(self.body);
    }

    /// How many bytes [`encode`](Self::encode) appends.
    pub fn encoded_len(&self) -> usize {
        let prefixed = |text: &str| uvarint_len(text.len() as u64) + text.len();
        prefixed(self.handler_type) + prefixed(self.handler_id) + 1 + self.body.len()
    }
}
