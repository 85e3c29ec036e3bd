//! A sequence whose edits are told to who watches: one by one, or as the difference that many of
//! them made together. The latter is for changes from the past, which undo younger operations and
//! do them again: what comes back must not show.

use crate::document::myers::{SegmentKind, diff_within};
use crate::tree::{Element, Rope};

/// Beyond so many single edits the stretch that differs is told as replaced. Costs about the
/// square of it.
const EDITS_MAX: usize = 256;

/// Who is told of edits; positions are those of the sequence as the edits before left it.
pub(crate) trait Watcher<T> {
    /// Elements appeared before position `at`.
    fn inserted(&mut self, at: u32, elements: &[T]);

    /// Elements from position `at` on vanished.
    fn removed(&mut self, at: u32, elements: &[T]);

    /// Elements from position `at` on became others, one for one.
    fn replaced(&mut self, at: u32, old: &[T], new: &[T]) {
        self.removed(at, old);
        self.inserted(at, new);
    }
}

/// How edits are told.
pub(crate) enum Watch<'a, T> {
    /// Nobody looks.
    Off,
    /// One by one.
    Each(&'a mut dyn Watcher<T>),
    /// All together, at [`Watched::tell`].
    Together,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Watched<T> {
    rope: Rope<T>,
    stretch: Option<Stretch<T>>,
}

/// What edits that are to be told together have touched: before and behind it the sequence is as
/// it was.
#[derive(Clone, Debug)]
struct Stretch<T> {
    /// How many elements are before it.
    start: u32,
    /// How many elements are behind it.
    rest: u32,
    /// What was there: the elements of `front` from the last to the first, then those of `back`.
    front: Vec<T>,
    back: Vec<T>,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Watched {
            rope: Rope::default(),
            stretch: None,
        }
    }
}

impl<T: Element + PartialEq> Watched<T> {
    /// The elements.
    pub fn rope(&self) -> &Rope<T> {
        &self.rope
    }

    /// As [`Rope::insert`].
    pub fn insert(&mut self, at: u32, elements: &[T], watch: &mut Watch<'_, T>) {
        self.touch(at, 0, watch);
        self.rope.insert(at, elements);
        if let (Watch::Each(watcher), false) = (watch, elements.is_empty()) {
            watcher.inserted(at, elements);
        }
    }

    /// As [`Rope::remove`].
    pub fn remove(&mut self, at: u32, count: u32, out: &mut Vec<T>, watch: &mut Watch<'_, T>) {
        self.touch(at, count, watch);
        let start = out.len();
        self.rope.remove(at, count, out);
        if let (Watch::Each(watcher), true) = (watch, count > 0) {
            watcher.removed(at, &out[start..]);
        }
    }

    /// As [`Rope::replace`].
    pub fn replace(&mut self, at: u32, elements: &[T], out: &mut Vec<T>, watch: &mut Watch<'_, T>) {
        self.touch(at, elements.len() as u32, watch);
        let start = out.len();
        self.rope.replace(at, elements, out);
        if let (Watch::Each(watcher), false) = (watch, elements.is_empty()) {
            watcher.replaced(at, &out[start..], elements);
        }
    }

    /// Makes the stretch include what an edit is about to change.
    fn touch(&mut self, at: u32, count: u32, watch: &Watch<'_, T>) {
        if !matches!(watch, Watch::Together) {
            return;
        }
        let len = self.rope.len();
        let stretch = self.stretch.get_or_insert_with(|| Stretch {
            start: at,
            rest: len - at,
            front: Vec::new(),
            back: Vec::new(),
        });
        if at < stretch.start {
            let old = stretch.front.len();
            self.rope.copy(at..stretch.start, &mut stretch.front);
            stretch.front[old..].reverse();
            stretch.start = at;
        }
        let rest = len - at - count;
        if rest < stretch.rest {
            self.rope
                .copy(len - stretch.rest..len - rest, &mut stretch.back);
            stretch.rest = rest;
        }
    }

    /// Tells the edits since the last call that were to be told together. O(stretch that they
    /// touched).
    pub fn tell(&mut self, watcher: &mut dyn Watcher<T>) {
        let Some(stretch) = self.stretch.take() else {
            return;
        };
        let mut before = stretch.front;
        before.reverse();
        before.extend(stretch.back);
        let mut after = Vec::new();
        self.rope
            .copy(stretch.start..self.rope.len() - stretch.rest, &mut after);
        let mut at = stretch.start;
        for segment in diff_within(&before, &after, EDITS_MAX) {
            match segment.kind {
                SegmentKind::Equal => at += segment.old.len() as u32,
                SegmentKind::Remove => watcher.removed(at, &before[segment.old]),
                SegmentKind::Insert => {
                    watcher.inserted(at, &after[segment.new.clone()]);
                    at += segment.new.len() as u32;
                }
            }
        }
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.rope.heap_bytes()
    }

    /// Panics if an invariant is broken. For tests.
    pub fn check(&self) {
        self.rope.check();
        assert!(self.stretch.is_none(), "edits that were not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Follows what it is told.
    struct Shadow {
        text: Vec<u8>,
        told: usize,
    }

    impl Watcher<u8> for Shadow {
        fn inserted(&mut self, at: u32, elements: &[u8]) {
            let at = at as usize;
            self.text.splice(at..at, elements.iter().copied());
            self.told += elements.len();
        }
        fn removed(&mut self, at: u32, elements: &[u8]) {
            let at = at as usize;
            let gone: Vec<u8> = self.text.drain(at..at + elements.len()).collect();
            assert_eq!(gone, elements);
            self.told += elements.len();
        }
    }

    fn text(watched: &Watched<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        watched.rope().copy(0..u32::MAX, &mut out);
        out
    }

    #[test]
    fn who_is_told_knows_the_sequence() {
        for seed in 0..1000 {
            let mut rng = Rng::new(seed);
            let mut watched = Watched::default();
            let mut shadow = Shadow {
                text: Vec::new(),
                told: 0,
            };
            for _ in 0..12 {
                let together = rng.below(2) == 0;
                for _ in 0..rng.below(5) {
                    let watch = &mut match together {
                        true => Watch::Together,
                        false => Watch::Each(&mut shadow),
                    };
                    let len = watched.rope().len();
                    let at = rng.below(len as usize + 1) as u32;
                    let count = rng.below((len - at) as usize + 1).min(4) as u32;
                    let new = [1, 2, 3, 4].map(|_| rng.below(3) as u8);
                    match rng.below(4) {
                        0 => watched.remove(at, count, &mut Vec::new(), watch),
                        1 => watched.replace(at, &new[..count as usize], &mut Vec::new(), watch),
                        _ => watched.insert(at, &new[..rng.below(5)], watch),
                    }
                }
                watched.tell(&mut shadow);
                watched.check();
                assert_eq!(shadow.text, text(&watched), "seed {seed}");
            }
        }
    }

    #[test]
    fn what_comes_back_is_not_told() {
        let mut watched = Watched::default();
        let (base, tail) = ([1; 50], [2; 30]);
        watched.insert(0, &base, &mut Watch::Off);
        watched.insert(25, &tail, &mut Watch::Off);
        let mut shadow = Shadow {
            text: text(&watched),
            told: 0,
        };
        let mut held = Vec::new();
        watched.remove(25, 30, &mut held, &mut Watch::Together);
        watched.insert(3, &[9], &mut Watch::Together);
        watched.insert(26, &held, &mut Watch::Together);
        watched.tell(&mut shadow);
        assert_eq!((shadow.told, shadow.text), (1, text(&watched)));
    }
}
