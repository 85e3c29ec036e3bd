//! What a text must be able to do to be compared, and Syncline doing it.

use bench::trace::Edit;
use std::marker::PhantomData;
use syncline::clock::PeerId;
use syncline::clock::VersionVector;
use syncline::codec::native::deflated;
use syncline::codec::{Snapshot, change};
use syncline::document::{
    Document, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, LogPosition, NativeReader,
    NativeWriter, Origin,
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

    /// The whole history as one update; None: the engine keeps none.
    fn export_all(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Length of such an update after compression by its own means.
    fn packed_len(update: &[u8]) -> usize {
        update.len()
    }

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
    fn packed_len(update: &[u8]) -> usize;
    fn save(document: &mut Document) -> Vec<u8>;
    fn load(bytes: &[u8]) -> Document;
}

/// Syncline's own form: updates that stand alone.
pub struct Native;

impl Form for Native {
    fn export_since(document: &mut Document, position: LogPosition) -> Vec<u8> {
        let parts = document.native_changes_since(position, usize::MAX);
        let mut parts = parts.expect("nothing was rewritten");
        assert_eq!(parts.len(), 1);
        parts.remove(0)
    }

    fn export_all(document: &mut Document) -> Vec<u8> {
        document.export_native(&VersionVector::new())
    }

    fn import(document: &mut Document, bytes: &[u8]) {
        let outcome = document.import_native(bytes, &[], Origin::Remote);
        assert_eq!(outcome.expect("exported here").not_ready, 0);
    }

    fn packed_len(update: &[u8]) -> usize {
        deflated(update).expect("a container").len()
    }

    fn save(document: &mut Document) -> Vec<u8> {
        document.native_snapshot(false).expect("no transaction")
    }

    fn load(bytes: &[u8]) -> Document {
        Document::open_native(bytes, options(1)).expect("saved here")
    }
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

    fn packed_len(update: &[u8]) -> usize {
        update.len()
    }

    fn load(bytes: &[u8]) -> Document {
        let (mut document, _) = document_with(1, HandlerKind::FugueText);
        let snapshot = Snapshot::decode(bytes).expect("encoded here");
        let applied = document.import_snapshot(&snapshot, true);
        assert!(applied.expect("an open document"));
        document
    }
}

/// Syncline's document with one Fugue text.
pub struct Ours<F> {
    pub document: Document,
    pub text: HandlerIdx,
    form: PhantomData<F>,
}

impl<F: Form> Ours<F> {
    /// Edits as one transaction.
    fn edit_together(&mut self, edits: &[Edit]) {
        if let [edit] = edits {
            return self.edit_text(edit);
        }
        self.document.begin(&[]).expect("an open document");
        edits.iter().for_each(|edit| self.edit_text(edit));
        self.document.commit().expect("begun");
    }

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
        self.edit_together(edits);
        F::export_since(&mut self.document, position)
    }

    fn apply(&mut self, update: &[u8]) {
        F::import(&mut self.document, update);
    }

    fn export_all(&mut self) -> Option<Vec<u8>> {
        Some(F::export_all(&mut self.document))
    }

    fn save(&mut self) -> Vec<u8> {
        F::save(&mut self.document)
    }

    fn packed_len(update: &[u8]) -> usize {
        F::packed_len(update)
    }

    fn load(saved: &[u8]) -> Self {
        let document = F::load(saved);
        Ours {
            text: document.find_handler("bench").expect("saved with it"),
            document,
            form: PhantomData,
        }
    }

    fn text(&self) -> String {
        self.document.text_string(self.text)
    }
}

/// The same with one reader who gets a stream of updates, as over a connection.
pub struct Streamed {
    pub ours: Ours<Native>,
    writer: NativeWriter,
    reader: NativeReader,
}

impl Streamed {
    /// What is new since the last time.
    pub fn update(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = self.writer.update(&self.ours.document, &mut bytes);
        assert!(written.expect("nothing was rewritten"));
        bytes
    }
}

impl Engine for Streamed {
    const NAME: &'static str = crate::report::OURS;

    fn new(writer: u32) -> Self {
        Streamed {
            ours: Ours::new(writer),
            writer: NativeWriter::new(&VersionVector::new()),
            reader: NativeReader::new(),
        }
    }

    fn edit(&mut self, edit: &Edit) {
        self.ours.edit(edit);
    }

    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8> {
        self.ours.edit_together(edits);
        self.update()
    }

    fn apply(&mut self, update: &[u8]) {
        let document = &mut self.ours.document;
        let outcome = self.reader.apply(document, update, &[], Origin::Remote);
        assert_eq!(outcome.expect("written here").not_ready, 0);
    }

    fn export_all(&mut self) -> Option<Vec<u8>> {
        self.ours.export_all()
    }

    fn save(&mut self) -> Vec<u8> {
        self.ours.save()
    }

    fn load(saved: &[u8]) -> Self {
        Streamed {
            ours: Ours::load(saved),
            ..Streamed::new(1)
        }
    }

    fn text(&self) -> String {
        self.ours.text()
    }
}
