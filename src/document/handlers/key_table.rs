//! The keys of a map with something for each: found by hash, numbered in order of appearance, kept
//! for good.
//!
//! The texts lie behind each other and the entries in pieces, so that a table has no allocation
//! per key and wastes little while it grows. The index holds numbers and parts of hashes: a look
//! touches a key only where the parts agree.

use crate::tree::ChunkedVec;
use std::hash::{BuildHasher as _, RandomState};

/// Number of a key in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyIdx(u32);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct KeyTable<T> {
    /// Keys come from outside: hashes are keyed.
    hasher: RandomState,
    /// Open addressing, linear probing. Invariant: empty, or a power of two with a quarter free.
    index: Vec<Slot>,
    texts: String,
    entries: ChunkedVec<Entry<T>>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    number: u32,
}

const FREE: Slot = Slot {
    hash: 0,
    number: u32::MAX,
};

#[derive(Clone, Debug)]
struct Entry<T> {
    start: usize,
    len: u32,
    value: T,
}

impl<T> Default for KeyTable<T> {
    fn default() -> Self {
        KeyTable {
            hasher: RandomState::new(),
            index: Vec::new(),
            texts: String::new(),
            entries: ChunkedVec::default(),
        }
    }
}

impl<T: Default> KeyTable<T> {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The key's number, if it has one. O(1).
    pub fn find(&self, key: &str) -> Option<KeyIdx> {
        if self.index.is_empty() {
            return None;
        }
        let (at, _) = self.probe(key);
        let slot = self.index[at];
        (slot.number != FREE.number).then_some(KeyIdx(slot.number))
    }

    /// The key's number, given now if it has none. O(1), amortised.
    pub fn find_or_add(&mut self, key: &str) -> KeyIdx {
        if self.entries.len() * 4 >= self.index.len() * 3 {
            self.grow();
        }
        let (at, hash) = self.probe(key);
        if self.index[at].number != FREE.number {
            return KeyIdx(self.index[at].number);
        }
        let number = u32::try_from(self.entries.len()).expect("fewer than 2^32 keys");
        assert!(number != FREE.number, "fewer than 2^32 keys");
        self.index[at] = Slot { hash, number };
        self.entries.push(Entry {
            start: self.texts.len(),
            len: u32::try_from(key.len()).expect("a body has fewer than 2^32 bytes"),
            value: T::default(),
        });
        self.texts.push_str(key);
        KeyIdx(number)
    }

    /// Where the key is, or would be, and its hash.
    fn probe(&self, key: &str) -> (usize, u32) {
        let hash = self.hasher.hash_one(key) as u32;
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.index[at];
            let is_it = slot.hash == hash && slot.number != FREE.number;
            if slot.number == FREE.number || is_it && self.key(KeyIdx(slot.number)) == key {
                return (at, hash);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let capacity = (self.index.len() * 2).max(4);
        let old = std::mem::replace(&mut self.index, vec![FREE; capacity]);
        for slot in old.into_iter().filter(|slot| slot.number != FREE.number) {
            let mut at = slot.hash as usize & (capacity - 1);
            while self.index[at].number != FREE.number {
                at = (at + 1) & (capacity - 1);
            }
            self.index[at] = slot;
        }
    }

    /// The text of a key.
    pub fn key(&self, number: KeyIdx) -> &str {
        let entry = &self.entries[number.0 as usize];
        &self.texts[entry.start..entry.start + entry.len as usize]
    }

    /// What the table has for a key.
    pub fn get(&self, number: KeyIdx) -> &T {
        &self.entries[number.0 as usize].value
    }

    /// As [`get`](Self::get), to be changed in place.
    pub fn get_mut(&mut self, number: KeyIdx) -> &mut T {
        &mut self.entries[number.0 as usize].value
    }

    /// All keys in order of appearance.
    pub fn numbers(&self) -> impl Iterator<Item = KeyIdx> + use<T> {
        (0..self.entries.len() as u32).map(KeyIdx)
    }

    /// Gives room back that only new keys would need.
    pub fn shrink_to_fit(&mut self) {
        self.texts.shrink_to_fit();
    }

    /// Memory held, in bytes, without what the entries hold.
    pub fn heap_bytes(&self) -> usize {
        let index = self.index.capacity() * size_of::<Slot>();
        index + self.texts.capacity() + self.entries.heap_bytes()
    }

    /// Panics if an invariant is broken. For tests.
    pub fn check(&self) {
        let used = self.index.iter().filter(|slot| slot.number != FREE.number);
        assert_eq!(used.count(), self.len());
        assert!(self.index.is_empty() || self.index.len().is_power_of_two());
        assert!(self.len() * 4 <= self.index.len() * 3);
        for number in self.numbers() {
            assert_eq!(self.find(self.key(number)), Some(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use std::collections::HashMap;

    /// Oracle: the standard library's table.
    #[test]
    fn agrees_with_a_hash_map() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let mut table: KeyTable<usize> = KeyTable::default();
            let mut oracle: HashMap<String, (KeyIdx, usize)> = HashMap::new();
            assert_eq!(table.find(""), None);
            for step in 0..300 {
                let key = "k".repeat(rng.below(4)) + &rng.below(60).to_string();
                let number = table.find_or_add(&key);
                *table.get_mut(number) += step;
                let known = oracle.entry(key).or_insert((number, 0));
                known.1 += step;
                assert_eq!(known.0, number, "seed {seed}");
            }
            table.check();
            assert_eq!(table.len(), oracle.len());
            for (key, (number, value)) in &oracle {
                assert_eq!(table.find(key), Some(*number));
                assert_eq!(table.get(*number), value);
            }
            assert_eq!(table.find("absent"), None);
        }
    }
}
