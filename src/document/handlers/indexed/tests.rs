use super::*;
use crate::testing::Rng;

/// Documents hold less than 4 GiB of changes, but what snapshots and pruning leave behind may
/// grow beyond.
#[test]
fn an_insertion_that_would_make_it_too_long_has_no_effect() {
    const LEN_MAX: usize = 6;
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mut indexed = Indexed {
            len_max: LEN_MAX as u32,
            ..Indexed::default()
        };
        let mut known: Vec<(u64, usize, Vec<u16>)> = Vec::new();
        for _ in 0..20 {
            let clock = rng.below(1000) as u64;
            if known.iter().any(|(other, ..)| *other == clock) {
                continue;
            }
            let index = rng.below(LEN_MAX);
            let elements: Vec<u16> = (0..rng.below(4)).map(|nth| nth as u16).collect();
            let order = OrderKey::new(PeerId::from_bytes([0; 16]), Hlc::from_u64(clock));
            let edit = match elements.len() {
                0 => Edit::Remove {
                    index: index as u64,
                    count: 2,
                },
                _ => Edit::Insert {
                    index: index as u64,
                    elements: &elements,
                },
            };
            indexed.apply(order, edit, None);
            indexed.settle(None);
            indexed.check();
            known.push((clock, index, elements));
            known.sort();
            let mut expected: Vec<u16> = Vec::new();
            for (_, index, elements) in &known {
                let at = (*index).min(expected.len());
                if elements.is_empty() {
                    expected.drain(at..expected.len().min(at + 2));
                } else if expected.len() + elements.len() <= LEN_MAX {
                    expected.splice(at..at, elements.iter().copied());
                }
            }
            assert_eq!(indexed.committed(), expected, "seed {seed}");
        }
    }
}

/// An operation of the test: author, clock, and what it does.
type Known = (Hlc, PeerId, Edit<'static, u16>);

const LETTERS: [u16; 8] = [1, 2, 3, 4, 500, 600, 700, 800];

/// What people do: typing, removing in both directions, overwriting, and anything else.
fn session(rng: &mut Rng) -> Vec<Edit<'static, u16>> {
    let mut index = rng.below(14) as u64;
    let unit = 1 + rng.below(2);
    let kind = rng.below(6);
    let mut edits = Vec::new();
    for _ in 0..1 + rng.below(7) {
        let start = rng.below(LETTERS.len() - unit);
        let elements = &LETTERS[start..start + unit];
        let count = unit as u64;
        edits.push(match kind {
            0 | 1 => Edit::Insert { index, elements },
            2 => Edit::Replace { index, elements },
            3 | 4 => Edit::Remove { index, count },
            _ => match rng.below(3) {
                0 => Edit::Insert {
                    index: 0,
                    elements: &[],
                },
                1 => Edit::Replace { index, elements },
                _ => Edit::Insert { index, elements },
            },
        });
        match kind {
            0..=2 => index += count,
            3 => (),
            4 => index = index.saturating_sub(count),
            _ => index = rng.below(14) as u64,
        }
    }
    edits
}

/// The obvious way: all of it, from the beginning.
fn replayed(known: &[Known], len_max: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for (_, _, edit) in known {
        match *edit {
            Edit::Insert { index, elements } if all.len() + elements.len() <= len_max => {
                let at = (index as usize).min(all.len());
                all.splice(at..at, elements.iter().copied());
            }
            Edit::Insert { .. } => (),
            Edit::Remove { index, count } => {
                let at = (index as usize).min(all.len());
                let end = (at + count as usize).min(all.len());
                all.drain(at..end);
            }
            Edit::Replace { index, elements } => {
                let places = all.iter_mut().skip(index as usize);
                places.zip(elements).for_each(|(old, new)| *old = *new);
            }
        }
    }
    all
}

#[test]
fn runs_in_any_order_of_arrival_agree_with_a_replay() {
    let (mut joined, mut late) = (0, 0);
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let len_max = [9, 1000][rng.below(2)];
        let mut indexed = Indexed {
            len_max: len_max as u32,
            ..Indexed::default()
        };
        let mut clock = 0;
        let mut coming: Vec<Known> = Vec::new();
        for _ in 0..1 + rng.below(8) {
            let peer = PeerId::from_bytes([rng.below(3) as u8; 16]);
            for edit in session(&mut rng) {
                clock += rng.below(2) as u64;
                // Two of one author have two clocks, those of two authors may have the same.
                let last = coming.last().filter(|last| last.1 == peer);
                clock += u64::from(last.is_some_and(|last| last.0.to_u64() == clock));
                coming.push((Hlc::from_u64(clock), peer, edit));
            }
        }
        coming.sort_by_key(|(clock, peer, _)| (*clock, *peer));
        coming.dedup_by_key(|(clock, peer, _)| (*clock, *peer));
        let mut known: Vec<Known> = Vec::new();
        while !coming.is_empty() {
            for _ in 0..1 + rng.below(4) {
                // Mostly in order, and sometimes once more.
                let at = match rng.below(6) {
                    0 => rng.below(coming.len() + 1),
                    _ => 0,
                };
                let next = match coming.get(at) {
                    Some(_) => coming.remove(at),
                    None => match known.get(rng.below(known.len() + 1)) {
                        Some(again) => *again,
                        None => break,
                    },
                };
                indexed.apply(OrderKey::new(next.1, next.0), next.2, None);
                late += usize::from(!indexed.waiting.is_empty());
                let place = known.binary_search_by_key(&(next.0, next.1), |it| (it.0, it.1));
                if let Err(place) = place {
                    known.insert(place, next);
                }
            }
            indexed.settle(None);
            indexed.check();
            let expected = replayed(&known, len_max);
            assert_eq!(indexed.committed(), expected, "seed {seed}");
            joined += known.len() - indexed.done.len();
        }
    }
    assert!(joined > 10_000 && late > 10_000, "{joined} {late}");
}
