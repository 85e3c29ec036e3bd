//! Time and heap of one thing.

use crate::heap;
use crate::table::Sample;
use std::time::Duration;

/// Processor time of this thread: what else runs on the machine does not count, as far as it does
/// not fill the caches.
#[derive(Clone, Copy)]
pub struct Stopwatch(Duration);

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch(thread_time())
    }

    pub fn elapsed(self) -> Duration {
        thread_time() - self.0
    }
}

#[cfg(unix)]
fn thread_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec that the call may write.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    assert_eq!(result, 0, "threads have a clock");
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Elsewhere the wall clock must do.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Runs `body`; its result still holds its heap when that is counted.
pub fn measured<R>(body: impl FnOnce() -> R) -> (R, Sample) {
    settle();
    let before = heap::live();
    let start = Stopwatch::start();
    let result = body();
    let time = start.elapsed();
    let sample = Sample {
        time,
        heap: Some(heap::live() - before),
        bytes: None,
    };
    (result, sample)
}

/// Lets the allocator tidy up what the thing before left behind: it does so on the first larger
/// request, which is not the next thing's fault.
pub fn settle() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(64 << 10)));
}
