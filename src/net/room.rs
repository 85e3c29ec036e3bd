//! One live room: a stored document, its sessions, and what waits for the disk.
//!
//! Layer: `net`. A message is handled under the room's lock; what follows from it leaves only when
//! the document is stored, in order. While the disk works, further messages are handled, so a slow
//! sync costs delay, not throughput. Lock order: room, document, releases.

use super::outbox::{Origin, Unsettled};
use super::releases::{Outcome, Releases};
use super::rooms::{Live, Rooms, refusal};
use super::server_shared::ServerShared;
use crate::clock::VersionVector;
use crate::document::{
    Commit, Document, DocumentObserver, LockError, ObserverId, Origin as Author,
};
use crate::replica::Replica;
use crate::store::{OpenOptions, StoreError, StoredDocument};
use crate::sync::crdt_sync::{
    Missed, Refusal, Room, RoomInput, RoomOutput, ServerEvent, SessionId,
};
use crate::sync::native::{self, Surroundings};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::ThreadId;
use std::time::Duration;
use std::time::Instant;

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
    /// The sessions of the native dialect; made for the first of them.
    native: Option<native::Room<Document>>,
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

impl RoomState {
    /// Tells the sessions of the native dialect what they were not told.
    fn tell_native(
        &mut self,
        server: &ServerShared,
        seen: &VersionVector,
        document: &Document,
        outcome: &mut Outcome,
    ) {
        let Some(native) = self.native.as_mut().filter(|room| room.has_readers()) else {
            return;
        };
        let is_full = |session: &SessionId| server.is_full(session);
        let around = Surroundings {
            seen,
            is_full: &is_full,
        };
        outcome.add_native(native.document_changed(&around, document));
    }

    /// Tells the sessions of crdt_socket_sync.
    fn tell_others(&mut self, seen: &VersionVector, document: &Document, outcome: &mut Outcome) {
        if !self.room.sessions().is_empty() {
            outcome.add(self.room.document_changed(seen, document));
        }
    }
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
                native: None,
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
        let state = self.state.lock();
        match state.native.as_ref().filter(|room| !room.is_empty()) {
            None => state.room.sessions(),
            Some(native) => {
                let sessions = state.room.sessions();
                sessions.iter().chain(native.sessions()).cloned().collect()
            }
        }
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
        let done = self.with(server, unsettled, |state, document, seen| {
            let input = input.take().expect("called once");
            let outputs = state.room.handle(session, input, document, now_ms);
            let mut outcome = Outcome::default();
            outcome.add(outputs);
            if outcome.persist {
                state.tell_native(server, seen, document, &mut outcome);
            }
            outcome
        });
        match (done, input) {
            (true, _) | (false, None) => Ok(()),
            (false, Some(input)) => Err((input, Refusal::Unavailable)),
        }
    }

    /// Handles one message of a session of the native dialect. May block on the document's lock,
    /// and, once per room, on the device. False: it was not handled.
    pub fn handle_native(
        self: &Arc<Self>,
        server: &Arc<ServerShared>,
        session: &SessionId,
        channel: u32,
        input: native::RoomInput,
        unsettled: Option<Unsettled>,
    ) -> bool {
        if let Err(error) = self.prepare_native(server) {
            log::error!(target: "server", "room {:?} has no epoch: {error}", self.document_id);
            return false;
        }
        let mut input = Some(input);
        let mut events = Vec::new();
        let done = self.with(server, unsettled, |state, document, seen| {
            let mut outcome = Outcome::default();
            let (Some(input), Some(native)) = (input.take(), &mut state.native) else {
                return outcome;
            };
            let is_full = |session: &SessionId| server.is_full(session);
            let around = Surroundings {
                seen,
                is_full: &is_full,
            };
            let outputs = native.handle(session, channel, input, &around, document);
            if let Some(peer) = outputs.joined {
                events.push(ServerEvent::ClientHandshake {
                    session: session.clone(),
                    document_id: self.document_id.clone(),
                    peer,
                });
            }
            if let Some(code) = outputs.refused {
                log::debug!(target: "server", "{session} in {:?}: refused: {code:?}", self.document_id);
            }
            let applied = outputs.applied;
            outcome.add_native(outputs);
            if applied > 0 {
                let changes = &server.counters.changes_applied;
                changes.fetch_add(applied as u64, Ordering::Relaxed);
                state.tell_others(seen, document, &mut outcome);
            }
            outcome
        });
        events.iter().for_each(|event| server.event(event));
        done || input.is_none()
    }

    fn prepare_native(&self, server: &ServerShared) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.native.is_none() {
            // Clients keep the epoch: it has to outlive a crash.
            self.stored.establish()?;
            let epoch = self.stored.epoch();
            let mut seed = [0; 8];
            // Numbers of states: a repeated one is noticed by its version.
            let _ = getrandom::fill(&mut seed);
            let seed = u64::from_le_bytes(seed);
            let options = server.native_rooms.clone();
            state.native = Some(native::Room::new(options, epoch, seed));
        }
        Ok(())
    }

    /// Tells the sessions what was committed outside of the room. May block on the document's lock.
    pub fn tell_foreign(self: &Arc<Self>, server: &Arc<ServerShared>) {
        self.watch.scheduled.store(false, Ordering::SeqCst);
        if self.watch.foreign.load(Ordering::SeqCst)
            && !self.with(server, None, |_, _, _| Outcome::default())
        {
            log::warn!(target: "server", "room {:?} could not be told of local edits", self.document_id);
        }
    }

    /// Takes a snapshot of the document and tells the sessions.
    pub fn take_snapshot(self: &Arc<Self>, server: &Arc<ServerShared>) -> bool {
        let mut taken = false;
        let done = self.with(server, None, |state, document, seen| {
            taken = document.take_snapshot(true).is_ok();
            let mut outcome = Outcome::default();
            state.tell_others(seen, document, &mut outcome);
            state.tell_native(server, seen, document, &mut outcome);
            outcome.persist = true;
            if taken {
                let document_id = self.document_id.clone();
                outcome
                    .outputs
                    .push(RoomOutput::Event(ServerEvent::SnapshotCreated {
                        document_id,
                    }));
            }
            outcome
        });
        done && taken
    }

    /// Runs `body` on room and document, and sends what follows once it is stored. False: it did
    /// not run (the document is locked or poisoned, the room broken).
    fn with(
        self: &Arc<Self>,
        server: &Arc<ServerShared>,
        unsettled: Option<Unsettled>,
        body: impl FnOnce(&mut RoomState, &mut Document, &VersionVector) -> Outcome,
    ) -> bool {
        let mut state = self.state.lock();
        if state.broken {
            return false;
        }
        // Stays if a panic passes here.
        state.broken = true;
        let handling = Handling::start(&self.watch);
        let result = self.stored.document().with(|document| {
            let foreign = self.watch.foreign.swap(false, Ordering::SeqCst);
            let mut seen = std::mem::take(&mut state.seen);
            let mut told = Outcome::default();
            let before_told = seen.clone();
            if foreign {
                state.tell_others(&seen, document, &mut told);
                state.tell_native(server, &seen, document, &mut told);
                told.persist = true;
                seen = Arc::new(document.version_vector());
            }
            let outcome = body(&mut state, document, &seen);
            let before = seen.clone();
            state.seen = match outcome.persist {
                true => Arc::new(document.version_vector()),
                false => seen,
            };
            [(told, before_told), (outcome, before)]
        });
        drop(handling);
        state.broken = false;
        let Ok([(told, before_told), (outcome, before)]) = result else {
            return false;
        };
        // Numbered under the room's lock, so that batches keep the order of the messages; sent
        // without it, because observers may call back.
        let queued = [
            self.releases
                .queue(server, &self.origin(before_told), told, None),
            self.releases
                .queue(server, &self.origin(before), outcome, unsettled),
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
        let (room, server, since) = (self.clone(), Arc::downgrade(server), Instant::now());
        self.stored.when_stored(true, move |result| {
            if let Some(server) = server.upgrade().filter(|_| result.is_ok()) {
                server.counters.commit.record(since.elapsed());
            }
            room.stored(number, result, &server);
        });
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

    fn origin(&self, before: Arc<VersionVector>) -> Origin {
        Origin {
            room: self.document_id.clone(),
            before: Missed::After(before),
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
        let empty = self.state.try_lock().is_some_and(|state| {
            state.room.is_empty() && state.native.as_ref().is_none_or(native::Room::is_empty)
        });
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
