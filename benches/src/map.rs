//! Maps: ten thousand keys in one transaction, then ten overwrites of each, one change each; time,
//! and heap before and after pruning. With the feature `peers` the same through yrs.

mod heap;
mod measure;
mod table;

use measure::measured;
use std::hint::black_box;
use syncline::codec::Value;
use syncline::document::{Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec};
use syncline::replica::Replica as _;
use table::{Sample, Table};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const KEYS: usize = 10_000;
const OVERWRITES: usize = 10;

const TRANSACTION: &str = "syncline, keys in one transaction";
const OVERWRITING: &str = "syncline, overwrites, heap in all";

fn main() {
    let mut runs = 7;
    let mut with_peers = true;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--runs" => {
                let count = arguments.next().and_then(|count| count.parse().ok());
                runs = count.expect("--runs N");
            }
            // Ours alone: for profilers.
            "--only" => with_peers = false,
            other => panic!("{other} is unknown: --runs N, --only"),
        }
    }
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key{number}")).collect();
    let mut table = Table::default();
    for _ in 0..runs {
        run(&keys, &mut table);
        late(&keys, &mut table);
        if with_peers {
            run_yrs(&keys, &mut table);
        }
    }
    table.print(&[("/ keys", TRANSACTION)]);
}

fn document() -> (Document, HandlerIdx) {
    let mut document = Document::new(DocumentOptions::default());
    let map = document.handler("map", &HandlerSpec::new(HandlerKind::Map));
    (document, map.expect("a new id"))
}

fn set_all(document: &mut Document, map: HandlerIdx, keys: &[String]) {
    document.begin(b"").expect("an open document");
    for (number, key) in keys.iter().enumerate() {
        let value = Value::Int(number as i64);
        document.map_set(map, key, &value).expect("a JSON value");
    }
    document.commit().expect("an open transaction");
}

fn run(keys: &[String], table: &mut Table) {
    let before = heap::live();
    let ((mut document, map), sample) = measured(|| {
        let (mut document, map) = document();
        set_all(&mut document, map, keys);
        (document, map)
    });
    table.add(TRANSACTION, sample);
    let (_, sample) = measured(|| {
        for round in 0..OVERWRITES {
            for (number, key) in keys.iter().enumerate() {
                let value = Value::Int((number + round) as i64);
                document.map_set(map, key, &value).expect("a JSON value");
            }
        }
    });
    let heap = Some(heap::live() - before);
    table.add(OVERWRITING, Sample { heap, ..sample });
    let (entries, sample) = measured(|| document.map_entries(map));
    assert_eq!(entries.len(), KEYS);
    drop(entries);
    table.add("syncline, all entries read", sample);
    let (list, sample) = measured(|| document.export_list());
    let bytes = Some(list.len());
    table.add("syncline, exported", Sample { bytes, ..sample });
    let (_, sample) = measured(|| {
        let (mut reader, map) = self::document();
        reader
            .import_list(&list, b"", syncline::document::Origin::Remote)
            .expect("its own export");
        assert_eq!(reader.map_len(map) as usize, KEYS);
        reader
    });
    table.add("syncline, imported by another", sample);
    drop(list);
    let (_, sample) = measured(|| {
        document.take_snapshot(true).expect("known handlers");
    });
    let heap = Some(heap::live() - before);
    table.add("syncline, pruned, heap in all", Sample { heap, ..sample });
    assert_eq!(document.map_len(map) as usize, KEYS);
}

/// A change from the past into a map of many keys, then a read.
fn late(keys: &[String], table: &mut Table) {
    let (mut document, map) = document();
    let (mut other, theirs) = self::document();
    other
        .map_set(theirs, "key77", &Value::Int(1))
        .expect("a JSON value");
    let late = other.all_changes();
    for round in 0..3 {
        for (number, key) in keys.iter().enumerate() {
            let value = Value::Int((number + round) as i64);
            document.map_set(map, key, &value).expect("a JSON value");
        }
    }
    let (_, sample) = measured(|| {
        document
            .import_changes(late, b"", syncline::document::Origin::Remote)
            .expect("a sound change");
        black_box(document.map_get(map, "key77"))
    });
    table.add("syncline, late change and a read", sample);
}

#[cfg(not(feature = "peers"))]
fn run_yrs(_: &[String], _: &mut Table) {}

#[cfg(feature = "peers")]
fn run_yrs(keys: &[String], table: &mut Table) {
    use yrs::{Doc, Map as _, Transact as _};
    let before = heap::live();
    let ((doc, map), sample) = measured(|| {
        let doc = Doc::new();
        let map = doc.get_or_insert_map("map");
        let mut transaction = doc.transact_mut();
        for (number, key) in keys.iter().enumerate() {
            map.insert(&mut transaction, key.as_str(), number as i64);
        }
        drop(transaction);
        (doc, map)
    });
    table.add("yrs, keys in one transaction", sample);
    let (_, sample) = measured(|| {
        for round in 0..OVERWRITES {
            for (number, key) in keys.iter().enumerate() {
                let mut transaction = doc.transact_mut();
                map.insert(&mut transaction, key.as_str(), (number + round) as i64);
            }
        }
    });
    let heap = Some(heap::live() - before);
    table.add("yrs, overwrites, heap in all", Sample { heap, ..sample });
}
