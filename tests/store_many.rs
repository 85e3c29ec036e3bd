//! Many documents in one file: opening one costs the same, memory is that of the open ones.
//! `SYNCLINE_DOCUMENTS=100000 cargo test --test store_many -- --nocapture` shows the figures.
#![cfg(feature = "sqlite")]

use std::sync::Arc;
use std::time::{Duration, Instant};
use syncline::clock::PeerId;
use syncline::document::{HandlerKind, HandlerSpec};
use syncline::store::{
    Content, DocumentMeta, DocumentStore, DocumentStoreOptions, Durability, KIND_CRDT, KIND_RELAY,
    OpenOptions, SqliteOptions, SqliteStore, Store, Write,
};

/// Resident memory of this process, in bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[test]
fn many_documents_cost_what_the_open_ones_cost() {
    let count: usize = std::env::var("SYNCLINE_DOCUMENTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let options = SqliteOptions {
        durability: Durability::Off,
        ..SqliteOptions::default()
    };
    // The record of a small document, made once.
    let one = SqliteStore::open(folder.path().join("one"), &options).unwrap();
    let one = Arc::new(one);
    let small = DocumentStore::new(one.clone(), DocumentStoreOptions::default());
    let stored = small.open("small", &OpenOptions::default()).unwrap();
    let text = stored.document().with(|document| {
        let spec = HandlerSpec::new(HandlerKind::FugueText);
        let text = document.handler("text", &spec).unwrap();
        document.text_insert(text, 0, "a small document").unwrap();
    });
    text.unwrap();
    stored.flush(Duration::from_secs(20)).unwrap();
    let state = one.load("small").unwrap().unwrap();
    let records: Vec<Vec<u8>> = state
        .records
        .into_iter()
        .map(|record| record.content)
        .collect();

    let backend = SqliteStore::open(&path, &options).unwrap();
    let names: Vec<String> = (0..count)
        .map(|number| format!("document {number:06}"))
        .collect();
    let meta = DocumentMeta {
        kind: KIND_CRDT,
        peer_id: PeerId::random(),
        closed_cleanly: true,
        epoch: 1,
    };
    let started = Instant::now();
    for part in names.chunks(10_000) {
        let writes: Vec<Write<'_>> = part
            .iter()
            .map(|name| Write::new(name, meta, Content::Append(&records)))
            .collect();
        backend.commit(&writes).unwrap();
    }
    let room = DocumentMeta {
        kind: KIND_RELAY,
        ..meta
    };
    backend
        .commit(&[Write::new("room", room, Content::Append(&records))])
        .unwrap();
    backend.close().unwrap();
    println!("{count} documents written in {:?}", started.elapsed());
    drop(names);

    let before = resident();
    let started = Instant::now();
    let backend = Arc::new(SqliteStore::open(&path, &options).unwrap());
    println!("opened, all rows checked: {:?}", started.elapsed());
    let store = DocumentStore::new(backend, DocumentStoreOptions::default());
    assert_eq!(store.count(), Ok(count as u64 + 1));
    let started = Instant::now();
    let mut open = Vec::new();
    for number in 0..100 {
        let name = format!("document {:06}", number * (count / 100));
        open.push(store.open(&name, &OpenOptions::default()).unwrap());
    }
    println!("opening one: {:?}", started.elapsed() / 100);
    let started = Instant::now();
    let log = store.find_log("room").unwrap();
    assert_eq!(log.next(), 2);
    println!("opening a log: {:?}", started.elapsed());
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.saturating_sub(before);
        println!("memory for 100 open documents: {} kB", grown / 1024);
        // A hundred small documents, the page cache of SQLite (2 MB), and slack.
        assert!(grown < 24 << 20, "{grown} bytes");
    }
}
