//! Why somebody was refused, and how often.
//!
//! Layer: `net`. Every refusal has a code (for metrics and logs), a counter, and a line in the log:
//! one per second and reason, or a flood of refusals would be a flood of lines.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// As many connections as the server may have.
    Connections,
    /// As many connections as one address may have.
    AddressConnections,
    /// New connections of one address came too fast.
    AddressRate,
    /// No TLS, or none that fits.
    Tls,
    /// The request did not come in time.
    RequestTime,
    /// The head of the request is too large.
    RequestSize,
    /// Not a request for a WebSocket or a page.
    Request,
    /// The server is about to stop.
    Draining,
    /// A page without the administrator's token.
    AdminToken,
    /// A protocol that is not served.
    Dialect,
    /// The authorizer said no.
    Unauthorized,
    /// The authorizer did not know.
    AuthorizerFailed,
    /// As many rooms as one connection may have.
    ConnectionRooms,
    /// As many connections as one room may have.
    RoomConnections,
    /// A message is too large.
    MessageSize,
    /// A frame breaks the rules of WebSocket.
    Protocol,
    /// A client reads too slowly.
    TooSlow,
    /// More updates than a connection may send: it is read later.
    UpdateRate,
    /// More bytes than a connection may send: it is read later.
    ByteRate,
}

impl RefusalReason {
    /// All there are.
    pub const ALL: [RefusalReason; 19] = [
        RefusalReason::Connections,
        RefusalReason::AddressConnections,
        RefusalReason::AddressRate,
        RefusalReason::Tls,
        RefusalReason::RequestTime,
        RefusalReason::RequestSize,
        RefusalReason::Request,
        RefusalReason::Draining,
        RefusalReason::AdminToken,
        RefusalReason::Dialect,
        RefusalReason::Unauthorized,
        RefusalReason::AuthorizerFailed,
        RefusalReason::ConnectionRooms,
        RefusalReason::RoomConnections,
        RefusalReason::MessageSize,
        RefusalReason::Protocol,
        RefusalReason::TooSlow,
        RefusalReason::UpdateRate,
        RefusalReason::ByteRate,
    ];

    /// For metrics and logs.
    pub fn code(self) -> &'static str {
        match self {
            RefusalReason::Connections => "connections",
            RefusalReason::AddressConnections => "address_connections",
            RefusalReason::AddressRate => "address_rate",
            RefusalReason::Tls => "tls",
            RefusalReason::RequestTime => "request_time",
            RefusalReason::RequestSize => "request_size",
            RefusalReason::Request => "request",
            RefusalReason::Draining => "draining",
            RefusalReason::AdminToken => "admin_token",
            RefusalReason::Dialect => "dialect",
            RefusalReason::Unauthorized => "unauthorized",
            RefusalReason::AuthorizerFailed => "authorizer_failed",
            RefusalReason::ConnectionRooms => "connection_rooms",
            RefusalReason::RoomConnections => "room_connections",
            RefusalReason::MessageSize => "message_size",
            RefusalReason::Protocol => "protocol",
            RefusalReason::TooSlow => "too_slow",
            RefusalReason::UpdateRate => "update_rate",
            RefusalReason::ByteRate => "byte_rate",
        }
    }
}

/// One reason's counter.
#[derive(Debug, Default)]
struct Count {
    total: AtomicU64,
    /// The second in which it was logged last.
    logged_s: AtomicI64,
}

/// How often each reason applied.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    counts: [Count; RefusalReason::ALL.len()],
}

impl Refusals {
    pub fn get(&self, reason: RefusalReason) -> u64 {
        self.counts[reason as usize].total.load(Ordering::Relaxed)
    }

    /// All together.
    pub fn total(&self) -> u64 {
        RefusalReason::ALL
            .iter()
            .map(|reason| self.get(*reason))
            .sum()
    }

    pub fn count(&self, address: SocketAddr, reason: RefusalReason, detail: &str, now_ms: i64) {
        let count = &self.counts[reason as usize];
        let total = count.total.fetch_add(1, Ordering::Relaxed) + 1;
        let now_s = now_ms / 1000;
        if count.logged_s.swap(now_s, Ordering::Relaxed) != now_s {
            let code = reason.code();
            log::warn!(target: "server", "refused {address} code={code} total={total}: {detail}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_code_and_counter() {
        let refusals = Refusals::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for (index, reason) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            for _ in 0..=index {
                refusals.count(address, reason, "", 0);
            }
        }
        for (index, reason) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!(refusals.get(reason), index as u64 + 1);
        }
        let mut codes = RefusalReason::ALL.map(RefusalReason::code);
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
