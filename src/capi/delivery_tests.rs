//! Queues and subscriptions under threads: what C programs cannot force often enough.

use super::delivery::{NoEvent, QUEUE_BYTES_MAX, Queue};
use super::event::syncline_event;
use super::payload::{ChangePayload, Payload, syncline_event_type, syncline_origin};
use super::subscription::{Subscription, Wishes};
use super::types::UserData;
use crate::testing::Rng;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a subscription of the tests counts; shared with its callback by address.
#[derive(Default)]
struct Seen {
    calls: AtomicU64,
    inside: AtomicU64,
    overlapped: AtomicBool,
    freed: AtomicU64,
    called_after_free: AtomicBool,
}

unsafe extern "C" fn on_event(user_data: *mut c_void, _event: *const syncline_event) {
    // SAFETY: the tests keep `Seen` until every thread has ended.
    let seen = unsafe { &*user_data.cast::<Seen>() };
    if seen.inside.fetch_add(1, Ordering::SeqCst) > 0 {
        seen.overlapped.store(true, Ordering::SeqCst);
    }
    if seen.freed.load(Ordering::SeqCst) > 0 {
        seen.called_after_free.store(true, Ordering::SeqCst);
    }
    seen.calls.fetch_add(1, Ordering::SeqCst);
    std::thread::yield_now();
    seen.inside.fetch_sub(1, Ordering::SeqCst);
}

unsafe extern "C" fn on_free(user_data: *mut c_void) {
    // SAFETY: as above.
    let seen = unsafe { &*user_data.cast::<Seen>() };
    assert_eq!(
        seen.inside.load(Ordering::SeqCst),
        0,
        "freed while the callback runs"
    );
    seen.freed.fetch_add(1, Ordering::SeqCst);
}

fn subscription(queue: &Arc<Queue>, seen: &Seen, mask: u64) -> Arc<Subscription> {
    let user = UserData::new(std::ptr::from_ref(seen).cast_mut().cast(), Some(on_free));
    let wishes = Wishes { mask, deep: false };
    Subscription::new(queue.clone(), Some(on_event), user, wishes)
}

fn change(bytes: usize) -> Arc<Payload> {
    let origin = syncline_origin::SYNCLINE_ORIGIN_LOCAL;
    Arc::new(Payload::Change(ChangePayload::new(
        origin,
        vec![0; bytes],
        String::new(),
        1,
        vec![],
    )))
}

#[test]
fn nothing_is_delivered_before_the_subscribing_call_returns() {
    let (queue, seen) = (Queue::new(QUEUE_BYTES_MAX), Seen::default());
    let subscription = subscription(&queue, &seen, 0);
    queue.push(&subscription, &change(0));
    assert!(queue.poll().is_none());
    assert_eq!(queue.dispatch(0), 0);
    assert_eq!(queue.wait(Duration::ZERO).err(), Some(NoEvent::TimedOut));
    subscription.set_ready();
    assert_eq!(
        (queue.dispatch(0), seen.calls.load(Ordering::SeqCst)),
        (1, 1)
    );
    subscription.end();
    assert_eq!(seen.freed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_mask_lets_closed_and_overflow_through() {
    let (queue, seen) = (Queue::new(QUEUE_BYTES_MAX), Seen::default());
    let mask = 1 << syncline_event_type::SYNCLINE_EVENT_UPDATE as u32;
    let subscription = subscription(&queue, &seen, mask);
    subscription.set_ready();
    assert!(!subscription.wants(syncline_event_type::SYNCLINE_EVENT_CHANGE));
    assert!(subscription.wants(syncline_event_type::SYNCLINE_EVENT_UPDATE));
    subscription.close();
    subscription.close();
    let event = queue.poll().unwrap();
    assert_eq!(
        event.inner().payload().kind(),
        syncline_event_type::SYNCLINE_EVENT_CLOSED
    );
    assert!(queue.poll().is_none() && !subscription.is_active());
    subscription.end();
}

#[test]
fn closed_survives_an_overflow_and_stays_last() {
    let (queue, seen) = (Queue::new(4000), Seen::default());
    let (a, b) = (
        subscription(&queue, &seen, 0),
        subscription(&queue, &seen, 0),
    );
    a.set_ready();
    b.set_ready();
    queue.push(&a, &change(100));
    a.close();
    for _ in 0..30 {
        queue.push(&b, &change(1000));
    }
    let mut kinds = Vec::new();
    while let Some(event) = queue.poll() {
        kinds.push(event.inner().payload().kind());
    }
    let overflow = syncline_event_type::SYNCLINE_EVENT_OVERFLOW;
    let closed = syncline_event_type::SYNCLINE_EVENT_CLOSED;
    assert_eq!(kinds.iter().filter(|kind| **kind == closed).count(), 1);
    // One each, whatever was dropped since.
    assert_eq!(kinds.iter().filter(|kind| **kind == overflow).count(), 2);
    let place = |wanted| kinds.iter().position(|kind| *kind == wanted).unwrap();
    assert!(place(overflow) < place(closed));
    a.end();
    b.end();
}

/// Producers, a delivery thread, a dispatching thread and subscriptions that come and go.
#[test]
fn user_data_is_freed_once_and_no_callback_runs_afterwards() {
    for seed in 0..30 {
        let all: Vec<Seen> = (0..8).map(|_| Seen::default()).collect();
        let queue = Queue::new(QUEUE_BYTES_MAX);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            assert!(queue.start().unwrap());
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    queue.dispatch(3);
                    std::thread::yield_now();
                }
            });
            for (number, seen) in all.iter().enumerate() {
                let queue = &queue;
                let mut rng = Rng::new(seed * 100 + number as u64);
                scope.spawn(move || {
                    let subscription = subscription(queue, seen, 0);
                    subscription.set_ready();
                    for _ in 0..rng.below(60) {
                        queue.push(&subscription, &change(rng.below(100)));
                        queue.wake();
                    }
                    subscription.end();
                    assert_eq!(seen.freed.load(Ordering::SeqCst), 1);
                    queue.push(&subscription, &change(1));
                });
            }
            while all
                .iter()
                .any(|seen| seen.freed.load(Ordering::SeqCst) == 0)
            {
                std::thread::yield_now();
            }
            stop.store(true, Ordering::SeqCst);
        });
        assert!(queue.stop());
        assert_eq!(queue.len(), 0, "seed {seed}");
        for seen in &all {
            assert_eq!(seen.freed.load(Ordering::SeqCst), 1, "seed {seed}");
            assert!(
                !seen.called_after_free.load(Ordering::SeqCst),
                "seed {seed}"
            );
            assert!(!seen.overlapped.load(Ordering::SeqCst), "seed {seed}");
        }
        queue.close();
    }
}

#[test]
fn every_event_of_one_producer_arrives_in_order() {
    let (queue, seen) = (Queue::new(QUEUE_BYTES_MAX), Seen::default());
    let subscription = subscription(&queue, &seen, 0);
    subscription.set_ready();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..2000 {
                queue.push(&subscription, &change(number));
            }
        });
        for number in 0..2000u64 {
            let event = queue.wait(Duration::from_secs(20)).ok().unwrap();
            assert_eq!(event.inner().sequence(), number + 1);
            let Payload::Change(change) = event.inner().payload() else {
                panic!()
            };
            assert_eq!(change.tag.len() as u64, number);
        }
    });
    subscription.end();
}
