//! The fuzz targets' checks over their committed corpora and random changes of them, on a stable compiler.
//! Never a substitute for the fuzzer, which looks for new ways through the code; this keeps what it found fixed.
//! Run by `cargo xtask test`; prints its seed, which `TALLYGATE_TEST_SEED` sets.

#![expect(clippy::expect_used, reason = "a surprise in a test should stop it with a message")]
#![expect(clippy::print_stdout, reason = "a test speaks through its captured output")]

#[path = "../../fuzz/checks.rs"]
mod checks;

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Changed inputs for each corpus: about a second of a dev build.
const CHANGED_INPUTS: usize = 4_000;
/// Changes of one input.
const CHANGES_MAX: usize = 8;
/// What separates things in bodies, streams and keys; a random byte rarely does.
const SEPARATORS: &[u8] = b"{}[]\",:\\\r\n\n- \0\xff0e";

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("a corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

fn check(target: &str, holds: fn(&[u8])) {
    let inputs = inputs(target);
    assert!(inputs.len() > 3, "the corpus of {target} is missing");
    inputs.iter().for_each(|input| holds(input));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = std::env::var("TALLYGATE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    println!("seed {seed}: set TALLYGATE_TEST_SEED={seed} to repeat");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..CHANGED_INPUTS {
        let mut input = inputs[random.random_range(0..inputs.len())].clone();
        for _ in 0..random.random_range(1..=CHANGES_MAX) {
            change(&mut input, &inputs, &mut random);
        }
        holds(&input);
    }
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=input.len());
    let end = random.random_range(at..=input.len());
    match random.random_range(0..5) {
        0 => drop(input.drain(at..end)),
        1 => input.insert(at, SEPARATORS[random.random_range(0..SEPARATORS.len())]),
        2 => input.insert(at, random.random_range(0..=u8::MAX)),
        3 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        _ => {
            let other = &inputs[random.random_range(0..inputs.len())];
            let from = random.random_range(0..=other.len());
            input.splice(at..end, other[from..].iter().copied());
        }
    }
    // Doubling again and again would only be slow.
    input.truncate(8_192);
}

#[test]
fn bodies_are_read_or_refused() {
    check("bodies", checks::bodies);
}

#[test]
fn streams_are_relayed_whole_however_they_are_cut() {
    check("sse_relay", checks::sse_relay);
}

#[test]
fn keys_are_taken_apart_without_a_rest() {
    check("keys", checks::keys);
}
