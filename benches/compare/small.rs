//! Rows about many small documents, small differences, changes from the past and huge texts.

use crate::engine::{CrdtLf, Engine, Form as _, Native, Ours, document_with, options};
use crate::report::{OURS, Report};
use crate::values::Numbers;
use bench::heap;
use bench::measure::{Stopwatch, measured, settle};
use bench::trace::{Edit, Trace};
use std::hint::black_box;
use std::time::Duration;
use syncline::codec::Value;
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, WallClock,
};
use syncline::replica::Replica as _;

const DOCUMENTS: usize = 1_000;
/// What is typed into a small document.
const WORDS: &str = "The quick brown fox jumps over the lazy dog. ";

/// What many empty and many small typed documents take each.
pub fn documents<E: Engine, D>(empty: impl Fn(u32) -> D, report: &mut Report) {
    report.size("an empty document", E::NAME, each(empty));
    let typed = typing(WORDS);
    let small = each(|number| {
        let mut engine = E::new(number + 1);
        typed.iter().for_each(|edit| engine.edit(edit));
        engine
    });
    report.size("a small typed document", E::NAME, small);
}

fn each<D>(make: impl Fn(u32) -> D) -> usize {
    let reserved = (DOCUMENTS * size_of::<D>()) as isize;
    let mut all: Vec<D> = Vec::with_capacity(DOCUMENTS);
    let before = heap::live() - reserved;
    all.extend((0..DOCUMENTS as u32).map(make));
    (heap::live() - before) as usize / DOCUMENTS
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

/// Changes of a document into which a late one comes.
const PAST: usize = 30_000;
/// How many of them are younger than the late one, which was made somewhere else meanwhile.
const MEANWHILE: usize = 100;

/// A change from the past arrives; then what is in view is read. Behind what somebody typed
/// meanwhile; behind half of all, into whose middle it comes; behind everything there is.
pub fn late_changes(report: &mut Report) {
    for (kind, name) in [
        (HandlerKind::Text, "Text"),
        (HandlerKind::List, "List"),
        (HandlerKind::Map, "Map"),
    ] {
        for (behind, named) in [(MEANWHILE, "100"), (PAST / 2, "half"), (PAST, "all")] {
            let row = format!("{name} of 30,000: late change behind {named}, read");
            late_change(kind, PAST - behind, false, &row, report);
        }
    }
    let row = "List of 30,000 scattered: late change behind all, read";
    late_change(HandlerKind::List, 0, true, row, report);
}

/// `known` of the entries are what the late change has seen; it comes into their middle.
fn late_change(kind: HandlerKind, known: usize, scattered: bool, row: &str, report: &mut Report) {
    let clocked = |writer| {
        let mut document = Document::new(DocumentOptions {
            wall_clock: WallClock::Fixed(1),
            ..options(writer)
        });
        let handler = document.handler("bench", &HandlerSpec::new(kind));
        (document, handler.expect("a new handler"))
    };
    let mut numbers = Numbers::new(9);
    let mut place = |nth: usize| match scattered {
        true => numbers.below(nth + 1),
        false => nth,
    };
    let (mut document, handler) = clocked(1);
    let (mut other, same) = clocked(7);
    (0..known).for_each(|nth| one_more(&mut document, handler, kind, place(nth)));
    let outcome = other.import_list(&document.export_list(), &[], Origin::Remote);
    assert_eq!(outcome.expect("exported here").applied, known);
    let position = other.log_position();
    one_more(&mut other, same, kind, known / 2);
    let late = CrdtLf::export_since(&mut other, position);
    (known..PAST).for_each(|nth| one_more(&mut document, handler, kind, place(nth)));
    read(&document, handler, kind);
    settle();
    let start = Stopwatch::start();
    let outcome = document.import_list(&late, &[], Origin::Remote);
    read(&document, handler, kind);
    report.time(row, OURS, start.elapsed());
    assert_eq!(outcome.expect("exported here").applied, 1);
}

fn one_more(document: &mut Document, handler: HandlerIdx, kind: HandlerKind, nth: usize) {
    let done = match kind {
        HandlerKind::Text => document.text_insert(handler, nth as u64, "x"),
        HandlerKind::List => document.list_insert(handler, nth as u64, &[Value::Int(nth as i64)]),
        _ => document.map_set(handler, &format!("key {nth}"), &Value::Int(nth as i64)),
    };
    done.expect("inside");
}

/// What an application looks at after a change: the text; of a list or map, what is in view.
fn read(document: &Document, handler: HandlerIdx, kind: HandlerKind) {
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
