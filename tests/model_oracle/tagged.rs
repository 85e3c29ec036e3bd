//! Observed-remove sets and maps (specification 9.7, 9.8). Nothing is seeded here, so `seeded` and
//! `removeAll` have nothing to do.

use syncline::clock::OperationId;
use syncline::codec::Value;

/// An element or key with its additions: the value of a map, and the tag.
type Entry = (Value, Vec<(Option<Value>, OperationId)>);

#[derive(Clone, Debug, Default)]
pub struct Tagged {
    live: Vec<Entry>,
    all: Vec<Entry>,
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

fn put(entries: &mut Vec<Entry>, element: &Value, value: Option<&Value>, tag: OperationId) {
    let addition = (value.cloned(), tag);
    match entries.iter_mut().find(|(known, _)| equal(known, element)) {
        Some((_, additions)) if value.is_none() && additions.contains(&addition) => (),
        Some((_, additions)) => additions.push(addition),
        None => entries.push((element.clone(), vec![addition])),
    }
}

impl Tagged {
    pub fn add(&mut self, element: &Value, value: Option<&Value>, tag: OperationId) {
        put(&mut self.all, element, value, tag);
        if !self.tombstones.contains(&tag) {
            put(&mut self.live, element, value, tag);
        }
    }

    pub fn discard(&mut self, element: &Value, tags: &[OperationId]) {
        self.tombstones.extend_from_slice(tags);
        let live = self.live.iter_mut();
        for (_, additions) in live.filter(|(known, _)| equal(known, element)) {
            additions.retain(|(_, tag)| !tags.contains(tag));
        }
        self.live.retain(|(_, additions)| !additions.is_empty());
    }

    /// Every tag that an element ever had, ascending, each once.
    pub fn tags(&self, element: &Value) -> Vec<OperationId> {
        let found = self.all.iter().find(|(known, _)| equal(known, element));
        let additions = found.map_or(&[][..], |(_, additions)| additions);
        let mut tags: Vec<OperationId> = additions.iter().map(|(_, tag)| *tag).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Elements of a set.
    pub fn elements(&self) -> Vec<Value> {
        self.live
            .iter()
            .map(|(element, _)| element.clone())
            .collect()
    }

    /// Keys and values of a map: the value with the largest tag.
    pub fn entries(&self) -> Vec<(Value, Value)> {
        let live = self.live.iter();
        live.map(|(key, additions)| {
            let latest = additions.iter().max_by_key(|(_, tag)| *tag);
            let value = latest.and_then(|(value, _)| value.clone());
            (key.clone(), value.expect("every addition to a map has one"))
        })
        .collect()
    }
}
