//! The output of a response: items made from what a model says, and the events that tell of it.
//! Never measures and never decides what comes when; it only writes what it is given.
//! Used by whole answers and by streams.

use serde_json::{Map, Value, json};

use crate::{
    http::{run::CollectedChoice, sse::write_event, turns::Turns},
    stream::{Delta, ToolCallDelta},
};

/// The items of one answer, and the events that told of them.
pub(super) struct Output {
    /// What ids are made of.
    request: String,
    items: Vec<Value>,
    open: Option<Open>,
    /// Items come one after another; servers may go back to an earlier call.
    turns: Turns,
    sequence: u64,
    events: Vec<u8>,
}

/// The item that is being added to.
enum Open {
    Reasoning(String),
    /// Its ended parts, and the one that is being added to.
    Message(Vec<Value>, Option<(Said, String)>),
    Call(ToolCallDelta),
}

/// What a part of a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Text,
    Refusal,
}

impl Output {
    /// The output of the request with this id.
    pub(super) fn new(request_id: &str) -> Self {
        let (request, turns) = (request_id.to_owned(), Turns::default());
        Self { request, items: Vec::new(), open: None, turns, sequence: 0, events: Vec::new() }
    }

    /// The output of a whole answer.
    pub(super) fn of(request_id: &str, choice: CollectedChoice, is_whole: bool) -> Vec<Value> {
        let mut output = Self::new(request_id);
        let CollectedChoice { text, reasoning, refusal, tool_calls, .. } = choice;
        let said = [Delta::Reasoning(reasoning), Delta::Text(text), Delta::Refusal(refusal)];
        for delta in said.into_iter().chain(tool_calls.into_iter().map(Delta::ToolCall)) {
            output.add(&delta);
        }
        output.finish(is_whole)
    }

    /// Writes an event of the whole response.
    pub(super) fn tell(&mut self, kind: &'static str, response: Value) {
        self.event(kind, Map::from_iter([("response".to_owned(), response)]));
    }

    /// The events since they were last taken.
    pub(super) fn take_events(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.events)
    }

    /// Adds what a model said.
    pub(super) fn add(&mut self, delta: &Delta) {
        if self.turns.take(delta) {
            self.write(delta);
        }
    }

    fn write(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => self.say(Said::Text, text),
            Delta::Refusal(text) => self.say(Said::Refusal, text),
            Delta::Reasoning(text) => self.think(text),
            Delta::ToolCall(part) => self.call(part),
        }
    }

    /// Ends what is open and gives all items.
    pub(super) fn finish(&mut self, is_whole: bool) -> Vec<Value> {
        for delta in self.turns.rest() {
            self.write(&delta);
        }
        if self.open.is_none() && self.items.is_empty() {
            self.begin_message();
            self.begin_part(Said::Text);
        }
        self.end(if is_whole { "completed" } else { "incomplete" });
        std::mem::take(&mut self.items)
    }

    fn say(&mut self, said: Said, text: &str) {
        if text.is_empty() {
            return;
        }
        if !matches!(self.open, Some(Open::Message(..))) {
            self.end("completed");
            self.begin_message();
        }
        if !matches!(&self.open, Some(Open::Message(_, Some((open, _)))) if *open == said) {
            self.end_part();
            self.begin_part(said);
        }
        let Some(Open::Message(parts, Some((_, whole)))) = &mut self.open else { return };
        whole.push_str(text);
        let index = parts.len();
        match said {
            Said::Text => {
                self.part_event("response.output_text.delta", index, json!({"delta": text, "logprobs": []}));
            }
            Said::Refusal => self.part_event("response.refusal.delta", index, json!({"delta": text})),
        }
    }

    fn think(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !matches!(self.open, Some(Open::Reasoning(_))) {
            self.end("completed");
            self.open = Some(Open::Reasoning(String::new()));
            let item = json!({"id": self.id(), "type": "reasoning", "summary": [], "content": [], "status": "in_progress"});
            self.item_event("response.output_item.added", &item);
            let part = json!({"part": {"type": "reasoning_text", "text": ""}});
            self.part_event("response.content_part.added", 0, part);
        }
        let Some(Open::Reasoning(whole)) = &mut self.open else { return };
        whole.push_str(text);
        self.part_event("response.reasoning_text.delta", 0, json!({"delta": text}));
    }

    fn call(&mut self, part: &ToolCallDelta) {
        if !matches!(&self.open, Some(Open::Call(call)) if call.index == part.index) {
            self.end("completed");
            let id = part.id.clone().unwrap_or_else(|| format!("call_{}_{}", self.request, part.index));
            let call = ToolCallDelta { id: Some(id), arguments: String::new(), ..part.clone() };
            self.open = Some(Open::Call(call.clone()));
            let item = self.call_item(&call, "in_progress");
            self.item_event("response.output_item.added", &item);
        }
        if part.arguments.is_empty() {
            return;
        }
        let Some(Open::Call(call)) = &mut self.open else { return };
        call.arguments.push_str(&part.arguments);
        let fields = json!({"item_id": self.id(), "output_index": self.items.len(), "delta": part.arguments});
        self.event_of("response.function_call_arguments.delta", fields);
    }

    fn begin_message(&mut self) {
        self.open = Some(Open::Message(Vec::new(), None));
        let item = json!({"id": self.id(), "type": "message", "role": "assistant", "content": [], "status": "in_progress"});
        self.item_event("response.output_item.added", &item);
    }

    fn begin_part(&mut self, said: Said) {
        let Some(Open::Message(parts, open)) = &mut self.open else { return };
        *open = Some((said, String::new()));
        let index = parts.len();
        self.part_event("response.content_part.added", index, json!({"part": part(said, "")}));
    }

    /// Ends the open part of a message.
    fn end_part(&mut self) {
        let Some(Open::Message(parts, open)) = &mut self.open else { return };
        let Some((said, text)) = open.take() else { return };
        let index = parts.len();
        parts.push(part(said, &text));
        match said {
            Said::Text => {
                self.part_event("response.output_text.done", index, json!({"text": text, "logprobs": []}));
            }
            Said::Refusal => self.part_event("response.refusal.done", index, json!({"refusal": text})),
        }
        self.part_event("response.content_part.done", index, json!({"part": part(said, &text)}));
    }

    /// Ends the open item.
    fn end(&mut self, status: &'static str) {
        self.end_part();
        let item = match self.open.take() {
            None => return,
            Some(Open::Message(parts, _)) => {
                json!({"id": self.id_of("msg"), "type": "message", "role": "assistant", "content": parts, "status": status})
            }
            Some(Open::Reasoning(text)) => {
                let part = json!({"type": "reasoning_text", "text": text});
                self.reasoning_done(&text, &part);
                json!({"id": self.id_of("rs"), "type": "reasoning", "summary": [], "content": [part], "status": status})
            }
            Some(Open::Call(call)) => {
                let fields = json!({
                    "item_id": self.id_of("fc"), "output_index": self.items.len(),
                    "name": call.name, "arguments": call.arguments,
                });
                self.event_of("response.function_call_arguments.done", fields);
                self.call_item(&call, status)
            }
        };
        self.item_event("response.output_item.done", &item);
        self.items.push(item);
    }

    fn reasoning_done(&mut self, text: &str, part: &Value) {
        let place =
            json!({"item_id": self.id_of("rs"), "output_index": self.items.len(), "content_index": 0});
        for (kind, field, value) in [
            ("response.reasoning_text.done", "text", Value::from(text)),
            ("response.content_part.done", "part", part.clone()),
        ] {
            let mut fields = place.clone();
            fields[field] = value;
            self.event_of(kind, fields);
        }
    }

    fn call_item(&self, call: &ToolCallDelta, status: &str) -> Value {
        json!({
            "id": self.id_of("fc"), "type": "function_call", "call_id": call.id, "name": call.name.as_deref().unwrap_or_default(),
            "arguments": call.arguments, "status": status,
        })
    }

    /// The id of the open item.
    fn id(&self) -> String {
        match self.open {
            Some(Open::Reasoning(_)) => self.id_of("rs"),
            Some(Open::Call(_)) => self.id_of("fc"),
            Some(Open::Message(..)) | None => self.id_of("msg"),
        }
    }

    /// The id of the item that comes next in the output.
    fn id_of(&self, kind: &str) -> String {
        format!("{kind}_{}_{}", self.request, self.items.len())
    }

    fn item_event(&mut self, kind: &'static str, item: &Value) {
        self.event_of(kind, json!({"output_index": self.items.len(), "item": item}));
    }

    fn part_event(&mut self, kind: &'static str, content_index: usize, fields: Value) {
        let mut place =
            json!({"item_id": self.id(), "output_index": self.items.len(), "content_index": content_index});
        if let (Value::Object(place), Value::Object(fields)) = (&mut place, fields) {
            place.extend(fields);
        }
        self.event_of(kind, place);
    }

    fn event_of(&mut self, kind: &'static str, fields: Value) {
        if let Value::Object(fields) = fields {
            self.event(kind, fields);
        }
    }

    fn event(&mut self, kind: &'static str, mut fields: Map<String, Value>) {
        fields.insert("type".to_owned(), Value::from(kind));
        fields.insert("sequence_number".to_owned(), Value::from(self.sequence));
        self.sequence += 1;
        write_event(&mut self.events, Some(kind), &fields);
    }
}

fn part(said: Said, text: &str) -> Value {
    match said {
        Said::Text => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
        Said::Refusal => json!({"type": "refusal", "refusal": text}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stop;

    fn call(index: u32, id: Option<&str>, arguments: &str) -> Delta {
        let (id, name) = (id.map(ToOwned::to_owned), id.map(|_| "f".to_owned()));
        Delta::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned() })
    }

    /// Types of the events, in order, after checking that each is numbered and named.
    fn kinds(bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let one = |(number, event): (usize, &str)| {
            let (name, data) = event.split_once('\n').expect("two lines");
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
            assert_eq!(data["sequence_number"], number);
            assert_eq!(name, format!("event: {}", data["type"].as_str().expect("a type")));
            let place = format!("{}{}", data["output_index"], data["content_index"]).replace("null", "");
            format!("{} {place}", data["type"].as_str().expect("a type").trim_start_matches("response."))
        };
        text.split_terminator("\n\n").enumerate().map(one).collect()
    }

    #[test]
    fn events_come_in_the_documented_order() {
        let mut output = Output::new("r");
        let deltas = [
            Delta::Reasoning("hm".to_owned()),
            Delta::Text("a".to_owned()),
            Delta::Text("b".to_owned()),
            call(0, Some("x"), "{"),
            call(0, None, "}"),
            call(1, Some("y"), "{"),
            call(0, None, " "),
            call(1, None, "}"),
        ];
        for delta in &deltas {
            output.add(delta);
        }
        let items = output.finish(true);
        let expected = [
            "output_item.added 0",
            "content_part.added 00",
            "reasoning_text.delta 00",
            "reasoning_text.done 00",
            "content_part.done 00",
            "output_item.done 0",
            "output_item.added 1",
            "content_part.added 10",
            "output_text.delta 10",
            "output_text.delta 10",
            "output_text.done 10",
            "content_part.done 10",
            "output_item.done 1",
            "output_item.added 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.done 2",
            "output_item.done 2",
            "output_item.added 3",
            "function_call_arguments.delta 3",
            "function_call_arguments.done 3",
            "output_item.done 3",
        ];
        assert_eq!(kinds(&output.take_events()), expected);
        let text = json!({"type": "output_text", "text": "ab", "annotations": [], "logprobs": []});
        assert_eq!(items[0]["content"], json!([{"type": "reasoning_text", "text": "hm"}]));
        assert_eq!(
            items[1],
            json!({"id": "msg_r_1", "type": "message", "role": "assistant", "content": [text],
            "status": "completed"})
        );
        assert_eq!(
            items[2],
            json!({"id": "fc_r_2", "type": "function_call", "call_id": "x", "name": "f",
            "arguments": "{} ", "status": "completed"})
        );
        assert_eq!((&items[3]["call_id"], &items[3]["arguments"]), (&json!("y"), &json!("{}")));
    }

    #[test]
    fn a_whole_answer_has_the_same_items() {
        let choice = CollectedChoice {
            text: "a".to_owned(),
            refusal: "no".to_owned(),
            stop: Stop::Length,
            ..CollectedChoice::default()
        };
        let items = Output::of("r", choice, false);
        assert_eq!((items.len(), &items[0]["status"]), (1, &json!("incomplete")));
        assert_eq!(items[0]["content"][1], json!({"type": "refusal", "refusal": "no"}));
        let silent = Output::of("r", CollectedChoice::default(), true);
        assert_eq!(silent[0]["content"][0]["text"], "", "clients look at the first item's text");
    }
}
