//! What monitors and browsers get: health, metrics, status; and the page in a real browser.

mod loopback;

use loopback::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use syncline::net::ServerOptions;

fn get_with(address: SocketAddr, target: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn get(address: SocketAddr, target: &str) -> String {
    let (head, body) = get_with(address, target, "");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{target}: {head}");
    let len = format!("content-length: {}", body.len());
    assert!(head.lines().any(|line| line == len), "{head}");
    body
}

/// The value of one line of the metrics.
fn metric(text: &str, name: &str) -> f64 {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .parse()
        .unwrap()
}

#[test]
fn pages_tell_what_happens() {
    let (server, address) = serve(ServerOptions::default(), None);
    let a = document(ROOM);
    let client = join(address, &a);
    insert(&a, 0, "text");
    client.wait_acknowledged(LONG).unwrap();
    assert_eq!(get(address, "/healthz"), "ready\n");
    let metrics = get(address, "/metrics");
    for (name, value) in [
        ("syncline_connections{dialect=\"crdt_sync\"}", 1.0),
        ("syncline_rooms{state=\"live\"}", 1.0),
        ("syncline_changes_applied_total", 1.0),
        ("syncline_refusals_total{reason=\"request\"}", 0.0),
        ("syncline_durable", 1.0),
        ("syncline_store_errors_total", 0.0),
        ("syncline_backlog_unsent_bytes", 0.0),
    ] {
        assert_eq!(metric(&metrics, name), value, "{name}");
    }
    assert!(metric(&metrics, "syncline_commit_seconds_count") >= 1.0);
    assert!(metric(&metrics, "syncline_ack_seconds_count") >= 1.0);
    let bytes_in = metric(&metrics, "syncline_bytes_in_total");
    assert!(bytes_in as u64 <= server.stats().bytes_in && bytes_in > 100.0);
    let status: serde_json::Value = serde_json::from_str(&get(address, "/status.json")).unwrap();
    assert_eq!(status["state"], "ready");
    assert_eq!(status["roomList"][0]["name"], ROOM);
    assert_eq!(status["roomList"][0]["clients"], 1);
    assert_eq!(status["roomList"][0]["unstored"], 0);
    assert_eq!(status["clientList"][0]["dialect"], "crdt_sync");
    assert!(get(address, "/?x").contains("<title>Syncline server</title>"));
    let (head, _) = get_with(address, "/nothing", "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let metrics = get(address, "/metrics");
    assert_eq!(
        metric(&metrics, "syncline_refusals_total{reason=\"request\"}"),
        1.0
    );
}

#[test]
fn the_administrators_token_protects_all_pages() {
    let options = ServerOptions {
        admin_token: Some("se cret".to_owned()),
        ..ServerOptions::default()
    };
    let (_server, address) = serve(options, None);
    for page in ["/", "/status.json", "/healthz", "/metrics"] {
        // `x:wrong` and `admin:se cret` in base64.
        for (headers, query, status) in [
            ("", "", 401),
            ("", "?token=wrong", 401),
            ("Authorization: Bearer wrong\r\n", "", 401),
            ("Authorization: Basic eDp3cm9uZw==\r\n", "", 401),
            ("Authorization: Basic nonsense\r\n", "", 401),
            ("", "?token=se%20cret", 200),
            ("Authorization: Bearer se cret\r\n", "", 200),
            ("Authorization: Basic YWRtaW46c2UgY3JldA==\r\n", "", 200),
        ] {
            let (head, body) = get_with(address, &format!("{page}{query}"), headers);
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status} ")),
                "{page} {headers}{query}: {head}"
            );
            assert!(status == 200 || body.is_empty());
        }
    }
}

/// The page as a person sees it; with `SYNCLINE_SCREENSHOT` set to a path, also as a picture.
#[test]
fn a_browser_shows_rooms_and_clients() {
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(browser) = browser else {
        println!("skipped: there is no chromium");
        return;
    };
    let (_server, address) = serve(ServerOptions::default(), None);
    let names = ["minutes/2026-11", "shopping list", "<b>markup</b>"];
    let documents: Vec<_> = names.iter().map(|name| document(name)).collect();
    let clients: Vec<_> = documents
        .iter()
        .map(|document| join(address, document))
        .collect();
    let _second = join(address, &document(names[0]));
    for (document, client) in documents.iter().zip(&clients) {
        insert(document, 0, "some text");
        client.wait_acknowledged(LONG).unwrap();
    }
    let profile = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args(["--virtual-time-budget=4000", "--window-size=1100,900"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .arg(format!("http://{address}/"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let page = run(&["--dump-dom"]);
    assert!(page.contains(">ready</span>"), "{page}");
    for text in [
        "minutes/2026-11",
        "shopping list",
        "&lt;b&gt;markup&lt;/b&gt;",
        "crdt_sync",
    ] {
        assert!(page.contains(text), "{text} is missing in\n{page}");
    }
    // Updated more than once: the curve has points.
    assert!(page.contains("d=\"M"), "{page}");
    if let Ok(path) = std::env::var("SYNCLINE_SCREENSHOT") {
        run(&[&format!("--screenshot={path}")]);
        assert!(std::fs::metadata(path).unwrap().len() > 10_000);
    }
}
