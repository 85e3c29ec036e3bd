//! Server and clients over loopback: converging, restarting, sleeping.
#![cfg(all(feature = "client", feature = "server", feature = "sqlite"))]

mod loopback;
mod store_support;

use loopback::*;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store_support::Rigged;
use syncline::net::{
    Client, ClientError, ClientObserver, ClientOptions, ClientState, Server, ServerObserver,
    ServerOptions,
};
use syncline::replica::Replica;
use syncline::store::{
    DocumentStore, DocumentStoreOptions, MemoryStore, OpenOptions, Store, StoreError,
};
use syncline::sync::crdt_sync::ServerEvent;

#[test]
fn clients_converge_and_know_that_their_edits_are_safe() {
    let (server, address) = serve(ServerOptions::default(), None);
    let (a, b) = (document(ROOM), document(ROOM));
    let (client_a, client_b) = (join(address, &a), join(address, &b));
    for step in 0..40 {
        insert(&a, step, "a");
        insert(&b, step / 2, "b");
    }
    client_a.wait_acknowledged(LONG).unwrap();
    client_b.wait_acknowledged(LONG).unwrap();
    eventually("both are equal", || {
        content(&a) == content(&b) && content(&a).len() == 80
    });
    client_a.wait_synced(LONG).unwrap();
    let progress = client_a.progress().unwrap();
    assert!(
        progress.pending_changes == 0 && progress.synced,
        "{progress:?}"
    );
    let at_server = server.document(ROOM, false).unwrap();
    assert_eq!(content(&at_server), content(&a));
    let seen = a.read(|a| a.version_vector()).unwrap();
    let own = |vector: &syncline::clock::VersionVector| vector.get(&a.peer_id());
    assert_eq!(own(&client_a.acknowledged_vector()), own(&seen));
    // A third one comes late.
    let c = document(ROOM);
    let _client_c = join(address, &c);
    eventually("the third catches up", || content(&c) == content(&a));
    let stats = server.stats();
    assert_eq!(
        (stats.connections, stats.rooms_open, stats.changes_applied),
        (3, 1, 80)
    );
    assert!(
        stats.messages_in >= 3 && stats.bytes_in > 0 && stats.bytes_out > 0,
        "{stats:?}"
    );
    assert_eq!(server.rooms()[0].sessions, 3);
    assert_eq!(server.clients(Some(ROOM)).len(), 3);
    drop(client_b);
    eventually("the server notices", || server.clients(None).len() == 2);
}

#[test]
fn edits_survive_a_restart_of_the_server_and_time_offline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents");
    let (server, address) = serve(ServerOptions::default(), Some(sqlite(&path)));
    let (a, b) = (document(ROOM), document(ROOM));
    let (client_a, client_b) = (join(address, &a), join(address, &b));
    insert(&a, 0, "online ");
    client_a.wait_acknowledged(LONG).unwrap();
    server.stop(LONG).unwrap();
    drop(server);
    eventually("the loss is noticed", || {
        client_a.status() != syncline::sync::crdt_sync::ClientStatus::Connected
    });
    insert(&a, 1000, "a offline ");
    insert(&b, 1000, "b offline ");
    assert_eq!(
        client_a.wait_acknowledged(Duration::from_millis(1)),
        Err(ClientError::Timeout)
    );
    assert!(client_a.progress().unwrap().pending_changes > 0);

    let options = ServerOptions {
        port: address.port(),
        ..ServerOptions::default()
    };
    let (server, _) = serve(options, Some(sqlite(&path)));
    client_a.wait_acknowledged(LONG).unwrap();
    client_b.wait_acknowledged(LONG).unwrap();
    let everything = |text: &str| {
        ["online ", "a offline ", "b offline "]
            .iter()
            .all(|part| text.contains(part))
    };
    eventually("both have all", || {
        content(&a) == content(&b) && everything(&content(&a))
    });
    drop((client_a, client_b));
    server.stop(LONG).unwrap();
    drop(server);
    let store = sqlite(&path);
    let stored = store.open(ROOM, &OpenOptions::default()).unwrap();
    assert_eq!(content(stored.document()), content(&a));
}

#[test]
fn compressed_and_plain_clients_share_a_room() {
    let (_server, address) = serve(ServerOptions::default(), None);
    let (a, b) = (document(ROOM), document(ROOM));
    let zipped = join_with(
        ClientOptions {
            gzip: true,
            ..client_options(address)
        },
        &a,
    );
    let plain = join(address, &b);
    insert(&a, 0, &"compressible ".repeat(1000));
    insert(&b, 0, "plain ");
    zipped.wait_acknowledged(LONG).unwrap();
    plain.wait_acknowledged(LONG).unwrap();
    eventually("both are equal", || {
        content(&a) == content(&b) && content(&a).len() == 13_006
    });
}

#[test]
fn the_application_edits_the_live_document() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents");
    let (server, address) = serve(ServerOptions::default(), Some(sqlite(&path)));
    assert_eq!(
        server.document(ROOM, false).err(),
        Some(StoreError::NotFound)
    );
    assert_eq!(server.has_room(ROOM), Ok(false));
    let live = server.document(ROOM, true).unwrap();
    assert_eq!(server.has_room(ROOM), Ok(true));
    insert(&live, 0, "before ");
    let a = document(ROOM);
    let client = join(address, &a);
    eventually("the client has it", || content(&a) == "before ");
    insert(&live, 7, "while ");
    eventually("it is sent on", || content(&a) == "before while ");
    insert(&a, 13, "after");
    client.wait_acknowledged(LONG).unwrap();
    assert_eq!(content(&live), "before while after");
    assert!(matches!(
        server.remove_room(ROOM),
        Err(StoreError::InUse { .. })
    ));
    drop((client, live));
    server.stop(LONG).unwrap();
    drop(server);
    let store = sqlite(&path);
    let stored = store.open(ROOM, &OpenOptions::default()).unwrap();
    assert_eq!(content(stored.document()), "before while after");
}

#[test]
fn empty_rooms_are_unloaded_and_come_back() {
    #[derive(Default)]
    struct Witness(Mutex<Vec<String>>);
    impl ServerObserver for Witness {
        fn room_opened(&self, room: &str) {
            self.0.lock().push(format!("opened {room}"));
        }
        fn room_closed(&self, room: &str) {
            self.0.lock().push(format!("closed {room}"));
        }
        fn event(&self, event: &ServerEvent) {
            if let ServerEvent::ClientDisconnected { .. } = event {
                self.0.lock().push("left".to_owned());
            }
        }
    }
    let options = ServerOptions {
        room_idle_ms: 1,
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let witness = Arc::new(Witness::default());
    server.add_observer(witness.clone());
    let a = document(ROOM);
    let client = join(address, &a);
    insert(&a, 0, "kept");
    client.wait_acknowledged(LONG).unwrap();
    drop(client);
    eventually("unloaded", || server.rooms().is_empty());
    let told = witness.0.lock().clone();
    assert_eq!(told, ["opened room", "left", "closed room"]);
    let b = document(ROOM);
    let _client = join(address, &b);
    eventually("loaded again", || content(&b) == "kept");
    assert_eq!(server.has_room(ROOM), Ok(true));
}

#[test]
fn clients_are_disconnected_by_name_and_come_back() {
    let (server, address) = serve(ServerOptions::default(), None);
    let a = document(ROOM);
    let client = join(address, &a);
    let session = client.state().session_id.unwrap();
    assert!(!server.disconnect_client("nobody", 4000, ""));
    assert!(server.disconnect_client(&session, 4000, "on purpose"));
    eventually("a new session", || {
        let state = client.state();
        state.session_id.is_some_and(|id| id != session)
            && state.status == syncline::sync::crdt_sync::ClientStatus::Connected
    });
}

/// A store whose commits wait for permission, and that counts loads.
struct Gate {
    store: Arc<Rigged>,
    open: Arc<(Mutex<bool>, parking_lot::Condvar)>,
}

impl Gate {
    fn new() -> Arc<Self> {
        let store = Rigged::new(MemoryStore::new());
        let open = Arc::new((Mutex::new(true), parking_lot::Condvar::new()));
        let gate = open.clone();
        store.before_commit(move |_, _| {
            let mut open = gate.0.lock();
            while !*open {
                gate.1.wait(&mut open);
            }
            None
        });
        Arc::new(Gate { store, open })
    }

    fn set(&self, open: bool) {
        *self.open.0.lock() = open;
        self.open.1.notify_all();
    }
}

struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn nothing_is_acknowledged_or_sent_on_before_it_is_stored() {
    let gate = Gate::new();
    let store = DocumentStore::new(gate.store.clone(), DocumentStoreOptions::default());
    let (server, address) = serve(ServerOptions::default(), Some(Arc::new(store)));
    let (a, b) = (document(ROOM), document(ROOM));
    let (client_a, _client_b) = (join(address, &a), join(address, &b));
    insert(&a, 0, "stored ");
    client_a.wait_acknowledged(LONG).unwrap();
    eventually("sent on", || content(&b) == "stored ");
    let live = server.document(ROOM, false).unwrap();
    // A failing test must not wait for the store for ever.
    let _opener = Opener(gate.clone());
    gate.set(false);
    insert(&a, 7, "waits");
    eventually("the server has it", || content(&live) == "stored waits");
    assert_eq!(
        client_a.wait_acknowledged(Duration::from_millis(300)),
        Err(ClientError::Timeout)
    );
    assert_eq!(
        content(&b),
        "stored ",
        "others must not have what the disk has not"
    );
    assert_eq!(
        gate.store.inner.load(ROOM).unwrap().unwrap().records.len(),
        1
    );
    gate.set(true);
    client_a.wait_acknowledged(LONG).unwrap();
    eventually("sent on", || content(&b) == "stored waits");
}

#[test]
fn many_first_joins_load_a_room_once() {
    let gate = Gate::new();
    let store = Arc::new(DocumentStore::new(
        gate.store.clone(),
        DocumentStoreOptions::default(),
    ));
    let seed = store.open(ROOM, &OpenOptions::default()).unwrap();
    insert(seed.document(), 0, "there");
    seed.flush(LONG).unwrap();
    drop(seed);
    eventually("let go", || store.live(ROOM).is_none());
    let loads = gate.store.loads.load(Ordering::SeqCst);
    let (server, address) = serve(ServerOptions::default(), Some(store));
    let documents: Vec<_> = (0..30).map(|_| document(ROOM)).collect();
    let clients: Vec<_> = documents
        .iter()
        .map(|document| {
            let client = Client::new(client_options(address)).unwrap();
            client.attach(document.clone()).unwrap();
            client.connect().unwrap();
            client
        })
        .collect();
    for (client, document) in clients.iter().zip(&documents) {
        client.wait_synced(LONG).unwrap();
        assert_eq!(content(document), "there");
    }
    assert_eq!(gate.store.loads.load(Ordering::SeqCst) - loads, 1);
    assert_eq!(server.clients(Some(ROOM)).len(), 30);
}

#[test]
fn a_client_sleeps_and_wakes() {
    let (server, address) = serve(ServerOptions::default(), None);
    let a = document(ROOM);
    let client = join(address, &a);
    client.suspend(LONG).unwrap();
    assert!(client.state().suspended);
    eventually("the server notices", || server.clients(None).is_empty());
    insert(&a, 0, "asleep");
    assert_eq!(client.wait_acknowledged(LONG), Err(ClientError::Offline));
    client.resume().unwrap();
    client.wait_acknowledged(LONG).unwrap();
    assert!(!client.state().suspended);
    client.disconnect().unwrap();
    assert_eq!(client.wait_connected(LONG), Err(ClientError::Offline));
    client.resume().unwrap();
    assert_eq!(
        client.wait_connected(LONG),
        Err(ClientError::Offline),
        "not suspended, so it stays"
    );
    client.detach().unwrap();
    assert_eq!(client.connect(), Err(ClientError::NotAttached));
}

#[test]
fn a_client_reports_what_it_cannot_do() {
    for url in ["http://host", "wss://", "ws://", "nonsense", ""] {
        assert!(
            matches!(
                Client::new(ClientOptions::new(url)).err(),
                Some(ClientError::Url(_))
            ),
            "{url}"
        );
    }
    #[derive(Default)]
    struct Witness(Mutex<Vec<ClientState>>);
    impl ClientObserver for Witness {
        fn status(&self, state: &ClientState) {
            self.0.lock().push(state.clone());
        }
    }
    // Nobody listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let options = ClientOptions {
        reconnect_attempts_max: Some(2),
        ..client_options(address)
    };
    let client = Client::new(options).unwrap();
    assert_eq!(client.connect(), Err(ClientError::NotAttached));
    let witness = Arc::new(Witness::default());
    client.add_observer(witness.clone());
    client.attach(document(ROOM)).unwrap();
    assert_eq!(
        client.attach(document(ROOM)),
        Err(ClientError::AlreadyAttached)
    );
    client.connect().unwrap();
    assert_eq!(client.wait_connected(LONG), Err(ClientError::Offline));
    let state = client.state();
    assert!(
        state.attempt >= 2 && state.last_error.is_some(),
        "{state:?}"
    );
    eventually("observers were told", || !witness.0.lock().is_empty());
}

#[test]
fn a_server_starts_once_and_again_after_a_stop() {
    let server = Server::new(ServerOptions::default(), None);
    let first = server.start().unwrap();
    assert!(server.start().is_err());
    assert_eq!(server.address(), Some(first));
    let options = ServerOptions {
        port: first.port(),
        ..ServerOptions::default()
    };
    assert!(
        Server::new(options, None).start().is_err(),
        "the address is taken"
    );
    let a = document(ROOM);
    let client = join(first, &a);
    insert(&a, 0, "kept in memory");
    client.wait_acknowledged(LONG).unwrap();
    let mut socket = raw(first);
    let stopper = std::thread::spawn(move || {
        server.stop(LONG).unwrap();
        server
    });
    assert_eq!(close_code(&mut socket), 1001);
    drop(socket);
    let server = stopper.join().unwrap();
    assert!(!server.is_running() && server.address().is_none());
    let second = server.start().unwrap();
    let b = document(ROOM);
    let _client = join(second, &b);
    eventually("the document is still there", || {
        content(&b) == "kept in memory"
    });
}

#[test]
fn random_typing_with_broken_connections_converges() {
    let seed = 0xc0ffee_u64;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let (server, address) = serve(ServerOptions::default(), None);
    let documents: Vec<_> = (0..4).map(|_| document(ROOM)).collect();
    let clients: Vec<_> = documents
        .iter()
        .map(|document| join(address, document))
        .collect();
    for _ in 0..400 {
        let who = random.below(4) as usize;
        insert(&documents[who], random.below(500), "abc");
        match random.below(40) {
            0 => {
                let victims = server.clients(None);
                if let Some(victim) = victims.get(random.below(4) as usize) {
                    server.disconnect_client(&victim.id, 4000, "test");
                }
            }
            1 => clients[who].suspend(LONG).unwrap(),
            2 => clients.iter().for_each(|client| client.resume().unwrap()),
            _ => {}
        }
    }
    for client in &clients {
        client.connect().unwrap();
        client.wait_acknowledged(LONG).unwrap();
    }
    eventually("all are equal", || {
        let first = content(&documents[0]);
        first.len() == 1200 && documents.iter().all(|document| content(document) == first)
    });
    assert_eq!(
        content(&server.document(ROOM, false).unwrap()),
        content(&documents[0])
    );
}
