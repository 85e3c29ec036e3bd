//! A registered handler: its state, its revision, and the record of what the open transaction
//! changed. One arm per kind; a new kind is one file below `handlers` and one arm here.

use super::content::ContentPool;
use super::custom::CustomType;
use super::delta::{TextDelta, joined_events, joined_set_events};
use super::handlers::custom::CustomState;
use super::handlers::fugue::{FugueBlob, FugueSink, FugueState};
use super::handlers::fugue_body::{Elements, FugueBody};
use super::handlers::map::MapState;
use super::handlers::movable_list::MovableListState;
use super::handlers::operation::Events;
use super::handlers::or_map::OrMapState;
use super::handlers::or_set::OrSetState;
use super::handlers::plain_list::PlainListState;
use super::handlers::plain_text::PlainTextState;
use super::handlers::register::RegisterState;
use super::handlers::state::ByteState;
use super::list_delta::ListDelta;
use super::log::{ChangeKey, Log, NameIdx, Operation, Place};
use super::types::{HandlerDelta, HandlerKind, MapOp, ValueCodec};
use crate::clock::{AuthorIdx, Hlc, OrderKey};
use crate::codec::{Envelope, Value};
use crate::sequence::{Chain, Content, ElementKey};
use crate::tree::LazyMap;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// The content of a snapshot in the pool.
#[derive(Clone, Copy, Debug)]
struct Seed {
    /// None: it was moved, run by run.
    place: Option<Content>,
    units: usize,
}

/// What a handler's operations add up to.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Fugue(FugueState),
    // Boxed: they are larger than the others.
    PlainText(Box<PlainTextState>),
    PlainList(Box<PlainListState>),
    MovableList(Box<MovableListState>),
    Map(MapState),
    OrMap(OrMapState),
    Register(RegisterState),
    Set(OrSetState),
    Custom(CustomState),
}

/// What the open transaction changed, while somebody wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) enum Recorder {
    #[default]
    Off,
    /// Edit by edit.
    Text(TextDelta),
    /// The text or list before: for imports of so many changes that the difference is cheaper.
    Before(Visible),
    List(ListDelta),
    Values(Vec<MapOp>),
}

impl Recorder {
    /// Where maps, registers and sets report.
    pub fn events(&mut self) -> Events<'_> {
        match self {
            Recorder::Values(events) => Some(events),
            _ => None,
        }
    }

    /// Where lists report.
    pub fn list(&mut self) -> Option<&mut ListDelta> {
        match self {
            Recorder::List(delta) => Some(delta),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    pub id: Box<str>,
    pub kind: HandlerKind,
    pub codec: ValueCodec,
    pub name: NameIdx,
    pub state: State,
    pub revision: u64,
    /// How many observers want its deltas.
    pub observers: u32,
    pub recorder: Recorder,
    /// Decoded bodies without compact rows: their content is in the pool only once, however often
    /// the state is replayed.
    bodies: LazyMap<ChangeKey, FugueBody>,
    seed: Option<Seed>,
    /// Largest replay position folded.
    pub newest: Option<OrderKey>,
    /// Clock of the last local change, whose text was in the state before it was a change.
    pub newest_own: Hlc,
    /// A change was folded behind `newest` since the last replay.
    pub out_of_order: bool,
}

impl State {
    /// # Panics
    /// If the kind is custom and `custom` is missing.
    fn new(kind: HandlerKind, codec: ValueCodec, custom: Option<Arc<dyn CustomType>>) -> Self {
        match kind {
            HandlerKind::FugueText => State::Fugue(FugueState::new(Elements::Units)),
            HandlerKind::FugueList | HandlerKind::ListRef => {
                State::Fugue(FugueState::new(Elements::Values(codec)))
            }
            HandlerKind::Text => State::PlainText(Box::default()),
            HandlerKind::List => State::PlainList(Box::new(PlainListState::new(codec))),
            HandlerKind::MovableList | HandlerKind::MovableListRef => {
                State::MovableList(Box::new(MovableListState::new(codec)))
            }
            HandlerKind::Map | HandlerKind::MapRef => State::Map(MapState::new(codec)),
            HandlerKind::OrMap => State::OrMap(OrMapState::new(codec)),
            HandlerKind::Register => State::Register(RegisterState::new(codec)),
            HandlerKind::OrSet => State::Set(OrSetState::new(codec)),
            HandlerKind::Custom => State::Custom(CustomState::new(
                custom.expect("custom handlers are made from registered types"),
            )),
        }
    }

    /// The state, if its operations are bytes.
    pub fn bytes(&self) -> Option<&dyn ByteState> {
        match self {
            State::Fugue(_) => None,
            State::PlainText(state) => Some(&**state),
            State::PlainList(state) => Some(&**state),
            State::MovableList(state) => Some(&**state),
            State::Map(state) => Some(state),
            State::OrMap(state) => Some(state),
            State::Register(state) => Some(state),
            State::Set(state) => Some(state),
            State::Custom(state) => Some(state),
        }
    }

    /// As [`bytes`](Self::bytes).
    pub fn bytes_mut(&mut self) -> Option<&mut dyn ByteState> {
        match self {
            State::Fugue(_) => None,
            State::PlainText(state) => Some(&mut **state),
            State::PlainList(state) => Some(&mut **state),
            State::MovableList(state) => Some(&mut **state),
            State::Map(state) => Some(state),
            State::OrMap(state) => Some(state),
            State::Register(state) => Some(state),
            State::Set(state) => Some(state),
            State::Custom(state) => Some(state),
        }
    }
}

impl Handler {
    /// `custom` belongs to custom kinds.
    pub fn new(
        id: &str,
        kind: HandlerKind,
        codec: ValueCodec,
        name: NameIdx,
        custom: Option<Arc<dyn CustomType>>,
    ) -> Self {
        Handler {
            id: id.into(),
            kind,
            codec,
            name,
            state: State::new(kind, codec, custom),
            revision: 0,
            observers: 0,
            recorder: Recorder::Off,
            bodies: LazyMap::default(),
            seed: None,
            newest: None,
            newest_own: Hlc::ZERO,
            out_of_order: false,
        }
    }

    /// The same handler of another document: without content, and observed by nobody.
    pub fn anew(&self) -> Self {
        Handler {
            id: self.id.clone(),
            kind: self.kind,
            codec: self.codec,
            name: self.name,
            state: self.empty_state(),
            revision: 0,
            observers: 0,
            recorder: Recorder::Off,
            bodies: LazyMap::default(),
            seed: None,
            newest: None,
            newest_own: Hlc::ZERO,
            out_of_order: false,
        }
    }

    fn empty_state(&self) -> State {
        match &self.state {
            State::Custom(custom) => State::Custom(custom.emptied()),
            _ => State::new(self.kind, self.codec, None),
        }
    }

    /// The state of a Fugue text or list.
    pub fn fugue(&self) -> Option<&FugueState> {
        match &self.state {
            State::Fugue(fugue) => Some(fugue),
            _ => None,
        }
    }

    /// The state of a Fugue text.
    pub fn text(&self) -> Option<&FugueState> {
        self.fugue()
            .filter(|fugue| fugue.elements == Elements::Units)
    }

    /// Hands the state of a Fugue text or list to `body`, and where it reports.
    #[inline]
    pub fn with_fugue<R>(
        &mut self,
        log: &Log,
        own: AuthorIdx,
        body: impl FnOnce(&mut FugueState, &mut FugueSink<'_>) -> R,
    ) -> Option<R> {
        match &mut self.state {
            State::Fugue(fugue) => Some(body(fugue, &mut sink(&mut self.recorder, log, own))),
            _ => None,
        }
    }

    /// Starts over from a snapshot's blob, or from nothing. An undecodable blob counts as none.
    pub fn reset(&mut self, blob: Option<&[u8]>, log: &mut Log, own: AuthorIdx) {
        self.state = self.empty_state();
        self.newest = None;
        self.newest_own = Hlc::ZERO;
        self.out_of_order = false;
        let Some(blob) = blob else {
            return;
        };
        let seeded = match &mut self.state {
            State::Fugue(fugue) => FugueBlob::decode(blob, fugue.elements).map(|blob| {
                // Replays of one snapshot share its content.
                let known = self.seed.filter(|seed| {
                    seed.units == blob.content_len()
                        && seed
                            .place
                            .is_some_and(|place| blob.is_at(place, &log.content))
                });
                let place = known.and_then(|seed| seed.place).unwrap_or_else(|| {
                    log.content.give_up(self.seed.map_or(0, |seed| seed.units));
                    blob.store(fugue.elements, &mut log.content)
                });
                self.seed = Some(Seed {
                    place: Some(place),
                    units: blob.content_len(),
                });
                fugue.seed(&blob, place, own, log);
            }),
            state => state.bytes_mut().map_or(Ok(()), |state| state.seed(blob)),
        };
        if let Err(error) = seeded {
            log::warn!(target: "document", "the snapshot of handler {:?} is unreadable: {error}", self.id);
        }
    }

    /// Folds a stored change in. Returns whether it came behind a younger one.
    pub fn fold(&mut self, place: Place, key: ChangeKey, log: &mut Log, own: AuthorIdx) -> bool {
        let order = log.operation_id(key);
        let is_late = self.newest.is_some_and(|newest| newest > order)
            || self.newest_own > order.hlc
            || self.newest_own == order.hlc && log.authors.peer(own) > order.peer;
        if !is_late {
            self.newest = Some(order);
        }
        self.fold_operation(place, key, order, log, own);
        is_late
    }

    /// The operations of the open transaction became changes with these places.
    pub fn promote_pending(&mut self, places: &[OrderKey]) {
        self.newest = self.newest.max(places.last().copied());
        if let Some(state) = self.state.bytes_mut() {
            state.promote_pending(places);
        }
    }

    fn fold_operation(
        &mut self,
        place: Place,
        key: ChangeKey,
        order: OrderKey,
        log: &mut Log,
        own: AuthorIdx,
    ) {
        if let State::Fugue(fugue) = &mut self.state {
            let recorder = &mut self.recorder;
            let compact = log.with_operation(place, |op| {
                let sink = &mut sink(recorder, log, own);
                match op {
                    // Undecodable, or for a handler of another type (specification 9.1).
                    Operation::Insert { content, len, .. }
                        if !fugue.accepts(content, len, sink.content) =>
                    {
                        true
                    }
                    Operation::Insert {
                        first,
                        len,
                        left,
                        right,
                        content,
                    } => {
                        let id = ElementKey {
                            author: key.author,
                            counter: first,
                        };
                        fugue.insert(
                            Chain {
                                id,
                                len,
                                units: len,
                                content,
                                left,
                                right,
                            },
                            sink,
                        );
                        true
                    }
                    Operation::Remove { spans } => {
                        fugue.remove(spans, sink);
                        true
                    }
                    _ => false,
                }
            });
            if !compact {
                self.fold_body(place, key, log, own);
            }
            return;
        }
        let (state, recorder) = (&mut self.state, &mut self.recorder);
        log.with_operation(place, |op| {
            if let (Some((kind, body)), Some(state)) = (kind_and_body(op), state.bytes_mut()) {
                // An undecodable body has no effect and hides no other (specification 9.1).
                let _ = state.apply(order, kind, body, recorder);
            }
        });
    }

    fn fold_body(&mut self, place: Place, key: ChangeKey, log: &mut Log, own: AuthorIdx) {
        let Some(elements) = self.fugue().map(|fugue| fugue.elements) else {
            return;
        };
        let body = match self.bodies.filled().entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => {
                let found = log.with_operation(place, |op| {
                    kind_and_body(op).map(|(kind, body)| (kind, body.to_vec()))
                });
                let Some((kind, body)) = found else {
                    return;
                };
                let Log {
                    authors, content, ..
                } = log;
                match FugueBody::decode(kind, &body, elements, key.author, authors, content) {
                    Ok(Some(body)) => slot.insert(body),
                    _ => return,
                }
            }
        };
        if let State::Fugue(text) = &mut self.state {
            text.order_sensitive |= body.makes_foreign_elements(key.author);
            text.apply(body, &mut sink(&mut self.recorder, log, own));
        }
    }

    /// The state has a change that came late: whether it names elements that come behind it.
    /// `queued` is the first own element that the open transaction made.
    pub fn note_late(
        &mut self,
        place: Place,
        key: ChangeKey,
        log: &Log,
        own: AuthorIdx,
        queued: Option<u32>,
    ) {
        self.out_of_order = true;
        let order = log.operation_id(key);
        let bodies = &self.bodies;
        let State::Fugue(text) = &mut self.state else {
            return;
        };
        let mut check = |element: ElementKey| {
            let is_queued =
                element.author == own && queued.is_some_and(|first| element.counter >= first);
            text.order_sensitive |= is_queued || log.is_produced_behind(self.name, element, order);
        };
        log.with_operation(place, |op| match op {
            Operation::Insert { left, right, .. } => [left, right].into_iter().for_each(&mut check),
            Operation::Remove { spans } => spans
                .iter()
                .for_each(|span| check(span.id.plus(span.len - 1))),
            Operation::Other { .. } | Operation::Opaque { .. } => {
                if let Some(body) = bodies.get(&key) {
                    body.for_each_named(&mut check);
                }
            }
        });
        // Stored behind a younger change of its own author.
        text.order_sensitive |= log.latest(key.author) != Some(key.clock);
    }

    /// Whether the state depends on the order in which changes came, and it was not the order of
    /// replay.
    pub fn needs_replay(&self) -> bool {
        let is_sensitive = match &self.state {
            State::Fugue(text) => text.order_sensitive,
            state => state.bytes().is_some_and(ByteState::is_order_sensitive),
        };
        self.out_of_order && is_sensitive
    }

    /// Content moved to another pool.
    pub fn move_content(&mut self, old: &ContentPool, new: &mut ContentPool) {
        if let State::Fugue(text) = &mut self.state {
            text.sequence
                .move_content(|content, units| new.copy_from(old, content, units));
        }
        self.bodies.clear();
        if let Some(seed) = &mut self.seed {
            seed.place = None;
        }
    }

    /// Begins to record, if somebody wants it and it has not begun. Returns whether it begins.
    pub fn record(&mut self, observed: bool, many: bool, content: &ContentPool) -> bool {
        if !observed || !matches!(self.recorder, Recorder::Off) {
            return false;
        }
        self.recorder = match &self.state {
            State::Fugue(fugue) if many => Recorder::Before(fugue.visible(content)),
            State::Fugue(fugue) => fugue.recorder(),
            State::PlainText(_) | State::PlainList(_) | State::MovableList(_) if many => {
                Recorder::Before(self.visible(content))
            }
            state => state.bytes().map_or(Recorder::Off, ByteState::recorder),
        };
        true
    }

    /// What can be seen now, to be compared after a replay.
    pub fn visible(&self, content: &ContentPool) -> Visible {
        match &self.state {
            State::Fugue(fugue) => fugue.visible(content),
            state => state
                .bytes()
                .map_or(Visible::Elements(Vec::new()), ByteState::visible),
        }
    }

    /// What was there before the recorded edits, if a replay may not lead back to it.
    pub fn to_replace(&self, content: &ContentPool) -> Option<Replaced> {
        match (&self.recorder, &self.state) {
            (Recorder::Text(delta), State::Fugue(text)) if text.outlives_snapshot => {
                let len = u64::from(text.sequence.len_units());
                Some(Replaced::Text(delta.len_before(len)))
            }
            (Recorder::List(delta), State::Fugue(list)) if list.outlives_snapshot => {
                let now = list.values(content, 0).collect();
                Some(Replaced::List(delta.before(now)))
            }
            (Recorder::List(delta), State::MovableList(list)) if list.outlives_snapshot => {
                Some(Replaced::List(delta.before(list.values())))
            }
            _ => None,
        }
    }

    /// Records that what is there now came in the place of `before`.
    pub fn record_replacement(&mut self, before: Replaced, content: &ContentPool) {
        self.recorder = match (before, self.visible(content)) {
            (Replaced::Text(len), Visible::Text(after)) => {
                Recorder::Text(TextDelta::replacement(len, after))
            }
            (Replaced::List(before), Visible::Elements(after)) => {
                let mut delta = ListDelta::default();
                delta.replace(&before, &after);
                Recorder::List(delta)
            }
            _ => Recorder::Off,
        };
    }

    /// Records the difference to what could be seen before a replay.
    pub fn record_difference(&mut self, before: Visible, content: &ContentPool) {
        let after = self.visible(content);
        match (&mut self.recorder, before, after) {
            (Recorder::Text(delta), Visible::Text(before), Visible::Text(after)) => {
                delta.replace(&before, &after);
            }
            (Recorder::List(delta), Visible::Elements(before), Visible::Elements(after)) => {
                delta.replace(&before, &after);
            }
            (Recorder::Values(events), Visible::Entries(before), Visible::Entries(after)) => {
                entry_differences(before, after, events);
            }
            (Recorder::Values(events), Visible::Elements(before), Visible::Elements(after)) => {
                element_differences(before, after, events);
            }
            _ => (),
        }
    }

    /// Ends the record; None if nothing changed.
    pub fn finish_record(&mut self, content: &ContentPool) -> Option<HandlerDelta> {
        if let Recorder::Before(_) = self.recorder {
            let fresh = match &self.state {
                State::Fugue(fugue) => fugue.recorder(),
                state => state.bytes().map_or(Recorder::Off, ByteState::recorder),
            };
            if let Recorder::Before(before) = std::mem::replace(&mut self.recorder, fresh) {
                self.record_difference(before, content);
            }
        }
        let delta = match (std::mem::take(&mut self.recorder), &self.state) {
            (Recorder::Text(delta), _) => HandlerDelta::Text(delta.finish()),
            (Recorder::List(delta), _) => HandlerDelta::List(delta.finish()),
            (Recorder::Values(events), State::Register(_) | State::Custom(_)) => {
                HandlerDelta::Register(joined_events(events))
            }
            (Recorder::Values(events), State::Set(_)) => {
                HandlerDelta::Set(joined_set_events(events))
            }
            (Recorder::Values(events), _) => HandlerDelta::Map(joined_events(events)),
            _ => return None,
        };
        (!delta.is_empty()).then_some(delta)
    }

    /// The value as a JSON-like tree.
    pub fn value(&self, content: &ContentPool) -> Value {
        match &self.state {
            State::Fugue(fugue) => fugue.value(content),
            state => state.bytes().map_or(Value::Null, ByteState::value),
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let state = match &self.state {
            State::Fugue(text) => text.sequence.heap_bytes(),
            state => state.bytes().map_or(0, ByteState::heap_bytes),
        };
        state + self.id.len() + self.bodies.len() * size_of::<(ChangeKey, FugueBody)>()
    }

    /// Panics if an invariant is broken.
    pub fn check(&self) {
        match &self.state {
            State::Fugue(text) => text.sequence.check(),
            state => state.bytes().into_iter().for_each(ByteState::check),
        }
    }
}

/// What a rolled back transaction had changed.
#[derive(Clone, Debug)]
pub(crate) enum Replaced {
    /// A text of so many units; which ones, is not known any more.
    Text(u64),
    List(Vec<Value>),
}

/// What a handler shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Visible {
    Text(Vec<u16>),
    Entries(Vec<(String, Value)>),
    Elements(Vec<Value>),
}

fn sink<'a>(recorder: &'a mut Recorder, log: &'a Log, own: AuthorIdx) -> FugueSink<'a> {
    FugueSink {
        recorder,
        content: &log.content,
        authors: &log.authors,
        own,
    }
}

/// Kind and body of an operation that is stored as bytes.
pub(super) fn kind_and_body(op: Operation<'_>) -> Option<(u8, &[u8])> {
    match op {
        Operation::Other { kind, body } => Some((kind, body)),
        Operation::Opaque { payload } => {
            let envelope = Envelope::decode(payload).ok()?;
            Some((envelope.kind, envelope.body))
        }
        Operation::Insert { .. } | Operation::Remove { .. } => None,
    }
}

fn entry_differences(
    before: Vec<(String, Value)>,
    after: Vec<(String, Value)>,
    events: &mut Vec<MapOp>,
) {
    let mut old: HashMap<String, Value> = before.into_iter().collect();
    for (key, new) in after {
        let old = old.remove(&key);
        if old.as_ref() != Some(&new) {
            events.push(MapOp {
                key,
                old,
                new: Some(new),
            });
        }
    }
    events.extend(old.into_iter().map(|(key, old)| MapOp {
        key,
        old: Some(old),
        new: None,
    }));
}

/// Elements that look alike may be several (see `joined_set_events`): they are counted.
fn element_differences(before: Vec<Value>, after: Vec<Value>, events: &mut Vec<MapOp>) {
    let mut gone: HashMap<String, Vec<Value>> = HashMap::new();
    for value in before {
        gone.entry(format!("{value:?}")).or_default().push(value);
    }
    let mut new = Vec::new();
    for value in after {
        if gone
            .get_mut(&format!("{value:?}"))
            .and_then(Vec::pop)
            .is_none()
        {
            new.push(MapOp {
                key: String::new(),
                old: None,
                new: Some(value),
            });
        }
    }
    let gone = gone.into_values().flatten();
    events.extend(gone.map(|value| MapOp {
        key: String::new(),
        old: Some(value),
        new: None,
    }));
    events.extend(new);
}
