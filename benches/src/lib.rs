//! What the benchmarks share: traces, time and heap of one thing, tables.

pub mod editing;
pub mod heap;
pub mod measure;
pub mod table;
pub mod trace;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;
