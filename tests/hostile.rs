//! Honest and hostile peers in one document: nothing panics, nothing refused leaves a trace, every
//! state is the one that a replay gives, listeners are told the truth, and everybody agrees.

mod hostile_support;

use hostile_support::Rng;
use hostile_support::forge::{any_change, any_snapshot};
use hostile_support::replica::Replica;
use std::time::{Duration, Instant};
use syncline::codec::Change;
use syncline::document::Origin;
use syncline::replica::Replica as _;

const HONEST: u8 = 3;

/// The seeds from `SYNCLINE_HOSTILE_SEED` on. Ends a long test in time on slow machines; the seeds
/// that ran are still a test.
fn seeds(count: u64, limit: Duration) -> impl Iterator<Item = u64> {
    let deadline = Instant::now() + limit;
    let first =
        std::env::var("SYNCLINE_HOSTILE_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    (first..first + count).take_while(move |seed| *seed < first + 20 || Instant::now() < deadline)
}

struct World {
    rng: Rng,
    replicas: Vec<Replica>,
    /// Every change of anybody; no id twice.
    pool: Vec<Change>,
    /// Somebody forged the id of a change that its author made later: nobody can agree on it.
    two_faced: bool,
    context: String,
}

impl World {
    fn new(seed: u64) -> Self {
        World {
            rng: Rng::new(seed),
            replicas: (1..=HONEST).map(Replica::new).collect(),
            pool: Vec::new(),
            two_faced: false,
            context: format!("seed {seed}"),
        }
    }

    fn add(&mut self, change: Change) {
        match self.pool.iter().find(|known| known.id == change.id) {
            Some(known) => self.two_faced |= *known != change,
            None => self.pool.push(change),
        }
    }

    /// An honest edit; its changes go into the pool.
    fn edit(&mut self, who: usize) {
        let replica = &mut self.replicas[who];
        let before = replica.document.all_changes().len();
        match self.rng.below(5) {
            0 => {
                replica.document.begin(b"tag").unwrap();
                (0..self.rng.below(5)).for_each(|_| replica.edit(&mut self.rng));
                if self.rng.one_in(4) {
                    replica.document.rollback().unwrap();
                } else {
                    replica.document.commit().unwrap();
                }
            }
            _ => replica.edit(&mut self.rng),
        }
        let made = replica.document.all_changes().split_off(before);
        replica.given_bytes += made
            .iter()
            .map(|change| change.payload.len() + 24 * change.deps.len() + 24)
            .sum::<usize>();
        made.into_iter().for_each(|change| self.add(change));
    }

    /// Hands some of the pool to a replica, one by one or as a list.
    fn deliver(&mut self, who: usize) {
        if self.pool.is_empty() {
            return;
        }
        let count = 1 + self.rng.below(6);
        let changes: Vec<Change> = (0..count)
            .map(|_| self.rng.pick(&self.pool).clone())
            .collect();
        let replica = &mut self.replicas[who];
        replica.given_bytes += changes
            .iter()
            .map(|change| change.payload.len() + 24 * change.deps.len() + 24)
            .sum::<usize>();
        if self.rng.one_in(2) {
            let before = replica.seen();
            match replica
                .document
                .import_changes(changes, b"peer", Origin::Remote)
            {
                Ok(outcome) if outcome.applied > 0 => (),
                _ => assert_eq!(before, replica.seen(), "{}", self.context),
            }
            return;
        }
        for change in changes {
            let before = replica.seen();
            if replica.document.apply_change(&change, b"peer") != Ok(true) {
                assert_eq!(before, replica.seen(), "{}", self.context);
            }
        }
    }
}

#[test]
fn hostile_changes_leave_every_replica_sound() {
    let (mut count, mut two_faced) = (0, 0);
    for seed in seeds(3_000, Duration::from_secs(9)) {
        let mut world = World::new(seed);
        for _ in 0..40 {
            let who = world.rng.below(HONEST as usize);
            match world.rng.below(4) {
                0 => world.edit(who),
                1 => {
                    let change = any_change(&mut world.rng, &world.pool);
                    world.add(change);
                }
                _ => world.deliver(who),
            }
            let replica = &mut world.replicas[who];
            replica.follow(&world.context);
            replica.document.check();
        }
        world
            .replicas
            .iter_mut()
            .for_each(|replica| replica.check(&world.context));
        if world.two_faced {
            two_faced += 1;
        } else {
            agree(&mut world);
        }
        count += 1;
    }
    println!("{count} worlds, {two_faced} with forged ids of later changes");
    assert!(two_faced * 2 < count);
}

/// Delivers everything to everybody in any order: then all show the same, and so does a newcomer.
fn agree(world: &mut World) {
    for who in 0..world.replicas.len() {
        // Two changes may wait for each other's dependencies: as many rounds as anything is new.
        let mut order = world.pool.clone();
        for at in (1..order.len()).rev() {
            order.swap(at, world.rng.below(at + 1));
        }
        let replica = &mut world.replicas[who];
        loop {
            let stored = |change: &Change| replica.document.contains_change(&change.id);
            let missing: Vec<Change> = order
                .iter()
                .filter(|change| !stored(change))
                .cloned()
                .collect();
            let mut applied = 0;
            for change in missing {
                replica.given_bytes += change.payload.len() + 24 * change.deps.len() + 24;
                applied += usize::from(replica.document.apply_change(&change, b"peer") == Ok(true));
            }
            if applied == 0 {
                break;
            }
        }
        replica.check(&world.context);
    }
    let first = world.replicas[0].values();
    for replica in &world.replicas {
        assert_eq!(replica.values(), first, "{}", world.context);
    }
    let mut newcomer = Replica::new(77);
    let exported = world.replicas[0].document.export_list();
    newcomer.given_bytes += exported.len();
    // Changes of one author that were stored against their clocks need more than one round.
    let outcome = newcomer
        .document
        .import_list(&exported, b"", Origin::Load)
        .unwrap();
    assert_eq!(
        outcome.applied,
        world.replicas[0].document.all_changes().len(),
        "{}",
        world.context
    );
    newcomer.check(&world.context);
    assert_eq!(newcomer.values(), first, "{}", world.context);
    let mut theirs = newcomer.document.all_changes();
    let mut ours = world.replicas[0].document.all_changes();
    theirs.sort_by_key(|change| change.id);
    ours.sort_by_key(|change| change.id);
    assert_eq!(theirs, ours, "{}", world.context);
}

#[test]
fn hostile_snapshots_leave_every_replica_sound() {
    for seed in seeds(3_000, Duration::from_secs(9)) {
        let mut world = World::new(seed ^ 0x5eed_0000);
        for _ in 0..40 {
            let who = world.rng.below(HONEST as usize);
            match world.rng.below(7) {
                0 => {
                    let snapshot = any_snapshot(&mut world.rng, &world.pool);
                    let replica = &mut world.replicas[who];
                    replica.given_bytes += snapshot.encode().len();
                    let before = replica.seen();
                    if replica
                        .document
                        .import_snapshot(&snapshot, world.rng.one_in(2))
                        != Ok(true)
                    {
                        assert_eq!(before, replica.seen(), "{}", world.context);
                    }
                }
                1 => {
                    let prune = world.rng.one_in(2);
                    let replica = &mut world.replicas[who];
                    let taken = replica.document.take_snapshot(prune).cloned();
                    replica.given_bytes += taken.map_or(0, |snapshot| snapshot.encode().len());
                }
                2 | 3 => world.edit(who),
                4 => {
                    let change = any_change(&mut world.rng, &world.pool);
                    world.add(change);
                }
                _ => world.deliver(who),
            }
            let replica = &mut world.replicas[who];
            replica.follow(&world.context);
            replica.document.check();
        }
    }
}
