//! What Syncline does with a trace: edits, export, import, snapshot.

use bench::editing::{check_text, edited, options, with_text};
use bench::measure::measured;
use bench::table::Table;
use bench::trace::Trace;
use std::time::Duration;
use syncline::codec::{Change, Snapshot, change};
use syncline::document::{Document, Origin, SharedDocument};
use syncline::replica::Replica as _;

pub const LOCAL: &str = "syncline, Document";

/// All rows of one run.
pub fn run(trace: &Trace, table: &mut Table) {
    let document = local(trace, table);
    shared(trace, table);

    let (bytes, mut sample) = measured(|| document.export_list());
    sample.heap = None;
    sample.bytes = Some(bytes.len());
    table.add("syncline, export", sample);
    apply(trace, &bytes, table);
    singly(trace, &document, &bytes, table);
    snapshot(trace, document, table);
}

/// The edits alone. Not inlined, so that profilers can tell it from the rest.
#[inline(never)]
pub fn local(trace: &Trace, table: &mut Table) -> Document {
    let (document, sample) = measured(|| edited(trace));
    check_text(trace, &document);
    table.add(LOCAL, sample);
    document
}

/// The imports alone, so often, after one replay to have something to import.
pub fn apply_only(trace: &Trace, times: usize, table: &mut Table) {
    let bytes = local(trace, table).export_list();
    for _ in 0..times {
        apply(trace, &bytes, table);
    }
}

fn shared(trace: &Trace, table: &mut Table) {
    let (shared, sample) = measured(|| {
        let (document, text) = with_text(Document::new(options()));
        let shared = SharedDocument::new(document, Duration::from_secs(10));
        for edit in &trace.edits {
            if edit.removed_utf16 > 0 {
                let done = shared
                    .with(|document| document.text_remove(text, edit.at_utf16, edit.removed_utf16));
                done.expect("free").expect("inside of the text");
            }
            if !edit.inserted.is_empty() {
                let done = shared
                    .with(|document| document.text_insert(text, edit.at_utf16, edit.inserted));
                done.expect("free").expect("inside of the text");
            }
        }
        shared
    });
    shared
        .read(|document| check_text(trace, document))
        .expect("free");
    table.add("syncline, SharedDocument", sample);
}

fn imported(bytes: &[u8], registered: bool) -> Document {
    let mut document = Document::new(options());
    if registered {
        document = with_text(document).0;
    }
    let outcome = document
        .import_list(bytes, &[], Origin::Remote)
        .expect("exported here");
    assert_eq!(outcome.not_ready, 0);
    document
}

fn imported_singly(bytes: &[u8]) -> Document {
    let (mut document, _) = with_text(Document::new(options()));
    let changes: Vec<Change> = change::decode_list(bytes).expect("exported here");
    let outcome = document
        .import_changes(changes, &[], Origin::Remote)
        .expect("an open document");
    assert_eq!(outcome.not_ready, 0);
    document
}

fn apply(trace: &Trace, bytes: &[u8], table: &mut Table) {
    let (document, sample) = measured(|| imported(bytes, true));
    check_text(trace, &document);
    table.add("syncline, apply all", sample);
    drop(document);

    let (document, sample) = measured(|| imported(bytes, false));
    table.add("syncline, apply, no handler", sample);

    let ((document, text), mut sample) = measured(|| with_text(document));
    sample.heap = None;
    assert!(
        document.text_string(text) == trace.end,
        "the text at the end differs"
    );
    table.add("syncline, replay into handler", sample);
}

/// With every change on its own in memory, as the sync protocols have them.
fn singly(trace: &Trace, document: &Document, bytes: &[u8], table: &mut Table) {
    let (same, mut sample) = measured(|| change::encode_list(document.all_changes().iter()));
    assert!(same == bytes);
    drop(same);
    sample.heap = None;
    sample.bytes = Some(bytes.len());
    table.add("syncline, changes, then encode", sample);
    let (document, sample) = measured(|| imported_singly(bytes));
    check_text(trace, &document);
    table.add("syncline, decode, then apply", sample);
}

fn snapshot(trace: &Trace, mut document: Document, table: &mut Table) {
    let (bytes, mut sample) = measured(|| {
        document
            .take_snapshot(true)
            .expect("no transaction")
            .encode()
    });
    sample.heap = None;
    sample.bytes = Some(bytes.len());
    table.add("syncline, snapshot and prune", sample);
    assert_eq!(document.change_count(), 0);
    check_text(trace, &document);

    let (document, sample) = measured(|| {
        let (mut document, _) = with_text(Document::new(options()));
        let snapshot = Snapshot::decode(&bytes).expect("encoded here");
        assert!(
            document
                .import_snapshot(&snapshot, true)
                .expect("an open document")
        );
        document
    });
    check_text(trace, &document);
    table.add("syncline, open snapshot", sample);
}
