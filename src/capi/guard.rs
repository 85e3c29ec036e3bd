//! The boundary every exported function runs in: NULL and length checks, UTF-8, panics, the last
//! error, and out-parameters that are checked before the work and written after it.

use super::error::Error;
use super::handle::{Handle, Shell};
use super::types::*;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a function with a status answers.
pub(crate) type Answer = Result<syncline_status, Error>;

/// The right to look at what the arguments of one call point to.
///
/// C promises in the header's introduction: every pointer argument is NULL or points to what its
/// type says, stays valid for the call, and out-parameters are writable. Whoever makes a `Caller`
/// ([`call`], [`ask`]) stands in for that promise, and hands nothing to its methods but arguments
/// of that very call or pointers found inside of them.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a>(PhantomData<&'a ()>);

/// Runs the body of an exported function that answers with a status. A panic must not reach C: it
/// becomes INTERNAL.
///
/// # Safety
/// The promise of [`Caller`] holds for the arguments of this call.
pub(crate) unsafe fn call(body: &mut dyn FnMut(Caller<'_>) -> Answer) -> syncline_status {
    let outcome = catch_unwind(AssertUnwindSafe(|| body(Caller(PhantomData))));
    match outcome {
        Ok(Ok(status)) => status,
        failed => remember(failed),
    }
}

#[cold]
#[inline(never)]
fn remember(failed: std::thread::Result<Answer>) -> syncline_status {
    let answer = failed.unwrap_or_else(|panic| Err(Error::from_panic(panic.as_ref())));
    answer.unwrap_or_else(|error| error.remember())
}

/// Runs the body of an exported function that answers with a plain value: what fails is
/// `otherwise`.
///
/// # Safety
/// As [`call`].
pub(crate) unsafe fn ask<T>(
    otherwise: T,
    mut body: impl FnMut(Caller<'_>) -> Result<T, Error>,
) -> T {
    let mut answer = otherwise;
    attempt(&mut |caller| {
        answer = body(caller)?;
        Ok(())
    });
    answer
}

/// Runs the body of `ask`: of what fails, only a panic is remembered.
fn attempt(body: &mut dyn FnMut(Caller<'_>) -> Result<(), Error>) {
    let outcome = catch_unwind(AssertUnwindSafe(|| body(Caller(PhantomData))));
    if let Err(panic) = outcome {
        Error::from_panic(panic.as_ref()).remember();
    }
}

/// Why an argument is refused. Kept out of the exported functions: most of their size would be
/// messages.
#[cold]
#[inline(never)]
fn refusal(name: &str, what: &str) -> Error {
    Error::argument(format!("{name} {what}"))
}

#[cold]
#[inline(never)]
fn not_utf8(name: &str, valid_up_to: usize) -> Error {
    refusal(name, "is not UTF-8").coded(
        super::error::syncline_error_domain::SYNCLINE_ERROR_DOMAIN_OFFSET,
        valid_up_to as i64,
    )
}

/// Tells the compiler what kind of closure this is, outside of the `unsafe` of the macros.
pub(crate) fn answering<F: FnMut(Caller<'_>) -> Answer>(body: F) -> F {
    body
}

/// As [`answering`].
pub(crate) fn asking<T, F: FnMut(Caller<'_>) -> Result<T, Error>>(body: F) -> F {
    body
}

/// `call` as the exported functions use it.
macro_rules! guard {
    ($body:expr) => {{
        let mut body = $crate::capi::guard::answering($body);
        // SAFETY: the arguments are those of an exported function, whose caller keeps the promise
        // of the header's introduction.
        unsafe { $crate::capi::guard::call(&mut body) }
    }};
}

/// `ask` as the exported functions use it.
macro_rules! question {
    ($otherwise:expr, $body:expr) => {{
        let body = $crate::capi::guard::asking($body);
        // SAFETY: as in `guard!`.
        unsafe { $crate::capi::guard::ask($otherwise, body) }
    }};
}

pub(crate) use {guard, question};

impl<'a> Caller<'a> {
    /// The object behind a handle.
    pub(crate) fn object<T: Handle>(self, handle: *const T) -> Result<&'a T::Inner, Error> {
        Ok(self.shell(handle)?.inner())
    }

    /// As [`object`](Self::object); None for NULL.
    pub(crate) fn object_or_null<T: Handle>(
        self,
        handle: *const T,
    ) -> Result<Option<&'a T::Inner>, Error> {
        if handle.is_null() {
            Ok(None)
        } else {
            self.object(handle).map(Some)
        }
    }

    /// One more owner of the object behind a handle, for calls in which the application may run
    /// (and free the handle).
    pub(crate) fn owned<T: Handle>(self, handle: *const T) -> Result<Arc<Shell<T::Inner>>, Error> {
        let shell: *const Shell<T::Inner> = self.shell(handle)?;
        // SAFETY: `shell` checked that this is a live handle of this kind, that is, one strong
        // count of an `Arc` of this type.
        unsafe {
            Arc::increment_strong_count(shell);
            Ok(Arc::from_raw(shell))
        }
    }

    fn shell<T: Handle>(self, handle: *const T) -> Result<&'a Shell<T::Inner>, Error> {
        let shell: *const Shell<T::Inner> = handle.cast();
        self.check_handle(shell.cast(), shell.is_aligned(), T::KIND as u32, T::NAME)?;
        // SAFETY: the kind word says that the type is right; the handle lives for the call.
        Ok(unsafe { &*shell })
    }

    /// That `shell` is a live handle of this kind.
    fn check_handle(
        self,
        shell: *const Shell<()>,
        is_aligned: bool,
        kind: u32,
        name: &str,
    ) -> Result<(), Error> {
        if shell.is_null() {
            return Err(refusal(name, "is NULL"));
        }
        if !is_aligned {
            return Err(refusal(name, "is not a handle"));
        }
        // SAFETY: aligned, not NULL, and by the promise of `Caller` a handle. A handle of another
        // kind begins with a kind word, too, which is all that is read before the comparison.
        if unsafe { Shell::kind_at(shell) } != kind {
            return Err(refusal(name, "is not a live handle"));
        }
        Ok(())
    }

    /// What an argument points to.
    pub(crate) fn read<T>(self, pointer: *const T, name: &str) -> Result<&'a T, Error> {
        self.check_pointer(pointer.cast(), pointer.is_aligned(), name)?;
        // SAFETY: not NULL, aligned, valid by the promise of `Caller`. The types read this way
        // hold integers and pointers only, so every bit pattern is a value.
        Ok(unsafe { &*pointer })
    }

    fn check_pointer(self, pointer: *const (), is_aligned: bool, name: &str) -> Result<(), Error> {
        if pointer.is_null() {
            return Err(refusal(name, "is NULL"));
        }
        if !is_aligned {
            return Err(refusal(name, "is not aligned"));
        }
        Ok(())
    }

    /// An array of the caller. NULL is allowed when `count` is zero.
    pub(crate) fn slice<T>(
        self,
        pointer: *const T,
        count: usize,
        name: &str,
    ) -> Result<&'a [T], Error> {
        if count == 0 {
            return Ok(&[]);
        }
        self.read(pointer, name)?;
        if count > isize::MAX as usize / size_of::<T>().max(1) {
            return Err(refusal(name, "has an impossible length"));
        }
        // SAFETY: not NULL, aligned, and valid for `count` by the promise of `Caller`.
        Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
    }

    /// Borrowed bytes.
    pub(crate) fn bytes(self, bytes: syncline_bytes, name: &str) -> Result<&'a [u8], Error> {
        self.slice(bytes.data, bytes.len, name)
    }

    /// Borrowed text; must be UTF-8.
    pub(crate) fn text(self, text: syncline_string, name: &str) -> Result<&'a str, Error> {
        let bytes = self.slice(text.data.cast::<u8>(), text.len, name)?;
        std::str::from_utf8(bytes).map_err(|error| not_utf8(name, error.valid_up_to()))
    }

    /// Borrowed UTF-16.
    pub(crate) fn utf16(self, text: syncline_utf16, name: &str) -> Result<&'a [u16], Error> {
        self.slice(text.data, text.len, name)
    }

    /// An out-parameter.
    pub(crate) fn out<T>(self, pointer: *mut T, name: &str) -> Result<Out<'a, T>, Error> {
        self.read(pointer, name)?;
        Ok(Out {
            pointer,
            call: PhantomData,
        })
    }

    /// An out-parameter that the caller may leave out.
    pub(crate) fn out_or_null<T>(
        self,
        pointer: *mut T,
        name: &str,
    ) -> Result<Option<Out<'a, T>>, Error> {
        if pointer.is_null() {
            Ok(None)
        } else {
            self.out(pointer, name).map(Some)
        }
    }

    /// Memory of the caller for `count` items. NULL is allowed when `count` is zero.
    pub(crate) fn fill<T>(
        self,
        pointer: *mut T,
        count: usize,
        name: &str,
    ) -> Result<Fill<'a, T>, Error> {
        self.slice(pointer, count, name)?;
        Ok(Fill {
            pointer,
            count,
            call: PhantomData,
        })
    }

    /// A struct that begins with its size, zero-extended to ours; all defaults for NULL.
    pub(crate) fn sized<T: OptionStruct>(self, pointer: *const T, name: &str) -> Result<T, Error> {
        if pointer.is_null() {
            return Ok(T::zeroed());
        }
        let size = self.struct_size(pointer, name)?;
        let given = self.slice(pointer.cast::<u8>(), size, name)?;
        let own = size_of::<T>();
        if given[own.min(size)..].iter().any(|byte| *byte != 0) {
            return Err(Error::new(
                SYNCLINE_ERROR_UNSUPPORTED,
                format!("{name} sets a field that this version does not know"),
            ));
        }
        let mut value = T::zeroed();
        // SAFETY: both ranges are valid for the smaller of the sizes and do not overlap; every
        // bit pattern is a value of a `OptionStruct` type.
        unsafe {
            std::ptr::copy_nonoverlapping(
                given.as_ptr(),
                (&raw mut value).cast::<u8>(),
                own.min(size),
            );
        }
        Ok(value)
    }

    /// An out-parameter struct that begins with its size, set by the caller.
    pub(crate) fn out_sized<T: SizeFirst>(
        self,
        pointer: *mut T,
        name: &str,
    ) -> Result<OutSized<'a, T>, Error> {
        let size = self.struct_size(pointer, name)?;
        Ok(OutSized {
            pointer,
            size,
            call: PhantomData,
        })
    }

    fn struct_size<T: SizeFirst>(self, pointer: *const T, name: &str) -> Result<usize, Error> {
        let size = *self.read(pointer.cast::<usize>(), name)?;
        if !(size_of::<usize>()..=STRUCT_SIZE_MAX).contains(&size) {
            return Err(refusal(name, "has no struct_size"));
        }
        Ok(size)
    }
}

/// No struct of this API will ever be larger: a larger size is a size that was never set.
const STRUCT_SIZE_MAX: usize = 1 << 16;

/// A struct of the header that begins with `size_t struct_size`.
///
/// # Safety
/// `repr(C)`, and the first field is a `usize`.
pub(crate) unsafe trait SizeFirst: Sized {}

/// A struct of that form that C gives and Rust reads.
///
/// # Safety
/// As [`SizeFirst`], and every bit pattern is a value: integers, pointers and nullable function
/// pointers only. Pointers in it are believed only inside of a [`Caller`].
pub(crate) unsafe trait OptionStruct: SizeFirst {
    /// All defaults.
    fn zeroed() -> Self {
        // SAFETY: every bit pattern is a value, so all zeroes are one.
        unsafe { std::mem::zeroed() }
    }
}

/// A size given as a 64-bit number; zero is the default.
#[cfg(feature = "net")]
pub(crate) fn or_size(given: u64, otherwise: usize) -> usize {
    if given == 0 {
        otherwise
    } else {
        usize::try_from(given).unwrap_or(usize::MAX)
    }
}

/// An out-parameter: checked before the work, written after it, never in between.
pub(crate) struct Out<'a, T> {
    pointer: *mut T,
    call: PhantomData<&'a mut T>,
}

impl<T> Out<'_, T> {
    /// Writes the result. What was there is overwritten, not dropped.
    pub(crate) fn put(self, value: T) {
        // SAFETY: not NULL, aligned, writable by the promise of `Caller`.
        unsafe { self.pointer.write(value) };
    }

    /// Writes the result and answers OK.
    pub(crate) fn give(self, value: T) -> Answer {
        self.put(value);
        Ok(SYNCLINE_OK)
    }
}

impl<T: Handle> Out<'_, *mut T> {
    /// Gives a new handle to `inner` away.
    pub(crate) fn give_handle(self, inner: T::Inner) -> Answer {
        self.give(T::make(inner))
    }
}

/// Memory of the caller that a function fills.
pub(crate) struct Fill<'a, T> {
    pointer: *mut T,
    count: usize,
    call: PhantomData<&'a mut T>,
}

impl<T: Copy> Fill<'_, T> {
    /// How many items fit.
    pub(crate) fn capacity(&self) -> usize {
        self.count
    }

    /// Writes as many items as fit.
    pub(crate) fn put(self, items: &[T]) {
        let count = items.len().min(self.count);
        if count > 0 {
            // SAFETY: `self.count` items are writable by the promise of `Caller`; memory of the
            // caller cannot overlap with a slice of ours.
            unsafe { std::ptr::copy_nonoverlapping(items.as_ptr(), self.pointer, count) };
        }
    }
}

/// As [`Out`], for structs that begin with their size.
pub(crate) struct OutSized<'a, T> {
    pointer: *mut T,
    size: usize,
    call: PhantomData<&'a mut T>,
}

impl<T: SizeFirst> OutSized<'_, T> {
    /// Writes as much as the caller knows and zeroes the rest. `struct_size` stays.
    pub(crate) fn give(self, value: T) -> Answer {
        let skip = size_of::<usize>();
        let known = self.size.min(size_of::<T>());
        let target: *mut u8 = self.pointer.cast();
        // SAFETY: `self.size` bytes are writable by the promise of `Caller`; `known` is at least
        // `skip` and at most the size of `value`.
        unsafe {
            let source: *const u8 = (&raw const value).cast();
            std::ptr::copy_nonoverlapping(source.add(skip), target.add(skip), known - skip);
            std::ptr::write_bytes(target.add(known), 0, self.size - known);
        }
        Ok(SYNCLINE_OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Options {
        struct_size: usize,
        number: u64,
    }
    // SAFETY: the first field is the size.
    unsafe impl SizeFirst for Options {}
    // SAFETY: integers only.
    unsafe impl OptionStruct for Options {}

    #[repr(C)]
    struct LaterOptions {
        known: Options,
        added: u64,
    }

    fn with<T>(body: impl FnOnce(Caller<'_>) -> Result<T, Error>) -> Result<T, Error> {
        body(Caller(PhantomData))
    }

    #[test]
    fn a_struct_of_a_later_version_is_read_only_if_its_new_fields_are_zero() {
        let mut later = LaterOptions {
            known: Options {
                struct_size: size_of::<LaterOptions>(),
                number: 7,
            },
            added: 0,
        };
        let read = with(|caller| caller.sized(ptr::from_ref(&later).cast::<Options>(), "options"));
        assert_eq!(read.unwrap().number, 7);
        later.added = 1;
        let read = with(|caller| caller.sized(ptr::from_ref(&later).cast::<Options>(), "options"));
        assert_eq!(read.err().unwrap().status, SYNCLINE_ERROR_UNSUPPORTED);
    }

    #[test]
    fn a_struct_of_an_earlier_version_leaves_the_rest_at_its_default() {
        let earlier = Options {
            struct_size: size_of::<usize>(),
            number: 7,
        };
        let read = with(|caller| caller.sized(&earlier, "options")).unwrap();
        assert_eq!(read.number, 0);
        let unset = Options {
            struct_size: 0,
            number: 7,
        };
        let read = with(|caller| caller.sized(&unset, "options"));
        assert_eq!(read.err().unwrap().status, SYNCLINE_ERROR_INVALID_ARGUMENT);
    }

    #[test]
    fn an_out_struct_keeps_the_size_of_its_caller() {
        let mut later = LaterOptions {
            known: Options {
                struct_size: size_of::<LaterOptions>(),
                number: 1,
            },
            added: 9,
        };
        let value = Options {
            struct_size: 0,
            number: 5,
        };
        let pointer = ptr::from_mut(&mut later).cast::<Options>();
        with(|caller| caller.out_sized(pointer, "out")?.give(value)).unwrap();
        assert_eq!(
            (later.known.struct_size, later.known.number, later.added),
            (size_of::<LaterOptions>(), 5, 0)
        );
    }

    #[test]
    fn a_panic_becomes_a_status_and_an_error_text() {
        let status = guard!(|_| panic!("on demand"));
        assert_eq!(status, SYNCLINE_ERROR_INTERNAL);
        assert!(super::super::error::last_message().contains("on demand"));
    }

    #[test]
    fn lengths_without_memory_are_refused() {
        let text = syncline_string {
            data: ptr::null(),
            len: 1,
        };
        assert!(with(|caller| caller.text(text, "text").map(str::len)).is_err());
        let text = syncline_string {
            data: ptr::null(),
            len: 0,
        };
        assert_eq!(
            with(|caller| caller.text(text, "text").map(str::len)).unwrap(),
            0
        );
        let huge = syncline_bytes {
            data: [0u8].as_ptr(),
            len: usize::MAX,
        };
        assert!(with(|caller| caller.bytes(huge, "bytes").map(<[u8]>::len)).is_err());
    }
}
