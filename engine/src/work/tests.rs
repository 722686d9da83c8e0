//! The engine's thread through the public door, on the simulated device.
//! Never sleeps to wait for a result: each test reads events until the end.
//! Run by `cargo test -p engine`.

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
