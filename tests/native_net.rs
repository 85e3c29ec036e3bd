//! The native dialect over real sockets: clients, server, store.
#![cfg(all(feature = "client", feature = "server", feature = "sqlite"))]

mod loopback;

use loopback::{LONG, ROOM, content, document, eventually, insert, join, serve, sqlite};
use std::net::SocketAddr;
use std::sync::Arc;
use syncline::document::SharedDocument;
use syncline::net::{AttachOptions, NativeClient, NativeClientOptions, ServerOptions};
use syncline::sync::native::{Code, DocumentKey, DocumentPhase};

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

#[test]
fn one_connection_carries_many_documents_through_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.db");
    let (server, address) = serve(ServerOptions::default(), Some(sqlite(&path)));
    let documents: Vec<_> = (0..20).map(|at| document(&format!("doc {at}"))).collect();
    let client = NativeClient::new(options(address)).unwrap();
    let attach = |document| client.attach(document, AttachOptions::default()).unwrap();
    let keys: Vec<_> = documents.iter().cloned().map(attach).collect();
    client.connect().unwrap();
    for (document, key) in documents.iter().zip(&keys) {
        insert(document, 0, "first ");
        client.wait_acknowledged(*key, LONG).unwrap();
    }
    assert_eq!(server.stats().connections, 1);
    assert_eq!(server.rooms().len(), 20);
    drop(server);
    insert(&documents[3], 0, "meanwhile ");
    let options = ServerOptions {
        port: address.port(),
        ..ServerOptions::default()
    };
    let (server, _) = serve(options, Some(sqlite(&path)));
    client.network_changed();
    client.wait_acknowledged(keys[3], LONG).unwrap();
    let stored = server.document("doc 3", false).unwrap();
    assert_eq!(content(&stored), "meanwhile first ");
    drop(client);
    drop(server);
}

#[test]
fn what_the_server_has_is_known_before_connecting() {
    let (server, address) = serve(ServerOptions::default(), None);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.db");
    let open = |store: &syncline::store::DocumentStore| {
        store
            .open(ROOM, &syncline::store::OpenOptions::default())
            .unwrap()
    };
    let epoch = {
        let store = sqlite(&path);
        let stored = open(&store);
        let client = NativeClient::new(options(address)).unwrap();
        let key = client
            .attach_stored(&stored, AttachOptions::default())
            .unwrap();
        client.connect().unwrap();
        insert(stored.document(), 0, "safe");
        client.wait_acknowledged(key, LONG).unwrap();
        client.suspend(LONG).unwrap();
        insert(stored.document(), 0, "not ");
        assert_eq!(client.progress(key).unwrap().pending, 1);
        client.epoch(key).unwrap()
    };
    let store = sqlite(&path);
    let stored = open(&store);
    let client = NativeClient::new(options(address)).unwrap();
    let key = client
        .attach_stored(&stored, AttachOptions::default())
        .unwrap();
    assert_eq!(
        client.progress(key).unwrap().pending,
        1,
        "before connecting"
    );
    assert_eq!(client.epoch(key), Some(epoch));
    client.connect().unwrap();
    client.wait_synced(key, LONG).unwrap();
    assert_eq!(content(&server.document(ROOM, false).unwrap()), "not safe");
    drop((client, stored, store));
    drop(server);
}

#[test]
fn rights_come_and_go_while_connected() {
    use syncline::net::{Access, Authorizer, Authorizing, Grant, JoinRequest};
    struct ByToken;
    impl Authorizer for ByToken {
        fn authorize(&self, request: JoinRequest) -> Authorizing<'_> {
            let access = match request.token.as_deref() {
                Some("write") => Access::Write,
                Some("read") => Access::Read,
                _ => Access::Deny,
            };
            Box::pin(async move { Ok(Grant::new(access)) })
        }
    }
    let (server, address) = serve(ServerOptions::default(), None);
    server.set_authorizer(Some(Arc::new(ByToken)));
    drop(server.document(ROOM, true).unwrap());
    let mine = document(ROOM);
    insert(&mine, 0, "mine");
    let client = NativeClient::new(options(address)).unwrap();
    let key = client
        .attach(mine.clone(), AttachOptions::default())
        .unwrap();
    client.connect().unwrap();
    let phase = |phase: DocumentPhase| {
        eventually("the phase", || client.document_phase(key) == Some(phase));
    };
    phase(DocumentPhase::Stopped(Code::Forbidden));
    client.set_token(key, b"write".to_vec());
    client.wait_acknowledged(key, LONG).unwrap();
    client.set_token(key, b"read".to_vec());
    eventually("the edit is refused or kept", || {
        insert(&mine, 0, "x");
        std::thread::sleep(std::time::Duration::from_millis(20));
        client.progress(key).unwrap().pending > 0
            && client.document_phase(key) != Some(DocumentPhase::Joining)
    });
    client.set_token(key, b"write".to_vec());
    client.wait_acknowledged(key, LONG).unwrap();
    let text = content(&mine);
    assert_eq!(content(&server.document(ROOM, false).unwrap()), text);
    drop(client);
    drop(server);
}

/// A second channel of a document is refused; that it ends must not hide the first from whoever
/// revokes.
#[test]
fn a_second_channel_of_a_document_does_not_outlive_a_revocation() {
    use loopback::RawSocket;
    use syncline::net::Access;
    use syncline::sync::native::{Hello, Join, Limits, Message, frame};
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

    fn send(socket: &mut RawSocket, message: &Message) {
        let bytes = frame::encode(message);
        socket
            .send(tokio_tungstenite::tungstenite::Message::binary(bytes))
            .unwrap();
    }

    fn until(socket: &mut RawSocket, wanted: impl Fn(&Message) -> bool) {
        loop {
            let tokio_tungstenite::tungstenite::Message::Binary(bytes) = socket.read().unwrap()
            else {
                continue;
            };
            if wanted(&frame::decode(&bytes, &Limits::default()).unwrap()) {
                return;
            }
        }
    }

    let (server, address) = serve(ServerOptions::default(), None);
    let request = format!("ws://{address}/").into_client_request();
    let mut request = request.unwrap();
    let protocol = "syncline.v1".parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = tokio_tungstenite::tungstenite::connect(request).unwrap();
    if let tokio_tungstenite::tungstenite::stream::MaybeTlsStream::Plain(stream) = socket.get_ref()
    {
        stream.set_read_timeout(Some(LONG)).unwrap();
    }
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        features: 0,
        frame_bytes_max: 1 << 20,
        message_bytes_max: 1 << 20,
        agent: String::new(),
    };
    send(&mut socket, &Message::Hello(hello));
    let join = Join {
        document_id: ROOM.to_owned(),
        token: Vec::new(),
        peer: document(ROOM).peer_id(),
        write: true,
        epoch: None,
        vector: Default::default(),
        resume: None,
    };
    send(&mut socket, &Message::Join(1, join.clone()));
    until(&mut socket, |message| {
        matches!(message, Message::Joined(1, _))
    });
    send(&mut socket, &Message::Join(2, join));
    until(&mut socket, |message| {
        matches!(
            message,
            Message::Refused {
                channel: 2,
                code: Code::AlreadyJoined,
                ..
            }
        )
    });
    send(&mut socket, &Message::Leave(2));
    until(&mut socket, |message| matches!(message, Message::Left(2)));
    assert_eq!(server.clients(Some(ROOM)).len(), 1);
    assert_eq!(server.evict(None, Some(ROOM), "enough"), 1);
    until(&mut socket, |message| {
        matches!(
            message,
            Message::Refused {
                channel: 1,
                code: Code::Forbidden,
                ..
            }
        )
    });
    assert_eq!(server.set_access("anybody", None, Access::Read, ""), 0);
    drop(socket);
    drop(server);
}
