//! How much one peer may ask for: counters with an end, and token buckets.
//!
//! Layer: `net`.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one peer may have. 0: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections of one address (IPv6: of one /64 network) at a time.
    pub address_connections_max: usize,
    /// New connections of one address per second; as many may come at once.
    pub address_accepts_per_s: u32,
    /// Whether the two above hold for this machine's own addresses, too. A reverse proxy on the
    /// same machine brings everybody's connections.
    pub limit_loopback: bool,
    /// Rooms that one connection may be in.
    pub connection_rooms_max: usize,
    /// Connections that may be in one room.
    pub room_connections_max: usize,
    /// Messages with something new that one connection may send per second; beyond that it is read
    /// later.
    pub updates_per_s: u32,
    /// As many may come at once.
    pub updates_burst: u32,
    /// Bytes that one connection may send per second; beyond that it is read later.
    pub bytes_per_s: u32,
    /// As many may come at once.
    pub bytes_burst: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            address_connections_max: 200,
            address_accepts_per_s: 20,
            limit_loopback: false,
            connection_rooms_max: 64,
            room_connections_max: 1_000,
            updates_per_s: 100,
            updates_burst: 500,
            bytes_per_s: 4 << 20,
            bytes_burst: 16 << 20,
        }
    }
}

/// `0`, which stands for no limit, as a number that is never reached.
pub(super) fn or_endless(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

/// Fills evenly up to a bound. Taking more than there is leaves a debt, which fills first.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    per_s: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full one; `per_s` 0: endless.
    pub fn new(per_s: u32, burst: u32, now: Instant) -> Self {
        Bucket {
            per_s: per_s.into(),
            burst: burst.max(1).into(),
            level: burst.max(1).into(),
            at: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + seconds * self.per_s).min(self.burst);
        self.at = now;
    }

    pub fn take(&mut self, amount: usize, now: Instant) {
        if self.per_s > 0.0 {
            self.fill(now);
            self.level -= amount as f64;
        }
    }

    /// Takes one if there is one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        if self.per_s > 0.0 {
            self.fill(now);
            if self.level < 1.0 {
                return false;
            }
            self.level -= 1.0;
        }
        true
    }

    /// How long the debt lasts, if there is one.
    pub fn debt(&mut self, now: Instant) -> Option<Duration> {
        if self.per_s == 0.0 {
            return None;
        }
        self.fill(now);
        (self.level < 0.0).then(|| Duration::from_secs_f64(-self.level / self.per_s))
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.burst
    }
}

/// How many are in it, by key; who is in it holds a [`Seat`].
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: Mutex<HashMap<Arc<str>, usize>>,
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    key: Arc<str>,
}

impl Seats {
    /// A place, unless `max` are taken.
    pub fn take(self: &Arc<Self>, key: &Arc<str>, max: usize) -> Option<Seat> {
        let mut taken = self.taken.lock();
        let count = taken.get(key).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        Some(Seat {
            seats: self.clone(),
            key: key.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

/// Connections by address. Memory: one entry for each address that is connected or was a moment
/// ago.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: Mutex<HashMap<IpAddr, Address>>,
}

#[derive(Debug)]
struct Address {
    connections: usize,
    accepts: Bucket,
}

/// A connection of an address; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct AddressPermit {
    addresses: Arc<Addresses>,
    network: Option<IpAddr>,
}

/// Which limit an address has reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AddressRefusal {
    Connections,
    Rate,
}

/// Entries above which those of nobody are looked for.
const ADDRESSES_SWEEP_MIN: usize = 1_024;

impl Addresses {
    /// Counts a new connection, if the address may have one.
    pub fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &ServerLimits,
        now: Instant,
    ) -> Result<AddressPermit, AddressRefusal> {
        let network = network(address);
        let permit = |network| AddressPermit {
            addresses: self.clone(),
            network,
        };
        if network.is_loopback() && !limits.limit_loopback {
            return Ok(permit(None));
        }
        let mut known = self.known.lock();
        if known.len() >= ADDRESSES_SWEEP_MIN && !known.contains_key(&network) {
            known.retain(|_, address| address.connections > 0 || !address.accepts.is_full(now));
        }
        let per_s = limits.address_accepts_per_s;
        let state = known.entry(network).or_insert_with(|| Address {
            connections: 0,
            accepts: Bucket::new(per_s, per_s, now),
        });
        if !state.accepts.try_take(now) {
            return Err(AddressRefusal::Rate);
        }
        if state.connections >= or_endless(limits.address_connections_max) {
            return Err(AddressRefusal::Connections);
        }
        state.connections += 1;
        Ok(permit(Some(network)))
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        if let Some(network) = &self.network {
            let mut known = self.addresses.known.lock();
            if let Some(address) = known.get_mut(network) {
                address.connections -= 1;
            }
        }
    }
}

/// What is counted together: one who has an IPv6 address has billions.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_evenly_and_pays_its_debt() {
        let start = Instant::now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let mut bucket = Bucket::new(10, 2, start);
        assert!(bucket.try_take(start) && bucket.try_take(start) && !bucket.try_take(start));
        assert!(!bucket.try_take(after(99)) && bucket.try_take(after(100)));
        bucket.take(5, after(200));
        let debt = bucket.debt(after(200)).unwrap().as_millis();
        assert!((399..=401).contains(&debt), "{debt}");
        assert!(bucket.debt(after(700)).is_none());
        assert!(bucket.is_full(after(10_000)));
        let mut endless = Bucket::new(0, 0, start);
        endless.take(1_000, start);
        assert!(endless.try_take(start) && endless.debt(start).is_none());
    }

    #[test]
    fn seats_are_counted_by_key_and_come_back() {
        let seats = Arc::new(Seats::default());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = seats.take(&a, 1).unwrap();
        assert!(seats.take(&a, 1).is_none() && seats.take(&b, 1).is_some());
        drop(first);
        assert!(seats.take(&a, 1).is_some());
        assert!(seats.taken.lock().is_empty());
    }

    #[test]
    fn an_address_has_so_many_connections_and_not_too_fast() {
        let addresses = Arc::new(Addresses::default());
        let limits = ServerLimits {
            address_connections_max: 2,
            address_accepts_per_s: 3,
            ..ServerLimits::default()
        };
        let now = Instant::now();
        let admit = |text: &str, now| addresses.admit(text.parse().unwrap(), &limits, now);
        let first = admit("2001:db8::1", now).unwrap();
        let _second = admit("2001:db8::2", now).unwrap();
        assert_eq!(
            admit("2001:db8::3", now).err(),
            Some(AddressRefusal::Connections)
        );
        assert!(admit("2001:db8:0:1::3", now).is_ok(), "another network");
        drop(first);
        assert_eq!(admit("2001:db8::4", now).err(), Some(AddressRefusal::Rate));
        assert!(admit("2001:db8::4", now + Duration::from_secs(1)).is_ok());
        for _ in 0..10 {
            std::mem::forget(admit("127.0.0.1", now).unwrap());
            std::mem::forget(admit("::ffff:127.0.0.1", now).unwrap());
        }
    }

    #[test]
    fn addresses_of_nobody_are_forgotten() {
        let addresses = Arc::new(Addresses::default());
        let limits = ServerLimits::default();
        let now = Instant::now();
        for number in 0..3 * ADDRESSES_SWEEP_MIN as u32 {
            let later = now + Duration::from_millis(number.into());
            let address = IpAddr::V4((0x0a00_0000 + number).into());
            assert!(addresses.admit(address, &limits, later).is_ok());
        }
        assert!(addresses.known.lock().len() <= ADDRESSES_SWEEP_MIN);
    }
}
