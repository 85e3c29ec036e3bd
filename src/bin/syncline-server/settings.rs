//! Settings of `serve`: defaults, then the configuration file, then the command line.
//!
//! One name for both: the key `updates_per_s` in the file's section `[limits]` is the flag
//! `--limits-updates-per-s`.

use crate::arguments::{Argument, Arguments, Failure, unknown};
use crate::logging::Format;
use std::str::FromStr;
use std::time::Duration;
use syncline::net::ServerOptions;

/// How a server of this process runs.
#[derive(Debug)]
pub struct Settings {
    pub options: ServerOptions,
    /// `None`: memory.
    pub store: Option<String>,
    pub log: log::LevelFilter,
    pub log_format: Format,
    /// How long clients are sent away before the end.
    pub drain: Duration,
    pub tls_certificate: Option<String>,
    pub tls_key: Option<String>,
    /// The file with the secrets of tokens; `None`: everybody may do everything.
    pub token_secrets: Option<String>,
    /// The file with the token for the pages.
    pub admin_token: Option<String>,
}

impl Settings {
    fn new() -> Self {
        Settings {
            options: ServerOptions {
                port: 8080,
                ..ServerOptions::default()
            },
            store: None,
            log: log::LevelFilter::Info,
            log_format: Format::Text,
            drain: Duration::from_secs(10),
            tls_certificate: None,
            tls_key: None,
            token_secrets: None,
            admin_token: None,
        }
    }

    /// Reads the command line and the file that it names.
    pub fn read(mut arguments: Arguments) -> Result<Settings, Failure> {
        let mut file = None;
        let mut flags = Vec::new();
        while let Some(argument) = arguments.next()? {
            let name = match &argument {
                Argument::Flag(flag) => flag.strip_prefix("--"),
                Argument::Word(_) => None,
            };
            match name {
                None => return Err(unknown(&argument)),
                Some("config") => file = Some(arguments.value()?),
                // Compressed clients are recognised by their first message.
                Some("gzip") => {}
                Some(name) if !KEYS.contains(&name) => return Err(unknown(&argument)),
                Some(name) => flags.push((name.to_owned(), arguments.value()?)),
            }
        }
        let mut settings = Settings::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|error| Failure::Failed(format!("{path}: {error}")))?;
            let entries = parse_file(&text);
            let entries = entries.map_err(|error| Failure::Failed(format!("{path}: {error}")))?;
            for (key, value) in entries {
                let set = settings.set(&key, &value);
                set.map_err(|error| Failure::Failed(format!("{path}: {error}")))?;
            }
        }
        for (name, value) in flags {
            let set = settings.set(&name, &value);
            set.map_err(|error| Failure::Usage(format!("--{error}")))?;
        }
        if settings.tls_certificate.is_some() != settings.tls_key.is_some() {
            let error = "tls-certificate and tls-key go together";
            return Err(Failure::Usage(error.to_owned()));
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let options = &mut self.options;
        let limits = &mut options.limits;
        let path = || Some(value.to_owned());
        match key {
            "listen" => (options.host, options.port) = address(key, value)?,
            "store" => self.store = path().filter(|store| store != "memory"),
            "log" => self.log = parsed(key, value)?,
            "log-format" => self.log_format = parsed(key, value)?,
            "drain-ms" => self.drain = Duration::from_millis(parsed(key, value)?),
            "tls-certificate" => self.tls_certificate = path(),
            "tls-key" => self.tls_key = path(),
            "token-secrets" => self.token_secrets = path(),
            "admin-token" => self.admin_token = path(),
            "worker-threads" => options.worker_threads = parsed(key, value)?,
            "connections-max" => options.connections_max = parsed(key, value)?,
            "rooms-max" => options.rooms_max = parsed(key, value)?,
            "room-idle-ms" => options.room_idle_ms = parsed(key, value)?,
            "message-bytes-max" => options.message_bytes_max = parsed(key, value)?,
            "outbound-bytes-max" => options.outbound_bytes_max = parsed(key, value)?,
            "header-bytes-max" => options.header_bytes_max = parsed(key, value)?,
            "handshake-timeout-ms" => options.handshake_timeout_ms = parsed(key, value)?,
            "client-timeout-ms" => options.client_timeout_ms = parsed(key, value)?,
            "limits-address-connections-max" => {
                limits.address_connections_max = parsed(key, value)?;
            }
            "limits-address-accepts-per-s" => limits.address_accepts_per_s = parsed(key, value)?,
            "limits-limit-loopback" => limits.limit_loopback = parsed(key, value)?,
            "limits-connection-rooms-max" => limits.connection_rooms_max = parsed(key, value)?,
            "limits-room-connections-max" => limits.room_connections_max = parsed(key, value)?,
            "limits-updates-per-s" => limits.updates_per_s = parsed(key, value)?,
            "limits-updates-burst" => limits.updates_burst = parsed(key, value)?,
            "limits-bytes-per-s" => limits.bytes_per_s = parsed(key, value)?,
            "limits-bytes-burst" => limits.bytes_burst = parsed(key, value)?,
            _ => return Err(format!("{key}: there is no such setting")),
        }
        Ok(())
    }
}

/// All keys, as flags without their dashes.
const KEYS: [&str; 27] = [
    "listen",
    "store",
    "log",
    "log-format",
    "drain-ms",
    "tls-certificate",
    "tls-key",
    "token-secrets",
    "admin-token",
    "worker-threads",
    "connections-max",
    "rooms-max",
    "room-idle-ms",
    "message-bytes-max",
    "outbound-bytes-max",
    "header-bytes-max",
    "handshake-timeout-ms",
    "client-timeout-ms",
    "limits-address-connections-max",
    "limits-address-accepts-per-s",
    "limits-limit-loopback",
    "limits-connection-rooms-max",
    "limits-room-connections-max",
    "limits-updates-per-s",
    "limits-updates-burst",
    "limits-bytes-per-s",
    "limits-bytes-burst",
];

fn parsed<T: FromStr>(key: &str, value: &str) -> Result<T, String> {
    let refused = |_| format!("{key}: {value:?} is no such value");
    value.parse().map_err(refused)
}

fn address(key: &str, text: &str) -> Result<(String, u16), String> {
    let refused = || format!("{key} needs ADDR:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
    let port = parsed(key, port)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match host.is_empty() {
        true => Err(refused()),
        false => Ok((host.to_owned(), port)),
    }
}

/// The keys and values of a configuration file, a section's name in front of its keys.
fn parse_file(text: &str) -> Result<Vec<(String, String)>, String> {
    use toml::de::{DeTable, DeValue};
    let table = DeTable::parse(text).map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    let name = |key: &str| key.replace('_', "-");
    let scalar = |key: &str, value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        _ => Err(format!("{key}: not a text, a number or a truth value")),
    };
    for (key, value) in table.get_ref() {
        let key = name(key.get_ref());
        match value.get_ref() {
            DeValue::Table(section) => {
                for (inner, value) in section {
                    let key = format!("{key}-{}", name(inner.get_ref()));
                    let value = scalar(&key, value.get_ref())?;
                    entries.push((key, value));
                }
            }
            value => {
                let value = scalar(&key, value)?;
                entries.push((key, value));
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Settings, Failure> {
        let words = words.iter().map(|word| (*word).to_owned());
        Settings::read(Arguments::new(words.collect()))
    }

    #[test]
    fn arguments_are_read() {
        let read_all = [
            "--listen",
            "[::1]:0",
            "--store",
            "a b",
            "--gzip",
            "--log",
            "debug",
            "--log-format=json",
        ];
        let settings = read(&read_all).unwrap();
        assert_eq!(
            (settings.options.host.as_str(), settings.options.port),
            ("::1", 0)
        );
        assert_eq!(settings.store.as_deref(), Some("a b"));
        assert_eq!(settings.log, log::LevelFilter::Debug);
        assert_eq!(settings.log_format, Format::Json);
        let settings = read(&["--listen=localhost:9", "--store=memory"]).unwrap();
        assert_eq!(
            (settings.options.host.as_str(), settings.options.port),
            ("localhost", 9)
        );
        assert_eq!(settings.store, None);
        assert!(matches!(read(&["--help"]), Err(Failure::Help)));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for arguments in [
            &["--nonsense"][..],
            &["stray"],
            &["--listen"],
            &["--listen", "nowhere"],
            &["--listen", ":1"],
            &["--listen", "a:70000"],
            &["--log", "loud"],
            &["--gzip=yes"],
            &["--store"],
            &["--limits-updates-per-s=-1"],
            &["--tls-key=alone"],
        ] {
            assert!(
                matches!(read(arguments), Err(Failure::Usage(_))),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn every_key_is_known_and_a_flag_overrides_the_file() {
        for key in KEYS {
            let refused = Settings::new().set(key, "\0").err();
            assert!(
                !refused.is_some_and(|error| error.contains("no such setting")),
                "{key}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("syncline.toml");
        let text = "listen = \"0.0.0.0:80\"\nrooms_max = 1_000\n[limits]\nupdates_per_s = 7\n\
            limit_loopback = true\n";
        std::fs::write(&path, text).unwrap();
        let config = format!("--config={}", path.display());
        let settings = read(&["--limits-updates-per-s=8", &config]).unwrap();
        assert_eq!(
            (settings.options.port, settings.options.rooms_max),
            (80, 1_000)
        );
        assert_eq!(settings.options.limits.updates_per_s, 8);
        assert!(settings.options.limits.limit_loopback);
        for text in [
            "nonsense",
            "wrong = 1",
            "rooms_max = \"many\"",
            "[limits]\nx = 1",
            "listen = [1]",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(
                matches!(read(&[&config]), Err(Failure::Failed(_))),
                "{text}"
            );
        }
    }
}
