//! What the records of a document hold. Written is the native form (docs/format.md), which keeps
//! removed elements and tags; records in the crdt_lf form, of earlier versions or of documents
//! whose handlers are not known here, are read as well.
//!
//! Layer: `store`. Whether the form is native shows in its first bytes.

use crate::codec::{Change, change};
use crate::document::{Document, LogPosition};
use crate::replica::Replica as _;

/// A record ends when it reaches this size: opening a document decodes record by record.
pub(super) const RECORD_BYTES_TARGET: usize = 1 << 20;

/// All of a document: its snapshot, if it has one, and the records that belong to it.
pub(super) fn whole(document: &Document) -> (Option<Vec<u8>>, Vec<Vec<u8>>) {
    let beginning = LogPosition {
        index: 0,
        ..document.log_position()
    };
    if !document.has_snapshot() {
        let records = document.native_changes_since(beginning, RECORD_BYTES_TARGET);
        return (None, records.expect("a position of now"));
    }
    if let Some(snapshot) = document.stored_snapshot() {
        // With the changes in it.
        return (Some(snapshot), Vec::new());
    }
    let snapshot = document.last_snapshot().map(|snapshot| snapshot.encode());
    (snapshot, crdt_lf_records(&document.all_changes()))
}

/// Changes as records of bounded size.
fn crdt_lf_records(changes: &[Change]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut rest = changes;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|change| {
            let before = bytes;
            bytes += change.payload.len() + 24 * (change.deps.len() + 2);
            before < RECORD_BYTES_TARGET
        });
        let (record, later) = rest.split_at(fits.count());
        records.push(change::encode_list(record.iter()));
        rest = later;
    }
    records
}
