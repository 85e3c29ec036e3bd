//! Frames of crdt_socket_sync, plain and compressed: decoding never panics, keeps its limits, and
//! what is accepted is written back in a form that is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syncline::sync::crdt_sync::frame::{Framing, Limits, decode, encode};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    if let Ok(message) = decode(data, &limits) {
        for framing in [Framing::Plain, Framing::Gzip] {
            let again = decode(&encode(&message, framing), &limits).expect("written here");
            assert_eq!(again, message);
        }
    }
});
