//! What a browser or a monitor gets: `/`, `/status.json`, `/healthz` and `/metrics`.
//!
//! Layer: `net`. Read-only. With an administrator's token nobody sees any of it without the token:
//! as password of HTTP's own question, as bearer token, or as parameter `token`.

use super::http::{self, RequestHead};
use super::metrics;
use super::server_shared::ServerShared;
use super::tokens::same;
use crate::codec::{Value, Wtf8String, json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::atomic::Ordering;

/// Rooms and clients that the status lists, those with most to tell first.
const ROWS_MAX: usize = 200;
const PAGE: &str = include_str!("status.html");

/// The answer to a request.
pub(super) fn respond(server: &ServerShared, head: &RequestHead) -> Result<Vec<u8>, Missing> {
    if !matches!(
        head.path.as_str(),
        "/" | "/status.json" | "/healthz" | "/metrics"
    ) {
        return Err(Missing::Page);
    }
    if let Some(wanted) = &server.options.admin_token {
        if !shown(head).is_some_and(|token| same(token.as_bytes(), wanted.as_bytes())) {
            return Err(Missing::Token);
        }
    }
    Ok(match head.path.as_str() {
        "/healthz" => health(server),
        "/metrics" => {
            let text = metrics::prometheus(server);
            http::response(200, "OK", "text/plain; version=0.0.4; charset=utf-8", &text)
        }
        "/status.json" => http::response(200, "OK", "application/json", &status(server)),
        _ => http::response(200, "OK", "text/html; charset=utf-8", PAGE),
    })
}

/// Why there is no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing is there.
    Page,
    /// It is for the administrator.
    Token,
}

impl Missing {
    pub fn response(&self) -> Vec<u8> {
        match self {
            Missing::Page => http::response(404, "Not Found", "text/plain", "not here\n"),
            Missing::Token => b"HTTP/1.1 401 Unauthorized\r\n\
                www-authenticate: Basic realm=\"syncline\"\r\n\
                content-length: 0\r\nconnection: close\r\n\r\n"
                .to_vec(),
        }
    }
}

/// The administrator's token as the request shows it.
fn shown(head: &RequestHead) -> Option<String> {
    let basic = head.header("authorization").and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        let credentials = STANDARD.decode(credentials.trim()).ok()?;
        let credentials = String::from_utf8(credentials).ok()?;
        let (_, password) = credentials.split_once(':')?;
        scheme
            .eq_ignore_ascii_case("basic")
            .then(|| password.to_owned())
    });
    basic.or_else(|| head.token())
}

/// `ready`, or why not, with 503.
fn health(server: &ServerShared) -> Vec<u8> {
    match state(server) {
        "ready" => http::response(200, "OK", "text/plain", "ready\n"),
        state => {
            let body = format!("{state}\n");
            http::response(503, "Service Unavailable", "text/plain", &body)
        }
    }
}

fn state(server: &ServerShared) -> &'static str {
    if server.is_draining() {
        "draining"
    } else if server.counters.store.is_failing() {
        "not durable"
    } else {
        "ready"
    }
}

fn object(members: Vec<(&str, Value)>) -> Value {
    let members = members.into_iter();
    Value::Object(
        members
            .map(|(key, value)| (Wtf8String::from(key), value))
            .collect(),
    )
}

fn int(value: impl TryInto<i64>) -> Value {
    Value::Int(value.try_into().unwrap_or(i64::MAX))
}

fn text(value: &str) -> Value {
    Value::String(value.into())
}

fn optional(value: Option<f64>) -> Value {
    value.map_or(Value::Null, Value::Double)
}

fn status(server: &ServerShared) -> String {
    let counters = &server.counters;
    let total = |counter: &std::sync::atomic::AtomicU64| int(counter.load(Ordering::Relaxed));
    let backlog = server.backlog();
    let (rooms, clients) = (rooms(server), clients(server));
    let status = object(vec![
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("state", text(state(server))),
        ("uptimeMs", int(server.uptime_ms())),
        ("connections", int(clients.0)),
        ("rooms", int(rooms.0)),
        ("connectionsTotal", total(&counters.connections_total)),
        ("messagesIn", total(&counters.messages_in)),
        ("messagesOut", total(&counters.messages_out)),
        ("bytesIn", total(&counters.bytes.read)),
        ("bytesOut", total(&counters.bytes.written)),
        ("changesApplied", total(&counters.changes_applied)),
        ("refused", int(counters.refusals.total())),
        ("storeErrors", total(&counters.store.failed)),
        ("compactions", total(&counters.store.compacted)),
        ("unsentBytes", int(backlog.unsent_bytes)),
        ("unsettledBytes", int(backlog.unsettled_bytes)),
        ("commitMedianMs", optional(counters.commit.quantile_ms(0.5))),
        ("commitSlowMs", optional(counters.commit.quantile_ms(0.99))),
        ("roomList", Value::Array(rooms.1)),
        ("clientList", Value::Array(clients.1)),
    ]);
    let mut out = Vec::new();
    json::encode(&status, &mut out).expect("texts and finite numbers are JSON");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// How many there are, and a row for each of those with most sessions.
fn rooms(server: &ServerShared) -> (usize, Vec<Value>) {
    let mut rooms: Vec<_> = server
        .rooms
        .all()
        .into_iter()
        .map(|room| (room.sessions().len(), room))
        .collect();
    rooms.sort_by(|(a_len, a), (b_len, b)| {
        b_len
            .cmp(a_len)
            .then_with(|| a.document_id.cmp(&b.document_id))
    });
    let rows = rooms.iter().take(ROWS_MAX).map(|(sessions, room)| {
        let stored = room.stored.stored_vector();
        let newest_ms = stored.iter().map(|(_, hlc)| hlc.ms()).max();
        object(vec![
            ("name", text(&room.document_id)),
            ("clients", int(*sessions)),
            ("authors", int(stored.len())),
            ("newestMs", newest_ms.map_or(Value::Null, int)),
            ("unstored", int(room.stored.unstored_changes())),
        ])
    });
    (rooms.len(), rows.collect())
}

/// How many there are, and a row for each of those for whom most waits.
fn clients(server: &ServerShared) -> (usize, Vec<Value>) {
    let mut clients: Vec<_> = server
        .sessions
        .read()
        .values()
        .map(|session| (session.outbox.unsent_bytes(), session.clone()))
        .collect();
    clients
        .sort_by(|(a_bytes, a), (b_bytes, b)| b_bytes.cmp(a_bytes).then_with(|| a.id.cmp(&b.id)));
    let rows = clients.iter().take(ROWS_MAX).map(|(unsent, session)| {
        let user = session.permissions.user();
        let dialect = session.dialect.get().map(|dialect| dialect.name());
        object(vec![
            ("id", text(session.id.as_str())),
            ("user", user.map_or(Value::Null, |user| text(&user))),
            ("address", text(&session.address.to_string())),
            ("dialect", dialect.map_or(Value::Null, text)),
            ("rooms", int(session.permissions.len())),
            ("unsent", int(*unsent)),
        ])
    });
    (clients.len(), rows.collect())
}
