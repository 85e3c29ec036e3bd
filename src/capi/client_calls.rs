//! Section 28, functions: what a client does. Its types and events are in `client`.

use super::client::*;
use super::delivery_thread::with_signals_blocked;
use super::document::syncline_document;
use super::document_core::DocumentCore;
use super::error::Error;
use super::event::{object, string};
use super::guard::{Answer, Caller, guard, or_size, question};
use super::handle::{self, handle};
use super::payload::Payload;
use super::queue::{subscribe, syncline_listener, syncline_subscription};
use super::reports::{Progress, ProgressReport, StatusReport, connection_status_name};
use super::sources::Listeners;
use super::types::*;
use super::version_vector::give_json;
use crate::codec::{Value, version_vector};
use crate::net::{
    Client, ClientError, ClientMode, ClientObserver, ClientOptions, ClientProgress, ClientState,
};
use crate::sync::awareness::PresenceError;
use crate::sync::crdt_sync::client::{ClientEvent, ClientStatus, FailureReason};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// A client as C knows it.
pub(crate) struct ClientCore {
    client: Client,
    listeners: Arc<Listeners>,
    attached: Attached,
}

handle!(syncline_client, ClientCore, Client);

/// The document of a client, shared with what reports about it.
type Attached = Arc<Mutex<Option<Arc<DocumentCore>>>>;

impl Drop for ClientCore {
    fn drop(&mut self) {
        // Ends the thread before CLOSED is sent, so that CLOSED is the last event. NotAttached
        // means that there is no thread.
        let _ = self.client.detach();
        self.listeners.close();
    }
}

/// Turns what the client's thread tells into events.
struct Reporter {
    listeners: Arc<Listeners>,
    attached: Attached,
    /// Whether the server itself refused the last attempt.
    was_refused: Mutex<bool>,
}

impl ClientObserver for Reporter {
    fn status(&self, state: &ClientState) {
        let status = match *self.was_refused.lock() {
            true => SYNCLINE_ERROR_PROTOCOL,
            false => SYNCLINE_ERROR_CONNECT,
        };
        let error = state
            .last_error
            .clone()
            .map(|text| Error::new(status, text));
        self.listeners.tell(Payload::Status(StatusReport {
            status: connection_status(state),
            attempt: state.attempt,
            retry_in_ms: saturated(state.retry_in_ms.unwrap_or(0)),
            failure: error.map(Into::into),
        }));
    }

    fn progress(&self, progress: &ClientProgress) {
        let Some(document) = self.attached.lock().clone() else {
            return;
        };
        self.listeners.tell(Payload::Progress(ProgressReport {
            progress: progress_of(progress, &document),
            document: document.shared().id().to_owned(),
        }));
    }

    fn event(&self, event: &ClientEvent) {
        if let ClientEvent::ConnectionFailed { reason, .. } = event {
            *self.was_refused.lock() = matches!(reason, FailureReason::Refused { .. });
        }
    }
}

fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn progress_of(progress: &ClientProgress, document: &DocumentCore) -> Progress {
    Progress {
        pending_changes: progress.pending_changes,
        unstored_changes: document.unstored_changes(),
        synced: progress.synced,
    }
}

fn connection_status(state: &ClientState) -> syncline_connection_status {
    use syncline_connection_status::*;
    match state.status {
        ClientStatus::Disconnected if state.suspended => SYNCLINE_CONNECTION_SUSPENDED,
        ClientStatus::Disconnected => SYNCLINE_CONNECTION_DISCONNECTED,
        ClientStatus::Connecting => SYNCLINE_CONNECTION_CONNECTING,
        ClientStatus::Connected => SYNCLINE_CONNECTION_CONNECTED,
        ClientStatus::Reconnecting => SYNCLINE_CONNECTION_RECONNECTING,
        ClientStatus::Error => SYNCLINE_CONNECTION_ERROR,
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        let status = match error {
            ClientError::Url(_) => SYNCLINE_ERROR_INVALID_ARGUMENT,
            ClientError::AlreadyAttached => SYNCLINE_ERROR_ALREADY_EXISTS,
            ClientError::NotAttached => SYNCLINE_ERROR_INVALID_ARGUMENT,
            ClientError::Document(error) => return error.into(),
            ClientError::Thread(_) => SYNCLINE_ERROR_OUT_OF_MEMORY,
            ClientError::Presence(PresenceError::TooLarge) => SYNCLINE_ERROR_LIMIT,
            ClientError::Presence(_) => SYNCLINE_ERROR_INVALID_ARGUMENT,
            ClientError::Timeout => SYNCLINE_ERROR_BUSY,
            ClientError::Offline => SYNCLINE_ERROR_OFFLINE,
        };
        Error::new(status, message)
    }
}

/// A wait that ended first is an answer, not an error.
fn waited(result: Result<(), ClientError>) -> Answer {
    match result {
        Ok(()) => Ok(SYNCLINE_OK),
        Err(ClientError::Timeout) => Ok(SYNCLINE_TIMEOUT),
        Err(error) => Err(error.into()),
    }
}

fn done(result: Result<(), ClientError>) -> Answer {
    result?;
    Ok(SYNCLINE_OK)
}

/// The options in the terms of `net`.
fn read_options(
    caller: Caller<'_>,
    given: &syncline_client_options,
) -> Result<ClientOptions, Error> {
    let url = caller.text(given.url, "url")?;
    if url.starts_with("wss:") {
        return Err(Error::unsupported("this version has no TLS"));
    }
    let mode = match given.protocol {
        0 | 1 => ClientMode::Sync,
        2 => ClientMode::Relay,
        _ => {
            let message = "this version speaks CRDT_SYNC and CRDT_RELAY only";
            return Err(Error::unsupported(message));
        }
    };
    let is_gzip = given.compression == syncline_compression::SYNCLINE_COMPRESSION_GZIP as u32;
    if given.compression != 0 && !is_gzip {
        return Err(Error::unsupported(
            "this version has no other compression than gzip",
        ));
    }
    let other = given.token.len > 0
        || !given.headers.is_null()
        || !given.compressor.is_null()
        || !given.channel.is_null()
        || given.tls_ca_pem.len > 0
        || given.end_to_end_key.len > 0
        || given.reconnect_jitter_ms > 0
        || given.manual != 0;
    if other {
        return Err(Error::unsupported(
            "an option of the client needs a later version",
        ));
    }
    let mut options = ClientOptions::new(url);
    options.mode = mode;
    options.gzip = is_gzip;
    let or = |given: u32, otherwise: u32| if given == 0 { otherwise } else { given };
    options.connect_timeout_ms = or(given.connect_timeout_ms, options.connect_timeout_ms);
    options.handshake_timeout_ms = or(given.handshake_timeout_ms, options.handshake_timeout_ms);
    options.ping_interval_ms = or(given.ping_interval_ms, options.ping_interval_ms);
    options.ping_timeout_ms = or(given.ping_timeout_ms, options.ping_timeout_ms);
    options.reconnect_delay_ms_min =
        or(given.reconnect_delay_ms_min, options.reconnect_delay_ms_min);
    options.reconnect_delay_ms_max =
        or(given.reconnect_delay_ms_max, options.reconnect_delay_ms_max);
    options.message_bytes_max = or_size(given.message_bytes_max, options.message_bytes_max);
    options.outbound_bytes_max = or_size(given.outbound_bytes_max, options.outbound_bytes_max);
    options.reconnect_attempts_max = match given.reconnect_attempts_max {
        _ if given.no_reconnect != 0 => Some(0),
        attempts @ 1.. => Some(attempts.unsigned_abs()),
        0 | -1 => None,
        _ => {
            return Err(Error::argument(
                "reconnect_attempts_max is -1, 0 or a number",
            ));
        }
    };
    Ok(options)
}

/// Makes a client. It does nothing before a document is attached and connect is called.
///
/// @param options     the url is needed
/// @param out_client  free it with syncline_client_free
/// @return INVALID_ARGUMENT for a bad url; UNSUPPORTED for options of later versions
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_new(
    options: *const syncline_client_options,
    out_client: *mut *mut syncline_client,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_client, "out_client")?;
        let options = read_options(caller, &caller.sized(options, "options")?)?;
        let client = Client::new(options)?;
        let listeners = Arc::new(Listeners::default());
        let attached = Attached::default();
        client.add_observer(Arc::new(Reporter {
            listeners: listeners.clone(),
            attached: attached.clone(),
            was_refused: Mutex::new(false),
        }));
        out.give_handle(ClientCore {
            client,
            listeners,
            attached,
        })
    })
}

/// Gives a handle back. With the last one the client disconnects and its thread ends.
///
/// @param client  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_free(client: *mut syncline_client) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(client) }
}

/// One more handle to the same client.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_retain(
    client: *mut syncline_client,
) -> *mut syncline_client {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(client) }
}

/// Gives the client its document; the room on the server has the document's id. The client keeps
/// the document alive.
///
/// @return ALREADY_EXISTS: this protocol has one document per connection
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_attach_document(
    client: *mut syncline_client,
    document: *mut syncline_document,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(client)?;
        let document = caller.object(document)?;
        document.read(|_| Ok(()))?;
        let mut attached = core.attached.lock();
        core.client.attach(document.shared().clone())?;
        *attached = Some(document.clone());
        Ok(SYNCLINE_OK)
    })
}

/// Ends the connection and gives the document back.
///
/// @param id  of the attached document
/// @return NOT_FOUND if it is not attached
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_detach(
    client: *mut syncline_client,
    id: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(client)?;
        if !is_attached(caller, core, id)? {
            return Ok(SYNCLINE_NOT_FOUND);
        }
        core.client.detach()?;
        let document = core.attached.lock().take();
        drop(document);
        Ok(SYNCLINE_OK)
    })
}

/// Whether a document with this id is attached; "" is any.
fn is_attached(caller: Caller<'_>, core: &ClientCore, id: syncline_string) -> Result<bool, Error> {
    let id = caller.text(id, "id")?;
    let attached = core.attached.lock();
    Ok(attached
        .as_ref()
        .is_some_and(|document| id.is_empty() || document.shared().id() == id))
}

/// Starts connecting and returns at once. STATUS events and syncline_client_wait_connected tell
/// how it goes.
///
/// @return INVALID_ARGUMENT if no document is attached
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_connect(client: *mut syncline_client) -> syncline_status {
    // The client's thread may start here.
    guard!(|caller| {
        let client = &caller.object(client)?.client;
        done(with_signals_blocked(|| client.connect()))
    })
}

/// Ends the connection and all attempts. The document stays usable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_disconnect(
    client: *mut syncline_client,
) -> syncline_status {
    guard!(|caller| done(caller.object(client)?.client.disconnect()))
}

/// Connects now, without waiting for the delay; connects if disconnected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_reconnect(
    client: *mut syncline_client,
) -> syncline_status {
    guard!(|caller| {
        let client = &caller.object(client)?.client;
        done(with_signals_blocked(|| client.reconnect()))
    })
}

/// Closes the connection until syncline_client_resume: the app goes to the background.
///
/// @param timeout_ms  how long to wait for a clean end
/// @return TIMEOUT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_suspend(
    client: *mut syncline_client,
    timeout_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        let timeout = Duration::from_millis(timeout_ms.into());
        waited(caller.object(client)?.client.suspend(timeout))
    })
}

/// Connects again if syncline_client_suspend disconnected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_resume(client: *mut syncline_client) -> syncline_status {
    guard!(|caller| {
        let client = &caller.object(client)?.client;
        done(with_signals_blocked(|| client.resume()))
    })
}

/// What the connection does. DISCONNECTED for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_status(
    client: *const syncline_client,
) -> syncline_connection_status {
    question!(
        syncline_connection_status::SYNCLINE_CONNECTION_DISCONNECTED,
        |caller| { Ok(connection_status(&caller.object(client)?.client.state())) }
    )
}

/// The name the server gave the session.
///
/// @param out_session_id  free it with syncline_buffer_free
/// @return NOT_FOUND, with out_session_id unchanged, before the first handshake
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_session_id(
    client: *const syncline_client,
    out_session_id: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_session_id, "out_session_id")?;
        let id = caller.object(client)?.client.state().session_id;
        id.map_or(Ok(SYNCLINE_NOT_FOUND), |id| {
            out.give(syncline_buffer::from_vec(id.into_bytes()))
        })
    })
}

/// How far the changes are.
///
/// @param id            of the document; "" = all
/// @param out_progress  struct_size must be set
/// @return NOT_FOUND if it is not attached
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_get_progress(
    client: *const syncline_client,
    id: syncline_string,
    out_progress: *mut syncline_client_progress,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_progress, "out_progress")?;
        let core = caller.object(client)?;
        if !is_attached(caller, core, id)? {
            return Ok(SYNCLINE_NOT_FOUND);
        }
        let Some(document) = core.attached.lock().clone() else {
            return Ok(SYNCLINE_NOT_FOUND);
        };
        let progress = progress_of(&core.client.progress()?, &document);
        out.give(syncline_client_progress::new(&progress))
    })
}

/// What the server has for sure: the bytes of a version vector.
///
/// @param id           of the document
/// @param out_version  for syncline_version_vector_decode; free it with syncline_buffer_free
/// @return NOT_FOUND if it is not attached
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_acknowledged_version(
    client: *const syncline_client,
    id: syncline_string,
    out_version: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_version, "out_version")?;
        let core = caller.object(client)?;
        if !is_attached(caller, core, id)? {
            return Ok(SYNCLINE_NOT_FOUND);
        }
        let vector = core.client.acknowledged_vector();
        out.give(syncline_buffer::from_vec(version_vector::encode(&vector)))
    })
}

/// Waits until the handshake is done.
///
/// @return TIMEOUT; OFFLINE if the client is disconnected or gave up
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_wait_connected(
    client: *mut syncline_client,
    timeout_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        let timeout = Duration::from_millis(timeout_ms.into());
        waited(caller.object(client)?.client.wait_connected(timeout))
    })
}

/// Waits until document and server were equal once since connecting.
///
/// @param id  of the document; "" = all
/// @return TIMEOUT; OFFLINE; NOT_FOUND
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_wait_synced(
    client: *mut syncline_client,
    id: syncline_string,
    timeout_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(client)?;
        if !is_attached(caller, core, id)? {
            return Ok(SYNCLINE_NOT_FOUND);
        }
        waited(
            core.client
                .wait_synced(Duration::from_millis(timeout_ms.into())),
        )
    })
}

/// Waits until the server has everything made so far: the call for a background task. Waits
/// through reconnects.
///
/// @param id  of the document; "" = all
/// @return TIMEOUT; OFFLINE; NOT_FOUND
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_wait_acknowledged(
    client: *mut syncline_client,
    id: syncline_string,
    timeout_ms: u32,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(client)?;
        if !is_attached(caller, core, id)? {
            return Ok(SYNCLINE_NOT_FOUND);
        }
        waited(
            core.client
                .wait_acknowledged(Duration::from_millis(timeout_ms.into())),
        )
    })
}

/// Asks the server for everything the document lacks. Never needed on a sound connection.
///
/// @param id  of the document; "" = all
/// @return NOT_FOUND if it is not attached
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_request_sync(
    client: *mut syncline_client,
    id: syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let core = caller.object(client)?;
        if !is_attached(caller, core, id)? {
            return Ok(SYNCLINE_NOT_FOUND);
        }
        done(core.client.request_sync())
    })
}

/// Asks for STATUS, PROGRESS and CLOSED events. The subscription does not keep the client alive.
///
/// @param listener          who is told
/// @param out_subscription  free it with syncline_subscription_free to end it
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_subscribe(
    client: *mut syncline_client,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
) -> syncline_status {
    guard!(
        |caller| subscribe(caller, listener, out_subscription, |subscription| {
            Ok(caller.object(client)?.listeners.add(subscription))
        })
    )
}

/// The state of a client as a JSON object, for logs.
///
/// @param out_statistics  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_client_to_json(
    client: *const syncline_client,
    out_statistics: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_statistics, "out_statistics")?;
        let core = caller.object(client)?;
        let state = core.client.state();
        let attached = core.attached.lock().clone();
        let progress = match &attached {
            Some(document) => progress_of(&core.client.progress()?, document).value(),
            None => Value::Null,
        };
        let text = |text: Option<&str>| text.map_or(Value::Null, string);
        give_json(
            out,
            object([
                (
                    "document",
                    text(attached.as_ref().map(|document| document.shared().id())),
                ),
                (
                    "status",
                    string(connection_status_name(connection_status(&state))),
                ),
                ("session", text(state.session_id.as_deref())),
                ("attempt", Value::Int(state.attempt.into())),
                ("error", text(state.last_error.as_deref())),
                ("progress", progress),
            ]),
        )
    })
}
