//! From commits of a document to events on queues.
//!
//! One hub observes a document for all subscriptions to it and its handlers. It runs under the
//! document's lock, so it only builds payloads and pushes them; wakeups of the application run
//! after the lock was released. What nobody wants is not built.

use super::delivery::Queue;
use super::event::number;
use super::payload::{
    ChangePayload, Payload, Target, TargetDelta, TextStep, UpdatePayload, syncline_event_type,
    syncline_event_type::{
        SYNCLINE_EVENT_CHANGE, SYNCLINE_EVENT_HISTORY, SYNCLINE_EVENT_UNDO, SYNCLINE_EVENT_UPDATE,
    },
};
use super::reports::{HistoryReport, UndoReport};
use super::subscription::Subscription;
use super::units;
use crate::codec::Value;
use crate::codec::change::encode_list;
use crate::document::{
    Commit, Document, DocumentObserver, HandlerDelta, HandlerIdx, HandlerKind, LogPosition,
    NestedPath, Origin, PathStep, TextOp, TextUnit, UndoIdx,
};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Observes one document.
pub(crate) struct Hub {
    unit: TextUnit,
    /// The document computes deltas for other handlers than are wanted.
    is_stale: AtomicBool,
    state: Mutex<HubState>,
    /// Queues that got something under the document's lock.
    to_wake: Mutex<Vec<Arc<Queue>>>,
}

#[derive(Default)]
struct HubState {
    listeners: Vec<Listener>,
    /// What the document was asked to compute deltas for.
    observed: HashSet<Scope>,
    /// The end of the last commit in the document's log, while that is known: several commits may
    /// be reported at once.
    position: Option<LogPosition>,
    /// For units other than UTF-16: observed texts as they were after the last commit.
    texts: HashMap<HandlerIdx, Vec<u16>>,
}

struct Listener {
    subscription: Arc<Subscription>,
    scope: Scope,
}

/// What a subscription is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Document,
    Handler(HandlerIdx),
    /// A container with all that it refers to.
    Below(HandlerIdx),
    /// The cursor of the history that the document shows, and what moving it changes.
    History,
    /// The stacks of an undo manager.
    Undo(UndoIdx),
}

impl Hub {
    pub(crate) fn new(unit: TextUnit) -> Arc<Self> {
        Arc::new(Hub {
            unit,
            is_stale: AtomicBool::new(false),
            state: Mutex::default(),
            to_wake: Mutex::default(),
        })
    }

    /// Adds a subscription; `refresh` makes it effective.
    pub(crate) fn add(&self, subscription: &Arc<Subscription>, scope: Scope) {
        let listener = Listener {
            subscription: subscription.clone(),
            scope,
        };
        self.state.lock().listeners.push(listener);
        self.is_stale.store(true, Ordering::Release);
    }

    /// Drops a subscription. True if it was the last.
    pub(crate) fn remove(&self, subscription: &Arc<Subscription>) -> bool {
        let mut state = self.state.lock();
        state
            .listeners
            .retain(|known| !Arc::ptr_eq(&known.subscription, subscription));
        self.is_stale.store(true, Ordering::Release);
        state.listeners.is_empty()
    }

    /// Sends CLOSED to everybody.
    pub(crate) fn close(&self) {
        self.close_those(|_| true);
    }

    /// What a scope is about is gone: sends CLOSED to those who have it.
    pub(crate) fn close_scope(&self, scope: Scope) {
        self.close_those(|listener| listener.scope == scope);
    }

    fn close_those(&self, is_meant: impl Fn(&Listener) -> bool) {
        let gone: Vec<Listener> = {
            let listeners = &mut self.state.lock().listeners;
            let (gone, others) = std::mem::take(listeners).into_iter().partition(is_meant);
            *listeners = others;
            gone
        };
        self.is_stale.store(true, Ordering::Release);
        gone.iter()
            .for_each(|listener| listener.subscription.close());
    }

    /// Whether `refresh` has something to do. Cheap: asked in every call.
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Acquire)
    }

    /// Something changed that `refresh` must look at: a handler was made.
    pub(crate) fn handler_added(&self) {
        if self.unit != TextUnit::Utf16 {
            self.is_stale.store(true, Ordering::Release);
        }
    }

    /// Tells the document which deltas are wanted. Call it under the document's lock.
    pub(crate) fn refresh(&self, document: &mut Document) {
        let mut state = self.state.lock();
        self.is_stale.store(false, Ordering::Release);
        let wants = |listener: &&Listener| listener.subscription.wants(SYNCLINE_EVENT_CHANGE);
        let mut wanted: HashSet<Scope> = state
            .listeners
            .iter()
            .filter(wants)
            .map(|listener| listener.scope)
            .filter(|scope| !matches!(scope, Scope::Undo(_)))
            .collect();
        let is_deep = wanted.iter().any(|scope| matches!(scope, Scope::Below(_)));
        if is_deep && self.unit != TextUnit::Utf16 {
            // Copies of texts must see every delta, and a text may come below a container later.
            wanted.insert(Scope::Document);
        }
        for gone in state.observed.difference(&wanted) {
            observe(document, *gone, false);
        }
        for new in wanted.difference(&state.observed) {
            observe(document, *new, true);
        }
        state.observed = wanted;
        // Inside of a transaction the log may hold imports that its commit will count.
        state.position = (!document.in_transaction()).then(|| document.log_position());
        if self.unit != TextUnit::Utf16 {
            state.refresh_texts(document);
        }
    }

    fn wake_later(&self, subscription: &Arc<Subscription>) {
        let mut to_wake = self.to_wake.lock();
        if !to_wake
            .iter()
            .any(|queue| Arc::ptr_eq(queue, subscription.queue()))
        {
            to_wake.push(subscription.queue().clone());
        }
    }

    fn push(&self, subscription: &Arc<Subscription>, payload: &Arc<Payload>) {
        subscription.queue().push(subscription, payload);
        self.wake_later(subscription);
    }
}

fn observe(document: &mut Document, scope: Scope, on: bool) {
    match scope {
        Scope::Document | Scope::History => document.observe_all(on),
        Scope::Undo(_) => {}
        Scope::Handler(handler) => document.observe(handler, on),
        Scope::Below(container) => document.observe_deeply(container, on),
    }
}

impl HubState {
    /// Copies the texts that came under observation and drops the others.
    fn refresh_texts(&mut self, document: &Document) {
        let whole = [Scope::Document, Scope::History];
        let all = whole.iter().any(|scope| self.observed.contains(scope));
        let observed = &self.observed;
        let is_wanted = |h: HandlerIdx| all || observed.contains(&Scope::Handler(h));
        self.texts.retain(|handler, _| is_wanted(*handler));
        for handler in document.handlers() {
            let kind = document.handler_kind(handler);
            let is_text = matches!(kind, HandlerKind::FugueText | HandlerKind::Text);
            if is_text && is_wanted(handler) && !self.texts.contains_key(&handler) {
                let mut text = Vec::new();
                document.text_slice_utf16(handler, 0..document.text_len_utf16(handler), &mut text);
                self.texts.insert(handler, text);
            }
        }
    }

    /// Where the changes of a commit begin in the log; moves on to the next commit.
    fn start_of(&mut self, document: &Document, commit: &Commit) -> LogPosition {
        let end = document.log_position();
        let start = match self.position {
            Some(position) if position.generation == end.generation => position,
            _ => LogPosition {
                index: end.index.saturating_sub(commit.change_count),
                ..end
            },
        };
        self.position = Some(LogPosition {
            index: start.index + commit.change_count,
            ..start
        });
        start
    }

    fn target(
        &mut self,
        document: &Document,
        unit: TextUnit,
        handler: HandlerIdx,
        delta: &HandlerDelta,
    ) -> Target {
        target_of(document, handler, delta, |ops| match unit {
            TextUnit::Utf16 => units::utf16_steps(ops),
            _ => units::convert(ops, self.texts.entry(handler).or_default(), unit),
        })
    }
}

/// A handler with its delta, as an event carries it.
pub(crate) fn target_of(
    document: &Document,
    handler: HandlerIdx,
    delta: &HandlerDelta,
    text_steps: impl FnOnce(&[TextOp]) -> Vec<TextStep>,
) -> Target {
    let delta = match delta {
        HandlerDelta::Text(ops) => TargetDelta::Text(text_steps(ops)),
        HandlerDelta::List(ops) => TargetDelta::List(ops.iter().map(Into::into).collect()),
        HandlerDelta::Map(ops) | HandlerDelta::Set(ops) | HandlerDelta::Register(ops) => {
            TargetDelta::Keys(ops.clone())
        }
    };
    Target {
        id: document.handler_id(handler).to_owned(),
        type_name: document.handler_type(handler).to_owned(),
        path: None,
        delta,
    }
}

impl DocumentObserver for Hub {
    fn committed(&self, document: &Document, commit: &Commit) {
        let mut state = self.state.lock();
        self.push_moves(&state, document, commit);
        self.push_changes(&mut state, document, commit);
        let start = state.start_of(document, commit);
        self.push_update(&state, document, commit, start);
    }

    fn after_commit(&self) {
        let queues = std::mem::take(&mut *self.to_wake.lock());
        queues.iter().for_each(|queue| queue.wake());
    }
}

impl Hub {
    /// What happened to the cursor of the history that is shown, or to undo stacks.
    fn push_moves(&self, state: &HubState, document: &Document, commit: &Commit) {
        if let (Origin::History, Some(line)) = (commit.origin, document.history()) {
            let payload = Arc::new(Payload::History(HistoryReport {
                cursor: line.cursor(),
                length: line.length(),
            }));
            self.push_to(state, Scope::History, SYNCLINE_EVENT_HISTORY, &payload);
        }
        for event in &commit.undo {
            let payload = Arc::new(Payload::Undo(UndoReport::new(event)));
            let scope = Scope::Undo(event.manager);
            self.push_to(state, scope, SYNCLINE_EVENT_UNDO, &payload);
        }
    }

    fn push_to(
        &self,
        state: &HubState,
        scope: Scope,
        kind: syncline_event_type,
        payload: &Arc<Payload>,
    ) {
        for listener in &state.listeners {
            if listener.scope == scope && listener.subscription.wants(kind) {
                self.push(&listener.subscription, payload);
            }
        }
    }

    /// One CHANGE for each subscription that has a target in the commit.
    fn push_changes(&self, state: &mut HubState, document: &Document, commit: &Commit) {
        if commit.deltas.is_empty() {
            return;
        }
        // Converting moves the copy of a text on, so each delta is converted exactly once.
        let targets: Vec<(HandlerIdx, Target)> = commit
            .deltas
            .iter()
            .map(|(handler, delta)| (*handler, state.target(document, self.unit, *handler, delta)))
            .collect();
        let mut built: HashMap<Scope, Arc<Payload>> = HashMap::new();
        for listener in &state.listeners {
            if !listener.subscription.wants(SYNCLINE_EVENT_CHANGE) {
                continue;
            }
            let mut scope = listener.scope;
            if let (Scope::Document, [(only, _)]) = (scope, targets.as_slice()) {
                // With one target the document and the handler see the same payload.
                scope = Scope::Handler(*only);
            }
            if let Some(payload) = built.get(&scope) {
                self.push(&listener.subscription, payload);
                continue;
            }
            let chosen = targets_of(scope, &targets, &commit.paths);
            if !chosen.is_empty() {
                let payload = Arc::new(Payload::Change(change_payload(commit, chosen)));
                self.push(&listener.subscription, &payload);
                built.insert(scope, payload);
            }
        }
    }

    /// One UPDATE for each subscription to the document.
    fn push_update(
        &self,
        state: &HubState,
        document: &Document,
        commit: &Commit,
        start: LogPosition,
    ) {
        let wants = |listener: &&Listener| {
            listener.scope == Scope::Document && listener.subscription.wants(SYNCLINE_EVENT_UPDATE)
        };
        let mut listeners = state.listeners.iter().filter(wants).peekable();
        let happened = commit.change_count > 0 || commit.snapshot_applied;
        if listeners.peek().is_none() || !happened {
            return;
        }
        // If history was rewritten meanwhile the log does not know the place any more: an update
        // without changes says "exchange anew".
        let mut changes = document.changes_since(start).unwrap_or_default();
        changes.truncate(usize::try_from(commit.change_count).unwrap_or(usize::MAX));
        let payload = Arc::new(Payload::Update(UpdatePayload {
            origin: commit.origin.into(),
            change_count: u32::try_from(changes.len()).unwrap_or(u32::MAX),
            update: encode_list(changes.iter()),
        }));
        listeners.for_each(|listener| self.push(&listener.subscription, &payload));
    }
}

/// What a subscription with this scope sees.
fn targets_of(scope: Scope, targets: &[(HandlerIdx, Target)], paths: &[NestedPath]) -> Vec<Target> {
    let all = targets.iter();
    match scope {
        Scope::Document | Scope::History => all.map(|(_, target)| target.clone()).collect(),
        Scope::Undo(_) => Vec::new(),
        Scope::Handler(wanted) => {
            let own = all.filter(|(handler, _)| *handler == wanted);
            own.map(|(_, target)| target.clone()).collect()
        }
        Scope::Below(root) => {
            let below = paths.iter().filter(|path| path.root == root);
            let ways: HashMap<HandlerIdx, &[PathStep]> = below
                .map(|path| (path.handler, path.steps.as_slice()))
                .collect();
            let with_path = |(handler, target): &(HandlerIdx, Target)| {
                ways.get(handler).map(|steps| Target {
                    path: Some(path_value(steps)),
                    ..target.clone()
                })
            };
            all.filter_map(with_path).collect()
        }
    }
}

fn path_value(steps: &[PathStep]) -> Value {
    let step = |step: &PathStep| match step {
        PathStep::Key(key) => Value::from(key.as_str()),
        PathStep::Index(index) => number(*index),
    };
    Value::Array(steps.iter().map(step).collect())
}

fn change_payload(commit: &Commit, targets: Vec<Target>) -> ChangePayload {
    let author = commit.author.filter(|_| commit.origin == Origin::Remote);
    let peer = author.map_or_else(String::new, |peer| peer.to_string());
    ChangePayload::new(
        commit.origin.into(),
        commit.tag.clone(),
        peer,
        commit.number,
        targets,
    )
}
