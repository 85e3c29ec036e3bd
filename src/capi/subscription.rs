//! Who wants to be told: the part of a subscription that source, queue and deliverer share.
//!
//! Freeing a subscription on one thread while its callback runs on another is the delicate part:
//! `end` waits for the callback, unless it is called from inside of it, and exactly one of the two
//! gives the user data back, without any lock.

use super::delivery::Queue;
use super::event::{EventCore, syncline_event, syncline_event_fn};
use super::handle::{Handle, Shell};
use super::payload::{Payload, syncline_event_type};
use super::types::*;
use parking_lot::{Condvar, Mutex};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

/// Where a subscription's events come from; told when the subscription ends.
pub(crate) trait Source: Send + Sync {
    /// Forgets the subscription. Holds no lock of a document while it waits for anything.
    fn unsubscribe(&self, subscription: &Arc<Subscription>);
}

/// What of a source's events is wanted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wishes {
    /// Bits of event types; 0 = all.
    pub(crate) mask: u64,
    /// Of containers: what is below them, too.
    pub(crate) deep: bool,
}

/// Who wants to be told, and how.
pub(crate) struct Subscription {
    queue: Arc<Queue>,
    callback: syncline_event_fn,
    user_pointer: UserPointer,
    wishes: Wishes,
    /// False until the subscribing call is about to return.
    ready: AtomicBool,
    /// The last event, CLOSED, is on its way.
    source_gone: AtomicBool,
    state: Mutex<SubscriptionState>,
    /// Signalled when a callback has returned.
    quiet: Condvar,
}

struct SubscriptionState {
    ended: bool,
    /// Threads that are inside of the callback; more than one entry when a callback dispatches.
    running: Vec<ThreadId>,
    /// Threads in `end` that wait for the callback.
    waiting: u32,
    user: Option<UserData>,
}

impl Subscription {
    pub(crate) fn new(
        queue: Arc<Queue>,
        callback: syncline_event_fn,
        user: UserData,
        wishes: Wishes,
    ) -> Arc<Self> {
        Arc::new(Subscription {
            queue,
            callback,
            user_pointer: UserPointer(user.pointer()),
            wishes,
            ready: AtomicBool::new(false),
            source_gone: AtomicBool::new(false),
            state: Mutex::new(SubscriptionState {
                ended: false,
                running: Vec::new(),
                waiting: 0,
                user: Some(user),
            }),
            quiet: Condvar::new(),
        })
    }

    /// Whether events of this kind are wanted.
    pub(crate) fn wants(&self, kind: syncline_event_type) -> bool {
        self.wishes.mask == 0 || self.wishes.mask & 1 << (kind as u32) != 0
    }

    /// Whether a container is meant with all that is below it.
    pub(crate) fn is_deep(&self) -> bool {
        self.wishes.deep
    }

    /// Whether its events may be taken: the subscribing call has returned.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether it was freed.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Where its events go.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// What the application wants to get back with each event.
    pub(crate) fn user_pointer(&self) -> *mut c_void {
        self.user_pointer.0
    }

    /// The subscribing call returns now: events may be delivered from here on.
    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
        self.queue.refresh();
    }

    /// Neither freed nor closed.
    pub(crate) fn is_active(&self) -> bool {
        // One lock after the other: the order is queue, then subscription.
        let ended = self.has_ended();
        !ended && !self.source_gone.load(Ordering::Acquire) && !self.queue.is_closed()
    }

    /// Puts the last event on the queue. A second call does nothing.
    pub(crate) fn close(self: &Arc<Self>) {
        if !self.source_gone.swap(true, Ordering::AcqRel) {
            self.queue.push(self, &Arc::new(Payload::Closed));
            self.queue.wake();
        }
    }

    /// Ends it: what waits is dropped, and on return the callback neither runs nor will run,
    /// except when this is called from inside of it. Gives the user data back when that is safe.
    pub(crate) fn end(self: &Arc<Self>) {
        let me = thread::current().id();
        let waits = {
            let mut state = self.state.lock();
            state.ended = true;
            // Counted from the start: a callback that returns meanwhile must not give the user
            // data back on its own, after this has returned.
            let waits = !state.running.contains(&me);
            state.waiting += u32::from(waits);
            waits
        };
        self.queue.forget(self);
        let mut state = self.state.lock();
        if waits {
            while !state.running.is_empty() {
                self.quiet.wait(&mut state);
            }
            state.waiting -= 1;
        }
        let user = if state.running.is_empty() {
            state.user.take()
        } else {
            None
        };
        drop(state);
        drop(user);
    }

    /// Runs the callback, unless the subscription has ended.
    pub(crate) fn deliver(&self, event: &Arc<Shell<EventCore>>) {
        let Some(callback) = self.callback else {
            return;
        };
        let me = thread::current().id();
        {
            let mut state = self.state.lock();
            if state.ended {
                return;
            }
            state.running.push(me);
        }
        // SAFETY: the application gave this function for this user data; the user data lives until
        // `running` is empty, and the event for the call.
        unsafe { callback(self.user_pointer.0, syncline_event::lend(event)) };
        let mut state = self.state.lock();
        if let Some(at) = state.running.iter().position(|thread| *thread == me) {
            state.running.swap_remove(at);
        }
        // Whoever waits in `end` gives the user data back, so that it is gone when `end` returns.
        let last = state.ended && state.running.is_empty() && state.waiting == 0;
        let user = if last { state.user.take() } else { None };
        self.quiet.notify_all();
        drop(state);
        drop(user);
    }
}
