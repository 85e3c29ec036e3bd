//! Handlers that the application folds itself: order, transactions, snapshots, refusals, travel.

mod documents;

use documents::{document, document_at, exchange, peer, pull};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use syncline::clock::{Hlc, OperationId};
use syncline::codec::{Change, Envelope, Value};
use syncline::document::{
    CustomError, CustomHandler, CustomOperation, CustomType, Document, DocumentError, HandlerDelta,
    HandlerIdx, HandlerKind, HandlerSpec, MapOp, Origin,
};
use syncline::replica::{ApplyError, Replica};

/// The bodies of all operations in order, or their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    /// Depends on the order.
    Joined,
    /// Does not.
    Sum,
}

struct Words {
    fold: Fold,
    applied: Arc<AtomicUsize>,
}

#[derive(Default)]
struct WordsState {
    sum: bool,
    text: String,
    total: u64,
    applied: Arc<AtomicUsize>,
}

impl CustomType for Words {
    fn new_state(&self) -> Box<dyn CustomHandler> {
        Box::new(WordsState {
            sum: self.fold == Fold::Sum,
            applied: self.applied.clone(),
            ..Default::default()
        })
    }

    fn is_order_independent(&self) -> bool {
        self.fold == Fold::Sum
    }

    fn compound(&self, last: (u8, &[u8]), next: (u8, &[u8])) -> Option<(u8, Vec<u8>)> {
        // Kind 7 joins its neighbours.
        (last.0 == 7 && next.0 == 7).then(|| (7, [last.1, next.1].concat()))
    }
}

impl CustomHandler for WordsState {
    fn apply(&mut self, operation: &CustomOperation<'_>) -> Result<(), CustomError> {
        self.applied.fetch_add(1, Ordering::Relaxed);
        let word = std::str::from_utf8(operation.body);
        let word = word.map_err(|_| CustomError("not UTF-8".into()))?;
        if operation.kind == 255 {
            return Err(CustomError("kind 255 is unknown".into()));
        }
        self.text.push_str(word);
        self.total += word.len() as u64;
        Ok(())
    }

    fn load(&mut self, snapshot: &[u8]) -> Result<(), CustomError> {
        let text = String::from_utf8(snapshot.to_vec());
        self.text = text.map_err(|_| CustomError("not UTF-8".into()))?;
        self.total = self.text.len() as u64;
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, CustomError> {
        match self.text.contains("unwritable") {
            true => Err(CustomError("there is a word that cannot be written".into())),
            false => Ok(self.text.clone().into_bytes()),
        }
    }

    fn value(&self) -> Value {
        match self.sum {
            true => Value::Int(self.total as i64),
            false => self.text.as_str().into(),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

const TAG: &str = "com.example.Words";

fn register(document: &mut Document, fold: Fold) -> Arc<AtomicUsize> {
    let applied = Arc::new(AtomicUsize::new(0));
    let words = Words {
        fold,
        applied: applied.clone(),
    };
    document.register_custom_type(TAG, Arc::new(words)).unwrap();
    applied
}

fn spec() -> HandlerSpec {
    HandlerSpec {
        type_tag: TAG.into(),
        ..HandlerSpec::new(HandlerKind::Custom)
    }
}

/// A document with one handler, and how many operations were applied to it so far.
fn words(number: u8, fold: Fold) -> (Document, HandlerIdx, Arc<AtomicUsize>) {
    let mut document = document(number);
    let applied = register(&mut document, fold);
    let handler = document.handler("w", &spec()).unwrap();
    (document, handler, applied)
}

fn text(document: &Document, handler: HandlerIdx) -> String {
    let state = document.custom_state(handler).unwrap();
    let state: &WordsState = state.as_any().downcast_ref().unwrap();
    state.text.clone()
}

#[test]
fn operations_are_folded_in_replay_order_whatever_the_order_of_arrival() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    let (mut b, words_b, _) = words(2, Fold::Joined);
    a.custom_submit(words_a, 0, b"a1 ").unwrap();
    a.custom_submit(words_a, 1, b"a2 ").unwrap();
    b.custom_submit(words_b, 0, b"b1 ").unwrap();
    b.custom_submit(words_b, 0, b"b2 ").unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(text(&a, words_a), "a1 b1 a2 b2 ");
    assert_eq!(text(&b, words_b), text(&a, words_a));
    let change = &a.all_changes()[1];
    let envelope = change.envelope().unwrap();
    assert_eq!(
        (
            envelope.handler_type,
            envelope.handler_id,
            envelope.kind,
            envelope.body
        ),
        (TAG, "w", 1, &b"a2 "[..])
    );
    a.check();
}

/// A late change costs a replay, unless the type says that order does not matter.
#[test]
fn late_changes_replay_only_what_depends_on_order() {
    for fold in [Fold::Joined, Fold::Sum] {
        let (mut late, words_late, _) = words(1, fold);
        late.custom_submit(words_late, 0, b"late ").unwrap();
        let (mut busy, words_busy, applied) = words(2, fold);
        for _ in 0..100 {
            busy.custom_submit(words_busy, 0, b"x").unwrap();
        }
        let before = applied.load(Ordering::Relaxed);
        pull(&mut busy, &late);
        let cost = applied.load(Ordering::Relaxed) - before;
        match fold {
            Fold::Joined => assert_eq!((cost, &text(&busy, words_busy)[..5]), (102, "late ")),
            Fold::Sum => assert_eq!((cost, text(&busy, words_busy).len()), (1, 105)),
        }
        // Behind a snapshot only the rest is replayed.
        busy.take_snapshot(true).unwrap();
        busy.custom_submit(words_busy, 0, b"y").unwrap();
        late.custom_submit(words_late, 0, b"z").unwrap();
        let before = applied.load(Ordering::Relaxed);
        pull(&mut busy, &late);
        let cost = applied.load(Ordering::Relaxed) - before;
        assert_eq!(cost, if fold == Fold::Joined { 3 } else { 1 });
        assert_eq!(text(&busy, words_busy).len(), 107);
        busy.check();
    }
}

#[test]
fn a_transaction_shows_at_once_and_can_be_taken_back() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    a.custom_submit(words_a, 0, b"one ").unwrap();
    a.begin(b"").unwrap();
    a.custom_submit(words_a, 0, b"two ").unwrap();
    assert_eq!(text(&a, words_a), "one two ");
    a.check();
    // What arrives meanwhile stands before it.
    let (mut b, words_b, _) = words(2, Fold::Joined);
    b.custom_submit(words_b, 0, b"remote ").unwrap();
    pull(&mut a, &b);
    assert_eq!(text(&a, words_a), "one remote two ");
    a.rollback().unwrap();
    assert_eq!(text(&a, words_a), "one remote ");
    a.begin(b"").unwrap();
    a.custom_submit(words_a, 7, b"three ").unwrap();
    a.custom_submit(words_a, 7, b"four ").unwrap();
    a.custom_submit(words_a, 0, b"five ").unwrap();
    a.commit().unwrap();
    // The type joined the first two.
    assert_eq!(a.change_count(), 4);
    assert_eq!(text(&a, words_a), "one remote three four five ");
    pull(&mut b, &a);
    assert_eq!(text(&b, words_b), text(&a, words_a));
    a.check();
    b.check();
}

/// Without a replay, too.
#[test]
fn what_arrives_during_a_transaction_shows_with_it() {
    let (mut a, sum_a, _) = words(1, Fold::Sum);
    let (mut b, sum_b, _) = words(2, Fold::Sum);
    b.custom_submit(sum_b, 0, b"three").unwrap();
    a.begin(b"").unwrap();
    a.custom_submit(sum_a, 0, b"own").unwrap();
    pull(&mut a, &b);
    assert_eq!(text(&a, sum_a), "threeown");
    a.commit().unwrap();
    assert_eq!(text(&a, sum_a), "threeown");
    a.check();
}

#[test]
fn refused_operations_are_skipped_and_travel_on() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    a.custom_submit(words_a, 0, b"one ").unwrap();
    a.custom_submit(words_a, 0, &[0xff]).unwrap();
    a.custom_submit(words_a, 255, b"unknown ").unwrap();
    a.custom_submit(words_a, 0, b"two ").unwrap();
    assert_eq!(text(&a, words_a), "one two ");
    let (mut b, words_b, _) = words(2, Fold::Joined);
    assert_eq!(pull(&mut b, &a).applied, 4);
    assert_eq!(text(&b, words_b), "one two ");
    assert_eq!(b.all_changes(), a.all_changes());
}

#[test]
fn snapshots_carry_the_state() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    a.custom_submit(words_a, 0, b"one ").unwrap();
    let snapshot = a.take_snapshot(true).unwrap().clone();
    assert_eq!(snapshot.entry("w"), Some(&b"one "[..]));
    let (mut b, words_b, _) = words(2, Fold::Joined);
    assert!(b.import_snapshot(&snapshot, true).unwrap());
    assert_eq!(text(&b, words_b), "one ");
    b.custom_submit(words_b, 0, b"two ").unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(text(&a, words_a), "one two ");
    // The type refuses a state: then it is taken for empty.
    let bad =
        syncline::codec::Snapshot::new(b.version_vector(), vec![("w".into(), vec![0xff, 0xfe])]);
    assert!(b.import_snapshot(&bad, true).unwrap());
    assert_eq!(text(&b, words_b), "");
}

#[test]
fn a_state_that_cannot_be_written_keeps_its_history() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    a.custom_submit(words_a, 0, b"unwritable ").unwrap();
    let refused = a.take_snapshot(true).unwrap_err();
    assert_eq!(
        refused,
        ApplyError::Custom {
            handler_id: "w".into(),
            message: "there is a word that cannot be written".into()
        }
    );
    assert_eq!(a.change_count(), 1);
    assert!(a.last_snapshot().is_none());
    assert_eq!(text(&a, words_a), "unwritable ");
    // It cannot be copied either: operations show once they are committed.
    a.begin(b"").unwrap();
    a.custom_submit(words_a, 0, b"more ").unwrap();
    assert_eq!(text(&a, words_a), "unwritable ");
    a.commit().unwrap();
    assert_eq!(text(&a, words_a), "unwritable more ");
    a.check();
}

/// A relay knows nothing of the type: changes leave as they came, and nothing is pruned.
#[test]
fn changes_travel_through_those_who_do_not_know_the_type() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    for word in ["one ", "two ", "three "] {
        a.custom_submit(words_a, 9, word.as_bytes()).unwrap();
    }
    let mut relay = document(3);
    pull(&mut relay, &a);
    let bytes = |document: &Document| -> Vec<Vec<u8>> {
        document.all_changes().iter().map(Change::encode).collect()
    };
    assert_eq!(bytes(&relay), bytes(&a));
    assert!(matches!(
        relay.take_snapshot(false),
        Err(ApplyError::UnknownHandler { .. })
    ));
    let (mut b, words_b, _) = words(2, Fold::Joined);
    pull(&mut b, &relay);
    assert_eq!(text(&b, words_b), "one two three ");
    // Once the relay learns the type it can fold, too: without being told of the handler.
    register(&mut relay, Fold::Joined);
    let snapshot = relay.take_snapshot(true).unwrap();
    assert_eq!(snapshot.entry("w"), Some(&b"one two three "[..]));
}

#[test]
fn imports_make_handlers_of_the_type() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    a.custom_submit(words_a, 0, b"one ").unwrap();
    let mut b = document(2);
    register(&mut b, Fold::Joined);
    pull(&mut b, &a);
    let made = b.find_handler("w").unwrap();
    assert_eq!(b.handler_kind(made), HandlerKind::Custom);
    assert_eq!(text(&b, made), "one ");
    assert_eq!(b.handler("w", &spec()), Ok(made));
}

#[test]
fn observers_see_the_value_before_and_after() {
    let (mut a, words_a, _) = words(1, Fold::Joined);
    a.custom_submit(words_a, 0, b"one ").unwrap();
    a.set_recording(true);
    a.observe(words_a, true);
    a.begin(b"").unwrap();
    a.custom_submit(words_a, 0, b"two ").unwrap();
    a.custom_submit(words_a, 0, b"three ").unwrap();
    a.commit().unwrap();
    let commits = a.take_commits();
    assert_eq!(commits.len(), 1);
    let changed = |old: &str, new: &str| {
        vec![(
            words_a,
            HandlerDelta::Register(vec![MapOp {
                key: String::new(),
                old: Some(old.into()),
                new: Some(new.into()),
            }]),
        )]
    };
    assert_eq!(commits[0].deltas, changed("one ", "one two three "));
    // Out of order: the difference, not the steps of the replay.
    let mut late = document_at(3, Hlc::new(1, 0));
    register(&mut late, Fold::Joined);
    let words_late = late.handler("w", &spec()).unwrap();
    late.custom_submit(words_late, 0, b"zero ").unwrap();
    pull(&mut a, &late);
    assert_eq!(
        a.take_commits()[0].deltas,
        changed("one two three ", "zero one two three ")
    );
    // Nothing changed, nothing to tell.
    a.custom_submit(words_a, 255, b"refused").unwrap();
    assert!(a.take_commits()[0].deltas.is_empty());
}

#[test]
fn tags_of_built_in_kinds_are_not_custom() {
    let mut document = document(1);
    let custom = || -> Arc<dyn CustomType> {
        Arc::new(Words {
            fold: Fold::Sum,
            applied: Arc::default(),
        })
    };
    for tag in ["", "CRDTFugueTextHandler", "CRDTMapHandler<num>"] {
        assert_eq!(
            document.register_custom_type(tag, custom()),
            Err(DocumentError::TypeMismatch)
        );
    }
    let text = documents::handler(&mut document, HandlerKind::FugueText, "t");
    assert_eq!(
        document.custom_submit(text, 0, b"x"),
        Err(DocumentError::UnknownHandler)
    );
    assert!(document.custom_state(text).is_err());
    assert!(document.custom_state(HandlerIdx(99)).is_err());
}

/// Oracle: all operations sorted by id and joined. Peers exchange parts in random order, take
/// snapshots and work in transactions.
#[test]
fn random_exchanges_agree_with_a_plain_sort() {
    for seed in 0..60u64 {
        let mut state = seed;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(seed | 1);
            (state >> 33) % below
        };
        let mut peers: Vec<_> = (1..=3).map(|number| words(number, Fold::Joined)).collect();
        for step in 0..40 {
            let at = random(3) as usize;
            match random(5) {
                0 => {
                    let from = (at + 1 + random(2) as usize) % 3;
                    let newer = {
                        let seen = peers[at].0.version_vector();
                        peers[from].0.changes_newer_than(&seen)
                    };
                    peers[at]
                        .0
                        .import_changes(newer, &[], Origin::Remote)
                        .unwrap();
                }
                1 => {
                    let (document, handler, _) = &mut peers[at];
                    document.begin(b"").unwrap();
                    for _ in 0..=random(3) {
                        let word = format!("{}.{step} ", at);
                        document
                            .custom_submit(*handler, 0, word.as_bytes())
                            .unwrap();
                        document.check();
                    }
                    match random(4) {
                        0 => document.rollback().unwrap(),
                        _ => document.commit().unwrap(),
                    }
                }
                _ => {
                    let (document, handler, _) = &mut peers[at];
                    let word = format!("{at}.{step} ");
                    document
                        .custom_submit(*handler, 0, word.as_bytes())
                        .unwrap();
                }
            }
            let (document, handler, _) = &peers[at];
            let mut changes = document.all_changes();
            changes.sort_by_key(|change| OperationId::new(change.id.peer, change.id.hlc));
            let bodies: Vec<u8> = changes
                .iter()
                .flat_map(|change| {
                    let envelope: Envelope<'_> = change.envelope().unwrap();
                    envelope.body.to_vec()
                })
                .collect();
            assert_eq!(
                text(document, *handler).as_bytes(),
                bodies,
                "seed {seed}, step {step}, peer {}",
                peer(at as u8 + 1)
            );
            document.check();
        }
    }
}
