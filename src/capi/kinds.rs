//! Sections 12 and 13: the kinds of handlers, and what to make when one is not there yet.

use super::error::Error;
use super::guard::{Caller, OptionStruct, SizeFirst};
use super::types::*;
use crate::document::{HandlerKind, HandlerSpec, ValueCodec};

/// The kinds of handlers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_handler_kind {
    /// Plain text.
    SYNCLINE_HANDLER_TEXT = 1,
    /// Text that keeps concurrent passages together.
    SYNCLINE_HANDLER_FUGUE_TEXT = 2,
    /// Plain list.
    SYNCLINE_HANDLER_LIST = 3,
    /// List that keeps concurrent passages together.
    SYNCLINE_HANDLER_FUGUE_LIST = 4,
    /// List whose items can be moved.
    SYNCLINE_HANDLER_MOVABLE_LIST = 5,
    /// Map; the last writer of a key wins.
    SYNCLINE_HANDLER_MAP = 6,
    /// Map; adding wins over removing.
    SYNCLINE_HANDLER_OR_MAP = 7,
    /// One value; the last writer wins.
    SYNCLINE_HANDLER_REGISTER = 8,
    /// Set; adding wins over removing.
    SYNCLINE_HANDLER_OR_SET = 9,
    /// Map of handlers.
    SYNCLINE_HANDLER_MAP_REF = 10,
    /// List of handlers.
    SYNCLINE_HANDLER_LIST_REF = 11,
    /// Movable list of handlers.
    SYNCLINE_HANDLER_MOVABLE_LIST_REF = 12,
    /// Type of the application.
    SYNCLINE_HANDLER_CUSTOM = 13,
}

use syncline_handler_kind::*;

/// How values of a handler are stored.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_codec {
    /// As JSON text.
    SYNCLINE_CODEC_JSON = 0,
    /// Values are BYTES, stored as they are.
    SYNCLINE_CODEC_BYTES = 1,
}

/// A handler kind as C gives it: any integer.
pub type HandlerKindArg = u32;
/// A codec as C gives it: any integer.
pub type CodecArg = u32;

/// What to make when a handler is not there yet.
#[repr(C)]
pub struct syncline_handler_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// 0: FUGUE_TEXT, FUGUE_LIST, MAP, OR_SET or REGISTER by the function used;
    /// syncline_document_register_type takes it from the type name.
    pub kind: HandlerKindArg,
    /// How values are stored. Texts and kinds of references have no choice: 0.
    pub codec: CodecArg,
    /// Wire tag, for example `CRDTMapHandler<num>`; "" = Dart's tag for values of any type.
    pub type_name: syncline_string,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_handler_options {}
// SAFETY: integers and nullable pointers only.
unsafe impl OptionStruct for syncline_handler_options {}

/// Both names of each kind.
const KINDS: [(syncline_handler_kind, HandlerKind); 13] = [
    (SYNCLINE_HANDLER_TEXT, HandlerKind::Text),
    (SYNCLINE_HANDLER_FUGUE_TEXT, HandlerKind::FugueText),
    (SYNCLINE_HANDLER_LIST, HandlerKind::List),
    (SYNCLINE_HANDLER_FUGUE_LIST, HandlerKind::FugueList),
    (SYNCLINE_HANDLER_MOVABLE_LIST, HandlerKind::MovableList),
    (SYNCLINE_HANDLER_MAP, HandlerKind::Map),
    (SYNCLINE_HANDLER_OR_MAP, HandlerKind::OrMap),
    (SYNCLINE_HANDLER_REGISTER, HandlerKind::Register),
    (SYNCLINE_HANDLER_OR_SET, HandlerKind::OrSet),
    (SYNCLINE_HANDLER_MAP_REF, HandlerKind::MapRef),
    (SYNCLINE_HANDLER_LIST_REF, HandlerKind::ListRef),
    (
        SYNCLINE_HANDLER_MOVABLE_LIST_REF,
        HandlerKind::MovableListRef,
    ),
    (SYNCLINE_HANDLER_CUSTOM, HandlerKind::Custom),
];

/// The kinds that one type of handle stands for; the first is what its function makes by default.
pub(crate) type Family = [HandlerKind];

/// Behind syncline_text.
pub(crate) const TEXTS: &Family = &[HandlerKind::FugueText, HandlerKind::Text];
/// Behind syncline_list.
pub(crate) const LISTS: &Family = &[
    HandlerKind::FugueList,
    HandlerKind::List,
    HandlerKind::MovableList,
    HandlerKind::ListRef,
    HandlerKind::MovableListRef,
];
/// Lists whose elements are references.
pub(crate) const LISTS_OF_REFERENCES: &Family =
    &[HandlerKind::ListRef, HandlerKind::MovableListRef];
/// Behind syncline_map.
pub(crate) const MAPS: &Family = &[HandlerKind::Map, HandlerKind::OrMap, HandlerKind::MapRef];
/// Maps that know an update that does not bring a removed key back.
pub(crate) const MAPS_WITH_UPDATE: &Family = &[HandlerKind::Map, HandlerKind::MapRef];
/// Maps whose values are references.
pub(crate) const MAPS_OF_REFERENCES: &Family = &[HandlerKind::MapRef];
/// Behind syncline_set.
pub(crate) const SETS: &Family = &[HandlerKind::OrSet];
/// Behind syncline_register.
pub(crate) const REGISTERS: &Family = &[HandlerKind::Register];
/// Behind syncline_custom.
pub(crate) const CUSTOMS: &Family = &[HandlerKind::Custom];

impl From<HandlerKind> for syncline_handler_kind {
    fn from(kind: HandlerKind) -> Self {
        let known = KINDS.iter().find(|(_, known)| *known == kind);
        known.expect("every kind has a number").0
    }
}

/// The kind with this number; None for 0.
fn kind_of(number: HandlerKindArg) -> Result<Option<HandlerKind>, Error> {
    if number == 0 {
        return Ok(None);
    }
    let known = KINDS.iter().find(|(known, _)| *known as u32 == number);
    known
        .map(|(_, kind)| Some(*kind))
        .ok_or_else(|| Error::argument("this handler kind does not exist"))
}

/// The options in the terms of `document`, for a function that makes handlers of a family.
pub(crate) fn spec(
    caller: Caller<'_>,
    options: *const syncline_handler_options,
    family: &Family,
) -> Result<HandlerSpec, Error> {
    let given = caller.sized(options, "options")?;
    let kind = kind_of(given.kind)?.unwrap_or(family[0]);
    if !family.contains(&kind) {
        return Err(Error::argument(
            "this function does not make handlers of this kind",
        ));
    }
    spec_of(caller, &given, kind)
}

/// The options in the terms of `document`, for a type to be registered.
pub(crate) fn type_spec(
    caller: Caller<'_>,
    options: *const syncline_handler_options,
) -> Result<HandlerSpec, Error> {
    caller.read(options, "type")?;
    let given = caller.sized(options, "type")?;
    let named = HandlerKind::of_tag(caller.text(given.type_name, "type_name")?);
    match kind_of(given.kind)?.or(named) {
        None => Err(Error::argument(
            "the type has neither a kind nor a name of one of Dart's types",
        )),
        Some(HandlerKind::Custom) => Err(Error::argument(
            "types of the application: syncline_document_register_custom_type",
        )),
        Some(kind) => spec_of(caller, &given, kind),
    }
}

fn spec_of(
    caller: Caller<'_>,
    given: &syncline_handler_options,
    kind: HandlerKind,
) -> Result<HandlerSpec, Error> {
    let mut spec = HandlerSpec::new(kind);
    let has_values = !kind.is_container() && !TEXTS.contains(&kind);
    match given.codec {
        c if c == syncline_codec::SYNCLINE_CODEC_JSON as u32 => {}
        c if c != syncline_codec::SYNCLINE_CODEC_BYTES as u32 => {
            return Err(Error::argument("this codec does not exist"));
        }
        _ if has_values => spec.codec = ValueCodec::Bytes,
        _ => {
            return Err(Error::argument(
                "a handler of this kind has no values to encode",
            ));
        }
    }
    spec.type_tag = caller.text(given.type_name, "type_name")?.to_owned();
    Ok(spec)
}
