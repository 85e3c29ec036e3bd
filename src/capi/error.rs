//! Section 2: the last error of each thread, and the names of the status codes.

use super::guard::question;
use super::types::*;
use crate::clock::{ClockDrift, ParseError};
use crate::codec::DecodeError;
use crate::codec::json::UnsupportedValue;
use crate::codec::native::NativeError;
use crate::document::{DocumentError, LockError};
use crate::replica::ApplyError;
use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::ops::Deref;

/// Whose numbering syncline_error.code follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_error_domain {
    /// There is no code.
    SYNCLINE_ERROR_DOMAIN_NONE = 0,
    /// errno.
    SYNCLINE_ERROR_DOMAIN_OS = 1,
    /// SQLite result code.
    SYNCLINE_ERROR_DOMAIN_SQLITE = 2,
    /// WebSocket close code.
    SYNCLINE_ERROR_DOMAIN_WEBSOCKET = 3,
    /// HTTP status.
    SYNCLINE_ERROR_DOMAIN_HTTP = 4,
    /// TLS alert.
    SYNCLINE_ERROR_DOMAIN_TLS = 5,
    /// Byte offset of malformed input.
    SYNCLINE_ERROR_DOMAIN_OFFSET = 6,
}

use syncline_error_domain::*;

/// Detail of a failure.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_error {
    /// What the call returned.
    pub status: syncline_status,
    /// What `code` is.
    pub domain: syncline_error_domain,
    /// errno, SQLite code, WebSocket close code, HTTP status, byte offset.
    pub code: i64,
    /// English, NUL-terminated UTF-8, for logs.
    pub message: *const c_char,
}

/// A failure on its way out. Boxed: every `?` of every exported function moves it.
#[derive(Clone, Debug)]
pub(crate) struct Error(Box<Details>);

/// What [`Error`] tells.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) status: syncline_status,
    pub(crate) domain: syncline_error_domain,
    pub(crate) code: i64,
    pub(crate) message: Cow<'static, str>,
}

impl Deref for Error {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl Error {
    pub(crate) fn new(status: syncline_status, message: impl Into<Cow<'static, str>>) -> Self {
        Error::made(status, message.into())
    }

    #[cold]
    #[inline(never)]
    fn made(status: syncline_status, message: Cow<'static, str>) -> Self {
        Error(Box::new(Details {
            status,
            domain: SYNCLINE_ERROR_DOMAIN_NONE,
            code: 0,
            message,
        }))
    }

    /// The same failure with the number that somebody else gave it.
    pub(crate) fn coded(mut self, domain: syncline_error_domain, code: i64) -> Self {
        self.0.domain = domain;
        self.0.code = code;
        self
    }

    pub(crate) fn argument(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(SYNCLINE_ERROR_INVALID_ARGUMENT, message)
    }

    pub(crate) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(SYNCLINE_ERROR_UNSUPPORTED, message)
    }

    pub(crate) fn closed(what: &'static str) -> Self {
        Error::new(SYNCLINE_ERROR_CLOSED, format!("the {what} is closed"))
    }

    pub(crate) fn out_of_range(index: u64, length: u64) -> Self {
        let message = format!("index {index} is outside of the length {length}");
        Error::new(SYNCLINE_ERROR_OUT_OF_RANGE, message)
    }

    /// What was thrown is a bug; its text is all that is known.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("no text");
        Error::new(
            SYNCLINE_ERROR_INTERNAL,
            format!("a bug in Syncline: {text}"),
        )
    }

    /// As `remember`, for functions that cannot answer with a status.
    pub(crate) fn note(&self) {
        self.clone().remember();
    }

    /// Makes this the last error of the thread.
    pub(crate) fn remember(self) -> syncline_status {
        let status = self.status;
        // A thread that is ending has no last error any more; the status says enough.
        let _ = LAST.try_with(|last| {
            let text = self.message.replace('\0', "\u{fffd}");
            let message = CString::new(text).unwrap_or_default();
            **last.borrow_mut() = Last::new(status, self.domain, self.code, message);
        });
        status
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Error::new(SYNCLINE_ERROR_MALFORMED, error.to_string())
            .coded(SYNCLINE_ERROR_DOMAIN_OFFSET, error.offset as i64)
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Error::new(SYNCLINE_ERROR_MALFORMED, error.to_string())
    }
}

impl From<UnsupportedValue> for Error {
    fn from(_: UnsupportedValue) -> Self {
        Error::argument("JSON cannot carry this value (bytes, NaN or infinity)")
    }
}

impl From<ClockDrift> for Error {
    fn from(error: ClockDrift) -> Self {
        let message = format!("the clock is {} ms ahead", error.ahead_ms);
        Error::new(SYNCLINE_ERROR_CLOCK_DRIFT, message)
    }
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::NotReady { missing } => Error::new(
                SYNCLINE_ERROR_CAUSALLY_NOT_READY,
                format!("the change {missing} is missing"),
            ),
            ApplyError::Limit(limit) => limit_exceeded(limit),
            ApplyError::ClockDrift { ahead_ms } => ClockDrift { ahead_ms }.into(),
            ApplyError::Closed => Error::closed("document"),
            ApplyError::ReadOnly => DocumentError::ReadOnly.into(),
            ApplyError::HistoryPruned { .. } => {
                Error::new(SYNCLINE_ERROR_OUT_OF_SYNC, error.to_string())
            }
            ApplyError::InTransaction => {
                Error::new(SYNCLINE_ERROR_IN_TRANSACTION, error.to_string())
            }
            ApplyError::UnknownHandler { .. } => Error::unsupported(error.to_string()),
            ApplyError::Custom { .. } => Error::new(SYNCLINE_ERROR_CALLBACK, error.to_string()),
        }
    }
}

fn limit_exceeded(limit: &str) -> Error {
    Error::new(
        SYNCLINE_ERROR_LIMIT,
        format!("the limit {limit} is exceeded"),
    )
}

impl From<DocumentError> for Error {
    #[cold]
    #[inline(never)]
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::TypeMismatch => Error::new(
                SYNCLINE_ERROR_TYPE_MISMATCH,
                "the id is in use by a handler of another type",
            ),
            DocumentError::OutOfRange { index, length } => Error::out_of_range(index, length),
            DocumentError::NotOnBoundary { index } => Error::new(
                SYNCLINE_ERROR_NOT_ON_BOUNDARY,
                format!("index {index} is inside of a character"),
            ),
            DocumentError::UnknownChange => {
                Error::argument("a change id is not known in this document")
            }
            DocumentError::Closed => Error::closed("document"),
            DocumentError::ReadOnly => Error::new(
                SYNCLINE_ERROR_READ_ONLY,
                "the document shows a history and cannot be edited",
            ),
            DocumentError::NoHistory => Error::argument("the document shows no history"),
            DocumentError::Forgotten => Error::new(
                SYNCLINE_ERROR_OUT_OF_SYNC,
                "the version is older than what the document remembers",
            ),
            DocumentError::NoTransaction => {
                Error::new(SYNCLINE_ERROR_NO_TRANSACTION, "no transaction was begun")
            }
            DocumentError::UnsupportedValue => {
                Error::argument("the handler cannot store this value")
            }
            DocumentError::UnknownHandler => Error::new(
                SYNCLINE_ERROR_INTERNAL,
                "the handler is not of this document",
            ),
            DocumentError::UnknownManager => Error::argument("there is no such undo manager"),
            DocumentError::UnknownType { type_tag } => {
                Error::argument(format!("no custom type is registered as {type_tag:?}"))
            }
            DocumentError::ReservedId => Error::argument("this id is reserved"),
            DocumentError::Limit(limit) => limit_exceeded(limit),
            DocumentError::Apply(error) => error.into(),
            DocumentError::Decode(error) => error.into(),
            DocumentError::Native(error) => error.into(),
        }
    }
}

impl From<NativeError> for Error {
    fn from(error: NativeError) -> Self {
        match error {
            NativeError::Version { .. } => {
                Error::new(SYNCLINE_ERROR_UNSUPPORTED_VERSION, error.to_string())
            }
            NativeError::Malformed(error) => error.into(),
            _ => Error::new(SYNCLINE_ERROR_MALFORMED, error.to_string()),
        }
    }
}

impl From<LockError> for Error {
    #[cold]
    #[inline(never)]
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy => Error::new(
                SYNCLINE_ERROR_BUSY,
                "another thread held the document longer than lock_timeout_ms",
            ),
            LockError::WrongThread => Error::new(
                SYNCLINE_ERROR_WRONG_THREAD,
                "the transaction was begun on another thread",
            ),
            LockError::NoTransaction => {
                Error::new(SYNCLINE_ERROR_NO_TRANSACTION, "no transaction was begun")
            }
            LockError::Poisoned => Error::new(SYNCLINE_ERROR_POISONED, error.to_string()),
        }
    }
}

/// The last error of a thread, with the text it points to.
struct Last {
    error: syncline_error,
    /// Owner of `error.message`.
    _message: CString,
}

impl Last {
    fn new(
        status: syncline_status,
        domain: syncline_error_domain,
        code: i64,
        message: CString,
    ) -> Self {
        let error = syncline_error {
            status,
            domain,
            code,
            message: message.as_ptr(),
        };
        Last {
            error,
            _message: message,
        }
    }

    fn none() -> Self {
        Last::new(
            SYNCLINE_OK,
            SYNCLINE_ERROR_DOMAIN_NONE,
            0,
            CString::default(),
        )
    }
}

thread_local! {
    /// Boxed, so that the address given out survives until the next failure.
    static LAST: RefCell<Box<Last>> = RefCell::new(Box::new(Last::none()));
}

/// For a thread whose own error is gone already (it is ending).
struct Constant(syncline_error);
// SAFETY: nothing ever writes to it, and its text is a literal.
unsafe impl Sync for Constant {}
static NO_ERROR: Constant = Constant(syncline_error {
    status: SYNCLINE_OK,
    domain: SYNCLINE_ERROR_DOMAIN_NONE,
    code: 0,
    message: c"".as_ptr(),
});

/// The last failure of the calling thread. Calls that succeed do not touch it; a status of OK in
/// it means that nothing has failed since the thread began or since syncline_error_clear.
///
/// @return never NULL; valid until the next Syncline call on this thread
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_error_last() -> *const syncline_error {
    question!(&raw const NO_ERROR.0, |_| {
        let last = LAST.try_with(|last| &raw const last.borrow().error);
        Ok(last.unwrap_or(&raw const NO_ERROR.0))
    })
}

/// Forgets the last failure of the calling thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_error_clear() {
    question!((), |_| {
        let _ = LAST.try_with(|last| **last.borrow_mut() = Last::none());
        Ok(())
    })
}

/// Sets the last error of the calling thread: for a hook, before it returns an error, so that the
/// caller of the outer function finds the reason.
///
/// @param status   a negative status; others are remembered as CALLBACK
/// @param message  English, for logs
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_error_set(status: StatusArg, message: syncline_string) {
    question!((), |caller| {
        let text = caller
            .text(message, "message")
            .unwrap_or("(a text that is not UTF-8)");
        let known = find_status(status).filter(|status| (*status as i32) < 0);
        let status = known.unwrap_or(SYNCLINE_ERROR_CALLBACK);
        Error::new(status, text.to_owned()).remember();
        Ok(())
    })
}

/// The name of a status as it is written in C, for example "SYNCLINE_ERROR_BUSY".
///
/// @return static; "SYNCLINE_UNKNOWN" for a number this version does not know
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_status_name(status: StatusArg) -> *const c_char {
    question!(c"".as_ptr(), |_| Ok(describe(status).0.as_ptr()))
}

/// One English sentence about a status.
///
/// @return static
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_status_description(status: StatusArg) -> *const c_char {
    question!(c"".as_ptr(), |_| Ok(describe(status).1.as_ptr()))
}

/// Runs a hook and gives what it set as its error, or "". The last error of the thread stays what
/// it was.
pub(crate) fn collecting<R>(hook: impl FnOnce() -> R) -> (R, String) {
    let swap = |new: Last| {
        let old = LAST.try_with(|last| std::mem::replace(&mut **last.borrow_mut(), new));
        old.unwrap_or_else(|_| Last::none())
    };
    let before = swap(Last::none());
    let result = hook();
    let set = swap(before);
    (result, set._message.to_string_lossy().into_owned())
}

/// The name of a status, for texts.
pub(crate) fn status_name(number: i32) -> &'static str {
    describe(number).0.to_str().unwrap_or_default()
}

fn find_status(number: i32) -> Option<syncline_status> {
    let mut known = STATUSES.iter();
    known
        .find(|(status, ..)| *status as i32 == number)
        .map(|(status, ..)| *status)
}

fn describe(number: i32) -> (&'static CStr, &'static CStr) {
    let known = STATUSES
        .iter()
        .find(|(status, ..)| *status as i32 == number);
    known.map_or(
        (c"SYNCLINE_UNKNOWN", c"An unknown status."),
        |(_, name, text)| (name, text),
    )
}

macro_rules! statuses {
    ($($status:ident: $text:literal,)*) => {
        /// Every status with its name and its sentence.
        const STATUSES: &[(syncline_status, &CStr, &CStr)] = &[$((
            $status,
            match CStr::from_bytes_with_nul(concat!(stringify!($status), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name has no NUL inside"),
            },
            match CStr::from_bytes_with_nul(concat!($text, "\0").as_bytes()) {
                Ok(text) => text,
                Err(_) => panic!("a sentence has no NUL inside"),
            },
        ),)*];
    };
}

statuses! {
    SYNCLINE_OK: "Done.",
    SYNCLINE_END: "There is nothing more.",
    SYNCLINE_NOT_FOUND: "There is no such thing.",
    SYNCLINE_UNCHANGED: "Correct, but had no effect.",
    SYNCLINE_TIMEOUT: "The wait ended first.",
    SYNCLINE_PENDING: "Accepted; waits for something.",
    SYNCLINE_ERROR_INVALID_ARGUMENT: "An argument is NULL, of the wrong kind, or not valid.",
    SYNCLINE_ERROR_OUT_OF_RANGE: "An index or a count is outside of the content.",
    SYNCLINE_ERROR_NOT_ON_BOUNDARY: "A text index is inside of a character.",
    SYNCLINE_ERROR_TYPE_MISMATCH: "It exists with another type.",
    SYNCLINE_ERROR_ALREADY_EXISTS: "There is one already.",
    SYNCLINE_ERROR_CLOSED: "The object was closed.",
    SYNCLINE_ERROR_READ_ONLY: "This cannot be written.",
    SYNCLINE_ERROR_NO_TRANSACTION: "No transaction was begun.",
    SYNCLINE_ERROR_WRONG_THREAD: "The transaction belongs to another thread.",
    SYNCLINE_ERROR_BUSY: "Another thread held the object too long.",
    SYNCLINE_ERROR_IN_HOOK: "This call is not allowed here.",
    SYNCLINE_ERROR_MALFORMED: "Bytes from outside are not what they should be.",
    SYNCLINE_ERROR_UNSUPPORTED_VERSION: "This was written by a version that is not known here.",
    SYNCLINE_ERROR_CAUSALLY_NOT_READY: "A change depends on changes that are not here.",
    SYNCLINE_ERROR_CYCLE: "Changes depend on each other in a circle.",
    SYNCLINE_ERROR_CLOCK_DRIFT: "A clock is too far ahead.",
    SYNCLINE_ERROR_LIMIT: "A limit was exceeded.",
    SYNCLINE_ERROR_OUT_OF_MEMORY: "There is not enough memory.",
    SYNCLINE_ERROR_IO: "A file or a device failed.",
    SYNCLINE_ERROR_CORRUPT: "Stored data is damaged.",
    SYNCLINE_ERROR_WRONG_KEY: "The key does not fit.",
    SYNCLINE_ERROR_CONNECT: "The connection could not be made.",
    SYNCLINE_ERROR_TLS: "TLS failed.",
    SYNCLINE_ERROR_PROTOCOL: "The peer broke or refused the protocol.",
    SYNCLINE_ERROR_UNAUTHORIZED: "The peer wants another token.",
    SYNCLINE_ERROR_FORBIDDEN: "The peer does not allow this.",
    SYNCLINE_ERROR_OUT_OF_SYNC: "The history that is needed was pruned.",
    SYNCLINE_ERROR_OFFLINE: "There is no connection.",
    SYNCLINE_ERROR_CANCELLED: "The wait was cancelled.",
    SYNCLINE_ERROR_CALLBACK: "A hook of the application failed.",
    SYNCLINE_ERROR_UNSUPPORTED: "This build, platform or protocol cannot do it.",
    SYNCLINE_ERROR_POISONED: "An earlier internal error left the object unusable.",
    SYNCLINE_ERROR_INTERNAL: "A bug in Syncline.",
    SYNCLINE_ERROR_IN_TRANSACTION: "Not while a transaction is open.",
}

/// The text of the last error, for tests.
#[cfg(test)]
pub(crate) fn last_message() -> String {
    LAST.with(|last| last.borrow()._message.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gap_and_no_double() {
        let mut numbers: Vec<i32> = STATUSES.iter().map(|(status, ..)| *status as i32).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (-34..=5).collect::<Vec<i32>>());
        assert_eq!(describe(-10).0, c"SYNCLINE_ERROR_BUSY");
        assert_eq!(describe(-1000).0, c"SYNCLINE_UNKNOWN");
    }

    #[test]
    fn the_last_error_is_per_thread_and_survives_success() {
        Error::new(SYNCLINE_ERROR_BUSY, "first\0second").remember();
        assert_eq!(last_message(), "first\u{fffd}second");
        std::thread::spawn(|| assert_eq!(last_message(), ""))
            .join()
            .unwrap();
        assert_eq!(guard(|| Ok(SYNCLINE_END)), SYNCLINE_END);
        assert_eq!(last_message(), "first\u{fffd}second");
    }

    fn guard(mut body: impl FnMut() -> super::super::guard::Answer) -> syncline_status {
        super::super::guard::guard!(|_| body())
    }
}
