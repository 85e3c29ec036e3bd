//! State of a movable list: slots, and elements that each sit in one of them (specification 9.12).
//!
//! A slot is an element of a Fugue sequence and holds nothing but the number of a list element.
//! Moving makes a new slot; the one left behind shows nothing from then on. So an index of the
//! list is a unit of the sequence, found in O(log n), however many slots were left behind.
//!
//! Value and place of an element are registers: the larger clock wins, of equal ones the first in
//! replay order. As that can be told of any two writes, they are folded in any order of arrival.
//! What only a replay can decide - operations on what is not there yet, ids that are taken - makes
//! the state `order_sensitive`; only forged operations do.
//!
//! Operations of the open transaction are folded like any other, as writes that come behind all;
//! at commit they learn their clocks.

use super::movable_list_body::{
    MovableBlob, MovableBody, NewElement, SeededElement, ValueBytes, id_of,
};
use super::movable_list_ids::MadeIds;
use super::movable_list_rivals::{Rivals, Writer};
use super::state::ByteState;
use crate::clock::{AuthorIdx, Authors, Hlc, OperationId, OrderKey, PeerId};
use crate::codec::bytes::write_uvarint;
use crate::codec::{DecodeError, ElementId, Value};
use crate::document::ValueCodec;
use crate::document::handler::{Recorder, Visible};
use crate::document::list_delta::ListDelta;
use crate::sequence::{Chain, Content, ElementKey, Removed, Sequence};
use std::collections::HashMap;

/// The write that won so far.
#[derive(Clone, Debug)]
pub(crate) struct Register<T> {
    pub content: T,
    pub clock: Hlc,
    pub writer: Writer,
}

#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub identity: ElementKey,
    pub value: Register<ValueBytes>,
    /// Its slot.
    pub position: Register<ElementKey>,
    /// For good. Then it has no value any more, and its slot shows nothing.
    pub deleted: bool,
}

/// What an operation of the open transaction is to be told of its change.
#[derive(Clone, Debug)]
enum Pending {
    Insert {
        first: ElementKey,
    },
    Delete,
    Update {
        clock: Hlc,
        identities: Vec<ElementKey>,
    },
    Move {
        identity: ElementKey,
        position: ElementKey,
    },
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct MovableListState {
    pub(crate) codec: ValueCodec,
    pub(crate) authors: Authors,
    /// The slots. Invariant: the current slots of elements that are not deleted are live and have
    /// one unit, whose content is the element's number; all others are deleted or have no units.
    pub(crate) slots: Sequence,
    pub(crate) elements: Vec<Element>,
    pub(crate) numbers: HashMap<ElementKey, u32>,
    pub(crate) made: MadeIds,
    pub(crate) rivals: Rivals,
    /// Largest place in replay order.
    pub(crate) newest: Option<OrderKey>,
    /// Operations of the open transaction.
    pending: Vec<Pending>,
    pub(crate) order_sensitive: bool,
    /// A snapshot was taken of it: a replay would start from that and know less.
    pub outlives_snapshot: bool,
}

impl MovableListState {
    pub(crate) fn new(codec: ValueCodec) -> Self {
        MovableListState {
            codec,
            authors: Authors::default(),
            slots: Sequence::default(),
            elements: Vec::new(),
            numbers: HashMap::new(),
            made: MadeIds::default(),
            rivals: Rivals::default(),
            newest: None,
            pending: Vec::new(),
            order_sensitive: false,
            outlives_snapshot: false,
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> u32 {
        self.slots.len_units()
    }

    /// The elements from an index on. O(log n), and O(1) each.
    pub(crate) fn shown_from(&self, index: u32) -> impl Iterator<Item = &Element> {
        let numbers = self.slots.visible_from(index).flat_map(|(content, units)| {
            let first = content.offset() as usize;
            first..first + units as usize
        });
        numbers.map(|number| &self.elements[number])
    }

    /// The element at an index. O(log n).
    pub(super) fn at(&self, index: u32) -> Option<&Element> {
        self.shown_from(index).next()
    }

    /// The element with this identity.
    pub(super) fn element(&self, identity: ElementKey) -> Option<&Element> {
        self.elements.get(*self.numbers.get(&identity)? as usize)
    }

    /// Updates of an element that lost.
    pub(super) fn rivals(&self, identity: ElementKey) -> &[(AuthorIdx, Hlc)] {
        let number = self.numbers.get(&identity);
        number.map_or(&[], |number| self.rivals.of(*number))
    }

    /// The value at an index. O(log n).
    pub(crate) fn get(&self, index: u32) -> Option<Value> {
        Some(self.codec.stored(&self.at(index)?.value.content))
    }

    /// All values, in order.
    pub(crate) fn values(&self) -> Vec<Value> {
        let values = self
            .shown_from(0)
            .map(|element| self.codec.stored(&element.value.content));
        values.collect()
    }

    /// The largest counter that each peer used.
    pub(crate) fn largest_counters(&self) -> Vec<(PeerId, u64)> {
        let authors = (0..self.authors.len() as u32).map(AuthorIdx);
        let largest = |author| self.made.next_counter(author).checked_sub(1);
        authors
            .filter_map(|author| Some((self.authors.peer(author), largest(author)?)))
            .collect()
    }

    pub(super) fn id(&self, key: ElementKey) -> Option<ElementId> {
        id_of(key, &self.authors)
    }

    /// Whether `writer` comes before `other` in replay order.
    pub(crate) fn is_before(&self, writer: Writer, other: Writer) -> bool {
        let order = |author: AuthorIdx, clock| OperationId::new(self.authors.peer(author), clock);
        match (writer, other) {
            (
                Writer::Change { author, clock },
                Writer::Change {
                    author: a,
                    clock: c,
                },
            ) => order(author, clock) < order(a, c),
            (Writer::Origin, _) => other != Writer::Origin,
            (Writer::Change { .. }, _) => other == Writer::Pending,
            (Writer::Pending, _) => false,
        }
    }

    pub(crate) fn wins<T>(&self, clock: Hlc, writer: Writer, register: &Register<T>) -> bool {
        clock > register.clock || clock == register.clock && self.is_before(writer, register.writer)
    }

    /// Reads a body. Ids of bodies that the engine does not handle count as used nevertheless.
    fn read(
        &mut self,
        kind: u8,
        body: &[u8],
        author: AuthorIdx,
    ) -> Result<Option<MovableBody>, DecodeError> {
        let read = MovableBody::decode(kind, body, self.codec, author, &mut self.authors);
        if read.is_err() {
            let (authors, made) = (&mut self.authors, &mut self.made);
            let _ = MovableBody::for_each_produced(kind, body, |id| {
                made.raise(authors.intern(id.peer), id.counter);
            });
        }
        read
    }

    /// Ids that are taken do not rise, either.
    fn note_made(&mut self, body: &MovableBody, author: AuthorIdx, clock: Hlc) {
        let rises = self.made.note(author, clock, body.made());
        self.order_sensitive |= !rises;
    }

    /// Folds the operation of a change, which names nothing that comes behind it.
    pub(crate) fn fold_change(
        &mut self,
        body: MovableBody,
        author: AuthorIdx,
        clock: Hlc,
        delta: Option<&mut ListDelta>,
    ) {
        let order = OrderKey::new(self.authors.peer(author), clock);
        self.newest = self.newest.max(Some(order));
        self.note_made(&body, author, clock);
        self.fold(body, Writer::Change { author, clock }, delta);
    }

    /// Folds a local operation of the open transaction.
    pub(crate) fn fold_pending(&mut self, body: MovableBody, delta: Option<&mut ListDelta>) {
        self.pending.push(Pending::of(&body));
        // Local operations make ids of one peer only, this one.
        if let Some(first) = body.made().next() {
            self.note_made(&body, first.author, Hlc::MAX);
        }
        self.fold(body, Writer::Pending, delta);
    }

    fn fold(&mut self, body: MovableBody, writer: Writer, mut delta: Option<&mut ListDelta>) {
        match body {
            MovableBody::Insert { left, right, items } => self.insert(left, right, items, delta),
            MovableBody::Delete { identities } => identities
                .into_iter()
                .for_each(|identity| self.remove(identity, &mut delta)),
            MovableBody::Update { clock, items } => {
                for (identity, value) in items {
                    self.set_value(identity, value, clock, writer, &mut delta);
                }
            }
            MovableBody::Move {
                identity,
                position,
                left,
                right,
                clock,
            } => {
                if position.is_null() || self.slots.contains(position) {
                    // No operation at all. Ids that are taken were noticed before.
                    return;
                }
                let from = self.leave_slot(identity, clock, writer, delta.is_some());
                let number = from.map(|(number, _)| number);
                let to = self.make_slot(position, [left, right], number, delta.is_some());
                if let Some((number, from)) = from {
                    self.elements[number as usize].position = Register {
                        content: position,
                        clock,
                        writer,
                    };
                    if let (Some(delta), Some(from), Some(to)) = (delta, from, to) {
                        delta.move_(u64::from(from), u64::from(to));
                    }
                }
            }
        }
    }

    fn insert(
        &mut self,
        left: ElementKey,
        right: ElementKey,
        items: Vec<NewElement>,
        delta: Option<&mut ListDelta>,
    ) {
        let mut left = left;
        let mut new: Vec<Value> = Vec::new();
        let mut index = None;
        for item in items {
            let NewElement {
                identity,
                position,
                value,
            } = item;
            if position.is_null() || self.slots.contains(position) {
                // The rest of a chain behind a taken id has no place.
                break;
            }
            let is_new = !self.numbers.contains_key(&identity);
            // The log holds fewer elements than 2^31: each has dozens of bytes there.
            let number = is_new.then_some(self.elements.len() as u32);
            let unit = self.make_slot(position, [left, right], number, delta.is_some());
            if let Some(number) = number {
                if unit.is_some() {
                    // A chain is together: nothing is between an element and its only child.
                    index = index.or(unit);
                    new.push(self.codec.stored(&value));
                }
                self.add_element(number, identity, position, value);
            }
            left = position;
        }
        if let (Some(delta), Some(index)) = (delta, index) {
            delta.insert(u64::from(index), &new);
        }
    }

    fn add_element(
        &mut self,
        number: u32,
        identity: ElementKey,
        position: ElementKey,
        value: ValueBytes,
    ) {
        self.numbers.insert(identity, number);
        self.elements.push(Element {
            identity,
            value: Register {
                content: value,
                clock: Hlc::ZERO,
                writer: Writer::Origin,
            },
            position: Register {
                content: position,
                clock: Hlc::ZERO,
                writer: Writer::Origin,
            },
            deleted: false,
        });
    }

    /// Makes a slot, whose id is new; it shows an element or nothing. Returns where, if wanted.
    fn make_slot(
        &mut self,
        id: ElementKey,
        [left, right]: [ElementKey; 2],
        element: Option<u32>,
        want_unit: bool,
    ) -> Option<u32> {
        let chain = Chain {
            id,
            len: 1,
            units: u32::from(element.is_some()),
            content: Content::new(element.unwrap_or(0), false),
            left,
            right,
        };
        let done = self
            .slots
            .integrate(chain, want_unit, &self.authors)
            .expect("the caller looked for the id");
        self.order_sensitive |= done.depends_on_order;
        done.unit
    }

    /// Empties a slot that shows something. Returns where it was, if wanted.
    pub(crate) fn empty_slot(&mut self, id: ElementKey, want_unit: bool) -> Option<u32> {
        let mut index = None;
        let report = want_unit.then_some(|unit, _: Removed| index = Some(unit));
        self.slots.remove_by_id(id, 1, report);
        index
    }

    /// If a move of an element wins, its slot is emptied: number of the element, and where it was.
    fn leave_slot(
        &mut self,
        identity: ElementKey,
        clock: Hlc,
        writer: Writer,
        want_unit: bool,
    ) -> Option<(u32, Option<u32>)> {
        let Some(number) = self.numbers.get(&identity).copied() else {
            self.order_sensitive = true;
            return None;
        };
        let element = &self.elements[number as usize];
        if element.deleted || !self.wins(clock, writer, &element.position) {
            return None;
        }
        let from = self.empty_slot(element.position.content, want_unit);
        Some((number, from))
    }

    fn set_value(
        &mut self,
        identity: ElementKey,
        value: ValueBytes,
        clock: Hlc,
        writer: Writer,
        delta: &mut Option<&mut ListDelta>,
    ) {
        let Some(number) = self.numbers.get(&identity).copied() else {
            self.order_sensitive = true;
            return;
        };
        let element = &self.elements[number as usize];
        if element.deleted {
            return;
        }
        let before = element.value.writer;
        let wins = self.wins(clock, writer, &element.value);
        match wins {
            true => self.rivals.note(number, writer, before, writer),
            false => self.rivals.note(number, writer, writer, before),
        }
        if !wins {
            return;
        }
        let element = &self.elements[number as usize];
        if let Some(delta) = delta {
            let through = self.slots.units_through(element.position.content);
            if let Some(index) = through.and_then(|through| through.checked_sub(1)) {
                let old = self.codec.stored(&element.value.content);
                delta.update(u64::from(index), old, self.codec.stored(&value));
            }
        }
        self.elements[number as usize].value = Register {
            content: value,
            clock,
            writer,
        };
    }

    fn remove(&mut self, identity: ElementKey, delta: &mut Option<&mut ListDelta>) {
        let Some(number) = self.numbers.get(&identity).copied() else {
            self.order_sensitive = true;
            return;
        };
        let element = &mut self.elements[number as usize];
        if element.deleted {
            return;
        }
        element.deleted = true;
        let value = std::mem::take(&mut element.value.content);
        let position = element.position.content;
        self.rivals.remove(number);
        let index = self.empty_slot(position, delta.is_some());
        if let (Some(delta), Some(index)) = (delta, index) {
            delta.remove(u64::from(index), vec![self.codec.stored(&value)]);
        }
    }

    fn settle_value(&mut self, identity: ElementKey, written: Hlc, change: Writer) {
        let Some(number) = self.numbers.get(&identity).copied() else {
            return;
        };
        let element = &mut self.elements[number as usize];
        match element.value.writer {
            Writer::Pending if element.value.clock == written => element.value.writer = change,
            // The transaction wrote it again.
            Writer::Pending => (),
            _ if element.deleted => (),
            // What came during the transaction won, and was not known when this was written.
            winner => self.rivals.note(number, change, change, winner),
        }
    }

    /// A pending operation became a change.
    fn settle(&mut self, pending: Pending, author: AuthorIdx, clock: Hlc) {
        let change = Writer::Change { author, clock };
        match pending {
            Pending::Insert { first } => self.made.set_clock(first, clock),
            Pending::Delete => (),
            Pending::Update {
                clock: written,
                identities,
            } => {
                for identity in identities {
                    self.settle_value(identity, written, change);
                }
            }
            Pending::Move { identity, position } => {
                self.made.set_clock(position, clock);
                if let Some(number) = self.numbers.get(&identity) {
                    let place = &mut self.elements[*number as usize].position;
                    if place.content == position {
                        place.writer = change;
                    }
                }
            }
        }
    }
}

impl Pending {
    fn of(body: &MovableBody) -> Self {
        match body {
            MovableBody::Insert { items, .. } => Pending::Insert {
                first: items.first().map_or(ElementKey::NULL, |item| item.identity),
            },
            MovableBody::Delete { .. } => Pending::Delete,
            MovableBody::Update { clock, items } => Pending::Update {
                clock: *clock,
                identities: items.iter().map(|(identity, _)| *identity).collect(),
            },
            MovableBody::Move {
                identity, position, ..
            } => Pending::Move {
                identity: *identity,
                position: *position,
            },
        }
    }
}

impl ByteState for MovableListState {
    fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        let blob = MovableBlob::decode(blob, self.codec)?;
        *self = MovableListState::new(self.codec);
        let mut left = ElementKey::NULL;
        for element in blob.elements {
            for id in [element.identity, element.position].into_iter().flatten() {
                let author = self.authors.intern(id.peer);
                self.made.raise(author, id.counter);
            }
            if !element.is_in_range() {
                continue;
            }
            let mut key = |id: Option<ElementId>| {
                id.map_or(ElementKey::NULL, |id| ElementKey {
                    author: self.authors.intern(id.peer),
                    counter: id.counter as u32,
                })
            };
            let (identity, position) = (key(element.identity), key(element.position));
            if self.slots.contains(position) || self.numbers.contains_key(&identity) {
                continue;
            }
            let number = self.elements.len() as u32;
            let shown = (!element.deleted).then_some(number);
            self.make_slot(position, [left, ElementKey::NULL], shown, false);
            self.add_element(number, identity, position, element.value);
            let new = &mut self.elements[number as usize];
            new.deleted = element.deleted;
            new.value.clock = element.value_clock;
            new.position.clock = element.position_clock;
            left = position;
        }
        for (peer, counter) in blob.floor {
            let author = self.authors.intern(peer);
            self.made.raise(author, counter);
        }
        Ok(())
    }

    fn apply(
        &mut self,
        order: OrderKey,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        let author = self.authors.intern(order.peer);
        let Some(body) = self.read(kind, body, author)? else {
            return Ok(());
        };
        if !self.pending.is_empty() || self.newest.is_some_and(|newest| newest > order) {
            let (made, authors) = (&self.made, &self.authors);
            let mut sensitive = false;
            body.for_each_named(|id| sensitive |= made.is_behind(id, order, authors));
            self.order_sensitive |= sensitive;
        }
        self.fold_change(body, author, order.hlc, recorder.list());
        Ok(())
    }

    fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        recorder: &mut Recorder,
    ) -> Result<(), DecodeError> {
        // Only a hint.
        let likely = self.authors.intern(PeerId::from_bytes([0; 16]));
        if let Some(body) = self.read(kind, body, likely)? {
            self.fold_pending(body, recorder.list());
        }
        Ok(())
    }

    fn discard_pending(&mut self, _recorder: &mut Recorder) {
        unreachable!("a slot cannot be taken out again: see `can_discard`");
    }

    fn can_discard(&self) -> bool {
        false
    }

    fn can_promote(&self, count: usize) -> bool {
        debug_assert_eq!(count, self.pending.len());
        true
    }

    fn promote_pending(&mut self, places: &[OrderKey]) {
        let pending = std::mem::take(&mut self.pending);
        for (write, order) in pending.into_iter().zip(places) {
            let author = self.authors.intern(order.peer);
            self.newest = self.newest.max(Some(*order));
            self.settle(write, author, order.hlc);
        }
    }

    fn forget(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        let authors = &self.authors;
        let is_covered = |author, clock| covers(OrderKey::new(authors.peer(author), clock));
        self.made.forget(is_covered);
        self.rivals.forget(is_covered);
    }

    fn history_pruned(&mut self, covers: &dyn Fn(OrderKey) -> bool) {
        self.outlives_snapshot = true;
        self.forget(covers);
    }

    fn is_order_sensitive(&self) -> bool {
        self.order_sensitive
    }

    fn snapshot_state(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        write_uvarint(&mut blob, u64::from(self.len()));
        for element in self.shown_from(0) {
            let seeded = SeededElement {
                identity: self.id(element.identity),
                position: self.id(element.position.content),
                position_clock: element.position.clock,
                value_clock: element.value.clock,
                deleted: false,
                value: element.value.content.clone(),
            };
            seeded.write(&mut blob);
        }
        blob
    }

    fn visible(&self) -> Visible {
        Visible::Elements(self.values())
    }

    fn recorder(&self) -> Recorder {
        Recorder::List(ListDelta::default())
    }

    fn value(&self) -> Value {
        Value::Array(self.values())
    }

    fn heap_bytes(&self) -> usize {
        let values: usize = self
            .elements
            .iter()
            .map(|element| element.value.content.len())
            .sum();
        self.slots.heap_bytes()
            + self.elements.capacity() * size_of::<Element>()
            + self.numbers.capacity() * size_of::<(ElementKey, u32)>()
            + self.made.heap_bytes()
            + self.rivals.heap_bytes()
            + values
    }

    fn check(&self) {
        self.slots.check();
        self.made.check();
        assert_eq!(self.numbers.len(), self.elements.len());
        for (number, element) in self.elements.iter().enumerate() {
            assert_eq!(self.numbers[&element.identity], number as u32);
            assert!(self.slots.contains(element.position.content));
        }
        let live = self.elements.iter().filter(|element| !element.deleted);
        assert_eq!(live.count(), self.len() as usize);
        for (id, len, content, units) in self.slots.live_runs().filter(|run| run.3 > 0) {
            assert_eq!(len, units);
            for nth in 0..len {
                let element = &self.elements[(content.offset() + nth) as usize];
                assert!(!element.deleted);
                assert_eq!(element.position.content, id.plus(nth));
            }
        }
        self.rivals
            .check(|number| !self.elements[number as usize].deleted);
    }
}
