//! The transport of one client, as every dialect sees it: frames in, and reasons to act or to end.
//!
//! Layer: `net`. Frames out go through the session's outbox. What no dialect can decide is done
//! here: a peer that stops reading, a broken frame, the end of a permission.

use super::authorize::Revoked;
use super::limits::Bucket;
use super::outbox::Outbox;
use super::refusal::RefusalReason;
use super::server_shared::{ServerShared, Session};
use super::socket::{Meter, Socket, SocketEvent};
use super::transport::Transport;
use crate::sync::crdt_sync::Missed;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Bytes;

/// Close codes of the transport itself.
pub(super) const CLOSE_NORMAL: u16 = 1000;
pub(super) const CLOSE_STOPPING: u16 = 1001;
pub(super) const CLOSE_PROTOCOL: u16 = 1002;
pub(super) const CLOSE_UNSUPPORTED: u16 = 1003;
pub(super) const CLOSE_TEXT: u16 = 1007;
pub(super) const CLOSE_TOO_BIG: u16 = 1009;
pub(super) const CLOSE_INTERNAL: u16 = 1011;
/// The server restarts: come back later.
pub(super) const CLOSE_RESTART: u16 = 1012;
pub(super) const CLOSE_BEHIND: u16 = 1013;
/// A permission was revoked or has expired.
pub(super) const CLOSE_FORBIDDEN: u16 = 4403;

/// How a connection ends.
#[derive(Debug)]
pub(super) struct Goodbye {
    pub code: u16,
    pub reason: String,
}

impl Goodbye {
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Goodbye {
            code,
            reason: reason.into(),
        }
    }
}

/// Why [`Link::next`] returned.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// A message of the client.
    Frame(Bytes),
    /// The deadline has come, and the client could have said something.
    Deadline,
    /// The session has to leave a room.
    Revoked(Revoked),
    /// The client has read everything, and broadcasts of this room had passed it by.
    Behind(Arc<str>, Missed),
    /// Most of what waited has left: rooms may send what they left out.
    Relieved,
    /// The connection is over, or has to be.
    End(Goodbye),
}

/// One client's socket.
pub(super) struct Link {
    pub server: Arc<ServerShared>,
    pub session: Arc<Session>,
    socket: Socket<Transport>,
    stall: Stall,
    updates: Bucket,
    bytes: Bucket,
    /// It sends too much and is read later.
    is_paused: bool,
}

impl Link {
    pub fn new(
        server: Arc<ServerShared>,
        session: Arc<Session>,
        socket: Socket<Transport>,
        meter: Arc<Meter>,
    ) -> Self {
        let patience = Duration::from_millis(server.options.client_timeout_ms.into());
        let (limits, now) = (&server.options.limits, std::time::Instant::now());
        Link {
            stall: Stall::new(meter, patience),
            updates: Bucket::new(limits.updates_per_s, limits.updates_burst, now),
            bytes: Bucket::new(limits.bytes_per_s, limits.bytes_burst, now),
            is_paused: false,
            server,
            session,
            socket,
        }
    }

    /// Writes what waits in the outbox and returns the next thing that happens; at `deadline_ms`
    /// by the server's clock nothing has. While the peer is behind with reading nothing is read
    /// from it either, and the deadline is not told: its silence means nothing then.
    pub async fn next(&mut self, deadline_ms: i64) -> LinkEvent {
        loop {
            let outbox = self.session.outbox.clone();
            let pause = self.pause();
            let mut deadline = self.stall.deadline(&outbox);
            if let Some(pause) = pause {
                deadline = deadline.min(Instant::now() + pause);
            }
            let mut wake_ms = self.session.permissions.next_expiry_ms();
            if outbox.may_read() {
                wake_ms = wake_ms.min(deadline_ms);
            }
            if wake_ms < i64::MAX {
                deadline = deadline.min(self.server.clock.instant(wake_ms));
            }
            let (socket, session, clock) = (&mut self.socket, &self.session, &self.server.clock);
            let next = poll_fn(|context| {
                // Before looking, so that whoever revokes next finds a waker.
                outbox.register(context);
                match session.permissions.take_revoked(clock.now_ms()) {
                    Some(revoked) => Poll::Ready(LinkEvent::Revoked(revoked)),
                    None => match socket.poll(context, &outbox) {
                        Poll::Ready(event) => Poll::Ready(from_socket(event)),
                        Poll::Pending => match outbox.take_behind() {
                            Some((room, missed)) => Poll::Ready(LinkEvent::Behind(room, missed)),
                            None => Poll::Pending,
                        },
                    },
                }
            });
            tokio::select! {
                biased;
                event = next => return self.counted(event),
                () = sleep_until(deadline) => {
                    if self.stall.is_stalled(&outbox) {
                        return self.counted(too_slow());
                    }
                    if outbox.may_read() && self.server.clock.now_ms() >= deadline_ms {
                        return LinkEvent::Deadline;
                    }
                }
            }
        }
    }

    /// How long nothing is to be read from a client that sent too much.
    fn pause(&mut self) -> Option<Duration> {
        let now = std::time::Instant::now();
        if self.session.has_updated.swap(false, Ordering::Relaxed) {
            self.updates.take(1, now);
        }
        let debts = [
            (RefusalReason::UpdateRate, self.updates.debt(now)),
            (RefusalReason::ByteRate, self.bytes.debt(now)),
        ];
        let longest = debts.into_iter().max_by_key(|(_, debt)| *debt);
        let (reason, pause) = longest.expect("there are two");
        if pause.is_some() && !self.is_paused {
            let address = self.session.address;
            self.server
                .refuse(address, reason, "it sends too much: read later");
        }
        self.is_paused = pause.is_some();
        self.session.outbox.set_paused(self.is_paused);
        // A little more, so that the debt is paid then.
        pause.map(|pause| pause + Duration::from_millis(1))
    }

    fn counted(&mut self, event: LinkEvent) -> LinkEvent {
        let address = self.session.address;
        match &event {
            LinkEvent::Frame(frame) => {
                self.bytes.take(frame.len(), std::time::Instant::now());
                self.server.count(|counters| &counters.messages_in);
            }
            LinkEvent::End(goodbye) if goodbye.code == CLOSE_BEHIND => {
                self.server.count(|counters| &counters.slow_clients_dropped);
                self.server
                    .refuse(address, RefusalReason::TooSlow, &goodbye.reason);
            }
            LinkEvent::End(goodbye) if goodbye.code == CLOSE_TOO_BIG => {
                self.server
                    .refuse(address, RefusalReason::MessageSize, &goodbye.reason);
            }
            LinkEvent::End(goodbye) if [CLOSE_PROTOCOL, CLOSE_TEXT].contains(&goodbye.code) => {
                self.server
                    .refuse(address, RefusalReason::Protocol, &goodbye.reason);
            }
            LinkEvent::End(goodbye) if goodbye.code == CLOSE_NORMAL => {
                log::debug!(target: "server", "{}: {}", self.session.address, goodbye.reason);
            }
            _ => {}
        }
        event
    }

    /// Puts a frame into the outbox and counts it.
    pub fn send(&self, frame: impl Into<Bytes>) {
        if self.session.outbox.push(frame.into()) {
            self.server.count(|counters| &counters.messages_out);
        }
    }

    /// Says goodbye, but not for long.
    pub async fn close(self, goodbye: Goodbye) {
        self.socket.close(goodbye.code, &goodbye.reason).await;
    }
}

fn too_slow() -> LinkEvent {
    LinkEvent::End(Goodbye::new(CLOSE_BEHIND, "too slow"))
}

fn from_socket(event: SocketEvent) -> LinkEvent {
    match event {
        SocketEvent::Frame(frame) => LinkEvent::Frame(frame),
        // Answers the peer's close frame, if that is what it was.
        SocketEvent::Closed { reason } => LinkEvent::End(Goodbye::new(CLOSE_NORMAL, reason)),
        SocketEvent::Broken { code, reason } => LinkEvent::End(Goodbye { code, reason }),
        SocketEvent::Relieved => LinkEvent::Relieved,
        SocketEvent::Overflow => too_slow(),
        SocketEvent::MayClose(closing) => {
            LinkEvent::End(Goodbye::new(closing.code, closing.reason))
        }
    }
}

/// Notices a peer that takes nothing of what waits for it.
struct Stall {
    meter: Arc<Meter>,
    patience: Duration,
    written: u64,
    since: Instant,
}

impl Stall {
    fn new(meter: Arc<Meter>, patience: Duration) -> Self {
        Stall {
            meter,
            patience,
            written: 0,
            since: Instant::now(),
        }
    }

    /// When to look again.
    fn deadline(&mut self, outbox: &Outbox) -> Instant {
        let written = self.meter.written.load(Ordering::Relaxed);
        if written != self.written || outbox.unsent_bytes() == 0 {
            self.written = written;
            self.since = Instant::now();
        }
        self.since + self.patience
    }

    fn is_stalled(&mut self, outbox: &Outbox) -> bool {
        outbox.unsent_bytes() > 0 && self.deadline(outbox) <= Instant::now()
    }
}
