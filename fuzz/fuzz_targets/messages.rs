//! Frames of crdt_socket_sync, plain and compressed, and of the native dialect: decoding never
//! panics, keeps its limits, and what is accepted is written back in a form that is read as the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syncline::sync::crdt_sync::frame::{Framing, Limits, decode, encode};
use syncline::sync::native;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    if let Ok(message) = decode(data, &limits) {
        for framing in [Framing::Plain, Framing::Gzip] {
            let again = decode(&encode(&message, framing), &limits).expect("written here");
            assert_eq!(again, message);
        }
    }
    let limits = native::Limits::default();
    if let Ok(message) = native::frame::decode(data, &limits) {
        // An inflated frame may be larger than a received one.
        let limits = native::Limits {
            frame_bytes_max: usize::MAX,
            ..limits
        };
        let plain = native::frame::encode(&message);
        for bytes in [plain.clone(), native::frame::deflated(plain, 1)] {
            let again = native::frame::decode(&bytes, &limits).expect("written here");
            assert_eq!(again, message);
        }
    }
});
