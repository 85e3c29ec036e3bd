//! Section 12, end: snapshots as values.

use super::guard::{guard, question};
use super::handle::{self, handle};
use super::iterator::{Item, IteratorCore, syncline_iterator};
use super::types::*;
use super::version_vector::syncline_version_vector;
use crate::codec::Snapshot;
use parking_lot::Mutex;

/// The state of every handler at a version. Immutable.
pub struct syncline_snapshot(());

handle!(syncline_snapshot, Snapshot, Snapshot);

/// Gives a handle back.
///
/// @param snapshot  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_snapshot_free(snapshot: *mut syncline_snapshot) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(snapshot) }
}

/// Reads the bytes of a snapshot.
///
/// @param out_snapshot  free it with syncline_snapshot_free
/// @return MALFORMED with the byte offset
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_snapshot_decode(
    bytes: syncline_bytes,
    out_snapshot: *mut *mut syncline_snapshot,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_snapshot, "out_snapshot")?;
        out.give_handle(Snapshot::decode(caller.bytes(bytes, "bytes")?)?)
    })
}

/// Writes the bytes of a snapshot.
///
/// @param out_bytes  free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_snapshot_encode(
    snapshot: *const syncline_snapshot,
    out_bytes: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_bytes, "out_bytes")?;
        out.give(syncline_buffer::from_vec(caller.object(snapshot)?.encode()))
    })
}

/// Its id, borrowed from the snapshot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_snapshot_id(
    snapshot: *const syncline_snapshot,
) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        Ok(syncline_string::borrowed(caller.object(snapshot)?.id()))
    })
}

/// What it covers.
///
/// @param out_vector  free it with syncline_version_vector_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_snapshot_version_vector(
    snapshot: *const syncline_snapshot,
    out_vector: *mut *mut syncline_version_vector,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_vector, "out_vector")?;
        out.give_handle(Mutex::new(caller.object(snapshot)?.vector().clone()))
    })
}

/// Its parts: key = handler id, and syncline_iterator_bytes.
///
/// @param out_iterator  free it with syncline_iterator_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_snapshot_iterate(
    snapshot: *const syncline_snapshot,
    out_iterator: *mut *mut syncline_iterator,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_iterator, "out_iterator")?;
        let entries = caller.object(snapshot)?.entries().iter();
        out.give_handle(IteratorCore::new(entries.map(|(id, bytes)| Item {
            key: id.clone(),
            bytes: Some(bytes.clone()),
            ..Item::default()
        })))
    })
}

/// Joins two snapshots as crdt_lf does: the newer state of each handler, the later clock of each
/// peer.
///
/// @param out_snapshot  free it with syncline_snapshot_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_snapshot_merge(
    a: *const syncline_snapshot,
    b: *const syncline_snapshot,
    out_snapshot: *mut *mut syncline_snapshot,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_snapshot, "out_snapshot")?;
        let b = caller.object(b)?;
        out.give_handle(caller.object(a)?.merged(b))
    })
}
