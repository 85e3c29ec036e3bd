//! A sequence that was opened from a store and may only be read: its text is known at once, the
//! tree and the index are built when somebody asks for more.

use super::list::Sequence;
use super::run::{Content, Run};
use crate::clock::AuthorIdx;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

/// See the module. Whatever is not answered here builds the sequence: O(runs), once.
#[derive(Clone, Debug)]
pub struct LazySequence {
    built: OnceLock<Sequence>,
    /// Absent once built, at the next change.
    stored: Option<Box<Stored>>,
}

/// A sequence as a store has it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// In order. Conditions as for [`Sequence::from_runs`].
    pub runs: Vec<Run>,
    /// Their places in the order of their ids.
    pub by_id: Vec<u32>,
    /// The visible content in order: places and units.
    pub visible: Vec<(Content, u32)>,
    /// One more than the largest counter of each author.
    pub ends: Vec<(AuthorIdx, u32)>,
}

impl Default for LazySequence {
    fn default() -> Self {
        LazySequence {
            built: OnceLock::from(Sequence::default()),
            stored: None,
        }
    }
}

impl From<Sequence> for LazySequence {
    fn from(built: Sequence) -> Self {
        LazySequence {
            built: OnceLock::from(built),
            stored: None,
        }
    }
}

impl From<Stored> for LazySequence {
    fn from(stored: Stored) -> Self {
        LazySequence {
            built: OnceLock::new(),
            stored: Some(Box::new(stored)),
        }
    }
}

impl Deref for LazySequence {
    type Target = Sequence;

    #[inline]
    fn deref(&self) -> &Sequence {
        match self.built.get() {
            Some(built) => built,
            None => self.build(),
        }
    }
}

impl DerefMut for LazySequence {
    #[inline]
    fn deref_mut(&mut self) -> &mut Sequence {
        if self.stored.is_some() {
            self.build();
            self.stored = None;
        }
        self.built
            .get_mut()
            .expect("built above, or from the start")
    }
}

impl LazySequence {
    #[cold]
    fn build(&self) -> &Sequence {
        self.built.get_or_init(|| {
            let stored = self.stored.as_ref().expect("kept until built");
            Sequence::from_runs(&stored.runs, &stored.by_id)
        })
    }

    /// The sequence, if it is built and nothing else is kept.
    #[inline]
    pub fn built_mut(&mut self) -> Option<&mut Sequence> {
        match self.stored {
            None => self.built.get_mut(),
            Some(_) => None,
        }
    }

    fn unbuilt(&self) -> Option<&Stored> {
        match self.built.get() {
            Some(_) => None,
            None => self.stored.as_deref(),
        }
    }

    /// As [`Sequence::len_units`].
    #[inline]
    pub fn len_units(&self) -> u32 {
        match self.built.get() {
            Some(built) => built.len_units(),
            None => self.unbuilt().map_or(0, Stored::len_units),
        }
    }

    /// As [`Sequence::end_of`].
    pub fn end_of(&self, author: AuthorIdx) -> Option<u32> {
        match self.unbuilt() {
            None => self.deref().end_of(author),
            Some(stored) => {
                let known = stored.ends.iter().find(|(known, _)| *known == author);
                known.map(|(_, end)| *end)
            }
        }
    }

    /// As [`Sequence::visible`], in as few stretches as can be.
    pub fn visible(&self) -> impl Iterator<Item = (Content, u32)> + '_ {
        let stored = self.unbuilt();
        let built = stored.is_none().then(|| self.deref().visible());
        let stored = stored.into_iter().flat_map(|stored| &stored.visible);
        stored.copied().chain(built.into_iter().flatten())
    }

    /// Memory held, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let stored = self.stored.as_ref().map_or(0, |stored| {
            stored.runs.capacity() * size_of::<Run>()
                + stored.by_id.capacity() * 4
                + stored.visible.capacity() * size_of::<(Content, u32)>()
        });
        stored + self.built.get().map_or(0, Sequence::heap_bytes)
    }
}

impl Stored {
    fn len_units(&self) -> u32 {
        self.visible.iter().map(|(_, units)| *units).sum()
    }
}
