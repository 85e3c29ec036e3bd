//! Steps from bytes; the form is in `codec`. The bytes may come from anywhere: what they say is
//! checked here, as far as it can be without the document.

use super::super::delta::{Delta, Removed, Step as DeltaStep};
use super::super::types::{HandlerIdx, HandlerKind, HandlerSpec, ValueCodec};
use super::codec::{MAGIC, VERSION};
use super::elements::{ElementsEffect, Held, RemovedRun};
use super::keys::{KeyEffect, KeysEffect, Written};
use super::manager::is_storable;
use super::movable::{Deleted, ItemEffect, MovableEffect};
use super::positions::{Drift, PositionsEffect};
use super::step::{Effect, Step};
use super::tagged::{ElementEffect, TaggedEffect};
use crate::clock::{AuthorIdx, Hlc, OperationId, PeerId};
use crate::codec::{DecodeError, ElementId, Reader, Value, json};
use crate::document::handlers::fugue_body::COUNTER_MAX;
use crate::document::handlers::movable_list_back::Standing;
use crate::sequence::{ElementKey, UNITS_MAX};
use std::collections::BTreeMap;

/// Larger numbers of steps are not written by anybody.
const STEP_MAX: u64 = 1 << 62;

/// What the bytes say. Handlers and authors are numbered as the bytes number them.
pub(super) struct Stored {
    pub next_step: u64,
    pub version: Vec<u8>,
    pub handlers: Vec<StoredHandler>,
    pub peers: Vec<PeerId>,
    pub undo: Vec<Step>,
    pub redo: Vec<Step>,
}

pub(super) struct StoredHandler {
    pub id: String,
    pub spec: HandlerSpec,
}

impl Stored {
    /// Reads everything before anything is believed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len(), "the stacks of an undo manager")? != MAGIC {
            return Err(Reader::new(bytes).error("these are no stacks of an undo manager"));
        }
        if reader.byte("the version")? != VERSION {
            return Err(reader.error("stacks of a later version"));
        }
        let checksum = u32::from_le_bytes(reader.array("the checksum")?);
        if checksum != crc32fast::hash(&bytes[reader.offset()..]) {
            return Err(reader.error("the checksum differs"));
        }
        let next_step = reader.uvarint()?;
        let version = reader.prefixed()?.to_vec();
        let mut handlers: Vec<StoredHandler> = Vec::new();
        for _ in 0..reader.count(4)? {
            let handler = read_handler(&mut reader)?;
            if handlers.iter().any(|known| known.id == handler.id) {
                return Err(reader.error("a handler is listed twice"));
            }
            handlers.push(handler);
        }
        let mut peers = Vec::new();
        for _ in 0..reader.count(16)? {
            peers.push(PeerId::from_bytes(reader.array("a peer id")?));
        }
        let mut steps = StepReader {
            reader,
            handlers: &handlers,
            peers: peers.len() as u64,
            next_step,
        };
        let (undo, redo) = (steps.steps()?, steps.steps()?);
        steps.reader.finish()?;
        if next_step > STEP_MAX {
            return Err(steps.reader.error("a step has an impossible number"));
        }
        Ok(Stored {
            next_step,
            version,
            handlers,
            peers,
            undo,
            redo,
        })
    }
}

fn read_handler(reader: &mut Reader<'_>) -> Result<StoredHandler, DecodeError> {
    let id = reader.text()?.to_owned();
    let type_tag = reader.text()?.to_owned();
    let kind = HandlerKind::ALL.get(usize::from(reader.byte("a handler's kind")?));
    let kind = *kind.ok_or_else(|| reader.error("a handler's kind is unknown"))?;
    let codec = match reader.byte("a handler's codec")? {
        0 => ValueCodec::Json,
        1 => ValueCodec::Bytes,
        2 => ValueCodec::Reference,
        _ => return Err(reader.error("a handler's codec is unknown")),
    };
    let spec = HandlerSpec {
        kind,
        codec,
        type_tag,
    };
    Ok(StoredHandler { id, spec })
}

struct StepReader<'a, 'b> {
    reader: Reader<'a>,
    handlers: &'b [StoredHandler],
    peers: u64,
    next_step: u64,
}

impl<'b> StepReader<'_, 'b> {
    fn steps(&mut self) -> Result<Vec<Step>, DecodeError> {
        let mut steps = Vec::new();
        for _ in 0..self.reader.count(4)? {
            steps.push(self.step()?);
        }
        Ok(steps)
    }

    fn step(&mut self) -> Result<Step, DecodeError> {
        let number = self.reader.uvarint()?;
        if number >= self.next_step {
            return Err(self.reader.error("a step has a number of the future"));
        }
        let meta = match self.reader.byte("a step's attachment")? {
            0 => None,
            1 => Some(Value::Bytes(self.reader.prefixed()?.to_vec())),
            2 => Some(read_attached(&mut self.reader)?),
            _ => {
                return Err(self
                    .reader
                    .error("a step's attachment is of an unknown kind"));
            }
        };
        let mut effects = BTreeMap::new();
        for _ in 0..self.reader.count(3)? {
            let (number, spec) = self.handler()?;
            let effect = self.effect(spec.kind, spec.codec)?;
            if effects.insert(number, effect).is_some() {
                return Err(self.reader.error("a step names a handler twice"));
            }
        }
        let mut since = BTreeMap::new();
        for _ in 0..self.reader.count(2)? {
            let (number, _) = self.handler()?;
            let drift: Drift = self.delta(
                |reader, count| {
                    let is_possible = count <= u64::from(UNITS_MAX);
                    let inserted = is_possible.then(|| vec![(); count as usize]);
                    inserted.ok_or_else(|| reader.error("too many elements"))
                },
                |reader| reader.uvarint(),
            )?;
            if since.insert(number, drift).is_some() {
                return Err(self.reader.error("a step names a handler twice"));
            }
        }
        Ok(Step {
            number,
            meta,
            effects,
            since,
        })
    }

    fn handler(&mut self) -> Result<(HandlerIdx, &'b HandlerSpec), DecodeError> {
        let number = self.reader.uvarint()?;
        match self.handlers.get(number.min(u64::from(u32::MAX)) as usize) {
            Some(handler) => Ok((HandlerIdx(number as u32), &handler.spec)),
            None => Err(self.reader.error("a handler that is not listed")),
        }
    }

    fn effect(&mut self, kind: HandlerKind, codec: ValueCodec) -> Result<Effect, DecodeError> {
        use HandlerKind as Kind;
        match (self.reader.byte("what a step did")?, kind) {
            (0, Kind::FugueText) => Ok(Effect::Elements(self.elements(None)?)),
            (0, Kind::FugueList | Kind::ListRef) => {
                Ok(Effect::Elements(self.elements(Some(codec))?))
            }
            (1, Kind::Map | Kind::MapRef | Kind::Register) => Ok(Effect::Keys(self.keys(codec)?)),
            (2, Kind::OrSet) => Ok(Effect::Tagged(self.tagged(codec, None)?)),
            (2, Kind::OrMap) => Ok(Effect::Tagged(self.tagged(ValueCodec::Json, Some(codec))?)),
            (3, Kind::Text) => {
                let delta = self.delta(read_counted_units, read_units)?;
                Ok(Effect::Positions(PositionsEffect::Text(delta)))
            }
            (4, Kind::List) => {
                let values = |reader: &mut Reader<'_>| {
                    let read = read_values(reader, codec)?.into_iter();
                    Ok(read.map(|value| codec.stored(&value)).collect())
                };
                let delta = self.delta(|reader, _| values(reader), values)?;
                Ok(Effect::Positions(PositionsEffect::List(delta)))
            }
            (5, Kind::MovableList | Kind::MovableListRef) => {
                Ok(Effect::Movable(self.movable(codec)?))
            }
            _ => Err(self.reader.error("a step did what its handler cannot do")),
        }
    }

    fn delta<E: Clone, R: Removed + Clone>(
        &mut self,
        inserted: impl Fn(&mut Reader<'_>, u64) -> Result<Vec<E>, DecodeError>,
        removed: impl Fn(&mut Reader<'_>) -> Result<R, DecodeError>,
    ) -> Result<Delta<E, R>, DecodeError> {
        let mut steps = Vec::new();
        // So that sums of lengths stay numbers.
        let mut len = 0u64;
        for _ in 0..self.reader.count(2)? {
            let step = match self.reader.byte("a step of a delta")? {
                0 => DeltaStep::Retain(self.reader.uvarint()?),
                1 => {
                    let count = self.reader.uvarint()?;
                    DeltaStep::Insert(inserted(&mut self.reader, count)?)
                }
                2 => DeltaStep::Remove(removed(&mut self.reader)?),
                _ => return Err(self.reader.error("a step of a delta is of an unknown kind")),
            };
            len = len.saturating_add(match &step {
                DeltaStep::Retain(count) => *count,
                DeltaStep::Insert(elements) => elements.len() as u64,
                DeltaStep::Remove(removed) => removed.count(),
            });
            if len > 1 << 31 {
                return Err(self.reader.error("a delta of an impossible length"));
            }
            steps.push(step);
        }
        Ok(Delta::from_steps(steps))
    }

    fn element(&mut self) -> Result<ElementKey, DecodeError> {
        let (peer, counter) = (self.reader.uvarint()?, self.reader.uvarint()?);
        if peer >= self.peers || counter > COUNTER_MAX {
            return Err(self.reader.error("an element of an impossible id"));
        }
        Ok(ElementKey {
            author: AuthorIdx(peer as u32),
            counter: counter as u32,
        })
    }

    fn span(&mut self) -> Result<(ElementKey, u32), DecodeError> {
        let first = self.element()?;
        let len = self.reader.uvarint()?;
        let fits = len > 0 && len <= COUNTER_MAX - u64::from(first.counter) + 1;
        match fits && len <= u64::from(UNITS_MAX) {
            true => Ok((first, len as u32)),
            false => Err(self.reader.error("a stretch of an impossible length")),
        }
    }

    /// `codec`: that of a list.
    fn elements(&mut self, codec: Option<ValueCodec>) -> Result<ElementsEffect, DecodeError> {
        let mut effect = ElementsEffect::default();
        for _ in 0..self.reader.count(3)? {
            let (first, len) = self.span()?;
            if !effect.made.take(first, len).is_empty() {
                return Err(self.reader.error("an element is listed twice"));
            }
            effect.made.insert(first, len);
        }
        for _ in 0..self.reader.count(5)? {
            let (id, len) = self.span()?;
            let left = match self.reader.byte("what was before an element")? {
                0 => ElementKey::NULL,
                _ => self.element()?,
            };
            let held = match (self.reader.byte("what an element held")?, codec) {
                (0, None) => Held::Units(read_units(&mut self.reader)?),
                (1, Some(codec)) => Held::Values(read_values(&mut self.reader, codec)?),
                _ => return Err(self.reader.error("an element held what it cannot hold")),
            };
            let is_dense = held.count() == len as usize;
            if !is_dense && (len > 1 || codec.is_some()) {
                return Err(self.reader.error("elements without what they held"));
            }
            effect.removed.push(RemovedRun {
                id,
                len,
                left,
                held,
            });
        }
        Ok(effect)
    }

    fn movable(&mut self, codec: ValueCodec) -> Result<MovableEffect, DecodeError> {
        let mut effect = MovableEffect::default();
        for _ in 0..self.reader.count(3)? {
            let identity = self.movable_id()?;
            let item = match self.reader.byte("what became of an element")? {
                0 => ItemEffect::Made,
                1 => {
                    let before = self.standing(codec)?;
                    let left = ElementId::read(&mut self.reader)?;
                    let number = self.reader.uvarint()?.min(u64::from(u32::MAX / 2)) as u32;
                    ItemEffect::Deleted(Deleted {
                        before,
                        left,
                        number,
                    })
                }
                2 => {
                    let before = self.standing(codec)?;
                    let after = match self.reader.byte("whether an element is there")? {
                        0 => None,
                        _ => Some(self.standing(codec)?),
                    };
                    ItemEffect::Changed { before, after }
                }
                _ => return Err(self.reader.error("what became of an element is unknown")),
            };
            if effect.items.insert(identity, item).is_some() {
                return Err(self.reader.error("an element is listed twice"));
            }
        }
        Ok(effect)
    }

    fn movable_id(&mut self) -> Result<ElementId, DecodeError> {
        let id = ElementId::read(&mut self.reader)?;
        id.ok_or_else(|| self.reader.error("an element without id"))
    }

    fn standing(&mut self, codec: ValueCodec) -> Result<Standing, DecodeError> {
        Ok(Standing {
            value: codec.canonical(self.reader.prefixed()?)?,
            written: (
                self.movable_id()?,
                Hlc::from_bytes(self.reader.array("a clock")?),
            ),
            slot: self.movable_id()?,
        })
    }

    fn keys(&mut self, codec: ValueCodec) -> Result<KeysEffect, DecodeError> {
        let mut effect = KeysEffect::default();
        for _ in 0..self.reader.count(5)? {
            let key = self.reader.text()?;
            let (before, after) = (self.written(codec)?, self.written(codec)?);
            let item = KeyEffect { before, after };
            if effect.items.insert(key.into(), item).is_some() {
                return Err(self.reader.error("a key is listed twice"));
            }
        }
        Ok(effect)
    }

    fn written(&mut self, codec: ValueCodec) -> Result<Written, DecodeError> {
        let value = match self.reader.byte("whether there was a value")? {
            0 => None,
            _ => Some(codec.canonical(self.reader.prefixed()?)?),
        };
        let stamp = self.tag()?;
        Ok(Written { value, stamp })
    }

    fn tag(&mut self) -> Result<Option<OperationId>, DecodeError> {
        match self.reader.byte("whether there is a tag")? {
            0 => Ok(None),
            _ => self.present_tag().map(Some),
        }
    }

    fn present_tag(&mut self) -> Result<OperationId, DecodeError> {
        Ok(OperationId::from_bytes(&self.reader.array("a tag")?))
    }

    /// `held`: the codec of a map's values.
    fn tagged(
        &mut self,
        codec: ValueCodec,
        held: Option<ValueCodec>,
    ) -> Result<TaggedEffect, DecodeError> {
        let mut effect = TaggedEffect::default();
        for _ in 0..self.reader.count(9)? {
            let identity: Box<[u8]> = self.reader.prefixed()?.into();
            let element = codec.canonical(self.reader.prefixed()?)?;
            let mut item = ElementEffect {
                element,
                ..ElementEffect::default()
            };
            for _ in 0..self.reader.count(OperationId::BYTES)? {
                item.added.push(self.present_tag()?);
            }
            for _ in 0..self.reader.count(2)? {
                let tag = self.tag()?;
                let bytes = self.reader.prefixed()?;
                check_held(bytes, held)?;
                item.removed.push((tag, bytes.into()));
            }
            item.showed = self.reader.byte("whether it showed")? != 0;
            item.after = self.tag()?;
            item.before = self.tag()?;
            for shown in &mut item.shown {
                if self.reader.byte("whether it was there")? != 0 {
                    let bytes = self.reader.prefixed()?;
                    check_held(bytes, held)?;
                    *shown = Some(bytes.into());
                }
            }
            if effect.items.insert(identity, item).is_some() {
                return Err(self.reader.error("an element is listed twice"));
            }
        }
        Ok(effect)
    }
}

/// What an add brought: nothing in a set, a value in a map.
fn check_held(bytes: &[u8], codec: Option<ValueCodec>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    if let Some(codec) = codec {
        codec.decode(reader.prefixed()?)?;
    }
    reader.finish()
}

fn read_attached(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let value = json::decode(reader.prefixed()?)?;
    match is_storable(&value) {
        true => Ok(value),
        false => Err(reader.error("a number that cannot be stored")),
    }
}

fn read_units(reader: &mut Reader<'_>) -> Result<Vec<u16>, DecodeError> {
    let bytes = reader.prefixed()?;
    if bytes.len() % 2 != 0 || bytes.len() / 2 > UNITS_MAX as usize {
        return Err(reader.error("text of an impossible length"));
    }
    let pairs = bytes.chunks_exact(2);
    Ok(pairs
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect())
}

fn read_counted_units(reader: &mut Reader<'_>, count: u64) -> Result<Vec<u16>, DecodeError> {
    let units = read_units(reader)?;
    match units.len() as u64 == count {
        true => Ok(units),
        false => Err(reader.error("text of another length")),
    }
}

fn read_values(reader: &mut Reader<'_>, codec: ValueCodec) -> Result<Vec<Box<[u8]>>, DecodeError> {
    let mut values = Vec::new();
    for _ in 0..reader.count(1)? {
        values.push(codec.canonical(reader.prefixed()?)?);
    }
    Ok(values)
}
