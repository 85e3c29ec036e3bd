//! What the targets share: bytes as a script of small decisions, documents with every handler, and
//! changes that no honest peer would make.

use syncline::clock::{Hlc, OperationId, PeerId};
use syncline::codec::bytes::{write_prefixed, write_uvarint};
use syncline::codec::{Change, ElementId, Envelope};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, WallClock,
};

/// The fuzzer's bytes, read as numbers; zeros behind their end.
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Script(bytes)
    }

    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// A number below `limit`, which is 1 to 256.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

pub const PEERS: usize = 3;

/// Peer ids whose order is not that of their numbers.
pub fn peer(number: usize) -> PeerId {
    let mut bytes = [0x11; 16];
    bytes[0] = [0x80, 0x10, 0xf0][number % PEERS];
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    PeerId::from_bytes(bytes)
}

/// One handler of every kind that crdt_lf has.
pub fn handlers() -> impl Iterator<Item = (String, HandlerKind)> {
    HandlerKind::ALL
        .into_iter()
        .map(|kind| (kind.base_tag().to_owned(), kind))
}

/// A document with all of them.
pub fn document(number: usize) -> (Document, Vec<HandlerIdx>) {
    let mut document = Document::new(DocumentOptions {
        document_id: "fuzz".into(),
        peer_id: Some(peer(number)),
        wall_clock: WallClock::Fixed(10 * number as i64),
        ..DocumentOptions::default()
    });
    let numbers = handlers().map(|(id, kind)| {
        document
            .handler(&id, &HandlerSpec::new(kind))
            .expect("not registered before")
    });
    let numbers = numbers.collect();
    (document, numbers)
}

/// Changes of three peers to all handlers: clocks, dependencies and elements as the script has it.
pub fn changes(script: &mut Script<'_>) -> Vec<Change> {
    let mut made: Vec<Change> = Vec::new();
    let mut clocks = [0u64; PEERS];
    while !script.is_at_end() && made.len() < 256 {
        let author = script.below(PEERS);
        clocks[author] += u64::from(script.byte()) + 1;
        let id = OperationId::new(peer(author), Hlc::from_u64(clocks[author]));
        let own = made.iter().rev().find(|change| change.id.peer == id.peer);
        let mut deps: Vec<OperationId> = own.map(|change| change.id).into_iter().collect();
        if let (1, Some(last)) = (script.below(3), made.last()) {
            if !deps.contains(&last.id) {
                deps.push(last.id);
            }
        }
        let kind = HandlerKind::ALL[script.below(HandlerKind::ALL.len())];
        let operation = script.below(5) as u8;
        let body = match script.below(6) {
            0 => {
                let len = script.below(24);
                script.bytes(len).to_vec()
            }
            _ => body(script, kind, operation),
        };
        let mut payload = Vec::new();
        Envelope {
            handler_type: &kind.default_tag(),
            handler_id: kind.base_tag(),
            kind: operation,
            body: &body,
        }
        .encode(&mut payload);
        made.push(Change { id, deps, payload });
    }
    made
}

/// A body of the right shape with any elements, indexes and values.
fn body(script: &mut Script<'_>, kind: HandlerKind, operation: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let is_text = matches!(kind, HandlerKind::Text | HandlerKind::FugueText);
    let is_movable = matches!(
        kind,
        HandlerKind::MovableList | HandlerKind::MovableListRef
    );
    let value = |script: &mut Script<'_>, out: &mut Vec<u8>| match is_text {
        true => write_prefixed(
            out,
            [
                &b"a"[..],
                b"bc",
                b"",
                b"\xc3\xa9",
                b"\xf0\x9f\x98\x80",
                b"\xed\xa0\xbd",
            ][script.below(6)],
        ),
        false if kind.is_container() => write_prefixed(
            out,
            [
                &b"\x01Tc"[..],
                b"\x12CRDTMapRefHandlerCRDTMapRefHandler",
                b"",
            ][script.below(3)],
        ),
        false => write_prefixed(
            out,
            [&b"1"[..], b"1.0", b"null", b"\"x\"", b"[1]", b"{"][script.below(6)],
        ),
    };
    match kind {
        HandlerKind::Text | HandlerKind::List => {
            write_uvarint(&mut out, script.below(12) as u64);
            match operation {
                1 => write_uvarint(&mut out, script.below(6) as u64),
                _ => value(script, &mut out),
            }
        }
        HandlerKind::Map | HandlerKind::MapRef => {
            write_prefixed(&mut out, [&b"a"[..], b"b", b""][script.below(3)]);
            if operation != 1 {
                value(script, &mut out);
            }
        }
        HandlerKind::Register => value(script, &mut out),
        HandlerKind::OrSet | HandlerKind::OrMap => {
            value(script, &mut out);
            match operation {
                1 => {
                    several(script, &mut out, tag);
                    out.push(script.below(2) as u8);
                }
                _ => {
                    if kind == HandlerKind::OrMap {
                        value(script, &mut out);
                    }
                    tag(script, &mut out);
                }
            }
        }
        HandlerKind::Custom => (),
        // Insertions and removals look alike in all sequences of elements.
        _ if operation == 0 => {
            (0..2).for_each(|_| element(script, &mut out));
            let ids = if is_movable { 2 } else { 1 };
            several(script, &mut out, |script, out| {
                (0..ids).for_each(|_| element(script, out));
                value(script, out);
            });
        }
        _ if operation == 1 => several(script, &mut out, element),
        _ if !is_movable => several(script, &mut out, |script, out| {
            (0..2).for_each(|_| element(script, out));
            value(script, out);
        }),
        _ if operation == 2 => {
            clock(script, &mut out);
            several(script, &mut out, |script, out| {
                element(script, out);
                value(script, out);
            });
        }
        _ => {
            (0..4).for_each(|_| element(script, &mut out));
            clock(script, &mut out);
        }
    }
    out
}

/// A count, and so many of something.
fn several(
    script: &mut Script<'_>,
    out: &mut Vec<u8>,
    one: impl Fn(&mut Script<'_>, &mut Vec<u8>),
) {
    let count = script.below(4);
    write_uvarint(out, count as u64);
    (0..count).for_each(|_| one(script, out));
}

fn clock(script: &mut Script<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&(u64::from(script.byte()) * 4).to_be_bytes());
}

fn tag(script: &mut Script<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(peer(script.below(PEERS)).bytes());
    clock(script, out);
}

fn element(script: &mut Script<'_>, out: &mut Vec<u8>) {
    let which = script.byte();
    let id = (which % 4 != 3).then(|| ElementId {
        peer: peer(usize::from(which % 4)),
        counter: u64::from(which / 4) % 24,
    });
    ElementId::write(id, out);
}
