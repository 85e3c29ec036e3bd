//! A registered handler: its state, its revision, and the record of what the open transaction
//! changed. One arm per kind; a new kind is one file below `handlers` and one arm here.

use super::content::ContentPool;
use super::delta::{ListDelta, TextDelta, joined_events, joined_set_events, replaced_stretch};
use super::handlers::custom::CustomState;
use super::handlers::map::MapState;
use super::handlers::movable_list::MovableListState;
use super::handlers::operation::Events;
use super::handlers::or_map::OrMapState;
use super::handlers::or_set::OrSetState;
use super::handlers::plain_list::PlainListState;
use super::handlers::plain_text::PlainTextState;
use super::handlers::register::RegisterState;
use super::handlers::state::ByteState;
use super::handlers::text::{TextBlob, TextSink, TextState};
use super::handlers::text_body::TextBody;
use super::log::{ChangeKey, Log, NameIdx, Operation, Place};
use super::types::{HandlerDelta, HandlerKind, MapOp, TextOp, ValueCodec};
use crate::clock::{AuthorIdx, Hlc, OrderKey};
use crate::codec::{Envelope, Value};
use crate::sequence::{Chain, Content, ElementKey};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The text of a snapshot in the content pool.
#[derive(Clone, Copy, Debug)]
struct Seed {
    /// None: it was moved, run by run.
    place: Option<Content>,
    units: usize,
}

/// What a handler's operations add up to.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Text(TextState),
    PlainText(PlainTextState),
    PlainList(PlainListState),
    MovableList(MovableListState),
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
    /// The text before: for imports of so many changes that the difference is cheaper.
    TextBefore(Vec<u16>),
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
    /// Decoded text bodies without compact rows: their text is in the content pool only once,
    /// however often the state is replayed.
    bodies: HashMap<ChangeKey, TextBody>,
    seed: Option<Seed>,
    /// Largest replay position folded.
    pub newest: Option<OrderKey>,
    /// Clock of the last local change, whose text was in the state before it was a change.
    pub newest_own: Hlc,
    /// A change was folded behind `newest` since the last replay.
    pub out_of_order: bool,
}

impl State {
    fn new(kind: HandlerKind, codec: ValueCodec) -> Self {
        match kind {
            HandlerKind::FugueText => State::Text(TextState::default()),
            HandlerKind::FugueList | HandlerKind::ListRef => State::Text(TextState::default()),
            HandlerKind::Text => State::PlainText(PlainTextState::new(codec)),
            HandlerKind::List => State::PlainList(PlainListState::new(codec)),
            HandlerKind::MovableList | HandlerKind::MovableListRef => {
                State::MovableList(MovableListState::new(codec))
            }
            HandlerKind::Map | HandlerKind::MapRef => State::Map(MapState::new(codec)),
            HandlerKind::OrMap => State::OrMap(OrMapState::new(codec)),
            HandlerKind::Register => State::Register(RegisterState::new(codec)),
            HandlerKind::OrSet => State::Set(OrSetState::new(codec)),
            HandlerKind::Custom => State::Custom(CustomState::new(codec)),
        }
    }

    /// The state, if its operations are bytes.
    pub fn bytes(&self) -> Option<&dyn ByteState> {
        match self {
            State::Text(_) => None,
            State::PlainText(state) => Some(state),
            State::PlainList(state) => Some(state),
            State::MovableList(state) => Some(state),
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
            State::Text(_) => None,
            State::PlainText(state) => Some(state),
            State::PlainList(state) => Some(state),
            State::MovableList(state) => Some(state),
            State::Map(state) => Some(state),
            State::OrMap(state) => Some(state),
            State::Register(state) => Some(state),
            State::Set(state) => Some(state),
            State::Custom(state) => Some(state),
        }
    }
}

impl Handler {
    pub fn new(id: &str, kind: HandlerKind, codec: ValueCodec, name: NameIdx) -> Self {
        Handler {
            id: id.into(),
            kind,
            codec,
            name,
            state: State::new(kind, codec),
            revision: 0,
            observers: 0,
            recorder: Recorder::Off,
            bodies: HashMap::new(),
            seed: None,
            newest: None,
            newest_own: Hlc::ZERO,
            out_of_order: false,
        }
    }

    pub fn text(&self) -> Option<&TextState> {
        match &self.state {
            State::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Starts over from a snapshot's blob, or from nothing. An undecodable blob counts as none.
    pub fn reset(&mut self, blob: Option<&[u8]>, log: &mut Log, own: AuthorIdx) {
        self.state = State::new(self.kind, self.codec);
        self.newest = None;
        self.newest_own = Hlc::ZERO;
        self.out_of_order = false;
        let Some(blob) = blob else {
            return;
        };
        let seeded = match &mut self.state {
            State::Text(text) => match TextBlob::decode(blob) {
                Ok(blob) => {
                    // Replays of one snapshot share its text.
                    let known = self.seed.filter(|seed| {
                        seed.units == blob.units.len()
                            && seed
                                .place
                                .is_some_and(|place| log.content.holds(place, &blob.units))
                    });
                    let place = known.and_then(|seed| seed.place).unwrap_or_else(|| {
                        log.content.give_up(self.seed.map_or(0, |seed| seed.units));
                        log.content.push_units(&blob.units)
                    });
                    self.seed = Some(Seed {
                        place: Some(place),
                        units: blob.units.len(),
                    });
                    text.seed(&blob, place, own, &mut log.authors);
                    Ok(())
                }
                Err(error) => Err(error),
            },
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

    fn fold_operation(
        &mut self,
        place: Place,
        key: ChangeKey,
        order: OrderKey,
        log: &mut Log,
        own: AuthorIdx,
    ) {
        if let State::Text(text) = &mut self.state {
            let recorder = &mut self.recorder;
            let compact = log.with_operation(place, |op| {
                let sink = &mut sink(recorder, log, own);
                match op {
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
                        text.insert(
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
                        text.remove(spans, sink);
                        true
                    }
                    _ => false,
                }
            });
            if !compact {
                self.fold_text_body(place, key, log, own);
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

    fn fold_text_body(&mut self, place: Place, key: ChangeKey, log: &mut Log, own: AuthorIdx) {
        let body = match self.bodies.entry(key) {
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
                match TextBody::decode(kind, &body, key.author, authors, content) {
                    Ok(Some(body)) => slot.insert(body),
                    _ => return,
                }
            }
        };
        if let State::Text(text) = &mut self.state {
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
        let State::Text(text) = &mut self.state else {
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

    /// Folds a body that is not in the log yet.
    pub fn fold_pending_text(&mut self, body: &TextBody, log: &Log, own: AuthorIdx) {
        if let State::Text(text) = &mut self.state {
            text.apply(body, &mut sink(&mut self.recorder, log, own));
        }
    }

    /// Whether the state depends on the order in which changes came, and it was not the order of
    /// replay.
    pub fn needs_replay(&self) -> bool {
        let is_sensitive = match &self.state {
            State::Text(text) => text.order_sensitive,
            state => state.bytes().is_some_and(ByteState::is_order_sensitive),
        };
        self.out_of_order && is_sensitive
    }

    /// Content moved to another pool.
    pub fn move_content(&mut self, old: &ContentPool, new: &mut ContentPool) {
        if let State::Text(text) = &mut self.state {
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
            State::Text(text) if many => {
                let mut before = Vec::new();
                text.copy_utf16(content, 0, text.sequence.len_units(), &mut before);
                Recorder::TextBefore(before)
            }
            State::Text(_) => Recorder::Text(TextDelta::default()),
            state => state.bytes().map_or(Recorder::Off, ByteState::recorder),
        };
        true
    }

    /// What can be seen now, to be compared after a replay.
    pub fn visible(&self, content: &ContentPool) -> Visible {
        match &self.state {
            State::Text(text) => {
                let mut units = Vec::new();
                text.copy_utf16(content, 0, text.sequence.len_units(), &mut units);
                Visible::Text(units)
            }
            state => state
                .bytes()
                .map_or(Visible::Elements(Vec::new()), ByteState::visible),
        }
    }

    /// How long a text was before the recorded edits, if a replay may not lead back to it.
    pub fn len_to_replace(&self) -> Option<u64> {
        let (Recorder::Text(delta), Some(text)) = (&self.recorder, self.text()) else {
            return None;
        };
        text.outlives_snapshot
            .then(|| delta.len_before(u64::from(text.sequence.len_units())))
    }

    /// Records that the text is another than the one of `len_before` units, as far as is known.
    pub fn record_replacement(&mut self, len_before: u64, content: &ContentPool) {
        let mut after = Vec::new();
        if let State::Text(text) = &self.state {
            text.copy_utf16(content, 0, text.sequence.len_units(), &mut after);
        }
        self.recorder = Recorder::Text(TextDelta::replacement(len_before, after));
    }

    /// Records the difference to what could be seen before a replay.
    pub fn record_difference(&mut self, before: Visible, content: &ContentPool) {
        let after = self.visible(content);
        match (&mut self.recorder, before, after) {
            (Recorder::Text(delta), Visible::Text(before), Visible::Text(after)) => {
                let mut at = 0;
                for step in replaced_stretch(&before, &after) {
                    match step {
                        TextOp::Retain(count) => at += count as u32,
                        TextOp::Insert(units) => {
                            delta.insert(at, &units);
                            at += units.len() as u32;
                        }
                        TextOp::Remove(count) => delta.remove(at, count as u32),
                    }
                }
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
        let delta = match (std::mem::take(&mut self.recorder), &self.state) {
            (Recorder::Text(delta), _) => HandlerDelta::Text(delta.finish()),
            (Recorder::TextBefore(before), State::Text(text)) => {
                let mut after = Vec::new();
                text.copy_utf16(content, 0, text.sequence.len_units(), &mut after);
                HandlerDelta::Text(replaced_stretch(&before, &after))
            }
            (Recorder::List(delta), _) => HandlerDelta::List(delta.finish()),
            (Recorder::Values(events), State::Register(_)) => {
                HandlerDelta::Register(joined_events(events))
            }
            (Recorder::Values(events), State::Set(_)) => {
                HandlerDelta::Set(joined_set_events(events))
            }
            (Recorder::Values(events), _) => HandlerDelta::Map(joined_events(events)),
            _ => return None,
        };
        let is_empty = match &delta {
            HandlerDelta::Text(steps) => steps.is_empty(),
            HandlerDelta::List(steps) => steps.is_empty(),
            HandlerDelta::Map(ops) | HandlerDelta::Set(ops) | HandlerDelta::Register(ops) => {
                ops.is_empty()
            }
        };
        (!is_empty).then_some(delta)
    }

    /// The value as a JSON-like tree.
    pub fn value(&self, content: &ContentPool) -> Value {
        match &self.state {
            State::Text(text) => {
                let mut units = Vec::new();
                text.copy_utf16(content, 0, text.sequence.len_units(), &mut units);
                Value::String(crate::codec::Wtf8String::from_utf16(&units))
            }
            state => state.bytes().map_or(Value::Null, ByteState::value),
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let state = match &self.state {
            State::Text(text) => text.sequence.heap_bytes(),
            state => state.bytes().map_or(0, ByteState::heap_bytes),
        };
        state + self.id.len() + self.bodies.len() * size_of::<(ChangeKey, TextBody)>()
    }

    /// Panics if an invariant is broken.
    pub fn check(&self) {
        match &self.state {
            State::Text(text) => text.sequence.check(),
            state => state.bytes().into_iter().for_each(ByteState::check),
        }
    }
}

/// What a handler shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Visible {
    Text(Vec<u16>),
    Entries(Vec<(String, Value)>),
    Elements(Vec<Value>),
}

fn sink<'a>(recorder: &'a mut Recorder, log: &'a Log, own: AuthorIdx) -> TextSink<'a> {
    let delta = match recorder {
        Recorder::Text(delta) => Some(delta),
        _ => None,
    };
    TextSink {
        delta,
        content: &log.content,
        authors: &log.authors,
        own,
    }
}

/// Kind and body of an operation that is stored as bytes.
fn kind_and_body(op: Operation<'_>) -> Option<(u8, &[u8])> {
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
