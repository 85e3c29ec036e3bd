//! The values of all handlers, folded operation by operation (specification 9).

use super::movable::Movable;
use super::ops::{Action, Item, Op};
use super::tagged::Tagged;
use super::tree::Tree;
use std::collections::HashMap;
use syncline::codec::Value;
use syncline::document::HandlerKind;

/// One handler.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub tree: Tree<Item>,
    pub units: Vec<u16>,
    pub list: Vec<Value>,
    pub map: Vec<(String, Value)>,
    pub register: Option<Value>,
    pub tagged: Tagged,
    pub movable: Movable,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct States(HashMap<HandlerKind, State>);

impl States {
    pub fn apply(&mut self, op: &Op) {
        self.0.entry(op.kind).or_default().apply(&op.action);
    }

    pub fn of(&self, kind: HandlerKind) -> State {
        self.0.get(&kind).cloned().unwrap_or_default()
    }
}

/// Whether it is null, which makes an element that nobody ever sees (9.11).
fn is_null(item: &Item) -> bool {
    *item == Item::Value(Value::Null)
}

impl State {
    fn apply(&mut self, action: &Action) {
        match action {
            Action::Insert { left, right, items } => {
                self.tree.insert_chain(*left, *right, items);
                let unseen = items.iter().filter(|(_, item)| is_null(item));
                unseen.for_each(|(id, _)| self.tree.delete(*id));
            }
            Action::Delete(ids) => ids.iter().for_each(|id| self.tree.delete(*id)),
            Action::Replace(items) => {
                for (old, new, item) in items {
                    self.tree.update(*old, *new, item.clone());
                    if is_null(item) {
                        self.tree.delete(*new);
                    }
                }
            }
            Action::InsertAt(index, Item::Text(units)) => {
                let at = (*index).min(self.units.len());
                self.units.splice(at..at, units.iter().copied());
            }
            Action::InsertAt(index, Item::Value(value)) => {
                self.list
                    .insert((*index).min(self.list.len()), value.clone());
            }
            Action::DeleteAt(index, count) => {
                let end = index.saturating_add(*count);
                let clip = |len: usize| (*index).min(len)..end.min(len).max((*index).min(len));
                self.units.drain(clip(self.units.len()));
                self.list.drain(clip(self.list.len()));
            }
            Action::UpdateAt(index, Item::Text(units)) => {
                let targets = self.units.iter_mut().skip(*index);
                targets.zip(units).for_each(|(old, new)| *old = *new);
            }
            Action::UpdateAt(index, Item::Value(value)) => {
                if let Some(old) = self.list.get_mut(*index) {
                    *old = value.clone();
                }
            }
            Action::Set(key, value) => match self.map.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => *old = value.clone(),
                None => self.map.push((key.clone(), value.clone())),
            },
            Action::Remove(key) => self.map.retain(|(known, _)| known != key),
            Action::Update(key, value) => {
                if let Some((_, old)) = self.map.iter_mut().find(|(known, _)| known == key) {
                    *old = value.clone();
                }
            }
            // Null and unset are one (9.6).
            Action::Assign(value) => {
                self.register = Some(value.clone()).filter(|value| *value != Value::Null)
            }
            Action::Add(element, value, tag) => self.tagged.add(element, value.as_ref(), *tag),
            Action::Discard(element, tags, _) => self.tagged.discard(element, tags),
            Action::Place { left, right, items } => self.movable.place(*left, *right, items),
            Action::Erase(identities) => self.movable.erase(identities),
            Action::Overwrite(clock, items) => self.movable.overwrite(*clock, items),
            Action::Move {
                identity,
                position,
                left,
                right,
                clock,
            } => self
                .movable
                .shift((*identity, *position), (*left, *right), *clock),
        }
    }

    /// The text of a text handler.
    pub fn text(&self, kind: HandlerKind) -> Vec<u16> {
        if kind == HandlerKind::Text {
            return self.units.clone();
        }
        let items = self.tree.values().into_iter();
        items
            .flat_map(|item| match item {
                Item::Text(units) => units,
                Item::Value(_) => unreachable!("a text has units"),
            })
            .collect()
    }

    /// The elements of a list handler.
    pub fn values(&self, kind: HandlerKind) -> Vec<Value> {
        match kind {
            HandlerKind::List => self.list.clone(),
            HandlerKind::MovableList | HandlerKind::MovableListRef => {
                let visible = self.movable.visible().into_iter();
                visible.map(|(.., value)| value).collect()
            }
            _ => {
                let items = self.tree.values().into_iter();
                items
                    .map(|item| match item {
                        Item::Value(value) => value,
                        Item::Text(_) => unreachable!("a list has values"),
                    })
                    .collect()
            }
        }
    }
}
