//! Maps, of either kind: editing and reading. An observed-remove map has keys of any JSON value;
//! the methods whose names end in `_any` take them, the others know its string keys.

use super::Document;
use super::handler::State;
use super::handlers::map::MapState;
use super::handlers::or_map::OrMapState;
use super::types::{DocumentError, HandlerIdx};
use crate::codec::Value;

/// The state of a map.
enum AnyMap<'a> {
    /// A map or a map of references.
    Map(&'a MapState),
    /// An observed-remove map.
    OrMap(&'a OrMapState),
}

impl Document {
    fn any_map(&self, handler: HandlerIdx) -> Result<AnyMap<'_>, DocumentError> {
        match self.state(handler) {
            Some(State::Map(map)) => Ok(AnyMap::Map(map)),
            Some(State::OrMap(map)) => Ok(AnyMap::OrMap(map)),
            _ => Err(DocumentError::UnknownHandler),
        }
    }

    fn or_map(&self, handler: HandlerIdx) -> Option<&OrMapState> {
        match self.any_map(handler) {
            Ok(AnyMap::OrMap(map)) => Some(map),
            _ => None,
        }
    }

    /// Number of keys.
    pub fn map_len(&self, handler: HandlerIdx) -> u64 {
        match self.any_map(handler) {
            Ok(AnyMap::Map(map)) => map.len() as u64,
            Ok(AnyMap::OrMap(map)) => map.len() as u64,
            Err(_) => 0,
        }
    }

    /// The value of a key.
    pub fn map_get(&self, handler: HandlerIdx, key: &str) -> Option<Value> {
        match self.any_map(handler).ok()? {
            AnyMap::Map(map) => map.get(key),
            AnyMap::OrMap(map) => map.get(&key.into()),
        }
    }

    /// As [`map_get`](Self::map_get), for a key of any kind: in a map that is not observed-remove
    /// only strings can be there.
    pub fn map_get_any(&self, handler: HandlerIdx, key: &Value) -> Option<Value> {
        match self.any_map(handler).ok()? {
            AnyMap::Map(map) => map.get(text_key(key)?),
            AnyMap::OrMap(map) => map.get(key),
        }
    }

    /// Whether the key is there.
    pub fn map_contains(&self, handler: HandlerIdx, key: &str) -> bool {
        match self.any_map(handler) {
            Ok(AnyMap::Map(map)) => map.contains(key),
            Ok(AnyMap::OrMap(map)) => map.contains(&key.into()),
            Err(_) => false,
        }
    }

    /// All keys and values, in map order. A key that is no string stands as its JSON text; of keys
    /// with one text only the first is here: see [`map_entries_any`](Self::map_entries_any).
    /// O(n log n).
    pub fn map_entries(&self, handler: HandlerIdx) -> Vec<(String, Value)> {
        match self.any_map(handler) {
            Ok(AnyMap::Map(map)) => map.entries(),
            Ok(AnyMap::OrMap(map)) => {
                let entries = map.text_entries().into_iter();
                entries
                    .map(|(key, value)| (key.to_string_lossy(), value))
                    .collect()
            }
            Err(_) => Vec::new(),
        }
    }

    /// All keys, as they are, and values, in map order. O(n log n).
    pub fn map_entries_any(&self, handler: HandlerIdx) -> Vec<(Value, Value)> {
        match self.any_map(handler) {
            Ok(AnyMap::Map(map)) => {
                let entries = map.entries().into_iter();
                entries.map(|(key, value)| (key.into(), value)).collect()
            }
            Ok(AnyMap::OrMap(map)) => map.entries(),
            Err(_) => Vec::new(),
        }
    }

    /// Sets a key.
    ///
    /// # Errors
    /// `UnsupportedValue` if the codec cannot carry the value; `Closed`.
    pub fn map_set(
        &mut self,
        handler: HandlerIdx,
        key: &str,
        value: &Value,
    ) -> Result<(), DocumentError> {
        match self.any_map(handler)? {
            AnyMap::Map(map) => {
                let op = map.set(key, value);
                self.submit_value(handler, op.map_err(|_| DocumentError::UnsupportedValue)?)
            }
            AnyMap::OrMap(_) => self.or_map_put(handler, &key.into(), value),
        }
    }

    /// As [`map_set`](Self::map_set), for a key of any kind.
    ///
    /// # Errors
    /// As [`map_set`](Self::map_set); also `UnsupportedValue` for a key that JSON cannot carry,
    /// or that is no string and the map is not observed-remove.
    pub fn map_set_any(
        &mut self,
        handler: HandlerIdx,
        key: &Value,
        value: &Value,
    ) -> Result<(), DocumentError> {
        match self.any_map(handler)? {
            AnyMap::Map(_) => {
                let key = text_key(key).ok_or(DocumentError::UnsupportedValue)?;
                self.map_set(handler, key, value)
            }
            AnyMap::OrMap(_) => self.or_map_put(handler, key, value),
        }
    }

    fn or_map_put(
        &mut self,
        handler: HandlerIdx,
        key: &Value,
        value: &Value,
    ) -> Result<(), DocumentError> {
        self.submit_tagged(handler, |document, tag| {
            let map = document.or_map(handler).expect("looked at by the caller");
            map.put(key, value, tag)
        })
    }

    /// Replaces the value of a key that exists when all peers have replayed; a concurrent removal
    /// wins over it.
    ///
    /// # Errors
    /// As [`map_set`](Self::map_set); `TypeMismatch` for an observed-remove map, which knows no
    /// such operation.
    pub fn map_update(
        &mut self,
        handler: HandlerIdx,
        key: &str,
        value: &Value,
    ) -> Result<(), DocumentError> {
        let AnyMap::Map(map) = self.any_map(handler)? else {
            return Err(DocumentError::TypeMismatch);
        };
        let op = map.update(key, value);
        self.submit_value(handler, op.map_err(|_| DocumentError::UnsupportedValue)?)
    }

    /// Removes a key. Removing an absent one is a change, too, as in crdt_lf. In an
    /// observed-remove map concurrent sets win.
    pub fn map_remove(&mut self, handler: HandlerIdx, key: &str) -> Result<(), DocumentError> {
        match self.any_map(handler)? {
            AnyMap::Map(_) => self.submit_value(handler, MapState::delete(key)),
            AnyMap::OrMap(_) => self.map_remove_any(handler, &key.into()),
        }
    }

    /// As [`map_remove`](Self::map_remove), for a key of any kind.
    ///
    /// # Errors
    /// As [`map_set_any`](Self::map_set_any).
    pub fn map_remove_any(
        &mut self,
        handler: HandlerIdx,
        key: &Value,
    ) -> Result<(), DocumentError> {
        match self.any_map(handler)? {
            AnyMap::Map(_) => {
                let key = text_key(key).ok_or(DocumentError::UnsupportedValue)?;
                self.map_remove(handler, key)
            }
            AnyMap::OrMap(map) => {
                let op = map.remove_operation(key);
                self.submit_value(handler, op.map_err(|_| DocumentError::UnsupportedValue)?)
            }
        }
    }
}

/// A key of a map that knows strings only.
fn text_key(key: &Value) -> Option<&str> {
    match key {
        Value::String(text) => text.as_str(),
        _ => None,
    }
}
