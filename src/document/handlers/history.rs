//! The operations on one key of a map (or of a register), and what they add up to.
//!
//! Operations on other keys do not matter to a key, so each key folds its own short list. Every
//! operation remembers the result of the fold up to itself: the newest one arrives in O(1), one
//! from the past costs the tail behind it, and the newest ones can be taken back.

use super::operation::{Class, Place};
use crate::clock::OrderKey;

/// What an operation does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Puts a value.
    Set,
    /// Takes the key away.
    Delete,
    /// Replaces the value, if the key is there.
    Update,
}

/// `Entry::since` of an absent key.
const ABSENT: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Entry {
    /// With `class`: the place in the replay. Kept in parts because a `Place` would not pack.
    order: OrderKey,
    /// Present in the entries that can show: the newest one that is not pending, and all pending
    /// ones. What is overwritten for good keeps no value.
    value: Option<Box<[u8]>>,
    /// After this entry, the index of the entry that made the key present, or [`ABSENT`].
    since: u32,
    class: Class,
    effect: Effect,
}

impl Entry {
    fn place(&self) -> Place {
        Place::join(self.class, self.order)
    }
}

/// All operations on one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyHistory {
    entries: Entries,
}

/// Most keys are written once: the first operation lives without an allocation of its own.
#[derive(Clone, Debug, Default)]
enum Entries {
    #[default]
    None,
    One(Entry),
    /// Ascending places.
    Many(Vec<Entry>),
}

impl Entries {
    fn as_slice(&self) -> &[Entry] {
        match self {
            Entries::None => &[],
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Many(entries) => entries,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Entry] {
        match self {
            Entries::None => &mut [],
            Entries::One(entry) => std::slice::from_mut(entry),
            Entries::Many(entries) => entries,
        }
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        *self = match std::mem::take(self) {
            Entries::None => Entries::One(entry),
            Entries::One(only) => {
                let mut entries = vec![only];
                entries.insert(at, entry);
                Entries::Many(entries)
            }
            Entries::Many(mut entries) => {
                entries.insert(at, entry);
                Entries::Many(entries)
            }
        };
    }

    fn truncate(&mut self, len: usize) {
        match self {
            _ if len == 0 => *self = Entries::None,
            Entries::Many(entries) => entries.truncate(len),
            Entries::None | Entries::One(_) => {}
        }
    }
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present<'a> {
    /// The operation that made the key present: decides the order of keys.
    pub since: Place,
    /// The value, encoded.
    pub value: &'a [u8],
}

/// What a key holds and who wrote it, for those who take writes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The value, encoded; None: the key is absent.
    pub value: Option<Box<[u8]>>,
    /// The change that decided; None: none did, or a snapshot has it.
    pub stamp: Option<OrderKey>,
}

impl Written {
    /// What a history shows.
    pub(crate) fn of(history: &KeyHistory) -> Self {
        Written {
            value: history.current().map(|present| present.value.into()),
            stamp: history.last_change(),
        }
    }
}

impl KeyHistory {
    /// Adds an operation; `value` belongs to `Set` and `Update`. A place that is taken keeps its
    /// operation. O(1) for the newest, else O(operations behind it).
    pub(crate) fn insert(&mut self, place: Place, effect: Effect, value: Option<Box<[u8]>>) {
        debug_assert_eq!(value.is_some(), effect != Effect::Delete);
        let entries = self.entries.as_slice();
        let at = match entries.last() {
            Some(last) if last.place() >= place => {
                entries.partition_point(|entry| entry.place() < place)
            }
            _ => entries.len(),
        };
        if entries.get(at).is_some_and(|entry| entry.place() == place) {
            return;
        }
        let (class, order) = place.split();
        let entry = Entry {
            order,
            value,
            since: ABSENT,
            class,
            effect,
        };
        self.entries.insert(at, entry);
        self.forget_overwritten(at);
        self.fold_from(at);
    }

    /// Drops the value that the new entry at `at` hides for good, which may be its own.
    fn forget_overwritten(&mut self, at: usize) {
        let entries = self.entries.as_mut_slice();
        if entries[at].class == Class::Pending {
            return;
        }
        let behind = entries.get(at + 1);
        if behind.is_some_and(|entry| entry.class != Class::Pending) {
            entries[at].value = None;
        } else if at > 0 {
            entries[at - 1].value = None;
        }
    }

    fn fold_from(&mut self, start: usize) {
        let entries = self.entries.as_mut_slice();
        for at in start..entries.len() {
            let before = if at == 0 {
                ABSENT
            } else {
                entries[at - 1].since
            };
            entries[at].since = match entries[at].effect {
                Effect::Delete => ABSENT,
                Effect::Set if before == ABSENT => {
                    u32::try_from(at).expect("fewer than 2^32 operations")
                }
                Effect::Set | Effect::Update => before,
            };
        }
    }

    /// Takes back the operations of the open transaction. O(their number).
    pub(crate) fn discard_pending(&mut self) {
        self.entries.truncate(self.committed_len());
    }

    fn committed_len(&self) -> usize {
        let entries = self.entries.as_slice();
        let pending = entries
            .iter()
            .rev()
            .take_while(|entry| entry.class == Class::Pending);
        entries.len() - pending.count()
    }

    /// What the key holds, with the open transaction. O(1).
    pub(crate) fn current(&self) -> Option<Present<'_>> {
        Self::present(self.entries.as_slice())
    }

    /// What the key holds without the open transaction. O(pending operations).
    pub(crate) fn committed(&self) -> Option<Present<'_>> {
        Self::present(&self.entries.as_slice()[..self.committed_len()])
    }

    fn present(entries: &[Entry]) -> Option<Present<'_>> {
        let last = entries.last().filter(|last| last.since != ABSENT)?;
        Some(Present {
            since: entries[last.since as usize].place(),
            value: last
                .value
                .as_deref()
                .expect("an entry that shows keeps its value"),
        })
    }

    /// The operation that decides now, if it is one of a change: the last one, even if it took the
    /// key away.
    pub(crate) fn last_change(&self) -> Option<OrderKey> {
        match self.entries.as_slice().last()?.place() {
            Place::Committed(order) => Some(order),
            Place::Seed(_) | Place::Pending(_) => None,
        }
    }

    /// True without any operation.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.as_slice().is_empty()
    }

    /// Heap memory held, in bytes (the allocator's part estimated).
    pub(crate) fn heap_bytes(&self) -> usize {
        let own = match &self.entries {
            Entries::Many(entries) => entries.capacity() * size_of::<Entry>(),
            Entries::None | Entries::One(_) => 0,
        };
        let values = self
            .entries
            .as_slice()
            .iter()
            .flat_map(|entry| &entry.value);
        own + values.map(|value| value.len() + 16).sum::<usize>()
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self) {
        let entries = self.entries.as_slice();
        assert!(
            entries
                .windows(2)
                .all(|pair| pair[0].place() < pair[1].place())
        );
        let committed = self.committed_len();
        for (at, entry) in entries.iter().enumerate() {
            let shows = at + 1 >= committed && entry.effect != Effect::Delete;
            assert_eq!(entry.value.is_some(), shows, "entry {at}");
        }
        let mut again = self.clone();
        again.fold_from(0);
        let since = |history: &KeyHistory| -> Vec<u32> {
            history
                .entries
                .as_slice()
                .iter()
                .map(|entry| entry.since)
                .collect()
        };
        assert_eq!(since(self), since(&again));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With its key and value a single-operation key must stay within 200 bytes; this is the part
    /// of the table's slot.
    #[test]
    fn a_key_written_once_stays_small() {
        assert!(size_of::<KeyHistory>() <= 56);
    }
}
