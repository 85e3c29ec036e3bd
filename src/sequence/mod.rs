//! The sequence CRDT core: an ordered list of runs, one author's consecutive elements each.
//!
//! Layer: above `tree` and `clock`; knows no bytes and no document. `run` is the unit of storage,
//! `list` keeps runs in order and finds them by position and by id, `fugue` decides where a
//! foreign element goes (crdt_lf specification, chapter 10).

mod bits;
mod bulk;
mod fugue;
mod history;
mod index;
mod lazy;
mod list;
#[cfg(test)]
pub(crate) mod model;
mod run;
#[cfg(test)]
mod tests;

pub use history::History;
pub use lazy::{LazySequence, Stored};
pub use list::{Chain, Inserted, Removed, Sequence};
pub use run::{Content, ElementKey, Place, Run, Side, UNITS_MAX};
