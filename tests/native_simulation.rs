//! Clients of both dialects, a server and a bad network in one thread and in virtual time.
//!
//! The network delays frames, cuts connections with frames in flight, and turns connections into
//! holes that swallow everything; some clients do not read for a while. The server crashes and comes
//! back with what it had on disk; clients are killed and come back with what they had stored, under
//! another peer id. At every step, what a client takes for acknowledged must be on the server's
//! disk. Afterwards everything heals, and then all documents must be equal.

mod native_world;

use native_world::{Counts, World, content};
use syncline::replica::Replica;

fn simulate(seed: u64) -> Counts {
    let mut world = World::new(seed);
    for site in 0..world.sites.len() {
        world.sites[site].connect(world.now);
    }
    world.run(250, [40, 150, 600, 4_000][seed as usize % 4]);
    world.wild = false;
    for site in 0..world.sites.len() {
        world.sites[site].connect(world.now);
    }
    for _ in 0..300 {
        world.run(20, 100);
        if world.is_settled() {
            break;
        }
    }
    assert!(world.is_settled(), "not settled: {}", world.describe());
    let expected = content(&mut world.server.document);
    world.server.document.check();
    for site in &mut world.sites {
        assert_eq!(
            content(&mut site.document),
            expected,
            "site {}",
            site.number
        );
        site.document.check();
        let version = site.document.version_vector();
        assert!(
            version.is_strictly_newer_or_equal_than(&site.acknowledged),
            "an acknowledged edit is lost"
        );
    }
    world.counts
}

#[test]
fn no_acknowledged_edit_is_lost_and_all_become_equal() {
    let asked = std::env::var("SYNCLINE_SIMULATIONS").ok();
    let first = std::env::var("SYNCLINE_FIRST_SEED").map_or(0, |text| text.parse().unwrap());
    let seeds = asked.map_or(40, |text| text.parse::<u64>().expect("a number"));
    let mut sum = Counts::default();
    for seed in first..first + seeds {
        let result = std::panic::catch_unwind(|| simulate(seed));
        let counts = result.unwrap_or_else(|_| panic!("seed {seed} failed"));
        sum.frames += counts.frames;
        sum.parts += counts.parts;
        sum.states += counts.states;
        sum.resumed += counts.resumed;
        sum.updates += counts.updates;
        sum.behind += counts.behind;
        sum.crashes += counts.crashes;
        sum.kills += counts.kills;
        sum.snapshots += counts.snapshots;
    }
    println!(
        "{seeds} seeds: {} frames, {} updates, {} parts, {} states' pieces, {} resumed, {} times \
         behind, {} crashes, {} kills, {} snapshots",
        sum.frames,
        sum.updates,
        sum.parts,
        sum.states,
        sum.resumed,
        sum.behind,
        sum.crashes,
        sum.kills,
        sum.snapshots
    );
    let happened = [
        sum.updates,
        sum.parts,
        sum.states,
        sum.resumed,
        sum.behind,
        sum.crashes,
        sum.kills,
        sum.snapshots,
    ];
    assert!(
        seeds < 100 || happened.iter().all(|count| *count > 0),
        "the interesting things happened"
    );
}
