//! State of a handler whose operations the application folds. Two copies at most: the committed
//! one, and while a transaction is open one with its operations on top.

use super::operation::QueuedOperation;
use super::state::ByteState;
use crate::clock::OrderKey;
use crate::codec::{DecodeError, Value};
use crate::document::MapOp;
use crate::document::custom::{CustomError, CustomHandler, CustomOperation, CustomType};
use crate::document::handler::{Recorder, Visible};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// See the module.
pub(crate) struct CustomState {
    of: Arc<dyn CustomType>,
    committed: Box<dyn CustomHandler>,
    /// Operations of the open transaction.
    pending: Vec<(u8, Box<[u8]>)>,
    /// `committed` with `pending` on top. None without pending operations, and if the committed
    /// state could not be copied: then operations show once they are committed.
    shown: Option<Box<dyn CustomHandler>>,
}

impl CustomState {
    pub(crate) fn new(of: Arc<dyn CustomType>) -> Self {
        CustomState {
            committed: of.new_state(),
            of,
            pending: Vec::new(),
            shown: None,
        }
    }

    /// The same type without any operation.
    pub(crate) fn emptied(&self) -> Self {
        CustomState::new(self.of.clone())
    }

    /// The state with the open transaction.
    pub(crate) fn shown(&self) -> &dyn CustomHandler {
        match &self.shown {
            Some(shown) => &**shown,
            None => &*self.committed,
        }
    }

    /// The blob of a snapshot.
    ///
    /// # Errors
    /// What the hook gave.
    pub(crate) fn save(&self) -> Result<Vec<u8>, CustomError> {
        self.committed.save()
    }

    /// A state that can be changed without changing the committed one.
    fn copy(&self) -> Option<Box<dyn CustomHandler>> {
        let mut copy = self.of.new_state();
        let loaded = self.committed.save().and_then(|blob| copy.load(&blob));
        let is_copied = loaded.is_ok();
        warn_of(loaded, "a custom handler could not be copied");
        is_copied.then_some(copy)
    }

    /// The committed state with the open transaction on top.
    fn show_pending(&mut self) {
        self.shown = match self.pending.as_slice() {
            [] => None,
            pending => self.copy().map(|mut shown| {
                for (kind, body) in pending {
                    apply_to(&mut *shown, None, *kind, body);
                }
                shown
            }),
        };
    }

    /// Runs `edit` and reports how the value changed, if somebody looks.
    fn recorded(&mut self, recorder: &mut Recorder, edit: impl FnOnce(&mut Self)) {
        let Some(events) = recorder.events() else {
            return edit(self);
        };
        let old = self.value();
        edit(self);
        let new = self.value();
        if old != new {
            events.push(MapOp {
                key: String::new(),
                old: Some(old),
                new: Some(new),
            });
        }
    }
}

fn apply_to(state: &mut dyn CustomHandler, id: Option<OrderKey>, kind: u8, body: &[u8]) {
    let applied = state.apply(&CustomOperation { id, kind, body });
    warn_of(applied, "an operation of a custom handler was skipped");
}

fn warn_of(result: Result<(), CustomError>, what: &str) {
    if let Err(error) = result {
        log::warn!(target: "document", "{what}: {error}");
    }
}

impl Clone for CustomState {
    fn clone(&self) -> Self {
        let mut copy = CustomState {
            of: self.of.clone(),
            committed: self.copy().unwrap_or_else(|| self.of.new_state()),
            pending: self.pending.clone(),
            shown: None,
        };
        copy.show_pending();
        copy
    }
}

impl fmt::Debug for CustomState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomState")
            .field("value", &self.shown().value())
            .finish_non_exhaustive()
    }
}

impl ByteState for CustomState {
    fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        *self = self.emptied();
        if blob.is_empty() {
            return Ok(());
        }
        self.committed.load(blob).map_err(|error| {
            log::warn!(target: "document", "a custom handler refused its snapshot: {error}");
            self.committed = self.of.new_state();
            DecodeError {
                offset: 0,
                expected: "a state of the handler's type",
            }
        })
    }

    fn apply(
        &mut self,
        order: OrderKey,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        self.recorded(recorder, |state| {
            apply_to(&mut *state.committed, Some(order), kind, body);
            state.show_pending();
        });
        Ok(())
    }

    fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        self.recorded(recorder, |state| {
            state.pending.push((kind, body.into()));
            match &mut state.shown {
                Some(shown) => apply_to(&mut **shown, None, kind, body),
                None => state.show_pending(),
            }
        });
        Ok(())
    }

    fn discard_pending(&mut self, recorder: &mut Recorder) {
        self.recorded(recorder, |state| {
            state.pending.clear();
            state.shown = None;
        });
    }

    fn compound<'a>(
        &self,
        last: &QueuedOperation<'a>,
        next: &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        let joined = self.of.compound((last.0, &last.1), (next.0, &next.1));
        joined.map(|(kind, body)| (kind, Cow::Owned(body)))
    }

    fn is_order_sensitive(&self) -> bool {
        !self.of.is_order_independent()
    }

    fn snapshot_state(&self) -> Vec<u8> {
        self.save().unwrap_or_else(|error| {
            log::warn!(target: "document", "a custom handler could not be saved: {error}");
            Vec::new()
        })
    }

    fn visible(&self) -> Visible {
        Visible::Entries(vec![(String::new(), self.value())])
    }

    fn recorder(&self) -> Recorder {
        Recorder::Values(Vec::new())
    }

    fn value(&self) -> Value {
        self.shown().value()
    }

    fn heap_bytes(&self) -> usize {
        let shown = self.shown.as_ref().map_or(0, |shown| shown.heap_bytes());
        let pending = self.pending.iter().map(|(_, body)| body.len() + 16);
        self.committed.heap_bytes() + shown + pending.sum::<usize>()
    }

    fn check(&self) {
        assert!(self.shown.is_none() || !self.pending.is_empty());
    }
}
