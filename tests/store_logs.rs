//! Raw logs: dense numbers, pages, snapshots that cover, failures.

mod store_support;

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store_support::Rigged;
use syncline::store::{
    DocumentStore, DocumentStoreOptions, Generation, KIND_RELAY, LogSnapshot, MemoryStore,
    OpenOptions, RawLog, Store, StoreError, StoredRecord,
};

const LONG: Duration = Duration::from_secs(20);

fn quick() -> DocumentStoreOptions {
    DocumentStoreOptions {
        flush_delay_ms: 1,
        drop_timeout_ms: 100,
        ..DocumentStoreOptions::default()
    }
}

/// Calls `body` with a callback, and waits for what that gets.
fn wait<T: Send + 'static>(body: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    body(Box::new(move |value| drop(sender.send(value))));
    receiver.recv_timeout(LONG).expect("an answer")
}

fn append(log: &RawLog, records: &[&str]) -> std::ops::Range<u64> {
    let records = records
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    wait(|then| log.append(records, then)).unwrap()
}

fn texts(records: &[StoredRecord]) -> Vec<(u64, String)> {
    let text = |record: &StoredRecord| {
        let content = String::from_utf8(record.content.clone()).unwrap();
        (record.sequence, content)
    };
    records.iter().map(text).collect()
}

fn numbered(from: u64, texts: &[&str]) -> Vec<(u64, String)> {
    let texts = texts.iter().map(|text| (*text).to_owned());
    (from..).zip(texts).collect()
}

fn check_rules(backend: Arc<dyn Store>) {
    let store = DocumentStore::new(backend, quick());
    assert_eq!(store.find_log("room").err(), Some(StoreError::NotFound));
    let log = store.open_log("room").unwrap();
    assert_eq!((log.next(), log.head().first), (1, 1));
    assert_eq!(log.snapshot(Generation::Current).unwrap(), None);
    assert_eq!(append(&log, &["a", "b", "c"]), 1..4);
    assert_eq!(append(&log, &[]), 4..4);
    assert_eq!(append(&log, &["d", "e"]), 4..6);
    assert_eq!(log.next(), 6);

    // Pages.
    let page = log.read(1..6, usize::MAX).unwrap();
    assert_eq!(
        texts(&page.records),
        numbered(1, &["a", "b", "c", "d", "e"])
    );
    assert_eq!(page.next, 6);
    let page = log.read(2..5, 2).unwrap();
    assert_eq!(texts(&page.records), numbered(2, &["b", "c"]));
    assert_eq!(page.next, 4);
    let page = log.read(4..100, 0).unwrap();
    assert_eq!((texts(&page.records), page.next), (numbered(4, &["d"]), 5));
    assert!(log.read(6..100, 9).unwrap().records.is_empty());
    assert!(log.read(60..100, 9).unwrap().records.is_empty());
    assert_eq!(
        log.read(0..2, 9).err(),
        Some(StoreError::OutOfRange { nearest: 1 })
    );

    // A snapshot covers the beginning; what it covers stays as the previous generation.
    wait(|then| log.cover(b"abc".to_vec(), 4, then)).unwrap();
    let snapshot = |generation| log.snapshot(generation).unwrap();
    let abc = LogSnapshot {
        content: b"abc".to_vec(),
        end: 4,
    };
    assert_eq!(snapshot(Generation::Current), Some(abc.clone()));
    assert_eq!(snapshot(Generation::Previous), None);
    let head = log.head();
    assert_eq!((head.first, head.next, head.log_bytes), (4, 6, 2));
    assert_eq!(head.previous.map(|previous| previous.first), Some(1));
    assert_eq!(log.read(1..6, 99).unwrap().records.len(), 5);

    // The next one drops it. Numbers outside of the log are refused.
    let out = |end| wait(|then| log.cover(b"x".to_vec(), end, then)).err();
    assert_eq!(out(3), Some(StoreError::OutOfRange { nearest: 4 }));
    assert_eq!(out(7), Some(StoreError::OutOfRange { nearest: 6 }));
    wait(|then| log.cover(b"abcde".to_vec(), 6, then)).unwrap();
    assert_eq!(snapshot(Generation::Previous), Some(abc));
    assert_eq!(
        log.read(3..6, 99).err(),
        Some(StoreError::OutOfRange { nearest: 4 })
    );
    assert_eq!(append(&log, &["f"]), 6..7);
    wait(|then| log.drop_previous(then)).unwrap();
    assert_eq!(snapshot(Generation::Previous), None);
    assert_eq!(
        log.read(5..6, 99).err(),
        Some(StoreError::OutOfRange { nearest: 6 })
    );
    assert_eq!(
        texts(&log.read(6..9, 99).unwrap().records),
        numbered(6, &["f"])
    );

    // Names are those of logs or of documents, not of both.
    assert_eq!(
        store.open("room", &OpenOptions::default()).err(),
        Some(StoreError::WrongKind { found: KIND_RELAY })
    );
    let document = store.open("document", &OpenOptions::default()).unwrap();
    assert_ne!(document.epoch(), 0);
    drop(document);
    assert_eq!(
        store.open_log("document").err(),
        Some(StoreError::WrongKind { found: 1 })
    );

    // Opened twice it is one log; it is not removed while it is open.
    let twin = store.open_log("room").unwrap();
    assert_eq!(append(&twin, &["g"]), 7..8);
    assert_eq!(log.next(), 8);
    assert!(matches!(
        store.remove("room"),
        Err(StoreError::InUse { .. })
    ));

    // Another epoch: nothing of the old content, but the numbers go on.
    let epoch = log.epoch();
    let after = wait(|then| log.reset(then)).unwrap();
    assert_ne!(after, epoch);
    assert_eq!(append(&log, &["h"]), 8..9);
    assert_eq!(log.snapshot(Generation::Current).unwrap(), None);
    assert_eq!(
        log.read(7..9, 9).err(),
        Some(StoreError::OutOfRange { nearest: 8 })
    );
    drop((log, twin));
    let log = store.open_log("room").unwrap();
    assert_eq!((log.epoch(), log.next()), (after, 9));
    assert_eq!(
        texts(&log.read(8..9, 9).unwrap().records),
        numbered(8, &["h"])
    );
    drop(log);
    assert_eq!(store.remove("room"), Ok(true));
}

#[test]
fn logs_in_memory_keep_the_rules() {
    check_rules(Arc::new(MemoryStore::new()));
}

#[cfg(feature = "sqlite")]
#[test]
fn logs_in_a_file_keep_the_rules_and_their_content() {
    use syncline::store::{SqliteOptions, SqliteStore};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let open = || Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    check_rules(open());
    let store = DocumentStore::new(open(), quick());
    let log = store.open_log("kept").unwrap();
    append(&log, &["a", "b"]);
    wait(|then| log.cover(b"a".to_vec(), 2, then)).unwrap();
    store.flush(LONG).unwrap();
    let (epoch, head) = (log.epoch(), log.head());
    drop(log);
    drop(store);
    let store = DocumentStore::new(open(), quick());
    let log = store.find_log("kept").unwrap();
    assert_eq!((log.epoch(), log.head()), (epoch, head));
    assert_eq!(
        texts(&log.read(1..3, 9).unwrap().records),
        numbered(1, &["a", "b"])
    );
}

#[test]
fn many_appends_share_few_transactions_and_keep_their_order() {
    let rigged = Rigged::new(MemoryStore::new());
    let store = DocumentStore::new(rigged.clone(), quick());
    let logs: Vec<RawLog> = (0..20)
        .map(|number| store.open_log(&format!("room {number}")).unwrap())
        .collect();
    // The device is slow.
    rigged.before_commit(|_, _| {
        std::thread::sleep(Duration::from_millis(2));
        None
    });
    let before = rigged.commits.load(Ordering::SeqCst);
    let stored = Arc::new(Mutex::new(vec![Vec::new(); logs.len()]));
    for step in 0..50u8 {
        for (index, log) in logs.iter().enumerate() {
            let stored = stored.clone();
            log.append(vec![vec![step]], move |range| {
                stored.lock()[index].push(range.unwrap());
            });
        }
    }
    store.flush(LONG).unwrap();
    let commits = rigged.commits.load(Ordering::SeqCst) - before;
    assert!(commits < 500, "{commits} transactions for 1000 appends");
    for (index, log) in logs.iter().enumerate() {
        let expected: Vec<_> = (1..51).map(|at| at..at + 1).collect();
        assert_eq!(stored.lock()[index], expected);
        let records = log.read(1..51, usize::MAX).unwrap().records;
        let in_order = records.iter().enumerate();
        assert!(
            in_order
                .into_iter()
                .all(|(at, record)| record.content == [at as u8])
        );
        assert_eq!(log.backlog_bytes(), 0);
    }
}

#[test]
fn what_fails_is_tried_again_in_order_and_told_when_it_is_stored() {
    let rigged = Rigged::new(MemoryStore::new());
    let store = DocumentStore::new(rigged.clone(), quick());
    let log = store.open_log("room").unwrap();
    append(&log, &["a"]);
    rigged.before_commit(|_, _| Some(StoreError::Full));
    let told = Arc::new(Mutex::new(Vec::new()));
    for text in ["b", "c", "d"] {
        let told = told.clone();
        log.append(vec![text.as_bytes().to_vec()], move |range| {
            told.lock().push(range)
        });
    }
    let until = std::time::Instant::now() + LONG;
    while log.last_error() != Some(StoreError::Full) {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
    assert_eq!(
        store.flush(Duration::from_millis(20)),
        Err(StoreError::Timeout)
    );
    assert!(told.lock().is_empty());
    assert_eq!((log.next(), log.backlog_bytes()), (2, 3));
    rigged.before_commit(|_, _| None);
    store.flush(LONG).unwrap();
    assert_eq!(*told.lock(), [Ok(2..3), Ok(3..4), Ok(4..5)]);
    assert_eq!(
        texts(&log.read(1..9, 9).unwrap().records),
        numbered(1, &["a", "b", "c", "d"])
    );
    assert_eq!(log.last_error(), None);

    // What can never be stored is refused, and the rest is not.
    rigged.before_commit(|_, batch| {
        use syncline::store::Content;
        let is_bad = |records: &[Vec<u8>]| records.iter().any(|record| record == b"bad");
        let refused = batch.iter().any(|write| match write.content {
            Content::Append(records) => is_bad(records),
            _ => false,
        });
        refused.then_some(StoreError::Limit("rigged"))
    });
    told.lock().clear();
    for text in ["e", "bad", "f"] {
        let told = told.clone();
        log.append(vec![text.as_bytes().to_vec()], move |range| {
            told.lock().push(range)
        });
    }
    store.flush(LONG).unwrap();
    assert_eq!(
        *told.lock(),
        [Ok(5..6), Err(StoreError::Limit("rigged")), Ok(6..7)]
    );

    // Closing tells those who wait.
    rigged.before_commit(|_, _| Some(StoreError::Full));
    told.lock().clear();
    let last = told.clone();
    log.append(vec![b"g".to_vec()], move |range| last.lock().push(range));
    assert!(store.close(Duration::from_millis(20)).is_err());
    assert_eq!(*told.lock(), [Err(StoreError::Closed)]);
    assert_eq!(
        wait(|then| log.append(Vec::new(), then)),
        Err(StoreError::Closed)
    );
}
