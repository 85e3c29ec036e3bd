//! Golden vectors: loading them and running every case of a file.
//!
//! A case that cannot apply is skipped with a printed reason; a file of which nothing ran fails.

// Each test binary uses a part of this.
#![allow(dead_code)]

use serde_json::Value as Json;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// What became of a case that did not fail.
pub enum Outcome {
    Passed,
    /// Why the case does not apply.
    Skipped(String),
}

/// Shorthand for a reason.
pub fn skip(reason: impl Into<String>) -> Outcome {
    Outcome::Skipped(reason.into())
}

/// The folder of the vectors.
pub fn vectors_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Names of all vector files below `folder` ("" for the top), as [`load`] takes them, sorted.
pub fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(vectors_dir().join(folder)).expect("the folder is there");
    let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stems = files.filter_map(|file| file.strip_suffix(".json.gz").map(str::to_owned));
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let mut names: Vec<String> = stems.map(|stem| format!("{prefix}{stem}")).collect();
    names.sort();
    names
}

/// A whole vector file.
pub fn load(name: &str) -> Json {
    let path = vectors_dir().join(format!("{name}.json.gz"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut text = String::new();
    let mut unpacked = flate2::read::GzDecoder::new(packed.as_slice());
    unpacked.read_to_string(&mut text).expect("gzip of UTF-8");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs every case of the file (its `cases`, or the list it is) and prints the skipped ones and the sum.
pub fn each_case(name: &str, run: impl FnMut(&Json) -> Outcome) {
    let file = load(name);
    let cases = file.get("cases").unwrap_or(&file);
    each(name, list(cases), run);
}

/// Runs every case given. All failures are collected, so that one does not hide the others.
pub fn each<'a>(
    name: &str,
    cases: impl IntoIterator<Item = &'a Json>,
    mut run: impl FnMut(&'a Json) -> Outcome,
) {
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for (number, case) in cases.into_iter().enumerate() {
        match catch_unwind(AssertUnwindSafe(|| run(case))) {
            Ok(Outcome::Passed) => passed += 1,
            Ok(Outcome::Skipped(reason)) => {
                skipped += 1;
                println!("{name} #{number} skipped: {reason}: {}", shortened(case));
            }
            Err(_) => {
                println!("{name} #{number} FAILED: {}", shortened(case));
                failed.push(number);
            }
        }
    }
    println!(
        "{name}: {passed} passed, {skipped} skipped, {} failed",
        failed.len()
    );
    assert!(failed.is_empty(), "{name}: cases {failed:?} failed");
    assert!(passed > 0, "{name}: no case ran");
}

fn shortened(case: &Json) -> String {
    let text = case.to_string();
    let cut = text
        .char_indices()
        .nth(200)
        .map_or(text.len(), |(at, _)| at);
    text[..cut].to_owned()
}

/// The items of a JSON list.
pub fn list(value: &Json) -> &[Json] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("not a list: {value}"))
}

/// A JSON string without lone surrogates.
pub fn text(value: &Json) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"))
}

/// A JSON integer, written as a number or as a string.
pub fn int(value: &Json) -> i64 {
    match value {
        Json::String(text) => text.parse().expect("an integer"),
        _ => value
            .as_i64()
            .unwrap_or_else(|| panic!("not an integer: {value}")),
    }
}

/// The bytes of a string of hexadecimal digits.
pub fn hex(value: &Json) -> Vec<u8> {
    unhex(text(value))
}

/// The bytes of a string of hexadecimal digits.
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len() % 2 == 0, "half a byte: {text}");
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits"))
        .collect()
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The UTF-16 units of a JSON string, of `{"u16": [...]}`, or of a bare list of units.
pub fn units(value: &Json) -> Vec<u16> {
    match value {
        Json::String(text) => text.encode_utf16().collect(),
        Json::Array(_) => unit_list(value),
        Json::Object(object) if object.len() == 1 => unit_list(&object["u16"]),
        _ => panic!("not a string: {value}"),
    }
}

fn unit_list(value: &Json) -> Vec<u16> {
    let units = list(value).iter();
    units
        .map(|unit| u16::try_from(int(unit)).expect("a unit"))
        .collect()
}

/// A small generator of repeatable random numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 up to below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
