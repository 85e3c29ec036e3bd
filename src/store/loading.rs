//! Stored bytes back to a document.
//!
//! Layer: `store`. Everything is decoded before anything is applied; what does not decode, or does
//! not build on what was stored before it, means that the stored data is damaged.

use super::tracker::LogSize;
use super::{KIND_CRDT, StoreError, StoredState};
use crate::codec::native::{NativeError, is_native};
use crate::codec::{Change, Snapshot, change};
use crate::document::{Document, DocumentError, DocumentOptions, Origin};
use crate::replica::ApplyError;

/// Makes a document from its stored state.
pub(super) fn load(
    name: &str,
    options: DocumentOptions,
    state: &StoredState,
) -> Result<(Document, LogSize), StoreError> {
    if state.meta.kind != KIND_CRDT {
        let found = state.meta.kind;
        return Err(StoreError::WrongKind { found });
    }
    let (snapshot, changes) = decode(name, state)?;
    // What is stored was accepted once; a clock that was set back since must not lock it away.
    let drift_ms_max = options.clock_drift_ms_max;
    let options = DocumentOptions {
        clock_drift_ms_max: None,
        ..options
    };
    let native = state.snapshot.as_deref().filter(|bytes| is_native(bytes));
    let mut document = match native {
        Some(bytes) => {
            let opened = Document::open_native(bytes, options);
            opened.map_err(|error| unreadable(name, None, error))?
        }
        None => Document::new(options),
    };
    if let Some(snapshot) = &snapshot {
        // A snapshot that was taken without pruning: what it covers is kept, and has to be there
        // first, because afterwards it counts as known.
        let covers = |change: &Change| snapshot.vector().covers(&change.id.peer, change.id.hlc);
        let kept: Vec<Change> = changes
            .iter()
            .filter(|change| covers(change))
            .cloned()
            .collect();
        document
            .import_changes(kept, b"", Origin::Load)
            .map_err(|error| refused(name, error))?;
        let applied = document
            .import_snapshot(snapshot, false)
            .map_err(|error| refused(name, error))?;
        if !applied {
            return Err(StoreError::corrupt(
                name,
                None,
                "the document refuses the snapshot",
            ));
        }
    }
    let outcome = document
        .import_changes(changes, b"", Origin::Load)
        .map_err(|error| refused(name, error))?;
    if outcome.not_ready > 0 {
        return Err(StoreError::corrupt(
            name,
            None,
            "changes lack what they depend on",
        ));
    }
    for record in state
        .records
        .iter()
        .filter(|record| is_native(&record.content))
    {
        let outcome = document
            .import_native(&record.content, b"", Origin::Load)
            .map_err(|error| unreadable(name, Some(record.sequence), error))?;
        if outcome.not_ready > 0 {
            let detail = "changes lack what they depend on";
            return Err(StoreError::corrupt(name, Some(record.sequence), detail));
        }
    }
    document.set_clock_drift_ms_max(drift_ms_max);
    Ok((document, size(state)))
}

/// The snapshot and the changes of what is in the crdt_lf form; native records always come behind.
fn decode(name: &str, state: &StoredState) -> Result<(Option<Snapshot>, Vec<Change>), StoreError> {
    let corrupt = |sequence, error| StoreError::corrupt(name, sequence, format!("{error}"));
    let snapshot = state.snapshot.as_deref();
    let snapshot = snapshot.filter(|bytes| !is_native(bytes));
    let snapshot = snapshot.map(Snapshot::decode).transpose();
    let snapshot = snapshot.map_err(|error| corrupt(None, error))?;
    let mut changes = Vec::new();
    for record in state
        .records
        .iter()
        .filter(|record| !is_native(&record.content))
    {
        let decoded = change::decode_list(&record.content);
        changes.extend(decoded.map_err(|error| corrupt(Some(record.sequence), error))?);
    }
    Ok((snapshot, changes))
}

fn refused(name: &str, error: ApplyError) -> StoreError {
    match error {
        ApplyError::Limit(limit) => StoreError::Limit(limit),
        error => StoreError::corrupt(name, None, format!("the document refuses it: {error:?}")),
    }
}

fn unreadable(name: &str, sequence: Option<u64>, error: DocumentError) -> StoreError {
    match error {
        DocumentError::Apply(error) => refused(name, error),
        DocumentError::Limit(limit) => StoreError::Limit(limit),
        DocumentError::Native(NativeError::Version { found, supported }) => {
            StoreError::UnsupportedVersion {
                found: found.into(),
                supported: supported.into(),
            }
        }
        error => StoreError::corrupt(name, sequence, error.to_string()),
    }
}

/// A log of few records counts as rewritten, one of many as appended to: the next write merges it.
fn size(state: &StoredState) -> LogSize {
    let bytes = state
        .records
        .iter()
        .map(|record| record.content.len() as u64)
        .sum();
    let snapshot_bytes = state
        .snapshot
        .as_ref()
        .map_or(0, |snapshot| snapshot.len() as u64);
    let records = state.records.len() as u64;
    match records {
        0..64 => LogSize {
            bytes_rewritten: bytes,
            snapshot_bytes,
            ..LogSize::default()
        },
        _ => LogSize {
            bytes_appended: bytes,
            records_appended: records,
            snapshot_bytes,
            ..LogSize::default()
        },
    }
}
