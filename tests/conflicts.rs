//! Conflicts that are made visible, against the definition: of all writes of a key those that no
//! other write of it has in its causal past, found from the exported changes alone.

mod common;

use common::Random;
use std::collections::{HashMap, HashSet};
use syncline::clock::{Hlc, OperationId, PeerId};
use syncline::codec::{Change, Reader, Value, json};
use syncline::document::{
    Conflict, Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, WallClock,
};
use syncline::replica::Replica as _;

const KEYS: [&str; 2] = ["a", "b"];

struct Peer {
    document: Document,
    map: HandlerIdx,
    or_map: HandlerIdx,
    register: HandlerIdx,
}

impl Peer {
    fn new(number: u8) -> Self {
        let mut document = Document::new(DocumentOptions {
            peer_id: Some(PeerId::from_bytes([number; 16])),
            wall_clock: WallClock::Fixed(1000),
            ..Default::default()
        });
        let mut make = |id, kind| document.handler(id, &HandlerSpec::new(kind)).unwrap();
        let map = make("map", HandlerKind::Map);
        let or_map = make("or_map", HandlerKind::OrMap);
        let register = make("register", HandlerKind::Register);
        Peer {
            document,
            map,
            or_map,
            register,
        }
    }

    fn edit(&mut self, random: &mut Random, number: i64) {
        let key = KEYS[random.below(KEYS.len())];
        let value = Value::Int(number);
        let document = &mut self.document;
        match random.below(8) {
            0 | 1 => document.map_set(self.map, key, &value),
            2 => document.map_update(self.map, key, &value),
            3 => document.map_remove(self.map, key),
            4 | 5 => document.map_set(self.or_map, key, &value),
            6 => document.map_remove(self.or_map, key),
            _ => document.register_set(self.register, &value),
        }
        .unwrap();
    }

    fn import(&mut self, changes: Vec<Change>) {
        self.document
            .import_changes(changes, &[], Origin::Remote)
            .unwrap();
    }

    fn compare(&self, changes: &[Change]) -> usize {
        let mut found = 0;
        let ancestors = ancestors(changes);
        let mut compare = |shown: Vec<Conflict>, writes: Vec<Write>, winner| {
            assert_eq!(shown, lost(&writes, &ancestors, winner));
            found += shown.len();
        };
        for key in KEYS {
            let writes = writes(changes, "map", Some(key));
            let winner = writes.iter().map(|write| write.id).max();
            compare(self.document.map_conflicts(self.map, key), writes, winner);
            let (living, winner) = living(changes, key);
            compare(
                self.document.map_conflicts(self.or_map, key),
                living,
                winner,
            );
        }
        let writes = writes(changes, "register", None);
        let winner = writes.iter().map(|write| write.id).max();
        compare(
            self.document.register_conflicts(self.register),
            writes,
            winner,
        );
        found
    }
}

/// A write of a key; None: its removal.
struct Write {
    id: OperationId,
    value: Option<Value>,
}

fn writes(changes: &[Change], handler: &str, key: Option<&str>) -> Vec<Write> {
    let mut found = Vec::new();
    for change in changes {
        let envelope = change.envelope().unwrap();
        let mut reader = Reader::new(envelope.body);
        if envelope.handler_id != handler || key.is_some_and(|key| reader.text().unwrap() != key) {
            continue;
        }
        let value = (envelope.kind != 1).then(|| json::decode(reader.prefixed().unwrap()).unwrap());
        let id = change.id;
        found.push(Write { id, value });
    }
    found
}

/// The puts of a key that no remove lists, and the one with the largest tag.
fn living(changes: &[Change], key: &str) -> (Vec<Write>, Option<OperationId>) {
    let mut puts = Vec::new();
    let mut removed = HashSet::new();
    for change in changes {
        let envelope = change.envelope().unwrap();
        if envelope.handler_id != "or_map" {
            continue;
        }
        let mut reader = Reader::new(envelope.body);
        if json::decode(reader.prefixed().unwrap()).unwrap() != key.into() {
            continue;
        }
        let tag = |reader: &mut Reader<'_>| OperationId::from_bytes(&reader.array("").unwrap());
        if envelope.kind == 0 {
            let value = Some(json::decode(reader.prefixed().unwrap()).unwrap());
            let id = change.id;
            puts.push((tag(&mut reader), Write { id, value }));
        } else {
            let count = reader.uvarint().unwrap();
            removed.extend((0..count).map(|_| tag(&mut reader)));
        }
    }
    puts.retain(|(tag, _)| !removed.contains(tag));
    let winner = puts.iter().max_by_key(|(tag, _)| *tag);
    let winner = winner.map(|(_, write)| write.id);
    (puts.into_iter().map(|(_, write)| write).collect(), winner)
}

type Ancestors = HashMap<OperationId, HashSet<OperationId>>;

fn ancestors(changes: &[Change]) -> Ancestors {
    let mut all = Ancestors::new();
    for change in changes {
        let mut of: HashSet<OperationId> = change.deps.iter().copied().collect();
        for dep in &change.deps {
            // What was pruned has no entry.
            of.extend(all.get(dep).into_iter().flatten().copied());
        }
        all.insert(change.id, of);
    }
    all
}

fn lost(writes: &[Write], ancestors: &Ancestors, winner: Option<OperationId>) -> Vec<Conflict> {
    let is_seen = |id: &OperationId| writes.iter().any(|other| ancestors[&other.id].contains(id));
    let mut lost: Vec<Conflict> = writes
        .iter()
        .filter(|write| Some(write.id) != winner && !is_seen(&write.id))
        .filter_map(|write| {
            Some(Conflict {
                value: write.value.clone()?,
                peer: write.id.peer,
                clock: write.id.hlc,
            })
        })
        .collect();
    lost.sort_by_key(|conflict| (conflict.clock, conflict.peer));
    lost.reverse();
    lost
}

#[test]
fn conflicts_are_the_concurrent_writes_that_nobody_saw() {
    let mut found = 0;
    for seed in 0..150 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut peers: Vec<Peer> = (1..=3).map(Peer::new).collect();
        for step in 0..60 {
            let at = random.below(peers.len());
            if random.below(5) == 0 {
                let from = random.below(peers.len());
                let mut changes = peers[from].document.all_changes();
                changes.truncate(random.below(changes.len() + 1));
                peers[at].import(changes);
            } else {
                peers[at].edit(&mut random, step);
            }
            let peer = &peers[at];
            peer.document.check();
            found += peer.compare(&peer.document.all_changes());
        }
    }
    assert!(found > 1000, "{found}");
}

fn both_set(key: &str) -> (Peer, Peer) {
    let (mut a, mut b) = (Peer::new(1), Peer::new(2));
    for (peer, value) in [(&mut a, 1), (&mut b, 2)] {
        let value = Value::Int(value);
        peer.document.map_set(peer.map, key, &value).unwrap();
        peer.document.map_set(peer.or_map, key, &value).unwrap();
        peer.document.register_set(peer.register, &value).unwrap();
    }
    let changes = a.document.all_changes();
    a.import(b.document.all_changes());
    b.import(changes);
    (a, b)
}

fn counts(peer: &Peer, key: &str) -> [usize; 3] {
    [
        peer.document.map_conflicts(peer.map, key).len(),
        peer.document.map_conflicts(peer.or_map, key).len(),
        peer.document.register_conflicts(peer.register).len(),
    ]
}

#[test]
fn a_conflict_names_value_writer_and_clock() {
    let (a, b) = both_set("k");
    for peer in [&a, &b] {
        // Equal clocks: the larger peer id wins.
        assert_eq!(peer.document.map_get(peer.map, "k"), Some(Value::Int(2)));
        let first = &a.document.all_changes()[0];
        let expected = Conflict {
            value: Value::Int(1),
            peer: PeerId::from_bytes([1; 16]),
            clock: first.id.hlc,
        };
        assert_eq!(peer.document.map_conflicts(peer.map, "k"), [expected]);
        assert_eq!(counts(peer, "k"), [1, 1, 1]);
        assert_eq!(counts(peer, "other"), [0, 0, 1]);
    }
}

#[test]
fn a_write_that_saw_both_ends_the_conflict_even_before_it_is_committed() {
    let (mut a, _) = both_set("k");
    a.document.begin(b"").unwrap();
    a.document.map_set(a.map, "k", &Value::Int(3)).unwrap();
    a.document.map_set(a.or_map, "k", &Value::Int(3)).unwrap();
    a.document.register_set(a.register, &Value::Int(3)).unwrap();
    assert_eq!(counts(&a, "k"), [0, 0, 0]);
    a.document.rollback().unwrap();
    assert_eq!(counts(&a, "k"), [1, 1, 1]);
    a.document.map_remove(a.map, "k").unwrap();
    a.document.map_set(a.or_map, "k", &Value::Int(3)).unwrap();
    a.document.register_set(a.register, &Value::Int(3)).unwrap();
    assert_eq!(counts(&a, "k"), [0, 0, 0]);
}

#[test]
fn what_was_pruned_counts_as_seen() {
    let (mut a, mut b) = both_set("k");
    let late = {
        let mut c = Peer::new(3);
        // Older than all of the others' clocks, so that it loses.
        c.document = Document::new(DocumentOptions {
            peer_id: Some(PeerId::from_bytes([3; 16])),
            wall_clock: WallClock::Fixed(1),
            initial_clock: Hlc::ZERO,
            ..Default::default()
        });
        let map = c
            .document
            .handler("map", &HandlerSpec::new(HandlerKind::Map));
        c.document
            .map_set(map.unwrap(), "k", &Value::Int(9))
            .unwrap();
        c.document.all_changes()
    };
    a.document.take_snapshot(true).unwrap();
    assert_eq!(counts(&a, "k"), [0, 0, 0]);
    // A write that the pruned ones have not seen is still concurrent with them.
    a.import(late.clone());
    assert_eq!(counts(&a, "k"), [1, 0, 0]);
    b.import(late);
    assert_eq!(counts(&b, "k"), [2, 1, 1]);
}
