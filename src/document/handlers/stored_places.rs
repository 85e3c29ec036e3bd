//! Places in the replay order and tags as native states have them: peers by number, clocks by
//! their distance.

use super::operation::Place;
use crate::clock::{Hlc, OperationId, OrderKey, PeerId};
use crate::codec::bytes::write_uvarint;
use crate::codec::native::rows::{read_clock, write_clock};
use crate::codec::{DecodeError, Reader};
use std::collections::HashMap;

/// Writes places behind one another; the peers they name go in front at the end.
#[derive(Debug, Default)]
pub(super) struct PlaceWriter {
    peers: Vec<PeerId>,
    numbers: HashMap<PeerId, u64>,
    last: Hlc,
    pub out: Vec<u8>,
}

impl PlaceWriter {
    /// Appends a place; those of the open transaction have none.
    pub fn place(&mut self, place: Place) {
        match place {
            Place::Seed(number) => {
                self.out.push(0);
                write_uvarint(&mut self.out, u64::from(number));
            }
            Place::Committed(order) => self.id(order),
            Place::Pending(_) => unreachable!("states are stored without transactions"),
        }
    }

    /// Appends an id: of a change or a tag.
    pub fn id(&mut self, id: OperationId) {
        let next = self.peers.len() as u64;
        let number = *self.numbers.entry(id.peer).or_insert(next);
        if number == next {
            self.peers.push(id.peer);
        }
        write_uvarint(&mut self.out, number + 1);
        write_clock(self.last, id.hlc, &mut self.out);
        self.last = id.hlc;
    }

    /// All bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.out.len() + self.peers.len() * PeerId::BYTES + 2);
        write_uvarint(&mut out, self.peers.len() as u64);
        for peer in &self.peers {
            out.extend_from_slice(peer.bytes());
        }
        out.extend_from_slice(&self.out);
        out
    }
}

/// Reads what a [`PlaceWriter`] wrote.
#[derive(Debug)]
pub(super) struct PlaceReader<'a> {
    peers: Vec<PeerId>,
    last: Hlc,
    pub reader: Reader<'a>,
}

impl<'a> PlaceReader<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut peers = Vec::new();
        for _ in 0..reader.count(PeerId::BYTES)? {
            peers.push(PeerId::from_bytes(reader.array("a peer id")?));
        }
        Ok(PlaceReader {
            peers,
            last: Hlc::ZERO,
            reader,
        })
    }

    pub fn place(&mut self) -> Result<Place, DecodeError> {
        match self.reader.uvarint()?.checked_sub(1) {
            None => {
                let number = self.reader.count_of(u64::from(u32::MAX))?;
                Ok(Place::Seed(number as u32))
            }
            Some(peer) => Ok(Place::Committed(self.rest_of_id(peer)?)),
        }
    }

    pub fn id(&mut self) -> Result<OperationId, DecodeError> {
        match self.reader.uvarint()?.checked_sub(1) {
            None => Err(self.reader.error("an id has a peer")),
            Some(peer) => self.rest_of_id(peer),
        }
    }

    fn rest_of_id(&mut self, peer: u64) -> Result<OrderKey, DecodeError> {
        let peer = usize::try_from(peer).ok().and_then(|at| self.peers.get(at));
        let peer = *peer.ok_or_else(|| self.reader.error("a peer is not known"))?;
        self.last = read_clock(self.last, &mut self.reader)?;
        Ok(OrderKey::new(peer, self.last))
    }
}
