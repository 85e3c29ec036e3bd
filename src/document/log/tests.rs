//! The log against a plain list of changes: operations of every form, several writers who merge now
//! and then, and changes that come late.

use super::*;
use crate::clock::{PeerId, VersionVector};
use crate::codec::Change;
use crate::testing::Rng;
use std::collections::HashSet;

struct Script {
    log: Log,
    stored: Vec<Change>,
    names: Vec<NameIdx>,
    clock: u64,
}

impl Script {
    fn new() -> Self {
        let mut log = Log::default();
        for number in 0..3 {
            log.authors.intern(PeerId::from_bytes([number; 16]));
        }
        let names = vec![log.intern("CRDTMapHandler", "m"), log.intern("Other", "o")];
        Script {
            log,
            stored: Vec::new(),
            names,
            clock: 1000,
        }
    }

    /// Mostly what follows the last change; the bodies long and short, of all kinds.
    fn push(&mut self, rng: &mut Rng) {
        let before = self.stored.last();
        let follows = rng.below(4) > 0;
        let author = match before {
            Some(change) if follows => self.log.authors.find(&change.id.peer).unwrap(),
            _ => AuthorIdx(rng.below(3) as u32),
        };
        self.clock += [1, 2, 2, 2, 70_000][rng.below(5)];
        let is_late = rng.below(30) == 0;
        let clock = if is_late {
            rng.below(900) as u64
        } else {
            self.clock
        };
        let key = ChangeKey {
            author,
            clock: Hlc::from_u64(clock),
        };
        if self.log.find(key).is_some() {
            return;
        }
        let deps: Vec<OperationId> = match before {
            Some(change) if follows => vec![change.id],
            _ => {
                let all = self.stored.iter().map(|change| change.id);
                all.filter(|_| rng.below(9) == 0).take(3).collect()
            }
        };
        let name = self.names[usize::from(rng.below(8) == 0)];
        let body = vec![rng.below(256) as u8; [0, 3, 3, 3, 31, 32, 200][rng.below(7)]];
        let kind = [0, 0, 0, 1, 2, 3, 200][rng.below(7)];
        let mut payload = self.log.name(name).prefix.to_vec();
        payload.push(kind);
        payload.extend_from_slice(&body);
        let keys: Vec<ChangeKey> = deps.iter().map(|dep| self.key(dep)).collect();
        let op = match rng.below(12) {
            0 => Operation::Opaque { payload: &payload },
            _ => Operation::Other { kind, body: &body },
        };
        self.log.push(key, &keys, name, op);
        let id = self.log.operation_id(key);
        self.stored.push(Change { id, deps, payload });
    }

    fn key(&self, id: &OperationId) -> ChangeKey {
        ChangeKey {
            author: self.log.authors.find(&id.peer).unwrap(),
            clock: id.hlc,
        }
    }

    fn compare(&self, rng: &mut Rng) {
        let skip = rng.below(self.stored.len() + 1);
        let mut rest = self.stored[skip..].iter();
        self.log.for_each_from(skip as u64, |place, key, change| {
            assert_eq!(Some(change), rest.next());
            assert_eq!(self.log.find(key), Some(place));
            assert_eq!(&self.log.change(place), change);
            true
        });
        assert!(rest.next().is_none());
        assert_eq!(self.log.change_count(), self.stored.len() as u64);
        let last = self.log.last_place().map(|place| self.log.change(place));
        assert_eq!(last.as_ref(), self.stored.last());
        self.compare_ancestors(rng);
    }

    fn compare_ancestors(&self, rng: &mut Rng) {
        if self.stored.is_empty() {
            return;
        }
        let head = &self.stored[rng.below(self.stored.len())];
        let mut known = HashSet::from([head.id]);
        let mut waiting = vec![head];
        while let Some(change) = waiting.pop() {
            let new = self
                .stored
                .iter()
                .filter(|other| change.deps.contains(&other.id));
            waiting.extend(new.filter(|other| known.insert(other.id)));
        }
        let mut seen = SeenChanges::default();
        let place = self.log.find(self.key(&head.id)).unwrap();
        self.log.see(place, Hlc::ZERO, &mut seen);
        for change in &self.stored {
            let place = self.log.find(self.key(&change.id)).unwrap();
            assert_eq!(seen.contains(place), known.contains(&change.id));
        }
        let above = self.log.not_above(&[self.key(&head.id)]).unwrap();
        let expected = self
            .stored
            .iter()
            .filter(|other| !known.contains(&other.id));
        assert!(above.iter().eq(expected));
    }

    fn prune(&mut self, rng: &mut Rng) {
        let mut version = VersionVector::new();
        for number in 0..2 {
            let clock = Hlc::from_u64(rng.below(self.clock as usize + 1) as u64);
            version.update(PeerId::from_bytes([number; 16]), clock);
        }
        let covers = |id: &OperationId| version.covers(&id.peer, id.hlc);
        self.log.prune(&version, false, 0, |_, _| ());
        self.stored.retain(|change| !covers(&change.id));
        for change in &mut self.stored {
            change.deps.retain(|dep| !covers(dep));
        }
    }
}

#[test]
fn changes_come_back_as_they_were_stored() {
    for seed in 0..300 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut script = Script::new();
        for _ in 0..8 {
            (0..rng.below(20)).for_each(|_| script.push(&mut rng));
            script.compare(&mut rng);
            if rng.below(4) == 0 {
                script.prune(&mut rng);
                script.compare(&mut rng);
            }
        }
    }
}

/// Typing into a map must not cost a row per key.
#[test]
fn a_chain_of_bodies_shares_rows() {
    let mut script = Script::new();
    let name = script.names[0];
    let mut deps = Vec::new();
    for number in 0..100 {
        let key = ChangeKey {
            author: AuthorIdx(0),
            clock: Hlc::from_u64(1000 + 2 * number),
        };
        let body = [1, b'k', 1, b'0'];
        let op = Operation::Other {
            kind: 0,
            body: &body,
        };
        script.log.push(key, &deps, name, op);
        deps = vec![key];
    }
    assert_eq!(
        script.log.rows.len() as u32,
        100_u32.div_ceil(row::BODIES_MAX)
    );
}
