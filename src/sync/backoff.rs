//! How long to wait before trying again: exponential, with full jitter, so that the clients of a
//! server that comes back do not all arrive at once.

/// Between which bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delays {
    /// Upper bound of the first delay; doubles with each attempt.
    pub first_ms: i64,
    /// Upper bound of every delay.
    pub max_ms: i64,
    /// A connection that lasted for so long makes the next delays small again.
    pub healthy_after_ms: i64,
    /// Attempts in a row; `None`: without end.
    pub attempts_max: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Backoff {
    random: u64,
    /// Attempts since the last success.
    attempts: u32,
    /// How often the bound of the delay was doubled. Not reset by a success alone: a server that
    /// accepts handshakes and then drops the connection must not be asked without pause.
    doublings: u32,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Backoff {
            random: seed,
            attempts: 0,
            doublings: 0,
        }
    }

    /// The user asked to connect: the next delays start small, the attempts count anew.
    pub(super) fn forgive(&mut self) {
        self.attempts = 0;
        self.doublings = 0;
    }

    /// A handshake succeeded (trap 25: every success counts).
    pub(super) fn succeeded(&mut self) {
        self.attempts = 0;
    }

    /// A connection ended that lasted for `age_ms` since its handshake.
    pub(super) fn connection_ended(&mut self, age_ms: i64, delays: &Delays) {
        if age_ms >= delays.healthy_after_ms {
            self.doublings = 0;
        }
    }

    /// How long to wait for the next attempt; None: no more attempts.
    pub(super) fn next_delay_ms(&mut self, delays: &Delays) -> Option<i64> {
        if delays.attempts_max.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        self.attempts = self.attempts.saturating_add(1);
        let factor = 1i64.checked_shl(self.doublings.min(62)).unwrap_or(i64::MAX);
        let bound = delays.first_ms.max(0).saturating_mul(factor);
        let bound = bound.min(delays.max_ms.max(0));
        self.doublings = self.doublings.saturating_add(1);
        Some((self.next_random() % (bound as u64 + 1)) as i64)
    }

    /// SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Delays {
        Delays {
            first_ms: 500,
            max_ms: 30_000,
            healthy_after_ms: 30_000,
            attempts_max: None,
        }
    }

    #[test]
    fn delays_grow_to_the_maximum_and_spread() {
        let mut largest = [0; 12];
        for seed in 0..400 {
            let mut backoff = Backoff::new(seed);
            for (attempt, largest) in largest.iter_mut().enumerate() {
                let delay = backoff.next_delay_ms(&options()).unwrap();
                let bound = (500i64 << attempt).min(30_000);
                assert!(
                    (0..=bound).contains(&delay),
                    "seed {seed}, attempt {attempt}: {delay}"
                );
                *largest = delay.max(*largest);
            }
        }
        // With 400 seeds the upper tenth is reached at each step.
        for (attempt, largest) in largest.into_iter().enumerate() {
            assert!(
                largest > (500i64 << attempt).min(30_000) * 9 / 10,
                "attempt {attempt}"
            );
        }
    }

    #[test]
    fn attempts_are_limited_only_if_asked() {
        let limited = Delays {
            attempts_max: Some(2),
            ..options()
        };
        let mut backoff = Backoff::new(1);
        assert!(backoff.next_delay_ms(&limited).is_some());
        assert!(backoff.next_delay_ms(&limited).is_some());
        assert!(backoff.next_delay_ms(&limited).is_none());
        backoff.succeeded();
        assert!(backoff.next_delay_ms(&limited).is_some());
        for _ in 0..1000 {
            assert!(backoff.next_delay_ms(&options()).is_some());
        }
    }

    #[test]
    fn a_short_success_keeps_the_delay_long() {
        let options = options();
        let mut backoff = Backoff::new(1);
        for _ in 0..10 {
            backoff.next_delay_ms(&options);
        }
        backoff.succeeded();
        backoff.connection_ended(options.healthy_after_ms - 1, &options);
        assert_eq!(backoff.doublings, 10);
        backoff.connection_ended(options.healthy_after_ms, &options);
        assert_eq!(backoff.doublings, 0);
    }
}
