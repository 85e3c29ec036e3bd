//! The operations on one key as native states have them. Reading inserts them one by one, so that
//! a state can be read into another one: each key then has the operations of both.

use super::{Effect, KeyHistory, Writers};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::{DecodeError, Reader};
use crate::document::ValueCodec;
use crate::document::handlers::inline_bytes::InlineBytes;
use crate::document::handlers::operation::Place;
use crate::document::handlers::stored_places::{PlaceReader, PlaceWriter};

/// The operations on a key, read and checked.
#[derive(Debug)]
pub(in crate::document::handlers) struct StoredHistory {
    /// Ascending places.
    operations: Vec<(Place, Effect)>,
    /// Of the last one.
    value: InlineBytes,
}

impl KeyHistory {
    /// Appends all operations, oldest first, and the value of the newest.
    pub(in crate::document::handlers) fn store(&self, writers: &Writers, out: &mut PlaceWriter) {
        let mut operations: Vec<(Place, Effect)> = self.newest_first(writers).collect();
        operations.reverse();
        write_uvarint(&mut out.out, operations.len() as u64);
        for (place, effect) in operations {
            out.out.push(effect as u8);
            out.place(place);
        }
        write_prefixed(&mut out.out, self.value.as_slice());
    }

    /// Adds operations to those that are here; of one place there is one.
    pub(in crate::document::handlers) fn join(
        &mut self,
        stored: StoredHistory,
        writers: &mut Writers,
    ) {
        let last = stored.operations.len().saturating_sub(1);
        for (nth, (place, effect)) in stored.operations.into_iter().enumerate() {
            // Values of the others are overwritten at once.
            let value = match nth == last {
                true => stored.value.clone(),
                false => InlineBytes::EMPTY,
            };
            self.insert(place, effect, value, writers);
        }
    }
}

impl StoredHistory {
    pub(in crate::document::handlers) fn read(
        from: &mut PlaceReader<'_>,
        codec: ValueCodec,
    ) -> Result<Self, DecodeError> {
        let mut operations: Vec<(Place, Effect)> = Vec::new();
        // An operation takes three bytes at least, and a value one.
        for _ in 0..from.reader.count(3)? {
            let start = from.reader.clone();
            let effect = match from.reader.byte("the effect of an operation")? {
                0 => Effect::Set,
                1 => Effect::Delete,
                2 => Effect::Update,
                _ => return Err(start.error("the effect of an operation is not known")),
            };
            let place = from.place()?;
            if operations.last().is_some_and(|(last, _)| *last >= place) {
                return Err(start.error("the operations on a key ascend"));
            }
            operations.push((place, effect));
        }
        let value = read_value(&mut from.reader, operations.last(), codec)?;
        Ok(StoredHistory { operations, value })
    }

    /// Whether a crdt_lf snapshot gave some of it, whose writers are not known.
    pub(in crate::document::handlers) fn is_seeded(&self) -> bool {
        let first = self.operations.first();
        first.is_some_and(|(place, _)| matches!(place, Place::Seed(_)))
    }
}

fn read_value(
    reader: &mut Reader<'_>,
    last: Option<&(Place, Effect)>,
    codec: ValueCodec,
) -> Result<InlineBytes, DecodeError> {
    let start = reader.clone();
    let bytes = reader.prefixed()?;
    match last {
        Some((_, Effect::Set | Effect::Update)) => {
            Ok(InlineBytes::from(&*codec.canonical_bytes(bytes)?))
        }
        _ if bytes.is_empty() => Ok(InlineBytes::EMPTY),
        _ => Err(start.error("a deletion has no value")),
    }
}
