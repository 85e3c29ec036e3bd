//! Editing traces as test input: recorded ones where the folder is present, generated ones where
//! it is not.

use serde_json::Value as Json;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// At a position remove so much, then insert: in code points.
pub struct Patch {
    pub at: usize,
    pub removed: usize,
    pub inserted: String,
}

/// Edits of one writer who had seen `parents` and all that they depend on.
pub struct Transaction {
    pub parents: Vec<usize>,
    pub patches: Vec<Patch>,
}

pub struct Trace {
    pub name: String,
    /// None: nobody knows; only that all must agree.
    pub end: Option<String>,
    pub transactions: Vec<Transaction>,
}

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/traces")
        .join(kind)
}

/// Names of the recorded traces of a kind, sorted; empty where there are none.
pub fn names(kind: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(kind))
        .into_iter()
        .flatten()
        .flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = files
        .filter_map(|file| file.strip_suffix(".json.gz").map(str::to_owned))
        .collect();
    names.sort();
    names
}

pub fn load(kind: &str, name: &str) -> Trace {
    let packed =
        std::fs::read(folder(kind).join(format!("{name}.json.gz"))).expect("a readable file");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .expect("gzip of UTF-8");
    let file: Json = serde_json::from_str(&text).expect("JSON");
    let transactions = list(&file["txns"]).iter().map(|transaction| Transaction {
        parents: transaction["parents"]
            .as_array()
            .into_iter()
            .flatten()
            .map(number)
            .collect(),
        patches: list(&transaction["patches"]).iter().map(patch).collect(),
    });
    Trace {
        name: name.to_owned(),
        end: Some(file["endContent"].as_str().expect("text").to_owned()),
        transactions: transactions.collect(),
    }
}

fn list(json: &Json) -> &[Json] {
    json.as_array().expect("a list")
}

fn number(json: &Json) -> usize {
    json.as_u64().expect("a number") as usize
}

fn patch(json: &Json) -> Patch {
    let [at, removed, inserted] = list(json) else {
        panic!("a patch has three parts");
    };
    Patch {
        at: number(at),
        removed: number(removed),
        inserted: inserted.as_str().expect("text").to_owned(),
    }
}

/// A stream of numbers that is always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as usize
    }
}

/// One writer: bursts at a caret that jumps now and then, with backspaces; some characters of two
/// UTF-16 units.
pub fn generated_typing(edits: usize) -> Trace {
    let mut numbers = Numbers(1);
    let mut text: Vec<char> = Vec::new();
    let mut transactions = Vec::new();
    let (mut caret, mut burst_left, mut erasing) = (0, 0, false);
    for _ in 0..edits {
        if burst_left == 0 {
            erasing = numbers.below(10) < 3;
            burst_left = 1 + numbers.below(if erasing { 12 } else { 30 });
            if numbers.below(4) == 0 {
                caret = numbers.below(text.len() + 1);
            }
        }
        burst_left -= 1;
        let patch = if erasing && caret > 0 {
            caret -= 1;
            text.remove(caret);
            Patch {
                at: caret,
                removed: 1,
                inserted: String::new(),
            }
        } else {
            let letter = ['e', 't', 'a', ' ', '\n', '\u{e9}', '\u{1f600}'][numbers.below(7)];
            text.insert(caret, letter);
            caret += 1;
            Patch {
                at: caret - 1,
                removed: 0,
                inserted: letter.into(),
            }
        };
        transactions.push(Transaction {
            parents: Vec::new(),
            patches: vec![patch],
        });
    }
    Trace {
        name: "generated typing".into(),
        end: Some(text.into_iter().collect()),
        transactions,
    }
}

/// Branches that fork and merge; positions may reach past the end.
pub fn generated_branches(count: usize) -> Trace {
    let mut numbers = Numbers(2);
    let mut transactions: Vec<Transaction> = Vec::new();
    let mut heads: Vec<usize> = Vec::new();
    for number in 0..count {
        let mut parents = Vec::new();
        if !heads.is_empty() {
            let continued = heads[numbers.below(heads.len())];
            parents.push(continued);
            if numbers.below(4) == 0 {
                // A merge of all branches.
                parents.clone_from(&heads);
            }
            if heads.len() == 4 || numbers.below(3) > 0 {
                heads.retain(|head| !parents.contains(head));
            }
        }
        heads.push(number);
        let patches = (0..1 + numbers.below(3)).map(|_| Patch {
            at: numbers.below(count),
            removed: if numbers.below(3) == 0 {
                numbers.below(4)
            } else {
                0
            },
            inserted: ["", "a", "bc", "def"][numbers.below(4)].into(),
        });
        transactions.push(Transaction {
            parents,
            patches: patches.collect(),
        });
    }
    Trace {
        name: "generated branches".into(),
        end: None,
        transactions,
    }
}
