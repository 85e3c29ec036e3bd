//! `verify`: reads and decodes everything that is stored; with `--repair` keeps what is readable.

use crate::arguments::{Argument, Arguments, Failure, unknown};
use crate::stores::{failed, open, tell};

pub const USAGE: &str = "\
Usage: syncline-server verify --store PATH [--repair] [--json]

Reads and decodes all documents of a store and says what is damaged.

  --repair  puts in the place of a damaged document what can be read of it; the server
            must not run. What was lost is said.

Exit code 3 if something is lost.
";

pub fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let (mut path, mut json, mut repair) = (None, false, false);
    while let Some(argument) = arguments.next()? {
        match &argument {
            Argument::Flag(flag) if flag == "--store" => path = Some(arguments.value()?),
            Argument::Flag(flag) if flag == "--json" => json = true,
            Argument::Flag(flag) if flag == "--repair" => repair = true,
            _ => return Err(unknown(&argument)),
        }
    }
    let path = path.ok_or_else(|| Failure::Usage("--store is missing".to_owned()))?;
    let (_, store) = open(&path, !repair)?;
    let report = match repair {
        true => store.repair(),
        false => store.verify(),
    };
    tell(&report.map_err(failed(&path))?, json)
}
