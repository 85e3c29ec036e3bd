//! A document and the model of it, compared after every step.

use super::super::model_oracle::Rng;
use super::super::model_oracle::clock::Clock;
use super::super::model_oracle::ops::id_of;
use super::super::model_oracle::peer::ModelPeer;
use super::super::model_oracle::state::{State, States};
use super::super::model_oracle::tagged::equal;
use super::edits::KEYS;
use super::shadow::{Shadow, Shown};
use syncline::clock::PeerId;
use syncline::codec::{Change, ElementId, Value, change};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, WallClock,
};
use syncline::replica::{ApplyError, Replica as _};

pub struct Peer {
    pub document: Document,
    pub model: ModelPeer,
    /// The handlers that this script edits.
    pub kinds: Vec<HandlerKind>,
    /// Whether it makes changes of a type that nobody knows.
    pub makes_unknown: bool,
    shadow: Shadow,
    /// Number of the last commit seen.
    commits: u64,
}

impl Peer {
    pub fn new(rng: &mut Rng, number: usize, kinds: &[HandlerKind]) -> Self {
        let mut bytes = [0x11; 16];
        // The order of peers decides between siblings: it must not be the order of creation.
        bytes[0] = rng.below(256) as u8;
        bytes[1] = number as u8;
        bytes[6] = 0x40;
        bytes[8] = 0x80;
        let id = PeerId::from_bytes(bytes);
        let wall_ms = rng.below(4) as i64 * 10;
        let mut document = Document::new(DocumentOptions {
            peer_id: Some(id),
            wall_clock: WallClock::Fixed(wall_ms),
            ..DocumentOptions::default()
        });
        document.set_recording(true);
        document.observe_all(true);
        let mut peer = Peer {
            document,
            model: ModelPeer::new(id, wall_ms),
            kinds: kinds.to_vec(),
            makes_unknown: rng.once_in(8),
            shadow: Shadow::default(),
            commits: 0,
        };
        let late = rng.once_in(4);
        for kind in kinds {
            if !late || rng.once_in(2) {
                peer.register(*kind);
            }
        }
        peer
    }

    /// Registers a handler, perhaps long after its first changes came. No commit tells of it.
    pub fn register(&mut self, kind: HandlerKind) -> HandlerIdx {
        let is_new = self.document.find_handler(id_of(kind)).is_none();
        let spec = HandlerSpec::new(kind);
        let handler = self.document.handler(id_of(kind), &spec).unwrap();
        if is_new {
            self.shadow.0.insert(handler, self.shown(handler));
        }
        handler
    }

    pub fn register_all(&mut self) {
        for kind in self.kinds.clone() {
            self.register(kind);
        }
    }

    fn shown(&self, handler: HandlerIdx) -> Shown {
        let (document, mut shown) = (&self.document, Shown::default());
        match document.handler_kind(handler) {
            HandlerKind::Text | HandlerKind::FugueText => shown.text = units_of(document, handler),
            HandlerKind::List
            | HandlerKind::FugueList
            | HandlerKind::ListRef
            | HandlerKind::MovableList
            | HandlerKind::MovableListRef => shown.list = document.list_values(handler),
            HandlerKind::Map | HandlerKind::MapRef | HandlerKind::OrMap => {
                shown.map = document.map_entries(handler).into_iter().collect()
            }
            HandlerKind::Register => shown.register = document.register_get(handler),
            HandlerKind::OrSet => shown.set = document.set_values(handler),
            HandlerKind::Custom => unreachable!("not of crdt_lf"),
        }
        shown
    }

    /// A snapshot without pruning changes nothing here, and another document starts from it.
    pub fn snapshot(&mut self, rng: &mut Rng) {
        if self.model.depth > 0 {
            assert!(matches!(
                self.document.take_snapshot(false),
                Err(ApplyError::InTransaction)
            ));
            return;
        }
        self.register_all();
        // Under an id that is registered it is a change that nobody sees.
        let unknown = |change: &Change| {
            change.envelope().is_ok_and(|envelope| {
                envelope.handler_type == super::edits::UNKNOWN_TAG
                    && self.document.find_handler(envelope.handler_id).is_none()
            })
        };
        if self.model.stored.iter().any(unknown) {
            // It would cover changes whose effect it lacks.
            assert!(matches!(
                self.document.take_snapshot(false),
                Err(ApplyError::UnknownHandler { .. })
            ));
            return;
        }
        let snapshot = self.document.take_snapshot(false).unwrap().clone();
        assert_eq!(snapshot.vector(), &self.document.version_vector());
        let mut other = Peer::new(rng, 0xff, &self.kinds);
        other.register_all();
        assert!(other.document.import_snapshot(&snapshot, true).unwrap());
        other.document.check();
        assert_eq!(other.values(), self.values());
        other.hear_of_commits();
        other.check_shadow();
        // All of it is covered.
        assert_eq!(
            other
                .document
                .import_changes(self.model.stored.clone(), &[], Origin::Remote)
                .unwrap()
                .applied,
            0
        );
    }

    pub fn import(&mut self, rng: &mut Rng, changes: Vec<Change>) {
        if rng.once_in(6) {
            self.import_one_by_one(rng, &changes);
        } else {
            self.import_together(rng, changes);
        }
    }

    pub fn import_together(&mut self, rng: &mut Rng, changes: Vec<Change>) {
        let outcome = if rng.once_in(2) {
            let bytes = change::encode_list(changes.iter());
            self.document
                .import_list(&bytes, b"tag", Origin::Remote)
                .unwrap()
        } else {
            self.document
                .import_changes(changes.clone(), b"tag", Origin::Remote)
                .unwrap()
        };
        assert_eq!(outcome.applied, self.model.import(&changes));
    }

    fn import_one_by_one(&mut self, rng: &mut Rng, changes: &[Change]) {
        for change in changes {
            let is_ready = change
                .deps
                .iter()
                .all(|dep| self.model.stored.iter().any(|known| known.id == *dep));
            let is_new = self.model.apply(change);
            let done = match rng.once_in(2) {
                true => self.document.apply_change(change, b"tag"),
                false => self.document.apply(change.clone()),
            };
            match done {
                Ok(done) => assert_eq!(done, is_new),
                Err(ApplyError::NotReady { .. }) => assert!(!is_new && !is_ready),
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn close_transaction(&mut self, rng: &mut Rng) {
        while self.model.depth > 0 {
            self.document.commit().unwrap();
            self.model.commit();
        }
        let made = self.new_changes();
        self.model.adopt(&made);
        self.check(rng);
    }

    /// Changes of the document that the model does not have yet.
    pub fn new_changes(&self) -> Vec<Change> {
        let known = self.model.stored.len();
        self.document.all_changes().split_off(known)
    }

    pub fn values(&self) -> Vec<(String, Value)> {
        let known = self.kinds.iter().filter_map(|kind| {
            let handler = self.document.find_handler(id_of(*kind))?;
            Some((
                id_of(*kind).to_owned(),
                self.document.handler_value(handler),
            ))
        });
        known.collect()
    }

    pub fn check(&mut self, rng: &mut Rng) {
        let (document, model) = (&self.document, &self.model);
        document.check();
        assert_eq!(document.all_changes(), model.stored);
        assert_eq!(document.change_count(), model.stored.len() as u64);
        assert_eq!(document.frontiers(), model.frontier);
        assert_eq!(Clock::of(document.clock()), model.clock);
        assert_eq!(document.in_transaction(), model.depth > 0);
        let vector = document.version_vector();
        for change in &model.stored {
            assert_eq!(vector.get(&change.id.peer), model.seen(change.id.peer));
        }
        let states = model.states();
        self.check_values(&states);
        self.check_positions(rng, &states);
        self.hear_of_commits();
        if self.model.depth == 0 {
            self.check_shadow();
        }
    }

    fn check_values(&self, states: &States) {
        for kind in &self.kinds {
            if let Some(handler) = self.document.find_handler(id_of(*kind)) {
                self.check_handler(*kind, handler, &states.of(*kind));
            }
        }
    }

    fn check_handler(&self, kind: HandlerKind, handler: HandlerIdx, state: &State) {
        let document = &self.document;
        match kind {
            HandlerKind::Text | HandlerKind::FugueText => {
                let units = state.text(kind);
                assert_eq!(units_of(document, handler), units, "{kind:?}");
                assert_eq!(document.text_len_utf16(handler), units.len() as u64);
                assert_eq!(
                    document.text_string(handler),
                    String::from_utf16_lossy(&units)
                );
            }
            HandlerKind::Map | HandlerKind::MapRef => {
                assert_eq!(document.map_entries(handler), state.map, "{kind:?}");
                assert_eq!(document.map_len(handler), state.map.len() as u64);
                for key in KEYS {
                    let expected = state.map.iter().find(|(known, _)| known == key);
                    let expected = expected.map(|(_, value)| value.clone());
                    assert_eq!(document.map_get(handler, key), expected);
                }
            }
            HandlerKind::OrMap => {
                let entries = state.tagged.entries();
                assert_eq!(document.map_entries_any(handler), entries);
                assert_eq!(document.map_len(handler), entries.len() as u64);
                for (key, value) in entries {
                    assert_eq!(document.map_get_any(handler, &key), Some(value));
                }
            }
            HandlerKind::Register => assert_eq!(document.register_get(handler), state.register),
            HandlerKind::OrSet => {
                let elements = state.tagged.elements();
                assert_eq!(document.set_values(handler), elements);
                assert_eq!(document.set_len(handler), elements.len() as u64);
            }
            _ => {
                let values = state.values(kind);
                assert_eq!(document.list_values(handler), values, "{kind:?}");
                assert_eq!(document.list_len(handler), values.len() as u64);
                if let Some(last) = values.len().checked_sub(1) {
                    let got = document.list_get(handler, last as u64);
                    assert_eq!(got.as_ref(), values.last());
                }
            }
        }
    }

    /// Caret anchors (9.9): the element before the caret, and where it is found again.
    fn check_positions(&self, rng: &mut Rng, states: &States) {
        let kind = *rng.pick(&[
            HandlerKind::FugueText,
            HandlerKind::FugueList,
            HandlerKind::ListRef,
        ]);
        let Some(handler) = self.document.find_handler(id_of(kind)) else {
            return;
        };
        let is_text = kind == HandlerKind::FugueText;
        let tree = states.of(kind).tree;
        let live = tree.live();
        let index = rng.below(live.len() + 1);
        let mut expected = Vec::new();
        ElementId::write(
            index.checked_sub(1).map(|before| live[before]),
            &mut expected,
        );
        let position = match is_text {
            true => self.document.text_position_at(handler, index as u64),
            false => self.document.list_position_at(handler, index as u64),
        };
        assert_eq!(position.unwrap(), expected);
        // Of any element, deleted ones too.
        let order = tree.order();
        if let Some((id, value)) = (!order.is_empty()).then(|| rng.pick(&order)) {
            let at = order.iter().position(|(other, _)| other == id).unwrap();
            let before = order[..at]
                .iter()
                .filter(|(_, value)| value.is_some())
                .count();
            let mut position = Vec::new();
            ElementId::write(Some(*id), &mut position);
            let found = match is_text {
                true => self.document.text_position_index(handler, &position),
                false => self.document.list_position_index(handler, &position),
            };
            assert_eq!(
                found.unwrap(),
                Some((before + usize::from(value.is_some())) as u64)
            );
        }
    }

    fn hear_of_commits(&mut self) {
        for commit in self.document.take_commits() {
            assert_eq!(commit.number, self.commits + 1);
            self.commits = commit.number;
            self.shadow.apply(&self.document, &commit);
        }
    }

    fn check_shadow(&self) {
        for kind in &self.kinds {
            let Some(handler) = self.document.find_handler(id_of(*kind)) else {
                continue;
            };
            let (known, shown) = (&self.shadow.0[&handler], self.shown(handler));
            if *kind != HandlerKind::OrSet {
                assert_eq!(*known, shown, "{kind:?}");
                continue;
            }
            let is_known = |value| known.set.iter().any(|known| equal(known, value));
            assert!(known.set.len() == shown.set.len() && shown.set.iter().all(is_known));
        }
    }
}

pub fn units_of(document: &Document, handler: HandlerIdx) -> Vec<u16> {
    let mut units = Vec::new();
    document.text_slice_utf16(handler, 0..u64::MAX, &mut units);
    units
}
