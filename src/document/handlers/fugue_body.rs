//! The operation bodies of Fugue text (specification 9.9, 9.10): what most editors send becomes a
//! compact row of the log, everything else is read item by item when it is folded.

use crate::clock::{AuthorIdx, Authors, PeerId};
use crate::codec::bytes::uvarint_len;
use crate::codec::{DecodeError, ElementId, Reader, wtf8};
use crate::document::content::ContentPool;
use crate::document::log::{Span, Spans};
use crate::sequence::{Content, ElementKey};

/// One element of an insertion or replacement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub id: ElementKey,
    pub content: Content,
    pub units: u32,
}

/// A body as it is folded.
#[derive(Clone, Debug)]
pub(crate) enum FugueBody {
    Insert {
        left: ElementKey,
        right: ElementKey,
        items: Vec<Item>,
    },
    Remove {
        spans: Vec<Span>,
    },
    Update {
        items: Vec<(ElementKey, Item)>,
    },
}

/// Largest element counter that the engine handles. Operations beyond are kept and forwarded,
/// and have no effect here.
pub(crate) const COUNTER_MAX: u64 = u32::MAX as u64 - 1;

/// Element ids with few distinct peers: remembers the last one.
pub(crate) struct ElementReader<'a, 'b> {
    reader: &'b mut Reader<'a>,
    authors: &'b mut Authors,
    last: (PeerId, AuthorIdx),
    /// All varints so far were in their shortest form.
    pub shortest: bool,
}

impl<'a, 'b> ElementReader<'a, 'b> {
    pub fn new(reader: &'b mut Reader<'a>, authors: &'b mut Authors, likely: AuthorIdx) -> Self {
        let last = (authors.peer(likely), likely);
        ElementReader {
            reader,
            authors,
            last,
            shortest: true,
        }
    }

    pub fn element(&mut self) -> Result<ElementKey, DecodeError> {
        let start = self.reader.offset();
        let Some(ElementId { peer, counter }) = ElementId::read(self.reader)? else {
            return Ok(ElementKey::NULL);
        };
        if counter > COUNTER_MAX {
            return Err(DecodeError {
                offset: start,
                expected: "an element counter exceeds 32 bits",
            });
        }
        self.shortest &= self.reader.offset() - start == 17 + uvarint_len(counter);
        if self.last.0 != peer {
            self.last = (peer, self.authors.intern(peer));
        }
        Ok(ElementKey {
            author: self.last.1,
            counter: counter as u32,
        })
    }

    fn count(&mut self, size_min: usize) -> Result<usize, DecodeError> {
        let start = self.reader.offset();
        let count = self.reader.count(size_min)?;
        self.shortest &= self.reader.offset() - start == uvarint_len(count as u64);
        Ok(count)
    }

    fn text(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.reader.offset();
        let text = self.reader.prefixed()?;
        self.shortest &=
            self.reader.offset() - start == uvarint_len(text.len() as u64) + text.len();
        Ok(text)
    }
}

/// An insertion of the change author's own elements of one unit each, in shortest form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DenseInsert {
    pub first: u32,
    pub len: u32,
    pub left: ElementKey,
    pub right: ElementKey,
    pub content: Content,
}

/// Insertions of up to so many units are read without memory of their own.
const UNITS_ON_STACK: usize = 32;

/// Reads a body of kind 0 that has a compact row; its text is added to `content`. None: read it
/// with [`FugueBody::decode`].
pub(crate) fn dense_insert(
    body: &[u8],
    author: AuthorIdx,
    authors: &mut Authors,
    content: &mut ContentPool,
) -> Option<DenseInsert> {
    let mut reader = Reader::new(body);
    let mut ids = ElementReader::new(&mut reader, authors, author);
    let left = ids.element().ok()?;
    let right = ids.element().ok()?;
    let len = ids
        .count(20)
        .ok()
        .filter(|len| *len > 0 && *len <= crate::sequence::UNITS_MAX as usize)?;
    let (mut few, mut many) = ([0; UNITS_ON_STACK], Vec::new());
    let units = match few.get_mut(..len) {
        Some(few) => few,
        None => {
            many.resize(len, 0);
            many.as_mut_slice()
        }
    };
    let mut first = 0;
    for (nth, unit) in units.iter_mut().enumerate() {
        let id = ids.element().ok().filter(|id| id.author == author)?;
        if nth == 0 {
            first = id.counter;
        }
        if id.counter != first.checked_add(nth as u32)? {
            return None;
        }
        *unit = single_unit(ids.text().ok()?)?;
    }
    let canonical = ids.shortest && reader.is_at_end();
    canonical.then(|| DenseInsert {
        first,
        len: len as u32,
        left,
        right,
        content: content.push_units(units),
    })
}

/// The unit that these WTF-8 bytes are the shortest form of, if it is one.
fn single_unit(text: &[u8]) -> Option<u16> {
    match *text {
        [byte] if byte < 0x80 => Some(u16::from(byte)),
        [a @ 0xc2..=0xdf, b] if is_tail(b) => Some(u16::from(a & 0x1f) << 6 | u16::from(b & 0x3f)),
        [a @ 0xe0..=0xef, b, c] if is_tail(b) && is_tail(c) => {
            let unit = u16::from(a & 0x0f) << 12 | u16::from(b & 0x3f) << 6 | u16::from(c & 0x3f);
            (unit >= 0x800).then_some(unit)
        }
        _ => None,
    }
}

fn is_tail(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Reads a body of kind 1 that has a compact row: known form, shortest varints, nothing behind.
pub(crate) fn dense_remove(body: &[u8], author: AuthorIdx, authors: &mut Authors) -> Option<Spans> {
    let mut reader = Reader::new(body);
    let mut ids = ElementReader::new(&mut reader, authors, author);
    let spans = read_spans(&mut ids).ok()?;
    let canonical = ids.shortest && reader.is_at_end() && !spans.as_slice().is_empty();
    canonical.then_some(spans)
}

fn read_spans(ids: &mut ElementReader<'_, '_>) -> Result<Spans, DecodeError> {
    let count = ids.count(1)?;
    let mut spans = Spans::default();
    for _ in 0..count {
        spans.add(ids.element()?, 1);
    }
    Ok(spans)
}

impl FugueBody {
    /// Reads any body; the text of its items is added to `content`, in order.
    pub fn decode(
        kind: u8,
        body: &[u8],
        author: AuthorIdx,
        authors: &mut Authors,
        content: &mut ContentPool,
    ) -> Result<Option<FugueBody>, DecodeError> {
        let mut reader = Reader::new(body);
        let mut ids = ElementReader::new(&mut reader, authors, author);
        // All text is read before any is kept: a body that is cut off leaves nothing behind.
        let mut units = Vec::new();
        Ok(Some(match kind {
            0 => {
                let (left, right) = (ids.element()?, ids.element()?);
                let count = ids.count(2)?;
                let mut read = Vec::new();
                for _ in 0..count {
                    read.push((ids.element()?, read_text(&mut ids, &mut units)?));
                }
                let mut placed = place(read.iter().map(|(_, len)| *len), &units, content)?;
                let items = read.iter().map(|(id, _)| Item {
                    id: *id,
                    ..placed.next().expect("one per item")
                });
                FugueBody::Insert {
                    left,
                    right,
                    items: items.collect(),
                }
            }
            1 => FugueBody::Remove {
                spans: read_spans(&mut ids)?.as_slice().to_vec(),
            },
            2 => {
                let count = ids.count(3)?;
                let mut read = Vec::new();
                for _ in 0..count {
                    let (old, new) = (ids.element()?, ids.element()?);
                    read.push((old, new, read_text(&mut ids, &mut units)?));
                }
                let mut placed = place(read.iter().map(|(.., len)| *len), &units, content)?;
                let items = read.iter().map(|(old, id, _)| {
                    (
                        *old,
                        Item {
                            id: *id,
                            ..placed.next().expect("one per item")
                        },
                    )
                });
                FugueBody::Update {
                    items: items.collect(),
                }
            }
            _ => return Ok(None),
        }))
    }
}

impl FugueBody {
    /// The elements it builds on: origins, removed and replaced ones; of a stretch the last.
    pub fn for_each_named(&self, mut named: impl FnMut(ElementKey)) {
        match self {
            FugueBody::Insert { left, right, .. } => [*left, *right].into_iter().for_each(named),
            FugueBody::Remove { spans } => spans
                .iter()
                .for_each(|span| named(span.id.plus(span.len - 1))),
            FugueBody::Update { items } => items.iter().for_each(|(old, _)| named(*old)),
        }
    }

    /// Whether it makes elements of another author than its own.
    pub fn makes_foreign_elements(&self, author: AuthorIdx) -> bool {
        match self {
            FugueBody::Insert { items, .. } => items.iter().any(|item| item.id.author != author),
            FugueBody::Remove { .. } => false,
            FugueBody::Update { items } => items.iter().any(|(_, item)| item.id.author != author),
        }
    }

    /// Tells the ids of the elements that a body produces, whatever their counters.
    pub fn for_each_produced(
        kind: u8,
        body: &[u8],
        mut produced: impl FnMut(ElementId),
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        if kind == 0 {
            ElementId::read(&mut reader)?;
            ElementId::read(&mut reader)?;
        }
        if kind != 0 && kind != 2 {
            return Ok(());
        }
        for _ in 0..reader.count(2)? {
            if kind == 2 {
                ElementId::read(&mut reader)?;
            }
            if let Some(id) = ElementId::read(&mut reader)? {
                produced(id);
            }
            reader.prefixed()?;
        }
        Ok(())
    }
}

fn read_text(ids: &mut ElementReader<'_, '_>, units: &mut Vec<u16>) -> Result<u32, DecodeError> {
    let before = units.len();
    wtf8::decode_to_utf16(ids.text()?, units)?;
    Ok((units.len() - before) as u32)
}

/// Stores the text of several items in one stretch.
fn place<'a>(
    lengths: impl Iterator<Item = u32> + 'a,
    units: &[u16],
    content: &mut ContentPool,
) -> Result<impl Iterator<Item = Item> + 'a, DecodeError> {
    if units.len() > crate::sequence::UNITS_MAX as usize || !content.has_room(units.len()) {
        return Err(DecodeError {
            offset: 0,
            expected: "the text of one operation is too long",
        });
    }
    let mut next = content.push_units(units);
    Ok(lengths.map(move |units| {
        let item = Item {
            id: ElementKey::NULL,
            content: next,
            units,
        };
        next = next.plus(units);
        item
    }))
}

/// Appends a body of kind 2 (update).
pub(crate) fn write_update(
    items: &[(ElementKey, ElementKey, u16)],
    mut write_element: impl FnMut(ElementKey, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    crate::codec::bytes::write_uvarint(out, items.len() as u64);
    for (old, new, unit) in items {
        write_element(*old, out);
        write_element(*new, out);
        crate::document::log::write_unit(*unit, out);
    }
}
