//! Section 29: servers. The types stand in every build, because events carry them; the functions
//! need the feature `server`.

use super::client::CompressionArg;
use super::error::syncline_error;
use super::event::{other_type, syncline_event};
use super::guard::{OptionStruct, SizeFirst, guard};
use super::payload::Payload;
use super::reports::Failure;
use super::store::syncline_store;
use super::types::*;
use std::ffi::c_void;

/// Rooms on a port, each a document that clients share.
pub struct syncline_server(());

/// Settings of a server. What is marked UNSUPPORTED must be zero in this version.
#[repr(C)]
pub struct syncline_server_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// Name or address to listen on; "" = 127.0.0.1.
    pub host: syncline_string,
    /// 0 = any free one; see syncline_server_port.
    pub port: u16,
    /// UNSUPPORTED.
    pub metrics_port: u16,
    /// Bits (1 << syncline_protocol); 0 = all this version has: CRDT_SYNC.
    pub protocols: u32,
    /// Where documents are kept; NULL = memory. The server keeps the store alive.
    pub store: *mut syncline_store,
    /// UNSUPPORTED.
    pub hooks: *const c_void,
    /// UNSUPPORTED.
    pub authorize_by_request: BoolArg,
    /// Zero.
    pub reserved_1: [u8; 3],
    /// NONE or GZIP: a client is answered in the form it speaks. Others UNSUPPORTED.
    pub compression: CompressionArg,
    /// UNSUPPORTED.
    pub compressor: *const c_void,
    /// UNSUPPORTED.
    pub tls_certificate_pem: syncline_bytes,
    /// UNSUPPORTED.
    pub tls_key_pem: syncline_bytes,
    /// Connections at a time; 0 = the default.
    pub connections_max: u32,
    /// Rooms in memory at a time; 0 = the default.
    pub rooms_max: u32,
    /// Threads; 0 = the default.
    pub worker_threads: u32,
    /// Silence that ends a connection; 0 = the default.
    pub client_timeout_ms: u32,
    /// How long an empty room stays loaded; 0 = the default.
    pub room_idle_ms: u32,
    /// UNSUPPORTED.
    pub compact_threshold: u32,
    /// UNSUPPORTED.
    pub rate_messages_per_s: u32,
    /// Zero.
    pub reserved_2: u32,
    /// Largest received message; 0 = the default.
    pub message_bytes_max: u64,
    /// Unsent bytes at which a connection is closed as too slow; 0 = the default.
    pub outbound_bytes_max: u64,
    /// UNSUPPORTED.
    pub document_bytes_max: u64,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_server_options {}
// SAFETY: integers and pointers only.
unsafe impl OptionStruct for syncline_server_options {}

/// What happened in a server; names as in crdt_socket_sync where it has them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_server_event_kind {
    /// Listening.
    SYNCLINE_SERVER_STARTED = 1,
    /// Not listening any more.
    SYNCLINE_SERVER_STOPPED = 2,
    /// A socket was opened.
    SYNCLINE_SERVER_CLIENT_CONNECTED = 3,
    /// A client joined a room.
    SYNCLINE_SERVER_CLIENT_HANDSHAKE = 4,
    /// A status request was answered.
    SYNCLINE_SERVER_CLIENT_DOCUMENT_STATUS_CREATED = 5,
    /// A change of a client was new and is applied.
    SYNCLINE_SERVER_CLIENT_CHANGE_APPLIED = 6,
    /// A ping was answered.
    SYNCLINE_SERVER_CLIENT_PING_REQUEST = 7,
    /// A session ended.
    SYNCLINE_SERVER_CLIENT_DISCONNECTED = 8,
    /// Something was refused or dropped.
    SYNCLINE_SERVER_ERROR = 9,
    /// A change lacks a dependency; the client was told.
    SYNCLINE_SERVER_CLIENT_OUT_OF_SYNC = 10,
    /// A message went to all other clients of a room.
    SYNCLINE_SERVER_MESSAGE_BROADCASTED = 11,
    /// A message of the application went to one client.
    SYNCLINE_SERVER_MESSAGE_SENT = 12,
    /// A snapshot was taken.
    SYNCLINE_SERVER_SNAPSHOT_CREATED = 13,
    /// A room was loaded.
    SYNCLINE_SERVER_ROOM_OPENED = 14,
    /// A room was unloaded.
    SYNCLINE_SERVER_ROOM_CLOSED = 15,
    /// Relay mode.
    SYNCLINE_SERVER_RELAY_JOINED = 16,
    /// Relay mode.
    SYNCLINE_SERVER_RELAY_CHANGES_PUSHED = 17,
    /// Relay mode.
    SYNCLINE_SERVER_RELAY_SNAPSHOT_UPLOADED = 18,
    /// A connection was not served.
    SYNCLINE_SERVER_CLIENT_REFUSED = 19,
}

/// What a SERVER event says. Borrowed from the event.
#[repr(C)]
pub struct syncline_server_info {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// What happened.
    pub kind: syncline_server_event_kind,
    /// Zero.
    pub reserved: u32,
    /// The client it concerns, or "".
    pub client_id: syncline_string,
    /// The room it concerns, or "".
    pub room: syncline_string,
    /// Details in English, or "".
    pub message: syncline_string,
    /// Zero in this version.
    pub bytes: u64,
    /// Zero in this version.
    pub sequence: u64,
    /// ERROR and CLIENT_REFUSED: what is wrong.
    pub error: syncline_error,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_server_info {}

/// Numbers since the start.
#[repr(C)]
#[derive(Default)]
pub struct syncline_server_stats {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// Open now.
    pub connections: u64,
    /// Opened since the start.
    pub connections_total: u64,
    /// In memory now.
    pub rooms_open: u64,
    /// Received.
    pub messages_in: u64,
    /// Sent.
    pub messages_out: u64,
    /// Received.
    pub bytes_in: u64,
    /// Sent.
    pub bytes_out: u64,
    /// New changes of clients.
    pub changes_applied: u64,
    /// Connections that were not served.
    pub refused: u64,
    /// Connections that were closed because they did not read.
    pub slow_clients_dropped: u64,
    /// Since the start.
    pub uptime_ms: u64,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_server_stats {}

/// What a SERVER event says.
///
/// @param event     a SERVER event
/// @param out_info  struct_size must be set; what it points to belongs to the event
/// @return TYPE_MISMATCH for other events
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_event_server(
    event: *const syncline_event,
    out_info: *mut syncline_server_info,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_info, "out_info")?;
        let Payload::Server(report) = caller.object(event)?.payload() else {
            return Err(other_type());
        };
        out.give(syncline_server_info {
            struct_size: 0,
            kind: report.kind,
            reserved: 0,
            client_id: syncline_string::borrowed(&report.client),
            room: syncline_string::borrowed(&report.room),
            message: syncline_string::borrowed(&report.message),
            bytes: 0,
            sequence: 0,
            error: Failure::c_form(report.failure.as_ref()),
        })
    })
}
