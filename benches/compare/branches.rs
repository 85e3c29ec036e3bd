//! Rows about texts that several people wrote at the same time: a reader takes in each
//! transaction as it was made, or everything as one update.

use crate::engine::Engine;
use crate::report::Report;
use bench::measure::Stopwatch;
use bench::trace::Concurrent;

/// A replica on one branch of the history.
struct Branch<E> {
    engine: E,
    /// How many transactions of each branch it has.
    seen: Vec<usize>,
    /// The transactions made here: which of the trace they are.
    made: Vec<usize>,
}

/// The update of each transaction of a trace, in its order, and a replica that has them all.
pub struct Written<E> {
    pub updates: Vec<Vec<u8>>,
    pub last: E,
    /// Engines order what two people write at one place by the numbers of the writers, so it may
    /// be another one than that of the trace.
    pub text: String,
}

/// Writes a trace: one replica per branch, so that each writer has seen what the trace says.
pub fn write<E: Engine>(trace: &Concurrent) -> Written<E> {
    let mut branches: Vec<Branch<E>> = Vec::new();
    let mut known: Vec<Vec<usize>> = Vec::new();
    let mut updates = Vec::new();
    for transaction in &trace.transactions {
        let mut below = Vec::new();
        for parent in &transaction.parents {
            merge(&mut below, &known[*parent]);
        }
        let at = branch_for(&mut branches, &below);
        catch_up(&mut branches, at, &below, &updates);
        let branch = &mut branches[at];
        branch.made.push(updates.len());
        updates.push(branch.engine.edit_and_export(&transaction.edits));
        branch.seen.resize(branch.seen.len().max(at + 1), 0);
        branch.seen[at] += 1;
        known.push(branch.seen.clone());
    }
    let mut all = Vec::new();
    known.iter().for_each(|known| merge(&mut all, known));
    catch_up(&mut branches, 0, &all, &updates);
    let last = branches.swap_remove(0).engine;
    let text = last.text();
    assert_eq!(text.len(), trace.end.len(), "{}, {}", E::NAME, trace.name);
    Written {
        updates,
        last,
        text,
    }
}

fn check<E: Engine>(trace: &Concurrent, engine: &E, text: &str) {
    let same = engine.text() == text;
    assert!(same, "{}, {}: the text differs", E::NAME, trace.name);
}

/// Component by component the larger one; absent ones are 0.
fn merge(into: &mut Vec<usize>, other: &[usize]) {
    into.resize(into.len().max(other.len()), 0);
    let pairs = into.iter_mut().zip(other);
    pairs.for_each(|(into, other)| *into = (*into).max(*other));
}

fn component(vector: &[usize], at: usize) -> usize {
    vector.get(at).copied().unwrap_or(0)
}

/// The branch that has seen most and nothing beyond `below`; a new one if all have gone on.
fn branch_for<E: Engine>(branches: &mut Vec<Branch<E>>, below: &[usize]) -> usize {
    let fits = |branch: &Branch<E>| {
        let mut seen = branch.seen.iter().enumerate();
        seen.all(|(at, seen)| *seen <= component(below, at))
    };
    let fitting = (0..branches.len()).filter(|at| fits(&branches[*at]));
    let best = fitting.max_by_key(|at| branches[*at].seen.iter().sum::<usize>());
    best.unwrap_or_else(|| {
        branches.push(Branch {
            engine: E::new(branches.len() as u32 + 1),
            seen: Vec::new(),
            made: Vec::new(),
        });
        branches.len() - 1
    })
}

/// Applies what a branch lacks, in the order of its making: engines need not wait for anything.
fn catch_up<E: Engine>(
    branches: &mut [Branch<E>],
    at: usize,
    wanted: &[usize],
    updates: &[Vec<u8>],
) {
    let mut missing = Vec::new();
    for from in (0..wanted.len()).filter(|from| *from != at) {
        let lacking = component(&branches[at].seen, from)..wanted[from];
        missing.extend_from_slice(&branches[from].made[lacking]);
    }
    missing.sort_unstable();
    for transaction in missing {
        branches[at].engine.apply(&updates[transaction]);
    }
    merge(&mut branches[at].seen, wanted);
}

/// A reader takes in one transaction after the other.
pub fn read_singly<E: Engine>(
    trace: &Concurrent,
    updates: &[Vec<u8>],
    text: &str,
    report: &mut Report,
) {
    let start = Stopwatch::start();
    let mut reader = E::new(u32::MAX);
    updates.iter().for_each(|update| reader.apply(update));
    let row = format!("{}, each transaction", trace.name);
    report.time(&row, E::NAME, start.elapsed());
    check(trace, &reader, text);
}

/// A reader takes in everything at once.
pub fn read_at_once<E: Engine>(trace: &Concurrent, update: &[u8], text: &str, report: &mut Report) {
    let start = Stopwatch::start();
    let mut reader = E::new(u32::MAX);
    reader.apply(update);
    let row = format!("{}, one update", trace.name);
    report.time(&row, E::NAME, start.elapsed());
    check(trace, &reader, text);
}
