//! The daemon with TLS, tokens and a configuration file, as docs/deploy.md has it; its drain.
#![cfg(all(unix, feature = "client", feature = "daemon"))]

mod loopback;

use loopback::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use syncline::net::{Client, ClientOptions, TlsRoots};

fn daemon() -> Command {
    Command::new(env!("CARGO_BIN_EXE_syncline-server"))
}

/// Ends the process if the test does not.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

/// A daemon, and where it says that it listens.
fn start(arguments: &[&str]) -> (Running, SocketAddr, String) {
    let mut child = daemon()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let mut words = line.split(' ');
    let url = words.find(|word| word.contains("://"));
    let (scheme, address) = url
        .unwrap_or_else(|| panic!("{line}"))
        .split_once("://")
        .unwrap();
    (Running(child), address.parse().unwrap(), scheme.to_owned())
}

fn write_certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn output(arguments: &[&str]) -> String {
    let output = daemon().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn tls_tokens_and_a_file_work_together() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = write_certificate(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("secrets"), output(&["token", "--new-secret"])).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\nstore = \"{}\"\ntls_certificate = \"{}\"\ntls_key = \"{}\"\n\
         token_secrets = \"{}\"\ndrain_ms = 100\nlog_format = \"json\"\n\n[limits]\n\
         room_connections_max = 1\n",
        path("data.sqlite"),
        path("cert.pem"),
        path("key.pem"),
        path("secrets")
    );
    std::fs::write(path("syncline.toml"), config).unwrap();
    let (mut running, address, scheme) = start(&["serve", "--config", &path("syncline.toml")]);
    assert_eq!(scheme, "wss");
    let options = |certificate: &str, token: &str| ClientOptions {
        url: format!("wss://localhost:{}/?token={token}", address.port()),
        tls_roots: Some(TlsRoots::from_pem(certificate.as_bytes()).unwrap()),
        reconnect_attempts_max: Some(0),
        ..client_options(address)
    };
    let secrets = format!("--secrets={}", path("secrets"));
    let own = output(&["token", &secrets, "--user=anna", "--write", "ro*"]);
    let jwt = output(&["token", &secrets, "--read=room", "--valid-s=0", "--jwt"]);
    assert!(
        own.starts_with("s1.") && jwt.starts_with("eyJ"),
        "{own} {jwt}"
    );
    let a = document(ROOM);
    let writer = join_with(options(&certificate, &own), &a);
    insert(&a, 0, "stored");
    writer.wait_acknowledged(LONG).unwrap();
    let refused = |options: ClientOptions| {
        let client = Client::new(options).unwrap();
        client.attach(document(ROOM)).unwrap();
        client.connect().unwrap();
        client.wait_connected(LONG).is_err()
    };
    assert!(refused(options(&certificate, &jwt)), "the room is full");
    drop(writer);
    eventually("its place is free", || {
        !refused(options(&certificate, &jwt))
    });
    assert!(refused(options(&certificate, "s1.forged.token")));
    // Another certificate and secret, without a restart.
    let renewed = write_certificate(folder.path());
    std::fs::write(path("secrets"), output(&["token", "--new-secret"])).unwrap();
    running.signal("HUP");
    let own = output(&["token", &secrets, "--write=room"]);
    eventually("the new ones count", || !refused(options(&renewed, &own)));
    assert!(refused(options(&renewed, &jwt)));
    running.signal("TERM");
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    let mut log = String::new();
    let mut stderr = running.0.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    for line in log.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            record["timeMs"].is_i64() && record["message"].is_string(),
            "{line}"
        );
    }
    assert!(log.contains("code=room_connections"), "{log}");
}

fn health(address: SocketAddr) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return String::new();
    };
    let mut answer = String::new();
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n");
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_drain_sends_clients_away_and_a_second_signal_ends_it() {
    let (mut running, address, _) = start(&["--listen=127.0.0.1:0", "--drain-ms=1000"]);
    assert!(health(address).ends_with("\r\n\r\nready\n"));
    let mut sockets: Vec<_> = (0..5).map(|_| raw(address)).collect();
    running.signal("TERM");
    for socket in &mut sockets {
        assert_eq!(close_code(socket), 1012);
    }
    assert_eq!(running.0.wait().unwrap().code(), Some(0));

    let (mut running, address, _) = start(&["--listen=127.0.0.1:0", "--drain-ms=600000"]);
    let mut socket = raw(address);
    send(&mut socket, &handshake(ROOM));
    running.signal("TERM");
    eventually("it is not ready any more", || {
        health(address).ends_with("\r\n\r\ndraining\n")
    });
    let url = format!("ws://{address}");
    assert!(tokio_tungstenite::tungstenite::connect(url).is_err());
    running.signal("INT");
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_used_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short");
    std::fs::write(&path, "short\n").unwrap();
    let path = path.display().to_string();
    for (arguments, code) in [
        (vec!["--token-secrets", &path], 1),
        (vec!["--token-secrets=/nowhere"], 1),
        (vec!["--tls-certificate", &path, "--tls-key", &path], 1),
        (vec!["--config", &path], 1),
        (vec!["token"], 2),
        (vec!["token", "--secrets", &path], 1),
        (vec!["token", "stray"], 2),
    ] {
        let output = daemon().args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
