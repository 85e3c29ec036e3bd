//! One document of a client on one socket.
//!
//! What to send follows from version vectors alone: a change goes out when it is newer than both
//! what the server reported and what was sent since. So nothing is queued while offline, nothing
//! is sent twice on a healthy connection, and after any accident the next report of the server
//! puts things right.

mod options;
mod session;

pub use options::{
    ClientAction, ClientEvent, ClientOptions, ClientStatus, FailureReason, Progress,
};

use super::constants::close_code;
use super::{Message, frame};
use crate::clock::VersionVector;
use crate::codec::Wtf8String;
use crate::replica::Replica;
use crate::sync::backoff::Backoff;

use session::Session;
use std::collections::VecDeque;

/// Protocol state of one document on one socket. Memory: the frames that wait for
/// [`poll`](Client::poll), bounded by the options, and two version vectors.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    document_id: Wtf8String,
    phase: Phase,
    status: ClientStatus,
    backoff: Backoff,
    session_id: Option<String>,
    /// What the server said it has, the last time it did.
    server: Option<VersionVector>,
    queue: Queue,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is wanted.
    Idle,
    /// Until the next attempt.
    Waiting { retry_at_ms: i64 },
    /// The transport is being opened.
    Opening { deadline_ms: i64 },
    /// The handshake request is out: until the answer, nothing but pongs may be sent.
    Joining { deadline_ms: i64 },
    /// The handshake is done.
    Joined(Box<Session>),
}

/// What `poll` gives out.
#[derive(Debug, Default)]
struct Queue {
    actions: VecDeque<ClientAction>,
    /// Bytes of the `Send` actions.
    frame_bytes: usize,
    /// Events are dropped above this many actions.
    actions_max: usize,
}

impl Queue {
    fn push(&mut self, action: ClientAction) {
        if let ClientAction::Send(frame) = &action {
            self.frame_bytes += frame.len();
        }
        self.actions.push_back(action);
    }

    fn event(&mut self, event: ClientEvent) {
        if self.actions.len() < self.actions_max {
            self.actions.push_back(ClientAction::Event(event));
        }
    }

    fn pop(&mut self) -> Option<ClientAction> {
        let action = self.actions.pop_front();
        if let Some(ClientAction::Send(frame)) = &action {
            self.frame_bytes -= frame.len();
        }
        action
    }

    /// Frames for a transport that is gone.
    fn drop_frames(&mut self) {
        self.actions
            .retain(|action| !matches!(action, ClientAction::Send(_)));
        self.frame_bytes = 0;
    }
}

impl Client {
    /// A disconnected client. The seed is for the jitter of reconnects.
    pub fn new(options: ClientOptions, seed: u64) -> Self {
        let queue = Queue {
            actions_max: options.actions_max,
            ..Queue::default()
        };
        Client {
            document_id: Wtf8String::from(options.document_id.as_str()),
            options,
            phase: Phase::Idle,
            status: ClientStatus::Disconnected,
            backoff: Backoff::new(seed),
            session_id: None,
            server: None,
            queue,
        }
    }

    /// How it behaves.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// What the application sees of the connection.
    pub fn status(&self) -> ClientStatus {
        self.status
    }

    /// The name of the session, from the first handshake until `disconnect`.
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// What the server has for sure, once it said so.
    pub fn server_vector(&self) -> Option<&VersionVector> {
        self.server.as_ref()
    }

    /// How far the server is. Cheap when nothing is pending, else as listing what is.
    pub fn progress(&self, replica: &dyn Replica) -> Progress {
        let covered = self.server.as_ref().is_some_and(|server| {
            server.is_strictly_newer_or_equal_than(&replica.version_vector())
        });
        let pending = match &self.server {
            _ if covered => 0,
            Some(server) => replica.changes_newer_than(server).len(),
            None => replica.change_count(),
        };
        Progress {
            pending,
            synced: covered && matches!(self.phase, Phase::Joined(_)),
        }
    }

    /// Starts connecting, at once even if a reconnect is scheduled for later.
    pub fn connect(&mut self, now_ms: i64) {
        match self.phase {
            Phase::Idle => self.set_status(ClientStatus::Connecting),
            Phase::Waiting { .. } => {}
            Phase::Opening { .. } | Phase::Joining { .. } | Phase::Joined(_) => return,
        }
        self.backoff.forgive();
        self.open(now_ms);
    }

    /// Ends the connection and all attempts. The document stays usable. Frames that wait for
    /// `poll` still come out before the closure.
    pub fn disconnect(&mut self) {
        if self.has_transport() {
            self.queue.push(ClientAction::CloseTransport {
                code: close_code::NORMAL,
            });
        }
        self.phase = Phase::Idle;
        self.session_id = None;
        self.set_status(ClientStatus::Disconnected);
    }

    /// The transport asked for by [`ClientAction::Open`] is open.
    pub fn transport_opened(&mut self, now_ms: i64, replica: &dyn Replica) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return;
        }
        let deadline_ms = now_ms.saturating_add(self.options.handshake_timeout_ms);
        self.phase = Phase::Joining { deadline_ms };
        self.send(Message::HandshakeRequest {
            document_id: self.document_id.clone(),
            author: self.options.author,
            version_vector: replica.version_vector(),
        });
    }

    /// The transport could not be opened, or was closed by somebody else than
    /// [`ClientAction::CloseTransport`].
    pub fn transport_closed(&mut self, now_ms: i64, reason: &str) {
        if self.has_transport() {
            self.fail(now_ms, FailureReason::Transport(reason.to_owned()), false);
        }
    }

    /// A text or binary WebSocket message arrived.
    pub fn receive(&mut self, frame: &[u8], now_ms: i64, replica: &mut dyn Replica) {
        match &mut self.phase {
            Phase::Joined(session) => session.heard_something(),
            Phase::Joining { .. } => {}
            // A late frame of a transport that is given up.
            Phase::Idle | Phase::Waiting { .. } | Phase::Opening { .. } => return,
        }
        match frame::decode(frame, &self.options.limits) {
            Ok(message) => self.message(message, now_ms, replica),
            Err(error) => self.queue.event(ClientEvent::FrameDropped(error)),
        }
    }

    /// The application committed changes: sends what the server lacks.
    pub fn local_changes(&mut self, now_ms: i64, replica: &dyn Replica) {
        self.push(now_ms, replica, self.options.single_changes_max);
    }

    /// Asks the server for everything this document lacks, and sends what the server lacks when it
    /// answers. Never needed on a sound connection.
    pub fn request_sync(&mut self, now_ms: i64, replica: &dyn Replica) {
        self.ask(now_ms, replica);
    }

    /// When [`tick`](Self::tick) wants to be called; in the past if it has something to do now.
    pub fn next_deadline(&self) -> Option<i64> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Waiting { retry_at_ms } => Some(*retry_at_ms),
            Phase::Opening { deadline_ms } | Phase::Joining { deadline_ms } => Some(*deadline_ms),
            Phase::Joined(session) => {
                let room = self.queue.frame_bytes < self.options.queue_bytes_max;
                Some(session.next_deadline(&self.options, room))
            }
        }
    }

    /// Time passed, or the queue was emptied.
    pub fn tick(&mut self, now_ms: i64, replica: &dyn Replica) {
        match &self.phase {
            Phase::Idle => {}
            Phase::Waiting { retry_at_ms } => {
                if now_ms >= *retry_at_ms {
                    self.open(now_ms);
                }
            }
            Phase::Opening { deadline_ms } | Phase::Joining { deadline_ms } => {
                if now_ms >= *deadline_ms {
                    self.fail(now_ms, FailureReason::HandshakeTimeout, true);
                }
            }
            Phase::Joined(_) => self.tick_session(now_ms, replica),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<ClientAction> {
        self.queue.pop()
    }

    fn has_transport(&self) -> bool {
        matches!(
            self.phase,
            Phase::Opening { .. } | Phase::Joining { .. } | Phase::Joined(_)
        )
    }

    fn open(&mut self, now_ms: i64) {
        let deadline_ms = now_ms.saturating_add(self.options.open_timeout_ms);
        self.phase = Phase::Opening { deadline_ms };
        self.queue.push(ClientAction::Open);
    }

    /// The attempt or the connection is over; the next one is planned unless the limit is reached.
    fn fail(&mut self, now_ms: i64, reason: FailureReason, close: bool) {
        self.queue.drop_frames();
        if close {
            self.queue.push(ClientAction::CloseTransport {
                code: close_code::NORMAL,
            });
        }
        if let Phase::Joined(session) = &self.phase {
            self.backoff
                .connection_ended(session.age_ms(now_ms), &self.options.delays());
        }
        let delay_ms = self.backoff.next_delay_ms(&self.options.delays());
        let retry_at_ms = delay_ms.map(|delay_ms| now_ms.saturating_add(delay_ms));
        self.queue.event(ClientEvent::ConnectionFailed {
            reason,
            retry_at_ms,
        });
        match retry_at_ms {
            Some(retry_at_ms) => {
                self.phase = Phase::Waiting { retry_at_ms };
                self.set_status(ClientStatus::Reconnecting);
            }
            None => {
                self.phase = Phase::Idle;
                self.set_status(ClientStatus::Error);
            }
        }
    }

    fn set_status(&mut self, status: ClientStatus) {
        if self.status != status {
            self.status = status;
            self.queue.push(ClientAction::Status(status));
        }
    }

    /// Everything that is sent passes here. A message that is not a push is dropped while the
    /// queue is full: each of them will be due again.
    fn send(&mut self, message: Message) -> bool {
        if self.queue.frame_bytes >= self.options.queue_bytes_max {
            return false;
        }
        self.queue.push(ClientAction::Send(frame::encode(
            &message,
            self.options.framing,
        )));
        true
    }
}
