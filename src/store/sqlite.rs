//! Documents in one SQLite file.
//!
//! Layer: `store`. Write-ahead log, and the device is told to keep what a commit wrote
//! (`synchronous=FULL`) before the commit is reported. One connection holds the file's lock as long
//! as the store is open: two programs that write with one peer id would corrupt documents.

use super::file_identity::FileIdentity;
use super::record::{self, RecordKind};
use super::sqlite_schema::{DocumentRow, Found, create, recognise, upgrade};
use super::{
    Attachment, Content, DocumentInfo, Store, StoreError, StoredRecord, StoredState, Write,
    check_names, wall_clock_ms,
};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, ffi, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// Above the id of every document.
    id_next: i64,
    files: FileIdentity,
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
        let connection = match options.read_only {
            true => open_read_only(path, options)?,
            false => open_writable(path, options)?,
        };
        let mut id_max = 0;
        DocumentRow::for_each(&connection, |row| id_max = id_max.max(row.id))?;
        let id_next = id_max
            .checked_add(1)
            .ok_or_else(|| StoreError::corrupt_file("a document id is too large"))?;
        let mut files = FileIdentity::default();
        files.remember(path);
        Ok(SqliteStore {
            inner: Mutex::new(Some(Inner {
                connection,
                id_next,
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

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_EXRESCODE);

/// SQLite takes a file that lost all but a piece of its first page for an empty one.
fn check_length(path: &Path) -> Result<(), StoreError> {
    const PAGE_BYTES_MIN: u64 = 512;
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    // With a journal beside it the file is being made; SQLite repairs that.
    let journal = [beside(path, "-journal"), beside(path, "-wal")];
    if (1..PAGE_BYTES_MIN).contains(&length) && !journal.iter().any(|path| path.exists()) {
        return Err(StoreError::corrupt_file("the file is shorter than a page"));
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn open_writable(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(path, flags)?;
    if connection.is_readonly("main")? {
        return Err(StoreError::ReadOnly);
    }
    harden(&connection, options)?;
    // Before the first access: the lock is then kept, and no shared memory file is needed.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let found = recognise(&connection)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Io {
            code: 0,
            message: format!("the journal mode is {mode}, not wal"),
        });
    }
    let level = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
        Durability::Off => "OFF",
    };
    connection.pragma_update(None, "synchronous", level)?;
    // Apple systems need this for a sync that reaches the device; others ignore it.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    if options.file_bytes_max > 0 {
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages_max = (options.file_bytes_max as i64 / page_bytes.max(512)).max(1);
        connection.pragma_update_and_check(None, "max_page_count", pages_max, |_| Ok(()))?;
    }
    match found {
        Found::Empty => create(&connection)?,
        Found::Version1 => upgrade(&connection)?,
        Found::Current => {}
    }
    Ok(connection)
}

fn open_read_only(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let open = |path: &Path, flags| -> Result<Connection, StoreError> {
        let connection = Connection::open_with_flags(path, flags)?;
        harden(&connection, options)?;
        if recognise(&connection)? == Found::Empty {
            return Err(StoreError::corrupt_file("the file is empty"));
        }
        Ok(connection)
    };
    match open(path, flags) {
        // The folder is read-only, too, so that SQLite cannot make its helper files. Without a
        // write-ahead log it needs none.
        Err(StoreError::Io { code, .. })
            if code & 0xff == ffi::SQLITE_CANTOPEN && is_checkpointed(path) =>
        {
            open(&immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)
        }
        result => result,
    }
}

fn is_checkpointed(path: &Path) -> bool {
    let log = std::fs::metadata(beside(path, "-wal"));
    path.is_file() && log.map_or(true, |metadata| metadata.len() == 0)
}

fn immutable_uri(path: &Path) -> PathBuf {
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    PathBuf::from(format!("file:{escaped}?immutable=1"))
}

/// Settings of every connection: a file may come from anywhere.
fn harden(connection: &Connection, options: &SqliteOptions) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_millis(options.busy_timeout_ms.into()))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(())
}

impl Store for SqliteStore {
    fn load(&self, document: &str) -> Result<Option<StoredState>, StoreError> {
        self.with(|inner| {
            let Some(row) = DocumentRow::find(&inner.connection, document)? else {
                return Ok(None);
            };
            Ok(Some(StoredState {
                meta: row.meta,
                snapshot: read_snapshot(&inner.connection, &row)?,
                records: read_log(&inner.connection, &row)?,
            }))
        })
    }

    fn attachment(&self, document: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|inner| {
            let found = DocumentRow::find(&inner.connection, document)?;
            match found {
                // A file of version 1 that is only read has no table for them.
                Some(row) if recognise(&inner.connection)? == Found::Current => {
                    read_attachment(&inner.connection, &row, key)
                }
                _ => Ok(None),
            }
        })
    }

    fn commit(&self, batch: &[Write<'_>]) -> Result<(), StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly);
        }
        check_names(batch)?;
        self.with(|inner| {
            inner.files.check()?;
            let transaction = inner
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut rows: HashMap<&str, DocumentRow> = HashMap::new();
            for write in batch {
                let mut row = match rows.remove(write.document) {
                    Some(row) => row,
                    None => match DocumentRow::find(&transaction, write.document)? {
                        Some(row) => row,
                        None => {
                            inner.id_next += 1;
                            new_row(write, inner.id_next - 1)
                        }
                    },
                };
                apply(&transaction, &mut row, write)?;
                rows.insert(write.document, row);
            }
            for row in rows.values() {
                row.put(&transaction)?;
            }
            transaction.commit()?;
            // What was written to a file that went meanwhile is not stored. The write-ahead log
            // may have been made just now.
            inner.files.check()?;
            inner.files.remember_length(&beside(&self.path, "-wal"));
            Ok(())
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
            let Some(row) = DocumentRow::find(&transaction, document)? else {
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
        self.with(|inner| Ok(DocumentRow::find(&inner.connection, document)?.is_some()))
    }

    fn list(&self) -> Result<Vec<DocumentInfo>, StoreError> {
        self.with(|inner| {
            let mut list = Vec::new();
            DocumentRow::for_each(&inner.connection, |row| {
                list.push(DocumentInfo {
                    kind: row.meta.kind,
                    bytes: (row.log_bytes + row.snapshot_bytes.max(0)) as u64,
                    changed_ms: row.changed_ms,
                    name: row.name,
                });
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

fn new_row(write: &Write<'_>, id: i64) -> DocumentRow {
    DocumentRow {
        name: write.document.to_owned(),
        id,
        meta: write.meta,
        created_ms: wall_clock_ms(),
        changed_ms: 0,
        generation: 0,
        sequence_first: 1,
        sequence_next: 1,
        log_bytes: 0,
        snapshot_bytes: -1,
    }
}

fn apply(
    connection: &Connection,
    row: &mut DocumentRow,
    write: &Write<'_>,
) -> Result<(), StoreError> {
    row.meta = write.meta;
    row.changed_ms = wall_clock_ms();
    for attachment in write.attachments {
        attach(connection, row, attachment)?;
    }
    match write.content {
        Content::Keep => Ok(()),
        Content::Append(records) => append(connection, row, records),
        Content::Replace { snapshot, records } => {
            delete_content(connection, row)?;
            row.sequence_first = row.sequence_next;
            row.log_bytes = 0;
            row.generation += 1;
            row.snapshot_bytes = snapshot.map_or(-1, |snapshot| snapshot.len() as i64);
            if let Some(snapshot) = snapshot {
                let record = record::encode(
                    RecordKind::Snapshot,
                    &row.name,
                    row.generation as u64,
                    snapshot,
                )?;
                connection
                    .prepare_cached(
                        "INSERT INTO snapshot(document_id, generation, record) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![row.id, row.generation, record])?;
            }
            append(connection, row, records)
        }
    }
}

fn attach(
    connection: &Connection,
    row: &DocumentRow,
    Attachment { key, content }: &Attachment,
) -> Result<(), StoreError> {
    let Some(content) = content else {
        let sql = "DELETE FROM attachment WHERE document_id = ?1 AND key = ?2";
        connection
            .prepare_cached(sql)?
            .execute(params![row.id, key])?;
        return Ok(());
    };
    let record = record::encode(
        RecordKind::Attachment,
        &row.name,
        number_of_key(key),
        content,
    )?;
    let sql = "INSERT OR REPLACE INTO attachment(document_id, key, record) VALUES (?1, ?2, ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![row.id, key, record])?;
    Ok(())
}

fn number_of_key(key: &str) -> u64 {
    crc32fast::hash(key.as_bytes()).into()
}

fn read_attachment(
    connection: &Connection,
    row: &DocumentRow,
    key: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT record FROM attachment WHERE document_id = ?1 AND key = ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![row.id, key], |found| found.get(0))
        .optional()
        .map_err(|error| blame(error, row))?;
    let decode = |record| {
        record::decode(
            RecordKind::Attachment,
            &row.name,
            number_of_key(key),
            record,
        )
    };
    found.map(decode).transpose()
}

fn append(
    connection: &Connection,
    row: &mut DocumentRow,
    records: &[Vec<u8>],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO log(document_id, sequence, record) VALUES (?1, ?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    for content in records {
        let record = record::encode(
            RecordKind::Log,
            &row.name,
            row.sequence_next as u64,
            content,
        )?;
        statement.execute(params![row.id, row.sequence_next, record])?;
        row.sequence_next += 1;
        row.log_bytes += content.len() as i64;
    }
    Ok(())
}

fn delete_content(connection: &Connection, row: &DocumentRow) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM log WHERE document_id = ?1")?
        .execute([row.id])?;
    connection
        .prepare_cached("DELETE FROM snapshot WHERE document_id = ?1")?
        .execute([row.id])?;
    Ok(())
}

fn read_snapshot(
    connection: &Connection,
    row: &DocumentRow,
) -> Result<Option<Vec<u8>>, StoreError> {
    let corrupt = |detail: &str| StoreError::corrupt(&row.name, None, detail);
    let sql = "SELECT generation, record FROM snapshot WHERE document_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement
        .query([row.id])
        .map_err(|error| blame(error, row))?;
    let mut snapshot = None;
    while let Some(found) = rows.next().map_err(|error| blame(error, row))? {
        let (generation, record) = read_pair(found, row)?;
        if generation != row.generation || snapshot.is_some() {
            return Err(corrupt("a snapshot of another generation"));
        }
        snapshot = Some(record::decode(
            RecordKind::Snapshot,
            &row.name,
            generation as u64,
            record,
        )?);
    }
    if snapshot
        .as_ref()
        .map_or(-1, |snapshot| snapshot.len() as i64)
        != row.snapshot_bytes
    {
        return Err(corrupt("the snapshot is missing"));
    }
    Ok(snapshot)
}

/// The log without a hole: a record that a damaged page swallowed must not go unnoticed.
fn read_log(connection: &Connection, row: &DocumentRow) -> Result<Vec<StoredRecord>, StoreError> {
    let corrupt = |sequence: i64| {
        StoreError::corrupt(&row.name, Some(sequence as u64), "the record is missing")
    };
    let sql = "SELECT sequence, record FROM log WHERE document_id = ?1 ORDER BY sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement
        .query([row.id])
        .map_err(|error| blame(error, row))?;
    let mut records = Vec::new();
    let (mut expected, mut bytes) = (row.sequence_first, 0);
    while let Some(found) = rows.next().map_err(|error| blame(error, row))? {
        let (sequence, record) = read_pair(found, row)?;
        if sequence != expected {
            return Err(corrupt(expected));
        }
        let content = record::decode(RecordKind::Log, &row.name, sequence as u64, record)?;
        bytes += content.len() as i64;
        expected += 1;
        records.push(StoredRecord {
            sequence: sequence as u64,
            content,
        });
    }
    if expected != row.sequence_next || bytes != row.log_bytes {
        return Err(corrupt(expected));
    }
    Ok(records)
}

fn read_pair(found: &rusqlite::Row<'_>, row: &DocumentRow) -> Result<(i64, Vec<u8>), StoreError> {
    let read = || Ok((found.get(0)?, found.get(1)?));
    read().map_err(|error| blame(error, row))
}

/// Names the document whose pages are damaged.
fn blame(error: rusqlite::Error, row: &DocumentRow) -> StoreError {
    match error.into() {
        StoreError::Corrupt {
            sequence, detail, ..
        } => StoreError::corrupt(&row.name, sequence, detail),
        other => other,
    }
}
