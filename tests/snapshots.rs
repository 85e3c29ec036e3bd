//! Snapshots between documents: merging, refusing, pruning in part, and what a peer that is too
//! old is told.

mod documents;

use documents::{document, exchange, handler, pull, shown, typed};
use syncline::clock::{OperationId, VersionVector};
use syncline::codec::{Snapshot, Value, manifest};
use syncline::document::{Document, HandlerIdx, HandlerKind, ImportOptions, Origin};
use syncline::replica::{ApplyError, ImportOutcome, Replica};

fn map_of(document: &mut Document) -> HandlerIdx {
    typed(document, HandlerKind::Map, "num", "m")
}

fn set(document: &mut Document, key: &str, value: i64) {
    let map = map_of(document);
    document.map_set(map, key, &value.into()).unwrap();
}

fn taken(document: &mut Document, prune: bool) -> Snapshot {
    document.take_snapshot(prune).unwrap().clone()
}

/// Vectors: 'snapshot/concurrent snapshots merge by whole handler'.
#[test]
fn concurrent_snapshots_merge_by_whole_handler() {
    let (mut a, mut b) = (document(1), document(2));
    set(&mut a, "a", 1);
    set(&mut b, "b", 2);
    let only = handler(&mut b, HandlerKind::FugueText, "only");
    b.text_insert(only, 0, "x").unwrap();
    let (from_a, from_b) = (taken(&mut a, true), taken(&mut b, true));
    let clock = a.clock();
    a.merge_snapshot(&from_b, true).unwrap();
    b.merge_snapshot(&from_a, true).unwrap();
    // The clock has seen what came, not what was there.
    assert!(a.clock() > clock && a.clock() > b.version_vector().latest().unwrap());
    assert_eq!(shown(&a, "m"), r#"{"a":1}"#);
    assert_eq!(shown(&b, "m"), r#"{"b":2}"#);
    assert_eq!(a.version_vector(), b.version_vector());
    let only = handler(&mut a, HandlerKind::FugueText, "only");
    assert_eq!(a.text_string(only), "x");
    // Merged with a newer one, the newer state counts.
    set(&mut b, "c", 3);
    let newer = taken(&mut b, true);
    assert!(a.should_apply_snapshot(&newer));
    a.merge_snapshot(&newer, true).unwrap();
    assert_eq!(shown(&a, "m"), r#"{"b":2,"c":3}"#);
    a.check();
}

/// What was not pruned is not lost to a merge.
#[test]
fn changes_that_are_still_here_survive_a_merge() {
    let (mut a, mut b) = (document(1), document(2));
    set(&mut a, "a", 1);
    set(&mut b, "b", 2);
    let from_b = taken(&mut b, true);
    a.merge_snapshot(&from_b, true).unwrap();
    assert_eq!(shown(&a, "m"), r#"{"b":2,"a":1}"#);
    assert_eq!(a.change_count(), 1);
    a.check();
    // A merge with the same again changes nothing.
    let before = (a.version_vector(), a.change_count());
    a.merge_snapshot(&from_b, true).unwrap();
    assert_eq!((a.version_vector(), a.change_count()), before);
    assert_eq!(shown(&a, "m"), r#"{"b":2,"a":1}"#);
}

#[test]
fn merged_snapshots_name_the_handlers_of_both() {
    let (mut a, mut b) = (document(1), document(2));
    for (document, id) in [(&mut a, "left"), (&mut b, "right")] {
        let root = handler(document, HandlerKind::MapRef, id);
        document.set_ref(root, "self", root).unwrap();
    }
    let (from_a, from_b) = (taken(&mut a, true), taken(&mut b, true));
    for merged in [from_a.merged(&from_b), from_b.merged(&from_a)] {
        let mut reader = document(3);
        reader.register_default_types();
        reader.import_snapshot(&merged, true).unwrap();
        reader.reconstruct();
        let mut ids = documents::ids(&reader);
        ids.sort_unstable();
        assert_eq!(ids, ["left", "right"]);
    }
    // A manifest that is damaged does not hide the other one.
    let damaged = Snapshot::new(
        from_a.vector().clone(),
        vec![(manifest::KEY.into(), vec![9])],
    );
    let merged = from_b.merged(&damaged);
    let listed = manifest::decode(merged.entry(manifest::KEY).unwrap()).unwrap();
    assert_eq!(listed, [("right".into(), "CRDTMapRefHandler".into())]);
}

#[test]
fn an_older_snapshot_is_refused_with_its_changes() {
    let mut a = document(1);
    set(&mut a, "k", 1);
    let old = taken(&mut a, false);
    set(&mut a, "k", 2);
    let new = taken(&mut a, true);
    let mut b = document(2);
    map_of(&mut b);
    assert!(b.import_snapshot(&new, true).unwrap());
    assert!(!b.should_apply_snapshot(&old));
    let mut c = document(3);
    set(&mut c, "c", 3);
    let outcome = b
        .import_with(Some(&old), c.all_changes(), ImportOptions::default())
        .unwrap();
    assert_eq!(outcome, ImportOutcome::default());
    assert_eq!(shown(&b, "m"), r#"{"k":2}"#);
    // Merging takes both; the newer one stays the base.
    let options = ImportOptions {
        merge: true,
        ..Default::default()
    };
    let outcome = b.import_with(Some(&old), c.all_changes(), options).unwrap();
    assert!(outcome.snapshot_applied && outcome.applied == 1);
    assert_eq!(shown(&b, "m"), r#"{"k":2,"c":3}"#);
    // Neither, and changes alone.
    let nothing = b.import_with(None, Vec::new(), options).unwrap();
    assert_eq!(nothing, ImportOutcome::default());
    set(&mut c, "d", 4);
    let outcome = b.import_with(None, c.all_changes(), options).unwrap();
    assert_eq!((outcome.snapshot_applied, outcome.applied), (false, 1));
}

#[test]
fn changes_below_the_snapshot_are_refused() {
    let mut a = document(1);
    set(&mut a, "k", 1);
    set(&mut a, "k", 2);
    let changes = a.all_changes();
    taken(&mut a, true);
    for change in &changes {
        assert_eq!(a.apply_change(change, &[]), Ok(false));
    }
    let outcome = a.import_changes(changes, &[], Origin::Remote).unwrap();
    assert_eq!(outcome, ImportOutcome::default());
    assert_eq!(
        (a.change_count(), shown(&a, "m").as_str()),
        (0, r#"{"k":2}"#)
    );
}

/// Defect 13.5: a peer with pruned and surviving changes keeps its entry.
#[test]
fn vectors_stay_exact_when_history_is_pruned_in_part() {
    let (mut a, mut b) = (document(1), document(2));
    for n in 0..5 {
        set(&mut a, "k", n);
    }
    pull(&mut b, &a);
    let at_five = a.version_vector();
    taken(&mut a, false);
    for n in 5..8 {
        set(&mut a, &format!("k{n}"), n);
    }
    let exact = a.version_vector();
    assert_eq!(a.garbage_collect(&at_five), 5);
    assert_eq!(a.version_vector(), exact);
    assert_eq!(a.change_count(), 3);
    let again = taken(&mut a, false);
    assert_eq!(again.vector(), &exact);
    let mut c = document(3);
    map_of(&mut c);
    c.import_snapshot(&again, true).unwrap();
    c.import_changes(a.all_changes(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(shown(&c, "m"), shown(&a, "m"));
    a.check();
}

/// Specification 8.7: what survives loses its dependencies on what went, and nothing else.
#[test]
fn survivors_forget_the_dependencies_that_went() {
    let (mut a, mut b) = (document(1), document(2));
    set(&mut a, "x", 0);
    pull(&mut b, &a);
    set(&mut a, "a", 1);
    set(&mut b, "b", 2);
    exchange(&mut a, &mut b);
    let base = taken(&mut a, false);
    set(&mut a, "late", 3);
    let survivor = a.all_changes().pop().unwrap();
    assert_eq!(survivor.deps.len(), 2);
    // Only one of both dependencies may go.
    let only_own: VersionVector = base
        .vector()
        .iter()
        .filter(|(peer, _)| *peer == a.peer_id())
        .collect();
    assert_eq!(a.garbage_collect(&only_own), 2);
    let rewritten = a.all_changes();
    assert_eq!(rewritten.len(), 2);
    let kept: Vec<OperationId> = survivor
        .deps
        .iter()
        .copied()
        .filter(|dep| dep.peer == b.peer_id())
        .collect();
    assert_eq!(rewritten[1].deps, kept);
    assert_eq!(
        (rewritten[1].id, &rewritten[1].payload),
        (survivor.id, &survivor.payload)
    );
    // Rewritten changes are taken by those who have the base, in any order.
    let mut c = document(3);
    map_of(&mut c);
    c.import_snapshot(&base, true).unwrap();
    c.import_changes(rewritten, &[], Origin::Remote).unwrap();
    assert_eq!(shown(&c, "m"), shown(&a, "m"));
    // One that came after its dependency was pruned keeps naming it, and survives the next pruning.
    let last = taken(&mut b, false);
    b.garbage_collect(&last.vector().clone());
    assert_eq!(b.change_count(), 0);
    let mut writer = document(4);
    map_of(&mut writer);
    writer.import_snapshot(&last, true).unwrap();
    writer
        .import_changes(vec![survivor.clone()], &[], Origin::Remote)
        .unwrap();
    assert_eq!(writer.all_changes()[0], survivor);
    set(&mut writer, "gone", 1);
    let gone: VersionVector = [(writer.peer_id(), writer.all_changes()[1].id.hlc)]
        .into_iter()
        .chain(last.vector().iter())
        .filter(|(peer, _)| *peer != survivor.id.peer)
        .collect();
    writer.take_snapshot(false).unwrap();
    assert_eq!(writer.garbage_collect(&gone), 1);
    assert_eq!(writer.all_changes(), [survivor]);
}

/// A snapshot of a document that keeps all its changes.
fn with_history(document: &mut Document) -> Snapshot {
    set(document, "k", 1);
    set(document, "k", 2);
    taken(document, false)
}

/// A peer whose version lies before what was pruned cannot be served with changes.
#[test]
fn a_peer_that_is_too_old_is_told_so() {
    let (mut a, mut old) = (document(1), document(2));
    set(&mut a, "k", 1);
    pull(&mut old, &a);
    let (nothing, early) = (VersionVector::new(), old.version_vector());
    for n in 2..5 {
        set(&mut a, "k", n);
    }
    let up_to_date = a.version_vector();
    assert_eq!(a.export_changes_newer_than(&nothing).unwrap().len(), 4);
    taken(&mut a, true);
    set(&mut a, "k", 5);
    for seen in [&nothing, &early] {
        let lost = OperationId::new(a.peer_id(), up_to_date.latest().unwrap());
        let refused = a.export_changes_newer_than(seen).unwrap_err();
        assert_eq!(refused, ApplyError::HistoryPruned { lost });
        assert!(refused.to_string().contains("snapshot"), "{refused}");
    }
    assert_eq!(a.export_changes_newer_than(&up_to_date).unwrap().len(), 1);
    // The change after the pruning names none before it, as in crdt_lf: the old peer would take
    // it and never miss those in between. With the snapshot it misses none.
    assert!(a.all_changes()[0].deps.is_empty());
    let snapshot = a.last_snapshot().unwrap().clone();
    old.import(Some(&snapshot), a.all_changes()).unwrap();
    map_of(&mut old);
    assert_eq!(shown(&old, "m"), r#"{"k":5}"#);
    // Whoever got a snapshot instead of changes cannot serve the old either.
    assert!(old.ensure_history_since(&early).is_err());
    assert!(old.ensure_history_since(&up_to_date).is_ok());
    // One that brings nothing new as a state loses nothing.
    let mut keeper = document(4);
    let full = with_history(&mut keeper);
    assert!(keeper.import_snapshot(&full, false).unwrap());
    assert!(keeper.ensure_history_since(&nothing).is_ok());
    // Pruned in part: those who have seen that part are served.
    let mut c = document(3);
    set(&mut c, "c", 1);
    let part = c.version_vector();
    set(&mut c, "c", 2);
    taken(&mut c, false);
    c.garbage_collect(&part);
    assert!(c.ensure_history_since(&nothing).is_err());
    assert_eq!(c.export_changes_newer_than(&part).unwrap().len(), 1);
}

/// A snapshot within a transaction takes effect at once; its changes are counted once it ends.
#[test]
fn a_snapshot_within_a_transaction_keeps_what_the_transaction_did() {
    let (mut a, mut b) = (document(1), document(2));
    set(&mut b, "b", 1);
    let snapshot = taken(&mut b, true);
    set(&mut a, "before", 0);
    a.set_recording(true);
    a.begin(b"tag").unwrap();
    set(&mut a, "a", 1);
    assert!(a.import_snapshot(&snapshot, true).unwrap());
    assert_eq!(shown(&a, "m"), r#"{"b":1,"before":0,"a":1}"#);
    assert!(matches!(
        a.take_snapshot(true),
        Err(ApplyError::InTransaction)
    ));
    a.commit().unwrap();
    let commits = a.take_commits();
    assert_eq!(commits.len(), 1);
    assert!(commits[0].snapshot_applied);
    assert_eq!(commits[0].change_count, 1);
    assert_eq!(a.all_changes().len(), 2);
    // Pruning within: what stood before the transaction is not counted as its work.
    let own = taken(&mut a, false);
    set(&mut a, "c", 2);
    a.take_commits();
    a.begin(b"").unwrap();
    set(&mut a, "d", 3);
    assert_eq!(a.garbage_collect(&own.vector().clone()), 2);
    a.commit().unwrap();
    let commit = &a.take_commits()[0];
    assert_eq!((commit.change_count, a.change_count()), (1, 2));
    // All that stood before it, to the last one.
    let own = taken(&mut a, false);
    a.begin(b"").unwrap();
    set(&mut b, "e", 4);
    pull(&mut a, &b);
    assert_eq!(a.garbage_collect(&own.vector().clone()), 2);
    a.commit().unwrap();
    let commit = &a.take_commits()[0];
    assert_eq!((commit.change_count, a.change_count()), (1, 1));
    a.check();
}

/// Oracle: a document that never prunes. Everybody merges, imports and prunes at random, but only
/// snapshots of documents that have seen all that they cover are exchanged, so nothing is lost.
#[test]
fn pruned_documents_agree_with_one_that_keeps_everything() {
    for seed in 0..80u64 {
        let mut state = seed;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(seed | 1);
            (state >> 33) as usize % below
        };
        let mut peers: Vec<Document> = (1..=3).map(document).collect();
        peers.iter_mut().for_each(|peer| {
            map_of(peer);
        });
        for step in 0..30 {
            let (at, other) = (random(3), random(3));
            match random(6) {
                0 | 1 => {
                    let key = ["a", "b", "c"][random(3)];
                    set(&mut peers[at], key, step);
                }
                2 if at != other => {
                    let (seen, from) = (peers[at].version_vector(), &peers[other]);
                    // As a server does: changes if they suffice, else the snapshot with them.
                    match from.export_changes_newer_than(&seen) {
                        Ok(changes) => {
                            let outcome = peers[at]
                                .import_changes(changes, &[], Origin::Remote)
                                .unwrap();
                            assert_eq!(outcome.not_ready, 0, "seed {seed}, step {step}");
                        }
                        Err(ApplyError::HistoryPruned { .. }) => {
                            let snapshot = from.last_snapshot().unwrap().clone();
                            let changes = from.all_changes();
                            peers[at].import(Some(&snapshot), changes).unwrap();
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
                3 => {
                    // Only what all have seen is pruned: that is stable.
                    let vectors: Vec<VersionVector> =
                        peers.iter().map(Document::version_vector).collect();
                    let stable = VersionVector::intersection(&vectors);
                    peers[at].take_snapshot(false).unwrap();
                    peers[at].garbage_collect(&stable);
                }
                _ => {
                    let vector = peers[at].version_vector();
                    assert!(
                        vector.is_strictly_newer_or_equal_than(
                            peers[at]
                                .last_snapshot()
                                .map_or(&VersionVector::new(), Snapshot::vector)
                        )
                    );
                }
            }
            peers[at].check();
        }
        for _ in 0..2 {
            for (to, from) in [(0, 1), (1, 2), (2, 0), (0, 2), (1, 0), (2, 1)] {
                let seen = peers[to].version_vector();
                let changes = peers[from].export_changes_newer_than(&seen).unwrap();
                peers[to]
                    .import_changes(changes, &[], Origin::Remote)
                    .unwrap();
            }
        }
        let sorted = |document: &Document| -> Vec<(String, Value)> {
            let mut entries = document.map_entries(document.find_handler("m").unwrap());
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries
        };
        for peer in &peers {
            assert_eq!(
                peer.version_vector(),
                peers[0].version_vector(),
                "seed {seed}"
            );
            assert_eq!(sorted(peer), sorted(&peers[0]), "seed {seed}");
        }
    }
}
