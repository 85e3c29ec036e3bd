//! Takes new connections, as far as the caps go.
//!
//! Layer: `net`. What is over a cap is closed before a byte of it is read.

use super::connection;
use super::limits::AddressRefusal;
use super::refusal::RefusalReason;
use super::server_shared::ServerShared;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Pause after a failed accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the server stops.
pub(super) async fn run(shared: Arc<ServerShared>, listener: TcpListener) {
    let mut stopping = shared.stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!(target: "server", "accept failed: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = shared.connections.clone().try_acquire_owned() else {
            shared.refuse(address, RefusalReason::Connections, "too many connections");
            continue;
        };
        let limits = &shared.options.limits;
        let address_permit = shared.addresses.admit(address.ip(), limits, Instant::now());
        let address_permit = match address_permit {
            Ok(address_permit) => address_permit,
            Err(AddressRefusal::Connections) => {
                let reason = RefusalReason::AddressConnections;
                shared.refuse(address, reason, "too many connections of this address");
                continue;
            }
            Err(AddressRefusal::Rate) => {
                let reason = RefusalReason::AddressRate;
                shared.refuse(address, reason, "connections of this address come too fast");
                continue;
            }
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            connection::serve(shared, stream, address).await;
            drop((permit, address_permit));
        });
    }
}
