//! The defects of the reference (specification chapter 13): what we do instead, one test each. The
//! inputs are those of the recorded `quirks`.

mod common;
mod documents;

use documents::{document, document_at, exchange, handler, pull, shown, typed};
use std::sync::Arc;
use std::time::Duration;
use syncline::clock::{Hlc, OperationId, PeerId};
use syncline::codec::bytes::write_uvarint;
use syncline::codec::{Change, Snapshot, Value};
use syncline::document::{
    Document, DocumentError, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin,
    SharedDocument,
};
use syncline::replica::{ApplyError, Replica};

fn text_of(document: &mut Document) -> HandlerIdx {
    handler(document, HandlerKind::Text, "t")
}

fn fugue_of(document: &mut Document) -> HandlerIdx {
    handler(document, HandlerKind::FugueText, "t")
}

/// A document with a text by positions.
fn text(number: u8, content: &str) -> (Document, HandlerIdx) {
    let mut document = document(number);
    let text = text_of(&mut document);
    if !content.is_empty() {
        document.text_insert(text, 0, content).unwrap();
    }
    (document, text)
}

/// A document that replays what another one has.
fn copy_of(document: &Document) -> (Document, HandlerIdx) {
    let (mut copy, text) = text(99, "");
    pull(&mut copy, document);
    (copy, text)
}

#[test]
fn defect_01_the_clock_carries_instead_of_wrapping() {
    let mut own = document_at(1, Hlc::new(documents::START_MS, 65534));
    let text = text_of(&mut own);
    for digit in ["0", "1", "2", "3", "4"] {
        own.text_insert(text, 0, digit).unwrap();
    }
    let changes = own.all_changes();
    assert!(changes.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert_eq!(changes[1].id.hlc.ms(), documents::START_MS + 1);
    let first = own.version_vector();
    own.text_insert(text, 0, "5").unwrap();
    assert_eq!(own.changes_newer_than(&first).len(), 1);
    let (copy, copied) = copy_of(&own);
    assert_eq!(copy.text_string(copied), "543210");
    assert_eq!(own.text_string(text), "543210");
}

#[test]
fn defect_02_reads_and_imports_in_a_transaction_lose_nothing() {
    let (mut own, text) = text(1, "");
    own.begin(b"").unwrap();
    own.text_insert(text, 0, "a").unwrap();
    assert_eq!(own.text_string(text), "a");
    own.text_insert(text, 1, "b").unwrap();
    own.commit().unwrap();
    assert_eq!(own.text_string(text), "ab");

    let (mut other, other_text) = copy_of(&own);
    other.text_insert(other_text, 2, "R").unwrap();
    own.begin(b"").unwrap();
    own.text_insert(text, 0, "x").unwrap();
    pull(&mut own, &other);
    assert_eq!(own.text_string(text), "xabR");
    own.commit().unwrap();
    assert_eq!(own.text_string(text), "xabR");
    assert_eq!(copy_of(&own).0.text_string(text), "xabR");
}

#[test]
fn defect_03_a_refused_edit_leaves_the_document_as_it_was() {
    let (mut own, text) = text(1, "abcdef");
    let map = typed(&mut own, HandlerKind::Map, "num", "m");
    let before = own.change_count();
    for refused in [
        own.text_insert(text, 7, "x"),
        own.text_remove(text, 3, 4),
        own.map_set(map, "k", &f64::NAN.into()),
        own.map_set(map, "k", &Value::Bytes(vec![1])),
    ] {
        assert!(refused.is_err());
    }
    assert_eq!(own.change_count(), before);
    // Two insertions that do not touch stay two.
    own.begin(b"").unwrap();
    own.text_insert(text, 5, "X").unwrap();
    own.text_insert(text, 0, "Y").unwrap();
    assert!(own.text_insert(text, 99, "Z").is_err());
    own.commit().unwrap();
    assert_eq!(own.change_count(), before + 2);
    assert_eq!(own.text_string(text), "YabcdeXf");
    assert_eq!(copy_of(&own).0.text_string(text), "YabcdeXf");
    own.text_insert(text, 0, "on ").unwrap();
    own.map_set(map, "k", &1.into()).unwrap();
}

#[test]
fn defect_04_what_cannot_be_decoded_blocks_nothing() {
    let (mut own, text) = text(1, "a");
    let foreign = |clock: u32, payload: &[u8]| Change {
        id: OperationId::new(documents::peer(7), Hlc::new(documents::START_MS + 9, clock)),
        deps: Vec::new(),
        payload: payload.to_vec(),
    };
    let envelope = |body: &[u8]| [&[15], &b"CRDTTextHandler"[..], &[1, b't', 0], body].concat();
    let changes = vec![
        // No envelope, a body that is cut, and a good one.
        foreign(1, &[5, 1]),
        foreign(2, &envelope(&[0, 9, 0x41])),
        foreign(3, &envelope(&[1, 1, b'b'])),
    ];
    let imported = own
        .import_changes(changes.clone(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(imported.applied, 3);
    assert_eq!(own.text_string(text), "ab");
    own.replay_all();
    assert_eq!(own.text_string(text), "ab");
    assert_eq!(own.handler_changes("t", None).len(), 3);
    // They leave as they came.
    assert_eq!(own.all_changes()[1..], changes);
}

#[test]
fn defect_05_vectors_stay_exact_after_a_partial_prune() {
    let (mut own, text) = text(1, "");
    for at in 0..5 {
        own.text_insert(text, at, &at.to_string()).unwrap();
    }
    let at_five = own.version_vector();
    own.take_snapshot(false).unwrap();
    for at in 5..8 {
        own.text_insert(text, at, &at.to_string()).unwrap();
    }
    let exact = own.version_vector();
    assert_eq!(own.garbage_collect(&at_five), 5);
    assert_eq!(own.version_vector(), exact);
    let snapshot = own.take_snapshot(false).unwrap().clone();
    assert_eq!(snapshot.vector(), &exact);
    let (mut reloaded, text) = self::text(2, "");
    reloaded.import(Some(&snapshot), own.all_changes()).unwrap();
    assert_eq!(reloaded.text_string(text), "01234567");
}

#[test]
fn defect_06_a_snapshot_within_a_transaction_is_refused() {
    let (mut own, text) = text(1, "a");
    own.begin(b"").unwrap();
    own.text_insert(text, 1, "b").unwrap();
    assert_eq!(
        own.take_snapshot(false).unwrap_err(),
        ApplyError::InTransaction
    );
    // The state of the handler alone is the committed one.
    assert_eq!(own.handler_snapshot_state(text), b"a");
    own.commit().unwrap();
    assert_eq!(own.handler_snapshot_state(text), b"ab");
}

#[test]
fn defect_07_handlers_that_nobody_registered_survive_a_snapshot() {
    let (own, _) = text(1, "kept");
    let mut server = document(2);
    pull(&mut server, &own);
    let snapshot = server.take_snapshot(true).unwrap().clone();
    assert_eq!(server.change_count(), 0);
    let (mut reader, text) = text(3, "");
    reader.import_snapshot(&snapshot, true).unwrap();
    assert_eq!(reader.text_string(text), "kept");
    // One that only the last snapshot has, too.
    let mut relay = document(4);
    relay.import_snapshot(&snapshot, true).unwrap();
    let again = relay.take_snapshot(true).unwrap();
    assert_eq!(again.entry("t"), Some(&b"kept"[..]));
}

#[test]
fn defect_08_changes_below_the_snapshot_are_refused() {
    let (mut own, text) = text(1, "A");
    own.text_insert(text, 1, "B").unwrap();
    let first = own.all_changes().remove(0);
    own.take_snapshot(true).unwrap();
    assert_eq!(own.apply_change(&first, &[]), Ok(false));
    assert_eq!(
        (own.change_count(), own.text_string(text)),
        (0, "AB".into())
    );
    own.replay_all();
    assert_eq!(own.text_string(text), "AB");
}

#[test]
fn defect_09_a_change_listed_twice_is_one_change() {
    let (mut own, text) = text(1, "a");
    own.text_insert(text, 1, "b").unwrap();
    let [c0, c1] = <[Change; 2]>::try_from(own.all_changes()).unwrap();
    for listed in [[&c0, &c0, &c1], [&c0, &c1, &c1], [&c1, &c0, &c1]] {
        let (mut reader, copied) = self::text(2, "");
        let listed = listed.into_iter().cloned().collect();
        let imported = reader.import_changes(listed, &[], Origin::Remote).unwrap();
        assert_eq!((imported.applied, imported.not_ready), (2, 0));
        assert_eq!(reader.text_string(copied), "ab");
    }
}

#[test]
fn defect_10_changes_of_others_are_not_told_as_local() {
    let (own, _) = text(1, "a");
    let mut reader = document(2);
    reader.set_recording(true);
    let change = own.all_changes().remove(0);
    assert!(reader.apply_change(&change, &[]).unwrap());
    let commits = reader.take_commits();
    assert_eq!((commits.len(), commits[0].origin), (1, Origin::Remote));
    assert_eq!(reader.local_changes_of(&commits[0]), Some(Vec::new()));
    assert_eq!(reader.changes_of(&commits[0]), Some(vec![change]));
}

/// In crdt_lf's own form nothing else is possible; what is lost is what was pruned.
#[test]
fn defect_11_concurrent_snapshots_lose_only_what_was_pruned() {
    for prune in [true, false] {
        let (mut a, mut b) = (document(1), document(2));
        let set = |document: &mut Document, key: &str| {
            let map = typed(document, HandlerKind::Map, "num", "m");
            document.map_set(map, key, &1.into()).unwrap();
        };
        set(&mut a, "a");
        set(&mut b, "b");
        let from_b = b.take_snapshot(true).unwrap().clone();
        if prune {
            a.take_snapshot(true).unwrap();
        }
        a.merge_snapshot(&from_b, true).unwrap();
        let expected = if prune {
            r#"{"a":1}"#
        } else {
            r#"{"b":1,"a":1}"#
        };
        assert_eq!(shown(&a, "m"), expected);
        assert!(
            a.version_vector()
                .is_strictly_newer_or_equal_than(&b.version_vector())
        );
    }
}

#[test]
fn defect_12_writes_of_one_transaction_do_not_tie() {
    for start in [Hlc::ZERO, Hlc::new(documents::START_MS, 0)] {
        let mut own = document_at(1, start);
        let list = typed(&mut own, HandlerKind::MovableList, "String", "l");
        let values: Vec<Value> = ["a", "b", "c"].map(Value::from).into();
        own.begin(b"").unwrap();
        own.list_insert(list, 0, &values).unwrap();
        own.list_move(list, 0, 1).unwrap();
        own.list_move(list, 1, 2).unwrap();
        own.list_update(list, 0, &"x".into()).unwrap();
        own.list_update(list, 0, &"y".into()).unwrap();
        assert_eq!(shown(&own, "l"), r#"["y","c","a"]"#);
        own.commit().unwrap();
        assert_eq!(shown(&own, "l"), r#"["y","c","a"]"#);
        let mut reader = document(2);
        typed(&mut reader, HandlerKind::MovableList, "String", "l");
        pull(&mut reader, &own);
        assert_eq!(shown(&reader, "l"), r#"["y","c","a"]"#);
    }
}

#[test]
fn defect_13_peer_ids_are_lower_case() {
    let upper = "45EE6B65-B393-40B7-9755-8B66DC7D0518";
    let peer = PeerId::parse(upper).unwrap();
    assert_eq!(peer.to_string(), upper.to_lowercase());
    let open = || {
        Document::new(DocumentOptions {
            peer_id: Some(peer),
            ..Default::default()
        })
    };
    let mut own = open();
    let text = fugue_of(&mut own);
    own.text_insert(text, 0, "ab").unwrap();
    let mut again = open();
    again
        .import_changes(own.all_changes(), &[], Origin::Load)
        .unwrap();
    let text = fugue_of(&mut again);
    again.text_insert(text, 2, "c").unwrap();
    again.replay_all();
    assert_eq!(again.text_string(text), "abc");
}

#[test]
fn defect_14_positions_out_of_range_are_errors() {
    let mut own = document(1);
    let t = fugue_of(&mut own);
    own.text_insert(t, 0, "abc").unwrap();
    let refused = Err(DocumentError::OutOfRange {
        index: 100,
        length: 3,
    });
    assert_eq!(own.text_insert(t, 100, "X"), refused);
    for kind in [
        HandlerKind::List,
        HandlerKind::FugueList,
        HandlerKind::MovableList,
    ] {
        let list = typed(&mut own, kind, "num", kind.base_tag());
        own.list_push(list, &[1.into(), 2.into(), 3.into()])
            .unwrap();
        let before = own.change_count();
        assert_eq!(own.list_insert(list, 100, &[4.into()]), refused);
        assert!(own.list_remove(list, 2, 2).is_err());
        assert!(own.list_update(list, 3, &4.into()).is_err());
        assert_eq!(own.change_count(), before);
    }
    assert_eq!(own.text_string(t), "abc");
}

/// Normative: peers would not agree otherwise.
#[test]
fn defect_15_null_in_a_fugue_list_is_invisible() {
    let values = [Value::Int(1), Value::Null, Value::Int(2)];
    let mut own = document(1);
    let expected = [
        (HandlerKind::FugueList, "[1,2]"),
        (HandlerKind::MovableList, "[1,null,2]"),
        (HandlerKind::List, "[1,null,2]"),
    ];
    for (kind, expected) in expected {
        let list = typed(&mut own, kind, "dynamic", kind.base_tag());
        own.list_insert(list, 0, &values).unwrap();
        assert_eq!(shown(&own, kind.base_tag()), expected);
    }
}

/// Tags stay in memory when history is pruned; only those who start from the bytes of a snapshot
/// lack them, as the format has none.
#[test]
fn defect_16_removals_reach_values_that_were_pruned() {
    let set_of = |document: &mut Document| typed(document, HandlerKind::OrSet, "String", "s");
    let (mut a, mut b) = (document(1), document(2));
    let (sa, sb) = (set_of(&mut a), set_of(&mut b));
    a.set_add(sa, &"x".into()).unwrap();
    pull(&mut b, &a);
    let snapshot = a.take_snapshot(true).unwrap().clone();
    b.set_remove(sb, &"x".into()).unwrap();
    pull(&mut a, &b);
    assert_eq!((a.set_len(sa), b.set_len(sb)), (0, 0));
    let mut c = document(3);
    let sc = set_of(&mut c);
    c.import_snapshot(&snapshot, true).unwrap();
    pull(&mut c, &b);
    assert_eq!(c.set_len(sc), 1);
    c.set_remove(sc, &"x".into()).unwrap();
    assert_eq!(c.set_len(sc), 0);
}

/// Normative: lists equal nothing, not even themselves.
#[test]
fn defect_17_collections_as_elements_never_match() {
    let mut own = document(1);
    let set = typed(&mut own, HandlerKind::OrSet, "dynamic", "s");
    let list = Value::Array(vec![1.into()]);
    own.set_add(set, &list).unwrap();
    own.set_add(set, &list).unwrap();
    own.set_remove(set, &list).unwrap();
    assert_eq!(shown(&own, "s"), "[[1],[1]]");
    assert!(!own.set_contains(set, &list));
    let map = typed(&mut own, HandlerKind::OrMap, "dynamic, dynamic", "m");
    own.map_set_any(map, &list, &1.into()).unwrap();
    own.map_remove_any(map, &list).unwrap();
    assert_eq!(own.map_len(map), 1);
    // Numbers are equal by value.
    own.set_add(set, &2.0.into()).unwrap();
    own.set_remove(set, &2.into()).unwrap();
    assert_eq!(shown(&own, "s"), "[[1],[1]]");
}

#[test]
fn defect_18_local_names_are_what_peers_read() {
    let mut own = document(1);
    let map = typed(&mut own, HandlerKind::Map, "int", "m");
    own.map_set(map, "\u{feff}a", &1.into()).unwrap();
    let mut reader = document(2);
    typed(&mut reader, HandlerKind::Map, "int", "m");
    pull(&mut reader, &own);
    assert_eq!(shown(&own, "m"), r#"{"a":1}"#);
    assert_eq!(shown(&reader, "m"), r#"{"a":1}"#);
    // Ids and tags with a mark are refused: they would be two handlers.
    let marked = own.handler("\u{feff}t", &HandlerSpec::new(HandlerKind::Text));
    assert_eq!(marked, Err(DocumentError::ReservedId));
    let spec = HandlerSpec {
        type_tag: "\u{feff}T".into(),
        ..HandlerSpec::new(HandlerKind::Text)
    };
    assert_eq!(own.handler("t", &spec), Err(DocumentError::ReservedId));
    // Lone surrogates cannot be in a name here; in text they survive.
    let t = fugue_of(&mut own);
    own.text_insert_utf16(t, 0, &[0xd83d]).unwrap();
    pull(&mut reader, &own);
    let t = fugue_of(&mut reader);
    let mut units = Vec::new();
    reader.text_slice_utf16(t, 0..1, &mut units);
    assert_eq!(units, [0xd83d]);
}

#[test]
fn defect_19_trailing_bytes_and_wrapping_lengths_are_refused() {
    let (mut own, _) = text(1, "a");
    let mut bytes = own.take_snapshot(true).unwrap().encode();
    assert!(Snapshot::decode(&bytes).is_ok());
    bytes.extend_from_slice(&[1, 2, 3]);
    assert!(Snapshot::decode(&bytes).is_err());
    // 24 times this count is 0 in 64 bits.
    let mut change = vec![2];
    write_uvarint(&mut change, 1 << 61);
    change.extend_from_slice(&[0; 25]);
    assert!(Change::decode(&change).is_err());
}

/// Nothing keeps a document but those who hold it.
#[test]
fn defect_20_documents_end_with_their_last_owner() {
    let (mut a, _) = text(1, "a");
    let (mut b, _) = text(2, "b");
    exchange(&mut a, &mut b);
    let shared = SharedDocument::new(a, Duration::from_secs(1));
    let weak = Arc::downgrade(&shared);
    assert_eq!(Arc::strong_count(&shared), 1);
    drop(shared);
    assert!(weak.upgrade().is_none());
}
