//! STUB: the document (crdt_lf model). Owned by the engine work; signatures are stable.
use crate::clock::*;
use crate::codec::{Change, Snapshot, Value, Wtf8String, DecodeError};
use crate::replica::*;
use std::sync::Arc;

pub mod myers;

/// Where physical time comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WallClock { #[default] System, Fixed(i64) }

#[derive(Clone, Debug)]
pub struct DocumentOptions {
    /// Empty: a random UUID.
    pub document_id: String,
    /// None: random.
    pub peer_id: Option<PeerId>,
    pub initial_clock: Hlc,
    pub wall_clock: WallClock,
    /// None: no check.
    pub clock_drift_ms_max: Option<u32>,
}
impl Default for DocumentOptions { fn default() -> Self { todo!() } }

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandlerKind { FugueText, Map, Register, OrSet }
/// How the values of a handler are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueCodec { #[default] Json, Bytes }
/// What to make when a handler is not there yet.
#[derive(Clone, Debug)]
pub struct HandlerSpec { pub kind: HandlerKind, pub codec: ValueCodec, /** wire tag; empty: Dart's tag for values of any type, e.g. `CRDTMapHandler<dynamic>` */ pub type_tag: String }

/// Number of a registered handler in its document (registration order). Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerIdx(pub u32);

#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DocumentError {
    /// The id is registered with another kind or tag.
    TypeMismatch, OutOfRange { index: u64, length: u64 }, Closed, NoTransaction, UnsupportedValue, UnknownHandler,
    ReservedId, Limit(&'static str), Apply(ApplyError), Decode(DecodeError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin { Local, Remote, Load }

/// One step of a text delta; lengths in UTF-16 units. Applied in order from index 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOp { Retain(u64), Insert(Vec<u16>), Remove(u64) }
/// Change of one key of a map; a register has key ""; a set element: key "", old or new value only.
#[derive(Clone, Debug, PartialEq)]
pub struct MapOp { pub key: String, pub old: Option<Value>, pub new: Option<Value> }
#[derive(Clone, Debug, PartialEq)]
pub enum HandlerDelta { Text(Vec<TextOp>), Map(Vec<MapOp>), Set(Vec<MapOp>), Register(Vec<MapOp>) }

/// What one outermost transaction did (local commit, import, or load).
#[derive(Clone, Debug)]
pub struct Commit {
    /// Rises by one per commit of the document.
    pub number: u64,
    pub origin: Origin,
    /// Tag given to `begin`, or naming the connection.
    pub tag: Vec<u8>,
    /// Author of the changes if they all have one author.
    pub author: Option<PeerId>,
    /// How many changes this commit added to the log (they are the last ones in store order).
    pub change_count: u64,
    /// A snapshot replaced state: deltas may be the whole difference.
    pub snapshot_applied: bool,
    /// Only of observed handlers; in order of first touch.
    pub deltas: Vec<(HandlerIdx, HandlerDelta)>,
}

/// Place in the log, for those who follow it (the store): see `Document::changes_since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition { pub generation: u64, pub index: u64 }

pub struct Document { _p: () }
impl Document {
    pub fn new(_options: DocumentOptions) -> Self { todo!() }
    pub fn id(&self) -> &str { todo!() }
    pub fn peer_id(&self) -> PeerId { todo!() }
    pub fn clock(&self) -> Hlc { todo!() }
    /// Dart's prepareMutation: ticks.
    pub fn tick(&mut self) -> Result<Hlc, DocumentError> { todo!() }
    pub fn is_empty(&self) -> bool { todo!() }
    pub fn close(&mut self) { todo!() }
    pub fn is_closed(&self) -> bool { todo!() }

    // transactions (nesting counts depth)
    pub fn begin(&mut self, _tag: &[u8]) -> Result<(), DocumentError> { todo!() }
    /// Some(commit) when the outermost transaction ended and anything happened. Edits outside of a
    /// transaction commit themselves; fetch their commits with `take_commits`.
    pub fn commit(&mut self) -> Result<(), DocumentError> { todo!() }
    /// Drops the uncommitted local operations of the whole transaction and ends it; imports stay.
    pub fn rollback(&mut self) -> Result<(), DocumentError> { todo!() }
    pub fn in_transaction(&self) -> bool { todo!() }
    /// Commits since the last call, oldest first. (SharedDocument drains it.) Nothing is recorded until `set_recording(true)`.
    pub fn take_commits(&mut self) -> Vec<Commit> { todo!() }
    pub fn set_recording(&mut self, _on: bool) { todo!() }

    // handlers
    pub fn handler(&mut self, _id: &str, _spec: &HandlerSpec) -> Result<HandlerIdx, DocumentError> { todo!() }
    pub fn find_handler(&self, _id: &str) -> Option<HandlerIdx> { todo!() }
    pub fn handlers(&self) -> impl Iterator<Item = HandlerIdx> + '_ { (0..0u32).map(HandlerIdx) }
    pub fn handler_id(&self, _h: HandlerIdx) -> &str { todo!() }
    pub fn handler_type(&self, _h: HandlerIdx) -> &str { todo!() }
    pub fn handler_kind(&self, _h: HandlerIdx) -> HandlerKind { todo!() }
    pub fn handler_codec(&self, _h: HandlerIdx) -> ValueCodec { todo!() }
    pub fn handler_revision(&self, _h: HandlerIdx) -> u64 { todo!() }
    pub fn handler_change_count(&self, _id: &str) -> u64 { todo!() }
    pub fn handler_changes(&self, _id: &str, _since: Option<&VersionVector>) -> Vec<Change> { todo!() }
    pub fn handler_snapshot_state(&self, _h: HandlerIdx) -> Vec<u8> { todo!() }
    pub fn handler_value(&self, _h: HandlerIdx) -> Value { todo!() }
    /// Whether deltas of this handler are computed for commits (counted: call once per observer).
    pub fn observe(&mut self, _h: HandlerIdx, _on: bool) { todo!() }
    /// As `observe` for all handlers, present and future.
    pub fn observe_all(&mut self, _on: bool) { todo!() }

    // text; all positions in UTF-16 units
    pub fn text_len_utf16(&self, _h: HandlerIdx) -> u64 { todo!() }
    pub fn text_insert(&mut self, _h: HandlerIdx, _index_utf16: u64, _text: &str) -> Result<(), DocumentError> { todo!() }
    pub fn text_insert_utf16(&mut self, _h: HandlerIdx, _index_utf16: u64, _units: &[u16]) -> Result<(), DocumentError> { todo!() }
    pub fn text_remove(&mut self, _h: HandlerIdx, _index_utf16: u64, _count: u64) -> Result<(), DocumentError> { todo!() }
    /// Overwrites unit by unit; the rest past the end is ignored, as Dart's `update`.
    pub fn text_update_utf16(&mut self, _h: HandlerIdx, _index_utf16: u64, _units: &[u16]) -> Result<(), DocumentError> { todo!() }
    /// Dart's `change`: minimal edits by Myers difference, in one transaction.
    pub fn text_set(&mut self, _h: HandlerIdx, _units: &[u16]) -> Result<(), DocumentError> { todo!() }
    /// Appends units `range` to `out`.
    pub fn text_slice_utf16(&self, _h: HandlerIdx, _range: std::ops::Range<u64>, _out: &mut Vec<u16>) { todo!() }
    /// The whole text as UTF-8; lone surrogates become U+FFFD.
    pub fn text_string(&self, _h: HandlerIdx) -> String { todo!() }
    pub fn text_convert_index(&self, _h: HandlerIdx, _index: u64, _from: TextUnit, _to: TextUnit) -> Result<u64, DocumentError> { todo!() }
    /// FugueElementID bytes of the element before the index.
    pub fn text_position_at(&self, _h: HandlerIdx, _index_utf16: u64) -> Vec<u8> { todo!() }
    /// None: unknown element.
    pub fn text_position_index(&self, _h: HandlerIdx, _position: &[u8]) -> Result<Option<u64>, DocumentError> { todo!() }

    // map
    pub fn map_len(&self, _h: HandlerIdx) -> u64 { todo!() }
    pub fn map_get(&self, _h: HandlerIdx, _key: &str) -> Option<Value> { todo!() }
    pub fn map_entries(&self, _h: HandlerIdx) -> Vec<(String, Value)> { todo!() }
    pub fn map_set(&mut self, _h: HandlerIdx, _key: &str, _value: &Value) -> Result<(), DocumentError> { todo!() }
    pub fn map_update(&mut self, _h: HandlerIdx, _key: &str, _value: &Value) -> Result<(), DocumentError> { todo!() }
    pub fn map_remove(&mut self, _h: HandlerIdx, _key: &str) -> Result<(), DocumentError> { todo!() }
    // register
    pub fn register_get(&self, _h: HandlerIdx) -> Option<Value> { todo!() }
    pub fn register_set(&mut self, _h: HandlerIdx, _value: &Value) -> Result<(), DocumentError> { todo!() }
    // set
    pub fn set_len(&self, _h: HandlerIdx) -> u64 { todo!() }
    pub fn set_contains(&self, _h: HandlerIdx, _value: &Value) -> bool { todo!() }
    pub fn set_values(&self, _h: HandlerIdx) -> Vec<Value> { todo!() }
    pub fn set_add(&mut self, _h: HandlerIdx, _value: &Value) -> Result<(), DocumentError> { todo!() }
    pub fn set_remove(&mut self, _h: HandlerIdx, _value: &Value) -> Result<(), DocumentError> { todo!() }

    // exchange (see also trait Replica)
    pub fn frontiers(&self) -> Vec<OperationId> { todo!() }
    pub fn change_count(&self) -> u64 { todo!() }
    pub fn contains_change(&self, _id: &OperationId) -> bool { todo!() }
    pub fn export_changes_from(&self, _frontiers: &[OperationId]) -> Result<Vec<Change>, DocumentError> { todo!() }
    pub fn import_changes(&mut self, _changes: Vec<Change>, _tag: &[u8], _origin: Origin) -> Result<ImportOutcome, ApplyError> { todo!() }
    /// A change whose operation is given as envelope bytes (chapter 5), made and applied now.
    pub fn create_change(&mut self, _payload: Vec<u8>) -> Result<Change, DocumentError> { todo!() }
    pub fn import_snapshot(&mut self, _snapshot: &Snapshot, _prune: bool) -> Result<bool, ApplyError> { todo!() }
    pub fn should_apply_snapshot(&self, _snapshot: &Snapshot) -> bool { todo!() }
    pub fn garbage_collect(&mut self, _protect_until: &VersionVector) -> Result<usize, DocumentError> { todo!() }
    pub fn heap_bytes(&self) -> usize { todo!() }

    // following the log (store)
    pub fn log_position(&self) -> LogPosition { todo!() }
    /// Changes stored since `position`, in store order; None if history was rewritten meanwhile
    /// (snapshot, prune): then write the snapshot and all changes anew.
    pub fn changes_since(&self, _position: LogPosition) -> Option<Vec<Change>> { todo!() }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextUnit { Utf16, Utf8, CodePoint }
impl Replica for Document {
    fn version_vector(&self) -> VersionVector { todo!() }
    fn last_snapshot(&self) -> Option<&Snapshot> { todo!() }
    fn changes_newer_than(&self, _seen: &VersionVector) -> Vec<Change> { todo!() }
    fn all_changes(&self) -> Vec<Change> { todo!() }
    fn apply(&mut self, _change: Change) -> Result<bool, ApplyError> { todo!() }
    fn import(&mut self, _snapshot: Option<&Snapshot>, _changes: Vec<Change>) -> Result<ImportOutcome, ApplyError> { todo!() }
    fn take_snapshot(&mut self, _prune: bool) -> Result<&Snapshot, ApplyError> { todo!() }
}

/// A document that threads share: one lock, transactions bound to the thread that began them,
/// observers told after each commit. (document/shared.rs)
pub struct SharedDocument { _p: () }
/// Waited longer than the document's lock timeout for another thread's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockError { Busy, WrongThread, NoTransaction, /** a panic happened while the document was being changed */ Poisoned }
/// Told of commits. No user code may run in `committed`.
pub trait DocumentObserver: Send + Sync {
    /// Under the document lock, on the committing thread: encode, enqueue, wake. Must not lock the document.
    fn committed(&self, document: &Document, commit: &Commit);
    /// After the lock was released, on the same thread. May call anything.
    fn after_commit(&self) {}
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObserverId(pub u64);
impl SharedDocument {
    pub fn new(_document: Document, _lock_timeout: std::time::Duration) -> Arc<Self> { todo!() }
    /// Runs `body` under the lock; the edits in it are transactions of one unless the thread has one open. Observers run afterwards.
    pub fn with<R>(&self, _body: impl FnOnce(&mut Document) -> R) -> Result<R, LockError> { todo!() }
    /// Read access; same lock.
    pub fn read<R>(&self, _body: impl FnOnce(&Document) -> R) -> Result<R, LockError> { todo!() }
    /// Begins a transaction on this thread: other threads wait until it ends.
    pub fn begin(&self, _tag: &[u8]) -> Result<(), LockError> { todo!() }
    pub fn commit(&self) -> Result<Result<(), DocumentError>, LockError> { todo!() }
    pub fn rollback(&self) -> Result<Result<(), DocumentError>, LockError> { todo!() }
    pub fn add_observer(&self, _observer: Arc<dyn DocumentObserver>) -> ObserverId { todo!() }
    pub fn remove_observer(&self, _id: ObserverId) { todo!() }
    // fixed at creation, no lock needed:
    pub fn id(&self) -> &str { todo!() }
    pub fn peer_id(&self) -> PeerId { todo!() }
}
