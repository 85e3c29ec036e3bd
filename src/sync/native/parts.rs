//! What waits to be sent on one connection, and what arrived of messages in parts.
//!
//! Every document has a lane, in which order is kept. Lanes take turns: those with a small frame in
//! front before those with a large one, which gives one part per turn. So a document of any size
//! delays a keystroke of another by one part at most; and after a part's worth of small frames a
//! large one has its turn, so that nothing starves. Acknowledgements pass everything and are added
//! up while they wait.

use super::frame::{self, FrameError, Limits, kind};
use super::message::{Level, Message};
use super::state::SharedState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Something to send.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// A frame.
    Frame {
        /// Its document; 0: of the connection.
        channel: u32,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A state, from a byte on.
    State {
        /// The document.
        channel: u32,
        /// The state.
        state: Arc<SharedState>,
        /// Where the receiver goes on.
        offset: usize,
    },
    /// Batches that were acknowledged.
    Acknowledged {
        /// The document.
        channel: u32,
        /// Where they are.
        level: Level,
        /// How many.
        count: u64,
    },
    /// The channel is free: what waits for it is dropped, then the client is told.
    Left {
        /// The channel.
        channel: u32,
    },
}

impl Outgoing {
    /// A message of a document, or of the connection (channel 0).
    pub fn message(channel: u32, message: &Message) -> Self {
        Outgoing::Frame {
            channel,
            bytes: frame::encode(message),
        }
    }
}

/// What a frame that waits costs beside its bytes, about: answers of two bytes must not add up to
/// more than the bounds say.
const FRAME_COST: usize = 128;

/// See the module. Memory: the frames that wait.
#[derive(Debug)]
pub struct FairQueue {
    /// Bytes of a frame above which it leaves in parts.
    part_bytes: usize,
    lanes: BTreeMap<u32, VecDeque<Item>>,
    /// Channels with a small frame in front, and those with something larger: every channel with a
    /// lane stands in one of them, once.
    small: VecDeque<u32>,
    large: VecDeque<u32>,
    acknowledged: BTreeMap<(u32, u64), u64>,
    /// Bytes of small frames since a large one had its turn.
    small_in_turn: usize,
    /// Bytes of frames and [`FRAME_COST`] for each; states are shared and not counted.
    bytes: usize,
}

#[derive(Debug)]
enum Item {
    Frame {
        bytes: Vec<u8>,
        /// What left in parts.
        sent: usize,
    },
    State {
        state: Arc<SharedState>,
        offset: usize,
    },
}

impl FairQueue {
    /// An empty one.
    pub fn new(part_bytes: usize) -> Self {
        FairQueue {
            part_bytes: part_bytes.max(1),
            lanes: BTreeMap::new(),
            small: VecDeque::new(),
            large: VecDeque::new(),
            acknowledged: BTreeMap::new(),
            small_in_turn: 0,
            bytes: 0,
        }
    }

    /// Parts are at most so large from now on: the other side said what it takes.
    pub fn limit_parts(&mut self, bytes_max: usize) {
        /// What comes before the bytes of a part or of a piece of a state.
        const HEAD_BYTES_MAX: usize = 64;
        let fits = bytes_max.saturating_sub(HEAD_BYTES_MAX);
        self.part_bytes = self.part_bytes.min(fits).max(1);
    }

    /// Bytes that wait and a little for each frame, shared states not counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.acknowledged.is_empty()
    }

    /// Puts something in its lane.
    pub fn push(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Frame { channel, bytes } => {
                self.bytes += bytes.len() + FRAME_COST;
                self.append(channel, Item::Frame { bytes, sent: 0 });
            }
            Outgoing::State {
                channel,
                state,
                offset,
            } => self.append(channel, Item::State { state, offset }),
            Outgoing::Acknowledged {
                channel,
                level,
                count,
            } => {
                *self
                    .acknowledged
                    .entry((channel, level.code()))
                    .or_insert(0) += count
            }
            Outgoing::Left { channel } => {
                self.clear(channel);
                self.push(Outgoing::message(channel, &Message::Left(channel)));
            }
        }
    }

    fn append(&mut self, channel: u32, item: Item) {
        let is_small = self.is_small(&item);
        let lane = self.lanes.entry(channel).or_default();
        lane.push_back(item);
        if lane.len() == 1 {
            self.line_up(channel, is_small);
        }
    }

    fn line_up(&mut self, channel: u32, is_small: bool) {
        match is_small {
            true => self.small.push_back(channel),
            false => self.large.push_back(channel),
        }
    }

    fn is_small(&self, item: &Item) -> bool {
        matches!(item, Item::Frame { bytes, sent: 0 } if bytes.len() <= self.part_bytes)
    }

    fn clear(&mut self, channel: u32) {
        for item in self.lanes.remove(&channel).unwrap_or_default() {
            if let Item::Frame { bytes, sent } = item {
                self.bytes -= bytes.len() - sent + FRAME_COST;
            }
        }
        self.small.retain(|other| *other != channel);
        self.large.retain(|other| *other != channel);
        self.acknowledged.retain(|(other, _), _| *other != channel);
    }

    /// The next frame to send.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        if let Some(((channel, level), count)) = self.acknowledged.pop_first() {
            let level = Level::of_code(level).expect("it was made of a level");
            return Some(frame::encode(&Message::Acknowledged {
                channel,
                level,
                count,
            }));
        }
        let small_first = self.large.is_empty() || self.small_in_turn < self.part_bytes;
        let channel = match self.small.pop_front() {
            Some(channel) if small_first => channel,
            small => {
                if let Some(channel) = small {
                    self.small.push_front(channel);
                }
                self.small_in_turn = 0;
                self.large.pop_front()?
            }
        };
        Some(self.next_of(channel))
    }

    fn next_of(&mut self, channel: u32) -> Vec<u8> {
        let part_bytes = self.part_bytes;
        let lane = self.lanes.get_mut(&channel).expect("it stands in line");
        let (frame, done) = match lane.front_mut().expect("no lane is empty") {
            Item::Frame { bytes, sent } if *sent == 0 && bytes.len() <= part_bytes => {
                let bytes = std::mem::take(bytes);
                self.bytes -= bytes.len() + FRAME_COST;
                self.small_in_turn += bytes.len();
                (bytes, true)
            }
            Item::Frame { bytes, sent } => {
                let end = bytes.len().min(*sent + part_bytes);
                let mut part = frame::part_head(channel, end == bytes.len());
                part.extend_from_slice(&bytes[*sent..end]);
                self.bytes -= end - *sent;
                *sent = end;
                let done = end == bytes.len();
                if done {
                    self.bytes -= FRAME_COST;
                }
                (part, done)
            }
            Item::State { state, offset } => {
                let total = state.bytes.len();
                let end = total.min(*offset + part_bytes);
                let mut piece =
                    frame::state_head(channel, state.id, state.kind, *offset as u64, total as u64);
                piece.extend_from_slice(&state.bytes[*offset..end]);
                *offset = end;
                (piece, end == total)
            }
        };
        if done {
            lane.pop_front();
        }
        match self.lanes[&channel].front().map(|item| self.is_small(item)) {
            Some(is_small) => self.line_up(channel, is_small),
            None => drop(self.lanes.remove(&channel)),
        }
        frame
    }

    /// Panics if the invariants do not hold. For tests.
    pub fn check(&self) {
        let mut bytes = 0;
        for (channel, lane) in &self.lanes {
            let first = lane.front().expect("no lane is empty");
            let (here, there) = match self.is_small(first) {
                true => (&self.small, &self.large),
                false => (&self.large, &self.small),
            };
            assert_eq!(here.iter().filter(|other| *other == channel).count(), 1);
            assert!(!there.contains(channel));
            for item in lane {
                if let Item::Frame { bytes: frame, sent } = item {
                    bytes += frame.len() - sent + FRAME_COST;
                }
            }
        }
        assert_eq!(self.small.len() + self.large.len(), self.lanes.len());
        assert_eq!(bytes, self.bytes);
        assert!(self.acknowledged.values().all(|count| *count > 0));
    }
}

/// Channels of which parts may wait at a time, whatever they hold: more than anybody joins.
const INCOMPLETE_MAX: usize = 1 << 16;

/// Parts of frames that are not complete.
#[derive(Debug, Default)]
pub struct Assembly {
    parts: HashMap<u32, Vec<u8>>,
    bytes: usize,
}

impl Assembly {
    /// Takes a part; the frame when it is complete.
    ///
    /// # Errors
    /// More waits than [`Limits::message_bytes_max`], or on too many channels.
    pub fn add(
        &mut self,
        channel: u32,
        last: bool,
        part: &[u8],
        limits: &Limits,
    ) -> Result<Option<Vec<u8>>, FrameError> {
        if self.bytes.saturating_add(part.len()) > limits.message_bytes_max {
            return Err(FrameError::Limit("message_bytes_max"));
        }
        if self.parts.len() >= INCOMPLETE_MAX && !self.parts.contains_key(&channel) {
            return Err(FrameError::Limit("channels with parts"));
        }
        let whole = self.parts.entry(channel).or_default();
        whole.extend_from_slice(part);
        self.bytes += part.len();
        if !last {
            return Ok(None);
        }
        let whole = self.parts.remove(&channel).unwrap_or_default();
        self.bytes -= whole.len();
        Ok(Some(whole))
    }

    /// Bytes of a channel that wait for the last part.
    pub fn waiting(&self, channel: u32) -> usize {
        self.parts.get(&channel).map_or(0, Vec::len)
    }

    /// Drops what is not complete of a channel.
    pub fn forget(&mut self, channel: u32) {
        self.bytes -= self.parts.remove(&channel).map_or(0, |part| part.len());
    }
}

/// Whether a frame carries a part: such a one may not be complete itself.
pub(super) fn is_part(frame: &[u8]) -> bool {
    frame
        .first()
        .is_some_and(|head| head & !kind::DEFLATED == kind::PART)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::VersionVector;
    use crate::sync::native::message::StateKind;
    use crate::testing::Rng;

    fn frame(channel: u32, len: usize, fill: u8) -> Outgoing {
        Outgoing::Frame {
            channel,
            bytes: vec![fill; len],
        }
    }

    #[test]
    fn a_keystroke_passes_a_large_document_after_one_part() {
        let mut queue = FairQueue::new(100);
        queue.push(frame(1, 100_000, 0x13));
        let state = Arc::new(SharedState {
            id: 1,
            kind: StateKind::Changes,
            since: VersionVector::new(),
            vector: VersionVector::new(),
            change_count: 0,
            bytes: vec![7; 100_000],
        });
        queue.push(Outgoing::State {
            channel: 2,
            state,
            offset: 0,
        });
        for turn in 0..50 {
            let part = queue.pop().unwrap();
            assert!(part.len() <= 100 + 30, "turn {turn}");
            queue.push(frame(3, 10, 0x14));
            queue.check();
            assert_eq!(queue.pop().unwrap(), vec![0x14; 10], "turn {turn}");
        }
    }

    #[test]
    fn small_frames_do_not_starve_a_large_one() {
        let mut queue = FairQueue::new(100);
        queue.push(frame(1, 1_000, 0x13));
        let mut parts = 0;
        for _ in 0..200 {
            queue.push(frame(2, 10, 0x14));
            let next = queue.pop().unwrap();
            parts += usize::from(is_part(&next));
        }
        assert_eq!(parts, 10, "a part after each ten small frames");
    }

    #[test]
    fn acknowledgements_add_up_and_go_first() {
        let mut queue = FairQueue::new(100);
        queue.push(frame(1, 5, 0x14));
        for channel in [1, 2, 1] {
            queue.push(Outgoing::Acknowledged {
                channel,
                level: Level::Disk,
                count: 2,
            });
        }
        assert_eq!(queue.pop().unwrap(), [kind::ACKNOWLEDGED, 1, 4 << 2 | 1]);
        assert_eq!(queue.pop().unwrap(), [kind::ACKNOWLEDGED, 2, 2 << 2 | 1]);
        assert_eq!(queue.pop().unwrap(), vec![0x14; 5]);
        assert!(queue.is_empty() && queue.pop().is_none());
    }

    /// Oracle: per channel, what comes out put together is what went in, in order.
    #[test]
    fn each_channel_keeps_its_order_and_every_byte() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut queue = FairQueue::new(1 + rng.below(50));
            let mut expected: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
            let mut got: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
            let mut assembly = Assembly::default();
            let limits = Limits::default();
            let mut take = |queue: &mut FairQueue| {
                let Some(bytes) = queue.pop() else {
                    return false;
                };
                let whole = match is_part(&bytes) {
                    true => match frame::decode(&bytes, &limits).unwrap() {
                        Message::Part {
                            channel,
                            last,
                            bytes,
                        } => assembly.add(channel, last, &bytes, &limits).unwrap(),
                        other => panic!("seed {seed}: {other:?}"),
                    },
                    false => Some(bytes),
                };
                if let Some(whole) = whole {
                    got.entry(u32::from(whole[1])).or_default().push(whole);
                }
                true
            };
            for _ in 0..rng.below(60) {
                let channel = 1 + rng.below(4) as u32;
                let mut bytes = vec![0x14, channel as u8];
                bytes.extend((0..rng.below(200)).map(|at| at as u8));
                expected.entry(channel).or_default().push(bytes.clone());
                queue.push(Outgoing::Frame { channel, bytes });
                queue.check();
                for _ in 0..rng.below(3) {
                    take(&mut queue);
                    queue.check();
                }
            }
            while take(&mut queue) {
                queue.check();
            }
            assert_eq!(got, expected, "seed {seed}");
            assert_eq!(queue.bytes(), 0, "seed {seed}");
        }
    }

    #[test]
    fn leaving_drops_what_waits() {
        let mut queue = FairQueue::new(10);
        queue.push(frame(1, 95, 0x13));
        queue.pop();
        queue.push(frame(2, 5, 0x14));
        queue.push(Outgoing::Left { channel: 1 });
        queue.check();
        assert_eq!(queue.pop().unwrap(), vec![0x14; 5]);
        assert_eq!(queue.pop().unwrap(), [kind::LEFT, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_waits_for_its_last_part_is_limited() {
        let limits = Limits {
            message_bytes_max: 10,
            ..Limits::default()
        };
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(1, false, &[1; 6], &limits), Ok(None));
        assert!(assembly.add(2, false, &[1; 5], &limits).is_err());
        assembly.forget(1);
        assert_eq!(
            assembly.add(2, true, &[1; 5], &limits),
            Ok(Some(vec![1; 5]))
        );
    }

    #[test]
    fn small_answers_and_empty_parts_count() {
        let mut queue = FairQueue::new(1000);
        for channel in 1..=1000 {
            queue.push(Outgoing::Left { channel });
        }
        queue.check();
        assert!(queue.bytes() >= 1000 * FRAME_COST);
        while queue.pop().is_some() {}
        assert_eq!(queue.bytes(), 0);
        let (mut assembly, limits) = (Assembly::default(), Limits::default());
        let mut channels = 1..;
        let refused = channels.find(|channel| assembly.add(*channel, false, &[], &limits).is_err());
        assert_eq!(refused, Some(INCOMPLETE_MAX as u32 + 1));
        // Those that wait already go on.
        assert_eq!(assembly.add(1, true, &[7], &limits), Ok(Some(vec![7])));
    }
}
