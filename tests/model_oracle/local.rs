//! The calls of the handlers (specification 9.3 to 9.13): which operation each makes.

use super::ops::{Action, Item};
use super::peer::ModelPeer;
use syncline::clock::Hlc;
use syncline::codec::Value;
use syncline::document::HandlerKind;

impl ModelPeer {
    /// Elements before a live one of a Fugue sequence: one unit or value each.
    pub fn insert(&mut self, kind: HandlerKind, index: usize, items: Vec<Item>) {
        let (left, right) = self.states().of(kind).tree.origins(index);
        let items = items.into_iter();
        let items = items.map(|item| (self.new_element(kind), item)).collect();
        self.submit(kind, Action::Insert { left, right, items });
    }

    pub fn delete(&mut self, kind: HandlerKind, index: usize, count: usize) {
        let live = self.states().of(kind).tree.live();
        self.submit(kind, Action::Delete(live[index..index + count].to_vec()));
    }

    /// Units past the end are left out; without any there is no change.
    pub fn replace(&mut self, kind: HandlerKind, index: usize, items: Vec<Item>) {
        let live = self.states().of(kind).tree.live();
        let targets = live[index..].iter().zip(items);
        let items: Vec<_> = targets
            .map(|(old, item)| (*old, self.new_element(kind), item))
            .collect();
        if !items.is_empty() {
            self.submit(kind, Action::Replace(items));
        }
    }

    pub fn add(&mut self, kind: HandlerKind, element: &Value, value: Option<&Value>) {
        let tag = self.tick();
        self.submit(kind, Action::Add(element.clone(), value.cloned(), tag));
    }

    pub fn discard(&mut self, kind: HandlerKind, element: &Value) {
        let tags = self.states().of(kind).tagged.tags(element);
        let all = tags.is_empty();
        self.submit(kind, Action::Discard(element.clone(), tags, all));
    }

    pub fn place(&mut self, kind: HandlerKind, index: usize, values: &[Value]) {
        let visible = self.states().of(kind).movable.visible();
        let left = index.checked_sub(1).map(|before| visible[before].1);
        let right = visible.get(index).map(|(_, slot, _)| *slot);
        let items = values.iter();
        let items = items
            .map(|value| {
                (
                    self.new_element(kind),
                    self.new_element(kind),
                    value.clone(),
                )
            })
            .collect();
        self.submit(kind, Action::Place { left, right, items });
    }

    pub fn erase(&mut self, kind: HandlerKind, index: usize, count: usize) {
        let visible = self.states().of(kind).movable.visible();
        let erased = visible[index..index + count].iter();
        let erased = erased.map(|(identity, ..)| *identity).collect();
        self.submit(kind, Action::Erase(erased));
    }

    pub fn overwrite(&mut self, kind: HandlerKind, index: usize, value: &Value) {
        let movable = self.states().of(kind).movable;
        let (identity, ..) = movable.visible()[index];
        let clock = self.clock_above(movable.clocks(identity).0);
        self.submit(
            kind,
            Action::Overwrite(clock, vec![(identity, value.clone())]),
        );
    }

    pub fn shift(&mut self, kind: HandlerKind, from: usize, to: usize) {
        let movable = self.states().of(kind).movable;
        let mut visible = movable.visible();
        if from == to || from >= visible.len() {
            return;
        }
        let (identity, ..) = visible.remove(from);
        let to = to.min(visible.len());
        let left = to.checked_sub(1).map(|before| visible[before].1);
        let right = visible.get(to).map(|(_, slot, _)| *slot);
        let clock = self.clock_above(movable.clocks(identity).1);
        let position = self.new_element(kind);
        let action = Action::Move {
            identity,
            position,
            left,
            right,
            clock,
        };
        self.submit(kind, action);
    }

    /// The document's clock, or one that wins over a write that the clock would tie with or lose
    /// to (defect 13.12).
    fn clock_above(&self, written: Hlc) -> Hlc {
        let now = self.clock.hlc();
        match now > written {
            true => now,
            false => Hlc::from_u64(written.to_u64() + 1),
        }
    }
}
