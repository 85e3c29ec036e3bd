//! The daemon as a process among hostile peers: whatever they send, it stays up, serves the next
//! client, and its memory is back afterwards.
#![cfg(all(
    target_os = "linux",
    feature = "client",
    feature = "server",
    feature = "sqlite"
))]

mod loopback;

use flate2::Compression;
use flate2::write::GzEncoder;
use loopback::*;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use syncline::net::ServerOptions;
use syncline::sync::crdt_sync::{Message as Frame, frame};
use tokio_tungstenite::tungstenite::{self, Message};

/// What the daemon may hold more than at the start. Allocators keep some of what was freed.
const LEFT_OVER_BYTES_MAX: u64 = 200 << 20;

/// The daemon on a free port, with its documents in memory; ends with the test.
struct Daemon {
    process: Child,
    address: SocketAddr,
}

impl Daemon {
    fn start() -> Daemon {
        let mut process = Command::new(env!("CARGO_BIN_EXE_syncline-server"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--store",
                "memory",
                "--log",
                "off",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let (_, rest) = ready.split_once("ws://").expect("the ready line");
        let address = rest.split_whitespace().next().unwrap().parse().unwrap();
        Daemon { process, address }
    }

    /// A line of the kernel's view of it, in bytes.
    fn memory(&self, field: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .expect("Linux has this field");
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            << 10
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id()))
            .unwrap()
            .count()
    }

    /// A normal client edits, and another one sees it.
    fn serves(&mut self, name: &str) {
        let (a, b) = (document(name), document(name));
        let (client_a, _client_b) = (join(self.address, &a), join(self.address, &b));
        insert(&a, 0, "served");
        client_a.wait_acknowledged(LONG).unwrap();
        eventually("the other one sees it", || content(&b) == "served");
        assert!(self.process.try_wait().unwrap().is_none(), "it ended");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn gzip(bytes: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    bytes.for_each(|bytes| encoder.write_all(&bytes).unwrap());
    encoder.finish().unwrap()
}

/// Sends frames that may be the end of the connection, and waits for the answer to a ping or that
/// end: then all of them were looked at.
fn shoot(address: SocketAddr, frames: impl IntoIterator<Item = Vec<u8>>) {
    let mut socket = raw(address);
    for frame in frames {
        if socket.send(Message::binary(frame)).is_err() {
            return;
        }
    }
    let ping = Frame::Ping {
        document_id: "nowhere".into(),
        timestamp: 7,
        version_vector: None,
    };
    if socket
        .send(Message::binary(frame::encode(&ping, Default::default())))
        .is_err()
    {
        return;
    }
    while let Ok(message) = socket.read() {
        let decoded = frame::decode(&message.into_data(), &Default::default());
        if matches!(
            decoded,
            Ok(Frame::Pong {
                original_timestamp: 7,
                ..
            })
        ) {
            return;
        }
    }
}

#[test]
fn a_storm_leaves_neither_sockets_nor_memory_behind() {
    let mut daemon = Daemon::start();
    daemon.serves("before");
    let (memory, files) = (daemon.memory("VmRSS"), daemon.open_files());

    // A thousand connections: never spoken on, half an upgrade, upgraded and dropped, half open.
    for number in 0..1_000 {
        let mut socket = TcpStream::connect(daemon.address).unwrap();
        match number % 4 {
            0 => (),
            1 => socket
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nUpgr")
                .unwrap(),
            2 => drop(raw(daemon.address)),
            _ => {
                let mut upgraded = raw(daemon.address);
                send(&mut upgraded, &handshake(&format!("room {}", number % 8)));
                if number % 8 == 3 {
                    // Says it has sent all, and never reads.
                    if let tungstenite::stream::MaybeTlsStream::Plain(stream) = upgraded.get_ref() {
                        stream.shutdown(std::net::Shutdown::Write).unwrap();
                    }
                }
            }
        }
    }

    // Bombs: texts that inflate to the limit and beyond, base64 without end, values without end.
    let blanks = |count: usize| gzip((0..count).map(|_| vec![b' '; 1 << 20]));
    shoot(
        daemon.address,
        [
            blanks(63),
            blanks(70),
            gzip((0..60).map(|_| vec![b'['; 1 << 20])),
        ],
    );
    let change =
        |text: &str| format!(r#"{{"type":2,"documentId":"x","change":"{text}"}}"#).into_bytes();
    shoot(
        daemon.address,
        [
            change(&"A".repeat(8 << 20)),
            change(&"////".repeat(2 << 20)),
            change(&"=".repeat(1 << 20)),
        ],
    );
    let list = |item: &str, count: usize| {
        format!(
            r#"{{"type":8,"documentId":"x","changes":[{}]}}"#,
            vec![item; count].join(",")
        )
        .into_bytes()
    };
    shoot(
        daemon.address,
        [
            list("\"\"", 240_000),
            list("null", 300_000),
            list("\"AAAA\"", 200_000),
            list("{}", 100_000),
        ],
    );

    // Names: giant, with characters of paths, with zero bytes, half characters, no text at all.
    let names = [
        "n".repeat(1 << 20),
        "../../../etc/passwd".to_owned(),
        "C:\\\\nul".to_owned(),
        "a\\u0000b".to_owned(),
        "\\ud800".to_owned(),
        "%2e%2e%2f'; DROP TABLE documents; --".to_owned(),
        String::new(),
    ];
    let author = handshake("x");
    let Frame::HandshakeRequest { author, .. } = author else {
        panic!("a handshake")
    };
    let named = |kind: u32, name: &str| {
        let body = format!(
            r#"{{"type":{kind},"documentId":"{name}","author":"{author}","versionVector":{{"vector":{{}}}},"timestamp":1}}"#
        );
        body.into_bytes()
    };
    for name in &names {
        shoot(
            daemon.address,
            [named(0, name), named(4, name), named(5, name)],
        );
    }
    let mut broken = named(0, "name");
    let at = broken
        .windows(4)
        .position(|bytes| bytes == b"name")
        .unwrap();
    broken[at..at + 4].copy_from_slice(&[0xff, 0xfe, 0xc0, 0x80]);
    shoot(daemon.address, [broken]);

    // Floods: pings and handshakes as fast as they go.
    let ping = frame::encode(
        &Frame::Ping {
            document_id: "room 3".into(),
            timestamp: 1,
            version_vector: None,
        },
        Default::default(),
    );
    shoot(daemon.address, std::iter::repeat_n(ping, 10_000));
    let again = frame::encode(&handshake("room 3"), Default::default());
    shoot(daemon.address, std::iter::repeat_n(again, 2_000));

    daemon.serves("after");
    eventually("all sockets are closed", || {
        daemon.open_files() <= files + 2
    });
    eventually("memory is back", || {
        daemon.memory("VmRSS") < memory + LEFT_OVER_BYTES_MAX
    });
    println!(
        "memory {memory} before, {} after, {} at most",
        daemon.memory("VmRSS"),
        daemon.memory("VmHWM")
    );
}

/// Each message may take the memory that its limit allows, but not all of them at once.
#[test]
fn bombs_from_many_connections_do_not_add_up() {
    let mut daemon = Daemon::start();
    let before = daemon.memory("VmRSS");
    let bomb = gzip((0..60).map(|_| vec![b' '; 1 << 20]));
    let shooters: Vec<_> = (0..16)
        .map(|_| {
            let (address, bomb) = (daemon.address, bomb.clone());
            std::thread::spawn(move || shoot(address, [bomb]))
        })
        .collect();
    shooters
        .into_iter()
        .for_each(|shooter| shooter.join().unwrap());
    daemon.serves("after");
    let most = daemon.memory("VmHWM");
    println!("memory {before} before, {most} at most");
    assert!(most < before + (500 << 20), "{most} bytes at most");
}

/// Slow upgrades hold nobody up and end in time.
#[test]
fn slow_upgrades_are_ended_while_others_are_served() {
    let options = ServerOptions {
        handshake_timeout_ms: 1_000,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let request = b"GET / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let start = Instant::now();
    let mut sent = 0;
    // A byte now and then, for longer than an upgrade may take.
    while start.elapsed() < Duration::from_millis(1_500) && sent < request.len() {
        for socket in &mut slow {
            let _ = socket.write_all(&request[sent..=sent]);
        }
        sent += 1;
        if sent == 10 {
            let a = document(ROOM);
            let client = join(address, &a);
            insert(&a, 0, "in between");
            client.wait_acknowledged(LONG).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    eventually("all are ended", || server.stats().refused == 200);
    for mut socket in slow {
        socket.set_read_timeout(Some(LONG)).unwrap();
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = socket.read_to_end(&mut rest);
    }
}

/// A header without end is not collected without end.
#[test]
fn an_endless_upgrade_is_refused() {
    let (server, address) = serve(ServerOptions::default(), None);
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.set_write_timeout(Some(LONG)).unwrap();
    let line = [b"X-More: ".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
    let mut sent = 0usize;
    socket.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    while sent < 64 << 20 && socket.write_all(&line).is_ok() {
        sent += line.len();
    }
    assert!(sent < 64 << 20, "all of it was taken");
    eventually("it is refused", || server.stats().refused == 1);
    let a = document(ROOM);
    let client = join(address, &a);
    insert(&a, 0, "fine");
    client.wait_acknowledged(LONG).unwrap();
}

/// More rooms than there may be: those beyond are refused, and there is room again when others left.
#[test]
fn rooms_beyond_the_limit_wait_for_room() {
    let options = ServerOptions {
        rooms_max: 20,
        room_idle_ms: 10,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let mut holders = Vec::new();
    for number in 0..20 {
        let mut socket = raw(address);
        send(&mut socket, &handshake(&format!("held {number}")));
        let message = socket.read().unwrap();
        let answer = frame::decode(&message.into_data(), &Default::default()).unwrap();
        assert!(
            matches!(answer, Frame::HandshakeResponse { .. }),
            "{answer:?}"
        );
        holders.push(socket);
    }
    let mut socket = raw(address);
    for number in 0..500 {
        send(&mut socket, &handshake(&format!("beyond {number}")));
        let message = socket.read().unwrap();
        let answer = frame::decode(&message.into_data(), &Default::default()).unwrap();
        assert!(matches!(answer, Frame::Error { .. }), "{answer:?}");
    }
    assert_eq!(server.stats().rooms_open, 20);
    // One connection has a limit of its own.
    drop(holders);
    let a = document("beyond 3");
    eventually("there is room", || {
        let mut socket = raw(address);
        send(&mut socket, &handshake("beyond 3"));
        let message = socket.read().unwrap();
        matches!(
            frame::decode(&message.into_data(), &Default::default()),
            Ok(Frame::HandshakeResponse { .. })
        )
    });
    let client = join(address, &a);
    insert(&a, 0, "room");
    client.wait_acknowledged(LONG).unwrap();
}
