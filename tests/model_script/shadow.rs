//! What somebody who only hears of commits knows: deltas lead from each state to the next.

use super::super::model_oracle::tagged::equal;
use std::collections::{BTreeMap, HashMap};
use syncline::codec::Value;
use syncline::document::{Commit, Document, HandlerDelta, HandlerIdx, ListOp, MapOp, TextOp};

/// One handler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    pub text: Vec<u16>,
    pub list: Vec<Value>,
    pub map: BTreeMap<String, Value>,
    pub register: Option<Value>,
    pub set: Vec<Value>,
}

#[derive(Default)]
pub struct Shadow(pub HashMap<HandlerIdx, Shown>);

impl Shadow {
    pub fn apply(&mut self, document: &Document, commit: &Commit) {
        for (handler, delta) in &commit.deltas {
            let kind = document.handler_kind(*handler);
            let shown = self.0.entry(*handler).or_default();
            match delta {
                HandlerDelta::Text(steps) => shown.text = text_after(&shown.text, steps),
                HandlerDelta::List(steps) => shown.list = list_after(&shown.list, steps),
                HandlerDelta::Map(events) => events.iter().for_each(|event| shown.set_key(event)),
                HandlerDelta::Register(events) => {
                    assert!(
                        events.len() == 1 && events[0].old == shown.register,
                        "{kind:?}"
                    );
                    shown.register = events[0].new.clone();
                }
                HandlerDelta::Set(events) => {
                    events.iter().for_each(|event| shown.change_element(event))
                }
            }
        }
    }
}

impl Shown {
    fn set_key(&mut self, event: &MapOp) {
        assert_eq!(
            self.map.get(&event.key),
            event.old.as_ref(),
            "key {:?}",
            event.key
        );
        match &event.new {
            Some(value) => self.map.insert(event.key.clone(), value.clone()),
            None => self.map.remove(&event.key),
        };
    }

    fn change_element(&mut self, event: &MapOp) {
        if let Some(old) = &event.old {
            let at = self.set.iter().position(|known| equal(known, old));
            self.set.remove(at.expect("an element that was there"));
        }
        if let Some(new) = &event.new {
            assert!(
                !self.set.iter().any(|known| equal(known, new)),
                "an element that was not there"
            );
            self.set.push(new.clone());
        }
    }
}

fn text_after(text: &[u16], steps: &[TextOp]) -> Vec<u16> {
    let (mut out, mut at) = (Vec::new(), 0);
    for step in steps {
        match step {
            TextOp::Retain(count) => {
                out.extend_from_slice(&text[at..at + *count as usize]);
                at += *count as usize;
            }
            TextOp::Insert(units) => out.extend_from_slice(units),
            TextOp::Remove(count) => at += *count as usize,
        }
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// The sequential steps from index 0, then updates and moves at absolute indexes.
fn list_after(list: &[Value], steps: &[ListOp]) -> Vec<Value> {
    let sequential = |step: &&ListOp| !matches!(step, ListOp::Update { .. } | ListOp::Move { .. });
    let (mut out, mut at) = (Vec::new(), 0);
    let first_absolute = steps.iter().take_while(sequential).count();
    for step in &steps[..first_absolute] {
        match step {
            ListOp::Retain(count) => {
                out.extend_from_slice(&list[at..at + *count as usize]);
                at += *count as usize;
            }
            ListOp::Insert(values) => out.extend_from_slice(values),
            ListOp::Remove(old) => {
                assert_eq!(&list[at..at + old.len()], old);
                at += old.len();
            }
            ListOp::Update { .. } | ListOp::Move { .. } => unreachable!("taken apart above"),
        }
    }
    out.extend_from_slice(&list[at..]);
    for step in &steps[first_absolute..] {
        match step {
            ListOp::Update { index, old, new } => {
                let place = &mut out[*index as usize];
                assert_eq!(place, old);
                *place = new.clone();
            }
            ListOp::Move { from, to } => {
                let value = out.remove(*from as usize);
                out.insert(*to as usize, value);
            }
            _ => panic!("{step:?} behind steps that name an index"),
        }
    }
    out
}
