//! State of an observed-remove set (specification 9.7): an element is there while one of its adds
//! was not seen by a remove.
//!
//! The fold of the specification in closed form, so that operations may arrive in any order at
//! O(log n) per tag. Of all operations that name one tag only the smallest places matter:
//! - a tag is *buried* at the first remove, of any element, that lists it: adds from there on are
//!   without effect;
//! - an add of an element lives from its first place until the first remove of that element that
//!   lists its tag.
//!
//! An element is there if one of its adds lives; it stands where the unbroken row of living adds
//! began that reaches to the end.

use super::identity::{Form, Identified};
use super::operation::{Class, Events, Operation, Place, kind};
use crate::clock::{OperationId, OrderKey};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::json::UnsupportedValue;
use crate::codec::{DecodeError, Reader, Value};
use crate::document::{MapOp, ValueCodec};
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Names one add: its author and a clock reading of its own.
pub(crate) type Tag = OperationId;

/// Number of an element in its set, in order of first appearance. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ElementIdx(u32);

/// The smallest tag, for range queries.
const TAG_MIN: Tag = Tag {
    hlc: crate::clock::Hlc::ZERO,
    peer: crate::clock::PeerId::from_bytes([0; 16]),
};

/// What the operations on a set add up to.
#[derive(Clone, Debug)]
pub(crate) struct OrSetState {
    codec: ValueCodec,
    elements: Vec<Element>,
    /// Elements that can be found again; lists and objects equal nothing, not even themselves.
    /// Identities come from outside: the default hasher is keyed.
    index: HashMap<Arc<[u8]>, ElementIdx>,
    /// The first add of each tag to each element.
    adds: BTreeMap<(ElementIdx, Tag), Add>,
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
struct Element {
    /// The value, numbers in the form that all equal numbers share.
    identity: Arc<[u8]>,
    /// Number of adds, living or not.
    add_count: u32,
    /// Number of living adds.
    living_count: u32,
    /// Place in the snapshot's state and the form of the value there.
    seed: Option<(u32, Form)>,
    /// The first remove without observed tags, which takes away what the snapshot gave.
    unseeded: Option<Class>,
}

#[derive(Clone, Copy, Debug)]
struct Add {
    /// With `class`: the place in the replay. Kept in parts because a `Place` would not pack.
    order: OrderKey,
    class: Class,
    form: Form,
}

impl Add {
    fn new(place: Place, form: Form) -> Self {
        let (class, order) = place.split();
        Add { order, class, form }
    }

    fn place(&self) -> Place {
        Place::join(self.class, self.order)
    }
}

#[derive(Clone, Copy, Debug)]
enum Touched {
    Tag(ElementIdx, Tag),
    Burial(Tag),
    Unseeded(ElementIdx),
}

impl OrSetState {
    /// An empty set.
    pub(crate) fn new(codec: ValueCodec) -> Self {
        OrSetState {
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

    /// Forgets everything and starts from a snapshot's state; an empty blob is an empty set. The
    /// elements have no tags: only a remove that lists none takes them away.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn seed(&mut self, blob: &[u8]) -> Result<(), DecodeError> {
        let mut seeded = OrSetState::new(self.codec);
        let mut reader = Reader::new(blob);
        let count = if blob.is_empty() { 0 } else { reader.count(1)? };
        for number in 0..count {
            let value = Identified::read(self.codec, reader.prefixed()?)?;
            let form = value.form;
            let element = seeded.element(value);
            let slot = &mut seeded.elements[element.0 as usize].seed;
            if slot.is_none() {
                *slot = Some((number as u32, form));
                seeded.len += 1;
            }
        }
        *self = seeded;
        Ok(())
    }

    /// Adds the operation of a change. Kinds other than those of sets are ignored. O(log n) per
    /// tag.
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
        // Each operation touches something, so the numbers rise.
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
                let value = Identified::read(self.codec, reader.prefixed()?)?;
                let tag = read_tag(&mut reader)?;
                self.add(place, value, tag, events);
            }
            kind::DELETE => {
                let value = Identified::read(self.codec, reader.prefixed()?)?;
                let count = reader.count(Tag::BYTES)?;
                let tags: Result<Vec<_>, _> = (0..count).map(|_| read_tag(&mut reader)).collect();
                let untagged = reader.byte("whether a remove is untagged")? != 0;
                self.remove(place, value, &tags?, untagged, events);
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, place: Place, value: Identified, tag: Tag, events: Events<'_>) {
        let form = value.form;
        let element = self.element(value);
        if place.is_pending() {
            self.pending.push(Touched::Tag(element, tag));
        }
        self.watched(events, &[element], |set| {
            set.relive(element, tag, |set| match set.adds.entry((element, tag)) {
                Entry::Vacant(slot) => {
                    slot.insert(Add::new(place, form));
                    set.holders.insert((tag, element));
                    set.elements[element.0 as usize].add_count += 1;
                }
                Entry::Occupied(mut slot) => {
                    if place < slot.get().place() {
                        slot.insert(Add::new(place, form));
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
            watched.sort_unstable();
            watched.dedup();
        }
        self.watched(events, &watched, |set| {
            for &tag in tags {
                set.bury(tag, place);
                if let Some(element) = element {
                    set.kill(element, tag, place);
                }
            }
            if let Some(element) = element.filter(|_| untagged) {
                set.unseed(element, place.split().0);
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
        self.relive_holders(tag, |set| {
            set.burials.insert(tag, place);
        });
    }

    fn kill(&mut self, element: ElementIdx, tag: Tag, place: Place) {
        self.relive(element, tag, |set| {
            let first = set.kills.entry((element, tag)).or_insert(place);
            *first = place.min(*first);
        });
    }

    fn unseed(&mut self, element: ElementIdx, class: Class) {
        self.recount(element, |set| {
            let unseeded = &mut set.elements[element.0 as usize].unseeded;
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
            watched.sort_unstable();
            watched.dedup();
        }
        self.watched(events, &watched, |set| {
            touched
                .into_iter()
                .for_each(|touched| set.take_back(touched));
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
            Touched::Tag(element, tag) => self.relive(element, tag, |set| {
                let key = (element, tag);
                if set.kills.get(&key).is_some_and(|place| place.is_pending()) {
                    set.kills.remove(&key);
                }
                if set
                    .adds
                    .get(&key)
                    .is_some_and(|add| add.place().is_pending())
                {
                    set.adds.remove(&key);
                    set.holders.remove(&(tag, element));
                    set.elements[element.0 as usize].add_count -= 1;
                }
            }),
            Touched::Burial(tag) => {
                if self
                    .burials
                    .get(&tag)
                    .is_some_and(|place| place.is_pending())
                {
                    self.relive_holders(tag, |set| {
                        set.burials.remove(&tag);
                    });
                }
            }
            Touched::Unseeded(element) => self.recount(element, |set| {
                let unseeded = &mut set.elements[element.0 as usize].unseeded;
                *unseeded = unseeded.filter(|class| *class != Class::Pending);
            }),
        }
    }

    /// Runs `change`, which touches at most one tag of one element, and keeps the counts right.
    fn relive(&mut self, element: ElementIdx, tag: Tag, change: impl FnOnce(&mut Self)) {
        self.recount(element, |set| {
            let before = set.lives(element, tag);
            change(set);
            let after = set.lives(element, tag);
            let count = &mut set.elements[element.0 as usize].living_count;
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
            self.recount(holder, |set| {
                let count = &mut set.elements[holder.0 as usize].living_count;
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

    /// Runs `change` and reports which of the elements came or went.
    fn watched(
        &mut self,
        events: Events<'_>,
        elements: &[ElementIdx],
        change: impl FnOnce(&mut Self),
    ) {
        let Some(events) = events else {
            return change(self);
        };
        let look = |set: &Self, element| set.is_there(element).then(|| set.shown(element));
        let before: Vec<_> = elements
            .iter()
            .map(|&element| look(self, element))
            .collect();
        change(self);
        for (&element, old) in elements.iter().zip(before) {
            let new = look(self, element);
            if old.is_some() != new.is_some() {
                let key = String::new();
                events.push(MapOp { key, old, new });
            }
        }
    }

    /// Whether the add of this tag lives at the end.
    fn lives(&self, element: ElementIdx, tag: Tag) -> bool {
        let key = (element, tag);
        let add = self.adds.get(&key);
        add.is_some_and(|add| self.starts(tag, add)) && !self.kills.contains_key(&key)
    }

    /// Whether the add had any effect where it stands.
    fn starts(&self, tag: Tag, add: &Add) -> bool {
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

    fn adds_of(&self, element: ElementIdx) -> impl Iterator<Item = (Tag, &Add)> + '_ {
        let of = self.adds.range((element, TAG_MIN)..);
        let of = of.take_while(move |((at, _), _)| *at == element);
        of.map(|((_, tag), add)| (*tag, add))
    }

    /// The add since which the element has been there without a break; None if it is not there,
    /// or only from the snapshot. O(adds of the element).
    fn since(&self, element: ElementIdx, view: View) -> Option<Add> {
        let adds = self.adds_of(element);
        let mut lives: Vec<(Add, Option<Place>)> = adds
            .filter(|(tag, add)| view.sees(add.place()) && self.starts(*tag, add))
            .map(|(tag, add)| {
                let kill = self.kills.get(&(element, tag)).copied();
                (*add, kill.filter(|kill| view.sees(*kill)))
            })
            .collect();
        lives.sort_unstable_by_key(|(add, _)| add.place());
        let mut lives = lives.into_iter();
        let (mut start, mut until) = lives.next()?;
        for (add, kill) in lives {
            match until {
                None => break,
                Some(end) if end < add.place() => (start, until) = (add, kill),
                Some(end) => until = kill.map(|kill| kill.max(end)),
            }
        }
        until.is_none().then_some(start)
    }

    /// The seed of an element that is there only because the snapshot had it.
    fn seed_of(&self, at: ElementIdx, view: View) -> Option<(u32, Form)> {
        let element = &self.elements[at.0 as usize];
        let seed = element.seed?;
        let added = match view {
            View::Current => element.add_count > 0,
            View::Committed => self.adds_of(at).any(|(_, add)| view.sees(add.place())),
        };
        let unseeded = element.unseeded.is_some_and(|class| view.sees_class(class));
        (!added && !unseeded).then_some(seed)
    }

    /// Elements in set order with the forms they show: living ones by their places, then seeded
    /// ones.
    fn sorted(&self, view: View) -> Vec<(ElementIdx, Form)> {
        let all = (0..self.elements.len() as u32).map(ElementIdx);
        let mut shown: Vec<(bool, Place, ElementIdx, Form)> = all
            .filter_map(|element| {
                // Only pending operations can differ between the views.
                let gone = self.pending.is_empty() && !self.is_there(element);
                let since = if gone {
                    None
                } else {
                    self.since(element, view)
                };
                if let Some(add) = since {
                    return Some((false, add.place(), element, add.form));
                }
                let (number, form) = self.seed_of(element, view)?;
                Some((true, Place::Seed(number), element, form))
            })
            .collect();
        shown.sort_unstable_by_key(|&(seeded, place, _, _)| (seeded, place));
        let shown = shown.into_iter();
        shown.map(|(_, _, element, form)| (element, form)).collect()
    }

    /// Number of elements. O(1).
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Elements in set order. O(n log n).
    pub(crate) fn values(&self) -> Vec<Value> {
        let sorted = self.sorted(View::Current).into_iter();
        sorted
            .map(|(element, form)| self.value(element, form))
            .collect()
    }

    /// Whether an element equal to `value` is there. O(value).
    pub(crate) fn contains(&self, value: &Value) -> bool {
        self.find(value)
            .is_some_and(|element| self.is_there(element))
    }

    /// The tags a remove of `value` has to list: all that were ever added, in order of their
    /// adds. O(n log n) in their number.
    pub(crate) fn observed_tags(&self, value: &Value) -> Vec<Tag> {
        let Some(element) = self.find(value) else {
            return Vec::new();
        };
        let mut tags: Vec<_> = self
            .adds_of(element)
            .map(|(tag, add)| (add.place(), tag))
            .collect();
        tags.sort_unstable();
        tags.into_iter().map(|(_, tag)| tag).collect()
    }

    /// The blob of a snapshot; committed state only (defect 13.6). Tags are not part of it.
    pub(crate) fn snapshot_state(&self) -> Vec<u8> {
        let sorted = self.sorted(View::Committed);
        let mut blob = Vec::new();
        write_uvarint(&mut blob, sorted.len() as u64);
        for (element, form) in sorted {
            let identity = &self.elements[element.0 as usize].identity;
            match form {
                Form::Plain => write_prefixed(&mut blob, identity),
                Form::Double | Form::NegativeZero => {
                    let number = self.codec.encode(&self.value(element, form));
                    write_prefixed(&mut blob, &number.expect("a finite number"));
                }
            }
        }
        blob
    }

    /// The operation that adds an element; `tag` is the author with a clock of its own.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn add_operation(
        &self,
        value: &Value,
        tag: Tag,
    ) -> Result<Operation, UnsupportedValue> {
        let mut body = Vec::new();
        write_prefixed(&mut body, &self.codec.encode(value)?);
        body.extend_from_slice(&tag.to_bytes());
        let kind = kind::INSERT;
        Ok(Operation { kind, body })
    }

    /// The operation that removes what is known of an element now.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(crate) fn remove_operation(&self, value: &Value) -> Result<Operation, UnsupportedValue> {
        let tags = self.observed_tags(value);
        let mut body = Vec::new();
        write_prefixed(&mut body, &self.codec.encode(value)?);
        write_uvarint(&mut body, tags.len() as u64);
        tags.iter()
            .for_each(|tag| body.extend_from_slice(&tag.to_bytes()));
        body.push(u8::from(tags.is_empty()));
        let kind = kind::DELETE;
        Ok(Operation { kind, body })
    }

    fn find(&self, value: &Value) -> Option<ElementIdx> {
        let bytes = self.codec.encode(value).ok()?;
        let value = Identified::read(self.codec, &bytes).expect("encoded just now");
        let known = self.index.get(&*value.identity).copied();
        known.filter(|_| value.comparable)
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

    /// What an element that is there shows as.
    fn shown(&self, element: ElementIdx) -> Value {
        let add = self.since(element, View::Current).map(|add| add.form);
        let seed = || self.seed_of(element, View::Current).map(|(_, form)| form);
        self.value(element, add.or_else(seed).expect("the element is there"))
    }

    fn value(&self, element: ElementIdx, form: Form) -> Value {
        form.show(self.codec, &self.elements[element.0 as usize].identity)
    }

    /// Heap memory held, in bytes (the trees and tables estimated).
    pub(crate) fn heap_bytes(&self) -> usize {
        let identities = self
            .elements
            .iter()
            .map(|element| element.identity.len() + 16);
        let elements = self.elements.capacity() * size_of::<Element>();
        let index = self.index.capacity() * size_of::<(Arc<[u8]>, ElementIdx)>();
        let burials = self.burials.capacity() * size_of::<(Tag, Place)>();
        let key = size_of::<(ElementIdx, Tag)>();
        let adds = self.adds.len() * (key + size_of::<Add>());
        let kills = self.kills.len() * (key + size_of::<Place>());
        let trees = adds + kills + self.holders.len() * key;
        identities.sum::<usize>() + elements + index + burials + trees * 2
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self) {
        let all = (0..self.elements.len() as u32).map(ElementIdx);
        let mut len = 0;
        for at in all {
            let element = &self.elements[at.0 as usize];
            assert_eq!(self.adds_of(at).count(), element.add_count as usize);
            let living = self
                .adds_of(at)
                .filter(|(tag, _)| self.lives(at, *tag))
                .count();
            assert_eq!(living, element.living_count as usize);
            assert_eq!(self.since(at, View::Current).is_some(), living > 0);
            len += usize::from(self.is_there(at));
        }
        assert_eq!(len, self.len);
        assert_eq!(self.holders.len(), self.adds.len());
        for (element, tag) in self.adds.keys() {
            assert!(self.holders.contains(&(*tag, *element)));
        }
        // A kill is a burial, too, so no add is buried behind its kill.
        for ((_, tag), kill) in &self.kills {
            assert!(self.burials[tag] <= *kill);
        }
        if self.pending.is_empty() {
            assert!(self.adds.values().all(|add| !add.place().is_pending()));
            assert!(self.kills.values().all(|place| !place.is_pending()));
            assert!(self.burials.values().all(|place| !place.is_pending()));
        }
    }
}

impl Element {
    fn is_seeded(&self) -> bool {
        self.seed.is_some() && self.add_count == 0 && self.unseeded.is_none()
    }
}

/// Which operations a reader looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// All.
    Current,
    /// Not those of the open transaction.
    Committed,
}

impl View {
    fn sees(self, place: Place) -> bool {
        self.sees_class(place.split().0)
    }

    fn sees_class(self, class: Class) -> bool {
        self == View::Current || class != Class::Pending
    }
}

fn read_tag(reader: &mut Reader<'_>) -> Result<Tag, DecodeError> {
    Ok(Tag::from_bytes(&reader.array("the tag of an add")?))
}
