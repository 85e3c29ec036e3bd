//! One connection of a server: from the accepted socket to its end.
//!
//! Layer: `net`. One task per connection: the head of the request, the WebSocket, then the dialect
//! that the client speaks. What the dialects share is in `link`, `authorize` and `rooms`.

use super::authorize::Permissions;
use super::crdt_connection;
use super::dialect::Dialect;
use super::http::{self, HeadError, RequestHead};
use super::link::{CLOSE_INTERNAL, CLOSE_STOPPING, CLOSE_UNSUPPORTED, Goodbye, Link, LinkEvent};
use super::native_connection;
use super::outbox::Outbox;
use super::pages;
use super::refusal::RefusalReason;
use super::server_shared::{ServerShared, Session};
use super::socket::{Meter, Metered, Socket, config};
use super::transport::Transport;
use crate::sync::crdt_sync::{ServerEvent, SessionId};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Serves one accepted socket until it ends.
pub(super) async fn serve(server: Arc<ServerShared>, stream: TcpStream, address: SocketAddr) {
    // Without it small answers wait for the peer's delayed acknowledgement; failing is harmless.
    let _ = stream.set_nodelay(true);
    let meter = Arc::new(Meter::default());
    let stream = Metered::new(stream, [meter.clone(), server.counters.bytes.clone()]);
    let mut stopping = server.stopping.subscribe();
    let upgraded = tokio::select! {
        upgraded = upgrade(&server, stream, address) => upgraded,
        _ = stopping.wait_for(|stopping| *stopping) => return,
    };
    if let Some(upgraded) = upgraded {
        run(server, upgraded, address, meter).await;
    }
}

/// A socket that speaks WebSocket from now on.
struct Upgraded {
    socket: Socket<Transport>,
    head: RequestHead,
    /// As far as the request tells.
    dialect: Option<Dialect>,
}

/// Reads the request and agrees to the WebSocket. `None`: it was something else, and answered.
async fn upgrade(server: &ServerShared, stream: Metered, address: SocketAddr) -> Option<Upgraded> {
    let patience = Duration::from_millis(server.options.handshake_timeout_ms.into());
    let deadline = Instant::now() + patience;
    let secured = timeout_at(deadline, secure(server, stream)).await;
    let Ok(Ok(mut stream)) = secured else {
        server.refuse(address, RefusalReason::Tls, "no TLS handshake");
        return None;
    };
    let reading = http::read_head(&mut stream, server.options.header_bytes_max);
    let received = match timeout_at(deadline, reading).await {
        Ok(Ok(received)) => received,
        Err(_) | Ok(Err(HeadError::Incomplete)) => {
            server.refuse(address, RefusalReason::RequestTime, "no request in time");
            return None;
        }
        Ok(Err(error)) => {
            let (reason, response) = match error {
                HeadError::TooLarge => (
                    RefusalReason::RequestSize,
                    http::refusal(431, "Request Header Fields Too Large"),
                ),
                _ => (RefusalReason::Request, http::refusal(400, "Bad Request")),
            };
            server.refuse(address, reason, "no request that can be read");
            // The peer may be slow with this, too.
            let _ = timeout_at(deadline, http::answer(&mut stream, &response)).await;
            return None;
        }
    };
    let head = received.head;
    if !head.is_upgrade() {
        let response = match pages::respond(server, &head) {
            Ok(response) => response,
            Err(missing) => {
                let reason = match missing {
                    pages::Missing::Page => RefusalReason::Request,
                    pages::Missing::Token => RefusalReason::AdminToken,
                };
                server.refuse(address, reason, "no such page, or not for everybody");
                missing.response()
            }
        };
        let _ = timeout_at(deadline, http::answer(&mut stream, &response)).await;
        return None;
    }
    if server.is_draining() {
        server.refuse(address, RefusalReason::Draining, "the server stops");
        let response = http::refusal(503, "Service Unavailable");
        let _ = timeout_at(deadline, http::answer(&mut stream, &response)).await;
        return None;
    }
    let dialect = Dialect::of_request(&head, &server.options.dialects);
    let subprotocol = dialect.and_then(Dialect::subprotocol);
    let agreed = http::accept_upgrade(&head, subprotocol);
    let Some(agreed) = agreed else {
        server.refuse(address, RefusalReason::Request, "not a sound upgrade");
        let response = http::refusal(400, "Bad Request");
        let _ = timeout_at(deadline, http::answer(&mut stream, &response)).await;
        return None;
    };
    if !matches!(
        timeout_at(deadline, stream.write_all(&agreed)).await,
        Ok(Ok(()))
    ) {
        server.refuse(
            address,
            RefusalReason::RequestTime,
            "it did not take the answer",
        );
        return None;
    }
    let config = config(server.options.message_bytes_max);
    let stream =
        WebSocketStream::from_partially_read(stream, received.rest, Role::Server, Some(config));
    Some(Upgraded {
        socket: Socket::new(stream.await),
        head,
        dialect,
    })
}

/// TLS, if the server has a certificate.
async fn secure(server: &ServerShared, stream: Metered) -> std::io::Result<Transport> {
    #[cfg(feature = "tls")]
    if let Some(identity) = &server.options.tls {
        return identity.accept(stream).await;
    }
    let _ = server;
    Ok(Transport::Plain(stream))
}

async fn run(
    server: Arc<ServerShared>,
    upgraded: Upgraded,
    address: SocketAddr,
    meter: Arc<Meter>,
) {
    let Upgraded {
        socket,
        head,
        dialect,
    } = upgraded;
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return socket.close(CLOSE_INTERNAL, "no random numbers").await;
    }
    let session = Arc::new(Session {
        id: SessionId::from_random(random),
        address,
        head: Arc::new(head),
        outbox: Outbox::new(server.options.outbound_bytes_max),
        permissions: Permissions::default(),
        dialect: OnceLock::new(),
        framing: OnceLock::new(),
        has_updated: AtomicBool::new(false),
    });
    open(&server, &session);
    let mut link = Link::new(server.clone(), session.clone(), socket, meter);
    let goodbye = serve_dialect(&mut link, dialect).await;
    server.sessions.write().remove(&session.id);
    server.event(&ServerEvent::ClientDisconnected {
        session: session.id.clone(),
    });
    link.close(goodbye).await;
}

fn open(server: &Arc<ServerShared>, session: &Arc<Session>) {
    server
        .sessions
        .write()
        .insert(session.id.clone(), session.clone());
    // Whoever stops the server tells the sessions that it finds; this one came later.
    if *server.stopping.borrow() {
        session.outbox.close(CLOSE_STOPPING, "the server stops");
    }
    server.count(|counters| &counters.connections_total);
    server.event(&ServerEvent::ClientConnected {
        session: session.id.clone(),
    });
}

/// Finds out which dialect the client speaks, and speaks it until the connection is over. What a
/// dialect put into the rooms it has taken out again when this returns.
async fn serve_dialect(link: &mut Link, dialect: Option<Dialect>) -> Goodbye {
    let first = match dialect {
        Some(_) => Bytes::new(),
        None => match first_frame(link).await {
            Ok(first) => first,
            Err(goodbye) => return goodbye,
        },
    };
    let limits = &link.server.protocol.limits;
    let dialect = match dialect {
        Some(dialect) => dialect,
        None => {
            let permit = match crdt_connection::may_become_large(&first) {
                // Fails only when closed, which nobody does.
                true => link.server.unpacking.acquire().await.ok(),
                false => None,
            };
            let dialect = tokio::task::block_in_place(|| Dialect::of_first_frame(&first, limits));
            drop(permit);
            dialect
        }
    };
    let dialect = *link.session.dialect.get_or_init(|| dialect);
    let served = &link.server.options.dialects;
    // Either mode of crdt_socket_sync has an answer for clients of the other.
    let is_crdt = |dialect: &Dialect| matches!(dialect, Dialect::CrdtSync | Dialect::CrdtRelay);
    let is_served = served.contains(&dialect) || is_crdt(&dialect) && served.iter().any(is_crdt);
    if !is_served {
        link.server
            .refuse(link.session.address, RefusalReason::Dialect, dialect.name());
        let reason = format!("{} is not served here", dialect.name());
        return Goodbye::new(CLOSE_UNSUPPORTED, reason);
    }
    log::debug!(target: "server", "{}: speaks {}", link.session.address, dialect.name());
    match dialect {
        Dialect::CrdtSync | Dialect::CrdtRelay => crdt_connection::serve(link, first).await,
        Dialect::Native => native_connection::serve(link).await,
    }
}

/// The first message, which tells the dialect.
async fn first_frame(link: &mut Link) -> Result<Bytes, Goodbye> {
    let patience_ms = i64::from(link.server.options.client_timeout_ms);
    let deadline_ms = link.server.clock.now_ms().saturating_add(patience_ms);
    match link.next(deadline_ms).await {
        LinkEvent::Frame(frame) => Ok(frame),
        LinkEvent::End(goodbye) => Err(goodbye),
        LinkEvent::Deadline
        | LinkEvent::Revoked(_)
        | LinkEvent::Behind(..)
        | LinkEvent::Relieved => Err(Goodbye::new(CLOSE_STOPPING, "idle")),
    }
}
