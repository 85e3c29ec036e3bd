//! One connection of a server: from the accepted socket to its end.
//!
//! Layer: `net`. One task per connection. It reads a frame, lets the protocol core and the rooms
//! handle it, and reads on; answers come back through the outbox.

use super::outbox::{Outbox, Unsettled};
use super::room::LiveRoom;
use super::rooms::Rooms;
use super::server_shared::{ServerShared, Session};
use super::socket::{Meter, Metered, Socket, SocketEvent, config};
use crate::sync::crdt_sync::{ConnectionAction, ServerConnection, SessionId, frame};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Close codes of the transport itself.
const CLOSE_BEHIND: u16 = 1013;
const CLOSE_NORMAL: u16 = 1000;
/// The answer to a request that is no WebSocket upgrade.
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How a connection ends.
struct Goodbye {
    code: u16,
    reason: String,
}

struct Connection {
    server: Arc<ServerShared>,
    session: Arc<Session>,
    protocol: ServerConnection,
    /// Rooms in which this connection was; holding them keeps them loaded.
    rooms: HashMap<Arc<str>, Arc<LiveRoom>>,
}

/// Serves one accepted socket until it ends.
pub(super) async fn serve(server: Arc<ServerShared>, stream: TcpStream, address: SocketAddr) {
    // Without it small answers wait for the peer's delayed acknowledgement; failing is harmless.
    let _ = stream.set_nodelay(true);
    let meter = Arc::new(Meter::default());
    let mut stream = Metered::new(stream, [meter.clone(), server.counters.bytes.clone()]);
    let deadline = Duration::from_millis(server.options.handshake_timeout_ms.into());
    let config = config(server.options.message_bytes_max);
    let upgrade = tokio_tungstenite::accept_async_with_config(&mut stream, Some(config));
    let upgraded = match timeout(deadline, upgrade).await {
        Ok(Ok(upgraded)) => drop(upgraded),
        Ok(Err(error)) => {
            log::debug!(target: "server", "{address}: no WebSocket: {error}");
            server.count(|counters| &counters.refused);
            let _ = timeout(deadline, stream.write_all(BAD_REQUEST)).await;
            return;
        }
        Err(_) => {
            server.count(|counters| &counters.refused);
            return;
        }
    };
    let () = upgraded;
}
