//! Joining native snapshots: of two replicas that were both pruned, nothing that either has is
//! lost.

use super::merge_movable;
use super::merge_sequence::{self, Floor, Theirs};
use super::snapshot::Parts;
use crate::clock::AuthorIdx;
use crate::codec::Snapshot;
use crate::codec::native::container::open;
use crate::codec::native::{Kind, NativeError};
use crate::document::Document;
use crate::document::handler::State;
use crate::document::types::{
    DocumentError, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin,
};
use crate::replica::ApplyError;

impl Document {
    /// Takes in a native snapshot of another replica of this document, whatever this one has:
    /// states of Fugue sequences, maps, registers and observed-remove handlers are joined, the
    /// version vectors, too. Handlers of other kinds have one whole state or the other, as crdt_lf
    /// has it (specification 7.3): that of the newer version, and of concurrent ones this
    /// document's. If neither side has forgotten any change, the snapshot's changes are imported
    /// instead. `Ok(false)`: everything was known. O(both documents).
    ///
    /// # Errors
    /// `Native` for anything malformed; `TypeMismatch` if a handler is of another type here;
    /// `Closed`, `InTransaction`, `ClockDrift`, `Limit`, `UnknownHandler`. Then nothing happened.
    pub fn merge_native_snapshot(&mut self, bytes: &[u8]) -> Result<bool, DocumentError> {
        self.ensure_open()?;
        if self.in_transaction() {
            return Err(ApplyError::InTransaction.into());
        }
        let opened = open(bytes, Kind::Snapshot)?;
        let parts = Parts::read(&opened.body).map_err(NativeError::from)?;
        for (_, clock) in parts.vector.iter() {
            self.check_drift(clock)?;
        }
        self.ensure_room(opened.body.len())?;
        if self.vector().is_strictly_newer_or_equal_than(&parts.vector) {
            return Ok(false);
        }
        self.materialise();
        if let Some(type_tag) = self.register_named() {
            return Err(ApplyError::UnknownHandler { type_tag }.into());
        }
        // Reads and checks all of it, apart from this document.
        let theirs = Document::open_body(
            &opened.body,
            DocumentOptions {
                document_id: self.id.to_string(),
                wall_clock: self.wall_clock,
                ..DocumentOptions::default()
            },
        )?;
        // Changes may name what a document that starts from a snapshot has forgotten.
        if parts.whole && !self.is_seeded {
            let changes = theirs.export_native(&self.vector());
            let outcome = self.import_native(&changes, &[], Origin::Remote)?;
            return Ok(outcome.applied > 0);
        }
        for stored in &parts.handlers {
            let known = self.find_handler(stored.id);
            if known.is_some_and(|known| self.handler_type(known) != stored.type_tag) {
                return Err(DocumentError::TypeMismatch);
            }
        }
        for number in self.handlers() {
            // What may fail comes first.
            if self.handler_ref(number).kind == HandlerKind::Custom {
                self.saved_state(number)?;
            }
        }
        self.join(&theirs, &parts)?;
        Ok(true)
    }

    fn join(&mut self, theirs: &Document, parts: &Parts<'_>) -> Result<(), DocumentError> {
        let start = self.log.change_count();
        let is_newer = parts.vector.is_strictly_newer_or_equal_than(&self.vector());
        let authors: Vec<AuthorIdx> = (0..theirs.log.authors.len() as u32)
            .map(|author| {
                let peer = theirs.log.authors.peer(AuthorIdx(author));
                self.log.authors.intern(peer)
            })
            .collect();
        for stored in &parts.handlers {
            let spec = HandlerSpec {
                kind: stored.kind,
                codec: stored.codec,
                type_tag: stored.type_tag.to_owned(),
            };
            let number = self.make_handler(stored.id, &spec, true)?;
            self.record(number, true);
            let newest = self.handler_ref(number).newest;
            self.handlers[number.0 as usize].newest = newest.max(stored.newest);
            self.join_handler(number, theirs, is_newer, &authors);
            self.handlers[number.0 as usize].revision += 1;
        }
        let mut vector = self.vector();
        vector.merge(&parts.vector);
        for (peer, clock) in parts.vector.iter() {
            self.log.authors.intern(peer);
            self.clock = self.clock.receive_event(self.wall_clock.now_ms(), clock);
        }
        self.note_missing(&vector);
        let entries = self.joined_entries(theirs, is_newer);
        self.snapshot = Some(Box::new(Snapshot::new(vector, entries)));
        self.native_base = None;
        self.rebase()?;
        self.generation += 1;
        self.note(Origin::Remote, &[], start, true);
        Ok(())
    }

    fn join_handler(
        &mut self,
        number: HandlerIdx,
        theirs: &Document,
        is_newer: bool,
        authors: &[AuthorIdx],
    ) {
        let id = self.handler_id(number).to_owned();
        let Some(other) = theirs.find_handler(&id) else {
            return;
        };
        let floor = self.floor_of(number);
        let their_floor = theirs.floor_of(other);
        let their_floor = their_floor
            .into_iter()
            .map(|(author, counter)| (authors[author.0 as usize], counter))
            .collect();
        let before = self.handler_ref(number).visible(&self.log.content);
        let own = self.own;
        let handler = &mut self.handlers[number.0 as usize];
        let joined = match (&mut handler.state, &theirs.handler_ref(other).state) {
            (State::Fugue(state), State::Fugue(other)) => {
                let slots = Theirs {
                    sequence: &other.sequence,
                    authors,
                    floor: &their_floor,
                };
                let theirs = (&slots, other, &theirs.log.content);
                let log = &mut self.log;
                merge_sequence::merge(state, &mut log.content, &floor, theirs, &log.authors);
                let end = state.sequence.end_of(own).unwrap_or(0);
                let seen = their_floor.get(&own).map_or(0, |seen| seen + 1);
                let seen = u32::try_from(seen).unwrap_or(u32::MAX);
                state.next_counter = state.next_counter.max(end).max(seen);
                // The recorder compares before and after by itself.
                return;
            }
            (State::MovableList(state), State::MovableList(other)) => {
                merge_movable::merge(state, other);
                true
            }
            (state, other) => {
                let other = other.bytes().expect("all others are bytes");
                let native = other.native_state(true);
                let state = state.bytes_mut().expect("all others are bytes");
                // What was just written can be read.
                let mut join = |bytes: &[u8]| state.join_native(bytes).unwrap_or(false);
                native.as_deref().is_some_and(&mut join)
                    || is_newer && {
                        handler.reset(None, &mut self.log, own);
                        let state = handler.state.bytes_mut().expect("of the same kind");
                        native.is_some_and(|bytes| state.join_native(&bytes).unwrap_or(false))
                    }
            }
        };
        if !joined && is_newer {
            let blob = theirs.handler_snapshot_state(other);
            self.handlers[number.0 as usize].reset(Some(&blob), &mut self.log, own);
        }
        self.note_restored(number);
        self.handlers[number.0 as usize].record_difference(before, &self.log.content);
    }

    fn floor_of(&self, number: HandlerIdx) -> Floor {
        self.floor_by_author(number).into_iter().collect()
    }

    /// Entries of handlers that nobody registered, by crdt_lf's rule.
    fn joined_entries(&self, theirs: &Document, is_newer: bool) -> Vec<(String, Vec<u8>)> {
        let of = |document: &Document| {
            let snapshot = document.snapshot.as_ref();
            snapshot.map_or_else(Vec::new, |snapshot| snapshot.entries().to_vec())
        };
        let (mut first, mut second) = (of(theirs), of(self));
        if is_newer {
            std::mem::swap(&mut first, &mut second);
        }
        // Of an id that is repeated the last one counts.
        first.append(&mut second);
        first
    }
}
