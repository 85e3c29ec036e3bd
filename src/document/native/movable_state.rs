//! The state of a movable list as native bytes: slots with their origins, those that were left
//! too, and all elements, deleted ones too, with the clocks and writers of their registers.
//!
//! Elements are numbered: first those that show, in the order of the list, so that a slot need not
//! say which one is in it; then the deleted ones.

use super::sequence_state::{read_slots, write_slots};
use crate::clock::{AuthorIdx, Hlc, OperationId, PeerId};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::native::rows::{read_clock, write_clock};
use crate::codec::{DecodeError, Reader};
use crate::document::ValueCodec;
use crate::document::handlers::movable_list::{Element, MovableListState, Register};
use crate::document::handlers::movable_list_rivals::Writer as WrittenBy;
use crate::sequence::ElementKey;
use std::collections::HashMap;

const ORDER_SENSITIVE: u8 = 1;

/// The state of a list without an open transaction.
pub(super) fn write(list: &MovableListState) -> Vec<u8> {
    let mut writer = Writer::default();
    write_uvarint(&mut writer.out, list.authors.len() as u64);
    let authors: Vec<AuthorIdx> = (0..list.authors.len() as u32).map(AuthorIdx).collect();
    for author in &authors {
        let peer = list.authors.peer(*author);
        writer.out.extend_from_slice(peer.bytes());
    }
    writer.out.push(match list.order_sensitive {
        true => ORDER_SENSITIVE,
        false => 0,
    });
    let newest = list
        .newest
        .map(|newest| (list.authors.find(&newest.peer), newest.hlc));
    writer.change(newest.and_then(|(author, clock)| Some((author?, clock))));
    for author in authors {
        writer.made(list, author);
    }
    write_slots(&list.slots, &mut writer.out);
    writer.elements(list);
    writer.out
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    last: Hlc,
}

impl Writer {
    fn number(&mut self, number: u64) {
        write_uvarint(&mut self.out, number);
    }

    fn clock(&mut self, clock: Hlc) {
        write_clock(self.last, clock, &mut self.out);
        self.last = clock;
    }

    /// A change; none is a single 0.
    fn change(&mut self, change: Option<(AuthorIdx, Hlc)>) {
        match change {
            None => self.number(0),
            Some((author, clock)) => {
                self.number(u64::from(author.0) + 1);
                self.clock(clock);
            }
        }
    }

    fn element(&mut self, key: ElementKey) {
        if key.is_null() {
            return self.number(0);
        }
        self.number(u64::from(key.author.0) + 1);
        self.number(u64::from(key.counter));
    }

    fn made(&mut self, list: &MovableListState, author: AuthorIdx) {
        self.number(list.made.next_counter(author));
        self.number(list.made.stretches(author).count() as u64);
        let mut next = 0;
        for (first, clock) in list.made.stretches(author) {
            self.number(u64::from(first - next));
            self.clock(clock);
            next = first;
        }
    }

    fn elements(&mut self, list: &MovableListState) {
        let deleted = list.elements.iter().filter(|element| element.deleted);
        self.number(list.elements.len() as u64);
        let mut numbers = HashMap::with_capacity(list.elements.len());
        for element in list.shown_from(0) {
            self.register(&element.position);
            self.value(element, &mut numbers);
            write_prefixed(&mut self.out, &element.value.content);
        }
        for element in deleted {
            self.element(element.position.content);
            self.register(&element.position);
            self.value(element, &mut numbers);
        }
        let mut rivals: Vec<(u32, &[(AuthorIdx, Hlc)])> = list
            .rivals
            .all()
            .map(|(element, rivals)| (numbers[&list.elements[element as usize].identity], rivals))
            .collect();
        rivals.sort_unstable();
        self.number(rivals.len() as u64);
        for (element, rivals) in rivals {
            self.number(u64::from(element));
            self.number(rivals.len() as u64);
            for rival in rivals {
                self.change(Some(*rival));
            }
        }
    }

    fn value(&mut self, element: &Element, numbers: &mut HashMap<ElementKey, u32>) {
        numbers.insert(element.identity, numbers.len() as u32);
        self.element(element.identity);
        self.register(&element.value);
    }

    fn register<T>(&mut self, register: &Register<T>) {
        self.clock(register.clock);
        self.change(match register.writer {
            WrittenBy::Origin => None,
            WrittenBy::Change { author, clock } => Some((author, clock)),
            WrittenBy::Pending => unreachable!("states are stored without transactions"),
        });
    }
}

/// Reads what [`write()`] wrote.
pub(super) fn read(bytes: &[u8], codec: ValueCodec) -> Result<MovableListState, DecodeError> {
    let mut list = MovableListState::new(codec);
    let mut states = States {
        reader: Reader::new(bytes),
        last: Hlc::ZERO,
        authors: Vec::new(),
    };
    for number in 0..states.reader.count(PeerId::BYTES)? {
        let author = list
            .authors
            .intern(PeerId::from_bytes(states.reader.array("a peer id")?));
        if author.0 as usize != number {
            return Err(states.reader.error("each author stands in the list once"));
        }
        states.authors.push(author);
    }
    let flags = states.reader.byte("the flags of a list")?;
    list.order_sensitive = flags & ORDER_SENSITIVE != 0;
    let newest = states.change()?;
    list.newest = newest.map(|(author, clock)| OperationId::new(list.authors.peer(author), clock));
    for author in states.authors.clone() {
        let end = states.reader.uvarint()?;
        let mut stretches = Vec::new();
        let mut next = 0u32;
        for _ in 0..states.reader.count(2)? {
            let gap = states.reader.count_of(u64::from(u32::MAX - next))?;
            next += gap as u32;
            stretches.push((next, states.clock()?));
        }
        if !list.made.restore(author, end, &stretches) {
            return Err(states.reader.error("the ids of an author rise"));
        }
    }
    list.slots = read_slots(&mut states.reader, &states.authors)?;
    states.read_elements(&mut list)?;
    states.reader.finish()?;
    for key in ids(&list).collect::<Vec<_>>() {
        list.made.raise(key.author, u64::from(key.counter));
    }
    Ok(list)
}

/// The ids of all elements and slots.
fn ids(list: &MovableListState) -> impl Iterator<Item = ElementKey> + '_ {
    let identities = list.elements.iter().map(|element| element.identity);
    let slots = list.slots.runs().map(|run| run.last());
    identities.chain(slots).filter(|key| !key.is_null())
}

struct States<'a> {
    reader: Reader<'a>,
    last: Hlc,
    authors: Vec<AuthorIdx>,
}

impl States<'_> {
    fn clock(&mut self) -> Result<Hlc, DecodeError> {
        self.last = read_clock(self.last, &mut self.reader)?;
        Ok(self.last)
    }

    /// An author, or none.
    fn author(&mut self) -> Result<Option<AuthorIdx>, DecodeError> {
        let number = self.reader.count_of(self.authors.len() as u64)?;
        Ok(number.checked_sub(1).map(|number| self.authors[number]))
    }

    fn change(&mut self) -> Result<Option<(AuthorIdx, Hlc)>, DecodeError> {
        match self.author()? {
            None => Ok(None),
            Some(author) => Ok(Some((author, self.clock()?))),
        }
    }

    fn element(&mut self) -> Result<ElementKey, DecodeError> {
        let Some(author) = self.author()? else {
            return Ok(ElementKey::NULL);
        };
        let counter = self.reader.count_of(u64::from(u32::MAX) - 1)? as u32;
        Ok(ElementKey { author, counter })
    }

    fn register<T>(&mut self, content: T) -> Result<Register<T>, DecodeError> {
        let clock = self.clock()?;
        let writer = match self.change()? {
            None => WrittenBy::Origin,
            Some((author, clock)) => WrittenBy::Change { author, clock },
        };
        Ok(Register {
            content,
            clock,
            writer,
        })
    }

    fn read_elements(&mut self, list: &mut MovableListState) -> Result<(), DecodeError> {
        let count = self.reader.count(5)?;
        let mut shown = Vec::new();
        for (first, len, _, units) in list.slots.live_runs() {
            if units > 0 && units != len {
                return Err(self.reader.error("a slot shows one element"));
            }
            shown.extend((0..units).map(|nth| first.plus(nth)));
        }
        if count < shown.len() {
            return Err(self.reader.error("each slot that shows has an element"));
        }
        list.elements.reserve(count);
        for number in 0..count {
            let slot = shown.get(number).copied();
            let position = match slot {
                Some(slot) => slot,
                None => self.element()?,
            };
            if !list.slots.contains(position) {
                return Err(self.reader.error("an element has a slot"));
            }
            let position = self.register(position)?;
            let identity = self.element()?;
            let mut value = self.register(Default::default())?;
            if slot.is_some() {
                let bytes = self.reader.prefixed()?;
                list.codec.decode(bytes)?;
                value.content = bytes.into();
            }
            if list.numbers.insert(identity, number as u32).is_some() {
                return Err(self.reader.error("each element is in a list once"));
            }
            list.elements.push(Element {
                identity,
                value,
                position,
                deleted: slot.is_none(),
            });
        }
        for _ in 0..self.reader.count(3)? {
            let element = self.reader.uvarint()?;
            let rivals: Result<Vec<_>, _> = (0..self.reader.count(2)?)
                .map(|_| {
                    let missing = self.reader.error("a change has an author");
                    self.change()?.ok_or(missing)
                })
                .collect();
            let rivals = rivals?;
            // Deleted elements have no conflicts.
            if element >= shown.len() as u64 || !list.rivals.restore(element as u32, rivals) {
                return Err(self.reader.error("rivals belong to one element that shows"));
            }
        }
        Ok(())
    }
}
