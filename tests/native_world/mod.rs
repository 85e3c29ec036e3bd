//! The world of the simulation: clients, links, faults. The server's side is in `serving`.

mod serving;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use syncline::clock::{PeerId, VersionVector};
use syncline::document::{Document, DocumentOptions, HandlerKind, HandlerSpec, WallClock};
use syncline::replica::Replica;
use syncline::sync::crdt_sync::{self, SessionId};
use syncline::sync::native::{self, ClientAction, DocumentKey, FairQueue, Incoming};

const DOCUMENT: &str = "doc";
const START_MS: i64 = 1_700_000_000_000;
const PART_BYTES: usize = 200;
const FULL_BYTES: usize = 1_500;
const EPOCH: u64 = 7;

/// A client, of either dialect.
pub enum Speaker {
    Native {
        client: Box<native::Client<Document>>,
        key: DocumentKey,
        inbox: VecDeque<Incoming>,
    },
    Crdt(Box<crdt_sync::Client>),
}

pub struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

pub struct Site {
    pub number: u64,
    pub speaker: Speaker,
    pub document: Document,
    /// What survives a kill: the document, and what the server was known to have.
    pub disk: (Vec<u8>, VersionVector),
    pub link: Option<u64>,
    pub opens_at: Option<i64>,
    pub online: bool,
    /// The most that was ever acknowledged.
    pub acknowledged: VersionVector,
}

pub enum Connection {
    Native(native::ServerConnection, FairQueue),
    Crdt(crdt_sync::ServerConnection),
}

pub struct Link {
    site: usize,
    session: SessionId,
    connection: Connection,
    to_server: VecDeque<(i64, Vec<u8>)>,
    to_client: VecDeque<(i64, Vec<u8>)>,
    /// Swallows everything.
    hole: bool,
    /// Takes nothing more.
    cut: bool,
    /// The client does not read until then.
    stalled_until: i64,
    /// The room left something out.
    starved: bool,
    client_told_at: Option<i64>,
    server_told_at: Option<i64>,
}

pub enum Output {
    Native(native::RoomOutput),
    Crdt(Box<crdt_sync::RoomOutput>),
}

pub struct Server {
    pub connections: Arc<native::ServerOptions>,
    pub crdt_options: Arc<crdt_sync::ServerOptions>,
    pub room: crdt_sync::Room,
    pub native: native::Room<Document>,
    pub document: Document,
    pub seen: VersionVector,
    pub disk: Vec<u8>,
    pub disk_vector: VersionVector,
    /// Batches in order, with how often the disk must have been synced before they leave.
    pub held: VecDeque<(u64, Vec<Output>)>,
    pub syncs: u64,
    pub incarnation: u64,
}

#[derive(Default)]
pub struct Counts {
    pub frames: usize,
    pub parts: usize,
    pub states: usize,
    pub resumed: usize,
    pub updates: usize,
    pub behind: usize,
    pub crashes: usize,
    pub kills: usize,
    pub snapshots: usize,
}

pub struct World {
    pub random: Random,
    pub now: i64,
    pub server: Server,
    pub sites: Vec<Site>,
    pub links: BTreeMap<u64, Link>,
    pub next_link: u64,
    pub next_peer: u64,
    pub prunes: bool,
    pub wild: bool,
    pub counts: Counts,
}

fn peer(number: u64) -> PeerId {
    let mut bytes = [0x40; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes[6] = 0x41;
    bytes[8] = 0x81;
    PeerId::from_bytes(bytes)
}

fn options(peer: PeerId) -> DocumentOptions {
    DocumentOptions {
        document_id: DOCUMENT.to_owned(),
        peer_id: Some(peer),
        wall_clock: WallClock::Fixed(START_MS),
        ..DocumentOptions::default()
    }
}

fn text_of(document: &mut Document) -> syncline::document::HandlerIdx {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    document.handler("text", &spec).unwrap()
}

pub fn content(document: &mut Document) -> String {
    let text = text_of(document);
    document.text_string(text)
}

fn new_server(document: Document, disk: Vec<u8>, random: &mut Random, incarnation: u64) -> Server {
    let limits = native::Limits::default();
    let connections = native::ServerOptions {
        limits,
        part_bytes: PART_BYTES,
        deflate_bytes_min: 100,
        ..native::ServerOptions::default()
    };
    let rooms = native::RoomOptions {
        deflate_bytes_min: 100,
        state_age_changes_max: 20,
        ..native::RoomOptions::default()
    };
    let crdt_options = Arc::new(crdt_sync::ServerOptions::default());
    let seen = document.version_vector();
    Server {
        connections: Arc::new(connections),
        room: crdt_sync::Room::new(DOCUMENT.into(), crdt_options.clone()),
        crdt_options,
        native: native::Room::new(Arc::new(rooms), EPOCH, random.below(1 << 60)),
        document,
        disk_vector: seen.clone(),
        seen,
        disk,
        held: VecDeque::new(),
        syncs: 0,
        incarnation,
    }
}

fn new_speaker(is_native: bool, peer: PeerId, known: VersionVector, seed: u64) -> Speaker {
    if !is_native {
        let options = crdt_sync::ClientOptions::new(DOCUMENT, peer);
        return Speaker::Crdt(Box::new(crdt_sync::Client::new(options, seed)));
    }
    let options = native::ClientOptions {
        part_bytes: PART_BYTES,
        push_bytes: 150,
        queue_bytes_max: 2_000,
        deflate_bytes_min: 100,
        ..native::ClientOptions::default()
    };
    let mut client = native::Client::new(options, seed);
    let key = client.attach(DOCUMENT, peer, Some(EPOCH).filter(|_| seed % 2 == 0), known);
    Speaker::Native {
        client: Box::new(client),
        key,
        inbox: VecDeque::new(),
    }
}

impl Site {
    fn acknowledged(&self) -> VersionVector {
        match &self.speaker {
            Speaker::Native { client, key, .. } => client.acknowledged(*key).unwrap().clone(),
            Speaker::Crdt(client) => client.server_vector().cloned().unwrap_or_default(),
        }
    }

    fn is_synced(&self) -> bool {
        match &self.speaker {
            Speaker::Native { client, key, .. } => client.progress(*key, &self.document).synced,
            Speaker::Crdt(client) => client.progress(&self.document).synced,
        }
    }

    pub fn connect(&mut self, now: i64) {
        self.online = true;
        match &mut self.speaker {
            Speaker::Native { client, .. } => client.connect(now),
            Speaker::Crdt(client) => client.connect(now),
        }
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let document = Document::new(options(peer(1_000)));
        let mut document = document;
        let disk = document.native_snapshot(true).unwrap();
        let server = new_server(document, disk, &mut random, 0);
        // A snapshot of crdt_lf forgets places (crdt_lf 10.5): no pruning beside its clients.
        let prunes = seed % 3 == 0;
        let sites = (0..3 + random.below(4)).map(|number| {
            let is_native = prunes || number < 2 || random.below(2) == 0;
            let mut document = Document::new(options(peer(number)));
            let disk = document.native_snapshot(true).unwrap();
            Site {
                number,
                speaker: new_speaker(is_native, peer(number), VersionVector::new(), seed + number),
                document,
                disk: (disk, VersionVector::new()),
                link: None,
                opens_at: None,
                online: false,
                acknowledged: VersionVector::new(),
            }
        });
        World {
            sites: sites.collect(),
            random,
            now: START_MS,
            server,
            links: BTreeMap::new(),
            next_link: 1,
            next_peer: 10_000,
            prunes,
            wild: true,
            counts: Counts::default(),
        }
    }

    pub fn run(&mut self, steps: usize, pace: u64) {
        for _ in 0..steps {
            self.now += 1 + self.random.below(pace) as i64;
            if self.wild {
                self.misbehave();
            }
            self.deliver();
            for site in 0..self.sites.len() {
                self.drive(site);
            }
            self.serve_time();
            if !self.wild || self.random.below(3) == 0 {
                self.sync_disk();
            }
            self.check();
        }
    }

    fn check(&mut self) {
        for site in &mut self.sites {
            let acknowledged = site.acknowledged();
            assert!(
                self.server
                    .disk_vector
                    .is_strictly_newer_or_equal_than(&acknowledged),
                "site {} takes for acknowledged what is not on disk",
                site.number
            );
            site.acknowledged.merge(&acknowledged);
        }
    }

    fn misbehave(&mut self) {
        let site = self.random.below(self.sites.len() as u64) as usize;
        match self.random.below(40) {
            0..=17 => self.edit(site),
            18 => {
                let links: Vec<u64> = self.links.keys().copied().collect();
                if let Some(link) = links.get(self.random.below(8) as usize) {
                    self.cut(*link);
                }
            }
            19 if self.random.below(3) == 0 => {
                if let Some(link) = self.links.values_mut().next() {
                    link.hole = true;
                }
            }
            20 | 21 => {
                let until = self.now + self.random.below(3_000) as i64;
                if let Some(link) = self.sites[site].link.and_then(|id| self.links.get_mut(&id)) {
                    link.stalled_until = until;
                }
            }
            22 if self.random.below(2) == 0 => self.crash(),
            23 => self.kill(site),
            24 => {
                let (now, target) = (self.now, &mut self.sites[site]);
                match &mut target.speaker {
                    Speaker::Native { client, .. } if target.online => client.disconnect(),
                    Speaker::Crdt(client) if target.online => client.disconnect(),
                    _ => target.connect(now),
                }
                if target.link.is_some() || target.online {
                    target.online = false;
                }
            }
            25 => self.sites[site].connect(self.now),
            26 => {
                if let Speaker::Native { client, .. } = &mut self.sites[site].speaker {
                    client.network_changed(self.now);
                }
            }
            27..=30 => self.store(site),
            31 if self.prunes => self.prune(),
            // The application edits the server's document.
            32 => {
                let text = text_of(&mut self.server.document);
                self.server.document.text_insert(text, 0, "S").unwrap();
                self.tell_foreign();
            }
            33 => {
                if let Speaker::Native { client, key, .. } = &mut self.sites[site].speaker {
                    let state = vec![1; self.random.below(50) as usize];
                    client.set_presence(*key, state);
                }
            }
            _ => {}
        }
    }

    fn edit(&mut self, site: usize) {
        let random = &mut self.random;
        let target = &mut self.sites[site];
        let text = text_of(&mut target.document);
        for _ in 0..1 + random.below(3) {
            let len = target.document.text_len_utf16(text);
            let at = random.below(len + 1);
            if len > 0 && at < len && random.below(4) == 0 {
                target.document.text_remove(text, at, 1).unwrap();
            } else {
                let many = match random.below(12) {
                    0 => 300,
                    _ => 1 + random.below(4),
                };
                let piece: String = (0..many)
                    .map(|_| char::from(b'a' + random.below(26) as u8))
                    .collect();
                target.document.text_insert(text, at, &piece).unwrap();
            }
        }
        match &mut target.speaker {
            Speaker::Native { client, key, .. } => client.local_changes(*key),
            Speaker::Crdt(client) => client.local_changes(self.now, &target.document),
        }
    }

    fn store(&mut self, site: usize) {
        let site = &mut self.sites[site];
        site.disk = (
            site.document.native_snapshot(true).unwrap(),
            site.acknowledged(),
        );
    }

    /// The process of a client ends at once; another one begins with what was stored.
    fn kill(&mut self, site: usize) {
        self.counts.kills += 1;
        if let Some(link) = self.sites[site].link.take() {
            self.cut(link);
        }
        self.next_peer += 1;
        let peer = peer(self.next_peer);
        let seed = self.random.below(1 << 30);
        let target = &mut self.sites[site];
        let is_native = matches!(target.speaker, Speaker::Native { .. });
        let (bytes, known) = target.disk.clone();
        target.document = Document::open_native(&bytes, options(peer)).unwrap();
        target.speaker = new_speaker(is_native, peer, known, seed);
        target.opens_at = None;
        target.connect(self.now);
    }

    fn crash(&mut self) {
        self.counts.crashes += 1;
        let links: Vec<u64> = self.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.cut(link));
        for link in self.links.values_mut() {
            link.server_told_at = None;
            link.to_server.clear();
        }
        let incarnation = self.server.incarnation + 1;
        let disk = self.server.disk.clone();
        // Edits of the server's own leave only when they are stored: it keeps its peer id.
        let document = Document::open_native(&disk, options(peer(1_000))).unwrap();
        self.server = new_server(document, disk, &mut self.random, incarnation);
    }

    fn prune(&mut self) {
        if self.server.document.take_snapshot(true).is_ok() {
            self.counts.snapshots += 1;
            self.tell_foreign();
        }
    }

    fn client_frame(&mut self, site: usize, id: u64, bytes: &[u8]) {
        let now = self.now;
        let site = &mut self.sites[site];
        if site.link != Some(id) {
            return;
        }
        match &mut site.speaker {
            Speaker::Native { client, inbox, .. } => {
                inbox.extend(client.receive(bytes, now).map(|(_, incoming)| incoming));
            }
            Speaker::Crdt(client) => client.receive(bytes, now, &mut site.document),
        }
    }

    fn drive(&mut self, number: usize) {
        let now = self.now;
        let opens = self.sites[number].opens_at.is_some_and(|at| at <= now);
        if opens {
            self.open(number);
        }
        let busy = self.wild && self.random.below(4) == 0;
        let site = &mut self.sites[number];
        let document = &mut site.document;
        match &mut site.speaker {
            Speaker::Native { client, key, inbox } => {
                client.tick(now);
                // Otherwise another thread holds the document.
                if !busy {
                    while let Some(incoming) = inbox.pop_front() {
                        client.handle(*key, incoming, now, document);
                    }
                    for key in client.due(now) {
                        client.step(key, now, document);
                    }
                }
            }
            Speaker::Crdt(client) => client.tick(now, document),
        }
        self.act(number);
    }

    fn open(&mut self, number: usize) {
        let now = self.now;
        let id = self.next_link;
        self.next_link += 1;
        let session = SessionId::from_random(u128::from(id).to_be_bytes());
        let site = &mut self.sites[number];
        site.opens_at = None;
        site.link = Some(id);
        let connection = match &mut site.speaker {
            Speaker::Native { client, .. } => {
                let options = self.server.connections.clone();
                client.transport_opened(now);
                Connection::Native(
                    native::ServerConnection::new(options, session.clone(), now),
                    FairQueue::new(PART_BYTES),
                )
            }
            Speaker::Crdt(client) => {
                let options = self.server.crdt_options.clone();
                client.transport_opened(now, &site.document);
                Connection::Crdt(crdt_sync::ServerConnection::new(
                    options,
                    session.clone(),
                    now,
                ))
            }
        };
        let link = Link {
            site: number,
            session,
            connection,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            hole: false,
            cut: false,
            stalled_until: 0,
            starved: false,
            client_told_at: None,
            server_told_at: None,
        };
        self.links.insert(id, link);
    }

    fn act(&mut self, number: usize) {
        let now = self.now;
        loop {
            let delay = 1 + self.random.below(50) as i64;
            let site = &mut self.sites[number];
            let (open, close, frame) = match &mut site.speaker {
                Speaker::Native { client, .. } => match client.poll() {
                    Some(ClientAction::Open) => (true, false, None),
                    Some(ClientAction::CloseTransport { .. }) => (false, true, None),
                    Some(_) => continue,
                    None => match site.link.and_then(|_| client.next_frame()) {
                        Some(frame) => (false, false, Some(frame)),
                        None => return,
                    },
                },
                Speaker::Crdt(client) => match client.poll() {
                    Some(crdt_sync::ClientAction::Open) => (true, false, None),
                    Some(crdt_sync::ClientAction::CloseTransport { .. }) => (false, true, None),
                    Some(crdt_sync::ClientAction::Send(frame)) => (false, false, Some(frame)),
                    Some(_) => continue,
                    None => return,
                },
            };
            if open {
                site.opens_at = Some(now + delay);
            }
            if close {
                site.opens_at = None;
                if let Some(id) = site.link.take() {
                    self.cut(id);
                }
            }
            if let Some(frame) = frame {
                let link = self.sites[number]
                    .link
                    .and_then(|id| self.links.get_mut(&id));
                if let Some(link) = link.filter(|link| !link.cut) {
                    push(&mut link.to_server, now + delay, frame);
                }
            }
        }
    }

    /// What is under way to the server may still arrive, or not; both learn of it later.
    fn cut(&mut self, id: u64) {
        let (now, one, other) = (self.now, self.random.below(200), self.random.below(200));
        let keep = self.random.below(4) as usize;
        if let Some(link) = self.links.get_mut(&id) {
            link.to_client.clear();
            link.to_server.truncate(keep);
            link.cut = true;
            link.client_told_at = Some(now + one as i64);
            link.server_told_at = Some(now + 50 + other as i64);
        }
    }

    pub fn describe(&self) -> String {
        let sites = self.sites.iter().map(|site| {
            let state = match &site.speaker {
                Speaker::Native { client, key, inbox } => format!(
                    "{:?} {:?} {:?} inbox {}",
                    client.status(),
                    client.document_phase(*key),
                    client.progress(*key, &site.document),
                    inbox.len()
                ),
                Speaker::Crdt(client) => format!("{:?}", client.status()),
            };
            let equal = site.document.version_vector() == self.server.disk_vector;
            let (number, link) = (site.number, site.link);
            format!("site {number}: {state}, equal {equal}, link {link:?}\n")
        });
        let held = self.server.held.len();
        format!("held {held}\n{}", sites.collect::<String>())
    }

    pub fn is_settled(&self) -> bool {
        self.server.held.is_empty()
            && self.sites.iter().all(|site| {
                site.is_synced() && site.document.version_vector() == self.server.disk_vector
            })
    }
}

/// Each direction keeps its order.
fn push(queue: &mut VecDeque<(i64, Vec<u8>)>, at: i64, bytes: Vec<u8>) {
    let at = queue.back().map_or(at, |(last, _)| at.max(*last));
    queue.push_back((at, bytes));
}
