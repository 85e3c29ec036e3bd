//! The client's thread: moves frames between the protocol core and the socket.
//!
//! Layer: `net`. One loop: do what the core asks for, then wait for the socket, the clock, a local
//! commit or the application, whichever comes first. The document is locked for one step at a time.

use super::client::Link;
use super::dial::{ClientSocket, Opening, Target, dial};
use super::outbox::Outbox;
use super::socket::SocketEvent;
use crate::clock::VersionVector;
use crate::document::LockError;
use crate::sync::crdt_sync::{ClientAction, ClientEvent, ClientStatus};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Bytes;

/// Progress is told at most so often while more than a few changes are pending: computing it lists
/// them.
const PROGRESS_CHEAP_MAX: u64 = 64;
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);
/// Pause before trying again to use a document that another thread keeps locked.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// What the loop waits for.
enum Wake {
    Opened(Result<Box<ClientSocket>, String>),
    Socket(SocketEvent),
    Deadline,
    Notified,
}

struct Driver<'a> {
    link: &'a Link,
    outbox: Arc<Outbox>,
    socket: Option<Box<ClientSocket>>,
    opening: Option<Opening>,
    /// A frame that could not be handled yet: the document was locked.
    frame: Option<Bytes>,
    /// The document cannot be used before this moment.
    locked_until: Option<Instant>,
    progress_due: Option<Instant>,
    /// The earliest moment for the next progress.
    progress_after: Instant,
    server: Option<VersionVector>,
    tell_status: bool,
}

/// The thread. Ends when the handle says so.
pub(super) fn run(link: &Link) {
    *link.thread.lock() = Some(std::thread::current().id());
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            log::error!(target: "client", "no event loop: {error}");
            link.protocol.lock().disconnect();
            link.publish_failure(format!("no event loop: {error}"), None);
            return link.publish_protocol();
        }
    };
    let mut driver = Driver {
        link,
        outbox: Outbox::new(usize::MAX),
        socket: None,
        opening: None,
        frame: None,
        locked_until: None,
        progress_due: None,
        progress_after: Instant::now(),
        server: None,
        tell_status: false,
    };
    runtime.block_on(driver.run());
    runtime.shutdown_background();
}

impl Driver<'_> {
    async fn run(&mut self) {
        loop {
            self.step();
            self.act().await;
            self.publish();
            if self.link.stop.load(Ordering::SeqCst) && self.socket.is_none() {
                return;
            }
            match self.wait().await {
                Wake::Opened(result) => self.opened(result),
                Wake::Socket(event) => self.heard(event).await,
                Wake::Deadline | Wake::Notified => {}
            }
        }
    }

    /// Everything that needs the document.
    fn step(&mut self) {
        let stopping = self.link.stop.load(Ordering::SeqCst);
        if stopping
            || self
                .locked_until
                .is_some_and(|until| until > Instant::now())
        {
            return;
        }
        self.locked_until = None;
        let (link, frame) = (self.link, &mut self.frame);
        let now_ms = link.clock.now_ms();
        let due = link
            .protocol
            .lock()
            .next_deadline()
            .is_some_and(|deadline| deadline <= now_ms);
        let local = link.local_changes.swap(false, Ordering::SeqCst);
        if !due && !local && frame.is_none() {
            return;
        }
        let result = link.document.with(|document| {
            let mut protocol = link.protocol.lock();
            if let Some(frame) = frame.take() {
                protocol.receive(&frame, now_ms, document);
            }
            if local {
                protocol.local_changes(now_ms, document);
            }
            protocol.tick(now_ms, document);
        });
        match result {
            Ok(()) => self.progress_due = Some(self.progress_after),
            Err(error) => self.locked(error, local),
        }
    }

    fn locked(&mut self, error: LockError, local: bool) {
        if error == LockError::Poisoned {
            log::error!(target: "client", "the document is poisoned: disconnecting");
            self.frame = None;
            self.link.protocol.lock().disconnect();
            self.link
                .publish_failure("the document is poisoned".to_owned(), None);
            return;
        }
        self.link.local_changes.fetch_or(local, Ordering::SeqCst);
        self.locked_until = Some(Instant::now() + LOCK_PAUSE);
    }

    /// Does what the core asks for, as long as the socket keeps up.
    async fn act(&mut self) {
        loop {
            let action = {
                let mut protocol = self.link.protocol.lock();
                let full =
                    self.outbox.unsent_bytes() >= self.link.client.options.outbound_bytes_max;
                // A core that gave up on a socket must be heard although the socket is full.
                if full && protocol.status() == ClientStatus::Connected {
                    return;
                }
                protocol.poll()
            };
            match action {
                None => return,
                Some(ClientAction::Open) => self.open(),
                Some(ClientAction::Send(frame)) => drop(self.outbox.push(frame.into())),
                Some(ClientAction::CloseTransport { code }) => self.close(code, "").await,
                Some(ClientAction::Status(_)) => self.tell_status = true,
                Some(ClientAction::Event(event)) => self.event(&event),
            }
        }
    }

    fn open(&mut self) {
        self.drop_transport();
        let options = &self.link.client.options;
        self.opening = Some(Box::pin(dial(Target {
            url: options.url.clone(),
            subprotocol: None,
            headers: options.headers.clone(),
            #[cfg(feature = "tls")]
            roots: options.tls_roots.clone(),
            message_bytes_max: options.message_bytes_max,
        })));
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let (socket, outbox) = (self.socket.take(), self.outbox.clone());
        self.drop_transport();
        if let Some(mut socket) = socket {
            // What the core said before it disconnected.
            socket.drain(&outbox).await;
            socket.close(code, reason).await;
        }
    }

    fn drop_transport(&mut self) {
        self.socket = None;
        self.opening = None;
        self.frame = None;
        self.outbox = Outbox::new(usize::MAX);
    }

    fn event(&mut self, event: &ClientEvent) {
        if let ClientEvent::ConnectionFailed {
            reason,
            retry_at_ms,
        } = event
        {
            log::info!(target: "client", "connection failed: {reason:?}");
            self.link
                .publish_failure(format!("{reason:?}"), *retry_at_ms);
            self.tell_status = true;
        }
        self.link.tell(|observer| observer.event(event));
    }

    fn opened(&mut self, result: Result<Box<ClientSocket>, String>) {
        self.opening = None;
        let now_ms = self.link.clock.now_ms();
        match result {
            Err(reason) => self.link.protocol.lock().transport_closed(now_ms, &reason),
            Ok(socket) => {
                let link = self.link;
                let joined = link.document.read(|document| {
                    link.protocol.lock().transport_opened(now_ms, document);
                });
                match joined {
                    Ok(()) => self.socket = Some(socket),
                    Err(LockError::Poisoned) => self.locked(LockError::Poisoned, false),
                    Err(_) => link
                        .protocol
                        .lock()
                        .transport_closed(now_ms, "the document is locked"),
                }
            }
        }
    }

    async fn heard(&mut self, event: SocketEvent) {
        let now_ms = self.link.clock.now_ms();
        let reason = match event {
            SocketEvent::Frame(frame) => {
                self.frame = Some(frame);
                return;
            }
            SocketEvent::Closed { reason } => {
                self.close(1000, "").await;
                reason
            }
            SocketEvent::Broken { code, reason } => {
                self.close(code, &reason).await;
                reason
            }
            // The outbox has no bound of its own, and nobody closes it.
            SocketEvent::Relieved => return,
            SocketEvent::Overflow => unreachable!("an outbox of usize::MAX bytes"),
            SocketEvent::MayClose(closing) => {
                self.close(closing.code, &closing.reason).await;
                closing.reason
            }
        };
        self.link.protocol.lock().transport_closed(now_ms, &reason);
    }

    /// Makes visible what changed, then tells it.
    fn publish(&mut self) {
        let link = self.link;
        let server = link.protocol.lock().server_vector().cloned();
        let advanced = server != self.server;
        link.publish_protocol();
        if advanced {
            self.server.clone_from(&server);
            link.publish_server(server, false);
            self.progress_due = Some(self.progress_after);
        }
        if std::mem::take(&mut self.tell_status) {
            let state = link.state();
            link.tell(|observer| observer.status(&state));
        }
        let now = Instant::now();
        if self.progress_due.is_some_and(|due| due <= now) {
            self.progress_due = None;
            // Locked: the next step tells.
            if let Ok(progress) = link.progress() {
                if progress.pending_changes > PROGRESS_CHEAP_MAX {
                    self.progress_after = now + PROGRESS_PERIOD;
                }
                link.publish_server(self.server.clone(), progress.synced);
                link.tell(|observer| observer.progress(&progress));
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let link = self.link;
        let mut deadline = link
            .protocol
            .lock()
            .next_deadline()
            .map(|ms| link.clock.instant(ms));
        if let Some(locked_until) = self.locked_until {
            // Nothing can be done before.
            deadline = Some(locked_until);
        }
        let deadline = [deadline, self.progress_due].into_iter().flatten().min();
        let far = Instant::now() + Duration::from_secs(3600);
        let (socket, outbox) = (&mut self.socket, &self.outbox);
        // One frame at a time: while one waits for the document, no other is read.
        let readable = self.frame.is_none();
        let opening = &mut self.opening;
        tokio::select! {
            biased;
            () = link.notify.notified() => Wake::Notified,
            result = async { opening.as_mut().expect("checked").await }, if opening.is_some() => Wake::Opened(result),
            event = poll_fn(|context| socket.as_mut().expect("checked").poll(context, outbox)),
                if socket.is_some() && readable => Wake::Socket(event),
            () = sleep_until(deadline.unwrap_or(far)) => Wake::Deadline,
        }
    }
}
