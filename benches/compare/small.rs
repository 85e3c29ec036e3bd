//! Rows about many small documents, small differences, changes from the past and huge texts.

use crate::engine::{Engine, Native, Ours, document_with, options};
use crate::report::{OURS, Report};
use crate::values::Numbers;
use bench::heap;
use bench::measure::{Stopwatch, measured};
use bench::trace::{Edit, Trace};
use std::hint::black_box;
use std::time::Duration;
use syncline::codec::Value;
use syncline::document::{Document, DocumentOptions, HandlerKind, Origin};
use syncline::replica::Replica as _;

const DOCUMENTS: usize = 1_000;
/// What is typed into a small document.
const WORDS: &str = "The quick brown fox jumps over the lazy dog. ";

/// What so many empty and small typed documents take.
pub fn documents<E: Engine>(report: &mut Report) {
    let typed = typing(WORDS);
    for (row, edits) in [
        ("an empty document", &[][..]),
        ("a small typed document", &typed),
    ] {
        let mut all: Vec<E> = Vec::with_capacity(DOCUMENTS);
        let reserved = (DOCUMENTS * size_of::<E>()) as isize;
        let before = heap::live() - reserved;
        for number in 0..DOCUMENTS as u32 {
            let mut engine = E::new(number + 1);
            edits.iter().for_each(|edit| engine.edit(edit));
            all.push(engine);
        }
        let each = (heap::live() - before) as usize / DOCUMENTS;
        report.size(row, E::NAME, each);
    }
}

/// The same text key by key.
fn typing(text: &'static str) -> Vec<Edit> {
    let edits = text.char_indices().map(|(at, character)| Edit {
        at_chars: at,
        at_utf16: at as u64,
        removed_chars: 0,
        removed_utf16: 0,
        inserted: &text[at..at + character.len_utf8()],
    });
    edits.collect()
}

/// What it takes to tell a peer who has everything but the last edit.
pub fn difference<E: Engine>(
    engine: &mut E,
    mut export: impl FnMut(&mut E) -> Vec<u8>,
    report: &mut Report,
) {
    const TIMES: u32 = 200;
    let bytes = export(engine);
    let start = Stopwatch::start();
    for _ in 0..TIMES {
        black_box(export(engine));
    }
    report.time("diff, one edit behind", E::NAME, start.elapsed() / TIMES);
    report.size("its size", E::NAME, bytes.len());
}

/// As [`difference`], for Syncline.
pub fn our_difference(trace: &Trace, report: &mut Report) {
    let mut ours = Ours::<Native>::new(1);
    let (last, edits) = trace.edits.split_last().expect("edits");
    edits.iter().for_each(|edit| ours.edit_text(edit));
    let known = ours.document.version_vector();
    ours.edit_text(last);
    difference(
        &mut ours,
        |ours| ours.document.export_native(&known),
        report,
    );
}

/// As [`difference`], for those whose peers name their versions themselves.
#[cfg(feature = "peers")]
pub fn peer_differences(trace: &Trace, report: &mut Report) {
    use crate::peers::{Diamond, Loro};
    let (last, edits) = trace.edits.split_last().expect("edits");
    let mut diamond = Diamond::new(1);
    edits.iter().for_each(|edit| diamond.edit(edit));
    let before = diamond.list.oplog.local_version();
    diamond.edit(last);
    difference(&mut diamond, |diamond| diamond.since(&before), report);
    let mut loro = Loro::new(1);
    edits.iter().for_each(|edit| loro.edit(edit));
    let before = loro.document.oplog_vv();
    loro.edit(last);
    difference(&mut loro, |loro| loro.since(&before), report);
}

const PAST: usize = 30_000;

/// A change that sorts before all others arrives; then everything is read.
pub fn late_changes(report: &mut Report) {
    let kinds = [
        (HandlerKind::Text, "late change into Text of 30,000, read"),
        (HandlerKind::List, "late change into List of 30,000, read"),
        (HandlerKind::Map, "late change into Map of 30,000, read"),
    ];
    for (kind, row) in kinds {
        // Wall clocks of long ago: nothing the other document does can be older.
        let early = DocumentOptions {
            initial_clock: syncline::clock::Hlc::new(1, 0),
            wall_clock: syncline::document::WallClock::Fixed(1),
            ..options(7)
        };
        let mut early = Document::new(early);
        let spec = syncline::document::HandlerSpec::new(kind);
        let handler = early.handler("bench", &spec).expect("a new handler");
        one_more(&mut early, handler, kind, 0);
        let late = early.export_list();
        let (mut document, handler) = document_with(1, kind);
        for nth in 0..PAST {
            one_more(&mut document, handler, kind, nth);
        }
        let start = Stopwatch::start();
        let outcome = document.import_list(&late, &[], Origin::Remote);
        read(&document, handler, kind);
        report.time(row, OURS, start.elapsed());
        assert_eq!(outcome.expect("exported here").applied, 1);
    }
}

fn one_more(
    document: &mut Document,
    handler: syncline::document::HandlerIdx,
    kind: HandlerKind,
    nth: usize,
) {
    let done = match kind {
        HandlerKind::Text => document.text_insert(handler, nth as u64, "x"),
        HandlerKind::List => document.list_insert(handler, nth as u64, &[Value::Int(nth as i64)]),
        _ => document.map_set(handler, &format!("key {nth}"), &Value::Int(nth as i64)),
    };
    done.expect("inside");
}

/// What an application looks at after a change: the text; of a list or map, what is in view.
fn read(document: &Document, handler: syncline::document::HandlerIdx, kind: HandlerKind) {
    match kind {
        HandlerKind::Text => {
            black_box(document.text_string(handler));
        }
        HandlerKind::List => {
            black_box((document.list_get(handler, 0), document.list_len(handler)));
        }
        _ => {
            black_box(document.map_get(handler, "key 0"));
        }
    }
}

/// What an edit at a random place costs in a huge text, against a small one.
pub fn huge(report: &mut Report) {
    let (small, large) = (edits_in(10_000), edits_in(10_000_000));
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    report.ratio(
        "edit in 10 M characters / in 10 k",
        OURS,
        us(large) / us(small),
    );
}

/// Time of one edit in a text of so many characters that was written in pieces.
fn edits_in(characters: usize) -> Duration {
    const EDITS: u32 = 20_000;
    const PIECE: usize = 100;
    let (mut document, text) = document_with(1, HandlerKind::FugueText);
    let mut numbers = Numbers::new(3);
    let piece = "x".repeat(PIECE);
    for nth in 0..characters / PIECE {
        let at = numbers.below(nth * PIECE + 1) as u64;
        document.text_insert(text, at, &piece).expect("inside");
    }
    let (_, sample) = measured(|| {
        for _ in 0..EDITS / 2 {
            let at = numbers.below(characters) as u64;
            document.text_insert(text, at, "y").expect("inside");
            let at = numbers.below(characters) as u64;
            document.text_remove(text, at, 1).expect("inside");
        }
    });
    sample.time / EDITS
}
