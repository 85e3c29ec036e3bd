//! What all handlers share: operations as bytes, their places in the replay order, and events.

use crate::clock::{Hlc, OrderKey, PeerId};
use crate::document::MapOp;
use std::borrow::Cow;

/// Operation kinds of the envelope (specification 5).
pub(crate) mod kind {
    /// `set` of maps and registers, `add` of sets.
    pub(crate) const INSERT: u8 = 0;
    /// `delete` of maps, `remove` of sets.
    pub(crate) const DELETE: u8 = 1;
    /// `update` of maps.
    pub(crate) const UPDATE: u8 = 2;
    /// `move` of movable lists.
    pub(crate) const MOVE: u8 = 3;
}

/// A local operation before it becomes the payload of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// The kind byte of the envelope.
    pub kind: u8,
    /// The body behind it.
    pub body: Vec<u8>,
}

/// An operation of the queue, as the compaction rules see it (specification 8.8).
pub(crate) type QueuedOperation<'a> = (u8, Cow<'a, [u8]>);

/// Where a handler reports what changed visibly; None if nobody looks, which saves the work.
pub(crate) type Events<'a> = Option<&'a mut Vec<MapOp>>;

/// Where an operation stands in the replay: seeded state, then committed changes, then the open
/// transaction in call order. The derived order is the order of replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Part of the snapshot's state: number of the entry.
    Seed(u32),
    /// A change.
    Committed(OrderKey),
    /// Queued in the open transaction: number of the call.
    Pending(u32),
}

/// A [`Place`] in two parts that pack better inside of larger structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// [`Place::Seed`].
    Seed,
    /// [`Place::Committed`].
    Committed,
    /// [`Place::Pending`].
    Pending,
}

impl Place {
    /// Splits the place; numbers travel as clocks.
    pub(crate) fn split(self) -> (Class, OrderKey) {
        let numbered = |number: u32| {
            let clock = Hlc::from_u64(u64::from(number));
            OrderKey::new(PeerId::from_bytes([0; 16]), clock)
        };
        match self {
            Place::Seed(number) => (Class::Seed, numbered(number)),
            Place::Committed(order) => (Class::Committed, order),
            Place::Pending(number) => (Class::Pending, numbered(number)),
        }
    }

    /// Undoes [`split`](Self::split).
    pub(crate) fn join(class: Class, order: OrderKey) -> Self {
        let number = order.hlc.to_u64() as u32;
        match class {
            Class::Seed => Place::Seed(number),
            Class::Committed => Place::Committed(order),
            Class::Pending => Place::Pending(number),
        }
    }

    /// True for operations of the open transaction.
    pub(crate) fn is_pending(self) -> bool {
        matches!(self, Place::Pending(_))
    }
}
