//! Recorded conversations of real Dart clients with a Dart relay, replayed against our relay.
//!
//! Each deliberate difference is listed with the trap of the specification's chapter 10 that it
//! answers.

mod common;
mod sync_support;

use std::collections::BTreeMap;
use std::sync::Arc;
use sync_support::conversation::{
    Conversation, Edit, Kind, check_encoding, compare, presence, relay_mode,
};
use syncline::sync::crdt_relay::{MemoryRelayLog, RelayRoom};
use syncline::sync::crdt_sync::{
    ConnectionAction, Limits, Message, Refusal, RoomOutput, ServerConnection, ServerOptions,
    SessionId, frame,
};

/// Where our relay answers otherwise than the Dart relay: conversation, connection, edits, why.
const DIFFERENCES: &[(&str, i64, &[Edit], &str)] = &[
    (
        "58",
        1,
        &[
            Edit::Extra("21"),
            Edit::Extra("21"),
            Edit::Instead("21", "21"),
            Edit::Instead("21", "21"),
        ],
        "trap 4 (twice); trap 18: uploads move forward, and not beyond the log",
    ),
    (
        "62",
        2,
        &[Edit::Extra("21")],
        "trap 4: who dialled again is welcomed",
    ),
];

const START_MS: i64 = 1_795_176_000_000;

struct Relay {
    options: Arc<ServerOptions>,
    rooms: BTreeMap<String, (RelayRoom, MemoryRelayLog)>,
    connections: BTreeMap<i64, ServerConnection>,
    sent: BTreeMap<i64, Vec<Message>>,
}

impl Relay {
    fn open(&mut self, conn: i64, now_ms: i64) {
        let session = SessionId::from_random([conn as u8; 16]);
        let connection = ServerConnection::new(self.options.clone(), session, now_ms);
        self.connections.insert(conn, connection);
        self.sent.insert(conn, Vec::new());
    }

    fn act(&mut self, conn: i64, actions: Vec<ConnectionAction>, now_ms: i64) {
        for action in actions {
            match action {
                ConnectionAction::Reply(message) => self.deliver(conn, message),
                ConnectionAction::ToRelay { document_id, input } => {
                    let options = self.options.clone();
                    let name = document_id.to_string();
                    let new = || {
                        let room = RelayRoom::new(document_id.clone(), options);
                        (room, MemoryRelayLog::new())
                    };
                    let (room, log) = self.rooms.entry(name).or_insert_with(new);
                    let session = self.connections[&conn].session().clone();
                    let out = room.handle(&session, input, log, now_ms).unwrap();
                    out.outputs
                        .into_iter()
                        .for_each(|output| self.release(output));
                }
                ConnectionAction::ToRoom { document_id, input } => {
                    let connection = self.connections.get_mut(&conn).unwrap();
                    let refused =
                        connection.refused(&document_id, &input, Refusal::NotFound, now_ms);
                    self.act(conn, refused, now_ms);
                }
                _ => {}
            }
        }
    }

    fn release(&mut self, output: RoomOutput) {
        match output {
            RoomOutput::Send { session, message } => {
                let conn = self.conn_of(&session);
                self.deliver(conn, message);
            }
            RoomOutput::Broadcast {
                sessions,
                except,
                message,
            } => {
                for session in sessions
                    .iter()
                    .filter(|session| except.as_ref() != Some(*session))
                {
                    let conn = self.conn_of(session);
                    self.deliver(conn, message.message().clone());
                }
            }
            RoomOutput::Behind { .. } => panic!("these logs are short"),
            _ => {}
        }
    }

    fn deliver(&mut self, conn: i64, message: Message) {
        let bytes = frame::encode(&message, self.connections[&conn].framing());
        assert_eq!(
            frame::decode(&bytes, &Limits::default()),
            Ok(message.clone())
        );
        self.sent.get_mut(&conn).unwrap().push(message);
    }

    fn conn_of(&self, session: &SessionId) -> i64 {
        let mut connections = self.connections.iter();
        let found = connections.find(|(_, connection)| connection.session() == session);
        *found.expect("it was here a moment ago").0
    }
}

#[test]
fn our_relay_answers_as_the_dart_relay() {
    let mut frames = 0;
    for conversation in relay_mode() {
        if !conversation.real_server && conversation.relay_log_length_max.is_none() {
            let name = &conversation.name;
            println!("{name}: no server replay: the recorded server is a script");
            continue;
        }
        frames += replay(&conversation);
    }
    println!("{frames} frames of relays");
    assert!(frames >= 70, "only {frames} frames were compared");
}

fn replay(conversation: &Conversation) -> usize {
    let threshold = conversation.relay_log_length_max;
    let mut relay = Relay {
        options: Arc::new(ServerOptions {
            serve_sync: threshold.is_none(),
            serve_relay: threshold.is_some(),
            relay_log_length_max: threshold.unwrap_or(200),
            ..ServerOptions::default()
        }),
        rooms: BTreeMap::new(),
        connections: BTreeMap::new(),
        sent: BTreeMap::new(),
    };
    let mut recorded: BTreeMap<i64, Vec<Message>> = BTreeMap::new();
    let mut sessions: BTreeMap<String, i64> = BTreeMap::new();
    for event in &conversation.events {
        let now_ms = START_MS + event.at_ms;
        match &event.kind {
            Kind::Open { conn, .. } => relay.open(*conn, now_ms),
            Kind::Close { conn, .. } => {
                let actions = relay.connections.get_mut(conn).unwrap().closed();
                relay.act(*conn, actions, now_ms);
            }
            Kind::Note { what, .. } if what.contains("empty store") => relay.rooms.clear(),
            Kind::Note { .. } => {}
            Kind::Frame(frame) => {
                if let Some(message) = frame.message() {
                    check_encoding(frame, &message);
                    if let Message::RelayWelcome(welcome) = &message {
                        sessions.insert(welcome.session_id.clone(), frame.conn);
                    }
                    if !frame.to_server {
                        recorded.entry(frame.conn).or_default().push(message);
                    }
                }
                if frame.to_server && frame.delivered {
                    let connection = relay.connections.get_mut(&frame.conn).unwrap();
                    let actions = connection.receive(&frame.bytes, now_ms);
                    relay.act(frame.conn, actions, now_ms);
                }
            }
        }
    }
    let mut compared = 0;
    for (conn, ours) in &relay.sent {
        let recorded = recorded.remove(conn).unwrap_or_default();
        let what = format!("{}, connection {conn}", conversation.name);
        let theirs = |id: &str| sessions.get(id).map_or(id.to_owned(), i64::to_string);
        let own = |id: &str| {
            let mut connections = relay.connections.iter();
            let found = connections.find(|(_, other)| other.session().as_str() == id);
            found.map_or(id.to_owned(), |(conn, _)| conn.to_string())
        };
        if conversation.presence_in_recording() {
            let shown = |stream: &[Message], name: &dyn Fn(&str) -> String| {
                let shown = stream.iter().filter_map(|message| presence(message, name));
                shown.collect::<Vec<_>>()
            };
            assert_eq!(shown(ours, &own), shown(&recorded, &theirs), "{what}");
        }
        let rest = |stream: &[Message]| {
            let rest = stream
                .iter()
                .filter(|message| presence(message, own).is_none());
            rest.cloned().collect::<Vec<_>>()
        };
        let (recorded, ours) = (rest(&recorded), rest(ours));
        compared += recorded.len();
        let mut known = DIFFERENCES.iter();
        let found = known
            .find(|(name, number, _, _)| conversation.name.starts_with(name) && number == conn);
        let edits = found.map_or(&[][..], |(_, _, edits, _)| edits);
        compare(&what, &recorded, &ours, edits);
    }
    compared
}
