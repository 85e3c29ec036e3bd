//! Peer ids of one document as small numbers, so that runs and rows stay small.

use super::PeerId;
use crate::tree::{LazyMap, push_few};

/// Number of a peer within one document, in order of first appearance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorIdx(pub u32);

impl std::fmt::Debug for AuthorIdx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Up to so many peers are looked for one by one: faster than a keyed hash.
const SEARCHED_MAX: usize = 8;

/// The peers of one document. Only grows.
#[derive(Clone, Debug, Default)]
pub struct Authors {
    peers: Vec<PeerId>,
    /// Invariant: empty while few peers are known, else complete.
    numbers: LazyMap<PeerId, AuthorIdx>,
}

impl Authors {
    /// The number of `peer`, given now if it has none.
    pub fn intern(&mut self, peer: PeerId) -> AuthorIdx {
        if let Some(known) = self.find(&peer) {
            return known;
        }
        let number = AuthorIdx(u32::try_from(self.peers.len()).expect("fewer than 2^32 peers"));
        push_few(&mut self.peers, peer);
        match self.peers.len() {
            0..=SEARCHED_MAX => (),
            len if len == SEARCHED_MAX + 1 => {
                let numbered = self.peers.iter().zip(0..);
                let numbered = numbered.map(|(peer, number)| (*peer, AuthorIdx(number)));
                self.numbers.filled().extend(numbered);
            }
            _ => {
                self.numbers.filled().insert(peer, number);
            }
        }
        number
    }

    /// The number of `peer`, if it has one.
    pub fn find(&self, peer: &PeerId) -> Option<AuthorIdx> {
        if self.peers.len() <= SEARCHED_MAX {
            let at = self.peers.iter().position(|known| known == peer)?;
            return Some(AuthorIdx(at as u32));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_peers_are_found_alike() {
        let mut authors = Authors::default();
        for number in 0..3 * SEARCHED_MAX as u32 {
            let peer = PeerId::from_bytes([number as u8; 16]);
            assert_eq!(authors.find(&peer), None);
            assert_eq!(authors.intern(peer), AuthorIdx(number));
            for known in 0..=number {
                let peer = PeerId::from_bytes([known as u8; 16]);
                assert_eq!(authors.find(&peer), Some(AuthorIdx(known)));
                assert_eq!(authors.intern(peer), AuthorIdx(known));
                assert_eq!(authors.peer(AuthorIdx(known)), peer);
            }
        }
        assert_eq!(authors.len(), 3 * SEARCHED_MAX);
    }
}
