//! Time and heap of one thing.

use crate::heap;
use crate::table::Sample;
use std::time::Instant;

/// Runs `body`; its result still holds its heap when that is counted.
pub fn measured<R>(body: impl FnOnce() -> R) -> (R, Sample) {
    settle();
    let before = heap::live();
    let start = Instant::now();
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
fn settle() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(64 << 10)));
}
