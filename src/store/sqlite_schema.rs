//! The tables of the SQLite store, how a file is recognised, and the checked row of a document.
//!
//! Layer: `store`. A flipped bit in a row is as bad as one in a record (a lost document, another
//! peer id), so every document row carries a checksum and all rows are read when a file is opened.

use super::{DocumentMeta, StoreError};
use crate::clock::PeerId;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Says in the header of the file whose it is ("SynL").
pub(super) const APPLICATION_ID: i32 = 0x5379_6e4c;

/// Kept as `user_version`. Raised with every change of the tables.
pub(super) const SCHEMA_VERSION: i32 = 2;

/// The version without attachments; see [`upgrade`].
const SCHEMA_VERSION_1: i32 = 1;

const ATTACHMENT: (&str, &str) = (
    "attachment",
    "CREATE TABLE attachment(document_id INTEGER NOT NULL, key TEXT NOT NULL, record BLOB NOT NULL, \
     PRIMARY KEY(document_id, key)) WITHOUT ROWID",
);

/// Name and text of each table, in the order of their names. `WITHOUT ROWID`: one tree per table,
/// so that an append touches few pages and no index can disagree with its table.
const TABLES: [(&str, &str); 4] = [
    ATTACHMENT,
    (
        "document",
        "CREATE TABLE document(name TEXT NOT NULL PRIMARY KEY, id INTEGER NOT NULL, kind INTEGER NOT NULL, \
         peer BLOB NOT NULL, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, \
         closed_cleanly INTEGER NOT NULL, generation INTEGER NOT NULL, sequence_first INTEGER NOT NULL, \
         sequence_next INTEGER NOT NULL, log_bytes INTEGER NOT NULL, snapshot_bytes INTEGER NOT NULL, \
         checksum INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        "log",
        "CREATE TABLE log(document_id INTEGER NOT NULL, sequence INTEGER NOT NULL, record BLOB NOT NULL, \
         PRIMARY KEY(document_id, sequence)) WITHOUT ROWID",
    ),
    (
        "snapshot",
        "CREATE TABLE snapshot(document_id INTEGER NOT NULL, generation INTEGER NOT NULL, record BLOB NOT NULL, \
         PRIMARY KEY(document_id, generation)) WITHOUT ROWID",
    ),
];

const COLUMNS: &str = "name, id, kind, peer, created_ms, changed_ms, closed_cleanly, generation, sequence_first, \
                       sequence_next, log_bytes, snapshot_bytes, checksum";

/// One row of `document`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DocumentRow {
    pub name: String,
    /// Key of the other tables.
    pub id: i64,
    pub meta: DocumentMeta,
    pub created_ms: i64,
    pub changed_ms: i64,
    /// Number of the stored snapshot; 0 before the first replacement.
    pub generation: i64,
    /// The log holds exactly the sequences from here ...
    pub sequence_first: i64,
    /// ... up to, not including, this one.
    pub sequence_next: i64,
    /// Content of the log, without record headers.
    pub log_bytes: i64,
    /// Content of the snapshot; -1 if there is none.
    pub snapshot_bytes: i64,
}

impl DocumentRow {
    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&(self.name.len() as u32).to_le_bytes());
        hasher.update(self.name.as_bytes());
        hasher.update(&[self.meta.kind, u8::from(self.meta.closed_cleanly)]);
        hasher.update(self.meta.peer_id.bytes());
        let numbers = [
            self.id,
            self.created_ms,
            self.changed_ms,
            self.generation,
            self.sequence_first,
            self.sequence_next,
            self.log_bytes,
            self.snapshot_bytes,
        ];
        numbers
            .iter()
            .for_each(|number| hasher.update(&number.to_le_bytes()));
        hasher.finalize()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let document = DocumentRow {
            name: row.get(0)?,
            id: row.get(1)?,
            meta: DocumentMeta {
                kind: row.get(2)?,
                peer_id: PeerId::from_bytes(row.get(3)?),
                closed_cleanly: row.get::<_, u8>(6)? != 0,
            },
            created_ms: row.get(4)?,
            changed_ms: row.get(5)?,
            generation: row.get(7)?,
            sequence_first: row.get(8)?,
            sequence_next: row.get(9)?,
            log_bytes: row.get(10)?,
            snapshot_bytes: row.get(11)?,
        };
        Ok((document, row.get(12)?))
    }

    fn checked((document, checksum): (Self, u32)) -> Result<Self, StoreError> {
        if document.checksum() != checksum {
            return Err(StoreError::corrupt(
                &document.name,
                None,
                "the checksum of its row differs",
            ));
        }
        Ok(document)
    }

    /// The row of one document.
    pub fn find(connection: &Connection, name: &str) -> Result<Option<Self>, StoreError> {
        let mut statement = connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM document WHERE name = ?1"))?;
        let found = statement.query_row([name], Self::read).optional()?;
        found.map(Self::checked).transpose()
    }

    /// Calls `body` with every row, in the order of the names' bytes.
    pub fn for_each(connection: &Connection, mut body: impl FnMut(Self)) -> Result<(), StoreError> {
        let mut statement =
            connection.prepare(&format!("SELECT {COLUMNS} FROM document ORDER BY name"))?;
        let mut rows = statement.query([])?;
        let mut previous: Option<String> = None;
        while let Some(row) = rows.next()? {
            let document = Self::checked(Self::read(row)?)?;
            // A damaged inner page can put sound rows where a search does not find them.
            if previous.is_some_and(|previous| previous >= document.name) {
                return Err(StoreError::corrupt(
                    &document.name,
                    None,
                    "its row is out of order",
                ));
            }
            previous = Some(document.name.clone());
            body(document);
        }
        Ok(())
    }

    /// Writes the row, new or not.
    pub fn put(&self, connection: &Connection) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT OR REPLACE INTO document({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"
        );
        connection.prepare_cached(&sql)?.execute(params![
            self.name,
            self.id,
            self.meta.kind,
            self.meta.peer_id.bytes(),
            self.created_ms,
            self.changed_ms,
            u8::from(self.meta.closed_cleanly),
            self.generation,
            self.sequence_first,
            self.sequence_next,
            self.log_bytes,
            self.snapshot_bytes,
            self.checksum(),
        ])?;
        Ok(())
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Empty,
    /// A store without the table of attachments.
    Version1,
    Current,
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
    match version {
        SCHEMA_VERSION => {
            check_tables(connection, &TABLES)?;
            Ok(Found::Current)
        }
        SCHEMA_VERSION_1 => {
            check_tables(connection, &TABLES[1..])?;
            Ok(Found::Version1)
        }
        _ => Err(StoreError::corrupt_file("unknown schema version")),
    }
}

/// Makes the tables in an empty file.
pub(super) fn create(connection: &Connection) -> Result<(), StoreError> {
    let transaction = connection.unchecked_transaction()?;
    for (_, sql) in TABLES {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
}

/// Adds the table of attachments.
pub(super) fn upgrade(connection: &Connection) -> Result<(), StoreError> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(ATTACHMENT.1)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
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
