//! What observers are told (specification 8.8): one commit per transaction, and never that others'
//! changes were made here. Against the recorded events of crdt_lf.

mod common;
mod documents;

use common::{each_case, list, text};
use documents::handler;
use serde_json::Value as Json;
use std::collections::HashMap;
use syncline::clock::{Hlc, PeerId, VersionVector};
use syncline::codec::{self, Snapshot};
use syncline::document::{
    Document, DocumentError, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, ImportOptions,
    Origin, WallClock,
};
use syncline::replica::{ApplyError, Replica};

#[test]
fn recorded_events() {
    each_case("events", |case| match text(&case["name"]) {
        "events/all" => {
            phases(case);
            common::Outcome::Passed
        }
        "events/disposed" => {
            calls_after_closing(case);
            common::Outcome::Passed
        }
        "events/readOnly" => {
            calls_on_a_view(case);
            common::Outcome::Passed
        }
        other => panic!("an unknown case: {other}"),
    });
}

fn writer(peer: &str) -> Document {
    Document::new(DocumentOptions {
        document_id: "events".into(),
        peer_id: Some(PeerId::parse(peer).unwrap()),
        initial_clock: Hlc::new(documents::START_MS, 0),
        wall_clock: WallClock::Fixed(0),
        clock_drift_ms_max: None,
    })
}

/// The two writers of the case, and the snapshots that go between them.
struct Scene {
    own: Document,
    text: HandlerIdx,
    other: Document,
    other_text: HandlerIdx,
    older: Option<Snapshot>,
    newer: Option<Snapshot>,
}

impl Scene {
    fn insert(&mut self, at: u64, text: &str) {
        self.own.text_insert(self.text, at, text).unwrap();
    }

    fn remote(&mut self, text: &str) {
        self.other.text_insert(self.other_text, 0, text).unwrap();
    }

    /// The last change of the other writer.
    fn remote_change(&self) -> syncline::codec::Change {
        self.other.all_changes().pop().unwrap()
    }

    fn play(&mut self, phase: &str) -> Result<(), DocumentError> {
        match phase {
            "t.insert(0,\"a\")" => self.insert(0, "a"),
            "two inserts, no transaction" => {
                self.insert(0, "b");
                self.insert(0, "c");
            }
            "transaction: insert(0,x) insert(1,y) delete(3,1) -> 2 changes" => {
                self.own.begin(b"")?;
                self.insert(0, "x");
                self.insert(1, "y");
                self.own.text_remove(self.text, 3, 1)?;
                self.own.commit()?;
            }
            "nested transaction, two inserts that merge" => {
                self.own.begin(b"")?;
                self.insert(0, "x");
                self.own.begin(b"")?;
                self.insert(1, "y");
                self.own.commit()?;
                assert!(
                    self.own.take_commits().is_empty(),
                    "not before the outermost end"
                );
                self.own.commit()?;
            }
            "empty transaction" => {
                self.own.begin(b"")?;
                self.own.commit()?;
            }
            "transaction that throws after one insert" => {
                // Dart commits what was queued; here the caller decides, and does the same.
                self.own.begin(b"")?;
                self.insert(0, "z");
                self.own.commit()?;
            }
            "importChanges of 2 new changes" => {
                self.older = Some(self.own.take_snapshot(false)?.clone());
                self.other
                    .import_changes(self.own.all_changes(), &[], Origin::Remote)?;
                self.remote("1");
                self.remote("2");
                let changes = self.other.all_changes();
                let outcome = self.own.import_changes(changes, &[], Origin::Remote)?;
                assert_eq!(outcome.applied, 2);
            }
            "importChanges of nothing new" => {
                let known = self.other.all_changes();
                self.own.import_changes(known, &[], Origin::Remote)?;
            }
            "applyChange of a remote change (it is echoed on localChanges)" => {
                self.remote("3");
                assert!(self.own.apply_change(&self.remote_change(), &[])?);
            }
            "applyChange of a known change" => {
                assert!(!self.own.apply_change(&self.remote_change(), &[])?);
            }
            "takeSnapshot(pruneHistory: false)" => {
                self.own.take_snapshot(false)?;
            }
            "importSnapshot accepted" => {
                let snapshot = self.other.take_snapshot(false)?.clone();
                assert!(self.own.import_snapshot(&snapshot, true)?);
                self.newer = Some(snapshot);
            }
            "importSnapshot refused (older)" => {
                let older = self.older.clone().unwrap();
                assert!(!self.own.import_snapshot(&older, true)?);
            }
            "mergeSnapshot" => {
                let snapshot = self.newer.clone().unwrap();
                self.own.merge_snapshot(&snapshot, true)?;
            }
            "garbageCollect" => {
                self.own.garbage_collect(&VersionVector::new());
            }
            "transaction: insert + importSnapshot" => {
                let snapshot = self.newer.clone().unwrap();
                self.own.begin(b"")?;
                self.insert(0, "s");
                assert!(self.own.import_snapshot(&snapshot, true)?);
                self.own.commit()?;
            }
            "transaction: insert, then applyChange of a remote change" => {
                self.remote("4");
                self.own.begin(b"")?;
                self.insert(0, "r");
                assert!(self.own.apply_change(&self.remote_change(), &[])?);
                self.own.commit()?;
            }
            "prepareMutation" => {
                self.own.tick()?;
            }
            "dispose" => self.own.close(),
            "insert after dispose" => return self.own.text_insert(self.text, 0, "!"),
            other => panic!("an unknown phase: {other}"),
        }
        Ok(())
    }
}

fn phases(case: &Json) {
    let [own, other] = [0, 1].map(|nth| text(&case["peers"][nth]));
    let (mut own, mut other) = (writer(own), writer(other));
    let text_of = |document: &mut Document| handler(document, HandlerKind::Text, "t");
    let mut scene = Scene {
        text: text_of(&mut own),
        other_text: text_of(&mut other),
        own,
        other,
        older: None,
        newer: None,
    };
    scene.own.set_recording(true);
    let own_peer = scene.own.peer_id().to_string();
    for phase in list(&case["phases"]) {
        let name = text(&phase["do"]);
        let result = scene.play(name);
        if result.is_err() {
            assert_eq!(result, Err(DocumentError::Closed));
            assert_eq!(phase["error"], "DocumentDisposedException", "{name}");
        }
        let commits = scene.own.take_commits();
        let mut shown = Vec::new();
        for commit in &commits {
            let changes = scene.own.local_changes_of(commit).unwrap();
            let is_local = commit.origin == Origin::Local;
            assert_eq!(is_local, !changes.is_empty(), "{name}");
            shown.extend(changes.iter().map(|change| format!("L:{}", change.id)));
        }
        let events = list(&phase["events"]).iter().map(text);
        let (updates, mut local): (Vec<&str>, Vec<&str>) = events.partition(|event| *event == "U");
        // Defect 13.10: changes of others are no local ones.
        local.retain(|event| event.contains(&own_peer));
        assert_eq!(shown, local, "{name}");
        assert_eq!(commits.len(), updates.len(), "{name}");
        scene.own.check();
    }
}

/// What a closed document refuses and what it still does.
fn calls_after_closing(case: &Json) {
    let recorded = case["calls"]["getVersionVector"]["ok"].as_str().unwrap();
    let vector = codec::version_vector::decode(&common::unhex(recorded)).unwrap();
    let (peer, _) = vector.iter().next().unwrap();
    let mut document = writer(&peer.to_string());
    let t = handler(&mut document, HandlerKind::Text, "t");
    document.text_insert(t, 0, "a").unwrap();
    let change = document.all_changes().remove(0);
    let bytes = document.export_list();
    let snapshot = Snapshot::new(document.version_vector(), Vec::new());
    document.close();
    let closed = "DocumentDisposedException";
    let gives = |value: Json| -> Result<Json, &str> { Ok(value) };
    let apply = |result: Result<Json, ApplyError>| match result {
        Err(ApplyError::Closed) => Err(closed),
        other => Ok(other.unwrap()),
    };
    let edit = |result: Result<(), DocumentError>| match result {
        Err(DocumentError::Closed | DocumentError::Apply(ApplyError::Closed)) => Err(closed),
        other => {
            other.unwrap();
            Ok(Json::Null)
        }
    };
    let changes = || vec![change.clone()];
    let remote = Origin::Remote;
    let spec = HandlerSpec::new(HandlerKind::Text);
    let mut shown: HashMap<&str, Result<Json, &str>> = HashMap::new();
    shown.insert("isDisposed", gives(document.is_closed().into()));
    shown.insert("handler.insert", edit(document.text_insert(t, 0, "b")));
    shown.insert("handler.value", gives(document.text_string(t).into()));
    shown.insert("exportChanges", gives(document.all_changes().len().into()));
    let imported = document.import_changes(changes(), &[], remote);
    shown.insert("importChanges", apply(imported.map(|_| Json::Null)));
    let applied = document.apply_change(&change, &[]);
    shown.insert("applyChange", apply(applied.map(Json::from)));
    let created = document.create_change(change.payload.clone());
    shown.insert("createChange", edit(created.map(|_| ())));
    let taken = document.take_snapshot(true).map(|_| Json::Null);
    shown.insert("takeSnapshot", apply(taken));
    let taken = document.import_snapshot(&snapshot, true);
    shown.insert("importSnapshot", apply(taken.map(Json::from)));
    let merged = document.merge_snapshot(&snapshot, true);
    shown.insert("mergeSnapshot", apply(merged.map(|()| Json::Null)));
    let imported = document.import_with(None, changes(), ImportOptions::default());
    shown.insert("import", apply(imported.map(|_| Json::Null)));
    shown.insert(
        "binaryExportChanges",
        gives(document.export_list().len().into()),
    );
    let imported = document.import_list(&bytes, &[], remote);
    shown.insert("binaryImportChanges", edit(imported.map(|_| ())));
    shown.insert(
        "registerHandler",
        edit(document.handler("u", &spec).map(|_| ())),
    );
    document.register_type(&spec).unwrap();
    shown.insert("registerFactory", gives(Json::Null));
    shown.insert("runInTransaction", edit(document.begin(b"")));
    shown.insert("prepareMutation", edit(document.tick().map(|_| ())));
    document.garbage_collect(&vector);
    shown.insert("garbageCollect", gives(Json::Null));
    let own_vector = codec::version_vector::encode(&document.version_vector());
    shown.insert(
        "getVersionVector",
        gives(common::to_hex(&own_vector).into()),
    );
    document.reconstruct();
    shown.insert("reconstruct", gives(Json::Null));
    document.close();
    shown.insert("dispose again", gives(Json::Null));
    for (call, expected) in case["calls"].as_object().unwrap() {
        match call.as_str() {
            // Dart empties the registry; here handlers stay readable by their numbers and ids.
            "registeredHandlers" => assert_eq!(document.handlers().count(), 1),
            "roots" => assert_eq!(document.roots(), [t]),
            "toTimeTravel" => {
                let view = document.to_history();
                assert_eq!(Json::from(view.history().unwrap().length()), expected["ok"]);
            }
            _ => {
                let shown = &shown[call.as_str()];
                match expected.get("ok") {
                    Some(value) => assert_eq!(shown.as_ref(), Ok(value), "{call}"),
                    None => assert_eq!(shown, &Err(text(&expected["error"])), "{call}"),
                }
            }
        }
    }
    document.check();
}

/// A view of history is read-only, and its cursor stays within it.
fn calls_on_a_view(case: &Json) {
    let mut own = documents::document(1);
    let t = handler(&mut own, HandlerKind::Text, "t");
    own.text_insert(t, 0, "abc").unwrap();
    let mut view = own.to_history();
    let refused = "ReadOnlyDocumentException";
    let edit = |result: Result<(), DocumentError>| match result {
        Err(DocumentError::ReadOnly) => Err(refused),
        other => {
            other.unwrap();
            Ok(Json::Null)
        }
    };
    let jump = |view: &mut Document, cursor: u64| {
        assert_eq!(view.history_jump(cursor), Ok(false));
        Ok(Json::from(view.history().unwrap().cursor()))
    };
    let fugue = handler(&mut view, HandlerKind::FugueText, "f");
    let set = handler(&mut view, HandlerKind::OrSet, "s");
    let mut shown: HashMap<&str, Result<Json, &str>> = HashMap::new();
    shown.insert("text.insert", edit(view.text_insert(t, 0, "x")));
    shown.insert("fugueText.insert", edit(view.text_insert(fugue, 0, "x")));
    shown.insert("orset.add", edit(view.set_add(set, &"x".into())));
    shown.insert("orset.remove", edit(view.set_remove(set, &"x".into())));
    shown.insert("value", Ok(view.text_string(t).into()));
    shown.insert("jump(-1)", jump(&mut view, u64::MAX));
    shown.insert("jump(99)", jump(&mut view, 99));
    assert_eq!(view.history_previous(), Ok(true));
    let line = view.history().unwrap();
    let at_start = (line.cursor(), line.can_next(), line.can_previous());
    shown.insert(
        "previous",
        Ok(serde_json::json!([at_start.0, at_start.1, at_start.2])),
    );
    assert_eq!(view.history_previous(), Ok(false));
    let cursor = view.history().unwrap().cursor();
    shown.insert("previous at 0", Ok(cursor.into()));
    for (call, expected) in case["calls"].as_object().unwrap() {
        match call.as_str() {
            // Here even a removal of nothing is refused, before it is looked at.
            "fugueText.delete nothing" => {
                assert_eq!(edit(view.text_remove(fugue, 0, 0)), Err(refused));
            }
            // Here the one that is there is given again.
            "register same handler twice" => {
                assert_eq!(handler(&mut view, HandlerKind::Text, "t"), t);
            }
            _ => {
                let shown = &shown[call.as_str()];
                match expected.get("ok") {
                    Some(value) => assert_eq!(shown.as_ref(), Ok(value), "{call}"),
                    None => assert_eq!(shown, &Err(text(&expected["error"])), "{call}"),
                }
            }
        }
    }
    assert_eq!(own.text_string(t), text(&case["liveValue"]));
}

/// What a commit adds can be found again until history is rewritten.
#[test]
fn commits_name_their_changes() {
    let (mut a, mut b) = (documents::document(1), documents::document(2));
    let (ta, tb) = (
        handler(&mut a, HandlerKind::FugueText, "t"),
        handler(&mut b, HandlerKind::FugueText, "t"),
    );
    a.set_recording(true);
    a.text_insert(ta, 0, "one").unwrap();
    b.text_insert(tb, 0, "two").unwrap();
    documents::pull(&mut a, &b);
    a.begin(b"tag").unwrap();
    a.text_insert(ta, 0, "three").unwrap();
    b.text_insert(tb, 0, "four").unwrap();
    documents::pull(&mut a, &b);
    a.commit().unwrap();
    let commits = a.take_commits();
    let counts: Vec<(u64, usize, Option<PeerId>)> = commits
        .iter()
        .map(|commit| {
            let local = a.local_changes_of(commit).unwrap().len();
            (commit.change_count, local, commit.author)
        })
        .collect();
    let (own, other) = (a.peer_id(), b.peer_id());
    assert_eq!(
        counts,
        [(1, 1, Some(own)), (1, 0, Some(other)), (2, 1, None)]
    );
    let all: Vec<_> = commits
        .iter()
        .flat_map(|commit| a.changes_of(commit).unwrap())
        .collect();
    assert_eq!(all, a.all_changes());
    a.take_snapshot(true).unwrap();
    assert_eq!(a.changes_of(&commits[0]), None);
}
