//! Random scripts against the literal tree of the specification.

use super::model::Model;
use super::{Chain, Content, ElementKey, Removed, Sequence};
use crate::clock::{AuthorIdx, Authors, PeerId};
use crate::testing::Rng;

const UNREPORTED: Option<fn(u32, Removed)> = None;

fn peers(rng: &mut Rng, count: usize) -> Authors {
    let mut authors = Authors::default();
    for _ in 0..count {
        let mut bytes = [0; 16];
        bytes[0] = rng.next_u64() as u8;
        bytes[1] = rng.next_u64() as u8;
        authors.intern(PeerId::from_bytes(bytes));
    }
    authors
}

fn key(author: usize, counter: usize) -> ElementKey {
    ElementKey {
        author: AuthorIdx(author as u32),
        counter: counter as u32,
    }
}

fn chain(id: ElementKey, len: u32, left: ElementKey, right: ElementKey) -> Chain {
    Chain {
        id,
        len,
        units: len,
        content: Content::new(id.counter, false),
        left,
        right,
    }
}

/// Any origins, known or not, any ids, used or not: whatever a peer may send.
#[test]
fn arbitrary_operations_agree_with_the_tree() {
    for seed in 0..1500 {
        let mut rng = Rng::new(seed);
        let authors = peers(&mut rng, 3);
        let mut list = Sequence::default();
        let mut model = Model::default();
        for _ in 0..60 {
            let any = |rng: &mut Rng| match rng.below(8) {
                0 => ElementKey::NULL,
                _ => key(rng.below(3), rng.below(30)),
            };
            let (id, left, right) = (
                key(rng.below(3), rng.below(30)),
                any(&mut rng),
                any(&mut rng),
            );
            match rng.below(7) {
                6 => insert_local(&mut rng, &mut list, &mut model, &authors, seed),
                0 => {
                    let len = 1 + rng.below(3) as u32;
                    list.remove_by_id(id, len, UNREPORTED);
                    (0..len).for_each(|nth| model.delete(id.plus(nth)));
                }
                1 => {
                    let new = key(rng.below(3), rng.below(30));
                    list.remove_by_id(id, 1, UNREPORTED);
                    if list.contains(id) && !list.contains(new) {
                        let replacement = chain(new, 1, ElementKey::NULL, ElementKey::NULL);
                        list.integrate_below(id, replacement, false, &authors)
                            .unwrap();
                    }
                    model.update(id, new, &authors);
                }
                nth => {
                    let len = 1 + rng.below(4) as u32;
                    let (left, right) = if nth < 4 {
                        (left, right)
                    } else {
                        typing_origins(&list, id, right)
                    };
                    let integrated = list.integrate(chain(id, len, left, right), false, &authors);
                    let whole = model.insert_chain(id, len, left, right, &authors);
                    assert_eq!(
                        integrated.is_ok_and(|done| done.len == len),
                        whole,
                        "seed {seed}"
                    );
                }
            }
            list.check();
            assert!(list.elements().eq(model.elements()), "seed {seed}");
        }
    }
}

/// Somebody types in the middle of that, mostly on behind their last element.
fn insert_local(
    rng: &mut Rng,
    list: &mut Sequence,
    model: &mut Model,
    authors: &Authors,
    seed: u64,
) {
    let own = list.elements().filter(|(id, _)| id.author == AuthorIdx(0));
    let last = own.map(|(id, _)| id).max();
    let id = last.map_or(key(0, 0), |last| last.plus(1));
    let behind_last = last.and_then(|last| list.units_through(last));
    let unit = match behind_last {
        Some(unit) if rng.below(3) > 0 => unit,
        _ => rng.below(list.len_units() as usize + 1) as u32,
    };
    let len = 1 + rng.below(2) as u32;
    let new = chain(id, len, ElementKey::NULL, ElementKey::NULL);
    let inserted = list.insert_local(unit, new);
    assert_eq!(inserted.unit, unit, "seed {seed}");
    assert!(model.insert_chain(id, len, inserted.left, inserted.right, authors));
}

/// The origins of one who types on behind the element with the counter before; in the middle of
/// what came earlier, if ids came out of order.
fn typing_origins(list: &Sequence, id: ElementKey, right: ElementKey) -> (ElementKey, ElementKey) {
    let Some(counter) = id.counter.checked_sub(1) else {
        return (ElementKey::NULL, right);
    };
    let left = ElementKey { counter, ..id };
    let mut behind = list
        .elements()
        .map(|(id, _)| id)
        .skip_while(|id| *id != left)
        .skip(1);
    (left, behind.next().unwrap_or(ElementKey::NULL))
}

/// One operation as it travels.
#[derive(Clone)]
enum Op {
    Insert(Chain),
    Delete(ElementKey, u32),
    Update(ElementKey, ElementKey),
}

struct Peer {
    list: Sequence,
    model: Model,
    counter: u32,
    seen: Vec<usize>,
}

/// Editing replicas that receive each other's operations in causal order: each agrees with the
/// tree after every step, with the local fast paths in use, and all agree in the end.
#[test]
fn replicas_agree_with_the_tree_and_each_other() {
    for seed in 0..600 {
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(3);
        let authors = peers(&mut rng, count);
        let new_peer = || Peer {
            list: Sequence::default(),
            model: Model::default(),
            counter: 0,
            seen: vec![0; count],
        };
        let mut replicas: Vec<Peer> = (0..count).map(|_| new_peer()).collect();
        // Per author: its operations, each with what it had seen of the others.
        let mut logs: Vec<Vec<(Vec<usize>, Op)>> = vec![Vec::new(); count];
        for _ in 0..80 {
            let who = rng.below(count);
            if rng.below(3) > 0 {
                let before = replicas[who].seen.clone();
                for op in edit(&mut rng, who, &mut replicas[who], &authors, seed) {
                    logs[who].push((before.clone(), op));
                    replicas[who].seen[who] += 1;
                }
            } else {
                receive(&mut rng, &mut replicas[who], who, &logs, &authors);
            }
            replicas[who].list.check();
            assert!(
                replicas[who]
                    .list
                    .elements()
                    .eq(replicas[who].model.elements()),
                "seed {seed}"
            );
        }
        for (who, replica) in replicas.iter_mut().enumerate() {
            while replica
                .seen
                .iter()
                .zip(&logs)
                .any(|(seen, log)| *seen < log.len())
            {
                receive(&mut rng, replica, who, &logs, &authors);
            }
            replica.list.check();
        }
        let first: Vec<_> = replicas[0].list.elements().collect();
        for replica in &replicas {
            assert!(
                replica.list.elements().eq(first.iter().copied()),
                "seed {seed}"
            );
        }
    }
}

fn edit(rng: &mut Rng, who: usize, peer: &mut Peer, authors: &Authors, seed: u64) -> Vec<Op> {
    let live = peer.model.live();
    assert_eq!(peer.list.len_units() as usize, live.len(), "seed {seed}");
    let at = match rng.below(3) {
        0 => live.len(),
        1 => live.len() / 2,
        _ => rng.below(live.len() + 1),
    };
    match rng.below(5) {
        0 | 1 if at < live.len() => {
            let count = (1 + rng.below(3)).min(live.len() - at);
            let mut ops = Vec::new();
            let mut named = Vec::new();
            peer.list.elements_at(at as u32, count as u32, |part| {
                named.extend((0..part.len).map(|nth| part.id.plus(nth)));
            });
            peer.list.remove_local(at as u32, count as u32, |_, gone| {
                ops.push(Op::Delete(gone.id, gone.len))
            });
            assert_eq!(named, live[at..at + count], "seed {seed}");
            live[at..at + count]
                .iter()
                .for_each(|id| peer.model.delete(*id));
            ops
        }
        2 if at < live.len() && rng.below(3) == 0 => {
            let new = key(who, peer.counter as usize);
            peer.counter += 1;
            apply(peer, &Op::Update(live[at], new), authors);
            vec![Op::Update(live[at], new)]
        }
        _ => {
            let len = 1 + rng.below(3) as u32;
            let id = key(who, peer.counter as usize);
            peer.counter += len;
            let mut new = chain(id, len, ElementKey::NULL, ElementKey::NULL);
            let inserted = peer.list.insert_local(at as u32, new);
            (new.left, new.right) = (inserted.left, inserted.right);
            assert_eq!(inserted.unit as usize, at, "seed {seed}");
            let expected_left = if at == 0 {
                ElementKey::NULL
            } else {
                live[at - 1]
            };
            let all: Vec<_> = peer
                .model
                .elements()
                .into_iter()
                .map(|(id, _)| id)
                .collect();
            let after = all
                .iter()
                .position(|id| *id == expected_left)
                .map_or(0, |left| left + 1);
            let expected_right = all.get(after).copied().unwrap_or(ElementKey::NULL);
            assert_eq!(
                (new.left, new.right),
                (expected_left, expected_right),
                "seed {seed}"
            );
            peer.model
                .insert_chain(id, len, new.left, new.right, authors);
            let caret = peer.list.element_before(at as u32 + len);
            assert_eq!(caret, id.plus(len - 1), "seed {seed}");
            assert_eq!(
                peer.list.units_through(caret),
                Some(at as u32 + len),
                "seed {seed}"
            );
            vec![Op::Insert(new)]
        }
    }
}

fn receive(
    rng: &mut Rng,
    peer: &mut Peer,
    who: usize,
    logs: &[Vec<(Vec<usize>, Op)>],
    authors: &Authors,
) {
    let start = rng.below(logs.len());
    for nth in 0..logs.len() {
        let from = (start + nth) % logs.len();
        let Some((needs, op)) = logs[from].get(peer.seen[from]) else {
            continue;
        };
        if from != who
            && needs
                .iter()
                .zip(&peer.seen)
                .all(|(need, seen)| need <= seen)
        {
            apply(peer, op, authors);
            peer.seen[from] += 1;
            return;
        }
    }
}

fn apply(peer: &mut Peer, op: &Op, authors: &Authors) {
    match op {
        Op::Insert(chain) => {
            let done = peer.list.integrate(*chain, true, authors).unwrap();
            assert!(!done.depends_on_order);
            assert!(
                peer.model
                    .insert_chain(chain.id, chain.len, chain.left, chain.right, authors)
            );
            let live = peer.model.live();
            let unit = live.iter().position(|id| *id == chain.id).unwrap();
            assert_eq!(done.unit, Some(unit as u32));
        }
        Op::Delete(id, len) => {
            let live = peer.model.live();
            let mut gone = Vec::new();
            let report = |unit, removed: Removed| {
                assert_eq!(live[unit as usize + gone.len()], removed.id);
                gone.extend((0..removed.len).map(|nth| removed.id.plus(nth)));
            };
            assert!(peer.list.remove_by_id(*id, *len, Some(report)));
            (0..*len).for_each(|nth| peer.model.delete(id.plus(nth)));
        }
        Op::Update(old, new) => {
            peer.list.remove_by_id(*old, 1, UNREPORTED);
            let replacement = chain(*new, 1, ElementKey::NULL, ElementKey::NULL);
            peer.list
                .integrate_below(*old, replacement, true, authors)
                .unwrap();
            peer.model.update(*old, *new, authors);
        }
    }
}

/// An element was named as right origin before it was there, and then came as a child of the one
/// that named it: typing goes on to its left, not as one run.
#[test]
fn typing_on_before_an_element_that_came_later_hangs_below_it() {
    let mut authors = Authors::default();
    for byte in [5, 7, 1] {
        authors.intern(PeerId::from_bytes([byte; 16]));
    }
    for is_local in [true, false] {
        let mut list = Sequence::default();
        let mut model = Model::default();
        let (first, second, late, between) = (key(0, 0), key(0, 1), key(1, 5), key(2, 0));
        for (id, left, right) in [
            (first, ElementKey::NULL, late),
            (late, first, ElementKey::NULL),
            (second, first, late),
            (between, first, late),
        ] {
            let new = chain(id, 1, left, right);
            if is_local && id == second {
                let inserted = list.insert_local(1, new);
                assert_eq!((inserted.left, inserted.right), (left, right));
            } else {
                list.integrate(new, false, &authors).unwrap();
            }
            assert!(model.insert(id, left, right, &authors));
            list.check();
        }
        assert!(list.elements().eq(model.elements()));
        let ids: Vec<ElementKey> = list.elements().map(|(id, _)| id).collect();
        assert_eq!(ids, [first, between, second, late]);
    }
}

/// Two removed neighbours with consecutive ids are not a chain if they hang below another one.
#[test]
fn removed_siblings_stay_siblings() {
    let mut authors = Authors::default();
    for byte in [5, 7] {
        authors.intern(PeerId::from_bytes([byte; 16]));
    }
    let mut list = Sequence::default();
    let mut model = Model::default();
    let (parent, first, second, child) = (key(1, 0), key(0, 0), key(0, 1), key(1, 1));
    for (id, left) in [
        (parent, ElementKey::NULL),
        (first, parent),
        (second, parent),
        (child, first),
    ] {
        if id == child {
            for gone in [first, second] {
                assert!(list.remove_by_id(gone, 1, UNREPORTED));
                model.delete(gone);
            }
        }
        list.integrate(chain(id, 1, left, ElementKey::NULL), false, &authors)
            .unwrap();
        assert!(model.insert(id, left, ElementKey::NULL, &authors));
        list.check();
    }
    assert!(list.elements().eq(model.elements()));
}
