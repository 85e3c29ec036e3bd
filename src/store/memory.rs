//! A store that forgets at exit: for tests and for servers whose documents live elsewhere.
//!
//! Layer: `store`. Keeps the same promises as the one on disk, but for the crash.

use super::{
    Attachment, Content, DocumentInfo, DocumentMeta, Store, StoreError, StoredRecord, StoredState,
    Write, check_names, wall_clock_ms,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Documents in memory.
pub struct MemoryStore {
    /// `None` once closed.
    documents: Mutex<Option<BTreeMap<String, Entry>>>,
}

struct Entry {
    meta: DocumentMeta,
    snapshot: Option<Vec<u8>>,
    records: Vec<StoredRecord>,
    attachments: BTreeMap<String, Vec<u8>>,
    /// Number of the next record; never reused.
    sequence_next: u64,
    changed_ms: i64,
}

impl Entry {
    fn append(&mut self, records: &[Vec<u8>]) {
        for content in records {
            self.records.push(StoredRecord {
                sequence: self.sequence_next,
                content: content.clone(),
            });
            self.sequence_next += 1;
        }
    }

    fn attach(&mut self, attachment: &Attachment) {
        match &attachment.content {
            Some(content) => {
                let key = attachment.key.clone();
                self.attachments.insert(key, content.clone());
            }
            None => drop(self.attachments.remove(&attachment.key)),
        }
    }

    fn bytes(&self) -> u64 {
        let log: usize = self.records.iter().map(|record| record.content.len()).sum();
        (log + self.snapshot.as_ref().map_or(0, Vec::len)) as u64
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
    fn load(&self, document: &str) -> Result<Option<StoredState>, StoreError> {
        self.with(|documents| {
            documents.get(document).map(|entry| StoredState {
                meta: entry.meta,
                snapshot: entry.snapshot.clone(),
                records: entry.records.clone(),
            })
        })
    }

    fn attachment(&self, document: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|documents| documents.get(document)?.attachments.get(key).cloned())
    }

    fn commit(&self, batch: &[Write<'_>]) -> Result<(), StoreError> {
        check_names(batch)?;
        self.with(|documents| {
            for write in batch {
                let entry = documents
                    .entry(write.document.to_owned())
                    .or_insert_with(|| Entry {
                        meta: write.meta,
                        snapshot: None,
                        records: Vec::new(),
                        attachments: BTreeMap::new(),
                        sequence_next: 1,
                        changed_ms: 0,
                    });
                entry.meta = write.meta;
                entry.changed_ms = wall_clock_ms();
                write
                    .attachments
                    .iter()
                    .for_each(|attachment| entry.attach(attachment));
                match write.content {
                    Content::Keep => {}
                    Content::Append(records) => entry.append(records),
                    Content::Replace { snapshot, records } => {
                        entry.snapshot = snapshot.map(<[u8]>::to_vec);
                        entry.records.clear();
                        entry.append(records);
                    }
                }
            }
        })
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
