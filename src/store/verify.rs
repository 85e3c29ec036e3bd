//! Looking for damage, and living with it.
//!
//! Layer: `store`. Two generations of every document are on the device. What is damaged in the
//! present one is taken from the one before where that has all of it, which is said, and stored
//! anew. What is in neither is lost: then the document stays shut until somebody asks for a repair,
//! which keeps what is readable and says what is not.

use super::loading;
use super::tracker::LogSize;
use super::{
    Content, Generation, Head, KIND_CRDT, KIND_RELAY, Store, StoreError, StoredRecord, StoredState,
    Write,
};
use crate::codec::change;
use crate::codec::native::is_native;
use crate::document::{Document, DocumentOptions, Origin};

/// How much of a log is read at once.
const PAGE_BYTES: usize = 4 << 20;

/// What [`verify`](super::DocumentStore::verify) or a repair found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Documents and logs looked at.
    pub documents: u64,
    /// What is wrong, document by document.
    pub problems: Vec<Problem>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None`: the file as a whole.
    pub document: Option<String>,
    /// What.
    pub detail: String,
    /// Nothing is missing: another copy has it, or a repair kept it.
    pub is_recovered: bool,
}

impl Report {
    pub(super) fn add(&mut self, document: Option<&str>, detail: String, is_recovered: bool) {
        self.problems.push(Problem {
            document: document.map(str::to_owned),
            detail,
            is_recovered,
        });
    }
}

/// What could be read of a document.
struct Pieces {
    head: Head,
    current: Result<Option<Vec<u8>>, StoreError>,
    previous: Result<Option<Vec<u8>>, StoreError>,
    /// Of both generations, oldest first.
    records: Vec<Result<StoredRecord, (u64, StoreError)>>,
}

/// Reads all that can be read. Errors that are not about damage end it.
fn read_pieces(backend: &dyn Store, name: &str) -> Result<Option<Pieces>, StoreError> {
    let Some(head) = backend.head(name)? else {
        return Ok(None);
    };
    let oldest = head.previous.map_or(head.first, |previous| previous.first);
    let mut records = Vec::new();
    for sequence in oldest..head.next {
        match backend.read_log(name, sequence..sequence + 1, 0) {
            Ok(page) => records.extend(page.records.into_iter().map(Ok)),
            Err(error) => records.push(Err((sequence, damage(error)?))),
        }
    }
    let snapshot = |generation| match backend.snapshot(name, generation) {
        Ok(snapshot) => Ok(Ok(snapshot)),
        Err(error) => damage(error).map(Err),
    };
    Ok(Some(Pieces {
        current: snapshot(Generation::Current)?,
        previous: snapshot(Generation::Previous)?,
        head,
        records,
    }))
}

/// Tells damage from a device that does not work now.
fn damage(error: StoreError) -> Result<StoreError, StoreError> {
    match error {
        StoreError::Corrupt { .. } | StoreError::UnsupportedVersion { .. } => Ok(error),
        other => Err(other),
    }
}

/// The document from the previous generation and what was appended since, if nothing else is
/// damaged than what these have. `None`: something may be missing.
pub(super) fn from_previous(
    backend: &dyn Store,
    name: &str,
    options: DocumentOptions,
) -> Result<Option<(Document, LogSize)>, StoreError> {
    let Some(pieces) = read_pieces(backend, name)? else {
        return Ok(None);
    };
    let (Some(previous), Ok(snapshot)) = (pieces.head.previous, pieces.previous) else {
        return Ok(None);
    };
    let repeated = pieces.head.first..previous.repeated_until;
    let mut records = Vec::new();
    for record in pieces.records {
        match record {
            Ok(record) if repeated.contains(&record.sequence) => {}
            Ok(record) => records.push(record),
            Err((sequence, _)) if repeated.contains(&sequence) => {}
            Err(_) => return Ok(None),
        }
    }
    let state = StoredState {
        meta: pieces.head.meta,
        snapshot,
        records,
        next: pieces.head.next,
        revision: pieces.head.revision,
    };
    match loading::load(name, options, &state) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(error) => damage(error).map(|_| None),
    }
}

/// Looks at one document: everything is read, decoded and put together.
pub(super) fn verify(
    backend: &dyn Store,
    name: &str,
    report: &mut Report,
) -> Result<(), StoreError> {
    report.documents += 1;
    let before = report.problems.len();
    let mut note = |error: StoreError, is_recovered: bool| {
        damage(error).map(|error| report.add(Some(name), error.to_string(), is_recovered))
    };
    let head = match backend.head(name) {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(()),
        Err(error) => return note(error, false),
    };
    match head.meta.kind {
        KIND_CRDT => {
            let loaded = backend.load(name).and_then(|state| match state {
                Some(state) => loading::load(name, DocumentOptions::default(), &state).map(drop),
                None => Ok(()),
            });
            if let Err(error) = loaded {
                let kept = from_previous(backend, name, DocumentOptions::default());
                note(error, matches!(kept, Ok(Some(_))))?;
            }
        }
        KIND_RELAY => {
            if let Err(error) = read_log(backend, name, head.first..head.next) {
                note(error, false)?;
            }
            if let Err(error) = backend.snapshot(name, Generation::Current) {
                note(error, false)?;
            }
        }
        _ => {}
    }
    if let Some(previous) = head.previous {
        // Only a second copy: what is damaged in it is not missing.
        let read = backend.snapshot(name, Generation::Previous);
        let read = read.and_then(|_| read_log(backend, name, previous.first..head.first));
        if let Err(error) = read {
            note(error, true)?;
        }
    }
    for key in backend.attachment_keys(name, "")? {
        if let Err(error) = backend.attachment(name, &key) {
            note(error, false)?;
        }
    }
    if report.problems.len() > before {
        log::warn!(target: "store", "document {name:?} is damaged");
    }
    Ok(())
}

fn read_log(
    backend: &dyn Store,
    name: &str,
    range: std::ops::Range<u64>,
) -> Result<(), StoreError> {
    let mut next = range.start;
    while next < range.end {
        next = backend.read_log(name, next..range.end, PAGE_BYTES)?.next;
    }
    Ok(())
}

/// Puts in the place of a damaged document what can be read of it.
pub(super) fn repair(
    backend: &dyn Store,
    name: &str,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut found = Report::default();
    verify(backend, name, &mut found)?;
    report.documents += 1;
    if found.problems.is_empty() {
        return Ok(());
    }
    let pieces = match read_pieces(backend, name) {
        Ok(Some(pieces)) => pieces,
        Ok(None) => return Ok(()),
        Err(error) => {
            let detail = format!("beyond repair: {}", damage(error)?);
            report.add(Some(name), detail, false);
            return Ok(());
        }
    };
    if pieces.head.meta.kind != KIND_CRDT {
        // Numbers must not get another meaning: a log is repaired by its clients.
        report.problems.append(&mut found.problems);
        return Ok(());
    }
    for key in backend.attachment_keys(name, "")? {
        if let Err(error) = backend.attachment(name, &key) {
            report.add(Some(name), format!("dropped: {}", damage(error)?), false);
            let dropped = [super::Attachment { key, content: None }];
            let write = Write {
                attachments: &dropped,
                ..Write::new(name, pieces.head.meta, Content::Keep)
            };
            backend.commit(&[write])?;
        }
    }
    let whole = match from_previous(backend, name, DocumentOptions::default())? {
        Some((document, _)) => Some(document),
        None => {
            let state = backend.load(name).ok().flatten();
            let loaded = state.map(|state| loading::load(name, DocumentOptions::default(), &state));
            loaded.and_then(Result::ok).map(|(document, _)| document)
        }
    };
    let is_whole = whole.is_some();
    let document = whole.unwrap_or_else(|| salvage(name, &pieces));
    let (snapshot, records) = super::contents::whole(&document);
    let mut meta = pieces.head.meta;
    // Changes of its peer may be missing here and exist elsewhere.
    meta.closed_cleanly &= is_whole;
    let replace = Content::Replace {
        snapshot: snapshot.as_deref(),
        records: &records,
    };
    // The damaged generations go, so that the store is sound afterwards.
    let writes = [replace, Content::DropPrevious].map(|content| Write::new(name, meta, content));
    backend.commit(&writes)?;
    for problem in found.problems {
        report.add(Some(name), problem.detail, problem.is_recovered || is_whole);
    }
    Ok(())
}

/// All changes that can be read and put together.
fn salvage(name: &str, pieces: &Pieces) -> Document {
    let options = DocumentOptions {
        document_id: name.to_owned(),
        clock_drift_ms_max: None,
        ..DocumentOptions::default()
    };
    let snapshots = [&pieces.current, &pieces.previous];
    let snapshots = snapshots
        .into_iter()
        .filter_map(|snapshot| snapshot.as_ref().ok()?.as_ref());
    // The first that opens; the present one has more.
    let opened = snapshots.clone().find_map(|snapshot| {
        let state = StoredState {
            meta: pieces.head.meta,
            snapshot: Some(snapshot.clone()),
            records: Vec::new(),
            next: 0,
            revision: 0,
        };
        loading::load(name, options.clone(), &state).ok()
    });
    let mut document = opened.map_or_else(|| Document::new(options), |(document, _)| document);
    for snapshot in snapshots.filter(|snapshot| is_native(snapshot)) {
        // What does not fit is what is lost.
        let _ = document.merge_native_snapshot(snapshot);
    }
    for record in pieces
        .records
        .iter()
        .filter_map(|record| record.as_ref().ok())
    {
        if is_native(&record.content) {
            let _ = document.import_native(&record.content, b"", Origin::Load);
        } else if let Ok(changes) = change::decode_list(&record.content) {
            let _ = document.import_changes(changes, b"", Origin::Load);
        }
    }
    document
}
