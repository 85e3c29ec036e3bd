//! Documents of documents: containers hold references, and a reference leads to a handler of the
//! same document (specification 8.10).
//!
//! Handlers are flat: a tree is what references make of them, so it may have shared children and
//! circles, and it may be as deep as there are handlers. Nothing here recurses.

use super::Document;
use super::types::{DocumentError, HandlerIdx, HandlerKind};
use crate::clock::PeerId;
use crate::codec::{HandlerRef, Value, Wtf8String, manifest};
use std::collections::{HashMap, HashSet};

/// How many values a resolved tree may have. A handler that is referenced twice is there twice, so
/// a few forged references could ask for any number.
pub const RESOLVED_VALUES_MAX: usize = 1 << 20;

/// How many bytes the values of all leaves of a resolved tree may have together.
pub const RESOLVED_BYTES_MAX: usize = 1 << 28;

const LISTS_OF_REFERENCES: [HandlerKind; 2] = [HandlerKind::ListRef, HandlerKind::MovableListRef];

/// One step from a container to its child.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// The child at this key of a map.
    Key(String),
    /// The child at this index of a list.
    Index(u64),
}

/// A random id for a new handler: no two are ever the same. Whoever references the handler tells
/// its id to all peers.
///
/// # Panics
/// If the operating system gives no random bytes.
pub fn new_handler_id() -> String {
    PeerId::random().to_string()
}

impl Document {
    /// What a container holds to refer to a handler.
    pub fn reference_to(&self, handler: HandlerIdx) -> HandlerRef {
        HandlerRef {
            type_tag: self.handler_type(handler).to_owned(),
            id: self.handler_id(handler).to_owned(),
        }
    }

    /// The handler that a reference names: the registered one with its id, whatever the type; else
    /// it is made, if its type is registered. Only that handler is computed.
    pub fn resolve(&mut self, reference: &HandlerRef) -> Option<HandlerIdx> {
        if let Some(known) = self.find_handler(&reference.id) {
            return Some(known);
        }
        let spec = self.spec_of_type(&reference.type_tag)?;
        self.handler(&reference.id, &spec).ok()
    }

    /// The references in a container, in order; none for other kinds. O(children).
    pub fn child_refs(&self, container: HandlerIdx) -> Vec<(PathStep, HandlerRef)> {
        if !self.handler_kind(container).is_container() {
            return Vec::new();
        }
        let value = self.handler_value(container);
        let steps: Vec<(PathStep, &Value)> = match &value {
            Value::Object(members) => {
                let key = |key: &Wtf8String| PathStep::Key(key.to_string_lossy());
                members.iter().map(|(k, value)| (key(k), value)).collect()
            }
            Value::Array(items) => {
                let steps = (0..).map(PathStep::Index);
                steps.zip(items).collect()
            }
            _ => Vec::new(),
        };
        let references = steps.into_iter().filter_map(|(step, value)| match value {
            Value::Reference(reference) => Some((step, reference.clone())),
            _ => None,
        });
        references.collect()
    }

    /// Puts a reference to `child` into a map of references.
    ///
    /// # Errors
    /// As `map_set`; `TypeMismatch` if it is not such a map.
    pub fn set_ref(
        &mut self,
        container: HandlerIdx,
        key: &str,
        child: HandlerIdx,
    ) -> Result<(), DocumentError> {
        self.ensure_kind(container, &[HandlerKind::MapRef])?;
        self.map_set(container, key, &Value::Reference(self.reference_to(child)))
    }

    /// The reference at a key; None if there is none.
    pub fn get_ref(&self, container: HandlerIdx, key: &str) -> Option<HandlerRef> {
        self.ensure_kind(container, &[HandlerKind::MapRef]).ok()?;
        match &self.map_get(container, key)? {
            Value::Reference(reference) => Some(reference.clone()),
            _ => None,
        }
    }

    /// Puts a reference to `child` into a list of references, before the one at `index`.
    ///
    /// # Errors
    /// As `list_insert`; `TypeMismatch` if it is not such a list.
    pub fn insert_ref(
        &mut self,
        container: HandlerIdx,
        index: u64,
        child: HandlerIdx,
    ) -> Result<(), DocumentError> {
        self.ensure_kind(container, &LISTS_OF_REFERENCES)?;
        let reference = Value::Reference(self.reference_to(child));
        self.list_insert(container, index, &[reference])
    }

    /// The reference at an index; None if there is none.
    pub fn get_ref_at(&self, container: HandlerIdx, index: u64) -> Option<HandlerRef> {
        self.ensure_kind(container, &LISTS_OF_REFERENCES).ok()?;
        match &self.list_get(container, index)? {
            Value::Reference(reference) => Some(reference.clone()),
            _ => None,
        }
    }

    fn ensure_kind(&self, handler: HandlerIdx, kinds: &[HandlerKind]) -> Result<(), DocumentError> {
        match self.handlers.get(handler.0 as usize) {
            None => Err(DocumentError::UnknownHandler),
            Some(known) if kinds.contains(&known.kind) => Ok(()),
            Some(_) => Err(DocumentError::TypeMismatch),
        }
    }

    /// The registered handlers that no registered container refers to, in order of registration.
    /// One that refers to itself is none. O(references).
    pub fn roots(&self) -> Vec<HandlerIdx> {
        let children = self.handlers().flat_map(|handler| self.child_refs(handler));
        let referenced: HashSet<String> = children.map(|(_, reference)| reference.id).collect();
        self.handlers()
            .filter(|handler| !referenced.contains(self.handler_id(*handler)))
            .collect()
    }

    /// Makes the handlers that changes, the manifest of the last snapshot and references name and
    /// whose types are registered. O(changes + content of what is made).
    pub fn reconstruct(&mut self) {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut found: Vec<HandlerRef> = Vec::new();
        let mut put = |id: &str, type_tag: &str| {
            let place = *places.entry(id.to_owned()).or_insert(found.len());
            match found.get_mut(place) {
                Some(known) => known.type_tag = type_tag.to_owned(),
                None => found.push(HandlerRef {
                    type_tag: type_tag.to_owned(),
                    id: id.to_owned(),
                }),
            }
        };
        for name in self.log.names_in_store_order() {
            put(&name.id, &name.type_tag);
        }
        for (id, type_tag) in self.manifest() {
            put(&id, &type_tag);
        }
        for reference in found {
            self.resolve(&reference);
        }
        self.materialise();
    }

    /// Handler ids and type tags as the last snapshot lists them.
    pub(super) fn manifest(&self) -> Vec<(String, String)> {
        let snapshot = self.snapshot.as_ref();
        let Some(blob) = snapshot.and_then(|snapshot| snapshot.entry(manifest::KEY)) else {
            return Vec::new();
        };
        manifest::decode(blob).unwrap_or_else(|error| {
            log::warn!(target: "document", "the list of handlers in the snapshot is unreadable: {error}");
            Vec::new()
        })
    }

    /// Makes what can be reached from the registered handlers through references, breadth first.
    pub(super) fn materialise(&mut self) {
        if self.factories.is_empty() {
            return;
        }
        let mut next = 0;
        // What is made comes last in the list and is looked at in its turn.
        while next < self.handlers.len() {
            for (_, reference) in self.child_refs(HandlerIdx(next as u32)) {
                self.resolve(&reference);
            }
            next += 1;
        }
    }

    /// The value of a handler with references replaced by what they lead to. A reference to a
    /// container that it is inside of, and one that leads nowhere, gives null; the first handler
    /// itself counts as outside, so that one that refers to itself shows itself once. What is
    /// referenced twice is there twice. O(size of the result).
    ///
    /// # Errors
    /// `Limit` beyond [`RESOLVED_VALUES_MAX`] or [`RESOLVED_BYTES_MAX`]: then resolve subtrees.
    pub fn resolved(&mut self, handler: HandlerIdx) -> Result<Value, DocumentError> {
        if handler.0 as usize >= self.handlers.len() {
            return Err(DocumentError::UnknownHandler);
        }
        let mut budget = Budget::default();
        let mut path: HashSet<HandlerIdx> = HashSet::new();
        let mut open: Vec<Container> = Vec::new();
        let mut done = self.enter(handler, None, &mut open, &mut budget)?;
        loop {
            let Some(inner) = open.last_mut() else {
                return Ok(done.unwrap_or(Value::Null));
            };
            if let Some(done) = done.take() {
                inner.add(done);
            }
            done = match inner.next() {
                None => open.pop().map(|full| {
                    if let Some(handler) = full.on_path {
                        path.remove(&handler);
                    }
                    full.value
                }),
                Some(Value::Reference(reference)) if self.is_inside(&path, reference) => {
                    budget.take(0)?;
                    Some(Value::Null)
                }
                Some(Value::Reference(reference)) => {
                    let reference = reference.clone();
                    match self.resolve(&reference) {
                        None => {
                            budget.take(0)?;
                            Some(Value::Null)
                        }
                        Some(child) => {
                            if self.handler_kind(child).is_container() {
                                path.insert(child);
                            }
                            self.enter(child, Some(child), &mut open, &mut budget)?
                        }
                    }
                }
                Some(other) => Some(other.clone()),
            };
        }
    }

    fn is_inside(&self, path: &HashSet<HandlerIdx>, reference: &HandlerRef) -> bool {
        self.find_handler(&reference.id)
            .is_some_and(|handler| path.contains(&handler))
    }

    /// The value of a leaf; a container is opened instead.
    fn enter(
        &self,
        handler: HandlerIdx,
        on_path: Option<HandlerIdx>,
        open: &mut Vec<Container>,
        budget: &mut Budget,
    ) -> Result<Option<Value>, DocumentError> {
        let mut value = self.handler_value(handler);
        if !self.handler_kind(handler).is_container() {
            budget.take(value.heap_bytes())?;
            return Ok(Some(value));
        }
        budget.take(0)?;
        let (keys, items, value) = match &mut value {
            Value::Object(members) => {
                let members = std::mem::take(members).into_iter();
                let (keys, items) = members.unzip();
                (keys, items, Value::Object(Vec::new()))
            }
            Value::Array(items) => (Vec::new(), std::mem::take(items), Value::Array(Vec::new())),
            _ => (Vec::new(), Vec::new(), Value::Null),
        };
        open.push(Container {
            keys,
            items,
            done: 0,
            value,
            on_path,
        });
        Ok(None)
    }
}

/// What a resolved tree may still take.
#[derive(Default)]
struct Budget {
    values: usize,
    bytes: usize,
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), DocumentError> {
        self.values += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.values > RESOLVED_VALUES_MAX {
            return Err(DocumentError::Limit("2^20 values in a resolved tree"));
        }
        if self.bytes > RESOLVED_BYTES_MAX {
            return Err(DocumentError::Limit("256 MiB in a resolved tree"));
        }
        Ok(())
    }
}

/// A container that is being resolved.
struct Container {
    /// Of maps, for each of `items`.
    keys: Vec<Wtf8String>,
    items: Vec<Value>,
    /// How many of `items` were begun.
    done: usize,
    value: Value,
    /// Set if references to it give null meanwhile.
    on_path: Option<HandlerIdx>,
}

impl Container {
    fn next(&mut self) -> Option<&Value> {
        self.done += 1;
        self.items.get(self.done - 1)
    }

    fn add(&mut self, value: Value) {
        match &mut self.value {
            Value::Object(members) => {
                let key = std::mem::take(&mut self.keys[self.done - 1]);
                members.push((key, value));
            }
            Value::Array(items) => items.push(value),
            _ => unreachable!("maps and lists only have items"),
        }
    }
}
