//! One connection of a server that speaks the native dialect, from the upgrade to its end.
//!
//! Layer: `net`. As `connection`: one task, which reads a frame, lets the protocol core and the rooms
//! handle it, and reads on; answers come back through the outbox, in turns.

use super::connection::{
    CLOSE_BEHIND, CLOSE_INTERNAL, CLOSE_NORMAL, CLOSE_STOPPING, Goodbye, LEAVE_ATTEMPTS_MAX,
    LEAVE_PAUSE, Stall,
};
use super::outbox::{Outbox, Unsettled};
use super::room::LiveRoom;
use super::rooms::Rooms;
use super::server_shared::{ServerShared, Session};
use super::socket::{Meter, Socket, SocketEvent};
use crate::sync::crdt_sync::{Refusal, ServerEvent, SessionId};
use crate::sync::native::{Access, Code, ConnectionAction, Join, RoomInput, ServerConnection};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, sleep_until};

/// When a client may try again to join a room that could not be opened.
const RETRY_AFTER_MS: u64 = 1_000;

struct Connection {
    server: Arc<ServerShared>,
    session: Arc<Session>,
    protocol: ServerConnection,
    /// Whether frames to the client may be deflated.
    deflate: bool,
    /// The rooms of this connection, by channel; holding them keeps them loaded.
    rooms: HashMap<u32, Arc<LiveRoom>>,
}

pub(super) async fn run<S>(
    server: Arc<ServerShared>,
    mut socket: Socket<S>,
    address: SocketAddr,
    meter: &Meter,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return socket.close(CLOSE_INTERNAL, "no random numbers").await;
    }
    let part_bytes = server.native.part_bytes;
    let session = Arc::new(Session {
        id: SessionId::from_random(random),
        address,
        outbox: Outbox::fair(server.options.outbound_bytes_max, part_bytes),
        framing: OnceLock::new(),
    });
    let now_ms = server.clock.now_ms();
    let protocol = ServerConnection::new(server.native.clone(), session.id.clone(), now_ms);
    let mut connection = Connection {
        server,
        session,
        protocol,
        deflate: false,
        rooms: HashMap::new(),
    };
    connection.open();
    let goodbye = connection.serve(&mut socket, meter).await;
    connection.end().await;
    if let Some(Goodbye { code, reason }) = goodbye {
        socket.drain(&connection.session.outbox).await;
        socket.close(code, &reason).await;
    }
}

impl Connection {
    fn open(&mut self) {
        let id = self.session.id.clone();
        let mut sessions = self.server.sessions.write();
        sessions.insert(id.clone(), self.session.clone());
        drop(sessions);
        // Whoever stops the server tells the sessions that it finds; this one came later.
        if *self.server.stopping.borrow() {
            let outbox = &self.session.outbox;
            outbox.close(CLOSE_STOPPING, "the server stops");
        }
        self.server.count(|counters| &counters.connections_total);
        self.server
            .event(&ServerEvent::ClientConnected { session: id });
    }

    /// Until the connection ends; how to say goodbye if the peer still listens.
    async fn serve<S>(&mut self, socket: &mut Socket<S>, meter: &Meter) -> Option<Goodbye>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stall = Stall::new(meter, &self.server);
        let outbox = self.session.outbox.clone();
        loop {
            let deadline = match outbox.may_read() {
                true => {
                    let clock = &self.server.clock;
                    let idle = clock.instant(self.protocol.next_deadline());
                    idle.min(stall.deadline(&outbox))
                }
                // What the peer sends is not read, so its silence means nothing.
                false => stall.deadline(&outbox),
            };
            let event = tokio::select! {
                biased;
                event = poll_fn(|context| socket.poll(context, &outbox)) => event,
                () = sleep_until(deadline) => {
                    if stall.is_stalled(&outbox) {
                        return Some(self.too_slow());
                    }
                    if outbox.may_read() {
                        let actions = self.protocol.tick(self.server.clock.now_ms());
                        if let Some(goodbye) = self.act(actions, None).await {
                            return Some(goodbye);
                        }
                    }
                    continue;
                }
            };
            match event {
                SocketEvent::Frame(frame) => {
                    if let Some(goodbye) = self.receive(&frame).await {
                        return Some(goodbye);
                    }
                }
                SocketEvent::Relieved => self.relieved(),
                SocketEvent::Closed { reason } => {
                    log::debug!(target: "server", "{}: {reason}", self.session.address);
                    return Some(Goodbye {
                        code: CLOSE_NORMAL,
                        reason: String::new(),
                    });
                }
                SocketEvent::Broken { code, reason } => return Some(Goodbye { code, reason }),
                SocketEvent::Overflow => return Some(self.too_slow()),
                SocketEvent::MayClose(closing) => {
                    return Some(Goodbye {
                        code: closing.code,
                        reason: closing.reason,
                    });
                }
            }
        }
    }

    fn too_slow(&self) -> Goodbye {
        self.server.count(|counters| &counters.slow_clients_dropped);
        Goodbye {
            code: CLOSE_BEHIND,
            reason: "too slow".to_owned(),
        }
    }

    async fn receive(&mut self, frame: &[u8]) -> Option<Goodbye> {
        self.server.count(|counters| &counters.messages_in);
        let unsettled = self.session.outbox.unsettled(frame.len());
        let actions = self.protocol.receive(frame, self.server.clock.now_ms());
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
                ConnectionAction::Send(outgoing) => {
                    if self.session.outbox.push_outgoing(outgoing) {
                        self.server.count(|counters| &counters.messages_out);
                    }
                }
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
                    let refused = self
                        .join(channel, &document_id, join, unsettled.take())
                        .await;
                    if let Err(code) = refused {
                        let retry_after_ms = match code {
                            Code::Unavailable => RETRY_AFTER_MS,
                            _ => 0,
                        };
                        let refusal = ServerConnection::refuse(channel, code, retry_after_ms);
                        self.answer(refusal);
                    }
                }
                ConnectionAction::ToRoom { channel, input, .. } => {
                    self.to_room(channel, input, unsettled.take()).await;
                }
                // Every session may do everything; a token changes nothing.
                ConnectionAction::Token { channel, .. } => {
                    let input = RoomInput::Access(Access::ALL);
                    self.to_room(channel, input, unsettled.take()).await;
                }
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
                ConnectionAction::Close { code, reason } => return Some(Goodbye { code, reason }),
            }
        }
        None
    }

    fn answer(&self, action: ConnectionAction) {
        if let ConnectionAction::Send(outgoing) = action {
            if self.session.outbox.push_outgoing(outgoing) {
                self.server.count(|counters| &counters.messages_out);
            }
        }
    }

    async fn join(
        &mut self,
        channel: u32,
        document_id: &Arc<str>,
        join: Join,
        unsettled: Option<Unsettled>,
    ) -> Result<(), Code> {
        let create = self.server.protocol.create_documents && join.write;
        let room = Rooms::get(&self.server, document_id, create)
            .await
            .map_err(|refusal| match refusal {
                Refusal::NotFound => Code::NotFound,
                Refusal::Forbidden => Code::Forbidden,
                _ => Code::Unavailable,
            })?;
        let input = RoomInput::Join {
            join,
            access: Access::ALL,
            deflate: self.deflate,
        };
        let handled = tokio::task::block_in_place(|| {
            room.handle_native(&self.server, &self.session.id, channel, input, unsettled)
        });
        handled.map_err(|_| Code::Unavailable)?;
        self.rooms.insert(channel, room);
        Ok(())
    }

    async fn to_room(&mut self, channel: u32, input: RoomInput, unsettled: Option<Unsettled>) {
        let leaves = matches!(input, RoomInput::Leave);
        let Some(room) = self.rooms.get(&channel).cloned() else {
            if leaves {
                self.answer(ServerConnection::left(channel));
            }
            return;
        };
        if leaves {
            self.rooms.remove(&channel);
            return leave(&self.server, &room, &self.session.id, channel).await;
        }
        let (server, session) = (&self.server, &self.session.id);
        let handled = tokio::task::block_in_place(|| {
            room.handle_native(server, session, channel, input, unsettled)
        });
        if handled.is_err() {
            // What was not handled is not acknowledged; a new connection compares.
            self.session.outbox.close(CLOSE_BEHIND, "try again later");
        }
    }

    /// The socket took what waited for it: what rooms left out is sent.
    fn relieved(&self) {
        for (channel, room) in &self.rooms {
            let (server, session) = (&self.server, &self.session.id);
            let handled = tokio::task::block_in_place(|| {
                room.handle_native(server, session, *channel, RoomInput::Ready, None)
            });
            if handled.is_err() {
                self.session.outbox.close(CLOSE_BEHIND, "try again later");
            }
        }
    }

    async fn end(&mut self) {
        self.server.sessions.write().remove(&self.session.id);
        for action in self.protocol.closed() {
            let ConnectionAction::ToRoom { channel, .. } = action else {
                continue;
            };
            if let Some(room) = self.rooms.remove(&channel) {
                leave(&self.server, &room, &self.session.id, channel).await;
            }
        }
        self.server.event(&ServerEvent::ClientDisconnected {
            session: self.session.id.clone(),
        });
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
        if left.is_ok() || room.is_broken() {
            return;
        }
        sleep(LEAVE_PAUSE).await;
    }
    log::warn!(target: "server", "room {:?} stays locked", room.document_id);
}
