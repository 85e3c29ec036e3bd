//! The engines that people choose today, each as its manual says.

use crate::engine::Engine;
use crate::texts::edit_rope;
use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjId, ObjType, ROOT, ReadDoc as _};
use bench::trace::Edit;
use diamond_types::list::ListCRDT;
use diamond_types::list::encoding::{ENCODE_FULL, ENCODE_PATCH};
use jumprope::JumpRope;
use loro::{ExportMode, LoroDoc, LoroText};
use yrs::updates::decoder::Decode as _;
use yrs::{
    Doc, GetString as _, OffsetKind, Options, ReadTxn as _, Text as _, TextRef, Transact as _,
};

pub struct Diamond {
    pub list: ListCRDT,
    agent: u32,
}

impl Diamond {
    /// What is newer than a version.
    pub fn since(&self, version: &[usize]) -> Vec<u8> {
        self.list.oplog.encode_from(ENCODE_PATCH, version)
    }
}

impl Engine for Diamond {
    const NAME: &'static str = "diamond-types";

    fn new(writer: u32) -> Self {
        let mut list = ListCRDT::new();
        let agent = list.get_or_create_agent_id(&format!("writer {writer}"));
        Diamond { list, agent }
    }

    fn edit(&mut self, edit: &Edit) {
        let at = edit.at_chars;
        if edit.removed_chars > 0 {
            self.list
                .delete_without_content(self.agent, at..at + edit.removed_chars);
        }
        if !edit.inserted.is_empty() {
            self.list.insert(self.agent, at, edit.inserted);
        }
    }

    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8> {
        let before = self.list.oplog.local_version();
        edits.iter().for_each(|edit| self.edit(edit));
        self.since(&before)
    }

    fn apply(&mut self, update: &[u8]) {
        self.list.merge_data_and_ff(update).expect("exported here");
    }

    fn export_all(&mut self) -> Option<Vec<u8>> {
        Some(self.save())
    }

    fn save(&mut self) -> Vec<u8> {
        self.list.oplog.encode(ENCODE_FULL)
    }

    fn load(saved: &[u8]) -> Self {
        let mut list = ListCRDT::load_from(saved).expect("saved here");
        let agent = list.get_or_create_agent_id("writer 1");
        Diamond { list, agent }
    }

    fn text(&self) -> String {
        self.list.branch.content().to_string()
    }
}

/// cola knows no text: as its users do, it is paired with a rope.
pub struct Cola {
    replica: cola::Replica,
    rope: JumpRope,
}

#[derive(serde::Serialize, serde::Deserialize)]
enum ColaMessage {
    Deletion(cola::Deletion),
    Insertion(cola::Insertion, String),
}

impl Cola {
    fn edit_telling(&mut self, edit: &Edit, mut tell: impl FnMut(ColaMessage)) {
        let at = edit.at_chars;
        edit_rope(&mut self.rope, edit);
        if edit.removed_chars > 0 {
            let range = at..at + edit.removed_chars;
            tell(ColaMessage::Deletion(self.replica.deleted(range)));
        }
        if !edit.inserted.is_empty() {
            let insertion = self.replica.inserted(at, edit.inserted.chars().count());
            tell(ColaMessage::Insertion(insertion, edit.inserted.to_owned()));
        }
    }
}

impl Engine for Cola {
    const NAME: &'static str = "cola + rope";

    fn new(writer: u32) -> Self {
        Cola {
            // Replicas that are no forks of one do not know each other's elements.
            replica: cola::Replica::new(u64::MAX, 0).fork(u64::from(writer)),
            rope: JumpRope::new(),
        }
    }

    fn edit(&mut self, edit: &Edit) {
        self.edit_telling(edit, |message| {
            std::hint::black_box(&message);
        });
    }

    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8> {
        let mut messages = Vec::with_capacity(1);
        for edit in edits {
            self.edit_telling(edit, |message| messages.push(message));
        }
        bincode::serialize(&messages).expect("plain data")
    }

    fn apply(&mut self, update: &[u8]) {
        let messages: Vec<ColaMessage> = bincode::deserialize(update).expect("exported here");
        for message in messages {
            match message {
                ColaMessage::Insertion(insertion, text) => {
                    if let Some(at) = self.replica.integrate_insertion(&insertion) {
                        self.rope.insert(at, &text);
                    }
                }
                ColaMessage::Deletion(deletion) => {
                    let ranges = self.replica.integrate_deletion(&deletion);
                    for range in ranges.into_iter().rev() {
                        self.rope.remove(range);
                    }
                }
            }
        }
    }

    fn save(&mut self) -> Vec<u8> {
        let text = self.rope.to_string();
        bincode::serialize(&(self.replica.encode(), text)).expect("plain data")
    }

    fn load(saved: &[u8]) -> Self {
        let (replica, text): (cola::EncodedReplica, String) =
            bincode::deserialize(saved).expect("saved here");
        Cola {
            replica: cola::Replica::decode(1, &replica).expect("saved here"),
            rope: JumpRope::from(text.as_str()),
        }
    }

    fn text(&self) -> String {
        self.rope.to_string()
    }
}

pub struct Loro {
    pub document: LoroDoc,
    text: LoroText,
}

impl Loro {
    /// What is newer than a version.
    pub fn since(&self, version: &loro::VersionVector) -> Vec<u8> {
        let mode = ExportMode::updates(version);
        self.document.export(mode).expect("its own version")
    }

    fn edit_open(&self, edit: &Edit) {
        if edit.removed_chars > 0 {
            self.text
                .delete(edit.at_chars, edit.removed_chars)
                .expect("inside of the text");
        }
        if !edit.inserted.is_empty() {
            self.text
                .insert(edit.at_chars, edit.inserted)
                .expect("inside of the text");
        }
    }
}

impl Engine for Loro {
    const NAME: &'static str = "Loro";

    fn new(writer: u32) -> Self {
        let document = LoroDoc::new();
        document.set_peer_id(u64::from(writer)).expect("a new one");
        let text = document.get_text("bench");
        Loro { document, text }
    }

    fn edit(&mut self, edit: &Edit) {
        self.edit_open(edit);
        self.document.commit();
    }

    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8> {
        let before = self.document.oplog_vv();
        edits.iter().for_each(|edit| self.edit_open(edit));
        self.document.commit();
        self.since(&before)
    }

    fn apply(&mut self, update: &[u8]) {
        self.document.import(update).expect("exported here");
    }

    fn export_all(&mut self) -> Option<Vec<u8>> {
        let mode = ExportMode::all_updates();
        Some(self.document.export(mode).expect("all there is"))
    }

    fn save(&mut self) -> Vec<u8> {
        let mode = ExportMode::snapshot();
        self.document.export(mode).expect("all there is")
    }

    fn load(saved: &[u8]) -> Self {
        let mut loaded = Loro::new(1);
        loaded.apply(saved);
        loaded
    }

    fn text(&self) -> String {
        self.text.to_string()
    }
}

pub struct Yrs {
    document: Doc,
    text: TextRef,
}

impl Yrs {
    fn edit_in(&self, transaction: &mut yrs::TransactionMut<'_>, edit: &Edit) {
        let at = edit.at_utf16 as u32;
        if edit.removed_utf16 > 0 {
            self.text
                .remove_range(transaction, at, edit.removed_utf16 as u32);
        }
        if !edit.inserted.is_empty() {
            self.text.insert(transaction, at, edit.inserted);
        }
    }
}

impl Engine for Yrs {
    const NAME: &'static str = "yrs";

    fn new(writer: u32) -> Self {
        let document = Doc::with_options(Options {
            offset_kind: OffsetKind::Utf16,
            ..Options::with_client_id(yrs::block::ClientID::new(u64::from(writer)))
        });
        let text = document.get_or_insert_text("bench");
        Yrs { document, text }
    }

    fn edit(&mut self, edit: &Edit) {
        self.edit_in(&mut self.document.transact_mut(), edit);
    }

    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8> {
        let mut transaction = self.document.transact_mut();
        for edit in edits {
            self.edit_in(&mut transaction, edit);
        }
        transaction.encode_update_v1()
    }

    fn apply(&mut self, update: &[u8]) {
        let update = yrs::Update::decode_v1(update).expect("exported here");
        let mut transaction = self.document.transact_mut();
        transaction.apply_update(update).expect("exported here");
    }

    fn export_all(&mut self) -> Option<Vec<u8>> {
        Some(self.save())
    }

    fn save(&mut self) -> Vec<u8> {
        let transaction = self.document.transact();
        transaction.encode_state_as_update_v1(&yrs::StateVector::default())
    }

    fn load(saved: &[u8]) -> Self {
        let mut loaded = Yrs::new(1);
        loaded.apply(saved);
        loaded
    }

    fn text(&self) -> String {
        self.text.get_string(&self.document.transact())
    }
}

pub struct Automerge {
    document: AutoCommit,
    text: ObjId,
}

impl Engine for Automerge {
    const NAME: &'static str = "Automerge";

    fn new(writer: u32) -> Self {
        // The text must be the same object everywhere: all replicas begin with one change.
        let mut document = AutoCommit::new();
        document.set_actor(vec![0; 16].into());
        let options = automerge::transaction::CommitOptions::default().with_time(0);
        let text = document
            .put_object(ROOT, "bench", ObjType::Text)
            .expect("a new document");
        document.commit_with(options);
        document.set_actor(writer.to_be_bytes().repeat(4).into());
        Automerge { document, text }
    }

    fn edit(&mut self, edit: &Edit) {
        let removed = edit.removed_chars as isize;
        self.document
            .splice_text(&self.text, edit.at_chars, removed, edit.inserted)
            .expect("inside of the text");
        self.document.commit();
    }

    fn edit_and_export(&mut self, edits: &[Edit]) -> Vec<u8> {
        edits.iter().for_each(|edit| self.edit(edit));
        self.document.save_incremental()
    }

    fn apply(&mut self, update: &[u8]) {
        self.document
            .load_incremental(update)
            .expect("exported here");
    }

    fn export_all(&mut self) -> Option<Vec<u8>> {
        Some(self.document.save())
    }

    fn save(&mut self) -> Vec<u8> {
        self.document.save()
    }

    fn load(saved: &[u8]) -> Self {
        let document = AutoCommit::load(saved).expect("saved here");
        let (_, text) = document
            .get(ROOT, "bench")
            .expect("an object")
            .expect("the text");
        Automerge { document, text }
    }

    fn text(&self) -> String {
        self.document.text(&self.text).expect("a text")
    }
}
