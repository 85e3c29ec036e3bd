//! State of a map (specification 9.5): the last operation of each key in replay order wins.
//!
//! A table of short histories (see `history`); the order of the keys is the place of the
//! operation that made each one present, and is sorted out only when somebody asks. Operations of
//! the open transaction lie above the histories in a list of their own, each with what its key
//! shows after it, so that they can be taken back or become committed without a second look.

mod stored;

use super::history::{Effect, KeyHistory, Present, Writers};
use super::inline_bytes::InlineBytes;
use super::key_table::{KeyIdx, KeyTable};
use super::operation::{Events, Operation, Place, QueuedOperation, kind};
use crate::clock::OrderKey;
use crate::codec::bytes::{uvarint_len, write_prefixed, write_uvarint};
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value};
use crate::document::{MapOp, ValueCodec};
use crate::tree::sort_by_key;
use std::collections::HashMap;

/// What the operations on a map add up to.
#[derive(Clone, Debug)]
pub(crate) struct MapState {
    codec: ValueCodec,
    keys: KeyTable<Key>,
    writers: Writers,
    /// How many keys are present.
    len: usize,
    /// The operations of the open transaction.
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
struct Key {
    history: KeyHistory,
    /// The last pending operation on it, or [`NOT_PENDING`].
    pending: u32,
}

const NOT_PENDING: u32 = u32::MAX;

impl Default for Key {
    fn default() -> Self {
        Key {
            history: KeyHistory::default(),
            pending: NOT_PENDING,
        }
    }
}

#[derive(Clone, Debug)]
struct Pending {
    key: KeyIdx,
    /// The pending operation on the key before it, or [`NOT_PENDING`].
    before: u32,
    effect: Effect,
    value: InlineBytes,
    /// What made the key present as it is after this operation.
    since: Since,
}

/// What made a key present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// It is absent.
    Absent,
    /// What the history says.
    History,
    /// A pending operation.
    Pending(u32),
}

/// What an operation does, decoded.
struct Decoded<'a> {
    key: &'a str,
    effect: Effect,
    value: InlineBytes,
}

impl MapState {
    /// An empty map.
    pub(crate) fn new(codec: ValueCodec) -> Self {
        MapState {
            codec,
            keys: KeyTable::default(),
            writers: Writers::default(),
            len: 0,
            pending: Vec::new(),
        }
    }

    /// Forgets everything and starts from a snapshot's state; an empty blob is an empty map.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        let mut seeded = MapState::new(self.codec);
        let mut reader = Reader::new(blob);
        let count = if blob.is_empty() { 0 } else { reader.count(2)? };
        let mut values: HashMap<&str, (u32, InlineBytes)> = HashMap::new();
        for _ in 0..count {
            let key = reader.text()?;
            let value = self.codec.canonical_bytes(reader.prefixed()?)?;
            let number = values.len() as u32;
            // A repeated key keeps its place.
            let entry = values.entry(key).or_insert((number, InlineBytes::EMPTY));
            entry.1 = InlineBytes::from(&*value);
        }
        for (key, (number, value)) in values {
            let place = Place::Seed(number);
            let effect = Effect::Set;
            seeded.insert(place, Decoded { key, effect, value }, None);
        }
        *self = seeded;
        Ok(())
    }

    /// Adds the operation of a change. Kinds other than those of maps are ignored. O(1) if it is
    /// the newest of its key, else O(operations of the key).
    ///
    /// # Errors
    /// The body cannot be decoded; the state is unchanged.
    pub(crate) fn apply(
        &mut self,
        order: OrderKey,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        if let Some(op) = self.decode(kind, body)? {
            self.insert(Place::Committed(order), op, events);
        }
        Ok(())
    }

    fn insert(&mut self, place: Place, op: Decoded<'_>, events: Events<'_>) {
        let key = self.keys.find_or_add(op.key);
        self.change(key, events, |map| {
            let Key { history, pending } = map.keys.get_mut(key);
            history.insert(place, op.effect, op.value, &mut map.writers);
            let last = *pending;
            map.refold(last);
        });
    }

    fn decode<'a>(&self, kind: u8, body: &'a [u8]) -> Result<Option<Decoded<'a>>, DecodeError> {
        let effect = match kind {
            kind::INSERT => Effect::Set,
            kind::DELETE => Effect::Delete,
            kind::UPDATE => Effect::Update,
            _ => return Ok(None),
        };
        let mut reader = Reader::new(body);
        let key = reader.text()?;
        let value = match effect {
            Effect::Delete => InlineBytes::EMPTY,
            Effect::Set | Effect::Update => {
                InlineBytes::from(&*self.codec.canonical_bytes(reader.prefixed()?)?)
            }
        };
        Ok(Some(Decoded { key, effect, value }))
    }

    /// Changes one key, keeps the count right and reports what changed visibly.
    fn change(&mut self, key: KeyIdx, events: Events<'_>, change: impl FnOnce(&mut Self)) {
        let before = self.is_present(key);
        let old = events.as_ref().map(|_| self.view(key));
        change(self);
        self.len = self.len - usize::from(before) + usize::from(self.is_present(key));
        if let (Some(events), Some(old)) = (events, old) {
            let new = self.view(key);
            if old != new {
                let key = self.keys.key(key).to_owned();
                events.push(MapOp { key, old, new });
            }
        }
    }

    /// Adds an operation of the open transaction, behind all others. O(1).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(crate) fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        let Some(Decoded { key, effect, value }) = self.decode(kind, body)? else {
            return Ok(());
        };
        let number = u32::try_from(self.pending.len()).expect("fewer than 2^32 operations");
        assert!(number != NOT_PENDING, "fewer than 2^32 operations");
        let key = self.keys.find_or_add(key);
        self.change(key, events, |map| {
            let before = map.keys.get(key).pending;
            map.pending.push(Pending {
                key,
                before,
                effect,
                value,
                since: Since::Absent,
            });
            map.pending[number as usize].since = map.since_after(number);
            map.keys.get_mut(key).pending = number;
        });
        Ok(())
    }

    /// What made the key of a pending operation present, behind that operation.
    fn since_after(&self, number: u32) -> Since {
        let op = &self.pending[number as usize];
        let since = match op.before {
            NOT_PENDING if self.keys.get(op.key).history.is_present() => Since::History,
            NOT_PENDING => Since::Absent,
            before => self.pending[before as usize].since,
        };
        match op.effect {
            Effect::Delete => Since::Absent,
            Effect::Set if since == Since::Absent => Since::Pending(number),
            Effect::Set | Effect::Update => since,
        }
    }

    /// The history below the pending operations of a key changed; `last` is the last of them.
    fn refold(&mut self, last: u32) {
        let mut chain = Vec::new();
        let mut at = last;
        while at != NOT_PENDING {
            chain.push(at);
            at = self.pending[at as usize].before;
        }
        for number in chain.into_iter().rev() {
            self.pending[number as usize].since = self.since_after(number);
        }
    }

    /// Takes back all operations of the open transaction. O(their number).
    pub(crate) fn discard_pending(&mut self, mut events: Events<'_>) {
        for at in 0..self.pending.len() {
            let key = self.pending[at].key;
            if self.keys.get(key).pending != NOT_PENDING {
                self.change(key, events.as_deref_mut(), |map| {
                    map.keys.get_mut(key).pending = NOT_PENDING;
                });
            }
        }
        self.pending = Vec::new();
    }

    /// Whether the open transaction consists of so many operations.
    pub(crate) fn can_promote(&self, count: usize) -> bool {
        count == self.pending.len()
    }

    /// The operations of the open transaction became changes with these places, one each, behind
    /// all others: nothing changes visibly. O(their number).
    pub(crate) fn promote_pending(&mut self, places: &[OrderKey]) {
        let pending = std::mem::take(&mut self.pending);
        debug_assert_eq!(pending.len(), places.len());
        for (op, order) in pending.into_iter().zip(places) {
            let key = self.keys.get_mut(op.key);
            key.pending = NOT_PENDING;
            let place = Place::Committed(*order);
            key.history
                .insert(place, op.effect, op.value, &mut self.writers);
        }
    }

    /// Forgets operations that `covers` knows, but for those that show. O(operations).
    pub(crate) fn forget(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        for key in self.keys.numbers() {
            self.keys.get_mut(key).history.forget(covers, &self.writers);
        }
        self.keys.shrink_to_fit();
    }

    /// Number of keys present. O(1).
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The value of a key. O(value).
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        self.view(self.keys.find(key)?)
    }

    /// The encoded value of a key. O(1).
    pub(crate) fn bytes(&self, key: &str) -> Option<&[u8]> {
        Some(self.current(self.keys.find(key)?)?.value)
    }

    /// True if the key is present. O(1).
    pub(crate) fn contains(&self, key: &str) -> bool {
        let key = self.keys.find(key);
        key.is_some_and(|key| self.is_present(key))
    }

    /// The committed operations on a key, newest first; none while the open transaction hides
    /// them.
    pub(crate) fn newest_first(&self, key: &str) -> impl Iterator<Item = (Place, Effect)> + '_ {
        let key = self.keys.find(key).map(|key| self.keys.get(key));
        let settled = key.filter(|key| key.pending == NOT_PENDING);
        let history = settled.map(|key| key.history.newest_first(&self.writers));
        history.into_iter().flatten()
    }

    /// The value that an operation brings.
    pub(crate) fn value_of(&self, kind: u8, body: &[u8]) -> Option<Value> {
        let op = self.decode(kind, body).ok()??;
        (op.effect != Effect::Delete).then(|| self.codec.stored(op.value.as_slice()))
    }

    fn is_present(&self, key: KeyIdx) -> bool {
        let Key { history, pending } = self.keys.get(key);
        match *pending {
            NOT_PENDING => history.is_present(),
            last => self.pending[last as usize].since != Since::Absent,
        }
    }

    /// What a key shows, with the open transaction.
    fn current(&self, key: KeyIdx) -> Option<Present<'_>> {
        let last = match self.keys.get(key).pending {
            NOT_PENDING => return self.committed(key),
            last => &self.pending[last as usize],
        };
        let since = match last.since {
            Since::Absent => return None,
            Since::History => self.committed(key)?.since,
            Since::Pending(number) => Place::Pending(number),
        };
        let value = last.value.as_slice();
        Some(Present { since, value })
    }

    /// What a key shows without the open transaction.
    fn committed(&self, key: KeyIdx) -> Option<Present<'_>> {
        self.keys.get(key).history.present(&self.writers)
    }

    fn view(&self, key: KeyIdx) -> Option<Value> {
        let present = self.current(key)?;
        Some(self.codec.stored(present.value))
    }

    /// Keys and values in map order. O(n log n).
    pub(crate) fn entries(&self) -> Vec<(String, Value)> {
        let entries = self.sorted(Self::current).into_iter();
        entries
            .map(|(key, value)| (key.to_owned(), self.codec.stored(value)))
            .collect()
    }

    fn sorted<'a>(
        &'a self,
        look: impl Fn(&'a Self, KeyIdx) -> Option<Present<'a>>,
    ) -> Vec<(&'a str, &'a [u8])> {
        let keys = self.keys.numbers();
        let mut present: Vec<_> = keys
            .filter_map(|key| Some((self.keys.key(key), look(self, key)?)))
            .collect();
        sort_by_key(&mut present, |(_, present)| present.since);
        let present = present.into_iter();
        present.map(|(key, present)| (key, present.value)).collect()
    }

    /// The blob of a snapshot; committed state only (defect 13.6). O(n log n).
    pub(crate) fn snapshot_state(&self) -> Vec<u8> {
        let entries = self.sorted(Self::committed);
        // A blob is kept for long: it gets the room that it needs.
        let sizes = entries
            .iter()
            .map(|(key, value)| prefixed_len(key.as_bytes()) + prefixed_len(value));
        let mut blob = Vec::with_capacity(uvarint_len(entries.len() as u64) + sizes.sum::<usize>());
        write_uvarint(&mut blob, entries.len() as u64);
        for (key, value) in entries {
            write_prefixed(&mut blob, key.as_bytes());
            write_prefixed(&mut blob, value);
        }
        blob
    }

    /// The operation that puts a value. A leading U+FEFF of the key does not survive (1.2).
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn set(&self, key: &str, value: &Value) -> Result<Operation, UnsupportedValue> {
        let mut body = Vec::with_capacity(key.len() + 16);
        write_prefixed(&mut body, key.as_bytes());
        self.codec.write_prefixed(value, &mut body)?;
        let kind = kind::INSERT;
        Ok(Operation { kind, body })
    }

    /// The operation that replaces a value if the key is there when it is replayed.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn update(&self, key: &str, value: &Value) -> Result<Operation, UnsupportedValue> {
        let kind = kind::UPDATE;
        let set = self.set(key, value)?;
        Ok(Operation { kind, ..set })
    }

    /// The operation that takes a key away.
    pub(crate) fn delete(key: &str) -> Operation {
        let kind = kind::DELETE;
        let mut body = Vec::with_capacity(key.len() + 2);
        write_prefixed(&mut body, key.as_bytes());
        Operation { kind, body }
    }

    /// Joins two neighbours of a transaction's queue (specification 8.8).
    pub(crate) fn compound<'a>(
        (kind, body): &QueuedOperation<'a>,
        (next_kind, next_body): &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        let key = |body| Reader::new(body).text().ok();
        if key(body)? != key(next_body)? {
            return None;
        }
        match (*kind, *next_kind) {
            (_, kind::DELETE | kind::INSERT) => Some((*next_kind, next_body.clone())),
            (kind::INSERT | kind::UPDATE, kind::UPDATE) => Some((*kind, next_body.clone())),
            (kind::DELETE, kind::UPDATE) => Some((kind::DELETE, body.clone())),
            _ => None,
        }
    }

    /// Heap memory held, in bytes (the allocator's part estimated). O(keys).
    pub(crate) fn heap_bytes(&self) -> usize {
        let numbers = self.keys.numbers();
        let histories = numbers.map(|key| self.keys.get(key).history.heap_bytes());
        self.keys.heap_bytes()
            + self.writers.heap_bytes()
            + self.pending.capacity() * size_of::<Pending>()
            + histories.sum::<usize>()
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self) {
        self.keys.check();
        let mut again = self.clone();
        let mut present = 0;
        let mut pending = 0;
        for number in self.keys.numbers() {
            let key = self.keys.get(number);
            key.history.check(&self.writers);
            present += usize::from(self.is_present(number));
            again.refold(key.pending);
            let mut at = key.pending;
            while at != NOT_PENDING {
                let op = &self.pending[at as usize];
                assert_eq!(op.key, number);
                assert_eq!(op.since, again.pending[at as usize].since);
                assert!(op.before == NOT_PENDING || op.before < at);
                at = op.before;
                pending += 1;
            }
        }
        assert_eq!(present, self.len);
        assert_eq!(pending, self.pending.len());
    }
}

fn prefixed_len(bytes: &[u8]) -> usize {
    uvarint_len(bytes.len() as u64) + bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Hlc, PeerId};
    use crate::testing::Rng;
    use std::borrow::Cow;

    fn order(clock: u64) -> OrderKey {
        OrderKey::new(PeerId::from_bytes([1; 16]), Hlc::from_u64(clock))
    }

    /// The table of 8.8, and that a joined operation does what the two did.
    #[test]
    fn neighbours_join_by_the_table() {
        let map = MapState::new(ValueCodec::Json);
        let operations = |key: &str, value: i64| {
            let set = map.set(key, &value.into()).unwrap();
            let update = map.update(key, &value.into()).unwrap();
            [set, MapState::delete(key), update]
        };
        let queued = |operation: &Operation| (operation.kind, Cow::from(operation.body.clone()));
        let (first, second) = (operations("k", 1), operations("k", 2));
        let table = [
            [Some(&second[0]), Some(&second[1]), Some(&second[0])],
            [Some(&second[0]), Some(&second[1]), Some(&first[1])],
            [Some(&second[0]), Some(&second[1]), Some(&second[2])],
        ];
        for (a, row) in first.iter().zip(table) {
            for (b, expected) in second.iter().zip(row) {
                let joined = MapState::compound(&queued(a), &queued(b));
                assert_eq!(joined, expected.map(queued));
                let (kind, body) = joined.unwrap();
                for before in [None, Some(map.set("k", &0.into()).unwrap())] {
                    let mut one_by_one = MapState::new(ValueCodec::Json);
                    let mut at_once = MapState::new(ValueCodec::Json);
                    for state in [&mut one_by_one, &mut at_once] {
                        let before = before.iter();
                        before.for_each(|set| {
                            state.apply(order(1), set.kind, &set.body, None).unwrap()
                        });
                    }
                    one_by_one.apply(order(2), a.kind, &a.body, None).unwrap();
                    one_by_one.apply(order(3), b.kind, &b.body, None).unwrap();
                    at_once.apply(order(2), kind, &body, None).unwrap();
                    assert_eq!(one_by_one.entries(), at_once.entries());
                }
            }
        }
        for other in operations("other", 2) {
            assert_eq!(
                MapState::compound(&queued(&first[0]), &queued(&other)),
                None
            );
        }
    }

    #[test]
    fn values_that_the_codec_cannot_carry_are_refused_before_they_are_queued() {
        let json = MapState::new(ValueCodec::Json);
        assert!(json.set("k", &f64::NAN.into()).is_err());
        assert!(json.update("k", &Value::Bytes(vec![1])).is_err());
        let bytes = MapState::new(ValueCodec::Bytes);
        assert!(bytes.set("k", &1.into()).is_err());
        let operation = bytes.set("k", &Value::Bytes(vec![0xff, 0])).unwrap();
        assert_eq!(operation.body, [1, b'k', 2, 0xff, 0]);
    }

    fn random_op(rng: &mut Rng, number: usize) -> Operation {
        let map = MapState::new(ValueCodec::Json);
        let key = ["a", "b", "c"][rng.below(3)];
        // Some too long to live in place.
        let value = Value::from("x".repeat(rng.below(30)) + &number.to_string());
        match rng.below(4) {
            0 => MapState::delete(key),
            1 => map.update(key, &value).unwrap(),
            _ => map.set(key, &value).unwrap(),
        }
    }

    /// What a transaction showed becomes committed as if it had been taken back and committed.
    #[test]
    fn promoted_operations_equal_committed_ones() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut promoted = MapState::new(ValueCodec::Json);
            let mut clock = 0;
            for _ in 0..6 {
                let committed = promoted.clone();
                let mut folded = committed;
                let mut places = Vec::new();
                for number in 0..rng.below(8) {
                    let op = random_op(&mut rng, number);
                    promoted.apply_pending(op.kind, &op.body, None).unwrap();
                    promoted.check();
                    clock += 2;
                    places.push(order(clock));
                    let place = order(clock);
                    folded.apply(place, op.kind, &op.body, None).unwrap();
                }
                let shown = promoted.entries();
                assert!(promoted.can_promote(places.len()));
                assert!(!promoted.can_promote(places.len() + 1));
                promoted.promote_pending(&places);
                promoted.check();
                assert_eq!(promoted.entries(), shown, "seed {seed}");
                assert_eq!(promoted.snapshot_state(), folded.snapshot_state());
                assert_eq!(promoted.len(), folded.len());
                // A late one lands between the same operations.
                let op = random_op(&mut rng, 99);
                let late = order(1 + 2 * rng.below(clock as usize / 2 + 1) as u64);
                for map in [&mut promoted, &mut folded] {
                    map.apply(late, op.kind, &op.body, None).unwrap();
                    map.check();
                }
                assert_eq!(promoted.entries(), folded.entries(), "seed {seed}");
            }
        }
    }

    /// Forgetting changes nothing that shows, now or after operations behind what was forgotten.
    #[test]
    fn a_map_that_forgot_goes_on_as_before() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut full = MapState::new(ValueCodec::Json);
            for number in 0..20 {
                let op = random_op(&mut rng, number);
                let place = order(rng.below(50) as u64);
                full.apply(place, op.kind, &op.body, None).unwrap();
            }
            let limit = rng.below(60) as u64;
            let mut short = full.clone();
            short.forget(&|place| place.hlc.to_u64() <= limit);
            short.check();
            assert_eq!(short.snapshot_state(), full.snapshot_state());
            if limit >= 50 {
                for key in ["a", "b", "c"] {
                    assert!(short.newest_first(key).count() <= 2);
                }
            }
            for number in 0..10 {
                let op = random_op(&mut rng, number);
                let place = order(limit + 1 + rng.below(60) as u64);
                for map in [&mut full, &mut short] {
                    map.apply(place, op.kind, &op.body, None).unwrap();
                    map.check();
                }
                assert_eq!(short.snapshot_state(), full.snapshot_state(), "seed {seed}");
            }
        }
    }

    /// A key that is deleted and put again moves to the end; one that is only put again does not.
    #[test]
    fn keys_stand_where_they_last_appeared() {
        let mut map = MapState::new(ValueCodec::Json);
        map.seed(&[2, 1, b'x', 1, b'0', 1, b'y', 1, b'0']).unwrap();
        let mut apply = |clock, operation: Operation| {
            map.apply(order(clock), operation.kind, &operation.body, None)
                .unwrap();
            map.check();
            let keys: String = map.entries().into_iter().map(|(key, _)| key).collect();
            keys
        };
        let set = |key: &str| MapState::new(ValueCodec::Json).set(key, &1.into()).unwrap();
        assert_eq!(apply(10, set("a")), "xya");
        assert_eq!(apply(20, set("x")), "xya");
        assert_eq!(apply(15, MapState::delete("x")), "yax");
        assert_eq!(apply(5, set("b")), "ybax");
    }
}
