//! A run: consecutive elements of one author, each but the first the right child of the one before.

use crate::clock::AuthorIdx;
use crate::tree::{Measure, Run as TreeRun};

/// Id of an element within one document: author and counter. [`ElementKey::NULL`] is the null id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ElementKey {
    /// Who made it.
    pub author: AuthorIdx,
    /// Which of the author's elements.
    pub counter: u32,
}

impl ElementKey {
    /// The null id: no element.
    pub const NULL: ElementKey = ElementKey {
        author: AuthorIdx(u32::MAX),
        counter: 0,
    };

    /// The element `offset` counters later.
    pub fn plus(self, offset: u32) -> Self {
        ElementKey {
            counter: self.counter + offset,
            ..self
        }
    }

    /// Whether this is the null id.
    pub fn is_null(self) -> bool {
        self == Self::NULL
    }
}

/// In one step: a keyed hash costs by the step.
impl std::hash::Hash for ElementKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.author.0) << 32 | u64::from(self.counter));
    }
}

impl std::fmt::Debug for ElementKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_null() {
            f.write_str("null")
        } else {
            write!(f, "{:?}:{}", self.author, self.counter)
        }
    }
}

/// Where the content of a run begins: a place in one of three pools. The top bits tell which: `0`
/// narrow text, `10` wide text, `11` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(u32);

const WIDE: u32 = 0b10 << 30;
const VALUE: u32 = 0b11 << 30;

impl Content {
    /// Places in the pools of wide text and of values are below this one; those of narrow text
    /// reach twice as far.
    pub const OFFSET_LIMIT: u32 = 1 << 30;

    /// Offset in the pool of narrow (one byte per unit) or wide text.
    pub fn new(offset: u32, wide: bool) -> Self {
        debug_assert!(offset < if wide { WIDE >> 1 } else { WIDE });
        Content(offset | if wide { WIDE } else { 0 })
    }

    /// Number of a value.
    pub fn of_value(number: u32) -> Self {
        debug_assert!(number < Self::OFFSET_LIMIT);
        Content(number | VALUE)
    }

    fn region(self) -> u32 {
        match self.0 & VALUE {
            WIDE => WIDE,
            VALUE => VALUE,
            _ => 0,
        }
    }

    /// Offset in the pool, in units.
    pub fn offset(self) -> u32 {
        self.0 - self.region()
    }

    /// Whether it is text in the wide pool.
    pub fn is_wide(self) -> bool {
        self.0 & VALUE == WIDE
    }

    /// Whether it is values.
    pub fn is_value(self) -> bool {
        self.0 & VALUE == VALUE
    }

    /// The content `units` later. What deleted runs say of theirs means nothing, and may wrap.
    pub fn plus(self, units: u32) -> Self {
        Content(self.0.wrapping_add(units))
    }

    /// The content `units` before, or the pool's first.
    fn minus(self, units: u32) -> Self {
        Content(self.region() + self.offset().saturating_sub(units))
    }
}

/// Largest number of units in one run; longer insertions are refused.
pub const UNITS_MAX: u32 = (1 << 27) - 1;

const DELETED: u32 = 1 << 31;
/// The first element is a left child.
const LEFT_CHILD: u32 = 1 << 30;
/// The parent of the first element is the root, whatever the origins say.
const ROOT_CHILD: u32 = 1 << 29;
/// The left (right) origin was named but not known when the run was placed.
const LEFT_UNKNOWN: u32 = 1 << 28;
const RIGHT_UNKNOWN: u32 = 1 << 27;

/// On which side of its parent an element hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// See the module. 36 bytes: documents hold tens of thousands.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Id of the first element.
    pub id: ElementKey,
    /// Number of elements. One element may have several units or none; then `len` is 1.
    pub len: u32,
    /// Units of content, with the flags above in the high bits.
    units_and_flags: u32,
    pub content: Content,
    /// Origins of the first element as its author named them; the left one of a replacement, which
    /// has none, is an ancestor before it. The right one holds for all.
    pub left: ElementKey,
    pub right: ElementKey,
}

/// Where the first element of a run hangs, and whether its origins were known then.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub side: Side,
    pub below_root: bool,
    pub left_unknown: bool,
    pub right_unknown: bool,
}

impl Run {
    pub fn new(
        id: ElementKey,
        len: u32,
        units: u32,
        content: Content,
        origins: [ElementKey; 2],
        place: Place,
    ) -> Self {
        debug_assert!(len == units || len == 1);
        debug_assert!(units <= UNITS_MAX);
        let flag = |on, flag| if on { flag } else { 0 };
        let flags = flag(place.side == Side::Left, LEFT_CHILD)
            | flag(place.below_root, ROOT_CHILD)
            | flag(place.left_unknown, LEFT_UNKNOWN)
            | flag(place.right_unknown, RIGHT_UNKNOWN);
        let [left, right] = origins;
        Run {
            id,
            len,
            units_and_flags: units | flags,
            content,
            left,
            right,
        }
    }

    pub fn units(&self) -> u32 {
        self.units_and_flags & UNITS_MAX
    }

    fn set_units(&mut self, units: u32) {
        debug_assert!(units <= UNITS_MAX);
        self.units_and_flags = self.units_and_flags & !UNITS_MAX | units;
    }

    pub fn is_deleted(&self) -> bool {
        self.units_and_flags & DELETED != 0
    }

    pub fn delete(&mut self) {
        self.units_and_flags |= DELETED;
    }

    /// One unit per element, so that it can be split and extended.
    pub fn is_dense(&self) -> bool {
        self.len == self.units()
    }

    pub fn side(&self) -> Side {
        if self.units_and_flags & LEFT_CHILD != 0 {
            Side::Left
        } else {
            Side::Right
        }
    }

    pub fn is_below_root(&self) -> bool {
        self.units_and_flags & ROOT_CHILD != 0
    }

    pub fn left_was_known(&self) -> bool {
        self.units_and_flags & LEFT_UNKNOWN == 0
    }

    pub fn right_was_known(&self) -> bool {
        self.units_and_flags & RIGHT_UNKNOWN == 0
    }

    /// Parent of the first element; null for the root.
    pub fn parent(&self) -> ElementKey {
        match self.side() {
            _ if self.is_below_root() => ElementKey::NULL,
            Side::Left => self.right,
            Side::Right => self.left,
        }
    }

    pub fn last(&self) -> ElementKey {
        self.id.plus(self.len - 1)
    }

    pub fn contains(&self, key: ElementKey) -> bool {
        self.id.author == key.author && key.counter.wrapping_sub(self.id.counter) < self.len
    }

    /// Cuts off the elements from `at` on and returns them. 0 < at < len.
    pub fn split_off(&mut self, at: u32) -> Run {
        debug_assert!(0 < at && at < self.len && self.is_dense());
        let mut tail = *self;
        tail.drop_front(at);
        self.len = at;
        self.set_units(at);
        tail
    }

    /// Drops the first `count` elements: the rest hangs below the last of them.
    pub fn drop_front(&mut self, count: u32) {
        self.left = self.id.plus(count - 1);
        self.id = self.id.plus(count);
        self.content = self.content.plus(count);
        self.len -= count;
        self.set_units(self.len);
        self.units_and_flags &= !(LEFT_CHILD | ROOT_CHILD | LEFT_UNKNOWN);
    }

    /// Drops the last `count` elements.
    pub fn drop_back(&mut self, count: u32) {
        self.len -= count;
        self.set_units(self.len);
    }

    /// Takes `count` elements that follow it.
    pub fn extend(&mut self, count: u32) {
        self.len += count;
        self.set_units(self.len);
    }

    /// Takes the `count` elements before it, which hang below each other: the reverse of
    /// `drop_front`, given the run they come from.
    pub fn extend_front(&mut self, count: u32) {
        self.id.counter -= count;
        self.left = ElementKey {
            counter: self.id.counter.wrapping_sub(1),
            ..self.id
        };
        self.content = self.content.minus(count);
        self.extend(count);
    }

    /// Whether `next`, which comes right behind in the sequence, continues this run's chain.
    pub fn is_continued_by(&self, next: &Run) -> bool {
        let structure = DELETED | RIGHT_UNKNOWN;
        next.id.author == self.id.author
            && next.id.counter == self.id.counter + self.len
            && next.left == self.last()
            && next.right == self.right
            && next.units_and_flags & (LEFT_CHILD | ROOT_CHILD | LEFT_UNKNOWN) == 0
            && next.units_and_flags & structure & !DELETED
                == self.units_and_flags & structure & !DELETED
            && self.is_dense()
            && next.is_dense()
    }
}

impl Run {
    /// How much of this content is visible in so many units of it.
    #[inline]
    pub fn measure_of(&self, units: u32) -> Measure {
        Measure {
            visible: units,
            wide: if self.content.is_wide() { units } else { 0 },
        }
    }
}

impl TreeRun for Run {
    #[inline]
    fn measure(&self) -> Measure {
        self.measure_of(if self.is_deleted() { 0 } else { self.units() })
    }
}
