//! One live room: a stored document, its sessions, and what waits for the disk.
//!
//! Layer: `net`. A message is handled under the room's lock; what follows from it leaves only when
//! the document is stored, in order. While the disk works, further messages are handled, so a slow
//! sync costs delay, not throughput. Lock order: room, document, releases.

use super::outbox::{Origin, Unsettled};
use super::releases::Releases;
use super::rooms::{Live, Rooms, refusal};
use super::server_shared::ServerShared;
use crate::clock::VersionVector;
use crate::document::{
    Commit, Document, DocumentObserver, LockError, ObserverId, Origin as Author,
};
use crate::replica::Replica;
use crate::store::{OpenOptions, StoreError, StoredDocument};
use crate::sync::crdt_sync::{
    Missed, Refusal, Room, RoomInput, RoomOutput, RoomOutputs, ServerEvent, SessionId,
};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::ThreadId;
use std::time::Duration;

/// A room in memory.
pub(super) struct LiveRoom {
    pub document_id: Arc<str>,
    pub stored: StoredDocument,
    state: Mutex<RoomState>,
    releases: Releases,
    watch: Arc<Watch>,
    observer: ObserverId,
}

struct RoomState {
    room: Room,
    /// What the sessions were told of.
    seen: Arc<VersionVector>,
    /// A panic happened in the middle of a message: the room's state is unknown. What is stored is
    /// intact; the room comes back when it is loaded anew.
    broken: bool,
}

/// Notices commits that did not come through the room.
struct Watch {
    room: Mutex<Weak<LiveRoom>>,
    server: Weak<ServerShared>,
    /// The thread that handles a message of the room.
    handling: Mutex<Option<ThreadId>>,
    /// Somebody else committed since the sessions were told.
    foreign: AtomicBool,
    scheduled: AtomicBool,
}

impl LiveRoom {
    /// Opens a room around a live document.
    pub fn new(
        document_id: Arc<str>,
        stored: StoredDocument,
        server: &Arc<ServerShared>,
    ) -> Result<Arc<Self>, LockError> {
        let watch = Arc::new(Watch {
            room: Mutex::new(Weak::new()),
            server: Arc::downgrade(server),
            handling: Mutex::new(None),
            foreign: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
        });
        // Watching starts before the version is read: what is committed in between is told twice,
        // which is harmless, and not lost.
        let observer = stored.document().add_observer(watch.clone());
        let seen = match stored.document().read(|document| document.version_vector()) {
            Ok(seen) => seen,
            Err(error) => {
                stored.document().remove_observer(observer);
                return Err(error);
            }
        };
        let room = Room::new(document_id.clone(), server.protocol.clone());
        let live = Arc::new(LiveRoom {
            document_id,
            stored,
            state: Mutex::new(RoomState {
                room,
                seen: Arc::new(seen),
                broken: false,
            }),
            releases: Releases::default(),
            watch: watch.clone(),
            observer,
        });
        *watch.room.lock() = Arc::downgrade(&live);
        Ok(live)
    }

    /// Names of the sessions in the room.
    pub fn sessions(&self) -> Arc<[SessionId]> {
        self.state.lock().room.sessions()
    }

    /// Handles one message. May block on the document's lock.
    ///
    /// # Errors
    /// Gives the message back.
    pub fn handle(
        self: &Arc<Self>,
        server: &Arc<ServerShared>,
        session: &SessionId,
        input: RoomInput,
        unsettled: Option<Unsettled>,
    ) -> Result<(), (RoomInput, Refusal)> {
        let now_ms = server.clock.now_ms();
        let mut input = Some(input);
        let done = self.with(server, unsettled, |state, document| {
            let input = input.take().expect("called once");
            state.room.handle(session, input, document, now_ms)
        });
        match (done, input) {
            (true, _) | (false, None) => Ok(()),
            (false, Some(input)) => Err((input, Refusal::Unavailable)),
        }
    }

    /// Tells the sessions what was committed outside of the room. May block on the document's lock.
    pub fn tell_foreign(self: &Arc<Self>, server: &Arc<ServerShared>) {
        self.watch.scheduled.store(false, Ordering::SeqCst);
        if self.watch.foreign.load(Ordering::SeqCst)
            && !self.with(server, None, |_, _| RoomOutputs::default())
        {
            log::warn!(target: "server", "room {:?} could not be told of local edits", self.document_id);
        }
    }

    /// Takes a snapshot of the document and tells the sessions.
    pub fn take_snapshot(self: &Arc<Self>, server: &Arc<ServerShared>) -> bool {
        let mut taken = false;
        let done = self.with(server, None, |state, document| {
            taken = document.take_snapshot(true).is_ok();
            let seen = state.seen.clone();
            let mut outputs = state.room.document_changed(&seen, document);
            outputs.persist = true;
            if taken {
                let document_id = self.document_id.clone();
                outputs
                    .outputs
                    .push(RoomOutput::Event(ServerEvent::SnapshotCreated {
                        document_id,
                    }));
            }
            outputs
        });
        done && taken
    }

    /// Runs `body` on room and document, and sends what follows once it is stored. False: it did
    /// not run (the document is locked or poisoned, the room broken).
    fn with(
        self: &Arc<Self>,
        server: &Arc<ServerShared>,
        unsettled: Option<Unsettled>,
        body: impl FnOnce(&mut RoomState, &mut Document) -> RoomOutputs,
    ) -> bool {
        let mut state = self.state.lock();
        if state.broken {
            return false;
        }
        let before = state.seen.clone();
        // Stays if a panic passes here.
        state.broken = true;
        let handling = Handling::start(&self.watch);
        let result = self.stored.document().with(|document| {
            let foreign = self.watch.foreign.swap(false, Ordering::SeqCst);
            let mut told = RoomOutputs::default();
            if foreign {
                let seen = state.seen.clone();
                told = state.room.document_changed(&seen, document);
                told.persist = true;
            }
            let outputs = body(&mut state, document);
            if foreign || outputs.persist {
                state.seen = Arc::new(document.version_vector());
            }
            (told, outputs)
        });
        drop(handling);
        state.broken = false;
        let Ok((told, outputs)) = result else {
            return false;
        };
        // Numbered under the room's lock, so that batches keep the order of the messages; sent
        // without it, because observers may call back.
        let origin = Origin {
            room: self.document_id.clone(),
            before: Missed::After(before),
        };
        let told = self.releases.queue(server, &origin, told, None);
        let queued = [
            told,
            self.releases.queue(server, &origin, outputs, unsettled),
        ];
        drop(state);
        for (number, persist) in queued.into_iter().flatten() {
            if persist {
                self.await_store(server, number);
            } else {
                self.releases.release(server);
            }
        }
        true
    }

    fn await_store(self: &Arc<Self>, server: &Arc<ServerShared>, number: u64) {
        // A snapshot prunes without a commit; then the store must be told.
        self.stored.touch();
        let (room, server) = (self.clone(), Arc::downgrade(server));
        self.stored
            .when_stored(true, move |result| room.stored(number, result, &server));
    }

    fn stored(&self, number: u64, result: Result<(), StoreError>, server: &Weak<ServerShared>) {
        match result {
            Ok(()) => self.releases.stored(number),
            // The store is closed for good: what waits is never acknowledged.
            Err(error) => {
                log::error!(target: "server", "room {:?} is not stored: {error}", self.document_id);
                self.releases.abandon();
            }
        }
        if let Some(server) = server.upgrade() {
            self.releases.release(&server);
        }
    }
}

impl Live for LiveRoom {
    fn rooms(server: &ServerShared) -> &Rooms<Self> {
        &server.rooms
    }

    fn load(
        server: &Arc<ServerShared>,
        document_id: Arc<str>,
        create: bool,
    ) -> Result<Arc<Self>, Refusal> {
        let options = OpenOptions {
            document: server.options.document.clone(),
            lock_timeout: Duration::from_millis(server.options.lock_timeout_ms.into()),
            create,
            // What an edit leads to is sent when it is stored.
            edits_leave_unstored: false,
        };
        let stored = server
            .store
            .open(&document_id, &options)
            .map_err(|error| refusal(&document_id, &error))?;
        let room = LiveRoom::new(document_id.clone(), stored, server).map_err(|error| {
            log::warn!(target: "server", "room {document_id:?} is locked: {error:?}");
            Refusal::Unavailable
        })?;
        log::debug!(target: "server", "room {document_id:?} opened");
        server.tell(|observer| observer.room_opened(&document_id));
        Ok(room)
    }

    /// Does not wait for a message in progress.
    fn is_idle(&self) -> bool {
        let empty = self
            .state
            .try_lock()
            .is_some_and(|state| state.room.is_empty());
        empty && self.releases.is_empty()
    }

    fn is_broken(&self) -> bool {
        self.state.try_lock().is_some_and(|state| state.broken)
    }
}

impl Drop for LiveRoom {
    fn drop(&mut self) {
        self.stored.document().remove_observer(self.observer);
    }
}

/// Marks this thread as the one that works for the room.
struct Handling<'a>(&'a Watch);

impl<'a> Handling<'a> {
    fn start(watch: &'a Watch) -> Self {
        *watch.handling.lock() = Some(std::thread::current().id());
        Handling(watch)
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        *self.0.handling.lock() = None;
    }
}

impl DocumentObserver for Watch {
    fn committed(&self, _document: &Document, commit: &Commit) {
        // Local: an observer that runs on the room's thread may edit, too.
        let is_local = commit.origin == Author::Local;
        if is_local || *self.handling.lock() != Some(std::thread::current().id()) {
            self.foreign.store(true, Ordering::SeqCst);
        }
    }

    fn after_commit(&self) {
        if !self.foreign.load(Ordering::SeqCst) || self.scheduled.swap(true, Ordering::SeqCst) {
            return;
        }
        let room = self.room.lock().upgrade();
        let (Some(room), Some(server)) = (room, self.server.upgrade()) else {
            return;
        };
        let runtime = server.runtime.clone();
        runtime.spawn_blocking(move || room.tell_foreign(&server));
    }
}
