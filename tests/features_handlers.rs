//! What the handlers promise, row by row (B1 to B48): each test is named after its row. Rows of the
//! whole document are in `features_document`, those of trees in `features_nested`; the table of
//! rows that are tested elsewhere stands in `features_document`.

mod common;
mod documents;

use common::Random;
use documents::{document, exchange, handler, json_of, pull, shown, typed};
use std::collections::HashMap;
use syncline::codec::{Envelope, Value};
use syncline::document::{Document, HandlerIdx, HandlerKind, HandlerSpec, ValueCodec};
use syncline::replica::Replica;

const TEXTS: [HandlerKind; 2] = [HandlerKind::Text, HandlerKind::FugueText];
const LISTS: [HandlerKind; 3] = [
    HandlerKind::List,
    HandlerKind::FugueList,
    HandlerKind::MovableList,
];

/// Steps of the random scripts of B1 to B4.
const STEPS: usize = 10_000;

fn any(document: &mut Document, kind: HandlerKind, id: &str) -> HandlerIdx {
    handler(document, kind, id)
}

/// Two documents with the same content.
fn pair(
    kind: HandlerKind,
    fill: impl Fn(&mut Document, HandlerIdx),
) -> [(Document, HandlerIdx); 2] {
    let (mut a, mut b) = (document(1), document(2));
    let (ha, hb) = (any(&mut a, kind, "h"), any(&mut b, kind, "h"));
    fill(&mut a, ha);
    exchange(&mut a, &mut b);
    [(a, ha), (b, hb)]
}

/// What both show once each has seen the other's edits.
fn agreed([(a, _), (b, _)]: &mut [(Document, HandlerIdx); 2]) -> String {
    exchange(a, b);
    assert_eq!(shown(a, "h"), shown(b, "h"));
    a.check();
    b.check();
    shown(a, "h")
}

#[test]
fn b01_text_editing() {
    for kind in TEXTS {
        let mut random = Random::new(1);
        let mut document = document(1);
        let text = any(&mut document, kind, "t");
        let mut oracle = String::new();
        for step in 0..STEPS {
            // Mostly insertions while it is short, so that it stays around 60 characters.
            if random.below(120) > oracle.len() {
                let at = random.below(oracle.len() + 1);
                let piece = ["a", "bc", "def"][random.below(3)];
                document.text_insert(text, at as u64, piece).unwrap();
                oracle.insert_str(at, piece);
            } else {
                let at = random.below(oracle.len());
                let count = 1 + random.below((oracle.len() - at).min(4));
                document.text_remove(text, at as u64, count as u64).unwrap();
                oracle.replace_range(at..at + count, "");
            }
            assert_eq!(document.text_string(text), oracle, "{kind:?}, step {step}");
        }
        document.check();
    }
}

#[test]
fn b02_list_editing() {
    for kind in LISTS {
        let mut random = Random::new(2);
        let mut document = document(1);
        let list = any(&mut document, kind, "l");
        let mut oracle: Vec<Value> = Vec::new();
        for step in 0..STEPS {
            let value = Value::Int(step as i64);
            match random.below(60) {
                weight if weight > oracle.len() => {
                    let at = random.below(oracle.len() + 1);
                    let inserted = [value];
                    document.list_insert(list, at as u64, &inserted).unwrap();
                    oracle.splice(at..at, inserted);
                }
                _ if random.below(3) == 0 => {
                    let at = random.below(oracle.len());
                    document.list_update(list, at as u64, &value).unwrap();
                    oracle[at] = value;
                }
                _ => {
                    let at = random.below(oracle.len());
                    let count = 1 + random.below((oracle.len() - at).min(3));
                    document.list_remove(list, at as u64, count as u64).unwrap();
                    oracle.drain(at..at + count);
                }
            }
            assert_eq!(document.list_values(list), oracle, "{kind:?}, step {step}");
        }
        document.check();
    }
}

#[test]
fn b03_map_editing() {
    for kind in [HandlerKind::Map, HandlerKind::OrMap] {
        let mut random = Random::new(3);
        let mut document = document(1);
        let map = any(&mut document, kind, "m");
        let mut oracle: HashMap<String, Value> = HashMap::new();
        for step in 0..STEPS {
            // Removals of an observed-remove map name all that was ever put there.
            let key = format!("k{}", random.below(200));
            let value = Value::Int(step as i64);
            match random.below(3) {
                0 => {
                    document.map_remove(map, &key).unwrap();
                    oracle.remove(&key);
                }
                _ => {
                    document.map_set(map, &key, &value).unwrap();
                    oracle.insert(key.clone(), value);
                }
            }
            assert_eq!(document.map_len(map), oracle.len() as u64);
            let shown = document.map_get(map, &key);
            assert_eq!(shown.as_ref(), oracle.get(&key), "{kind:?}, step {step}");
            if step % 100 == 0 {
                let entries = document.map_entries(map);
                assert!(
                    entries
                        .iter()
                        .all(|(k, value)| oracle.get(k) == Some(value))
                );
            }
        }
        document.check();
    }
}

#[test]
fn b04_set_editing() {
    let mut random = Random::new(4);
    let mut document = document(1);
    let set = any(&mut document, HandlerKind::OrSet, "s");
    let mut oracle = std::collections::BTreeSet::new();
    for step in 0..STEPS {
        let number = random.below(100) as i64;
        match random.below(2) {
            0 => {
                document.set_remove(set, &number.into()).unwrap();
                oracle.remove(&number);
            }
            _ => {
                document.set_add(set, &number.into()).unwrap();
                oracle.insert(number);
            }
        }
        let mut shown: Vec<i64> = document
            .set_values(set)
            .iter()
            .map(|value| match value {
                Value::Int(number) => *number,
                other => panic!("{other:?}"),
            })
            .collect();
        shown.sort_unstable();
        assert!(shown.iter().eq(oracle.iter()), "step {step}");
    }
    document.check();
}

#[test]
fn b06_concurrent_typing_does_not_interleave() {
    // From left to right, from right to left, and among three.
    for peers in [2, 3] {
        for leftwards in [false, true] {
            let mut documents: Vec<Document> = (1..=peers).map(document).collect();
            for (document, letter) in documents.iter_mut().zip(["a", "b", "c"]) {
                let text = any(document, HandlerKind::FugueText, "t");
                for nth in 0..4 {
                    let at = if leftwards { 0 } else { nth };
                    document.text_insert(text, at, letter).unwrap();
                }
            }
            let copies: Vec<_> = documents.iter().map(Document::all_changes).collect();
            for document in &mut documents {
                for changes in &copies {
                    let origin = syncline::document::Origin::Remote;
                    document
                        .import_changes(changes.clone(), &[], origin)
                        .unwrap();
                }
            }
            // The peers are numbered in the order of their ids, which decides among siblings.
            let expected = match (peers, leftwards) {
                (2, false) => "aaaabbbb",
                (3, false) => "aaaabbbbcccc",
                _ => {
                    let text = shown(&documents[0], "t");
                    let runs = text.trim_matches('"').to_owned();
                    let mut letters: Vec<char> = runs.chars().collect();
                    letters.dedup();
                    assert_eq!(letters.len(), usize::from(peers), "{runs}");
                    &runs.clone()
                }
            };
            for document in &documents {
                assert_eq!(shown(document, "t"), format!("\"{expected}\""));
            }
        }
    }
}

#[test]
fn b09_edits_are_there_at_once() {
    let mut document = document(1);
    let text = any(&mut document, HandlerKind::FugueText, "t");
    document.text_insert(text, 0, "now").unwrap();
    assert_eq!(document.text_string(text), "now");
    document.begin(b"").unwrap();
    document.text_insert(text, 3, "!").unwrap();
    assert_eq!(document.text_string(text), "now!");
    document.commit().unwrap();
}

#[test]
fn b10_a_keystroke_is_small_however_large_the_document() {
    let mut document = document(1);
    let text = any(&mut document, HandlerKind::FugueText, "text1");
    document.text_insert(text, 0, &"x".repeat(1 << 20)).unwrap();
    let before = document.version_vector();
    document.text_insert(text, 1 << 19, "y").unwrap();
    let sent = document.changes_newer_than(&before);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].encoded_len() < 200, "{}", sent[0].encoded_len());
}

#[cfg(all(feature = "client", feature = "server"))]
mod through_a_server {
    use super::*;
    use syncline::document::{CustomError, CustomHandler, CustomOperation, CustomType};

    /// Adds its bodies up.
    struct Sum(u64);
    struct SumType;

    impl CustomType for SumType {
        fn new_state(&self) -> Box<dyn CustomHandler> {
            Box::new(Sum(0))
        }
        fn is_order_independent(&self) -> bool {
            true
        }
    }

    impl CustomHandler for Sum {
        fn apply(&mut self, operation: &CustomOperation<'_>) -> Result<(), CustomError> {
            self.0 += operation
                .body
                .iter()
                .map(|byte| u64::from(*byte))
                .sum::<u64>();
            Ok(())
        }
        fn load(&mut self, snapshot: &[u8]) -> Result<(), CustomError> {
            let bytes = snapshot.try_into();
            let bytes = bytes.map_err(|_| CustomError("not eight bytes".into()))?;
            self.0 = u64::from_be_bytes(bytes);
            Ok(())
        }
        fn save(&self) -> Result<Vec<u8>, CustomError> {
            Ok(self.0.to_be_bytes().to_vec())
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    fn sum_of(document: &mut Document) -> HandlerIdx {
        document
            .register_custom_type("Sum", std::sync::Arc::new(SumType))
            .unwrap();
        let spec = HandlerSpec {
            type_tag: "Sum".into(),
            ..HandlerSpec::new(HandlerKind::Custom)
        };
        document.handler("sum", &spec).unwrap()
    }

    /// More in `custom_handlers`; here through a server that knows nothing of the type.
    #[test]
    fn b11_handlers_of_the_application_travel_through_a_server() {
        use std::time::{Duration, Instant};
        use syncline::document::{DocumentOptions, SharedDocument};
        use syncline::net::{Client, ClientOptions, Server, ServerOptions};
        const LONG: Duration = Duration::from_secs(30);
        let server = Server::new(ServerOptions::default(), None);
        let address = server.start().unwrap();
        let open = || {
            let options = DocumentOptions {
                document_id: "room".into(),
                ..Default::default()
            };
            let document = SharedDocument::new(Document::new(options), LONG);
            let sum = document.with(sum_of).unwrap();
            let client = Client::new(ClientOptions::new(format!("ws://{address}/"))).unwrap();
            client.attach(document.clone()).unwrap();
            client.connect().unwrap();
            client.wait_connected(LONG).unwrap();
            (client, document, sum)
        };
        let (writer, own, sum) = open();
        let (_reader, other, copy) = open();
        own.with(|own| {
            own.custom_submit(sum, 9, &[1, 2]).unwrap();
            own.custom_submit(sum, 200, &[3]).unwrap();
        })
        .unwrap();
        writer.wait_acknowledged(LONG).unwrap();
        let deadline = Instant::now() + LONG;
        let value = || {
            let read = |other: &Document| {
                let state = other.custom_state(copy).unwrap();
                state.as_any().downcast_ref::<Sum>().unwrap().0
            };
            other.read(read).unwrap()
        };
        while value() != 6 {
            assert!(Instant::now() < deadline, "{}", value());
            std::thread::sleep(Duration::from_millis(2));
        }
        let changes = |document: &SharedDocument| document.read(|d| d.all_changes()).unwrap();
        assert_eq!(changes(&other), changes(&own));
        assert_eq!(
            changes(&server.document("room", false).unwrap()),
            changes(&own)
        );
    }
}

/// Positions are not transformed: the later one in replay order acts on what is there.
#[test]
fn b13_text_and_list_by_position_follow_the_clock_only() {
    let mut documents = pair(HandlerKind::Text, |document, text| {
        document.text_insert(text, 0, "0123").unwrap();
    });
    let [(a, ta), (b, tb)] = &mut documents;
    a.tick().unwrap();
    a.text_insert(*ta, 4, "A").unwrap();
    b.text_insert(*tb, 0, "BB").unwrap();
    assert_eq!(agreed(&mut documents), "\"BB01A23\"");
    let mut documents = pair(HandlerKind::List, |document, list| {
        document
            .list_insert(list, 0, &[0.into(), 1.into()])
            .unwrap();
    });
    let [(a, la), (b, lb)] = &mut documents;
    a.list_insert(*la, 2, &[7.into()]).unwrap();
    b.list_remove(*lb, 0, 1).unwrap();
    assert_eq!(agreed(&mut documents), "[1,7]");
}

/// Myers' difference: what stays is not touched.
#[test]
fn b30_text_changes_to_a_new_text() {
    let mut document = document(1);
    let text = any(&mut document, HandlerKind::Text, "t");
    document.text_insert(text, 0, "the quick fox").unwrap();
    let start = document.log_position();
    let new: Vec<u16> = "the slow fox!".encode_utf16().collect();
    document.text_set(text, &new).unwrap();
    assert_eq!(document.text_string(text), "the slow fox!");
    let made = document.changes_since(start).unwrap();
    let kinds: Vec<u8> = made.iter().map(|c| c.envelope().unwrap().kind).collect();
    assert!(
        kinds.contains(&0) && kinds.contains(&1) && kinds.len() >= 3,
        "{kinds:?}"
    );
    let [(a, _), (b, _)] = [(&mut document, 0), (&mut documents::document(2), 0)];
    any(b, HandlerKind::Text, "t");
    pull(b, a);
    assert_eq!(shown(b, "t"), "\"the slow fox!\"");
}

/// What others typed meanwhile stays.
#[test]
fn b31_fugue_text_changes_to_a_new_text() {
    let mut documents = pair(HandlerKind::FugueText, |document, text| {
        document.text_insert(text, 0, "the quick fox").unwrap();
    });
    let [(a, ta), (b, tb)] = &mut documents;
    let new: Vec<u16> = "the slow fox".encode_utf16().collect();
    a.text_set(*ta, &new).unwrap();
    b.text_insert(*tb, 13, " jumps").unwrap();
    assert_eq!(agreed(&mut documents), "\"the slow fox jumps\"");
}

fn concurrent_updates(kind: HandlerKind) -> String {
    let mut documents = pair(kind, |document, list| {
        let values = ["a", "b", "c"].map(Value::from);
        document.list_insert(list, 0, &values).unwrap();
    });
    let [(a, la), (b, lb)] = &mut documents;
    a.list_update(*la, 1, &"X".into()).unwrap();
    // Later by the clock.
    b.tick().unwrap();
    b.list_update(*lb, 1, &"Y".into()).unwrap();
    agreed(&mut documents)
}

#[test]
fn b32_one_of_two_updates_of_a_list_element_wins() {
    assert_eq!(concurrent_updates(HandlerKind::List), r#"["a","Y","c"]"#);
}

#[test]
fn b33_both_updates_of_a_fugue_list_element_stay() {
    let both = concurrent_updates(HandlerKind::FugueList);
    assert!(
        [r#"["a","X","Y","c"]"#, r#"["a","Y","X","c"]"#].contains(&both.as_str()),
        "{both}"
    );
}

#[test]
fn b34_moved_elements_keep_their_identity() {
    let values: Vec<Value> = (0..4).map(Value::Int).collect();
    let mut documents = pair(HandlerKind::MovableList, |document, list| {
        document.list_insert(list, 0, &values).unwrap();
    });
    let [(a, la), (b, lb)] = &mut documents;
    a.list_move(*la, 0, 3).unwrap();
    b.list_move(*lb, 0, 1).unwrap();
    let both = agreed(&mut documents);
    assert_eq!(both.matches('0').count(), 1, "{both}");
    let [(a, la), (b, lb)] = &mut documents;
    let at = a
        .list_values(*la)
        .iter()
        .position(|v| *v == Value::Int(2))
        .unwrap() as u64;
    a.list_move(*la, at, 0).unwrap();
    b.list_update(*lb, at, &"new".into()).unwrap();
    assert!(agreed(&mut documents).starts_with(r#"["new","#));
    assert_eq!(
        concurrent_updates(HandlerKind::MovableList),
        r#"["a","Y","c"]"#
    );
}

#[test]
fn b35_the_later_write_of_a_key_wins() {
    let mut documents = pair(HandlerKind::Map, |document, map| {
        document.map_set(map, "k", &0.into()).unwrap();
    });
    let [(a, ma), (b, mb)] = &mut documents;
    // Later by the clock, not by arrival.
    b.tick().unwrap();
    b.map_set(*mb, "k", &2.into()).unwrap();
    a.map_set(*ma, "k", &1.into()).unwrap();
    assert_eq!(agreed(&mut documents), r#"{"k":2}"#);
    // Equal clocks: the larger peer id, as in Dart.
    let [(mut a, ma), (mut b, mb)] = [document(1), document(2)].map(|mut document| {
        let map = any(&mut document, HandlerKind::Map, "h");
        (document, map)
    });
    b.map_set(mb, "k", &2.into()).unwrap();
    a.map_set(ma, "k", &1.into()).unwrap();
    assert_eq!(a.clock(), b.clock());
    assert_eq!(agreed(&mut [(a, ma), (b, mb)]), r#"{"k":2}"#);
}

#[test]
fn b36_the_later_set_of_a_register_wins() {
    for value in [Value::Bool(true), Value::Int(7), "text".into()] {
        let mut documents = pair(HandlerKind::Register, |document, register| {
            assert_eq!(document.register_get(register), None);
            document.register_set(register, &"first".into()).unwrap();
        });
        let [(a, ra), (b, rb)] = &mut documents;
        a.register_set(*ra, &"lost".into()).unwrap();
        b.tick().unwrap();
        b.register_set(*rb, &value).unwrap();
        assert_eq!(agreed(&mut documents), json_of(&value));
    }
}

#[test]
fn b37_an_addition_wins_over_a_concurrent_removal() {
    let mut documents = pair(HandlerKind::OrSet, |document, set| {
        document.set_add(set, &"x".into()).unwrap();
    });
    let [(a, sa), (b, sb)] = &mut documents;
    a.set_remove(*sa, &"x".into()).unwrap();
    b.set_add(*sb, &"x".into()).unwrap();
    assert_eq!(agreed(&mut documents), r#"["x"]"#);
    let [(a, sa), _] = &mut documents;
    a.set_remove(*sa, &"x".into()).unwrap();
    assert_eq!(agreed(&mut documents), "[]");
}

#[test]
fn b38_a_put_wins_over_a_concurrent_removal() {
    let mut documents = pair(HandlerKind::OrMap, |document, map| {
        document.map_set(map, "k", &1.into()).unwrap();
    });
    let [(a, ma), (b, mb)] = &mut documents;
    a.map_remove(*ma, "k").unwrap();
    b.map_set(*mb, "k", &2.into()).unwrap();
    assert_eq!(agreed(&mut documents), r#"{"k":2}"#);
}

#[test]
fn b42_the_to_do_list_of_the_readme() {
    let mut document = Document::new(syncline::document::DocumentOptions {
        document_id: "todo-list-123".into(),
        ..Default::default()
    });
    let list = typed(&mut document, HandlerKind::List, "String", "todo-list");
    document
        .list_insert(list, 0, &["Buy groceries".into()])
        .unwrap();
    document.list_insert(list, 1, &["Buy milk".into()]).unwrap();
    document.list_remove(list, 0, 1).unwrap();
    assert_eq!(shown(&document, "todo-list"), r#"["Buy milk"]"#);
}

fn bytes_list(document: &mut Document) -> HandlerIdx {
    let spec = HandlerSpec {
        codec: ValueCodec::Bytes,
        type_tag: "CRDTListHandler<Item>".into(),
        ..HandlerSpec::new(HandlerKind::List)
    };
    document.handler("l", &spec).unwrap()
}

/// A four-byte count and a name, as an application's codec may write them.
#[test]
fn b44_values_may_have_any_bytes() {
    let item = |count: u32, name: &str| {
        let mut bytes = count.to_be_bytes().to_vec();
        bytes.extend_from_slice(name.as_bytes());
        bytes
    };
    let (mut a, mut b) = (document(1), document(2));
    let (la, lb) = (bytes_list(&mut a), bytes_list(&mut b));
    let value = Value::Bytes(item(300, "milk"));
    a.list_insert(la, 0, std::slice::from_ref(&value)).unwrap();
    assert!(a.list_insert(la, 0, &["text".into()]).is_err());
    let change = a.all_changes().remove(0);
    let body = [&[0, 8][..], &[0, 0, 1, 44], b"milk"].concat();
    assert_eq!(change.envelope().unwrap().body, body);
    pull(&mut b, &a);
    assert_eq!(b.list_values(lb), [value]);
}

#[test]
fn b45_values_are_taken_when_the_edit_is_made() {
    let mut own = document(1);
    let list = bytes_list(&mut own);
    let mut buffer = Value::Bytes(vec![1]);
    own.begin(b"").unwrap();
    own.list_insert(list, 0, std::slice::from_ref(&buffer))
        .unwrap();
    buffer = match &buffer {
        Value::Bytes(_) => Value::Bytes(vec![9]),
        _ => unreachable!(),
    };
    own.commit().unwrap();
    assert_eq!(own.list_values(list), [Value::Bytes(vec![1])]);
    own.list_update(list, 0, &buffer).unwrap();
    assert_eq!(own.list_values(list), [buffer]);
}

#[test]
fn b46_the_default_form_is_darts_json() {
    let mut document = document(1);
    let list = typed(&mut document, HandlerKind::List, "dynamic", "l");
    let object = Value::Object(vec![
        ("z".into(), Value::Int(1)),
        ("a".into(), Value::Array(vec![Value::Null, 1.0.into()])),
    ]);
    let values = [
        (Value::Null, "null"),
        (true.into(), "true"),
        (1.into(), "1"),
        (1.0.into(), "1.0"),
        (1e21.into(), "1e+21"),
        ("\"\\/\u{7f}\n\u{1}".into(), "\"\\\"\\\\/\u{7f}\\n\\u0001\""),
        (object, r#"{"z":1,"a":[null,1.0]}"#),
    ];
    for (value, text) in values {
        let start = document.log_position();
        document
            .list_insert(list, 0, std::slice::from_ref(&value))
            .unwrap();
        let made = document.changes_since(start).unwrap();
        let Envelope { body, .. } = made[0].envelope().unwrap();
        assert_eq!(&body[2..], text.as_bytes());
        assert_eq!(document.list_get(list, 0), Some(value));
    }
}

/// All of them byte for byte in `vectors_document`.
#[test]
fn b47_snapshots_hold_the_bytes_of_the_codec() {
    let mut document = document(1);
    let list = bytes_list(&mut document);
    let value = Value::Bytes(vec![0xff, 0]);
    document.list_insert(list, 0, &[value]).unwrap();
    let numbers = typed(&mut document, HandlerKind::List, "num", "n");
    document.list_insert(numbers, 0, &[1.0.into()]).unwrap();
    let snapshot = document.take_snapshot(true).unwrap();
    assert_eq!(snapshot.entry("l"), Some(&[1, 2, 0xff, 0][..]));
    assert_eq!(snapshot.entry("n"), Some(&b"\x01\x031.0"[..]));
}

#[test]
fn b48_lists_of_plain_objects() {
    let mut document = document(1);
    let list = typed(
        &mut document,
        HandlerKind::List,
        "Map<String, dynamic>",
        "l",
    );
    let item = |name: &str| {
        Value::Object(vec![
            ("name".into(), name.into()),
            ("count".into(), 1.into()),
        ])
    };
    document
        .list_insert(list, 0, &[item("item1"), item("item2")])
        .unwrap();
    let Some(Value::Object(members)) = &document.list_get(list, 1) else {
        panic!("not an object");
    };
    assert_eq!(members[0], ("name".into(), "item2".into()));
}
