//! Frames: the JSON text of a message, plain or as one gzip member.

use super::{Message, MessageError};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

/// How the frames of a connection are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// UTF-8 JSON.
    #[default]
    Plain,
    /// One gzip member.
    Gzip,
}

/// What is accepted from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame as received.
    pub frame_bytes_max: usize,
    /// Bytes of a frame after decompression.
    pub text_bytes_max: usize,
    /// Changes in one message.
    pub changes_max: usize,
    /// Nesting of the JSON text.
    pub depth_max: usize,
    /// Values in the JSON text, counted before they are allocated.
    pub values_max: usize,
    /// Bytes of a document id.
    pub document_id_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes_max: 16 << 20,
            text_bytes_max: 32 << 20,
            changes_max: 200_000,
            depth_max: 32,
            values_max: 250_000,
            document_id_bytes_max: 1024,
        }
    }
}

impl Framing {
    /// What a received frame is packed as: no JSON text starts with the gzip magic.
    pub fn of(frame: &[u8]) -> Framing {
        if frame.starts_with(&[0x1f, 0x8b]) {
            Framing::Gzip
        } else {
            Framing::Plain
        }
    }
}

/// A received frame as a message; the packing is recognised.
///
/// # Errors
/// Anything a limit or the format refuses; nothing is kept of the frame.
pub fn decode(frame: &[u8], limits: &Limits) -> Result<Message, MessageError> {
    if frame.len() > limits.frame_bytes_max {
        return Err(MessageError::Limit("frame_bytes_max"));
    }
    match Framing::of(frame) {
        Framing::Plain if frame.len() > limits.text_bytes_max => {
            Err(MessageError::Limit("text_bytes_max"))
        }
        Framing::Plain => super::decode::decode(frame, limits),
        Framing::Gzip => super::decode::decode(&inflate(frame, limits.text_bytes_max)?, limits),
    }
}

/// A message as a frame to send.
pub fn encode(message: &Message, framing: Framing) -> Vec<u8> {
    let mut text = Vec::new();
    super::encode::encode(message, &mut text);
    match framing {
        Framing::Plain => text,
        Framing::Gzip => deflate(&text),
    }
}

/// Complete gzip members only: Dart accepts a frame that is cut off behind its last block, which
/// saves a sender nothing and costs the checksum.
fn inflate(frame: &[u8], text_bytes_max: usize) -> Result<Vec<u8>, MessageError> {
    let mut text = Vec::new();
    let mut members = MultiGzDecoder::new(frame).take(text_bytes_max as u64 + 1);
    members
        .read_to_end(&mut text)
        .map_err(|_| MessageError::Gzip)?;
    if text.len() > text_bytes_max {
        return Err(MessageError::Limit("text_bytes_max"));
    }
    Ok(text)
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(text)
        .and_then(|()| encoder.finish())
        .expect("a Vec takes every write")
}

/// A message for many connections: encoded at most once per framing.
#[derive(Debug)]
pub struct SharedMessage {
    message: Message,
    plain: OnceLock<Arc<[u8]>>,
    gzip: OnceLock<Arc<[u8]>>,
}

impl SharedMessage {
    /// Takes a message to share.
    pub fn new(message: Message) -> Arc<Self> {
        Arc::new(SharedMessage {
            message,
            plain: OnceLock::new(),
            gzip: OnceLock::new(),
        })
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The frame for connections of this framing.
    pub fn frame(&self, framing: Framing) -> Arc<[u8]> {
        let cell = match framing {
            Framing::Plain => &self.plain,
            Framing::Gzip => &self.gzip,
        };
        cell.get_or_init(|| encode(&self.message, framing).into())
            .clone()
    }
}
