//! The id of a change: its author and its clock.

use super::{Hlc, ParseError, PeerId};
use std::fmt;

/// Names one change. Ordered by clock, then author: the replay order of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId {
    // Field order gives the derived order.
    /// When.
    pub hlc: Hlc,
    /// Who.
    pub peer: PeerId,
}

/// Replay order of a change, as a sort key.
pub type OrderKey = OperationId;

impl OperationId {
    /// Length of the byte form: 16 bytes of peer, 8 of clock.
    pub const BYTES: usize = 24;

    /// Joins the parts.
    pub const fn new(peer: PeerId, hlc: Hlc) -> Self {
        OperationId { hlc, peer }
    }

    /// From the 24 bytes of the wire.
    pub fn from_bytes(bytes: &[u8; 24]) -> Self {
        let (peer, hlc) = bytes.split_at(16);
        OperationId {
            peer: PeerId::from_bytes(peer.try_into().expect("split at 16")),
            hlc: Hlc::from_bytes(hlc.try_into().expect("24 - 16 bytes")),
        }
    }

    /// The 24 bytes of the wire.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(self.peer.bytes());
        bytes[16..].copy_from_slice(&self.hlc.to_bytes());
        bytes
    }

    /// Reads `"<peer>@<milliseconds>.<counter>"`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (peer, hlc) = text
            .split_once('@')
            .ok_or(ParseError("an operation id is written <peer>@<clock>"))?;
        Ok(OperationId::new(PeerId::parse(peer)?, Hlc::parse(hlc)?))
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.peer, self.hlc)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
