//! The cases of crdt_lf's own benchmark (specification, chapter 15), beside the time of one call
//! that its authors published. Their machine is unknown: what counts is a factor of twenty.

use crate::engine::{document_with, options};
use crate::report::Report;
use crate::values::Numbers;
use bench::measure::{Stopwatch, settle};
use std::hint::black_box;
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::change::ChangeView;
use syncline::codec::{Change, Value, change, version_vector};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, WallClock,
};
use syncline::replica::Replica as _;

/// All cases of one run.
pub fn all(report: &mut Report) {
    changes(report);
    ancestors(report);
    clocks_and_ids(report);
    vectors(report);
    handlers(report);
    sequences(report);
    remote_edits(report);
    imports(report);
    snapshots(report);
    nested(report);
}

/// One call, as the package measures its "remote ..." cases.
fn once<R>(report: &mut Report, case: &str, published_us: f64, body: impl FnOnce() -> R) -> R {
    settle();
    let start = Stopwatch::start();
    let result = black_box(body());
    report.reference(case, published_us, start.elapsed());
    result
}

/// The mean of ten calls after some that warm up, as the package measures all other cases. Giving
/// back what a call made counts, as a collector's work does there.
fn timed<R>(report: &mut Report, case: &str, published_us: f64, mut body: impl FnMut() -> R) -> R {
    const WARM_UP: usize = 3;
    const CALLS: u32 = 10;
    (0..WARM_UP).for_each(|_| drop(black_box(body())));
    let start = Stopwatch::start();
    (1..CALLS).for_each(|_| drop(black_box(body())));
    let result = black_box(body());
    report.reference(case, published_us, start.elapsed() / CALLS);
    result
}

/// A document with so many inserts into a list, each behind the one before.
fn list_of(writer: u32, count: usize) -> Document {
    let (mut document, list) = document_with(writer, HandlerKind::List);
    for nth in 0..count {
        let value = Value::Int(nth as i64);
        document
            .list_insert(list, nth as u64, &[value])
            .expect("inside");
    }
    document
}

fn import(document: &mut Document, bytes: &[u8]) {
    let outcome = document.import_list(bytes, &[], Origin::Remote);
    assert_eq!(outcome.expect("exported here").not_ready, 0);
}

fn changes(report: &mut Report) {
    let document = list_of(1, 1000);
    let all = document.all_changes();
    let bytes = timed(report, "Change toBytes x1000", 59.5, || {
        all.iter().map(Change::encode).collect::<Vec<_>>()
    });
    // Dart reads no fields here, either.
    timed(report, "Change fromBytes x1000", 19.2, || {
        for bytes in &bytes {
            black_box(ChangeView::decode(bytes).expect("encoded here"));
        }
    });
    timed(report, "Change roundtrip x1000", 78.6, || {
        for change in &all {
            let bytes = change.encode();
            black_box(ChangeView::decode(&bytes).expect("encoded here"));
        }
    });
}

/// Dart's walks a graph; ours is said by what an export leaves out that starts from those heads.
fn ancestors(report: &mut Report) {
    let document = list_of(1, 200);
    let last: Vec<OperationId> = document.frontiers();
    timed(report, "DAG getAncestors chain of 200", 7.4, || {
        let newer = document.export_changes_from(&last);
        newer.expect("known here").len()
    });
}

fn clocks_and_ids(report: &mut Report) {
    let clocks: Vec<Hlc> = (0..100_000).map(|nth| Hlc::new(nth, 7)).collect();
    let bytes = timed(report, "HLC toUint8List x100k", 24.1, || {
        clocks
            .iter()
            .map(|clock| clock.to_bytes())
            .collect::<Vec<_>>()
    });
    timed(report, "HLC fromUint8List x100k", 499.1, || {
        bytes.iter().map(|bytes| Hlc::from_bytes(*bytes)).max()
    });
    timed(report, "HLC compareTo x100k", 45.0, || {
        let pairs = clocks.windows(2);
        pairs.filter(|pair| black_box(pair[0]) < pair[1]).count()
    });
    timed(report, "PeerId generate x100", 160.9, || {
        (0..100).map(|_| PeerId::random()).collect::<Vec<_>>()
    });
    let peers: Vec<PeerId> = (0..1000).map(|_| PeerId::random()).collect();
    let written = timed(report, "PeerId toUint8List x1000", 31.7, || {
        peers.iter().map(|peer| *peer.bytes()).collect::<Vec<_>>()
    });
    timed(report, "PeerId fromUint8List x1000", 58.3, || {
        let read = written.iter().map(|bytes| PeerId::from_bytes(*bytes));
        read.collect::<Vec<_>>()
    });
    // There is no map from ids: the log finds a change by its author and clock.
    let document = list_of(1, 10_000);
    let changes = document.all_changes();
    let ids: Vec<OperationId> = changes.iter().map(|change| change.id).collect();
    timed(report, "OperationId map lookup x10k", 35.3, || {
        let known = ids.iter().filter(|id| document.contains_change(id));
        known.count()
    });
}

fn vectors(report: &mut Report) {
    let vector = |shift: i64| -> VersionVector {
        let peers = (0..10).map(|nth| (PeerId::from_bytes([nth; 16]), Hlc::new(shift, nth.into())));
        peers.collect()
    };
    let (one, other) = (vector(1), vector(2));
    let bytes = version_vector::encode(&one);
    timed(
        report,
        "VersionVector toBytes 10 peers x1000",
        447.6,
        || {
            (0..1000)
                .map(|_| version_vector::encode(&one).len())
                .sum::<usize>()
        },
    );
    timed(
        report,
        "VersionVector fromBytes 10 peers x1000",
        1461.0,
        || {
            (0..1000).for_each(|_| {
                black_box(version_vector::decode(&bytes).expect("encoded here"));
            })
        },
    );
    timed(
        report,
        "VersionVector intersection 10 peers x1000",
        193.5,
        || {
            (0..1000).for_each(|_| {
                black_box(VersionVector::intersection([&one, &other]));
            })
        },
    );
}

const THIRDS: usize = 1000;

fn handlers(report: &mut Report) {
    timed(
        report,
        "CRDTFugueListHandler, 1000 operations, read",
        3223.0,
        || list_edits(HandlerKind::FugueList),
    );
    timed(
        report,
        "CRDTListHandler, 1000 operations, read",
        2587.0,
        || list_edits(HandlerKind::List),
    );
    timed(
        report,
        "CRDTTextHandler, 1000 operations, read",
        2747.0,
        || text_edits(),
    );
    timed(
        report,
        "CRDTMapHandler, 1000 operations, read",
        2611.0,
        || {
            let (mut document, map) = document_with(1, HandlerKind::Map);
            let mut numbers = Numbers::new(4);
            for nth in 0..THIRDS {
                let key = format!("key {}", numbers.below(100));
                let value = Value::Int(nth as i64);
                let done = match numbers.below(3) {
                    0 => document.map_set(map, &key, &value),
                    1 if document.map_contains(map, &key) => document.map_update(map, &key, &value),
                    1 => Ok(()),
                    _ => document.map_remove(map, &key),
                };
                done.expect("a map");
            }
            document.map_entries(map)
        },
    );
    timed(
        report,
        "CRDTORSetHandler, 1000 operations, read",
        2918.0,
        || {
            let (mut document, set) = document_with(1, HandlerKind::OrSet);
            let mut numbers = Numbers::new(5);
            let mut there = Vec::new();
            for nth in 0..THIRDS {
                if there.is_empty() || numbers.below(2) == 0 {
                    there.push(nth as i64);
                    document
                        .set_add(set, &Value::Int(nth as i64))
                        .expect("a set");
                } else {
                    let gone = there.swap_remove(numbers.below(there.len()));
                    document.set_remove(set, &Value::Int(gone)).expect("a set");
                }
            }
            document.set_values(set)
        },
    );
}

fn list_edits(kind: HandlerKind) -> Vec<Value> {
    let (mut document, list) = document_with(1, kind);
    let mut numbers = Numbers::new(6);
    let mut len = 0;
    for nth in 0..THIRDS {
        let value = Value::Int(nth as i64);
        let kind = if len == 0 { 0 } else { numbers.below(3) };
        let at = numbers.below(len + usize::from(kind == 0)) as u64;
        match kind {
            0 => document.list_insert(list, at, &[value]),
            1 => document.list_remove(list, at, 1),
            _ => document.list_update(list, at, &value),
        }
        .expect("inside");
        len = document.list_len(list) as usize;
    }
    document.list_values(list)
}

fn text_edits() -> String {
    let (mut document, text) = document_with(1, HandlerKind::Text);
    let mut numbers = Numbers::new(7);
    for _ in 0..THIRDS {
        let len = document.text_len_utf16(text) as usize;
        let kind = if len < 10 { 0 } else { numbers.below(3) };
        match kind {
            0 => {
                let piece = &"abcdefghijkl"[..5 + numbers.below(8)];
                document.text_insert(text, numbers.below(len + 1) as u64, piece)
            }
            1 => {
                let at = numbers.below(len - 5) as u64;
                document.text_remove(text, at, 1 + numbers.below(5) as u64)
            }
            _ => {
                let at = numbers.below(len - 5) as u64;
                document.text_update_utf16(text, at, &[u16::from(b'z'); 4])
            }
        }
        .expect("inside");
    }
    document.text_string(text)
}

const ELEMENTS: usize = 50_000;

fn sequences(report: &mut Report) {
    let grow = |place: &mut dyn FnMut(usize) -> usize| {
        let (mut document, list) = document_with(1, HandlerKind::FugueText);
        for nth in 0..ELEMENTS {
            let at = place(nth) as u64;
            document.text_insert(list, at, "x").expect("inside");
        }
        (document, list)
    };
    let (document, text) = timed(report, "FugueTree append 50000 elements", 29_760.0, || {
        grow(&mut |nth| nth)
    });
    timed(
        report,
        "FugueTree values() over 50000 live elements",
        830.7,
        || document.text_string(text),
    );
    timed(report, "FugueTree prepend 50000 elements", 73_760.0, || {
        grow(&mut |_| 0)
    });
    let case = "FugueTree random insert 50000 elements";
    let (mut document, text) = timed(report, case, 75_120.0, || {
        let mut numbers = Numbers::new(8);
        grow(&mut |nth| numbers.below(nth + 1))
    });
    for nth in 0..ELEMENTS / 10 {
        document.text_remove(text, nth as u64, 9).expect("inside");
    }
    let case = "FugueTree values() over 50000, 90% tombstones";
    timed(report, case, 130.9, || document.text_string(text));
}

/// One edit of somebody else arrives; then all is read.
fn remote_edits(report: &mut Report) {
    for (kind, name, published) in [
        (HandlerKind::FugueText, "Fugue text", [62.4, 199.9, 685.5]),
        (HandlerKind::Text, "Text", [8.7, 9.1, 13.2]),
    ] {
        for (len, published) in [2_000, 10_000, 30_000].into_iter().zip(published) {
            let (mut writer, text) = document_with(1, kind);
            writer
                .text_insert(text, 0, &"x".repeat(len))
                .expect("inside");
            let (mut reader, same) = document_with(2, kind);
            import(&mut reader, &writer.export_list());
            black_box(reader.text_string(same));
            let update = newest(&mut writer, |writer| {
                writer.text_insert(text, len as u64, "y").expect("inside");
            });
            let case = format!("{name} remote keystroke + read on {len} chars");
            once(report, &case, published, || {
                import(&mut reader, &update);
                reader.text_string(same)
            });
        }
    }
    for (keys, published) in [(1_000, 11.0), (5_000, 5.4)] {
        let (mut writer, map) = document_with(1, HandlerKind::Map);
        for nth in 0..keys {
            let key = format!("key {nth}");
            writer.map_set(map, &key, &Value::Int(nth)).expect("a map");
        }
        let (mut reader, same) = document_with(2, HandlerKind::Map);
        import(&mut reader, &writer.export_list());
        let update = newest(&mut writer, |writer| {
            writer.map_set(map, "new", &Value::Int(1)).expect("a map");
        });
        let case = format!("Map remote set + read on {keys} keys");
        once(report, &case, published, || {
            import(&mut reader, &update);
            reader.map_get(same, "new")
        });
    }
    from_the_past(report);
}

fn from_the_past(report: &mut Report) {
    for (count, set_published, map_published) in [(1_000, 29.2, 68.5), (5_000, 113.4, 251.5)] {
        for (kind, name, published) in [
            (HandlerKind::OrSet, "OR-set remote add", set_published),
            (HandlerKind::OrMap, "OR-map remote put", map_published),
        ] {
            let add = |document: &mut Document, handler: HandlerIdx, nth: i64| {
                let done = match kind {
                    HandlerKind::OrSet => document.set_add(handler, &Value::Int(nth)),
                    _ => document.map_set(handler, &format!("key {nth}"), &Value::Int(nth)),
                };
                done.expect("of this kind");
            };
            let (mut early, handler) = early_document(kind);
            add(&mut early, handler, -1);
            let late = early.export_list();
            let (mut document, handler) = document_with(1, kind);
            (0..count).for_each(|nth| add(&mut document, handler, nth));
            let case = format!("{name} from the past + read on {count}");
            once(report, &case, published, || {
                import(&mut document, &late);
                match kind {
                    HandlerKind::OrSet => document.set_contains(handler, &Value::Int(-1)),
                    _ => document.map_contains(handler, "key -1"),
                }
            });
        }
    }
}

/// Whose clock stands at the beginning of time.
fn early_document(kind: HandlerKind) -> (Document, HandlerIdx) {
    let mut document = Document::new(DocumentOptions {
        wall_clock: WallClock::Fixed(1),
        ..options(7)
    });
    let handler = document.handler("bench", &HandlerSpec::new(kind));
    (document, handler.expect("a new handler"))
}

/// The bytes of what `edit` did.
fn newest(document: &mut Document, edit: impl FnOnce(&mut Document)) -> Vec<u8> {
    let position = document.log_position();
    edit(document);
    let changes = document.changes_since(position);
    change::encode_list(changes.expect("nothing was rewritten").iter())
}

fn imports(report: &mut Report) {
    let (thousand, many) = (
        list_of(1, 1000).export_list(),
        list_of(1, 10_000).export_list(),
    );
    timed(report, "Import 1000 chained changes", 948.4, || {
        let mut document = Document::new(options(2));
        import(&mut document, &thousand);
        document
    });
    timed(report, "Import 10000 chained changes", 12_350.0, || {
        let mut document = Document::new(options(2));
        import(&mut document, &many);
        document
    });
    let halves = [list_of(1, 500).export_list(), list_of(2, 500).export_list()];
    timed(report, "Import 1000 concurrent changes", 953.7, || {
        let mut document = Document::new(options(3));
        halves.iter().for_each(|half| import(&mut document, half));
        document
    });
    timed(report, "Binary encode/decode 1000 changes", 2451.0, || {
        let mut document = Document::new(options(2));
        import(&mut document, &thousand);
        document
    });
    let mut document = Document::new(options(100));
    for writer in 1..=10 {
        import(&mut document, &list_of(writer, 5_000).export_list());
    }
    let mut seen = document.version_vector();
    // The last 50 changes of each peer are new.
    for peer in seen.clone().iter().map(|(peer, _)| peer) {
        let of_peer = document.changes_newer_than(&VersionVector::new());
        let of_peer: Vec<&Change> = of_peer
            .iter()
            .filter(|change| change.id.peer == peer)
            .collect();
        seen.set(peer, of_peer[of_peer.len() - 51].id.hlc);
    }
    let case = "exportChangesNewerThan, 50000 changes, 99% known";
    let newer = timed(report, case, 1.6, || document.changes_newer_than(&seen));
    assert_eq!(newer.len(), 500);
}

fn snapshots(report: &mut Report) {
    let with_list = |bytes: &[u8]| {
        let (mut document, _) = document_with(200, HandlerKind::List);
        import(&mut document, bytes);
        document
    };
    let many = list_of(1, 10_000).export_list();
    let case = "takeSnapshot(pruneHistory), 10000 changes";
    timed(report, case, 25_710.0, || {
        with_list(&many).take_snapshot(true).is_ok()
    });
    let heads: Vec<Change> = (1..=100)
        .flat_map(|writer| list_of(writer, 10).all_changes())
        .collect();
    let heads = change::encode_list(heads.iter());
    let case = "takeSnapshot(pruneHistory), 100 heads";
    timed(report, case, 3767.0, || {
        with_list(&heads).take_snapshot(true).is_ok()
    });
    let thousand = list_of(1, 1000).export_list();
    let mut document = with_list(&thousand);
    timed(report, "Take snapshot with 1000 changes", 129.1, || {
        document.take_snapshot(true).is_ok()
    });
}

fn nested(report: &mut Report) {
    for (leaves, cold, fresh) in [
        (50, 188.5, 553.7),
        (200, 814.7, 2290.0),
        (800, 3390.0, 11_430.0),
    ] {
        let (mut writer, list) = document_with(1, HandlerKind::ListRef);
        for nth in 0..leaves {
            let spec = HandlerSpec::new(HandlerKind::FugueText);
            let leaf = writer.handler(&format!("leaf {nth}"), &spec).expect("new");
            writer.text_insert(leaf, 0, "some text").expect("inside");
            let reference = Value::Reference(writer.reference_to(leaf));
            writer.list_push(list, &[reference]).expect("a list");
        }
        let case = format!("Resolve nested tree with {leaves} leaves");
        timed(report, &case, cold, || {
            writer.resolved(list).expect("a tree")
        });
        let bytes = writer.export_list();
        let case = format!("Import + resolve nested tree with {leaves} leaves");
        timed(report, &case, fresh, || {
            let mut reader = Document::new(options(2));
            reader.register_default_types();
            let list = reader.handler("bench", &HandlerSpec::new(HandlerKind::ListRef));
            import(&mut reader, &bytes);
            reader
                .resolved(list.expect("a new handler"))
                .expect("a tree")
        });
    }
}
