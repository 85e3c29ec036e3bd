//! What one peer may have of a server, and how it is refused more.

mod loopback;

use loopback::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;
use syncline::net::{
    Client, ClientOptions, RefusalReason, Server, ServerLimits, ServerObserver, ServerOptions,
};
use tokio_tungstenite::tungstenite;

fn limited(limits: ServerLimits) -> (Server, SocketAddr) {
    let options = ServerOptions {
        limits,
        ..ServerOptions::default()
    };
    serve(options, None)
}

#[test]
fn an_address_has_so_many_connections() {
    let (server, address) = limited(ServerLimits {
        address_connections_max: 2,
        address_accepts_per_s: 0,
        limit_loopback: true,
        ..ServerLimits::default()
    });
    let first = raw(address);
    let _second = raw(address);
    assert!(tungstenite::connect(format!("ws://{address}")).is_err());
    assert_eq!(server.refusals(RefusalReason::AddressConnections), 1);
    drop(first);
    eventually("a place is free again", || {
        tungstenite::connect(format!("ws://{address}")).is_ok()
    });
}

#[test]
fn connections_of_an_address_must_not_come_too_fast() {
    let (server, address) = limited(ServerLimits {
        address_accepts_per_s: 1,
        limit_loopback: true,
        ..ServerLimits::default()
    });
    let _first = raw(address);
    assert!(tungstenite::connect(format!("ws://{address}")).is_err());
    assert!(server.refusals(RefusalReason::AddressRate) >= 1);
    eventually("a second later there is one", || {
        tungstenite::connect(format!("ws://{address}")).is_ok()
    });
    let (_server, address) = limited(ServerLimits {
        address_accepts_per_s: 1,
        ..ServerLimits::default()
    });
    let _proxied: Vec<_> = (0..10).map(|_| raw(address)).collect();
}

fn refused(address: SocketAddr, room: &str) {
    let options = ClientOptions {
        reconnect_attempts_max: Some(0),
        ..client_options(address)
    };
    let client = Client::new(options).unwrap();
    client.attach(document(room)).unwrap();
    client.connect().unwrap();
    assert!(client.wait_connected(LONG).is_err());
}

#[test]
fn a_room_has_so_many_connections_and_a_connection_so_many_rooms() {
    let (server, address) = limited(ServerLimits {
        room_connections_max: 1,
        connection_rooms_max: 2,
        ..ServerLimits::default()
    });
    let client = join(address, &document(ROOM));
    refused(address, ROOM);
    assert_eq!(server.refusals(RefusalReason::RoomConnections), 1);
    drop(client);
    eventually("its place is free", || server.clients(None).is_empty());
    let mut socket = raw(address);
    for room in ["a", "b", "c"] {
        send(&mut socket, &handshake(room));
    }
    eventually("it is in two", || {
        let rooms = server.rooms();
        rooms.iter().filter(|room| room.sessions == 1).count() == 2
    });
    join(address, &document("c"));
    refused(address, "a");
}

#[test]
fn who_sends_too_many_updates_is_read_later_and_loses_nothing() {
    let (server, address) = limited(ServerLimits {
        updates_per_s: 100,
        updates_burst: 5,
        ..ServerLimits::default()
    });
    let (a, b) = (document(ROOM), document(ROOM));
    let (fast, _other) = (join(address, &a), join(address, &b));
    let start = Instant::now();
    for index in 0..40 {
        insert(&a, index, "x");
        // One message each.
        fast.request_sync().unwrap();
        eventually("it is there", || server.stats().changes_applied > index);
    }
    fast.wait_acknowledged(LONG).unwrap();
    assert!(start.elapsed().as_millis() >= 250, "{:?}", start.elapsed());
    assert!(server.refusals(RefusalReason::UpdateRate) >= 1);
    assert_eq!(server.refusals(RefusalReason::ByteRate), 0);
    eventually("the other one has all", || content(&b).len() == 40);
}

#[test]
fn who_sends_too_many_bytes_is_read_later_and_loses_nothing() {
    let (server, address) = limited(ServerLimits {
        bytes_per_s: 1 << 20,
        bytes_burst: 1 << 10,
        updates_per_s: 0,
        ..ServerLimits::default()
    });
    let a = document(ROOM);
    let client = join(address, &a);
    let start = Instant::now();
    for _ in 0..4 {
        insert(&a, 0, &"x".repeat(64 << 10));
        client.wait_acknowledged(LONG).unwrap();
    }
    assert!(start.elapsed().as_millis() >= 200, "{:?}", start.elapsed());
    assert!(server.refusals(RefusalReason::ByteRate) >= 1);
}

#[test]
fn a_long_head_is_refused() {
    let options = ServerOptions {
        header_bytes_max: 500,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let line = format!("GET /{} HTTP/1.1\r\n", "x".repeat(600));
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "));
    assert_eq!(server.refusals(RefusalReason::RequestSize), 1);
}

#[test]
fn observers_are_told_why() {
    #[derive(Default)]
    struct Told(std::sync::Mutex<Vec<RefusalReason>>);
    impl ServerObserver for Told {
        fn refused(&self, address: SocketAddr, reason: RefusalReason, detail: &str) {
            assert!(address.ip().is_loopback() && !detail.is_empty());
            self.0.lock().unwrap().push(reason);
        }
    }
    let options = ServerOptions {
        message_bytes_max: 1_000,
        dialects: vec![],
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let told = Arc::new(Told::default());
    server.add_observer(told.clone());
    let mut socket = raw(address);
    send(&mut socket, &handshake(ROOM));
    assert_eq!(close_code(&mut socket), 1003);
    let mut socket = raw(address);
    socket
        .send(tungstenite::Message::binary(vec![0; 2_000]))
        .unwrap();
    assert_eq!(close_code(&mut socket), 1009);
    let told = told.0.lock().unwrap().clone();
    assert_eq!(told, [RefusalReason::Dialect, RefusalReason::MessageSize]);
    assert_eq!(server.stats().refused, 2);
}
