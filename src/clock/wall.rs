//! The wall clock, read once per change.

/// Milliseconds since 1970, a few milliseconds old at most.
///
/// A hybrid clock counts on by itself while the wall clock stands, so the coarse clock does: it
/// costs 6 ns where the exact one costs 32, a third of the time of a typed character.
#[cfg(target_os = "linux")]
pub(crate) fn now_ms() -> i64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec that the call may write.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut now) };
    debug_assert_eq!(result, 0, "every Linux has this clock");
    // The types of the fields differ between targets.
    #[allow(clippy::unnecessary_cast)]
    let (seconds, nanoseconds) = (now.tv_sec as i64, now.tv_nsec as i64);
    seconds * 1000 + nanoseconds / 1_000_000
}

/// Milliseconds since 1970.
#[cfg(not(target_os = "linux"))]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        since.as_secs() as i64 * 1000 + i64::from(since.subsec_millis())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_system_clock() {
        let exact = || {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_millis() as i64
        };
        let before = exact();
        let now = super::now_ms();
        // The tick of the coarse clock is 10 ms at most.
        assert!(now >= before - 20 && now <= exact());
    }
}
