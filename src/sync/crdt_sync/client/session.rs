//! The joined phase of a client: what was sent, what was asked, and what arrives.

use super::lifecycle::Phase;
use super::{Client, ClientEvent, ClientOptions, FailureReason, presence};
use crate::clock::{OperationId, VersionVector};
use crate::codec::{Change, Snapshot};
use crate::replica::{ApplyError, Replica};
use crate::sync::causal;
use crate::sync::crdt_sync::Message;
use crate::sync::crdt_sync::batch::{split, wire_len};
use crate::sync::crdt_sync::constants::error_code;

/// What is known of one connection after its handshake.
#[derive(Debug)]
pub(super) struct Session {
    next_ping_ms: i64,
    /// When the oldest ping was sent that nothing was heard after.
    unanswered_ping_ms: Option<i64>,
    /// What the server reported, and what was sent or received since. Never echoing a change
    /// follows from it.
    sent: VersionVector,
    /// `sent` without what was pushed since the last question. A report of the server that lacks
    /// anything of it shows a loss; what was pushed later may just be on its way.
    settled: VersionVector,
    /// Until when the answer to a question is waited for. One question at a time: its answer holds
    /// all that further ones could ask for.
    question_until_ms: Option<i64>,
    /// A question that was put off because the last ones brought nothing.
    ask_at_ms: Option<i64>,
    fruitless_questions: u32,
    /// More can be sent as soon as the queue has room.
    more: bool,
    /// A change is too large to be sent: what builds on it would be refused.
    stuck: bool,
    unacknowledged: Option<Unacknowledged>,
    /// Doubles while asking brings no news.
    acknowledgement_delay_ms: i64,
}

/// Changes that were sent and that the server did not report yet.
#[derive(Clone, Copy, Debug)]
struct Unacknowledged {
    first_sent_ms: i64,
    last_sent_ms: i64,
}

/// First delay of a question after one that brought nothing; doubles up to [`ASK_DELAY_MAX_MS`].
const ASK_DELAY_FIRST_MS: i64 = 250;
const ASK_DELAY_MAX_MS: i64 = 30_000;

impl Session {
    fn new(now_ms: i64, server: VersionVector, options: &ClientOptions) -> Self {
        Session {
            next_ping_ms: now_ms.saturating_add(options.ping_interval_ms),
            unanswered_ping_ms: None,
            settled: server.clone(),
            sent: server,
            question_until_ms: None,
            ask_at_ms: None,
            fruitless_questions: 0,
            more: false,
            stuck: false,
            unacknowledged: None,
            acknowledgement_delay_ms: options.acknowledgement_delay_ms,
        }
    }

    /// Any frame shows that the server lives.
    pub(super) fn heard_something(&mut self) {
        self.unanswered_ping_ms = None;
    }

    pub(super) fn next_deadline(&self, options: &ClientOptions, queue_has_room: bool) -> i64 {
        if self.more && queue_has_room && !self.stuck {
            return i64::MIN;
        }
        let mut next = self.next_ping_ms;
        let dead = self
            .unanswered_ping_ms
            .map(|sent| sent.saturating_add(options.ping_timeout_ms));
        let others = [
            dead,
            self.question_until_ms,
            self.ask_at_ms,
            self.acknowledgement_due(options),
        ];
        for deadline in others.into_iter().flatten() {
            next = next.min(deadline);
        }
        next
    }

    /// When to ask the server whether it has what was sent.
    fn acknowledgement_due(&self, options: &ClientOptions) -> Option<i64> {
        if !options.want_acknowledgement || self.question_until_ms.is_some() {
            return None;
        }
        let waiting = self.unacknowledged?;
        let quiet = waiting
            .last_sent_ms
            .saturating_add(self.acknowledgement_delay_ms);
        let late = waiting
            .first_sent_ms
            .saturating_add(options.acknowledgement_delay_max_ms);
        Some(quiet.min(late))
    }

    /// The server reported what it has.
    fn reported(
        &mut self,
        server: &VersionVector,
        progress: bool,
        now_ms: i64,
        options: &ClientOptions,
    ) {
        self.question_until_ms = None;
        if progress {
            self.fruitless_questions = 0;
            self.acknowledgement_delay_ms = options.acknowledgement_delay_ms;
        } else {
            let doubled = self.acknowledgement_delay_ms.saturating_mul(2);
            self.acknowledgement_delay_ms = doubled.min(ASK_DELAY_MAX_MS);
        }
        let mut sent = server.clone();
        // The answer to a question holds everything that was pushed before it.
        for (peer, clock) in self.sent.iter() {
            if !self.settled.covers(&peer, clock) {
                sent.update(peer, clock);
            }
        }
        self.sent = sent;
        self.settled.merge(server);
        let complete = server.is_strictly_newer_or_equal_than(&self.sent);
        self.unacknowledged = match self.unacknowledged {
            Some(_) if !complete => Some(Unacknowledged {
                first_sent_ms: now_ms,
                last_sent_ms: now_ms,
            }),
            _ => None,
        };
    }

    fn note_sent(&mut self, now_ms: i64) {
        let first_sent_ms = self
            .unacknowledged
            .map_or(now_ms, |waiting| waiting.first_sent_ms);
        self.unacknowledged = Some(Unacknowledged {
            first_sent_ms,
            last_sent_ms: now_ms,
        });
    }
}

impl Client {
    pub(super) fn message(&mut self, message: Message, now_ms: i64, replica: &mut dyn Replica) {
        let message = presence::message(&mut self.presence, &mut self.life, message);
        let Some(message) = message else {
            return;
        };
        match message {
            Message::HandshakeResponse {
                document_id,
                snapshot,
                changes,
                session_id,
                version_vector,
            } if document_id == self.life.document_id => {
                self.life.session_id = Some(session_id.clone());
                let started = ClientEvent::SessionStarted {
                    session_id: session_id.clone(),
                };
                self.life.queue.event(started);
                self.import(snapshot, changes, replica);
                if matches!(self.life.phase, Phase::Joining { .. }) {
                    self.join(version_vector, now_ms);
                } else {
                    self.server_reported(version_vector, now_ms);
                }
                presence::session_started(&mut self.presence, &mut self.life, &session_id, now_ms);
                self.push(now_ms, replica, 0);
            }
            Message::DocumentStatus {
                document_id,
                snapshot,
                changes,
                version_vector,
            } if document_id == self.life.document_id => {
                self.import(snapshot, changes, replica);
                self.server_reported(version_vector, now_ms);
                self.push(now_ms, replica, 0);
            }
            Message::Change {
                document_id,
                change,
            } if document_id == self.life.document_id => {
                self.remote_change(change, now_ms, replica);
            }
            Message::Ping {
                document_id,
                timestamp,
                ..
            } if document_id == self.life.document_id => {
                self.life.send(Message::Pong {
                    document_id,
                    original_timestamp: timestamp,
                    response_timestamp: now_ms,
                });
            }
            Message::Error {
                document_id,
                code,
                message,
            } if document_id == self.life.document_id => {
                self.server_error(code, message, now_ms, replica);
            }
            // Pongs are life signs, seen by now; the rest is for servers, plugins, or another
            // document.
            _ => {}
        }
    }

    fn join(&mut self, server: VersionVector, now_ms: i64) {
        let session = Session::new(now_ms, server.clone(), &self.life.options);
        self.server = Some(server);
        self.life.queue.event(ClientEvent::ServerAdvanced);
        self.life.joined(now_ms, session);
    }

    /// The report counts even if it goes backwards: the server may have been restored.
    fn server_reported(&mut self, server: VersionVector, now_ms: i64) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        let before = self.server.replace(server.clone()).unwrap_or_default();
        // Others' changes are no sign that this document's pushes arrive.
        let author = &self.life.options.author;
        let progress = server.get(author) > before.get(author)
            || server.is_strictly_newer_or_equal_than(&session.sent);
        session.reported(&server, progress, now_ms, &self.life.options);
        if before != server {
            self.life.queue.event(ClientEvent::ServerAdvanced);
        }
    }

    fn import(
        &mut self,
        snapshot: Option<Snapshot>,
        changes: Option<Vec<Change>>,
        replica: &mut dyn Replica,
    ) {
        let changes = changes.unwrap_or_default();
        let result = match snapshot {
            None if changes.is_empty() => return,
            None => replica.import(None, changes),
            Some(snapshot) => match replica.import(Some(&snapshot), changes.clone()) {
                // The own snapshot is not contained in the server's one. A Dart client ignores
                // the changes, too (trap 11); they are sound without the snapshot.
                Ok(outcome) if !outcome.snapshot_applied && !changes.is_empty() => {
                    replica.import(None, changes)
                }
                result => result,
            },
        };
        match result {
            Ok(outcome) => {
                if outcome.snapshot_applied || outcome.applied > 0 {
                    self.life.queue.event(ClientEvent::RemoteChanges {
                        applied: outcome.applied,
                        snapshot_applied: outcome.snapshot_applied,
                    });
                }
                if outcome.not_ready > 0 {
                    let count = outcome.not_ready;
                    self.life
                        .queue
                        .event(ClientEvent::RemoteChangesNotReady { count });
                }
            }
            Err(error) => self.life.queue.event(ClientEvent::ImportRefused(error)),
        }
    }

    /// The envelope of a change is not looked at here: a Dart server may hold changes with a
    /// damaged one, and refusing them would cut this client off from everything built on them.
    fn remote_change(&mut self, change: Change, now_ms: i64, replica: &mut dyn Replica) {
        let id = change.id;
        match replica.apply(change) {
            Ok(new) => {
                self.server_has(id);
                if new {
                    self.life.queue.event(ClientEvent::RemoteChanges {
                        applied: 1,
                        snapshot_applied: false,
                    });
                }
            }
            Err(ApplyError::NotReady { .. }) => self.ask(now_ms, replica),
            Err(error) => self
                .life
                .queue
                .event(ClientEvent::ChangeRefused { change: id, error }),
        }
    }

    /// The server sent a change, so it has it, and all of its author before it.
    fn server_has(&mut self, id: OperationId) {
        if let Phase::Joined(session) = &mut self.life.phase {
            session.sent.update(id.peer, id.hlc);
            session.settled.update(id.peer, id.hlc);
            if let Some(server) = &mut self.server {
                server.update(id.peer, id.hlc);
            }
        }
    }

    fn server_error(&mut self, code: String, message: String, now_ms: i64, replica: &dyn Replica) {
        let joining = matches!(self.life.phase, Phase::Joining { .. });
        match code.as_str() {
            error_code::OUT_OF_SYNC => self.out_of_sync(now_ms, replica),
            error_code::HANDSHAKE_FAILED => {
                self.life
                    .fail(now_ms, FailureReason::Refused { code, message }, true);
            }
            _ if joining => self
                .life
                .fail(now_ms, FailureReason::Refused { code, message }, true),
            _ => {
                // It may be the answer to a question.
                if let Phase::Joined(session) = &mut self.life.phase {
                    session.question_until_ms = None;
                }
                self.life
                    .queue
                    .event(ClientEvent::ServerError { code, message });
            }
        }
    }

    /// Asks at once the first time; later and later if that does not help, or a history that can
    /// never be completed would be pushed without end.
    fn out_of_sync(&mut self, now_ms: i64, replica: &dyn Replica) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        if session.question_until_ms.is_some() || session.ask_at_ms.is_some() {
            return;
        }
        let fruitless = session.fruitless_questions;
        session.fruitless_questions = fruitless.saturating_add(1);
        if fruitless == 0 {
            return self.ask(now_ms, replica);
        }
        let delay_ms = (ASK_DELAY_FIRST_MS << fruitless.min(16)).min(ASK_DELAY_MAX_MS);
        session.ask_at_ms = Some(now_ms.saturating_add(delay_ms));
    }

    /// Asks the server for what it has and what this document lacks. Nothing while not joined, or
    /// while an answer is awaited.
    pub(super) fn ask(&mut self, now_ms: i64, replica: &dyn Replica) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        if session.question_until_ms.is_some() {
            return;
        }
        session.ask_at_ms = None;
        let sent = session.sent.clone();
        let document_id = self.life.document_id.clone();
        let version_vector = Some(replica.version_vector());
        let asked = self.life.send(Message::DocumentStatusRequest {
            document_id,
            version_vector,
        });
        if let Phase::Joined(session) = &mut self.life.phase {
            if asked {
                session.settled = sent;
                let until = now_ms.saturating_add(self.life.options.handshake_timeout_ms);
                session.question_until_ms = Some(until);
            } else {
                session.ask_at_ms = Some(now_ms.saturating_add(ASK_DELAY_FIRST_MS));
            }
        }
    }

    /// Sends what the server lacks and was not sent yet: up to `single_max` changes in a message
    /// each, more in as few as the limits allow.
    pub(super) fn push(&mut self, now_ms: i64, replica: &dyn Replica, single_max: usize) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        if session.stuck {
            return;
        }
        session.more = false;
        let changes = replica.changes_newer_than(&session.sent);
        if changes.is_empty() {
            return;
        }
        let changes = causal::sorted(changes);
        let single = changes.len() <= single_max;
        let (sendable, too_large) = self.sendable(changes);
        for part in split(
            sendable,
            if single {
                0
            } else {
                self.life.options.push_bytes_max
            },
        ) {
            let last_of_authors: Vec<OperationId> = part.iter().map(|change| change.id).collect();
            let sent = self.life.send(self.push_message(part, single));
            let Phase::Joined(session) = &mut self.life.phase else {
                return;
            };
            if !sent {
                session.more = true;
                return;
            }
            for id in last_of_authors {
                session.sent.update(id.peer, id.hlc);
            }
            session.note_sent(now_ms);
        }
        if let (Some((change, bytes)), Phase::Joined(session)) = (too_large, &mut self.life.phase) {
            session.stuck = true;
            self.life
                .queue
                .event(ClientEvent::ChangeTooLarge { change, bytes });
        }
    }

    /// Dart clients send `change` for an edit and `changes` for a backlog.
    fn push_message(&self, mut part: Vec<Change>, single: bool) -> Message {
        let document_id = self.life.document_id.clone();
        if single && part.len() == 1 {
            let change = part.pop().expect("one change");
            return Message::Change {
                document_id,
                change,
            };
        }
        Message::Changes {
            document_id,
            changes: part,
        }
    }

    /// The changes before the first one that is too large.
    fn sendable(&self, mut changes: Vec<Change>) -> (Vec<Change>, Option<(OperationId, usize)>) {
        let too_large = changes
            .iter()
            .position(|change| wire_len(change) > self.life.options.change_bytes_max);
        let Some(at) = too_large else {
            return (changes, None);
        };
        let refused = (changes[at].id, wire_len(&changes[at]));
        changes.truncate(at);
        (changes, Some(refused))
    }

    pub(super) fn tick_session(&mut self, now_ms: i64, replica: &dyn Replica) {
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
        if session
            .question_until_ms
            .is_some_and(|until| now_ms >= until)
        {
            session.question_until_ms = None;
            // The acknowledgement is still wanted, but not at once again.
            if let Some(waiting) = &mut session.unacknowledged {
                waiting.first_sent_ms = now_ms;
                waiting.last_sent_ms = now_ms;
            }
        }
        if session.more {
            self.push(now_ms, replica, 0);
        }
        self.ping(now_ms, replica);
        let Phase::Joined(session) = &self.life.phase else {
            return;
        };
        let due = |at: Option<i64>| at.is_some_and(|at| now_ms >= at);
        if due(session.ask_at_ms) || due(session.acknowledgement_due(&self.life.options)) {
            self.ask(now_ms, replica);
        }
    }

    fn ping(&mut self, now_ms: i64, replica: &dyn Replica) {
        let Phase::Joined(session) = &mut self.life.phase else {
            return;
        };
        if now_ms < session.next_ping_ms {
            return;
        }
        session.next_ping_ms = now_ms.saturating_add(self.life.options.ping_interval_ms);
        // Also if the queue is full and the ping is left out: then nothing gets through either.
        session.unanswered_ping_ms.get_or_insert(now_ms);
        self.life.send(Message::Ping {
            document_id: self.life.document_id.clone(),
            timestamp: now_ms,
            version_vector: Some(replica.version_vector()),
        });
    }
}
