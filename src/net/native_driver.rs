//! The thread of a native client: moves frames between the protocol core and the socket.
//!
//! Layer: `net`. One loop: do what the core asks for, then wait for the socket, the clock, a local
//! commit or the application, whichever comes first. A document is locked for one step at a time;
//! what arrives for one that another thread keeps locked waits, and the others go on.

use super::dial::{ClientSocket, Opening, Target, dial};
use super::native_client::{Attached, Link};
use super::outbox::Outbox;
use super::socket::SocketEvent;
use crate::document::LockError;
use crate::sync::native::{
    ClientAction, ClientEvent, ClientStatus, DocumentKey, Incoming, SUBPROTOCOL,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Unsent bytes in the socket's hands: a frame that comes later passes what is not there yet.
const IN_HAND_BYTES: usize = 128 << 10;
/// Bytes that may wait for locked documents before reading stops.
const INBOX_BYTES_MAX: usize = 8 << 20;
/// Pause before trying again to use a document that another thread keeps locked.
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// How long a step waits for a document before the others go on.
const LOCK_PATIENCE: Duration = Duration::from_millis(20);
/// Progress is told at most so often: computing it lists what is pending.
const PROGRESS_PERIOD: Duration = Duration::from_millis(50);
/// What is known of the server is stored at most so often.
const REMEMBER_PERIOD: Duration = Duration::from_secs(1);

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
    /// What waits for documents.
    inbox: BTreeMap<DocumentKey, VecDeque<Incoming>>,
    inbox_bytes: usize,
    /// Documents that cannot be used before that moment.
    locked: BTreeMap<DocumentKey, Instant>,
    /// Documents whose progress is to be told, and not before when.
    touched: BTreeSet<DocumentKey>,
    progress_after: Instant,
    /// Documents of which the server has more than is stored, and not before when.
    unremembered: BTreeSet<DocumentKey>,
    remember_after: Instant,
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
            link.publish_failure(&format!("no event loop: {error}"), None);
            return link.publish_status(ClientStatus::Disconnected);
        }
    };
    let mut driver = Driver {
        link,
        outbox: Outbox::unbounded(IN_HAND_BYTES),
        socket: None,
        opening: None,
        inbox: BTreeMap::new(),
        inbox_bytes: 0,
        locked: BTreeMap::new(),
        touched: BTreeSet::new(),
        progress_after: Instant::now(),
        unremembered: BTreeSet::new(),
        remember_after: Instant::now(),
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
                return self.remember();
            }
            match self.wait().await {
                Wake::Opened(result) => self.opened(result),
                Wake::Socket(event) => self.heard(event).await,
                Wake::Deadline | Wake::Notified => {}
            }
        }
    }

    /// Everything that needs documents.
    fn step(&mut self) {
        let (link, now) = (self.link, Instant::now());
        self.locked.retain(|_, until| *until > now);
        let documents: Vec<Arc<Attached>> = link.documents.lock().values().cloned().collect();
        let due = {
            let mut protocol = link.protocol.lock();
            protocol.tick(link.clock.now_ms());
            for attached in &documents {
                if attached.local_changes.swap(false, Ordering::SeqCst) {
                    protocol.local_changes(attached.key);
                    self.touched.insert(attached.key);
                }
            }
            protocol.due(link.clock.now_ms())
        };
        for attached in &documents {
            let key = attached.key;
            let has_work = self.inbox.contains_key(&key) || due.contains(&key);
            if has_work && !self.locked.contains_key(&key) {
                self.step_document(attached);
            }
        }
        self.forget_detached(&documents);
    }

    fn step_document(&mut self, attached: &Attached) {
        let (link, key) = (self.link, attached.key);
        // Looked at first, for a short time: a transaction of the application must not hold up the
        // other documents.
        let free = attached.document.read_within(LOCK_PATIENCE, |_| ());
        let incoming = self.inbox.remove(&key);
        let mut incoming = incoming.unwrap_or_default();
        let result = free.and_then(|()| {
            attached.document.with(|document| {
                let mut protocol = link.protocol.lock();
                while let Some(next) = incoming.pop_front() {
                    self.inbox_bytes = self.inbox_bytes.saturating_sub(next.len());
                    protocol.handle(key, next, link.clock.now_ms(), document);
                }
                protocol.step(key, link.clock.now_ms(), document);
            })
        });
        if let Err(error) = result {
            if error == LockError::Poisoned {
                log::error!(target: "client", "the document {:?} is poisoned", attached.document.id());
                link.protocol.lock().detach(key);
                return;
            }
            if !incoming.is_empty() {
                self.inbox.insert(key, incoming);
            }
            self.locked.insert(key, Instant::now() + LOCK_PAUSE);
        }
        self.touched.insert(key);
    }

    /// What waits for a document that is gone waits for nothing.
    fn forget_detached(&mut self, documents: &[Arc<Attached>]) {
        let bytes = &mut self.inbox_bytes;
        self.inbox.retain(|key, incoming| {
            let known = documents.iter().any(|attached| attached.key == *key);
            if !known {
                *bytes = bytes.saturating_sub(incoming.iter().map(Incoming::len).sum());
            }
            known
        });
    }

    /// Does what the core asks for, as long as the socket keeps up.
    async fn act(&mut self) {
        loop {
            let action = self.link.protocol.lock().poll();
            match action {
                None => break,
                Some(ClientAction::Open) => self.open(),
                Some(ClientAction::CloseTransport { code }) => self.close(code, "").await,
                Some(ClientAction::Status(status)) => {
                    self.link.publish_status(status);
                    self.tell_status = true;
                }
                Some(ClientAction::Event(event)) => self.event(&event),
            }
        }
        if self.socket.is_some() {
            while !self.outbox.is_full() {
                let Some(frame) = self.link.protocol.lock().next_frame() else {
                    return;
                };
                self.outbox.push(frame.into());
            }
        }
    }

    fn open(&mut self) {
        self.drop_transport();
        self.link.publish_socket(true);
        let options = &self.link.options;
        self.opening = Some(Box::pin(dial(Target {
            url: options.url.clone(),
            subprotocol: Some(SUBPROTOCOL),
            headers: options.headers.clone(),
            #[cfg(feature = "tls")]
            roots: options.tls_roots.clone(),
            message_bytes_max: options.protocol.limits.frame_bytes_max,
        })));
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let (socket, outbox) = (self.socket.take(), self.outbox.clone());
        if socket.is_some() {
            // What the core said before it disconnected; bounded by its queue.
            while let Some(frame) = self.link.protocol.lock().next_frame() {
                outbox.push(frame.into());
            }
        }
        self.drop_transport();
        if let Some(mut socket) = socket {
            socket.drain(&outbox).await;
            socket.close(code, reason).await;
        }
        self.remember();
        self.link.publish_socket(false);
    }

    fn drop_transport(&mut self) {
        self.socket = None;
        self.opening = None;
        self.inbox.clear();
        self.inbox_bytes = 0;
        self.outbox = Outbox::unbounded(IN_HAND_BYTES);
    }

    fn event(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::ConnectionFailed {
                reason,
                retry_at_ms,
            } => {
                log::info!(target: "client", "connection failed: {reason}");
                self.link.publish_failure(reason, *retry_at_ms);
                self.tell_status = true;
            }
            ClientEvent::Acknowledged { key } | ClientEvent::RemoteChanges { key, .. } => {
                self.touched.insert(*key);
                self.unremembered.insert(*key);
            }
            ClientEvent::Joined { key, .. } | ClientEvent::Refused { key, .. } => {
                self.touched.insert(*key);
            }
            _ => {}
        }
        self.link.tell(|observer| observer.event(event));
    }

    fn opened(&mut self, result: Result<Box<ClientSocket>, String>) {
        self.opening = None;
        let now_ms = self.link.clock.now_ms();
        let mut protocol = self.link.protocol.lock();
        match result {
            Err(reason) => {
                protocol.transport_closed(now_ms, &reason);
                drop(protocol);
                self.link.publish_socket(false);
            }
            Ok(socket) => {
                protocol.transport_opened(now_ms);
                drop(protocol);
                self.socket = Some(socket);
            }
        }
    }

    async fn heard(&mut self, event: SocketEvent) {
        let now_ms = self.link.clock.now_ms();
        let reason = match event {
            SocketEvent::Frame(frame) => {
                let incoming = self.link.protocol.lock().receive(&frame, now_ms);
                if let Some((key, incoming)) = incoming {
                    self.inbox_bytes += incoming.len();
                    self.inbox.entry(key).or_default().push_back(incoming);
                }
                return;
            }
            SocketEvent::Relieved => return,
            SocketEvent::Closed { reason } => {
                self.close(1000, "").await;
                reason
            }
            SocketEvent::Broken { code, reason } => {
                self.close(code, &reason).await;
                reason
            }
            // The outbox has no bound of its own, and nobody closes it.
            SocketEvent::Overflow => unreachable!("an outbox without a bound"),
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
        for key in &self.touched {
            let (phase, acknowledged) = {
                let protocol = link.protocol.lock();
                (
                    protocol.document_phase(*key),
                    protocol.acknowledged(*key).cloned(),
                )
            };
            if let (Some(phase), Some(acknowledged)) = (phase, acknowledged) {
                link.publish_document(*key, |document| {
                    document.phase = phase;
                    document.acknowledged = acknowledged;
                });
            }
        }
        if std::mem::take(&mut self.tell_status) {
            let state = link.state();
            link.tell(|observer| observer.status(&state));
        }
        let now = Instant::now();
        if !self.touched.is_empty() && self.progress_after <= now {
            self.progress_after = now + PROGRESS_PERIOD;
            let touched = std::mem::take(&mut self.touched);
            touched.into_iter().for_each(|key| self.tell_progress(key));
        }
        if !self.unremembered.is_empty() && self.remember_after <= now {
            self.remember();
        }
    }

    fn tell_progress(&mut self, key: DocumentKey) {
        let link = self.link;
        let attached = link.documents.lock().get(&key).cloned();
        // Locked: the next step tells.
        if let Some(Ok(progress)) = attached.map(|attached| link.progress(&attached)) {
            if progress.synced {
                link.publish_document(key, |document| document.synced = true);
            }
            link.tell(|observer| observer.progress(key, &progress));
        }
    }

    fn remember(&mut self) {
        self.remember_after = Instant::now() + REMEMBER_PERIOD;
        for key in std::mem::take(&mut self.unremembered) {
            let attached = self.link.documents.lock().get(&key).cloned();
            if let Some(attached) = attached {
                attached.remember(self.link);
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let link = self.link;
        let protocol_deadline = {
            let protocol = link.protocol.lock();
            protocol.next_deadline().map(|ms| link.clock.instant(ms))
        };
        let unlocked = self.locked.values().min().copied();
        let progress = (!self.touched.is_empty()).then_some(self.progress_after);
        let remember = (!self.unremembered.is_empty()).then_some(self.remember_after);
        let deadlines = [protocol_deadline, unlocked, progress, remember];
        let deadline = deadlines.into_iter().flatten().min();
        let far = Instant::now() + Duration::from_secs(3600);
        let (socket, outbox) = (&mut self.socket, &self.outbox);
        let readable = self.inbox_bytes < INBOX_BYTES_MAX;
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
