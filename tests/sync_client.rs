//! The client core by hand: what the recorded conversations do not show, because a Dart client does
//! it otherwise or not at all.

mod common;
mod sync_support;

use sync_support::conversation::kind;
use sync_support::model::Model;
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::{Change, Snapshot};
use syncline::replica::Replica;
use syncline::sync::crdt_sync::{
    Client, ClientAction, ClientEvent, ClientOptions, ClientStatus, FailureReason, Framing, Limits,
    Message, frame,
};

fn peer(number: u8) -> PeerId {
    let mut bytes = [number; 16];
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    PeerId::from_bytes(bytes)
}

fn options() -> ClientOptions {
    ClientOptions::new("doc", peer(1))
}

/// A client, its document, and what came out.
struct Bench {
    client: Client,
    model: Model,
    sent: Vec<Message>,
    events: Vec<ClientEvent>,
    statuses: Vec<ClientStatus>,
    opens: usize,
    closes: usize,
}

impl Bench {
    fn new(options: ClientOptions) -> Self {
        Bench {
            client: Client::new(options, 7),
            model: Model::default(),
            sent: Vec::new(),
            events: Vec::new(),
            statuses: Vec::new(),
            opens: 0,
            closes: 0,
        }
    }

    fn joined(options: ClientOptions) -> Self {
        let mut bench = Bench::new(options);
        bench.join(0, VersionVector::new());
        bench
    }

    fn open(&mut self, now_ms: i64) {
        self.client.connect(now_ms);
        self.client.transport_opened(now_ms, &self.model);
        assert_eq!(self.kinds(), ["0"]);
    }

    fn join(&mut self, now_ms: i64, version_vector: VersionVector) {
        self.open(now_ms);
        self.receive(now_ms, response(None, Vec::new(), version_vector));
        assert_eq!(self.client.status(), ClientStatus::Connected);
    }

    fn receive(&mut self, now_ms: i64, message: Message) {
        let bytes = frame::encode(&message, Framing::Plain);
        self.client.receive(&bytes, now_ms, &mut self.model);
    }

    fn edit(&mut self, now_ms: i64, body_len: usize) -> OperationId {
        let id = self.model.commit(peer(1), now_ms, &vec![b'x'; body_len]);
        self.client.local_changes(now_ms, &self.model);
        id
    }

    fn tick(&mut self, now_ms: i64) {
        self.client.tick(now_ms, &self.model);
    }

    /// Fetches everything; the messages since the last call.
    fn messages(&mut self) -> Vec<Message> {
        while let Some(action) = self.client.poll() {
            match action {
                ClientAction::Send(bytes) => {
                    self.sent
                        .push(frame::decode(&bytes, &Limits::default()).unwrap());
                }
                ClientAction::Event(event) => self.events.push(event),
                ClientAction::Status(status) => self.statuses.push(status),
                ClientAction::Open => self.opens += 1,
                ClientAction::CloseTransport { .. } => self.closes += 1,
                other => panic!("{other:?}"),
            }
        }
        std::mem::take(&mut self.sent)
    }

    fn kinds(&mut self) -> Vec<String> {
        self.messages().iter().map(kind).collect()
    }

    fn failure(&mut self) -> (FailureReason, Option<i64>) {
        self.messages();
        let mut failures = self.events.drain(..).filter_map(|event| match event {
            ClientEvent::ConnectionFailed {
                reason,
                retry_at_ms,
            } => Some((reason, retry_at_ms)),
            _ => None,
        });
        failures.next_back().expect("a failure")
    }
}

fn response(
    snapshot: Option<Snapshot>,
    changes: Vec<Change>,
    version_vector: VersionVector,
) -> Message {
    Message::HandshakeResponse {
        document_id: "doc".into(),
        snapshot,
        changes: Some(changes),
        session_id: "s".to_owned(),
        version_vector,
    }
}

fn status(version_vector: VersionVector) -> Message {
    Message::DocumentStatus {
        document_id: "doc".into(),
        snapshot: None,
        changes: None,
        version_vector,
    }
}

fn error(code: &str) -> Message {
    Message::Error {
        document_id: "doc".into(),
        code: code.to_owned(),
        message: "m".to_owned(),
    }
}

fn change_message(change: &Change) -> Message {
    Message::Change {
        document_id: "doc".into(),
        change: change.clone(),
    }
}

fn history(author: u8, count: usize) -> Vec<Change> {
    let mut model = Model::default();
    for number in 0..count {
        model.commit(peer(author), 1_000 + number as i64, b"body");
    }
    model.all_changes()
}

fn up_to(id: OperationId) -> VersionVector {
    VersionVector::from_iter([(id.peer, id.hlc)])
}

#[test]
fn statuses_of_a_life() {
    let mut bench = Bench::new(options());
    assert_eq!(bench.client.next_deadline(), None);
    bench.open(0);
    bench.receive(1, response(None, Vec::new(), VersionVector::new()));
    assert_eq!(bench.client.session_id(), Some("s"));
    bench.client.transport_closed(2, "reset");
    let (reason, retry_at) = bench.failure();
    assert_eq!(reason, FailureReason::Transport("reset".to_owned()));
    // Noticed at once, and tried again without being asked.
    bench.tick(retry_at.unwrap());
    bench.client.transport_opened(3_000, &bench.model);
    bench.receive(3_001, response(None, Vec::new(), VersionVector::new()));
    bench.client.disconnect();
    bench.messages();
    use ClientStatus::{Connected, Connecting, Disconnected, Reconnecting};
    assert_eq!(
        bench.statuses,
        [Connecting, Connected, Reconnecting, Connected, Disconnected]
    );
    assert_eq!((bench.opens, bench.closes), (2, 1));
    assert_eq!(bench.client.session_id(), None);
    assert_eq!(bench.client.next_deadline(), None);
}

#[test]
fn nothing_but_a_pong_before_the_handshake_response() {
    let remote = history(2, 2);
    let mut bench = Bench::new(options());
    bench.open(0);
    bench.edit(1, 5);
    bench.receive(1, change_message(&remote[1]));
    bench.receive(1, error("OUT_OF_SYNC"));
    bench.receive(1, status(VersionVector::new()));
    bench.client.request_sync(1, &bench.model);
    bench.tick(2);
    assert!(bench.kinds().is_empty());
    let ping = Message::Ping {
        document_id: "doc".into(),
        timestamp: 3,
        version_vector: None,
    };
    bench.receive(2, ping);
    assert_eq!(bench.kinds(), ["6"]);
    bench.receive(3, response(None, remote.clone(), up_to(remote[1].id)));
    assert_eq!(bench.kinds(), ["8"], "the edit follows the response");
    assert_eq!(bench.model.all_changes().len(), 3);
}

#[test]
fn a_failed_attempt_is_repeated() {
    // No transport in time, no answer in time, refused by the server.
    for case in 0..4 {
        let mut bench = Bench::new(options());
        bench.client.connect(0);
        let deadline = if case == 0 { 10_000 } else { 6_000 };
        match case {
            0 => {}
            1 => bench.client.transport_opened(1_000, &bench.model),
            _ => bench.open(1_000),
        }
        match case {
            2 => bench.receive(1_000, error("DOCUMENT_NOT_FOUND")),
            3 => bench.receive(1_000, error("HANDSHAKE_FAILED")),
            _ => {
                assert_eq!(bench.client.next_deadline(), Some(deadline));
                bench.tick(deadline - 1);
                assert_eq!(bench.client.status(), ClientStatus::Connecting);
                bench.tick(deadline);
            }
        }
        let (reason, retry_at) = bench.failure();
        match case {
            0 | 1 => assert_eq!(reason, FailureReason::HandshakeTimeout),
            _ => assert!(matches!(reason, FailureReason::Refused { .. })),
        }
        assert_eq!(bench.closes, 1);
        assert_eq!(bench.client.status(), ClientStatus::Reconnecting);
        assert_eq!(bench.client.next_deadline(), retry_at);
        bench.tick(retry_at.unwrap());
        bench.messages();
        assert_eq!(bench.opens, 2);
    }
}

#[test]
fn attempts_end_if_a_limit_is_set_and_connect_starts_anew() {
    let mut bench = Bench::new(ClientOptions {
        reconnect_attempts_max: Some(3),
        ..options()
    });
    bench.client.connect(0);
    let mut now = 0;
    for _ in 0..3 {
        bench.client.transport_closed(now, "refused");
        now = bench.failure().1.expect("another attempt");
        bench.tick(now);
    }
    bench.client.transport_closed(now, "refused");
    assert_eq!(bench.failure().1, None);
    assert_eq!(bench.client.status(), ClientStatus::Error);
    assert_eq!(bench.client.next_deadline(), None);
    bench.client.connect(now);
    assert_eq!(bench.client.status(), ClientStatus::Connecting);
    bench.client.transport_closed(now, "refused");
    assert!(bench.failure().1.is_some());
}

#[test]
fn a_server_that_drops_every_connection_is_not_asked_without_pause() {
    let mut bench = Bench::new(options());
    bench.client.connect(0);
    let mut now = 0;
    for _ in 0..40 {
        bench.client.transport_opened(now, &bench.model);
        bench.receive(now, response(None, Vec::new(), VersionVector::new()));
        bench.client.transport_closed(now, "kicked");
        now = bench.failure().1.unwrap();
        bench.tick(now);
    }
    // 40 delays of up to 30 s; with a reset at each success it would be 10 s in all.
    assert!(now > 200_000, "{now}");
}

#[test]
fn a_dead_server_is_noticed() {
    let mut bench = Bench::joined(options());
    assert_eq!(bench.client.next_deadline(), Some(15_000));
    bench.tick(15_000);
    let sent = bench.messages();
    let [
        Message::Ping {
            timestamp: 15_000,
            version_vector: Some(_),
            ..
        },
    ] = &sent[..]
    else {
        panic!("{sent:?}");
    };
    bench.tick(30_000);
    bench.tick(44_999);
    assert_eq!(bench.kinds(), ["5"]);
    assert_eq!(bench.client.status(), ClientStatus::Connected);
    bench.tick(45_000);
    assert_eq!(bench.failure().0, FailureReason::PingTimeout);
    assert_eq!(bench.closes, 1);
}

#[test]
fn any_frame_is_a_life_sign() {
    let mut bench = Bench::joined(options());
    for now in (15_000..600_000).step_by(15_000) {
        bench.tick(now);
        bench
            .client
            .receive(b"garbage", now + 29_000, &mut bench.model);
    }
    assert_eq!(bench.client.status(), ClientStatus::Connected);
    let dropped = |event: &&ClientEvent| matches!(event, ClientEvent::FrameDropped(_));
    bench.messages();
    assert_eq!(bench.events.iter().filter(dropped).count(), 39);
}

/// Trap 1.
#[test]
fn nothing_is_echoed() {
    let remote = history(2, 20);
    let mut bench = Bench::joined(options());
    for change in &remote[..10] {
        bench.receive(1, change_message(change));
    }
    bench.client.local_changes(1, &bench.model);
    assert!(bench.kinds().is_empty());
    let rest = Message::DocumentStatus {
        document_id: "doc".into(),
        snapshot: None,
        changes: Some(remote[10..].to_vec()),
        version_vector: up_to(remote[19].id),
    };
    bench.receive(2, rest);
    bench.client.local_changes(3, &bench.model);
    bench.tick(4);
    assert!(bench.kinds().is_empty());
    assert_eq!(bench.model.all_changes(), remote);
    assert_eq!(
        bench.client.progress(&bench.model),
        syncline::sync::crdt_sync::Progress {
            pending: 0,
            synced: true
        }
    );
}

#[test]
fn one_question_at_a_time() {
    let remote = history(2, 10);
    let mut bench = Bench::joined(options());
    for change in &remote[1..] {
        bench.receive(1, change_message(change));
    }
    bench.receive(1, error("OUT_OF_SYNC"));
    assert_eq!(bench.kinds(), ["4"]);
    // Not answered: the next one may be asked after a while.
    let deadline = bench.client.next_deadline().unwrap();
    assert_eq!(deadline, 5_001);
    bench.tick(deadline);
    bench.receive(deadline, change_message(&remote[5]));
    assert_eq!(bench.kinds(), ["4"]);
}

/// A history that the server can never take must not be pushed in a tight loop.
#[test]
fn hopeless_questions_become_rare() {
    let mut bench = Bench::joined(ClientOptions {
        want_acknowledgement: false,
        ..options()
    });
    bench.edit(1, 1);
    let (mut now, mut questions) = (1, 0);
    while now < 600_000 {
        for message in bench.messages() {
            match message {
                Message::Change { .. } | Message::Changes { .. } => {
                    bench.receive(now, error("OUT_OF_SYNC"));
                }
                Message::DocumentStatusRequest { .. } => {
                    questions += 1;
                    assert!(questions < 1_000, "a tight loop");
                    bench.receive(now, status(VersionVector::new()));
                }
                Message::Ping {
                    document_id,
                    timestamp,
                    ..
                } => {
                    let (original_timestamp, response_timestamp) = (timestamp, timestamp);
                    bench.receive(
                        now,
                        Message::Pong {
                            document_id,
                            original_timestamp,
                            response_timestamp,
                        },
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        if bench.client.next_deadline().unwrap() > now {
            now = bench.client.next_deadline().unwrap();
        }
        bench.tick(now);
    }
    assert_eq!(bench.client.status(), ClientStatus::Connected);
    assert!(
        (5..60).contains(&questions),
        "{questions} questions in ten minutes"
    );
}

#[test]
fn the_server_is_asked_for_an_acknowledgement() {
    let mut bench = Bench::joined(options());
    let id = bench.edit(1_000, 5);
    assert_eq!(bench.kinds(), ["2"]);
    assert_eq!(bench.client.progress(&bench.model).pending, 1);
    assert!(!bench.client.progress(&bench.model).synced);
    assert_eq!(bench.client.next_deadline(), Some(1_250));
    // Typing on puts the question off, but not for ever.
    let mut now = 1_000;
    while bench.kinds().iter().all(|kind| kind != "4") {
        now += 100;
        assert!(now <= 3_000, "never asked");
        bench.edit(now, 5);
        bench.tick(now);
    }
    assert_eq!(now, 3_000);
    let last = bench.model.version_vector();
    assert!(last.covers(&id.peer, id.hlc));
    bench.receive(3_100, status(last.clone()));
    assert!(bench.client.progress(&bench.model).synced);
    assert_eq!(bench.client.server_vector(), Some(&last));
    assert!(bench.kinds().is_empty());
    // Nothing to wait for: the next thing is a ping.
    assert_eq!(bench.client.next_deadline(), Some(15_000));
    assert_eq!(bench.client.progress(&bench.model).pending, 0);
}

/// The server's report lacks what was sent before the question: it got lost.
#[test]
fn a_loss_is_repaired_and_frames_under_way_are_not_repeated() {
    let mut bench = Bench::joined(options());
    let first = bench.edit(1_000, 5);
    bench.messages();
    bench.tick(1_250);
    assert_eq!(bench.kinds(), ["4"]);
    let second = bench.edit(1_300, 5);
    assert_eq!(bench.kinds(), ["2"]);
    // It has the first one; the second was made after the question.
    bench.receive(1_400, status(up_to(first)));
    assert!(bench.kinds().is_empty(), "the second one is under way");
    bench.tick(bench.client.next_deadline().unwrap());
    assert_eq!(bench.kinds(), ["4"]);
    bench.receive(2_000, status(up_to(first)));
    let sent = bench.messages();
    let [Message::Changes { changes, .. }] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(changes[0].id, second);
}

/// Trap 13, and a server restored from a backup.
#[test]
fn a_version_that_goes_backwards_makes_the_client_push_everything() {
    let mut bench = Bench::joined(options());
    let remote = history(2, 3);
    for change in &remote {
        bench.receive(1, change_message(change));
    }
    bench.edit(5_000, 5);
    let all = bench.model.version_vector();
    bench.receive(6_000, status(all));
    bench.messages();
    bench.receive(7_000, status(VersionVector::new()));
    let sent = bench.messages();
    let [Message::Changes { changes, .. }] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(changes.len(), 4);
    assert_eq!(bench.client.progress(&bench.model).pending, 4);
}

/// Trap 24, and bounded memory.
#[test]
fn a_backlog_is_pushed_in_small_frames_as_the_socket_takes_them() {
    let mut bench = Bench::new(ClientOptions {
        queue_bytes_max: 50_000,
        push_bytes_max: 10_000,
        ..options()
    });
    for number in 0..1_000 {
        bench.model.commit(peer(1), 1 + number, &[b'x'; 300]);
    }
    bench.join(2_000, VersionVector::new());
    let (mut rounds, mut pushed) = (0, Vec::new());
    loop {
        let mut bytes = 0;
        for message in bench.messages() {
            let size = frame::encode(&message, Framing::Plain).len();
            assert!(size < 10_100, "a frame of {size} bytes");
            bytes += size;
            let Message::Changes { changes, .. } = message else {
                panic!("{message:?}");
            };
            pushed.extend(changes);
        }
        assert!(bytes < 61_000, "{bytes} bytes were queued");
        rounds += 1;
        match bench.client.next_deadline() {
            Some(deadline) if deadline <= 2_000 => bench.tick(2_000),
            _ => break,
        }
    }
    assert!(rounds > 5);
    assert_eq!(pushed, bench.model.all_changes());
}

#[test]
fn a_change_that_is_too_large_stops_the_push_once() {
    let mut bench = Bench::joined(ClientOptions {
        change_bytes_max: 1_000,
        ..options()
    });
    let small = bench.edit(1, 10);
    let large = bench.edit(2, 2_000);
    bench.edit(3, 10);
    let sent = bench.messages();
    let [Message::Change { change, .. }] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(change.id, small);
    let told = |event: &&ClientEvent| matches!(event, ClientEvent::ChangeTooLarge { change, .. } if *change == large);
    assert_eq!(bench.events.iter().filter(told).count(), 1);
    assert_eq!(bench.client.progress(&bench.model).pending, 3);
    assert!(bench.client.next_deadline().unwrap() > 3, "no busy loop");
}

#[test]
fn many_local_changes_share_a_message_and_few_do_not() {
    for (count, expected) in [(8, vec!["2"; 8]), (9, vec!["8"])] {
        let mut bench = Bench::joined(options());
        for number in 0..count {
            bench.model.commit(peer(1), number, b"x");
        }
        bench.client.local_changes(10, &bench.model);
        assert_eq!(bench.kinds(), expected);
    }
}

/// Trap 11: a Dart client ignores the changes beside a snapshot that it cannot take.
#[test]
fn changes_beside_a_useless_snapshot_are_taken() {
    let remote = history(2, 1);
    let mut bench = Bench::new(options());
    bench
        .model
        .set_snapshot(up_to(OperationId::new(peer(1), Hlc::new(9, 0))));
    bench.open(0);
    let foreign = Snapshot::new(up_to(OperationId::new(peer(3), Hlc::new(9, 0))), Vec::new());
    bench.receive(
        1,
        response(Some(foreign), remote.clone(), up_to(remote[0].id)),
    );
    assert_eq!(bench.model.all_changes(), remote);
}

#[test]
fn frames_of_a_former_connection_do_nothing() {
    let mut bench = Bench::joined(options());
    bench.messages();
    bench.edit(1, 5);
    bench.client.transport_closed(2, "reset");
    assert!(
        bench.kinds().is_empty(),
        "frames for a dead transport are dropped"
    );
    let remote = history(2, 1);
    bench.receive(3, change_message(&remote[0]));
    assert_eq!(bench.model.all_changes().len(), 1);
    bench.client.transport_opened(3, &bench.model);
    bench.client.transport_closed(3, "late news");
    assert!(bench.kinds().is_empty());
    bench.client.disconnect();
    bench.receive(4, change_message(&remote[0]));
    bench.client.local_changes(5, &bench.model);
    assert!(bench.kinds().is_empty());
    assert_eq!(bench.client.progress(&bench.model).pending, 1);
}

#[test]
fn a_flood_of_server_pings_does_not_fill_memory() {
    let mut bench = Bench::joined(ClientOptions {
        queue_bytes_max: 10_000,
        ..options()
    });
    for timestamp in 0..100_000 {
        bench.receive(
            1,
            Message::Ping {
                document_id: "doc".into(),
                timestamp,
                version_vector: None,
            },
        );
        bench.client.receive(b"x", 1, &mut bench.model);
    }
    let mut bytes = 0;
    let mut actions = 0;
    while let Some(action) = bench.client.poll() {
        actions += 1;
        if let ClientAction::Send(frame) = action {
            bytes += frame.len();
        }
    }
    assert!(bytes < 10_200, "{bytes} bytes");
    assert!(actions < 5_000, "{actions} actions");
}

#[test]
fn gzip_is_sent_if_asked_for_and_always_understood() {
    let mut bench = Bench::new(ClientOptions {
        framing: Framing::Gzip,
        ..options()
    });
    bench.client.connect(0);
    bench.client.transport_opened(0, &bench.model);
    let frame_sent = loop {
        match bench.client.poll() {
            Some(ClientAction::Send(frame)) => break frame,
            Some(_) => {}
            None => panic!("no handshake"),
        }
    };
    assert_eq!(Framing::of(&frame_sent), Framing::Gzip);
    let answer = response(None, Vec::new(), VersionVector::new());
    bench
        .client
        .receive(&frame::encode(&answer, Framing::Gzip), 1, &mut bench.model);
    assert_eq!(bench.client.status(), ClientStatus::Connected);
}
