//! Bodies good and bad, as tables.
//! Never a server: only what `ChatRequest::from_wire` makes of bytes.
//! Run by `cargo test -p gateway`.

use serde_json::{Value, json};

use super::*;
use crate::dispatch::EngineInput;

fn body(extra: &Value) -> Bytes {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in extra.as_object().expect("an object") {
        body[name] = value.clone();
    }
    Bytes::from(body.to_string())
}

/// What an engine of ours would run.
fn engine_work(extra: &Value) -> Result<EngineWork, ApiError> {
    ChatRequest::from_wire(body(extra))?.engine_work()
}

#[test]
fn good_requests_are_taken_whole() {
    let extra = json!({
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c", "name": "x"},
        ],
        "temperature": 0, "top_p": 0.5, "top_k": 5, "seed": -1, "stop": "x", "max_tokens": 7,
        "max_completion_tokens": 7, "stream": true, "stream_options": {"include_usage": true},
        "n": 1, "user": "u", "tools": [], "unknown": {"deep": [1]}, "presence_penalty": 0.0, "logit_bias": null,
    });
    let request = ChatRequest::from_wire(body(&extra)).expect("good");
    let work = request.engine_work().expect("plain");
    let Some(EngineInput::Messages(messages)) = work.inputs.first() else { panic!("a chat has messages") };
    let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(contents, ["be brief", "ab", "c"]);
    assert_eq!((request.output_tokens_max(), work.sampling.seed), (Some(7), Some(u64::MAX)));
    assert!(request.is_stream() && request.include_usage());
    assert_eq!(work.stop, ["x"]);
}

/// A changed field, and the path the error must name, when an engine of ours is to run it.
fn check(extra: &Value, param: &str) {
    let error = engine_work(extra).expect_err(&extra.to_string());
    assert_eq!(error.status(), 400, "{extra}");
    assert_eq!(error.to_openai()["error"]["param"], param, "{extra}");
}

#[test]
fn bad_fields_are_named() {
    let rows = [
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 3}]}), "messages[0].content"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
            "messages[0].content[0].type",
        ),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": -0.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"top_p": 1.5}), "top_p"),
        (json!({"top_k": -2}), "top_k"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -5}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"max_tokens": 99_999_999_999_i64}), "max_tokens"),
        (json!({"max_completion_tokens": 0}), "max_completion_tokens"),
        (json!({"max_completion_tokens": 3, "max_tokens": 4}), "max_tokens"),
        (json!({"messages": [["user", "hi"]]}), "messages[0]"),
        (json!({"stream": true, "stream_options": [true]}), "stream_options"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"stop": [""]}), "stop"),
        (json!({"stop": 3}), "stop"),
        (json!({"n": 2}), "n"),
        (json!({"tools": [{}]}), "tools"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"frequency_penalty": 1}), "frequency_penalty"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
    ];
    for (extra, param) in &rows {
        check(extra, param);
    }
}

#[test]
fn what_only_a_backend_can_do_has_one_code() {
    let says = |message: Value| json!({"messages": [{"role": "user", "content": "hi"}, message]});
    let parts = json!([{"type": "text", "text": "a"}, {"type": "input_audio"}, {"type": "file"}]);
    let rows = [
        (says(json!({"role": "user", "content": parts})), "messages[1].content[1].type"),
        (says(json!({"role": "tool", "tool_call_id": "x", "content": "y"})), "messages[1].role"),
        (says(json!({"role": "function", "name": "x", "content": "y"})), "messages[1].role"),
        (
            says(json!({"role": "assistant", "content": null, "tool_calls": [{"id": "x"}]})),
            "messages[1].tool_calls",
        ),
        (json!({"tools": [{}]}), "tools"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tool_choice": {"type": "function", "function": {"name": "f"}}}), "tool_choice"),
        (json!({"n": 2}), "n"),
    ];
    for (extra, param) in &rows {
        let error = engine_work(extra).expect_err(&extra.to_string());
        assert_eq!((error.code(), error.param()), ("unsupported_value", Some(*param)), "{extra}");
    }
    for choice in ["none", "auto"] {
        engine_work(&json!({"tools": [], "tool_choice": choice})).expect("no tools are called anyway");
    }
}

#[test]
fn bodies_that_are_no_request_are_told_so() {
    let good = String::from_utf8(body(&json!({})).to_vec()).expect("text");
    let array = r#"["demo",[{"role":"user","content":"hi"}],null,null]"#;
    let twice = format!("{good}{good}");
    let deep = format!("{{\"model\":\"m\",\"x\":{}", "[".repeat(100_000));
    for body in
        ["", "{", "[]", "null", "{\"model\":\"m\"}", &twice, &deep, "{\"model\":\"m\",\"messages\":", array]
    {
        let error = ChatRequest::from_wire(Bytes::copy_from_slice(body.as_bytes())).expect_err("no request");
        assert_eq!(error.status(), 400, "{body:.40}");
    }
    assert!(ChatRequest::from_wire(Bytes::from_static(b"{\"model\":\"\xff\"}")).is_err());
    for (body, missing) in [("{}", "model"), ("{\"model\":\"m\"}", "messages")] {
        let error = ChatRequest::from_wire(Bytes::from(body)).expect_err("no request");
        assert_eq!((error.code(), error.param()), ("missing_required_parameter", Some(missing)));
    }
}

#[test]
fn what_a_backend_can_do_goes_on_as_it_came() {
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]);
    // What is sent, how many answers it makes, and how many images it has.
    let rows = [
        (json!({"n": 3}), 3, 0),
        (json!({"messages": image}), 1, 1),
        (json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"}), 1, 0),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}),
            1,
            0,
        ),
        (json!({"logprobs": true, "top_logprobs": 2, "frequency_penalty": 1, "logit_bias": {"1": 2}}), 1, 0),
        (json!({"modalities": ["text", "audio"], "audio": {"voice": "x"}, "web_search_options": {}}), 1, 0),
        (json!({"reasoning_effort": "low", "prediction": {}, "store": true, "metadata": {"a": "b"}}), 1, 0),
        (json!({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}), 1, 0),
        (json!({"messages": [{"role": "assistant", "content": null, "tool_calls": []}]}), 1, 0),
        (json!({"temperature": 9, "anything": [[1]]}), 1, 0),
    ];
    for (extra, choices, images) in rows {
        let body = body(&extra);
        let request =
            ChatRequest::from_wire(body.clone()).unwrap_or_else(|error| panic!("{extra}: {error:?}"));
        let work = request.upstream_work().expect("anything goes on");
        assert_eq!((work.body, work.choices, work.images), (body, choices, images), "{extra}");
        assert_eq!(work.call, UpstreamCall::ChatCompletions);
    }
}

#[test]
fn what_is_metered_is_checked_for_every_server() {
    let rows = [
        (json!({"model": 3}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": {}}), "messages"),
        (json!({"messages": [1]}), "messages[0]"),
        (json!({"n": 0}), "n"),
        (json!({"n": 129}), "n"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"stream": 1}), "stream"),
        (json!({"stream_options": {}}), "stream_options"),
        (json!({"service_tier": "best"}), "service_tier"),
    ];
    for (extra, param) in rows {
        let error = ChatRequest::from_wire(body(&extra)).expect_err(&extra.to_string());
        assert_eq!((error.status().as_u16(), error.param()), (400, Some(param)), "{extra}");
    }
    // Two of a field: we would read one, and the server perhaps the other.
    for name in ["model", "n", "max_tokens", "stream", "messages", "stream_options"] {
        let text = format!("{{\"model\":\"m\",\"messages\":[{{}}],\"{name}\":null,\"{name}\":null}}");
        let error = ChatRequest::from_wire(Bytes::from(text)).expect_err(name);
        assert_eq!(error.status(), 400, "{name}");
    }
}

#[test]
fn the_text_of_schemas_counts_as_prompt() {
    let bytes = |extra: &Value| {
        ChatRequest::from_wire(body(extra)).expect("good").upstream_work().expect("any").prompt_bytes
    };
    let plain = bytes(&json!({}));
    assert_eq!(plain, 6, "role and content");
    for field in ["tools", "functions", "documents", "chat_template_kwargs"] {
        let mut extra = json!({});
        extra[field] = json!([{"name": "f"}]);
        assert_eq!(bytes(&extra), plain + 5, "{field}");
    }
    assert_eq!(bytes(&json!({"chat_template": "{{x}}"})), plain + 5);
}

#[test]
fn a_tier_is_a_class() {
    let class = |tier: &str| {
        ChatRequest::from_wire(body(&json!({"service_tier": tier}))).expect("a tier").class_wished()
    };
    assert_eq!((class("flex"), class("auto")), (Some(SloClass::Batch), None));
}
