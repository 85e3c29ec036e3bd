//! Movable lists against operations that no honest peer makes, in any order: the state may ask for
//! a replay, and without one it has to be right.

use super::movable_list::MovableListState;
use super::movable_list_body::MovableBody;
use super::movable_list_oracle::{Op, Peer, peer_id, random_blob, recorded};
use super::operation::Operation;
use super::state::ByteState;
use crate::clock::{Hlc, OrderKey, PeerId};
use crate::codec::ElementId;
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::document::ValueCodec;
use crate::testing::Rng;

fn forged_id(rng: &mut Rng, out: &mut Vec<u8>) {
    let id = ElementId {
        peer: peer_id(rng.below(3)),
        counter: match rng.below(60) {
            0 => u64::from(u32::MAX) + rng.below(2) as u64,
            _ => rng.below(7) as u64,
        },
    };
    ElementId::write((rng.below(12) > 0).then_some(id), out);
}

fn forged_body(rng: &mut Rng, made: &mut i64) -> (u8, Vec<u8>) {
    let kind = [0, 0, 1, 2, 3, 3, 3, 4][rng.below(8)];
    let mut body = Vec::new();
    let mut value = |rng: &mut Rng, body: &mut Vec<u8>| {
        *made += 1;
        let text = match rng.below(20) {
            0 => "x".to_owned(),
            1 => format!(" {made}e0 "),
            _ => made.to_string(),
        };
        write_prefixed(body, text.as_bytes());
    };
    let clock = |rng: &mut Rng| (rng.below(5) as u64).to_be_bytes();
    let count = 1 + rng.below(3);
    match kind {
        0 => {
            (0..2).for_each(|_| forged_id(rng, &mut body));
            write_uvarint(&mut body, count as u64);
            for _ in 0..count {
                (0..2).for_each(|_| forged_id(rng, &mut body));
                value(rng, &mut body);
            }
        }
        1 => {
            write_uvarint(&mut body, 1);
            forged_id(rng, &mut body);
        }
        2 => {
            body.extend(clock(rng));
            write_uvarint(&mut body, count as u64);
            for _ in 0..count {
                forged_id(rng, &mut body);
                value(rng, &mut body);
            }
        }
        _ => {
            (0..4).for_each(|_| forged_id(rng, &mut body));
            body.extend(clock(rng));
        }
    }
    if rng.below(15) == 0 {
        body.truncate(rng.below(body.len()));
    }
    (kind, body)
}

/// One replica to which operations come as the document gives them to a state: it replays if
/// something came late and the state asks for it.
struct Replica {
    blob: Vec<u8>,
    ops: Vec<Op>,
    peer: Peer,
    newest: Option<OrderKey>,
    late_count: usize,
    replay_count: usize,
}

impl Replica {
    fn new(blob: Vec<u8>) -> Self {
        let mut peer = Peer {
            id: peer_id(0),
            clock: Hlc::ZERO,
            state: MovableListState::new(ValueCodec::Json),
            known: Vec::new(),
            pending: Vec::new(),
        };
        peer.state.seed(&blob).unwrap();
        Replica {
            blob,
            ops: Vec::new(),
            peer,
            newest: None,
            late_count: 0,
            replay_count: 0,
        }
    }

    fn take(&mut self, order: OrderKey, kind: u8, body: Vec<u8>, context: &str) {
        recorded(
            &mut self.peer.state,
            |state, recorder| {
                let _ = state.apply(order, kind, &body, recorder);
            },
            context,
        );
        self.peer.known.push(self.ops.len());
        self.ops.push(Op {
            order,
            kind,
            body,
            deps: Vec::new(),
        });
        if !self.peer.pending.is_empty() || self.newest.is_some_and(|newest| newest > order) {
            self.late_count += 1;
            if self.peer.state.is_order_sensitive() {
                self.replay_count += 1;
                self.peer.fold_anew(&self.blob, &self.ops);
            }
        }
        self.newest = self.newest.max(Some(order));
        self.compare(context);
    }

    fn compare(&self, context: &str) {
        self.peer.state.check();
        assert_eq!(
            self.peer.state.values(),
            self.peer.expected(&self.blob, &self.ops),
            "{context}: {:?}",
            self.ops
        );
    }

    /// Begins or goes on with a transaction.
    fn edit(&mut self, op: Operation, context: &str) {
        recorded(
            &mut self.peer.state,
            |state, recorder| state.apply_pending(op.kind, &op.body, recorder).unwrap(),
            context,
        );
        self.peer.pending.push(op);
        self.compare(context);
    }

    /// Ends it. The clock of a document is larger than all that it has seen.
    fn commit(&mut self, latest: &mut u64, context: &str) {
        let mut places = Vec::new();
        for op in std::mem::take(&mut self.peer.pending) {
            *latest += 1;
            let order = OrderKey::new(peer_id(0), Hlc::from_u64(*latest));
            places.push(order);
            self.peer.known.push(self.ops.len());
            self.ops.push(Op {
                order,
                kind: op.kind,
                body: op.body,
                deps: Vec::new(),
            });
            self.newest = self.newest.max(Some(order));
        }
        self.peer.state.promote_pending(&places);
        self.compare(context);
    }
}

#[test]
fn forged_operations_in_any_order_give_the_fold_in_replay_order() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mut made = 0;
        let blob = match rng.below(2) {
            0 => random_blob(&mut rng),
            _ => Vec::new(),
        };
        let mut replica = Replica::new(blob);
        for step in 0..20 {
            let clock = Hlc::from_u64(1 + rng.below(90) as u64);
            let order = OrderKey::new(peer_id(rng.below(3)), clock);
            if replica.ops.iter().all(|op| op.order != order) {
                let (kind, body) = forged_body(&mut rng, &mut made);
                replica.take(order, kind, body, &format!("seed {seed}, step {step}"));
            }
        }
    }
}

/// An operation with ids that others made, or that were left out, in any role.
fn odd_operation(rng: &mut Rng, peer: PeerId, next: u64, ops: &[Op]) -> (u8, Vec<u8>) {
    let mut made = Vec::new();
    for op in ops {
        let _ = MovableBody::for_each_produced(op.kind, &op.body, |id| made.push(id));
    }
    let known = |rng: &mut Rng| match made.get(rng.below(made.len() + 1)) {
        Some(id) => *id,
        None => ElementId {
            peer: peer_id(rng.below(3)),
            counter: rng.below(next as usize + 3) as u64,
        },
    };
    let any = |rng: &mut Rng| match rng.below(3) {
        0 => ElementId {
            peer,
            counter: next + rng.below(3) as u64,
        },
        _ => known(rng),
    };
    let origins = [Some(known(rng)), Some(known(rng))];
    let mut body = Vec::new();
    if rng.below(2) == 0 {
        ElementId::write(Some(known(rng)), &mut body);
        ElementId::write(Some(any(rng)), &mut body);
        origins
            .into_iter()
            .for_each(|id| ElementId::write(id, &mut body));
        body.extend((rng.below(6) as u64).to_be_bytes());
        return (3, body);
    }
    origins
        .into_iter()
        .for_each(|id| ElementId::write(id, &mut body));
    body.push(1);
    ElementId::write(Some(any(rng)), &mut body);
    ElementId::write(Some(any(rng)), &mut body);
    write_prefixed(&mut body, b"-1");
    (0, body)
}

/// Authors mostly number their elements and changes as they should, but at times the clock of a
/// change is smaller than those of changes that it builds on, or one operation is forged.
#[test]
fn only_forged_operations_need_a_replay() {
    let (mut late_count, mut replay_count, mut quiet_count) = (0, 0, 0);
    for seed in 0..2500 {
        let mut rng = Rng::new(seed);
        let mut made = 0;
        let mut replica = Replica::new(random_blob(&mut rng));
        let mut latest = [0; 3];
        let ahead = 1 + rng.below(6);
        let odd = if rng.below(3) == 0 { 4 } else { 20 };
        for step in 0..12 {
            let context = format!("seed {seed}, step {step}");
            let author = rng.below(3);
            replica.peer.id = peer_id(author);
            replica.peer.clock = Hlc::from_u64(rng.below(6) as u64);
            let newest = latest.iter().max().copied().unwrap_or(0);
            if author == 0 && (rng.below(2) == 0 || !replica.peer.pending.is_empty()) {
                if rng.below(2) == 0 {
                    let op = replica.peer.random_edit(&mut rng, &mut made).0;
                    replica.edit(op, &context);
                } else {
                    latest[0] = newest;
                    replica.commit(&mut latest[0], &context);
                }
                continue;
            }
            let clock = match rng.below(20) {
                0 => 0,
                1..=4 => latest[author],
                _ => newest,
            } + 1
                + rng.below(ahead) as u64;
            let order = OrderKey::new(replica.peer.id, Hlc::from_u64(clock));
            if replica.ops.iter().any(|op| op.order == order) {
                continue;
            }
            latest[author] = clock.max(latest[author]);
            let (kind, body) = match rng.below(odd) {
                0 => {
                    let peer = replica.peer.id;
                    let author = replica.peer.state.author(peer);
                    let next = replica.peer.state.counters(author, 0).unwrap();
                    odd_operation(&mut rng, peer, u64::from(next), &replica.ops)
                }
                _ => {
                    let op = replica.peer.random_edit(&mut rng, &mut made).0;
                    (op.kind, op.body)
                }
            };
            replica.take(order, kind, body, &context);
        }
        late_count += replica.late_count;
        replay_count += replica.replay_count;
        quiet_count += usize::from(replica.late_count > 0 && replica.replay_count == 0);
    }
    // Otherwise the test would say nothing about either way.
    assert!(
        replay_count > 500 && late_count > replay_count + 500 && quiet_count > 200,
        "{replay_count} of {late_count}, {quiet_count}"
    );
}
