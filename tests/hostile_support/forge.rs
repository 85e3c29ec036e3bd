//! Changes that no honest peer makes: forged ids, counters, counts, clocks and dependencies.

use super::Rng;
use syncline::clock::{Hlc, OperationId, PeerId, VersionVector};
use syncline::codec::bytes::{write_prefixed, write_uvarint};
use syncline::codec::{Change, Envelope, Snapshot};

pub const NOW_MS: i64 = 1_700_000_000_000;
pub const TEXT: (&str, &str) = ("CRDTFugueTextHandler", "text");
pub const MAP: (&str, &str) = ("CRDTMapHandler<dynamic>", "map");
pub const REGISTER: (&str, &str) = ("CRDTRegisterHandler<dynamic>", "register");
pub const SET: (&str, &str) = ("CRDTORSetHandler<dynamic>", "set");

pub fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 16])
}

/// The authors that scripts know: honest ones, forged ones, the smallest and the largest.
pub const PEERS: [u8; 7] = [1, 2, 3, 40, 41, 0, 255];

pub fn any_peer(rng: &mut Rng) -> PeerId {
    peer(*rng.pick(&PEERS))
}

pub fn payload((tag, id): (&str, &str), kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Envelope {
        handler_type: tag,
        handler_id: id,
        kind,
        body,
    }
    .encode(&mut out);
    out
}

/// An element id; None is the null id.
pub type Element = Option<(PeerId, u64)>;

pub fn write_element(element: Element, out: &mut Vec<u8>) {
    match element {
        None => out.push(0),
        Some((peer, counter)) => {
            out.push(1);
            out.extend_from_slice(peer.bytes());
            write_uvarint(out, counter);
        }
    }
}

/// Mostly small counters, which collide; sometimes those at the edges.
pub fn any_element(rng: &mut Rng) -> Element {
    const EDGES: [u64; 8] = [
        0,
        u32::MAX as u64 - 2,
        u32::MAX as u64 - 1,
        u32::MAX as u64,
        1 << 32,
        (1 << 63) - 1,
        1 << 31,
        1 << 27,
    ];
    let counter = match rng.below(12) {
        0 => return None,
        1 => *rng.pick(&EDGES),
        _ => rng.below(40) as u64,
    };
    Some((any_peer(rng), counter))
}

fn any_text(rng: &mut Rng) -> Vec<u8> {
    const TEXTS: [&[u8]; 9] = [
        b"a",
        b"b",
        b"",
        "\u{e9}".as_bytes(),
        "\u{1f600}".as_bytes(),
        b"long text",
        &[0xed, 0xa0, 0xbd],
        &[0xff],
        &[0xc0, 0x80],
    ];
    if rng.one_in(3) {
        rng.pick(&TEXTS).to_vec()
    } else {
        vec![b'a' + rng.below(26) as u8]
    }
}

fn any_count(rng: &mut Rng, honest: usize) -> u64 {
    match rng.below(30) {
        0 => honest as u64 + 1,
        1 => (1 << 63) - 1,
        2 => u64::from(u32::MAX),
        _ => honest as u64,
    }
}

fn text_insert(rng: &mut Rng, author: PeerId) -> Vec<u8> {
    let mut body = Vec::new();
    write_element(any_element(rng), &mut body);
    write_element(any_element(rng), &mut body);
    let items = rng.below(6);
    write_uvarint(&mut body, any_count(rng, items));
    let (dense, first) = (
        rng.one_in(2),
        any_element(rng).map_or(7, |(_, counter)| counter),
    );
    for nth in 0..items as u64 {
        let id = if dense {
            Some((author, (first + nth) & ((1 << 63) - 1)))
        } else {
            any_element(rng)
        };
        write_element(id, &mut body);
        let text = if dense { vec![b'x'] } else { any_text(rng) };
        write_prefixed(&mut body, &text);
    }
    payload(TEXT, 0, &body)
}

fn text_remove(rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    let ids = rng.below(5);
    write_uvarint(&mut body, any_count(rng, ids));
    let start = any_element(rng);
    for nth in 0..ids as u64 {
        let follows = start.map(|(peer, counter)| (peer, (counter + nth) & ((1 << 63) - 1)));
        let id = if rng.one_in(3) {
            any_element(rng)
        } else {
            follows
        };
        write_element(id, &mut body);
    }
    payload(TEXT, 1, &body)
}

fn text_update(rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    let items = rng.below(4);
    write_uvarint(&mut body, any_count(rng, items));
    for _ in 0..items {
        write_element(any_element(rng), &mut body);
        write_element(any_element(rng), &mut body);
        write_prefixed(&mut body, &any_text(rng));
    }
    payload(TEXT, 2, &body)
}

fn any_value(rng: &mut Rng) -> Vec<u8> {
    const VALUES: [&[u8]; 16] = [
        b"1",
        b"1.0",
        b"-0.0",
        b"0",
        b"\"x\"",
        b"null",
        b"true",
        b"[1,2]",
        b"{\"a\":1}",
        b"",
        b"[[[[",
        b"nan",
        b"1e400",
        b"9223372036854775808",
        b"\"\\ud800\"",
        b"\xff",
    ];
    rng.pick(&VALUES).to_vec()
}

fn map_operation(rng: &mut Rng) -> Vec<u8> {
    const KEYS: [&str; 4] = ["a", "b", "", "\u{feff}a"];
    let mut body = Vec::new();
    write_prefixed(&mut body, rng.pick(&KEYS).as_bytes());
    let kind = rng.below(4) as u8;
    if kind != 1 {
        write_prefixed(&mut body, &any_value(rng));
    }
    payload(MAP, kind, &body)
}

fn register_operation(rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    write_prefixed(&mut body, &any_value(rng));
    payload(REGISTER, rng.below(3) as u8, &body)
}

fn set_operation(rng: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    write_prefixed(&mut body, &any_value(rng));
    let tag = |rng: &mut Rng| {
        OperationId::new(any_peer(rng), Hlc::new(NOW_MS, rng.below(4) as u32)).to_bytes()
    };
    let kind = rng.below(3) as u8;
    if kind == 0 {
        body.extend_from_slice(&tag(rng));
    } else {
        let tags = rng.below(4);
        write_uvarint(&mut body, any_count(rng, tags));
        (0..tags).for_each(|_| body.extend_from_slice(&tag(rng)));
        body.push(rng.below(3) as u8);
    }
    payload(SET, kind, &body)
}

/// Payloads that are no envelope, not the shortest form, of unknown or odd handlers.
fn odd_payload(rng: &mut Rng) -> Vec<u8> {
    const NAMES: [(&str, &str); 8] = [
        ("", ""),
        ("CRDTFugueTextHandler", ""),
        ("\u{feff}CRDTFugueTextHandler", "text"),
        ("CRDTFugueTextHandler", "\u{feff}text"),
        ("CRDTMapHandler<dynamic>", "text"),
        ("NoSuchHandler", "text"),
        ("CRDTMapHandler<dynamic>", "crdt_lf/handler-manifest"),
        ("CRDTFugueListHandler<String>", "list"),
    ];
    match rng.below(4) {
        0 => (0..rng.below(40)).map(|_| rng.next_u64() as u8).collect(),
        1 => {
            // The first length padded to two bytes.
            let mut bytes = text_insert(rng, peer(1));
            bytes[0] |= 0x80;
            bytes.insert(1, 0);
            bytes
        }
        _ => payload(*rng.pick(&NAMES), rng.below(6) as u8, &[0, 0, 0]),
    }
}

pub fn any_payload(rng: &mut Rng, author: PeerId) -> Vec<u8> {
    let mut bytes = match rng.below(12) {
        0..=3 => text_insert(rng, author),
        4 | 5 => text_remove(rng),
        6 => text_update(rng),
        7 => map_operation(rng),
        8 => register_operation(rng),
        9 | 10 => set_operation(rng),
        _ => odd_payload(rng),
    };
    if rng.one_in(12) {
        let at = rng.below(bytes.len() + 1);
        bytes.truncate(at);
    } else if rng.one_in(12) && !bytes.is_empty() {
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
    }
    bytes
}

/// A change with an id of its own; its dependencies are known, unknown, repeated, or itself.
pub fn any_change(rng: &mut Rng, known: &[Change]) -> Change {
    let author = any_peer(rng);
    let clock = match rng.below(20) {
        0 => Hlc::ZERO,
        1 => Hlc::new(0, rng.below(70_000) as u32),
        2 => Hlc::new(NOW_MS + rng.below(1 << 40) as i64, 65_535),
        _ => Hlc::new(NOW_MS + rng.below(50) as i64, rng.below(4) as u32),
    };
    let id = OperationId::new(author, clock);
    let mut deps = Vec::new();
    for _ in 0..rng.below(4) {
        match rng.below(16) {
            0 => deps.push(id),
            1 => deps.push(OperationId::new(any_peer(rng), Hlc::MAX)),
            _ if known.is_empty() => (),
            _ => deps.push(rng.pick(known).id),
        }
    }
    if rng.one_in(6) {
        deps.extend(deps.clone());
    }
    Change {
        id,
        deps,
        payload: any_payload(rng, author),
    }
}

/// A snapshot with blobs of any kind under the ids of the handlers.
pub fn any_snapshot(rng: &mut Rng, known: &[Change]) -> Snapshot {
    let mut vector = VersionVector::new();
    for _ in 0..rng.below(4) {
        if !known.is_empty() {
            let id = rng.pick(known).id;
            vector.update(id.peer, id.hlc);
        }
    }
    let ids = [
        "text",
        "map",
        "register",
        "set",
        "",
        "\u{feff}text",
        "crdt_lf/handler-manifest",
    ];
    let mut entries = Vec::new();
    for _ in 0..rng.below(6) {
        let id = *rng.pick(&ids);
        entries.push((id.to_owned(), any_blob(rng, id)));
    }
    Snapshot::new(vector, entries)
}

fn any_blob(rng: &mut Rng, id: &str) -> Vec<u8> {
    let mut blob = Vec::new();
    let count = rng.below(6);
    match id {
        "text" => {
            write_uvarint(&mut blob, any_count(rng, count));
            let start = rng.below(30) as u64;
            for nth in 0..count as u64 {
                let mut id = Vec::new();
                let element = if rng.one_in(2) {
                    Some((peer(1), start + nth))
                } else {
                    any_element(rng)
                };
                write_element(element, &mut id);
                write_prefixed(&mut blob, &id);
                write_prefixed(&mut blob, &any_text(rng));
            }
            if rng.one_in(2) {
                write_uvarint(&mut blob, 1);
                blob.extend_from_slice(any_peer(rng).bytes());
                write_uvarint(
                    &mut blob,
                    any_element(rng).map_or(0, |(_, counter)| counter),
                );
            }
        }
        "map" => {
            write_uvarint(&mut blob, any_count(rng, count));
            for _ in 0..count {
                write_prefixed(&mut blob, &[b'a' + rng.below(3) as u8]);
                write_prefixed(&mut blob, &any_value(rng));
            }
        }
        "register" => {
            blob.push(rng.below(3) as u8);
            write_prefixed(&mut blob, &any_value(rng));
        }
        "set" => {
            write_uvarint(&mut blob, any_count(rng, count));
            (0..count).for_each(|_| write_prefixed(&mut blob, &any_value(rng)));
        }
        _ => blob.extend((0..rng.below(10)).map(|_| rng.next_u64() as u8)),
    }
    if rng.one_in(4) {
        let at = rng.below(blob.len() + 1);
        blob.truncate(at);
    }
    blob
}
