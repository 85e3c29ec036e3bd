//! A connection that speaks the native dialect.
//!
//! Layer: `net`. Reads a frame, lets the protocol core and the rooms handle it, and reads on;
//! answers come back through the outbox, in turns.

use super::authorize::{Permission, Revoked, admit};
use super::dialect::Dialect;
use super::link::{CLOSE_BEHIND, Goodbye, Link, LinkEvent};
use super::outbox::Unsettled;
use super::room::LiveRoom;
use super::rooms::{Live as _, Rooms};
use super::server_shared::{ServerShared, Session};
use crate::sync::crdt_sync::{Refusal, SessionId};
use crate::sync::native::{
    Access, Code, ConnectionAction, Join, Outgoing, RoomInput, ServerConnection,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// When a client may try again to join a room that could not be opened.
const RETRY_AFTER_MS: u64 = 1_000;
/// How often a session tries to leave a room whose document is locked, and the pause between.
const LEAVE_ATTEMPTS_MAX: usize = 100;
const LEAVE_PAUSE: Duration = Duration::from_secs(1);

struct Connection<'a> {
    link: &'a mut Link,
    server: Arc<ServerShared>,
    session: Arc<Session>,
    protocol: ServerConnection,
    /// Whether frames to the client may be deflated.
    deflate: bool,
    /// By channel; holding the rooms keeps them loaded.
    joined: HashMap<u32, Joined>,
    /// The last words are in the outbox: nothing more is taken.
    ends: bool,
}

struct Joined {
    document_id: Arc<str>,
    room: Arc<LiveRoom>,
    permission: Arc<Permission>,
    /// What the room was told of the permission.
    access: Access,
}

/// Serves a client until the connection is over.
pub(super) async fn serve(link: &mut Link) -> Goodbye {
    let (server, session) = (link.server.clone(), link.session.clone());
    session.outbox.take_turns(server.native.part_bytes);
    let now_ms = server.clock.now_ms();
    let protocol = ServerConnection::new(server.native.clone(), session.id.clone(), now_ms);
    let mut connection = Connection {
        link,
        server,
        session,
        protocol,
        deflate: false,
        joined: HashMap::new(),
        ends: false,
    };
    let goodbye = connection.serve().await;
    connection.end().await;
    goodbye
}

impl Connection<'_> {
    async fn serve(&mut self) -> Goodbye {
        loop {
            match self.link.next(self.protocol.next_deadline()).await {
                LinkEvent::Frame(_) if self.ends => {}
                LinkEvent::Frame(frame) => {
                    let unsettled = self.session.outbox.unsettled(frame.len());
                    let actions = self.protocol.receive(&frame, self.server.clock.now_ms());
                    self.act(actions, Some(unsettled)).await;
                }
                LinkEvent::Deadline => {
                    let actions = self.protocol.tick(self.server.clock.now_ms());
                    self.act(actions, None).await;
                }
                LinkEvent::Revoked(revoked) => self.revoked(&revoked),
                // Broadcasts of other dialects only pass a session by.
                LinkEvent::Behind(..) => {}
                LinkEvent::Relieved => self.relieved(),
                LinkEvent::End(goodbye) => return goodbye,
            }
        }
    }

    async fn act(&mut self, actions: Vec<ConnectionAction>, unsettled: Option<Unsettled>) {
        let mut unsettled = unsettled;
        for action in actions {
            match action {
                ConnectionAction::Send(outgoing) => self.send(outgoing),
                ConnectionAction::Greeted {
                    frame_bytes_max,
                    deflate,
                } => {
                    self.session.outbox.limit_parts(frame_bytes_max);
                    self.deflate = deflate;
                }
                ConnectionAction::Join {
                    channel,
                    document_id,
                    join,
                } => {
                    let joined = self.join(channel, document_id, join, unsettled.take());
                    if let Err(code) = joined.await {
                        let retry_after_ms = match code {
                            Code::Unavailable => RETRY_AFTER_MS,
                            _ => 0,
                        };
                        self.answer(ServerConnection::refuse(channel, code, retry_after_ms));
                    }
                }
                ConnectionAction::ToRoom {
                    channel,
                    input: RoomInput::Leave,
                    ..
                } => self.leave(channel).await,
                ConnectionAction::ToRoom { channel, input, .. } => {
                    self.give_checked(channel, input, unsettled.take());
                }
                ConnectionAction::Token {
                    channel,
                    document_id,
                    token,
                } => self.refresh(channel, &document_id, token).await,
                ConnectionAction::Application {
                    document_id,
                    message_type,
                    bytes,
                } => self.server.tell(|observer| {
                    let room = document_id.as_deref();
                    observer.application_message(&self.session.id, room, message_type, &bytes);
                }),
                ConnectionAction::Skipped { message_type } => {
                    log::debug!(target: "server", "{}: message of type {message_type} skipped", self.session.id);
                }
                ConnectionAction::Close { code, reason } => {
                    self.ends = true;
                    self.session.outbox.close(code, &reason);
                }
            }
        }
    }

    fn send(&self, outgoing: Outgoing) {
        if self.session.outbox.push_outgoing(outgoing) {
            self.server.count(|counters| &counters.messages_out);
        }
    }

    fn answer(&self, action: ConnectionAction) {
        if let ConnectionAction::Send(outgoing) = action {
            self.send(outgoing);
        }
    }

    async fn join(
        &mut self,
        channel: u32,
        document_id: Arc<str>,
        join: Join,
        unsettled: Option<Unsettled>,
    ) -> Result<(), Code> {
        let permission = self.admit(&document_id, &join.token).await?;
        let access = access_of(&permission, self.server.clock.now_ms());
        let create = access.write && join.write && self.server.protocol.create_documents;
        let room = Rooms::<LiveRoom>::get(&self.server, &document_id, create).await;
        let room = room.map_err(|refusal| {
            self.forget_permission(&document_id);
            code_of(refusal)
        })?;
        let deflate = self.deflate;
        let input = RoomInput::Join {
            join,
            access,
            deflate,
        };
        let (server, session) = (&self.server, &self.session.id);
        // The document may be locked by a transaction of the application.
        let handled = tokio::task::block_in_place(|| {
            room.handle_native(server, session, channel, input, unsettled)
        });
        if !handled {
            return Err(Code::Unavailable);
        }
        let joined = Joined {
            document_id,
            room,
            permission,
            access,
        };
        self.joined.insert(channel, joined);
        Ok(())
    }

    async fn admit(&self, document_id: &Arc<str>, token: &[u8]) -> Result<Arc<Permission>, Code> {
        let token = String::from_utf8_lossy(token);
        let token = (!token.is_empty()).then(|| token.into_owned());
        let permission = admit(
            &self.server,
            &self.session,
            Dialect::Native,
            document_id,
            token,
        );
        permission.await.map_err(code_of)
    }

    /// A fresh token: what it allows counts from now on. One that allows nothing ends the
    /// membership, as a revocation does.
    async fn refresh(&mut self, channel: u32, document_id: &Arc<str>, token: Vec<u8>) {
        let admitted = self.admit(document_id, &token).await;
        match (admitted, self.joined.get_mut(&channel)) {
            (Ok(permission), Some(joined)) => {
                joined.permission = permission;
                self.tell_access(channel, true);
            }
            (Err(Code::Unavailable), _) | (_, None) => {}
            (Err(_), Some(_)) => self.deny(channel),
        }
    }

    /// Tells the room what the session may do, if that changed, or the client waits for it.
    fn tell_access(&mut self, channel: u32, always: bool) {
        let now_ms = self.server.clock.now_ms();
        let Some(joined) = self.joined.get_mut(&channel) else {
            return;
        };
        let access = access_of(&joined.permission, now_ms);
        // What is revoked altogether comes as an event.
        if access.read && (always || access != joined.access) {
            joined.access = access;
            self.give(channel, RoomInput::Access(access), None);
        }
    }

    fn deny(&mut self, channel: u32) {
        let access = Access {
            read: false,
            write: false,
        };
        self.give(channel, RoomInput::Access(access), None);
    }

    fn revoked(&mut self, revoked: &Revoked) {
        let channels = self.joined.iter();
        let channels = channels.filter(|(_, joined)| joined.document_id == revoked.room);
        let channels: Vec<u32> = channels.map(|(channel, _)| *channel).collect();
        for channel in channels {
            self.deny(channel);
        }
    }

    fn give_checked(&mut self, channel: u32, input: RoomInput, unsettled: Option<Unsettled>) {
        if matches!(input, RoomInput::Changes(_) | RoomInput::Update { .. }) {
            // Clients of this dialect send nothing twice: each of these is one of the rate's.
            self.session.has_updated.store(true, Ordering::Relaxed);
        }
        self.tell_access(channel, false);
        let now_ms = self.server.clock.now_ms();
        let readable = |joined: &Joined| joined.permission.can_read(now_ms);
        if self.joined.get(&channel).is_some_and(readable) {
            self.give(channel, input, unsettled);
        }
    }

    fn give(&self, channel: u32, input: RoomInput, unsettled: Option<Unsettled>) {
        let Some(joined) = self.joined.get(&channel) else {
            return;
        };
        let (server, session) = (&self.server, &self.session.id);
        let handled = tokio::task::block_in_place(|| {
            joined
                .room
                .handle_native(server, session, channel, input, unsettled)
        });
        if !handled {
            // What was not handled is not acknowledged; a new connection compares.
            self.session.outbox.close(CLOSE_BEHIND, "try again later");
        }
    }

    /// The socket took what waited for it: what rooms left out is sent.
    fn relieved(&self) {
        for channel in self.joined.keys() {
            self.give(*channel, RoomInput::Ready, None);
        }
    }

    async fn leave(&mut self, channel: u32) {
        let Some(joined) = self.joined.remove(&channel) else {
            // It never reached its room.
            return self.answer(ServerConnection::left(channel));
        };
        self.forget_permission(&joined.document_id);
        leave(&self.server, &joined.room, &self.session.id, channel).await;
    }

    /// Only with the last channel of a document: a second one was refused, but the first goes on,
    /// and whoever revokes must find it.
    fn forget_permission(&self, document_id: &Arc<str>) {
        let mut joined = self.joined.values();
        if !joined.any(|joined| joined.document_id == *document_id) {
            self.session.permissions.forget(document_id);
        }
    }

    async fn end(&mut self) {
        for action in self.protocol.closed() {
            let ConnectionAction::ToRoom { channel, .. } = action else {
                continue;
            };
            if let Some(joined) = self.joined.remove(&channel) {
                leave(&self.server, &joined.room, &self.session.id, channel).await;
            }
        }
    }
}

fn access_of(permission: &Permission, now_ms: i64) -> Access {
    Access {
        read: permission.can_read(now_ms),
        write: permission.can_write(now_ms),
    }
}

fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::NotFound => Code::NotFound,
        Refusal::Forbidden => Code::Forbidden,
        _ => Code::Unavailable,
    }
}

/// Takes a session out of a room. Tries again while the document is locked: a session that stays
/// would keep the room loaded.
async fn leave(
    server: &Arc<ServerShared>,
    room: &Arc<LiveRoom>,
    session: &SessionId,
    channel: u32,
) {
    for _ in 0..LEAVE_ATTEMPTS_MAX {
        let left = tokio::task::block_in_place(|| {
            room.handle_native(server, session, channel, RoomInput::Leave, None)
        });
        if left || room.is_broken() {
            return;
        }
        sleep(LEAVE_PAUSE).await;
    }
    log::warn!(target: "server", "room {:?} stays locked", room.document_id);
}
