//! Movable lists through the interface of documents.

#[path = "../src/testing.rs"]
mod testing;

use syncline::clock::{Hlc, PeerId};
use syncline::codec::{Change, Value};
use syncline::document::{
    Affinity, Conflict, Document, DocumentError, DocumentOptions, HandlerDelta, HandlerIdx,
    HandlerKind, HandlerSpec, ListOp, Origin, WallClock,
};
use syncline::replica::Replica;
use testing::Rng;

fn document(number: u8) -> (Document, HandlerIdx) {
    let mut bytes = [number; 16];
    (bytes[6], bytes[8]) = (0x40, 0x80);
    let mut document = Document::new(DocumentOptions {
        document_id: "d".into(),
        peer_id: Some(PeerId::from_bytes(bytes)),
        initial_clock: Hlc::ZERO,
        wall_clock: WallClock::Fixed(0),
        clock_drift_ms_max: None,
    });
    let list = document
        .handler("l", &HandlerSpec::new(HandlerKind::MovableList))
        .unwrap();
    (document, list)
}

fn ints(values: impl IntoIterator<Item = i64>) -> Vec<Value> {
    values.into_iter().map(Value::Int).collect()
}

fn shown(document: &Document) -> Vec<i64> {
    let list = document.find_handler("l").unwrap();
    document.check();
    let values = document.list_values(list).into_iter();
    let ints = values.map(|value| match value {
        Value::Int(value) => value,
        other => panic!("{other:?}"),
    });
    ints.collect()
}

fn give(from: &Document, to: &mut Document) {
    let new = from.changes_newer_than(&to.version_vector());
    let outcome = to.import_changes(new, &[], Origin::Remote).unwrap();
    assert_eq!(outcome.not_ready, 0);
}

fn exchange(a: &mut Document, b: &mut Document) {
    give(a, b);
    give(b, a);
}

/// Defect 13.12: the clock of a write is the document's, which a transaction does not move.
#[test]
fn repeated_writes_of_one_transaction_win() {
    let (mut a, list) = document(1);
    let (mut b, _) = document(2);
    a.list_insert(list, 0, &ints(0..4)).unwrap();
    a.begin(b"").unwrap();
    for (from, to) in [(0, 3), (3, 1), (1, 2)] {
        a.list_move(list, from, to).unwrap();
    }
    assert_eq!(shown(&a), [1, 2, 0, 3]);
    for value in [10, 11, 12] {
        a.list_update(list, 2, &Value::Int(value)).unwrap();
    }
    assert_eq!(shown(&a), [1, 2, 12, 3]);
    a.commit().unwrap();
    assert_eq!(shown(&a), [1, 2, 12, 3]);
    give(&a, &mut b);
    assert_eq!(shown(&b), [1, 2, 12, 3]);
    a.replay_all();
    assert_eq!(shown(&a), [1, 2, 12, 3]);
}

#[test]
fn the_first_transaction_of_a_document_moves() {
    let (mut a, list) = document(1);
    a.begin(b"").unwrap();
    a.list_insert(list, 0, &ints(0..3)).unwrap();
    a.list_move(list, 0, 2).unwrap();
    a.list_update(list, 0, &Value::Int(7)).unwrap();
    a.commit().unwrap();
    assert_eq!(shown(&a), [7, 2, 0]);
}

#[test]
fn what_is_out_of_range_is_refused() {
    let (mut a, list) = document(1);
    a.list_insert(list, 0, &ints(0..3)).unwrap();
    let is_out = |result: Result<(), DocumentError>| {
        assert!(matches!(
            result,
            Err(DocumentError::OutOfRange { length: 3, .. })
        ));
    };
    is_out(a.list_insert(list, 4, &ints([9])));
    is_out(a.list_insert(list, 4, &[]));
    is_out(a.list_remove(list, 2, 2));
    is_out(a.list_remove(list, u64::MAX, 1));
    is_out(a.list_update(list, 3, &Value::Int(9)));
    is_out(a.list_move(list, 3, 0));
    is_out(a.list_move(list, 0, 4));
    is_out(a.list_move(list, 0, u64::MAX));
    let unsupported = [Value::Int(1), Value::Double(f64::NAN)];
    assert!(matches!(
        a.list_insert(list, 0, &unsupported),
        Err(DocumentError::UnsupportedValue)
    ));
    assert!(matches!(
        a.list_update(list, 0, &unsupported[1]),
        Err(DocumentError::UnsupportedValue)
    ));
    a.list_move(list, 1, 1).unwrap();
    a.list_insert(list, 3, &[]).unwrap();
    a.list_remove(list, 3, 0).unwrap();
    assert_eq!(a.change_count(), 1, "nothing of this is a change");
    a.list_move(list, 0, 3).unwrap();
    assert_eq!(shown(&a), [1, 2, 0]);
    a.close();
    assert!(matches!(
        a.list_move(list, 0, 1),
        Err(DocumentError::Closed)
    ));
    assert!(matches!(
        a.list_move(list, 1, 1),
        Err(DocumentError::Closed)
    ));
}

/// A clock at its end cannot be exceeded: the write is refused, not lost.
#[test]
fn an_element_whose_clock_is_at_its_end_stays() {
    let (mut a, list) = document(1);
    a.list_insert(list, 0, &ints(0..2)).unwrap();
    let change = a.all_changes()[0].clone();
    let envelope = change.envelope().unwrap();
    let mut identity = vec![1];
    identity.extend_from_slice(a.peer_id().bytes());
    identity.push(0);
    let mut body = vec![0xff; 8];
    body.push(1);
    body.extend_from_slice(&identity);
    body.extend_from_slice(&[2, b'4', b'2']);
    let mut payload = Vec::new();
    syncline::codec::Envelope {
        kind: 2,
        body: &body,
        ..envelope
    }
    .encode(&mut payload);
    a.create_change(payload).unwrap();
    assert_eq!(shown(&a), [42, 1]);
    assert!(matches!(
        a.list_update(list, 0, &Value::Int(1)),
        Err(DocumentError::Limit(_))
    ));
    a.list_move(list, 0, 1).unwrap();
    a.list_update(list, 0, &Value::Int(5)).unwrap();
    assert_eq!(shown(&a), [5, 42]);
    a.list_remove(list, 1, 1).unwrap();
    assert_eq!(shown(&a), [5]);
}

#[test]
fn a_rollback_restores_the_list() {
    let (mut a, list) = document(1);
    let (mut b, _) = document(2);
    a.list_insert(list, 0, &ints(0..5)).unwrap();
    a.list_move(list, 4, 0).unwrap();
    give(&a, &mut b);
    b.list_update(list, 1, &Value::Int(100)).unwrap();
    a.begin(b"").unwrap();
    a.list_move(list, 0, 3).unwrap();
    a.list_insert(list, 1, &ints([50, 51])).unwrap();
    a.list_remove(list, 0, 2).unwrap();
    a.list_update(list, 0, &Value::Int(60)).unwrap();
    give(&b, &mut a);
    a.rollback().unwrap();
    assert_eq!(shown(&a), [4, 100, 1, 2, 3]);
    a.list_insert(list, 5, &ints([7])).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), [4, 100, 1, 2, 3, 7]);
    assert_eq!(shown(&b), shown(&a));
}

fn last_delta(document: &mut Document) -> Vec<ListOp> {
    let commit = document.take_commits().pop().expect("there is a commit");
    match commit.deltas.into_iter().next() {
        Some((_, HandlerDelta::List(steps))) => steps,
        None => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn observers_are_told_of_moves_as_moves() {
    let (mut a, list) = document(1);
    let (mut b, other) = document(2);
    for document in [&mut a, &mut b] {
        document.set_recording(true);
        document.observe(list, true);
    }
    a.list_insert(list, 0, &ints(0..4)).unwrap();
    assert_eq!(last_delta(&mut a), [ListOp::Insert(ints(0..4))]);
    give(&a, &mut b);
    assert_eq!(last_delta(&mut b), [ListOp::Insert(ints(0..4))]);
    a.list_move(list, 0, 2).unwrap();
    let moved = [ListOp::Move { from: 0, to: 2 }];
    assert_eq!(last_delta(&mut a), moved);
    give(&a, &mut b);
    assert_eq!(last_delta(&mut b), moved);
    a.begin(b"").unwrap();
    a.list_update(list, 1, &Value::Int(9)).unwrap();
    a.list_remove(list, 3, 1).unwrap();
    a.commit().unwrap();
    let changed = [
        ListOp::Retain(3),
        ListOp::Remove(ints([3])),
        ListOp::Update {
            index: 1,
            old: Value::Int(2),
            new: Value::Int(9),
        },
    ];
    assert_eq!(last_delta(&mut a), changed);
    give(&a, &mut b);
    assert_eq!(last_delta(&mut b), changed);
    // A write that loses changes nothing.
    a.list_update(list, 0, &Value::Int(70)).unwrap();
    b.list_update(other, 0, &Value::Int(71)).unwrap();
    b.list_update(other, 0, &Value::Int(72)).unwrap();
    give(&a, &mut b);
    assert_eq!(last_delta(&mut b), []);
    a.begin(b"").unwrap();
    a.list_move(list, 2, 0).unwrap();
    a.rollback().unwrap();
    assert_eq!(
        a.take_commits().pop().unwrap().deltas.len(),
        1,
        "the update"
    );
    give(&b, &mut a);
    assert_eq!(shown(&a), shown(&b));
}

/// Whoever took a snapshot knows more than the snapshot says; a rollback may forget it.
#[test]
fn a_rollback_tells_observers_what_it_really_did() {
    let (mut a, list) = document(1);
    let (mut b, _) = document(2);
    a.list_insert(list, 0, &ints(0..3)).unwrap();
    give(&a, &mut b);
    // Behind an element that is removed before the snapshot.
    b.list_insert(list, 1, &ints([10])).unwrap();
    a.list_remove(list, 0, 1).unwrap();
    a.take_snapshot(true).unwrap();
    a.set_recording(true);
    a.observe(list, true);
    give(&b, &mut a);
    assert_eq!(shown(&a), [10, 1, 2]);
    a.take_commits();
    let before = shown(&a);
    a.begin(b"").unwrap();
    a.list_move(list, 0, 2).unwrap();
    a.list_update(list, 0, &Value::Int(5)).unwrap();
    a.rollback().unwrap();
    let mut told = before.clone();
    for commit in a.take_commits() {
        for (_, delta) in commit.deltas {
            let HandlerDelta::List(steps) = delta else {
                panic!("a list");
            };
            told = applied(told, &steps);
        }
    }
    assert_eq!(told, shown(&a));
}

fn applied(list: Vec<i64>, steps: &[ListOp]) -> Vec<i64> {
    let mut out = list;
    let mut at = 0;
    let int = |value: &Value| match value {
        Value::Int(value) => *value,
        other => panic!("{other:?}"),
    };
    for step in steps {
        match step {
            ListOp::Retain(count) => at += *count as usize,
            ListOp::Insert(values) => {
                out.splice(at..at, values.iter().map(int));
                at += values.len();
            }
            ListOp::Remove(values) => {
                let gone: Vec<i64> = out.drain(at..at + values.len()).collect();
                assert_eq!(gone, values.iter().map(int).collect::<Vec<_>>());
            }
            ListOp::Update { index, old, new } => {
                assert_eq!(out[*index as usize], int(old));
                out[*index as usize] = int(new);
            }
            ListOp::Move { from, to } => {
                let moved = out.remove(*from as usize);
                out.insert(*to as usize, moved);
            }
        }
    }
    out
}

fn losers(document: &Document, index: u64) -> Vec<(i64, u8)> {
    let list = document.find_handler("l").unwrap();
    let conflicts = document.list_conflicts(list, index).into_iter();
    let parts = conflicts.map(|Conflict { value, peer, .. }| match value {
        Value::Int(value) => (value, peer.bytes()[0]),
        other => panic!("{other:?}"),
    });
    parts.collect()
}

#[test]
fn concurrent_updates_that_lost_can_be_seen_until_somebody_decides() {
    let (mut a, list) = document(1);
    let (mut b, _) = document(2);
    let (mut c, _) = document(3);
    a.list_insert(list, 0, &ints([0, 1])).unwrap();
    give(&a, &mut b);
    give(&a, &mut c);
    assert_eq!(losers(&a, 0), []);
    // The later write of one author hides the earlier one, and one that it knew.
    a.list_update(list, 0, &Value::Int(10)).unwrap();
    b.list_update(list, 0, &Value::Int(20)).unwrap();
    b.list_update(list, 0, &Value::Int(21)).unwrap();
    give(&b, &mut c);
    c.list_update(list, 0, &Value::Int(30)).unwrap();
    give(&c, &mut a);
    give(&b, &mut a);
    give(&a, &mut b);
    give(&a, &mut c);
    for document in [&mut a, &mut b, &mut c] {
        assert_eq!(shown(document), [30, 1]);
        assert_eq!(losers(document, 0), [(10, 1)]);
        assert_eq!(losers(document, 1), []);
        assert_eq!(losers(document, 2), []);
        document.replay_all();
        assert_eq!(losers(document, 0), [(10, 1)]);
    }
    let conflict = a.list_conflicts(list, 0).remove(0);
    let change = syncline::clock::OperationId::new(conflict.peer, conflict.clock);
    assert!(a.contains_change(&change));
    // A second one, which knows the first winner's author but not the winner.
    let (mut d, _) = document(4);
    give_until(&a, &mut d, &change);
    d.list_update(list, 0, &Value::Int(40)).unwrap();
    give(&d, &mut a);
    assert_eq!(losers(&a, 0), [(40, 4)], "d knew the update that lost");
    // A move is no write of the value.
    a.list_move(list, 0, 1).unwrap();
    assert_eq!(losers(&a, 1), [(40, 4)]);
    // The decision.
    a.begin(b"").unwrap();
    a.list_update(list, 1, &Value::Int(99)).unwrap();
    assert_eq!(losers(&a, 1), []);
    a.commit().unwrap();
    assert_eq!(losers(&a, 1), []);
    give(&a, &mut b);
    assert_eq!(losers(&b, 1), []);
    assert_eq!(shown(&b), [1, 99]);
}

/// All that the change builds on, and the change.
fn give_until(from: &Document, to: &mut Document, id: &syncline::clock::OperationId) {
    let all = from.all_changes();
    let later = from.export_changes_from(&[*id]).unwrap();
    let is_later = |change: &Change| later.iter().any(|other| other.id == change.id);
    let needed: Vec<Change> = all.into_iter().filter(|change| !is_later(change)).collect();
    to.import_changes(needed, &[], Origin::Remote).unwrap();
}

#[test]
fn conflicts_end_with_the_changes_that_tell_of_them() {
    let (mut a, list) = document(1);
    let (mut b, _) = document(2);
    a.list_insert(list, 0, &ints([0])).unwrap();
    give(&a, &mut b);
    a.list_update(list, 0, &Value::Int(10)).unwrap();
    b.list_update(list, 0, &Value::Int(20)).unwrap();
    exchange(&mut a, &mut b);
    let winner = shown(&a)[0];
    let loser = 30 - winner;
    assert_eq!(losers(&a, 0)[0].0, loser);
    a.take_snapshot(true).unwrap();
    assert_eq!(losers(&a, 0), []);
    assert_eq!(shown(&a), [winner]);
}

/// The winner's change is gone, but it cannot have known what comes only now.
#[test]
fn what_loses_against_a_snapshot_is_a_conflict() {
    let (mut a, list) = document(1);
    let (mut b, _) = document(2);
    a.list_insert(list, 0, &ints([0])).unwrap();
    give(&a, &mut b);
    b.list_update(list, 0, &Value::Int(20)).unwrap();
    for value in [10, 11] {
        a.list_update(list, 0, &Value::Int(value)).unwrap();
    }
    let snapshot = a.take_snapshot(true).unwrap().clone();
    let late = b.all_changes().pop().unwrap();
    let (mut c, _) = document(3);
    c.import_snapshot(&snapshot, true).unwrap();
    for document in [&mut a, &mut c] {
        document
            .import_changes(vec![late.clone()], &[], Origin::Remote)
            .unwrap();
        assert_eq!(shown(document), [11]);
        assert_eq!(losers(document, 0), [(20, 2)]);
    }
}

#[test]
fn positions_follow_their_element() {
    let (mut a, list) = document(1);
    a.list_insert(list, 0, &ints(0..5)).unwrap();
    let behind_two = a.list_position_at(list, 3).unwrap();
    let at = |document: &Document, position: &[u8]| {
        document.list_position_index(list, position).unwrap()
    };
    assert_eq!(at(&a, &behind_two), Some(3));
    a.list_move(list, 2, 0).unwrap();
    assert_eq!(at(&a, &behind_two), Some(1));
    a.list_move(list, 0, 4).unwrap();
    assert_eq!(at(&a, &behind_two), Some(5));
    a.list_remove(list, 4, 1).unwrap();
    assert_eq!(at(&a, &behind_two), Some(4));
    let before_four = a.list_position_beside(list, 3, Affinity::After).unwrap();
    let after = |document: &Document| {
        document
            .list_position_index_beside(list, &before_four, Affinity::After)
            .unwrap()
    };
    assert_eq!(after(&a), Some(3));
    a.list_move(list, 3, 0).unwrap();
    assert_eq!(after(&a), Some(0));
    a.list_move(list, 0, 3).unwrap();
    let end = a.list_position_beside(list, 4, Affinity::After).unwrap();
    assert_eq!(end, [0]);
    let start = a.list_position_at(list, 0).unwrap();
    assert_eq!(start, [0]);
    assert_eq!(at(&a, &start), Some(0));
    let past = a.list_position_at(list, 99).unwrap();
    assert_eq!(at(&a, &past), Some(4));
    let (b, _) = document(2);
    assert_eq!(at(&b, &past), None);
    assert!(a.list_position_index(list, &[2]).is_err());
}

/// Ids go on where they were, whatever is left of the history.
#[test]
fn ids_are_never_used_twice() {
    let (mut a, list) = document(1);
    a.list_insert(list, 0, &ints(0..3)).unwrap();
    a.list_move(list, 0, 2).unwrap();
    a.list_remove(list, 0, 3).unwrap();
    let snapshot = a.take_snapshot(true).unwrap().clone();
    let (mut again, _) = document(1);
    again.import_snapshot(&snapshot, true).unwrap();
    again.list_insert(list, 0, &ints([9])).unwrap();
    let change = again.all_changes().remove(0);
    let body = change.envelope().unwrap().body.to_vec();
    // Origins, count, then the first id: 3 elements took 6 counters, the move one.
    assert_eq!(body[3 + 17], 7);
    a.import_changes(vec![change], &[], Origin::Remote).unwrap();
    assert_eq!(shown(&a), [9]);
}

/// Documents with transactions, rollbacks, snapshots of their own and replays; every observer can
/// follow, and all show the same in the end.
#[test]
fn random_documents_converge() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(4);
        let mut documents: Vec<Document> = (0..count as u8)
            .map(|number| document(number + 1).0)
            .collect();
        let list = documents[0].find_handler("l").unwrap();
        let mut told: Vec<Vec<i64>> = vec![Vec::new(); count];
        for document in &mut documents {
            document.set_recording(true);
            document.observe(list, true);
        }
        let mut made = 0;
        for step in 0..80 {
            let at = rng.below(count);
            random_step(&mut rng, &mut documents, at, list, &mut made);
            let document = &mut documents[at];
            for commit in document.take_commits() {
                for (_, delta) in commit.deltas {
                    let HandlerDelta::List(steps) = delta else {
                        panic!("a list");
                    };
                    told[at] = applied(std::mem::take(&mut told[at]), &steps);
                }
            }
            let now = shown(document);
            if !document.in_transaction() {
                assert_eq!(told[at], now, "seed {seed}, step {step}");
            }
            let before = now;
            document.replay_all();
            assert_eq!(shown(document), before, "seed {seed}, step {step}");
        }
        for document in &mut documents {
            if document.in_transaction() {
                document.commit().unwrap();
            }
        }
        for _ in 0..2 {
            for at in 1..count {
                let (first, rest) = documents.split_at_mut(at);
                exchange(&mut first[0], &mut rest[0]);
            }
        }
        let conflicts = |document: &Document| -> Vec<_> {
            (0..document.list_len(list))
                .map(|index| losers(document, index))
                .collect()
        };
        for document in &documents[1..] {
            assert_eq!(shown(document), shown(&documents[0]), "seed {seed}");
            assert_eq!(conflicts(document), conflicts(&documents[0]), "seed {seed}");
        }
    }
}

fn random_step(
    rng: &mut Rng,
    documents: &mut [Document],
    at: usize,
    list: HandlerIdx,
    made: &mut i64,
) {
    let from = rng.below(documents.len());
    if rng.below(3) == 0 && from != at {
        let changes = documents[from].changes_newer_than(&documents[at].version_vector());
        documents[at]
            .import_changes(changes, &[], Origin::Remote)
            .unwrap();
        return;
    }
    let document = &mut documents[at];
    let len = document.list_len(list);
    let index = rng.below(len as usize + 1) as u64;
    *made += 1;
    match rng.below(10) {
        0 if document.in_transaction() => document.commit().unwrap(),
        1 if document.in_transaction() => document.rollback().unwrap(),
        2 if !document.in_transaction() => document.begin(b"").unwrap(),
        _ if index == len => document.list_insert(list, index, &ints([*made])).unwrap(),
        3 => document
            .list_insert(list, index, &ints([*made, -*made]))
            .unwrap(),
        4 => document.list_remove(list, index, 1).unwrap(),
        5 | 6 => document
            .list_update(list, index, &Value::Int(*made))
            .unwrap(),
        _ => {
            let to = rng.below(len as usize) as u64;
            document.list_move(list, index, to).unwrap();
        }
    }
}
