//! Where a handler is within a tree of containers: for those who watch a whole tree and want to
//! know which part of it changed.

use super::Document;
use super::nested::PathStep;
use super::types::{HandlerDelta, HandlerIdx};
use crate::tree::sort_by_key;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

/// A way from a container down to a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NestedPath {
    /// Where it begins.
    pub root: HandlerIdx,
    /// Where it leads.
    pub handler: HandlerIdx,
    /// The keys and indexes in between; empty if both are the same.
    pub steps: Vec<PathStep>,
}

/// How a walk came to each handler: the container it is in, and where there.
type Ways = HashMap<HandlerIdx, Option<(HandlerIdx, PathStep)>>;

impl Document {
    /// The shortest way from a container to a handler below it, through registered handlers only;
    /// of several equally short ones the first in order. None if there is none. O(references
    /// below `root`).
    pub fn path_to(&self, root: HandlerIdx, handler: HandlerIdx) -> Option<Vec<PathStep>> {
        let ways = self.ways_from(root, Some(handler));
        steps_to(&ways, handler)
    }

    /// Whether commits carry the deltas of a container and of all that is in it, with the ways to
    /// them ([`Commit::paths`](super::Commit)). Counted: one `false` per `true`. While anything is
    /// observed so, edits of all handlers are recorded and each commit costs O(references below
    /// the container).
    pub fn observe_deeply(&mut self, container: HandlerIdx, on: bool) {
        if on {
            self.deeply_observed.filled().push(container);
            return;
        }
        let mut observers = self.deeply_observed.iter();
        if let Some(at) = observers.position(|known| *known == container) {
            self.deeply_observed.filled().swap_remove(at);
        }
    }

    /// The ways to what changed in deeply observed containers. Deltas that nobody wants go.
    pub(super) fn observed_paths(
        &self,
        deltas: &mut Vec<(HandlerIdx, HandlerDelta)>,
    ) -> Vec<NestedPath> {
        let mut paths = Vec::new();
        if self.deeply_observed.is_empty() || deltas.is_empty() {
            return paths;
        }
        let mut roots = self.deeply_observed.to_vec();
        sort_by_key(&mut roots, |root| *root);
        roots.dedup();
        for root in roots {
            let ways = self.ways_from(root, None);
            for (handler, _) in deltas.iter() {
                if let Some(steps) = steps_to(&ways, *handler) {
                    let handler = *handler;
                    paths.push(NestedPath {
                        root,
                        handler,
                        steps,
                    });
                }
            }
        }
        let reached: HashSet<HandlerIdx> = paths.iter().map(|path| path.handler).collect();
        deltas.retain(|(handler, _)| {
            self.observers_of_all > 0
                || self.handler_ref(*handler).observers > 0
                || reached.contains(handler)
        });
        paths
    }

    /// Breadth first, until `wanted` is found.
    fn ways_from(&self, root: HandlerIdx, wanted: Option<HandlerIdx>) -> Ways {
        let mut ways = Ways::from([(root, None)]);
        let mut waiting = VecDeque::from([root]);
        while let Some(container) = waiting.pop_front() {
            for (step, reference) in self.child_refs(container) {
                let Some(child) = self.find_handler(&reference.id) else {
                    continue;
                };
                if let Entry::Vacant(new) = ways.entry(child) {
                    new.insert(Some((container, step)));
                    waiting.push_back(child);
                }
                if wanted == Some(child) {
                    return ways;
                }
            }
        }
        ways
    }
}

fn steps_to(ways: &Ways, handler: HandlerIdx) -> Option<Vec<PathStep>> {
    let mut steps = Vec::new();
    let mut way = ways.get(&handler)?;
    while let Some((container, step)) = way {
        steps.push(step.clone());
        way = ways.get(container)?;
    }
    steps.reverse();
    Some(steps)
}
