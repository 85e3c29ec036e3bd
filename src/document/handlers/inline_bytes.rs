//! Encoded values: most are a number or a short word and need no allocation of their own.

/// Longest bytes that live in place.
const INLINE_MAX: usize = 22;

/// Bytes, in place while they are few.
#[derive(Clone, Debug)]
pub(crate) enum InlineBytes {
    /// So many of the bytes count.
    Inline(u8, [u8; INLINE_MAX]),
    /// Too long to live in place.
    Heap(Box<[u8]>),
}

impl InlineBytes {
    /// No bytes.
    pub const EMPTY: InlineBytes = InlineBytes::Inline(0, [0; INLINE_MAX]);

    pub fn as_slice(&self) -> &[u8] {
        match self {
            InlineBytes::Inline(len, bytes) => &bytes[..usize::from(*len)],
            InlineBytes::Heap(bytes) => bytes,
        }
    }

    /// Heap memory held, in bytes (the allocator's part estimated).
    pub fn heap_bytes(&self) -> usize {
        match self {
            InlineBytes::Inline(..) => 0,
            InlineBytes::Heap(bytes) => bytes.len() + 16,
        }
    }
}

impl From<&[u8]> for InlineBytes {
    fn from(bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(len) if bytes.len() <= INLINE_MAX => {
                let mut inline = [0; INLINE_MAX];
                inline[..bytes.len()].copy_from_slice(bytes);
                InlineBytes::Inline(len, inline)
            }
            _ => InlineBytes::Heap(bytes.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_come_back() {
        for len in (0..40).chain([255, 256, 257, 1000]) {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let kept = InlineBytes::from(bytes.as_slice());
            assert_eq!(kept.as_slice(), bytes);
            assert_eq!(kept.heap_bytes() == 0, len <= INLINE_MAX);
        }
        assert_eq!(size_of::<InlineBytes>(), 24);
    }
}
