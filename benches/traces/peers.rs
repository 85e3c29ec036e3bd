//! Others with the same edits: a plain rope always, other CRDTs with the feature `peers`.

use bench::measure::measured;
use bench::table::Table;
use bench::trace::Trace;
use jumprope::JumpRope;

pub const ROPE: &str = "jumprope";

/// All rows of one run.
pub fn run(trace: &Trace, table: &mut Table) {
    let (rope, sample) = measured(|| {
        let mut rope = JumpRope::new();
        trace
            .edits
            .iter()
            .for_each(|edit| edit_rope(&mut rope, edit));
        rope
    });
    assert!(rope == trace.end.as_str(), "the text at the end differs");
    table.add(ROPE, sample);
}

fn edit_rope(rope: &mut JumpRope, edit: &bench::trace::Edit) {
    if edit.removed_chars > 0 {
        rope.remove(edit.at_chars..edit.at_chars + edit.removed_chars);
    }
    if !edit.inserted.is_empty() {
        rope.insert(edit.at_chars, edit.inserted);
    }
}

/// cola knows no text: as its users do, it is paired with a rope.
#[cfg(feature = "peers")]
pub fn run_cola(trace: &Trace, table: &mut Table) {
    let ((rope, _replica), sample) = measured(|| {
        let mut rope = JumpRope::new();
        let mut replica = cola::Replica::new(1, 0);
        for edit in &trace.edits {
            edit_rope(&mut rope, edit);
            let at = edit.at_chars;
            if edit.removed_chars > 0 {
                std::hint::black_box(replica.deleted(at..at + edit.removed_chars));
            }
            if !edit.inserted.is_empty() {
                std::hint::black_box(replica.inserted(at, edit.inserted.chars().count()));
            }
        }
        (rope, replica)
    });
    assert!(rope == trace.end.as_str(), "the text at the end differs");
    table.add("cola-crdt + jumprope", sample);
}

/// One transaction per edit, as the others.
#[cfg(feature = "peers")]
pub fn run_yrs(trace: &Trace, table: &mut Table) {
    use yrs::{Doc, GetString as _, OffsetKind, Options, Text as _, Transact as _};
    let ((document, text), sample) = measured(|| {
        let options = Options {
            offset_kind: OffsetKind::Utf16,
            ..Options::default()
        };
        let document = Doc::with_options(options);
        let text = document.get_or_insert_text("text");
        for edit in &trace.edits {
            let mut transaction = document.transact_mut();
            if edit.removed_utf16 > 0 {
                text.remove_range(
                    &mut transaction,
                    edit.at_utf16 as u32,
                    edit.removed_utf16 as u32,
                );
            }
            if !edit.inserted.is_empty() {
                text.insert(&mut transaction, edit.at_utf16 as u32, edit.inserted);
            }
        }
        (document, text)
    });
    assert!(
        text.get_string(&document.transact()) == trace.end,
        "the text at the end differs"
    );
    table.add("yrs", sample);
}
