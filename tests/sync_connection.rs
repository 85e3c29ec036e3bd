//! The connection core of a server by hand: silence, refusals, limits, framing.

mod common;
mod sync_support;

use std::sync::Arc;
use sync_support::conversation::kind;
use sync_support::model::Model;
use syncline::clock::{PeerId, VersionVector};
use syncline::codec::{Change, Wtf8String};
use syncline::replica::Replica;
use syncline::sync::crdt_sync::{
    ConnectionAction, Framing, Limits, Message, Refusal, RoomInput, ServerConnection, ServerError,
    ServerEvent, ServerOptions, SessionId, frame,
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

fn connection(options: ServerOptions) -> ServerConnection {
    ServerConnection::new(Arc::new(options), session(1), 0)
}

fn bytes(message: &Message) -> Vec<u8> {
    frame::encode(message, Framing::Plain)
}

fn join(document_id: impl Into<Wtf8String>) -> Vec<u8> {
    bytes(&Message::HandshakeRequest {
        document_id: document_id.into(),
        author: peer(1),
        version_vector: VersionVector::new(),
    })
}

fn replies(actions: &[ConnectionAction]) -> Vec<String> {
    let replies = actions.iter().filter_map(|action| match action {
        ConnectionAction::Reply(message) => Some(kind(message)),
        _ => None,
    });
    replies.collect()
}

#[test]
fn silence_closes_the_socket_and_any_frame_is_life() {
    let mut connection = connection(ServerOptions::default());
    assert_eq!(connection.next_deadline(), 60_000);
    assert!(connection.tick(59_999).is_empty());
    connection.receive(b"garbage", 59_999);
    assert_eq!(connection.next_deadline(), 119_999);
    assert!(connection.tick(60_000).is_empty());
    let actions = connection.tick(119_999);
    let [
        ConnectionAction::Event(ServerEvent::Error { error, .. }),
        ConnectionAction::Close { .. },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(*error, ServerError::IdleTimeout { silent_ms: 60_000 });
    assert_eq!(connection.closed().len(), 1);
    assert!(connection.closed().is_empty());
    assert!(connection.receive(&join("doc"), 120_000).is_empty());
    assert!(connection.tick(i64::MAX).is_empty());
    assert_eq!(connection.next_deadline(), i64::MAX);
}

#[test]
fn refusals_are_answered_as_dart_clients_need_it() {
    let mut connection = connection(ServerOptions::default());
    let id: Arc<str> = "doc".into();
    let question = RoomInput::StatusRequest {
        version_vector: None,
    };
    let changes = RoomInput::Changes(history(1, 1));
    for (refusal, to_handshake, to_question) in [
        (
            Refusal::NotFound,
            vec!["7 DOCUMENT_NOT_FOUND", "7 HANDSHAKE_FAILED"],
            "7 DOCUMENT_NOT_FOUND",
        ),
        (
            Refusal::Unavailable,
            vec!["7 HANDSHAKE_FAILED"],
            "7 INTERNAL_ERROR",
        ),
        (
            Refusal::Forbidden,
            vec!["7 HANDSHAKE_FAILED"],
            "7 INTERNAL_ERROR",
        ),
    ] {
        let mut refuse = |input: &RoomInput| replies(&connection.refused(&id, input, refusal, 9));
        assert_eq!(refuse(&handshake(1, VersionVector::new())), to_handshake);
        assert_eq!(refuse(&question), [to_question]);
        // Who may only read is told; there is no other word for what is wrong with an edit.
        let to_changes: &[&str] = match refusal {
            Refusal::Forbidden => &["7 FORBIDDEN"],
            _ => &[],
        };
        assert_eq!(refuse(&changes), to_changes);
        // Trap 22: pings are answered for any document.
        assert_eq!(refuse(&ping(None)), ["6"]);
        assert!(refuse(&RoomInput::Leave).is_empty());
    }
}

#[test]
fn names_that_no_document_can_have() {
    let mut connection = connection(ServerOptions::default());
    let lone_surrogate = Wtf8String::from_utf16(&[0xd800]);
    let actions = connection.receive(&join(lone_surrogate.clone()), 0);
    assert_eq!(
        replies(&actions),
        ["7 DOCUMENT_NOT_FOUND", "7 HANDSHAKE_FAILED"]
    );
    let ping = Message::Ping {
        document_id: lone_surrogate.clone(),
        timestamp: 1,
        version_vector: None,
    };
    let actions = connection.receive(&bytes(&ping), 5);
    let ConnectionAction::Reply(Message::Pong { document_id, .. }) = &actions[0] else {
        panic!("{actions:?}");
    };
    assert_eq!(*document_id, lone_surrogate);
}

#[test]
fn a_connection_names_a_limited_number_of_documents() {
    let mut connection = connection(ServerOptions {
        rooms_max: 2,
        ..ServerOptions::default()
    });
    for id in ["a", "b", "a"] {
        assert!(matches!(
            connection.receive(&join(id), 0)[..],
            [ConnectionAction::ToRoom { .. }]
        ));
    }
    assert_eq!(
        replies(&connection.receive(&join("c"), 0)),
        ["7 HANDSHAKE_FAILED"]
    );
    // A refused one does not count.
    connection.refused(
        &"b".into(),
        &handshake(1, VersionVector::new()),
        Refusal::NotFound,
        0,
    );
    assert!(matches!(
        connection.receive(&join("c"), 0)[..],
        [ConnectionAction::ToRoom { .. }]
    ));
    let left: Vec<String> = connection
        .closed()
        .iter()
        .filter_map(|action| match action {
            ConnectionAction::ToRoom {
                document_id,
                input: RoomInput::Leave,
            } => Some(document_id.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(left, ["a", "c"]);
}

#[test]
fn the_first_frame_decides_the_framing_and_both_are_read() {
    for (first, second) in [
        (Framing::Plain, Framing::Gzip),
        (Framing::Gzip, Framing::Plain),
    ] {
        let mut connection = connection(ServerOptions::default());
        let message = frame::decode(&join("doc"), &Limits::default()).unwrap();
        for framing in [first, second] {
            let actions = connection.receive(&frame::encode(&message, framing), 0);
            assert!(matches!(actions[..], [ConnectionAction::ToRoom { .. }]));
            assert_eq!(connection.framing(), first);
        }
    }
}

/// What a client never sends, and what only plugins and the relay know.
#[test]
fn other_types_do_nothing() {
    let mut connection = connection(ServerOptions::default());
    for (frame, reported) in [
        (
            r#"{"type":1,"documentId":"d","sessionId":"s","versionVector":"AA=="}"#,
            false,
        ),
        (
            r#"{"type":3,"documentId":"d","versionVector":"AA=="}"#,
            false,
        ),
        (
            r#"{"type":6,"documentId":"d","originalTimestamp":1,"responseTimestamp":2}"#,
            false,
        ),
        (
            r#"{"type":7,"documentId":"d","code":"X","message":"y"}"#,
            false,
        ),
        (r#"{"type":20,"documentId":"d","author":"x"}"#, true),
        (r#"{"type":77}"#, true),
        ("hello", true),
    ] {
        let actions = connection.receive(frame.as_bytes(), 0);
        match &actions[..] {
            [] => assert!(!reported),
            [ConnectionAction::Event(ServerEvent::Error { .. })] => assert!(reported),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(connection.closed().len(), 1, "no room was named");
}
