//! Random scripts of several peers over all handlers at once, against a slow and literal model of
//! the specification: every peer's values, clock, heads and changes equal the model's after every
//! step, deltas lead from each state to the next, and all converge in the end.

mod model_oracle;
mod model_script;

use model_oracle::Rng;
use model_script::peer::Peer;
use syncline::codec::Change;
use syncline::document::HandlerKind;
use syncline::replica::Replica as _;

/// Set the variable to run more of them.
const SCRIPTS: u64 = 1000;
const SCRIPTS_VARIABLE: &str = "SYNCLINE_MODEL_SCRIPTS";

/// Prints the seed of a script that fails.
struct PrintOnPanic(u64, Vec<HandlerKind>);

impl Drop for PrintOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: seed {}, {:?}", self.0, self.1);
        }
    }
}

fn scripts(share: u64) -> u64 {
    let all =
        std::env::var(SCRIPTS_VARIABLE).map_or(SCRIPTS, |count| count.parse().expect("a number"));
    all.div_ceil(share)
}

#[test]
fn all_handlers_at_once_agree_with_the_model() {
    for seed in 0..scripts(2) {
        run(seed, 70, &HandlerKind::ALL);
    }
}

/// A handler alone meets itself more often.
#[test]
fn each_handler_alone_agrees_with_the_model() {
    for kind in HandlerKind::ALL {
        for seed in 0..scripts(20) {
            run(seed, 70, &[kind]);
        }
    }
}

/// Few scripts, long enough that sequences fill many nodes of their trees.
#[test]
fn long_scripts_agree_with_the_model() {
    let sequences = [
        HandlerKind::FugueText,
        HandlerKind::Text,
        HandlerKind::FugueList,
        HandlerKind::MovableList,
    ];
    for (seed, kind) in sequences.into_iter().enumerate() {
        run(seed as u64, 600, &[kind]);
    }
}

fn run(seed: u64, steps: usize, kinds: &[HandlerKind]) {
    let _print = PrintOnPanic(seed, kinds.to_vec());
    let mut rng = Rng::new(seed);
    let count = 2 + rng.below(4);
    let mut peers: Vec<Peer> = (0..count)
        .map(|number| Peer::new(&mut rng, number, kinds))
        .collect();
    for _ in 0..steps {
        let at = rng.below(count);
        if rng.once_in(4) {
            let from = rng.below(count);
            let changes = some_changes(&mut rng, &peers[from].model.stored);
            peers[at].import(&mut rng, changes);
        } else {
            peers[at].edit(&mut rng);
        }
        peers[at].check(&mut rng);
    }
    converge(&mut rng, &mut peers);
}

/// Part of a history, shuffled, some of it twice.
fn some_changes(rng: &mut Rng, stored: &[Change]) -> Vec<Change> {
    let mut changes = stored.to_vec();
    match rng.below(4) {
        0 => (),
        1 => changes.retain(|_| !rng.once_in(3)),
        2 => changes.truncate(rng.below(changes.len() + 1)),
        _ => drop(changes.drain(..rng.below(changes.len() + 1))),
    }
    if rng.once_in(2) {
        rng.shuffle(&mut changes);
    }
    if rng.once_in(3) && !changes.is_empty() {
        let again = rng.pick(&changes).clone();
        changes.insert(rng.below(changes.len() + 1), again);
    }
    changes
}

fn converge(rng: &mut Rng, peers: &mut [Peer]) {
    for peer in peers.iter_mut() {
        peer.close_transaction(rng);
        peer.register_all();
    }
    let mut all: Vec<Change> = peers
        .iter()
        .flat_map(|peer| peer.model.stored.clone())
        .collect();
    for peer in peers.iter_mut() {
        rng.shuffle(&mut all);
        peer.import_together(rng, all.clone());
        peer.check(rng);
    }
    let first = peers[0].values();
    for peer in &peers[1..] {
        assert_eq!(peer.values(), first);
        assert_eq!(
            peer.document.version_vector(),
            peers[0].document.version_vector()
        );
    }
}
