//! Time and heap of one thing.

use crate::heap;
use crate::table::Sample;
use std::time::Instant;

/// Runs `body`; its result still holds its heap when that is counted.
pub fn measured<R>(body: impl FnOnce() -> R) -> (R, Sample) {
    let before = heap::live();
    let start = Instant::now();
    let result = body();
    let time = start.elapsed();
    let sample = Sample { time, heap: Some(heap::live() - before), bytes: None };
    (result, sample)
}
