//! The tree against a vector of runs.

use super::super::text_sums::TextSums;
use super::*;
use crate::testing::Rng;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    name: u32,
    visible: u32,
}

impl Run for Piece {
    fn measure(&self) -> Measure {
        Measure {
            visible: self.visible,
            wide: self.visible / 2,
        }
    }
}

/// Oracle: a vector of runs.
#[test]
fn agrees_with_a_vector_of_runs() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut tree = RunTree::default();
        let mut oracle: Vec<Piece> = Vec::new();
        for name in 0..150 {
            step(&mut rng, name, &mut tree, &mut oracle);
            tree.check();
            assert!(tree.iter().eq(oracle.iter()), "seed {seed}");
            look_up(&mut rng, &mut tree, &oracle);
            look_up_text(&mut rng, &tree, &oracle);
            tree.check();
        }
    }
}

fn step(rng: &mut Rng, name: u32, tree: &mut RunTree<Piece>, oracle: &mut Vec<Piece>) {
    let piece = Piece {
        name,
        visible: rng.below(4) as u32,
    };
    if oracle.is_empty() {
        tree.insert(tree.start(), piece);
        oracle.push(piece);
        return;
    }
    // Stay near one place most of the time, as people do.
    let at = if rng.below(3) == 0 {
        rng.below(oracle.len())
    } else {
        oracle.len() / 2
    };
    let pos = walk(tree, at);
    match rng.below(8) {
        0 => {
            let change = |run: &mut Piece| run.visible = piece.visible;
            let growth = piece.measure().minus(oracle[at].measure());
            match rng.below(2) {
                0 => tree.update(pos, change),
                _ => tree.update_by(pos, growth, change),
            }
            oracle[at].visible = piece.visible;
        }
        4 if pos.at + 1 < tree.leaf_runs(pos.leaf).len() => {
            // One unit moves from a run to the next.
            let given = oracle[at].visible.min(1);
            let (mut first, mut second) = (oracle[at], oracle[at + 1]);
            first.visible -= given;
            second.visible += given;
            let before = oracle[at].measure().plus(oracle[at + 1].measure());
            let growth = first.measure().plus(second.measure()).minus(before);
            tree.update_both_by(pos, growth, |a, b| (*a, *b) = (first, second));
            (oracle[at], oracle[at + 1]) = (first, second);
        }
        1 if tree.leaf_runs(pos.leaf).len() > 1 => {
            assert_eq!(tree.remove(pos), oracle.remove(at));
        }
        2 | 3 => {
            tree.insert(pos, piece);
            oracle.insert(at, piece);
        }
        _ => {
            let (place, _) = tree.insert(
                RunPos {
                    at: pos.at + 1,
                    ..pos
                },
                piece,
            );
            assert_eq!(*tree.run(place), piece);
            oracle.insert(at + 1, piece);
        }
    }
}

fn look_up(rng: &mut Rng, tree: &mut RunTree<Piece>, oracle: &[Piece]) {
    let total: u32 = oracle.iter().map(|piece| piece.visible).sum();
    assert_eq!(tree.measure().visible, total);
    if total == 0 {
        return;
    }
    let unit = rng.below(total as usize) as u32;
    let (pos, offset) = tree.locate(unit);
    let mut start = 0;
    let mut at = 0;
    while start + oracle[at].visible <= unit {
        start += oracle[at].visible;
        at += 1;
    }
    assert_eq!((*tree.run(pos), offset), (oracle[at], unit - start));
    assert_eq!(tree.measure_before(pos).visible, start);
    let (leaf, before) = tree.leaf_where(|through| through.visible > unit);
    assert_eq!(leaf, Some(pos.leaf));
    assert!(before.visible <= unit);
    if let Some(next) = tree.next(pos) {
        assert_eq!(*tree.run(next), oracle[at + 1]);
        assert_eq!(tree.previous(next), Some(pos));
    }
}

/// Some text of a piece: its name tells which.
fn text_of(piece: &Piece) -> TextSums {
    let units = [0x61, 0xd83d, 0xde00, 0x20ac];
    let text: Vec<u16> = (0..piece.visible)
        .map(|nth| units[((piece.name + nth) % 4) as usize])
        .collect();
    TextSums::of(&text)
}

/// Asked now and then: edits in between must not be forgotten.
fn look_up_text(rng: &mut Rng, tree: &RunTree<Piece>, oracle: &[Piece]) {
    if rng.below(4) > 0 {
        return;
    }
    let sum = |pieces: &[Piece]| {
        let sums = pieces.iter().map(text_of);
        sums.fold(TextSums::default(), TextSums::plus)
    };
    let whole = sum(oracle);
    let index = rng.below(whole.utf8 as usize + 2) as u64;
    let (leaf, before) = tree.text_where(text_of, |text| text.utf8 > index);
    match leaf {
        None => assert!(whole.utf8 <= index && before == whole),
        Some(leaf) => {
            let mut first = tree.first().unwrap();
            let mut skipped = 0;
            while first.leaf != leaf {
                first = tree.next(first).unwrap();
                skipped += 1;
            }
            assert_eq!(before, sum(&oracle[..skipped]));
            assert!(before.utf8 <= index);
            let through = sum(&oracle[..skipped + tree.leaf_runs(leaf).len()]);
            assert!(through.utf8 > index);
        }
    }
    tree.check_text(text_of);
}

fn walk(tree: &RunTree<Piece>, at: usize) -> RunPos {
    (0..at).fold(tree.first().unwrap(), |pos, _| tree.next(pos).unwrap())
}
