//! Frames: a byte for the type, the channel if there is one, and the fields. Bit 7 of the first byte
//! tells that the rest is deflated.
//!
//! Decoding takes what is there and checks it against the limits before anything is allocated for
//! it; nothing is kept of a frame that is refused.

use super::message::{
    Access, Code, Hello, Join, Joined, Level, Message, PresenceEntry, StateKind, Welcome,
};
use crate::clock::{PeerId, VersionVector};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, Reader, version_vector};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::fmt;
use std::io::{Read, Write};

/// Types of messages.
pub(super) mod kind {
    pub const HELLO: u8 = 0x01;
    pub const WELCOME: u8 = 0x02;
    pub const PING: u8 = 0x03;
    pub const PONG: u8 = 0x04;
    pub const GO_AWAY: u8 = 0x05;
    pub const ERROR: u8 = 0x06;
    pub const JOIN: u8 = 0x10;
    pub const JOINED: u8 = 0x11;
    pub const STATE: u8 = 0x12;
    pub const CHANGES: u8 = 0x13;
    pub const UPDATE: u8 = 0x14;
    pub const UPDATE_BEGINS: u8 = 0x15;
    pub const ACKNOWLEDGED: u8 = 0x16;
    pub const REFUSED: u8 = 0x17;
    pub const LEAVE: u8 = 0x18;
    pub const LEFT: u8 = 0x19;
    pub const TOKEN: u8 = 0x1a;
    pub const ACCESS: u8 = 0x1b;
    pub const PRESENCE: u8 = 0x1c;
    pub const PRESENCE_OF: u8 = 0x1d;
    pub const DURABILITY: u8 = 0x1e;
    pub const PART: u8 = 0x20;
    /// The first of the application's own.
    pub const APPLICATION: u8 = 0x40;
    pub const DEFLATED: u8 = 0x80;
}

/// What is accepted from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame as received.
    pub frame_bytes_max: usize,
    /// Bytes of a frame that was put together from parts, and of an inflated one. At most so much
    /// waits for its last part, over all channels.
    pub message_bytes_max: usize,
    /// How often larger than deflated a frame may be.
    pub inflate_ratio_max: usize,
    /// Bytes of a document id.
    pub document_id_bytes_max: usize,
    /// Bytes of a token.
    pub token_bytes_max: usize,
    /// Authors of a version vector.
    pub authors_max: usize,
    /// Bytes of one presence.
    pub presence_bytes_max: usize,
    /// Bytes of a text for people.
    pub text_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes_max: 1 << 20,
            message_bytes_max: 64 << 20,
            inflate_ratio_max: 100,
            document_id_bytes_max: 1024,
            token_bytes_max: 16 << 10,
            authors_max: 40_000,
            presence_bytes_max: 64 << 10,
            text_bytes_max: 1024,
        }
    }
}

/// Why a frame is not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A named limit is exceeded.
    Limit(&'static str),
    /// The deflated rest is damaged.
    Deflate,
    /// A field is missing or out of its range.
    Field(DecodeError),
}

impl From<DecodeError> for FrameError {
    fn from(error: DecodeError) -> Self {
        FrameError::Field(error)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Limit(limit) => write!(f, "the frame exceeds {limit}"),
            FrameError::Deflate => f.write_str("the deflated data is damaged"),
            FrameError::Field(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A received frame as a message.
///
/// # Errors
/// Anything a limit or the format refuses.
pub fn decode(frame: &[u8], limits: &Limits) -> Result<Message, FrameError> {
    if frame.len() > limits.frame_bytes_max {
        return Err(FrameError::Limit("frame_bytes_max"));
    }
    decode_whole(frame, limits)
}

/// A frame that may have come in parts.
pub(super) fn decode_whole(frame: &[u8], limits: &Limits) -> Result<Message, FrameError> {
    let mut reader = Reader::new(frame);
    let head = reader.byte("the type of a message")?;
    if head & kind::DEFLATED == 0 {
        return body(head, reader, limits);
    }
    let inflated = inflate(reader, limits)?;
    body(head & !kind::DEFLATED, Reader::new(&inflated), limits)
}

fn inflate(mut reader: Reader<'_>, limits: &Limits) -> Result<Vec<u8>, FrameError> {
    let len =
        usize::try_from(reader.uvarint()?).map_err(|_| FrameError::Limit("message_bytes_max"))?;
    let packed = reader.rest();
    if len > limits.message_bytes_max {
        return Err(FrameError::Limit("message_bytes_max"));
    }
    if len > packed.len().saturating_mul(limits.inflate_ratio_max) {
        return Err(FrameError::Limit("inflate_ratio_max"));
    }
    let mut out = Vec::with_capacity(len);
    let mut decoder = DeflateDecoder::new(packed).take(len as u64 + 1);
    match decoder.read_to_end(&mut out) {
        Ok(_) if out.len() == len => Ok(out),
        _ => Err(FrameError::Deflate),
    }
}

/// The frame deflated, if that makes it shorter and every peer will inflate it.
#[must_use]
pub fn deflated(frame: Vec<u8>, threshold: usize) -> Vec<u8> {
    /// Below the limit of every peer.
    const RATIO_MAX: usize = 100;
    let Some((head, rest)) = frame.split_first() else {
        return frame;
    };
    if frame.len() < threshold || head & kind::DEFLATED != 0 {
        return frame;
    }
    let mut packed = vec![head | kind::DEFLATED];
    write_uvarint(&mut packed, rest.len() as u64);
    let start = packed.len();
    let mut encoder = DeflateEncoder::new(packed, Compression::default());
    encoder
        .write_all(rest)
        .expect("writing to memory cannot fail");
    let packed = encoder.finish().expect("writing to memory cannot fail");
    let ratio_fits = rest.len() <= (packed.len() - start).saturating_mul(RATIO_MAX);
    match packed.len() < frame.len() && ratio_fits {
        true => packed,
        false => frame,
    }
}

fn body(head: u8, mut reader: Reader<'_>, limits: &Limits) -> Result<Message, FrameError> {
    let input = &mut reader;
    let message = match head {
        kind::HELLO => {
            let hello = Hello {
                version_min: input.uvarint()?,
                version_max: input.uvarint()?,
                features: input.uvarint()?,
                frame_bytes_max: input.uvarint()?,
                message_bytes_max: input.uvarint()?,
                agent: text(input, limits)?,
            };
            // Later versions may say more.
            input.rest();
            Message::Hello(hello)
        }
        kind::WELCOME => {
            let welcome = Welcome {
                version: input.uvarint()?,
                features: input.uvarint()?,
                frame_bytes_max: input.uvarint()?,
                message_bytes_max: input.uvarint()?,
                channels_max: input.uvarint()?,
                idle_timeout_ms: input.uvarint()?,
                session: text(input, limits)?,
            };
            input.rest();
            Message::Welcome(welcome)
        }
        kind::PING => Message::Ping(input.uvarint()?),
        kind::PONG => Message::Pong(input.uvarint()?),
        kind::GO_AWAY => Message::GoAway {
            code: Code::of_number(input.uvarint()?),
            delay_ms: input.uvarint()?,
            text: text(input, limits)?,
        },
        kind::ERROR => Message::Error {
            code: Code::of_number(input.uvarint()?),
            text: text(input, limits)?,
        },
        kind::APPLICATION..=0x7f => Message::Application {
            message_type: head,
            channel: any_channel(input)?,
            bytes: input.rest().to_vec(),
        },
        kind::JOIN..=kind::DURABILITY | kind::PART => {
            return channel_body(head, reader, limits);
        }
        message_type => return Ok(Message::Unknown { message_type }),
    };
    reader.finish()?;
    Ok(message)
}

fn channel_body(head: u8, mut reader: Reader<'_>, limits: &Limits) -> Result<Message, FrameError> {
    let input = &mut reader;
    let channel = channel(input)?;
    let message = match head {
        kind::JOIN => Message::Join(channel, join(input, limits)?),
        kind::JOINED => {
            let flags = flags(input, 0b11)?;
            Message::Joined(
                channel,
                Joined {
                    access: Access {
                        read: true,
                        write: flags & 1 != 0,
                    },
                    state_follows: flags & 2 != 0,
                    level: level(input)?,
                    epoch: u64::from_be_bytes(input.array("an epoch")?),
                    vector: vector(input, limits)?,
                },
            )
        }
        kind::STATE => Message::State {
            channel,
            id: u64::from_be_bytes(input.array("the number of a state")?),
            kind: match input.byte("the kind of a state")? {
                1 => StateKind::Changes,
                2 => StateKind::Snapshot,
                _ => return Err(input.error("the kind of a state").into()),
            },
            offset: input.uvarint()?,
            total: input.uvarint()?,
            bytes: input.rest().to_vec(),
        },
        kind::CHANGES => Message::Changes {
            channel,
            container: input.rest().to_vec(),
        },
        kind::UPDATE | kind::UPDATE_BEGINS => Message::Update {
            channel,
            begins: head == kind::UPDATE_BEGINS,
            update: input.rest().to_vec(),
        },
        kind::ACKNOWLEDGED => {
            let packed = input.uvarint()?;
            Message::Acknowledged {
                channel,
                level: Level::of_code(packed & 3).ok_or_else(|| input.error("a level"))?,
                count: packed >> 2,
            }
        }
        kind::REFUSED => Message::Refused {
            channel,
            batch: input.uvarint()?,
            code: Code::of_number(input.uvarint()?),
            retry_after_ms: input.uvarint()?,
            detail: prefixed(input, limits.text_bytes_max, "text_bytes_max")?,
            text: text(input, limits)?,
        },
        kind::LEAVE => Message::Leave(channel),
        kind::LEFT => Message::Left(channel),
        kind::TOKEN => Message::Token {
            channel,
            token: prefixed(input, limits.token_bytes_max, "token_bytes_max")?,
        },
        kind::ACCESS => {
            let flags = flags(input, 0b11)?;
            Message::AccessChanged {
                channel,
                access: Access {
                    read: flags & 1 != 0,
                    write: flags & 2 != 0,
                },
            }
        }
        kind::PRESENCE => {
            let state = input.rest();
            if state.len() > limits.presence_bytes_max {
                return Err(FrameError::Limit("presence_bytes_max"));
            }
            Message::Presence {
                channel,
                state: state.to_vec(),
            }
        }
        kind::PRESENCE_OF => {
            let count = input.count(2)?;
            let entries = (0..count).map(|_| {
                Ok(PresenceEntry {
                    member: input.uvarint()?,
                    state: prefixed(input, limits.presence_bytes_max, "presence_bytes_max")?,
                })
            });
            let entries: Result<Vec<_>, FrameError> = entries.collect();
            Message::PresenceOf {
                channel,
                entries: entries?,
            }
        }
        kind::DURABILITY => Message::Durability {
            channel,
            durable: flags(input, 1)? == 1,
        },
        kind::PART => Message::Part {
            channel,
            last: flags(input, 1)? == 1,
            bytes: input.rest().to_vec(),
        },
        message_type => return Ok(Message::Unknown { message_type }),
    };
    reader.finish()?;
    Ok(message)
}

fn join(input: &mut Reader<'_>, limits: &Limits) -> Result<Join, FrameError> {
    let flags = flags(input, 0b111)?;
    let document_id = input.text()?;
    if document_id.len() > limits.document_id_bytes_max {
        return Err(FrameError::Limit("document_id_bytes_max"));
    }
    Ok(Join {
        document_id: document_id.to_owned(),
        token: prefixed(input, limits.token_bytes_max, "token_bytes_max")?,
        peer: PeerId::from_bytes(input.array("a peer id")?),
        write: flags & 1 != 0,
        epoch: match flags & 2 {
            0 => None,
            _ => Some(u64::from_be_bytes(input.array("an epoch")?)),
        },
        vector: vector(input, limits)?,
        resume: match flags & 4 {
            0 => None,
            _ => Some((
                u64::from_be_bytes(input.array("the number of a state")?),
                input.uvarint()?,
            )),
        },
    })
}

fn flags(input: &mut Reader<'_>, known: u8) -> Result<u8, FrameError> {
    let start = input.clone();
    match input.byte("flags")? {
        flags if flags & !known == 0 => Ok(flags),
        _ => Err(start.error("known flags").into()),
    }
}

fn level(input: &mut Reader<'_>) -> Result<Level, FrameError> {
    let start = input.clone();
    let code = input.byte("a level")?;
    Level::of_code(code.into()).ok_or_else(|| start.error("a level").into())
}

/// Channels are numbered from 1.
fn channel(input: &mut Reader<'_>) -> Result<u32, FrameError> {
    let start = input.clone();
    match any_channel(input)? {
        0 => Err(start.error("a channel").into()),
        channel => Ok(channel),
    }
}

fn any_channel(input: &mut Reader<'_>) -> Result<u32, FrameError> {
    let start = input.clone();
    u32::try_from(input.uvarint()?).map_err(|_| start.error("a channel").into())
}

fn text(input: &mut Reader<'_>, limits: &Limits) -> Result<String, FrameError> {
    let text = input.text()?;
    match text.len() <= limits.text_bytes_max {
        true => Ok(text.to_owned()),
        false => Err(FrameError::Limit("text_bytes_max")),
    }
}

fn prefixed(
    input: &mut Reader<'_>,
    max: usize,
    limit: &'static str,
) -> Result<Vec<u8>, FrameError> {
    let bytes = input.prefixed()?;
    match bytes.len() <= max {
        true => Ok(bytes.to_vec()),
        false => Err(FrameError::Limit(limit)),
    }
}

fn vector(input: &mut Reader<'_>, limits: &Limits) -> Result<VersionVector, FrameError> {
    let vector = version_vector::read(input)?;
    match vector.len() <= limits.authors_max {
        true => Ok(vector),
        false => Err(FrameError::Limit("authors_max")),
    }
}

/// A message as a frame.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    write(message, &mut out);
    out
}

/// Begins a frame that goes on with bytes made in place.
pub(super) fn head(kind: u8, channel: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.push(kind);
    write_uvarint(&mut out, channel.into());
    out
}

/// What comes before the piece of a state.
pub(super) fn state_head(
    channel: u32,
    id: u64,
    state_kind: StateKind,
    offset: u64,
    total: u64,
) -> Vec<u8> {
    let mut out = head(kind::STATE, channel);
    out.extend_from_slice(&id.to_be_bytes());
    out.push(match state_kind {
        StateKind::Changes => 1,
        StateKind::Snapshot => 2,
    });
    write_uvarint(&mut out, offset);
    write_uvarint(&mut out, total);
    out
}

/// What comes before a piece of a frame.
pub(super) fn part_head(channel: u32, last: bool) -> Vec<u8> {
    let mut out = head(kind::PART, channel);
    out.push(last.into());
    out
}

fn write(message: &Message, out: &mut Vec<u8>) {
    let on = |kind: u8, channel: u32, out: &mut Vec<u8>| {
        out.push(kind);
        write_uvarint(out, channel.into());
    };
    match message {
        Message::Hello(hello) => {
            out.push(kind::HELLO);
            for number in [
                hello.version_min,
                hello.version_max,
                hello.features,
                hello.frame_bytes_max,
                hello.message_bytes_max,
            ] {
                write_uvarint(out, number);
            }
            write_prefixed(out, hello.agent.as_bytes());
        }
        Message::Welcome(welcome) => {
            out.push(kind::WELCOME);
            for number in [
                welcome.version,
                welcome.features,
                welcome.frame_bytes_max,
                welcome.message_bytes_max,
                welcome.channels_max,
                welcome.idle_timeout_ms,
            ] {
                write_uvarint(out, number);
            }
            write_prefixed(out, welcome.session.as_bytes());
        }
        Message::Ping(number) | Message::Pong(number) => {
            out.push(match message {
                Message::Ping(_) => kind::PING,
                _ => kind::PONG,
            });
            write_uvarint(out, *number);
        }
        Message::GoAway {
            code,
            delay_ms,
            text,
        } => {
            out.push(kind::GO_AWAY);
            write_uvarint(out, code.number());
            write_uvarint(out, *delay_ms);
            write_prefixed(out, text.as_bytes());
        }
        Message::Error { code, text } => {
            out.push(kind::ERROR);
            write_uvarint(out, code.number());
            write_prefixed(out, text.as_bytes());
        }
        Message::Join(channel, join) => {
            on(kind::JOIN, *channel, out);
            write_join(join, out);
        }
        Message::Joined(channel, joined) => {
            on(kind::JOINED, *channel, out);
            out.push(u8::from(joined.access.write) | u8::from(joined.state_follows) << 1);
            out.push(joined.level.code() as u8);
            out.extend_from_slice(&joined.epoch.to_be_bytes());
            write_vector(&joined.vector, out);
        }
        Message::State {
            channel,
            id,
            kind,
            offset,
            total,
            bytes,
        } => {
            out.extend_from_slice(&state_head(*channel, *id, *kind, *offset, *total));
            out.extend_from_slice(bytes);
        }
        Message::Changes { channel, container } => {
            on(kind::CHANGES, *channel, out);
            out.extend_from_slice(container);
        }
        Message::Update {
            channel,
            begins,
            update,
        } => {
            let kind = if *begins {
                kind::UPDATE_BEGINS
            } else {
                kind::UPDATE
            };
            on(kind, *channel, out);
            out.extend_from_slice(update);
        }
        Message::Acknowledged {
            channel,
            level,
            count,
        } => {
            on(kind::ACKNOWLEDGED, *channel, out);
            write_uvarint(out, count << 2 | level.code());
        }
        Message::Refused {
            channel,
            batch,
            code,
            retry_after_ms,
            detail,
            text,
        } => {
            on(kind::REFUSED, *channel, out);
            write_uvarint(out, *batch);
            write_uvarint(out, code.number());
            write_uvarint(out, *retry_after_ms);
            write_prefixed(out, detail);
            write_prefixed(out, text.as_bytes());
        }
        Message::Leave(channel) => on(kind::LEAVE, *channel, out),
        Message::Left(channel) => on(kind::LEFT, *channel, out),
        Message::Token { channel, token } => {
            on(kind::TOKEN, *channel, out);
            write_prefixed(out, token);
        }
        Message::AccessChanged { channel, access } => {
            on(kind::ACCESS, *channel, out);
            out.push(u8::from(access.read) | u8::from(access.write) << 1);
        }
        Message::Presence { channel, state } => {
            on(kind::PRESENCE, *channel, out);
            out.extend_from_slice(state);
        }
        Message::PresenceOf { channel, entries } => {
            on(kind::PRESENCE_OF, *channel, out);
            write_uvarint(out, entries.len() as u64);
            for entry in entries {
                write_uvarint(out, entry.member);
                write_prefixed(out, &entry.state);
            }
        }
        Message::Durability { channel, durable } => {
            on(kind::DURABILITY, *channel, out);
            out.push(u8::from(*durable));
        }
        Message::Part {
            channel,
            last,
            bytes,
        } => {
            out.extend_from_slice(&part_head(*channel, *last));
            out.extend_from_slice(bytes);
        }
        Message::Application {
            message_type,
            channel,
            bytes,
        } => {
            on(*message_type, *channel, out);
            out.extend_from_slice(bytes);
        }
        Message::Unknown { message_type } => out.push(*message_type),
    }
}

fn write_join(join: &Join, out: &mut Vec<u8>) {
    let flags = u8::from(join.write)
        | u8::from(join.epoch.is_some()) << 1
        | u8::from(join.resume.is_some()) << 2;
    out.push(flags);
    write_prefixed(out, join.document_id.as_bytes());
    write_prefixed(out, &join.token);
    out.extend_from_slice(join.peer.bytes());
    if let Some(epoch) = join.epoch {
        out.extend_from_slice(&epoch.to_be_bytes());
    }
    write_vector(&join.vector, out);
    if let Some((id, offset)) = join.resume {
        out.extend_from_slice(&id.to_be_bytes());
        write_uvarint(out, offset);
    }
}

fn write_vector(vector: &VersionVector, out: &mut Vec<u8>) {
    out.extend_from_slice(&version_vector::encode(vector));
}
