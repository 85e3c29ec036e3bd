//! The numbers of a running server as Prometheus text.
//!
//! Layer: `net`.

use super::refusal::RefusalReason;
use super::server_shared::ServerShared;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of a histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 14] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// How long something took, counted by size.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// One per bound, and one for what is above all of them.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The smallest bound below which `share` of all lie, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let counts: Vec<u64> = self.counts().collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        let bucket = counts.iter().position(|count| {
            below += count;
            below >= wanted
        })?;
        let bound = BOUNDS_US[bucket.min(BOUNDS_US.len() - 1)];
        Some(bound as f64 / 1000.0)
    }

    fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
    }

    fn write(&self, out: &mut String, name: &str, help: &str) {
        head(out, name, "histogram", help);
        let mut below = 0;
        for (index, count) in self.counts().enumerate() {
            below += count;
            match BOUNDS_US.get(index) {
                Some(bound) => {
                    let bound = *bound as f64 / 1e6;
                    line(out, &format!("{name}_bucket{{le=\"{bound}\"}}"), below);
                }
                None => line(out, &format!("{name}_bucket{{le=\"+Inf\"}}"), below),
            }
        }
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        line(out, &format!("{name}_sum"), sum);
        line(out, &format!("{name}_count"), below);
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name} {value}");
}

/// All numbers.
pub(super) fn prometheus(server: &ServerShared) -> String {
    let mut out = String::new();
    let counters = &server.counters;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (rooms, occupied) = server.rooms.counts();
    head(
        &mut out,
        "syncline_connections",
        "gauge",
        "Open connections by dialect.",
    );
    for (dialect, count) in server.connections_by_dialect() {
        line(
            &mut out,
            &format!("syncline_connections{{dialect=\"{dialect}\"}}"),
            count,
        );
    }
    head(
        &mut out,
        "syncline_rooms",
        "gauge",
        "Rooms in memory by state.",
    );
    line(&mut out, "syncline_rooms{state=\"live\"}", occupied);
    line(&mut out, "syncline_rooms{state=\"idle\"}", rooms - occupied);
    let backlog = server.backlog();
    for (name, help, value) in [
        (
            "syncline_backlog_unsent_bytes",
            "Bytes that wait for clients.",
            backlog.unsent_bytes,
        ),
        (
            "syncline_backlog_unsettled_bytes",
            "Bytes of clients that wait for the disk.",
            backlog.unsettled_bytes,
        ),
        (
            "syncline_durable",
            "1: what is acknowledged is stored; 0: the last write failed.",
            u64::from(!counters.store.is_failing()),
        ),
        (
            "syncline_draining",
            "1: no new clients are taken.",
            u64::from(server.is_draining()),
        ),
    ] {
        head(&mut out, name, "gauge", help);
        line(&mut out, name, value);
    }
    for (name, help, value) in [
        (
            "syncline_connections_total",
            "Connections since the start.",
            load(&counters.connections_total),
        ),
        (
            "syncline_messages_in_total",
            "Messages of clients.",
            load(&counters.messages_in),
        ),
        (
            "syncline_messages_out_total",
            "Messages to clients.",
            load(&counters.messages_out),
        ),
        (
            "syncline_bytes_in_total",
            "Bytes of clients.",
            load(&counters.bytes.read),
        ),
        (
            "syncline_bytes_out_total",
            "Bytes to clients.",
            load(&counters.bytes.written),
        ),
        (
            "syncline_changes_applied_total",
            "New changes of clients.",
            load(&counters.changes_applied),
        ),
        (
            "syncline_store_errors_total",
            "Failed writes.",
            load(&counters.store.failed),
        ),
        (
            "syncline_compactions_total",
            "Rewritten logs.",
            load(&counters.store.compacted),
        ),
    ] {
        head(&mut out, name, "counter", help);
        line(&mut out, name, value);
    }
    head(
        &mut out,
        "syncline_refusals_total",
        "counter",
        "Refusals by reason.",
    );
    for reason in RefusalReason::ALL {
        let name = format!("syncline_refusals_total{{reason=\"{}\"}}", reason.code());
        line(&mut out, &name, counters.refusals.get(reason));
    }
    counters.commit.write(
        &mut out,
        "syncline_commit_seconds",
        "From a handled message to its changes on disk.",
    );
    counters.settled.write(
        &mut out,
        "syncline_ack_seconds",
        "From a received message to its consequences being sent.",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        for us in [0, 250, 251, 30_000_000, 30_000_001] {
            histogram.record(Duration::from_micros(us));
        }
        let mut text = String::new();
        histogram.write(&mut text, "x", "y");
        for line in [
            "x_bucket{le=\"0.00025\"} 2",
            "x_bucket{le=\"0.0005\"} 3",
            "x_bucket{le=\"30\"} 4",
            "x_bucket{le=\"+Inf\"} 5",
            "x_count 5",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert_eq!(histogram.quantile_ms(0.5), Some(0.5));
        assert_eq!(histogram.quantile_ms(1.0), Some(30_000.0));
    }
}
