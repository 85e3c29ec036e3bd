//! The examples of docs/protocol.md are what the code reads and writes.

use std::collections::BTreeMap;
use syncline::clock::{Hlc, PeerId, VersionVector};
use syncline::sync::native::{
    Access, Code, Hello, Join, Joined, Level, Limits, Message, PresenceEntry, StateKind, Welcome,
    frame,
};

fn examples() -> BTreeMap<String, Vec<u8>> {
    let page = include_str!("../docs/protocol.md");
    let (_, chapter) = page.split_once("## 7. Examples").unwrap();
    let block = chapter.split("```").nth(1).unwrap();
    let lines = block.lines().filter(|line| !line.is_empty());
    let example = |line: &str| {
        let (name, hex) = line.split_at(15);
        let bytes = hex.replace('|', " ");
        let bytes = bytes.split_whitespace();
        let bytes = bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap());
        (name.trim().to_owned(), bytes.collect())
    };
    lines.map(example).collect()
}

fn messages() -> Vec<(&'static str, Message)> {
    let mut peer = [0x11; 16];
    (peer[6], peer[8]) = (0x41, 0x91);
    let peer = PeerId::from_bytes(peer);
    let mut vector = VersionVector::new();
    vector.update(peer, Hlc::new(5, 0));
    let limits = Limits::default();
    let channel = 1;
    vec![
        (
            "hello",
            Message::Hello(Hello {
                version_min: 1,
                version_max: 1,
                features: 3,
                frame_bytes_max: limits.frame_bytes_max as u64,
                message_bytes_max: limits.message_bytes_max as u64,
                agent: "a".into(),
            }),
        ),
        (
            "welcome",
            Message::Welcome(Welcome {
                version: 1,
                features: 3,
                frame_bytes_max: limits.frame_bytes_max as u64,
                message_bytes_max: limits.message_bytes_max as u64,
                channels_max: 64,
                idle_timeout_ms: 60_000,
                session: "s".into(),
            }),
        ),
        ("ping", Message::Ping(300)),
        (
            "join",
            Message::Join(
                channel,
                Join {
                    document_id: "doc".into(),
                    token: Vec::new(),
                    peer,
                    write: true,
                    epoch: Some(9),
                    vector,
                    resume: None,
                },
            ),
        ),
        (
            "joined",
            Message::Joined(
                channel,
                Joined {
                    access: Access::ALL,
                    state_follows: false,
                    level: Level::Disk,
                    epoch: 9,
                    vector: VersionVector::new(),
                },
            ),
        ),
        (
            "state",
            Message::State {
                channel,
                id: 77,
                kind: StateKind::Changes,
                offset: 0,
                total: 5,
                bytes: vec![0xc5, 0x4c],
            },
        ),
        (
            "update",
            Message::Update {
                channel,
                begins: false,
                update: vec![1, 2, 3],
            },
        ),
        (
            "acknowledged",
            Message::Acknowledged {
                channel,
                level: Level::Disk,
                count: 3,
            },
        ),
        (
            "refused",
            Message::Refused {
                channel,
                batch: 2,
                code: Code::ReadOnly,
                retry_after_ms: 0,
                detail: Vec::new(),
                text: "no".into(),
            },
        ),
        ("leave", Message::Leave(channel)),
        ("left", Message::Left(channel)),
        (
            "token",
            Message::Token {
                channel,
                token: b"tk".to_vec(),
            },
        ),
        (
            "access",
            Message::AccessChanged {
                channel,
                access: Access {
                    read: true,
                    write: false,
                },
            },
        ),
        (
            "presence",
            Message::Presence {
                channel,
                state: b"hi".to_vec(),
            },
        ),
        (
            "presence of",
            Message::PresenceOf {
                channel,
                entries: vec![PresenceEntry {
                    member: 7,
                    state: b"hi".to_vec(),
                }],
            },
        ),
        (
            "durability",
            Message::Durability {
                channel,
                durable: false,
            },
        ),
        (
            "part",
            Message::Part {
                channel,
                last: true,
                bytes: vec![0x14, 1],
            },
        ),
        (
            "application",
            Message::Application {
                message_type: 64,
                channel: 0,
                bytes: vec![42],
            },
        ),
        (
            "go away",
            Message::GoAway {
                code: Code::GoingAway,
                delay_ms: 5_000,
                text: String::new(),
            },
        ),
        (
            "error",
            Message::Error {
                code: Code::Version,
                text: String::new(),
            },
        ),
    ]
}

#[test]
fn every_example_is_what_the_code_writes_and_reads() {
    let mut examples = examples();
    for (name, message) in messages() {
        let bytes = examples
            .remove(name)
            .unwrap_or_else(|| panic!("{name}: no example"));
        assert_eq!(frame::encode(&message), bytes, "{name}");
        assert_eq!(
            frame::decode(&bytes, &Limits::default()),
            Ok(message),
            "{name}"
        );
    }
    assert!(examples.is_empty(), "checked by nothing: {examples:?}");
}

#[test]
fn the_numbers_of_codes_are_those_of_the_page() {
    let page = include_str!("../docs/protocol.md");
    for number in 1..=16u64 {
        let code = Code::of_number(number);
        assert!(!matches!(code, Code::Other(_)));
        assert_eq!(code.number(), number);
        let name: String = format!("{code:?}")
            .chars()
            .flat_map(|letter| {
                let space = letter.is_uppercase().then_some(' ');
                space.into_iter().chain(letter.to_lowercase())
            })
            .collect();
        let row = format!("| {number} | {} |", name.trim());
        assert!(page.contains(&row), "{row}");
    }
    assert_eq!(Code::of_number(17), Code::Other(17));
}
