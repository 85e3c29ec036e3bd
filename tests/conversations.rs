//! Recorded conversations of real Dart peers, replayed against our cores: their frames to the
//! server into ours, and their frames to a client into ours.
//!
//! Each deliberate difference is listed with the trap of the specification's chapter 10 that it
//! answers.

mod common;
mod sync_support;

use std::collections::BTreeMap;
use std::sync::Arc;
use sync_support::conversation::{
    Conversation, Edit, Frame, Kind, check_encoding, compare, kind, presence, sync_mode,
};
use sync_support::documents::{Kind as DocumentKind, TestDocument};
use syncline::clock::{Hlc, PeerId, VersionVector};
use syncline::codec::Change;
use syncline::sync::crdt_sync::{
    Client, ClientAction, ClientOptions, ClientStatus, ConnectionAction, Framing, Limits, Message,
    Refusal, Room, RoomOutput, ServerConnection, ServerError, ServerEvent, ServerOptions,
    SessionId, frame,
};

/// Where our server answers otherwise than the Dart server: conversation, connection, edits, why.
const SERVER_DIFFERENCES: &[(&str, i64, &[Edit], &str)] = &[
    (
        "02",
        1,
        &[Edit::Extra("7 HANDSHAKE_FAILED")],
        "trap 5: the client fails at once",
    ),
    (
        "12",
        3,
        &[
            // The change, then each of four pings, and one more ping after the status request.
            Edit::Extra("7 OUT_OF_SYNC"),
            Edit::Extra("7 OUT_OF_SYNC"),
            Edit::Extra("7 OUT_OF_SYNC"),
            Edit::Extra("7 OUT_OF_SYNC"),
            Edit::Extra("7 OUT_OF_SYNC"),
            Edit::Instead("3", "1"),
        ],
        "trap 3: a client that dialled again without a handshake is asked to synchronise",
    ),
    (
        "19",
        1,
        &[Edit::Extra("1")],
        "1.3: gzip is recognised by itself",
    ),
    (
        "23",
        1,
        &[
            Edit::Extra("7 OUT_OF_SYNC"),
            Edit::Extra("7 OUT_OF_SYNC"),
            Edit::Instead("3", "1"),
            Edit::Missing("7 OUT_OF_SYNC"),
            Edit::Extra("7 HANDSHAKE_FAILED"),
        ],
        "trap 3 (twice, and the answer); trap 23: lists are sorted; trap 5",
    ),
    (
        "25",
        1,
        &[Edit::Extra("1")],
        "trap 8: no limit of 600 bytes here",
    ),
    (
        "30",
        1,
        &[Edit::Missing("2"), Edit::Instead("3", "3")],
        "trap 12: the damaged change is neither sent on nor kept",
    ),
    (
        "30",
        3,
        &[Edit::Instead("1", "1")],
        "trap 12: nor does a late joiner get it",
    ),
];

/// Where our client acts otherwise than the Dart client.
const CLIENT_DIFFERENCES: &[(&str, i64, &[Edit], &str)] = &[(
    "30",
    1,
    &[Edit::Missing("4")],
    "trap 12: a damaged envelope is the document's business, not a reason to ask again",
)];

fn edits(
    table: &[(&str, i64, &'static [Edit], &str)],
    conversation: &Conversation,
    conn: i64,
) -> &'static [Edit] {
    let found = table
        .iter()
        .find(|(name, number, _, _)| conversation.name.starts_with(name) && *number == conn);
    found.map_or(&[], |(name, conn, edits, why)| {
        println!(
            "{name}, connection {conn}: {} differences: {why}",
            edits.len()
        );
        edits
    })
}

const START_MS: i64 = 1_795_176_000_000;

// ---------------------------------------------------------------------------------------- server

struct Server {
    options: Arc<ServerOptions>,
    rooms: BTreeMap<String, (Room, Box<dyn TestDocument>)>,
    connections: BTreeMap<i64, ServerConnection>,
    sent: BTreeMap<i64, Vec<Message>>,
    closed: Vec<i64>,
    /// A snapshot was refused because it would lose content.
    refused_snapshot: bool,
}

impl Server {
    fn new(documents: &[String], kind: DocumentKind) -> Self {
        let options = Arc::new(ServerOptions {
            automatic_snapshot: true,
            snapshot_changes_min: 0,
            serve_relay: false,
            ..ServerOptions::default()
        });
        let room = |id: &String| {
            let room = Room::new(id.as_str().into(), options.clone());
            let server = PeerId::from_bytes([0x4f; 16]);
            (id.clone(), (room, kind.make(server, true)))
        };
        Server {
            rooms: documents.iter().map(room).collect(),
            options,
            connections: BTreeMap::new(),
            sent: BTreeMap::new(),
            closed: Vec::new(),
            refused_snapshot: false,
        }
    }

    fn open(&mut self, conn: i64, now_ms: i64) {
        let session = SessionId::from_random([conn as u8; 16]);
        let connection = ServerConnection::new(self.options.clone(), session, now_ms);
        self.connections.insert(conn, connection);
        self.sent.insert(conn, Vec::new());
    }

    fn receive(&mut self, conn: i64, bytes: &[u8], now_ms: i64) {
        let actions = self
            .connections
            .get_mut(&conn)
            .unwrap()
            .receive(bytes, now_ms);
        self.act(conn, actions, now_ms);
    }

    fn close(&mut self, conn: i64, now_ms: i64) {
        let actions = self.connections.get_mut(&conn).unwrap().closed();
        self.act(conn, actions, now_ms);
    }

    fn tick(&mut self, now_ms: i64) {
        let conns: Vec<i64> = self.connections.keys().copied().collect();
        for conn in conns {
            let actions = self.connections.get_mut(&conn).unwrap().tick(now_ms);
            self.act(conn, actions, now_ms);
        }
    }

    fn act(&mut self, conn: i64, actions: Vec<ConnectionAction>, now_ms: i64) {
        for action in actions {
            match action {
                ConnectionAction::Reply(message) => self.deliver(conn, &message),
                ConnectionAction::ToRoom { document_id, input } => {
                    let session = self.connections[&conn].session().clone();
                    let Some((room, document)) = self.rooms.get_mut(&*document_id) else {
                        let connection = self.connections.get_mut(&conn).unwrap();
                        let refused =
                            connection.refused(&document_id, &input, Refusal::NotFound, now_ms);
                        self.act(conn, refused, now_ms);
                        continue;
                    };
                    let before = document.version_vector();
                    let out = room.handle(&session, input, document.replica_mut(), now_ms);
                    assert!(out.persist || document.version_vector() == before);
                    document.check();
                    self.release(out.outputs);
                }
                ConnectionAction::Close { .. } => {
                    self.closed.push(conn);
                    self.close(conn, now_ms);
                }
                _ => {}
            }
        }
    }

    fn release(&mut self, outputs: Vec<RoomOutput>) {
        for output in outputs {
            match output {
                RoomOutput::Send { session, message } => {
                    let conn = self.conn_of(&session).expect("it just sent something");
                    self.deliver(conn, &message);
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
                        let conn = self.conn_of(session).expect("subscribed");
                        let frame = message.frame(self.connections[&conn].framing());
                        let decoded = frame::decode(&frame, &Limits::default()).unwrap();
                        assert_eq!(decoded, *message.message());
                        self.deliver(conn, &decoded);
                    }
                }
                RoomOutput::Event(ServerEvent::Error {
                    error: ServerError::SnapshotRefused(_),
                    ..
                }) => self.refused_snapshot = true,
                _ => {}
            }
        }
    }

    /// Through the wire form.
    fn deliver(&mut self, conn: i64, message: &Message) {
        let framing = self.connections[&conn].framing();
        let bytes = frame::encode(message, framing);
        assert_eq!(Framing::of(&bytes), framing);
        let decoded = frame::decode(&bytes, &Limits::default()).unwrap();
        self.sent.get_mut(&conn).unwrap().push(decoded);
    }

    fn conn_of(&self, session: &SessionId) -> Option<i64> {
        let mut connections = self.connections.iter();
        connections
            .find(|(_, connection)| connection.session() == session)
            .map(|(conn, _)| *conn)
    }
}

#[test]
fn our_server_answers_as_the_dart_server() {
    for kind in [DocumentKind::Oracle, DocumentKind::Engine] {
        let mut frames = 0;
        for conversation in sync_mode() {
            if !conversation.real_server {
                let name = &conversation.name;
                println!("{name}: no server replay: the recorded server is a script");
                continue;
            }
            frames += replay_server(&conversation, kind);
        }
        println!("{kind:?}: {frames} frames of servers");
        assert!(frames >= 150, "only {frames} frames were compared");
    }
}

fn replay_server(conversation: &Conversation, kind: DocumentKind) -> usize {
    let mut server = Server::new(&conversation.documents, kind);
    let mut recorded = Recorded::default();
    for (number, event) in conversation.events.iter().enumerate() {
        let now_ms = START_MS + event.at_ms;
        server.tick(now_ms);
        let before = server.sent.clone();
        match &event.kind {
            Kind::Open { conn, .. } => server.open(*conn, now_ms),
            Kind::Close { conn, .. } => server.close(*conn, now_ms),
            Kind::Frame(frame) => server_frame(&mut server, &mut recorded, frame, now_ms),
            Kind::Note { who, what } if who == "server" => application(&mut server, what),
            Kind::Note { .. } if conversation.name.starts_with("28") && event.at_ms == 171 => {
                // Its application took a snapshot between the two edits; no event tells of it.
                let (_, document) = server.rooms.get_mut("doc-1").unwrap();
                server.refused_snapshot |= document.take_snapshot(true).is_err();
            }
            Kind::Note { .. } => {}
        }
        let last = number + 1 == conversation.events.len();
        if last && matches!(&event.kind, Kind::Frame(frame) if frame.to_server) {
            // The recording ends before the answer to its last frame.
            server.sent = before;
        }
    }
    // Trap 9: history that cannot be reproduced stays. All handlers of the recordings can be.
    assert!(!server.refused_snapshot, "{}", conversation.name);
    let mut compared = 0;
    for (conn, ours) in &server.sent {
        let (ours, presence) = apart(ours, |id| ours_of(&server, id));
        recorded.check_presence(conversation, *conn, &presence);
        let recorded = recorded.messages.remove(conn).unwrap_or_default();
        compared += recorded.len();
        let what = format!("{}, connection {conn}", conversation.name);
        compare(
            &what,
            &recorded,
            &ours,
            edits(SERVER_DIFFERENCES, conversation, *conn),
        );
    }
    if conversation.name.starts_with("29") {
        assert_eq!(server.closed, [1], "trap 7: the idle socket is closed");
    }
    check_final_documents(conversation, &server);
    compared
}

fn server_frame(server: &mut Server, recorded: &mut Recorded, frame: &Frame, now_ms: i64) {
    if let Some(message) = frame.message() {
        check_encoding(frame, &message);
    }
    if frame.to_server {
        if frame.delivered {
            server.receive(frame.conn, &frame.bytes, now_ms);
        }
        return;
    }
    let message = frame.message().expect("a Dart server sends sound frames");
    if let Message::HandshakeResponse { session_id, .. } = &message {
        recorded.sessions.insert(session_id.clone(), frame.conn);
    }
    recorded
        .messages
        .entry(frame.conn)
        .or_default()
        .push(message);
}

/// What a recorded server sent.
#[derive(Default)]
struct Recorded {
    messages: BTreeMap<i64, Vec<Message>>,
    /// Connections by the names of their sessions.
    sessions: BTreeMap<String, i64>,
}

impl Recorded {
    /// Takes the messages about presence out and compares them. They are a stream of their own:
    /// ours follow the handshake response (trap 15).
    fn check_presence(&mut self, conversation: &Conversation, conn: i64, ours: &[String]) {
        let sessions = self.sessions.clone();
        let name = |id: &str| sessions.get(id).map_or(id.to_owned(), i64::to_string);
        let stream = self.messages.entry(conn).or_default();
        let (rest, recorded) = apart(stream, name);
        *stream = rest;
        let plugin = conversation.presence_in_recording();
        if !plugin {
            assert!(recorded.is_empty());
            return;
        }
        if conversation.name.starts_with("31") {
            println!("31: trap 16: presence in another's name counts as the sender's own");
            return;
        }
        assert_eq!(ours, recorded, "{}, connection {conn}", conversation.name);
    }
}

fn ours_of(server: &Server, id: &str) -> String {
    let conns = server.connections.iter();
    let mut conns = conns.filter(|(_, connection)| connection.session().as_str() == id);
    conns
        .next()
        .map_or(id.to_owned(), |(conn, _)| conn.to_string())
}

/// A stream without messages about presence, and those.
fn apart(stream: &[Message], name: impl Fn(&str) -> String) -> (Vec<Message>, Vec<String>) {
    let shown = stream.iter().filter_map(|message| presence(message, &name));
    let shown = shown.collect();
    let rest = stream
        .iter()
        .filter(|message| presence(message, &name).is_none())
        .cloned();
    (rest.collect(), shown)
}

/// What the application of the recorded server did on its own.
fn application(server: &mut Server, what: &str) {
    let broadcast = |server: &mut Server, message: Message| {
        let sessions = server.rooms["doc-1"].0.sessions();
        for session in sessions.iter() {
            let conn = server.conn_of(session).unwrap();
            server.deliver(conn, &message);
        }
    };
    if what == "broadcastMessage(ping)" {
        let message = Message::Ping {
            document_id: "doc-1".into(),
            timestamp: 1234,
            version_vector: None,
        };
        broadcast(server, message);
    } else if let Some(code) = what.strip_prefix("broadcastMessage(error ") {
        let code = code.trim_end_matches(')').to_owned();
        let message = Message::Error {
            document_id: "doc-1".into(),
            code,
            message: "m".to_owned(),
        };
        broadcast(server, message);
    } else if what.starts_with("createSnapshot") {
        let (room, document) = server.rooms.get_mut("doc-1").unwrap();
        server.refused_snapshot |= document.take_snapshot(true).is_err();
        let out = room.snapshot_taken(document.replica());
        server.release(out.outputs);
    }
}

fn check_final_documents(conversation: &Conversation, server: &Server) {
    // The damaged change of conversation 30 is in the Dart server's version.
    if conversation.name.starts_with("30") {
        return;
    }
    // Conversation 25 starts with a document that is not in the recording.
    if conversation.name.starts_with("25") {
        return;
    }
    let Some(documents) = conversation.last["server"].as_object() else {
        return;
    };
    for (id, expected) in documents {
        let (_, document) = &server.rooms[id];
        assert_eq!(
            document.version_vector(),
            vector(&expected["versionVector"]),
            "{}",
            conversation.name
        );
    }
}

fn vector(json: &serde_json::Value) -> VersionVector {
    let entries = json.as_object().expect("an object").iter();
    entries
        .map(|(peer, clock)| {
            (
                PeerId::parse(peer).unwrap(),
                Hlc::parse(clock.as_str().unwrap()).unwrap(),
            )
        })
        .collect()
}

// ---------------------------------------------------------------------------------------- client

/// An hour: the recorded pings are short, ours are driven by hand.
const PING_INTERVAL_MS: i64 = 3_600_000;

struct Peer {
    id: PeerId,
    client: Client,
    document: Box<dyn TestDocument>,
    /// Local changes that were recorded on their way to a server.
    own: Vec<Change>,
    conn: Option<i64>,
    sent: BTreeMap<i64, Vec<Message>>,
    recorded: BTreeMap<i64, Vec<Message>>,
    /// Time that passed for pings only.
    skipped_ms: i64,
    /// Why the rest cannot be replayed.
    over: Option<&'static str>,
}

impl Peer {
    fn new(id: PeerId, document_id: &str, own: Vec<Change>, kind: DocumentKind) -> Self {
        let options = ClientOptions {
            want_acknowledgement: false,
            ping_interval_ms: PING_INTERVAL_MS,
            ping_timeout_ms: 10 * PING_INTERVAL_MS,
            ..ClientOptions::new(document_id, id)
        };
        Peer {
            id,
            client: Client::new(options, 1),
            document: kind.make(id, true),
            own,
            conn: None,
            sent: BTreeMap::new(),
            recorded: BTreeMap::new(),
            skipped_ms: 0,
            over: None,
        }
    }

    fn collect(&mut self) -> bool {
        let mut opened = false;
        while let Some(action) = self.client.poll() {
            match action {
                ClientAction::Send(bytes) => {
                    let message = frame::decode(&bytes, &Limits::default()).unwrap();
                    let conn = self.conn.expect("an open transport");
                    self.sent.entry(conn).or_default().push(message);
                }
                ClientAction::Open => opened = true,
                _ => {}
            }
        }
        opened
    }

    fn commit_up_to(&mut self, seen: &VersionVector) {
        let known = self.document.version_vector();
        for change in self.own.clone() {
            let id = change.id;
            if seen.covers(&id.peer, id.hlc) && !known.covers(&id.peer, id.hlc) {
                // What it builds on may be in a snapshot that was never sent.
                self.document.commit_recorded(change);
            }
        }
    }

    fn opened(&mut self, conn: i64, now_ms: i64) {
        self.conn = Some(conn);
        self.client.connect(now_ms);
        assert!(self.collect(), "a transport is wanted");
        self.sent.entry(conn).or_default();
    }

    fn closed(&mut self, conn: i64, on_purpose: bool, now_ms: i64) {
        if self.conn != Some(conn) {
            return;
        }
        if on_purpose {
            self.client.disconnect();
        } else {
            self.client.transport_closed(now_ms, "closed");
        }
        self.collect();
        self.conn = None;
    }

    fn received(&mut self, frame: &Frame, now_ms: i64) {
        if self.conn == Some(frame.conn) && frame.delivered {
            self.client
                .receive(&frame.bytes, now_ms, self.document.replica_mut());
            self.collect();
        }
    }

    /// The recorded client sent this: do what made it do so, then see whether ours sends it, too.
    fn expect(&mut self, conn: i64, message: Message, now_ms: i64) {
        let first = self.sent.get(&conn).is_none_or(Vec::is_empty);
        match &message {
            Message::HandshakeRequest { version_vector, .. } => {
                self.commit_up_to(version_vector);
                self.client
                    .transport_opened(now_ms, self.document.replica());
            }
            _ if first => {
                self.over = Some("a Dart client dialled again without a handshake (trap 3)");
                return;
            }
            Message::Change { change, .. } => {
                let id = change.id;
                let known = self.document.version_vector().covers(&id.peer, id.hlc);
                if known && id.peer != self.id {
                    // Trap 1: the echo of a change that came from the server.
                    return;
                }
                if !known {
                    self.document.commit_recorded(change.clone());
                    self.client.local_changes(now_ms, self.document.replica());
                }
            }
            Message::Ping { .. } => {
                self.skipped_ms += PING_INTERVAL_MS;
                self.client
                    .tick(now_ms + PING_INTERVAL_MS, self.document.replica());
            }
            // The application's calls behind these are not replayed; see tests/relay.rs.
            Message::Unknown { .. }
            | Message::AwarenessUpdate { .. }
            | Message::AwarenessQuery { .. } => return,
            _ => {}
        }
        self.recorded.entry(conn).or_default().push(message);
        self.collect();
    }
}

#[test]
fn our_client_acts_as_the_dart_client() {
    for kind in [DocumentKind::Oracle, DocumentKind::Engine] {
        let mut frames = 0;
        for conversation in sync_mode() {
            if conversation.name.starts_with("26") {
                println!("26: no client replay: the backlog never reached the wire (trap 24)");
                continue;
            }
            frames += replay_clients(&conversation, kind);
        }
        println!("{kind:?}: {frames} frames of clients");
        assert!(frames > 150, "only {frames} frames were compared");
    }
}

fn replay_clients(conversation: &Conversation, kind: DocumentKind) -> usize {
    let mut peers = make_peers(conversation, kind);
    let mut disconnecting = Vec::new();
    for event in &conversation.events {
        let at_ms = START_MS + event.at_ms;
        match &event.kind {
            Kind::Note { who, what } => {
                if what == "disconnect()" {
                    disconnecting.push(who.clone());
                }
                if what == "requestSync()" {
                    let peer = peers.get_mut(who).expect("a client");
                    peer.client
                        .request_sync(at_ms + peer.skipped_ms, peer.document.replica());
                    peer.collect();
                }
            }
            Kind::Open { conn, peer } => with(&mut peers, peer, |peer| {
                peer.opened(*conn, at_ms + peer.skipped_ms);
            }),
            Kind::Close {
                conn,
                by_client_normally,
            } => {
                for (label, peer) in &mut peers {
                    let on_purpose = *by_client_normally && disconnecting.contains(label);
                    peer.closed(*conn, on_purpose, at_ms + peer.skipped_ms);
                }
            }
            Kind::Frame(frame) => with(&mut peers, &frame.peer, |peer| {
                let now_ms = at_ms + peer.skipped_ms;
                match frame.message() {
                    _ if !frame.to_server => peer.received(frame, now_ms),
                    Some(message) => {
                        check_encoding(frame, &message);
                        peer.expect(frame.conn, message, now_ms);
                    }
                    None => panic!("{}: a Dart client sends sound frames", conversation.name),
                }
            }),
        }
    }
    peers
        .iter()
        .map(|(label, peer)| check_peer(conversation, label, peer))
        .sum()
}

/// Does something with a client unless it is a hand-driven one or over.
fn with(peers: &mut BTreeMap<String, Peer>, label: &str, act: impl FnOnce(&mut Peer)) {
    if let Some(peer) = peers.get_mut(label).filter(|peer| peer.over.is_none()) {
        act(peer);
    }
}

fn make_peers(conversation: &Conversation, kind: DocumentKind) -> BTreeMap<String, Peer> {
    let mut peers = BTreeMap::new();
    let mut labels: Vec<(String, String)> = conversation.peers.clone();
    if conversation.name.starts_with("30") {
        // Its clients are real, though not listed.
        labels.push((
            "A".to_owned(),
            "11111111-1111-4111-8111-111111111111".to_owned(),
        ));
    }
    for (label, id) in labels {
        let id = PeerId::parse(&id).unwrap();
        let mut own = Vec::new();
        let mut document_id = "doc-1".to_owned();
        let sent = conversation
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                Kind::Frame(frame) if frame.to_server && frame.peer == label => frame.message(),
                _ => None,
            });
        for message in sent {
            match message {
                Message::HandshakeRequest {
                    document_id: id, ..
                } => {
                    document_id = id.as_str().unwrap().to_owned();
                }
                Message::Change { change, .. } => own.push(change),
                Message::Changes { changes, .. } => own.extend(changes),
                _ => {}
            }
        }
        own.retain(|change| change.id.peer == id);
        own.sort_by_key(|change| change.id.hlc);
        own.dedup();
        let mut peer = Peer::new(id, &document_id, own, kind);
        if conversation.name.starts_with("28") && label == "A" {
            // It took a snapshot of its own before; only what came later was ever sent.
            let first = peer.own[0].id.hlc.to_u64();
            let vector = VersionVector::from_iter([(id, Hlc::from_u64(first - 1))]);
            peer.document.set_snapshot(vector);
        }
        peers.insert(label, peer);
    }
    peers
}

fn check_peer(conversation: &Conversation, label: &str, peer: &Peer) -> usize {
    let mut compared = 0;
    for (conn, ours) in &peer.sent {
        let what = format!("{}, client {label}, connection {conn}", conversation.name);
        let recorded = peer
            .recorded
            .get(conn)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if peer.over.is_some() && recorded.is_empty() {
            continue;
        }
        compared += recorded.len();
        compare(
            &what,
            recorded,
            ours,
            edits(CLIENT_DIFFERENCES, conversation, *conn),
        );
    }
    if let Some(reason) = peer.over {
        println!("{}, client {label}: stopped: {reason}", conversation.name);
        return compared;
    }
    let last = &conversation.last[label];
    if last.is_object()
        && !conversation.name.starts_with("14")
        && !conversation.name.starts_with("11")
    {
        // 11 and 14 end with edits that reached no wire.
        assert_eq!(
            peer.document.version_vector(),
            vector(&last["versionVector"]),
            "{}, client {label}",
            conversation.name
        );
        let expected = match last["status"].as_str() {
            Some("connected") => Some(ClientStatus::Connected),
            Some("disconnected") => Some(ClientStatus::Disconnected),
            _ => None,
        };
        // 27: ours notices at once that the server closed the socket.
        if let (Some(expected), false) = (expected, conversation.name.starts_with("27")) {
            assert_eq!(
                peer.client.status(),
                expected,
                "{}, client {label}",
                conversation.name
            );
        }
    }
    compared
}

/// The helper that the tables rely on tells streams apart.
#[test]
fn the_comparison_notices_differences() {
    let errors = |codes: &[&str]| -> Vec<Message> {
        let error = |code: &&str| Message::Error {
            document_id: "d".into(),
            code: (*code).to_owned(),
            message: String::new(),
        };
        codes.iter().map(error).collect()
    };
    let fails = |recorded: &[&str], ours: &[&str], edits: &[Edit]| {
        let (recorded, ours) = (errors(recorded), errors(ours));
        std::panic::catch_unwind(|| compare("x", &recorded, &ours, edits)).is_err()
    };
    assert_eq!(kind(&errors(&["A"])[0]), "7 A");
    assert!(!fails(&["A"], &["A"], &[]));
    assert!(fails(&["A"], &["B"], &[]));
    assert!(fails(&["A"], &[], &[]));
    assert!(fails(&["A"], &["A"], &[Edit::Extra("7 A")]));
    assert!(!fails(&["A"], &["B", "A"], &[Edit::Extra("7 B")]));
    assert!(fails(&["A"], &["B", "A"], &[Edit::Extra("7 A")]));
    assert!(!fails(&["A"], &["B"], &[Edit::Instead("7 A", "7 B")]));
}
