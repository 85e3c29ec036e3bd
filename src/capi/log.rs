//! Section 3: where log records go.

use super::error::Error;
use super::guard::{Answer, guard, question};
use super::types::*;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::{Once, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// How much is logged: a level and all above it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_log_level {
    /// Nothing.
    SYNCLINE_LOG_OFF = 0,
    /// Something failed.
    SYNCLINE_LOG_ERROR = 1,
    /// Something may be wrong.
    SYNCLINE_LOG_WARN = 2,
    /// What an operator wants to see.
    SYNCLINE_LOG_INFO = 3,
    /// What a developer wants to see.
    SYNCLINE_LOG_DEBUG = 4,
    /// Everything.
    SYNCLINE_LOG_TRACE = 5,
}

use syncline_log_level::*;

/// A log level as C gives it: any integer.
pub type LogLevelArg = u32;

/// One record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_log_record {
    /// How serious.
    pub level: syncline_log_level,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Which part of the library: "client", "server", "store", ...
    pub target: syncline_string,
    /// English.
    pub message: syncline_string,
}

/// Takes a record; borrowed for the call. Runs on any thread and may be called by several at once.
/// A hook: it must make no Syncline call.
pub type syncline_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, record: *const syncline_log_record)>;

/// Where records go. `None`: stderr.
struct Sink {
    write: syncline_log_fn,
    user: UserData,
}

/// Read while a record is written, so that replacing the sink waits for it.
static SINK: RwLock<Option<Sink>> = RwLock::new(None);

thread_local! {
    /// Set while this thread is inside a sink: what it logs there is dropped.
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || IN_SINK.replace(true) {
            return;
        }
        write(record);
        IN_SINK.set(false);
    }

    fn flush(&self) {}
}

fn write(record: &Record<'_>) {
    let message = record.args().to_string();
    let target = short_target(record.target());
    let Ok(sink) = SINK.read() else { return };
    let Some(sink) = sink.as_ref() else {
        eprintln!("syncline {} {target}: {message}", record.level());
        return;
    };
    let record = syncline_log_record {
        level: level_of(record.level().to_level_filter()),
        time_ms: time_ms(),
        target: syncline_string::borrowed(target),
        message: syncline_string::borrowed(&message),
    };
    if let Some(write) = sink.write {
        // SAFETY: the application gave this function for this user data; both live while `sink`
        // is locked.
        unsafe { write(sink.user.pointer(), &record) };
    }
}

/// `syncline::net::client` is "client" for C.
fn short_target(target: &str) -> &str {
    let path = target.strip_prefix("syncline::").unwrap_or(target);
    path.rsplit("::").next().unwrap_or(path)
}

fn time_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

fn level_of(filter: LevelFilter) -> syncline_log_level {
    match filter {
        LevelFilter::Off => SYNCLINE_LOG_OFF,
        LevelFilter::Error => SYNCLINE_LOG_ERROR,
        LevelFilter::Warn => SYNCLINE_LOG_WARN,
        LevelFilter::Info => SYNCLINE_LOG_INFO,
        LevelFilter::Debug => SYNCLINE_LOG_DEBUG,
        LevelFilter::Trace => SYNCLINE_LOG_TRACE,
    }
}

fn filter_of(level: LogLevelArg) -> Result<LevelFilter, Error> {
    let levels = [
        Level::Error,
        Level::Warn,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ];
    match level {
        0 => Ok(LevelFilter::Off),
        1..=5 => Ok(levels[level as usize - 1].to_level_filter()),
        _ => Err(Error::argument("this log level does not exist")),
    }
}

/// Becomes the logger of the process, unless a Rust host has one already: then records go there.
fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // An error means that the host has a logger of its own, which is as good.
        let _ = log::set_logger(&Logger);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            log::error!(target: "panic", "{panic}");
            let has_sink = SINK.read().is_ok_and(|sink| sink.is_some());
            if !has_sink {
                before(panic);
            }
        }));
    });
}

/// Sends log records to a function. Waits for a record that is being written by the sink before.
///
/// @param level           how much to log from now on
/// @param sink            NULL: stderr
/// @param user_data       given to each call of the sink
/// @param free_user_data  runs once, after the last call of the sink, also when this call fails
/// @return IN_HOOK from inside of a sink
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_log_set_sink(
    level: LogLevelArg,
    sink: syncline_log_fn,
    user_data: *mut c_void,
    free_user_data: syncline_free_fn,
) -> syncline_status {
    guard!(|_| {
        let user = UserData::new(user_data, free_user_data);
        let filter = filter_of(level)?;
        set_sink(sink.is_some().then_some(Sink { write: sink, user }))?;
        log::set_max_level(filter);
        Ok(SYNCLINE_OK)
    })
}

fn set_sink(sink: Option<Sink>) -> Answer {
    if IN_SINK.get() {
        return Err(Error::new(
            SYNCLINE_ERROR_IN_HOOK,
            "a log sink cannot replace the sink",
        ));
    }
    install();
    let mut current = SINK
        .write()
        .map_err(|_| Error::new(SYNCLINE_ERROR_INTERNAL, "a log sink failed"))?;
    let before = std::mem::replace(&mut *current, sink);
    drop(current);
    drop(before);
    Ok(SYNCLINE_OK)
}

/// Changes how much is logged. A level that does not exist changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_log_set_level(level: LogLevelArg) {
    question!((), |_| {
        let filter = filter_of(level)?;
        install();
        log::set_max_level(filter);
        Ok(())
    })
}

/// How much is logged; OFF until a sink or a level is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_log_get_level() -> syncline_log_level {
    question!(SYNCLINE_LOG_OFF, |_| Ok(level_of(log::max_level())))
}
