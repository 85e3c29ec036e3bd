//! Files that earlier versions wrote: `stores/version1.gz` and `version2.gz` hold five documents
//! each (plain, with undo steps, with a snapshot that kept or pruned history, compacted).
#![cfg(feature = "sqlite")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use syncline::document::{HandlerKind, HandlerSpec};
use syncline::store::{
    DocumentStore, DocumentStoreOptions, OpenOptions, SqliteOptions, SqliteStore, Store, StoreError,
};

const FILES: [(u8, &[u8]); 2] = [
    (1, include_bytes!("stores/version1.gz")),
    (2, include_bytes!("stores/version2.gz")),
];

/// What is in the text "text" of each document.
const TEXTS: [&str; 5] = [
    "0;",
    "0;1;2;3;",
    "0;1;2;3;4;5;6;",
    "late;0;1;2;3;4;5;6;7;8;9;",
    "late;0;1;2;3;4;5;6;7;8;9;10;11;12;",
];

fn unpack(packed: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut bytes = Vec::new();
    let mut packed = flate2::read::GzDecoder::new(packed);
    packed.read_to_end(&mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn version(path: &Path) -> u32 {
    let bytes = std::fs::read(path).unwrap();
    u32::from_be_bytes(bytes[60..64].try_into().unwrap())
}

/// The texts and epochs of all documents.
fn check_texts(backend: SqliteStore) -> Vec<u64> {
    let store = DocumentStore::new(Arc::new(backend), DocumentStoreOptions::default());
    let mut epochs = Vec::new();
    for (number, expected) in TEXTS.iter().enumerate() {
        let name = format!("document {number}");
        let stored = store.open(&name, &OpenOptions::default()).unwrap();
        let spec = HandlerSpec::new(HandlerKind::FugueText);
        let text = stored.document().with(|document| {
            let text = document.handler("text", &spec).unwrap();
            document.text_string(text)
        });
        assert_eq!(text.unwrap(), *expected, "{name}");
        epochs.push(stored.epoch());
    }
    assert_eq!(store.count(), Ok(5));
    store.close(Duration::from_secs(10)).unwrap();
    epochs
}

#[test]
fn files_of_earlier_versions_are_read_and_brought_up() {
    for (number, packed) in FILES {
        let (_folder, path) = unpack(packed);
        assert_eq!(version(&path), u32::from(number));
        let before = std::fs::read(&path).unwrap();
        let read_only = SqliteOptions {
            read_only: true,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(&path, &read_only).unwrap();
        let undo = store.attachment("document 1", "undo").unwrap();
        assert_eq!(undo.is_some(), number == 2);
        assert_eq!(
            store.attachment_keys("document 1", "").unwrap().len(),
            usize::from(number - 1)
        );
        let head = store.head("document 3").unwrap().unwrap();
        assert_eq!((head.first, head.previous), (6, None));
        assert!(check_texts(store).iter().all(|epoch| *epoch == 0));
        assert_eq!(std::fs::read(&path).unwrap(), before, "read-only");

        let open = || SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
        let epochs = check_texts(open());
        let distinct: std::collections::HashSet<_> = epochs.iter().collect();
        assert!(distinct.len() == 5 && !distinct.contains(&0), "{epochs:?}");
        assert_eq!(version(&path), 3);
        assert_eq!(check_texts(open()), epochs);
        assert_eq!(open().attachment("document 1", "undo").unwrap(), undo);
    }
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    for (number, packed) in FILES {
        let (_folder, path) = unpack(packed);
        let pages = std::fs::metadata(&path).unwrap().len() / 4096;
        let mut refused = 0;
        for pages_max in pages..pages + 8 {
            let options = SqliteOptions {
                file_bytes_max: pages_max * 4096,
                ..SqliteOptions::default()
            };
            match SqliteStore::open(&path, &options) {
                Ok(store) => drop(check_texts(store)),
                Err(error) => {
                    assert_eq!(error, StoreError::Full);
                    assert_eq!(version(&path), u32::from(number));
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "there was always space");
        drop(check_texts(
            SqliteStore::open(&path, &SqliteOptions::default()).unwrap(),
        ));
    }
}
