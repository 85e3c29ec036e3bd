//! When a relay asks a client for a snapshot (specification 9.4): at most one client per interval.

/// Log length above which clients are asked.
pub const LOG_LENGTH_MAX: u64 = 200;
/// Time until another client is asked, in milliseconds.
pub const RETRY_MS: i64 = 30_000;

/// The limiter of one room.
#[derive(Clone, Debug)]
pub struct Compaction {
    log_length_max: u64,
    retry_ms: i64,
    asked_at_ms: Option<i64>,
}

impl Compaction {
    /// Nobody was asked.
    pub fn new(log_length_max: u64, retry_ms: i64) -> Self {
        Compaction {
            log_length_max,
            retry_ms,
            asked_at_ms: None,
        }
    }

    /// Whether to ask the client that is answered now; if so, the next one has to wait.
    pub fn ask(&mut self, log_length: u64, now_ms: i64) -> bool {
        let waiting = |at: i64| now_ms < at.saturating_add(self.retry_ms);
        if log_length <= self.log_length_max || self.asked_at_ms.is_some_and(waiting) {
            return false;
        }
        self.asked_at_ms = Some(now_ms);
        true
    }

    /// A snapshot arrived.
    pub fn answered(&mut self) {
        self.asked_at_ms = None;
    }
}
