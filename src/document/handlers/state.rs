//! What the document asks of a handler whose operations are bytes: everything but Fugue text and
//! lists, whose operations the log knows by element.

use super::map::MapState;
use super::operation::QueuedOperation;
use super::or_map::OrMapState;
use super::or_set::OrSetState;
use super::register::RegisterState;
use crate::clock::OrderKey;
use crate::codec::{DecodeError, Reader, Value};
use crate::document::handler::{Recorder, Visible};

/// The fold of operations as bytes. The state equals the fold of all its operations in replay
/// order, whatever the order of arrival; those of the open transaction stand behind all others.
/// Operations that cannot be decoded change nothing.
pub(crate) trait ByteState {
    /// Forgets everything and starts from a snapshot's blob; an empty blob is an empty state.
    fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError>;

    /// Adds the operation of a change. If it is not the youngest, [`settle`](Self::settle) must
    /// follow before anything is read.
    fn apply(
        &mut self,
        order: OrderKey,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError>;

    /// Adds an operation of the open transaction, behind all others.
    fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError>;

    /// Follows changes from the past, before anything is read: states that undo younger operations
    /// for them do those again, once for all changes of an import.
    fn settle(&mut self, recorder: &mut Recorder) {
        let _ = recorder;
    }

    /// Takes back all operations of the open transaction.
    fn discard_pending(&mut self, recorder: &mut Recorder);

    /// Whether [`discard_pending`](Self::discard_pending) can do its work. If not, all that is pending
    /// is [promoted](Self::promote_pending) at a commit, and a rollback folds the state anew.
    fn can_discard(&self) -> bool {
        true
    }

    /// Whether [`promote_pending`](Self::promote_pending) can take so many operations.
    fn can_promote(&self, count: usize) -> bool {
        let _ = count;
        false
    }

    /// All operations of the open transaction became changes with these places, in call order and
    /// behind all others.
    fn promote_pending(&mut self, places: &[OrderKey]) {
        let _ = places;
    }

    /// The log forgot the changes that `covers` knows: what serves only to place others among
    /// them may go.
    fn forget(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        let _ = covers;
    }

    /// Joins two neighbours of a transaction's queue (specification 8.8).
    fn compound<'a>(
        &self,
        last: &QueuedOperation<'a>,
        next: &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        let _ = (last, next);
        None
    }

    /// Whether the order of arrival showed: then the document replays the handler when a change
    /// came behind a younger one. For states that cannot insert into the past themselves.
    fn is_order_sensitive(&self) -> bool {
        false
    }

    /// The blob of a crdt_lf snapshot; committed state only (defect 13.6). Of a movable list only
    /// the elements: the document knows the floor table.
    fn snapshot_state(&self) -> Vec<u8>;

    /// What merging needs of the committed state, as bytes of this kind's own; None if it has no
    /// such form, and crdt_lf's is all there is. States that keep operations write all that they
    /// know, or without `all` those that they would keep once pruned.
    fn native_state(&self, all: bool) -> Option<Vec<u8>> {
        let _ = all;
        None
    }

    /// Joins what [`native_state`](Self::native_state) wrote with what is here: nothing of either
    /// is lost. `Ok(false)`: what is here cannot be joined with anything, and did not change; an
    /// empty state can.
    fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        Err(Reader::new(bytes).error("this kind of handler has no native state"))
    }

    /// A snapshot took the place of the changes that `covers` knows: whatever comes now comes
    /// behind them.
    fn history_pruned(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        let _ = covers;
    }

    /// What can be seen, to be compared after a replay.
    fn visible(&self) -> Visible;

    /// A recorder for its kind of delta.
    fn recorder(&self) -> Recorder;

    /// The value as a JSON-like tree.
    fn value(&self) -> Value;

    /// Memory held, in bytes.
    fn heap_bytes(&self) -> usize;

    /// Panics if an invariant is broken. For tests.
    fn check(&self);
}

/// The parts of [`ByteState`] that forward to states whose events are those of a map.
macro_rules! keyed_state {
    ($state:ty { $($own:item)* }) => {
        impl ByteState for $state {
            fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
                <$state>::seed(self, blob)
            }
            fn apply(
                &mut self,
                order: OrderKey,
                kind: u8,
                body: &[u8],
                recorder: &mut Recorder,
            ) -> Result<(), DecodeError> {
                <$state>::apply(self, order, kind, body, recorder.events())
            }
            fn apply_pending(
                &mut self,
                kind: u8,
                body: &[u8],
                recorder: &mut Recorder,
            ) -> Result<(), DecodeError> {
                <$state>::apply_pending(self, kind, body, recorder.events())
            }
            fn discard_pending(&mut self, recorder: &mut Recorder) {
                <$state>::discard_pending(self, recorder.events())
            }
            fn snapshot_state(&self) -> Vec<u8> {
                <$state>::snapshot_state(self)
            }
            fn recorder(&self) -> Recorder {
                Recorder::Values(Vec::new())
            }
            fn heap_bytes(&self) -> usize {
                <$state>::heap_bytes(self)
            }
            fn check(&self) {
                <$state>::check(self)
            }
            $($own)*
        }
    };
}

keyed_state!(MapState {
    fn native_state(&self, _all: bool) -> Option<Vec<u8>> {
        Some(MapState::native_state(self))
    }
    fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        MapState::join_native(self, bytes)
    }
    fn compound<'a>(
        &self,
        last: &QueuedOperation<'a>,
        next: &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        MapState::compound(last, next)
    }
    fn can_promote(&self, count: usize) -> bool {
        MapState::can_promote(self, count)
    }
    fn promote_pending(&mut self, places: &[OrderKey]) {
        MapState::promote_pending(self, places)
    }
    fn forget(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        MapState::forget(self, covers)
    }
    fn visible(&self) -> Visible {
        Visible::Entries(self.entries())
    }
    fn value(&self) -> Value {
        let entries = self.entries().into_iter();
        Value::Object(entries.map(|(key, value)| (key.into(), value)).collect())
    }
});

keyed_state!(RegisterState {
    fn native_state(&self, _all: bool) -> Option<Vec<u8>> {
        Some(RegisterState::native_state(self))
    }
    fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        RegisterState::join_native(self, bytes)
    }
    fn compound<'a>(
        &self,
        last: &QueuedOperation<'a>,
        next: &QueuedOperation<'a>,
    ) -> Option<QueuedOperation<'a>> {
        RegisterState::compound(last, next)
    }
    fn forget(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        RegisterState::forget(self, covers)
    }
    fn visible(&self) -> Visible {
        let value = self.get().into_iter();
        Visible::Entries(value.map(|value| (String::new(), value)).collect())
    }
    fn value(&self) -> Value {
        self.get().unwrap_or(Value::Null)
    }
});

keyed_state!(OrSetState {
    fn native_state(&self, _all: bool) -> Option<Vec<u8>> {
        Some(OrSetState::native_state(self))
    }
    fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        OrSetState::join_native(self, bytes)
    }
    fn visible(&self) -> Visible {
        Visible::Elements(self.values())
    }
    fn value(&self) -> Value {
        Value::Array(self.values())
    }
});

keyed_state!(OrMapState {
    fn native_state(&self, _all: bool) -> Option<Vec<u8>> {
        Some(OrMapState::native_state(self))
    }
    fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        OrMapState::join_native(self, bytes)
    }
    fn visible(&self) -> Visible {
        let entries = self.text_entries().into_iter();
        Visible::Entries(
            entries
                .map(|(key, value)| (key.to_string_lossy(), value))
                .collect(),
        )
    }
    fn value(&self) -> Value {
        Value::Object(self.text_entries())
    }
});
