//! Threads that run the callbacks of a queue.

use super::delivery::Queue;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const RUN: u32 = 0;
/// Ends after the callback that runs.
pub(crate) const STOP_NOW: u32 = 1;
/// Ends when nothing waits any more.
pub(crate) const STOP_WHEN_IDLE: u32 = 2;

/// Delivery threads that run now.
static THREADS: AtomicU32 = AtomicU32::new(0);

/// A thread that runs the callbacks of one queue.
pub(crate) struct DeliveryThread {
    handle: thread::JoinHandle<()>,
    stop: Arc<AtomicU32>,
}

impl DeliveryThread {
    /// # Errors
    /// The system has no room for a thread.
    pub(crate) fn start(queue: &Arc<Queue>) -> io::Result<Self> {
        let stop = Arc::new(AtomicU32::new(RUN));
        let served = queue.clone();
        let asked = stop.clone();
        let builder = thread::Builder::new().name("syncline-delivery".into());
        let handle = with_signals_blocked(|| {
            builder.spawn(move || {
                THREADS.fetch_add(1, Ordering::Relaxed);
                served.serve(&asked);
                THREADS.fetch_sub(1, Ordering::Relaxed);
            })
        })?;
        Ok(DeliveryThread { handle, stop })
    }

    /// It runs and was not asked to stop.
    pub(crate) fn serves(&self) -> bool {
        self.stop.load(Ordering::Acquire) == RUN && !self.handle.is_finished()
    }

    /// Wake the queue afterwards.
    pub(crate) fn ask_to_stop(&self, how: u32) {
        self.stop.store(how, Ordering::Release);
    }

    /// Whether the caller is that thread.
    pub(crate) fn is_current(&self) -> bool {
        self.handle.thread().id() == thread::current().id()
    }

    /// Waits for its end, unless this is the thread itself, which then ends after its callback.
    pub(crate) fn join(self) {
        if !self.is_current() {
            // Callbacks are foreign code, which cannot unwind into the thread.
            let _ = self.handle.join();
        }
    }
}

/// Runs `spawn` with every signal blocked, so that threads started in it inherit that: handlers of
/// the host must not run on our stacks, and a write to a closed socket must not end the process.
pub(crate) fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    let _blocked = SignalsBlocked::new();
    spawn()
}

/// Every signal is blocked on this thread while it lives.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn new() -> Self {
        // SAFETY: plain data; both sets are written before they are read.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            SignalsBlocked { before }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the mask that was there before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

/// Delivery threads that run now.
pub(crate) fn running_threads() -> u32 {
    THREADS.load(Ordering::Relaxed)
}
