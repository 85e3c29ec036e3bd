//! Native changes into the document: decoded and checked as a whole, then stored and folded row by
//! row.

use super::deferred::Deferred;
use crate::clock::{AuthorIdx, Hlc, OperationId, PeerId};
use crate::codec::native::container::open;
use crate::codec::native::rows::{
    ClocksIn, ContentIn, DepsIn, Element, NO_NAME, OpIn, RowIn, read_step_at,
};
use crate::codec::native::{Decoded, Kind, NativeError, RowDecoder, sections};
use crate::codec::{Envelope, Reader, wtf8};
use crate::document::log::{
    ChangeKey, NameIdx, NewRow, Operation, Slice, SliceClocks, SliceOp, Span,
};
use crate::document::types::{DocumentError, HandlerIdx, HandlerKind, Origin};
use crate::document::wire::{RowElements, store_foreign};
use crate::document::{Document, native::fold::Folded};
use crate::replica::{ApplyError, ImportOutcome};
use crate::sequence::{Content, ElementKey};
use crate::tree::sort_by_key;

/// Imports of more changes record text by comparing before and after.
const RECORDED_SINGLY_MAX: u64 = 256;
/// Dependencies of one change from a peer that is not trusted.
const DEPENDENCIES_MAX: usize = 4096;

impl Document {
    /// Imports changes in the native form, as [`import_list`](Self::import_list) does from the
    /// crdt_lf form: what is known already is skipped, be it a part of a row; what lacks a
    /// dependency, or removes more than there is, is counted and forgotten. Rows stand in the order in which they can be stored.
    /// O(rows), and O(log n) for each.
    ///
    /// # Errors
    /// `Native` if anything in the bytes is malformed, else as for `import_changes`: then nothing
    /// was imported.
    pub fn import_native(
        &mut self,
        bytes: &[u8],
        tag: &[u8],
        origin: Origin,
    ) -> Result<ImportOutcome, DocumentError> {
        self.import_container(bytes, false, tag, origin)
    }

    pub(super) fn import_container(
        &mut self,
        bytes: &[u8],
        strict: bool,
        tag: &[u8],
        origin: Origin,
    ) -> Result<ImportOutcome, DocumentError> {
        let opened = open(bytes, Kind::Changes)?;
        let mut rows = Incoming {
            strict,
            ..Incoming::default()
        };
        let mut reader = Reader::new(&opened.body);
        rows.decoder
            .read_body(&mut reader, &opened.body, opened.columns, &mut rows.decoded)
            .map_err(NativeError::from)?;
        sections::refuse_required(&mut reader).map_err(NativeError::from)?;
        self.import_rows(&opened.body, &mut rows, tag, origin)
    }

    /// Imports decoded rows, whose text and bytes are in `body`.
    pub(super) fn import_rows(
        &mut self,
        body: &[u8],
        rows: &mut Incoming,
        tag: &[u8],
        origin: Origin,
    ) -> Result<ImportOutcome, DocumentError> {
        if rows.strict {
            ensure_sound(body, rows)?;
        }
        let Incoming {
            restoring,
            strict: _,
            decoder,
            decoded,
            binding,
        } = rows;
        self.ensure_rows(body, decoder, decoded, binding)?;
        let start = self.log.change_count();
        let changes: u64 = decoded.rows.iter().map(|row| u64::from(row.changes)).sum();
        binding.begin(decoder);
        let many = changes > RECORDED_SINGLY_MAX;
        let deferred = match *restoring {
            true => Vec::new(),
            false => self.deferrable(changes),
        };
        let removable = match *restoring {
            // What they remove is in states that are read afterwards.
            true => u64::MAX,
            false => self.removable(decoded, &decoder.names, body.len()),
        };
        let mut import = RowImport {
            document: self,
            body,
            decoder,
            decoded,
            binding,
            restoring: *restoring,
            many,
            deferred,
            removable,
            outcome: ImportOutcome::default(),
            now_ms: 0,
        };
        import.now_ms = import.document.wall_clock.now_ms();
        for row in &decoded.rows {
            import.take(row);
        }
        import.fold_all_deferred();
        let outcome = import.outcome;
        if outcome.applied > 0 {
            sort_by_key(&mut binding.touched, |handler| *handler);
            binding.touched.dedup();
            for handler in &binding.touched {
                self.handlers[handler.0 as usize].revision += 1;
            }
            self.settle_replays();
            if self.recording || self.in_transaction() {
                self.note(origin, tag, start, false);
            }
        }
        Ok(outcome)
    }

    /// Whether the rows may be taken in; after this nothing can fail.
    fn ensure_rows(
        &self,
        body: &[u8],
        decoder: &RowDecoder,
        decoded: &Decoded,
        binding: &mut Binding,
    ) -> Result<(), DocumentError> {
        if self.is_closed() {
            return Err(ApplyError::Closed.into());
        }
        // Text and operations are at most as long as what they come from, dependencies and clocks
        // are apart.
        self.ensure_room(body.len())
            .map_err(|_| ApplyError::Limit("4 GiB of history in one document"))?;
        if let Some(latest) = decoded.rows.iter().map(|row| row.last_clock).max() {
            self.check_drift(latest)?;
        }
        let known = binding.elements.len();
        let new = decoder.names[known..].iter();
        binding
            .elements
            .extend(new.map(|(type_tag, _)| RowElements::of(HandlerKind::of_tag(type_tag))));
        let fits = |row: &RowIn| {
            let elements = binding.elements.get(row.name as usize).copied().flatten();
            match row.op {
                OpIn::Bodies(_) => row.name != NO_NAME,
                OpIn::Opaque(_) => true,
                OpIn::Insert { content, .. } => match content {
                    ContentIn::Values(_) => elements == Some(RowElements::Values),
                    _ => elements == Some(RowElements::Units),
                },
                OpIn::Remove { .. } | OpIn::RemoveSpans(_) => elements.is_some(),
            }
        };
        match decoded.rows.iter().all(fits) {
            true => Ok(()),
            false => Err(NativeError::Malformed(
                Reader::EMPTY.error("an operation does not fit its handler"),
            )
            .into()),
        }
    }
}

/// Whether every peer can read the rows: crdt_lf stores a change that is not sound, and every later
/// reader of the document fails on it.
fn ensure_sound(body: &[u8], rows: &Incoming) -> Result<(), NativeError> {
    let refuse = |what| Err(NativeError::Malformed(Reader::EMPTY.error(what)));
    let new_authors = &rows.decoder.authors[rows.binding.authors.len()..];
    if !new_authors.iter().all(PeerId::is_uuid_v4) {
        return refuse("a peer id is not a UUID version 4");
    }
    for row in &rows.decoded.rows {
        if let DepsIn::List(list) = row.deps {
            if list.len as usize > DEPENDENCIES_MAX {
                return refuse("too many dependencies");
            }
        }
        if let OpIn::Opaque(payload) = row.op {
            if Envelope::decode(&body[payload.range()]).is_err() {
                return refuse("the operation envelope does not decode");
            }
        }
    }
    Ok(())
}

/// Rows on their way in, and what is remembered from body to body of a stream.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The rows are those of a log that is opened: all are taken, whatever they depend on.
    pub restoring: bool,
    /// What peers of other dialects could not read is refused.
    pub strict: bool,
    pub decoder: RowDecoder,
    pub decoded: Decoded,
    pub binding: Binding,
}

/// The numbers of the document for those of the decoder.
#[derive(Debug, Default)]
pub(super) struct Binding {
    authors: Vec<BoundAuthor>,
    names: Vec<Option<NameIdx>>,
    /// By the decoder's names: what is in their rows, if those are of elements.
    elements: Vec<Option<RowElements>>,
    /// The last change of the row before, and whether it was stored when it came.
    previous: Option<(u32, Hlc, bool)>,
    /// Handlers that the import changed; one after the other stands here once.
    touched: Vec<HandlerIdx>,
    /// Of the row that is being stored. Kept for its memory.
    deps: Vec<ChangeKey>,
}

#[derive(Clone, Copy, Debug)]
struct BoundAuthor {
    author: Option<AuthorIdx>,
    /// What was seen of the author when the import began, once it was asked for.
    seen: Option<Option<Hlc>>,
}

impl Binding {
    fn begin(&mut self, decoder: &RowDecoder) {
        let unbound = BoundAuthor {
            author: None,
            seen: None,
        };
        self.authors.iter_mut().for_each(|bound| bound.seen = None);
        self.authors.resize(decoder.authors.len(), unbound);
        self.names.resize(decoder.names.len(), None);
        self.touched.clear();
    }
}

pub(super) struct RowImport<'a> {
    pub(super) document: &'a mut Document,
    body: &'a [u8],
    decoder: &'a RowDecoder,
    decoded: &'a Decoded,
    binding: &'a mut Binding,
    restoring: bool,
    pub(super) many: bool,
    /// By handler; none behind the last.
    pub(super) deferred: Vec<Option<Deferred>>,
    /// How many elements may still be removed.
    removable: u64,
    outcome: ImportOutcome,
    now_ms: i64,
}

impl RowImport<'_> {
    fn take(&mut self, row: &RowIn) {
        let stored = self.take_row(row);
        self.binding.previous = Some((row.author, row.last_clock, stored));
    }

    /// Whether the last change of the row was stored now.
    fn take_row(&mut self, row: &RowIn) -> bool {
        let seen = self.seen(row.author);
        let known = match seen {
            Some(seen) if seen >= row.first_clock => self.known_changes(row, seen),
            _ => 0,
        };
        if known == row.changes {
            return false;
        }
        if !self.find_deps(row, known) || !self.may_remove(row) {
            self.outcome.not_ready += (row.changes - known) as usize;
            return false;
        }
        let latest = match self.binding.authors[row.author as usize].author {
            Some(author) => self.document.log.latest(author),
            None => None,
        };
        let first_clock = self.clock_of(row, known);
        if latest.is_some_and(|latest| latest >= first_clock) {
            return self.take_strays(row, known);
        }
        match row.op {
            // The state of a handler folds them one by one.
            OpIn::Bodies(_) if row.changes - known > 1 => {
                for nth in known..row.changes {
                    if nth > known {
                        let author = self.author(row.author);
                        let clock = self.clock_of(row, nth - 1);
                        self.binding.deps.clear();
                        self.binding.deps.push(ChangeKey { author, clock });
                    }
                    self.store(row, nth, 1);
                }
            }
            _ => self.store(row, known, row.changes - known),
        }
        true
    }

    /// Whether there is as much as the row removes.
    fn may_remove(&mut self, row: &RowIn) -> bool {
        let removed = match row.op {
            OpIn::Remove { step, .. } => u64::from(step.unsigned_abs()) * u64::from(row.changes),
            OpIn::RemoveSpans(spans) => {
                let spans = &self.decoded.spans[spans.range()];
                spans.iter().map(|span| u64::from(span.len)).sum()
            }
            OpIn::Insert { .. } | OpIn::Bodies(_) | OpIn::Opaque(_) => return true,
        };
        let left = self.removable.checked_sub(removed);
        self.removable = left.unwrap_or(self.removable);
        left.is_some()
    }

    fn author(&mut self, number: u32) -> AuthorIdx {
        let bound = &mut self.binding.authors[number as usize];
        if let Some(author) = bound.author {
            return author;
        }
        let peer = self.decoder.authors[number as usize];
        let author = self.document.log.authors.intern(peer);
        bound.author = Some(author);
        author
    }

    fn name(&mut self, number: u32) -> NameIdx {
        if number == NO_NAME {
            return NameIdx::NONE;
        }
        let bound = &mut self.binding.names[number as usize];
        *bound.get_or_insert_with(|| {
            let (type_tag, id) = &self.decoder.names[number as usize];
            self.document.log.intern(type_tag, id)
        })
    }

    /// What was seen of the author when the import began.
    fn seen(&mut self, number: u32) -> Option<Hlc> {
        let bound = &mut self.binding.authors[number as usize];
        if let Some(seen) = bound.seen {
            return seen;
        }
        let peer = self.decoder.authors[number as usize];
        if bound.author.is_none() {
            bound.author = self.document.log.authors.find(&peer);
        }
        let seen = match bound.author {
            Some(author) => self.document.seen(author),
            None => self.document.covered(&peer),
        };
        bound.seen = Some(seen);
        seen
    }

    /// How many changes of the row begin at or before `seen`.
    fn known_changes(&self, row: &RowIn, seen: Hlc) -> u32 {
        if seen >= row.last_clock {
            return row.changes;
        }
        let mut known = 0;
        while self.clock_of(row, known) <= seen {
            known += 1;
        }
        known
    }

    /// The clock of a change of the row.
    fn clock_of(&self, row: &RowIn, nth: u32) -> Hlc {
        match row.clocks {
            _ if nth == 0 => row.first_clock,
            ClocksIn::Step(step) => {
                Hlc::from_u64(row.first_clock.to_u64() + u64::from(step) * u64::from(nth))
            }
            ClocksIn::Steps(steps) => {
                read_step_at(row.first_clock, &self.body[steps.range()], nth).0
            }
        }
    }

    /// Finds what change `nth` of the row depends on; false if something is missing.
    fn find_deps(&mut self, row: &RowIn, nth: u32) -> bool {
        self.binding.deps.clear();
        if nth > 0 {
            let clock = self.clock_of(row, nth - 1);
            return self.find_dep(row.author, clock);
        }
        match row.deps {
            DepsIn::Previous => {
                let (author, clock, stored) = self.binding.previous.expect("the decoder looked");
                if stored {
                    let author = self.author(author);
                    self.binding.deps.push(ChangeKey { author, clock });
                    return true;
                }
                self.find_dep(author, clock)
            }
            DepsIn::List(list) => {
                let deps = &self.decoded.deps[list.range()];
                deps.iter().all(|dep| self.find_dep(dep.author, dep.clock))
            }
        }
    }

    fn find_dep(&mut self, number: u32, clock: Hlc) -> bool {
        if self.restoring {
            let author = self.author(number);
            self.binding.deps.push(ChangeKey { author, clock });
            return true;
        }
        if let Some(author) = self.binding.authors[number as usize].author {
            let key = ChangeKey { author, clock };
            if self.document.frontiers.contains(key) || self.document.log.find(key).is_some() {
                self.binding.deps.push(key);
                return true;
            }
        }
        let id = OperationId::new(self.decoder.authors[number as usize], clock);
        match self.document.ready_key(&id) {
            Ok(key) => {
                self.binding.deps.push(key);
                true
            }
            Err(_) => false,
        }
    }

    /// Changes that are not younger than all of their author: each on its own, as no honest
    /// writer makes them. Returns whether the last one was stored.
    #[cold]
    fn take_strays(&mut self, row: &RowIn, from: u32) -> bool {
        let mut stored = false;
        for nth in from..row.changes {
            stored = false;
            let author = self.author(row.author);
            let clock = self.clock_of(row, nth);
            if self
                .document
                .log
                .find(ChangeKey { author, clock })
                .is_some()
            {
                continue;
            }
            match self.find_deps(row, nth) {
                true => {
                    self.store(row, nth, 1);
                    stored = true;
                }
                false => self.outcome.not_ready += 1,
            }
        }
        stored
    }

    /// Stores changes of the row from `nth` on, which depend on `deps`, and folds them.
    fn store(&mut self, row: &RowIn, nth: u32, changes: u32) {
        let author = self.author(row.author);
        let (first_clock, last_clock) = (
            self.clock_of(row, nth),
            self.clock_of(row, nth + changes - 1),
        );
        let key = ChangeKey {
            author,
            clock: first_clock,
        };
        let slice = match row.op {
            OpIn::Opaque(payload) => {
                let payload = &self.body[payload.range()];
                store_foreign(&mut self.document.log, key, &self.binding.deps, payload);
                self.fold_all_deferred();
                None
            }
            _ => Some(self.push(row, nth, changes, key, last_clock)),
        };
        let deferred = slice.and_then(|slice| self.defer(slice, key, last_clock));
        let document = &mut *self.document;
        let last = ChangeKey {
            author,
            clock: last_clock,
        };
        document.frontiers.replace(&self.binding.deps, last);
        document.note_author(author);
        document.clock = document.clock.receive_event(self.now_ms, last_clock);
        self.outcome.applied += changes as usize;
        let handler = match slice {
            _ if deferred.is_some() => deferred,
            Some(slice) if changes > 1 => document.fold_slice(slice, key, last_clock, self.many),
            _ => document.fold_stored(self.many),
        };
        let handler = handler
            .or_else(|| document.instantiate_stored())
            .or_else(|| document.handler_named_last());
        if let Some(handler) =
            handler.filter(|handler| self.binding.touched.last() != Some(handler))
        {
            self.binding.touched.push(handler);
        }
    }

    fn push(
        &mut self,
        row: &RowIn,
        nth: u32,
        changes: u32,
        key: ChangeKey,
        last_clock: Hlc,
    ) -> Slice {
        let name = self.name(row.name);
        let body = self.body;
        let clocks = match row.clocks {
            ClocksIn::Step(step) => SliceClocks::Step(step),
            ClocksIn::Steps(steps) => {
                let steps = &body[steps.range()];
                let (_, skip) = read_step_at(row.first_clock, steps, nth);
                SliceClocks::Steps(&steps[skip..])
            }
        };
        let mut spans = Vec::new();
        let op = match row.op {
            OpIn::Insert {
                first,
                step,
                left,
                right,
                content,
            } => {
                let content = self.push_content(content, nth * step, changes * step);
                let first = first + nth * step;
                let before = ElementKey {
                    author: key.author,
                    counter: first.wrapping_sub(1),
                };
                let left = if nth == 0 { self.element(left) } else { before };
                let right = self.element(right);
                SliceOp::Insert(Operation::Insert {
                    first,
                    len: step,
                    left,
                    right,
                    content,
                })
            }
            OpIn::Remove { first, step } => {
                let first = self.element(first);
                SliceOp::Remove {
                    author: first.author,
                    first: first
                        .counter
                        .wrapping_add_signed(step.wrapping_mul(nth as i32)),
                    step,
                }
            }
            OpIn::RemoveSpans(list) => {
                for span in &self.decoded.spans[list.range()] {
                    let id = self.element(span.first);
                    spans.push(Span { id, len: span.len });
                }
                SliceOp::Single(Operation::Remove { spans: &spans })
            }
            OpIn::Bodies(bodies) => {
                let (kind, range) = self.decoded.bodies[bodies.range()][nth as usize];
                SliceOp::Single(Operation::Other {
                    kind,
                    body: &body[range.range()],
                })
            }
            OpIn::Opaque(payload) => SliceOp::Single(Operation::Opaque {
                payload: &body[payload.range()],
            }),
        };
        let new = NewRow {
            key,
            name,
            changes,
            last_clock,
            clocks,
            op,
        };
        self.document.log.push_slice(&new, &self.binding.deps)
    }

    fn element(&mut self, element: Element) -> ElementKey {
        match element {
            Element::NULL => ElementKey::NULL,
            Element { author, counter } => ElementKey {
                author: self.author(author),
                counter,
            },
        }
    }

    /// Adds what elements of a row hold to the content.
    fn push_content(&mut self, content: ContentIn, skip: u32, len: u32) -> Content {
        let pool = &mut self.document.log.content;
        let range = skip as usize..(skip + len) as usize;
        match content {
            ContentIn::Narrow(text) => pool.push_ascii(&self.body[text.range()][range]),
            ContentIn::Wide(text) => {
                let text = &self.body[text.range()];
                let mut all = Vec::with_capacity(text.len());
                // The decoder has read it before.
                let _ = wtf8::decode_to_utf16(text, &mut all);
                pool.push_units(&all[range])
            }
            ContentIn::Values(values) => {
                let values = &self.decoded.values[values.range()][range];
                pool.push_values(values.iter().map(|value| &self.body[value.range()]))
            }
        }
    }
}

impl Document {
    /// The latest clock of a peer that the last snapshot covers.
    fn covered(&self, peer: &PeerId) -> Option<Hlc> {
        self.snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.vector().get(peer))
    }

    /// Folds a slice that was just stored into its handler, if it is registered.
    fn fold_slice(
        &mut self,
        slice: Slice,
        key: ChangeKey,
        last: Hlc,
        many: bool,
    ) -> Option<HandlerIdx> {
        let number = self.handler_of_name(self.log.name_of(slice.first))?;
        self.record(number, many);
        let queued = self.first_queued(number);
        let handler = &mut self.handlers[number.0 as usize];
        let was_settled = !handler.out_of_order;
        match handler.fold_slice(slice, key, last, &self.log, self.own) {
            Folded::InOrder if queued.is_none() => (),
            Folded::InOrder | Folded::Late => {
                handler.note_late_slice(slice, key, &self.log, self.own, queued.flatten());
                if was_settled {
                    self.unsettled.filled().push(number);
                }
            }
            Folded::No => self.fold_singly(number, slice),
        }
        Some(number)
    }

    /// Change by change.
    fn fold_singly(&mut self, number: HandlerIdx, slice: Slice) {
        let queued = self.first_queued(number);
        let author = self.log.author_of(slice.first);
        for (place, clock) in self.log.slice_clocks(slice) {
            let key = ChangeKey { author, clock };
            let handler = &mut self.handlers[number.0 as usize];
            let was_settled = !handler.out_of_order;
            if handler.fold(place, key, &mut self.log, self.own) || queued.is_some() {
                handler.note_late(place, key, &self.log, self.own, queued.flatten());
                if was_settled {
                    self.unsettled.filled().push(number);
                }
            }
        }
    }

    /// The handler that the change stored last names, whatever its type.
    fn handler_named_last(&self) -> Option<HandlerIdx> {
        let name = self.log.name_of(self.log.last_place()?);
        if name == NameIdx::NONE {
            return None;
        }
        self.find_handler(&self.log.name(name).id)
    }
}
