//! What every client does whatever it says once it is joined: opening, waiting for the answer,
//! failing, trying again, and the queue of what is to be done.

use super::{ClientAction, ClientEvent, ClientOptions, ClientStatus, FailureReason};
use crate::codec::Wtf8String;
use crate::sync::backoff::Backoff;
use crate::sync::crdt_sync::constants::close_code;
use crate::sync::crdt_sync::{Message, frame};
use std::collections::VecDeque;

/// One document on one socket; `S` is what is known of a connection after its handshake.
#[derive(Debug)]
pub(in crate::sync) struct Lifecycle<S> {
    pub options: ClientOptions,
    pub document_id: Wtf8String,
    pub phase: Phase<S>,
    pub status: ClientStatus,
    backoff: Backoff,
    /// From the first handshake until `disconnect`.
    pub session_id: Option<String>,
    joined_at_ms: i64,
    pub queue: Queue,
}

#[derive(Debug)]
pub(in crate::sync) enum Phase<S> {
    /// Nothing is wanted.
    Idle,
    /// Until the next attempt.
    Waiting { retry_at_ms: i64 },
    /// The transport is being opened.
    Opening { deadline_ms: i64 },
    /// The handshake request is out: until the answer, nothing but pongs may be sent.
    Joining { deadline_ms: i64 },
    /// The handshake is done.
    Joined(Box<S>),
}

/// What `poll` gives out.
#[derive(Debug, Default)]
pub(in crate::sync) struct Queue {
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

    pub fn event(&mut self, event: ClientEvent) {
        if self.actions.len() < self.actions_max {
            self.actions.push_back(ClientAction::Event(event));
        }
    }

    pub fn pop(&mut self) -> Option<ClientAction> {
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

impl<S> Lifecycle<S> {
    pub fn new(options: ClientOptions, seed: u64) -> Self {
        let queue = Queue {
            actions_max: options.actions_max,
            ..Queue::default()
        };
        Lifecycle {
            document_id: Wtf8String::from(options.document_id.as_str()),
            options,
            phase: Phase::Idle,
            status: ClientStatus::Disconnected,
            backoff: Backoff::new(seed),
            session_id: None,
            joined_at_ms: 0,
            queue,
        }
    }

    pub fn connect(&mut self, now_ms: i64) {
        match self.phase {
            Phase::Idle => self.set_status(ClientStatus::Connecting),
            Phase::Waiting { .. } => {}
            Phase::Opening { .. } | Phase::Joining { .. } | Phase::Joined(_) => return,
        }
        self.backoff.forgive();
        self.open(now_ms);
    }

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

    /// The transport is open: sends the handshake request. False: it was not wanted any more.
    pub fn transport_opened(&mut self, now_ms: i64, request: impl FnOnce(&Self) -> Message) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return;
        }
        let deadline_ms = now_ms.saturating_add(self.options.handshake_timeout_ms);
        self.phase = Phase::Joining { deadline_ms };
        let request = request(self);
        self.send(request);
    }

    pub fn transport_closed(&mut self, now_ms: i64, reason: &str) {
        if self.has_transport() {
            self.fail(now_ms, FailureReason::Transport(reason.to_owned()), false);
        }
    }

    /// The message of a frame, if a connection is there to have sent it.
    pub fn decoded(&mut self, frame: &[u8]) -> Option<Message> {
        if !matches!(self.phase, Phase::Joining { .. } | Phase::Joined(_)) {
            // A late frame of a transport that is given up.
            return None;
        }
        match frame::decode(frame, &self.options.limits) {
            Ok(message) => Some(message),
            Err(error) => {
                self.queue.event(ClientEvent::FrameDropped(error));
                None
            }
        }
    }

    /// The handshake is done.
    pub fn joined(&mut self, now_ms: i64, session: S) {
        self.backoff.succeeded();
        self.joined_at_ms = now_ms;
        self.phase = Phase::Joined(Box::new(session));
        self.set_status(ClientStatus::Connected);
    }

    /// When to call [`tick_unjoined`](Self::tick_unjoined), unless joined.
    pub fn unjoined_deadline(&self) -> Option<i64> {
        match &self.phase {
            Phase::Idle | Phase::Joined(_) => None,
            Phase::Waiting { retry_at_ms } => Some(*retry_at_ms),
            Phase::Opening { deadline_ms } | Phase::Joining { deadline_ms } => Some(*deadline_ms),
        }
    }

    pub fn tick_unjoined(&mut self, now_ms: i64) {
        match &self.phase {
            Phase::Idle | Phase::Joined(_) => {}
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
        }
    }

    pub fn has_transport(&self) -> bool {
        matches!(
            self.phase,
            Phase::Opening { .. } | Phase::Joining { .. } | Phase::Joined(_)
        )
    }

    pub fn queue_has_room(&self) -> bool {
        self.queue.frame_bytes < self.options.queue_bytes_max
    }

    fn open(&mut self, now_ms: i64) {
        let deadline_ms = now_ms.saturating_add(self.options.open_timeout_ms);
        self.phase = Phase::Opening { deadline_ms };
        self.queue.push(ClientAction::Open);
    }

    /// The attempt or the connection is over; the next one is planned unless the limit is reached.
    pub fn fail(&mut self, now_ms: i64, reason: FailureReason, close: bool) {
        self.queue.drop_frames();
        if close {
            self.queue.push(ClientAction::CloseTransport {
                code: close_code::NORMAL,
            });
        }
        let delays = self.options.delays();
        if matches!(self.phase, Phase::Joined(_)) {
            let age_ms = now_ms.saturating_sub(self.joined_at_ms);
            self.backoff.connection_ended(age_ms, &delays);
        }
        let delay_ms = self.backoff.next_delay_ms(&delays);
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
    pub fn send(&mut self, message: Message) -> bool {
        if !self.queue_has_room() {
            return false;
        }
        self.queue.push(ClientAction::Send(frame::encode(
            &message,
            self.options.framing,
        )));
        true
    }
}
