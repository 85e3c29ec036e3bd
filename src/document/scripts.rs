//! Random editing for tests: a handler of each kind, edits of all of them, and peers that exchange
//! what they have.

use super::*;
use crate::codec::Value;
use crate::replica::Replica;
use crate::testing::Rng;

/// The handlers that a script edits, each under its own id.
pub(super) const KINDS: [(&str, HandlerKind); 9] = [
    ("text", HandlerKind::FugueText),
    ("map", HandlerKind::Map),
    ("register", HandlerKind::Register),
    ("set", HandlerKind::OrSet),
    ("list", HandlerKind::FugueList),
    ("ormap", HandlerKind::OrMap),
    ("plain text", HandlerKind::Text),
    ("plain list", HandlerKind::List),
    ("movable", HandlerKind::MovableList),
];

/// A document of peer number `peer` with all handlers.
pub(super) fn document(peer: u8) -> Document {
    let mut bytes = [peer; 16];
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    let mut document = Document::new(DocumentOptions {
        document_id: "script".into(),
        peer_id: Some(PeerId::from_bytes(bytes)),
        wall_clock: WallClock::Fixed(1),
        ..Default::default()
    });
    for (id, kind) in KINDS {
        document.handler(id, &HandlerSpec::new(kind)).unwrap();
    }
    document
}

/// One random local edit.
pub(super) fn edit(document: &mut Document, rng: &mut Rng) {
    let number = rng.below(KINDS.len());
    edit_handler(document, HandlerIdx(number as u32), rng);
}

/// One random local edit of a handler.
pub(super) fn edit_handler(document: &mut Document, number: HandlerIdx, rng: &mut Rng) {
    let key = ["a", "b", "c"][rng.below(3)];
    let value = Value::Int(rng.below(5) as i64);
    match document.handler_kind(number) {
        HandlerKind::FugueText | HandlerKind::Text => edit_text(document, number, rng),
        HandlerKind::OrMap => match rng.below(3) {
            0 => document.map_remove(number, key).unwrap(),
            _ => document.map_set(number, key, &value).unwrap(),
        },
        HandlerKind::Map => match rng.below(4) {
            0 => document.map_remove(number, key).unwrap(),
            1 => document.map_update(number, key, &value).unwrap(),
            _ => document.map_set(number, key, &value).unwrap(),
        },
        HandlerKind::Register => document.register_set(number, &value).unwrap(),
        HandlerKind::OrSet => match rng.below(3) {
            0 => document.set_remove(number, &value).unwrap(),
            _ => document.set_add(number, &value).unwrap(),
        },
        HandlerKind::MovableList => match document.list_len(number) as usize {
            len @ 1.. if rng.below(3) == 0 => {
                let (from, to) = (rng.below(len) as u64, rng.below(len) as u64);
                document.list_move(number, from, to).unwrap();
            }
            _ => edit_list(document, number, rng),
        },
        HandlerKind::FugueList | HandlerKind::List => edit_list(document, number, rng),
        kind => panic!("no edits for {kind:?}"),
    }
}

fn edit_list(document: &mut Document, number: HandlerIdx, rng: &mut Rng) {
    let len = document.list_len(number);
    let at = rng.below(len as usize + 1) as u64;
    let mut value = || match rng.below(9) {
        0 => Value::Null,
        number => Value::Int(number as i64),
    };
    match (value(), value(), value()) {
        (Value::Null | Value::Int(1 | 2), ..) if at < len => {
            document.list_remove(number, at, 2.min(len - at)).unwrap();
        }
        (Value::Int(3), value, _) if at < len => {
            document.list_update(number, at, &value).unwrap();
        }
        (Value::Int(4 | 5), one, other) => {
            document.list_insert(number, at, &[one, other]).unwrap();
        }
        (_, value, _) => document.list_insert(number, at, &[value]).unwrap(),
    }
}

fn edit_text(document: &mut Document, number: HandlerIdx, rng: &mut Rng) {
    const PIECES: [&str; 6] = ["a", "bcd", "x y", "\u{e9}", "\u{1f600}", "0123456789"];
    let len = document.text_len_utf16(number);
    let at = rng.below(len as usize + 1) as u64;
    let count = (rng.below(4) as u64).min(len - at);
    match rng.below(5) {
        0 | 1 if count > 0 => document.text_remove(number, at, count).unwrap(),
        2 if count > 0 => {
            let units: Vec<u16> = (0..count).map(|_| 0x41 + rng.below(26) as u16).collect();
            document.text_update_utf16(number, at, &units).unwrap();
        }
        _ => document
            .text_insert(number, at, PIECES[rng.below(PIECES.len())])
            .unwrap(),
    }
}

/// Gives one document what another has.
pub(super) fn pull(to: &mut Document, from: &Document) {
    let changes = from.changes_newer_than(&to.version_vector());
    to.import_changes(changes, b"peer", Origin::Remote).unwrap();
}

/// Gives all documents everything.
pub(super) fn exchange(documents: &mut [Document]) {
    for to in 0..documents.len() {
        for from in 0..documents.len() {
            if from != to {
                let changes = documents[from].changes_newer_than(&documents[to].version_vector());
                documents[to]
                    .import_changes(changes, b"peer", Origin::Remote)
                    .unwrap();
            }
        }
    }
}

/// What all handlers show; maps and sets in an order of their own.
pub(super) fn shown(document: &Document) -> Vec<Value> {
    document
        .handlers()
        .map(|number| {
            let mut value = document.handler_value(number);
            let is_set = document.handler_kind(number) == HandlerKind::OrSet;
            match &mut value {
                Value::Object(entries) => entries.sort_by_key(|entry| format!("{entry:?}")),
                Value::Array(elements) if is_set => {
                    elements.sort_by_key(|element| format!("{element:?}"));
                }
                _ => (),
            }
            value
        })
        .collect()
}

/// A document of peer 0 after a random script of `peers` peers, which ends without a last
/// exchange.
pub(super) fn concurrent(rng: &mut Rng, peers: u8, edits: usize) -> Document {
    let mut documents: Vec<Document> = (0..peers).map(|peer| document(peer + 1)).collect();
    for _ in 0..edits {
        let at = rng.below(documents.len());
        edit(&mut documents[at], rng);
        if rng.below(4) == 0 {
            let (to, from) = (rng.below(documents.len()), rng.below(documents.len()));
            if to != from {
                let changes = documents[from].changes_newer_than(&documents[to].version_vector());
                documents[to]
                    .import_changes(changes, b"peer", Origin::Remote)
                    .unwrap();
            }
        }
    }
    for from in 1..documents.len() {
        let (first, rest) = documents.split_at_mut(1);
        pull(&mut first[0], &rest[from - 1]);
    }
    documents.swap_remove(0)
}
