//! What trees of handlers promise, row by row (B5, B49 to B71): each test is named after its row.
//! How they behave at the edges is in `nested`; the recorded cases are in `vectors_document`.

mod documents;

use documents::{document, exchange, handler, ids, pull, resolved, shown, typed, typed_spec};
use syncline::codec::{HandlerRef, Snapshot, Value};
use syncline::document::{
    Document, HandlerIdx, HandlerKind, HandlerSpec, PathStep, new_handler_id,
};
use syncline::replica::Replica;

fn map_ref(document: &mut Document, id: &str) -> HandlerIdx {
    handler(document, HandlerKind::MapRef, id)
}

fn text(document: &mut Document, id: &str, content: &str) -> HandlerIdx {
    let text = handler(document, HandlerKind::FugueText, id);
    document.text_insert(text, 0, content).unwrap();
    text
}

/// chapters -> chapter -> title "Intro".
fn book() -> (Document, HandlerIdx) {
    let mut document = document(1);
    let root = map_ref(&mut document, "root");
    let chapters = handler(&mut document, HandlerKind::ListRef, "chapters");
    let chapter = map_ref(&mut document, "chapter");
    let title = text(&mut document, "title", "Intro");
    document.set_ref(root, "chapters", chapters).unwrap();
    document.insert_ref(chapters, 0, chapter).unwrap();
    document.set_ref(chapter, "title", title).unwrap();
    (document, root)
}

/// One that makes the default types by itself.
fn reader(number: u8) -> Document {
    let mut document = document(number);
    document.register_default_types();
    document
}

fn root_of(document: &Document) -> HandlerIdx {
    document.find_handler("root").unwrap()
}

#[test]
fn b05_structures_nest_fifty_levels_deep() {
    const LEVELS: usize = 50;
    let kinds = [
        HandlerKind::MapRef,
        HandlerKind::ListRef,
        HandlerKind::MovableListRef,
    ];
    let mut document = document(1);
    let root = handler(&mut document, kinds[0], "c0");
    let mut parent = root;
    let mut expected = String::from("\"leaf\"");
    for level in 1..=LEVELS {
        let child = match level {
            LEVELS => text(&mut document, "leaf", "leaf"),
            _ => handler(&mut document, kinds[level % 3], &format!("c{level}")),
        };
        match document.handler_kind(parent) {
            HandlerKind::MapRef => document.set_ref(parent, "k", child).unwrap(),
            _ => document.insert_ref(parent, 0, child).unwrap(),
        }
        parent = child;
    }
    for level in (0..LEVELS).rev() {
        expected = match level % 3 {
            0 => format!("{{\"k\":{expected}}}"),
            _ => format!("[{expected}]"),
        };
    }
    assert_eq!(resolved(&mut document, root), expected);
    let mut copy = reader(2);
    pull(&mut copy, &document);
    let root = copy.find_handler("c0").unwrap();
    assert_eq!(resolved(&mut copy, root), expected);
    let leaf = copy.find_handler("leaf").unwrap();
    assert_eq!(copy.path_to(root, leaf).map(|way| way.len()), Some(LEVELS));
}

#[test]
fn b49_map_containers_hold_references() {
    let mut document = document(1);
    let root = map_ref(&mut document, "root");
    let (a, b) = (text(&mut document, "a", "A"), text(&mut document, "b", "B"));
    document.set_ref(root, "k", a).unwrap();
    assert_eq!(document.get_ref(root, "k"), Some(document.reference_to(a)));
    document.set_ref(root, "k", b).unwrap();
    assert_eq!(resolved(&mut document, root), r#"{"k":"B"}"#);
    document.map_remove(root, "k").unwrap();
    assert_eq!(document.get_ref(root, "k"), None);
    assert_eq!(resolved(&mut document, root), "{}");
    // The child is still there: containers refer, they do not own.
    assert_eq!(document.text_string(b), "B");
}

#[test]
fn b50_list_containers_hold_references() {
    let mut document = document(1);
    let list = handler(&mut document, HandlerKind::ListRef, "l");
    let (a, b) = (text(&mut document, "a", "A"), text(&mut document, "b", "B"));
    document.insert_ref(list, 0, a).unwrap();
    document.insert_ref(list, 0, b).unwrap();
    assert_eq!(document.get_ref_at(list, 1), Some(document.reference_to(a)));
    document.list_remove(list, 0, 1).unwrap();
    assert_eq!(resolved(&mut document, list), r#"["A"]"#);
    assert_eq!(document.get_ref_at(list, 1), None);
}

#[test]
fn b51_movable_list_containers_move_references() {
    let (mut a, mut b) = (document(1), reader(2));
    let list = handler(&mut a, HandlerKind::MovableListRef, "l");
    for id in ["x", "y", "z"] {
        let child = text(&mut a, id, id);
        a.insert_ref(list, a.list_len(list), child).unwrap();
    }
    exchange(&mut a, &mut b);
    let copy = b.find_handler("l").unwrap();
    a.list_move(list, 0, 2).unwrap();
    b.list_move(copy, 0, 1).unwrap();
    exchange(&mut a, &mut b);
    let both = resolved(&mut a, list);
    assert_eq!(both, resolved(&mut b, copy));
    assert_eq!(both.matches('x').count(), 1, "{both}");
}

/// Specification 9.15.
#[test]
fn b52_a_reference_is_the_id_and_type_of_the_child() {
    let mut document = document(1);
    let root = map_ref(&mut document, "root");
    let reference = HandlerRef {
        type_tag: "T".into(),
        id: "c".into(),
    };
    document
        .map_set(root, "k", &Value::Reference(reference))
        .unwrap();
    let change = document.all_changes().remove(0);
    assert_eq!(change.envelope().unwrap().body, b"\x01k\x03\x01Tc");
    assert_eq!(
        document.handler_snapshot_state(root),
        b"\x01\x01k\x03\x01Tc"
    );
}

#[test]
fn b53_the_value_of_a_container_is_its_references() {
    let (document, root) = book();
    let chapters = HandlerRef {
        type_tag: "CRDTListRefHandler".into(),
        id: "chapters".into(),
    };
    let expected = Value::Object(vec![(
        "chapters".into(),
        Value::Reference(chapters.clone()),
    )]);
    assert_eq!(document.handler_value(root), expected);
    assert_eq!(
        document.child_refs(root),
        [(PathStep::Key("chapters".into()), chapters)]
    );
}

/// The depth of ten thousand is in `nested`.
#[test]
fn b54_resolved_trees_end_in_circles() {
    let mut document = document(1);
    let (a, b) = (map_ref(&mut document, "a"), map_ref(&mut document, "b"));
    document.set_ref(a, "b", b).unwrap();
    document.set_ref(b, "a", a).unwrap();
    assert_eq!(resolved(&mut document, a), r#"{"b":{"a":{"b":null}}}"#);
}

#[test]
fn b55_children_are_resolved_when_they_are_read() {
    let mut author = document(1);
    let root = map_ref(&mut author, "root");
    author.begin(b"").unwrap();
    for n in 0..10_000 {
        let id = format!("t{n}");
        let child = text(&mut author, &id, "x");
        author.set_ref(root, &id, child).unwrap();
    }
    author.commit().unwrap();
    let snapshot = author.take_snapshot(true).unwrap().clone();
    let mut lazy = reader(2);
    lazy.import_snapshot(&snapshot, true).unwrap();
    let root = map_ref(&mut lazy, "root");
    let reference = lazy.get_ref(root, "t4321").unwrap();
    let child = lazy.resolve(&reference).unwrap();
    assert_eq!(lazy.text_string(child), "x");
    assert_eq!(ids(&lazy), ["root", "t4321"]);
}

#[test]
fn b56_the_book_of_the_readme() {
    let (mut document, root) = book();
    assert_eq!(
        resolved(&mut document, root),
        r#"{"chapters":[{"title":"Intro"}]}"#
    );
}

/// Created, registered, attached, recorded as a change, resolved when read: a circle gives null, a
/// container its content, a leaf its value.
#[test]
fn b57_the_life_of_a_child() {
    let mut document = document(1);
    let root = map_ref(&mut document, "root");
    let child = map_ref(&mut document, "child");
    assert_eq!(document.change_count(), 0);
    assert_eq!(document.roots(), [root, child]);
    document.set_ref(root, "child", child).unwrap();
    assert_eq!((document.change_count(), document.roots()), (1, vec![root]));
    assert_eq!(resolved(&mut document, root), r#"{"child":{}}"#);
    let leaf = text(&mut document, "leaf", "value");
    document.set_ref(child, "leaf", leaf).unwrap();
    document.set_ref(child, "up", child).unwrap();
    assert_eq!(
        resolved(&mut document, root),
        r#"{"child":{"leaf":"value","up":null}}"#
    );
}

#[test]
fn b58_edits_at_any_depth_merge() {
    let (mut a, root) = book();
    let mut b = reader(2);
    pull(&mut b, &a);
    let chapters = a.find_handler("chapters").unwrap();
    let second = map_ref(&mut a, "second");
    a.insert_ref(chapters, 1, second).unwrap();
    let title = b.find_handler("title").unwrap();
    b.text_insert(title, 5, "duction").unwrap();
    exchange(&mut a, &mut b);
    let expected = r#"{"chapters":[{"title":"Introduction"},{}]}"#;
    assert_eq!(resolved(&mut a, root), expected);
    let root = root_of(&b);
    assert_eq!(resolved(&mut b, root), expected);
}

#[test]
fn b59_a_child_in_two_places_is_one_child() {
    let mut document = document(1);
    let (a, b) = (map_ref(&mut document, "a"), map_ref(&mut document, "b"));
    let shared = text(&mut document, "shared", "x");
    document.set_ref(a, "k", shared).unwrap();
    document.set_ref(b, "k", shared).unwrap();
    document.text_insert(shared, 1, "y").unwrap();
    assert_eq!(resolved(&mut document, a), r#"{"k":"xy"}"#);
    assert_eq!(resolved(&mut document, b), r#"{"k":"xy"}"#);
}

#[test]
fn b60_registered_types_are_made_on_import() {
    let mut author = document(1);
    let spec = HandlerSpec {
        type_tag: "minified:aB".into(),
        ..HandlerSpec::new(HandlerKind::Map)
    };
    let map = author.handler("m", &spec).unwrap();
    author.map_set(map, "k", &1.into()).unwrap();
    let mut copy = document(2);
    copy.register_type(&spec).unwrap();
    pull(&mut copy, &author);
    assert_eq!(shown(&copy, "m"), r#"{"k":1}"#);
}

#[test]
fn b61_the_default_types_are_five() {
    let mut author = document(1);
    for kind in HandlerKind::ALL {
        let made = handler(&mut author, kind, kind.base_tag());
        match kind {
            HandlerKind::Text | HandlerKind::FugueText => {
                author.text_insert(made, 0, "x").unwrap();
            }
            HandlerKind::List | HandlerKind::FugueList | HandlerKind::MovableList => {
                author.list_push(made, &[1.into()]).unwrap();
            }
            HandlerKind::Map | HandlerKind::OrMap => author.map_set(made, "k", &1.into()).unwrap(),
            HandlerKind::Register => author.register_set(made, &1.into()).unwrap(),
            HandlerKind::OrSet => author.set_add(made, &1.into()).unwrap(),
            HandlerKind::MapRef => author.set_ref(made, "k", made).unwrap(),
            HandlerKind::ListRef | HandlerKind::MovableListRef => {
                author.insert_ref(made, 0, made).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    let mut copy = reader(2);
    pull(&mut copy, &author);
    assert_eq!(copy.change_count(), 12);
    let mut made = ids(&copy);
    made.sort_unstable();
    assert_eq!(
        made,
        [
            "CRDTFugueTextHandler",
            "CRDTListRefHandler",
            "CRDTMapRefHandler",
            "CRDTMovableListRefHandler",
            "CRDTTextHandler",
        ]
    );
}

/// A million of them; peers use the one in the reference.
#[test]
fn b62_new_ids_never_repeat() {
    let mut ids: Vec<String> = (0..1_000_000).map(|_| new_handler_id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1_000_000);
    let mut author = document(1);
    let root = map_ref(&mut author, "root");
    let child = map_ref(&mut author, &ids[0]);
    author.set_ref(root, "k", child).unwrap();
    let mut copy = reader(2);
    pull(&mut copy, &author);
    let reference = copy.get_ref(root_of(&copy), "k").unwrap();
    assert_eq!(reference.id, ids[0]);
}

#[test]
fn b63_references_resolve_to_registered_or_new_handlers() {
    let mut document = document(1);
    let reference = |type_tag: &str, id: &str| HandlerRef {
        type_tag: type_tag.into(),
        id: id.into(),
    };
    let known = text(&mut document, "t", "x");
    assert_eq!(document.resolve(&reference("whatever", "t")), Some(known));
    let number = reference("CRDTRegisterHandler<num>", "r");
    assert_eq!(document.resolve(&number), None);
    document
        .register_type(&typed_spec(HandlerKind::Register, "num"))
        .unwrap();
    let made = document.resolve(&number).unwrap();
    assert_eq!(document.handler_type(made), "CRDTRegisterHandler<num>");
    assert_eq!(document.resolve(&number), Some(made));
}

#[test]
fn b64_imports_make_the_tree() {
    let (mut author, root) = book();
    let mut copy = reader(2);
    pull(&mut copy, &author);
    let copied = copy.find_handler("root").unwrap();
    assert_eq!(resolved(&mut copy, copied), resolved(&mut author, root));
    let mut without = document(3);
    pull(&mut without, &author);
    assert!(ids(&without).is_empty());
}

#[test]
fn b65_roots_are_what_nothing_refers_to() {
    let (document, root) = book();
    assert_eq!(document.roots(), [root]);
}

#[test]
fn b66_a_pruned_snapshot_is_enough() {
    let (mut author, root) = book();
    let bytes = author.take_snapshot(true).unwrap().encode();
    let mut copy = reader(2);
    copy.import_snapshot(&Snapshot::decode(&bytes).unwrap(), true)
        .unwrap();
    assert!(ids(&copy).is_empty());
    copy.reconstruct();
    let copied = root_of(&copy);
    assert_eq!(resolved(&mut copy, copied), resolved(&mut author, root));
    assert_eq!(copy.change_count(), 0);
}

#[test]
fn b67_type_tags_name_their_arguments() {
    let mut author = document(1);
    let arguments = [
        "String",
        "int",
        "num",
        "bool",
        "double",
        "dynamic",
        "Map<String, dynamic>",
    ];
    for arguments in arguments {
        let map = typed(&mut author, HandlerKind::Map, arguments, arguments);
        author.map_set(map, "k", &Value::Null).unwrap();
        let change = author.all_changes().pop().unwrap();
        let tag = change.envelope().unwrap().handler_type.to_owned();
        assert_eq!(tag, format!("CRDTMapHandler<{arguments}>"));
        assert_eq!(HandlerKind::of_tag(&tag), Some(HandlerKind::Map));
        // One argument does not make the other.
        let mut copy = document(2);
        copy.register_type(&typed_spec(HandlerKind::Map, "Object?"))
            .unwrap();
        pull(&mut copy, &author);
        assert!(ids(&copy).is_empty());
    }
    let kind = HandlerKind::OrMap;
    assert_eq!(kind.default_tag(), "CRDTORMapHandler<dynamic, dynamic>");
}

/// Model A of the guide: a list of plain objects, whose update replaces the whole item.
#[test]
fn b70_coarse_items_keep_both_updates() {
    let item = |text: &str, done: bool| {
        Value::Object(vec![
            ("text".into(), text.into()),
            ("done".into(), done.into()),
        ])
    };
    let (mut a, mut b) = (document(1), document(2));
    let arguments = "Map<String, dynamic>";
    let la = typed(&mut a, HandlerKind::FugueList, arguments, "todos");
    let lb = typed(&mut b, HandlerKind::FugueList, arguments, "todos");
    a.list_push(la, &[item("Buy milk", false)]).unwrap();
    exchange(&mut a, &mut b);
    a.list_update(la, 0, &item("Buy milk", true)).unwrap();
    b.list_update(lb, 0, &item("Buy oat milk", false)).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(a.list_values(la), b.list_values(lb));
    assert_eq!(a.list_len(la), 2);
}

/// Model B: each item a container of its own, whose parts merge.
#[test]
fn b71_fine_items_merge_their_parts() {
    let register = typed_spec(HandlerKind::Register, "bool");
    let (mut a, mut b) = (document(1), reader(2));
    b.register_type(&register).unwrap();
    let todos = handler(&mut a, HandlerKind::MovableListRef, "todos");
    let item = map_ref(&mut a, "item");
    let label = text(&mut a, "label", "Buy milk");
    let done = a.handler("done", &register).unwrap();
    a.insert_ref(todos, 0, item).unwrap();
    a.set_ref(item, "text", label).unwrap();
    a.set_ref(item, "done", done).unwrap();
    a.register_set(done, &false.into()).unwrap();
    exchange(&mut a, &mut b);
    a.register_set(done, &true.into()).unwrap();
    let copy = b.find_handler("label").unwrap();
    b.text_insert(copy, 4, "oat ").unwrap();
    exchange(&mut a, &mut b);
    let expected = r#"[{"text":"Buy oat milk","done":true}]"#;
    assert_eq!(resolved(&mut a, todos), expected);
    let copied = b.find_handler("todos").unwrap();
    assert_eq!(resolved(&mut b, copied), expected);
}
