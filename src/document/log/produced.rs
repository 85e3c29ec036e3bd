//! Which text elements came into being behind a place of the replay order. A change that arrives
//! late may name elements that are known already and yet, in replay order, come only later: only
//! a forged change does, and only a replay places it as everybody else will.

use super::{ChangeKey, Log, NameIdx, Operation};
use crate::clock::{OperationId, OrderKey};
use crate::codec::Envelope;
use crate::document::handlers::fugue_body::FugueBody;
use crate::sequence::ElementKey;

/// Where the elements of a change lie, seen from one element of their author.
enum Produced {
    /// It is among them, or that cannot be told.
    Here,
    /// All of them are younger.
    Younger,
    /// None, or older ones.
    Older,
}

impl Log {
    /// Whether `element` of the text `name` was made by a change behind `order`. Exact for authors
    /// whose elements rise with their clocks; true for others, where in doubt. O(log rows), and
    /// the author's rows from there to its next insertion.
    pub fn is_produced_behind(&self, name: NameIdx, element: ElementKey, order: OrderKey) -> bool {
        let Some(author) = self.by_author.get(element.author.0 as usize) else {
            return false;
        };
        let peer = self.authors.peer(element.author);
        if OperationId::new(peer, author.latest) < order {
            return false;
        }
        if !author.strays.is_empty() {
            return true;
        }
        // The row before may reach across.
        let start = author
            .rows
            .partition_point(|row| self.rows[*row as usize].first_clock <= order.hlc);
        for number in &author.rows[start.saturating_sub(1)..] {
            let row = &self.rows[*number as usize];
            if row.name != name {
                continue;
            }
            for (nth, clock) in self.clocks(row).enumerate() {
                if OperationId::new(peer, clock) <= order {
                    continue;
                }
                let place = super::Place {
                    row: *number,
                    nth: nth as u32,
                };
                match self.with_operation(place, |op| {
                    self.produced(
                        op,
                        ChangeKey {
                            author: element.author,
                            clock,
                        },
                        element,
                    )
                }) {
                    Produced::Here => return true,
                    Produced::Younger => return false,
                    Produced::Older => (),
                }
            }
        }
        false
    }

    fn produced(&self, op: Operation<'_>, key: ChangeKey, element: ElementKey) -> Produced {
        let (kind, body) = match op {
            Operation::Insert { first, len, .. } => {
                return match element.counter.checked_sub(first) {
                    None => Produced::Younger,
                    Some(offset) if offset < len => Produced::Here,
                    Some(_) => Produced::Older,
                };
            }
            Operation::Remove { .. } => return Produced::Older,
            Operation::Other { kind, body } => (kind, body),
            Operation::Opaque { payload } => match Envelope::decode(payload) {
                Ok(envelope) => (envelope.kind, envelope.body),
                Err(_) => return Produced::Older,
            },
        };
        let (peer, counter) = (self.authors.peer(key.author), u64::from(element.counter));
        let (mut found, mut is_younger) = (false, None);
        // A body that cannot be read to its end has no effect.
        let read = FugueBody::for_each_produced(kind, body, |id| {
            if id.peer == peer {
                found |= id.counter == counter;
                is_younger = Some(is_younger.unwrap_or(true) && id.counter > counter);
            }
        });
        match (read, is_younger) {
            (Ok(()), _) if found => Produced::Here,
            (Ok(()), Some(true)) => Produced::Younger,
            _ => Produced::Older,
        }
    }
}
