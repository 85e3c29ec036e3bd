//! The native dialect over real sockets: clients, server, store.
#![cfg(all(feature = "client", feature = "server", feature = "sqlite"))]

mod loopback;

use loopback::{LONG, ROOM, content, document, eventually, insert, join, serve, sqlite};
use std::net::SocketAddr;
use std::sync::Arc;
use syncline::document::SharedDocument;
use syncline::net::{AttachOptions, NativeClient, NativeClientOptions, ServerOptions};
use syncline::sync::native::{DocumentKey, DocumentPhase};

fn options(address: SocketAddr) -> NativeClientOptions {
    let mut options = NativeClientOptions::new(format!("ws://{address}/any/path"));
    options.protocol.reconnect_delay_first_ms = 5;
    options.protocol.reconnect_delay_max_ms = 50;
    options
}

fn native(address: SocketAddr, document: &Arc<SharedDocument>) -> (NativeClient, DocumentKey) {
    let client = NativeClient::new(options(address)).unwrap();
    let key = client
        .attach(document.clone(), AttachOptions::default())
        .unwrap();
    client.connect().unwrap();
    client.wait_connected(LONG).unwrap();
    (client, key)
}

#[test]
fn edits_reach_the_disk_and_the_others_in_both_dialects() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(&dir.path().join("server.db"));
    let (server, address) = serve(ServerOptions::default(), Some(store.clone()));
    let [one, two, three] = [document(ROOM), document(ROOM), document(ROOM)];
    insert(&one, 0, "offline ");
    let (client_one, key_one) = native(address, &one);
    let (client_two, key_two) = native(address, &two);
    client_one.wait_acknowledged(key_one, LONG).unwrap();
    let other = join(address, &three);
    insert(&one, 8, "one ");
    insert(&three, 0, "three ");
    client_one.wait_acknowledged(key_one, LONG).unwrap();
    other.wait_acknowledged(LONG).unwrap();
    insert(&two, 0, "two ");
    client_two.wait_acknowledged(key_two, LONG).unwrap();
    eventually("all are equal", || {
        let all = [content(&one), content(&two), content(&three)];
        all[0].len() == "offline one three two ".len() && all.iter().all(|text| *text == all[0])
    });
    client_one.wait_synced(key_one, LONG).unwrap();
    assert_eq!(client_one.progress(key_one).unwrap().pending, 0);
    // What was acknowledged is what a fresh server finds.
    let expected = content(&one);
    drop((client_one, client_two, other));
    drop(server);
    drop(store);
    let store = sqlite(&dir.path().join("server.db"));
    let (server, address) = serve(ServerOptions::default(), Some(store));
    let late = document(ROOM);
    let (client, key) = native(address, &late);
    client.wait_synced(key, LONG).unwrap();
    assert_eq!(content(&late), expected);
    assert_eq!(client.document_phase(key), Some(DocumentPhase::Live));
    drop(client);
    drop(server);
}
