//! Editing traces: loading them, generating one where there are none, and writing one for
//! programs that read no JSON.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// One edit: at a position remove so much, then insert so much.
pub struct Edit {
    /// Position in code points and in UTF-16 units.
    pub at_chars: usize,
    pub at_utf16: u64,
    /// What is removed, in code points and in UTF-16 units.
    pub removed_chars: usize,
    pub removed_utf16: u64,
    /// Part of one long text: what is measured are the edits, not the cache misses of reading a
    /// trace whose strings lie scattered.
    pub inserted: &'static str,
}

pub struct Trace {
    pub name: String,
    pub edits: Vec<Edit>,
    pub end: String,
}

/// A trace of several writers.
pub struct Concurrent {
    pub name: String,
    pub transactions: Vec<Transaction>,
    pub end: String,
}

/// Edits of a writer who had seen the transactions `parents` and all that they depend on.
pub struct Transaction {
    pub parents: Vec<usize>,
    pub edits: Vec<Edit>,
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(rename = "endContent")]
    end_content: String,
    txns: Vec<FileTransaction>,
}

#[derive(serde::Deserialize)]
struct FileTransaction {
    #[serde(default)]
    parents: Vec<usize>,
    patches: Vec<(usize, usize, String)>,
}

/// The folder of the sequential traces; absent in most clones.
pub fn folder() -> PathBuf {
    kind_folder("sequential")
}

fn kind_folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/traces")
        .join(kind)
}

/// Names of all traces that are here, sorted.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = files
        .filter_map(|file| file.strip_suffix(".json.gz").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// A trace by name. None: no such file.
pub fn load(name: &str) -> Option<Trace> {
    let file = read("sequential", name)?;
    let patches = file.txns.into_iter().flat_map(|txn| txn.patches);
    Some(Trace {
        name: name.to_owned(),
        edits: with_utf16(patches),
        end: file.end_content,
    })
}

/// A trace of several writers by name. None: no such file.
///
/// # Panics
/// If it holds anything but ASCII: then positions would have to be converted per branch.
pub fn load_concurrent(name: &str) -> Option<Concurrent> {
    let file = read("concurrent", name)?;
    let transactions = file.txns.into_iter().map(|transaction| {
        assert!(transaction.patches.iter().all(|patch| patch.2.is_ascii()));
        Transaction {
            parents: transaction.parents,
            edits: with_utf16(transaction.patches.into_iter()),
        }
    });
    Some(Concurrent {
        name: name.to_owned(),
        transactions: transactions.collect(),
        end: file.end_content,
    })
}

fn read(kind: &str, name: &str) -> Option<File> {
    let packed = std::fs::read(kind_folder(kind).join(format!("{name}.json.gz"))).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .expect("gzip of UTF-8");
    Some(serde_json::from_str(&text).expect("a trace"))
}

/// Adds UTF-16 positions to edits that are given in code points.
fn with_utf16(patches: impl Iterator<Item = (usize, usize, String)>) -> Vec<Edit> {
    // Where the characters of two units are, in code points, ascending: mostly none.
    let mut pairs: Vec<usize> = Vec::new();
    let patches: Vec<(usize, usize, String)> = patches.collect();
    let mut edits = Vec::with_capacity(patches.len());
    let text: String = patches.iter().map(|(.., text)| text.as_str()).collect();
    // A benchmark needs its traces to the end.
    let mut text: &'static str = text.leak();
    for (at, removed, inserted) in &patches {
        let (at, removed) = (*at, *removed);
        let inserted = {
            let (inserted, rest) = text.split_at(inserted.len());
            text = rest;
            inserted
        };
        let first = pairs.partition_point(|place| *place < at);
        let after = pairs.partition_point(|place| *place < at + removed);
        edits.push(Edit {
            at_chars: at,
            at_utf16: (at + first) as u64,
            removed_chars: removed,
            removed_utf16: (removed + after - first) as u64,
            inserted,
        });
        let grown = inserted.chars().count();
        for place in &mut pairs[after..] {
            *place = *place + grown - removed;
        }
        let new = inserted
            .chars()
            .enumerate()
            .filter(|(_, character)| character.len_utf16() == 2);
        let new: Vec<usize> = new.map(|(nth, _)| at + nth).collect();
        pairs.splice(first..after, new);
    }
    edits
}

/// Typing as people do it: bursts at a caret that jumps now and then, with backspaces. Always the
/// same.
pub fn generated() -> Trace {
    const EDITS: usize = 260_000;
    let mut state = 0x5eed_u64;
    let mut below = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % limit as u64) as usize
    };
    let mut text: Vec<u8> = Vec::new();
    let mut patches = Vec::new();
    let mut caret = 0;
    let mut burst_left = 0;
    let mut erasing = false;
    while patches.len() < EDITS {
        if burst_left == 0 {
            erasing = below(10) < 3;
            burst_left = 1 + below(if erasing { 12 } else { 30 });
            if below(4) == 0 {
                // Jumps stay near: writers revise what they have just written.
                let reach = if below(10) == 0 { text.len() + 1 } else { 200 };
                caret = (caret + below(reach))
                    .saturating_sub(reach / 2)
                    .min(text.len());
            }
        }
        burst_left -= 1;
        if erasing && caret > 0 {
            caret -= 1;
            text.remove(caret);
            patches.push((caret, 1, String::new()));
        } else if !erasing {
            let letter = b"etaoin shrdlu\n"[below(14)];
            text.insert(caret, letter);
            patches.push((caret, 0, char::from(letter).to_string()));
            caret += 1;
        } else {
            burst_left = 0;
        }
    }
    let end = String::from_utf8(text).expect("letters");
    Trace {
        name: "generated".into(),
        edits: with_utf16(patches.into_iter()),
        end,
    }
}

impl Trace {
    /// Writes a line `<position> <removed> <inserted>` per edit, in UTF-16 units, with `\n`, `\r`
    /// and `\\` for line ends and backslashes; the last line is `end <escaped text>`.
    pub fn write_lines(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for edit in &self.edits {
            writeln!(
                file,
                "{} {} {}",
                edit.at_utf16,
                edit.removed_utf16,
                escaped(edit.inserted)
            )?;
        }
        writeln!(file, "end {}", escaped(&self.end))?;
        file.flush()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}
