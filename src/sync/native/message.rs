//! The messages of `syncline.v1` (docs/protocol.md, chapter 4).

use crate::clock::{PeerId, VersionVector};

/// Bits of [`Hello::features`]; what both sides have is used.
pub mod feature {
    /// Deflated frames.
    pub const DEFLATE: u64 = 1;
    /// Presence.
    pub const PRESENCE: u64 = 2;
    /// All of them.
    pub const ALL: u64 = DEFLATE | PRESENCE;
}

/// The first message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version that the client speaks.
    pub version_min: u64,
    /// The latest.
    pub version_max: u64,
    /// See [`feature`].
    pub features: u64,
    /// Largest frame that the client takes, in bytes.
    pub frame_bytes_max: u64,
    /// Largest message put together from parts that it takes.
    pub message_bytes_max: u64,
    /// For logs: name and version of the program.
    pub agent: String,
}

/// The answer of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u64,
    /// What both have.
    pub features: u64,
    /// Largest frame that the server takes, in bytes.
    pub frame_bytes_max: u64,
    /// Largest message put together from parts that it takes.
    pub message_bytes_max: u64,
    /// Documents that one connection may have joined.
    pub channels_max: u64,
    /// A client that is silent for longer is cut off, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Names the connection in logs of the server.
    pub session: String,
}

/// A client wants a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The document.
    pub document_id: String,
    /// Shows what the client may do; empty: nothing to show.
    pub token: Vec<u8>,
    /// The writer of its changes.
    pub peer: PeerId,
    /// Whether it wants to write.
    pub write: bool,
    /// The room's epoch as the client knows it.
    pub epoch: Option<u64>,
    /// What it has.
    pub vector: VersionVector,
    /// A state of which it has the beginning: its number, and how many bytes.
    pub resume: Option<(u64, u64)>,
}

/// The answer to a [`Join`] that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What the client may do.
    pub access: Access,
    /// Whether a state follows.
    pub state_follows: bool,
    /// The level that acknowledgements of this room reach.
    pub level: Level,
    /// Of the room.
    pub epoch: u64,
    /// What the server has, at that level.
    pub vector: VersionVector,
}

/// What a session may do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Get the document.
    pub read: bool,
    /// Change it.
    pub write: bool,
}

impl Access {
    /// Everything.
    pub const ALL: Access = Access {
        read: true,
        write: true,
    };
}

/// Where what is acknowledged is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// In the server's memory, and on its way to the others.
    Memory,
    /// On the server's disk.
    Disk,
    /// On the disks of several.
    Quorum,
}

impl Level {
    pub(super) fn code(self) -> u64 {
        match self {
            Level::Memory => 0,
            Level::Disk => 1,
            Level::Quorum => 2,
        }
    }

    pub(super) fn of_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => Level::Memory,
            1 => Level::Disk,
            2 => Level::Quorum,
            _ => return None,
        })
    }
}

/// What a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// A container of changes.
    Changes,
    /// A container with a snapshot.
    Snapshot,
}

/// The presence of one member of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceEntry {
    /// The member's number in this room, given by the server: nobody can speak for another.
    pub member: u64,
    /// The application's bytes; empty: gone.
    pub state: Vec<u8>,
}

/// Why something was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// No version in common.
    Version,
    /// A frame that does not decode, or comes at the wrong time.
    Malformed,
    /// A named limit.
    Limit,
    /// The token is missing, wrong or expired.
    Unauthorised,
    /// The token does not allow it.
    Forbidden,
    /// No such document, and none is made.
    NotFound,
    /// Not at the moment; try again.
    Unavailable,
    /// The room was reset or restored: the client's copy belongs to another history. The detail is
    /// the new epoch, 8 bytes big endian.
    EpochChanged,
    /// Changes of somebody who may not write.
    ReadOnly,
    /// Changes that do not decode or that no peer could read.
    Invalid,
    /// Changes that build on some that the server lacks: join again.
    Missing,
    /// A stream that was interrupted: join again.
    Stream,
    /// The clock of the changes is too far ahead.
    Clock,
    /// The connection is in this room already.
    AlreadyJoined,
    /// The server stops, or wants fewer clients.
    GoingAway,
    /// An operator or the application ended it.
    Evicted,
    /// A code of a later version.
    Other(u64),
}

impl Code {
    const ALL: [Code; 16] = [
        Code::Version,
        Code::Malformed,
        Code::Limit,
        Code::Unauthorised,
        Code::Forbidden,
        Code::NotFound,
        Code::Unavailable,
        Code::EpochChanged,
        Code::ReadOnly,
        Code::Invalid,
        Code::Missing,
        Code::Stream,
        Code::Clock,
        Code::AlreadyJoined,
        Code::GoingAway,
        Code::Evicted,
    ];

    /// The number on the wire.
    pub fn number(self) -> u64 {
        match self {
            Code::Other(number) => number,
            known => Self::ALL
                .iter()
                .position(|code| *code == known)
                .map_or(0, |at| at as u64 + 1),
        }
    }

    /// The code with this number.
    pub fn of_number(number: u64) -> Self {
        let at = number
            .checked_sub(1)
            .and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| Self::ALL.get(at).copied())
            .unwrap_or(Code::Other(number))
    }
}

/// One protocol message. The channel numbers a document on its connection; the client chooses it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Client to server: the first message.
    Hello(Hello),
    /// Server to client: the answer.
    Welcome(Welcome),
    /// Either way: answer with the same number.
    Ping(u64),
    /// The answer.
    Pong(u64),
    /// Server to client: connect again elsewhere, or later.
    GoAway {
        /// Why.
        code: Code,
        /// Wait at least so long before connecting again.
        delay_ms: u64,
        /// For people.
        text: String,
    },
    /// Either way: the connection ends because of this.
    Error {
        /// Why.
        code: Code,
        /// For people.
        text: String,
    },
    /// Client to server.
    Join(u32, Join),
    /// Server to client.
    Joined(u32, Joined),
    /// Server to client: a piece of a state.
    State {
        /// The document.
        channel: u32,
        /// The state's number.
        id: u64,
        /// What it is.
        kind: StateKind,
        /// Where the piece begins.
        offset: u64,
        /// Length of the state.
        total: u64,
        /// The piece.
        bytes: Vec<u8>,
    },
    /// Client to server: a container of changes. A batch.
    Changes {
        /// The document.
        channel: u32,
        /// The container.
        container: Vec<u8>,
    },
    /// Either way: the next update of the stream of this direction; from a client, a batch.
    Update {
        /// The document.
        channel: u32,
        /// A new stream begins with it.
        begins: bool,
        /// The update.
        update: Vec<u8>,
    },
    /// Server to client: the next `count` batches of the channel have reached `level`.
    Acknowledged {
        /// The document.
        channel: u32,
        /// Which level.
        level: Level,
        /// How many batches more.
        count: u64,
    },
    /// Server to client: a batch was refused, or, with batch 0, the client is not or no longer in the
    /// room. No later batch of the channel is taken before it is joined again.
    Refused {
        /// The document.
        channel: u32,
        /// The number of the batch, counted from 1 on this channel.
        batch: u64,
        /// Why.
        code: Code,
        /// Try again after this time, in milliseconds; 0: it would not help.
        retry_after_ms: u64,
        /// Depends on the code.
        detail: Vec<u8>,
        /// For people.
        text: String,
    },
    /// Client to server: no more of this document.
    Leave(u32),
    /// Server to client: the answer; the channel is free again.
    Left(u32),
    /// Client to server: a fresh token.
    Token {
        /// The document.
        channel: u32,
        /// The token.
        token: Vec<u8>,
    },
    /// Server to client: what the session may do from now on.
    AccessChanged {
        /// The document.
        channel: u32,
        /// What it may do.
        access: Access,
    },
    /// Client to server: the own presence; empty: none.
    Presence {
        /// The document.
        channel: u32,
        /// The application's bytes.
        state: Vec<u8>,
    },
    /// Server to client: the presence of others.
    PresenceOf {
        /// The document.
        channel: u32,
        /// Those that changed; to a newcomer, all.
        entries: Vec<PresenceEntry>,
    },
    /// Server to client: whether what it takes reaches the disk.
    Durability {
        /// The document.
        channel: u32,
        /// False: acknowledgements will be late.
        durable: bool,
    },
    /// Either way: a piece of a frame that is too large to be sent at once. The pieces of a channel
    /// come in order; the last one completes the frame.
    Part {
        /// The document.
        channel: u32,
        /// Whether it completes the frame.
        last: bool,
        /// The piece.
        bytes: Vec<u8>,
    },
    /// Either way: the application's own; types 64 to 127.
    Application {
        /// Its type.
        message_type: u8,
        /// The document it is about; 0: none.
        channel: u32,
        /// The application's bytes.
        bytes: Vec<u8>,
    },
    /// A type of a later version: skipped.
    Unknown {
        /// The type.
        message_type: u8,
    },
}
