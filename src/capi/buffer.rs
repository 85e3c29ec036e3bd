//! Section 4: bytes that the caller owns.

use super::guard::{guard, question};
use super::types::*;
use std::ptr;

impl syncline_buffer {
    /// No content; nothing to free.
    pub(crate) const EMPTY: Self = syncline_buffer {
        data: ptr::null_mut(),
        len: 0,
        reserved: 0,
    };

    /// Gives `bytes` away, with a NUL behind them.
    pub(crate) fn from_vec(mut bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        bytes.reserve_exact(1);
        bytes.push(0);
        let memory = Box::leak(bytes.into_boxed_slice());
        syncline_buffer {
            data: memory.as_mut_ptr(),
            len,
            reserved: memory.len(),
        }
    }

    /// The content of a buffer that a hook filled.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        let len = self.len;
        let mut bytes = self.take().map_or_else(Vec::new, Vec::from);
        // Without the NUL behind the content.
        bytes.truncate(len.min(bytes.len().saturating_sub(1)));
        bytes
    }

    /// Takes the content back and leaves an empty buffer.
    fn take(&mut self) -> Option<Box<[u8]>> {
        let taken = std::mem::replace(self, Self::EMPTY);
        if taken.data.is_null() {
            return None;
        }
        let memory = ptr::slice_from_raw_parts_mut(taken.data, taken.reserved);
        // SAFETY: `data` and `reserved` come from `from_vec`; the application does not touch
        // `reserved` and may shorten `len` only. The replacement keeps it from happening twice.
        Some(unsafe { Box::from_raw(memory) })
    }
}

/// Frees the content and makes the buffer empty, so that freeing twice is harmless.
///
/// @param buffer  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_buffer_free(buffer: *mut syncline_buffer) {
    question!((), |caller| {
        if !buffer.is_null() {
            caller.read(buffer, "buffer")?;
            // SAFETY: not NULL, aligned, writable by the promise of `Caller`.
            drop(unsafe { &mut *buffer }.take());
        }
        Ok(())
    })
}

/// Copies bytes into a new buffer, for answers of hooks.
///
/// @param content     may be empty
/// @param out_buffer  the copy; free it with syncline_buffer_free
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_buffer_new(
    content: syncline_bytes,
    out_buffer: *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_buffer, "out_buffer")?;
        let content = caller.bytes(content, "content")?;
        out.give(syncline_buffer::from_vec(content.to_vec()))
    })
}

/// The content as borrowed bytes.
///
/// @return empty for NULL; valid until the buffer is freed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_buffer_bytes(buffer: *const syncline_buffer) -> syncline_bytes {
    question!(syncline_bytes::EMPTY, |caller| {
        let buffer = caller.read(buffer, "buffer")?;
        Ok(syncline_bytes {
            data: buffer.data,
            len: buffer.len,
        })
    })
}

/// The content as a borrowed string.
///
/// @return empty for NULL; valid until the buffer is freed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_buffer_string(buffer: *const syncline_buffer) -> syncline_string {
    question!(syncline_string::EMPTY, |caller| {
        let buffer = caller.read(buffer, "buffer")?;
        Ok(syncline_string {
            data: buffer.data.cast(),
            len: buffer.len,
        })
    })
}

/// Frees a buffer made by syncline_buffer_box together with its content: for finalizers, which
/// know one pointer only.
///
/// @param boxed  NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_buffer_free_pointer(boxed: *mut syncline_buffer) {
    question!((), |caller| {
        if !boxed.is_null() {
            caller.read(boxed, "boxed")?;
            // SAFETY: the caller got this pointer from syncline_buffer_box and gives it up.
            drop(unsafe { Box::from_raw(boxed) }.take());
        }
        Ok(())
    })
}

/// Moves a buffer to the heap, for callers with a garbage collector. The given buffer is empty
/// afterwards.
///
/// @param buffer     what to move
/// @param out_boxed  free it with syncline_buffer_free_pointer
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_buffer_box(
    buffer: *mut syncline_buffer,
    out_boxed: *mut *mut syncline_buffer,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out(out_boxed, "out_boxed")?;
        caller.read(buffer, "buffer")?;
        // SAFETY: not NULL, aligned, writable by the promise of `Caller`.
        let moved = std::mem::replace(unsafe { &mut *buffer }, syncline_buffer::EMPTY);
        out.give(Box::into_raw(Box::new(moved)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freeing_twice_is_harmless_and_a_nul_follows() {
        let mut buffer = syncline_buffer::from_vec(b"ab".to_vec());
        // SAFETY: `from_vec` allocates one byte more than `len`.
        let content = unsafe { std::slice::from_raw_parts(buffer.data, 3) };
        assert_eq!(content, b"ab\0");
        buffer.len = 1;
        // SAFETY: a live buffer; the second call sees an empty one.
        unsafe {
            syncline_buffer_free(&mut buffer);
            syncline_buffer_free(&mut buffer);
        }
        assert!(buffer.data.is_null());
    }
}
