//! The sessions of a room, whatever the room holds: who is subscribed, what each shows of itself
//! (the awareness plugin, specification chapter 8), and how all are told.
//!
//! A session shows its own presence only: the name in its messages does not count (trap 16). The
//! states follow the answer to a handshake, because a client learns its name from it (trap 15).

use super::room::{RoomOutput, RoomOutputs};
use super::{Message, ServerError, ServerEvent, SessionId, SharedMessage};
use crate::codec::{Value, Wtf8String};
use crate::sync::awareness::{PresenceError, Presences, empty_state};
use std::collections::HashSet;
use std::sync::Arc;

#[derive(Debug)]
pub(in crate::sync) struct Lobby {
    pub document_id: Arc<str>,
    members: HashSet<SessionId>,
    /// `members` in order of joining; shared with broadcasts on their way.
    order: Arc<[SessionId]>,
    presences: Presences<SessionId>,
}

impl Lobby {
    pub fn new(document_id: Arc<str>, presence_bytes_max: usize) -> Self {
        Lobby {
            document_id,
            members: HashSet::new(),
            order: Arc::new([]),
            presences: Presences::new(presence_bytes_max),
        }
    }

    pub fn wire_id(&self) -> Wtf8String {
        Wtf8String::from(&*self.document_id)
    }

    /// The subscribed sessions, in order of joining.
    pub fn sessions(&self) -> Arc<[SessionId]> {
        self.order.clone()
    }

    pub fn contains(&self, session: &SessionId) -> bool {
        self.members.contains(session)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn subscribe(&mut self, session: &SessionId) {
        if self.members.insert(session.clone()) {
            self.order = self.order.iter().chain([session]).cloned().collect();
        }
    }

    /// A session left: the others get the full presence without it.
    pub fn leave(&mut self, session: &SessionId, out: &mut RoomOutputs) {
        if self.members.remove(session) {
            let left = self.order.iter().filter(|other| *other != session);
            self.order = left.cloned().collect();
        }
        if self.presences.remove(session) {
            self.broadcast(self.presence_of_all(), None, out);
        }
    }

    /// Sends to every subscribed session but one, if there is any.
    pub fn broadcast(&self, message: Message, except: Option<&SessionId>, out: &mut RoomOutputs) {
        let excluded = except.is_some_and(|session| self.contains(session));
        let sessions_reached = self.order.len() - usize::from(excluded);
        if sessions_reached == 0 {
            return;
        }
        out.outputs.push(RoomOutput::Broadcast {
            sessions: self.order.clone(),
            except: except.cloned(),
            message: SharedMessage::new(message),
        });
        let document_id = self.document_id.clone();
        out.event(ServerEvent::MessageBroadcasted {
            document_id,
            sessions_reached,
        });
    }

    pub fn report(&self, session: Option<&SessionId>, error: ServerError, out: &mut RoomOutputs) {
        out.event(ServerEvent::Error {
            session: session.cloned(),
            document_id: Some(self.document_id.clone()),
            error,
        });
    }

    pub fn pong(&self, session: &SessionId, timestamp: i64, now_ms: i64, out: &mut RoomOutputs) {
        let message = Message::Pong {
            document_id: self.wire_id(),
            original_timestamp: timestamp,
            response_timestamp: now_ms,
        };
        out.send(session, message);
        out.event(ServerEvent::ClientPingRequest {
            session: session.clone(),
        });
    }

    /// A session joined (again): the others see it, and it sees all.
    pub fn appear(&mut self, session: &SessionId, out: &mut RoomOutputs) {
        self.presences.join(session.clone());
        self.broadcast(self.presence(session, empty_state()), Some(session), out);
        self.tell_presences(session, out);
    }

    /// A session shows something; only subscribed ones are seen.
    pub fn show(&mut self, session: &SessionId, state: Value, out: &mut RoomOutputs) {
        if !self.contains(session) {
            return;
        }
        match self.presences.set(session.clone(), state.clone()) {
            Ok(()) => self.broadcast(self.presence(session, state), Some(session), out),
            Err(PresenceError::TooLarge) => {
                self.report(Some(session), ServerError::Limit("presence_bytes_max"), out);
            }
            Err(_) => self.report(Some(session), ServerError::InvalidPresence, out),
        }
    }

    /// Sends all states to one session; nothing while nobody shows anything.
    pub fn tell_presences(&self, session: &SessionId, out: &mut RoomOutputs) {
        if !self.presences.is_empty() {
            out.send(session, self.presence_of_all());
        }
    }

    fn presence(&self, session: &SessionId, metadata: Value) -> Message {
        Message::AwarenessUpdate {
            document_id: self.wire_id(),
            client_id: Wtf8String::from(session.as_str()),
            metadata,
        }
    }

    fn presence_of_all(&self) -> Message {
        let states = self.presences.iter();
        Message::AwarenessState {
            document_id: self.wire_id(),
            states: states
                .map(|(session, state)| (session.as_str().into(), state.clone()))
                .collect(),
        }
    }
}
