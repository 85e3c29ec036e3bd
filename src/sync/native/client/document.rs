//! One document of a client: joined, fed, followed.

use super::options::Content;
use super::{ClientEvent, ClientOptions, DocumentKey, DocumentPhase, Incoming, Line, Progress};
use crate::clock::{PeerId, VersionVector};
use crate::replica::{NativeApplyError, NativeReplica};
use crate::sync::native::frame::{self, kind};
use crate::sync::native::message::{Access, Code, Join, Joined, Message, StateKind};
use std::collections::VecDeque;

/// Delays before joining again after a refusal that may pass; doubles up to the last.
const RETRY_FIRST_MS: i64 = 1_000;
const RETRY_MAX_MS: i64 = 60_000;

#[derive(Debug)]
pub(super) struct Document<R: NativeReplica> {
    key: DocumentKey,
    document_id: String,
    peer: PeerId,
    token: Vec<u8>,
    write: bool,
    epoch: Option<u64>,
    /// What the server has for sure.
    acknowledged: VersionVector,
    /// Committed changes may not be in the stream yet.
    pub dirty: bool,
    phase: Phase,
    session: Option<Session<R>>,
    /// The beginning of a state: outlives the connection.
    partial: Option<Partial>,
    presence: Vec<u8>,
    /// Joins in a row that led to nothing.
    fruitless: u32,
}

#[derive(Debug)]
enum Phase {
    Offline,
    Due,
    Waiting {
        retry_at_ms: i64,
    },
    Joining {
        deadline_ms: i64,
    },
    Live,
    /// The channel is given back; then this.
    Leaving {
        then: Then,
        deadline_ms: i64,
    },
    Stopped(Code),
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Join,
    Wait(i64),
    Stop(Code),
}

/// One join, from its message to the end of its channel.
#[derive(Debug)]
struct Session<R: NativeReplica> {
    join: u64,
    channel: u32,
    access: Access,
    /// Of the own stream, once the answer told what the server has.
    writer: Option<R::Writer>,
    begun: bool,
    reader: Option<R::Reader>,
    /// Sent and not acknowledged: what the server has when it is, if the batch says so.
    batches: VecDeque<Option<VersionVector>>,
    /// A state is on its way.
    awaits_state: bool,
    /// Edits stay here for this reason.
    refused: Option<Code>,
}

#[derive(Debug)]
struct Partial {
    id: u64,
    kind: StateKind,
    total: u64,
    bytes: Vec<u8>,
}

impl<R: NativeReplica> Document<R> {
    pub fn new(
        key: DocumentKey,
        document_id: String,
        peer: PeerId,
        epoch: Option<u64>,
        acknowledged: VersionVector,
    ) -> Self {
        Document {
            key,
            document_id,
            peer,
            token: Vec::new(),
            write: true,
            epoch,
            acknowledged,
            dirty: false,
            phase: Phase::Offline,
            session: None,
            partial: None,
            presence: Vec::new(),
            fruitless: 0,
        }
    }

    pub fn channel(&self) -> Option<u32> {
        self.session.as_ref().map(|session| session.channel)
    }

    pub fn acknowledged(&self) -> &VersionVector {
        &self.acknowledged
    }

    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    pub fn visible_phase(&self) -> DocumentPhase {
        let refused = self.session.as_ref().and_then(|session| session.refused);
        match (&self.phase, refused) {
            (Phase::Offline, _) => DocumentPhase::Offline,
            (Phase::Stopped(code), _) => DocumentPhase::Stopped(*code),
            (Phase::Live, Some(code)) => DocumentPhase::ReadOnly(code),
            (Phase::Live, None) => DocumentPhase::Live,
            _ => DocumentPhase::Joining,
        }
    }

    pub fn progress(&self, replica: &R) -> Progress {
        let vector = replica.version_vector();
        let covered = self.acknowledged.is_strictly_newer_or_equal_than(&vector);
        let pending = match covered {
            true => 0,
            false => replica.changes_newer_than(&self.acknowledged).len(),
        };
        let awaits_state = |session: &Session<R>| session.awaits_state;
        let complete = !self.session.as_ref().is_some_and(awaits_state);
        Progress {
            pending,
            synced: covered && complete && matches!(self.phase, Phase::Live),
        }
    }

    /// There is a transport.
    pub fn connected(&mut self) {
        if matches!(self.phase, Phase::Offline | Phase::Waiting { .. }) {
            self.phase = Phase::Due;
        }
    }

    /// There is none any more.
    pub fn disconnected(&mut self) {
        self.session = None;
        self.phase = match self.phase {
            Phase::Stopped(code)
            | Phase::Leaving {
                then: Then::Stop(code),
                ..
            } => Phase::Stopped(code),
            _ => Phase::Offline,
        };
    }

    pub fn set_token(&mut self, token: Vec<u8>, line: &mut Line) {
        self.token = token;
        match (&self.phase, &self.session) {
            (Phase::Live, Some(session)) => {
                let channel = session.channel;
                let token = self.token.clone();
                line.send(channel, &Message::Token { channel, token });
            }
            (Phase::Stopped(Code::Unauthorised | Code::Forbidden), _) => {
                self.retry(true, line);
            }
            _ => {}
        }
    }

    pub fn set_write(&mut self, write: bool) {
        self.write = write;
    }

    pub fn retry(&mut self, connected: bool, line: &mut Line) {
        self.fruitless = 0;
        match self.phase {
            Phase::Stopped(_) | Phase::Waiting { .. } => {
                self.phase = match connected {
                    true => Phase::Due,
                    false => Phase::Offline,
                };
            }
            Phase::Live
                if self
                    .session
                    .as_ref()
                    .is_some_and(|session| session.refused.is_some()) =>
            {
                self.leave(Then::Join, i64::MAX, line);
            }
            _ => {}
        }
    }

    pub fn set_presence(&mut self, state: Vec<u8>, line: &mut Line) {
        self.presence = state;
        if matches!(self.phase, Phase::Live) {
            self.send_presence(line);
        }
    }

    fn send_presence(&self, line: &mut Line) {
        if let Some(channel) = self.channel() {
            let state = self.presence.clone();
            line.send(channel, &Message::Presence { channel, state });
        }
    }

    /// Whether [`step`](Self::step) has something to do.
    pub fn is_due(&self, now_ms: i64, room: bool, channel: bool) -> bool {
        match &self.phase {
            Phase::Due => channel,
            Phase::Waiting { retry_at_ms } => channel && now_ms >= *retry_at_ms,
            Phase::Live => self.dirty && room && self.may_push(),
            _ => false,
        }
    }

    fn may_push(&self) -> bool {
        self.session.as_ref().is_some_and(|session| {
            session.access.write && session.refused.is_none() && session.writer.is_some()
        })
    }

    pub fn deadline(&self) -> Option<i64> {
        match self.phase {
            Phase::Waiting { retry_at_ms } => Some(retry_at_ms),
            Phase::Joining { deadline_ms } | Phase::Leaving { deadline_ms, .. } => {
                Some(deadline_ms)
            }
            _ => None,
        }
    }

    pub fn is_late(&self, now_ms: i64) -> bool {
        match self.phase {
            Phase::Joining { deadline_ms } | Phase::Leaving { deadline_ms, .. } => {
                now_ms >= deadline_ms
            }
            _ => false,
        }
    }

    pub fn tick(&mut self, now_ms: i64) {
        if let Phase::Waiting { retry_at_ms } = self.phase {
            if now_ms >= retry_at_ms {
                self.phase = Phase::Due;
            }
        }
    }

    pub fn step(
        &mut self,
        join: u64,
        channel: Option<u32>,
        now_ms: i64,
        options: &ClientOptions,
        line: &mut Line,
        replica: &mut R,
    ) {
        match (&self.phase, channel) {
            (Phase::Due | Phase::Waiting { .. }, Some(channel)) => {
                let deadline_ms = now_ms.saturating_add(options.answer_timeout_ms);
                self.join(join, channel, deadline_ms, line, replica);
            }
            (Phase::Live, _) => self.push(now_ms, options, line, replica),
            _ => {}
        }
    }

    fn join(&mut self, join: u64, channel: u32, deadline_ms: i64, line: &mut Line, replica: &R) {
        line.channels.insert(channel, self.key);
        self.session = Some(Session {
            join,
            channel,
            access: Access {
                read: true,
                write: false,
            },
            writer: None,
            begun: false,
            reader: None,
            batches: VecDeque::new(),
            awaits_state: false,
            refused: None,
        });
        self.phase = Phase::Joining { deadline_ms };
        let partial = self.partial.as_ref();
        let message = Join {
            document_id: self.document_id.clone(),
            token: self.token.clone(),
            peer: self.peer,
            write: self.write,
            epoch: self.epoch,
            vector: replica.version_vector(),
            resume: partial.map(|partial| (partial.id, partial.bytes.len() as u64)),
        };
        line.send(channel, &Message::Join(channel, message));
    }

    /// Gives the channel back.
    fn leave(&mut self, then: Then, deadline_ms: i64, line: &mut Line) {
        if let Some(session) = &mut self.session {
            // What still arrives is of no interest.
            session.writer = None;
            line.send(session.channel, &Message::Leave(session.channel));
        }
        self.phase = Phase::Leaving { then, deadline_ms };
    }

    /// A message of the server. What needs the document comes back.
    pub fn message(
        &mut self,
        message: Message,
        now_ms: i64,
        options: &ClientOptions,
        line: &mut Line,
    ) -> Option<Incoming> {
        let key = self.key;
        let session = self.session.as_mut()?;
        let join = session.join;
        let incoming = |content| Some(Incoming { join, content });
        match message {
            Message::Left(_) => self.left(now_ms),
            Message::Acknowledged { count, .. } => self.acknowledge(count, line),
            Message::Joined(_, joined) if matches!(self.phase, Phase::Joining { .. }) => {
                return incoming(self.joined(joined, line));
            }
            Message::Refused {
                batch,
                code,
                retry_after_ms,
                detail,
                text,
                ..
            } => self.refused(
                Refusal {
                    batch,
                    code,
                    retry_after_ms,
                    detail,
                    text,
                },
                now_ms,
                options,
                line,
            ),
            _ if !matches!(self.phase, Phase::Live) => {}
            Message::State {
                id,
                kind,
                offset,
                total,
                bytes,
                ..
            } => {
                let piece = Partial {
                    id,
                    kind,
                    total,
                    bytes,
                };
                return incoming(self.piece(piece, offset, now_ms, options, line)?);
            }
            Message::Update { begins, update, .. } => {
                return incoming(Content::Update { begins, update });
            }
            Message::AccessChanged { access, .. } => {
                session.access = access;
                line.event(ClientEvent::AccessChanged { key, access });
                self.dirty = true;
                if access.write && session.refused == Some(Code::ReadOnly) {
                    let deadline_ms = now_ms.saturating_add(options.answer_timeout_ms);
                    self.leave(Then::Join, deadline_ms, line);
                }
            }
            Message::PresenceOf { entries, .. } => {
                line.event(ClientEvent::Presence { key, entries });
            }
            Message::Durability { durable, .. } => {
                line.event(ClientEvent::Durability { key, durable });
            }
            _ => {}
        }
        None
    }

    fn left(&mut self, now_ms: i64) {
        self.session = None;
        self.phase = match self.phase {
            Phase::Leaving { then, .. } => match then {
                Then::Join => Phase::Due,
                Then::Wait(delay_ms) => Phase::Waiting {
                    retry_at_ms: now_ms.saturating_add(delay_ms),
                },
                Then::Stop(code) => Phase::Stopped(code),
            },
            _ => Phase::Due,
        };
    }

    fn joined(&mut self, joined: Joined, line: &mut Line) -> Content {
        let key = self.key;
        self.phase = Phase::Live;
        self.epoch = Some(joined.epoch);
        if let Some(session) = &mut self.session {
            session.access = joined.access;
            session.awaits_state = joined.state_follows;
        }
        if !joined.state_follows {
            self.partial = None;
        }
        line.event(ClientEvent::Joined {
            key,
            access: joined.access,
            epoch: joined.epoch,
        });
        if !self.presence.is_empty() {
            self.send_presence(line);
        }
        Content::Joined {
            vector: joined.vector,
        }
    }

    fn acknowledge(&mut self, count: u64, line: &mut Line) {
        let Some(session) = &mut self.session else {
            return;
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let count = count.min(session.batches.len());
        let vectors = session.batches.drain(..count).flatten();
        if let Some(vector) = vectors.last() {
            self.acknowledged.merge(&vector);
        }
        self.fruitless = 0;
        line.event(ClientEvent::Acknowledged { key: self.key });
    }

    fn refused(&mut self, refusal: Refusal, now_ms: i64, options: &ClientOptions, line: &mut Line) {
        if matches!(self.phase, Phase::Leaving { .. }) {
            return;
        }
        let key = self.key;
        let Refusal {
            batch,
            code,
            retry_after_ms,
            detail,
            text,
        } = refusal;
        if code == Code::EpochChanged {
            let epoch = detail.try_into().map_or(0, u64::from_be_bytes);
            line.event(ClientEvent::EpochChanged { key, epoch });
        }
        let passing = matches!(
            code,
            Code::Missing | Code::Stream | Code::AlreadyJoined | Code::GoingAway
        );
        let retries = passing || retry_after_ms > 0;
        line.event(ClientEvent::Refused {
            key,
            code,
            text,
            retries,
        });
        let deadline_ms = now_ms.saturating_add(options.answer_timeout_ms);
        if retries {
            let then = self.later(retry_after_ms);
            return self.leave(then, deadline_ms, line);
        }
        match (&mut self.session, batch) {
            (Some(session), 1..) => session.refused = Some(code),
            _ => self.leave(Then::Stop(code), deadline_ms, line),
        }
    }

    /// At once the first time; later and later if that does not help.
    fn later(&mut self, retry_after_ms: u64) -> Then {
        let fruitless = self.fruitless;
        self.fruitless = fruitless.saturating_add(1);
        let asked = i64::try_from(retry_after_ms).unwrap_or(RETRY_MAX_MS);
        if fruitless == 0 && asked == 0 {
            return Then::Join;
        }
        let delay_ms = (RETRY_FIRST_MS << fruitless.min(6)).min(RETRY_MAX_MS);
        Then::Wait(delay_ms.max(asked).min(RETRY_MAX_MS))
    }

    /// Another piece of a state; the state when it is complete.
    fn piece(
        &mut self,
        piece: Partial,
        offset: u64,
        now_ms: i64,
        options: &ClientOptions,
        line: &mut Line,
    ) -> Option<Content> {
        let partial = match self.partial.take() {
            Some(partial) if partial.id == piece.id && partial.total == piece.total => partial,
            _ => Partial {
                bytes: Vec::new(),
                ..piece
            },
        };
        let mut partial = partial;
        let fits = partial.bytes.len() as u64 == offset
            && offset.saturating_add(piece.bytes.len() as u64) <= piece.total
            && piece.total <= options.state_bytes_max as u64;
        if !fits {
            let reason = "a piece of a state does not fit".to_owned();
            self.rejoin(reason, now_ms, options, line);
            return None;
        }
        partial.bytes.extend_from_slice(&piece.bytes);
        let received = partial.bytes.len() as u64;
        let total = partial.total;
        let key = self.key;
        line.event(ClientEvent::StateProgress {
            key,
            received,
            total,
        });
        if received == total {
            return Some(Content::State {
                kind: partial.kind,
                bytes: partial.bytes,
            });
        }
        self.partial = Some(partial);
        None
    }

    fn rejoin(&mut self, reason: String, now_ms: i64, options: &ClientOptions, line: &mut Line) {
        let key = self.key;
        line.event(ClientEvent::ImportRefused { key, reason });
        let then = self.later(0);
        let deadline_ms = now_ms.saturating_add(options.answer_timeout_ms);
        self.leave(then, deadline_ms, line);
    }

    /// Takes in what needed the document.
    pub fn handle(
        &mut self,
        incoming: Incoming,
        now_ms: i64,
        options: &ClientOptions,
        line: &mut Line,
        replica: &mut R,
    ) {
        let join = self.session.as_ref().map(|session| session.join);
        if join != Some(incoming.join) || !matches!(self.phase, Phase::Live) {
            return;
        }
        if let Content::Joined { vector } = incoming.content {
            return self.compare(vector, options, line, replica);
        }
        // What was committed here leaves before what comes is taken in, so that the stream can leave
        // that out.
        self.push(now_ms, options, line, replica);
        let Some(session) = &mut self.session else {
            return;
        };
        let is_current = |session: &Session<R>, replica: &R| {
            let writer = session.writer.as_ref();
            writer.is_some_and(|writer| replica.is_current(writer))
        };
        let current = is_current(session, replica);
        let before = replica.change_count();
        let result = match incoming.content {
            Content::State { kind, bytes } => {
                session.awaits_state = false;
                match kind {
                    StateKind::Changes => {
                        let outcome = replica.apply_native_changes(&bytes, false);
                        outcome.map(|outcome| outcome.not_ready)
                    }
                    StateKind::Snapshot => replica.merge_native_state(&bytes).map(|_| 0),
                }
            }
            Content::Update { begins, update } => {
                if begins || session.reader.is_none() {
                    session.reader = Some(replica.reader(false));
                }
                let reader = session.reader.as_mut().expect("just made");
                let outcome = replica.apply_update(reader, &update);
                outcome.map(|outcome| outcome.not_ready)
            }
            Content::Joined { .. } => Ok(0),
        };
        self.took(result, before, current, now_ms, options, line, replica);
    }

    #[expect(clippy::too_many_arguments, reason = "the end of one step")]
    fn took(
        &mut self,
        result: Result<usize, NativeApplyError>,
        before: usize,
        current: bool,
        now_ms: i64,
        options: &ClientOptions,
        line: &mut Line,
        replica: &R,
    ) {
        let Some(session) = &mut self.session else {
            return;
        };
        let applied = replica.change_count().saturating_sub(before);
        if let (true, Some(writer)) = (current, &mut session.writer) {
            replica.skip_update(writer);
        }
        match result {
            Ok(0) => {
                // What is here came from the server or was sent to it: it has all of it when it has
                // the last batch.
                if current {
                    let vector = replica.version_vector();
                    match session.batches.back_mut() {
                        Some(last) => *last = Some(vector),
                        None => self.acknowledged = vector,
                    }
                }
                line.event(ClientEvent::RemoteChanges {
                    key: self.key,
                    applied,
                });
            }
            Ok(_) => {
                let reason = "changes on which others build are missing".to_owned();
                self.rejoin(reason, now_ms, options, line);
            }
            Err(error) => self.rejoin(error.to_string(), now_ms, options, line),
        }
    }

    /// The server said what it has: everything else is sent.
    fn compare(
        &mut self,
        server: VersionVector,
        options: &ClientOptions,
        line: &mut Line,
        replica: &mut R,
    ) {
        let key = self.key;
        let vector = replica.version_vector();
        self.acknowledged = server;
        let covered = self.acknowledged.is_strictly_newer_or_equal_than(&vector);
        if covered {
            self.fruitless = 0;
        }
        let may_write = self
            .session
            .as_ref()
            .is_some_and(|session| session.access.write);
        let parts = match may_write && !covered {
            true => replica.native_changes(&self.acknowledged, options.push_bytes),
            false => Ok(Vec::new()),
        };
        let Some(session) = &mut self.session else {
            return;
        };
        match parts {
            Ok(parts) => {
                let last = parts.len().saturating_sub(1);
                for (at, container) in parts.into_iter().enumerate() {
                    let channel = session.channel;
                    line.send(channel, &Message::Changes { channel, container });
                    session
                        .batches
                        .push_back((at == last).then(|| vector.clone()));
                }
                // Without the right to write, the stream begins with what is not sent now.
                let since = match may_write {
                    true => &vector,
                    false => &self.acknowledged,
                };
                session.writer = Some(replica.writer_since(since));
                self.dirty = false;
            }
            Err(_) => {
                session.refused = Some(Code::Missing);
                line.event(ClientEvent::ServerTooOld { key });
            }
        }
        line.event(ClientEvent::Acknowledged { key });
    }

    /// Sends what was committed since the last time.
    fn push(&mut self, now_ms: i64, options: &ClientOptions, line: &mut Line, replica: &R) {
        if !self.may_push() || line.queue.bytes() >= options.queue_bytes_max {
            return;
        }
        let Some(session) = &mut self.session else {
            return;
        };
        let Some(writer) = &mut session.writer else {
            return;
        };
        self.dirty = false;
        if replica.is_current(writer) {
            return;
        }
        let kind = match session.begun {
            true => kind::UPDATE,
            false => kind::UPDATE_BEGINS,
        };
        let mut bytes = frame::head(kind, session.channel);
        match replica.write_update(writer, &mut bytes) {
            Ok(true) => {
                session.begun = true;
                session.batches.push_back(Some(replica.version_vector()));
                line.send_frame(session.channel, bytes);
            }
            Ok(false) => {}
            // A snapshot of the application: joining again compares versions.
            Err(_) => {
                let deadline_ms = now_ms.saturating_add(options.answer_timeout_ms);
                self.leave(Then::Join, deadline_ms, line);
            }
        }
    }
}

struct Refusal {
    batch: u64,
    code: Code,
    retry_after_ms: u64,
    detail: Vec<u8>,
    text: String,
}
