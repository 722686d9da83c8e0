//! Feeds any bytes to what reads request bodies.
//! Never says what must hold: the checks do, which the stable tests share.
//! Run by `cargo +nightly fuzz run bodies`.

#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::bodies(input));
