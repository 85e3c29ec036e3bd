//! The document against the golden vectors of crdt_lf: random scripts and fixed scenarios.
//!
//! Local calls are made through the engine and every change, snapshot and vector is compared byte
//! for byte.

mod common;
mod vector_player;

use common::{Outcome, each_case, hex, list, skip, text, to_hex, units};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use syncline::clock::Hlc;
use syncline::codec::{self, Change};
use syncline::document::{Document, DocumentOptions, Origin, WallClock};
use syncline::replica::Replica;
use vector_player::{Player, compare_values, replica, same_change, spec_of};

const HANDLERS: [&str; 12] = [
    "CRDTTextHandler",
    "CRDTListHandler",
    "CRDTFugueTextHandler",
    "CRDTFugueListHandler",
    "CRDTListRefHandler",
    "CRDTMapHandler",
    "CRDTRegisterHandler",
    "CRDTORSetHandler",
    "CRDTFugueMovableListHandler",
    "CRDTMovableListRefHandler",
    "CRDTORMapHandler",
    "CRDTMapRefHandler",
];

#[test]
fn scripts() {
    for handler in HANDLERS {
        each_case(&format!("script_{handler}"), |case| script(handler, case));
    }
}

fn script(handler: &str, case: &Json) -> Outcome {
    let id = text(&case["id"]);
    let mut player = Player::new(case);
    for step in list(&case["steps"]) {
        let peer = step["p"].as_u64().unwrap() as usize;
        player.register(peer, handler, id, text(&case["valueType"]));
        if let Some(call) = step.get("do") {
            player.call(peer, id, call, &step["c"]);
        } else if let Some(calls) = step.get("tx") {
            let calls: Vec<(&str, &Json)> = list(calls).iter().map(|call| (id, call)).collect();
            player.transaction(peer, &calls, &step["c"]);
        } else {
            player.import(peer, &step["imp"], &step["n"]);
        }
        if let Some(value) = step.get("v") {
            player.compare(peer, id, value, false);
        }
        player.documents[peer].check();
    }
    for (document, expected) in player.documents.iter().zip(list(&case["final"])) {
        assert_eq!(document.clock().to_string(), text(&expected["clock"]));
        assert_eq!(
            to_hex(&codec::version_vector::encode(&document.version_vector())),
            text(&expected["vv"])
        );
    }
    for order in list(&case["orders"]) {
        let mut document = replica(0, 0);
        document
            .handler(id, &spec_of(handler, text(&case["valueType"])))
            .unwrap();
        for index in list(order) {
            let change = player.change(index);
            assert_eq!(
                document
                    .import_changes(vec![change], &[], Origin::Remote)
                    .unwrap()
                    .applied,
                1
            );
            document.check();
        }
        compare_values(&document, id, &case["value"], false);
    }
    fresh(handler, id, case, &player);
    Outcome::Passed
}

/// A new document that imports everything in one call.
fn fresh(handler: &str, id: &str, case: &Json, player: &Player) {
    let expected = &case["fresh"];
    let clock = list(&expected["freshClock"]);
    let mut document = replica(
        clock[0].as_i64().unwrap(),
        clock[1].as_u64().unwrap() as u32,
    );
    document
        .handler(id, &spec_of(handler, text(&case["valueType"])))
        .unwrap();
    let outcome = document
        .import_changes(player.changes.clone(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(outcome.applied as u64, expected["count"].as_u64().unwrap());
    document.check();
    compare_values(&document, id, &case["value"], true);
    assert_eq!(
        to_hex(&codec::version_vector::encode(&document.version_vector())),
        text(&expected["vv"])
    );
    let frontier: Vec<String> = document
        .frontiers()
        .iter()
        .map(|id| id.to_string())
        .collect();
    let expected_frontier: Vec<&str> = list(&expected["frontier"]).iter().map(text).collect();
    assert_eq!(frontier, expected_frontier);
    assert_eq!(document.clock().to_string(), text(&expected["clock"]));
    let binary = codec::change::encode_list(document.all_changes().iter());
    compare_digest(&binary, &expected["binary"]);
    let snapshot = document.take_snapshot(true).unwrap().encode();
    compare_digest(&snapshot, &expected["snapshot"]);
    assert_eq!(document.change_count(), 0);
    // What is in memory and what is replayed from the snapshot alone show the same.
    compare_values(&document, id, &case["value"], true);
    document.replay_all();
    compare_values(&document, id, &case["value"], true);
    document.check();
}

fn compare_digest(bytes: &[u8], expected: &Json) {
    if let Some(hex) = expected
        .as_str()
        .or(expected.get("hex").and_then(Json::as_str))
    {
        assert_eq!(to_hex(bytes), hex);
        return;
    }
    assert_eq!(bytes.len() as u64, expected["length"].as_u64().unwrap());
    assert_eq!(to_hex(&Sha256::digest(bytes)), text(&expected["sha256"]));
}

#[test]
fn scenarios() {
    for file in [
        "document",
        "transactions",
        "snapshots",
        "nested",
        "raw_ops",
        "stable_positions",
        "ops",
        "history",
    ] {
        each_case(file, scenario);
    }
}

fn scenario(case: &Json) -> Outcome {
    if case["normative"] == Json::Bool(false) {
        return skip("records a defect of the reference");
    }
    let mut used = Vec::new();
    for step in list(&case["steps"]) {
        if let Some(new) = step.get("new") {
            used.push(text(&new[0]));
        }
    }
    if let Some(other) = used.iter().find(|handler| !HANDLERS.contains(handler)) {
        return skip(format!("{other} is not built yet"));
    }
    let name = text(&case["name"]);
    if name == "snapshot/handler not registered when the snapshot is taken" {
        return skip("loses the handler (defect 13.7), which is not imitated");
    }
    let recompute = case["mode"] == "recompute";
    let mut player = Player::new(case);
    for step in list(&case["steps"]) {
        if let Some(reason) = scenario_step(&mut player, step, recompute) {
            return skip(format!("{name}: {reason}"));
        }
    }
    Outcome::Passed
}

/// Plays one step; gives the reason if the rest of the case does not apply.
fn scenario_step(player: &mut Player, step: &Json, recompute: bool) -> Option<&'static str> {
    let peer = step["p"].as_u64().unwrap() as usize;
    if recompute && step.get("new").is_none() {
        player.documents[peer].replay_all();
    }
    if vector_player::nested::step(player, peer, step) {
        return None;
    }
    if let Some(new) = step.get("new") {
        player.register(peer, text(&new[0]), text(&new[1]), text(&new[2]));
    } else if let Some(call) = step.get("do") {
        player.call(peer, text(&step["h"]), call, &step["c"]);
    } else if let Some(calls) = step.get("tx") {
        let calls: Vec<(&str, &Json)> = list(calls)
            .iter()
            .map(|call| (text(&call[0]), &call[1]))
            .collect();
        player.transaction(peer, &calls, &step["c"]);
    } else if let Some(indexes) = step.get("imp") {
        player.import(peer, indexes, &step["n"]);
    } else if let Some(changes) = step.get("impHex") {
        let changes = list(changes)
            .iter()
            .map(|change| Change::decode(&hex(change)).unwrap())
            .collect();
        let outcome = player.documents[peer]
            .import_changes(changes, &[], Origin::Remote)
            .unwrap();
        assert_eq!(outcome.applied as u64, step["n"].as_u64().unwrap());
    } else if let Some(index) = step.get("apply") {
        let change = player.change(index);
        match player.documents[peer].apply_change(&change, &[]) {
            Ok(applied) => assert_eq!(Json::Bool(applied), step["ok"], "{step}"),
            Err(_) => assert_eq!(step["error"], "CausallyNotReadyException"),
        }
    } else if let Some(reads) = step.get("read").or(step.get("recompute")) {
        if step.get("recompute").is_some() {
            player.documents[peer].replay_all();
        }
        for (id, value) in reads.as_object().unwrap() {
            player.compare(peer, id, value, false);
        }
    } else if let Some(state) = step.get("state") {
        compare_state(&player.documents[peer], state);
    } else if step.get("snapshot").is_some() {
        return player.take_snapshot(peer, step);
    } else if let Some(name) = step.get("importSnapshot") {
        let snapshot = player.snapshot(name);
        let applied = player.documents[peer]
            .import_snapshot(&snapshot, step["prune"] == Json::Bool(true))
            .unwrap();
        assert_eq!(Json::Bool(applied), step["ok"]);
    } else if let Some(name) = step.get("mergeSnapshot") {
        let snapshot = player.snapshot(name);
        player.documents[peer]
            .merge_snapshot(&snapshot, step["prune"] == Json::Bool(true))
            .unwrap();
    } else if let Some(vector) = step.get("gc") {
        let vector = codec::version_vector::decode(&hex(vector)).unwrap();
        player.documents[peer].garbage_collect(&vector);
    } else if let Some(expected) = step.get("export") {
        let exported: Vec<String> = player.documents[peer]
            .all_changes()
            .iter()
            .map(|c| to_hex(&c.encode()))
            .collect();
        let expected: Vec<&str> = list(expected).iter().map(text).collect();
        assert_eq!(exported, expected);
    } else if let Some(heads) = step.get("exportFrom") {
        let heads: Vec<_> = list(heads)
            .iter()
            .map(|id| syncline::clock::OperationId::parse(text(id)).unwrap())
            .collect();
        match player.documents[peer].export_changes_from(&heads) {
            Ok(exported) => player.compare_indexes(&exported, &step["c"]),
            Err(_) => assert_eq!(step["error"], "ArgumentError"),
        }
    } else if let Some(vector) = step.get("exportNewer") {
        let vector = codec::version_vector::decode(&hex(vector)).unwrap();
        let exported = player.documents[peer].changes_newer_than(&vector);
        player.compare_indexes(&exported, &step["c"]);
    } else if let Some(revisions) = step.get("rev") {
        for (id, expected) in revisions.as_object().unwrap() {
            player.compare_revision(peer, id, expected);
        }
    } else if let Some(position) = step.get("stableAt") {
        player.compare_position(peer, text(&step["h"]), position);
    } else if let Some(position) = step.get("indexOf") {
        player.compare_position_index(peer, text(&step["h"]), position);
    } else if let Some(expected) = step.get("history") {
        player.compare_history(peer, expected);
    } else if step.get("events").is_some() {
        // Compared in their own test.
    } else {
        panic!("an unknown step: {step}");
    }
    player.documents[peer].check();
    None
}

fn compare_state(document: &Document, state: &Json) {
    let vector = document.version_vector();
    match state.get("vvTrue") {
        Some(expected) => {
            let entries = list(expected).iter().map(|entry| {
                let peer = syncline::clock::PeerId::parse(text(&entry[0])).unwrap();
                (peer, Hlc::parse(text(&entry[1])).unwrap())
            });
            assert_eq!(vector, entries.collect());
        }
        None => assert_eq!(
            to_hex(&codec::version_vector::encode(&vector)),
            text(&state["vv"])
        ),
    }
    let frontier: Vec<String> = document
        .frontiers()
        .iter()
        .map(|id| id.to_string())
        .collect();
    let expected: Vec<&str> = list(&state["frontier"]).iter().map(text).collect();
    assert_eq!(frontier, expected);
    assert_eq!(document.clock().to_string(), text(&state["clock"]));
    assert_eq!(document.change_count(), state["count"].as_u64().unwrap());
}

/// Recordings with the real clock and random ids: replay only.
#[test]
fn recordings() {
    each_case("realtime_capture", |case| {
        let handler = text(&case["handlerType"]).split('<').next().unwrap();
        if !HANDLERS.contains(&handler) {
            return skip(format!("{handler} is not built yet"));
        }
        let id = text(&case["id"]);
        let mut document = Document::new(DocumentOptions {
            wall_clock: WallClock::Fixed(0),
            ..Default::default()
        });
        let mut spec = spec_of(handler, text(&case["valueType"]));
        spec.type_tag = text(&case["handlerType"]).to_owned();
        document.handler(id, &spec).unwrap();
        let changes: Vec<Change> = list(&case["changes"])
            .iter()
            .map(|c| Change::decode(&hex(c)).unwrap())
            .collect();
        document
            .import_changes(changes.clone(), &[], Origin::Remote)
            .unwrap();
        compare_values(&document, id, &case["value"], true);
        assert_eq!(
            to_hex(&codec::version_vector::encode(&document.version_vector())),
            text(&case["vv"])
        );
        for exported in document.all_changes() {
            let original = changes
                .iter()
                .find(|change| change.id == exported.id)
                .unwrap();
            same_change(&exported, original);
        }
        let snapshot = document.take_snapshot(true).unwrap();
        assert_eq!(snapshot.id(), text(&case["snapshot"]["id"]));
        compare_digest(&snapshot.encode(), &case["snapshot"]);
        Outcome::Passed
    });
}

/// The bare tree: arbitrary operations as changes of a text, which also need no causal order.
#[test]
fn fugue_tree() {
    each_case("fugue_tree", |case| {
        let peers: Vec<_> = list(&case["peers"])
            .iter()
            .map(|p| syncline::clock::PeerId::parse(text(p)).unwrap())
            .collect();
        let mut document = replica(0, 0);
        let text_handler = document
            .handler("t", &spec_of("CRDTFugueTextHandler", ""))
            .unwrap();
        for (number, op) in list(&case["ops"]).iter().enumerate() {
            let Some(payload) = vector_player::tree_payload(op, &peers) else {
                continue;
            };
            // One author and rising clocks: the order of the list is the order of replay.
            let id = syncline::clock::OperationId::new(peers[0], Hlc::new(1000 + number as i64, 0));
            let change = Change {
                id,
                deps: Vec::new(),
                payload,
            };
            assert!(document.apply_change(&change, &[]).unwrap());
            document.check();
        }
        let live: Vec<u16> = list(&case["values"]).iter().flat_map(units).collect();
        let mut shown = Vec::new();
        document.text_slice_utf16(text_handler, 0..u64::MAX, &mut shown);
        assert_eq!(shown, live);
        for (nth, expected) in vector_player::positions(case, &peers) {
            assert_eq!(
                document.text_position_index(text_handler, &nth).unwrap(),
                Some(expected)
            );
        }
        Outcome::Passed
    });
}

/// The dependency graph, as changes without operations.
#[test]
fn dag() {
    each_case("dag", |case| {
        if case.get("fn").is_some() {
            return skip("a call on the bare graph, which is not part of the interface");
        }
        let id = |id: &Json| syncline::clock::OperationId::parse(text(id)).unwrap();
        let mut document = replica(0, 0);
        let mut nodes = Vec::new();
        for node in list(&case["nodes"]) {
            let deps = list(&node[1]).iter().map(id).collect();
            let change = Change {
                id: id(&node[0]),
                deps,
                payload: vec![1, b'T', 1, b'h', 0],
            };
            assert!(document.apply_change(&change, &[]).unwrap());
            nodes.push(change.id);
        }
        let vector = |entries: &Json| -> syncline::clock::VersionVector {
            let entries = list(entries).iter().map(|entry| {
                let peer = syncline::clock::PeerId::parse(text(&entry[0])).unwrap();
                (peer, Hlc::parse(text(&entry[1])).unwrap())
            });
            entries.collect()
        };
        let frontiers = |document: &Document| -> Vec<String> {
            document
                .frontiers()
                .iter()
                .map(|id| id.to_string())
                .collect()
        };
        assert_eq!(
            frontiers(&document),
            list(&case["frontiers"])
                .iter()
                .map(text)
                .collect::<Vec<_>>()
        );
        let expected = vector(&case["vv"]);
        assert!(document.version_vector().iter().eq(expected.iter()));
        let exported = document
            .export_changes_from(&[id(&case["ancestorsOf"])])
            .unwrap();
        let mut ancestors: Vec<String> = nodes
            .iter()
            .filter(|node| exported.iter().all(|change| change.id != **node))
            .map(|node| node.to_string())
            .collect();
        ancestors.sort();
        assert_eq!(
            ancestors,
            list(&case["ancestors"])
                .iter()
                .map(text)
                .collect::<Vec<_>>()
        );
        let prune = &case["prune"];
        let before = document.change_count();
        let base = codec::Snapshot::new(vector(&prune["version"]), Vec::new());
        assert!(document.import_snapshot(&base, true).unwrap());
        assert_eq!(
            document.change_count(),
            prune["nodeCount"].as_u64().unwrap()
        );
        assert_eq!(
            before - document.change_count(),
            prune["removed"].as_u64().unwrap()
        );
        assert_eq!(
            frontiers(&document),
            list(&prune["frontiers"])
                .iter()
                .map(text)
                .collect::<Vec<_>>()
        );
        document.check();
        Outcome::Passed
    });
}
