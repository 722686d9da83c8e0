//! Bodies good and bad, as tables.
//! Never a server: only what `CompletionRequest` makes of bytes.
//! Run by `cargo test -p gateway`.

use serde_json::{Value, json};

use super::*;

fn read(extra: &Value) -> Result<CompletionRequest, ApiError> {
    let mut body = json!({"model": "m", "prompt": "Once"});
    for (name, value) in extra.as_object().expect("an object") {
        body[name] = value.clone();
    }
    CompletionRequest::from_wire(Bytes::from(body.to_string()))
}

#[test]
fn prompts_are_texts_or_tokens() {
    // The prompt, how many choices it makes, and its bytes.
    let rows = [
        (json!("ab"), 1, 2),
        (json!(""), 1, 0),
        (json!(["ab", "c"]), 2, 3),
        (json!([1, 2, 3]), 1, 12),
        (json!([[1, 2], [3]]), 2, 12),
    ];
    for (prompt, choices, bytes) in rows {
        let request = read(&json!({"prompt": prompt})).expect("good");
        let work = request.upstream_work().expect("any prompt goes on");
        assert_eq!((work.choices, work.prompt_bytes), (choices, bytes), "{prompt}");
        assert_eq!(work.call, UpstreamCall::Completions);
        assert_eq!(work.body, request.body);
    }
}

#[test]
fn an_engine_continues_texts() {
    let extra = json!({"prompt": ["a", "b"], "max_tokens": 3, "stop": ["x"], "stream": true, "best_of": null,
        "stream_options": {"include_usage": true}, "n": 1, "echo": false, "logprobs": null, "user": "u"});
    let request = read(&extra).expect("good");
    let work = request.engine_work().expect("texts");
    assert_eq!((work.inputs.len(), work.choices_per_prompt, work.stop.len()), (2, 1, 1));
    assert_eq!(request.output_tokens_max(), Some(3));
    assert!(request.is_stream() && request.include_usage());
    assert_eq!(read(&json!({})).expect("good").output_tokens_max(), Some(16));
}

#[test]
fn what_no_server_takes_is_refused() {
    let rows = [
        (json!({"model": 3}), "model"),
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": 3}), "prompt"),
        (json!({"prompt": {}}), "prompt"),
        (json!({"prompt": ["a", 1]}), "prompt"),
        (json!({"prompt": [1, [2]]}), "prompt"),
        (json!({"prompt": [-1]}), "prompt[0]"),
        (json!({"prompt": [4_294_967_296_i64]}), "prompt[0]"),
        (json!({"prompt": [[1, "a"]]}), "prompt[0][1]"),
        (json!({"prompt": vec!["a"; 129]}), "prompt"),
        (json!({"prompt": ["a", "b"], "n": 65}), "prompt"),
        (json!({"prompt": ["a", "b"], "best_of": 65}), "prompt"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"n": 0}), "n"),
        (json!({"n": 129}), "n"),
        (json!({"n": 2, "best_of": 1}), "best_of"),
        (json!({"best_of": 2, "stream": true}), "best_of"),
        (json!({"temperature": 3}), "temperature"),
        (json!({"stop": 1}), "stop"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
    ];
    for (extra, param) in rows {
        let error = read(&extra).expect_err(&extra.to_string());
        assert_eq!((error.status().as_u16(), error.param()), (400, Some(param)), "{extra}: {error:?}");
    }
}

#[test]
fn what_engines_cannot_do_goes_to_backends_only() {
    let rows = [
        (json!({"prompt": [1, 2]}), "prompt"),
        (json!({"n": 2}), "n"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"echo": true}), "echo"),
        (json!({"suffix": "end"}), "suffix"),
        (json!({"logprobs": 0}), "logprobs"),
        (json!({"presence_penalty": 0.5}), "presence_penalty"),
        (json!({"frequency_penalty": 0.5}), "frequency_penalty"),
        (json!({"logit_bias": {"1": 2}}), "logit_bias"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
    ];
    for (extra, param) in rows {
        let request = read(&extra).expect("a backend may do it");
        request.upstream_work().expect("a backend may do it");
        let error = request.engine_work().expect_err(&extra.to_string());
        assert_eq!((error.status().as_u16(), error.param()), (400, Some(param)), "{extra}");
        assert_eq!(error.code(), "unsupported_value", "{extra}");
    }
}
