//! Snapshots, logs, attachments and settings as rows of the tables.
//!
//! Layer: `store`. Two generations of a document are kept: [`Content::Replace`] makes the present
//! one the previous one, and drops the one before. Their logs share the table and the numbers.

use super::record::{self, HEADER_BYTES, RecordKind};
use super::sqlite_row::DocumentRow;
use super::{
    Attachment, Content, Generation, LogPage, StoreError, StoredRecord, Write, wall_clock_ms,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::ops::Range;

/// Setting: above the id of every document. Begins with what no key of an application begins with.
pub(super) const ID_NEXT: &str = "\u{1}id_next";

/// One write to one document. `row` is written afterwards.
pub(super) fn apply(
    connection: &Connection,
    row: &mut DocumentRow,
    write: &Write<'_>,
) -> Result<(), StoreError> {
    row.meta = write.meta;
    row.changed_ms = wall_clock_ms();
    row.revision += 1;
    for attachment in write.attachments {
        attach(connection, row, attachment)?;
    }
    match write.content {
        Content::Keep => Ok(()),
        Content::Append(records) => append(connection, row, records),
        Content::Replace { snapshot, records } => {
            next_generation(connection, row, snapshot, row.sequence_next)?;
            row.log_bytes = 0;
            append(connection, row, records)
        }
        Content::Cover { snapshot, end } => {
            next_generation(connection, row, Some(snapshot), end as i64)?;
            row.log_bytes = log_bytes(connection, row)?;
            Ok(())
        }
        Content::DropPrevious => drop_previous(connection, row),
        Content::Clear => {
            delete_content(connection, row)?;
            row.sequence_first = row.sequence_next;
            (row.log_bytes, row.snapshot_bytes) = (0, -1);
            (row.previous_first, row.previous_bytes) = (-1, -1);
            row.generation += 1;
            Ok(())
        }
    }
}

/// The present generation becomes the previous one; the log goes on at `first`.
fn next_generation(
    connection: &Connection,
    row: &mut DocumentRow,
    snapshot: Option<&[u8]>,
    first: i64,
) -> Result<(), StoreError> {
    drop_previous(connection, row)?;
    (row.previous_first, row.previous_bytes) = (row.sequence_first, row.snapshot_bytes);
    row.sequence_first = first;
    row.generation += 1;
    row.snapshot_bytes = snapshot.map_or(-1, |snapshot| snapshot.len() as i64);
    if let Some(snapshot) = snapshot {
        let number = row.generation as u64;
        let record = record::encode(RecordKind::Snapshot, &row.name, number, snapshot)?;
        let sql = "INSERT INTO snapshot(document_id, generation, record) VALUES (?1, ?2, ?3)";
        connection
            .prepare_cached(sql)?
            .execute(params![row.id, row.generation, record])?;
    }
    Ok(())
}

fn drop_previous(connection: &Connection, row: &mut DocumentRow) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM log WHERE document_id = ?1 AND sequence < ?2")?
        .execute([row.id, row.sequence_first])?;
    connection
        .prepare_cached("DELETE FROM snapshot WHERE document_id = ?1 AND generation < ?2")?
        .execute([row.id, row.generation])?;
    (row.previous_first, row.previous_bytes) = (-1, -1);
    Ok(())
}

fn log_bytes(connection: &Connection, row: &DocumentRow) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(sum(length(record)), 0) - ?3 * count(*) FROM log \
               WHERE document_id = ?1 AND sequence >= ?2";
    let header = HEADER_BYTES as i64;
    Ok(connection
        .prepare_cached(sql)?
        .query_row([row.id, row.sequence_first, header], |found| found.get(0))?)
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

pub(super) fn read_attachment(
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
    let kind = RecordKind::Attachment;
    let decode = |record| record::decode(kind, &row.name, number_of_key(key), record);
    found.map(decode).transpose()
}

pub(super) fn read_attachment_keys(
    connection: &Connection,
    row: &DocumentRow,
    prefix: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT key FROM attachment WHERE document_id = ?1 AND key >= ?2 ORDER BY key";
    let mut statement = connection.prepare_cached(sql)?;
    let keys = statement.query_map(params![row.id, prefix], |found| found.get::<_, String>(0));
    let mut list = Vec::new();
    for key in keys.map_err(|error| blame(error, row))? {
        let key = key.map_err(|error| blame(error, row))?;
        if !key.starts_with(prefix) {
            break;
        }
        list.push(key);
    }
    Ok(list)
}

/// What the program keeps beside the documents.
pub(super) fn read_setting(
    connection: &Connection,
    key: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT record FROM setting WHERE key = ?1";
    let found = connection
        .prepare_cached(sql)?
        .query_row([key], |found| found.get(0))
        .optional()?;
    let decode = |record| record::decode(RecordKind::Setting, key, 0, record);
    found.map(decode).transpose()
}

pub(super) fn put_setting(
    connection: &Connection,
    key: &str,
    content: &[u8],
) -> Result<(), StoreError> {
    let record = record::encode(RecordKind::Setting, key, 0, content)?;
    let sql = "INSERT OR REPLACE INTO setting(key, record) VALUES (?1, ?2)";
    connection
        .prepare_cached(sql)?
        .execute(params![key, record])?;
    Ok(())
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

/// Of both generations.
pub(super) fn delete_content(connection: &Connection, row: &DocumentRow) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM log WHERE document_id = ?1")?
        .execute([row.id])?;
    connection
        .prepare_cached("DELETE FROM snapshot WHERE document_id = ?1")?
        .execute([row.id])?;
    Ok(())
}

pub(super) fn read_snapshot(
    connection: &Connection,
    row: &DocumentRow,
    generation: Generation,
) -> Result<Option<Vec<u8>>, StoreError> {
    let (number, bytes) = match generation {
        Generation::Current => (row.generation, row.snapshot_bytes),
        Generation::Previous => (row.generation - 1, row.previous_bytes),
    };
    if bytes < 0 {
        return Ok(None);
    }
    let sql = "SELECT record FROM snapshot WHERE document_id = ?1 AND generation = ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row([row.id, number], |found| found.get(0))
        .optional()
        .map_err(|error| blame(error, row))?;
    let decode = |record| record::decode(RecordKind::Snapshot, &row.name, number as u64, record);
    let snapshot = found.map(decode).transpose()?;
    if !snapshot
        .as_ref()
        .is_some_and(|snapshot| snapshot.len() as i64 == bytes)
    {
        let detail = "the snapshot is missing";
        return Err(StoreError::corrupt(&row.name, None, detail));
    }
    Ok(snapshot)
}

/// The log without a hole: a record that a damaged page swallowed must not go unnoticed.
pub(super) fn read_log(
    connection: &Connection,
    row: &DocumentRow,
) -> Result<Vec<StoredRecord>, StoreError> {
    let page = read_page(
        connection,
        row,
        row.sequence_first..row.sequence_next,
        usize::MAX,
    )?;
    let bytes: usize = page.records.iter().map(|record| record.content.len()).sum();
    if bytes as i64 != row.log_bytes {
        let detail = "the log has another size";
        return Err(StoreError::corrupt(&row.name, None, detail));
    }
    Ok(page.records)
}

/// Some records, all of them there. `range` lies within what is kept.
pub(super) fn read_page(
    connection: &Connection,
    row: &DocumentRow,
    range: Range<i64>,
    bytes_max: usize,
) -> Result<LogPage, StoreError> {
    let corrupt = |sequence: i64| {
        StoreError::corrupt(&row.name, Some(sequence as u64), "the record is missing")
    };
    let sql = "SELECT sequence, record FROM log WHERE document_id = ?1 AND sequence >= ?2 \
               AND sequence < ?3 ORDER BY sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement
        .query([row.id, range.start, range.end])
        .map_err(|error| blame(error, row))?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    let mut expected = range.start;
    while let Some(found) = rows.next().map_err(|error| blame(error, row))? {
        let (sequence, record) = read_pair(found, row)?;
        if sequence != expected {
            return Err(corrupt(expected));
        }
        let content = record::decode(RecordKind::Log, &row.name, sequence as u64, record)?;
        bytes += content.len();
        if bytes > bytes_max && !records.is_empty() {
            break;
        }
        expected += 1;
        let sequence = sequence as u64;
        records.push(StoredRecord { sequence, content });
    }
    let is_whole = expected == range.end || range.is_empty() || bytes > bytes_max;
    if !is_whole {
        return Err(corrupt(expected));
    }
    let next = expected as u64;
    Ok(LogPage { records, next })
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
