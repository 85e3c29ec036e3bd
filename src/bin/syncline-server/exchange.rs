//! `export` and `import`: single documents as files, and what crdt_lf's own stores hold.

use crate::arguments::{Argument, Arguments, Failure, unknown};
use crate::stores::{failed, open};
use std::sync::Arc;
use syncline::store::{DocumentStore, DocumentStoreOptions, SqliteOptions, SqliteStore};

pub const EXPORT_USAGE: &str = "\
Usage: syncline-server export --store PATH DOCUMENT FILE

Writes the content of a document or relay log into a file of its own.
";

pub const IMPORT_USAGE: &str = "\
Usage: syncline-server import --store PATH --document NAME FILE
       syncline-server import --store PATH --crdt-lf FILE

Makes a document of what export wrote, or all documents of a database that crdt_lf_sqlite
or crdt_lf_drift wrote. The store is made if it is missing; documents that are there
already are not touched. The server must not run.
";

pub fn export(mut arguments: Arguments) -> Result<(), Failure> {
    let (mut path, mut words) = (None, Vec::new());
    while let Some(argument) = arguments.next()? {
        match &argument {
            Argument::Flag(flag) if flag == "--store" => path = Some(arguments.value()?),
            Argument::Word(word) if words.len() < 2 => words.push(word.clone()),
            _ => return Err(unknown(&argument)),
        }
    }
    let (Some(path), [name, file]) = (path, words.as_slice()) else {
        let error = "--store, DOCUMENT and FILE are needed";
        return Err(Failure::Usage(error.to_owned()));
    };
    let (_, store) = open(&path, true)?;
    let bytes = store.export(name).map_err(failed(name))?;
    let written = std::fs::File::create_new(file).and_then(|mut target| {
        std::io::Write::write_all(&mut target, &bytes)?;
        target.sync_all()
    });
    written.map_err(|error| Failure::Failed(format!("{file}: {error}")))
}

pub fn import(mut arguments: Arguments) -> Result<(), Failure> {
    let (mut path, mut document, mut crdt_lf, mut file) = (None, None, None, None);
    while let Some(argument) = arguments.next()? {
        match &argument {
            Argument::Flag(flag) if flag == "--store" => path = Some(arguments.value()?),
            Argument::Flag(flag) if flag == "--document" => document = Some(arguments.value()?),
            Argument::Flag(flag) if flag == "--crdt-lf" => crdt_lf = Some(arguments.value()?),
            Argument::Word(word) if file.is_none() => file = Some(word.clone()),
            _ => return Err(unknown(&argument)),
        }
    }
    let path = path.ok_or_else(|| Failure::Usage("--store is missing".to_owned()))?;
    let store = || {
        let backend = SqliteStore::open(&path, &SqliteOptions::default());
        let backend = Arc::new(backend.map_err(failed(&path))?);
        Ok(DocumentStore::new(backend, DocumentStoreOptions::default()))
    };
    match (document, file, crdt_lf) {
        (Some(name), Some(file), None) => {
            let bytes = std::fs::read(&file)
                .map_err(|error| Failure::Failed(format!("{file}: {error}")))?;
            let imported = store()?.import(Some(&name), &bytes);
            imported.map(drop).map_err(failed(&name))
        }
        (None, None, Some(file)) => {
            let imported = store()?
                .import_crdt_lf_sqlite(&file)
                .map_err(failed(&file))?;
            for (name, result) in &imported {
                match result {
                    Ok(changes) => println!("{name}\t{changes} changes"),
                    Err(error) => println!("{name}\tnot imported: {error}"),
                }
            }
            match imported.iter().all(|(_, result)| result.is_ok()) {
                true => Ok(()),
                false => Err(Failure::Failed("not everything was imported".to_owned())),
            }
        }
        _ => {
            let error = "--document and FILE, or --crdt-lf are needed";
            Err(Failure::Usage(error.to_owned()))
        }
    }
}
