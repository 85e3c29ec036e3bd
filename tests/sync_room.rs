//! The room core of a server by hand: the rules of the specification's chapters 4 and 10 that the recorded
//! conversations do not show.

mod common;
mod sync_support;

use common::{Outcome, each, list, load, text};
use std::sync::Arc;
use sync_support::conversation::kind;
use sync_support::model::Model;
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::{Change, Snapshot};
use syncline::replica::{ApplyError, ImportOutcome, Replica};
use syncline::sync::crdt_sync::{
    Framing, Message, Room, RoomInput, RoomOutput, RoomOutputs, ServerError, ServerEvent,
    ServerOptions, SessionId, frame,
};

fn session(number: u8) -> SessionId {
    SessionId::from_random([number; 16])
}

fn peer(number: u8) -> PeerId {
    let mut bytes = [number; 16];
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    PeerId::from_bytes(bytes)
}

fn room(options: ServerOptions) -> Room {
    Room::new("doc".into(), Arc::new(options))
}

fn no_snapshots() -> ServerOptions {
    ServerOptions::default()
}

fn every_snapshot() -> ServerOptions {
    ServerOptions {
        automatic_snapshot: true,
        snapshot_changes_min: 0,
        ..ServerOptions::default()
    }
}

fn handshake(number: u8, version_vector: VersionVector) -> RoomInput {
    RoomInput::Handshake {
        author: peer(number),
        version_vector,
    }
}

fn ping(version_vector: Option<VersionVector>) -> RoomInput {
    RoomInput::Ping {
        timestamp: 7,
        version_vector,
    }
}

/// Changes of one author, each building on the one before.
fn history(author: u8, count: usize) -> Vec<Change> {
    let mut model = Model::default();
    for number in 0..count {
        model.commit(peer(author), 1_000 + number as i64, b"body");
    }
    model.all_changes()
}

fn sends(out: &RoomOutputs) -> Vec<(SessionId, Message)> {
    let sends = out.outputs.iter().filter_map(|output| match output {
        RoomOutput::Send { session, message } => Some((session.clone(), message.clone())),
        _ => None,
    });
    sends.collect()
}

fn kinds(out: &RoomOutputs) -> Vec<String> {
    sends(out)
        .iter()
        .map(|(_, message)| kind(message))
        .collect()
}

fn broadcasts(out: &RoomOutputs) -> Vec<(Vec<SessionId>, Message)> {
    let broadcasts = out.outputs.iter().filter_map(|output| match output {
        RoomOutput::Broadcast {
            sessions,
            except,
            message,
        } => {
            let reached = sessions
                .iter()
                .filter(|session| except.as_ref() != Some(*session));
            Some((reached.cloned().collect(), message.message().clone()))
        }
        _ => None,
    });
    broadcasts.collect()
}

fn errors(out: &RoomOutputs) -> Vec<ServerError> {
    let errors = out.outputs.iter().filter_map(|output| match output {
        RoomOutput::Event(ServerEvent::Error { error, .. }) => Some(error.clone()),
        _ => None,
    });
    errors.collect()
}

fn vector_of(object: &serde_json::Value) -> VersionVector {
    let entries = object.as_object().expect("an object").iter();
    entries
        .map(|(peer, clock)| {
            (
                PeerId::parse(peer).unwrap(),
                Hlc::parse(text(clock)).unwrap(),
            )
        })
        .collect()
}

/// A document of which only the versions matter.
struct Versions {
    vector: VersionVector,
    snapshot: Option<Snapshot>,
    taken: usize,
    refuses: bool,
}

impl Replica for Versions {
    fn version_vector(&self) -> VersionVector {
        self.vector.clone()
    }
    fn last_snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }
    fn change_count(&self) -> usize {
        1
    }
    fn changes_newer_than(&self, _seen: &VersionVector) -> Vec<Change> {
        Vec::new()
    }
    fn all_changes(&self) -> Vec<Change> {
        Vec::new()
    }
    fn apply(&mut self, _change: Change) -> Result<bool, ApplyError> {
        Ok(false)
    }
    fn import(
        &mut self,
        _snapshot: Option<&Snapshot>,
        _changes: Vec<Change>,
    ) -> Result<ImportOutcome, ApplyError> {
        Ok(ImportOutcome::default())
    }
    fn take_snapshot(&mut self, prune: bool) -> Result<&Snapshot, ApplyError> {
        assert!(prune);
        self.taken += 1;
        if self.refuses {
            return Err(ApplyError::Limit("handlers"));
        }
        Ok(self
            .snapshot
            .insert(Snapshot::new(self.vector.clone(), Vec::new())))
    }
}

/// The recorded table of the automatic snapshot rule, but for the silent author (trap 14).
#[test]
fn automatic_snapshot_rule() {
    let file = load("version_vector_rules");
    let named = |name: &serde_json::Value| vector_of(&file["vectors"][text(name)]);
    let mut relaxed = 0;
    each("automatic snapshot", list(&file["autoSnapshot"]), |case| {
        let vector = named(&case["server"]);
        let existing = &case["existingSnapshot"];
        let snapshot = (!existing.is_null()).then(|| Snapshot::new(named(existing), Vec::new()));
        let mut replica = Versions {
            vector: vector.clone(),
            snapshot,
            taken: 0,
            refuses: false,
        };
        let mut room = room(every_snapshot());
        let clients = list(&case["clients"]);
        for number in 0..clients.len() {
            // Joins without saying what it has.
            let input = RoomInput::StatusRequest {
                version_vector: None,
            };
            room.handle(&session(number as u8), input, &mut replica, 0);
        }
        for (number, client) in clients
            .iter()
            .enumerate()
            .filter(|(_, client)| !client.is_null())
        {
            room.handle(
                &session(number as u8),
                ping(Some(named(client))),
                &mut replica,
                0,
            );
        }
        let mut expected = case["takesSnapshot"].as_bool().unwrap();
        if !existing.is_null() && !expected {
            // Dart also wants something newer of *every* author in the snapshot.
            let old = named(existing);
            let newer = vector.is_strictly_newer_or_equal_than(&old) && vector != old;
            relaxed += usize::from(newer);
            expected = newer;
        }
        assert_eq!(replica.taken > 0, expected);
        Outcome::Passed
    });
    assert!(relaxed > 0, "the table shows the difference");
}

#[test]
fn automatic_snapshot_needs_enough_changes_and_is_not_forced() {
    let history = history(1, 5);
    let vector = history
        .iter()
        .map(|change| (change.id.peer, change.id.hlc))
        .collect::<VersionVector>();
    for (min, automatic, expected) in [(5, true, true), (6, true, false), (0, false, false)] {
        let mut model = Model::default();
        let mut room = room(ServerOptions {
            snapshot_changes_min: min,
            automatic_snapshot: automatic,
            ..ServerOptions::default()
        });
        room.handle(
            &session(1),
            handshake(1, VersionVector::new()),
            &mut model,
            0,
        );
        let out = room.handle(
            &session(1),
            RoomInput::Changes(history.clone()),
            &mut model,
            0,
        );
        assert!(out.persist && model.last_snapshot().is_none());
        let out = room.handle(&session(1), ping(Some(vector.clone())), &mut model, 0);
        assert_eq!(model.last_snapshot().is_some(), expected);
        assert_eq!(out.persist, expected);
        assert_eq!(
            model.changes_newer_than(&VersionVector::new()).is_empty(),
            expected
        );
        let events = out.outputs.iter().filter(|output| {
            matches!(
                output,
                RoomOutput::Event(ServerEvent::SnapshotCreated { .. })
            )
        });
        assert_eq!(events.count(), usize::from(expected));
    }
}

/// Trap 9: a document that cannot reproduce its content keeps its history, and is not asked at
/// every ping.
#[test]
fn a_refused_snapshot_is_not_asked_for_again_at_that_version() {
    let vector = VersionVector::from_iter([(peer(1), Hlc::new(5, 0))]);
    let mut replica = Versions {
        vector: vector.clone(),
        snapshot: None,
        taken: 0,
        refuses: true,
    };
    let mut room = room(every_snapshot());
    let out = room.handle(&session(1), handshake(1, vector.clone()), &mut replica, 0);
    assert!(matches!(
        errors(&out)[..],
        [ServerError::SnapshotRefused(_)]
    ));
    assert!(!out.persist);
    for _ in 0..5 {
        room.handle(&session(1), ping(Some(vector.clone())), &mut replica, 0);
    }
    assert_eq!(replica.taken, 1);
    let next = VersionVector::from_iter([(peer(1), Hlc::new(6, 0))]);
    replica.vector = next.clone();
    room.handle(&session(1), ping(Some(next)), &mut replica, 0);
    assert_eq!(replica.taken, 2);
}

/// Trap 1: every Dart client sends back what it receives.
#[test]
fn echoes_are_silent() {
    let mut model = Model::default();
    let mut room = room(no_snapshots());
    let changes = history(1, 3);
    for number in [1, 2] {
        room.handle(
            &session(number),
            handshake(number, VersionVector::new()),
            &mut model,
            0,
        );
    }
    let out = room.handle(
        &session(1),
        RoomInput::Changes(changes.clone()),
        &mut model,
        0,
    );
    assert_eq!(broadcasts(&out).len(), 3);
    assert!(
        broadcasts(&out)
            .iter()
            .all(|(sessions, _)| sessions == &[session(2)])
    );
    for sender in [1, 2] {
        let out = room.handle(
            &session(sender),
            RoomInput::Changes(changes.clone()),
            &mut model,
            0,
        );
        assert!(out.outputs.is_empty() && !out.persist);
    }
    // Recognised before anything else of it is looked at.
    let bare = Change {
        payload: Vec::new(),
        ..changes[0].clone()
    };
    let out = room.handle(&session(2), RoomInput::Changes(vec![bare]), &mut model, 0);
    assert!(out.outputs.is_empty());
}

/// Trap 3, as recorded with a real client and a scripted server in conversation 70.
#[test]
fn a_session_that_never_joined_is_asked_to_and_gets_its_session_id() {
    let changes = history(1, 1);
    for input in [RoomInput::Changes(changes.clone()), ping(None)] {
        let mut model = Model::default();
        let mut room = room(no_snapshots());
        let out = room.handle(&session(1), input.clone(), &mut model, 3);
        let expected: &[&str] = match input {
            RoomInput::Ping { .. } => &["6", "7 OUT_OF_SYNC"],
            _ => &["7 OUT_OF_SYNC"],
        };
        assert_eq!(kinds(&out), expected);
        assert!(!out.persist && model.all_changes().is_empty() && room.sessions().is_empty());
        let question = RoomInput::StatusRequest {
            version_vector: None,
        };
        let out = room.handle(&session(1), question.clone(), &mut model, 0);
        let sent = sends(&out);
        let [(_, Message::HandshakeResponse { session_id, .. })] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_eq!(session_id, session(1).as_str());
        assert_eq!(*room.sessions(), [session(1)]);
        // From now on it is a member like any other.
        assert_eq!(
            kinds(&room.handle(&session(1), question, &mut model, 0)),
            ["3"]
        );
        let out = room.handle(
            &session(1),
            RoomInput::Changes(changes.clone()),
            &mut model,
            0,
        );
        assert!(out.persist);
        assert_eq!(model.all_changes(), changes);
    }
}

/// Trap 23: a list is grouped by author; one answer per message at most.
#[test]
fn lists_are_sorted_and_out_of_sync_is_said_once() {
    let changes = history(1, 4);
    let mut model = Model::default();
    let mut room = room(no_snapshots());
    room.handle(
        &session(1),
        handshake(1, VersionVector::new()),
        &mut model,
        0,
    );
    let backwards: Vec<Change> = changes.iter().skip(1).rev().cloned().collect();
    let out = room.handle(
        &session(1),
        RoomInput::Changes(backwards.clone()),
        &mut model,
        0,
    );
    assert_eq!(kinds(&out), ["7 OUT_OF_SYNC"]);
    assert!(!out.persist);
    let everything = backwards.into_iter().chain([changes[0].clone()]).collect();
    let out = room.handle(&session(1), RoomInput::Changes(everything), &mut model, 0);
    assert!(kinds(&out).is_empty() && out.persist);
    assert_eq!(model.all_changes(), changes);
}

/// A client whose history can never be completed is not answered without end.
#[test]
fn out_of_sync_ends() {
    let changes = history(1, 2);
    let mut model = Model::default();
    let mut room = room(no_snapshots());
    room.handle(
        &session(1),
        handshake(1, VersionVector::new()),
        &mut model,
        0,
    );
    let mut answers = 0;
    for _ in 0..100 {
        let input = RoomInput::Changes(vec![changes[1].clone()]);
        answers += kinds(&room.handle(&session(1), input, &mut model, 0)).len();
    }
    assert_eq!(answers, 16);
    // It is heard again as soon as something of it can be applied.
    room.handle(
        &session(1),
        RoomInput::Changes(changes.clone()),
        &mut model,
        0,
    );
    assert_eq!(model.all_changes(), changes);
    let later = Change {
        id: OperationId::new(peer(1), Hlc::new(9_000, 0)),
        deps: vec![OperationId::new(peer(1), Hlc::new(8_000, 0))],
        payload: changes[0].payload.clone(),
    };
    let out = room.handle(&session(1), RoomInput::Changes(vec![later]), &mut model, 0);
    assert_eq!(kinds(&out), ["7 OUT_OF_SYNC"]);
}

/// Trap 12: refused, with all that builds on it, without asking for it again.
#[test]
fn unsound_changes_are_dropped() {
    let sound = history(1, 1).remove(0);
    let foreign = PeerId::from_bytes([0xff; 16]);
    let unsound = [
        Change {
            payload: vec![0xc8, 0xc8],
            ..sound.clone()
        },
        Change {
            payload: Vec::new(),
            ..sound.clone()
        },
        Change {
            id: OperationId::new(foreign, sound.id.hlc),
            ..sound.clone()
        },
        Change {
            deps: vec![OperationId::new(foreign, Hlc::ZERO)],
            ..sound.clone()
        },
        Change {
            deps: vec![sound.id],
            ..sound.clone()
        },
        Change {
            deps: vec![OperationId::new(peer(2), Hlc::ZERO); 4097],
            ..sound.clone()
        },
    ];
    for bad in unsound {
        let mut model = Model::default();
        let mut room = room(no_snapshots());
        room.handle(
            &session(1),
            handshake(1, VersionVector::new()),
            &mut model,
            0,
        );
        let next = Change {
            id: OperationId::new(peer(3), Hlc::new(5_000, 0)),
            deps: vec![bad.id],
            payload: sound.payload.clone(),
        };
        let input = RoomInput::Changes(vec![next, bad.clone()]);
        let out = room.handle(&session(1), input, &mut model, 0);
        assert!(kinds(&out).is_empty(), "{bad:?}");
        assert!(!out.persist && model.all_changes().is_empty());
        let errors = errors(&out);
        let is_bad = |error: &&ServerError| matches!(error, ServerError::InvalidChange { change, .. } if *change == bad.id);
        assert_eq!(errors.iter().filter(is_bad).count(), 1, "{errors:?}");
        if bad.id.peer != foreign {
            assert!(
                matches!(errors[1], ServerError::BuildsOnRefused { .. }),
                "{errors:?}"
            );
        }
        assert_eq!(errors.len(), 2);
        let out = room.handle(
            &session(1),
            RoomInput::Changes(vec![sound.clone()]),
            &mut model,
            0,
        );
        assert!(out.persist, "a sound change of the same id is taken");
    }
}

/// Trap 2: Dart clients ignore `changes`.
#[test]
fn many_changes_are_broadcast_as_statuses() {
    let changes = history(1, 65);
    for count in [64, 65] {
        let mut model = Model::default();
        let mut room = room(ServerOptions {
            broadcast_bytes_max: 2_000,
            ..no_snapshots()
        });
        for number in [1, 2, 3] {
            room.handle(
                &session(number),
                handshake(number, VersionVector::new()),
                &mut model,
                0,
            );
        }
        let input = RoomInput::Changes(changes[..count].to_vec());
        let out = room.handle(&session(2), input, &mut model, 0);
        let mut received = Vec::new();
        for (sessions, message) in broadcasts(&out) {
            assert_eq!(sessions, [session(1), session(3)]);
            match message {
                Message::Change { change, .. } => {
                    assert_eq!(count, 64);
                    received.push(change);
                }
                Message::DocumentStatus {
                    snapshot,
                    changes,
                    version_vector,
                    ..
                } => {
                    assert_eq!(count, 65);
                    assert!(snapshot.is_none());
                    assert_eq!(version_vector, model.version_vector());
                    received.extend(changes.unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received, changes[..count]);
        let longest = broadcasts(&out)
            .iter()
            .map(|(_, message)| frame::encode(message, Framing::Plain).len())
            .max();
        assert!(longest.unwrap() < 2_300);
    }
}

/// Trap 11: the snapshot goes only to who needs it.
#[test]
fn the_snapshot_is_sent_only_if_it_is_needed() {
    let changes = history(1, 3);
    let mut model = Model::default();
    for change in &changes[..2] {
        model.apply(change.clone()).unwrap();
    }
    model.take_snapshot(true).unwrap();
    model.apply(changes[2].clone()).unwrap();
    let up_to = |count: usize| VersionVector::from_iter([(peer(1), changes[count - 1].id.hlc)]);
    for (seen, with_snapshot, newer) in [
        (Some(VersionVector::new()), true, 1),
        (Some(up_to(1)), true, 1),
        (Some(up_to(2)), false, 1),
        (Some(up_to(3)), false, 0),
        (None, true, 1),
    ] {
        let mut inputs = vec![RoomInput::StatusRequest {
            version_vector: seen.clone(),
        }];
        inputs.extend(seen.map(|seen| handshake(1, seen)));
        for input in inputs {
            let mut room = room(no_snapshots());
            let sent = sends(&room.handle(&session(1), input, &mut model, 0));
            match &sent[0].1 {
                Message::HandshakeResponse {
                    snapshot,
                    changes,
                    version_vector,
                    ..
                }
                | Message::DocumentStatus {
                    snapshot,
                    changes,
                    version_vector,
                    ..
                } => {
                    assert_eq!(snapshot.is_some(), with_snapshot);
                    assert_eq!(changes.as_ref().unwrap().len(), newer);
                    assert_eq!(*version_vector, model.version_vector());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn leaving_ends_the_membership() {
    let mut model = Model::default();
    let mut room = room(no_snapshots());
    for number in [1, 2, 3] {
        room.handle(
            &session(number),
            handshake(number, VersionVector::new()),
            &mut model,
            0,
        );
    }
    let during = room.sessions();
    room.handle(&session(2), RoomInput::Leave, &mut model, 0);
    assert_eq!(*room.sessions(), [session(1), session(3)]);
    assert_eq!(during.len(), 3, "broadcasts on their way keep their list");
    room.handle(&session(9), RoomInput::Leave, &mut model, 0);
    for number in [1, 3] {
        assert!(!room.is_empty());
        room.handle(&session(number), RoomInput::Leave, &mut model, 0);
    }
    assert!(room.is_empty());
}

#[test]
fn the_applications_own_edits_reach_everybody() {
    let mut model = Model::default();
    let mut room = room(no_snapshots());
    for number in [1, 2] {
        room.handle(
            &session(number),
            handshake(number, VersionVector::new()),
            &mut model,
            0,
        );
    }
    let before = model.version_vector();
    model.commit(peer(9), 5, b"a");
    model.commit(peer(9), 6, b"b");
    let out = room.document_changed(&before, &model);
    assert!(out.persist);
    assert_eq!(broadcasts(&out).len(), 2);
    assert!(
        broadcasts(&out)
            .iter()
            .all(|(sessions, _)| sessions.len() == 2)
    );
}
