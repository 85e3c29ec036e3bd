//! How many elements there are to be removed: a row may say in a few bytes that any number of them
//! is, and each of them takes its place in the crdt_lf form. No history removes more than each
//! author all that there are, so nothing else is taken in, or written.

use crate::codec::native::Decoded;
use crate::document::Document;
use crate::document::handlers::fugue::FugueBlob;
use crate::document::handlers::fugue_body::Elements;
use crate::document::log::{Log, Operation, Slice, SliceOp};
use crate::document::types::{HandlerKind, ValueCodec};
use crate::document::wire::RowElements;

impl Document {
    /// How many elements the rows of a body of so many bytes may remove; no limit if they do not
    /// ask for more. `names` are those of their handlers. O(rows), or O(document) if they remove
    /// more elements than they have bytes and insert elements.
    pub(super) fn removable(
        &self,
        decoded: &Decoded,
        names: &[(Box<str>, Box<str>)],
        bytes: usize,
    ) -> u64 {
        let beyond = decoded.removals_beyond(bytes);
        let limit = beyond.map(|removals| removals.limit(self.known_elements(names), bytes));
        limit
            .filter(|limit| *limit < decoded.removed())
            .unwrap_or(u64::MAX)
    }

    /// At least as many elements as there ever were in Fugue sequences, those that were pruned
    /// included, as far as anybody still can remove them.
    fn known_elements(&self, names: &[(Box<str>, Box<str>)]) -> u64 {
        let held = self.handlers.iter().filter_map(|handler| handler.fugue());
        let held = held.flat_map(|fugue| fugue.sequence.runs());
        let held: u64 = held.map(|run| u64::from(run.len)).sum();
        // A crdt_lf snapshot tells of removed elements only how far their authors had counted.
        let forgotten: u64 = names
            .iter()
            .filter_map(|(type_tag, id)| {
                let elements = match RowElements::of(HandlerKind::of_tag(type_tag))? {
                    RowElements::Units => Elements::Units,
                    // Nobody asks for the values.
                    RowElements::Values => Elements::Values(ValueCodec::Bytes),
                };
                let entry = self.snapshot.as_ref()?.entry(id)?;
                let blob = FugueBlob::decode(entry, elements).ok()?;
                let counts = blob.floor.iter().map(|(_, counter)| *counter);
                let counted = counts.fold(0, |sum: u64, counter| {
                    sum.saturating_add(counter).saturating_add(1)
                });
                Some(counted.saturating_add(blob.nodes.len() as u64))
            })
            .fold(0, u64::saturating_add);
        forgotten.saturating_add(held + inserted(&self.log))
    }
}

/// How many elements the stored changes insert. O(rows).
pub(super) fn inserted(log: &Log) -> u64 {
    let slices = log.slices_from(0).into_iter();
    slices.map(|slice| counts(log, slice).0).sum()
}

/// How many elements a slice inserts and removes.
pub(super) fn counts(log: &Log, slice: Slice) -> (u64, u64) {
    let changes = u64::from(slice.changes);
    match log.slice_op(slice) {
        SliceOp::Insert(Operation::Insert { len, .. }) => (u64::from(len) * changes, 0),
        SliceOp::Remove { step, .. } => (0, u64::from(step.unsigned_abs()) * changes),
        SliceOp::Single(Operation::Remove { spans }) => {
            (0, spans.iter().map(|span| u64::from(span.len)).sum())
        }
        SliceOp::Insert(_) | SliceOp::Single(_) => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{empty, registered, values};
    use crate::clock::VersionVector;
    use crate::document::{Document, Origin};
    use crate::replica::Replica as _;

    /// `len` characters in one change, and their removal in another one.
    fn removed_whole(len: usize) -> Document {
        let mut document = registered(empty(1));
        let text = document.find_handler("text").unwrap();
        document.text_insert(text, 0, &"x".repeat(len)).unwrap();
        document.text_remove(text, 0, len as u64).unwrap();
        document
    }

    fn first(document: &Document) -> Document {
        let mut other = registered(empty(2));
        other.apply(document.all_changes()[0].clone()).unwrap();
        other
    }

    #[test]
    fn nobody_removes_more_than_there_is() {
        let document = removed_whole(50_000);
        let mut other = first(&document);
        let removal = document.export_native(&other.version_vector());
        assert!(removal.len() < 100);
        let outcome = other.import_native(&removal, b"", Origin::Remote).unwrap();
        assert_eq!(outcome.applied, 1);
        assert_eq!(values(&other), values(&document));
        // The same one where the first change inserted less.
        let mut short = first(&removed_whole(1000));
        let outcome = short.import_native(&removal, b"", Origin::Remote).unwrap();
        assert_eq!((outcome.applied, outcome.not_ready), (0, 1));
        assert_eq!(short.change_count(), 1);
        // In the crdt_lf form every element has its bytes: it may come so, and travels on natively,
        // at the same price.
        short
            .import_changes(document.all_changes(), &[], Origin::Remote)
            .unwrap();
        assert_eq!(short.change_count(), 2);
        let mut third = registered(empty(3));
        let bytes = short.export_native(&VersionVector::new());
        assert!(bytes.len() > 50_000);
        let outcome = third.import_native(&bytes, b"", Origin::Remote).unwrap();
        assert_eq!(outcome.applied, 2);
        assert_eq!(third.export_list(), short.export_list());
        let mut reopened = Document::open_native(
            &third.native_snapshot(true).unwrap(),
            crate::document::DocumentOptions::default(),
        )
        .unwrap();
        assert_eq!(reopened.export_list(), short.export_list());
        assert!(
            reopened
                .import_native(&removal, b"", Origin::Remote)
                .is_ok()
        );
    }

    /// Whoever pruned the insertions, or has them from a snapshot, takes removals of all, from as
    /// many authors as there are.
    #[test]
    fn what_was_pruned_can_be_removed() {
        let mut document = registered(empty(1));
        let text = document.find_handler("text").unwrap();
        document.text_insert(text, 0, &"x".repeat(20_000)).unwrap();
        let all = document.export_native(&VersionVector::new());
        let mut receivers = Vec::new();
        let mut pruned = registered(empty(9));
        pruned.import_native(&all, b"", Origin::Remote).unwrap();
        pruned.take_snapshot(true).unwrap();
        let mut seeded = Document::new(Default::default());
        seeded
            .import_snapshot(pruned.last_snapshot().unwrap(), true)
            .unwrap();
        receivers.push(
            Document::open_native(&pruned.native_snapshot(false).unwrap(), Default::default())
                .unwrap(),
        );
        receivers.extend([pruned, seeded]);
        for author in 2..8 {
            let mut other = registered(empty(author));
            other.import_native(&all, b"", Origin::Remote).unwrap();
            let before = other.version_vector();
            other.text_remove(text, 0, 20_000).unwrap();
            let removal = other.export_native(&before);
            for receiver in &mut receivers {
                let outcome = receiver
                    .import_native(&removal, b"", Origin::Remote)
                    .unwrap();
                assert_eq!(outcome.applied, 1);
            }
        }
        let joined = receivers[1].export_native(&document.version_vector());
        let outcome = document
            .import_native(&joined, b"", Origin::Remote)
            .unwrap();
        assert_eq!(outcome.applied, 6);
        assert_eq!(document.text_len_utf16(text), 0);
    }
}
