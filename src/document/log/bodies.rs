//! The bytes of operations that have no compact form, one behind the other. The bodies of a row
//! are neighbours, each behind its kind and length, so that a short one costs a byte or two more
//! than itself.

use crate::codec::bytes::write_uvarint;
use crate::tree::LazyVec;

/// See the module. Only grows; addressed by 32 bits.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyPool {
    bytes: LazyVec<u8>,
}

/// Kinds below this one stand beside the length; others have a byte of their own.
const LONG_KIND: u8 = 3;

/// Most bytes that stand before a body: a varint of 34 bits and a kind.
const HEAD_BYTES_MAX: usize = 6;

impl BodyPool {
    /// Adds bytes that stand for themselves. Returns where they begin.
    pub fn push_plain(&mut self, bytes: &[u8]) -> u32 {
        let start = self.bytes.len() as u32;
        self.grow(bytes.len());
        self.bytes.filled().extend_from_slice(bytes);
        start
    }

    /// What [`push_plain`](Self::push_plain) added.
    pub fn plain(&self, start: u32, len: u32) -> &[u8] {
        &self.bytes[start as usize..start as usize + len as usize]
    }

    /// Adds a body. Returns where it begins.
    pub fn push(&mut self, kind: u8, body: &[u8]) -> u32 {
        let start = self.bytes.len() as u32;
        self.grow(HEAD_BYTES_MAX + body.len());
        let short_kind = kind.min(LONG_KIND);
        write_uvarint(
            self.bytes.filled(),
            (body.len() as u64) << 2 | u64::from(short_kind),
        );
        if short_kind == LONG_KIND {
            self.bytes.filled().push(kind);
        }
        self.bytes.filled().extend_from_slice(body);
        start
    }

    /// The bodies from one on: kind and body. Ask for as many as were pushed.
    pub fn from(&self, start: u32) -> Bodies<'_> {
        Bodies {
            bytes: &self.bytes,
            at: start as usize,
        }
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether so many more bytes fit.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes + HEAD_BYTES_MAX < u32::MAX as usize
    }

    /// Room for as many bytes more. A large pool grows by a part of itself, where a doubling
    /// vector would hold up to twice what it needs.
    fn grow(&mut self, bytes: usize) {
        const DOUBLED_MAX: usize = 1 << 16;
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len + bytes > capacity && len > DOUBLED_MAX {
            self.bytes.filled().reserve_exact(bytes.max(len / 8));
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Bodies in the order in which they were pushed.
#[derive(Clone, Debug)]
pub(super) struct Bodies<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bodies<'a> {
    /// Kind and body.
    pub fn take(&mut self) -> (u8, &'a [u8]) {
        let (kind, len) = self.head();
        let body = &self.bytes[self.at..self.at + len];
        self.at += len;
        (kind, body)
    }

    /// Steps over some.
    pub fn skip(mut self, count: u32) -> Self {
        for _ in 0..count {
            let (_, len) = self.head();
            self.at += len;
        }
        self
    }

    fn head(&mut self) -> (u8, usize) {
        let (mut head, mut shift) = (0u64, 0);
        loop {
            let byte = self.byte();
            head |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let kind = match head as u8 & 3 {
            LONG_KIND => self.byte(),
            kind => kind,
        };
        (kind, (head >> 2) as usize)
    }

    fn byte(&mut self) -> u8 {
        let byte = self.bytes[self.at];
        self.at += 1;
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back_in_order() {
        let mut pool = BodyPool::default();
        pool.push_plain(b"before");
        let lengths = [0, 1, 31, 32, 5000, 70_000];
        let kinds = [0, 1, 2, 3, 4, 255];
        let bodies: Vec<(u8, Vec<u8>)> = lengths
            .iter()
            .flat_map(|len| kinds.map(|kind| (kind, vec![kind ^ 0x5a; *len])))
            .collect();
        let starts: Vec<u32> = bodies
            .iter()
            .map(|(kind, body)| pool.push(*kind, body))
            .collect();
        let mut all = pool.from(starts[0]);
        for (nth, (kind, body)) in bodies.iter().enumerate() {
            let expected = (*kind, body.as_slice());
            assert_eq!(all.take(), expected);
            assert_eq!(pool.from(starts[nth]).take(), expected);
            assert_eq!(pool.from(starts[0]).skip(nth as u32).take(), expected);
        }
    }
}
