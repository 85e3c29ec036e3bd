//! The dependency graph as rows give it: inside a row each change depends on the one before.

use super::{ChangeKey, Log, Place};
use crate::clock::Hlc;
use crate::codec::Change;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// An id that is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExportError;

/// Changes and what they depend on: per row the last of them.
#[derive(Debug, Default)]
pub(crate) struct SeenChanges {
    rows: HashMap<u32, u32>,
}

impl SeenChanges {
    /// Whether a change is among them.
    pub fn contains(&self, place: Place) -> bool {
        let last = self.rows.get(&place.row);
        last.is_some_and(|last| place.nth <= *last)
    }
}

impl Log {
    /// Adds a change and all that it saw, as far as it is not older than `since`: a change is
    /// younger than what it depends on. O(rows from there).
    pub fn see(&self, place: Place, since: Hlc, seen: &mut SeenChanges) {
        let mut waiting = vec![place];
        let mut deps = Vec::new();
        while let Some(Place { row, nth }) = waiting.pop() {
            match seen.rows.entry(row) {
                Entry::Occupied(mut known) => {
                    let last = nth.max(*known.get());
                    known.insert(last);
                }
                Entry::Vacant(slot) => {
                    slot.insert(nth);
                    if self.rows[row as usize].first_clock >= since {
                        deps.clear();
                        self.row_deps(row as usize, &mut deps);
                        // A dependency that a snapshot covers is not stored.
                        waiting.extend(deps.iter().filter_map(|dep| self.find(*dep)));
                    }
                }
            }
        }
    }

    /// Stored changes that are neither among `heads` nor above them, in store order. No heads:
    /// all changes.
    pub fn not_above(&self, heads: &[ChangeKey]) -> Result<Vec<Change>, ExportError> {
        let known = self.ancestors(heads)?;
        let mut out = Vec::new();
        for (row, known) in known.into_iter().enumerate() {
            let first = known.map_or(0, |last| last + 1);
            if first < self.rows[row].changes {
                self.walk_row(row, first, |_, _, change| {
                    out.push(change.clone());
                    true
                });
            }
        }
        Ok(out)
    }

    /// Per row: the last change that is an ancestor of `heads` or one of them.
    pub fn ancestors(&self, heads: &[ChangeKey]) -> Result<Vec<Option<u32>>, ExportError> {
        let mut known: Vec<Option<u32>> = vec![None; self.rows.len()];
        let mut waiting = Vec::new();
        for head in heads {
            waiting.push(self.find(*head).ok_or(ExportError)?);
        }
        let mut deps = Vec::new();
        while let Some(place) = waiting.pop() {
            let row = place.row as usize;
            match known[row] {
                Some(last) => known[row] = Some(last.max(place.nth)),
                None => {
                    known[row] = Some(place.nth);
                    deps.clear();
                    self.row_deps(row, &mut deps);
                    // A dependency that a snapshot covers is not stored.
                    waiting.extend(deps.iter().filter_map(|dep| self.find(*dep)));
                }
            }
        }
        Ok(known)
    }

    /// The changes that no stored change depends on, in store order.
    pub fn heads(&self) -> Vec<ChangeKey> {
        let mut needed = std::collections::HashSet::new();
        let mut deps = Vec::new();
        for row in 0..self.rows.len() {
            deps.clear();
            self.row_deps(row, &mut deps);
            needed.extend(deps.iter().copied());
        }
        let last = |row: usize| ChangeKey {
            author: self.rows[row].author,
            clock: self.last_clock_of(row),
        };
        (0..self.rows.len())
            .map(last)
            .filter(|key| !needed.contains(key))
            .collect()
    }
}
