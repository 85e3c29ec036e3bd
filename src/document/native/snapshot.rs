//! Native snapshots: a document as a store and other Syncline peers take it over, with removed
//! elements, origins and tags, so that whoever opens it merges as the one who wrote it does.

use super::base::NativeBase;
use super::export::SliceWriter;
use super::import::Incoming;
use super::state::{self, History};
use crate::clock::{AuthorIdx, Hlc, OperationId, PeerId, VersionVector};
use crate::codec::bytes::{write_prefixed, write_uvarint};
use crate::codec::native::container::{open, seal};
use crate::codec::native::{Columns, Kind, NativeError, names, sections};
use crate::codec::{DecodeError, Reader, Snapshot, manifest};
use crate::document::handler::State;
use crate::document::log::{ChangeKey, Name};
use crate::document::types::{
    DocumentError, DocumentOptions, HandlerIdx, HandlerKind, HandlerSpec, Origin, ValueCodec,
};
use crate::document::{Document, Frontiers};
use crate::replica::ApplyError;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::OnceLock;

/// Numbers of the sections. All must be understood.
mod section {
    pub const HEAD: u64 = 2;
    pub const LOG: u64 = 4;
    pub const ENTRIES: u64 = 6;
    pub const HANDLERS: u64 = 8;
}

/// Bits of the head's flags.
mod flag {
    /// The log has all changes that there ever were: states are only there to save time.
    pub const WHOLE: u8 = 1;
}

/// How a handler's state is stored.
mod form {
    /// Not here: it is folded from the log and the entries.
    pub const FOLDED: u8 = 0;
    pub const NATIVE: u8 = 1;
}

impl Document {
    /// Everything this document is, in the native form: states with what merging needs, and with
    /// `history` the stored changes, for peers that lack them. Without `history` whoever opens it
    /// stands where this document would after a snapshot that pruned everything. O(document).
    ///
    /// States without a native form (see docs/format.md) are stored as crdt_lf has them, unless
    /// all changes are there to fold them from.
    ///
    /// # Errors
    /// `Closed`; `InTransaction`; `UnknownHandler`, as for a crdt_lf snapshot, unless all changes
    /// are here and stay.
    pub fn native_snapshot(&mut self, history: bool) -> Result<Vec<u8>, ApplyError> {
        if self.is_closed() {
            return Err(ApplyError::Closed);
        }
        if self.in_transaction() {
            return Err(ApplyError::InTransaction);
        }
        let whole = history && !self.is_seeded && self.snapshot.is_none();
        if !whole {
            self.materialise();
            if let Some(type_tag) = self.register_named() {
                return Err(ApplyError::UnknownHandler { type_tag });
            }
        }
        let body = self.snapshot_body(history, whole)?;
        Ok(seal(Kind::Snapshot, false, &[&body]))
    }

    /// Whether this document starts from a snapshot.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// As [`native_snapshot`](Self::native_snapshot) with history, without making handlers that
    /// nobody asked for: None if that would be needed, or a transaction is open, or a custom
    /// handler refuses. For stores.
    pub fn stored_snapshot(&self) -> Option<Vec<u8>> {
        let whole = !self.is_seeded && self.snapshot.is_none();
        let is_named =
            |name: &Name| name.change_count == 0 || self.find_handler(&name.id).is_some();
        if self.in_transaction() || !whole && !self.log.names().all(|(_, name)| is_named(name)) {
            return None;
        }
        let body = self.snapshot_body(true, whole).ok()?;
        Some(seal(Kind::Snapshot, false, &[&body]))
    }

    pub(super) fn snapshot_body(&self, history: bool, whole: bool) -> Result<Vec<u8>, ApplyError> {
        let mut out = Vec::new();
        let vector = self.vector();
        sections::write(
            section::HEAD,
            &self.native_head(&vector, history, whole),
            &mut out,
        );
        if history {
            sections::write(section::LOG, &self.native_log(), &mut out);
        }
        let (handlers, entries) = self.native_handlers(match (whole, history) {
            (true, _) => History::Whole,
            (false, true) => History::Some,
            (false, false) => History::None,
        })?;
        sections::write(section::ENTRIES, &entries, &mut out);
        sections::write(section::HANDLERS, &handlers, &mut out);
        Ok(out)
    }

    fn native_head(&self, vector: &VersionVector, history: bool, whole: bool) -> Vec<u8> {
        let authors = &self.log.authors;
        let mut peers: Vec<PeerId> = (0..authors.len() as u32)
            .map(|author| authors.peer(AuthorIdx(author)))
            .collect();
        // Peers that only a snapshot has named.
        let pruned = self.pruned.iter().flat_map(|pruned| pruned.iter());
        let mut others = HashSet::new();
        for (peer, _) in vector.iter().chain(pruned) {
            if authors.find(&peer).is_none() && others.insert(peer) {
                peers.push(peer);
            }
        }
        let numbers: HashMap<PeerId, u64> = peers.iter().copied().zip(0..).collect();
        let mut out = vec![if whole { flag::WHOLE } else { 0 }];
        write_clock(self.clock, &mut out);
        write_uvarint(&mut out, peers.len() as u64);
        for peer in &peers {
            out.extend_from_slice(peer.bytes());
        }
        let mut write_ids = |ids: &mut dyn ExactSizeIterator<Item = (PeerId, Hlc)>| {
            write_uvarint(&mut out, ids.len() as u64);
            for (peer, clock) in ids {
                write_uvarint(&mut out, numbers[&peer]);
                write_clock(clock, &mut out);
            }
        };
        let nothing = VersionVector::new();
        write_ids(&mut vector.iter());
        write_ids(&mut match (history, &self.pruned) {
            (false, _) => vector.iter(),
            (true, Some(pruned)) => pruned.iter(),
            (true, None) => nothing.iter(),
        });
        let heads: Vec<(PeerId, Hlc)> = self
            .frontiers
            .iter()
            .filter(|_| history)
            .map(|key| (authors.peer(key.author), key.clock))
            .collect();
        write_ids(&mut heads.into_iter());
        out
    }

    fn native_log(&self) -> Vec<u8> {
        let slices = self.log.slices_newer_than(&VersionVector::new());
        let mut writer = SliceWriter::default();
        let mut columns = Columns::default();
        writer.write_all(&self.log, &slices, &mut columns);
        let mut out = Vec::new();
        write_uvarint(&mut out, writer.rows);
        columns.finish(&mut out);
        out
    }

    /// The handlers with their states, and the crdt_lf entries of those that have no native one.
    fn native_handlers(&self, history: History) -> Result<(Vec<u8>, Vec<u8>), ApplyError> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        let mut states = Vec::new();
        let mut count = 0u64;
        for number in self.handlers() {
            let handler = self.handler_ref(number);
            let is_custom = handler.kind == HandlerKind::Custom;
            let floor = self.floor_by_author(number);
            let native = state::write(handler, &self.log, &floor, history);
            if native.is_none() && history != History::Whole {
                entries.push((
                    self.handler_id(number).to_owned(),
                    self.saved_state(number)?,
                ));
            }
            if is_custom {
                // Only the application can make it.
                continue;
            }
            count += 1;
            states.extend_from_slice(&[kind_code(handler.kind), codec_code(handler.codec)]);
            names::write(
                self.handler_type(number),
                self.handler_id(number),
                &mut states,
            );
            let own = OperationId::new(self.peer, handler.newest_own);
            let own = Some(own).filter(|own| own.hlc > Hlc::ZERO);
            let newest = handler.newest.max(own);
            match newest.and_then(|id| Some((self.log.authors.find(&id.peer)?, id.hlc))) {
                Some((author, clock)) => {
                    write_uvarint(&mut states, u64::from(author.0) + 1);
                    write_clock(clock, &mut states);
                }
                None => states.push(0),
            }
            match native {
                Some(bytes) => {
                    states.push(form::NATIVE);
                    write_prefixed(&mut states, &bytes);
                }
                None => states.push(form::FOLDED),
            }
        }
        if let Some(last) = &self.snapshot {
            for (id, blob) in last.entries() {
                let is_known = entries.iter().any(|(known, _)| known == id);
                if !is_known && self.find_handler(id).is_none() || id == manifest::KEY {
                    entries.push((id.clone(), blob.clone()));
                }
            }
        }
        let mut handlers = Vec::new();
        write_uvarint(&mut handlers, count);
        handlers.extend_from_slice(&states);
        let mut out = Vec::new();
        write_uvarint(&mut out, entries.len() as u64);
        for (id, blob) in entries {
            write_prefixed(&mut out, id.as_bytes());
            write_prefixed(&mut out, &blob);
        }
        Ok((handlers, out))
    }

    pub(super) fn saved_state(&self, number: HandlerIdx) -> Result<Vec<u8>, ApplyError> {
        match &self.handler_ref(number).state {
            State::Custom(custom) => custom.save().map_err(|error| ApplyError::Custom {
                handler_id: self.handler_id(number).to_owned(),
                message: error.0,
            }),
            _ => Ok(self.handler_snapshot_state(number)),
        }
    }

    pub(super) fn floor_by_author(&self, number: HandlerIdx) -> Vec<(AuthorIdx, u64)> {
        let floor = self.counter_floor_of(number).into_iter();
        floor
            .filter_map(|(peer, counter)| Some((self.log.authors.find(&peer)?, counter)))
            .collect()
    }

    /// Opens what [`native_snapshot`](Self::native_snapshot) wrote. Its handlers are registered,
    /// but for custom ones. The text of Fugue texts can be read at once; their structure is built
    /// at the first edit.
    ///
    /// # Errors
    /// `Native` for anything malformed, and what importing its changes gives.
    pub fn open_native(bytes: &[u8], options: DocumentOptions) -> Result<Document, DocumentError> {
        let opened = open(bytes, Kind::Snapshot)?;
        Document::open_body(&opened.body, options)
    }

    /// As above, from an opened container.
    pub(super) fn open_body(
        body: &[u8],
        options: DocumentOptions,
    ) -> Result<Document, DocumentError> {
        let parts = Parts::read(body).map_err(NativeError::from)?;
        let mut document = Document::new(options);
        let authors: Vec<AuthorIdx> = parts
            .authors
            .iter()
            .map(|peer| document.log.authors.intern(*peer))
            .collect();
        let rows = match parts.log {
            Some(log) => document.restore_log(log)?,
            None => Incoming::default(),
        };
        document.clock = document.clock.max(parts.clock);
        document.pruned = match parts.pruned.is_empty() {
            true => None,
            false => Some(Box::new(parts.pruned)),
        };
        if !parts.whole {
            document.is_seeded = true;
            document.snapshot = Some(Box::new(Snapshot::new(parts.vector, parts.entries)));
        }
        document.restore_frontiers(&parts.frontiers)?;
        document.restore_handlers(&parts.handlers, &authors, body, parts.whole)?;
        let log = parts.log.unwrap_or_default();
        let names = &rows.decoder.names;
        match document.removable(&rows.decoded, names, log.len()) {
            u64::MAX => Ok(document),
            _ => {
                let error = Reader::EMPTY.error("no more elements are removed than there are");
                Err(NativeError::from(error).into())
            }
        }
    }

    fn restore_log(&mut self, log: &[u8]) -> Result<Incoming, DocumentError> {
        let mut rows = Incoming::default();
        let mut reader = Reader::new(log);
        rows.decoder
            .read_body(&mut reader, log, true, &mut rows.decoded)
            .and_then(|()| reader.finish())
            .map_err(NativeError::from)?;
        rows.restoring = true;
        self.import_rows(log, &mut rows, &[], Origin::Load)?;
        Ok(rows)
    }

    fn restore_frontiers(&mut self, heads: &[OperationId]) -> Result<(), DocumentError> {
        let keys: Option<Vec<ChangeKey>> = heads
            .iter()
            .map(|id| {
                let key = self.key_of(id)?;
                (self.log.find(key).is_some() || self.is_covered(key)).then_some(key)
            })
            .collect();
        let malformed = || NativeError::from(Reader::EMPTY.error("a head is not known"));
        self.frontiers = keys
            .ok_or_else(malformed)?
            .into_iter()
            .collect::<Frontiers>();
        Ok(())
    }

    fn restore_handlers(
        &mut self,
        handlers: &[StoredHandler<'_>],
        authors: &[AuthorIdx],
        body: &[u8],
        whole: bool,
    ) -> Result<(), DocumentError> {
        for stored in handlers {
            let spec = HandlerSpec {
                kind: stored.kind,
                codec: stored.codec,
                type_tag: stored.type_tag.to_owned(),
            };
            let Some(bytes) = stored.state else {
                self.handler(stored.id, &spec)?;
                continue;
            };
            let number = self.add_handler(stored.id, &spec)?;
            let handler = &mut self.handlers[number.0 as usize];
            state::read(bytes, handler, authors, self.own, &mut self.log.content)
                .map_err(NativeError::from)?;
            handler.newest = stored.newest;
            if !whole {
                self.note_restored(number);
            }
        }
        if !whole {
            self.native_base = Some(Box::new(NativeBase {
                states: states_of(handlers, body),
                body: body.into(),
                authors: authors.to_vec(),
                crdt_lf: OnceLock::new(),
            }));
        }
        Ok(())
    }

    /// Makes what this document is now the base of its replays. All authors of the version are
    /// known.
    pub(super) fn rebase(&mut self) -> Result<(), ApplyError> {
        let body = self.snapshot_body(false, false)?;
        let parts = Parts::read(&body).expect("just written");
        let states = states_of(&parts.handlers, &body);
        let authors = parts.authors.iter();
        let authors = authors.map(|peer| self.log.authors.intern(*peer)).collect();
        self.snapshot = Some(Box::new(Snapshot::new(parts.vector, parts.entries)));
        self.native_base = Some(Box::new(NativeBase {
            states,
            body: body.into(),
            authors,
            crdt_lf: OnceLock::new(),
        }));
        self.is_seeded = true;
        Ok(())
    }

    /// A replay of a restored handler starts from the snapshot. What the log has of its changes
    /// still places late ones.
    pub(super) fn note_restored(&mut self, number: HandlerIdx) {
        let Document { handlers, log, .. } = self;
        match &mut handlers[number.0 as usize].state {
            State::Fugue(fugue) => fugue.outlives_snapshot = true,
            state => {
                let state = state.bytes_mut().expect("all others are bytes");
                state.history_pruned(&|order| {
                    let author = log.authors.find(&order.peer);
                    let key = author.map(|author| ChangeKey {
                        author,
                        clock: order.hlc,
                    });
                    key.is_none_or(|key| log.find(key).is_none())
                });
            }
        }
    }
}

/// Where the states of handlers are in a body.
fn states_of(handlers: &[StoredHandler<'_>], body: &[u8]) -> HashMap<Box<str>, Range<usize>> {
    let native = handlers.iter().filter_map(|stored| {
        let bytes = stored.state?;
        let start = bytes.as_ptr() as usize - body.as_ptr() as usize;
        Some((stored.id.into(), start..start + bytes.len()))
    });
    native.collect()
}

/// A snapshot, split and checked, but for the states.
pub(super) struct Parts<'a> {
    pub whole: bool,
    pub clock: Hlc,
    authors: Vec<PeerId>,
    pub vector: VersionVector,
    pruned: VersionVector,
    frontiers: Vec<OperationId>,
    pub log: Option<&'a [u8]>,
    entries: Vec<(String, Vec<u8>)>,
    pub handlers: Vec<StoredHandler<'a>>,
}

pub(super) struct StoredHandler<'a> {
    pub kind: HandlerKind,
    pub codec: ValueCodec,
    pub type_tag: &'a str,
    pub id: &'a str,
    pub newest: Option<OperationId>,
    pub state: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut found: HashMap<u64, &[u8]> = HashMap::new();
        while let Some((number, bytes)) = sections::read(&mut reader)? {
            match number {
                section::HEAD | section::LOG | section::ENTRIES | section::HANDLERS => {
                    found.insert(number, bytes);
                }
                _ => sections::skip_unknown(number, &reader)?,
            }
        }
        let needed = |number: u64| {
            let missing = reader.error("a section is missing");
            found.get(&number).copied().ok_or(missing)
        };
        let mut parts = Parts::read_head(needed(section::HEAD)?)?;
        parts.log = found.get(&section::LOG).copied();
        if parts.whole && parts.log.is_none() {
            return Err(reader.error("a section is missing"));
        }
        let mut entries = Reader::new(needed(section::ENTRIES)?);
        for _ in 0..entries.count(2)? {
            let id = entries.text()?.to_owned();
            parts.entries.push((id, entries.prefixed()?.to_vec()));
        }
        entries.finish()?;
        let mut handlers = Reader::new(needed(section::HANDLERS)?);
        for _ in 0..handlers.count(5)? {
            let handler = StoredHandler::read(&mut handlers, &parts.authors)?;
            parts.handlers.push(handler);
        }
        handlers.finish()?;
        Ok(parts)
    }

    fn read_head(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.byte("the flags of a snapshot")?;
        let clock = read_clock(&mut reader)?;
        let count = reader.count(PeerId::BYTES)?;
        let authors: Result<Vec<PeerId>, DecodeError> = (0..count)
            .map(|_| Ok(PeerId::from_bytes(reader.array("a peer id")?)))
            .collect();
        let authors = authors?;
        let distinct: HashSet<&PeerId> = authors.iter().collect();
        if distinct.len() < authors.len() {
            return Err(reader.error("each author stands in the list once"));
        }
        let vector = read_ids(&mut reader, &authors)?;
        let pruned = read_ids(&mut reader, &authors)?;
        let frontiers = read_ids(&mut reader, &authors)?;
        reader.finish()?;
        let as_vector = |ids: Vec<OperationId>| ids.iter().map(|id| (id.peer, id.hlc)).collect();
        Ok(Parts {
            whole: flags & flag::WHOLE != 0,
            clock,
            authors,
            vector: as_vector(vector),
            pruned: as_vector(pruned),
            frontiers,
            log: None,
            entries: Vec::new(),
            handlers: Vec::new(),
        })
    }
}

impl<'a> StoredHandler<'a> {
    fn read(reader: &mut Reader<'a>, authors: &[PeerId]) -> Result<Self, DecodeError> {
        let start = reader.clone();
        let kind = reader.byte("the kind of a handler")?;
        let codec = reader.byte("the codec of a handler")?;
        let (Some(kind), Some(codec)) = (kind_of(kind), codec_of(codec)) else {
            return Err(start.error("the kind of a handler is not known"));
        };
        let (type_tag, id) = names::read(reader)?;
        let newest = match reader.count_of(authors.len() as u64)?.checked_sub(1) {
            None => None,
            Some(author) => Some(OperationId::new(authors[author], read_clock(reader)?)),
        };
        let form = reader.clone();
        let state = match reader.byte("the form of a state")? {
            form::FOLDED => None,
            form::NATIVE => Some(reader.prefixed()?),
            _ => return Err(form.error("the form of a state is not known")),
        };
        Ok(StoredHandler {
            kind,
            codec,
            type_tag,
            id,
            newest,
            state,
        })
    }
}

fn write_clock(clock: Hlc, out: &mut Vec<u8>) {
    out.extend_from_slice(&clock.to_bytes());
}

fn read_clock(reader: &mut Reader<'_>) -> Result<Hlc, DecodeError> {
    Ok(Hlc::from_bytes(reader.array("a clock")?))
}

/// A list of authors and clocks.
fn read_ids(reader: &mut Reader<'_>, authors: &[PeerId]) -> Result<Vec<OperationId>, DecodeError> {
    let mut ids = Vec::new();
    for _ in 0..reader.count(9)? {
        let start = reader.clone();
        let author = usize::try_from(reader.uvarint()?).unwrap_or(usize::MAX);
        let peer = authors
            .get(author)
            .ok_or_else(|| start.error("an author is not known"))?;
        ids.push(OperationId::new(*peer, read_clock(reader)?));
    }
    Ok(ids)
}

/// The numbers are stored: append only.
fn kind_code(kind: HandlerKind) -> u8 {
    let known = HandlerKind::ALL.iter().position(|known| *known == kind);
    known.expect("custom handlers are not stored like this") as u8
}

fn kind_of(code: u8) -> Option<HandlerKind> {
    HandlerKind::ALL.get(code as usize).copied()
}

fn codec_code(codec: ValueCodec) -> u8 {
    match codec {
        ValueCodec::Json => 0,
        ValueCodec::Bytes => 1,
        ValueCodec::Reference => 2,
    }
}

fn codec_of(code: u8) -> Option<ValueCodec> {
    [ValueCodec::Json, ValueCodec::Bytes, ValueCodec::Reference]
        .get(code as usize)
        .copied()
}
