//! Sends clients away before a stop, spread over a while.
//!
//! Layer: `net`. Each client is told at a moment of its own, so that they do not all come to the
//! next server at once; what is acknowledged is stored, so none of it is lost however this ends.

use super::link::CLOSE_RESTART;
use super::server_shared::ServerShared;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Part of the window in which clients are told; the rest is for those that are slow to leave.
const TOLD_WITHIN: f64 = 0.8;

/// Takes no new clients from now on, and tells those that are there one after another. Ends with
/// the last one.
pub(super) async fn run(shared: Arc<ServerShared>, window: Duration) {
    shared.draining.store(true, Ordering::SeqCst);
    let mut stopping = shared.stopping.subscribe();
    let start = Instant::now();
    // Those that came in between are found by `Server::stop`.
    let sessions: Vec<_> = shared.sessions.read().values().cloned().collect();
    let mut moments: Vec<_> = sessions
        .into_iter()
        .map(|session| (window.mul_f64(random_share() * TOLD_WITHIN), session))
        .collect();
    moments.sort_by_key(|(moment, _)| *moment);
    log::info!(target: "server", "draining clients={} window_ms={}", moments.len(), window.as_millis());
    for (moment, session) in moments {
        tokio::select! {
            () = sleep_until(start + moment) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let delay_ms = window.mul_f64(random_share()).as_millis();
        let reason = format!("the server restarts; come back in {delay_ms} ms");
        session.outbox.close(CLOSE_RESTART, &reason);
    }
}

/// From 0 to below 1. Only spreads: any number will do where there is no randomness.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
