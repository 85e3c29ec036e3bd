//! Who may join, read and write; permissions that change, end and are refused while connected.

mod loopback;

use loopback::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use syncline::net::{
    Access, Authorizer, Authorizing, Client, ClientOptions, Dialect, Grant, JoinRequest, Server,
    ServerOptions,
};
use syncline::sync::crdt_sync::ClientStatus;

/// The token is `user:access`, and every user may join every room but `secret`.
#[derive(Default)]
struct Names {
    /// Of permissions, in milliseconds since 1970; 0: none.
    expires_ms: AtomicI64,
}

impl Authorizer for Names {
    fn authorize(&self, request: JoinRequest) -> Authorizing<'_> {
        assert_eq!(request.dialect, Dialect::CrdtSync);
        assert_eq!(request.head.path, "/any/path");
        assert!(request.address.ip().is_loopback());
        Box::pin(async move {
            // As one that asks somebody else would.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let token = request.token.ok_or("no token")?;
            let (user, access) = token.split_once(':').ok_or("a broken token")?;
            let access = match access {
                "write" => Access::Write,
                "read" => Access::Read,
                "never" => std::future::pending().await,
                _ => Access::Deny,
            };
            if &*request.room == "secret" {
                return Ok(Grant::deny("nobody may"));
            }
            let mut grant = Grant::user(user, access);
            let expires_ms = self.expires_ms.load(Ordering::SeqCst);
            grant.expires_ms = (expires_ms > 0).then_some(expires_ms);
            Ok(grant)
        })
    }
}

fn guarded(options: ServerOptions) -> (Server, std::net::SocketAddr, Arc<Names>) {
    let (server, address) = serve(options, None);
    let names = Arc::new(Names::default());
    server.set_authorizer(Some(names.clone()));
    (server, address, names)
}

fn as_user(address: std::net::SocketAddr, token: &str) -> ClientOptions {
    ClientOptions {
        url: format!("ws://{address}/any/path?token={token}"),
        ..client_options(address)
    }
}

fn refused(address: std::net::SocketAddr, token: &str, room: &str) {
    let options = ClientOptions {
        reconnect_attempts_max: Some(0),
        ..as_user(address, token)
    };
    let client = Client::new(options).unwrap();
    client.attach(document(room)).unwrap();
    client.connect().unwrap();
    assert!(client.wait_connected(LONG).is_err(), "{token} {room}");
}

#[test]
fn a_reader_follows_and_its_edits_reach_nobody() {
    let (server, address, _) = guarded(ServerOptions::default());
    let (a, b) = (document(ROOM), document(ROOM));
    let writer = join_with(as_user(address, "anna:write"), &a);
    let _reader = join_with(as_user(address, "ben:read"), &b);
    insert(&a, 0, "one ");
    writer.wait_acknowledged(LONG).unwrap();
    eventually("the reader sees it", || content(&b) == "one ");
    insert(&b, 0, "forged ");
    insert(&a, 4, "two");
    writer.wait_acknowledged(LONG).unwrap();
    eventually("the reader is still in the room", || {
        content(&b).ends_with("one two")
    });
    assert_eq!(content(&server.document(ROOM, false).unwrap()), "one two");
    assert_eq!(content(&a), "one two");
    let mut users: Vec<_> = server
        .clients(Some(ROOM))
        .into_iter()
        .filter_map(|client| client.user)
        .collect();
    users.sort();
    assert_eq!(users, ["anna", "ben"]);
}

#[test]
fn joins_are_refused_and_leave_nothing_behind() {
    let options = ServerOptions {
        authorize_timeout_ms: 50,
        ..ServerOptions::default()
    };
    let (server, address, _) = guarded(options);
    refused(address, "anna:none", ROOM);
    refused(address, "anna:write", "secret");
    refused(address, "anna:never", ROOM);
    refused(address, "broken", ROOM);
    assert!(server.stats().refused >= 4);
    // A reader does not make a document.
    refused(address, "ben:read", ROOM);
    assert!(!server.has_room(ROOM).unwrap() && server.rooms().is_empty());
}

#[test]
fn what_is_revoked_counts_at_once() {
    let (server, address, _) = guarded(ServerOptions::default());
    let a = document(ROOM);
    let writer = join_with(as_user(address, "anna:write"), &a);
    insert(&a, 0, "before");
    writer.wait_acknowledged(LONG).unwrap();
    assert_eq!(server.set_access("anna", None, Access::Read, ""), 1);
    insert(&a, 0, "after ");
    assert!(
        writer
            .wait_acknowledged(Duration::from_millis(300))
            .is_err()
    );
    assert_eq!(content(&server.document(ROOM, false).unwrap()), "before");
    assert_eq!(server.set_access("ben", Some(ROOM), Access::Write, ""), 0);
    assert_eq!(
        server.set_access("anna", Some("other"), Access::Write, ""),
        0
    );
    assert_eq!(server.set_access("anna", Some(ROOM), Access::Write, ""), 1);
    writer.request_sync().unwrap();
    writer.wait_acknowledged(LONG).unwrap();
    assert_eq!(
        content(&server.document(ROOM, false).unwrap()),
        "after before"
    );
}

#[test]
fn who_is_evicted_has_to_leave_and_may_be_kept_out() {
    let (server, address, _) = guarded(ServerOptions::default());
    let mut socket = raw_at(&format!("ws://{address}/any/path?token=anna:read"));
    let a = document(ROOM);
    let _writer = join_with(as_user(address, "ben:write"), &a);
    send(&mut socket, &handshake(ROOM));
    eventually("both are in", || server.clients(Some(ROOM)).len() == 2);
    assert_eq!(server.evict(Some("anna"), Some(ROOM), "enough"), 1);
    assert_eq!(close_code(&mut socket), 4403);
    eventually("one is left", || server.clients(Some(ROOM)).len() == 1);
    assert_eq!(server.evict(None, Some(ROOM), "closed for today"), 1);
}

#[test]
fn a_permission_ends_by_the_servers_clock() {
    let (server, address, names) = guarded(ServerOptions::default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expires_ms = now.as_millis() as i64 + 300;
    names.expires_ms.store(expires_ms, Ordering::SeqCst);
    let a = document(ROOM);
    let client = join_with(as_user(address, "anna:write"), &a);
    let session = client.state().session_id;
    insert(&a, 0, "text");
    names.expires_ms.store(0, Ordering::SeqCst);
    eventually("it has another session, without an end", || {
        let state = client.state();
        state.status == ClientStatus::Connected && state.session_id != session
    });
    client.wait_acknowledged(LONG).unwrap();
    assert_eq!(content(&server.document(ROOM, false).unwrap()), "text");
}

#[test]
fn a_subprotocol_or_mode_that_is_not_served_is_refused() {
    let options = ServerOptions {
        dialects: vec![],
        ..ServerOptions::default()
    };
    let (server, address) = serve(options, None);
    let mut socket = raw(address);
    send(&mut socket, &handshake(ROOM));
    assert_eq!(close_code(&mut socket), 1003);
    assert_eq!(server.stats().refused, 1);
}
