//! Rows about a text that one person typed.

use crate::c_interface;
use crate::engine::{CrdtLf, Engine, Ours};
use crate::report::{OURS, Report};
use bench::measure::{Stopwatch, measured};
use bench::trace::Trace;
use jumprope::JumpRope;

/// Rows in which only we and a plain rope are.
pub fn rope_and_ours(trace: &Trace, report: &mut Report) {
    let (rope, sample) = measured(|| {
        let mut rope = JumpRope::new();
        trace.edits.iter().for_each(|edit| {
            edit_rope(&mut rope, edit);
        });
        rope
    });
    assert!(rope == trace.end.as_str(), "the text at the end differs");
    report.time("local edits", "jumprope", sample.time);
    drop(rope);
    local::<Ours<CrdtLf>>(trace, report);

    let (text, sample) = measured(|| c_interface::replay(trace));
    assert!(text.content() == trace.end, "the text at the end differs");
    report.time("local edits, C interface", OURS, sample.time);
}

pub fn edit_rope(rope: &mut JumpRope, edit: &bench::trace::Edit) {
    if edit.removed_chars > 0 {
        rope.remove(edit.at_chars..edit.at_chars + edit.removed_chars);
    }
    if !edit.inserted.is_empty() {
        rope.insert(edit.at_chars, edit.inserted);
    }
}

/// The edits, and what they leave in memory.
pub fn local<E: Engine>(trace: &Trace, report: &mut Report) -> E {
    let (engine, sample) = measured(|| {
        let mut engine = E::new(1);
        trace.edits.iter().for_each(|edit| engine.edit(edit));
        engine
    });
    check(trace, &engine);
    report.time("local edits", E::NAME, sample.time);
    let heap = sample.heap.unwrap_or_default();
    report.size("heap after them", E::NAME, heap.unsigned_abs());
    engine
}

fn check<E: Engine>(trace: &Trace, engine: &E) {
    let same = engine.text() == trace.end;
    assert!(same, "{}: the text at the end differs", E::NAME);
}

/// Names of the rows about one way of encoding.
pub struct Rows {
    pub updates: &'static str,
    pub updates_size: Option<&'static str>,
    pub reader: &'static str,
    pub encoded: &'static str,
    pub encoded_size: Option<&'static str>,
    pub applied: &'static str,
    pub open: &'static str,
    pub open_and_edit: Option<&'static str>,
}

/// The forms that engines made for each other.
pub const COMPACT: Rows = Rows {
    updates: "an update per edit, compact",
    updates_size: Some("its bytes"),
    reader: "reader applies them, compact",
    encoded: "whole history encoded",
    encoded_size: Some("its bytes, deflated"),
    applied: "whole history applied",
    open: "open and read",
    open_and_edit: Some("open and edit"),
};

/// The form that Dart reads.
pub const CRDT_LF: Rows = Rows {
    updates: "an update per edit, crdt_lf",
    updates_size: None,
    reader: "reader applies them, crdt_lf",
    encoded: "whole history encoded, crdt_lf",
    encoded_size: None,
    applied: "whole history applied, crdt_lf",
    open: "open and read, crdt_lf",
    open_and_edit: None,
};

/// Each edit followed by its update, and a reader that follows.
pub fn updates<E: Engine>(trace: &Trace, rows: &Rows, report: &mut Report) {
    let mut writer = E::new(1);
    let start = Stopwatch::start();
    let updates: Vec<Vec<u8>> = trace
        .edits
        .chunks(1)
        .map(|edit| writer.edit_and_export(edit))
        .collect();
    report.time(rows.updates, E::NAME, start.elapsed());
    if let Some(row) = rows.updates_size {
        report.size(row, E::NAME, updates.iter().map(Vec::len).sum());
    }
    let mut reader = E::new(2);
    let start = Stopwatch::start();
    updates.iter().for_each(|update| reader.apply(update));
    report.time(rows.reader, E::NAME, start.elapsed());
    check(trace, &reader);
}

/// The whole history at once, of engines that keep it.
pub fn whole<E: Engine>(trace: &Trace, engine: &mut E, rows: &Rows, report: &mut Report) {
    let (bytes, sample) = measured(|| engine.export_all());
    let Some(bytes) = bytes else {
        return;
    };
    report.time(rows.encoded, E::NAME, sample.time);
    if let Some(row) = rows.encoded_size {
        report.size(row, E::NAME, E::packed_len(&bytes));
    }
    let (applied, sample) = measured(|| {
        let mut reader = E::new(2);
        reader.apply(&bytes);
        reader
    });
    report.time(rows.applied, E::NAME, sample.time);
    check(trace, &applied);
}

/// The text as it is kept.
pub fn open<E: Engine>(trace: &Trace, engine: &mut E, rows: &Rows, report: &mut Report) {
    let saved = engine.save();
    let (opened, sample) = measured(|| {
        let engine = E::load(&saved);
        let text = engine.text();
        (engine, text)
    });
    report.time(rows.open, E::NAME, sample.time);
    assert!(opened.1 == trace.end, "{}: saved otherwise", E::NAME);
    drop(opened);
    if let Some(row) = rows.open_and_edit {
        let edit = bench::trace::Edit {
            at_chars: trace.end.chars().count() / 2,
            at_utf16: trace.end.encode_utf16().count() as u64 / 2,
            removed_chars: 0,
            removed_utf16: 0,
            inserted: "x",
        };
        let (_, sample) = measured(|| {
            let mut engine = E::load(&saved);
            engine.edit(&edit);
            engine
        });
        report.time(row, E::NAME, sample.time);
    }
}
