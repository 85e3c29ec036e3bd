//! How a file is opened: locks, durability, and settings against forged files.
//!
//! Layer: `store`.

use super::sqlite_schema::{Found, prepare, recognise};
use super::{Durability, SqliteOptions, StoreError};
use rusqlite::{Connection, OpenFlags, ffi};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_EXRESCODE);

/// SQLite takes a file that lost all but a piece of its first page for an empty one.
pub(super) fn check_length(path: &Path) -> Result<(), StoreError> {
    const PAGE_BYTES_MIN: u64 = 512;
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    // With a journal beside it the file is being made; SQLite repairs that.
    let journal = [beside(path, "-journal"), beside(path, "-wal")];
    if (1..PAGE_BYTES_MIN).contains(&length) && !journal.iter().any(|path| path.exists()) {
        return Err(StoreError::corrupt_file("the file is shorter than a page"));
    }
    Ok(())
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes what is missing, and brings an older file up.
pub(super) fn open_writable(
    path: &Path,
    options: &SqliteOptions,
) -> Result<Connection, StoreError> {
    let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags(path, flags)?;
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
    if found != Found::Current {
        prepare(&mut connection)?;
    }
    Ok(connection)
}

/// A file of an older version is read as it is.
pub(super) fn open_read_only(
    path: &Path,
    options: &SqliteOptions,
) -> Result<(Connection, Found), StoreError> {
    let flags = FLAGS | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let open = |path: &Path, flags| -> Result<(Connection, Found), StoreError> {
        let connection = Connection::open_with_flags(path, flags)?;
        harden(&connection, options)?;
        match recognise(&connection)? {
            Found::Empty => Err(StoreError::corrupt_file("the file is empty")),
            found => Ok((connection, found)),
        }
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
