//! What is read of chunks and whole answers: deltas, texts, ends and usage, in every form that servers give them.
//! Never a connection; chunks are values.
//! Run by `cargo test -p gateway`.

use serde_json::json;

use super::*;

fn read(chunk: &Value) -> Chunk {
    Chunk::read(chunk.to_string().as_bytes()).expect("an object")
}

fn text(text: &str) -> Delta {
    Delta::Text(text.to_owned())
}

#[test]
fn deltas_are_read_by_choice() {
    let call = |index, id: Option<&str>, name: Option<&str>, arguments: &str| {
        let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
        Delta::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned() })
    };
    let rows = [
        (json!({"choices": []}), vec![]),
        (json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}), vec![]),
        (json!({"choices": [{"index": 1, "delta": {"content": "a"}}]}), vec![(1, text("a"))]),
        (
            json!({"choices": [{"text": "a"}, {"index": 3, "text": "b"}]}),
            vec![(0, text("a")), (3, text("b"))],
        ),
        (json!({"choices": [{"message": {"content": "a", "refusal": null}}]}), vec![(0, text("a"))]),
        (
            json!({"choices": [{"delta": {"reasoning": "r", "reasoning_content": "r", "refusal": "n"}}]}),
            vec![(0, Delta::Reasoning("r".to_owned())), (0, Delta::Refusal("n".to_owned()))],
        ),
        (
            json!({"choices": [{"delta": {"tool_calls": [
                {"index": 2, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}},
            ]}}]}),
            vec![(0, call(2, Some("c"), Some("f"), ""))],
        ),
        (
            json!({"choices": [{"message": {"tool_calls": [
                {"id": "a", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "index": 0, "function": {"name": "g", "arguments": {"n": 1}}},
            ]}}]}),
            vec![(0, call(0, Some("a"), Some("f"), "{}")), (0, call(1, Some("b"), Some("g"), r#"{"n":1}"#))],
        ),
        (
            json!({"choices": [{"delta": {"function_call": {"arguments": "{"}}}]}),
            vec![(0, call(0, None, None, "{"))],
        ),
    ];
    for (chunk, expected) in rows {
        assert_eq!(read(&chunk).into_deltas(), expected, "{chunk}");
    }
}

#[test]
fn contents_in_parts_are_texts_and_reasoning() {
    let thinking = json!({"type": "thinking", "closed": true, "thinking": [
        {"type": "text", "text": "r"}, {"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "s"},
    ]});
    let says = |text: &str| json!({"type": "text", "text": text});
    let rows = [
        (json!([says("a"), says("b")]), "", "ab"),
        (json!([thinking, says("a")]), "rs", "a"),
        (json!([{"type": "thinking", "thinking": "r"}, "a"]), "r", "a"),
        (json!([{"type": "reasoning", "text": "r"}, {"type": "output_text", "text": "a"}]), "r", "a"),
        (json!({"type": "text", "text": "a"}), "", "a"),
        (json!([]), "", ""),
        (
            json!([7, null, {"type": "text", "text": 7}, {"type": "image_url", "image_url": {}}, [says("x")]]),
            "",
            "",
        ),
    ];
    for (content, reasoning, said) in rows {
        for name in ["delta", "message"] {
            let chunk = json!({"choices": [{"index": 0, name: {"role": "assistant", "content": content}}]});
            let mut expected = Vec::new();
            if !reasoning.is_empty() {
                expected.push((0, Delta::Reasoning(reasoning.to_owned())));
            }
            if !said.is_empty() {
                expected.push((0, text(said)));
            }
            assert_eq!(read(&chunk).into_deltas(), expected, "{chunk}");
            let counted: Vec<_> = [reasoning, said].into_iter().filter(|text| !text.is_empty()).collect();
            let found = read(&chunk);
            assert_eq!(found.texts().map(|(_, text)| text).collect::<Vec<_>>(), counted, "{chunk}");
            assert_eq!(found.reasoning_texts().collect::<String>(), reasoning, "{chunk}");
        }
    }
    // What is said in two ways counts once.
    let both = json!({"choices": [{"delta": {"reasoning_content": "r", "content": [thinking, says("a")]}}]});
    assert_eq!(read(&both).texts().map(|(_, text)| text).collect::<Vec<_>>(), ["r", "a"]);
}

#[test]
fn unknown_forms_are_left_alone() {
    let rows = [
        json!({"choices": 7, "usage": 1, "error": null}),
        json!({"choices": [{"index": -1, "delta": [], "finish_reason": 3}]}),
        json!({"choices": [{"delta": {"content": [{"type": "text"}], "tool_calls": {}}}]}),
        json!({"unknown": {"deep": [1]}}),
    ];
    for chunk in rows {
        assert_eq!(read(&chunk).into_deltas(), [], "{chunk}");
        assert_eq!(read(&chunk).texts().count(), 0, "{chunk}");
        assert_eq!(read(&chunk).stops().count(), 0, "{chunk}");
    }
    for text in ["", "[]", "7", "{", "[DONE]", "{\"a\":1"] {
        assert!(Chunk::read(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn ends_and_usage_are_recognized() {
    let usage = json!({"prompt_tokens": 1});
    assert!(read(&json!({"choices": [], "usage": usage})).is_usage_only());
    for not in [
        json!({"choices": [], "usage": null}),
        json!({"choices": [{"index": 0}], "usage": usage}),
        json!({"usage": usage}),
    ] {
        assert!(!read(&not).is_usage_only(), "{not}");
    }
    let rows = [
        ("stop", json!(null), Stop::Done),
        ("stop", json!(128_001), Stop::Done),
        ("stop", json!("END"), Stop::StopText("END".to_owned())),
        ("eos", json!(null), Stop::Done),
        ("length", json!(null), Stop::Length),
        ("tool_calls", json!(null), Stop::ToolCalls),
        ("function_call", json!(null), Stop::ToolCalls),
        ("content_filter", json!(null), Stop::ContentFilter),
    ];
    for (reason, stop_reason, stop) in rows {
        let chunk = json!({"choices": [{"index": 1, "finish_reason": reason, "stop_reason": stop_reason}]});
        assert_eq!(read(&chunk).stops().collect::<Vec<_>>(), [(1, stop)], "{chunk}");
    }
}

#[test]
fn every_text_counts_once() {
    let chunk = json!({"choices": [
        {"index": 0, "delta": {"reasoning": "rr", "reasoning_content": "rr", "content": "a"}},
        {"index": 1, "text": "b"},
        {"index": 2, "message": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}},
    ]});
    let chunk = read(&chunk);
    assert_eq!(chunk.texts().collect::<Vec<_>>(), [(0, "rr"), (0, "a"), (1, "b"), (2, "f"), (2, "{}")]);
    assert_eq!(chunk.reasoning_texts().collect::<Vec<_>>(), ["rr"]);
}
