//! The edits of a trace in a document.

use crate::trace::Trace;
use syncline::document::{Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec};

pub fn options() -> DocumentOptions {
    DocumentOptions {
        document_id: "bench".into(),
        ..DocumentOptions::default()
    }
}

pub fn with_text(mut document: Document) -> (Document, HandlerIdx) {
    let text = document
        .handler("text", &HandlerSpec::new(HandlerKind::FugueText))
        .expect("a new handler");
    (document, text)
}

/// One change per removal and per insertion, each committed at once.
pub fn edited(trace: &Trace) -> Document {
    let (mut document, text) = with_text(Document::new(options()));
    for edit in &trace.edits {
        if edit.removed_utf16 > 0 {
            document
                .text_remove(text, edit.at_utf16, edit.removed_utf16)
                .expect("inside of the text");
        }
        if !edit.inserted.is_empty() {
            document
                .text_insert(text, edit.at_utf16, edit.inserted)
                .expect("inside of the text");
        }
    }
    document
}

pub fn check_text(trace: &Trace, document: &Document) {
    let text = document.find_handler("text").expect("registered");
    assert!(
        document.text_string(text) == trace.end,
        "the text at the end differs"
    );
}
