//! Named versions of a document, and going back to one.
//!
//! Layer: `store`. A version is a whole copy, so it survives whatever becomes of the document. Going
//! back makes a new epoch: copies that know what was undone must not merge it back in. Peers whose
//! protocol has no epochs are recognised by their versions: what went is kept as ranges of clocks,
//! and whoever has a clock inside of one comes from a former epoch.

use super::portable::{self, Portable};
use super::tracker::LogSize;
use super::{
    Attachment, Content, DocumentMeta, DocumentStore, KIND_CRDT, OpenOptions, Store, StoreError,
    StoredState, Write, contents, loading, new_epoch, verify, wall_clock_ms,
};
use crate::clock::{Hlc, PeerId, VersionVector};
use crate::codec::{Change, change};
use crate::document::{Document, DocumentOptions};
use crate::replica::Replica as _;

/// Attachments: `version/NAME` is the copy, `version-info/NAME` when it was made.
const COPY: &str = "version/";
const INFO: &str = "version-info/";
/// Attachment: the ranges that are retired.
const RETIRED: &str = "retired";
/// Bytes of one retired range: when, author, from, to.
const RANGE_BYTES: usize = 8 + 16 + 8 + 8;

/// A named version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// Unique in its document.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
    /// What the copy takes.
    pub bytes: u64,
}

/// What a document is put back to.
#[derive(Clone, Copy, Debug)]
pub enum RestoreTo<'a> {
    /// A named version.
    Version(&'a str),
    /// What was written by this time, milliseconds since 1970, by the clocks of those who wrote.
    Time(i64),
    /// What [`DocumentStore::export`] gave.
    Exported(&'a [u8]),
    /// Nothing.
    Empty,
}

/// What a document that was put back has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The new epoch.
    pub epoch: u64,
    /// The version that has what was there before.
    pub before: String,
}

/// Clocks of an author that a document had in a former epoch only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredRange {
    /// When they were retired, milliseconds since 1970.
    pub retired_ms: i64,
    /// The author.
    pub peer: PeerId,
    /// Behind this clock ...
    pub after: Hlc,
    /// ... up to and including this one.
    pub until: Hlc,
}

/// Whether a copy with this version comes from a former epoch.
pub fn is_retired(ranges: &[RetiredRange], vector: &VersionVector) -> bool {
    ranges.iter().any(|range| {
        let clock = vector.get(&range.peer);
        clock.is_some_and(|clock| range.after < clock && clock <= range.until)
    })
}

impl DocumentStore {
    /// Keeps what a document is now as a version. One of the same name is replaced.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::WrongKind`] for a log; of the device.
    pub fn keep_version(&self, document: &str, version: &str) -> Result<(), StoreError> {
        // Whoever has it open goes on; nobody else is needed to have all edits.
        let options = OpenOptions {
            create: false,
            edits_leave_unstored: false,
            ..OpenOptions::default()
        };
        let stored = self.open(document, &options)?;
        let name = document;
        let copied = stored
            .document()
            .read(|document| copy(name, document, stored.epoch()));
        let copy = copied.map_err(|_| StoreError::InUse {
            document: document.to_owned(),
        })?;
        stored.flush(options.lock_timeout)?;
        stored.attach_all(&version_attachments(version, copy))
    }

    /// The versions of a document, in the order of their names' bytes.
    pub fn versions(&self, document: &str) -> Result<Vec<VersionInfo>, StoreError> {
        let backend = self.backend();
        let mut list = Vec::new();
        for key in backend.attachment_keys(document, INFO)? {
            let info = backend.attachment(document, &key)?.unwrap_or_default();
            let number = |at: usize| info.get(at..at + 8)?.try_into().ok();
            let (Some(made_ms), Some(bytes)) = (number(0), number(8)) else {
                return Err(StoreError::corrupt(document, None, "a version's date"));
            };
            list.push(VersionInfo {
                name: key[INFO.len()..].to_owned(),
                made_ms: i64::from_le_bytes(made_ms),
                bytes: u64::from_le_bytes(bytes),
            });
        }
        Ok(list)
    }

    /// Forgets a version; false if there is none of this name.
    pub fn drop_version(&self, document: &str, version: &str) -> Result<bool, StoreError> {
        let backend = self.backend();
        let key = format!("{INFO}{version}");
        let Some(head) = backend.head(document)? else {
            return Ok(false);
        };
        if !backend.attachment_keys(document, &key)?.contains(&key) {
            return Ok(false);
        }
        let dropped =
            [key, format!("{COPY}{version}")].map(|key| Attachment { key, content: None });
        match self.live(document) {
            Some(stored) => stored.attach_all(&dropped)?,
            None => {
                let write = Write {
                    attachments: &dropped,
                    ..Write::new(document, head.meta, Content::Keep)
                };
                backend.commit(&[write])?;
            }
        }
        Ok(true)
    }

    /// Puts a document back: in one transaction its content is what it was, it has a new epoch and
    /// no undo steps, and what it was before is a version. It continues under a new peer id.
    ///
    /// # Errors
    /// [`StoreError::InUse`]: it is open; [`StoreError::NotFound`]: no such document or version;
    /// [`StoreError::OutOfRange`]: its history does not go back to that time;
    /// [`StoreError::WrongKind`]: it is a log; of the device.
    pub fn restore(&self, document: &str, to: RestoreTo<'_>) -> Result<Restored, StoreError> {
        self.while_closed(document, || {
            restore(self.backend(), document, to, self.retired_days())
        })?
    }

    /// What went in former epochs, for peers whose protocol has none. See [`is_retired`].
    pub fn retired(&self, document: &str) -> Result<Vec<RetiredRange>, StoreError> {
        retired(self.backend(), document, self.retired_days())
    }

    /// A document or log as bytes of its own: its content, without versions and undo steps.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; what is wrong with what is stored.
    pub fn export(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        if let Some(stored) = self.live(name) {
            let copied = stored
                .document()
                .read(|document| copy(name, document, stored.epoch()));
            return copied.map_err(|_| StoreError::InUse {
                document: name.to_owned(),
            });
        }
        let state = self.backend().load(name)?.ok_or(StoreError::NotFound)?;
        Ok(portable::encode(&Portable::from_state(name, state)))
    }

    /// Makes a document or log of what [`export`](DocumentStore::export) gave, with its epoch, under
    /// its name or another one. Gives the name.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: there is one of this name; [`StoreError::Corrupt`] and
    /// [`StoreError::UnsupportedVersion`]: the bytes cannot be used.
    pub fn import(&self, name: Option<&str>, bytes: &[u8]) -> Result<String, StoreError> {
        let content = portable::decode(bytes)?;
        let name = name.unwrap_or(&content.name).to_owned();
        super::check_name(&name)?;
        if self.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        let is_log = content.kind != KIND_CRDT;
        let state = content.into_state();
        if !is_log {
            // What cannot be opened is not let in.
            loading::load(&name, DocumentOptions::default(), &state)?;
        }
        let first = state.next - state.records.len() as u64;
        let records: Vec<Vec<u8>> = state
            .records
            .into_iter()
            .map(|record| record.content)
            .collect();
        let snapshot = state.snapshot.as_deref();
        // The records of a log keep their numbers.
        let contents = match (is_log, snapshot) {
            (false, snapshot) => {
                let records = &records;
                vec![
                    Content::Replace { snapshot, records },
                    Content::DropPrevious,
                ]
            }
            (true, None) => vec![Content::Begin(first), Content::Append(&records)],
            (true, Some(snapshot)) => {
                let cover = Content::Cover {
                    snapshot,
                    end: first,
                };
                vec![
                    Content::Begin(first),
                    cover,
                    Content::DropPrevious,
                    Content::Append(&records),
                ]
            }
        };
        let writes = contents
            .into_iter()
            .map(|content| Write::new(&name, state.meta, content));
        let mut writes: Vec<Write<'_>> = writes.collect();
        writes[0].expected = Some(0);
        self.while_closed(&name, || self.backend().commit(&writes).map(drop))??;
        Ok(name)
    }
}

/// What there is of a document, as bytes.
fn copy(name: &str, document: &Document, epoch: u64) -> Vec<u8> {
    let (snapshot, records) = contents::whole(document);
    portable::encode(&Portable {
        name: name.to_owned(),
        kind: KIND_CRDT,
        epoch,
        snapshot,
        first: 1,
        records,
    })
}

fn version_attachments(version: &str, copy: Vec<u8>) -> [Attachment; 2] {
    let made_ms = wall_clock_ms().to_le_bytes();
    let info = [made_ms, (copy.len() as u64).to_le_bytes()].concat();
    [
        Attachment {
            key: format!("{INFO}{version}"),
            content: Some(info),
        },
        Attachment {
            key: format!("{COPY}{version}"),
            content: Some(copy),
        },
    ]
}

fn restore(
    backend: &dyn Store,
    name: &str,
    to: RestoreTo<'_>,
    retired_days: u32,
) -> Result<Restored, StoreError> {
    let head = backend.head(name)?.ok_or(StoreError::NotFound)?;
    let (present, _) = open(backend, name)?;
    let wanted = match to {
        RestoreTo::Version(version) => {
            let copy = backend.attachment(name, &format!("{COPY}{version}"))?;
            from_bytes(name, &copy.ok_or(StoreError::NotFound)?)?
        }
        RestoreTo::Exported(bytes) => from_bytes(name, bytes)?,
        RestoreTo::Time(time_ms) => at_time(name, &present, time_ms, head.meta)?,
        RestoreTo::Empty => Document::new(DocumentOptions::default()),
    };
    let now_ms = wall_clock_ms();
    let mut ranges = retired(backend, name, retired_days)?;
    let (had, has) = (present.version_vector(), wanted.version_vector());
    ranges.extend(had.iter().filter_map(|(peer, until)| {
        let after = has.get(&peer).unwrap_or(Hlc::ZERO);
        (after < until).then_some(RetiredRange {
            retired_ms: now_ms,
            peer,
            after,
            until,
        })
    }));
    let before = free_name(backend, name, now_ms)?;
    let mut attachments = Vec::from(version_attachments(
        &before,
        copy(name, &present, head.meta.epoch),
    ));
    attachments.push(Attachment {
        key: RETIRED.to_owned(),
        content: Some(encode_ranges(&ranges)),
    });
    attachments.push(Attachment {
        key: super::stacks::UNDO_KEY.to_owned(),
        content: None,
    });
    let (snapshot, records) = contents::whole(&wanted);
    let epoch = new_epoch();
    let meta = DocumentMeta {
        epoch,
        closed_cleanly: false,
        ..head.meta
    };
    let content = Content::Replace {
        snapshot: snapshot.as_deref(),
        records: &records,
    };
    let replace = Write {
        attachments: &attachments,
        expected: Some(head.revision),
        ..Write::new(name, meta, content)
    };
    // The generation before is of the former epoch; nobody must fall back to it.
    let forget = Write::new(name, meta, Content::DropPrevious);
    backend.commit(&[replace, forget])?;
    Ok(Restored { epoch, before })
}

fn open(backend: &dyn Store, name: &str) -> Result<(Document, LogSize), StoreError> {
    let state = backend.load(name);
    let loaded = state.and_then(|state| {
        let state = state.ok_or(StoreError::NotFound)?;
        loading::load(name, DocumentOptions::default(), &state)
    });
    match loaded {
        Err(error @ StoreError::Corrupt { .. }) => {
            let kept = verify::from_previous(backend, name, DocumentOptions::default())?;
            kept.ok_or(error)
        }
        loaded => loaded,
    }
}

fn from_bytes(name: &str, bytes: &[u8]) -> Result<Document, StoreError> {
    let state = portable::decode(bytes)?.into_state();
    Ok(loading::load(name, DocumentOptions::default(), &state)?.0)
}

/// The document as it was at a time. Clocks follow causality, so what was written by then depends
/// on nothing later.
fn at_time(
    name: &str,
    present: &Document,
    time_ms: i64,
    meta: DocumentMeta,
) -> Result<Document, StoreError> {
    let is_earlier = |clock: Hlc| clock.ms() <= time_ms;
    let snapshot = present.last_snapshot();
    if let Some(snapshot) = snapshot {
        let latest = snapshot.vector().latest();
        if let Some(latest) = latest.filter(|latest| !is_earlier(*latest)) {
            // What was before the snapshot is forgotten.
            let nearest = latest.ms() as u64;
            return Err(StoreError::OutOfRange { nearest });
        }
    }
    let changes = present.all_changes();
    let kept: Vec<Change> = changes
        .into_iter()
        .filter(|change| is_earlier(change.id.hlc))
        .collect();
    let state = StoredState {
        meta,
        snapshot: snapshot.map(|snapshot| snapshot.encode()),
        records: vec![super::StoredRecord {
            sequence: 1,
            content: change::encode_list(kept.iter()),
        }],
        next: 2,
        revision: 0,
    };
    Ok(loading::load(name, DocumentOptions::default(), &state)?.0)
}

/// "before restore", or with a number if there is one.
fn free_name(backend: &dyn Store, document: &str, now_ms: i64) -> Result<String, StoreError> {
    let taken = backend.attachment_keys(document, INFO)?;
    let name = format!("before restore {now_ms}");
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    let is_free = |name: &String| !taken.contains(&format!("{INFO}{name}"));
    Ok(names
        .find(is_free)
        .expect("there are more numbers than versions"))
}

/// Those that are not too old.
fn retired(backend: &dyn Store, name: &str, days: u32) -> Result<Vec<RetiredRange>, StoreError> {
    let Some(bytes) = backend.attachment(name, RETIRED)? else {
        return Ok(Vec::new());
    };
    let since_ms = wall_clock_ms() - i64::from(days) * 86_400_000;
    let chunks = bytes.chunks_exact(RANGE_BYTES);
    if !chunks.remainder().is_empty() {
        return Err(StoreError::corrupt(name, None, "the retired ranges"));
    }
    let range = |chunk: &[u8]| {
        let eight = |at: usize| chunk[at..at + 8].try_into().expect("eight bytes");
        RetiredRange {
            retired_ms: i64::from_le_bytes(eight(0)),
            peer: PeerId::from_bytes(chunk[8..24].try_into().expect("sixteen bytes")),
            after: Hlc::from_bytes(eight(24)),
            until: Hlc::from_bytes(eight(32)),
        }
    };
    let ranges = chunks.map(range);
    Ok(ranges
        .filter(|range| range.retired_ms >= since_ms)
        .collect())
}

fn encode_ranges(ranges: &[RetiredRange]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ranges.len() * RANGE_BYTES);
    for range in ranges {
        bytes.extend(range.retired_ms.to_le_bytes());
        bytes.extend(range.peer.bytes());
        bytes.extend(range.after.to_bytes());
        bytes.extend(range.until.to_bytes());
    }
    bytes
}
