//! The log of the daemon: one line per record, to standard error.

use std::io::Write;

/// From here on records of this level are written.
pub fn start(level: log::LevelFilter) {
    log::set_max_level(level);
    // Only a second logger could make this fail, and there is none.
    let _ = log::set_logger(&StderrLogger);
}

struct StderrLogger;

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
            let line = format!(
                "{:5} {}: {}\n",
                record.level(),
                record.target(),
                record.args()
            );
            // Nowhere to complain if standard error is gone.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}
