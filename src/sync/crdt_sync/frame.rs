//! Frames: the JSON text of a message, plain or as one gzip member.

use super::{Message, MessageError};
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
            document_id_bytes_max: 1024,
        }
    }
}

impl Framing {
    /// What a received frame is packed as: no JSON text starts with the gzip magic.
    pub fn of(frame: &[u8]) -> Framing {
        if frame.starts_with(&[0x1f, 0x8b]) { Framing::Gzip } else { Framing::Plain }
    }
}

/// A received frame as a message; the packing is recognised.
pub fn decode(_frame: &[u8], _limits: &Limits) -> Result<Message, MessageError> {
    todo!()
}

/// A message as a frame to send.
pub fn encode(_message: &Message, _framing: Framing) -> Vec<u8> {
    todo!()
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
        Arc::new(SharedMessage { message, plain: OnceLock::new(), gzip: OnceLock::new() })
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
        cell.get_or_init(|| encode(&self.message, framing).into()).clone()
    }
}
