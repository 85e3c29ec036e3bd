//! A document that is checked after every step: its invariants, its deltas against a shadow that
//! only hears of them, and its state against a replay of its history.

use super::Rng;
use super::forge::{NOW_MS, any_payload, peer};
use std::collections::BTreeMap;
use syncline::clock::{Hlc, OperationId, VersionVector};
use syncline::codec::{Change, Snapshot, Value};
use syncline::document::{
    Document, DocumentOptions, HandlerDelta, HandlerIdx, HandlerKind, HandlerSpec, MapOp, TextOp,
    WallClock,
};
use syncline::replica::Replica as _;

/// What a listener knows who only hears of deltas.
#[derive(Default)]
struct Shadow {
    text: Vec<u16>,
    map: BTreeMap<String, Value>,
    register: Option<Value>,
    set: Vec<Value>,
}

pub struct Replica {
    pub document: Document,
    pub text: HandlerIdx,
    map: HandlerIdx,
    register: HandlerIdx,
    set: HandlerIdx,
    shadow: Shadow,
    /// Bytes of everything it was ever given.
    pub given_bytes: usize,
}

/// Everything that can be seen of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    changes: Vec<Change>,
    snapshot: Option<Snapshot>,
    vector: VersionVector,
    frontiers: Vec<OperationId>,
    clock: Hlc,
    values: Vec<Value>,
    revisions: Vec<u64>,
}

impl Replica {
    pub fn new(number: u8) -> Self {
        let options = DocumentOptions {
            document_id: "hostile".into(),
            peer_id: Some(peer(number)),
            wall_clock: WallClock::Fixed(NOW_MS),
            ..DocumentOptions::default()
        };
        let mut document = Document::new(options);
        document.set_recording(true);
        document.observe_all(true);
        let mut handler = |id, kind| document.handler(id, &HandlerSpec::new(kind)).unwrap();
        let text = handler("text", HandlerKind::FugueText);
        let map = handler("map", HandlerKind::Map);
        let register = handler("register", HandlerKind::Register);
        let set = handler("set", HandlerKind::OrSet);
        Replica {
            document,
            text,
            map,
            register,
            set,
            shadow: Shadow::default(),
            given_bytes: 0,
        }
    }

    pub fn values(&self) -> Vec<Value> {
        [self.text, self.map, self.register, self.set]
            .iter()
            .map(|handler| self.document.handler_value(*handler))
            .collect()
    }

    pub fn seen(&self) -> Seen {
        let handlers = [self.text, self.map, self.register, self.set];
        Seen {
            changes: self.document.all_changes(),
            snapshot: self.document.last_snapshot().cloned(),
            vector: self.document.version_vector(),
            frontiers: self.document.frontiers(),
            clock: self.document.clock(),
            values: self.values(),
            revisions: handlers
                .iter()
                .map(|handler| self.document.handler_revision(*handler))
                .collect(),
        }
    }

    /// A local edit of any handler, inside or outside of a transaction.
    pub fn edit(&mut self, rng: &mut Rng) {
        let document = &mut self.document;
        let len = document.text_len_utf16(self.text);
        let at = rng.below(len as usize + 1) as u64;
        let count = rng.below(((len - at) as usize).min(4) + 1) as u64;
        let value = Value::Int(rng.below(3) as i64);
        let key = *rng.pick(&["a", "b", ""]);
        // A forged element may have used up the counters of this author: then text is refused.
        let _ = match rng.below(14) {
            0..=3 => document.text_insert(
                self.text,
                at,
                rng.pick::<&str>(&["x", "hello", "\u{e9}\u{1f600}"]),
            ),
            4 | 5 => document.text_remove(self.text, at, count),
            6 => document.text_update_utf16(self.text, at, &[0x55, 0xd83d]),
            7 => document.map_set(self.map, key, &value),
            8 => document.map_remove(self.map, key),
            9 => document.map_update(self.map, key, &value),
            10 => document.register_set(self.register, &value),
            11 => document.set_add(self.set, &value),
            12 => document.set_remove(self.set, &value),
            _ => document
                .create_change(any_payload(rng, peer(1)))
                .map(|_| ()),
        };
    }

    /// Applies what observers are told, and compares.
    pub fn follow(&mut self, context: &str) {
        for commit in self.document.take_commits() {
            // A snapshot registers what forged changes name, too.
            let own = [self.text, self.map, self.register, self.set];
            for (handler, delta) in commit
                .deltas
                .into_iter()
                .filter(|(handler, _)| own.contains(handler))
            {
                match delta {
                    HandlerDelta::Text(steps) if handler == self.text => {
                        follow_text(&mut self.shadow.text, &steps)
                    }
                    HandlerDelta::Map(ops) if handler == self.map => {
                        for op in ops {
                            assert_eq!(self.shadow.map.get(&op.key), op.old.as_ref(), "{context}");
                            match op.new {
                                Some(new) => self.shadow.map.insert(op.key, new),
                                None => self.shadow.map.remove(&op.key),
                            };
                        }
                    }
                    HandlerDelta::Register(ops) => {
                        for op in ops {
                            assert_eq!(self.shadow.register, op.old, "{context}");
                            self.shadow.register = op.new;
                        }
                    }
                    HandlerDelta::Set(ops) => ops
                        .into_iter()
                        .for_each(|op| follow_set(&mut self.shadow.set, op, context)),
                    delta => panic!("of another kind: {delta:?}, {context}"),
                }
            }
        }
        let mut text = Vec::new();
        self.document
            .text_slice_utf16(self.text, 0..u64::MAX, &mut text);
        assert_eq!(self.shadow.text, text, "{context}");
        let map: BTreeMap<String, Value> =
            self.document.map_entries(self.map).into_iter().collect();
        assert_eq!(self.shadow.map, map, "{context}");
        assert_eq!(
            self.shadow.register,
            self.document.register_get(self.register),
            "{context}"
        );
        let sorted = |values: &[Value]| {
            let mut names: Vec<String> = values.iter().map(name).collect();
            names.sort();
            names
        };
        assert_eq!(
            sorted(&self.shadow.set),
            sorted(&self.document.set_values(self.set)),
            "{context}"
        );
    }

    /// The invariants, and that the state is what a replay of the history gives.
    pub fn check(&mut self, context: &str) {
        self.follow(context);
        self.document.check();
        let before = self.values();
        self.document.replay_all();
        assert_eq!(before, self.values(), "{context}");
        self.document.check();
        // Generous: rows, runs, hash tables and trees of tiny operations.
        let held = self.document.heap_bytes();
        assert!(
            held < 200_000 + 100 * self.given_bytes,
            "{held} bytes held, {} given, {context}",
            self.given_bytes
        );
    }
}

/// Numbers that are equal are one element, whatever their form.
fn name(value: &Value) -> String {
    match value {
        Value::Double(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            format!("{:?}", Value::Int(*number as i64))
        }
        value => format!("{value:?}"),
    }
}

fn follow_text(text: &mut Vec<u16>, steps: &[TextOp]) {
    let mut at = 0;
    for step in steps {
        match step {
            TextOp::Retain(count) => at += *count as usize,
            TextOp::Insert(units) => {
                text.splice(at..at, units.iter().copied());
                at += units.len();
            }
            TextOp::Remove(count) => {
                text.drain(at..at + *count as usize);
            }
        }
    }
}

fn follow_set(set: &mut Vec<Value>, op: MapOp, context: &str) {
    if let Some(old) = op.old {
        let at = set.iter().position(|known| name(known) == name(&old));
        set.remove(at.unwrap_or_else(|| panic!("{old:?} was never there, {context}")));
    }
    set.extend(op.new);
}
