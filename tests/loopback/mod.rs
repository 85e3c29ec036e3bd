//! What the network tests share: servers, clients and raw sockets on loopback.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use syncline::document::{Document, DocumentOptions, HandlerKind, HandlerSpec, SharedDocument};
use syncline::net::{Client, ClientOptions, Server, ServerOptions};
use syncline::store::{DocumentStore, DocumentStoreOptions, SqliteOptions, SqliteStore};
use syncline::sync::crdt_sync::{Message as Frame, frame};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket, stream::MaybeTlsStream};

pub const LONG: Duration = Duration::from_secs(30);
pub const ROOM: &str = "room";

pub fn document(name: &str) -> Arc<SharedDocument> {
    let options = DocumentOptions {
        document_id: name.to_owned(),
        ..DocumentOptions::default()
    };
    SharedDocument::new(Document::new(options), LONG)
}

pub fn insert(document: &SharedDocument, index: u64, string: &str) {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let done = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        let index = index.min(document.text_len_utf16(text));
        document.text_insert(text, index, string)
    });
    done.unwrap().unwrap();
}

pub fn content(document: &SharedDocument) -> String {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let content = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        document.text_string(text)
    });
    content.unwrap()
}

/// Polls with a deadline: nothing here depends on how long anything takes.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn serve(options: ServerOptions, store: Option<Arc<DocumentStore>>) -> (Server, SocketAddr) {
    let server = Server::new(options, store);
    let deadline = Instant::now() + LONG;
    loop {
        match server.start() {
            Ok(address) => return (server, address),
            // A port that was free a moment ago may serve as the other end of somebody's connection.
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("the server does not start: {error}"),
        }
    }
}

pub fn client_options(address: SocketAddr) -> ClientOptions {
    ClientOptions {
        reconnect_delay_ms_min: 5,
        reconnect_delay_ms_max: 50,
        acknowledgement_delay_ms: 5,
        ..ClientOptions::new(format!("ws://{address}/any/path?and=query"))
    }
}

pub fn join_with(options: ClientOptions, document: &Arc<SharedDocument>) -> Client {
    let client = Client::new(options).unwrap();
    client.attach(document.clone()).unwrap();
    client.connect().unwrap();
    client.wait_connected(LONG).unwrap();
    client
}

pub fn join(address: SocketAddr, document: &Arc<SharedDocument>) -> Client {
    join_with(client_options(address), document)
}

pub fn sqlite(path: &Path) -> Arc<DocumentStore> {
    let backend = SqliteStore::open(path, &SqliteOptions::default()).unwrap();
    Arc::new(DocumentStore::new(
        Arc::new(backend),
        DocumentStoreOptions::default(),
    ))
}

pub type RawSocket = WebSocket<MaybeTlsStream<TcpStream>>;

pub fn raw(address: SocketAddr) -> RawSocket {
    raw_at(&format!("ws://{address}/"))
}

pub fn raw_at(url: &str) -> RawSocket {
    let (socket, _) = tungstenite::connect(url).unwrap();
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
    }
    socket
}

pub fn send(socket: &mut RawSocket, message: &Frame) {
    let bytes = frame::encode(message, Default::default());
    socket.send(Message::binary(bytes)).unwrap();
}

/// The code of the close frame that ends a socket.
pub fn close_code(socket: &mut RawSocket) -> u16 {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame.map_or(1005, |frame| frame.code.into()),
            Ok(_) => {}
            Err(error) => panic!("ended without a close frame: {error}"),
        }
    }
}

pub fn handshake(name: &str) -> Frame {
    let document = document(name);
    Frame::HandshakeRequest {
        document_id: name.into(),
        author: document.peer_id(),
        version_vector: Default::default(),
    }
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
