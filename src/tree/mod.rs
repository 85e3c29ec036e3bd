//! Data structures without any notion of peers or merging: the run-length B-tree that holds a
//! sequence, the map from id intervals to leaves, ropes, and vectors that grow without copying.

mod chunked;
mod inner;
mod interval_map;
mod lazy;
mod rope;
mod run_tree;
mod sort;
mod text_sums;

pub use chunked::ChunkedVec;
pub use inner::Measure;
pub use interval_map::IntervalMap;
pub use lazy::{LazyMap, LazyVec, push_few};
pub use rope::{Element, Rope};
pub use run_tree::{LeafIdx, Run, RunPos, RunTree};
pub use sort::sort_by_key;
pub use text_sums::TextSums;
