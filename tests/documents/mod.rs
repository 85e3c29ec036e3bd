//! Documents for tests: fixed peers and a clock that only their own events move.

// Each test binary uses a part of this.
#![allow(dead_code)]

use syncline::clock::{Hlc, PeerId};
use syncline::codec::{Value, json};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, WallClock,
};
use syncline::replica::{ImportOutcome, Replica};

/// Where clocks begin: in the future, so that real time never moves them.
pub const START_MS: i64 = 4_102_444_800_000;

/// A peer id that ends in a number.
pub fn peer(number: u8) -> PeerId {
    PeerId::parse(&format!("00000000-0000-4000-8000-0000000000{number:02x}")).unwrap()
}

/// An empty document of a peer.
pub fn document(number: u8) -> Document {
    document_at(number, Hlc::new(START_MS, 0))
}

/// An empty document whose clock begins elsewhere.
pub fn document_at(number: u8, initial_clock: Hlc) -> Document {
    Document::new(DocumentOptions {
        document_id: "tests".into(),
        peer_id: Some(peer(number)),
        initial_clock,
        wall_clock: WallClock::Fixed(0),
        clock_drift_ms_max: None,
    })
}

/// Registers a handler with the default tag.
pub fn handler(document: &mut Document, kind: HandlerKind, id: &str) -> HandlerIdx {
    document.handler(id, &HandlerSpec::new(kind)).unwrap()
}

/// Registers a handler with type arguments.
pub fn typed(document: &mut Document, kind: HandlerKind, arguments: &str, id: &str) -> HandlerIdx {
    let spec = typed_spec(kind, arguments);
    document.handler(id, &spec).unwrap()
}

/// What Dart calls `Handler<arguments>`.
pub fn typed_spec(kind: HandlerKind, arguments: &str) -> HandlerSpec {
    HandlerSpec {
        type_tag: format!("{}<{arguments}>", kind.base_tag()),
        ..HandlerSpec::new(kind)
    }
}

/// Brings what `from` has and `to` lacks.
pub fn pull(to: &mut Document, from: &Document) -> ImportOutcome {
    let newer = from.changes_newer_than(&to.version_vector());
    to.import_changes(newer, &[], Origin::Remote).unwrap()
}

/// Brings both to the same changes.
pub fn exchange(a: &mut Document, b: &mut Document) {
    pull(a, b);
    pull(b, a);
    assert_eq!(a.version_vector(), b.version_vector());
}

/// The text that JSON gives for a value.
pub fn json_of(value: &Value) -> String {
    let mut text = Vec::new();
    json::encode_tree(value, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The resolved value as JSON text.
pub fn resolved(document: &mut Document, handler: HandlerIdx) -> String {
    json_of(&document.resolved(handler).unwrap())
}

/// The value of a handler as JSON text.
pub fn shown(document: &Document, id: &str) -> String {
    json_of(&document.handler_value(document.find_handler(id).unwrap()))
}

/// Ids of the registered handlers in order.
pub fn ids(document: &Document) -> Vec<&str> {
    document
        .handlers()
        .map(|handler| document.handler_id(handler))
        .collect()
}
