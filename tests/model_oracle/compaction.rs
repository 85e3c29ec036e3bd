//! The compaction table of 8.8: neighbours of one handler only.

use super::ops::{Action, Item, Op};

pub fn compacted(queue: Vec<Op>) -> Vec<Op> {
    let mut out: Vec<Op> = Vec::new();
    for next in queue {
        let joined = out
            .last()
            .filter(|last| last.kind == next.kind)
            .and_then(|last| compound(&last.action, &next.action));
        match joined {
            Some(action) => out.last_mut().expect("joined with it").action = action,
            None => out.push(next),
        }
    }
    out
}

fn compound(acc: &Action, next: &Action) -> Option<Action> {
    use Action::*;
    match (acc, next) {
        (InsertAt(i, Item::Text(t)), InsertAt(j, Item::Text(u))) => {
            let offset = j.checked_sub(*i).filter(|offset| *offset <= t.len())?;
            let mut text = t.clone();
            text.splice(offset..offset, u.iter().copied());
            Some(InsertAt(*i, Item::Text(text)))
        }
        (InsertAt(i, Item::Text(t)), DeleteAt(j, n)) => {
            let offset = j.checked_sub(*i).filter(|offset| offset + n <= t.len())?;
            let mut text = t.clone();
            text.drain(offset..offset + n);
            Some(InsertAt(*i, Item::Text(text)))
        }
        (DeleteAt(i, n), DeleteAt(j, m)) if i == j || j + m == *i => Some(DeleteAt(*j, n + m)),
        (UpdateAt(i, Item::Value(_)), UpdateAt(j, Item::Value(_))) if i == j => Some(next.clone()),
        (Assign(_), Assign(_)) => Some(next.clone()),
        _ if key_of(acc).is_none() || key_of(acc) != key_of(next) => None,
        (_, Remove(_) | Set(..)) => Some(next.clone()),
        (Set(key, _), Update(_, value)) => Some(Set(key.clone(), value.clone())),
        (Remove(_), Update(..)) => Some(acc.clone()),
        (Update(..), Update(..)) => Some(next.clone()),
        _ => None,
    }
}

fn key_of(action: &Action) -> Option<&str> {
    match action {
        Action::Set(key, _) | Action::Update(key, _) | Action::Remove(key) => Some(key),
        _ => None,
    }
}
