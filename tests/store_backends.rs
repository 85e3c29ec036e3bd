//! Memory and SQLite against one set of rules, and what a damaged file does.

use syncline::clock::PeerId;
use syncline::store::{
    Attachment, Content, DocumentMeta, KIND_CRDT, MemoryStore, NAME_BYTES_MAX, Store, StoreError,
    Write,
};

fn meta(byte: u8) -> DocumentMeta {
    DocumentMeta {
        kind: KIND_CRDT,
        peer_id: PeerId::from_bytes([byte; 16]),
        closed_cleanly: true,
        epoch: u64::from(byte) << 56 | 7,
    }
}

fn append<'a>(document: &'a str, records: &'a [Vec<u8>]) -> Write<'a> {
    Write {
        document,
        meta: meta(1),
        content: Content::Append(records),
        attachments: &[],
        expected: None,
    }
}

fn contents(store: &dyn Store, document: &str) -> Vec<Vec<u8>> {
    let state = store.load(document).unwrap().expect("stored");
    state
        .records
        .into_iter()
        .map(|record| record.content)
        .collect()
}

fn attach(store: &dyn Store, document: &str, key: &str, content: Option<&[u8]>) {
    let attachment = Attachment {
        key: key.to_owned(),
        content: content.map(<[u8]>::to_vec),
    };
    let write = Write {
        document,
        meta: meta(1),
        content: Content::Keep,
        attachments: &[attachment],
        expected: None,
    };
    store.commit(&[write]).unwrap();
}

/// The rules of attachments.
fn check_attachments(store: &dyn Store) {
    let get = |document: &str, key: &str| store.attachment(document, key).unwrap();
    assert_eq!(get("x", "k"), None);
    attach(store, "x", "k", None);
    assert_eq!(get("x", "k"), None);
    attach(store, "x", "k", Some(b"one"));
    attach(store, "x", "", Some(b""));
    attach(store, "y", "k", Some(&[7; 100_000]));
    assert_eq!(get("x", "k").as_deref(), Some(b"one".as_slice()));
    assert_eq!(get("x", "").as_deref(), Some(b"".as_slice()));
    assert_eq!(get("y", "k"), Some(vec![7; 100_000]));
    assert_eq!(get("x", "K"), None);
    // Writing content, or replacing it, leaves them alone.
    store.commit(&[append("x", &[b"r".to_vec()])]).unwrap();
    let replace = Content::Replace {
        snapshot: None,
        records: &[],
    };
    let write = Write {
        content: replace,
        ..append("x", &[])
    };
    store.commit(&[write]).unwrap();
    assert_eq!(get("x", "k").as_deref(), Some(b"one".as_slice()));
    attach(store, "x", "k", Some(b"two"));
    assert_eq!(get("x", "k").as_deref(), Some(b"two".as_slice()));
    attach(store, "x", "k", None);
    assert_eq!(get("x", "k"), None);
    assert_eq!(get("x", "").as_deref(), Some(b"".as_slice()));
    // They go with their document, and a key that is too long spoils the whole batch.
    assert!(store.remove("x").unwrap());
    attach(store, "x", "other", Some(b"3"));
    assert_eq!(get("x", ""), None);
    let long = Attachment {
        key: "k".repeat(NAME_BYTES_MAX + 1),
        content: Some(Vec::new()),
    };
    let write = Write {
        attachments: &[long],
        ..append("z", &[])
    };
    assert_eq!(
        store.commit(&[append("w", &[]), write]),
        Err(StoreError::Limit("NAME_BYTES_MAX"))
    );
    assert!(!store.contains("w").unwrap());
    assert!(store.remove("x").unwrap() && store.remove("y").unwrap());
}

/// The rules every store keeps.
fn check_rules(store: &dyn Store) {
    check_attachments(store);
    assert_eq!(store.count().unwrap(), 0);
    assert_eq!(store.load("a").unwrap(), None);
    assert!(!store.contains("a").unwrap());
    assert!(!store.remove("a").unwrap());

    // Appending makes the document and numbers its records.
    let (one, two) = (
        vec![b"one".to_vec()],
        vec![b"two".to_vec(), Vec::new(), vec![0; 100_000]],
    );
    store
        .commit(&[append("a", &one), append("b", &two), append("a", &two)])
        .unwrap();
    let state = store.load("a").unwrap().unwrap();
    assert_eq!(state.meta, meta(1));
    assert_eq!(state.snapshot, None);
    let sequences: Vec<u64> = state.records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert_eq!(
        contents(store, "a"),
        [one.clone(), two.clone()].concat(),
        "appended twice in one transaction"
    );
    assert_eq!(contents(store, "b"), two);

    // The meta data of the last write counts, with or without content.
    let changed = DocumentMeta {
        closed_cleanly: false,
        ..meta(9)
    };
    store
        .commit(&[Write {
            document: "a",
            meta: changed,
            content: Content::Keep,
            attachments: &[],
            expected: None,
        }])
        .unwrap();
    assert_eq!(store.load("a").unwrap().unwrap().meta, changed);
    assert_eq!(contents(store, "a").len(), 4);

    // Replacing keeps counting.
    let replace = Content::Replace {
        snapshot: Some(b"state"),
        records: &one,
    };
    store
        .commit(&[Write {
            document: "a",
            meta: meta(1),
            content: replace,
            attachments: &[],
            expected: None,
        }])
        .unwrap();
    let state = store.load("a").unwrap().unwrap();
    assert_eq!(state.snapshot.as_deref(), Some(b"state".as_slice()));
    assert_eq!(state.records.len(), 1);
    assert_eq!(state.records[0].sequence, 5);
    store.commit(&[append("a", &two)]).unwrap();
    assert_eq!(store.load("a").unwrap().unwrap().records[3].sequence, 8);

    // Replacing the snapshot by none.
    let replace = Content::Replace {
        snapshot: None,
        records: &[],
    };
    let write = Write {
        document: "b",
        meta: meta(1),
        content: replace,
        attachments: &[],
        expected: None,
    };
    store.commit(&[write]).unwrap();
    let state = store.load("b").unwrap().unwrap();
    assert!(state.snapshot.is_none() && state.records.is_empty());

    // Names are any text; the list is in the order of their bytes.
    let odd = ["", "a\0b", "é", "z'\"%", "\u{10ffff}"];
    for name in odd {
        store.commit(&[append(name, &one)]).unwrap();
        assert_eq!(contents(store, name), one);
    }
    let names: Vec<String> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(
        names,
        ["", "a", "a\0b", "b", "z'\"%", "é", "\u{10ffff}"],
        "sorted by bytes"
    );
    assert_eq!(store.count().unwrap(), 7);
    let info = &store.list().unwrap()[1];
    assert_eq!((info.kind, info.bytes), (KIND_CRDT, 5 + 3 + 3 + 100_000));
    assert!(info.changed_ms > 1_600_000_000_000);
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let refused = store.commit(&[append("a", &one), append(&long, &one)]);
    assert_eq!(refused, Err(StoreError::Limit("NAME_BYTES_MAX")));
    assert_eq!(contents(store, "a").len(), 4, "nothing of a refused batch");

    // Removing removes; the name may come back.
    assert!(store.remove("a").unwrap());
    assert_eq!(store.load("a").unwrap(), None);
    store.commit(&[append("a", &one)]).unwrap();
    assert_eq!(contents(store, "a"), one);
    store.flush().unwrap();
}

fn check_closed(store: &dyn Store) {
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(store.load("a"), Err(StoreError::Closed));
    assert_eq!(store.commit(&[]), Err(StoreError::Closed));
    assert_eq!(store.count(), Err(StoreError::Closed));
}

#[test]
fn the_memory_store_keeps_the_rules() {
    let store = MemoryStore::new();
    check_rules(&store);
    check_closed(&store);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use std::path::{Path, PathBuf};
    use syncline::store::{Durability, SqliteOptions, SqliteStore};

    fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(path, &SqliteOptions::default())
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("documents.syncline");
        (folder, path)
    }

    /// Documents of several shapes, with the expected states.
    fn filled(path: &Path) -> Vec<(String, syncline::store::StoredState)> {
        let store = open(path).unwrap();
        for number in 0..20u8 {
            let name = format!("document {number}");
            for step in 0..=number {
                let record = vec![vec![step; usize::from(number) * 37]];
                store.commit(&[append(&name, &record)]).unwrap();
            }
            if number % 3 == 0 {
                let (snapshot, records) = ([number; 5000], [vec![number; 20], vec![number; 3]]);
                let content = Content::Replace {
                    snapshot: Some(&snapshot),
                    records: &records,
                };
                let write = Write {
                    document: &name,
                    meta: meta(number),
                    content,
                    attachments: &[],
                    expected: None,
                };
                store.commit(&[write]).unwrap();
            }
        }
        let states = store.list().unwrap().into_iter().map(|info| {
            let state = store.load(&info.name).unwrap().unwrap();
            (info.name, state)
        });
        let states: Vec<_> = states.collect();
        assert_eq!(states.len(), 20);
        store.close().unwrap();
        states
    }

    #[test]
    fn the_sqlite_store_keeps_the_rules_and_its_content() {
        let (_folder, path) = folder();
        for durability in [Durability::Full, Durability::Normal, Durability::Off] {
            let options = SqliteOptions {
                durability,
                ..SqliteOptions::default()
            };
            let store = SqliteStore::open(&path, &options).unwrap();
            check_rules(&store);
            let before: Vec<_> = store
                .list()
                .unwrap()
                .iter()
                .map(|info| store.load(&info.name))
                .collect();
            check_closed(&store);
            let store = SqliteStore::open(&path, &options).unwrap();
            let list = store.list().unwrap();
            let after: Vec<_> = list.iter().map(|info| store.load(&info.name)).collect();
            assert_eq!(before, after);
            for info in list {
                assert!(store.remove(&info.name).unwrap());
            }
            store.close().unwrap();
        }
    }

    #[test]
    fn an_empty_file_becomes_a_store() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let store = open(file.path()).unwrap();
        store.commit(&[append("a", &[vec![1]])]).unwrap();
        drop(store);
        assert_eq!(
            contents(&open(file.path()).unwrap(), "a"),
            [vec![1]],
            "also after a drop without close"
        );
    }

    #[test]
    fn paths_that_are_no_files_are_refused() {
        let (folder, _) = folder();
        let missing = folder.path().join("no such folder").join("file");
        for path in [
            &missing,
            folder.path(),
            Path::new(""),
            Path::new(":memory:"),
        ] {
            let refused = open(path).err();
            assert!(
                matches!(refused, Some(StoreError::Io { code, .. }) if code & 0xff == 14),
                "{path:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_second_user_is_told_that_the_file_is_busy() {
        let (_folder, path) = folder();
        let store = open(&path).unwrap();
        let options = SqliteOptions {
            busy_timeout_ms: 0,
            ..SqliteOptions::default()
        };
        assert_eq!(
            SqliteStore::open(&path, &options).err(),
            Some(StoreError::Busy)
        );
        let reader = SqliteOptions {
            read_only: true,
            ..options.clone()
        };
        assert_eq!(
            SqliteStore::open(&path, &reader).err(),
            Some(StoreError::Busy)
        );
        store.commit(&[append("a", &[vec![1]])]).unwrap();
        store.close().unwrap();
        assert!(SqliteStore::open(&path, &options).is_ok());
    }

    #[test]
    fn a_read_only_store_reads_and_does_not_write() {
        let (_folder, path) = folder();
        let read_only = SqliteOptions {
            read_only: true,
            ..SqliteOptions::default()
        };
        let missing = SqliteStore::open(&path, &read_only).err();
        assert!(
            matches!(missing, Some(StoreError::Io { .. })),
            "{missing:?}"
        );
        std::fs::write(&path, b"").unwrap();
        let empty = SqliteStore::open(&path, &read_only).err();
        assert!(
            matches!(empty, Some(StoreError::Corrupt { .. })),
            "{empty:?}"
        );
        let states = filled(&path);
        let before = std::fs::read(&path).unwrap();
        let store = SqliteStore::open(&path, &read_only).unwrap();
        assert!(store.is_read_only());
        assert_eq!(store.commit(&[append("a", &[])]), Err(StoreError::ReadOnly));
        assert_eq!(store.remove(&states[0].0), Err(StoreError::ReadOnly));
        for (name, state) in &states {
            assert_eq!(store.load(name).unwrap().as_ref(), Some(state));
        }
        store.flush().unwrap();
        store.close().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    /// The permissions of the file, not the option. A privileged user may write anyway: then only
    /// reading is checked.
    #[cfg(unix)]
    #[test]
    fn a_write_protected_file_has_its_own_error() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, path) = folder();
        let states = filled(&path);
        let protect = |mode_file, mode_folder| {
            let mode = std::fs::Permissions::from_mode;
            std::fs::set_permissions(&path, mode(mode_file)).unwrap();
            std::fs::set_permissions(folder.path(), mode(mode_folder)).unwrap();
        };
        protect(0o400, 0o500);
        if std::fs::OpenOptions::new().write(true).open(&path).is_err() {
            assert_eq!(open(&path).err(), Some(StoreError::ReadOnly));
        } else {
            println!("skipped: this user may write to write-protected files");
        }
        let read_only = SqliteOptions {
            read_only: true,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(&path, &read_only).unwrap();
        assert_eq!(
            store.load(&states[3].0).unwrap().as_ref(),
            Some(&states[3].1)
        );
        drop(store);
        protect(0o600, 0o700);
    }

    #[test]
    fn a_full_file_refuses_and_keeps_what_it_has() {
        let (_folder, path) = folder();
        let states = filled(&path);
        let length = std::fs::metadata(&path).unwrap().len();
        let options = SqliteOptions {
            file_bytes_max: length + 8 * 4096,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(&path, &options).unwrap();
        let small = [vec![7; 1000]];
        let large = [vec![8; 200_000]];
        store.commit(&[append("small", &small)]).unwrap();
        let batch = [append("small", &small), append("large", &large)];
        assert_eq!(store.commit(&batch), Err(StoreError::Full));
        assert_eq!(contents(&store, "small"), small);
        assert_eq!(store.load("large").unwrap(), None);
        for (name, state) in &states {
            assert_eq!(store.load(name).unwrap().as_ref(), Some(state));
        }
        // Space that is given back can be used.
        for (name, _) in &states {
            store.remove(name).unwrap();
        }
        store
            .commit(&[append("medium", &[vec![9; 30_000]])])
            .unwrap();
        store.close().unwrap();
        assert_eq!(contents(&open(&path).unwrap(), "medium")[0].len(), 30_000);
    }

    #[test]
    fn a_damaged_attachment_is_refused_and_its_document_is_not() {
        let (_folder, path) = folder();
        filled(&path);
        let store = open(&path).unwrap();
        let name = store.list().unwrap()[0].name.clone();
        attach(&store, &name, "a", Some(b"one"));
        attach(&store, &name, "b", Some(b"two"));
        let state = store.load(&name).unwrap();
        store.close().unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        // Each in the place of the other.
        connection
            .execute_batch(
                "UPDATE attachment SET key = 'c' WHERE key = 'a';
                 UPDATE attachment SET key = 'a' WHERE key = 'b'",
            )
            .unwrap();
        drop(connection);
        let store = open(&path).unwrap();
        for key in ["a", "c"] {
            let refused = store.attachment(&name, key);
            assert!(matches!(
                refused,
                Err(StoreError::Corrupt { document: Some(found), .. }) if found == name
            ));
        }
        assert_eq!(store.attachment(&name, "b").unwrap(), None);
        assert_eq!(store.load(&name).unwrap(), state);
    }

    #[test]
    fn other_files_and_newer_versions_have_their_own_errors() {
        let (folder, path) = folder();
        let foreign = folder.path().join("foreign");
        std::fs::write(
            &foreign,
            [b"not a database, but long enough to be one".as_slice(); 100].concat(),
        )
        .unwrap();
        assert!(matches!(
            open(&foreign).err(),
            Some(StoreError::Corrupt { document: None, .. })
        ));

        filled(&path);
        let sound = std::fs::read(&path).unwrap();
        let with = |offset: usize, bytes: &[u8]| {
            let mut changed = sound.clone();
            changed[offset..offset + bytes.len()].copy_from_slice(bytes);
            std::fs::write(&path, changed).unwrap();
            open(&path).err()
        };
        // Offsets of the database header: user_version, application_id.
        assert_eq!(
            with(60, &4u32.to_be_bytes()),
            Some(StoreError::UnsupportedVersion {
                found: 4,
                supported: 3
            })
        );
        assert!(matches!(
            with(60, &0u32.to_be_bytes()),
            Some(StoreError::Corrupt { .. })
        ));
        assert!(matches!(
            with(68, &7u32.to_be_bytes()),
            Some(StoreError::Corrupt { .. })
        ));
        assert_eq!(with(0, b""), None);
    }

    /// Every document is either as it was or refused; the others stay readable.
    fn check_damaged(
        path: &Path,
        states: &[(String, syncline::store::StoredState)],
        what: &str,
    ) -> bool {
        let store = match open(path) {
            Ok(store) => store,
            Err(StoreError::Busy | StoreError::Full | StoreError::Closed) => panic!("{what}"),
            Err(_) => return true,
        };
        let mut refused = false;
        for (name, state) in states {
            match store.load(name) {
                Ok(found) => assert!(found.as_ref() == Some(state), "{what}: {name}"),
                Err(StoreError::Corrupt { .. } | StoreError::UnsupportedVersion { .. }) => {
                    refused = true
                }
                Err(other) => panic!("{what}: {name}: {other:?}"),
            }
        }
        refused
    }

    #[test]
    fn flipped_bits_are_noticed_on_every_page() {
        let (folder, path) = folder();
        let states = filled(&path);
        let sound = std::fs::read(&path).unwrap();
        assert!(!check_damaged(&path, &states, "sound"));
        let damaged = folder.path().join("damaged");
        let mut random = Random(0x5eed_b175);
        println!("seed {:#x}", random.0);
        let (mut flips, mut noticed) = (0, 0);
        for page in 0..sound.len() / 4096 {
            // The first page holds the header, whose every byte means something.
            let samples = if page == 0 { 400 } else { 24 };
            for _ in 0..samples {
                let bit = match page {
                    0 => random.below(300 * 8),
                    _ => random.below(4096 * 8),
                };
                let mut bytes = sound.clone();
                bytes[page * 4096 + bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&damaged, &bytes).unwrap();
                let _ = std::fs::remove_file(folder.path().join("damaged-wal"));
                flips += 1;
                noticed += u32::from(check_damaged(
                    &damaged,
                    &states,
                    &format!("page {page} bit {bit}"),
                ));
            }
        }
        println!("{flips} flips, {noticed} noticed, the others in unused bytes");
        assert!(noticed > flips / 4, "{noticed} of {flips}");
    }

    #[test]
    fn truncated_files_are_noticed() {
        let (folder, path) = folder();
        let states = filled(&path);
        let sound = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged");
        // An empty file is a new store; anything else is a file that lost its end.
        for length in (1..sound.len()).step_by(509) {
            std::fs::write(&damaged, &sound[..length]).unwrap();
            assert!(
                check_damaged(&damaged, &states, &format!("length {length}")),
                "length {length} was not noticed"
            );
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }
    }
}
