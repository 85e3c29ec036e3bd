//! Writes what the native target starts from: real native forms without their checksums, each
//! behind the byte that chooses the reader. `cargo run --release --example seeds`

use std::fs;
use syncline::clock::VersionVector;
use syncline::codec::Value;
use syncline::document::{HandlerKind, NativeWriter, UndoOptions};
use syncline_fuzz::{Script, changes, document};

fn main() -> std::io::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/native");
    fs::create_dir_all(folder)?;
    let write = |name: String, which: u8, bytes: &[u8]| {
        let mut seed = vec![which];
        seed.extend_from_slice(bytes);
        fs::write(format!("{folder}/{name}"), seed)
    };
    for number in 0..4u8 {
        let (mut document, handlers) = document(usize::from(number));
        let undo = document.add_undo_manager(UndoOptions::default());
        for handler in &handlers {
            // Kinds differ in what they take; what they refuse is not needed here.
            let value = Value::Int(i64::from(number));
            let _ = match document.handler_kind(*handler) {
                HandlerKind::Text | HandlerKind::FugueText => {
                    document.text_insert(*handler, 0, "seed \u{e9}")
                }
                HandlerKind::Map | HandlerKind::OrMap => document.map_set(*handler, "k", &value),
                HandlerKind::Register => document.register_set(*handler, &value),
                HandlerKind::OrSet => document.set_add(*handler, &value),
                _ => document.list_insert(*handler, 0, &[value.clone(), value]),
            };
            let _ = document.text_remove(*handler, 0, 2);
            let _ = document.list_remove(*handler, 0, 1);
        }
        let script: Vec<u8> = (0..200u8)
            .map(|byte| byte.wrapping_mul(number + 3))
            .collect();
        for change in changes(&mut Script::new(&script)) {
            let _ = document.apply_change(&change, b"");
        }
        let sealed = |bytes: &[u8]| bytes[..bytes.len() - 4].to_vec();
        write(
            format!("changes-{number}"),
            0,
            &sealed(&document.export_native(&VersionVector::new())),
        )?;
        let snapshot = document
            .native_snapshot(number % 2 == 0)
            .expect("all kinds are known");
        write(format!("snapshot-{number}"), 1, &sealed(&snapshot))?;
        write(format!("merged-{number}"), 2, &sealed(&snapshot))?;
        let mut update = Vec::new();
        let mut stream = NativeWriter::new(&VersionVector::new());
        if stream.update(&document, &mut update).is_ok() && !update.is_empty() {
            write(format!("stream-{number}"), 3, &sealed(&update))?;
        }
        let stacks = document.undo_encode(undo).expect("made above");
        write(format!("undo-{number}"), 4, &stacks[8..])?;
    }
    Ok(())
}
