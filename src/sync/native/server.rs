//! One socket of a server: decodes its frames, gives them to rooms, watches for silence.

use super::VERSION;
use super::frame::{self, FrameError, Limits};
use super::message::{Access, Code, Hello, Join, Level, Message, Welcome, feature};
use super::parts::{Assembly, Outgoing, is_part};
use super::room::RoomInput;
use crate::sync::crdt_sync::SessionId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// What is accepted.
    pub limits: Limits,
    /// A connection that is silent for longer is closed, in milliseconds.
    pub idle_timeout_ms: i64,
    /// A connection that says no hello for longer is closed.
    pub hello_timeout_ms: i64,
    /// Documents that one connection may have joined.
    pub channels_max: usize,
    /// See [`feature`].
    pub features: u64,
    /// Larger frames leave in parts of this size.
    pub part_bytes: usize,
    /// Frames of at least so many bytes are deflated if that helps.
    pub deflate_bytes_min: usize,
    /// What an acknowledgement means.
    pub level: Level,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            limits: Limits::default(),
            idle_timeout_ms: 60_000,
            hello_timeout_ms: 10_000,
            channels_max: 64,
            features: feature::ALL,
            part_bytes: 64 << 10,
            deflate_bytes_min: 512,
            level: Level::Disk,
        }
    }
}

/// Something a connection wants done, in this order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionAction {
    /// Send on this socket.
    Send(Outgoing),
    /// The other side said what it takes.
    Greeted {
        /// Largest frame.
        frame_bytes_max: usize,
        /// Whether frames may be deflated.
        deflate: bool,
    },
    /// Find out what the session may do (the token is in the join), load the room, and give it
    /// [`RoomInput::Join`]; or call [`ServerConnection::refuse`].
    Join {
        /// Where.
        channel: u32,
        /// The document.
        document_id: Arc<str>,
        /// The wish.
        join: Join,
    },
    /// A fresh token: find out what the session may do and give the room [`RoomInput::Access`].
    Token {
        /// Where.
        channel: u32,
        /// The document.
        document_id: Arc<str>,
        /// The token.
        token: Vec<u8>,
    },
    /// Give to the room of a document. If the session never reached it: for
    /// [`RoomInput::Leave`] call [`ServerConnection::left`], else nothing is lost.
    ToRoom {
        /// Where.
        channel: u32,
        /// The document.
        document_id: Arc<str>,
        /// The message.
        input: RoomInput,
    },
    /// The application's own message.
    Application {
        /// The document; none: of the connection.
        document_id: Option<Arc<str>>,
        /// Its type, 64 to 127.
        message_type: u8,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A frame of a type that is not known was skipped.
    Skipped {
        /// The type.
        message_type: u8,
    },
    /// Close the socket, then call [`ServerConnection::closed`].
    Close {
        /// WebSocket close code.
        code: u16,
        /// For people.
        reason: String,
    },
}

/// Protocol state of one socket. Memory: the names of at most
/// [`channels_max`](ServerOptions::channels_max) documents and what arrived of messages in parts.
#[derive(Debug)]
pub struct ServerConnection {
    options: Arc<ServerOptions>,
    session: SessionId,
    greeted: bool,
    opened_ms: i64,
    last_frame_ms: i64,
    channels: BTreeMap<u32, Arc<str>>,
    assembly: Assembly,
    closed: bool,
}

/// WebSocket close codes.
const CLOSE_IDLE: u16 = 1001;
const CLOSE_PROTOCOL: u16 = 1002;
const CLOSE_MALFORMED: u16 = 1007;
const CLOSE_TOO_BIG: u16 = 1009;

impl ServerConnection {
    /// A socket was opened.
    pub fn new(options: Arc<ServerOptions>, session: SessionId, now_ms: i64) -> Self {
        ServerConnection {
            options,
            session,
            greeted: false,
            opened_ms: now_ms,
            last_frame_ms: now_ms,
            channels: BTreeMap::new(),
            assembly: Assembly::default(),
            closed: false,
        }
    }

    /// The session's name.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// A binary WebSocket message arrived.
    pub fn receive(&mut self, bytes: &[u8], now_ms: i64) -> Vec<ConnectionAction> {
        if self.closed {
            return Vec::new();
        }
        self.last_frame_ms = now_ms;
        match self.message_of(bytes) {
            Ok(None) => Vec::new(),
            Ok(Some(message)) => self.message(message),
            Err(error) => self.malformed(&error),
        }
    }

    fn message_of(&mut self, bytes: &[u8]) -> Result<Option<Message>, FrameError> {
        let limits = &self.options.limits;
        let (channel, last, part) = match frame::decode(bytes, limits)? {
            Message::Part {
                channel,
                last,
                bytes,
            } => (channel, last, bytes),
            message => return Ok(Some(message)),
        };
        // Of a channel that is not joined it can only be a join.
        let waiting = self.assembly.waiting(channel).saturating_add(part.len());
        if !self.channels.contains_key(&channel) && waiting > limits.frame_bytes_max {
            return Err(FrameError::Limit("frame_bytes_max"));
        }
        match self.assembly.add(channel, last, &part, limits)? {
            None => Ok(None),
            Some(whole) if is_part(&whole) => Err(FrameError::Limit("parts of parts")),
            Some(whole) => frame::decode_whole(&whole, limits).map(Some),
        }
    }

    fn malformed(&mut self, error: &FrameError) -> Vec<ConnectionAction> {
        let (code, close) = match error {
            FrameError::Limit(_) => (Code::Limit, CLOSE_TOO_BIG),
            _ => (Code::Malformed, CLOSE_MALFORMED),
        };
        self.end(code, close, error.to_string())
    }

    /// Says why, and closes.
    fn end(&mut self, code: Code, close: u16, reason: String) -> Vec<ConnectionAction> {
        let text = reason.clone();
        vec![
            send(0, &Message::Error { code, text }),
            ConnectionAction::Close {
                code: close,
                reason,
            },
        ]
    }

    fn message(&mut self, message: Message) -> Vec<ConnectionAction> {
        if let Message::Hello(hello) = &message {
            return self.hello(hello);
        }
        if !self.greeted {
            return self.end(Code::Malformed, CLOSE_PROTOCOL, "no hello".to_owned());
        }
        match message {
            Message::Ping(number) => vec![send(0, &Message::Pong(number))],
            Message::Join(channel, join) => self.join(channel, join),
            Message::Changes { channel, container } => {
                self.for_room(channel, RoomInput::Changes(container))
            }
            Message::Update {
                channel,
                begins,
                update,
            } => self.for_room(channel, RoomInput::Update { begins, update }),
            Message::Presence { channel, state } => {
                self.for_room(channel, RoomInput::Presence(state))
            }
            Message::Leave(channel) => {
                self.assembly.forget(channel);
                let actions = self.for_room(channel, RoomInput::Leave);
                self.channels.remove(&channel);
                actions
            }
            Message::Token { channel, token } => match self.channels.get(&channel) {
                None => Vec::new(),
                Some(document_id) => vec![ConnectionAction::Token {
                    channel,
                    document_id: document_id.clone(),
                    token,
                }],
            },
            Message::Application {
                message_type,
                channel,
                bytes,
            } => vec![ConnectionAction::Application {
                document_id: self.channels.get(&channel).cloned(),
                message_type,
                bytes,
            }],
            Message::Unknown { message_type } => vec![ConnectionAction::Skipped { message_type }],
            Message::Error { code, text } => vec![ConnectionAction::Close {
                code: CLOSE_PROTOCOL,
                reason: format!("the client gives up: {code:?}: {text}"),
            }],
            Message::Pong(_) => Vec::new(),
            // What only a server says.
            _ => {
                let reason = "a message of a server".to_owned();
                self.end(Code::Malformed, CLOSE_PROTOCOL, reason)
            }
        }
    }

    fn hello(&mut self, hello: &Hello) -> Vec<ConnectionAction> {
        if std::mem::replace(&mut self.greeted, true) {
            return self.end(Code::Malformed, CLOSE_PROTOCOL, "a second hello".to_owned());
        }
        if hello.version_min > VERSION || hello.version_max < VERSION {
            let reason = format!("this server speaks version {VERSION}");
            return self.end(Code::Version, CLOSE_PROTOCOL, reason);
        }
        let features = hello.features & self.options.features;
        let welcome = Welcome {
            version: VERSION,
            features,
            frame_bytes_max: self.options.limits.frame_bytes_max as u64,
            message_bytes_max: self.options.limits.message_bytes_max as u64,
            channels_max: self.options.channels_max as u64,
            idle_timeout_ms: self.options.idle_timeout_ms.max(0) as u64,
            session: self.session.to_string(),
        };
        vec![
            ConnectionAction::Greeted {
                frame_bytes_max: usize::try_from(hello.frame_bytes_max).unwrap_or(usize::MAX),
                deflate: features & feature::DEFLATE != 0,
            },
            send(0, &Message::Welcome(welcome)),
        ]
    }

    fn join(&mut self, channel: u32, join: Join) -> Vec<ConnectionAction> {
        if self.channels.contains_key(&channel) {
            let reason = "the channel is in use".to_owned();
            return self.end(Code::Malformed, CLOSE_PROTOCOL, reason);
        }
        if self.channels.len() >= self.options.channels_max {
            // Not remembered: the answer to leaving it comes all the same.
            return vec![refused(channel, Code::Limit, 0, "channels_max")];
        }
        let document_id: Arc<str> = join.document_id.as_str().into();
        self.channels.insert(channel, document_id.clone());
        vec![ConnectionAction::Join {
            channel,
            document_id,
            join,
        }]
    }

    fn for_room(&mut self, channel: u32, input: RoomInput) -> Vec<ConnectionAction> {
        match self.channels.get(&channel) {
            Some(document_id) => vec![ConnectionAction::ToRoom {
                channel,
                document_id: document_id.clone(),
                input,
            }],
            None if matches!(input, RoomInput::Leave) => vec![Self::left(channel)],
            // On its way when the channel ended.
            None => Vec::new(),
        }
    }

    /// A join could not reach its room.
    pub fn refuse(channel: u32, code: Code, retry_after_ms: u64) -> ConnectionAction {
        let text = match code {
            Code::NotFound => "there is no such document",
            Code::Forbidden => "not allowed",
            Code::Unauthorised => "the token does not open this document",
            _ => "the document is not available",
        };
        refused(channel, code, retry_after_ms, text)
    }

    /// A client left a room that it never reached.
    pub fn left(channel: u32) -> ConnectionAction {
        ConnectionAction::Send(Outgoing::Left { channel })
    }

    /// When [`tick`](Self::tick) wants to be called, in milliseconds.
    pub fn next_deadline(&self) -> i64 {
        match (self.closed, self.greeted) {
            (true, _) => i64::MAX,
            (false, true) => self
                .last_frame_ms
                .saturating_add(self.options.idle_timeout_ms),
            (false, false) => self.opened_ms.saturating_add(self.options.hello_timeout_ms),
        }
    }

    /// Time passed: closes a connection that was silent for too long.
    pub fn tick(&mut self, now_ms: i64) -> Vec<ConnectionAction> {
        if self.closed || now_ms < self.next_deadline() {
            return Vec::new();
        }
        vec![ConnectionAction::Close {
            code: CLOSE_IDLE,
            reason: "idle".to_owned(),
        }]
    }

    /// The socket is closed: the rooms to leave. Later calls do nothing.
    pub fn closed(&mut self) -> Vec<ConnectionAction> {
        self.closed = true;
        let channels = std::mem::take(&mut self.channels);
        channels
            .into_iter()
            .map(|(channel, document_id)| ConnectionAction::ToRoom {
                channel,
                document_id,
                input: RoomInput::Leave,
            })
            .collect()
    }
}

fn send(channel: u32, message: &Message) -> ConnectionAction {
    ConnectionAction::Send(Outgoing::message(channel, message))
}

fn refused(channel: u32, code: Code, retry_after_ms: u64, text: &str) -> ConnectionAction {
    let message = Message::Refused {
        channel,
        batch: 0,
        code,
        retry_after_ms,
        detail: Vec::new(),
        text: text.to_owned(),
    };
    send(channel, &message)
}

impl Access {
    /// What is granted of a wish.
    pub fn limited_to(self, write: bool) -> Access {
        Access {
            read: self.read,
            write: self.write && write,
        }
    }
}
