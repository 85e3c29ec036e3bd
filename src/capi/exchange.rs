//! Section 12, second half: versions, changes and snapshots of a document.

use super::change::syncline_change;
use super::clock::syncline_operation_id;
use super::document::syncline_document;
use super::document_core::DocumentCore;
use super::error::Error;
use super::guard::{Answer, guard, question};
use super::iterator::{IteratorCore, syncline_iterator};
use super::snapshot::syncline_snapshot;
use super::types::*;
use super::version_vector::syncline_version_vector;
use crate::clock::{OperationId, VersionVector};
use crate::codec::change::{decode_list, encode_list};
use crate::codec::{Change, Snapshot};
use crate::document::{Document, ImportOptions, Origin};
use crate::replica::{ImportOutcome, Replica};
use parking_lot::Mutex;

/// Flags of snapshot functions; 0 = the defaults of crdt_lf.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_snapshot_flag {
    /// crdt_lf: pruneHistory false.
    SYNCLINE_SNAPSHOT_KEEP_HISTORY = 1,
    /// Importing, merge true: join the snapshot with the own one instead of refusing an older one.
    SYNCLINE_SNAPSHOT_MERGE = 2,
}

use syncline_snapshot_flag::*;

/// The flags in the terms of `document`; `allowed` are those that mean something.
fn options(flags: u32, allowed: &[syncline_snapshot_flag]) -> Result<ImportOptions, Error> {
    let allowed = allowed.iter().fold(0, |all, flag| all | *flag as u32);
    if flags & !allowed != 0 {
        return Err(Error::argument(
            "a snapshot flag does not exist or means nothing here",
        ));
    }
    Ok(ImportOptions {
        merge: flags & SYNCLINE_SNAPSHOT_MERGE as u32 != 0,
        prune: flags & SYNCLINE_SNAPSHOT_KEEP_HISTORY as u32 == 0,
    })
}

/// Everything the document has seen.
///
/// @param out_vector  free it with syncline_version_vector_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_version_vector(
    document: *const syncline_document,
    out_vector: *mut *mut syncline_version_vector,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_vector, "out_vector")?;
        let vector = caller.object(document)?.read(|d| Ok(d.version_vector()))?;
        out.give_handle(Mutex::new(vector))
    })
}

/// The changes nothing builds on yet. Fills memory of the caller.
///
/// @param ids        room for capacity ids; may be NULL if it is 0
/// @param capacity   how many fit
/// @param out_count  how many there are; may exceed capacity
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_frontiers(
    document: *const syncline_document,
    ids: *mut syncline_operation_id,
    capacity: usize,
    out_count: *mut usize,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_count, "out_count")?;
        let fill = caller.fill(ids, capacity, "ids")?;
        let frontiers = caller.object(document)?.read(|d| Ok(d.frontiers()))?;
        let given: Vec<syncline_operation_id> = frontiers
            .iter()
            .take(fill.capacity())
            .map(|id| (*id).into())
            .collect();
        fill.put(&given);
        out.give(frontiers.len())
    })
}

/// The changes that `since` has not seen.
fn changes_since(document: &Document, since: Option<&VersionVector>) -> Vec<Change> {
    since.map_or_else(
        || document.all_changes(),
        |since| document.changes_newer_than(since),
    )
}

/// A copy of a vector that may be left out.
fn vector_or_null(
    caller: super::guard::Caller<'_>,
    vector: *const syncline_version_vector,
) -> Result<Option<VersionVector>, Error> {
    Ok(caller
        .object_or_null(vector)?
        .map(|vector| vector.lock().clone()))
}

/// Changes for another replica, as one message.
///
/// @param since        what the other has seen; NULL = nothing
/// @param out_changes  for syncline_document_import_changes; free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_export_changes(
    document: *const syncline_document,
    since: *const syncline_version_vector,
    out_changes: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_changes, "out_changes")?;
        let since = vector_or_null(caller, since)?;
        let changes = caller.object(document)?.read(|d| {
            Ok(match &since {
                Some(since) => encode_list(d.changes_newer_than(since).iter()),
                None => d.export_list(),
            })
        })?;
        out.give(syncline_buffer::from_vec(changes))
    })
}

/// As syncline_document_export_changes, for another that named its frontiers.
///
/// @param frontiers  ids of the other
/// @param count      how many; 0 = all changes
/// @return NOT_FOUND, with out_changes unchanged, if an id is not known here
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_export_changes_from(
    document: *const syncline_document,
    frontiers: *const syncline_operation_id,
    count: usize,
    out_changes: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_changes, "out_changes")?;
        let ids = caller.slice(frontiers, count, "frontiers")?;
        let ids: Vec<OperationId> = ids.iter().map(|id| (*id).into()).collect();
        let changes = caller.object(document)?.read(|d| {
            if ids.iter().any(|id| !d.contains_change(id)) {
                return Ok(None);
            }
            Ok(Some(d.export_changes_from(&ids)?))
        })?;
        changes.map_or(Ok(SYNCLINE_NOT_FOUND), |changes| {
            out.give(syncline_buffer::from_vec(encode_list(changes.iter())))
        })
    })
}

/// Applies changes of another replica, in any order; known ones are skipped.
///
/// @param changes      what syncline_document_export_changes or an UPDATE event gave
/// @param out_applied  how many were new; NULL is allowed; 0 with UNCHANGED
/// @return UNCHANGED if all were known; PENDING if some were applied and others lack changes that
///         are not here; CAUSALLY_NOT_READY if all new ones do. What lacks changes is not kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_import_changes(
    document: *mut syncline_document,
    changes: syncline_bytes,
    out_applied: *mut u64,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_or_null(out_applied, "out_applied")?;
        let core = caller.object(document)?;
        let changes = caller.bytes(changes, "changes")?;
        let outcome = core.edit(|d| Ok(d.import_list(changes, &[], Origin::Remote)?))?;
        imported(&outcome, out)
    })
}

/// What an import answers.
fn imported(outcome: &ImportOutcome, out: Option<super::guard::Out<'_, u64>>) -> Answer {
    let changed = outcome.applied > 0 || outcome.snapshot_applied;
    if !changed && outcome.not_ready > 0 {
        let message = format!(
            "{} changes depend on changes that are not here",
            outcome.not_ready
        );
        return Err(Error::new(SYNCLINE_ERROR_CAUSALLY_NOT_READY, message));
    }
    if let Some(out) = out {
        out.put(outcome.applied as u64);
    }
    Ok(match (changed, outcome.not_ready) {
        (false, _) => SYNCLINE_UNCHANGED,
        (true, 0) => SYNCLINE_OK,
        (true, _) => SYNCLINE_PENDING,
    })
}

/// Changes one by one: key = handler id, and syncline_iterator_change and _bytes.
///
/// @param since         what to leave out; NULL = nothing
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_iterate_changes(
    document: *const syncline_document,
    since: *const syncline_version_vector,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let since = vector_or_null(caller, since)?;
        let changes = caller
            .object(document)?
            .read(|d| Ok(changes_since(d, since.as_ref())))?;
        out.give_handle(IteratorCore::of_changes(changes))
    })
}

/// Applies one change of another replica.
///
/// @return UNCHANGED if it is known; CAUSALLY_NOT_READY if it came too early
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_apply_change(
    document: *mut syncline_document,
    change: *const syncline_change,
) -> syncline_status {
    guard!(|caller| {
        let change = caller.object(change)?.clone();
        let applied = caller.object(document)?.edit(|d| Ok(d.apply(change)?))?;
        Ok(if applied {
            SYNCLINE_OK
        } else {
            SYNCLINE_UNCHANGED
        })
    })
}

/// Makes a change of an operation given as bytes, and applies it.
///
/// @param operation   an envelope: handler type, handler id, kind, body
/// @param out_change  free it with syncline_change_free
/// @return MALFORMED if it is no envelope
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_create_change(
    document: *mut syncline_document,
    operation: syncline_bytes,
    out_change: *mut *mut syncline_change,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_change, "out_change")?;
        let operation = caller.bytes(operation, "operation")?.to_vec();
        let change = caller
            .object(document)?
            .edit(|d| Ok(d.create_change(operation)?))?;
        out.give_handle(change)
    })
}

/// How many changes the log holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_change_count(document: *const syncline_document) -> u64 {
    question!(0, |caller| caller
        .object(document)?
        .read(|d| Ok(d.change_count())))
}

/// Takes a snapshot of everything and, unless told otherwise, drops the changes it covers.
///
/// @param flags         SYNCLINE_SNAPSHOT_KEEP_HISTORY
/// @param out_snapshot  free it with syncline_snapshot_free; NULL is allowed
/// @return IN_TRANSACTION; UNSUPPORTED if changes are for a type of which nothing is
///         known (register it first); CALLBACK if the save hook of a custom handler fails
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_take_snapshot(
    document: *mut syncline_document,
    flags: u32,
    out_snapshot: *mut *mut syncline_snapshot,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_or_null(out_snapshot, "out_snapshot")?;
        let options = options(flags, &[SYNCLINE_SNAPSHOT_KEEP_HISTORY])?;
        let core = caller.object(document)?;
        let snapshot = core.edit(|d| Ok(d.take_snapshot(options.prune)?.clone()))?;
        out.map_or(Ok(SYNCLINE_OK), |out| out.give_handle(snapshot))
    })
}

/// The snapshot taken or imported last.
///
/// @param out_snapshot  free it with syncline_snapshot_free
/// @return NOT_FOUND, with out_snapshot unchanged
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_last_snapshot(
    document: *const syncline_document,
    out_snapshot: *mut *mut syncline_snapshot,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_snapshot, "out_snapshot")?;
        let snapshot = caller
            .object(document)?
            .read(|d| Ok(d.last_snapshot().cloned()))?;
        snapshot.map_or(Ok(SYNCLINE_NOT_FOUND), |snapshot| out.give_handle(snapshot))
    })
}

/// Whether syncline_document_import_snapshot would take this snapshot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_should_apply_snapshot(
    document: *const syncline_document,
    snapshot: *const syncline_snapshot,
) -> bool {
    question!(false, |caller| {
        let snapshot = caller.object(snapshot)?;
        caller
            .object(document)?
            .read(|d| Ok(d.should_apply_snapshot(snapshot)))
    })
}

/// Takes a snapshot of another replica over, if it is not older than the last one.
///
/// @param flags  SYNCLINE_SNAPSHOT_KEEP_HISTORY; SYNCLINE_SNAPSHOT_MERGE: as
///               syncline_document_merge_snapshot
/// @return UNCHANGED if it is older
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_import_snapshot(
    document: *mut syncline_document,
    snapshot: *const syncline_snapshot,
    flags: u32,
) -> syncline_status {
    guard!(|caller| {
        let snapshot = caller.object(snapshot)?;
        let options = options(flags, ALL_FLAGS)?;
        let outcome = import(
            caller.object(document)?,
            Some(snapshot),
            Vec::new(),
            options,
        )?;
        imported(&outcome, None)
    })
}

/// Joins a snapshot of another replica with the last one of this document, whichever is newer: of
/// each handler the newer state is taken as a whole. Concurrent snapshots lose no edit as long as
/// the changes are here, too; so keep history, or exchange changes first.
///
/// @param flags  SYNCLINE_SNAPSHOT_KEEP_HISTORY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_merge_snapshot(
    document: *mut syncline_document,
    snapshot: *const syncline_snapshot,
    flags: u32,
) -> syncline_status {
    guard!(|caller| {
        let snapshot = caller.object(snapshot)?;
        let options = ImportOptions {
            merge: true,
            ..options(flags, &[SYNCLINE_SNAPSHOT_KEEP_HISTORY])?
        };
        let outcome = import(
            caller.object(document)?,
            Some(snapshot),
            Vec::new(),
            options,
        )?;
        imported(&outcome, None)
    })
}

/// Imports a snapshot and changes in one transaction. If the snapshot is refused because it is
/// older, the changes are ignored, too (as crdt_lf does).
///
/// @param snapshot     NULL = none
/// @param changes      may be empty
/// @param flags        SYNCLINE_SNAPSHOT_KEEP_HISTORY, SYNCLINE_SNAPSHOT_MERGE
/// @param out_applied  how many changes were new; NULL is allowed
/// @return as syncline_document_import_changes; UNCHANGED if the snapshot is refused
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_import(
    document: *mut syncline_document,
    snapshot: *const syncline_snapshot,
    changes: syncline_bytes,
    flags: u32,
    out_applied: *mut u64,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_or_null(out_applied, "out_applied")?;
        let options = options(flags, ALL_FLAGS)?;
        let snapshot = caller.object_or_null(snapshot)?;
        let bytes = caller.bytes(changes, "changes")?;
        let changes = if bytes.is_empty() {
            Vec::new()
        } else {
            decode_list(bytes)?
        };
        let outcome = import(caller.object(document)?, snapshot, changes, options)?;
        imported(&outcome, out)
    })
}

/// What importing understands.
const ALL_FLAGS: &[syncline_snapshot_flag] =
    &[SYNCLINE_SNAPSHOT_KEEP_HISTORY, SYNCLINE_SNAPSHOT_MERGE];

/// One transaction.
fn import(
    core: &DocumentCore,
    snapshot: Option<&Snapshot>,
    changes: Vec<Change>,
    options: ImportOptions,
) -> Result<ImportOutcome, Error> {
    core.edit(|d| {
        d.begin(&[])?;
        let outcome = d.import_with(snapshot, changes, options);
        d.commit()?;
        Ok(outcome?)
    })
}

/// Drops changes that the last snapshot covers and that `protect_from` has seen (Dart's
/// garbageCollect). Without a snapshot nothing is dropped.
///
/// @param protect_from  what every peer has seen
/// @return UNCHANGED if there was nothing to drop
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_document_prune(
    document: *mut syncline_document,
    protect_from: *const syncline_version_vector,
) -> syncline_status {
    guard!(|caller| {
        let protect = caller.object(protect_from)?.lock().clone();
        let dropped = caller
            .object(document)?
            .edit(|d| Ok(d.garbage_collect(&protect)))?;
        Ok(if dropped > 0 {
            SYNCLINE_OK
        } else {
            SYNCLINE_UNCHANGED
        })
    })
}
