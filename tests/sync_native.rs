//! The native dialect without a network: what is said, what it costs, what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline::clock::{PeerId, VersionVector};
use syncline::document::{Document, DocumentOptions, HandlerKind, HandlerSpec, WallClock};
use syncline::replica::Replica;
use syncline::sync::crdt_sync::SessionId;
use syncline::sync::native::{
    Access, Client, ClientAction, ClientEvent, ClientOptions, Code, ConnectionAction, DocumentKey,
    DocumentPhase, FairQueue, Incoming, Limits, Message, Outgoing, Room, RoomInput, RoomOptions,
    ServerConnection, ServerOptions, Surroundings, frame,
};

const NOW: i64 = 1_700_000_000_000;
const EPOCH: u64 = 9;

fn document(peer: u8, name: &str, now: i64) -> Document {
    let mut bytes = [peer; 16];
    bytes[6] = 0x41;
    bytes[8] = 0x81;
    Document::new(DocumentOptions {
        document_id: name.to_owned(),
        peer_id: Some(PeerId::from_bytes(bytes)),
        wall_clock: WallClock::Fixed(now),
        ..DocumentOptions::default()
    })
}

fn text_of(document: &mut Document) -> syncline::document::HandlerIdx {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    document.handler("text", &spec).unwrap()
}

fn insert(document: &mut Document, at: u64, piece: &str) {
    let text = text_of(document);
    document.text_insert(text, at, piece).unwrap();
}

fn content(document: &mut Document) -> String {
    let text = text_of(document);
    document.text_string(text)
}

/// A server with a few rooms; nothing is lost and nothing takes time.
struct Server {
    options: Arc<ServerOptions>,
    rooms: BTreeMap<String, (Document, Room<Document>)>,
    access: Access,
    ends: BTreeMap<SessionId, End>,
    full: BTreeSet<SessionId>,
}

struct End {
    connection: ServerConnection,
    queue: FairQueue,
    closed: Option<u16>,
}

impl Server {
    fn new(options: ServerOptions) -> Self {
        Server {
            options: Arc::new(options),
            rooms: BTreeMap::new(),
            access: Access::ALL,
            ends: BTreeMap::new(),
            full: BTreeSet::new(),
        }
    }

    fn connect(&mut self) -> SessionId {
        let session = SessionId::from_random([self.ends.len() as u8; 16]);
        let connection = ServerConnection::new(self.options.clone(), session.clone(), NOW);
        let end = End {
            connection,
            queue: FairQueue::new(self.options.part_bytes),
            closed: None,
        };
        self.ends.insert(session.clone(), end);
        session
    }

    fn room(&mut self, name: &str) -> &mut (Document, Room<Document>) {
        self.rooms.entry(name.to_owned()).or_insert_with(|| {
            let room = Room::new(Arc::new(RoomOptions::default()), EPOCH, 77);
            (document(200, name, NOW), room)
        })
    }

    fn receive(&mut self, session: &SessionId, bytes: &[u8]) {
        let end = self.ends.get_mut(session).unwrap();
        for action in end.connection.receive(bytes, NOW) {
            match action {
                ConnectionAction::Send(outgoing) => self.send(session, outgoing),
                ConnectionAction::Join {
                    channel,
                    document_id,
                    join,
                } => {
                    let access = self.access;
                    let input = RoomInput::Join {
                        join,
                        access,
                        deflate: true,
                    };
                    self.in_room(session, &document_id, channel, input);
                }
                ConnectionAction::ToRoom {
                    channel,
                    document_id,
                    input,
                } => self.in_room(session, &document_id, channel, input),
                ConnectionAction::Close { code, .. } => {
                    self.ends.get_mut(session).unwrap().closed = Some(code);
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, session: &SessionId, outgoing: Outgoing) {
        self.ends.get_mut(session).unwrap().queue.push(outgoing);
    }

    fn in_room(&mut self, session: &SessionId, name: &str, channel: u32, input: RoomInput) {
        let full = self.full.clone();
        let (document, room) = self.room(name);
        let seen = document.version_vector();
        let around = Surroundings {
            seen: &seen,
            is_full: &|session: &SessionId| full.contains(session),
        };
        let outputs = room
            .handle(session, channel, input, &around, document)
            .outputs;
        for output in outputs {
            self.send(&output.session.clone(), output.outgoing);
        }
    }
}

/// A client with its documents.
struct Site {
    client: Client<Document>,
    documents: BTreeMap<DocumentKey, Document>,
    session: SessionId,
    events: Vec<ClientEvent>,
    /// Frames and bytes of both directions, with what WebSocket adds.
    sent: (usize, usize),
    got: (usize, usize),
}

/// Header and mask of a WebSocket message.
fn websocket_bytes(payload: usize, masked: bool) -> usize {
    let length = match payload {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    };
    length + if masked { 4 } else { 0 } + payload
}

impl Site {
    fn new(server: &mut Server, peer: u8, names: &[&str]) -> Self {
        let mut site = Site {
            client: Client::new(ClientOptions::default(), 1),
            documents: BTreeMap::new(),
            session: server.connect(),
            events: Vec::new(),
            sent: (0, 0),
            got: (0, 0),
        };
        for name in names {
            let document = document(peer, name, NOW);
            let known = VersionVector::new();
            let key = site.client.attach(*name, document.peer_id(), None, known);
            site.documents.insert(key, document);
        }
        site
    }

    fn open(&mut self) {
        self.client.connect(NOW);
        assert_eq!(
            self.client.poll(),
            Some(ClientAction::Status(self.client.status()))
        );
        assert_eq!(self.client.poll(), Some(ClientAction::Open));
        self.client.transport_opened(NOW);
    }

    fn key(&self, at: usize) -> DocumentKey {
        *self.documents.keys().nth(at).unwrap()
    }

    fn edit(&mut self, key: DocumentKey, body: impl FnOnce(&mut Document)) {
        body(self.documents.get_mut(&key).unwrap());
        self.client.local_changes(key);
    }

    /// Until nobody says anything more.
    fn pump(&mut self, server: &mut Server) {
        while self.send(server) | self.get(server, usize::MAX) {}
    }

    fn send(&mut self, server: &mut Server) -> bool {
        for key in self.client.due(NOW) {
            let document = self.documents.get_mut(&key).unwrap();
            self.client.step(key, NOW, document);
        }
        while let Some(action) = self.client.poll() {
            if let ClientAction::Event(event) = action {
                self.events.push(event);
            }
        }
        let mut any = false;
        while let Some(bytes) = self.client.next_frame() {
            any = true;
            self.sent.0 += 1;
            self.sent.1 += websocket_bytes(bytes.len(), true);
            server.receive(&self.session, &bytes);
        }
        any
    }

    fn get(&mut self, server: &mut Server, frames_max: usize) -> bool {
        let mut any = false;
        for _ in 0..frames_max {
            let end = server.ends.get_mut(&self.session).unwrap();
            let Some(bytes) = end.queue.pop() else { break };
            any = true;
            self.got.0 += 1;
            self.got.1 += websocket_bytes(bytes.len(), false);
            if let Some((key, incoming)) = self.client.receive(&bytes, NOW) {
                self.handle(key, incoming);
            }
        }
        any
    }

    fn handle(&mut self, key: DocumentKey, incoming: Incoming) {
        let document = self.documents.get_mut(&key).unwrap();
        self.client.handle(key, incoming, NOW, document);
    }
}

#[test]
fn a_keystroke_costs_at_most_24_bytes_with_its_acknowledgement() {
    let mut server = Server::new(ServerOptions::default());
    // Here no time passes between keystrokes; what that would take in the clock is added below.
    let mut one = Site::new(&mut server, 1, &["doc"]);
    let mut two = Site::new(&mut server, 2, &["doc"]);
    one.open();
    two.open();
    let key = one.key(0);
    one.edit(key, |document| insert(document, 0, "begin"));
    one.pump(&mut server);
    two.pump(&mut server);
    (one.sent, one.got, two.got) = Default::default();
    let keystrokes = 200;
    for at in 0..keystrokes {
        one.edit(key, |document| insert(document, 5 + at, "x"));
        one.pump(&mut server);
        two.pump(&mut server);
    }
    let writer = (one.sent.1 + one.got.1) as f64 / keystrokes as f64;
    let reader = two.got.1 as f64 / keystrokes as f64;
    println!("writer {writer} bytes, reader {reader} bytes per keystroke");
    // A pause of up to two minutes between two keystrokes takes two bytes more in the clock.
    assert!(writer + 2.0 <= 24.0, "{writer}");
    assert!(reader + 2.0 <= 24.0, "{reader}");
    let text = content(one.documents.get_mut(&key).unwrap());
    assert_eq!(content(&mut server.room("doc").0), text);
    let other = two.key(0);
    assert_eq!(content(two.documents.get_mut(&other).unwrap()), text);
    assert_eq!(one.client.progress(key, &one.documents[&key]).pending, 0);
}

#[test]
fn a_large_document_does_not_hold_up_a_keystroke_of_another() {
    let mut server = Server::new(ServerOptions::default());
    // Nothing that deflates well.
    let mut state = 1u64;
    let noise: String = (0..3 << 20)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b' ' + (state >> 33) as u8 % 90)
        })
        .collect();
    insert(&mut server.room("large").0, 0, &noise);
    let mut one = Site::new(&mut server, 1, &["large", "small"]);
    let mut two = Site::new(&mut server, 2, &["small"]);
    one.open();
    two.open();
    let (large, small) = (one.key(0), one.key(1));
    one.send(&mut server);
    two.pump(&mut server);
    // Welcome, and the answers to both joins, and some of the large document.
    one.get(&mut server, 10);
    one.send(&mut server);
    assert!(content(one.documents.get_mut(&large).unwrap()).is_empty());
    let other = two.key(0);
    for count in 1..=20 {
        two.edit(other, |document| insert(document, 0, "k"));
        two.pump(&mut server);
        // At most one part, then the keystroke.
        one.get(&mut server, 2);
        let seen = content(one.documents.get_mut(&small).unwrap()).len();
        assert_eq!(seen, count, "a keystroke waited for more than one part");
    }
    one.pump(&mut server);
    assert_eq!(content(one.documents.get_mut(&large).unwrap()), noise);
}

#[test]
fn a_state_goes_on_where_it_stopped() {
    let options = ServerOptions {
        part_bytes: 500,
        ..ServerOptions::default()
    };
    let mut server = Server::new(options);
    for at in 0..200 {
        insert(
            &mut server.room("doc").0,
            at * 37 % (at + 1),
            &format!("{} ", at * at * 7919),
        );
    }
    let mut site = Site::new(&mut server, 1, &["doc"]);
    let key = site.key(0);
    site.open();
    site.send(&mut server);
    site.get(&mut server, 4);
    let received = |site: &Site| {
        let pieces = site.events.iter().filter_map(|event| match event {
            ClientEvent::StateProgress { received, .. } => Some(*received),
            _ => None,
        });
        pieces.collect::<Vec<_>>()
    };
    site.send(&mut server);
    assert_eq!(received(&site), [500, 1000]);
    site.client.transport_closed(NOW, "cut");
    site.session = server.connect();
    // What came meanwhile follows the state as an update.
    insert(&mut server.room("doc").0, 0, "later ");
    site.client.connect(NOW);
    site.client.transport_opened(NOW);
    site.pump(&mut server);
    assert!(received(&site)[2] > 1000, "not from the beginning");
    let expected = content(&mut server.room("doc").0);
    assert_eq!(content(site.documents.get_mut(&key).unwrap()), expected);
}

#[test]
fn a_slow_reader_gets_one_update_when_it_reads_again() {
    let mut server = Server::new(ServerOptions::default());
    let mut one = Site::new(&mut server, 1, &["doc"]);
    let mut two = Site::new(&mut server, 2, &["doc"]);
    one.open();
    two.open();
    one.pump(&mut server);
    two.pump(&mut server);
    server.full.insert(two.session.clone());
    let (key, other) = (one.key(0), two.key(0));
    for at in 0..100 {
        one.edit(key, |document| insert(document, at, "x"));
        one.pump(&mut server);
    }
    assert!(!two.get(&mut server, 1), "nothing is queued for it");
    server.full.clear();
    let session = two.session.clone();
    server.in_room(&session, "doc", 1, RoomInput::Ready);
    two.got = (0, 0);
    two.pump(&mut server);
    assert_eq!(two.got.0, 1);
    assert_eq!(content(two.documents.get_mut(&other).unwrap()).len(), 100);
    one.edit(key, |document| insert(document, 0, "y"));
    one.pump(&mut server);
    two.pump(&mut server);
    assert_eq!(content(two.documents.get_mut(&other).unwrap()).len(), 101);
}

#[test]
fn who_may_not_write_keeps_its_edits_until_it_may() {
    let mut server = Server::new(ServerOptions::default());
    server.access.write = false;
    let mut site = Site::new(&mut server, 1, &["doc"]);
    let key = site.key(0);
    site.open();
    site.edit(key, |document| insert(document, 0, "mine"));
    site.pump(&mut server);
    assert_eq!(site.client.document_phase(key), Some(DocumentPhase::Live));
    assert!(!site.client.progress(key, &site.documents[&key]).synced);
    assert!(content(&mut server.room("doc").0).is_empty());
    // The right comes: what waited is sent.
    server.access = Access::ALL;
    let session = site.session.clone();
    server.in_room(&session, "doc", 1, RoomInput::Access(Access::ALL));
    site.pump(&mut server);
    assert_eq!(content(&mut server.room("doc").0), "mine");
    assert!(site.client.progress(key, &site.documents[&key]).synced);
    // It goes while an edit is on its way: refused, and not lost.
    let read_only = Access {
        read: true,
        write: false,
    };
    server.in_room(&session, "doc", 1, RoomInput::Access(read_only));
    site.edit(key, |document| insert(document, 0, "still "));
    site.send(&mut server);
    site.pump(&mut server);
    assert_eq!(
        site.client.document_phase(key),
        Some(DocumentPhase::ReadOnly(Code::ReadOnly))
    );
    assert_eq!(site.client.progress(key, &site.documents[&key]).pending, 1);
    server.in_room(&session, "doc", 1, RoomInput::Access(Access::ALL));
    site.pump(&mut server);
    assert_eq!(content(&mut server.room("doc").0), "still mine");
    assert_eq!(site.client.progress(key, &site.documents[&key]).pending, 0);
}

#[test]
fn a_room_of_another_epoch_takes_nothing_and_gives_nothing() {
    let mut server = Server::new(ServerOptions::default());
    insert(&mut server.room("doc").0, 0, "new history");
    let mut site = Site::new(&mut server, 1, &[]);
    let mut old = document(1, "doc", NOW);
    insert(&mut old, 0, "old history");
    let known = old.version_vector();
    let key = site
        .client
        .attach("doc", old.peer_id(), Some(EPOCH + 1), known);
    site.documents.insert(key, old);
    site.open();
    site.pump(&mut server);
    let changed = ClientEvent::EpochChanged { key, epoch: EPOCH };
    assert!(site.events.contains(&changed), "{:?}", site.events);
    let stopped = DocumentPhase::Stopped(Code::EpochChanged);
    assert_eq!(site.client.document_phase(key), Some(stopped));
    assert_eq!(
        content(site.documents.get_mut(&key).unwrap()),
        "old history"
    );
    assert_eq!(content(&mut server.room("doc").0), "new history");
}

#[test]
fn pruned_history_arrives_as_a_snapshot() {
    let mut server = Server::new(ServerOptions::default());
    insert(&mut server.room("doc").0, 0, "pruned");
    server.room("doc").0.take_snapshot(true).unwrap();
    let mut site = Site::new(&mut server, 1, &["doc"]);
    let key = site.key(0);
    site.edit(key, |document| insert(document, 0, "own "));
    site.open();
    site.pump(&mut server);
    let text = content(site.documents.get_mut(&key).unwrap());
    assert_eq!(text.len(), "own pruned".len());
    assert_eq!(content(&mut server.room("doc").0), text);
    assert!(site.client.progress(key, &site.documents[&key]).synced);
}

#[test]
fn presence_is_bound_to_its_connection() {
    let mut server = Server::new(ServerOptions::default());
    let mut one = Site::new(&mut server, 1, &["doc"]);
    let mut two = Site::new(&mut server, 2, &["doc"]);
    one.open();
    one.pump(&mut server);
    let key = one.key(0);
    one.client.set_presence(key, b"here".to_vec());
    one.pump(&mut server);
    two.open();
    two.pump(&mut server);
    let presences = |site: &Site| {
        let all = site.events.iter().filter_map(|event| match event {
            ClientEvent::Presence { entries, .. } => Some(entries.clone()),
            _ => None,
        });
        all.flatten()
            .map(|entry| (entry.member, entry.state))
            .collect::<Vec<_>>()
    };
    two.send(&mut server);
    assert_eq!(presences(&two), [(1, b"here".to_vec())]);
    let session = one.session.clone();
    server.in_room(&session, "doc", 1, RoomInput::Leave);
    two.pump(&mut server);
    assert_eq!(presences(&two)[1], (1, Vec::new()), "gone with it");
    assert!(presences(&one).is_empty(), "nobody hears of itself");
}

/// Valid frames of every type.
fn messages() -> Vec<Message> {
    let mut server = Server::new(ServerOptions::default());
    let mut site = Site::new(&mut server, 1, &["doc"]);
    let key = site.key(0);
    insert(&mut server.room("doc").0, 0, "server");
    site.edit(key, |document| insert(document, 0, "client"));
    site.open();
    let mut frames = Vec::new();
    loop {
        for key in site.client.due(NOW) {
            let document = site.documents.get_mut(&key).unwrap();
            site.client.step(key, NOW, document);
        }
        let sent = site.client.next_frame();
        if let Some(bytes) = &sent {
            server.receive(&site.session, bytes);
        }
        let end = server.ends.get_mut(&site.session).unwrap();
        let got = end.queue.pop();
        if let Some((key, incoming)) = got.as_ref().and_then(|got| site.client.receive(got, NOW)) {
            site.handle(key, incoming);
        }
        if sent.is_none() && got.is_none() {
            break;
        }
        frames.extend(sent);
        frames.extend(got);
    }
    let mut messages: Vec<Message> = frames
        .iter()
        .map(|bytes| frame::decode(bytes, &Limits::default()).unwrap())
        .collect();
    let text = "why".to_owned();
    messages.extend([
        Message::Ping(300),
        Message::Pong(300),
        Message::GoAway {
            code: Code::GoingAway,
            delay_ms: 5_000,
            text: text.clone(),
        },
        Message::Error {
            code: Code::Other(99),
            text: text.clone(),
        },
        Message::Refused {
            channel: 1,
            batch: 3,
            code: Code::Invalid,
            retry_after_ms: 0,
            detail: vec![1, 2],
            text,
        },
        Message::Leave(1),
        Message::Left(200),
        Message::Token {
            channel: 1,
            token: b"secret".to_vec(),
        },
        Message::AccessChanged {
            channel: 1,
            access: Access::ALL,
        },
        Message::Presence {
            channel: 1,
            state: vec![5; 40],
        },
        Message::Durability {
            channel: 1,
            durable: false,
        },
        Message::Part {
            channel: 1,
            last: true,
            bytes: vec![0x14, 1, 9],
        },
        Message::Application {
            message_type: 64,
            channel: 0,
            bytes: vec![1],
        },
        Message::Update {
            channel: 1,
            begins: false,
            update: vec![3; 700],
        },
    ]);
    messages
}

#[test]
fn every_message_comes_back_plain_and_deflated() {
    let limits = Limits::default();
    for message in messages() {
        let bytes = frame::encode(&message);
        assert_eq!(frame::decode(&bytes, &limits), Ok(message.clone()));
        let deflated = frame::deflated(bytes, 1);
        assert_eq!(frame::decode(&deflated, &limits), Ok(message));
    }
}

#[test]
fn malformed_frames_are_refused_and_change_nothing() {
    let limits = Limits::default();
    let frames: Vec<Vec<u8>> = messages().iter().map(frame::encode).collect();
    let mut state = 1u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % bound
    };
    for bytes in &frames {
        for len in 0..bytes.len() {
            // A prefix may be a shorter message of the same kind; never a panic.
            let _ = frame::decode(&bytes[..len], &limits);
        }
    }
    for round in 0..1_000 {
        let mut server = Server::new(ServerOptions::default());
        let session = server.connect();
        insert(&mut server.room("doc").0, 0, "safe");
        for bytes in &frames {
            let mut bytes = bytes.clone();
            if round > 0 && below(3) == 0 {
                for _ in 0..1 + below(3) {
                    match below(3) {
                        0 => bytes.truncate(below(bytes.len() + 1)),
                        1 if !bytes.is_empty() => {
                            let at = below(bytes.len());
                            bytes[at] = below(256) as u8;
                        }
                        _ => bytes.insert(below(bytes.len() + 1), below(256) as u8),
                    }
                }
            }
            server.receive(&session, &bytes);
            if server.ends[&session].closed.is_some() {
                break;
            }
        }
        let text = content(&mut server.room("doc").0);
        assert!(text.contains("safe"), "round {round}: {text}");
        server.room("doc").0.check();
        server.ends[&session].queue.check();
    }
}

#[test]
fn bombs_are_cut_before_they_are_inflated() {
    let limits = Limits::default();
    // 60 MB of zeros in a few kB: more than a hundred to one.
    let mut packed = flate2::write::DeflateEncoder::new(
        vec![0x93, 0x80, 0x8e, 0xce, 0x1c],
        flate2::Compression::best(),
    );
    std::io::Write::write_all(&mut packed, &vec![0; 60_000_000]).unwrap();
    let bomb = packed.finish().unwrap();
    assert!(bomb.len() < 100_000);
    assert_eq!(
        frame::decode(&bomb, &limits),
        Err(syncline::sync::native::FrameError::Limit(
            "inflate_ratio_max"
        ))
    );
    // A deflated container inside of a frame is refused, whatever it holds.
    let mut server = Server::new(ServerOptions::default());
    let mut site = Site::new(&mut server, 1, &["doc"]);
    site.open();
    site.pump(&mut server);
    let mut own = document(3, "doc", NOW);
    insert(&mut own, 0, &"zip ".repeat(500));
    let container = own.export_native(&VersionVector::new());
    let container = syncline::codec::native::deflated(&container).unwrap();
    let session = site.session.clone();
    let message = Message::Changes {
        channel: 1,
        container,
    };
    server.receive(&session, &frame::encode(&message));
    assert!(content(&mut server.room("doc").0).is_empty());
    site.pump(&mut server);
    assert!(matches!(
        site.events.last(),
        Some(ClientEvent::Refused {
            code: Code::Invalid,
            ..
        })
    ));
}
