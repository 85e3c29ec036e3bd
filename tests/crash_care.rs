//! Kill -9 while a file is brought up to the present version, compacted, copied and put back.
#![cfg(all(unix, feature = "sqlite"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use syncline::document::{HandlerKind, HandlerSpec, SharedDocument};
use syncline::store::{
    DocumentStore, DocumentStoreOptions, OpenOptions, RestoreTo, SqliteOptions, SqliteStore, Store,
};

const CHILD: &str = "SYNCLINE_CARE_CHILD";
const KILLS: u64 = 20;
const LONG: Duration = Duration::from_secs(30);

fn random(seed: &mut u64, bound: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % bound
}

fn open(path: &Path) -> (Arc<SqliteStore>, DocumentStore) {
    let backend = Arc::new(SqliteStore::open(path, &SqliteOptions::default()).unwrap());
    let options = DocumentStoreOptions {
        flush_delay_ms: 1,
        ..DocumentStoreOptions::default()
    };
    (backend.clone(), DocumentStore::new(backend, options))
}

fn text(document: &SharedDocument) -> String {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let text = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        document.text_string(text)
    });
    text.unwrap()
}

fn append(document: &SharedDocument, string: &str) {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let done = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        let end = document.text_len_utf16(text);
        document.text_insert(text, end, string).unwrap();
    });
    done.unwrap();
}

fn say(line: &str) {
    // A broken pipe means that the parent is gone.
    let _ = std::io::stdout()
        .lock()
        .write_all(format!("said {line}\n").as_bytes());
}

/// Not a test of its own: the part of the child.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let path = Path::new(&path);
    say("begin");
    let (backend, store) = open(path);
    say("open");
    for round in 0..10_000u64 {
        let stored = store.open("document", &OpenOptions::default()).unwrap();
        append(stored.document(), "x");
        stored.flush(LONG).unwrap();
        say(&format!("stored {}", text(stored.document()).len()));
        stored.compact();
        stored.flush(LONG).unwrap();
        store.keep_version("document", "kept").unwrap();
        append(stored.document(), "lost");
        drop(stored);
        // What was added since the version goes again.
        store
            .restore("document", RestoreTo::Version("kept"))
            .unwrap();
        let copy = path.with_extension(format!("copy{round}-{}", std::process::id()));
        backend.backup(&copy).unwrap();
        for version in store.versions("document").unwrap() {
            store.drop_version("document", &version.name).unwrap();
        }
    }
}

/// Runs a child on the file for a while and kills it; gives the longest text it reported.
fn run_and_kill(path: &Path, seed: &mut u64) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wanted = random(seed, 12);
    let (mut said, mut stored) = (0, 0);
    let mut take = |line: &str| {
        let Some((_, line)) = line.rsplit_once("said ") else {
            return 0;
        };
        if let Some(length) = line
            .strip_prefix("stored ")
            .and_then(|text| text.parse().ok())
        {
            stored = length;
        }
        1
    };
    while said < wanted {
        let Some(Ok(line)) = lines.next() else {
            let mut error = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut error);
            panic!("the child ended by itself: {error}");
        };
        said += take(&line);
    }
    let until = Instant::now() + Duration::from_micros(random(seed, 8_000));
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        take(&line);
    }
    stored
}

/// Whole, and what it should be: some x, and "lost" at most once, at the end.
fn check(path: &Path, at_least: usize, context: &str) -> usize {
    let (_, store) = open(path);
    let report = store.verify().unwrap();
    assert!(report.problems.is_empty(), "{context}: {report:?}");
    if store.contains("document 4") == Ok(true) {
        let old = store.open("document 4", &OpenOptions::default()).unwrap();
        let expected = "late;0;1;2;3;4;5;6;7;8;9;10;11;12;";
        assert_eq!(text(old.document()), expected, "{context}");
    }
    if store.contains("document") != Ok(true) {
        assert_eq!(at_least, 0, "{context}");
        return 0;
    }
    let stored = store.open("document", &OpenOptions::default()).unwrap();
    let found = text(stored.document());
    let typed = found.replace("lost", "");
    assert!(typed.chars().all(|char| char == 'x'), "{context}: {found}");
    assert!(
        typed.len() >= at_least.saturating_sub(4 * found.matches("lost").count()),
        "{context}"
    );
    typed.len()
}

#[test]
fn kills_in_migration_compaction_versions_and_backups_lose_nothing() {
    let mut seed = u64::from(std::process::id()) ^ 0x5eed_c0de;
    println!("seed {seed}");
    let versions: [&[u8]; 2] = [
        include_bytes!("stores/version1.gz"),
        include_bytes!("stores/version2.gz"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (mut copies, mut most) = (0, 0);
    for kill in 0..KILLS {
        let path = folder.path().join(format!("file{}", kill / 4));
        if kill % 4 == 0 {
            let mut bytes = Vec::new();
            let packed = versions[(kill / 4 % 2) as usize];
            flate2::read::GzDecoder::new(packed)
                .read_to_end(&mut bytes)
                .unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        let context = format!("seed {seed}, kill {kill}");
        let stored = run_and_kill(&path, &mut seed);
        most = most.max(check(&path, stored, &context));
        // Copies that have their name are whole.
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().path();
            let text = name.to_string_lossy().into_owned();
            if text.contains(".copy")
                && !text.contains("-partial")
                && !text.ends_with("-wal")
                && !text.ends_with("-shm")
            {
                check(&name, 0, &format!("{context}, {text}"));
                copies += 1;
            }
            if text.contains(".copy") {
                let _ = std::fs::remove_file(name);
            }
        }
    }
    println!("{KILLS} kills, {copies} copies, up to {most} edits");
    assert!(
        copies > 0 && most > 1,
        "the child hardly got to work: {copies} copies, {most} edits"
    );
    let store = SqliteStore::open(folder.path().join("file0"), &SqliteOptions::default()).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}
