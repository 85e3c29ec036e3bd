//! Maps as native states: all keys that were ever written, with their operations.

use super::MapState;
use crate::codec::DecodeError;
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::document::handlers::history::StoredHistory;
use crate::document::handlers::stored_places::{PlaceReader, PlaceWriter};

impl MapState {
    /// The committed operations.
    pub(crate) fn native_state(&self) -> Vec<u8> {
        let mut out = PlaceWriter::default();
        write_uvarint(&mut out.out, self.keys.len() as u64);
        for key in self.keys.numbers() {
            write_prefixed(&mut out.out, self.keys.key(key).as_bytes());
            self.keys.get(key).history.store(&self.writers, &mut out);
        }
        out.finish()
    }

    /// Adds the operations of a native state to those that are here. `Ok(false)`: the order of
    /// some is not known, and nothing happened.
    ///
    /// # Errors
    /// Malformed bytes; the state is unchanged.
    pub(crate) fn join_native(&mut self, bytes: &[u8]) -> Result<bool, DecodeError> {
        let mut from = PlaceReader::open(bytes)?;
        let mut keys = Vec::new();
        for _ in 0..from.reader.count(3)? {
            let key = from.reader.prefixed()?;
            let key = std::str::from_utf8(key).map_err(|_| from.reader.error("a key is UTF-8"))?;
            keys.push((key, StoredHistory::read(&mut from, self.codec)?));
        }
        from.reader.finish()?;
        let is_empty = self.keys.len() == 0;
        if !is_empty && keys.iter().any(|(_, stored)| stored.is_seeded()) {
            return Ok(false);
        }
        for (key, stored) in keys {
            let key = self.keys.find_or_add(key);
            self.change(key, None, |map| {
                let key = map.keys.get_mut(key);
                key.history.join(stored, &mut map.writers);
                let last = key.pending;
                map.refold(last);
            });
        }
        Ok(true)
    }
}
