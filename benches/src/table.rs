//! One table: a line per thing measured, medians of all runs, ratios to two references.

use std::time::Duration;

/// What one run measured of one thing. Absent: does not apply.
#[derive(Default)]
pub struct Sample {
    pub time: Duration,
    pub heap: Option<isize>,
    pub bytes: Option<usize>,
}

struct Row {
    name: &'static str,
    samples: Vec<Sample>,
}

/// Rows in the order in which they first appeared.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub fn add(&mut self, name: &'static str, sample: Sample) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row {
                name,
                samples: vec![sample],
            }),
        }
    }

    /// Prints all rows; with the ratios to the median times of the reference rows, each under its
    /// heading.
    pub fn print(&self, references: &[(&str, &str)]) {
        let time_of = |name: &str| self.rows.iter().find(|row| row.name == name).map(Row::time);
        let ratio = |time: Duration, name: &str| match time_of(name) {
            Some(other) => format!("{:.2}x", time.as_secs_f64() / other.as_secs_f64()),
            None => "-".into(),
        };
        let columns = |texts: Vec<String>| -> String {
            texts.iter().map(|text| format!(" {text:>10}")).collect()
        };
        let headings = references.iter().map(|(heading, _)| heading.to_string());
        println!(
            "{:<34} {:>10} {:>10}{} {:>10} {:>12}",
            "",
            "median ms",
            "least ms",
            columns(headings.collect()),
            "heap MB",
            "bytes"
        );
        for row in &self.rows {
            let least = row
                .samples
                .iter()
                .map(|sample| sample.time)
                .min()
                .unwrap_or_default();
            let heap = row
                .median(|sample| sample.heap)
                .map(|heap| format!("{:.2}", heap as f64 / 1e6));
            let bytes = row
                .median(|sample| sample.bytes)
                .map(|bytes| bytes.to_string());
            println!(
                "{:<34} {:>10.2} {:>10.2}{} {:>10} {:>12}",
                row.name,
                row.time().as_secs_f64() * 1e3,
                least.as_secs_f64() * 1e3,
                columns(
                    references
                        .iter()
                        .map(|(_, name)| ratio(row.time(), name))
                        .collect()
                ),
                heap.unwrap_or_else(|| "-".into()),
                bytes.unwrap_or_else(|| "-".into()),
            );
        }
    }
}

impl Row {
    fn time(&self) -> Duration {
        self.median(|sample| Some(sample.time)).unwrap_or_default()
    }

    fn median<T: Ord>(&self, part: impl Fn(&Sample) -> Option<T>) -> Option<T> {
        let mut parts: Vec<T> = self.samples.iter().filter_map(part).collect();
        parts.sort_unstable();
        let middle = parts.len() / 2;
        parts.into_iter().nth(middle)
    }
}
