//! What a text must be able to do to be compared, and Syncline doing it.

use bench::trace::Edit;
use std::marker::PhantomData;
use syncline::clock::PeerId;
use syncline::codec::{Snapshot, change};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, LogPosition, Origin,
};

/// A text of one writer, with all its history.
pub trait Engine: Sized {
    /// How tables call it.
    const NAME: &'static str;

    /// An empty text. Writers have different numbers, from 1 on.
    fn new(writer: u32) -> Self;

    /// One edit, at once a transaction of its own.
    fn edit(&mut self, edit: &Edit);

    /// Edits as one transaction, and the bytes with which another replica follows.
    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8>;

    /// Follows another replica.
    fn apply(&mut self, update: &[u8]);

    /// The whole history as one update.
    fn export_all(&mut self) -> Vec<u8>;

    /// As little as is needed to go on with the text later.
    fn save(&mut self) -> Vec<u8>;

    /// Goes on with a saved text.
    fn load(saved: &[u8]) -> Self;

    /// The text.
    fn text(&self) -> String;
}

/// How Syncline's changes travel and are kept.
pub trait Form {
    fn export_since(document: &mut Document, position: LogPosition) -> Vec<u8>;
    fn export_all(document: &mut Document) -> Vec<u8>;
    fn import(document: &mut Document, bytes: &[u8]);
    fn save(document: &mut Document) -> Vec<u8>;
    fn load(document: &mut Document, bytes: &[u8]);
}

/// The bytes of Dart's crdt_lf.
pub struct CrdtLf;

impl Form for CrdtLf {
    fn export_since(document: &mut Document, position: LogPosition) -> Vec<u8> {
        let changes = document.changes_since(position);
        change::encode_list(changes.expect("nothing was rewritten").iter())
    }

    fn export_all(document: &mut Document) -> Vec<u8> {
        document.export_list()
    }

    fn import(document: &mut Document, bytes: &[u8]) {
        let outcome = document.import_list(bytes, &[], Origin::Remote);
        assert_eq!(outcome.expect("exported here").not_ready, 0);
    }

    fn save(document: &mut Document) -> Vec<u8> {
        use syncline::replica::Replica as _;
        document
            .take_snapshot(true)
            .expect("no transaction")
            .encode()
    }

    fn load(document: &mut Document, bytes: &[u8]) {
        let snapshot = Snapshot::decode(bytes).expect("encoded here");
        let applied = document.import_snapshot(&snapshot, true);
        assert!(applied.expect("an open document"));
    }
}

/// Syncline's document with one Fugue text.
pub struct Ours<F> {
    pub document: Document,
    pub text: HandlerIdx,
    form: PhantomData<F>,
}

impl<F: Form> Ours<F> {
    pub fn edit_text(&mut self, edit: &Edit) {
        if edit.removed_utf16 > 0 {
            self.document
                .text_remove(self.text, edit.at_utf16, edit.removed_utf16)
                .expect("inside of the text");
        }
        if !edit.inserted.is_empty() {
            self.document
                .text_insert(self.text, edit.at_utf16, edit.inserted)
                .expect("inside of the text");
        }
    }
}

/// Options of a document whose ids cost no randomness.
pub fn options(writer: u32) -> DocumentOptions {
    let mut peer = [0x40; 16];
    peer[..4].copy_from_slice(&writer.to_be_bytes());
    DocumentOptions {
        peer_id: Some(PeerId::from_bytes(peer)),
        document_id: "bench".into(),
        ..DocumentOptions::default()
    }
}

/// A document with a handler of a kind.
pub fn document_with(writer: u32, kind: HandlerKind) -> (Document, HandlerIdx) {
    let mut document = Document::new(options(writer));
    let handler = document
        .handler("bench", &HandlerSpec::new(kind))
        .expect("a new handler");
    (document, handler)
}

impl<F: Form> Engine for Ours<F> {
    const NAME: &'static str = crate::report::OURS;

    fn new(writer: u32) -> Self {
        let (document, text) = document_with(writer, HandlerKind::FugueText);
        Ours {
            document,
            text,
            form: PhantomData,
        }
    }

    fn edit(&mut self, edit: &Edit) {
        self.edit_text(edit);
    }

    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8> {
        let position = self.document.log_position();
        if let [edit] = edits {
            self.edit_text(edit);
        } else {
            self.document.begin(&[]).expect("an open document");
            edits.iter().for_each(|edit| self.edit_text(edit));
            self.document.commit().expect("begun");
        }
        F::export_since(&mut self.document, position)
    }

    fn apply(&mut self, update: &[u8]) {
        F::import(&mut self.document, update);
    }

    fn export_all(&mut self) -> Vec<u8> {
        F::export_all(&mut self.document)
    }

    fn save(&mut self) -> Vec<u8> {
        F::save(&mut self.document)
    }

    fn load(saved: &[u8]) -> Self {
        let mut loaded = Self::new(1);
        F::load(&mut loaded.document, saved);
        loaded
    }

    fn text(&self) -> String {
        self.document.text_string(self.text)
    }
}
