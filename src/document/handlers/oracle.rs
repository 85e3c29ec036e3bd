//! The handlers against the literal rules of the specification: all operations folded one by one
//! in replay order, on random scripts in random orders of arrival.
//!
//! The scripts mix committed operations, open transactions that are taken back, bodies that cannot
//! be decoded, and operations no peer would make (tags shared by elements, removes before adds).

use super::map::MapState;
use super::operation::{Events, kind};
use super::or_map::OrMapState;
use super::or_set::OrSetState;
use super::register::RegisterState;
use crate::clock::{Hlc, OperationId, OrderKey, PeerId};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, Reader, Value, json};
use crate::document::{MapOp, ValueCodec};
use crate::testing::Rng;

/// What a handler shows: entries of a map; elements of a set, the value of a register, and lists of
/// key and value of an observed-remove map under the empty key.
type Shown = Vec<(String, Value)>;
type Body = (u8, Vec<u8>);

trait Subject {
    fn new() -> Self;
    fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError>;
    fn apply(&mut self, at: OrderKey, op: &Body, events: Events<'_>) -> Result<(), DecodeError>;
    fn apply_pending(&mut self, op: &Body, events: Events<'_>) -> Result<(), DecodeError>;
    fn discard_pending(&mut self, events: Events<'_>);
    fn snapshot_state(&self) -> Vec<u8>;
    /// Also checks the readers against each other, and the invariants.
    fn shown(&self) -> Shown;
    /// The specification: seeded state, then the operations in this order.
    fn fold(blob: &[u8], ops: &[&Body]) -> Shown;
    fn random_op(rng: &mut Rng) -> Body;
    fn random_blob(rng: &mut Rng) -> Vec<u8>;
    /// As events tell of it.
    fn told(shown: Shown) -> Shown {
        shown
    }
}

/// The parts of `Subject` that only forward.
macro_rules! forward {
    ($state:ty) => {
        fn new() -> Self {
            <$state>::new(ValueCodec::Json)
        }
        fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
            <$state>::seed(self, blob)
        }
        fn apply(&mut self, at: OrderKey, op: &Body, ev: Events<'_>) -> Result<(), DecodeError> {
            <$state>::apply(self, at, op.0, &op.1, ev)
        }
        fn apply_pending(&mut self, op: &Body, ev: Events<'_>) -> Result<(), DecodeError> {
            <$state>::apply_pending(self, op.0, &op.1, ev)
        }
        fn discard_pending(&mut self, ev: Events<'_>) {
            <$state>::discard_pending(self, ev)
        }
        fn snapshot_state(&self) -> Vec<u8> {
            <$state>::snapshot_state(self)
        }
    };
}

/// Texts of values: equal numbers in different forms, foreign spacing, values that equal nothing,
/// a number that overflows, and some that are no JSON.
const VALUES: &[&str] = &[
    "1",
    "1.0",
    " 1e0",
    "2",
    "0",
    "-0.0",
    "0.0",
    "null",
    "\"a\"",
    "\"\\u0061\"",
    "\"\u{e9}\"",
    "[1]",
    "{\"a\" : 1}",
    "0.5",
    "1e400",
    "true",
    "x",
    "",
];
const KEYS: &[&str] = &["", "a", "b", "\u{1f600}", "\u{feff}b"];

fn random_value(rng: &mut Rng) -> Vec<u8> {
    // The last two, which are refused, less often.
    let limit = VALUES.len() - if rng.below(4) == 0 { 0 } else { 2 };
    VALUES[rng.below(limit)].as_bytes().to_vec()
}

fn random_id(rng: &mut Rng, clocks: usize) -> OperationId {
    let peer = PeerId::from_bytes([rng.below(3) as u8; 16]);
    OperationId::new(peer, Hlc::from_u64(rng.below(clocks) as u64))
}

/// Reads without the code under test.
fn value(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    json::decode(reader.prefixed()?)
}

impl Subject for MapState {
    forward!(MapState);

    fn shown(&self) -> Shown {
        self.check();
        let entries = self.entries();
        assert_eq!(entries.len(), self.len());
        for key in KEYS {
            let mut same = entries.iter().filter(|(other, _)| other == key);
            let value = same.next().map(|(_, value)| value);
            assert_eq!(
                format!("{:?}", self.get(key).as_ref()),
                format!("{value:?}")
            );
            assert_eq!(self.contains(key), value.is_some());
        }
        entries
    }

    fn fold(blob: &[u8], ops: &[&Body]) -> Shown {
        let mut map = Shown::new();
        let put = |map: &mut Shown, key: &str, value| match map.iter_mut().find(|it| it.0 == key) {
            Some(entry) => entry.1 = value,
            None => map.push((key.to_owned(), value)),
        };
        let mut reader = Reader::new(blob);
        for _ in 0..reader.uvarint().unwrap() {
            let key = reader.text().unwrap();
            let value = value(&mut reader).unwrap();
            put(&mut map, key, value);
        }
        for (kind, body) in ops {
            let mut reader = Reader::new(body);
            let key = reader.text().unwrap();
            let known = map.iter().any(|entry| entry.0 == key);
            match *kind {
                kind::DELETE => map.retain(|entry| entry.0 != key),
                kind::INSERT => put(&mut map, key, value(&mut reader).unwrap()),
                kind::UPDATE if known => put(&mut map, key, value(&mut reader).unwrap()),
                _ => {}
            }
        }
        map
    }

    fn random_op(rng: &mut Rng) -> Body {
        let kind = rng.below(4) as u8;
        let mut body = Vec::new();
        write_prefixed(&mut body, KEYS[rng.below(KEYS.len())].as_bytes());
        if kind != kind::DELETE {
            write_prefixed(&mut body, &random_value(rng));
        }
        (kind, body)
    }

    fn random_blob(rng: &mut Rng) -> Vec<u8> {
        let count = rng.below(5);
        let mut blob = Vec::new();
        write_uvarint(&mut blob, count as u64);
        for _ in 0..count {
            write_prefixed(&mut blob, KEYS[rng.below(KEYS.len())].as_bytes());
            write_prefixed(&mut blob, &random_value(rng));
        }
        blob
    }
}

impl Subject for RegisterState {
    forward!(RegisterState);

    fn shown(&self) -> Shown {
        self.check();
        self.get()
            .map(|value| (String::new(), value))
            .into_iter()
            .collect()
    }

    fn fold(blob: &[u8], ops: &[&Body]) -> Shown {
        let mut last = match blob {
            [] | [0] => Value::Null,
            _ => value(&mut Reader::new(&blob[1..])).unwrap(),
        };
        for (_, body) in ops.iter().filter(|(kind, _)| *kind == kind::INSERT) {
            last = value(&mut Reader::new(body)).unwrap();
        }
        let shown = Some(last).filter(|last| *last != Value::Null);
        shown
            .map(|value| (String::new(), value))
            .into_iter()
            .collect()
    }

    fn random_op(rng: &mut Rng) -> Body {
        let mut body = Vec::new();
        write_prefixed(&mut body, &random_value(rng));
        (u8::from(rng.below(5) == 0), body)
    }

    fn random_blob(rng: &mut Rng) -> Vec<u8> {
        match rng.below(4) {
            0 => vec![],
            1 => vec![0],
            _ => {
                let mut blob = vec![1];
                write_prefixed(&mut blob, &random_value(rng));
                blob
            }
        }
    }
}

/// Dart's `==` on small values.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Double(b)) | (Value::Double(b), Value::Int(a)) => *a as f64 == *b,
        (Value::Array(_) | Value::Object(_), _) => false,
        (a, b) => a == b,
    }
}

#[derive(Default)]
struct LiteralSet {
    live: Vec<(Value, Vec<OperationId>)>,
    tombstones: Vec<OperationId>,
    seeded: Vec<Value>,
}

impl LiteralSet {
    fn add(&mut self, element: Value, tag: OperationId) {
        self.seeded.retain(|other| !same(other, &element));
        if self.tombstones.contains(&tag) {
            return;
        }
        match self
            .live
            .iter_mut()
            .find(|(other, _)| same(other, &element))
        {
            Some((_, tags)) => tags.push(tag),
            None => self.live.push((element, vec![tag])),
        }
    }

    fn remove(&mut self, element: &Value, tags: &[OperationId], untagged: bool) {
        if untagged {
            self.seeded.retain(|other| !same(other, element));
        }
        self.tombstones.extend(tags);
        if let Some((_, live)) = self.live.iter_mut().find(|(other, _)| same(other, element)) {
            live.retain(|tag| !tags.contains(tag));
        }
        self.live.retain(|(_, tags)| !tags.is_empty());
    }
}

impl Subject for OrSetState {
    forward!(OrSetState);

    fn shown(&self) -> Shown {
        self.check();
        let values = self.values();
        assert_eq!(values.len(), self.len());
        for text in VALUES {
            if let Ok(value) = json::decode(text.as_bytes()) {
                let expected = value != Value::Double(f64::INFINITY)
                    && values.iter().any(|other| same(other, &value));
                assert_eq!(self.contains(&value), expected, "{text}");
            }
        }
        values
            .into_iter()
            .map(|value| (String::new(), value))
            .collect()
    }

    fn fold(blob: &[u8], ops: &[&Body]) -> Shown {
        let mut set = LiteralSet::default();
        let mut reader = Reader::new(blob);
        for _ in 0..reader.uvarint().unwrap() {
            let value = value(&mut reader).unwrap();
            if !set.seeded.iter().any(|other| same(other, &value)) {
                set.seeded.push(value);
            }
        }
        for (kind, body) in ops.iter().filter(|(kind, _)| *kind < kind::UPDATE) {
            let mut reader = Reader::new(body);
            let element = value(&mut reader).unwrap();
            let count = match *kind {
                kind::INSERT => 1,
                _ => reader.uvarint().unwrap(),
            };
            let tags = (0..count).map(|_| OperationId::from_bytes(&reader.array("").unwrap()));
            let tags: Vec<_> = tags.collect();
            match *kind {
                kind::INSERT => set.add(element, tags[0]),
                _ => set.remove(&element, &tags, reader.byte("").unwrap() != 0),
            }
        }
        let live = set.live.into_iter().map(|(element, _)| element);
        live.chain(set.seeded)
            .map(|value| (String::new(), value))
            .collect()
    }

    fn random_op(rng: &mut Rng) -> Body {
        random_tagged(rng, false)
    }

    fn random_blob(rng: &mut Rng) -> Vec<u8> {
        let count = rng.below(5);
        let mut blob = Vec::new();
        write_uvarint(&mut blob, count as u64);
        (0..count).for_each(|_| write_prefixed(&mut blob, &random_value(rng)));
        blob
    }
}

fn random_tagged(rng: &mut Rng, with_value: bool) -> Body {
    let kind = [
        kind::INSERT,
        kind::INSERT,
        kind::DELETE,
        kind::DELETE,
        kind::UPDATE,
    ][rng.below(5)];
    let mut body = Vec::new();
    // One element gets half of the operations, so that its adds overlap in every way.
    let element = match rng.below(2) {
        0 => VALUES[rng.below(3)].as_bytes().to_vec(),
        _ => random_value(rng),
    };
    write_prefixed(&mut body, &element);
    let tag = |rng: &mut Rng| random_id(rng, 3).to_bytes();
    if kind == kind::INSERT {
        if with_value {
            write_prefixed(&mut body, &random_value(rng));
        }
        body.extend(tag(rng));
    } else {
        let count = rng.below(4);
        write_uvarint(&mut body, count as u64);
        (0..count).for_each(|_| body.extend(tag(rng)));
        let usual = u8::from(count == 0);
        body.push(if rng.below(5) == 0 { 7 } else { usual });
    }
    (kind, body)
}

#[derive(Default)]
struct LiteralMap {
    live: Vec<(Value, Vec<(Value, OperationId)>)>,
    tombstones: Vec<OperationId>,
    seeded: Vec<(Value, Value)>,
}

impl LiteralMap {
    fn put(&mut self, key: Value, value: Value, tag: OperationId) {
        self.seeded.retain(|(other, _)| !same(other, &key));
        if self.tombstones.contains(&tag) {
            return;
        }
        match self.live.iter_mut().find(|(other, _)| same(other, &key)) {
            Some((_, entries)) => entries.push((value, tag)),
            None => self.live.push((key, vec![(value, tag)])),
        }
    }

    fn remove(&mut self, key: &Value, tags: &[OperationId], untagged: bool) {
        if untagged {
            self.seeded.retain(|(other, _)| !same(other, key));
        }
        self.tombstones.extend(tags);
        if let Some((_, live)) = self.live.iter_mut().find(|(other, _)| same(other, key)) {
            live.retain(|(_, tag)| !tags.contains(tag));
        }
        self.live.retain(|(_, entries)| !entries.is_empty());
    }

    fn shown(self) -> Shown {
        let live = self.live.into_iter().map(|(key, entries)| {
            // Of entries with one tag, which only a forger makes, the first.
            let best = entries.into_iter().rev().max_by_key(|(_, tag)| *tag);
            (key, best.unwrap().0)
        });
        let all = self.seeded.into_iter().chain(live);
        all.map(|(key, value)| (String::new(), Value::Array(vec![key, value])))
            .collect()
    }
}

impl Subject for OrMapState {
    forward!(OrMapState);

    fn shown(&self) -> Shown {
        self.check();
        let entries = self.entries();
        assert_eq!(entries.len(), self.len());
        for text in VALUES {
            if let Ok(key) = json::decode(text.as_bytes()) {
                let entry = entries.iter().find(|(other, _)| same(other, &key));
                let entry = entry.filter(|_| key != Value::Double(f64::INFINITY));
                assert_eq!(self.contains(&key), entry.is_some(), "{text}");
                let value = entry.map(|(_, value)| value);
                assert_eq!(
                    format!("{:?}", self.get(&key).as_ref()),
                    format!("{value:?}")
                );
            }
        }
        let entries = entries.into_iter();
        entries
            .map(|(key, value)| (String::new(), Value::Array(vec![key, value])))
            .collect()
    }

    fn fold(blob: &[u8], ops: &[&Body]) -> Shown {
        let mut map = LiteralMap::default();
        let mut reader = Reader::new(blob);
        for _ in 0..reader.uvarint().unwrap() {
            let (key, value) = (value(&mut reader).unwrap(), value(&mut reader).unwrap());
            match map.seeded.iter_mut().find(|(other, _)| same(other, &key)) {
                Some(known) => known.1 = value,
                None => map.seeded.push((key, value)),
            }
        }
        for (kind, body) in ops.iter().filter(|(kind, _)| *kind < kind::UPDATE) {
            let mut reader = Reader::new(body);
            let key = value(&mut reader).unwrap();
            let tag = |reader: &mut Reader<'_>| OperationId::from_bytes(&reader.array("").unwrap());
            if *kind == kind::INSERT {
                let value = value(&mut reader).unwrap();
                map.put(key, value, tag(&mut reader));
            } else {
                let count = reader.uvarint().unwrap();
                let tags: Vec<_> = (0..count).map(|_| tag(&mut reader)).collect();
                map.remove(&key, &tags, reader.byte("").unwrap() != 0);
            }
        }
        map.shown()
    }

    fn random_op(rng: &mut Rng) -> Body {
        random_tagged(rng, true)
    }

    fn random_blob(rng: &mut Rng) -> Vec<u8> {
        let count = rng.below(5);
        let mut blob = Vec::new();
        write_uvarint(&mut blob, count as u64);
        (0..2 * count).for_each(|_| write_prefixed(&mut blob, &random_value(rng)));
        blob
    }

    /// Keys as text, numbers in the form that equal ones share.
    fn told(shown: Shown) -> Shown {
        let told = |(_, entry): (String, Value)| {
            let Value::Array(entry) = &entry else {
                unreachable!("a key and a value")
            };
            let key = match &entry[0] {
                Value::String(text) => text.to_string_lossy(),
                Value::Double(number) if number.is_infinite() => "1e999".to_owned(),
                Value::Double(number) if number.fract() == 0.0 => format!("{}", *number as i64),
                key => {
                    let mut text = Vec::new();
                    json::encode(key, &mut text).unwrap();
                    String::from_utf8(text).unwrap()
                }
            };
            (key, entry[1].clone())
        };
        shown.into_iter().map(told).collect()
    }
}

/// Applies events to what was shown before; order of entries and forms of numbers aside.
fn replay_events(shadow: &mut Shown, events: Vec<MapOp>) {
    for MapOp { key, old, new } in events {
        assert!(old.is_some() || new.is_some());
        if let Some(old) = old {
            let known = |entry: &(String, Value)| text(entry) == text(&(key.clone(), old.clone()));
            let at = shadow
                .iter()
                .position(known)
                .expect("an event takes what was there");
            shadow.remove(at);
        }
        shadow.extend(new.map(|new| (key, new)));
    }
}

/// A text that equal values share.
fn text((key, value): &(String, Value)) -> String {
    match value {
        Value::Int(number) => format!("{key}:{:?}", *number as f64),
        Value::Double(number) => format!("{key}:{:?}", number + 0.0),
        other => format!("{key}:{other:?}"),
    }
}

fn sorted_texts(shown: &Shown) -> Vec<String> {
    let mut texts: Vec<_> = shown.iter().map(text).collect();
    texts.sort();
    texts
}

struct Script<S> {
    state: S,
    blob: Vec<u8>,
    committed: Vec<(OrderKey, Body)>,
    pending: Vec<Body>,
    shadow: Shown,
}

impl<S: Subject> Script<S> {
    fn new(rng: &mut Rng) -> Self {
        let mut state = S::new();
        let mut blob = S::random_blob(rng);
        while state.seed(&blob).is_err() {
            assert!(state.shown().is_empty());
            blob = S::random_blob(rng);
        }
        let shadow = S::told(S::fold(&blob, &[]));
        Script {
            state,
            blob,
            committed: Vec::new(),
            pending: Vec::new(),
            shadow,
        }
    }

    fn step(&mut self, rng: &mut Rng) {
        let mut events = Vec::new();
        match rng.below(12) {
            0 => {
                self.state.discard_pending(Some(&mut events));
                self.pending.clear();
            }
            1..=3 => {
                let op = S::random_op(rng);
                if self.state.apply_pending(&op, Some(&mut events)).is_ok() {
                    self.pending.push(op);
                }
            }
            4 => {
                let (kind, mut body) = S::random_op(rng);
                body.truncate(rng.below(body.len()));
                let order = random_id(rng, 1);
                // Only what is ignored anyway can be cut without notice.
                let before = self.state.snapshot_state();
                if self
                    .state
                    .apply(order, &(kind, body), Some(&mut events))
                    .is_err()
                {
                    assert_eq!(before, self.state.snapshot_state());
                    assert!(events.is_empty());
                }
            }
            _ => self.commit(rng, &mut events),
        }
        replay_events(&mut self.shadow, events);
    }

    fn commit(&mut self, rng: &mut Rng, events: &mut Vec<MapOp>) {
        // Clocks from 1: clock 0 is for the damaged ones.
        let mut order = random_id(rng, 30);
        order.hlc = Hlc::from_u64(order.hlc.to_u64() + 1);
        if self.committed.iter().any(|(other, _)| *other == order) {
            return;
        }
        let op = S::random_op(rng);
        // Now and then nobody looks: then the difference is taken as one.
        let look = rng.below(3) > 0;
        let result = self.state.apply(order, &op, look.then_some(&mut *events));
        if result.is_ok() {
            let at = self.committed.partition_point(|(other, _)| *other < order);
            self.committed.insert(at, (order, op));
        }
        if !look {
            self.shadow = S::told(self.state.shown());
        }
    }

    fn compare(&self) {
        let committed: Vec<_> = self.committed.iter().map(|(_, op)| op).collect();
        let mut all = committed.clone();
        all.extend(&self.pending);
        let shown = self.state.shown();
        assert_eq!(
            format!("{shown:?}"),
            format!("{:?}", S::fold(&self.blob, &all))
        );
        assert_eq!(sorted_texts(&S::told(shown)), sorted_texts(&self.shadow));

        let blob = self.state.snapshot_state();
        let expected = S::fold(&self.blob, &committed);
        let mut reseeded = S::new();
        reseeded.seed(&blob).unwrap();
        assert_eq!(format!("{:?}", reseeded.shown()), format!("{expected:?}"));
        assert_eq!(reseeded.snapshot_state(), blob);
    }
}

fn run<S: Subject>(name: &str) {
    for seed in 0..400 {
        let outcome = std::panic::catch_unwind(|| {
            let mut rng = Rng::new(seed);
            let mut script = Script::<S>::new(&mut rng);
            for _ in 0..40 {
                script.step(&mut rng);
                script.compare();
            }
        });
        assert!(
            outcome.is_ok(),
            "{name} differs from the specification with seed {seed}"
        );
    }
}

#[test]
fn maps_agree_with_the_specification() {
    run::<MapState>("map");
}

#[test]
fn registers_agree_with_the_specification() {
    run::<RegisterState>("register");
}

#[test]
fn sets_agree_with_the_specification() {
    run::<OrSetState>("set");
}

#[test]
fn observed_remove_maps_agree_with_the_specification() {
    run::<OrMapState>("observed-remove map");
}
