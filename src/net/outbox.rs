//! Frames on their way to one socket, counted until they have left.
//!
//! Layer: `net`. Any thread puts frames in; the socket's task takes them out. The count covers what
//! the socket has not accepted yet, so that a peer that does not read is noticed before it costs
//! memory. It also counts what this peer sent and is not settled yet (waits for the disk), so that
//! reading stops before that grows.

#[cfg(feature = "server")]
use crate::sync::crdt_sync::Missed;
use crate::sync::native::FairQueue;
#[cfg(feature = "server")]
use crate::sync::native::Outgoing;
use parking_lot::Mutex;
#[cfg(feature = "server")]
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
#[cfg(feature = "server")]
use std::time::Duration;
#[cfg(feature = "server")]
use std::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

/// Frames of one peer that may wait for the disk before reading from it stops.
const UNSETTLED_FRAMES_MAX: usize = 1024;
const UNSETTLED_BYTES_MAX: usize = 4 << 20;

/// Outgoing frames of one socket.
pub(super) struct Outbox {
    bytes_max: usize,
    /// Unsent bytes at which it says that it is full.
    full_at: usize,
    state: Mutex<State>,
}

/// Where a broadcast belongs.
#[cfg(feature = "server")]
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub room: Arc<str>,
    /// What a session has that got everything before it.
    pub before: Missed,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Queued>,
    /// Bytes of `frames`.
    queued: usize,
    /// Of a connection of the native dialect: what it sends, in turns.
    fair: Option<FairQueue>,
    /// A room left something out because so much waits.
    starved: bool,
    /// Bytes the socket took, but has not written.
    in_socket: usize,
    /// Bytes of a frame larger than the bound that came while nothing waited; they do not count
    /// against what follows it.
    lone: usize,
    close: Option<Closing>,
    /// Rooms whose broadcasts are not queued, because some were dropped, and whether somebody is
    /// at work to make up for them.
    #[cfg(feature = "server")]
    behind: HashMap<Arc<str>, (Missed, bool)>,
    /// A frame did not fit: the connection is to be closed.
    overflowed: bool,
    unsettled_frames: usize,
    unsettled_bytes: usize,
    /// The peer sent more than it may: the rest is read later.
    paused: bool,
    /// Of the socket's task.
    waker: Option<Waker>,
}

/// A frame that waits.
struct Queued {
    frame: Bytes,
    /// Of frames that can be made up for.
    #[cfg(feature = "server")]
    origin: Option<Origin>,
}

impl Queued {
    fn new(frame: Bytes) -> Self {
        Queued {
            frame,
            #[cfg(feature = "server")]
            origin: None,
        }
    }
}

/// How a connection is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub code: u16,
    pub reason: String,
}

impl Outbox {
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Outbox {
            bytes_max,
            full_at: bytes_max / 2,
            state: Mutex::default(),
        })
    }

    /// Of a client that fills it as far as it is not full: then reading never stops.
    #[cfg(feature = "client")]
    pub fn unbounded(full_at: usize) -> Arc<Self> {
        Arc::new(Outbox {
            bytes_max: usize::MAX,
            full_at,
            state: Mutex::default(),
        })
    }

    /// The connection speaks the native dialect: its rooms look at [`is_full`](Self::is_full).
    #[cfg(feature = "server")]
    pub fn take_turns(&self, part_bytes: usize) {
        let fair = &mut self.state.lock().fair;
        fair.get_or_insert_with(|| FairQueue::new(part_bytes));
    }

    /// Queues something of the native dialect. False: the connection ends.
    #[cfg(feature = "server")]
    pub fn push_outgoing(&self, outgoing: Outgoing) -> bool {
        let mut state = self.state.lock();
        let open = state.close.is_none() && !state.overflowed;
        match (&mut state.fair, open) {
            (Some(fair), true) => fair.push(outgoing),
            _ => return false,
        }
        wake(state);
        true
    }

    /// The peer takes no larger frames.
    #[cfg(feature = "server")]
    pub fn limit_parts(&self, bytes_max: usize) {
        if let Some(fair) = &mut self.state.lock().fair {
            fair.limit_parts(bytes_max);
        }
    }

    /// Whether so much waits that nothing more should come; whoever asked is told when that is
    /// over, see [`take_relief`](Self::take_relief).
    pub fn is_full(&self) -> bool {
        let mut state = self.state.lock();
        let full = state.unsent() > self.full_at;
        state.starved |= full;
        full
    }

    /// Whether something was left out, and most of what waited has left since. Once.
    pub fn take_relief(&self) -> bool {
        let mut state = self.state.lock();
        let relieved = state.starved && state.unsent() <= self.full_at / 2;
        state.starved &= !relieved;
        relieved
    }

    /// Queues a frame. One that does not fit ends the connection, unless it is alone: a document
    /// larger than the bound can still be joined. False: it was dropped.
    pub fn push(&self, frame: Bytes) -> bool {
        let mut state = self.state.lock();
        if state.overflowed || state.close.is_some() {
            return false;
        }
        #[cfg(feature = "server")]
        if !state.has_room_for(frame.len(), self.bytes_max) {
            state.drop_broadcasts();
        }
        let fits = state.has_room_for(frame.len(), self.bytes_max);
        if fits {
            state.accept(Queued::new(frame), self.bytes_max);
        } else {
            state.overflowed = true;
            state.frames.clear();
            state.queued = 0;
            state.lone = 0;
        }
        wake(state);
        fits
    }

    /// Queues a broadcast. If there is no room for it, all broadcasts that wait are forgotten, and
    /// further ones of their rooms pass until somebody has made up for them. False: it passed.
    #[cfg(feature = "server")]
    pub fn push_broadcast(&self, frame: Bytes, origin: Origin) -> bool {
        let mut state = self.state.lock();
        if state.overflowed || state.close.is_some() || state.behind.contains_key(&origin.room) {
            return false;
        }
        let fits = state.has_room_for(frame.len(), self.bytes_max);
        if fits {
            let origin = Some(origin);
            state.accept(Queued { frame, origin }, self.bytes_max);
        } else {
            state.drop_broadcasts();
            let Origin { room, before } = origin;
            state.behind.entry(room).or_insert((before, false));
        }
        wake(state);
        fits
    }

    /// From now on broadcasts of the room pass: the session has to be sent what it lacks.
    #[cfg(feature = "server")]
    pub fn fall_behind(&self, room: Arc<str>, missed: Missed) {
        let mut state = self.state.lock();
        state.behind.insert(room, (missed, false));
        wake(state);
    }

    /// A room for which the session has to be sent what it lacks, now that it has read what was
    /// sent. Each is told once; [`fall_behind`](Self::fall_behind) or
    /// [`caught_up`](Self::caught_up) has to follow.
    #[cfg(feature = "server")]
    pub fn take_behind(&self) -> Option<(Arc<str>, Missed)> {
        let mut state = self.state.lock();
        if state.unsent() > 0 {
            return None;
        }
        let (room, (missed, told)) = state.behind.iter_mut().find(|(_, (_, told))| !*told)?;
        *told = true;
        Some((room.clone(), missed.clone()))
    }

    /// The session was sent what it lacked: broadcasts of the room are queued again.
    #[cfg(feature = "server")]
    pub fn caught_up(&self, room: &str) {
        self.state.lock().behind.remove(room);
    }

    /// Ends the connection once what is queued was sent.
    #[cfg(any(feature = "server", test))]
    pub fn close(&self, code: u16, reason: &str) {
        let mut state = self.state.lock();
        state.close.get_or_insert_with(|| Closing {
            code,
            reason: reason.to_owned(),
        });
        wake(state);
    }

    /// Has the socket's task look around: something else happened to the session.
    #[cfg(feature = "server")]
    pub fn wake(&self) {
        wake(self.state.lock());
    }

    /// Remembers whom to wake, before looking at anything else.
    pub fn register(&self, context: &Context<'_>) {
        let mut state = self.state.lock();
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            waker => *waker = Some(context.waker().clone()),
        }
    }

    /// The next frame for the socket.
    pub fn pop(&self) -> Option<Bytes> {
        let mut state = self.state.lock();
        let frame = match (state.frames.pop_front(), &mut state.fair) {
            (Some(Queued { frame, .. }), _) => {
                state.queued -= frame.len();
                frame
            }
            (None, Some(fair)) => fair.pop()?.into(),
            (None, None) => return None,
        };
        state.in_socket += frame.len();
        Some(frame)
    }

    /// The socket wrote all it took.
    pub fn flushed(&self) {
        let mut state = self.state.lock();
        state.in_socket = 0;
        // It was first, so it has left.
        state.lone = 0;
    }

    /// Bytes that have not left.
    pub fn unsent_bytes(&self) -> usize {
        self.state.lock().unsent()
    }

    pub fn is_overflowed(&self) -> bool {
        self.state.lock().overflowed
    }

    /// How to end, as soon as everything was sent.
    pub fn closing(&self) -> Option<Closing> {
        let state = self.state.lock();
        let sent = state.unsent() == 0 && state.fair.as_ref().is_none_or(FairQueue::is_empty);
        state.close.clone().filter(|_| sent)
    }

    /// Whether more of this peer may be read: it reads what it gets, and the disk keeps up.
    pub fn may_read(&self) -> bool {
        let state = self.state.lock();
        !state.paused
            && state.unsent() <= self.bytes_max / 2
            && state.unsettled_frames < UNSETTLED_FRAMES_MAX
            && state.unsettled_bytes < UNSETTLED_BYTES_MAX
    }

    /// Stops or resumes reading. For the socket's own task, which looks again anyway.
    #[cfg(feature = "server")]
    pub fn set_paused(&self, paused: bool) {
        self.state.lock().paused = paused;
    }

    /// Bytes that were received and are not settled.
    #[cfg(feature = "server")]
    pub fn unsettled_bytes(&self) -> usize {
        self.state.lock().unsettled_bytes
    }

    /// Counts a received frame until the result is dropped.
    #[cfg(any(feature = "server", test))]
    pub fn unsettled(self: &Arc<Self>, bytes: usize) -> Unsettled {
        let mut state = self.state.lock();
        state.unsettled_frames += 1;
        state.unsettled_bytes += bytes;
        Unsettled {
            outbox: self.clone(),
            bytes,
            #[cfg(feature = "server")]
            since: Instant::now(),
        }
    }
}

impl State {
    /// Bytes that have not left; states that are shared do not count.
    fn unsent(&self) -> usize {
        let fair = self.fair.as_ref().map_or(0, FairQueue::bytes);
        self.queued + fair + self.in_socket
    }

    /// A lone frame may exceed the bound: a document larger than it can still be joined.
    fn has_room_for(&self, bytes: usize, bytes_max: usize) -> bool {
        let unsent = self.unsent();
        unsent == 0 || (unsent - self.lone).saturating_add(bytes) <= bytes_max
    }

    fn accept(&mut self, waiting: Queued, bytes_max: usize) {
        let bytes = waiting.frame.len();
        if self.unsent() == 0 {
            self.lone = if bytes > bytes_max { bytes } else { 0 };
        }
        self.queued += bytes;
        self.frames.push_back(waiting);
    }

    /// Forgets the broadcasts that wait; the first of each room tells what is missed.
    #[cfg(feature = "server")]
    fn drop_broadcasts(&mut self) {
        let State {
            frames,
            behind,
            queued,
            in_socket,
            lone,
            ..
        } = self;
        frames.retain_mut(|waiting| {
            let Some(Origin { room, before }) = waiting.origin.take() else {
                return true;
            };
            *queued -= waiting.frame.len();
            if *queued + *in_socket < *lone {
                *lone = 0;
            }
            behind.entry(room).or_insert((before, false));
            false
        });
    }
}

fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A received frame whose consequences are not out yet.
#[cfg(any(feature = "server", test))]
pub(super) struct Unsettled {
    outbox: Arc<Outbox>,
    bytes: usize,
    #[cfg(feature = "server")]
    since: Instant,
}

#[cfg(feature = "server")]
impl Unsettled {
    /// How long ago the frame was received.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

#[cfg(any(feature = "server", test))]
impl Drop for Unsettled {
    fn drop(&mut self) {
        let mut state = self.outbox.state.lock();
        state.unsettled_frames -= 1;
        state.unsettled_bytes -= self.bytes;
        wake(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[test]
    fn bytes_count_until_the_socket_wrote_them() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(frame(6)));
        assert!(outbox.push(frame(4)), "exactly full");
        assert_eq!(outbox.pop().unwrap().len(), 6);
        assert_eq!(outbox.unsent_bytes(), 10);
        assert!(!outbox.may_read());
        outbox.flushed();
        assert_eq!(outbox.unsent_bytes(), 4);
        assert!(outbox.may_read());
        assert!(outbox.push(frame(6)));
        assert!(!outbox.push(frame(1)));
        assert!(outbox.is_overflowed());
        assert_eq!(outbox.unsent_bytes(), 0, "dropped");
        assert!(!outbox.push(frame(1)), "for good");
    }

    #[test]
    fn a_lone_frame_may_exceed_the_bound() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(frame(100)));
        assert!(
            outbox.push(frame(10)),
            "what follows has a bound of its own"
        );
        assert!(!outbox.push(frame(1)));
        assert!(outbox.is_overflowed());
    }

    #[cfg(feature = "server")]
    #[test]
    fn broadcasts_are_made_up_for_when_the_peer_has_read_the_rest() {
        let outbox = Outbox::new(10);
        let push = |seq, len| {
            let origin = Origin {
                room: "r".into(),
                before: Missed::AfterSeq(seq),
            };
            outbox.push_broadcast(frame(len), origin)
        };
        assert!(outbox.push(frame(2)));
        assert!(push(1, 4));
        assert!(push(2, 4));
        assert!(!push(3, 1), "over the bound");
        assert_eq!(outbox.unsent_bytes(), 2, "answers stay");
        assert!(!push(4, 1), "the room is behind");
        assert!(outbox.push(frame(3)), "answers go on");
        assert_eq!(outbox.take_behind(), None, "not before it has read");
        while outbox.pop().is_some() {}
        outbox.flushed();
        let missed = Some(("r".into(), Missed::AfterSeq(1)));
        assert_eq!(outbox.take_behind(), missed, "the first that was dropped");
        assert_eq!(outbox.take_behind(), None, "told once");
        assert!(!push(5, 1));
        outbox.caught_up("r");
        assert!(push(6, 1));
        assert!(!outbox.is_overflowed());
        // An answer that needs the room of broadcasts gets it.
        assert!(outbox.push(frame(10 - 1)) && outbox.push(frame(1)));
        assert_eq!(outbox.unsent_bytes(), 10);
    }

    #[test]
    fn closing_waits_for_what_is_queued() {
        let outbox = Outbox::new(10);
        outbox.push(frame(1));
        outbox.close(1001, "bye");
        outbox.close(1000, "ignored");
        assert_eq!(outbox.closing(), None);
        assert!(!outbox.push(frame(1)));
        outbox.pop();
        assert_eq!(outbox.closing(), None);
        outbox.flushed();
        assert_eq!(
            outbox.closing(),
            Some(Closing {
                code: 1001,
                reason: "bye".into()
            })
        );
    }

    #[test]
    fn unsettled_frames_stop_reading() {
        let outbox = Outbox::new(10);
        let one = outbox.unsettled(UNSETTLED_BYTES_MAX);
        assert!(!outbox.may_read());
        drop(one);
        assert!(outbox.may_read());
        let many: Vec<_> = (0..UNSETTLED_FRAMES_MAX)
            .map(|_| outbox.unsettled(0))
            .collect();
        assert!(!outbox.may_read());
        drop(many);
        assert!(outbox.may_read());
    }
}
