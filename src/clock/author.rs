//! Peer ids of one document as small numbers, so that runs and rows stay small.

use super::PeerId;
use std::collections::HashMap;

/// Number of a peer within one document, in order of first appearance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorIdx(pub u32);

impl std::fmt::Debug for AuthorIdx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The peers of one document. Only grows.
#[derive(Clone, Debug, Default)]
pub struct Authors {
    peers: Vec<PeerId>,
    // Keys come from outside: the default hasher is keyed.
    numbers: HashMap<PeerId, AuthorIdx>,
}

impl Authors {
    /// The number of `peer`, given now if it has none.
    pub fn intern(&mut self, peer: PeerId) -> AuthorIdx {
        *self.numbers.entry(peer).or_insert_with(|| {
            let number = u32::try_from(self.peers.len()).expect("fewer than 2^32 peers");
            self.peers.push(peer);
            AuthorIdx(number)
        })
    }

    /// The number of `peer`, if it has one.
    pub fn find(&self, peer: &PeerId) -> Option<AuthorIdx> {
        self.numbers.get(peer).copied()
    }

    /// The peer with this number.
    pub fn peer(&self, author: AuthorIdx) -> PeerId {
        self.peers[author.0 as usize]
    }

    /// How many peers have a number.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// True while no peer has a number.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}
