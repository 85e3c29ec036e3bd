//! Observed-remove sets and maps as native states: the adds with their tags, and what buried and
//! removed them. Reading joins the state with what is here: of each the smallest place counts.

use super::{Add, Held, ObservedRemove, Seed, Tag};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, Reader};
use crate::document::ValueCodec;
use crate::document::handlers::identity::{Form, Identified};
use crate::document::handlers::operation::{Class, Place};
use crate::document::handlers::stored_places::{PlaceReader, PlaceWriter};
use crate::tree::sort_by_key;

const SEEDED: u8 = 1;
const UNSEEDED: u8 = 1 << 1;

/// A state, read and checked; elements by number.
struct Stored<V> {
    elements: Vec<StoredElement<V>>,
    adds: Vec<(usize, Tag, Add<V>)>,
    kills: Vec<(usize, Tag, Place)>,
    burials: Vec<(Tag, Place)>,
}

struct StoredElement<V> {
    value: Identified,
    seed: Option<Seed<V>>,
    unseeded: bool,
}

impl<V: Held> ObservedRemove<V> {
    /// The committed state.
    pub(crate) fn native_state(&self) -> Vec<u8> {
        let mut out = PlaceWriter::default();
        write_uvarint(&mut out.out, self.elements.len() as u64);
        for element in &self.elements {
            write_prefixed(&mut out.out, &element.identity);
            let unseeded = element.unseeded == Some(Class::Committed);
            let flags = u8::from(element.seed.is_some()) * SEEDED + u8::from(unseeded) * UNSEEDED;
            out.out.push(flags);
            if let Some(seed) = &element.seed {
                write_uvarint(&mut out.out, u64::from(seed.number));
                out.out.push(seed.form as u8);
                seed.held.write(&mut out.out);
            }
        }
        write_uvarint(&mut out.out, self.adds.len() as u64);
        for ((element, tag), add) in &self.adds {
            write_uvarint(&mut out.out, u64::from(element.0));
            out.id(*tag);
            out.place(add.place());
            out.out.push(add.form as u8);
            add.held.write(&mut out.out);
        }
        write_uvarint(&mut out.out, self.kills.len() as u64);
        for ((element, tag), place) in &self.kills {
            write_uvarint(&mut out.out, u64::from(element.0));
            out.id(*tag);
            out.place(*place);
        }
        // In an order, so that equal states give equal bytes.
        let mut burials: Vec<(&Tag, &Place)> = self.burials.iter().collect();
        sort_by_key(&mut burials, |entry| *entry);
        write_uvarint(&mut out.out, burials.len() as u64);
        for (tag, place) in burials {
            out.id(*tag);
            out.place(*place);
        }
        out.finish()
    }

    /// Joins a native state with what is here. `Ok(false)`: a crdt_lf snapshot gave some of it
    /// without tags, and nothing happened.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        let stored = Stored::<V>::read(bytes, self.codec)?;
        let has_seeds = stored.elements.iter().any(|element| element.seed.is_some());
        if has_seeds && !self.elements.is_empty() {
            return Ok(false);
        }
        for element in &stored.elements {
            if element.seed.is_none() && !element.unseeded {
                continue;
            }
            let number = self.element(element.value.clone());
            self.recount(number, |state| {
                let known = &mut state.elements[number.0 as usize];
                known.seed = element.seed.clone().or(known.seed.take());
                if element.unseeded {
                    known.unseeded = Some(Class::Committed);
                }
            });
        }
        for (number, tag, add) in stored.adds {
            let value = Identified {
                form: add.form,
                ..stored.elements[number].value.clone()
            };
            // Lists and objects equal nothing: what was added with this tag is the same one.
            let is_known = |state: &Self| {
                state
                    .holders_of(tag)
                    .any(|holder| *state.elements[holder.0 as usize].identity == *value.identity)
            };
            if value.comparable || !is_known(self) {
                self.add(add.place(), value, add.held, tag, None);
            }
        }
        for (tag, place) in stored.burials {
            self.bury(tag, place);
        }
        for (number, tag, place) in stored.kills {
            let element = self.element(stored.elements[number].value.clone());
            self.kill(element, tag, place);
        }
        Ok(true)
    }
}

impl<V: Held> Stored<V> {
    fn read(bytes: &[u8], codec: ValueCodec) -> Result<Self, DecodeError> {
        let mut from = PlaceReader::open(bytes)?;
        let mut stored = Stored {
            elements: Vec::new(),
            adds: Vec::new(),
            kills: Vec::new(),
            burials: Vec::new(),
        };
        for _ in 0..from.reader.count(2)? {
            let element = StoredElement::read(&mut from.reader, codec)?;
            stored.elements.push(element);
        }
        for _ in 0..from.reader.count(6)? {
            let element = stored.number(&mut from.reader, false)?;
            let (tag, place) = (from.id()?, committed(&mut from)?);
            let form = read_form(&mut from.reader)?;
            let held = V::read(codec, &mut from.reader)?;
            stored
                .adds
                .push((element, tag, Add::new(place, form, held)));
        }
        for _ in 0..from.reader.count(5)? {
            let element = stored.number(&mut from.reader, true)?;
            let (tag, place) = (from.id()?, committed(&mut from)?);
            stored.kills.push((element, tag, place));
        }
        for _ in 0..from.reader.count(4)? {
            let tag = from.id()?;
            stored.burials.push((tag, committed(&mut from)?));
        }
        from.reader.finish()?;
        stored.check_burials(&from.reader)?;
        Ok(stored)
    }

    fn number(&self, reader: &mut Reader<'_>, found_again: bool) -> Result<usize, DecodeError> {
        let start = reader.clone();
        let number = usize::try_from(reader.uvarint()?).unwrap_or(usize::MAX);
        let element = self.elements.get(number);
        match element.filter(|element| element.value.comparable || !found_again) {
            Some(_) => Ok(number),
            None => Err(start.error("the number of an element is not known")),
        }
    }

    /// A kill is a burial, too.
    fn check_burials(&self, reader: &Reader<'_>) -> Result<(), DecodeError> {
        let first: std::collections::HashMap<Tag, Place> = self.burials.iter().copied().collect();
        let is_buried = |(_, tag, place): &(usize, Tag, Place)| {
            first.get(tag).is_some_and(|burial| burial <= place)
        };
        match self.kills.iter().all(is_buried) && first.len() == self.burials.len() {
            true => Ok(()),
            false => Err(reader.error("what is removed is buried")),
        }
    }
}

impl<V: Held> StoredElement<V> {
    fn read(reader: &mut Reader<'_>, codec: ValueCodec) -> Result<Self, DecodeError> {
        let start = reader.clone();
        let identity = reader.prefixed()?;
        let value = Identified::read(V::element_codec(codec), identity)?;
        if *value.identity != *identity {
            return Err(start.error("an element is stored by its identity"));
        }
        let flags = reader.byte("the flags of an element")?;
        let seed = match flags & SEEDED {
            0 => None,
            _ => Some(Seed {
                number: reader.count_of(u64::from(u32::MAX))? as u32,
                form: read_form(reader)?,
                held: V::read(codec, reader)?,
            }),
        };
        Ok(StoredElement {
            value,
            seed,
            unseeded: flags & UNSEEDED != 0,
        })
    }
}

/// The place of a change: a snapshot's elements have no tags.
fn committed(from: &mut PlaceReader<'_>) -> Result<Place, DecodeError> {
    Ok(Place::Committed(from.id()?))
}

fn read_form(reader: &mut Reader<'_>) -> Result<Form, DecodeError> {
    let start = reader.clone();
    match reader.byte("the form of a value")? {
        0 => Ok(Form::Plain),
        1 => Ok(Form::Double),
        2 => Ok(Form::NegativeZero),
        _ => Err(start.error("the form of a value is not known")),
    }
}
