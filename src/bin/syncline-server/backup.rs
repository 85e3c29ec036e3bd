//! `backup` and `restore`.

use crate::arguments::{Argument, Arguments, Failure, unknown};
use crate::stores::{failed, open, quoted, tell};
use syncline::store::{RestoreTo, SqliteStore};

pub const USAGE: &str = "\
Usage: syncline-server backup --store PATH [--json] FILE

Copies a store into a new file, then reads and decodes all of the copy. Exit code 3 if a
document in it is damaged; the copy is there nevertheless.
";

pub const RESTORE_USAGE: &str = "\
Usage: syncline-server restore --store PATH [--json] BACKUP
       syncline-server restore --store PATH [--json] --document NAME
                               (--version VERSION | --time MS | --from FILE)

Makes a new store of a backup, or puts one document of a store back:

  --version VERSION  to a named version (see inspect)
  --time MS          to what was written by this time, milliseconds since 1970
  --from FILE        to what export wrote

What a document was before becomes a version of it. Whatever is restored has a new epoch:
native clients that know what was undone keep it aside and start anew. The server must not
run.
";

pub fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let (mut path, mut json, mut target) = (None, false, None);
    while let Some(argument) = arguments.next()? {
        match &argument {
            Argument::Flag(flag) if flag == "--store" => path = Some(arguments.value()?),
            Argument::Flag(flag) if flag == "--json" => json = true,
            Argument::Word(word) if target.is_none() => target = Some(word.clone()),
            _ => return Err(unknown(&argument)),
        }
    }
    let (Some(path), Some(target)) = (path, target) else {
        return Err(Failure::Usage("--store and FILE are needed".to_owned()));
    };
    let (backend, _store) = open(&path, true)?;
    let report = backend.backup(&target).map_err(failed(&target))?;
    tell(&report, json)
}

pub fn restore(mut arguments: Arguments) -> Result<(), Failure> {
    let (mut path, mut json, mut backup, mut document) = (None, false, None, None);
    let (mut version, mut time, mut from) = (None, None, None);
    while let Some(argument) = arguments.next()? {
        match &argument {
            Argument::Word(word) if backup.is_none() => backup = Some(word.clone()),
            Argument::Word(_) => return Err(unknown(&argument)),
            Argument::Flag(flag) => match flag.as_str() {
                "--store" => path = Some(arguments.value()?),
                "--json" => json = true,
                "--document" => document = Some(arguments.value()?),
                "--version" => version = Some(arguments.value()?),
                "--time" => time = Some(arguments.parsed::<i64>()?),
                "--from" => from = Some(arguments.value()?),
                _ => return Err(unknown(&argument)),
            },
        }
    }
    let path = path.ok_or_else(|| Failure::Usage("--store is missing".to_owned()))?;
    let bytes = match &from {
        Some(file) => {
            std::fs::read(file).map_err(|error| Failure::Failed(format!("{file}: {error}")))?
        }
        None => Vec::new(),
    };
    let to = match (&backup, &document, &version, time, &from) {
        (Some(backup), None, None, None, None) => {
            let report = SqliteStore::restore(backup, &path).map_err(failed(backup))?;
            return tell(&report, json);
        }
        (None, Some(_), Some(version), None, None) => RestoreTo::Version(version),
        (None, Some(_), None, Some(time), None) => RestoreTo::Time(time),
        (None, Some(_), None, None, Some(_)) => RestoreTo::Exported(&bytes),
        _ => {
            let error = "a backup, or --document and one of --version, --time and --from";
            return Err(Failure::Usage(error.to_owned()));
        }
    };
    let name = document.unwrap_or_default();
    let (_, store) = open(&path, false)?;
    let restored = store.restore(&name, to).map_err(failed(&name))?;
    match json {
        true => println!(
            "{{\"epoch\":\"{:016x}\",\"before\":{}}}",
            restored.epoch,
            quoted(&restored.before)
        ),
        false => println!(
            "epoch={:016x}\tbefore={:?}",
            restored.epoch, restored.before
        ),
    }
    Ok(())
}
