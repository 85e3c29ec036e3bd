//! Values as trees: walking, copying, comparing and dropping them without recursion.
//!
//! JSON from outside is nested only so deep (see `json::DEPTH_MAX`), but a document of references
//! can be resolved into a value that is as deep as the document is long. No thread's stack may
//! depend on that, so everything that goes through a whole value keeps its own list of what is
//! still open.

use super::{Value, Wtf8String};
use std::convert::Infallible;
use std::fmt;

/// A step of a walk: in the order of the text that JSON would give.
pub(crate) enum Step<'a> {
    /// A value begins: a leaf, or a list or object whose content follows.
    Enter(&'a Value),
    /// A list or object ends.
    Leave(&'a Value),
}

/// Where a step is.
pub(crate) struct Position<'a> {
    /// How many lists and objects are open around it.
    pub depth: usize,
    /// The number of the value within the innermost one.
    pub nth: usize,
    /// Its key, if that is an object.
    pub key: Option<&'a Wtf8String>,
}

/// What is left of an open list or object.
enum Rest<'a> {
    Items(std::slice::Iter<'a, Value>),
    Members(std::slice::Iter<'a, (Wtf8String, Value)>),
}

impl<'a> Rest<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Array(items) => Some(Rest::Items(items.iter())),
            Value::Object(members) => Some(Rest::Members(members.iter())),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<(Option<&'a Wtf8String>, &'a Value)> {
        match self {
            Rest::Items(items) => items.next().map(|item| (None, item)),
            Rest::Members(members) => members.next().map(|(key, value)| (Some(key), value)),
        }
    }
}

/// A list or object that a walk is inside of.
struct Open<'a> {
    value: &'a Value,
    nth: usize,
    key: Option<&'a Wtf8String>,
    rest: Rest<'a>,
    given: usize,
}

impl Value {
    /// Shows every value in it to `visit`, which can end the walk. O(size).
    pub(crate) fn walk<'a, E>(
        &'a self,
        mut visit: impl FnMut(Step<'a>, Position<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut open: Vec<Open<'a>> = Vec::new();
        let mut next = Some((0, None, self));
        loop {
            if let Some((nth, key, value)) = next {
                let depth = open.len();
                visit(Step::Enter(value), Position { depth, nth, key })?;
                if let Some(rest) = Rest::of(value) {
                    open.push(Open {
                        value,
                        nth,
                        key,
                        rest,
                        given: 0,
                    });
                }
            }
            let Some(inner) = open.last_mut() else {
                return Ok(());
            };
            next = inner
                .rest
                .next()
                .map(|(key, value)| (inner.given, key, value));
            inner.given += 1;
            if next.is_none() {
                let (value, nth, key) = (inner.value, inner.nth, inner.key);
                open.pop();
                let depth = open.len();
                visit(Step::Leave(value), Position { depth, nth, key })?;
            }
        }
    }

    /// Heap memory held, in bytes (estimated by what the parts ask for). O(size).
    pub fn heap_bytes(&self) -> usize {
        let mut bytes = 0;
        let Ok(()) = self.walk(|step, at| {
            if let Step::Enter(value) = step {
                bytes += value.own_heap_bytes() + at.key.map_or(0, Wtf8String::heap_bytes);
            }
            Ok::<(), Infallible>(())
        });
        bytes
    }

    /// Without the values in it.
    fn own_heap_bytes(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
            Value::String(text) => text.heap_bytes(),
            Value::Bytes(bytes) => bytes.capacity(),
            Value::Reference(target) => target.type_tag.capacity() + target.id.capacity(),
            Value::Array(items) => items.capacity() * size_of::<Value>(),
            Value::Object(members) => members.capacity() * size_of::<(Wtf8String, Value)>(),
        }
    }

    /// Takes the lists and objects in it that hold anything.
    fn take_nested(&mut self, out: &mut Vec<Value>) {
        let mut take = |value: &mut Value| {
            let holds_values = match value {
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                _ => false,
            };
            if holds_values {
                out.push(std::mem::replace(value, Value::Null));
            }
        };
        match self {
            Value::Array(items) => items.iter_mut().for_each(&mut take),
            Value::Object(members) => members.iter_mut().for_each(|(_, value)| take(value)),
            _ => (),
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let mut nested = Vec::new();
        self.take_nested(&mut nested);
        while let Some(mut value) = nested.pop() {
            value.take_nested(&mut nested);
        }
    }
}

/// A copy of a list or object that is being filled.
struct Copying<'a> {
    rest: Rest<'a>,
    key: Option<&'a Wtf8String>,
    copy: Value,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        let mut open: Vec<Copying<'_>> = Vec::new();
        let mut next = self;
        loop {
            let copy = match next {
                Value::Null => Value::Null,
                Value::Bool(flag) => Value::Bool(*flag),
                Value::Int(number) => Value::Int(*number),
                Value::Double(number) => Value::Double(*number),
                Value::String(text) => Value::String(text.clone()),
                Value::Bytes(bytes) => Value::Bytes(bytes.clone()),
                Value::Reference(target) => Value::Reference(target.clone()),
                Value::Array(items) => Value::Array(Vec::with_capacity(items.len())),
                Value::Object(members) => Value::Object(Vec::with_capacity(members.len())),
            };
            let mut done = match Rest::of(next) {
                None => Some(copy),
                Some(rest) => {
                    open.push(Copying {
                        rest,
                        key: None,
                        copy,
                    });
                    None
                }
            };
            next = loop {
                let Some(inner) = open.last_mut() else {
                    return done.expect("nothing is open: the whole value was copied");
                };
                if let Some(done) = done.take() {
                    inner.add(done);
                }
                if let Some((key, value)) = inner.rest.next() {
                    inner.key = key;
                    break value;
                }
                done = open.pop().map(|full| full.copy);
            };
        }
    }
}

impl Copying<'_> {
    fn add(&mut self, value: Value) {
        match (&mut self.copy, self.key) {
            (Value::Array(items), _) => items.push(value),
            (Value::Object(members), Some(key)) => members.push((key.clone(), value)),
            _ => unreachable!("only lists and objects are open"),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        let mut waiting = Vec::new();
        let mut next = Some((self, other));
        while let Some(pair) = next {
            let is_equal = match pair {
                (Value::Null, Value::Null) => true,
                (Value::Bool(a), Value::Bool(b)) => a == b,
                (Value::Int(a), Value::Int(b)) => a == b,
                (Value::Double(a), Value::Double(b)) => a == b,
                (Value::String(a), Value::String(b)) => a == b,
                (Value::Bytes(a), Value::Bytes(b)) => a == b,
                (Value::Reference(a), Value::Reference(b)) => a == b,
                (Value::Array(a), Value::Array(b)) => {
                    waiting.extend(a.iter().zip(b));
                    a.len() == b.len()
                }
                (Value::Object(a), Value::Object(b)) => {
                    let members = a.iter().zip(b);
                    waiting.extend(members.clone().map(|((_, a), (_, b))| (a, b)));
                    a.len() == b.len() && members.into_iter().all(|((a, _), (b, _))| a == b)
                }
                _ => false,
            };
            if !is_equal {
                return false;
            }
            next = waiting.pop();
        }
        true
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.walk(|step, at| {
            let value = match step {
                Step::Enter(value) => value,
                Step::Leave(Value::Array(_)) => return f.write_str("]"),
                Step::Leave(_) => return f.write_str("}"),
            };
            if at.nth > 0 {
                f.write_str(", ")?;
            }
            if let Some(key) = at.key {
                write!(f, "{key:?}: ")?;
            }
            match value {
                Value::Null => f.write_str("Null"),
                Value::Bool(flag) => write!(f, "Bool({flag})"),
                Value::Int(number) => write!(f, "Int({number})"),
                Value::Double(number) => write!(f, "Double({number:?})"),
                Value::String(text) => write!(f, "String({text:?})"),
                Value::Bytes(bytes) => write!(f, "Bytes({bytes:?})"),
                Value::Reference(target) => write!(f, "Reference({target:?})"),
                Value::Array(_) => f.write_str("["),
                Value::Object(_) => f.write_str("{"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::testing::Rng;

    fn random(rng: &mut Rng, depth: usize) -> Value {
        match rng.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(rng.below(2) == 0),
            2 => Value::Int(rng.below(3) as i64),
            3 => Value::Double(rng.below(3) as f64),
            4 => "text".into(),
            5 => Value::Bytes(vec![rng.below(3) as u8]),
            6 => Value::Array((0..rng.below(4)).map(|_| random(rng, depth - 1)).collect()),
            _ => {
                let key = |nth: usize| ["a", "b", "c", "d"][nth].into();
                let members = (0..rng.below(4)).map(|nth| (key(nth), random(rng, depth - 1)));
                Value::Object(members.collect())
            }
        }
    }

    /// The obvious comparison.
    fn equal(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                let mut pairs = a.iter().zip(b);
                a.len() == b.len() && pairs.all(|(a, b)| a.0 == b.0 && equal(&a.1, &b.1))
            }
            (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
                false
            }
            (a, b) => a == b,
        }
    }

    #[test]
    fn copies_are_equal_and_others_are_as_equal_as_they_look() {
        let (mut same, mut other) = (0, 0);
        for seed in 0..3000 {
            let mut rng = Rng::new(seed);
            let (a, b) = (random(&mut rng, 3), random(&mut rng, 3));
            assert!(equal(&a, &a.clone()), "seed {seed}: {a:?}");
            assert_eq!(a, a.clone(), "seed {seed}");
            assert_eq!(a == b, equal(&a, &b), "seed {seed}: {a:?} and {b:?}");
            assert_eq!(
                a == b,
                format!("{a:?}") == format!("{b:?}"),
                "seed {seed}: {a:?}"
            );
            *if a == b { &mut same } else { &mut other } += 1;
        }
        assert!(same > 50 && other > 1000, "{same} equal, {other} not");
    }

    /// The stack of a test thread is 2 MiB; recursion would need hundreds of bytes per level.
    #[test]
    fn a_million_levels_need_no_stack() {
        const LEVELS: usize = 1_000_000;
        let mut deep = Value::Null;
        for nth in 0..LEVELS {
            deep = match nth % 2 {
                0 => Value::Array(vec![deep]),
                _ => Value::Object(vec![("k".into(), deep)]),
            };
        }
        let copy = deep.clone();
        assert!(copy == deep);
        assert!(deep.heap_bytes() >= LEVELS * size_of::<Value>());
        assert!(format!("{deep:?}").len() > 4 * LEVELS);
        let mut text = Vec::new();
        assert!(json::encode(&deep, &mut text).is_err());
        json::encode_tree(&deep, &mut text).unwrap();
        assert_eq!(text.len(), LEVELS / 2 * r#"{"k":[]}"#.len() + "null".len());
    }
}
