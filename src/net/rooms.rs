//! Which rooms are live, and how they become so.
//!
//! Layer: `net`. Everybody who wants a room while it is being loaded waits for the same load; a load
//! that failed leaves nothing behind, so a room is never empty by mistake.

use super::room::LiveRoom;
use super::server_shared::ServerShared;
use crate::store::{OpenOptions, StoreError};
use crate::sync::crdt_sync::Refusal;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// The rooms of a server.
#[derive(Default)]
pub(super) struct Rooms {
    cells: Mutex<HashMap<Arc<str>, Cell>>,
}

#[derive(Clone)]
struct Cell {
    room: Arc<OnceCell<Arc<LiveRoom>>>,
    /// Since when nobody was seen in the room.
    idle_since: Option<Instant>,
}

impl Rooms {
    /// The live room of a document, loaded if need be.
    pub async fn get(
        server: &Arc<ServerShared>,
        document_id: &Arc<str>,
        create: bool,
    ) -> Result<Arc<LiveRoom>, Refusal> {
        let cell = server.rooms.cell(server, document_id)?;
        let load = || async {
            let (task_server, document_id) = (server.clone(), document_id.clone());
            let task = tokio::task::spawn_blocking(move || load(&task_server, document_id, create));
            // The task can only be cancelled by the end of the runtime, or panic in the engine.
            task.await.unwrap_or(Err(Refusal::Unavailable))
        };
        let result = cell.get_or_try_init(load).await.cloned();
        if result.is_err() {
            server.rooms.forget_empty(document_id, &cell);
        }
        result
    }

    fn cell(
        &self,
        server: &ServerShared,
        document_id: &Arc<str>,
    ) -> Result<Arc<OnceCell<Arc<LiveRoom>>>, Refusal> {
        let mut closed = Vec::new();
        let mut cells = self.cells.lock();
        let broken = |cell: &Cell| cell.room.get().is_some_and(|room| room.is_broken());
        if cells.get(document_id).is_some_and(broken) {
            cells.remove(document_id);
        }
        if !cells.contains_key(document_id) && cells.len() >= server.options.rooms_max {
            closed = remove_idle(&mut cells, Duration::ZERO);
        }
        let result = if cells.len() < server.options.rooms_max || cells.contains_key(document_id) {
            let empty = || Cell {
                room: Arc::default(),
                idle_since: None,
            };
            let cell = cells.entry(document_id.clone()).or_insert_with(empty);
            cell.idle_since = None;
            Ok(cell.room.clone())
        } else {
            Err(Refusal::Unavailable)
        };
        drop(cells);
        report_closed(server, closed);
        result
    }

    /// Removes a cell whose load failed, unless somebody else is loading it.
    fn forget_empty(&self, document_id: &Arc<str>, cell: &Arc<OnceCell<Arc<LiveRoom>>>) {
        let mut cells = self.cells.lock();
        let same = cells
            .get(document_id)
            .is_some_and(|known| Arc::ptr_eq(&known.room, cell));
        // Two holders: the map and the caller.
        if same && cell.get().is_none() && Arc::strong_count(cell) <= 2 {
            cells.remove(document_id);
        }
    }

    /// The room if it is live.
    pub fn live(&self, document_id: &str) -> Option<Arc<LiveRoom>> {
        self.cells.lock().get(document_id)?.room.get().cloned()
    }

    /// All live rooms.
    pub fn all(&self) -> Vec<Arc<LiveRoom>> {
        let cells = self.cells.lock();
        cells
            .values()
            .filter_map(|cell| cell.room.get().cloned())
            .collect()
    }

    pub fn len(&self) -> usize {
        self.cells.lock().len()
    }

    /// How many are in memory, and in how many of them is somebody.
    pub fn counts(&self) -> (usize, usize) {
        let cells = self.cells.lock();
        let occupied = cells.values().filter(|cell| !is_unused(cell)).count();
        (cells.len(), occupied)
    }

    /// Unloads rooms in which nobody was for `idle`.
    pub fn unload_idle(&self, server: &ServerShared, idle: Duration) {
        let closed = remove_idle(&mut self.cells.lock(), idle);
        report_closed(server, closed);
    }

    /// Unloads one room if nobody is in it; false if somebody is.
    pub fn unload(&self, server: &ServerShared, document_id: &str) -> bool {
        let mut cells = self.cells.lock();
        let Some(cell) = cells.get(document_id) else {
            return true;
        };
        if !is_unused(cell) {
            return false;
        }
        let closed = cells.remove_entry(document_id);
        drop(cells);
        report_closed(server, closed.into_iter().collect());
        true
    }

    /// Forgets all rooms.
    pub fn clear(&self) {
        let cells = std::mem::take(&mut *self.cells.lock());
        drop(cells);
    }
}

/// Nobody else holds the room (joining takes it from the map under its lock), and nobody is in it.
fn is_unused(cell: &Cell) -> bool {
    let loaded = cell.room.get();
    Arc::strong_count(&cell.room) == 1
        && loaded.is_none_or(|room| Arc::strong_count(room) == 1 && room.is_idle())
}

fn remove_idle(cells: &mut HashMap<Arc<str>, Cell>, idle: Duration) -> Vec<(Arc<str>, Cell)> {
    let now = Instant::now();
    let mut names = Vec::new();
    for (name, cell) in cells.iter_mut() {
        if !is_unused(cell) {
            cell.idle_since = None;
        } else if now.duration_since(*cell.idle_since.get_or_insert(now)) >= idle {
            names.push(name.clone());
        }
    }
    names
        .iter()
        .filter_map(|name| cells.remove_entry(name))
        .collect()
}

/// Without the map's lock: dropping a room may drop its document.
fn report_closed(server: &ServerShared, closed: Vec<(Arc<str>, Cell)>) {
    for (name, cell) in closed {
        drop(cell);
        server.tell(|observer| observer.room_closed(&name));
    }
}

/// On a thread that may block.
fn load(
    server: &Arc<ServerShared>,
    document_id: Arc<str>,
    create: bool,
) -> Result<Arc<LiveRoom>, Refusal> {
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
        .map_err(|error| refuse(&document_id, &error))?;
    let room = LiveRoom::new(document_id.clone(), stored, server).map_err(|error| {
        log::warn!(target: "server", "room {document_id:?} is locked: {error:?}");
        Refusal::Unavailable
    })?;
    log::debug!(target: "server", "room {document_id:?} opened");
    server.tell(|observer| observer.room_opened(&document_id));
    Ok(room)
}

fn refuse(document_id: &str, error: &StoreError) -> Refusal {
    match error {
        StoreError::NotFound => Refusal::NotFound,
        error => {
            log::error!(target: "server", "room {document_id:?} cannot be opened: {error}");
            Refusal::Unavailable
        }
    }
}
