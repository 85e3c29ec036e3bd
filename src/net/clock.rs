//! Milliseconds since 1970 that never go back.
//!
//! Layer: `net`. The protocol cores take one clock for timestamps on the wire and for timers; a
//! wall clock that is set back would stop the timers, so this one only starts from the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that starts at the wall clock and then runs evenly.
#[derive(Clone, Copy, Debug)]
pub(super) struct SteadyClock {
    start: Instant,
    start_ms: i64,
}

impl SteadyClock {
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        SteadyClock {
            start: Instant::now(),
            start_ms: since.map_or(0, |since| since.as_millis() as i64),
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.start_ms + self.start.elapsed().as_millis() as i64
    }

    /// The moment at which this clock shows `ms`; a past one is now.
    pub fn instant(&self, ms: i64) -> tokio::time::Instant {
        let wait = ms.saturating_sub(self.now_ms()).clamp(0, WAIT_MS_MAX);
        // One more, so that the clock, which rounds down, has reached `ms` then.
        tokio::time::Instant::now() + Duration::from_millis(wait as u64 + u64::from(wait > 0))
    }
}

/// Far enough for "never", near enough for every timer.
const WAIT_MS_MAX: i64 = 24 * 3600 * 1000;
