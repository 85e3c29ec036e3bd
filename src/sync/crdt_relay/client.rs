//! One document of a client of a relay (specification 9.5).
//!
//! A relay does not know documents, so the client has to know what the relay's log holds: it keeps
//! the version that the log adds up to. What the document has beyond that is what is to be pushed;
//! so edits of before the connection, of an earlier run of the program, and those that a relay lost
//! with its disk are pushed like any other (traps 19 and 20; a Dart client pushes none of them).
//! One push is on its way at a time; further edits wait for its acknowledgement and go together.

mod session;

use super::SequenceTracker;
use crate::clock::VersionVector;
use crate::replica::Replica;
use crate::sync::awareness::{PresenceChange, PresenceError, PresenceView};
use crate::sync::crdt_sync::client::lifecycle::{Lifecycle, Phase};
use crate::sync::crdt_sync::client::presence;
use crate::sync::crdt_sync::{ClientAction, ClientOptions, ClientStatus, Message, Progress};
use session::Session;

/// Protocol state of one document on one socket of a relay. Used as
/// [`crdt_sync::Client`](crate::sync::crdt_sync::Client) is.
#[derive(Debug)]
pub struct RelayClient {
    life: Lifecycle<Session>,
    presence: PresenceView,
    /// What the relay's snapshot and log add up to, once it told; what is on its way is not in it.
    relay: Option<VersionVector>,
    imported: SequenceTracker,
}

impl RelayClient {
    /// A disconnected client. The seed is for the jitter of reconnects.
    pub fn new(options: ClientOptions, seed: u64) -> Self {
        RelayClient {
            presence: PresenceView::new(options.presence.clone()),
            life: Lifecycle::new(options, seed),
            relay: None,
            imported: SequenceTracker::default(),
        }
    }

    /// How it behaves.
    pub fn options(&self) -> &ClientOptions {
        &self.life.options
    }

    /// What the application sees of the connection.
    pub fn status(&self) -> ClientStatus {
        self.life.status
    }

    /// The name of the session, from the first handshake until `disconnect`.
    pub fn session_id(&self) -> Option<&str> {
        self.life.session_id.as_deref()
    }

    /// What the relay has for sure, once it said so.
    pub fn server_vector(&self) -> Option<&VersionVector> {
        self.relay.as_ref()
    }

    /// The number of the last entry of the log that was told of.
    pub fn last_known_seq(&self) -> i64 {
        self.imported.last()
    }

    /// How far the relay is. Cheap when nothing is pending, else as listing what is.
    pub fn progress(&self, replica: &dyn Replica) -> Progress {
        let covered = self
            .relay
            .as_ref()
            .is_some_and(|relay| relay.is_strictly_newer_or_equal_than(&replica.version_vector()));
        let pending = match &self.relay {
            _ if covered => 0,
            Some(relay) => replica.changes_newer_than(relay).len(),
            None => replica.change_count(),
        };
        let joined = matches!(&self.life.phase, Phase::Joined(session) if session.is_caught_up(&self.imported));
        Progress {
            pending,
            synced: covered && joined,
        }
    }

    /// Starts connecting, at once even if a reconnect is scheduled for later.
    pub fn connect(&mut self, now_ms: i64) {
        self.life.connect(now_ms);
    }

    /// Ends the connection and all attempts. The document stays usable.
    pub fn disconnect(&mut self) {
        self.life.disconnect();
        presence::disconnected(&mut self.presence, &mut self.life);
    }

    /// The transport asked for by [`ClientAction::Open`] is open.
    pub fn transport_opened(&mut self, now_ms: i64) {
        self.life
            .transport_opened(now_ms, |life| Message::RelayHello {
                document_id: life.document_id.clone(),
                author: life.options.author,
            });
    }

    /// The transport could not be opened, or was closed by somebody else than
    /// [`ClientAction::CloseTransport`].
    pub fn transport_closed(&mut self, now_ms: i64, reason: &str) {
        self.life.transport_closed(now_ms, reason);
        presence::notice_loss(&mut self.presence, &self.life, now_ms);
    }

    /// A text or binary WebSocket message arrived.
    pub fn receive(&mut self, frame: &[u8], now_ms: i64, replica: &mut dyn Replica) {
        if let Phase::Joined(session) = &mut self.life.phase {
            session.heard_something();
        }
        if let Some(message) = self.life.decoded(frame) {
            self.message(message, now_ms, replica);
        }
        presence::notice_loss(&mut self.presence, &self.life, now_ms);
    }

    /// The application committed changes: pushes them, unless a push is on its way.
    pub fn local_changes(&mut self, now_ms: i64, replica: &mut dyn Replica) {
        self.push(now_ms, replica);
    }

    /// Asks the relay for a welcome. Never needed on a sound connection.
    pub fn request_sync(&mut self, now_ms: i64) {
        self.ask(now_ms);
    }

    /// When [`tick`](Self::tick) wants to be called; in the past if it has something to do now.
    pub fn next_deadline(&self) -> Option<i64> {
        let life = match &self.life.phase {
            Phase::Joined(session) => {
                Some(session.next_deadline(&self.life.options, self.life.queue_has_room()))
            }
            _ => self.life.unjoined_deadline(),
        };
        let presence = self.presence.next_deadline();
        [life, presence].into_iter().flatten().min()
    }

    /// Time passed, or the queue was emptied.
    pub fn tick(&mut self, now_ms: i64, replica: &mut dyn Replica) {
        match &self.life.phase {
            Phase::Joined(_) => self.tick_session(now_ms, replica),
            _ => self.life.tick_unjoined(now_ms),
        }
        presence::notice_loss(&mut self.presence, &self.life, now_ms);
        presence::tick(&mut self.presence, &mut self.life, now_ms);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<ClientAction> {
        self.life.queue.pop()
    }

    /// What this client shows and sees of others.
    pub fn presence(&self) -> &PresenceView {
        &self.presence
    }

    /// Shows something to the others, throttled.
    ///
    /// # Errors
    /// The state cannot be sent; what was shown before stays.
    pub fn show(
        &mut self,
        change: impl FnOnce(&mut PresenceView) -> Result<PresenceChange, PresenceError>,
    ) -> Result<(), PresenceError> {
        presence::show(&mut self.presence, &mut self.life, change)
    }

    /// Asks the relay for the presence of everybody. Nothing while not joined.
    pub fn request_presence(&mut self) {
        presence::request(&mut self.life);
    }
}
