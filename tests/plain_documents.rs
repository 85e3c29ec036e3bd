//! Text and lists by positions in whole documents: peers that edit, in transactions and without,
//! import from each other in any order, roll back and take snapshots. Observers follow the deltas;
//! in the end all show the same, which is what a new document shows.

use syncline::clock::{Hlc, PeerId};
use syncline::codec::{Change, Snapshot, Value};
use syncline::document::{
    Document, DocumentError, DocumentOptions, HandlerDelta, HandlerIdx, HandlerKind, HandlerSpec,
    ListOp, Origin, TextOp, TextUnit, WallClock,
};
use syncline::replica::Replica;

struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

struct Peer {
    document: Document,
    text: HandlerIdx,
    list: HandlerIdx,
    /// What the deltas add up to.
    shadow: (Vec<u16>, Vec<Value>),
}

impl Peer {
    fn new(number: u8) -> Self {
        let mut document = Document::new(DocumentOptions {
            peer_id: Some(PeerId::from_bytes([number; 16])),
            initial_clock: Hlc::new(1000 + i64::from(number % 2), 0),
            wall_clock: WallClock::Fixed(0),
            ..DocumentOptions::default()
        });
        let text = document
            .handler("text", &HandlerSpec::new(HandlerKind::Text))
            .unwrap();
        let list = document
            .handler("list", &HandlerSpec::new(HandlerKind::List))
            .unwrap();
        document.set_recording(true);
        document.observe_all(true);
        Peer {
            document,
            text,
            list,
            shadow: Default::default(),
        }
    }

    fn shown(&self) -> (Vec<u16>, Vec<Value>) {
        let mut units = Vec::new();
        self.document
            .text_slice_utf16(self.text, 0..u64::MAX, &mut units);
        let values = self.document.list_values(self.list);
        (units, values)
    }

    /// A call that succeeds, or one that is refused and changes nothing.
    fn edit(&mut self, rng: &mut Rng) {
        let before = self.shown();
        let (units, values) = (before.0.len() as u64, before.1.len() as u64);
        let new: Vec<u16> = (0..rng.below(4))
            .map(|_| [97, 98, 0xe9, 0xd83d, 0xde00][rng.below(5)])
            .collect();
        let value = Value::Int(rng.below(9) as i64);
        let document = &mut self.document;
        let length = if rng.below(2) == 0 { units } else { values };
        let at = rng.below(length as usize + 2) as u64;
        let count = rng.below(3) as u64;
        let (text, list) = (self.text, self.list);
        let (result, is_in_range) = if length == units {
            match rng.below(8) {
                0 => (document.text_remove(text, at, count), at + count <= units),
                1 => (document.text_update_utf16(text, at, &new), at <= units),
                2 => (document.text_set(text, &new), true),
                _ => (document.text_insert_utf16(text, at, &new), at <= units),
            }
        } else {
            let pair = [value.clone(), Value::Null];
            match rng.below(6) {
                0 => (document.list_remove(list, at, count), at + count <= values),
                1 => (document.list_update(list, at, &value), at < values),
                2 => (document.list_insert(list, at, &pair), at <= values),
                _ => (
                    document.list_insert(list, at, std::slice::from_ref(&value)),
                    at <= values,
                ),
            }
        };
        match is_in_range {
            true => result.unwrap(),
            false => {
                let is_refused = matches!(result, Err(DocumentError::OutOfRange { .. }));
                assert!(is_refused, "{result:?}");
                assert_eq!(self.shown(), before);
            }
        }
        self.document.check();
    }

    /// Imports changes, which are in a causal order, one by one, or all at once in any order.
    fn import(&mut self, mut changes: Vec<Change>, rng: &mut Rng) {
        if rng.below(4) == 0 {
            for change in &changes {
                assert!(self.document.apply_change(change, &[]).unwrap());
            }
        } else {
            for last in (1..changes.len()).rev() {
                changes.swap(last, rng.below(last + 1));
            }
            let count = changes.len();
            let outcome = self.document.import_changes(changes, &[], Origin::Remote);
            assert_eq!(outcome.unwrap().applied, count);
        }
        self.document.check();
    }

    fn follow(&mut self) {
        for commit in self.document.take_commits() {
            for (handler, delta) in commit.deltas {
                match delta {
                    HandlerDelta::Text(steps) if handler == self.text => {
                        follow_text(&mut self.shadow.0, steps);
                    }
                    HandlerDelta::List(steps) if handler == self.list => {
                        follow_list(&mut self.shadow.1, steps);
                    }
                    other => panic!("{other:?} of {handler:?}"),
                }
            }
        }
        assert_eq!(self.shadow, self.shown());
    }
}

fn follow_text(shadow: &mut Vec<u16>, steps: Vec<TextOp>) {
    let mut at = 0;
    for step in steps {
        match step {
            TextOp::Retain(count) => at += count as usize,
            TextOp::Insert(units) => {
                let count = units.len();
                shadow.splice(at..at, units);
                at += count;
            }
            TextOp::Remove(count) => drop(shadow.drain(at..at + count as usize)),
        }
    }
}

fn follow_list(shadow: &mut Vec<Value>, steps: Vec<ListOp>) {
    let mut at = 0;
    for step in steps {
        match step {
            ListOp::Retain(count) => at += count as usize,
            ListOp::Insert(values) => {
                let count = values.len();
                shadow.splice(at..at, values);
                at += count;
            }
            ListOp::Remove(values) => {
                let gone: Vec<Value> = shadow.drain(at..at + values.len()).collect();
                assert_eq!(gone, values);
            }
            ListOp::Update { index, old, new } => {
                assert_eq!(shadow[index as usize], old);
                shadow[index as usize] = new;
            }
            ListOp::Move { .. } => panic!("nothing moves"),
        }
    }
}

/// What one peer has and another has not, by clocks: a causal order.
fn news(from: &Peer, to: &Peer) -> Vec<Change> {
    let seen = to.document.version_vector();
    let mut changes = from.document.changes_newer_than(&seen);
    changes.sort_by_key(|change| change.id);
    changes
}

/// Some of it.
fn some_news(from: &Peer, to: &Peer, rng: &mut Rng) -> Vec<Change> {
    let mut changes = news(from, to);
    if rng.below(2) == 0 {
        changes.truncate(rng.below(changes.len() + 1));
    }
    changes
}

fn step(peers: &mut [Peer], rng: &mut Rng) {
    let (actor, other) = (rng.below(peers.len()), rng.below(peers.len()));
    match rng.below(8) {
        0..=2 => peers[actor].edit(rng),
        3 => {
            let changes = some_news(&peers[other], &peers[actor], rng);
            peers[actor].import(changes, rng);
        }
        _ => {
            let news = some_news(&peers[other], &peers[actor], rng);
            let peer = &mut peers[actor];
            peer.document.begin(b"").unwrap();
            (0..1 + rng.below(5)).for_each(|_| peer.edit(rng));
            if rng.below(3) == 0 {
                peer.import(news, rng);
                (0..rng.below(3)).for_each(|_| peer.edit(rng));
            }
            match rng.below(4) {
                0 => peer.document.rollback().unwrap(),
                _ => peer.document.commit().unwrap(),
            }
        }
    }
    peers[actor].follow();
}

fn exchange_all(peers: &mut [Peer], rng: &mut Rng) {
    for actor in 0..peers.len() {
        for other in 0..peers.len() {
            let changes = news(&peers[other], &peers[actor]);
            peers[actor].import(changes, rng);
            peers[actor].follow();
        }
    }
}

fn compare_all(peers: &mut [Peer], base: Option<&Snapshot>, rng: &mut Rng) {
    let shown = peers[0].shown();
    for peer in peers.iter_mut() {
        assert_eq!(peer.shown(), shown);
        peer.document.replay_all();
        assert_eq!(peer.shown(), shown);
    }
    let mut fresh = Peer::new(99);
    if let Some(base) = base {
        assert!(fresh.document.import_snapshot(base, true).unwrap());
    }
    fresh.import(news(&peers[0], &fresh), rng);
    fresh.follow();
    assert_eq!(fresh.shown(), shown);
}

#[test]
fn peers_agree_and_observers_know_what_is_shown() {
    for seed in 0..150 {
        let outcome = std::panic::catch_unwind(|| {
            let mut rng = Rng(seed);
            let mut peers: Vec<Peer> = (1..4).map(Peer::new).collect();
            let mut base: Option<Snapshot> = None;
            for _ in 0..3 {
                (0..25).for_each(|_| step(&mut peers, &mut rng));
                exchange_all(&mut peers, &mut rng);
                compare_all(&mut peers, base.as_ref(), &mut rng);
                let snapshot = peers[0].document.take_snapshot(true).unwrap().clone();
                for peer in &mut peers[1..] {
                    assert!(peer.document.import_snapshot(&snapshot, true).unwrap());
                    peer.follow();
                }
                base = Some(snapshot);
            }
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

/// Without its history, what a snapshot covers is the ground on which late changes stand, for
/// those who took it and for those who got it.
#[test]
fn a_change_that_a_snapshot_does_not_cover_comes_after_it() {
    let (mut writer, mut late) = (Peer::new(3), Peer::new(2));
    late.document.text_insert(late.text, 0, "late").unwrap();
    let change = late.document.all_changes();
    writer.document.text_insert(writer.text, 0, "abc").unwrap();
    writer.document.tick().unwrap();
    writer.document.text_insert(writer.text, 0, "x").unwrap();
    assert!(writer.document.all_changes()[1].id.hlc > change[0].id.hlc);
    let snapshot = writer.document.take_snapshot(true).unwrap().clone();
    let mut reader = Peer::new(1);
    assert!(reader.document.import_snapshot(&snapshot, true).unwrap());
    for peer in [&mut writer, &mut reader] {
        peer.document
            .import_changes(change.clone(), &[], Origin::Remote)
            .unwrap();
        assert_eq!(peer.document.text_string(peer.text), "latexabc");
        peer.document.replay_all();
        assert_eq!(peer.document.text_string(peer.text), "latexabc");
    }
}

/// What younger operations do again is not part of the difference.
#[test]
fn a_change_from_the_past_is_told_as_what_it_did() {
    let (mut peer, mut other) = (Peer::new(2), Peer::new(4));
    peer.document
        .text_insert(peer.text, 0, &"abcdefghij".repeat(100))
        .unwrap();
    let first = peer.document.all_changes();
    other
        .document
        .import_changes(first, &[], Origin::Remote)
        .unwrap();
    other.document.text_insert(other.text, 500, "late").unwrap();
    for _ in 0..4 {
        peer.document.tick().unwrap();
    }
    peer.document.text_insert(peer.text, 0, "start").unwrap();
    peer.document.text_remove(peer.text, 10, 30).unwrap();
    peer.document
        .text_update_utf16(peer.text, 5, &[120, 121])
        .unwrap();
    peer.follow();
    let changes = other.document.all_changes();
    peer.document
        .import_changes(changes, &[], Origin::Remote)
        .unwrap();
    let commits = peer.document.take_commits();
    let late: Vec<u16> = "late".encode_utf16().collect();
    let expected = [TextOp::Retain(475), TextOp::Insert(late)];
    assert_eq!(
        commits[0].deltas,
        [(peer.text, HandlerDelta::Text(expected.to_vec()))]
    );
}

#[test]
fn positions_convert_between_units() {
    let mut peer = Peer::new(1);
    let content = "ab\u{e9}\u{1f600}z".repeat(300);
    peer.document.text_insert(peer.text, 0, &content).unwrap();
    let mut places = vec![(0, 0, 0)];
    for (nth, character) in content.chars().enumerate() {
        let (utf16, utf8, _) = places[nth];
        places.push((
            utf16 + character.len_utf16() as u64,
            utf8 + character.len_utf8() as u64,
            nth as u64 + 1,
        ));
    }
    let convert = |index, from, to| {
        peer.document
            .text_convert_index(peer.text, index, from, to)
            .unwrap()
    };
    for (utf16, utf8, points) in places {
        assert_eq!(convert(utf16, TextUnit::Utf16, TextUnit::Utf8), utf8);
        assert_eq!(convert(utf8, TextUnit::Utf8, TextUnit::CodePoint), points);
        assert_eq!(convert(points, TextUnit::CodePoint, TextUnit::Utf16), utf16);
    }
    let outside =
        peer.document
            .text_convert_index(peer.text, 1501 * 6, TextUnit::Utf8, TextUnit::Utf16);
    assert!(matches!(outside, Err(DocumentError::OutOfRange { .. })));
    assert_eq!(
        peer.document.text_position_at(peer.text, 0),
        Err(DocumentError::TypeMismatch)
    );
    assert_eq!(
        peer.document.list_position_at(peer.list, 0),
        Err(DocumentError::TypeMismatch)
    );
}
