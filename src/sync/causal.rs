//! Changes in an order in which each comes after what it builds on.
//!
//! The dialects of crdt_lf group changes by author on the wire; a receiver that applies them one by
//! one would then meet changes before their dependencies.

use crate::clock::OperationId;
use crate::codec::Change;
use std::collections::HashMap;

/// Sorts a list causally: dependencies first, the changes of one author by clock, and otherwise as
/// given. Dependencies outside of the list do not matter. A forged cycle comes out in some order.
/// O(n log n + dependencies).
#[must_use]
pub fn sorted(changes: Vec<Change>) -> Vec<Change> {
    let order = order_of(&changes);
    if order.iter().enumerate().all(|(at, &from)| at == from) {
        return changes;
    }
    let mut slots: Vec<Option<Change>> = changes.into_iter().map(Some).collect();
    order
        .into_iter()
        .map(|from| slots[from].take().expect("each index occurs once"))
        .collect()
}

/// Depth first from each change in turn, without recursion: the depth is up to the sender.
fn order_of(changes: &[Change]) -> Vec<usize> {
    let places: HashMap<OperationId, usize> = changes
        .iter()
        .enumerate()
        .rev()
        .map(|(at, change)| (change.id, at))
        .collect();
    let predecessors = predecessors_of(changes);
    let mut order = Vec::with_capacity(changes.len());
    let mut entered = vec![false; changes.len()];
    // A change and how many of its dependencies were followed.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..changes.len() {
        if entered[start] {
            continue;
        }
        entered[start] = true;
        path.push((start, 0));
        while let Some((at, followed)) = path.last_mut() {
            let deps = &changes[*at].deps;
            let next = match *followed {
                0 => predecessors[*at],
                n if n <= deps.len() => places.get(&deps[n - 1]).copied(),
                _ => {
                    order.push(*at);
                    path.pop();
                    continue;
                }
            };
            *followed += 1;
            if let Some(next) = next {
                // Entered and not yet in `order` means a cycle: not followed.
                if !entered[next] {
                    entered[next] = true;
                    path.push((next, 0));
                }
            }
        }
    }
    order
}

/// For each change, the change of the same author with the next smaller clock.
fn predecessors_of(changes: &[Change]) -> Vec<Option<usize>> {
    let mut by_author: Vec<usize> = (0..changes.len()).collect();
    by_author.sort_by_key(|&at| (changes[at].id.peer, changes[at].id.hlc, at));
    let mut predecessors = vec![None; changes.len()];
    for pair in by_author.windows(2) {
        if changes[pair[0]].id.peer == changes[pair[1]].id.peer {
            predecessors[pair[1]] = Some(pair[0]);
        }
    }
    predecessors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Hlc, PeerId};

    fn id(peer: u8, ms: i64) -> OperationId {
        OperationId::new(PeerId::from_bytes([peer; 16]), Hlc::new(ms, 0))
    }

    fn change(id: OperationId, deps: &[OperationId]) -> Change {
        Change {
            id,
            deps: deps.to_vec(),
            payload: Vec::new(),
        }
    }

    fn ids(changes: &[Change]) -> Vec<OperationId> {
        changes.iter().map(|change| change.id).collect()
    }

    #[test]
    fn a_causal_list_stays_as_it_is() {
        let list = vec![
            change(id(2, 1), &[]),
            change(id(1, 2), &[id(2, 1)]),
            change(id(2, 3), &[id(1, 2)]),
        ];
        assert_eq!(sorted(list.clone()), list);
    }

    #[test]
    fn a_list_grouped_by_author_is_interleaved() {
        let list = vec![
            change(id(1, 1), &[]),
            change(id(1, 3), &[id(2, 2)]),
            change(id(2, 2), &[id(1, 1)]),
            change(id(2, 4), &[id(1, 3)]),
        ];
        assert_eq!(ids(&sorted(list)), [id(1, 1), id(2, 2), id(1, 3), id(2, 4)]);
    }

    #[test]
    fn a_forged_cycle_loses_nothing() {
        let list = vec![
            change(id(1, 1), &[id(2, 2)]),
            change(id(2, 2), &[id(1, 1)]),
            change(id(1, 1), &[]),
        ];
        assert_eq!(sorted(list).len(), 3);
    }

    #[test]
    fn a_shuffled_history_comes_out_causal() {
        for seed in 1..300u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut below = |bound: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % bound
            };
            let mut history: Vec<Change> = Vec::new();
            for ms in 0..30 {
                let deps: Vec<OperationId> = (0..below(3))
                    .filter(|_| ms > 0)
                    .map(|_| history[below(ms as u64) as usize].id)
                    .collect();
                history.push(change(id(below(3) as u8, ms), &deps));
            }
            let mut shuffled = history.clone();
            for at in (1..shuffled.len()).rev() {
                shuffled.swap(at, below(at as u64 + 1) as usize);
            }
            let result = sorted(shuffled);
            assert_eq!(result.len(), history.len());
            for (at, change) in result.iter().enumerate() {
                for dep in &change.deps {
                    let place = result.iter().position(|other| other.id == *dep).unwrap();
                    assert!(place < at, "seed {seed}: {dep} after {}", change.id);
                }
                let rivals = result[at..]
                    .iter()
                    .filter(|other| other.id.peer == change.id.peer);
                assert!(
                    rivals.clone().all(|other| other.id.hlc >= change.id.hlc),
                    "seed {seed}"
                );
            }
        }
    }
}
