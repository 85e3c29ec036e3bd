//! The native forms on an editing trace: history, updates, diffs. Prints time and bytes of each;
//! see `docs/format.md`.

use bench::editing::{check_text, edited, options, with_text};
use bench::measure::measured;
use bench::table::Table;
use bench::trace::{self, Trace};
use syncline::clock::VersionVector;
use syncline::codec::native::deflated;
use syncline::document::{Document, NativeReader, NativeWriter, Origin};
use syncline::replica::Replica as _;

/// Diffs per sample: one is too short to be measured.
const DIFFS: u32 = 1000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let name = option("--trace").unwrap_or_else(|| "automerge-paper".into());
    let runs = option("--runs").map_or(7, |runs| runs.parse().expect("a number of runs"));
    let trace = trace::load(&name).unwrap_or_else(trace::generated);
    println!("{}: {} edits", trace.name, trace.edits.len());
    if let Some(times) = option("--only-apply") {
        let bytes = edited(&trace).export_native(&VersionVector::new());
        let mut table = Table::default();
        for _ in 0..times.parse().expect("a number") {
            applied(&trace, "history applied", &bytes, &mut table);
        }
        table.print(&[]);
        return;
    }
    let mut table = Table::default();
    for _ in 0..runs {
        run(&trace, &mut table);
    }
    table.print(&[("/ edits", "edits")]);
}

fn run(trace: &Trace, table: &mut Table) {
    let (document, sample) = measured(|| edited(trace));
    check_text(trace, &document);
    table.add("edits", sample);
    history(trace, &document, table);
    diff(&document, table);
    updates(trace, table);
    snapshot(trace, document, table);
}

/// Stored with and without history; opened, read, edited.
fn snapshot(trace: &Trace, mut document: Document, table: &mut Table) {
    for (stored, read, first_edit, history) in [
        ("snapshot", "  open, read", "  open, first edit", false),
        (
            "snapshot with history",
            "  open it, read",
            "  open it, first edit",
            true,
        ),
    ] {
        let (bytes, mut sample) = measured(|| document.native_snapshot(history).expect("whole"));
        (sample.heap, sample.bytes) = (None, Some(bytes.len()));
        table.add(stored, sample);
        let open = || Document::open_native(&bytes, options()).expect("written here");
        let ((opened, text), sample) = measured(|| {
            let opened = open();
            let text = opened.text_string(opened.find_handler("text").expect("stored"));
            (opened, text)
        });
        assert!(text == trace.end, "the text at the end differs");
        table.add(read, sample);
        drop(opened);
        let (opened, sample) = measured(|| {
            let mut opened = open();
            let text = opened.find_handler("text").expect("stored");
            opened
                .text_insert(text, trace.end.len() as u64 / 2, "x")
                .expect("inside of the text");
            opened
        });
        table.add(first_edit, sample);
        drop(opened);
    }
}

fn history(trace: &Trace, document: &Document, table: &mut Table) {
    let (bytes, mut sample) = measured(|| document.export_native(&VersionVector::new()));
    (sample.heap, sample.bytes) = (None, Some(bytes.len()));
    table.add("history encoded", sample);
    let (packed, mut sample) = measured(|| deflated(&bytes).expect("encoded here"));
    (sample.heap, sample.bytes) = (None, Some(packed.len()));
    table.add("  deflated", sample);
    for (name, bytes) in [("history applied", &bytes), ("  inflated first", &packed)] {
        applied(trace, name, bytes, table);
    }
}

fn applied(trace: &Trace, name: &'static str, bytes: &[u8], table: &mut Table) {
    let (copy, sample) = measured(|| {
        let (mut copy, _) = with_text(Document::new(options()));
        copy.import_native(bytes, &[], Origin::Remote)
            .expect("encoded here");
        copy
    });
    check_text(trace, &copy);
    table.add(name, sample);
}

/// For a peer that lacks the last edit.
fn diff(document: &Document, table: &mut Table) {
    let changes = document.all_changes();
    let mut known = VersionVector::new();
    let before = &changes[changes.len() - 2];
    known.set(before.id.peer, before.id.hlc);
    let mut bytes = 0;
    let (_, mut sample) = measured(|| {
        for _ in 0..DIFFS {
            bytes = std::hint::black_box(document.export_native(&known)).len();
        }
    });
    sample.time /= DIFFS;
    sample.time *= 1000;
    (sample.heap, sample.bytes) = (None, Some(bytes));
    table.add("diff for one edit, in us", sample);
}

/// Every edit as an update of its own, then a reader that takes them in one by one.
fn updates(trace: &Trace, table: &mut Table) {
    let (updates, mut sample) = measured(|| {
        let (mut document, text) = with_text(Document::new(options()));
        let mut writer = NativeWriter::new(&VersionVector::new());
        let mut updates = Vec::new();
        let mut ends = Vec::with_capacity(trace.edits.len() + 1);
        for edit in &trace.edits {
            if edit.removed_utf16 > 0 {
                document
                    .text_remove(text, edit.at_utf16, edit.removed_utf16)
                    .expect("inside of the text");
            }
            if !edit.inserted.is_empty() {
                document
                    .text_insert(text, edit.at_utf16, edit.inserted)
                    .expect("inside of the text");
            }
            writer
                .update(&document, &mut updates)
                .expect("nothing was rewritten");
            ends.push(updates.len());
        }
        check_text(trace, &document);
        (updates, ends)
    });
    let (bytes, ends) = updates;
    (sample.heap, sample.bytes) = (None, Some(bytes.len()));
    table.add("edits with updates", sample);
    let (copy, sample) = measured(|| {
        let (mut copy, _) = with_text(Document::new(options()));
        let mut reader = NativeReader::new();
        let mut start = 0;
        for end in &ends {
            reader
                .apply(&mut copy, &bytes[start..*end], &[], Origin::Remote)
                .expect("written here");
            start = *end;
        }
        copy
    });
    check_text(trace, &copy);
    table.add("updates read one by one", sample);
}
