//! Operations as the specification lists them (9.5 to 9.7, 9.9, 9.10), read from payloads.

use syncline::clock::OperationId;
use syncline::codec::{Change, DecodeError, ElementId, Reader, Value, json, wtf8};

pub const TEXT: &str = "text";
pub const MAP: &str = "map";
pub const REGISTER: &str = "register";
pub const SET: &str = "set";

#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    TextInsert {
        left: Option<ElementId>,
        right: Option<ElementId>,
        items: Vec<(ElementId, Vec<u16>)>,
    },
    TextDelete(Vec<ElementId>),
    TextUpdate(Vec<(ElementId, ElementId, Vec<u16>)>),
    MapSet(String, Value),
    MapDelete(String),
    MapUpdate(String, Value),
    RegisterSet(Value),
    SetAdd(Value, OperationId),
    /// The tags in ascending order: their order on the wire means nothing.
    SetRemove(Value, Vec<OperationId>, bool),
}

impl Op {
    /// The operation of a change. None: not for one of the four handlers, of an unknown kind, or
    /// not decodable: it has no effect.
    pub fn of(change: &Change) -> Option<Op> {
        let envelope = change.envelope().ok()?;
        let mut body = Reader::new(envelope.body);
        let read = match (envelope.handler_type, envelope.handler_id, envelope.kind) {
            ("CRDTFugueTextHandler", TEXT, 0) => text_insert(&mut body),
            ("CRDTFugueTextHandler", TEXT, 1) => text_delete(&mut body),
            ("CRDTFugueTextHandler", TEXT, 2) => text_update(&mut body),
            ("CRDTMapHandler<dynamic>", MAP, 0) => {
                key(&mut body).and_then(|key| Ok(Op::MapSet(key, value(&mut body)?)))
            }
            ("CRDTMapHandler<dynamic>", MAP, 1) => key(&mut body).map(Op::MapDelete),
            ("CRDTMapHandler<dynamic>", MAP, 2) => {
                key(&mut body).and_then(|key| Ok(Op::MapUpdate(key, value(&mut body)?)))
            }
            ("CRDTRegisterHandler<dynamic>", REGISTER, 0) => value(&mut body).map(Op::RegisterSet),
            ("CRDTORSetHandler<dynamic>", SET, 0) => {
                value(&mut body).and_then(|value| Ok(Op::SetAdd(value, tag(&mut body)?)))
            }
            ("CRDTORSetHandler<dynamic>", SET, 1) => set_remove(&mut body),
            _ => return None,
        };
        read.ok()
    }
}

fn key(body: &mut Reader<'_>) -> Result<String, DecodeError> {
    body.text().map(str::to_owned)
}

fn value(body: &mut Reader<'_>) -> Result<Value, DecodeError> {
    json::decode(body.prefixed()?)
}

fn tag(body: &mut Reader<'_>) -> Result<OperationId, DecodeError> {
    Ok(OperationId::from_bytes(&body.array("a tag")?))
}

fn element(body: &mut Reader<'_>) -> Result<ElementId, DecodeError> {
    ElementId::read(body)?.ok_or(DecodeError {
        offset: 0,
        expected: "not the null id",
    })
}

fn units(body: &mut Reader<'_>) -> Result<Vec<u16>, DecodeError> {
    let mut units = Vec::new();
    wtf8::decode_to_utf16(body.prefixed()?, &mut units)?;
    Ok(units)
}

fn text_insert(body: &mut Reader<'_>) -> Result<Op, DecodeError> {
    let (left, right) = (ElementId::read(body)?, ElementId::read(body)?);
    let count = body.count(1)?;
    let items: Result<_, _> = (0..count)
        .map(|_| Ok((element(body)?, units(body)?)))
        .collect();
    Ok(Op::TextInsert {
        left,
        right,
        items: items?,
    })
}

fn text_delete(body: &mut Reader<'_>) -> Result<Op, DecodeError> {
    let count = body.count(1)?;
    (0..count)
        .map(|_| element(body))
        .collect::<Result<_, _>>()
        .map(Op::TextDelete)
}

fn text_update(body: &mut Reader<'_>) -> Result<Op, DecodeError> {
    let count = body.count(1)?;
    let items: Result<_, _> = (0..count)
        .map(|_| Ok((element(body)?, element(body)?, units(body)?)))
        .collect();
    items.map(Op::TextUpdate)
}

fn set_remove(body: &mut Reader<'_>) -> Result<Op, DecodeError> {
    let removed = value(body)?;
    let count = body.count(OperationId::BYTES)?;
    let mut tags = (0..count)
        .map(|_| tag(body))
        .collect::<Result<Vec<_>, _>>()?;
    tags.sort_unstable();
    let all = body.byte("removeAll")? != 0;
    Ok(Op::SetRemove(removed, tags, all))
}
