//! The line along which a history moves: a frozen log in replay order, a cursor, and checkpoints
//! from which the past is folded again.
//!
//! Layer: `document`. Going forwards stores one change after the other in the document that shows
//! the history. Going backwards starts from the nearest checkpoint; on the way from there new ones
//! are laid at half of what is left, so that step after step backwards costs little, and beyond
//! [`CHECKPOINTS_MAX`] the one goes that lies in the smallest gap for its distance.

use super::frontiers::{AuthorOrder, Frontiers};
use super::handler::Handler;
use super::log::{ChangeKey, Log, Stretch};
use crate::clock::VersionVector;
use crate::codec::Change;

/// Most checkpoints of one history: each is a copy of the document up to there.
pub(super) const CHECKPOINTS_MAX: usize = 10;

/// No checkpoint for fewer changes than this: folding them costs about as much as the copy.
pub(super) const CHECKPOINT_DISTANCE_MIN: u64 = if cfg!(any(test, fuzzing)) { 4 } else { 1024 };

/// The document as it is at one cursor.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    pub cursor: u64,
    pub log: Log,
    pub frontiers: Frontiers,
    pub vector_order: AuthorOrder,
    pub handlers: Vec<Handler>,
}

/// See the module. Read it with `Document::history`, move it with `Document::history_jump`.
#[derive(Debug)]
pub struct Timeline {
    pub(super) source: Log,
    stretches: Vec<Stretch>,
    length: u64,
    pub(super) cursor: u64,
    /// False: the document shows a version that is no beginning of the line.
    pub(super) is_on_line: bool,
    /// Ascending cursors; the first one is at 0 and stays.
    checkpoints: Vec<Checkpoint>,
}

impl Timeline {
    pub(super) fn new(source: Log, start: Checkpoint) -> Self {
        Timeline {
            stretches: source.replay_stretches(),
            length: source.change_count(),
            source,
            cursor: 0,
            is_on_line: true,
            checkpoints: vec![start],
        }
    }

    /// Number of changes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many changes the document shows now.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Whether there are changes behind the cursor.
    pub fn can_next(&self) -> bool {
        self.cursor < self.length
    }

    /// Whether there are changes before the cursor.
    pub fn can_previous(&self) -> bool {
        self.cursor > 0
    }

    /// False after a jump to a version that is not the first `cursor` changes in replay order,
    /// but others.
    pub fn is_on_line(&self) -> bool {
        self.is_on_line
    }

    /// A change by its number in replay order. O(log n), and its place in its row.
    pub fn change(&self, index: u64) -> Option<Change> {
        if index >= self.length {
            return None;
        }
        Some(self.source.change(self.place_at(index)))
    }

    /// How many changes are not younger than a time in milliseconds since 1970. O(log n).
    pub fn cursor_at_time(&self, time_ms: i64) -> u64 {
        let later = |stretch: &Stretch| stretch.clock.ms() > time_ms;
        let behind = self.stretches.partition_point(|stretch| !later(stretch));
        let Some(last) = behind.checked_sub(1) else {
            return 0;
        };
        let stretch = self.stretches[last];
        let keys = self.source.keys_from(stretch.place, stretch.len);
        stretch.start + keys.partition_point(|key| key.clock.ms() <= time_ms) as u64
    }

    /// How many changes of the line are covered before the first one that is not.
    pub(super) fn covered_prefix(&self, version: &VersionVector) -> u64 {
        let mut cursor = 0;
        while cursor < self.length {
            let uncovered = self
                .keys_at(cursor, self.length)
                .into_iter()
                .map(|key| self.source.operation_id(key))
                .position(|id| !version.covers(&id.peer, id.hlc));
            match uncovered {
                Some(nth) => return cursor + nth as u64,
                None => cursor = self.end_of_stretch(cursor),
            }
        }
        cursor
    }

    fn stretch_at(&self, cursor: u64) -> Stretch {
        let behind = self
            .stretches
            .partition_point(|stretch| stretch.start <= cursor);
        self.stretches[behind - 1]
    }

    /// The cursor behind the stretch that holds the change at `cursor`.
    pub(super) fn end_of_stretch(&self, cursor: u64) -> u64 {
        let stretch = self.stretch_at(cursor);
        stretch.start + u64::from(stretch.len)
    }

    /// The place of the change at `cursor`.
    pub(super) fn place_at(&self, cursor: u64) -> super::log::Place {
        let stretch = self.stretch_at(cursor);
        let mut place = stretch.place;
        place.nth += (cursor - stretch.start) as u32;
        place
    }

    /// The ids of the changes from `cursor` to the end of their stretch, or up to `end`.
    pub(super) fn keys_at(&self, cursor: u64, end: u64) -> Vec<ChangeKey> {
        let count = self.end_of_stretch(cursor).min(end) - cursor;
        self.source.keys_from(self.place_at(cursor), count as u32)
    }

    /// The last checkpoint that is not behind `target`.
    pub(super) fn checkpoint_before(&mut self, target: u64) -> &mut Checkpoint {
        let behind = self
            .checkpoints
            .partition_point(|checkpoint| checkpoint.cursor <= target);
        // The first one is at 0.
        &mut self.checkpoints[behind - 1]
    }

    /// Where to lay the next checkpoint on the way from `cursor` to `target`.
    pub(super) fn next_checkpoint(&self, cursor: u64, target: u64) -> Option<u64> {
        let half = (target - cursor) / 2;
        (half >= CHECKPOINT_DISTANCE_MIN).then_some(cursor + half)
    }

    /// Keeps a checkpoint; `target` is where the cursor goes.
    pub(super) fn add_checkpoint(&mut self, checkpoint: Checkpoint, target: u64) {
        let at = self
            .checkpoints
            .partition_point(|known| known.cursor < checkpoint.cursor);
        if self
            .checkpoints
            .get(at)
            .is_some_and(|known| known.cursor == checkpoint.cursor)
        {
            return;
        }
        self.checkpoints.insert(at, checkpoint);
        if self.checkpoints.len() <= CHECKPOINTS_MAX {
            return;
        }
        // How little is lost without it: the gap that it parts, seen from the target.
        let loss = |at: usize| {
            let cursor = |at: usize| {
                self.checkpoints
                    .get(at)
                    .map_or(self.length, |known| known.cursor)
            };
            let gap = cursor(at + 1) - cursor(at - 1);
            gap as f64 / (1 + cursor(at).abs_diff(target)) as f64
        };
        let least = (1..self.checkpoints.len())
            .min_by(|a, b| loss(*a).total_cmp(&loss(*b)))
            .expect("there are several");
        self.checkpoints.remove(least);
    }

    /// Memory held, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let checkpoints: usize = self
            .checkpoints
            .iter()
            .map(|checkpoint| {
                let handlers = checkpoint.handlers.iter().map(Handler::heap_bytes);
                checkpoint.log.heap_bytes() + handlers.sum::<usize>()
            })
            .sum();
        self.source.heap_bytes() + self.stretches.capacity() * size_of::<Stretch>() + checkpoints
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        assert!(self.cursor <= self.length);
        assert!(self.checkpoints.len() <= CHECKPOINTS_MAX);
        assert_eq!(self.checkpoints[0].cursor, 0);
        assert!(
            self.checkpoints
                .windows(2)
                .all(|pair| pair[0].cursor < pair[1].cursor)
        );
        for checkpoint in &self.checkpoints {
            assert_eq!(checkpoint.log.change_count(), checkpoint.cursor);
        }
        assert!(
            self.stretches
                .windows(2)
                .all(|pair| pair[0].start < pair[1].start && pair[0].clock <= pair[1].clock)
        );
    }
}
