//! Changes on their way in: owned, or still in the bytes they came in; and the order in which they
//! can be stored.

use crate::clock::OperationId;
use crate::codec::Change;
use crate::codec::change::ChangeView;
use std::collections::{HashMap, HashSet, VecDeque};

/// What an import needs to see of a change.
pub(super) trait Incoming {
    fn id(&self) -> OperationId;
    fn deps(&self) -> impl ExactSizeIterator<Item = OperationId>;
    fn payload(&self) -> &[u8];
}

impl Incoming for Change {
    fn id(&self) -> OperationId {
        self.id
    }

    fn deps(&self) -> impl ExactSizeIterator<Item = OperationId> {
        self.deps.iter().copied()
    }

    fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl Incoming for ChangeView<'_> {
    fn id(&self) -> OperationId {
        self.id
    }

    fn deps(&self) -> impl ExactSizeIterator<Item = OperationId> {
        ChangeView::deps(self)
    }

    fn payload(&self) -> &[u8] {
        self.payload
    }
}

/// Orders changes so that dependencies within the list come first: first those without any, in
/// list order, then what each of them frees (Kahn's algorithm with a queue; the order is visible
/// in exports).
pub(super) fn in_causal_order<C: Incoming>(changes: Vec<C>) -> Vec<C> {
    if is_chain(&changes) {
        return changes;
    }
    let mut places: HashMap<OperationId, usize> = HashMap::with_capacity(changes.len());
    let mut unique: Vec<Option<C>> = Vec::with_capacity(changes.len());
    for change in changes {
        // A change listed twice is one change (defect 13.9).
        places.entry(change.id()).or_insert_with(|| {
            unique.push(Some(change));
            unique.len() - 1
        });
    }
    let mut missing = vec![0u32; unique.len()];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); unique.len()];
    for (place, change) in unique.iter().flatten().enumerate() {
        let deps: HashSet<OperationId> = change.deps().collect();
        for dep in deps {
            if let Some(dep) = places.get(&dep) {
                missing[place] += 1;
                dependents[*dep].push(place);
            }
        }
    }
    let mut ready: VecDeque<usize> = (0..unique.len())
        .filter(|place| missing[*place] == 0)
        .collect();
    let mut ordered = Vec::with_capacity(unique.len());
    while let Some(place) = ready.pop_front() {
        ordered.extend(unique[place].take());
        for dependent in &dependents[place] {
            missing[*dependent] -= 1;
            if missing[*dependent] == 0 {
                ready.push_back(*dependent);
            }
        }
    }
    // Changes that depend on each other in a circle can never be ready: they come last and are
    // counted as such.
    ordered.extend(unique.into_iter().flatten());
    ordered
}

/// Whether each change depends on the one before, as one writer's history does, and none on a
/// later one.
fn is_chain<C: Incoming>(changes: &[C]) -> bool {
    // Clocks of honest chains rise; then a dependency, being older, cannot be later in the list.
    let is_older = |dep: &OperationId, id: OperationId| dep.hlc < id.hlc;
    let starts_alone = changes
        .first()
        .is_none_or(|first| first.deps().all(|dep| is_older(&dep, first.id())));
    starts_alone
        && changes.windows(2).all(|pair| {
            let (before, id) = (pair[0].id(), pair[1].id());
            let mut follows = false;
            let are_older = pair[1].deps().all(|dep| {
                follows |= dep == before;
                is_older(&dep, id)
            });
            follows && are_older && before.hlc < id.hlc
        })
}
