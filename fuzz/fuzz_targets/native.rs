//! The native forms and the stacks of undo: whatever the bytes behind a right checksum, nothing
//! panics, what is refused changes nothing, and what is taken leaves every structure sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syncline::document::{Document, DocumentOptions, NativeReader, Origin, UndoOptions};
use syncline::replica::Replica;
use syncline_fuzz::{Script, changes, document};

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    // Some content for it to meet: the last bytes of the input as a script.
    let (mut known, handlers) = document(0);
    let tail = &bytes[bytes.len() - bytes.len().min(64)..];
    for change in changes(&mut Script::new(tail)).into_iter().take(8) {
        let _ = known.apply_change(&change, b"");
    }
    let before = (known.change_count(), known.version_vector());
    let taken = match which % 5 {
        0 => known
            .import_native(&sealed(bytes), b"", Origin::Remote)
            .is_ok(),
        1 => {
            let opened = Document::open_native(&sealed(bytes), DocumentOptions::default());
            if let Ok(mut opened) = opened {
                opened.check();
                opened.replay_all();
                opened.check();
            }
            false
        }
        2 => known.merge_native_snapshot(&sealed(bytes)).is_ok(),
        3 => NativeReader::new()
            .apply(&mut known, &sealed(bytes), b"", Origin::Remote)
            .is_ok(),
        _ => {
            let undo = known.add_undo_manager(UndoOptions::default());
            if known.undo_decode(undo, &stacks(bytes)).is_ok() {
                for _ in 0..4 {
                    let _ = known.undo(undo);
                }
                let _ = known.redo(undo);
                assert!(known.undo_encode(undo).is_some());
            }
            true
        }
    };
    if !taken {
        assert_eq!((known.change_count(), known.version_vector()), before);
    }
    known.check();
    for handler in handlers {
        let _ = known.handler_value(handler);
    }
});

/// The bytes with their checksum.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    out
}

/// Stacks of undo, version 1.
fn stacks(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"SLU\x01".to_vec();
    out.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    out.extend_from_slice(bytes);
    out
}
