//! Text and lists by positions: the calls of the Dart handlers, which take any index, and values.

use super::super::common::{list, text, units};
use serde_json::Value as Json;
use syncline::codec::Value;
use syncline::document::{Document, DocumentError, HandlerIdx, HandlerKind};

/// A local call; false: the engine refuses it as out of range, where Dart sends it.
pub fn perform(document: &mut Document, handler: HandlerIdx, call: &Json) -> bool {
    let number = |nth: usize| call[nth].as_u64().unwrap();
    let result = match (document.handler_kind(handler), text(&call[0])) {
        (HandlerKind::Text, "insert") => {
            document.text_insert_utf16(handler, number(1), &units(&call[2]))
        }
        (HandlerKind::Text, "update") => {
            document.text_update_utf16(handler, number(1), &units(&call[2]))
        }
        (HandlerKind::Text, "delete") => document.text_remove(handler, number(1), number(2)),
        (HandlerKind::Text, "change") => document.text_set(handler, &units(&call[1])),
        (HandlerKind::List, "insert") => {
            document.list_insert(handler, number(1), &[super::value(&call[2])])
        }
        (HandlerKind::List, "update") => {
            document.list_update(handler, number(1), &super::value(&call[2]))
        }
        (HandlerKind::List, "delete") => document.list_remove(handler, number(1), number(2)),
        (kind, method) => panic!("{kind:?}.{method} is unknown"),
    };
    match result {
        Ok(()) => true,
        Err(DocumentError::OutOfRange { length, .. }) => {
            assert_eq!(length, shown_len(document, handler));
            let end = number(1) + call[2].as_u64().unwrap_or(0);
            assert!(end > length || number(1) == length, "{call}");
            false
        }
        Err(error) => panic!("{call}: {error}"),
    }
}

fn shown_len(document: &Document, handler: HandlerIdx) -> u64 {
    match document.handler_kind(handler) {
        HandlerKind::Text => document.text_len_utf16(handler),
        _ => document.list_len(handler),
    }
}

pub fn compare_values(document: &Document, handler: HandlerIdx, expected: &Json) {
    if document.handler_kind(handler) == HandlerKind::Text {
        let (mut shown, wanted) = (Vec::new(), units(expected));
        document.text_slice_utf16(handler, 0..u64::MAX, &mut shown);
        assert_eq!(shown, wanted);
        assert_eq!(
            document.text_string(handler),
            String::from_utf16_lossy(&wanted)
        );
        assert_eq!(shown_len(document, handler), wanted.len() as u64);
        return;
    }
    let wanted: Vec<Value> = list(expected).iter().map(super::value).collect();
    assert_eq!(document.list_values(handler), wanted);
    assert_eq!(shown_len(document, handler), wanted.len() as u64);
    assert_eq!(
        document.list_get(handler, 0).as_ref(),
        wanted.first(),
        "by index"
    );
}
