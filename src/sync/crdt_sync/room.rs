//! One document of a server: who is subscribed, what each has seen, and what follows from a
//! message.
//!
//! The numbers in comments ("trap 3") are rows of the table in chapter 10 of the specification:
//! what Dart peers do wrong, and the answer that still works with them.

mod changes;

use super::constants::error_code;
use super::{Message, ServerError, ServerEvent, ServerOptions, SessionId, SharedMessage};
use crate::clock::{OperationId, PeerId, VersionVector};
use crate::codec::{Change, Snapshot, Wtf8String};
use crate::replica::Replica;
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
    /// Tell the application.
    Event(ServerEvent),
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
    fn send(&mut self, session: &SessionId, message: Message) {
        self.outputs.push(RoomOutput::Send {
            session: session.clone(),
            message,
        });
    }

    fn event(&mut self, event: ServerEvent) {
        self.outputs.push(RoomOutput::Event(event));
    }
}

/// The sessions of one document. The document itself stays outside. Memory: bounded by the number
/// of connections and what each may remember (a vector and
/// [`refused_changes_max`](ServerOptions::refused_changes_max) ids).
#[derive(Debug)]
pub struct Room {
    document_id: Arc<str>,
    options: Arc<ServerOptions>,
    members: HashMap<SessionId, Member>,
    /// The subscribed members in order of joining; shared with broadcasts on their way.
    subscribed: Arc<[SessionId]>,
    /// The version at which the document last refused a snapshot: not asked again there.
    snapshot_refused_at: Option<VersionVector>,
}

/// A session that sent something to this room.
#[derive(Debug, Default)]
struct Member {
    subscribed: bool,
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
            document_id,
            options,
            members: HashMap::new(),
            subscribed: Arc::new([]),
            snapshot_refused_at: None,
        }
    }

    /// The document.
    pub fn document_id(&self) -> &Arc<str> {
        &self.document_id
    }

    /// The subscribed sessions, in order of joining.
    pub fn sessions(&self) -> Arc<[SessionId]> {
        self.subscribed.clone()
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
                out.send(session, self.pong(timestamp, now_ms));
                self.ping(session, version_vector, replica, &mut out);
            }
            RoomInput::Leave => self.leave(session),
        }
        out
    }

    /// Tells the sessions what the application itself did to the document since it was at `seen`.
    pub fn document_changed(&mut self, seen: &VersionVector, replica: &dyn Replica) -> RoomOutputs {
        let mut out = RoomOutputs {
            persist: true,
            ..RoomOutputs::default()
        };
        let changes = crate::sync::causal::sorted(replica.changes_newer_than(seen));
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
            self.broadcast(message, None, &mut out);
        }
        out
    }

    fn wire_id(&self) -> Wtf8String {
        Wtf8String::from(&*self.document_id)
    }

    fn handshake(
        &mut self,
        session: &SessionId,
        peer: PeerId,
        vector: VersionVector,
        replica: &mut dyn Replica,
        out: &mut RoomOutputs,
    ) {
        self.subscribe(session);
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
        self.member(session).vector = Some(vector);
        out.event(ServerEvent::ClientHandshake {
            session: session.clone(),
            document_id: self.document_id.clone(),
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
        self.subscribe(session);
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
            document_id: self.document_id.clone(),
        });
    }

    fn ping(
        &mut self,
        session: &SessionId,
        vector: Option<VersionVector>,
        replica: &mut dyn Replica,
        out: &mut RoomOutputs,
    ) {
        out.event(ServerEvent::ClientPingRequest {
            session: session.clone(),
        });
        if !self.is_subscribed(session) {
            return self.ask_to_join(session, out);
        }
        if vector.is_some() {
            self.member(session).vector = vector;
        }
        self.automatic_snapshot(replica, out);
    }

    fn pong(&self, timestamp: i64, now_ms: i64) -> Message {
        Message::Pong {
            document_id: self.wire_id(),
            original_timestamp: timestamp,
            response_timestamp: now_ms,
        }
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
            document_id: self.document_id.clone(),
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
        let aligned = self.subscribed.iter().all(|session| {
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
        if self.subscribed.is_empty() || version.is_empty() || !aligned || !worthwhile {
            return;
        }
        if self.snapshot_refused_at.as_ref() == Some(&version) {
            return;
        }
        match replica.take_snapshot(true) {
            Ok(_) => {
                out.persist = true;
                out.event(ServerEvent::SnapshotCreated {
                    document_id: self.document_id.clone(),
                });
            }
            Err(error) => {
                self.snapshot_refused_at = Some(version);
                self.report(None, ServerError::SnapshotRefused(error), out);
            }
        }
    }

    fn report(&self, session: Option<&SessionId>, error: ServerError, out: &mut RoomOutputs) {
        out.event(ServerEvent::Error {
            session: session.cloned(),
            document_id: Some(self.document_id.clone()),
            error,
        });
    }

    /// Sends to every subscribed session but one, if there is any.
    fn broadcast(&self, message: Message, except: Option<&SessionId>, out: &mut RoomOutputs) {
        let excluded = except.is_some_and(|session| self.is_subscribed(session));
        let sessions_reached = self.subscribed.len() - usize::from(excluded);
        if sessions_reached == 0 {
            return;
        }
        out.outputs.push(RoomOutput::Broadcast {
            sessions: self.subscribed.clone(),
            except: except.cloned(),
            message: SharedMessage::new(message),
        });
        let document_id = self.document_id.clone();
        out.event(ServerEvent::MessageBroadcasted {
            document_id,
            sessions_reached,
        });
    }

    fn is_subscribed(&self, session: &SessionId) -> bool {
        self.members
            .get(session)
            .is_some_and(|member| member.subscribed)
    }

    fn member(&mut self, session: &SessionId) -> &mut Member {
        self.members.entry(session.clone()).or_default()
    }

    fn subscribe(&mut self, session: &SessionId) {
        let member = self.member(session);
        if !member.subscribed {
            member.subscribed = true;
            self.subscribed = self.subscribed.iter().chain([session]).cloned().collect();
        }
    }

    fn leave(&mut self, session: &SessionId) {
        if self
            .members
            .remove(session)
            .is_some_and(|member| member.subscribed)
        {
            self.subscribed = self
                .subscribed
                .iter()
                .filter(|other| *other != session)
                .cloned()
                .collect();
        }
    }
}

/// The snapshot, if the client lacks any of it: a snapshot that a client's own one does not
/// precede makes a Dart client ignore the changes beside it, too (trap 11).
fn needed_snapshot(replica: &dyn Replica, seen: Option<&VersionVector>) -> Option<Snapshot> {
    let snapshot = replica.last_snapshot()?;
    let covered = seen.is_some_and(|seen| seen.is_strictly_newer_or_equal_than(snapshot.vector()));
    (!covered).then(|| snapshot.clone())
}
