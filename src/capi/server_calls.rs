//! Section 29, functions: what a server does. Its types and events are in `server`.

use super::client::{ProtocolArg, syncline_compression, syncline_protocol};
use super::delivery_thread::with_signals_blocked;
use super::document::syncline_document;
use super::document_core::{DocumentCore, Parent};
use super::error::{Error, syncline_error_domain};
use super::event::{number, object, string};
use super::guard::{Answer, Caller, guard, or_size, question};
use super::handle::{self, handle};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::payload::Payload;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::reports::ServerReport;
use super::server::*;
use super::sources::Listeners;
use super::store::StoreCore;
use super::types::*;
use crate::document::TextUnit;
use crate::net::{RefusalReason, Server, ServerObserver, ServerOptions};
use crate::store::StoreError;
use crate::sync::crdt_sync::{ServerError, ServerEvent};
use parking_lot::{Condvar, Mutex};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server as C knows it.
pub(crate) struct ServerCore {
    server: Server,
    host: String,
    listeners: Arc<Listeners>,
    running: Arc<Running>,
    /// Keeps the store's subscriptions alive as long as it is used.
    _store: Option<Arc<StoreCore>>,
}

handle!(syncline_server, ServerCore, Server);

/// Whether it runs, for those who wait for the end.
#[derive(Default)]
struct Running {
    state: Mutex<bool>,
    changed: Condvar,
}

impl Running {
    fn set(&self, running: bool) {
        *self.state.lock() = running;
        self.changed.notify_all();
    }
}

/// How long a server that is freed while it runs may take to end.
const FREE_DRAIN: Duration = Duration::from_secs(2);

impl Drop for ServerCore {
    fn drop(&mut self) {
        // Before CLOSED is sent, so that CLOSED is the last event.
        if let Err(error) = self.server.stop(FREE_DRAIN) {
            log::error!(target: "server", "freed with unstored changes: {error}");
        }
        self.running.set(false);
        self.listeners.close();
    }
}

/// Turns what the server's threads tell into events.
struct Reporter(Arc<Listeners>);

impl ServerObserver for Reporter {
    fn event(&self, event: &ServerEvent) {
        self.0.tell(Payload::Server(report(event)));
    }

    fn room_opened(&self, room: &str) {
        self.0.tell(Payload::Server(ServerReport {
            room: room.to_owned(),
            ..blank(syncline_server_event_kind::SYNCLINE_SERVER_ROOM_OPENED)
        }));
    }

    fn room_closed(&self, room: &str) {
        self.0.tell(Payload::Server(ServerReport {
            room: room.to_owned(),
            ..blank(syncline_server_event_kind::SYNCLINE_SERVER_ROOM_CLOSED)
        }));
    }

    fn refused(&self, address: SocketAddr, _reason: RefusalReason, reason: &str) {
        self.0.tell(Payload::Server(ServerReport {
            message: address.to_string(),
            failure: Some(Error::new(SYNCLINE_ERROR_LIMIT, reason.to_owned()).into()),
            ..blank(syncline_server_event_kind::SYNCLINE_SERVER_CLIENT_REFUSED)
        }));
    }
}

fn blank(kind: syncline_server_event_kind) -> ServerReport {
    ServerReport {
        kind,
        client: String::new(),
        room: String::new(),
        message: String::new(),
        failure: None,
    }
}

fn report(event: &ServerEvent) -> ServerReport {
    use syncline_server_event_kind::*;
    let with = |kind, session: Option<&str>, room: Option<&str>, message: String| ServerReport {
        client: session.unwrap_or_default().to_owned(),
        room: room.unwrap_or_default().to_owned(),
        message,
        ..blank(kind)
    };
    let none = String::new;
    match event {
        ServerEvent::Started => blank(SYNCLINE_SERVER_STARTED),
        ServerEvent::Stopped => blank(SYNCLINE_SERVER_STOPPED),
        ServerEvent::ClientConnected { session } => with(
            SYNCLINE_SERVER_CLIENT_CONNECTED,
            Some(session.as_str()),
            None,
            none(),
        ),
        ServerEvent::ClientHandshake {
            session,
            document_id,
            peer,
        } => with(
            SYNCLINE_SERVER_CLIENT_HANDSHAKE,
            Some(session.as_str()),
            Some(document_id),
            peer.to_string(),
        ),
        ServerEvent::ClientDocumentStatusCreated {
            session,
            document_id,
        } => with(
            SYNCLINE_SERVER_CLIENT_DOCUMENT_STATUS_CREATED,
            Some(session.as_str()),
            Some(document_id),
            none(),
        ),
        ServerEvent::ClientChangeApplied {
            session,
            document_id,
            change,
        } => with(
            SYNCLINE_SERVER_CLIENT_CHANGE_APPLIED,
            Some(session.as_str()),
            Some(document_id),
            change.to_string(),
        ),
        ServerEvent::RelayPushed {
            session,
            document_id,
            seq,
            ..
        } => with(
            SYNCLINE_SERVER_CLIENT_CHANGE_APPLIED,
            Some(session.as_str()),
            Some(document_id),
            seq.to_string(),
        ),
        ServerEvent::ClientPingRequest { session } => with(
            SYNCLINE_SERVER_CLIENT_PING_REQUEST,
            Some(session.as_str()),
            None,
            none(),
        ),
        ServerEvent::ClientDisconnected { session } => with(
            SYNCLINE_SERVER_CLIENT_DISCONNECTED,
            Some(session.as_str()),
            None,
            none(),
        ),
        ServerEvent::ClientOutOfSync {
            session,
            document_id,
            missing,
        } => with(
            SYNCLINE_SERVER_CLIENT_OUT_OF_SYNC,
            Some(session.as_str()),
            Some(document_id),
            missing.map_or_else(none, |missing| missing.to_string()),
        ),
        ServerEvent::MessageBroadcasted {
            document_id,
            sessions_reached,
        } => with(
            SYNCLINE_SERVER_MESSAGE_BROADCASTED,
            None,
            Some(document_id),
            sessions_reached.to_string(),
        ),
        ServerEvent::MessageSent { session } => with(
            SYNCLINE_SERVER_MESSAGE_SENT,
            Some(session.as_str()),
            None,
            none(),
        ),
        ServerEvent::SnapshotCreated { document_id } => with(
            SYNCLINE_SERVER_SNAPSHOT_CREATED,
            None,
            Some(document_id),
            none(),
        ),
        ServerEvent::Error {
            session,
            document_id,
            error,
        } => ServerReport {
            failure: Some(refusal(error).into()),
            ..with(
                SYNCLINE_SERVER_ERROR,
                session.as_ref().map(|session| session.as_str()),
                document_id.as_deref(),
                none(),
            )
        },
    }
}

fn refusal(error: &ServerError) -> Error {
    let status = match error {
        ServerError::Frame(_) | ServerError::InvalidChange { .. } => SYNCLINE_ERROR_MALFORMED,
        ServerError::Forbidden => SYNCLINE_ERROR_FORBIDDEN,
        ServerError::Limit(_) => SYNCLINE_ERROR_LIMIT,
        ServerError::ChangeRefused { error, .. } | ServerError::SnapshotRefused(error) => {
            return error.clone().into();
        }
        _ => SYNCLINE_ERROR_PROTOCOL,
    };
    Error::new(status, format!("{error:?}"))
}

/// Whether these are bits of protocols that this version speaks.
fn is_known_protocols(bits: u32) -> bool {
    bits & !(1 << syncline_protocol::SYNCLINE_PROTOCOL_CRDT_SYNC as u32) == 0
}

/// The options in the terms of `net`, and the store.
fn read_options(
    caller: Caller<'_>,
    given: &syncline_server_options,
) -> Result<(ServerOptions, Option<Arc<StoreCore>>), Error> {
    let compression = given.compression;
    let other = given.metrics_port > 0
        || !is_known_protocols(given.protocols)
        || !given.hooks.is_null()
        || given.authorize_by_request != 0
        || compression > syncline_compression::SYNCLINE_COMPRESSION_GZIP as u32
        || !given.compressor.is_null()
        || given.tls_certificate_pem.len > 0
        || given.tls_key_pem.len > 0
        || given.compact_threshold > 0
        || given.rate_messages_per_s > 0
        || given.document_bytes_max > 0;
    if other {
        return Err(Error::unsupported(
            "an option of the server needs a later version",
        ));
    }
    let mut options = ServerOptions::default();
    let host = caller.text(given.host, "host")?;
    options.host = if host.is_empty() { "127.0.0.1" } else { host }.to_owned();
    options.port = given.port;
    let or = |given: u32, otherwise: u32| if given == 0 { otherwise } else { given };
    options.connections_max = or_size(given.connections_max.into(), options.connections_max);
    options.rooms_max = or_size(given.rooms_max.into(), options.rooms_max);
    options.worker_threads = or_size(given.worker_threads.into(), options.worker_threads);
    options.client_timeout_ms = or(given.client_timeout_ms, options.client_timeout_ms);
    options.room_idle_ms = or(given.room_idle_ms, options.room_idle_ms);
    options.message_bytes_max = or_size(given.message_bytes_max, options.message_bytes_max);
    options.outbound_bytes_max = or_size(given.outbound_bytes_max, options.outbound_bytes_max);
    let store = caller.object_or_null(given.store)?.cloned();
    Ok((options, store))
}

/// Makes a server; it does not listen yet.
///
/// @param options     NULL: the defaults
/// @param out_server  free it with syncline_server_free
/// @return UNSUPPORTED for options of later versions
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_new(
    options: *const syncline_server_options,
    out_server: *mut *mut syncline_server,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_server, "out_server")?;
        let (options, store) = read_options(caller, &caller.sized(options, "options")?)?;
        let host = options.host.clone();
        let server = Server::new(options, store.as_ref().map(|core| core.store().clone()));
        let listeners = Arc::new(Listeners::default());
        server.add_observer(Arc::new(Reporter(listeners.clone())));
        let running = Arc::default();
        out.give_handle(ServerCore {
            server,
            host,
            listeners,
            running,
            _store: store,
        })
    })
}

/// Gives a handle back. With the last one the server stops: clients get a goodbye, everything is
/// stored.
///
/// @param server  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_free(server: *mut syncline_server) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(server) }
}

/// One more handle to the same server.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_retain(
    server: *mut syncline_server,
) -> *mut syncline_server {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(server) }
}

/// Starts serving; listening when it returns OK.
///
/// @return ALREADY_EXISTS if it runs; READ_ONLY for a read-only store; IO if the address cannot be
///         used
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_start(server: *mut syncline_server) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(server)?;
        with_signals_blocked(|| core.server.start()).map_err(io_error)?;
        core.running.set(true);
        Ok(SYNCLINE_OK)
    })
}

fn io_error(error: std::io::Error) -> Error {
    let status = match error.kind() {
        std::io::ErrorKind::AlreadyExists => SYNCLINE_ERROR_ALREADY_EXISTS,
        std::io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            SYNCLINE_ERROR_READ_ONLY
        }
        _ => SYNCLINE_ERROR_IO,
    };
    let code = error.raw_os_error();
    let domain = match code {
        Some(_) => syncline_error_domain::SYNCLINE_ERROR_DOMAIN_OS,
        None => syncline_error_domain::SYNCLINE_ERROR_DOMAIN_NONE,
    };
    Error::new(status, error.to_string()).coded(domain, code.unwrap_or(0).into())
}

/// Stops serving: no new clients, everything is stored, goodbye to the clients. Can be started
/// again.
///
/// @param drain_ms  how long that may take
/// @return UNCHANGED if it does not run; TIMEOUT or a store error: it is stopped, but not
///         everything was stored
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_stop(
    server: *mut syncline_server,
    drain_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(server)?;
        if !core.server.is_running() {
            return Ok(SYNCLINE_UNCHANGED);
        }
        let stopped = core.server.stop(Duration::from_millis(drain_ms.into()));
        core.running.set(false);
        match stopped {
            Ok(()) => Ok(SYNCLINE_OK),
            Err(StoreError::Timeout) => Ok(SYNCLINE_TIMEOUT),
            Err(error) => Err(error.into()),
        }
    })
}

/// Whether it listens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_is_running(server: *const syncline_server) -> bool {
    question!(false, |caller| Ok(caller
        .object(server)?
        .server
        .is_running()))
}

/// Waits until somebody stopped it.
///
/// @return TIMEOUT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_wait_stopped(
    server: *mut syncline_server,
    timeout_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        let running = caller.object(server)?.running.clone();
        let deadline = Instant::now() + Duration::from_millis(timeout_ms.into());
        let mut state = running.state.lock();
        while *state {
            if running.changed.wait_until(&mut state, deadline).timed_out() && *state {
                return Ok(SYNCLINE_TIMEOUT);
            }
        }
        Ok(SYNCLINE_OK)
    })
}

/// The port it listens on; 0 while it does not run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_port(server: *const syncline_server) -> u16 {
    question!(0, |caller| {
        Ok(caller
            .object(server)?
            .server
            .address()
            .map_or(0, |address| address.port()))
    })
}

/// The address it listens on, or the name it was given while it does not run.
///
/// @param out_host  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_host(
    server: *const syncline_server,
    out_host: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_host, "out_host")?;
        let core = caller.object(server)?;
        let address = core
            .server
            .address()
            .map(|address| address.ip().to_string());
        let host = address.unwrap_or_else(|| core.host.clone());
        out.give(syncline_buffer::from_vec(host.into_bytes()))
    })
}

/// Asks for SERVER and CLOSED events. The subscription does not keep the server alive.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_subscribe(
    server: *mut syncline_server,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            Ok(caller.object(server)?.listeners.add(subscription))
        })
    )
}

/// The connected clients: key = client id, value = {"address", "unsent_bytes"}.
///
/// @param room          "" = all
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_iterate_clients(
    server: *const syncline_server,
    room: syncline_string,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let room = caller.text(room, "room")?;
        let clients = caller
            .object(server)?
            .server
            .clients((!room.is_empty()).then_some(room));
        out.give_handle(IteratorCore::new(clients.into_iter().map(|client| Item {
            key: client.id,
            value: Some(object([
                ("address", string(&client.address.to_string())),
                ("unsent_bytes", number(client.unsent_bytes as u64)),
            ])),
            ..Item::default()
        })))
    })
}

/// The rooms in memory: key = room, value = {"clients"}.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_iterate_rooms(
    server: *const syncline_server,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let rooms = caller.object(server)?.server.rooms();
        out.give_handle(IteratorCore::new(rooms.into_iter().map(|room| Item {
            key: room.name,
            value: Some(object([("clients", number(room.sessions as u64))])),
            ..Item::default()
        })))
    })
}

/// Ends a client's connection after what waits for it was sent.
///
/// @param code    WebSocket close code: 1000, 1001, 1008, 1011, 1013, or 3000 to 4999
/// @param reason  up to 123 bytes
/// @return NOT_FOUND
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_disconnect_client(
    server: *mut syncline_server,
    client_id: syncline_string,
    code: u16,
    reason: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let id = caller.text(client_id, "client_id")?;
        let reason = caller.text(reason, "reason")?;
        if !matches!(code, 1000 | 1001 | 1008 | 1011 | 1013 | 3000..=4999) {
            return Err(Error::argument("this close code is not for applications"));
        }
        if reason.len() > CLOSE_REASON_BYTES_MAX {
            return Err(Error::argument(
                "the reason is longer than a close frame holds",
            ));
        }
        found(
            caller
                .object(server)?
                .server
                .disconnect_client(id, code, reason),
        )
    })
}

/// What RFC 6455 leaves for the text of a close frame.
const CLOSE_REASON_BYTES_MAX: usize = 123;

fn found(found: bool) -> Answer {
    Ok(if found {
        SYNCLINE_OK
    } else {
        SYNCLINE_NOT_FOUND
    })
}

/// Makes the document of a room if it is not there.
///
/// @param protocol  0 or CRDT_SYNC
/// @return UNCHANGED if it is there; UNSUPPORTED for other protocols
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_add_room(
    server: *mut syncline_server,
    room: syncline_string,
    protocol: ProtocolArg,
) -> syncline_status {
    guard!(|caller| {
        let room = caller.text(room, "room")?;
        let server = &caller.object(server)?.server;
        if protocol > 1 {
            return Err(Error::unsupported("this version speaks CRDT_SYNC only"));
        }
        if server.has_room(room)? {
            return Ok(SYNCLINE_UNCHANGED);
        }
        with_signals_blocked(|| server.document(room, true))?;
        Ok(SYNCLINE_OK)
    })
}

/// Drops the document of a room.
///
/// @return NOT_FOUND; BUSY while clients or the application use it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_remove_room(
    server: *mut syncline_server,
    room: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let room = caller.text(room, "room")?;
        found(caller.object(server)?.server.remove_room(room)?)
    })
}

/// Whether a room is in memory or stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_has_room(
    server: *const syncline_server,
    room: syncline_string,
) -> bool {
    question!(false, |caller| {
        Ok(caller
            .object(server)?
            .server
            .has_room(caller.text(room, "room")?)?)
    })
}

/// How many rooms are in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_room_count(server: *const syncline_server) -> u64 {
    question!(0, |caller| Ok(
        caller.object(server)?.server.rooms().len() as u64
    ))
}

/// The live document of a room, made if it is not there: edits are stored and sent to its clients.
/// Its text unit is UTF-16.
///
/// @param out_document  free it with syncline_document_free; it keeps the room loaded
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_get_document(
    server: *mut syncline_server,
    room: syncline_string,
    out_document: *mut *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_document, "out_document")?;
        let room = caller.text(room, "room")?;
        let server = &caller.object(server)?.server;
        let shared = with_signals_blocked(|| server.document(room, true))?;
        let owner = server.store().clone();
        let parent = Parent {
            stored: owner.live(room),
            _owner: owner,
        };
        out.give_handle(DocumentCore::new(shared, TextUnit::Utf16, Some(parent)))
    })
}

/// Takes a snapshot of a room's document and prunes its history.
///
/// @return NOT_FOUND if the room is not in memory or the document refuses
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_take_snapshot(
    server: *mut syncline_server,
    room: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let room = caller.text(room, "room")?;
        found(caller.object(server)?.server.take_snapshot(room))
    })
}

/// Numbers since the start; all zero while it does not run.
///
/// @param out_stats  struct_size must be set
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_server_get_stats(
    server: *const syncline_server,
    out_stats: *mut syncline_server_stats,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_stats, "out_stats")?;
        let stats = caller.object(server)?.server.stats();
        out.give(syncline_server_stats {
            struct_size: 0,
            connections: stats.connections,
            connections_total: stats.connections_total,
            rooms_open: stats.rooms_open,
            messages_in: stats.messages_in,
            messages_out: stats.messages_out,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            changes_applied: stats.changes_applied,
            refused: stats.refused,
            slow_clients_dropped: stats.slow_clients_dropped,
            uptime_ms: stats.uptime_ms,
        })
    })
}
