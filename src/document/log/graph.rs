//! The dependency graph as rows give it: inside a row each change depends on the one before.

use super::{ChangeKey, Log};
use crate::codec::Change;

/// An id that is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExportError;

impl Log {
    /// Stored changes that are neither among `heads` nor above them, in store order. No heads:
    /// all changes.
    pub fn not_above(&self, heads: &[ChangeKey]) -> Result<Vec<Change>, ExportError> {
        let known = self.ancestors(heads)?;
        let mut out = Vec::new();
        self.for_each_from(0, |place, _, change| {
            if known[place.row as usize].is_none_or(|last| place.nth > last) {
                out.push(change.clone());
            }
            true
        });
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

    /// Of some stored changes: whether none of the others knew it. O(their number x rows).
    pub fn unknown_to_others(&self, keys: &[ChangeKey]) -> Vec<bool> {
        let is_unknown = |nth: usize| {
            let mut others = keys.to_vec();
            let key = others.swap_remove(nth);
            let (Some(place), Ok(known)) = (self.find(key), self.ancestors(&others)) else {
                return false;
            };
            known[place.row as usize].is_none_or(|last| place.nth > last)
        };
        (0..keys.len()).map(is_unknown).collect()
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
