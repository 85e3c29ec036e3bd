//! Undo stacks that are stored with their document: across openings, peer ids and kill -9.

use std::sync::Arc;
use std::time::Duration;
use syncline::document::{
    Document, HandlerIdx, HandlerKind, HandlerSpec, SharedDocument, UndoIdx, UndoOptions,
};
use syncline::store::{
    Attachment, Content, DocumentStore, DocumentStoreOptions, MemoryStore, OpenOptions, Store,
    StoreError, StoredDocument, Write,
};

const LONG: Duration = Duration::from_secs(30);

fn text(document: &mut Document, kind: HandlerKind) -> HandlerIdx {
    let id = format!("{kind:?}");
    document.handler(&id, &HandlerSpec::new(kind)).unwrap()
}

fn append(document: &SharedDocument, kind: HandlerKind, content: &str) {
    let inserted = document.with(|document| {
        let text = text(document, kind);
        let end = document.text_len_utf16(text);
        document.text_insert(text, end, content)
    });
    inserted.unwrap().unwrap();
}

fn content(document: &SharedDocument, kind: HandlerKind) -> String {
    let content = document.with(|document| {
        let text = text(document, kind);
        document.text_string(text)
    });
    content.unwrap()
}

fn undo(document: &SharedDocument, manager: UndoIdx) -> bool {
    let undone = document.with(|document| document.undo(manager));
    undone.unwrap().unwrap().is_some()
}

/// Steps to undo and to redo.
fn steps(document: &SharedDocument, manager: UndoIdx) -> (u64, u64) {
    let counts = document.read(|document| {
        let manager = document.undo_manager(manager).unwrap();
        (manager.undo_count(), manager.redo_count())
    });
    counts.unwrap()
}

fn new_manager(stored: &StoredDocument) -> UndoIdx {
    // Every transaction is a step of its own.
    let options = UndoOptions {
        capture_timeout_ms: 0,
        steps_max: 100_000,
    };
    let made = stored
        .document()
        .with(|document| document.add_undo_manager(options));
    made.unwrap()
}

fn kept(stored: &StoredDocument) -> UndoIdx {
    let manager = new_manager(stored);
    stored.keep_undo(manager).unwrap();
    manager
}

fn open(store: &DocumentStore) -> StoredDocument {
    store.open("notes", &OpenOptions::default()).unwrap()
}

fn memory() -> (Arc<MemoryStore>, DocumentStore) {
    let backend = Arc::new(MemoryStore::new());
    let store = DocumentStore::new(backend.clone(), DocumentStoreOptions::default());
    (backend, store)
}

use HandlerKind::{FugueText, Text};

#[test]
fn steps_come_back_with_the_document() {
    let (backend, store) = memory();
    let stored = open(&store);
    let manager = kept(&stored);
    let peer = stored.document().peer_id();
    for (kind, part) in [(FugueText, "a"), (Text, "b"), (FugueText, "c")] {
        append(stored.document(), kind, part);
    }
    assert!(undo(stored.document(), manager));
    stored.flush(LONG).unwrap();
    // As after a crash: what is on the device, under another name of the writer.
    let state = backend.load("notes").unwrap().unwrap();
    let stacks = backend.attachment("notes", "undo").unwrap().unwrap();
    let copy = Arc::new(MemoryStore::new());
    let records: Vec<Vec<u8>> = state.records.into_iter().map(|r| r.content).collect();
    let write = Write {
        document: "notes",
        meta: state.meta,
        content: Content::Append(&records),
        attachments: &[Attachment {
            key: "undo".into(),
            content: Some(stacks),
        }],
        expected: None,
    };
    copy.commit(&[write]).unwrap();
    let again = DocumentStore::new(copy, DocumentStoreOptions::default());
    let stored = open(&again);
    let document = stored.document();
    assert_ne!(document.peer_id(), peer);
    let manager = kept(&stored);
    assert_eq!(steps(document, manager), (2, 1));
    assert!(undo(document, manager));
    assert_eq!(content(document, Text), "", "a step by position");
    assert!(undo(document, manager));
    assert_eq!(content(document, FugueText), "");
    assert!(!undo(document, manager));
    for _ in 0..3 {
        let redone = document.with(|document| document.redo(manager));
        assert!(redone.unwrap().unwrap().is_some());
    }
    assert_eq!(content(document, FugueText), "ac");
    assert_eq!(content(document, Text), "b");
}

#[test]
fn a_manager_that_goes_leaves_its_steps() {
    let (backend, store) = memory();
    let stored = open(&store);
    let manager = kept(&stored);
    append(stored.document(), FugueText, "a");
    // Not stored yet: the next one gets them from memory.
    stored.remove_undo(manager);
    let manager = kept(&stored);
    assert_eq!(steps(stored.document(), manager), (1, 0));
    append(stored.document(), FugueText, "b");
    stored.remove_undo(manager);
    drop(stored);
    store.flush(LONG).unwrap();
    let stored = open(&store);
    let before = backend.attachment("notes", "undo").unwrap();
    let manager = kept(&stored);
    assert_eq!(steps(stored.document(), manager), (2, 0));
    // Nothing happened: nothing is written.
    stored.remove_undo(manager);
    stored.flush(LONG).unwrap();
    assert_eq!(backend.attachment("notes", "undo").unwrap(), before);
    // What is cleared stays cleared.
    let manager = kept(&stored);
    let cleared = stored.document().with(|document| {
        let manager = document.undo_manager_mut(manager);
        manager.unwrap().clear();
    });
    cleared.unwrap();
    stored.touch();
    stored.flush(LONG).unwrap();
    stored.remove_undo(manager);
    let manager = kept(&stored);
    assert_eq!(steps(stored.document(), manager), (0, 0));
}

#[test]
fn one_manager_is_kept_at_a_time_and_others_leave_no_trace() {
    let (backend, store) = memory();
    let stored = open(&store);
    let first = kept(&stored);
    let second = new_manager(&stored);
    assert!(matches!(
        stored.keep_undo(second),
        Err(StoreError::InUse { document }) if document == "notes"
    ));
    append(stored.document(), FugueText, "a");
    stored.remove_undo(second);
    assert_eq!(steps(stored.document(), first), (1, 0));
    stored.remove_undo(first);
    stored.flush(LONG).unwrap();
    let stacks = backend.attachment("notes", "undo").unwrap();
    assert!(stacks.is_some());
    let third = new_manager(&stored);
    append(stored.document(), FugueText, "b");
    stored.remove_undo(third);
    stored.flush(LONG).unwrap();
    assert_eq!(backend.attachment("notes", "undo").unwrap(), stacks);
}

#[test]
fn damaged_stacks_are_left_out_and_replaced() {
    let (backend, store) = memory();
    let stored = open(&store);
    append(stored.document(), FugueText, "a");
    stored.flush(LONG).unwrap();
    let meta = backend.load("notes").unwrap().unwrap().meta;
    let garbage = Attachment {
        key: "undo".into(),
        content: Some(b"SLU\x01 no stacks".to_vec()),
    };
    let write = Write {
        document: "notes",
        meta,
        content: Content::Keep,
        attachments: std::slice::from_ref(&garbage),
        expected: None,
    };
    backend.commit(&[write]).unwrap();
    let manager = kept(&stored);
    assert_eq!(steps(stored.document(), manager), (0, 0));
    append(stored.document(), FugueText, "b");
    stored.flush(LONG).unwrap();
    assert_ne!(
        backend.attachment("notes", "undo").unwrap(),
        garbage.content
    );
    stored.remove_undo(manager);
    let manager = kept(&stored);
    assert_eq!(steps(stored.document(), manager), (1, 0));
}

/// Kill -9: what is on the device is a state that document and stacks had together.
#[cfg(all(unix, feature = "sqlite"))]
mod kill {
    use super::*;
    use std::io::{BufRead, BufReader, Write as _};
    use std::path::Path;
    use std::process::{Command, Stdio};
    use syncline::store::{SqliteOptions, SqliteStore};

    const CHILD: &str = "SYNCLINE_UNDO_CHILD";
    const SEED: &str = "SYNCLINE_UNDO_SEED";
    const KILLS: u64 = 24;
    const KILLS_PER_FILE: u64 = 8;

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    fn open_store(path: &Path) -> DocumentStore {
        let backend = SqliteStore::open(path, &SqliteOptions::default()).unwrap();
        let options = DocumentStoreOptions {
            flush_delay_ms: 1,
            // Kills fall into rewriting, too.
            compact_bytes: 2000,
            ..DocumentStoreOptions::default()
        };
        DocumentStore::new(Arc::new(backend), options)
    }

    /// Not a test of its own: the part of the child.
    #[test]
    fn child() {
        let (Ok(path), Ok(seed)) = (std::env::var(CHILD), std::env::var(SEED)) else {
            return;
        };
        let mut random = Random(seed.parse().unwrap());
        let store = open_store(Path::new(&path));
        let stored = open(&store);
        let document = stored.document();
        let mut manager = kept(&stored);
        for number in 0..100_000u64 {
            let kind = [FugueText, Text][random.below(2) as usize];
            match random.below(10) {
                0..6 => append(document, kind, "x"),
                6 => drop(undo(document, manager)),
                7 => {
                    let redone = document.with(|document| document.redo(manager));
                    redone.unwrap().unwrap();
                }
                8 => {
                    stored.remove_undo(manager);
                    manager = kept(&stored);
                }
                _ => {
                    stored.flush(LONG).unwrap();
                    // A broken pipe means that the parent is gone.
                    let _ = std::io::stdout()
                        .lock()
                        .write_all(format!("stored {number}\n").as_bytes());
                }
            }
        }
    }

    #[test]
    fn stacks_and_content_survive_together() {
        let seed = u64::from(std::process::id()) ^ 0x9e37_79b9_7f4a_7c15;
        println!("seed {seed}");
        let mut random = Random(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut most = 0;
        for kill in 0..KILLS {
            let path = folder
                .path()
                .join(format!("file {}", kill / KILLS_PER_FILE));
            run_and_kill(&path, &mut random);
            most = most.max(check(&path, &format!("seed {seed}, kill {kill}")));
        }
        println!("{KILLS} kills, up to {most} steps");
        assert!(most > 20, "the child hardly got to work");
    }

    fn run_and_kill(path: &Path, random: &mut Random) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, path)
            .env(SEED, random.below(u64::MAX).max(1).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut reports = 1 + random.below(12);
        while reports > 0 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            reports -= u64::from(line.contains("stored "));
        }
        let until = std::time::Instant::now() + Duration::from_micros(random.below(3_000));
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Each step added one character, so there are as many steps as characters, and taking all
    /// of them back leaves nothing. What the child did stays for the next one.
    fn check(path: &Path, when: &str) -> u64 {
        let store = open_store(path);
        let stored = open(&store);
        let document = stored.document();
        let manager = kept(&stored);
        let characters = |document: &SharedDocument| {
            (content(document, FugueText).len() + content(document, Text).len()) as u64
        };
        let before = characters(document);
        let (undo_count, redo_count) = steps(document, manager);
        assert_eq!(undo_count, before, "{when}");
        for left in (0..before).rev() {
            assert!(undo(document, manager), "{when}");
            assert_eq!(characters(document), left, "{when}");
        }
        assert_eq!(steps(document, manager), (0, before + redo_count), "{when}");
        for _ in 0..before {
            let redone = document.with(|document| document.redo(manager));
            assert!(redone.unwrap().unwrap().is_some(), "{when}");
        }
        assert_eq!(steps(document, manager), (before, redo_count), "{when}");
        stored.remove_undo(manager);
        drop(stored);
        store.close(LONG).unwrap();
        before
    }
}
