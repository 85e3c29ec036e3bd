//! What was measured, against what must be reached: one line per row of the table of targets.

use std::time::Duration;

/// How values of a row are printed.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    Ms,
    Us,
    Kb,
    Bytes,
    /// A plain ratio.
    Times,
}

/// What must be reached. A row is met if all of its targets are.
pub enum Target {
    /// At most this, in the unit of the row.
    AtMost(f64),
    /// At most so many times what a peer needs in this run.
    TimesOf(&'static str, f64),
    /// A time that was set beside the best peer's on another machine: target and that peer's time
    /// there. Here the ratio counts, as far as peers were measured.
    Beside(f64, f64),
}

use Target::*;
use Unit::*;

/// A row of the table.
pub struct Row {
    pub name: &'static str,
    unit: Unit,
    targets: &'static [Target],
}

const fn row(name: &'static str, unit: Unit, targets: &'static [Target]) -> Row {
    Row {
        name,
        unit,
        targets,
    }
}

/// All rows, in order. What is measured and not listed is printed behind them.
pub const ROWS: &[Row] = &[
    row(
        "local edits",
        Ms,
        &[TimesOf("jumprope", 1.5), TimesOf("diamond-types", 1.0)],
    ),
    row("local edits, C interface", Ms, &[TimesOf("jumprope", 2.0)]),
    row("heap after them", Kb, &[AtMost(2200.0)]),
    row("an update per edit, compact", Ms, &[Beside(70.0, 71.0)]),
    row("its bytes", Kb, &[AtMost(4200.0)]),
    row("an update per edit, crdt_lf", Ms, &[Beside(250.0, 71.0)]),
    row("reader applies them, compact", Ms, &[Beside(75.0, 78.0)]),
    row("reader applies them, crdt_lf", Ms, &[]),
    row("whole history encoded", Ms, &[Beside(1.0, 0.6)]),
    row("its bytes, deflated", Kb, &[AtMost(105.0)]),
    row("whole history applied", Ms, &[Beside(1.7, 1.8)]),
    row("whole history encoded, crdt_lf", Ms, &[]),
    row("whole history applied, crdt_lf", Ms, &[]),
    row("open and read", Ms, &[Beside(0.2, 0.26)]),
    row("open and edit", Ms, &[Beside(0.6, 0.7)]),
    row("open and read, crdt_lf", Ms, &[]),
    row("friendsforever, each transaction", Ms, &[Beside(7.0, 7.6)]),
    row("clownschool, each transaction", Ms, &[Beside(6.0, 6.7)]),
    row("node_nodecc, each transaction", Ms, &[Beside(38.0, 40.0)]),
    row("friendsforever, one update", Ms, &[Beside(0.8, 0.78)]),
    row("clownschool, one update", Ms, &[Beside(0.5, 0.5)]),
    row("node_nodecc, one update", Ms, &[Beside(15.0, 19.0)]),
    row(
        "map, 10,000 keys in one transaction",
        Ms,
        &[Beside(3.0, 4.5)],
    ),
    row("map, 10 overwrites of each", Ms, &[Beside(25.0, 45.0)]),
    row("its heap", Kb, &[AtMost(6000.0)]),
    row("its heap, pruned", Kb, &[AtMost(1500.0)]),
    row("list, 10,000 pushes", Ms, &[Beside(2.0, 3.2)]),
    row("list, 10,000 random edits", Ms, &[Beside(2.5, 3.9)]),
    row("list, 10,000 moves", Ms, &[Beside(6.0, 11.2)]),
    row("diff, one edit behind", Us, &[Beside(1.5, 2.0)]),
    row("its size", Bytes, &[AtMost(60.0)]),
    row("an empty document", Bytes, &[AtMost(600.0)]),
    row("a small typed document", Bytes, &[AtMost(1800.0)]),
    row(
        "Text of 30,000: late change behind 100, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "Text of 30,000: late change behind half, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "Text of 30,000: late change behind all, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "List of 30,000: late change behind 100, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "List of 30,000: late change behind half, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "List of 30,000: late change behind all, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "Map of 30,000: late change behind 100, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "Map of 30,000: late change behind half, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "Map of 30,000: late change behind all, read",
        Us,
        &[AtMost(30.0)],
    ),
    row(
        "List of 30,000 scattered: late change behind all, read",
        Us,
        &[],
    ),
    row("edit in 10 M characters / in 10 k", Times, &[AtMost(4.0)]),
];

/// What the rows of this library are called.
pub const OURS: &str = "syncline";

struct Samples {
    row: String,
    unit: Unit,
    who: &'static str,
    values: Vec<f64>,
}

/// Values of all runs.
#[derive(Default)]
pub struct Report {
    samples: Vec<Samples>,
    /// Figures of crdt_lf's own benchmark: name, what it published, what we need, in us.
    published: Vec<(String, f64, Vec<f64>)>,
}

impl Report {
    pub fn time(&mut self, row: &str, who: &'static str, time: Duration) {
        let unit = unit_of(row, Ms);
        let value = match unit {
            Us => time.as_secs_f64() * 1e6,
            _ => time.as_secs_f64() * 1e3,
        };
        self.add(row, unit, who, value);
    }

    /// Bytes, in memory or as written.
    pub fn size(&mut self, row: &str, who: &'static str, bytes: usize) {
        let unit = unit_of(row, Bytes);
        let value = match unit {
            Kb => bytes as f64 / 1e3,
            _ => bytes as f64,
        };
        self.add(row, unit, who, value);
    }

    pub fn ratio(&mut self, row: &str, who: &'static str, value: f64) {
        self.add(row, Times, who, value);
    }

    fn add(&mut self, row: &str, unit: Unit, who: &'static str, value: f64) {
        let known = self
            .samples
            .iter_mut()
            .find(|known| known.row == row && known.who == who);
        match known {
            Some(known) => known.values.push(value),
            None => self.samples.push(Samples {
                row: row.to_owned(),
                unit,
                who,
                values: vec![value],
            }),
        }
    }

    /// A case of crdt_lf's own benchmark, beside the time that its authors published.
    pub fn reference(&mut self, case: &str, published_us: f64, time: Duration) {
        let us = time.as_secs_f64() * 1e6;
        match self.published.iter_mut().find(|known| known.0 == case) {
            Some(known) => known.2.push(us),
            None => self
                .published
                .push((case.to_owned(), published_us, vec![us])),
        }
    }

    fn of(&self, row: &str, who: &str) -> Option<f64> {
        let found = self.samples.iter().find(|s| s.row == row && s.who == who);
        found.map(|samples| median(&samples.values))
    }

    /// The peer that needs least.
    fn best_peer(&self, row: &str) -> Option<(&'static str, f64)> {
        let peers = self
            .samples
            .iter()
            .filter(|s| s.row == row && s.who != OURS);
        let peers = peers.map(|samples| (samples.who, median(&samples.values)));
        peers.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// One line per row; then crdt_lf's cases.
    pub fn print(&self) {
        println!(
            "{:<54} {:<26} {:>14} {:>8} {:>24}",
            "", "best peer", "ours", "ratio", "target"
        );
        let extra = self.samples.iter().filter(|s| row_of(&s.row).is_none());
        let mut extra: Vec<&str> = extra.map(|samples| samples.row.as_str()).collect();
        extra.dedup();
        for row in ROWS {
            self.print_row(row.name, row.targets);
        }
        for name in extra {
            self.print_row(name, &[]);
        }
        if !self.published.is_empty() {
            println!(
                "\n{:<58} {:>12} {:>12} {:>8}",
                "crdt_lf's own cases, one call", "theirs", "ours", "times"
            );
        }
        for (case, theirs, ours) in &self.published {
            let ours = median(ours);
            println!(
                "{case:<58} {:>12} {:>12} {:>7.0}x {}",
                with_unit(*theirs, Us),
                with_unit(ours, Us),
                theirs / ours,
                verdict(theirs / ours >= 20.0)
            );
        }
    }

    fn print_row(&self, name: &str, targets: &[Target]) {
        let best = self.best_peer(name).or_else(|| {
            // A row without peers of its own is held against the plain edits of one.
            targets.iter().find_map(|target| match target {
                TimesOf(peer, _) => Some((*peer, self.of("local edits", peer)?)),
                _ => None,
            })
        });
        let ours = self.of(name, OURS);
        let unit = self.samples.iter().find(|s| s.row == name).map(|s| s.unit);
        let unit = unit.unwrap_or(Ms);
        let ratio = ours.zip(best).map(|(ours, (_, best))| ours / best);
        let met = ours.map(|ours| match targets {
            [] => "",
            _ if targets.iter().all(|target| self.is_met(name, target, ours)) => verdict(true),
            // On this machine; its best peer is even faster than on the other one.
            [Beside(most, _)] if ours <= *most => "as a time only",
            _ => verdict(false),
        });
        let target: Vec<String> = targets
            .iter()
            .map(|target| described(target, unit))
            .collect();
        println!(
            "{name:<54} {:<26} {:>14} {:>8} {:>24}  {}",
            best.map_or("-".into(), |(who, value)| format!(
                "{who} {}",
                with_unit(value, unit)
            )),
            ours.map_or("-".into(), |ours| with_unit(ours, unit)),
            ratio.map_or("-".into(), |ratio| format!("{ratio:.2}x")),
            target.join(", "),
            met.unwrap_or("not measured")
        );
    }

    fn is_met(&self, row: &str, target: &Target, ours: f64) -> bool {
        match target {
            AtMost(most) => ours <= *most,
            TimesOf(peer, times) => {
                let peer = self.of(row, peer).or_else(|| self.of("local edits", peer));
                peer.is_none_or(|peer| ours <= peer * times)
            }
            Beside(most, peer_there) => match self.best_peer(row) {
                Some((_, best)) => ours <= best * most / peer_there,
                None => ours <= *most,
            },
        }
    }
}

fn row_of(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

fn unit_of(name: &str, otherwise: Unit) -> Unit {
    row_of(name).map_or(otherwise, |row| row.unit)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

fn with_unit(value: f64, unit: Unit) -> String {
    match unit {
        Ms => format!("{value:.2} ms"),
        Us => format!("{value:.2} us"),
        Kb => format!("{value:.0} kB"),
        Bytes => format!("{value:.0} B"),
        Times => format!("{value:.2}x"),
    }
}

fn described(target: &Target, unit: Unit) -> String {
    match target {
        AtMost(most) => with_unit(*most, unit),
        TimesOf(peer, times) => format!("{times}x {peer}"),
        Beside(most, there) => format!("{} ({:.2}x)", with_unit(*most, unit), most / there),
    }
}
