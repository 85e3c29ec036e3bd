//! A connection that speaks crdt_socket_sync, in the sync mode or the relay mode.
//!
//! Layer: `net`. Reads a frame, lets the protocol core and the rooms handle it, and reads on;
//! answers come back through the outbox.

use super::authorize::{Permission, admit};
use super::crdt_relay_rooms::JoinedRelay;
use super::dialect::Dialect;
use super::link::{CLOSE_BEHIND, CLOSE_FORBIDDEN, Goodbye, Link, LinkEvent};
use super::outbox::Unsettled;
use super::room::LiveRoom;
use super::rooms::{Live as _, Rooms};
use super::server_shared::{ServerShared, Session};
use crate::sync::crdt_relay::RelayInput;
use crate::sync::crdt_sync::{
    ConnectionAction, Framing, Missed, Refusal, RoomInput, ServerConnection, SessionId, frame,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Bytes;

/// How often a session tries to leave a room whose document is locked, and the pause between.
const LEAVE_ATTEMPTS_MAX: usize = 100;
const LEAVE_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Connection<'a> {
    link: &'a mut Link,
    pub(super) server: Arc<ServerShared>,
    pub(super) session: Arc<Session>,
    pub(super) protocol: ServerConnection,
    /// Rooms in which this connection was; holding them keeps them loaded.
    rooms: HashMap<Arc<str>, Joined>,
    pub(super) relays: HashMap<Arc<str>, JoinedRelay>,
}

struct Joined {
    room: Arc<LiveRoom>,
    permission: Arc<Permission>,
}

/// Serves a client whose first frame was `first`, until the connection is over.
pub(super) async fn serve(link: &mut Link, first: Bytes) -> Goodbye {
    let (server, session) = (link.server.clone(), link.session.clone());
    let protocol = ServerConnection::new(
        server.protocol.clone(),
        session.id.clone(),
        server.clock.now_ms(),
    );
    let mut connection = Connection {
        link,
        server,
        session,
        protocol,
        rooms: HashMap::new(),
        relays: HashMap::new(),
    };
    let goodbye = connection.serve(first).await;
    connection.end().await;
    goodbye
}

impl Connection<'_> {
    async fn serve(&mut self, first: Bytes) -> Goodbye {
        let mut event = LinkEvent::Frame(first);
        loop {
            let goodbye = match event {
                LinkEvent::Frame(frame) => self.receive(&frame).await,
                LinkEvent::Deadline => {
                    let actions = self.protocol.tick(self.server.clock.now_ms());
                    self.act(actions, None).await
                }
                // In this dialect nothing can end a subscription but the end of the connection.
                LinkEvent::Revoked(revoked) => {
                    Some(Goodbye::new(CLOSE_FORBIDDEN, &*revoked.reason))
                }
                LinkEvent::Behind(room, Missed::After(since)) => {
                    let input = RoomInput::CatchUp { since };
                    self.give_to_room(room, input, None).await;
                    None
                }
                LinkEvent::Behind(room, Missed::AfterSeq(after_seq)) => {
                    let input = RelayInput::CatchUp { after_seq };
                    self.give_to_relay(room, input, None).await;
                    None
                }
                LinkEvent::Relieved => None,
                LinkEvent::End(goodbye) => Some(goodbye),
            };
            if let Some(goodbye) = goodbye {
                return goodbye;
            }
            event = self.link.next(self.protocol.next_deadline()).await;
        }
    }

    async fn receive(&mut self, frame: &[u8]) -> Option<Goodbye> {
        let unsettled = self.session.outbox.unsettled(frame.len());
        let permit = match may_become_large(frame) {
            // Fails only when closed, which nobody does.
            true => self.server.unpacking.acquire().await.ok(),
            false => None,
        };
        let now_ms = self.server.clock.now_ms();
        let actions = tokio::task::block_in_place(|| self.protocol.receive(frame, now_ms));
        drop(permit);
        self.session.framing.get_or_init(|| self.protocol.framing());
        self.act(actions, Some(unsettled)).await
    }

    async fn act(
        &mut self,
        actions: Vec<ConnectionAction>,
        unsettled: Option<Unsettled>,
    ) -> Option<Goodbye> {
        let mut unsettled = unsettled;
        for action in actions {
            match action {
                ConnectionAction::ToRoom { document_id, input } => {
                    self.give_to_room(document_id, input, unsettled.take())
                        .await;
                }
                ConnectionAction::ToRelay { document_id, input } => {
                    self.give_to_relay(document_id, input, unsettled.take())
                        .await;
                }
                ConnectionAction::Close { code, reason } => {
                    return Some(Goodbye::new(code, reason));
                }
                other => self.answer(other),
            }
        }
        None
    }

    /// What needs no room.
    pub(super) fn answer(&self, action: ConnectionAction) {
        match action {
            ConnectionAction::Reply(message) => {
                self.link
                    .send(frame::encode(&message, self.protocol.framing()));
            }
            ConnectionAction::Event(event) => self.server.event(&event),
            _ => {}
        }
    }

    async fn give_to_room(
        &mut self,
        document_id: Arc<str>,
        input: RoomInput,
        unsettled: Option<Unsettled>,
    ) {
        let refused = match self.room(&document_id, &input).await {
            Ok(room) => {
                let (server, session) = (&self.server, &self.session.id);
                // The document may be locked by a transaction of the application.
                match tokio::task::block_in_place(|| room.handle(server, session, input, unsettled))
                {
                    Ok(()) => return,
                    Err((input, refusal)) => (input, refusal),
                }
            }
            Err(refusal) => (input, refusal),
        };
        let (input, refusal) = refused;
        let is_edit = matches!(input, RoomInput::Changes(_));
        // Who may only read stays in the room.
        if refusal != Refusal::Forbidden || !is_edit {
            self.rooms.remove(&document_id);
        }
        let is_catch_up = matches!(input, RoomInput::CatchUp { .. });
        if refusal == Refusal::Unavailable && (is_edit || is_catch_up) {
            // The client takes them for delivered; only a new connection makes it compare.
            self.session.outbox.close(CLOSE_BEHIND, "try again later");
        }
        let now_ms = self.server.clock.now_ms();
        let actions = self.protocol.refused(&document_id, &input, refusal, now_ms);
        actions.into_iter().for_each(|action| self.answer(action));
    }

    /// The room of a message, if the client may send it there.
    async fn room(
        &mut self,
        document_id: &Arc<str>,
        input: &RoomInput,
    ) -> Result<Arc<LiveRoom>, Refusal> {
        let is_edit = matches!(input, RoomInput::Changes(_));
        let now_ms = self.server.clock.now_ms();
        if let Some(joined) = self.rooms.get(document_id) {
            let allowed = match is_edit {
                true => joined.permission.can_write(now_ms),
                false => joined.permission.can_read(now_ms),
            };
            // What was revoked ends the connection with the next event.
            return match allowed || matches!(input, RoomInput::Leave) {
                true => Ok(joined.room.clone()),
                false => Err(Refusal::Forbidden),
            };
        }
        if matches!(input, RoomInput::Leave) {
            return Err(Refusal::NotFound);
        }
        let (server, session) = (&self.server, &self.session);
        let permission = admit(server, session, Dialect::CrdtSync, document_id, None).await?;
        let may_write = permission.can_write(now_ms);
        let create = may_write && self.server.protocol.create_documents && input.may_create();
        let room = Rooms::<LiveRoom>::get(&self.server, document_id, create).await;
        let room = room.inspect_err(|_| self.session.permissions.forget(document_id))?;
        let joined = Joined {
            room: room.clone(),
            permission,
        };
        self.rooms.insert(document_id.clone(), joined);
        match may_write || !is_edit {
            true => Ok(room),
            false => Err(Refusal::Forbidden),
        }
    }

    async fn end(&mut self) {
        for action in self.protocol.closed() {
            // The end of the session is reported by whoever reported its beginning.
            match action {
                ConnectionAction::ToRoom { document_id, .. } => {
                    if let Some(joined) = self.rooms.remove(&document_id) {
                        leave(&self.server, &joined.room, &self.session.id).await;
                    }
                }
                ConnectionAction::ToRelay { document_id, .. } => self.leave_relay(&document_id),
                _ => {}
            }
        }
    }
}

/// Whether unpacking a frame may take much memory: a compressed byte can stand for a thousand.
pub(super) fn may_become_large(frame: &[u8]) -> bool {
    const UNPACKED_BYTES: usize = 256 << 10;
    let factor = if Framing::of(frame) == Framing::Gzip {
        1_000
    } else {
        1
    };
    frame.len().saturating_mul(factor) > UNPACKED_BYTES
}

/// Takes a session out of a room. Tries again while the document is locked: a session that stays
/// would keep the room loaded.
async fn leave(server: &Arc<ServerShared>, room: &Arc<LiveRoom>, session: &SessionId) {
    for _ in 0..LEAVE_ATTEMPTS_MAX {
        let left =
            tokio::task::block_in_place(|| room.handle(server, session, RoomInput::Leave, None));
        if left.is_ok() || room.is_broken() {
            return;
        }
        sleep(LEAVE_PAUSE).await;
    }
    log::warn!(target: "server", "room {:?} stays locked", room.document_id);
}
