//! Undo stacks that are stored with their document.
//!
//! Layer: `store`. They are an attachment that is encoded when the writer takes the changes, under
//! the same lock, and written in the same transaction: what is on the device was, at one moment,
//! the state of both.

use super::tracker::Tracker;
use super::{Attachment, StoreError};
use crate::document::{Document, SharedDocument, UndoIdx, UndoMark};

/// Key of the attachment.
pub(super) const UNDO_KEY: &str = "undo";

/// Larger stacks are not kept: they are written anew with every edit, and must never keep the
/// edits themselves from being stored.
const STACKS_BYTES_MAX: usize = 16 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Stacks {
    place: Place,
    /// What the device has of the kept manager.
    stored: Option<UndoMark>,
    /// The last stacks of a manager that went, as long as the device does not have them.
    left: Option<Vec<u8>>,
    /// How many managers left something.
    left_count: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Free,
    /// Somebody is about to keep a manager.
    Reserved,
    Kept(UndoIdx),
}

/// What the writer took.
pub(super) enum Taken {
    Of(UndoIdx, UndoMark),
    Left(u64),
}

impl Stacks {
    /// What is to be written, if anything.
    pub fn collect(&self, name: &str, document: &Document) -> Option<(Taken, Attachment)> {
        let (taken, bytes) = match self.place {
            Place::Kept(manager) => {
                let mark = document.undo_mark(manager)?;
                if self.stored == Some(mark) {
                    return None;
                }
                (Taken::Of(manager, mark), document.undo_encode(manager)?)
            }
            _ => (Taken::Left(self.left_count), self.left.clone()?),
        };
        let is_small = bytes.len() <= STACKS_BYTES_MAX;
        if !is_small {
            log::warn!(target: "store", "the undo stacks of document {name:?} are too large to be kept");
        }
        let attachment = Attachment {
            key: UNDO_KEY.to_owned(),
            content: is_small.then_some(bytes),
        };
        Some((taken, attachment))
    }

    /// It is on the device.
    pub fn stored(&mut self, taken: Taken) {
        match taken {
            Taken::Of(manager, mark) if self.place == Place::Kept(manager) => {
                self.stored = Some(mark);
            }
            Taken::Left(number) if number == self.left_count => self.left = None,
            _ => (),
        }
    }

    /// Whether nothing was kept before.
    fn reserve(&mut self) -> bool {
        let is_free = self.place == Place::Free;
        if is_free {
            self.place = Place::Reserved;
        }
        is_free
    }
}

/// Restores and keeps the steps of an undo manager.
pub(super) fn keep(
    tracker: &Tracker,
    document: &SharedDocument,
    manager: UndoIdx,
) -> Result<(), StoreError> {
    if !tracker.with_stacks(Stacks::reserve) {
        return Err(StoreError::InUse {
            document: tracker.name.clone(),
        });
    }
    let kept = restore(tracker, document, manager);
    tracker.with_stacks(|stacks| match &kept {
        Ok(mark) => {
            stacks.place = Place::Kept(manager);
            stacks.stored = *mark;
            stacks.left = None;
        }
        Err(_) => stacks.place = Place::Free,
    });
    if kept.is_ok() {
        // An edit may have been written after the steps were restored, without its own.
        tracker.touch(false);
    }
    kept.map(|_| ())
}

/// Gives what the device has of it afterwards: None if that is something else.
fn restore(
    tracker: &Tracker,
    document: &SharedDocument,
    manager: UndoIdx,
) -> Result<Option<UndoMark>, StoreError> {
    let left = tracker.with_stacks(|stacks| stacks.left.clone());
    let is_left = left.is_some();
    let damaged = |error: &dyn std::fmt::Display| {
        log::warn!(target: "store", "the undo stacks of document {:?} are left out: {error}", tracker.name);
    };
    let stored = match left {
        Some(left) => Some(left),
        None => match tracker.attachment(UNDO_KEY) {
            Err(error @ StoreError::Corrupt { .. }) => {
                damaged(&error);
                None
            }
            stored => stored?,
        },
    };
    let restored = document.with(|document| {
        if let Some(bytes) = stored {
            if let Err(error) = document.undo_decode(manager, &bytes) {
                damaged(&error);
                return None;
            }
        }
        document.undo_mark(manager)
    });
    match restored {
        Ok(mark) => Ok(mark.filter(|_| !is_left)),
        Err(_) => Err(StoreError::Busy),
    }
}

/// Forgets an undo manager. If it is kept, its last stacks are stored.
pub(super) fn leave(tracker: &Tracker, document: &SharedDocument, manager: UndoIdx) {
    let is_kept = tracker.with_stacks(|stacks| stacks.place == Place::Kept(manager));
    let last = document.take_undo_manager(manager, is_kept);
    let has_left = tracker.with_stacks(|stacks| {
        if stacks.place != Place::Kept(manager) {
            return false;
        }
        stacks.place = Place::Free;
        let stored = stacks.stored.take();
        let last = last.filter(|(_, mark)| stored != Some(*mark));
        stacks.left_count += 1;
        stacks.left = last.map(|(bytes, _)| bytes);
        stacks.left.is_some()
    });
    if has_left {
        tracker.touch(false);
    }
}
