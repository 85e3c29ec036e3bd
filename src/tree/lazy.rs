//! Hash maps and vectors that take eight bytes while they are empty, for what most documents do
//! not have; and appending to vectors of what most documents have one of. An application may hold
//! thousands of small documents.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// See the module. Keys may come from outside: the hasher is keyed.
#[derive(Clone, Debug)]
#[allow(
    clippy::box_collection,
    reason = "most stay empty: a pointer is smaller"
)]
pub struct LazyMap<K, V>(Option<Box<HashMap<K, V>>>);

impl<K, V> Default for LazyMap<K, V> {
    fn default() -> Self {
        LazyMap(None)
    }
}

impl<K: Eq + Hash, V> LazyMap<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }

    /// True without entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.as_ref()?.get(key)
    }

    /// Drops an entry; returns its value.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.as_mut()?.remove(key)
    }

    /// Drops all entries and their memory.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// The map, made now if there is none: to add to it.
    pub fn filled(&mut self) -> &mut HashMap<K, V> {
        self.0.get_or_insert_with(Box::default)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().flat_map(|map| map.iter())
    }

    /// How many entries fit before it grows.
    pub fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.capacity())
    }
}

/// A vector, as [`LazyMap`] is a map.
#[derive(Clone, Debug)]
#[allow(
    clippy::box_collection,
    reason = "most stay empty: a pointer is smaller"
)]
pub struct LazyVec<T>(Option<Box<Vec<T>>>);

impl<T> Default for LazyVec<T> {
    fn default() -> Self {
        LazyVec(None)
    }
}

impl<T> LazyVec<T> {
    /// The vector, made now if there is none: to add to it.
    #[inline]
    pub fn filled(&mut self) -> &mut Vec<T> {
        self.0.get_or_insert_with(Box::default)
    }

    /// The vector; leaves an empty one.
    pub fn take(&mut self) -> Vec<T> {
        self.0.take().map_or_else(Vec::new, |vec| *vec)
    }

    /// How many elements fit before it grows.
    pub fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |vec| vec.capacity())
    }
}

impl<T> std::ops::Deref for LazyVec<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |vec| vec.as_slice())
    }
}

/// Appends; the first element takes no room for three others, as `push` would.
#[inline]
pub fn push_few<T>(few: &mut Vec<T>, value: T) {
    if few.is_empty() {
        few.reserve_exact(1);
    }
    few.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_vector_and_small_while_empty() {
        let mut vec: LazyVec<u32> = LazyVec::default();
        assert_eq!(size_of_val(&vec), size_of::<usize>());
        assert!(vec.is_empty() && vec.take().is_empty() && vec.capacity() == 0);
        vec.filled().push(7);
        vec.filled().push(8);
        assert_eq!((&*vec, vec.capacity() >= 2), (&[7, 8][..], true));
        assert_eq!(vec.take(), [7, 8]);
        assert!(vec.is_empty());
    }

    #[test]
    fn is_a_map_and_small_while_empty() {
        let mut map: LazyMap<String, u32> = LazyMap::default();
        assert_eq!(size_of_val(&map), size_of::<usize>());
        assert!(map.is_empty() && map.get("a").is_none() && map.remove("a").is_none());
        map.filled().insert("a".into(), 1);
        map.filled().insert("b".into(), 2);
        assert_eq!((map.len(), map.get("b")), (2, Some(&2)));
        assert_eq!(map.iter().map(|(_, value)| value).sum::<u32>(), 3);
        assert_eq!((map.remove("b"), map.len()), (Some(2), 1));
        assert!(map.capacity() > 0);
        map.clear();
        assert!(map.is_empty() && map.capacity() == 0);
    }
}
