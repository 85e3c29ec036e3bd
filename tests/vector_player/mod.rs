//! Plays the calls of a vector case on documents and compares what comes out.

mod history;
mod list;
mod movable;
pub mod nested;
mod or_map;
mod plain;

use super::common::{hex, list, text, to_hex, units};
use serde_json::Value as Json;
use std::collections::HashMap;
use syncline::clock::{Hlc, PeerId};
use syncline::codec::bytes::write_uvarint;
use syncline::codec::{Change, ElementId, Reader, Snapshot, Value, Wtf8String, wtf8};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, WallClock,
};
use syncline::replica::Replica;

pub struct Player {
    pub documents: Vec<Document>,
    pub changes: Vec<Change>,
    snapshots: HashMap<String, Snapshot>,
}

/// A document of nobody in particular.
pub fn replica(ms: i64, counter: u32) -> Document {
    document(
        "00000000-0000-4000-8000-0000000000ff",
        Hlc::new(ms, counter),
    )
}

fn document(peer: &str, clock: Hlc) -> Document {
    Document::new(DocumentOptions {
        document_id: "vectors".into(),
        peer_id: Some(PeerId::parse(peer).unwrap()),
        initial_clock: clock,
        wall_clock: WallClock::Fixed(0),
        clock_drift_ms_max: None,
    })
}

/// What to register for a Dart class and its type argument.
pub fn spec_of(handler: &str, value_type: &str) -> HandlerSpec {
    let kind = match handler {
        "CRDTTextHandler" => HandlerKind::Text,
        "CRDTFugueTextHandler" => HandlerKind::FugueText,
        "CRDTListHandler" => HandlerKind::List,
        "CRDTFugueListHandler" => HandlerKind::FugueList,
        "CRDTListRefHandler" => HandlerKind::ListRef,
        "CRDTFugueMovableListHandler" => HandlerKind::MovableList,
        "CRDTMovableListRefHandler" => HandlerKind::MovableListRef,
        "CRDTMapHandler" => HandlerKind::Map,
        "CRDTRegisterHandler" => HandlerKind::Register,
        "CRDTORSetHandler" => HandlerKind::OrSet,
        "CRDTORMapHandler" => HandlerKind::OrMap,
        "CRDTMapRefHandler" => HandlerKind::MapRef,
        other => panic!("{other} is not built yet"),
    };
    let type_tag = if kind.is_generic() {
        format!("{handler}<{value_type}>")
    } else {
        handler.to_owned()
    };
    HandlerSpec {
        type_tag,
        ..HandlerSpec::new(kind)
    }
}

impl Player {
    pub fn new(case: &Json) -> Self {
        let documents = list(&case["peers"]).iter().map(|peer| {
            let clock = Hlc::new(
                peer["l"].as_i64().unwrap(),
                peer["c"].as_u64().unwrap() as u32,
            );
            document(text(&peer["peer"]), clock)
        });
        let changes = list(&case["changes"])
            .iter()
            .map(|change| Change::decode(&hex(change)).unwrap());
        Player {
            documents: documents.collect(),
            changes: changes.collect(),
            snapshots: HashMap::new(),
        }
    }

    pub fn change(&self, index: &Json) -> Change {
        self.changes[index.as_u64().unwrap() as usize].clone()
    }

    pub fn register(&mut self, peer: usize, handler: &str, id: &str, value_type: &str) {
        self.documents[peer]
            .handler(id, &spec_of(handler, value_type))
            .unwrap();
    }

    /// One local call outside of a transaction.
    pub fn call(&mut self, peer: usize, id: &str, call: &Json, created: &Json) {
        self.transaction(peer, &[(id, call)], created);
    }

    /// Calls in one transaction. If Dart accepts what the engine refuses, the changes enter as
    /// recorded.
    pub fn transaction(&mut self, peer: usize, calls: &[(&str, &Json)], created: &Json) {
        let expected: Vec<Change> = match created {
            Json::Null => Vec::new(),
            indexes => list(indexes)
                .iter()
                .map(|index| self.change(index))
                .collect(),
        };
        let position = self.documents[peer].log_position();
        if movable::loses_to_itself(&expected) {
            for change in &expected {
                let made = self.documents[peer].create_change(change.payload.clone());
                same_change(&made.unwrap(), change);
            }
            return;
        }
        let document = &mut self.documents[peer];
        let in_transaction = calls.len() > 1;
        if in_transaction {
            document.begin(b"").unwrap();
        }
        let accepted = calls.iter().all(|(id, call)| {
            let handler = document.find_handler(id).unwrap();
            let accepted = perform(document, handler, call);
            document.check();
            accepted
        });
        match in_transaction {
            true if accepted => document.commit().unwrap(),
            true => document.rollback().unwrap(),
            false => (),
        }
        if !accepted {
            for change in &expected {
                document.create_change(change.payload.clone()).unwrap();
            }
        }
        let made = self.documents[peer].changes_since(position).unwrap();
        assert_eq!(made.len(), expected.len(), "{calls:?}");
        made.iter()
            .zip(&expected)
            .for_each(|(made, expected)| same_change(made, expected));
    }

    pub fn import(&mut self, peer: usize, indexes: &Json, count: &Json) {
        let changes = list(indexes)
            .iter()
            .map(|index| self.change(index))
            .collect();
        let outcome = self.documents[peer]
            .import_changes(changes, &[], Origin::Remote)
            .unwrap();
        assert_eq!(outcome.applied as u64, count.as_u64().unwrap());
    }

    pub fn compare(&self, peer: usize, id: &str, value: &Json, in_order: bool) {
        compare_values(&self.documents[peer], id, value, in_order);
    }

    pub fn compare_indexes(&self, exported: &[Change], indexes: &Json) {
        let expected: Vec<Change> = list(indexes)
            .iter()
            .map(|index| self.change(index))
            .collect();
        assert_eq!(exported.len(), expected.len());
        exported
            .iter()
            .zip(&expected)
            .for_each(|(exported, expected)| same_change(exported, expected));
    }

    /// Takes a snapshot and compares it; gives the reason if the rest of the case does not apply.
    pub fn take_snapshot(&mut self, peer: usize, step: &Json) -> Option<&'static str> {
        let document = &mut self.documents[peer];
        let registered: Vec<String> = document
            .handlers()
            .map(|handler| document.handler_id(handler).to_owned())
            .collect();
        let prune = step["prune"] == Json::Bool(true);
        let snapshot = document.take_snapshot(prune).unwrap().clone();
        assert_eq!(snapshot.id(), text(&step["id"]));
        let expected = Snapshot::decode(&hex(&step["hex"])).unwrap();
        let is_forgotten = |id: &String| expected.entry(id).is_none() && !registered.contains(id);
        if snapshot.entries().iter().any(|(id, _)| is_forgotten(id)) {
            assert_eq!(snapshot.vector(), expected.vector());
            for (id, blob) in expected.entries() {
                assert_eq!(snapshot.entry(id), Some(blob.as_slice()), "{id}");
            }
            return Some("forgets handlers that are not registered (defect 13.7); ours does not");
        }
        assert_eq!(to_hex(&snapshot.encode()), text(&step["hex"]));
        self.snapshots
            .insert(text(&step["snapshot"]).to_owned(), snapshot);
        None
    }

    pub fn snapshot(&self, name: &Json) -> Snapshot {
        self.snapshots[text(name)].clone()
    }

    pub fn compare_revision(&self, peer: usize, id: &str, expected: &Json) {
        let document = &self.documents[peer];
        let revision = document
            .find_handler(id)
            .map_or(0, |handler| document.handler_revision(handler));
        assert_eq!(revision, expected[0].as_u64().unwrap(), "revision of {id}");
        assert_eq!(
            document.handler_change_count(id),
            expected[1].as_u64().unwrap(),
            "changes of {id}"
        );
        assert_eq!(
            document.handler_changes(id, None).len() as u64,
            expected[1].as_u64().unwrap()
        );
    }

    pub fn compare_position(&self, peer: usize, id: &str, position: &Json) {
        let document = &self.documents[peer];
        let handler = document.find_handler(id).unwrap();
        if document.handler_kind(handler) != HandlerKind::FugueText {
            return list::compare_position(document, handler, position);
        }
        let nodes = node_lengths(document, handler);
        let node = (position[0].as_i64().unwrap().max(0) as usize).min(nodes.len());
        if node > 0 && nodes[node - 1] == 0 {
            // An element without text has no text position of its own.
            return;
        }
        let index = nodes[..node].iter().sum();
        assert_eq!(
            to_hex(&document.text_position_at(handler, index).unwrap()),
            text(&position[1])
        );
    }

    pub fn compare_position_index(&self, peer: usize, id: &str, position: &Json) {
        let document = &self.documents[peer];
        let handler = document.find_handler(id).unwrap();
        if document.handler_kind(handler) != HandlerKind::FugueText {
            return list::compare_position_index(document, handler, position);
        }
        let index = document
            .text_position_index(handler, &hex(&position[0]))
            .unwrap();
        assert_eq!(index, position[1].as_u64());
    }
}

/// A local call as the Dart handlers take it: indexes of nodes, lenient at the edges. The engine
/// takes text positions and refuses what is out of range. False: it refused what Dart sends.
fn perform(document: &mut Document, handler: HandlerIdx, call: &Json) -> bool {
    if or_map::perform(document, handler, call) {
        return true;
    }
    let int = |nth: usize| call[nth].as_i64().unwrap();
    match (document.handler_kind(handler), text(&call[0])) {
        (HandlerKind::Text | HandlerKind::List, _) => {
            return plain::perform(document, handler, call);
        }
        (HandlerKind::FugueText, "insert") => {
            let nodes = node_lengths(document, handler);
            // Out of range is the front (defect 13.14).
            let at = usize::try_from(int(1))
                .ok()
                .filter(|at| *at <= nodes.len())
                .unwrap_or(0);
            document
                .text_insert_utf16(handler, nodes[..at].iter().sum(), &units(&call[2]))
                .unwrap();
        }
        (HandlerKind::FugueText, "delete") => {
            let nodes = node_lengths(document, handler);
            let clip = |at: i64| at.clamp(0, nodes.len() as i64) as usize;
            let (start, end) = (clip(int(1)), clip(int(1).saturating_add(int(2).max(0))));
            if start < end && nodes[start..end].iter().any(|units| *units != 1) {
                // Elements of no or several units cannot be named one by one by text positions.
                remove_nodes(document, handler, start..end);
            } else if start < end {
                let (at, count) = (nodes[..start].iter().sum(), nodes[start..end].iter().sum());
                document.text_remove(handler, at, count).unwrap();
            }
        }
        (HandlerKind::FugueText, "update") => {
            let nodes = node_lengths(document, handler);
            let new = units(&call[2]);
            let targets = (0..new.len() as i64)
                .filter(|k| (0..nodes.len() as i64).contains(&(int(1) + k)))
                .count();
            let at = int(1).max(0) as usize;
            if targets > 0 {
                document
                    .text_update_utf16(handler, nodes[..at].iter().sum(), &new[..targets])
                    .unwrap();
            }
        }
        (HandlerKind::FugueText, "change") => document.text_set(handler, &units(&call[1])).unwrap(),
        (HandlerKind::FugueList | HandlerKind::ListRef, _) => {
            list::perform(document, handler, call)
        }
        (HandlerKind::Map, "set") => document
            .map_set(handler, &key(&call[1]), &value(&call[2]))
            .unwrap(),
        (HandlerKind::Map, "update") => document
            .map_update(handler, &key(&call[1]), &value(&call[2]))
            .unwrap(),
        (HandlerKind::Map, "delete") => document.map_remove(handler, &key(&call[1])).unwrap(),
        (HandlerKind::Register, "set") => document.register_set(handler, &value(&call[1])).unwrap(),
        (HandlerKind::OrSet, "add") => document.set_add(handler, &value(&call[1])).unwrap(),
        (HandlerKind::OrSet, "remove") => document.set_remove(handler, &value(&call[1])).unwrap(),
        (HandlerKind::MovableList | HandlerKind::MovableListRef, _) => {
            movable::perform(document, handler, call)
        }
        (kind, method) => panic!("{kind:?}.{method} is unknown"),
    }
    true
}

fn remove_nodes(document: &mut Document, handler: HandlerIdx, nodes: std::ops::Range<usize>) {
    let state = document.handler_snapshot_state(handler);
    let mut reader = Reader::new(&state);
    let count = reader.uvarint().unwrap();
    let ids: Vec<&[u8]> = (0..count)
        .map(|_| {
            let id = reader.prefixed().unwrap();
            reader.prefixed().unwrap();
            id
        })
        .collect();
    let mut body = Vec::new();
    write_uvarint(&mut body, nodes.len() as u64);
    ids[nodes].iter().for_each(|id| body.extend_from_slice(id));
    let (handler_type, handler_id) = (document.handler_type(handler), document.handler_id(handler));
    let mut payload = Vec::new();
    syncline::codec::Envelope {
        handler_type,
        handler_id,
        kind: 1,
        body: &body,
    }
    .encode(&mut payload);
    document.create_change(payload).unwrap();
}

/// Units of each live element: mostly one.
fn node_lengths(document: &Document, handler: HandlerIdx) -> Vec<u64> {
    let state = document.handler_snapshot_state(handler);
    let mut reader = Reader::new(&state);
    let count = reader.uvarint().unwrap();
    let lengths = (0..count).map(|_| {
        reader.prefixed().unwrap();
        let mut units = Vec::new();
        wtf8::decode_to_utf16(reader.prefixed().unwrap(), &mut units).unwrap();
        units.len() as u64
    });
    lengths.collect()
}

fn key(json: &Json) -> String {
    String::from_utf16_lossy(&units(json))
}

/// A value of the vectors.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Double(number.as_f64().unwrap()), Value::Int),
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(object) if object.contains_key("u16") => {
            Value::String(Wtf8String::from_utf16(&units(json)))
        }
        Json::Object(object) => Value::Object(
            object
                .iter()
                .map(|(key, item)| (key.as_str().into(), value(item)))
                .collect(),
        ),
    }
}

/// Compares what a handler shows; the order of maps and sets only where it is defined.
pub fn compare_values(document: &Document, id: &str, expected: &Json, in_order: bool) {
    let handler = document.find_handler(id).unwrap();
    if or_map::compare(document, handler, expected, in_order) {
        return;
    }
    match document.handler_kind(handler) {
        HandlerKind::FugueText => {
            let mut shown = Vec::new();
            document.text_slice_utf16(handler, 0..u64::MAX, &mut shown);
            assert_eq!(shown, units(expected));
            assert_eq!(document.text_len_utf16(handler), shown.len() as u64);
        }
        HandlerKind::FugueList
        | HandlerKind::ListRef
        | HandlerKind::MovableList
        | HandlerKind::MovableListRef => list::compare_values(document, handler, expected),
        HandlerKind::Text | HandlerKind::List => plain::compare_values(document, handler, expected),
        HandlerKind::Map => {
            let mut shown = document.map_entries(handler);
            let mut wanted: Vec<(String, Value)> = list(expected)
                .iter()
                .map(|entry| (key(&entry[0]), value(&entry[1])))
                .collect();
            if !in_order {
                shown.sort_by(|a, b| a.0.cmp(&b.0));
                wanted.sort_by(|a, b| a.0.cmp(&b.0));
            }
            assert_eq!(shown, wanted);
        }
        HandlerKind::Register => {
            assert_eq!(
                document.register_get(handler).unwrap_or(Value::Null),
                value(expected)
            );
        }
        HandlerKind::OrSet => {
            let mut shown = document.set_values(handler);
            let mut wanted: Vec<Value> = list(expected).iter().map(value).collect();
            if !in_order {
                shown.sort_by_key(|value| format!("{value:?}"));
                wanted.sort_by_key(|value| format!("{value:?}"));
            }
            assert_eq!(shown, wanted);
        }
        kind => panic!("{kind:?} is not built yet"),
    }
}

/// Equal bytes; the tags of an observed remove have no order.
pub fn same_change(made: &Change, expected: &Change) {
    let sorted = |change: &Change| {
        let mut change = change.clone();
        if let Some(sorted) = sorted_tags(&change) {
            change.payload = sorted;
        }
        to_hex(&change.encode())
    };
    assert_eq!(sorted(made), sorted(expected));
}

fn sorted_tags(change: &Change) -> Option<Vec<u8>> {
    let envelope = change.envelope().ok()?;
    let tagged = ["CRDTORSetHandler", "CRDTORMapHandler"];
    if !tagged
        .iter()
        .any(|tag| envelope.handler_type.starts_with(tag))
        || envelope.kind != 1
    {
        return None;
    }
    let mut reader = Reader::new(envelope.body);
    reader.prefixed().ok()?;
    let count = reader.uvarint().ok()?;
    let start = change.payload.len() - reader.remaining();
    let mut payload = change.payload.clone();
    let end = start + count as usize * 24;
    let mut tags: Vec<Vec<u8>> = payload
        .get(start..end)?
        .chunks(24)
        .map(<[u8]>::to_vec)
        .collect();
    tags.sort();
    payload.splice(start..end, tags.concat());
    Some(payload)
}

/// An operation of `fugue_tree.json` as the payload of a change; None if the case says that the
/// bare tree would have refused it in a way that no payload can express.
pub fn tree_payload(op: &Json, peers: &[PeerId]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let item = |id: &Json, value: &Json, body: &mut Vec<u8>| {
        write_element(id, peers, body);
        let mut bytes = Vec::new();
        wtf8::encode_utf16(&units(value), &mut bytes);
        write_uvarint(body, bytes.len() as u64);
        body.extend_from_slice(&bytes);
    };
    let kind = match text(&op[0]) {
        "i" => {
            write_element(&op[2], peers, &mut body);
            write_element(&op[3], peers, &mut body);
            body.push(1);
            item(&op[1], &op[4], &mut body);
            0
        }
        "c" => {
            write_element(&op[1], peers, &mut body);
            write_element(&op[2], peers, &mut body);
            write_uvarint(&mut body, list(&op[3]).len() as u64);
            for entry in list(&op[3]) {
                item(&entry[0], &entry[1], &mut body);
            }
            0
        }
        "d" => {
            body.push(1);
            write_element(&op[1], peers, &mut body);
            1
        }
        "u" => {
            body.push(1);
            write_element(&op[1], peers, &mut body);
            item(&op[2], &op[3], &mut body);
            2
        }
        other => panic!("an unknown operation: {other}"),
    };
    let mut payload = Vec::new();
    syncline::codec::Envelope {
        handler_type: "CRDTFugueTextHandler",
        handler_id: "t",
        kind,
        body: &body,
    }
    .encode(&mut payload);
    Some(payload)
}

fn element(id: &Json, peers: &[PeerId]) -> Option<ElementId> {
    let id = id.as_array()?;
    Some(ElementId {
        peer: peers[id[0].as_u64().unwrap() as usize],
        counter: id[1].as_u64().unwrap(),
    })
}

fn write_element(id: &Json, peers: &[PeerId], out: &mut Vec<u8>) {
    ElementId::write(element(id, peers), out);
}

/// Every element of a tree case as position bytes, and how many units are visible through it.
pub fn positions(case: &Json, peers: &[PeerId]) -> Vec<(Vec<u8>, u64)> {
    let mut through = 0;
    let mut out = Vec::new();
    for entry in list(&case["order"]) {
        if !entry[1].is_null() {
            through += units(&entry[1]).len() as u64;
        }
        let mut bytes = Vec::new();
        write_element(&entry[0], peers, &mut bytes);
        out.push((bytes, through));
    }
    out
}
