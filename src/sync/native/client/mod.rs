//! One socket of a client, with all its documents.
//!
//! The connection is here, each document in `document`. What to send follows from versions: a
//! document's edits are its outbox. Nothing is queued while offline, nothing refused is forgotten,
//! and after any accident the next join compares versions and goes on.
//!
//! Documents have locks of their own, so what needs one is handed out and comes back with it: the
//! driver gets [`Incoming`]s from [`Client::receive`] and gives them to [`Client::handle`], and calls
//! [`Client::step`] for what [`Client::due`] names.

mod document;
mod options;

pub use options::{
    ClientAction, ClientEvent, ClientOptions, ClientStatus, DocumentKey, DocumentPhase, Incoming,
    Progress,
};

use super::VERSION;
use super::frame::{self, FrameError};
use super::message::{Code, Hello, Message, Welcome, feature};
use super::parts::{Assembly, FairQueue, Outgoing, is_part};
use crate::clock::{PeerId, VersionVector};
use crate::replica::NativeReplica;
use crate::sync::backoff::Backoff;
use document::Document;
use std::collections::{BTreeMap, VecDeque};

const CLOSE_NORMAL: u16 = 1000;
const CLOSE_MALFORMED: u16 = 1007;

/// See the module.
#[derive(Debug)]
pub struct Client<R: NativeReplica> {
    options: ClientOptions,
    phase: Phase,
    status: ClientStatus,
    backoff: Backoff,
    documents: BTreeMap<DocumentKey, Document<R>>,
    next_key: u32,
    joins: u64,
    line: Line,
    assembly: Assembly,
    ping: Ping,
    /// The server asked to stay away until then.
    away_until_ms: Option<i64>,
}

/// What leaves: frames, and what the driver is to do.
#[derive(Debug)]
struct Line {
    queue: FairQueue,
    actions: VecDeque<ClientAction>,
    actions_max: usize,
    /// Which documents have a channel.
    channels: BTreeMap<u32, DocumentKey>,
    /// What was agreed.
    features: u64,
    channels_max: usize,
    deflate_bytes_min: usize,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is wanted.
    Idle,
    /// Until the next attempt.
    Waiting { retry_at_ms: i64 },
    /// The transport is being opened.
    Opening { deadline_ms: i64 },
    /// The hello is out.
    Greeting { deadline_ms: i64 },
    /// The server said welcome.
    Open { since_ms: i64 },
}

#[derive(Debug, Default)]
struct Ping {
    next_ms: i64,
    /// Sent then, and nothing was heard since.
    unanswered_ms: Option<i64>,
    timeout_ms: i64,
    number: u64,
}

impl Line {
    fn event(&mut self, event: ClientEvent) {
        if self.actions.len() < self.actions_max {
            self.actions.push_back(ClientAction::Event(event));
        }
    }

    fn send(&mut self, channel: u32, message: &Message) {
        self.send_frame(channel, frame::encode(message));
    }

    fn send_frame(&mut self, channel: u32, mut bytes: Vec<u8>) {
        if self.features & feature::DEFLATE != 0 {
            bytes = frame::deflated(bytes, self.deflate_bytes_min);
        }
        self.queue.push(Outgoing::Frame { channel, bytes });
    }

    fn free_channel(&self) -> Option<u32> {
        (1..=self.channels_max as u32).find(|channel| !self.channels.contains_key(channel))
    }
}

impl<R: NativeReplica> Client<R> {
    /// A disconnected client without documents. The seed is for the jitter of reconnects.
    pub fn new(options: ClientOptions, seed: u64) -> Self {
        let line = Line {
            queue: FairQueue::new(options.part_bytes),
            actions: VecDeque::new(),
            actions_max: options.actions_max,
            channels: BTreeMap::new(),
            features: 0,
            channels_max: options.channels_max,
            deflate_bytes_min: options.deflate_bytes_min,
        };
        Client {
            options,
            phase: Phase::Idle,
            status: ClientStatus::Disconnected,
            backoff: Backoff::new(seed),
            documents: BTreeMap::new(),
            next_key: 1,
            joins: 0,
            line,
            assembly: Assembly::default(),
            ping: Ping::default(),
            away_until_ms: None,
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

    /// Adds a document: with the room's epoch and what the server is known to have, if that was
    /// stored.
    pub fn attach(
        &mut self,
        document_id: impl Into<String>,
        peer: PeerId,
        epoch: Option<u64>,
        acknowledged: VersionVector,
    ) -> DocumentKey {
        let key = DocumentKey(self.next_key);
        self.next_key += 1;
        let mut document = Document::new(key, document_id.into(), peer, epoch, acknowledged);
        if self.has_transport() {
            document.connected();
        }
        self.documents.insert(key, document);
        key
    }

    /// Ends it for one document. Its channel is free when the server says so.
    pub fn detach(&mut self, key: DocumentKey) {
        if let Some(document) = self.documents.remove(&key) {
            if let Some(channel) = document.channel() {
                self.assembly.forget(channel);
                self.line.send(channel, &Message::Leave(channel));
            }
        }
    }

    /// Shows the server what may be done; empty: nothing to show.
    pub fn set_token(&mut self, key: DocumentKey, token: Vec<u8>) {
        if let Some(document) = self.documents.get_mut(&key) {
            document.set_token(token, &mut self.line);
        }
    }

    /// Whether to write to a document, from the next join on.
    pub fn set_write(&mut self, key: DocumentKey, write: bool) {
        if let Some(document) = self.documents.get_mut(&key) {
            document.set_write(write);
        }
    }

    /// Tries again what was refused, from a new join on.
    pub fn retry(&mut self, key: DocumentKey) {
        let connected = self.has_transport();
        if let Some(document) = self.documents.get_mut(&key) {
            document.retry(connected, &mut self.line);
        }
    }

    /// Shows the others of a document an own presence; empty: none.
    pub fn set_presence(&mut self, key: DocumentKey, state: Vec<u8>) {
        if let Some(document) = self.documents.get_mut(&key) {
            document.set_presence(state, &mut self.line);
        }
    }

    /// Sends a message of the application's own: types 64 to 127. False: not connected, or the
    /// queue is full, or the type is not one of them.
    pub fn send_application(
        &mut self,
        key: Option<DocumentKey>,
        message_type: u8,
        bytes: Vec<u8>,
    ) -> bool {
        let channel = match key {
            None => Some(0),
            Some(key) => self.documents.get(&key).and_then(Document::channel),
        };
        let full = self.line.queue.bytes() >= self.options.queue_bytes_max;
        let (Some(channel), false, 64..=127, Phase::Open { .. }) =
            (channel, full, message_type, &self.phase)
        else {
            return false;
        };
        let message = Message::Application {
            message_type,
            channel,
            bytes,
        };
        self.line.send(channel, &message);
        true
    }

    /// What of a document the server has for sure.
    pub fn acknowledged(&self, key: DocumentKey) -> Option<&VersionVector> {
        self.documents.get(&key).map(Document::acknowledged)
    }

    /// The epoch of a document's room, once it is known.
    pub fn epoch(&self, key: DocumentKey) -> Option<u64> {
        self.documents.get(&key).and_then(Document::epoch)
    }

    /// How far a document is.
    pub fn document_phase(&self, key: DocumentKey) -> Option<DocumentPhase> {
        self.documents.get(&key).map(Document::visible_phase)
    }

    /// How far the server is. Cheap when nothing is pending, else as listing what is.
    pub fn progress(&self, key: DocumentKey, replica: &R) -> Progress {
        let document = self.documents.get(&key);
        document.map_or_else(Progress::default, |document| document.progress(replica))
    }

    /// Starts connecting, at once even if a reconnect is scheduled for later.
    pub fn connect(&mut self, now_ms: i64) {
        match self.phase {
            Phase::Idle => self.set_status(ClientStatus::Connecting),
            Phase::Waiting { .. } => {}
            _ => return,
        }
        self.backoff.forgive();
        self.away_until_ms = None;
        self.open(now_ms);
    }

    /// Ends the connection and all attempts. Frames that wait still leave before the closure.
    pub fn disconnect(&mut self) {
        if self.has_transport() {
            let code = CLOSE_NORMAL;
            self.line
                .actions
                .push_back(ClientAction::CloseTransport { code });
        }
        self.phase = Phase::Idle;
        self.lost();
        self.set_status(ClientStatus::Disconnected);
    }

    /// The device has another network, or one again: a planned attempt is made now, and an open
    /// connection is asked whether it lives.
    pub fn network_changed(&mut self, now_ms: i64) {
        match self.phase {
            Phase::Waiting { .. } => {
                self.backoff.forgive();
                self.open(now_ms);
            }
            Phase::Open { .. } => {
                self.ping.timeout_ms = self.options.ping_timeout_after_change_ms;
                self.send_ping(now_ms);
            }
            _ => {}
        }
    }

    /// The transport asked for by [`ClientAction::Open`] is open.
    pub fn transport_opened(&mut self, now_ms: i64) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return;
        }
        let deadline_ms = now_ms.saturating_add(self.options.answer_timeout_ms);
        self.phase = Phase::Greeting { deadline_ms };
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: self.options.features,
            frame_bytes_max: self.options.limits.frame_bytes_max as u64,
            message_bytes_max: self.options.limits.message_bytes_max as u64,
            agent: self.options.agent.clone(),
        };
        self.line.send(0, &Message::Hello(hello));
        // Joins follow at once: nothing in them depends on the welcome.
        for document in self.documents.values_mut() {
            document.connected();
        }
    }

    /// The transport could not be opened, or was closed by somebody else than
    /// [`ClientAction::CloseTransport`].
    pub fn transport_closed(&mut self, now_ms: i64, reason: &str) {
        if self.has_transport() {
            self.fail(now_ms, reason, None);
        }
    }

    /// A binary WebSocket message arrived. What needs a document comes back, for
    /// [`handle`](Self::handle), in order.
    pub fn receive(&mut self, bytes: &[u8], now_ms: i64) -> Option<(DocumentKey, Incoming)> {
        match self.phase {
            Phase::Greeting { .. } | Phase::Open { .. } => {}
            // A late frame of a transport that is given up.
            _ => return None,
        }
        self.ping.unanswered_ms = None;
        self.ping.timeout_ms = self.options.ping_timeout_ms;
        match self.message_of(bytes) {
            Ok(None) => None,
            Ok(Some(message)) => self.message(message, now_ms),
            Err(error) => {
                let reason = error.to_string();
                self.line.event(ClientEvent::FrameDropped(error));
                // What it was about cannot be known: joining again compares everything.
                self.fail(now_ms, &reason, Some(CLOSE_MALFORMED));
                None
            }
        }
    }

    fn message_of(&mut self, bytes: &[u8]) -> Result<Option<Message>, FrameError> {
        let limits = &self.options.limits;
        let (channel, last, part) = match frame::decode(bytes, limits)? {
            Message::Part {
                channel,
                last,
                bytes,
            } => (channel, last, bytes),
            message => return Ok(Some(message)),
        };
        match self.assembly.add(channel, last, &part, limits)? {
            None => Ok(None),
            Some(whole) if is_part(&whole) => Err(FrameError::Limit("parts of parts")),
            Some(whole) => frame::decode_whole(&whole, limits).map(Some),
        }
    }

    fn message(&mut self, message: Message, now_ms: i64) -> Option<(DocumentKey, Incoming)> {
        let channel = match &message {
            Message::Welcome(welcome) => {
                self.welcome(welcome, now_ms);
                return None;
            }
            Message::Ping(number) => {
                self.line.send(0, &Message::Pong(*number));
                return None;
            }
            Message::GoAway {
                code,
                delay_ms,
                text,
            } => {
                self.go_away(*code, *delay_ms, text, now_ms);
                return None;
            }
            Message::Error { code, text } => {
                let reason = format!("the server ended it: {code:?}: {text}");
                self.fail(now_ms, &reason, Some(CLOSE_NORMAL));
                return None;
            }
            Message::Application {
                message_type,
                channel,
                bytes,
            } => {
                let key = self.line.channels.get(channel).copied();
                self.line.event(ClientEvent::Application {
                    key,
                    message_type: *message_type,
                    bytes: bytes.clone(),
                });
                return None;
            }
            Message::Joined(channel, _)
            | Message::Left(channel)
            | Message::State { channel, .. }
            | Message::Update { channel, .. }
            | Message::Acknowledged { channel, .. }
            | Message::Refused { channel, .. }
            | Message::AccessChanged { channel, .. }
            | Message::PresenceOf { channel, .. }
            | Message::Durability { channel, .. } => *channel,
            // Pongs are life signs, seen by now; the rest is for servers, or of a later version.
            _ => return None,
        };
        let key = *self.line.channels.get(&channel)?;
        if let Message::Left(_) = message {
            self.line.channels.remove(&channel);
            self.assembly.forget(channel);
        }
        let document = self.documents.get_mut(&key)?;
        let incoming = document.message(message, now_ms, &self.options, &mut self.line)?;
        Some((key, incoming))
    }

    fn welcome(&mut self, welcome: &Welcome, now_ms: i64) {
        if !matches!(self.phase, Phase::Greeting { .. }) {
            return;
        }
        if welcome.version != VERSION {
            return self.fail(now_ms, "no version in common", Some(CLOSE_NORMAL));
        }
        let frame_bytes_max = usize::try_from(welcome.frame_bytes_max).unwrap_or(usize::MAX);
        self.line.queue.limit_parts(frame_bytes_max);
        self.line.features = welcome.features & self.options.features;
        let channels_max = usize::try_from(welcome.channels_max).unwrap_or(usize::MAX);
        self.line.channels_max = self.options.channels_max.min(channels_max);
        self.phase = Phase::Open { since_ms: now_ms };
        self.backoff.succeeded();
        self.ping = Ping {
            next_ms: now_ms.saturating_add(self.options.ping_interval_ms),
            unanswered_ms: None,
            timeout_ms: self.options.ping_timeout_ms,
            number: 0,
        };
        let session = welcome.session.clone();
        self.line.event(ClientEvent::Connected { session });
        self.set_status(ClientStatus::Connected);
    }

    fn go_away(&mut self, code: Code, delay_ms: u64, text: &str, now_ms: i64) {
        let delay = i64::try_from(delay_ms).unwrap_or(i64::MAX);
        self.away_until_ms = Some(now_ms.saturating_add(delay.min(GO_AWAY_MS_MAX)));
        self.line.event(ClientEvent::GoAway {
            code,
            delay_ms,
            text: text.to_owned(),
        });
        self.fail(now_ms, "the server asks to go away", Some(CLOSE_NORMAL));
    }

    /// Takes in what needed the document.
    pub fn handle(&mut self, key: DocumentKey, incoming: Incoming, now_ms: i64, replica: &mut R) {
        if let Some(document) = self.documents.get_mut(&key) {
            document.handle(incoming, now_ms, &self.options, &mut self.line, replica);
        }
    }

    /// The application committed changes to a document.
    pub fn local_changes(&mut self, key: DocumentKey) {
        if let Some(document) = self.documents.get_mut(&key) {
            document.dirty = true;
        }
    }

    /// The documents that something can be done for: call [`step`](Self::step) for each.
    pub fn due(&self, now_ms: i64) -> Vec<DocumentKey> {
        if !self.has_transport() || matches!(self.phase, Phase::Opening { .. }) {
            return Vec::new();
        }
        let room = self.line.queue.bytes() < self.options.queue_bytes_max;
        let channel = self.line.free_channel().is_some();
        let documents = self.documents.iter();
        let due = documents.filter(|(_, document)| document.is_due(now_ms, room, channel));
        due.map(|(key, _)| *key).collect()
    }

    /// Does what is due for a document.
    pub fn step(&mut self, key: DocumentKey, now_ms: i64, replica: &mut R) {
        let room = self.line.queue.bytes() < self.options.queue_bytes_max;
        if let Some(document) = self.documents.get_mut(&key) {
            let channel = self.line.free_channel();
            if document.is_due(now_ms, room, channel.is_some()) {
                self.joins += 1;
                let join = self.joins;
                document.step(
                    join,
                    channel,
                    now_ms,
                    &self.options,
                    &mut self.line,
                    replica,
                );
            }
        }
    }

    /// When [`tick`](Self::tick) wants to be called; in the past if it has something to do now.
    pub fn next_deadline(&self) -> Option<i64> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Waiting { retry_at_ms } => Some(*retry_at_ms),
            Phase::Opening { deadline_ms } => Some(*deadline_ms),
            Phase::Greeting { deadline_ms } => Some(*deadline_ms),
            Phase::Open { .. } => {
                let unanswered = self.ping.unanswered_ms;
                let dead = unanswered.map(|sent| sent.saturating_add(self.ping.timeout_ms));
                let documents = self.documents.values().filter_map(Document::deadline);
                let others = documents.chain(dead).min();
                Some(others.map_or(self.ping.next_ms, |at| at.min(self.ping.next_ms)))
            }
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now_ms: i64) {
        match &self.phase {
            Phase::Idle => {}
            Phase::Waiting { retry_at_ms } => {
                if now_ms >= *retry_at_ms {
                    self.open(now_ms);
                }
            }
            Phase::Opening { deadline_ms } | Phase::Greeting { deadline_ms } => {
                if now_ms >= *deadline_ms {
                    self.fail(now_ms, "no answer in time", Some(CLOSE_NORMAL));
                }
            }
            Phase::Open { .. } => self.tick_open(now_ms),
        }
    }

    fn tick_open(&mut self, now_ms: i64) {
        let unanswered = self.ping.unanswered_ms;
        if unanswered.is_some_and(|sent| now_ms >= sent.saturating_add(self.ping.timeout_ms)) {
            return self.fail(now_ms, "no answer to a ping", Some(CLOSE_NORMAL));
        }
        let late = |document: &Document<R>| document.is_late(now_ms);
        if self.documents.values().any(late) {
            return self.fail(now_ms, "no answer to a join", Some(CLOSE_NORMAL));
        }
        for document in self.documents.values_mut() {
            document.tick(now_ms);
        }
        if now_ms >= self.ping.next_ms {
            self.send_ping(now_ms);
        }
    }

    fn send_ping(&mut self, now_ms: i64) {
        self.ping.next_ms = now_ms.saturating_add(self.options.ping_interval_ms);
        self.ping.unanswered_ms.get_or_insert(now_ms);
        self.ping.number += 1;
        let number = self.ping.number;
        self.line.send(0, &Message::Ping(number));
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<ClientAction> {
        self.line.actions.pop_front()
    }

    /// The next frame for the transport: take one when it can be sent at once, so that a small one
    /// that comes later can pass a large one.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        match self.phase {
            Phase::Opening { .. } | Phase::Waiting { .. } => None,
            _ => self.line.queue.pop(),
        }
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.line.queue.bytes()
    }

    fn has_transport(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Waiting { .. })
    }

    fn open(&mut self, now_ms: i64) {
        let deadline_ms = now_ms.saturating_add(self.options.open_timeout_ms);
        self.phase = Phase::Opening { deadline_ms };
        self.line.queue = FairQueue::new(self.options.part_bytes);
        self.line.actions.push_back(ClientAction::Open);
    }

    /// What ends with a connection.
    fn lost(&mut self) {
        self.line.channels.clear();
        self.line.features = 0;
        self.line.channels_max = self.options.channels_max;
        self.assembly = Assembly::default();
        for document in self.documents.values_mut() {
            document.disconnected();
        }
    }

    /// The attempt or the connection is over; the next one is planned unless the limit is reached.
    fn fail(&mut self, now_ms: i64, reason: &str, close: Option<u16>) {
        self.line.queue = FairQueue::new(self.options.part_bytes);
        if let Some(code) = close {
            self.line
                .actions
                .push_back(ClientAction::CloseTransport { code });
        }
        if let Phase::Open { since_ms } = self.phase {
            let age_ms = now_ms.saturating_sub(since_ms);
            self.backoff
                .connection_ended(age_ms, &self.options.delays());
        }
        self.lost();
        let delay_ms = self.backoff.next_delay_ms(&self.options.delays());
        let away_ms = self.away_until_ms.take().unwrap_or(now_ms).max(now_ms);
        let retry_at_ms = delay_ms.map(|delay_ms| away_ms.saturating_add(delay_ms));
        self.line.event(ClientEvent::ConnectionFailed {
            reason: reason.to_owned(),
            retry_at_ms,
        });
        match retry_at_ms {
            Some(retry_at_ms) => {
                self.phase = Phase::Waiting { retry_at_ms };
                self.set_status(ClientStatus::Reconnecting);
            }
            None => {
                self.phase = Phase::Idle;
                self.set_status(ClientStatus::Failed);
            }
        }
    }

    fn set_status(&mut self, status: ClientStatus) {
        if self.status != status {
            self.status = status;
            self.line.actions.push_back(ClientAction::Status(status));
        }
    }
}

/// A server may ask for at most so long an absence.
const GO_AWAY_MS_MAX: i64 = 3_600_000;
