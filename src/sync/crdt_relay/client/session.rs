//! The joined phase of a client of a relay: what arrives, what is pushed, what is offered as a
//! snapshot.

use super::{RelayClient, SequenceTracker};
use crate::clock::OperationId;
use crate::codec::{Change, Snapshot};
use crate::replica::{ApplyError, ImportOutcome, Replica};
use crate::sync::causal;
use crate::sync::crdt_relay::Blob;
use crate::sync::crdt_sync::batch::{split, wire_len};
use crate::sync::crdt_sync::client::lifecycle::Phase;
use crate::sync::crdt_sync::client::presence;
use crate::sync::crdt_sync::constants::error_code;
use crate::sync::crdt_sync::{
    ClientEvent, ClientOptions, FailureReason, Message, RelayWelcome, payload,
};

/// What is known of one connection after its welcome.
#[derive(Debug)]
pub(super) struct Session {
    next_ping_ms: i64,
    /// When the oldest ping was sent that nothing was heard after.
    unanswered_ping_ms: Option<i64>,
    /// The changes of the push that is on its way, in order.
    in_flight: Option<Vec<OperationId>>,
    /// The last entry there was when the relay welcomed; it sends a long log in pages.
    welcomed_to: i64,
    /// Until when the answer to a question is waited for. Nothing is pushed meanwhile, so that the
    /// answer tells what became of every push.
    question_until_ms: Option<i64>,
    ask_at_ms: Option<i64>,
    fruitless_questions: u32,
    /// Entries arrived that build on something that did not: no snapshot is offered.
    incomplete: bool,
    /// The relay asked for a snapshot.
    snapshot_wanted: bool,
    /// What was pruned here was offered to the relay.
    offered_pruned: bool,
    /// More can be sent as soon as the queue has room.
    more: bool,
    /// A change is too large to be sent: what builds on it must not be sent either.
    stuck: bool,
}

/// First delay of a question after one that brought nothing; doubles up to [`ASK_DELAY_MAX_MS`].
const ASK_DELAY_FIRST_MS: i64 = 250;
const ASK_DELAY_MAX_MS: i64 = 30_000;

impl Session {
    fn new(now_ms: i64, options: &ClientOptions) -> Self {
        Session {
            next_ping_ms: now_ms.saturating_add(options.ping_interval_ms),
            unanswered_ping_ms: None,
            in_flight: None,
            welcomed_to: 0,
            question_until_ms: None,
            ask_at_ms: None,
            fruitless_questions: 0,
            incomplete: false,
            snapshot_wanted: false,
            offered_pruned: false,
            more: false,
            stuck: false,
        }
    }

    /// Any frame shows that the relay lives.
    pub(super) fn heard_something(&mut self) {
        self.unanswered_ping_ms = None;
    }

    /// Whether all that the relay had at the welcome has arrived.
    pub(super) fn is_caught_up(&self, imported: &SequenceTracker) -> bool {
        imported.contiguous() >= self.welcomed_to
    }

    pub(super) fn next_deadline(&self, options: &ClientOptions, queue_has_room: bool) -> i64 {
        if self.more && queue_has_room {
            return i64::MIN;
        }
        let dead = self
            .unanswered_ping_ms
            .map(|sent| sent.saturating_add(options.ping_timeout_ms));
        let others = [dead, self.question_until_ms, self.ask_at_ms];
        others
            .into_iter()
            .flatten()
            .fold(self.next_ping_ms, i64::min)
    }
}

impl RelayClient {
    pub(super) fn message(&mut self, message: Message, now_ms: i64, replica: &mut dyn Replica) {
        let message = presence::message(&mut self.presence, &mut self.life, message);
        match message {
            Some(Message::RelayWelcome(welcome))
                if welcome.document_id == self.life.document_id =>
            {
                self.welcome(*welcome, now_ms, replica);
            }
            Some(Message::RelayAck {
                document_id,
                seq,
                count,
                compact,
                ..
            }) if document_id == self.life.document_id => {
                self.acknowledged(seq, count, compact, now_ms, replica);
            }
            Some(Message::RelayChanges {
                document_id,
                changes,
                seq,
                ..
            }) if document_id == self.life.document_id => {
                self.entries(&changes, seq, now_ms, replica);
            }
            Some(Message::Ping {
                document_id,
                timestamp,
                ..
            }) if document_id == self.life.document_id => {
                self.life.send(Message::Pong {
                    document_id,
                    original_timestamp: timestamp,
                    response_timestamp: now_ms,
                });
            }
            Some(Message::Error {
                document_id,
                code,
                message,
            }) if document_id == self.life.document_id => self.error(code, message, now_ms),
            _ => {}
        }
    }

    fn welcome(&mut self, welcome: RelayWelcome, now_ms: i64, replica: &mut dyn Replica) {
        let RelayWelcome {
            session_id,
            snapshot,
            changes,
            seq,
            log_length,
            compact,
            ..
        } = welcome;
        self.life.session_id = Some(session_id.clone());
        self.life.queue.event(ClientEvent::SessionStarted {
            session_id: session_id.clone(),
        });
        if matches!(self.life.phase, Phase::Joining { .. }) {
            let session = Session::new(now_ms, &self.life.options);
            self.life.joined(now_ms, session);
        }
        let follow = log_length.saturating_sub(changes.len() as i64).max(0);
        let last = seq.saturating_add(follow);
        if last < self.imported.last() {
            // The relay lost its disk (trap 19): what it has now is all that it has.
            self.imported = SequenceTracker::default();
            self.relay = None;
        }
        self.relay.get_or_insert_with(Default::default);
        let complete = self.take_in(snapshot.as_ref(), &changes, replica);
        self.imported.through(seq);
        if let Phase::Joined(session) = &mut self.life.phase {
            session.question_until_ms = None;
            session.in_flight = None;
            session.incomplete = !complete;
            session.welcomed_to = last;
            session.snapshot_wanted = compact;
            if complete {
                session.fruitless_questions = 0;
            }
        }
        self.life.queue.event(ClientEvent::ServerAdvanced);
        presence::session_started(&mut self.presence, &mut self.life, &session_id, now_ms);
        if !complete {
            self.ask_later(now_ms);
        }
        self.push(now_ms, replica);
    }

    fn entries(&mut self, blobs: &[Blob], seq: i64, now_ms: i64, replica: &mut dyn Replica) {
        if !matches!(self.life.phase, Phase::Joined(_)) {
            return;
        }
        let complete = self.take_in(None, blobs, replica);
        self.imported
            .range(seq.saturating_sub(blobs.len() as i64), seq);
        self.life.queue.event(ClientEvent::ServerAdvanced);
        if !complete {
            self.incomplete(now_ms);
        }
        self.push(now_ms, replica);
    }

    fn incomplete(&mut self, now_ms: i64) {
        if let Phase::Joined(session) = &mut self.life.phase {
            session.incomplete = true;
        }
        self.ask_later(now_ms);
    }

    fn acknowledged(
        &mut self,
        seq: i64,
        count: i64,
        compact: bool,
        now_ms: i64,
        replica: &mut dyn Replica,
    ) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        let pushed = session.in_flight.take().unwrap_or_default();
        // Fewer leave the others to be pushed again.
        let count_here = usize::try_from(count).unwrap_or(0).min(pushed.len());
        session.snapshot_wanted |= compact;
        let relay = self.relay.get_or_insert_with(Default::default);
        for id in &pushed[..count_here] {
            relay.update(id.peer, id.hlc);
        }
        self.imported.range(seq.saturating_sub(count.max(0)), seq);
        self.life.queue.event(ClientEvent::ServerAdvanced);
        self.push(now_ms, replica);
    }

    fn error(&mut self, code: String, message: String, now_ms: i64) {
        let joining = matches!(self.life.phase, Phase::Joining { .. });
        if joining || code == error_code::HANDSHAKE_FAILED {
            let reason = FailureReason::Refused { code, message };
            return self.life.fail(now_ms, reason, true);
        }
        if let Phase::Joined(session) = &mut self.life.phase {
            session.question_until_ms = None;
        }
        self.life
            .queue
            .event(ClientEvent::ServerError { code, message });
    }

    /// Takes in what the relay has; false if something builds on what is not there.
    fn take_in(
        &mut self,
        snapshot: Option<&Blob>,
        blobs: &[Blob],
        replica: &mut dyn Replica,
    ) -> bool {
        let snapshot = snapshot.map(decode_snapshot);
        let unreadable_snapshot = matches!(snapshot, Some(None));
        let changes: Vec<Change> = blobs.iter().filter_map(decode_change).collect();
        let unreadable = blobs.len() - changes.len() + usize::from(unreadable_snapshot);
        if unreadable > 0 {
            let count = unreadable;
            self.life.queue.event(ClientEvent::EntriesSkipped { count });
        }
        let relay = self.relay.get_or_insert_with(Default::default);
        for change in &changes {
            relay.update(change.id.peer, change.id.hlc);
        }
        let mut snapshot = snapshot.flatten();
        if let Some(snapshot) = &snapshot {
            relay.merge(snapshot.vector());
        }
        // A document that has it all keeps its history.
        let version = replica.version_vector();
        snapshot.take_if(|snapshot| version.is_strictly_newer_or_equal_than(snapshot.vector()));
        match import(snapshot.as_ref(), changes, replica) {
            Ok(outcome) => {
                if outcome.snapshot_applied || outcome.applied > 0 {
                    self.life.queue.event(ClientEvent::RemoteChanges {
                        applied: outcome.applied,
                        snapshot_applied: outcome.snapshot_applied,
                    });
                }
                if snapshot.is_some() && !outcome.snapshot_applied {
                    self.life.queue.event(ClientEvent::SnapshotNotTaken);
                }
                if outcome.not_ready > 0 {
                    let count = outcome.not_ready;
                    self.life
                        .queue
                        .event(ClientEvent::RemoteChangesNotReady { count });
                }
                outcome.not_ready == 0 && !unreadable_snapshot
            }
            Err(error) => {
                self.life.queue.event(ClientEvent::ImportRefused(error));
                // Asking again would bring the same.
                true
            }
        }
    }

    /// Asks for a welcome, which holds everything. Nothing while not joined or while one is awaited.
    pub(super) fn ask(&mut self, now_ms: i64) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        if session.question_until_ms.is_some() {
            return;
        }
        session.ask_at_ms = None;
        let document_id = self.life.document_id.clone();
        let asked = self.life.send(Message::RelayStateRequest { document_id });
        if let Phase::Joined(session) = &mut self.life.phase {
            if asked {
                let until = now_ms.saturating_add(self.life.options.handshake_timeout_ms);
                session.question_until_ms = Some(until);
            } else {
                session.ask_at_ms = Some(now_ms.saturating_add(ASK_DELAY_FIRST_MS));
            }
        }
    }

    /// At once the first time; later and later if that does not help.
    fn ask_later(&mut self, now_ms: i64) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        if session.question_until_ms.is_some() || session.ask_at_ms.is_some() {
            return;
        }
        let fruitless = session.fruitless_questions;
        session.fruitless_questions = fruitless.saturating_add(1);
        if fruitless == 0 {
            return self.ask(now_ms);
        }
        let delay_ms = (ASK_DELAY_FIRST_MS << fruitless.min(16)).min(ASK_DELAY_MAX_MS);
        session.ask_at_ms = Some(now_ms.saturating_add(delay_ms));
    }

    /// Pushes what the relay lacks, or, if that is nothing, offers the snapshot it asked for.
    pub(super) fn push(&mut self, _now_ms: i64, replica: &mut dyn Replica) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        session.more = false;
        if session.in_flight.is_some()
            || session.question_until_ms.is_some()
            || session.stuck
            || !session.is_caught_up(&self.imported)
        {
            return;
        }
        let relay = self.relay.get_or_insert_with(Default::default);
        let lacking = replica.changes_newer_than(relay);
        if lacking.is_empty() {
            return self.offer_snapshot(replica);
        }
        let max = self.life.options.change_bytes_max;
        let mut lacking = causal::sorted(lacking);
        if let Some(at) = lacking.iter().position(|change| wire_len(change) > max) {
            let (change, bytes) = (lacking[at].id, wire_len(&lacking[at]));
            lacking.truncate(at);
            if lacking.is_empty() {
                session.stuck = true;
                return self
                    .life
                    .queue
                    .event(ClientEvent::ChangeTooLarge { change, bytes });
            }
        }
        let mut parts = split(lacking, self.life.options.push_bytes_max).into_iter();
        let part = parts.next().unwrap_or_default();
        let message = Message::RelayPush {
            document_id: self.life.document_id.clone(),
            changes: part.iter().map(encode_change).collect(),
        };
        let sent = self.life.send(message);
        if let Phase::Joined(session) = &mut self.life.phase {
            session.more = !sent;
            if sent {
                session.in_flight = Some(part.iter().map(|change| change.id).collect());
            }
        }
    }

    /// Only when the relay has everything that the document has, and the document everything that
    /// the relay has: so snapshots of several clients follow one another (trap 26).
    fn offer_snapshot(&mut self, replica: &mut dyn Replica) {
        let up_to_seq = self.imported.contiguous();
        let relay = self.relay.get_or_insert_with(Default::default);
        // What was pruned before this client met the relay can reach it in no other way.
        let pruned = replica
            .last_snapshot()
            .is_some_and(|snapshot| !relay.is_strictly_newer_or_equal_than(snapshot.vector()));
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        let wanted = session.snapshot_wanted || (pruned && !session.offered_pruned);
        if !wanted || session.incomplete || up_to_seq <= 0 || self.imported.last() > up_to_seq {
            return;
        }
        session.snapshot_wanted = false;
        session.offered_pruned = true;
        match replica.take_snapshot(false) {
            Ok(snapshot) => {
                let snapshot = encode_blob(&snapshot.encode());
                let document_id = self.life.document_id.clone();
                self.life.send(Message::RelaySnapshotUpload {
                    document_id,
                    snapshot,
                    up_to_seq,
                });
            }
            Err(error) => self.life.queue.event(ClientEvent::SnapshotRefused(error)),
        }
    }

    pub(super) fn tick_session(&mut self, now_ms: i64, replica: &mut dyn Replica) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        let timeout_ms = self.life.options.ping_timeout_ms;
        if session
            .unanswered_ping_ms
            .is_some_and(|sent| now_ms >= sent.saturating_add(timeout_ms))
        {
            return self.life.fail(now_ms, FailureReason::PingTimeout, true);
        }
        let due = |at: Option<i64>| at.is_some_and(|at| now_ms >= at);
        let unanswered = due(session.question_until_ms);
        if unanswered {
            session.question_until_ms = None;
        }
        let ask = due(session.ask_at_ms);
        if session.more || unanswered {
            self.push(now_ms, replica);
        }
        self.ping(now_ms);
        if ask {
            self.ask(now_ms);
        }
    }

    /// Without a version, as Dart clients of a relay.
    fn ping(&mut self, now_ms: i64) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        if now_ms < session.next_ping_ms {
            return;
        }
        session.next_ping_ms = now_ms.saturating_add(self.life.options.ping_interval_ms);
        session.unanswered_ping_ms.get_or_insert(now_ms);
        self.life.send(Message::Ping {
            document_id: self.life.document_id.clone(),
            timestamp: now_ms,
            version_vector: None,
        });
    }
}

/// A snapshot that the own one does not precede is refused with the changes beside it; they are
/// sound without it, and what the own one holds is not given up for it (trap 26).
fn import(
    snapshot: Option<&Snapshot>,
    changes: Vec<Change>,
    replica: &mut dyn Replica,
) -> Result<ImportOutcome, ApplyError> {
    let Some(snapshot) = snapshot else {
        return match changes.is_empty() {
            true => Ok(ImportOutcome::default()),
            false => replica.import(None, changes),
        };
    };
    let outcome = replica.import(Some(snapshot), changes.clone())?;
    if outcome.snapshot_applied || changes.is_empty() {
        return Ok(outcome);
    }
    replica.import(None, changes)
}

fn decode_change(blob: &Blob) -> Option<Change> {
    Change::decode(&payload::decode(blob.as_bytes()).ok()?).ok()
}

fn decode_snapshot(blob: &Blob) -> Option<Snapshot> {
    Snapshot::decode_lenient(&payload::decode(blob.as_bytes()).ok()?).ok()
}

fn encode_change(change: &Change) -> Blob {
    encode_blob(&change.encode())
}

fn encode_blob(bytes: &[u8]) -> Blob {
    let mut text = Vec::new();
    payload::encode(bytes, &mut text);
    Blob::from(std::str::from_utf8(&text).expect("base64 is ASCII"))
}
