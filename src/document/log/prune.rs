//! Forgetting changes that a snapshot covers (specification 8.7 and 4.3).

use super::bodies::Bodies;
use super::row::Operation;
use super::{ChangeKey, Log};
use crate::clock::{AuthorIdx, Hlc, VersionVector};
use std::collections::HashMap;

/// What was removed, and what is left at the top.
pub(crate) struct Pruned {
    pub removed: u64,
    /// Authors of removed changes, with the latest of theirs that went.
    pub authors: Vec<(AuthorIdx, Hlc)>,
    /// How many changes stay of those that stood before the mark.
    pub mark: u64,
    /// The heads that stay: the latest per author, in order of the authors' first heads.
    pub frontiers: Vec<ChangeKey>,
}

impl Log {
    /// Removes every change that `version` covers; those that stay lose their dependencies on
    /// removed ones. Returns None, and does nothing, if there is nothing to remove.
    ///
    /// `mark` is a number of changes from the beginning. Content moves to a new pool; `keep_content` is given the old and the new one, to save what
    /// else refers to it. With `anyway`, it moves even if no change goes. O(log).
    pub fn prune(
        &mut self,
        version: &VersionVector,
        anyway: bool,
        mark: u64,
        keep_content: impl FnOnce(&Log, &mut super::ContentPool),
    ) -> Option<Pruned> {
        let thresholds: Vec<Option<Hlc>> = (0..self.authors.len())
            .map(|author| version.get(&self.authors.peer(AuthorIdx(author as u32))))
            .collect();
        let goes = |key: ChangeKey| {
            thresholds[key.author.0 as usize].is_some_and(|limit| key.clock <= limit)
        };
        let mut pruned = Pruned {
            removed: 0,
            authors: Vec::new(),
            mark,
            frontiers: Vec::new(),
        };
        let mut kept = self.emptied();
        let mut deps = Vec::new();
        let mut last_removed: Vec<Option<Hlc>> = vec![None; self.authors.len()];
        let mut before = 0;
        for (number, row) in self.rows.iter().enumerate() {
            let mut previous = None;
            let mut bodies = self.row_bodies(row);
            for (nth, clock) in self.clocks(row).enumerate() {
                let body = bodies.as_mut().map(Bodies::take);
                let key = ChangeKey {
                    author: row.author,
                    clock,
                };
                before += 1;
                deps.clear();
                match previous.replace(key) {
                    Some(previous) => deps.push(previous),
                    None => self.row_deps(number, &mut deps),
                }
                if goes(key) {
                    pruned.removed += 1;
                    pruned.mark -= u64::from(before <= mark);
                    let last = &mut last_removed[key.author.0 as usize];
                    *last = (*last).max(Some(clock));
                    continue;
                }
                // A dependency that went earlier stays named, as crdt_lf has it.
                deps.retain(|dep| !goes(*dep) || self.find(*dep).is_none());
                let place = super::Place {
                    row: number as u32,
                    nth: nth as u32,
                };
                let mut keep = |op: Operation<'_>| kept.push_copy(self, key, &deps, row.name, op);
                match body {
                    Some((kind, body)) => keep(Operation::Other { kind, body }),
                    None => self.with_operation(place, keep),
                }
            }
        }
        if pruned.removed == 0 && !anyway {
            return None;
        }
        let removed = (0..).map(AuthorIdx).zip(last_removed);
        let removed = removed.filter_map(|(author, last)| Some((author, last?)));
        pruned.authors = removed.collect();
        let mut places: HashMap<AuthorIdx, usize> = HashMap::new();
        for head in self.heads().into_iter().filter(|head| !goes(*head)) {
            let place = *places.entry(head.author).or_insert(pruned.frontiers.len());
            match pruned.frontiers.get_mut(place) {
                Some(known) => known.clock = known.clock.max(head.clock),
                None => pruned.frontiers.push(head),
            }
        }
        let mut content = std::mem::take(&mut kept.content);
        keep_content(self, &mut content);
        kept.content = content;
        kept.authors = std::mem::take(&mut self.authors);
        *self = kept;
        Some(pruned)
    }

    /// A log with the same names and without changes.
    pub(super) fn emptied(&self) -> Log {
        let mut names = self.names.clone();
        for name in &mut names {
            name.change_count = 0;
            name.rows.clear();
        }
        Log {
            names,
            name_numbers: self.name_numbers.clone(),
            ..Log::default()
        }
    }

    pub(super) fn push_copy(
        &mut self,
        from: &Log,
        key: ChangeKey,
        deps: &[ChangeKey],
        name: super::NameIdx,
        op: Operation<'_>,
    ) {
        match op {
            Operation::Insert {
                first,
                len,
                left,
                right,
                content,
            } => {
                let content = self.content.copy_from(&from.content, content, len);
                self.push(
                    key,
                    deps,
                    name,
                    Operation::Insert {
                        first,
                        len,
                        left,
                        right,
                        content,
                    },
                );
            }
            other => self.push(key, deps, name, other),
        }
    }
}
