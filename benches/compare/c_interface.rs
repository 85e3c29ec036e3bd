//! The same edits through the functions of the header, called as C calls them: by pointers that
//! the compiler knows nothing of.

use bench::trace::Trace;
use std::hint::black_box;
use std::ptr;
use syncline::capi::{buffer, document, text, types};

/// A text behind a handle.
pub struct CText {
    document: *mut document::syncline_document,
    text: *mut text::syncline_text,
}

fn check(status: types::syncline_status) {
    assert_eq!(status, types::SYNCLINE_OK);
}

fn borrowed(text: &str) -> types::syncline_string {
    types::syncline_string {
        data: text.as_ptr().cast(),
        len: text.len(),
    }
}

/// One call per removal and per insertion.
pub fn replay(trace: &Trace) -> CText {
    let insert = black_box(text::syncline_text_insert as unsafe extern "C" fn(_, _, _) -> _);
    let remove = black_box(text::syncline_text_remove as unsafe extern "C" fn(_, _, _) -> _);
    let mut new = CText {
        document: ptr::null_mut(),
        text: ptr::null_mut(),
    };
    // SAFETY: out-parameters and strings live for the calls; handles until `new` is dropped.
    unsafe {
        check(document::syncline_document_new(
            ptr::null(),
            &mut new.document,
        ));
        check(document::syncline_document_get_text(
            new.document,
            borrowed("bench"),
            ptr::null(),
            &mut new.text,
        ));
        for edit in &trace.edits {
            if edit.removed_utf16 > 0 {
                check(remove(new.text, edit.at_utf16, edit.removed_utf16));
            }
            if !edit.inserted.is_empty() {
                check(insert(new.text, edit.at_utf16, borrowed(edit.inserted)));
            }
        }
    }
    new
}

impl CText {
    /// The text.
    pub fn content(&self) -> String {
        // SAFETY: the handle lives; the buffer is written by the call and freed once.
        unsafe {
            let mut content = std::mem::zeroed();
            check(text::syncline_text_to_string(self.text, &mut content));
            let bytes = std::slice::from_raw_parts(content.data.cast::<u8>(), content.len);
            let text = String::from_utf8_lossy(bytes).into_owned();
            buffer::syncline_buffer_free(&mut content);
            text
        }
    }
}

impl Drop for CText {
    fn drop(&mut self) {
        // SAFETY: both handles are this value's own.
        unsafe {
            text::syncline_text_free(self.text);
            document::syncline_document_free(self.document);
        }
    }
}
