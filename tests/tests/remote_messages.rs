//! Anthropic's messages over models that run elsewhere: what the backend is asked, and what its answer becomes.
//! Never a real model: a server of the harness says, fails and hangs as each test tells it.
//! Run by `cargo xtask test`.

use std::time::Duration;

use serde_json::{Value, json};
use tests::harness::{At, Behaviour, Event, Front, Messages, Outcome, check_stated_record, stated_usage};

/// The backend is given up after a short silence, and never probed.
const QUICK: &str = "first_token_ms_max = 400\nidle_ms_max = 400\nhealth_interval_ms = 0\n";

fn request(extra: &Value) -> Value {
    let mut request = json!({
        "model": "demo", "max_tokens": 64,
        "messages": [{"role": "user", "content": "What is the weather in Paris, and how late is it there?"}],
    });
    for (name, value) in extra.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    request
}

fn tools() -> Value {
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!([
        {"name": "weather", "description": "The weather in a city.", "input_schema": city, "strict": true},
        {"name": "clock", "input_schema": {"type": "object"}},
    ])
}

/// What the backend states, in Anthropic's form.
fn check_usage(usage: &Value) {
    let mut own = usage.clone();
    own.as_object_mut().map(|fields| fields.remove("tallygate"));
    let expected = json!({
        "input_tokens": 24, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 16, "output_tokens": 12,
        "output_tokens_details": {"thinking_tokens": 5}, "service_tier": "priority",
    });
    assert_eq!(own, expected, "{usage}");
}

fn client(front: &Front) -> Messages {
    front.server.messages(&front.key)
}

/// An event without what differs each time: its name, its place, and what it brings.
fn told(event: &Event) -> (&str, Value) {
    let data = &event.data;
    assert_eq!(data["type"], event.name, "{event:?}");
    let brought = match event.name.as_str() {
        "content_block_start" => json!([data["index"], data["content_block"]]),
        "content_block_delta" => json!([data["index"], data["delta"]]),
        "content_block_stop" => data["index"].clone(),
        "message_delta" => data["delta"].clone(),
        "error" => data["error"]["type"].clone(),
        _ => Value::Null,
    };
    (event.name.as_str(), brought)
}

fn check_events(events: &[Event], expected: &[(&str, Value)]) {
    let found: Vec<_> = events.iter().map(told).collect();
    assert_eq!(found, expected);
    let start = &events[0].data["message"];
    let begun = [&start["type"], &start["role"], &start["model"], &start["content"], &start["stop_reason"]];
    assert_eq!(json!(begun), json!(["message", "assistant", "demo", [], null]), "{start}");
}

fn text_block(place: u32) -> (&'static str, Value) {
    ("content_block_start", json!([place, {"type": "text", "text": ""}]))
}

fn text(place: u32, text: &str) -> (&'static str, Value) {
    ("content_block_delta", json!([place, {"type": "text_delta", "text": text}]))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_tools_become_blocks() -> Outcome {
    let front = Front::start("").await?;
    let call = |index: u32, id: &str, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        json!({"index": index, "id": id, "type": "function", "function": function})
    };
    let piece = |index: u32, arguments: &str| json!([{"index": index, "function": {"arguments": arguments}}]);
    let saying = |calls: &[Value]| Behaviour {
        texts: vec!["Let me see.".to_owned()],
        usage: Some(stated_usage()),
        ..Behaviour::calling(calls)
    };
    let (weather, clock) =
        (call(0, "call_1", "weather", "{\"city\": \"Paris\"}"), call(1, "call_2", "clock", ""));
    front.upstream.behave(saying(&[json!([weather, clock])]));
    let asked = request(&json!({"tools": tools(), "tool_choice": {"type": "any"}}));
    let whole = client(&front).send("/messages", &asked).await?;
    assert_eq!(whole.status, 200, "{}", whole.body);
    let expected = json!([
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "call_2", "name": "clock", "input": {}},
    ]);
    assert_eq!((&whole.body["content"], &whole.body["stop_reason"]), (&expected, &json!("tool_use")));
    check_usage(&whole.body["usage"]);

    front.upstream.behave(saying(&[
        json!([call(0, "call_1", "weather", "")]),
        piece(0, "{\"city\":"),
        piece(0, " \"Paris\"}"),
        json!([call(1, "call_2", "clock", "")]),
        piece(1, "{}"),
    ]));
    let events = client(&front).stream(&asked).await?.finish().await?;
    let begin = |name: &str, id: &str| json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    let part = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let expected = [
        ("message_start", Value::Null),
        text_block(0),
        ("ping", Value::Null),
        text(0, "Let me see."),
        ("content_block_stop", json!(0)),
        ("content_block_start", json!([1, begin("weather", "call_1")])),
        ("content_block_delta", json!([1, part("{\"city\":")])),
        ("content_block_delta", json!([1, part(" \"Paris\"}")])),
        ("content_block_stop", json!(1)),
        ("content_block_start", json!([2, begin("clock", "call_2")])),
        ("content_block_delta", json!([2, part("{}")])),
        ("content_block_stop", json!(2)),
        ("message_delta", json!({"stop_reason": "tool_use", "stop_sequence": null})),
        ("message_stop", Value::Null),
    ];
    check_events(&events, &expected);
    check_usage(&events[events.len() - 2].data["usage"]);
    let records = front.records(2).await?;
    assert_eq!(records.len(), 2, "{records:?}");
    records.iter().for_each(check_stated_record);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_reaches_the_backend_whole() -> Outcome {
    let front = Front::start("").await?;
    let shown = json!({"type": "image", "source": {"type": "url", "url": "https://example.com/y.png"}});
    let png = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    let asked = request(&json!({
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image", "source": png}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I ask."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "call_2", "name": "clock", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
                {"type": "tool_result", "tool_use_id": "call_2", "is_error": true,
                    "content": [{"type": "text", "text": "noon"}, shown]},
                {"type": "text", "text": "So?"},
            ]},
        ],
        "tools": tools(), "tool_choice": {"type": "tool", "name": "clock", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "stop_sequences": ["END"], "temperature": 0.5, "top_p": 0.9, "top_k": 7, "metadata": {"user_id": "u"},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    }));
    let answer = client(&front).send("/messages", &asked).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let schema = json!({"name": "output", "schema": {"type": "object"}, "strict": true});
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let weather = json!({"name": "weather", "description": "The weather in a city.", "parameters": city, "strict": true});
    let clock = json!({"name": "clock", "parameters": {"type": "object"}});
    let expected = json!({
        "model": "demo", "max_tokens": 64, "stop": ["END"], "temperature": 0.5, "top_p": 0.9, "top_k": 7, "user": "u",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, image("data:image/png;base64,AAAA")]},
            {"role": "assistant", "content": "I ask.",
                "tool_calls": [call("call_1", "weather", "{\"city\":\"Paris\"}"), call("call_2", "clock", "{}")]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
            {"role": "user", "content": [image("https://example.com/y.png"), {"type": "text", "text": "So?"}]},
        ],
        "tools": [{"type": "function", "function": weather}, {"type": "function", "function": clock}],
        "tool_choice": {"type": "function", "function": {"name": "clock"}}, "parallel_tool_calls": false,
        "reasoning_effort": "low", "response_format": {"type": "json_schema", "json_schema": schema},
    });
    assert_eq!(front.upstream.last()?.json(), expected);
    let count = json!({"model": "demo", "messages": asked["messages"], "system": asked["system"]});
    let counted = client(&front).send("/messages/count_tokens", &count).await?;
    assert!(counted.body["input_tokens"].as_u64().is_some_and(|count| count > 10), "{}", counted.body);
    assert_eq!(front.upstream.seen().len(), 1, "a count asks nobody");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn thoughts_are_shown_to_whom_asked_and_billed_to_all() -> Outcome {
    let front = Front::start("").await?;
    let reasoning = vec!["Hm".to_owned(), ", well.".to_owned()];
    front.upstream.behave(Behaviour {
        reasoning,
        usage: Some(stated_usage()),
        ..Behaviour::saying(&["Yes."])
    });
    let said = json!({"type": "text", "text": "Yes."});
    let thought = json!({"type": "thinking", "thinking": "Hm, well.", "signature": ""});
    let (plain, thinking) = (request(&json!({})), request(&json!({"thinking": {"type": "adaptive"}})));
    for (asked, expected) in [(&plain, json!([said])), (&thinking, json!([thought, said]))] {
        let whole = client(&front).send("/messages", asked).await?;
        assert_eq!((&whole.body["content"], &whole.body["stop_reason"]), (&expected, &json!("end_turn")));
        check_usage(&whole.body["usage"]);
    }
    let think =
        |text: &str| ("content_block_delta", json!([0, {"type": "thinking_delta", "thinking": text}]));
    let last = |place: u32| {
        [
            ("content_block_stop", json!(place)),
            ("message_delta", json!({"stop_reason": "end_turn", "stop_sequence": null})),
            ("message_stop", Value::Null),
        ]
    };
    let (start, ping) = (("message_start", Value::Null), ("ping", Value::Null));
    let block = json!({"type": "thinking", "thinking": "", "signature": ""});
    let begun = ("content_block_start", json!([0, block]));
    let shown = [
        vec![start.clone(), begun, ping.clone(), think("Hm"), think(", well.")],
        vec![("content_block_stop", json!(0)), text_block(1), text(1, "Yes.")],
        last(1).to_vec(),
    ];
    let hidden = [vec![start, text_block(0), ping, text(0, "Yes.")], last(0).to_vec()];
    for (asked, expected) in [(&plain, hidden.concat()), (&thinking, shown.concat())] {
        let events = client(&front).stream(asked).await?.finish().await?;
        check_events(&events, &expected);
        check_usage(&events[events.len() - 2].data["usage"]);
    }
    let records = front.records(4).await?;
    assert_eq!(records.len(), 4, "{records:?}");
    records.iter().for_each(check_stated_record);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_has_its_reason() -> Outcome {
    let front = Front::start("").await?;
    // What the backend says, with the text that stopped it where it says that; the reason and the text that come of it.
    let rows = [
        ("stop", Value::Null, "end_turn", Value::Null),
        ("stop", json!("END"), "stop_sequence", json!("END")),
        ("stop", json!(151_643), "end_turn", Value::Null),
        ("length", Value::Null, "max_tokens", Value::Null),
        ("content_filter", Value::Null, "refusal", Value::Null),
        ("something new", Value::Null, "end_turn", Value::Null),
    ];
    for (finish, stopped_by, reason, sequence) in rows {
        let message = json!({"role": "assistant", "content": "Yes."});
        let choice = |part: &str, said: &Value, finish: &Value| {
            let choice = json!({"index": 0, part: said, "finish_reason": finish, "stop_reason": stopped_by});
            json!({"id": "x", "object": "chat.completion", "choices": [choice], "usage": stated_usage()})
        };
        let events = [
            format!("data: {}\n\n", choice("delta", &message, &Value::Null)),
            format!("data: {}\n\n", choice("delta", &json!({}), &json!(finish))),
            "data: [DONE]\n\n".to_owned(),
        ];
        let body = choice("message", &message, &json!(finish)).to_string();
        let (verbatim, body) = (Some(events.to_vec()), Some(body));
        front.upstream.behave(Behaviour { verbatim, body, ..Behaviour::default() });
        let asked = request(&json!({"stop_sequences": ["END"]}));
        let whole = client(&front).send("/messages", &asked).await?;
        let end = json!({"stop_reason": reason, "stop_sequence": sequence});
        assert_eq!((&whole.body["stop_reason"], &whole.body["stop_sequence"]), (&json!(reason), &sequence));
        let events = client(&front).stream(&asked).await?.finish().await?;
        assert_eq!(events[events.len() - 2].data["delta"], end, "{finish} {stopped_by}: {events:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_ends_with_one_error() -> Outcome {
    let front = Front::start(QUICK).await?;
    let texts = ["a", "b", "c", "d"];
    let rows = [
        (Behaviour { breaks: At::After(2), ..Behaviour::saying(&texts) }, "api_error"),
        (Behaviour { fails: At::After(2), ..Behaviour::saying(&texts) }, "api_error"),
        (Behaviour { hangs: At::After(2), ..Behaviour::saying(&texts) }, "timeout_error"),
    ];
    for (behaviour, kind) in rows {
        front.upstream.behave(Behaviour { gap: Duration::from_millis(5), ..behaviour });
        let stream = client(&front).stream(&request(&json!({}))).await?;
        let id = stream.headers["request-id"].to_str().unwrap_or_default().to_owned();
        let events = stream.finish().await?;
        let expected = [
            ("message_start", Value::Null),
            text_block(0),
            ("ping", Value::Null),
            text(0, "a"),
            text(0, "b"),
            ("error", json!(kind)),
        ];
        check_events(&events, &expected);
        let error = &events[5].data;
        assert_eq!((&error["request_id"], &error["error"]["origin"]), (&json!(id), &json!("backend")));
        assert!(!error.to_string().contains("10.0.0.7"), "the backend's own words stay here: {error}");
    }
    for record in front.records(3).await? {
        // A charge of nothing is not written.
        let billed = (&record["reason"], &record["charge_nanos"]);
        assert_eq!(billed, (&json!("engine_error"), &Value::Null), "{record}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_before_the_first_byte_are_anthropics() -> Outcome {
    let front = Front::start(QUICK).await?;
    let said = json!({"error": {"message": "too hot", "param": "temperature"}});
    let failing = |status| Behaviour::failing(status, said.clone());
    let busy = Behaviour { headers: vec![("retry-after".to_owned(), "7".to_owned())], ..failing(429) };
    let rows = [
        (failing(400), 400, "invalid_request_error", "backend_refused"),
        (failing(413), 413, "request_too_large", "backend_refused"),
        (busy, 529, "overloaded_error", "backend_overloaded"),
        (failing(503), 529, "overloaded_error", "backend_overloaded"),
        (failing(401), 502, "api_error", "backend_auth"),
        (failing(422), 400, "invalid_request_error", "backend_refused"),
        (failing(500), 502, "api_error", "backend_unavailable"),
        (failing(400), 400, "invalid_request_error", "backend_refused"),
        (Behaviour { hangs: At::After(0), ..Behaviour::default() }, 504, "timeout_error", "backend_timeout"),
    ];
    for (behaviour, status, kind, code) in rows {
        front.upstream.behave(behaviour);
        for asked in [request(&json!({})), request(&json!({"stream": true}))] {
            // A whole answer that hangs is waited for as long as it may take in all.
            if kind == "timeout_error" && asked["stream"] != true {
                continue;
            }
            let answer = client(&front).send("/messages", &asked).await?;
            let error = &answer.body["error"];
            let found = (answer.status.as_u16(), error["type"].as_str(), answer.code());
            assert_eq!(found, (status, Some(kind), code), "{}", answer.body);
            assert_eq!((&answer.body["type"], &error["origin"]), (&json!("error"), &json!("backend")));
            assert_eq!(answer.header("retry-after").is_empty(), status != 529, "{:?}", answer.headers);
            assert_eq!(answer.header("x-should-retry"), "", "whether to try again, the status says");
            assert_eq!(error["message"] == "too hot", code == "backend_refused", "{error}");
        }
    }
    Ok(())
}
