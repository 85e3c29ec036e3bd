//! Random scripts of several peers over all handlers at once, against a slow and literal model of
//! the specification: every peer's values, clock, heads and changes equal the model's after every
//! step, deltas lead from each state to the next, and all converge in the end.

mod model_oracle;

use model_oracle::Rng;
use model_oracle::clock::Clock;
use model_oracle::ops::{MAP, REGISTER, SET, TEXT};
use model_oracle::peer::ModelPeer;
use model_oracle::state::{State, equal};
use std::collections::BTreeMap;
use syncline::clock::PeerId;
use syncline::codec::{Change, ElementId, Envelope, Value, change};
use syncline::document::{
    Commit, Document, DocumentOptions, HandlerDelta, HandlerIdx, HandlerKind, HandlerSpec, MapOp,
    Origin, TextOp, WallClock,
};
use syncline::replica::{ApplyError, Replica as _};

/// Set the variable to run more of them.
const SCRIPTS: u64 = 1000;
const SCRIPTS_VARIABLE: &str = "SYNCLINE_MODEL_SCRIPTS";

/// Prints the seed of a script that fails.
struct PrintOnPanic(u64);

impl Drop for PrintOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: seed {}", self.0);
        }
    }
}

#[test]
fn every_peer_shows_what_the_model_of_its_changes_shows() {
    let scripts =
        std::env::var(SCRIPTS_VARIABLE).map_or(SCRIPTS, |count| count.parse().expect("a number"));
    for seed in 0..scripts {
        run(seed, 70);
    }
}

/// Few scripts, long enough that texts fill many nodes of their trees.
#[test]
fn long_scripts_agree_with_the_model() {
    for seed in 0..3 {
        run(seed, 700);
    }
}

fn run(seed: u64, steps: usize) {
    let _print = PrintOnPanic(seed);
    let mut rng = Rng::new(seed);
    let count = 2 + rng.below(4);
    let mut peers: Vec<Peer> = (0..count)
        .map(|number| Peer::new(&mut rng, number))
        .collect();
    for _ in 0..steps {
        let at = rng.below(count);
        if rng.once_in(4) {
            let from = rng.below(count);
            let changes = some_changes(&mut rng, &peers[from].model.stored);
            peers[at].import(&mut rng, changes);
        } else {
            peers[at].edit(&mut rng);
        }
        peers[at].check(&mut rng);
    }
    converge(&mut rng, &mut peers);
}

/// Part of a history, shuffled, some of it twice.
fn some_changes(rng: &mut Rng, stored: &[Change]) -> Vec<Change> {
    let mut changes = stored.to_vec();
    match rng.below(4) {
        0 => (),
        1 => changes.retain(|_| !rng.once_in(3)),
        2 => changes.truncate(rng.below(changes.len() + 1)),
        _ => drop(changes.drain(..rng.below(changes.len() + 1))),
    }
    if rng.once_in(2) {
        rng.shuffle(&mut changes);
    }
    if rng.once_in(3) && !changes.is_empty() {
        let again = rng.pick(&changes).clone();
        changes.insert(rng.below(changes.len() + 1), again);
    }
    changes
}

fn converge(rng: &mut Rng, peers: &mut [Peer]) {
    for peer in peers.iter_mut() {
        peer.close_transaction(rng);
        peer.register_all();
    }
    let mut all: Vec<Change> = peers
        .iter()
        .flat_map(|peer| peer.model.stored.clone())
        .collect();
    for peer in peers.iter_mut() {
        rng.shuffle(&mut all);
        peer.import_together(rng, all.clone());
        peer.check(rng);
    }
    let first = peers[0].values();
    assert_eq!(first.len(), HANDLERS.len());
    for peer in &peers[1..] {
        assert_eq!(peer.values(), first);
        assert_eq!(
            peer.document.version_vector(),
            peers[0].document.version_vector()
        );
    }
}

const HANDLERS: [(&str, HandlerKind); 4] = [
    (TEXT, HandlerKind::FugueText),
    (MAP, HandlerKind::Map),
    (REGISTER, HandlerKind::Register),
    (SET, HandlerKind::OrSet),
];

const KEYS: [&str; 4] = ["a", "b", "\u{e9}", ""];

/// What somebody who only hears of commits knows.
#[derive(Default)]
struct Shadow {
    text: Vec<u16>,
    map: BTreeMap<String, Value>,
    register: Option<Value>,
    set: Vec<Value>,
}

struct Peer {
    document: Document,
    model: ModelPeer,
    shadow: Shadow,
    /// Number of the last commit seen.
    commits: u64,
}

impl Peer {
    fn new(rng: &mut Rng, number: usize) -> Self {
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
            shadow: Shadow::default(),
            commits: 0,
        };
        let late = rng.once_in(4);
        for (id, kind) in HANDLERS {
            if !late || rng.once_in(2) {
                peer.register(id, kind);
            }
        }
        peer
    }

    /// Registers a handler, perhaps long after its first changes came. No commit tells of it.
    fn register(&mut self, id: &str, kind: HandlerKind) -> HandlerIdx {
        let is_new = self.document.find_handler(id).is_none();
        let handler = self.document.handler(id, &HandlerSpec::new(kind)).unwrap();
        if is_new {
            self.look(handler, kind);
        }
        handler
    }

    fn register_all(&mut self) {
        for (id, kind) in HANDLERS {
            self.register(id, kind);
        }
    }

    fn look(&mut self, handler: HandlerIdx, kind: HandlerKind) {
        match kind {
            HandlerKind::FugueText => self.shadow.text = units_of(&self.document, handler),
            HandlerKind::Map => {
                self.shadow.map = self.document.map_entries(handler).into_iter().collect()
            }
            HandlerKind::Register => self.shadow.register = self.document.register_get(handler),
            HandlerKind::OrSet => self.shadow.set = self.document.set_values(handler),
            _ => unreachable!("the scripts have no other handlers"),
        }
    }

    fn edit(&mut self, rng: &mut Rng) {
        match rng.below(20) {
            0..=8 => self.edit_text(rng),
            9..=11 => self.edit_map(rng),
            12 => {
                let (handler, value) = (
                    self.register(REGISTER, HandlerKind::Register),
                    some_value(rng),
                );
                self.document.register_set(handler, &value).unwrap();
                self.model.register_set(&value);
            }
            13..=15 => self.edit_set(rng),
            // From the beginning, with the open transaction on top: nothing changes.
            16 | 17 if self.document.last_snapshot().is_none() && rng.once_in(4) => {
                self.document.replay_all()
            }
            16 => {
                self.document.begin(b"tag").unwrap();
                self.model.begin();
            }
            17 if self.model.depth > 0 => {
                self.document.commit().unwrap();
                self.model.commit();
            }
            18 if self.model.depth > 0 && rng.once_in(2) => {
                self.document.rollback().unwrap();
                self.model.rollback();
            }
            18 => self.snapshot(rng),
            19 => self.foreign_bytes(rng),
            _ => self.set_text(rng),
        }
        let made = self.new_changes();
        self.model.adopt(&made);
    }

    fn edit_text(&mut self, rng: &mut Rng) {
        const PIECES: [&[u16]; 6] = [
            &[0x61],
            &[0x62, 0x63],
            &[0x64, 0x65, 0x66, 0x67],
            &[0xe9],
            &[0xd83d, 0xde00],
            &[0xde00],
        ];
        let handler = self.register(TEXT, HandlerKind::FugueText);
        let len = self.document.text_len_utf16(handler) as usize;
        let at = match rng.below(3) {
            0 => len,
            1 => len.saturating_sub(1),
            _ => rng.below(len + 1),
        };
        let piece = *rng.pick(&PIECES);
        match rng.below(8) {
            0..=4 => {
                match String::from_utf16(piece) {
                    Ok(text) => self
                        .document
                        .text_insert(handler, at as u64, &text)
                        .unwrap(),
                    Err(_) => self
                        .document
                        .text_insert_utf16(handler, at as u64, piece)
                        .unwrap(),
                }
                self.model.text_insert(at, piece);
            }
            5 | 6 if len > at => {
                let count = 1 + rng.below((len - at).min(5));
                self.document
                    .text_remove(handler, at as u64, count as u64)
                    .unwrap();
                self.model.text_remove(at, count);
            }
            _ => {
                self.document
                    .text_update_utf16(handler, at as u64, piece)
                    .unwrap();
                self.model.text_update(at, piece);
            }
        }
    }

    fn edit_map(&mut self, rng: &mut Rng) {
        let handler = self.register(MAP, HandlerKind::Map);
        let (key, value) = (*rng.pick(&KEYS), some_value(rng));
        match rng.below(3) {
            0 => {
                self.document.map_set(handler, key, &value).unwrap();
                self.model.map_set(key, &value);
            }
            1 => {
                self.document.map_update(handler, key, &value).unwrap();
                self.model.map_update(key, &value);
            }
            _ => {
                self.document.map_remove(handler, key).unwrap();
                self.model.map_remove(key);
            }
        }
    }

    fn edit_set(&mut self, rng: &mut Rng) {
        let (handler, value) = (self.register(SET, HandlerKind::OrSet), some_value(rng));
        if rng.once_in(3) {
            self.document.set_remove(handler, &value).unwrap();
            self.model.set_remove(&value);
        } else {
            self.document.set_add(handler, &value).unwrap();
            self.model.set_add(&value);
        }
    }

    /// Any edits that lead to a text; in a transaction there is nothing yet to compare with.
    fn set_text(&mut self, rng: &mut Rng) {
        if self.model.depth > 0 {
            return;
        }
        let handler = self.register(TEXT, HandlerKind::FugueText);
        let mut units = units_of(&self.document, handler);
        for _ in 0..rng.below(4) {
            let at = rng.below(units.len() + 1);
            let end = (at + rng.below(3)).min(units.len());
            units.splice(
                at..end,
                (0..rng.below(3))
                    .map(|_| 0x70 + rng.below(5) as u16)
                    .collect::<Vec<_>>(),
            );
        }
        self.document.text_set(handler, &units).unwrap();
        let made = self.new_changes();
        self.model.follow(&made);
        assert_eq!(units_of(&self.document, handler), units);
    }

    /// A change of which nobody here knows what it means: at once, even in a transaction.
    fn foreign_bytes(&mut self, rng: &mut Rng) {
        let mut payload = Vec::new();
        match rng.below(4) {
            0 => Envelope {
                handler_type: "CRDTUnknown",
                handler_id: "x",
                kind: 7,
                body: b"body",
            }
            .encode(&mut payload),
            1 => Envelope {
                handler_type: "CRDTUnknown",
                handler_id: TEXT,
                kind: 0,
                body: b"",
            }
            .encode(&mut payload),
            2 => {
                let text = Envelope {
                    handler_type: "CRDTFugueTextHandler",
                    handler_id: TEXT,
                    kind: 0,
                    body: b"\x05cut",
                };
                text.encode(&mut payload);
            }
            _ => {
                let map = Envelope {
                    handler_type: "CRDTMapHandler<dynamic>",
                    handler_id: MAP,
                    kind: 9,
                    body: b"\x01a",
                };
                map.encode(&mut payload);
            }
        }
        let made = self.document.create_change(payload.clone()).unwrap();
        assert_eq!(made.payload, payload);
        self.model.follow(&[made]);
    }

    /// A snapshot without pruning changes nothing here, and another document starts from it.
    fn snapshot(&mut self, rng: &mut Rng) {
        if self.model.depth > 0 {
            assert!(matches!(
                self.document.take_snapshot(false),
                Err(ApplyError::InTransaction)
            ));
            return;
        }
        self.register_all();
        let snapshot = self.document.take_snapshot(false).unwrap().clone();
        assert_eq!(snapshot.vector(), &self.document.version_vector());
        let mut other = Peer::new(rng, 0xff);
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

    fn import(&mut self, rng: &mut Rng, changes: Vec<Change>) {
        if rng.once_in(6) {
            self.import_one_by_one(rng, &changes);
        } else {
            self.import_together(rng, changes);
        }
    }

    fn import_together(&mut self, rng: &mut Rng, changes: Vec<Change>) {
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

    fn close_transaction(&mut self, rng: &mut Rng) {
        while self.model.depth > 0 {
            self.document.commit().unwrap();
            self.model.commit();
        }
        let made = self.new_changes();
        self.model.adopt(&made);
        self.check(rng);
    }

    /// Changes of the document that the model does not have yet.
    fn new_changes(&self) -> Vec<Change> {
        let known = self.model.stored.len();
        self.document.all_changes().split_off(known)
    }

    fn values(&self) -> Vec<(String, Value)> {
        let known = HANDLERS
            .iter()
            .filter_map(|(id, _)| self.document.find_handler(id).map(|handler| (*id, handler)));
        known
            .map(|(id, handler)| (id.to_owned(), self.document.handler_value(handler)))
            .collect()
    }

    fn check(&mut self, rng: &mut Rng) {
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
        let state = model.state();
        self.check_values(&state);
        self.check_positions(rng, &state);
        self.hear_of_commits();
        if self.model.depth == 0 {
            self.check_shadow();
        }
    }

    fn check_values(&self, state: &State) {
        let document = &self.document;
        if let Some(text) = document.find_handler(TEXT) {
            let units = state.text.values().concat();
            assert_eq!(units_of(document, text), units);
            assert_eq!(document.text_len_utf16(text), units.len() as u64);
            assert_eq!(document.text_string(text), String::from_utf16_lossy(&units));
        }
        if let Some(map) = document.find_handler(MAP) {
            assert_eq!(document.map_entries(map), state.map);
            assert_eq!(document.map_len(map), state.map.len() as u64);
            for key in KEYS {
                let expected = state
                    .map
                    .iter()
                    .find(|(known, _)| known == key)
                    .map(|(_, value)| value.clone());
                assert_eq!(document.map_get(map, key), expected);
            }
        }
        if let Some(register) = document.find_handler(REGISTER) {
            assert_eq!(document.register_get(register), state.register);
        }
        if let Some(set) = document.find_handler(SET) {
            assert_eq!(document.set_values(set), state.set.values());
            assert_eq!(document.set_len(set), state.set.live.len() as u64);
        }
    }

    /// Caret anchors (9.9): the element before the caret, and where it is found again.
    fn check_positions(&self, rng: &mut Rng, state: &State) {
        let Some(text) = self.document.find_handler(TEXT) else {
            return;
        };
        let live = state.text.live();
        let index = rng.below(live.len() + 1);
        let mut expected = Vec::new();
        ElementId::write(
            index.checked_sub(1).map(|before| live[before]),
            &mut expected,
        );
        assert_eq!(
            self.document.text_position_at(text, index as u64).unwrap(),
            expected
        );
        // Of any element, deleted ones too.
        let order = state.text.order();
        if let Some((id, value)) = (!order.is_empty()).then(|| rng.pick(&order)) {
            let at = order.iter().position(|(other, _)| other == id).unwrap();
            let before = order[..at]
                .iter()
                .filter(|(_, value)| value.is_some())
                .count();
            let mut position = Vec::new();
            ElementId::write(Some(*id), &mut position);
            let found = self.document.text_position_index(text, &position).unwrap();
            assert_eq!(found, Some((before + usize::from(value.is_some())) as u64));
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
        let document = &self.document;
        if let Some(text) = document.find_handler(TEXT) {
            assert_eq!(self.shadow.text, units_of(document, text));
        }
        if let Some(map) = document.find_handler(MAP) {
            assert_eq!(
                self.shadow.map,
                document.map_entries(map).into_iter().collect()
            );
        }
        if let Some(register) = document.find_handler(REGISTER) {
            assert_eq!(self.shadow.register, document.register_get(register));
        }
        if let Some(set) = document.find_handler(SET) {
            let values = document.set_values(set);
            assert_eq!(
                self.shadow.set.len(),
                values.len(),
                "{:?} instead of {values:?}",
                self.shadow.set
            );
            assert!(
                values
                    .iter()
                    .all(|value| self.shadow.set.iter().any(|known| equal(known, value)))
            );
        }
    }
}

impl Shadow {
    fn apply(&mut self, document: &Document, commit: &Commit) {
        for (handler, delta) in &commit.deltas {
            let kind = match delta {
                HandlerDelta::Text(_) => HandlerKind::FugueText,
                HandlerDelta::Map(_) => HandlerKind::Map,
                HandlerDelta::Register(_) => HandlerKind::Register,
                HandlerDelta::Set(_) => HandlerKind::OrSet,
                HandlerDelta::List(_) => unreachable!("the scripts have no lists"),
            };
            assert_eq!(document.handler_kind(*handler), kind);
            match delta {
                HandlerDelta::Text(steps) => self.text = after(&self.text, steps),
                HandlerDelta::Map(events) => {
                    events.iter().for_each(|event| self.apply_to_map(event))
                }
                HandlerDelta::Register(events) => {
                    assert!(events.len() == 1 && events[0].old == self.register);
                    self.register = events[0].new.clone();
                }
                HandlerDelta::Set(events) => {
                    events.iter().for_each(|event| self.apply_to_set(event))
                }
                HandlerDelta::List(_) => unreachable!("the scripts have no lists"),
            }
        }
    }

    fn apply_to_map(&mut self, event: &MapOp) {
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

    fn apply_to_set(&mut self, event: &MapOp) {
        if let Some(old) = &event.old {
            let at = self
                .set
                .iter()
                .position(|known| equal(known, old))
                .expect("an element that was there");
            self.set.remove(at);
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

fn after(text: &[u16], steps: &[TextOp]) -> Vec<u16> {
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

fn units_of(document: &Document, handler: HandlerIdx) -> Vec<u16> {
    let mut units = Vec::new();
    document.text_slice_utf16(handler, 0..u64::MAX, &mut units);
    units
}

/// Few values, so that they meet; 1 and 1.0 are equal elements of a set.
fn some_value(rng: &mut Rng) -> Value {
    match rng.below(8) {
        0..=2 => Value::Int(rng.below(3) as i64),
        3 => Value::Double(1.0),
        4 => Value::Double(0.5),
        5 => Value::Bool(true),
        6 => Value::Null,
        _ => Value::from(*rng.pick(&["x", "y\u{1f600}"])),
    }
}
