//! The checked row of a document.
//!
//! Layer: `store`. A flipped bit in a row is as bad as one in a record (a lost document, another
//! peer id), so every document row carries a checksum.

use super::{DocumentMeta, Head, PreviousHead, StoreError, wall_clock_ms};
use crate::clock::PeerId;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Columns in the order in which they are read and written.
const COLUMNS: &str = "name, id, kind, peer, created_ms, changed_ms, closed_cleanly, generation, sequence_first, \
                       sequence_next, log_bytes, snapshot_bytes, epoch, revision, previous_first, previous_bytes, \
                       checksum";

/// The same of a table of versions 1 and 2.
const COLUMNS_2: &str = "name, id, kind, peer, created_ms, changed_ms, closed_cleanly, generation, sequence_first, \
                         sequence_next, log_bytes, snapshot_bytes, 0, 0, -1, -1, checksum";

/// Where the rows are and what they look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowSource {
    Current,
    /// The table of versions 1 and 2 in its place.
    Version2,
    /// The same, put aside.
    Aside,
}

impl RowSource {
    fn select(self) -> String {
        match self {
            RowSource::Current => format!("SELECT {COLUMNS} FROM document"),
            RowSource::Version2 => format!("SELECT {COLUMNS_2} FROM document"),
            RowSource::Aside => format!("SELECT {COLUMNS_2} FROM document_2"),
        }
    }
}

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
    pub revision: i64,
    /// The log of the previous generation begins here and ends where that of the present one
    /// begins; -1 if there is no previous generation.
    pub previous_first: i64,
    /// Content of the previous generation's snapshot; -1 if there is none.
    pub previous_bytes: i64,
}

impl DocumentRow {
    /// A document without content.
    pub fn new(name: &str, id: i64, meta: DocumentMeta) -> Self {
        DocumentRow {
            name: name.to_owned(),
            id,
            meta,
            created_ms: wall_clock_ms(),
            changed_ms: 0,
            generation: 0,
            sequence_first: 1,
            sequence_next: 1,
            log_bytes: 0,
            snapshot_bytes: -1,
            revision: 0,
            previous_first: -1,
            previous_bytes: -1,
        }
    }

    pub fn head(&self) -> Head {
        let size = |bytes: i64| u64::try_from(bytes).ok();
        Head {
            meta: self.meta,
            revision: self.revision as u64,
            first: self.sequence_first as u64,
            next: self.sequence_next as u64,
            log_bytes: self.log_bytes as u64,
            snapshot_bytes: size(self.snapshot_bytes),
            previous: size(self.previous_first).map(|first| PreviousHead {
                first,
                snapshot_bytes: size(self.previous_bytes),
            }),
        }
    }

    /// The first record that is kept.
    pub fn oldest(&self) -> i64 {
        match self.previous_first {
            -1 => self.sequence_first,
            first => first,
        }
    }

    fn checksum(&self) -> u32 {
        let mut hasher = self.checksum_2();
        let numbers = [
            self.meta.epoch as i64,
            self.revision,
            self.previous_first,
            self.previous_bytes,
        ];
        numbers
            .iter()
            .for_each(|number| hasher.update(&number.to_le_bytes()));
        hasher.finalize()
    }

    /// What versions 1 and 2 covered.
    fn checksum_2(&self) -> crc32fast::Hasher {
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
        hasher
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let document = DocumentRow {
            name: row.get(0)?,
            id: row.get(1)?,
            meta: DocumentMeta {
                kind: row.get(2)?,
                peer_id: PeerId::from_bytes(row.get(3)?),
                closed_cleanly: row.get::<_, u8>(6)? != 0,
                epoch: row.get::<_, i64>(12)? as u64,
            },
            created_ms: row.get(4)?,
            changed_ms: row.get(5)?,
            generation: row.get(7)?,
            sequence_first: row.get(8)?,
            sequence_next: row.get(9)?,
            log_bytes: row.get(10)?,
            snapshot_bytes: row.get(11)?,
            revision: row.get(13)?,
            previous_first: row.get(14)?,
            previous_bytes: row.get(15)?,
        };
        Ok((document, row.get(16)?))
    }

    fn checked(source: RowSource, (document, checksum): (Self, u32)) -> Result<Self, StoreError> {
        let expected = match source {
            RowSource::Current => document.checksum(),
            RowSource::Version2 | RowSource::Aside => document.checksum_2().finalize(),
        };
        if checksum != expected {
            let detail = "the checksum of its row differs";
            return Err(StoreError::corrupt(&document.name, None, detail));
        }
        Ok(document)
    }

    /// The row of one document.
    pub fn find(
        connection: &Connection,
        source: RowSource,
        name: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = format!("{} WHERE name = ?1", source.select());
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_row([name], Self::read).optional()?;
        found.map(|found| Self::checked(source, found)).transpose()
    }

    /// Calls `body` with every row, in the order of the names' bytes.
    pub fn for_each(
        connection: &Connection,
        source: RowSource,
        mut body: impl FnMut(Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = connection.prepare(&format!("{} ORDER BY name", source.select()))?;
        let mut rows = statement.query([])?;
        let mut previous: Option<String> = None;
        while let Some(row) = rows.next()? {
            let document = Self::checked(source, Self::read(row)?)?;
            // A damaged inner page can put sound rows where a search does not find them.
            if previous.is_some_and(|previous| previous >= document.name) {
                let detail = "its row is out of order";
                return Err(StoreError::corrupt(&document.name, None, detail));
            }
            previous = Some(document.name.clone());
            body(document)?;
        }
        Ok(())
    }

    /// Writes the row, new or not.
    pub fn put(&self, connection: &Connection) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT OR REPLACE INTO document({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)"
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
            self.meta.epoch as i64,
            self.revision,
            self.previous_first,
            self.previous_bytes,
            self.checksum(),
        ])?;
        Ok(())
    }
}
