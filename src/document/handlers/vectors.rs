//! The handlers against scripts recorded from the reference: every causal order of the changes
//! gives the recorded value, and the snapshot has the recorded bytes.

#[path = "../../../tests/common/mod.rs"]
mod common;

use super::map::MapState;
use super::or_map::OrMapState;
use super::or_set::OrSetState;
use super::register::RegisterState;
use crate::clock::{Hlc, OrderKey};
use crate::codec::{Change, DecodeError, Snapshot, Value, Wtf8String, version_vector};
use crate::document::ValueCodec;
use common::{Outcome, hex, int, list, text, to_hex, units};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

trait Subject: Clone {
    fn empty() -> Self;
    fn start(&mut self, blob: &[u8]) -> Result<(), DecodeError>;
    fn take(&mut self, order: OrderKey, kind: u8, body: &[u8]) -> Result<(), DecodeError>;
    fn value(&self) -> Value;
    fn blob(&self) -> Vec<u8>;
}

macro_rules! subject {
    ($state:ty, $value:expr) => {
        impl Subject for $state {
            fn empty() -> Self {
                <$state>::new(ValueCodec::Json)
            }
            fn start(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
                self.seed(blob)
            }
            fn take(&mut self, order: OrderKey, kind: u8, body: &[u8]) -> Result<(), DecodeError> {
                self.apply(order, kind, body, None)
            }
            fn value(&self) -> Value {
                $value(self)
            }
            fn blob(&self) -> Vec<u8> {
                self.snapshot_state()
            }
        }
    };
}

subject!(OrSetState, |set: &Self| Value::Array(set.values()));
subject!(OrMapState, |map: &Self| {
    let entries = map.entries().into_iter();
    Value::Array(
        entries
            .map(|(key, value)| Value::Array(vec![key, value]))
            .collect(),
    )
});
subject!(RegisterState, |register: &Self| register
    .get()
    .unwrap_or(Value::Null));
subject!(MapState, |map: &Self| {
    let entries = map.entries().into_iter();
    Value::Array(
        entries
            .map(|(key, value)| Value::Array(vec![key.into(), value]))
            .collect(),
    )
});

/// A recorded value: 1 and 1.0 differ, text may be a list of units.
fn recorded(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Double(number.as_f64().unwrap()),
        },
        Json::Array(items) => Value::Array(items.iter().map(recorded).collect()),
        Json::Object(object) if object.len() == 1 && object.contains_key("u16") => {
            Value::String(Wtf8String::from_utf16(&units(json)))
        }
        Json::Object(object) => {
            let members = object.iter();
            Value::Object(
                members
                    .map(|(key, value)| (key.as_str().into(), recorded(value)))
                    .collect(),
            )
        }
        Json::String(text) => text.as_str().into(),
    }
}

fn replay<S: Subject>(case: &Json, order: impl Iterator<Item = usize>) -> S {
    let changes = list(&case["changes"]);
    let mut state = S::empty();
    for at in order {
        let change = Change::decode(&hex(&changes[at])).unwrap();
        let envelope = change.envelope().unwrap();
        assert_eq!(envelope.handler_type, text(&case["handlerType"]));
        assert_eq!(envelope.handler_id, text(&case["id"]));
        state.take(change.id, envelope.kind, envelope.body).unwrap();
    }
    state
}

fn run<S: Subject>(name: &str) {
    common::each_case(name, |case| {
        let count = list(&case["changes"]).len();
        let mut orders: Vec<Vec<usize>> = list(&case["orders"])
            .iter()
            .map(|order| list(order).iter().map(|at| int(at) as usize).collect())
            .collect();
        orders.push((0..count).collect());
        // The states do not even need a causal order.
        orders.push((0..count).rev().collect());
        let expected = format!("{:?}", recorded(&case["value"]));
        for order in orders {
            let state: S = replay(case, order.into_iter());
            assert_eq!(format!("{:?}", state.value()), expected);
            let vector = version_vector::decode(&hex(&case["fresh"]["vv"])).unwrap();
            let entry = (text(&case["id"]).to_owned(), state.blob());
            let snapshot = Snapshot::new(vector, vec![entry]);
            let bytes = snapshot.encode();
            let fresh = &case["fresh"]["snapshot"];
            assert_eq!(snapshot.id(), text(&fresh["id"]));
            assert_eq!(bytes.len() as i64, int(&fresh["length"]));
            assert_eq!(to_hex(&Sha256::digest(&bytes)), text(&fresh["sha256"]));
        }
        Outcome::Passed
    });
}

/// Every truncation and every single-bit flip.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut copy = bytes.to_vec();
        copy[bit / 8] ^= 1 << (bit % 8);
        copy
    });
    cut.chain(flipped)
}

/// Damaged operations and snapshots: refused without a trace, or taken and sound.
fn damage<S: Subject>(name: &str) {
    let file = common::load(name);
    let (mut refused, mut taken) = (0, 0);
    for case in list(&file["cases"]).iter().step_by(10) {
        let count = list(&case["changes"]).len();
        let state: S = replay(case, 0..count);
        let blob = state.blob();
        for change in list(&case["changes"]).iter().step_by(3) {
            let change = Change::decode(&hex(change)).unwrap();
            let envelope = change.envelope().unwrap();
            // Behind all others, but for a clock that no other change has.
            let order = OrderKey::new(change.id.peer, Hlc::MAX);
            for body in damaged(envelope.body) {
                let mut copy = state.clone();
                if copy.take(order, envelope.kind, &body).is_err() {
                    assert_eq!(copy.blob(), blob);
                    refused += 1;
                } else {
                    // What was taken can be written and read.
                    let mut again = S::empty();
                    again.start(&copy.blob()).unwrap();
                    assert_eq!(again.blob(), copy.blob());
                    taken += 1;
                }
            }
        }
        for bytes in damaged(&blob) {
            let mut seeded = state.clone();
            if seeded.start(&bytes).is_err() {
                assert_eq!(seeded.blob(), blob);
            } else {
                let mut again = S::empty();
                again.start(&seeded.blob()).unwrap();
                assert_eq!(again.blob(), seeded.blob());
            }
        }
    }
    assert!(refused > 0 && taken > 0, "{refused} refused, {taken} taken");
}

#[test]
fn damaged_operations_and_snapshots() {
    damage::<MapState>("script_CRDTMapHandler");
    damage::<RegisterState>("script_CRDTRegisterHandler");
    damage::<OrSetState>("script_CRDTORSetHandler");
    damage::<OrMapState>("script_CRDTORMapHandler");
}

#[test]
fn map_scripts() {
    run::<MapState>("script_CRDTMapHandler");
}

#[test]
fn register_scripts() {
    run::<RegisterState>("script_CRDTRegisterHandler");
}

#[test]
fn set_scripts() {
    run::<OrSetState>("script_CRDTORSetHandler");
}

#[test]
fn observed_remove_map_scripts() {
    run::<OrMapState>("script_CRDTORMapHandler");
}
