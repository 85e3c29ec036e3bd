//! `inspect`: what is in a store, without reading the content of documents.

use crate::arguments::{Argument, Arguments, Failure, unknown};
use crate::stores::{failed, open, quoted};
use std::fmt::Write as _;
use syncline::store::{DocumentStore, Head, KIND_CRDT, KIND_RELAY, StoreError, VersionInfo};

pub const USAGE: &str = "\
Usage: syncline-server inspect --store PATH [--json] [DOCUMENT]

Lists the documents of a store, or says what is stored of one: kind, epoch, records,
bytes, and its named versions. Changes nothing; damaged documents are listed, too.
";

pub fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let (mut path, mut json, mut document) = (None, false, None);
    while let Some(argument) = arguments.next()? {
        match &argument {
            Argument::Flag(flag) if flag == "--store" => path = Some(arguments.value()?),
            Argument::Flag(flag) if flag == "--json" => json = true,
            Argument::Word(word) if document.is_none() => document = Some(word.clone()),
            _ => return Err(unknown(&argument)),
        }
    }
    let path = path.ok_or_else(|| Failure::Usage("--store is missing".to_owned()))?;
    let (backend, store) = open(&path, true)?;
    let names = match document {
        Some(name) if store.contains(&name).map_err(failed(&path))? => vec![name],
        Some(name) => return Err(Failure::Failed(format!("there is no document {name:?}"))),
        None => syncline::store::Store::names(&*backend).map_err(failed(&path))?,
    };
    let lines: Vec<String> = names.iter().map(|name| line(&store, name, json)).collect();
    match json {
        true => println!("[{}]", lines.join(",")),
        false => lines.iter().for_each(|line| println!("{line}")),
    }
    Ok(())
}

fn line(store: &DocumentStore, name: &str, json: bool) -> String {
    let found = store.head(name).and_then(|head| {
        let head = head.ok_or(StoreError::NotFound)?;
        Ok((head, store.versions(name)?))
    });
    match (found, json) {
        (Ok((head, versions)), true) => as_json(name, &head, &versions),
        (Ok((head, versions)), false) => as_text(name, &head, &versions),
        (Err(error), true) => {
            let error = quoted(&error.to_string());
            format!("{{\"name\":{},\"error\":{error}}}", quoted(name))
        }
        (Err(error), false) => format!("{name}\tdamaged: {error}"),
    }
}

fn kind(head: &Head) -> &'static str {
    match head.meta.kind {
        KIND_CRDT => "crdt",
        KIND_RELAY => "relay",
        _ => "?",
    }
}

fn as_text(name: &str, head: &Head, versions: &[VersionInfo]) -> String {
    let mut text = format!(
        "{name}\t{}\tepoch={:016x}\trecords={}..{}\tlog_bytes={}\tsnapshot_bytes={}",
        kind(head),
        head.meta.epoch,
        head.first,
        head.next,
        head.log_bytes,
        head.snapshot_bytes.unwrap_or(0)
    );
    for version in versions {
        let _ = write!(text, "\tversion={:?}", version.name);
    }
    text
}

fn as_json(name: &str, head: &Head, versions: &[VersionInfo]) -> String {
    let version = |version: &VersionInfo| {
        let name = quoted(&version.name);
        format!(
            "{{\"name\":{name},\"made_ms\":{},\"bytes\":{}}}",
            version.made_ms, version.bytes
        )
    };
    let versions = versions.iter().map(version).collect::<Vec<_>>().join(",");
    format!(
        "{{\"name\":{},\"kind\":\"{}\",\"epoch\":\"{:016x}\",\"first\":{},\"next\":{},\
         \"log_bytes\":{},\"snapshot_bytes\":{},\"versions\":[{versions}]}}",
        quoted(name),
        kind(head),
        head.meta.epoch,
        head.first,
        head.next,
        head.log_bytes,
        head.snapshot_bytes.unwrap_or(0)
    )
}
