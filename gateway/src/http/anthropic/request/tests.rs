//! Bodies good and bad, as tables.
//! Never a server: only what `MessagesRequest::from_wire` and `CountRequest::from_wire` make of bytes.
//! Run by `cargo test -p gateway`.

use serde_json::{Value, json};

use super::*;

fn body(extra: &Value) -> Vec<u8> {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in extra.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body.to_string().into_bytes()
}

#[test]
fn good_requests_are_taken_whole() {
    let request = MessagesRequest::from_wire(&body(&json!({
        "system": [{"type": "text", "text": "be "}, {"type": "text", "text": "brief", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "citations": null}]},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
        ],
        "temperature": 0, "top_p": 0.5, "top_k": 5, "stop_sequences": ["x"], "max_tokens": 7, "stream": true,
        "metadata": {"user_id": "u"}, "tools": [], "thinking": {"type": "disabled"},
    })))
    .expect("good");
    let expected =
        [(Role::System, "be brief"), (Role::User, "ab"), (Role::Assistant, "c"), (Role::User, "d")];
    assert_eq!(chat(&request), expected.map(|(role, text)| (role, text.to_owned())));
    let work = request.engine_work().expect("plain text");
    assert_eq!((request.output_tokens_max(), work.sampling.top_k), (Some(7), Some(5)));
    assert!(request.is_stream() && !work.ignore_eos);
    assert_eq!(work.stop, ["x"]);

    let plain = MessagesRequest::from_wire(&body(&json!({"system": "", "top_k": 0}))).expect("good");
    assert_eq!(chat(&plain).len(), 1, "an empty system prompt is none");
    assert_eq!(plain.engine_work().expect("plain text").sampling, Sampling::default());
    assert!(!plain.is_stream());
}

/// The messages an engine of ours would read.
fn chat(work: &impl Work) -> Vec<(Role, String)> {
    let work = work.engine_work().expect("plain text");
    let Some(EngineInput::Messages(messages)) = work.inputs.into_iter().next() else {
        panic!("a chat has messages")
    };
    messages.into_iter().map(|message| (message.role, message.content)).collect()
}

/// A changed field, and the path the error must name, in `param` and in the text, whatever serves it.
fn check(extra: &Value, path: &str) {
    let error = MessagesRequest::from_wire(&body(extra)).expect_err(&extra.to_string());
    check_error(&error, extra, path);
}

/// A changed field that only a backend can honour.
fn check_engine(extra: &Value, path: &str) {
    let request =
        MessagesRequest::from_wire(&body(extra)).unwrap_or_else(|error| panic!("{extra}: {error:?}"));
    request.upstream_work().expect("a backend may do it");
    check_error(&request.engine_work().expect_err(&extra.to_string()), extra, path);
}

fn check_error(error: &ApiError, extra: &Value, path: &str) {
    assert_eq!(error.status(), 400, "{extra}");
    assert_eq!(error.param(), Some(path), "{extra}: {}", error.message());
    assert!(error.message().starts_with(&format!("{path}: ")), "{extra}: {}", error.message());
}

fn blocks(blocks: &Value) -> Value {
    json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": blocks}]})
}

#[test]
fn bad_fields_are_named() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}});
    let rows = [
        (json!({"model": null}), "model"),
        (json!({"model": 3}), "model"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -5}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"max_tokens": "3"}), "max_tokens"),
        (json!({"max_tokens": 99_999_999_999_i64}), "max_tokens"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [["user", "hi"]]}), "messages.0"),
        (json!({"messages": [{"role": "system", "content": "x"}]}), "messages.0.role"),
        (json!({"messages": [{"role": "user"}]}), "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": 3}]}), "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": "x", "name": "n"}]}), "messages.0.name"),
        (
            json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}),
            "messages",
        ),
        (blocks(&json!([{"text": "x"}])), "messages.1.content.0.type"),
        (blocks(&json!([{"type": 3}])), "messages.1.content.0.type"),
        (blocks(&json!([{"type": "text"}])), "messages.1.content.0.text"),
        (blocks(&json!([{"type": "text", "text": ""}])), "messages.1.content.0.text"),
        (blocks(&json!([{"type": "text", "text": 1}])), "messages.1.content.0.text"),
        (blocks(&json!([{"type": "text", "text": "x", "more": 1}])), "messages.1.content.0.more"),
        (
            blocks(&json!([{"type": "text", "text": "x", "citations": [{}]}])),
            "messages.1.content.0.citations",
        ),
        (blocks(&json!(["x"])), "messages.1.content"),
        (json!({"system": 3}), "system"),
        (json!({"system": [image]}), "system.0.type"),
        (json!({"temperature": 1.1}), "temperature"),
        (json!({"temperature": -0.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"top_p": 1.5}), "top_p"),
        (json!({"top_k": -1}), "top_k"),
        (json!({"stop_sequences": "x"}), "stop_sequences"),
        (json!({"stop_sequences": ["x", " \n"]}), "stop_sequences.1"),
        (json!({"stop_sequences": vec!["x"; 17]}), "stop_sequences"),
        (json!({"stop_sequences": ["x".repeat(257)]}), "stop_sequences"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"metadata": "me"}), "metadata"),
        (json!({"container": "c"}), "container"),
        (json!({"mcp_servers": [{}]}), "mcp_servers"),
        (json!({"n": 1}), "n"),
        (json!({"seed": 1}), "seed"),
        (json!({"max_completion_tokens": 1}), "max_completion_tokens"),
    ];
    for (extra, path) in &rows {
        check(extra, path);
    }
}

#[test]
fn bad_blocks_and_tools_are_named() {
    let image = |source: Value| blocks(&json!([{"type": "image", "source": source}]));
    let result =
        |content: Value| blocks(&json!([{"type": "tool_result", "tool_use_id": "t", "content": content}]));
    let tool = |tool: Value| json!({"tools": [tool]});
    let said = |block: Value| json!({"messages": [{"role": "assistant", "content": [block]}, {"role": "user", "content": "x"}]});
    let at = |field: &str| format!("messages.1.content.0.{field}");
    let rows = [
        (image(json!({"type": "file", "file_id": "f"})), at("source.type")),
        (image(json!({"type": "base64", "media_type": "image/bmp", "data": ""})), at("source.media_type")),
        (image(json!({"type": "base64", "media_type": "image/png"})), at("source.data")),
        (image(json!({"type": "url"})), at("source.url")),
        (image(json!({"type": "url", "url": "u", "more": 1})), at("source.more")),
        (image(json!("u")), at("source")),
        (result(json!(3)), at("content")),
        (result(json!([{"type": "tool_use", "id": "i", "name": "n", "input": {}}])), at("content.0.type")),
        (result(json!([3])), at("content.0")),
        (blocks(&json!([{"type": "tool_result", "content": "x"}])), at("tool_use_id")),
        (blocks(&json!([{"type": "tool_use", "id": "i", "name": "n", "input": {}}])), at("type")),
        (blocks(&json!([{"type": "document", "source": {}}])), at("type")),
        (blocks(&json!([{"type": "thinking", "thinking": "x", "signature": ""}])), at("type")),
        (
            said(json!({"type": "tool_use", "id": "i", "name": "n", "input": "{}"})),
            "messages.0.content.0.input".to_owned(),
        ),
        (said(json!({"type": "tool_result", "tool_use_id": "i"})), "messages.0.content.0.type".to_owned()),
        (json!({"tools": [3]}), "tools.0".to_owned()),
        (tool(json!({"input_schema": {}})), "tools.0.name".to_owned()),
        (tool(json!({"name": "", "input_schema": {}})), "tools.0.name".to_owned()),
        (tool(json!({"name": "t"})), "tools.0.input_schema".to_owned()),
        (tool(json!({"name": "t", "input_schema": {}, "more": 1})), "tools.0.more".to_owned()),
        (tool(json!({"type": "web_search_20250305", "name": "web_search"})), "tools.0.type".to_owned()),
        (json!({"tool_choice": {}}), "tool_choice.type".to_owned()),
        (json!({"tool_choice": {"type": "some"}}), "tool_choice.type".to_owned()),
        (json!({"tool_choice": {"type": "tool"}}), "tool_choice.name".to_owned()),
        (json!({"tool_choice": {"type": "any"}}), "tool_choice".to_owned()),
        (json!({"tool_choice": {"type": "none", "name": "x"}}), "tool_choice.name".to_owned()),
        (json!({"thinking": {"type": "on"}}), "thinking.type".to_owned()),
        (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens".to_owned()),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 1023}}),
            "thinking.budget_tokens".to_owned(),
        ),
        (json!({"thinking": {"type": "disabled", "budget_tokens": 1}}), "thinking.budget_tokens".to_owned()),
        (json!({"thinking": {"type": "adaptive", "display": "all"}}), "thinking.display".to_owned()),
        (json!({"output_config": {"effort": "most"}}), "output_config.effort".to_owned()),
        (json!({"output_config": {"format": {"type": "xml"}}}), "output_config.format.type".to_owned()),
        (
            json!({"output_config": {"format": {"type": "json_schema"}}}),
            "output_config.format.schema".to_owned(),
        ),
        (json!({"service_tier": "fast"}), "service_tier".to_owned()),
        (json!({"metadata": {"more": 1}}), "metadata.more".to_owned()),
        (json!({"speed": "fast"}), "speed".to_owned()),
    ];
    for (extra, path) in &rows {
        check(extra, path);
    }
}

#[test]
fn what_engines_cannot_do_goes_to_backends_only() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}});
    let good = json!({"type": "text", "text": "x"});
    let result = json!({"type": "tool_result", "tool_use_id": "t"});
    let rows = [
        (blocks(&json!([good, image])), "messages.1.content.1.type"),
        (blocks(&json!([result])), "messages.1.content.0.type"),
        (json!({"tools": [{"name": "t", "input_schema": {}}]}), "tools"),
        (json!({"tool_choice": {"type": "auto"}}), "tool_choice"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "thinking"),
        (json!({"output_config": {"effort": "low"}}), "output_config"),
        (json!({"output_config": {"format": {"type": "json_schema", "schema": {}}}}), "output_config"),
    ];
    for (extra, path) in &rows {
        check_engine(extra, path);
    }
}

/// What an OpenAI-compatible server is sent for a body.
fn sent(extra: &Value) -> Value {
    let request =
        MessagesRequest::from_wire(&body(extra)).unwrap_or_else(|error| panic!("{extra}: {error:?}"));
    let work = request.upstream_work().expect("translated");
    assert_eq!((work.call, work.relay), (UpstreamCall::ChatCompletions, Relay::Parse));
    serde_json::from_slice(&work.body).expect("JSON")
}

#[test]
fn a_plain_request_is_a_plain_chat() {
    let chat = sent(&json!({"system": "s", "temperature": 0.7, "top_k": 5, "stop_sequences": ["x"],
        "metadata": {"user_id": "u"}, "stream": true}));
    let expected = json!({"model": "m", "max_tokens": 9, "stream": true, "temperature": 0.7, "top_k": 5,
        "stop": ["x"], "user": "u",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]});
    assert_eq!(chat, expected);
}

#[test]
fn calls_and_their_results_become_messages() {
    let use_block = json!({"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}});
    let image = json!({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}});
    let chat = sent(&json!({"messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "so"}, use_block]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "r"}, image]},
            {"type": "text", "text": "and?"}]},
        {"role": "assistant", "content": [use_block]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true}]},
    ]}));
    let call = json!({"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    let shown = json!([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}, {"type": "text", "text": "and?"}]);
    let expected = json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "so", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "r"},
        {"role": "user", "content": shown},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": ""},
    ]);
    assert_eq!(chat["messages"], expected);
}

#[test]
fn shapes_have_their_fields_in_a_chat() {
    let tools =
        json!([{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": true}]);
    let with_tools = |extra: Value| {
        let mut body = json!({"tools": tools});
        body["tool_choice"] = extra;
        body
    };
    let named = json!({"type": "function", "function": {"name": "f"}});
    // What is sent, the field it becomes, and what stands there.
    let rows = [
        (with_tools(json!({"type": "auto"})), "tool_choice", json!("auto")),
        (with_tools(json!({"type": "any"})), "tool_choice", json!("required")),
        (with_tools(json!({"type": "none"})), "tool_choice", json!("none")),
        (with_tools(json!({"type": "tool", "name": "f"})), "tool_choice", named),
        (
            with_tools(json!({"type": "auto", "disable_parallel_tool_use": true})),
            "parallel_tool_calls",
            json!(false),
        ),
        (with_tools(json!(null)), "tool_choice", json!(null)),
        (
            json!({"tools": tools}),
            "tools",
            json!([{"type": "function", "function": {
                "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}}]),
        ),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "reasoning_effort", json!("low")),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 8000}}),
            "reasoning_effort",
            json!("medium"),
        ),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 32000}}), "reasoning_effort", json!("high")),
        (json!({"thinking": {"type": "adaptive"}}), "reasoning_effort", json!(null)),
        (json!({"output_config": {"effort": "max"}}), "reasoning_effort", json!("xhigh")),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}}),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "output", "schema": {"a": 1}, "strict": true}}),
        ),
    ];
    for (extra, field, value) in rows {
        assert_eq!(sent(&extra).get(field).unwrap_or(&Value::Null), &value, "{extra}");
    }
}

#[test]
fn images_are_counted_and_are_no_text() {
    let data = "A".repeat(10_000);
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
    let nested = json!({"type": "tool_result", "tool_use_id": "t", "content": [image]});
    let request = MessagesRequest::from_wire(&body(&blocks(&json!([image, nested])))).expect("good");
    let work = request.upstream_work().expect("translated");
    assert_eq!(work.images, 2);
    assert!(work.prompt_bytes < 1_000, "{} bytes of text", work.prompt_bytes);
}

#[test]
fn unknown_fields_are_refused_in_anthropics_words() {
    let error = MessagesRequest::from_wire(&body(&json!({"frequency_penalty": 0}))).expect_err("unknown");
    assert_eq!(error.message(), "frequency_penalty: Extra inputs are not permitted");
    let error = CountRequest::from_wire(&body(&json!({}))).expect_err("a count has no max_tokens");
    assert_eq!(error.message(), "max_tokens: Extra inputs are not permitted");
}

#[test]
fn a_count_takes_what_makes_a_prompt() {
    let count = |body: Value| CountRequest::from_wire(body.to_string().as_bytes());
    let messages = json!([{"role": "user", "content": "hi"}]);
    let good = count(json!({"model": "m", "system": "s", "messages": messages})).expect("good");
    assert_eq!((good.model().as_str(), chat(&good).len()), ("m", 2));
    let rows = [
        (json!({"model": "m"}), "messages"),
        (json!({"messages": messages}), "model"),
        (json!({"model": "m", "messages": messages, "tools": [{}]}), "tools.0.name"),
        (json!({"model": "m", "messages": messages, "thinking": {"type": "on"}}), "thinking.type"),
        (json!({"model": "m", "messages": messages, "stream": true}), "stream"),
    ];
    for (body, path) in rows {
        assert_eq!(count(body.clone()).expect_err("bad").param(), Some(path), "{body}");
    }
}

#[test]
fn bodies_that_are_no_request_are_told_so() {
    let good = String::from_utf8(body(&json!({}))).expect("text");
    let twice = format!("{good}{good}");
    let deep = format!("{{\"model\":\"m\",\"messages\":{}", "[".repeat(100_000));
    for body in ["", "{", "[]", "null", "{}", "{\"model\":\"m\"}", &twice, &deep] {
        let error = MessagesRequest::from_wire(body.as_bytes()).expect_err("no request");
        assert_eq!(error.status(), 400, "{body:.40}");
        assert!(!error.message().is_empty(), "{body:.40}");
    }
    assert!(MessagesRequest::from_wire(b"{\"model\":\"\xff\"}").is_err());
}
