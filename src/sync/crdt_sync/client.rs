//! One document of a client on one socket.
//!
//! What to send follows from version vectors alone: a change goes out when it is newer than both
//! what the server reported and what was sent since. So nothing is queued while offline, nothing
//! is sent twice on a healthy connection, and after any accident the next report of the server
//! puts things right.

pub(in crate::sync) mod lifecycle;
mod options;
pub(in crate::sync) mod presence;
mod session;

pub use options::{
    ClientAction, ClientEvent, ClientOptions, ClientStatus, FailureReason, Progress,
};

use super::Message;
use crate::clock::VersionVector;
use crate::replica::Replica;
use crate::sync::awareness::{PresenceChange, PresenceError, PresenceView};
use lifecycle::{Lifecycle, Phase};
use session::Session;

/// Protocol state of one document on one socket. Memory: the frames that wait for
/// [`poll`](Client::poll), bounded by the options, two version vectors, and the presence of others.
#[derive(Debug)]
pub struct Client {
    life: Lifecycle<Session>,
    /// What the server said it has, the last time it did.
    server: Option<VersionVector>,
    presence: PresenceView,
}

impl Client {
    /// A disconnected client. The seed is for the jitter of reconnects.
    pub fn new(options: ClientOptions, seed: u64) -> Self {
        Client {
            presence: PresenceView::new(options.presence.clone()),
            life: Lifecycle::new(options, seed),
            server: None,
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

    /// What the server has for sure, once it said so.
    pub fn server_vector(&self) -> Option<&VersionVector> {
        self.server.as_ref()
    }

    /// How far the server is. Cheap when nothing is pending, else as listing what is.
    pub fn progress(&self, replica: &dyn Replica) -> Progress {
        let covered = self.server.as_ref().is_some_and(|server| {
            server.is_strictly_newer_or_equal_than(&replica.version_vector())
        });
        let pending = match &self.server {
            _ if covered => 0,
            Some(server) => replica.changes_newer_than(server).len(),
            None => replica.change_count(),
        };
        Progress {
            pending,
            synced: covered && matches!(self.life.phase, Phase::Joined(_)),
        }
    }

    /// Starts connecting, at once even if a reconnect is scheduled for later.
    pub fn connect(&mut self, now_ms: i64) {
        self.life.connect(now_ms);
    }

    /// Ends the connection and all attempts. The document stays usable. Frames that wait for
    /// `poll` still come out before the closure.
    pub fn disconnect(&mut self) {
        self.life.disconnect();
        presence::disconnected(&mut self.presence, &mut self.life);
    }

    /// The transport asked for by [`ClientAction::Open`] is open.
    pub fn transport_opened(&mut self, now_ms: i64, replica: &dyn Replica) {
        self.life
            .transport_opened(now_ms, |life| Message::HandshakeRequest {
                document_id: life.document_id.clone(),
                author: life.options.author,
                version_vector: replica.version_vector(),
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

    /// The application committed changes: sends what the server lacks.
    pub fn local_changes(&mut self, now_ms: i64, replica: &dyn Replica) {
        self.push(now_ms, replica, self.life.options.single_changes_max);
    }

    /// Asks the server for everything this document lacks, and sends what the server lacks when it
    /// answers. Never needed on a sound connection.
    pub fn request_sync(&mut self, now_ms: i64, replica: &dyn Replica) {
        self.ask(now_ms, replica);
    }

    /// When [`tick`](Self::tick) wants to be called; in the past if it has something to do now.
    pub fn next_deadline(&self) -> Option<i64> {
        let life = match &self.life.phase {
            Phase::Joined(session) => {
                let room = self.life.queue_has_room();
                Some(session.next_deadline(&self.life.options, room))
            }
            _ => self.life.unjoined_deadline(),
        };
        [life, self.presence.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time passed, or the queue was emptied.
    pub fn tick(&mut self, now_ms: i64, replica: &dyn Replica) {
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

    /// Shows something to the others, throttled. Goes out with the next [`tick`](Self::tick) that
    /// [`next_deadline`](Self::next_deadline) asks for.
    ///
    /// # Errors
    /// The state cannot be sent; what was shown before stays.
    pub fn show(
        &mut self,
        change: impl FnOnce(&mut PresenceView) -> Result<PresenceChange, PresenceError>,
    ) -> Result<(), PresenceError> {
        presence::show(&mut self.presence, &mut self.life, change)
    }

    /// Asks the server for the presence of everybody. Nothing while not joined.
    pub fn request_presence(&mut self) {
        presence::request(&mut self.life);
    }
}
