//! A whole answer: read, counted, and cut where its server went beyond the output bound, as a stream is cut.
//! Never touches a connection; what it makes is held back until the record is durable.
//! Called by the exchange for answers that are no streams.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    chunk::Chunk,
    reading::{Excess, Reading},
    refusal::{self, Refusal},
};
use crate::dispatch::{Content, Part, Relay, Tally, remote::RemoteTarget, splice::Fields};

/// A whole answer as the client is given it.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) parts: Vec<Part>,
    pub(super) tally: Tally,
    /// It went beyond the output bound.
    pub(super) is_cut: bool,
}

/// Reads a whole answer. One that goes beyond its bound is cut there and written anew: what was not admitted is neither
/// delivered nor billed.
///
/// Errors: it is no answer.
pub(super) fn whole(relay: Relay, mut reading: Reading, body: &Bytes) -> Result<Whole, Refusal> {
    let chunk = read(body)?;
    let Some(excess) = reading.excess_of(&chunk) else {
        let (parts, tally) = take(relay, &mut reading, chunk);
        let mut forwarded = reading.rewritten(body, true).map_or_else(|| body.clone(), Bytes::from);
        if !reading.is_stated() {
            forwarded = with_usage(forwarded, &tally);
        }
        return Ok(Whole { parts, tally: with(tally, relay, forwarded), is_cut: false });
    };
    let mut answer: Value = serde_json::from_slice(body).map_err(|_| Refusal::nonsense())?;
    for choice in answer.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        cut(choice, excess);
    }
    let chunk = read(answer.to_string().as_bytes())?;
    let (parts, tally) = take(relay, &mut reading, chunk);
    if let Some(object) = answer.as_object_mut() {
        object.insert("usage".to_owned(), usage_of(&tally));
    }
    let written = answer.to_string().into_bytes();
    let written = reading.rewritten(&written, true).unwrap_or(written);
    Ok(Whole { parts, tally: with(tally, relay, Bytes::from(written)), is_cut: true })
}

fn read(body: &[u8]) -> Result<Chunk, Refusal> {
    let chunk = Chunk::read(body).map_err(|_| Refusal::nonsense())?;
    if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
        return Err(refusal::of_event(error));
    }
    match chunk.is_answer() {
        true => Ok(chunk),
        false => Err(Refusal::nonsense()),
    }
}

/// Says in the log that a server does not keep to the bound.
pub(super) fn warn_of_cut(request_id: &str, target: &RemoteTarget) {
    tracing::warn!(
        request.id = request_id, backend = %target.remote.name, model = %target.model,
        "a backend went on beyond the output bound and was cut"
    );
}

/// Counts an answer.
fn take(relay: Relay, reading: &mut Reading, chunk: Chunk) -> (Vec<Part>, Tally) {
    let at = Instant::now();
    let gain = reading.take_whole(&chunk);
    reading.end_silent();
    let mut parts = vec![Part { content: Content::Nothing, tokens: gain.tokens, at }];
    let tally = reading.tally(None);
    if relay == Relay::Parse {
        parts.extend(chunk.into_deltas().into_iter().map(|(choice, delta)| Part {
            content: Content::Delta { choice, delta },
            tokens: 0,
            at,
        }));
    }
    (parts, tally)
}

fn with(mut tally: Tally, relay: Relay, body: Bytes) -> Tally {
    if matches!(relay, Relay::Forward { .. }) {
        tally.held_back.push(body);
    }
    tally
}

/// An answer without usage, with the usage that was counted; one that cannot be changed stays as it came.
fn with_usage(answer: Bytes, tally: &Tally) -> Bytes {
    let changed = Fields::read(&answer).and_then(|fields| {
        let mut splice = fields.splice();
        splice.set("usage", usage_of(tally).to_string().as_bytes())?;
        Ok(splice.finish())
    });
    changed.map_or(answer, Bytes::from)
}

/// What is billed, in OpenAI's form.
fn usage_of(tally: &Tally) -> Value {
    let (prompt, output) = (tally.prompt_tokens, tally.output_tokens);
    json!({
        "prompt_tokens": prompt, "completion_tokens": output,
        "total_tokens": prompt.get().saturating_add(output.get()),
        "prompt_tokens_details": {"cached_tokens": tally.cached_prompt_tokens},
        "completion_tokens_details": {"reasoning_tokens": tally.reasoning_tokens},
    })
}

/// Cuts a choice where its texts, in the order in which they count, have as many bytes as it may have.
fn cut(choice: &mut Value, excess: Excess) {
    let mut left = excess.bytes_max;
    let Some(choice) = choice.as_object_mut() else { return };
    let mut is_cut = choice.get_mut("text").is_some_and(|text| cut_text(text, &mut left));
    if let Some(message) = choice.get_mut("message") {
        is_cut |= cut_message(message, &mut left);
    }
    if is_cut {
        choice.insert("finish_reason".to_owned(), "length".into());
        // They belong to the text that came.
        if let Some(logprobs) = choice.get_mut("logprobs") {
            *logprobs = Value::Null;
        }
    }
}

fn cut_message(message: &mut Value, left: &mut usize) -> bool {
    let mut is_cut = false;
    // Reasoning that stands there twice counts once.
    let before = *left;
    for name in ["reasoning_content", "reasoning"] {
        let mut left_for_it = before;
        if let Some(text) = message.get_mut(name) {
            is_cut |= cut_text(text, &mut left_for_it);
        }
        *left = left_for_it.min(*left);
    }
    for name in ["content", "refusal"] {
        if let Some(text) = message.get_mut(name) {
            is_cut |= cut_text(text, left);
        }
    }
    let Some(message) = message.as_object_mut() else { return is_cut };
    if let Some(calls) = message.get_mut("tool_calls").and_then(Value::as_array_mut) {
        calls.retain_mut(|call| {
            let (is_kept, is_call_cut) = cut_call(call.get_mut("function"), left);
            is_cut |= is_call_cut;
            is_kept
        });
    }
    if message.contains_key("function_call") {
        let (is_kept, is_call_cut) = cut_call(message.get_mut("function_call"), left);
        is_cut |= is_call_cut;
        if !is_kept {
            message.remove("function_call");
        }
    }
    is_cut
}

/// A call whose name has no room is taken out, its arguments are cut like a text. Whether it is kept, and whether any
/// of it was cut.
fn cut_call(call: Option<&mut Value>, left: &mut usize) -> (bool, bool) {
    let Some(call) = call else { return (true, false) };
    let name = call.get("name").and_then(Value::as_str).map_or(0, str::len);
    let Some(after_name) = left.checked_sub(name).filter(|after| *after > 0) else {
        *left = 0;
        return (false, true);
    };
    *left = after_name;
    match call.get_mut("arguments") {
        Some(arguments @ Value::Object(_)) => {
            // Some servers give the object itself; half of one is none.
            let mut text = Value::String(arguments.to_string());
            let is_cut = cut_text(&mut text, left);
            if is_cut {
                *arguments = text;
            }
            (true, is_cut)
        }
        Some(arguments) => (true, cut_text(arguments, left)),
        None => (true, false),
    }
}

/// Cuts a text, or the texts of a list of parts. Whether it was longer.
fn cut_text(text: &mut Value, left: &mut usize) -> bool {
    match text {
        Value::String(text) => {
            let end = text.floor_char_boundary(*left);
            let is_cut = end < text.len();
            text.truncate(end);
            *left = if is_cut { 0 } else { *left - end };
            is_cut
        }
        Value::Array(parts) => {
            let mut is_cut = false;
            for part in parts {
                is_cut |= cut_text(part, left);
            }
            is_cut
        }
        Value::Object(part) => {
            let texts = ["thinking", "text"];
            let mut is_cut = false;
            for name in texts {
                if let Some(text) = part.get_mut(name) {
                    is_cut |= cut_text(text, left);
                }
            }
            is_cut
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{count::Counter, reading::Expectation},
        *,
    };
    use crate::dispatch::{Delta, Finish, Stop};

    /// At most 10 tokens of each of so many choices.
    fn reading(choices: u32) -> Reading {
        let expectation = Expectation {
            choices,
            output_tokens_max: 10,
            prompt_tokens: 10,
            prompt_tokens_max: 100,
            energy: Default::default(),
            model: "here".to_owned(),
            is_node: false,
            is_renamed: false,
            tier: None,
        };
        Reading::new(expectation, Counter::default())
    }

    fn says(content: &Value) -> Value {
        json!({"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"})
    }

    fn answer(choices: &[Value], output_tokens: Option<u64>) -> Value {
        let mut answer = json!({"id": "1", "choices": choices, "x": 1.5});
        if let Some(tokens) = output_tokens {
            answer["usage"] =
                json!({"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens});
        }
        answer
    }

    fn run(relay: Relay, choices: u32, answer: &Value) -> (Whole, Value) {
        let body = Bytes::from(answer.to_string());
        let mut whole = whole(relay, reading(choices), &body).expect("an answer");
        let forwarded = whole.tally.held_back.pop().unwrap_or_default();
        (whole, serde_json::from_slice(&forwarded).unwrap_or_default())
    }

    const FORWARD: Relay = Relay::Forward { include_usage: false };

    /// A text, the tokens that its server states, and how much of it is delivered and billed.
    fn check(text: &str, stated: Option<u64>, (bytes, tokens): (usize, u64)) {
        let sent = answer(&[says(&json!(text))], stated);
        let (whole, forwarded) = run(FORWARD, 1, &sent);
        assert_eq!(whole.tally.output_tokens.get(), tokens, "{stated:?}");
        assert_eq!(whole.parts.iter().map(|part| part.tokens).sum::<u64>(), tokens, "{stated:?}");
        assert_eq!(whole.is_cut, bytes < text.len());
        if !whole.is_cut {
            let mut expected = sent;
            if stated.is_none() {
                expected["usage"] = usage_of(&whole.tally);
            }
            assert_eq!(forwarded, expected, "as it came, with usage where there was none");
            return;
        }
        let choice = &forwarded["choices"][0];
        assert_eq!(choice["message"]["content"], text[..bytes], "{stated:?}");
        assert_eq!((&choice["finish_reason"], &forwarded["x"]), (&json!("length"), &json!(1.5)));
        assert_eq!(forwarded["usage"]["completion_tokens"], tokens);
        let prompt = whole.tally.prompt_tokens.get();
        assert_eq!(forwarded["usage"]["total_tokens"], prompt + tokens);
        assert_eq!(whole.tally.finish, Finish::Stopped(vec![Stop::Length]));
        assert_eq!(whole.tally.usage_source, domain::UsageSource::Estimated);
    }

    #[test]
    fn a_whole_answer_is_cut_at_its_bound() {
        let text = "word ".repeat(200);
        // A tenth of a token's bytes for each of ten tokens.
        check(&text, Some(200), (50, 10));
        check(&text, Some(1_000), (10, 10));
        check(&text, Some(12), (834, 10));
        // As many as allowed, and the one that ends a text, which some servers count.
        check(&text, Some(10), (1_000, 10));
        check(&text, Some(11), (1_000, 10));
        // Nobody says how many: only what no vocabulary has room for is beyond it.
        check(&text, None, (1_000, 10));
        check(&"w".repeat(2_561), None, (2_560, 10));
        check(&"w".repeat(2_560), None, (2_560, 10));
        // A text has no more tokens than bytes, whatever is stated.
        check("12345678", Some(900), (8, 10));
        // Never within a letter.
        check(&"é".repeat(100), Some(100), (20, 10));
        check(&"🦊".repeat(100), Some(130), (28, 10));
    }

    #[test]
    fn all_that_an_answer_says_counts_in_its_order() {
        let text = "t".repeat(100);
        let function =
            |arguments: Value| json!({"id": "c", "function": {"name": "f", "arguments": arguments}});
        // A message whose texts have 200 bytes, said to be 40 tokens; expected: what is left of it in 50 bytes.
        let rows = [
            (
                json!({"reasoning": text, "reasoning_content": text, "content": text}),
                json!({"reasoning": text[..50], "reasoning_content": text[..50], "content": ""}),
            ),
            (
                json!({"content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": text}]}, {"type": "text", "text": text},
                ]}),
                json!({"content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": text[..50]}]},
                    {"type": "text", "text": ""},
                ]}),
            ),
            (
                json!({"content": null, "tool_calls": [
                    function(json!("a".repeat(30))), function(json!("a".repeat(167))), function(json!("")),
                ]}),
                json!({"content": null, "tool_calls": [
                    function(json!("a".repeat(30))), function(json!("a".repeat(18))),
                ]}),
            ),
            (
                json!({"content": "t".repeat(49), "function_call": {"name": "f".repeat(151), "arguments": ""}}),
                json!({"content": "t".repeat(49)}),
            ),
        ];
        for (message, expected) in rows {
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": [1]}});
            let (whole, forwarded) = run(FORWARD, 1, &answer(&[choice], Some(40)));
            assert!(whole.is_cut);
            assert_eq!(forwarded["choices"][0]["message"], expected);
            assert_eq!(forwarded["choices"][0]["logprobs"], Value::Null);
        }
    }

    #[test]
    fn each_choice_has_its_own_bound_and_other_dialects_too() {
        let long = "t".repeat(90);
        let choice = |index: u32, text: &str| json!({"index": index, "text": text, "finish_reason": "stop"});
        let sent = answer(&[choice(0, &long), choice(1, "short")], Some(95));
        let (whole, forwarded) = run(FORWARD, 2, &sent);
        assert_eq!(
            forwarded["choices"],
            json!([
                {"index": 0, "text": long[..10], "finish_reason": "length"}, choice(1, "short"),
            ])
        );
        assert_eq!(whole.tally.output_tokens.get(), 20);
        let (whole, _) = run(Relay::Parse, 1, &answer(&[says(&json!(long))], Some(90)));
        let deltas: Vec<_> = whole.parts.iter().filter(|part| part.content != Content::Nothing).collect();
        let [Part { content: Content::Delta { delta: Delta::Text(text), .. }, .. }] = deltas.as_slice()
        else {
            panic!("{deltas:?}")
        };
        assert_eq!((text.len(), whole.tally.finish), (10, Finish::Stopped(vec![Stop::Length])));
    }

    #[test]
    fn reasoning_that_is_not_shown_is_not_taken_for_text() {
        let mut sent = answer(&[says(&json!("t".repeat(40)))], Some(19));
        sent["usage"]["completion_tokens_details"] = json!({"reasoning_tokens": 9});
        let (whole, _) = run(FORWARD, 1, &sent);
        assert!(!whole.is_cut, "ten tokens of text");
        assert_eq!(whole.tally.output_tokens.get(), 10, "no more than was held");
        for body in ["", "[]", "{}", r#"{"choices":7}"#, r#"{"error":{"message":"no"},"choices":[]}"#] {
            assert!(
                super::whole(FORWARD, reading(1), &Bytes::from_static(body.as_bytes())).is_err(),
                "{body}"
            );
        }
    }
}
