//! Time travel and differences against documents that were given the same changes anew.

use super::delta::apply;
use super::list_delta;
use super::scripts::{concurrent, document, edit, shown};
use super::*;
use crate::codec::Value;
use crate::replica::Replica;
use crate::testing::Rng;

/// What a new peer shows that gets some changes of a document, in replay order.
fn replayed(source: &Document, keep: impl Fn(&OperationId) -> bool) -> Document {
    let mut other = document(99);
    let mut changes = source.all_changes();
    changes.retain(|change| keep(&change.id));
    changes.sort_by_key(|change| change.id);
    if let Some(snapshot) = source.last_snapshot() {
        other.import_snapshot(snapshot, true).unwrap();
    }
    for change in changes {
        other.apply(change).unwrap();
    }
    other.replay_all();
    other
}

fn ordered(source: &Document) -> Vec<OperationId> {
    let mut ids: Vec<OperationId> = source
        .all_changes()
        .iter()
        .map(|change| change.id)
        .collect();
    ids.sort();
    ids
}

fn vector_of<'a>(ids: impl IntoIterator<Item = &'a OperationId>) -> VersionVector {
    let mut vector = VersionVector::new();
    for id in ids {
        vector.update(id.peer, id.hlc);
    }
    vector
}

fn compare(view: &Document, expected: &Document, context: &str) {
    view.check();
    assert_eq!(shown(view), shown(expected), "{context}");
    assert_eq!(view.export_list(), expected.export_list(), "{context}");
    assert_eq!(view.frontiers(), expected.frontiers(), "{context}");
    assert_eq!(
        view.version_vector(),
        expected.version_vector(),
        "{context}"
    );
    for number in view.handlers() {
        let count = view.handler_change_count(view.handler_id(number));
        assert_eq!(view.handler_revision(number), count, "{context}");
    }
}

#[test]
fn every_cursor_shows_what_a_peer_with_those_changes_shows() {
    for seed in 0..25 {
        let rng = &mut Rng::new(seed);
        let source = concurrent(rng, 3, 40);
        let ids = ordered(&source);
        let expected: Vec<Document> = (0..=ids.len())
            .map(|cursor| replayed(&source, |id| ids[..cursor].contains(id)))
            .collect();
        let mut view = source.to_history();
        assert_eq!(view.history().unwrap().length(), ids.len() as u64);
        compare(&view, &expected[ids.len()], &format!("seed {seed}"));
        while view.history_previous().unwrap() {
            let cursor = view.history().unwrap().cursor() as usize;
            compare(
                &view,
                &expected[cursor],
                &format!("seed {seed} down {cursor}"),
            );
        }
        while view.history_next().unwrap() {
            let cursor = view.history().unwrap().cursor() as usize;
            compare(
                &view,
                &expected[cursor],
                &format!("seed {seed} up {cursor}"),
            );
        }
        for _ in 0..60 {
            let cursor = rng.below(ids.len() + 1);
            view.history_jump(cursor as u64).unwrap();
            compare(
                &view,
                &expected[cursor],
                &format!("seed {seed} at {cursor}"),
            );
        }
        assert!(!view.history_jump(ids.len() as u64 + 1).unwrap());
        let line = view.history().unwrap();
        for (nth, id) in ids.iter().enumerate() {
            assert_eq!(line.change(nth as u64).unwrap().id, *id);
        }
        assert_eq!(line.change(ids.len() as u64), None);
    }
}

#[test]
fn a_version_shows_what_it_covers() {
    for seed in 0..40 {
        let rng = &mut Rng::new(seed);
        let source = concurrent(rng, 3, 30);
        let ids = ordered(&source);
        let mut view = source.to_history();
        for _ in 0..8 {
            // Some past of each writer.
            let some: Vec<OperationId> =
                ids.iter().filter(|_| rng.below(4) == 0).copied().collect();
            let version = vector_of(&some);
            let covered = |id: &OperationId| version.covers(&id.peer, id.hlc);
            view.history_jump_to_version(&version).unwrap();
            // A peer never has such a version if it is not closed: fold it all the same.
            let mut expected = source.view_of(source.log.without_changes(), None);
            for id in ids.iter().filter(|id| covered(id)) {
                let key = source.key_of(id).unwrap();
                let place = source.log.find(key).unwrap();
                expected.store_copy(&source.log, place, key, &source.log.deps_of(place));
            }
            expected.settle_replays();
            compare(&view, &expected, &format!("seed {seed}"));
            let line = view.history().unwrap();
            let count = ids.iter().filter(|id| covered(id)).count();
            assert_eq!(line.cursor(), count as u64);
            assert_eq!(
                line.is_on_line(),
                ids[..count].iter().all(covered),
                "seed {seed}"
            );
            let cursor = rng.below(ids.len() + 1);
            if rng.below(2) == 0 {
                view.history_jump(cursor as u64).unwrap();
                let expected = replayed(&source, |id| ids[..cursor].contains(id));
                compare(&view, &expected, &format!("seed {seed} back at {cursor}"));
            }
        }
    }
}

#[test]
fn time_is_that_of_the_writers_clocks() {
    let mut source = document(1);
    let text = HandlerIdx(0);
    for ms in [10, 10, 20, 35, 35, 35, 90] {
        source.wall_clock = WallClock::Fixed(ms);
        source.text_insert(text, 0, "x").unwrap();
    }
    let mut view = source.to_history();
    for (ms, cursor) in [
        (9, 0),
        (10, 2),
        (19, 2),
        (20, 3),
        (35, 6),
        (89, 6),
        (90, 7),
        (1000, 7),
    ] {
        view.history_jump_to_time(ms).unwrap();
        assert_eq!(view.history().unwrap().cursor(), cursor, "{ms} ms");
        assert_eq!(view.text_len_utf16(text), cursor);
    }
}

#[test]
fn a_history_is_frozen_and_read_only() {
    let rng = &mut Rng::new(1);
    let mut source = concurrent(rng, 2, 20);
    let before = shown(&source);
    let mut view = source.to_history();
    edit(&mut source, rng);
    assert_eq!(shown(&view), before);
    let refused = Err(DocumentError::ReadOnly);
    let (text, map, register, set) = (HandlerIdx(0), HandlerIdx(1), HandlerIdx(2), HandlerIdx(3));
    assert_eq!(view.text_insert(text, 0, "x"), refused);
    assert_eq!(view.text_remove(text, 0, 0), refused);
    assert_eq!(view.text_set(text, &[]), refused);
    assert_eq!(view.map_set(map, "a", &Value::Null), refused);
    assert_eq!(view.map_remove(map, "nothing"), refused);
    assert_eq!(view.register_set(register, &Value::Null), refused);
    assert_eq!(view.set_add(set, &Value::Null), refused);
    assert_eq!(view.set_remove(set, &Value::Null), refused);
    assert_eq!(view.begin(b""), refused);
    assert_eq!(view.tick(), Err(DocumentError::ReadOnly));
    assert_eq!(view.garbage_collect(&source.version_vector()), 0);
    let change = source.all_changes().pop().unwrap();
    assert_eq!(view.apply_change(&change, b""), Err(ApplyError::ReadOnly));
    assert_eq!(view.import(None, vec![change]), Err(ApplyError::ReadOnly));
    assert_eq!(view.take_snapshot(true), Err(ApplyError::ReadOnly));
    assert_eq!(source.history_jump(0), Err(DocumentError::NoHistory));
    assert_eq!(shown(&view), before);
    view.close();
    assert_eq!(view.history_jump(0), Err(DocumentError::Closed));
}

#[test]
fn handlers_registered_later_follow_the_cursor() {
    let rng = &mut Rng::new(3);
    let source = concurrent(rng, 2, 40);
    let length = source.change_count();
    let mut plain = Document::new(DocumentOptions::default());
    plain
        .import_changes(source.all_changes(), &[], Origin::Remote)
        .unwrap();
    let mut view = plain.to_history();
    let ids = ordered(&source);
    for cursor in [length, 7, 20, 3, length, 11] {
        view.history_jump(cursor).unwrap();
        if cursor == 7 {
            view.handler("map", &HandlerSpec::new(HandlerKind::Map))
                .unwrap();
        }
        if cursor == 3 {
            view.handler("text", &HandlerSpec::new(HandlerKind::FugueText))
                .unwrap();
        }
        let expected = replayed(&source, |id| ids[..cursor as usize].contains(id));
        for number in view.handlers() {
            let same = expected.find_handler(view.handler_id(number)).unwrap();
            assert_eq!(
                view.handler_value(number),
                expected.handler_value(same),
                "at {cursor}"
            );
            let count = view.handler_change_count(view.handler_id(number));
            assert_eq!(view.handler_revision(number), count);
        }
        view.check();
    }
    assert_eq!(view.handlers().count(), 2);
}

#[test]
fn changes_below_a_snapshot_have_no_effect() {
    for prune in [true, false] {
        let rng = &mut Rng::new(4);
        let mut source = concurrent(rng, 2, 20);
        let old = source.version_vector();
        let at_snapshot = shown(&source);
        source.take_snapshot(prune).unwrap();
        (0..10).for_each(|_| edit(&mut source, rng));
        let mut view = source.to_history();
        let kept = if prune { 0 } else { source.change_count() - 10 };
        let kept = kept.min(view.history().unwrap().length());
        for cursor in [kept, 0, kept / 2] {
            view.history_jump(cursor).unwrap();
            assert_eq!(shown(&view), at_snapshot);
        }
        view.history_jump(source.change_count()).unwrap();
        // A snapshot forgets tags: what is shown without them is the canonical value.
        source.replay_all();
        assert_eq!(shown(&view), shown(&source));
        view.history_jump_to_version(&old).unwrap();
        assert_eq!(shown(&view), at_snapshot);
        assert_eq!(
            view.history_jump_to_version(&VersionVector::new()),
            Err(DocumentError::Forgotten)
        );
    }
}

#[test]
fn a_fork_goes_on_from_the_cursor() {
    for seed in 0..10 {
        let rng = &mut Rng::new(seed);
        let source = concurrent(rng, 2, 30);
        let mut view = source.to_history();
        view.history_jump(rng.below(30) as u64).unwrap();
        let mut fork = view.fork(DocumentOptions::default());
        fork.check();
        assert_eq!(shown(&fork), shown(&view));
        let mut again = source.fork(DocumentOptions::default());
        for _ in 0..20 {
            edit(&mut fork, rng);
            edit(&mut again, rng);
        }
        // What both wrote fits together, and with the source.
        super::scripts::pull(&mut fork, &again);
        super::scripts::pull(&mut again, &fork);
        assert_eq!(shown(&fork), shown(&again), "seed {seed}");
        let mut source = source;
        super::scripts::pull(&mut source, &fork);
        assert_eq!(shown(&source), shown(&fork), "seed {seed}");
        fork.replay_all();
        assert_eq!(shown(&source), shown(&fork), "seed {seed}");
    }
}

#[test]
fn observers_of_a_view_hear_what_the_cursor_changed() {
    for seed in 0..20 {
        let rng = &mut Rng::new(seed);
        let source = concurrent(rng, 2, 30);
        let mut view = source.to_history();
        view.observe_all(true);
        view.set_recording(true);
        let mut before = shown(&view);
        for _ in 0..20 {
            view.history_jump(rng.below(view.history().unwrap().length() as usize + 1) as u64)
                .unwrap();
            let after = shown(&view);
            for commit in view.take_commits() {
                assert_eq!((commit.origin, commit.change_count), (Origin::History, 0));
                before = applied(&source, before, &commit.deltas);
            }
            assert_eq!(before, after, "seed {seed}");
        }
    }
}

/// What deltas make of what was shown.
fn applied(
    document: &Document,
    mut values: Vec<Value>,
    deltas: &[(HandlerIdx, HandlerDelta)],
) -> Vec<Value> {
    for (number, delta) in deltas {
        let value = &mut values[number.0 as usize];
        match (delta, &mut *value) {
            (HandlerDelta::Text(steps), Value::String(text)) => {
                let after = apply(&text.to_utf16(), steps);
                *text = crate::codec::Wtf8String::from_utf16(&after);
            }
            (HandlerDelta::List(steps), Value::Array(elements)) => {
                *elements = list_delta::apply(elements, steps);
            }
            (HandlerDelta::Map(events), Value::Object(entries)) => {
                for event in events {
                    let at = entries
                        .iter()
                        .position(|(key, _)| *key == event.key.as_str().into());
                    assert_eq!(at.map(|at| entries[at].1.clone()), event.old);
                    at.map(|at| entries.remove(at));
                    let new = event.new.clone();
                    entries.extend(new.map(|new| (event.key.as_str().into(), new)));
                }
                entries.sort_by_key(|entry| format!("{entry:?}"));
            }
            (HandlerDelta::Set(events), Value::Array(elements)) => {
                for event in events {
                    if let Some(old) = &event.old {
                        let at = elements.iter().position(|element| element == old).unwrap();
                        elements.remove(at);
                    }
                    elements.extend(event.new.clone());
                }
                elements.sort_by_key(|element| format!("{element:?}"));
            }
            (HandlerDelta::Register(events), value) => {
                assert_eq!(events.len(), 1);
                assert_eq!(events[0].old.clone().unwrap_or(Value::Null), *value);
                *value = events[0].new.clone().unwrap_or(Value::Null);
            }
            (delta, value) => panic!("{delta:?} of {value:?} in {}", document.id()),
        }
    }
    values
}

/// A delta leads from one version to the other, and touches no element that both have.
#[test]
fn a_difference_leads_from_one_version_to_the_other() {
    for seed in 0..60 {
        let rng = &mut Rng::new(seed);
        let source = concurrent(rng, 3, 30);
        // Versions that somebody could have had: what each of some changes depends on.
        let changes = source.all_changes();
        let mut versions = vec![VersionVector::new(), source.version_vector()];
        for _ in 0..4 {
            let heads: Vec<OperationId> = (0..1 + rng.below(2))
                .map(|_| changes[rng.below(changes.len())].id)
                .collect();
            let above = source.export_changes_from(&heads).unwrap();
            let below = changes
                .iter()
                .filter(|change| above.iter().all(|other| other.id != change.id));
            versions.push(vector_of(below.map(|change| &change.id)));
        }
        for from in &versions {
            for to in &versions {
                let at = |version: &VersionVector| {
                    replayed(&source, |id| version.covers(&id.peer, id.hlc))
                };
                let (before, after) = (at(from), at(to));
                let deltas = source.diff(from, to).unwrap();
                let reached = applied(&source, shown(&before), &deltas);
                assert_eq!(reached, shown(&after), "seed {seed}: {deltas:?}");
                for (number, delta) in &deltas {
                    let is_fugue = source.handler_kind(*number) == HandlerKind::FugueText;
                    if let (HandlerDelta::Text(steps), true) = (delta, is_fugue) {
                        exact(steps, &before, &after, *number, seed);
                    }
                }
            }
        }
    }
}

/// The units that a delta inserts and removes are those of the elements that only one side shows.
fn exact(steps: &[TextOp], before: &Document, after: &Document, text: HandlerIdx, seed: u64) {
    let elements = |document: &Document| -> Vec<Vec<u8>> {
        let len = document.text_len_utf16(text);
        (1..=len)
            .map(|index| document.text_position_at(text, index).unwrap())
            .collect()
    };
    let (before, after) = (elements(before), elements(after));
    let only = |some: &[Vec<u8>], other: &[Vec<u8>]| -> u64 {
        some.iter().filter(|one| !other.contains(one)).count() as u64
    };
    let (mut inserted, mut removed) = (0, 0);
    for step in steps {
        match step {
            TextOp::Retain(_) => (),
            TextOp::Insert(units) => inserted += units.len() as u64,
            TextOp::Remove(count) => removed += count,
        }
    }
    assert_eq!(inserted, only(&after, &before), "seed {seed}: {steps:?}");
    assert_eq!(removed, only(&before, &after), "seed {seed}: {steps:?}");
}

#[test]
fn no_difference_from_what_was_forgotten() {
    let rng = &mut Rng::new(8);
    let mut source = concurrent(rng, 2, 20);
    let old = source.version_vector();
    source.take_snapshot(false).unwrap();
    (0..10).for_each(|_| edit(&mut source, rng));
    let new = source.version_vector();
    assert!(source.diff(&VersionVector::new(), &old).is_ok());
    source.take_snapshot(true).unwrap();
    assert_eq!(source.diff(&old, &new), Err(DocumentError::Forgotten));
    assert_eq!(source.diff(&new, &new), Ok(Vec::new()));
}
