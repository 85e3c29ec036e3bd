//! Fugue lists and lists of references: the calls of the Dart handlers; values of all lists;
//! positions.

use super::super::common::{hex, list, text, to_hex};
use serde_json::Value as Json;
use syncline::codec::{HandlerRef, Value};
use syncline::document::{Document, DocumentError, HandlerIdx, ValueCodec};

/// A value of a list or list of references.
pub fn element(document: &Document, handler: HandlerIdx, json: &Json) -> Value {
    match document.handler_codec(handler) {
        ValueCodec::Reference => Value::Reference(HandlerRef {
            type_tag: text(&json["type"]).to_owned(),
            id: text(&json["id"]).to_owned(),
        }),
        _ => super::value(json),
    }
}

/// A local call as the Dart handlers take it: lenient at the edges, where the engine refuses.
pub fn perform(document: &mut Document, handler: HandlerIdx, call: &Json) {
    let index = call[1].as_i64().unwrap();
    let length = document.list_len(handler) as i64;
    let is_refused = |result| matches!(result, Err(DocumentError::OutOfRange { .. }));
    match text(&call[0]) {
        method @ ("insert" | "insertAll") => {
            let values: Vec<Value> = match method {
                "insert" => vec![element(document, handler, &call[2])],
                _ => list(&call[2])
                    .iter()
                    .map(|json| element(document, handler, json))
                    .collect(),
            };
            if !(0..=length).contains(&index) {
                assert!(is_refused(document.list_insert(
                    handler,
                    index as u64,
                    &values
                )));
            }
            // Out of range is the front (defect 13.14).
            let index = if index > length { 0 } else { index.max(0) };
            document
                .list_insert(handler, index as u64, &values)
                .unwrap();
        }
        "delete" => {
            let count = call[2].as_i64().unwrap().max(0);
            let clip = |at: i64| at.clamp(0, length) as u64;
            let (start, end) = (clip(index), clip(index.saturating_add(count)));
            document.list_remove(handler, start, end - start).unwrap();
        }
        "update" => {
            let value = element(document, handler, &call[2]);
            let result = document.list_update(handler, index as u64, &value);
            match (0..length).contains(&index) {
                true => result.unwrap(),
                false => assert!(is_refused(result)),
            }
        }
        other => panic!("{other} is unknown"),
    }
}

pub fn compare_values(document: &Document, handler: HandlerIdx, expected: &Json) {
    let wanted: Vec<Value> = list(expected)
        .iter()
        .map(|json| element(document, handler, json))
        .collect();
    assert_eq!(document.list_values(handler), wanted);
    assert_eq!(
        document.handler_value(handler),
        Value::Array(wanted.clone())
    );
    assert_eq!(document.list_len(handler), wanted.len() as u64);
    for (index, value) in wanted.iter().enumerate() {
        let shown = document.list_get(handler, index as u64);
        assert_eq!(shown.as_ref(), Some(value));
    }
    assert_eq!(document.list_get(handler, wanted.len() as u64), None);
}

pub fn compare_position(document: &Document, handler: HandlerIdx, position: &Json) {
    // Dart takes what is out of range for the nearest end.
    let index = position[0].as_i64().unwrap().max(0) as u64;
    let shown = document.list_position_at(handler, index).unwrap();
    assert_eq!(to_hex(&shown), text(&position[1]));
}

pub fn compare_position_index(document: &Document, handler: HandlerIdx, position: &Json) {
    let index = document.list_position_index(handler, &hex(&position[0]));
    assert_eq!(index.unwrap(), position[1].as_u64());
}
