//! Two states of one movable list become one: elements are joined by id, their registers have the
//! write that wins, what either side deleted is deleted.
//!
//! A side that went through a crdt_lf snapshot has forgotten which elements it deleted: see
//! `merge_sequence`.

use super::merge_sequence::{Floor, Theirs, add_slots};
use crate::clock::AuthorIdx;
use crate::document::handlers::movable_list::{Element, MovableListState};
use crate::document::handlers::movable_list_rivals::Writer;
use crate::sequence::{Content, ElementKey};
use std::collections::HashMap;

/// Joins another state with one; neither has an open transaction. O(n log n).
pub(super) fn merge(list: &mut MovableListState, theirs: &MovableListState) {
    let authors: Vec<AuthorIdx> = (0..theirs.authors.len() as u32)
        .map(|author| list.authors.intern(theirs.authors.peer(AuthorIdx(author))))
        .collect();
    let mut joining = Joining {
        known: list.elements.len(),
        seen: ends(list),
        list,
        theirs,
        authors: &authors,
        shows: HashMap::new(),
    };
    joining.join_all();
    let shows = std::mem::take(&mut joining.shows);
    let nothing = Floor::new();
    let slots = Theirs {
        sequence: &theirs.slots,
        authors: &authors,
        floor: &nothing,
    };
    let show = |slot| {
        let number = shows.get(&slot)?;
        Some(Content::new(*number, false))
    };
    let depends = add_slots(&mut list.slots, &slots, &list.authors, show);
    list.order_sensitive |= depends || theirs.order_sensitive;
    list.newest = list.newest.max(theirs.newest);
    for (number, author) in authors.iter().enumerate() {
        let end = theirs.made.next_counter(AuthorIdx(number as u32));
        if let Some(last) = end.checked_sub(1) {
            list.made.raise(*author, last);
        }
    }
}

/// One more than the largest counter of each author, by number.
fn ends(list: &MovableListState) -> Vec<u64> {
    (0..list.authors.len() as u32)
        .map(|author| list.made.next_counter(AuthorIdx(author)))
        .collect()
}

struct Joining<'a> {
    list: &'a mut MovableListState,
    theirs: &'a MovableListState,
    /// Our numbers for their authors.
    authors: &'a [AuthorIdx],
    /// How many elements were here before.
    known: usize,
    /// How far this side had seen each author.
    seen: Vec<u64>,
    /// Slots of theirs that are new here and show an element.
    shows: HashMap<ElementKey, u32>,
}

impl Joining<'_> {
    fn join_all(&mut self) {
        for number in 0..self.theirs.elements.len() {
            let mut element = self.theirs.elements[number].clone();
            element.identity = self.ours(element.identity);
            element.position.content = self.ours(element.position.content);
            element.position.writer = self.writer(element.position.writer);
            element.value.writer = self.writer(element.value.writer);
            match self.list.numbers.get(&element.identity).copied() {
                Some(known) => self.join(known, element, number),
                None => self.add(element, number),
            }
        }
        self.delete_forgotten();
    }

    /// Our key of an element of theirs.
    fn ours(&self, key: ElementKey) -> ElementKey {
        match key {
            ElementKey::NULL => key,
            key => ElementKey {
                author: self.authors[key.author.0 as usize],
                ..key
            },
        }
    }

    fn writer(&self, writer: Writer) -> Writer {
        match writer {
            Writer::Change { author, clock } => Writer::Change {
                author: self.authors[author.0 as usize],
                clock,
            },
            other => other,
        }
    }

    /// Both sides have the element.
    fn join(&mut self, number: u32, theirs: Element, their_number: usize) {
        let ours = &self.list.elements[number as usize];
        if ours.deleted || theirs.deleted {
            return self.delete(number);
        }
        let (before, after) = (ours.value.writer, theirs.value.writer);
        let slot = theirs.position.content;
        let moves = self.list.wins(
            theirs.position.clock,
            theirs.position.writer,
            &ours.position,
        ) && slot != ours.position.content;
        let updates = self
            .list
            .wins(theirs.value.clock, theirs.value.writer, &ours.value);
        // A slot that was left shows nothing any more: no honest state asks for it.
        if moves && !self.list.slots.contains(slot) {
            let left = self.list.elements[number as usize].position.content;
            self.list.empty_slot(left, false);
            self.list.elements[number as usize].position = theirs.position;
            self.shows.insert(slot, number);
        }
        let rivals = &mut self.list.rivals;
        if updates {
            rivals.note(number, after, before, after);
            self.list.elements[number as usize].value = theirs.value;
        } else if before != after {
            rivals.note(number, after, after, before);
        }
        for (author, clock) in self.theirs.rivals.of(their_number as u32) {
            let loser = self.writer(Writer::Change {
                author: *author,
                clock: *clock,
            });
            let winner = self.list.elements[number as usize].value.writer;
            self.list.rivals.note(number, loser, loser, winner);
        }
    }

    /// Only theirs has the element.
    fn add(&mut self, mut element: Element, their_number: usize) {
        let identity = element.identity;
        let seen = self.seen.get(identity.author.0 as usize);
        let was_deleted =
            !identity.is_null() && seen.is_some_and(|end| u64::from(identity.counter) < *end);
        let slot = element.position.content;
        element.deleted |= was_deleted;
        if !element.deleted && self.list.slots.contains(slot) {
            // Forged: the slot of another element.
            self.list.order_sensitive = true;
            return;
        }
        let number = self.list.elements.len() as u32;
        self.list.numbers.insert(identity, number);
        if element.deleted {
            element.value.content = Box::default();
        } else {
            self.shows.insert(slot, number);
            let rivals = self.theirs.rivals.of(their_number as u32).iter();
            let rivals: Vec<_> = rivals
                .map(|(author, clock)| (self.authors[author.0 as usize], *clock))
                .collect();
            self.list.rivals.restore(number, rivals);
        }
        self.list.elements.push(element);
    }

    fn delete(&mut self, number: u32) {
        let element = &mut self.list.elements[number as usize];
        if element.deleted {
            return;
        }
        element.deleted = true;
        element.value.content = Box::default();
        let slot = element.position.content;
        self.list.rivals.remove(number);
        self.list.empty_slot(slot, false);
    }

    /// What the other side had seen and does not have any more.
    fn delete_forgotten(&mut self) {
        for number in 0..self.known as u32 {
            let identity = self.list.elements[number as usize].identity;
            if identity.is_null() {
                continue;
            }
            let peer = self.list.authors.peer(identity.author);
            let Some(author) = self.theirs.authors.find(&peer) else {
                continue;
            };
            let key = ElementKey { author, ..identity };
            let had_seen = u64::from(identity.counter) < self.theirs.made.next_counter(author);
            if had_seen && !self.theirs.numbers.contains_key(&key) {
                self.delete(number);
            }
        }
    }
}
