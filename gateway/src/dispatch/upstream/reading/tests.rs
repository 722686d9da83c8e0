//! What is made of chunks: tokens told, usage believed or not, ends by choice, energy from a node or a model.
//! Never a connection; chunks are values.
//! Run by `cargo test -p gateway`.

use domain::EnergySource;
use serde_json::{Value, json};

use super::*;

fn reading(choices: u32, output_tokens_max: u32) -> Reading {
    let energy = (TokenEnergy::default(), "0.5".parse().expect("a figure"));
    let expectation = Expectation {
        choices,
        output_tokens_max,
        prompt_tokens: 10,
        prompt_tokens_max: 100,
        energy,
        model: "m".to_owned(),
        is_node: false,
        is_renamed: false,
        tier: None,
    };
    Reading::new(expectation, Counter::default())
}

fn chunk(value: &Value) -> Chunk {
    Chunk::read(value.to_string().as_bytes()).expect("an object")
}

fn text(text: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": text}}]})
}

fn last(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn usage(prompt: u64, output: u64) -> Value {
    json!({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": output}})
}

/// Chunks of an answer of at most 5 tokens; expected: tokens told, prompt and output of the tally, its source.
fn check(chunks: &[Value], expected: (&[u64], u64, u64, UsageSource)) {
    let mut reading = reading(1, 5);
    let mut told: Vec<_> = chunks.iter().map(|value| reading.take(&chunk(value)).tokens).collect();
    told.push(reading.rest());
    let tally = reading.tally(None);
    let found = (told.as_slice(), tally.prompt_tokens.get(), tally.output_tokens.get(), tally.usage_source);
    assert_eq!(found, expected, "{chunks:?}");
    assert!(told.iter().sum::<u64>() >= tally.output_tokens.get(), "{chunks:?}");
}

#[test]
fn stated_usage_counts_and_else_the_text() {
    use UsageSource::{Estimated, Upstream};
    check(&[], (&[0], 10, 0, Estimated));
    check(&[text("abcd"), text("efgh"), last("stop")], (&[1, 1, 0, 0], 10, 2, Estimated));
    check(&[text("abcd"), text("e"), last("stop"), usage(7, 3)], (&[1, 1, 0, 1, 0], 7, 3, Upstream));
    // Fewer than the text looked like: what is billed is what was stated.
    check(&[text("abcdefghi"), last("stop"), usage(7, 1)], (&[3, 0, 0, 0], 7, 1, Upstream));
    // More than was allowed, or no figure at all.
    check(&[text("abcd"), last("stop"), usage(7, 9)], (&[1, 0, 4, 0], 7, 5, Estimated));
    check(&[text("abcd"), usage(700, 1)], (&[1, 0, 0], 100, 1, Estimated));
    let no_prompt = json!({"choices": [], "usage": {"completion_tokens": 2}});
    check(&[text("abcd"), no_prompt], (&[1, 1, 0], 10, 2, Estimated));
    // Usage with every chunk: exact until the next text.
    let mut with_usage = text("abcd");
    with_usage["usage"] = json!({"prompt_tokens": 7, "completion_tokens": 2});
    check(&[with_usage.clone()], (&[2, 0], 7, 2, Upstream));
    check(&[with_usage, text("abcdefghijkl")], (&[2, 2, 0], 7, 4, Estimated));
}

#[test]
fn answers_beyond_their_bound_are_noticed() {
    let mut one_a_chunk = reading(1, 3);
    let gains: Vec<_> = (0..5).map(|_| one_a_chunk.take(&chunk(&text("a"))).is_too_much).collect();
    assert_eq!(gains, [false, false, false, true, true]);
    assert_eq!(one_a_chunk.tally(None).output_tokens.get(), 1, "three letters are a token");
    let mut all_at_once = reading(1, 3);
    assert!(!all_at_once.take(&chunk(&text(&"a".repeat(768)))).is_too_much);
    assert!(all_at_once.take(&chunk(&text("a"))).is_too_much);
    let other = json!({"choices": [{"index": 1, "text": "a"}]});
    let mut two = reading(2, 1);
    assert!(!two.take(&chunk(&text("a"))).is_too_much);
    assert!(!two.take(&chunk(&other)).is_too_much, "each choice has its own bound");
    assert!(two.take(&chunk(&other)).is_too_much);
    // Choices that nobody asked for count for the last.
    let mut one = reading(1, 1);
    assert!(!one.take(&chunk(&text("a"))).is_too_much);
    assert!(one.take(&chunk(&json!({"choices": [{"index": 7, "text": "a"}]}))).is_too_much);
}

#[test]
fn ends_are_kept_by_choice() {
    let mut two = reading(2, 9);
    two.take(&chunk(&last("length")));
    assert!(!two.is_ended());
    assert_eq!(two.unended(), [1]);
    two.end_silent();
    assert!(two.is_ended());
    assert_eq!(two.tally(None).finish, Finish::Stopped(vec![Stop::Length, Stop::Done]));
    let mut cut = reading(1, 9);
    cut.end_cut();
    assert_eq!(cut.tally(None).finish, Finish::Stopped(vec![Stop::Length]));
    assert_eq!(reading(1, 9).tally(Some(Finish::Cancelled)).finish, Finish::Cancelled);
}

#[test]
fn energy_is_believed_of_a_node_and_of_nobody_else() {
    let mut last = usage(7, 3);
    last["usage"]["energy_mj"] = json!(900);
    last["usage"]["energy_source"] = json!("rapl");
    last["usage"]["queue_us"] = json!(50);
    let rows = [
        (false, 2, EnergySource::Modelled, 0, UsageSource::Upstream),
        (true, 900, EnergySource::Rapl, 50, UsageSource::Engine),
    ];
    for (is_node, energy, energy_source, queue, source) in rows {
        let mut reading = reading(1, 9);
        reading.expectation.is_node = is_node;
        reading.take(&chunk(&text("abcdefgh")));
        reading.take(&chunk(&last));
        let tally = reading.tally(None);
        let found = (tally.energy.get(), tally.energy_source, tally.queue.get(), tally.usage_source);
        assert_eq!(found, (energy, energy_source, queue, source), "{is_node}");
    }
    // A node that was cut off has stated its tokens with the last of them, and no energy.
    let mut cut = reading(1, 9);
    cut.expectation.is_node = true;
    let mut with_usage = text("abcdefgh");
    with_usage["usage"] = json!({"prompt_tokens": 7, "completion_tokens": 1});
    cut.take(&chunk(&with_usage));
    let tally = cut.tally(Some(Finish::Cancelled));
    assert_eq!((tally.output_tokens.get(), tally.energy.get()), (1, 1), "modelled");
    assert_eq!((tally.energy_source, tally.usage_source), (EnergySource::Modelled, UsageSource::Engine));
}

#[test]
fn text_that_a_node_held_back_is_not_too_much() {
    let mut node = reading(1, 1);
    node.expectation.is_node = true;
    let gains: Vec<_> = (0..3).map(|_| node.take(&chunk(&text("a"))).is_too_much).collect();
    assert_eq!(gains, [false, false, false]);
    assert!(node.take(&chunk(&text(&"a".repeat(256)))).is_too_much, "more than a token can have");
}

#[test]
fn energy_is_modelled_from_tokens() {
    let mut reading = reading(1, 9);
    reading.take(&chunk(&usage(7, 3)));
    assert_eq!(reading.tally(None).energy.get(), 2, "three halves, a half rounded up");
}
