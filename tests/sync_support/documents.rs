//! The two kinds of document that the tests run with: the oracle, and the real one.

use super::model::Model;
use syncline::clock::{OperationId, PeerId, VersionVector};
use syncline::codec::{Change, Snapshot, Value};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, WallClock,
};
use syncline::replica::Replica;

pub trait TestDocument: Replica {
    /// As the cores take it.
    fn replica(&self) -> &dyn Replica;
    fn replica_mut(&mut self) -> &mut dyn Replica;

    /// Makes one local change, chosen by `choice`.
    fn edit(&mut self, choice: u64) -> OperationId;

    /// Takes over a snapshot that a peer made at this version of content that is not known.
    fn set_snapshot(&mut self, vector: VersionVector);

    /// What a reader sees; equal on all replicas in the end.
    fn content(&self) -> String;

    /// Checks the invariants.
    fn check(&self);

    /// What would be on disk.
    fn stored(&self) -> Stored {
        Stored {
            snapshot: self.last_snapshot().cloned(),
            changes: self.all_changes(),
        }
    }

    /// Takes in a change as if it had been made here.
    fn commit_recorded(&mut self, change: Change) {
        assert_eq!(self.apply(change), Ok(true));
    }
}

#[derive(Clone, Default)]
pub struct Stored {
    pub snapshot: Option<Snapshot>,
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Oracle,
    Engine,
}

impl Kind {
    /// A document of a client, or, with `server`, one without handlers.
    pub fn make(self, peer: PeerId, server: bool) -> Box<dyn TestDocument> {
        match self {
            Kind::Oracle => Box::new(Local {
                model: Model::default(),
                peer,
            }),
            Kind::Engine => Box::new(Engine::new(peer, server)),
        }
    }

    pub fn restore(self, peer: PeerId, stored: &Stored) -> Box<dyn TestDocument> {
        let mut document = self.make(peer, true);
        let outcome = document
            .import(stored.snapshot.as_ref(), stored.changes.clone())
            .unwrap();
        assert_eq!(outcome.applied, stored.changes.len());
        document
    }
}

/// The oracle with an author.
struct Local {
    model: Model,
    peer: PeerId,
}

impl TestDocument for Local {
    fn replica(&self) -> &dyn Replica {
        &self.model
    }

    fn replica_mut(&mut self) -> &mut dyn Replica {
        &mut self.model
    }

    fn edit(&mut self, choice: u64) -> OperationId {
        let body = vec![b'x'; (choice % 60) as usize];
        self.model
            .commit(self.peer, (choice >> 32) as i64 % 1_000, &body)
    }

    fn set_snapshot(&mut self, vector: VersionVector) {
        self.model.set_snapshot(vector);
    }

    fn content(&self) -> String {
        format!("{:?}", self.model.ids())
    }

    fn check(&self) {}
}

/// The real document with a text and a map.
struct Engine {
    document: Document,
    handlers: Option<(HandlerIdx, HandlerIdx)>,
}

const TEXT: &str = "text";
const MAP: &str = "map";

impl Engine {
    fn new(peer: PeerId, server: bool) -> Self {
        let options = DocumentOptions {
            peer_id: Some(peer),
            wall_clock: WallClock::Fixed(1_700_000_000_000),
            ..DocumentOptions::default()
        };
        let mut engine = Engine {
            document: Document::new(options),
            handlers: None,
        };
        if !server {
            engine.register();
        }
        engine
    }

    fn register(&mut self) -> (HandlerIdx, HandlerIdx) {
        let document = &mut self.document;
        let text = document
            .handler(TEXT, &HandlerSpec::new(HandlerKind::FugueText))
            .unwrap();
        let map = document
            .handler(MAP, &HandlerSpec::new(HandlerKind::Map))
            .unwrap();
        *self.handlers.insert((text, map))
    }
}

impl TestDocument for Engine {
    fn replica(&self) -> &dyn Replica {
        &self.document
    }

    fn replica_mut(&mut self) -> &mut dyn Replica {
        &mut self.document
    }

    fn edit(&mut self, choice: u64) -> OperationId {
        let (text, map) = self.handlers.expect("a client's document");
        let before = self.document.version_vector();
        let len = self.document.text_len_utf16(text);
        let at = (choice >> 8) % (len + 1);
        match choice % 8 {
            0..=4 => {
                let piece = "abcdefghij".repeat(1 + (choice >> 40) as usize % 4);
                self.document.text_insert(text, at, &piece).unwrap();
            }
            5 if at < len => self.document.text_remove(text, at, 1).unwrap(),
            _ => {
                let key = format!("key {}", (choice >> 16) % 5);
                let value = Value::Int((choice >> 20) as i64);
                self.document.map_set(map, &key, &value).unwrap();
            }
        }
        let made = self.document.changes_newer_than(&before);
        assert_eq!(made.len(), 1);
        made[0].id
    }

    fn set_snapshot(&mut self, vector: VersionVector) {
        let snapshot = Snapshot::new(vector, Vec::new());
        assert!(self.document.import_snapshot(&snapshot, true).unwrap());
    }

    fn content(&self) -> String {
        // A reader of its own, so that the server's document needs no handlers.
        let mut reader = Engine::new(PeerId::from_bytes([0x4a; 16]), true);
        let stored = self.stored();
        reader
            .document
            .import(stored.snapshot.as_ref(), stored.changes)
            .unwrap();
        let (text, map) = reader.register();
        let mut entries = reader.document.map_entries(map);
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        format!("{:?} {entries:?}", reader.document.text_string(text))
    }

    fn check(&self) {
        self.document.check();
    }
}

/// Hands everything on to a document inside.
macro_rules! replica_of {
    ($outer:ty, $inner:ident) => {
        impl Replica for $outer {
            fn version_vector(&self) -> VersionVector {
                self.$inner.version_vector()
            }
            fn last_snapshot(&self) -> Option<&Snapshot> {
                self.$inner.last_snapshot()
            }
            fn change_count(&self) -> usize {
                Replica::change_count(&self.$inner)
            }
            fn changes_newer_than(&self, seen: &VersionVector) -> Vec<Change> {
                self.$inner.changes_newer_than(seen)
            }
            fn all_changes(&self) -> Vec<Change> {
                self.$inner.all_changes()
            }
            fn apply(&mut self, change: Change) -> Result<bool, syncline::replica::ApplyError> {
                self.$inner.apply(change)
            }
            fn import(
                &mut self,
                snapshot: Option<&Snapshot>,
                changes: Vec<Change>,
            ) -> Result<syncline::replica::ImportOutcome, syncline::replica::ApplyError> {
                self.$inner.import(snapshot, changes)
            }
            fn take_snapshot(
                &mut self,
                prune: bool,
            ) -> Result<&Snapshot, syncline::replica::ApplyError> {
                self.$inner.take_snapshot(prune)
            }
        }
    };
}

replica_of!(Local, model);
replica_of!(Engine, document);
