//! OpenAI's responses over models that run elsewhere: what the backend is asked, and what its answer becomes.
//! Never a real model: a server of the harness says, fails and hangs as each test tells it.
//! Run by `cargo xtask test`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::harness::{At, Behaviour, Front, Outcome, Wire, check_stated_record, stated_usage};

fn request(extra: &Value) -> Value {
    let mut request =
        json!({"model": "demo", "input": "What is the weather in Paris, and how late is it there?"});
    for (name, value) in extra.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    request
}

fn tools() -> Value {
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!([
        {"type": "function", "name": "weather", "description": "The weather.", "parameters": city, "strict": true},
        {"type": "function", "name": "clock", "parameters": {"type": "object"}},
    ])
}

fn client(front: &Front) -> Wire {
    front.server.wire(&front.key)
}

fn check_usage(usage: &Value) {
    let mut own = usage.clone();
    own.as_object_mut().map(|fields| fields.remove("tallygate"));
    let expected = json!({
        "input_tokens": 40, "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 0},
        "output_tokens": 12, "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 52,
    });
    assert_eq!(own, expected, "{usage}");
}

/// An item without its id, which differs each time.
fn without_id(item: &Value) -> Value {
    let mut item = item.clone();
    item.as_object_mut().map(|fields| fields.remove("id"));
    item
}

/// Each event by its kind, with all it brings but ids and numbers; of a whole response only its state.
fn told(events: &[Value]) -> Vec<(String, Value)> {
    let one = |(number, event): (usize, &Value)| {
        assert_eq!(event["sequence_number"], number, "{event}");
        let mut fields = event.clone();
        if let Some(map) = fields.as_object_mut() {
            map.retain(|name, _| !matches!(name.as_str(), "sequence_number" | "item_id" | "type"));
            if let Some(item) = map.get_mut("item") {
                *item = without_id(item);
            }
        }
        let kind = event["type"].as_str().unwrap_or_default().trim_start_matches("response.").to_owned();
        match event["response"]["status"].as_str() {
            Some(status) => (kind, json!(status)),
            None => (kind, fields),
        }
    };
    events.iter().enumerate().map(one).collect()
}

fn check_told(events: &[Value], expected: &[(&str, Value)]) {
    let expected: Vec<_> =
        expected.iter().map(|(kind, fields)| ((*kind).to_owned(), fields.clone())).collect();
    assert_eq!(told(events), expected);
}

fn call(index: u32, id: &str, name: &str, arguments: &str) -> Value {
    json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// Thinks, says a sentence and calls two tools; the calls come in these parts.
fn calling(parts: &[Value]) -> Behaviour {
    Behaviour {
        reasoning: vec!["Hm".to_owned()],
        texts: vec!["Let me see.".to_owned()],
        usage: Some(stated_usage()),
        ..Behaviour::calling(parts)
    }
}

fn both_calls() -> Value {
    json!([call(0, "call_1", "weather", "{\"city\": \"Paris\"}"), call(1, "call_2", "clock", "{}")])
}

/// The items of such an answer.
fn items() -> [Value; 4] {
    let text = json!({"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []});
    let thought = json!([{"type": "reasoning_text", "text": "Hm"}]);
    let called = |id: &str, name: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments, "status": "completed"});
    [
        json!({"type": "reasoning", "summary": [], "content": thought, "status": "completed"}),
        json!({"type": "message", "role": "assistant", "content": [text], "status": "completed"}),
        called("call_1", "weather", "{\"city\": \"Paris\"}"),
        called("call_2", "clock", "{}"),
    ]
}

fn output(response: &Value) -> Vec<Value> {
    response["output"].as_array().into_iter().flatten().map(without_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_has_an_item_for_each_thing() -> Outcome {
    let front = Front::start("").await?;
    front.upstream.behave(calling(&[both_calls()]));
    let png = "data:image/png;base64,AAAA";
    let asked = request(&json!({
        "instructions": "Be brief.", "max_output_tokens": 64, "temperature": 0.5,
        "input": [{"role": "user", "content": [
            {"type": "input_text", "text": "Look:"}, {"type": "input_image", "image_url": png, "detail": "low"},
        ]}],
        "tools": tools(), "tool_choice": {"type": "function", "name": "clock"}, "parallel_tool_calls": true,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "place", "schema": {"type": "object"}, "strict": true}},
    }));
    let whole = client(&front).post("/responses", &asked).await?;
    assert_eq!((whole.status.as_u16(), &whole.body["status"]), (200, &json!("completed")), "{}", whole.body);
    assert_eq!(output(&whole.body), items());
    check_usage(&whole.body["usage"]);
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let weather =
        json!({"name": "weather", "description": "The weather.", "parameters": city, "strict": true});
    let clock = json!({"name": "clock", "parameters": {"type": "object"}});
    let image = json!({"type": "image_url", "image_url": {"url": png, "detail": "low"}});
    let schema = json!({"name": "place", "schema": {"type": "object"}, "strict": true});
    let expected = json!({
        "model": "demo", "max_tokens": 64, "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, image]},
        ],
        "tools": [{"type": "function", "function": weather}, {"type": "function", "function": clock}],
        "tool_choice": {"type": "function", "function": {"name": "clock"}}, "parallel_tool_calls": true,
        "reasoning_effort": "low", "response_format": {"type": "json_schema", "json_schema": schema},
    });
    assert_eq!(front.upstream.last()?.json(), expected);
    check_stated_record(&front.records(1).await?[0]);
    Ok(())
}

/// The events of the thought, the sentence and the two calls.
fn events_of_calls() -> Vec<(&'static str, Value)> {
    let [thought, message, weather, clock] = items();
    let begun = |item: &Value, field: &str, empty: Value| {
        let mut item = item.clone();
        item["status"] = json!("in_progress");
        item[field] = empty;
        item
    };
    let item = |place: u32, item: Value| json!({"output_index": place, "item": item});
    let part = |place: u32, part: &Value| json!({"output_index": place, "content_index": 0, "part": part});
    let (hm, said) = (&thought["content"][0], &message["content"][0]);
    let silent = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
    let arguments = |place: u32, text: &str| json!({"output_index": place, "delta": text});
    let called =
        |place: u32, name: &str, text: &str| json!({"output_index": place, "name": name, "arguments": text});
    vec![
        ("created", json!("in_progress")),
        ("in_progress", json!("in_progress")),
        ("output_item.added", item(0, begun(&thought, "content", json!([])))),
        ("content_part.added", part(0, &json!({"type": "reasoning_text", "text": ""}))),
        ("reasoning_text.delta", json!({"output_index": 0, "content_index": 0, "delta": "Hm"})),
        ("reasoning_text.done", json!({"output_index": 0, "content_index": 0, "text": "Hm"})),
        ("content_part.done", part(0, hm)),
        ("output_item.done", item(0, thought.clone())),
        ("output_item.added", item(1, begun(&message, "content", json!([])))),
        ("content_part.added", part(1, &silent)),
        (
            "output_text.delta",
            json!({"output_index": 1, "content_index": 0, "delta": "Let me see.", "logprobs": []}),
        ),
        (
            "output_text.done",
            json!({"output_index": 1, "content_index": 0, "text": "Let me see.", "logprobs": []}),
        ),
        ("content_part.done", part(1, said)),
        ("output_item.done", item(1, message.clone())),
        ("output_item.added", item(2, begun(&weather, "arguments", json!("")))),
        ("function_call_arguments.delta", arguments(2, "{\"city\":")),
        ("function_call_arguments.delta", arguments(2, " \"Paris\"}")),
        ("function_call_arguments.done", called(2, "weather", "{\"city\": \"Paris\"}")),
        ("output_item.done", item(2, weather)),
        ("output_item.added", item(3, begun(&clock, "arguments", json!("")))),
        ("function_call_arguments.delta", arguments(3, "{}")),
        ("function_call_arguments.done", called(3, "clock", "{}")),
        ("output_item.done", item(3, clock)),
        ("completed", json!("completed")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_of_each_item_and_can_be_gone_on_with() -> Outcome {
    let front = Front::start("").await?;
    let piece = |arguments: &str| json!([{"index": 0, "function": {"arguments": arguments}}]);
    front.upstream.behave(calling(&[
        json!([call(0, "call_1", "weather", "")]),
        piece("{\"city\":"),
        piece(" \"Paris\"}"),
        json!([call(1, "call_2", "clock", "{}")]),
    ]));
    let wire = client(&front);
    let asked = request(&json!({"stream": true, "tools": tools(), "instructions": "Be brief."}));
    let stream = wire.text("/responses", &asked).await?;
    let events = stream.events()?;
    check_told(&events, &events_of_calls());
    for (event, lines) in events.iter().zip(stream.text.split_terminator("\n\n")) {
        let name = event["type"].as_str().unwrap_or_default();
        assert!(lines.starts_with(&format!("event: {name}\ndata: ")), "{lines}");
    }
    let response = &events[events.len() - 1]["response"];
    assert_eq!(output(response), items(), "the last event has all of it");
    check_usage(&response["usage"]);

    front
        .upstream
        .behave(Behaviour { usage: Some(stated_usage()), ..Behaviour::saying(&["Sunny, ", "at noon."]) });
    let result =
        |id: &str, output: Value| json!({"type": "function_call_output", "call_id": id, "output": output});
    let noon = json!([{"type": "input_text", "text": "noon"}]);
    let next = json!({
        "model": "demo", "previous_response_id": response["id"], "tools": tools(),
        "input": [result("call_1", json!("sunny")), result("call_2", noon)],
    });
    let second = wire.post("/responses", &next).await?;
    assert_eq!(second.body["output"][0]["content"][0]["text"], "Sunny, at noon.", "{}", second.body);
    let called = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    // What was instructed before holds for that answer alone, as OpenAI has it.
    let expected = json!([
        {"role": "user", "content": request(&json!({}))["input"]},
        {"role": "assistant", "content": "Let me see.",
            "tool_calls": [called("call_1", "weather", "{\"city\": \"Paris\"}"), called("call_2", "clock", "{}")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
    ]);
    assert_eq!(front.upstream.last()?.json()["messages"], expected);
    let records = front.records(2).await?;
    assert_eq!(records.len(), 2, "{records:?}");
    records.iter().for_each(check_stated_record);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_is_incomplete_and_says_why() -> Outcome {
    let front = Front::start("").await?;
    for (finish, reason) in [("length", "max_output_tokens"), ("content_filter", "content_filter")] {
        let cut = Behaviour { finish_reason: finish.to_owned(), ..Behaviour::saying(&["{\"city\""]) };
        front.upstream.behave(cut);
        let whole = client(&front).post("/responses", &request(&json!({}))).await?;
        let stream = client(&front).text("/responses", &request(&json!({"stream": true}))).await?;
        let last = stream.events()?.pop().unwrap_or_default();
        assert_eq!(last["type"], "response.incomplete", "{last}");
        for response in [&whole.body, &last["response"]] {
            let why = (&response["status"], &response["incomplete_details"]["reason"]);
            assert_eq!(why, (&json!("incomplete"), &json!(reason)), "{response}");
            let item = (&response["output"][0]["status"], &response["output"][0]["content"][0]["text"]);
            assert_eq!(item, (&json!("incomplete"), &json!("{\"city\"")), "{response}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_failed_and_forgotten() -> Outcome {
    let front = Front::start("idle_ms_max = 400\nhealth_interval_ms = 0\n").await?;
    let texts = ["a", "b", "c", "d"];
    for behaviour in [
        Behaviour { breaks: At::After(2), ..Behaviour::saying(&texts) },
        Behaviour { fails: At::After(2), ..Behaviour::saying(&texts) },
        Behaviour { hangs: At::After(2), ..Behaviour::saying(&texts) },
    ] {
        front.upstream.behave(Behaviour { gap: Duration::from_millis(5), ..behaviour });
        let stream = client(&front).text("/responses", &request(&json!({"stream": true}))).await?;
        let events = stream.events()?;
        let kinds: Vec<_> = told(&events).into_iter().map(|(kind, _)| kind).collect();
        let expected = [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "failed",
        ];
        assert_eq!(kinds, expected, "{}", stream.text);
        let response = &events[6]["response"];
        let error = &response["error"];
        assert_eq!(
            (&error["code"], &error["origin"]),
            (&json!("server_error"), &json!("backend")),
            "{error}"
        );
        assert!(!stream.text.contains("10.0.0.7"), "the backend's own words stay here: {error}");
        let path = format!("/responses/{}", response["id"].as_str().unwrap_or_default());
        assert_eq!(client(&front).bare(Method::GET, &path).await?.status, 404, "{path}");
    }
    for record in front.records(3).await? {
        // A charge of nothing is not written.
        let billed = (&record["reason"], &record["charge_nanos"]);
        assert_eq!(billed, (&json!("engine_error"), &Value::Null), "{record}");
    }
    Ok(())
}
