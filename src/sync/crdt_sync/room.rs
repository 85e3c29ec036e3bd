//! One document of a server: who is subscribed, what each has seen, and what follows from a
//! message.
//!
//! The numbers in comments ("trap 3") are rows of the table in chapter 10 of the specification:
//! what Dart peers do wrong, and the answer that still works with them.

mod changes;

use super::constants::error_code;
use super::lobby::Lobby;
use super::{Message, ServerError, ServerEvent, ServerOptions, SessionId, SharedMessage};
use crate::clock::{OperationId, PeerId, VersionVector};
use crate::codec::{Change, Snapshot, Value, Wtf8String};
use crate::replica::Replica;
use crate::sync::causal;
use crate::sync::crdt_sync::batch::split;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A message for a room, from the connection that decoded it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RoomInput {
    /// A client joins (type 0).
    Handshake {
        /// Who.
        author: PeerId,
        /// What it has seen.
        version_vector: VersionVector,
    },
    /// A client asks for what it lacks (type 4).
    StatusRequest {
        /// What it has seen.
        version_vector: Option<VersionVector>,
    },
    /// Changes of a client (types 2 and 8).
    Changes(Vec<Change>),
    /// A ping (type 5). Answered by the room so that the answer stays behind what came before it.
    Ping {
        /// Copied into the answer.
        timestamp: i64,
        /// What the client has seen.
        version_vector: Option<VersionVector>,
    },
    /// What the session shows of itself (type 100).
    Presence(Value),
    /// A client asks for everybody's presence (type 101).
    PresenceQuery,
    /// Broadcasts to the session were dropped because it reads too slowly; now it has read what
    /// was kept. Not from the wire.
    CatchUp {
        /// The version of the document before the first of them.
        since: Arc<VersionVector>,
    },
    /// The session ended.
    Leave,
}

impl RoomInput {
    /// Whether this message may create a document (if the server creates documents on demand).
    pub fn may_create(&self) -> bool {
        matches!(self, RoomInput::Handshake { .. })
    }
}

/// Something a room wants done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RoomOutput {
    /// Send to one session.
    Send {
        /// The session.
        session: SessionId,
        /// The message.
        message: Message,
    },
    /// Send to all of `sessions` but one.
    Broadcast {
        /// Those that were subscribed when it happened, in order of joining.
        sessions: Arc<[SessionId]>,
        /// Who does not get it.
        except: Option<SessionId>,
        /// The message; take `frame(framing)` of it.
        message: Arc<SharedMessage>,
    },
    /// A session is to get more, once it has read what was sent: until then broadcasts pass it by.
    Behind {
        /// The session.
        session: SessionId,
        /// What it will have then.
        missed: Missed,
    },
    /// What was sent to the session makes up for the broadcasts that passed it by: it gets them
    /// again from now on.
    CaughtUp {
        /// The session.
        session: SessionId,
    },
    /// Tell the application.
    Event(ServerEvent),
}

/// What a session has of a room, when broadcasts of the room passed it by.
#[derive(Clone, Debug, PartialEq)]
pub enum Missed {
    /// Everything up to this version of the document.
    After(Arc<VersionVector>),
    /// Every entry of a relay's log up to this one.
    AfterSeq(u64),
}

/// What a message led to.
#[derive(Clone, Debug, Default)]
pub struct RoomOutputs {
    /// The document changed: it must be on disk before any of `outputs`, and any of a later
    /// message of this room, leaves.
    pub persist: bool,
    /// In this order.
    pub outputs: Vec<RoomOutput>,
}

impl RoomOutputs {
    pub(in crate::sync) fn send(&mut self, session: &SessionId, message: Message) {
        self.outputs.push(RoomOutput::Send {
            session: session.clone(),
            message,
        });
    }

    pub(in crate::sync) fn event(&mut self, event: ServerEvent) {
        self.outputs.push(RoomOutput::Event(event));
    }
}

/// The sessions of one document. The document itself stays outside. Memory: bounded by the number
/// of connections and what each may remember (a vector and
/// [`refused_changes_max`](ServerOptions::refused_changes_max) ids).
#[derive(Debug)]
pub struct Room {
    lobby: Lobby,
    options: Arc<ServerOptions>,
    members: HashMap<SessionId, Member>,
    /// The version at which the document last refused a snapshot: not asked again there.
    snapshot_refused_at: Option<VersionVector>,
}

/// A session that sent something to this room.
#[derive(Debug, Default)]
struct Member {
    /// What it said it has seen, the last time it said so. May go backwards (trap 13).
    vector: Option<VersionVector>,
    /// It was told to synchronise although it never joined: its next status request is answered
    /// as a handshake is, so that it learns its session id (trap 3).
    owed_response: bool,
    out_of_sync_streak: u32,
    /// Changes of it that can never be applied, oldest first: what builds on them is dropped
    /// without asking for them again.
    refused: VecDeque<OperationId>,
}

impl Member {
    fn remember_refused(&mut self, change: OperationId, max: usize) {
        if self.refused.len() >= max {
            self.refused.pop_front();
        }
        self.refused.push_back(change);
    }
}

impl Room {
    /// A room without sessions.
    pub fn new(document_id: Arc<str>, options: Arc<ServerOptions>) -> Self {
        Room {
            lobby: Lobby::new(document_id, options.presence_bytes_max),
            options,
            members: HashMap::new(),
            snapshot_refused_at: None,
        }
    }

    /// The document.
    pub fn document_id(&self) -> &Arc<str> {
        &self.lobby.document_id
    }

    /// The subscribed sessions, in order of joining.
    pub fn sessions(&self) -> Arc<[SessionId]> {
        self.lobby.sessions()
    }

    /// No session that sent anything is left: nothing is lost by dropping the room.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Does what one message asks for. The cost is that of the document's answers plus, for
    /// changes, one encoding per broadcast.
    pub fn handle(
        &mut self,
        session: &SessionId,
        input: RoomInput,
        replica: &mut dyn Replica,
        now_ms: i64,
    ) -> RoomOutputs {
        let mut out = RoomOutputs::default();
        match input {
            RoomInput::Handshake {
                author,
                version_vector,
            } => {
                self.handshake(session, author, version_vector, replica, &mut out);
            }
            RoomInput::StatusRequest { version_vector } => {
                self.status_request(session, version_vector, replica, &mut out);
            }
            RoomInput::Changes(changes) => self.changes(session, changes, replica, &mut out),
            RoomInput::Ping {
                timestamp,
                version_vector,
            } => {
                self.lobby.pong(session, timestamp, now_ms, &mut out);
                self.ping(session, version_vector, replica, &mut out);
            }
            RoomInput::Presence(state) => self.lobby.show(session, state, &mut out),
            RoomInput::PresenceQuery => self.lobby.tell_presences(session, &mut out),
            RoomInput::CatchUp { since } => self.catch_up(session, &since, replica, &mut out),
            RoomInput::Leave => {
                self.members.remove(session);
                self.lobby.leave(session, &mut out);
            }
        }
        out
    }

    /// Tells the sessions what the application itself did to the document since it was at `seen`.
    pub fn document_changed(&mut self, seen: &VersionVector, replica: &dyn Replica) -> RoomOutputs {
        let mut out = RoomOutputs {
            persist: true,
            ..RoomOutputs::default()
        };
        let changes = causal::sorted(replica.changes_newer_than(seen));
        self.broadcast_changes(changes, None, replica, &mut out);
        out
    }

    /// Sends everybody the last snapshot of the document and what came after it: for an
    /// application that takes snapshots on its own (specification 4.5). Nothing without a snapshot.
    pub fn snapshot_taken(&mut self, replica: &dyn Replica) -> RoomOutputs {
        let mut out = RoomOutputs {
            persist: true,
            ..RoomOutputs::default()
        };
        if let Some(snapshot) = replica.last_snapshot() {
            let message = Message::DocumentStatus {
                document_id: self.wire_id(),
                snapshot: Some(snapshot.clone()),
                changes: Some(replica.changes_newer_than(snapshot.vector())),
                version_vector: replica.version_vector(),
            };
            self.lobby.broadcast(message, None, &mut out);
        }
        out
    }

    fn wire_id(&self) -> Wtf8String {
        self.lobby.wire_id()
    }

    fn handshake(
        &mut self,
        session: &SessionId,
        peer: PeerId,
        vector: VersionVector,
        replica: &mut dyn Replica,
        out: &mut RoomOutputs,
    ) {
        self.lobby.subscribe(session);
        let member = self.member(session);
        member.owed_response = false;
        member.out_of_sync_streak = 0;
        let response = Message::HandshakeResponse {
            document_id: self.wire_id(),
            snapshot: needed_snapshot(replica, Some(&vector)),
            changes: Some(replica.changes_newer_than(&vector)),
            session_id: session.to_string(),
            version_vector: replica.version_vector(),
        };
        out.send(session, response);
        self.lobby.appear(session, out);
        self.member(session).vector = Some(vector);
        out.event(ServerEvent::ClientHandshake {
            session: session.clone(),
            document_id: self.lobby.document_id.clone(),
            peer,
        });
        self.automatic_snapshot(replica, out);
    }

    fn status_request(
        &mut self,
        session: &SessionId,
        vector: Option<VersionVector>,
        replica: &mut dyn Replica,
        out: &mut RoomOutputs,
    ) {
        self.lobby.subscribe(session);
        let document_id = self.wire_id();
        let snapshot = needed_snapshot(replica, vector.as_ref());
        let changes = Some(match &vector {
            Some(seen) => replica.changes_newer_than(seen),
            None => replica.all_changes(),
        });
        let version_vector = replica.version_vector();
        let owed_response = std::mem::take(&mut self.member(session).owed_response);
        let answer = if owed_response {
            let session_id = session.to_string();
            Message::HandshakeResponse {
                document_id,
                snapshot,
                changes,
                session_id,
                version_vector,
            }
        } else {
            Message::DocumentStatus {
                document_id,
                snapshot,
                changes,
                version_vector,
            }
        };
        out.send(session, answer);
        out.event(ServerEvent::ClientDocumentStatusCreated {
            session: session.clone(),
            document_id: self.lobby.document_id.clone(),
        });
    }

    /// Everything instead of the broadcasts that were dropped; what is much in parts, so that one
    /// is all that waits for the session in memory.
    fn catch_up(
        &mut self,
        session: &SessionId,
        since: &VersionVector,
        replica: &dyn Replica,
        out: &mut RoomOutputs,
    ) {
        if !self.is_subscribed(session) {
            return;
        }
        let lacking = causal::sorted(replica.changes_newer_than(since));
        let mut parts = split(lacking, self.options.broadcast_bytes_max).into_iter();
        let part = parts.next().unwrap_or_default();
        let more = parts.next().is_some();
        let snapshot = needed_snapshot(replica, Some(since));
        let mut has = since.clone();
        if let Some(snapshot) = &snapshot {
            has.merge(snapshot.vector());
        }
        for change in &part {
            has.update(change.id.peer, change.id.hlc);
        }
        let message = Message::DocumentStatus {
            document_id: self.wire_id(),
            snapshot,
            changes: Some(part),
            version_vector: replica.version_vector(),
        };
        out.send(session, message);
        if more {
            return out.outputs.push(RoomOutput::Behind {
                session: session.clone(),
                missed: Missed::After(Arc::new(has)),
            });
        }
        self.lobby.tell_presences(session, out);
        out.outputs.push(RoomOutput::CaughtUp {
            session: session.clone(),
        });
    }

    fn ping(
        &mut self,
        session: &SessionId,
        vector: Option<VersionVector>,
        replica: &mut dyn Replica,
        out: &mut RoomOutputs,
    ) {
        if !self.is_subscribed(session) {
            return self.ask_to_join(session, out);
        }
        if vector.is_some() {
            self.member(session).vector = vector;
        }
        self.automatic_snapshot(replica, out);
    }

    /// A Dart client that dialled again without a handshake (trap 3).
    fn ask_to_join(&mut self, session: &SessionId, out: &mut RoomOutputs) {
        self.member(session).owed_response = true;
        self.tell_out_of_sync(session, None, out);
    }

    fn tell_out_of_sync(
        &mut self,
        session: &SessionId,
        missing: Option<OperationId>,
        out: &mut RoomOutputs,
    ) {
        let message = Message::Error {
            document_id: self.wire_id(),
            code: error_code::OUT_OF_SYNC.to_owned(),
            message: "Client is out of sync. Please re-sync.".to_owned(),
        };
        out.send(session, message);
        out.event(ServerEvent::ClientOutOfSync {
            session: session.clone(),
            document_id: self.lobby.document_id.clone(),
            missing,
        });
    }

    /// Takes a snapshot when every subscribed session has everything the document has, something
    /// is newer than the last snapshot, and enough is stored (specification 4.8; trap 14: an
    /// author that fell silent does not block it).
    fn automatic_snapshot(&mut self, replica: &mut dyn Replica, out: &mut RoomOutputs) {
        if !self.options.automatic_snapshot
            || replica.change_count() < self.options.snapshot_changes_min.max(1)
        {
            return;
        }
        let version = replica.version_vector();
        let aligned = self.lobby.sessions().iter().all(|session| {
            let vector = self
                .members
                .get(session)
                .and_then(|member| member.vector.as_ref());
            vector.is_some_and(|vector| vector.is_strictly_newer_or_equal_than(&version))
        });
        let worthwhile = replica.last_snapshot().is_none_or(|snapshot| {
            version.is_strictly_newer_or_equal_than(snapshot.vector())
                && version != *snapshot.vector()
        });
        if self.lobby.is_empty() || version.is_empty() || !aligned || !worthwhile {
            return;
        }
        if self.snapshot_refused_at.as_ref() == Some(&version) {
            return;
        }
        match replica.take_snapshot(true) {
            Ok(_) => {
                out.persist = true;
                out.event(ServerEvent::SnapshotCreated {
                    document_id: self.lobby.document_id.clone(),
                });
            }
            Err(error) => {
                self.snapshot_refused_at = Some(version);
                self.report(None, ServerError::SnapshotRefused(error), out);
            }
        }
    }

    fn report(&self, session: Option<&SessionId>, error: ServerError, out: &mut RoomOutputs) {
        self.lobby.report(session, error, out);
    }

    fn broadcast(&self, message: Message, except: Option<&SessionId>, out: &mut RoomOutputs) {
        self.lobby.broadcast(message, except, out);
    }

    fn is_subscribed(&self, session: &SessionId) -> bool {
        self.lobby.contains(session)
    }

    fn member(&mut self, session: &SessionId) -> &mut Member {
        self.members.entry(session.clone()).or_default()
    }
}

/// The snapshot, if the client lacks any of it: a snapshot that a client's own one does not
/// precede makes a Dart client ignore the changes beside it, too (trap 11).
fn needed_snapshot(replica: &dyn Replica, seen: Option<&VersionVector>) -> Option<Snapshot> {
    let snapshot = replica.last_snapshot()?;
    let covered = seen.is_some_and(|seen| seen.is_strictly_newer_or_equal_than(snapshot.vector()));
    (!covered).then(|| snapshot.clone())
}
