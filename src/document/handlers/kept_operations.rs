//! What merging needs of a text or list by position: the operations themselves, since a state from
//! which others may start, too.
//!
//! Operations by position commute with nothing, so two results cannot be joined; but whoever has
//! the operations of both sides can do them again in the order of replay. A state therefore keeps
//! some of them beyond pruning, and knows of the rest which ones they were. Two states can be
//! joined if what one has forgotten the other has, or has forgotten, too.

use super::operation::Operation;
use crate::clock::{Hlc, OperationId, OrderKey, PeerId};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::native::rows::{read_clock, write_clock};
use crate::codec::{DecodeError, Reader};
use std::collections::{BTreeMap, HashMap};

/// How many operations a text or list by position keeps when its history is pruned: those that
/// two replicas may make apart from each other and still join their snapshots.
pub(crate) const KEPT_OPERATIONS_MAX: usize = if cfg!(any(test, fuzzing)) { 48 } else { 1024 };

/// How many elements that these operations took out are kept.
pub(crate) const KEPT_ELEMENTS_MAX: usize = if cfg!(any(test, fuzzing)) {
    256
} else {
    65_536
};

/// Where the history of a state is known no longer. Of operations that it has forgotten: the clock
/// of the last of each author.
pub(crate) type Forgotten = BTreeMap<PeerId, Hlc>;

/// The largest place of a forgotten operation.
pub(crate) fn latest(forgotten: &Forgotten) -> Option<OrderKey> {
    let places = forgotten.iter();
    places
        .map(|(peer, clock)| OrderKey::new(*peer, *clock))
        .max()
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptOperations {
    /// What the state was before them, as crdt_lf's snapshots have it.
    pub base: Vec<u8>,
    /// What made the base. None: that is not known, and it can be joined with nothing.
    pub forgotten: Option<Forgotten>,
    /// In the order in which they were done: that of replay, but for those that came after a
    /// snapshot which did not know them.
    pub operations: Vec<(OrderKey, Operation)>,
}

/// A state that can keep operations.
pub(crate) trait Keeping {
    /// Without `all` no more than what pruning leaves.
    fn kept(&self, all: bool) -> KeptOperations;

    /// Becomes what `kept` tells.
    fn restore(&mut self, kept: &KeptOperations) -> Result<(), DecodeError>;

    /// Joins another state with this one. `Ok(false)`: they cannot be joined, and this one did not
    /// change.
    fn join(&mut self, theirs: &KeptOperations) -> Result<bool, DecodeError> {
        if theirs.is_untouched() {
            return Ok(true);
        }
        let ours = self.kept(true);
        let joined = match ours.is_untouched() {
            true => Some(theirs.clone()),
            false => ours.joined(theirs),
        };
        joined.map_or(Ok(false), |joined| self.restore(&joined).map(|()| true))
    }
}

impl KeptOperations {
    fn is_untouched(&self) -> bool {
        let is_new = self.forgotten.as_ref().is_some_and(Forgotten::is_empty);
        is_new && self.operations.is_empty()
    }

    /// Both in the order of replay, if they start from the same state.
    fn joined(&self, other: &KeptOperations) -> Option<KeptOperations> {
        let [ours, theirs] = [self.forgotten.as_ref()?, other.forgotten.as_ref()?];
        let (longer, shorter) = match latest(ours) >= latest(theirs) {
            true => (self, other),
            false => (other, self),
        };
        let forgotten = longer.forgotten.as_ref()?;
        let limit = latest(forgotten);
        let is_behind = |order: OrderKey| limit.is_none_or(|limit| order > limit);
        // The one that knows more forgets as much: both know each author's from the first on.
        let mut also = shorter.forgotten.clone()?;
        for (order, _) in &shorter.operations {
            if !is_behind(*order) {
                raise(&mut also, *order);
            }
        }
        if also != *forgotten {
            return None;
        }
        let both = longer.operations.iter().chain(&shorter.operations);
        let mut operations: Vec<(OrderKey, Operation)> = both
            .filter(|(order, _)| is_behind(*order))
            .cloned()
            .collect();
        operations.sort_by_key(|(order, _)| *order);
        operations.dedup_by_key(|(order, _)| *order);
        Some(KeptOperations {
            base: longer.base.clone(),
            forgotten: Some(also),
            operations,
        })
    }

    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let forgotten = self.forgotten.iter().flatten();
        let forgotten = forgotten.map(|(peer, clock)| OrderKey::new(*peer, *clock));
        let orders = self.operations.iter().map(|(order, _)| *order);
        let mut peers: Vec<PeerId> = Vec::new();
        let mut numbers: HashMap<PeerId, u64> = HashMap::new();
        for order in forgotten.clone().chain(orders) {
            numbers.entry(order.peer).or_insert_with(|| {
                peers.push(order.peer);
                peers.len() as u64 - 1
            });
        }
        write_uvarint(&mut out, peers.len() as u64);
        for peer in &peers {
            out.extend_from_slice(peer.bytes());
        }
        let mut last = Hlc::ZERO;
        let mut write_order = |order: OrderKey, out: &mut Vec<u8>| {
            write_uvarint(out, numbers[&order.peer]);
            write_clock(last, order.hlc, out);
            last = order.hlc;
        };
        write_uvarint(
            &mut out,
            self.forgotten
                .as_ref()
                .map_or(0, |forgotten| forgotten.len() as u64 + 1),
        );
        forgotten.for_each(|order| write_order(order, &mut out));
        write_prefixed(&mut out, &self.base);
        write_uvarint(&mut out, self.operations.len() as u64);
        for (order, operation) in &self.operations {
            write_order(*order, &mut out);
            out.push(operation.kind);
            write_prefixed(&mut out, &operation.body);
        }
        out
    }

    /// Reads what [`write`](Self::write) wrote, but for what is in the operations.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut peers = Vec::new();
        for _ in 0..reader.count(PeerId::BYTES)? {
            peers.push(PeerId::from_bytes(reader.array("a peer id")?));
        }
        let mut last = Hlc::ZERO;
        let mut read_order = |reader: &mut Reader<'_>| {
            let unknown = reader.error("a peer is not known");
            let peer = usize::try_from(reader.uvarint()?).ok();
            let peer = peer.and_then(|at| peers.get(at)).ok_or(unknown)?;
            last = read_clock(last, reader)?;
            Ok(OperationId::new(*peer, last))
        };
        let mut kept = KeptOperations::default();
        if let Some(count) = reader.count_of(u64::from(u32::MAX))?.checked_sub(1) {
            let mut forgotten = Forgotten::new();
            for _ in 0..count {
                raise(&mut forgotten, read_order(&mut reader)?);
            }
            kept.forgotten = Some(forgotten);
        }
        kept.base = reader.prefixed()?.to_vec();
        for _ in 0..reader.count(4)? {
            let order = read_order(&mut reader)?;
            let kind = reader.byte("the kind of an operation")?;
            let body = reader.prefixed()?.to_vec();
            kept.operations.push((order, Operation { kind, body }));
        }
        reader.finish()?;
        Ok(kept)
    }
}

/// The operation is one of the forgotten.
pub(crate) fn raise(forgotten: &mut Forgotten, order: OrderKey) {
    let clock = forgotten.entry(order.peer).or_insert(order.hlc);
    *clock = order.hlc.max(*clock);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ValueCodec;
    use crate::document::handler::Recorder;
    use crate::document::handlers::plain_list::PlainListState;
    use crate::document::handlers::plain_text::PlainTextState;
    use crate::document::handlers::state::ByteState;
    use crate::testing::Rng;

    fn order(author: usize, clock: u64) -> OrderKey {
        OrderKey::new(PeerId::from_bytes([author as u8; 16]), Hlc::from_u64(clock))
    }

    type Made = (OrderKey, Operation);

    fn fold<S: ByteState>(state: &mut S, operations: &[Made]) {
        for (order, operation) in operations {
            let (kind, body) = (operation.kind, &operation.body);
            state.apply(*order, kind, body, &mut Recorder::Off).unwrap();
            state.settle(&mut Recorder::Off);
            state.check();
        }
    }

    /// Two states share some operations, make others, and forget when they like, sometimes more
    /// than they keep. Oracle: all operations in the order of replay, of those that could be
    /// joined; nothing changes where they could not.
    fn joins<S: ByteState + Keeping + Clone>(new: fn() -> S, op: fn(&mut Rng, usize) -> Operation) {
        let (mut joined_count, mut refused_count) = (0, 0);
        for seed in 0..400 {
            let mut rng = Rng::new(seed);
            let mut made = 0;
            let mut next = |rng: &mut Rng, author: usize| {
                made += 1;
                (order(author, made), op(rng, made as usize))
            };
            let mut states = [new(), new()];
            let mut known: [Vec<Made>; 2] = Default::default();
            let many = [4, 4, 4, 30][rng.below(4)];
            for _ in 0..1 + rng.below(3) {
                let common: Vec<Made> = (0..rng.below(many)).map(|_| next(&mut rng, 2)).collect();
                for (state, known) in states.iter_mut().zip(&mut known) {
                    fold(state, &common);
                    known.extend(common.iter().cloned());
                }
                for at in 0..2 {
                    let own: Vec<Made> = (0..rng.below(many)).map(|_| next(&mut rng, at)).collect();
                    fold(&mut states[at], &own);
                    known[at].extend(own);
                    if rng.below(2) == 0 {
                        states[at].history_pruned(&|_| true);
                        states[at].check();
                    }
                }
            }
            let shown = states.clone().map(|state| state.value());
            let bytes = states
                .clone()
                .map(|state| state.native_state(rng.below(2) == 0).unwrap());
            for (bytes, shown) in bytes.iter().zip(&shown) {
                let mut opened = new();
                assert!(opened.join_native(bytes).unwrap());
                opened.check();
                assert_eq!(opened.value(), *shown, "seed {seed}");
            }
            let mut all: Vec<Made> = known.concat();
            all.sort_by_key(|(order, _)| *order);
            all.dedup_by_key(|(order, _)| *order);
            let mut oracle = new();
            fold(&mut oracle, &all);
            let done = [0, 1].map(|at| states[at].join_native(&bytes[1 - at]).unwrap());
            for (at, state) in states.iter().enumerate() {
                state.check();
                let expected = if done[at] {
                    oracle.value()
                } else {
                    shown[at].clone()
                };
                assert_eq!(state.value(), expected, "seed {seed}");
            }
            // Few operations are always kept.
            assert!(many > 4 || done == [true, true], "seed {seed}");
            joined_count += usize::from(done[0]);
            refused_count += usize::from(!done[0]);
        }
        assert!(
            joined_count > 200 && refused_count > 20,
            "{joined_count}, {refused_count}"
        );
    }

    #[test]
    fn states_that_know_enough_are_joined_without_loss() {
        joins(PlainTextState::default, |rng, number| {
            let index = rng.below(12) as u64;
            match rng.below(4) {
                0 => PlainTextState::remove(index, rng.below(5) as u64),
                1 => PlainTextState::update(index, &[number as u16, 0x78]),
                _ => PlainTextState::insert(index, &[number as u16, 0x2f, 0x2f]),
            }
        });
        joins(
            || PlainListState::new(ValueCodec::Json),
            |rng, number| {
                let index = rng.below(12) as u64;
                let list = PlainListState::new(ValueCodec::Json);
                let value = (number as i64).into();
                match rng.below(4) {
                    0 => PlainListState::remove(index, rng.below(5) as u64),
                    1 => list.update(index, &value).unwrap(),
                    _ => list.insert(index, &value).unwrap(),
                }
            },
        );
    }

    /// What a crdt_lf snapshot brought can be joined with nothing but an untouched state.
    #[test]
    fn a_state_of_unknown_origin_is_not_joined() {
        let mut seeded = PlainTextState::default();
        seeded.seed(b"abc").unwrap();
        let bytes = seeded.native_state(true).unwrap();
        let mut other = PlainTextState::default();
        fold(
            &mut other,
            &[(order(1, 5), PlainTextState::insert(0, &[0x78]))],
        );
        assert!(!other.join_native(&bytes).unwrap());
        assert!(
            !seeded
                .join_native(&other.native_state(true).unwrap())
                .unwrap()
        );
        assert_eq!(other.to_utf8(), "x");
        assert_eq!(seeded.to_utf8(), "abc");
        let mut untouched = PlainTextState::default();
        assert!(untouched.join_native(&bytes).unwrap());
        assert_eq!(untouched.to_utf8(), "abc");
    }
}
