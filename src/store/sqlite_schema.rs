//! The tables of the SQLite store, how a file is recognised, and how an older one is brought up.
//!
//! Layer: `store`. Versions only go forwards, each step in the transaction that raises the number;
//! files of newer programs are refused.

use super::sqlite_content::{ID_NEXT, put_setting};
use super::sqlite_row::{DocumentRow, RowSource};
use super::{StoreError, new_epoch};
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Says in the header of the file whose it is ("SynL").
pub(super) const APPLICATION_ID: i32 = 0x5379_6e4c;

/// Kept as `user_version`. Raised with every change of the tables.
pub(super) const SCHEMA_VERSION: i32 = 3;

/// Name and text of each table, in the order of their names. `WITHOUT ROWID`: one tree per table,
/// so that an append touches few pages and no index can disagree with its table.
const TABLES: [(&str, &str); 5] = [
    ATTACHMENT,
    (
        "document",
        "CREATE TABLE document(name TEXT NOT NULL PRIMARY KEY, id INTEGER NOT NULL, kind INTEGER NOT NULL, \
         peer BLOB NOT NULL, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, \
         closed_cleanly INTEGER NOT NULL, generation INTEGER NOT NULL, sequence_first INTEGER NOT NULL, \
         sequence_next INTEGER NOT NULL, log_bytes INTEGER NOT NULL, snapshot_bytes INTEGER NOT NULL, \
         epoch INTEGER NOT NULL, revision INTEGER NOT NULL, previous_first INTEGER NOT NULL, \
         previous_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID",
    ),
    LOG,
    SETTING,
    SNAPSHOT,
];

const ATTACHMENT: (&str, &str) = (
    "attachment",
    "CREATE TABLE attachment(document_id INTEGER NOT NULL, key TEXT NOT NULL, record BLOB NOT NULL, \
     PRIMARY KEY(document_id, key)) WITHOUT ROWID",
);

const LOG: (&str, &str) = (
    "log",
    "CREATE TABLE log(document_id INTEGER NOT NULL, sequence INTEGER NOT NULL, record BLOB NOT NULL, \
     PRIMARY KEY(document_id, sequence)) WITHOUT ROWID",
);

const SETTING: (&str, &str) = (
    "setting",
    "CREATE TABLE setting(key TEXT NOT NULL PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID",
);

const SNAPSHOT: (&str, &str) = (
    "snapshot",
    "CREATE TABLE snapshot(document_id INTEGER NOT NULL, generation INTEGER NOT NULL, record BLOB NOT NULL, \
     PRIMARY KEY(document_id, generation)) WITHOUT ROWID",
);

/// Versions 1 and 2: without epochs, previous generations and settings. Version 1 is without
/// attachments, too.
const TABLES_2: [(&str, &str); 4] = [ATTACHMENT, DOCUMENT_2, LOG, SNAPSHOT];

const DOCUMENT_2: (&str, &str) = (
    "document",
    "CREATE TABLE document(name TEXT NOT NULL PRIMARY KEY, id INTEGER NOT NULL, kind INTEGER NOT NULL, \
     peer BLOB NOT NULL, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, \
     closed_cleanly INTEGER NOT NULL, generation INTEGER NOT NULL, sequence_first INTEGER NOT NULL, \
     sequence_next INTEGER NOT NULL, log_bytes INTEGER NOT NULL, snapshot_bytes INTEGER NOT NULL, \
     checksum INTEGER NOT NULL) WITHOUT ROWID",
);

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Empty,
    Version1,
    Version2,
    Current,
}

impl Found {
    pub fn rows(self) -> RowSource {
        match self {
            Found::Version1 | Found::Version2 => RowSource::Version2,
            Found::Empty | Found::Current => RowSource::Current,
        }
    }

    pub fn has_attachments(self) -> bool {
        self != Found::Version1
    }

    pub fn has_settings(self) -> bool {
        self == Found::Current
    }
}

/// Recognises the file without changing it. Refuses those of others, of newer programs, and
/// damaged ones.
pub(super) fn recognise(connection: &Connection) -> Result<Found, StoreError> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(Found::Empty);
    }
    if application != APPLICATION_ID {
        return Err(StoreError::corrupt_file(
            "the file is not a store of this library",
        ));
    }
    if version > SCHEMA_VERSION {
        return Err(StoreError::UnsupportedVersion {
            found: version as u64,
            supported: SCHEMA_VERSION as u64,
        });
    }
    let (found, tables): (_, &[_]) = match version {
        SCHEMA_VERSION => (Found::Current, &TABLES),
        2 => (Found::Version2, &TABLES_2),
        1 => (Found::Version1, &TABLES_2[1..]),
        _ => return Err(StoreError::corrupt_file("unknown schema version")),
    };
    check_tables(connection, tables)?;
    Ok(found)
}

/// Makes the tables in an empty file, or brings those of an older one up; all or nothing.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have come first.
    match recognise(&transaction)? {
        Found::Current => return Ok(()),
        Found::Empty => {
            for (_, sql) in TABLES {
                transaction.execute_batch(sql)?;
            }
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            put_setting(&transaction, ID_NEXT, &1u64.to_le_bytes())?;
        }
        found => upgrade(&transaction, found)?,
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
}

/// Every document gets an epoch; none has a previous generation.
fn upgrade(transaction: &Transaction<'_>, found: Found) -> Result<(), StoreError> {
    transaction.execute_batch("ALTER TABLE document RENAME TO document_2")?;
    let is_new = |(name, _): &&(&str, &str)| match *name {
        "attachment" => !found.has_attachments(),
        name => name == "document" || name == "setting",
    };
    for (_, sql) in TABLES.iter().filter(is_new) {
        transaction.execute_batch(sql)?;
    }
    let mut id_next = 1;
    DocumentRow::for_each(transaction, RowSource::Aside, |mut row| {
        id_next = id_next.max(row.id.saturating_add(1));
        row.meta.epoch = new_epoch();
        row.revision = 1;
        row.put(transaction)
    })?;
    put_setting(transaction, ID_NEXT, &(id_next as u64).to_le_bytes())?;
    Ok(transaction.execute_batch("DROP TABLE document_2")?)
}

/// Exactly our tables: no renamed column, and no trigger or view of a forged file.
fn check_tables(connection: &Connection, tables: &[(&str, &str)]) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found = found.collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    let expected = tables
        .iter()
        .map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned()));
    if !found.into_iter().eq(expected) {
        return Err(StoreError::corrupt_file(
            "the tables differ from those of this version",
        ));
    }
    Ok(())
}

/// Sorts the failures of SQLite.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            // Our statements are fixed, so what does not fit them is what the file gave back.
            return StoreError::corrupt_file(error.to_string());
        };
        match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                StoreError::corrupt_file(error.to_string())
            }
            ErrorCode::ReadOnly => StoreError::ReadOnly,
            ErrorCode::DiskFull => StoreError::Full,
            ErrorCode::SystemIoFailure
                if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE =>
            {
                StoreError::Full
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
            ErrorCode::TooBig => StoreError::Limit("CONTENT_BYTES_MAX"),
            _ => StoreError::Io {
                code: failure.extended_code,
                message: error.to_string(),
            },
        }
    }
}
