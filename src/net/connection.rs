//! One connection of a server: from the accepted socket to its end.
//!
//! Layer: `net`. One task per connection. It reads a frame, lets the protocol core and the rooms
//! handle it, and reads on; answers come back through the outbox.

use super::native_connection;
use super::outbox::{Outbox, Unsettled};
use super::room::LiveRoom;
use super::rooms::Rooms;
use super::server_shared::{ServerShared, Session};
use super::socket::{Meter, Metered, Socket, SocketEvent, config};
use crate::sync::crdt_sync::{
    ConnectionAction, Framing, Refusal, RoomInput, ServerConnection, SessionId, frame,
};
use crate::sync::native::SUBPROTOCOL;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;

/// Close codes of the transport itself.
pub(super) const CLOSE_BEHIND: u16 = 1013;
pub(super) const CLOSE_NORMAL: u16 = 1000;
pub(super) const CLOSE_STOPPING: u16 = 1001;
pub(super) const CLOSE_INTERNAL: u16 = 1011;
/// How often a session tries to leave a room whose document is locked, and the pause between.
pub(super) const LEAVE_ATTEMPTS_MAX: usize = 100;
pub(super) const LEAVE_PAUSE: Duration = Duration::from_secs(1);
/// The answer to a request that is no WebSocket upgrade.
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How a connection ends.
pub(super) struct Goodbye {
    pub code: u16,
    pub reason: String,
}

struct Connection {
    server: Arc<ServerShared>,
    session: Arc<Session>,
    protocol: ServerConnection,
    /// Rooms in which this connection was; holding them keeps them loaded.
    rooms: HashMap<Arc<str>, Arc<LiveRoom>>,
}

/// Serves one accepted socket until it ends.
pub(super) async fn serve(server: Arc<ServerShared>, stream: TcpStream, address: SocketAddr) {
    // Without it small answers wait for the peer's delayed acknowledgement; failing is harmless.
    let _ = stream.set_nodelay(true);
    let meter = Arc::new(Meter::default());
    let mut stream = Metered::new(stream, [meter.clone(), server.counters.bytes.clone()]);
    let deadline = Duration::from_millis(server.options.handshake_timeout_ms.into());
    let config = config(server.options.message_bytes_max);
    let mut native = false;
    let choose = |request: &Request, mut response: Response| {
        native = asks_for_native(request);
        if native {
            let value = HeaderValue::from_static(SUBPROTOCOL);
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        Ok(response)
    };
    let upgrade = accept_hdr_async_with_config(&mut stream, choose, Some(config));
    let mut stopping = server.stopping.subscribe();
    let upgraded = tokio::select! {
        upgraded = timeout(deadline, upgrade) => upgraded,
        _ = stopping.wait_for(|stopping| *stopping) => return,
    };
    match upgraded {
        Ok(Ok(upgraded)) if native => {
            native_connection::run(server, Socket::new(upgraded), address, &meter).await;
        }
        Ok(Ok(upgraded)) => run(server, Socket::new(upgraded), address, &meter).await,
        Ok(Err(error)) => {
            log::debug!(target: "server", "{address}: no WebSocket: {error}");
            server.refuse(address, "not a WebSocket request");
            // The peer may be gone already.
            let _ = timeout(deadline, stream.write_all(BAD_REQUEST)).await;
        }
        Err(_) => server.refuse(address, "no WebSocket request in time"),
    }
}

/// Whether the client offers the native dialect.
fn asks_for_native(request: &Request) -> bool {
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut names = offers
        .iter()
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offer| offer.split(','));
    names.any(|name| name.trim() == SUBPROTOCOL)
}

async fn run<S>(
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
    let session = Arc::new(Session {
        id: SessionId::from_random(random),
        address,
        outbox: Outbox::new(server.options.outbound_bytes_max),
        framing: OnceLock::new(),
    });
    let protocol = ServerConnection::new(
        server.protocol.clone(),
        session.id.clone(),
        server.clock.now_ms(),
    );
    let mut connection = Connection {
        server,
        session,
        protocol,
        rooms: HashMap::new(),
    };
    connection.open();
    let goodbye = connection.serve(&mut socket, meter).await;
    connection.end().await;
    if let Some(Goodbye { code, reason }) = goodbye {
        socket.close(code, &reason).await;
    }
}

impl Connection {
    fn open(&mut self) {
        let id = self.session.id.clone();
        self.server
            .sessions
            .write()
            .insert(id, self.session.clone());
        // Whoever stops the server tells the sessions that it finds; this one came later.
        if *self.server.stopping.borrow() {
            self.session
                .outbox
                .close(CLOSE_STOPPING, "the server stops");
        }
        self.server.count(|counters| &counters.connections_total);
        if let ConnectionAction::Event(event) = self.protocol.opened() {
            self.server.event(&event);
        }
    }

    /// Until the connection ends; how to say goodbye if the peer still listens.
    async fn serve<S>(&mut self, socket: &mut Socket<S>, meter: &Meter) -> Option<Goodbye>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stall = Stall::new(meter, &self.server);
        loop {
            let outbox = self.session.outbox.clone();
            let deadline = match outbox.may_read() {
                true => self
                    .server
                    .clock
                    .instant(self.protocol.next_deadline())
                    .min(stall.deadline(&outbox)),
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
                    if !outbox.may_read() {
                        continue;
                    }
                    let actions = self.protocol.tick(self.server.clock.now_ms());
                    if let Some(goodbye) = self.act(actions, None).await {
                        return Some(goodbye);
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
                SocketEvent::Closed { reason } => {
                    log::debug!(target: "server", "{}: {reason}", self.session.address);
                    // Answers the peer's close frame, if that is what it was.
                    return Some(Goodbye {
                        code: CLOSE_NORMAL,
                        reason: String::new(),
                    });
                }
                SocketEvent::Broken { code, reason } => return Some(Goodbye { code, reason }),
                SocketEvent::Relieved => {}
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
                ConnectionAction::Close { code, reason } => {
                    return Some(Goodbye {
                        code,
                        reason: reason.to_owned(),
                    });
                }
                other => self.answer(other),
            }
        }
        None
    }

    /// What needs no room.
    fn answer(&self, action: ConnectionAction) {
        match action {
            ConnectionAction::Reply(message) => {
                let frame = frame::encode(&message, self.protocol.framing());
                if self.session.outbox.push(frame.into()) {
                    self.server.count(|counters| &counters.messages_out);
                }
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
        self.rooms.remove(&document_id);
        if refusal == Refusal::Unavailable && matches!(input, RoomInput::Changes(_)) {
            // The client takes them for delivered; only a new connection makes it compare.
            self.session.outbox.close(CLOSE_BEHIND, "try again later");
        }
        let now_ms = self.server.clock.now_ms();
        let actions = self.protocol.refused(&document_id, &input, refusal, now_ms);
        actions.into_iter().for_each(|action| self.answer(action));
    }

    async fn room(
        &mut self,
        document_id: &Arc<str>,
        input: &RoomInput,
    ) -> Result<Arc<LiveRoom>, Refusal> {
        if let Some(room) = self.rooms.get(document_id) {
            return Ok(room.clone());
        }
        if matches!(input, RoomInput::Leave) {
            return Err(Refusal::NotFound);
        }
        let create = self.server.protocol.create_documents && input.may_create();
        let room = Rooms::get(&self.server, document_id, create).await?;
        self.rooms.insert(document_id.clone(), room.clone());
        Ok(room)
    }

    async fn end(&mut self) {
        self.server.sessions.write().remove(&self.session.id);
        for action in self.protocol.closed() {
            match action {
                ConnectionAction::ToRoom { document_id, .. } => {
                    if let Some(room) = self.rooms.remove(&document_id) {
                        leave(&self.server, &room, &self.session.id).await;
                    }
                }
                other => self.answer(other),
            }
        }
    }
}

/// Whether unpacking a frame may take much memory: a compressed byte can stand for a thousand.
fn may_become_large(frame: &[u8]) -> bool {
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

/// Notices a peer that takes nothing of what waits for it.
pub(super) struct Stall<'a> {
    meter: &'a Meter,
    patience: Duration,
    written: u64,
    since: Instant,
}

impl<'a> Stall<'a> {
    pub fn new(meter: &'a Meter, server: &ServerShared) -> Self {
        let patience = Duration::from_millis(server.options.client_timeout_ms.into());
        Stall {
            meter,
            patience,
            written: 0,
            since: Instant::now(),
        }
    }

    /// When to look again.
    pub fn deadline(&mut self, outbox: &Outbox) -> Instant {
        let written = self.meter.written.load(Ordering::Relaxed);
        if written != self.written || outbox.unsent_bytes() == 0 {
            self.written = written;
            self.since = Instant::now();
        }
        self.since + self.patience
    }

    pub fn is_stalled(&mut self, outbox: &Outbox) -> bool {
        outbox.unsent_bytes() > 0 && self.deadline(outbox) <= Instant::now()
    }
}
