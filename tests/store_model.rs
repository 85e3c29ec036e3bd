//! Random writes to both stores against an obvious model, with the file opened anew now and then.

use std::collections::BTreeMap;
use syncline::clock::PeerId;
use syncline::store::{
    Attachment, Content, DocumentMeta, Generation, KIND_CRDT, MemoryStore, Store, StoreError, Write,
};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(40) * self.below(40);
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    fn records(&mut self) -> Vec<Vec<u8>> {
        (0..self.below(4)).map(|_| self.bytes()).collect()
    }
}

/// What a document should be. The log of both generations, with every number that was ever given.
#[derive(Clone)]
struct Model {
    meta: DocumentMeta,
    log: BTreeMap<u64, Vec<u8>>,
    first: u64,
    next: u64,
    snapshot: Option<Vec<u8>>,
    previous: Option<(u64, Option<Vec<u8>>)>,
    attachments: BTreeMap<String, Vec<u8>>,
}

fn meta(random: &mut Random) -> DocumentMeta {
    DocumentMeta {
        kind: KIND_CRDT,
        peer_id: PeerId::from_bytes([random.below(256) as u8; 16]),
        closed_cleanly: random.below(2) == 0,
        epoch: random.below(u64::MAX),
    }
}

impl Model {
    fn next_generation(&mut self, snapshot: Option<Vec<u8>>, first: u64) {
        let before = std::mem::replace(&mut self.snapshot, snapshot);
        self.previous = Some((self.first, before));
        let oldest = self.first;
        self.log.retain(|sequence, _| *sequence >= oldest);
        self.first = first;
    }

    fn append(&mut self, records: &[Vec<u8>]) {
        for record in records {
            self.log.insert(self.next, record.clone());
            self.next += 1;
        }
    }

    fn check(&self, store: &dyn Store, name: &str, context: &str) {
        let state = store.load(name).unwrap().expect(context);
        assert_eq!(state.meta, self.meta, "{context}");
        assert_eq!(state.snapshot, self.snapshot, "{context}");
        assert_eq!(state.next, self.next, "{context}");
        let found = state
            .records
            .into_iter()
            .map(|record| (record.sequence, record.content));
        let expected = self
            .log
            .range(self.first..)
            .map(|(at, content)| (*at, content.clone()));
        assert!(found.eq(expected), "{context}");
        let head = store.head(name).unwrap().unwrap();
        let bytes: usize = self
            .log
            .range(self.first..)
            .map(|(_, content)| content.len())
            .sum();
        assert_eq!(
            (head.first, head.next, head.log_bytes),
            (self.first, self.next, bytes as u64),
            "{context}"
        );
        assert_eq!(
            head.snapshot_bytes,
            self.snapshot.as_ref().map(|s| s.len() as u64),
            "{context}"
        );
        let previous = self.previous.as_ref().map(|(first, _)| *first);
        assert_eq!(
            head.previous.map(|previous| previous.first),
            previous,
            "{context}"
        );
        let snapshot = store.snapshot(name, Generation::Previous).unwrap();
        let expected = self
            .previous
            .as_ref()
            .and_then(|(_, snapshot)| snapshot.clone());
        assert_eq!(snapshot, expected, "{context}");
        let oldest = previous.unwrap_or(self.first);
        let page = store.read_log(name, oldest..u64::MAX, usize::MAX).unwrap();
        let found = page.records.into_iter().map(|record| record.content);
        assert!(found.eq(self.log.values().cloned()), "{context}");
        let before = store.read_log(name, oldest - 1..oldest, 9).err();
        assert_eq!(
            before,
            Some(StoreError::OutOfRange { nearest: oldest }),
            "{context}"
        );
        let keys: Vec<_> = self.attachments.keys().cloned().collect();
        assert_eq!(store.attachment_keys(name, "").unwrap(), keys, "{context}");
        for (key, content) in &self.attachments {
            let found = store.attachment(name, key).unwrap();
            assert_eq!(found.as_ref(), Some(content), "{context}");
        }
    }
}

fn run(seed: u64, steps: u64, mut reopen: impl FnMut(Option<Box<dyn Store>>) -> Box<dyn Store>) {
    let mut random = Random(seed);
    let mut store = reopen(None);
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    let mut values: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for step in 0..steps {
        let name = format!("document {}", random.below(4));
        let context = format!("seed {seed:#x}, step {step}, {name}");
        let meta = meta(&mut random);
        let mut model = models.get(&name).cloned().unwrap_or_else(|| Model {
            meta,
            log: BTreeMap::new(),
            first: 1,
            next: 1,
            snapshot: None,
            previous: None,
            attachments: BTreeMap::new(),
        });
        model.meta = meta;
        let (records, snapshot) = (random.records(), random.bytes());
        let end = model.first + random.below(model.next - model.first + 1);
        let key = format!("key {}", random.below(3));
        let attached = (random.below(3) > 0).then(|| random.bytes());
        let attachments = [Attachment {
            key: key.clone(),
            content: attached.clone(),
        }];
        let with_snapshot = random.below(2) == 0;
        let content = match random.below(9) {
            0 => Content::Keep,
            1..4 => {
                model.append(&records);
                Content::Append(&records)
            }
            4 => {
                let snapshot = with_snapshot.then_some(snapshot.as_slice());
                model.next_generation(snapshot.map(<[u8]>::to_vec), model.next);
                model.append(&records);
                Content::Replace {
                    snapshot,
                    records: &records,
                }
            }
            5 | 6 => {
                model.next_generation(Some(snapshot.clone()), end);
                Content::Cover {
                    snapshot: &snapshot,
                    end,
                }
            }
            7 => {
                let first = model.first;
                model.log.retain(|sequence, _| *sequence >= first);
                model.previous = None;
                Content::DropPrevious
            }
            _ => {
                (model.first, model.snapshot, model.previous) = (model.next, None, None);
                model.log.clear();
                Content::Clear
            }
        };
        let has_attachment = random.below(3) == 0;
        if has_attachment {
            match attached {
                Some(content) => drop(model.attachments.insert(key, content)),
                None => drop(model.attachments.remove(&key)),
            }
        }
        let revision = store.head(&name).unwrap().map_or(0, |head| head.revision);
        let write = Write {
            attachments: if has_attachment { &attachments } else { &[] },
            expected: (random.below(2) == 0).then_some(revision),
            ..Write::new(&name, meta, content)
        };
        // A batch with something wrong in it does nothing.
        let wrong = Write {
            expected: Some(revision + 99),
            ..write
        };
        assert!(matches!(
            store.commit(&[write, wrong]),
            Err(StoreError::Conflict { .. })
        ));
        let committed = store.commit(&[write]).unwrap()[0];
        assert_eq!(
            (committed.next, committed.revision),
            (model.next, revision + 1),
            "{context}"
        );
        models.insert(name.clone(), model);
        if random.below(4) == 0 {
            let key = format!("value {}", random.below(3));
            let value = (random.below(3) > 0).then(|| random.bytes());
            store.set_value(&key, value.as_deref()).unwrap();
            match value {
                Some(value) => drop(values.insert(key, value)),
                None => drop(values.remove(&key)),
            }
        }
        if random.below(12) == 0 {
            let removed = store.remove(&name).unwrap();
            assert_eq!(removed, models.remove(&name).is_some(), "{context}");
        }
        if random.below(25) == 0 {
            store = reopen(Some(store));
        }
        for number in 0..3 {
            let key = format!("value {number}");
            assert_eq!(
                store.value(&key).unwrap().as_ref(),
                values.get(&key),
                "{context}"
            );
        }
        assert_eq!(
            store.names().unwrap(),
            models.keys().cloned().collect::<Vec<_>>(),
            "{context}"
        );
        assert_eq!(store.count().unwrap(), models.len() as u64, "{context}");
        models
            .iter()
            .for_each(|(name, model)| model.check(&*store, name, &context));
    }
}

#[test]
fn the_memory_store_agrees_with_the_model() {
    for seed in 1..40 {
        run(seed * 0x9e37_79b9, 120, |store| {
            store.unwrap_or_else(|| Box::new(MemoryStore::new()))
        });
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn the_sqlite_store_agrees_with_the_model() {
    use syncline::store::{Durability, SqliteOptions, SqliteStore};
    for seed in 1..8 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let options = SqliteOptions {
            durability: Durability::Off,
            shared: seed % 2 == 0,
            ..SqliteOptions::default()
        };
        run(seed * 0x9e37_79b9, 120, |store| {
            if let Some(store) = store {
                // In turn: closed, or only asleep.
                if store.count().unwrap() % 2 == 0 {
                    store.suspend().unwrap();
                    store.resume().unwrap();
                    return store;
                }
                store.close().unwrap();
            }
            Box::new(SqliteStore::open(&path, &options).unwrap())
        });
    }
}
