//! A store that forgets at exit: for tests and for servers whose documents live elsewhere.
//!
//! Layer: `store`. Keeps the same promises as the one on disk, but for the crash.

use super::{
    Attachment, Committed, Content, DocumentInfo, DocumentMeta, Generation, Head, LogPage,
    PreviousHead, Store, StoreError, StoredRecord, StoredState, Write, check_names, check_write,
    wall_clock_ms,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Documents in memory.
pub struct MemoryStore {
    /// `None` once closed.
    documents: Mutex<Option<BTreeMap<String, Entry>>>,
}

struct Entry {
    meta: DocumentMeta,
    revision: u64,
    current: Option<Vec<u8>>,
    /// Snapshot of the previous generation, and the beginning of its log.
    previous: Option<(Option<Vec<u8>>, u64)>,
    /// Of both generations.
    records: VecDeque<StoredRecord>,
    attachments: BTreeMap<String, Vec<u8>>,
    /// The log of the present generation begins here.
    first: u64,
    /// Number of the next record; never reused.
    next: u64,
    changed_ms: i64,
}

impl Entry {
    fn new(meta: DocumentMeta) -> Self {
        Entry {
            meta,
            revision: 0,
            current: None,
            previous: None,
            records: VecDeque::new(),
            attachments: BTreeMap::new(),
            first: 1,
            next: 1,
            changed_ms: 0,
        }
    }

    fn oldest(&self) -> u64 {
        self.previous
            .as_ref()
            .map_or(self.first, |(_, first)| *first)
    }

    fn head(&self) -> Head {
        let len = |snapshot: &Option<Vec<u8>>| snapshot.as_ref().map(|bytes| bytes.len() as u64);
        Head {
            meta: self.meta,
            revision: self.revision,
            first: self.first,
            next: self.next,
            log_bytes: self.log().map(|record| record.content.len() as u64).sum(),
            snapshot_bytes: len(&self.current),
            previous: self
                .previous
                .as_ref()
                .map(|(snapshot, first)| PreviousHead {
                    first: *first,
                    snapshot_bytes: len(snapshot),
                }),
        }
    }

    /// Of the present generation.
    fn log(&self) -> impl Iterator<Item = &StoredRecord> {
        self.records.range((self.first - self.oldest()) as usize..)
    }

    fn append(&mut self, records: &[Vec<u8>]) {
        for content in records {
            self.records.push_back(StoredRecord {
                sequence: self.next,
                content: content.clone(),
            });
            self.next += 1;
        }
    }

    /// The present generation becomes the previous one; the log goes on at `first`.
    fn next_generation(&mut self, snapshot: Option<Vec<u8>>, first: u64) {
        self.drop_before(self.first);
        let before = std::mem::replace(&mut self.current, snapshot);
        self.previous = Some((before, self.first));
        self.first = first;
    }

    fn drop_before(&mut self, first: u64) {
        self.records.drain(..(first - self.oldest()) as usize);
        self.previous = None;
    }

    fn apply(&mut self, write: &Write<'_>) {
        self.meta = write.meta;
        self.revision += 1;
        self.changed_ms = wall_clock_ms();
        for Attachment { key, content } in write.attachments {
            match content {
                Some(content) => drop(self.attachments.insert(key.clone(), content.clone())),
                None => drop(self.attachments.remove(key)),
            }
        }
        match write.content {
            Content::Keep => {}
            Content::Append(records) => self.append(records),
            Content::Replace { snapshot, records } => {
                self.next_generation(snapshot.map(<[u8]>::to_vec), self.next);
                self.append(records);
            }
            Content::Cover { snapshot, end } => self.next_generation(Some(snapshot.to_vec()), end),
            Content::DropPrevious => self.drop_before(self.first),
            Content::Clear => {
                self.records.clear();
                (self.current, self.previous, self.first) = (None, None, self.next);
            }
        }
    }

    fn bytes(&self) -> u64 {
        let log: usize = self.log().map(|record| record.content.len()).sum();
        (log + self.current.as_ref().map_or(0, Vec::len)) as u64
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore {
            documents: Mutex::new(Some(BTreeMap::new())),
        }
    }

    fn with<R>(
        &self,
        body: impl FnOnce(&mut BTreeMap<String, Entry>) -> R,
    ) -> Result<R, StoreError> {
        self.documents
            .lock()
            .as_mut()
            .map(body)
            .ok_or(StoreError::Closed)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn head(&self, document: &str) -> Result<Option<Head>, StoreError> {
        self.with(|documents| documents.get(document).map(Entry::head))
    }

    fn load(&self, document: &str) -> Result<Option<StoredState>, StoreError> {
        self.with(|documents| {
            documents.get(document).map(|entry| StoredState {
                meta: entry.meta,
                snapshot: entry.current.clone(),
                records: entry.log().cloned().collect(),
                next: entry.next,
                revision: entry.revision,
            })
        })
    }

    fn read_log(
        &self,
        document: &str,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<LogPage, StoreError> {
        self.with(|documents| {
            let entry = documents.get(document).ok_or(StoreError::NotFound)?;
            let (oldest, range) = (entry.oldest(), range.start..range.end.min(entry.next));
            if range.start < oldest {
                return Err(StoreError::OutOfRange { nearest: oldest });
            }
            let mut page = LogPage {
                records: Vec::new(),
                next: range.start,
            };
            let mut bytes = 0;
            for record in entry.records.iter().skip((range.start - oldest) as usize) {
                bytes += record.content.len();
                let is_full = bytes > bytes_max && !page.records.is_empty();
                if record.sequence >= range.end || is_full {
                    break;
                }
                page.next = record.sequence + 1;
                page.records.push(record.clone());
            }
            Ok(page)
        })?
    }

    fn snapshot(
        &self,
        document: &str,
        generation: Generation,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|documents| {
            let entry = documents.get(document)?;
            match generation {
                Generation::Current => entry.current.clone(),
                Generation::Previous => entry.previous.as_ref()?.0.clone(),
            }
        })
    }

    fn attachment(&self, document: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|documents| documents.get(document)?.attachments.get(key).cloned())
    }

    fn attachment_keys(&self, document: &str, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.with(|documents| {
            let Some(entry) = documents.get(document) else {
                return Vec::new();
            };
            let from = entry.attachments.range(prefix.to_owned()..);
            from.map(|(key, _)| key.clone())
                .take_while(|key| key.starts_with(prefix))
                .collect()
        })
    }

    fn commit(&self, batch: &[Write<'_>]) -> Result<Vec<Committed>, StoreError> {
        check_names(batch)?;
        self.with(|documents| {
            check_batch(documents, batch)?;
            let write = |write: &Write<'_>| {
                let entry = documents.entry(write.document.to_owned());
                let entry = entry.or_insert_with(|| Entry::new(write.meta));
                entry.apply(write);
                Committed {
                    next: entry.next,
                    revision: entry.revision,
                }
            };
            Ok(batch.iter().map(write).collect())
        })?
    }

    fn remove(&self, document: &str) -> Result<bool, StoreError> {
        self.with(|documents| documents.remove(document).is_some())
    }

    fn contains(&self, document: &str) -> Result<bool, StoreError> {
        self.with(|documents| documents.contains_key(document))
    }

    fn list(&self) -> Result<Vec<DocumentInfo>, StoreError> {
        self.with(|documents| {
            let info = |(name, entry): (&String, &Entry)| DocumentInfo {
                name: name.clone(),
                kind: entry.meta.kind,
                bytes: entry.bytes(),
                changed_ms: entry.changed_ms,
            };
            documents.iter().map(info).collect()
        })
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.with(|documents| documents.len() as u64)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.with(|_| ())
    }

    fn close(&self) -> Result<(), StoreError> {
        *self.documents.lock() = None;
        Ok(())
    }
}

/// Refuses a batch before anything of it is done.
fn check_batch(documents: &BTreeMap<String, Entry>, batch: &[Write<'_>]) -> Result<(), StoreError> {
    let mut heads: BTreeMap<&str, Head> = BTreeMap::new();
    for write in batch {
        let known = heads.remove(write.document);
        let known = known.or_else(|| documents.get(write.document).map(Entry::head));
        check_write(write, known.as_ref())?;
        let mut head = known.unwrap_or_else(|| Entry::new(write.meta).head());
        head.revision += 1;
        match write.content {
            Content::Append(records) => head.next += records.len() as u64,
            Content::Replace { records, .. } => {
                head.first = head.next;
                head.next += records.len() as u64;
            }
            Content::Cover { end, .. } => head.first = end,
            Content::Clear => head.first = head.next,
            Content::Keep | Content::DropPrevious => {}
        }
        heads.insert(write.document, head);
    }
    Ok(())
}
