//! Documents that keep themselves stored: group commit, failures, reopening.

mod store_support;

use parking_lot::Mutex;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store_support::Rigged;
use syncline::clock::VersionVector;
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, SharedDocument,
};
use syncline::replica::Replica;
use syncline::store::{
    DocumentStore, DocumentStoreOptions, MemoryStore, OpenOptions, Store, StoreError,
    StoreObserver, StoredDocument, Write,
};

const LONG: Duration = Duration::from_secs(20);

fn text(document: &SharedDocument) -> HandlerIdx {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let text = document.with(|document| document.handler("text", &spec).unwrap());
    text.unwrap()
}

fn insert(document: &SharedDocument, index: u64, string: &str) {
    let text = text(document);
    let inserted = document.with(|document| document.text_insert(text, index, string));
    inserted.unwrap().unwrap();
}

fn content(document: &SharedDocument) -> String {
    let text = text(document);
    document
        .read(|document| document.text_string(text))
        .unwrap()
}

fn vector(document: &SharedDocument) -> VersionVector {
    document.read(|document| document.version_vector()).unwrap()
}

fn open(store: &DocumentStore, name: &str) -> StoredDocument {
    store.open(name, &OpenOptions::default()).unwrap()
}

fn quick() -> DocumentStoreOptions {
    DocumentStoreOptions {
        flush_delay_ms: 1,
        ..DocumentStoreOptions::default()
    }
}

fn is_closed_cleanly(rigged: &Rigged, document: &str) -> bool {
    let head = rigged.head(document).unwrap();
    head.is_some_and(|head| head.meta.closed_cleanly)
}

fn rigged() -> (Arc<Rigged>, DocumentStore) {
    let rigged = Rigged::new(MemoryStore::new());
    let store = DocumentStore::new(rigged.clone(), quick());
    (rigged, store)
}

fn again(rigged: &Arc<Rigged>) -> DocumentStore {
    DocumentStore::new(rigged.clone(), quick())
}

#[test]
fn a_reopened_document_is_as_it_was_and_keeps_its_peer() {
    let (rigged, store) = rigged();
    let stored = open(&store, "notes");
    let document = stored.document().clone();
    assert_eq!(document.id(), "notes");
    insert(&document, 0, "hello");
    insert(&document, 5, " world");
    let (seen, peer) = (vector(&document), document.peer_id());
    stored.flush(LONG).unwrap();
    assert_eq!(stored.stored_vector(), seen);
    assert_eq!(stored.unstored_changes(), 0);
    drop((stored, document));
    store.close(LONG).unwrap();

    let store = again(&rigged);
    let stored = open(&store, "notes");
    assert_eq!(content(stored.document()), "hello world");
    assert_eq!(vector(stored.document()), seen);
    assert_eq!(stored.document().peer_id(), peer);
    // And goes on.
    insert(stored.document(), 11, "!");
    drop(stored);
    drop(store);
    let store = again(&rigged);
    assert_eq!(content(open(&store, "notes").document()), "hello world!");
}

/// The last user may go while the writer still holds the document, and the store with it.
#[test]
fn a_document_dropped_together_with_its_store_in_a_write_keeps_its_peer() {
    let (rigged, store) = rigged();
    let stored = open(&store, "notes");
    let peer = stored.document().peer_id();
    let handles = Arc::new(Mutex::new(None));
    let in_callback = handles.clone();
    let (placed, is_placed) = std::sync::mpsc::channel();
    insert(stored.document(), 0, "hello");
    stored.when_stored(false, move |result| {
        result.unwrap();
        is_placed.recv().unwrap();
        // The store is closed on the writer's own thread, before the write has ended.
        drop(in_callback.lock().take());
    });
    *handles.lock() = Some((stored, store));
    placed.send(()).unwrap();
    let deadline = std::time::Instant::now() + LONG;
    while !is_closed_cleanly(&rigged, "notes") {
        assert!(
            std::time::Instant::now() < deadline,
            "never marked as closed"
        );
        std::thread::yield_now();
    }
    let store = again(&rigged);
    assert_eq!(open(&store, "notes").document().peer_id(), peer);
}

#[test]
fn history_that_a_snapshot_covers_but_did_not_prune_is_kept() {
    let (rigged, store) = rigged();
    let stored = open(&store, "a");
    insert(stored.document(), 0, "before");
    let taken = stored
        .document()
        .with(|document| document.take_snapshot(false).map(|_| ()));
    taken.unwrap().unwrap();
    insert(stored.document(), 6, " and after");
    let changes = stored.document().read(|d| d.all_changes()).unwrap();
    drop(stored);
    store.close(Duration::from_secs(10)).unwrap();
    let store = again(&rigged);
    let stored = open(&store, "a");
    assert_eq!(content(stored.document()), "before and after");
    let again = stored.document().read(|d| d.all_changes()).unwrap();
    assert_eq!(again, changes);
    let snapshot = stored.document().read(|d| d.last_snapshot().cloned());
    assert!(snapshot.unwrap().is_some());
}

#[test]
fn a_document_that_was_not_closed_gets_a_new_peer() {
    let (rigged, store) = rigged();
    let stored = open(&store, "notes");
    let peer = stored.document().peer_id();
    insert(stored.document(), 0, "a");
    stored.flush(LONG).unwrap();
    // As after a crash: a second program sees the same content, the first never closes.
    let second = again(&rigged);
    let reopened = open(&second, "notes");
    assert_ne!(reopened.document().peer_id(), peer);
    assert_eq!(content(reopened.document()), "a");
}

#[test]
fn a_document_whose_edits_wait_for_the_store_keeps_its_peer_even_then() {
    let (rigged, store) = rigged();
    let options = OpenOptions {
        edits_leave_unstored: false,
        ..OpenOptions::default()
    };
    let stored = store.open("notes", &options).unwrap();
    let peer = stored.document().peer_id();
    assert!(
        !store.contains("notes").unwrap(),
        "a room nobody wrote to costs nothing"
    );
    insert(stored.document(), 0, "a");
    stored.flush(LONG).unwrap();
    let second = again(&rigged);
    let reopened = second.open("notes", &options).unwrap();
    assert_eq!(reopened.document().peer_id(), peer);
    drop(reopened);
    // Somebody who does not hold edits back joins the first program: from now on it matters.
    drop(second);
    let same = open(&store, "notes");
    assert!(Arc::ptr_eq(same.document(), stored.document()));
    let third = again(&rigged);
    assert_ne!(
        third.open("notes", &options).unwrap().document().peer_id(),
        peer
    );
}

#[test]
fn a_document_is_live_once_and_survives_its_last_user() {
    let (rigged, store) = rigged();
    let first = open(&store, "notes");
    let second = open(&store, "notes");
    assert!(Arc::ptr_eq(first.document(), second.document()));
    assert!(matches!(
        store.remove("notes"),
        Err(StoreError::InUse { .. })
    ));
    let peer = first.document().peer_id();
    for step in 0..50 {
        let stored = open(&store, "notes");
        insert(stored.document(), step, "x");
        drop(stored);
        if step == 20 {
            drop((first.clone(), second.clone()));
        }
    }
    drop((first, second));
    let mut expected = "x".repeat(50);
    for step in 50..100u64 {
        // Dropped with unstored edits, and opened again at once.
        let stored = open(&store, "notes");
        assert_eq!(content(stored.document()), expected);
        assert_eq!(stored.document().peer_id(), peer, "step {step}");
        insert(stored.document(), step, "y");
        expected.push('y');
    }
    store.flush(LONG).unwrap();
    assert!(rigged.loads.load(Ordering::SeqCst) >= 1);
    let deadline = std::time::Instant::now() + LONG;
    // The writer lets go of the document a moment after it told that it is stored.
    let removed = loop {
        match store.remove("notes") {
            Err(StoreError::InUse { .. }) if std::time::Instant::now() < deadline => {
                std::thread::yield_now()
            }
            result => break result,
        }
    };
    assert_eq!(removed, Ok(true));
    assert_eq!(content(open(&store, "notes").document()), "");
}

#[test]
fn missing_documents_are_not_made_unless_asked_for() {
    let (_, store) = rigged();
    let options = OpenOptions {
        create: false,
        ..OpenOptions::default()
    };
    assert_eq!(
        store.open("notes", &options).err(),
        Some(StoreError::NotFound)
    );
    assert_eq!(store.count(), Ok(0));
    drop(open(&store, "notes"));
    assert!(store.open("notes", &options).is_ok());
    assert!(matches!(
        store.open(&"n".repeat(2000), &options).err(),
        Some(StoreError::Limit(_))
    ));
}

#[test]
fn many_documents_share_few_transactions() {
    let (rigged, store) = rigged();
    let documents: Vec<_> = (0..60)
        .map(|number| open(&store, &format!("{number}")))
        .collect();
    let opened = rigged.commits.load(Ordering::SeqCst);
    for stored in &documents {
        for step in 0..20 {
            insert(stored.document(), step, "x");
        }
    }
    store.flush(LONG).unwrap();
    let commits = rigged.commits.load(Ordering::SeqCst) - opened;
    assert!(commits < 600, "{commits} transactions for 1200 edits");
    for stored in &documents {
        assert_eq!(stored.unstored_changes(), 0);
    }
    drop((documents, store));
    let store = again(&rigged);
    for number in 0..60 {
        assert_eq!(
            content(open(&store, &format!("{number}")).document()),
            "x".repeat(20)
        );
    }
}

#[test]
fn failed_writes_are_tried_again_and_nothing_is_lost() {
    #[derive(Default)]
    struct Witness {
        failed: AtomicU64,
        stored: AtomicU64,
    }
    impl StoreObserver for Witness {
        fn failed(&self, document: &str, error: &StoreError) {
            assert_eq!((document, error), ("notes", &StoreError::Full));
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
        fn stored(&self, _document: &str, _vector: &VersionVector) {
            self.stored.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (rigged, store) = rigged();
    let witness = Arc::new(Witness::default());
    store.add_observer(witness.clone());
    let stored = open(&store, "notes");
    rigged.before_commit(|_, _| Some(StoreError::Full));
    insert(stored.document(), 0, "kept");
    assert_eq!(stored.flush(LONG), Err(StoreError::Full));
    assert_eq!(stored.unstored_changes(), 1);
    assert_eq!(stored.last_error(), Some(StoreError::Full));
    assert!(witness.failed.load(Ordering::SeqCst) > 0);
    assert_eq!(witness.stored.load(Ordering::SeqCst), 0);
    // A patient waiter hears of success only.
    let (sender, receiver) = crossbeam_channel::bounded(1);
    stored.when_stored(true, move |result| sender.send(result).unwrap());
    assert!(receiver.try_recv().is_err());
    rigged.before_commit(|_, _| None);
    assert_eq!(receiver.recv_timeout(LONG), Ok(Ok(())));
    assert_eq!(stored.last_error(), None);
    assert_eq!(stored.unstored_changes(), 0);
    drop((stored, store));
    assert_eq!(content(open(&again(&rigged), "notes").document()), "kept");
}

/// Whichever write fails, what was reported is there.
#[test]
fn every_single_write_may_fail() {
    for failing in 0..12 {
        let (rigged, store) = rigged();
        rigged.before_commit(move |number, _| {
            (number == failing).then_some(StoreError::Io {
                code: 10,
                message: "rigged".into(),
            })
        });
        let options = OpenOptions::default();
        let stored = match store.open("notes", &options) {
            Ok(stored) => stored,
            Err(StoreError::Io { .. }) if failing == 0 => continue,
            Err(error) => panic!("{error}"),
        };
        let mut acknowledged = 0;
        for step in 0..10 {
            insert(stored.document(), step, "x");
            match stored.flush(LONG) {
                Ok(()) => acknowledged = step + 1,
                Err(StoreError::Io { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            let state = rigged.inner.load("notes").unwrap().unwrap();
            assert!(
                state.records.len() as u64 >= acknowledged.min(1),
                "failing {failing}"
            );
        }
        store.flush(LONG).unwrap();
        // As after a crash.
        rigged.before_commit(|_, _| None);
        assert_eq!(
            content(open(&again(&rigged), "notes").document()),
            "x".repeat(10),
            "failing {failing}"
        );
    }
}

#[test]
fn one_document_that_cannot_be_stored_does_not_stop_the_others() {
    let rigged = Rigged::new(MemoryStore::new());
    let options = DocumentStoreOptions {
        drop_timeout_ms: 100,
        ..quick()
    };
    rigged.before_commit(|_, batch| {
        let is_bad = |write: &Write<'_>| {
            write.document == "bad" && !matches!(write.content, syncline::store::Content::Keep)
        };
        let refused = batch.iter().any(is_bad);
        refused.then_some(StoreError::Limit("rigged"))
    });
    let store = DocumentStore::new(rigged.clone(), options);
    let (good, bad) = (open(&store, "good"), open(&store, "bad"));
    for step in 0..10 {
        insert(bad.document(), step, "x");
        insert(good.document(), step, "x");
        good.flush(LONG).unwrap();
    }
    assert_eq!(bad.flush(LONG), Err(StoreError::Limit("rigged")));
    assert_eq!(bad.unstored_changes(), 10);
}

#[test]
fn a_long_transaction_holds_up_nobody_else() {
    let (_, store) = rigged();
    let (blocked, free) = (open(&store, "blocked"), open(&store, "free"));
    insert(blocked.document(), 0, "before");
    let blocked_text = text(blocked.document());
    blocked.document().begin(b"").unwrap().unwrap();
    blocked
        .document()
        .with(|document| document.text_insert(blocked_text, 0, "in ").unwrap())
        .unwrap();
    for step in 0..20 {
        insert(free.document(), step, "x");
        free.flush(Duration::from_secs(5)).unwrap();
    }
    // A flush inside of the transaction cannot see its end.
    insert(blocked.document(), 0, "more ");
    blocked.document().commit().unwrap().unwrap();
    blocked.flush(LONG).unwrap();
    assert_eq!(content(blocked.document()), "more in before");
}

#[test]
fn a_long_log_is_rewritten_and_a_pruned_one_too() {
    let rigged = Rigged::new(MemoryStore::new());
    let options = DocumentStoreOptions {
        flush_delay_ms: 0,
        compact_bytes: 2_000,
        ..DocumentStoreOptions::default()
    };
    let store = DocumentStore::new(rigged.clone(), options.clone());
    let stored = open(&store, "notes");
    let mut records_max = 0;
    for step in 0..300 {
        insert(stored.document(), step, "x");
        stored.flush(LONG).unwrap();
        records_max = records_max.max(rigged.inner.load("notes").unwrap().unwrap().records.len());
    }
    assert!(records_max < 250, "{records_max} records at a time");
    stored.compact();
    stored.flush(LONG).unwrap();
    let state = rigged.inner.load("notes").unwrap().unwrap();
    assert_eq!((state.records.len(), state.snapshot), (1, None));

    // A snapshot that prunes makes no commit; the next edit, or a touch, stores it.
    let pruned = stored
        .document()
        .with(|document| document.take_snapshot(true).map(|_| ()));
    pruned.unwrap().unwrap();
    stored.touch();
    stored.flush(LONG).unwrap();
    let state = rigged.inner.load("notes").unwrap().unwrap();
    assert!(state.snapshot.is_some() && state.records.is_empty());
    insert(stored.document(), 300, "tail");
    let seen = vector(stored.document());
    drop((stored, store));
    let store = DocumentStore::new(rigged, options);
    let stored = open(&store, "notes");
    assert_eq!(content(stored.document()), "x".repeat(300) + "tail");
    assert_eq!(vector(stored.document()), seen);
}

#[test]
fn damaged_content_is_refused_by_name() {
    let (rigged, store) = rigged();
    let stored = open(&store, "notes");
    insert(stored.document(), 0, "a");
    insert(stored.document(), 1, "b");
    stored.flush(LONG).unwrap();
    drop((stored, store));
    let state = rigged.inner.load("notes").unwrap().unwrap();
    let replace = |records: &[Vec<u8>]| {
        let content = syncline::store::Content::Replace {
            snapshot: None,
            records,
        };
        rigged
            .inner
            .commit(&[Write {
                document: "notes",
                meta: state.meta,
                content,
                attachments: &[],
                expected: None,
            }])
            .unwrap();
        let store = again(&rigged);
        let refused = store.open("notes", &OpenOptions::default()).err();
        assert!(
            matches!(&refused, Some(StoreError::Corrupt { document: Some(name), .. }) if name == "notes"),
            "{refused:?}"
        );
        // Other documents are not concerned.
        drop(open(&store, "other"));
    };
    replace(&[b"garbage".to_vec()]);
    let mut cut = state.records[0].content.clone();
    cut.pop();
    replace(&[cut]);
    // The second change without the first.
    let mut whole = Document::new(DocumentOptions::default());
    for record in &state.records {
        whole
            .import_native(&record.content, &[], Origin::Load)
            .unwrap();
    }
    let mut changes = whole.all_changes();
    assert_eq!(changes.len(), 2);
    replace(&[syncline::codec::change::encode_list(changes[1..].iter())]);
    // Records of earlier versions are read, and twice the same is harmless.
    changes.extend(changes.clone());
    let twice = vec![syncline::codec::change::encode_list(changes.iter())];
    let content_twice = syncline::store::Content::Replace {
        snapshot: None,
        records: &twice,
    };
    rigged
        .inner
        .commit(&[Write {
            document: "notes",
            meta: state.meta,
            content: content_twice,
            attachments: &[],
            expected: None,
        }])
        .unwrap();
    assert_eq!(content(open(&again(&rigged), "notes").document()), "ab");
}

#[test]
fn a_clock_that_was_set_back_does_not_lock_documents_away() {
    let (rigged, store) = rigged();
    let mut options = OpenOptions::default();
    options.document.wall_clock = syncline::document::WallClock::Fixed(2_000_000_000_000);
    options.document.clock_drift_ms_max = Some(1_000);
    let stored = store.open("notes", &options).unwrap();
    insert(stored.document(), 0, "future");
    drop((stored, store));
    options.document.wall_clock = syncline::document::WallClock::Fixed(1_000_000_000_000);
    let store = again(&rigged);
    let stored = store.open("notes", &options).unwrap();
    assert_eq!(content(stored.document()), "future");
    // The limit holds again for what others send.
    let change = stored
        .document()
        .read(|document| document.all_changes().remove(0))
        .unwrap();
    let other = open(&store, "other");
    drop(other);
    let far = store.open("another", &options).unwrap();
    let refused = far
        .document()
        .with(|document| document.apply(change))
        .unwrap();
    assert!(
        matches!(
            refused,
            Err(syncline::replica::ApplyError::ClockDrift { .. })
        ),
        "{refused:?}"
    );
}

#[test]
fn a_closed_store_stores_no_more() {
    let (_, store) = rigged();
    let stored = open(&store, "notes");
    insert(stored.document(), 0, "a");
    store.close(LONG).unwrap();
    store.close(LONG).unwrap();
    insert(stored.document(), 1, "b");
    assert_eq!(stored.unstored_changes(), 1);
    assert_eq!(stored.flush(LONG), Err(StoreError::Closed));
    assert_eq!(
        store.open("notes", &OpenOptions::default()).err(),
        Some(StoreError::Closed)
    );
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use syncline::store::{SqliteOptions, SqliteStore};

    fn open_file(path: &Path, options: &SqliteOptions) -> DocumentStore {
        DocumentStore::new(Arc::new(SqliteStore::open(path, options).unwrap()), quick())
    }

    #[test]
    fn a_file_keeps_documents_and_opens_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("documents");
        let writable = SqliteOptions::default();
        let store = open_file(&path, &writable);
        for name in ["a", "b"] {
            let stored = open(&store, name);
            insert(stored.document(), 0, name);
        }
        drop(store);
        let read_only = SqliteOptions {
            read_only: true,
            ..SqliteOptions::default()
        };
        let store = open_file(&path, &read_only);
        assert!(store.is_read_only());
        let stored = open(&store, "a");
        assert_eq!(content(stored.document()), "a");
        insert(stored.document(), 0, "not stored ");
        assert_eq!(stored.flush(LONG), Err(StoreError::ReadOnly));
        drop((stored, store));
        let store = open_file(&path, &writable);
        assert_eq!(content(open(&store, "a").document()), "a");
        assert_eq!(content(open(&store, "b").document()), "b");
    }

    #[test]
    fn a_full_file_stores_again_when_there_is_space() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("documents");
        let store = open_file(&path, &SqliteOptions::default());
        let ballast = open(&store, "ballast");
        insert(ballast.document(), 0, &"b".repeat(70_000));
        drop(ballast);
        drop(store);
        let length = std::fs::metadata(&path).unwrap().len();
        let options = SqliteOptions {
            file_bytes_max: length + 4 * 4096,
            ..SqliteOptions::default()
        };
        let store = open_file(&path, &options);
        let stored = open(&store, "notes");
        insert(stored.document(), 0, &"n".repeat(70_000));
        assert_eq!(stored.flush(LONG), Err(StoreError::Full));
        assert_eq!(stored.unstored_changes(), 1);
        let deadline = std::time::Instant::now() + LONG;
        while matches!(store.remove("ballast"), Err(StoreError::InUse { .. })) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        let (sender, receiver) = crossbeam_channel::bounded(1);
        stored.when_stored(true, move |result| sender.send(result).unwrap());
        assert_eq!(receiver.recv_timeout(LONG), Ok(Ok(())));
        drop((stored, store));
        let store = open_file(&path, &options);
        assert_eq!(content(open(&store, "notes").document()).len(), 70_000);
    }
}

/// A snapshot that the store writes knows removed elements: an edit that a peer made beside one
/// goes to the same place before and after reopening.
#[test]
fn a_stored_snapshot_keeps_removed_elements() {
    let (rigged, store) = rigged();
    let stored = open(&store, "notes");
    insert(stored.document(), 0, "abcdef");
    let peer = DocumentOptions::default();
    let mut other = Document::new(peer);
    let changes = stored.document().read(|document| document.all_changes());
    other
        .import_changes(changes.unwrap(), &[], Origin::Remote)
        .unwrap();
    let other_text = other
        .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
        .unwrap();
    // In the middle of what goes here.
    other.text_insert(other_text, 3, "X").unwrap();
    let text = text(stored.document());
    let edited = stored.document().with(|document| {
        document.text_remove(text, 1, 4).unwrap();
        document.text_insert(text, 1, "-").unwrap();
        document.text_insert(text, 2, "+").unwrap();
        document.take_snapshot(true).map(|_| ()).unwrap();
    });
    edited.unwrap();
    insert(stored.document(), 0, "(");
    stored.compact();
    stored.flush(LONG).unwrap();
    let import = |document: &SharedDocument, changes| {
        let imported =
            document.with(|document| document.import_changes(changes, &[], Origin::Remote));
        assert_eq!(imported.unwrap().unwrap().not_ready, 0);
        content(document)
    };
    let state = rigged.inner.load("notes").unwrap().unwrap();
    let snapshot = state.snapshot.unwrap();
    assert!(syncline::codec::native::is_native(&snapshot));
    let mut reopened = Document::open_native(&snapshot, DocumentOptions::default()).unwrap();
    assert!(state.records.is_empty());
    let late = other.changes_newer_than(&reopened.version_vector());
    assert_eq!(late.len(), 1);
    reopened
        .import_changes(late.clone(), &[], Origin::Remote)
        .unwrap();
    let in_memory = import(stored.document(), late);
    assert_eq!(reopened.text_string(text), in_memory);
    assert!(in_memory.contains('X') && in_memory.starts_with("(a"));
}
