//! One document of a server: its members, what each has been sent, and what follows from a message.
//!
//! Each member has a stream of updates of its own, which reads the document's log. A member that
//! does not read what it gets is only remembered with the version it has; when it reads again, one
//! update brings it up to date. So nothing is queued for it, whatever the others do.

use super::frame::{self, kind};
use super::message::{Access, Code, Join, Joined, Level, Message, PresenceEntry, StateKind};
use super::parts::Outgoing;
use super::state::SharedState;
use crate::clock::{PeerId, VersionVector};
use crate::codec::native::{NativeError, deflated};
use crate::replica::{ApplyError, NativeApplyError, NativeReplica, Rewritten};
use crate::sync::crdt_sync::SessionId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How rooms behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomOptions {
    /// What an acknowledgement means.
    pub level: Level,
    /// Live updates of at least so many bytes are deflated if that helps.
    pub deflate_bytes_min: usize,
    /// Bytes of all presences of a room.
    pub presence_bytes_max: usize,
    /// States that are kept for those who go on with them.
    pub states_max: usize,
    /// Bytes of such states.
    pub state_bytes_max: usize,
    /// A state that is older by so many changes is still given to whoever joins; an update follows.
    pub state_age_changes_max: usize,
    /// Members of one room.
    pub members_max: usize,
    /// When to try again after a passing refusal, in milliseconds.
    pub retry_after_ms: u64,
}

impl Default for RoomOptions {
    fn default() -> Self {
        RoomOptions {
            level: Level::Disk,
            deflate_bytes_min: 512,
            presence_bytes_max: 1 << 20,
            states_max: 4,
            state_bytes_max: 64 << 20,
            state_age_changes_max: 1024,
            members_max: 1000,
            retry_after_ms: 1000,
        }
    }
}

/// A message for a room.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RoomInput {
    /// A session joins.
    Join {
        /// Its wish.
        join: Join,
        /// What it may do.
        access: Access,
        /// Whether frames to it may be deflated.
        deflate: bool,
    },
    /// A container of changes: a batch.
    Changes(Vec<u8>),
    /// An update of the session's stream: a batch.
    Update {
        /// A new stream begins.
        begins: bool,
        /// The update.
        update: Vec<u8>,
    },
    /// The session's presence; empty: none.
    Presence(Vec<u8>),
    /// What the session may do from now on.
    Access(Access),
    /// The session took all that waited for it.
    Ready,
    /// The session leaves, or ended.
    Leave,
}

/// Something to send to a session.
#[derive(Clone, Debug)]
pub struct RoomOutput {
    /// The session.
    pub session: SessionId,
    /// What it gets.
    pub outgoing: Outgoing,
}

/// What a message led to.
#[derive(Clone, Debug, Default)]
pub struct RoomOutputs {
    /// The document must be on disk before any of `outputs`, and any of a later message of this
    /// room, leaves.
    pub persist: bool,
    /// Changes that were new.
    pub applied: usize,
    /// Who joined, with its peer id.
    pub joined: Option<PeerId>,
    /// A join or batch that was refused.
    pub refused: Option<Code>,
    /// In this order.
    pub outputs: Vec<RoomOutput>,
}

impl RoomOutputs {
    fn send(&mut self, session: &SessionId, channel: u32, message: &Message) {
        self.outputs.push(RoomOutput {
            session: session.clone(),
            outgoing: Outgoing::message(channel, message),
        });
    }
}

/// The members of one document. The document itself stays outside. Memory: per member a reader and
/// a writer, and the states that are kept.
#[derive(Debug)]
pub struct Room<R: NativeReplica> {
    options: Arc<RoomOptions>,
    epoch: u64,
    members: BTreeMap<SessionId, Member<R>>,
    next_member: u64,
    states: VecDeque<Arc<SharedState>>,
    next_state: u64,
    presence_bytes: usize,
}

#[derive(Debug)]
struct Member<R: NativeReplica> {
    channel: u32,
    number: u64,
    access: Access,
    /// It asked to write.
    wants_write: bool,
    deflate: bool,
    /// Of its stream.
    reader: Option<R::Reader>,
    batches: u64,
    /// A batch was refused: later ones may build on it.
    refused: bool,
    feed: Feed<R>,
    presence: Vec<u8>,
}

/// How far a member is.
#[derive(Debug)]
enum Feed<R: NativeReplica> {
    /// It was sent everything.
    Live { writer: R::Writer, begun: bool },
    /// It does not read; it was sent this.
    Behind(VersionVector),
}

/// What a room is told beside the message.
pub struct Surroundings<'a> {
    /// What the members that are not behind were sent: the document's version before this message.
    pub seen: &'a VersionVector,
    /// Whether so much waits for a session that it gets no more.
    pub is_full: &'a dyn Fn(&SessionId) -> bool,
}

/// Why a batch was not taken.
struct Refusal {
    code: Code,
    retry_after_ms: u64,
    text: String,
}

impl Refusal {
    fn new(code: Code, text: impl ToString) -> Self {
        Refusal {
            code,
            retry_after_ms: 0,
            text: text.to_string(),
        }
    }
}

impl<R: NativeReplica> Room<R> {
    /// A room without members. `seed`: states are numbered from it, so that no two of them have one
    /// number; draw it at random.
    pub fn new(options: Arc<RoomOptions>, epoch: u64, seed: u64) -> Self {
        Room {
            options,
            epoch,
            members: BTreeMap::new(),
            next_member: 1,
            states: VecDeque::new(),
            next_state: seed,
            presence_bytes: 0,
        }
    }

    /// Of the room.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Those in it.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = &SessionId> {
        self.members.keys()
    }

    /// Does what one message asks for.
    pub fn handle(
        &mut self,
        session: &SessionId,
        channel: u32,
        input: RoomInput,
        around: &Surroundings<'_>,
        replica: &mut R,
    ) -> RoomOutputs {
        let mut out = RoomOutputs::default();
        if let RoomInput::Join {
            join,
            access,
            deflate,
        } = input
        {
            self.join(session, channel, join, access, deflate, replica, &mut out);
            return out;
        }
        let is_member = self
            .members
            .get(session)
            .is_some_and(|member| member.channel == channel);
        match input {
            RoomInput::Join { .. } => {}
            RoomInput::Leave => {
                if is_member {
                    self.leave(session, around, &mut out);
                }
                out.outputs.push(RoomOutput {
                    session: session.clone(),
                    outgoing: Outgoing::Left { channel },
                });
            }
            _ if !is_member => {}
            RoomInput::Changes(_) | RoomInput::Update { .. } => {
                self.batch(session, input, around, replica, &mut out);
            }
            RoomInput::Presence(state) => self.presence(session, state, around, &mut out),
            RoomInput::Access(access) => self.access(session, access, around, &mut out),
            RoomInput::Ready => self.ready(session, replica, &mut out),
        }
        out
    }

    /// The document changed otherwise.
    pub fn document_changed(&mut self, around: &Surroundings<'_>, replica: &R) -> RoomOutputs {
        let mut out = RoomOutputs {
            persist: true,
            ..RoomOutputs::default()
        };
        self.fan_out(around, replica, &mut out);
        out
    }

    /// Whether what changed outside has to be told to anybody.
    pub fn has_readers(&self) -> bool {
        !self.members.is_empty()
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn join(
        &mut self,
        session: &SessionId,
        channel: u32,
        join: Join,
        access: Access,
        deflate: bool,
        replica: &mut R,
        out: &mut RoomOutputs,
    ) {
        let refuse = |out: &mut RoomOutputs, refusal: Refusal, detail: Vec<u8>| {
            out.refused = Some(refusal.code);
            out.send(session, channel, &refused(channel, 0, refusal, detail));
        };
        if self.members.contains_key(session) {
            let refusal = Refusal::new(Code::AlreadyJoined, "joined on another channel");
            return refuse(out, refusal, Vec::new());
        }
        if join.epoch.is_some_and(|epoch| epoch != self.epoch) {
            let refusal = Refusal::new(Code::EpochChanged, "the room was reset");
            return refuse(out, refusal, self.epoch.to_be_bytes().to_vec());
        }
        if !access.read {
            return refuse(
                out,
                Refusal::new(Code::Forbidden, "not allowed"),
                Vec::new(),
            );
        }
        if self.members.len() >= self.options.members_max {
            return refuse(out, Refusal::new(Code::Limit, "members_max"), Vec::new());
        }
        let vector = replica.version_vector();
        let state = match self.state_for(&join, &vector, replica) {
            Ok(state) => state,
            Err(error) => {
                let refusal = Refusal {
                    retry_after_ms: self.options.retry_after_ms,
                    ..Refusal::new(Code::Unavailable, error)
                };
                return refuse(out, refusal, Vec::new());
            }
        };
        let joined = Joined {
            access: access.limited_to(join.write),
            state_follows: state.is_some(),
            level: self.options.level,
            epoch: self.epoch,
            vector,
        };
        out.persist = true;
        out.joined = Some(join.peer);
        out.send(session, channel, &Message::Joined(channel, joined.clone()));
        let mut known = join.vector;
        if let Some((state, offset)) = state {
            known.merge(&state.vector);
            out.outputs.push(RoomOutput {
                session: session.clone(),
                outgoing: Outgoing::State {
                    channel,
                    state,
                    offset,
                },
            });
        }
        let others: Vec<PresenceEntry> = self.presences().collect();
        if !others.is_empty() {
            let entries = others;
            out.send(session, channel, &Message::PresenceOf { channel, entries });
        }
        let mut member = Member {
            channel,
            number: self.next_member,
            access: joined.access,
            wants_write: join.write,
            deflate,
            reader: None,
            batches: 0,
            refused: false,
            feed: Feed::Live {
                writer: replica.writer_since(&known),
                begun: false,
            },
            presence: Vec::new(),
        };
        self.next_member += 1;
        // What came since the state was made.
        let _ = member.feed_update(session, &self.options, replica, out);
        self.members.insert(session.clone(), member);
    }

    fn presences(&self) -> impl Iterator<Item = PresenceEntry> + '_ {
        let present = self.members.values();
        let present = present.filter(|member| !member.presence.is_empty());
        present.map(|member| PresenceEntry {
            member: member.number,
            state: member.presence.clone(),
        })
    }

    /// What a joiner needs, and from where on: one that it has the beginning of, one that was made
    /// for another, or a new one.
    fn state_for(
        &mut self,
        join: &Join,
        current: &VersionVector,
        replica: &mut R,
    ) -> Result<Option<(Arc<SharedState>, usize)>, ApplyError> {
        let has = |vector: &VersionVector| join.vector.is_strictly_newer_or_equal_than(vector);
        if has(current) {
            return Ok(None);
        }
        let usable = |state: &&Arc<SharedState>| {
            has(&state.since)
                && replica.ensure_history(&state.vector).is_ok()
                && replica.change_count().abs_diff(state.change_count)
                    <= self.options.state_age_changes_max
        };
        if let Some((id, offset)) = join.resume {
            let known = self.states.iter().filter(usable);
            let mut known = known.filter(|state| state.id == id);
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            if let Some(state) = known.find(|state| offset < state.bytes.len()) {
                return Ok(Some((state.clone(), offset)));
            }
        }
        let same = |state: &&Arc<SharedState>| state.since == join.vector;
        if let Some(state) = self.states.iter().filter(usable).find(same) {
            return Ok(Some((state.clone(), 0)));
        }
        let (kind, bytes) = match replica.native_changes(&join.vector, usize::MAX) {
            Ok(mut parts) => match parts.pop() {
                // Nothing is missing but what nobody remembers: a version without changes.
                None => return Ok(None),
                Some(container) => (StateKind::Changes, container),
            },
            Err(ApplyError::HistoryPruned { .. }) => (StateKind::Snapshot, replica.native_state()?),
            Err(error) => return Err(error),
        };
        let bytes = match bytes.len() >= self.options.deflate_bytes_min {
            true => deflated(&bytes).unwrap_or(bytes),
            false => bytes,
        };
        let state = Arc::new(SharedState {
            id: self.next_state,
            kind,
            since: join.vector.clone(),
            vector: current.clone(),
            change_count: replica.change_count(),
            bytes,
        });
        self.next_state = self.next_state.wrapping_add(1);
        self.keep(state.clone());
        Ok(Some((state, 0)))
    }

    fn keep(&mut self, state: Arc<SharedState>) {
        self.states.push_back(state);
        let bytes = |states: &VecDeque<Arc<SharedState>>| -> usize {
            states.iter().map(|state| state.bytes.len()).sum()
        };
        while self.states.len() > self.options.states_max
            || bytes(&self.states) > self.options.state_bytes_max
        {
            self.states.pop_front();
        }
    }

    fn leave(&mut self, session: &SessionId, around: &Surroundings<'_>, out: &mut RoomOutputs) {
        self.presence(session, Vec::new(), around, out);
        self.members.remove(session);
    }

    fn batch(
        &mut self,
        session: &SessionId,
        input: RoomInput,
        around: &Surroundings<'_>,
        replica: &mut R,
        out: &mut RoomOutputs,
    ) {
        let Some(member) = self.members.get_mut(session) else {
            return;
        };
        member.batches += 1;
        if member.refused {
            return;
        }
        let channel = member.channel;
        let is_current = match &member.feed {
            Feed::Live { writer, .. } => replica.is_current(writer),
            Feed::Behind(_) => false,
        };
        let before = replica.change_count();
        let result = member.take(input, replica);
        out.applied = replica.change_count().saturating_sub(before);
        match result {
            Ok(()) => {
                out.persist = true;
                out.outputs.push(RoomOutput {
                    session: session.clone(),
                    outgoing: Outgoing::Acknowledged {
                        channel,
                        level: self.options.level,
                        count: 1,
                    },
                });
            }
            Err(refusal) => {
                member.refused = true;
                out.refused = Some(refusal.code);
                let message = refused(channel, member.batches, refusal, Vec::new());
                out.send(session, channel, &message);
            }
        }
        if out.applied == 0 {
            return;
        }
        out.persist = true;
        if let Feed::Live { writer, .. } = &mut member.feed {
            // It has what it sent.
            if is_current {
                replica.skip_update(writer);
            }
        }
        self.fan_out(around, replica, out);
    }

    /// Sends everybody what it lacks.
    fn fan_out(&mut self, around: &Surroundings<'_>, replica: &R, out: &mut RoomOutputs) {
        for (session, member) in &mut self.members {
            if matches!(member.feed, Feed::Behind(_)) {
                continue;
            }
            if (around.is_full)(session) {
                member.feed = Feed::Behind(around.seen.clone());
                continue;
            }
            if member
                .feed_update(session, &self.options, replica, out)
                .is_err()
            {
                member.restart(session, around.seen, &self.options, replica, out);
            }
        }
    }

    fn ready(&mut self, session: &SessionId, replica: &R, out: &mut RoomOutputs) {
        let entries: Vec<PresenceEntry> = self.presences().collect();
        let Some(member) = self.members.get_mut(session) else {
            return;
        };
        let Feed::Behind(since) = &member.feed else {
            return;
        };
        let since = since.clone();
        member.restart(session, &since, &self.options, replica, out);
        let channel = member.channel;
        out.persist = true;
        if !entries.is_empty() {
            out.send(session, channel, &Message::PresenceOf { channel, entries });
        }
    }

    fn presence(
        &mut self,
        session: &SessionId,
        state: Vec<u8>,
        around: &Surroundings<'_>,
        out: &mut RoomOutputs,
    ) {
        let Some(member) = self.members.get_mut(session) else {
            return;
        };
        if member.presence == state {
            return;
        }
        let bytes = self.presence_bytes - member.presence.len() + state.len();
        if bytes > self.options.presence_bytes_max {
            out.refused = Some(Code::Limit);
            return;
        }
        self.presence_bytes = bytes;
        member.presence = state.clone();
        let entry = PresenceEntry {
            member: member.number,
            state,
        };
        for (other, member) in &self.members {
            if other != session && !(around.is_full)(other) {
                let channel = member.channel;
                let entries = vec![entry.clone()];
                out.send(other, channel, &Message::PresenceOf { channel, entries });
            }
        }
    }

    fn access(
        &mut self,
        session: &SessionId,
        access: Access,
        around: &Surroundings<'_>,
        out: &mut RoomOutputs,
    ) {
        let Some(member) = self.members.get_mut(session) else {
            return;
        };
        let channel = member.channel;
        if access.read {
            let access = access.limited_to(member.wants_write);
            member.access = access;
            let message = Message::AccessChanged { channel, access };
            return out.send(session, channel, &message);
        }
        self.leave(session, around, out);
        let refusal = Refusal::new(Code::Forbidden, "not allowed any more");
        out.send(session, channel, &refused(channel, 0, refusal, Vec::new()));
    }
}

impl<R: NativeReplica> Member<R> {
    /// Takes in a batch.
    fn take(&mut self, input: RoomInput, replica: &mut R) -> Result<(), Refusal> {
        if !self.access.write {
            return Err(Refusal::new(Code::ReadOnly, "the session may not write"));
        }
        let outcome = match input {
            RoomInput::Changes(container) => {
                // It was inflated with limits already, if it came deflated.
                if is_deflated(&container) {
                    return Err(Refusal::new(Code::Invalid, "the container is deflated"));
                }
                replica.apply_native_changes(&container, true)
            }
            RoomInput::Update { begins, update } => {
                if begins {
                    self.reader = Some(replica.reader(true));
                }
                match &mut self.reader {
                    Some(reader) => replica.apply_update(reader, &update),
                    None => return Err(Refusal::new(Code::Stream, "no stream was begun")),
                }
            }
            _ => return Ok(()),
        };
        match outcome {
            Ok(outcome) if outcome.not_ready > 0 => Err(Refusal::new(
                Code::Missing,
                "changes on which these build are missing",
            )),
            Ok(_) => Ok(()),
            Err(error) => Err(refusal_of(&error)),
        }
    }

    /// Sends what is new since the last update.
    fn feed_update(
        &mut self,
        session: &SessionId,
        options: &RoomOptions,
        replica: &R,
        out: &mut RoomOutputs,
    ) -> Result<(), Rewritten> {
        let Feed::Live { writer, begun } = &mut self.feed else {
            return Ok(());
        };
        if replica.is_current(writer) {
            return Ok(());
        }
        let kind = match *begun {
            true => kind::UPDATE,
            false => kind::UPDATE_BEGINS,
        };
        let mut bytes = frame::head(kind, self.channel);
        if replica.write_update(writer, &mut bytes)? {
            *begun = true;
            if self.deflate {
                bytes = frame::deflated(bytes, options.deflate_bytes_min);
            }
            let channel = self.channel;
            out.outputs.push(RoomOutput {
                session: session.clone(),
                outgoing: Outgoing::Frame { channel, bytes },
            });
        }
        Ok(())
    }

    /// Begins another stream for a member that has `since`.
    fn restart(
        &mut self,
        session: &SessionId,
        since: &VersionVector,
        options: &RoomOptions,
        replica: &R,
        out: &mut RoomOutputs,
    ) {
        if replica.ensure_history(since).is_ok() {
            self.feed = Feed::Live {
                writer: replica.writer_since(since),
                begun: false,
            };
            if self.feed_update(session, options, replica, out).is_ok() {
                return;
            }
        }
        // It lacks what was pruned: it joins again and gets a snapshot.
        self.refused = true;
        let refusal = Refusal::new(Code::Stream, "history was pruned");
        let message = refused(self.channel, 0, refusal, Vec::new());
        out.send(session, self.channel, &message);
        self.feed = Feed::Behind(since.clone());
    }
}

fn is_deflated(container: &[u8]) -> bool {
    container.get(3).is_some_and(|flags| flags & 0x80 != 0)
}

fn refusal_of(error: &NativeApplyError) -> Refusal {
    let code = match error {
        NativeApplyError::Malformed(NativeError::Checksum) => Code::Stream,
        NativeApplyError::Malformed(_) => Code::Invalid,
        NativeApplyError::Refused(error) => match error {
            ApplyError::NotReady { .. } | ApplyError::HistoryPruned { .. } => Code::Missing,
            ApplyError::Limit(_) => Code::Limit,
            ApplyError::ClockDrift { .. } => Code::Clock,
            _ => Code::Unavailable,
        },
    };
    Refusal {
        retry_after_ms: match code {
            Code::Unavailable | Code::Clock => 1000,
            _ => 0,
        },
        ..Refusal::new(code, error)
    }
}

fn refused(channel: u32, batch: u64, refusal: Refusal, detail: Vec<u8>) -> Message {
    let mut text = refusal.text;
    // Longer ones are of use to nobody, and above the limit of the other side.
    let mut end = text.len().min(256);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    Message::Refused {
        channel,
        batch,
        code: refusal.code,
        retry_after_ms: refusal.retry_after_ms,
        detail,
        text,
    }
}
