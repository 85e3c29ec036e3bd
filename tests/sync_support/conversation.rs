//! Recorded conversations between real Dart peers, frame by frame.

use crate::common::{int, list, load, text};
use serde_json::Value as Json;
use syncline::codec::{Change, Snapshot};
use syncline::sync::crdt_sync::{Framing, Limits, Message, frame};

pub struct Conversation {
    pub name: String,
    pub documents: Vec<String>,
    /// The server was a real one, not a script.
    pub real_server: bool,
    /// Log length above which the relay of the recording asks for a snapshot, if it was one.
    pub relay_log_length_max: Option<u64>,
    awareness_plugin: bool,
    pub peers: Vec<(String, String)>,
    pub events: Vec<Event>,
    pub last: Json,
}

impl Conversation {
    /// Whether the recorded server had the awareness plugin; ours always has.
    pub fn presence_in_recording(&self) -> bool {
        self.awareness_plugin
    }
}

pub struct Event {
    pub at_ms: i64,
    pub kind: Kind,
}

pub enum Kind {
    Open { conn: i64, peer: String },
    Close { conn: i64, by_client_normally: bool },
    Frame(Frame),
    Note { who: String, what: String },
}

pub struct Frame {
    pub conn: i64,
    pub peer: String,
    pub to_server: bool,
    /// False: swallowed by the proxy on purpose.
    pub delivered: bool,
    /// As it was on the wire.
    pub bytes: Vec<u8>,
}

impl Frame {
    pub fn message(&self) -> Option<Message> {
        frame::decode(&self.bytes, &Limits::default()).ok()
    }
}

/// All conversations that concern the sync mode.
pub fn sync_mode() -> Vec<Conversation> {
    chosen(33, |name| !is_relay(name))
}

/// All conversations that concern the relay mode.
pub fn relay_mode() -> Vec<Conversation> {
    chosen(15, is_relay)
}

fn is_relay(name: &str) -> bool {
    name.starts_with('5') || name.starts_with('6') || name.starts_with("72")
}

fn chosen(count_min: usize, wanted: impl Fn(&str) -> bool) -> Vec<Conversation> {
    let names = crate::common::names("conversations").into_iter();
    let stems = names.map(|name| name["conversations/".len()..].to_owned());
    let chosen: Vec<Conversation> = stems
        .filter(|name| wanted(name))
        .filter_map(|name| parse(&name))
        .collect();
    let count = chosen.len();
    assert!(count >= count_min, "conversations are missing: {count}");
    chosen
}

/// Of an awareness message: its type, and what each session shows. Sessions are named by their
/// connections, as `name` knows them.
pub fn presence(message: &Message, name: impl Fn(&str) -> String) -> Option<String> {
    match message {
        Message::AwarenessUpdate {
            client_id,
            metadata,
            ..
        } => Some(format!(
            "100 {} {metadata:?}",
            name(&client_id.to_string_lossy())
        )),
        Message::AwarenessState { states, .. } => {
            let shown = states.iter();
            let shown = shown.map(|(id, metadata)| (name(&id.to_string_lossy()), metadata));
            let mut shown: Vec<_> = shown.map(|state| format!("{state:?}")).collect();
            shown.sort();
            Some(format!("102 {}", shown.join(" ")))
        }
        Message::AwarenessQuery { .. } => Some("101".to_owned()),
        _ => None,
    }
}

fn parse(name: &str) -> Option<Conversation> {
    let file = load(&format!("conversations/{name}"));
    let Some(events) = file.get("events") else {
        println!("{name}: skipped: an HTTP exchange, not a conversation");
        return None;
    };
    let server = &file["config"]["server"];
    let documents = server.get("documents").map(list).unwrap_or_default();
    let peers = file["peers"].as_object().expect("an object");
    Some(Conversation {
        name: name.to_owned(),
        documents: documents.iter().map(|id| text(id).to_owned()).collect(),
        real_server: server.is_object(),
        awareness_plugin: ["server", "relay"]
            .iter()
            .any(|side| file["config"][side]["awarenessPlugin"] == true),
        relay_log_length_max: file["config"]
            .get("relay")
            .map(|relay| relay["logCompactThreshold"].as_u64().unwrap_or(200)),
        peers: peers
            .iter()
            .map(|(label, id)| (label.clone(), text(id).to_owned()))
            .collect(),
        events: list(events).iter().filter_map(event).collect(),
        last: file["final"].clone(),
    })
}

fn event(json: &Json) -> Option<Event> {
    let string = |key: &str| json.get(key).map(text).unwrap_or_default().to_owned();
    let conn = || int(&json["conn"]);
    let kind = match text(&json["event"]) {
        "open" => Kind::Open {
            conn: conn(),
            peer: string("peer"),
        },
        "close" => Kind::Close {
            conn: conn(),
            by_client_normally: string("by") == "client" && json["code"] == 1000,
        },
        "frame" => Kind::Frame(Frame {
            conn: conn(),
            peer: string("peer"),
            to_server: string("dir") == "c2s",
            delivered: json.get("fault").is_none(),
            bytes: bytes(json),
        }),
        "note" => Kind::Note {
            who: string("who"),
            what: string("what"),
        },
        _ => return None,
    };
    Some(Event {
        at_ms: int(&json["t"]),
        kind,
    })
}

fn bytes(json: &Json) -> Vec<u8> {
    use base64::Engine as _;
    match json.get("gzipBase64").or(json.get("bytesBase64")) {
        Some(packed) => base64::engine::general_purpose::STANDARD
            .decode(text(packed))
            .unwrap(),
        None => text(&json["text"]).as_bytes().to_vec(),
    }
}

/// What two frames must have in common: session ids and the server's time are no matter; of a
/// snapshot the version and the id (its hash) count, because only the peer that took it knows its
/// handlers; the order inside a list of changes is free.
pub fn comparable(message: &Message) -> Message {
    let mut message = message.clone();
    match &mut message {
        Message::HandshakeResponse {
            snapshot,
            changes,
            session_id,
            ..
        } => {
            session_id.clear();
            *snapshot = snapshot.as_ref().map(without_content);
            sort(changes.as_mut());
        }
        Message::DocumentStatus {
            snapshot, changes, ..
        } => {
            *snapshot = snapshot.as_ref().map(without_content);
            sort(changes.as_mut());
        }
        Message::Changes { changes, .. } => sort(Some(changes)),
        Message::Ping { timestamp, .. } => *timestamp = 0,
        Message::RelayWelcome(welcome) => welcome.session_id.clear(),
        Message::RelayChanges { from, .. } => *from = from.take().map(|_| "somebody".into()),
        // For people.
        Message::Error { message, .. } => message.clear(),
        Message::Pong {
            response_timestamp, ..
        } => *response_timestamp = 0,
        _ => {}
    }
    message
}

fn without_content(snapshot: &Snapshot) -> Snapshot {
    let bare = Snapshot::new(snapshot.vector().clone(), Vec::new());
    assert_eq!(
        bare.id(),
        snapshot.id(),
        "the id is the hash of the version"
    );
    bare
}

fn sort(changes: Option<&mut Vec<Change>>) {
    if let Some(changes) = changes {
        changes.sort_by_key(|change| change.id);
    }
}

/// The type, and for errors the code.
pub fn kind(message: &Message) -> String {
    match message {
        Message::HandshakeRequest { .. } => "0".to_owned(),
        Message::HandshakeResponse { .. } => "1".to_owned(),
        Message::Change { .. } => "2".to_owned(),
        Message::DocumentStatus { .. } => "3".to_owned(),
        Message::DocumentStatusRequest { .. } => "4".to_owned(),
        Message::Ping { .. } => "5".to_owned(),
        Message::Pong { .. } => "6".to_owned(),
        Message::Error { code, .. } => format!("7 {code}"),
        Message::Changes { .. } => "8".to_owned(),
        Message::RelayHello { .. } => "20".to_owned(),
        Message::RelayWelcome(_) => "21".to_owned(),
        Message::RelayPush { .. } => "22".to_owned(),
        Message::RelayAck { .. } => "23".to_owned(),
        Message::RelayChanges { .. } => "24".to_owned(),
        Message::RelaySnapshotUpload { .. } => "25".to_owned(),
        Message::RelayStateRequest { .. } => "26".to_owned(),
        Message::AwarenessUpdate { .. } => "100".to_owned(),
        Message::AwarenessQuery { .. } => "101".to_owned(),
        Message::AwarenessState { .. } => "102".to_owned(),
        Message::Unknown { message_type, .. } => message_type.to_string(),
        other => panic!("no kind for {other:?}"),
    }
}

/// A frame that we understand comes out again byte for byte.
pub fn check_encoding(frame: &Frame, message: &Message) {
    if Framing::of(&frame.bytes) == Framing::Gzip {
        return;
    }
    let text = String::from_utf8(frame.bytes.clone()).expect("it decoded");
    // Hand-driven peers leave fields out that Dart writes as null.
    if text.contains("\"versionVector\"") || matches!(message, Message::Change { .. }) {
        let again = String::from_utf8(frame::encode(message, Framing::Plain)).unwrap();
        if !matches!(
            message,
            Message::HandshakeResponse { .. } | Message::DocumentStatus { .. }
        ) || text.contains("\"changes\"")
        {
            assert_eq!(again, text);
        }
    }
}

/// One deliberate difference between a recorded stream of frames and ours, in stream order.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// We send this in addition.
    Extra(&'static str),
    /// We do not send this.
    Missing(&'static str),
    /// We send the second kind (or the same with other content) instead of the first.
    Instead(&'static str, &'static str),
}

/// Compares two streams; every edit must be needed, in its order.
pub fn compare(what: &str, recorded: &[Message], ours: &[Message], edits: &[Edit]) {
    let (mut at, mut own) = (0, 0);
    let mut edits = edits.iter();
    let context = || {
        let kinds = |stream: &[Message]| stream.iter().map(kind).collect::<Vec<_>>().join(", ");
        format!(
            "{what}\nrecorded: {}\nours:     {}",
            kinds(recorded),
            kinds(ours)
        )
    };
    loop {
        let equal = match (recorded.get(at), ours.get(own)) {
            (None, None) => break,
            (Some(recorded), Some(ours)) => comparable(recorded) == comparable(ours),
            _ => false,
        };
        if equal {
            (at, own) = (at + 1, own + 1);
            continue;
        }
        let is = |stream: &[Message], at: usize, expected: &str| {
            stream
                .get(at)
                .is_some_and(|message| kind(message) == expected)
        };
        let edit = edits.next();
        match edit {
            Some(Edit::Extra(expected)) if is(ours, own, expected) => own += 1,
            Some(Edit::Missing(expected)) if is(recorded, at, expected) => at += 1,
            Some(Edit::Instead(theirs, expected))
                if is(recorded, at, theirs) && is(ours, own, expected) =>
            {
                (at, own) = (at + 1, own + 1);
            }
            _ => panic!(
                "{}\nat {at} / {own}, edit {edit:?}:\n{:#?}\n{:#?}",
                context(),
                recorded.get(at),
                ours.get(own)
            ),
        }
    }
    assert!(
        edits.next().is_none(),
        "a listed difference did not occur: {}",
        context()
    );
}
