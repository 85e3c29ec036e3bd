//! Maps of every kind through the interface of the document.

use syncline::codec::{HandlerRef, Value};
use syncline::document::{
    Document, DocumentError, DocumentOptions, HandlerDelta, HandlerIdx, HandlerKind, HandlerSpec,
    MapOp, Origin, ValueCodec,
};
use syncline::replica::Replica as _;

fn document(kind: HandlerKind) -> (Document, HandlerIdx) {
    let mut document = Document::new(DocumentOptions::default());
    let map = document.handler("map", &HandlerSpec::new(kind)).unwrap();
    (document, map)
}

fn send(from: &Document, to: &mut Document) {
    let changes = from.changes_newer_than(&to.version_vector());
    to.import_changes(changes, &[], Origin::Remote).unwrap();
}

#[test]
fn a_put_wins_over_a_concurrent_removal_of_an_observed_remove_map() {
    for kind in [HandlerKind::OrMap, HandlerKind::Map] {
        let ((mut a, map), (mut b, _)) = (document(kind), document(kind));
        a.map_set(map, "k", &1.into()).unwrap();
        send(&a, &mut b);
        a.map_set(map, "k", &2.into()).unwrap();
        send(&a, &mut b);
        // The removal is the younger change, the put the one that it did not see.
        a.map_set(map, "k", &3.into()).unwrap();
        b.tick().unwrap();
        b.tick().unwrap();
        b.tick().unwrap();
        b.map_remove(map, "k").unwrap();
        send(&a, &mut b);
        send(&b, &mut a);
        let expected = match kind {
            HandlerKind::OrMap => Some(Value::Int(3)),
            _ => None,
        };
        for document in [&a, &b] {
            assert_eq!(document.map_get(map, "k"), expected, "{kind:?}");
            assert_eq!(document.map_len(map), u64::from(expected.is_some()));
        }
    }
}

#[test]
fn keys_of_an_observed_remove_map_are_any_value() {
    let (mut document, map) = document(HandlerKind::OrMap);
    document.observe(map, true);
    document.set_recording(true);
    let keys = [Value::Int(1), Value::Null, Value::Bool(true), "1".into()];
    for (number, key) in keys.iter().enumerate() {
        let value = Value::Int(number as i64);
        document.map_set_any(map, key, &value).unwrap();
        assert_eq!(document.map_get_any(map, key), Some(value));
    }
    // Equal numbers are one key, as it was first written.
    let one = Value::Double(1.0);
    document.map_set_any(map, &one, &9.into()).unwrap();
    assert_eq!(document.map_len(map), 4);
    assert_eq!(document.map_get(map, "1"), Some(3.into()));
    assert_eq!(
        document.map_entries_any(map)[0],
        (Value::Int(1), Value::Int(9))
    );
    // As text the keys 1 and "1" are one, and the first shows.
    let texts: Vec<String> = document
        .map_entries(map)
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(texts, ["1", "null", "true"]);
    document.map_remove_any(map, &Value::Null).unwrap();
    assert_eq!(document.map_get_any(map, &Value::Null), None);
    // A list equals nothing: it can be put but not found.
    let list = Value::Array(vec![]);
    document.map_set_any(map, &list, &1.into()).unwrap();
    assert_eq!(document.map_get_any(map, &list), None);
    assert_eq!(document.map_len(map), 4);

    let events: Vec<MapOp> = document
        .take_commits()
        .into_iter()
        .flat_map(|commit| commit.deltas)
        .flat_map(|(_, delta)| match delta {
            HandlerDelta::Map(ops) => ops,
            other => panic!("{other:?}"),
        })
        .collect();
    let event = |key: &str, old: Option<i64>, new: Option<i64>| MapOp {
        key: key.to_owned(),
        old: old.map(Value::Int),
        new: new.map(Value::Int),
    };
    let expected = [
        event("1", None, Some(0)),
        event("null", None, Some(1)),
        event("true", None, Some(2)),
        event("1", None, Some(3)),
        event("1", Some(0), Some(9)),
        event("null", Some(1), None),
        event("[]", None, Some(1)),
    ];
    assert_eq!(events, expected);
}

#[test]
fn calls_that_a_kind_of_map_does_not_have_are_refused() {
    let (mut or_map, map) = document(HandlerKind::OrMap);
    assert_eq!(
        or_map.map_update(map, "k", &1.into()),
        Err(DocumentError::TypeMismatch)
    );
    let not_a_key = Value::Double(f64::NAN);
    let unsupported = Err(DocumentError::UnsupportedValue);
    assert_eq!(or_map.map_set_any(map, &not_a_key, &1.into()), unsupported);
    assert_eq!(or_map.map_remove_any(map, &not_a_key), unsupported);
    assert_eq!(or_map.map_set(map, "k", &not_a_key), unsupported);
    let (mut plain, map) = document(HandlerKind::Map);
    assert_eq!(plain.map_set_any(map, &1.into(), &1.into()), unsupported);
    assert_eq!(plain.map_get_any(map, &1.into()), None);
    plain.map_set_any(map, &"k".into(), &1.into()).unwrap();
    assert_eq!(plain.map_get_any(map, &"k".into()), Some(1.into()));
    assert_eq!(plain.change_count(), 1);
    assert!(or_map.is_empty());
    let unknown = Err(DocumentError::UnknownHandler);
    assert_eq!(plain.map_set(HandlerIdx(7), "k", &1.into()), unknown);
}

#[test]
fn a_map_of_references_holds_references_only() {
    let ((mut a, map), (mut b, _)) = (document(HandlerKind::MapRef), document(HandlerKind::MapRef));
    let child = Value::Reference(HandlerRef {
        type_tag: "CRDTFugueTextHandler".into(),
        id: "child".into(),
    });
    assert_eq!(
        a.map_set(map, "k", &"child".into()),
        Err(DocumentError::UnsupportedValue)
    );
    a.map_set(map, "k", &child).unwrap();
    a.map_update(map, "absent", &child).unwrap();
    send(&a, &mut b);
    for document in [&a, &b] {
        assert_eq!(document.map_entries(map), [("k".to_owned(), child.clone())]);
        document.check();
    }
    b.map_remove(map, "k").unwrap();
    send(&b, &mut a);
    assert!(a.map_entries(map).is_empty());
}

#[test]
fn values_of_the_applications_codec_pass_as_they_are() {
    let spec = HandlerSpec {
        codec: ValueCodec::Bytes,
        ..HandlerSpec::new(HandlerKind::OrMap)
    };
    let mut document = Document::new(DocumentOptions::default());
    let map = document.handler("map", &spec).unwrap();
    // Short and long, and no JSON.
    for len in [0, 1, 22, 23, 300] {
        let value = Value::Bytes(vec![0xff; len]);
        document.map_set(map, "k", &value).unwrap();
        assert_eq!(document.map_get(map, "k"), Some(value.clone()));
        document.replay_all();
        assert_eq!(document.map_get(map, "k"), Some(value));
    }
}
