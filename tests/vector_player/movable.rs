//! Movable lists: the calls of the Dart handlers.

use super::super::common::{list, text};
use super::list::element;
use serde_json::Value as Json;
use syncline::codec::{Change, ElementId, Reader, Value};
use syncline::document::{Document, DocumentError, HandlerIdx};

/// A local call as the Dart handlers take it: what is out of range is clipped or nothing, but for
/// insertions, which throw.
pub fn perform(document: &mut Document, handler: HandlerIdx, call: &Json) {
    let int = |nth: usize| call[nth].as_i64().unwrap();
    let length = document.list_len(handler) as i64;
    let exists = |index: i64| (0..length).contains(&index);
    match text(&call[0]) {
        method @ ("insert" | "insertAll") => {
            let values: Vec<Value> = match method {
                "insert" => vec![element(document, handler, &call[2])],
                _ => list(&call[2])
                    .iter()
                    .map(|json| element(document, handler, json))
                    .collect(),
            };
            let done = document.list_insert(handler, int(1) as u64, &values);
            match (0..=length).contains(&int(1)) {
                true => done.unwrap(),
                false => assert!(matches!(done, Err(DocumentError::OutOfRange { .. }))),
            }
        }
        "move" if exists(int(1)) => {
            let to = int(2).clamp(0, length) as u64;
            document.list_move(handler, int(1) as u64, to).unwrap();
        }
        "update" if exists(int(1)) => {
            document
                .list_update(
                    handler,
                    int(1) as u64,
                    &element(document, handler, &call[2]),
                )
                .unwrap();
        }
        "delete" if exists(int(1)) => {
            let count = call.get(2).map_or(1, |count| count.as_i64().unwrap());
            let count = count.clamp(0, length - int(1));
            document
                .list_remove(handler, int(1) as u64, count as u64)
                .unwrap();
        }
        "move" | "update" | "delete" => (),
        other => panic!("{other} is unknown"),
    }
}

/// Whether two writes of one transaction to one element have the same clock, so that the second
/// loses (defect 13.12). Ours wins, with a larger clock; these changes have to enter as recorded.
pub fn loses_to_itself(changes: &[Change]) -> bool {
    let written: Vec<(u8, Vec<u8>)> = changes.iter().filter_map(write_of).collect();
    (1..written.len()).any(|nth| written[..nth].contains(&written[nth]))
}

/// Kind, clock and element of an update of one element or a move.
fn write_of(change: &Change) -> Option<(u8, Vec<u8>)> {
    let envelope = change.envelope().ok()?;
    let is_movable = envelope.handler_type.contains("MovableList");
    let body = envelope.body;
    let written = match envelope.kind {
        2 if is_movable => {
            let mut reader = Reader::new(body);
            let clock: [u8; 8] = reader.array("a clock").ok()?;
            assert_eq!(reader.uvarint().ok()?, 1);
            (clock, ElementId::read(&mut reader).ok()??)
        }
        3 if is_movable => (
            body[body.len() - 8..].try_into().ok()?,
            ElementId::read(&mut Reader::new(body)).ok()??,
        ),
        _ => return None,
    };
    let (mut key, element) = (written.0.to_vec(), written.1);
    ElementId::write(Some(element), &mut key);
    Some((envelope.kind, key))
}
