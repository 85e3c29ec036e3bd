//! The document against obvious expectations: index units, rollback, bytes that come back as they
//! came, pruning.

use super::*;
use crate::codec::Value;
use crate::replica::Replica;
use crate::testing::Rng;

fn document(peer: u8, clock: WallClock) -> Document {
    let mut bytes = [peer; 16];
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    let peer_id = Some(PeerId::from_bytes(bytes));
    Document::new(DocumentOptions {
        peer_id,
        wall_clock: clock,
        ..Default::default()
    })
}

fn text_of(document: &mut Document) -> HandlerIdx {
    document
        .handler("t", &HandlerSpec::new(HandlerKind::FugueText))
        .unwrap()
}

fn units_of(document: &Document, text: HandlerIdx) -> Vec<u16> {
    let mut units = Vec::new();
    document.text_slice_utf16(text, 0..u64::MAX, &mut units);
    units
}

const PIECES: [&[u16]; 7] = [
    &[0x61, 0x62, 0x63],
    &[0xe9],
    &[0xd83d, 0xde00],
    &[0xd83d],
    &[0xde00],
    &[0x6f22, 0x61],
    &[0x20],
];

/// Whatever was asked before: edits of all kinds come between the questions.
#[test]
fn positions_convert_between_units() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let kind = [HandlerKind::FugueText, HandlerKind::Text][rng.below(2)];
        let peers: Vec<(Document, HandlerIdx)> = (1..=2)
            .map(|number| {
                let mut document = document(number, WallClock::Fixed(1));
                let text = document.handler("t", &HandlerSpec::new(kind)).unwrap();
                (document, text)
            })
            .collect();
        let [(mut document, text), (mut other, same)] = peers.try_into().unwrap();
        for _ in 0..rng.below(20) {
            match rng.below(8) {
                0 => {
                    document
                        .import_list(&other.export_list(), &[], Origin::Remote)
                        .unwrap();
                    other
                        .import_list(&document.export_list(), &[], Origin::Remote)
                        .unwrap();
                }
                1 => {
                    document.begin(&[]).unwrap();
                    edit_units(&mut document, text, &mut rng);
                    document.rollback().unwrap();
                }
                2 | 3 => edit_units(&mut other, same, &mut rng),
                _ => edit_units(&mut document, text, &mut rng),
            }
            if rng.below(3) == 0 {
                assert_converts(&document, text, seed);
            }
        }
        assert_converts(&document, text, seed);
    }
}

fn edit_units(document: &mut Document, text: HandlerIdx, rng: &mut Rng) {
    let len = document.text_len_utf16(text) as usize;
    let at = rng.below(len + 1);
    if rng.below(3) == 0 {
        let count = rng.below((len - at).min(4) + 1);
        document.text_remove(text, at as u64, count as u64).unwrap();
        return;
    }
    let units: Vec<u16> = (0..rng.below(12))
        .flat_map(|_| PIECES[rng.below(PIECES.len())])
        .copied()
        .collect();
    document.text_insert_utf16(text, at as u64, &units).unwrap();
}

/// Oracle: every character boundary, counted one by one.
fn assert_converts(document: &Document, text: HandlerIdx, seed: u64) {
    let units = units_of(document, text);
    let string = String::from_utf16_lossy(&units);
    assert_eq!(document.text_string(text), string, "seed {seed}");
    let mut at = (0, 0, 0);
    let mut boundaries = vec![at];
    for character in char::decode_utf16(units.iter().copied()) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        at = (
            at.0 + character.len_utf16(),
            at.1 + character.len_utf8(),
            at.2 + 1,
        );
        boundaries.push(at);
    }
    let convert =
        |index: usize, from, to| document.text_convert_index(text, index as u64, from, to);
    use TextUnit::{CodePoint, Utf8, Utf16};
    for (utf16, utf8, code_points) in &boundaries {
        let all = [(Utf16, *utf16), (Utf8, *utf8), (CodePoint, *code_points)];
        for (from, index) in all {
            for (to, expected) in all {
                assert_eq!(
                    convert(index, from, to),
                    Ok(expected as u64),
                    "seed {seed} {from:?} {to:?}"
                );
            }
        }
    }
    for pair in boundaries.windows(2) {
        if pair[1].0 == pair[0].0 + 2 {
            // Between the halves of a character: the position before it.
            let inside = pair[0].0 + 1;
            assert_eq!(convert(inside, Utf16, Utf8), Ok(pair[0].1 as u64));
            assert_eq!(convert(inside, Utf16, CodePoint), Ok(pair[0].2 as u64));
        }
    }
    let last = *boundaries.last().unwrap();
    for index in 0..=last.1 + 1 {
        let known = boundaries.iter().any(|(_, utf8, _)| *utf8 == index);
        match convert(index, Utf8, Utf16) {
            Ok(_) => assert!(known, "seed {seed}"),
            Err(DocumentError::OutOfRange { length, .. }) => {
                assert_eq!((index, length), (last.1 + 1, last.1 as u64))
            }
            Err(error) => {
                let index = index as u64;
                assert!(!known && error == DocumentError::NotOnBoundary { index });
            }
        }
    }
    assert!(convert(last.0 + 1, Utf16, CodePoint).is_err());
    assert!(convert(last.2 + 1, CodePoint, Utf16).is_err());
}

#[test]
fn a_rollback_leaves_no_trace() {
    let mut document = document(1, WallClock::System);
    let text = text_of(&mut document);
    let map = document
        .handler("m", &HandlerSpec::new(HandlerKind::Map))
        .unwrap();
    let set = document
        .handler("s", &HandlerSpec::new(HandlerKind::OrSet))
        .unwrap();
    let register = document
        .handler("r", &HandlerSpec::new(HandlerKind::Register))
        .unwrap();
    document.text_insert(text, 0, "kept").unwrap();
    document.map_set(map, "k", &Value::Int(1)).unwrap();
    document.set_add(set, &Value::Int(1)).unwrap();
    document.register_set(register, &Value::Bool(true)).unwrap();
    document.set_recording(true);
    document.observe_all(true);
    let changes = document.all_changes();
    document.begin(b"").unwrap();
    document.begin(b"").unwrap();
    document.text_insert(text, 4, " gone").unwrap();
    document.text_update_utf16(text, 0, &[0x4b]).unwrap();
    document.text_remove(text, 1, 2).unwrap();
    document.map_set(map, "k", &Value::Int(2)).unwrap();
    document.map_set(map, "new", &Value::Int(2)).unwrap();
    document.set_remove(set, &Value::Int(1)).unwrap();
    document.set_add(set, &Value::Int(2)).unwrap();
    document.register_set(register, &Value::Null).unwrap();
    assert_eq!(document.text_string(text), "Kt gone");
    assert_eq!(document.map_len(map), 2);
    document.rollback().unwrap();
    assert_eq!(document.text_string(text), "kept");
    assert_eq!(document.map_entries(map), [("k".to_owned(), Value::Int(1))]);
    assert_eq!(document.set_values(set), [Value::Int(1)]);
    assert_eq!(document.register_get(register), Some(Value::Bool(true)));
    assert_eq!(document.all_changes(), changes);
    assert!(document.take_commits().is_empty());
    assert_eq!(document.commit(), Err(DocumentError::NoTransaction));
    document.text_insert(text, 4, "!").unwrap();
    document.check();
    let other = &mut self::document(2, WallClock::System);
    let copy = text_of(other);
    other
        .import_changes(document.all_changes(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(other.text_string(copy), "kept!");
}

/// Odd but legal encodings of the same operation, and nonsense: all leave as they came.
#[test]
fn foreign_payloads_come_back_byte_for_byte() {
    let mut author = document(1, WallClock::System);
    let text = text_of(&mut author);
    author.text_insert(text, 0, "ab").unwrap();
    author
        .text_insert_utf16(text, 1, &[0xe9, 0xd83d, 0xde00])
        .unwrap();
    author.text_remove(text, 0, 2).unwrap();
    let originals = author.all_changes();
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let mut changes = originals.clone();
        for change in &mut changes {
            let payload = &mut change.payload;
            match rng.below(4) {
                0 => payload.push(rng.next_u64() as u8),
                1 => {
                    let at = rng.below(payload.len());
                    payload[at] = rng.next_u64() as u8;
                }
                2 => payload.truncate(rng.below(payload.len() + 1)),
                _ => {
                    // A longer form of the first varint.
                    payload[0] |= 0x80;
                    payload.insert(1, 0);
                }
            }
        }
        let mut other = document(2, WallClock::System);
        if rng.below(2) == 0 {
            text_of(&mut other);
        }
        let outcome = other
            .import_changes(changes.clone(), &[], Origin::Remote)
            .unwrap();
        assert_eq!(outcome.applied, changes.len(), "seed {seed}");
        assert_eq!(other.all_changes(), changes, "seed {seed}");
        other.check();
        let before = text_of(&mut other);
        let shown = other.text_string(before);
        other.replay_all();
        assert_eq!(other.text_string(before), shown, "seed {seed}");
    }
}

/// Pruning keeps what is not covered, and the content that runs refer to.
#[test]
fn pruned_documents_go_on() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut a = document(1, WallClock::System);
        let mut b = document(2, WallClock::System);
        let (text_a, text_b) = (text_of(&mut a), text_of(&mut b));
        for round in 0..12 {
            for (document, text) in [(&mut a, text_a), (&mut b, text_b)] {
                for _ in 0..rng.below(5) {
                    let at = rng.below(document.text_len_utf16(text) as usize + 1) as u64;
                    if rng.below(3) == 0 && at < document.text_len_utf16(text) {
                        document.text_remove(text, at, 1).unwrap();
                    } else {
                        document
                            .text_insert_utf16(text, at, PIECES[rng.below(PIECES.len())])
                            .unwrap();
                    }
                }
            }
            let (from_a, from_b) = (
                a.changes_newer_than(&b.version_vector()),
                b.changes_newer_than(&a.version_vector()),
            );
            b.import_changes(from_a, &[], Origin::Remote).unwrap();
            a.import_changes(from_b, &[], Origin::Remote).unwrap();
            assert_eq!(
                a.text_string(text_a),
                b.text_string(text_b),
                "seed {seed} round {round}"
            );
            assert_eq!(a.version_vector(), b.version_vector());
            // Everything is on both sides: forgetting is safe, and who forgets may vary.
            for document in [&mut a, &mut b] {
                if rng.below(3) == 0 {
                    let shown = units_of(document, HandlerIdx(0));
                    let vector = document.version_vector();
                    document.take_snapshot(true).unwrap();
                    assert_eq!(document.change_count(), 0);
                    assert_eq!(document.version_vector(), vector);
                    assert_eq!(units_of(document, HandlerIdx(0)), shown, "seed {seed}");
                }
                document.check();
            }
        }
        let mut late = document(3, WallClock::System);
        let text = text_of(&mut late);
        if let Some(snapshot) = a.last_snapshot() {
            late.import_snapshot(snapshot, true).unwrap();
            assert_eq!(late.version_vector(), *snapshot.vector());
        }
        late.import_changes(a.all_changes(), &[], Origin::Remote)
            .unwrap();
        assert_eq!(late.version_vector(), a.version_vector());
        late.check();
        assert!(late.text_len_utf16(text) >= 1 || a.text_len_utf16(text_a) == 0);
    }
}

/// Clocks of a row survive whatever the wall clock does between its changes.
#[test]
fn clocks_of_typed_text_come_back() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut document = document(1, WallClock::Fixed(1_000_000));
        let text = text_of(&mut document);
        let mut ids = Vec::new();
        let mut now = 1_000_000;
        for nth in 0..300 {
            now += [0, 0, 0, 1, 3, 70, 5_000, 1 << 33][rng.below(8)];
            document.wall_clock = WallClock::Fixed(now);
            let position = document.log_position();
            document.text_insert(text, nth, "x").unwrap();
            ids.push(document.changes_since(position).unwrap()[0].id);
            assert_eq!(*ids.last().unwrap(), document.frontiers()[0]);
        }
        let exported: Vec<_> = document
            .all_changes()
            .iter()
            .map(|change| change.id)
            .collect();
        assert_eq!(exported, ids, "seed {seed}");
        for (nth, id) in ids.iter().enumerate() {
            assert!(document.contains_change(id));
            let mut seen = VersionVector::new();
            seen.update(id.peer, id.hlc);
            assert_eq!(
                document.changes_newer_than(&seen).len(),
                ids.len() - nth - 1
            );
            assert_eq!(
                document.export_changes_from(&[*id]).unwrap().len(),
                ids.len() - nth - 1
            );
        }
        let unknown = OperationId::new(document.peer_id(), Hlc::from_u64(ids[0].hlc.to_u64() + 1));
        assert!(!document.contains_change(&unknown) || ids.contains(&unknown));
    }
}

#[test]
fn a_server_that_nobody_told_of_handlers_loses_none_to_a_snapshot() {
    let mut author = document(1, WallClock::System);
    let text = text_of(&mut author);
    author.text_insert(text, 0, "content").unwrap();
    let map = author.handler(
        "m",
        &HandlerSpec {
            type_tag: "CRDTMapHandler<num>".into(),
            ..HandlerSpec::new(HandlerKind::Map)
        },
    );
    author.map_set(map.unwrap(), "k", &Value::Int(1)).unwrap();
    let mut server = document(2, WallClock::System);
    server
        .import_changes(author.all_changes(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(server.handlers().count(), 0);
    let snapshot = server.take_snapshot(true).unwrap().clone();
    assert_eq!(server.change_count(), 0);
    let mut joiner = document(3, WallClock::System);
    let copy = text_of(&mut joiner);
    joiner.import_snapshot(&snapshot, true).unwrap();
    assert_eq!(joiner.text_string(copy), "content");
    // Of a type that is unknown here nothing may be forgotten.
    let mut payload = Vec::new();
    crate::codec::Envelope {
        handler_type: "Custom",
        handler_id: "c",
        kind: 9,
        body: b"?",
    }
    .encode(&mut payload);
    author.create_change(payload).unwrap();
    let newer = author.changes_newer_than(&server.version_vector());
    server.import_changes(newer, &[], Origin::Remote).unwrap();
    assert!(matches!(
        server.take_snapshot(true),
        Err(crate::replica::ApplyError::UnknownHandler { .. })
    ));
    assert_eq!(server.change_count(), 1);
}

/// An observer of an empty text is told of what a snapshot brings.
#[test]
fn a_snapshot_for_an_observed_empty_text() {
    let mut first = document(1, WallClock::Fixed(1));
    let text = text_of(&mut first);
    first.text_insert(text, 0, "abc").unwrap();
    let snapshot = first.take_snapshot(true).unwrap().clone();
    let mut second = document(2, WallClock::Fixed(1));
    text_of(&mut second);
    second.set_recording(true);
    second.observe_all(true);
    assert!(second.import_snapshot(&snapshot, true).unwrap());
    let commits = second.take_commits();
    let units: Vec<u16> = "abc".encode_utf16().collect();
    assert_eq!(
        commits[0].deltas,
        [(
            HandlerIdx(0),
            HandlerDelta::Text(vec![TextOp::Insert(units)])
        )]
    );
}

/// A rollback behind a snapshot that pruned nothing must not forget removed elements: edits of
/// others still refer to them.
#[test]
fn rollback_keeps_removed_elements() {
    let mut first = document(1, WallClock::Fixed(1));
    let text = text_of(&mut first);
    first.text_insert(text, 0, "ab").unwrap();
    let mut second = document(2, WallClock::Fixed(1));
    let other = text_of(&mut second);
    second
        .import_changes(first.all_changes(), &[], Origin::Remote)
        .unwrap();
    // Behind the "b" that the first one removes.
    second.text_insert(other, 2, "x").unwrap();
    first.text_remove(text, 1, 1).unwrap();
    first.take_snapshot(false).unwrap();
    first.begin(&[]).unwrap();
    first.text_insert(text, 0, "never").unwrap();
    first.rollback().unwrap();
    second
        .import_changes(first.all_changes(), &[], Origin::Remote)
        .unwrap();
    first
        .import_changes(second.all_changes(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(second.text_string(other), "ax");
    assert_eq!(first.text_string(text), "ax");
}

/// Decoding drops one byte order mark of a name: the bytes of one name may be those of another.
#[test]
fn names_with_byte_order_marks_stay_apart() {
    let envelope = |handler_id| {
        let mut payload = Vec::new();
        crate::codec::Envelope {
            handler_type: "T",
            handler_id,
            kind: 0,
            body: b"",
        }
        .encode(&mut payload);
        payload
    };
    let mut first = document(1, WallClock::Fixed(1));
    for id in ["\u{feff}\u{feff}x", "\u{feff}x", "x", "\u{feff}x"] {
        first.create_change(envelope(id)).unwrap();
    }
    assert_eq!(first.handler_change_count("\u{feff}x"), 1);
    assert_eq!(first.handler_change_count("x"), 3);
    let mut second = document(2, WallClock::Fixed(1));
    second
        .import_list(&first.export_list(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(second.all_changes(), first.all_changes());
    assert_eq!(second.handler_change_count("x"), 3);
}
