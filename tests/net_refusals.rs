//! A server among peers that misbehave: what is refused, dropped and survived.
#![cfg(all(feature = "client", feature = "server", feature = "sqlite"))]

mod loopback;

use loopback::*;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use syncline::net::{ClientOptions, ServerOptions};
use syncline::replica::Replica;
use syncline::sync::crdt_sync::{Message as Frame, frame};
use tokio_tungstenite::tungstenite::{self, Message};

#[test]
fn random_frames_harm_nobody() {
    let (server, address) = serve(ServerOptions::default(), None);
    let seed = 0x5eed_u64;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let mut socket = raw(address);
    let valid = frame::encode(&handshake(ROOM), Default::default());
    for _ in 0..500 {
        let bytes: Vec<u8> = match random.below(4) {
            0 => (0..random.below(200))
                .map(|_| random.below(256) as u8)
                .collect(),
            1 => {
                let mut bytes = valid.clone();
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
                bytes
            }
            2 => valid[..random.below(valid.len() as u64) as usize].to_vec(),
            _ => [&[0x1f, 0x8b][..], &valid].concat(),
        };
        match String::from_utf8(bytes) {
            Ok(text) => socket.send(Message::text(text)).unwrap(),
            Err(error) => socket.send(Message::binary(error.into_bytes())).unwrap(),
        }
    }
    // The same connection is still served, and so is the next one.
    let ping = Frame::Ping {
        document_id: "no such room".into(),
        timestamp: 42,
        version_vector: None,
    };
    send(&mut socket, &ping);
    loop {
        let message = socket.read().unwrap();
        if message.is_binary() {
            let decoded = frame::decode(&message.into_data(), &Default::default()).unwrap();
            if let Frame::Pong {
                original_timestamp: 42,
                ..
            } = decoded
            {
                break;
            }
        }
    }
    let a = document("another room");
    let client = join(address, &a);
    insert(&a, 0, "fine");
    client.wait_acknowledged(LONG).unwrap();
    assert!(server.stats().messages_in > 500);
}

#[test]
fn oversized_messages_are_refused_with_their_code() {
    let options = ServerOptions {
        message_bytes_max: 64 << 10,
        ..ServerOptions::default()
    };
    let (_server, address) = serve(options, None);
    let mut socket = raw(address);
    socket.send(Message::binary(vec![b' '; 64 << 10])).unwrap();
    // One frame, and many fragments that become too much.
    let too_much = Message::binary(vec![b' '; 1 << 20]);
    // The server may close before all was sent.
    let _ = socket.send(too_much);
    assert_eq!(close_code(&mut socket), 1009);
    let a = document(ROOM);
    let client = join(address, &a);
    insert(&a, 0, "fine");
    client.wait_acknowledged(LONG).unwrap();
}

#[test]
fn a_reader_that_does_not_read_costs_little_and_the_others_are_not_held_up() {
    let outbound_bytes_max = 1 << 20;
    let options = ServerOptions {
        outbound_bytes_max,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let mut lazy = raw(address);
    send(&mut lazy, &handshake(ROOM));
    eventually("it is in the room", || {
        server.clients(Some(ROOM)).len() == 1
    });
    let (a, b) = (document(ROOM), document(ROOM));
    let (client_a, _client_b) = (join(address, &a), join(address, &b));
    let mut unsent_max = 0;
    // What the kernel buffers for a socket has an end, but not a small one.
    for step in 0..1000 {
        insert(&a, 0, &"x".repeat(8_000));
        if step % 8 == 7 {
            // A reader that reads keeps up.
            client_a.wait_acknowledged(LONG).unwrap();
            let seen = a.read(|a| a.version_vector()).unwrap();
            eventually("the other one follows", || {
                b.read(|b| b.version_vector()).unwrap() == seen
            });
        }
        let clients = server.clients(None);
        unsent_max = clients
            .iter()
            .map(|client| client.unsent_bytes)
            .max()
            .unwrap_or(0)
            .max(unsent_max);
    }
    assert!(unsent_max > 0, "the kernel took everything");
    assert_eq!(server.stats().slow_clients_dropped, 0);
    assert_eq!(server.clients(Some(ROOM)).len(), 3);
    assert!(
        unsent_max <= outbound_bytes_max,
        "{unsent_max} bytes were kept for it"
    );
    client_a.wait_acknowledged(LONG).unwrap();
    eventually("the other one has all", || content(&a) == content(&b));
}

#[test]
fn silence_ends_a_connection_and_pings_keep_it() {
    let options = ServerOptions {
        client_timeout_ms: 1_500,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let a = document(ROOM);
    let alive = join_with(
        ClientOptions {
            ping_interval_ms: 100,
            ..client_options(address)
        },
        &a,
    );
    let session = alive.state().session_id.unwrap();
    let mut silent = raw(address);
    send(&mut silent, &handshake(ROOM));
    let start = Instant::now();
    assert_eq!(close_code(&mut silent), 1001);
    assert!(
        start.elapsed() >= Duration::from_millis(1_400),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        alive.state().session_id.unwrap(),
        session,
        "the same connection all the time"
    );
    assert_eq!(server.clients(None).len(), 1);
}

#[test]
fn connections_beyond_the_limit_and_other_requests_are_refused() {
    let options = ServerOptions {
        connections_max: 1,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let mut browser = TcpStream::connect(address).unwrap();
    browser.set_read_timeout(Some(LONG)).unwrap();
    browser
        .write_all(b"GET / HTTP/1.0\r\nHost: here\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"),
        "{answer:?}"
    );
    eventually("its place is free", || {
        tungstenite::connect(format!("ws://{address}")).is_ok()
    });
    let _first = loop {
        if let Ok(first) = tungstenite::connect(format!("ws://{address}")) {
            break first;
        }
        std::thread::yield_now();
    };
    assert!(tungstenite::connect(format!("ws://{address}")).is_err());
    assert!(server.stats().refused >= 2);
}

#[test]
fn a_stalled_upgrade_is_ended() {
    let options = ServerOptions {
        handshake_timeout_ms: 50,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let mut stalled = TcpStream::connect(address).unwrap();
    stalled.set_read_timeout(Some(LONG)).unwrap();
    stalled.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut rest = Vec::new();
    stalled.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert_eq!(server.stats().refused, 1);
}
