//! The changes of all handlers in replay order, and logs that are filled from another log: what a
//! history is made of.

use super::row::Clocks;
use super::{ChangeKey, Log, Place};
use crate::clock::{Hlc, OperationId, OrderKey};

/// Changes of one row that follow each other in replay order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// How many changes come before, in replay order.
    pub start: u64,
    /// How many they are.
    pub len: u32,
    /// The first one.
    pub place: Place,
    /// Its clock.
    pub clock: Hlc,
}

impl Log {
    /// All changes in replay order, as few stretches as can be. O(n log n).
    pub fn replay_stretches(&self) -> Vec<Stretch> {
        let mut all: Vec<(OrderKey, Place)> = Vec::with_capacity(self.change_count as usize);
        for (number, row) in self.rows.iter().enumerate() {
            let peer = self.authors.peer(row.author);
            all.extend(self.clocks(row).enumerate().map(|(nth, clock)| {
                let place = Place {
                    row: number as u32,
                    nth: nth as u32,
                };
                (OperationId::new(peer, clock), place)
            }));
        }
        all.sort_unstable_by_key(|(order, _)| *order);
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut last: Option<Place> = None;
        for (start, (order, place)) in all.into_iter().enumerate() {
            let follows = last.is_some_and(|last| {
                last.row == place.row && last.nth.checked_add(1) == Some(place.nth)
            });
            match stretches.last_mut() {
                Some(stretch) if follows => stretch.len += 1,
                _ => stretches.push(Stretch {
                    start: start as u64,
                    len: 1,
                    place,
                    clock: order.hlc,
                }),
            }
            last = Some(place);
        }
        stretches
    }

    /// The ids of up to `count` changes of a row from `place` on. O(count).
    pub fn keys_from(&self, place: Place, count: u32) -> Vec<ChangeKey> {
        let mut row = self.rows[place.row as usize];
        let mut skip = place.nth as usize;
        if let Clocks::Step(step) = row.clocks {
            let passed = u64::from(step) * u64::from(place.nth);
            row.first_clock = Hlc::from_u64(row.first_clock.to_u64() + passed);
            row.changes -= place.nth;
            skip = 0;
        }
        let clocks = self.clocks(&row).skip(skip);
        let keys = clocks.map(|clock| ChangeKey {
            author: row.author,
            clock,
        });
        keys.take(count as usize).collect()
    }

    /// A log without changes that numbers authors and handlers as this one.
    pub fn without_changes(&self) -> Log {
        Log {
            authors: self.authors.clone(),
            ..self.emptied()
        }
    }

    /// The dependencies of a change. O(their number).
    pub fn deps_of(&self, place: Place) -> Vec<ChangeKey> {
        let mut deps = Vec::new();
        match place.nth.checked_sub(1) {
            Some(nth) => deps.extend(self.keys_from(Place { nth, ..place }, 1)),
            None => self.row_deps(place.row as usize, &mut deps),
        }
        deps
    }

    /// Stores a change of a log that numbers authors and handlers as this one.
    pub fn copy_change(&mut self, from: &Log, place: Place, key: ChangeKey, deps: &[ChangeKey]) {
        let name = from.name_of(place);
        from.with_operation(place, |op| self.push_copy(from, key, deps, name, op));
    }
}
