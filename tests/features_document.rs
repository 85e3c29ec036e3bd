//! What the document promises, row by row (B7 to B87): each test is named after its row. Rows of
//! single handlers are in `features_handlers`, those of trees in `features_nested`.
//!
//! | row | where it is tested, or why not |
//! |---|---|
//! | B5, B49 to B67, B70, B71 | `features_nested`; edges in `nested` |
//! | B1 to B4, B6, B9 to B11, B13, B30 to B38, B42, B44 to B48 | `features_handlers` |
//! | B8 | `vectors_document`: scripts of several writers in several orders |
//! | B14, B43, B69, B72 | documentation: `docs/data-model.md`; its models are B70 and B71 |
//! | B20 | `examples-c/collab.c`, which the examples' test runs and compares |
//! | B21, B22, B68 | need a user interface or a socket: `net`, `sync_*` and the C demo |
//! | B24 | `benches`, with the published figures beside ours |
//! | B25 | B7 |
//! | B26, B86 | the C tests (`tests/c`), which call every function of the header |
//! | B39, B40, B41 | B49, B50, B51 |
//! | B88 | no behaviour: credits and roadmap are documentation |
//!
//! B23 is about durability, too: `crash` kills the process, `store_*` fails its writes.

mod common;
mod documents;

use documents::{START_MS, document, document_at, exchange, handler, peer, pull, shown, typed};
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::bytes::{Reader, write_uvarint};
use syncline::codec::{Change, ElementId, Snapshot, Value, change, version_vector};
use syncline::document::{
    Document, DocumentError, DocumentOptions, HandlerIdx, HandlerKind, Origin, WallClock,
};
use syncline::replica::{ApplyError, Replica};

fn fugue(document: &mut Document) -> HandlerIdx {
    handler(document, HandlerKind::FugueText, "t")
}

fn with_text(number: u8, content: &str) -> (Document, HandlerIdx) {
    let mut document = document(number);
    let text = fugue(&mut document);
    document.text_insert(text, 0, content).unwrap();
    (document, text)
}

/// Packing, text forms and every rule of the clock: `vectors_codec`.
#[test]
fn b07_clocks_order_operations_causally() {
    let (mut a, _) = with_text(1, "a");
    let mut b = document(2);
    pull(&mut b, &a);
    let before = a.all_changes()[0].id;
    let text = fugue(&mut b);
    b.text_insert(text, 0, "b").unwrap();
    let after = b.all_changes()[1].id;
    assert!(after > before && after.hlc > before.hlc);
    // Drift beyond the limit is refused, and nothing happens.
    a.set_clock_drift_ms_max(Some(1000));
    let mut ahead = document_at(3, Hlc::new(START_MS + 5000, 0));
    let text = fugue(&mut ahead);
    ahead.text_insert(text, 0, "x").unwrap();
    let far = ahead.all_changes().remove(0);
    assert!(matches!(
        a.apply_change(&far, &[]),
        Err(ApplyError::ClockDrift { .. })
    ));
    assert_eq!(a.change_count(), 1);
}

#[test]
fn b12_a_snapshot_bounds_memory() {
    let mut own = document(1);
    let text = fugue(&mut own);
    own.begin(b"").unwrap();
    for step in 0..50_000u64 {
        // Words typed and removed again, all over the text.
        let at = step * 7919 % (own.text_len_utf16(text) + 1);
        own.text_insert(text, at, "some words").unwrap();
        if own.text_len_utf16(text) > 4000 {
            own.text_remove(text, step * 31 % 3000, 1000).unwrap();
        }
    }
    own.commit().unwrap();
    let content = own.text_string(text);
    let before = own.heap_bytes();
    let snapshot = own.take_snapshot(true).unwrap().clone();
    assert_eq!(
        (own.change_count(), own.text_string(text)),
        (0, content.clone())
    );
    // Here the log goes, while removed elements keep their places for late edits.
    assert!(
        own.heap_bytes() < before,
        "{} of {before}",
        own.heap_bytes()
    );
    // Whoever starts from it holds the state and no more.
    let mut copy = document(2);
    let copied = fugue(&mut copy);
    copy.import_snapshot(&snapshot, true).unwrap();
    assert_eq!(copy.text_string(copied), content);
    let state = snapshot.encode().len();
    assert!(
        copy.heap_bytes() < 2 * state && 20 * copy.heap_bytes() < own.heap_bytes(),
        "{} bytes for {state}, {} here",
        copy.heap_bytes(),
        own.heap_bytes()
    );
    // Later edits merge, between elements that both know (specification 10.5).
    let inside = content.find("some words").unwrap() as u64 + 4;
    copy.text_insert(copied, inside, "!").unwrap();
    own.text_insert(text, inside + 2, "?").unwrap();
    exchange(&mut own, &mut copy);
    assert_eq!(own.text_string(text), copy.text_string(copied));
    assert!(own.text_string(text).contains("some! w?ords"));
}

#[test]
fn b15_a_transaction_tells_once_at_its_end() {
    let mut own = document(1);
    let text = fugue(&mut own);
    own.set_recording(true);
    own.begin(b"").unwrap();
    own.text_insert(text, 0, "a").unwrap();
    own.text_insert(text, 1, "b").unwrap();
    assert!(own.take_commits().is_empty());
    own.commit().unwrap();
    let commits = own.take_commits();
    assert_eq!(commits.len(), 1);
    assert_eq!(own.local_changes_of(&commits[0]).unwrap().len(), 2);
}

#[test]
fn b16_implicit_transaction_of_each_operation() {
    let mut own = document(1);
    let text = fugue(&mut own);
    own.set_recording(true);
    own.text_insert(text, 0, "a").unwrap();
    own.text_insert(text, 1, "b").unwrap();
    assert_eq!(own.take_commits().len(), 2);
}

/// Every rule: `transactions` in `vectors_document`.
#[test]
fn b17_neighbours_are_compacted_at_the_end() {
    let made = |kind: HandlerKind, edit: &dyn Fn(&mut Document, HandlerIdx, u64)| {
        let mut document = document(1);
        let handler = handler(&mut document, kind, "h");
        if kind == HandlerKind::MovableList {
            let values: Vec<Value> = (0..6).map(Value::Int).collect();
            document.list_insert(handler, 0, &values).unwrap();
        }
        let before = document.change_count();
        document.begin(b"").unwrap();
        (0..5).for_each(|nth| edit(&mut document, handler, nth));
        document.commit().unwrap();
        document.change_count() - before
    };
    let insert = |d: &mut Document, h: HandlerIdx, nth: u64| d.text_insert(h, nth, "x").unwrap();
    let push = |d: &mut Document, h: HandlerIdx, nth: u64| {
        d.list_push(h, &[(nth as i64).into()]).unwrap();
    };
    let set = |d: &mut Document, h: HandlerIdx, nth: u64| {
        d.map_set(h, "k", &(nth as i64).into()).unwrap();
    };
    let write = |d: &mut Document, h: HandlerIdx, nth: u64| {
        d.register_set(h, &(nth as i64).into()).unwrap();
    };
    let add = |d: &mut Document, h: HandlerIdx, nth: u64| {
        d.set_add(h, &(nth as i64).into()).unwrap();
    };
    let moves = |d: &mut Document, h: HandlerIdx, nth: u64| d.list_move(h, nth, nth + 1).unwrap();
    assert_eq!(made(HandlerKind::Text, &insert), 1);
    assert_eq!(made(HandlerKind::Map, &set), 1);
    assert_eq!(made(HandlerKind::Register, &write), 1);
    assert_eq!(made(HandlerKind::FugueText, &insert), 5);
    assert_eq!(made(HandlerKind::List, &push), 5);
    assert_eq!(made(HandlerKind::MovableList, &moves), 5);
    assert_eq!(made(HandlerKind::OrSet, &add), 5);
}

#[test]
fn b18_what_a_transaction_does_in_order() {
    let mut own = document(1);
    let text = handler(&mut own, HandlerKind::Text, "t");
    own.set_recording(true);
    own.observe(text, true);
    own.begin(b"").unwrap();
    own.text_insert(text, 0, "a").unwrap();
    own.text_insert(text, 1, "b").unwrap();
    // Queued: shown, but neither a change nor told.
    assert_eq!(
        (own.text_string(text).as_str(), own.change_count()),
        ("ab", 0)
    );
    assert!(own.take_commits().is_empty());
    own.commit().unwrap();
    let commit = own.take_commits().remove(0);
    assert_eq!((commit.change_count, commit.deltas.len()), (1, 1));
    // One that is taken back leaves everything as before.
    let (clock, vector) = (own.clock(), own.version_vector());
    own.begin(b"").unwrap();
    own.text_insert(text, 0, "x").unwrap();
    own.rollback().unwrap();
    assert_eq!((own.clock(), own.version_vector()), (clock, vector));
    assert_eq!(own.text_string(text), "ab");
    assert!(own.take_commits().is_empty());
}

/// The bytes are those of Dart with the same clock: see specification 9.15.
#[test]
fn b19_the_first_program_of_the_readme() {
    let peer_id = PeerId::parse("45ee6b65-b393-40b7-9755-8b66dc7d0518").unwrap();
    let mut own = Document::new(DocumentOptions {
        peer_id: Some(peer_id),
        initial_clock: Hlc::new(START_MS, 0),
        wall_clock: WallClock::Fixed(0),
        ..Default::default()
    });
    let text = handler(&mut own, HandlerKind::FugueText, "text1");
    own.text_insert(text, 0, "Hello").unwrap();
    own.text_remove(text, 0, 2).unwrap();
    assert_eq!(own.text_string(text), "llo");
    let changes = own.all_changes();
    let id = |nth: u32| {
        [
            peer_id.bytes(),
            &Hlc::new(START_MS, nth).to_u64().to_be_bytes()[..],
        ]
        .concat()
    };
    let name = b"\x14CRDTFugueTextHandler\x05text1";
    let removed = |counter: u8| [&[1][..], peer_id.bytes(), &[counter]].concat();
    let payload = [&name[..], &[1, 2], &removed(0), &removed(1)].concat();
    let length = [payload.len() as u8];
    let expected = [&[2, 1][..], &id(3), &id(1), &length, &payload].concat();
    assert_eq!(
        common::to_hex(&changes[1].encode()),
        common::to_hex(&expected)
    );
}

/// What Dart's adapters keep are these bytes; see also `store_documents` and `crash`.
#[test]
fn b23_kept_bytes_open_again() {
    let (mut own, _) = with_text(1, "kept");
    let (snapshot, _) = (own.take_snapshot(true).unwrap().encode(), ());
    let text = own.find_handler("t").unwrap();
    own.text_insert(text, 4, "!").unwrap();
    let changes: Vec<Vec<u8>> = own.all_changes().iter().map(Change::encode).collect();
    let list = own.export_list();
    let mut again = document(2);
    let text = fugue(&mut again);
    let snapshot = Snapshot::decode(&snapshot).unwrap();
    again.import_snapshot(&snapshot, true).unwrap();
    for bytes in &changes {
        let change = Change::decode(bytes).unwrap();
        assert!(again.apply_change(&change, &[]).unwrap());
    }
    assert_eq!(again.text_string(text), "kept!");
    assert_eq!(
        again.import_list(&list, &[], Origin::Load).unwrap().applied,
        0
    );
}

#[test]
fn b27_the_documents_id_does_not_enter_changes() {
    let make = |id: &str| {
        let mut own = Document::new(DocumentOptions {
            document_id: id.into(),
            peer_id: Some(peer(1)),
            initial_clock: Hlc::new(START_MS, 0),
            wall_clock: WallClock::Fixed(0),
            ..Default::default()
        });
        let text = fugue(&mut own);
        own.text_insert(text, 0, "same").unwrap();
        (own.id().to_owned(), own.export_list())
    };
    let (first, second) = (make("first"), make("second"));
    assert_eq!(first.0, "first");
    assert_ne!(first.0, second.0);
    assert_eq!(first.1, second.1);
}

#[test]
fn b28_operation_ids_are_author_and_clock() {
    let (own, _) = with_text(1, "a");
    let id = own.all_changes()[0].id;
    let bytes = id.to_bytes();
    assert_eq!(&bytes[..16], own.peer_id().bytes());
    assert_eq!(bytes[16..], id.hlc.to_u64().to_be_bytes());
    assert_eq!(id, OperationId::new(own.peer_id(), id.hlc));
}

#[test]
fn b29_ids_are_made_when_absent() {
    let documents: Vec<Document> = (0..100)
        .map(|_| Document::new(DocumentOptions::default()))
        .collect();
    let mut ids: Vec<String> = documents
        .iter()
        .flat_map(|own| [own.id().to_owned(), own.peer_id().to_string()])
        .collect();
    assert!(
        ids.iter()
            .all(|id| id.len() == 36 && PeerId::parse(id).is_ok())
    );
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[test]
fn b73_inner_transactions_join_the_outer_one() {
    let mut own = document(1);
    let text = fugue(&mut own);
    own.set_recording(true);
    own.begin(b"outer").unwrap();
    own.text_insert(text, 0, "a").unwrap();
    own.begin(b"inner").unwrap();
    own.text_insert(text, 1, "b").unwrap();
    own.commit().unwrap();
    assert!(own.in_transaction());
    assert_eq!((own.change_count(), own.take_commits().len()), (0, 0));
    own.commit().unwrap();
    let commits = own.take_commits();
    assert_eq!(
        (commits.len(), commits[0].tag.as_slice()),
        (1, &b"outer"[..])
    );
    assert_eq!(own.commit(), Err(DocumentError::NoTransaction));
}

#[test]
fn b74_changes_and_snapshots_within_a_transaction_act_at_once() {
    let map_of = |document: &mut Document| typed(document, HandlerKind::Map, "num", "m");
    let mut other = document(2);
    let map = map_of(&mut other);
    other.map_set(map, "theirs", &2.into()).unwrap();
    let snapshot = other.take_snapshot(true).unwrap().clone();
    let mut own = document(1);
    let map = map_of(&mut own);
    own.map_set(map, "first", &0.into()).unwrap();
    let payload = own.all_changes()[0].payload.clone();
    own.map_remove(map, "first").unwrap();
    own.set_recording(true);
    own.begin(b"").unwrap();
    own.map_set(map, "ours", &1.into()).unwrap();
    own.create_change(payload).unwrap();
    assert_eq!(own.change_count(), 3);
    assert_eq!(shown(&own, "m"), r#"{"first":0,"ours":1}"#);
    own.import_snapshot(&snapshot, true).unwrap();
    assert_eq!(shown(&own, "m"), r#"{"theirs":2,"first":0,"ours":1}"#);
    assert!(own.take_commits().is_empty());
    own.commit().unwrap();
    let commits = own.take_commits();
    assert_eq!((commits.len(), commits[0].snapshot_applied), (1, true));
    assert_eq!(commits[0].change_count, 2);
    assert_eq!(shown(&own, "m"), r#"{"theirs":2,"first":0,"ours":1}"#);
}

#[test]
fn b75_nothing_is_applied_before_what_it_depends_on() {
    let (mut own, text) = with_text(1, "a");
    own.text_insert(text, 1, "b").unwrap();
    let [first, second] = <[Change; 2]>::try_from(own.all_changes()).unwrap();
    let mut reader = document(2);
    let copied = fugue(&mut reader);
    let missing = ApplyError::NotReady { missing: first.id };
    assert_eq!(reader.apply_change(&second, &[]), Err(missing));
    let alone = reader.import_changes(vec![second.clone()], &[], Origin::Remote);
    assert_eq!(alone.unwrap().not_ready, 1);
    assert_eq!(
        (reader.change_count(), reader.text_len_utf16(copied)),
        (0, 0)
    );
    let both = reader.import_changes(vec![second, first], &[], Origin::Remote);
    assert_eq!(both.unwrap().applied, 2);
    assert_eq!(reader.text_string(copied), "ab");
}

#[test]
fn b76_changes_show_their_parts() {
    let (mut own, text) = with_text(1, "a");
    own.text_remove(text, 0, 1).unwrap();
    let [first, second] = <[Change; 2]>::try_from(own.all_changes()).unwrap();
    assert_eq!(second.deps, [first.id]);
    assert_eq!(
        (second.id.peer, second.id.hlc),
        (peer(1), Hlc::new(START_MS, 3))
    );
    let envelope = second.envelope().unwrap();
    assert_eq!(
        (envelope.handler_type, envelope.handler_id, envelope.kind),
        ("CRDTFugueTextHandler", "t", 1)
    );
}

#[test]
fn b77_frontiers_are_the_heads() {
    let (mut a, _) = with_text(1, "a");
    let (mut b, text) = with_text(2, "b");
    let heads = [a.frontiers()[0], b.frontiers()[0]];
    exchange(&mut a, &mut b);
    let mut both = a.frontiers();
    both.sort_unstable();
    assert_eq!(both, heads);
    b.text_insert(text, 0, "c").unwrap();
    assert_eq!(b.frontiers(), [b.all_changes()[2].id]);
    let mut deps = b.all_changes()[2].deps.clone();
    deps.sort_unstable();
    assert_eq!(deps, heads);
    assert_eq!(b.export_changes_from(&heads).unwrap().len(), 1);
}

#[test]
fn b78_snapshots_into_empty_behind_equal_and_ahead_documents() {
    let (mut own, text) = with_text(1, "one");
    let early = own.all_changes();
    let early_vector = own.version_vector();
    own.text_insert(text, 3, " two").unwrap();
    let snapshot = own.take_snapshot(false).unwrap().clone();
    assert_eq!(snapshot.vector(), &own.version_vector());
    assert_eq!(snapshot.entries().len(), 1);
    assert_eq!(snapshot.id().len(), 64);
    for state in ["empty", "behind", "equal", "ahead"] {
        let mut reader = document(2);
        let copied = fugue(&mut reader);
        if state != "empty" {
            reader
                .import_changes(early.clone(), &[], Origin::Remote)
                .unwrap();
        }
        if state == "equal" || state == "ahead" {
            pull(&mut reader, &own);
            reader.take_snapshot(false).unwrap();
        }
        if state == "ahead" {
            reader.text_insert(copied, 0, "!").unwrap();
        }
        // Only the reader's own snapshot counts: one that covers as much is taken.
        assert!(reader.import_snapshot(&snapshot, true).unwrap(), "{state}");
        let expected = if state == "ahead" {
            "!one two"
        } else {
            "one two"
        };
        assert_eq!(reader.text_string(copied), expected, "{state}");
    }
    let mut newer = document(3);
    let copied = fugue(&mut newer);
    pull(&mut newer, &own);
    newer.text_insert(copied, 0, "!").unwrap();
    newer.take_snapshot(true).unwrap();
    assert!(!newer.import_snapshot(&snapshot, true).unwrap());
    assert!(early_vector.len() == 1 && newer.text_string(copied) == "!one two");
}

#[test]
fn b79_peer_ids_have_sixteen_bytes() {
    let id = PeerId::random();
    assert_eq!(id.bytes().len(), 16);
    assert_eq!(PeerId::from_bytes(*id.bytes()), id);
    assert_eq!(PeerId::parse(&id.to_string()), Ok(id));
    for bad in [
        "",
        "x",
        "45ee6b65-b393-10b7-9755-8b66dc7d0518",
        " 45ee6b65-b393-40b7-9755-8b66dc7d0518",
    ] {
        assert!(PeerId::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn b80_clocks_have_eight_bytes() {
    let clock = Hlc::new(START_MS, 7);
    let bytes = clock.to_u64().to_be_bytes();
    assert_eq!(common::to_hex(&bytes), "03bb2cc3d8000007");
    assert_eq!(Hlc::from_u64(u64::from_be_bytes(bytes)), clock);
}

#[test]
fn b81_operation_ids_have_24_bytes() {
    let id = OperationId::new(peer(1), Hlc::new(START_MS, 7));
    assert_eq!(id.to_bytes().len(), 24);
    assert_eq!(OperationId::from_bytes(&id.to_bytes()), id);
}

#[test]
fn b82_element_ids_are_read_one_after_the_other() {
    let ids = [
        Some(ElementId {
            peer: peer(1),
            counter: 300,
        }),
        None,
        Some(ElementId {
            peer: peer(2),
            counter: 0,
        }),
    ];
    let mut bytes = Vec::new();
    ids.iter().for_each(|id| ElementId::write(*id, &mut bytes));
    let mut reader = Reader::new(&bytes);
    let ends = [19, 20, 38];
    for (id, end) in ids.iter().zip(ends) {
        assert_eq!(ElementId::read(&mut reader).as_ref(), Ok(id));
        assert_eq!(reader.offset(), end);
    }
}

#[test]
fn b83_version_vectors_have_24_bytes_per_peer_and_their_number() {
    let vector: VersionVector = [(peer(1), Hlc::new(START_MS, 1))].into_iter().collect();
    let bytes = version_vector::encode(&vector);
    assert_eq!(bytes.len(), 25);
    assert_eq!(version_vector::decode(&bytes), Ok(vector));
}

#[test]
fn b84_changes_begin_with_their_schema() {
    let (own, _) = with_text(1, "a");
    let bytes = own.all_changes()[0].encode();
    assert_eq!(bytes[0], 2);
    for schema in (0..=255).filter(|schema| *schema != 2) {
        let other = [&[schema], &bytes[1..]].concat();
        assert!(Change::decode(&other).is_err(), "{schema}");
    }
    for end in 0..bytes.len() {
        assert!(Change::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(Change::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn b85_snapshots_are_names_and_bytes_with_their_lengths() {
    let (mut own, _) = with_text(1, "a");
    let snapshot = own.take_snapshot(true).unwrap().clone();
    let bytes = snapshot.encode();
    let mut expected = Vec::new();
    let vector = version_vector::encode(snapshot.vector());
    for part in [snapshot.id().as_bytes(), &vector] {
        write_uvarint(&mut expected, part.len() as u64);
        expected.extend_from_slice(part);
    }
    expected.push(1);
    for part in [&b"t"[..], snapshot.entry("t").unwrap()] {
        write_uvarint(&mut expected, part.len() as u64);
        expected.extend_from_slice(part);
    }
    assert_eq!(bytes, expected);
    assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
    for end in 0..bytes.len() {
        assert!(Snapshot::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

/// JSON is nowhere but in the values whose codec it is.
#[test]
fn b87_everything_but_default_values_is_binary() {
    let (mut own, text) = with_text(1, "{\"a\":1}");
    own.text_remove(text, 0, 7).unwrap();
    let map = typed(&mut own, HandlerKind::Map, "dynamic", "m");
    own.map_set(map, "k", &Value::Array(vec![Value::Null]))
        .unwrap();
    let list = own.export_list();
    let changes = change::decode_list(&list).unwrap();
    let count = |needle: &[u8]| {
        list.windows(needle.len())
            .filter(|found| *found == needle)
            .count()
    };
    assert_eq!(changes.len(), 3);
    assert_eq!(count(b"[null]"), 1);
    for name in [
        &b"\"id\""[..],
        b"\"deps\"",
        b"\"hlc\"",
        b"\"payload\"",
        b"{\"",
    ] {
        assert_eq!(count(name), 0);
    }
}
