//! Movable lists against the literal rules of the specification (9.12, chapter 10): all
//! operations folded one by one in replay order.
//!
//! Here: scripts of honest peers, which edit, also in transactions that are committed or rolled
//! back, and take in each other's operations in random causal orders.

use super::movable_list::MovableListState;
use super::operation::Operation;
use super::state::ByteState;
use crate::clock::{Authors, Hlc, OrderKey, PeerId};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, ElementId, Reader, Value, json};
use crate::document::ValueCodec;
use crate::document::handler::Recorder;
use crate::document::list_delta::{self, ListDelta};
use crate::sequence::ElementKey;
use crate::sequence::model::Model;
use crate::testing::Rng;

#[derive(Clone, Debug)]
pub(super) struct Op {
    pub order: OrderKey,
    pub kind: u8,
    pub body: Vec<u8>,
    /// Operations its author knew.
    pub deps: Vec<usize>,
}

struct Element {
    identity: ElementKey,
    value: Value,
    value_clock: u64,
    position: ElementKey,
    position_clock: u64,
    deleted: bool,
}

/// The specification.
#[derive(Default)]
struct Literal {
    authors: Authors,
    tree: Model,
    /// The slots that were made, with their identities.
    slots: Vec<(ElementKey, ElementKey)>,
    elements: Vec<Element>,
}

impl Literal {
    fn seed(&mut self, blob: &[u8]) {
        if blob.is_empty() {
            return;
        }
        let mut reader = Reader::new(blob);
        let mut left = ElementKey::NULL;
        for _ in 0..reader.uvarint().unwrap() {
            let (identity, position) = (self.id(&mut reader), self.id(&mut reader));
            let (identity, position) = (identity.unwrap(), position.unwrap());
            let clocks = [clock(&mut reader).unwrap(), clock(&mut reader).unwrap()];
            let deleted = reader.byte("").unwrap() != 0;
            let value = json::decode(reader.prefixed().unwrap()).unwrap();
            assert!(self.slot(position, left, ElementKey::NULL, identity));
            left = position;
            self.elements.push(Element {
                identity,
                value,
                value_clock: clocks[1],
                position,
                position_clock: clocks[0],
                deleted,
            });
        }
    }

    fn id(&mut self, reader: &mut Reader<'_>) -> Result<ElementKey, DecodeError> {
        let Some(id) = ElementId::read(reader)? else {
            return Ok(ElementKey::NULL);
        };
        let counter = u32::try_from(id.counter)
            .ok()
            .filter(|counter| *counter < u32::MAX)
            .ok_or(reader.error("too large for the engine"))?;
        Ok(ElementKey {
            author: self.authors.intern(id.peer),
            counter,
        })
    }

    /// False if the id is taken.
    fn slot(
        &mut self,
        id: ElementKey,
        left: ElementKey,
        right: ElementKey,
        identity: ElementKey,
    ) -> bool {
        let is_new = !id.is_null() && self.tree.insert(id, left, right, &self.authors);
        if is_new {
            self.slots.push((id, identity));
        }
        is_new
    }

    fn find(&mut self, identity: ElementKey) -> Option<&mut Element> {
        self.elements.iter_mut().find(|it| it.identity == identity)
    }

    /// Undecodable operations are skipped: all that can fail is read before anything happens.
    fn fold(&mut self, kind: u8, body: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        let reader = &mut reader;
        match kind {
            0 => {
                let (mut left, right) = (self.id(reader)?, self.id(reader)?);
                let mut items = Vec::new();
                for _ in 0..reader.uvarint()? {
                    let (identity, position) = (self.id(reader)?, self.id(reader)?);
                    items.push((identity, position, json::decode(reader.prefixed()?)?));
                }
                for (identity, position, value) in items {
                    if !self.slot(position, left, right, identity) {
                        break;
                    }
                    left = position;
                    if self.find(identity).is_none() {
                        self.elements.push(Element {
                            identity,
                            value,
                            value_clock: 0,
                            position,
                            position_clock: 0,
                            deleted: false,
                        });
                    }
                }
            }
            1 => {
                let mut identities = Vec::new();
                for _ in 0..reader.uvarint()? {
                    identities.push(self.id(reader)?);
                }
                for identity in identities {
                    self.find(identity)
                        .into_iter()
                        .for_each(|it| it.deleted = true);
                }
            }
            2 => {
                let clock = clock(reader)?;
                let mut items = Vec::new();
                for _ in 0..reader.uvarint()? {
                    items.push((self.id(reader)?, json::decode(reader.prefixed()?)?));
                }
                for (identity, value) in items {
                    if let Some(it) = self.find(identity).filter(|it| clock > it.value_clock) {
                        (it.value, it.value_clock) = (value, clock);
                    }
                }
            }
            3 => {
                let (identity, position) = (self.id(reader)?, self.id(reader)?);
                let (left, right) = (self.id(reader)?, self.id(reader)?);
                let clock = clock(reader)?;
                if self.slot(position, left, right, identity) {
                    let known = self.find(identity);
                    if let Some(it) = known.filter(|it| clock > it.position_clock) {
                        (it.position, it.position_clock) = (position, clock);
                    }
                }
            }
            _ => (),
        }
        Ok(())
    }

    fn values(&self) -> Vec<Value> {
        let order = self.tree.elements().into_iter();
        let shown = order.filter_map(|(slot, _)| {
            let (_, identity) = self.slots.iter().find(|(id, _)| *id == slot)?;
            let it = self.elements.iter().find(|it| it.identity == *identity)?;
            (!it.deleted && it.position == slot).then(|| it.value.clone())
        });
        shown.collect()
    }

    fn of(blob: &[u8], ops: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Vec<Value> {
        let mut literal = Literal::default();
        literal.seed(blob);
        for (kind, body) in ops {
            let _ = literal.fold(kind, &body);
        }
        literal.values()
    }
}

fn clock(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    Ok(u64::from_be_bytes(reader.array("a clock")?))
}

pub(super) fn peer_id(number: usize) -> PeerId {
    // Their order is not that of their numbers.
    let mut bytes = [0; 16];
    bytes[0] = (number * 77 % 256) as u8;
    PeerId::from_bytes(bytes)
}

pub(super) struct Peer {
    pub id: PeerId,
    pub clock: Hlc,
    pub state: MovableListState,
    pub known: Vec<usize>,
    pub pending: Vec<Operation>,
}

impl Peer {
    /// What a replay gives.
    pub fn fold_anew(&mut self, blob: &[u8], ops: &[Op]) {
        self.state = MovableListState::new(ValueCodec::Json);
        self.state.seed(blob).unwrap();
        let mut known: Vec<&Op> = self.known.iter().map(|number| &ops[*number]).collect();
        known.sort_by_key(|op| op.order);
        for op in known {
            let _ = self
                .state
                .apply(op.order, op.kind, &op.body, &mut Recorder::Off);
        }
        for op in &self.pending {
            self.state
                .apply_pending(op.kind, &op.body, &mut Recorder::Off)
                .unwrap();
        }
    }

    pub fn expected(&self, blob: &[u8], ops: &[Op]) -> Vec<Value> {
        let mut known: Vec<&Op> = self.known.iter().map(|number| &ops[*number]).collect();
        known.sort_by_key(|op| op.order);
        let committed = known.into_iter().map(|op| (op.kind, op.body.clone()));
        let pending = self.pending.iter().map(|op| (op.kind, op.body.clone()));
        Literal::of(blob, committed.chain(pending))
    }

    /// A local operation, and the list that it should make.
    pub fn random_edit(&mut self, rng: &mut Rng, made: &mut i64) -> (Operation, Vec<Value>) {
        let state = &mut self.state;
        let mut list = state.values();
        let len = list.len();
        // Often the same few elements.
        let near = if rng.below(2) == 0 { len } else { len.min(2) };
        let at = rng.below(near + 1);
        let index = at as u32;
        *made += 1;
        let value = Value::Int(*made);
        let bytes = state.encoded(&value).unwrap();
        let author = state.author(self.id);
        let counter = state.counters(author, 6).unwrap();
        let body = match rng.below(7) {
            choice if at == len || choice == 0 => {
                let values = vec![value; 1 + rng.below(3)];
                let bytes = vec![bytes; values.len()];
                list.splice(at..at, values);
                Some(state.insertion(index, bytes, author, counter))
            }
            1 if rng.below(2) == 0 => {
                let count = (1 + rng.below(3)).min(len - at);
                list.drain(at..at + count);
                Some(state.removal(index, count as u32))
            }
            1..=3 => {
                list[at] = value;
                state.update(index, bytes, self.clock)
            }
            _ => {
                let to = rng.below(len);
                let moved = list.remove(at);
                list.insert(to, moved);
                let position = ElementKey { author, counter };
                state.relocation(index, to as u32, position, self.clock)
            }
        };
        let written = body.expect("there is a clock that wins");
        let mut body = Vec::new();
        state.write(&written, &mut body);
        let kind = written.kind();
        (Operation { kind, body }, list)
    }
}

/// Folds one operation with a recorder on; the delta leads from the list before to the one after.
pub(super) fn recorded(
    state: &mut MovableListState,
    fold: impl FnOnce(&mut MovableListState, &mut Recorder),
    context: &str,
) {
    let before = state.values();
    let mut recorder = Recorder::List(ListDelta::default());
    fold(state, &mut recorder);
    let Recorder::List(delta) = recorder else {
        panic!("it stays on");
    };
    let steps = delta.finish();
    assert_eq!(
        list_delta::apply(&before, &steps),
        state.values(),
        "{context}: {steps:?}"
    );
}

pub(super) fn random_blob(rng: &mut Rng) -> Vec<u8> {
    let mut blob = Vec::new();
    let count = rng.below(5);
    write_uvarint(&mut blob, count as u64);
    for nth in 0..count {
        for counter in [2 * nth, 2 * nth + 1] {
            let peer = peer_id(nth % 2);
            ElementId::write(
                Some(ElementId {
                    peer,
                    counter: counter as u64,
                }),
                &mut blob,
            );
        }
        for _ in 0..2 {
            blob.extend_from_slice(&(rng.below(4) as u64).to_be_bytes());
        }
        blob.push(u8::from(rng.below(8) == 0));
        write_prefixed(&mut blob, format!(" {}.5", 1000 + nth).as_bytes());
    }
    if rng.below(4) > 0 {
        blob.push(0);
    }
    blob
}

#[test]
fn any_causal_order_gives_the_fold_in_replay_order() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let blob = match rng.below(3) {
            0 => random_blob(&mut rng),
            _ => Vec::new(),
        };
        let mut peers: Vec<Peer> = (0..2 + rng.below(4))
            .map(|number| Peer {
                id: peer_id(number),
                clock: Hlc::from_u64(rng.below(3) as u64),
                state: MovableListState::new(ValueCodec::Json),
                known: Vec::new(),
                pending: Vec::new(),
            })
            .collect();
        peers
            .iter_mut()
            .for_each(|peer| peer.state.seed(&blob).unwrap());
        let mut ops: Vec<Op> = Vec::new();
        let mut made = 0;
        for step in 0..60 {
            let number = rng.below(peers.len());
            let context = format!("seed {seed}, step {step}");
            honest_step(
                &mut rng,
                &mut peers[number],
                &blob,
                &mut ops,
                &mut made,
                &context,
            );
            let peer = &peers[number];
            peer.state.check();
            assert_eq!(peer.state.values(), peer.expected(&blob, &ops), "{context}");
            assert!(!peer.state.is_order_sensitive(), "{context}");
            let shown = peer.state.values();
            assert_eq!(shown.len() as u32, peer.state.len());
            if let Some(value) = shown.last() {
                assert_eq!(peer.state.get(shown.len() as u32 - 1).as_ref(), Some(value));
            }
        }
    }
}

fn honest_step(
    rng: &mut Rng,
    peer: &mut Peer,
    blob: &[u8],
    ops: &mut Vec<Op>,
    made: &mut i64,
    context: &str,
) {
    match rng.below(8) {
        0..=2 => {
            // A write wins over all that is known here (defect 13.12).
            let (op, wanted) = peer.random_edit(rng, made);
            if rng.below(2) == 0 || !peer.pending.is_empty() {
                recorded(
                    &mut peer.state,
                    |state, recorder| state.apply_pending(op.kind, &op.body, recorder).unwrap(),
                    context,
                );
                peer.pending.push(op);
            } else {
                let order = commit(peer, ops, &op);
                recorded(
                    &mut peer.state,
                    |state, recorder| state.apply(order, op.kind, &op.body, recorder).unwrap(),
                    context,
                );
            }
            assert_eq!(peer.state.values(), wanted, "{context}");
        }
        3 if !peer.pending.is_empty() => {
            let pending = std::mem::take(&mut peer.pending);
            assert!(peer.state.can_promote(pending.len()));
            let places: Vec<_> = pending.iter().map(|op| commit(peer, ops, op)).collect();
            peer.state.promote_pending(&places);
        }
        4 if !peer.pending.is_empty() && rng.below(2) == 0 => {
            peer.pending.clear();
            peer.fold_anew(blob, ops);
        }
        5 if rng.below(4) == 0 => peer.fold_anew(blob, ops),
        6 if rng.below(8) == 0 => {
            // As the log does when it is pruned.
            let known: Vec<OrderKey> = peer.known.iter().map(|at| ops[*at].order).collect();
            let before = peer.state.heap_bytes();
            peer.state.forget(&|order| known.contains(&order));
            assert!(peer.state.heap_bytes() <= before, "{context}");
        }
        _ => {
            let known = &peer.known;
            let ready = (0..ops.len()).filter(|number| {
                !known.contains(number) && ops[*number].deps.iter().all(|dep| known.contains(dep))
            });
            let ready: Vec<usize> = ready.collect();
            if ready.is_empty() {
                return;
            }
            let number = ready[rng.below(ready.len())];
            let op = &ops[number];
            recorded(
                &mut peer.state,
                |state, recorder| state.apply(op.order, op.kind, &op.body, recorder).unwrap(),
                context,
            );
            peer.known.push(number);
            peer.clock = peer.clock.receive_event(0, op.order.hlc);
        }
    }
}

/// Makes a change of an operation.
fn commit(peer: &mut Peer, ops: &mut Vec<Op>, op: &Operation) -> OrderKey {
    let order = OrderKey::new(peer.id, peer.clock.local_event(0));
    let deps = peer.known.clone();
    peer.known.push(ops.len());
    ops.push(Op {
        order,
        kind: op.kind,
        body: op.body.clone(),
        deps,
    });
    peer.clock = order.hlc.local_event(0);
    order
}

/// What a list writes into a snapshot is what a list seeded from it shows and writes.
#[test]
fn a_seeded_list_writes_the_same_elements() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mut state = MovableListState::new(ValueCodec::Json);
        state.seed(&random_blob(&mut rng)).unwrap();
        let blob = state.snapshot_state();
        let mut again = MovableListState::new(ValueCodec::Json);
        again.seed(&blob).unwrap();
        again.check();
        assert_eq!(again.values(), state.values(), "seed {seed}");
        assert_eq!(again.snapshot_state(), blob, "seed {seed}");
        for len in 0..blob.len() {
            // Cut off: nothing happens, or it is an empty list.
            if again.seed(&blob[..len]).is_err() {
                assert_eq!(again.values(), state.values(), "seed {seed}");
            } else {
                assert_eq!((len, again.len()), (0, 0), "seed {seed}");
                again.seed(&blob).unwrap();
            }
        }
    }
}
