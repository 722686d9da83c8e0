//! Feeds any bytes to what reads the relay of event streams.
//! Never says what must hold: the checks do, which the stable tests share.
//! Run by `cargo +nightly fuzz run sse_relay`.

#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::sse_relay(input));
