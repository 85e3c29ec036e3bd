//! State of a Fugue text or list: its sequence, and the counter of the next own element.
//!
//! Folding is order independent as long as every origin is known (specification 9.1, 10.5) and
//! authors number their elements in the order of their clocks. An operation that names unknown
//! elements, or breaks that order, makes the state `order_sensitive`: from then on the document
//! replays it whenever a change from the past arrives, which gives the canonical value.

use super::fugue_body::{Elements, FugueBody, Item};
use crate::clock::{AuthorIdx, Authors};
use crate::codec::{DecodeError, ElementId, Reader, Value, Wtf8String, wtf8};
use crate::document::ValueCodec;
use crate::document::content::{ContentPool, Utf8Builder};
use crate::document::handler::{Recorder, Visible};
use crate::document::log::{Log, Span};
use crate::sequence::{Chain, Content, ElementKey, LazySequence, Removed};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct FugueState {
    pub elements: Elements,
    pub sequence: LazySequence,
    pub next_counter: u32,
    pub order_sensitive: bool,
    /// A snapshot was taken of it: a replay would start from that and know less.
    pub outlives_snapshot: bool,
}

/// Where a fold reports what became visible and what vanished.
pub(crate) struct FugueSink<'a> {
    pub recorder: &'a mut Recorder,
    pub content: &'a ContentPool,
    pub authors: &'a Authors,
    pub own: AuthorIdx,
}

impl FugueSink<'_> {
    #[inline]
    fn is_recording(&self) -> bool {
        matches!(self.recorder, Recorder::Text(_) | Recorder::List(_))
    }

    /// Content came to be seen before position `unit`.
    #[inline]
    pub fn appeared(&mut self, elements: Elements, unit: u32, content: Content, units: u32) {
        if self.is_recording() {
            self.record_appearance(elements, unit, content, units);
        }
    }

    /// Out of the way of the edits that nobody observes.
    #[inline(never)]
    fn record_appearance(&mut self, elements: Elements, unit: u32, content: Content, units: u32) {
        match (&mut *self.recorder, elements) {
            (Recorder::Text(delta), _) => {
                let mut text = Vec::with_capacity(units as usize);
                self.content.copy_utf16(content, units, &mut text);
                delta.insert(unit, &text);
            }
            (Recorder::List(delta), Elements::Values(codec)) => {
                delta.insert(
                    u64::from(unit),
                    &codec.all_stored(self.content, content, units),
                );
            }
            _ => (),
        }
    }

    /// Elements from position `unit` on are no longer seen.
    #[inline]
    pub fn vanished(&mut self, elements: Elements, unit: u32, removed: Removed) {
        if self.is_recording() {
            self.record_loss(elements, unit, removed);
        }
    }

    #[inline(never)]
    fn record_loss(&mut self, elements: Elements, unit: u32, removed: Removed) {
        match (&mut *self.recorder, elements) {
            (Recorder::Text(delta), _) => delta.remove(unit, removed.units),
            (Recorder::List(delta), Elements::Values(codec)) => {
                let old = codec.all_stored(self.content, removed.content, removed.units);
                delta.remove(u64::from(unit), old);
            }
            _ => (),
        }
    }

    /// One element went, if it was seen, and another one came.
    fn replaced(
        &mut self,
        elements: Elements,
        gone: Option<(u32, Removed)>,
        (unit, content, units): (u32, Content, u32),
    ) {
        if let (Recorder::List(delta), Elements::Values(codec), Some((at, removed))) =
            (&mut *self.recorder, elements, &gone)
        {
            if *at == unit && !codec.is_null(self.content.value(content)) {
                let old = codec.stored(self.content.value(removed.content));
                let new = codec.stored(self.content.value(content));
                return delta.update(u64::from(unit), old, new);
            }
        }
        if let Some((at, removed)) = gone {
            self.vanished(elements, at, removed);
        }
        self.appeared(elements, unit, content, units);
    }
}

impl FugueState {
    pub fn new(elements: Elements) -> Self {
        FugueState {
            elements,
            sequence: LazySequence::default(),
            next_counter: 0,
            order_sensitive: false,
            outlives_snapshot: false,
        }
    }

    /// Whether content of the log is what the elements hold: text, or values that can be read.
    pub fn accepts(&self, content: Content, len: u32, pool: &ContentPool) -> bool {
        match self.elements {
            Elements::Units => !content.is_value(),
            Elements::Values(codec) => {
                content.is_value()
                    && pool
                        .values(content, len)
                        .all(|value| codec.decode(value).is_ok())
            }
        }
    }

    /// Inserts a chain of one author's elements.
    pub fn insert(&mut self, chain: Chain, sink: &mut FugueSink<'_>) {
        if chain.id.author == sink.own {
            self.next_counter = self
                .next_counter
                .max(chain.id.counter.saturating_add(chain.len));
        }
        // Elements of an author that do not rise: what names them cannot be placed by its clock.
        self.order_sensitive |= !self.sequence.is_behind_all(chain.id);
        let Ok(done) = self
            .sequence
            .integrate(chain, sink.is_recording(), sink.authors)
        else {
            self.order_sensitive = true;
            return;
        };
        self.order_sensitive |= done.depends_on_order || done.len < chain.len;
        if let Some(unit) = done.unit {
            let units = if done.len < chain.len {
                done.len
            } else {
                chain.units
            };
            sink.appeared(self.elements, unit, chain.content, units);
        }
        self.hide_nulls(chain.id, done.len, chain.content, sink);
    }

    /// Elements of lists whose value is null are dead from birth (specification 9.11).
    #[inline]
    pub fn hide_nulls(
        &mut self,
        id: ElementKey,
        len: u32,
        content: Content,
        sink: &mut FugueSink<'_>,
    ) {
        if let Elements::Values(codec) = self.elements {
            self.hide_null_values(codec, id, len, content, sink);
        }
    }

    fn hide_null_values(
        &mut self,
        codec: ValueCodec,
        id: ElementKey,
        len: u32,
        content: Content,
        sink: &mut FugueSink<'_>,
    ) {
        for nth in 0..len {
            if codec.is_null(sink.content.value(content.plus(nth))) {
                let id = id.plus(nth);
                self.remove(&[Span { id, len: 1 }], sink);
            }
        }
    }

    /// Removes elements by id.
    pub fn remove(&mut self, spans: &[Span], sink: &mut FugueSink<'_>) {
        let (elements, is_recording) = (self.elements, sink.is_recording());
        for span in spans {
            let report = |unit: u32, removed: Removed| sink.vanished(elements, unit, removed);
            let report = is_recording.then_some(report);
            let known = self.sequence.remove_by_id(span.id, span.len, report);
            self.order_sensitive |= !known;
        }
    }

    /// Folds a body that has no compact form.
    pub fn apply(&mut self, body: &FugueBody, sink: &mut FugueSink<'_>) {
        match body {
            FugueBody::Insert { left, right, items } => {
                self.insert_items(*left, *right, items, sink)
            }
            FugueBody::Remove { spans } => self.remove(spans, sink),
            FugueBody::Update { items } => items
                .iter()
                .for_each(|(old, item)| self.replace(*old, item, sink)),
        }
    }

    fn insert_items(
        &mut self,
        left: ElementKey,
        right: ElementKey,
        items: &[Item],
        sink: &mut FugueSink<'_>,
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

    fn replace(&mut self, old: ElementKey, item: &Item, sink: &mut FugueSink<'_>) {
        let Item { id, content, units } = *item;
        let mut gone = None;
        let report = |unit: u32, removed: Removed| gone = Some((unit, removed));
        let report = sink.is_recording().then_some(report);
        if id.is_null() || !self.sequence.remove_by_id(old, 1, report) {
            self.order_sensitive = true;
            return;
        }
        let is_behind_all = self.sequence.is_behind_all(id);
        if !is_behind_all && self.sequence.contains(id) {
            // As the reference's tree: the old element goes even if the new id is taken.
            if let Some((unit, removed)) = gone {
                sink.vanished(self.elements, unit, removed);
            }
            self.order_sensitive = true;
            return;
        }
        if id.author == sink.own {
            self.next_counter = self.next_counter.max(id.counter.saturating_add(1));
        }
        self.order_sensitive |= !is_behind_all;
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
            .integrate_below(old, chain, sink.is_recording(), sink.authors);
        if let Ok(Some(unit)) = done.map(|done| done.unit) {
            sink.replaced(self.elements, gone, (unit, content, units));
        }
        self.hide_nulls(id, 1, content, sink);
    }

    /// Starts from a snapshot's blob, whose content is at `place`: live elements in a chain
    /// (specification 9.9, 10.5).
    pub fn seed(
        &mut self,
        blob: &FugueBlob<'_>,
        mut place: Content,
        own: AuthorIdx,
        log: &mut Log,
    ) {
        let Log {
            authors, content, ..
        } = log;
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
                let sink = &mut FugueSink {
                    recorder: &mut Recorder::Off,
                    content,
                    authors,
                    own,
                };
                self.hide_nulls(chain.id, done.len, chain.content, sink);
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

    /// The values of a list from index `start` on.
    pub fn values<'a>(
        &'a self,
        content: &'a ContentPool,
        start: u32,
    ) -> impl Iterator<Item = Value> + 'a {
        let codec = match self.elements {
            Elements::Values(codec) => Some(codec),
            Elements::Units => None,
        };
        codec.into_iter().flat_map(move |codec| {
            let stretches = self.sequence.visible_from(start);
            let bytes = stretches.flat_map(|(place, count)| content.values(place, count));
            bytes.map(move |value| codec.stored(value))
        })
    }

    /// Appends the content of one element as snapshots hold it: values as Dart writes them.
    pub fn write_content(
        &self,
        pool: &ContentPool,
        content: Content,
        units: u32,
        out: &mut Vec<u8>,
    ) {
        match self.elements {
            Elements::Units => {
                let mut text = Vec::with_capacity(units as usize);
                pool.copy_utf16(content, units, &mut text);
                wtf8::encode_utf16(&text, out);
            }
            Elements::Values(codec) => {
                let canonical = codec.canonical(pool.value(content));
                out.extend_from_slice(&canonical.expect("checked when it was stored"));
            }
        }
    }

    /// What can be seen.
    pub fn visible(&self, content: &ContentPool) -> Visible {
        match self.elements {
            Elements::Units => {
                let mut units = Vec::new();
                self.copy_utf16(content, 0, self.sequence.len_units(), &mut units);
                Visible::Text(units)
            }
            Elements::Values(_) => Visible::Elements(self.values(content, 0).collect()),
        }
    }

    /// The value as a JSON-like tree.
    pub fn value(&self, content: &ContentPool) -> Value {
        match self.visible(content) {
            Visible::Text(units) => Value::String(Wtf8String::from_utf16(&units)),
            Visible::Elements(values) => Value::Array(values),
            Visible::Entries(_) => unreachable!("a sequence has none"),
        }
    }

    /// A recorder for its kind of delta.
    pub fn recorder(&self) -> Recorder {
        match self.elements {
            Elements::Units => Recorder::Text(Default::default()),
            Elements::Values(_) => Recorder::List(Default::default()),
        }
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
pub(crate) struct FugueBlob<'a> {
    /// Live elements, with how many units each has.
    pub nodes: Vec<(ElementId, u32)>,
    /// Their text, joined.
    units: Vec<u16>,
    /// Their values.
    values: Vec<&'a [u8]>,
    /// The largest counter each peer ever used.
    pub floor: Vec<(crate::clock::PeerId, u64)>,
}

impl<'a> FugueBlob<'a> {
    /// Reads `uv(n) ‖ n × (lp(eid) lp(content)) ‖ floor table`. An empty blob is an empty sequence;
    /// a missing table is an empty one.
    pub fn decode(blob: &'a [u8], elements: Elements) -> Result<Self, DecodeError> {
        let mut result = FugueBlob::default();
        if blob.is_empty() {
            return Ok(result);
        }
        let mut reader = Reader::new(blob);
        for _ in 0..reader.count(3)? {
            let id = ElementId::decode(reader.prefixed()?)?;
            // The null id and counters out of range name no element that could be edited.
            let id = id.filter(|id| id.counter <= super::fugue_body::COUNTER_MAX);
            let content = reader.prefixed()?;
            match elements {
                Elements::Units => result.add_text(id, content)?,
                Elements::Values(codec) => {
                    codec.decode(content)?;
                    result.values.extend(id.map(|_| content));
                    result.nodes.extend(id.map(|id| (id, 1)));
                }
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

    fn add_text(&mut self, id: Option<ElementId>, text: &[u8]) -> Result<(), DecodeError> {
        let before = self.units.len();
        wtf8::decode_to_utf16(text, &mut self.units)?;
        match id {
            Some(id) => self.nodes.push((id, (self.units.len() - before) as u32)),
            None => self.units.truncate(before),
        }
        Ok(())
    }

    /// How many units or values.
    pub fn content_len(&self) -> usize {
        self.units.len() + self.values.len()
    }

    /// Whether this is the content at a place.
    pub fn is_at(&self, place: Content, content: &ContentPool) -> bool {
        match place.is_value() {
            true => content
                .values(place, self.values.len() as u32)
                .eq(self.values.iter().copied()),
            false => content.holds(place, &self.units),
        }
    }

    /// Adds the content to a pool.
    pub fn store(&self, elements: Elements, content: &mut ContentPool) -> Content {
        match elements {
            Elements::Units => content.push_units(&self.units),
            Elements::Values(_) => content.push_values(self.values.iter().copied()),
        }
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

impl ValueCodec {
    /// The values at a place of the pool, which were checked when they were stored.
    fn all_stored(self, pool: &ContentPool, content: Content, count: u32) -> Vec<Value> {
        pool.values(content, count)
            .map(|value| self.stored(value))
            .collect()
    }

    /// Whether these bytes, which can be read, are a null.
    fn is_null(self, bytes: &[u8]) -> bool {
        const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        self == ValueCodec::Json && text.trim_ascii() == b"null"
    }
}
