//! What hostile changes once broke, case by case. The seeded test beside this one looks for more.

mod hostile_support;

use hostile_support::forge::{Element, MAP, NOW_MS, SET, TEXT, payload, peer, write_element};
use hostile_support::replica::Replica;
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::bytes::{write_prefixed, write_uvarint};
use syncline::codec::{Change, Snapshot, Value};
use syncline::document::{
    CLOCK_AHEAD_MS_MAX, Document, DocumentError, DocumentOptions, HandlerIdx, HandlerKind,
    HandlerSpec, Origin, WallClock,
};
use syncline::replica::{ApplyError, Replica as _};

fn id(author: PeerId, counter: u32) -> OperationId {
    OperationId::new(author, Hlc::new(NOW_MS, counter))
}

fn change(id: OperationId, payload: Vec<u8>) -> Change {
    Change {
        id,
        deps: Vec::new(),
        payload,
    }
}

fn insert(left: Element, right: Element, items: &[(Element, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    write_element(left, &mut body);
    write_element(right, &mut body);
    write_uvarint(&mut body, items.len() as u64);
    for (id, text) in items {
        write_element(*id, &mut body);
        write_prefixed(&mut body, text.as_bytes());
    }
    payload(TEXT, 0, &body)
}

fn remove(ids: &[Element]) -> Vec<u8> {
    let mut body = Vec::new();
    write_uvarint(&mut body, ids.len() as u64);
    ids.iter().for_each(|id| write_element(*id, &mut body));
    payload(TEXT, 1, &body)
}

fn options(number: u8) -> DocumentOptions {
    DocumentOptions {
        peer_id: Some(peer(number)),
        wall_clock: WallClock::Fixed(NOW_MS),
        ..DocumentOptions::default()
    }
}

fn text_document(number: u8) -> (Document, HandlerIdx) {
    let mut document = Document::new(options(number));
    let text = document
        .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
        .unwrap();
    (document, text)
}

#[test]
fn an_empty_text_is_read_in_every_way() {
    let (document, text) = text_document(1);
    assert_eq!(document.handler_value(text), Value::String("".into()));
    assert_eq!(document.text_string(text), "");
    let mut units = vec![7];
    document.text_slice_utf16(text, 0..9, &mut units);
    assert_eq!(units, [7]);
}

#[test]
fn a_snapshot_that_prunes_counts_no_changes() {
    let mut replica = Replica::new(1);
    let text = replica.text;
    replica.document.text_insert(text, 0, "abc").unwrap();
    replica.document.text_remove(text, 0, 1).unwrap();
    replica.document.take_commits();
    let snapshot = Snapshot::new(replica.document.version_vector(), Vec::new());
    assert!(replica.document.import_snapshot(&snapshot, true).unwrap());
    let commits = replica.document.take_commits();
    assert_eq!(commits.len(), 1);
    assert_eq!(
        (commits[0].change_count, commits[0].snapshot_applied),
        (0, true)
    );
    assert_eq!(replica.document.text_string(text), "");
}

/// Elements of several units go as a whole, and nothing is typed into them; listeners are told of
/// the places where that happened.
#[test]
fn elements_of_several_units_are_not_parted() {
    let elements = |who: u8| {
        let item = |counter, text| (Some((peer(9), counter)), text);
        let mut replica = Replica::new(who);
        let body = insert(
            None,
            None,
            &[
                item(1, "a"),
                item(2, "wide"),
                item(3, "b"),
                item(4, "c"),
                item(5, ""),
            ],
        );
        assert_eq!(
            replica
                .document
                .apply_change(&change(id(peer(9), 1), body), b""),
            Ok(true)
        );
        assert_eq!(replica.document.text_string(replica.text), "awidebc");
        replica.follow("before");
        replica
    };
    for (index, expected) in [
        (0, "xawidebc"),
        (1, "axwidebc"),
        (2, "awidexbc"),
        (4, "awidexbc"),
        (5, "awidexbc"),
        (6, "awidebxc"),
    ] {
        let mut replica = elements(1);
        replica
            .document
            .text_insert(replica.text, index, "x")
            .unwrap();
        assert_eq!(
            replica.document.text_string(replica.text),
            expected,
            "at {index}"
        );
        replica.check("insert");
    }
    for (index, count, expected) in [
        (2, 1, "abc"),
        (3, 3, "ac"),
        (4, 2, "ac"),
        (0, 2, "bc"),
        (4, 3, "a"),
    ] {
        let mut replica = elements(1);
        replica
            .document
            .text_remove(replica.text, index, count)
            .unwrap();
        assert_eq!(
            replica.document.text_string(replica.text),
            expected,
            "{count} from {index}"
        );
        replica.check("remove");
    }
}

#[test]
fn elements_of_a_set_that_look_alike_are_each_told_of() {
    let mut replica = Replica::new(1);
    replica.document.begin(b"").unwrap();
    for counter in 1..=3 {
        let mut body = Vec::new();
        write_prefixed(&mut body, b"[1]");
        body.extend_from_slice(&id(peer(9), counter).to_bytes());
        replica
            .document
            .apply_change(&change(id(peer(9), counter), payload(SET, 0, &body)), b"")
            .unwrap();
    }
    replica.document.commit().unwrap();
    // Compares three lists with what was told.
    replica.check("set");
    let state = [3, 3, b'[', b'1', b']', 3, b'[', b'1', b']', 1, b'7'];
    let snapshot = Snapshot::new(
        replica.document.version_vector(),
        vec![("set".into(), state.to_vec())],
    );
    assert!(replica.document.import_snapshot(&snapshot, true).unwrap());
    replica.check("snapshot");
}

/// Applies changes in two orders; both replicas must show the same as a replay.
fn agree_in_any_order(changes: &[Change]) {
    let mut texts = Vec::new();
    for first in 0..changes.len() {
        let mut replica = Replica::new(1);
        for nth in 0..changes.len() {
            let change = &changes[(first + nth) % changes.len()];
            assert_eq!(replica.document.apply_change(change, b""), Ok(true));
        }
        replica.check("in any order");
        texts.push(replica.document.text_string(replica.text));
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
}

#[test]
fn late_changes_that_name_elements_of_the_future_are_placed_as_in_a_replay() {
    let (a, b) = (peer(2), peer(3));
    let typed = |counter: u64| (Some((a, counter)), "a");
    agree_in_any_order(&[
        change(id(a, 10), insert(None, None, &[typed(0), typed(1)])),
        change(id(b, 5), insert(Some((a, 1)), None, &[(Some((b, 0)), "b")])),
        change(id(a, 20), insert(Some((a, 1)), None, &[typed(2)])),
        change(
            id(b, 15),
            insert(Some((a, 2)), None, &[(Some((b, 1)), "c")]),
        ),
        change(id(b, 16), remove(&[Some((a, 2))])),
    ]);
}

#[test]
fn elements_that_do_not_rise_with_their_clocks_are_placed_as_in_a_replay() {
    let (a, b) = (peer(2), peer(3));
    agree_in_any_order(&[
        change(id(a, 10), insert(None, None, &[(Some((a, 9)), "9")])),
        change(id(a, 20), insert(None, None, &[(Some((a, 5)), "5")])),
        change(
            id(b, 12),
            insert(Some((a, 5)), None, &[(Some((b, 0)), "b")]),
        ),
        change(id(b, 14), insert(None, None, &[(Some((a, 7)), "7")])),
        change(id(b, 13), remove(&[Some((a, 7))])),
    ]);
}

#[test]
fn origins_in_reverse_order_are_placed_as_in_a_replay() {
    let (a, b, c) = (peer(2), peer(3), peer(4));
    agree_in_any_order(&[
        change(id(a, 1), insert(None, None, &[(Some((a, 0)), "L")])),
        change(id(a, 2), insert(None, Some((a, 0)), &[(Some((a, 1)), "R")])),
        change(id(b, 3), insert(Some((a, 0)), None, &[(Some((b, 0)), "b")])),
        change(
            id(c, 4),
            insert(Some((a, 0)), Some((a, 1)), &[(Some((c, 0)), "c")]),
        ),
    ]);
}

#[test]
fn clocks_at_their_end_are_refused_and_leave_a_clock_for_the_next_edit() {
    let (mut document, text) = text_document(1);
    document.text_insert(text, 0, "a").unwrap();
    let before = (document.clock(), document.version_vector());
    for clock in [Hlc::MAX, Hlc::new(NOW_MS + CLOCK_AHEAD_MS_MAX + 1, 0)] {
        let forged = change(OperationId::new(peer(9), clock), remove(&[]));
        assert!(matches!(
            document.apply_change(&forged, b""),
            Err(ApplyError::ClockDrift { .. })
        ));
        let list = vec![change(id(peer(8), 1), remove(&[])), forged];
        assert!(matches!(
            document.import_changes(list, b"", Origin::Remote),
            Err(ApplyError::ClockDrift { .. })
        ));
        let vector = VersionVector::from_iter([(peer(9), clock)]);
        let refused = document.import_snapshot(&Snapshot::new(vector, Vec::new()), true);
        assert!(matches!(refused, Err(ApplyError::ClockDrift { .. })));
        assert_eq!(before, (document.clock(), document.version_vector()));
    }
    // The last one that is taken leaves room for all edits to come.
    let last = change(
        OperationId::new(peer(9), Hlc::new(NOW_MS + CLOCK_AHEAD_MS_MAX, 65_535)),
        remove(&[]),
    );
    assert_eq!(document.apply_change(&last, b""), Ok(true));
    document.text_insert(text, 1, "b").unwrap();
    assert!(document.version_vector().get(&peer(1)).unwrap() > last.id.hlc);
    let (mut other, _) = text_document(2);
    assert_eq!(
        other
            .import_changes(document.all_changes()[..2].to_vec(), b"", Origin::Remote)
            .unwrap()
            .applied,
        2
    );
}

#[test]
fn a_document_at_the_end_of_its_clock_refuses_edits() {
    let mut document = Document::new(DocumentOptions {
        initial_clock: Hlc::MAX,
        ..options(1)
    });
    let text = document
        .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
        .unwrap();
    let map = document
        .handler("map", &HandlerSpec::new(HandlerKind::Map))
        .unwrap();
    let is_refused = |result: Result<(), DocumentError>| {
        assert!(matches!(result, Err(DocumentError::Limit(_))), "{result:?}")
    };
    is_refused(document.text_insert(text, 0, "a"));
    is_refused(document.map_set(map, "k", &Value::Int(1)));
    is_refused(document.tick().map(|_| ()));
    is_refused(
        document
            .create_change(payload(MAP, 1, &[1, b'k']))
            .map(|_| ()),
    );
    assert_eq!((document.change_count(), document.clock()), (0, Hlc::MAX));
    document.check();
}

#[test]
fn forged_elements_of_ones_own_end_in_an_error_not_in_a_collision() {
    let (mut document, text) = text_document(1);
    let forged = insert(
        None,
        None,
        &[(Some((peer(1), u64::from(u32::MAX) - 1)), "x")],
    );
    assert_eq!(
        document.apply_change(&change(id(peer(9), 1), forged), b""),
        Ok(true)
    );
    assert!(matches!(
        document.text_insert(text, 0, "a"),
        Err(DocumentError::Limit(_))
    ));
    document.text_remove(text, 0, 1).unwrap();
    assert_eq!(document.text_string(text), "");
    document.check();
}

/// Replays share the text of the snapshot; so does a snapshot that comes again and again.
#[test]
fn a_snapshot_takes_its_room_once() {
    let (mut source, text) = text_document(1);
    source
        .text_insert(text, 0, &"0123456789".repeat(5_000))
        .unwrap();
    let snapshot = source.take_snapshot(true).unwrap().clone();
    let (mut document, text) = text_document(2);
    assert!(document.import_snapshot(&snapshot, true).unwrap());
    // An unknown origin: late changes bring a replay each.
    let forged = insert(Some((peer(8), 77)), None, &[(Some((peer(9), 0)), "x")]);
    document
        .apply_change(&change(id(peer(9), 500), forged), b"")
        .unwrap();
    let before = document.heap_bytes();
    for counter in 1..40 {
        let late = insert(None, None, &[(Some((peer(7), u64::from(counter))), "y")]);
        assert_eq!(
            document.apply_change(&change(id(peer(7), 100 + counter), late), b""),
            Ok(true)
        );
        assert!(document.import_snapshot(&snapshot, true).unwrap());
    }
    assert_eq!(document.text_len_utf16(text), 50_040);
    assert!(
        document.heap_bytes() < before + 50_000,
        "{before}, then {}",
        document.heap_bytes()
    );
    document.check();
    // Other texts, one after the other: the old ones go.
    for round in 0..20 {
        source
            .text_insert(HandlerIdx(0), 0, &round.to_string())
            .unwrap();
        let newer = source.take_snapshot(true).unwrap().clone();
        assert!(document.import_snapshot(&newer, true).unwrap());
        assert_eq!(
            document.text_string(text).len(),
            source.text_string(HandlerIdx(0)).len() + 40
        );
    }
    assert!(
        document.heap_bytes() < 4 * before,
        "{before}, then {}",
        document.heap_bytes()
    );
    document.check();
}

#[test]
fn a_rollback_tells_what_the_replay_behind_it_changed() {
    let mut replica = Replica::new(1);
    let text = replica.text;
    replica.document.text_insert(text, 0, "ab").unwrap();
    replica.document.text_remove(text, 0, 1).unwrap();
    replica.document.take_snapshot(true).unwrap();
    // Right of the removed element: here it is known still, in a replay it is not.
    let late = insert(
        Some((peer(1), 0)),
        Some((peer(1), 1)),
        &[(Some((peer(0), 0)), "x")],
    );
    replica
        .document
        .apply_change(&change(id(peer(0), 9), late), b"")
        .unwrap();
    replica.follow("before");
    replica.document.begin(b"").unwrap();
    replica.document.text_insert(text, 1, "gone").unwrap();
    replica.document.rollback().unwrap();
    replica.check("after");
}

/// Clocks of one author in any order are found, exported in order, and known when they come again.
#[test]
fn changes_against_their_clocks_are_kept_and_known() {
    let mut document = Document::new(options(1));
    let clocks = [50, 10, 30, 60, 20, 61, 62, 5, 63, 40];
    let made: Vec<Change> = clocks
        .iter()
        .map(|clock| change(id(peer(9), *clock), payload(MAP, 1, &[1, b'k'])))
        .collect();
    for change in &made {
        assert_eq!(document.apply_change(change, b""), Ok(true));
        assert_eq!(document.apply_change(change, b""), Ok(false));
    }
    assert!(
        made.iter()
            .all(|change| document.contains_change(&change.id))
    );
    assert_eq!(document.all_changes(), made);
    for seen in [0, 5, 25, 50, 62, 63] {
        let vector = VersionVector::from_iter([(peer(9), Hlc::new(NOW_MS, seen))]);
        let mut expected: Vec<u32> = clocks.into_iter().filter(|clock| *clock > seen).collect();
        expected.sort_unstable();
        let newer = document.changes_newer_than(&vector);
        let newer: Vec<u32> = newer
            .iter()
            .map(|change| u32::from(change.id.hlc.counter()))
            .collect();
        assert_eq!(newer, expected, "behind {seen}");
    }
    document.check();
}

/// Ten thousand of everything that costs nothing to send must cost little to take. The bounds are
/// far above what it takes, and far below what a square would.
#[test]
fn many_heads_authors_and_dependencies_are_cheap() {
    const COUNT: u32 = 20_000;
    let author = |number: u32| {
        let mut bytes = [3; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        PeerId::from_bytes(bytes)
    };
    let start = std::time::Instant::now();
    let mut document = Document::new(options(1));
    let nothing = payload(MAP, 9, &[]);
    let heads: Vec<Change> = (0..COUNT)
        .map(|number| change(id(author(number), 1), nothing.clone()))
        .collect();
    for head in &heads {
        assert_eq!(document.apply_change(head, b""), Ok(true));
    }
    let all: Vec<OperationId> = heads.iter().rev().map(|head| head.id).collect();
    for counter in 2..6 {
        let deps = all.iter().chain(&all).copied().collect();
        let joined = Change {
            id: id(peer(9), counter),
            deps,
            payload: nothing.clone(),
        };
        assert_eq!(document.apply_change(&joined, b""), Ok(true));
    }
    for counter in (0..COUNT).rev() {
        document
            .apply_change(&change(id(peer(8), 10 + counter), nothing.clone()), b"")
            .unwrap();
    }
    assert_eq!(document.version_vector().len(), COUNT as usize + 2);
    document.check();
    let took = start.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
}

/// Changes that nearly continue the one before, as typing does, come back as they came.
#[test]
fn what_nearly_continues_is_kept_apart() {
    let a = peer(9);
    let typed = |first: u64| -> Vec<(Element, &'static str)> {
        vec![(Some((a, first)), "a"), (Some((a, first + 1)), "b")]
    };
    let before = |first: u64| Some((a, first - 1));
    let right = Some((a, 77));
    let spans = |first: u64, len: u64| {
        let ids: Vec<Element> = (first..first + len).map(|n| Some((a, n))).collect();
        remove(&ids)
    };
    // Each: the operations of a chain of changes, and their clocks.
    type Chain = Vec<(u32, Vec<u8>)>;
    let chains: Vec<Chain> = vec![
        // The same with a smaller clock, an equal step, and behind a stray.
        vec![
            (50, insert(None, right, &typed(0))),
            (10, insert(before(2), right, &typed(2))),
        ],
        vec![
            (50, insert(None, right, &typed(0))),
            (10, insert(before(2), right, &typed(2))),
            (20, insert(before(4), right, &typed(4))),
            (60, insert(before(6), right, &typed(6))),
            (70, insert(before(8), right, &typed(8))),
        ],
        // Another left or right origin, another length, ids with a gap.
        vec![
            (1, insert(None, right, &typed(0))),
            (2, insert(before(1), right, &typed(2))),
        ],
        vec![
            (1, insert(None, right, &typed(0))),
            (2, insert(before(2), None, &typed(2))),
        ],
        vec![
            (1, insert(None, right, &typed(0))),
            (2, insert(before(2), right, &typed(2)[..1])),
        ],
        vec![
            (1, insert(None, right, &typed(0))),
            (2, insert(before(2), right, &typed(3))),
        ],
        // Removals: forwards, backwards, and with lengths that change.
        vec![
            (1, spans(4, 2)),
            (2, spans(6, 2)),
            (3, spans(8, 1)),
            (4, spans(9, 3)),
        ],
        vec![
            (1, spans(9, 1)),
            (2, spans(8, 1)),
            (3, spans(7, 1)),
            (4, spans(8, 1)),
        ],
        vec![(1, spans(4, 2)), (2, spans(3, 1)), (3, spans(2, 1))],
        vec![
            (1, spans(4, 2)),
            (2, spans(3, 2)),
            (3, spans(2, 2)),
            (4, spans(0, 2)),
        ],
        vec![
            (1, spans(0, 1)),
            (2, remove(&[None])),
            (3, remove(&[None, None])),
            (4, spans(1, 1)),
        ],
        vec![
            (1, spans(u64::from(u32::MAX) - 1, 1)),
            (2, spans(u64::from(u32::MAX), 1)),
        ],
        // Steps of the clock that change, far and near.
        (0..20)
            .map(|n| (n * n * 3_000, spans(u64::from(n), 1)))
            .collect(),
        (0..300)
            .map(|n| (n * 2 + n % 3 % 2, spans(u64::from(n), 1)))
            .collect(),
    ];
    for (nth, chain) in chains.into_iter().enumerate() {
        let mut made: Vec<Change> = Vec::new();
        for (clock, payload) in chain {
            let deps = made.last().map(|last| last.id).into_iter().collect();
            let clock = Hlc::new(NOW_MS + i64::from(clock / 60_000), clock % 60_000);
            made.push(Change {
                id: OperationId::new(a, clock),
                deps,
                payload,
            });
        }
        let mut replica = Replica::new(1);
        for change in &made {
            assert_eq!(
                replica.document.apply_change(change, b""),
                Ok(true),
                "chain {nth}"
            );
        }
        assert_eq!(replica.document.all_changes(), made, "chain {nth}");
        for change in &made {
            assert!(replica.document.contains_change(&change.id), "chain {nth}");
            assert_eq!(
                replica.document.apply_change(change, b""),
                Ok(false),
                "chain {nth}"
            );
        }
        // What is above each of them, and above pairs in any order.
        for (at, change) in made.iter().enumerate().step_by(7) {
            for heads in [
                vec![change.id],
                vec![made[0].id, change.id],
                vec![change.id, made[0].id],
            ] {
                let above = replica.document.export_changes_from(&heads).unwrap();
                assert_eq!(above, made[at + 1..], "chain {nth}, from {at}");
            }
        }
        replica.given_bytes = 100_000;
        replica.check("nearly continued");
    }
}

/// The heads that a pruning leaves: the latest of each author, whatever the order of arrival.
#[test]
fn heads_behind_a_pruning_are_the_latest() {
    let mut document = Document::new(options(1));
    for counter in [50, 70, 60, 20] {
        let nothing = payload(MAP, 9, &[]);
        assert_eq!(
            document.apply_change(&change(id(peer(9), counter), nothing), b""),
            Ok(true)
        );
    }
    let vector = VersionVector::from_iter([(peer(9), Hlc::new(NOW_MS, 30))]);
    assert!(
        document
            .import_snapshot(&Snapshot::new(vector, Vec::new()), true)
            .unwrap()
    );
    assert_eq!(document.frontiers(), [id(peer(9), 70)]);
    assert_eq!(document.change_count(), 3);
    document.check();
}

/// As above, within one stretch of typing.
#[test]
fn late_changes_into_the_middle_of_typing_are_placed_as_in_a_replay() {
    let a = peer(2);
    let clocks = [10, 20, 30, 41];
    for late in 9..44 {
        let mut replica = Replica::new(1);
        let mut deps = Vec::new();
        for (nth, clock) in (0u64..).zip(clocks) {
            let left = nth.checked_sub(1).map(|before| (a, before));
            let payload = insert(left, None, &[(Some((a, nth)), "a")]);
            let change = Change {
                id: id(a, clock),
                deps,
                payload,
            };
            assert_eq!(replica.document.apply_change(&change, b""), Ok(true));
            deps = vec![change.id];
        }
        let named: Vec<Element> = (0..4).map(|counter| Some((a, counter))).collect();
        for (nth, left) in (0u64..).zip(named) {
            let id = id(peer(4 + nth as u8), late);
            let payload = insert(left, None, &[(Some((id.peer, 0)), "b")]);
            assert_eq!(
                replica.document.apply_change(&change(id, payload), b""),
                Ok(true)
            );
            replica.check(&format!("late at {late}"));
        }
    }
}
