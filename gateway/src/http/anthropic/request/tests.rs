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
    let messages: Vec<_> =
        request.messages.iter().map(|message| (message.role, message.content.as_str())).collect();
    let expected =
        [(Role::System, "be brief"), (Role::User, "ab"), (Role::Assistant, "c"), (Role::User, "d")];
    assert_eq!(messages, expected);
    assert_eq!((request.output_tokens_max, request.sampling.top_k), (7, Some(5)));
    assert!(request.is_stream && !request.engine_work().expect("plain text").ignore_eos);
    assert_eq!(request.stop, ["x"]);

    let plain = MessagesRequest::from_wire(&body(&json!({"system": "", "top_k": 0}))).expect("good");
    assert_eq!(plain.messages.len(), 1, "an empty system prompt is none");
    assert_eq!(plain.sampling, Sampling::default());
    assert!(!plain.is_stream);
}

/// A changed field, and the path the error must name, in `param` and in the text.
fn check(extra: &Value, path: &str) {
    let error = MessagesRequest::from_wire(&body(extra)).expect_err(&extra.to_string());
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
    let good = json!({"type": "text", "text": "x"});
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
        (blocks(&json!([good, image])), "messages.1.content.1.type"),
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
        (json!({"tools": [{"name": "t", "input_schema": {}}]}), "tools"),
        (json!({"tool_choice": {"type": "auto"}}), "tool_choice"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "thinking"),
        (json!({"output_config": {"effort": "low"}}), "output_config"),
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
    assert_eq!((good.model.as_str(), good.messages.len()), ("m", 2));
    let rows = [
        (json!({"model": "m"}), "messages"),
        (json!({"messages": messages}), "model"),
        (json!({"model": "m", "messages": messages, "tools": [{}]}), "tools"),
        (json!({"model": "m", "messages": messages, "thinking": {"type": "enabled"}}), "thinking"),
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
