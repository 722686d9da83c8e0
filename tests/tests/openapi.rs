//! Requests made out of the documents of the interfaces: no status above 499, no hang, nothing undocumented.
//! Never judges whether an answer makes sense: that is for the tests with clients.
//! Run by `cargo xtask test`; `TALLYGATE_TEST_SEED` repeats a run, `TALLYGATE_TEST_EXAMPLES` makes it longer.

#![expect(clippy::print_stdout, reason = "a test speaks through its captured output")]

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use tests::harness::{Described, Installation, Outcome, PYTHON, data_plane_document, needed, send_generated};

/// A simulated model: what is tested is the interface, and answers cost nothing.
const CONFIG: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_break_nothing() -> Outcome {
    let Some(python) = needed(PYTHON) else { return Ok(()) };
    let mut installation = Installation::new(CONFIG)?;
    let server = installation.start().await?;
    let document = data_plane_document().display().to_string();
    let described = Described {
        document: &document,
        origin: server.origin(),
        credential: server.banner().api_key.as_deref().unwrap_or_default(),
        seed: seed(),
    };
    println!("{}", send_generated(&python, described, installation.folder())?);
    // Every request that was admitted has ended: draining does not wait for any.
    assert!(server.stop().await?.success());
    Ok(())
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = env::var("TALLYGATE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    println!("seed {seed}: set TALLYGATE_TEST_SEED={seed} to repeat");
    seed
}
