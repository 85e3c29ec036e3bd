//! `wss://`: whom clients believe, certificates that change while the server runs, and peers that
//! speak something else.
#![cfg(feature = "tls")]

mod loopback;

use loopback::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use syncline::net::{
    Claims, Client, ClientOptions, ServerOptions, TlsIdentity, TlsRoots, TokenAuthorizer,
};

const SECRET: &[u8] = b"a secret of the test, long enough";

/// A certificate that signs itself, and its key.
fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn identity((certificate, key): &(String, String)) -> Arc<TlsIdentity> {
    TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

fn secure(address: SocketAddr, believed: &(String, String)) -> ClientOptions {
    ClientOptions {
        url: format!("wss://localhost:{}/", address.port()),
        tls_roots: Some(TlsRoots::from_pem(believed.0.as_bytes()).unwrap()),
        reconnect_attempts_max: Some(0),
        ..client_options(address)
    }
}

fn on_localhost(tls: Arc<TlsIdentity>) -> ServerOptions {
    ServerOptions {
        tls: Some(tls),
        handshake_timeout_ms: 2_000,
        ..ServerOptions::default()
    }
}

/// Why a client does not get in.
fn refused(options: ClientOptions) -> String {
    let client = Client::new(options).unwrap();
    client.attach(document(ROOM)).unwrap();
    client.connect().unwrap();
    assert!(client.wait_connected(LONG).is_err());
    client.state().last_error.unwrap()
}

#[test]
fn clients_share_a_room_behind_tls_and_tokens() {
    let known = certificate("localhost");
    let (server, address) = serve(on_localhost(identity(&known)), None);
    let tokens = TokenAuthorizer::new(vec![SECRET.to_vec()]).unwrap();
    server.set_authorizer(Some(Arc::new(tokens)));
    let claims = |user: &str| Claims {
        user: Some(user.to_owned()),
        write: vec!["ro*".to_owned()],
        ..Claims::default()
    };
    let in_header = ClientOptions {
        headers: vec![(
            "Authorization".to_owned(),
            format!("Bearer {}", claims("anna").sign(SECRET).unwrap()),
        )],
        ..secure(address, &known)
    };
    let mut in_query = secure(address, &known);
    in_query.url += &format!("?token={}", claims("ben").sign_jwt(SECRET).unwrap());
    let (a, b) = (document(ROOM), document(ROOM));
    let (first, _second) = (join_with(in_header, &a), join_with(in_query, &b));
    insert(&a, 0, "sealed");
    first.wait_acknowledged(LONG).unwrap();
    eventually("the other one has it", || content(&b) == "sealed");
    let why = refused(secure(address, &known));
    assert!(why.contains("HANDSHAKE_FAILED"), "{why}");
}

#[test]
fn only_who_is_believed_is_talked_to() {
    let (known, other) = (certificate("localhost"), certificate("elsewhere"));
    let (_server, address) = serve(on_localhost(identity(&known)), None);
    let unknown = certificate("localhost");
    let why = refused(secure(address, &unknown));
    assert!(why.contains("TLS"), "another one signed it: {why}");
    let (_server, address) = serve(on_localhost(identity(&other)), None);
    let why = refused(secure(address, &other));
    assert!(why.contains("TLS"), "it is for another name: {why}");
}

#[test]
fn a_certificate_is_replaced_while_clients_stay() {
    let (old, new) = (certificate("localhost"), certificate("localhost"));
    let identity = identity(&old);
    let (server, address) = serve(on_localhost(identity.clone()), None);
    let a = document(ROOM);
    let early = join_with(secure(address, &old), &a);
    assert!(
        identity
            .replace(new.0.as_bytes(), old.1.as_bytes())
            .is_err()
    );
    assert!(identity.replace(b"nothing", new.1.as_bytes()).is_err());
    identity
        .replace(new.0.as_bytes(), new.1.as_bytes())
        .unwrap();
    let late = join_with(secure(address, &new), &document(ROOM));
    assert!(refused(secure(address, &old)).contains("TLS"));
    insert(&a, 0, "both");
    early.wait_acknowledged(LONG).unwrap();
    late.wait_synced(LONG).unwrap();
    assert_eq!(server.clients(Some(ROOM)).len(), 2);
}

#[test]
fn who_does_not_speak_tls_is_refused() {
    let known = certificate("localhost");
    let (server, address) = serve(on_localhost(identity(&known)), None);
    let mut plain = TcpStream::connect(address).unwrap();
    plain.set_read_timeout(Some(LONG)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    // One that says nothing has no more time than with HTTP.
    let mut silent = TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    eventually("both are counted", || server.stats().refused == 2);
    let mut plain_options = secure(address, &known);
    plain_options.url = format!("ws://localhost:{}", address.port());
    refused(plain_options);
}
