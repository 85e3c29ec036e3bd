//! Section 28: clients, which keep a document in step with a server.
//!
//! The types stand in every build, because events carry them; the functions need the feature
//! `client`.

use super::error::syncline_error;
use super::event::{other_type, syncline_event};
use super::guard::{OptionStruct, SizeFirst, guard};
use super::payload::Payload;
use super::reports::Failure;
use super::tree::syncline_value;
use super::types::*;
use std::ffi::c_void;

/// A connection to a server that comes back by itself.
pub struct syncline_client(());

/// What is spoken.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_protocol {
    /// crdt_socket_sync, server that knows the documents.
    SYNCLINE_PROTOCOL_CRDT_SYNC = 1,
    /// crdt_socket_sync, relay.
    SYNCLINE_PROTOCOL_CRDT_RELAY = 2,
    /// y-websocket.
    SYNCLINE_PROTOCOL_YJS = 3,
    /// Hocuspocus framing: document name before each message.
    SYNCLINE_PROTOCOL_YJS_NAMED = 4,
    /// crdt-editor.
    SYNCLINE_PROTOCOL_DICT = 5,
    /// Own: many documents on one connection, acknowledgements.
    SYNCLINE_PROTOCOL_SYNCLINE = 6,
}

/// What a connection does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_connection_status {
    /// Not connected and not trying.
    SYNCLINE_CONNECTION_DISCONNECTED = 0,
    /// First attempt.
    SYNCLINE_CONNECTION_CONNECTING = 1,
    /// The handshake is done.
    SYNCLINE_CONNECTION_CONNECTED = 2,
    /// Lost or failed; trying again, or waiting to.
    SYNCLINE_CONNECTION_RECONNECTING = 3,
    /// Given up; only connect helps.
    SYNCLINE_CONNECTION_ERROR = 4,
    /// Closed by suspend; resume opens again.
    SYNCLINE_CONNECTION_SUSPENDED = 5,
}

/// How frames are compressed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_compression {
    /// Not at all.
    SYNCLINE_COMPRESSION_NONE = 0,
    /// gzip per message.
    SYNCLINE_COMPRESSION_GZIP = 1,
    /// permessage-deflate.
    SYNCLINE_COMPRESSION_DEFLATE_FRAMES = 2,
    /// Functions of the application.
    SYNCLINE_COMPRESSION_CUSTOM = 3,
}

/// A protocol as C gives it: any integer.
pub type ProtocolArg = u32;
/// A compression as C gives it: any integer.
pub type CompressionArg = u32;

/// Settings of a client. What is marked UNSUPPORTED must be zero in this version.
#[repr(C)]
pub struct syncline_client_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// ws:// and an address; wss:// is UNSUPPORTED.
    pub url: syncline_string,
    /// 0, CRDT_SYNC or CRDT_RELAY; others UNSUPPORTED.
    pub protocol: ProtocolArg,
    /// NONE or GZIP; both are understood. Others UNSUPPORTED.
    pub compression: CompressionArg,
    /// UNSUPPORTED.
    pub token: syncline_string,
    /// UNSUPPORTED.
    pub headers: *const syncline_value,
    /// UNSUPPORTED.
    pub compressor: *const c_void,
    /// UNSUPPORTED.
    pub channel: *mut c_void,
    /// UNSUPPORTED.
    pub tls_ca_pem: syncline_bytes,
    /// UNSUPPORTED.
    pub end_to_end_key: syncline_bytes,
    /// Time for name, TCP and WebSocket; 0 = 10000.
    pub connect_timeout_ms: u32,
    /// Time from the open socket to the server's answer; 0 = 5000.
    pub handshake_timeout_ms: u32,
    /// Time between pings; 0 = 15000.
    pub ping_interval_ms: u32,
    /// Silence that means that the connection is dead; 0 = 30000.
    pub ping_timeout_ms: u32,
    /// Upper bound of the first delay before reconnecting; 0 = the protocol's default.
    pub reconnect_delay_ms_min: u32,
    /// Upper bound of every delay; 0 = the protocol's default.
    pub reconnect_delay_ms_max: u32,
    /// UNSUPPORTED: delays are spread over their whole range.
    pub reconnect_jitter_ms: u32,
    /// 0 and -1 = for ever.
    pub reconnect_attempts_max: i32,
    /// Unsent bytes at which no more is made to be sent; 0 = the default.
    pub outbound_bytes_max: u64,
    /// Largest received message; 0 = 64 MiB.
    pub message_bytes_max: u64,
    /// The first lost connection is the end.
    pub no_reconnect: BoolArg,
    /// UNSUPPORTED.
    pub manual: BoolArg,
    /// Zero.
    pub reserved_1: [u8; 6],
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_client_options {}
// SAFETY: integers and pointers only.
unsafe impl OptionStruct for syncline_client_options {}

/// "Is my edit safe?"
#[repr(C)]
pub struct syncline_client_progress {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// Made here, not yet acknowledged by the server.
    pub pending_changes: u64,
    /// Their size; 0 in this version.
    pub pending_bytes: u64,
    /// Made here, not yet on this device's disk; 0 for documents without a store.
    pub unstored_changes: u64,
    /// Relay and own protocol only; 0 in this version.
    pub acknowledged_sequence: u64,
    /// Connected, and nothing is pending.
    pub synced: bool,
    /// Zero.
    pub reserved_1: [u8; 7],
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_client_progress {}

/// What a STATUS event says. Borrowed from the event.
#[repr(C)]
pub struct syncline_client_status_info {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// What the connection does.
    pub status: syncline_connection_status,
    /// Attempts that failed since the last success.
    pub attempt: u32,
    /// Until the next attempt; 0 = none is planned.
    pub retry_in_ms: u32,
    /// Zero.
    pub reserved: u32,
    /// Why the last attempt or connection ended; status OK while there is no reason.
    pub error: syncline_error,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_client_status_info {}

impl syncline_client_progress {
    pub(crate) fn new(progress: &super::reports::Progress) -> Self {
        syncline_client_progress {
            struct_size: 0,
            pending_changes: progress.pending_changes,
            pending_bytes: 0,
            unstored_changes: progress.unstored_changes,
            acknowledged_sequence: 0,
            synced: progress.synced,
            reserved_1: [0; 7],
        }
    }
}

/// What a STATUS event says.
///
/// @param event     a STATUS event
/// @param out_info  struct_size must be set; what it points to belongs to the event
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_status(
    event: *const syncline_event,
    out_info: *mut syncline_client_status_info,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_info, "out_info")?;
        let Payload::Status(report) = caller.object(event)?.payload() else {
            return Err(other_type());
        };
        out.give(syncline_client_status_info {
            struct_size: 0,
            status: report.status,
            attempt: report.attempt,
            retry_in_ms: report.retry_in_ms,
            reserved: 0,
            error: Failure::c_form(report.failure.as_ref()),
        })
    })
}

/// What a PROGRESS event says.
///
/// @param event         a PROGRESS event
/// @param out_progress  struct_size must be set
/// @param out_id        the document, borrowed from the event; NULL is allowed
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_progress(
    event: *const syncline_event,
    out_progress: *mut syncline_client_progress,
    out_id: *mut syncline_string,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_progress, "out_progress")?;
        let out_id = caller.out_or_null(out_id, "out_id")?;
        let Payload::Progress(report) = caller.object(event)?.payload() else {
            return Err(other_type());
        };
        if let Some(out_id) = out_id {
            out_id.put(syncline_string::borrowed(&report.document));
        }
        out.give(syncline_client_progress::new(&report.progress))
    })
}
