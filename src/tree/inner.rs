//! Inner nodes of the run tree: their children, and how much is visible below each.

/// How much of a run, leaf or tree is visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Visible units (UTF-16 code units of text, elements of lists).
    pub visible: u32,
    /// Those of them that lie in runs of wide text, whose other index units need a look.
    pub wide: u32,
}

impl Measure {
    pub(crate) fn minus(self, other: Measure) -> Measure {
        // Wrapping, so that a decrease is the addition of a large number.
        Measure {
            visible: self.visible.wrapping_sub(other.visible),
            wide: self.wide.wrapping_sub(other.wide),
        }
    }

    pub(super) fn plus(self, other: Measure) -> Measure {
        Measure {
            visible: self.visible.wrapping_add(other.visible),
            wide: self.wide.wrapping_add(other.wide),
        }
    }
}

/// Most children of a node.
pub(super) const INNER_MAX: usize = if cfg!(any(test, fuzzing)) { 4 } else { 16 };

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// See the module. Children are leaves or inner nodes by the height of the node.
#[derive(Clone, Debug)]
pub(super) struct Inner {
    pub parent: u32,
    pub len: usize,
    pub children: [u32; INNER_MAX],
    pub measures: [Measure; INNER_MAX],
}

impl Inner {
    pub fn new() -> Self {
        Inner {
            parent: NONE,
            len: 0,
            children: [NONE; INNER_MAX],
            measures: [Measure::default(); INNER_MAX],
        }
    }

    /// Its children in order.
    pub fn children(&self) -> &[u32] {
        &self.children[..self.len]
    }

    #[inline]
    pub fn slot_of(&self, child: u32) -> usize {
        let children = &self.children[..self.len];
        children
            .iter()
            .position(|known| *known == child)
            .expect("a child of this node")
    }

    pub fn insert(&mut self, slot: usize, child: u32, measure: Measure) {
        self.children.copy_within(slot..self.len, slot + 1);
        self.measures.copy_within(slot..self.len, slot + 1);
        self.children[slot] = child;
        self.measures[slot] = measure;
        self.len += 1;
    }

    /// Keeps the first half and returns the second.
    pub fn split(&mut self) -> Inner {
        let keep = INNER_MAX / 2;
        let mut right = Inner::new();
        right.len = self.len - keep;
        right.children[..right.len].copy_from_slice(&self.children[keep..self.len]);
        right.measures[..right.len].copy_from_slice(&self.measures[keep..self.len]);
        right.parent = self.parent;
        self.len = keep;
        right
    }

    pub fn sum(&self) -> Measure {
        self.measures[..self.len]
            .iter()
            .fold(Measure::default(), |sum, measure| sum.plus(*measure))
    }
}
