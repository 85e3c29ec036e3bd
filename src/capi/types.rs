//! Section 0: the types every other section uses.

use super::error::Error;
use crate::document::Affinity;
use std::ffi::{c_char, c_void};

/// The result of a call. Negative: an error, and nothing was changed. Zero: done. Positive: no
/// error, but the answer is "no". Unknown negative values are to be treated as INTERNAL.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_status {
    /// Done.
    SYNCLINE_OK = 0,
    /// An iterator or a queue has nothing more.
    SYNCLINE_END = 1,
    /// No such key, index, handler or room.
    SYNCLINE_NOT_FOUND = 2,
    /// Correct, but had no effect (older snapshot, duplicate change).
    SYNCLINE_UNCHANGED = 3,
    /// A wait ended first.
    SYNCLINE_TIMEOUT = 4,
    /// Accepted, waits for missing data or for an answer.
    SYNCLINE_PENDING = 5,

    /// NULL, bad length, bad option, invalid UTF-8, a handle of another kind.
    SYNCLINE_ERROR_INVALID_ARGUMENT = -1,
    /// Index or count outside of the content.
    SYNCLINE_ERROR_OUT_OF_RANGE = -2,
    /// A text index inside of a character.
    SYNCLINE_ERROR_NOT_ON_BOUNDARY = -3,
    /// The id exists with another handler type; or an event of another type.
    SYNCLINE_ERROR_TYPE_MISMATCH = -4,
    /// There is one already.
    SYNCLINE_ERROR_ALREADY_EXISTS = -5,
    /// The object was closed.
    SYNCLINE_ERROR_CLOSED = -6,
    /// History view, read-only room or store.
    SYNCLINE_ERROR_READ_ONLY = -7,
    /// Commit or rollback without begin.
    SYNCLINE_ERROR_NO_TRANSACTION = -8,
    /// Commit on another thread than begin.
    SYNCLINE_ERROR_WRONG_THREAD = -9,
    /// Another thread held the object longer than lock_timeout_ms.
    SYNCLINE_ERROR_BUSY = -10,
    /// This call is not allowed inside of this hook or callback.
    SYNCLINE_ERROR_IN_HOOK = -11,
    /// Bytes from outside are not what they should be.
    SYNCLINE_ERROR_MALFORMED = -12,
    /// Written by a newer version.
    SYNCLINE_ERROR_UNSUPPORTED_VERSION = -13,
    /// A change depends on changes that are not here.
    SYNCLINE_ERROR_CAUSALLY_NOT_READY = -14,
    /// Changes depend on each other in a circle.
    SYNCLINE_ERROR_CYCLE = -15,
    /// A clock is too far ahead of the wall clock.
    SYNCLINE_ERROR_CLOCK_DRIFT = -16,
    /// A named limit was exceeded (size, depth, count).
    SYNCLINE_ERROR_LIMIT = -17,
    /// Not enough memory.
    SYNCLINE_ERROR_OUT_OF_MEMORY = -18,
    /// File or device.
    SYNCLINE_ERROR_IO = -19,
    /// Stored data fails its checksum.
    SYNCLINE_ERROR_CORRUPT = -20,
    /// Store or payload key does not fit.
    SYNCLINE_ERROR_WRONG_KEY = -21,
    /// Address, name resolution, TCP.
    SYNCLINE_ERROR_CONNECT = -22,
    /// TLS handshake or certificate.
    SYNCLINE_ERROR_TLS = -23,
    /// The peer broke or refused the protocol.
    SYNCLINE_ERROR_PROTOCOL = -24,
    /// The peer wants (another) token.
    SYNCLINE_ERROR_UNAUTHORIZED = -25,
    /// The peer refuses this for this user.
    SYNCLINE_ERROR_FORBIDDEN = -26,
    /// History needed by this peer was pruned.
    SYNCLINE_ERROR_OUT_OF_SYNC = -27,
    /// Not connected.
    SYNCLINE_ERROR_OFFLINE = -28,
    /// A wait was cancelled.
    SYNCLINE_ERROR_CANCELLED = -29,
    /// A hook of the application failed; its text is in syncline_error.
    SYNCLINE_ERROR_CALLBACK = -30,
    /// Not in this build, platform or protocol.
    SYNCLINE_ERROR_UNSUPPORTED = -31,
    /// An earlier internal error left this object unusable; free it.
    SYNCLINE_ERROR_POISONED = -32,
    /// A bug in Syncline, caught at the boundary.
    SYNCLINE_ERROR_INTERNAL = -33,
    /// Not while this thread has a transaction open.
    SYNCLINE_ERROR_IN_TRANSACTION = -34,
}

pub use syncline_status::*;

/// A status as C gives it: any integer.
pub type StatusArg = i32;
/// The side of a position on which the element is that it stays with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_affinity {
    /// The element before it: what is inserted at the position comes behind it.
    SYNCLINE_AFFINITY_BEFORE = 0,
    /// The element behind it: what is inserted at the position comes before it.
    SYNCLINE_AFFINITY_AFTER = 1,
}
pub use syncline_affinity::*;

/// The number of a syncline_affinity as C code passes it.
pub type AffinityArg = u32;

/// Checks a number that stands for a side.
pub(crate) fn affinity_of(number: AffinityArg) -> Result<Affinity, Error> {
    match number {
        _ if number == SYNCLINE_AFFINITY_BEFORE as u32 => Ok(Affinity::Before),
        _ if number == SYNCLINE_AFFINITY_AFTER as u32 => Ok(Affinity::After),
        _ => Err(Error::argument("affinity is no syncline_affinity")),
    }
}

/// A boolean in memory of the caller: any byte, everything but zero is true.
pub type BoolArg = u8;

/// Borrowed bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_bytes {
    /// May be NULL when len is 0.
    pub data: *const u8,
    /// In bytes.
    pub len: usize,
}

/// Borrowed UTF-16 code units, native endian; lone surrogates are allowed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_utf16 {
    /// May be NULL when len is 0.
    pub data: *const u16,
    /// In code units.
    pub len: usize,
}

/// Bytes owned by the caller; a NUL byte follows the data. Free it with syncline_buffer_free.
#[repr(C)]
#[derive(Debug)]
pub struct syncline_buffer {
    /// The bytes, or NULL.
    pub data: *mut u8,
    /// In bytes, without the NUL.
    pub len: usize,
    /// Do not touch.
    pub reserved: usize,
}

/// Gives back what user data points to.
pub type syncline_free_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Borrowed UTF-8, may contain NUL. Stands in the prologue of the header, because the inline
/// function beside it needs the definition.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct syncline_string {
    /// May be NULL when len is 0.
    pub data: *const c_char,
    /// In bytes.
    pub len: usize,
}

impl syncline_string {
    /// Borrows `text`; the caller of the API may use it as long as the owner of `text` lives.
    pub(crate) fn borrowed(text: &str) -> Self {
        syncline_string {
            data: text.as_ptr().cast(),
            len: text.len(),
        }
    }

    /// No text.
    pub(crate) const EMPTY: Self = syncline_string {
        data: std::ptr::null(),
        len: 0,
    };
}

impl syncline_bytes {
    /// Borrows `bytes`; the caller of the API may use it as long as the owner of `bytes` lives.
    pub(crate) fn borrowed(bytes: &[u8]) -> Self {
        syncline_bytes {
            data: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// No bytes.
    pub(crate) const EMPTY: Self = syncline_bytes {
        data: std::ptr::null(),
        len: 0,
    };
}

impl Default for syncline_string {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Default for syncline_bytes {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A pointer of the application that travels between threads, as the header announces: user data
/// and what is made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserPointer(pub *mut c_void);

// SAFETY: the library never looks at what user data points to; it only hands the pointer back.
unsafe impl Send for UserPointer {}
// SAFETY: as above.
unsafe impl Sync for UserPointer {}

/// User data that is given back exactly once: when this is dropped. Drop it without any lock.
pub(crate) struct UserData {
    pointer: UserPointer,
    free: syncline_free_fn,
}

impl UserData {
    /// Takes over the duty to call `free`.
    pub(crate) fn new(pointer: *mut c_void, free: syncline_free_fn) -> Self {
        UserData {
            pointer: UserPointer(pointer),
            free,
        }
    }

    /// The pointer itself.
    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer.0
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the application gave this function for this pointer, to be called once.
            unsafe { free(self.pointer.0) };
        }
    }
}
