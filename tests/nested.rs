//! Trees of handlers: references, types, what is made when, resolved values, ways to handlers.

mod documents;

use documents::{document, handler, ids, json_of, pull, resolved, typed, typed_spec};
use syncline::codec::{HandlerRef, Snapshot, Value, manifest};
use syncline::document::{
    Document, DocumentError, HandlerDelta, HandlerIdx, HandlerKind, HandlerSpec, NestedPath,
    PathStep, RESOLVED_VALUES_MAX, new_handler_id,
};
use syncline::replica::Replica;

fn key(key: &str) -> PathStep {
    PathStep::Key(key.into())
}

fn map_ref(document: &mut Document, id: &str) -> HandlerIdx {
    handler(document, HandlerKind::MapRef, id)
}

fn text(document: &mut Document, id: &str, content: &str) -> HandlerIdx {
    let text = handler(document, HandlerKind::FugueText, id);
    if !content.is_empty() {
        document.text_insert(text, 0, content).unwrap();
    }
    text
}

/// `root -> {a: {deep: {t: "leaf"}}, t: "leaf"}` with one text in two places.
fn shared_leaf() -> (Document, HandlerIdx) {
    let mut document = document(1);
    let root = map_ref(&mut document, "root");
    let a = map_ref(&mut document, "a");
    let deep = map_ref(&mut document, "deep");
    let leaf = text(&mut document, "leaf", "leaf");
    document.set_ref(root, "a", a).unwrap();
    document.set_ref(a, "deep", deep).unwrap();
    document.set_ref(deep, "t", leaf).unwrap();
    document.set_ref(root, "t", leaf).unwrap();
    (document, root)
}

#[test]
fn references_are_replaced_by_what_they_lead_to() {
    let (mut document, root) = shared_leaf();
    assert_eq!(
        resolved(&mut document, root),
        r#"{"a":{"deep":{"t":"leaf"}},"t":"leaf"}"#
    );
    let leaf = document.find_handler("leaf").unwrap();
    document.text_insert(leaf, 4, "!").unwrap();
    assert_eq!(
        resolved(&mut document, root),
        r#"{"a":{"deep":{"t":"leaf!"}},"t":"leaf!"}"#
    );
    assert_eq!(resolved(&mut document, leaf), r#""leaf!""#);
    assert_eq!(document.roots(), [root]);
    let reference = document.get_ref(root, "t").unwrap();
    assert_eq!(
        (reference.type_tag.as_str(), reference.id.as_str()),
        ("CRDTFugueTextHandler", "leaf")
    );
    assert_eq!(document.resolve(&reference), Some(leaf));
    assert_eq!(document.get_ref(root, "absent"), None);
    assert_eq!(document.get_ref(leaf, "t"), None);
    assert_eq!(
        document.set_ref(leaf, "t", root),
        Err(DocumentError::TypeMismatch)
    );
    let steps: Vec<PathStep> = document
        .child_refs(root)
        .into_iter()
        .map(|(step, _)| step)
        .collect();
    assert_eq!(steps, [key("a"), key("t")]);
    assert!(document.child_refs(leaf).is_empty());
}

#[test]
fn lists_of_references_lead_to_handlers_too() {
    for kind in [HandlerKind::ListRef, HandlerKind::MovableListRef] {
        let mut document = document(1);
        let list = handler(&mut document, kind, "list");
        let [a, b] = ["a", "b"].map(|id| text(&mut document, id, id));
        document.insert_ref(list, 0, b).unwrap();
        document.insert_ref(list, 0, a).unwrap();
        document.insert_ref(list, 2, list).unwrap();
        assert_eq!(resolved(&mut document, list), r#"["a","b",["a","b",null]]"#);
        let reference = document.get_ref_at(list, 1).unwrap();
        assert_eq!(document.resolve(&reference), Some(b));
        assert_eq!(document.get_ref_at(list, 3), None);
        assert_eq!(document.path_to(list, b), Some(vec![PathStep::Index(1)]));
        assert_eq!(
            document.insert_ref(list, 4, a),
            Err(DocumentError::OutOfRange {
                index: 4,
                length: 3
            })
        );
        assert_eq!(
            document.insert_ref(a, 0, b),
            Err(DocumentError::TypeMismatch)
        );
        assert_eq!(
            document.set_ref(list, "k", a),
            Err(DocumentError::TypeMismatch)
        );
        if kind == HandlerKind::MovableListRef {
            document.list_move(list, 0, 1).unwrap();
            assert_eq!(document.path_to(list, b), Some(vec![PathStep::Index(0)]));
        }
        document.check();
    }
}

#[test]
fn circles_end_where_they_would_begin_again() {
    let mut document = document(1);
    let root = map_ref(&mut document, "root");
    let t = text(&mut document, "t", "hi");
    document.set_ref(root, "self", root).unwrap();
    document.set_ref(root, "t", t).unwrap();
    // The container that is asked counts as outside.
    assert_eq!(
        resolved(&mut document, root),
        r#"{"self":{"self":null,"t":"hi"},"t":"hi"}"#
    );
    assert!(document.roots().is_empty());
    let other = map_ref(&mut document, "other");
    document.set_ref(root, "self", other).unwrap();
    document.set_ref(other, "back", root).unwrap();
    assert_eq!(
        resolved(&mut document, other),
        r#"{"back":{"self":{"back":null},"t":"hi"}}"#
    );
    assert_eq!(document.path_to(root, root), Some(vec![]));
}

#[test]
fn what_leads_nowhere_is_null() {
    let mut document = document(1);
    let root = map_ref(&mut document, "root");
    let nowhere = Value::Reference(HandlerRef {
        type_tag: "CRDTMapHandler<num>".into(),
        id: "m".into(),
    });
    document.map_set(root, "m", &nowhere).unwrap();
    assert_eq!(resolved(&mut document, root), r#"{"m":null}"#);
    assert_eq!(ids(&document), ["root"]);
    document
        .register_type(&typed_spec(HandlerKind::Map, "num"))
        .unwrap();
    assert_eq!(resolved(&mut document, root), r#"{"m":{}}"#);
    assert_eq!(ids(&document), ["root", "m"]);
    // The id decides, whatever type the reference names.
    let other = HandlerRef {
        type_tag: "CRDTMapHandler<String>".into(),
        id: "m".into(),
    };
    assert_eq!(document.resolve(&other), document.find_handler("m"));
}

#[test]
fn imports_make_handlers_of_registered_types_only() {
    let mut author = document(1);
    let root = map_ref(&mut author, "root");
    let numbers = typed(&mut author, HandlerKind::Map, "num", "numbers");
    author.map_set(numbers, "k", &1.5.into()).unwrap();
    author.set_ref(root, "numbers", numbers).unwrap();

    let mut without = document(2);
    pull(&mut without, &author);
    assert_eq!(without.handlers().count(), 0);

    let mut reader = document(3);
    reader.register_default_types();
    reader.set_recording(true);
    reader.observe_all(true);
    pull(&mut reader, &author);
    assert_eq!(ids(&reader), ["root"]);
    let root = reader.find_handler("root").unwrap();
    // It appears in the commit that made it.
    let commit = &reader.take_commits()[0];
    let [(appeared, HandlerDelta::Map(entries))] = commit.deltas.as_slice() else {
        panic!("{:?}", commit.deltas);
    };
    assert_eq!((*appeared, entries[0].key.as_str()), (root, "numbers"));
    assert_eq!(reader.handler_revision(root), 1);
    assert_eq!(resolved(&mut reader, root), r#"{"numbers":null}"#);
    reader
        .register_type(&typed_spec(HandlerKind::Map, "num"))
        .unwrap();
    reader.reconstruct();
    assert_eq!(ids(&reader), ["root", "numbers"]);
    assert_eq!(resolved(&mut reader, root), r#"{"numbers":{"k":1.5}}"#);
    reader.check();

    // A single change, too; an undecodable envelope is passed over.
    let mut single = document(4);
    single
        .register_type(&typed_spec(HandlerKind::Map, "num"))
        .unwrap();
    for change in author.all_changes() {
        assert!(single.apply_change(&change, &[]).unwrap());
    }
    assert_eq!(ids(&single), ["numbers"]);
    assert_eq!(documents::shown(&single, "numbers"), r#"{"k":1.5}"#);
}

#[test]
fn a_pruned_snapshot_alone_brings_the_whole_tree() {
    let (mut author, _) = shared_leaf();
    let snapshot = author.take_snapshot(true).unwrap().clone();
    let entries = snapshot.entries();
    assert_eq!(entries.last().unwrap().0, manifest::KEY);
    let listed = manifest::decode(&entries.last().unwrap().1).unwrap();
    assert_eq!(listed[0], ("root".into(), "CRDTMapRefHandler".into()));
    assert_eq!(listed.len(), 4);
    let mut reader = document(2);
    reader.register_default_types();
    let snapshot = Snapshot::decode(&snapshot.encode()).unwrap();
    assert!(reader.import_snapshot(&snapshot, true).unwrap());
    // Nothing is made before somebody asks.
    assert_eq!(reader.handlers().count(), 0);
    reader.reconstruct();
    assert_eq!(ids(&reader), ["root", "a", "deep", "leaf"]);
    let root = reader.find_handler("root").unwrap();
    assert_eq!(
        resolved(&mut reader, root),
        r#"{"a":{"deep":{"t":"leaf"}},"t":"leaf"}"#
    );
    assert_eq!(reader.roots(), [root]);
}

/// Who knows no types passes the list of handlers on.
#[test]
fn the_manifest_survives_snapshots_of_those_who_registered_nothing() {
    let (mut author, _) = shared_leaf();
    let snapshot = author.take_snapshot(true).unwrap().clone();
    let mut relay = document(2);
    relay.import_snapshot(&snapshot, true).unwrap();
    let other = text(&mut relay, "other", "x");
    let again = relay.take_snapshot(true).unwrap().clone();
    assert_eq!(relay.text_string(other), "x");
    assert_eq!(again.entries().last().unwrap().0, manifest::KEY);
    let mut reader = document(3);
    reader.register_default_types();
    reader.import_snapshot(&again, true).unwrap();
    reader.reconstruct();
    assert_eq!(ids(&reader), ["other", "root", "a", "deep", "leaf"]);
    let root = reader.find_handler("root").unwrap();
    assert_eq!(
        resolved(&mut reader, root),
        r#"{"a":{"deep":{"t":"leaf"}},"t":"leaf"}"#
    );
}

#[test]
fn a_snapshot_makes_what_can_be_reached_first() {
    let mut author = document(1);
    author.register_default_types();
    let root = map_ref(&mut author, "root");
    let child = Value::Reference(HandlerRef {
        type_tag: "CRDTFugueTextHandler".into(),
        id: "later".into(),
    });
    author.map_set(root, "child", &child).unwrap();
    let snapshot = author.take_snapshot(false).unwrap().clone();
    assert_eq!(ids(&author), ["root", "later"]);
    assert_eq!(snapshot.entry("later"), Some(&[0, 0][..]));
    // Without containers there is no list.
    let mut plain = document(2);
    text(&mut plain, "t", "x");
    assert_eq!(
        plain.take_snapshot(true).unwrap().entry(manifest::KEY),
        None
    );
}

#[test]
fn damaged_manifests_make_nothing() {
    let (mut author, _) = shared_leaf();
    let good = author.take_snapshot(true).unwrap().clone();
    for cut in [0, 1, 5, 30] {
        let mut entries = good.entries().to_vec();
        entries.last_mut().unwrap().1.truncate(cut);
        let bad = Snapshot::new(good.vector().clone(), entries);
        let mut reader = document(2);
        reader.register_default_types();
        reader.import_snapshot(&bad, true).unwrap();
        reader.reconstruct();
        assert_eq!(reader.handlers().count(), 0, "cut to {cut}");
        // What somebody registers is still there.
        let root = map_ref(&mut reader, "root");
        assert_eq!(
            resolved(&mut reader, root),
            r#"{"a":{"deep":{"t":"leaf"}},"t":"leaf"}"#
        );
    }
}

/// Containers in a row, each in the one before.
fn chain(levels: usize) -> Document {
    let mut document = document(1);
    document.begin(b"").unwrap();
    let mut parent = map_ref(&mut document, "c0");
    for level in 1..levels {
        let child = map_ref(&mut document, &format!("c{level}"));
        document.set_ref(parent, "k", child).unwrap();
        parent = child;
    }
    let leaf = text(&mut document, "leaf", "deep");
    document.set_ref(parent, "k", leaf).unwrap();
    document.commit().unwrap();
    document
}

/// The stack of a test thread is 2 MiB.
#[test]
fn ten_thousand_levels_need_no_stack() {
    const LEVELS: usize = 10_000;
    let mut author = chain(LEVELS);
    let root = author.find_handler("c0").unwrap();
    let value = author.resolved(root).unwrap();
    let text = json_of(&value);
    assert_eq!(text.len(), LEVELS * r#"{"k":}"#.len() + r#""deep""#.len());
    assert!(text.ends_with(&format!("\"deep\"{}", "}".repeat(LEVELS))));
    assert_eq!(value.clone(), value);
    drop(value);
    let leaf = author.find_handler("leaf").unwrap();
    assert_eq!(author.path_to(root, leaf), Some(vec![key("k"); LEVELS]));
    assert_eq!(author.roots(), [root]);
    // A reader makes them from the snapshot alone, level by level.
    let snapshot = author.take_snapshot(true).unwrap().clone();
    let entries: Vec<_> = snapshot
        .entries()
        .iter()
        .filter(|(id, _)| id != manifest::KEY)
        .cloned()
        .collect();
    let mut reader = document(2);
    reader.register_default_types();
    reader
        .import_snapshot(&Snapshot::new(snapshot.vector().clone(), entries), true)
        .unwrap();
    let root = map_ref(&mut reader, "c0");
    reader.reconstruct();
    assert_eq!(reader.handlers().count(), LEVELS + 1);
    assert_eq!(json_of(&reader.resolved(root).unwrap()), text);
}

/// Four containers, each with 110 references to the next: 110^3 at the bottom.
#[test]
fn forged_references_cannot_ask_for_any_size() {
    const REFERENCES: usize = 110;
    assert!(REFERENCES.pow(3) > RESOLVED_VALUES_MAX);
    let mut document = document(1);
    let handlers: Vec<HandlerIdx> = (0..4)
        .map(|n| map_ref(&mut document, &format!("c{n}")))
        .collect();
    document.begin(b"").unwrap();
    for pair in handlers.windows(2) {
        for n in 0..REFERENCES {
            document.set_ref(pair[0], &n.to_string(), pair[1]).unwrap();
        }
    }
    document.commit().unwrap();
    assert!(matches!(
        document.resolved(handlers[0]),
        Err(DocumentError::Limit(_))
    ));
    // A part of it fits.
    assert!(document.resolved(handlers[1]).is_ok());

    // Few values, but long ones.
    let mut long = documents::document(2);
    let root = map_ref(&mut long, "root");
    let t = text(&mut long, "t", &"long ".repeat(200_000));
    long.begin(b"").unwrap();
    for n in 0..300 {
        long.set_ref(root, &n.to_string(), t).unwrap();
    }
    long.commit().unwrap();
    assert!(matches!(long.resolved(root), Err(DocumentError::Limit(_))));
    long.check();
}

/// Reading one child computes that child.
#[test]
fn other_children_are_not_made() {
    const CHILDREN: usize = 10_000;
    let mut author = document(1);
    author.begin(b"").unwrap();
    let root = map_ref(&mut author, "root");
    for n in 0..CHILDREN {
        let id = format!("t{n}");
        let child = text(&mut author, &id, "content");
        author.set_ref(root, &id, child).unwrap();
    }
    author.commit().unwrap();
    let snapshot = author.take_snapshot(true).unwrap().clone();
    let mut reader = document(2);
    reader.register_default_types();
    reader.import_snapshot(&snapshot, true).unwrap();
    let root = map_ref(&mut reader, "root");
    let reference = reader.get_ref(root, "t7777").unwrap();
    let child = reader.resolve(&reference).unwrap();
    assert_eq!(reader.text_string(child), "content");
    assert_eq!(ids(&reader), ["root", "t7777"]);
    assert!(reader.resolved(root).is_ok());
    assert_eq!(reader.handlers().count(), CHILDREN + 1);
}

#[test]
fn the_shortest_way_leads_to_a_handler() {
    let (document, root) = shared_leaf();
    let at = |id: &str| document.find_handler(id).unwrap();
    let way = |from: &str, to: &str| document.path_to(at(from), at(to));
    assert_eq!(way("root", "leaf"), Some(vec![key("t")]));
    assert_eq!(way("a", "leaf"), Some(vec![key("deep"), key("t")]));
    assert_eq!(way("root", "deep"), Some(vec![key("a"), key("deep")]));
    assert_eq!(way("leaf", "root"), None);
    assert_eq!(way("deep", "a"), None);
    assert_eq!(document.path_to(root, root), Some(vec![]));
    // A longer way through the child that comes last does not come first.
    let mut document = documents::document(1);
    let [root, a, b, c] = ["root", "a", "b", "c"].map(|id| map_ref(&mut document, id));
    let x = text(&mut document, "x", "x");
    for (container, name, child) in [
        (root, "a", a),
        (root, "b", b),
        (b, "c", c),
        (c, "x", x),
        (a, "x", x),
    ] {
        document.set_ref(container, name, child).unwrap();
    }
    assert_eq!(document.path_to(root, x), Some(vec![key("a"), key("x")]));
}

#[test]
fn observers_of_a_tree_learn_where_it_changed() {
    let (mut document, root) = shared_leaf();
    let outside = text(&mut document, "outside", "");
    let [a, deep, leaf] = ["a", "deep", "leaf"].map(|id| document.find_handler(id).unwrap());
    document.set_recording(true);
    document.observe_deeply(a, true);
    document.begin(b"").unwrap();
    document.text_insert(leaf, 0, "x").unwrap();
    document.text_insert(outside, 0, "y").unwrap();
    // One that is put in and edited in the same transaction is found where it ends up.
    let new = text(&mut document, "new", "z");
    document.set_ref(deep, "new", new).unwrap();
    document.commit().unwrap();
    let commits = document.take_commits();
    let path = |handler, steps: &[&str]| NestedPath {
        root: a,
        handler,
        steps: steps.iter().map(|step| key(step)).collect(),
    };
    assert_eq!(
        commits[0].paths,
        [
            path(deep, &["deep"]),
            path(leaf, &["deep", "t"]),
            path(new, &["deep", "new"])
        ]
    );
    let changed: Vec<HandlerIdx> = commits[0]
        .deltas
        .iter()
        .map(|(handler, _)| *handler)
        .collect();
    assert_eq!(changed, [deep, leaf, new]);
    // Nothing below it: nothing to tell, and nothing once nobody listens.
    document.text_insert(outside, 0, "y").unwrap();
    assert!(document.take_commits()[0].deltas.is_empty());
    document.observe_deeply(a, false);
    document.text_insert(leaf, 0, "x").unwrap();
    let commit = &document.take_commits()[0];
    assert!(commit.deltas.is_empty() && commit.paths.is_empty());
    // Whoever observes the handler itself still hears of it, without ways.
    document.observe(leaf, true);
    document.observe_deeply(root, true);
    document.observe_deeply(root, false);
    document.text_insert(leaf, 0, "x").unwrap();
    let commit = &document.take_commits()[0];
    assert!(commit.deltas.len() == 1 && commit.paths.is_empty());
}

/// One id with two types: the later change counts, and the list in a snapshot above all.
#[test]
fn what_is_reconstructed_has_the_last_type() {
    let [mut first, mut second] = [document(1), document(2)];
    let numbers = typed(&mut first, HandlerKind::Map, "num", "m");
    first.map_set(numbers, "k", &1.into()).unwrap();
    let texts = typed(&mut second, HandlerKind::Map, "String", "m");
    second.map_set(texts, "k", &"x".into()).unwrap();
    let made = |changes: [&Document; 2], manifest: Option<&str>| {
        let mut reader = document(3);
        if let Some(type_tag) = manifest {
            let listed = manifest::encode([("m", type_tag)].into_iter());
            let entries = vec![(manifest::KEY.to_owned(), listed)];
            let snapshot = Snapshot::new(Default::default(), entries);
            reader.import_snapshot(&snapshot, true).unwrap();
        }
        pull(&mut reader, changes[0]);
        pull(&mut reader, changes[1]);
        for arguments in ["num", "String"] {
            let spec = typed_spec(HandlerKind::Map, arguments);
            reader.register_type(&spec).unwrap();
        }
        reader.reconstruct();
        documents::shown(&reader, "m")
    };
    assert_eq!(made([&first, &second], None), r#"{"k":"x"}"#);
    assert_eq!(made([&second, &first], None), r#"{"k":1}"#);
    let listed = Some("CRDTMapHandler<num>");
    assert_eq!(made([&first, &second], listed), r#"{"k":1}"#);
}

#[test]
fn new_ids_never_repeat() {
    let mut ids: Vec<String> = (0..10_000).map(|_| new_handler_id()).collect();
    assert!(ids.iter().all(|id| id.len() == 36));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 10_000);
}

#[test]
fn custom_kinds_are_not_registered_as_others() {
    let mut document = document(1);
    let custom = HandlerSpec {
        type_tag: "Counter".into(),
        ..HandlerSpec::new(HandlerKind::Custom)
    };
    let unknown = DocumentError::UnknownType {
        type_tag: "Counter".into(),
    };
    assert_eq!(document.register_type(&custom), Err(unknown.clone()));
    assert_eq!(document.handler("c", &custom), Err(unknown));
    assert_eq!(document.handlers().count(), 0);
}
