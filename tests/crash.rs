//! Kill -9: what was reported as stored is there when the file is opened again.
//!
//! A child process (this program again) edits documents of a store and prints what it was told is
//! stored; the parent kills it at a random moment and looks at the file.
#![cfg(all(unix, feature = "sqlite"))]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use syncline::document::{HandlerKind, HandlerSpec, SharedDocument};
use syncline::store::{
    DocumentStore, DocumentStoreOptions, OpenOptions, SqliteOptions, SqliteStore,
};

const CHILD: &str = "SYNCLINE_CRASH_CHILD";
const SEED: &str = "SYNCLINE_CRASH_SEED";
const KILLS: u64 = 220;
const KILLS_PER_FILE: u64 = 20;
const DOCUMENTS: usize = 3;
const LONG: Duration = Duration::from_secs(30);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn open_store(path: &Path, compact_bytes: u64) -> DocumentStore {
    let backend = SqliteStore::open(path, &SqliteOptions::default()).unwrap();
    let options = DocumentStoreOptions {
        flush_delay_ms: 1,
        compact_bytes,
        ..DocumentStoreOptions::default()
    };
    DocumentStore::new(Arc::new(backend), options)
}

/// The numbers in a document: it must hold 0, 1, 2, ... without a hole. Gives how many.
fn count(document: &SharedDocument) -> u64 {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let content = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        document.text_string(text)
    });
    let content = content.unwrap();
    let mut count = 0;
    for number in content.split_terminator(';') {
        assert_eq!(
            number.parse(),
            Ok(count),
            "not a state the child ever had: {content:?}"
        );
        count += 1;
    }
    count
}

fn append(document: &SharedDocument, number: u64) {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let inserted = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        let end = document.text_len_utf16(text);
        document.text_insert(text, end, &format!("{number};"))
    });
    inserted.unwrap().unwrap();
}

fn names() -> Vec<String> {
    (0..DOCUMENTS)
        .map(|number| format!("document {number}"))
        .collect()
}

/// Not a test of its own: the part of the child.
#[test]
fn child() {
    let (Ok(path), Ok(seed)) = (std::env::var(CHILD), std::env::var(SEED)) else {
        return;
    };
    let mut random = Random(seed.parse().unwrap());
    // A small limit: kills fall into rewriting, too.
    let store = open_store(Path::new(&path), 500);
    let documents: Vec<_> = names()
        .iter()
        .map(|name| store.open(name, &OpenOptions::default()).unwrap())
        .collect();
    let mut counts: Vec<u64> = documents
        .iter()
        .map(|stored| count(stored.document()))
        .collect();
    let report = |which: usize, count: u64| {
        let line = format!("stored {which} {count}\n");
        // One write: the parent sees whole lines or nothing. A broken pipe means it is gone.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    };
    for _ in 0..100_000 {
        let which = random.below(DOCUMENTS as u64) as usize;
        for _ in 0..=random.below(4) {
            append(documents[which].document(), counts[which]);
            counts[which] += 1;
        }
        match random.below(4) {
            // Nobody waits: the writer does it in its own time.
            0 => {}
            1 => {
                let count = counts[which];
                documents[which].when_stored(true, move |result| {
                    result.unwrap();
                    report(which, count);
                });
            }
            2 => {
                documents[which].flush(LONG).unwrap();
                report(which, counts[which]);
            }
            _ => {
                store.flush(LONG).unwrap();
                (0..DOCUMENTS).for_each(|which| report(which, counts[which]));
            }
        }
    }
}

#[test]
fn what_was_reported_survives_kill() {
    let seed = std::process::id() as u64 ^ 0x9e37_79b9_7f4a_7c15;
    println!("seed {seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut reports, mut most) = (0, 0);
    for kill in 0..KILLS {
        let path = folder
            .path()
            .join(format!("file {}", kill / KILLS_PER_FILE));
        let reported = run_and_kill(&path, &mut random, kill % KILLS_PER_FILE == 0);
        reports += reported.1;
        most = most.max(check(&path, &reported.0, seed, kill));
    }
    println!("{KILLS} kills, {reports} reports, up to {most} edits in a document");
    assert!(
        reports > KILLS,
        "the child hardly got to work: {reports} reports"
    );
}

/// Lets a child work for a while; gives what it reported per document, and how many reports.
fn run_and_kill(path: &Path, random: &mut Random, is_first: bool) -> ([u64; DOCUMENTS], u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .env(SEED, random.below(u64::MAX).max(1).to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reported = [0; DOCUMENTS];
    let (mut reports, reports_max) = (0, random.below(40));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first child of a file is sometimes killed while it makes the file.
    let at_once = is_first && random.below(2) == 0;
    while !at_once && reports < reports_max {
        let Some(Ok(line)) = lines.next() else {
            let mut stderr = String::new();
            let _ = std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr);
            panic!("the child ended by itself: {stderr}");
        };
        reports += u64::from(take(&line, &mut reported));
    }
    let pause = Duration::from_micros(random.below(4_000));
    let until = std::time::Instant::now() + pause;
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it managed to say before it died counts, too.
    for line in lines.map_while(Result::ok) {
        reports += u64::from(take(&line, &mut reported));
    }
    (reported, reports)
}

fn take(line: &str, reported: &mut [u64; DOCUMENTS]) -> bool {
    // The test harness may have written to the same line before.
    let Some((_, report)) = line.rsplit_once("stored ") else {
        return false;
    };
    let Some((which, count)) = report.split_once(' ') else {
        return false;
    };
    let (Ok(which), Ok(count)) = (which.parse::<usize>(), count.parse::<u64>()) else {
        return false;
    };
    reported[which] = reported[which].max(count);
    true
}

fn check(path: &Path, reported: &[u64; DOCUMENTS], seed: u64, kill: u64) -> u64 {
    let store = open_store(path, 0);
    let mut most = 0;
    for (name, reported) in names().iter().zip(reported) {
        let stored = store.open(name, &OpenOptions::default()).unwrap();
        let count = count(stored.document());
        assert!(
            count >= *reported,
            "{name}: {reported} reported, {count} there (seed {seed}, kill {kill})"
        );
        most = most.max(count);
    }
    store.close(LONG).unwrap();
    most
}
