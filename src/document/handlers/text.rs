//! State of a Fugue text: its sequence, and the counter of the next own element.
//!
//! Folding is order independent as long as every origin is known (specification 9.1, 10.5) and
//! authors number their elements in the order of their clocks. An operation that names unknown
//! elements, or breaks that order, makes the state `order_sensitive`: from then on the document
//! replays it whenever a change from the past arrives, which gives the canonical value.

use super::text_body::{Item, TextBody};
use crate::clock::{AuthorIdx, Authors};
use crate::codec::{DecodeError, ElementId, Reader, wtf8};
use crate::document::content::{ContentPool, Utf8Builder};
use crate::document::delta::TextDelta;
use crate::document::log::Span;
use crate::sequence::{Chain, Content, ElementKey, LazySequence, Removed};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextState {
    pub sequence: LazySequence,
    pub next_counter: u32,
    pub order_sensitive: bool,
    /// A snapshot was taken of it: a replay would start from that and know less.
    pub outlives_snapshot: bool,
}

/// Where a fold reports what became visible and what vanished.
pub(crate) struct TextSink<'a> {
    pub delta: Option<&'a mut TextDelta>,
    pub content: &'a ContentPool,
    pub authors: &'a Authors,
    pub own: AuthorIdx,
}

impl TextState {
    /// Inserts a chain of one author's elements.
    pub fn insert(&mut self, chain: Chain, sink: &mut TextSink<'_>) {
        if chain.id.author == sink.own {
            self.next_counter = self
                .next_counter
                .max(chain.id.counter.saturating_add(chain.len));
        }
        // Elements of an author that do not rise: what names them cannot be placed by its clock.
        self.order_sensitive |= !self.sequence.is_behind_all(chain.id);
        let Ok(done) = self
            .sequence
            .integrate(chain, sink.delta.is_some(), sink.authors)
        else {
            self.order_sensitive = true;
            return;
        };
        self.order_sensitive |= done.depends_on_order || done.len < chain.len;
        if let (Some(delta), Some(unit)) = (sink.delta.as_deref_mut(), done.unit) {
            let units = if done.len < chain.len {
                done.len
            } else {
                chain.units
            };
            let mut text = Vec::new();
            sink.content.copy_utf16(chain.content, units, &mut text);
            delta.insert(unit, &text);
        }
    }

    /// Removes elements by id.
    pub fn remove(&mut self, spans: &[Span], sink: &mut TextSink<'_>) {
        for span in spans {
            let delta = sink.delta.as_deref_mut();
            let report =
                delta.map(|delta| |unit, removed: Removed| delta.remove(unit, removed.units));
            let known = self.sequence.remove_by_id(span.id, span.len, report);
            self.order_sensitive |= !known;
        }
    }

    /// Folds a body that has no compact form.
    pub fn apply(&mut self, body: &TextBody, sink: &mut TextSink<'_>) {
        match body {
            TextBody::Insert { left, right, items } => {
                self.insert_items(*left, *right, items, sink)
            }
            TextBody::Remove { spans } => self.remove(spans, sink),
            TextBody::Update { items } => items
                .iter()
                .for_each(|(old, item)| self.replace(*old, item, sink)),
        }
    }

    fn insert_items(
        &mut self,
        left: ElementKey,
        right: ElementKey,
        items: &[Item],
        sink: &mut TextSink<'_>,
    ) {
        let mut left = left;
        for item in items {
            if item.id.is_null() || self.sequence.contains(item.id) {
                // The rest of a chain behind a taken id has no place (specification 9.1: skip).
                self.order_sensitive = true;
                return;
            }
            let Item { id, content, units } = *item;
            self.insert(
                Chain {
                    id,
                    len: 1,
                    units,
                    content,
                    left,
                    right,
                },
                sink,
            );
            left = id;
        }
    }

    fn replace(&mut self, old: ElementKey, item: &Item, sink: &mut TextSink<'_>) {
        let Item { id, content, units } = *item;
        if !self.sequence.contains(old) || id.is_null() {
            self.order_sensitive = true;
            return;
        }
        // As the reference's tree: the old element goes even if the new id is taken.
        self.remove(&[Span { id: old, len: 1 }], sink);
        if self.sequence.contains(id) {
            self.order_sensitive = true;
            return;
        }
        if id.author == sink.own {
            self.next_counter = self.next_counter.max(id.counter.saturating_add(1));
        }
        self.order_sensitive |= !self.sequence.is_behind_all(id);
        let chain = Chain {
            id,
            len: 1,
            units,
            content,
            left: ElementKey::NULL,
            right: old,
        };
        let done = self
            .sequence
            .integrate_below(old, chain, sink.delta.is_some(), sink.authors);
        if let (Some(delta), Ok(Some(unit))) =
            (sink.delta.as_deref_mut(), done.map(|done| done.unit))
        {
            let mut text = Vec::new();
            sink.content.copy_utf16(content, units, &mut text);
            delta.insert(unit, &text);
        }
    }

    /// Starts from a snapshot's blob, whose text is at `place`: live elements in a chain
    /// (specification 9.9, 10.5).
    pub fn seed(
        &mut self,
        blob: &TextBlob,
        mut place: Content,
        own: AuthorIdx,
        authors: &mut Authors,
    ) {
        let mut left = ElementKey::NULL;
        for nodes in blob.stretches() {
            let (first, units) = nodes[0];
            let chain = Chain {
                id: ElementKey {
                    author: authors.intern(first.peer),
                    counter: first.counter as u32,
                },
                len: nodes.len() as u32,
                units: if nodes.len() == 1 {
                    units
                } else {
                    nodes.len() as u32
                },
                content: place,
                left,
                right: ElementKey::NULL,
            };
            place = place.plus(chain.units);
            if let Ok(done) = self.sequence.integrate(chain, false, authors) {
                left = chain.id.plus(done.len - 1);
            }
        }
        let own = authors.peer(own);
        let counters = blob
            .nodes
            .iter()
            .map(|(id, _)| (id.peer, id.counter))
            .chain(blob.floor.iter().copied());
        let largest = counters
            .filter(|(peer, _)| *peer == own)
            .map(|(_, counter)| counter)
            .max();
        if let Some(largest) = largest {
            self.next_counter = self
                .next_counter
                .max(largest.saturating_add(1).min(u64::from(u32::MAX)) as u32);
        }
    }

    /// The text; lone surrogates become U+FFFD.
    pub fn to_utf8(&self, content: &ContentPool) -> String {
        let mut builder = Utf8Builder::with_capacity(self.sequence.len_units() as usize);
        for (place, units) in self.sequence.visible() {
            builder.push(content.slice(place, units));
        }
        builder.finish()
    }

    /// Appends units from `start` on.
    pub fn copy_utf16(&self, content: &ContentPool, start: u32, count: u32, out: &mut Vec<u16>) {
        let mut left = count;
        for (place, units) in self.sequence.visible_from(start) {
            if left == 0 {
                return;
            }
            let take = units.min(left);
            content.copy_utf16(place, take, out);
            left -= take;
        }
    }
}

/// A Fugue snapshot blob, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextBlob {
    /// Live elements, with how many units each has.
    pub nodes: Vec<(ElementId, u32)>,
    /// Their text, joined.
    pub units: Vec<u16>,
    /// The largest counter each peer ever used.
    pub floor: Vec<(crate::clock::PeerId, u64)>,
}

impl TextBlob {
    /// Reads `uv(n) ‖ n × (lp(eid) lp(text)) ‖ floor table`. An empty blob is an empty text; a
    /// missing table is an empty one.
    pub fn decode(blob: &[u8]) -> Result<Self, DecodeError> {
        let mut result = TextBlob::default();
        if blob.is_empty() {
            return Ok(result);
        }
        let mut reader = Reader::new(blob);
        for _ in 0..reader.count(3)? {
            let id = ElementId::decode(reader.prefixed()?)?;
            let before = result.units.len();
            wtf8::decode_to_utf16(reader.prefixed()?, &mut result.units)?;
            // The null id and counters out of range name no element that could be edited.
            match id.filter(|id| id.counter <= super::text_body::COUNTER_MAX) {
                Some(id) => result
                    .nodes
                    .push((id, (result.units.len() - before) as u32)),
                None => result.units.truncate(before),
            }
        }
        if result.units.len() > crate::sequence::UNITS_MAX as usize {
            return Err(reader.error("the text of a snapshot is too long"));
        }
        if reader.is_at_end() {
            return Ok(result);
        }
        for _ in 0..reader.count(17)? {
            let peer = crate::clock::PeerId::from_bytes(reader.array("a peer id")?);
            result.floor.push((peer, reader.uvarint()?));
        }
        reader.finish()?;
        Ok(result)
    }

    /// The elements in stretches of one peer's consecutive ids with one unit each.
    fn stretches(&self) -> impl Iterator<Item = &[(ElementId, u32)]> {
        self.nodes.chunk_by(|(id, units), (next, next_units)| {
            id.peer == next.peer
                && id.counter + 1 == next.counter
                && *units == 1
                && *next_units == 1
        })
    }
}
