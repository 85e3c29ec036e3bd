//! How a client of the native dialect behaves, and what it says.

use crate::clock::VersionVector;
use crate::sync::backoff::Delays;
use crate::sync::native::Limits;
use crate::sync::native::frame::FrameError;
use crate::sync::native::message::{Access, Code, PresenceEntry, StateKind, feature};

/// How a client behaves. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// What is accepted.
    pub limits: Limits,
    /// Name and version of the program, for the logs of the server.
    pub agent: String,
    /// See [`feature`].
    pub features: u64,
    /// Time for name, TCP, TLS and WebSocket upgrade.
    pub open_timeout_ms: i64,
    /// Time from the open socket to the welcome, and from a join to its answer.
    pub answer_timeout_ms: i64,
    /// Time between pings.
    pub ping_interval_ms: i64,
    /// Silence after a ping that means that the connection is dead.
    pub ping_timeout_ms: i64,
    /// The same after a change of the network.
    pub ping_timeout_after_change_ms: i64,
    /// Attempts in a row before giving up; `None`: without end.
    pub reconnect_attempts_max: Option<u32>,
    /// Upper bound of the first delay before reconnecting; doubles with each attempt.
    pub reconnect_delay_first_ms: i64,
    /// Upper bound of every delay.
    pub reconnect_delay_max_ms: i64,
    /// A connection that lasted for so long makes the next delays small again.
    pub reconnect_healthy_after_ms: i64,
    /// A backlog leaves in containers of about this size, each acknowledged on its own.
    pub push_bytes: usize,
    /// Unsent bytes at which no more is made to be sent.
    pub queue_bytes_max: usize,
    /// Larger frames leave in parts of this size.
    pub part_bytes: usize,
    /// Frames of at least so many bytes are deflated if that helps.
    pub deflate_bytes_min: usize,
    /// Largest state that is taken.
    pub state_bytes_max: usize,
    /// Documents joined at a time, if the server allows as many.
    pub channels_max: usize,
    /// Events are dropped above this many that nobody took.
    pub actions_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            limits: Limits::default(),
            agent: concat!("syncline/", env!("CARGO_PKG_VERSION")).to_owned(),
            features: feature::ALL,
            open_timeout_ms: 10_000,
            answer_timeout_ms: 10_000,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 15_000,
            ping_timeout_after_change_ms: 3_000,
            reconnect_attempts_max: None,
            reconnect_delay_first_ms: 200,
            reconnect_delay_max_ms: 30_000,
            reconnect_healthy_after_ms: 30_000,
            push_bytes: 64 << 10,
            queue_bytes_max: 2 << 20,
            part_bytes: 64 << 10,
            deflate_bytes_min: 512,
            state_bytes_max: 1 << 30,
            channels_max: 64,
            actions_max: 4096,
        }
    }
}

impl ClientOptions {
    pub(super) fn delays(&self) -> Delays {
        Delays {
            first_ms: self.reconnect_delay_first_ms,
            max_ms: self.reconnect_delay_max_ms,
            healthy_after_ms: self.reconnect_healthy_after_ms,
            attempts_max: self.reconnect_attempts_max,
        }
    }
}

/// Names a document of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey(pub u32);

/// What the application sees of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientStatus {
    /// Nothing is wanted.
    #[default]
    Disconnected,
    /// The first attempt is under way.
    Connecting,
    /// The server said welcome.
    Connected,
    /// The connection was lost or could not be made; another attempt follows.
    Reconnecting,
    /// No more attempts.
    Failed,
}

/// How far one document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentPhase {
    /// There is no connection.
    Offline,
    /// A join is due or under way.
    Joining,
    /// Joined; with the state that the server sends, if it does.
    Live,
    /// Joined, but edits stay here, because one was refused for this reason.
    ReadOnly(Code),
    /// Not joined for this reason, until the application does something about it.
    Stopped(Code),
}

/// "Is my edit safe?"
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Changes of the document that the server does not have for sure.
    pub pending: usize,
    /// Joined, nothing is pending, and no state is on its way.
    pub synced: bool,
}

/// What a client wants done, in this order. Frames are taken with
/// [`Client::next_frame`](super::Client::next_frame).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientAction {
    /// Open a transport, then call `transport_opened` or `transport_closed`.
    Open,
    /// Close it; nothing needs to be called.
    CloseTransport {
        /// WebSocket close code.
        code: u16,
    },
    /// The status changed.
    Status(ClientStatus),
    /// Tell the application.
    Event(ClientEvent),
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server said welcome; the name of the session.
    Connected {
        /// For logs.
        session: String,
    },
    /// An attempt or a connection ended.
    ConnectionFailed {
        /// Why.
        reason: String,
        /// When the next attempt is made, if one is.
        retry_at_ms: Option<i64>,
    },
    /// The server asks to connect again later.
    GoAway {
        /// Why.
        code: Code,
        /// How much later.
        delay_ms: u64,
        /// For people.
        text: String,
    },
    /// A document was joined.
    Joined {
        /// Which.
        key: DocumentKey,
        /// What may be done.
        access: Access,
        /// The room's epoch: store it with the document.
        epoch: u64,
    },
    /// Part of a state arrived.
    StateProgress {
        /// Of which document.
        key: DocumentKey,
        /// Bytes that are here.
        received: u64,
        /// Of so many.
        total: u64,
    },
    /// Changes of others are in the document.
    RemoteChanges {
        /// Of which document.
        key: DocumentKey,
        /// How many; 0 for a snapshot.
        applied: usize,
    },
    /// The server has more of the document for sure.
    Acknowledged {
        /// Of which document.
        key: DocumentKey,
    },
    /// Edits were refused, or the document could not be joined. Nothing is lost: they stay
    /// pending.
    Refused {
        /// Of which document.
        key: DocumentKey,
        /// Why.
        code: Code,
        /// For people.
        text: String,
        /// Whether another attempt is made without the application.
        retries: bool,
    },
    /// The room was reset: the document belongs to another history. Keep it as a copy, attach an
    /// empty one.
    EpochChanged {
        /// Of which document.
        key: DocumentKey,
        /// The new one.
        epoch: u64,
    },
    /// What may be done changed.
    AccessChanged {
        /// Of which document.
        key: DocumentKey,
        /// What may be done.
        access: Access,
    },
    /// Presence of others.
    Presence {
        /// Of which document.
        key: DocumentKey,
        /// Those that changed.
        entries: Vec<PresenceEntry>,
    },
    /// Whether what the server takes reaches its disk.
    Durability {
        /// Of which document.
        key: DocumentKey,
        /// False: acknowledgements will be late.
        durable: bool,
    },
    /// The application's own message.
    Application {
        /// The document; none: of the connection.
        key: Option<DocumentKey>,
        /// Its type, 64 to 127.
        message_type: u8,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A frame could not be used.
    FrameDropped(FrameError),
    /// What the server sent was not taken in; the document is joined again.
    ImportRefused {
        /// Of which document.
        key: DocumentKey,
        /// Why.
        reason: String,
    },
    /// The server lacks changes that were pruned here, so that they cannot be sent.
    ServerTooOld {
        /// Of which document.
        key: DocumentKey,
    },
}

/// Something that needs the document: give it to [`Client::handle`](super::Client::handle).
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Of which join: what belongs to an earlier one is ignored.
    pub(super) join: u64,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Joined { vector: VersionVector },
    State { kind: StateKind, bytes: Vec<u8> },
    Update { begins: bool, update: Vec<u8> },
}

impl Incoming {
    /// Bytes that it holds, about.
    pub fn len(&self) -> usize {
        match &self.content {
            Content::Joined { vector } => vector.len() * 24,
            Content::State { bytes, .. } => bytes.len(),
            Content::Update { update, .. } => update.len(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
