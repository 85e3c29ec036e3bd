//! Copies of a whole file, made while it is in use.
//!
//! Layer: `store`. A copy gets its name only when it is whole: a crash leaves a file beside it that
//! says what it is.

use super::sqlite_connection::beside;
use super::{
    Content, DocumentMeta, DocumentStore, DocumentStoreOptions, Report, SqliteOptions, SqliteStore,
    Store, StoreError, Write, new_epoch,
};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Pages that are copied at a time.
const PAGES_PER_STEP: std::ffi::c_int = 4096;

impl SqliteStore {
    /// Copies everything that is committed into a new file, then reads and decodes all of the copy.
    /// Writes wait while it is copied, not while it is read.
    ///
    /// # Errors
    /// `Io` if `target` exists or cannot be written; [`StoreError::Full`]. Damage is in the report;
    /// the copy is there nevertheless.
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<Report, StoreError> {
        let target = target.as_ref();
        refuse_existing(target)?;
        let partial = beside(target, "-partial");
        remove_file(&partial)?;
        self.with(|inner| copy(&inner.connection, &partial))?;
        let report = verify_file(&partial)?;
        put_in_place(&partial, target)?;
        Ok(report)
    }

    /// Makes a store of a backup. All documents and logs get new epochs, and documents go on under
    /// new peer ids: what was written after the backup may exist elsewhere.
    ///
    /// # Errors
    /// `Io` if `target` exists; what is wrong with the backup; [`StoreError::Corrupt`] if a document
    /// of it is damaged: nothing is made then.
    pub fn restore(
        backup: impl AsRef<Path>,
        target: impl AsRef<Path>,
    ) -> Result<Report, StoreError> {
        let (backup, target) = (backup.as_ref(), target.as_ref());
        refuse_existing(target)?;
        let partial = beside(target, "-partial");
        remove_file(&partial)?;
        let source = SqliteStore::open(backup, &read_only())?;
        source.with(|inner| copy(&inner.connection, &partial))?;
        let store = SqliteStore::open(&partial, &SqliteOptions::default())?;
        for name in store.names()? {
            let head = store.head(&name)?.ok_or(StoreError::NotFound)?;
            let meta = DocumentMeta {
                epoch: new_epoch(),
                closed_cleanly: false,
                ..head.meta
            };
            store.commit(&[Write::new(&name, meta, Content::Keep)])?;
        }
        store.close()?;
        let report = verify_file(&partial)?;
        if let Some(problem) = report.problems.iter().find(|problem| !problem.is_recovered) {
            remove_file(&partial)?;
            return Err(StoreError::Corrupt {
                document: problem.document.clone(),
                sequence: None,
                detail: problem.detail.clone(),
            });
        }
        put_in_place(&partial, target)?;
        Ok(report)
    }
}

fn read_only() -> SqliteOptions {
    SqliteOptions {
        read_only: true,
        ..SqliteOptions::default()
    }
}

fn copy(source: &Connection, target: &Path) -> Result<(), StoreError> {
    let mut connection = Connection::open(target)?;
    {
        let backup = Backup::new(source, &mut connection)?;
        backup.run_to_completion(PAGES_PER_STEP, Duration::ZERO, None)?;
    }
    connection.close().map_err(|(_, error)| error.into())
}

fn verify_file(path: &Path) -> Result<Report, StoreError> {
    let store = DocumentStore::new(
        Arc::new(SqliteStore::open(path, &read_only())?),
        DocumentStoreOptions::default(),
    );
    let report = store.verify()?;
    store.close(Duration::ZERO)?;
    Ok(report)
}

/// Onto the device, then under its name.
fn put_in_place(partial: &Path, target: &Path) -> Result<(), StoreError> {
    std::fs::File::open(partial)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    std::fs::rename(partial, target).map_err(io)?;
    // The name is in the folder; systems on which folders cannot be opened keep names by themselves.
    if let Some(folder) = target
        .parent()
        .and_then(|folder| std::fs::File::open(folder).ok())
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn refuse_existing(path: &Path) -> Result<(), StoreError> {
    match path.exists() {
        true => Err(StoreError::Io {
            code: 0,
            message: format!("{} exists", path.display()),
        }),
        false => Ok(()),
    }
}

/// With what SQLite keeps beside it.
fn remove_file(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match std::fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    Ok(())
}

fn io(error: std::io::Error) -> StoreError {
    StoreError::Io {
        code: 0,
        message: error.to_string(),
    }
}
