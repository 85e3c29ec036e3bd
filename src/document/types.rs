//! The plain values of the document's interface: options, errors, deltas, commits.

use super::nested_path::NestedPath;
use crate::clock::{Hlc, PeerId};
use crate::codec::native::NativeError;
use crate::codec::{DecodeError, Value};
use crate::document::undo::UndoEvent;
use crate::replica::ApplyError;
use std::fmt;

/// Where physical time comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WallClock {
    /// The system's wall clock.
    #[default]
    System,
    /// Always this many milliseconds since 1970: for tests and replays.
    Fixed(i64),
}

impl WallClock {
    /// Milliseconds since 1970.
    pub fn now_ms(self) -> i64 {
        match self {
            WallClock::Fixed(ms) => ms,
            WallClock::System => crate::clock::now_ms(),
        }
    }
}

/// Changes and snapshots whose clocks are further ahead of the wall clock are always refused: some
/// two thousand years. A clock at its end would leave nobody a clock for the next change.
pub const CLOCK_AHEAD_MS_MAX: i64 = 1 << 46;

/// How to make a document. The default: random ids, clock at zero, system time, no drift check.
#[derive(Clone, Debug, Default)]
pub struct DocumentOptions {
    /// Empty: a random UUID.
    pub document_id: String,
    /// None: random.
    pub peer_id: Option<PeerId>,
    /// Where the clock starts.
    pub initial_clock: Hlc,
    /// Where physical time comes from.
    pub wall_clock: WallClock,
    /// Changes whose clocks are further ahead are refused. None: as crdt_lf, only beyond
    /// [`CLOCK_AHEAD_MS_MAX`].
    pub clock_drift_ms_max: Option<u32>,
}

/// The kinds of handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandlerKind {
    /// Text by positions: the last in replay order acts on what is there (specification 9.3).
    Text,
    /// Text that merges by elements (9.10).
    FugueText,
    /// A list by positions (9.4).
    List,
    /// A list that merges by elements (9.11).
    FugueList,
    /// A list whose elements keep their identity when they move (9.12).
    MovableList,
    /// Last writer wins per key (9.5).
    Map,
    /// Observed-remove map: a put wins over a concurrent removal (9.8).
    OrMap,
    /// Last writer wins (9.6).
    Register,
    /// Observed-remove set: an addition wins over a concurrent removal (9.7).
    OrSet,
    /// A map of references to handlers (9.13).
    MapRef,
    /// A list of references, as [`FugueList`](Self::FugueList) (9.13).
    ListRef,
    /// A list of references, as [`MovableList`](Self::MovableList) (9.13).
    MovableListRef,
    /// What the application folds itself, under a tag of its own.
    Custom,
}

impl HandlerKind {
    /// All kinds that crdt_lf has.
    pub const ALL: [HandlerKind; 12] = [
        HandlerKind::Text,
        HandlerKind::FugueText,
        HandlerKind::List,
        HandlerKind::FugueList,
        HandlerKind::MovableList,
        HandlerKind::Map,
        HandlerKind::OrMap,
        HandlerKind::Register,
        HandlerKind::OrSet,
        HandlerKind::MapRef,
        HandlerKind::ListRef,
        HandlerKind::MovableListRef,
    ];

    /// The type tag without type arguments; a custom handler has none of its own.
    pub fn base_tag(self) -> &'static str {
        match self {
            HandlerKind::Text => "CRDTTextHandler",
            HandlerKind::FugueText => "CRDTFugueTextHandler",
            HandlerKind::List => "CRDTListHandler",
            HandlerKind::FugueList => "CRDTFugueListHandler",
            HandlerKind::MovableList => "CRDTFugueMovableListHandler",
            HandlerKind::Map => "CRDTMapHandler",
            HandlerKind::OrMap => "CRDTORMapHandler",
            HandlerKind::Register => "CRDTRegisterHandler",
            HandlerKind::OrSet => "CRDTORSetHandler",
            HandlerKind::MapRef => "CRDTMapRefHandler",
            HandlerKind::ListRef => "CRDTListRefHandler",
            HandlerKind::MovableListRef => "CRDTMovableListRefHandler",
            HandlerKind::Custom => "",
        }
    }

    /// Whether tags of this kind carry type arguments.
    pub fn is_generic(self) -> bool {
        matches!(
            self,
            HandlerKind::List
                | HandlerKind::FugueList
                | HandlerKind::MovableList
                | HandlerKind::Map
                | HandlerKind::OrMap
                | HandlerKind::Register
                | HandlerKind::OrSet
        )
    }

    /// Whether its values are references to other handlers.
    pub fn is_container(self) -> bool {
        matches!(
            self,
            HandlerKind::MapRef | HandlerKind::ListRef | HandlerKind::MovableListRef
        )
    }

    /// The tag that Dart writes for values of any type.
    pub fn default_tag(self) -> String {
        let arguments = match self {
            HandlerKind::OrMap => "<dynamic, dynamic>",
            _ if self.is_generic() => "<dynamic>",
            _ => "",
        };
        format!("{}{arguments}", self.base_tag())
    }

    /// The kind that a wire tag stands for, if it is one of Dart's own tags.
    pub fn of_tag(tag: &str) -> Option<HandlerKind> {
        HandlerKind::ALL
            .into_iter()
            .find(|kind| match tag.strip_prefix(kind.base_tag()) {
                Some("") => true,
                Some(arguments) => {
                    kind.is_generic() && arguments.starts_with('<') && arguments.ends_with('>')
                }
                None => false,
            })
    }
}

/// How the values of a handler are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueCodec {
    /// As JSON text (specification 1.4).
    #[default]
    Json,
    /// [`Value::Bytes`] only, stored as they are.
    Bytes,
    /// [`Value::Reference`] only: what containers hold (specification 3.5).
    Reference,
}

/// Which handler to make when it is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerSpec {
    /// The kind.
    pub kind: HandlerKind,
    /// How its values are stored.
    pub codec: ValueCodec,
    /// The wire tag; empty: [`HandlerKind::default_tag`].
    pub type_tag: String,
}

impl HandlerSpec {
    /// The wire tag.
    pub(super) fn tag(&self) -> String {
        match self.type_tag.as_str() {
            "" => self.kind.default_tag(),
            tag => tag.to_owned(),
        }
    }

    /// JSON values (references in containers) and the default tag.
    pub fn new(kind: HandlerKind) -> Self {
        HandlerSpec {
            kind,
            codec: match kind.is_container() {
                true => ValueCodec::Reference,
                false => ValueCodec::Json,
            },
            type_tag: String::new(),
        }
    }
}

/// What an import does with a snapshot. The default is crdt_lf's: not merged, pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Join it with the own one instead of refusing one that is not newer.
    pub merge: bool,
    /// Forget the changes it covers.
    pub prune: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions {
            merge: false,
            prune: true,
        }
    }
}

/// Number of a registered handler in its document, in order of registration. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerIdx(pub u32);

/// Why a call was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DocumentError {
    /// The id is registered with another kind or tag.
    TypeMismatch,
    /// A position outside of the content.
    OutOfRange {
        /// The position that was given, in the unit of the call.
        index: u64,
        /// The length, in the unit of the call.
        length: u64,
    },
    /// A position inside of a character, in a unit that cannot part it.
    NotOnBoundary {
        /// The position that was given.
        index: u64,
    },
    /// The document was closed.
    Closed,
    /// The document shows a history; see `Document::to_history`.
    ReadOnly,
    /// The document shows no history.
    NoHistory,
    /// Changes that this version lacks were forgotten: only the snapshot has them.
    Forgotten,
    /// Commit or rollback without begin.
    NoTransaction,
    /// The codec cannot carry the value (a NaN in JSON, anything but bytes in BYTES).
    UnsupportedValue,
    /// No handler with this number or id.
    UnknownHandler,
    /// No custom type is registered under this tag.
    UnknownType {
        /// The tag.
        type_tag: String,
    },
    /// The id is reserved by the format, or it or the tag begins with a byte order mark, which
    /// peers do not see.
    ReservedId,
    /// A change id that is not in the document.
    UnknownChange,
    /// No undo manager with this number.
    UnknownManager,
    /// A named limit was exceeded.
    Limit(&'static str),
    /// A change was refused.
    Apply(ApplyError),
    /// Malformed bytes.
    Decode(DecodeError),
    /// Bytes that are no native form, of a later version, or malformed.
    Native(NativeError),
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::TypeMismatch => {
                f.write_str("the handler id is registered with another type")
            }
            DocumentError::OutOfRange { index, length } => {
                write!(f, "position {index} is outside of 0..={length}")
            }
            DocumentError::NotOnBoundary { index } => {
                write!(f, "position {index} is inside of a character")
            }
            DocumentError::Closed => f.write_str("the document is closed"),
            DocumentError::ReadOnly => f.write_str("a history cannot be edited"),
            DocumentError::NoHistory => f.write_str("the document shows no history"),
            DocumentError::Forgotten => {
                f.write_str("the version is older than what the document remembers")
            }
            DocumentError::NoTransaction => f.write_str("no transaction is open"),
            DocumentError::UnsupportedValue => {
                f.write_str("the handler's codec cannot carry this value")
            }
            DocumentError::UnknownHandler => f.write_str("no such handler"),
            DocumentError::UnknownType { type_tag } => {
                write!(f, "no custom type is registered as {type_tag:?}")
            }
            DocumentError::ReservedId => f.write_str("this handler id is reserved"),
            DocumentError::UnknownManager => f.write_str("no such undo manager"),
            DocumentError::UnknownChange => f.write_str("no such change"),
            DocumentError::Limit(limit) => write!(f, "limit exceeded: {limit}"),
            DocumentError::Apply(error) => error.fmt(f),
            DocumentError::Decode(error) => error.fmt(f),
            DocumentError::Native(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DocumentError {}

impl From<ApplyError> for DocumentError {
    fn from(error: ApplyError) -> Self {
        DocumentError::Apply(error)
    }
}

impl From<NativeError> for DocumentError {
    fn from(error: NativeError) -> Self {
        DocumentError::Native(error)
    }
}

impl From<DecodeError> for DocumentError {
    fn from(error: DecodeError) -> Self {
        DocumentError::Decode(error)
    }
}

/// Who caused a change of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This replica.
    Local,
    /// Another one.
    Remote,
    /// A store or snapshot.
    Load,
    /// An undo manager of this replica took edits back.
    Undo,
    /// An undo manager of this replica made them again.
    Redo,
    /// The cursor of a history session moved.
    History,
}

/// One step of a text delta. Steps apply in order from index 0; lengths are UTF-16 units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOp {
    /// Keep so many units.
    Retain(u64),
    /// New units here.
    Insert(Vec<u16>),
    /// So many units go.
    Remove(u64),
}

/// Change of one key of a map; a key of an observed-remove map that is no string stands as its JSON
/// text, and shares its event with a string key of that text; a register has the key ""; an element of a set has the key "" and
/// only an old or only a new value.
#[derive(Clone, Debug, PartialEq)]
pub struct MapOp {
    /// The key.
    pub key: String,
    /// The value before; None: there was none.
    pub old: Option<Value>,
    /// The value after; None: there is none.
    pub new: Option<Value>,
}

/// A value that lost against one written concurrently.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The value.
    pub value: Value,
    /// Who wrote it.
    pub peer: PeerId,
    /// The clock of the change that did.
    pub clock: Hlc,
}

/// One step of a list delta. [`Retain`](Self::Retain), [`Insert`](Self::Insert) and
/// [`Remove`](Self::Remove) apply in order from index 0, as those of a text; then the steps that
/// name an index of the list as the steps before them left it.
#[derive(Clone, Debug, PartialEq)]
pub enum ListOp {
    /// Keep so many elements.
    Retain(u64),
    /// New elements here.
    Insert(Vec<Value>),
    /// These elements go.
    Remove(Vec<Value>),
    /// The element at an index has another value.
    Update {
        /// Where.
        index: u64,
        /// The value before.
        old: Value,
        /// The value after.
        new: Value,
    },
    /// An element moved.
    Move {
        /// Where it was.
        from: u64,
        /// Where it is once it was taken out and put in again.
        to: u64,
    },
}

/// How the content of one handler changed.
#[derive(Clone, Debug, PartialEq)]
pub enum HandlerDelta {
    /// Text.
    Text(Vec<TextOp>),
    /// List.
    List(Vec<ListOp>),
    /// Map: each key once.
    Map(Vec<MapOp>),
    /// Set: each element once.
    Set(Vec<MapOp>),
    /// Register: at most one.
    Register(Vec<MapOp>),
}

impl HandlerDelta {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            HandlerDelta::Text(steps) => steps.is_empty(),
            HandlerDelta::List(steps) => steps.is_empty(),
            HandlerDelta::Map(ops) | HandlerDelta::Set(ops) | HandlerDelta::Register(ops) => {
                ops.is_empty()
            }
        }
    }
}

/// What one outermost transaction did: local edits, an import, or a load.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Rises by one per commit of the document.
    pub number: u64,
    /// Who caused it.
    pub origin: Origin,
    /// The tag given to `begin`, or naming the connection.
    pub tag: Vec<u8>,
    /// The author, if all changes have the same one.
    pub author: Option<PeerId>,
    /// Where in the log its changes begin.
    pub start: LogPosition,
    /// How many changes this commit added; they are the last ones in store order.
    pub change_count: u64,
    /// A snapshot replaced the state.
    pub snapshot_applied: bool,
    /// Of observed handlers whose content changed, in order of registration.
    pub deltas: Vec<(HandlerIdx, HandlerDelta)>,
    /// Steps that undo managers made or took back.
    pub undo: Vec<UndoEvent>,
    /// Of deeply observed containers: where in them the handlers of `deltas` are.
    pub paths: Vec<NestedPath>,
}

/// A place in the log, for those who follow it. See `Document::changes_since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// Changes when history is rewritten (snapshot, pruning).
    pub generation: u64,
    /// Changes stored so far in this generation.
    pub index: u64,
}

/// Which of its neighbours a stable position stays with, and so on which side of it is what
/// somebody inserts right there. The bytes of a position do not tell: keep both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// The element before it, or the beginning: what is inserted there comes behind. As crdt_lf.
    #[default]
    Before,
    /// The element behind it, or the end: what is inserted there comes before.
    After,
}

/// The unit of text positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextUnit {
    /// UTF-16 code units.
    #[default]
    Utf16,
    /// Bytes of UTF-8; a lone surrogate counts three, as U+FFFD.
    Utf8,
    /// Code points; a lone surrogate counts one.
    CodePoint,
}
