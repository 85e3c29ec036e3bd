//! The movable list (specification 9.12): a tree of slots, and the elements by identity.

use super::tree::Tree;
use std::collections::HashMap;
use syncline::clock::Hlc;
use syncline::codec::{ElementId, Value};

#[derive(Clone, Debug)]
struct Element {
    value: Value,
    value_clock: Hlc,
    position: ElementId,
    position_clock: Hlc,
    deleted: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Movable {
    slots: Tree<ElementId>,
    elements: HashMap<ElementId, Element>,
}

/// A visible element: identity, slot, value.
pub type Visible = (ElementId, ElementId, Value);

impl Movable {
    pub fn place(
        &mut self,
        left: Option<ElementId>,
        right: Option<ElementId>,
        items: &[(ElementId, ElementId, Value)],
    ) {
        let chain: Vec<_> = items
            .iter()
            .map(|(identity, position, _)| (*position, *identity))
            .collect();
        self.slots.insert_chain(left, right, &chain);
        for (identity, position, value) in items {
            self.elements.entry(*identity).or_insert_with(|| Element {
                value: value.clone(),
                value_clock: Hlc::ZERO,
                position: *position,
                position_clock: Hlc::ZERO,
                deleted: false,
            });
        }
    }

    pub fn erase(&mut self, identities: &[ElementId]) {
        for identity in identities {
            if let Some(element) = self.elements.get_mut(identity) {
                element.deleted = true;
            }
        }
    }

    pub fn overwrite(&mut self, clock: Hlc, items: &[(ElementId, Value)]) {
        for (identity, value) in items {
            match self.elements.get_mut(identity) {
                Some(element) if clock > element.value_clock => {
                    element.value = value.clone();
                    element.value_clock = clock;
                }
                _ => (),
            }
        }
    }

    pub fn shift(
        &mut self,
        (identity, position): (ElementId, ElementId),
        (left, right): (Option<ElementId>, Option<ElementId>),
        clock: Hlc,
    ) {
        self.slots
            .insert_chain(left, right, &[(position, identity)]);
        match self.elements.get_mut(&identity) {
            Some(element) if clock > element.position_clock => {
                element.position = position;
                element.position_clock = clock;
            }
            _ => (),
        }
    }

    pub fn visible(&self) -> Vec<Visible> {
        let order = self.slots.order().into_iter();
        let shown = order.filter_map(|(slot, identity)| {
            let identity = *identity?;
            let element = self.elements.get(&identity)?;
            (!element.deleted && element.position == slot)
                .then(|| (identity, slot, element.value.clone()))
        });
        shown.collect()
    }

    pub fn clocks(&self, identity: ElementId) -> (Hlc, Hlc) {
        let element = &self.elements[&identity];
        (element.value_clock, element.position_clock)
    }
}
