//! The byte stream below a WebSocket of a server.
//!
//! Layer: `net`. One type, so that nothing above knows what is below.

use super::socket::Metered;

/// TCP, counted.
pub(super) type Transport = Metered;
