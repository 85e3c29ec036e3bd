//! The Fugue tree as the specification words it (10.1 to 10.4): slow, obvious, for comparison.

use super::ElementKey;
use crate::clock::Authors;

pub struct Model {
    nodes: Vec<Node>,
}

struct Node {
    id: ElementKey,
    live: bool,
    parent: usize,
    left: Vec<usize>,
    right: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            nodes: vec![Node {
                id: ElementKey::NULL,
                live: false,
                parent: 0,
                left: vec![],
                right: vec![],
            }],
        }
    }
}

impl Model {
    fn find(&self, id: ElementKey) -> Option<usize> {
        if id.is_null() {
            None
        } else {
            self.nodes.iter().position(|node| node.id == id)
        }
    }

    fn is_below(&self, ancestor: usize, node: usize) -> bool {
        if self.nodes[ancestor].right.is_empty() {
            return false;
        }
        let mut node = node;
        while node != 0 {
            node = self.nodes[node].parent;
            if node == ancestor {
                return true;
            }
        }
        false
    }

    pub fn insert(
        &mut self,
        id: ElementKey,
        left: ElementKey,
        right: ElementKey,
        authors: &Authors,
    ) -> bool {
        if self.find(id).is_some() {
            return false;
        }
        let (parent, side) = match (self.find(left), self.find(right)) {
            (Some(l), Some(r)) if self.is_below(l, r) => (r, Side::Left),
            (Some(l), _) => (l, Side::Right),
            (None, Some(r)) => (r, Side::Left),
            (None, None) if left.is_null() => (0, Side::Right),
            (None, None) => (0, Side::Left),
        };
        self.add(id, parent, side, authors);
        true
    }

    fn add(&mut self, id: ElementKey, parent: usize, side: Side, authors: &Authors) {
        let new = self.nodes.len();
        self.nodes.push(Node {
            id,
            live: true,
            parent,
            left: vec![],
            right: vec![],
        });
        let key = |index: usize| {
            let id = self.nodes[index].id;
            (authors.peer(id.author), id.counter)
        };
        let siblings = if side == Side::Left {
            &self.nodes[parent].left
        } else {
            &self.nodes[parent].right
        };
        let at = siblings
            .iter()
            .position(|sibling| key(*sibling) > key(new))
            .unwrap_or(siblings.len());
        let node = &mut self.nodes[parent];
        if side == Side::Left {
            node.left.insert(at, new)
        } else {
            node.right.insert(at, new)
        }
    }

    pub fn insert_chain(
        &mut self,
        first: ElementKey,
        len: u32,
        left: ElementKey,
        right: ElementKey,
        authors: &Authors,
    ) -> bool {
        let mut left = left;
        for nth in 0..len {
            if !self.insert(first.plus(nth), left, right, authors) {
                return false;
            }
            left = first.plus(nth);
        }
        true
    }

    pub fn delete(&mut self, id: ElementKey) {
        if let Some(node) = self.find(id) {
            self.nodes[node].live = false;
        }
    }

    pub fn update(&mut self, old: ElementKey, new: ElementKey, authors: &Authors) {
        if let Some(node) = self.find(old) {
            self.nodes[node].live = false;
            if self.find(new).is_none() {
                self.add(new, node, Side::Left, authors);
            }
        }
    }

    pub fn elements(&self) -> Vec<(ElementKey, bool)> {
        let mut out = Vec::new();
        self.walk(0, &mut out);
        out
    }

    fn walk(&self, node: usize, out: &mut Vec<(ElementKey, bool)>) {
        for child in &self.nodes[node].left {
            self.walk(*child, out);
        }
        if node != 0 {
            out.push((self.nodes[node].id, self.nodes[node].live));
        }
        for child in &self.nodes[node].right {
            self.walk(*child, out);
        }
    }

    pub fn live(&self) -> Vec<ElementKey> {
        self.elements()
            .into_iter()
            .filter(|(_, live)| *live)
            .map(|(id, _)| id)
            .collect()
    }
}
