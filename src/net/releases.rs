//! What follows from the messages of a room: it leaves in their order, and what depends on the disk
//! leaves only when that is done. Further messages are handled meanwhile, so a slow disk costs
//! delay, not throughput.
//!
//! Layer: `net`; shared by the rooms of all kinds. Lock order: room, document, releases.

use super::outbox::{Origin, Outbox, Unsettled};
use super::server_shared::ServerShared;
use crate::sync::crdt_sync::{Missed, RoomOutput, RoomOutputs, ServerEvent, frame};
use crate::sync::native::{self, Outgoing};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Bytes;

/// What follows from one message.
struct Batch {
    /// May go only when it is stored.
    persist: bool,
    deliveries: Vec<Delivery>,
    /// Ends when the batch is out.
    unsettled: Option<Unsettled>,
}

enum Delivery {
    Frame(Arc<Outbox>, Bytes),
    Broadcast(Arc<Outbox>, Bytes, Origin),
    Behind(Arc<Outbox>, Arc<str>, Missed),
    CaughtUp(Arc<Outbox>, Arc<str>),
    Native(Arc<Outbox>, Outgoing),
    Event(ServerEvent),
}

/// What a message led to, in whatever dialects.
#[derive(Default)]
pub(super) struct Outcome {
    pub persist: bool,
    pub outputs: Vec<RoomOutput>,
    pub native: Vec<native::RoomOutput>,
}

impl Outcome {
    pub fn add(&mut self, outputs: RoomOutputs) {
        self.persist |= outputs.persist;
        self.outputs.extend(outputs.outputs);
    }

    pub fn add_native(&mut self, outputs: native::RoomOutputs) {
        self.persist |= outputs.persist;
        self.native.extend(outputs.outputs);
    }
}

/// Batches that are not out, in order.
#[derive(Default)]
pub(super) struct Releases {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Batch>,
    /// Number of the first of `waiting`.
    first: u64,
    /// The batch with this number, and those before it, are stored.
    stored: Option<u64>,
    /// A thread is delivering; it looks again before it ends.
    delivering: bool,
}

impl Releases {
    pub fn is_empty(&self) -> bool {
        self.line.lock().waiting.is_empty()
    }

    /// Puts what follows from a message in line: its number, and whether it waits for the store.
    /// Called under the room's lock, so that batches keep the order of the messages.
    pub fn queue(
        &self,
        server: &ServerShared,
        origin: &Origin,
        outcome: Outcome,
        unsettled: Option<Unsettled>,
    ) -> Option<(u64, bool)> {
        let persist = outcome.persist;
        let mut deliveries = Vec::with_capacity(outcome.outputs.len() + outcome.native.len());
        for output in outcome.outputs {
            address(server, origin, output, &mut deliveries);
        }
        if !outcome.native.is_empty() {
            let known = server.sessions.read();
            for native::RoomOutput { session, outgoing } in outcome.native {
                if let Some(session) = known.get(&session) {
                    deliveries.push(Delivery::Native(session.outbox.clone(), outgoing));
                }
            }
        }
        if deliveries.is_empty() && !persist {
            return None;
        }
        let mut line = self.line.lock();
        line.waiting.push_back(Batch {
            persist,
            deliveries,
            unsettled,
        });
        Some((line.first + line.waiting.len() as u64 - 1, persist))
    }

    /// Everything up to this batch is stored.
    pub fn stored(&self, number: u64) {
        let mut line = self.line.lock();
        line.stored = line.stored.max(Some(number));
    }

    /// What waits can never be stored: it is never sent.
    pub fn abandon(&self) {
        let mut line = self.line.lock();
        let abandoned = std::mem::take(&mut line.waiting);
        line.first += abandoned.len() as u64;
        drop(line);
        // Not under the lock: ending what is unsettled wakes connections.
        drop(abandoned);
    }

    /// Lets out what may go. One thread at a time, without the lock, so that observers may call
    /// back; frames of later batches wait for it.
    pub fn release(&self, server: &ServerShared) {
        loop {
            let batches = {
                let mut line = self.line.lock();
                if line.delivering {
                    return;
                }
                let batches = line.take_ready();
                if batches.is_empty() {
                    return;
                }
                line.delivering = true;
                batches
            };
            for batch in batches {
                batch
                    .deliveries
                    .into_iter()
                    .for_each(|delivery| deliver(server, delivery));
                if let Some(unsettled) = batch.unsettled {
                    server.counters.settled.record(unsettled.age());
                }
            }
            self.line.lock().delivering = false;
        }
    }
}

impl Line {
    fn take_ready(&mut self) -> Vec<Batch> {
        let mut ready = Vec::new();
        while let Some(batch) = self.waiting.front() {
            if batch.persist && self.stored < Some(self.first) {
                break;
            }
            self.first += 1;
            ready.extend(self.waiting.pop_front());
        }
        ready
    }
}

/// Turns an output into frames for sockets.
fn address(
    server: &ServerShared,
    origin: &Origin,
    output: RoomOutput,
    deliveries: &mut Vec<Delivery>,
) {
    match output {
        RoomOutput::Send { session, message } => {
            if let Some(session) = server.session(&session) {
                let frame = frame::encode(&message, session.framing());
                deliveries.push(Delivery::Frame(session.outbox.clone(), frame.into()));
            }
        }
        RoomOutput::Broadcast {
            sessions,
            except,
            message,
        } => {
            let known = server.sessions.read();
            let sessions = sessions
                .iter()
                .filter(|session| Some(*session) != except.as_ref());
            for session in sessions.filter_map(|session| known.get(session)) {
                let frame = Bytes::from_owner(message.frame(session.framing()));
                let outbox = session.outbox.clone();
                deliveries.push(Delivery::Broadcast(outbox, frame, origin.clone()));
            }
        }
        RoomOutput::Behind { session, missed } => {
            if let Some(session) = server.session(&session) {
                let room = origin.room.clone();
                deliveries.push(Delivery::Behind(session.outbox.clone(), room, missed));
            }
        }
        RoomOutput::CaughtUp { session } => {
            if let Some(session) = server.session(&session) {
                let room = origin.room.clone();
                deliveries.push(Delivery::CaughtUp(session.outbox.clone(), room));
            }
        }
        RoomOutput::Event(event) => deliveries.push(Delivery::Event(event)),
    }
}

fn deliver(server: &ServerShared, delivery: Delivery) {
    let sent = match delivery {
        Delivery::Frame(outbox, frame) => outbox.push(frame),
        Delivery::Broadcast(outbox, frame, origin) => outbox.push_broadcast(frame, origin),
        Delivery::Native(outbox, outgoing) => outbox.push_outgoing(outgoing),
        Delivery::Behind(outbox, room, missed) => {
            outbox.fall_behind(room, missed);
            false
        }
        Delivery::CaughtUp(outbox, room) => {
            outbox.caught_up(&room);
            false
        }
        Delivery::Event(event) => {
            server.event(&event);
            false
        }
    };
    if sent {
        server.count(|counters| &counters.messages_out);
    }
}
