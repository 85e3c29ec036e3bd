//! What the subcommands that work on a store file share: opening it, and telling what was found.

use crate::arguments::Failure;
use std::sync::Arc;
use syncline::store::{
    DocumentStore, DocumentStoreOptions, Report, SqliteOptions, SqliteStore, StoreError,
};

/// A store for which the server has to be stopped, or which is only read.
pub fn open(path: &str, read_only: bool) -> Result<(Arc<SqliteStore>, DocumentStore), Failure> {
    if !std::path::Path::new(path).is_file() {
        return Err(Failure::Failed(format!("{path} is no store")));
    }
    let options = SqliteOptions {
        read_only,
        ..SqliteOptions::default()
    };
    let backend = Arc::new(SqliteStore::open(path, &options).map_err(failed(path))?);
    let store = DocumentStore::new(backend.clone(), DocumentStoreOptions::default());
    Ok((backend, store))
}

/// For `map_err`.
pub fn failed(what: &str) -> impl Fn(StoreError) -> Failure + '_ {
    move |error| Failure::Failed(format!("{what}: {error}"))
}

/// Prints a report; fails if something is lost.
pub fn tell(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        let problems = report.problems.iter().map(|problem| {
            let document = problem.document.as_deref();
            let document = document.map_or("null".to_owned(), quoted);
            let detail = quoted(&problem.detail);
            let is_recovered = problem.is_recovered;
            format!("{{\"document\":{document},\"detail\":{detail},\"recovered\":{is_recovered}}}")
        });
        let problems = problems.collect::<Vec<_>>().join(",");
        let documents = report.documents;
        println!("{{\"documents\":{documents},\"problems\":[{problems}]}}");
    } else {
        for problem in &report.problems {
            let state = if problem.is_recovered {
                "recovered"
            } else {
                "lost"
            };
            let document = problem.document.as_deref().unwrap_or("(file)");
            println!("{state}\t{document}\t{}", problem.detail);
        }
        println!(
            "{} documents, {} problems",
            report.documents,
            report.problems.len()
        );
    }
    match report.problems.iter().all(|problem| problem.is_recovered) {
        true => Ok(()),
        false => Err(Failure::Damaged),
    }
}

/// As a JSON string.
pub fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            char if char < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => json.push(char),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_text_is_quoted() {
        assert_eq!(
            super::quoted("a\"b\\c\n\u{1}é"),
            r#""a\"b\\c\u000a\u0001é""#
        );
    }
}
