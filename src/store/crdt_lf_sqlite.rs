//! Databases that crdt_lf_sqlite and crdt_lf_drift wrote, taken over into a store.
//!
//! Layer: `store`. Two tables, `changes` and `snapshots`: document id, a key, bytes. Rows come in no
//! order; snapshots of several ages may be there.

use super::{DocumentStore, OpenOptions, StoreError};
use crate::codec::{Change, Snapshot};
use crate::document::Origin;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// How long storing one document may take.
const STORE_WAIT: Duration = Duration::from_secs(60);

/// A document and how many changes it has here, or why it was not taken over.
pub type Imported = (String, Result<u64, StoreError>);

impl DocumentStore {
    /// Makes documents of those in a database of crdt_lf_sqlite or crdt_lf_drift. Documents that are
    /// here already are not touched ([`StoreError::Conflict`]).
    ///
    /// # Errors
    /// The database cannot be read at all.
    pub fn import_crdt_lf_sqlite(
        &self,
        path: impl AsRef<Path>,
    ) -> Result<Vec<Imported>, StoreError> {
        let source = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let sql = "SELECT document_id FROM changes UNION SELECT document_id FROM snapshots";
        let mut statement = source.prepare(sql)?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
        let import = |name: String| {
            let imported = read(&source, &name)
                .and_then(|(snapshots, changes)| self.import_crdt_lf(&name, &snapshots, &changes));
            (name, imported)
        };
        Ok(names.into_iter().map(import).collect())
    }

    /// Makes a document of changes and snapshots in their crdt_lf forms, as the stores of crdt_lf
    /// keep them (crdt_lf_hive: the values of its two boxes). Gives how many changes it has.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: there is one of this name; [`StoreError::Corrupt`]: bytes that do
    /// not decode, or changes that lack others.
    pub fn import_crdt_lf(
        &self,
        name: &str,
        snapshots: &[Vec<u8>],
        changes: &[Vec<u8>],
    ) -> Result<u64, StoreError> {
        let corrupt = |detail: String| StoreError::corrupt(name, None, detail);
        let snapshots = snapshots.iter().map(|bytes| Snapshot::decode(bytes));
        let snapshots = snapshots.collect::<Result<Vec<_>, _>>();
        let snapshots = snapshots.map_err(|error| corrupt(error.to_string()))?;
        let decoded = changes.iter().map(|bytes| Change::decode(bytes));
        let decoded = decoded.collect::<Result<Vec<Change>, _>>();
        let decoded = decoded.map_err(|error| corrupt(error.to_string()))?;
        if self.contains(name)? || self.live(name).is_some() {
            let document = name.to_owned();
            return Err(StoreError::Conflict { document });
        }
        let options = OpenOptions {
            edits_leave_unstored: false,
            ..OpenOptions::default()
        };
        // Put together before anything is stored: what does not fit leaves nothing behind.
        let mut whole = crate::document::Document::new(options.document.clone());
        let latest = newest(&snapshots);
        let (covered, rest): (Vec<Change>, Vec<Change>) = decoded.into_iter().partition(|change| {
            latest.is_some_and(|snapshot| snapshot.vector().covers(&change.id.peer, change.id.hlc))
        });
        let refused = |error| corrupt(format!("{error:?}"));
        // What a snapshot covers may be there in part; then it does not matter.
        whole
            .import_changes(covered, b"", Origin::Load)
            .map_err(refused)?;
        if let Some(snapshot) = latest {
            whole.import_snapshot(snapshot, false).map_err(refused)?;
        }
        let outcome = whole
            .import_changes(rest, b"", Origin::Load)
            .map_err(refused)?;
        if outcome.not_ready > 0 {
            return Err(corrupt("changes lack what they depend on".into()));
        }
        let count = whole.change_count();
        let bytes = whole.native_snapshot(true);
        let bytes = bytes.map_err(|error| corrupt(format!("{error:?}")))?;
        let stored = self.open(name, &options)?;
        let merged = stored
            .document()
            .with(|document| document.merge_native_snapshot(&bytes));
        let merged = merged.map_err(|_| StoreError::InUse {
            document: name.to_owned(),
        })?;
        merged.map_err(|error| corrupt(error.to_string()))?;
        stored.touch();
        stored.flush(STORE_WAIT)?;
        Ok(count)
    }
}

type Rows = Vec<Vec<u8>>;

/// The snapshot that no other one is newer than.
fn newest(snapshots: &[Snapshot]) -> Option<&Snapshot> {
    let older = |snapshot: &&Snapshot| {
        let newer = |other: &Snapshot| other.vector().is_strictly_newer_than(snapshot.vector());
        !snapshots.iter().any(newer)
    };
    snapshots.iter().find(older)
}

fn read(source: &Connection, name: &str) -> Result<(Rows, Rows), StoreError> {
    let rows = |table: &str| -> Result<Rows, StoreError> {
        let sql = format!("SELECT bytes FROM {table} WHERE document_id = ?1");
        let mut statement = source.prepare(&sql)?;
        let rows = statement.query_map([name], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    Ok((rows("snapshots")?, rows("changes")?))
}
