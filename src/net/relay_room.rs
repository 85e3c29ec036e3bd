//! One live room of a relay: its log in the store, its sessions, and what waits for the disk.
//!
//! Layer: `net`. The store numbers records when it has them; the room numbers them before, which
//! is the same because a room is the only writer of its log and hands records over in order.

use super::outbox::{Origin, Unsettled};
use super::releases::{Outcome, Releases};
use super::rooms::{Live, Rooms, refusal};
use super::server_shared::ServerShared;
use crate::store::{Generation, RawLog, StoreError};
use crate::sync::crdt_relay::{
    Blob, RelayInput, RelayLog, RelayLogError, RelayRoom, RelaySnapshot,
};
use crate::sync::crdt_sync::{Missed, Refusal, SessionId};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Bytes that may wait for the disk in one room; more makes pushes fail.
const BACKLOG_BYTES_MAX: usize = 64 << 20;

/// A room in memory.
pub(super) struct LiveRelay {
    name: Arc<str>,
    state: Mutex<RelayState>,
    releases: Releases,
    /// A message is being handled; stays set if a panic or an error ends that half way.
    handling: AtomicBool,
    /// The log in memory and the one on the device may differ: set for good, by the store's thread.
    /// What is stored is intact; the room comes back when it is loaded anew.
    broken: AtomicBool,
}

struct RelayState {
    room: RelayRoom,
    log: RoomLog,
}

/// The log as the room sees it.
struct RoomLog {
    stored: RawLog,
    /// Handed over and not stored, with their numbers.
    pending: VecDeque<(u64, Blob)>,
    last_seq: u64,
    /// Not handed over.
    to_append: Vec<Vec<u8>>,
    to_cover: Option<RelaySnapshot>,
    /// Handed over and not stored.
    covering: Option<RelaySnapshot>,
}

impl LiveRelay {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the sessions in the room.
    pub fn sessions(&self) -> Arc<[SessionId]> {
        self.state.lock().room.sessions()
    }

    /// Handles one message. May block on the disk.
    ///
    /// # Errors
    /// Gives the message back.
    pub fn handle(
        self: &Arc<Self>,
        server: &Arc<ServerShared>,
        session: &SessionId,
        input: RelayInput,
        unsettled: Option<Unsettled>,
    ) -> Result<(), (RelayInput, Refusal)> {
        let now_ms = server.clock.now_ms();
        let mut state = self.state.lock();
        if self.has_failed() || state.log.stored.backlog_bytes() > BACKLOG_BYTES_MAX {
            return Err((input, Refusal::Unavailable));
        }
        self.handling.store(true, Ordering::SeqCst);
        let RelayState { room, log } = &mut *state;
        log.forget_stored();
        let origin = Origin {
            room: self.name.clone(),
            before: Missed::AfterSeq(log.last_seq),
        };
        let outputs = match room.handle(session, input.clone(), log, now_ms) {
            Ok(outputs) => outputs,
            Err(error) => {
                log::error!(target: "server", "room {:?}: {error}", self.name);
                // Whatever it had prepared is not handed over; the numbers may be off.
                return Err((input, Refusal::Unavailable));
            }
        };
        let mut outcome = Outcome::default();
        outcome.add(outputs);
        let queued = self.releases.queue(server, &origin, outcome, unsettled);
        self.handling.store(false, Ordering::SeqCst);
        if let Some((number, true)) = queued {
            self.hand_over(log, server, number);
        }
        drop(state);
        if let Some((_, false)) = queued {
            self.releases.release(server);
        }
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.broken.load(Ordering::SeqCst) || self.handling.load(Ordering::SeqCst)
    }

    /// Gives the store what the last message prepared. An empty append is as late as what another
    /// message handed over before.
    fn hand_over(self: &Arc<Self>, log: &mut RoomLog, server: &Arc<ServerShared>, number: u64) {
        let (room, server) = (self.clone(), Arc::downgrade(server));
        if let Some(RelaySnapshot { blob, up_to_seq }) = log.to_cover.take() {
            let covering = RelaySnapshot {
                blob: blob.clone(),
                up_to_seq,
            };
            log.covering = Some(covering);
            let content = blob.as_bytes().to_vec();
            log.stored.cover(content, up_to_seq + 1, move |result| {
                room.stored(number, result.map(drop), None, &server);
            });
            return;
        }
        let records = std::mem::take(&mut log.to_append);
        let expected = (!records.is_empty()).then_some(log.last_seq + 1);
        let since = Instant::now();
        log.stored.append(records, move |result| {
            if let Some(server) = server.upgrade().filter(|_| result.is_ok()) {
                server.counters.commit.record(since.elapsed());
            }
            let end = result.as_ref().ok().map(|numbers| numbers.end);
            let agreed = expected.is_none() || end.is_none() || end == expected;
            let numbers = (!agreed).then_some("numbers differ");
            room.stored(number, result.map(drop), numbers, &server);
        });
    }

    fn stored(
        &self,
        number: u64,
        result: Result<(), StoreError>,
        mismatch: Option<&str>,
        server: &Weak<ServerShared>,
    ) {
        let failure = result.err().map(|error| error.to_string());
        match failure.or(mismatch.map(str::to_owned)) {
            None if self.broken.load(Ordering::SeqCst) => self.releases.abandon(),
            None => self.releases.stored(number),
            // It can never be stored: what waits is never acknowledged. Who pushed it comes again.
            Some(error) => {
                log::error!(target: "server", "room {:?} is not stored: {error}", self.name);
                self.broken.store(true, Ordering::SeqCst);
                self.releases.abandon();
            }
        }
        if let Some(server) = server.upgrade() {
            self.releases.release(&server);
        }
    }
}

impl Live for LiveRelay {
    fn rooms(server: &ServerShared) -> &Rooms<Self> {
        &server.relays
    }

    fn load(
        server: &Arc<ServerShared>,
        name: Arc<str>,
        create: bool,
    ) -> Result<Arc<Self>, Refusal> {
        let stored = match create {
            true => server.store.open_log(&name),
            false => server.store.find_log(&name),
        };
        let stored = stored.map_err(|error| refusal(&name, &error))?;
        let last_seq = stored.next() - 1;
        let room = RelayRoom::new(name.clone(), server.protocol.clone());
        server.tell(|observer| observer.room_opened(&name));
        Ok(Arc::new(LiveRelay {
            name,
            state: Mutex::new(RelayState {
                room,
                log: RoomLog {
                    stored,
                    pending: VecDeque::new(),
                    last_seq,
                    to_append: Vec::new(),
                    to_cover: None,
                    covering: None,
                },
            }),
            releases: Releases::default(),
            handling: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }))
    }

    /// Does not wait for a message in progress.
    fn is_idle(&self) -> bool {
        let state = self.state.try_lock();
        state.is_some_and(|state| state.room.is_empty()) && self.releases.is_empty()
    }

    fn is_broken(&self) -> bool {
        // During a message it is set, too; then the room's lock is held.
        self.has_failed() && self.state.try_lock().is_some()
    }
}

impl RoomLog {
    fn forget_stored(&mut self) {
        let committed = self.committed_seq();
        while self
            .pending
            .front()
            .is_some_and(|(seq, _)| *seq <= committed)
        {
            self.pending.pop_front();
        }
        let first = self.stored.head().first;
        self.covering.take_if(|snapshot| first > snapshot.up_to_seq);
    }

    /// The snapshot that is handed over or about to be.
    fn unstored_snapshot(&self) -> Option<&RelaySnapshot> {
        self.to_cover.as_ref().or(self.covering.as_ref())
    }
}

fn failed(error: StoreError) -> RelayLogError {
    RelayLogError(error.to_string())
}

fn decoded(bytes: &[u8]) -> Result<Blob, RelayLogError> {
    Blob::from_wire(bytes).map_err(|error| RelayLogError(error.to_string()))
}

impl RelayLog for RoomLog {
    fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn committed_seq(&self) -> u64 {
        self.stored.next() - 1
    }

    fn covered_seq(&self) -> u64 {
        match self.unstored_snapshot() {
            Some(snapshot) => snapshot.up_to_seq,
            None => self.stored.head().first - 1,
        }
    }

    fn read_snapshot(&self) -> Result<Option<RelaySnapshot>, RelayLogError> {
        if let Some(snapshot) = self.unstored_snapshot() {
            return Ok(Some(snapshot.clone()));
        }
        let stored = self.stored.snapshot(Generation::Current).map_err(failed)?;
        let snapshot = stored.map(|stored| {
            Ok(RelaySnapshot {
                blob: decoded(&stored.content)?,
                up_to_seq: stored.end - 1,
            })
        });
        snapshot.transpose()
    }

    fn read(&self, after_seq: u64, bytes_max: usize) -> Result<Vec<Blob>, RelayLogError> {
        let mut blobs = Vec::new();
        let mut bytes = 0usize;
        let committed = self.committed_seq();
        if after_seq < committed {
            let range = after_seq + 1..committed + 1;
            let page = self.stored.read(range, bytes_max).map_err(failed)?;
            for record in &page.records {
                bytes = bytes.saturating_add(record.content.len());
                blobs.push(decoded(&record.content)?);
            }
        }
        let mut next = after_seq + blobs.len() as u64 + 1;
        for (seq, blob) in &self.pending {
            if *seq != next {
                continue;
            }
            bytes = bytes.saturating_add(blob.as_bytes().len());
            if bytes > bytes_max && !blobs.is_empty() {
                break;
            }
            blobs.push(blob.clone());
            next += 1;
        }
        Ok(blobs)
    }

    fn append(&mut self, blobs: Vec<Blob>) -> Result<u64, RelayLogError> {
        for blob in blobs {
            self.last_seq += 1;
            self.to_append.push(blob.as_bytes().to_vec());
            self.pending.push_back((self.last_seq, blob));
        }
        Ok(self.last_seq)
    }

    fn save_snapshot(&mut self, snapshot: RelaySnapshot) -> Result<(), RelayLogError> {
        self.to_cover = Some(snapshot);
        Ok(())
    }
}
