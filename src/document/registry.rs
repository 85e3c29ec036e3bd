//! Handlers of a document: registering them, finding them, and replaying the log into them.

use super::handler::Handler;
use super::log::NameIdx;
use super::types::{DocumentError, HandlerIdx, HandlerKind, HandlerSpec, ValueCodec};
use super::{ChangeKey, Document};
use crate::clock::VersionVector;
use crate::codec::{Change, Value, manifest};
use crate::tree::push_few;

/// Up to so many handlers are looked for one by one.
const HANDLERS_SEARCHED_MAX: usize = if cfg!(any(test, fuzzing)) { 2 } else { 8 };

impl Document {
    /// The handler with this id, registered now if it is not: then it folds what the log and the
    /// snapshot have for it, O(history).
    pub fn handler(&mut self, id: &str, spec: &HandlerSpec) -> Result<HandlerIdx, DocumentError> {
        self.make_handler(id, spec, false)
    }

    /// As [`handler`](Self::handler); one that appears with an import is recorded as a change from
    /// nothing.
    pub(super) fn make_handler(
        &mut self,
        id: &str,
        spec: &HandlerSpec,
        appears: bool,
    ) -> Result<HandlerIdx, DocumentError> {
        if self.is_closed() {
            return Err(DocumentError::Closed);
        }
        let tag = spec.tag();
        // Peers read names without a leading byte order mark (defect 13.18).
        let is_marked = [id, &tag].iter().any(|name| name.starts_with('\u{feff}'));
        if id == manifest::KEY || is_marked {
            return Err(DocumentError::ReservedId);
        }
        if let Some(known) = self.find_handler(id) {
            return self.adopt(known, &tag, spec);
        }
        let number = self.add_handler(id, spec)?;
        if appears {
            self.record(number, true);
        }
        self.replay(number);
        Ok(number)
    }

    /// Registers a handler without a state.
    pub(super) fn add_handler(
        &mut self,
        id: &str,
        spec: &HandlerSpec,
    ) -> Result<HandlerIdx, DocumentError> {
        let tag = spec.tag();
        if id == manifest::KEY || self.find_handler(id).is_some() {
            return Err(DocumentError::ReservedId);
        }
        let custom = match (spec.kind, self.factories.get(tag.as_str())) {
            (HandlerKind::Custom, factory) => {
                let custom = factory.and_then(|factory| factory.custom.clone());
                Some(custom.ok_or_else(|| DocumentError::UnknownType {
                    type_tag: tag.clone(),
                })?)
            }
            _ => None,
        };
        let name = self.log.intern(&tag, id);
        let mut handler = Handler::new(id, spec.kind, spec.codec, name, custom);
        handler.revision = match self.timeline {
            None => self.early_revisions.remove(id).unwrap_or(0),
            Some(_) => self.handler_change_count(id),
        };
        Ok(self.adopt_handler(handler))
    }

    /// Takes a handler whose name the log has.
    pub(super) fn adopt_handler(&mut self, handler: Handler) -> HandlerIdx {
        let number = HandlerIdx(self.handlers.len() as u32);
        let name = handler.name.0 as usize;
        push_few(&mut self.handlers, handler);
        match self.handlers.len() {
            0..=HANDLERS_SEARCHED_MAX => (),
            len if len == HANDLERS_SEARCHED_MAX + 1 => {
                let ids = self.handlers.iter().map(|handler| handler.id.clone());
                let numbered = ids.zip((0..).map(HandlerIdx));
                self.handler_numbers.filled().extend(numbered);
            }
            _ => {
                let id = self.handler_ref(number).id.clone();
                self.handler_numbers.filled().insert(id, number);
            }
        }
        let handler_of_name = self.handler_of_name.filled();
        if handler_of_name.len() <= name {
            let more = name + 1 - handler_of_name.len();
            handler_of_name.reserve_exact(more.max(handler_of_name.len()));
            handler_of_name.resize(name + 1, None);
        }
        handler_of_name[name] = Some(number);
        number
    }

    /// A registered handler as it was asked for. The values of one that was made from the wire
    /// alone are taken for JSON; whoever knows better changes that once.
    fn adopt(
        &mut self,
        number: HandlerIdx,
        tag: &str,
        spec: &HandlerSpec,
    ) -> Result<HandlerIdx, DocumentError> {
        let handler = &mut self.handlers[number.0 as usize];
        if &*self.log.name(handler.name).type_tag != tag || handler.kind != spec.kind {
            return Err(DocumentError::TypeMismatch);
        }
        if handler.codec != spec.codec {
            handler.codec = spec.codec;
            self.replay(number);
        }
        Ok(number)
    }

    /// The registered handler with this id.
    pub fn find_handler(&self, id: &str) -> Option<HandlerIdx> {
        if self.handlers.len() > HANDLERS_SEARCHED_MAX {
            return self.handler_numbers.get(id).copied();
        }
        let at = self
            .handlers
            .iter()
            .position(|handler| &*handler.id == id)?;
        Some(HandlerIdx(at as u32))
    }

    /// The registered handlers in order of registration.
    pub fn handlers(&self) -> impl Iterator<Item = HandlerIdx> + '_ {
        (0..self.handlers.len() as u32).map(HandlerIdx)
    }

    pub(super) fn handler_ref(&self, handler: HandlerIdx) -> &Handler {
        &self.handlers[handler.0 as usize]
    }

    /// Its id.
    pub fn handler_id(&self, handler: HandlerIdx) -> &str {
        &self.handler_ref(handler).id
    }

    /// Its type tag.
    pub fn handler_type(&self, handler: HandlerIdx) -> &str {
        &self.log.name(self.handler_ref(handler).name).type_tag
    }

    /// Its kind.
    pub fn handler_kind(&self, handler: HandlerIdx) -> HandlerKind {
        self.handler_ref(handler).kind
    }

    /// How its values are stored.
    pub fn handler_codec(&self, handler: HandlerIdx) -> ValueCodec {
        self.handler_ref(handler).codec
    }

    /// Rises whenever its content may have changed (specification 8.9).
    pub fn handler_revision(&self, handler: HandlerIdx) -> u64 {
        self.handler_ref(handler).revision
    }

    /// How many stored changes name this id, whatever the type.
    pub fn handler_change_count(&self, id: &str) -> u64 {
        let names = self.log.names().filter(|(_, name)| &*name.id == id);
        names.map(|(_, name)| name.change_count).sum()
    }

    /// The stored changes that name this id and that `since` does not cover, in store order.
    pub fn handler_changes(&self, id: &str, since: Option<&VersionVector>) -> Vec<Change> {
        let mut out = Vec::new();
        self.log.for_each_from(0, |_, _, change| {
            let is_new = since.is_none_or(|since| !since.covers(&change.id.peer, change.id.hlc));
            if is_new
                && change
                    .envelope()
                    .is_ok_and(|envelope| envelope.handler_id == id)
            {
                out.push(change.clone());
            }
            true
        });
        out
    }

    /// The value of a handler: a text string, an object, a list of elements, or the value set.
    pub fn handler_value(&self, handler: HandlerIdx) -> Value {
        self.handler_ref(handler).value(&self.log.content)
    }

    /// Whether commits carry the deltas of this handler. Counted: one `false` per `true`.
    pub fn observe(&mut self, handler: HandlerIdx, on: bool) {
        let observers = &mut self.handlers[handler.0 as usize].observers;
        *observers = if on {
            *observers + 1
        } else {
            observers.saturating_sub(1)
        };
    }

    /// As [`observe`](Self::observe), for all handlers, present and future.
    pub fn observe_all(&mut self, on: bool) {
        let observers = &mut self.observers_of_all;
        *observers = if on {
            *observers + 1
        } else {
            observers.saturating_sub(1)
        };
    }

    pub(super) fn handler_of_name(&self, name: NameIdx) -> Option<HandlerIdx> {
        self.handler_of_name.get(name.0 as usize).copied().flatten()
    }

    /// Begins the record of a handler, if it is observed.
    #[inline]
    pub(super) fn record(&mut self, number: HandlerIdx, many: bool) {
        if self.recording || self.is_tracking() {
            self.record_observed(number, many);
        }
    }

    #[inline(never)]
    fn record_observed(&mut self, number: HandlerIdx, many: bool) {
        let observed = self.is_observed(number) || self.tracks_positions(number);
        let handler = &mut self.handlers[number.0 as usize];
        if handler.record(observed, many, &self.log.content) {
            self.recorded.filled().push(number);
        }
    }

    /// Whether commits may carry the deltas of a handler.
    pub(super) fn is_observed(&self, number: HandlerIdx) -> bool {
        let handler = self.handler_ref(number);
        let observed =
            handler.observers > 0 || self.observers_of_all > 0 || !self.deeply_observed.is_empty();
        self.recording && observed
    }

    /// Registers handlers for all that the log names in registered types or in Dart's own tags: a server
    /// that no one told of them must not lose them to a snapshot (trap 9 of crdt_socket_sync).
    /// Returns a name that stays without one, if there is any with changes.
    pub(super) fn register_named(&mut self) -> Option<String> {
        let names: Vec<(String, String, u64)> = self
            .log
            .names()
            .map(|(_, name)| {
                (
                    name.type_tag.to_string(),
                    name.id.to_string(),
                    name.change_count,
                )
            })
            .collect();
        let mut unknown = None;
        for (tag, id, changes) in names {
            if changes == 0 || self.find_handler(&id).is_some() {
                continue;
            }
            let spec = self.spec_of_type(&tag).or_else(|| {
                HandlerKind::of_tag(&tag).map(|kind| HandlerSpec {
                    type_tag: tag.clone(),
                    ..HandlerSpec::new(kind)
                })
            });
            let registered = spec.map(|spec| self.handler(&id, &spec));
            if !matches!(registered, Some(Ok(_))) {
                unknown = Some(tag);
            }
        }
        unknown
    }

    /// Folds the state of a handler anew: the snapshot's part, then the log in replay order, then
    /// the open transaction (specification 9.1). This is the canonical value. O(history).
    pub fn replay(&mut self, number: HandlerIdx) {
        self.fold_anew(number, true);
    }

    /// Folds the state of a handler anew without losing what a snapshot forgets: while the log has
    /// all changes since the beginning, they alone are folded. A snapshot keeps no removed
    /// elements, and whoever forgets them places concurrent edits elsewhere (specification 10.5).
    pub(super) fn refold(&mut self, number: HandlerIdx) {
        self.fold_anew(number, self.is_seeded);
    }

    fn fold_anew(&mut self, number: HandlerIdx, from_snapshot: bool) {
        let index = number.0 as usize;
        let observed = !matches!(self.handlers[index].recorder, super::handler::Recorder::Off);
        let before = observed.then(|| self.handlers[index].visible(&self.log.content));
        // What is recorded is the difference, not the steps of the replay.
        let recorder = std::mem::take(&mut self.handlers[index].recorder);
        let name = self.handlers[index].name;
        let snapshot = self.snapshot.as_ref().filter(|_| from_snapshot);
        let blob = snapshot.and_then(|snapshot| snapshot.entry(&self.handlers[index].id));
        self.handlers[index].reset(blob, &mut self.log, self.own);
        if from_snapshot {
            self.load_native_state(number);
        }
        let changes = self
            .log
            .replay_order(name, |key| !(from_snapshot && self.is_covered(key)));
        for (id, place) in changes {
            let author = self.log.author_of(place);
            let key = ChangeKey {
                author,
                clock: id.hlc,
            };
            self.handlers[index].fold(place, key, &mut self.log, self.own);
        }
        let largest = self.largest_own_counter(number);
        if let (super::handler::State::Fugue(text), Some(largest)) =
            (&mut self.handlers[index].state, largest)
        {
            text.next_counter = text.next_counter.max(largest.saturating_add(1));
        }
        self.fold_pending(number);
        self.handlers[index].recorder = recorder;
        if let Some(before) = before {
            self.handlers[index].record_difference(before, &self.log.content);
        }
    }

    /// Replays all handlers: what any peer shows that has the same snapshot and changes.
    pub fn replay_all(&mut self) {
        for number in 0..self.handlers.len() as u32 {
            self.replay(HandlerIdx(number));
        }
    }
}
