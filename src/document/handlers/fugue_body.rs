//! The operation bodies of Fugue texts and lists (specification 9.9 to 9.11): what most editors
//! send becomes a compact row of the log, everything else is read item by item when it is folded.

use crate::clock::{AuthorIdx, Authors, PeerId};
use crate::codec::bytes::{uvarint_len, write_uvarint};
use crate::codec::{DecodeError, ElementId, Reader, wtf8};
use crate::document::ValueCodec;
use crate::document::content::ContentPool;
use crate::document::log::{Log, Span, Spans};
use crate::sequence::{Content, ElementKey};

/// What the elements of a Fugue sequence hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    /// Text: one UTF-16 unit each, but for those of unusual writers.
    Units,
    /// A list: one value each.
    Values(ValueCodec),
}

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

    /// What lies between the ids.
    pub fn reader(&mut self) -> &mut Reader<'a> {
        self.reader
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

    /// The bytes of a text or value.
    fn content(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.reader.offset();
        let bytes = self.reader.prefixed()?;
        self.shortest &=
            self.reader.offset() - start == uvarint_len(bytes.len() as u64) + bytes.len();
        Ok(bytes)
    }
}

/// An insertion of the change author's own elements of one unit or value, in shortest form.
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

/// Reads a body of kind 0 that has a compact row; its content is added to `content`. None: read it
/// with [`FugueBody::decode`].
pub(crate) fn dense_insert(
    body: &[u8],
    is_text: bool,
    author: AuthorIdx,
    authors: &mut Authors,
    content: &mut ContentPool,
) -> Option<DenseInsert> {
    let mut reader = Reader::new(body);
    let mut ids = ElementReader::new(&mut reader, authors, author);
    let left = ids.element().ok()?;
    let right = ids.element().ok()?;
    let len = ids
        .count(19)
        .ok()
        .filter(|len| *len > 0 && *len <= crate::sequence::UNITS_MAX as usize)?;
    let dense = match is_text {
        true => dense_units(&mut ids, author, len, content),
        false => dense_values(&mut ids, author, len, content),
    };
    let (first, content) = dense?;
    Some(DenseInsert {
        first,
        len: len as u32,
        left,
        right,
        content,
    })
}

fn dense_units(
    ids: &mut ElementReader<'_, '_>,
    author: AuthorIdx,
    len: usize,
    content: &mut ContentPool,
) -> Option<(u32, Content)> {
    let (mut few, mut many) = ([0; UNITS_ON_STACK], Vec::new());
    let units = match few.get_mut(..len) {
        Some(few) => few,
        None => {
            many.resize(len, 0);
            many.as_mut_slice()
        }
    };
    let first = dense_items(ids, author, len, |nth, text| {
        units[nth] = single_unit(text)?;
        Some(())
    })?;
    Some((first, content.push_units(units)))
}

fn dense_values(
    ids: &mut ElementReader<'_, '_>,
    author: AuthorIdx,
    len: usize,
    content: &mut ContentPool,
) -> Option<(u32, Content)> {
    let start = content.values_end();
    let first = dense_items(ids, author, len, |_, value| {
        content.push_value(value);
        Some(())
    });
    if first.is_none() {
        content.truncate_values(start);
    }
    Some((first?, start))
}

/// Reads the items of a body to its end. Their ids have to be the author's and consecutive, and
/// everything so far in its shortest form. Gives the first counter.
fn dense_items<'a>(
    ids: &mut ElementReader<'a, '_>,
    author: AuthorIdx,
    len: usize,
    mut item: impl FnMut(usize, &'a [u8]) -> Option<()>,
) -> Option<u32> {
    let mut first = 0;
    for nth in 0..len {
        let id = ids.element().ok().filter(|id| id.author == author)?;
        if nth == 0 {
            first = id.counter;
        }
        if id.counter != first.checked_add(nth as u32)? {
            return None;
        }
        item(nth, ids.content().ok()?)?;
    }
    (ids.shortest && ids.reader.is_at_end()).then_some(first)
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
    /// Reads any body; the content of its items is added to `content`, in order.
    pub fn decode(
        kind: u8,
        body: &[u8],
        elements: Elements,
        author: AuthorIdx,
        authors: &mut Authors,
        content: &mut ContentPool,
    ) -> Result<Option<FugueBody>, DecodeError> {
        let mut reader = Reader::new(body);
        let mut ids = ElementReader::new(&mut reader, authors, author);
        // All content is read before any is kept: a body that is cut off leaves nothing behind.
        let mut read = Contents::new(elements);
        Ok(Some(match kind {
            0 => {
                let (left, right) = (ids.element()?, ids.element()?);
                let mut items = Vec::new();
                for _ in 0..ids.count(2)? {
                    items.push(read.item(ids.element()?, ids.content()?)?);
                }
                read.place(items.iter_mut(), content)?;
                FugueBody::Insert { left, right, items }
            }
            1 => FugueBody::Remove {
                spans: read_spans(&mut ids)?.as_slice().to_vec(),
            },
            2 => {
                let mut items = Vec::new();
                for _ in 0..ids.count(3)? {
                    let (old, new) = (ids.element()?, ids.element()?);
                    items.push((old, read.item(new, ids.content()?)?));
                }
                read.place(items.iter_mut().map(|(_, item)| item), content)?;
                FugueBody::Update { items }
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

/// The content of several items, while they are read.
struct Contents<'a> {
    elements: Elements,
    units: Vec<u16>,
    values: Vec<&'a [u8]>,
}

impl<'a> Contents<'a> {
    fn new(elements: Elements) -> Self {
        Contents {
            elements,
            units: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Takes the content of an item, which has no place yet.
    fn item(&mut self, id: ElementKey, bytes: &'a [u8]) -> Result<Item, DecodeError> {
        let units = match self.elements {
            Elements::Units => {
                let before = self.units.len();
                wtf8::decode_to_utf16(bytes, &mut self.units)?;
                (self.units.len() - before) as u32
            }
            Elements::Values(codec) => {
                codec.decode(bytes)?;
                self.values.push(bytes);
                1
            }
        };
        let content = Content::new(0, false);
        Ok(Item { id, content, units })
    }

    /// Stores the content in one stretch and gives each item its place.
    fn place<'i>(
        &self,
        items: impl Iterator<Item = &'i mut Item>,
        content: &mut ContentPool,
    ) -> Result<(), DecodeError> {
        let bytes = self
            .values
            .iter()
            .map(|value| value.len() + 1)
            .sum::<usize>();
        let units = self.units.len();
        if units > crate::sequence::UNITS_MAX as usize || !content.has_room(units + bytes) {
            return Err(DecodeError {
                offset: 0,
                expected: "the content of one operation is too long",
            });
        }
        let mut next = match self.elements {
            Elements::Units => content.push_units(&self.units),
            Elements::Values(_) => content.push_values(self.values.iter().copied()),
        };
        for item in items {
            item.content = next;
            next = next.plus(item.units);
        }
        Ok(())
    }
}

/// Appends a body of kind 2 (update).
pub(crate) fn write_update(items: &[(ElementKey, Item)], log: &Log, out: &mut Vec<u8>) {
    const USUAL_ITEM_BYTES: usize = 48;
    out.reserve(items.len() * USUAL_ITEM_BYTES);
    write_uvarint(out, items.len() as u64);
    for (old, new) in items {
        log.write_element(*old, out);
        log.write_element(new.id, out);
        log.write_content(new.content, new.units, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_compact_row_leaves_no_values_behind() {
        let mut authors = Authors::default();
        let peer = PeerId::from_bytes([7; 16]);
        let author = authors.intern(peer);
        let mut content = ContentPool::default();
        let start = content.values_end();
        let mut body = vec![0, 0, 2];
        for (counter, value) in [(3, b"1"), (4, b"2")] {
            ElementId::write(Some(ElementId { peer, counter }), &mut body);
            body.extend_from_slice(&[1, value[0]]);
        }
        let mut dense = |body: &[u8]| {
            let dense = dense_insert(body, false, author, &mut authors, &mut content);
            (
                dense.map(|dense| (dense.first, dense.len)),
                content.values_end(),
            )
        };
        assert_eq!(dense(&[&body[..], b"behind"].concat()), (None, start));
        assert_eq!(dense(&body[..body.len() - 1]), (None, start));
        assert_eq!(dense(&body), (Some((3, 2)), start.plus(2)));
    }
}
