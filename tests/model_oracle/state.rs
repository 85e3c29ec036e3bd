//! The values of the four handlers, folded operation by operation (specification 9).

use super::ops::Op;
use super::tree::Tree;
use syncline::clock::OperationId;
use syncline::codec::Value;

#[derive(Clone, Debug, Default)]
pub struct State {
    pub text: Tree<Vec<u16>>,
    pub map: Vec<(String, Value)>,
    pub register: Option<Value>,
    pub set: Set,
}

impl State {
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::TextInsert { left, right, items } => self.text.insert_chain(*left, *right, items),
            Op::TextDelete(ids) => ids.iter().for_each(|id| self.text.delete(*id)),
            Op::TextUpdate(items) => {
                items
                    .iter()
                    .for_each(|(old, new, value)| self.text.update(*old, *new, value.clone()));
            }
            Op::MapSet(key, value) => match self.map.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => *old = value.clone(),
                None => self.map.push((key.clone(), value.clone())),
            },
            Op::MapDelete(key) => self.map.retain(|(known, _)| known != key),
            Op::MapUpdate(key, value) => {
                if let Some((_, old)) = self.map.iter_mut().find(|(known, _)| known == key) {
                    *old = value.clone();
                }
            }
            // Null and unset are one (9.6).
            Op::RegisterSet(value) => {
                self.register = Some(value.clone()).filter(|value| *value != Value::Null)
            }
            Op::SetAdd(value, tag) => self.set.add(value, *tag),
            Op::SetRemove(value, tags, _) => self.set.remove(value, tags),
        }
    }
}

/// An element and its tags.
type Tagged = (Value, Vec<OperationId>);

/// Nothing is seeded here, so `seeded` and `removeAll` have nothing to do.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub live: Vec<Tagged>,
    all: Vec<Tagged>,
    tombstones: Vec<OperationId>,
}

/// Dart's `==` on JSON values (9.7).
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(int), Value::Double(double)) | (Value::Double(double), Value::Int(int)) => {
            *int as f64 == *double
        }
        (Value::Array(_) | Value::Object(_), _) => false,
        _ => a == b,
    }
}

fn tag_element(elements: &mut Vec<Tagged>, value: &Value, tag: OperationId) {
    match elements.iter_mut().find(|(known, _)| equal(known, value)) {
        Some((_, tags)) if tags.contains(&tag) => (),
        Some((_, tags)) => tags.push(tag),
        None => elements.push((value.clone(), vec![tag])),
    }
}

impl Set {
    fn add(&mut self, value: &Value, tag: OperationId) {
        tag_element(&mut self.all, value, tag);
        if !self.tombstones.contains(&tag) {
            tag_element(&mut self.live, value, tag);
        }
    }

    fn remove(&mut self, value: &Value, tags: &[OperationId]) {
        self.tombstones.extend_from_slice(tags);
        if let Some((_, known)) = self.live.iter_mut().find(|(known, _)| equal(known, value)) {
            known.retain(|tag| !tags.contains(tag));
        }
        self.live.retain(|(_, tags)| !tags.is_empty());
    }

    /// Every tag that an element ever had, ascending.
    pub fn tags(&self, value: &Value) -> Vec<OperationId> {
        let found = self.all.iter().find(|(known, _)| equal(known, value));
        let mut tags = found.map(|(_, tags)| tags.clone()).unwrap_or_default();
        tags.sort_unstable();
        tags
    }

    pub fn values(&self) -> Vec<Value> {
        self.live.iter().map(|(value, _)| value.clone()).collect()
    }
}
