//! The engine's thread through the public door, on the simulated device.
//! Never sleeps to wait for a result: each test reads events until the end.
//! Run by `cargo test -p engine`.
//!
//! Long because each promise of the door has its own test, and all share the readers at the top.

use std::time::{Duration, Instant};

use domain::{Fault, ModelName, Tokens};

use crate::{
    ChatMessage, EnergyChoice, EnergyConfig, Engine, EngineConfig, EngineError, Event, Finish, Generation,
    Job, ModelSource, Role, Sampling, SimAnswer, SimConfig, Tally,
};

fn config(sim: SimConfig) -> EngineConfig {
    let mut config = EngineConfig::new(ModelName::new("sim").expect("name"), ModelSource::Sim(sim));
    config.energy = EnergyConfig { source: EnergyChoice::Modelled, ..EnergyConfig::default() };
    config
}

fn start(sim: SimConfig) -> Engine {
    Engine::start(config(sim)).expect("start")
}

fn echo() -> SimConfig {
    SimConfig { answer: SimAnswer::Echo, ..SimConfig::default() }
}

fn slow(step_ms: u64) -> SimConfig {
    SimConfig { decode_step: Duration::from_millis(step_ms), ..SimConfig::default() }
}

fn user(content: &str) -> Vec<ChatMessage> {
    vec![ChatMessage { role: Role::User, content: content.to_owned() }]
}

fn job(engine: &Engine, content: &str, output_tokens_max: u32) -> Job {
    Job::new(engine.prompt(&user(content)).expect("prompt"), output_tokens_max)
}

/// All that a generation said.
#[derive(Debug)]
struct Answer {
    started: usize,
    ids: Vec<u32>,
    text: String,
    tally: Tally,
}

/// Reads to the end, and checks what holds for every job.
fn read(mut generation: Generation) -> Answer {
    let (mut started, mut ids, mut text, mut tally) = (0, Vec::new(), String::new(), None);
    while let Some(event) = generation.next_blocking() {
        assert!(tally.is_none(), "nothing comes after Finished");
        match event {
            Event::Started(_) => {
                assert!(ids.is_empty());
                started += 1;
            }
            Event::Token(token) => {
                assert_eq!(started, 1, "tokens come after Started");
                ids.push(token.id);
                text += &token.text;
            }
            Event::Finished(last) => tally = Some(last),
        }
    }
    let tally = tally.expect("Finished comes");
    text += &tally.tail;
    assert_eq!(tally.output_tokens.get(), ids.len() as u64, "one Token for each counted token");
    assert_eq!(started == 0, tally.prompt_tokens == Tokens::ZERO, "prompt tokens count once started");
    Answer { started, ids, text, tally }
}

fn run(engine: &Engine, job: Job) -> Answer {
    read(engine.submit(job).expect("submit"))
}

#[test]
fn a_chat_is_answered_and_ends_by_itself() {
    let engine = start(echo());
    for text in ["hello there", "naïve 😀 … the end", ""] {
        let answer = run(&engine, job(&engine, text, 1_000));
        assert_eq!((answer.text.as_str(), answer.tally.finish), (text, Finish::Stop));
    }
    let answer = run(&engine, job(&engine, "one two three four", 5));
    assert_eq!((answer.text.as_str(), answer.tally.finish), ("one t", Finish::Length));
}

#[test]
fn events_come_through_an_async_runtime() {
    let engine = start(echo());
    let mut generation = engine.submit(job(&engine, "hi", 10)).expect("submit");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let events = runtime.block_on(async {
        let mut events = Vec::new();
        while let Some(event) = generation.next().await {
            events.push(event);
        }
        events
    });
    assert!(matches!(events[..], [Event::Started(_), Event::Token(_), Event::Token(_), Event::Finished(_)]));
}

#[test]
fn stop_strings_end_the_answer_and_are_not_part_of_it() {
    let engine = start(echo());
    // text, stop strings, answer, tokens counted
    let rows: [(&str, &[&str], &str, u64, Finish); 5] = [
        ("abcdef", &["cd"], "ab", 4, Finish::Stop),
        ("abcdef", &["f"], "abcde", 6, Finish::Stop),
        ("abcdef", &["fg"], "abcdef", 6, Finish::Stop),
        ("abcdef", &["é", "x"], "abcdef", 6, Finish::Stop),
        ("a€b", &["€"], "a", 4, Finish::Stop),
    ];
    for (text, stop, expected, tokens, finish) in rows {
        let mut job = job(&engine, text, 100);
        job.stop = stop.iter().map(|stop| (*stop).to_owned()).collect();
        let answer = run(&engine, job);
        assert_eq!((answer.text.as_str(), answer.tally.finish), (expected, finish), "{text:?} {stop:?}");
        assert_eq!(answer.tally.output_tokens.get(), tokens, "{text:?} {stop:?}");
    }
    let mut held = job(&engine, "abcdef", 5);
    held.stop = vec!["ef".to_owned()];
    let answer = run(&engine, held);
    assert_eq!(
        (answer.text.as_str(), answer.tally.tail.as_str()),
        ("abcde", "e"),
        "held back, then delivered"
    );
    assert_eq!(answer.tally.finish, Finish::Length);
}

#[test]
fn without_an_end_token_exactly_the_allowed_tokens_come() {
    for sim in [echo(), SimConfig::default()] {
        let engine = start(sim);
        let mut job = job(&engine, "x", 300);
        job.ignore_eos = true;
        let answer = run(&engine, job);
        assert_eq!((answer.ids.len(), answer.tally.finish), (300, Finish::Length));
    }
}

#[test]
fn output_is_clamped_to_the_context_left() {
    let engine = start(SimConfig { context_tokens_max: 20, ..SimConfig::default() });
    // prompt tokens → output tokens, or refused
    for (prompt, output) in [(1, Some(19)), (18, Some(2)), (19, Some(1)), (20, None), (500, None)] {
        let prompt = engine.prompt_text(&"x".repeat(prompt)).expect("prompt");
        let (tokens, mut job) = (prompt.tokens(), Job::new(prompt, u32::MAX));
        job.ignore_eos = true;
        match output {
            Some(output) => {
                let answer = run(&engine, job);
                assert_eq!((answer.ids.len(), answer.tally.finish), (output, Finish::Length));
                assert_eq!(answer.tally.prompt_tokens, tokens);
            }
            None => {
                let error = engine.submit(job).expect_err("too long");
                assert_eq!(error.fault(), Fault::Invalid);
                let expected = Tokens::new(20);
                assert!(
                    matches!(error, EngineError::PromptTooLong { tokens: found, context } if found == tokens && context == expected)
                );
            }
        }
    }
    assert!(matches!(
        engine.submit(Job::new(engine.prompt_text("").expect("prompt"), 1)),
        Err(EngineError::EmptyPrompt)
    ));
}

#[test]
fn parameters_out_of_range_are_refused_and_cost_nothing() {
    type Spoil = fn(&mut Job);
    let rows: [(&str, Spoil); 13] = [
        ("temperature", |job| job.sampling.temperature = -0.1),
        ("temperature", |job| job.sampling.temperature = f32::NAN),
        ("temperature", |job| job.sampling.temperature = f32::INFINITY),
        ("temperature", |job| job.sampling.temperature = 100.5),
        ("top_p", |job| job.sampling.top_p = 0.0),
        ("top_p", |job| job.sampling.top_p = 1.01),
        ("top_p", |job| job.sampling.top_p = f32::NAN),
        ("top_p", |job| job.sampling.top_p = -1.0),
        ("top_k", |job| job.sampling.top_k = Some(0)),
        ("output token", |job| job.output_tokens_max = 0),
        ("stop string", |job| job.stop = vec!["x".to_owned(), String::new()]),
        ("stop string", |job| job.stop = vec!["x".repeat(1_025)]),
        ("stop strings", |job| job.stop = vec!["x".to_owned(); 17]),
    ];
    let engine = start(SimConfig::default());
    for (what, spoil) in rows {
        let mut job = job(&engine, "x", 5);
        spoil(&mut job);
        let error = engine.submit(job).expect_err(what);
        assert_eq!(error.fault(), Fault::Invalid);
        assert!(
            matches!(&error, EngineError::BadSampling { what: found } if found.contains(what)),
            "{what}: {error}"
        );
    }
    let mut best = job(&engine, "x", 5);
    best.sampling =
        Sampling { temperature: 100.0, top_p: f32::MIN_POSITIVE, top_k: Some(u32::MAX), seed: Some(0) };
    best.stop = vec!["x".repeat(1_024); 16];
    assert_eq!(run(&engine, best).ids.len(), 5);
    assert_eq!(engine.status().tokens_total, Tokens::new(5));
}

#[test]
fn configurations_out_of_range_are_refused() {
    type Spoil = fn(&mut EngineConfig);
    let rows: [(&str, Spoil); 7] = [
        ("sequences_max", |config| config.sequences_max = 0),
        ("queue_jobs_max", |config| config.queue_jobs_max = 0),
        ("step_tokens_max", |config| config.step_tokens_max = config.sequences_max - 1),
        ("threads", |config| config.threads = 1_025),
        ("busy_milliwatts", |config| config.energy.busy_milliwatts = config.energy.idle_milliwatts - 1),
        ("busy_milliwatts", |config| config.energy.busy_milliwatts = u64::MAX),
        ("context_tokens_max", |config| {
            config.source = ModelSource::Sim(SimConfig { context_tokens_max: 1, ..SimConfig::default() });
        }),
    ];
    for (field, spoil) in rows {
        let mut config = config(SimConfig::default());
        spoil(&mut config);
        let error = Engine::start(config).expect_err(field);
        assert!(
            matches!(&error, EngineError::BadConfig { what } if what.contains(field)),
            "{field}: {error}"
        );
    }
}

/// A job that would run for very long.
fn endless(engine: &Engine) -> Job {
    let mut job = job(engine, "x", u32::MAX);
    job.ignore_eos = true;
    job
}

fn wait_for_token(generation: &mut Generation) {
    while !matches!(generation.next_blocking().expect("a token"), Event::Token(_)) {}
}

/// Reads on after some events were read.
fn read_tally(mut generation: Generation) -> Tally {
    let mut last = None;
    while let Some(event) = generation.next_blocking() {
        last = Some(event);
    }
    let Some(Event::Finished(tally)) = last else { panic!("no Finished at the end") };
    tally
}

#[test]
fn a_cancelled_job_ends_within_one_step() {
    let engine = start(slow(20));
    for _ in 0..5 {
        let mut generation = engine.submit(endless(&engine)).expect("submit");
        (0..3).for_each(|_| wait_for_token(&mut generation));
        generation.cancel();
        // Only the step under way, which is counted when it ends, may follow.
        let steps = engine.status().steps_total;
        let tally = read_tally(generation);
        assert_eq!(tally.finish, Finish::Cancelled);
        assert!(engine.status().steps_total <= steps + 1);
        assert!(tally.energy.get() > 0, "what ran is accounted for");
    }
}

#[test]
fn a_dropped_generation_frees_its_place() {
    let mut config = config(slow(1));
    config.sequences_max = 1;
    let engine = Engine::start(config).expect("start");
    let mut generation = engine.submit(endless(&engine)).expect("submit");
    wait_for_token(&mut generation);
    drop(generation);
    assert_eq!(run(&engine, job(&engine, "x", 3)).tally.finish, Finish::Length);
    assert_eq!((engine.status().running, engine.status().queued), (0, 0));
}

#[test]
fn a_full_queue_refuses_and_takes_again() {
    let mut config = config(slow(2));
    (config.sequences_max, config.queue_jobs_max) = (1, 2);
    let engine = Engine::start(config).expect("start");
    let mut running = engine.submit(endless(&engine)).expect("submit");
    wait_for_token(&mut running);
    let first = engine.submit(endless(&engine)).expect("first in the queue");
    let second = engine.submit(job(&engine, "x", 2)).expect("second in the queue");
    for _ in 0..3 {
        let error = engine.submit(job(&engine, "x", 2)).expect_err("full");
        assert!(matches!(error, EngineError::QueueFull));
        assert_eq!(error.fault(), Fault::Overloaded);
    }
    assert_eq!((engine.status().running, engine.status().queued), (1, 2));
    first.cancel();
    let waited = read(first);
    assert_eq!((waited.tally.finish, waited.started), (Finish::Cancelled, 0), "it ended in the queue");
    assert_eq!(waited.tally.energy.get(), 0);
    drop(running);
    assert_eq!(read(second).tally.finish, Finish::Length);
    assert_eq!(run(&engine, job(&engine, "x", 2)).tally.finish, Finish::Length);
}

#[test]
fn deadlines_hold_while_running_and_while_waiting() {
    let mut config = config(slow(5));
    config.sequences_max = 1;
    let engine = Engine::start(config).expect("start");
    let soon = Some(Instant::now() + Duration::from_millis(150));
    let mut running = endless(&engine);
    running.deadline = soon;
    let mut running = engine.submit(running).expect("submit");
    wait_for_token(&mut running);
    let mut waiting = endless(&engine);
    waiting.deadline = Some(Instant::now() + Duration::from_millis(20));
    let waiting = read(engine.submit(waiting).expect("submit"));
    assert_eq!((waiting.tally.finish, waiting.started), (Finish::Deadline, 0));
    assert!(waiting.tally.queue.get() >= 20_000, "{:?}", waiting.tally.queue);
    let tally = read_tally(running);
    assert_eq!(tally.finish, Finish::Deadline);
    assert!(tally.output_tokens.get() >= 1 && Some(Instant::now()) >= soon);
    let mut late = endless(&engine);
    late.deadline = Some(Instant::now());
    assert_eq!(run(&engine, late).started, 0, "too late before it came");
}

#[test]
fn shutdown_ends_every_job() {
    let mut config = config(slow(3));
    config.sequences_max = 4;
    let engine = Engine::start(config).expect("start");
    let generations: Vec<Generation> =
        (0..20).map(|_| engine.submit(endless(&engine)).expect("submit")).collect();
    assert!(engine.status().is_ready);
    engine.shutdown();
    for generation in generations {
        assert_eq!(read(generation).tally.finish, Finish::Cancelled);
    }
    assert!(matches!(engine.submit(job(&engine, "x", 1)), Err(EngineError::Stopped)));
    engine.shutdown();
    let status = engine.status();
    assert!(!status.is_ready && !status.is_failed);
    assert_eq!((status.running, status.queued), (0, 0));
}

#[test]
fn the_last_engine_dropped_ends_every_job() {
    let engine = start(slow(3));
    let clone = engine.clone();
    let generation = engine.submit(endless(&engine)).expect("submit");
    drop(engine);
    assert!(clone.status().is_ready);
    drop(clone);
    assert_eq!(read(generation).tally.finish, Finish::Cancelled);
}

#[test]
fn a_failed_step_ends_its_jobs_and_the_engine_goes_on() {
    let engine = start(SimConfig { fail_after_tokens: Some(3), ..SimConfig::default() });
    for _ in 0..10 {
        let answer = run(&engine, endless(&engine));
        assert_eq!((answer.tally.finish, answer.ids.len()), (Finish::Failed, 3));
        assert_eq!(run(&engine, job(&engine, "x", 3)).tally.finish, Finish::Length);
    }
    assert!(engine.status().is_ready && !engine.status().is_failed);
}

#[test]
fn steps_that_keep_failing_fail_the_engine() {
    let engine = start(SimConfig { fail_after_tokens: Some(0), ..SimConfig::default() });
    for number in 0..3 {
        assert!(!engine.status().is_failed, "after {number} failures");
        assert_eq!(run(&engine, job(&engine, "x", 3)).tally.finish, Finish::Failed);
    }
    let status = engine.status();
    assert!(status.is_failed && !status.is_ready);
    let error = engine.submit(job(&engine, "x", 1)).expect_err("failed");
    assert!(matches!(error, EngineError::Failed));
    assert_eq!(error.fault(), Fault::Broken);
    engine.shutdown();
}

#[test]
fn a_panic_in_a_step_fails_the_engine_and_ends_every_job() {
    let sim = SimConfig {
        panic_after_tokens: Some(5),
        decode_step: Duration::from_millis(5),
        ..SimConfig::default()
    };
    let mut config = config(sim);
    config.sequences_max = 2;
    let engine = Engine::start(config).expect("start");
    let generations: Vec<Generation> =
        (0..6).map(|_| engine.submit(endless(&engine)).expect("submit")).collect();
    let answers: Vec<Answer> = generations.into_iter().map(read).collect();
    assert!(answers.iter().all(|answer| answer.tally.finish == Finish::Failed));
    assert_eq!(answers[0].ids.len(), 5);
    assert_eq!(answers[5].started, 0, "it waited behind the others");
    let status = engine.status();
    assert!(status.is_failed && !status.is_ready);
    assert_eq!((status.running, status.queued), (0, 0));
    assert_eq!(status.meter_total.get(), status.requests_total.get() + status.idle_total.get());
    assert!(matches!(engine.submit(job(&engine, "x", 1)), Err(EngineError::Failed)));
}

#[test]
fn energy_of_jobs_and_idle_is_the_meters() {
    let sim = SimConfig { prefill_tokens_per_second: 20_000, fail_after_tokens: Some(60), ..slow(1) };
    let mut config = config(sim);
    config.sequences_max = 3;
    let engine = Engine::start(config).expect("start");
    let submit = |number: u32| {
        let mut job = if number.is_multiple_of(7) {
            endless(&engine)
        } else {
            job(&engine, &"word ".repeat(9), number)
        };
        job.ignore_eos = number.is_multiple_of(2);
        let generation = engine.submit(job).expect("submit");
        if number.is_multiple_of(5) {
            generation.cancel();
        }
        generation
    };
    let generations: Vec<Generation> = (1..40).map(submit).collect();
    let tallies: Vec<Tally> = generations.into_iter().map(|generation| read(generation).tally).collect();
    let status = engine.status();
    let sum: u64 = tallies.iter().map(|tally| tally.energy.get()).sum();
    assert!(sum > 0);
    assert_eq!(sum, status.requests_total.get(), "every millijoule of requests is in a tally");
    assert_eq!(status.meter_total.get(), status.requests_total.get() + status.idle_total.get());
    assert!(tallies.iter().any(|tally| tally.finish == Finish::Failed && tally.energy.get() > 0));
    let tokens: u64 = tallies.iter().map(|tally| tally.output_tokens.get()).sum();
    assert_eq!(tokens, status.tokens_total.get());
}

#[test]
fn the_idle_engine_keeps_the_meter_running() {
    let engine = start(SimConfig::default());
    let before = engine.status();
    std::thread::sleep(Duration::from_millis(350));
    let after = engine.status();
    assert!(after.idle_total > before.idle_total);
    assert_eq!(after.requests_total.get(), 0);
    assert_eq!(after.meter_total, after.idle_total);
}

#[test]
fn the_same_seed_gives_the_same_text_whatever_else_runs() {
    let demo = EngineConfig::new(ModelName::new("demo").expect("name"), ModelSource::Demo);
    for config in [config(SimConfig::default()), demo] {
        let engine = Engine::start(config).expect("start");
        let seeded = |seed: u64| {
            let mut job = job(&engine, "Tell me a story.", 40);
            job.sampling = Sampling { temperature: 1.2, top_p: 0.95, top_k: Some(50), seed: Some(seed) };
            job
        };
        let alone: Vec<Vec<u32>> = (0..4).map(|seed| run(&engine, seeded(seed)).ids).collect();
        let others: Vec<Generation> = (0..9)
            .map(|number| engine.submit(job(&engine, &"What? ".repeat(number * 7), 60)).expect("submit"))
            .collect();
        let together: Vec<Generation> =
            (0..4).map(|seed| engine.submit(seeded(seed)).expect("submit")).collect();
        let together: Vec<Vec<u32>> = together.into_iter().map(|generation| read(generation).ids).collect();
        others.into_iter().for_each(|generation| assert!(read(generation).tally.output_tokens.get() > 0));
        assert_eq!(alone, together);
        assert_ne!(alone[0], alone[1], "another seed, another text");
    }
}

#[test]
fn the_simulation_takes_the_time_it_is_told_to() {
    let engine = start(SimConfig { prefill_tokens_per_second: 1_000, ..slow(10) });
    let started_at = Instant::now();
    let mut generation = engine
        .submit({
            let mut job = job(&engine, &"x".repeat(100), 11);
            job.ignore_eos = true;
            job
        })
        .expect("submit");
    wait_for_token(&mut generation);
    assert!(started_at.elapsed() >= Duration::from_millis(100), "100 prompt tokens at 1,000 a second");
    read_tally(generation);
    assert!(started_at.elapsed() >= Duration::from_millis(200), "and ten decode steps of 10 ms");
}
