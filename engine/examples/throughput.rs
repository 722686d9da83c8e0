//! Measures output tokens per second of a model: one stream alone, and 32 together.
//! Never asserts anything; it prints what it saw.
//! Run by hand: `cargo run --release -p engine --example throughput [model folder]`.

use std::time::Instant;

use domain::ModelName;
use engine::{Engine, EngineConfig, EngineError, Event, Generation, Job, ModelSource};

/// Long enough to drown the start, short enough for the demo model's context.
const OUTPUT_TOKENS: u32 = 400;
const STREAMS: [usize; 4] = [1, 4, 16, 32];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = match std::env::args().nth(1) {
        Some(folder) => ModelSource::Folder(folder.into()),
        None => ModelSource::Demo,
    };
    let engine = Engine::start(EngineConfig::new(ModelName::new("measured")?, source))?;
    report(&format!("{:?}", engine.info()));
    for streams in STREAMS {
        let started_at = Instant::now();
        let running: Vec<Generation> =
            (0..streams).map(|seed| submit(&engine, seed as u64)).collect::<Result<_, _>>()?;
        let tokens: usize = running.into_iter().map(count_tokens).sum();
        let seconds = started_at.elapsed().as_secs_f64();
        report(&format!(
            "{streams} streams: {:.0} tokens/s, {tokens} tokens in {seconds:.2} s",
            tokens as f64 / seconds
        ));
    }
    report(&format!("{:?}", engine.status()));
    Ok(())
}

fn submit(engine: &Engine, seed: u64) -> Result<Generation, EngineError> {
    let mut job = Job::new(engine.prompt_text("Tell me a short story about a fox.")?, OUTPUT_TOKENS);
    job.ignore_eos = true;
    job.sampling.seed = Some(seed);
    engine.submit(job)
}

fn count_tokens(mut generation: Generation) -> usize {
    let mut tokens = 0;
    while let Some(event) = generation.next_blocking() {
        tokens += usize::from(matches!(event, Event::Token(_)));
    }
    tokens
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn report(line: &str) {
    println!("{line}");
}
