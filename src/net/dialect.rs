//! Which protocol a connection speaks.
//!
//! Layer: `net`. All dialects share one port: the WebSocket subprotocol decides where the client
//! names one, else its first message does.

use super::http::RequestHead;
use crate::sync::crdt_sync::{Limits, Message, frame};

/// A protocol on a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// The sync mode of crdt_socket_sync: any path, first message of a type below 20.
    CrdtSync,
    /// The relay mode of crdt_socket_sync: any path, first message of a type from 20 to 39.
    CrdtRelay,
    /// Our own: subprotocol `syncline.v1`.
    Native,
}

/// Types of messages that only the relay mode has.
const RELAY_TYPES: std::ops::RangeInclusive<i64> = 20..=39;

impl Dialect {
    /// All there are.
    pub const ALL: [Dialect; 3] = [Dialect::CrdtSync, Dialect::CrdtRelay, Dialect::Native];

    /// For logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::CrdtSync => "crdt_sync",
            Dialect::CrdtRelay => "crdt_relay",
            Dialect::Native => "native",
        }
    }

    /// The WebSocket subprotocol, of dialects that have one.
    pub fn subprotocol(self) -> Option<&'static str> {
        match self {
            Dialect::Native => Some("syncline.v1"),
            Dialect::CrdtSync | Dialect::CrdtRelay => None,
        }
    }

    /// The dialect that the upgrade request asks for, of those that are `served`.
    pub(super) fn of_request(head: &RequestHead, served: &[Dialect]) -> Option<Dialect> {
        head.subprotocols().find_map(|name| {
            let mut served = served.iter().copied();
            served.find(|dialect| dialect.subprotocol() == Some(name))
        })
    }

    /// The dialect of a first message. What does not decode belongs to the sync mode, which has an
    /// answer for it.
    pub(super) fn of_first_frame(bytes: &[u8], limits: &Limits) -> Dialect {
        match frame::decode(bytes, limits) {
            Ok(
                Message::RelayHello { .. }
                | Message::RelayPush { .. }
                | Message::RelaySnapshotUpload { .. }
                | Message::RelayStateRequest { .. },
            ) => Dialect::CrdtRelay,
            Ok(Message::Unknown { message_type, .. }) if RELAY_TYPES.contains(&message_type) => {
                Dialect::CrdtRelay
            }
            _ => Dialect::CrdtSync,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_tells_the_mode() {
        let limits = Limits::default();
        for (text, dialect) in [
            (
                r#"{"type":20,"documentId":"a","author":"11111111-1111-4111-8111-111111111111"}"#,
                Dialect::CrdtRelay,
            ),
            (
                r#"{"documentId":"a","type":22,"changes":[]}"#,
                Dialect::CrdtRelay,
            ),
            (r#"{"type":30,"documentId":"a"}"#, Dialect::CrdtRelay),
            (r#"{"type":5,"documentId":"a"}"#, Dialect::CrdtSync),
            (r#"{"type":102}"#, Dialect::CrdtSync),
            ("nonsense", Dialect::CrdtSync),
            ("", Dialect::CrdtSync),
        ] {
            assert_eq!(
                Dialect::of_first_frame(text.as_bytes(), &limits),
                dialect,
                "{text}"
            );
        }
    }

    #[test]
    fn the_subprotocol_counts_if_it_is_served() {
        let offer = |value: &str| RequestHead {
            headers: vec![("sec-websocket-protocol".into(), value.into())],
            ..RequestHead::default()
        };
        let of = |value: &str, served: &[Dialect]| Dialect::of_request(&offer(value), served);
        assert_eq!(
            of("chat, syncline.v1", &Dialect::ALL),
            Some(Dialect::Native)
        );
        assert_eq!(of("chat", &Dialect::ALL), None);
        assert_eq!(of("syncline.v1", &[Dialect::CrdtSync]), None);
    }
}
