//! Random edits of every handler, on the document and on the model.

use super::super::model_oracle::Rng;
use super::super::model_oracle::ops::{Action, Item, id_of};
use super::peer::{Peer, units_of};
use syncline::codec::{Envelope, HandlerRef, Value};
use syncline::document::{HandlerIdx, HandlerKind};
use syncline::replica::Replica as _;

/// The tag of a type that no library has.
pub const UNKNOWN_TAG: &str = "CRDTUnknown";

pub const KEYS: [&str; 4] = ["a", "b", "\u{e9}", ""];

impl Peer {
    pub fn edit(&mut self, rng: &mut Rng) {
        match rng.below(24) {
            // From the beginning, with the open transaction on top: nothing changes.
            0 if self.document.last_snapshot().is_none() && rng.once_in(4) => {
                self.document.replay_all()
            }
            1 => {
                self.document.begin(b"tag").unwrap();
                self.model.begin();
            }
            2 | 3 if self.model.depth > 0 => {
                self.document.commit().unwrap();
                self.model.commit();
            }
            4 if self.model.depth > 0 && rng.once_in(2) => {
                self.document.rollback().unwrap();
                self.model.rollback();
            }
            4 => self.snapshot(rng),
            5 => self.foreign_bytes(rng),
            6 => self.set_text(rng),
            _ => {
                let kind = *rng.pick(&self.kinds);
                self.edit_handler(rng, kind);
            }
        }
        let made = self.new_changes();
        self.model.adopt(&made);
    }

    fn edit_handler(&mut self, rng: &mut Rng, kind: HandlerKind) {
        let handler = self.register(kind);
        match kind {
            HandlerKind::Text | HandlerKind::FugueText => self.edit_text(rng, kind, handler),
            HandlerKind::List | HandlerKind::FugueList | HandlerKind::ListRef => {
                self.edit_list(rng, kind, handler)
            }
            HandlerKind::MovableList | HandlerKind::MovableListRef => {
                self.edit_movable(rng, kind, handler)
            }
            HandlerKind::Map | HandlerKind::MapRef => self.edit_map(rng, kind, handler),
            HandlerKind::Register => {
                let value = some_value(rng, kind);
                self.document.register_set(handler, &value).unwrap();
                self.model.submit(kind, Action::Assign(value));
            }
            HandlerKind::OrSet => self.edit_set(rng, handler),
            HandlerKind::OrMap => self.edit_or_map(rng, handler),
            HandlerKind::Custom => unreachable!("not of crdt_lf"),
        }
    }

    fn edit_text(&mut self, rng: &mut Rng, kind: HandlerKind, handler: HandlerIdx) {
        const PIECES: [&[u16]; 6] = [
            &[0x61],
            &[0x62, 0x63],
            &[0x64, 0x65, 0x66, 0x67],
            &[0xe9],
            &[0xd83d, 0xde00],
            &[0xde00],
        ];
        let len = self.document.text_len_utf16(handler) as usize;
        let at = match rng.below(3) {
            0 => len,
            1 => len.saturating_sub(1),
            _ => rng.below(len + 1),
        };
        let piece = *rng.pick(&PIECES);
        let is_fugue = kind == HandlerKind::FugueText;
        let units = piece.iter().map(|unit| Item::Text(vec![*unit])).collect();
        let whole = Item::Text(piece.to_vec());
        let (index, document) = (at as u64, &mut self.document);
        match rng.below(8) {
            0..=4 => {
                match String::from_utf16(piece) {
                    Ok(text) => document.text_insert(handler, index, &text).unwrap(),
                    Err(_) => document.text_insert_utf16(handler, index, piece).unwrap(),
                }
                match is_fugue {
                    true => self.model.insert(kind, at, units),
                    false => self.model.submit(kind, Action::InsertAt(at, whole)),
                }
            }
            5 | 6 if len > at => {
                let count = 1 + rng.below((len - at).min(5));
                document.text_remove(handler, index, count as u64).unwrap();
                match is_fugue {
                    true => self.model.delete(kind, at, count),
                    false => self.model.submit(kind, Action::DeleteAt(at, count)),
                }
            }
            _ if len > at => {
                document.text_update_utf16(handler, index, piece).unwrap();
                match is_fugue {
                    true => self.model.replace(kind, at, units),
                    false => self.model.submit(kind, Action::UpdateAt(at, whole)),
                }
            }
            _ => (),
        }
    }

    fn edit_list(&mut self, rng: &mut Rng, kind: HandlerKind, handler: HandlerIdx) {
        let len = self.document.list_len(handler) as usize;
        let at = rng.below(len + 1);
        let is_fugue = kind != HandlerKind::List;
        let (index, document) = (at as u64, &mut self.document);
        match rng.below(8) {
            5 | 6 if len > at => {
                let count = 1 + rng.below((len - at).min(5));
                document.list_remove(handler, index, count as u64).unwrap();
                match is_fugue {
                    true => self.model.delete(kind, at, count),
                    false => self.model.submit(kind, Action::DeleteAt(at, count)),
                }
            }
            7 if len > at => {
                let value = some_value(rng, kind);
                document.list_update(handler, index, &value).unwrap();
                let item = Item::Value(value);
                match is_fugue {
                    true => self.model.replace(kind, at, vec![item]),
                    false => self.model.submit(kind, Action::UpdateAt(at, item)),
                }
            }
            _ if is_fugue => {
                let values: Vec<Value> =
                    (0..=rng.below(3)).map(|_| some_value(rng, kind)).collect();
                document.list_insert(handler, index, &values).unwrap();
                self.model
                    .insert(kind, at, values.into_iter().map(Item::Value).collect());
            }
            _ => {
                let value = some_value(rng, kind);
                document
                    .list_insert(handler, index, std::slice::from_ref(&value))
                    .unwrap();
                self.model
                    .submit(kind, Action::InsertAt(at, Item::Value(value)));
            }
        }
    }

    fn edit_movable(&mut self, rng: &mut Rng, kind: HandlerKind, handler: HandlerIdx) {
        let len = self.document.list_len(handler) as usize;
        let at = rng.below(len + 1);
        let (index, document) = (at as u64, &mut self.document);
        match rng.below(8) {
            3 | 4 if len > at => {
                let to = rng.below(len);
                document.list_move(handler, index, to as u64).unwrap();
                self.model.shift(kind, at, to);
            }
            5 if len > at => {
                let count = 1 + rng.below((len - at).min(3));
                document.list_remove(handler, index, count as u64).unwrap();
                self.model.erase(kind, at, count);
            }
            6 | 7 if len > at => {
                let value = some_value(rng, kind);
                document.list_update(handler, index, &value).unwrap();
                self.model.overwrite(kind, at, &value);
            }
            _ => {
                let values: Vec<Value> =
                    (0..=rng.below(3)).map(|_| some_value(rng, kind)).collect();
                document.list_insert(handler, index, &values).unwrap();
                self.model.place(kind, at, &values);
            }
        }
    }

    fn edit_map(&mut self, rng: &mut Rng, kind: HandlerKind, handler: HandlerIdx) {
        let (key, value) = (*rng.pick(&KEYS), some_value(rng, kind));
        match rng.below(3) {
            0 => {
                self.document.map_set(handler, key, &value).unwrap();
                self.model.submit(kind, Action::Set(key.into(), value));
            }
            1 => {
                self.document.map_update(handler, key, &value).unwrap();
                self.model.submit(kind, Action::Update(key.into(), value));
            }
            _ => {
                self.document.map_remove(handler, key).unwrap();
                self.model.submit(kind, Action::Remove(key.into()));
            }
        }
    }

    fn edit_set(&mut self, rng: &mut Rng, handler: HandlerIdx) {
        let value = some_value(rng, HandlerKind::OrSet);
        if rng.once_in(3) {
            self.document.set_remove(handler, &value).unwrap();
            self.model.discard(HandlerKind::OrSet, &value);
        } else {
            self.document.set_add(handler, &value).unwrap();
            self.model.add(HandlerKind::OrSet, &value, None);
        }
    }

    fn edit_or_map(&mut self, rng: &mut Rng, handler: HandlerIdx) {
        let kind = HandlerKind::OrMap;
        let value = some_value(rng, kind);
        let key = match rng.once_in(3) {
            true => some_value(rng, kind),
            false => Value::from(*rng.pick(&KEYS)),
        };
        match rng.once_in(3) {
            true => {
                self.document.map_remove_any(handler, &key).unwrap();
                self.model.discard(kind, &key);
            }
            false => {
                self.document.map_set_any(handler, &key, &value).unwrap();
                self.model.add(kind, &key, Some(&value));
            }
        }
    }

    /// Any edits that lead to a text; in a transaction there is nothing yet to compare with.
    fn set_text(&mut self, rng: &mut Rng) {
        if self.model.depth > 0 {
            return;
        }
        let kind = *rng.pick(&[HandlerKind::Text, HandlerKind::FugueText]);
        if !self.kinds.contains(&kind) {
            return;
        }
        let handler = self.register(kind);
        let mut units = units_of(&self.document, handler);
        for _ in 0..rng.below(4) {
            let at = rng.below(units.len() + 1);
            let end = (at + rng.below(3)).min(units.len());
            let piece: Vec<u16> = (0..rng.below(3))
                .map(|_| 0x70 + rng.below(5) as u16)
                .collect();
            units.splice(at..end, piece);
        }
        self.document.text_set(handler, &units).unwrap();
        let made = self.new_changes();
        self.model.follow(&made);
        assert_eq!(units_of(&self.document, handler), units);
    }

    /// A change of which nobody here knows what it means: at once, even in a transaction.
    fn foreign_bytes(&mut self, rng: &mut Rng) {
        let kind = *rng.pick(&HandlerKind::ALL);
        let tag = kind.default_tag();
        let (handler_type, operation, body): (&str, u8, &[u8]) = match rng.below(4) {
            0 if self.makes_unknown => (UNKNOWN_TAG, 7, b"body"),
            1 if self.makes_unknown => (UNKNOWN_TAG, 0, b""),
            2 => (&tag, rng.below(4) as u8, b"\x05cut"),
            _ => (&tag, 9, b"\x01a"),
        };
        let mut payload = Vec::new();
        Envelope {
            handler_type,
            handler_id: id_of(kind),
            kind: operation,
            body,
        }
        .encode(&mut payload);
        let made = self.document.create_change(payload.clone()).unwrap();
        assert_eq!(made.payload, payload);
        self.model.follow(&[made]);
    }
}

/// Few values, so that they meet; 1 and 1.0 are equal elements of a set.
fn some_value(rng: &mut Rng, kind: HandlerKind) -> Value {
    if kind.is_container() {
        let child = *rng.pick(&HandlerKind::ALL);
        return Value::Reference(HandlerRef {
            type_tag: child.default_tag(),
            id: id_of(child).to_owned(),
        });
    }
    match rng.below(8) {
        0..=2 => Value::Int(rng.below(3) as i64),
        3 => Value::Double(1.0),
        4 => Value::Double(0.5),
        5 => Value::Bool(true),
        6 => Value::Null,
        _ => Value::from(*rng.pick(&["x", "y\u{1f600}"])),
    }
}
