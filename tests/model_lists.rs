//! Random scripts of several peers on Fugue lists, against the literal tree of the specification:
//! values, positions and deltas equal the model's after every step, changes keep their bytes, and
//! all peers converge, whether they pruned or not.

mod model_oracle;

use model_oracle::Rng;
use model_oracle::tree::Tree;
use std::collections::HashMap;
use syncline::clock::{OperationId, PeerId};
use syncline::codec::{Change, DecodeError, ElementId, Envelope, Reader, Value, json};
use syncline::document::{
    Affinity, Document, DocumentError, DocumentOptions, HandlerDelta, HandlerIdx, HandlerKind,
    HandlerSpec, ListOp, Origin, WallClock,
};
use syncline::replica::Replica as _;

const ID: &str = "list";
const TAG: &str = "CRDTFugueListHandler<dynamic>";

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
fn every_peer_shows_what_the_tree_of_its_changes_shows() {
    for seed in 0..400 {
        run(seed, 60);
    }
}

/// Long enough that lists fill many nodes of their trees, and that imports are large.
#[test]
fn long_scripts_agree_with_the_tree() {
    run(1000, 500);
}

fn run(seed: u64, steps: usize) {
    let _print = PrintOnPanic(seed);
    let mut rng = Rng::new(seed);
    let count = 2 + rng.below(4);
    let mut peers: Vec<Peer> = (0..count).map(|nth| Peer::new(&mut rng, nth)).collect();
    // Every change as its author made it.
    let mut made = HashMap::new();
    for _ in 0..steps {
        let at = rng.below(count);
        if rng.once_in(5) {
            let from = rng.below(count);
            let mut changes = peers[from].document.all_changes();
            changes.truncate(1 + rng.below(changes.len() + 1));
            rng.shuffle(&mut changes);
            peers[at].import(changes);
        } else {
            peers[at].edit(&mut rng);
        }
        peers[at].check(&mut rng, &mut made);
    }
    converge(&mut rng, &mut peers, &mut made);
    prune_and_go_on(&mut rng, &mut peers);
}

fn converge(rng: &mut Rng, peers: &mut [Peer], made: &mut HashMap<OperationId, Change>) {
    for peer in peers.iter_mut() {
        while peer.document.in_transaction() {
            peer.commit();
        }
        peer.check(rng, made);
    }
    let mut all: Vec<Change> = made.values().cloned().collect();
    for peer in peers.iter_mut() {
        rng.shuffle(&mut all);
        peer.import(all.clone());
        peer.check(rng, made);
    }
    // Who gets everything at once.
    let mut late = Peer::new(rng, 0xfe);
    late.import(all);
    late.check(rng, made);
    for peer in peers.iter() {
        assert_eq!(peer.values(), late.values());
    }
}

/// Some forget their changes, which must not lose values, nor the places of removed elements.
fn prune_and_go_on(rng: &mut Rng, peers: &mut [Peer]) {
    let mut snapshot = None;
    for peer in peers.iter_mut() {
        let values = peer.values();
        if snapshot.is_none() || rng.once_in(2) {
            snapshot = Some(peer.document.take_snapshot(true).unwrap().clone());
            assert_eq!(peer.document.change_count(), 0);
        }
        peer.document.check();
        assert_eq!(peer.values(), values);
    }
    let mut fresh = Peer::new(rng, 0xff);
    let snapshot = snapshot.expect("the first peer took one");
    assert!(fresh.document.import_snapshot(&snapshot, true).unwrap());
    assert_eq!(fresh.values(), peers[0].values());
    fresh.hear_of_commits();
    assert_eq!(fresh.shadow, fresh.values());
    let before: Vec<_> = peers
        .iter()
        .map(|peer| peer.document.version_vector())
        .collect();
    for peer in peers.iter_mut() {
        for _ in 0..rng.below(4) {
            peer.plain_edit(rng);
        }
    }
    let new: Vec<Change> = peers
        .iter()
        .zip(&before)
        .flat_map(|(peer, before)| peer.document.changes_newer_than(before))
        .collect();
    for peer in peers.iter_mut() {
        peer.import(new.clone());
        peer.document.check();
        peer.hear_of_commits();
        assert_eq!(peer.shadow, peer.values());
    }
    for peer in &peers[1..] {
        assert_eq!(peer.values(), peers[0].values());
    }
    // Taking edits back leads to what the snapshot gives, and observers hear of all of it.
    for peer in peers.iter_mut() {
        peer.document.begin(b"").unwrap();
        for _ in 0..1 + rng.below(3) {
            peer.plain_edit(rng);
        }
        peer.document.rollback().unwrap();
        peer.document.check();
        peer.hear_of_commits();
        assert_eq!(peer.shadow, peer.values());
        let values = peer.values();
        peer.document.replay_all();
        assert_eq!(peer.values(), values);
    }
}

/// An operation as the specification lists it (9.9, 9.11).
#[derive(Clone, Debug, PartialEq)]
enum Op {
    Insert {
        left: Option<ElementId>,
        right: Option<ElementId>,
        items: Vec<(ElementId, Value)>,
    },
    Delete(Vec<ElementId>),
    Update(Vec<(ElementId, ElementId, Value)>),
}

impl Op {
    /// None: for somebody else, or not decodable, which has no effect.
    fn of(change: &Change) -> Option<Op> {
        let envelope = change.envelope().ok()?;
        if (envelope.handler_type, envelope.handler_id) != (TAG, ID) {
            return None;
        }
        let body = &mut Reader::new(envelope.body);
        match envelope.kind {
            0 => insert(body).ok(),
            1 => Some(Op::Delete(items(body, element).ok()?)),
            2 => {
                let item =
                    |body: &mut Reader<'_>| Ok((element(body)?, element(body)?, value(body)?));
                Some(Op::Update(items(body, item).ok()?))
            }
            _ => None,
        }
    }

    fn produced(&self) -> Vec<ElementId> {
        match self {
            Op::Insert { items, .. } => items.iter().map(|(id, _)| *id).collect(),
            Op::Delete(_) => Vec::new(),
            Op::Update(items) => items.iter().map(|(_, new, _)| *new).collect(),
        }
    }

    fn apply(&self, tree: &mut Tree<Value>) {
        match self {
            Op::Insert { left, right, items } => tree.insert_chain(*left, *right, items),
            Op::Delete(ids) => ids.iter().for_each(|id| tree.delete(*id)),
            Op::Update(items) => {
                for (old, new, value) in items {
                    tree.update(*old, *new, value.clone());
                }
            }
        }
        // Dead from birth.
        let nulls: Vec<ElementId> = tree
            .order()
            .iter()
            .filter(|(_, value)| *value == Some(&Value::Null))
            .map(|(id, _)| *id)
            .collect();
        nulls.into_iter().for_each(|id| tree.delete(id));
    }
}

fn insert(body: &mut Reader<'_>) -> Result<Op, DecodeError> {
    let (left, right) = (ElementId::read(body)?, ElementId::read(body)?);
    let items = items(body, |body| Ok((element(body)?, value(body)?)))?;
    Ok(Op::Insert { left, right, items })
}

fn items<T>(
    body: &mut Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    (0..body.count(1)?).map(|_| item(body)).collect()
}

fn element(body: &mut Reader<'_>) -> Result<ElementId, DecodeError> {
    ElementId::read(body)?.ok_or(DecodeError {
        offset: 0,
        expected: "not the null id",
    })
}

fn value(body: &mut Reader<'_>) -> Result<Value, DecodeError> {
    json::decode(body.prefixed()?)
}

struct Peer {
    id: PeerId,
    document: Document,
    handler: HandlerIdx,
    /// Operations of the open transaction.
    queue: Vec<Op>,
    depth: usize,
    next_counter: u64,
    /// What somebody who only hears of commits knows.
    shadow: Vec<Value>,
}

impl Peer {
    fn new(rng: &mut Rng, number: usize) -> Self {
        let mut bytes = [0x11; 16];
        // The order of peers decides between siblings: it must not be the order of creation.
        bytes[0] = rng.below(256) as u8;
        bytes[1] = number as u8;
        let id = PeerId::from_bytes(bytes);
        let mut document = Document::new(DocumentOptions {
            peer_id: Some(id),
            wall_clock: WallClock::Fixed(rng.below(4) as i64 * 10),
            ..DocumentOptions::default()
        });
        document.set_recording(true);
        document.observe_all(true);
        let spec = HandlerSpec::new(HandlerKind::FugueList);
        let handler = document.handler(ID, &spec).unwrap();
        assert_eq!(document.handler_type(handler), TAG);
        Peer {
            id,
            document,
            handler,
            queue: Vec::new(),
            depth: 0,
            next_counter: 0,
            shadow: Vec::new(),
        }
    }

    fn values(&self) -> Vec<Value> {
        self.document.list_values(self.handler)
    }

    /// 9.1: all stored changes in replay order, then what is queued.
    fn tree(&self) -> Tree<Value> {
        let mut changes = self.document.all_changes();
        changes.sort_by_key(|change| (change.id.hlc, change.id.peer));
        let mut tree = Tree::default();
        let stored = changes.iter().filter_map(Op::of);
        stored
            .chain(self.queue.iter().cloned())
            .for_each(|op| op.apply(&mut tree));
        tree
    }

    fn edit(&mut self, rng: &mut Rng) {
        match rng.below(20) {
            0..=13 => self.model_edit(rng),
            14 => {
                self.document.begin(b"tag").unwrap();
                self.depth += 1;
            }
            15 if self.depth > 0 => self.commit(),
            16 if self.depth > 0 => {
                self.document.rollback().unwrap();
                self.queue.clear();
                self.depth = 0;
                self.next_counter = self.counter_after_bodies();
            }
            17 => self.document.replay_all(),
            18 => self.foreign_bytes(rng),
            _ => self.refused(),
        }
    }

    fn commit(&mut self) {
        self.document.commit().unwrap();
        self.depth -= 1;
        if self.depth == 0 {
            let changes = self.document.all_changes();
            let queue = std::mem::take(&mut self.queue);
            let made = &changes[changes.len() - queue.len()..];
            // Neighbours never join (8.8).
            assert!(made.iter().map(|change| Op::of(change).unwrap()).eq(queue));
        }
    }

    /// One edit, and the operation that it must have become.
    fn model_edit(&mut self, rng: &mut Rng) {
        let tree = self.tree();
        let live = tree.live();
        let before = self.document.change_count();
        let at = rng.below(live.len() + 1);
        let (document, handler) = (&mut self.document, self.handler);
        let mut next = self.next_counter;
        let mut new_id = || {
            next += 1;
            ElementId {
                peer: self.id,
                counter: next - 1,
            }
        };
        let op = match rng.below(6) {
            0..=2 => {
                let values: Vec<Value> = (0..1 + rng.below(4)).map(|_| some_value(rng)).collect();
                let at = if rng.once_in(2) { live.len() } else { at };
                match at == live.len() {
                    true => document.list_push(handler, &values).unwrap(),
                    false => document.list_insert(handler, at as u64, &values).unwrap(),
                }
                let (left, right) = tree.origins(at);
                let items = values.into_iter().map(|value| (new_id(), value)).collect();
                Op::Insert { left, right, items }
            }
            3 | 4 if at < live.len() => {
                let count = 1 + rng.below((live.len() - at).min(4));
                document
                    .list_remove(handler, at as u64, count as u64)
                    .unwrap();
                Op::Delete(live[at..at + count].to_vec())
            }
            _ if at < live.len() => {
                let value = some_value(rng);
                document.list_update(handler, at as u64, &value).unwrap();
                Op::Update(vec![(live[at], new_id(), value)])
            }
            _ => return,
        };
        self.next_counter = next;
        if self.depth > 0 {
            assert_eq!(self.document.change_count(), before);
            self.queue.push(op);
            return;
        }
        assert_eq!(self.document.change_count(), before + 1);
        let made = self.document.all_changes();
        assert_eq!(made.last().and_then(Op::of), Some(op));
    }

    /// An edit that nobody models.
    fn plain_edit(&mut self, rng: &mut Rng) {
        let len = self.document.list_len(self.handler);
        let at = rng.below(len as usize + 1) as u64;
        let value = some_value(rng);
        let (document, handler) = (&mut self.document, self.handler);
        match rng.below(3) {
            0 if at < len => document.list_remove(handler, at, 1).unwrap(),
            1 if at < len => document.list_update(handler, at, &value).unwrap(),
            _ => document.list_insert(handler, at, &[value]).unwrap(),
        }
    }

    /// What is out of range or cannot be written changes nothing.
    fn refused(&mut self) {
        let (document, handler) = (&mut self.document, self.handler);
        let len = document.list_len(handler);
        let one = [Value::Int(1)];
        for result in [
            document.list_insert(handler, len + 1, &one),
            document.list_update(handler, len, &one[0]),
            document.list_remove(handler, len, 1),
            document.list_remove(handler, 0, u64::MAX),
        ] {
            assert!(matches!(result, Err(DocumentError::OutOfRange { .. })));
        }
        for value in [Value::Double(f64::NAN), Value::Bytes(vec![1])] {
            let result = document.list_push(handler, &[Value::Int(1), value]);
            assert_eq!(result, Err(DocumentError::UnsupportedValue));
        }
        let result = document.list_move(handler, 0, 0);
        assert_eq!(result, Err(DocumentError::TypeMismatch));
        document.list_insert(handler, len, &[]).unwrap();
        document.list_remove(handler, len, 0).unwrap();
    }

    /// Bodies as unusual writers make them: at once, even in a transaction.
    fn foreign_bytes(&mut self, rng: &mut Rng) {
        if self.depth > 0 {
            return;
        }
        let mut body = Vec::new();
        let live = self.tree().live();
        let left = (!live.is_empty()).then(|| *rng.pick(&live));
        let counter = self.next_counter;
        let new = |nth| {
            let counter = counter + nth;
            Some(ElementId {
                peer: self.id,
                counter,
            })
        };
        let values: [&[u8]; 3] = match rng.below(4) {
            // Values in unusual spelling, and nulls.
            0 => [b" [1, 2] ", b"\t null\n", b"\"\\u0061\""],
            // The second is no JSON: the operation has no effect.
            1 => [b"1", b"nul", b"2"],
            2 => [b"1", b"", b"2"],
            _ => [b"1", b"\xef\xbb\xbfnull", b"{\"a\" : 1.50}"],
        };
        let kind = match (rng.below(3), left) {
            (0, Some(old)) => {
                body.push(3);
                for (nth, value) in values.iter().enumerate() {
                    ElementId::write(Some(old), &mut body);
                    ElementId::write(new(nth as u64), &mut body);
                    body.push(value.len() as u8);
                    body.extend_from_slice(value);
                }
                2
            }
            (form, _) => {
                ElementId::write(left, &mut body);
                ElementId::write(None, &mut body);
                body.push(3);
                for (nth, value) in values.iter().enumerate() {
                    // At times with a gap in the ids.
                    let gap = if form == 1 { nth as u64 } else { 0 };
                    ElementId::write(new(nth as u64 + gap), &mut body);
                    body.push(value.len() as u8);
                    body.extend_from_slice(value);
                }
                if rng.once_in(4) {
                    body.extend_from_slice(b"trailing");
                }
                0
            }
        };
        let mut payload = Vec::new();
        Envelope {
            handler_type: TAG,
            handler_id: ID,
            kind,
            body: &body,
        }
        .encode(&mut payload);
        let made = self.document.create_change(payload.clone()).unwrap();
        assert_eq!(made.payload, payload);
        // Counters of ids that were never made may be skipped, too.
        self.document.replay_all();
        self.next_counter = self.counter_after_bodies();
    }

    /// One more than the largest own counter in any body, decodable or not.
    fn counter_after_bodies(&self) -> u64 {
        let changes = self.document.all_changes();
        let ids = changes
            .iter()
            .flat_map(|change| Op::of(change).map_or_else(|| raw_ids(change), |op| op.produced()));
        let own = ids.filter(|id| id.peer == self.id);
        own.map(|id| id.counter + 1).max().unwrap_or(0)
    }

    fn import(&mut self, changes: Vec<Change>) {
        self.document
            .import_changes(changes, b"tag", Origin::Remote)
            .unwrap();
    }

    fn check(&mut self, rng: &mut Rng, made: &mut HashMap<OperationId, Change>) {
        self.document.check();
        for change in self.document.all_changes() {
            let known = made.entry(change.id).or_insert_with(|| change.clone());
            assert_eq!(*known, change, "a change keeps its bytes");
        }
        let tree = self.tree();
        let (document, handler) = (&self.document, self.handler);
        let values = document.list_values(handler);
        assert_eq!(values, tree.values());
        assert_eq!(document.list_len(handler), values.len() as u64);
        let at = rng.below(values.len() + 1);
        let element = document.list_get(handler, at as u64);
        assert_eq!(element.as_ref(), values.get(at));
        self.check_positions(rng, &tree);
        self.hear_of_commits();
        if self.depth == 0 {
            assert_eq!(self.shadow, self.values());
        }
    }

    /// Anchors (9.9): the element beside an index, and where any element is found again.
    fn check_positions(&self, rng: &mut Rng, tree: &Tree<Value>) {
        let (document, handler) = (&self.document, self.handler);
        let bytes = |id: Option<ElementId>| {
            let mut bytes = Vec::new();
            ElementId::write(id, &mut bytes);
            bytes
        };
        let live = tree.live();
        let index = rng.below(live.len() + 1);
        let before = index.checked_sub(1).map(|before| live[before]);
        let position = document.list_position_at(handler, index as u64);
        assert_eq!(position, Ok(bytes(before)));
        for (affinity, element) in [
            (Affinity::Before, before),
            (Affinity::After, live.get(index).copied()),
        ] {
            let position = document.list_position_beside(handler, index as u64, affinity);
            assert_eq!(position, Ok(bytes(element)));
            let found = document.list_position_index_beside(handler, &bytes(element), affinity);
            assert_eq!(found, Ok(Some(index as u64)));
        }
        let order = tree.order();
        if order.is_empty() {
            return;
        }
        let at = rng.below(order.len());
        let is_live = |(_, value): &&(ElementId, Option<&Value>)| value.is_some();
        let before = order[..at].iter().filter(is_live).count() as u64;
        let through = order[..=at].iter().filter(is_live).count() as u64;
        let position = bytes(Some(order[at].0));
        let found = document.list_position_index(handler, &position);
        assert_eq!(found, Ok(Some(through)));
        let found = document.list_position_index_beside(handler, &position, Affinity::After);
        assert_eq!(found, Ok(Some(before)));
    }

    fn hear_of_commits(&mut self) {
        for commit in self.document.take_commits() {
            for (handler, delta) in commit.deltas {
                assert_eq!(handler, self.handler);
                let HandlerDelta::List(steps) = delta else {
                    panic!("a list has deltas of lists");
                };
                assert!(!steps.is_empty());
                apply(&mut self.shadow, &steps);
            }
        }
    }
}

/// Ids in an insertion whose values cannot be read: they count for the next own one.
fn raw_ids(change: &Change) -> Vec<ElementId> {
    let read = || -> Option<Vec<ElementId>> {
        let envelope = change.envelope().ok()?;
        let body = &mut Reader::new(envelope.body);
        if envelope.kind == 0 {
            ElementId::read(body).ok()?;
            ElementId::read(body).ok()?;
        }
        let item = |body: &mut Reader<'_>| {
            if envelope.kind == 2 {
                element(body)?;
            }
            let id = element(body)?;
            body.prefixed()?;
            Ok(id)
        };
        items(body, item).ok()
    };
    read().unwrap_or_default()
}

/// Applies a delta, and checks that what it says was there is there.
fn apply(list: &mut Vec<Value>, steps: &[ListOp]) {
    let mut at = 0;
    for step in steps {
        match step {
            ListOp::Retain(count) => at += *count as usize,
            ListOp::Insert(values) => {
                list.splice(at..at, values.iter().cloned());
                at += values.len();
            }
            ListOp::Remove(values) => {
                let removed: Vec<Value> = list.drain(at..at + values.len()).collect();
                assert_eq!(&removed, values);
            }
            ListOp::Update { index, old, new } => {
                let place = &mut list[*index as usize];
                assert_eq!(place, old);
                *place = new.clone();
            }
            ListOp::Move { .. } => panic!("elements of Fugue lists do not move"),
        }
    }
}

fn some_value(rng: &mut Rng) -> Value {
    match rng.below(9) {
        0..=3 => Value::Int(rng.below(1000) as i64),
        4 => Value::Double(1.0),
        5 => Value::Null,
        6 => Value::Array(vec![Value::Null, Value::Bool(true)]),
        7 => Value::Object(vec![("n".into(), Value::Null)]),
        _ => Value::from(*rng.pick(&["x", "null", "y\u{1f600}"])),
    }
}
