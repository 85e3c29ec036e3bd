//! Operations as the specification lists them (9.3 to 9.13), read from payloads.

use syncline::clock::{Hlc, OperationId};
use syncline::codec::{Change, DecodeError, ElementId, HandlerRef, Reader, Value, json, wtf8};
use syncline::document::HandlerKind;

/// What an element holds: UTF-16 units of a text, or a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Text(Vec<u16>),
    Value(Value),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Fugue sequences (9.9).
    Insert {
        left: Option<ElementId>,
        right: Option<ElementId>,
        items: Vec<(ElementId, Item)>,
    },
    Delete(Vec<ElementId>),
    Replace(Vec<(ElementId, ElementId, Item)>),
    /// Text and list by position (9.3, 9.4).
    InsertAt(usize, Item),
    DeleteAt(usize, usize),
    UpdateAt(usize, Item),
    /// Maps (9.5).
    Set(String, Value),
    Remove(String),
    Update(String, Value),
    /// Registers (9.6).
    Assign(Value),
    /// Observed-remove set and map (9.7, 9.8): element or key, value of a map, tag.
    Add(Value, Option<Value>, OperationId),
    /// The tags in ascending order: their order on the wire means nothing.
    Discard(Value, Vec<OperationId>, bool),
    /// Movable lists (9.12): identity, position, value.
    Place {
        left: Option<ElementId>,
        right: Option<ElementId>,
        items: Vec<(ElementId, ElementId, Value)>,
    },
    Erase(Vec<ElementId>),
    Overwrite(Hlc, Vec<(ElementId, Value)>),
    Move {
        identity: ElementId,
        position: ElementId,
        left: Option<ElementId>,
        right: Option<ElementId>,
        clock: Hlc,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    pub kind: HandlerKind,
    pub action: Action,
}

/// The one handler of a kind in every document here.
pub fn id_of(kind: HandlerKind) -> &'static str {
    kind.base_tag()
}

impl Op {
    /// The operation of a change. None: not for one of the handlers, of an unknown kind, or not
    /// decodable: it has no effect.
    pub fn of(change: &Change) -> Option<Op> {
        let envelope = change.envelope().ok()?;
        let kind = HandlerKind::ALL.into_iter().find(|kind| {
            envelope.handler_type == kind.default_tag() && envelope.handler_id == id_of(*kind)
        })?;
        let action = Body {
            reader: Reader::new(envelope.body),
            kind,
        }
        .action(envelope.kind);
        Some(Op {
            kind,
            action: action.ok()??,
        })
    }
}

struct Body<'a> {
    reader: Reader<'a>,
    kind: HandlerKind,
}

type Read<T> = Result<T, DecodeError>;

impl Body<'_> {
    fn action(&mut self, operation: u8) -> Read<Option<Action>> {
        use HandlerKind as Kind;
        let action = match (self.kind, operation) {
            (Kind::FugueText | Kind::FugueList | Kind::ListRef, 0) => Action::Insert {
                left: self.origin()?,
                right: self.origin()?,
                items: self.several(|body| Ok((body.element()?, body.item()?)))?,
            },
            (Kind::FugueText | Kind::FugueList | Kind::ListRef, 1) => {
                Action::Delete(self.several(Self::element)?)
            }
            (Kind::FugueText | Kind::FugueList | Kind::ListRef, 2) => Action::Replace(
                self.several(|body| Ok((body.element()?, body.element()?, body.item()?)))?,
            ),
            (Kind::Text | Kind::List, 0) => Action::InsertAt(self.number()?, self.item()?),
            (Kind::Text | Kind::List, 1) => Action::DeleteAt(self.number()?, self.number()?),
            (Kind::Text | Kind::List, 2) => Action::UpdateAt(self.number()?, self.item()?),
            (Kind::Map | Kind::MapRef, 0) => Action::Set(self.key()?, self.value()?),
            (Kind::Map | Kind::MapRef, 1) => Action::Remove(self.key()?),
            (Kind::Map | Kind::MapRef, 2) => Action::Update(self.key()?, self.value()?),
            (Kind::Register, 0) => Action::Assign(self.value()?),
            (Kind::OrSet, 0) => Action::Add(self.value()?, None, self.tag()?),
            (Kind::OrMap, 0) => Action::Add(self.value()?, Some(self.value()?), self.tag()?),
            (Kind::OrSet | Kind::OrMap, 1) => {
                let element = self.value()?;
                let mut tags = self.several(Self::tag)?;
                tags.sort_unstable();
                Action::Discard(element, tags, self.reader.byte("removeAll")? != 0)
            }
            (Kind::MovableList | Kind::MovableListRef, 0) => Action::Place {
                left: self.origin()?,
                right: self.origin()?,
                items: self
                    .several(|body| Ok((body.element()?, body.element()?, body.value()?)))?,
            },
            (Kind::MovableList | Kind::MovableListRef, 1) => {
                Action::Erase(self.several(Self::element)?)
            }
            (Kind::MovableList | Kind::MovableListRef, 2) => Action::Overwrite(
                self.clock()?,
                self.several(|body| Ok((body.element()?, body.value()?)))?,
            ),
            (Kind::MovableList | Kind::MovableListRef, 3) => Action::Move {
                identity: self.element()?,
                position: self.element()?,
                left: self.origin()?,
                right: self.origin()?,
                clock: self.clock()?,
            },
            _ => return Ok(None),
        };
        Ok(Some(action))
    }

    fn several<T>(&mut self, mut read: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = self.reader.count(1)?;
        (0..count).map(|_| read(self)).collect()
    }

    fn number(&mut self) -> Read<usize> {
        self.reader.uvarint().map(|number| number as usize)
    }

    fn key(&mut self) -> Read<String> {
        self.reader.text().map(str::to_owned)
    }

    fn value(&mut self) -> Read<Value> {
        let bytes = self.reader.prefixed()?;
        match self.kind.is_container() {
            true => HandlerRef::decode(bytes).map(Value::Reference),
            false => json::decode(bytes),
        }
    }

    fn item(&mut self) -> Read<Item> {
        if !matches!(self.kind, HandlerKind::Text | HandlerKind::FugueText) {
            return self.value().map(Item::Value);
        }
        let mut units = Vec::new();
        wtf8::decode_to_utf16(self.reader.prefixed()?, &mut units)?;
        Ok(Item::Text(units))
    }

    fn tag(&mut self) -> Read<OperationId> {
        let bytes = self.reader.array("a tag")?;
        Ok(OperationId::from_bytes(&bytes))
    }

    fn clock(&mut self) -> Read<Hlc> {
        let bytes = self.reader.array("a clock")?;
        Ok(Hlc::from_u64(u64::from_be_bytes(bytes)))
    }

    fn origin(&mut self) -> Read<Option<ElementId>> {
        ElementId::read(&mut self.reader)
    }

    fn element(&mut self) -> Read<ElementId> {
        self.origin()?.ok_or(DecodeError {
            offset: 0,
            expected: "not the null id",
        })
    }
}
