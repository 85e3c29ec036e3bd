//! Bodies and snapshot blobs of movable lists (specification 9.12), read and written.

use super::fugue_body::{COUNTER_MAX, ElementReader};
use super::operation::kind;
use crate::clock::{AuthorIdx, Authors, Hlc, PeerId};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, ElementId, Reader};
use crate::document::ValueCodec;
use crate::sequence::ElementKey;

/// A value, encoded as snapshots have it.
pub(crate) type ValueBytes = Box<[u8]>;

/// A new element of an insertion.
#[derive(Clone, Debug)]
pub(crate) struct NewElement {
    pub identity: ElementKey,
    pub position: ElementKey,
    pub value: ValueBytes,
}

/// A body as it is folded.
#[derive(Clone, Debug)]
pub(crate) enum MovableBody {
    Insert {
        left: ElementKey,
        right: ElementKey,
        items: Vec<NewElement>,
    },
    Delete {
        identities: Vec<ElementKey>,
    },
    Update {
        clock: Hlc,
        items: Vec<(ElementKey, ValueBytes)>,
    },
    Move {
        identity: ElementKey,
        position: ElementKey,
        left: ElementKey,
        right: ElementKey,
        clock: Hlc,
    },
}

fn read_clock(reader: &mut Reader<'_>) -> Result<Hlc, DecodeError> {
    Ok(Hlc::from_bytes(reader.array("a clock")?))
}

impl MovableBody {
    /// Reads a body; `author` is whose ids are likely in it. None: no such kind.
    pub fn decode(
        kind: u8,
        body: &[u8],
        codec: ValueCodec,
        author: AuthorIdx,
        authors: &mut Authors,
    ) -> Result<Option<MovableBody>, DecodeError> {
        let mut reader = Reader::new(body);
        let mut ids = ElementReader::new(&mut reader, authors, author);
        Ok(Some(match kind {
            kind::INSERT => {
                let (left, right) = (ids.element()?, ids.element()?);
                let mut items = Vec::new();
                for _ in 0..ids.reader().count(3)? {
                    items.push(NewElement {
                        identity: ids.element()?,
                        position: ids.element()?,
                        value: codec.canonical(ids.reader().prefixed()?)?,
                    });
                }
                MovableBody::Insert { left, right, items }
            }
            kind::DELETE => {
                let count = ids.reader().count(1)?;
                let identities: Result<_, _> = (0..count).map(|_| ids.element()).collect();
                MovableBody::Delete {
                    identities: identities?,
                }
            }
            kind::UPDATE => {
                let clock = read_clock(ids.reader())?;
                let mut items = Vec::new();
                for _ in 0..ids.reader().count(2)? {
                    let identity = ids.element()?;
                    items.push((identity, codec.canonical(ids.reader().prefixed()?)?));
                }
                MovableBody::Update { clock, items }
            }
            kind::MOVE => MovableBody::Move {
                identity: ids.element()?,
                position: ids.element()?,
                left: ids.element()?,
                right: ids.element()?,
                clock: read_clock(ids.reader())?,
            },
            _ => return Ok(None),
        }))
    }

    /// The kind byte of the envelope.
    pub fn kind(&self) -> u8 {
        match self {
            MovableBody::Insert { .. } => kind::INSERT,
            MovableBody::Delete { .. } => kind::DELETE,
            MovableBody::Update { .. } => kind::UPDATE,
            MovableBody::Move { .. } => kind::MOVE,
        }
    }

    /// Appends the bytes.
    pub fn write(&self, authors: &Authors, out: &mut Vec<u8>) {
        let id = |key: &ElementKey, out: &mut Vec<u8>| ElementId::write(id_of(*key, authors), out);
        match self {
            MovableBody::Insert { left, right, items } => {
                id(left, out);
                id(right, out);
                write_uvarint(out, items.len() as u64);
                for item in items {
                    id(&item.identity, out);
                    id(&item.position, out);
                    write_prefixed(out, &item.value);
                }
            }
            MovableBody::Delete { identities } => {
                write_uvarint(out, identities.len() as u64);
                identities.iter().for_each(|identity| id(identity, out));
            }
            MovableBody::Update { clock, items } => {
                out.extend_from_slice(&clock.to_bytes());
                write_uvarint(out, items.len() as u64);
                for (identity, value) in items {
                    id(identity, out);
                    write_prefixed(out, value);
                }
            }
            MovableBody::Move {
                identity,
                position,
                left,
                right,
                clock,
            } => {
                [identity, position, left, right]
                    .into_iter()
                    .for_each(|key| id(key, out));
                out.extend_from_slice(&clock.to_bytes());
            }
        }
    }

    /// The ids that it makes: those of new elements, and of the place where an element moves.
    pub fn made(&self) -> impl Iterator<Item = ElementKey> + '_ {
        let (items, position) = match self {
            MovableBody::Insert { items, .. } => (items.as_slice(), None),
            MovableBody::Move { position, .. } => (&[][..], Some(*position)),
            MovableBody::Delete { .. } | MovableBody::Update { .. } => (&[][..], None),
        };
        let new = items.iter().flat_map(|item| [item.identity, item.position]);
        new.chain(position)
    }

    /// The ids that it builds on: origins, and elements that are there.
    pub fn for_each_named(&self, mut named: impl FnMut(ElementKey)) {
        match self {
            MovableBody::Insert { left, right, .. } => [*left, *right].into_iter().for_each(named),
            MovableBody::Delete { identities } => identities.iter().copied().for_each(named),
            MovableBody::Update { items, .. } => items.iter().for_each(|(id, _)| named(*id)),
            MovableBody::Move {
                identity,
                left,
                right,
                ..
            } => [*identity, *left, *right].into_iter().for_each(named),
        }
    }

    /// Tells the ids that a body makes, whatever their counters.
    pub fn for_each_produced(
        kind: u8,
        body: &[u8],
        mut produced: impl FnMut(ElementId),
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        match kind {
            kind::INSERT => {
                ElementId::read(&mut reader)?;
                ElementId::read(&mut reader)?;
                for _ in 0..reader.count(3)? {
                    ElementId::read(&mut reader)?.map(&mut produced);
                    ElementId::read(&mut reader)?.map(&mut produced);
                    reader.prefixed()?;
                }
            }
            kind::MOVE => {
                ElementId::read(&mut reader)?;
                ElementId::read(&mut reader)?.map(&mut produced);
            }
            _ => (),
        }
        Ok(())
    }

    /// The bytes that an update has for an element.
    pub fn updated_value(body: &[u8], identity: Option<ElementId>) -> Option<&[u8]> {
        let mut reader = Reader::new(body);
        read_clock(&mut reader).ok()?;
        for _ in 0..reader.count(2).ok()? {
            let updated = ElementId::read(&mut reader).ok()?;
            let value = reader.prefixed().ok()?;
            // Of two values with one clock the first one counts.
            if updated == identity {
                return Some(value);
            }
        }
        None
    }
}

/// The id of an element as the wire has it.
pub(crate) fn id_of(key: ElementKey, authors: &Authors) -> Option<ElementId> {
    (!key.is_null()).then(|| ElementId {
        peer: authors.peer(key.author),
        counter: u64::from(key.counter),
    })
}

/// An element of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct SeededElement {
    pub identity: Option<ElementId>,
    pub position: Option<ElementId>,
    pub position_clock: Hlc,
    pub value_clock: Hlc,
    pub deleted: bool,
    pub value: ValueBytes,
}

impl SeededElement {
    /// Whether its ids are such that the engine handles it.
    pub fn is_in_range(&self) -> bool {
        let fits = |id: Option<ElementId>| id.is_none_or(|id| id.counter <= COUNTER_MAX);
        self.position.is_some() && fits(self.identity) && fits(self.position)
    }

    /// Appends its entry of a blob.
    pub fn write(&self, out: &mut Vec<u8>) {
        ElementId::write(self.identity, out);
        ElementId::write(self.position, out);
        out.extend_from_slice(&self.position_clock.to_bytes());
        out.extend_from_slice(&self.value_clock.to_bytes());
        out.push(u8::from(self.deleted));
        write_prefixed(out, &self.value);
    }
}

/// A snapshot blob, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct MovableBlob {
    pub elements: Vec<SeededElement>,
    /// The largest counter each peer ever used.
    pub floor: Vec<(PeerId, u64)>,
}

impl MovableBlob {
    /// Reads a blob. An empty one is an empty list; a missing floor table is an empty one.
    pub fn decode(blob: &[u8], codec: ValueCodec) -> Result<Self, DecodeError> {
        let mut result = MovableBlob::default();
        if blob.is_empty() {
            return Ok(result);
        }
        let mut reader = Reader::new(blob);
        for _ in 0..reader.count(20)? {
            result.elements.push(SeededElement {
                identity: ElementId::read(&mut reader)?,
                position: ElementId::read(&mut reader)?,
                position_clock: read_clock(&mut reader)?,
                value_clock: read_clock(&mut reader)?,
                deleted: reader.byte("whether an element is deleted")? != 0,
                value: codec.canonical(reader.prefixed()?)?,
            });
        }
        if reader.is_at_end() {
            return Ok(result);
        }
        for _ in 0..reader.count(17)? {
            let peer = PeerId::from_bytes(reader.array("a peer id")?);
            result.floor.push((peer, reader.uvarint()?));
        }
        reader.finish()?;
        Ok(result)
    }
}
