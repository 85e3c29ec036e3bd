//! Documents in one SQLite file.
//!
//! Layer: `store`. Write-ahead log, and the device is told to keep what a commit wrote
//! (`synchronous=FULL`) before the commit is reported. One connection holds the file's lock as long
//! as the store is open: two programs that write with one peer id would corrupt documents.

use super::file_identity::FileIdentity;
use super::sqlite_connection::{beside, check_length, open_read_only, open_writable};
use super::sqlite_content::{
    ID_NEXT, apply, delete_content, put_setting, read_attachment, read_attachment_keys, read_log,
    read_page, read_setting, read_snapshot,
};
use super::sqlite_row::{DocumentRow, RowSource};
use super::sqlite_schema::Found;
use super::{
    Committed, DocumentInfo, Generation, Head, LogPage, Store, StoreError, StoredState, Write,
    check_names, check_write,
};
use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior, ffi};
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a reported commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Crash of the program and loss of power.
    #[default]
    Full,
    /// Crash of the program; after a loss of power the last commits may be missing.
    Normal,
    /// Crash of the program; a loss of power may damage the file.
    Off,
}

/// How to open a file.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// What a reported commit survives.
    pub durability: Durability,
    /// Nothing is written; the file must exist.
    pub read_only: bool,
    /// How long to wait for another program's lock, milliseconds.
    pub busy_timeout_ms: u32,
    /// Largest size of the file; 0: no limit. Then commits answer [`StoreError::Full`].
    pub file_bytes_max: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            durability: Durability::Full,
            read_only: false,
            busy_timeout_ms: 2_000,
            file_bytes_max: 0,
        }
    }
}

/// Documents in a file.
pub struct SqliteStore {
    /// `None` once closed.
    inner: Mutex<Option<Inner>>,
    read_only: bool,
    path: PathBuf,
}

struct Inner {
    connection: Connection,
    found: Found,
    files: FileIdentity,
}

impl Inner {
    fn row(&self, document: &str) -> Result<Option<DocumentRow>, StoreError> {
        DocumentRow::find(&self.connection, self.found.rows(), document)
    }
}

impl SqliteStore {
    /// Opens a file; an empty or missing one becomes a store (its folder must exist).
    ///
    /// Reads the row of every document to check it: about a millisecond per thousand documents.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: another program has it open. [`StoreError::ReadOnly`]: it can be read
    /// only, but `read_only` was not asked for. Otherwise what is wrong with the file.
    pub fn open(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        // Names with a meaning of their own for SQLite: a database that vanishes.
        if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
            return Err(StoreError::Io {
                code: ffi::SQLITE_CANTOPEN,
                message: "not the path of a file".into(),
            });
        }
        check_length(path)?;
        let (connection, found) = match options.read_only {
            true => open_read_only(path, options)?,
            false => (open_writable(path, options)?, Found::Current),
        };
        let mut id_max = 0;
        DocumentRow::for_each(&connection, found.rows(), |row| {
            id_max = id_max.max(row.id);
            Ok(())
        })?;
        if found.has_settings() && id_max >= read_id_next(&connection)? {
            return Err(StoreError::corrupt_file("a document id is too large"));
        }
        let mut files = FileIdentity::default();
        files.remember(path);
        Ok(SqliteStore {
            inner: Mutex::new(Some(Inner {
                connection,
                found,
                files,
            })),
            read_only: options.read_only,
            path: path.to_owned(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with<R>(
        &self,
        body: impl FnOnce(&mut Inner) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        body(self.inner.lock().as_mut().ok_or(StoreError::Closed)?)
    }
}

impl Store for SqliteStore {
    fn head(&self, document: &str) -> Result<Option<Head>, StoreError> {
        self.with(|inner| Ok(inner.row(document)?.map(|row| row.head())))
    }

    fn load(&self, document: &str) -> Result<Option<StoredState>, StoreError> {
        self.with(|inner| {
            let Some(row) = inner.row(document)? else {
                return Ok(None);
            };
            Ok(Some(StoredState {
                meta: row.meta,
                snapshot: read_snapshot(&inner.connection, &row, Generation::Current)?,
                records: read_log(&inner.connection, &row)?,
                next: row.sequence_next as u64,
                revision: row.revision as u64,
            }))
        })
    }

    fn read_log(
        &self,
        document: &str,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<LogPage, StoreError> {
        self.with(|inner| {
            let row = inner.row(document)?.ok_or(StoreError::NotFound)?;
            let (oldest, end) = (row.oldest() as u64, row.sequence_next as u64);
            if range.start < oldest {
                return Err(StoreError::OutOfRange { nearest: oldest });
            }
            let (start, end) = (range.start, range.end.min(end));
            if start >= end {
                let records = Vec::new();
                return Ok(LogPage {
                    records,
                    next: start,
                });
            }
            read_page(&inner.connection, &row, start as i64..end as i64, bytes_max)
        })
    }

    fn snapshot(
        &self,
        document: &str,
        generation: Generation,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|inner| match inner.row(document)? {
            Some(row) => read_snapshot(&inner.connection, &row, generation),
            None => Ok(None),
        })
    }

    fn attachment(&self, document: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|inner| match inner.row(document)? {
            // A file of version 1 that is only read has no table for them.
            Some(row) if inner.found.has_attachments() => {
                read_attachment(&inner.connection, &row, key)
            }
            _ => Ok(None),
        })
    }

    fn attachment_keys(&self, document: &str, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.with(|inner| match inner.row(document)? {
            Some(row) if inner.found.has_attachments() => {
                read_attachment_keys(&inner.connection, &row, prefix)
            }
            _ => Ok(Vec::new()),
        })
    }

    fn commit(&self, batch: &[Write<'_>]) -> Result<Vec<Committed>, StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly);
        }
        check_names(batch)?;
        self.with(|inner| {
            inner.files.check()?;
            let transaction = inner
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let committed = write_batch(&transaction, batch)?;
            transaction.commit()?;
            // What was written to a file that went meanwhile is not stored. The write-ahead log
            // may have been made just now.
            inner.files.check()?;
            inner.files.remember_length(&beside(&self.path, "-wal"));
            Ok(committed)
        })
    }

    fn remove(&self, document: &str) -> Result<bool, StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly);
        }
        self.with(|inner| {
            let transaction = inner
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let Some(row) = DocumentRow::find(&transaction, RowSource::Current, document)? else {
                return Ok(false);
            };
            delete_content(&transaction, &row)?;
            transaction.execute("DELETE FROM attachment WHERE document_id = ?1", [row.id])?;
            transaction.execute("DELETE FROM document WHERE name = ?1", [document])?;
            transaction.commit()?;
            Ok(true)
        })
    }

    fn contains(&self, document: &str) -> Result<bool, StoreError> {
        self.with(|inner| Ok(inner.row(document)?.is_some()))
    }

    fn list(&self) -> Result<Vec<DocumentInfo>, StoreError> {
        self.with(|inner| {
            let mut list = Vec::new();
            DocumentRow::for_each(&inner.connection, inner.found.rows(), |row| {
                list.push(DocumentInfo {
                    kind: row.meta.kind,
                    bytes: (row.log_bytes + row.snapshot_bytes.max(0)) as u64,
                    changed_ms: row.changed_ms,
                    name: row.name,
                });
                Ok(())
            })?;
            Ok(list)
        })
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.with(|inner| {
            let count: i64 =
                inner
                    .connection
                    .query_row("SELECT count(*) FROM document", [], |row| row.get(0))?;
            Ok(count as u64)
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        if self.read_only {
            return Ok(());
        }
        self.with(|inner| {
            Ok(inner
                .connection
                .query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))?)
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        let Some(inner) = self.inner.lock().take() else {
            return Ok(());
        };
        // Moves the write-ahead log into the file and removes it; what fails here is still in it.
        inner.connection.close().map_err(|(_, error)| error.into())
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }
}

fn write_batch(connection: &Connection, batch: &[Write<'_>]) -> Result<Vec<Committed>, StoreError> {
    let mut rows: HashMap<&str, DocumentRow> = HashMap::new();
    let mut id_next = None;
    let mut committed = Vec::with_capacity(batch.len());
    for write in batch {
        let mut row = rows.remove(write.document);
        if row.is_none() {
            row = DocumentRow::find(connection, RowSource::Current, write.document)?;
        }
        check_write(write, row.as_ref().map(DocumentRow::head).as_ref())?;
        let mut row = match row {
            Some(row) => row,
            None => {
                let id = match id_next {
                    Some(id) => id,
                    None => read_id_next(connection)?,
                };
                id_next = Some(id + 1);
                DocumentRow::new(write.document, id, write.meta)
            }
        };
        apply(connection, &mut row, write)?;
        committed.push(Committed {
            next: row.sequence_next as u64,
            revision: row.revision as u64,
        });
        rows.insert(write.document, row);
    }
    for row in rows.values() {
        row.put(connection)?;
    }
    if let Some(id) = id_next {
        put_setting(connection, ID_NEXT, &id.to_le_bytes())?;
    }
    Ok(committed)
}

fn read_id_next(connection: &Connection) -> Result<i64, StoreError> {
    let stored = read_setting(connection, ID_NEXT)?;
    let id = stored.and_then(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?)));
    let is_sound = |id: &i64| (1..i64::MAX).contains(id);
    id.filter(is_sound)
        .ok_or_else(|| StoreError::corrupt_file("the number of the next document is missing"))
}
