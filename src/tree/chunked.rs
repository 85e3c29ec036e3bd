//! A vector in fixed-size pieces: growing copies nothing and wastes at most one piece, where a
//! doubling vector may hold twice what it needs.

use super::push_few;

/// An append-only vector. Elements are dense and numbered from 0.
#[derive(Clone, Debug)]
pub struct ChunkedVec<T> {
    /// Invariant: every chunk but the last holds exactly `CHUNK` elements; none is empty.
    chunks: Vec<Vec<T>>,
}

const CHUNK: usize = if cfg!(any(test, fuzzing)) { 4 } else { 256 };

impl<T> Default for ChunkedVec<T> {
    fn default() -> Self {
        ChunkedVec { chunks: Vec::new() }
    }
}

impl<T> ChunkedVec<T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Appends. O(1); the first chunk grows by doubling, so that small vectors stay small.
    pub fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => {
                if last.len() == last.capacity() {
                    last.reserve_exact(last.len());
                }
                last.push(value);
            }
            last => {
                let capacity = if last.is_some() { CHUNK } else { 1 };
                let mut chunk = Vec::with_capacity(capacity);
                chunk.push(value);
                push_few(&mut self.chunks, chunk);
            }
        }
    }

    /// The last element.
    pub fn last(&self) -> Option<&T> {
        self.chunks.last()?.last()
    }

    /// The last element, to be changed in place.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.chunks.last_mut()?.last_mut()
    }

    /// All elements in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let elements: usize = self.chunks.iter().map(Vec::capacity).sum();
        elements * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

impl<T> std::ops::Index<usize> for ChunkedVec<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T> std::ops::IndexMut<usize> for ChunkedVec<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T> FromIterator<T> for ChunkedVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut result = ChunkedVec::default();
        for value in values {
            result.push(value);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_plain_vector() {
        let mut chunked = ChunkedVec::default();
        let mut plain = Vec::new();
        for value in 0..50 {
            chunked.push(value);
            plain.push(value);
            *chunked.last_mut().unwrap() += 100;
            *plain.last_mut().unwrap() += 100;
            assert_eq!(chunked.len(), plain.len());
            assert_eq!(chunked.last(), plain.last());
            assert!(chunked.iter().eq(plain.iter()));
            let middle = plain.len() / 2;
            chunked[middle] += 1;
            plain[middle] += 1;
            assert!((0..plain.len()).all(|index| chunked[index] == plain[index]));
        }
    }
}
