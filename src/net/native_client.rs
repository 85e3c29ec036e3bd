//! A client of the native dialect: keeps any number of documents in step with a server, over one
//! connection, from a thread of its own.
//!
//! Layer: `net`. The object is a handle; the thread (`native_driver`) moves the frames. What others
//! ask about is published by the thread after each step.

use super::client::ClientError;
use super::clock::SteadyClock;
use super::dial::{check_headers, check_url};
use super::native_driver;
use super::sync_record::SyncRecord;
#[cfg(feature = "tls")]
use super::tls::TlsRoots;
use crate::clock::VersionVector;
use crate::document::{Commit, Document, DocumentObserver, ObserverId, Origin, SharedDocument};
use crate::replica::Replica;
use crate::store::StoredDocument;
use crate::sync::native::{
    Client as Protocol, ClientEvent, ClientOptions as ProtocolOptions, ClientStatus, DocumentKey,
    DocumentPhase, Progress,
};
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How a client works.
#[derive(Clone, Debug)]
pub struct NativeClientOptions {
    /// `ws://host:port/anything`, or `wss://`.
    pub url: String,
    /// More headers of the request, as `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Whom to believe; `None`: the machine's trust store.
    #[cfg(feature = "tls")]
    pub tls_roots: Option<TlsRoots>,
    /// The protocol's own options.
    pub protocol: ProtocolOptions,
}

impl NativeClientOptions {
    /// The defaults for an address.
    pub fn new(url: impl Into<String>) -> Self {
        NativeClientOptions {
            url: url.into(),
            headers: Vec::new(),
            #[cfg(feature = "tls")]
            tls_roots: None,
            protocol: ProtocolOptions::default(),
        }
    }
}

/// How one document is joined.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Shows the server what may be done; empty: nothing to show.
    pub token: Vec<u8>,
    /// Whether to write.
    pub write: bool,
}

impl Default for AttachOptions {
    fn default() -> Self {
        AttachOptions {
            token: Vec::new(),
            write: true,
        }
    }
}

/// What the application sees of the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeClientState {
    /// Of the connection.
    pub status: ClientStatus,
    /// Closed by `suspend`; `resume` opens again.
    pub suspended: bool,
    /// Attempts that failed since the last success.
    pub attempt: u32,
    /// Until the next attempt, if one is planned.
    pub retry_in_ms: Option<u64>,
    /// Why the last attempt or connection ended.
    pub last_error: Option<String>,
}

/// Told what happens, on the client's thread, without any lock. Must not block.
pub trait NativeClientObserver: Send + Sync {
    /// The state changed.
    fn status(&self, _state: &NativeClientState) {}

    /// Changes of a document became pending or acknowledged. Several steps may be told as one.
    fn progress(&self, _key: DocumentKey, _progress: &Progress) {}

    /// Something of the protocol.
    fn event(&self, _event: &ClientEvent) {}
}

/// Keeps documents in step with a server. Dropping it disconnects and waits for its thread.
pub struct NativeClient {
    link: Arc<Link>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What handle, thread and documents share.
pub(super) struct Link {
    pub options: NativeClientOptions,
    pub observers: RwLock<Vec<Arc<dyn NativeClientObserver>>>,
    pub documents: Mutex<BTreeMap<DocumentKey, Arc<Attached>>>,
    /// Lock order: document, then this.
    pub protocol: Mutex<Protocol<Document>>,
    pub clock: SteadyClock,
    pub notify: Notify,
    pub stop: AtomicBool,
    /// The client's thread: its own commits are not news to it.
    pub thread: Mutex<Option<ThreadId>>,
    published: Mutex<Published>,
    changed: Condvar,
}

/// A document of a client.
pub(super) struct Attached {
    pub key: DocumentKey,
    pub document: Arc<SharedDocument>,
    /// Where what is known of the server is kept, if the document is stored.
    pub stored: Option<StoredDocument>,
    /// Committed, and the protocol does not know.
    pub local_changes: AtomicBool,
    observer: Mutex<Option<ObserverId>>,
}

#[derive(Default)]
struct Published {
    state: NativeClientState,
    retry_at_ms: Option<i64>,
    /// The thread holds a socket.
    has_socket: bool,
    documents: BTreeMap<DocumentKey, PublishedDocument>,
}

/// What is published of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PublishedDocument {
    pub phase: DocumentPhase,
    pub acknowledged: VersionVector,
    /// The server had everything at the end of a step of this connection.
    pub synced: bool,
}

impl NativeClient {
    /// A client for an address.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub fn new(options: NativeClientOptions) -> Result<Self, ClientError> {
        check_url(&options.url)?;
        check_headers(&options.headers)?;
        let mut seed = [0; 8];
        // Only spreads reconnects: any number will do where there is no randomness.
        let _ = getrandom::fill(&mut seed);
        let protocol = Protocol::new(options.protocol.clone(), u64::from_le_bytes(seed));
        let link = Arc::new(Link {
            options,
            observers: RwLock::default(),
            documents: Mutex::default(),
            protocol: Mutex::new(protocol),
            clock: SteadyClock::new(),
            notify: Notify::new(),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
            published: Mutex::default(),
            changed: Condvar::new(),
        });
        Ok(NativeClient {
            link,
            thread: Mutex::new(None),
        })
    }

    /// Adds a document; the room is named by its id. It is joined as soon as there is a connection.
    ///
    /// # Errors
    /// [`ClientError::AlreadyAttached`]: another one with this id is.
    pub fn attach(
        &self,
        document: Arc<SharedDocument>,
        options: AttachOptions,
    ) -> Result<DocumentKey, ClientError> {
        self.add(document, None, options)
    }

    /// As [`attach`](Self::attach), for a stored document: what the server is known to have is
    /// stored with it, so that the next start knows what is pending before it connects.
    ///
    /// # Errors
    /// As for [`attach`](Self::attach).
    pub fn attach_stored(
        &self,
        stored: &StoredDocument,
        options: AttachOptions,
    ) -> Result<DocumentKey, ClientError> {
        let document = stored.document().clone();
        self.add(document, Some(stored.clone()), options)
    }

    fn add(
        &self,
        document: Arc<SharedDocument>,
        stored: Option<StoredDocument>,
        options: AttachOptions,
    ) -> Result<DocumentKey, ClientError> {
        let link = &self.link;
        let mut documents = link.documents.lock();
        let mut known = documents.values();
        if known.any(|known| known.document.id() == document.id()) {
            return Err(ClientError::AlreadyAttached);
        }
        let record = stored
            .as_ref()
            .map_or_else(SyncRecord::default, SyncRecord::load);
        let mut protocol = link.protocol.lock();
        let key = protocol.attach(
            document.id(),
            document.peer_id(),
            record.epoch,
            record.acknowledged.clone(),
        );
        protocol.set_write(key, options.write);
        protocol.set_token(key, options.token);
        drop(protocol);
        let attached = Arc::new(Attached {
            key,
            document: document.clone(),
            stored,
            local_changes: AtomicBool::new(false),
            observer: Mutex::new(None),
        });
        // The document's observers hold no document: that would be a circle.
        let observer = document.add_observer(Arc::new(Watch {
            link: Arc::downgrade(link),
            attached: Arc::downgrade(&attached),
        }));
        *attached.observer.lock() = Some(observer);
        documents.insert(key, attached);
        link.published.lock().documents.insert(
            key,
            PublishedDocument {
                phase: DocumentPhase::Offline,
                acknowledged: record.acknowledged,
                synced: false,
            },
        );
        drop(documents);
        link.notify.notify_one();
        Ok(key)
    }

    /// Gives a document back.
    ///
    /// # Errors
    /// [`ClientError::NotAttached`].
    pub fn detach(&self, key: DocumentKey) -> Result<(), ClientError> {
        let link = &self.link;
        let attached = link.documents.lock().remove(&key);
        let attached = attached.ok_or(ClientError::NotAttached)?;
        attached.end(link);
        link.act(|protocol, _| protocol.detach(key));
        link.published.lock().documents.remove(&key);
        link.changed.notify_all();
        Ok(())
    }

    /// Starts connecting and returns at once. Connected stays connected; a planned attempt is made
    /// now.
    ///
    /// # Errors
    /// [`ClientError::Thread`].
    pub fn connect(&self) -> Result<(), ClientError> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let link = self.link.clone();
            let builder = std::thread::Builder::new().name("syncline-client".into());
            let started = builder.spawn(move || native_driver::run(&link));
            *thread = Some(started.map_err(|error| ClientError::Thread(error.to_string()))?);
        }
        self.link.published.lock().state.suspended = false;
        self.link.act(|protocol, now_ms| protocol.connect(now_ms));
        Ok(())
    }

    /// Ends the connection and all attempts. The documents stay usable.
    pub fn disconnect(&self) {
        self.link.published.lock().state.suspended = false;
        self.link.act(|protocol, _| protocol.disconnect());
    }

    /// Ends the connection until `resume`, and waits until the socket is closed: for an app that
    /// goes to the background. Then no timer runs.
    ///
    /// # Errors
    /// [`ClientError::Timeout`].
    pub fn suspend(&self, timeout: Duration) -> Result<(), ClientError> {
        let link = &self.link;
        if link.protocol.lock().status() == ClientStatus::Disconnected {
            return Ok(());
        }
        link.published.lock().state.suspended = true;
        link.act(|protocol, _| protocol.disconnect());
        link.wait(timeout, |published| {
            (!published.has_socket).then_some(Ok(()))
        })
    }

    /// Connects again if `suspend` disconnected.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn resume(&self) -> Result<(), ClientError> {
        let suspended = self.link.published.lock().state.suspended;
        if suspended { self.connect() } else { Ok(()) }
    }

    /// The device has another network, or one again: a planned attempt is made now, and an open
    /// connection is asked whether it lives.
    pub fn network_changed(&self) {
        self.link
            .act(|protocol, now_ms| protocol.network_changed(now_ms));
    }

    /// Tries again what was refused.
    pub fn retry(&self, key: DocumentKey) {
        self.link.act(|protocol, _| protocol.retry(key));
    }

    /// Shows the server what may be done from now on.
    pub fn set_token(&self, key: DocumentKey, token: Vec<u8>) {
        self.link.act(|protocol, _| protocol.set_token(key, token));
    }

    /// Shows the others of a document an own presence; empty: none.
    pub fn set_presence(&self, key: DocumentKey, state: Vec<u8>) {
        self.link
            .act(|protocol, _| protocol.set_presence(key, state));
    }

    /// Sends a message of the application's own: types 64 to 127. False: not connected, or too much
    /// waits, or the type is not one of them.
    pub fn send_message(&self, key: Option<DocumentKey>, message_type: u8, bytes: Vec<u8>) -> bool {
        let mut sent = false;
        self.link.act(|protocol, _| {
            sent = protocol.send_application(key, message_type, bytes);
        });
        sent
    }

    /// What the connection does.
    pub fn state(&self) -> NativeClientState {
        self.link.state()
    }

    /// How far a document is.
    pub fn document_phase(&self, key: DocumentKey) -> Option<DocumentPhase> {
        self.link.protocol.lock().document_phase(key)
    }

    /// The epoch of a document's room, once it is known.
    pub fn epoch(&self, key: DocumentKey) -> Option<u64> {
        self.link.protocol.lock().epoch(key)
    }

    /// How far the server is. Costs as much as listing what is pending.
    ///
    /// # Errors
    /// [`ClientError::NotAttached`]; [`ClientError::Document`].
    pub fn progress(&self, key: DocumentKey) -> Result<Progress, ClientError> {
        let attached = self.link.attached(key)?;
        self.link.progress(&attached)
    }

    /// What of a document the server has for sure.
    pub fn acknowledged_vector(&self, key: DocumentKey) -> VersionVector {
        let published = self.link.published.lock();
        let document = published.documents.get(&key);
        document.map_or_else(VersionVector::new, |document| document.acknowledged.clone())
    }

    /// Waits until the server has said welcome.
    ///
    /// # Errors
    /// [`ClientError::Timeout`], [`ClientError::Offline`].
    pub fn wait_connected(&self, timeout: Duration) -> Result<(), ClientError> {
        self.link
            .wait(timeout, |published| match published.state.status {
                ClientStatus::Connected => Some(Ok(())),
                status => offline(status),
            })
    }

    /// Waits until document and server were equal once since connecting.
    ///
    /// # Errors
    /// [`ClientError::Timeout`], [`ClientError::Offline`], [`ClientError::NotAttached`].
    pub fn wait_synced(&self, key: DocumentKey, timeout: Duration) -> Result<(), ClientError> {
        self.link
            .wait(timeout, |published| match published.documents.get(&key) {
                None => Some(Err(ClientError::NotAttached)),
                Some(document) if document.synced => Some(Ok(())),
                Some(_) => offline(published.state.status),
            })
    }

    /// Waits until the server has on its disk everything the document has now. Waits through
    /// reconnects.
    ///
    /// # Errors
    /// [`ClientError::Timeout`], [`ClientError::Offline`], [`ClientError::NotAttached`],
    /// [`ClientError::Document`].
    pub fn wait_acknowledged(
        &self,
        key: DocumentKey,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let attached = self.link.attached(key)?;
        let wanted = attached.document.read(|document| document.version_vector());
        let wanted = wanted.map_err(ClientError::Document)?;
        self.link.wait(timeout, |published| {
            let Some(document) = published.documents.get(&key) else {
                return Some(Err(ClientError::NotAttached));
            };
            let acknowledged = &document.acknowledged;
            match acknowledged.is_strictly_newer_or_equal_than(&wanted) {
                true => Some(Ok(())),
                false => offline(published.state.status),
            }
        })
    }

    /// Adds somebody to be told.
    pub fn add_observer(&self, observer: Arc<dyn NativeClientObserver>) {
        self.link.observers.write().push(observer);
    }

    /// Removes an observer; it may still be told of what is under way.
    pub fn remove_observer(&self, observer: &Arc<dyn NativeClientObserver>) {
        let mut observers = self.link.observers.write();
        observers.retain(|known| !Arc::ptr_eq(known, observer));
    }
}

fn offline(status: ClientStatus) -> Option<Result<(), ClientError>> {
    match status {
        ClientStatus::Failed | ClientStatus::Disconnected => Some(Err(ClientError::Offline)),
        _ => None,
    }
}

impl Drop for NativeClient {
    fn drop(&mut self) {
        let link = &self.link;
        link.stop.store(true, Ordering::SeqCst);
        link.act(|protocol, _| protocol.disconnect());
        // An observer may drop the last handle on the client's own thread.
        let thread = self.thread.lock().take();
        let thread = thread.filter(|thread| thread.thread().id() != std::thread::current().id());
        if let Some(thread) = thread {
            // A panic in it was reported by the panic hook; here it only means that it ended.
            let _ = thread.join();
        }
        let documents = std::mem::take(&mut *link.documents.lock());
        documents.values().for_each(|attached| attached.end(link));
    }
}

impl Attached {
    /// Nobody follows the document any more.
    fn end(&self, link: &Link) {
        if let Some(observer) = self.observer.lock().take() {
            self.document.remove_observer(observer);
        }
        self.remember(link);
    }

    /// Stores what is known of the server.
    pub fn remember(&self, link: &Link) {
        let Some(stored) = &self.stored else {
            return;
        };
        let record = {
            let protocol = link.protocol.lock();
            let acknowledged = protocol.acknowledged(self.key);
            acknowledged.map(|acknowledged| SyncRecord {
                epoch: protocol.epoch(self.key),
                acknowledged: acknowledged.clone(),
            })
        };
        if let Some(record) = record {
            record.save(stored);
        }
    }
}

impl Link {
    /// Calls the protocol and lets the thread do what follows.
    fn act(&self, body: impl FnOnce(&mut Protocol<Document>, i64)) {
        let status = {
            let mut protocol = self.protocol.lock();
            body(&mut protocol, self.clock.now_ms());
            protocol.status()
        };
        self.publish_status(status);
        self.notify.notify_one();
    }

    fn attached(&self, key: DocumentKey) -> Result<Arc<Attached>, ClientError> {
        let documents = self.documents.lock();
        documents.get(&key).cloned().ok_or(ClientError::NotAttached)
    }

    /// Makes the connection's state visible.
    pub fn publish_status(&self, status: ClientStatus) {
        let mut published = self.published.lock();
        if published.state.status != status {
            published.state.status = status;
            if status == ClientStatus::Connected {
                published.state.attempt = 0;
                published.state.last_error = None;
            }
            if status != ClientStatus::Reconnecting {
                published.retry_at_ms = None;
            }
            let documents = published.documents.values_mut();
            documents.for_each(|document| document.synced = false);
        }
        drop(published);
        self.changed.notify_all();
    }

    /// Whether the thread holds a socket.
    pub fn publish_socket(&self, has_socket: bool) {
        self.published.lock().has_socket = has_socket;
        self.changed.notify_all();
    }

    /// An attempt or a connection ended.
    pub fn publish_failure(&self, reason: &str, retry_at_ms: Option<i64>) {
        let mut published = self.published.lock();
        published.state.attempt += 1;
        published.state.last_error = Some(reason.to_owned());
        published.retry_at_ms = retry_at_ms;
    }

    /// Makes visible how far a document is.
    pub fn publish_document(&self, key: DocumentKey, body: impl FnOnce(&mut PublishedDocument)) {
        let mut published = self.published.lock();
        if let Some(document) = published.documents.get_mut(&key) {
            body(document);
        }
        drop(published);
        self.changed.notify_all();
    }

    pub fn state(&self) -> NativeClientState {
        let published = self.published.lock();
        let now_ms = self.clock.now_ms();
        let retry_in_ms = published
            .retry_at_ms
            .map(|at| at.saturating_sub(now_ms).max(0) as u64);
        NativeClientState {
            retry_in_ms,
            ..published.state.clone()
        }
    }

    pub fn progress(&self, attached: &Attached) -> Result<Progress, ClientError> {
        let progress = attached
            .document
            .read(|document| self.protocol.lock().progress(attached.key, document));
        progress.map_err(ClientError::Document)
    }

    /// Calls every observer, outside of the list's lock.
    pub fn tell(&self, call: impl Fn(&dyn NativeClientObserver)) {
        let observers = self.observers.read().clone();
        observers.iter().for_each(|observer| call(&**observer));
    }

    fn wait(
        &self,
        timeout: Duration,
        mut done: impl FnMut(&Published) -> Option<Result<(), ClientError>>,
    ) -> Result<(), ClientError> {
        let deadline = Instant::now() + timeout;
        let mut published = self.published.lock();
        loop {
            if let Some(result) = done(&published) {
                return result;
            }
            let waited = self.changed.wait_until(&mut published, deadline);
            if waited.timed_out() {
                return done(&published).unwrap_or(Err(ClientError::Timeout));
            }
        }
    }
}

/// Notices commits of others.
struct Watch {
    link: Weak<Link>,
    attached: Weak<Attached>,
}

impl DocumentObserver for Watch {
    fn committed(&self, _document: &Document, commit: &Commit) {
        let (Some(link), Some(attached)) = (self.link.upgrade(), self.attached.upgrade()) else {
            return;
        };
        // Local: an observer that runs on the client's thread may edit, too.
        let is_local = commit.origin == Origin::Local;
        if is_local || *link.thread.lock() != Some(std::thread::current().id()) {
            attached.local_changes.store(true, Ordering::SeqCst);
        }
    }

    fn after_commit(&self) {
        let attached = self.attached.upgrade();
        let news = attached.is_some_and(|attached| attached.local_changes.load(Ordering::SeqCst));
        if let (true, Some(link)) = (news, self.link.upgrade()) {
            link.notify.notify_one();
        }
    }
}
