//! Undo and redo in random scripts: against the values that were there, and among peers who edit
//! meanwhile.

use super::super::scripts::{KINDS, document, edit, exchange, pull, shown};
use super::super::*;
use super::{Direction, UndoManager};
use crate::codec::Value;
use crate::replica::Replica;
use crate::testing::Rng;
use std::collections::HashMap;

const EACH: UndoOptions = UndoOptions {
    capture_timeout_ms: 0,
    steps_max: 1000,
};

fn manager(document: &Document, index: UndoIdx) -> &UndoManager {
    document.undo_manager(index).unwrap()
}

/// What a new peer shows that gets everything, in an order of its own, and replays it.
fn seen_elsewhere(source: &Document, rng: &mut Rng) -> Vec<Value> {
    let mut other = document(77);
    let mut changes = source.all_changes();
    if rng.below(2) == 0 {
        changes.reverse();
    }
    other.import_changes(changes, &[], Origin::Remote).unwrap();
    let seen = shown(&other);
    other.check();
    other.replay_all();
    assert_eq!(shown(&other), seen);
    seen
}

/// What taking back each step has to lead to.
#[derive(Default)]
struct Model {
    before: HashMap<u64, Vec<Value>>,
}

impl Model {
    fn edit(&mut self, document: &mut Document, undo: UndoIdx, rng: &mut Rng) {
        let before = shown(document);
        let known = manager(document, undo).next_undo();
        let count = 1 + rng.below(2);
        document.begin(b"").unwrap();
        (0..count).for_each(|_| edit(document, rng));
        document.commit().unwrap();
        if let Some(step) = manager(document, undo)
            .next_undo()
            .filter(|step| Some(*step) != known)
        {
            self.before.insert(step, before);
        }
    }

    fn take_back(
        &mut self,
        document: &mut Document,
        undo: UndoIdx,
        direction: Direction,
        context: &str,
    ) -> bool {
        let before = shown(document);
        let done = match direction {
            Direction::Undo => document.undo(undo).unwrap(),
            Direction::Redo => document.redo(undo).unwrap(),
        };
        let Some(done) = done else {
            assert_eq!(shown(document), before, "{context}");
            return false;
        };
        assert_eq!(
            shown(document),
            self.before[&done.step],
            "{context} {direction:?}"
        );
        let inverse = match direction {
            Direction::Undo => manager(document, undo).next_redo(),
            Direction::Redo => manager(document, undo).next_undo(),
        };
        self.before.insert(inverse.unwrap(), before);
        true
    }
}

#[test]
fn alone_every_step_leads_back_to_what_was_there() {
    for seed in 0..120 {
        let rng = &mut Rng::new(seed);
        let mut document = document(1);
        (0..rng.below(6)).for_each(|_| edit(&mut document, rng));
        let first = shown(&document);
        let undo = document.add_undo_manager(EACH);
        let mut model = Model::default();
        for nth in 0..40 {
            let context = format!("seed {seed} step {nth}");
            match rng.below(7) {
                0..=2 => model.edit(&mut document, undo, rng),
                3..=4 => drop(model.take_back(&mut document, undo, Direction::Undo, &context)),
                _ => drop(model.take_back(&mut document, undo, Direction::Redo, &context)),
            }
            document.check();
        }
        let context = format!("seed {seed} at the end");
        while model.take_back(&mut document, undo, Direction::Redo, &context) {}
        let last = shown(&document);
        for _ in 0..3 {
            while model.take_back(&mut document, undo, Direction::Undo, &context) {}
            assert_eq!(shown(&document), first, "{context}");
            while model.take_back(&mut document, undo, Direction::Redo, &context) {}
            assert_eq!(shown(&document), last, "{context}");
        }
        assert_eq!(seen_elsewhere(&document, rng), last, "{context}");
    }
}

/// What others made and nobody took away: elements of sequences, writes of keys, adds.
fn of_others(document: &Document) -> Vec<(HandlerIdx, Vec<u8>)> {
    let own = document.peer_id();
    let mut found = Vec::new();
    for number in document.handlers() {
        let mut note = |peer: &[u8], what: Vec<u8>| {
            if peer != own.bytes() {
                found.push((number, what));
            }
        };
        match document.handler_kind(number) {
            HandlerKind::FugueText => {
                for index in 1..=document.text_len_utf16(number) {
                    let id = document.text_position_at(number, index).unwrap();
                    note(&id[1..17], id.clone());
                }
            }
            HandlerKind::FugueList | HandlerKind::MovableList => {
                for index in 1..=document.list_len(number) {
                    let id = document.list_position_at(number, index).unwrap();
                    note(&id[1..17], id.clone());
                }
            }
            HandlerKind::Map => {
                for key in ["a", "b", "c"] {
                    if let Some(stamp) = document.written(number, key).stamp {
                        note(stamp.peer.bytes(), stamp.to_bytes().to_vec());
                    }
                }
            }
            HandlerKind::Register => {
                if let Some(stamp) = document.written(number, "").stamp {
                    note(stamp.peer.bytes(), stamp.to_bytes().to_vec());
                }
            }
            HandlerKind::OrSet | HandlerKind::OrMap => {
                for element in ["0", "1", "2", "3", "4", "\"a\"", "\"b\"", "\"c\""] {
                    let mut body = vec![element.len() as u8];
                    body.extend_from_slice(element.as_bytes());
                    let entries = document.entries_of(number, &body).unwrap().entries;
                    for tag in entries.into_iter().filter_map(|(tag, _)| tag) {
                        note(tag.peer.bytes(), tag.to_bytes().to_vec());
                    }
                }
            }
            // Nothing there says who made it.
            HandlerKind::Text | HandlerKind::List => (),
            kind => panic!("{kind:?}"),
        }
    }
    // Whoever takes a move back changes the order.
    found.sort_unstable();
    found
}

#[test]
fn among_others_undo_touches_nothing_of_theirs_and_all_agree() {
    for seed in 0..120 {
        let rng = &mut Rng::new(seed);
        let mut documents: Vec<Document> = (0..3).map(|peer| document(peer + 1)).collect();
        let undos: Vec<UndoIdx> = documents
            .iter_mut()
            .map(|document| document.add_undo_manager(EACH))
            .collect();
        for _ in 0..60 {
            let at = rng.below(3);
            match rng.below(8) {
                0..=3 => edit(&mut documents[at], rng),
                4 => {
                    let before = of_others(&documents[at]);
                    documents[at].undo(undos[at]).unwrap();
                    let after = of_others(&documents[at]);
                    assert_eq!(after, before, "seed {seed}");
                }
                5 => {
                    documents[at].undo(undos[at]).unwrap();
                    documents[at].redo(undos[at]).unwrap();
                }
                _ => {
                    let from = (at + 1 + rng.below(2)) % 3;
                    let known = documents[at].version_vector();
                    let changes = documents[from].changes_newer_than(&known);
                    documents[at]
                        .import_changes(changes, b"peer", Origin::Remote)
                        .unwrap();
                }
            }
            documents[at].check();
        }
        exchange(&mut documents);
        let seen = shown(&documents[0]);
        for document in &documents {
            assert_eq!(shown(document), seen, "seed {seed}");
        }
        assert_eq!(seen_elsewhere(&documents[0], rng), seen, "seed {seed}");
        // Whoever takes all of it back leaves what the others made.
        let before = of_others(&documents[0]);
        while documents[0].undo(undos[0]).unwrap().is_some() {}
        assert_eq!(of_others(&documents[0]), before, "seed {seed}");
        exchange(&mut documents);
        assert_eq!(shown(&documents[1]), shown(&documents[0]), "seed {seed}");
    }
}

fn handler(id: &str) -> HandlerIdx {
    let at = KINDS.iter().position(|(known, _)| *known == id).unwrap();
    HandlerIdx(at as u32)
}

#[test]
fn edits_close_together_are_one_step() {
    let mut document = document(1);
    let text = handler("text");
    let undo = document.add_undo_manager(UndoOptions::default());
    let type_at = |document: &mut Document, ms: i64, letter: &str| {
        document.wall_clock = WallClock::Fixed(ms);
        let end = document.text_len_utf16(text);
        document.text_insert(text, end, letter).unwrap();
        document.undo_manager(undo).unwrap().undo_count()
    };
    assert_eq!(type_at(&mut document, 1000, "a"), 1);
    assert_eq!(type_at(&mut document, 1499, "b"), 1);
    assert_eq!(type_at(&mut document, 1998, "c"), 1);
    assert_eq!(type_at(&mut document, 2498, "d"), 2);
    document.undo_manager_mut(undo).unwrap().stop_capturing();
    assert_eq!(type_at(&mut document, 2499, "e"), 3);
    document.undo(undo).unwrap().unwrap();
    assert_eq!(document.text_string(text), "abcd");
    // What follows undo is never part of an older step.
    assert_eq!(type_at(&mut document, 2500, "f"), 3);
    assert!(!manager(&document, undo).can_redo());
    for expected in ["abcd", "abc", ""] {
        document.undo(undo).unwrap().unwrap();
        assert_eq!(document.text_string(text), expected);
    }
    assert_eq!(document.undo(undo), Ok(None));
}

#[test]
fn only_what_is_in_scope_is_noted() {
    let mut document = document(1);
    let (text, map) = (handler("text"), handler("map"));
    let all = document.add_undo_manager(EACH);
    let texts = document.add_undo_manager(EACH);
    document.undo_manager_mut(texts).unwrap().add_scope("text");
    let tagged = document.add_undo_manager(EACH);
    document.undo_manager_mut(tagged).unwrap().add_tag(b"user");
    document.map_set(map, "a", &Value::Int(1)).unwrap();
    document.begin(b"user").unwrap();
    document.map_set(map, "a", &Value::Int(2)).unwrap();
    document.text_insert(text, 0, "two").unwrap();
    document.commit().unwrap();
    let counts = [all, texts, tagged].map(|undo| manager(&document, undo).undo_count());
    assert_eq!(counts, [2, 1, 1]);
    document.undo(texts).unwrap().unwrap();
    assert_eq!(document.map_get(map, "a"), Some(Value::Int(2)));
    assert_eq!(document.text_string(text), "");
    document.redo(texts).unwrap().unwrap();
    // The text is another manager's now, yet this one knows what stands in its place.
    document.undo(tagged).unwrap().unwrap();
    assert_eq!(document.map_get(map, "a"), Some(Value::Int(1)));
    assert_eq!(document.text_string(text), "");
    document
        .undo_manager_mut(tagged)
        .unwrap()
        .remove_tag(b"user");
    document.text_insert(text, 0, "x").unwrap();
    assert_eq!(manager(&document, tagged).undo_count(), 1);
    document.remove_undo_manager(all);
    document.remove_undo_manager(texts);
    document.remove_undo_manager(tagged);
    assert!(!document.is_tracking());
    assert_eq!(document.undo(all), Err(DocumentError::UnknownManager));
    document.text_insert(text, 0, "x").unwrap();
    let again = document.add_undo_manager(EACH);
    assert!(![all, texts, tagged].contains(&again));
    assert_eq!(document.undo(again), Ok(None));
}

#[test]
fn what_was_attached_comes_back_and_listeners_are_told() {
    let mut document = document(1);
    let text = handler("text");
    document.set_recording(true);
    let undo = document.add_undo_manager(UndoOptions {
        steps_max: 2,
        ..EACH
    });
    document.text_insert(text, 0, "ab").unwrap();
    let selection = document.text_position_at(text, 1).unwrap();
    type Told = (u64, bool, u64, u64);
    let told = |document: &mut Document| -> Vec<(Origin, Vec<Told>)> {
        let commits = document.take_commits().into_iter();
        commits
            .map(|commit| {
                let events = commit.undo.iter();
                let event = |event: &UndoEvent| {
                    assert_eq!(event.manager, undo);
                    (event.step, event.pushed, event.undo_count, event.redo_count)
                };
                (commit.origin, events.map(event).collect())
            })
            .collect()
    };
    assert_eq!(
        told(&mut document),
        [(Origin::Local, vec![(0, true, 1, 0)])]
    );
    let meta = Value::Bytes(selection);
    let manager = document.undo_manager_mut(undo).unwrap();
    assert_eq!(manager.set_meta(0, Some(meta.clone())), Ok(true));
    assert_eq!(manager.set_meta(1, None), Ok(false));
    let unstorable = Value::Array(vec![Value::Bytes(vec![1])]);
    assert_eq!(
        manager.set_meta(0, Some(unstorable)),
        Err(DocumentError::UnsupportedValue)
    );
    assert_eq!(manager.meta(0), Some(&meta));
    let undone = document.undo(undo).unwrap().unwrap();
    assert_eq!((undone.step, undone.meta.as_ref()), (0, Some(&meta)));
    assert_eq!(
        told(&mut document),
        [(Origin::Undo, vec![(0, false, 0, 0), (1, true, 0, 1)])]
    );
    let redone = document.redo(undo).unwrap().unwrap();
    assert_eq!((redone.step, redone.meta.as_ref()), (1, Some(&meta)));
    assert_eq!(told(&mut document).len(), 1);
    // The element is gone, but the position still leads behind its successor.
    let Value::Bytes(position) = &meta else {
        unreachable!()
    };
    assert_eq!(document.text_position_index(text, position), Ok(Some(1)));
    for _ in 0..4 {
        document.text_insert(text, 0, "x").unwrap();
    }
    assert_eq!(super::tests::manager(&document, undo).undo_count(), 2);
    document.undo_manager_mut(undo).unwrap().clear();
    assert_eq!(document.undo(undo), Ok(None));
    document.begin(b"").unwrap();
    assert_eq!(
        document.undo(undo),
        Err(DocumentError::Apply(ApplyError::InTransaction))
    );
    document.text_insert(text, 0, "y").unwrap();
    document.rollback().unwrap();
    assert_eq!(document.undo(undo), Ok(None));
}

/// A concurrent write stays, whether it came before or after in replay order.
#[test]
fn the_writes_of_others_stay() {
    let (map, set, text) = (handler("map"), handler("set"), handler("text"));
    for later in [false, true] {
        let mut own = document(if later { 1 } else { 3 });
        let mut other = document(2);
        let undo = own.add_undo_manager(EACH);
        own.begin(b"").unwrap();
        own.map_set(map, "a", &Value::Int(1)).unwrap();
        own.set_add(set, &Value::Int(7)).unwrap();
        own.text_insert(text, 0, "own").unwrap();
        own.commit().unwrap();
        for _ in 0..3 {
            if later {
                other.tick().unwrap();
            }
        }
        other.map_set(map, "a", &Value::Int(2)).unwrap();
        other.set_add(set, &Value::Int(7)).unwrap();
        exchange(std::slice::from_mut(&mut other));
        let mut both = [own, other];
        exchange(&mut both);
        both[1].text_insert(text, 1, "-").unwrap();
        both[1].text_remove(text, 3, 1).unwrap();
        exchange(&mut both);
        let [mut own, other] = both;
        assert_eq!(own.text_string(text), "o-w");
        own.undo(undo).unwrap().unwrap();
        assert_eq!(own.text_string(text), "-");
        let kept = (own.map_get(map, "a"), own.set_contains(set, &Value::Int(7)));
        let written = own.written(map, "a").stamp.unwrap().peer;
        match later {
            true => assert_eq!(kept, (Some(Value::Int(2)), true)),
            false => assert!(kept.1 && (kept.0.is_none() || written == other.peer_id())),
        }
        own.redo(undo).unwrap().unwrap();
        assert_eq!(own.text_string(text), "o-w");
        assert!(own.set_contains(set, &Value::Int(7)));
    }
}

/// A text by positions has no ids to go by. While all see each edit before the next, undo leaves
/// the same letters there as in a text that has them.
#[test]
fn positions_move_with_what_others_do() {
    let (fugue, plain) = (handler("text"), handler("plain text"));
    let (mut undone, mut parted) = (0, 0);
    for seed in 0..120 {
        let rng = &mut Rng::new(seed);
        let mut documents: Vec<Document> = (0..2).map(|peer| document(peer + 1)).collect();
        let undos: Vec<UndoIdx> = documents
            .iter_mut()
            .map(|document| document.add_undo_manager(EACH))
            .collect();
        let mut next = 0x4e00u16;
        for nth in 0..30 {
            let at = rng.below(2);
            let document = &mut documents[at];
            let len = document.text_len_utf16(fugue);
            let place = rng.below(len as usize + 1) as u64;
            match rng.below(6) {
                0 => drop(document.undo(undos[at]).unwrap()),
                1 => drop(document.redo(undos[at]).unwrap()),
                kind => {
                    document.begin(b"").unwrap();
                    let count = (rng.below(3) as u64).min(len - place);
                    let units: Vec<u16> = (0..1 + rng.below(2) as u16).map(|n| next + n).collect();
                    next += 2;
                    for text in [fugue, plain] {
                        if kind == 2 {
                            document.text_remove(text, place, count).unwrap();
                        } else {
                            document.text_insert_utf16(text, place, &units).unwrap();
                        }
                    }
                    document.commit().unwrap();
                }
            }
            undone += 1;
            exchange(&mut documents);
            let read = |text: HandlerIdx| {
                let mut units = Vec::new();
                documents[at].text_slice_utf16(text, 0..u64::MAX, &mut units);
                units
            };
            let (mut with_ids, mut without) = (read(fugue), read(plain));
            let in_order = with_ids == without;
            with_ids.sort_unstable();
            without.sort_unstable();
            assert_eq!(without, with_ids, "seed {seed} step {nth}");
            if !in_order {
                // What comes back beside another's insertion may come on its other side.
                parted += 1;
                break;
            }
        }
    }
    assert!(undone > 10 * parted, "{parted} of {undone}");
}

/// Another program opens what was stored: all changes, and the steps.
fn reopened(document: &Document, undo: UndoIdx, peer: u8) -> (Document, UndoIdx) {
    let mut again = super::super::scripts::document(peer);
    again
        .import_changes(document.all_changes(), &[], Origin::Load)
        .unwrap();
    let index = again.add_undo_manager(EACH);
    let stored = document.undo_encode(undo).unwrap();
    again.undo_decode(index, &stored).unwrap();
    // Only the order of peers may be another.
    let stored_again = again.undo_encode(index).unwrap();
    assert_eq!(stored_again.len(), stored.len());
    (again, index)
}

#[test]
fn steps_outlive_the_program() {
    for seed in 0..60 {
        let rng = &mut Rng::new(seed);
        let mut document = document(1);
        (0..rng.below(6)).for_each(|_| edit(&mut document, rng));
        let mut undo = document.add_undo_manager(EACH);
        let mut model = Model::default();
        for nth in 0..30 {
            let context = format!("seed {seed} step {nth}");
            match rng.below(8) {
                0..=2 => model.edit(&mut document, undo, rng),
                3..=4 => drop(model.take_back(&mut document, undo, Direction::Undo, &context)),
                5..=6 => drop(model.take_back(&mut document, undo, Direction::Redo, &context)),
                _ => {
                    let peer = 1 + rng.below(3) as u8;
                    (document, undo) = reopened(&document, undo, peer);
                }
            }
            document.check();
        }
        let context = format!("seed {seed} at the end");
        while model.take_back(&mut document, undo, Direction::Undo, &context) {}
        while model.take_back(&mut document, undo, Direction::Redo, &context) {}
    }
}

/// A snapshot forgets removed elements and who wrote what; steps go by what is left of both.
#[test]
fn steps_outlive_a_snapshot() {
    let (text, map, list) = (handler("text"), handler("map"), handler("list"));
    let movable = handler("movable");
    let mut first = document(1);
    let undo = first.add_undo_manager(EACH);
    first.text_insert(text, 0, "one two three").unwrap();
    // Backspace, delete, and a replaced word.
    for at in [6, 5, 4] {
        first.text_remove(text, at, 1).unwrap();
    }
    first.text_remove(text, 0, 2).unwrap();
    first.text_update_utf16(text, 0, &[0x45]).unwrap();
    first
        .list_insert(list, 0, &[1.into(), 2.into(), 3.into()])
        .unwrap();
    first.list_remove(list, 0, 2).unwrap();
    first.map_set(map, "a", &1.into()).unwrap();
    first.map_set(map, "a", &2.into()).unwrap();
    let values = [1, 2, 3, 4].map(Value::Int);
    first.list_insert(movable, 0, &values).unwrap();
    first.list_remove(movable, 1, 2).unwrap();
    first.list_update(movable, 0, &9.into()).unwrap();
    let mut states = vec![shown(&first)];
    let mut probe = first.fork(DocumentOptions::default());
    let index = probe.add_undo_manager(EACH);
    probe
        .undo_decode(index, &first.undo_encode(undo).unwrap())
        .unwrap();
    for _ in 0..12 {
        probe.undo(index).unwrap().unwrap();
        states.push(shown(&probe));
    }
    let stored = first.undo_encode(undo).unwrap();
    let snapshot = first.take_snapshot(true).unwrap().clone();
    let mut again = document(1);
    again.import_snapshot(&snapshot, true).unwrap();
    let undo = again.add_undo_manager(EACH);
    again.undo_decode(undo, &stored).unwrap();
    assert_eq!(shown(&again), states[0]);
    for (nth, state) in states.iter().enumerate().skip(1) {
        again.undo(undo).unwrap().unwrap();
        assert_eq!(&shown(&again), state, "after {nth} steps");
    }
    for state in states.iter().rev().skip(1) {
        again.redo(undo).unwrap().unwrap();
        assert_eq!(&shown(&again), state);
    }
}

/// Sets and observed-remove maps, too: what a snapshot brought has no adds any more, and what shows
/// decides. Of what others did since, nothing is taken back.
#[test]
fn steps_on_sets_and_observed_remove_maps_outlive_a_snapshot() {
    let (set, map) = (handler("set"), handler("ormap"));
    let seen = |document: &Document| {
        let elements = [1, 2].map(|element| document.set_contains(set, &Value::Int(element)));
        (elements, ["a", "b"].map(|key| document.map_get(map, key)))
    };
    type Edit = fn(&mut Document, HandlerIdx, HandlerIdx);
    let edits: [Edit; 12] = [
        |document, set, _| document.set_add(set, &1.into()).unwrap(),
        |document, set, _| document.set_add(set, &2.into()).unwrap(),
        |document, set, _| assert!(document.set_remove(set, &1.into()).is_ok()),
        |document, set, _| document.set_add(set, &1.into()).unwrap(),
        |document, set, _| assert!(document.set_remove(set, &2.into()).is_ok()),
        |document, _, map| document.map_set(map, "a", &1.into()).unwrap(),
        |document, _, map| document.map_set(map, "a", &2.into()).unwrap(),
        |document, _, map| document.map_remove(map, "a").unwrap(),
        |document, _, map| document.map_set(map, "a", &3.into()).unwrap(),
        |document, _, map| document.map_set(map, "a", &4.into()).unwrap(),
        |document, _, map| document.map_set(map, "a", &3.into()).unwrap(),
        |document, _, map| document.map_set(map, "b", &4.into()).unwrap(),
    ];
    // The snapshot comes after so many edits, and some steps are taken back before.
    for (cut, undone) in [
        (3, 0),
        (5, 0),
        (7, 1),
        (7, 2),
        (8, 0),
        (9, 3),
        (10, 0),
        (10, 4),
        (11, 0),
        (11, 1),
        (12, 7),
    ] {
        let mut first = document(1);
        let mut states = vec![seen(&first)];
        let undo = first.add_undo_manager(EACH);
        for edit in &edits[..cut] {
            edit(&mut first, set, map);
            states.push(seen(&first));
        }
        for _ in 0..undone {
            first.undo(undo).unwrap().unwrap();
        }
        let stored = first.undo_encode(undo).unwrap();
        let snapshot = first.take_snapshot(true).unwrap().clone();
        let mut again = document(1);
        again.import_snapshot(&snapshot, true).unwrap();
        let undo = again.add_undo_manager(EACH);
        again.undo_decode(undo, &stored).unwrap();
        for _ in 0..2 {
            while again.redo(undo).unwrap().is_some() {}
            for edit in &edits[cut..] {
                if states.len() <= edits.len() {
                    edit(&mut again, set, map);
                    states.push(seen(&again));
                }
            }
            for state in states.iter().rev() {
                assert_eq!(&seen(&again), state, "{cut} {undone}");
                let _ = again.undo(undo).unwrap();
            }
        }
    }
    let mut first = document(1);
    let undo = first.add_undo_manager(EACH);
    edits[0](&mut first, set, map);
    edits[5](&mut first, set, map);
    let stored = first.undo_encode(undo).unwrap();
    let snapshot = first.take_snapshot(true).unwrap().clone();
    let [mut again, mut other] = [1, 2].map(document);
    for document in [&mut again, &mut other] {
        document.import_snapshot(&snapshot, true).unwrap();
    }
    edits[0](&mut other, set, map);
    other.map_set(map, "a", &9.into()).unwrap();
    again
        .import_changes(other.all_changes(), &[], Origin::Remote)
        .unwrap();
    let expected = seen(&again);
    let undo = again.add_undo_manager(EACH);
    again.undo_decode(undo, &stored).unwrap();
    while again.undo(undo).unwrap().is_some() {}
    assert_eq!(seen(&again), expected);
}

#[test]
fn damaged_steps_are_refused_or_harmless() {
    let mut refused = 0;
    for seed in 0..400 {
        let rng = &mut Rng::new(seed);
        let mut document = document(1);
        let undo = document.add_undo_manager(EACH);
        for _ in 0..14 {
            match rng.below(4) {
                0 => drop(document.undo(undo).unwrap()),
                _ => edit(&mut document, rng),
            }
        }
        let stored = document.undo_encode(undo).unwrap();
        let mut damaged = stored.clone();
        let at = rng.below(damaged.len());
        damaged[at] ^= 1 << rng.below(8);
        let kept = document.undo_encode(undo);
        assert!(matches!(
            document.undo_decode(undo, &damaged),
            Err(DocumentError::Decode(_))
        ));
        assert!(document.undo_decode(undo, &stored[..at]).is_err());
        assert_eq!(document.undo_encode(undo), kept);
        // Whoever knows the checksum may say anything.
        let mut forged = stored.clone();
        for _ in 0..1 + rng.below(3) {
            let at = 8 + rng.below(forged.len() - 8);
            match rng.below(3) {
                0 => forged[at] = rng.below(256) as u8,
                1 => forged[at] = [0, 1, 2, 0x7f, 0x80, 0xff][rng.below(6)],
                _ => drop(forged.remove(at)),
            }
        }
        let checksum = crc32fast::hash(&forged[8..]).to_le_bytes();
        forged[4..8].copy_from_slice(&checksum);
        let (before, handlers) = (shown(&document), document.handlers().count());
        if document.undo_decode(undo, &forged).is_err() {
            refused += 1;
            assert_eq!(document.undo_encode(undo), kept, "seed {seed}");
            assert_eq!(document.handlers().count(), handlers);
            continue;
        }
        assert_eq!(&shown(&document)[..before.len()], &before[..]);
        for _ in 0..20 {
            let _ = document.undo(undo);
            document.check();
        }
        for _ in 0..20 {
            let _ = document.redo(undo);
            document.check();
        }
        assert!(!document.in_transaction());
        seen_elsewhere(&document, rng);
    }
    assert!(refused > 100, "{refused}");
}

/// What somebody decided after a step is not decided again by taking the step back.
#[test]
fn later_decisions_of_others_stay() {
    let (map, list) = (handler("ormap"), handler("movable"));
    let (mut own, mut other) = (document(1), document(2));
    let undo = own.add_undo_manager(EACH);
    own.map_set(map, "a", &1.into()).unwrap();
    let values = [1, 2, 3].map(Value::Int);
    own.list_insert(list, 0, &values).unwrap();
    own.begin(b"").unwrap();
    own.map_remove(map, "a").unwrap();
    own.list_move(list, 0, 2).unwrap();
    own.list_update(list, 0, &20.into()).unwrap();
    own.commit().unwrap();
    pull(&mut other, &own);
    other.map_set(map, "a", &2.into()).unwrap();
    other.list_move(list, 2, 1).unwrap();
    other.list_update(list, 0, &21.into()).unwrap();
    pull(&mut own, &other);
    let decided = shown(&own);
    assert_eq!(own.list_values(list), [21, 1, 3].map(Value::Int));
    let count = own.change_count();
    // Nothing is left of the last step: the one before is taken back.
    own.undo(undo).unwrap().unwrap();
    assert_eq!(own.list_values(list), []);
    assert_eq!(own.change_count(), count + 1);
    own.redo(undo).unwrap().unwrap();
    assert_eq!(own.list_values(list), [21, 1, 3].map(Value::Int));
    assert_eq!(shown(&own), decided);
}
