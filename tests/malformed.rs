//! Damaged input: every decoder on truncations and single-bit flips of the golden vectors' bytes.
//!
//! No decoder may panic, keep more memory than a multiple of its input, or accept what it cannot
//! write and read again. Where the vectors give more mutations than a decoder's budget, evenly
//! spaced ones are taken, so that every input has its share.

mod common;

use common::{hex, list, text, unhex};
use serde_json::Value as Json;
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::bytes::{write_prefixed, write_uvarint};
use syncline::codec::change::{decode_list, encode_list};
use syncline::codec::wtf8::{decode_to_utf16, encode_utf16};
use syncline::codec::{Change, ElementId, Envelope, Reader, Snapshot, Value, Wtf8String};
use syncline::codec::{json, version_vector};

/// Mutations tried per decoder.
const BUDGET: usize = 300_000;

/// Calls `decode` with damaged copies of the inputs. It returns None for what it refuses, else how
/// many bytes of memory the result holds; more than `growth` per byte of input fails.
fn damage(name: &str, inputs: &[Vec<u8>], growth: usize, decode: impl Fn(&[u8]) -> Option<usize>) {
    assert!(!inputs.is_empty(), "{name}: no inputs");
    let total: usize = inputs.iter().map(|input| input.len() * 9).sum();
    let stride = total.div_ceil(BUDGET).max(1);
    let (mut tried, mut accepted, mut skip) = (0usize, 0usize, 0);
    let mut run = |bytes: &[u8]| {
        tried += 1;
        if let Some(held) = decode(bytes) {
            accepted += 1;
            let limit = growth * (bytes.len() + 16);
            assert!(held <= limit, "{name}: {held} bytes held for {bytes:02x?}");
        }
    };
    for input in inputs {
        run(input);
        let mutations = input.len() * 9;
        let mut bytes = input.clone();
        let mut at = skip;
        while at < mutations {
            if at < input.len() {
                run(&input[..at]);
            } else {
                let bit = at - input.len();
                bytes[bit / 8] ^= 1 << (bit % 8);
                run(&bytes);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            at += stride;
        }
        skip = at - mutations;
    }
    println!(
        "{name}: {} inputs, {tried} tried, {accepted} accepted",
        inputs.len()
    );
    assert!(accepted > 0, "{name}: nothing was accepted");
    assert!(accepted < tried, "{name}: nothing was refused");
}

/// All hexadecimal strings under this key, anywhere in any of the files; no duplicates.
fn hex_strings(key: &str) -> Vec<Vec<u8>> {
    let mut found = std::collections::BTreeSet::new();
    for name in common::names("") {
        collect(&common::load(&name), key, false, &mut found);
    }
    found.into_iter().collect()
}

fn collect(json: &Json, key: &str, inside: bool, found: &mut std::collections::BTreeSet<Vec<u8>>) {
    match json {
        Json::Array(items) => items
            .iter()
            .for_each(|item| collect(item, key, inside, found)),
        Json::Object(members) => {
            for (name, member) in members {
                collect(member, key, name == key, found);
            }
        }
        Json::String(text) if inside && is_hex(text) => {
            found.insert(unhex(text));
        }
        _ => {}
    }
}

fn is_hex(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits && !text.is_empty() && text.len() % 2 == 0
}

fn changes() -> Vec<Vec<u8>> {
    let mut changes = hex_strings("changes");
    changes.retain(|bytes| Change::decode(bytes).is_ok());
    changes
}

fn cases(file: &str, function: &str, key: &str) -> Vec<Vec<u8>> {
    let file = common::load(file);
    let cases = list(&file["cases"]).iter();
    let of = cases.filter(|case| text(&case["fn"]) == function);
    of.filter(|case| case[key].is_string())
        .map(|case| hex(&case[key]))
        .collect()
}

fn change_held(change: &Change) -> usize {
    change.deps.capacity() * size_of::<OperationId>() + change.payload.capacity()
}

#[test]
fn changes_and_blobs() {
    let changes = changes();
    damage("change", &changes, 4, |bytes| {
        let change = Change::decode(bytes).ok()?;
        let encoded = change.encode();
        assert_eq!(encoded.len(), change.encoded_len());
        assert_eq!(Change::decode(&encoded).as_ref(), Ok(&change));
        Some(change_held(&change))
    });
    let blobs: Vec<_> = changes
        .iter()
        .map(|change| {
            let mut blob = Vec::new();
            Change::decode(change).unwrap().encode_blob(&mut blob);
            blob
        })
        .collect();
    damage("blob", &blobs, 4, |bytes| {
        let change = Change::decode_blob(bytes).ok()?;
        let mut blob = Vec::new();
        change.encode_blob(&mut blob);
        assert_eq!(blob.len(), change.encoded_blob_len());
        assert_eq!(Change::decode_blob(&blob).as_ref(), Ok(&change));
        Some(change_held(&change))
    });
    let payloads: Vec<_> = changes
        .iter()
        .map(|change| Change::decode(change).unwrap().payload)
        .collect();
    damage("envelope", &payloads, 1, |bytes| {
        let envelope = Envelope::decode(bytes).ok()?;
        let mut encoded = Vec::new();
        envelope.encode(&mut encoded);
        assert_eq!(encoded.len(), envelope.encoded_len());
        assert_eq!(Envelope::decode(&encoded), Ok(envelope));
        Some(0)
    });
}

#[test]
fn change_lists() {
    let changes: Vec<_> = changes()
        .iter()
        .map(|change| Change::decode(change).unwrap())
        .collect();
    let mut lists: Vec<_> = changes
        .chunks(5)
        .step_by(20)
        .map(|some| encode_list(some.iter()))
        .collect();
    lists.extend(cases("containers", "document.binaryImport", "in"));
    lists.extend(cases("containers", "changeCodec.encode", "ok"));
    damage("change list", &lists, 12, |bytes| {
        let changes = decode_list(bytes).ok()?;
        assert_eq!(
            decode_list(&encode_list(changes.iter())).as_ref(),
            Ok(&changes)
        );
        let own = changes.capacity() * size_of::<Change>();
        Some(own + changes.iter().map(change_held).sum::<usize>())
    });
}

fn vector_held(vector: &VersionVector) -> usize {
    vector.len() * size_of::<(PeerId, Hlc)>()
}

#[test]
fn snapshots_and_version_vectors() {
    let mut snapshots = hex_strings("hex");
    snapshots.extend(hex_strings("snapshot"));
    snapshots.retain(|bytes| Snapshot::decode(bytes).is_ok());
    let held = |snapshot: &Snapshot| {
        let entries = snapshot.entries().iter();
        let owned = entries.map(|(key, state)| 48 + key.capacity() + state.capacity());
        owned.sum::<usize>() + snapshot.id().len() + vector_held(snapshot.vector())
    };
    damage("snapshot", &snapshots, 32, |bytes| {
        let snapshot = Snapshot::decode(bytes).ok()?;
        assert_eq!(Snapshot::decode(&snapshot.encode()).as_ref(), Ok(&snapshot));
        Some(held(&snapshot))
    });
    damage("snapshot, lenient", &snapshots, 32, |bytes| {
        let snapshot = Snapshot::decode_lenient(bytes).ok()?;
        assert_eq!(Snapshot::decode(&snapshot.encode()).as_ref(), Ok(&snapshot));
        Some(held(&snapshot))
    });
    let mut vectors = hex_strings("vv");
    vectors.extend(cases("version_vector", "encode", "ok"));
    vectors.retain(|bytes| version_vector::decode(bytes).is_ok());
    damage("version vector", &vectors, 4, |bytes| {
        let vector = version_vector::decode(bytes).ok()?;
        let again = version_vector::decode(&version_vector::encode(&vector)).unwrap();
        assert!(again.iter().eq(vector.iter()), "the order of the entries");
        Some(vector_held(&vector))
    });
}

fn element_id_bytes() -> Vec<Vec<u8>> {
    let mut ids = cases("ids", "elementId.fromBytes", "in");
    ids.extend(cases("ids", "elementId.compare", "bytesA"));
    ids.retain(|bytes| ElementId::decode(bytes).is_ok());
    ids
}

#[test]
fn element_ids() {
    damage("element id", &element_id_bytes(), 1, |bytes| {
        let id = ElementId::decode(bytes).ok()?;
        let mut encoded = Vec::new();
        ElementId::write(id, &mut encoded);
        assert_eq!(ElementId::decode(&encoded), Ok(id));
        Some(0)
    });
}

#[test]
fn json_texts() {
    let mut texts = cases("varint_wtf8_json", "json.roundtrip", "in");
    texts.extend(cases("varint_wtf8_json", "json.encode", "ok"));
    // Larger ones: cases of the vectors themselves.
    let file = common::load("quirks");
    texts.extend(
        list(&file["cases"])
            .iter()
            .map(|case| case.to_string().into_bytes()),
    );
    // A small list or string costs a value of 32 bytes and a piece of the heap.
    damage("JSON", &texts, 64, |bytes| {
        let value = json::decode(bytes).ok()?;
        let mut encoded = Vec::new();
        if json::encode(&value, &mut encoded).is_ok() {
            assert_eq!(json::decode(&encoded).as_ref(), Ok(&value));
        } else {
            assert!(
                has_infinity(&value),
                "only infinity is read and not written"
            );
            assert!(encoded.is_empty());
        }
        Some(value.heap_bytes())
    });
}

fn has_infinity(value: &Value) -> bool {
    match value {
        Value::Double(number) => number.is_infinite(),
        Value::Array(items) => items.iter().any(has_infinity),
        Value::Object(members) => members.iter().any(|(_, value)| has_infinity(value)),
        _ => false,
    }
}

#[test]
fn wtf8_texts() {
    let mut texts = cases("varint_wtf8_json", "wtf8.encode", "ok");
    texts.extend(cases("varint_wtf8_json", "wtf8.decode", "in"));
    damage("WTF-8", &texts, 8, |bytes| {
        let mut units = Vec::new();
        let decoded = decode_to_utf16(bytes, &mut units);
        assert!(units.len() <= bytes.len(), "a unit takes at least a byte");
        let string = Wtf8String::from_wire(bytes);
        assert_eq!(string.is_ok(), decoded.is_ok());
        let string = string.ok()?;
        assert_eq!(string.to_utf16(), units);
        let mut encoded = Vec::new();
        encode_utf16(&units, &mut encoded);
        assert_eq!(string.as_bytes(), encoded);
        assert_eq!(string.to_string_lossy(), String::from_utf16_lossy(&units));
        Some(string.heap_bytes() + units.capacity())
    });
}

/// Texts do not come from the wire as bytes, so what is no UTF-8 is left out.
fn damage_text(name: &str, texts: &[&str], parse: impl Fn(&str) -> Option<String>) {
    let inputs: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    damage(name, &inputs, 1, |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let shown = parse(text)?;
        assert_eq!(parse(&shown).as_ref(), Some(&shown), "{text}");
        Some(0)
    });
}

#[test]
fn clock_and_id_texts() {
    damage_text(
        "clock text",
        &["0.0", "1700000000000.7", "281474976710655.65535"],
        |text| Hlc::parse(text).ok().map(|clock| clock.to_string()),
    );
    let peer = "33aec45d-b568-4f3d-b0b8-ffe433734d1a";
    damage_text("peer text", &[peer, &peer.to_uppercase()], |text| {
        PeerId::parse(text).ok().map(|peer| peer.to_string())
    });
    damage_text(
        "operation id text",
        &[&format!("{peer}@1700000000000.7")],
        |text| OperationId::parse(text).ok().map(|id| id.to_string()),
    );
    damage_text(
        "element id text",
        &[&format!("{peer}:300"), "null"],
        |text| {
            let id = ElementId::parse(text).ok()?;
            Some(id.map_or("null".to_owned(), |id| id.to_string()))
        },
    );
}

/// Counts and lengths far beyond the input: refused before anything is allocated for them.
#[test]
fn forged_counts_are_refused() {
    for count in [1 << 20, 1 << 32, 1 << 61, u64::MAX >> 1, u64::MAX] {
        let mut forged = Vec::new();
        write_uvarint(&mut forged, count);
        let with = |before: &[u8], after: &[u8]| [before, &forged, after].concat();
        let zeros = [0; 64];
        assert!(Reader::new(&with(&[], &zeros)).prefixed().is_err());
        assert!(Reader::new(&with(&[], &zeros)).count(1).is_err());
        assert!(Change::decode(&with(&[2], &zeros)).is_err());
        assert!(Change::decode_blob(&with(&[], &zeros)).is_err());
        assert!(version_vector::decode(&with(&[], &zeros)).is_err());
        assert!(decode_list(&with(b"CRDTLF\x01", &zeros)).is_err());
        assert!(Envelope::decode(&with(&[], &zeros)).is_err());
        assert!(Snapshot::decode(&with(&[], &zeros)).is_err());
        assert!(Snapshot::decode(&with(&[0, 1, 0], &zeros)).is_err());
    }
}

/// Many entries with one key are one entry; many with different keys stay within the limit.
#[test]
fn snapshots_of_many_short_entries_stay_small() {
    let mut bytes = vec![0];
    write_prefixed(&mut bytes, &[0]);
    let count = 200_000;
    write_uvarint(&mut bytes, count);
    (0..count).for_each(|_| bytes.extend([0, 0]));
    assert_eq!(Snapshot::decode(&bytes).unwrap().entries().len(), 1);
}
