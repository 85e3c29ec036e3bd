//! The protocol of a client, whichever it is.
//!
//! Layer: `net`. Delegates; the modes differ in what they need of the document.

use crate::clock::VersionVector;
use crate::document::Document;
use crate::sync::awareness::{PresenceChange, PresenceError, PresenceView};
use crate::sync::crdt_relay::RelayClient;
use crate::sync::crdt_sync::{Client, ClientAction, ClientOptions, ClientStatus, Progress};

/// What a client and a server of crdt_socket_sync agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientMode {
    /// The server has the documents.
    #[default]
    Sync,
    /// The server has a log of what clients send, and knows nothing of documents.
    Relay,
}

pub(super) enum Protocol {
    Sync(Client),
    Relay(RelayClient),
}

/// Calls the same method of either.
macro_rules! either {
    ($protocol:expr, $client:ident => $call:expr) => {
        match $protocol {
            Protocol::Sync($client) => $call,
            Protocol::Relay($client) => $call,
        }
    };
}

impl Protocol {
    pub fn new(mode: ClientMode, options: ClientOptions, seed: u64) -> Self {
        match mode {
            ClientMode::Sync => Protocol::Sync(Client::new(options, seed)),
            ClientMode::Relay => Protocol::Relay(RelayClient::new(options, seed)),
        }
    }

    pub fn status(&self) -> ClientStatus {
        either!(self, client => client.status())
    }

    pub fn session_id(&self) -> Option<&str> {
        either!(self, client => client.session_id())
    }

    pub fn server_vector(&self) -> Option<&VersionVector> {
        either!(self, client => client.server_vector())
    }

    /// Of relays; 0 otherwise.
    pub fn last_known_seq(&self) -> i64 {
        match self {
            Protocol::Sync(_) => 0,
            Protocol::Relay(client) => client.last_known_seq(),
        }
    }

    pub fn progress(&self, document: &Document) -> Progress {
        either!(self, client => client.progress(document))
    }

    pub fn connect(&mut self, now_ms: i64) {
        either!(self, client => client.connect(now_ms));
    }

    pub fn disconnect(&mut self) {
        either!(self, client => client.disconnect());
    }

    pub fn transport_opened(&mut self, now_ms: i64, document: &Document) {
        match self {
            Protocol::Sync(client) => client.transport_opened(now_ms, document),
            Protocol::Relay(client) => client.transport_opened(now_ms),
        }
    }

    pub fn transport_closed(&mut self, now_ms: i64, reason: &str) {
        either!(self, client => client.transport_closed(now_ms, reason));
    }

    pub fn receive(&mut self, frame: &[u8], now_ms: i64, document: &mut Document) {
        either!(self, client => client.receive(frame, now_ms, document));
    }

    pub fn local_changes(&mut self, now_ms: i64, document: &mut Document) {
        either!(self, client => client.local_changes(now_ms, document));
    }

    pub fn request_sync(&mut self, now_ms: i64, document: &Document) {
        match self {
            Protocol::Sync(client) => client.request_sync(now_ms, document),
            Protocol::Relay(client) => client.request_sync(now_ms),
        }
    }

    pub fn next_deadline(&self) -> Option<i64> {
        either!(self, client => client.next_deadline())
    }

    pub fn tick(&mut self, now_ms: i64, document: &mut Document) {
        either!(self, client => client.tick(now_ms, document));
    }

    pub fn poll(&mut self) -> Option<ClientAction> {
        either!(self, client => client.poll())
    }

    pub fn presence(&self) -> &PresenceView {
        either!(self, client => client.presence())
    }

    pub fn show(
        &mut self,
        change: impl FnOnce(&mut PresenceView) -> Result<PresenceChange, PresenceError>,
    ) -> Result<(), PresenceError> {
        either!(self, client => client.show(change))
    }

    pub fn request_presence(&mut self) {
        either!(self, client => client.request_presence());
    }
}
