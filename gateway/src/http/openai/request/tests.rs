//! Bodies good and bad, as tables.
//! Never a server: only what `ChatRequest::from_wire` makes of bytes.
//! Run by `cargo test -p gateway`.

use serde_json::{Value, json};

use super::*;

fn body(extra: &Value) -> Bytes {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in extra.as_object().expect("an object") {
        body[name] = value.clone();
    }
    Bytes::from(body.to_string())
}

#[test]
fn good_requests_are_taken_whole() {
    let request = ChatRequest::from_wire(&body(&json!({
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c", "name": "x"},
        ],
        "temperature": 0, "top_p": 0.5, "top_k": 5, "seed": -1, "stop": "x", "max_tokens": 7,
        "max_completion_tokens": 7, "stream": true, "stream_options": {"include_usage": true},
        "n": 1, "user": "u", "tools": [], "unknown": {"deep": [1]}, "presence_penalty": 0.0, "logit_bias": null,
    })))
    .expect("good");
    let contents: Vec<_> = request.messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(contents, ["be brief", "ab", "c"]);
    assert_eq!((request.output_tokens_max, request.sampling.seed), (Some(7), Some(u64::MAX)));
    assert!(request.is_stream && request.include_usage);
    assert_eq!(request.stop, ["x"]);
}

/// A changed field, and the path the error must name.
fn check(extra: &Value, param: &str) {
    let error = ChatRequest::from_wire(&body(extra)).expect_err(&extra.to_string());
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
            "messages[0].content",
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
fn bodies_that_are_no_request_are_told_so() {
    let good = String::from_utf8(body(&json!({})).to_vec()).expect("text");
    let array = r#"["demo",[{"role":"user","content":"hi"}],null,null]"#;
    let twice = format!("{good}{good}");
    let deep = format!("{{\"model\":\"m\",\"x\":{}", "[".repeat(100_000));
    for body in
        ["", "{", "[]", "null", "{\"model\":\"m\"}", &twice, &deep, "{\"model\":\"m\",\"messages\":", array]
    {
        let error = ChatRequest::from_wire(&Bytes::copy_from_slice(body.as_bytes())).expect_err("no request");
        assert_eq!(error.status(), 400, "{body:.40}");
    }
    assert!(ChatRequest::from_wire(&Bytes::from_static(b"{\"model\":\"\xff\"}")).is_err());
}
