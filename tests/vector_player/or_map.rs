//! The part of the player for observed-remove maps and maps of references.

use super::super::common::{list, text};
use super::{key, value};
use serde_json::Value as Json;
use syncline::codec::{HandlerRef, Value};
use syncline::document::{Document, HandlerIdx, HandlerKind};

/// Makes the call if the handler is one of these; false if not.
pub fn perform(document: &mut Document, handler: HandlerIdx, call: &Json) -> bool {
    match (document.handler_kind(handler), text(&call[0])) {
        (HandlerKind::OrMap, "put") => {
            let (key, value) = (value(&call[1]), value(&call[2]));
            document.map_set_any(handler, &key, &value).unwrap();
        }
        (HandlerKind::OrMap, "remove") => {
            document.map_remove_any(handler, &value(&call[1])).unwrap()
        }
        (HandlerKind::MapRef, "set") => document
            .map_set(handler, &key(&call[1]), &reference(&call[2]))
            .unwrap(),
        (HandlerKind::MapRef, "update") => document
            .map_update(handler, &key(&call[1]), &reference(&call[2]))
            .unwrap(),
        (HandlerKind::MapRef, "delete") => document.map_remove(handler, &key(&call[1])).unwrap(),
        _ => return false,
    }
    true
}

/// Compares what one of these handlers shows; false if it is none.
pub fn compare(document: &Document, handler: HandlerIdx, expected: &Json, in_order: bool) -> bool {
    let read_value = match document.handler_kind(handler) {
        HandlerKind::OrMap => value,
        HandlerKind::MapRef => reference,
        _ => return false,
    };
    let mut shown = document.map_entries_any(handler);
    let mut wanted: Vec<(Value, Value)> = list(expected)
        .iter()
        .map(|entry| (value(&entry[0]), read_value(&entry[1])))
        .collect();
    if !in_order {
        shown.sort_by_key(|entry| format!("{entry:?}"));
        wanted.sort_by_key(|entry| format!("{entry:?}"));
    }
    assert_eq!(shown, wanted);
    assert_eq!(document.map_len(handler), wanted.len() as u64);
    for (key, value) in &wanted {
        assert_eq!(document.map_get_any(handler, key).as_ref(), Some(value));
        if let Value::String(key) = key {
            let key = key.to_string_lossy();
            assert_eq!(document.map_get(handler, &key).as_ref(), Some(value));
            assert!(document.map_contains(handler, &key));
        }
    }
    true
}

fn reference(json: &Json) -> Value {
    Value::Reference(HandlerRef {
        type_tag: text(&json["type"]).to_owned(),
        id: text(&json["id"]).to_owned(),
    })
}
