//! Conflicts made visible: the values that lost against one written concurrently. Who saw what is
//! read from the dependencies in the log, and only when somebody asks.

use super::Document;
use super::handler::{State, kind_and_body};
use super::handlers::history::Effect;
use super::handlers::map::MapState;
use super::handlers::operation::Place as ReplayPlace;
use super::handlers::register::RegisterState;
use super::log::{ChangeKey, Place, SeenChanges};
use super::types::{Conflict, HandlerIdx};
use crate::clock::{Hlc, OperationId, PeerId};
use crate::codec::Value;
use crate::tree::sort_by_key;
use std::cmp::Reverse;

/// A write of a value, or what takes values away.
type Write = (OperationId, Effect);

impl Document {
    /// The values of a key that lost: written concurrently with the one that shows (or with the
    /// removal that left none) and not overwritten by a write that saw them. Newest first. What
    /// was pruned counts as seen; while the open transaction has set the key there are none.
    ///
    /// O(writes of the key + rows of the log since the oldest of each writer's latest).
    pub fn map_conflicts(&self, handler: HandlerIdx, key: &str) -> Vec<Conflict> {
        self.map_conflicts_any(handler, &key.into())
    }

    /// As [`map_conflicts`](Self::map_conflicts), for a key of any kind.
    pub fn map_conflicts_any(&self, handler: HandlerIdx, key: &Value) -> Vec<Conflict> {
        match self.state(handler) {
            Some(State::Map(map)) => {
                let Value::String(key) = key else {
                    return Vec::new();
                };
                let writes = key.as_str().map(|key| committed(map.newest_first(key)));
                let lost = self.concurrent(writes.unwrap_or_default());
                self.conflicts(lost, |kind, body| MapState::value_of(map, kind, body))
            }
            Some(State::OrMap(map)) => {
                let mut values = map.living_values(key);
                if values.len() < 2 {
                    return Vec::new();
                }
                // The winner has the largest tag, which need not be the newest change.
                sort_by_key(&mut values[1..], |(place, _)| Reverse(*place));
                let writes = committed(values.iter().map(|(place, _)| (*place, Effect::Set)));
                let lost = self.concurrent(writes);
                let is_lost = |id: OperationId| lost.iter().any(|(other, _)| *other == id);
                let of = |(place, value)| match place {
                    ReplayPlace::Committed(id) if is_lost(id) => Some(conflict(id, value)),
                    _ => None,
                };
                values.into_iter().filter_map(of).collect()
            }
            _ => Vec::new(),
        }
    }

    /// As [`map_conflicts`](Self::map_conflicts), for a register.
    pub fn register_conflicts(&self, handler: HandlerIdx) -> Vec<Conflict> {
        let Some(State::Register(register)) = self.state(handler) else {
            return Vec::new();
        };
        let lost = self.concurrent(committed(register.newest_first()));
        self.conflicts(lost, |kind, body| {
            RegisterState::value_of(register, kind, body)
        })
    }

    /// As [`map_conflicts`](Self::map_conflicts), for an element of a movable list. None for other
    /// lists.
    pub fn list_conflicts(&self, handler: HandlerIdx, index: u64) -> Vec<Conflict> {
        let (Some(State::MovableList(list)), Ok(index)) =
            (self.state(handler), u32::try_from(index))
        else {
            return Vec::new();
        };
        let Some(mut contest) = list.contest(index) else {
            return Vec::new();
        };
        sort_by_key(&mut contest.rivals, |id| Reverse(*id));
        // What a snapshot brought knew none of the updates that it does not cover.
        let nobody = OperationId::new(PeerId::from_bytes([0; 16]), Hlc::ZERO);
        let winner = contest.winner.unwrap_or(nobody);
        let writes = [winner].into_iter().chain(contest.rivals);
        let lost = self.concurrent(writes.map(|id| (id, Effect::Update)).collect());
        self.conflicts(lost, |kind, body| {
            list.value_of(contest.identity, kind, body)
        })
    }

    fn conflicts(
        &self,
        lost: Vec<(OperationId, Place)>,
        value_of: impl Fn(u8, &[u8]) -> Option<Value>,
    ) -> Vec<Conflict> {
        let of = |(id, place)| {
            let value = self.log.with_operation(place, |op| {
                kind_and_body(op).and_then(|(kind, body)| value_of(kind, body))
            });
            Some(conflict(id, value?))
        };
        lost.into_iter().filter_map(of).collect()
    }

    /// The writes of values that none of the others saw, without the first, which shows: behind it
    /// the newest come first.
    fn concurrent(&self, writes: Vec<Write>) -> Vec<(OperationId, Place)> {
        // A writer has seen what it wrote before: only the latest write of each matters.
        let mut writers: Vec<PeerId> = Vec::new();
        let mut latest: Vec<(Write, Option<Place>)> = Vec::new();
        for (id, effect) in writes {
            if !writers.contains(&id.peer) {
                writers.push(id.peer);
                latest.push(((id, effect), self.place_of(id)));
            }
        }
        let stored = latest.iter().filter(|(_, place)| place.is_some());
        let Some(since) = stored.map(|((id, _), _)| id.hlc).min() else {
            return Vec::new();
        };
        let mut seen = SeenChanges::default();
        let mut lost = Vec::new();
        for (nth, ((id, effect), place)) in latest.into_iter().enumerate() {
            let Some(place) = place.filter(|place| !seen.contains(*place)) else {
                continue;
            };
            if nth > 0 && effect != Effect::Delete {
                lost.push((id, place));
            }
            self.log.see(place, since, &mut seen);
        }
        lost
    }

    fn place_of(&self, id: OperationId) -> Option<Place> {
        let author = self.log.authors.find(&id.peer)?;
        let clock = id.hlc;
        self.log.find(ChangeKey { author, clock })
    }
}

/// The writes that are changes; none if the first is not, because nothing in the log lost against
/// it.
fn committed(writes: impl Iterator<Item = (ReplayPlace, Effect)>) -> Vec<Write> {
    let mut changes = Vec::new();
    for (place, effect) in writes {
        match place {
            ReplayPlace::Committed(id) => changes.push((id, effect)),
            _ if changes.is_empty() => break,
            _ => (),
        }
    }
    changes
}

fn conflict(id: OperationId, value: Value) -> Conflict {
    Conflict {
        value,
        peer: id.peer,
        clock: id.hlc,
    }
}
