//! Queues: events on their way from sources to consumers.
//!
//! A source pushes shared payloads into queues; a queue holds what is not delivered yet, bounded
//! by bytes; a deliverer (the library's thread, a thread of the application, or `poll`) takes the
//! oldest event. One deliverer at a time, so that callbacks of a queue never overlap. No lock is
//! held while a callback, a wakeup or a `free_user_data` runs.
//!
//! Locks, in this order: document, hub, queue, subscription.

use super::delivery_thread::{DeliveryThread, STOP_NOW, STOP_WHEN_IDLE};
use super::error::Error;
use super::event::{EventCore, syncline_event};
use super::guard::Answer;
use super::handle::{Handle, Shell};
use super::payload::Payload;
use super::signal::Signal;
use super::subscription::Subscription;
use super::types::*;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes a queue holds by default before it drops.
pub(crate) const QUEUE_BYTES_MAX: u64 = 64 << 20;

/// Events on their way to one consumer.
pub(crate) struct Queue {
    bytes_max: u64,
    /// The default queue starts its thread by itself.
    is_default: bool,
    state: Mutex<QueueState>,
    /// Signalled when something arrives, a deliverer leaves, or a wait is to end.
    moved: Condvar,
    wakeup: Mutex<WakeupState>,
    /// Signalled when a wakeup has returned.
    wakeup_quiet: Condvar,
    /// Empty became non-empty, and the wakeup has not run since.
    wakeup_due: AtomicBool,
}

struct QueueState {
    waiting: VecDeque<Waiting>,
    bytes: u64,
    /// Number of the last event taken.
    sequence: u64,
    /// What the descriptor and the wakeup were told last: the first event can be taken.
    signalled: bool,
    signal: Option<Signal>,
    /// Threads in `wait`.
    waiters: u32,
    /// Raised by `cancel_wait`.
    cancels: u64,
    /// Cancelled while nobody waited: the next wait returns at once.
    cancel_next: bool,
    /// Who delivers now, and how deeply nested.
    deliverer: Option<(ThreadId, u32)>,
    thread: Option<DeliveryThread>,
    /// The last handle was freed: nothing arrives any more.
    closed: bool,
}

struct Waiting {
    payload: Arc<Payload>,
    subscription: Arc<Subscription>,
    time_ms: i64,
    bytes: u64,
}

#[derive(Default)]
struct WakeupState {
    wakeup: Option<Arc<Wakeup>>,
    running: Vec<ThreadId>,
}

/// How a queue says "come and take".
pub(crate) enum Wakeup {
    /// A function of the application.
    Call {
        wake: unsafe extern "C" fn(*mut c_void),
        user: UserData,
    },
    /// A message to a Dart port.
    DartPort { post: DartPost, port: i64 },
}

/// Dart_PostCObject of the Dart API.
pub(crate) type DartPost = unsafe extern "C" fn(port: i64, message: *mut DartObject) -> bool;

/// Dart_CObject of the Dart API: a type and a union of at most five words. Type 0 is null.
#[repr(C)]
pub(crate) struct DartObject {
    kind: i32,
    content: [u64; 5],
}

impl Wakeup {
    fn run(&self) {
        match self {
            // SAFETY: the application gave this function for this user data, which lives in `self`.
            Wakeup::Call { wake, user } => unsafe { wake(user.pointer()) },
            Wakeup::DartPort { post, port } => {
                let mut message = DartObject {
                    kind: 0,
                    content: [0; 5],
                };
                // SAFETY: the application gave Dart_PostCObject, which copies the message.
                unsafe { post(*port, &mut message) };
            }
        }
    }
}

/// How a wait ended without an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEvent {
    TimedOut,
    Cancelled,
}

impl Queue {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self::build(bytes_max, false))
    }

    fn build(bytes_max: u64, is_default: bool) -> Self {
        Queue {
            bytes_max,
            is_default,
            state: Mutex::new(QueueState {
                waiting: VecDeque::new(),
                bytes: 0,
                sequence: 0,
                signalled: false,
                signal: None,
                waiters: 0,
                cancels: 0,
                cancel_next: false,
                deliverer: None,
                thread: None,
                closed: false,
            }),
            moved: Condvar::new(),
            wakeup: Mutex::default(),
            wakeup_quiet: Condvar::new(),
            wakeup_due: AtomicBool::new(false),
        }
    }

    /// The queue of listeners without a queue.
    pub(crate) fn default_queue() -> &'static Arc<Queue> {
        static DEFAULT: OnceLock<Arc<Queue>> = OnceLock::new();
        DEFAULT.get_or_init(|| Arc::new(Self::build(QUEUE_BYTES_MAX, true)))
    }

    /// Adds an event. Runs no code of the application; `wake` does, later, without locks.
    pub(crate) fn push(self: &Arc<Self>, to: &Arc<Subscription>, payload: &Arc<Payload>) {
        let bytes = payload.bytes();
        let mut dropped = Vec::new();
        let mut failed_to_start = None;
        let mut state = self.state.lock();
        if state.closed || to.has_ended() {
            return;
        }
        if state.bytes.saturating_add(bytes) > self.bytes_max {
            dropped = state.overflow(to, matches!(**payload, Payload::Closed));
        } else {
            state.add(to, payload);
        }
        if self.is_default {
            // Without a thread the events wait; the next one tries again.
            let started = self.start_locked(&mut state);
            failed_to_start = started.err();
        }
        self.signal(&mut state);
        drop(state);
        if let Some(error) = failed_to_start {
            log::error!(target: "events", "no thread for the default queue: {error}");
        }
        // Freed without the lock: payloads may be large.
        drop(dropped);
    }

    /// Brings descriptor, wakeup and waiting threads in line with what can be taken.
    fn signal(&self, state: &mut QueueState) {
        let ready = state.is_ready();
        if ready != state.signalled {
            state.signalled = ready;
            if ready {
                self.wakeup_due.store(true, Ordering::Release);
            }
            if let Some(signal) = &state.signal {
                if ready { signal.set() } else { signal.clear() }
            }
        }
        if ready {
            self.moved.notify_all();
        }
    }

    /// The subscribing call of a waiting event has returned.
    pub(crate) fn refresh(&self) {
        self.signal(&mut self.state.lock());
        self.wake();
    }

    /// Drops what waits for a subscription.
    pub(crate) fn forget(&self, of: &Arc<Subscription>) {
        let mut state = self.state.lock();
        let (gone, kept) = state
            .waiting
            .drain(..)
            .partition(|event| Arc::ptr_eq(&event.subscription, of));
        let gone: VecDeque<Waiting> = gone;
        state.waiting = kept;
        state.bytes -= gone.iter().map(|event| event.bytes).sum::<u64>();
        self.signal(&mut state);
        drop(state);
        drop(gone);
    }

    /// Runs the wakeup if it is due. Call it without any lock.
    pub(crate) fn wake(&self) {
        if !self.wakeup_due.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut state = self.wakeup.lock();
        let Some(wakeup) = state.wakeup.clone() else {
            return;
        };
        let me = thread::current().id();
        state.running.push(me);
        drop(state);
        wakeup.run();
        let mut state = self.wakeup.lock();
        if let Some(at) = state.running.iter().position(|thread| *thread == me) {
            state.running.swap_remove(at);
        }
        self.wakeup_quiet.notify_all();
        drop(state);
        // Perhaps the last owner: free_user_data runs here, without the lock.
        drop(wakeup);
    }

    /// Replaces the wakeup and waits until the one before does not run any more.
    pub(crate) fn set_wakeup(&self, wakeup: Option<Wakeup>) {
        let me = thread::current().id();
        let installs = wakeup.is_some();
        let mut state = self.wakeup.lock();
        let before = std::mem::replace(&mut state.wakeup, wakeup.map(Arc::new));
        while state.running.iter().any(|thread| *thread != me) {
            self.wakeup_quiet.wait(&mut state);
        }
        drop(state);
        drop(before);
        if installs && self.state.lock().is_ready() {
            self.wakeup_due.store(true, Ordering::Release);
            self.wake();
        }
    }

    /// Whether the last handle was freed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> u64 {
        self.state.lock().waiting.len() as u64
    }

    /// The descriptor, made on first use.
    pub(crate) fn fd(&self) -> Result<i32, Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::closed("queue"));
        }
        if state.signal.is_none() {
            let signal = Signal::new().map_err(|error| {
                Error::new(SYNCLINE_ERROR_IO, error.to_string()).coded(
                    super::error::syncline_error_domain::SYNCLINE_ERROR_DOMAIN_OS,
                    error.raw_os_error().unwrap_or(0).into(),
                )
            })?;
            if state.signalled {
                signal.set();
            }
            state.signal = Some(signal);
        }
        Ok(state.signal.as_ref().map_or(-1, Signal::fd))
    }

    /// Takes the oldest event.
    pub(crate) fn poll(&self) -> Option<Arc<Shell<EventCore>>> {
        self.take(&mut self.state.lock()).map(|(event, _)| event)
    }

    fn take(
        &self,
        state: &mut MutexGuard<'_, QueueState>,
    ) -> Option<(Arc<Shell<EventCore>>, Arc<Subscription>)> {
        if !state.is_ready() {
            return None;
        }
        let next = state.waiting.pop_front()?;
        state.bytes -= next.bytes;
        state.sequence += 1;
        let event = EventCore::new(
            state.sequence,
            next.time_ms,
            next.subscription.user_pointer(),
            next.payload,
        );
        self.signal(state);
        Some((syncline_event::shell(event), next.subscription))
    }

    /// Waits for an event.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<Arc<Shell<EventCore>>, NoEvent> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        let before = state.cancels;
        if std::mem::take(&mut state.cancel_next) {
            return Err(NoEvent::Cancelled);
        }
        loop {
            if let Some((event, _)) = self.take(&mut state) {
                return Ok(event);
            }
            if state.cancels != before || state.closed {
                return Err(NoEvent::Cancelled);
            }
            state.waiters += 1;
            let timed_out = self.moved.wait_until(&mut state, deadline).timed_out();
            state.waiters -= 1;
            if timed_out && !state.is_ready() && state.cancels == before {
                return Err(NoEvent::TimedOut);
            }
        }
    }

    /// Ends the waits of now, or the next one if there are none.
    pub(crate) fn cancel_wait(&self) {
        let mut state = self.state.lock();
        state.cancels += 1;
        state.cancel_next = state.waiters == 0;
        self.moved.notify_all();
    }

    /// Runs the callbacks of up to `count_max` events here; those that wait now if it is zero.
    /// Nothing if another thread is delivering already.
    pub(crate) fn dispatch(&self, count_max: u32) -> u32 {
        let limit = if count_max > 0 {
            count_max.into()
        } else {
            self.len()
        };
        let mut count = 0u32;
        while u64::from(count) < limit {
            let Some((event, subscription)) = self.take_to_deliver(&mut self.state.lock()) else {
                break;
            };
            subscription.deliver(&event);
            self.end_delivery();
            count = count.saturating_add(1);
        }
        count
    }

    /// Takes the oldest event and the right to deliver, which nests on one thread.
    fn take_to_deliver(
        &self,
        state: &mut MutexGuard<'_, QueueState>,
    ) -> Option<(Arc<Shell<EventCore>>, Arc<Subscription>)> {
        let me = thread::current().id();
        let depth = match state.deliverer {
            None => 0,
            Some((thread, depth)) if thread == me => depth,
            Some(_) => return None,
        };
        let taken = self.take(state)?;
        state.deliverer = Some((me, depth + 1));
        Some(taken)
    }

    fn end_delivery(&self) {
        let mut state = self.state.lock();
        state.deliverer = state
            .deliverer
            .and_then(|(thread, depth)| (depth > 1).then_some((thread, depth - 1)));
        self.moved.notify_all();
    }

    /// Starts a delivery thread; false if there is one.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<bool> {
        self.start_locked(&mut self.state.lock())
    }

    fn start_locked(self: &Arc<Self>, state: &mut QueueState) -> io::Result<bool> {
        if state.closed || state.thread.as_ref().is_some_and(DeliveryThread::serves) {
            return Ok(false);
        }
        state.thread = Some(DeliveryThread::start(self)?);
        Ok(true)
    }

    /// Ends the delivery thread and waits for it; what waits stays. False if there is none.
    pub(crate) fn stop(&self) -> bool {
        let Some(thread) = self.state.lock().thread.take() else {
            return false;
        };
        thread.ask_to_stop(STOP_NOW);
        self.moved.notify_all();
        thread.join();
        true
    }

    /// The last handle is gone: nothing is delivered any more.
    pub(crate) fn close(&self) {
        let (waiting, thread) = {
            let mut state = self.state.lock();
            state.closed = true;
            state.bytes = 0;
            let waiting = std::mem::take(&mut state.waiting);
            self.signal(&mut state);
            state.signal = None;
            self.moved.notify_all();
            (waiting, state.thread.take())
        };
        drop(waiting);
        if let Some(thread) = thread {
            thread.ask_to_stop(STOP_NOW);
            self.moved.notify_all();
            thread.join();
        }
        let me = thread::current().id();
        let mut state = self.state.lock();
        while state.deliverer.is_some_and(|(thread, _)| thread != me) {
            self.moved.wait(&mut state);
        }
        drop(state);
        self.set_wakeup(None);
    }

    /// What a delivery thread does.
    pub(crate) fn serve(&self, stop: &AtomicU32) {
        let mut state = self.state.lock();
        loop {
            match stop.load(Ordering::Acquire) {
                STOP_NOW => return,
                STOP_WHEN_IDLE if state.waiting.is_empty() => return,
                _ => {}
            }
            if let Some((event, subscription)) = self.take_to_deliver(&mut state) {
                drop(state);
                subscription.deliver(&event);
                drop((event, subscription));
                self.end_delivery();
                state = self.state.lock();
            } else {
                self.moved.wait(&mut state);
            }
        }
    }
}

impl QueueState {
    /// The oldest event can be taken: its subscribing call has returned.
    fn is_ready(&self) -> bool {
        let first = self.waiting.front();
        first.is_some_and(|event| event.subscription.is_ready())
    }

    fn add(&mut self, to: &Arc<Subscription>, payload: &Arc<Payload>) {
        let bytes = payload.bytes();
        self.bytes += bytes;
        self.waiting.push_back(Waiting {
            payload: payload.clone(),
            subscription: to.clone(),
            time_ms: now_ms(),
            bytes,
        });
    }

    /// Drops what waits and leaves one OVERFLOW for each subscription that lost something. CLOSED
    /// is never lost. Gives what was dropped.
    fn overflow(&mut self, newest: &Arc<Subscription>, newest_closes: bool) -> Vec<Waiting> {
        let mut losers: Vec<Arc<Subscription>> = Vec::new();
        let mut closing = Vec::new();
        let mut dropped = Vec::new();
        for event in self.waiting.drain(..) {
            if matches!(*event.payload, Payload::Closed) {
                closing.push(event);
                continue;
            }
            if !losers
                .iter()
                .any(|known| Arc::ptr_eq(known, &event.subscription))
            {
                losers.push(event.subscription.clone());
            }
            dropped.push(event);
        }
        if !newest_closes && !losers.iter().any(|known| Arc::ptr_eq(known, newest)) {
            losers.push(newest.clone());
        }
        self.bytes = closing.iter().map(|event| event.bytes).sum();
        let overflow = Arc::new(Payload::Overflow);
        losers.iter().for_each(|loser| self.add(loser, &overflow));
        self.waiting.extend(closing);
        if newest_closes {
            self.add(newest, &Arc::new(Payload::Closed));
        }
        dropped
    }
}

/// Delivers what waits on the default queue and ends its thread.
pub(crate) fn shutdown(timeout: Duration) -> Answer {
    let queue = Queue::default_queue();
    let deadline = Instant::now() + timeout;
    let mut state = queue.state.lock();
    let Some(thread) = &state.thread else {
        return Ok(SYNCLINE_OK);
    };
    if thread.is_current() {
        let message = "the delivery thread cannot wait for its own end";
        return Err(Error::new(SYNCLINE_ERROR_IN_HOOK, message));
    }
    thread.ask_to_stop(STOP_WHEN_IDLE);
    queue.moved.notify_all();
    while !state.waiting.is_empty() || state.deliverer.is_some() {
        if queue.moved.wait_until(&mut state, deadline).timed_out() {
            // It still ends when it is idle; the next event starts another one.
            return Ok(SYNCLINE_TIMEOUT);
        }
    }
    let thread = state.thread.take();
    if let Some(thread) = &thread {
        // Perhaps a newer one than the one asked above.
        thread.ask_to_stop(STOP_WHEN_IDLE);
    }
    queue.moved.notify_all();
    drop(state);
    if let Some(thread) = thread {
        thread.join();
    }
    Ok(SYNCLINE_OK)
}

/// All queues of the application that still exist, for the statistics.
static QUEUES: LazyLock<Mutex<Vec<std::sync::Weak<Queue>>>> = LazyLock::new(Mutex::default);

/// Remembers a queue for the statistics.
pub(crate) fn register(queue: &Arc<Queue>) {
    let mut queues = QUEUES.lock();
    queues.retain(|known| known.strong_count() > 0);
    queues.push(Arc::downgrade(queue));
}

/// Bytes of all waiting events.
pub(crate) fn waiting_bytes_of_all() -> u64 {
    let own = QUEUES
        .lock()
        .iter()
        .filter_map(std::sync::Weak::upgrade)
        .collect::<Vec<_>>();
    let of_queue = |queue: &Arc<Queue>| queue.state.lock().bytes;
    own.iter().map(of_queue).sum::<u64>() + of_queue(Queue::default_queue())
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
