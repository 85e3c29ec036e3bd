//! One room of a relay (specification, chapter 9): a log, and who is joined.
//!
//! What a client sends is opaque, so order is all that the room gives: every entry has a number,
//! every joined session gets every entry in that order, and an acknowledgement says that the entry
//! survives a crash. A session that reads too slowly is not sent the entries it missed one by one:
//! once it reads again it gets them from the log, a page at a time. A joining session gets a long
//! log in the same way, so that a page is all that waits for it in memory.

use super::log::{Blob, RelayLog, RelayLogError, RelaySnapshot};
use super::{Compaction, compaction};
use crate::clock::PeerId;
use crate::codec::{Value, Wtf8String};
use crate::sync::crdt_sync::lobby::Lobby;
use crate::sync::crdt_sync::{
    Message, Missed, RelayWelcome, RoomOutput, RoomOutputs, ServerError, ServerEvent,
    ServerOptions, SessionId,
};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A message for a room of a relay, from the connection that decoded it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RelayInput {
    /// A client joins (type 20).
    Hello {
        /// Who.
        author: PeerId,
    },
    /// Entries of a client (type 22).
    Push(Vec<Blob>),
    /// A snapshot of a client (type 25).
    Upload {
        /// Opaque.
        snapshot: Blob,
        /// The last entry that it covers.
        up_to_seq: i64,
    },
    /// A client asks for a welcome (type 26).
    StateRequest,
    /// A ping (type 5).
    Ping {
        /// Copied into the answer.
        timestamp: i64,
    },
    /// What the session shows of itself (type 100).
    Presence(Value),
    /// A client asks for everybody's presence (type 101).
    PresenceQuery,
    /// The session was sent the entries up to this one and has read what waited for it. Not from
    /// the wire.
    CatchUp {
        /// The number of the last entry that it has.
        after_seq: u64,
    },
    /// The session ended.
    Leave,
}

impl RelayInput {
    /// Whether this message may create a room.
    pub fn may_create(&self) -> bool {
        // Also what a client sends that dialled again without a hello (trap 4).
        matches!(
            self,
            RelayInput::Hello { .. } | RelayInput::Push(_) | RelayInput::StateRequest
        )
    }
}

/// The sessions of one room. The log stays outside. Memory: bounded by the number of connections,
/// and [`ServerOptions::relay_duplicates_window`] hashes.
#[derive(Debug)]
pub struct RelayRoom {
    lobby: Lobby,
    options: Arc<ServerOptions>,
    compaction: Compaction,
    recent: Recent,
}

/// Hashes of the last entries with their numbers: a push whose acknowledgement was lost comes again.
#[derive(Debug, Default)]
struct Recent {
    seqs: HashMap<[u8; 32], u64>,
    order: VecDeque<([u8; 32], u64)>,
}

impl RelayRoom {
    /// A room without sessions.
    pub fn new(document_id: Arc<str>, options: Arc<ServerOptions>) -> Self {
        RelayRoom {
            lobby: Lobby::new(document_id, options.presence_bytes_max),
            compaction: Compaction::new(options.relay_log_length_max, compaction::RETRY_MS),
            options,
            recent: Recent::default(),
        }
    }

    /// The joined sessions, in order of joining.
    pub fn sessions(&self) -> Arc<[SessionId]> {
        self.lobby.sessions()
    }

    /// Nobody is joined: nothing is lost by dropping the room.
    pub fn is_empty(&self) -> bool {
        self.lobby.is_empty()
    }

    /// Does what one message asks for.
    ///
    /// # Errors
    /// The log failed; the session gets no answer and should be closed, so that it comes back.
    pub fn handle(
        &mut self,
        session: &SessionId,
        input: RelayInput,
        log: &mut dyn RelayLog,
        now_ms: i64,
    ) -> Result<RoomOutputs, RelayLogError> {
        let mut out = RoomOutputs::default();
        match input {
            RelayInput::Hello { author } => self.hello(session, author, log, now_ms, &mut out)?,
            // A client that dialled again without a hello pushes its queue again after the welcome
            // (trap 4); the same goes for its pings below.
            RelayInput::Push(_) | RelayInput::StateRequest if !self.lobby.contains(session) => {
                self.join_silently(session, log, now_ms, &mut out)?;
            }
            RelayInput::Push(blobs) => self.push(session, blobs, log, now_ms, &mut out)?,
            RelayInput::StateRequest => {
                self.welcome(session, log, now_ms, &mut out)?;
            }
            RelayInput::Upload {
                snapshot,
                up_to_seq,
            } => self.upload(session, snapshot, up_to_seq, log, &mut out)?,
            RelayInput::Ping { timestamp } => {
                self.lobby.pong(session, timestamp, now_ms, &mut out);
                if !self.lobby.contains(session) {
                    self.join_silently(session, log, now_ms, &mut out)?;
                }
            }
            RelayInput::Presence(state) => self.lobby.show(session, state, &mut out),
            RelayInput::PresenceQuery => self.lobby.tell_presences(session, &mut out),
            RelayInput::CatchUp { after_seq } => {
                self.catch_up(session, after_seq, log, now_ms, &mut out)?;
            }
            RelayInput::Leave => self.lobby.leave(session, &mut out),
        }
        Ok(out)
    }

    fn hello(
        &mut self,
        session: &SessionId,
        peer: PeerId,
        log: &mut dyn RelayLog,
        now_ms: i64,
        out: &mut RoomOutputs,
    ) -> Result<(), RelayLogError> {
        self.lobby.subscribe(session);
        self.welcome(session, log, now_ms, out)?;
        self.lobby.appear(session, out);
        out.event(ServerEvent::ClientHandshake {
            session: session.clone(),
            document_id: self.lobby.document_id.clone(),
            peer,
        });
        Ok(())
    }

    fn join_silently(
        &mut self,
        session: &SessionId,
        log: &mut dyn RelayLog,
        now_ms: i64,
        out: &mut RoomOutputs,
    ) -> Result<(), RelayLogError> {
        self.lobby.subscribe(session);
        self.welcome(session, log, now_ms, out)?;
        self.lobby.appear(session, out);
        Ok(())
    }

    /// False: more is to come.
    fn welcome(
        &mut self,
        session: &SessionId,
        log: &mut dyn RelayLog,
        now_ms: i64,
        out: &mut RoomOutputs,
    ) -> Result<bool, RelayLogError> {
        let snapshot = log.read_snapshot()?;
        let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.up_to_seq);
        let changes = log.read(covered, self.options.relay_page_bytes)?;
        let seq = covered + changes.len() as u64;
        let complete = seq >= log.last_seq();
        let log_length = log.log_length();
        let compact = complete && self.compaction.ask(log_length, now_ms);
        let message = Message::RelayWelcome(Box::new(RelayWelcome {
            document_id: self.lobby.wire_id(),
            session_id: session.to_string(),
            snapshot: snapshot.map(|snapshot| snapshot.blob),
            changes,
            seq: wire(seq),
            log_length: wire(log_length),
            compact,
        }));
        out.send(session, message);
        if !complete {
            out.outputs.push(RoomOutput::Behind {
                session: session.clone(),
                missed: Missed::AfterSeq(seq),
            });
        }
        Ok(complete)
    }

    fn push(
        &mut self,
        session: &SessionId,
        blobs: Vec<Blob>,
        log: &mut dyn RelayLog,
        now_ms: i64,
        out: &mut RoomOutputs,
    ) -> Result<(), RelayLogError> {
        if blobs.is_empty() {
            return Ok(());
        }
        let count = blobs.len() as u64;
        let hashes: Vec<_> = blobs.iter().map(hash).collect();
        if let Some(seq) = self.recent.run(&hashes) {
            // Already in the log, perhaps not yet on disk: the answer waits for that as any other.
            out.persist = true;
            out.send(session, self.ack(seq, count, log, false));
            return Ok(());
        }
        let seq = log.append(blobs.clone())?;
        out.persist = true;
        self.recent
            .remember(&hashes, seq, self.options.relay_duplicates_window);
        let compact = self.compaction.ask(log.log_length(), now_ms);
        out.send(session, self.ack(seq, count, log, compact));
        let message = Message::RelayChanges {
            document_id: self.lobby.wire_id(),
            changes: blobs,
            seq: wire(seq),
            from: Some(Wtf8String::from(session.as_str())),
        };
        self.lobby.broadcast(message, Some(session), out);
        out.event(ServerEvent::RelayPushed {
            session: session.clone(),
            document_id: self.lobby.document_id.clone(),
            seq,
            count,
        });
        Ok(())
    }

    fn ack(&self, seq: u64, count: u64, log: &dyn RelayLog, compact: bool) -> Message {
        Message::RelayAck {
            document_id: self.lobby.wire_id(),
            seq: wire(seq),
            count: wire(count),
            log_length: wire(log.log_length()),
            compact,
        }
    }

    /// A snapshot counts only if it moves forward and covers nothing that a crash could still take
    /// back (traps 18 and 26).
    fn upload(
        &mut self,
        session: &SessionId,
        blob: Blob,
        up_to_seq: i64,
        log: &mut dyn RelayLog,
        out: &mut RoomOutputs,
    ) -> Result<(), RelayLogError> {
        if !self.lobby.contains(session) {
            self.lobby
                .report(Some(session), ServerError::NotJoined, out);
            return Ok(());
        }
        let covered = log.covered_seq();
        let up_to_seq = u64::try_from(up_to_seq).unwrap_or(0);
        let up_to_seq = up_to_seq.min(log.committed_seq());
        if up_to_seq <= covered {
            self.lobby
                .report(Some(session), ServerError::StaleSnapshot, out);
            return Ok(());
        }
        log.save_snapshot(RelaySnapshot { blob, up_to_seq })?;
        out.persist = true;
        self.compaction.answered();
        out.event(ServerEvent::SnapshotCreated {
            document_id: self.lobby.document_id.clone(),
        });
        Ok(())
    }

    fn catch_up(
        &mut self,
        session: &SessionId,
        after_seq: u64,
        log: &mut dyn RelayLog,
        now_ms: i64,
        out: &mut RoomOutputs,
    ) -> Result<(), RelayLogError> {
        if !self.lobby.contains(session) {
            return Ok(());
        }
        let covered = log.covered_seq();
        if after_seq < covered {
            // The entries went into a snapshot meanwhile.
            if !self.welcome(session, log, now_ms, out)? {
                return Ok(());
            }
        } else {
            let changes = log.read(after_seq, self.options.relay_page_bytes)?;
            let seq = after_seq + changes.len() as u64;
            if !changes.is_empty() {
                let message = Message::RelayChanges {
                    document_id: self.lobby.wire_id(),
                    changes,
                    seq: wire(seq),
                    from: None,
                };
                out.send(session, message);
            }
            if seq < log.last_seq() {
                out.outputs.push(RoomOutput::Behind {
                    session: session.clone(),
                    missed: Missed::AfterSeq(seq),
                });
                return Ok(());
            }
        }
        self.lobby.tell_presences(session, out);
        out.outputs.push(RoomOutput::CaughtUp {
            session: session.clone(),
        });
        Ok(())
    }
}

impl Recent {
    /// The number of the last of these entries, if they are in the log one after another.
    fn run(&self, hashes: &[[u8; 32]]) -> Option<u64> {
        let first = *self.seqs.get(hashes.first()?)?;
        let in_line =
            |(nth, hash): (usize, &[u8; 32])| self.seqs.get(hash) == Some(&(first + nth as u64));
        hashes
            .iter()
            .enumerate()
            .all(in_line)
            .then(|| first + hashes.len() as u64 - 1)
    }

    fn remember(&mut self, hashes: &[[u8; 32]], last_seq: u64, window: usize) {
        let first = last_seq - hashes.len() as u64 + 1;
        for (seq, hash) in (first..).zip(hashes) {
            self.seqs.insert(*hash, seq);
            self.order.push_back((*hash, seq));
        }
        while self.order.len() > window {
            if let Some((hash, seq)) = self.order.pop_front() {
                // A later entry may have the same content.
                if self.seqs.get(&hash) == Some(&seq) {
                    self.seqs.remove(&hash);
                }
            }
        }
    }
}

fn hash(blob: &Blob) -> [u8; 32] {
    Sha256::digest(blob.as_bytes()).into()
}

fn wire(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
