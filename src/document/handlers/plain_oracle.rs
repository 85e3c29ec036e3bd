//! Text and lists by position against the literal rules of the specification (9.3, 9.4): all
//! operations folded one by one over a plain vector in replay order, on random scripts in random
//! orders of arrival.
//!
//! The scripts mix imports of several changes, open transactions that are taken back, positions
//! past the end, bodies that cannot be decoded, changes that come twice, and snapshots.

use super::operation::{Operation, kind};
use super::plain_body::{placed, removal};
use super::plain_list::PlainListState;
use super::plain_text::PlainTextState;
use super::state::ByteState;
use crate::clock::{Hlc, OperationId, OrderKey, PeerId};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{Reader, Value, json, wtf8};
use crate::document::handler::{Recorder, Visible};
use crate::document::{TextOp, ValueCodec};
use crate::testing::Rng;

type Body = (u8, Vec<u8>);

trait Subject: ByteState {
    type Element: Clone + std::fmt::Debug + PartialEq;

    fn new() -> Self;
    /// What the state shows; also checks the readers against each other.
    fn shown(&self) -> Vec<Self::Element>;
    /// The content of an insert or update, if it can be decoded.
    fn read(content: &[u8]) -> Option<Vec<Self::Element>>;
    fn random_content(rng: &mut Rng) -> Vec<u8>;
    fn blob(elements: &[Self::Element]) -> Vec<u8>;
    /// Applies what was recorded.
    fn follow(shadow: &mut Vec<Self::Element>, recorder: Recorder);
}

impl Subject for PlainTextState {
    type Element = u16;

    fn new() -> Self {
        PlainTextState::default()
    }

    fn shown(&self) -> Vec<u16> {
        let units = self.units();
        assert_eq!(self.len(), units.len() as u64);
        assert_eq!(self.visible(), Visible::Text(units.clone()));
        assert_eq!(self.to_utf8(), String::from_utf16_lossy(&units));
        units
    }

    fn read(content: &[u8]) -> Option<Vec<u16>> {
        let mut units = Vec::new();
        wtf8::decode_to_utf16(content, &mut units).ok()?;
        Some(units)
    }

    fn random_content(rng: &mut Rng) -> Vec<u8> {
        let count = rng.below(5);
        let units: Vec<u16> = (0..count)
            .map(|_| [b'a'.into(), b'b'.into(), 0xe9, 0xd83d, 0xde00][rng.below(5)])
            .collect();
        Self::blob(&units)
    }

    fn blob(units: &[u16]) -> Vec<u8> {
        let mut blob = Vec::new();
        wtf8::encode_utf16(units, &mut blob);
        blob
    }

    fn follow(shadow: &mut Vec<u16>, recorder: Recorder) {
        let Recorder::Text(delta) = recorder else {
            panic!("text records text");
        };
        let steps: Vec<TextOp> = delta.finish();
        *shadow = crate::document::delta::apply(shadow, &steps);
    }
}

impl Subject for PlainListState {
    type Element = Value;

    fn new() -> Self {
        PlainListState::new(ValueCodec::Json)
    }

    fn shown(&self) -> Vec<Value> {
        let values = self.values();
        assert_eq!(self.len(), values.len() as u64);
        for index in 0..=values.len() {
            assert_eq!(self.get(index as u64), values.get(index).cloned());
        }
        assert_eq!(self.get(u64::MAX), None);
        values
    }

    fn read(content: &[u8]) -> Option<Vec<Value>> {
        Some(vec![json::decode(content).ok()?])
    }

    fn random_content(rng: &mut Rng) -> Vec<u8> {
        let texts = [
            "1",
            " 1.0 ",
            "null",
            "\"\\u0061\"",
            "[1, {}]",
            "7",
            "8",
            "x",
        ];
        texts[rng.below(texts.len())].as_bytes().to_vec()
    }

    fn blob(values: &[Value]) -> Vec<u8> {
        let mut blob = Vec::new();
        write_uvarint(&mut blob, values.len() as u64);
        for value in values {
            let mut bytes = Vec::new();
            json::encode(value, &mut bytes).unwrap();
            write_prefixed(&mut blob, &bytes);
        }
        blob
    }

    fn follow(shadow: &mut Vec<Value>, recorder: Recorder) {
        let Recorder::List(delta) = recorder else {
            panic!("lists record lists");
        };
        *shadow = crate::document::list_delta::apply(shadow, &delta.finish());
    }
}

/// The specification; false: the body cannot be decoded.
fn fold<S: Subject>(elements: &mut Vec<S::Element>, (kind, body): &Body) -> bool {
    let mut reader = Reader::new(body);
    let len = elements.len();
    let Ok(index) = reader.uvarint() else {
        return *kind > kind::UPDATE;
    };
    let index = index.min(len as u64) as usize;
    match *kind {
        kind::INSERT | kind::UPDATE => {
            let Some(new) = reader.prefixed().ok().and_then(S::read) else {
                return false;
            };
            match *kind {
                kind::INSERT => drop(elements.splice(index..index, new)),
                _ => elements[index..]
                    .iter_mut()
                    .zip(new)
                    .for_each(|(old, new)| *old = new),
            }
        }
        kind::DELETE => {
            let Ok(count) = reader.uvarint() else {
                return false;
            };
            let end = index + count.min((len - index) as u64) as usize;
            elements.drain(index..end);
        }
        _ => (),
    }
    true
}

struct Script<S: Subject> {
    state: S,
    base: Vec<S::Element>,
    committed: Vec<(OrderKey, Body)>,
    pending: Vec<Body>,
    shadow: Vec<S::Element>,
}

impl<S: Subject> Script<S> {
    fn new(rng: &mut Rng) -> Self {
        let mut base = Vec::new();
        for _ in 0..rng.below(4) {
            base.extend(S::read(&S::random_content(rng)).unwrap_or_default());
        }
        let mut state = S::new();
        state.seed(&S::blob(&base)).unwrap();
        Script {
            state,
            shadow: base.clone(),
            base,
            committed: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Mostly near what is there; now and then far past the end.
    fn random_number(&self, rng: &mut Rng) -> u64 {
        match rng.below(20) {
            0 => u64::MAX >> 1,
            1 => 1 << 32,
            _ => rng.below(self.shadow.len() + 2) as u64,
        }
    }

    fn random_op(&self, rng: &mut Rng) -> Body {
        let index = self.random_number(rng);
        let Operation { kind, mut body } = match rng.below(8) {
            0..=3 => placed(kind::INSERT, index, &S::random_content(rng)),
            4..=5 => placed(kind::UPDATE, index, &S::random_content(rng)),
            6 => removal(index, self.random_number(rng)),
            _ => removal(index, rng.below(4) as u64),
        };
        match rng.below(16) {
            // What follows an operation is ignored; what is cut off makes it undecodable.
            0 => body.push(7),
            1 => body.truncate(rng.below(body.len())),
            2 => return (kind + 3, body),
            _ => (),
        }
        (kind, body)
    }

    fn step(&mut self, rng: &mut Rng) {
        let look = rng.below(4) > 0;
        let mut recorder = match look {
            true => self.state.recorder(),
            false => Recorder::Off,
        };
        match rng.below(12) {
            0 => {
                self.state.discard_pending(&mut recorder);
                self.pending.clear();
            }
            1..=3 => {
                let op = self.random_op(rng);
                let result = self.state.apply_pending(op.0, &op.1, &mut recorder);
                let is_known = fold::<S>(&mut self.base.clone(), &op);
                assert_eq!(result.is_ok(), is_known);
                if is_known {
                    self.pending.push(op);
                }
            }
            4 if self.pending.is_empty() => {
                self.state.history_pruned(&|_| true);
                self.base = self.folded(false);
                self.committed.clear();
            }
            _ => {
                for _ in 0..1 + rng.below(4) {
                    self.commit(rng, &mut recorder);
                }
                self.state.settle(&mut recorder);
            }
        }
        match look {
            true => S::follow(&mut self.shadow, recorder),
            false => self.shadow = self.state.shown(),
        }
    }

    fn commit(&mut self, rng: &mut Rng, recorder: &mut Recorder) {
        let peer = PeerId::from_bytes([rng.below(3) as u8; 16]);
        let order = OperationId::new(peer, Hlc::from_u64(rng.below(40) as u64));
        let op = self.random_op(rng);
        let result = self.state.apply(order, op.0, &op.1, recorder);
        let is_known = fold::<S>(&mut self.base.clone(), &op);
        assert_eq!(result.is_ok(), is_known);
        let at = self.committed.partition_point(|(other, _)| *other < order);
        let is_there = self
            .committed
            .get(at)
            .is_some_and(|(other, _)| *other == order);
        // Kinds that do not exist leave no record.
        if is_known && !is_there && op.0 <= kind::UPDATE {
            self.committed.insert(at, (order, op));
        }
    }

    fn folded(&self, with_pending: bool) -> Vec<S::Element> {
        let mut elements = self.base.clone();
        let committed = self.committed.iter().map(|(_, op)| op);
        let pending = self.pending.iter().filter(|_| with_pending);
        for op in committed.chain(pending) {
            assert!(fold::<S>(&mut elements, op));
        }
        elements
    }

    fn compare(&self) {
        self.state.check();
        let shown = self.state.shown();
        assert_eq!(shown, self.folded(true));
        assert_eq!(shown, self.shadow);
        let blob = self.state.snapshot_state();
        assert_eq!(blob, S::blob(&self.folded(false)));
        let mut reseeded = S::new();
        reseeded.seed(&blob).unwrap();
        assert_eq!(reseeded.shown(), self.folded(false));
        reseeded.seed(&[]).unwrap();
        assert_eq!(reseeded.shown(), []);
    }
}

fn run<S: Subject>(name: &str) {
    for seed in 0..500 {
        let outcome = std::panic::catch_unwind(|| {
            let mut rng = Rng::new(seed);
            let mut script = Script::<S>::new(&mut rng);
            for _ in 0..30 {
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
fn texts_agree_with_the_specification() {
    run::<PlainTextState>("text");
}

#[test]
fn lists_agree_with_the_specification() {
    run::<PlainListState>("list");
}

#[test]
fn a_damaged_list_leaves_the_old_one() {
    let mut list = PlainListState::new(ValueCodec::Json);
    list.seed(&PlainListState::blob(&[Value::Int(1)])).unwrap();
    for blob in [
        &[2, 1, b'1'][..],
        &[1, 1, b'x'],
        &[0xff],
        &[0xff, 0xff, 0xff, 0x7f],
    ] {
        assert!(list.seed(blob).is_err());
        assert_eq!(list.values(), [Value::Int(1)]);
    }
}
