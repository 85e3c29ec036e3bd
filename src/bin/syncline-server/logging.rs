//! The log of the daemon: one line per record, to standard error.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use syncline::codec::{Value, json};

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Level, target, message; whoever collects the lines knows the time.
    Text,
    /// A JSON object: `timeMs` (since 1970), `level`, `target`, `message`.
    Json,
}

impl std::str::FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(()),
        }
    }
}

/// From here on records of this level are written.
pub fn start(level: log::LevelFilter, format: Format) {
    log::set_max_level(level);
    // Only a second logger could make this fail, and there is none.
    let _ = log::set_boxed_logger(Box::new(StderrLogger { format }));
}

struct StderrLogger {
    format: Format,
}

fn line(format: Format, record: &log::Record<'_>) -> Vec<u8> {
    if format == Format::Text {
        let (level, target) = (record.level(), record.target());
        return format!("{level:5} {target}: {}\n", record.args()).into_bytes();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let text = |text: &str| Value::String(text.into());
    let members = vec![
        (
            "timeMs".into(),
            Value::Int(now.map_or(0, |now| now.as_millis() as i64)),
        ),
        (
            "level".into(),
            text(&record.level().as_str().to_ascii_lowercase()),
        ),
        ("target".into(), text(record.target())),
        ("message".into(), text(&record.args().to_string())),
    ];
    let mut line = Vec::new();
    // Texts and numbers always are.
    let _ = json::encode(&Value::Object(members), &mut line);
    line.push(b'\n');
    line
}

impl log::Log for StderrLogger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // The WebSocket and event loop libraries are verbose; their warnings are enough.
        let own = ["server", "store", "client", "syncline"];
        let is_own = own
            .iter()
            .any(|target| metadata.target().starts_with(target));
        is_own || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = line(self.format, record);
            // Nowhere to complain if standard error is gone.
            let _ = std::io::stderr().write_all(&line);
        }
    }

    fn flush(&self) {}
}
