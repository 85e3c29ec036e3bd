//! Steps on maps and registers: what each key held before and after.
//!
//! A write is taken back only while it still decides: whoever wrote the key since then keeps what
//! they wrote. Which write decides is told by its change; taking back makes a new change with the
//! old value, and from then on the other steps mean that one.

use super::super::Document;
use super::super::handler::State;
use super::super::handlers::history;
use super::super::handlers::operation::{Operation, Place, kind};
use super::super::types::{DocumentError, HandlerIdx, ValueCodec};
use super::step::{Effect, Renamed};
use crate::clock::OperationId;
use crate::codec::Reader;
use crate::codec::bytes::write_prefixed;
use std::collections::BTreeMap;

/// What a step did to a map or register, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct KeysEffect {
    /// By key; that of a register is empty.
    pub items: BTreeMap<Box<str>, KeyEffect>,
}

/// What a key holds and who wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Written {
    /// The value, encoded; None: the key is absent.
    pub value: Option<Box<[u8]>>,
    /// The change that decided, even if it took the key away; None: none did, a snapshot has it,
    /// or the open transaction.
    pub stamp: Option<OperationId>,
}

impl Written {
    fn new(value: Option<&[u8]>, newest: Option<(Place, history::Effect)>) -> Self {
        Written {
            value: value.map(Box::from),
            stamp: match newest {
                Some((Place::Committed(order), _)) => Some(order),
                _ => None,
            },
        }
    }
}

/// What a step did to one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct KeyEffect {
    pub before: Written,
    /// Known once the step is committed.
    pub after: Written,
}

impl KeysEffect {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds what a later part of the same step did.
    pub fn merge(&mut self, later: KeysEffect) {
        for (key, later) in later.items {
            match self.items.get_mut(&key) {
                Some(known) => known.after = later.after,
                None => {
                    self.items.insert(key, later);
                }
            }
        }
    }

    pub fn rename(&mut self, old: OperationId, new: OperationId) {
        for item in self.items.values_mut() {
            for written in [&mut item.before, &mut item.after] {
                if written.stamp == Some(old) {
                    written.stamp = Some(new);
                }
            }
        }
    }
}

/// Whether nobody wrote since. A snapshot forgets who wrote: then the value tells.
fn still_decides(now: &Written, after: &Written) -> bool {
    match now.stamp {
        Some(_) => now.stamp == after.stamp,
        None => now.value == after.value,
    }
}

impl Document {
    pub(super) fn written(&self, number: HandlerIdx, key: &str) -> Written {
        match self.state(number) {
            Some(State::Map(map)) => Written::new(map.bytes(key), map.newest_first(key).next()),
            Some(State::Register(register)) => {
                Written::new(register.bytes(), register.newest_first().next())
            }
            _ => Written::default(),
        }
    }

    /// Notes what a key holds before a local edit.
    pub(super) fn track_key(&mut self, number: HandlerIdx, body: &[u8]) {
        let key = match self.state(number) {
            Some(State::Map(_)) => Reader::new(body).text().unwrap_or_default(),
            _ => "",
        };
        let known = self.tracked(number, || Effect::Keys(KeysEffect::default()));
        if let Some(Effect::Keys(effect)) = known {
            if effect.items.contains_key(key) {
                return;
            }
        }
        let before = self.written(number, key);
        let effect = self.tracked(number, || Effect::Keys(KeysEffect::default()));
        if let Some(Effect::Keys(effect)) = effect {
            let after = Written::default();
            effect.items.insert(key.into(), KeyEffect { before, after });
        }
    }

    /// Notes what the keys hold after the transaction.
    pub(super) fn complete_keys(&self, number: HandlerIdx, effect: &mut KeysEffect) {
        for (key, item) in &mut effect.items {
            item.after = self.written(number, key);
        }
    }

    /// Takes back what a step did to a map or register.
    pub(super) fn take_back_keys(
        &mut self,
        number: HandlerIdx,
        effect: &KeysEffect,
    ) -> Result<(), DocumentError> {
        for (key, item) in &effect.items {
            let now = self.written(number, key);
            if !still_decides(&now, &item.after) {
                continue;
            }
            if now.value == item.before.value {
                // Nothing to write; but what stands now is what stood before.
                self.rename_stamp(item.before.stamp, now.stamp);
                continue;
            }
            if let Some(op) = self.write_again(number, key, item.before.value.as_deref()) {
                self.submit_value(number, op)?;
            }
        }
        Ok(())
    }

    /// The operation that makes a key hold a value, or nothing.
    fn write_again(
        &self,
        number: HandlerIdx,
        key: &str,
        value: Option<&[u8]>,
    ) -> Option<Operation> {
        let mut body = Vec::new();
        match self.state(number)? {
            State::Map(_) => write_prefixed(&mut body, key.as_bytes()),
            _ if value.is_some() => (),
            // A register cannot be unset, but null looks the same.
            _ if self.handler_codec(number) == ValueCodec::Json => {
                write_prefixed(&mut body, b"null");
                let kind = kind::INSERT;
                return Some(Operation { kind, body });
            }
            _ => return None,
        }
        let kind = match value {
            Some(value) => {
                write_prefixed(&mut body, value);
                kind::INSERT
            }
            None => kind::DELETE,
        };
        Some(Operation { kind, body })
    }

    /// The writes with which a step was taken back stand for those that they brought back.
    pub(super) fn rename_keys(&mut self, undone: &KeysEffect, done: &KeysEffect) {
        for (key, done) in &done.items {
            if let Some(undone) = undone.items.get(key) {
                self.rename_stamp(undone.before.stamp, done.after.stamp);
            }
        }
    }

    pub(super) fn rename_stamp(&mut self, old: Option<OperationId>, new: Option<OperationId>) {
        let run = self
            .tracker
            .as_mut()
            .and_then(|tracker| tracker.run.as_mut());
        if let (Some(old), Some(new), Some(run)) = (old, new, run) {
            run.renamed.push(Renamed::Stamp { old, new });
        }
    }
}
