//! The operations on one key of a map (or of a register), and what they add up to.
//!
//! Operations on other keys do not matter to a key, so each key folds its own short list: the
//! newest operation with its value, and of those before it twelve bytes each, enough to place an
//! operation that arrives late. The newest one arrives in O(1).

mod stored;

pub(in crate::document::handlers) use stored::StoredHistory;

use super::inline_bytes::InlineBytes;
use super::operation::Place;
use crate::clock::{AuthorIdx, Authors, Hlc, OrderKey};
use std::cmp::Ordering;

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

/// The writers that a state has met: operations name them by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writers {
    authors: Authors,
}

/// An operation: its place in the replay and its effect. In parts, so that it packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// The clock; of a snapshot's entry its number.
    clock: [u32; 2],
    /// The writer's number plus one, above two bits of effect; 0 of a snapshot's entry.
    writer_and_effect: u32,
}

const EFFECT_BITS: u32 = 2;
/// Stands for "no operation".
const NONE: Stamp = Stamp {
    clock: [u32::MAX; 2],
    writer_and_effect: u32::MAX,
};

impl Stamp {
    fn clock(self) -> u64 {
        u64::from(self.clock[0]) << 32 | u64::from(self.clock[1])
    }

    fn writer(self) -> u32 {
        self.writer_and_effect >> EFFECT_BITS
    }

    fn effect(self) -> Effect {
        match self.writer_and_effect & ((1 << EFFECT_BITS) - 1) {
            0 => Effect::Set,
            1 => Effect::Delete,
            _ => Effect::Update,
        }
    }

    fn is_none(self) -> bool {
        self == NONE
    }
}

impl Writers {
    fn stamp(&mut self, place: Place, effect: Effect) -> Stamp {
        let (clock, writer) = match place {
            Place::Seed(number) => (u64::from(number), 0),
            Place::Committed(order) => {
                let author = self.authors.intern(order.peer);
                (order.hlc.to_u64(), author.0 + 1)
            }
            Place::Pending(_) => unreachable!("histories hold committed operations"),
        };
        assert!(writer < 1 << (32 - EFFECT_BITS), "fewer than 2^30 writers");
        Stamp {
            clock: [(clock >> 32) as u32, clock as u32],
            writer_and_effect: writer << EFFECT_BITS | effect as u32,
        }
    }

    fn place(&self, stamp: Stamp) -> Place {
        match stamp.writer().checked_sub(1) {
            None => Place::Seed(stamp.clock() as u32),
            Some(author) => {
                let peer = self.authors.peer(AuthorIdx(author));
                Place::Committed(OrderKey::new(peer, Hlc::from_u64(stamp.clock())))
            }
        }
    }

    fn compare(&self, a: Stamp, b: Stamp) -> Ordering {
        let key = |stamp: Stamp| (stamp.writer() != 0, stamp.clock());
        key(a)
            .cmp(&key(b))
            .then_with(|| match a.writer() == b.writer() {
                true => Ordering::Equal,
                false => self.place(a).cmp(&self.place(b)),
            })
    }

    /// Heap memory held, in bytes (the table estimated).
    pub(crate) fn heap_bytes(&self) -> usize {
        self.authors.len() * 2 * size_of::<OrderKey>()
    }
}

/// All committed operations on one key.
#[derive(Clone, Debug)]
pub(crate) struct KeyHistory {
    /// The newest operation, or [`NONE`].
    last: Stamp,
    /// The operation that made the key present, or [`NONE`] while it is absent.
    since: Stamp,
    /// Of the newest operation; empty if it is a deletion.
    value: InlineBytes,
    /// The operations before the newest. Ascending places.
    older: Vec<Stamp>,
}

impl Default for KeyHistory {
    fn default() -> Self {
        KeyHistory {
            last: NONE,
            since: NONE,
            value: InlineBytes::EMPTY,
            older: Vec::new(),
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

impl KeyHistory {
    /// Adds an operation, seeds before all others; `value` belongs to `Set` and `Update`. A place
    /// that is taken keeps its operation. O(1) for the newest, else O(operations behind it).
    pub(crate) fn insert(
        &mut self,
        place: Place,
        effect: Effect,
        value: InlineBytes,
        writers: &mut Writers,
    ) {
        let stamp = writers.stamp(place, effect);
        if self.last.is_none() {
            self.append(stamp, value);
            return;
        }
        match writers.compare(self.last, stamp) {
            Ordering::Less => {
                // Half as much again: a doubling list of few would waste more than it holds.
                if self.older.len() == self.older.capacity() {
                    self.older.reserve_exact(self.older.len() / 2 + 2);
                }
                self.older.push(self.last);
                self.append(stamp, value);
            }
            Ordering::Equal => {}
            Ordering::Greater => self.insert_late(stamp, writers),
        }
    }

    fn append(&mut self, stamp: Stamp, value: InlineBytes) {
        self.since = match stamp.effect() {
            Effect::Delete => NONE,
            Effect::Set if self.since.is_none() => stamp,
            Effect::Set | Effect::Update => self.since,
        };
        self.last = stamp;
        self.value = value;
    }

    fn insert_late(&mut self, stamp: Stamp, writers: &Writers) {
        let before = |other: &Stamp| writers.compare(*other, stamp).is_lt();
        let at = self.older.partition_point(before);
        let taken = self.older.get(at);
        if taken.is_some_and(|other| writers.compare(*other, stamp).is_eq()) {
            return;
        }
        self.older.insert(at, stamp);
        let mut behind = self.older[at + 1..].iter().copied().chain([self.last]);
        match stamp.effect() {
            // The next set makes the key present again.
            Effect::Delete => {
                let is_earlier = self.since.is_none() || writers.compare(stamp, self.since).is_lt();
                if !is_earlier {
                    self.since = behind
                        .find(|next| next.effect() == Effect::Set)
                        .unwrap_or(NONE);
                }
            }
            // Makes the key present earlier, if nothing takes it away in between.
            Effect::Set => {
                let is_later = !self.since.is_none() && writers.compare(self.since, stamp).is_lt();
                let until = self.since;
                let mut between = behind.take_while(|next| *next != until);
                if !is_later && between.all(|next| next.effect() != Effect::Delete) {
                    self.since = stamp;
                }
            }
            Effect::Update => {}
        }
    }

    /// Forgets operations at the beginning that `covers` knows, but for those that show.
    pub(crate) fn forget(&mut self, covers: &dyn Fn(OrderKey) -> bool, writers: &Writers) {
        let is_known = |stamp: &Stamp| match writers.place(*stamp) {
            Place::Committed(order) => covers(order),
            _ => true,
        };
        let unknown = self.older.iter().position(|stamp| !is_known(stamp));
        let known = unknown.unwrap_or(self.older.len());
        let mut at = 0;
        self.older.retain(|stamp| {
            at += 1;
            at > known || *stamp == self.since
        });
        self.older.shrink_to_fit();
    }

    /// What the key holds. O(1).
    pub(crate) fn present(&self, writers: &Writers) -> Option<Present<'_>> {
        self.is_present().then(|| Present {
            since: writers.place(self.since),
            value: self.value.as_slice(),
        })
    }

    /// Whether the key is there. O(1).
    pub(crate) fn is_present(&self) -> bool {
        !self.since.is_none()
    }

    /// The operations, newest first.
    pub(crate) fn newest_first<'a>(
        &'a self,
        writers: &'a Writers,
    ) -> impl Iterator<Item = (Place, Effect)> + 'a {
        let last = Some(self.last).filter(|last| !last.is_none());
        let all = last.into_iter().chain(self.older.iter().rev().copied());
        all.map(|stamp| (writers.place(stamp), stamp.effect()))
    }

    /// Heap memory held, in bytes (the allocator's part estimated).
    pub(crate) fn heap_bytes(&self) -> usize {
        self.older.capacity() * size_of::<Stamp>() + self.value.heap_bytes()
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self, writers: &Writers) {
        let all: Vec<Stamp> = self.older.iter().copied().chain([self.last]).collect();
        if self.last.is_none() {
            assert!(self.older.is_empty() && self.since.is_none());
            return;
        }
        let ascends = |pair: &[Stamp]| writers.compare(pair[0], pair[1]).is_lt();
        assert!(all.windows(2).all(ascends));
        let mut since = NONE;
        for stamp in all {
            match stamp.effect() {
                Effect::Delete => since = NONE,
                Effect::Set if since.is_none() => since = stamp,
                Effect::Set | Effect::Update => {}
            }
        }
        assert_eq!(self.since, since);
        if self.last.effect() == Effect::Delete {
            assert!(self.value.as_slice().is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand keys must stay below a megabyte; this is each one's part of it.
    #[test]
    fn a_key_written_once_stays_small() {
        assert!(size_of::<KeyHistory>() <= 72);
    }
}
