//! Bodies good and bad, as tables, and the chats they become.
//! Never a server: only what `ResponsesRequest` makes of bytes.
//! Run by `cargo test -p gateway`.

use super::*;

fn read(extra: &Value) -> Result<ResponsesRequest, ApiError> {
    let mut body = json!({"model": "m", "input": "hi"});
    for (name, value) in extra.as_object().expect("an object") {
        body[name] = value.clone();
    }
    ResponsesRequest::from_wire(body.to_string().as_bytes())
}

/// What an OpenAI-compatible server is sent for a body.
fn sent(extra: &Value) -> Value {
    let work =
        read(extra).unwrap_or_else(|error| panic!("{extra}: {error:?}")).upstream_work().expect("translated");
    assert_eq!((work.call, work.relay), (UpstreamCall::ChatCompletions, Relay::Parse));
    serde_json::from_slice(&work.body).expect("JSON")
}

#[test]
fn a_plain_request_is_a_plain_chat() {
    let extra = json!({"instructions": "be brief", "max_output_tokens": 9, "temperature": 0.7, "top_p": 0.5,
        "stream": true, "user": "u", "unknown": [1], "truncation": "disabled", "service_tier": "flex"});
    let expected = json!({"model": "m", "max_tokens": 9, "temperature": 0.7, "top_p": 0.5, "stream": true,
        "user": "u", "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]});
    assert_eq!(sent(&extra), expected);
    let request = read(&extra).expect("good");
    assert_eq!((request.output_tokens_max(), request.class_wished()), (Some(9), Some(SloClass::Batch)));
    assert!(request.is_stream() && request.is_stored);
    let work = request.engine_work().expect("plain text");
    let Some(EngineInput::Messages(messages)) = work.inputs.first() else { panic!("a chat has messages") };
    assert_eq!(messages.len(), 2);
}

#[test]
fn items_become_messages() {
    let image = json!({"type": "input_image", "image_url": "https://x/y.png", "detail": "low"});
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let chat = sent(&json!({"input": [
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look"}, image]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
            "content": [{"type": "output_text", "text": "so", "annotations": []}]},
        call("a"), call("b"),
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}, image]},
        call("c"),
    ]}));
    let shown = json!({"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}});
    let called =
        |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let expected = json!([
        {"role": "system", "content": "d"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, shown]},
        {"role": "assistant", "content": "so", "tool_calls": [called("a"), called("b")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "user", "content": [shown]},
        {"role": "assistant", "content": null, "tool_calls": [called("c")]},
    ]);
    assert_eq!(chat["messages"], expected);
}

#[test]
fn shapes_have_their_fields_in_a_chat() {
    let tool = json!({"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true});
    let function = json!({"type": "function", "function": {
        "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}});
    let schema = json!({"type": "json_schema", "name": "x", "schema": {"a": 1}, "strict": true});
    // What is sent, the field it becomes, and what stands there.
    let rows = [
        (json!({"tools": [tool]}), "tools", json!([function])),
        (json!({"tools": [tool], "tool_choice": "required"}), "tool_choice", json!("required")),
        (
            json!({"tools": [tool], "tool_choice": {"type": "function", "name": "f"}}),
            "tool_choice",
            json!({"type": "function", "function": {"name": "f"}}),
        ),
        (json!({"tools": [tool], "parallel_tool_calls": false}), "parallel_tool_calls", json!(false)),
        (json!({"tool_choice": "auto", "parallel_tool_calls": true}), "tool_choice", json!(null)),
        (json!({"text": {"format": {"type": "text"}}}), "response_format", json!(null)),
        (
            json!({"text": {"format": {"type": "json_object"}}}),
            "response_format",
            json!({"type": "json_object"}),
        ),
        (
            json!({"text": {"format": schema}}),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"a": 1}, "strict": true}}),
        ),
        (json!({"reasoning": {"effort": "low", "summary": "auto"}}), "reasoning_effort", json!("low")),
    ];
    for (extra, field, value) in rows {
        assert_eq!(sent(&extra).get(field).unwrap_or(&Value::Null), &value, "{extra}");
    }
}

#[test]
fn bad_fields_are_named() {
    let item = |item: Value| json!({"input": [item]});
    let part = |part: Value| json!({"input": [{"role": "user", "content": [part]}]});
    let rows = [
        (json!({"model": 3}), "model"),
        (json!({"input": null}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": 3}), "input"),
        (item(json!(3)), "input[0]"),
        (item(json!({"role": "robot", "content": "x"})), "input[0].role"),
        (item(json!({"role": "user"})), "input[0].content"),
        (item(json!({"type": "item_reference", "id": "x"})), "input[0].type"),
        (item(json!({"type": "web_search_call"})), "input[0].type"),
        (item(json!({"type": "function_call", "name": "f", "arguments": "{}"})), "input[0].call_id"),
        (
            item(json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": {}})),
            "input[0].arguments",
        ),
        (item(json!({"type": "function_call_output", "call_id": "c"})), "input[0].output"),
        (part(json!("x")), "input[0].content[0]"),
        (part(json!({"type": "input_file", "file_id": "f"})), "input[0].content[0].type"),
        (part(json!({"type": "input_text"})), "input[0].content[0].text"),
        (part(json!({"type": "input_image", "file_id": "f"})), "input[0].content[0].image_url"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"temperature": 3}), "temperature"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"background": true}), "background"),
        (json!({"conversation": "c"}), "conversation"),
        (json!({"prompt": {"id": "p"}}), "prompt"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"top_logprobs": 1}), "top_logprobs"),
        (json!({"metadata": {"a": 1}}), "metadata"),
        (json!({"metadata": {"a": "x".repeat(513)}}), "metadata"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (json!({"tools": [{"name": "f"}]}), "tools[0].type"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tool_choice": {"type": "file_search"}}), "tool_choice"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"text": {"format": {"type": "json_schema", "schema": {}}}}), "text.format.name"),
        (json!({"text": {"format": {"type": "json_schema", "name": "x"}}}), "text.format.schema"),
        (json!({"service_tier": "best"}), "service_tier"),
    ];
    for (extra, param) in rows {
        let error = read(&extra).expect_err(&extra.to_string());
        assert_eq!((error.status().as_u16(), error.param()), (400, Some(param)), "{extra:.90}");
    }
}

#[test]
fn what_engines_cannot_do_goes_to_backends_only() {
    let tool = json!({"type": "function", "name": "f"});
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let image = json!([{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}]);
    let rows = [
        (json!({"tools": [tool]}), "tools"),
        (json!({"text": {"format": {"type": "json_object"}}}), "text.format"),
        (json!({"input": [call]}), "input[0].type"),
        (json!({"input": image}), "input[0].content[0].type"),
    ];
    for (extra, param) in rows {
        let request = read(&extra).expect("a backend may do it");
        request.upstream_work().expect("a backend may do it");
        let error = request.engine_work().expect_err(&extra.to_string());
        assert_eq!((error.code(), error.param()), ("unsupported_value", Some(param)), "{extra}");
    }
}

#[test]
fn a_conversation_goes_on() {
    let mut request = read(&json!({"previous_response_id": "resp_1", "store": false})).expect("good");
    assert!(!request.is_stored);
    assert_eq!(request.previous_id.as_deref(), Some("resp_1"));
    let earlier = json!([{"role": "user", "content": "a"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}]);
    request.continue_from(&earlier.to_string()).expect("it reads back");
    assert_eq!((request.items.len(), request.conversation.len()), (3, 3));
    let many = vec![json!({"role": "user", "content": "a"}); ITEMS_MAX];
    let error = request.continue_from(&Value::Array(many).to_string()).expect_err("too many");
    assert_eq!(error.param(), Some("previous_response_id"));
    assert!(request.continue_from("{").is_err());
}

#[test]
fn an_answer_repeats_its_request() {
    let echo = read(&json!({"metadata": {"a": "b"}, "temperature": 0.7})).expect("good").echo;
    assert_eq!((&echo["metadata"], &echo["temperature"]), (&json!({"a": "b"}), &json!(0.7)));
    let plain = read(&json!({})).expect("good").echo;
    for field in ["parallel_tool_calls", "tool_choice", "tools", "text", "truncation", "store", "top_p"] {
        assert!(!plain[field].is_null(), "{field}");
    }
}
