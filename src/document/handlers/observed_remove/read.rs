//! What an observed-remove state shows: its elements in order, the operations that it answers with,
//! and its blob.

use super::{Add, Element, ElementEntries, ElementIdx, Held, ObservedRemove, Seed, Tag};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::json::UnsupportedValue;
use crate::codec::{Reader, Value};
use crate::document::handlers::identity::{Form, Identified};
use crate::document::handlers::operation::{Class, Operation, Place, kind};
use crate::tree::sort_by_key;
use std::sync::Arc;

/// An element that is there.
pub(in crate::document::handlers) struct Shown<'a, V> {
    element: ElementIdx,
    /// Only the snapshot had it.
    seeded: bool,
    /// Where it stands.
    place: Place,
    pub form: Form,
    pub held: &'a V,
}

/// Which operations a reader looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::document::handlers) enum View {
    /// All.
    Current,
    /// Not those of the open transaction.
    Committed,
}

impl View {
    pub(super) fn sees(self, place: Place) -> bool {
        self.sees_class(place.split().0)
    }

    fn sees_class(self, class: Class) -> bool {
        self == View::Current || class != Class::Pending
    }
}

impl<V: Held> ObservedRemove<V> {
    /// The add since which the element has been there without a break; None if it is not there,
    /// or only from the snapshot. O(adds of the element).
    fn since(&self, element: ElementIdx, view: View) -> Option<&Add<V>> {
        let adds = self.adds_of(element);
        let mut lives: Vec<(&Add<V>, Option<Place>)> = adds
            .filter(|(tag, add)| view.sees(add.place()) && self.starts(*tag, add))
            .map(|(tag, add)| {
                let kill = self.kills.get(&(element, tag)).copied();
                (add, kill.filter(|kill| view.sees(*kill)))
            })
            .collect();
        sort_by_key(&mut lives, |(add, _)| add.place());
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

    /// The adds of an element that live, largest tag first, with the places of their operations.
    pub(in crate::document::handlers) fn living(
        &self,
        element: ElementIdx,
        view: View,
    ) -> impl Iterator<Item = (Place, &V)> {
        self.adds_of(element)
            .rev()
            .filter(move |(tag, add)| self.lives_in(element, *tag, add, view))
            .map(|(_, add)| (add.place(), &add.held))
    }

    /// The seed of an element that is there only because the snapshot had it.
    fn seed_of(&self, at: ElementIdx, view: View) -> Option<&Seed<V>> {
        let element = &self.elements[at.0 as usize];
        let seed = element.seed.as_ref()?;
        let added = match view {
            View::Current => element.add_count > 0,
            View::Committed => self.adds_of(at).any(|(_, add)| view.sees(add.place())),
        };
        let unseeded = element.unseeded.is_some_and(|class| view.sees_class(class));
        (!added && !unseeded).then_some(seed)
    }

    /// How an element shows, if it is there. O(adds of the element).
    pub(in crate::document::handlers) fn shown(
        &self,
        element: ElementIdx,
        view: View,
    ) -> Option<Shown<'_, V>> {
        // Only pending operations can differ between the views.
        if self.pending.is_empty() && !self.is_there(element) {
            return None;
        }
        if let Some(add) = self.since(element, view) {
            let (_, held) = self.living(element, view).next()?;
            return Some(Shown {
                element,
                seeded: false,
                place: add.place(),
                form: add.form,
                held,
            });
        }
        let seed = self.seed_of(element, view)?;
        Some(Shown {
            element,
            seeded: true,
            place: Place::Seed(seed.number),
            form: seed.form,
            held: &seed.held,
        })
    }

    /// What is there, in order. O(n log n).
    pub(in crate::document::handlers) fn sorted(&self, view: View) -> Vec<Shown<'_, V>> {
        let all = (0..self.elements.len() as u32).map(ElementIdx);
        let mut shown: Vec<_> = all.filter_map(|at| self.shown(at, view)).collect();
        sort_by_key(&mut shown, |shown| {
            (shown.seeded != V::SEEDED_FIRST, shown.place)
        });
        shown
    }

    /// Number of elements. O(1).
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether an element equal to `value` is there. O(value).
    pub(crate) fn contains(&self, value: &Value) -> bool {
        self.find(value)
            .is_some_and(|element| self.is_there(element))
    }

    /// What is there of the element with which an operation's body begins, for those who take
    /// edits back. None if nobody could find it again.
    pub(crate) fn entries_of(&self, body: &[u8]) -> Option<ElementEntries> {
        let codec = V::element_codec(self.codec);
        let bytes = Reader::new(body).prefixed().ok()?;
        let read = Identified::read(codec, bytes)
            .ok()
            .filter(|read| read.comparable)?;
        let mut entries = ElementEntries {
            element: bytes.into(),
            identity: read.identity,
            entries: Vec::new(),
        };
        let Some(element) = self.index.get(&*entries.identity).copied() else {
            return Some(entries);
        };
        if let Some(shown) = self.shown(element, View::Current) {
            let shown = self.value(&shown);
            entries.element = codec.encode(&shown).ok()?.into();
        }
        let mut push = |tag: Option<Tag>, held: &V| {
            let mut bytes = Vec::new();
            held.write(&mut bytes);
            entries.entries.push((tag, bytes.into()));
        };
        if let Some(seed) = self.seed_of(element, View::Current) {
            push(None, &seed.held);
        }
        for (tag, add) in self.adds_of(element) {
            if self.lives_in(element, tag, add, View::Current) {
                push(Some(tag), &add.held);
            }
        }
        Some(entries)
    }

    /// Whether this add of an element is known, living or not.
    pub(crate) fn knows_add(&self, identity: &[u8], tag: Tag) -> bool {
        let element = self.index.get(identity);
        element.is_some_and(|element| self.adds.contains_key(&(*element, tag)))
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
        sort_by_key(&mut tags, |entry| *entry);
        tags.into_iter().map(|(_, tag)| tag).collect()
    }

    /// The blob of a snapshot; committed state only (defect 13.6). Tags are not part of it.
    pub(crate) fn snapshot_state(&self) -> Vec<u8> {
        let sorted = self.sorted(View::Committed);
        let mut blob = Vec::new();
        write_uvarint(&mut blob, sorted.len() as u64);
        for shown in sorted {
            let identity = self.identity(&shown);
            match shown.form {
                Form::Plain => write_prefixed(&mut blob, identity),
                Form::Double | Form::NegativeZero => {
                    let number = V::element_codec(self.codec).encode(&self.value(&shown));
                    write_prefixed(&mut blob, &number.expect("a finite number"));
                }
            }
            shown.held.write(&mut blob);
        }
        blob
    }

    /// The operation that adds an element; `tag` is the author with a clock of its own.
    ///
    /// # Errors
    /// The codec cannot carry the value.
    pub(in crate::document::handlers) fn put_operation(
        &self,
        value: &Value,
        held: &V,
        tag: Tag,
    ) -> Result<Operation, UnsupportedValue> {
        let mut body = Vec::new();
        write_prefixed(&mut body, &V::element_codec(self.codec).encode(value)?);
        held.write(&mut body);
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
        write_prefixed(&mut body, &V::element_codec(self.codec).encode(value)?);
        write_uvarint(&mut body, tags.len() as u64);
        tags.iter()
            .for_each(|tag| body.extend_from_slice(&tag.to_bytes()));
        body.push(u8::from(tags.is_empty()));
        let kind = kind::DELETE;
        Ok(Operation { kind, body })
    }

    /// The element equal to a value, if there ever was one. O(value).
    pub(in crate::document::handlers) fn find(&self, value: &Value) -> Option<ElementIdx> {
        let codec = V::element_codec(self.codec);
        let bytes = codec.encode(value).ok()?;
        let value = Identified::read(codec, &bytes).expect("encoded just now");
        let known = self.index.get(&*value.identity).copied();
        known.filter(|_| value.comparable)
    }

    /// The value of an element that is there.
    pub(in crate::document::handlers) fn value(&self, shown: &Shown<'_, V>) -> Value {
        let codec = V::element_codec(self.codec);
        shown.form.show(codec, self.identity(shown))
    }

    /// Its identity: bytes that equal values share.
    pub(in crate::document::handlers) fn identity(&self, shown: &Shown<'_, V>) -> &[u8] {
        &self.elements[shown.element.0 as usize].identity
    }

    /// Heap memory held, in bytes (the trees and tables estimated).
    pub(crate) fn heap_bytes(&self) -> usize {
        let owned = self.elements.iter().map(|element| {
            let seed = element.seed.as_ref();
            element.identity.len() + 16 + seed.map_or(0, |seed| seed.held.heap_bytes())
        });
        let held = self.adds.values().map(|add| add.held.heap_bytes());
        let elements = self.elements.capacity() * size_of::<Element<V>>();
        let index = self.index.capacity() * size_of::<(Arc<[u8]>, ElementIdx)>();
        let burials = self.burials.capacity() * size_of::<(Tag, Place)>();
        let key = size_of::<(ElementIdx, Tag)>();
        let adds = self.adds.len() * (key + size_of::<Add<V>>());
        let kills = self.kills.len() * (key + size_of::<Place>());
        let trees = adds + kills + self.holders.len() * key;
        owned.chain(held).sum::<usize>() + elements + index + burials + trees * 2
    }

    /// Panics if an invariant is broken. For tests.
    pub(crate) fn check(&self) {
        let all = (0..self.elements.len() as u32).map(ElementIdx);
        let mut len = 0;
        for at in all {
            let element = &self.elements[at.0 as usize];
            assert_eq!(self.adds_of(at).count(), element.add_count as usize);
            let living = self.living(at, View::Current).count();
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
