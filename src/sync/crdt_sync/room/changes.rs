//! Changes that arrive at a room: which are new and sound, in which order they are applied, and
//! who is told.

use super::{Room, RoomOutputs};
use crate::clock::{OperationId, PeerId};
use crate::codec::Change;
use crate::replica::{ApplyError, Replica};
use crate::sync::causal;
use crate::sync::crdt_sync::batch::split;
use crate::sync::crdt_sync::{Message, ServerError, ServerEvent, SessionId};

impl Room {
    pub(super) fn changes(
        &mut self,
        session: &SessionId,
        changes: Vec<Change>,
        replica: &mut dyn Replica,
        out: &mut RoomOutputs,
    ) {
        if !self.is_subscribed(session) {
            return self.ask_to_join(session, out);
        }
        let fresh = self.fresh_changes(session, changes, replica, out);
        if fresh.is_empty() {
            return;
        }
        let mut applied = Vec::new();
        let mut missing = None;
        for change in causal::sorted(fresh) {
            let id = change.id;
            match replica.apply(change.clone()) {
                Ok(true) => {
                    out.event(ServerEvent::ClientChangeApplied {
                        session: session.clone(),
                        document_id: self.lobby.document_id.clone(),
                        change: id,
                    });
                    applied.push(change);
                }
                Ok(false) => {}
                Err(ApplyError::NotReady {
                    missing: dependency,
                }) => {
                    if self.member(session).refused.contains(&dependency) {
                        self.refuse(
                            session,
                            id,
                            ServerError::BuildsOnRefused { change: id },
                            out,
                        );
                    } else if missing.is_none() {
                        missing = Some(dependency);
                    }
                }
                Err(error) => {
                    self.refuse(
                        session,
                        id,
                        ServerError::ChangeRefused { change: id, error },
                        out,
                    );
                }
            }
        }
        if !applied.is_empty() {
            out.persist = true;
            self.member(session).out_of_sync_streak = 0;
            self.broadcast_changes(applied, Some(session), replica, out);
        }
        if missing.is_some() {
            self.out_of_sync(session, missing, out);
        }
    }

    /// At most once per message (trap 23), and not for ever.
    fn out_of_sync(
        &mut self,
        session: &SessionId,
        missing: Option<OperationId>,
        out: &mut RoomOutputs,
    ) {
        let out_of_sync_max = self.options.out_of_sync_max;
        let member = self.member(session);
        if member.out_of_sync_streak >= out_of_sync_max {
            return self.report(Some(session), ServerError::Limit("out_of_sync_max"), out);
        }
        member.out_of_sync_streak += 1;
        self.tell_out_of_sync(session, missing, out);
    }

    /// Those that the document has not seen and that are sound. Every Dart client sends each
    /// change it receives back to the server: such an echo costs one look-up (traps 1 and 10).
    fn fresh_changes(
        &mut self,
        session: &SessionId,
        changes: Vec<Change>,
        replica: &dyn Replica,
        out: &mut RoomOutputs,
    ) -> Vec<Change> {
        let seen = replica.version_vector();
        let mut fresh = Vec::with_capacity(changes.len());
        for change in changes {
            if seen.covers(&change.id.peer, change.id.hlc) {
                continue;
            }
            match unsound(&change, self.options.dependencies_max) {
                None => fresh.push(change),
                Some(reason) => {
                    let error = ServerError::InvalidChange {
                        change: change.id,
                        reason,
                    };
                    self.refuse(session, change.id, error, out);
                }
            }
        }
        fresh
    }

    fn refuse(
        &mut self,
        session: &SessionId,
        change: OperationId,
        error: ServerError,
        out: &mut RoomOutputs,
    ) {
        let max = self.options.refused_changes_max;
        self.member(session).remember_refused(change, max);
        self.report(Some(session), error, out);
    }

    /// New changes to the other sessions. A Dart client ignores `changes` (trap 2): one message
    /// each, or, when there are many, document statuses, which it does not echo.
    pub(super) fn broadcast_changes(
        &self,
        changes: Vec<Change>,
        except: Option<&SessionId>,
        replica: &dyn Replica,
        out: &mut RoomOutputs,
    ) {
        if changes.len() <= self.options.broadcast_changes_max {
            for change in changes {
                let message = Message::Change {
                    document_id: self.wire_id(),
                    change,
                };
                self.broadcast(message, except, out);
            }
            return;
        }
        let version_vector = replica.version_vector();
        for part in split(changes, self.options.broadcast_bytes_max) {
            let message = Message::DocumentStatus {
                document_id: self.wire_id(),
                snapshot: None,
                changes: Some(part),
                version_vector: version_vector.clone(),
            };
            self.broadcast(message, except, out);
        }
    }
}

/// What is wrong with a change, before the document sees it (trap 12): Dart stores such a change,
/// and every later reader of the document fails on it.
fn unsound(change: &Change, dependencies_max: usize) -> Option<&'static str> {
    let peers = || {
        change
            .deps
            .iter()
            .map(|dep| &dep.peer)
            .chain([&change.id.peer])
    };
    if !peers().all(PeerId::is_uuid_v4) {
        Some("a peer id is not a UUID version 4")
    } else if change.deps.len() > dependencies_max {
        Some("too many dependencies")
    } else if change.deps.contains(&change.id) {
        Some("it depends on itself")
    } else if change.envelope().is_err() {
        Some("the operation envelope does not decode")
    } else {
        None
    }
}
