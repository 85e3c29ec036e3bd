//! The Fugue tree, node by node (specification chapter 10). Values are texts or elements of lists.

use std::collections::HashMap;
use syncline::codec::ElementId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

#[derive(Clone, Debug)]
struct Node<V> {
    /// None: the root.
    id: Option<ElementId>,
    /// None: deleted, or the root.
    value: Option<V>,
    parent: usize,
    left: Vec<usize>,
    right: Vec<usize>,
}

/// Node 0 is the root.
#[derive(Clone, Debug)]
pub struct Tree<V> {
    nodes: Vec<Node<V>>,
    places: HashMap<ElementId, usize>,
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        let root = Node {
            id: None,
            value: None,
            parent: 0,
            left: Vec::new(),
            right: Vec::new(),
        };
        Tree {
            nodes: vec![root],
            places: HashMap::new(),
        }
    }
}

impl<V: Clone> Tree<V> {
    fn known(&self, id: Option<ElementId>) -> Option<usize> {
        self.places.get(&id?).copied()
    }

    /// 10.3. A taken id ends the chain; the items before it stay.
    pub fn insert_chain(
        &mut self,
        left: Option<ElementId>,
        right: Option<ElementId>,
        items: &[(ElementId, V)],
    ) {
        let mut left = left;
        for (id, value) in items {
            if self.places.contains_key(id) {
                return;
            }
            self.insert(*id, value.clone(), left, right);
            left = Some(*id);
        }
    }

    /// The table of 10.2.
    fn insert(
        &mut self,
        id: ElementId,
        value: V,
        left: Option<ElementId>,
        right: Option<ElementId>,
    ) {
        match (self.known(left), self.known(right)) {
            (Some(l), Some(r)) if self.below(l, r) => self.add(id, value, r, Side::Left),
            (Some(l), _) => self.add(id, value, l, Side::Right),
            (None, Some(r)) => self.add(id, value, r, Side::Left),
            (None, None) if left.is_none() => self.add(id, value, 0, Side::Right),
            (None, None) => self.add(id, value, 0, Side::Left),
        }
    }

    fn below(&self, left: usize, right: usize) -> bool {
        if self.nodes[left].right.is_empty() {
            return false;
        }
        let mut at = right;
        while at != 0 {
            at = self.nodes[at].parent;
            if at == left {
                return true;
            }
        }
        false
    }

    fn add(&mut self, id: ElementId, value: V, parent: usize, side: Side) {
        let new = self.nodes.len();
        self.nodes.push(Node {
            id: Some(id),
            value: Some(value),
            parent,
            left: Vec::new(),
            right: Vec::new(),
        });
        self.places.insert(id, new);
        let siblings = match side {
            Side::Left => &self.nodes[parent].left,
            Side::Right => &self.nodes[parent].right,
        };
        let at = siblings
            .iter()
            .position(|sibling| self.nodes[*sibling].id > Some(id))
            .unwrap_or(siblings.len());
        match side {
            Side::Left => self.nodes[parent].left.insert(at, new),
            Side::Right => self.nodes[parent].right.insert(at, new),
        }
    }

    pub fn delete(&mut self, id: ElementId) {
        if let Some(at) = self.known(Some(id)) {
            self.nodes[at].value = None;
        }
    }

    /// 10.4.
    pub fn update(&mut self, old: ElementId, new: ElementId, value: V) {
        let Some(at) = self.known(Some(old)) else {
            return;
        };
        self.nodes[at].value = None;
        if !self.places.contains_key(&new) {
            self.add(new, value, at, Side::Left);
        }
    }

    /// All nodes but the root in order: id, and value if it is live.
    pub fn order(&self) -> Vec<(ElementId, Option<&V>)> {
        enum Visit {
            Whole(usize),
            Alone(usize),
        }
        let mut out = Vec::new();
        let mut waiting = vec![Visit::Whole(0)];
        while let Some(visit) = waiting.pop() {
            match visit {
                Visit::Whole(at) => {
                    let node = &self.nodes[at];
                    waiting.extend(node.right.iter().rev().map(|child| Visit::Whole(*child)));
                    waiting.push(Visit::Alone(at));
                    waiting.extend(node.left.iter().rev().map(|child| Visit::Whole(*child)));
                }
                Visit::Alone(at) => {
                    let node = &self.nodes[at];
                    out.extend(node.id.map(|id| (id, node.value.as_ref())));
                }
            }
        }
        out
    }

    /// Ids of the live nodes in order.
    pub fn live(&self) -> Vec<ElementId> {
        self.order()
            .into_iter()
            .filter(|(_, value)| value.is_some())
            .map(|(id, _)| id)
            .collect()
    }

    /// The values of the live nodes in order.
    pub fn values(&self) -> Vec<V> {
        let live = self.order().into_iter().filter_map(|(_, value)| value);
        live.cloned().collect()
    }

    /// Origins of an insertion before live node `index` (9.9).
    pub fn origins(&self, index: usize) -> (Option<ElementId>, Option<ElementId>) {
        let left = index.checked_sub(1).map(|before| self.live()[before]);
        let order = self.order();
        let behind = match left {
            None => 0,
            Some(left) => {
                1 + order
                    .iter()
                    .position(|(id, _)| *id == left)
                    .expect("a live node")
            }
        };
        (left, order.get(behind).map(|(id, _)| *id))
    }
}
