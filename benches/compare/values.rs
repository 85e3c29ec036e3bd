//! Rows about maps and lists.

use crate::engine::document_with;
use crate::report::{OURS, Report};
use bench::measure::measured;
use syncline::codec::Value;
use syncline::document::HandlerKind;
use syncline::replica::Replica as _;

/// Keys of a map and elements of a list.
pub const COUNT: usize = 10_000;
/// How often each key is overwritten.
pub const ROUNDS: usize = 10;

pub const MAP_FILL: &str = "map, 10,000 keys in one transaction";
pub const MAP_OVERWRITE: &str = "map, 10 overwrites of each";
pub const MAP_HEAP: &str = "its heap";
pub const LIST_PUSH: &str = "list, 10,000 pushes";
pub const LIST_EDIT: &str = "list, 10,000 random edits";
pub const LIST_MOVE: &str = "list, 10,000 moves";

/// The names of the keys, made outside of what is measured.
pub fn keys() -> Vec<String> {
    (0..COUNT).map(|nth| format!("key {nth}")).collect()
}

/// Numbers that are always the same.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as usize
    }
}

pub fn ours(report: &mut Report) {
    map(report);
    list(report);
    moves(report);
}

fn map(report: &mut Report) {
    let keys = keys();
    let ((mut document, map), sample) = measured(|| {
        let (mut document, map) = document_with(1, HandlerKind::Map);
        document.begin(&[]).expect("an open document");
        for (nth, key) in keys.iter().enumerate() {
            let value = Value::Int(nth as i64);
            document.map_set(map, key, &value).expect("a map");
        }
        document.commit().expect("begun");
        (document, map)
    });
    report.time(MAP_FILL, OURS, sample.time);
    let filled = sample.heap.unwrap_or_default();
    let (_, sample) = measured(|| {
        for round in 1..=ROUNDS {
            for (nth, key) in keys.iter().enumerate() {
                let value = Value::Int((nth * round) as i64);
                document.map_set(map, key, &value).expect("a map");
            }
        }
    });
    report.time(MAP_OVERWRITE, OURS, sample.time);
    let heap = filled + sample.heap.unwrap_or_default();
    report.size(MAP_HEAP, OURS, heap.unsigned_abs());
    let (_, sample) = measured(|| document.take_snapshot(true).is_ok());
    let heap = heap + sample.heap.unwrap_or_default();
    report.size("its heap, pruned", OURS, heap.unsigned_abs());
}

fn list(report: &mut Report) {
    let (mut document, list) = document_with(1, HandlerKind::FugueList);
    let (_, sample) = measured(|| {
        for nth in 0..COUNT {
            let value = Value::Int(nth as i64);
            document.list_push(list, &[value]).expect("a list");
        }
    });
    report.time(LIST_PUSH, OURS, sample.time);
    let mut numbers = Numbers::new(1);
    let (_, sample) = measured(|| {
        let mut len = COUNT;
        for nth in 0..COUNT {
            if numbers.below(2) == 0 {
                let value = Value::Int(nth as i64);
                let at = numbers.below(len + 1) as u64;
                document.list_insert(list, at, &[value]).expect("inside");
                len += 1;
            } else {
                let at = numbers.below(len) as u64;
                document.list_remove(list, at, 1).expect("inside");
                len -= 1;
            }
        }
    });
    report.time(LIST_EDIT, OURS, sample.time);
}

fn moves(report: &mut Report) {
    let (mut document, list) = document_with(1, HandlerKind::MovableList);
    for nth in 0..COUNT {
        let value = Value::Int(nth as i64);
        document.list_push(list, &[value]).expect("a list");
    }
    let mut numbers = Numbers::new(2);
    let (_, sample) = measured(|| {
        for _ in 0..COUNT {
            let (from, to) = (numbers.below(COUNT) as u64, numbers.below(COUNT) as u64);
            document.list_move(list, from, to).expect("inside");
        }
    });
    report.time(LIST_MOVE, OURS, sample.time);
}

/// The same by the others, as their manuals say.
#[cfg(feature = "peers")]
pub mod peers {
    use super::*;
    use automerge::transaction::Transactable as _;
    use loro::LoroDoc;
    use yrs::{Map as _, Transact as _};

    pub fn all(report: &mut Report, slow: bool) {
        yrs(report);
        loro_map(report);
        loro_lists(report);
        if slow {
            automerge(report);
        }
    }

    fn heap_of(filled: isize, sample: &bench::table::Sample) -> usize {
        (filled + sample.heap.unwrap_or_default()).unsigned_abs()
    }

    fn yrs(report: &mut Report) {
        let keys = keys();
        let document = yrs::Doc::new();
        let map = document.get_or_insert_map("bench");
        let (_, sample) = measured(|| {
            let mut transaction = document.transact_mut();
            for (nth, key) in keys.iter().enumerate() {
                map.insert(&mut transaction, key.as_str(), nth as i64);
            }
        });
        report.time(MAP_FILL, "yrs", sample.time);
        let filled = sample.heap.unwrap_or_default();
        let (_, sample) = measured(|| {
            for round in 1..=ROUNDS {
                for (nth, key) in keys.iter().enumerate() {
                    let mut transaction = document.transact_mut();
                    map.insert(&mut transaction, key.as_str(), (nth * round) as i64);
                }
            }
        });
        report.time(MAP_OVERWRITE, "yrs", sample.time);
        report.size(MAP_HEAP, "yrs", heap_of(filled, &sample));
    }

    fn loro_map(report: &mut Report) {
        let keys = keys();
        let document = LoroDoc::new();
        let map = document.get_map("bench");
        let (_, sample) = measured(|| {
            for (nth, key) in keys.iter().enumerate() {
                map.insert(key, nth as i64).expect("attached");
            }
            document.commit();
        });
        report.time(MAP_FILL, "Loro", sample.time);
        let filled = sample.heap.unwrap_or_default();
        let (_, sample) = measured(|| {
            for round in 1..=ROUNDS {
                for (nth, key) in keys.iter().enumerate() {
                    map.insert(key, (nth * round) as i64).expect("attached");
                    document.commit();
                }
            }
        });
        report.time(MAP_OVERWRITE, "Loro", sample.time);
        report.size(MAP_HEAP, "Loro", heap_of(filled, &sample));
    }

    fn loro_lists(report: &mut Report) {
        let document = LoroDoc::new();
        let list = document.get_list("bench");
        let (_, sample) = measured(|| {
            for nth in 0..COUNT {
                list.push(nth as i64).expect("attached");
                document.commit();
            }
        });
        report.time(LIST_PUSH, "Loro", sample.time);
        let mut numbers = Numbers::new(1);
        let (_, sample) = measured(|| {
            let mut len = COUNT;
            for nth in 0..COUNT {
                if numbers.below(2) == 0 {
                    list.insert(numbers.below(len + 1), nth as i64)
                        .expect("inside");
                    len += 1;
                } else {
                    list.delete(numbers.below(len), 1).expect("inside");
                    len -= 1;
                }
                document.commit();
            }
        });
        report.time(LIST_EDIT, "Loro", sample.time);
        let list = document.get_movable_list("moved");
        for nth in 0..COUNT {
            list.push(nth as i64).expect("attached");
        }
        document.commit();
        let mut numbers = Numbers::new(2);
        let (_, sample) = measured(|| {
            for _ in 0..COUNT {
                list.mov(numbers.below(COUNT), numbers.below(COUNT))
                    .expect("inside");
                document.commit();
            }
        });
        report.time(LIST_MOVE, "Loro", sample.time);
    }

    fn automerge(report: &mut Report) {
        let keys = keys();
        let (mut document, sample) = measured(|| {
            let mut document = automerge::AutoCommit::new();
            for (nth, key) in keys.iter().enumerate() {
                let put = document.put(automerge::ROOT, key.as_str(), nth as i64);
                put.expect("the root");
            }
            document.commit();
            document
        });
        report.time(MAP_FILL, "Automerge", sample.time);
        let filled = sample.heap.unwrap_or_default();
        let (_, sample) = measured(|| {
            for round in 1..=ROUNDS {
                for (nth, key) in keys.iter().enumerate() {
                    let value = (nth * round) as i64;
                    let put = document.put(automerge::ROOT, key.as_str(), value);
                    put.expect("the root");
                    document.commit();
                }
            }
        });
        report.time(MAP_OVERWRITE, "Automerge", sample.time);
        report.size(MAP_HEAP, "Automerge", heap_of(filled, &sample));
    }
}
