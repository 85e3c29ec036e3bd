//! Golden vectors of the crdt_socket_sync messages: what Dart writes, and what its decoder makes of
//! well-formed, odd and malformed frames.

mod common;

use common::{Outcome, each, each_case, hex, int, list, load, skip, text, units};
use flate2::read::MultiGzDecoder;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::io::Read as _;
use syncline::clock::{Hlc, PeerId, VersionVector};
use syncline::codec::Wtf8String;
use syncline::sync::crdt_relay::{Compaction, SequenceTracker};
use syncline::sync::crdt_sync::{Framing, Limits, Message, MessageError, constants, frame};

fn decode(frame: &[u8]) -> Result<Message, MessageError> {
    frame::decode(frame, &Limits::default())
}

fn encode(message: &Message) -> String {
    String::from_utf8(frame::encode(message, Framing::Plain)).expect("JSON text")
}

fn base64(value: &Json) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text(value))
        .expect("base64")
}

/// Dart keeps the author's text as it came; we keep the 16 bytes and write lower case, as the
/// specification asks of every writer (2.3).
fn with_lower_case_author(frame: &str) -> String {
    let Some(at) = frame.find("\"author\":\"") else {
        return frame.to_owned();
    };
    let author = at + 10..at + 46;
    let lower = frame[author.clone()].to_lowercase();
    format!("{}{lower}{}", &frame[..author.start], &frame[author.end..])
}

fn reencodes_identically(case: &Json) -> Outcome {
    let expected = text(&case["frame"]);
    assert_eq!(expected.len() as i64, int(&case["frameBytes"]));
    let message = decode(expected.as_bytes()).expect("a message");
    assert!(
        !matches!(message, Message::Unknown { .. }),
        "a type of the sync mode"
    );
    assert_eq!(encode(&message), with_lower_case_author(expected));
    let packed = frame::encode(&message, Framing::Gzip);
    assert_eq!(decode(&packed).as_ref(), Ok(&message));
    check_payloads(&message, &case["decoded"]);
    Outcome::Passed
}

/// The decoded payloads are those that Dart saw.
fn check_payloads(message: &Message, decoded: &Json) {
    let (changes, vector, snapshot) = match message {
        Message::HandshakeRequest { version_vector, .. } => (None, Some(version_vector), None),
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
        } => (changes.as_deref(), Some(version_vector), snapshot.as_ref()),
        Message::Change { change, .. } => {
            assert_eq!(change.id.to_string(), text(&decoded["change"]["id"]));
            (None, None, None)
        }
        Message::Changes { changes, .. } => (Some(&changes[..]), None, None),
        Message::DocumentStatusRequest { version_vector, .. }
        | Message::Ping { version_vector, .. } => (None, version_vector.as_ref(), None),
        _ => (None, None, None),
    };
    if let Some(vector) = vector {
        assert_eq!(*vector, vector_of(&decoded["versionVector"]));
    }
    if let Some(changes) = changes {
        let ids: Vec<String> = changes.iter().map(|change| change.id.to_string()).collect();
        let expected = list(&decoded["changes"]).iter();
        assert!(
            expected
                .map(|change| text(&change["id"]))
                .eq(ids.iter().map(String::as_str))
        );
    }
    if let Some(snapshot) = snapshot {
        assert_eq!(snapshot.id(), text(&decoded["snapshot"]["id"]));
        assert_eq!(
            *snapshot.vector(),
            vector_of(&decoded["snapshot"]["versionVector"])
        );
    }
}

fn vector_of(object: &Json) -> VersionVector {
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

#[test]
fn core_messages() {
    each_case("messages_core", reencodes_identically);
}

#[test]
fn sync_messages() {
    each_case("messages_sync", reencodes_identically);
}

#[test]
fn relay_and_awareness_messages() {
    for name in ["messages_awareness", "messages_relay"] {
        each_case(name, |case| {
            let expected = text(&case["frame"]);
            let message = decode(expected.as_bytes()).expect("a message");
            assert!(!matches!(message, Message::Unknown { .. }));
            assert_eq!(encode(&message), expected);
            Outcome::Passed
        });
    }
}

#[test]
fn strings() {
    each_case("json_strings", |case| {
        let id = Wtf8String::from_utf16(&units(&case["codeUnits"]));
        let message = Message::Ping {
            document_id: id,
            timestamp: 1,
            version_vector: None,
        };
        let expected = hex(&case["frameHex"]);
        assert_eq!(frame::encode(&message, Framing::Plain), expected);
        assert_eq!(decode(&expected), Ok(message));
        Outcome::Passed
    });
}

#[test]
fn decode_outcomes() {
    each_case("decode_outcomes", |case| {
        let frame = match case.get("frameHex") {
            Some(bytes) => hex(bytes),
            None => text(&case["frame"]).as_bytes().to_vec(),
        };
        // One decoder for both modes: what one of Dart's does not know, the other judges.
        let modes = ["sync+awareness", "relay+awareness"];
        let known = |mode: &&str| text(&case["outcome"][*mode]["result"]) != "null";
        let mode = modes.into_iter().find(known).unwrap_or(modes[0]);
        let outcome = &case["outcome"][mode];
        let result = decode(&frame);
        if text(&case["name"]) == "gzip-of-ping" {
            // A Dart peer without the compressor cannot read it; ours recognises gzip by itself.
            assert_eq!(text(&outcome["result"]), "throws");
            assert!(matches!(result, Ok(Message::Ping { .. })));
            return Outcome::Passed;
        }
        match text(&outcome["result"]) {
            "message" => {
                let message = result.expect("a message");
                let expected = with_lower_case_author(text(&outcome["reencoded"]));
                assert_eq!(encode(&message), expected);
                assert_eq!(text(&outcome["class"]), class_of(&message));
            }
            "null" => assert!(matches!(result, Ok(Message::Unknown { .. })), "{result:?}"),
            "throws" | "message-fails-on-use" => assert!(result.is_err(), "{result:?}"),
            other => panic!("unknown outcome {other}"),
        }
        Outcome::Passed
    });
}

fn class_of(message: &Message) -> &'static str {
    match message {
        Message::HandshakeRequest { .. } => "HandshakeRequestMessage",
        Message::HandshakeResponse { .. } => "HandshakeResponseMessage",
        Message::Change { .. } => "ChangeMessage",
        Message::DocumentStatus { .. } => "DocumentStatusMessage",
        Message::DocumentStatusRequest { .. } => "DocumentStatusRequestMessage",
        Message::Ping { .. } => "PingMessage",
        Message::Pong { .. } => "PongMessage",
        Message::Error { .. } => "ErrorMessage",
        Message::Changes { .. } => "ChangesMessage",
        Message::RelayHello { .. } => "RelayHelloMessage",
        Message::RelayWelcome(_) => "RelayWelcomeMessage",
        Message::RelayPush { .. } => "RelayPushMessage",
        Message::RelayAck { .. } => "RelayAckMessage",
        Message::RelayChanges { .. } => "RelayChangesMessage",
        Message::RelaySnapshotUpload { .. } => "RelaySnapshotUploadMessage",
        Message::RelayStateRequest { .. } => "RelayStateRequestMessage",
        Message::AwarenessUpdate { .. } => "AwarenessUpdateMessage",
        Message::AwarenessQuery { .. } => "AwarenessQueryMessage",
        Message::AwarenessState { .. } => "AwarenessStateMessage",
        _ => "",
    }
}

#[test]
fn gzip_frames() {
    let file = load("gzip");
    each("gzip frames", list(&file["frames"]), |case| {
        let plain = text(&case["plain"]);
        let message = decode(&base64(&case["gzipBase64"])).expect("a message");
        assert_eq!(encode(&message), plain);
        let packed = frame::encode(&message, Framing::Gzip);
        let mut unpacked = String::new();
        MultiGzDecoder::new(&packed[..])
            .read_to_string(&mut unpacked)
            .expect("gzip");
        assert_eq!(unpacked, plain);
        Outcome::Passed
    });
}

/// Damaged and unusual gzip data. `text` is what Dart's decompressor yields.
#[test]
fn gzip_edge_cases() {
    let file = load("gzip");
    each("gzip edge", list(&file["edge"]), |case| {
        let frame = base64(case.get("gzipBase64").unwrap_or(&case["base64"]));
        let result = decode(&frame);
        match text(&case["name"]) {
            // No checksum at the end: the specification asks for a complete member.
            "truncated" => assert_eq!(result, Err(MessageError::Gzip)),
            "trailing-bytes" => assert_eq!(result, Err(MessageError::Gzip)),
            // Dart's gzip codec also inflates zlib data, which no peer sends.
            "zlib-wrapper" => assert!(matches!(result, Err(MessageError::Json(_)))),
            // Without a compressor configured this is just a frame.
            "plain-json-instead" => assert!(matches!(result, Ok(Message::Ping { .. }))),
            "with-file-name-and-mtime" => {
                assert_eq!(encode(&result.expect("a message")), text(&case["text"]));
            }
            // Inflates to nothing, or to two messages: no JSON.
            "empty-input" | "empty-frame" | "two-members" => {
                assert!(matches!(result, Err(MessageError::Json(_))), "{result:?}");
            }
            other => return skip(format!("unknown case {other}")),
        }
        Outcome::Passed
    });
}

#[test]
fn protocol_constants() {
    let file = load("constants");
    let protocol = &file["protocol"];
    assert_eq!(
        int(&protocol["handshakeTimeoutMs"]),
        constants::HANDSHAKE_TIMEOUT_MS
    );
    assert_eq!(int(&protocol["pingTimeoutMs"]), constants::PING_TIMEOUT_MS);
    assert_eq!(
        int(&protocol["pingIntervalMs"]),
        constants::PING_INTERVAL_MS
    );
    assert_eq!(
        int(&protocol["clientTimeoutMs"]),
        constants::CLIENT_TIMEOUT_MS
    );
    assert_eq!(
        int(&protocol["maxBufferSizeBytes"]) as usize,
        constants::DART_FRAME_BYTES_MAX
    );
    assert_eq!(
        int(&file["sessionIdLength"]) as usize,
        constants::SESSION_ID_LEN
    );
    use constants::{error_code, message_type};
    let codes = [
        ("errorHandshakeFailed", error_code::HANDSHAKE_FAILED),
        ("errorConnectionClosed", error_code::CONNECTION_CLOSED),
        ("errorInvalidMessage", error_code::INVALID_MESSAGE),
        ("errorTimeout", error_code::TIMEOUT),
        ("errorInternalError", error_code::INTERNAL_ERROR),
        ("errorDocumentNotFound", error_code::DOCUMENT_NOT_FOUND),
        ("errorOutOfSync", error_code::OUT_OF_SYNC),
    ];
    assert_eq!(protocol["errors"].as_object().unwrap().len(), codes.len());
    for (name, code) in codes {
        assert_eq!(text(&protocol["errors"][name]), code);
    }
    let types = [
        ("handshakeRequest", message_type::HANDSHAKE_REQUEST),
        ("handshakeResponse", message_type::HANDSHAKE_RESPONSE),
        ("change", message_type::CHANGE),
        ("documentStatus", message_type::DOCUMENT_STATUS),
        (
            "documentStatusRequest",
            message_type::DOCUMENT_STATUS_REQUEST,
        ),
        ("ping", message_type::PING),
        ("pong", message_type::PONG),
        ("error", message_type::ERROR),
        ("changes", message_type::CHANGES),
    ];
    for (name, message_type) in types {
        assert_eq!(int(&file["messageTypes"][name]), message_type);
    }
    for sample in list(&file["sessionIdSamples"]) {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text(sample))
            .unwrap();
        let session = syncline::sync::crdt_sync::SessionId::from_random(bytes.try_into().unwrap());
        assert_eq!(session.as_str(), text(sample));
    }
}

#[test]
fn version_vector_rules() {
    let file = load("version_vector_rules");
    let named = |name: &Json| vector_of(&file["vectors"][text(name)]);
    each("version vector pairs", list(&file["pairs"]), |case| {
        let (a, b) = (named(&case["a"]), named(&case["b"]));
        let is = |field: &str| case[field].as_bool().unwrap();
        assert_eq!(a.is_strictly_newer_than(&b), is("aIsStrictlyNewerThanB"));
        assert_eq!(
            a.is_strictly_newer_or_equal_than(&b),
            is("aIsStrictlyNewerOrEqualThanB")
        );
        assert_eq!(a.is_newer_than(&b), is("aIsNewerThanB"));
        assert_eq!(
            VersionVector::intersection([&a, &b]),
            vector_of(&case["intersection"])
        );
        let mut merged = a;
        merged.merge(&b);
        assert_eq!(merged, vector_of(&case["merged"]));
        Outcome::Passed
    });
    let none = VersionVector::intersection([]);
    assert_eq!(none, vector_of(&file["intersectionOfNone"]));
}

#[test]
fn limits_are_kept() {
    let ping = br#"{"type":5,"documentId":"d","timestamp":1}"#;
    let refused = |limits: Limits, frame: &[u8]| match frame::decode(frame, &limits) {
        Err(MessageError::Limit(name)) => name,
        other => panic!("{other:?}"),
    };
    let limits = Limits::default;
    assert_eq!(
        refused(
            Limits {
                frame_bytes_max: 40,
                ..limits()
            },
            ping
        ),
        "frame_bytes_max"
    );
    assert_eq!(
        refused(
            Limits {
                text_bytes_max: 40,
                ..limits()
            },
            ping
        ),
        "text_bytes_max"
    );
    assert!(
        frame::decode(
            ping,
            &Limits {
                text_bytes_max: 41,
                ..limits()
            }
        )
        .is_ok()
    );
    assert_eq!(
        refused(
            Limits {
                document_id_bytes_max: 0,
                ..limits()
            },
            ping
        ),
        "document_id_bytes_max"
    );
    let deep = format!(
        r#"{{"type":5,"documentId":"d","timestamp":1,"x":{}{}}}"#,
        "[".repeat(32),
        "]".repeat(32)
    );
    assert_eq!(refused(limits(), deep.as_bytes()), "depth_max");
    let wide = format!(
        r#"{{"type":5,"documentId":"d","timestamp":1,"x":[{}0]}}"#,
        "0,".repeat(250_000)
    );
    assert_eq!(refused(limits(), wide.as_bytes()), "values_max");
    let many = format!(
        r#"{{"type":8,"documentId":"d","changes":[{}""]}}"#,
        "\"\",".repeat(3)
    );
    assert_eq!(
        refused(
            Limits {
                changes_max: 3,
                ..limits()
            },
            many.as_bytes()
        ),
        "changes_max"
    );
    let bomb = {
        use flate2::{Compression, write::GzEncoder};
        use std::io::Write as _;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let block = [b' '; 1 << 16];
        for _ in 0..600 {
            encoder.write_all(&block).unwrap();
        }
        encoder.finish().unwrap()
    };
    assert!(bomb.len() < 100_000);
    assert_eq!(refused(limits(), &bomb), "text_bytes_max");
}

#[test]
fn relay_sequence_tracker() {
    let file = load("relay_state_machines");
    each("sequence tracker", list(&file["seqTracker"]), |case| {
        let mut tracker = SequenceTracker::default();
        for step in list(&case["steps"]) {
            let op = list(&step["op"]);
            match text(&op[0]) {
                "through" => tracker.through(int(&op[1])),
                "range" => tracker.range(int(&op[1]), int(&op[2])),
                other => panic!("{other} is unknown"),
            }
            assert_eq!(tracker.contiguous(), int(&step["maxContiguous"]), "{step}");
        }
        Outcome::Passed
    });
}

#[test]
fn relay_compaction() {
    let file = load("relay_state_machines");
    each("compaction", list(&file["compaction"]), |case| {
        let new = || Compaction::new(int(&case["threshold"]) as u64, int(&case["retryMs"]));
        let mut rooms: HashMap<&str, Compaction> = HashMap::new();
        let mut now_ms = 1_000_000;
        for step in list(&case["steps"]) {
            let op = list(&step["op"]);
            match text(&op[0]) {
                "ask" => {
                    let room = rooms.entry(text(&op[1])).or_insert_with(new);
                    let asked = room.ask(int(&op[2]) as u64, now_ms);
                    assert_eq!(Some(asked), step["returns"].as_bool(), "{step}");
                }
                "advance" => now_ms += int(&op[1]),
                "reset" => rooms.get_mut(text(&op[1])).unwrap().answered(),
                other => panic!("{other} is unknown"),
            }
        }
        Outcome::Passed
    });
}
