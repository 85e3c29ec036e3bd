//! What observed-remove sets and maps share (specification 9.7, 9.8): an element, or the key of an
//! entry, is there while one of its adds was not seen by a remove.
//!
//! The fold of the specification in closed form, so that operations may arrive in any order at
//! O(log n) per tag. Of all operations that name one tag only the smallest places matter:
//! - a tag is *buried* at the first remove, of any element, that lists it: adds from there on are
//!   without effect;
//! - an add of an element lives from its first place until the first remove of that element that
//!   lists its tag.
//!
//! An element is there if one of its adds lives; it stands where the unbroken row of living adds
//! began that reaches to the end, and holds what the living add with the largest tag brought.

mod read;
mod stored;

pub(super) use read::{Shown, View};

use super::identity::{Form, Identified};
use super::operation::{Class, Events, Place, kind};
use crate::clock::{Hlc, OperationId, OrderKey, PeerId};
use crate::codec::{DecodeError, Reader};
use crate::document::{MapOp, ValueCodec};
use crate::tree::sort_by_key;
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

/// Names one add: its author and a clock reading of its own.
pub(crate) type Tag = OperationId;

/// What an add brings besides its element: nothing in a set, the value in a map.
pub(crate) trait Held: Clone + Debug {
    /// Whether elements that only the snapshot had stand before the others.
    const SEEDED_FIRST: bool;

    /// The codec of the elements in a handler whose values have this codec.
    fn element_codec(codec: ValueCodec) -> ValueCodec;

    /// Reads what follows the element.
    fn read(codec: ValueCodec, reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Writes what follows the element.
    fn write(&self, out: &mut Vec<u8>);

    /// The event of an element that came, went, or holds something else; None if nothing that can
    /// be seen changed.
    fn event(
        codec: ValueCodec,
        identity: &[u8],
        old: Option<(Form, Self)>,
        new: Option<(Form, Self)>,
    ) -> Option<MapOp>;

    /// Heap memory held, in bytes.
    fn heap_bytes(&self) -> usize;
}

/// Number of an element, in order of first appearance. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ElementIdx(u32);

/// The smallest tag, for range queries.
const TAG_MIN: Tag = Tag {
    hlc: Hlc::ZERO,
    peer: PeerId::from_bytes([0; 16]),
};

/// The largest tag.
const TAG_MAX: Tag = Tag {
    hlc: Hlc::MAX,
    peer: PeerId::from_bytes([0xff; 16]),
};

/// What the operations on a set or map add up to.
#[derive(Clone, Debug)]
pub(crate) struct ObservedRemove<V> {
    pub(super) codec: ValueCodec,
    elements: Vec<Element<V>>,
    /// Elements that can be found again; lists and objects equal nothing, not even themselves.
    /// Identities come from outside: the default hasher is keyed.
    index: HashMap<Arc<[u8]>, ElementIdx>,
    /// The first add of each tag to each element.
    adds: BTreeMap<(ElementIdx, Tag), Add<V>>,
    /// The keys of `adds`, by tag.
    holders: BTreeSet<(Tag, ElementIdx)>,
    /// The first remove of each element that lists each tag.
    kills: BTreeMap<(ElementIdx, Tag), Place>,
    /// The first remove, of any element, that lists each tag.
    burials: HashMap<Tag, Place>,
    /// How many elements are there.
    len: usize,
    /// What the open transaction may have touched.
    pending: Vec<Touched>,
}

#[derive(Clone, Debug)]
struct Element<V> {
    /// The value, numbers in the form that all equal numbers share.
    identity: Arc<[u8]>,
    /// Number of adds, living or not.
    add_count: u32,
    /// Number of living adds.
    living_count: u32,
    seed: Option<Seed<V>>,
    /// The first remove without observed tags, which takes away what the snapshot gave.
    unseeded: Option<Class>,
}

/// What the snapshot's state has of an element.
#[derive(Clone, Debug)]
struct Seed<V> {
    /// Place in that state.
    number: u32,
    form: Form,
    held: V,
}

#[derive(Clone, Debug)]
struct Add<V> {
    /// With `class`: the place in the replay. Kept in parts because a `Place` would not pack.
    order: OrderKey,
    class: Class,
    form: Form,
    held: V,
}

impl<V> Add<V> {
    fn new(place: Place, form: Form, held: V) -> Self {
        let (class, order) = place.split();
        Add {
            order,
            class,
            form,
            held,
        }
    }

    fn place(&self) -> Place {
        Place::join(self.class, self.order)
    }
}

/// See [`ObservedRemove::entries_of`].
#[derive(Clone, Debug)]
pub(crate) struct ElementEntries {
    /// The value, encoded, as it shows.
    pub element: Box<[u8]>,
    /// What equal values share.
    pub identity: Box<[u8]>,
    /// What the snapshot has, if it shows, else the living adds, smallest tag first: each with
    /// what it brought, as bodies have it.
    pub entries: Vec<(Option<Tag>, Box<[u8]>)>,
}

#[derive(Clone, Copy, Debug)]
enum Touched {
    Tag(ElementIdx, Tag),
    Burial(Tag),
    Unseeded(ElementIdx),
}

impl<V: Held> ObservedRemove<V> {
    /// Without any element.
    pub(crate) fn new(codec: ValueCodec) -> Self {
        ObservedRemove {
            codec,
            elements: Vec::new(),
            index: HashMap::new(),
            adds: BTreeMap::new(),
            holders: BTreeSet::new(),
            kills: BTreeMap::new(),
            burials: HashMap::new(),
            len: 0,
            pending: Vec::new(),
        }
    }

    /// Forgets everything and starts from a snapshot's state; an empty blob is an empty state. The
    /// elements have no tags: only a remove that lists none takes them away.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        let mut seeded = ObservedRemove::new(self.codec);
        let mut reader = Reader::new(blob);
        let count = if blob.is_empty() { 0 } else { reader.count(1)? };
        for number in 0..count as u32 {
            let (value, held) = self.read_element(&mut reader)?;
            let form = value.form;
            let element = seeded.element(value);
            let slot = &mut seeded.elements[element.0 as usize].seed;
            match slot {
                // A repeated element keeps its place.
                Some(known) => known.held = held,
                None => {
                    *slot = Some(Seed { number, form, held });
                    seeded.len += 1;
                }
            }
        }
        *self = seeded;
        Ok(())
    }

    fn read_element(&self, reader: &mut Reader<'_>) -> Result<(Identified, V), DecodeError> {
        let value = Identified::read(V::element_codec(self.codec), reader.prefixed()?)?;
        Ok((value, V::read(self.codec, reader)?))
    }

    /// Adds the operation of a change. Unknown kinds are ignored. O(log n) per tag.
    ///
    /// # Errors
    /// The body cannot be decoded; the state is unchanged.
    pub(crate) fn apply(
        &mut self,
        order: OrderKey,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        self.apply_at(Place::Committed(order), kind, body, events)
    }

    /// Adds an operation of the open transaction, behind all others.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(crate) fn apply_pending(
        &mut self,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        // An operation that touches nothing needs no place of its own.
        let number = u32::try_from(self.pending.len()).expect("fewer than 2^32 touches");
        self.apply_at(Place::Pending(number), kind, body, events)
    }

    fn apply_at(
        &mut self,
        place: Place,
        kind: u8,
        body: &[u8],
        events: Events<'_>,
    ) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        match kind {
            kind::INSERT => {
                let (value, held) = self.read_element(&mut reader)?;
                let tag = read_tag(&mut reader)?;
                self.add(place, value, held, tag, events);
            }
            kind::DELETE => {
                let codec = V::element_codec(self.codec);
                let value = Identified::read(codec, reader.prefixed()?)?;
                let count = reader.count(Tag::BYTES)?;
                let tags: Result<Vec<_>, _> = (0..count).map(|_| read_tag(&mut reader)).collect();
                let untagged = reader.byte("whether a remove is untagged")? != 0;
                self.remove(place, value, &tags?, untagged, events);
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, place: Place, value: Identified, held: V, tag: Tag, events: Events<'_>) {
        let form = value.form;
        let element = self.element(value);
        if place.is_pending() {
            self.pending.push(Touched::Tag(element, tag));
        }
        self.watched(events, &[element], |state| {
            state.relive(element, tag, |state| {
                match state.adds.entry((element, tag)) {
                    Entry::Vacant(slot) => {
                        slot.insert(Add::new(place, form, held));
                        state.holders.insert((tag, element));
                        state.elements[element.0 as usize].add_count += 1;
                    }
                    Entry::Occupied(mut slot) => {
                        if place < slot.get().place() {
                            slot.insert(Add::new(place, form, held));
                        }
                    }
                }
            });
        });
    }

    fn remove(
        &mut self,
        place: Place,
        value: Identified,
        tags: &[Tag],
        untagged: bool,
        events: Events<'_>,
    ) {
        let element = value.comparable.then(|| self.element(value));
        let mut watched: Vec<_> = element.into_iter().collect();
        if events.is_some() {
            let holders = tags.iter().flat_map(|tag| self.holders_of(*tag));
            watched.extend(holders);
            sort_by_key(&mut watched, |element| *element);
            watched.dedup();
        }
        self.watched(events, &watched, |state| {
            for &tag in tags {
                state.bury(tag, place);
                if let Some(element) = element {
                    state.kill(element, tag, place);
                }
            }
            if let Some(element) = element.filter(|_| untagged) {
                state.unseed(element, place.split().0);
            }
        });
        if place.is_pending() {
            self.pending
                .extend(tags.iter().map(|tag| Touched::Burial(*tag)));
            if let Some(element) = element {
                let kills = tags.iter().map(|tag| Touched::Tag(element, *tag));
                self.pending.extend(kills);
                self.pending.push(Touched::Unseeded(element));
            }
        }
    }

    /// The first remove that lists the tag silences all adds behind it, of any element.
    fn bury(&mut self, tag: Tag, place: Place) {
        let known = self.burials.get(&tag);
        if known.is_some_and(|known| *known <= place) {
            return;
        }
        self.relive_holders(tag, |state| {
            state.burials.insert(tag, place);
        });
    }

    fn kill(&mut self, element: ElementIdx, tag: Tag, place: Place) {
        self.relive(element, tag, |state| {
            let first = state.kills.entry((element, tag)).or_insert(place);
            *first = place.min(*first);
        });
    }

    fn unseed(&mut self, element: ElementIdx, class: Class) {
        self.recount(element, |state| {
            let unseeded = &mut state.elements[element.0 as usize].unseeded;
            *unseeded = Some(unseeded.map_or(class, |first| first.min(class)));
        });
    }

    /// Takes back all operations of the open transaction. O(log n) per tag they named.
    pub(crate) fn discard_pending(&mut self, events: Events<'_>) {
        let touched = std::mem::take(&mut self.pending);
        let mut watched = Vec::new();
        if events.is_some() {
            watched.extend(
                touched
                    .iter()
                    .flat_map(|touched| self.holders_touched(*touched)),
            );
            sort_by_key(&mut watched, |element| *element);
            watched.dedup();
        }
        self.watched(events, &watched, |state| {
            touched
                .into_iter()
                .for_each(|touched| state.take_back(touched));
        });
    }

    fn holders_touched(&self, touched: Touched) -> Vec<ElementIdx> {
        match touched {
            Touched::Tag(element, _) | Touched::Unseeded(element) => vec![element],
            Touched::Burial(tag) => self.holders_of(tag).collect(),
        }
    }

    /// What a committed operation has overtaken meanwhile stays.
    fn take_back(&mut self, touched: Touched) {
        match touched {
            Touched::Tag(element, tag) => self.relive(element, tag, |state| {
                let key = (element, tag);
                if state
                    .kills
                    .get(&key)
                    .is_some_and(|place| place.is_pending())
                {
                    state.kills.remove(&key);
                }
                if state
                    .adds
                    .get(&key)
                    .is_some_and(|add| add.place().is_pending())
                {
                    state.adds.remove(&key);
                    state.holders.remove(&(tag, element));
                    state.elements[element.0 as usize].add_count -= 1;
                }
            }),
            Touched::Burial(tag) => {
                if self
                    .burials
                    .get(&tag)
                    .is_some_and(|place| place.is_pending())
                {
                    self.relive_holders(tag, |state| {
                        state.burials.remove(&tag);
                    });
                }
            }
            Touched::Unseeded(element) => self.recount(element, |state| {
                let unseeded = &mut state.elements[element.0 as usize].unseeded;
                *unseeded = unseeded.filter(|class| *class != Class::Pending);
            }),
        }
    }

    /// Runs `change`, which touches at most one tag of one element, and keeps the counts right.
    fn relive(&mut self, element: ElementIdx, tag: Tag, change: impl FnOnce(&mut Self)) {
        self.recount(element, |state| {
            let before = state.lives(element, tag);
            change(state);
            let after = state.lives(element, tag);
            let count = &mut state.elements[element.0 as usize].living_count;
            *count = *count - u32::from(before) + u32::from(after);
        });
    }

    /// As [`relive`](Self::relive) for a change of all elements that hold the tag.
    fn relive_holders(&mut self, tag: Tag, change: impl FnOnce(&mut Self)) {
        let holders: Vec<_> = self.holders_of(tag).collect();
        let before: Vec<_> = holders
            .iter()
            .map(|holder| self.lives(*holder, tag))
            .collect();
        change(self);
        for (holder, before) in holders.into_iter().zip(before) {
            let after = self.lives(holder, tag);
            self.recount(holder, |state| {
                let count = &mut state.elements[holder.0 as usize].living_count;
                *count = *count - u32::from(before) + u32::from(after);
            });
        }
    }

    fn recount(&mut self, element: ElementIdx, change: impl FnOnce(&mut Self)) {
        let before = self.is_there(element);
        change(self);
        let after = self.is_there(element);
        self.len = self.len - usize::from(before) + usize::from(after);
    }

    /// Runs `change` and reports which of the elements came, went or hold something else.
    fn watched(
        &mut self,
        events: Events<'_>,
        elements: &[ElementIdx],
        change: impl FnOnce(&mut Self),
    ) {
        let Some(events) = events else {
            return change(self);
        };
        let look = |state: &Self, element| {
            let shown = state.shown(element, View::Current);
            shown.map(|shown| (shown.form, shown.held.clone()))
        };
        let before: Vec<_> = elements
            .iter()
            .map(|&element| look(self, element))
            .collect();
        change(self);
        for (&element, old) in elements.iter().zip(before) {
            let identity = &self.elements[element.0 as usize].identity;
            events.extend(V::event(self.codec, identity, old, look(self, element)));
        }
    }

    /// Whether the add of this tag lives at the end.
    fn lives(&self, element: ElementIdx, tag: Tag) -> bool {
        let add = self.adds.get(&(element, tag));
        add.is_some_and(|add| self.lives_in(element, tag, add, View::Current))
    }

    fn lives_in(&self, element: ElementIdx, tag: Tag, add: &Add<V>, view: View) -> bool {
        view.sees(add.place())
            && self.starts(tag, add)
            && !self
                .kills
                .get(&(element, tag))
                .is_some_and(|kill| view.sees(*kill))
    }

    /// Whether the add had any effect where it stands.
    fn starts(&self, tag: Tag, add: &Add<V>) -> bool {
        self.burials
            .get(&tag)
            .is_none_or(|burial| add.place() < *burial)
    }

    fn is_there(&self, element: ElementIdx) -> bool {
        let element = &self.elements[element.0 as usize];
        element.living_count > 0 || element.is_seeded()
    }

    fn holders_of(&self, tag: Tag) -> impl Iterator<Item = ElementIdx> + '_ {
        let range = (tag, ElementIdx(0))..=(tag, ElementIdx(u32::MAX));
        self.holders.range(range).map(|(_, element)| *element)
    }

    fn adds_of(&self, element: ElementIdx) -> impl DoubleEndedIterator<Item = (Tag, &Add<V>)> + '_ {
        let range = (element, TAG_MIN)..=(element, TAG_MAX);
        self.adds.range(range).map(|((_, tag), add)| (*tag, add))
    }

    /// The element with this identity, made if there is none.
    fn element(&mut self, value: Identified) -> ElementIdx {
        if value.comparable {
            if let Some(element) = self.index.get(&*value.identity) {
                return *element;
            }
        }
        let number = u32::try_from(self.elements.len()).expect("fewer than 2^32 elements");
        let identity: Arc<[u8]> = value.identity.into();
        if value.comparable {
            self.index.insert(identity.clone(), ElementIdx(number));
        }
        self.elements.push(Element {
            identity,
            add_count: 0,
            living_count: 0,
            seed: None,
            unseeded: None,
        });
        ElementIdx(number)
    }
}

impl<V> Element<V> {
    fn is_seeded(&self) -> bool {
        self.seed.is_some() && self.add_count == 0 && self.unseeded.is_none()
    }
}

fn read_tag(reader: &mut Reader<'_>) -> Result<Tag, DecodeError> {
    Ok(Tag::from_bytes(&reader.array("the tag of an add")?))
}
