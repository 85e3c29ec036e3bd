//! Section 1: the library itself.

use super::delivery;
use super::error::Error;
use super::guard::{OptionStruct, SizeFirst, guard, question};
use super::handle;
use super::types::*;
use std::ffi::c_char;
use std::sync::OnceLock;
use std::time::Duration;

/// Parts that a build may leave out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum syncline_feature {
    /// WebSocket client.
    SYNCLINE_FEATURE_CLIENT = 1,
    /// WebSocket server.
    SYNCLINE_FEATURE_SERVER = 2,
    /// Yjs documents.
    SYNCLINE_FEATURE_YJS = 3,
    /// Documents in SQLite files.
    SYNCLINE_FEATURE_STORE_SQLITE = 4,
    /// Encryption at rest and end to end.
    SYNCLINE_FEATURE_ENCRYPTION = 5,
    /// wss:// without a proxy.
    SYNCLINE_FEATURE_TLS = 6,
    /// Compression of protocol frames.
    SYNCLINE_FEATURE_GZIP = 7,
}

use syncline_feature::*;

/// A feature as C gives it: any integer.
pub type FeatureArg = u32;

/// Settings of the whole library.
#[repr(C)]
#[derive(Debug)]
pub struct syncline_library_options {
    /// Set by SYNCLINE_OPTIONS.
    pub struct_size: usize,
    /// 0 = 1. This version has one thread per client; other numbers are UNSUPPORTED.
    pub io_threads: u32,
    /// Extra threads end after this time; 0 = 10000. This version has none; others are UNSUPPORTED.
    pub idle_thread_timeout_ms: u32,
    /// Prefix of thread names, "" = "syncline"; others are UNSUPPORTED in this version.
    pub thread_name: syncline_string,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_library_options {}
// SAFETY: integers and nullable pointers only.
unsafe impl OptionStruct for syncline_library_options {}

/// What the library uses at this moment.
#[repr(C)]
#[derive(Debug)]
pub struct syncline_library_stats {
    /// Set it to the size of the struct.
    pub struct_size: usize,
    /// Handles not yet freed: 0 at the end of a leak-free program.
    pub live_handles: u64,
    /// Memory of open documents and waiting events, estimated.
    pub heap_bytes: u64,
    /// Delivery threads that run now. Clients, servers and stores have their own while they work.
    pub threads: u32,
    /// Zero.
    pub reserved_1: u32,
}

// SAFETY: repr(C), the first field is the size.
unsafe impl SizeFirst for syncline_library_stats {}

/// The number in the name of the shared library; see `SYNCLINE_ABI` in the header.
const ABI: u32 = 0;

/// The version of the loaded library.
///
/// @return (major << 16) | (minor << 8) | patch
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_version() -> u32 {
    question!(0, |_| {
        let part = |text: &str| text.parse::<u32>().unwrap_or(0);
        Ok(part(env!("CARGO_PKG_VERSION_MAJOR")) << 16
            | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
            | part(env!("CARGO_PKG_VERSION_PATCH")))
    })
}

/// The version of the loaded library as text, for example "0.1.0".
///
/// @return static
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_version_string() -> *const c_char {
    question!(c"".as_ptr(), |_| Ok(concat!(
        env!("CARGO_PKG_VERSION"),
        "\0"
    )
    .as_ptr()
    .cast()))
}

/// What this library was built with, as a JSON object: version, features, dialects.
///
/// @return static
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_build_info() -> *const c_char {
    static INFO: OnceLock<String> = OnceLock::new();
    question!(c"{}".as_ptr(), |_| {
        let info = INFO.get_or_init(|| {
            let all = [
                (SYNCLINE_FEATURE_CLIENT, "\"client\""),
                (SYNCLINE_FEATURE_SERVER, "\"server\""),
                (SYNCLINE_FEATURE_STORE_SQLITE, "\"sqlite\""),
                (SYNCLINE_FEATURE_GZIP, "\"gzip\""),
            ];
            let built: Vec<&str> = all
                .into_iter()
                .filter(|(feature, _)| has_feature(*feature as u32))
                .map(|(_, name)| name)
                .collect();
            format!(
                "{{\"version\":\"{}\",\"abi\":{ABI},\"features\":[{}],\
                 \"dialects\":{{\"crdt_lf\":\"3.5\",\"crdt_socket_sync\":\"0.6\"}}}}\0",
                env!("CARGO_PKG_VERSION"),
                built.join(",")
            )
        });
        Ok(info.as_ptr().cast())
    })
}

/// Compares the header an application was compiled with to the loaded library.
///
/// @param abi  SYNCLINE_ABI
/// @return UNSUPPORTED_VERSION if they do not fit
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_check(abi: u32) -> syncline_status {
    guard!(|_| {
        if abi == ABI {
            return Ok(SYNCLINE_OK);
        }
        Err(Error::new(
            SYNCLINE_ERROR_UNSUPPORTED_VERSION,
            format!("compiled for ABI {abi}, the library has ABI {ABI}"),
        ))
    })
}

/// Whether this build has a feature. False for a number that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_has_feature(feature: FeatureArg) -> bool {
    question!(false, |_| Ok(has_feature(feature)))
}

fn has_feature(feature: FeatureArg) -> bool {
    let net = cfg!(any(feature = "client", feature = "server"));
    let built = [
        (SYNCLINE_FEATURE_CLIENT, cfg!(feature = "client")),
        (SYNCLINE_FEATURE_SERVER, cfg!(feature = "server")),
        (SYNCLINE_FEATURE_STORE_SQLITE, cfg!(feature = "sqlite")),
        (SYNCLINE_FEATURE_GZIP, net),
    ];
    built
        .iter()
        .any(|(known, here)| *known as u32 == feature && *here)
}

/// Sets what holds for the whole library; optional, before first use.
///
/// @param options  NULL: the defaults
/// @return UNSUPPORTED for a setting that this version cannot follow
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_configure(
    options: *const syncline_library_options,
) -> syncline_status {
    guard!(|caller| {
        let options = caller.sized(options, "options")?;
        let name = caller.text(options.thread_name, "thread_name")?;
        let known = options.io_threads <= 1
            && matches!(options.idle_thread_timeout_ms, 0 | 10_000)
            && matches!(name, "" | "syncline");
        if known {
            Ok(SYNCLINE_OK)
        } else {
            Err(Error::unsupported("threads are not configurable"))
        }
    })
}

/// Counts what is in use. Reads every open document, so it may wait for their locks.
///
/// @param out_stats  struct_size must be set
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_get_stats(
    out_stats: *mut syncline_library_stats,
) -> syncline_status {
    guard!(|caller| {
        let out = caller.out_sized(out_stats, "out_stats")?;
        out.give(syncline_library_stats {
            struct_size: 0,
            live_handles: handle::live_handles(),
            heap_bytes: super::document_core::heap_bytes_of_all()
                + delivery::waiting_bytes_of_all(),
            threads: super::delivery_thread::running_threads(),
            reserved_1: 0,
        })
    })
}

/// Ends the library's idle threads: before the library is unloaded, or for a leak checker. Waits
/// until the events of the default queue are delivered. The library starts again by itself.
///
/// @param timeout_ms  how long to wait
/// @return TIMEOUT; IN_HOOK from a callback on the delivery thread
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syncline_library_shutdown(timeout_ms: u32) -> syncline_status {
    guard!(|_| delivery::shutdown(Duration::from_millis(timeout_ms.into())))
}
