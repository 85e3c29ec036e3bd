//! The daemon as a process: its arguments, its ready line, its end.
#![cfg(all(unix, feature = "client", feature = "server", feature = "sqlite"))]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use syncline::document::{Document, DocumentOptions, HandlerKind, HandlerSpec, SharedDocument};
use syncline::net::{Client, ClientOptions};
use syncline::replica::Replica;
use syncline::store::{
    DocumentStore, DocumentStoreOptions, OpenOptions, SqliteOptions, SqliteStore,
};

const LONG: Duration = Duration::from_secs(30);

fn daemon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-server"));
    command.args(arguments);
    command
}

/// Ends the process if the test does not.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn document() -> Arc<SharedDocument> {
    let options = DocumentOptions {
        document_id: "room".to_owned(),
        ..DocumentOptions::default()
    };
    SharedDocument::new(Document::new(options), LONG)
}

fn with_text<R>(
    document: &SharedDocument,
    body: impl FnOnce(&mut Document, syncline::document::HandlerIdx) -> R,
) -> R {
    let spec = HandlerSpec::new(HandlerKind::FugueText);
    let result = document.with(|document| {
        let text = document.handler("text", &spec).unwrap();
        body(document, text)
    });
    result.unwrap()
}

#[test]
fn arguments_have_the_usual_exit_codes() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["--nonsense"], 2),
        (&["--listen", "here"], 2),
        (&["--log"], 2),
    ] {
        let output = daemon(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let usage = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(
            usage.contains("Usage:"),
            arguments != ["--version"],
            "{arguments:?}: {usage}"
        );
    }
    let version = daemon(&["--version"]).output().unwrap().stdout;
    assert_eq!(
        String::from_utf8(version).unwrap(),
        concat!("syncline-server ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, vec![b'g'; 10_000]).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken
        .local_addr()
        .map(|address| (taken, address.to_string()))
        .unwrap();
    for arguments in [
        [
            "--listen",
            "127.0.0.1:0",
            "--store",
            garbage.to_str().unwrap(),
        ],
        ["--listen", &taken.1, "--store", "memory"],
        ["--listen", "127.0.0.1:0", "--store", "/no such folder/file"],
    ] {
        let output = daemon(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("syncline-server: "), "{said}");
        assert!(output.stdout.is_empty(), "not ready");
    }
}

/// A daemon on the file, and the address it says.
fn start(path: &Path) -> (Running, String) {
    let mut child = daemon(&[
        "--listen=127.0.0.1:0",
        "--gzip",
        "--drain-ms=200",
        "--log",
        "debug",
        "--store",
    ])
    .arg(path)
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let child = Running(child);
    let ready = lines.next().unwrap().unwrap();
    let rest = ready
        .strip_prefix("syncline-server ready on ")
        .expect("the ready line");
    let (url, store) = rest.split_once(" store=").expect("the store");
    assert_eq!(store, path.to_str().unwrap());
    (child, url.to_owned())
}

fn connect(url: &str, document: &Arc<SharedDocument>) -> Client {
    let options = ClientOptions {
        acknowledgement_delay_ms: 1,
        gzip: true,
        ..ClientOptions::new(url)
    };
    let client = Client::new(options).unwrap();
    client.attach(document.clone()).unwrap();
    client.connect().unwrap();
    client.wait_synced(LONG).unwrap();
    client
}

fn stored_text(path: &Path) -> String {
    let backend = SqliteStore::open(path, &SqliteOptions::default()).unwrap();
    let store = DocumentStore::new(Arc::new(backend), DocumentStoreOptions::default());
    let stored = store.open("room", &OpenOptions::default()).unwrap();
    with_text(stored.document(), |document, text| {
        document.text_string(text)
    })
}

#[test]
fn what_the_daemon_acknowledged_survives_its_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents");
    for round in 0..10u64 {
        let (mut child, url) = start(&path);
        let document = document();
        let client = connect(&url, &document);
        let before = with_text(&document, |document, text| document.text_len_utf16(text));
        for step in 0..3 + round {
            with_text(&document, |document, text| {
                document.text_insert(text, before + step, "x").unwrap()
            });
            if step % 2 == 0 {
                client.wait_acknowledged(LONG).unwrap();
            }
        }
        let acknowledged = client.acknowledged_vector();
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        // The client's own document says what the vector covers.
        let missing = document
            .read(|document| document.changes_newer_than(&acknowledged).len())
            .unwrap();
        let made = (before + 3 + round) as usize;
        let stored = stored_text(&path);
        assert!(
            stored.len() >= made - missing,
            "round {round}: {made} made, {missing} not acknowledged: {stored}"
        );
        assert!(stored.chars().all(|char| char == 'x'));
    }
}

/// Killed at any moment while somebody types: what the client was told is stored is in the file.
#[test]
fn kills_while_a_client_types_lose_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents");
    let mut acknowledged_in_all = 0;
    for round in 0..20u64 {
        let (mut child, url) = start(&path);
        let document = document();
        let client = connect(&url, &document);
        let before = stored_len(&document);
        // Kills fall between the first edits and deep into the typing.
        let edits = 5 + round * 7;
        for step in 0..edits {
            with_text(&document, |document, text| {
                document.text_insert(text, before + step, "x").unwrap()
            });
            if step % 16 == 15 {
                std::thread::yield_now();
            }
        }
        if round % 3 > 0 {
            // Some of it is under way, some of it is stored.
            let deadline = std::time::Instant::now() + LONG;
            while client.acknowledged_vector().is_empty() {
                assert!(std::time::Instant::now() < deadline);
                std::thread::yield_now();
            }
        }
        // Taken before the kill: what is acknowledged later was stored, too, but this is enough.
        let acknowledged = client.acknowledged_vector();
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let missing = document
            .read(|document| document.changes_newer_than(&acknowledged).len())
            .unwrap();
        let made = (before + edits) as usize;
        acknowledged_in_all += edits as usize - missing.min(edits as usize);
        let stored = stored_text(&path);
        assert!(
            stored.len() >= made - missing,
            "round {round}: {made} made, {missing} not acknowledged: {}",
            stored.len()
        );
        assert!(stored.chars().all(|char| char == 'x'));
    }
    assert!(
        acknowledged_in_all > 20,
        "hardly anything was acknowledged: {acknowledged_in_all}"
    );
}

fn stored_len(document: &SharedDocument) -> u64 {
    with_text(document, |document, text| document.text_len_utf16(text))
}

#[test]
fn a_signal_drains_and_what_was_edited_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents");
    for (round, name) in ["TERM", "INT"].into_iter().enumerate() {
        let (mut child, url) = start(&path);
        let document = document();
        let client = connect(&url, &document);
        with_text(&document, |document, text| {
            document.text_insert(text, 0, "x").unwrap()
        });
        client.wait_acknowledged(LONG).unwrap();
        signal(&child.0, name);
        assert_eq!(child.0.wait().unwrap().code(), Some(0));
        drop(client);
        assert_eq!(stored_text(&path), "x".repeat(round + 1));
    }
}

/// Runs a subcommand; its exit code and what it printed.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = daemon(arguments).output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), printed)
}

#[test]
fn stores_are_looked_at_copied_and_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (path, copy, new) = (at("file"), at("copy"), at("new"));
    {
        let backend = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
        let store = DocumentStore::new(Arc::new(backend), DocumentStoreOptions::default());
        let stored = store.open("room", &OpenOptions::default()).unwrap();
        with_text(stored.document(), |document, text| {
            document.text_insert(text, 0, "first").unwrap()
        });
        store.keep_version("room", "the first").unwrap();
        with_text(stored.document(), |document, text| {
            document.text_insert(text, 5, " second").unwrap()
        });
        stored.flush(LONG).unwrap();
    }
    let (code, listed) = run(&["inspect", "--store", &path, "--json"]);
    assert_eq!(code, 0, "{listed}");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["name"], "room");
    assert_eq!(listed[0]["kind"], "crdt");
    assert_eq!(listed[0]["versions"][0]["name"], "the first");
    let (code, line) = run(&["inspect", "--store", &path, "room"]);
    assert!(
        code == 0 && line.starts_with("room\tcrdt\tepoch="),
        "{line}"
    );
    assert_eq!(run(&["inspect", "--store", &path, "nothing"]).0, 1);
    assert_eq!(
        run(&["verify", "--store", &path]),
        (0, "1 documents, 0 problems\n".into())
    );

    let (code, report) = run(&["backup", "--store", &path, "--json", &copy]);
    assert_eq!(code, 0, "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["documents"], 1);
    assert_eq!(run(&["backup", "--store", &path, &copy]).0, 1, "exists");
    assert_eq!(run(&["restore", "--store", &new, &copy]).0, 0);
    assert_eq!(stored_text(Path::new(&new)), "first second");

    let back = [
        "restore",
        "--store",
        &path,
        "--document",
        "room",
        "--version",
        "the first",
        "--json",
    ];
    let (code, restored) = run(&back);
    assert_eq!(code, 0, "{restored}");
    assert_eq!(stored_text(Path::new(&path)), "first");
    let restored: serde_json::Value = serde_json::from_str(&restored).unwrap();
    let before = restored["before"].as_str().unwrap();
    assert_eq!(
        run(&[
            "restore",
            "--store",
            &path,
            "--document",
            "room",
            "--version",
            before
        ])
        .0,
        0
    );
    assert_eq!(stored_text(Path::new(&path)), "first second");

    let file = at("exported");
    assert_eq!(run(&["export", "--store", &path, "room", &file]).0, 0);
    assert_eq!(
        run(&["export", "--store", &path, "room", &file]).0,
        1,
        "exists"
    );
    let other = at("other");
    let import = ["import", "--store", &other, "--document", "room", &file];
    assert_eq!(run(&import), (0, String::new()));
    assert_eq!(run(&import).0, 1, "is there already");
    assert_eq!(stored_text(Path::new(&other)), "first second");

    // Damage has its own exit code; a repair says what was lost.
    let connection = rusqlite::Connection::open(&other).unwrap();
    let damage = "UPDATE log SET record = x'00'; UPDATE snapshot SET record = x'00'";
    connection.execute_batch(damage).unwrap();
    drop(connection);
    let (code, said) = run(&["verify", "--store", &other]);
    assert!(code == 3 && said.contains("lost\troom\t"), "{code} {said}");
    assert_eq!(run(&["verify", "--store", &other, "--repair"]).0, 3);
    assert_eq!(run(&["verify", "--store", &other]).0, 0);
}

#[test]
fn databases_of_crdt_lf_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("dart.db"), folder.path().join("file"));
    let document = document();
    for step in 0..5 {
        with_text(&document, |document, text| {
            document.text_insert(text, step, "x").unwrap()
        });
    }
    let changes = document.read(|document| document.all_changes()).unwrap();
    let connection = rusqlite::Connection::open(&source).unwrap();
    let tables = "CREATE TABLE changes(document_id TEXT NOT NULL, change_id TEXT NOT NULL, bytes BLOB NOT NULL, \
                  PRIMARY KEY(document_id, change_id));
                  CREATE TABLE snapshots(document_id TEXT NOT NULL, snapshot_id TEXT NOT NULL, bytes BLOB NOT NULL, \
                  PRIMARY KEY(document_id, snapshot_id));";
    connection.execute_batch(tables).unwrap();
    let insert = |document: &str, change: &syncline::codec::Change| {
        let row = (document, change.id.to_string(), change.encode());
        connection
            .execute("INSERT INTO changes VALUES (?1, ?2, ?3)", row)
            .unwrap();
    };
    // In no order; one document lacks its first change.
    changes
        .iter()
        .rev()
        .for_each(|change| insert("room", change));
    changes[1..]
        .iter()
        .for_each(|change| insert("torn", change));
    let snapshot = document.with(|document| {
        document.take_snapshot(true).unwrap();
        let text = document
            .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
            .unwrap();
        document.text_insert(text, 5, "y").unwrap();
        document.last_snapshot().unwrap().encode()
    });
    let row = ("pruned", "s", snapshot.unwrap());
    connection
        .execute("INSERT INTO snapshots VALUES (?1, ?2, ?3)", row)
        .unwrap();
    let later = document.read(|document| document.all_changes()).unwrap();
    later.iter().for_each(|change| insert("pruned", change));
    drop(connection);

    let (source, target) = (source.to_str().unwrap(), target.to_str().unwrap());
    let (code, said) = run(&["import", "--store", target, "--crdt-lf", source]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("room\t5 changes") && said.contains("torn\tnot imported"),
        "{said}"
    );
    assert_eq!(stored_text(Path::new(target)), "xxxxx");
    let backend = SqliteStore::open(target, &SqliteOptions::default()).unwrap();
    let store = DocumentStore::new(Arc::new(backend), DocumentStoreOptions::default());
    assert_eq!(store.contains("torn"), Ok(false));
    let pruned = store.open("pruned", &OpenOptions::default()).unwrap();
    let text = with_text(pruned.document(), |document, text| {
        document.text_string(text)
    });
    assert_eq!(text, "xxxxxy");
}
