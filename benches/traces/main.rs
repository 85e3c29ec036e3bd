//! Replays editing traces through Syncline and prints time, heap and bytes side by side with a
//! plain rope and, with the feature `peers`, with other CRDTs. See `docs/performance.md`.

mod peers;
mod syncline_rows;

use bench::table::Table;
use bench::trace::{self, Trace};
use std::path::Path;

const USAGE: &str = "\
usage: traces [--trace NAME | --all] [--runs N] [--only-edit N | --only-apply N] [--lines FILE]
  --trace NAME    which trace (default automerge-paper)
  --all           every trace
  --runs N        medians of so many runs (default 7)
  --only-edit N   nothing but the rope and the local edits, N times, for profilers
  --only-apply N  nothing but one replay and N imports of its changes, for profilers
  --lines FILE    write the trace as lines for the C program, then measure";

struct Arguments {
    trace: String,
    all: bool,
    runs: usize,
    only_edit: usize,
    only_apply: usize,
    lines: Option<String>,
}

fn main() {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            std::process::exit(2);
        }
    };
    for trace in traces(&arguments) {
        if let Some(path) = &arguments.lines {
            trace.write_lines(Path::new(path)).expect("a writable file");
        }
        match (arguments.only_edit, arguments.only_apply) {
            (0, 0) => compare(&trace, arguments.runs),
            (edits, applies) => profile(&trace, edits, applies),
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut result = Arguments {
        trace: "automerge-paper".into(),
        all: false,
        runs: 7,
        only_edit: 0,
        only_apply: 0,
        lines: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(option) = given.next() {
        let mut value = || given.next().ok_or(format!("{option} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        match option.as_str() {
            "--trace" => result.trace = value()?,
            "--all" => result.all = true,
            "--runs" => result.runs = number(value()?)?,
            "--only-edit" => result.only_edit = number(value()?)?,
            "--only-apply" => result.only_apply = number(value()?)?,
            "--lines" => result.lines = Some(value()?),
            _ => return Err(format!("unknown option {option}")),
        }
    }
    if result.runs == 0 {
        return Err("--runs must be at least 1".into());
    }
    Ok(result)
}

fn traces(arguments: &Arguments) -> Vec<Trace> {
    let present = trace::names();
    if present.is_empty() {
        println!(
            "no traces at {}: generated typing instead",
            trace::folder().display()
        );
        return vec![trace::generated()];
    }
    let wanted = if arguments.all {
        present
    } else {
        vec![arguments.trace.clone()]
    };
    let load = |name: &String| match name.as_str() {
        "generated" => trace::generated(),
        name => trace::load(name).unwrap_or_else(|| panic!("no trace {name}")),
    };
    wanted.iter().map(load).collect()
}

/// Few rows, many times, for profilers.
fn profile(trace: &Trace, edits: usize, applies: usize) {
    let mut table = Table::default();
    for _ in 0..edits {
        peers::run(trace, &mut table);
        drop(syncline_rows::local(trace, &mut table));
    }
    if applies > 0 {
        syncline_rows::apply_only(trace, applies, &mut table);
    }
    table.print(&[("/ rope", peers::ROPE), ("/ local", syncline_rows::LOCAL)]);
}

/// All rows in turn, again and again, so that what disturbs the machine disturbs them all.
fn compare(trace: &Trace, runs: usize) {
    let mut table = Table::default();
    for _ in 0..runs {
        peers::run(trace, &mut table);
        syncline_rows::run(trace, &mut table);
        #[cfg(feature = "peers")]
        peers::run_cola(trace, &mut table);
        #[cfg(feature = "peers")]
        peers::run_yrs(trace, &mut table);
    }
    println!(
        "\n{}: {} edits, {} characters at the end, {runs} runs",
        trace.name,
        trace.edits.len(),
        trace.end.chars().count()
    );
    table.print(&[("/ rope", peers::ROPE), ("/ local", syncline_rows::LOCAL)]);
}
