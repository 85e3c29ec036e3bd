//! Writes `include/syncline.h` from `src/capi` and names the shared library.
//!
//! The header is committed; it is written only when it differs, so that a build does not touch a
//! clean checkout. If it cannot be written (a read-only checkout) the build goes on with a warning:
//! whoever builds there does not change the header.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files that make the header, in its order, and the sections they begin.
const SECTIONS: &[(&str, &str)] = &[
    ("types", ""),
    ("library", "Library"),
    ("error", "Errors"),
    ("log", "Log"),
    ("buffer", "Buffers"),
    ("tree", ""),
    ("value", "Values"),
    ("iterator", "Iterators"),
    ("queue", "Queues and subscriptions"),
    ("payload", ""),
    ("event", "Events"),
    ("clock", "Clocks and ids"),
    ("version_vector", "Version vectors"),
    ("change", "Changes"),
    ("kinds", ""),
    ("document", "Documents: life, transactions, handlers"),
    ("nested", "Documents: nested handlers"),
    ("exchange", "Documents: versions, changes, snapshots"),
    ("snapshot", "Snapshots"),
    ("handler", "Handlers"),
    ("text", "Texts"),
    ("list", "Lists"),
    ("map", "Maps"),
    ("set", "Sets"),
    ("register", "Registers"),
    ("custom", "Custom handlers"),
    ("history", "History and differences"),
    ("undo", "Undo and redo"),
    ("store", "Stores"),
    ("store_care", ""),
    ("client", "Clients"),
    ("client_calls", ""),
    ("server", "Servers"),
    ("server_calls", ""),
];

fn main() {
    name_library();
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src/capi");
    println!("cargo:rerun-if-changed=include/syncline.h");
    println!("cargo:rerun-if-changed=build.rs");
    if let Err(problem) = write_header() {
        println!("cargo:warning=include/syncline.h was not checked: {problem}");
    }
}

/// The number is that of the ABI (`SYNCLINE_ABI`). The library's threads may run when a host wants
/// to unload it, so it stays loaded.
fn name_library() {
    let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target.as_str() {
        "linux" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsyncline.so.0");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "android" => println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsyncline.so"),
        "macos" | "ios" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libsyncline.0.dylib");
        }
        _ => {}
    }
}

fn write_header() -> Result<(), String> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    config.after_includes = Some(prologue(&root)?);
    let mut builder = cbindgen::Builder::new().with_config(config);
    for (file, _) in SECTIONS {
        builder = builder.with_src(source(&root, file));
    }
    let bindings = builder.generate().map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    let text = with_section_titles(&root, &text)?;
    let path = root.join("include/syncline.h");
    if fs::read_to_string(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::create_dir_all(root.join("include"))
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| error.to_string())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn source(root: &Path, file: &str) -> PathBuf {
    root.join("src/capi").join(file).with_extension("rs")
}

/// Macros, inline functions and what they need, with the version of the package.
fn prologue(root: &Path) -> Result<String, String> {
    let path = root.join("src/capi/prologue.h");
    let mut text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    for part in ["MAJOR", "MINOR", "PATCH"] {
        let number = variable(&format!("CARGO_PKG_VERSION_{part}"))?;
        text = text.replace(&format!("@{part}@"), &number);
    }
    Ok(text)
}

/// cbindgen writes functions in the order of the sources, without headings: puts a heading before
/// the comment of each section's first function.
fn with_section_titles(root: &Path, header: &str) -> Result<String, String> {
    let mut titles = Vec::new();
    for (file, title) in SECTIONS.iter().filter(|(_, title)| !title.is_empty()) {
        let text = fs::read_to_string(source(root, file)).map_err(|error| error.to_string())?;
        let first = text
            .split("extern \"C\" fn ")
            .skip(1)
            .find(|rest| rest.starts_with("syncline_"));
        let name = first.and_then(|rest| rest.split('(').next());
        titles.push((
            name.ok_or(format!("{file}.rs exports nothing"))?.to_owned(),
            *title,
        ));
    }
    let declares = |block: &str, name: &str| {
        block.contains("SYNCLINE_API") && block.contains(&format!("{name}("))
    };
    let mut blocks = Vec::new();
    for block in header.split("\n\n") {
        let title = titles
            .iter()
            .find(|(name, _)| declares(declaration(block), name));
        if let Some((_, title)) = title {
            blocks.push(format!("/* ---- {title} ---- */"));
        }
        blocks.push(block.to_owned());
    }
    Ok(blocks.join("\n\n"))
}

/// What follows the comment of a block.
fn declaration(block: &str) -> &str {
    block.rsplit("*/").next().unwrap_or(block)
}
