//! Hostile input: whatever arrives, nothing panics, the connection lives, a refused message changes
//! nothing, and the next peer is served.

mod common;
mod sync_support;

use common::Random;
use std::sync::Arc;
use sync_support::conversation::{Kind, sync_mode};
use sync_support::model::Model;
use syncline::clock::{PeerId, VersionVector};
use syncline::replica::Replica;
use syncline::sync::crdt_sync::{
    Client, ClientAction, ClientOptions, ClientStatus, ConnectionAction, Framing, Limits, Message,
    Refusal, Room, RoomOutput, ServerConnection, ServerOptions, SessionId, frame,
};

fn peer(number: u8) -> PeerId {
    let mut bytes = [number; 16];
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    PeerId::from_bytes(bytes)
}

/// Frames of all recorded conversations.
fn recorded_frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for conversation in sync_mode() {
        for event in conversation.events {
            if let Kind::Frame(frame) = event.kind {
                frames.push(frame.bytes);
            }
        }
    }
    frames
}

/// A frame with a fault: in its bytes, in its text, or inside one of its base64 payloads.
fn damaged(random: &mut Random, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = frames[random.below(frames.len())].clone();
    match random.below(8) {
        0 => (0..random.below(200))
            .map(|_| random.next() as u8)
            .collect(),
        1 => {
            frame.truncate(random.below(frame.len() + 1));
            frame
        }
        2 => {
            for _ in 0..=random.below(4) {
                let at = random.below(frame.len().max(1));
                if let Some(byte) = frame.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            frame
        }
        3 => {
            // A piece of another frame in the middle.
            let other = &frames[random.below(frames.len())];
            let from = random.below(other.len() + 1);
            let piece = &other[from..from + random.below(other.len() - from + 1)];
            let at = random.below(frame.len() + 1);
            frame.splice(at..at, piece.iter().copied());
            frame
        }
        4 => swapped_token(random, &frame),
        5 => {
            let message = frame::decode(&frame, &Limits::default());
            message.map_or(frame, |message| {
                let mut packed = frame::encode(&message, Framing::Gzip);
                let at = random.below(packed.len());
                packed[at] ^= 1 << random.below(8);
                packed
            })
        }
        _ => damaged_payload(random, &frame),
    }
}

/// Another value in the place of one JSON token.
fn swapped_token(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "null",
        "0",
        "-1",
        "8",
        "5.0",
        "1e400",
        "9223372036854775808",
        "[]",
        "[null]",
        "{}",
        "\"\"",
        "\"AA==\"",
        "\"////\"",
        "true",
        "[[[[[[[[[[]]]]]]]]]]",
        "\"\\ud800\"",
    ];
    let text = String::from_utf8_lossy(frame).into_owned();
    let colons: Vec<usize> = text.match_indices(':').map(|(at, _)| at + 1).collect();
    if colons.is_empty() {
        return frame.to_vec();
    }
    let start = colons[random.below(colons.len())];
    let rest = &text[start..];
    let end = start + rest.find([',', '}']).unwrap_or(rest.len());
    let value = VALUES[random.below(VALUES.len())];
    format!("{}{value}{}", &text[..start], &text[end..]).into_bytes()
}

/// Valid base64 around bytes with a fault.
fn damaged_payload(random: &mut Random, frame: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let text = String::from_utf8_lossy(frame).into_owned();
    let parts: Vec<&str> = text.split('"').collect();
    let payloads: Vec<usize> = (0..parts.len())
        .filter(|&at| parts[at].len() > 3 && STANDARD.decode(parts[at]).is_ok())
        .collect();
    if payloads.is_empty() {
        return frame.to_vec();
    }
    let chosen = payloads[random.below(payloads.len())];
    let mut bytes = STANDARD.decode(parts[chosen]).unwrap();
    match random.below(4) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => bytes.extend((0..random.below(20)).map(|_| random.next() as u8)),
        _ => {
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
        }
    }
    let again = STANDARD.encode(&bytes);
    let mut parts = parts;
    parts[chosen] = &again;
    parts.join("\"").into_bytes()
}

struct Server {
    options: Arc<ServerOptions>,
    room: Room,
    model: Model,
}

impl Server {
    /// The messages that answer a frame.
    fn receive(&mut self, connection: &mut ServerConnection, bytes: &[u8]) -> Vec<Message> {
        let mut answers = Vec::new();
        for action in connection.receive(bytes, 5) {
            match action {
                ConnectionAction::Reply(message) => answers.push(message),
                ConnectionAction::ToRoom { document_id, input } if &*document_id == "doc-1" => {
                    let before = (self.model.version_vector(), self.model.all_changes().len());
                    let session = connection.session().clone();
                    let out = self.room.handle(&session, input, &mut self.model, 5);
                    let after = (self.model.version_vector(), self.model.all_changes().len());
                    assert!(out.persist || before == after);
                    for output in out.outputs {
                        match output {
                            RoomOutput::Send { message, .. } => answers.push(message),
                            RoomOutput::Broadcast { message, .. } => {
                                assert!(!message.frame(Framing::Plain).is_empty());
                            }
                            _ => {}
                        }
                    }
                }
                ConnectionAction::ToRoom { document_id, input } => {
                    for action in connection.refused(&document_id, &input, Refusal::NotFound, 5) {
                        if let ConnectionAction::Reply(message) = action {
                            answers.push(message);
                        }
                    }
                }
                ConnectionAction::Close { .. } => panic!("a frame closes no connection"),
                _ => {}
            }
        }
        for message in &answers {
            assert!(
                frame::decode(&frame::encode(message, Framing::Gzip), &Limits::default()).is_ok()
            );
        }
        answers
    }

    fn connect(&self, number: u8) -> ServerConnection {
        ServerConnection::new(
            self.options.clone(),
            SessionId::from_random([number; 16]),
            5,
        )
    }
}

fn handshake() -> Vec<u8> {
    let message = Message::HandshakeRequest {
        document_id: "doc-1".into(),
        author: peer(9),
        version_vector: VersionVector::new(),
    };
    frame::encode(&message, Framing::Plain)
}

#[test]
fn the_server_survives_any_frames() {
    let frames = recorded_frames();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let options = Arc::new(ServerOptions {
            automatic_snapshot: true,
            snapshot_changes_min: 3,
            ..ServerOptions::default()
        });
        let room = Room::new("doc-1".into(), options.clone());
        let mut server = Server {
            options,
            room,
            model: Model::default(),
        };
        let mut connection = server.connect(1);
        for _ in 0..300 {
            let bytes = damaged(&mut random, &frames);
            let before = server.model.version_vector();
            server.receive(&mut connection, &bytes);
            if frame::decode(&bytes, &Limits::default()).is_err() {
                assert_eq!(server.model.version_vector(), before, "seed {seed}");
            }
        }
        // The same connection still works, and so does the next one.
        for number in [1, 2] {
            let mut next = server.connect(2);
            let connection = if number == 1 {
                &mut connection
            } else {
                &mut next
            };
            let answers = server.receive(connection, &handshake());
            let answered = answers.iter().any(|message| {
                matches!(message, Message::HandshakeResponse { version_vector, .. }
                    if *version_vector == server.model.version_vector())
            });
            assert!(answered, "seed {seed}: {answers:?}");
        }
    }
}

#[test]
fn the_client_survives_any_frames() {
    let frames = recorded_frames();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut client = Client::new(ClientOptions::new("doc-1", peer(9)), seed);
        let mut model = Model::default();
        let mut now = 0;
        client.connect(now);
        for _ in 0..300 {
            let bytes = damaged(&mut random, &frames);
            let before = model.version_vector();
            client.receive(&bytes, now, &mut model);
            if frame::decode(&bytes, &Limits::default()).is_err() {
                assert_eq!(model.version_vector(), before, "seed {seed}");
            }
            if random.below(20) == 0 {
                model.commit(peer(9), now, b"edit");
                client.local_changes(now, &model);
            }
            now += random.below(500) as i64;
            client.tick(now, &model);
            drain(&mut client, &mut model, now);
        }
        // With a sound server it comes back.
        for _ in 0..1_000 {
            if client.status() == ClientStatus::Connected {
                break;
            }
            let response = Message::HandshakeResponse {
                document_id: "doc-1".into(),
                snapshot: None,
                changes: None,
                session_id: "s".to_owned(),
                version_vector: VersionVector::new(),
            };
            client.receive(&frame::encode(&response, Framing::Plain), now, &mut model);
            now += 100;
            client.tick(now, &model);
            drain(&mut client, &mut model, now);
        }
        assert_eq!(client.status(), ClientStatus::Connected, "seed {seed}");
        model.commit(peer(9), now, b"edit");
        client.local_changes(now, &model);
        let mut sent = Vec::new();
        while let Some(action) = client.poll() {
            if let ClientAction::Send(bytes) = action {
                sent.push(frame::decode(&bytes, &Limits::default()).unwrap());
            }
        }
        let pushed =
            |message: &Message| matches!(message, Message::Change { .. } | Message::Changes { .. });
        assert!(sent.iter().any(pushed), "seed {seed}: {sent:?}");
    }
}

/// Opens what is to be opened and throws the rest away.
fn drain(client: &mut Client, model: &mut Model, now: i64) {
    let mut opens = false;
    while let Some(action) = client.poll() {
        match action {
            ClientAction::Open => opens = true,
            ClientAction::Send(bytes) => {
                assert!(frame::decode(&bytes, &Limits::default()).is_ok());
            }
            _ => {}
        }
    }
    if opens {
        client.transport_opened(now, model);
        drain(client, model, now);
    }
}
