//! Syncline beside the engines that people choose today: one process, one row after the other,
//! medians of all runs, each against what must be reached. See `docs/performance.md`.

mod branches;
mod c_interface;
mod engine;
#[cfg(feature = "peers")]
mod peers;
mod reference;
mod report;
mod small;
mod texts;
mod values;

use bench::trace::{self, Concurrent, Trace};
use engine::{CrdtLf, Engine, Native, Ours, Streamed};
use report::Report;
use texts::{COMPACT, CRDT_LF};

const USAGE: &str = "\
usage: compare [--runs N] [--only GROUP]
  --runs N       medians of so many runs (default 5)
  --only GROUP   texts, branches, values, small, huge or reference";

struct Arguments {
    runs: usize,
    only: Option<String>,
}

fn main() {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            std::process::exit(2);
        }
    };
    let wanted = |group: &str| arguments.only.as_deref().is_none_or(|only| only == group);
    let mut report = Report::default();
    let typed = trace::load("automerge-paper").unwrap_or_else(|| {
        println!(
            "no traces at {}: generated typing",
            trace::folder().display()
        );
        trace::generated()
    });
    let written: Vec<Concurrent> = ["friendsforever", "clownschool", "node_nodecc"]
        .into_iter()
        .filter(|_| wanted("branches"))
        .filter_map(trace::load_concurrent)
        .collect();
    for run in 0..arguments.runs {
        // Engines that need seconds, and rows that need much memory, once.
        let slow = run == 0;
        if wanted("texts") {
            compare_texts(&typed, slow, &mut report);
        }
        if wanted("values") {
            values::ours(&mut report);
            #[cfg(feature = "peers")]
            values::peers::all(&mut report, slow);
        }
        if wanted("small") {
            compare_small(&typed, &mut report);
        }
        if wanted("reference") {
            reference::all(&mut report);
        }
        if wanted("huge") && slow {
            small::huge(&mut report);
        }
    }
    for trace in &written {
        compare_branches(trace, arguments.runs, &mut report);
    }
    println!("{} runs; text: {}", arguments.runs, typed.name);
    report.print();
}

fn arguments() -> Result<Arguments, String> {
    let mut result = Arguments {
        runs: 5,
        only: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(option) = given.next() {
        let mut value = || given.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--runs" => {
                let text = value()?;
                result.runs = text.parse().map_err(|_| format!("{text} is no number"))?;
            }
            "--only" => result.only = Some(value()?),
            _ => return Err(format!("unknown option {option}")),
        }
    }
    match result.runs {
        0 => Err("--runs must be at least 1".into()),
        _ => Ok(result),
    }
}

/// `slow` adds the engines that need seconds: once is enough of them.
fn compare_texts(trace: &Trace, slow: bool, report: &mut Report) {
    texts::rope_and_ours(trace, report);
    let mut ours = Ours::<CrdtLf>::new(1);
    trace.edits.iter().for_each(|edit| ours.edit(edit));
    texts::updates::<Ours<CrdtLf>>(trace, &CRDT_LF, report);
    texts::whole(trace, &mut ours, &CRDT_LF, report);
    texts::open(trace, &mut ours, &CRDT_LF, report);
    drop(ours);
    let mut ours = Ours::<Native>::new(1);
    trace.edits.iter().for_each(|edit| ours.edit(edit));
    texts::updates::<Streamed>(trace, &COMPACT, report);
    texts::whole(trace, &mut ours, &COMPACT, report);
    texts::open(trace, &mut ours, &COMPACT, report);
    drop(ours);
    #[cfg(feature = "peers")]
    {
        use peers::{Automerge, Cola, Diamond, Loro, Yrs};
        let mut diamond = texts::local::<Diamond>(trace, report);
        texts::whole(trace, &mut diamond, &COMPACT, report);
        texts::open(trace, &mut diamond, &COMPACT, report);
        drop(diamond);
        let mut cola = texts::local::<Cola>(trace, report);
        texts::open(trace, &mut cola, &COMPACT, report);
        drop(cola);
        texts::updates::<Cola>(trace, &COMPACT, report);
        texts::updates::<Diamond>(trace, &COMPACT, report);
        let mut loro = texts::local::<Loro>(trace, report);
        texts::whole(trace, &mut loro, &COMPACT, report);
        texts::open(trace, &mut loro, &COMPACT, report);
        drop(loro);
        if slow {
            texts::updates::<Loro>(trace, &COMPACT, report);
            let mut yrs = texts::local::<Yrs>(trace, report);
            for _ in 0..5 {
                texts::whole(trace, &mut yrs, &COMPACT, report);
                texts::open(trace, &mut yrs, &COMPACT, report);
            }
            drop(yrs);
            let mut automerge = texts::local::<Automerge>(trace, report);
            texts::whole(trace, &mut automerge, &COMPACT, report);
            texts::open(trace, &mut automerge, &COMPACT, report);
        }
    }
    let _ = slow;
}

fn compare_small(trace: &Trace, report: &mut Report) {
    let empty = |number| syncline::document::Document::new(engine::options(number));
    small::documents::<Ours<CrdtLf>, _>(empty, report);
    small::our_difference(trace, report);
    small::late_changes(report);
    #[cfg(feature = "peers")]
    {
        use peers::{Diamond, Loro, Yrs};
        small::documents::<Diamond, _>(|_| diamond_types::list::ListCRDT::new(), report);
        small::documents::<Yrs, _>(|_| yrs::Doc::new(), report);
        small::documents::<Loro, _>(|_| loro::LoroDoc::new(), report);
        small::peer_differences(trace, report);
    }
}

/// Writing a trace takes longer than reading it: once.
fn compare_branches(trace: &Concurrent, runs: usize, report: &mut Report) {
    our_branch_rows(trace, runs, report);
    #[cfg(feature = "peers")]
    {
        branch_rows::<peers::Cola>(trace, runs, report);
        branch_rows::<peers::Yrs>(trace, runs, report);
        branch_rows::<peers::Diamond>(trace, runs, report);
    }
}

/// One replica has everything, as a server has, and tells the reader of each transaction.
fn our_branch_rows(trace: &Concurrent, runs: usize, report: &mut Report) {
    let mut written = branches::write::<Ours<Native>>(trace);
    let mut relay = Streamed::new(1 << 30);
    let streamed: Vec<Vec<u8>> = written
        .updates
        .iter()
        .map(|update| {
            relay.ours.apply(update);
            relay.update()
        })
        .collect();
    assert!(
        written.text == trace.end,
        "{}: ordered otherwise",
        trace.name
    );
    let all = written.last.export_all().expect("the log has all");
    for _ in 0..runs {
        branches::read_singly::<Streamed>(trace, &streamed, &trace.end, report);
        branches::read_at_once::<Ours<Native>>(trace, &all, &trace.end, report);
    }
}

#[cfg(feature = "peers")]
fn branch_rows<E: Engine>(trace: &Concurrent, runs: usize, report: &mut Report) {
    let mut written = branches::write::<E>(trace);
    let all = written.last.export_all();
    for _ in 0..runs {
        branches::read_singly::<E>(trace, &written.updates, &written.text, report);
        if let Some(all) = &all {
            branches::read_at_once::<E>(trace, all, &written.text, report);
        }
    }
}
