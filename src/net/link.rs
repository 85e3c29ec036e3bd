//! The transport of one client, as every dialect sees it: frames in, and reasons to act or to end.
//!
//! Layer: `net`. Frames out go through the session's outbox. What no dialect can decide is done
//! here: a peer that stops reading, a broken frame, the end of a permission.

use super::authorize::Revoked;
use super::outbox::Outbox;
use super::server_shared::{ServerShared, Session};
use super::socket::{Meter, Socket, SocketEvent};
use super::transport::Transport;
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
pub(super) const CLOSE_UNSUPPORTED: u16 = 1003;
pub(super) const CLOSE_INTERNAL: u16 = 1011;
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
}

impl Link {
    pub fn new(
        server: Arc<ServerShared>,
        session: Arc<Session>,
        socket: Socket<Transport>,
        meter: Arc<Meter>,
    ) -> Self {
        let patience = Duration::from_millis(server.options.client_timeout_ms.into());
        Link {
            server,
            session,
            socket,
            stall: Stall::new(meter, patience),
        }
    }

    /// Writes what waits in the outbox and returns the next thing that happens; at `deadline_ms`
    /// by the server's clock nothing has. While the peer is behind with reading nothing is read
    /// from it either, and the deadline is not told: its silence means nothing then.
    pub async fn next(&mut self, deadline_ms: i64) -> LinkEvent {
        loop {
            let outbox = self.session.outbox.clone();
            let mut deadline = self.stall.deadline(&outbox);
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
                    None => socket.poll(context, &outbox).map(from_socket),
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

    fn counted(&self, event: LinkEvent) -> LinkEvent {
        match &event {
            LinkEvent::Frame(_) => self.server.count(|counters| &counters.messages_in),
            LinkEvent::End(goodbye) if goodbye.code == CLOSE_BEHIND => {
                self.server.count(|counters| &counters.slow_clients_dropped);
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
