//! Presence: who is in a room, and what each shows of itself (a name, a cursor).
//!
//! Layer: `sync`; knows no wire form and no clock. Presence is never stored and never merged: of
//! each session the last state counts, and a session that ends takes its state along. Two halves
//! that every dialect shares: [`Presences`], what a server knows of one room, and
//! [`PresenceView`], what one client shows and sees.

mod view;

pub use view::{PresenceChange, PresenceEntry, PresenceOptions, PresenceView};

use crate::codec::{Value, json};
use std::collections::BTreeMap;

/// Longest state of one session, as JSON text.
pub const STATE_BYTES_MAX: usize = 64 << 10;

/// Why a state was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceError {
    /// Not an object, or one that JSON cannot carry.
    NotAnObject,
    /// Longer than the limit.
    TooLarge,
}

impl std::fmt::Display for PresenceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PresenceError::NotAnObject => "a state is an object that JSON can carry",
            PresenceError::TooLarge => "the state is too large",
        })
    }
}

impl std::error::Error for PresenceError {}

/// Whether a state can be sent.
///
/// # Errors
/// See [`PresenceError`].
pub fn check_state(state: &Value, bytes_max: usize) -> Result<(), PresenceError> {
    if !matches!(state, Value::Object(_)) {
        return Err(PresenceError::NotAnObject);
    }
    let mut text = Vec::new();
    json::encode(state, &mut text).map_err(|_| PresenceError::NotAnObject)?;
    if text.len() > bytes_max {
        return Err(PresenceError::TooLarge);
    }
    Ok(())
}

/// An object without members: what a session shows that shows nothing.
pub fn empty_state() -> Value {
    Value::Object(Vec::new())
}

/// The states of the sessions of one room. Memory: `bytes_max` for each session.
#[derive(Clone, Debug)]
pub struct Presences<K> {
    states: BTreeMap<K, Value>,
    bytes_max: usize,
}

impl<K: Ord + Clone> Presences<K> {
    /// Nobody is there. `bytes_max`: of one state as JSON text.
    pub fn new(bytes_max: usize) -> Self {
        Presences {
            states: BTreeMap::new(),
            bytes_max,
        }
    }

    /// A session came (or came again): it shows nothing yet.
    pub fn join(&mut self, session: K) {
        self.states.insert(session, empty_state());
    }

    /// What a session shows from now on.
    ///
    /// # Errors
    /// See [`PresenceError`]; what it showed before stays.
    pub fn set(&mut self, session: K, state: Value) -> Result<(), PresenceError> {
        check_state(&state, self.bytes_max)?;
        self.states.insert(session, state);
        Ok(())
    }

    /// A session left; false if it showed nothing.
    pub fn remove(&mut self, session: &K) -> bool {
        self.states.remove(session).is_some()
    }

    /// Nobody shows anything.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// All states, ordered by session.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Value)> {
        self.states.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Value {
        Value::Object(vec![("name".into(), Value::String(name.into()))])
    }

    #[test]
    fn a_room_knows_the_last_state_of_each_session() {
        let mut room = Presences::new(100);
        room.join("a");
        room.join("b");
        assert_eq!(room.set("a", named("Ann")), Ok(()));
        assert_eq!(room.set("a", named("Anna")), Ok(()));
        let shown: Vec<_> = room.iter().map(|(key, state)| (*key, state)).collect();
        assert_eq!(shown, [("a", &named("Anna")), ("b", &empty_state())]);
        room.join("a");
        assert_eq!(room.iter().next(), Some((&"a", &empty_state())));
        assert!(room.remove(&"a"));
        assert!(!room.remove(&"a"));
        assert!(room.remove(&"b"));
        assert!(room.is_empty());
    }

    #[test]
    fn refused_states_change_nothing() {
        let mut room = Presences::new(20);
        assert_eq!(room.set(1, named("x")), Ok(()));
        let long = named("xxxxxxxxxxxxxxxxxxxx");
        assert_eq!(room.set(1, long), Err(PresenceError::TooLarge));
        assert_eq!(room.set(1, Value::Null), Err(PresenceError::NotAnObject));
        let unsayable = Value::Object(vec![("n".into(), Value::Double(f64::NAN))]);
        assert_eq!(room.set(2, unsayable), Err(PresenceError::NotAnObject));
        assert!(room.iter().eq([(&1, &named("x"))]));
    }
}
