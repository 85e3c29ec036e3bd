//! What a document that was opened from a native snapshot starts from: states with removed
//! elements and tags, kept as bytes, for replays and for peers that read crdt_lf snapshots only.

use super::state;
use crate::clock::{AuthorIdx, PeerId};
use crate::codec::{Reader, Snapshot};
use crate::document::Document;
use crate::document::handler::State;
use crate::document::types::{DocumentOptions, HandlerIdx};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

/// See the module.
#[derive(Debug)]
pub(in crate::document) struct NativeBase {
    /// The body of the snapshot.
    pub body: Box<[u8]>,
    /// The document's numbers for those of the body.
    pub authors: Vec<AuthorIdx>,
    /// The states that the body has, by handler id.
    pub states: HashMap<Box<str>, Range<usize>>,
    /// The same as a crdt_lf snapshot, once somebody asked.
    pub crdt_lf: OnceLock<Snapshot>,
}

impl Document {
    /// The last snapshot in crdt_lf's form. O(document) the first time after the document was
    /// opened from a native one.
    pub(in crate::document) fn crdt_lf_snapshot(&self) -> Option<&Snapshot> {
        let snapshot = self.snapshot.as_ref()?;
        let Some(base) = &self.native_base else {
            return Some(snapshot);
        };
        Some(base.crdt_lf.get_or_init(|| {
            let options = DocumentOptions {
                document_id: self.id.to_string(),
                peer_id: Some(self.peer),
                wall_clock: self.wall_clock,
                ..DocumentOptions::default()
            };
            let opened = Document::open_body(&base.body, options);
            let opened = opened.expect("it was opened before");
            let mut entries = snapshot.entries().to_vec();
            for number in opened.handlers() {
                let id = opened.handler_id(number);
                if base.states.contains_key(id) {
                    entries.push((id.to_owned(), opened.handler_snapshot_state(number)));
                }
            }
            Snapshot::new(snapshot.vector().clone(), entries)
        }))
    }

    /// Brings a handler that was just reset back to the state that the native base has of it.
    pub(in crate::document) fn load_native_state(&mut self, number: HandlerIdx) {
        let Some(base) = &self.native_base else {
            return;
        };
        let handler = &mut self.handlers[number.0 as usize];
        let Some(range) = base.states.get(&handler.id) else {
            return;
        };
        let bytes = &base.body[range.clone()];
        let loaded = state::read(
            bytes,
            handler,
            &base.authors,
            self.own,
            &mut self.log.content,
        );
        match loaded {
            // No removed element is forgotten by a replay from here.
            Ok(()) => self.note_restored(number),
            Err(error) => {
                log::warn!(target: "document", "the native state of handler {:?} is unreadable: {error}", handler.id);
            }
        }
    }

    /// What the native base knows of the elements' counters in a Fugue sequence or a movable list.
    pub(in crate::document) fn native_floor(
        &self,
        number: HandlerIdx,
    ) -> Option<Vec<(PeerId, u64)>> {
        let base = self.native_base.as_ref()?;
        let range = base.states.get(self.handler_id(number))?;
        if let State::MovableList(list) = &self.handler_ref(number).state {
            return Some(list.largest_counters());
        }
        let mut reader = Reader::new(&base.body[range.clone()]);
        let floor = state::read_floor(&mut reader, base.authors.len()).ok()?;
        let peer = |author: usize| self.log.authors.peer(base.authors[author]);
        let floor = floor.into_iter();
        Some(
            floor
                .map(|(author, counter)| (peer(author), counter))
                .collect(),
        )
    }
}
