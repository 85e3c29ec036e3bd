//! Handles: one strong count of an `Arc` each, with a kind word in front.
//!
//! C sees a pointer to an opaque type; behind it lies a [`Shell`] with the object. The kind word
//! is checked on entry and cleared when the object goes, so that a wrong or stale pointer usually
//! gives INVALID_ARGUMENT: a help for whoever writes a binding, not a promise.

use super::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The kind word: ASCII letters that show up in a debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Queue = u32::from_be_bytes(*b"SyQu"),
    Subscription = u32::from_be_bytes(*b"SySu"),
    Event = u32::from_be_bytes(*b"SyEv"),
    Iterator = u32::from_be_bytes(*b"SyIt"),
    VersionVector = u32::from_be_bytes(*b"SyVv"),
    Change = u32::from_be_bytes(*b"SyCh"),
    Snapshot = u32::from_be_bytes(*b"SySn"),
    Document = u32::from_be_bytes(*b"SyDo"),
    Handler = u32::from_be_bytes(*b"SyHa"),
    Text = u32::from_be_bytes(*b"SyTe"),
    List = u32::from_be_bytes(*b"SyLi"),
    Map = u32::from_be_bytes(*b"SyMa"),
    Set = u32::from_be_bytes(*b"SySe"),
    Register = u32::from_be_bytes(*b"SyRe"),
    Custom = u32::from_be_bytes(*b"SyCu"),
    History = u32::from_be_bytes(*b"SyHi"),
    Undo = u32::from_be_bytes(*b"SyUn"),
    Store = u32::from_be_bytes(*b"SySt"),
    #[cfg(feature = "client")]
    Client = u32::from_be_bytes(*b"SyCl"),
    #[cfg(feature = "server")]
    Server = u32::from_be_bytes(*b"SySv"),
}

/// What a handle points to.
#[repr(C)]
pub(crate) struct Shell<I> {
    kind: AtomicU32,
    inner: I,
}

impl<I> Shell<I> {
    /// Reads the kind word only.
    ///
    /// # Safety
    /// `shell` is aligned and points to at least four readable bytes.
    pub(crate) unsafe fn kind_at(shell: *const Self) -> u32 {
        // SAFETY: promised by the caller; the word is the first field.
        unsafe { (*shell.cast::<AtomicU32>()).load(Ordering::Relaxed) }
    }

    /// The object.
    pub(crate) fn inner(&self) -> &I {
        &self.inner
    }
}

impl<I> Drop for Shell<I> {
    fn drop(&mut self) {
        self.kind.store(0, Ordering::Relaxed);
    }
}

/// Handles given to C and not yet freed.
static LIVE: AtomicU64 = AtomicU64::new(0);

/// Handles given to C and not yet freed.
pub(crate) fn live_handles() -> u64 {
    LIVE.load(Ordering::Relaxed)
}

/// An opaque type of the header.
pub(crate) trait Handle: Sized {
    /// The object behind it. Any thread may use it and drop it.
    type Inner: Send + Sync + 'static;
    /// Its kind word.
    const KIND: Kind;
    /// How error texts call it.
    const NAME: &'static str;

    /// A new object without a handle: for what is lent to a callback.
    fn shell(inner: Self::Inner) -> Arc<Shell<Self::Inner>> {
        Arc::new(Shell {
            kind: AtomicU32::new(Self::KIND as u32),
            inner,
        })
    }

    /// Gives one handle to a new object away.
    fn make(inner: Self::Inner) -> *mut Self {
        Self::give(Self::shell(inner))
    }

    /// Gives one handle away.
    fn give(shell: Arc<Shell<Self::Inner>>) -> *mut Self {
        LIVE.fetch_add(1, Ordering::Relaxed);
        Arc::into_raw(shell).cast_mut().cast()
    }

    /// The pointer that C sees while it may borrow `shell`.
    fn lend(shell: &Arc<Shell<Self::Inner>>) -> *const Self {
        Arc::as_ptr(shell).cast()
    }
}

/// Implements [`Handle`] for an opaque type.
macro_rules! handle {
    ($name:ident, $inner:ty, $kind:ident) => {
        impl $crate::capi::handle::Handle for $name {
            type Inner = $inner;
            const KIND: $crate::capi::handle::Kind = $crate::capi::handle::Kind::$kind;
            const NAME: &'static str = stringify!($name);
        }
    };
}

pub(crate) use handle;

/// The body of every `_free`: takes one handle back. NULL is nothing; what is not a live handle of
/// the kind is remembered as an error and left alone.
///
/// # Safety
/// `handle` is NULL or a handle, and the caller does not use it again.
pub(crate) unsafe fn free<T: Handle>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    // SAFETY: the promise of this function is the one that `ask` wants.
    let shell = unsafe {
        super::guard::ask(None, |caller| {
            caller.owned(handle).map(Some).inspect_err(Error::note)
        })
    };
    let Some(shell) = shell else { return };
    LIVE.fetch_sub(1, Ordering::Relaxed);
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `owned` holds a count of its own, so the count of the handle can go.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(&shell)) };
        drop(shell);
    }));
    if let Err(panic) = dropped {
        Error::from_panic(panic.as_ref()).remember();
    }
}

/// The body of every `_retain`: one more handle to the same object; NULL for what is not a handle.
///
/// # Safety
/// `handle` is NULL or a handle.
pub(crate) unsafe fn retain<T: Handle>(handle: *const T) -> *mut T {
    // SAFETY: the promise of this function is the one that `ask` wants.
    unsafe {
        super::guard::ask(std::ptr::null_mut(), |caller| {
            Ok(T::give(caller.owned(handle)?))
        })
    }
}
