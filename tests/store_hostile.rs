//! A store whose file is deleted, replaced, cut or filled up behind its back: nothing that is not
//! there afterwards was reported as stored, and nothing panics.
#![cfg(all(unix, feature = "sqlite"))]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use syncline::document::{HandlerKind, HandlerSpec, SharedDocument};
use syncline::store::{
    DocumentStore, DocumentStoreOptions, OpenOptions, SqliteOptions, SqliteStore, StoreError,
    StoredDocument,
};

const LONG: Duration = Duration::from_secs(30);

fn store(path: &Path) -> Result<DocumentStore, StoreError> {
    let backend = SqliteStore::open(path, &SqliteOptions::default())?;
    Ok(DocumentStore::new(
        Arc::new(backend),
        DocumentStoreOptions::default(),
    ))
}

fn open(store: &DocumentStore) -> Result<StoredDocument, StoreError> {
    store.open("notes", &OpenOptions::default())
}

fn insert(document: &SharedDocument, text: &str) {
    let inserted = document.with(|document| {
        let handler = document
            .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
            .unwrap();
        document.text_insert(handler, 0, text)
    });
    inserted.unwrap().unwrap();
}

fn length(document: &SharedDocument) -> u64 {
    let length = document.with(|document| {
        let handler = document
            .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
            .unwrap();
        document.text_len_utf16(handler)
    });
    length.unwrap()
}

/// A store with one document, and what happens to its file.
fn harmed(harm: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf, DocumentStore, StoredDocument) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents");
    let store = store(&path).unwrap();
    let stored = open(&store).unwrap();
    insert(stored.document(), "before");
    stored.flush(LONG).unwrap();
    harm(&path);
    (folder, path, store, stored)
}

#[test]
fn a_deleted_file_takes_nothing_more() {
    for name in ["documents", "documents-wal"] {
        let (_folder, _, _store, stored) =
            harmed(|path| std::fs::remove_file(path.with_file_name(name)).unwrap());
        insert(stored.document(), "after");
        let result = stored.flush(LONG);
        assert!(
            matches!(result, Err(StoreError::Io { .. })),
            "{name}: {result:?}"
        );
        assert_eq!(stored.unstored_changes(), 1);
        // The document itself goes on.
        assert_eq!(length(stored.document()), 11);
    }
}

#[test]
fn a_replaced_file_takes_nothing_and_one_that_comes_back_takes_all() {
    let (_folder, path, store_at_first, stored) = harmed(|path| {
        std::fs::rename(path, path.with_extension("aside")).unwrap();
        std::fs::write(path, "something else").unwrap();
    });
    insert(stored.document(), "after");
    assert!(matches!(stored.flush(LONG), Err(StoreError::Io { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    std::fs::rename(path.with_extension("aside"), &path).unwrap();
    let (sender, receiver) = crossbeam_channel::bounded(1);
    stored.when_stored(true, move |result| sender.send(result).unwrap());
    assert_eq!(receiver.recv_timeout(LONG), Ok(Ok(())));
    drop((stored, store_at_first));
    assert_eq!(length(open(&store(&path).unwrap()).unwrap().document()), 11);
}

/// Whatever SQLite makes of it: what was reported as stored is there.
#[test]
fn a_file_that_is_cut_in_use_is_noticed() {
    for keep in [0, 100, 4096, 10_000] {
        for name in ["documents", "documents-wal"] {
            let (_folder, path, store_at_first, stored) = harmed(|path| {
                let file = std::fs::OpenOptions::new()
                    .write(true)
                    .open(path.with_file_name(name))
                    .unwrap();
                file.set_len(keep).unwrap();
            });
            insert(stored.document(), "after");
            let reported = stored.flush(LONG).is_ok();
            drop((stored, store_at_first));
            let found =
                store(&path).and_then(|store| open(&store).map(|stored| length(stored.document())));
            println!("{name} cut to {keep}: reported {reported}, found {found:?}");
            assert!(
                !reported || found == Ok(11),
                "{name} cut to {keep}: {found:?} found"
            );
        }
    }
}

/// A file system of its own, which takes a privileged user.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(SmallDisk(folder)),
            _ => {
                println!("skipped: this user may not mount a small file system");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_said_and_space_is_used_when_it_comes() {
    let Some(disk) = SmallDisk::mount(6 << 20) else {
        return;
    };
    let path = disk.0.path().join("documents");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![7; 5 << 20]).unwrap();
    let at_first = store(&path).unwrap();
    let stored = open(&at_first).unwrap();
    let mut reported = 0;
    let full = (0..100).find_map(|_| {
        insert(stored.document(), &"x".repeat(20_000));
        let result = stored.flush(LONG);
        reported = if result.is_ok() {
            length(stored.document())
        } else {
            reported
        };
        result.err()
    });
    assert_eq!(full, Some(StoreError::Full));
    assert!(reported > 0);
    std::fs::remove_file(&ballast).unwrap();
    let (sender, receiver) = crossbeam_channel::bounded(1);
    stored.when_stored(true, move |result| sender.send(result).unwrap());
    assert_eq!(receiver.recv_timeout(LONG), Ok(Ok(())));
    let reported = length(stored.document());
    drop((stored, at_first));
    assert_eq!(
        length(open(&store(&path).unwrap()).unwrap().document()),
        reported
    );
}
