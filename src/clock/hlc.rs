//! The hybrid logical clock: wall time while it moves forward, a counter while it does not.

use super::ParseError;
use std::fmt;

/// A clock reading: 48 bits of milliseconds since 1970, then 16 bits of counter, in one word whose
/// order is the order of the clock. Zero is the clock of a new document.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(u64);

/// A received clock is further ahead of the wall clock than the caller allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDrift {
    /// How far ahead, in milliseconds.
    pub ahead_ms: i64,
}

impl Hlc {
    /// The clock of a new document.
    pub const ZERO: Hlc = Hlc(0);
    /// The largest clock there is.
    pub const MAX: Hlc = Hlc(u64::MAX);
    const MS_MAX: u64 = (1 << 48) - 1;

    /// Packs a reading. Values out of range are masked, as the byte form does.
    pub const fn new(ms: i64, counter: u32) -> Self {
        Hlc((ms as u64 & Self::MS_MAX) << 16 | counter as u64 & 0xffff)
    }

    /// From the packed form.
    pub const fn from_u64(packed: u64) -> Self {
        Hlc(packed)
    }

    /// The packed form: `milliseconds << 16 | counter`.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// From the 8 bytes of the wire (big endian).
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Hlc(u64::from_be_bytes(bytes))
    }

    /// The 8 bytes of the wire (big endian).
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Milliseconds since 1970.
    pub const fn ms(self) -> i64 {
        (self.0 >> 16) as i64
    }

    /// The counter within the millisecond.
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }

    /// The clock after a local event at wall time `now_ms`.
    #[must_use]
    pub fn local_event(self, now_ms: i64) -> Self {
        let now = Self::clamp_ms(now_ms);
        if now > self.0 >> 16 {
            Hlc(now << 16)
        } else {
            self.next()
        }
    }

    /// The clock after receiving `received` at wall time `now_ms`.
    #[must_use]
    pub fn receive_event(self, now_ms: i64, received: Hlc) -> Self {
        let now = Self::clamp_ms(now_ms);
        let latest = self.max(received);
        if now > latest.0 >> 16 {
            Hlc(now << 16)
        } else {
            latest.next()
        }
    }

    /// As [`receive_event`](Self::receive_event), refusing clocks too far in the future.
    pub fn receive_event_checked(
        self,
        now_ms: i64,
        received: Hlc,
        drift_ms_max: i64,
    ) -> Result<Self, ClockDrift> {
        let ahead_ms = received.ms().saturating_sub(now_ms);
        if ahead_ms > drift_ms_max {
            return Err(ClockDrift { ahead_ms });
        }
        Ok(self.receive_event(now_ms, received))
    }

    /// The next clock. A full counter carries into the milliseconds, where the Dart package
    /// wraps to a smaller clock (specification, chapter 2 and defect 13.1).
    fn next(self) -> Self {
        Hlc(self.0.saturating_add(1))
    }

    fn clamp_ms(now_ms: i64) -> u64 {
        (now_ms.max(0) as u64).min(Self::MS_MAX)
    }

    /// Reads `"<milliseconds>.<counter>"`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: ParseError = ParseError("a clock is written <milliseconds>.<counter>");
        let (ms, counter) = text.split_once('.').ok_or(EXPECTED)?;
        let ms: u64 = ms.parse().map_err(|_| EXPECTED)?;
        let counter: u16 = counter.parse().map_err(|_| EXPECTED)?;
        if ms > Self::MS_MAX {
            return Err(EXPECTED);
        }
        Ok(Hlc(ms << 16 | counter as u64))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.counter())
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
