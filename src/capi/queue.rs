//! Section 7: queues and subscriptions. What they do is in `delivery`.

use super::delivery::{self, DartPost, NoEvent, QUEUE_BYTES_MAX, Queue, Wakeup};
use super::error::Error;
use super::event::{syncline_event, syncline_event_fn};
use super::guard::{Answer, Caller, OptionStruct, SizeFirst, guard, question};
use super::handle::{self, Handle, handle};
use super::subscription::{Source, Subscription, Wishes};
use super::types::*;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

/// Events on their way to one consumer. The library has a default queue with a thread of its own;
/// other queues are drained by the application.
pub struct syncline_queue(());
/// A wish to be told, until it is freed. Keeps what it observes alive, but not a client or server.
pub struct syncline_subscription(());

/// Called when an empty queue becomes non-empty, on any thread. It must make no Syncline call.
pub type syncline_wakeup_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Who wants to be told, and how.
#[repr(C)]
pub struct syncline_listener {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// NULL: the default queue, whose thread calls the callback.
    pub queue: *mut syncline_queue,
    /// NULL: take the events with syncline_queue_poll or _wait. Dispatching drops an event without
    /// a callback.
    pub callback: syncline_event_fn,
    /// Given to the callback, and found in polled events.
    pub user_data: *mut c_void,
    /// Runs once, after the last callback; also when the subscribing call fails.
    pub free_user_data: syncline_free_fn,
    /// Bits (1 << syncline_event_type); 0 = all. CLOSED and OVERFLOW always come.
    pub mask: u64,
    /// Handlers that hold references: also what happens in the handlers they lead to, each with
    /// its path. No difference for others. Costs a walk over the references per commit.
    pub deep: BoolArg,
    /// Zero.
    pub reserved_1: [u8; 7],
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_listener {}
// SAFETY: integers and nullable pointers only.
unsafe impl OptionStruct for syncline_listener {}

/// Settings of a queue.
#[repr(C)]
pub struct syncline_queue_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// What waits may take this much memory, estimated; 0 = 64 MiB. Then an OVERFLOW event
    /// replaces what is waiting.
    pub bytes_max: u64,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_queue_options {}
// SAFETY: integers and nullable pointers only.
unsafe impl OptionStruct for syncline_queue_options {}

/// The application's hold on a queue; the queue closes with the last handle.
pub(crate) struct QueueHandle(Arc<Queue>);

impl Drop for QueueHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The application's hold on a subscription, with what must live as long.
pub(crate) struct SubscriptionHandle {
    subscription: Arc<Subscription>,
    source: Arc<dyn Source>,
}

impl Drop for SubscriptionHandle {
    fn drop(&mut self) {
        self.source.unsubscribe(&self.subscription);
        self.subscription.end();
    }
}

handle!(syncline_queue, QueueHandle, Queue);
handle!(syncline_subscription, SubscriptionHandle, Subscription);

/// Makes a queue of your own.
///
/// @param options    NULL: the defaults
/// @param out_queue  free it with syncline_queue_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_new(
    options: *const syncline_queue_options,
    out_queue: *mut *mut syncline_queue,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_queue, "out_queue")?;
        let options = caller.sized(options, "options")?;
        let bytes_max = if options.bytes_max == 0 {
            QUEUE_BYTES_MAX
        } else {
            options.bytes_max
        };
        let queue = Queue::new(bytes_max);
        delivery::register(&queue);
        out.give_handle(QueueHandle(queue))
    })
}

/// Gives a handle back. With the last one the queue ends: events are dropped, its thread stops,
/// its descriptor closes. Waits for a running wakeup or callback of this queue, except from inside
/// of it.
///
/// @param queue  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_free(queue: *mut syncline_queue) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(queue) }
}

/// One more handle to the same queue.
///
/// @return NULL for NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_retain(queue: *mut syncline_queue) -> *mut syncline_queue {
    // SAFETY: the caller keeps the promise of the header.
    unsafe { handle::retain(queue) }
}

/// Takes the oldest event without waiting.
///
/// @param queue      where
/// @param out_event  free it with syncline_event_free
/// @return END when the queue is empty
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_poll(
    queue: *mut syncline_queue,
    out_event: *mut *mut syncline_event,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_event, "out_event")?;
        match caller.object(queue)?.0.poll() {
            Some(event) => out.give(syncline_event::give(event)),
            None => Ok(SYNCLINE_END),
        }
    })
}

/// Takes the oldest event, waiting for one.
///
/// @param queue       where
/// @param timeout_ms  how long to wait
/// @param out_event   free it with syncline_event_free
/// @return TIMEOUT; CANCELLED by syncline_queue_cancel_wait or when the queue ends
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_wait(
    queue: *mut syncline_queue,
    timeout_ms: u32,
    out_event: *mut *mut syncline_event,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_event, "out_event")?;
        let queue = caller.object(queue)?.0.clone();
        match queue.wait(Duration::from_millis(timeout_ms.into())) {
            Ok(event) => out.give(syncline_event::give(event)),
            Err(NoEvent::TimedOut) => Ok(SYNCLINE_TIMEOUT),
            Err(NoEvent::Cancelled) => Err(Error::new(
                SYNCLINE_ERROR_CANCELLED,
                "the wait was cancelled",
            )),
        }
    })
}

/// Runs the callbacks of waiting events here and now. Does nothing while another thread delivers
/// events of this queue.
///
/// @param queue       whose events
/// @param events_max  how many at most; 0 = as many as wait now
/// @param out_count   how many were delivered; NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_dispatch(
    queue: *mut syncline_queue,
    events_max: u32,
    out_count: *mut u32,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_or_null(out_count, "out_count")?;
        // A callback may free the queue.
        let queue = caller.object(queue)?.0.clone();
        let count = queue.dispatch(events_max);
        if let Some(out) = out {
            out.put(count);
        }
        Ok(SYNCLINE_OK)
    })
}

/// Starts a delivery thread for this queue.
///
/// @return UNCHANGED if there is one
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_start(queue: *mut syncline_queue) -> syncline_status {
    guard!(|caller| {
        let started = caller.object(queue)?.0.start();
        let started =
            started.map_err(|error| Error::new(SYNCLINE_ERROR_OUT_OF_MEMORY, error.to_string()))?;
        Ok(changed(started))
    })
}

/// Ends the delivery thread of this queue and waits for it (not from inside of its callback).
/// Events that wait stay.
///
/// @return UNCHANGED if there is none
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_stop(queue: *mut syncline_queue) -> syncline_status {
    guard!(|caller| {
        let queue = caller.object(queue)?.0.clone();
        Ok(changed(queue.stop()))
    })
}

fn changed(changed: bool) -> syncline_status {
    if changed {
        SYNCLINE_OK
    } else {
        SYNCLINE_UNCHANGED
    }
}

/// How many events wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_length(queue: *const syncline_queue) -> u64 {
    question!(0, |caller| Ok(caller.object(queue)?.0.len()))
}

/// A descriptor that is readable while events wait (level-triggered), for poll, epoll, kqueue and
/// event loops. Only wait on it; never read, write or close it. Made on the first call.
///
/// @return -1 on failure
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_fd(queue: *mut syncline_queue) -> isize {
    question!(-1, |caller| {
        let fd = caller.object(queue)?.0.fd();
        Ok(fd.inspect_err(Error::note)? as isize)
    })
}

/// Sets what is called when the empty queue becomes non-empty; at once if events wait already.
/// Waits for a running call of the one before.
///
/// @param queue           whose events
/// @param wakeup          NULL removes it
/// @param user_data       given to the wakeup
/// @param free_user_data  runs once, after the last call; also when this call fails
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_set_wakeup(
    queue: *mut syncline_queue,
    wakeup: syncline_wakeup_fn,
    user_data: *mut c_void,
    free_user_data: syncline_free_fn,
) -> syncline_status {
    guard!(|caller| {
        let user = UserData::new(user_data, free_user_data);
        let queue = caller.object(queue)?.0.clone();
        queue.set_wakeup(wakeup.map(|wake| Wakeup::Call { wake, user }));
        Ok(SYNCLINE_OK)
    })
}

/// Sets a Dart port that gets a null message when the empty queue becomes non-empty: "come and
/// take". Replaces a wakeup set before.
///
/// @param queue          whose events
/// @param port           the native port of a ReceivePort; 0 removes
/// @param post_c_object  NativeApi.postCObject
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_set_dart_port(
    queue: *mut syncline_queue,
    port: i64,
    post_c_object: *mut c_void,
) -> syncline_status {
    guard!(|caller| {
        let queue = caller.object(queue)?.0.clone();
        if port == 0 {
            queue.set_wakeup(None);
            return Ok(SYNCLINE_OK);
        }
        if post_c_object.is_null() {
            return Err(Error::argument("post_c_object is NULL"));
        }
        // SAFETY: the caller gives Dart_PostCObject, which has this signature in every version of
        // the Dart API.
        let post = unsafe { std::mem::transmute::<*mut c_void, DartPost>(post_c_object) };
        queue.set_wakeup(Some(Wakeup::DartPort { post, port }));
        Ok(SYNCLINE_OK)
    })
}

/// Makes syncline_queue_wait return CANCELLED on all threads that wait in it; if there are none,
/// the next wait returns at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_queue_cancel_wait(queue: *mut syncline_queue) -> syncline_status {
    guard!(|caller| {
        caller.object(queue)?.0.cancel_wait();
        Ok(SYNCLINE_OK)
    })
}

/// Ends a subscription. On return its callback neither runs nor will run, except when this is
/// called from inside of it; so do not hold a lock here that the callback wants.
///
/// @param subscription  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_subscription_free(subscription: *mut syncline_subscription) {
    // SAFETY: the caller gives this handle up.
    unsafe { handle::free(subscription) }
}

/// False after the source was closed (CLOSED is or was on its way) or the queue was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_subscription_is_active(
    subscription: *const syncline_subscription,
) -> bool {
    question!(false, |caller| Ok(caller
        .object(subscription)?
        .subscription
        .is_active()))
}

/// The body of every `_subscribe`. `register` tells the source; if it fails, nothing happened and
/// the user data is given back.
pub(crate) fn subscribe(
    caller: Caller<'_>,
    listener: *const syncline_listener,
    out_subscription: *mut *mut syncline_subscription,
    register: impl FnOnce(&Arc<Subscription>) -> Result<Arc<dyn Source>, Error>,
) -> Answer {
    let listener = caller.sized(listener, "listener")?;
    // From here on the user data is ours, whatever happens.
    let user = UserData::new(listener.user_data, listener.free_user_data);
    let out = caller.out(out_subscription, "out_subscription")?;
    let queue = match caller.object_or_null(listener.queue)? {
        Some(queue) => queue.0.clone(),
        None if listener.callback.is_some() => Queue::default_queue().clone(),
        None => return Err(Error::argument("a listener needs a callback or a queue")),
    };
    let subscription = Subscription::new(
        queue,
        listener.callback,
        user,
        Wishes {
            mask: listener.mask,
            deep: listener.deep != 0,
        },
    );
    let source = match register(&subscription) {
        Ok(source) => source,
        Err(error) => {
            subscription.end();
            return Err(error);
        }
    };
    out.put(syncline_subscription::make(SubscriptionHandle {
        subscription: subscription.clone(),
        source,
    }));
    subscription.set_ready();
    Ok(SYNCLINE_OK)
}
