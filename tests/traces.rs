//! Editing traces of people and of version control histories through a Fugue text: by one writer
//! with the text compared with a plain list, by many with a replica per branch of the history.

mod trace_input;

use std::sync::Arc;
use std::time::Instant;
use syncline::clock::PeerId;
use syncline::codec::Change;
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, TextUnit, WallClock,
};
use trace_input::{Patch, Trace};

/// Edits of one writer's trace that are replayed; unoptimised builds check far more per edit.
const EDITS_MAX: usize = if cfg!(debug_assertions) {
    100_000
} else {
    usize::MAX
};

/// After every edit up to here all invariants are checked, then after every so many.
const CHECKED_EACH: usize = 2_000;
const CHECKED_EVERY: usize = 1_000;

/// Their end depends on the order of concurrent insertions at one place.
const UNSETTLED: [&str; 1] = ["git-makefile"];

fn document(number: usize) -> (Document, HandlerIdx) {
    let mut bytes = [0x5a; 16];
    // Not in the order of creation.
    bytes[0] = (number as u8).wrapping_mul(151);
    bytes[1] = (number >> 8) as u8;
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    let peer_id = Some(PeerId::from_bytes(bytes));
    let mut document = Document::new(DocumentOptions {
        peer_id,
        wall_clock: WallClock::Fixed(1),
        ..DocumentOptions::default()
    });
    let text = document
        .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
        .unwrap();
    (document, text)
}

/// `before` and `after`: how many edits there were.
fn check_now_and_then(document: &Document, before: usize, after: usize) {
    if before < CHECKED_EACH || before / CHECKED_EVERY != after / CHECKED_EVERY {
        document.check();
    }
}

#[test]
fn one_writer() {
    let names = trace_input::names("sequential");
    if names.is_empty() {
        println!("no recorded traces here: generated typing");
        replay(&trace_input::generated_typing(EDITS_MAX.min(100_000)));
    }
    for name in names {
        replay(&trace_input::load("sequential", &name));
    }
}

/// The text as code points.
#[derive(Default)]
struct Plain {
    chars: Vec<char>,
    /// Where those are that take two UTF-16 units, ascending.
    pairs: Vec<usize>,
}

impl Plain {
    fn utf16(&self, at: usize) -> u64 {
        (at + self.pairs.partition_point(|pair| *pair < at)) as u64
    }

    fn edit(&mut self, patch: &Patch) {
        let (at, end) = (patch.at, patch.at + patch.removed);
        let new: Vec<char> = patch.inserted.chars().collect();
        let (first, behind) = (
            self.pairs.partition_point(|pair| *pair < at),
            self.pairs.partition_point(|pair| *pair < end),
        );
        self.pairs[behind..]
            .iter_mut()
            .for_each(|pair| *pair = *pair + new.len() - patch.removed);
        let pairs = new
            .iter()
            .enumerate()
            .filter(|(_, character)| character.len_utf16() == 2);
        self.pairs
            .splice(first..behind, pairs.map(|(nth, _)| at + nth));
        self.chars.splice(at..end, new);
    }

    fn text(&self) -> String {
        self.chars.iter().collect()
    }
}

fn replay(trace: &Trace) {
    let start = Instant::now();
    let (mut document, text) = document(1);
    let mut plain = Plain::default();
    let patches = trace
        .transactions
        .iter()
        .flat_map(|transaction| &transaction.patches);
    let (mut done, total) = (0, patches.clone().count());
    for patch in patches.take(EDITS_MAX) {
        let (at, end) = (plain.utf16(patch.at), plain.utf16(patch.at + patch.removed));
        if done % 50 == 0 {
            let converted = document.text_convert_index(
                text,
                patch.at as u64,
                TextUnit::CodePoint,
                TextUnit::Utf16,
            );
            assert_eq!(converted.unwrap(), at);
        }
        plain.edit(patch);
        document.text_remove(text, at, end - at).unwrap();
        document.text_insert(text, at, &patch.inserted).unwrap();
        check_now_and_then(&document, done, done + 1);
        done += 1;
        if done % CHECKED_EVERY == 0 {
            assert_eq!(
                document.text_len_utf16(text),
                plain.utf16(plain.chars.len())
            );
        }
        if done % (20 * CHECKED_EVERY) == 0 {
            assert!(
                document.text_string(text) == plain.text(),
                "{}: edit {done}",
                trace.name
            );
        }
    }
    document.check();
    assert!(document.text_string(text) == plain.text(), "{}", trace.name);
    if done == total {
        assert_eq!(
            trace.end.as_deref(),
            Some(plain.text().as_str()),
            "{}",
            trace.name
        );
    }
    // The same text from the changes, in another document.
    let (mut other, same) = self::document(2);
    let outcome = other
        .import_list(&document.export_list(), &[], Origin::Remote)
        .unwrap();
    assert_eq!(outcome.applied as u64, document.change_count());
    other.check();
    assert!(
        other.text_string(same) == plain.text(),
        "{}: imported",
        trace.name
    );
    println!(
        "{}: {done} of {total} edits, {:.1?}",
        trace.name,
        start.elapsed()
    );
}

#[test]
fn many_writers() {
    let names = trace_input::names("concurrent");
    if names.is_empty() {
        println!("no recorded traces here: generated branches");
    }
    // Small enough to be followed always.
    follow(trace_input::generated_branches(800));
    for name in names {
        let mut trace = trace_input::load("concurrent", &name);
        if UNSETTLED.contains(&name.as_str()) {
            trace.end = None;
        }
        follow(trace);
    }
}

/// A document on one branch of the history.
struct Branch {
    document: Document,
    text: HandlerIdx,
    /// How many transactions of each branch it has.
    seen: Vec<usize>,
    /// Per transaction made here: the changes.
    made: Vec<Arc<[Change]>>,
}

fn follow(trace: Trace) {
    let start = Instant::now();
    let mut branches: Vec<Branch> = Vec::new();
    // Per transaction: how many transactions of each branch are in it or below it.
    let mut known: Vec<Vec<usize>> = Vec::new();
    let mut edits = 0;
    for transaction in &trace.transactions {
        let mut below: Vec<usize> = Vec::new();
        for parent in &transaction.parents {
            merge(&mut below, &known[*parent]);
        }
        let at = branch_for(&mut branches, &below);
        catch_up(&mut branches, at, &below);
        let branch = &mut branches[at];
        branch.edit(&transaction.patches);
        let mut one_more = vec![0; at];
        one_more.push(branch.made.len());
        merge(&mut branch.seen, &one_more);
        check_now_and_then(&branch.document, edits, edits + transaction.patches.len());
        edits += transaction.patches.len();
        known.push(branch.seen.clone());
    }
    let mut all = Vec::new();
    known.iter().for_each(|known| merge(&mut all, known));
    for at in 0..branches.len() {
        catch_up(&mut branches, at, &all);
    }
    let texts: Vec<String> = branches
        .iter()
        .map(|branch| branch.document.text_string(branch.text))
        .collect();
    for (branch, text) in branches.iter().zip(&texts) {
        branch.document.check();
        assert!(*text == texts[0], "{}: replicas differ", trace.name);
    }
    if let Some(end) = trace.end {
        assert!(
            texts[0] == end,
            "{}: the text at the end differs",
            trace.name
        );
    }
    let (done, count) = (known.len(), branches.len());
    println!(
        "{}: {done} transactions, {count} branches, {:.1?}",
        trace.name,
        start.elapsed()
    );
}

/// Component by component the larger one; absent ones are 0.
fn merge(into: &mut Vec<usize>, other: &[usize]) {
    into.resize(into.len().max(other.len()), 0);
    into.iter_mut()
        .zip(other)
        .for_each(|(into, other)| *into = (*into).max(*other));
}

fn component(vector: &[usize], at: usize) -> usize {
    vector.get(at).copied().unwrap_or(0)
}

/// A branch that has seen nothing beyond `below`: the one that has seen most; a new one if all have
/// gone on.
fn branch_for(branches: &mut Vec<Branch>, below: &[usize]) -> usize {
    let fits = |branch: &Branch| {
        branch
            .seen
            .iter()
            .enumerate()
            .all(|(at, seen)| *seen <= component(below, at))
    };
    let fitting = (0..branches.len()).filter(|at| fits(&branches[*at]));
    fitting
        .max_by_key(|at| branches[*at].seen.iter().sum::<usize>())
        .unwrap_or_else(|| {
            let (document, text) = document(branches.len());
            branches.push(Branch {
                document,
                text,
                seen: Vec::new(),
                made: Vec::new(),
            });
            branches.len() - 1
        })
}

/// Imports what a branch lacks of `wanted`, newest branch first: the order must not matter.
fn catch_up(branches: &mut [Branch], at: usize, wanted: &[usize]) {
    let mut missing: Vec<Change> = Vec::new();
    for from in (0..wanted.len()).rev().filter(|from| *from != at) {
        let lacking = component(&branches[at].seen, from)..wanted[from];
        for made in branches[from].made.get(lacking).into_iter().flatten() {
            missing.extend_from_slice(made);
        }
    }
    let branch = &mut branches[at];
    merge(&mut branch.seen, wanted);
    if !missing.is_empty() {
        let count = missing.len();
        let outcome = branch
            .document
            .import_changes(missing, &[], Origin::Remote)
            .unwrap();
        assert_eq!((outcome.applied, outcome.not_ready), (count, 0));
    }
    // Its own transactions are never beyond those it has made.
    assert_eq!(component(&branch.seen, at), branch.made.len());
}

impl Branch {
    fn edit(&mut self, patches: &[Patch]) {
        let position = self.document.log_position();
        self.document.begin(&[]).unwrap();
        for patch in patches {
            assert!(patch.inserted.is_ascii(), "positions are taken as they are");
            // Where the order of siblings decides, texts may be shorter than the recorded one.
            let len = self.document.text_len_utf16(self.text);
            let at = (patch.at as u64).min(len);
            let removed = (patch.removed as u64).min(len - at);
            self.document.text_remove(self.text, at, removed).unwrap();
            self.document
                .text_insert(self.text, at, &patch.inserted)
                .unwrap();
        }
        self.document.commit().unwrap();
        let made = self
            .document
            .changes_since(position)
            .expect("nothing was rewritten");
        self.made.push(made.into());
    }
}
