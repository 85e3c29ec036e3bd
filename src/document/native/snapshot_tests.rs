//! Native snapshots: whoever opens one must go on as the document that was never closed.

use super::tests::{edit, empty, registered, values};
use crate::clock::VersionVector;
use crate::codec::Value;
use crate::codec::native::{Kind, container, deflated};
use crate::document::handlers::kept_operations::KEPT_OPERATIONS_MAX;
use crate::document::{Document, DocumentOptions, Origin, WallClock};
use crate::replica::Replica as _;
use crate::testing::Rng;

fn options_of(document: &Document) -> DocumentOptions {
    DocumentOptions {
        document_id: "d".into(),
        peer_id: Some(document.peer_id()),
        wall_clock: document.wall_clock,
        ..Default::default()
    }
}

fn reopened(document: &mut Document, history: bool) -> Document {
    let bytes = document.native_snapshot(history).unwrap();
    let opened = Document::open_native(&bytes, options_of(document)).unwrap();
    assert_eq!(values(&opened), values(document));
    opened
}

fn exchange(a: &mut Document, b: &mut Document) {
    let (from_a, from_b) = (
        a.changes_newer_than(&b.version_vector()),
        b.changes_newer_than(&a.version_vector()),
    );
    b.import_changes(from_a, &[], Origin::Remote).unwrap();
    a.import_changes(from_b, &[], Origin::Remote).unwrap();
}

/// The twin of a document that was pruned is opened from its native snapshot. Both get the same
/// edits and the same concurrent changes of others, which name removed elements, too.
#[test]
fn a_reopened_document_goes_on_like_the_one_in_memory() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let mut memory = registered(empty(1));
        let mut other = registered(empty(2));
        for _ in 0..3 {
            (0..rng.below(12)).for_each(|_| edit(&mut memory, &mut rng));
            (0..rng.below(12)).for_each(|_| edit(&mut other, &mut rng));
            exchange(&mut memory, &mut other);
        }
        // Edits that the other side makes without knowing of the pruning.
        (0..rng.below(8)).for_each(|_| edit(&mut other, &mut rng));
        (0..rng.below(8)).for_each(|_| edit(&mut memory, &mut rng));
        let pruned = rng.below(2) == 0;
        if pruned {
            memory.take_snapshot(true).unwrap();
        }
        let mut twin = reopened(&mut memory, !pruned);
        twin.check();
        assert_eq!(twin.export_list(), memory.export_list());
        assert_eq!(twin.frontiers(), memory.frontiers());
        assert_eq!(twin.version_vector(), memory.version_vector());
        assert!(twin.clock() >= memory.clock());
        twin.tick().unwrap();
        while memory.clock() < twin.clock() {
            memory.tick().unwrap();
        }
        for round in 0..4 {
            (0..rng.below(6)).for_each(|_| edit(&mut other, &mut rng));
            let changes = other.changes_newer_than(&memory.version_vector());
            let mut same = Rng::new(rng.next_u64());
            let mut again = Rng::new(0);
            std::mem::swap(&mut again, &mut same);
            let local_seed = again.next_u64();
            for document in [&mut memory, &mut twin] {
                let mut local = Rng::new(local_seed);
                (0..local.below(5)).for_each(|_| edit(document, &mut local));
                let outcome = document
                    .import_changes(changes.clone(), &[], Origin::Remote)
                    .unwrap();
                assert_eq!(outcome.not_ready, 0);
                document.check();
            }
            assert_eq!(values(&twin), values(&memory), "seed {seed} round {round}");
            assert_eq!(twin.export_list(), memory.export_list(), "seed {seed}");
        }
        let before = values(&twin);
        let mut third = reopened(&mut twin, rng.below(2) == 0);
        third.check();
        third.replay_all();
        assert_eq!(values(&third)[0], before[0], "seed {seed}");
    }
}

/// Whoever opens a native snapshot serves the same crdt_lf snapshot as the one who wrote it.
#[test]
fn crdt_lf_peers_get_the_same_snapshot() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let mut memory = registered(empty(1));
        let mut other = registered(empty(2));
        (0..20).for_each(|_| edit(&mut memory, &mut rng));
        (0..20).for_each(|_| edit(&mut other, &mut rng));
        exchange(&mut memory, &mut other);
        memory.take_snapshot(true).unwrap();
        let mut twin = reopened(&mut memory, false);
        (0..4).for_each(|_| edit(&mut twin, &mut rng));
        let expected = memory.last_snapshot().unwrap();
        let found = twin.last_snapshot().unwrap();
        assert_eq!(found.id(), expected.id());
        assert_eq!(found.entries().len(), expected.entries().len());
        let shown = |snapshot| {
            let mut document = registered(empty(3));
            assert!(document.import_snapshot(snapshot, true).unwrap());
            values(&document)
        };
        assert_eq!(shown(found), shown(expected), "seed {seed}");
        // The order of the counters' table is free.
        let length = |entry: Option<&[u8]>| entry.map(<[u8]>::len);
        for (id, blob) in expected.entries() {
            assert_eq!(
                length(found.entry(id)),
                Some(blob.len()),
                "seed {seed} {id}"
            );
        }
    }
}

/// Two replicas that both forgot their changes join their snapshots. Oracle: a third one that got
/// every change.
#[test]
fn concurrent_snapshots_join_without_loss() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let mut oracle = registered(empty(3));
        let mut a = registered(empty(1));
        let mut b = registered(empty(2));
        let knows_all = |oracle: &mut Document, from: &Document| {
            let changes = from.changes_newer_than(&oracle.version_vector());
            let outcome = oracle.import_changes(changes, &[], Origin::Remote).unwrap();
            assert_eq!(outcome.not_ready, 0);
        };
        for _ in 0..3 {
            (0..rng.below(10)).for_each(|_| edit(&mut a, &mut rng));
            (0..rng.below(10)).for_each(|_| edit(&mut b, &mut rng));
            exchange(&mut a, &mut b);
        }
        for document in [&mut a, &mut b] {
            (0..rng.below(15)).for_each(|_| edit(document, &mut rng));
            knows_all(&mut oracle, document);
            if rng.below(3) > 0 {
                document.take_snapshot(true).unwrap();
            }
        }
        let (from_a, from_b) = (
            a.native_snapshot(false).unwrap(),
            b.native_snapshot(false).unwrap(),
        );
        let told_b = b.merge_native_snapshot(&from_a).unwrap();
        let told_a = a.merge_native_snapshot(&from_b).unwrap();
        assert!(!a.merge_native_snapshot(&from_b).unwrap());
        for (document, told) in [(&mut a, told_a), (&mut b, told_b)] {
            document.check();
            assert_eq!(document.version_vector(), oracle.version_vector());
            assert_eq!(
                sorted(values(document)),
                sorted(values(&oracle)),
                "seed {seed}"
            );
            if told {
                let before = values(document);
                document.replay_all();
                assert_eq!(values(document), before, "seed {seed}");
            }
        }
        (0..10).for_each(|_| edit(&mut a, &mut rng));
        (0..10).for_each(|_| edit(&mut b, &mut rng));
        exchange(&mut a, &mut b);
        knows_all(&mut oracle, &a);
        assert_eq!(sorted(values(&a)), sorted(values(&oracle)), "seed {seed}");
        assert_eq!(sorted(values(&b)), sorted(values(&oracle)), "seed {seed}");
    }
}

/// Two replicas never see each other's changes, only snapshots: they edit, prune, reopen, and merge
/// both ways, round for round. Oracle: a third one that got every change.
#[test]
fn replicas_that_only_exchange_snapshots_lose_nothing() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut oracle = registered(empty(3));
        let mut replicas = [registered(empty(1)), registered(empty(2))];
        for round in 0..4 {
            for document in &mut replicas {
                for _ in 0..rng.below(12) {
                    edit(document, &mut rng);
                }
                let changes = document.changes_newer_than(&oracle.version_vector());
                let outcome = oracle.import_changes(changes, &[], Origin::Remote).unwrap();
                assert_eq!(outcome.not_ready, 0);
                if rng.below(3) > 0 {
                    document.take_snapshot(true).unwrap();
                }
                if rng.below(3) == 0 {
                    let history = rng.below(2) == 0;
                    *document = reopened(document, history);
                }
            }
            let bytes = [0, 1].map(|at| {
                let history = rng.below(2) == 0;
                replicas[at].native_snapshot(history).unwrap()
            });
            for at in 0..2 {
                replicas[at].merge_native_snapshot(&bytes[1 - at]).unwrap();
                replicas[at].check();
            }
            let expected = sorted(values(&oracle));
            for document in &mut replicas {
                let context = format!("seed {seed} round {round}");
                assert_eq!(document.version_vector(), oracle.version_vector());
                assert_eq!(sorted(values(document)), expected, "{context}");
                // A replay starts from there, too.
                let mut copy = reopened(document, false);
                copy.replay_all();
                assert_eq!(sorted(values(&copy)), expected, "{context}");
            }
        }
    }
}

/// Texts and lists by position that were edited apart from each other for longer than they keep
/// operations cannot be joined: the receiver's state stays, as crdt_lf has it, or the newer one
/// comes. Everything else is joined nevertheless.
#[test]
fn beyond_the_limit_the_rule_of_crdt_lf_holds() {
    let mut a = registered(empty(1));
    let mut b = registered(empty(2));
    let plain = a.find_handler("plain").unwrap();
    let text = a.find_handler("text").unwrap();
    for document in [&mut a, &mut b] {
        for nth in 0..=KEPT_OPERATIONS_MAX as u64 {
            let at = nth % 2 * nth;
            document.text_insert(plain, at, "x").unwrap();
            document.text_insert(text, at, "x").unwrap();
        }
        document.take_snapshot(true).unwrap();
    }
    b.text_insert(plain, 0, "b").unwrap();
    let (of_a, of_b) = (a.text_string(plain), b.text_string(plain));
    let from_b = b.native_snapshot(false).unwrap();
    b.merge_native_snapshot(&a.native_snapshot(false).unwrap())
        .unwrap();
    a.merge_native_snapshot(&from_b).unwrap();
    assert_eq!(a.text_string(plain), of_a);
    assert_eq!(b.text_string(plain), of_b);
    assert_eq!(a.text_string(text), b.text_string(text));
    assert_eq!(a.text_len_utf16(text), 2 * (KEPT_OPERATIONS_MAX as u64 + 1));
    // Whoever knows everything is right for both, and from then on they are one again.
    a.text_insert(plain, 0, "a").unwrap();
    b.merge_native_snapshot(&a.native_snapshot(false).unwrap())
        .unwrap();
    assert_eq!(b.text_string(plain), format!("a{of_a}"));
    for document in [&mut a, &mut b] {
        document.text_insert(plain, 0, "c").unwrap();
        document.take_snapshot(true).unwrap();
    }
    b.merge_native_snapshot(&a.native_snapshot(false).unwrap())
        .unwrap();
    assert_eq!(b.text_string(plain), format!("cca{of_a}"));
}

/// A replica that went through a crdt_lf snapshot has no removed elements any more, and still does
/// not bring them back. Oracle: which characters are there in a replica that got every change; a
/// crdt_lf snapshot forgets where concurrent ones belong (specification 10.5).
#[test]
fn what_a_crdt_lf_snapshot_forgot_stays_removed() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let mut a = registered(empty(1));
        let mut b = registered(empty(2));
        (0..25).for_each(|_| edit(&mut a, &mut rng));
        exchange(&mut a, &mut b);
        (0..10).for_each(|_| edit(&mut a, &mut rng));
        (0..10).for_each(|_| edit(&mut b, &mut rng));
        let mut oracle = registered(empty(3));
        for document in [&a, &b] {
            let changes = document.changes_newer_than(&oracle.version_vector());
            oracle.import_changes(changes, &[], Origin::Remote).unwrap();
        }
        a.take_snapshot(true).unwrap();
        let mut forgetful = registered(empty(4));
        let snapshot = a.last_snapshot().unwrap();
        assert!(forgetful.import_snapshot(snapshot, true).unwrap());
        let from_forgetful = forgetful.native_snapshot(false).unwrap();
        let from_b = b.native_snapshot(rng.below(2) == 0).unwrap();
        let told = |document: &mut Document, bytes: &[u8]| {
            document.merge_native_snapshot(bytes).unwrap();
            document.check();
        };
        told(&mut forgetful, &from_b);
        told(&mut b, &from_forgetful);
        for id in ["text", "other"] {
            let units = |document: &Document| {
                let mut units = Vec::new();
                let text = document.find_handler(id).unwrap();
                document.text_slice_utf16(text, 0..u64::MAX, &mut units);
                units.sort_unstable();
                units
            };
            assert_eq!(units(&b), units(&oracle), "seed {seed} {id}");
            assert_eq!(units(&forgetful), units(&oracle), "seed {seed} {id}");
        }
    }
}

/// Replicas that forgot that a key was away in between have it in another order.
fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    for value in &mut values {
        if let Value::Object(entries) = value {
            entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        }
    }
    values
}

/// Flips and cuts inside of a body whose checksum is right: an error or a document, no panic.
#[test]
fn forged_snapshots_are_refused_or_sound() {
    for seed in 0..4 {
        let mut rng = Rng::new(seed);
        let mut source = registered(empty(1));
        let mut other = registered(empty(2));
        for _ in 0..2 {
            (0..10).for_each(|_| edit(&mut source, &mut rng));
            (0..10).for_each(|_| edit(&mut other, &mut rng));
            exchange(&mut source, &mut other);
        }
        (0..10).for_each(|_| edit(&mut other, &mut rng));
        let bytes = source.native_snapshot(seed % 2 == 0).unwrap();
        let known = other.native_snapshot(false).unwrap();
        let opened = container::open(&bytes, Kind::Snapshot).unwrap();
        for at in 0..opened.body.len() {
            for variant in 0..3 {
                let mut body = opened.body.to_vec();
                match variant {
                    0 => body.truncate(at),
                    1 => body[at] ^= 1 << rng.below(8),
                    _ => body[at] = rng.next_u64() as u8,
                }
                let forged = container::seal(Kind::Snapshot, opened.columns, &[&body]);
                let Ok(mut document) = Document::open_native(&forged, options_of(&source)) else {
                    continue;
                };
                let changes = other.changes_newer_than(&document.version_vector());
                let _ = document.import_changes(changes, &[], Origin::Remote);
                for id in ["text", "plain"] {
                    if let Some(text) = document.find_handler(id) {
                        let _ = document.text_insert(text, 0, "abc");
                        let _ = document.text_remove(text, 0, 1);
                        document.text_string(text);
                    }
                }
                for id in ["items", "movable"] {
                    if let Some(list) = document.find_handler(id) {
                        let _ = document.list_insert(list, 0, &[1.into(), 2.into()]);
                        let _ = document.list_move(list, 0, 1);
                        let _ = document.list_remove(list, 0, 1);
                    }
                }
                let mut receiver = Document::open_native(&known, options_of(&other)).unwrap();
                if receiver.merge_native_snapshot(&forged).is_ok() {
                    values(&receiver);
                    receiver.replay_all();
                }
                let _ = document.last_snapshot();
                let _ = document.native_snapshot(true);
            }
        }
    }
}

#[test]
fn a_text_is_readable_before_anything_is_built() {
    let mut source = registered(empty(1));
    let text = source.find_handler("text").unwrap();
    source.text_insert(text, 0, "hello w\u{f6}rld").unwrap();
    source.text_remove(text, 1, 3).unwrap();
    source.text_insert(text, 1, "ipp").unwrap();
    let bytes = deflated(&source.native_snapshot(false).unwrap()).unwrap();
    let opened = Document::open_native(&bytes, options_of(&source)).unwrap();
    let text = opened.find_handler("text").unwrap();
    assert_eq!(opened.text_string(text), "hippo w\u{f6}rld");
    assert_eq!(opened.text_len_utf16(text), 11);
    assert_eq!(opened.version_vector(), source.version_vector());
    assert_eq!(opened.change_count(), 0);
    let nothing = opened.export_native(&VersionVector::new());
    assert!(nothing.len() < 16);
    let elsewhere = DocumentOptions {
        wall_clock: WallClock::Fixed(5),
        ..Default::default()
    };
    let mut other = Document::open_native(&bytes, elsewhere).unwrap();
    other.text_insert(text, 0, "x").unwrap();
    source
        .import_changes(other.all_changes(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(source.text_string(text), "xhippo w\u{f6}rld");
}
