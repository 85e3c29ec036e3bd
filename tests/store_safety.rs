//! Damage, copies, versions, sleep, and two processes.
#![cfg(feature = "sqlite")]

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use syncline::document::{HandlerKind, HandlerSpec, SharedDocument};
use syncline::replica::Replica;
use syncline::store::{
    DocumentStore, DocumentStoreOptions, Generation, OpenOptions, RestoreTo, SqliteOptions,
    SqliteStore, StoreError, StoreObserver, StoredDocument, is_retired,
};

const LONG: Duration = Duration::from_secs(20);

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    (folder, path)
}

fn store(path: &Path, options: &SqliteOptions) -> DocumentStore {
    let backend = SqliteStore::open(path, options).unwrap();
    let options = DocumentStoreOptions {
        flush_delay_ms: 1,
        ..DocumentStoreOptions::default()
    };
    DocumentStore::new(Arc::new(backend), options)
}

fn alone(path: &Path) -> DocumentStore {
    store(path, &SqliteOptions::default())
}

fn shared(path: &Path) -> DocumentStore {
    let options = SqliteOptions {
        shared: true,
        ..SqliteOptions::default()
    };
    store(path, &options)
}

fn open(store: &DocumentStore, name: &str) -> StoredDocument {
    store.open(name, &OpenOptions::default()).unwrap()
}

fn write(document: &SharedDocument, string: &str) {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let written = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        let end = document.text_len_utf16(text);
        document.text_insert(text, end, string)
    });
    written.unwrap().unwrap();
}

fn read(document: &SharedDocument) -> String {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let text = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        document.text_string(text)
    });
    text.unwrap()
}

/// A document in two generations with something appended: "one two " and then "three ".
fn two_generations(path: &Path) {
    let store = alone(path);
    let stored = open(&store, "notes");
    write(stored.document(), "one ");
    stored.flush(LONG).unwrap();
    write(stored.document(), "two ");
    stored.flush(LONG).unwrap();
    stored.compact();
    stored.flush(LONG).unwrap();
    write(stored.document(), "three ");
    stored.flush(LONG).unwrap();
    let head = store.head("notes").unwrap().unwrap();
    let previous = head.previous.expect("two generations");
    assert_eq!(previous.repeated_until + 1, head.next);
}

fn damage(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
}

#[derive(Default)]
struct Recovered(Mutex<Vec<String>>);

impl StoreObserver for Recovered {
    fn recovered(&self, document: &str, _damage: &StoreError) {
        self.0.lock().push(document.to_owned());
    }
}

#[test]
fn what_is_damaged_is_read_from_the_generation_before_and_stored_anew() {
    for sql in [
        // The rewritten record, bit by bit and as a whole.
        "UPDATE log SET record = substr(record, 1, 12) || x'ff' || substr(record, 14) WHERE sequence = 3",
        "DELETE FROM log WHERE sequence = 3",
    ] {
        let (_folder, path) = folder();
        two_generations(&path);
        damage(&path, sql);
        let store = alone(&path);
        let report = store.verify().unwrap();
        assert_eq!(report.problems.len(), 1, "{report:?}");
        assert!(report.problems[0].is_recovered);
        let observer = Arc::new(Recovered::default());
        store.add_observer(observer.clone());
        let stored = open(&store, "notes");
        assert_eq!(read(stored.document()), "one two three ");
        assert_eq!(*observer.0.lock(), ["notes"]);
        stored.flush(LONG).unwrap();
        drop(stored);
        drop(store);
        // The present generation is sound again.
        let store = alone(&path);
        assert_eq!(read(open(&store, "notes").document()), "one two three ");
        let report = store.verify().unwrap();
        assert!(
            report.problems.iter().all(|problem| problem.is_recovered),
            "{report:?}"
        );
    }
}

#[test]
fn what_neither_generation_has_keeps_the_document_shut_until_a_repair() {
    let (_folder, path) = folder();
    two_generations(&path);
    // Appended after the rewriting, so only once on the device.
    damage(&path, "UPDATE log SET record = x'00' WHERE sequence = 4");
    let store = alone(&path);
    let refused = store.open("notes", &OpenOptions::default());
    assert!(matches!(
        refused,
        Err(StoreError::Corrupt {
            sequence: Some(4),
            ..
        })
    ));
    let found = store.verify().unwrap();
    assert_eq!(found.problems.len(), 1, "{found:?}");
    assert!(!found.problems[0].is_recovered);
    let _other = open(&store, "other");
    let repaired = store.repair().unwrap();
    assert_eq!(repaired.problems, found.problems, "said what was lost");
    assert_eq!(read(open(&store, "notes").document()), "one two ");
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_backup_is_verified_and_restores_with_new_epochs() {
    let (folder, path) = folder();
    two_generations(&path);
    let backend = Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let store = DocumentStore::new(backend.clone(), DocumentStoreOptions::default());
    let stored = open(&store, "notes");
    let peer = stored
        .document()
        .read(|document| document.peer_id())
        .unwrap();
    let copy = folder.path().join("copy");
    // While it is in use.
    write(stored.document(), "four ");
    stored.flush(LONG).unwrap();
    let report = backend.backup(&copy).unwrap();
    assert_eq!((report.documents, report.problems.len()), (1, 0));
    write(stored.document(), "five ");
    assert!(
        matches!(backend.backup(&copy), Err(StoreError::Io { .. })),
        "not over a file"
    );
    let epoch = stored.epoch();

    let elsewhere = folder.path().join("elsewhere");
    SqliteStore::restore(&copy, &elsewhere).unwrap();
    let restored = alone(&elsewhere);
    let document = open(&restored, "notes");
    assert_eq!(read(document.document()), "one two three four ");
    assert_ne!(document.epoch(), epoch);
    let now = document
        .document()
        .read(|document| document.peer_id())
        .unwrap();
    assert_ne!(now, peer, "what came after the backup may exist elsewhere");

    // A damaged backup makes nothing.
    damage(&copy, "DELETE FROM log WHERE sequence = 4");
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(
        SqliteStore::restore(&copy, &nowhere),
        Err(StoreError::Corrupt { .. })
    ));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    let is_left = |name: &std::fs::DirEntry| name.file_name().to_string_lossy().contains("nowhere");
    assert!(!names.into_iter().any(|name| is_left(&name.unwrap())));
}

#[test]
fn a_document_goes_back_to_a_version_with_a_new_epoch() {
    let (_folder, path) = folder();
    let store = alone(&path);
    let stored = open(&store, "notes");
    write(stored.document(), "one ");
    store.keep_version("notes", "first").unwrap();
    write(stored.document(), "two ");
    store.keep_version("notes", "second").unwrap();
    stored.flush(LONG).unwrap();
    let names = |store: &DocumentStore| -> Vec<String> {
        let versions = store.versions("notes").unwrap();
        versions.into_iter().map(|version| version.name).collect()
    };
    assert_eq!(names(&store), ["first", "second"]);
    assert!(store.versions("notes").unwrap()[0].made_ms > 1_600_000_000_000);
    let in_use = store.restore("notes", RestoreTo::Version("first"));
    assert!(matches!(in_use, Err(StoreError::InUse { .. })));
    let epoch = stored.epoch();
    let vector = stored
        .document()
        .read(|document| document.version_vector())
        .unwrap();
    drop(stored);
    let unknown = store.restore("notes", RestoreTo::Version("third"));
    assert_eq!(unknown, Err(StoreError::NotFound));
    let restored = store.restore("notes", RestoreTo::Version("first")).unwrap();
    let stored = open(&store, "notes");
    assert_eq!(read(stored.document()), "one ");
    assert_eq!(stored.epoch(), restored.epoch);
    assert_ne!(epoch, restored.epoch);

    // Who knows what went comes from the former epoch; who knows what stayed does not.
    let ranges = store.retired("notes").unwrap();
    assert!(is_retired(&ranges, &vector));
    let stays = stored
        .document()
        .read(|document| document.version_vector())
        .unwrap();
    assert!(!is_retired(&ranges, &stays));
    write(stored.document(), "new ");
    let grown = stored
        .document()
        .read(|document| document.version_vector())
        .unwrap();
    assert!(!is_retired(&ranges, &grown), "a new peer writes");
    stored.flush(LONG).unwrap();
    drop(stored);

    // What was there before is a version, too.
    store
        .restore("notes", RestoreTo::Version(&restored.before))
        .unwrap();
    assert_eq!(read(open(&store, "notes").document()), "one two ");
    assert_eq!(names(&store).len(), 4);
    assert_eq!(store.drop_version("notes", "first"), Ok(true));
    assert_eq!(store.drop_version("notes", "first"), Ok(false));
    assert_eq!(names(&store).len(), 3);
    store.restore("notes", RestoreTo::Empty).unwrap();
    assert_eq!(read(open(&store, "notes").document()), "");
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_document_goes_back_in_time() {
    let (_folder, path) = folder();
    let store = alone(&path);
    let stored = open(&store, "notes");
    write(stored.document(), "early ");
    stored.flush(LONG).unwrap();
    let vector = stored
        .document()
        .read(|document| document.version_vector())
        .unwrap();
    let time = vector.latest().unwrap().ms();
    // Edits are stamped by a coarse clock, which may be some ticks behind.
    while syncline_now_ms() <= time + 100 {
        std::thread::yield_now();
    }
    write(stored.document(), "late ");
    stored.flush(LONG).unwrap();
    drop(stored);
    store.restore("notes", RestoreTo::Time(time)).unwrap();
    let stored = open(&store, "notes");
    assert_eq!(read(stored.document()), "early ");
    // Forgotten history cannot be gone back to.
    let taken = stored
        .document()
        .with(|document| document.take_snapshot(true).map(drop));
    taken.unwrap().unwrap();
    stored.touch();
    stored.flush(LONG).unwrap();
    drop(stored);
    let refused = store.restore("notes", RestoreTo::Time(time - 1));
    assert!(
        matches!(refused, Err(StoreError::OutOfRange { .. })),
        "{refused:?}"
    );
}

fn syncline_now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as i64
}

#[test]
fn documents_and_logs_travel_as_bytes() {
    let (folder, path) = folder();
    two_generations(&path);
    let from = alone(&path);
    let log = from.open_log("room").unwrap();
    log.append(vec![b"a".to_vec(), b"b".to_vec()], |_| ());
    log.cover(b"a".to_vec(), 2, |_| ());
    from.flush(LONG).unwrap();
    let to = alone(&folder.path().join("other"));
    for name in ["notes", "room"] {
        let bytes = from.export(name).unwrap();
        assert_eq!(to.import(None, &bytes).as_deref(), Ok(name));
        let again = to.import(None, &bytes);
        assert!(matches!(again, Err(StoreError::Conflict { .. })));
    }
    assert_eq!(from.export("nothing").err(), Some(StoreError::NotFound));
    assert_eq!(read(open(&to, "notes").document()), "one two three ");
    let epochs = [&from, &to].map(|store| store.head("notes").unwrap().unwrap().meta.epoch);
    assert_eq!(epochs[0], epochs[1]);
    let imported = to.find_log("room").unwrap();
    let snapshot = imported.snapshot(Generation::Current).unwrap().unwrap();
    assert_eq!(
        (snapshot.content.as_slice(), snapshot.end),
        (b"a".as_slice(), 2)
    );
    assert_eq!(imported.read(2..9, 9).unwrap().records[0].content, b"b");
    assert!(to.verify().unwrap().problems.is_empty());
    // A live document leaves as it is now.
    let stored = open(&from, "notes");
    write(stored.document(), "four ");
    to.import(Some("copy"), &from.export("notes").unwrap())
        .unwrap();
    assert_eq!(read(open(&to, "copy").document()), "one two three four ");
    assert!(matches!(
        to.import(None, b"nonsense"),
        Err(StoreError::Corrupt { .. })
    ));
}

#[test]
fn a_suspended_store_lets_go_of_the_file_and_takes_it_up_again() {
    let (_folder, path) = folder();
    let store = alone(&path);
    let stored = open(&store, "notes");
    write(stored.document(), "app ");
    let options = SqliteOptions {
        busy_timeout_ms: 0,
        ..SqliteOptions::default()
    };
    assert_eq!(
        SqliteStore::open(&path, &options).err(),
        Some(StoreError::Busy)
    );
    store.suspend(LONG).unwrap();
    // Edits wait.
    write(stored.document(), "asleep ");
    assert_eq!(
        stored.flush(Duration::from_millis(20)),
        Err(StoreError::Timeout)
    );
    assert_eq!(store.contains("notes"), Err(StoreError::Busy));
    {
        let extension = alone(&path);
        let notes = open(&extension, "notes");
        assert_eq!(read(notes.document()), "app ");
        write(notes.document(), "extension ");
        // It is in use: waking up is refused, and can be tried again.
        assert_eq!(store.resume(), Err(StoreError::Busy));
    }
    store.resume().unwrap();
    stored.flush(LONG).unwrap();
    let text = read(stored.document());
    assert!(
        text.contains("extension ") && text.contains("asleep "),
        "{text}"
    );
    drop(stored);
    drop(store);
    assert_eq!(read(open(&alone(&path), "notes").document()), text);
}

#[test]
fn two_users_of_a_shared_file_meet() {
    let (_folder, path) = folder();
    let (app, extension) = (shared(&path), shared(&path));
    let (a, b) = (open(&app, "notes"), open(&extension, "notes"));
    let peer = |stored: &StoredDocument| stored.document().read(|d| d.peer_id()).unwrap();
    assert_ne!(peer(&a), peer(&b));
    for step in 0..20 {
        write(a.document(), &format!("a{step} "));
        a.flush(LONG).unwrap();
        write(b.document(), &format!("b{step} "));
        b.flush(LONG).unwrap();
        if step % 7 == 0 {
            a.compact();
        }
    }
    app.flush(LONG).unwrap();
    extension.refresh().unwrap();
    app.refresh().unwrap();
    let text = read(a.document());
    assert_eq!(text, read(b.document()));
    let count = |author: char| {
        text.split(' ')
            .filter(|word| word.starts_with(author))
            .count()
    };
    assert_eq!((count('a'), count('b')), (20, 20), "{text}");
    assert_eq!(a.epoch(), b.epoch());
    drop((a, b, app, extension));
    let store = alone(&path);
    assert_eq!(read(open(&store, "notes").document()), text);
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_document_that_another_process_put_back_is_not_merged() {
    let (_folder, path) = folder();
    let (app, extension) = (shared(&path), shared(&path));
    let stored = open(&app, "notes");
    write(stored.document(), "one ");
    stored.flush(LONG).unwrap();
    extension.restore("notes", RestoreTo::Empty).unwrap();
    let changed = StoreError::EpochChanged {
        document: "notes".into(),
    };
    assert_eq!(app.refresh(), Err(changed.clone()));
    write(stored.document(), "two ");
    assert_eq!(stored.flush(LONG), Err(changed));
    assert_eq!(read(open(&extension, "notes").document()), "");
    drop(stored);
    let _ = app.close(Duration::from_millis(20));
}
