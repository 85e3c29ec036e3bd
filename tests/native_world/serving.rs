//! The server's side of the world: frames in, what the rooms hold back, frames out.

use super::Link;
use super::{Connection, FULL_BYTES, Output, Speaker, World, push};
use std::collections::BTreeSet;
use syncline::replica::Replica;
use syncline::sync::crdt_sync::{self, SessionId, frame};
use syncline::sync::native::{self, Access, ConnectionAction, Outgoing, RoomInput, Surroundings};

impl World {
    /// Whether the disk has everything.
    pub(super) fn is_stored(&self) -> bool {
        self.server.disk_vector == self.server.document.version_vector()
    }

    pub(super) fn sync_disk(&mut self) {
        let stored = self.is_stored();
        let server = &mut self.server;
        // Pruned history comes back with a crash, as if it had not been pruned.
        if !stored {
            server.disk = server.document.native_snapshot(true).unwrap();
        }
        server.disk_vector = server.document.version_vector();
        server.syncs += 1;
        self.release();
    }

    fn hold(&mut self, persist: bool, outputs: Vec<Output>) {
        let due = match persist {
            true => self.server.syncs + 1,
            false => 0,
        };
        self.server.held.push_back((due, outputs));
        self.release();
    }

    fn release(&mut self) {
        while let Some((due, _)) = self.server.held.front() {
            if *due > self.server.syncs {
                return;
            }
            for output in self.server.held.pop_front().unwrap().1 {
                self.send(output);
            }
        }
    }

    fn send(&mut self, output: Output) {
        let now = self.now;
        match output {
            Output::Native(native::RoomOutput { session, outgoing }) => {
                if matches!(&outgoing, Outgoing::State { offset, .. } if *offset > 0) {
                    self.counts.resumed += 1;
                }
                let mut links = self.links.values_mut();
                let link = links.find(|link| link.session == session);
                if let Some(Connection::Native(_, queue)) = link.map(|link| &mut link.connection) {
                    queue.push(outgoing);
                    queue.check();
                }
            }
            Output::Crdt(output) => match *output {
                crdt_sync::RoomOutput::Send { session, message } => {
                    self.send_crdt(&session, now, &message);
                }
                crdt_sync::RoomOutput::Broadcast {
                    sessions,
                    except,
                    message,
                } => {
                    for session in sessions
                        .iter()
                        .filter(|other| Some(*other) != except.as_ref())
                    {
                        self.send_crdt(session, now, message.message());
                    }
                }
                _ => {}
            },
        }
    }

    fn send_crdt(&mut self, session: &SessionId, now: i64, message: &crdt_sync::Message) {
        let delay = self.random.below(50) as i64;
        let mut links = self.links.values_mut();
        if let Some(link) = links.find(|link| link.session == *session && !link.cut) {
            if let Connection::Crdt(connection) = &link.connection {
                let bytes = frame::encode(message, connection.framing());
                push(&mut link.to_client, now + delay, bytes);
            }
        }
    }

    /// Frames of the native dialect leave one by one, as the socket takes them.
    fn flush(&mut self) {
        let mut relieved = Vec::new();
        for (id, link) in &mut self.links {
            let Connection::Native(_, queue) = &mut link.connection else {
                continue;
            };
            let room = match link.stalled_until > self.now || link.cut {
                true => 0,
                false => 6usize.saturating_sub(link.to_client.len()),
            };
            for _ in 0..room {
                let Some(bytes) = queue.pop() else { break };
                queue.check();
                self.counts.parts += usize::from(bytes[0] == 0x20);
                self.counts.states += usize::from(bytes[0] == 0x12);
                self.counts.updates += usize::from(bytes[0] & 0x7e == 0x14);
                let at = self.now + self.random.below(50) as i64;
                push(&mut link.to_client, at, bytes);
            }
            if link.starved && queue.bytes() < FULL_BYTES / 2 {
                link.starved = false;
                relieved.push(*id);
            }
        }
        for id in relieved {
            self.counts.behind += 1;
            let session = self.links[&id].session.clone();
            self.native_room(&session, 1, RoomInput::Ready);
        }
    }

    fn full_sessions(&self) -> BTreeSet<SessionId> {
        let full = self.links.values().filter(|link| match &link.connection {
            Connection::Native(_, queue) => queue.bytes() > FULL_BYTES,
            Connection::Crdt(_) => false,
        });
        full.map(|link| link.session.clone()).collect()
    }

    fn native_room(&mut self, session: &SessionId, channel: u32, input: RoomInput) {
        let full = self.full_sessions();
        for link in self.links.values_mut() {
            link.starved |= full.contains(&link.session);
        }
        let server = &mut self.server;
        let is_full = |session: &SessionId| full.contains(session);
        let around = Surroundings {
            seen: &server.seen,
            is_full: &is_full,
        };
        let done = server
            .native
            .handle(session, channel, input, &around, &mut server.document);
        let mut outputs: Vec<Output> = done.outputs.into_iter().map(Output::Native).collect();
        if done.applied > 0 {
            let told = server.room.document_changed(&server.seen, &server.document);
            outputs.extend(
                told.outputs
                    .into_iter()
                    .map(|output| Output::Crdt(Box::new(output))),
            );
        }
        server.seen = server.document.version_vector();
        self.hold(done.persist, outputs);
    }

    fn crdt_room(&mut self, session: &SessionId, input: crdt_sync::RoomInput) {
        let now = self.now;
        let server = &mut self.server;
        let done = server
            .room
            .handle(session, input, &mut server.document, now);
        let outputs = done
            .outputs
            .into_iter()
            .map(|output| Output::Crdt(Box::new(output)))
            .collect();
        self.hold(done.persist || !self.is_stored(), outputs);
        if done.persist {
            self.tell_native();
        }
    }

    fn tell_native(&mut self) {
        let full = self.full_sessions();
        for link in self.links.values_mut() {
            link.starved |= full.contains(&link.session);
        }
        let server = &mut self.server;
        let is_full = |session: &SessionId| full.contains(session);
        let around = Surroundings {
            seen: &server.seen,
            is_full: &is_full,
        };
        let told = server.native.document_changed(&around, &server.document);
        server.seen = server.document.version_vector();
        let outputs = told.outputs.into_iter().map(Output::Native).collect();
        self.hold(true, outputs);
    }

    pub(super) fn tell_foreign(&mut self) {
        let server = &mut self.server;
        let told = server.room.document_changed(&server.seen, &server.document);
        let outputs = told
            .outputs
            .into_iter()
            .map(|output| Output::Crdt(Box::new(output)))
            .collect();
        self.hold(true, outputs);
        self.tell_native();
    }

    pub(super) fn deliver(&mut self) {
        self.flush();
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for id in ids {
            let now = self.now;
            while let Some(bytes) = self.take(id, true) {
                self.counts.frames += 1;
                self.server_frame(id, &bytes);
            }
            while let Some(bytes) = self.take(id, false) {
                let site = self.links[&id].site;
                self.client_frame(site, id, &bytes);
            }
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            if link.server_told_at.is_some_and(|at| at <= now) {
                link.server_told_at = None;
                link.to_server.clear();
                self.server_gone(id);
            }
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            if link.client_told_at.is_some_and(|at| at <= now) {
                link.client_told_at = None;
                let site = link.site;
                let target = &mut self.sites[site];
                if target.link == Some(id) {
                    target.link = None;
                    match &mut target.speaker {
                        Speaker::Native { client, inbox, .. } => {
                            inbox.clear();
                            client.transport_closed(now, "cut");
                        }
                        Speaker::Crdt(client) => client.transport_closed(now, "cut"),
                    }
                }
            }
            let ended = |link: &Link| {
                link.client_told_at.is_none()
                    && link.server_told_at.is_none()
                    && self.sites[link.site].link != Some(id)
            };
            if self.links.get(&id).is_some_and(ended) {
                self.links.remove(&id);
            }
        }
    }

    fn take(&mut self, id: u64, to_server: bool) -> Option<Vec<u8>> {
        let now = self.now;
        let link = self.links.get_mut(&id)?;
        if !to_server && link.stalled_until > now {
            return None;
        }
        let queue = match to_server {
            true => &mut link.to_server,
            false => &mut link.to_client,
        };
        queue.front().filter(|(at, _)| *at <= now)?;
        let (_, bytes) = queue.pop_front()?;
        match link.hole {
            true => Some(Vec::new()).filter(|_| false),
            false => Some(bytes),
        }
    }

    fn server_frame(&mut self, id: u64, bytes: &[u8]) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let session = link.session.clone();
        match &mut link.connection {
            Connection::Native(connection, _) => {
                let actions = connection.receive(bytes, now);
                self.act_native(id, &session, actions);
            }
            Connection::Crdt(connection) => {
                for action in connection.receive(bytes, now) {
                    match action {
                        crdt_sync::ConnectionAction::ToRoom { input, .. } => {
                            self.crdt_room(&session, input);
                        }
                        crdt_sync::ConnectionAction::Reply(message) => {
                            self.send_crdt(&session, now, &message);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn act_native(&mut self, id: u64, session: &SessionId, actions: Vec<ConnectionAction>) {
        for action in actions {
            match action {
                ConnectionAction::Send(outgoing) => {
                    let session = session.clone();
                    self.send(Output::Native(native::RoomOutput { session, outgoing }));
                }
                ConnectionAction::Join { channel, join, .. } => {
                    let input = RoomInput::Join {
                        join,
                        access: Access::ALL,
                        deflate: true,
                    };
                    self.native_room(session, channel, input);
                }
                ConnectionAction::ToRoom { channel, input, .. } => {
                    self.native_room(session, channel, input);
                }
                ConnectionAction::Close { reason, .. } => {
                    assert_eq!(reason, "idle", "no frame of a client is refused");
                    self.cut(id);
                }
                _ => {}
            }
        }
    }

    fn server_gone(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let session = link.session.clone();
        match &mut link.connection {
            Connection::Native(connection, _) => {
                let actions = connection.closed();
                self.act_native(id, &session, actions);
            }
            Connection::Crdt(connection) => {
                for action in connection.closed() {
                    if let crdt_sync::ConnectionAction::ToRoom { input, .. } = action {
                        self.crdt_room(&session, input);
                    }
                }
            }
        }
    }

    pub(super) fn serve_time(&mut self) {
        let now = self.now;
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for id in ids {
            let link = self.links.get_mut(&id).unwrap();
            let session = link.session.clone();
            match &mut link.connection {
                Connection::Native(connection, _) => {
                    let actions = connection.tick(now);
                    self.act_native(id, &session, actions);
                }
                Connection::Crdt(connection) => {
                    if !connection.tick(now).is_empty() {
                        self.cut(id);
                    }
                }
            }
        }
    }
}
