//! Streams of upstreams, good and bad, and what a client is given of them.
//! Never a connection: only what `StreamRelay` makes of events.
//! Run by `cargo test -p gateway`.

use serde_json::{Value, json};

use super::*;
use crate::dispatch::{
    Stop, ToolCallDelta,
    sse::SseParser,
    upstream::{count::Counter, reading::Expectation},
};

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What was sent at once.
    sent: Vec<String>,
    /// What was held back.
    held_back: Vec<String>,
    /// The last step.
    step: &'static str,
    finish: Finish,
}

fn relay(relay: Relay, choices: u32, name_there: Option<&str>) -> StreamRelay {
    relay_in(None, relay, choices, name_there)
}

fn relay_in(tier: Option<&'static str>, relay: Relay, choices: u32, name_there: Option<&str>) -> StreamRelay {
    let expectation = Expectation {
        choices,
        output_tokens_max: 3,
        prompt_tokens: 10,
        prompt_tokens_max: 100,
        energy: Default::default(),
        model: "here".to_owned(),
        is_node: false,
        is_renamed: name_there.is_some(),
        tier,
    };
    StreamRelay::new(relay, Reading::new(expectation, Counter::default()))
}

fn run(mut relay: StreamRelay, stream: &str) -> (Outcome, Vec<Delta>) {
    let mut parser = SseParser::default();
    parser.push(stream.as_bytes());
    let (mut parts, at) = (Vec::new(), Instant::now());
    let mut step = Step::More;
    while step == Step::More {
        match parser.next_event().expect("short") {
            Some(event) => step = relay.take(&event, at, &mut parts),
            None => break,
        }
    }
    let (step, finish) = match step {
        Step::More if relay.is_whole() => ("whole", None),
        Step::More => ("broken", Some(Finish::Failed)),
        Step::Whole => ("whole", None),
        Step::Cut => {
            relay.cut();
            ("cut", None)
        }
        Step::Failed(_) => ("failed", Some(Finish::Failed)),
    };
    let tally = relay.finish(finish, &mut parts);
    let (mut sent, mut deltas) = (Vec::new(), Vec::new());
    for part in parts {
        match part.content {
            Content::Event(bytes) => sent.push(String::from_utf8(bytes.to_vec()).expect("text")),
            Content::Delta { delta, .. } => deltas.push(delta),
            Content::Nothing => {}
        }
    }
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    let held_back = tally.held_back.iter().map(text).collect();
    (Outcome { sent, held_back, step, finish: tally.finish }, deltas)
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn text(text: &str) -> String {
    event(
        &json!({"id": "1", "created": 5, "model": "there", "choices": [{"index": 0, "delta": {"content": text}}]}),
    )
}

fn last() -> String {
    event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": null}))
}

fn usage() -> String {
    event(&json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}))
}

const DONE_EVENT: &str = "data: [DONE]\n\n";
const WITHOUT_USAGE: Relay = Relay::Forward { include_usage: false };
const WITH_USAGE: Relay = Relay::Forward { include_usage: true };

/// A stream; expected: how many events are sent at once, how many are held back, and how it ends.
fn check(mode: Relay, events: &[&str], sent: usize, held_back: &[&str], step: &str) {
    let (outcome, _) = run(relay(mode, 1, None), &events.concat());
    assert_eq!(outcome.sent, events[..sent], "{events:?}");
    assert_eq!(outcome.held_back, held_back, "{events:?}");
    assert_eq!(outcome.step, step, "{events:?}");
}

#[test]
fn the_end_waits_for_the_record() {
    let (a, last, usage) = (text("a"), last(), usage());
    check(WITHOUT_USAGE, &[&a, &last, &usage, DONE_EVENT], 1, &[&last, DONE_EVENT], "whole");
    check(WITH_USAGE, &[&a, &last, &usage, DONE_EVENT], 1, &[&last, &usage, DONE_EVENT], "whole");
    check(WITHOUT_USAGE, &[&a, &last, DONE_EVENT], 1, &[&last, DONE_EVENT], "whole");
    check(WITHOUT_USAGE, &[&a, DONE_EVENT], 1, &[DONE_EVENT], "whole");
    // What the upstream leaves out is added.
    check(WITHOUT_USAGE, &[&a, &last], 1, &[&last, DONE_EVENT], "whole");
    check(WITHOUT_USAGE, &[&last], 0, &[&last, DONE_EVENT], "whole");
    let done = "data:[DONE]\r\n\r\n";
    check(WITHOUT_USAGE, &[&a, &last, done], 1, &[&last, done], "whole");
}

#[test]
fn usage_that_was_asked_for_comes_whoever_counted() {
    let (outcome, _) =
        run(relay(WITH_USAGE, 1, None), &[text("abcde"), last(), DONE_EVENT.to_owned()].concat());
    let [_, own, done] = outcome.held_back.as_slice() else { panic!("{outcome:?}") };
    let own: Value = serde_json::from_str(own.trim_start_matches("data: ")).expect("json");
    assert_eq!((&own["choices"], &own["model"], &own["id"]), (&json!([]), &json!("here"), &json!("1")));
    assert_eq!(own["usage"]["completion_tokens"], 2);
    assert_eq!(done, DONE_EVENT);
}

#[test]
fn usage_beside_text_comes_only_where_it_was_asked_for() {
    let part = |usage: &str, rest: &str| {
        format!("data: {{\"x\": 1.50{usage}, \"choices\":[{{\"index\":0,{rest}}}]}}\n\n")
    };
    let stated = ", \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 2}";
    let (says, ends) = ("\"delta\":{\"content\":\"a\"}", "\"delta\":{},\"finish_reason\":\"stop\"");
    let events = [part(stated, says), part(stated, ends)];
    let (outcome, _) = run(relay(WITH_USAGE, 1, None), &events.concat());
    assert_eq!((outcome.sent.as_slice(), outcome.held_back[0].as_str()), (&events[..1], events[1].as_str()));
    let (outcome, _) = run(relay(WITHOUT_USAGE, 1, None), &events.concat());
    assert_eq!(outcome.sent, [part("", says)]);
    assert_eq!(outcome.held_back, [part("", ends).as_str(), DONE_EVENT]);
    // Null is none.
    let null = part(", \"usage\": null", says);
    let (outcome, _) = run(relay(WITHOUT_USAGE, 1, None), &null);
    assert_eq!(outcome.sent, [null]);
}

#[test]
fn streams_that_end_early_are_not_whole() {
    let a = text("a");
    check(WITHOUT_USAGE, &[], 0, &[], "broken");
    check(WITHOUT_USAGE, &[&a], 1, &[], "broken");
    check(WITHOUT_USAGE, &[&a, ": bye\n\n"], 2, &[], "broken");
    check(WITHOUT_USAGE, &[&a, "data: {\"error\":{\"message\":\"x\"}}\n\n"], 1, &[], "failed");
    check(WITHOUT_USAGE, &[&a, "data: {\n\n"], 1, &[], "failed");
    check(WITHOUT_USAGE, &[&a, "data: []\n\n"], 1, &[], "failed");
    check(WITHOUT_USAGE, &["data: <html>\n\n"], 0, &[], "failed");
    // Errors that are named and have no field of that name.
    check(WITHOUT_USAGE, &[&a, "event: error\ndata: {\"message\":\"x\"}\n\n", DONE_EVENT], 1, &[], "failed");
    check(WITHOUT_USAGE, &[&a, "event: error\ndata: out of memory\n\n", DONE_EVENT], 1, &[], "failed");
    check(
        WITHOUT_USAGE,
        &[&a, "data: {\"object\":\"error\",\"code\":500}\n\n", DONE_EVENT],
        1,
        &[],
        "failed",
    );
}

#[test]
fn signs_of_life_commit_to_nothing() {
    let (a, last) = (text("a"), last());
    let (outcome, _) = run(relay(WITHOUT_USAGE, 1, None), &[": wait\n\n", &a, ": wait\n\n", &last].concat());
    assert_eq!(outcome.sent, [a.as_str(), ": wait\n\n"], "none before the first event");
}

#[test]
fn answers_beyond_the_bound_get_an_end_of_ours() {
    let events: Vec<_> = ["a", "b", "c", "d", "e"].map(text).to_vec();
    let (outcome, _) = run(relay(WITHOUT_USAGE, 1, None), &events.concat());
    assert_eq!((outcome.sent.len(), outcome.step), (3, "cut"));
    assert_eq!(outcome.finish, Finish::Stopped(vec![Stop::Length]));
    let [own, done] = outcome.held_back.as_slice() else { panic!("{outcome:?}") };
    let own: Value = serde_json::from_str(own.trim_start_matches("data: ")).expect("json");
    assert_eq!((&own["choices"][0]["finish_reason"], &own["created"]), (&json!("length"), &json!(5)));
    assert_eq!(done, DONE_EVENT);
    let (outcome, deltas) = run(relay(Relay::Parse, 1, None), &events.concat());
    assert_eq!((deltas.len(), outcome.held_back.len(), outcome.step), (3, 0, "cut"));
}

#[test]
fn only_the_end_of_the_last_choice_is_held_back() {
    let choice = |index: u32, reason: &Value| {
        event(&json!({"choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": reason}]}))
    };
    let (open, stop) = (json!(null), json!("stop"));
    let events = [choice(0, &open), choice(1, &open), choice(1, &stop), choice(0, &open), choice(0, &stop)];
    let (outcome, _) = run(relay(WITHOUT_USAGE, 2, None), &events.concat());
    assert_eq!(outcome.sent, events[..4]);
    assert_eq!(outcome.held_back, [events[4].as_str(), DONE_EVENT]);
    assert_eq!(outcome.finish, Finish::Stopped(vec![Stop::Done, Stop::Done]));
}

#[test]
fn the_name_there_is_replaced_and_nothing_else() {
    let spaced = "id: 7\ndata: {\"model\" : \"there\", \"x\": 1.50, \"choices\":[{\"index\":0}]}\n\n";
    let (outcome, _) = run(relay(WITHOUT_USAGE, 1, Some("there")), spaced);
    let changed = "data: {\"model\" : \"here\", \"x\": 1.50, \"choices\":[{\"index\":0}]}\n\n";
    assert_eq!(outcome.sent, [changed]);
    let (outcome, _) = run(relay(WITHOUT_USAGE, 1, None), spaced);
    assert_eq!(outcome.sent, [spaced]);
}

#[test]
fn the_tier_served_is_told_in_the_place_of_another_and_at_the_end() {
    let told = |tier: &str| {
        format!(
            "data: {{\"x\": 1.50,\"service_tier\":{tier},\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}\n\n"
        )
    };
    let ended = |more: &str| format!("data: {{\"choices\":[{{\"finish_reason\":\"stop\"}}]{more}}}\n\n");
    let events = [told("\"default\""), told("null"), text("b"), ended("")];
    let (outcome, _) = run(relay_in(Some("flex"), WITHOUT_USAGE, 1, None), &events.concat());
    assert_eq!(outcome.sent, [told("\"flex\""), told("null"), text("b")]);
    assert_eq!(outcome.held_back, [ended(",\"service_tier\":\"flex\"").as_str(), DONE_EVENT]);
    let (outcome, _) =
        run(relay_in(Some("flex"), WITHOUT_USAGE, 1, None), &["a", "b", "c", "d"].map(text).concat());
    assert!(outcome.held_back[0].contains("\"service_tier\":\"flex\""), "{outcome:?}");
}

#[test]
fn deltas_are_parsed_for_other_dialects() {
    let events = [text("a"), event(&json!({"choices": [{"delta": {"reasoning": "r"}}]})), last(), usage()];
    let (outcome, deltas) = run(relay(Relay::Parse, 1, None), &events.concat());
    assert_eq!(deltas, [Delta::Text("a".to_owned()), Delta::Reasoning("r".to_owned())]);
    assert_eq!((outcome.sent.len(), outcome.held_back.len(), outcome.step), (0, 0, "whole"));
}

#[test]
fn calls_that_share_a_number_stay_two() {
    let part = |call: Value| event(&json!({"choices": [{"delta": {"tool_calls": [call]}}]}));
    let call =
        |id: &str| part(json!({"index": 0, "id": id, "function": {"name": "f", "arguments": {"n": 1}}}));
    let (_, deltas) = run(relay(Relay::Parse, 1, None), &[call("a"), call("b")].concat());
    let expected = |index, id: &str| {
        let (id, name) = (Some(id.to_owned()), Some("f".to_owned()));
        Delta::ToolCall(ToolCallDelta { index, id, name, arguments: r#"{"n":1}"#.to_owned() })
    };
    assert_eq!(deltas, [expected(0, "a"), expected(1, "b")]);
}
