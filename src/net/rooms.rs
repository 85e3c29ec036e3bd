//! Which rooms are live, and how they become so.
//!
//! Layer: `net`. Everybody who wants a room while it is being loaded waits for the same load; a load
//! that failed leaves nothing behind, so a room is never empty by mistake.

use super::server_shared::ServerShared;
use crate::store::StoreError;
use crate::sync::crdt_sync::Refusal;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// A room in memory, of whatever kind.
pub(super) trait Live: Send + Sync + Sized + 'static {
    /// Where a server has its rooms of this kind.
    fn rooms(server: &ServerShared) -> &Rooms<Self>;

    /// Loads a room, on a thread that may block.
    fn load(server: &Arc<ServerShared>, name: Arc<str>, create: bool)
    -> Result<Arc<Self>, Refusal>;

    /// Nobody is in it and nothing waits.
    fn is_idle(&self) -> bool;

    /// It cannot be used any more, and has to be loaded anew.
    fn is_broken(&self) -> bool;
}

/// The rooms of a server of one kind.
pub(super) struct Rooms<R> {
    cells: Mutex<HashMap<Arc<str>, Cell<R>>>,
}

impl<R> Default for Rooms<R> {
    fn default() -> Self {
        Rooms {
            cells: Mutex::default(),
        }
    }
}

struct Cell<R> {
    room: Arc<OnceCell<Arc<R>>>,
    /// Since when nobody was seen in the room.
    idle_since: Option<Instant>,
}

impl<R: Live> Rooms<R> {
    /// The live room of a document, loaded if need be.
    pub async fn get(
        server: &Arc<ServerShared>,
        document_id: &Arc<str>,
        create: bool,
    ) -> Result<Arc<R>, Refusal> {
        let cell = R::rooms(server).cell(server, document_id)?;
        let load = || async {
            let (task_server, document_id) = (server.clone(), document_id.clone());
            let task =
                tokio::task::spawn_blocking(move || R::load(&task_server, document_id, create));
            // The task can only be cancelled by the end of the runtime, or panic in the engine.
            task.await.unwrap_or(Err(Refusal::Unavailable))
        };
        let result = cell.get_or_try_init(load).await.cloned();
        if result.is_err() {
            R::rooms(server).forget_empty(document_id, &cell);
        }
        result
    }

    fn cell(
        &self,
        server: &ServerShared,
        document_id: &Arc<str>,
    ) -> Result<Arc<OnceCell<Arc<R>>>, Refusal> {
        let mut closed = Vec::new();
        let mut cells = self.cells.lock();
        let broken = |cell: &Cell<R>| cell.room.get().is_some_and(|room| room.is_broken());
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
    fn forget_empty(&self, document_id: &Arc<str>, cell: &Arc<OnceCell<Arc<R>>>) {
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
    pub fn live(&self, document_id: &str) -> Option<Arc<R>> {
        self.cells.lock().get(document_id)?.room.get().cloned()
    }

    /// All live rooms.
    pub fn all(&self) -> Vec<Arc<R>> {
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
fn is_unused<R: Live>(cell: &Cell<R>) -> bool {
    let loaded = cell.room.get();
    Arc::strong_count(&cell.room) == 1
        && loaded.is_none_or(|room| Arc::strong_count(room) == 1 && room.is_idle())
}

fn remove_idle<R: Live>(
    cells: &mut HashMap<Arc<str>, Cell<R>>,
    idle: Duration,
) -> Vec<(Arc<str>, Cell<R>)> {
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
fn report_closed<R>(server: &ServerShared, closed: Vec<(Arc<str>, Cell<R>)>) {
    for (name, cell) in closed {
        drop(cell);
        server.tell(|observer| observer.room_closed(&name));
    }
}

/// Why a store has no room.
pub(super) fn refusal(document_id: &str, error: &StoreError) -> Refusal {
    match error {
        StoreError::NotFound => Refusal::NotFound,
        // The name belongs to a room of the other kind.
        StoreError::WrongKind { .. } => Refusal::Forbidden,
        error => {
            log::error!(target: "server", "room {document_id:?} cannot be opened: {error}");
            Refusal::Unavailable
        }
    }
}
