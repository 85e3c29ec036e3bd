//! The relay mode and presence over loopback, with real sockets and stores.
#![cfg(all(feature = "client", feature = "server", feature = "sqlite"))]

mod loopback;

use loopback::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use syncline::codec::Value;
use syncline::document::{HandlerKind, HandlerSpec, SharedDocument};
use syncline::net::{Client, ClientMode, ClientOptions, Dialect, Server, ServerOptions};
use syncline::replica::Replica;
use syncline::sync::crdt_sync::{Message as Frame, constants::error_code, frame};
use tokio_tungstenite::tungstenite::Message;

fn relay_options(address: SocketAddr) -> ClientOptions {
    ClientOptions {
        mode: ClientMode::Relay,
        ..client_options(address)
    }
}

fn relay(address: SocketAddr, document: &Arc<SharedDocument>) -> Client {
    join_with(relay_options(address), document)
}

fn named(name: &str) -> Value {
    Value::Object(vec![("name".into(), Value::String(name.into()))])
}

/// The next message of the server that is not about presence.
fn receive(socket: &mut RawSocket) -> Frame {
    loop {
        if let Message::Binary(bytes) = socket.read().unwrap() {
            match frame::decode(&bytes, &Default::default()).unwrap() {
                Frame::AwarenessUpdate { .. } | Frame::AwarenessState { .. } => {}
                message => return message,
            }
        }
    }
}

#[test]
fn clients_of_a_relay_converge_and_survive_its_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay");
    let (server, address) = serve(ServerOptions::default(), Some(sqlite(&path)));
    let (a, b) = (document(ROOM), document(ROOM));
    // A Dart client never pushes what was there before (specification 9.5); ours does.
    insert(&a, 0, "before ");
    let (client_a, client_b) = (relay(address, &a), relay(address, &b));
    for step in 0..40 {
        insert(&a, step, "a");
        insert(&b, step / 2, "b");
    }
    client_a.wait_acknowledged(LONG).unwrap();
    client_b.wait_acknowledged(LONG).unwrap();
    eventually("both are equal", || {
        content(&a) == content(&b) && content(&a).len() == 87
    });
    client_a.wait_synced(LONG).unwrap();
    assert!(client_a.last_known_seq() > 1);
    assert_eq!(server.stats().changes_applied, 81);
    assert!(
        server
            .rooms()
            .iter()
            .any(|room| room.name == ROOM && room.sessions == 2)
    );
    server.stop(LONG).unwrap();
    drop(server);
    insert(&a, 1000, "a offline ");
    insert(&b, 1000, "b offline ");
    let options = ServerOptions {
        port: address.port(),
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, Some(sqlite(&path)));
    client_a.wait_acknowledged(LONG).unwrap();
    client_b.wait_acknowledged(LONG).unwrap();
    let c = document(ROOM);
    let _client_c = relay(address, &c);
    eventually("all are equal", || {
        content(&a) == content(&b) && content(&c) == content(&a)
    });
    assert!(content(&c).contains("before") && content(&c).contains("b offline"));
    // The name is taken by a log: the sync mode does not get a document of it.
    let mut socket = raw(address);
    send(&mut socket, &handshake(ROOM));
    let refused = receive(&mut socket);
    assert!(
        matches!(&refused, Frame::Error { code, .. } if code == error_code::HANDSHAKE_FAILED),
        "{refused:?}"
    );
    drop(server);
}

#[test]
fn a_relay_that_lost_its_disk_is_filled_again() {
    let (server, address) = serve(ServerOptions::default(), None);
    let (a, b) = (document(ROOM), document(ROOM));
    let (client_a, client_b) = (relay(address, &a), relay(address, &b));
    insert(&a, 0, "from a ");
    insert(&b, 0, "from b ");
    eventually("both are equal", || {
        content(&a) == content(&b) && content(&a).len() == 14
    });
    client_a.wait_acknowledged(LONG).unwrap();
    client_b.disconnect().unwrap();
    drop(server);
    let options = ServerOptions {
        port: address.port(),
        ..ServerOptions::default()
    };
    let (_server, address) = serve(options, None);
    eventually("the first comes back", || {
        client_a.wait_synced(LONG).is_ok()
    });
    client_a.wait_acknowledged(LONG).unwrap();
    let c = document(ROOM);
    let _client_c = relay(address, &c);
    eventually("the log is complete", || content(&c) == content(&a));
}

#[test]
fn a_long_log_comes_in_pages_and_becomes_a_snapshot() {
    let mut options = ServerOptions::default();
    options.protocol.relay_page_bytes = 2_000;
    options.protocol.relay_log_length_max = 50;
    let (server, address) = serve(options, None);
    let a = document(ROOM);
    let client_a = relay(address, &a);
    for step in 0..120 {
        insert(&a, step, "x");
        if step % 10 == 0 {
            client_a.wait_acknowledged(LONG).unwrap();
        }
    }
    client_a.wait_acknowledged(LONG).unwrap();
    let log_length = |address| {
        let mut socket = raw(address);
        let hello = Frame::RelayHello {
            document_id: ROOM.into(),
            author: document(ROOM).peer_id(),
        };
        send(&mut socket, &hello);
        match receive(&mut socket) {
            Frame::RelayWelcome(welcome) => (welcome.log_length, welcome.snapshot.is_some()),
            other => panic!("no welcome: {other:?}"),
        }
    };
    eventually("a snapshot was uploaded", || log_length(address).1);
    assert!(log_length(address).0 < 120);
    for step in 0..40 {
        insert(&a, step, "y");
    }
    client_a.wait_acknowledged(LONG).unwrap();
    let b = document(ROOM);
    let client_b = relay(address, &b);
    eventually("the late joiner has it all", || content(&b) == content(&a));
    client_b.wait_synced(LONG).unwrap();
    insert(&b, 0, "b");
    client_b.wait_acknowledged(LONG).unwrap();
    eventually("and is heard", || content(&b) == content(&a));
    drop(server);
}

/// Trap 4: a Dart client that lost its socket dials again and goes on without a hello.
#[test]
fn a_push_without_a_hello_is_answered_with_a_welcome() {
    let (_server, address) = serve(ServerOptions::default(), None);
    let push = || Frame::RelayPush {
        document_id: ROOM.into(),
        changes: vec!["blob".into()],
    };
    let mut socket = raw(address);
    send(&mut socket, &push());
    let Frame::RelayWelcome(welcome) = receive(&mut socket) else {
        panic!("no welcome");
    };
    assert_eq!((welcome.seq, welcome.changes.len()), (0, 0), "discarded");
    send(&mut socket, &push());
    let ack = |seq| Frame::RelayAck {
        document_id: ROOM.into(),
        seq,
        count: 1,
        log_length: 1,
        compact: false,
    };
    assert_eq!(receive(&mut socket), ack(1));
    // An acknowledgement that was lost: the same blob again gets the same number.
    send(&mut socket, &push());
    assert_eq!(receive(&mut socket), ack(1));
    // A ping of one that dialled again, which carries no version.
    let mut again = raw(address);
    let ping = Frame::Ping {
        document_id: ROOM.into(),
        timestamp: 7,
        version_vector: None,
    };
    send(&mut again, &ping);
    assert!(matches!(
        receive(&mut again),
        Frame::Pong {
            original_timestamp: 7,
            ..
        }
    ));
    assert!(matches!(receive(&mut again), Frame::RelayWelcome(welcome) if welcome.seq == 1));
}

/// Traps 18 and 26.
#[test]
fn uploads_only_move_forward_and_never_beyond_what_is_stored() {
    let (_server, address) = serve(ServerOptions::default(), None);
    let mut socket = raw(address);
    let author = document(ROOM).peer_id();
    let hello = Frame::RelayHello {
        document_id: ROOM.into(),
        author,
    };
    send(&mut socket, &hello);
    receive(&mut socket);
    let push = |blobs: &[&str]| Frame::RelayPush {
        document_id: ROOM.into(),
        changes: blobs.iter().map(|blob| (*blob).into()).collect(),
    };
    send(&mut socket, &push(&["1", "2", "3"]));
    receive(&mut socket);
    let upload = |snapshot: &str, up_to_seq| Frame::RelaySnapshotUpload {
        document_id: ROOM.into(),
        snapshot: snapshot.into(),
        up_to_seq,
    };
    let mut state = |uploads: &[(&str, i64)]| {
        for (snapshot, up_to_seq) in uploads {
            send(&mut socket, &upload(snapshot, *up_to_seq));
        }
        let request = Frame::RelayStateRequest {
            document_id: ROOM.into(),
        };
        send(&mut socket, &request);
        let Frame::RelayWelcome(welcome) = receive(&mut socket) else {
            panic!("no welcome");
        };
        let snapshot = welcome.snapshot.map(|blob| blob.to_string_lossy());
        (snapshot, welcome.changes.len(), welcome.seq)
    };
    assert_eq!(state(&[("nothing", 0), ("less", -5)]), (None, 3, 3));
    assert_eq!(state(&[("two", 2)]), (Some("two".into()), 1, 3));
    assert_eq!(
        state(&[("back", 1), ("same", 2)]),
        (Some("two".into()), 1, 3)
    );
    assert_eq!(
        state(&[("beyond", 99)]),
        (Some("beyond".into()), 0, 3),
        "clamped"
    );
    send(&mut socket, &push(&["4"]));
    assert!(matches!(
        receive(&mut socket),
        Frame::RelayAck {
            seq: 4,
            log_length: 1,
            ..
        }
    ));
}

/// Specification 9.3.
#[test]
fn a_relay_refuses_clients_of_the_sync_mode_and_the_other_way_round() {
    let only = |dialect| ServerOptions {
        dialects: vec![dialect],
        ..ServerOptions::default()
    };
    let (_relay, address) = serve(only(Dialect::CrdtRelay), None);
    let mut socket = raw(address);
    send(&mut socket, &handshake(ROOM));
    let refused = receive(&mut socket);
    assert!(
        matches!(&refused, Frame::Error { code, .. } if code == error_code::INVALID_MESSAGE),
        "{refused:?}"
    );
    let (_sync, address) = serve(only(Dialect::CrdtSync), None);
    let mut socket = raw(address);
    let hello = Frame::RelayHello {
        document_id: ROOM.into(),
        author: document(ROOM).peer_id(),
    };
    send(&mut socket, &hello);
    send(&mut socket, &handshake(ROOM));
    assert!(matches!(
        receive(&mut socket),
        Frame::HandshakeResponse { .. }
    ));
}

fn presence_in(mode: ClientMode) {
    let (server, address) = serve(ServerOptions::default(), None);
    let options = || ClientOptions {
        mode,
        ..client_options(address)
    };
    let (a, b) = (document(ROOM), document(ROOM));
    let client_a = Client::new(options()).unwrap();
    client_a.attach(a).unwrap();
    // Before there is a connection.
    client_a.set_presence(Some(named("Ann"))).unwrap();
    client_a.connect().unwrap();
    client_a.wait_connected(LONG).unwrap();
    let client_b = join_with(options(), &b);
    let id_a = client_a.state().session_id.unwrap();
    eventually("b sees a", || {
        client_b.presence_of(&id_a) == Some(named("Ann"))
    });
    for x in 0..50 {
        client_b
            .set_presence_field("x", Some(Value::Int(x)))
            .unwrap();
    }
    let id_b = client_b.state().session_id.unwrap();
    let last = Value::Object(vec![("x".into(), Value::Int(49))]);
    eventually("the last of a burst arrives", || {
        client_a.presence_of(&id_b).as_ref() == Some(&last)
    });
    assert_eq!(client_a.presences().len(), 2);
    assert!(client_a.set_presence(Some(Value::Int(1))).is_err());
    client_b.disconnect().unwrap();
    eventually("who leaves is gone", || {
        client_a.presence_of(&id_b).is_none()
    });
    assert_eq!(client_a.presences().len(), 1);
    drop(server);
}

#[test]
fn presence_in_the_sync_mode() {
    presence_in(ClientMode::Sync);
}

#[test]
fn presence_in_the_relay_mode() {
    presence_in(ClientMode::Relay);
}

/// Trap 16: a session speaks for itself only.
#[test]
fn forged_presence_is_bound_to_its_connection() {
    let (_server, address) = serve(ServerOptions::default(), None);
    let a = document(ROOM);
    let client_a = join(address, &a);
    client_a.set_presence(Some(named("Ann"))).unwrap();
    let id_a = client_a.state().session_id.unwrap();
    let mut forger = raw(address);
    send(&mut forger, &handshake(ROOM));
    let Frame::HandshakeResponse { session_id, .. } = receive(&mut forger) else {
        panic!("no response");
    };
    for victim in [id_a.as_str(), "somebody else"] {
        let forged = Frame::AwarenessUpdate {
            document_id: ROOM.into(),
            client_id: victim.into(),
            metadata: named("Mallory"),
        };
        send(&mut forger, &forged);
    }
    eventually("it is seen as the forger's", || {
        client_a.presence_of(&session_id) == Some(named("Mallory"))
    });
    assert_eq!(client_a.presence_of(&id_a), Some(named("Ann")));
    assert_eq!(client_a.presence_of("somebody else"), None);
    drop(forger);
    eventually("it goes with the connection", || {
        client_a.presences().len() == 1
    });
}

/// A reader that stops for a while is not disconnected: it gets one difference afterwards.
fn slow_reader(mode: ClientMode) {
    let mut options = ServerOptions {
        outbound_bytes_max: 64 << 10,
        ..ServerOptions::default()
    };
    options.protocol.relay_log_length_max = u64::MAX;
    let (server, address) = serve(options, None);
    let writer = document(ROOM);
    let client = join_with(
        ClientOptions {
            mode,
            ..client_options(address)
        },
        &writer,
    );
    let reader = document(ROOM);
    let mut socket = raw(address);
    let join = match mode {
        ClientMode::Relay => Frame::RelayHello {
            document_id: ROOM.into(),
            author: reader.peer_id(),
        },
        _ => handshake(ROOM),
    };
    send(&mut socket, &join);
    receive(&mut socket);
    // Far more than all buffers of both sockets hold.
    let spec = HandlerSpec::new(HandlerKind::Map);
    let text = Value::String("x".repeat(50_000).as_str().into());
    for _ in 0..400 {
        let done = writer.with(|writer| {
            let map = writer.handler("map", &spec).unwrap();
            writer.map_set(map, "key", &text)
        });
        done.unwrap().unwrap();
        client.wait_acknowledged(LONG).unwrap();
    }
    let goal = writer.read(|writer| writer.version_vector()).unwrap();
    let deadline = Instant::now() + 2 * LONG;
    let mut frames = 0;
    let reached =
        |reader: &SharedDocument| reader.read(|reader| reader.version_vector()).unwrap() == goal;
    while !reached(&reader) {
        assert!(Instant::now() < deadline, "{frames} frames were not enough");
        frames += 1;
        let changes = match receive(&mut socket) {
            Frame::Change { change, .. } => vec![change],
            Frame::DocumentStatus { changes, .. } => changes.unwrap_or_default(),
            Frame::RelayChanges { changes, .. } => {
                let blobs = changes
                    .iter()
                    .map(|blob| decode_blob(&blob.to_string_lossy()));
                blobs.collect()
            }
            _ => panic!("another message"),
        };
        let outcome = reader
            .with(|reader| reader.import(None, changes))
            .unwrap()
            .unwrap();
        assert_eq!(outcome.not_ready, 0, "nothing is left out in between");
    }
    assert!(frames < 401, "{frames}: broadcasts were not given up");
    assert_eq!(server.stats().slow_clients_dropped, 0);
    // And it is told as any other again.
    insert(&writer, 0, "y");
    let after = receive(&mut socket);
    let told = matches!(after, Frame::Change { .. } | Frame::RelayChanges { .. });
    assert!(told, "another message");
}

fn decode_blob(blob: &str) -> syncline::codec::Change {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(blob);
    syncline::codec::Change::decode(&bytes.unwrap()).unwrap()
}

#[test]
fn a_slow_reader_gets_a_difference() {
    slow_reader(ClientMode::Sync);
}

#[test]
fn a_slow_reader_of_a_relay_gets_the_log() {
    slow_reader(ClientMode::Relay);
}

/// Nobody is shown for ever whose connection is gone.
#[test]
fn presence_vanishes_with_the_server() {
    let (server, address) = serve(ServerOptions::default(), None);
    let mut options = client_options(address);
    options.presence.timeout_ms = 50;
    let (a, b) = (document(ROOM), document(ROOM));
    let (client_a, client_b) = (join_with(options.clone(), &a), join_with(options, &b));
    client_b.set_presence(Some(named("Bob"))).unwrap();
    eventually("a sees b", || client_a.presences().len() == 1);
    stop(server);
    eventually("a sees nobody", || client_a.presences().is_empty());
    assert_eq!(client_b.local_presence(), Some(named("Bob")));
}

fn stop(server: Server) {
    server.stop(Duration::from_secs(5)).unwrap();
}
