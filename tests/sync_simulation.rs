//! Clients, a server and a bad network in one thread and in virtual time.
//!
//! The network delays frames, cuts connections with frames in flight, and turns connections into
//! holes that swallow everything; the server crashes and comes back with what it had on disk;
//! clients go offline, come back, and are restarted. Afterwards the network heals, and then every
//! document must hold every change. At every step, what a client takes for acknowledged must be on
//! the server's disk.

mod common;
mod sync_support;

use common::Random;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use sync_support::documents::{Kind, Stored, TestDocument};
use syncline::clock::{PeerId, VersionVector};
use syncline::codec::Change;
use syncline::sync::crdt_sync::{
    Client, ClientAction, ClientOptions, ConnectionAction, Framing, Room, RoomOutput,
    ServerConnection, ServerOptions, SessionId, frame,
};

const DOCUMENT: &str = "doc";
const SERVER: PeerId = PeerId::from_bytes([0x4f; 16]);
const START_MS: i64 = 1_700_000_000_000;
const QUEUE_BYTES_MAX: usize = 3_000;
const PUSH_BYTES_MAX: usize = 900;

struct Link {
    client: usize,
    connection: ServerConnection,
    /// Frames under way with the time of their arrival; each direction keeps its order.
    to_server: VecDeque<(i64, Vec<u8>)>,
    to_client: VecDeque<(i64, Vec<u8>)>,
    /// Swallows everything from now on, and nobody is told.
    hole: bool,
    /// When the client, and the server, learn that it was cut.
    client_told_at: Option<i64>,
    server_told_at: Option<i64>,
}

struct Site {
    id: PeerId,
    client: Client,
    document: Box<dyn TestDocument>,
    link: Option<u64>,
    /// An attempt to open a transport ends then.
    opens_at: Option<i64>,
    wants_to_be_online: bool,
}

struct Server {
    options: Arc<ServerOptions>,
    room: Room,
    document: Box<dyn TestDocument>,
    /// What is on disk.
    disk: Stored,
    disk_vector: VersionVector,
    /// The disk lacks something.
    dirty: bool,
    /// Outputs that wait for the disk.
    held: Vec<RoomOutput>,
    synced_at: i64,
}

struct World {
    kind: Kind,
    random: Random,
    now: i64,
    server: Server,
    sites: Vec<Site>,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    /// Faults happen.
    wild: bool,
    /// Every change ever made.
    made: Vec<Change>,
    frames: usize,
    restarts: usize,
}

fn server_options(kind: Kind, seed: u64) -> Arc<ServerOptions> {
    Arc::new(ServerOptions {
        snapshot_changes_min: if seed % 3 == 0 { 1 } else { 6 },
        // A snapshot of a text keeps no removed elements and no tree, so that what refers to them
        // lands elsewhere for those who joined from it (crdt_lf 10.5).
        automatic_snapshot: kind == Kind::Oracle && seed % 5 != 0,
        broadcast_changes_max: 3,
        broadcast_bytes_max: 700,
        ..ServerOptions::default()
    })
}

fn new_client(id: PeerId, seed: u64) -> Client {
    let options = ClientOptions {
        queue_bytes_max: QUEUE_BYTES_MAX,
        push_bytes_max: PUSH_BYTES_MAX,
        framing: if seed % 2 == 0 {
            Framing::Gzip
        } else {
            Framing::Plain
        },
        ..ClientOptions::new(DOCUMENT, id)
    };
    Client::new(options, seed)
}

impl World {
    fn new(kind: Kind, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let options = server_options(kind, seed);
        let clients = 2 + random.below(4);
        let sites = (0..clients).map(|number| {
            let mut bytes = [number as u8 + 1; 16];
            bytes[6] = 0x41;
            bytes[8] = 0x81;
            let id = PeerId::from_bytes(bytes);
            Site {
                id,
                client: new_client(id, seed * 10 + number as u64),
                document: kind.make(id, false),
                link: None,
                opens_at: None,
                wants_to_be_online: false,
            }
        });
        let sites = sites.collect();
        World {
            kind,
            made: Vec::new(),
            now: START_MS,
            server: Server {
                room: Room::new(DOCUMENT.into(), options.clone()),
                options,
                document: kind.make(SERVER, true),
                disk: Stored::default(),
                disk_vector: VersionVector::new(),
                dirty: false,
                held: Vec::new(),
                synced_at: START_MS,
            },
            random,
            sites,
            links: BTreeMap::new(),
            next_link: 0,
            wild: true,
            frames: 0,
            restarts: 0,
        }
    }

    /// So many steps, each up to `pace_ms` after the last one.
    fn run(&mut self, steps: usize, pace_ms: usize) {
        for _ in 0..steps {
            self.now += 1 + self.random.below(pace_ms) as i64;
            if self.wild {
                self.misbehave();
            }
            self.step();
        }
    }

    /// Everything that is due.
    fn step(&mut self) {
        for site in 0..self.sites.len() {
            self.finish_opening(site);
        }
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.deliver(link);
        }
        if self.now >= self.server.synced_at {
            self.sync_disk();
        }
        for site in 0..self.sites.len() {
            let due = self.sites[site]
                .client
                .next_deadline()
                .is_some_and(|at| at <= self.now);
            // Several rounds: a full queue is continued at once.
            for _ in 0..if due { 20 } else { 1 } {
                let Site {
                    client, document, ..
                } = &mut self.sites[site];
                client.tick(self.now, document.replica());
                self.act(site);
            }
        }
        self.check();
    }

    fn misbehave(&mut self) {
        let site = self.random.below(self.sites.len());
        match self.random.below(100) {
            0..=39 => {
                for _ in 0..=self.random.below(3) {
                    self.edit(site);
                }
            }
            40..=41 => {
                for _ in 0..30 {
                    self.edit(site);
                }
            }
            45..=49 => {
                if let Some(link) = self.sites[site].link {
                    self.cut(link);
                }
            }
            50..=51 => {
                if let Some(link) = self.sites[site].link {
                    self.links.get_mut(&link).unwrap().hole = true;
                }
            }
            52..=55 => {
                self.sites[site].wants_to_be_online ^= true;
                if self.sites[site].wants_to_be_online {
                    self.sites[site].client.connect(self.now);
                } else {
                    self.sites[site].client.disconnect();
                }
                self.act(site);
            }
            56 => self.restart_client(site),
            57 => self.restart_server(),
            _ => {}
        }
    }

    fn edit(&mut self, site: usize) {
        let Site {
            client, document, ..
        } = &mut self.sites[site];
        let before = document.version_vector();
        document.edit(self.random.next());
        self.made.extend(document.changes_newer_than(&before));
        client.local_changes(self.now, document.replica());
        self.act(site);
    }

    // ------------------------------------------------------------------------------- network

    fn finish_opening(&mut self, site: usize) {
        if self.sites[site].opens_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.sites[site].opens_at = None;
        if self.wild && self.random.below(4) == 0 {
            self.sites[site]
                .client
                .transport_closed(self.now, "refused");
            return self.act(site);
        }
        self.next_link += 1;
        let number = self.next_link;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let session = SessionId::from_random(bytes);
        let connection = ServerConnection::new(self.server.options.clone(), session, self.now);
        let link = Link {
            client: site,
            connection,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            hole: false,
            client_told_at: None,
            server_told_at: None,
        };
        self.links.insert(number, link);
        self.sites[site].link = Some(number);
        let Site {
            client, document, ..
        } = &mut self.sites[site];
        client.transport_opened(self.now, document.replica());
        self.act(site);
    }

    fn arrival(&mut self, last: Option<&(i64, Vec<u8>)>) -> i64 {
        let at = self.now + 1 + self.random.below(300) as i64;
        last.map_or(at, |(last, _)| at.max(*last))
    }

    /// Frames in flight are lost; each side learns of it some time later.
    fn cut(&mut self, number: u64) {
        let (client, server) = (self.random.below(500) as i64, self.random.below(500) as i64);
        let now = self.now;
        if let Some(link) = self.links.get_mut(&number) {
            link.hole = true;
            link.client_told_at.get_or_insert(now + client);
            link.server_told_at.get_or_insert(now + server);
        }
    }

    fn deliver(&mut self, number: u64) {
        let now = self.now;
        if self.links[&number].hole {
            let link = self.links.get_mut(&number).unwrap();
            link.to_server.clear();
            link.to_client.clear();
        }
        while let Some(bytes) = self
            .links
            .get_mut(&number)
            .and_then(|link| due(&mut link.to_server, now))
        {
            let link = self.links.get_mut(&number).unwrap();
            let actions = link.connection.receive(&bytes, now);
            self.server_act(number, actions);
        }
        while let Some(bytes) = self
            .links
            .get_mut(&number)
            .and_then(|link| due(&mut link.to_client, now))
        {
            let site = self.links[&number].client;
            if self.sites[site].link == Some(number) {
                let Site {
                    client, document, ..
                } = &mut self.sites[site];
                client.receive(&bytes, now, document.replica_mut());
                document.check();
                self.act(site);
            }
        }
        let Some(link) = self.links.get_mut(&number) else {
            return;
        };
        let actions = link.connection.tick(now);
        let told = |at: &mut Option<i64>| at.is_some_and(|at| at <= now).then(|| at.take());
        let (tell_client, tell_server) = (
            told(&mut link.client_told_at),
            told(&mut link.server_told_at),
        );
        let site = link.client;
        self.server_act(number, actions);
        if tell_client.is_some() && self.sites[site].link == Some(number) {
            self.sites[site].link = None;
            self.sites[site].client.transport_closed(now, "cut");
            self.act(site);
        }
        if tell_server.is_some() {
            self.end_connection(number);
        }
    }

    fn end_connection(&mut self, number: u64) {
        if let Some(link) = self.links.get_mut(&number) {
            let actions = link.connection.closed();
            self.server_act(number, actions);
            // The client's side of the link lives on as a hole until it notices.
            let link = self.links.get_mut(&number).unwrap();
            link.hole = true;
            let site = link.client;
            let waits = link.client_told_at.is_some() && self.sites[site].link == Some(number);
            if !waits {
                self.links.remove(&number);
            }
        }
    }

    // -------------------------------------------------------------------------------- client

    fn act(&mut self, site: usize) {
        let mut bytes = 0;
        let mut largest = 0;
        while let Some(action) = self.sites[site].client.poll() {
            match action {
                ClientAction::Open => {
                    assert!(self.sites[site].opens_at.is_none(), "two attempts at once");
                    let delay = 1 + self.random.below(400) as i64;
                    self.sites[site].opens_at = Some(self.now + delay);
                }
                ClientAction::Send(frame) => {
                    bytes += frame.len();
                    largest = largest.max(frame.len());
                    self.frames += 1;
                    let number = self.sites[site].link.expect("an open transport");
                    let last = self
                        .links
                        .get(&number)
                        .and_then(|link| link.to_server.back().cloned());
                    let at = self.arrival(last.as_ref());
                    if let Some(link) = self.links.get_mut(&number) {
                        link.to_server.push_back((at, frame));
                    }
                }
                ClientAction::CloseTransport { .. } => {
                    self.sites[site].opens_at = None;
                    if let Some(number) = self.sites[site].link.take() {
                        self.cut(number);
                    }
                }
                _ => {}
            }
        }
        assert!(
            bytes <= QUEUE_BYTES_MAX + largest,
            "{bytes} bytes were queued"
        );
        assert!(
            largest < 4 * PUSH_BYTES_MAX + 1000,
            "a frame of {largest} bytes"
        );
    }

    fn restart_client(&mut self, site: usize) {
        if let Some(number) = self.sites[site].link.take() {
            self.cut(number);
        }
        self.sites[site].opens_at = None;
        let seed = self.random.next();
        self.sites[site].client = new_client(self.sites[site].id, seed);
        if self.sites[site].wants_to_be_online {
            self.sites[site].client.connect(self.now);
        }
        self.act(site);
    }

    // -------------------------------------------------------------------------------- server

    fn server_act(&mut self, number: u64, actions: Vec<ConnectionAction>) {
        for action in actions {
            match action {
                ConnectionAction::Reply(message) => {
                    let framing = self.links[&number].connection.framing();
                    self.transmit(number, frame::encode(&message, framing));
                }
                ConnectionAction::ToRoom { document_id, input } => {
                    assert_eq!(&*document_id, DOCUMENT);
                    let session = self.links[&number].connection.session().clone();
                    let server = &mut self.server;
                    let before = server.document.version_vector();
                    let replica = server.document.replica_mut();
                    let out = server.room.handle(&session, input, replica, self.now);
                    server.document.check();
                    assert!(out.persist || server.document.version_vector() == before);
                    server.dirty |= out.persist;
                    server.held.extend(out.outputs);
                    if server.synced_at < self.now {
                        server.synced_at = self.now + self.random.below(200) as i64;
                    }
                }
                ConnectionAction::Close { .. } => {
                    let now = self.now;
                    let link = self.links.get_mut(&number).unwrap();
                    link.client_told_at.get_or_insert(now);
                    self.end_connection(number);
                    return;
                }
                _ => {}
            }
        }
    }

    /// The batch reaches the disk; only then its outputs leave.
    fn sync_disk(&mut self) {
        if self.server.dirty {
            self.server.dirty = false;
            self.server.disk = self.server.document.stored();
            self.server.disk_vector = self.server.document.version_vector();
        }
        for output in std::mem::take(&mut self.server.held) {
            match output {
                RoomOutput::Send { session, message } => {
                    if let Some(number) = self.link_of(&session) {
                        let framing = self.links[&number].connection.framing();
                        self.transmit(number, frame::encode(&message, framing));
                    }
                }
                RoomOutput::Broadcast {
                    sessions,
                    except,
                    message,
                } => {
                    for session in sessions
                        .iter()
                        .filter(|other| except.as_ref() != Some(*other))
                    {
                        if let Some(number) = self.link_of(session) {
                            let framing = self.links[&number].connection.framing();
                            self.transmit(number, message.frame(framing).to_vec());
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn link_of(&self, session: &SessionId) -> Option<u64> {
        let mut links = self.links.iter();
        links
            .find(|(_, link)| link.connection.session() == session)
            .map(|(number, _)| *number)
    }

    fn transmit(&mut self, number: u64, frame: Vec<u8>) {
        self.frames += 1;
        let last = self
            .links
            .get(&number)
            .and_then(|link| link.to_client.back().cloned());
        let at = self.arrival(last.as_ref());
        if let Some(link) = self.links.get_mut(&number) {
            link.to_client.push_back((at, frame));
        }
    }

    fn restart_server(&mut self) {
        self.restarts += 1;
        self.server.document = self.kind.restore(SERVER, &self.server.disk);
        assert_eq!(
            self.server.document.version_vector(),
            self.server.disk_vector
        );
        self.server.held.clear();
        self.server.dirty = false;
        self.server.room = Room::new(DOCUMENT.into(), self.server.options.clone());
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            self.cut(number);
            let link = self.links.get_mut(&number).unwrap();
            link.server_told_at = None;
            // The new process knows nothing of the old sockets.
            link.connection.closed();
        }
    }

    // -------------------------------------------------------------------------------- checks

    fn check(&self) {
        let disk = &self.server.disk_vector;
        for site in &self.sites {
            let acknowledged = site.client.server_vector();
            assert!(
                acknowledged.is_none_or(|vector| disk.is_strictly_newer_or_equal_than(vector)),
                "acknowledged {acknowledged:?}, on disk {disk:?}"
            );
        }
    }

    fn is_settled(&self) -> bool {
        self.server.held.is_empty()
            && self.sites.iter().all(|site| {
                site.client.progress(site.document.replica()).synced
                    && site.document.version_vector() == self.server.disk_vector
            })
    }
}

fn due(queue: &mut VecDeque<(i64, Vec<u8>)>, now: i64) -> Option<Vec<u8>> {
    if queue.front().is_none_or(|(at, _)| *at > now) {
        return None;
    }
    queue.pop_front().map(|(_, bytes)| bytes)
}

fn simulate(kind: Kind, seed: u64) -> World {
    let mut world = World::new(kind, seed);
    for site in 0..world.sites.len() {
        world.sites[site].wants_to_be_online = true;
        world.sites[site].client.connect(world.now);
        world.act(site);
    }
    // From hectic to slow enough for pings and their timeouts.
    world.run(250, [40, 150, 600, 4_000][seed as usize % 4]);
    world.wild = false;
    for site in 0..world.sites.len() {
        world.sites[site].client.connect(world.now);
        world.act(site);
    }
    // A hole is noticed after a ping interval and a ping timeout; then the longest delay.
    for _ in 0..200 {
        world.run(20, 100);
        if world.is_settled() {
            break;
        }
    }
    assert!(world.is_settled(), "not settled");
    let mut expected = kind.make(SERVER, true);
    expected.import(None, world.made.clone()).unwrap();
    let expected = expected.content();
    let disk = kind.restore(SERVER, &world.server.disk);
    assert_eq!(disk.content(), expected, "the server");
    for site in &world.sites {
        assert_eq!(site.document.content(), expected, "{}", site.id);
        let progress = site.client.progress(site.document.replica());
        assert_eq!(progress.pending, 0);
    }
    world
}

fn simulate_many(kind: Kind, default_seeds: u64) {
    let asked = std::env::var("SYNCLINE_SIMULATIONS").ok();
    let seeds = asked.map_or(default_seeds, |text| text.parse().expect("a number"));
    let (mut frames, mut restarts, mut changes, mut snapshots) = (0, 0, 0, 0);
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| simulate(kind, seed));
        let world = result.unwrap_or_else(|_| panic!("{kind:?}: seed {seed} failed"));
        frames += world.frames;
        restarts += world.restarts;
        changes += world.made.len();
        snapshots += usize::from(world.server.disk.snapshot.is_some());
    }
    println!(
        "{kind:?}: {seeds} seeds, {changes} changes, {frames} frames, {restarts} server restarts, \
         {snapshots} ended with a snapshot"
    );
    let expected = kind == Kind::Oracle;
    assert!(
        restarts > 0 && (snapshots > 0) == expected,
        "the interesting things happened"
    );
}

#[test]
fn every_change_reaches_everybody() {
    simulate_many(Kind::Oracle, 200);
}

#[test]
fn every_edit_of_real_documents_reaches_everybody() {
    simulate_many(Kind::Engine, 120);
}
