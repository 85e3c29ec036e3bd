//! Steps into bytes; the form is in `codec`.

use super::super::Document;
use super::super::delta::Step as DeltaStep;
use super::super::types::HandlerIdx;
use super::elements::{ElementsEffect, Held};
use super::keys::Written;
use super::movable::{ItemEffect, MovableEffect};
use super::positions::PositionsEffect;
use super::step::{Effect, Step};
use super::tagged::TaggedEffect;
use crate::clock::{AuthorIdx, OperationId};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{ElementId, Value, json};
use crate::document::handlers::movable_list_back::Standing;
use crate::sequence::ElementKey;
use std::collections::VecDeque;

/// Writes steps; collects the handlers and peers that they name.
pub(super) struct Writer<'a> {
    document: &'a Document,
    pub out: Vec<u8>,
    pub handlers: Vec<HandlerIdx>,
    pub peers: Vec<AuthorIdx>,
}

fn number_of<T: PartialEq>(known: &mut Vec<T>, item: T) -> u64 {
    let place = known.iter().position(|known| *known == item);
    place.unwrap_or_else(|| {
        known.push(item);
        known.len() - 1
    }) as u64
}

impl<'a> Writer<'a> {
    pub fn new(document: &'a Document) -> Self {
        Writer {
            document,
            out: Vec::new(),
            handlers: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn uvarint(&mut self, value: u64) {
        write_uvarint(&mut self.out, value);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        write_prefixed(&mut self.out, bytes);
    }

    /// One stack.
    pub fn steps(&mut self, steps: &VecDeque<Step>) {
        self.uvarint(steps.len() as u64);
        for step in steps {
            self.uvarint(step.number);
            match &step.meta {
                None => self.out.push(0),
                Some(Value::Bytes(bytes)) => {
                    self.out.push(1);
                    self.bytes(bytes);
                }
                Some(value) => {
                    self.out.push(2);
                    let mut text = Vec::new();
                    json::encode(value, &mut text).expect("checked when it was attached");
                    self.bytes(&text);
                }
            }
            self.uvarint(step.effects.len() as u64);
            for (number, effect) in &step.effects {
                let handler = number_of(&mut self.handlers, *number);
                self.uvarint(handler);
                self.effect(*number, effect);
            }
            self.uvarint(step.since.len() as u64);
            for (number, since) in &step.since {
                let handler = number_of(&mut self.handlers, *number);
                self.uvarint(handler);
                self.delta(
                    since.steps(),
                    |_, _| (),
                    |writer, count| writer.uvarint(*count),
                );
            }
        }
    }

    fn effect(&mut self, number: HandlerIdx, effect: &Effect) {
        match effect {
            Effect::Elements(effect) => {
                self.out.push(0);
                self.elements(effect);
            }
            Effect::Keys(effect) => {
                self.out.push(1);
                self.uvarint(effect.items.len() as u64);
                for (key, item) in &effect.items {
                    self.bytes(key.as_bytes());
                    self.written(&item.before);
                    self.written(&item.after);
                }
            }
            Effect::Movable(effect) => {
                self.out.push(5);
                self.movable(effect);
            }
            Effect::Tagged(effect) => {
                self.out.push(2);
                self.tagged(effect);
            }
            Effect::Positions(PositionsEffect::Text(delta)) => {
                self.out.push(3);
                let units = |writer: &mut Self, units: &[u16]| writer.units(units);
                self.delta(delta.steps(), units, |writer, removed| {
                    writer.units(removed)
                });
            }
            Effect::Positions(PositionsEffect::List(delta)) => {
                self.out.push(4);
                let codec = self.document.handler_codec(number);
                let values = |writer: &mut Self, values: &[Value]| {
                    writer.uvarint(values.len() as u64);
                    for value in values {
                        writer.bytes(&codec.encode(value).unwrap_or_default());
                    }
                };
                self.delta(delta.steps(), values, |writer, removed| {
                    values(writer, removed)
                });
            }
        }
    }

    fn units(&mut self, units: &[u16]) {
        // Not joined to characters: units are what is counted.
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        self.bytes(&bytes);
    }

    fn delta<E, R>(
        &mut self,
        steps: &[DeltaStep<E, R>],
        inserted: impl Fn(&mut Self, &[E]),
        removed: impl Fn(&mut Self, &R),
    ) {
        self.uvarint(steps.len() as u64);
        for step in steps {
            match step {
                DeltaStep::Retain(count) => {
                    self.out.push(0);
                    self.uvarint(*count);
                }
                DeltaStep::Insert(elements) => {
                    self.out.push(1);
                    self.uvarint(elements.len() as u64);
                    inserted(self, elements);
                }
                DeltaStep::Remove(gone) => {
                    self.out.push(2);
                    removed(self, gone);
                }
            }
        }
    }

    fn element(&mut self, key: ElementKey) {
        let peer = number_of(&mut self.peers, key.author);
        self.uvarint(peer);
        self.uvarint(u64::from(key.counter));
    }

    fn elements(&mut self, effect: &ElementsEffect) {
        self.uvarint(effect.made.iter().len() as u64);
        for (first, len) in effect.made.iter() {
            self.element(first);
            self.uvarint(u64::from(len));
        }
        self.uvarint(effect.removed.len() as u64);
        for run in &effect.removed {
            self.element(run.id);
            self.uvarint(u64::from(run.len));
            self.out.push(u8::from(!run.left.is_null()));
            if !run.left.is_null() {
                self.element(run.left);
            }
            match &run.held {
                Held::Units(units) => {
                    self.out.push(0);
                    self.units(units);
                }
                Held::Values(values) => {
                    self.out.push(1);
                    self.uvarint(values.len() as u64);
                    values.iter().for_each(|value| self.bytes(value));
                }
            }
        }
    }

    fn movable(&mut self, effect: &MovableEffect) {
        self.uvarint(effect.items.len() as u64);
        for (identity, item) in &effect.items {
            ElementId::write(Some(*identity), &mut self.out);
            match item {
                ItemEffect::Made => self.out.push(0),
                ItemEffect::Deleted(deleted) => {
                    self.out.push(1);
                    self.standing(&deleted.before);
                    ElementId::write(deleted.left, &mut self.out);
                    self.uvarint(u64::from(deleted.number));
                }
                ItemEffect::Changed { before, after } => {
                    self.out.push(2);
                    self.standing(before);
                    self.out.push(u8::from(after.is_some()));
                    after.iter().for_each(|after| self.standing(after));
                }
            }
        }
    }

    fn standing(&mut self, standing: &Standing) {
        self.bytes(&standing.value);
        let (element, clock) = standing.written;
        ElementId::write(Some(element), &mut self.out);
        self.out.extend_from_slice(&clock.to_bytes());
        ElementId::write(Some(standing.slot), &mut self.out);
    }

    fn written(&mut self, written: &Written) {
        self.out.push(u8::from(written.value.is_some()));
        if let Some(value) = &written.value {
            self.bytes(value);
        }
        self.tag(written.stamp);
    }

    fn tag(&mut self, tag: Option<OperationId>) {
        self.out.push(u8::from(tag.is_some()));
        if let Some(tag) = tag {
            self.out.extend_from_slice(&tag.to_bytes());
        }
    }

    fn tagged(&mut self, effect: &TaggedEffect) {
        self.uvarint(effect.items.len() as u64);
        for (identity, item) in &effect.items {
            self.bytes(identity);
            self.bytes(&item.element);
            self.uvarint(item.added.len() as u64);
            for tag in &item.added {
                self.out.extend_from_slice(&tag.to_bytes());
            }
            self.uvarint(item.removed.len() as u64);
            for (tag, held) in &item.removed {
                self.tag(*tag);
                self.bytes(held);
            }
            self.out.push(u8::from(item.showed));
            self.tag(item.after);
            self.tag(item.before);
            for shown in &item.shown {
                self.out.push(u8::from(shown.is_some()));
                if let Some(shown) = shown {
                    self.bytes(shown);
                }
            }
        }
    }
}
