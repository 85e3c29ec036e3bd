//! What stores, clients, servers, histories and undo managers report, as payloads of events.

use super::client::syncline_connection_status;
use super::error::Error;
use super::event::{number, object, string};
use super::server::syncline_server_event_kind;
use super::tree::{Block, syncline_value};
use super::types::*;
use crate::codec::Value;
use crate::document::UndoEvent;
use std::ffi::CString;
use std::ptr;
use std::sync::OnceLock;

/// A store stored, compacted, or failed.
pub(crate) struct StoreReport {
    pub(crate) document: String,
    /// Stored bytes after a compaction, else 0.
    pub(crate) bytes: u64,
    /// None: done.
    pub(crate) failure: Option<Failure>,
}

/// The connection of a client changed.
pub(crate) struct StatusReport {
    pub(crate) status: syncline_connection_status,
    pub(crate) attempt: u32,
    pub(crate) retry_in_ms: u32,
    /// Why the last attempt or connection ended.
    pub(crate) failure: Option<Failure>,
}

/// How far a client's changes are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) pending_changes: u64,
    pub(crate) unstored_changes: u64,
    pub(crate) synced: bool,
}

/// As an event.
pub(crate) struct ProgressReport {
    pub(crate) progress: Progress,
    pub(crate) document: String,
}

/// Something happened in a server.
pub(crate) struct ServerReport {
    pub(crate) kind: syncline_server_event_kind,
    pub(crate) client: String,
    pub(crate) room: String,
    pub(crate) message: String,
    pub(crate) failure: Option<Failure>,
}

/// The cursor of a history moved.
pub(crate) struct HistoryReport {
    pub(crate) cursor: u64,
    pub(crate) length: u64,
}

/// A step was made, or taken from its stack.
pub(crate) struct UndoReport {
    pub(crate) step: u64,
    pub(crate) pushed: bool,
    pub(crate) undo_count: u64,
    pub(crate) redo_count: u64,
    pub(crate) meta: Option<Value>,
    /// `meta` as C sees it, made when somebody looks.
    block: OnceLock<Block>,
}

impl UndoReport {
    pub(crate) fn new(event: &UndoEvent) -> Self {
        UndoReport {
            step: event.step,
            pushed: event.pushed,
            undo_count: event.undo_count,
            redo_count: event.redo_count,
            meta: event.meta.clone(),
            block: OnceLock::new(),
        }
    }

    /// What is attached to the step, or NULL; borrowed from this report.
    pub(crate) fn c_meta(&self) -> *const syncline_value {
        self.meta.as_ref().map_or(ptr::null(), |meta| {
            self.block.get_or_init(|| Block::from_value(meta)).root()
        })
    }
}

impl HistoryReport {
    pub(crate) fn value(&self) -> Value {
        object([
            ("cursor", number(self.cursor)),
            ("length", number(self.length)),
        ])
    }
}

/// A failure that lies in an event: its text is borrowed by C.
pub(crate) struct Failure {
    error: Error,
    message: CString,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = CString::new(error.message.replace('\0', "\u{fffd}")).unwrap_or_default();
        Failure { error, message }
    }
}

impl Failure {
    pub(crate) fn status(&self) -> syncline_status {
        self.error.status
    }

    /// As C sees it; borrowed from this failure.
    pub(crate) fn c_form(failure: Option<&Failure>) -> super::error::syncline_error {
        match failure {
            None => super::error::syncline_error {
                status: SYNCLINE_OK,
                domain: super::error::syncline_error_domain::SYNCLINE_ERROR_DOMAIN_NONE,
                code: 0,
                message: c"".as_ptr(),
            },
            Some(Failure { error, message }) => super::error::syncline_error {
                status: error.status,
                domain: error.domain,
                code: error.code,
                message: message.as_ptr(),
            },
        }
    }

    fn value(failure: Option<&Failure>) -> Value {
        failure.map_or(Value::Null, |failure| string(&failure.error.message))
    }
}

impl StoreReport {
    pub(crate) fn value(&self) -> Value {
        object([
            ("document", string(&self.document)),
            ("bytes", number(self.bytes)),
            ("error", Failure::value(self.failure.as_ref())),
        ])
    }
}

impl StatusReport {
    pub(crate) fn value(&self) -> Value {
        object([
            ("status", string(connection_status_name(self.status))),
            ("attempt", number(self.attempt.into())),
            ("retry_in_ms", number(self.retry_in_ms.into())),
            ("error", Failure::value(self.failure.as_ref())),
        ])
    }
}

/// The status in lower case.
pub(crate) fn connection_status_name(status: syncline_connection_status) -> &'static str {
    match status {
        syncline_connection_status::SYNCLINE_CONNECTION_DISCONNECTED => "disconnected",
        syncline_connection_status::SYNCLINE_CONNECTION_CONNECTING => "connecting",
        syncline_connection_status::SYNCLINE_CONNECTION_CONNECTED => "connected",
        syncline_connection_status::SYNCLINE_CONNECTION_RECONNECTING => "reconnecting",
        syncline_connection_status::SYNCLINE_CONNECTION_ERROR => "error",
        syncline_connection_status::SYNCLINE_CONNECTION_SUSPENDED => "suspended",
    }
}

impl Progress {
    pub(crate) fn value(&self) -> Value {
        object([
            ("pending_changes", number(self.pending_changes)),
            ("unstored_changes", number(self.unstored_changes)),
            ("synced", Value::Bool(self.synced)),
        ])
    }
}

impl ServerReport {
    pub(crate) fn value(&self) -> Value {
        object([
            ("kind", number(self.kind as u64)),
            ("client", string(&self.client)),
            ("room", string(&self.room)),
            ("message", string(&self.message)),
            ("error", Failure::value(self.failure.as_ref())),
        ])
    }
}
