//! Changes in an order in which each comes after what it builds on.

use crate::codec::Change;

/// Sorts a list causally: dependencies first, the changes of one author in the order given, and
/// otherwise as given. Dependencies outside of the list do not matter. O(changes + dependencies).
#[must_use]
pub fn sorted(changes: Vec<Change>) -> Vec<Change> {
    let _ = changes;
    todo!()
}
